//! The interface as an uploader meets it, over real sockets.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Body, Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;
use crate::{
    config::{AddressLists, Config, DropConfig, Sources},
    drop::{FILE_COST_MIN, Link, Secret},
};

/// A drop with a deposit listener, and one uploader.
struct Lab {
    home: TempDir,
    drop: FileDrop,
    url: String,
    secret: String,
    client: Client,
    server: JoinHandle<()>,
}

/// A package from its uploader's side.
struct Package<'a> {
    lab: &'a Lab,
    secret: String,
    token: Token,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|_| {}, None).await
    }

    async fn with(change: impl FnOnce(&mut DepositConfig), quota: Option<u64>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = DropConfig {
            directory: home.path().join("drop"),
            ..DropConfig::default()
        };
        let drop = FileDrop::open(&config).unwrap();
        let mut config = Config::default().deposit;
        change(&mut config);
        let settings = vec!["sender.domains=[\"@example.org\"]".to_owned()];
        let sources = Sources {
            settings,
            ..Sources::default()
        };
        let ours = Config::load(&sources).unwrap();
        let deposits = Deposits::new(
            drop.clone(),
            config,
            "https://drop.example.org/",
            move || Lookup::new(&ours, AddressLists::default()),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(deposits.serve(
            listener,
            crate::metrics::Metrics::new(),
            std::future::pending(),
        ));
        let mut lab = Self {
            home,
            drop,
            url,
            secret: String::new(),
            client: Client::builder().no_proxy().build().unwrap(),
            server,
        };
        lab.secret = lab.uploader("mx1", vec![Right::Deposit], quota).await;
        lab
    }

    async fn uploader(&self, name: &str, rights: Vec<Right>, quota: Option<u64>) -> String {
        let secret = Secret::random();
        let added = self.drop.add_uploader(name, &secret, rights, quota, None);
        assert!(added.await.unwrap());
        secret.as_str().to_owned()
    }

    fn package(&self) -> Package<'_> {
        Package {
            lab: self,
            secret: self.secret.clone(),
            token: Token::random(),
        }
    }

    /// A package that is begun.
    async fn begun(&self) -> Package<'_> {
        let package = self.package();
        assert_eq!(package.begin().await.0, 201);
        package
    }

    fn stored(&self) -> usize {
        let drop = self.home.path().join("drop");
        assert!(crate::aside::settle(std::time::Duration::MAX));
        let drafts = fs::read_dir(drop.join("drafts")).unwrap().count();
        let shards = fs::read_dir(drop.join("blobs")).unwrap();
        let blobs = shards.map(|shard| fs::read_dir(shard.unwrap().path()).unwrap().count());
        drafts + blobs.sum::<usize>()
    }

    async fn nothing_is_left(&self) {
        for _ in 0..1000 {
            if self.stored() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} files are left", self.stored());
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Package<'_> {
    fn of(self, secret: &str) -> Self {
        Self {
            secret: secret.to_owned(),
            ..self
        }
    }

    fn url(&self, below: &str) -> String {
        let id = self.token.package_id();
        format!("{}/v1/packages/{id}{below}", self.lab.url)
    }

    fn request(&self, method: Method, below: &str) -> RequestBuilder {
        self.lab
            .client
            .request(method, self.url(below))
            .bearer_auth(&self.secret)
            .header(TOKEN_HEADER, self.token.to_string())
    }

    async fn begin(&self) -> (u16, Value) {
        self.json(Method::PUT, "", &origin()).await
    }

    async fn send(&self, number: u32, body: impl Into<Body>) -> (u16, Value) {
        let request = self.request(Method::PUT, &format!("/files/{number}"));
        let request = request.header("content-type", "application/octet-stream");
        answer(request.body(body)).await
    }

    async fn commit(&self, files: &Value) -> (u16, Value) {
        let order = json!({ "files": files, "expires": soon() });
        self.json(Method::POST, "/commit", &order).await
    }

    async fn give_up(&self) -> u16 {
        answer(self.request(Method::DELETE, "")).await.0
    }

    async fn json(&self, method: Method, below: &str, body: &Value) -> (u16, Value) {
        let request = self.request(method, below);
        let request = request.header("content-type", "application/json");
        answer(request.body(body.to_string())).await
    }
}

/// Status and body of an answer. One without success is a problem in the form of RFC 9457.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let media_type = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    if status >= 400 {
        assert_eq!(media_type.unwrap(), "application/problem+json");
        assert_eq!(body["status"], status);
        assert!(!body["detail"].as_str().unwrap().is_empty());
    }
    (status, body)
}

fn origin() -> Value {
    json!({
        "queue_id": "4abc", "sender": "alice@example.org", "login": null,
        "direction": "outgoing", "recipients": 1,
    })
}

fn soon() -> String {
    let expires = Timestamp::now() + SignedDuration::from_hours(24);
    Timestamp::from_second(expires.as_second())
        .unwrap()
        .to_string()
}

/// The list of files with `a` under the number 0.
fn listed() -> Value {
    json!([{
        "number": 0, "name": "a.txt", "media_type": "text/plain", "size": 1,
        "sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    }])
}

/// A body of `megabytes` whose length is not announced.
fn stream_of(megabytes: usize) -> Body {
    let block = Bytes::from(vec![7; 1 << 20]);
    let blocks = (0..megabytes).map(move |_| Ok::<_, std::io::Error>(block.clone()));
    Body::wrap_stream(stream::iter(blocks))
}

#[tokio::test]
async fn each_request_may_be_sent_twice() {
    let lab = Lab::new().await;
    let package = lab.package();
    let (first, begun) = package.begin().await;
    assert_eq!((first, package.begin().await), (201, (200, begun.clone())));
    let link = format!("https://drop.example.org/{}", package.token);
    assert_eq!(begun["link"], link);
    for _ in 0..2 {
        let (status, received) = package.send(0, "a").await;
        assert_eq!((status, &received["size"]), (200, &json!(1)));
        assert_eq!(received["sha256"], listed()[0]["sha256"]);
    }
    let first = package.commit(&listed()).await;
    assert_eq!((first.0, &first.1["link"]), (200, &json!(link)));
    assert_eq!(package.commit(&listed()).await, first);
    assert_eq!(lab.stored(), 1);
    assert_eq!(package.give_up().await, 204);
    assert_eq!(package.give_up().await, 404);
    lab.nothing_is_left().await;
}

#[tokio::test]
async fn a_commit_of_other_files_is_refused_before_and_after() {
    let lab = Lab::new().await;
    let package = lab.begun().await;
    assert_eq!(package.commit(&listed()).await.1["code"], "missing-file");
    package.send(0, "b").await;
    assert_eq!(package.commit(&listed()).await.1["code"], "digest");
    package.send(0, "a").await;
    assert_eq!(package.commit(&listed()).await.0, 200);
    let mut other = listed();
    other[0]["name"] = "b.txt".into();
    assert_eq!(package.commit(&other).await.0, 409);
    assert_eq!(package.begin().await.0, 409);
}

#[tokio::test]
async fn nobody_gets_in_without_a_valid_token() {
    let lab = Lab::new().await;
    let watcher = lab.uploader("watcher", vec![Right::Status], None).await;
    let ready = |request: RequestBuilder| async { answer(request).await.0 };
    let get = || lab.client.get(format!("{}/v1/ready", lab.url));
    assert_eq!(ready(get()).await, 401);
    assert_eq!(ready(get().bearer_auth("dpl_x")).await, 401);
    assert_eq!(ready(get().basic_auth("mx1", Some(&lab.secret))).await, 401);
    assert_eq!(ready(get().bearer_auth(&lab.secret)).await, 200);
    assert_eq!(ready(get().bearer_auth(&watcher)).await, 200);
    assert_eq!(lab.package().of(&watcher).begin().await.0, 403);
    assert!(lab.drop.remove_uploader("mx1").await.unwrap());
    assert_eq!(lab.package().begin().await.0, 401);
}

#[tokio::test]
async fn a_token_that_ran_out_is_no_token() {
    let lab = Lab::new().await;
    let secret = Secret::random();
    let end = Timestamp::now() - SignedDuration::from_secs(1);
    let rights = vec![Right::Deposit];
    let added = lab
        .drop
        .add_uploader("old", &secret, rights, None, Some(end));
    assert!(added.await.unwrap());
    assert_eq!(lab.package().of(secret.as_str()).begin().await.0, 401);
}

#[tokio::test]
async fn strangers_are_counted_and_friends_pass_all_the_same() {
    let lab = Lab::new().await;
    let get = || lab.client.get(format!("{}/v1/ready", lab.url));
    let mut last = 0;
    for _ in 0..=STRANGERS_MAX {
        last = answer(get()).await.0;
    }
    assert_eq!(last, 429);
    assert_eq!(answer(get().bearer_auth(&lab.secret)).await.0, 200);
}

#[tokio::test]
async fn a_package_is_its_uploaders_alone() {
    let lab = Lab::new().await;
    let other = lab.uploader("mx2", vec![Right::Deposit], None).await;
    let package = lab.begun().await;
    package.send(0, "a").await;
    let stolen = Package {
        lab: &lab,
        secret: other,
        token: package.token.clone(),
    };
    assert_eq!(stolen.begin().await.0, 409);
    assert_eq!(stolen.send(0, "b").await.0, 404);
    assert_eq!(stolen.commit(&listed()).await.0, 404);
    assert_eq!(stolen.give_up().await, 404);
    assert_eq!(package.commit(&listed()).await.0, 200);
    assert_eq!(stolen.commit(&listed()).await.0, 404);
    assert_eq!(stolen.give_up().await, 404);
    assert_eq!(lab.stored(), 1);
}

#[tokio::test]
async fn a_token_vouches_for_domains_of_ours_and_for_no_address() {
    let lab = Lab::new().await;
    for (sender, login, direction, expected) in [
        (
            "alice@example.org",
            Some("alice@example.org"),
            "outgoing",
            Some("example.org"),
        ),
        (
            "ceo@impots.example",
            Some("ceo@impots.example"),
            "outgoing",
            None,
        ),
        ("alice@example.org", None, "incoming", None),
    ] {
        let package = lab.package();
        let mut origin = origin();
        (origin["sender"], origin["login"]) = (json!(sender), json!(login));
        origin["direction"] = json!(direction);
        assert_eq!(package.json(Method::PUT, "", &origin).await.0, 201);
        let (_, file) = package.send(0, "x").await;
        let file = json!([{ "number": 0, "name": "a", "media_type": "text/plain",
            "size": 1, "sha256": file["sha256"] }]);
        assert_eq!(package.commit(&file).await.0, 200);
        let found = lab.drop.find(&package.token, Timestamp::now()).await;
        let PackageLookup::Live(found) = found.unwrap() else {
            panic!("it is not there");
        };
        assert_eq!(
            found.origin.verified.as_deref(),
            expected,
            "{sender} {direction}"
        );
    }
}

#[tokio::test]
async fn the_id_must_be_that_of_the_token() {
    let lab = Lab::new().await;
    let package = lab.package();
    let request = package.request(Method::DELETE, "");
    let other = request.header(TOKEN_HEADER, "not a token");
    assert_eq!(answer(other).await.0, 404, "the first header counts");
    let url = package
        .url("")
        .replace(&package.token.package_id(), &"0".repeat(32));
    let request = lab.client.delete(url).bearer_auth(&lab.secret);
    let request = request.header(TOKEN_HEADER, package.token.to_string());
    assert_eq!(answer(request).await.1["code"], "id");
    let request = lab.client.delete(package.url("")).bearer_auth(&lab.secret);
    assert_eq!(answer(request).await.1["code"], "token");
}

#[tokio::test]
async fn expiry_is_bounded() {
    let lab = Lab::new().await;
    let package = lab.begun().await;
    package.send(0, "a").await;
    let now = Timestamp::now();
    for expires in [
        now - SignedDuration::from_secs(5),
        now + SignedDuration::from_hours(24 * 370),
        Timestamp::from_millisecond(soon().parse::<Timestamp>().unwrap().as_millisecond() + 1)
            .unwrap(),
    ] {
        let order = json!({ "files": listed(), "expires": expires.to_string() });
        let (status, problem) = package.json(Method::POST, "/commit", &order).await;
        assert_eq!((status, &problem["code"]), (422, &json!("expiry")));
    }
    assert_eq!(package.commit(&listed()).await.0, 200);
}

#[tokio::test]
async fn what_was_read_out_of_a_file_stands_behind_all_others() {
    let lab = Lab::new().await;
    let package = lab.begun().await;
    package.send(0, "a").await;
    package.send(1, "b").await;
    let mut files = listed();
    let mut of_mail = files[0].clone();
    files[0]["opened"] = true.into();
    (of_mail["number"], of_mail["name"]) = (1.into(), "z".into());
    of_mail["sha256"] = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d".into();
    files.as_array_mut().unwrap().push(of_mail);
    let (status, committed) = package.commit(&files).await;
    assert_eq!(status, 200, "{committed}");

    let link = Link::read(committed["link"].as_str().unwrap()).unwrap();
    let found = lab.drop.find(&link.token, Timestamp::now()).await.unwrap();
    let PackageLookup::Live(package) = found else {
        panic!("it is not live");
    };
    let opened: Vec<_> = package.files.iter().map(|file| file.opened).collect();
    assert_eq!(opened, [false, true]);
}

#[tokio::test]
async fn the_quota_of_a_day_holds_over_packages_and_inside_of_one() {
    let lab = Lab::with(|_| {}, Some(3_000_000)).await;
    let package = lab.begun().await;
    let (status, received) = package.send(0, stream_of(2)).await;
    assert_eq!(status, 200);
    let files = json!([{ "number": 0, "name": "a", "media_type": "b", "size": 2 << 20,
                         "sha256": received["sha256"] }]);
    assert_eq!(package.send(1, stream_of(1)).await.0, 507);
    assert_eq!(package.commit(&files).await.0, 200);
    let second = lab.begun().await;
    assert_eq!(second.send(0, stream_of(1)).await.0, 507);
    let (status, problem) = second.send(0, vec![0; 1_000_000]).await;
    assert_eq!((status, &problem["code"]), (507, &json!("quota")));
    assert_eq!(second.send(0, vec![0; 900_000]).await.0, 200);
    let listed = lab.drop.uploaders().await.unwrap();
    assert_eq!(listed[0].bytes_today, 2 << 20);
}

#[tokio::test]
async fn an_empty_file_takes_a_block_of_a_token_s_quota() {
    let lab = Lab::with(|_| {}, Some(3 * FILE_COST_MIN)).await;
    let package = lab.begun().await;
    for number in 0..3 {
        assert_eq!(package.send(number, "").await.0, 200);
    }
    assert_eq!(package.send(3, "").await.1["code"], "quota");
    assert_eq!(lab.begun().await.send(0, "").await.1["code"], "quota");
    assert_eq!(package.give_up().await, 204);
    let package = lab.begun().await;
    let (_, file) = package.send(0, "").await;
    let files = json!([{ "number": 0, "name": "a", "media_type": "b", "size": 0, "sha256": file["sha256"] }]);
    assert_eq!(package.commit(&files).await.0, 200);
    let listed = lab.drop.uploaders().await.unwrap();
    assert_eq!(listed[0].bytes_today, FILE_COST_MIN);
}

#[tokio::test]
async fn two_packages_share_the_room_of_an_uploader() {
    let lab = Lab::with(
        |config| {
            config.drafts_max = 2;
            config.draft_bytes_max = 1_500_000;
        },
        None,
    )
    .await;
    let (one, two) = (lab.begun().await, lab.begun().await);
    assert_eq!(lab.package().begin().await.0, 429);
    assert_eq!(one.send(0, stream_of(1)).await.0, 200);
    assert_eq!(two.send(0, stream_of(1)).await.1["code"], "too-many-bytes");
    assert_eq!(one.give_up().await, 204);
    let third = lab.begun().await;
    assert_eq!(third.send(0, "a").await.0, 200);
}

#[tokio::test]
async fn an_upload_that_ends_too_early_is_not_kept() {
    let lab = Lab::new().await;
    let package = lab.begun().await;
    let broken = stream::iter([
        Ok(Bytes::from(vec![0; 200_000])),
        Err(std::io::Error::other("the uploader died")),
    ]);
    let request = package.request(Method::PUT, "/files/0");
    let request = request.header("content-type", "application/octet-stream");
    assert!(
        request
            .body(Body::wrap_stream(broken))
            .send()
            .await
            .is_err()
    );
    lab.nothing_is_left().await;
    assert_eq!(package.commit(&listed()).await.1["code"], "missing-file");
}

#[tokio::test]
async fn an_uploader_that_sends_nothing_is_told_408() {
    let lab = Lab::with(|config| config.timeout = Duration::from_millis(200), None).await;
    let package = lab.begun().await;
    let nothing = stream::pending::<Result<Bytes, std::io::Error>>();
    assert_eq!(package.send(0, Body::wrap_stream(nothing)).await.0, 408);
    lab.nothing_is_left().await;
}

#[tokio::test]
async fn a_refused_upload_of_100_megabytes_sees_why() {
    let lab = Lab::with(|config| config.file_bytes_max = 10_000_000, Some(5_000_000)).await;
    let unknown = lab.package();
    assert_eq!(unknown.send(0, stream_of(100)).await.0, 404);
    assert_eq!(
        lab.package().of("dpl_x").send(0, stream_of(10)).await.0,
        401
    );
    let package = lab.begun().await;
    assert_eq!(package.send(0, vec![0; 100_000_000]).await.0, 413);
    assert_eq!(package.send(0, stream_of(100)).await.0, 507);
    let no_number = package.request(Method::PUT, "/files/1000");
    assert_eq!(answer(no_number.body(stream_of(100))).await.0, 400);
    let no_path = package.request(Method::POST, "/files");
    assert_eq!(answer(no_path.body(stream_of(100))).await.0, 404);
    let no_type = package.request(Method::PUT, "/files/0");
    assert_eq!(answer(no_type.body(stream_of(100))).await.0, 415);
    lab.nothing_is_left().await;
}

/// curl asks first before a large body (`Expect: 100-continue`), unless it is told not to.
#[tokio::test]
async fn curl_sees_why_its_100_megabytes_are_refused() {
    let lab = Lab::with(|_| {}, Some(5_000_000)).await;
    let large = lab.home.path().join("large");
    fs::write(&large, vec![0; 100_000_000]).unwrap();
    let package = lab.begun().await;
    for (secret, expected) in [("dpl_x", "401"), (lab.secret.as_str(), "507")] {
        for extra in [
            "Expect:",
            "Expect: 100-continue",
            "Transfer-Encoding: chunked",
        ] {
            let mut curl = Command::new("curl");
            curl.args([
                "--silent",
                "--show-error",
                "--noproxy",
                "*",
                "--max-time",
                "60",
            ])
            .args(["--write-out", "%{http_code}", "--output", "/dev/null"])
            .args([
                "--header",
                extra,
                "--header",
                "Content-Type: application/octet-stream",
            ])
            .args(["--header", &format!("Authorization: Bearer {secret}")])
            .args(["--header", &format!("Drop-Token: {}", package.token)])
            .arg("--upload-file")
            .arg(&large)
            .arg(package.url("/files/0"))
            .stdin(Stdio::null());
            let ended = spawn_blocking(move || curl.output())
                .await
                .unwrap()
                .expect("curl is installed");
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            let complaint = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!(
                (said.as_str(), complaint.as_str()),
                (expected, ""),
                "{extra}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_refusal() {
    let lab = Lab::new().await;
    let package = lab.package();
    assert_eq!(package.send(0, stream_of(2)).await.0, 404);
    assert_eq!(package.begin().await.0, 201);
    assert_eq!(package.send(0, "a").await.0, 200);
}

#[tokio::test]
async fn what_is_no_json_of_ours_is_refused() {
    let lab = Lab::new().await;
    let package = lab.package();
    let put = |media_type: &'static str, body: &str| {
        let request = package.request(Method::PUT, "");
        answer(
            request
                .header("content-type", media_type)
                .body(body.to_owned()),
        )
    };
    assert_eq!(put("application/json", "{").await.0, 400);
    assert_eq!(put("application/json", "[]").await.0, 422);
    assert_eq!(put("text/plain", &origin().to_string()).await.0, 415);
    let mut more = origin();
    more["colour"] = "blue".into();
    assert_eq!(put("application/json", &more.to_string()).await.0, 422);
    let mut long = origin();
    long["sender"] = "x".repeat(1025).into();
    assert_eq!(put("application/json", &long.to_string()).await.0, 422);
    for text in [
        "a\nb",
        "\u{1b}[2J",
        "a\0",
        "\u{7f}",
        "\u{9b}2J",
        "\u{202e}gpj.exe",
    ] {
        for key in ["queue_id", "sender", "login", "message_id"] {
            let mut hostile = origin();
            hostile[key] = text.into();
            let (status, problem) = put("application/json", &hostile.to_string()).await;
            assert_eq!((status, &problem["code"]), (422, &json!("origin")));
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("has a control character"),
                "{text:?}: {detail}"
            );
        }
    }
    // Not seen either, but scripts need it.
    let mut joined = origin();
    joined["sender"] = "\u{645}\u{6cc}\u{200c}\u{62e}@example.org".into();
    let (status, _) = put("application/json", &joined.to_string()).await;
    assert!(status < 300, "{status}");
    let huge = " ".repeat(JSON_BYTES_MAX + 1);
    assert_eq!(put("application/json", &huge).await.0, 413);
    assert_eq!(package.commit(&json!([])).await.0, 422);
    let twice = json!([listed()[0], listed()[0]]);
    assert_eq!(package.commit(&twice).await.0, 422);
}

#[tokio::test]
async fn the_description_is_served_to_everybody() {
    let lab = Lab::new().await;
    let url = format!("{}/openapi.yaml", lab.url);
    let text = lab.client.get(url).send().await.unwrap();
    assert_eq!(text.headers()["content-type"], "application/yaml");
    assert!(text.text().await.unwrap().starts_with("openapi: 3.1.0\n"));
}

#[test]
fn a_database_holds_no_bearer_token() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lab = Lab::new().await;
        let package = lab.begun().await;
        package.send(0, "a").await;
        package.commit(&listed()).await;
        let mut seen = false;
        for name in ["drop.sqlite3", "drop.sqlite3-wal"] {
            let bytes = fs::read(lab.home.path().join("drop").join(name)).unwrap();
            // Facts that are not secret are there: it is the right file.
            seen |= memchr::memmem::find(&bytes, b"alice@example.org").is_some();
            for secret in [lab.secret.clone(), package.token.to_string()] {
                assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none());
            }
        }
        assert!(seen);
    });
}

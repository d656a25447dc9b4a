//! The public listener as a client sees it: the real router, a real drop, real sockets.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::{SignedDuration, Span};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    server::{ServerLimits, serve},
    *,
};
use crate::{config::DropConfig, filter::Direction};

const PDF: &str = "Compte rendu de l’assemblée.pdf";

/// A running server over a drop of one live package.
struct Fixture {
    home: TempDir,
    drop: Drop,
    metrics: Metrics,
    address: SocketAddr,
    token: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// An answer, its fields in lower case.
struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

fn limits() -> ServerLimits {
    ServerLimits {
        max_connections: 8,
        timeout: Duration::from_secs(20),
        header_bytes_max: 16 * 1024,
        drain: Duration::from_secs(20),
    }
}

fn web_config() -> WebConfig {
    WebConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: "https://drop.example.org/".to_owned(),
        operator: "Association <Exemple>".to_owned(),
        contact: "abuse@example.org".to_owned(),
        max_connections: 8,
        timeout: SignedDuration::from_secs(20),
    }
}

/// More than a segment of the drop, no byte like its neighbour.
fn pdf() -> Bytes {
    (0..200_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect()
}

async fn deposit(drop: &Drop, files: &[(&str, Bytes)], expires: SignedDuration) -> String {
    let origin = Origin {
        queue_id: "4abCDe12".to_owned(),
        sender: "alice@asso.example".to_owned(),
        login: Some("alice".to_owned()),
        direction: Direction::Outgoing,
        recipients: 2,
    };
    let mut package = drop.package(origin);
    let mut durable = Vec::new();
    for (name, contents) in files {
        let mut file = package.file(name, "text/html,image/svg+XML").await.unwrap();
        file.write(contents.clone()).await.unwrap();
        durable.push(file.finish().await.unwrap());
    }
    let created = Timestamp::now() - SignedDuration::from_hours(1);
    let token = package
        .commit(durable, created, Timestamp::now() + expires)
        .await
        .unwrap();
    token.to_string()
}

impl Fixture {
    async fn new() -> Self {
        Self::with(limits(), web_config()).await
    }

    async fn with(limits: ServerLimits, config: WebConfig) -> Self {
        let home = TempDir::new().unwrap();
        let drop = Drop::open(&DropConfig {
            directory: home.path().join("drop"),
            expiry: Span::new().months(1),
            grace: Span::new().days(7),
            keep_records: Span::new().years(1),
            ..DropConfig::default()
        })
        .unwrap();
        let files = [
            (PDF, pdf()),
            ("empty.txt", Bytes::new()),
            ("a\r\nb.jpg", "12345".into()),
        ];
        let token = deposit(&drop, &files, SignedDuration::from_hours(24 * 30)).await;
        let metrics = Metrics::new();
        let router = router(WebState {
            drop: drop.clone(),
            config,
            zone: TimeZone::get("Europe/Paris").unwrap(),
            language: Language::Fr,
            metrics: metrics.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        Self {
            home,
            drop,
            metrics,
            address,
            token,
            stop,
            server,
        }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in fields {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.send(&(request + "\r\n")).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Reply::parse(&answer)
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn path(&self, rest: &str) -> String {
        format!("/{}{rest}", self.token)
    }

    /// Downloads by file, as the database has them.
    fn downloads(&self) -> Vec<i64> {
        let path = self.home.path().join("drop/drop.sqlite3");
        let database = rusqlite::Connection::open(path).unwrap();
        let mut query = database
            .prepare("SELECT downloads FROM file ORDER BY position")
            .unwrap();
        query
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn blobs(&self) -> Vec<std::path::PathBuf> {
        let shards = std::fs::read_dir(self.home.path().join("drop/blobs")).unwrap();
        let mut blobs: Vec<_> = shards
            .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
            .map(|blob| blob.unwrap().path())
            .collect();
        blobs.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
        blobs
    }
}

impl Reply {
    fn parse(answer: &[u8]) -> Self {
        let end = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a whole header");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status,
            fields: lines.map(field).collect(),
            body: answer[end + 4..].to_vec(),
        }
    }

    fn field(&self, name: &str) -> &str {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let value = found.next().map_or("", |(_, value)| value);
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

#[tokio::test]
async fn every_route_carries_the_security_headers_and_no_cookie() {
    let site = Fixture::new().await;
    let gone = deposit(
        &site.drop,
        &[("a", "b".into())],
        SignedDuration::from_secs(-5),
    )
    .await;
    let routes = [
        ("/".to_owned(), 200),
        ("/style.css".to_owned(), 200),
        ("/robots.txt".to_owned(), 200),
        ("/favicon.ico".to_owned(), 204),
        ("/.well-known/security.txt".to_owned(), 200),
        (site.path(""), 200),
        (site.path(".json"), 200),
        (site.path("/1"), 200),
        (site.path("/all.zip"), 200),
        (site.path("/4"), 404),
        (format!("/{gone}"), 410),
        (format!("/{gone}/1"), 410),
        (format!("/{gone}/all.zip"), 410),
        (format!("/{gone}.json"), 410),
        ("/nothing/to/see/here".to_owned(), 404),
    ];
    for (path, status) in routes {
        for method in ["GET", "HEAD", "POST"] {
            let reply = site.ask(method, &path, &[]).await;
            let expected = if method == "POST" { 405 } else { status };
            assert_eq!(reply.status, expected, "{method} {path}");
            for (name, value) in SECURITY_HEADERS {
                assert_eq!(reply.field(name), value, "{method} {path}");
            }
            assert_eq!(reply.field("strict-transport-security"), "max-age=31536000");
            assert!(
                reply
                    .field("content-security-policy")
                    .contains("default-src 'none'")
            );
            assert!(!reply.field("cache-control").is_empty());
            assert_eq!(reply.field("set-cookie"), "");
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let site = Fixture::new().await;
    for path in [
        site.path(""),
        site.path("/1"),
        site.path("/all.zip"),
        site.path(".json"),
    ] {
        let (get, head) = (site.get(&path).await, site.ask("HEAD", &path, &[]).await);
        assert!(head.body.is_empty());
        assert_eq!(
            get.body.len().to_string(),
            head.field("content-length"),
            "{path}"
        );
        let but_date = |reply: &Reply| {
            let fields = reply.fields.iter().filter(|(name, _)| name != "date");
            fields.cloned().collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(but_date(&get), but_date(&head), "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_everywhere() {
    let site = Fixture::new().await;
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND",
    ] {
        for path in [
            "/".to_owned(),
            site.path(""),
            site.path("/1"),
            "/no/such/path".to_owned(),
        ] {
            let reply = site.ask(method, &path, &[]).await;
            assert_eq!(
                (reply.status, reply.field("allow")),
                (405, "GET, HEAD"),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn everything_unknown_gets_the_same_answer() {
    let site = Fixture::new().await;
    let mut other = site.token.clone().into_bytes();
    other[3] = if other[3] == b'a' { b'b' } else { b'a' };
    let other = String::from_utf8(other).unwrap();
    for language in ["fr", "en"] {
        let wanted = [("Accept-Language", language)];
        let first = site.ask("GET", &format!("/{other}"), &wanted).await;
        assert_eq!(first.status, 404);
        for path in [
            format!("/{other}.json"),
            format!("/{other}/1"),
            format!("/{other}/all.zip"),
            "/short".to_owned(),
            "/%ff".to_owned(),
            "/%ff/1".to_owned(),
            "/..%2f..%2fetc%2fpasswd".to_owned(),
            site.path("/0"),
            site.path("/4"),
            site.path("/01"),
            site.path("/+1"),
            site.path("/99999999999999999999999"),
            site.path("/%ff"),
            site.path("/"),
            site.path("/1/"),
            site.path(".html"),
            "/index.php".to_owned(),
            "/a/b/c".to_owned(),
        ] {
            let reply = site.ask("GET", &path, &wanted).await;
            assert_eq!((reply.status, reply.text()), (404, first.text()), "{path}");
            assert_eq!(reply.field("content-language"), language);
        }
    }
}

#[tokio::test]
async fn landing_page_says_what_from_whom_and_until_when() {
    let site = Fixture::new().await;
    let english = site
        .ask(
            "GET",
            &site.path(""),
            &[("Accept-Language", "en-GB, fr;q=0.5")],
        )
        .await;
    assert_eq!(english.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(english.field("vary"), "accept-language");
    for part in [
        "<html lang=\"en\">",
        "3 attached files",
        "sent from asso.example on",
        "30 days left",
        "Compte rendu de l’assemblée.pdf",
        "200\u{a0}kB",
        "Association &lt;Exemple&gt;",
        "(Paris time)",
        "abuse@example.org",
    ] {
        assert!(english.text().contains(part), "{part}\n{}", english.text());
    }
    assert!(!english.text().contains("alice"));
    assert!(!english.text().contains("<script") && !english.text().contains("style="));
    let french = site.get(&site.path("?lang=fr")).await;
    assert!(french.text().contains("3 fichiers joints"));
}

#[tokio::test]
async fn names_cannot_become_markup() {
    let site = Fixture::new().await;
    let name = "\"><script>alert('1')</script>&amp;\u{202e}fdp.exe";
    let token = deposit(
        &site.drop,
        &[(name, "x".into())],
        SignedDuration::from_hours(1),
    )
    .await;
    let page = site.get(&format!("/{token}")).await;
    assert!(!page.text().contains("<script") && !page.text().contains('\u{202e}'));
    assert!(page.text().contains("&amp;amp;"));
    assert!(page.text().contains(&format!("href=\"/{token}/1\"")));
}

#[tokio::test]
async fn looking_counts_nothing() {
    let site = Fixture::new().await;
    for path in [site.path(""), site.path(".json")] {
        site.get(&path).await;
    }
    for path in [site.path("/1"), site.path("/all.zip")] {
        site.ask("HEAD", &path, &[]).await;
        site.ask("GET", &path, &[("Range", "bytes=0-")]).await;
        let etag = site.ask("HEAD", &path, &[]).await.field("etag").to_owned();
        assert_eq!(
            site.ask("GET", &path, &[("If-None-Match", &etag)])
                .await
                .status,
            304
        );
    }
    assert_eq!(site.downloads(), [0, 0, 0]);
}

#[tokio::test]
async fn whole_transfers_count() {
    let site = Fixture::new().await;
    for path in ["/1", "/2", "/all.zip"] {
        assert_eq!(site.get(&site.path(path)).await.status, 200);
    }
    assert_eq!(site.downloads(), [2, 2, 1]);
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_total 3\n")
    );
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_aborted_total 0\n")
    );
}

#[tokio::test]
async fn file_goes_out_whole_as_an_attachment_of_no_type() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path("/1")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == pdf());
    assert_eq!(reply.field("content-type"), "application/octet-stream");
    assert_eq!(reply.field("content-length"), "200000");
    assert_eq!(reply.field("accept-ranges"), "bytes");
    assert_eq!(reply.field("cache-control"), "private, no-store");
    assert!(
        reply
            .field("content-security-policy")
            .starts_with("sandbox;")
    );
    assert!(
        reply
            .field("content-disposition")
            .starts_with("attachment; filename=\"Compte rendu")
    );
    let empty = site.get(&site.path("/2")).await;
    assert_eq!((empty.status, empty.field("content-length")), (200, "0"));
    let hostile = site.get(&site.path("/3")).await;
    assert_eq!((hostile.status, hostile.text()), (200, "12345"));
}

#[tokio::test]
async fn any_range_is_the_slice_of_the_whole() {
    let site = Fixture::new().await;
    for path in [site.path("/1"), site.path("/all.zip")] {
        let whole = site.get(&path).await;
        let len = whole.body.len();
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=65535-65536".to_owned(), 65_535, 65_537),
            ("bytes=131000-".to_owned(), 131_000, len),
            ("bytes=-7".to_owned(), len - 7, len),
            (format!("bytes=10-{}", len * 2), 10, len),
        ] {
            let reply = site.ask("GET", &path, &[("Range", &range)]).await;
            assert_eq!(reply.status, 206, "{range}");
            assert_eq!(
                reply.field("content-range"),
                format!("bytes {from}-{}/{len}", to - 1)
            );
            assert_eq!(reply.field("content-length"), (to - from).to_string());
            assert!(reply.body == whole.body[from..to], "{range}");
        }
        let past = site
            .ask("GET", &path, &[("Range", &format!("bytes={len}-"))])
            .await;
        assert_eq!(
            (past.status, past.field("content-range")),
            (416, &*format!("bytes */{len}"))
        );
        for fields in [
            [("Range", "bytes=0-1,3-4"), ("X-Y", "z")],
            [("Range", "bytes=0-1"), ("If-Range", "\"other\"")],
        ] {
            let reply = site.ask("GET", &path, &fields).await;
            assert!(reply.status == 200 && reply.body == whole.body);
        }
        let resumed = [("Range", "bytes=5-"), ("If-Range", whole.field("etag"))];
        assert_eq!(site.ask("GET", &path, &resumed).await.status, 206);
    }
}

#[tokio::test]
async fn archive_holds_the_files_under_safe_names() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path("/all.zip")).await;
    assert!(
        reply
            .field("content-disposition")
            .contains("filename=\"asso.example ")
    );
    let file = site.home.path().join("all.zip");
    std::fs::write(&file, &reply.body).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is \
                  None\nprint([(ascii(i.filename), i.file_size) for i in z.infolist()])";
    let run = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .output();
    let said = String::from_utf8(run.unwrap().stdout).unwrap();
    assert!(said.contains("assembl\\\\xe9e.pdf'\", 200000)"), "{said}");
    assert!(
        said.contains("empty.txt'\", 0)") && said.contains(".jpg'\", 5)"),
        "{said}"
    );
}

#[tokio::test]
async fn manifest_names_what_the_links_serve() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path(".json")).await;
    assert_eq!(reply.field("content-type"), "application/json");
    let manifest: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(
        manifest["expires"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .is_ok()
    );
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    for file in files {
        let url = file["url"].as_str().unwrap();
        let path = url.strip_prefix("https://drop.example.org").unwrap();
        let body = site.get(path).await.body;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        assert_eq!(
            file["sha256"],
            data_encoding::HEXLOWER.encode(hash.as_ref())
        );
        assert_eq!(file["size"], body.len());
    }
}

#[tokio::test]
async fn damage_cuts_the_connection_and_never_looks_whole() {
    let site = Fixture::new().await;
    let blob = &site.blobs()[0];
    let mut bytes = std::fs::read(blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(blob, bytes).unwrap();
    for path in ["/1", "/all.zip"] {
        let path = site.path(path);
        let mut stream = site
            .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(answer.len() < 200_000, "{}", answer.len());
    }
    assert_eq!(site.get(&site.path("/3")).await.status, 200);
    assert_eq!(site.downloads(), [0, 0, 1]);
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_aborted_total 2\n")
    );
}

#[tokio::test]
async fn damage_at_the_start_and_a_broken_database_are_told_without_detail() {
    let site = Fixture::new().await;
    std::fs::write(&site.blobs()[0], b"").unwrap();
    let reply = site.get(&site.path("/1")).await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, "120"));
    assert!(!reply.text().contains("drop/blobs") && !reply.text().contains("damaged"));
    let path = site.home.path().join("drop/drop.sqlite3");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch("ALTER TABLE package RENAME TO lost")
        .unwrap();
    assert_eq!(site.get(&site.path("")).await.status, 503);
}

#[tokio::test]
async fn expired_package_says_what_it_was() {
    let site = Fixture::new().await;
    let files = [("secret.pdf", "b".into())];
    let gone = deposit(&site.drop, &files, SignedDuration::from_secs(-5)).await;
    let reply = site.get(&format!("/{gone}?lang=en")).await;
    assert_eq!(reply.status, 410);
    assert!(reply.text().contains("asso.example") && reply.text().contains("could be downloaded"));
    assert!(!reply.text().contains("secret"));
}

#[tokio::test]
async fn pages_under_a_path_link_below_it_and_plain_http_sends_no_hsts() {
    let config = WebConfig {
        public_url: "http://example.org/drop/".to_owned(),
        operator: String::new(),
        contact: String::new(),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let page = site.get(&site.path("")).await;
    assert_eq!(page.field("strict-transport-security"), "");
    assert!(page.text().contains("href=\"/drop/style.css?v="));
    assert!(
        page.text()
            .contains(&format!("href=\"/drop/{}/1\"", site.token))
    );
    assert!(page.text().contains("– example.org</title>"));
    assert_eq!(site.get("/.well-known/security.txt").await.status, 404);
}

#[tokio::test]
async fn header_that_never_ends_closes_the_connection() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    for start in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = site.send(start).await;
        let mut answer = Vec::new();
        // The end of the stream, or a reset: either way the slot is free again.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
}

#[tokio::test]
async fn kept_connection_is_closed_when_nothing_follows() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let mut stream = site
        .send("GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Reply::parse(&answer).status, 200);
}

#[tokio::test]
async fn reader_who_reads_nothing_is_cut() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let large = Bytes::from(vec![7; 32 << 20]);
    let token = deposit(
        &site.drop,
        &[("large", large)],
        SignedDuration::from_hours(1),
    )
    .await;
    let mut stream = site
        .send(&format!("GET /{token}/1 HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    while !site
        .metrics
        .encode()
        .contains("depollueur_downloads_aborted_total 1\n")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 32 << 20);
}

#[tokio::test]
async fn too_long_a_header_is_answered_with_431() {
    let site = Fixture::new().await;
    let long = "x".repeat(17 * 1024);
    let reply = site.ask("GET", "/", &[("X-Long", &long)]).await;
    assert_eq!(
        reply.status,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16()
    );
}

#[tokio::test]
async fn clients_past_the_limit_wait_for_a_slot() {
    let limits = ServerLimits {
        max_connections: 1,
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let first = TcpStream::connect(site.address).await.unwrap();
    let second = site.get("/robots.txt");
    tokio::pin!(second);
    tokio::select! {
        biased;
        _ = &mut second => panic!("was served beside the first"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    drop(first);
    assert_eq!(second.await.status, 200);
}

#[tokio::test]
async fn shutdown_lets_a_download_end_and_takes_no_new_one() {
    let site = Fixture::new().await;
    let large = Bytes::from(vec![7; 32 << 20]);
    let token = deposit(
        &site.drop,
        &[("large", large)],
        SignedDuration::from_hours(1),
    )
    .await;
    let mut stream = site
        .send(&format!("GET /{token}/1 HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let mut start = [0; 1024];
    stream.read_exact(&mut start).await.unwrap();
    site.stop.send(()).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let mut answer = start.to_vec();
    answer.append(&mut rest);
    assert_eq!(Reply::parse(&answer).body.len(), 32 << 20);
    site.server.await.unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn shutdown_cuts_what_runs_past_the_drain_time() {
    let limits = ServerLimits {
        drain: Duration::ZERO,
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let mut stream = site
        .send("GET /robots.txt HTTP/1.1\r\nHost: x\r\nX-Half: ")
        .await;
    site.stop.send(()).unwrap();
    site.server.await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}

async fn admin(site: Fixture) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = crate::admin::router(site.drop.clone(), site.metrics.clone());
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, router, ServerLimits::admin(), async {
        let _ = stopped.await;
    }));
    Fixture {
        stop,
        server,
        address,
        ..site
    }
}

#[tokio::test]
async fn admin_listener_tells_health_readiness_and_metrics() {
    let admin = admin(Fixture::new().await).await;
    assert_eq!(admin.get("/healthz").await.status, 200);
    assert_eq!(admin.get("/readyz").await.status, 200);
    assert!(
        admin
            .get("/metrics")
            .await
            .text()
            .contains("# TYPE depollueur_downloads counter")
    );
}

#[tokio::test]
async fn drop_that_takes_nothing_is_not_ready_but_the_process_lives() {
    let site = Fixture::new().await;
    std::fs::remove_dir_all(site.home.path().join("drop")).unwrap();
    let admin = admin(site).await;
    assert_eq!(admin.get("/readyz").await.status, 503);
    assert_eq!(admin.get("/healthz").await.status, 200);
}

//! The contract of a store, as tests. Each test runs against each store; a new store is one more
//! constructor of [`Lab`].

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use bytes::Bytes;
use jiff::{SignedDuration, Span, Timestamp};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{DurableFile, PackageDraft, Store};
use crate::{
    config::{Config, QuotaConfig, StoreKind},
    drop::{Allotment, FileDrop, PackageLookup, Right, Secret, Token},
    envelope::{Direction, Origin},
    lookup::Lookup as Tables,
    remote::server::Deposits,
};

/// Defines the tests once for each store.
macro_rules! every_store {
    ($($test:ident)*) => {
        mod embedded {
            $(#[tokio::test] async fn $test() { super::$test(super::Lab::embedded()).await })*
        }
        mod remote {
            $(#[tokio::test] async fn $test() { super::$test(super::Lab::remote().await).await })*
        }
    };
}

every_store! {
    what_is_deposited_is_served_in_its_order
    a_file_may_be_empty
    a_package_may_have_many_files
    bytes_may_come_in_any_portions
    files_may_be_written_at_the_same_time
    only_what_is_committed_is_kept
    a_package_that_is_dropped_leaves_nothing
    a_file_that_is_dropped_midway_leaves_nothing
    a_durable_file_that_is_dropped_leaves_nothing
    a_commit_that_is_dropped_leaves_nothing
    the_expiry_is_kept_to_the_second
    a_file_of_another_package_is_refused
    names_and_types_come_back_as_they_were
    what_was_read_out_of_a_file_is_marked
    nothing_is_seen_before_the_commit
    a_ready_store_says_so
    two_packages_have_two_links
    what_was_just_committed_can_be_taken_back
    nothing_of_a_suspended_login_is_taken
    a_share_that_is_used_up_says_whose
}

/// The share of a sender for a day, in bytes.
const SHARE: u64 = 1_000_000_000;

/// A store, and the drop in which its packages must be found.
struct Lab {
    store: Store,
    drop: FileDrop,
    home: TempDir,
    _server: Option<Server>,
}

/// A server that ends with the lab.
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A file as it is served: name, media type, contents.
type Served = (String, String, Vec<u8>);

impl Lab {
    fn embedded() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path());
        let drop = FileDrop::of(&config).unwrap();
        let store = Store::embedded(drop.clone(), &config.web.public_url);
        Self {
            store,
            drop,
            home,
            _server: None,
        }
    }

    async fn remote() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(home.path());
        let drop = FileDrop::of(&config).unwrap();
        let secret = Secret::random();
        let rights = vec![Right::Deposit];
        let added = drop.add_uploader("mx1", &secret, rights, None, None);
        assert!(added.await.unwrap());
        let token_file = home.path().join("token");
        fs::write(&token_file, format!("{}\n", secret.as_str())).unwrap();
        fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        config.store.kind = StoreKind::Remote;
        let url = format!("http://{}/", listener.local_addr().unwrap());
        config.remote.url = url.parse().ok();
        config.remote.token_file = Some(token_file);
        let deposits = Deposits::new(
            drop.clone(),
            config.deposit.clone(),
            "https://drop.example.org/",
            || Tables::new(&Config::default()),
        );
        let served = deposits.serve(
            listener,
            crate::metrics::Metrics::new(),
            std::future::pending(),
        );
        Self {
            store: Store::open(&config).unwrap(),
            drop,
            home,
            _server: Some(Server(tokio::spawn(served))),
        }
    }

    async fn package(&self) -> PackageDraft {
        let origin = Origin {
            queue_id: "4abc".into(),
            sender: "alice@example.org".into(),
            verified: None,
            login: Some("alice".into()),
            client: Some([192, 0, 2, 1].into()),
            uploader: None,
            message_id: Some("<1@example.org>".into()),
            direction: Direction::Outgoing,
            recipients: 2,
            domains: crate::envelope::Domains::default(),
        };
        self.store.package(origin).await.unwrap()
    }

    async fn commit(&self, package: PackageDraft, files: Vec<DurableFile>) -> String {
        let created = Timestamp::now();
        let expires = in_a_month(created);
        package.commit(files, created, expires).await.unwrap()
    }

    /// The files of the package under a link, and its expiry; `None` unless it is live.
    async fn served(&self, link: &str) -> Option<(Vec<Served>, Timestamp)> {
        let token: Token = link
            .strip_prefix("https://drop.example.org/")
            .unwrap()
            .parse()
            .unwrap();
        let found = self.drop.find(&token, Timestamp::now()).await.unwrap();
        let PackageLookup::Live(package) = found else {
            return None;
        };
        assert_eq!(package.origin.sender, "alice@example.org");
        assert_eq!(package.origin.login.as_deref(), Some("alice"));
        assert_eq!(package.origin.client, Some([192, 0, 2, 1].into()));
        let message_id = package.origin.message_id.as_deref();
        assert_eq!(message_id, Some("<1@example.org>"));
        let mut served = Vec::new();
        for (index, file) in package.files.iter().enumerate() {
            let reader = self.drop.read(&token, &package, index, 0..file.size);
            let mut reader = reader.await.unwrap();
            let mut contents = Vec::new();
            while let Some(bytes) = reader.next().await.unwrap() {
                contents.extend_from_slice(&bytes);
            }
            assert_eq!(sha256(&contents), file.sha256);
            served.push((file.name.clone(), file.media_type.clone(), contents));
        }
        Some((served, package.expires))
    }

    /// The number of files in the drop, its database not counted.
    fn stored(&self) -> usize {
        assert!(crate::aside::settle(std::time::Duration::MAX));
        let drop = self.home.path().join("drop");
        count(&drop.join("blobs")) + count(&drop.join("drafts"))
    }

    /// Waits until nothing is left of abandoned drafts.
    async fn nothing_is_left(&self) {
        self.store.settle().await;
        // The threads that write drafts end a moment after them.
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.stored() > 0 {
            assert!(std::time::Instant::now() < limit, "{} files", self.stored());
            tokio::task::yield_now().await;
        }
    }
}

async fn what_is_deposited_is_served_in_its_order(lab: Lab) {
    let mut package = lab.package().await;
    let link = package.link().to_owned();
    let one = file(&mut package, "1.pdf", &pattern(100_000)).await;
    let two = file(&mut package, "2.pdf", &pattern(5)).await;
    let three = file(&mut package, "3.pdf", &pattern(65_536)).await;
    assert_eq!(
        (one.size(), one.sha256()),
        (100_000, sha256(&pattern(100_000)))
    );
    assert_eq!(lab.commit(package, vec![three, one, two]).await, link);
    let (files, _) = lab.served(&link).await.unwrap();
    let expected = [("3.pdf", 65_536), ("1.pdf", 100_000), ("2.pdf", 5)]
        .map(|(name, size)| (name.to_owned(), "application/pdf".to_owned(), pattern(size)));
    assert!(files == expected, "other files are served");
}

async fn a_file_may_be_empty(lab: Lab) {
    let mut package = lab.package().await;
    let empty = file(&mut package, "empty", b"").await;
    assert_eq!((empty.size(), empty.sha256()), (0, sha256(b"")));
    let link = lab.commit(package, vec![empty]).await;
    let (files, _) = lab.served(&link).await.unwrap();
    assert_eq!(files.len(), 1);
    assert!(files[0].2.is_empty());
}

async fn a_package_may_have_many_files(lab: Lab) {
    let mut package = lab.package().await;
    let mut files = Vec::new();
    for number in 0..60 {
        files.push(file(&mut package, &format!("{number}"), &pattern(number)).await);
    }
    let link = lab.commit(package, files).await;
    let (files, _) = lab.served(&link).await.unwrap();
    assert_eq!(files.len(), 60);
    for (number, (name, _, contents)) in files.into_iter().enumerate() {
        assert_eq!((name, contents), (number.to_string(), pattern(number)));
    }
}

async fn bytes_may_come_in_any_portions(lab: Lab) {
    let contents = pattern(3_000_000);
    let mut package = lab.package().await;
    let mut draft = package.file("a", "b/c").unwrap();
    let mut rest = Bytes::from(contents.clone());
    for portion in [
        0, 1, 2, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 1_000_003,
    ]
    .iter()
    .cycle()
    {
        if rest.is_empty() {
            break;
        }
        let now = rest.split_to(rest.len().min(*portion));
        draft.write(now).await.unwrap();
    }
    let file = draft.finish().await.unwrap();
    let link = lab.commit(package, vec![file]).await;
    let (files, _) = lab.served(&link).await.unwrap();
    assert!(files[0].2 == contents, "other bytes are served");
}

async fn files_may_be_written_at_the_same_time(lab: Lab) {
    let mut package = lab.package().await;
    let mut one = package.file("1", "b/c").unwrap();
    let mut two = package.file("2", "b/c").unwrap();
    for block in pattern(400_000).chunks(50_000) {
        one.write(Bytes::copy_from_slice(block)).await.unwrap();
        two.write(Bytes::copy_from_slice(&block[..7]))
            .await
            .unwrap();
    }
    let (one, two) = tokio::join!(one.finish(), two.finish());
    let link = lab.commit(package, vec![one.unwrap(), two.unwrap()]).await;
    let (files, _) = lab.served(&link).await.unwrap();
    assert_eq!((files[0].2.len(), files[1].2.len()), (400_000, 56));
    assert!(files[0].2 == pattern(400_000));
}

async fn only_what_is_committed_is_kept(lab: Lab) {
    let mut package = lab.package().await;
    let kept = file(&mut package, "kept", b"kept").await;
    let dropped = file(&mut package, "dropped", b"dropped").await;
    let link = lab.commit(package, vec![kept]).await;
    drop(dropped);
    let (files, _) = lab.served(&link).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].0, "kept");
    assert_eq!(lab.stored(), 1);
}

async fn a_package_that_is_dropped_leaves_nothing(lab: Lab) {
    let package = lab.package().await;
    let link = package.link().to_owned();
    drop(package);
    lab.nothing_is_left().await;
    assert!(lab.served(&link).await.is_none());
}

async fn a_file_that_is_dropped_midway_leaves_nothing(lab: Lab) {
    let mut package = lab.package().await;
    let mut draft = package.file("a", "b/c").unwrap();
    draft.write(pattern(300_000).into()).await.unwrap();
    drop(draft);
    drop(package);
    lab.nothing_is_left().await;
}

async fn a_durable_file_that_is_dropped_leaves_nothing(lab: Lab) {
    let mut package = lab.package().await;
    let link = package.link().to_owned();
    let durable = file(&mut package, "a", &pattern(100_000)).await;
    assert!(lab.stored() > 0);
    drop(package);
    drop(durable);
    lab.nothing_is_left().await;
    assert!(lab.served(&link).await.is_none());
}

async fn a_commit_that_is_dropped_leaves_nothing(lab: Lab) {
    // Given up at once, after each of its first wake-ups, and when it is about to be done.
    for wakes in 0..12 {
        let mut package = lab.package().await;
        let link = package.link().to_owned();
        let durable = file(&mut package, "a", &pattern(1000)).await;
        let created = Timestamp::now();
        let expires = in_a_month(created);
        let mut commit = Box::pin(package.commit(vec![durable], created, expires));
        let mut done = false;
        for _ in 0..wakes {
            tokio::select! {
                biased;
                committed = &mut commit => { committed.unwrap(); done = true; }
                () = tokio::time::sleep(std::time::Duration::from_micros(300)) => {}
            }
            if done {
                break;
            }
        }
        drop(commit);
        if done {
            assert!(lab.served(&link).await.is_some());
            return;
        }
        lab.nothing_is_left().await;
        assert!(lab.served(&link).await.is_none());
    }
}

fn in_a_month(created: Timestamp) -> Timestamp {
    crate::drop::expires_at(created, &Span::new().months(1))
}

async fn the_expiry_is_kept_to_the_second(lab: Lab) {
    let mut package = lab.package().await;
    let durable = file(&mut package, "a", b"b").await;
    let created = Timestamp::now();
    let asked = created + SignedDuration::from_hours(49) + SignedDuration::from_millis(700);
    let link = package.commit(vec![durable], created, asked).await.unwrap();
    let (_, expires) = lab.served(&link).await.unwrap();
    assert_eq!(expires.as_second(), asked.as_second());
    assert_eq!(expires.subsec_nanosecond(), 0);
    let month = in_a_month(created);
    let days = month.duration_since(created).as_hours() / 24;
    assert!((27..=31).contains(&days), "{days}");
}

async fn a_file_of_another_package_is_refused(lab: Lab) {
    let (mut one, two) = (lab.package().await, lab.package().await);
    let durable = file(&mut one, "a", b"b").await;
    let created = Timestamp::now();
    let expires = in_a_month(created);
    assert!(two.commit(vec![durable], created, expires).await.is_err());
    drop(one);
    lab.nothing_is_left().await;
}

async fn names_and_types_come_back_as_they_were(lab: Lab) {
    let names = [
        "rapport d'été.pdf",
        "夏の報告書.zip",
        "a\"b\\c\r\n\t.txt",
        "../../etc/passwd",
        "\u{202e}fdp.exe",
    ];
    let mut package = lab.package().await;
    let mut files = Vec::new();
    for name in names {
        files.push(file(&mut package, name, b"x").await);
    }
    let link = lab.commit(package, files).await;
    let (files, _) = lab.served(&link).await.unwrap();
    let served: Vec<_> = files.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(served, names);
}

async fn what_was_read_out_of_a_file_is_marked(lab: Lab) {
    let mut package = lab.package().await;
    let whole = file(&mut package, "winmail.dat", b"abc").await;
    let mut inner = file(&mut package, "", b"b").await;
    inner.describe_opened("b.txt".into(), "text/plain".into());
    let link = lab.commit(package, vec![whole, inner]).await;

    let (files, _) = lab.served(&link).await.unwrap();
    let (name, media_type, contents) = &files[1];
    assert_eq!((&**name, &**media_type), ("b.txt", "text/plain"));
    assert_eq!(contents, b"b");

    let token = link.rsplit('/').next().unwrap().parse().unwrap();
    let found = lab.drop.find(&token, Timestamp::now()).await.unwrap();
    let PackageLookup::Live(package) = found else {
        panic!("it is not live");
    };
    let marks: Vec<bool> = package.files.iter().map(|file| file.opened).collect();
    assert_eq!(marks, [false, true]);
}

async fn nothing_is_seen_before_the_commit(lab: Lab) {
    let mut package = lab.package().await;
    let link = package.link().to_owned();
    let durable = file(&mut package, "a", b"b").await;
    assert!(lab.served(&link).await.is_none());
    lab.commit(package, vec![durable]).await;
    assert!(lab.served(&link).await.is_some());
}

async fn a_ready_store_says_so(lab: Lab) {
    lab.store.probe().await.unwrap();
}

async fn two_packages_have_two_links(lab: Lab) {
    let (one, two) = (lab.package().await, lab.package().await);
    assert_ne!(one.link(), two.link());
}

async fn nothing_of_a_suspended_login_is_taken(lab: Lab) {
    let (now, client) = (Timestamp::now(), crate::drop::Requester::ADMIN);
    lab.drop.suspend("alice", now, client, "").await.unwrap();
    let mut package = lab.package().await;
    let mut file = package.file("a", "b").unwrap();
    file.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(file.finish().await.unwrap_err().is_suspended());
}

async fn a_share_that_is_used_up_says_whose(lab: Lab) {
    let database = rusqlite::Connection::open(lab.home.path().join("drop/drop.sqlite3")).unwrap();
    let sql = "INSERT INTO package (id, created, expires, state, queue_id, sender, login, direction, recipients, files,
                                    bytes, cost, uploader)
               VALUES (randomblob(16), ?1, ?1, 'destroyed', '', '', 'alice', 'outgoing', 1, 1, ?2, ?2, ?3)";
    for uploader in [None, Some("mx1")] {
        let values = rusqlite::params![Timestamp::now().as_second(), SHARE as i64, uploader];
        database.execute(sql, values).unwrap();
    }
    let mut package = lab.package().await;
    let mut file = package.file("a", "b").unwrap();
    file.write(Bytes::from_static(b"x")).await.unwrap();
    let error = file.finish().await.unwrap_err();
    assert_eq!(error.allotment(), Some(Allotment::Sender), "{error}");
}

async fn what_was_just_committed_can_be_taken_back(lab: Lab) {
    let (mut package, mut other) = (lab.package().await, lab.package().await);
    let durable = file(&mut package, "a", b"b").await;
    let link = lab.commit(package, vec![durable]).await;
    let durable = file(&mut other, "c", b"d").await;
    let stays = lab.commit(other, vec![durable]).await;
    lab.store.take_back(&link).await.unwrap();
    assert!(lab.served(&link).await.is_none());
    assert_eq!(lab.stored(), 1);
    assert!(lab.served(&stays).await.is_some());
    assert!(lab.store.take_back(&link).await.is_err());
    assert!(
        lab.store
            .take_back("https://drop.example.org/")
            .await
            .is_err()
    );
}

async fn file(package: &mut PackageDraft, name: &str, contents: &[u8]) -> DurableFile {
    let mut draft = package.file(name, "application/pdf").unwrap();
    let bytes = Bytes::copy_from_slice(contents);
    draft.write(bytes).await.unwrap();
    draft.finish().await.unwrap()
}

fn config(home: &Path) -> Config {
    let mut config = Config::default();
    config.drop.directory = home.join("drop");
    config.web.public_url = "https://drop.example.org/".parse().unwrap();
    config.quota = QuotaConfig {
        sender_per_day: Some(SHARE),
        ..QuotaConfig::unlimited()
    };
    config
}

fn count(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.file_type() {
            Ok(found) if found.is_dir() => count(&entry.path()),
            _ => 1,
        })
        .sum()
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use aws_lc_rs::digest::{SHA256, digest};
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

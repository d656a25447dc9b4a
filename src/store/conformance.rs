//! The contract of a store, as tests. Each test runs against each store; a new store is one more
//! constructor of [`Lab`], which brings the store and a [`Reader`] of its links.

pub(crate) mod plain;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Span, Timestamp};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{OpenPackage, Store, StoredFile, open};
use crate::{
    config::{AddressLists, Config, QuotaConfig, StoreKind},
    drop::{Allotment, FileDrop, FileEntry, Link, PackageLookup, Right, Secret},
    envelope::{Direction, Origin},
    jirafeau::recorded::Recorded,
    lookup::Lookup,
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
        mod jirafeau {
            $(#[tokio::test] async fn $test() { super::$test(super::Lab::jirafeau().await).await })*
        }
        mod plain_files {
            $(#[tokio::test] async fn $test() { super::$test(super::Lab::plain()).await })*
        }
    };
}

/// Defines the tests once for each store that is a drop, with its quotas and its admins.
macro_rules! every_drop {
    ($($test:ident)*) => {
        mod embedded_drop {
            $(#[tokio::test] async fn $test() { super::$test(super::DropLab::embedded()).await })*
        }
        mod remote_drop {
            $(#[tokio::test] async fn $test() { super::$test(super::DropLab::remote().await).await })*
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
    nothing_is_seen_before_the_commit
    a_ready_store_says_so
    two_packages_have_two_links
    what_was_just_committed_can_be_taken_back
}

every_drop! {
    nothing_of_a_suspended_login_is_taken
    a_share_that_is_used_up_says_whose
}

/// The share of a sender for a day, in bytes.
const SHARE: u64 = 1_000_000_000;

/// A store, and how its packages are read back.
struct Lab {
    store: Arc<dyn Store>,
    reader: Box<dyn Reader>,
    home: TempDir,
    _server: Option<Server>,
}

/// A store that is a drop, and that drop.
struct DropLab {
    lab: Lab,
    drop: FileDrop,
}

/// A server that ends with the lab.
struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads packages back as somebody who has their link.
trait Reader: Send + Sync {
    /// Reads the package under a link; `None` unless it is live.
    fn read<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Option<Served>>;

    /// Counts the files in the store, lists and databases not included.
    fn stored(&self) -> usize;
}

/// A package as it is served.
pub(crate) struct Served {
    pub(crate) files: Vec<ServedFile>,
    pub(crate) expires: Timestamp,
    pub(crate) sender: String,
    pub(crate) login: Option<String>,
}

/// A file as it is served.
#[derive(PartialEq)]
pub(crate) struct ServedFile {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) contents: Vec<u8>,
}

/// Reads from a drop, as its web server does.
struct DropReader(FileDrop, std::path::PathBuf);

/// Reads from a Jirafeau, by the pages that the drop's records name.
struct JirafeauReader(FileDrop, Arc<Recorded>);

/// Reads from a directory of plain files.
struct PlainReader(std::path::PathBuf);

impl Reader for DropReader {
    fn read<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Option<Served>> {
        Box::pin(async move {
            let Link { base, token, .. } = Link::read(link).unwrap();
            assert_eq!(base, "https://drop.example.org/");
            let found = self.0.find(&token, Timestamp::now()).await.unwrap();
            let PackageLookup::Live(package) = found else {
                return None;
            };

            assert_eq!(package.origin.client, Some([192, 0, 2, 1].into()));
            let message_id = package.origin.message_id.as_deref();
            assert_eq!(message_id, Some("<1@example.org>"));

            let mut files = Vec::new();
            for (index, file) in package.files.iter().enumerate() {
                let reader = self.0.read(&token, &package, index, 0..file.size);
                let mut reader = reader.await.unwrap();
                let mut contents = Vec::new();
                while let Some(bytes) = reader.next().await.unwrap() {
                    contents.extend_from_slice(&bytes);
                }
                assert_eq!(sha256(&contents), file.sha256);
                let (name, media_type) = (file.name.clone(), file.media_type.clone());
                files.push(ServedFile {
                    name,
                    media_type,
                    contents,
                });
            }
            Some(Served {
                files,
                expires: package.expires,
                sender: package.origin.sender,
                login: package.origin.login,
            })
        })
    }

    fn stored(&self) -> usize {
        assert!(crate::aside::settle(std::time::Duration::MAX));
        count(&self.1.join("blobs")) + count(&self.1.join("drafts"))
    }
}

impl Reader for JirafeauReader {
    fn read<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Option<Served>> {
        Box::pin(async move {
            let token = Link::read(link).unwrap().token;
            let found = self.0.find(&token, Timestamp::now()).await.unwrap();
            let PackageLookup::Live(package) = found else {
                return None;
            };
            let file = |file: &FileEntry| {
                let kept = self.1.file(file.page.as_deref().unwrap()).unwrap();
                assert_eq!(kept.time, "month");
                assert_eq!(kept.name, mailsplice::names::file(&file.name));
                assert_eq!(sha256(&kept.contents), file.sha256);
                ServedFile {
                    name: file.name.clone(),
                    media_type: file.media_type.clone(),
                    contents: kept.contents,
                }
            };
            Some(Served {
                files: package.files.iter().map(file).collect(),
                expires: package.expires,
                sender: package.origin.sender,
                login: package.origin.login,
            })
        })
    }

    fn stored(&self) -> usize {
        self.1.stored()
    }
}

impl Reader for PlainReader {
    fn read<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Option<Served>> {
        Box::pin(async move { plain::read(link) })
    }

    fn stored(&self) -> usize {
        plain::stored(&self.0)
    }
}

impl DropLab {
    fn embedded() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = config(home.path());
        let store = open(&config, config.store.kind).unwrap();
        let drop = FileDrop::of(&config).unwrap();
        Self::over(store, drop, home, None)
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
        let url = format!("http://{}/", listener.local_addr().unwrap());
        config.remote.url = url.parse().ok();
        config.remote.token_file = Some(token_file);

        let deposits = Deposits::new(
            drop.clone(),
            config.deposit.clone(),
            "https://drop.example.org/",
            || Lookup::new(&Config::default(), AddressLists::default()),
        );
        let served = deposits.serve(
            listener,
            crate::metrics::Metrics::new(),
            std::future::pending(),
        );
        let server = Server(tokio::spawn(served));
        let store = open(&config, StoreKind::Remote).unwrap();
        Self::over(store, drop, home, Some(server))
    }

    fn over(store: Arc<dyn Store>, drop: FileDrop, home: TempDir, server: Option<Server>) -> Self {
        let reader = Box::new(DropReader(drop.clone(), home.path().join("drop")));
        let lab = Lab {
            store,
            reader,
            home,
            _server: server,
        };
        Self { lab, drop }
    }
}

impl Lab {
    fn embedded() -> Self {
        DropLab::embedded().lab
    }

    async fn remote() -> Self {
        DropLab::remote().await.lab
    }

    async fn jirafeau() -> Self {
        let home = tempfile::tempdir().unwrap();
        let recorded = Arc::new(Recorded::start(|_| ()).await);
        let mut config = config(home.path());
        config.jirafeau.url = recorded.url.parse().ok();
        Self {
            store: open(&config, StoreKind::Jirafeau).unwrap(),
            reader: Box::new(JirafeauReader(FileDrop::of(&config).unwrap(), recorded)),
            home,
            _server: None,
        }
    }

    fn plain() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self {
            store: Arc::new(plain::PlainStore::new(home.path())),
            reader: Box::new(PlainReader(home.path().to_owned())),
            home,
            _server: None,
        }
    }

    async fn package(&self) -> Box<dyn OpenPackage> {
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
        self.store.begin(origin, None).await.unwrap()
    }

    async fn commit(
        &self,
        package: Box<dyn OpenPackage>,
        files: Vec<Box<dyn StoredFile>>,
    ) -> String {
        let created = Timestamp::now();
        let expires = in_a_month(created);
        package.commit(files, created, expires).await.unwrap()
    }

    /// The package under a link; `None` unless it is live.
    async fn served(&self, link: &str) -> Option<Served> {
        let served = self.reader.read(link).await?;
        assert_eq!(served.sender, "alice@example.org");
        assert_eq!(served.login.as_deref(), Some("alice"));
        Some(served)
    }

    /// Returns true if a package is served under a link, which some stores do not know yet.
    async fn is_served(&self, link: Option<&str>) -> bool {
        match link {
            Some(link) => self.served(link).await.is_some(),
            None => false,
        }
    }

    fn stored(&self) -> usize {
        self.reader.stored()
    }

    /// Waits until what was dropped is gone.
    async fn settle(&self) {
        let settled = || assert!(crate::aside::settle(std::time::Duration::MAX));
        tokio::task::spawn_blocking(settled).await.unwrap();
        self.store.settle().await;
    }

    /// Waits until nothing is left of abandoned drafts.
    async fn nothing_is_left(&self) {
        self.settle().await;
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
    let link = package.link().map(str::to_owned);
    let one = file(&mut package, "1.pdf", &pattern(100_000)).await;
    let two = file(&mut package, "2.pdf", &pattern(5)).await;
    let three = file(&mut package, "3.pdf", &pattern(65_536)).await;
    assert_eq!(
        (one.size(), one.sha256()),
        (100_000, sha256(&pattern(100_000)))
    );
    let committed = lab.commit(package, vec![three, one, two]).await;
    assert!(link.is_none_or(|link| link == committed));
    let files = lab.served(&committed).await.unwrap().files;
    let expected =
        [("3.pdf", 65_536), ("1.pdf", 100_000), ("2.pdf", 5)].map(|(name, size)| ServedFile {
            name: name.to_owned(),
            media_type: "application/pdf".to_owned(),
            contents: pattern(size),
        });
    assert!(files == expected, "other files are served");
}

async fn a_file_may_be_empty(lab: Lab) {
    let mut package = lab.package().await;
    let empty = file(&mut package, "empty", b"").await;
    assert_eq!((empty.size(), empty.sha256()), (0, sha256(b"")));
    let link = lab.commit(package, vec![empty]).await;
    let files = lab.served(&link).await.unwrap().files;
    assert_eq!(files.len(), 1);
    assert!(files[0].contents.is_empty());
}

async fn a_package_may_have_many_files(lab: Lab) {
    let mut package = lab.package().await;
    let mut files = Vec::new();
    for number in 0..60 {
        files.push(file(&mut package, &format!("{number}"), &pattern(number)).await);
    }
    let link = lab.commit(package, files).await;
    let files = lab.served(&link).await.unwrap().files;
    assert_eq!(files.len(), 60);
    for (number, file) in files.into_iter().enumerate() {
        let expected = (number.to_string(), pattern(number));
        assert_eq!((file.name, file.contents), expected);
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
    let files = lab.served(&link).await.unwrap().files;
    assert!(files[0].contents == contents, "other bytes are served");
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
    let files = lab.served(&link).await.unwrap().files;
    assert_eq!(
        (files[0].contents.len(), files[1].contents.len()),
        (400_000, 56)
    );
    assert!(files[0].contents == pattern(400_000));
}

async fn only_what_is_committed_is_kept(lab: Lab) {
    let mut package = lab.package().await;
    let kept = file(&mut package, "kept", b"kept").await;
    let dropped = file(&mut package, "dropped", b"dropped").await;
    let link = lab.commit(package, vec![kept]).await;
    drop(dropped);
    let files = lab.served(&link).await.unwrap().files;
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].name, "kept");
    lab.settle().await;
    assert_eq!(lab.stored(), 1);
}

async fn a_package_that_is_dropped_leaves_nothing(lab: Lab) {
    let package = lab.package().await;
    let link = package.link().map(str::to_owned);
    drop(package);
    lab.nothing_is_left().await;
    assert!(!lab.is_served(link.as_deref()).await);
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
    let link = package.link().map(str::to_owned);
    let durable = file(&mut package, "a", &pattern(100_000)).await;
    assert!(lab.stored() > 0);
    drop(package);
    drop(durable);
    lab.nothing_is_left().await;
    assert!(!lab.is_served(link.as_deref()).await);
}

async fn a_commit_that_is_dropped_leaves_nothing(lab: Lab) {
    // Given up at once, after each of its first wake-ups, and when it is about to be done.
    for wakes in 0..12 {
        let mut package = lab.package().await;
        let link = package.link().map(str::to_owned);
        let durable = file(&mut package, "a", &pattern(1000)).await;
        let created = Timestamp::now();
        let expires = in_a_month(created);
        let mut commit = Box::pin(package.commit(vec![durable], created, expires));
        let mut done = None;
        for _ in 0..wakes {
            tokio::select! {
                biased;
                committed = &mut commit => done = Some(committed.unwrap()),
                () = tokio::time::sleep(std::time::Duration::from_micros(300)) => {}
            }
            if done.is_some() {
                break;
            }
        }
        drop(commit);
        if let Some(link) = done {
            assert!(lab.served(&link).await.is_some());
            return;
        }
        lab.nothing_is_left().await;
        assert!(!lab.is_served(link.as_deref()).await);
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
    let expires = lab.served(&link).await.unwrap().expires;
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
    let files = lab.served(&link).await.unwrap().files;
    let served: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(served, names);
}

async fn nothing_is_seen_before_the_commit(lab: Lab) {
    let mut package = lab.package().await;
    let link = package.link().map(str::to_owned);
    let durable = file(&mut package, "a", b"b").await;
    assert!(!lab.is_served(link.as_deref()).await);
    let link = lab.commit(package, vec![durable]).await;
    assert!(lab.served(&link).await.is_some());
}

async fn a_ready_store_says_so(lab: Lab) {
    lab.store.probe().await.unwrap();
}

async fn two_packages_have_two_links(lab: Lab) {
    let (mut one, mut two) = (lab.package().await, lab.package().await);
    let first = file(&mut one, "a", b"b").await;
    let second = file(&mut two, "a", b"b").await;
    let one = lab.commit(one, vec![first]).await;
    assert_ne!(lab.commit(two, vec![second]).await, one);
}

async fn nothing_of_a_suspended_login_is_taken(DropLab { lab, drop }: DropLab) {
    let (now, client) = (Timestamp::now(), crate::drop::Requester::ADMIN);
    drop.suspend("alice", now, client, "").await.unwrap();
    let mut package = lab.package().await;
    let mut file = package.file("a", "b").unwrap();
    file.write(Bytes::from_static(b"x")).await.unwrap();
    assert!(file.finish().await.unwrap_err().is_suspended());
}

async fn a_share_that_is_used_up_says_whose(DropLab { lab, .. }: DropLab) {
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

async fn file(
    package: &mut Box<dyn OpenPackage>,
    name: &str,
    contents: &[u8],
) -> Box<dyn StoredFile> {
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

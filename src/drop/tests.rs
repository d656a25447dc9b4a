//! The drop as a whole, on real directories.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::{SignedDuration, Span, Timestamp};
use tempfile::TempDir;

use super::*;

struct Fixture {
    home: TempDir,
    drop: Drop,
}

fn config(directory: PathBuf) -> DropConfig {
    DropConfig {
        directory,
        expiry: Span::new().months(1),
        grace: Span::new().days(7),
        keep_records: Span::new().years(1),
    }
}

fn fixture() -> Fixture {
    let home = TempDir::new().unwrap();
    let drop = Drop::open(&config(home.path().join("drop"))).unwrap();
    Fixture { home, drop }
}

fn origin() -> Origin {
    Origin {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        login: Some("alice".into()),
        direction: Direction::Outgoing,
        recipients: 2,
    }
}

fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Every regular file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

impl Fixture {
    fn directory(&self) -> PathBuf {
        self.home.path().join("drop")
    }

    fn blobs(&self) -> Vec<PathBuf> {
        files(&self.directory().join("blobs"))
    }

    fn drafts(&self) -> Vec<PathBuf> {
        files(&self.directory().join("drafts"))
    }

    async fn file(&self, package: &mut PackageDraft, name: &str, bytes: &Bytes) -> DurableFile {
        let mut draft = package.file(name, "application/pdf").await.unwrap();
        draft.write(bytes.clone()).await.unwrap();
        draft.finish().await.unwrap()
    }

    async fn deposit(&self, contents: &[Bytes], created: Timestamp) -> Token {
        let mut package = self.drop.package(origin());
        let mut files = Vec::new();
        for bytes in contents {
            files.push(self.file(&mut package, "a.pdf", bytes).await);
        }
        let expires = self.drop.expires_at(created);
        package.commit(files, created, expires).await.unwrap()
    }

    async fn live(&self, token: &Token, now: Timestamp) -> Package {
        match self.drop.find(token, now).await.unwrap() {
            Lookup::Live(package) => package,
            other => panic!("{other:?}"),
        }
    }

    async fn read(
        &self,
        token: &Token,
        now: Timestamp,
        index: usize,
    ) -> Result<Vec<u8>, DropError> {
        let package = self.live(token, now).await;
        let range = 0..package.files[index].size;
        read_all(self.drop.read(token, &package, index, range).await?).await
    }

    fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory().join("drop.sqlite3")).unwrap()
    }
}

async fn read_all(mut reader: FileReader) -> Result<Vec<u8>, DropError> {
    let mut all = Vec::new();
    while let Some(bytes) = reader.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

#[tokio::test]
async fn what_is_deposited_is_found_and_read() {
    let drop = fixture();
    let now = time("2026-11-22T10:00:00.7Z");
    let (a, b) = (noise(300_000, 1), Bytes::new());
    let token = drop.deposit(&[a.clone(), b], now).await;
    let package = drop.live(&token, now).await;
    assert_eq!(package.created, time("2026-11-22T10:00:00Z"));
    assert_eq!(package.expires, time("2026-12-22T10:00:00Z"));
    assert_eq!(package.origin.sender, "alice@example.org");
    assert_eq!(package.origin.direction, Direction::Outgoing);
    let file = &package.files[0];
    assert_eq!((file.size, file.crc32), (300_000, crc32fast::hash(&a)));
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &a);
    assert_eq!(file.sha256, sha256.as_ref());
    assert_eq!(
        (&*file.name, &*file.media_type),
        ("a.pdf", "application/pdf")
    );
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), a);
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), b"");
    assert_eq!(drop.drafts(), [PathBuf::new(); 0]);
}

#[tokio::test]
async fn a_token_that_never_was_is_unknown() {
    let drop = fixture();
    let found = drop
        .drop
        .find(&Token::random(), Timestamp::now())
        .await
        .unwrap();
    assert!(matches!(found, Lookup::Unknown));
}

#[tokio::test]
async fn a_package_expires_at_its_second() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1)], time("2026-01-31T10:00:00Z"))
        .await;
    let expires = time("2026-02-28T10:00:00Z");
    let before = expires - SignedDuration::from_nanos(1);
    assert!(matches!(
        drop.drop.find(&token, before).await.unwrap(),
        Lookup::Live(_)
    ));
    match drop.drop.find(&token, expires).await.unwrap() {
        Lookup::Gone {
            created,
            expired,
            origin,
        } => {
            assert_eq!(created, time("2026-01-31T10:00:00Z"));
            assert_eq!(expired, expires);
            assert_eq!(origin.queue_id, "4abCDe12");
        }
        other => panic!("{other:?}"),
    }
}

//! The drop as a whole, on real directories.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::{SignedDuration, Span};
use tempfile::TempDir;

use super::*;
use crate::{
    aside,
    envelope::{Direction, Origin},
    ledger::{self, FaultKind},
};

mod abandon;
mod chain;
mod clock;
mod conformance;
mod custody;
mod damage;
mod deposit;
mod elsewhere;
mod hold;
mod migrate;
mod open;
mod quota;
mod rescan;
mod sweep;

const WEB: Requester = Requester {
    actor: Actor::Web,
    address: None,
};

struct Fixture {
    home: TempDir,
    drop: FileDrop,
}

pub(super) fn config(directory: PathBuf) -> DropConfig {
    DropConfig {
        records: ledger::postgres::of_directory(&directory),
        directory,
        expiry: Span::new().months(1),
        grace: Span::new().days(7),
        keep_records: Span::new().years(1),
        ..DropConfig::default()
    }
}

fn fixture() -> Fixture {
    let home = TempDir::new().unwrap();
    let drop = FileDrop::open(&config(home.path().join("drop"))).unwrap();
    Fixture { home, drop }
}

pub(super) fn origin() -> Origin {
    Origin {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        verified: None,
        login: Some("alice".into()),
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 2,
        domains: crate::envelope::Domains::default(),
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

fn in_a_month(created: Timestamp) -> Timestamp {
    expires_at(created, &Span::new().months(1))
}

impl Fixture {
    fn directory(&self) -> PathBuf {
        self.home.path().join("drop")
    }

    /// Waits until what was given up is gone.
    fn settle(&self) {
        assert!(aside::settle(std::time::Duration::MAX));
    }

    fn blobs(&self) -> Vec<PathBuf> {
        self.settle();
        files(&self.directory().join("blobs"))
    }

    fn drafts(&self) -> Vec<PathBuf> {
        self.settle();
        files(&self.directory().join("drafts"))
    }

    async fn file(&self, package: &mut PackageDraft, name: &str, bytes: &Bytes) -> CompleteFile {
        let mut draft = package.file(name, "application/pdf").unwrap();
        draft.write(bytes.clone()).await.unwrap();
        draft.finish().await.unwrap()
    }

    async fn deposit(&self, contents: &[Bytes], created: Timestamp) -> Token {
        let mut package = self.drop.package(origin());
        let mut files = Vec::new();
        for bytes in contents {
            files.push(self.file(&mut package, "a.pdf", bytes).await);
        }
        let expires = in_a_month(created);
        package.commit(files, created, expires).await.unwrap()
    }

    async fn live(&self, token: &Token, now: Timestamp) -> Package {
        match self.drop.find(token, now).await.unwrap() {
            PackageLookup::Live(package) => package,
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

    async fn swept(&self, now: Timestamp, steps: usize) -> Swept {
        let (swept, result) = self.drop.sweep(now, steps).await;
        result.unwrap();
        swept
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

fn is_unknown(fixture: &Fixture, token: &Token) -> bool {
    let found = fixture
        .drop
        .store
        .find(&Vault::new(token), Timestamp::now())
        .unwrap();
    matches!(found, PackageLookup::Unknown)
}

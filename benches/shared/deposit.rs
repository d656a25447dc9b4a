//! A package, as the milter deposits it.

#![allow(dead_code, reason = "each bench uses some")]

use bytes::Bytes;
use depollueur::{
    config::DropConfig,
    drop::{FileDrop, Token, expires_at},
    envelope::{Direction, Domains, Origin},
};
use jiff::{Span, Timestamp};
use tempfile::TempDir;

/// A new drop that keeps files for a month.
pub(crate) fn open(home: &TempDir) -> FileDrop {
    let config = DropConfig {
        directory: home.path().join("drop"),
        expiry: Span::new().months(1),
        grace: Span::new().days(7),
        keep_records: Span::new().years(1),
        ..DropConfig::default()
    };
    FileDrop::open(&config).expect("a fresh directory can be used")
}

/// A message to one recipient, of a sender who did not log in.
pub(crate) fn origin() -> Origin {
    Origin {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        verified: None,
        login: None,
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 1,
        domains: Domains::default(),
    }
}

/// Deposits one file, for a month.
pub(crate) async fn deposit(drop: &FileDrop, origin: Origin, contents: &'static [u8]) -> Token {
    let now = Timestamp::now();
    let mut package = drop.package(origin);
    let file = package.file("dossier.pdf", "application/pdf");
    let mut file = file.expect("a draft is made");
    let written = file.write(Bytes::from_static(contents)).await;
    written.expect("a draft is written");
    let file = file.finish().await.expect("a draft is synced");
    let expires = expires_at(now, &Span::new().months(1));
    let committed = package.commit(vec![file], now, expires).await;
    committed.expect("a package is committed")
}

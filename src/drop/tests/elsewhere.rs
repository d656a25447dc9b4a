//! Packages whose files lie at a Jirafeau.

use super::*;
use crate::jirafeau::recorded::{Recorded, Trouble};

struct There {
    drop: FileDrop,
    server: Recorded,
    _home: TempDir,
}

async fn there() -> There {
    there_with(QuotaConfig::unlimited()).await
}

async fn there_with(quota: QuotaConfig) -> There {
    let home = TempDir::new().unwrap();
    let server = Recorded::start(|_| ()).await;
    let mut config = Config {
        drop: config(home.path().join("drop")),
        quota,
        ..Config::default()
    };
    config.jirafeau.url = server.url.parse().ok();
    let drop = FileDrop::of(&config).unwrap();
    There {
        drop,
        server,
        _home: home,
    }
}

/// Deposits a package that is to live for 40 days.
async fn deposited(drop: &FileDrop) -> Token {
    let mut package = drop.package_elsewhere(origin()).unwrap();
    let mut files = Vec::new();
    for size in [10, 250_000] {
        let mut draft = package.file("a.pdf", "application/pdf").unwrap();
        draft.write(noise(size, 1)).await.unwrap();
        files.push(draft.finish().await.unwrap());
    }
    let now = Timestamp::now();
    let asked = now + SignedDuration::from_hours(40 * 24);
    package.commit(files, now, asked).await.unwrap()
}

async fn live(drop: &FileDrop, token: &Token) -> Option<Package> {
    match drop.find(token, Timestamp::now()).await.unwrap() {
        PackageLookup::Live(package) => Some(package),
        _ => None,
    }
}

#[tokio::test]
async fn no_record_promises_more_than_jirafeau_keeps() {
    let there = there().await;
    let drop = &there.drop;
    let token = deposited(drop).await;
    let package = live(drop, &token).await.unwrap();
    let month = SignedDuration::from_hours(30 * 24);
    assert!(package.expires <= Timestamp::now() + month);
    assert_eq!(package.extendable, None);
    assert!(package.is_elsewhere());

    let (id, now) = (RecordId::from(&token), Timestamp::now());
    let later = package.expires + SignedDuration::from_secs(1);
    let restored = drop.restore(id, later, now, Requester::ADMIN).await;
    assert!(matches!(restored, Err(LedgerError::KeptElsewhere(_))));
}

#[tokio::test]
async fn what_is_revoked_or_blocked_is_gone_there_at_once() {
    let there = there().await;
    let (drop, server) = (&there.drop, &there.server);
    let (one, two) = (deposited(drop).await, deposited(drop).await);
    assert_eq!(server.files(), 4);
    let now = Timestamp::now();
    let sha256 = live(drop, &two).await.unwrap().files[0].sha256;
    drop.revoke((&one).into(), now, Requester::ADMIN, "")
        .await
        .unwrap();
    assert_eq!(server.files(), 2);
    let (_, ended) = drop.block(sha256, now, Requester::ADMIN, "").await.unwrap();
    assert_eq!((ended.len(), server.files()), (1, 0));

    let both = [&one, &two].map(RecordId::from).to_vec();
    for token in [one, two] {
        let restored = drop.restore((&token).into(), now, now, Requester::ADMIN);
        assert_eq!(restored.await.unwrap(), RequestOutcome::Destroyed);
    }
    assert_eq!(drop.lingering(both).await.unwrap(), 0);
}

#[tokio::test]
async fn what_cannot_be_removed_is_tried_again_by_the_sweep() {
    let there = there().await;
    let (drop, server) = (&there.drop, &there.server);
    let token = deposited(drop).await;
    let now = Timestamp::now();
    server.set(|settings| settings.trouble = Some(("h=", Trouble::Says("Error 1"))));
    drop.revoke((&token).into(), now, Requester::ADMIN, "")
        .await
        .unwrap();
    assert!(live(drop, &token).await.is_none());
    let (this, other) = (RecordId::from(&token), RecordId::from(&Token::random()));
    assert_eq!(drop.lingering(vec![this, other]).await.unwrap(), 1);
    assert_eq!(drop.lingering(vec![other]).await.unwrap(), 0);
    assert_eq!(server.files(), 2);
    let (swept, result) = drop.sweep(now, 100).await;
    assert_eq!(swept.packages, 0);
    assert!(
        result
            .unwrap_err()
            .to_string()
            .contains("failed: \"Error 1\"")
    );

    server.set(|settings| settings.trouble = None);
    let (swept, result) = drop.sweep(now, 100).await;
    result.unwrap();
    assert_eq!((swept.packages, server.files()), (1, 0));
}

#[tokio::test]
async fn what_jirafeau_itself_has_ended_holds_up_no_sweep() {
    let there = there().await;
    let (drop, server) = (&there.drop, &there.server);
    deposited(drop).await;
    server.set(|settings| settings.trouble = Some(("h=", Trouble::Status(503))));
    let now = Timestamp::now() + SignedDuration::from_hours(38 * 24);
    drop.trust_clock(now).await.unwrap();
    let (swept, result) = drop.sweep(now, 100).await;
    result.unwrap();
    assert_eq!(swept.packages, 1);
}

#[tokio::test]
async fn a_full_disk_here_refuses_nothing_that_goes_elsewhere() {
    let there = there_with(QuotaConfig {
        free_space_min: u64::MAX,
        ..QuotaConfig::unlimited()
    });
    let there = there.await;
    let token = deposited(&there.drop).await;
    assert!(live(&there.drop, &token).await.is_some());
    assert_eq!(there.server.files(), 2);
}

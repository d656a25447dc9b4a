//! How much may be deposited.

use super::*;
use crate::config::Directions;

fn limited(quota: QuotaConfig) -> Fixture {
    let home = TempDir::new().unwrap();
    let config = config(home.path().join("drop"));
    let drop = Drop::open_with(
        &config,
        &quota,
        &AuditConfig::default(),
        &ScanConfig::default(),
    )
    .unwrap();
    Fixture { home, drop }
}

/// Deposits so many bytes now; the name of the quota that refused them.
async fn deposit(drop: &Fixture, origin: Origin, bytes: &[usize]) -> Option<&'static str> {
    let attempt = async {
        let now = Timestamp::now();
        let mut package = drop.drop.package(origin);
        let mut files = Vec::new();
        for &length in bytes {
            let mut draft = package.file("a", "b")?;
            draft.write(noise(length, 1)).await?;
            files.push(draft.finish().await?);
        }
        package.commit(files, now, in_a_month(now)).await
    };
    match attempt.await {
        Ok(_) => None,
        Err(DropError::Quota { name, .. }) => Some(name),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn one_deposit_alone_may_not_pass_the_total() {
    let drop = limited(QuotaConfig {
        total: Some(100),
        ..QuotaConfig::unlimited()
    });
    let full = Some("total");
    assert_eq!(deposit(&drop, origin(), &[101]).await, full);
    assert_eq!(deposit(&drop, origin(), &[50, 51]).await, full);
    assert_eq!(deposit(&drop, origin(), &[50, 50]).await, None);
    assert_eq!(deposit(&drop, origin(), &[1]).await, full);
}

#[tokio::test]
async fn a_sender_deposits_up_to_his_quota() {
    let drop = limited(QuotaConfig {
        sender_per_day: Some(100),
        sender_directions: Directions::Outgoing,
        ..QuotaConfig::unlimited()
    });
    let full = Some("sender_per_day");
    assert_eq!(deposit(&drop, origin(), &[60]).await, None);
    assert_eq!(deposit(&drop, origin(), &[41]).await, full);
    assert_eq!(deposit(&drop, origin(), &[20, 21]).await, full);
    assert_eq!(deposit(&drop, origin(), &[20, 20]).await, None);
    // Before a byte is written.
    assert_eq!(deposit(&drop, origin(), &[0]).await, full);
    let bob = Origin {
        login: Some("bob".into()),
        ..origin()
    };
    assert_eq!(deposit(&drop, bob, &[100]).await, None);
    let incoming = Origin {
        direction: Direction::Incoming,
        ..origin()
    };
    assert_eq!(deposit(&drop, incoming, &[1000]).await, None);
    assert_eq!(drop.drafts().len(), 0);
}

#[tokio::test]
async fn all_deposits_together_keep_to_the_total() {
    let drop = limited(QuotaConfig {
        total: Some(100),
        ..QuotaConfig::unlimited()
    });
    // What is under way counts, until it is given up.
    let mut package = drop.drop.package(origin());
    let file = drop.file(&mut package, "a", &noise(60, 1)).await;
    assert_eq!(deposit(&drop, origin(), &[41]).await, Some("total"));
    std::mem::drop((file, package));
    assert_eq!(deposit(&drop, origin(), &[100]).await, None);
    assert_eq!(deposit(&drop, origin(), &[0]).await, Some("total"));
    // What is destroyed makes room.
    let now = Timestamp::now() + SignedDuration::from_hours(24 * 60);
    drop.drop.trust_clock(now).await.unwrap();
    assert_eq!(drop.swept(now, 10).await.packages, 1);
    assert_eq!(deposit(&drop, origin(), &[100]).await, None);
}

#[tokio::test]
async fn nothing_is_taken_that_would_fill_the_disk() {
    let drop = limited(QuotaConfig {
        free_space_min: u64::MAX,
        ..QuotaConfig::unlimited()
    });
    let refused = Some("free_space_min");
    assert_eq!(deposit(&drop, origin(), &[1]).await, refused);
    assert_eq!(drop.drafts().len(), 0);
}

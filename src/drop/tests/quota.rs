//! The quotas of deposits.

use super::*;
use crate::{config::Directions, envelope::Origin};

/// A file that counts for itself.
const SIZE: usize = 10_000;

fn limited_with(quota: QuotaConfig, audit: AuditConfig) -> Fixture {
    let home = TempDir::new().unwrap();
    let config = config(home.path().join("drop"));
    let drop = FileDrop::open_with(&config, &quota, &audit, &ScanConfig::default()).unwrap();
    Fixture { home, drop }
}

fn limited(quota: QuotaConfig) -> Fixture {
    limited_with(quota, AuditConfig::default())
}

/// Deposits so many bytes then; the name of the quota that refused them.
async fn deposit_at(
    drop: &Fixture,
    origin: Origin,
    bytes: &[usize],
    at: Timestamp,
) -> Option<&'static str> {
    let attempt = async {
        let mut package = drop.drop.package(origin);
        let mut files = Vec::new();
        for &length in bytes {
            let mut draft = package.file("a", "b")?;
            draft.write(noise(length, 1)).await?;
            files.push(draft.finish().await?);
        }
        package.commit(files, at, in_a_month(at)).await
    };
    match attempt.await {
        Ok(_) => None,
        Err(DropError::Ledger(LedgerError::Quota { name, .. })) => Some(name),
        Err(error) => panic!("{error}"),
    }
}

async fn deposit(drop: &Fixture, origin: Origin, bytes: &[usize]) -> Option<&'static str> {
    deposit_at(drop, origin, bytes, Timestamp::now()).await
}

/// Mail from outside, sent by this client.
fn stranger(client: &str) -> Origin {
    Origin {
        direction: Direction::Incoming,
        login: None,
        client: Some(client.parse().unwrap()),
        ..origin()
    }
}

#[tokio::test]
async fn one_deposit_alone_may_not_pass_the_total() {
    let drop = limited(QuotaConfig {
        total: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    let full = Some("total");
    assert_eq!(deposit(&drop, origin(), &[10 * SIZE + 1]).await, full);
    assert_eq!(
        deposit(&drop, origin(), &[5 * SIZE, 5 * SIZE + 1]).await,
        full
    );
    assert_eq!(deposit(&drop, origin(), &[5 * SIZE, 5 * SIZE]).await, None);
    assert_eq!(deposit(&drop, origin(), &[1]).await, full);
}

#[tokio::test]
async fn an_empty_file_counts_as_a_block() {
    let block = FILE_COST_MIN;
    for (name, quota) in [
        (
            "total",
            QuotaConfig {
                total: Some(3 * block),
                ..QuotaConfig::unlimited()
            },
        ),
        (
            "sender_per_day",
            QuotaConfig {
                sender_per_day: Some(3 * block),
                ..QuotaConfig::unlimited()
            },
        ),
    ] {
        let drop = limited(quota);
        assert_eq!(deposit(&drop, origin(), &[0; 4]).await, Some(name));
        assert_eq!(deposit(&drop, origin(), &[0, 1]).await, None);
        assert_eq!(deposit(&drop, origin(), &[0, 0]).await, Some(name));
        assert_eq!(
            deposit(&drop, origin(), &[block as usize + 1]).await,
            Some(name)
        );
        assert_eq!(deposit(&drop, origin(), &[block as usize]).await, None);
    }
}

#[tokio::test]
async fn a_sender_deposits_up_to_his_quota() {
    let drop = limited(QuotaConfig {
        sender_per_day: Some(10 * SIZE as u64),
        sender_directions: Directions::Outgoing,
        ..QuotaConfig::unlimited()
    });
    let full = Some("sender_per_day");
    assert_eq!(deposit(&drop, origin(), &[6 * SIZE]).await, None);
    assert_eq!(deposit(&drop, origin(), &[4 * SIZE + 1]).await, full);
    assert_eq!(
        deposit(&drop, origin(), &[2 * SIZE, 2 * SIZE + 1]).await,
        full
    );
    assert_eq!(deposit(&drop, origin(), &[2 * SIZE, 2 * SIZE]).await, None);
    // Before a byte is written.
    assert_eq!(deposit(&drop, origin(), &[0]).await, full);
    let bob = Origin {
        login: Some("bob".into()),
        ..origin()
    };
    assert_eq!(deposit(&drop, bob, &[10 * SIZE]).await, None);
    let incoming = Origin {
        direction: Direction::Incoming,
        ..origin()
    };
    assert_eq!(deposit(&drop, incoming, &[100 * SIZE]).await, None);
    assert_eq!(drop.drafts().len(), 0);
}

#[tokio::test]
async fn a_stolen_token_does_not_use_up_the_quota_of_a_login() {
    let drop = limited(QuotaConfig {
        sender_per_day: Some(10 * SIZE as u64),
        incoming_per_day: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    let by = |uploader: &str, origin: Origin| Origin {
        uploader: Some(uploader.into()),
        ..origin
    };
    let incoming = || Origin {
        sender: Token::random().to_string(),
        ..stranger("192.0.2.1")
    };
    for _ in 0..2 {
        deposit(&drop, by("stolen", origin()), &[10 * SIZE]).await;
        deposit(&drop, by("stolen", incoming()), &[10 * SIZE]).await;
    }
    let full = deposit(&drop, by("stolen", origin()), &[0]).await;
    assert_eq!(full, Some("sender_per_day"));
    let full = deposit(&drop, by("stolen", incoming()), &[0]).await;
    assert_eq!(full, Some("incoming_per_day"));
    for origin in [origin(), incoming()] {
        assert_eq!(
            deposit(&drop, by("other", origin.clone()), &[SIZE]).await,
            None
        );
        assert_eq!(deposit(&drop, origin, &[SIZE]).await, None);
    }
}

#[tokio::test]
async fn strangers_deposit_up_to_the_quota_of_their_network() {
    let quota = QuotaConfig {
        incoming_client_per_day: Some(10 * SIZE as u64),
        trusted_relays: vec!["198.51.100.7/32".parse().unwrap()],
        ..QuotaConfig::unlimited()
    };
    let full = Some("incoming_client_per_day");
    for addresses in [true, false] {
        let audit = AuditConfig {
            addresses,
            ..AuditConfig::default()
        };
        let drop = limited_with(quota.clone(), audit);
        let now = Timestamp::now();
        for (client, bytes, refused) in [
            ("192.0.2.1", 11 * SIZE, full),
            ("192.0.2.1", 10 * SIZE, None),
            ("192.0.2.254", 0, full),
            ("::ffff:192.0.2.9", 0, full),
            ("192.0.3.1", 10 * SIZE, None),
            // A relay has no share of its own.
            ("198.51.100.7", 20 * SIZE, None),
            ("198.51.100.7", 20 * SIZE, None),
            ("2001:db8:0:100::1", 10 * SIZE, None),
            ("2001:db8:0:1ff::1", 0, full),
            ("2001:db8:0:200::1", 10 * SIZE, None),
            ("2001:db8:0:300::1", 10 * SIZE, None),
            ("2001:db8:0:400::1", 10 * SIZE, None),
            // Four shares are all that a /48 has.
            ("2001:db8:0:500::1", 0, full),
            ("2001:db8:1:500::1", 10 * SIZE, None),
        ] {
            let came = deposit_at(&drop, stranger(client), &[bytes], now).await;
            assert_eq!(came, refused, "{client} {bytes}");
        }
        // What our own users send is not counted, from wherever.
        let ours = Origin {
            direction: Direction::Outgoing,
            ..stranger("192.0.2.1")
        };
        assert_eq!(deposit(&drop, ours, &[20 * SIZE]).await, None);
    }
}

#[tokio::test]
async fn a_network_has_its_quota_again_after_a_day() {
    let drop = limited(QuotaConfig {
        incoming_client_per_day: Some(10 * SIZE as u64),
        incoming_per_day: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    let client = || stranger("192.0.2.1");
    let before = Timestamp::now() - SignedDuration::from_hours(26);
    assert_eq!(
        deposit_at(&drop, client(), &[10 * SIZE], before).await,
        None
    );
    assert_eq!(deposit(&drop, client(), &[10 * SIZE]).await, None);
    let full = deposit(&drop, client(), &[0]).await;
    assert_eq!(full, Some("incoming_client_per_day"));
}

#[tokio::test]
async fn all_strangers_together_keep_to_their_quota() {
    let drop = limited(QuotaConfig {
        incoming_per_day: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    assert_eq!(
        deposit(&drop, stranger("192.0.2.1"), &[5 * SIZE]).await,
        None
    );
    assert_eq!(
        deposit(&drop, stranger("203.0.113.1"), &[5 * SIZE]).await,
        None
    );
    let full = Some("incoming_per_day");
    assert_eq!(deposit(&drop, stranger("2001:db8::1"), &[0]).await, full);
    // Local mail from outside has no client.
    let local = Origin {
        client: None,
        ..stranger("192.0.2.1")
    };
    assert_eq!(deposit(&drop, local, &[0]).await, full);
    assert_eq!(deposit(&drop, origin(), &[20 * SIZE]).await, None);
}

#[tokio::test]
async fn what_was_withdrawn_counts_for_nobody() {
    let drop = limited(QuotaConfig {
        incoming_client_per_day: Some(10 * SIZE as u64),
        incoming_per_day: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    for _ in 0..3 {
        let now = Timestamp::now();
        let mut package = drop.drop.package(stranger("192.0.2.1"));
        let file = drop.file(&mut package, "a", &noise(10 * SIZE, 1)).await;
        let token = package.commit(vec![file], now, in_a_month(now)).await;
        assert!(drop.drop.take_back(&token.unwrap(), now).await.unwrap());
    }
}

#[tokio::test]
async fn all_deposits_together_keep_to_the_total() {
    let drop = limited(QuotaConfig {
        total: Some(10 * SIZE as u64),
        ..QuotaConfig::unlimited()
    });
    // What is under way counts, until it is given up.
    let mut package = drop.drop.package(origin());
    let file = drop.file(&mut package, "a", &noise(6 * SIZE, 1)).await;
    let full = Some("total");
    assert_eq!(deposit(&drop, origin(), &[4 * SIZE + 1]).await, full);
    std::mem::drop((file, package));
    assert_eq!(deposit(&drop, origin(), &[10 * SIZE]).await, None);
    assert_eq!(deposit(&drop, origin(), &[0]).await, full);
    // What is destroyed makes room.
    let now = Timestamp::now() + SignedDuration::from_hours(24 * 60);
    drop.drop.trust_clock(now).await.unwrap();
    assert_eq!(drop.swept(now, 10).await.packages, 1);
    assert_eq!(deposit(&drop, origin(), &[10 * SIZE]).await, None);
}

#[tokio::test]
async fn nothing_is_taken_that_would_fill_the_disk() {
    for (name, quota) in [
        (
            "free_space_min",
            QuotaConfig {
                free_space_min: u64::MAX,
                ..QuotaConfig::unlimited()
            },
        ),
        (
            "free_inodes_min",
            QuotaConfig {
                free_inodes_min: usize::MAX,
                ..QuotaConfig::unlimited()
            },
        ),
    ] {
        let drop = limited(quota);
        // A file system that makes inodes as it needs them has no such bound.
        let is_counted = drop.drop.level().await.unwrap().free_inodes.is_some();
        let refused = (name != "free_inodes_min" || is_counted).then_some(name);
        assert_eq!(deposit(&drop, origin(), &[1]).await, refused);
        assert_eq!(drop.drafts().len(), 0);
    }
}

#[test]
fn a_quota_says_what_it_counts() {
    let said = |name| LedgerError::Quota { name, limit: 5 }.to_string();
    assert_eq!(said("total"), "the quota total of 5 bytes is used up");
    let inodes = "the quota free_inodes_min of 5 files is used up";
    assert_eq!(said("free_inodes_min"), inodes);
}

/// Writes records of deposits of a login, without their files.
fn history(drop: &Fixture, login: &str, created: Timestamp, packages: u32, bytes: u64) {
    let database = drop.sqlite();
    let sql = "INSERT INTO package (id, created, expires, state, queue_id, sender, login, direction, recipients, files, \
               bytes, cost) VALUES (randomblob(16), ?1, ?1, 'destroyed', '', '', ?2, 'outgoing', 1, 1, ?3, ?3)";
    for _ in 0..packages {
        let values = rusqlite::params![created.as_second(), login, bytes as i64];
        database.execute(sql, values).unwrap();
    }
}

#[tokio::test]
async fn a_login_that_deposits_many_times_its_usual_is_told_of_once_a_day() {
    let drop = limited(QuotaConfig::unlimited());
    let alerts = async || drop.drop.level().await.unwrap().unusual_logins;
    let now = Timestamp::now();
    let (today, last_week) = (
        now - SignedDuration::from_hours(2),
        now - SignedDuration::from_hours(7 * 24),
    );
    let send = async |login: &str| {
        let from = Origin {
            login: Some(login.into()),
            ..origin()
        };
        assert_eq!(deposit(&drop, from, &[1]).await, None);
    };
    // Little, if it is usual or not.
    history(&drop, "little", today, 1, 499_000_000);
    send("little").await;
    assert_eq!(alerts().await, 0);
    // Much, and nothing before.
    history(&drop, "new", today, 2, 250_000_000);
    send("NEW").await;
    send("new").await;
    assert_eq!(alerts().await, 1);
    // Much, but not ten times as much as 60 MB a day, which it was in four weeks.
    history(&drop, "always", last_week, 28, 60_000_000);
    history(&drop, "always", today, 1, 599_000_000);
    send("always").await;
    assert_eq!(alerts().await, 1);
    history(&drop, "always", today, 1, 1_000_000);
    send("always").await;
    assert_eq!(alerts().await, 2);
}

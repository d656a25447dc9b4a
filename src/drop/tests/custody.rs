//! The actions of readers and admins on packages.

use super::*;
use crate::envelope::Origin;

const CREATED: &str = "2026-01-31T10:00:00Z";
const EXPIRES: &str = "2026-02-28T10:00:00Z";

async fn deposited() -> (Fixture, Token, RecordId) {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1), noise(20, 2)], time(CREATED))
        .await;
    let id = RecordId::from(&token);
    (drop, token, id)
}

/// Opens the same directory with another configuration.
fn reopened(drop: &Fixture, change: impl FnOnce(&mut DropConfig)) -> FileDrop {
    let mut config = config(drop.directory());
    change(&mut config);
    FileDrop::open(&config).unwrap()
}

async fn extend(drop: &FileDrop, token: &Token, now: &str) -> Extension {
    drop.extend(token, time(now), &WEB).await.unwrap()
}

async fn actions(drop: &FileDrop) -> Vec<Action> {
    let entries = drop.audit(AuditQuery::default()).await.unwrap();
    entries.iter().map(|entry| entry.action).collect()
}

fn gone(found: PackageLookup) -> (Timestamp, Ending, Option<Timestamp>) {
    match found {
        PackageLookup::Gone {
            expired,
            why,
            extendable,
            ..
        } => (expired, why, extendable),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reader_extends_up_to_the_longest_life_and_never_shortens() {
    let (drop, token, _) = deposited().await;
    // Ten minutes after the deposit nothing is gained.
    let early = time("2026-01-31T10:10:00Z");
    assert_eq!(drop.live(&token, early).await.extendable, None);
    assert_eq!(
        extend(&drop.drop, &token, "2026-01-31T10:10:00Z").await,
        Extension::Limit
    );
    for (now, until) in [
        ("2026-02-15T09:00:00.5Z", "2026-03-15T09:00:00Z"),
        ("2026-03-14T09:00:00Z", "2026-04-14T09:00:00Z"),
        ("2026-04-10T09:00:00Z", "2026-04-30T10:00:00Z"), // three months after the deposit
    ] {
        let until = time(until);
        assert_eq!(drop.live(&token, time(now)).await.extendable, Some(until));
        assert_eq!(
            extend(&drop.drop, &token, now).await,
            Extension::Until(until)
        );
        assert_eq!(drop.live(&token, time(now)).await.expires, until);
    }
    assert_eq!(
        extend(&drop.drop, &token, "2026-04-20T09:00:00Z").await,
        Extension::Limit
    );
    assert_eq!(
        extend(&drop.drop, &token, "2026-04-30T10:00:00Z").await,
        Extension::Gone
    );
    let unknown = Token::random();
    assert_eq!(
        extend(&drop.drop, &unknown, CREATED).await,
        Extension::Unknown
    );
    use Action::{Deposit, Extend};
    assert_eq!(actions(&drop.drop).await, [Deposit, Extend, Extend, Extend]);
}

#[tokio::test]
async fn readers_extend_only_if_the_configuration_says_so() {
    let (drop, token, _) = deposited().await;
    let off = reopened(&drop, |config| config.extension = None);
    assert_eq!(
        extend(&off, &token, "2026-02-20T00:00:00Z").await,
        Extension::Limit
    );
    assert_eq!(extend(&drop.drop, &token, EXPIRES).await, Extension::Gone);
    let late = reopened(&drop, |config| config.extend_expired = true);
    let until = time("2026-03-28T10:00:00Z");
    let found = late.find(&token, time(EXPIRES)).await.unwrap();
    assert_eq!(gone(found), (time(EXPIRES), Ending::Expired, Some(until)));
    // The grace period ends after seven days.
    assert_eq!(
        extend(&late, &token, "2026-03-07T10:00:00Z").await,
        Extension::Gone
    );
    assert_eq!(
        extend(&late, &token, EXPIRES).await,
        Extension::Until(until)
    );
    assert_eq!(drop.live(&token, time(EXPIRES)).await.expires, until);
}

#[tokio::test]
async fn an_admin_lengthens_what_is_live_and_nothing_else() {
    let (drop, _, id) = deposited().await;
    let (now, until) = (time("2026-02-10T00:00:00Z"), time("2026-05-01T00:00:00Z"));
    let lengthen = async |until| {
        let done = drop.drop.lengthen(id, until, now, Requester::ADMIN);
        done.await.unwrap()
    };
    assert_eq!(lengthen(now).await, RequestOutcome::Later(time(EXPIRES)));
    assert_eq!(lengthen(until).await, RequestOutcome::Done(until));
    assert_eq!(lengthen(until).await, RequestOutcome::Later(until));
    let revoked = drop.drop.revoke(id, now, Requester::ADMIN, "");
    revoked.await.unwrap();
    assert_eq!(
        lengthen(time("2026-06-01T00:00:00Z")).await,
        RequestOutcome::Ended
    );
}

/// What two admins do at once: the later end holds, and what is revoked stays so.
#[tokio::test(flavor = "multi_thread")]
async fn an_extension_takes_back_nothing_that_is_done_beside_it() {
    let (drop, _, id) = deposited().await;
    let now = time("2026-02-10T00:00:00Z");
    let day = |days: i64| time(EXPIRES) + SignedDuration::from_hours(24 * days);
    let lengthen = |days| {
        let drop = drop.drop.clone();
        tokio::spawn(async move { drop.lengthen(id, day(days), now, Requester::ADMIN).await })
    };
    for round in 1..40 {
        let (earlier, later) = (lengthen(2 * round), lengthen(2 * round + 1));
        earlier.await.unwrap().unwrap();
        later.await.unwrap().unwrap();
        let (deposit, _) = drop.drop.show(id, now).await.unwrap().unwrap();
        assert_eq!(deposit.expires, day(2 * round + 1), "round {round}");

        let extended = lengthen(100 + round);
        let revoked = drop.drop.revoke(id, now, Requester::ADMIN, "").await;
        revoked.unwrap();
        extended.await.unwrap().unwrap();
        let (deposit, _) = drop.drop.show(id, now).await.unwrap().unwrap();
        assert_eq!(deposit.state, PackageState::Revoked, "round {round}");
        let restored = drop.drop.restore(id, day(0), now, Requester::ADMIN);
        restored.await.unwrap();
    }
}

#[tokio::test]
async fn a_revoked_package_is_gone_at_once_and_can_be_restored_in_its_grace_period() {
    let (drop, token, id) = deposited().await;
    let now = time("2026-02-10T00:00:00Z");
    let revoke = async || {
        drop.drop
            .revoke(id, now, Requester::ADMIN, "a\nmistake")
            .await
            .unwrap()
    };
    assert_eq!(revoke().await, RequestOutcome::Done(now));
    assert_eq!(revoke().await, RequestOutcome::Already);
    let found = drop.drop.find(&token, now).await.unwrap();
    assert_eq!(gone(found), (now, Ending::Revoked, None));
    assert_eq!(
        extend(&drop.drop, &token, "2026-02-10T00:00:00Z").await,
        Extension::Gone
    );
    assert_eq!(drop.drop.names(&token).await.unwrap().unwrap().len(), 2);
    // Seven days after that, not after it would have expired.
    drop.swept(time("2026-02-16T23:59:59Z"), 10).await;
    let until = time("2026-05-01T00:00:00Z");
    let restored = drop
        .drop
        .restore(id, until, now, Requester::ADMIN)
        .await
        .unwrap();
    assert_eq!(restored, RequestOutcome::Done(until));
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), noise(20, 2));
    let entries = drop.drop.audit(AuditQuery::default()).await.unwrap();
    assert_eq!(entries[1].detail, "a mistake");
    use Action::{Deposit, Restore, Revoke};
    assert_eq!(actions(&drop.drop).await, [Deposit, Revoke, Restore]);
}

#[tokio::test]
async fn what_is_destroyed_at_once_cannot_be_restored() {
    let (drop, token, id) = deposited().await;
    let now = time("2026-02-10T00:00:00Z");
    let destroy = async || drop.drop.destroy(id, now, Requester::ADMIN).await;
    assert!(matches!(destroy().await, Err(LedgerError::Misuse(_))));
    drop.drop
        .revoke(id, now, Requester::ADMIN, "")
        .await
        .unwrap();
    assert_eq!(destroy().await.unwrap(), RequestOutcome::Done(now));
    assert_eq!(destroy().await.unwrap(), RequestOutcome::Destroyed);
    assert_eq!(drop.blobs().len(), 0);
    let until = time("2026-05-01T00:00:00Z");
    let restored = drop
        .drop
        .restore(id, until, now, Requester::ADMIN)
        .await
        .unwrap();
    assert_eq!(restored, RequestOutcome::Destroyed);
    assert!(drop.drop.names(&token).await.unwrap().is_none());
    let (deposit, files) = drop.drop.show(id, now).await.unwrap().unwrap();
    assert_eq!(
        (deposit.state, deposit.bytes, files.len()),
        (PackageState::Destroyed, 30, 2)
    );
}

#[tokio::test]
async fn a_blocked_file_ends_its_packages_and_is_refused_from_then_on() {
    let (drop, token, id) = deposited().await;
    let now = time("2026-02-10T00:00:00Z");
    let other = drop.deposit(&[noise(10, 3)], now).await;
    let sha256 = drop.live(&token, now).await.files[1].sha256;
    let block = async || {
        drop.drop
            .block(sha256, now, Requester::ADMIN, "malware")
            .await
    };
    assert_eq!(block().await.unwrap(), (true, vec![id]));
    assert_eq!(block().await.unwrap(), (false, vec![]));
    let found = drop.drop.find(&token, now).await.unwrap();
    assert_eq!(gone(found).1, Ending::Revoked);
    drop.live(&other, now).await;
    let until = time("2026-05-01T00:00:00Z");
    let restore = async || {
        drop.drop
            .restore(id, until, now, Requester::ADMIN)
            .await
            .unwrap()
    };
    assert_eq!(restore().await, RequestOutcome::Blocked);
    let mut package = drop.drop.package(origin());
    let file = drop.file(&mut package, "again", &noise(20, 2)).await;
    let refused = package.commit(vec![file], now, until).await;
    assert!(matches!(
        refused,
        Err(DropError::Ledger(LedgerError::Blocked))
    ));
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (3, 0));
    let entries = drop.drop.audit(AuditQuery::default()).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action).collect();
    assert_eq!(actions.last(), Some(&Action::Refuse), "{actions:?}");
    assert!(!actions.contains(&Action::Withdraw), "{actions:?}");
    assert!(
        drop.drop
            .unblock(sha256, now, Requester::ADMIN)
            .await
            .unwrap()
    );
    assert!(
        !drop
            .drop
            .unblock(sha256, now, Requester::ADMIN)
            .await
            .unwrap()
    );
    assert_eq!(restore().await, RequestOutcome::Done(until));
}

#[tokio::test]
async fn what_is_revoked_during_a_suspension_does_not_come_back_with_it() {
    let (drop, token, id) = deposited().await;
    let other = drop.deposit(&[noise(10, 3)], time(CREATED)).await;
    let now = time("2026-02-10T00:00:00Z");
    let admin = Requester::ADMIN;
    drop.drop.suspend("alice", now, admin, "").await.unwrap();
    drop.drop.revoke(id, now, admin, "malware").await.unwrap();
    let resumed = drop.drop.resume("alice", now, admin).await.unwrap();
    assert_eq!(resumed.unwrap().restored, [RecordId::from(&other)]);
    let found = drop.drop.find(&token, now).await.unwrap();
    assert_eq!(gone(found).1, Ending::Revoked);
}

#[tokio::test]
async fn a_suspended_login_deposits_nothing_and_its_packages_end_until_it_is_resumed() {
    let (drop, token, id) = deposited().await;
    let revoked = drop.deposit(&[noise(10, 3)], time(CREATED)).await;
    let now = time("2026-02-10T00:00:00Z");
    let admin = Requester::ADMIN;
    let before = drop.drop.revoke(RecordId::from(&revoked), now, admin, "");
    before.await.unwrap();
    let mut begun = drop.drop.package(origin());
    let late = drop.file(&mut begun, "a", &noise(10, 4)).await;

    let suspend = async || {
        drop.drop
            .suspend("ALICE", now, admin, "stolen")
            .await
            .unwrap()
    };
    assert_eq!(suspend().await, (true, vec![id]));
    assert_eq!(suspend().await, (false, vec![]));
    let [one] = drop.drop.suspensions().await.unwrap().try_into().unwrap();
    assert_eq!((&*one.login, &*one.reason), ("ALICE", "stolen"));
    let found = drop.drop.find(&token, now).await.unwrap();
    assert_eq!(gone(found).1, Ending::Revoked);

    // What was under way is not committed, and what begins is not written.
    let commit = begun.commit(vec![late], now, in_a_month(now));
    assert!(matches!(
        commit.await,
        Err(DropError::Ledger(LedgerError::Suspended))
    ));
    let mut package = drop.drop.package(origin());
    let mut draft = package.file("a", "b").unwrap();
    draft.write(noise(10, 5)).await.unwrap();
    assert!(matches!(
        draft.finish().await,
        Err(DropError::Ledger(LedgerError::Suspended))
    ));
    assert_eq!(
        files(&drop.directory().join("drafts")),
        [""; 0].map(PathBuf::from)
    );
    let bob = Origin {
        login: Some("bob".into()),
        ..origin()
    };
    let mut package = drop.drop.package(bob);
    let file = drop.file(&mut package, "a", &noise(10, 6)).await;
    package
        .commit(vec![file], now, in_a_month(now))
        .await
        .unwrap();

    let resume = async || drop.drop.resume("alice", now, admin).await.unwrap();
    let resumed = resume().await.unwrap();
    assert_eq!((resumed.restored, resumed.kept), (vec![id], vec![]));
    assert_eq!(resume().await, None);
    assert_eq!(drop.live(&token, now).await.expires, time(EXPIRES));
    // It was ended by itself, before.
    let found = drop.drop.find(&revoked, now).await.unwrap();
    assert_eq!(gone(found).1, Ending::Revoked);
    drop.deposit(&[noise(10, 7)], now).await;
    use Action::{Deposit, Refuse, Resume, Revoke, Suspend};
    assert_eq!(
        actions(&drop.drop).await,
        [
            Deposit, Deposit, Revoke, Suspend, Suspend, Refuse, Deposit, Resume, Resume, Deposit
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_fetched_when_its_login_is_resumed_is_told_one_by_one() {
    let (drop, _, blocked) = deposited().await;
    let held = RecordId::from(&drop.deposit(&[noise(10, 4)], time(CREATED)).await);
    let early = time("2026-01-15T10:00:00Z");
    let expired = RecordId::from(&drop.deposit(&[noise(10, 5)], early).await);
    let destroyed = RecordId::from(&drop.deposit(&[noise(10, 3)], time(CREATED)).await);
    let (now, admin) = (time("2026-02-10T00:00:00Z"), Requester::ADMIN);
    drop.drop.suspend("alice", now, admin, "").await.unwrap();
    drop.drop.destroy(destroyed, now, admin).await.unwrap();
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &noise(10, 1));
    let sha256 = sha256.as_ref().try_into().unwrap();
    drop.drop.block(sha256, now, admin, "").await.unwrap();
    drop.drop.hold(held, now, admin, "1").await.unwrap();
    let later = time("2026-02-16T00:00:00Z");
    let resumed = drop.drop.resume("alice", later, admin).await.unwrap();
    let Resumed {
        restored,
        expired: over,
        mut kept,
    } = resumed.unwrap();
    assert_eq!(restored, []);
    assert_eq!(over, [(expired, time("2026-02-15T10:00:00Z"))]);
    kept.sort_by_key(|(id, _)| id.0);
    let mut expected = vec![
        (destroyed, RequestOutcome::Destroyed),
        (blocked, RequestOutcome::Blocked),
        (held, RequestOutcome::Held),
    ];
    expected.sort_by_key(|(id, _)| id.0);
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn a_download_that_is_running_ends_when_its_package_is_destroyed() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(1_000_000, 1)], now).await;
    let package = drop.live(&token, now).await;
    let read = drop.drop.read(&token, &package, 0, 0..1_000_000).await;
    let mut reader = read.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    let (id, admin) = (RecordId::from(&token), Requester::ADMIN);
    drop.drop.revoke(id, now, admin, "").await.unwrap();
    assert!(reader.next().await.unwrap().is_some());
    drop.drop.destroy(id, now, admin).await.unwrap();
    assert!(matches!(
        reader.next().await,
        Err(DropError::Damaged { .. })
    ));
    assert!(drop.blobs().is_empty());
}

#[tokio::test]
async fn a_report_stands_in_the_log_and_says_whom_to_ask() {
    let (drop, token, id) = deposited().await;
    let now = time("2026-02-10T00:00:00Z");
    let reader = Requester::web(Some("192.0.2.7".parse().unwrap()));
    let text = format!("bad\r\nfile {token}");
    let report = async |token: &Token| {
        let report = drop
            .drop
            .report(token, now, &reader, &text, "me@example.com");
        report.await.unwrap()
    };
    let sent = report(&token).await.unwrap();
    assert_eq!((sent.id, &*sent.text), (id, "bad  file […]"));
    assert_eq!(
        (&*sent.queue_id, &*sent.sender),
        ("4abCDe12", "alice@example.org")
    );
    assert!(report(&Token::random()).await.is_none());
    let query = AuditQuery {
        package: Some(id),
        since: Some(now),
    };
    let entries = drop.drop.audit(query).await.unwrap();
    assert_eq!(entries[0].client, reader);
    assert_eq!(
        entries[0].detail,
        r#"contact="me@example.com" text="bad  file […]""#
    );
}

#[tokio::test]
async fn addresses_of_readers_are_recorded_only_if_the_configuration_says_so() {
    let (drop, token, _) = deposited().await;
    let audit = AuditConfig {
        addresses: false,
        ..AuditConfig::default()
    };
    let quiet = config(drop.directory());
    let quiet = FileDrop::open_with(
        &quiet,
        &QuotaConfig::unlimited(),
        &audit,
        &ScanConfig::default(),
    )
    .unwrap();
    let reader = Requester::web(Some("192.0.2.7".parse().unwrap()));
    quiet.count_download(&token, 0..1, &reader).await.unwrap();
    let entries = quiet.audit(AuditQuery::default()).await.unwrap();
    assert_eq!(entries[1].client, WEB);
}

#[test]
fn the_audit_log_refuses_to_be_changed() {
    let drop = fixture();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(drop.deposit(&[noise(10, 1)], Timestamp::now()));
    let sqlite = drop.sqlite();
    for sql in ["UPDATE audit SET sender = 'x'", "DELETE FROM audit"] {
        let error = sqlite.execute(sql, []).unwrap_err().to_string();
        assert!(error.starts_with("entries of the audit log are"), "{error}");
    }
}

/// A drop that records addresses, or does not, and a package in it from this client and uploader.
async fn from(addresses: bool) -> (Fixture, Deposit) {
    let mut drop = fixture();
    let audit = crate::config::AuditConfig {
        addresses,
        message_ids: addresses,
        ..Default::default()
    };
    let quota = crate::config::QuotaConfig::unlimited();
    let config = config(drop.directory());
    drop.drop = FileDrop::open_with(&config, &quota, &audit, &ScanConfig::default()).unwrap();
    let origin = Origin {
        client: "192.0.2.7".parse().ok(),
        uploader: Some("MX1".into()),
        message_id: Some("<1@example.org>".into()),
        ..origin()
    };
    let mut package = drop.drop.package(origin);
    let file = drop.file(&mut package, "a", &noise(10, 1)).await;
    let commit = package.commit(vec![file], time(CREATED), time(EXPIRES));
    commit.await.unwrap();
    let query = Query {
        uploader: Some("mx1".into()),
        ..Query::default()
    };
    let found = drop.drop.list(query, time(CREATED)).await.unwrap();
    let [deposit] = found.try_into().unwrap();
    (drop, deposit)
}

#[tokio::test]
async fn who_deposited_for_another_host_stands_in_the_log() {
    let (drop, _) = from(true).await;
    let entries = drop.drop.audit(AuditQuery::default()).await.unwrap();
    assert_eq!(entries[0].detail, "files=1 bytes=10 uploader=MX1");
    let ours = drop.deposit(&[noise(10, 2)], time(CREATED)).await;
    drop.drop
        .revoke(RecordId::from(&ours), time(CREATED), Requester::ADMIN, "")
        .await
        .unwrap();
    let entries = drop.drop.audit(AuditQuery::default()).await.unwrap();
    assert!(
        entries[1..]
            .iter()
            .all(|entry| !entry.detail.contains("uploader"))
    );
}

#[tokio::test]
async fn client_uploader_and_message_id_stand_in_the_record_as_configured() {
    let (_drop, deposit) = from(true).await;
    assert_eq!(deposit.origin.client, "192.0.2.7".parse().ok());
    assert_eq!(deposit.origin.uploader.as_deref(), Some("MX1"));
    let message_id = deposit.origin.message_id;
    assert_eq!(message_id.as_deref(), Some("<1@example.org>"));
    let (_drop, deposit) = from(false).await;
    assert_eq!(deposit.origin.client, None);
    assert_eq!(deposit.origin.message_id, None);
}

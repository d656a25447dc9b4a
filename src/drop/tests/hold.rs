//! Packages that are held by order of an authority.

use super::*;

const NOW: &str = "2026-02-10T00:00:00Z";
const LATER: &str = "2026-09-01T00:00:00Z";

async fn held() -> (Fixture, Token, RecordId) {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1)], time("2026-01-31T10:00:00Z"))
        .await;
    let id = RecordId::from(&token);
    let held = drop
        .drop
        .hold(id, time(NOW), Requester::ADMIN, "case\n1234/26");
    assert_eq!(held.await.unwrap(), RequestOutcome::Done(time(NOW)));
    (drop, token, id)
}

async fn state(drop: &FileDrop, id: RecordId, now: &str) -> PackageState {
    drop.show(id, time(now)).await.unwrap().unwrap().0.state
}

#[tokio::test]
async fn a_package_that_is_held_outlives_its_expiry_and_is_fetched_by_nobody() {
    let (drop, token, id) = held().await;
    let again = drop.drop.hold(id, time(NOW), Requester::ADMIN, "other");
    assert_eq!(again.await.unwrap(), RequestOutcome::Already);
    let found = drop.drop.find(&token, time(NOW)).await.unwrap();
    assert!(matches!(
        found,
        PackageLookup::Gone {
            why: Ending::Revoked,
            extendable: None,
            ..
        }
    ));

    // Long after its grace period, behind a hundred others that are swept.
    let other = drop.deposit(&[noise(10, 2)], time(NOW)).await;
    drop.drop.trust_clock(time(LATER)).await.unwrap();
    assert_eq!(drop.swept(time(LATER), 1).await.packages, 1);
    assert!(is_gone(&drop, &other).await);
    assert_eq!(drop.blobs().len(), 1);
    assert_eq!(drop.drop.level().await.unwrap().stored, 10);
    assert_eq!(state(&drop.drop, id, LATER).await, PackageState::Held);

    let listed = async |state| {
        let query = Query {
            state: Some((state, time(NOW))),
            ..Query::default()
        };
        let found = drop.drop.list(query, time(NOW)).await.unwrap();
        found.iter().map(|found| found.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(PackageState::Held).await, [id]);
    assert_eq!(listed(PackageState::Live).await, []);
    let shown = drop.drop.show(id, time(NOW)).await.unwrap().unwrap().0;
    let hold = Hold {
        since: time(NOW),
        reason: "case 1234/26".into(),
    };
    assert_eq!((shown.held, shown.destroyed_after), (Some(hold), None));
}

async fn is_gone(drop: &Fixture, token: &Token) -> bool {
    let id = RecordId::from(token);
    state(&drop.drop, id, LATER).await == PackageState::Destroyed
}

#[tokio::test]
async fn neither_an_admin_nor_its_uploader_destroys_a_package_that_is_held() {
    let (drop, token, id) = held().await;
    let (now, admin) = (time(NOW), Requester::ADMIN);
    let revoked = drop.drop.revoke(id, now, admin, "").await.unwrap();
    assert_eq!(revoked, RequestOutcome::Done(now));
    let destroyed = drop.drop.destroy(id, now, admin).await.unwrap();
    assert_eq!(destroyed, RequestOutcome::Held);
    let until = time(LATER);
    let restored = drop.drop.restore(id, until, now, admin).await.unwrap();
    assert_eq!(restored, RequestOutcome::Held);
    let records = &drop.drop.store.books().records;
    let entry = Entry::general(now, Action::Withdraw, admin, String::new());
    let withdrawn = records.withdraw(id, &entry);
    assert!(matches!(withdrawn, Err(LedgerError::Held)));
    records.doom(&[(id, now)]).unwrap();
    assert!(records.is_needed(id).unwrap());
    for sql in [
        "UPDATE package SET state = 'destroyed', manifest = NULL",
        "DELETE FROM package",
    ] {
        let error = drop.sqlite().execute(sql, []).unwrap_err().to_string();
        assert_eq!(error, "this package is held by order");
    }
    assert_eq!(drop.blobs().len(), 1);

    // Let go of, it is what it would have been.
    let let_go = drop.drop.unhold(id, now, admin, "lifted").await.unwrap();
    assert_eq!(let_go.unwrap().reason, "case 1234/26");
    assert_eq!(drop.drop.unhold(id, now, admin, "").await.unwrap(), None);
    assert_eq!(state(&drop.drop, id, NOW).await, PackageState::Revoked);
    let restored = drop.drop.restore(id, until, now, admin).await.unwrap();
    assert_eq!(restored, RequestOutcome::Done(until));
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), noise(10, 1));
    let entries = drop.drop.audit(AuditQuery::default()).await.unwrap();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action, entry.detail.as_str()))
        .collect();
    assert_eq!(told[1], (Action::Hold, "case 1234/26"));
    assert_eq!(told[3], (Action::Release, "lifted"));
}

#[tokio::test]
async fn what_is_destroyed_cannot_be_held() {
    let (drop, _, id) = held().await;
    let (now, admin) = (time(LATER), Requester::ADMIN);
    drop.drop.unhold(id, now, admin, "").await.unwrap();
    drop.drop.trust_clock(now).await.unwrap();
    drop.swept(now, 10).await;
    let held = drop.drop.hold(id, now, admin, "1").await.unwrap();
    assert_eq!(held, RequestOutcome::Destroyed);
    let unknown = RecordId::from(&Token::random());
    let held = drop.drop.hold(unknown, now, admin, "1").await.unwrap();
    assert_eq!(held, RequestOutcome::Unknown);
}

#[tokio::test]
async fn packages_are_found_by_a_file_that_they_hold() {
    let (drop, _, id) = held().await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &noise(10, 1));
    for (seed, expected) in [(1, vec![id]), (2, vec![])] {
        let mut sha256: [u8; 32] = digest.as_ref().try_into().unwrap();
        sha256[0] ^= u8::from(seed == 2);
        let query = Query {
            sha256: Some(sha256),
            ..Query::default()
        };
        let found = drop.drop.list(query, time(NOW)).await.unwrap();
        let found: Vec<_> = found.iter().map(|found| found.id).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn who_has_the_link_opens_what_is_held_until_it_is_destroyed() {
    let (drop, token, id) = held().await;
    assert!(!drop.drop.has_unknown_files().await.unwrap());
    let kept = drop.drop.find_kept(&token).await.unwrap().unwrap();
    let mut reader = drop.drop.read(&token, &kept, 0, 0..10).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), noise(10, 1));

    drop.drop
        .unhold(id, time(NOW), Requester::ADMIN, "lifted")
        .await
        .unwrap();
    drop.drop
        .revoke(id, time(NOW), Requester::ADMIN, "")
        .await
        .unwrap();
    assert!(drop.drop.find_kept(&token).await.unwrap().is_some());
    drop.drop
        .destroy(id, time(NOW), Requester::ADMIN)
        .await
        .unwrap();
    assert!(drop.drop.find_kept(&token).await.unwrap().is_none());
}

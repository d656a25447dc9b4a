use jiff::ToSpan as _;

use super::*;
use crate::{
    config::{OnUnscanned, ScanConfig},
    drop::rescan::AT_ONCE_MAX,
    scan::scripted::{EVIL, Script, Scripted},
};

/// A package of a clean file and an infected one that was deposited without a scan, in a drop that scans now.
struct Rescanned {
    fixture: Fixture,
    token: Token,
}

const DEPOSITED: &str = "2026-11-20T10:00:00Z";

async fn rescanned(clamd: &Scripted, scan: ScanConfig) -> Rescanned {
    let fixture = fixture();
    let files = [noise(200_000, 1), Bytes::from_static(EVIL)];
    let token = fixture.deposit(&files, time(DEPOSITED)).await;
    scanned_by(clamd, scan, fixture, token)
}

/// The same package in a process that has this daemon.
fn scanned_by(clamd: &Scripted, scan: ScanConfig, mut fixture: Fixture, token: Token) -> Rescanned {
    let scan = ScanConfig {
        clamd: vec![clamd.address.clone()],
        timeout: std::time::Duration::from_secs(1),
        ..scan
    };
    let (quota, audit) = (QuotaConfig::unlimited(), AuditConfig::default());
    let config = config(fixture.directory());
    fixture.drop = FileDrop::open_with(&config, &quota, &audit, &scan).unwrap();
    Rescanned { fixture, token }
}

impl Rescanned {
    async fn release(&self, files: Range<usize>, now: &str) -> Release {
        let (drop, now) = (&self.fixture.drop, time(now));
        let PackageLookup::Live(package) = drop.find(&self.token, now).await.unwrap() else {
            return Release::Ended;
        };
        let released = drop.release(&self.token, &package, files, now).await;
        released.unwrap()
    }
}

#[tokio::test]
async fn a_file_is_scanned_again_at_its_first_download_of_a_day_if_signatures_are_newer() {
    let clamd = Scripted::start(Script::Looks);
    let package = rescanned(&clamd, ScanConfig::default()).await;
    for (now, scans, why) in [
        (
            "2026-11-21T09:59:59Z",
            0,
            "its deposit is less than a day ago",
        ),
        (
            "2026-11-21T10:00:00Z",
            1,
            "it is the first download after a day",
        ),
        ("2026-11-22T09:59:59Z", 1, "its scan is less than a day ago"),
        (
            "2026-11-22T10:00:00Z",
            1,
            "the signatures are those of the last scan",
        ),
    ] {
        assert_eq!(package.release(0..1, now).await, Release::Given);
        assert_eq!(clamd.files().len(), scans, "{why}");
    }
    clamd.knows("ClamAV 1.4.6/27451/Sun Nov 22 09:00:00 2026");
    for now in ["2026-11-22T11:00:00Z", "2026-11-22T11:00:00Z"] {
        assert_eq!(package.release(0..1, now).await, Release::Given);
        assert_eq!(clamd.files().len(), 2, "there are new signatures");
    }
    assert_eq!(clamd.files(), vec![noise(200_000, 1); 2]);
}

#[tokio::test]
async fn signatures_without_a_number_may_always_be_newer() {
    let clamd = Scripted::start(Script::Looks);
    clamd.knows("ClamAV 1.4.6");
    let package = rescanned(&clamd, ScanConfig::default()).await;
    for (now, scans) in [("2026-11-23T10:00:00Z", 1), ("2026-11-24T10:00:00Z", 2)] {
        assert_eq!(package.release(0..1, now).await, Release::Given);
        assert_eq!(clamd.files().len(), scans);
    }
}

#[tokio::test]
async fn an_infected_package_is_ended_and_that_is_audited() {
    let clamd = Scripted::start(Script::Looks);
    let package = rescanned(&clamd, ScanConfig::default()).await;
    let now = "2026-11-23T10:00:00Z";
    assert_eq!(package.release(0..1, now).await, Release::Given);
    assert_eq!(package.release(0..2, now).await, Release::Ended);
    let drop = &package.fixture.drop;
    let found = drop.find(&package.token, time(now)).await.unwrap();
    let PackageLookup::Gone { why, .. } = found else {
        panic!("{found:?}");
    };
    assert_eq!(why, Ending::Revoked);
    let entries = drop.audit(AuditQuery::default()).await.unwrap();
    let entry = entries.iter().find(|entry| entry.action == Action::Revoke);
    let entry = entry.unwrap();
    assert_eq!(entry.detail, "a file is infected: Evil.Test");
    assert_eq!(entry.client.actor, Actor::Sweep);
}

#[tokio::test]
async fn without_a_verdict_a_file_is_given_out_later_unless_unscanned_ones_are_deposited() {
    let clamd = Scripted::start(Script::Closes);
    let now = "2026-11-23T10:00:00Z";
    for (on_failure, released) in [
        (OnUnscanned::Tempfail, Release::Unscanned),
        (OnUnscanned::Deliver, Release::Unscanned),
        (OnUnscanned::Deposit, Release::Given),
    ] {
        let scan = ScanConfig {
            on_failure,
            ..ScanConfig::default()
        };
        let package = rescanned(&clamd, scan).await;
        assert_eq!(package.release(0..1, now).await, released);
    }
}

#[tokio::test]
async fn what_is_too_large_or_never_to_be_scanned_again_is_given_out() {
    let clamd = Scripted::start(Script::Looks);
    let now = "2026-11-23T10:00:00Z";
    for (size_max, rescan) in [(EVIL.len() as u64 - 1, Some(1.day())), (1 << 30, None)] {
        let scan = ScanConfig {
            size_max,
            rescan,
            ..ScanConfig::default()
        };
        let package = rescanned(&clamd, scan).await;
        assert_eq!(package.release(0..2, now).await, Release::Given);
    }
    assert_eq!(clamd.files().len(), 0);
}

#[tokio::test]
async fn those_who_ask_at_the_same_time_wait_for_one_scan() {
    let clamd = Scripted::start(Script::Looks);
    let package = rescanned(&clamd, ScanConfig::default()).await;
    let release = || package.release(0..1, "2026-11-23T10:00:00Z");
    let (one, two, three) = tokio::join!(release(), release(), release());
    assert_eq!([one, two, three], [Release::Given; 3]);
    assert_eq!(clamd.files().len(), 1);
}

#[tokio::test]
async fn a_finding_that_an_admin_overruled_does_not_end_a_package_again() {
    let clamd = Scripted::start(Script::Looks);
    let package = rescanned(&clamd, ScanConfig::default()).await;
    let drop = &package.fixture.drop;
    let (id, until) = (RecordId::from(&package.token), time("2026-12-20T10:00:00Z"));
    let restore = async |now| {
        let restored = drop.restore(id, until, time(now), Requester::ADMIN).await;
        assert_eq!(restored.unwrap(), RequestOutcome::Done(until));
    };
    // Who restores what was ended for another reason says nothing of a virus.
    let now = time("2026-11-22T10:00:00Z");
    drop.revoke(id, now, Requester::ADMIN, "a file is infected: Evil.Test")
        .await
        .unwrap();
    restore("2026-11-22T11:00:00Z").await;
    assert_eq!(
        package.release(0..2, "2026-11-23T10:00:00Z").await,
        Release::Ended
    );
    restore("2026-11-23T11:00:00Z").await;
    let scans = clamd.files().len();
    for _ in 0..2 {
        assert_eq!(
            package.release(1..2, "2026-11-23T12:00:00Z").await,
            Release::Given
        );
        assert_eq!(
            clamd.files().len(),
            scans + 1,
            "it is not scanned for each reader"
        );
    }
    clamd.knows("ClamAV 1.4.6/27451/Sun Nov 24 09:00:00 2026");
    assert_eq!(
        package.release(0..2, "2026-11-25T10:00:00Z").await,
        Release::Given
    );
    // Something else is found.
    let other = Scripted::start(Script::Says(b"stream: Other.Test FOUND\0"));
    let again = scanned_by(
        &other,
        ScanConfig::default(),
        package.fixture,
        package.token,
    );
    assert_eq!(
        again.release(0..2, "2026-11-27T10:00:00Z").await,
        Release::Ended
    );
}

#[tokio::test]
async fn few_files_are_scanned_again_at_the_same_time() {
    let clamd = Scripted::start(Script::Hangs);
    let package = rescanned(&clamd, ScanConfig::default()).await;
    let one = package.release(0..2, "2026-11-23T10:00:00Z");
    // A file whose turn has not come does not reach clamd.
    let turns = &package.fixture.drop.store.rescans.turns;
    let held = turns.acquire_many(AT_ONCE_MAX as u32).await.unwrap();
    let mut one = Box::pin(one);
    assert!(futures_util::FutureExt::now_or_never(&mut one).is_none());
    assert_eq!(clamd.files().len(), 0);
    std::mem::drop(held);
    assert_eq!(one.await, Release::Unscanned);
    assert!((1..=2).contains(&clamd.files().len()));
}

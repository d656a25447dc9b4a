//! Deposits that are given up, or fail: they leave nothing.

use std::time::Duration;

use super::*;

/// Runs on a runtime of its own: when that is dropped, every worker has ended, and then what was given up is gone.
fn after_all_workers<T>(work: impl AsyncFnOnce(&Fixture) -> T) -> (Fixture, T) {
    let fixture = fixture();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let value = runtime.block_on(work(&fixture));
    std::mem::drop(runtime);
    assert!(aside::settle(Duration::MAX));
    (fixture, value)
}

#[test]
fn a_draft_dropped_at_any_stage_leaves_nothing() {
    for stage in 0..6 {
        let (drop, token) = after_all_workers(async |drop| {
            let mut package = drop.drop.package(origin());
            let token = package.token().clone();
            if stage == 0 {
                return token;
            }
            let mut file = package.file("a", "b").unwrap();
            if stage == 1 {
                return token;
            }
            file.write(noise(500_000, 1)).await.unwrap();
            if stage == 2 {
                return token;
            }
            if stage == 3 {
                futures_util::FutureExt::now_or_never(file.finish());
                return token;
            }
            let file = file.finish().await.unwrap();
            if stage == 4 {
                return token;
            }
            let now = Timestamp::now();
            futures_util::FutureExt::now_or_never(package.commit(vec![file], now, now));
            token
        });
        assert!(is_unknown(&drop, &token), "stage {stage}");
        assert_eq!(
            (drop.drafts().len(), drop.blobs().len()),
            (0, 0),
            "stage {stage}"
        );
    }
}

#[test]
fn a_commit_that_nobody_waits_for_is_undone() {
    let (drop, token) = after_all_workers(async |drop| {
        let now = Timestamp::now();
        let mut package = drop.drop.package(origin());
        let token = package.token().clone();
        let file = drop.file(&mut package, "a", &noise(100_000, 1)).await;
        let mut commit = Box::pin(package.commit(vec![file], now, in_a_month(now)));
        assert!(futures_util::FutureExt::now_or_never(&mut commit).is_none());
        // The record is written, and the future has not been told.
        while is_unknown(drop, &token) {
            std::thread::yield_now();
        }
        token
    });
    assert!(is_unknown(&drop, &token));
    assert_eq!((drop.drafts().len(), drop.blobs().len()), (0, 0));
}

#[tokio::test]
async fn a_commit_whose_draft_was_taken_leaves_nothing() {
    let drop = fixture();
    let now = Timestamp::now();
    let mut package = drop.drop.package(origin());
    let token = package.token().clone();
    let kept = drop.file(&mut package, "a", &noise(10, 1)).await;
    let taken = drop.file(&mut package, "b", &noise(10, 2)).await;
    let drafts = drop.drafts();
    let newest = drafts
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    fs::remove_file(newest.unwrap()).unwrap();
    let error = package
        .commit(vec![kept, taken], now, now)
        .await
        .unwrap_err();
    assert!(matches!(error, DropError::Io { .. }), "{error}");
    assert!(is_unknown(&drop, &token));
    // Undone in a thread of its own: a sweep later would find the same.
    drop.swept(now + SignedDuration::from_hours(2), 10).await;
    assert_eq!(drop.drafts().len(), 0);
}

#[tokio::test]
async fn a_dead_worker_is_reported_once_with_its_error() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    let read_only = fs::File::open("/dev/null").unwrap();
    let mut draft = draft::draft_into(read_only, &drop.directory(), &package);
    let error = loop {
        if let Err(error) = draft.write(noise(100_000, 1)).await {
            break error;
        }
    };
    assert!(
        matches!(
            error,
            DropError::Io {
                action: "write to",
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(draft.finish().await, Err(DropError::Stopped)));
    assert!(drop.drafts().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut draft = draft::draft_into(full, &drop.directory(), &package);
    draft.write(noise(10, 1)).await.unwrap();
    let error = draft.finish().await.unwrap_err();
    assert!(matches!(error, DropError::Full { .. }), "{error}");
    assert!(drop.drafts().is_empty());
}

#[tokio::test]
async fn a_failed_sync_gives_the_file_up() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    // A character device takes bytes, and cannot be synced.
    let null = fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .unwrap();
    let mut draft = draft::draft_into(null, &drop.directory(), &package);
    draft.write(noise(10, 1)).await.unwrap();
    let error = draft.finish().await.unwrap_err();
    assert!(
        matches!(error, DropError::Io { action: "sync", .. }),
        "{error}"
    );
    assert!(drop.drafts().is_empty());
}

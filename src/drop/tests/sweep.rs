//! The end of packages and of left-overs.

use super::*;

#[tokio::test]
async fn a_sweep_destroys_after_the_grace_period_and_forgets_later() {
    let drop = fixture();
    let created = time("2026-01-31T10:00:00Z");
    let token = drop
        .deposit(&[noise(10, 1), noise(100_000, 2)], created)
        .await;
    let second = SignedDuration::from_secs(1);
    // One month, and seven days; then a year.
    let destroyed = time("2026-03-07T10:00:00Z");
    let deleted = time("2027-03-07T10:00:00Z");

    assert_eq!(drop.swept(destroyed - second, 10).await, Swept::default());
    assert_eq!(
        drop.read(&token, created, 1).await.unwrap(),
        noise(100_000, 2)
    );
    let swept = drop.swept(destroyed, 10).await;
    assert_eq!(
        swept,
        Swept {
            packages: 1,
            files: 2,
            ..Swept::default()
        }
    );
    assert_eq!(drop.blobs().len(), 0);
    // Whatever the clock says: what is destroyed is gone.
    for now in [created, destroyed] {
        let found = drop.drop.find(&token, now).await.unwrap();
        assert!(matches!(found, PackageLookup::Gone { .. }), "{found:?}");
    }
    drop.drop.trust_clock(deleted).await.unwrap();
    let swept = drop.swept(deleted - second, 10).await;
    assert_eq!((swept.records, swept.packages), (0, 0));
    let swept = drop.swept(deleted, 10).await;
    assert_eq!((swept.records, swept.packages), (1, 0));
    assert!(is_unknown(&drop, &token));
    let left: i64 = drop
        .sqlite()
        .query_row("SELECT count(*) FROM file", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_sweep_forgets_the_entries_of_the_log_when_their_time_is_over() {
    let home = TempDir::new().unwrap();
    let audit = AuditConfig {
        keep: jiff::Span::new().days(10),
        ..AuditConfig::default()
    };
    let config = config(home.path().join("drop"));
    let drop = FileDrop::open_with(
        &config,
        &QuotaConfig::unlimited(),
        &audit,
        &ScanConfig::default(),
    )
    .unwrap();
    let drop = Fixture { home, drop };
    drop.deposit(&[noise(10, 1)], time("2026-01-31T10:00:00Z"))
        .await;
    let entries = async || drop.drop.audit(AuditQuery::default()).await.unwrap().len();
    assert_eq!(entries().await, 1);
    let end = time("2026-02-10T10:00:00Z");
    assert_eq!(drop.swept(end, 10).await.entries, 0);
    assert_eq!(entries().await, 1);
    let later = end + SignedDuration::from_secs(1);
    assert_eq!(drop.swept(later, 10).await.entries, 1);
    assert_eq!(entries().await, 0);
}

#[tokio::test]
async fn a_sweep_takes_no_more_steps_than_it_may_and_the_oldest_first() {
    let drop = fixture();
    let mut tokens = Vec::new();
    for day in [3, 1, 2, 5, 4] {
        let created = time(&format!("2026-01-0{day}T00:00:00Z"));
        tokens.push((day, drop.deposit(&[noise(10, day)], created).await));
    }
    tokens.sort_by_key(|&(day, _)| day);
    let now = time("2026-05-01T00:00:00Z");
    for left in [3, 1, 0] {
        drop.swept(now, 2).await;
        assert_eq!(drop.blobs().len(), left);
        for (place, (_, token)) in tokens.iter().enumerate() {
            let early = time("2026-01-06T00:00:00Z");
            let live = matches!(
                drop.drop.find(token, early).await.unwrap(),
                PackageLookup::Live(_)
            );
            assert_eq!(live, place >= 5 - left);
        }
    }
}

#[tokio::test]
async fn left_overs_of_an_hour_are_removed_and_nothing_else() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(10, 1)], now).await;
    let lone = noise(16, 2);
    let id = data_encoding::HEXLOWER.encode(&lone);
    let shard = drop.directory().join("blobs").join(&id[..2]);
    fs::create_dir_all(&shard).unwrap();
    fs::write(shard.join(format!("{id}-0")), b"orphan").unwrap();
    fs::write(shard.join("README"), b"not ours").unwrap();
    fs::write(drop.directory().join("drafts/draft-abc123"), b"left").unwrap();
    fs::write(drop.directory().join("drafts/notes"), b"not ours").unwrap();

    let sweep_all = async |now| {
        let mut orphans = 0;
        for _ in 0..256 {
            orphans += drop.swept(now, 10).await.orphans;
        }
        orphans
    };
    assert_eq!(sweep_all(now + SignedDuration::from_mins(59)).await, 0);
    assert_eq!(sweep_all(now + SignedDuration::from_mins(61)).await, 2);
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (2, 1));
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), noise(10, 1));
}

#[tokio::test]
async fn a_download_that_has_begun_ends_whole_though_the_package_is_swept() {
    let drop = fixture();
    let now = time("2026-01-01T00:00:00Z");
    let bytes = noise(300_000, 1);
    let token = drop.deposit(std::slice::from_ref(&bytes), now).await;
    let package = drop.live(&token, now).await;
    let mut reader = drop
        .drop
        .read(&token, &package, 0, 0..300_000)
        .await
        .unwrap();
    let mut all = reader.next().await.unwrap().unwrap().to_vec();
    let swept = drop.swept(time("2026-06-01T00:00:00Z"), 10).await;
    assert_eq!((swept.packages, drop.blobs().len()), (1, 0));
    all.extend(read_all(reader).await.unwrap());
    assert_eq!(all, bytes);
}

#[tokio::test]
async fn a_swept_manifest_stands_nowhere_any_more() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1)], time("2026-01-01T00:00:00Z"))
        .await;
    let sealed = drop
        .drop
        .store
        .books()
        .records
        .find(Vault::new(&token).id())
        .unwrap()
        .unwrap();
    let sealed = sealed.manifest.unwrap();
    let stands = || {
        let mut stored = files(&drop.directory()).into_iter();
        stored.any(|path| memchr::memmem::find(&fs::read(path).unwrap(), &sealed).is_some())
    };
    assert!(stands());
    drop.swept(time("2026-06-01T00:00:00Z"), 1).await;
    assert!(!stands());
}

#[tokio::test]
async fn a_blob_that_cannot_be_removed_does_not_hold_up_the_others() {
    let drop = fixture();
    let stuck = drop
        .deposit(&[noise(10, 1)], time("2026-01-01T00:00:00Z"))
        .await;
    let path = drop.blobs().remove(0);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    drop.deposit(&[noise(10, 2)], time("2026-01-02T00:00:00Z"))
        .await;
    let now = time("2026-06-01T00:00:00Z");
    for day in 3..30 {
        let time = format!("2026-01-{day:02}T00:00:00Z").parse().unwrap();
        drop.deposit(&[noise(10, day)], time).await;
    }
    let (swept, result) = drop.drop.sweep_all(now, 1, || true).await;
    let error = result.unwrap_err();
    assert!(error.to_string().starts_with("could not remove"), "{error}");
    assert_eq!((swept.packages, drop.blobs().len()), (28, 0));
    let found = drop
        .drop
        .find(&stuck, time("2026-01-01T00:00:00Z"))
        .await
        .unwrap();
    assert!(matches!(found, PackageLookup::Gone { .. }));
    fs::remove_dir(&path).unwrap();
    assert_eq!(drop.swept(now, 10).await.packages, 1);
}

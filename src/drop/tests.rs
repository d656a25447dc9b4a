//! The drop as a whole, on real directories.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use jiff::{SignedDuration, Span, Timestamp};
use tempfile::TempDir;

use super::*;

struct Fixture {
    home: TempDir,
    drop: Drop,
}

fn config(directory: PathBuf) -> DropConfig {
    DropConfig {
        directory,
        expiry: Span::new().months(1),
        grace: Span::new().days(7),
        keep_records: Span::new().years(1),
    }
}

fn fixture() -> Fixture {
    let home = TempDir::new().unwrap();
    let drop = Drop::open(&config(home.path().join("drop"))).unwrap();
    Fixture { home, drop }
}

fn origin() -> Origin {
    Origin {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        login: Some("alice".into()),
        direction: Direction::Outgoing,
        recipients: 2,
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

impl Fixture {
    fn directory(&self) -> PathBuf {
        self.home.path().join("drop")
    }

    fn blobs(&self) -> Vec<PathBuf> {
        files(&self.directory().join("blobs"))
    }

    fn drafts(&self) -> Vec<PathBuf> {
        files(&self.directory().join("drafts"))
    }

    async fn file(&self, package: &mut PackageDraft, name: &str, bytes: &Bytes) -> DurableFile {
        let mut draft = package.file(name, "application/pdf").await.unwrap();
        draft.write(bytes.clone()).await.unwrap();
        draft.finish().await.unwrap()
    }

    async fn deposit(&self, contents: &[Bytes], created: Timestamp) -> Token {
        let mut package = self.drop.package(origin());
        let mut files = Vec::new();
        for bytes in contents {
            files.push(self.file(&mut package, "a.pdf", bytes).await);
        }
        let expires = self.drop.expires_at(created);
        package.commit(files, created, expires).await.unwrap()
    }

    async fn live(&self, token: &Token, now: Timestamp) -> Package {
        match self.drop.find(token, now).await.unwrap() {
            Lookup::Live(package) => package,
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

#[tokio::test]
async fn what_is_deposited_is_found_and_read() {
    let drop = fixture();
    let now = time("2026-11-22T10:00:00.7Z");
    let (a, b) = (noise(300_000, 1), Bytes::new());
    let token = drop.deposit(&[a.clone(), b], now).await;
    let package = drop.live(&token, now).await;
    assert_eq!(package.created, time("2026-11-22T10:00:00Z"));
    assert_eq!(package.expires, time("2026-12-22T10:00:00Z"));
    assert_eq!(package.origin.sender, "alice@example.org");
    assert_eq!(package.origin.direction, Direction::Outgoing);
    let file = &package.files[0];
    assert_eq!((file.size, file.crc32), (300_000, crc32fast::hash(&a)));
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &a);
    assert_eq!(file.sha256, sha256.as_ref());
    assert_eq!(
        (&*file.name, &*file.media_type),
        ("a.pdf", "application/pdf")
    );
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), a);
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), b"");
    assert!(drop.drafts().is_empty());
}

#[tokio::test]
async fn a_token_that_never_was_is_unknown() {
    let drop = fixture();
    let found = drop
        .drop
        .find(&Token::random(), Timestamp::now())
        .await
        .unwrap();
    assert!(matches!(found, Lookup::Unknown));
}

#[tokio::test]
async fn a_package_expires_at_its_second() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1)], time("2026-01-31T10:00:00Z"))
        .await;
    let expires = time("2026-02-28T10:00:00Z");
    let before = expires - SignedDuration::from_nanos(1);
    assert!(matches!(
        drop.drop.find(&token, before).await.unwrap(),
        Lookup::Live(_)
    ));
    match drop.drop.find(&token, expires).await.unwrap() {
        Lookup::Gone {
            created,
            expired,
            origin,
        } => {
            assert_eq!(created, time("2026-01-31T10:00:00Z"));
            assert_eq!(expired, expires);
            assert_eq!(origin.queue_id, "4abCDe12");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_range_is_read() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(200_000, 3);
    let token = drop.deposit(std::slice::from_ref(&bytes), now).await;
    let package = drop.live(&token, now).await;
    let ends = [
        0, 1, 65_479, 65_480, 65_481, 131_000, 131_001, 199_999, 200_000,
    ];
    for start in ends {
        for end in ends.into_iter().filter(|&end| end >= start) {
            let reader = drop
                .drop
                .read(&token, &package, 0, start..end)
                .await
                .unwrap();
            let read = read_all(reader).await.unwrap();
            assert_eq!(read, bytes[start as usize..end as usize], "{start}..{end}");
        }
    }
    for wrong in [0..200_001, 200_001..200_001, Range { start: 2, end: 1 }] {
        let refused = drop.drop.read(&token, &package, 0, wrong).await;
        assert!(matches!(refused, Err(DropError::Misuse(_))));
    }
    let refused = drop.drop.read(&token, &package, 1, 0..0).await;
    assert!(matches!(refused, Err(DropError::Misuse(_))));
}

#[tokio::test]
async fn bytes_arrive_whole_however_they_are_cut() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(400_000, 4);
    for step in [7_000, 16_384, 16_385, 65_536, 150_001, 400_000] {
        let mut package = drop.drop.package(origin());
        let mut file = package.file("a", "b").await.unwrap();
        for at in (0..bytes.len()).step_by(step) {
            let end = bytes.len().min(at + step);
            file.write(bytes.slice(at..end)).await.unwrap();
            file.write(Bytes::new()).await.unwrap();
        }
        let file = file.finish().await.unwrap();
        let token = package
            .commit(vec![file], now, drop.drop.expires_at(now))
            .await
            .unwrap();
        assert_eq!(drop.read(&token, now, 0).await.unwrap(), bytes, "{step}");
    }
}

#[tokio::test]
async fn files_stand_in_the_order_of_the_commit() {
    let drop = fixture();
    let now = Timestamp::now();
    let contents = [noise(70_000, 5), noise(10, 6), noise(20, 7)];
    let mut package = drop.drop.package(origin());
    let first = drop.file(&mut package, "first", &contents[0]).await;
    let left_out = drop.file(&mut package, "left out", &contents[1]).await;
    let third = drop.file(&mut package, "third", &contents[2]).await;
    std::mem::drop(left_out);
    let expires = drop.drop.expires_at(now);
    let token = package
        .commit(vec![third, first], now, expires)
        .await
        .unwrap();
    let package = drop.live(&token, now).await;
    let names: Vec<_> = package.files.iter().map(|file| &*file.name).collect();
    assert_eq!(names, ["third", "first"]);
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), contents[2]);
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), contents[0]);
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (2, 0));
}

#[tokio::test]
async fn a_file_is_not_committed_to_another_package() {
    let drop = fixture();
    let now = Timestamp::now();
    let file = drop
        .file(&mut drop.drop.package(origin()), "a", &noise(10, 1))
        .await;
    let refused = drop
        .drop
        .package(origin())
        .commit(vec![file], now, now)
        .await;
    assert!(matches!(refused, Err(DropError::Misuse(_))));
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (0, 0));
}

#[tokio::test]
async fn nothing_at_rest_tells_names_contents_or_tokens() {
    let drop = fixture();
    let now = Timestamp::now();
    let name = "Überweisung der Geheimnisse.pdf";
    let content = Bytes::from("the quick brown content ".repeat(10_000));
    let mut package = drop.drop.package(origin());
    let file = drop.file(&mut package, name, &content).await;
    let sha256 = file.sha256();
    let token = package
        .commit(vec![file], now, drop.drop.expires_at(now))
        .await
        .unwrap();
    drop.drop.count_download(&token, 0).await.unwrap();
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), content);

    let raw = token.as_bytes();
    let base32 = token.to_string();
    let hex = data_encoding::HEXLOWER.encode(raw);
    let digest = data_encoding::HEXLOWER.encode(&sha256);
    let secrets: [&[u8]; 10] = [
        raw,
        base32.as_bytes(),
        hex.as_bytes(),
        &hex.to_uppercase().into_bytes(),
        &base32.to_uppercase().into_bytes(),
        "Überweisung".as_bytes(),
        b"application/pdf",
        b"brown content",
        digest.as_bytes(),
        &sha256,
    ];
    let stored = files(&drop.directory());
    assert!(stored.len() >= 2, "{stored:?}");
    for path in stored {
        let bytes = fs::read(&path).unwrap();
        for secret in secrets {
            assert!(
                memchr::memmem::find(&bytes, secret).is_none(),
                "{}",
                path.display()
            );
            let path = path.to_str().unwrap().as_bytes();
            assert!(memchr::memmem::find(path, secret).is_none());
        }
    }
}

#[tokio::test]
async fn only_the_owner_may_look() {
    let drop = fixture();
    let token = drop.deposit(&[noise(10, 1)], Timestamp::now()).await;
    drop.drop.count_download(&token, 0).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in files(&drop.directory()) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        assert_eq!(mode(path.parent().unwrap()), 0o700, "{}", path.display());
    }
    assert_eq!(mode(&drop.directory().join("drafts")), 0o700);
}

/// Runs on a runtime of its own: when that is dropped, every worker has ended.
fn after_all_workers<T>(work: impl AsyncFnOnce(&Fixture) -> T) -> (Fixture, T) {
    let fixture = fixture();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let value = runtime.block_on(work(&fixture));
    std::mem::drop(runtime);
    (fixture, value)
}

fn is_unknown(fixture: &Fixture, token: &Token) -> bool {
    let found = fixture
        .drop
        .store
        .find(&Vault::new(token), Timestamp::now())
        .unwrap();
    matches!(found, Lookup::Unknown)
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
            let mut file = package.file("a", "b").await.unwrap();
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
        let mut commit = Box::pin(package.commit(vec![file], now, drop.drop.expires_at(now)));
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
    drop.drop
        .sweep(now + SignedDuration::from_hours(2), 10)
        .await
        .unwrap();
    assert_eq!(drop.drafts().len(), 0);
}

#[tokio::test]
async fn a_dead_worker_is_reported_once_with_its_error() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    let read_only = fs::File::open("/dev/null").unwrap();
    let mut draft = draft::draft_into(read_only, &drop.drop, &package);
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
    let mut draft = draft::draft_into(full, &drop.drop, &package);
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
    let mut draft = draft::draft_into(null, &drop.drop, &package);
    draft.write(noise(10, 1)).await.unwrap();
    let error = draft.finish().await.unwrap_err();
    assert!(
        matches!(error, DropError::Io { action: "sync", .. }),
        "{error}"
    );
    assert!(drop.drafts().is_empty());
}

#[tokio::test]
async fn damaged_blobs_are_refused() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(200_000, 9);
    let token = drop.deposit(&[bytes], now).await;
    let path = drop.blobs().remove(0);
    let sound = fs::read(&path).unwrap();
    let refused = async |stored: &[u8]| {
        fs::write(&path, stored).unwrap();
        matches!(
            drop.read(&token, now, 0).await,
            Err(DropError::Damaged { .. })
        )
    };
    for place in [0, 1, 33, 40, 65_536, 70_000, sound.len() - 1] {
        let mut flipped = sound.clone();
        flipped[place] ^= 1;
        assert!(refused(&flipped).await, "{place}");
    }
    assert!(refused(&sound[..sound.len() - 1]).await);
    assert!(refused(&sound[..131_072]).await);
    assert!(refused(&[]).await);
    assert!(!refused(&sound).await);
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        drop.read(&token, now, 0).await,
        Err(DropError::Damaged { .. })
    ));
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(drop.read(&token, now, 0).await.is_err());
}

#[tokio::test]
async fn a_cut_file_is_refused_before_its_first_byte() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(200_000, 9)], now).await;
    let path = drop.blobs().remove(0);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(131_072)
        .unwrap();
    let package = drop.live(&token, now).await;
    let refused = drop.drop.read(&token, &package, 0, 0..10).await;
    assert!(matches!(refused, Err(DropError::Damaged { .. })));
}

#[tokio::test]
async fn files_of_one_package_cannot_stand_for_each_other() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(1000, 1), noise(1000, 2)], now).await;
    let paths = drop.blobs();
    let (a, b) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::write(&paths[0], b).unwrap();
    fs::write(&paths[1], a).unwrap();
    for index in [0, 1] {
        let read = drop.read(&token, now, index).await;
        assert!(matches!(read, Err(DropError::Damaged { .. })));
    }
}

#[tokio::test]
async fn a_manifest_of_another_record_is_refused() {
    let drop = fixture();
    let now = Timestamp::now();
    let a = drop.deposit(&[noise(10, 1)], now).await;
    drop.deposit(&[noise(10, 2)], now).await;
    let swapped = drop.sqlite().execute(
        "UPDATE package SET manifest = (SELECT manifest FROM package WHERE id <> ?1) WHERE id = ?1",
        [Vault::new(&a).id().0],
    );
    assert_eq!(swapped, Ok(1));
    let found = drop.drop.find(&a, now).await;
    assert!(matches!(found, Err(DropError::Damaged { .. })));
}

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

    assert_eq!(
        drop.drop.sweep(destroyed - second, 10).await.unwrap(),
        Swept::default()
    );
    assert_eq!(
        drop.read(&token, created, 1).await.unwrap(),
        noise(100_000, 2)
    );
    let swept = drop.drop.sweep(destroyed, 10).await.unwrap();
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
        assert!(matches!(found, Lookup::Gone { .. }), "{found:?}");
    }
    assert_eq!(
        drop.drop.sweep(deleted - second, 10).await.unwrap(),
        Swept::default()
    );
    let swept = drop.drop.sweep(deleted, 10).await.unwrap();
    assert_eq!(
        swept,
        Swept {
            records: 1,
            ..Swept::default()
        }
    );
    assert!(is_unknown(&drop, &token));
    let left: i64 = drop
        .sqlite()
        .query_row("SELECT count(*) FROM file", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 0);
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
        drop.drop.sweep(now, 2).await.unwrap();
        assert_eq!(drop.blobs().len(), left);
        for (place, (_, token)) in tokens.iter().enumerate() {
            let early = time("2026-01-06T00:00:00Z");
            let live = matches!(drop.drop.find(token, early).await.unwrap(), Lookup::Live(_));
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
            orphans += drop.drop.sweep(now, 10).await.unwrap().orphans;
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
    let swept = drop
        .drop
        .sweep(time("2026-06-01T00:00:00Z"), 10)
        .await
        .unwrap();
    assert_eq!((swept.packages, drop.blobs().len()), (1, 0));
    all.extend(read_all(reader).await.unwrap());
    assert_eq!(all, bytes);
}

#[tokio::test]
async fn downloads_are_counted_by_file_and_package() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1), noise(10, 2)], Timestamp::now())
        .await;
    for index in [1, 1, 0] {
        drop.drop.count_download(&token, index).await.unwrap();
    }
    drop.drop.count_download(&Token::random(), 0).await.unwrap();
    drop.drop.count_download(&token, 7).await.unwrap();
    let count = |sql| -> Vec<i64> {
        let sqlite = drop.sqlite();
        let mut query = sqlite.prepare(sql).unwrap();
        query
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(
        count("SELECT downloads FROM file ORDER BY position"),
        [1, 2]
    );
    assert_eq!(count("SELECT downloads FROM package"), [3]);
}

#[tokio::test]
async fn two_drops_share_one_directory() {
    let one = fixture();
    let two = Fixture {
        drop: Drop::open(&config(one.directory())).unwrap(),
        home: one.home,
    };
    let one = one.drop;
    let now = Timestamp::now();
    let token = two.deposit(&[noise(10, 1)], now).await;
    assert!(matches!(
        one.find(&token, now).await.unwrap(),
        Lookup::Live(_)
    ));
    let tasks = (0..8).map(|n| {
        let drop = if n % 2 == 0 {
            one.clone()
        } else {
            two.drop.clone()
        };
        tokio::spawn(async move {
            let mut package = drop.package(origin());
            let mut file = package.file("a", "b").await?;
            file.write(noise(100_000, n)).await?;
            let file = file.finish().await?;
            let token = package
                .commit(vec![file], now, drop.expires_at(now))
                .await?;
            drop.sweep(now, 100).await?;
            Ok::<_, DropError>(token)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let token = task.await.unwrap().unwrap();
        assert_eq!(
            two.read(&token, now, 0).await.unwrap(),
            noise(100_000, n as u64)
        );
    }
}

#[tokio::test]
async fn a_drop_that_works_probes_well_and_leaves_nothing() {
    let drop = fixture();
    drop.drop.probe().await.unwrap();
    assert_eq!(drop.drafts().len(), 0);
}

#[tokio::test]
async fn a_drop_whose_directory_went_away_probes_ill() {
    let drop = fixture();
    fs::remove_dir_all(drop.directory().join("drafts")).unwrap();
    let error = drop.drop.probe().await.unwrap_err();
    assert!(error.to_string().contains("drafts"), "{error}");
    assert!(drop.drop.package(origin()).file("a", "b").await.is_err());
}

#[test]
fn a_missing_parent_is_an_error_and_a_missing_leaf_is_made() {
    let home = TempDir::new().unwrap();
    let error = Drop::open(&config(home.path().join("typo/drop"))).unwrap_err();
    let path = home.path().join("typo/drop");
    let text = format!("could not make \"{}\": ", path.display());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(!home.path().join("typo").exists());
    Drop::open(&config(home.path().join("drop"))).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("drop");
    fs::write(&path, b"").unwrap();
    let error = Drop::open(&config(path.clone())).unwrap_err().to_string();
    assert!(error.starts_with(&format!(
        "could not open \"{}\": not a directory",
        path.display()
    )));
}

#[test]
fn a_directory_that_may_not_be_written_is_an_error() {
    let home = TempDir::new().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o500)).unwrap();
    // Root may write all the same: then there is nothing to see.
    if fs::write(home.path().join("may-write"), b"").is_ok() {
        return;
    }
    let error = Drop::open(&config(home.path().to_owned())).unwrap_err();
    assert!(matches!(error, DropError::Denied { .. }), "{error}");
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let drop = fixture();
    drop.sqlite()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Drop::open(&config(drop.directory())).unwrap_err();
    assert!(
        matches!(
            error,
            DropError::Newer {
                found: 99,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_database_that_is_none_is_refused() {
    let home = TempDir::new().unwrap();
    fs::write(
        home.path().join("drop.sqlite3"),
        "not a database".repeat(100),
    )
    .unwrap();
    let error = Drop::open(&config(home.path().to_owned())).unwrap_err();
    assert!(matches!(error, DropError::Damaged { .. }), "{error}");
}

#[test]
fn errors_of_a_full_disk_and_of_permissions_are_told_apart() {
    let path = Path::new("/drop/drafts");
    let of = |kind: std::io::ErrorKind| DropError::io("write to", path, kind.into());
    assert!(matches!(
        of(std::io::ErrorKind::StorageFull),
        DropError::Full { .. }
    ));
    assert!(matches!(
        of(std::io::ErrorKind::QuotaExceeded),
        DropError::Full { .. }
    ));
    assert!(matches!(
        of(std::io::ErrorKind::ReadOnlyFilesystem),
        DropError::Denied { .. }
    ));
    let other = of(std::io::ErrorKind::Other).to_string();
    assert_eq!(other, "could not write to \"/drop/drafts\": other error");
}

#[test]
fn nothing_that_is_shown_for_debugging_holds_a_token() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    let token = package.token().to_string();
    let shown = format!("{:?} {package:?} {:?}", drop.drop, package.token());
    assert!(!shown.contains(&token));
    assert!(!shown.contains(&format!("{:?}", package.token().as_bytes())));
}

/// `tests/vault_tink.py` reads what this leaves in the directory `DEPOLLUEUR_SAMPLE`; without that
/// variable, it is one more round trip.
#[tokio::test]
async fn a_sample_for_an_independent_reader_is_read_here_too() {
    let home = TempDir::new().unwrap();
    let sample = std::env::var_os("DEPOLLUEUR_SAMPLE");
    let sample = sample.map_or_else(|| home.path().to_owned(), PathBuf::from);
    let drop = Fixture {
        drop: Drop::open(&config(sample.join("drop"))).unwrap(),
        home,
    };
    let now = Timestamp::now();
    let sizes = [0, 1, 65_479, 65_480, 65_481, 131_000, 131_001, 1_000_000];
    let contents: Vec<_> = sizes
        .into_iter()
        .map(|size| noise(size, size as u64))
        .collect();
    let token = drop.deposit(&contents, now).await;
    fs::write(sample.join("token"), token.to_string()).unwrap();
    for (index, bytes) in contents.iter().enumerate() {
        fs::write(sample.join(format!("plain-{index}")), bytes).unwrap();
        assert_eq!(drop.read(&token, now, index).await.unwrap(), *bytes);
    }
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
    drop.drop
        .sweep(time("2026-06-01T00:00:00Z"), 1)
        .await
        .unwrap();
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
    let error = drop.drop.sweep(now, 10).await.unwrap_err();
    assert!(error.to_string().starts_with("could not remove"), "{error}");
    assert_eq!(drop.blobs().len(), 0);
    let found = drop
        .drop
        .find(&stuck, time("2026-01-01T00:00:00Z"))
        .await
        .unwrap();
    assert!(matches!(found, Lookup::Live(_)));
    fs::remove_dir(&path).unwrap();
    assert_eq!(drop.drop.sweep(now, 10).await.unwrap().packages, 1);
}

#[tokio::test]
async fn a_package_whose_blob_was_swept_before_its_record_was_written_is_no_package() {
    let drop = fixture();
    let token = Token::random();
    let id = Vault::new(&token).id();
    let record = Record {
        created: time("2026-01-01T00:00:00Z"),
        expires: Timestamp::MAX,
        origin: origin(),
        manifest: Some(Vec::new()),
    };
    let files = [records::RecordFile { number: 0, size: 1 }];
    let store = &drop.drop.store;
    let stored = || store.blobs.exists(id, 0);
    let error = store
        .records
        .insert(id, &record, &files, stored)
        .unwrap_err();
    assert!(error.to_string().starts_with("could not find"), "{error}");
    assert!(is_unknown(&drop, &token));
}

#[test]
fn many_may_open_a_fresh_drop_at_once() {
    for _ in 0..5 {
        let home = TempDir::new().unwrap();
        let open = || Drop::open(&config(home.path().join("drop")));
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for drop in opened {
            drop.unwrap();
        }
    }
}

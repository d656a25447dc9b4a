//! Opening a drop, alone or with others, and what an admin reads when it fails.

use super::*;

#[tokio::test]
async fn two_drops_share_one_directory() {
    let one = fixture();
    let two = Fixture {
        drop: FileDrop::open(&config(one.directory())).unwrap(),
        home: one.home,
    };
    let one = one.drop;
    let now = Timestamp::now();
    let token = two.deposit(&[noise(10, 1)], now).await;
    assert!(matches!(
        one.find(&token, now).await.unwrap(),
        PackageLookup::Live(_)
    ));
    let tasks = (0..8).map(|n| {
        let drop = if n % 2 == 0 {
            one.clone()
        } else {
            two.drop.clone()
        };
        tokio::spawn(async move {
            let mut package = drop.package(origin());
            let mut file = package.file("a", "b")?;
            file.write(noise(100_000, n)).await?;
            let file = file.finish().await?;
            let token = package.commit(vec![file], now, in_a_month(now)).await?;
            drop.sweep(now, 100).await.1?;
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

#[test]
fn a_drop_in_which_all_may_write_is_refused_and_so_is_a_key_of_others() {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    let drop = fixture();
    let (home, key) = (drop.directory(), drop.directory().join("drop.key"));
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = || FileDrop::open(&config(drop.directory())).map(|_| ());
    let refused = |what: &str| {
        let error = open().unwrap_err();
        assert!(matches!(error, DropError::Exposed { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    for bad in [0o707, 0o777, 0o1777, 0o702] {
        mode(&home, bad);
        refused("o-w");
    }
    mode(&home, 0o755);
    for bad in [0o644, 0o660, 0o620, 0o602] {
        mode(&key, bad);
        refused("go=");
    }
    mode(&key, 0o600);
    open().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&key, Some(65_534), None).unwrap();
        refused("belongs to user");
        chown(&key, Some(0), None).unwrap();
    }
    let other = drop.home.path().join("other");
    fs::rename(&key, &other).unwrap();
    symlink(&other, &key).unwrap();
    refused("it is no file");
}

#[tokio::test]
async fn a_drop_whose_records_cannot_be_written_probes_ill() {
    let drop = fixture();
    drop.sqlite().execute_batch("DROP TABLE package").unwrap();
    let error = drop.drop.probe().await.unwrap_err();
    assert!(error.to_string().contains("drop.sqlite3"), "{error}");
    // That the files alone are well is not enough.
    drop.drop.store.blobs.probe().unwrap();
}

#[tokio::test]
async fn a_drop_whose_directory_went_away_probes_ill() {
    let drop = fixture();
    fs::remove_dir_all(drop.directory().join("drafts")).unwrap();
    let error = drop.drop.probe().await.unwrap_err();
    assert!(error.to_string().contains("drafts"), "{error}");
    let file = drop.drop.package(origin()).file("a", "b").unwrap();
    assert!(file.finish().await.is_err());
}

#[test]
fn a_missing_parent_is_an_error_and_a_missing_leaf_is_made() {
    let home = TempDir::new().unwrap();
    let error = FileDrop::open(&config(home.path().join("typo/drop"))).unwrap_err();
    let path = home.path().join("typo/drop");
    let text = format!("could not make \"{}\": ", path.display());
    assert!(error.to_string().starts_with(&text), "{error}");
    assert!(!home.path().join("typo").exists());
    FileDrop::open(&config(home.path().join("drop"))).unwrap();
}

#[test]
fn a_file_in_the_place_of_the_directory_is_an_error() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("drop");
    fs::write(&path, b"").unwrap();
    let error = FileDrop::open(&config(path.clone()))
        .unwrap_err()
        .to_string();
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
    let error = FileDrop::open(&config(home.path().to_owned())).unwrap_err();
    assert!(matches!(error, DropError::Denied { .. }), "{error}");
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let drop = fixture();
    drop.sqlite()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = FileDrop::open(&config(drop.directory())).unwrap_err();
    assert_eq!(error.fault(), Some(FaultKind::TooNew), "{error}");
    assert!(error.to_string().contains(" has schema 99, "), "{error}");
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_brought_up_to_date() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("drop.sqlite3");
    let token = Token::random();
    let vault = Vault::new(&token);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(ledger::SCHEMA_1).unwrap();
    let manifest = vault.seal_manifest(b"[]");
    let values = rusqlite::params![vault.id().0, manifest];
    old.execute(
        "INSERT INTO package (id, created, expires, manifest, queue_id, sender, direction,
                              recipients, files, bytes)
         VALUES (?1, 1800000000, 1900000000, ?2, 'Q', 'a@example.org', 'incoming', 1, 1, 1000)",
        values,
    )
    .unwrap();
    old.execute(
        "INSERT INTO file VALUES (?1, 0, 0, 1000, 4)",
        [vault.id().0],
    )
    .unwrap();
    let today = Timestamp::now();
    old.execute(
        "INSERT INTO package (id, created, expires, manifest, queue_id, sender, direction,
                              recipients, files, bytes)
         VALUES (?1, ?2, 1900000000, x'00', 'Q', 'b@example.org', 'incoming', 1, 1, 9000)",
        rusqlite::params![[7_u8; 16], today.as_second()],
    )
    .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    std::mem::drop(old);
    let drop = FileDrop::open(&config(home.path().to_owned())).unwrap();
    let (id, now) = (vault.id(), time("2027-06-01T00:00:00Z"));
    let found = drop.find(&token, now).await.unwrap();
    assert!(
        matches!(found, PackageLookup::Live(package) if package.origin.sender == "a@example.org")
    );
    let (deposit, files) = drop.show(id, now).await.unwrap().unwrap();
    assert_eq!((deposit.state, files[0].downloads), (PackageState::Live, 4));
    let records = &drop.store.books().records;
    assert_eq!(records.stored_bytes().unwrap(), 1000 + 9000);
    // What it costs is known of what was there before, too.
    assert_eq!(records.stored_cost().unwrap(), FILE_COST_MIN + 9000);
    let (by, deposited) = (
        ledger::Depositor::Sender("a@example.org", None),
        time("2027-01-01T00:00:00Z")..=now,
    );
    let cost = records.deposited(by, None, deposited);
    assert_eq!(cost.unwrap(), FILE_COST_MIN);
    // Strangers go on with what they had of their share, and copies of these files would be missed.
    let hour = SignedDuration::from_hours(1);
    let lately = today - hour..=today + hour;
    assert_eq!(records.incoming(None, lately).unwrap(), 9000);
    assert!(drop.has_unknown_files().await.unwrap());
    drop.revoke(id, now, Requester::ADMIN, "").await.unwrap();
}

#[test]
fn a_drop_that_another_process_opens_for_ever_is_not_waited_for_as_long() {
    let drop = fixture();
    let directory = blobs::Directory::open(&drop.directory()).unwrap();
    let held = directory.lock().unwrap();
    let refused = directory
        .lock_within(std::time::Duration::ZERO)
        .unwrap_err();
    assert!(
        refused.to_string().starts_with("could not lock"),
        "{refused}"
    );
    std::mem::drop(held);
    directory.lock_within(std::time::Duration::ZERO).unwrap();
}

#[test]
fn a_damaged_key_is_refused() {
    let drop = fixture();
    fs::write(drop.directory().join("drop.key"), b"short").unwrap();
    let error = FileDrop::open(&config(drop.directory()))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("drop.key\" is damaged: it has 5 bytes instead of 32"),
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
    let error = FileDrop::open(&config(home.path().to_owned())).unwrap_err();
    assert_eq!(error.fault(), Some(FaultKind::Damaged), "{error}");
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
fn many_may_open_a_fresh_drop_at_once() {
    for _ in 0..5 {
        let home = TempDir::new().unwrap();
        let config = config(home.path().join("drop"));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| FileDrop::open(&config).unwrap());
            }
        });
    }
}

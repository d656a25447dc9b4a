//! The audit log as a chain, and the copy of it.

use std::os::unix::net::UnixDatagram;

use super::*;
use crate::config::AuditCopy;

const NOW: &str = "2026-02-10T00:00:00Z";

fn opened(home: &TempDir, change: impl FnOnce(&mut AuditConfig)) -> FileDrop {
    let mut audit = AuditConfig::default();
    change(&mut audit);
    let config = config(home.path().join("drop"));
    let quota = QuotaConfig::unlimited();
    FileDrop::open_with(&config, &quota, &audit, &ScanConfig::default()).unwrap()
}

fn log(drop: &FileDrop, now: &str, detail: &str) {
    let entry = Entry::general(time(now), Action::Report, WEB, detail.to_owned());
    drop.store.books().records.log(&entry).unwrap();
    drop.store.books().tell(&entry);
}

fn verify(drop: &FileDrop, known: Option<ChainHead>) -> Verification {
    drop.store.books().records.verify_chain(known).unwrap()
}

fn sqlite(home: &TempDir) -> rusqlite::Connection {
    rusqlite::Connection::open(home.path().join("drop/drop.sqlite3")).unwrap()
}

#[test]
fn what_was_cut_or_changed_behind_the_programs_back_is_told_with_its_number() {
    let home = TempDir::new().unwrap();
    let drop = opened(&home, |_| ());
    for detail in ["a", "b", "c", "d"] {
        log(&drop, NOW, detail);
    }
    let noted = verify(&drop, None);
    assert_eq!((noted.entries, noted.defects), (4, vec![]));
    let sqlite = sqlite(&home);
    sqlite
        .execute_batch("DROP TRIGGER audit_is_not_changed; DROP TRIGGER audit_is_kept")
        .unwrap();
    let told = |sql: &str, known| {
        sqlite
            .execute_batch(&format!("SAVEPOINT x; {sql}; RELEASE x"))
            .unwrap();
        verify(&drop, known).defects
    };
    let change = "UPDATE audit SET detail = 'x' WHERE number = 2";
    assert_eq!(told(change, None), [Defect::Changed(2)]);
    let back = "UPDATE audit SET detail = 'b' WHERE number = 2";
    assert_eq!(told(back, None), []);
    let cut = "DELETE FROM audit WHERE number = 4";
    assert_eq!(told(cut, None), [Defect::Truncated(4, 4)]);
    // Cut with the head in the database: only who noted it elsewhere knows.
    let head =
        "UPDATE audit_chain SET number = 3, digest = (SELECT digest FROM audit WHERE number = 3)
                WHERE place = 'head'";
    assert_eq!(told(head, None), []);
    assert_eq!(told("", Some(noted.head)), [Defect::Truncated(4, 4)]);
    let cut = "DELETE FROM audit WHERE number = 2";
    assert_eq!(told(cut, None), [Defect::Missing(2, 2)]);
}

#[test]
fn threads_and_processes_that_write_at_once_make_one_chain() {
    let home = TempDir::new().unwrap();
    let drops = [opened(&home, |_| ()), opened(&home, |_| ())];
    std::thread::scope(|scope| {
        for drop in drops.iter().chain(&drops) {
            scope.spawn(|| (0..25).for_each(|_| log(drop, NOW, "x")));
        }
    });
    let found = verify(&drops[0], None);
    assert_eq!((found.entries, found.head.number), (100, 100));
    assert_eq!(found.defects, []);
}

#[test]
fn what_an_earlier_version_writes_beside_this_one_is_taken_into_the_chain() {
    let home = TempDir::new().unwrap();
    let drop = opened(&home, |_| ());
    log(&drop, NOW, "a");
    let old = "INSERT INTO audit (time, action, queue_id, sender, actor, detail)
               VALUES (1, 'report', '', '', 'web', 'old')";
    sqlite(&home).execute(old, []).unwrap();
    let found = verify(&drop, None);
    assert_eq!(
        (found.entries, found.waiting, found.defects),
        (1, 1, vec![])
    );
    log(&drop, NOW, "b");
    let found = verify(&drop, None);
    assert_eq!(
        (found.entries, found.waiting, found.defects),
        (3, 0, vec![])
    );
}

#[tokio::test]
async fn a_log_of_before_stays_readable_and_the_chain_begins_behind_it() {
    let home = TempDir::new().unwrap();
    let directory = home.path().join("drop");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    let old = sqlite(&home);
    for step in ledger::schemas_before_the_chain() {
        old.execute_batch(step).unwrap();
    }
    let row = "INSERT INTO audit (time, action, queue_id, sender, actor, detail)
               VALUES (1, 'report', '', '', 'web', 'old')";
    old.execute(row, []).unwrap();
    old.execute(row, []).unwrap();
    let done = ledger::schemas_before_the_chain().len() as i64;
    old.pragma_update(None, "user_version", done).unwrap();
    std::mem::drop(old);
    let drop = opened(&home, |_| ());
    log(&drop, NOW, "new");
    let found = verify(&drop, None);
    assert_eq!((found.before, found.entries), (2, 1));
    assert_eq!((found.first.unwrap().0, found.defects), (3, vec![]));
    let entries = drop.audit(AuditQuery::default()).await.unwrap();
    assert_eq!(entries.len(), 3);
    // They are forgotten by their age alone.
    let (before, now) = (time(NOW), time(NOW));
    let records = &drop.store.books().records;
    assert_eq!(records.forget_entries(before, now, 10).unwrap(), 2);
    assert_eq!(verify(&drop, None).defects, []);
}

#[test]
fn what_is_forgotten_is_the_beginning_of_the_chain_though_clocks_were_wrong() {
    let home = TempDir::new().unwrap();
    let drop = opened(&home, |_| ());
    for (year, detail) in [
        (2090, "a"),
        (2020, "b"),
        (2024, "c"),
        (2020, "d"),
        (2090, "e"),
    ] {
        log(&drop, &format!("{year}-01-01T00:00:00Z"), detail);
    }
    let records = &drop.store.books().records;
    let forget = |before: &str| {
        let forgotten = records.forget_entries(time(before), time("2026-01-01T00:00:00Z"), 10);
        assert_eq!(verify(&drop, None).defects, []);
        forgotten.unwrap()
    };
    // The first one has a time to come, and goes with the old one behind it; the fourth waits for the third.
    assert_eq!(forget("2021-01-01T00:00:00Z"), 2);
    assert_eq!(forget("2021-01-01T00:00:00Z"), 0);
    assert_eq!(forget("2025-01-01T00:00:00Z"), 2);
    assert_eq!(verify(&drop, None).entries, 1);
}

#[test]
fn a_copy_follows_the_log_and_what_its_receiver_missed_comes_later() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("log");
    // What is there before there is a copy is not sent.
    log(&opened(&home, |_| ()), NOW, "before");
    let copied = |audit: &mut AuditConfig| audit.copy = AuditCopy::Socket(path.clone());
    let drop = opened(&home, copied);
    log(&drop, NOW, "missed");
    let receiver = UnixDatagram::bind(&path).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let line = || {
        let mut bytes = [0; 4096];
        let length = receiver.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    };
    let entry = Entry {
        login: Some("al\u{1b}ice".into()),
        ..Entry::general(time(NOW), Action::Hold, Requester::ADMIN, "1\n2".into())
    };
    drop.store.books().records.log(&entry).unwrap();
    drop.store.books().tell(&entry);
    let missed = line().unwrap();
    assert!(missed.starts_with("<86>"), "{missed}");
    assert!(missed.contains(" depollueur[") && missed.contains("]: audit number=2 digest="));
    assert!(
        missed.ends_with(r#" action=report by=web detail="missed""#),
        "{missed}"
    );
    let second = line().unwrap();
    let head = verify(&drop, None).head;
    let digest = data_encoding::HEXLOWER.encode(&head.digest);
    let place = format!("audit number=3 digest={digest} time=2026-02-10T00:00:00Z ");
    assert!(second.contains(&place), "{second}");
    let rest = r#"action=hold by=admin login="al\u{1b}ice" detail="1\n2""#;
    assert!(second.ends_with(rest), "{second}");
    assert_eq!(line(), None);
    // Another process goes on where this one was.
    log(&opened(&home, copied), NOW, "other");
    assert!(line().unwrap().contains("number=4 "));
    assert_eq!(line(), None);
}

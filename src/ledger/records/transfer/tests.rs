//! Each pair of databases is moved from one to the other: SQLite always, PostgreSQL where a server is named.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{
    config::DropConfig,
    ledger::{
        Hold, Right, Suspension, Uploader,
        records::{
            BlockRow, Elsewhere, MovingRecords, Note, Postgres, Sqlite, Term,
            costs::{entry, file, id, network, record, time},
            lab,
        },
    },
};

/// The number of a move.
const ARRIVAL: i64 = -7;

/// A database, and whatever must live as long.
struct Database {
    records: Box<dyn Records>,
    again: Box<dyn Fn() -> Result<Box<dyn Records>> + Send + Sync>,
    _home: Option<TempDir>,
}

fn sqlite() -> Database {
    let home = TempDir::new().unwrap();
    let path = home.path().join("drop.sqlite3");
    Database {
        records: Box::new(Sqlite::open(path.clone()).unwrap()),
        again: Box::new(move || Ok(Box::new(Sqlite::open(path.clone())?))),
        _home: Some(home),
    }
}

fn postgres() -> Option<Database> {
    let url = lab::fresh()?;
    let config = DropConfig::default();
    Some(Database {
        records: Box::new(Postgres::open(&url, &config).unwrap()),
        again: Box::new(move || Ok(Box::new(Postgres::open(&url, &config)?))),
        _home: None,
    })
}

/// Calls a test with each pair: the records are moved from the first to the second.
fn each_pair(test: impl Fn(Database, Database)) {
    test(sqlite(), sqlite());
    for is_into in [true, false] {
        let Some(postgres) = postgres() else {
            return;
        };
        match is_into {
            true => test(sqlite(), postgres),
            false => test(postgres, sqlite()),
        }
    }
}

fn deposit(records: &dyn Records, n: u64) {
    let networks = [network(n)];
    let inserted = records.insert(id(n), &record(n), &[file(n)], &networks, &entry(n));
    inserted.unwrap();
}

/// Puts something into every table.
fn fill(records: &dyn Records) {
    for n in 0..6 {
        deposit(records, n);
    }
    let mut elsewhere = record(6);
    elsewhere.origin.direction = crate::envelope::Direction::Incoming;
    elsewhere.origin.sender = "a\0b@example.org".to_owned();
    elsewhere.elsewhere = Some(Elsewhere {
        kept_until: time(9),
        locators: vec![0, 255],
    });
    let inserted = records.insert(id(6), &elsewhere, &[file(6)], &[], &entry(6));
    inserted.unwrap();

    records.count_download(id(0), 0..1, &entry(0)).unwrap();
    hold(records, 1);
    records.doom(&[ending(2), ending(3)]).unwrap();
    records.destroyed(&[id(2)], &[entry(2)]).unwrap();
    suspend(records, "Someone@example.org");
    suspend(records, &record(4).origin.login.unwrap());
    block(records, 1);
    records.add_uploader(&uploader("relay"), &[1; 32]).unwrap();
    let relay = records.uploaders(0).unwrap()[0].id;
    assert!(records.book(relay, 20_000, 5).unwrap());
    records.claim(id(5), "relay", time(5), time(0)).unwrap();
    records.keep_message(&[3; 32], time(9), time(0)).unwrap();
    let notes = [(Note::LastSweep, 5), (Note::Directory, i64::MIN)];
    records.set_notes(&notes).unwrap();
}

/// Changes what was moved before: in each way that one table is bound to another.
fn change(records: &dyn Records) {
    deposit(records, 10);
    assert!(records.withdraw(id(5), &entry(5)).unwrap());
    assert!(records.release(id(1), &entry(1)).unwrap());
    records.doom(&[ending(1)]).unwrap();
    records.forget(&[id(2)]).unwrap();
    assert!(records.resume("someone@example.org", &entry(0)).unwrap());
    suspend(records, "SOMEONE@example.org");
    assert!(records.remove_uploader("relay").unwrap());
    records.add_uploader(&uploader("relay"), &[2; 32]).unwrap();
    let now = time(1_000_000);
    assert!(records.forget_entries(time(2), now, 100).unwrap() > 0);
    records.forget_networks(time(3), 100).unwrap();
}

fn hold(records: &dyn Records, n: u64) {
    let hold = Hold {
        since: time(n),
        reason: "by order".to_owned(),
    };
    assert!(records.hold(id(n), &hold, &entry(n)).unwrap());
}

fn ending(n: u64) -> (crate::ledger::RecordId, jiff::Timestamp) {
    let Term { expires, .. } = record(n).term;
    (id(n), expires)
}

fn suspend(records: &dyn Records, login: &str) {
    let suspension = Suspension {
        login: login.to_owned(),
        created: time(0),
        reason: "stolen".to_owned(),
    };
    assert!(records.suspend(&suspension, &entry(0)).unwrap());
}

fn block(records: &dyn Records, n: u64) {
    let row = BlockRow {
        fingerprint: [9; 32],
        sha256: [8; 32],
        created: time(n),
        reason: String::new(),
    };
    assert!(records.block(&row, &entry(n)).unwrap());
}

fn uploader(name: &str) -> Uploader {
    Uploader {
        id: 0,
        name: name.to_owned(),
        rights: vec![Right::Deposit],
        quota: None,
        created: time(0),
        expires: None,
        last_used: None,
        bytes_today: 0,
    }
}

/// All that a database holds, as it is moved: the name of each table, and its rows.
fn contents(records: &dyn Records) -> Vec<(&'static str, Vec<TableRow>)> {
    let tables = records.tables().unwrap();
    let rows = |table| {
        let mut rows = Rows::new(table, &*tables);
        let mut all = Vec::new();
        while rows.first().unwrap().is_some() {
            all.push(rows.take());
        }
        all
    };
    TABLES
        .iter()
        .map(|table| (table.name, rows(table)))
        .collect()
}

fn is_whole(records: &dyn Records) {
    let verified = records.verify_chain(None).unwrap();
    assert!(
        verified.entries > 0 && verified.defects.is_empty(),
        "{verified:?}"
    );
}

#[test]
fn each_table_is_moved_and_the_source_says_so() {
    each_pair(|source, target| {
        fill(&*source.records);
        let before = contents(&*source.records);
        for (table, rows) in &before {
            assert!(!rows.is_empty(), "nothing in {table}");
        }
        let count = rows(&*source.records).unwrap();
        let told = AtomicU64::new(0);
        let go_on = |rows| {
            told.fetch_add(rows, SeqCst);
        };
        let moved = transfer(&*source.records, &*target.records, ARRIVAL, go_on).unwrap();

        assert_eq!(contents(&*target.records), before);
        is_whole(&*target.records);
        assert_eq!(target.records.note(Note::Arrival).unwrap(), Some(ARRIVAL));
        let rows: usize = before.iter().map(|(_, rows)| rows.len()).sum();
        assert_eq!(moved.rows, rows as u64);
        assert!(told.into_inner() >= rows as u64 && count >= rows as u64);

        let read = source.records.find(id(0)).unwrap_err();
        let written = source.records.log(&entry(0)).unwrap_err();
        let opened = (source.again)().map(drop).unwrap_err();
        for error in [read, written, opened] {
            assert_eq!(error.fault(), Some(FaultKind::Moved), "{error}");
        }
    });
}

#[test]
fn the_target_goes_on_where_the_source_was() {
    each_pair(|source, target| {
        fill(&*source.records);
        let head = source.records.chain_head().unwrap();
        let sums = (
            source.records.stored_bytes().unwrap(),
            source.records.stored_cost().unwrap(),
        );
        transfer(&*source.records, &*target.records, ARRIVAL, |_| ()).unwrap();
        let target = (target.again)().unwrap();

        assert_eq!(target.chain_head().unwrap(), head);
        assert_eq!(
            (
                target.stored_bytes().unwrap(),
                target.stored_cost().unwrap()
            ),
            sums
        );
        change(&*target);
        assert_eq!(target.stored_bytes().unwrap(), sums.0 - 30);
        let uploaders = target.uploaders(0).unwrap();
        assert!(
            uploaders.iter().all(|one| one.name == "relay"),
            "{uploaders:?}"
        );
        is_whole(&*target);
    });
}

#[test]
fn a_move_that_was_stopped_goes_on_with_what_changed_meanwhile() {
    each_pair(|source, target| {
        fill(&*source.records);
        {
            let (from, to) = (
                source.records.tables().unwrap(),
                target.records.tables().unwrap(),
            );
            from.begin(ReadMode::Snapshot).unwrap();
            pass(&*from, &*to, &|_| ()).unwrap();
            from.end().unwrap();
        }
        change(&*source.records);
        let before = contents(&*source.records);
        transfer(&*source.records, &*target.records, ARRIVAL, |_| ()).unwrap();
        assert_eq!(contents(&*target.records), before);
        is_whole(&*target.records);
    });
}

#[test]
fn a_log_that_is_forgotten_goes_on_with_its_numbers() {
    each_pair(|source, target| {
        fill(&*source.records);
        let late = time(1_000_000);
        source.records.forget_entries(late, late, 1000).unwrap();
        let head = source.records.chain_head().unwrap();
        assert!(source.records.chained(0, 10).unwrap().is_empty());
        transfer(&*source.records, &*target.records, ARRIVAL, |_| ()).unwrap();
        target.records.log(&entry(0)).unwrap();
        assert_eq!(target.records.chain_head().unwrap().number, head.number + 1);
        is_whole(&*target.records);
    });
}

#[test]
fn more_rows_than_a_page_are_moved() {
    each_pair(|source, target| {
        let all = PAGE as u64 * 2;
        let digest = |n: u64| {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            digest
        };
        for n in 0..all {
            let kept = source.records.keep_message(&digest(n), time(9), time(0));
            kept.unwrap();
        }
        transfer(&*source.records, &*target.records, ARRIVAL, |_| ()).unwrap();
        for n in 0..all {
            assert!(target.records.is_kept_message(&digest(n), time(0)).unwrap());
        }
    });
}

/// Whoever has both open writes and reads all the while, and is never refused.
#[test]
fn those_who_write_meanwhile_follow() {
    each_pair(|source, target| {
        fill(&*source.records);
        let mover = (source.again)().unwrap();
        let moving = MovingRecords::new(source.records, target.again);
        let is_over = AtomicBool::new(false);
        let deposited = thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let mut n = 100;
                while !is_over.load(SeqCst) || n < 110 {
                    deposit(&moving, n);
                    assert!(moving.find(id(0)).unwrap().is_some());
                    assert!(moving.count_download(id(0), 0..1, &entry(0)).unwrap());
                    n += 1;
                }
                n
            });
            transfer(&*mover, &*target.records, ARRIVAL, |_| ()).unwrap();
            is_over.store(true, SeqCst);
            writes.join().unwrap()
        });
        for n in 100..deposited {
            assert!(
                target.records.find(id(n)).unwrap().is_some(),
                "{n} of {deposited}"
            );
        }
        let found = target.records.find(id(0)).unwrap().unwrap();
        assert_eq!(found.downloads, 1 + deposited - 100);
        is_whole(&*target.records);
    });
}

#[test]
fn a_row_that_comes_back_otherwise_is_told_and_nothing_is_handed_over() {
    let (source, target) = (sqlite(), sqlite());
    fill(&*source.records);
    let home = target._home.as_ref().unwrap();
    let other = Connection::open(home.path().join("drop.sqlite3")).unwrap();
    let spoil = "CREATE TRIGGER spoil AFTER INSERT ON block BEGIN UPDATE block SET created = 0; END;
                 CREATE TRIGGER spoil_more AFTER UPDATE ON block WHEN NEW.created <> 0 BEGIN UPDATE block SET created = 0; END";
    other.execute_batch(spoil).unwrap();
    let error = transfer(&*source.records, &*target.records, ARRIVAL, |_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("they are where they were: table block"),
        "{error}"
    );
    assert!(source.records.find(id(0)).unwrap().is_some());
}

#[test]
fn entries_from_before_the_chain_are_refused() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("drop.sqlite3");
    let old = Connection::open(&path).unwrap();
    let steps = crate::ledger::schemas_before_the_chain();
    for step in steps {
        old.execute_batch(step).unwrap();
    }
    old.pragma_update(None, "user_version", steps.len() as i64)
        .unwrap();
    let insert = "INSERT INTO audit (time, action, queue_id, sender, actor, detail) VALUES (1, 'deposit', 'A', 's', 'mail', '')";
    old.execute(insert, []).unwrap();
    let (source, target) = (Sqlite::open(path).unwrap(), sqlite());
    let error = transfer(&source, &*target.records, ARRIVAL, |_| ()).unwrap_err();
    assert!(error.to_string().contains("audit.keep"), "{error}");
    assert!(source.entries(&Default::default()).unwrap().len() == 1);
}

/// A column that a later schema adds is moved, or this fails.
#[test]
fn each_column_is_in_the_list() {
    let home = sqlite()._home.unwrap();
    let found = columns_of_sqlite(&home.path().join("drop.sqlite3"));
    assert_eq!(found, listed());
}

fn columns_of_sqlite(path: &Path) -> BTreeSet<(String, String)> {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c
               WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(rusqlite::Result::unwrap).collect()
}

/// Returns each table and column that is moved.
pub(in crate::ledger::records) fn listed() -> BTreeSet<(String, String)> {
    let columns = |table: &SqlTable| {
        let pairs = table
            .columns()
            .map(|column| (table.name.to_owned(), column.to_owned()));
        pairs.collect::<Vec<_>>()
    };
    TABLES.iter().flat_map(columns).collect()
}

//! What PostgreSQL alone must be asked: which plans it makes, and what several hosts do at once. Each test has
//! a database of its own.

use std::{collections::BTreeSet, sync::mpsc, thread};

use super::*;
use crate::{
    config::DropConfig,
    ledger::{
        FaultKind, Records,
        records::{
            costs::{PER_SENDER, VERBS, entry, file, id, network, record, time},
            transfer::listed,
        },
    },
};

/// Number of packages in a large drop.
const MANY: u64 = 50_000;
/// Number of packages that are inserted at once.
const AT_ONCE: u64 = 5000;
/// Number of rows from which on a table must not be read from end to end.
const MANY_ROWS: i64 = 1000;
/// Number of times that each verb is tried: from the sixth on, the server may use a plan for any values.
const TRIES: u64 = 7;

/// A question, and the function that asks it.
type Question = (&'static str, fn(&Postgres));

fn open(url: &PostgresUrl) -> Postgres {
    Postgres::open(url, &DropConfig::default()).unwrap()
}

#[test]
fn no_verb_that_touches_few_packages_reads_a_large_table_from_end_to_end() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    fill(&drop);
    for (name, verb) in VERBS {
        let before = scans(&drop);
        (0..TRIES).for_each(|_| verb(&drop, MANY, MANY / 2));
        assert_eq!(scans(&drop), before, "{name}");
    }
}

/// A column that a later schema adds is moved, or this fails.
#[test]
fn each_column_is_in_the_list_of_those_that_are_moved() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    let sql = "SELECT table_name::text, column_name::text FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name <> 'schema' AND column_name <> 'turn'";
    let read = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let found = drop.read(|connection| connection.query(sql, &[], read));
    let found: BTreeSet<(String, String)> = found.unwrap().into_iter().collect();
    assert_eq!(found, listed());
}

#[test]
fn no_question_about_one_file_login_or_message_reads_a_large_table_from_end_to_end() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    fill(&drop);
    fill_lists(&drop);
    let questions: &[Question] = &[
        ("is blocked", |drop| {
            let blocked = [file(3).fingerprint.unwrap(), [7; 32]];
            assert!(!drop.is_blocked(&blocked).unwrap());
        }),
        ("is suspended", |drop| {
            assert!(drop.is_suspended("Login77").unwrap());
            assert!(drop.suspended_packages("login77").unwrap().is_empty());
        }),
        ("a kept message", |drop| {
            assert!(!drop.is_kept_message(&[1; 32], time(0)).unwrap());
            drop.keep_message(&[1; 32], time(5), time(6)).unwrap();
            drop.forget_kept_messages(time(6), 10).unwrap();
        }),
        ("an uploader", |drop| {
            use crate::ledger::uploaders::Uploads as _;
            assert_eq!(drop.find_uploader(&[9; 32], 1).unwrap(), None);
            drop.claim(id(1), "mx", time(1), time(0)).unwrap();
            assert!(drop.is_claimed(id(1), "mx").unwrap());
        }),
        ("a sweep", |drop| {
            assert_eq!(drop.doomed(3).unwrap().len(), 3);
            assert_eq!(drop.ended(time(0), 3).unwrap(), []);
            assert!(!drop.has_unknown_files().unwrap());
        }),
    ];
    for (name, ask) in questions {
        let before = scans(&drop);
        (0..TRIES).for_each(|_| ask(&drop));
        assert_eq!(scans(&drop), before, "{name}");
    }
}

/// The counter counts: a question that has to look at all packages is seen to do so.
#[test]
fn reading_a_large_table_from_end_to_end_is_seen() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    fill(&drop);
    let before = scans(&drop);
    let sql = "SELECT 1 FROM package WHERE bytes = -1";
    assert!(!drop.read(|c| c.exists(sql, &[])).unwrap());
    assert_ne!(scans(&drop), before);
}

#[test]
fn writers_of_several_hosts_make_one_chain() {
    let Some(url) = lab::fresh() else { return };
    let hosts = [open(&url), open(&url), open(&url)];
    thread::scope(|scope| {
        for host in hosts.iter().chain(&hosts) {
            scope.spawn(|| (0..20).for_each(|n| host.log(&entry(n)).unwrap()));
        }
    });
    let found = hosts[0].verify_chain(None).unwrap();
    assert_eq!((found.entries, found.head.number), (120, 120));
    assert_eq!(found.defects, []);
}

#[test]
fn hosts_that_open_a_new_database_at_once_make_one_schema() {
    let Some(url) = lab::fresh() else { return };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| open(&url).probe().unwrap());
        }
    });
    assert_eq!(open(&url).stored_bytes().unwrap(), 0);
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let Some(url) = lab::fresh() else { return };
    let later = "UPDATE schema SET version = 99";
    open(&url).write(|c| c.batch(later)).unwrap();
    let error = Postgres::open(&url, &DropConfig::default()).unwrap_err();
    assert_eq!(error.fault(), Some(FaultKind::TooNew));
}

/// The insertion has to wait for the removal; it is seen waiting before the removal ends.
#[test]
fn nobody_commits_while_an_orphan_is_removed() {
    let Some(url) = lab::fresh() else { return };
    let (sweeper, depositor) = (open(&url), open(&url));
    let (insert, wanted) = mpsc::channel();
    thread::scope(|scope| {
        let inserted = scope.spawn(move || {
            wanted.recv().unwrap();
            depositor.insert(id(1), &record(1), &[file(1)], &[], &entry(1))
        });
        let removed = sweeper.remove_orphan(id(1), &mut || {
            insert.send(()).unwrap();
            let waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
            while !sweeper.read(|c| c.exists(waits, &[]))? {
                thread::yield_now();
            }
            assert_eq!(sweeper.find(id(1))?, None);
            Ok(())
        });
        assert!(removed.unwrap());
        inserted.join().unwrap().unwrap();
    });
    assert!(!sweeper.remove_orphan(id(1), &mut || Ok(())).unwrap());
}

#[test]
fn a_package_that_two_hosts_swept_is_destroyed_once() {
    let Some(url) = lab::fresh() else { return };
    let hosts = [open(&url), open(&url)];
    let deposit = hosts[0].insert(id(1), &record(1), &[file(1)], &[], &entry(1));
    deposit.unwrap();
    hosts[0].doom(&[(id(1), record(1).term.expires)]).unwrap();
    for host in &hosts {
        host.destroyed(&[id(1)], &[entry(1)]).unwrap();
    }
    let told = hosts[0].entries(&AuditQuery::default()).unwrap();
    assert_eq!(told.len(), 2);
}

#[test]
fn connections_that_were_cut_are_made_again() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    let (_connections, admin) = lab::connect(&url);
    let cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        admin.execute(cut, &[]).unwrap();
        // One that was cut is noticed when it is used, if not before.
        let first = drop.log(&entry(1));
        assert!(first.is_ok() || drop.log(&entry(1)).is_ok());
    }
    assert_eq!(drop.verify_chain(None).unwrap().defects, []);
}

#[test]
fn a_transaction_that_fails_leaves_nothing_and_its_connection_is_sound() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    for _ in 0..20 {
        let fails = drop.write(|c| c.batch("INSERT INTO note VALUES ('x', 1); SELECT 1 / 0"));
        assert_eq!(fails.unwrap_err().fault(), Some(FaultKind::Database));
    }
    let found = drop.read(|c| c.exists("SELECT 1 FROM note WHERE name = 'x'", &[]));
    assert!(!found.unwrap());
}

#[test]
fn a_database_that_is_read_only_is_told_and_read() {
    let Some(url) = lab::fresh() else { return };
    open(&url).log(&entry(1)).unwrap();
    let (_connections, admin) = lab::connect(&url);
    let database = url.client().get_dbname().unwrap();
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    admin.batch(&read_only).unwrap();
    let drop = open(&url);
    let error = drop.log(&entry(1)).unwrap_err();
    assert_eq!(error.fault(), Some(FaultKind::Denied));
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(drop.chain_head().unwrap().number, 1);
}

#[test]
fn a_zero_byte_is_no_obstacle() {
    let Some(url) = lab::fresh() else { return };
    let drop = open(&url);
    let mut record = record(1);
    record.origin.sender = "a\0b@example.org".into();
    let mut told = entry(1);
    told.detail = "\0".into();
    drop.insert(id(1), &record, &[file(1)], &[], &told).unwrap();
    let found = drop.find(id(1)).unwrap().unwrap();
    assert_eq!(found.origin.sender, "a\u{fffd}b@example.org");
    assert_eq!(drop.verify_chain(None).unwrap().defects, []);
}

#[test]
fn what_cannot_be_reached_is_told_with_its_reason() {
    let told = |url: &str| {
        let url = PostgresUrl::parse(url).unwrap();
        let error = Postgres::open(&url, &DropConfig::default()).unwrap_err();
        assert_eq!(error.fault(), Some(FaultKind::Database));
        error.to_string()
    };
    let nobody = told("postgresql://u@127.0.0.1:1/drop");
    assert!(
        nobody.contains("127.0.0.1:1") && nobody.contains("refused"),
        "{nobody}"
    );
    let nowhere = told("postgresql:///drop?host=/nonexistent");
    assert!(nowhere.contains("No such file"), "{nowhere}");
}

/// Fills the tables of packages without their triggers: half a minute of adding up is not what is tested.
fn fill(drop: &Postgres) {
    let (bytes, cost) = (30 * MANY, 4096 * MANY);
    let end = format!(
        "UPDATE note SET value = CASE name WHEN 'stored_bytes' THEN {bytes} ELSE {cost} END;
         INSERT INTO statistics VALUES ('2027-01', 'outgoing', 'example.org', 1, 1, 1, 1, 1);
         UPDATE audit_chain SET number = {MANY} WHERE place = 'head';
         SET session_replication_role = DEFAULT; ANALYZE"
    );
    let filled = drop.read(|c| {
        c.batch("SET session_replication_role = replica")?;
        (0..MANY)
            .step_by(AT_ONCE as usize)
            .try_for_each(|first| fill_some(c, first))?;
        c.batch(&end)
    });
    filled.unwrap();
}

/// Inserts the packages from one on.
fn fill_some(connection: &Connection, first: u64) -> fault::Result<()> {
    let some = first..first + AT_ONCE;
    let ids: Vec<_> = some.clone().map(|n| id(n).0.to_vec()).collect();
    let networks: Vec<_> = some.map(|n| network(n).to_vec()).collect();
    let (first, created) = (first as i64, time(0).as_second());
    let rows = "unnest($1::bytea[]) WITH ORDINALITY AS ids (id, place), LATERAL (SELECT $2::bigint + place - 1 AS n) AS row";
    let sender = format!("'user' || n / {PER_SENDER} || '@example.org'");

    let package = format!(
        "INSERT INTO package (id, created, expires, manifest, queue_id, sender, login, direction, recipients,
                              files, bytes, unlock, domains, cost)
         SELECT id, {created} + n, {created} + n + 10, '\\x00', '4' || upper(to_hex(n)),
                {sender}, {sender}, 'outgoing', 1, 1, 30, 'server', '{{}}', 4096
         FROM {rows}"
    );
    connection.execute(&package, &[&ids, &first])?;
    let file = "INSERT INTO file (package, position, number, size, fingerprint)
         SELECT id, 0, 0, 30, id || decode(repeat('00', 16), 'hex') FROM unnest($1::bytea[]) AS id";
    connection.execute(file, &[&ids])?;
    let audit = format!(
        "INSERT INTO audit (number, digest, time, action, package, queue_id, sender, actor, detail)
         SELECT n + 1, decode(repeat('00', 32), 'hex'), {created} + n, 'deposit', id, '', '', 'mail', ''
         FROM {rows}"
    );
    connection.execute(&audit, &[&ids, &first])?;
    let network = format!(
        "INSERT INTO client_network (package, network, created, cost)
         SELECT id, network, {created} + $3::bigint + place - 1, 4096
         FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS sent (id, network, place)"
    );
    connection
        .execute(&network, &[&ids, &networks, &first])
        .map(drop)
}

/// Fills the lists of what is refused, kept and claimed.
fn fill_lists(drop: &Postgres) {
    let fill = "
        INSERT INTO block SELECT sha256(n::text::bytea), sha256(n::text::bytea), n, '' FROM generate_series(1, 20000) AS n;
        INSERT INTO suspended SELECT 'login' || n, n, '' FROM generate_series(1, 20000) AS n;
        INSERT INTO kept_message SELECT sha256(n::text::bytea), 1900000000 + n FROM generate_series(1, 20000) AS n;
        INSERT INTO uploader (name, secret, rights, created)
            SELECT 'mx' || n, sha256(n::text::bytea), '', n FROM generate_series(1, 20000) AS n;
        INSERT INTO uploaded SELECT substring(sha256(n::text::bytea) FOR 16), '', 1900000000 + n FROM generate_series(1, 20000) AS n;
        INSERT INTO doomed SELECT id FROM package LIMIT 20000";
    drop.write(|c| c.batch(fill)).unwrap();
    drop.read(|c| c.batch("ANALYZE")).unwrap();
}

/// Returns how often each large table was read from end to end.
fn scans(drop: &Postgres) -> Vec<(String, i64)> {
    let count = |c: &Connection| {
        c.batch("SELECT pg_stat_force_next_flush()")?;
        let sql = "SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE n_live_tup > $1 ORDER BY 1";
        c.query(sql, &[&MANY_ROWS], |row| {
            Ok((row.try_get(0)?, row.try_get(1)?))
        })
    };
    let scans = drop.read(count).unwrap();
    assert!(scans.len() >= 4, "{scans:?}");
    scans
}

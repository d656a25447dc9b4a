//! The suite of [`Records`]. Each check is given a fresh, empty database.

use std::cell::Cell;

use jiff::SignedDuration;

use super::super::*;
use crate::{
    envelope::Domains,
    ledger::{
        BlockRow, Cause, Depositor, Entry, Note, Postgres, Record, RecordFile, Records, Sqlite,
        Term, postgres,
        statistics::{DOMAIN_MESSAGES_MIN, Month, Sums},
    },
};

/// A database, and whatever must live as long.
type Fresh = (Box<dyn Records>, Box<dyn std::any::Any>);

/// A sentence that must hold, and the function that checks it.
type Check = (&'static str, fn(&dyn Records));

const CHECKS: &[Check] = &[
    ("what is inserted is found", what_is_inserted_is_found),
    (
        "an insertion is all or nothing",
        an_insertion_is_all_or_nothing,
    ),
    (
        "a withdrawn package never was",
        a_withdrawn_package_never_was,
    ),
    ("a list is narrowed by each question", a_list_is_narrowed),
    (
        "a term is changed by whoever saw it last",
        a_term_is_changed_once,
    ),
    ("downloads are counted", downloads_are_counted),
    (
        "a package is doomed, destroyed, forgotten",
        the_end_of_a_package,
    ),
    (
        "a package that was restored is not doomed",
        a_restored_package_is_not_doomed,
    ),
    ("only orphans are removed", only_orphans_are_removed),
    (
        "the log is only added to, and forgotten by age",
        the_log_is_added_to,
    ),
    ("a blocked file is refused", a_blocked_file_is_refused),
    ("bytes are added up", bytes_are_added_up),
    ("each file costs a block", each_file_costs_a_block),
    (
        "deposits of other hosts have quotas of their own",
        uploaders_have_their_own,
    ),
    (
        "logins and strangers use up no share of an address",
        logins_and_strangers_use_up_no_share_of_an_address,
    ),
    (
        "incoming mail is added up by the hour",
        incoming_is_added_up,
    ),
    ("networks are known for a day", networks_are_known),
    (
        "statistics outlive the packages, not their withdrawal",
        statistics_outlive_the_packages,
    ),
    (
        "domains with few messages are folded when their month is over",
        small_domains_are_folded,
    ),
    ("notes are kept", notes_are_kept),
    (
        "a kept message is known until its time is over",
        a_kept_message_is_known,
    ),
    ("a probe changes nothing", a_probe_changes_nothing),
];

#[test]
fn sqlite_is_a_database_of_records() {
    suite(|| {
        let home = TempDir::new().unwrap();
        let path = home.path().join("drop.sqlite3");
        (Box::new(Sqlite::open(path).unwrap()), Box::new(home))
    });
}

#[test]
fn postgresql_is_a_database_of_records() {
    if postgres::fresh().is_none() {
        return;
    }
    suite(|| {
        let url = postgres::fresh().unwrap();
        let records = Postgres::open(&url, &DropConfig::default()).unwrap();
        (Box::new(records), Box::new(()))
    });
}

fn suite(fresh: impl Fn() -> Fresh) {
    for (sentence, check) in CHECKS {
        let (records, _home) = fresh();
        eprintln!("{sentence}");
        check(&*records);
    }
}

const A: RecordId = RecordId([1; 16]);
const B: RecordId = RecordId([2; 16]);
const C: RecordId = RecordId([0xcd; 16]);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn record(created: i64, expires: i64) -> Record {
    Record {
        created: at(created),
        term: Term {
            expires: at(expires),
            ended: None,
        },
        origin: origin(),
        unlock: Unlock::Browser,
        manifest: Some(vec![1, 2, 3]),
        files: 2,
        bytes: 30_000,
        downloads: 0,
        held: None,
        elsewhere: None,
    }
}

fn files() -> [RecordFile; 2] {
    let file = |number, size, print| RecordFile {
        number,
        size,
        fingerprint: Some([print; 32]),
        downloads: 0,
    };
    [file(7, 10_000, 0xaa), file(3, 20_000, 0xbb)]
}

fn entry(id: RecordId, action: Action, seconds: i64) -> Entry {
    Entry::new(at(seconds), action, (id, &origin()), WEB, String::new())
}

fn put(records: &dyn Records, id: RecordId, record: &Record) {
    let entry = entry(id, Action::Deposit, 0);
    let inserted = records.insert(id, record, &files(), &[], &entry);
    inserted.unwrap();
}

fn actions(records: &dyn Records) -> Vec<Action> {
    let entries = records.entries(&AuditQuery::default()).unwrap();
    entries.iter().map(|entry| entry.action).collect()
}

fn what_is_inserted_is_found(records: &dyn Records) {
    let record = record(0, 100);
    assert_eq!(records.find(A).unwrap(), None);
    put(records, A, &record);
    assert_eq!(records.find(A).unwrap().as_ref(), Some(&record));
    assert_eq!(records.find(B).unwrap(), None);
    assert_eq!(records.files(A).unwrap(), files());
    assert_eq!(records.files(B).unwrap(), []);
    assert_eq!(actions(records), [Action::Deposit]);
    assert!(records.is_needed(A).unwrap() && !records.is_needed(B).unwrap());
    for slice in 0..=255 {
        let needed: Vec<_> = records.needed(slice).unwrap().into_iter().collect();
        assert_eq!(needed, if slice == A.0[0] { vec![A] } else { vec![] });
    }
}

fn an_insertion_is_all_or_nothing(records: &dyn Records) {
    let (record, entry) = (record(0, 100), entry(A, Action::Deposit, 0));
    put(records, A, &record);
    assert!(records.insert(A, &record, &files(), &[], &entry).is_err());
    assert_eq!(actions(records), [Action::Deposit]);
}

fn a_withdrawn_package_never_was(records: &dyn Records) {
    put(records, A, &record(0, 100));
    let withdraw = entry(A, Action::Withdraw, 1);
    assert!(records.withdraw(A, &withdraw).unwrap());
    assert!(!records.withdraw(A, &withdraw).unwrap());
    assert_eq!(records.find(A).unwrap(), None);
    assert_eq!(records.files(A).unwrap(), []);
    assert_eq!(records.stored_bytes().unwrap(), 0);
    let withdrawn = [Action::Deposit, Action::Withdraw, Action::Withdraw];
    assert_eq!(actions(records), withdrawn);
}

/// Domain, messages, files, bytes, recipients, spared.
fn counted(records: &dyn Records) -> Vec<(String, [u64; 5])> {
    let rows = records.statistics(None, None).unwrap();
    let values = |sums: Sums| {
        let Sums {
            messages,
            files,
            bytes,
            recipients,
            spared,
        } = sums;
        [messages, files, bytes, recipients, spared]
    };
    rows.into_iter()
        .map(|row| (row.domain, values(row.sums)))
        .collect()
}

fn statistics_outlive_the_packages(records: &dyn Records) {
    let mut incoming = record(0, 100);
    incoming.origin.direction = Direction::Incoming;
    incoming.origin.recipients = 3;
    let recipients = ["a@x.example", "b@y.example", "c@y.example"];
    incoming.origin.domains = Domains::of(recipients);
    put(records, A, &incoming);
    put(records, B, &record(0, 100));
    let one = [
        ("x.example".to_owned(), [0, 0, 0, 1, 30_000]),
        ("y.example".to_owned(), [1, 2, 30_000, 2, 60_000]),
        ("example.org".to_owned(), [1, 2, 30_000, 2, 60_000]),
    ];
    assert_eq!(counted(records), one);
    put(records, C, &incoming);
    assert!(records.withdraw(C, &entry(C, Action::Withdraw, 1)).unwrap());
    assert!(!records.withdraw(C, &entry(C, Action::Withdraw, 1)).unwrap());
    assert_eq!(counted(records), one);
    records.doom(&[(A, at(100)), (B, at(100))]).unwrap();
    records.destroyed(&[A, B], &[]).unwrap();
    records.forget(&[A, B]).unwrap();
    assert_eq!(records.find(A).unwrap(), None);
    assert_eq!(counted(records), one);
    let month = Month::of(at(0).to_zoned(jiff::tz::TimeZone::UTC).date());
    let within = |since, until| records.statistics(since, until).unwrap().len();
    assert_eq!(within(Some(month), Some(month)), 3);
    assert_eq!(within(Some(month.after()), None), 0);
    assert_eq!(within(None, Some(month.before())), 0);
}

fn small_domains_are_folded(records: &dyn Records) {
    let id = |n: u64| RecordId([n as u8 + 10; 16]);
    (0..DOMAIN_MESSAGES_MIN).for_each(|n| put(records, id(n), &record(0, 100)));
    let mut few = record(0, 100);
    few.origin.sender = "me@my-own.example".into();
    put(records, A, &few);
    let before = counted(records);
    assert_eq!(before.len(), 2);
    let month = Month::of(at(0).to_zoned(jiff::tz::TimeZone::UTC).date());
    records.fold_statistics(month).unwrap();
    assert_eq!(counted(records), before, "the month is not over");
    records.fold_statistics(month.after()).unwrap();
    records.fold_statistics(month.after()).unwrap();
    let names: Vec<_> = counted(records)
        .into_iter()
        .map(|(name, sums)| (name, sums[0]))
        .collect();
    let expected = [
        (String::new(), 1),
        ("example.org".into(), DOMAIN_MESSAGES_MIN),
    ];
    assert_eq!(names, expected);
}

fn a_list_is_narrowed(records: &dyn Records) {
    put(records, A, &record(0, 100));
    let mut other = record(10, 200);
    other.origin.sender = "Bob@Sub.Example.ORG".into();
    other.origin.login = None;
    other.origin.queue_id = "4xyz".into();
    put(records, B, &other);
    put(records, C, &record(20, 300));
    let revoked = Term {
        expires: at(300),
        ended: Some((at(25), Cause::Revoked)),
    };
    let revoke = entry(C, Action::Revoke, 25);
    assert!(
        records
            .change_term(C, &record(0, 300).term, &revoked, &revoke)
            .unwrap()
    );
    let ids = |query: Query| -> Vec<_> {
        let found = records.list(&query).unwrap();
        found.into_iter().map(|(id, _)| id).collect()
    };
    let query = Query::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(ids(query()), [C, B, A]);
    assert_eq!(
        ids(Query {
            limit: Some(2),
            ..query()
        }),
        [C, B]
    );
    assert_eq!(
        ids(Query {
            sender: text("ALICE@example.org"),
            ..query()
        }),
        [C, A]
    );
    assert_eq!(
        ids(Query {
            sender: text("@sub.example.org"),
            ..query()
        }),
        [B]
    );
    assert_eq!(
        ids(Query {
            sender: text("@ub.example.org"),
            ..query()
        }),
        []
    );
    assert_eq!(
        ids(Query {
            sender: text("%"),
            ..query()
        }),
        []
    );
    assert_eq!(
        ids(Query {
            login: text("Alice"),
            ..query()
        }),
        [C, A]
    );
    assert_eq!(
        ids(Query {
            queue_id: text("4xyz"),
            ..query()
        }),
        [B]
    );
    assert_eq!(
        ids(Query {
            since: Some(at(10)),
            ..query()
        }),
        [C, B]
    );
    assert_eq!(
        ids(Query {
            until: Some(at(10)),
            ..query()
        }),
        [A]
    );
    for (after, expected) in [
        ((at(20), C), &[B, A][..]),
        ((at(10), A), &[B, A]),
        ((at(10), B), &[A]),
        ((at(1000), A), &[C, B, A]),
        ((at(-1), A), &[]),
    ] {
        let after = Some(after);
        assert_eq!(ids(Query { after, ..query() }), expected, "{after:?}");
    }
    let whole = C.to_string();
    for (prefix, expected) in [
        ("cdcdcdcd", &[C][..]),
        ("CDC", &[C]),
        (&whole, &[C]),
        ("cdcdcdce", &[]),
        ("cdcx", &[]),
        (&(whole.clone() + "0"), &[]),
        ("", &[C, B, A]),
    ] {
        let id_prefix = text(prefix);
        assert_eq!(
            ids(Query {
                id_prefix,
                ..query()
            }),
            expected,
            "{prefix}"
        );
    }
    assert_eq!(
        ids(Query {
            fingerprint: Some([0xaa; 32]),
            ..query()
        }),
        [C, B, A]
    );
    assert_eq!(
        ids(Query {
            fingerprint: Some([0xcc; 32]),
            ..query()
        }),
        []
    );
    let state = |state| Some((state, at(150)));
    assert_eq!(
        ids(Query {
            state: state(PackageState::Live),
            ..query()
        }),
        [B]
    );
    assert_eq!(
        ids(Query {
            state: state(PackageState::Expired),
            ..query()
        }),
        [A]
    );
    assert_eq!(
        ids(Query {
            state: state(PackageState::Revoked),
            ..query()
        }),
        [C]
    );
    assert_eq!(
        ids(Query {
            state: state(PackageState::Destroyed),
            ..query()
        }),
        []
    );
}

fn a_term_is_changed_once(records: &dyn Records) {
    let was = record(0, 100).term;
    put(records, A, &record(0, 100));
    let is = Term {
        expires: at(200),
        ended: Some((at(50), Cause::Blocked)),
    };
    let extend = entry(A, Action::Extend, 1);
    assert!(records.change_term(A, &was, &is, &extend).unwrap());
    assert!(!records.change_term(A, &was, &is, &extend).unwrap());
    assert!(!records.change_term(B, &was, &is, &extend).unwrap());
    assert_eq!(records.find(A).unwrap().unwrap().term, is);
    assert!(records.change_term(A, &is, &was, &extend).unwrap());
    assert_eq!(records.find(A).unwrap().unwrap().term, was);
    let extended = [Action::Deposit, Action::Extend, Action::Extend];
    assert_eq!(actions(records), extended);
}

fn downloads_are_counted(records: &dyn Records) {
    put(records, A, &record(0, 100));
    let download = entry(A, Action::Download, 1);
    assert!(records.count_download(A, 1..2, &download).unwrap());
    assert!(records.count_download(A, 1..2, &download).unwrap());
    assert!(!records.count_download(A, 2..3, &download).unwrap());
    assert!(!records.count_download(B, 0..1, &download).unwrap());
    let files: Vec<_> = records.files(A).unwrap();
    assert_eq!((files[0].downloads, files[1].downloads), (0, 2));
    assert_eq!(records.find(A).unwrap().unwrap().downloads, 2);
    assert_eq!(actions(records).len(), 3);
    assert!(records.count_download(A, 0..2, &download).unwrap());
    let files: Vec<_> = records.files(A).unwrap();
    assert_eq!((files[0].downloads, files[1].downloads), (1, 3));
    assert_eq!(records.find(A).unwrap().unwrap().downloads, 4);
    assert_eq!(actions(records).len(), 4);
}

fn the_end_of_a_package(records: &dyn Records) {
    put(records, B, &record(0, 200));
    put(records, A, &record(0, 100));
    assert_eq!(records.ended(at(99), 10).unwrap(), []);
    assert_eq!(
        records.ended(at(200), 10).unwrap(),
        [(A, at(100)), (B, at(200))]
    );
    assert_eq!(records.ended(at(200), 1).unwrap(), [(A, at(100))]);
    records.doom(&[(A, at(100))]).unwrap();
    records.doom(&[(A, at(100))]).unwrap();
    assert_eq!(records.doomed(10).unwrap(), [(A, vec![7, 3])]);
    assert_eq!(records.ended(at(200), 10).unwrap(), [(B, at(200))]);
    assert!(!records.is_needed(A).unwrap());
    assert!(records.needed(A.0[0]).unwrap().is_empty());
    let doomed = records.find(A).unwrap().unwrap();
    assert_eq!((doomed.manifest, doomed.bytes), (None, 30_000));
    assert!(
        records
            .files(A)
            .unwrap()
            .iter()
            .all(|f| f.fingerprint.is_none())
    );
    // What is doomed is not forgotten before its blobs are gone.
    records.forget(&[A]).unwrap();
    assert!(records.find(A).unwrap().is_some());
    let destroyed = [entry(A, Action::Destroy, 300)];
    records.destroyed(&[A], &destroyed).unwrap();
    let logged = actions(records);
    // Two processes that sweep at once log it once.
    records.destroyed(&[A], &destroyed).unwrap();
    assert_eq!(actions(records), logged);
    assert_eq!(records.doomed(10).unwrap(), []);
    assert_eq!(records.forgettable(at(99), 10).unwrap(), []);
    assert_eq!(records.forgettable(at(100), 10).unwrap(), [(A, at(100))]);
    records.forget(&[A, B]).unwrap();
    assert_eq!(records.find(A).unwrap(), None);
    assert!(records.find(B).unwrap().is_some());
    records.forget_overwritten().unwrap();
    assert_eq!(actions(records).last(), Some(&Action::Destroy));
}

fn a_restored_package_is_not_doomed(records: &dyn Records) {
    put(records, A, &record(0, 100));
    let (was, is) = (record(0, 100).term, record(0, 500).term);
    let restore = entry(A, Action::Restore, 110);
    assert!(records.change_term(A, &was, &is, &restore).unwrap());
    records.doom(&[(A, at(100))]).unwrap();
    assert!(records.is_needed(A).unwrap());
    assert_eq!(records.doomed(10).unwrap(), []);
    // The other way round: what is doomed cannot be restored.
    records.doom(&[(A, at(500))]).unwrap();
    assert!(!records.change_term(A, &is, &was, &restore).unwrap());
    // One that was ended before its time ends then.
    let ended = Term {
        expires: at(900),
        ended: Some((at(50), Cause::Revoked)),
    };
    put(records, B, &record(0, 900));
    let revoke = entry(B, Action::Revoke, 50);
    assert!(
        records
            .change_term(B, &record(0, 900).term, &ended, &revoke)
            .unwrap()
    );
    assert_eq!(records.ended(at(60), 10).unwrap(), [(B, at(50))]);
}

fn only_orphans_are_removed(records: &dyn Records) {
    put(records, A, &record(0, 100));
    let removed = Cell::new(0);
    let mut remove = || {
        removed.set(removed.get() + 1);
        Ok(())
    };
    assert!(!records.remove_orphan(A, &mut remove).unwrap());
    assert_eq!(removed.get(), 0);
    assert!(records.remove_orphan(B, &mut remove).unwrap());
    records.doom(&[(A, at(100))]).unwrap();
    assert!(records.remove_orphan(A, &mut remove).unwrap());
    assert_eq!(removed.get(), 2);
    let mut fails = || Err(LedgerError::Stopped);
    assert!(records.remove_orphan(B, &mut fails).is_err());
}

fn the_log_is_added_to(records: &dyn Records) {
    let mut first = entry(A, Action::Report, 1);
    first.client = Requester::web(Some("2001:db8::1".parse().unwrap()));
    first.detail = "é \"x\"".into();
    let general = Entry::general(at(5), Action::Unblock, Requester::ADMIN, String::new());
    for entry in [&first, &general, &entry(B, Action::Extend, 9)] {
        records.log(entry).unwrap();
    }
    let ask = |package, since| records.entries(&AuditQuery { package, since }).unwrap();
    assert_eq!(ask(None, None).len(), 3);
    assert_eq!(ask(Some(A), None), [first]);
    assert_eq!(ask(None, Some(at(5)))[0], general);
    assert_eq!(records.forget_entries(at(1), at(100), 10).unwrap(), 0);
    assert_eq!(records.forget_entries(at(9), at(100), 1).unwrap(), 1);
    assert_eq!(records.forget_entries(at(9), at(100), 10).unwrap(), 1);
    assert_eq!(ask(None, None).len(), 1);
}

fn a_blocked_file_is_refused(records: &dyn Records) {
    let row = BlockRow {
        fingerprint: [0xbb; 32],
        sha256: [9; 32],
        created: at(0),
        reason: "malware".into(),
    };
    let block = Entry::general(at(0), Action::Block, Requester::ADMIN, String::new());
    put(records, A, &record(0, 100));
    assert!(records.block(&row, &block).unwrap());
    assert!(!records.block(&row, &block).unwrap());
    assert_eq!(records.blocks().unwrap(), [row]);
    assert!(records.is_blocked(&[[0xaa; 32], [0xbb; 32]]).unwrap());
    assert!(!records.is_blocked(&[[0xaa; 32]]).unwrap());
    let deposit = entry(B, Action::Deposit, 0);
    let refused = records.insert(B, &record(0, 100), &files(), &[], &deposit);
    assert!(matches!(refused, Err(LedgerError::Blocked)));
    assert_eq!(records.find(B).unwrap(), None);
    assert!(records.unblock(&[0xbb; 32], &block).unwrap());
    assert!(!records.unblock(&[0xbb; 32], &block).unwrap());
    put(records, B, &record(0, 100));
}

fn bytes_are_added_up(records: &dyn Records) {
    let mut other = record(10, 100);
    other.origin.sender = "bob@example.org".into();
    other.origin.login = None;
    put(records, A, &record(0, 100));
    put(records, B, &other);
    put(records, C, &record(20, 100));
    let sum = |by, since| {
        records
            .deposited(by, None, at(since)..=Timestamp::MAX)
            .unwrap()
    };
    assert_eq!(sum(Depositor::Login("ALICE"), 0), 60_000);
    assert_eq!(sum(Depositor::Login("alice"), 1), 30_000);
    assert_eq!(sum(Depositor::Sender("Bob@example.org", None), 0), 30_000);
    assert_eq!(sum(Depositor::Sender("nobody", None), 0), 0);
    assert_eq!(records.stored_bytes().unwrap(), 90_000);
    records.doom(&[(A, at(100))]).unwrap();
    assert_eq!(records.stored_bytes().unwrap(), 60_000);
    assert_eq!(sum(Depositor::Login("alice"), 0), 60_000);
    records.destroyed(&[A], &[]).unwrap();
    records.forget(&[A]).unwrap();
    assert_eq!(records.stored_bytes().unwrap(), 60_000);
}

/// The share of an address is that of mail without a login, in the directions that count.
fn logins_and_strangers_use_up_no_share_of_an_address(records: &dyn Records) {
    let with = |login: Option<&str>, direction, created| {
        let mut record = record(created, 100);
        record.origin.login = login.map(str::to_owned);
        record.origin.direction = direction;
        record
    };
    put_sizes(
        records,
        A,
        &with(Some("alice"), Direction::Outgoing, 0),
        &[10_000],
    );
    put_sizes(records, B, &with(None, Direction::Incoming, 0), &[20_000]);
    put_sizes(records, C, &with(None, Direction::Outgoing, 50), &[40_000]);
    let sum = |direction, until| {
        let alice = Depositor::Sender("alice@example.org", direction);
        records.deposited(alice, None, at(0)..=at(until)).unwrap()
    };
    assert_eq!(sum(Some(Direction::Outgoing), 50), 40_000);
    assert_eq!(sum(Some(Direction::Outgoing), 49), 0);
    assert_eq!(sum(Some(Direction::Incoming), 50), 20_000);
    assert_eq!(sum(None, 50), 60_000);
}

/// Inserts a package with files of these sizes.
fn put_sizes(records: &dyn Records, id: RecordId, record: &Record, sizes: &[u64]) {
    let file = |(number, &size): (usize, &u64)| RecordFile {
        number: number as u32,
        size,
        fingerprint: None,
        downloads: 0,
    };
    let files: Vec<_> = sizes.iter().enumerate().map(file).collect();
    let entry = entry(id, Action::Deposit, 0);
    let inserted = records.insert(id, record, &files, &[], &entry);
    inserted.unwrap();
}

fn each_file_costs_a_block(records: &dyn Records) {
    put_sizes(records, A, &record(0, 100), &[0, 1, 4096, 4097]);
    let cost = 3 * 4096 + 4097;
    let alice = Depositor::Login("alice");
    assert_eq!(
        records.deposited(alice, None, at(0)..=at(100)).unwrap(),
        cost
    );
    assert_eq!(records.stored_cost().unwrap(), cost);
    assert_eq!(records.stored_bytes().unwrap(), 4096 + 4097 + 1);
    records.doom(&[(A, at(100))]).unwrap();
    assert_eq!(records.stored_cost().unwrap(), 0);
    assert_eq!(
        records.deposited(alice, None, at(0)..=at(100)).unwrap(),
        cost
    );
}

fn uploaders_have_their_own(records: &dyn Records) {
    let by = |name: Option<&str>| {
        let mut record = record(0, 100);
        record.origin.uploader = name.map(str::to_owned);
        record
    };
    put_sizes(records, A, &by(None), &[10_000]);
    put_sizes(records, B, &by(Some("mx")), &[20_000]);
    put_sizes(records, C, &by(Some("mx2")), &[40_000]);
    let alice = Depositor::Login("alice");
    let sum = |uploader| {
        let cost = records.deposited(alice, uploader, at(0)..=at(100));
        cost.unwrap()
    };
    assert_eq!(sum(None), 10_000);
    assert_eq!(sum(Some("mx")), 20_000);
    assert_eq!(sum(Some("mx3")), 0);
}

fn incoming_is_added_up(records: &dyn Records) {
    let from = |created, uploader: Option<&str>| {
        let mut record = record(created, created + 100);
        record.origin.direction = Direction::Incoming;
        record.origin.uploader = uploader.map(str::to_owned);
        record
    };
    let hour = 3600;
    put_sizes(records, A, &from(0, None), &[10_000]);
    put_sizes(records, B, &from(hour, None), &[20_000]);
    put_sizes(records, C, &from(hour, Some("mx")), &[40_000]);
    let outgoing = RecordId([9; 16]);
    put_sizes(records, outgoing, &record(0, 100), &[80_000]);
    let sum = |uploader, since| {
        records
            .incoming(uploader, at(since)..=Timestamp::MAX)
            .unwrap()
    };
    assert_eq!(sum(None, 0), 30_000);
    assert_eq!(sum(None, hour), 20_000);
    assert_eq!(sum(None, 2 * hour), 0);
    assert_eq!(sum(Some("mx"), 0), 40_000);
    assert_eq!(sum(Some("other"), 0), 0);
    records.withdraw(B, &entry(B, Action::Withdraw, 1)).unwrap();
    assert_eq!(sum(None, 0), 10_000);
    // Two days later nobody asks any more; a package of then may still be withdrawn.
    put_sizes(records, B, &from(50 * hour, None), &[5000]);
    records.withdraw(A, &entry(A, Action::Withdraw, 1)).unwrap();
    assert_eq!(sum(None, 0), 5000);
}

fn networks_are_known(records: &dyn Records) {
    let (one, other) = ([1; 32], [2; 32]);
    let put = |id, created, networks: &[[u8; 32]]| {
        let entry = entry(id, Action::Deposit, 0);
        let record = record(created, created + 100);
        let inserted = records.insert(id, &record, &files(), networks, &entry);
        inserted.unwrap();
    };
    put(A, 0, &[one, other]);
    put(B, 10, &[one]);
    let sum = |network, since| {
        records
            .of_network(&network, at(since)..=Timestamp::MAX)
            .unwrap()
    };
    assert_eq!((sum(one, 0), sum(other, 0)), (60_000, 30_000));
    assert_eq!((sum(one, 1), sum(other, 1)), (30_000, 0));
    assert_eq!(sum([3; 32], 0), 0);
    records.withdraw(B, &entry(B, Action::Withdraw, 1)).unwrap();
    assert_eq!(sum(one, 0), 30_000);
    records.forget_networks(at(0), 10).unwrap();
    assert_eq!(sum(one, 0), 30_000);
    records.forget_networks(at(1), 1).unwrap();
    assert_eq!(sum(one, 0) + sum(other, 0), 30_000);
    records.forget_networks(at(1), 10).unwrap();
    assert_eq!(sum(one, 0) + sum(other, 0), 0);
    // With each one that is remembered some of the last day but one go.
    put(B, 0, &[one]);
    put(C, 86_401, &[other]);
    assert_eq!(sum(one, 0), 0);
}

fn notes_are_kept(records: &dyn Records) {
    assert_eq!(records.note(Note::LastSweep).unwrap(), None);
    let (last, held) = (Note::LastSweep, Note::HeldUntil);
    records.set_notes(&[(last, -5), (held, i64::MAX)]).unwrap();
    records.set_notes(&[(last, 6)]).unwrap();
    assert_eq!(records.note(last).unwrap(), Some(6));
    assert_eq!(records.note(held).unwrap(), Some(i64::MAX));
}

fn a_kept_message_is_known(records: &dyn Records) {
    let (one, other) = ([1; 32], [2; 32]);
    records.keep_message(&one, at(10), at(0)).unwrap();
    records.keep_message(&one, at(5), at(0)).unwrap();
    assert!(records.is_kept_message(&one, at(9)).unwrap());
    assert!(!records.is_kept_message(&one, at(10)).unwrap());
    assert!(!records.is_kept_message(&other, at(0)).unwrap());
    // Who asks as of before sees whether it is still there.
    records.forget_kept_messages(at(9), 10).unwrap();
    assert!(records.is_kept_message(&one, at(0)).unwrap());
    records.forget_kept_messages(at(10), 10).unwrap();
    assert!(!records.is_kept_message(&one, at(0)).unwrap());
    records.keep_message(&one, at(10), at(0)).unwrap();
    records.keep_message(&other, at(20), at(10)).unwrap();
    assert!(!records.is_kept_message(&one, at(0)).unwrap());
    assert!(records.is_kept_message(&other, at(0)).unwrap());
}

fn a_probe_changes_nothing(records: &dyn Records) {
    put(records, A, &record(0, 100));
    records.probe().unwrap();
    assert!(records.find(A).unwrap().is_some());
    let damaged = records.damaged("it is no record");
    assert_eq!(damaged.fault(), Some(FaultKind::Damaged));
    let now = at(0) + SignedDuration::from_secs(1);
    assert_eq!(records.ended(now, 1).unwrap(), []);
}

//! The verbs that touch few packages, for the tests that each database answers them as fast in a large drop
//! as in a small one; and what that drop is filled with.

use jiff::Timestamp;

use super::*;
use crate::{
    envelope::{Direction, Domains, Origin},
    ledger::{Action, Actor, Records, Requester, Unlock},
};

/// Packages of one sender, who deposits one after the other.
pub(super) const PER_SENDER: u64 = 10;

/// A verb that touches few packages: given a drop with so many, and one in the middle.
pub(super) type Verb = (&'static str, fn(&dyn Records, u64, u64));

pub(super) const VERBS: &[Verb] = &[
    ("find", |drop, _, n| {
        assert!(drop.find(id(n)).unwrap().is_some())
    }),
    ("files", |drop, _, n| {
        assert_eq!(drop.files(id(n)).unwrap().len(), 1)
    }),
    ("list the last", |drop, _, _| {
        list(drop, 50, |query| query.limit = Some(50));
    }),
    ("list the next page", |drop, _, n| {
        let after = Some((time(n), id(n)));
        list(drop, 50, |query| {
            (query.after, query.limit) = (after, Some(50))
        });
    }),
    ("list by sender", |drop, _, n| {
        list(drop, PER_SENDER, |query| {
            query.sender = Some(sender(n).to_uppercase())
        });
    }),
    ("list by login", |drop, _, n| {
        list(drop, PER_SENDER, |query| {
            query.login = Some(sender(n).to_uppercase())
        });
    }),
    ("list by time", |drop, _, n| {
        let (since, until) = (Some(time(n)), Some(time(n + 5)));
        list(drop, 5, |query| (query.since, query.until) = (since, until));
    }),
    ("list by queue id", |drop, _, n| {
        list(drop, 1, |query| query.queue_id = Some(queue_id(n)));
    }),
    ("list by beginning of id", |drop, _, n| {
        list(drop, 1, |query| {
            query.id_prefix = Some(id(n).to_string()[..12].to_owned())
        });
    }),
    ("list by file", |drop, _, n| {
        list(drop, 1, |query| query.fingerprint = file(n).fingerprint);
    }),
    ("insert, withdraw", |drop, count, _| {
        let (new, entry) = (count + 1, entry(count + 1));
        let file = [file(new)];
        let inserted = drop.insert(id(new), &record(new), &file, &[], &entry);
        inserted.unwrap();
        assert!(drop.withdraw(id(new), &entry).unwrap());
    }),
    ("change a term", |drop, _, n| {
        let term = record(n).term;
        assert!(drop.change_term(id(n), &term, &term, &entry(n)).unwrap());
    }),
    ("count a download", |drop, _, n| {
        assert!(drop.count_download(id(n), 0..1, &entry(n)).unwrap());
    }),
    ("what ended", |drop, count, _| {
        assert_eq!(drop.ended(time(count), 3).unwrap().len(), 3);
    }),
    ("nothing ended", |drop, _, _| {
        assert_eq!(drop.ended(time(0), 3).unwrap(), [])
    }),
    ("nothing doomed", |drop, _, _| {
        assert_eq!(drop.doomed(3).unwrap(), [])
    }),
    ("nothing to forget", |drop, count, _| {
        assert_eq!(drop.forgettable(time(count), 3).unwrap(), []);
    }),
    ("doom, destroy, forget", |drop, count, n| {
        drop.doom(&[(id(n), record(n).term.expires)]).unwrap();
        assert_eq!(drop.doomed(3).unwrap(), [(id(n), vec![0])]);
        drop.destroyed(&[id(n)], &[entry(n)]).unwrap();
        assert_eq!(drop.forgettable(time(2 * count), 3).unwrap().len(), 1);
        drop.forget(&[id(n)]).unwrap();
        drop.insert(id(n), &record(n), &[file(n)], &[network(n)], &entry(n))
            .unwrap();
    }),
    ("is needed", |drop, _, n| {
        assert!(drop.is_needed(id(n)).unwrap())
    }),
    ("remove an orphan", |drop, count, _| {
        assert!(drop.remove_orphan(id(count + 1), &mut || Ok(())).unwrap());
    }),
    ("entries of one", |drop, _, n| {
        let package = Some(id(n));
        let query = AuditQuery {
            package,
            ..AuditQuery::default()
        };
        assert!(!drop.entries(&query).unwrap().is_empty());
    }),
    ("forget no entries", |drop, _, _| {
        assert_eq!(drop.forget_entries(time(0), time(0), 100).unwrap(), 0);
    }),
    ("is blocked", |drop, _, n| {
        assert!(!drop.is_blocked(&[file(n).fingerprint.unwrap()]).unwrap());
    }),
    ("deposited by a login", |drop, _, n| {
        let by = Depositor::Login(&sender(n));
        assert_eq!(
            drop.deposited(by, None, time(0)..=Timestamp::MAX).unwrap(),
            4096 * PER_SENDER
        );
    }),
    ("deposited by a sender", |drop, _, n| {
        // All of it came with a login.
        let by = Depositor::Sender(&sender(n), None);
        assert_eq!(
            drop.deposited(by, None, time(0)..=Timestamp::MAX).unwrap(),
            0
        );
    }),
    ("deposited from a network", |drop, _, n| {
        let cost = drop
            .of_network(&network(n), time(0)..=Timestamp::MAX)
            .unwrap();
        assert_eq!(cost, 4096 * PER_SENDER);
    }),
    ("no network to forget", |drop, _, _| {
        drop.forget_networks(time(0), 100).unwrap();
    }),
    ("stored bytes", |drop, count, _| {
        assert_eq!(drop.stored_bytes().unwrap(), 30 * count);
    }),
    ("statistics", |drop, _, _| {
        assert_eq!(drop.statistics(None, None).unwrap().len(), 1);
    }),
];

/// Asks a question that so many packages answer.
pub(super) fn list(drop: &dyn Records, rows: u64, ask: impl FnOnce(&mut Query)) {
    let mut query = Query::default();
    ask(&mut query);
    assert_eq!(drop.list(&query).unwrap().len() as u64, rows);
}

/// Spread as random ones are.
pub(super) fn id(n: u64) -> RecordId {
    let spread = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    RecordId(spread.to_be_bytes())
}

pub(super) fn time(n: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + n as i64).unwrap()
}

fn sender(n: u64) -> String {
    format!("user{}@example.org", n / PER_SENDER)
}

/// The network of a client that sends as often as a sender.
pub(super) fn network(n: u64) -> Fingerprint {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&(n / PER_SENDER).to_be_bytes());
    digest
}

fn queue_id(n: u64) -> String {
    format!("4{n:X}")
}

fn origin(n: u64) -> Origin {
    Origin {
        queue_id: queue_id(n),
        sender: sender(n),
        verified: None,
        login: Some(sender(n)),
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 1,
        domains: Domains::default(),
    }
}

pub(super) fn record(n: u64) -> Record {
    Record {
        created: time(n),
        term: Term {
            expires: time(n + 10),
            ended: None,
        },
        origin: origin(n),
        unlock: Unlock::Server,
        manifest: Some(vec![0; 200]),
        files: 1,
        bytes: 30,
        downloads: 0,
        held: None,
        elsewhere: None,
    }
}

pub(super) fn file(n: u64) -> RecordFile {
    let mut fingerprint = [0; 32];
    fingerprint[..16].copy_from_slice(&id(n).0);
    RecordFile {
        number: 0,
        size: 30,
        fingerprint: Some(fingerprint),
        downloads: 0,
    }
}

pub(super) fn entry(n: u64) -> Entry {
    let client = Requester {
        actor: Actor::Mail,
        address: None,
    };
    Entry::new(
        time(n),
        Action::Deposit,
        (id(n), &origin(n)),
        client,
        String::new(),
    )
}

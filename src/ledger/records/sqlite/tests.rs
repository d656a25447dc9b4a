//! The cost of a verb does not grow with the drop: the steps of SQLite's virtual machine are counted. A
//! query that finds no index takes one for each row, on any machine.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tempfile::TempDir;

use super::*;
use crate::ledger::records::costs::{VERBS, Verb, entry, file, id, list, network, record, time};

#[test]
fn what_touches_few_packages_takes_as_many_steps_in_a_large_drop() {
    let (few, many) = (steps_with(100), steps_with(2000));
    for ((verb, few), (_, many)) in few.iter().zip(&many) {
        eprintln!("{verb}: {few}, {many}");
        assert!(
            *few > 0 && *many <= few * 5 / 4,
            "{verb}: {few} steps, then {many}"
        );
    }
}

/// The counter counts: a question that has to look at all of them is seen to do so.
#[test]
fn what_looks_at_all_packages_takes_more_steps() {
    let of_domain = |count| {
        let (drop, steps, _home) = filled(count);
        list(&drop, count, |query| {
            query.sender = Some("@example.org".to_owned())
        });
        steps.load(Relaxed)
    };
    assert!(of_domain(2000) > 10 * of_domain(100));
}

fn steps_with(count: u64) -> Vec<(&'static str, u64)> {
    let (drop, steps, _home) = filled(count);
    let counted = |&(name, verb): &Verb| {
        // The first time, statements are prepared and the cache is empty.
        verb(&drop, count, count / 2);
        steps.store(0, Relaxed);
        verb(&drop, count, count / 2);
        (name, steps.load(Relaxed))
    };
    VERBS.iter().map(counted).collect()
}

/// A drop with so many packages, and what counts the steps of its connections.
fn filled(count: u64) -> (Sqlite, Arc<AtomicU64>, TempDir) {
    let home = TempDir::new().unwrap();
    let drop = Sqlite::open(home.path().join("drop.sqlite3")).unwrap();
    let fill = |transaction: &Write<'_>| {
        (0..count).try_for_each(|n| {
            let cost = write::insert(transaction, id(n), &record(n), &[file(n)])?;
            write::networks(transaction, (id(n), time(n)), &[network(n)], cost)?;
            audit::append(transaction, &entry(n))
        })
    };
    drop.write(fill).unwrap();
    let steps = Arc::new(AtomicU64::new(0));
    let count = |connection: &Connection| {
        let steps = steps.clone();
        let count = move || {
            steps.fetch_add(1, Relaxed);
            false
        };
        connection.progress_handler(1, Some(count)).unwrap();
    };
    count(&drop.writer.alone().unwrap());
    count(&lock(drop.reader.as_ref().unwrap()));
    (drop, steps, home)
}

//! A hundred thousand packages that are to be destroyed, and deposits that go on meanwhile: how long a
//! deposit takes while the sweeper works, beside how long it takes when nobody does; and how long it takes
//! to find one record among them.
//!
//! It prints its own table, since one sweep is one sample. With `--test`, a thousand packages.

#[path = "shared/deposit.rs"]
mod deposit;

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use depollueur::drop::{FileDrop, Swept, Token};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use self::deposit::{deposit, open, origin};

/// Packages that one step of the sweeper destroys at most, as in the daemon.
const SWEEP_STEP: usize = 100;
const DEPOSITS: usize = 500;
const DEPOSITED: &[u8] = &[7; 100_000];
const FINDS: usize = 20_000;

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let packages = if test { 1_000 } else { 100_000 };
    let home = TempDir::new_in(".").expect("the current directory can be written");
    let drop = open(&home);
    let begun = Instant::now();
    let now = Timestamp::now();
    fill(&home.path().join("drop"), packages, now);
    println!("{packages} packages made in {:.1?}", begun.elapsed());
    let runtime = runtime();

    let token = runtime.block_on(deposit(&drop, origin(), DEPOSITED));
    println!("find: {:.1?} each", runtime.block_on(find(&drop, &token)));

    let alone = runtime.block_on(deposits(&drop, || false));
    report("deposits alone", alone);
    let (swept, took, meanwhile) = sweep_beside_deposits(&drop, &runtime, now);
    report("deposits while the sweeper works", meanwhile);
    println!("sweep: {} packages in {took:.1?}", swept.packages);
    assert_eq!(swept.packages, packages as u64);
}

fn runtime() -> Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}

/// Packages of one small file each that expired two months ago, as rows and files.
fn fill(directory: &Path, packages: usize, now: Timestamp) {
    let mut database = Connection::open(directory.join("drop.sqlite3")).expect("it is there");
    let expires = now.as_second() - 60 * 86_400;
    let transaction = database.transaction().expect("nobody else writes");
    for n in 0..packages {
        let id = (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = id.to_be_bytes();
        transaction
            .prepare_cached(
                "INSERT INTO package (id, created, expires, manifest, queue_id, sender, direction,
                                      recipients, files, bytes)
                 VALUES (?1, ?2, ?2, zeroblob(250), ?3, ?4, 'outgoing', 1, 1, 1)",
            )
            .and_then(|mut insert| {
                let sender = format!("user{}@example.org", n % 1000);
                insert.execute(params![id, expires + n as i64, format!("4{n:x}"), sender])
            })
            .expect("a package is inserted");
        transaction
            .prepare_cached("INSERT INTO file VALUES (?1, 0, 0, 1, 0, ?2)")
            .and_then(|mut insert| insert.execute(params![id, [id, id].concat()]))
            .expect("a file is inserted");
        let shard = directory.join("blobs").join(format!("{:02x}", id[0]));
        let name = data_encoding::HEXLOWER.encode(&id) + "-0";
        fs::create_dir_all(&shard).expect("a shard is made");
        fs::write(shard.join(name), [0; 57]).expect("a blob is made");
    }
    transaction.commit().expect("it is written");
}

/// Deposits until there are enough, or for as long as `go_on` says; how long each took.
async fn deposits(drop: &FileDrop, go_on: impl Fn() -> bool) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.len() < DEPOSITS || go_on() {
        let begun = Instant::now();
        deposit(drop, origin(), DEPOSITED).await;
        took.push(begun.elapsed());
    }
    took
}

async fn find(drop: &FileDrop, token: &Token) -> Duration {
    let (begun, now) = (Instant::now(), Timestamp::now());
    for _ in 0..FINDS {
        drop.find(token, now).await.expect("it is found");
    }
    begun.elapsed() / FINDS as u32
}

fn sweep_beside_deposits(
    drop: &FileDrop,
    runtime: &Runtime,
    now: Timestamp,
) -> (Swept, Duration, Vec<Duration>) {
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            let begun = Instant::now();
            let all = drop.sweep_all(now, SWEEP_STEP, || true);
            let (swept, result) = self::runtime().block_on(all);
            result.expect("a sweep ends");
            (swept, begun.elapsed())
        });
        let took = runtime.block_on(deposits(drop, || !sweeper.is_finished()));
        let (swept, all) = sweeper.join().expect("the sweeper does not panic");
        (swept, all, took)
    })
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{what}: {} of 100 kB, median {:.1?}, 99 % within {:.1?}, longest {:.1?}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

//! What one drop costs with so many packages in it. `benches/system/growth` runs this at growing sizes and
//! draws the curves; it is told what to do in two words:
//!
//! ```text
//! growth fill DIRECTORY COUNT     makes the drop, or adds packages to it until there are so many
//! growth measure DIRECTORY        prints one line of JSON: what each operation takes, in seconds
//! ```
//!
//! Packages are rows and files as a deposit leaves them, but for their contents, which are empty: no
//! operation here reads any. One in ten is past its grace period. With `--test`, all of it once, small.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use depollueur::{
    config::{Config, QuotaConfig},
    drop::{AuditQuery, Drop, Origin, Query, RecordId, Token, expires_at},
    filter::Direction,
};
use jiff::{Span, Timestamp};
use rusqlite::{Connection, Transaction, params};
use tokio::runtime::{self, Runtime};

/// How many packages a sender has: a drop with more packages is that of a host with more users.
const PACKAGES_PER_SENDER: u64 = 1000;

/// How many operations are timed that touch one package.
const ROUNDS: u64 = 200;
/// And of those that look at many.
const ROUNDS_OF_MANY: u64 = 5;

/// Packages that one step of the sweeper destroys at most, as in the daemon.
const SWEEP_STEP: usize = 100;

const DAY: i64 = 86_400;

/// Seconds, by the name of the operation.
type Times = BTreeMap<&'static str, f64>;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["fill", directory, count, ..] => {
            let count = count.parse().expect("a number of packages");
            fill(Path::new(directory), count);
        }
        ["measure", directory, ..] => print(&measure(Path::new(directory))),
        words if words.contains(&"--test") => {
            let home =
                tempfile::TempDir::new_in(".").expect("the current directory can be written");
            let directory = home.path().join("drop");
            fill(&directory, 500);
            print(&measure(&directory));
        }
        _ => println!("run by benches/system/growth"),
    }
}

fn print(times: &Times) {
    let figures: Vec<_> = times
        .iter()
        .map(|(name, seconds)| format!("\"{name}\": {seconds:.9}"))
        .collect();
    println!("{{{}}}", figures.join(", "));
}

fn config(directory: &Path) -> Config {
    let mut config = Config::default();
    config.drop.directory = directory.to_owned();
    config.drop.expiry = Span::new().months(1);
    config.drop.grace = Span::new().days(7);
    config.quota = QuotaConfig::unlimited();
    config
}

fn runtime() -> Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}

/// The id of the nth package: spread as random ones are, and the same each time.
fn id(n: u64) -> [u8; 16] {
    u128::from(n + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        .to_be_bytes()
}

fn queue_id(n: u64) -> String {
    format!("4{n:X}")
}

fn record(n: u64) -> RecordId {
    let id = data_encoding::HEXLOWER.encode(&id(n));
    id.parse().expect("it is an id")
}

fn sender(n: u64) -> String {
    format!("user{}@example.org", n / PACKAGES_PER_SENDER)
}

fn fill(directory: &Path, count: u64) {
    let drop = Drop::of(&config(directory)).expect("a fresh directory can be used");
    let now = Timestamp::now();
    runtime()
        .block_on(drop.trust_clock(now))
        .expect("the clock is noted");
    let mut database = Connection::open(directory.join("drop.sqlite3")).expect("it is there");
    database
        .pragma_update(None, "foreign_keys", true)
        .and_then(|()| database.pragma_update(None, "cache_size", -200_000))
        .expect("it is set");
    let there: i64 = database
        .query_row("SELECT count(*) FROM package", [], |row| row.get(0))
        .expect("it is counted");
    for shard in 0..=255_u8 {
        fs::create_dir_all(directory.join(format!("blobs/{shard:02x}"))).expect("a shard is made");
    }
    for begin in (there as u64..count).step_by(10_000) {
        let transaction = database.transaction().expect("nobody else writes");
        (begin..count.min(begin + 10_000)).for_each(|n| {
            insert(&transaction, n, now.as_second()).expect("a package is inserted");
            blob(directory, n, now);
        });
        transaction.commit().expect("it is written");
    }
    // As after a while of ordinary work: nothing waits in the log of changes.
    database
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("it is written back");
}

/// A package that was deposited in the last month, or, one in ten, more than a month before.
fn insert(transaction: &Transaction<'_>, n: u64, now: i64) -> rusqlite::Result<()> {
    let back = (n as i64).wrapping_mul(7_919) % (30 * DAY);
    let created = now - back - if is_due(n) { 60 * DAY } else { 0 };
    transaction
        .prepare_cached(
            "INSERT INTO package (id, created, expires, manifest, queue_id, sender, login, direction,
                                  recipients, files, bytes)
             VALUES (?1, ?2, ?3, randomblob(250), ?4, ?5, ?6, 'outgoing', 1, 1, 1000000)",
        )?
        .execute(params![
            id(n),
            created,
            created + 31 * DAY,
            queue_id(n),
            sender(n),
            sender(n),
        ])?;
    transaction
        .prepare_cached(
            "INSERT INTO file (package, position, number, size, fingerprint)
             VALUES (?1, 0, 0, 1000000, ?2)",
        )?
        .execute(params![id(n), [id(n), id(n)].concat()])?;
    transaction
        .prepare_cached(
            "INSERT INTO audit (time, action, package, queue_id, sender, login, actor, detail)
             VALUES (?1, 'deposit', ?2, ?3, ?4, ?5, 'mail', 'files=1 bytes=1000000')",
        )?
        .execute(params![created, id(n), queue_id(n), sender(n), sender(n)])?;
    Ok(())
}

fn is_due(n: u64) -> bool {
    n % 10 == 9
}

/// Blobs are older than an hour, so that the sweeper looks for their records.
fn blob(directory: &Path, n: u64, now: Timestamp) {
    let name = data_encoding::HEXLOWER.encode(&id(n)) + "-0";
    let path = directory.join("blobs").join(&name[..2]).join(&name);
    let file = fs::File::create(path).expect("a blob is made");
    let hour_ago = std::time::SystemTime::from(now) - Duration::from_secs(2 * 3600);
    file.set_modified(hour_ago).expect("its age is set");
}

fn measure(directory: &Path) -> Times {
    let count = {
        let database = Connection::open(directory.join("drop.sqlite3")).expect("it is there");
        database
            .query_row("SELECT count(*) FROM package", [], |row| {
                row.get::<_, i64>(0)
            })
            .expect("it is counted") as u64
    };
    let runtime = runtime();
    let mut times = Times::new();
    times.insert("open", median(ROUNDS_OF_MANY, |_| open(directory)));
    let drop = open(directory);
    let quotas = with_quotas(directory);
    // A package in the middle, and what leads to it.
    let one = id(count / 2);
    let token = runtime.block_on(deposit(&drop));
    let now = Timestamp::now();

    let ask = |query: Query, rows: Option<u64>| {
        median(ROUNDS_OF_MANY, |_| {
            let found = runtime.block_on(drop.list(query.clone(), now));
            let found = found.expect("the database is read").len() as u64;
            assert!(rows.is_none_or(|rows| rows == found), "{query:?}: {found}");
        })
    };
    let of_sender = count.min(PACKAGES_PER_SENDER);
    times.insert(
        "deposit",
        each(|_| drop_it(runtime.block_on(deposit(&drop)))),
    );
    times.insert(
        "deposit, with quotas",
        each(|_| drop_it(runtime.block_on(deposit(&quotas)))),
    );
    times.insert(
        "find",
        each(|_| {
            let found = runtime.block_on(drop.find(&token, now));
            drop_it(found.expect("the database is read"));
        }),
    );
    times.insert(
        "find nothing",
        each(|_| {
            let found = runtime.block_on(drop.find(&Token::random(), now));
            drop_it(found.expect("the database is read"));
        }),
    );
    times.insert(
        "show",
        each(|n| {
            let id = record(n * 7 % count);
            let shown = runtime.block_on(drop.show(id, now));
            drop_it(shown.expect("the database is read").expect("it is there"));
        }),
    );
    times.insert(
        "audit of one",
        each(|n| {
            let package = Some(record(n * 7 % count));
            let query = AuditQuery {
                package,
                ..AuditQuery::default()
            };
            let entries = runtime
                .block_on(drop.audit(query))
                .expect("the database is read");
            assert!(!entries.is_empty());
        }),
    );
    times.insert(
        "level",
        each(|_| drop_it(runtime.block_on(drop.level()).expect("it is known"))),
    );
    times.insert(
        "statistics",
        each(|_| {
            drop_it(
                runtime
                    .block_on(drop.statistics(None, None))
                    .expect("the database is read"),
            );
        }),
    );
    let query = Query::default();
    times.insert(
        "list the last 50",
        ask(
            Query {
                limit: Some(50),
                ..query.clone()
            },
            Some(50),
        ),
    );
    times.insert(
        "list by queue id",
        ask(
            Query {
                queue_id: Some(queue_id(count / 2)),
                ..query.clone()
            },
            Some(1),
        ),
    );
    let prefix = data_encoding::HEXLOWER.encode(&one[..6]);
    times.insert(
        "list by beginning of id",
        ask(
            Query {
                id_prefix: Some(prefix),
                ..query.clone()
            },
            Some(1),
        ),
    );
    times.insert(
        "list by sender",
        ask(
            Query {
                sender: Some(sender(0)),
                ..query.clone()
            },
            Some(of_sender),
        ),
    );
    times.insert(
        "list by login",
        ask(
            Query {
                login: Some(sender(0)),
                ..query.clone()
            },
            Some(of_sender),
        ),
    );
    let mut fingerprint = [0; 32];
    fingerprint[..16].copy_from_slice(&one);
    fingerprint[16..].copy_from_slice(&one);
    times.insert(
        "list by file",
        ask(
            Query {
                fingerprint: Some(fingerprint),
                ..query.clone()
            },
            Some(1),
        ),
    );
    times.insert(
        "list those of a domain",
        ask(
            Query {
                sender: Some("@example.org".into()),
                ..query.clone()
            },
            None,
        ),
    );

    let sweep = |now| {
        runtime
            .block_on(drop.sweep_all(now, SWEEP_STEP, || true))
            .expect("a sweep ends")
    };
    let begun = Instant::now();
    let swept = sweep(now);
    times.insert("sweep, one in ten due", begun.elapsed().as_secs_f64());
    assert_eq!(
        swept.packages,
        (0..count).filter(|n| is_due(*n)).count() as u64
    );
    times.insert("sweep, nothing due", median(3, |_| drop_it(sweep(now))));
    times
}

fn open(directory: &Path) -> Drop {
    Drop::of(&config(directory)).expect("the drop is opened")
}

fn with_quotas(directory: &Path) -> Drop {
    let mut config = config(directory);
    config.quota.sender_per_day = Some(1 << 50);
    config.quota.total = Some(1 << 60);
    config.quota.free_space_min = 1;
    Drop::of(&config).expect("the drop is opened")
}

async fn deposit(drop: &Drop) -> Token {
    let now = Timestamp::now();
    let mut package = drop.package(Origin {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        login: Some("alice".into()),
        direction: Direction::Outgoing,
        recipients: 1,
        domains: depollueur::stats::Domains::default(),
    });
    let file = package.file("a.pdf", "application/pdf").await;
    let mut file = file.expect("a draft is made");
    let written = file.write(Bytes::from_static(&[7; 1000])).await;
    written.expect("a draft is written");
    let file = file.finish().await.expect("a draft is synced");
    let expires = expires_at(now, &Span::new().months(1));
    let committed = package.commit(vec![file], now, expires).await;
    committed.expect("a package is committed")
}

fn each(run: impl FnMut(u64)) -> f64 {
    median(ROUNDS, run)
}

/// The median time of so many runs.
fn median<T>(rounds: u64, mut run: impl FnMut(u64) -> T) -> f64 {
    let time = |n| {
        let begun = Instant::now();
        drop_it(run(n));
        begun.elapsed().as_secs_f64()
    };
    let mut times: Vec<_> = (0..rounds).map(time).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn drop_it<T>(value: T) {
    drop(std::hint::black_box(value));
}

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

#[path = "../shared/deposit.rs"]
mod deposit;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use depollueur::{
    config::{Config, QuotaConfig},
    drop::{AuditQuery, FileDrop, PackageLookup, Query, RecordId, Swept, Token},
    envelope::Origin,
};
use jiff::{Span, Timestamp};
use rusqlite::{Connection, Transaction, params};
use tokio::runtime::{self, Runtime};

use self::deposit::origin;

/// How many packages a sender has: a drop with more packages is that of a host with more users.
const PACKAGES_PER_SENDER: u64 = 1000;

/// How many operations are timed that touch one package.
const ROUNDS: u64 = 100;
/// And of those that look at many.
const FEW_ROUNDS: u64 = 5;

/// Packages that one step of the sweeper destroys at most, as in the daemon.
const SWEEP_STEP: usize = 100;

/// Packages on a page of a list, as in the command.
const PAGE: usize = 1000;

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

fn fingerprint(n: u64) -> [u8; 32] {
    let mut fingerprint = [0; 32];
    fingerprint[..16].copy_from_slice(&id(n));
    fingerprint[16..].copy_from_slice(&id(n));
    fingerprint
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
    let drop = FileDrop::of(&config(directory)).expect("a fresh directory can be used");
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

/// A package that was deposited in the last month after those before it, or, one in ten, two months
/// earlier.
fn insert(transaction: &Transaction<'_>, n: u64, now: i64) -> rusqlite::Result<()> {
    let back = 30 * DAY - 2 * n as i64;
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
        .execute(params![id(n), fingerprint(n)])?;
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
    let database = Connection::open(directory.join("drop.sqlite3")).expect("it is there");
    let count: i64 = database
        .query_row("SELECT count(*) FROM package", [], |row| row.get(0))
        .expect("it is counted");
    std::mem::drop(database);
    let mut times = Times::new();
    times.insert("open", undisturbed(FEW_ROUNDS, |_| open(directory)));
    let mut measured = Measured {
        drop: open(directory),
        runtime: runtime(),
        count: count as u64,
        now: Timestamp::now(),
        times,
    };
    measured.deposits(directory);
    measured.one_of_them();
    measured.lists();
    measured.sweeps();
    measured.times
}

/// A drop with so many packages, and what was found.
struct Measured {
    drop: FileDrop,
    runtime: Runtime,
    count: u64,
    now: Timestamp,
    times: Times,
}

impl Measured {
    fn time<T>(&mut self, what: &'static str, rounds: u64, run: impl AsyncFn(FileDrop, u64) -> T) {
        let (drop, runtime) = (&self.drop, &self.runtime);
        let time = undisturbed(rounds, |n| runtime.block_on(run(drop.clone(), n)));
        self.times.insert(what, time);
    }

    fn deposits(&mut self, directory: &Path) {
        let quotas = with_quotas(directory);
        self.time("deposit", ROUNDS, async |drop, _| deposit(&drop).await);
        self.time("deposit, with quotas", ROUNDS, async |_, _| {
            deposit(&quotas).await
        });
    }

    fn one_of_them(&mut self) {
        let (now, count) = (self.now, self.count);
        let token = self.runtime.block_on(deposit(&self.drop));
        self.time("find", ROUNDS, async |drop, _| {
            let found = drop.find(&token, now).await;
            assert!(matches!(found.expect("it is read"), PackageLookup::Live(_)));
        });
        self.time("find nothing", ROUNDS, async |drop, _| {
            drop.find(&Token::random(), now).await.expect("it is read")
        });
        self.time("show", ROUNDS, async |drop, n| {
            let shown = drop.show(record(n * 7 % count), now).await;
            shown.expect("it is read").expect("it is there")
        });
        self.time("audit of one", ROUNDS, async |drop, n| {
            let package = Some(record(n * 7 % count));
            let query = AuditQuery {
                package,
                ..AuditQuery::default()
            };
            assert!(!drop.audit(query).await.expect("it is read").is_empty());
        });
        self.time("level", ROUNDS, async |drop, _| {
            drop.level().await.expect("it is known")
        });
        self.time("statistics", ROUNDS, async |drop, _| {
            drop.statistics(None, None).await.expect("it is read")
        });
    }

    fn lists(&mut self) {
        let one = id(self.count / 2);
        let of_sender = self.count.min(PACKAGES_PER_SENDER);
        let all = Query::default;
        let limit = Some(50);
        let queue_id = Some(queue_id(self.count / 2));
        let id_prefix = Some(data_encoding::HEXLOWER.encode(&one[..6]));
        let (sender, login) = (Some(sender(0)), Some(sender(0)));
        let fingerprint = Some(fingerprint(self.count / 2));
        self.list("list the last 50", 50, Query { limit, ..all() });
        self.list("list by queue id", 1, Query { queue_id, ..all() });
        self.list("list by beginning of id", 1, Query { id_prefix, ..all() });
        self.list("list by sender", of_sender, Query { sender, ..all() });
        self.list("list by login", of_sender, Query { login, ..all() });
        self.list(
            "list by file",
            1,
            Query {
                fingerprint,
                ..all()
            },
        );
        let (now, count) = (self.now, self.count);
        self.time("list those of a domain", FEW_ROUNDS, async |drop, _| {
            let sender = Some("@example.org".into());
            let found = pages(&drop, Query { sender, ..all() }, now).await;
            assert!(found >= count, "{found} of {count}");
        });
    }

    fn list(&mut self, what: &'static str, rows: u64, query: Query) {
        let now = self.now;
        self.time(what, FEW_ROUNDS, async |drop, _| {
            let found = drop.list(query.clone(), now).await;
            assert_eq!(found.expect("it is read").len() as u64, rows, "{what}");
        });
    }

    fn sweeps(&mut self) {
        let (now, due) = (self.now, (0..self.count).filter(|n| is_due(*n)).count());
        self.time("sweep, one in ten due", 1, async |drop, _| {
            let (swept, result) = drop.sweep_all(now, SWEEP_STEP, || true).await;
            result.expect("it ends");
            assert_eq!(swept.packages, due as u64);
        });
        self.time("sweep, nothing due", FEW_ROUNDS, async |drop, _| {
            let (swept, result) = drop.sweep_all(now, SWEEP_STEP, || true).await;
            result.expect("it ends");
            assert_eq!(swept, Swept::default());
        });
    }
}

/// How many there are, page by page, as `depollueur drop list` takes them.
async fn pages(drop: &FileDrop, mut query: Query, now: Timestamp) -> u64 {
    query.limit = Some(PAGE);
    let mut found = 0;
    loop {
        let page = drop.list(query.clone(), now).await;
        let page = page.expect("the database is read");
        found += page.len() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE => query.after = Some((last.created, last.id)),
            _ => return found,
        }
    }
}

fn open(directory: &Path) -> FileDrop {
    FileDrop::of(&config(directory)).expect("the drop is opened")
}

fn with_quotas(directory: &Path) -> FileDrop {
    let mut config = config(directory);
    config.quota.sender_per_day = Some(1 << 50);
    config.quota.total = Some(1 << 60);
    config.quota.free_space_min = 1;
    config.quota.free_inodes_min = 1;
    FileDrop::of(&config).expect("the drop is opened")
}

async fn deposit(drop: &FileDrop) -> Token {
    let login = Some("alice".into());
    let origin = Origin { login, ..origin() };
    deposit::deposit(drop, origin, &[7; 1000]).await
}

/// What a run takes when the machine does little else: the fastest quarter of so many.
fn undisturbed<T>(rounds: u64, mut run: impl FnMut(u64) -> T) -> f64 {
    let time = |n| {
        let begun = Instant::now();
        let value = std::hint::black_box(run(n));
        let took = begun.elapsed();
        drop(value);
        took.as_secs_f64()
    };
    let mut times: Vec<_> = (0..rounds).map(time).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

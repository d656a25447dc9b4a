//! The whole way of a message through the filter in one process: beside the sum of its stages'
//! floors, measured in the same run; how long Postfix waits for each chunk; input made to slow it
//! down; and a message of 10 kB that goes out as it came.
//!
//! All but what is said to use all cores runs on one: this thread is bound to it, and the threads
//! that it starts.

#[path = "shared/adversary.rs"]
mod adversary;
#[path = "shared/compare.rs"]
mod compare;

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use adversary::{
    Adversary, BODIES, GROWTH_MAX, LINES, SLOWER_MAX, STRUCTURE, STRUCTURE_MAX, TEXTS,
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{Context, SHA256},
};
use compare::{Bar, Lane, Rounds, Time, compare, is_test, medians};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use depollueur::{
    config::Config,
    drop::FileDrop,
    envelope::{Direction, Envelope},
    filter::{Filter, Message, Start, Verdict},
    store::Stores,
};
use jiff::tz::TimeZone;
use mailsplice::rewrite::Eol;
use memchr::memmem;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const FILE_BYTES: usize = 25_000_000;
const CHUNK_BYTES: usize = 64 * 1024;
/// How often a heavy message and its stages are run in turn, and an adversary beside ordinary mail.
const HEAVY_ROUNDS: usize = 31;
const ADVERSARY_ROUNDS: usize = 11;

/// The stages that a message with a heavy attachment cannot do without, each as the fastest of its
/// kind does it.
const STAGES: [&str; 5] = [
    "scan: memmem over the chunks",
    "decode: the bare decoder, in one call",
    "hash: SHA-256",
    "encrypt: AES-256-GCM",
    "write, and sync",
];

fn body(file: &[u8]) -> Vec<u8> {
    let text = "--=_b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour,\r\n\r\n\
                voici le dossier.\r\n--=_b1\r\nContent-Type: application/pdf; name=a.pdf\r\n\
                Content-Transfer-Encoding: base64\r\n\r\n";
    let encoded = encodify::base64::MIME.encode(file);
    [text.as_bytes(), encoded.as_bytes(), b"\r\n--=_b1--\r\n"].concat()
}

fn filter(home: &Path, change: impl FnOnce(&mut Config)) -> Filter {
    let mut config = Config::default();
    config.drop.directory = home.join("drop");
    config.notice.time_zone = TimeZone::UTC;
    change(&mut config);
    let drop = FileDrop::open(&config.drop).expect("a fresh directory can be used");
    let stores = Stores::of_drop(drop, &config.web.public_url);
    Filter::new(Arc::new(config), stores)
}

fn begin(filter: &Filter) -> Box<Message> {
    let envelope = Envelope {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        recipients: vec!["bob@example.net".into()],
        direction: Direction::Incoming,
        login: None,
        ..Envelope::default()
    };
    match filter.begin(envelope, &adversary::header(), Eol::CrLf) {
        Start::Scan(message) => message,
        other => panic!("{other:?}"),
    }
}

/// Ends a message, up to the last byte of its new body; gives what became of it.
async fn end(mut message: Box<Message>) -> &'static str {
    let mut rewritten = match message.end().await {
        Verdict::Rewrite(rewritten) => rewritten,
        Verdict::Pass(reason) => return reason.label(),
        Verdict::Fail(error) => panic!("{error}"),
    };
    while let Some(piece) = rewritten.next_piece().await.expect("it is read back") {
        black_box(piece);
    }
    "rewritten"
}

/// A message through the filter, as the milter takes it: no further than its outcome is certain.
async fn through(filter: &Filter, body: &[u8]) -> &'static str {
    let mut message = begin(filter);
    for chunk in body.chunks(CHUNK_BYTES) {
        message.push(chunk).await;
        if message.is_settled() {
            break;
        }
    }
    end(message).await
}

/// The cores that we may use.
fn all_cores() -> CpuSet {
    sched_getaffinity(None).expect("a thread may ask for its cores")
}

/// The last of them.
fn one_of(cores: &CpuSet) -> CpuSet {
    let last = (0..CpuSet::MAX_CPU).rev().find(|&core| cores.is_set(core));
    let mut one = CpuSet::new();
    one.set(last.expect("there is a core"));
    one
}

fn use_cores(cores: &CpuSet) {
    sched_setaffinity(None, cores).expect("a thread may choose among its cores");
}

/// A runtime whose threads keep to the cores of this one.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime starts")
}

/// A directory in memory, where there is one: what is written there costs no more than its copy.
fn in_memory() -> Option<TempDir> {
    TempDir::new_in("/dev/shm").ok()
}

fn on_disk() -> TempDir {
    TempDir::new_in(".").expect("the current directory can be written")
}

fn scan(body: &[u8]) {
    let finder = memmem::Finder::new(b"\n--");
    for chunk in body.chunks(CHUNK_BYTES) {
        black_box(finder.find_iter(chunk).count());
    }
}

fn decode(text: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let len = encodify::base64::MIME.decode_append(text, out);
    black_box(len.expect("it is sound"));
}

fn sha256(bytes: &[u8]) {
    let mut context = Context::new(&SHA256);
    bytes
        .chunks(CHUNK_BYTES)
        .for_each(|block| context.update(block));
    black_box(context.finish());
}

fn aes(key: &LessSafeKey, bytes: &mut [u8]) {
    for block in bytes.chunks_mut(CHUNK_BYTES) {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), block);
        black_box(tag.expect("a block is short").as_ref());
    }
}

fn write(home: &Path, bytes: &[u8]) {
    let mut file: File = tempfile::tempfile_in(home).expect("a file is made");
    for block in bytes.chunks(CHUNK_BYTES) {
        file.write_all(block).expect("a file is written");
    }
    file.sync_all().expect("a file is synced");
}

fn file() -> Vec<u8> {
    (0..FILE_BYTES).map(|n| ((n * 31) >> 7) as u8).collect()
}

fn heavy(criterion: &mut Criterion) {
    let cores = all_cores();
    let disk = on_disk();
    heavy_in(criterion, "on disk", disk.path(), &cores);
    if let Some(memory) = in_memory() {
        heavy_in(criterion, "in memory", memory.path(), &cores);
    }
    use_cores(&cores);
}

fn heavy_in(criterion: &mut Criterion, place: &str, home: &Path, cores: &CpuSet) {
    use_cores(cores);
    let many = Runtime::new().expect("a runtime starts");
    let core = one_of(cores);
    use_cores(&core);
    let (runtime, file) = (runtime(), file());
    let filter = filter(home, |_| ());
    let (body, text) = (body(&file), encodify::base64::MIME.encode(&file));
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of 32 bytes");
    let key = LessSafeKey::new(key);
    let (mut copy, mut out) = (file.clone(), Vec::new());
    let on_one = || assert_eq!(runtime.block_on(through(&filter, &body)), "rewritten");
    let on_all = || {
        use_cores(cores);
        assert_eq!(many.block_on(through(&filter, &body)), "rewritten");
        use_cores(&core);
    };

    let mut group = criterion.benchmark_group(format!("message, 25 MB attached, {place}"));
    group
        .throughput(Throughput::Bytes(body.len() as u64))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group.bench_function("Filter, one core", |b| b.iter(on_one));
    group.bench_function("Filter, all cores", |b| b.iter(on_all));
    group.finish();
    if is_test() {
        return;
    }
    let mut lanes: Vec<Lane<'_>> = vec![
        (STAGES[0], Box::new(|| scan(&body))),
        (STAGES[1], Box::new(|| decode(text.as_bytes(), &mut out))),
        (STAGES[2], Box::new(|| sha256(&file))),
        (STAGES[3], Box::new(|| aes(&key, &mut copy))),
        (STAGES[4], Box::new(|| write(home, &file))),
        ("Filter, one core", Box::new(on_one)),
        ("Filter, all cores", Box::new(on_all)),
    ];
    let rounds = Rounds::run(&mut lanes, HEAVY_ROUNDS);
    println!("25 MB attached, {place}: medians of {HEAVY_ROUNDS} rounds in turn");
    for ((name, _), Time { cpu, wall }) in lanes.iter().zip(rounds.medians()) {
        println!("  {name:40} {cpu:>12.2?} on a processor, {wall:>12.2?} in all");
    }
    let ratio = |kind: fn(&Time) -> Duration, whole: usize| {
        rounds.figure(|times| {
            let stages: Duration = times[..STAGES.len()].iter().map(kind).sum();
            stages.as_secs_f64() / kind(&times[STAGES.len() + whole]).as_secs_f64()
        })
    };
    let what = |cores| format!("25 MB {place}, of its stages one after the other, {cores}");
    Bar::AtLeast(0.9).print_spread(&what("one core"), ratio(|time| time.cpu, 0));
    let all = ratio(|time| time.wall, 1);
    let (low, high) = all.quartiles;
    println!(
        "      {}, by the clock: {:.2} (half of the rounds: {low:.2} to {high:.2})",
        what("all cores"),
        all.median
    );
}

/// How long Postfix waits for the reply to a chunk, at no pace and at that of a fast Postfix: what
/// is hashed, encrypted and written meanwhile is not waited for.
fn lock_step(_: &mut Criterion) {
    let home = on_disk();
    let body = body(&file()[..if is_test() { 1_000_000 } else { FILE_BYTES }]);
    let other = on_disk();
    let detaches = filter(home.path(), |_| ());
    let keeps = filter(other.path(), |config| {
        config.detach.threshold = u64::MAX;
    });
    let work = work_of_a_chunk(home.path());
    println!(
        "a chunk of 64 KiB, from its push to its return: hash, encryption and write of it take \
              {work:.1?}"
    );
    for (pace, pause) in [
        ("as fast as they come", Duration::ZERO),
        ("at 140 MB/s", Duration::from_micros(468)),
    ] {
        let kept = waits(&keeps, &body, pause);
        let detached = waits(&detaches, &body, pause);
        for (what, waits) in [("kept", &kept), ("detached", &detached)] {
            let [half, most, worst] = [50, 99, 100].map(|percent| percentile(waits, percent));
            println!("  {pace}, {what}: p50 {half:.1?}, p99 {most:.1?}, longest {worst:.1?}");
        }
        if pause > Duration::ZERO && !is_test() {
            let held = percentile(&detached, 50).saturating_sub(percentile(&kept, 50));
            let ratio = held.as_secs_f64() / work.as_secs_f64();
            Bar::AtMost(0.25).print("a detached chunk waits longer by, of its own work", ratio);
        }
    }
}

fn waits(filter: &Filter, body: &[u8], pause: Duration) -> Vec<Duration> {
    let runtime = Runtime::new().expect("a runtime starts");
    let mut waits = Vec::new();
    runtime.block_on(async {
        for _ in 0..if is_test() { 1 } else { 3 } {
            let mut message = begin(filter);
            for chunk in body.chunks(CHUNK_BYTES) {
                std::thread::sleep(pause);
                let begun = Instant::now();
                message.push(chunk).await;
                waits.push(begun.elapsed());
            }
            end(message).await;
        }
    });
    waits.sort();
    waits
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// How long the work takes that is left to the worker, for the bytes of one chunk of base64.
fn work_of_a_chunk(home: &Path) -> Duration {
    let bytes = vec![0x5a; CHUNK_BYTES / 78 * 57 * 16];
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of 32 bytes");
    let key = LessSafeKey::new(key);
    let mut copy = bytes.clone();
    let mut file = tempfile::tempfile_in(home).expect("a file is made");
    let mut lanes: Vec<Lane<'_>> = vec![(
        "work",
        Box::new(|| {
            sha256(&bytes);
            aes(&key, &mut copy);
            file.write_all(&copy).expect("a file is written");
        }),
    )];
    medians(&mut lanes)[0].cpu / 16
}

/// The filter over each adversary, on one core, beside ordinary mail through the filter.
fn adversaries(_: &mut Criterion) {
    let cores = all_cores();
    use_cores(&one_of(&cores));
    let home = in_memory().unwrap_or_else(on_disk);
    // So that an adversary's file takes the same way at each of its sizes.
    let filter = filter(home.path(), |config| config.detach.threshold = 100_000);
    let (runtime, ordinary) = (runtime(), body(&file()));
    println!(
        "the filter over input made to slow it down, beside ordinary mail in the same round (at \
         most × {SLOWER_MAX})"
    );
    for adversary in [LINES, BODIES, STRUCTURE, TEXTS].into_iter().flatten() {
        adversary_through(adversary, &filter, &runtime, &ordinary);
    }
    use_cores(&cores);
}

fn adversary_through(adversary: &Adversary, filter: &Filter, runtime: &Runtime, ordinary: &[u8]) {
    let unit = if is_test() { 4096 } else { adversary.bytes };
    let [once, twice, four] = [1, 2, 4].map(|times| (adversary.make)(unit * times));
    let outcome = runtime.block_on(through(filter, &four));
    if is_test() {
        return;
    }
    let bodies = [ordinary, &once, &twice, &four];
    let lane = |body| -> Lane<'_> {
        let run = move || {
            black_box(runtime.block_on(through(filter, body)));
        };
        (adversary.name, Box::new(run))
    };
    let rounds = Rounds::run(&mut bodies.map(lane), ADVERSARY_ROUNDS);
    let ratio = |of: usize, to: usize| {
        rounds
            .figure(|times| times[of].cpu.as_secs_f64() / times[to].cpu.as_secs_f64())
            .median
    };
    let growth = ratio(3, 1);
    let slower = ratio(3, 0) * ordinary.len() as f64 / four.len() as f64;
    let four_times = rounds.medians()[3].cpu;
    println!(
        "{}  {}: × {slower:.1} slower; {} four times the bytes × {growth:.2}; {four_times:.1?}, \
         {outcome}",
        Bar::AtMost(SLOWER_MAX).judge(slower),
        adversary.name,
        Bar::AtMost(GROWTH_MAX).judge(growth),
    );
    if adversary.is_limit {
        let what = format!("{}, ms a message at the default limits", adversary.name);
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        Bar::AtMost(ms(STRUCTURE_MAX)).print(&what, ms(four_times));
    }
}

fn light(criterion: &mut Criterion) {
    let home = on_disk();
    let runtime = Runtime::new().expect("a runtime starts");
    let filter = filter(home.path(), |_| ());
    let body = body(&[b'x'; 7_000]);
    let lanes: Vec<Lane<'_>> = vec![
        ("memmem", Box::new(|| scan(&body))),
        (
            "Filter, nothing is detached",
            Box::new(|| assert_eq!(runtime.block_on(through(&filter, &body)), "nothing")),
        ),
    ];
    compare(criterion, "message, 10 kB", body.len(), lanes);
}

criterion_group!(benches, heavy, lock_step, adversaries, light);
criterion_main!(benches);

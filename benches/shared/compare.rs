//! Several ways over the same bytes, side by side: criterion measures each, and then all are run in
//! turn, so that a busy machine is busy for all of them, and their ratio to the first is printed.
//!
//! Ratios are of the time that the whole process spent on a processor: what other processes take
//! meanwhile, and what is waited for a disk, is not in it.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};

/// How often all ways are run in turn.
const ROUNDS: usize = 11;

/// A way over the bytes, and its name.
pub(crate) type Lane<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// How long a way took.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    /// On a processor, all threads together.
    pub(crate) cpu: Duration,
    /// From its start to its end.
    #[allow(
        dead_code,
        reason = "only what uses all cores is held against the clock"
    )]
    pub(crate) wall: Duration,
}

/// Compares ways over `bytes` bytes; the first is what the others are held against. Gives their
/// median times, none when benches are only tried.
pub(crate) fn compare(
    criterion: &mut Criterion,
    heading: &str,
    bytes: usize,
    mut lanes: Vec<Lane<'_>>,
) -> Vec<Time> {
    let mut group = criterion.benchmark_group(heading);
    group
        .throughput(Throughput::Bytes(bytes as u64))
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (name, run) in &mut lanes {
        group.bench_function(*name, |b| b.iter(&mut *run));
    }
    group.finish();
    if is_test() {
        return Vec::new();
    }
    print(heading, bytes, &mut lanes)
}

/// The median times of each, run in turn.
pub(crate) fn medians(lanes: &mut [Lane<'_>]) -> Vec<Time> {
    let mut times = vec![(Vec::new(), Vec::new()); lanes.len()];
    for _ in 0..ROUNDS {
        for ((_, run), (cpu, wall)) in lanes.iter_mut().zip(&mut times) {
            let (spent, begun) = (processor_time(), Instant::now());
            run();
            cpu.push(processor_time() - spent);
            wall.push(begun.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let medians = |(cpu, wall)| Time {
        cpu: median(cpu),
        wall: median(wall),
    };
    times.into_iter().map(medians).collect()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().expect("it counts up from zero")
}

/// Whether every bench is only to be tried once.
pub(crate) fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// What a figure must be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    /// Whether a figure meets it, in a word of four letters.
    pub(crate) fn judge(self, figure: f64) -> &'static str {
        let is_met = match self {
            Self::AtLeast(target) => figure >= target,
            Self::AtMost(target) => figure <= target,
        };
        if is_met { "met " } else { "MISS" }
    }

    /// Prints a figure, its target, and whether it is met.
    pub(crate) fn print(self, what: &str, figure: f64) {
        let (word, target) = match self {
            Self::AtLeast(target) => ("at least", target),
            Self::AtMost(target) => ("at most", target),
        };
        let judged = self.judge(figure);
        println!("{judged}  {what}: {figure:.2} ({word} {target:.2})");
    }
}

fn print(heading: &str, bytes: usize, lanes: &mut [Lane<'_>]) -> Vec<Time> {
    let times = medians(lanes);
    println!("{heading}: medians of {ROUNDS} rounds in turn");
    for ((name, _), time) in lanes.iter().zip(&times) {
        let speed = bytes as f64 / time.cpu.as_secs_f64() / 1e9;
        let ratio = times[0].cpu.as_secs_f64() / time.cpu.as_secs_f64();
        println!(
            "  {name:40} {:>12.2?} {speed:8.2} GB/s   × {ratio:.2}",
            time.cpu
        );
    }
    times
}

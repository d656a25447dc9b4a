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
    Rounds::run(lanes, ROUNDS).medians()
}

/// The times of several ways that were run in turn, round by round.
pub(crate) struct Rounds(Vec<Vec<Time>>);

impl Rounds {
    /// Runs all ways so often. Each round begins with another one: what follows upon one of them, a
    /// cache that it emptied or a write that it left to do, then is not always held against the same.
    pub(crate) fn run(lanes: &mut [Lane<'_>], rounds: usize) -> Self {
        let count = lanes.len();
        let round = |round: usize| {
            let mut times: Vec<(usize, Time)> = (0..count)
                .map(|turn| (round + turn) % count)
                .map(|lane| (lane, time(&mut lanes[lane].1)))
                .collect();
            times.sort_by_key(|&(lane, _)| lane);
            times.into_iter().map(|(_, time)| time).collect()
        };
        Self((0..rounds).map(round).collect())
    }

    /// The median times of each way.
    pub(crate) fn medians(&self) -> Vec<Time> {
        let of = |lane: usize, kind: fn(&Time) -> Duration| {
            let mut times: Vec<Duration> = self.0.iter().map(|round| kind(&round[lane])).collect();
            times.sort();
            times[times.len() / 2]
        };
        let lanes = 0..self.0.first().map_or(0, Vec::len);
        let median = |lane| Time {
            cpu: of(lane, |time| time.cpu),
            wall: of(lane, |time| time.wall),
        };
        lanes.map(median).collect()
    }

    /// A figure as each round gives it: both sides of a ratio are then of the same moment.
    #[allow(dead_code, reason = "not every bench holds rounds against each other")]
    pub(crate) fn figure(&self, figure: impl Fn(&[Time]) -> f64) -> Figure {
        let mut figures: Vec<f64> = self.0.iter().map(|round| figure(round)).collect();
        figures.sort_by(f64::total_cmp);
        let at = |quarter: usize| figures[(figures.len() - 1) * quarter / 4];
        Figure {
            median: at(2),
            quartiles: (at(1), at(3)),
        }
    }
}

/// A figure of which each round gave one.
#[allow(dead_code, reason = "not every bench holds rounds against each other")]
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    /// Half of the rounds lie between these: far apart, the machine was too busy to tell.
    pub(crate) quartiles: (f64, f64),
}

fn time(run: &mut dyn FnMut()) -> Time {
    let (spent, begun) = (processor_time(), Instant::now());
    run();
    Time {
        cpu: processor_time() - spent,
        wall: begun.elapsed(),
    }
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

    /// Prints the median of a figure, its spread, its target, and whether it is met.
    #[allow(dead_code, reason = "not every bench holds rounds against each other")]
    pub(crate) fn print_spread(self, what: &str, figure: Figure) {
        let (low, high) = figure.quartiles;
        let what = format!("{what} (half of the rounds: {low:.2} to {high:.2})");
        self.print(&what, figure.median);
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

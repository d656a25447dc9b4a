//! The connections of a listener, and the choice of those that go first when there are too many.
//!
//! A connection costs its holder nothing, so anybody with a few addresses can hold all of them by
//! doing as little as possible. So the more are in use, the more is asked of each. Above half of
//! all, the rate at which readers must read rises, up to [`RISE_MAX`] times, and no connection is
//! kept for a further request, for a client that asks for something small now and then is neither
//! idle nor slow. When a new client finds no free connection, the one that does least is cut in its
//! favour: first those that wait for a request, the longest first, then the slowest readers. Nobody
//! who reads faster than the risen rate is ever cut, and nobody before they were given the time
//! `patience`; if all are that fast, new clients wait. The slowest reader is cut, too, when no
//! memory is left for an answer ([`ConnectionState::relieve`]).
//!
//! Downloads may use seven eighths of the connections: the rest is for pages. Downloads that wait
//! for a place may use half of that rest, and further ones are refused at once.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::lock::lock;

/// Factor by which the rate has risen when all connections are in use.
const RISE_MAX: u64 = 16;

/// Share of the connections that is for pages alone: one in this many.
const RESERVED: usize = 8;

/// Interval at which a connection to cut is looked for, while there is none.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Time for which a download waits for a place before its reader is asked to come back.
const DOWNLOAD_WAITS: Duration = Duration::from_secs(5);

/// The connections of a listener. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<SlotPool>);

#[derive(Debug)]
struct SlotPool {
    max: usize,
    min_rate: u64,
    patience: Duration,
    /// It is locked before a pace, never after it.
    table: Mutex<ConnectionTable>,
    /// Wakes those that wait when a place was given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    lines: HashMap<u64, Arc<ConnectionState>>,
    next: u64,
    downloads: usize,
    /// Number of connections that wait for a place among downloads.
    queued: usize,
}

/// A connection's slot; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    id: u64,
    line: Arc<ConnectionState>,
}

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    slots: Slots,
    pace: Mutex<Pace>,
    cut: CancellationToken,
}

/// The pace of a reader. Time counts while bytes wait to be written and the reader takes none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Bytes that passed since the waiting began, and time spent waiting, both since they were last
    /// looked at.
    pub(super) passed: u64,
    pub(super) waited: Duration,
    pub(super) waiting_since: Option<Instant>,
    /// Number of answers being made or sent, and the time since which there is none.
    answers: usize,
    idle_since: Instant,
    is_download: bool,
}

/// An answer being made or sent, until it is dropped.
#[derive(Debug)]
pub(super) struct ResponseGuard(Arc<ConnectionState>);

/// A download among those that may run at once, until it is dropped.
#[derive(Debug)]
pub(crate) struct DownloadPermit(Arc<ConnectionState>);

/// A connection that waits for a place among downloads, until it is dropped.
struct Queued<'a>(&'a Slots);

/// The rank of a connection by how little it does; the first in order is cut first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Activity {
    /// It waits for a request, for this long.
    Idle(Reverse<Duration>),
    /// Its reader takes this many bytes a second.
    Reads(u64),
}

impl Slots {
    pub(super) fn new(max: usize, min_rate: u64, patience: Duration) -> Self {
        Self(Arc::new(SlotPool {
            max,
            min_rate,
            patience,
            table: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Takes a slot for a new connection. If none is free, a connection is cut for it, if one may
    /// be cut. Cancel-safe.
    pub(super) async fn take(&self) -> Slot {
        loop {
            let freed = self.0.freed.notified();
            if let Some(slot) = self.try_take() {
                return slot;
            }
            self.cut_least(|_| true);
            let _ = timeout(LOOK_AGAIN, freed).await;
        }
    }

    fn try_take(&self) -> Option<Slot> {
        let mut table = lock(&self.0.table);
        if table.lines.len() >= self.0.max {
            return None;
        }
        let line = Arc::new(ConnectionState {
            slots: self.clone(),
            pace: Mutex::new(Pace::new()),
            cut: CancellationToken::new(),
        });
        let id = table.next;
        table.next += 1;
        table.lines.insert(id, Arc::clone(&line));
        Some(Slot {
            slots: self.clone(),
            id,
            line,
        })
    }

    /// Cuts the connection that does least among those for which `is_asked` holds, unless one that
    /// was cut has not ended yet.
    fn cut_least(&self, is_asked: impl Fn(&Pace) -> bool) {
        let now = Instant::now();
        let bound = self.0.min_rate.saturating_mul(RISE_MAX);
        let table = lock(&self.0.table);
        if table.lines.values().any(|line| line.cut.is_cancelled()) {
            return;
        }
        let activity = |line: &Arc<ConnectionState>| {
            let pace = *line.pace();
            let activity = pace.activity(now, self.0.patience)?;
            let may_go = is_asked(&pace) && activity < Activity::Reads(bound);
            may_go.then(|| (activity, Arc::clone(line)))
        };
        let least = table.lines.values().filter_map(activity);
        if let Some((_, line)) = least.min_by_key(|(activity, _)| *activity) {
            line.cut.cancel();
        }
    }

    /// Bytes a second that a reader must take while this many connections are in use.
    pub(super) fn rate(&self) -> u64 {
        let used = lock(&self.0.table).lines.len();
        risen(self.0.min_rate, used, self.0.max)
    }

    /// Returns true if connections may stay open for a further request.
    fn keeps(&self) -> bool {
        let used = lock(&self.0.table).lines.len();
        used <= 1 || 2 * used <= self.0.max
    }

    fn downloads_max(&self) -> usize {
        (self.0.max - self.0.max / RESERVED).max(1)
    }

    /// Lets one more download wait for a place, unless those that wait would leave too little for
    /// pages.
    fn queue(&self) -> Option<Queued<'_>> {
        let mut table = lock(&self.0.table);
        if table.queued >= (self.0.max / RESERVED / 2).max(1) {
            return None;
        }
        table.queued += 1;
        Some(Queued(self))
    }
}

/// The rate that is asked: the usual one up to half of all connections, rising from there.
fn risen(rate: u64, used: usize, max: usize) -> u64 {
    let over = (2 * used.min(max)).saturating_sub(max) as u64;
    let more = u128::from(rate) * u128::from((RISE_MAX - 1) * over) / max.max(1) as u128;
    rate.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
}

impl Slot {
    pub(super) fn line(&self) -> &Arc<ConnectionState> {
        &self.line
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.slots.0.table).lines.remove(&self.id);
        self.slots.0.freed.notify_waiters();
    }
}

impl ConnectionState {
    /// Completes when the connection is to be cut.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Bytes a second that its reader must take.
    pub(super) fn rate(&self) -> u64 {
        self.slots.rate()
    }

    /// Returns true if the connection may stay open for a further request after the answer that
    /// begins now.
    pub(super) fn may_be_kept(&self) -> bool {
        self.slots.keeps()
    }

    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.pace)
    }

    /// Marks the beginning of an answer.
    pub(super) fn answer(self: &Arc<Self>) -> ResponseGuard {
        self.pace().answers += 1;
        ResponseGuard(Arc::clone(self))
    }

    /// Cuts the slowest reader of all connections, if one may be cut, to free the memory of their
    /// answer.
    pub(crate) fn relieve(&self) {
        self.slots.cut_least(Pace::has_answer);
    }

    /// Takes a place among the downloads that may run at once. If none is free, the slowest
    /// download is cut for it, if one may be cut; `None` if none came free for a while, or too many
    /// wait for one.
    pub(crate) async fn download(self: &Arc<Self>) -> Option<DownloadPermit> {
        if let Some(running) = self.try_download() {
            return Some(running);
        }
        let _queued = self.slots.queue()?;
        self.slots.cut_least(|pace| pace.is_download);

        let place = async {
            loop {
                let freed = self.slots.0.freed.notified();
                if let Some(running) = self.try_download() {
                    return running;
                }
                self.slots.cut_least(|pace| pace.is_download);
                tokio::select! {
                    () = freed => {}
                    () = sleep(LOOK_AGAIN) => {}
                }
            }
        };

        timeout(DOWNLOAD_WAITS, place).await.ok()
    }

    fn try_download(self: &Arc<Self>) -> Option<DownloadPermit> {
        let mut table = lock(&self.slots.0.table);
        if table.downloads >= self.slots.downloads_max() {
            return None;
        }
        table.downloads += 1;
        self.pace().is_download = true;
        Some(DownloadPermit(Arc::clone(self)))
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.table).queued -= 1;
    }
}

impl Drop for ResponseGuard {
    fn drop(&mut self) {
        let mut pace = self.0.pace();
        pace.answers -= 1;
        pace.idle_since = Instant::now();
    }
}

impl Drop for DownloadPermit {
    fn drop(&mut self) {
        let slots = &self.0.slots;
        lock(&slots.0.table).downloads -= 1;
        self.0.pace().is_download = false;
        slots.0.freed.notify_waiters();
    }
}

impl Pace {
    fn new() -> Self {
        Self {
            passed: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            answers: 0,
            idle_since: Instant::now(),
            is_download: false,
        }
    }

    /// Records that bytes were written: the wait for their reader, if any, is over.
    pub(super) fn wrote(&mut self, bytes: u64) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
            self.idle_since = Instant::now();
        }
        self.passed += bytes;
    }

    /// Returns true if an answer is being made or sent.
    fn has_answer(&self) -> bool {
        self.waiting_since.is_some() || self.answers > 0
    }

    /// The rank of the connection; `None` if it was not given enough time yet, or waits for us.
    fn activity(&self, now: Instant, patience: Duration) -> Option<Activity> {
        let waits = self.waiting_since.map(|since| now - since);
        if !self.has_answer() {
            let idle = now.saturating_duration_since(self.idle_since);
            return (idle >= patience).then_some(Activity::Idle(Reverse(idle)));
        }
        let waited = self.waited + waits.unwrap_or_default();
        let millis = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX).max(1);
        (waited >= patience).then(|| Activity::Reads(self.passed.saturating_mul(1000) / millis))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::time::advance;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn slots(max: usize) -> Slots {
        Slots::new(max, 1000, PATIENCE)
    }

    /// Gives the slot a reader who has taken `rate` bytes a second during all the time allowed.
    fn reads(slot: &Slot, rate: u64) {
        let mut pace = slot.line().pace();
        pace.answers = 1;
        pace.waited = PATIENCE;
        pace.passed = rate * PATIENCE.as_secs();
    }

    fn is_cut(slot: &Slot) -> bool {
        slot.line().cut.is_cancelled()
    }

    #[test]
    fn the_rate_rises_above_half() {
        for (used, expected) in [(0, 100), (500, 100), (501, 103), (750, 850), (1000, 1600)] {
            assert_eq!(risen(100, used, 1000), expected, "{used}");
        }
        assert_eq!(risen(0, 1000, 1000), 0);
        assert_eq!(risen(u64::MAX, 1, 1), u64::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_slowest_is_cut_for_a_new_client() {
        let slots = slots(3);
        let held = [slots.take().await, slots.take().await, slots.take().await];
        for (slot, rate) in held.iter().zip([9_000, 1_500, 50_000]) {
            reads(slot, rate);
        }
        assert!(slots.take().now_or_never().is_none());
        assert_eq!([0, 1, 2].map(|n| is_cut(&held[n])), [false, true, false]);
        // It has not ended yet: no other one is cut in its place.
        assert!(slots.take().now_or_never().is_none());
        assert!(!is_cut(&held[0]));
        let [first, second, third] = held;
        drop(second);
        let _new = slots.take().await;
        assert!(!is_cut(&first) && !is_cut(&third));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_request_goes_before_any_reader() {
        let slots = slots(3);
        let held = [slots.take().await, slots.take().await, slots.take().await];
        reads(&held[0], 1);
        advance(PATIENCE).await;
        let answering = held[2].line().answer();
        assert!(slots.take().now_or_never().is_none());
        assert_eq!([0, 1, 2].map(|n| is_cut(&held[n])), [false, true, false]);
        drop(answering);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_cut_who_is_fast_or_new_or_waits_for_us() {
        let slots = slots(3);
        let held = [slots.take().await, slots.take().await, slots.take().await];
        reads(&held[0], 1000 * RISE_MAX);
        let _answering = held[1].line().answer();
        assert!(slots.take().now_or_never().is_none());
        assert!(!held.iter().any(is_cut));
        // The third has sent no request since it connected.
        advance(PATIENCE).await;
        assert!(slots.take().now_or_never().is_none());
        assert!(is_cut(&held[2]) && !is_cut(&held[0]) && !is_cut(&held[1]));
    }

    #[tokio::test(start_paused = true)]
    async fn downloads_leave_room_for_pages_and_the_slowest_goes_for_a_new_one() {
        let slots = slots(8);
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(slots.take().await);
        }
        let mut running = Vec::new();
        for slot in &held[..7] {
            slot.line().pace().answers = 1;
            running.push(slot.line().download().await.unwrap());
        }
        let eighth = held[7].line();
        assert!(eighth.download().await.is_none(), "all of them are new");
        for (slot, rate) in held.iter().zip(1..8) {
            reads(slot, 1000 * rate);
        }
        assert!(eighth.download().await.is_none());
        assert!(is_cut(&held[0]) && !is_cut(&held[1]));
        running.remove(0);
        assert!(eighth.download().await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn downloads_that_wait_leave_room_for_pages_too() {
        let slots = slots(32);
        let mut held = Vec::new();
        for _ in 0..32 {
            held.push(slots.take().await);
        }
        let mut running = Vec::new();
        for slot in &held[..28] {
            running.push(slot.line().download().await.unwrap());
        }
        let mut waiting = [28, 29].map(|n| Box::pin(held[n].line().download()));
        assert!(waiting.iter_mut().all(|wait| wait.now_or_never().is_none()));
        let refused = held[30].line().download().now_or_never();
        assert!(refused.expect("it does not wait").is_none());
        let [first, second] = waiting;
        drop(second);
        running.pop();
        assert!(first.await.is_some());
        assert_eq!(lock(&slots.0.table).queued, 0);
    }
}

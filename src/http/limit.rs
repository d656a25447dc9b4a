//! Limits on how often, and for how much at once, one client may ask.
//!
//! [`Rate`] is the generic cell rate algorithm: for each client one moment is kept, the one at
//! which all its requests are worked off. It is written here because the limiter must answer
//! without charging (a link that works costs nothing, but is refused to a client that guessed too
//! often), and must have bounded memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::client::ClientNetwork;
use crate::lock::lock;

/// Maximum number of remembered clients: about 5 MB.
const CLIENTS_MAX: usize = 100_000;

/// Shortest interval between two searches of the full memory for clients to forget.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

const MINUTE: Duration = Duration::from_secs(60);

/// A number of requests in a minute for each client, all at once if it likes.
#[derive(Debug)]
pub(crate) struct Rate {
    /// The time by which each request moves a client's moment.
    interval: Duration,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    worked_off: HashMap<ClientNetwork, Instant>,
    forget_next: Option<Instant>,
}

/// The refusal of a client that asked for too much; it may ask again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded(pub(crate) Duration);

impl Rate {
    pub(crate) fn per_minute(count: usize) -> Self {
        Self {
            interval: interval(count),
            clients: Arc::default(),
        }
    }

    /// The rate with another number, for what the clients ask from now on; both know of the requests
    /// that either was charged for.
    pub(crate) fn with(&self, count: usize) -> Self {
        Self {
            interval: interval(count),
            clients: Arc::clone(&self.clients),
        }
    }

    /// Checks that a client, and the networks around it, may ask at all. Charges nothing.
    pub(crate) fn check(&self, client: ClientNetwork) -> Result<(), Exceeded> {
        let now = Instant::now();
        let clients = lock(&self.clients);
        let waits = client.and_wider().map(|(network, times)| {
            let moment = clients.worked_off.get(&network);
            let ahead = moment.map_or(Duration::ZERO, |moment| {
                moment.saturating_duration_since(now)
            });
            (ahead + self.interval(times)).saturating_sub(MINUTE)
        });
        match waits.max() {
            None | Some(Duration::ZERO) => Ok(()),
            Some(wait) => Err(Exceeded(wait)),
        }
    }

    /// The time that one request costs a network with `times` clients' shares.
    fn interval(&self, times: usize) -> Duration {
        self.interval / u32::try_from(times).unwrap_or(u32::MAX)
    }

    /// Charges a client for one request. It is free if the memory is full: no limit by network can
    /// hold requests from so many networks at once.
    pub(crate) fn charge(&self, client: ClientNetwork) {
        let now = Instant::now();
        let mut clients = lock(&self.clients);
        for (network, times) in client.and_wider() {
            if clients.has_room(network, now) {
                let moment = clients.worked_off.entry(network).or_insert(now);
                *moment = (*moment).max(now) + self.interval(times);
            }
        }
    }

    /// Charges a client for one request if it may ask.
    pub(crate) fn take(&self, client: ClientNetwork) -> Result<(), Exceeded> {
        self.check(client)?;
        self.charge(client);
        Ok(())
    }
}

/// The time that one request costs, of so many in a minute.
fn interval(count: usize) -> Duration {
    MINUTE / u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

impl Clients {
    fn has_room(&mut self, client: ClientNetwork, now: Instant) -> bool {
        if self.worked_off.len() < CLIENTS_MAX || self.worked_off.contains_key(&client) {
            return true;
        }
        if self.forget_next.is_none_or(|next| next <= now) {
            self.worked_off.retain(|_, moment| *moment > now);
            self.forget_next = Some(now + FORGET_INTERVAL);
        }
        self.worked_off.len() < CLIENTS_MAX
    }
}

/// The number of places that each client may have at once. Cheap to clone; all clones count
/// together.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    each_max: usize,
    counts: Arc<Mutex<HashMap<ClientNetwork, usize>>>,
}

/// One place of a [`Crowd`], until it is dropped.
#[derive(Debug)]
pub(crate) struct CrowdPermit {
    counts: Arc<Mutex<HashMap<ClientNetwork, usize>>>,
    client: ClientNetwork,
}

impl Crowd {
    pub(crate) fn new(each_max: usize) -> Self {
        Self {
            each_max,
            counts: Arc::default(),
        }
    }

    /// Gives a client one more place, unless it, or a network around it, has all that it may have.
    pub(crate) fn enter(&self, client: ClientNetwork) -> Option<CrowdPermit> {
        let mut counts = lock(&self.counts);
        let is_full = |(network, times): (ClientNetwork, usize)| {
            let count = counts.get(&network).copied().unwrap_or_default();
            count >= self.each_max.saturating_mul(times)
        };
        if client.and_wider().any(is_full) {
            return None;
        }
        for (network, _) in client.and_wider() {
            *counts.entry(network).or_default() += 1;
        }
        Some(CrowdPermit {
            counts: Arc::clone(&self.counts),
            client,
        })
    }
}

impl Drop for CrowdPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        for (network, _) in self.client.and_wider() {
            if let Some(count) = counts.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&network);
                }
            }
        }
    }
}

/// A queue of work that continues when the reader who asked for it leaves, bounded both in the work
/// done at once and in all that waits or is done. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Queue {
    pub(crate) fn new(places: usize, at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            running: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Starts the work when its turn comes; `None` if too much waits already.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let running = Arc::clone(&self.running);
        Some(tokio::spawn(async move {
            let _place = place;
            let _running = running.acquire().await;
            work.await
        }))
    }
}

/// The limit on the speed of all downloads together.
#[derive(Debug)]
pub(crate) struct Throttle(Mutex<Flow>);

#[derive(Debug)]
struct Flow {
    bytes_per_second: Option<u64>,
    /// The moment at which everything admitted so far is sent.
    free_at: Instant,
    /// Number of times that the speed was changed.
    changes: u64,
}

impl Throttle {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self(Mutex::new(Flow {
            bytes_per_second,
            free_at: Instant::now(),
            changes: 0,
        }))
    }

    /// Changes the speed, for running downloads too: each of its next pieces counts by the new one.
    pub(crate) fn set(&self, bytes_per_second: Option<u64>) {
        let mut flow = lock(&self.0);
        if flow.bytes_per_second != bytes_per_second {
            *flow = Flow {
                bytes_per_second,
                free_at: Instant::now(),
                changes: flow.changes + 1,
            };
        }
    }

    /// Waits until these bytes may be sent. First come, first served, so that concurrent downloads
    /// get the same share. A caller that gives up while it waits uses nobody's time.
    pub(crate) async fn pass(&self, bytes: usize) {
        let Some((begins, booked)) = self.book(bytes) else {
            return;
        };
        sleep_until(begins).await;
        std::mem::forget(booked);
    }

    /// Books the time that the bytes take, and returns its begin; `None` without a limit.
    fn book(&self, bytes: usize) -> Option<(Instant, Booked<'_>)> {
        let mut flow = lock(&self.0);
        let rate = flow.bytes_per_second?.max(1);
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let begins = flow.free_at.max(Instant::now());
        flow.free_at = begins + takes;
        let booked = Booked {
            throttle: self,
            takes,
            changes: flow.changes,
        };
        Some((begins, booked))
    }
}

/// Booked time; given back when dropped.
struct Booked<'a> {
    throttle: &'a Throttle,
    takes: Duration,
    /// At another speed there is nothing to give back.
    changes: u64,
}

impl Drop for Booked<'_> {
    fn drop(&mut self) {
        let mut flow = lock(&self.throttle.0);
        if flow.changes == self.changes {
            flow.free_at = flow.free_at.checked_sub(self.takes).unwrap_or(flow.free_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::time::{advance, timeout};

    use super::*;

    fn client(number: u32) -> ClientNetwork {
        ClientNetwork::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_holds_the_number_and_one_more_waits() {
        let rate = Rate::per_minute(6);
        for _ in 0..6 {
            assert_eq!(rate.take(client(1)), Ok(()));
        }
        assert_eq!(rate.take(client(1)), Err(Exceeded(MINUTE / 6)));
        assert_eq!(rate.take(client(2)), Ok(()));
        advance(MINUTE / 6).await;
        assert_eq!(rate.take(client(1)), Ok(()));
        assert!(rate.take(client(1)).is_err());
        advance(MINUTE).await;
        for _ in 0..6 {
            assert_eq!(rate.take(client(1)), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asking_whether_costs_nothing() {
        let rate = Rate::per_minute(1);
        for _ in 0..9 {
            assert_eq!(rate.check(client(1)), Ok(()));
        }
        rate.charge(client(1));
        assert!(rate.check(client(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn another_number_finds_what_was_charged() {
        let rate = Rate::per_minute(2);
        rate.charge(client(1));
        rate.charge(client(1));
        let more = rate.with(4);
        assert!(more.check(client(1)).is_err() && more.check(client(2)).is_ok());
        advance(MINUTE / 4).await;
        assert_eq!(more.take(client(1)), Ok(()));
        assert!(rate.check(client(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_forgets_who_may_ask_again() {
        let rate = Rate::per_minute(1);
        for number in 0..CLIENTS_MAX as u32 + 9 {
            rate.charge(client(number));
        }
        assert_eq!(lock(&rate.clients).worked_off.len(), CLIENTS_MAX);
        assert!(rate.check(client(0)).is_err());
        assert_eq!(rate.check(client(CLIENTS_MAX as u32)), Ok(()));
        advance(MINUTE).await;
        rate.charge(client(u32::MAX));
        assert_eq!(lock(&rate.clients).worked_off.len(), 1);
        assert!(rate.check(client(u32::MAX)).is_err());
    }

    #[test]
    fn each_client_has_its_places_and_gives_them_back() {
        let crowd = Crowd::new(2);
        let first = crowd.enter(client(1)).unwrap();
        let _second = crowd.enter(client(1)).unwrap();
        assert!(crowd.enter(client(1)).is_none() && crowd.enter(client(2)).is_some());
        drop(first);
        assert!(crowd.enter(client(1)).is_some());
        assert_eq!(lock(&crowd.counts).len(), 1);
    }

    #[test]
    fn the_networks_around_an_ipv6_client_have_their_places_too() {
        let of = |text: &str| ClientNetwork::of(text.parse().unwrap());
        let crowd = Crowd::new(1);
        let enter = |subnet: u16| crowd.enter(of(&format!("2001:db8:1:{subnet:x}::1")));
        // A /56 has two, a /48 four.
        let _first = [enter(0x0000), enter(0x0001)].map(Option::unwrap);
        assert!(enter(0x0002).is_none());
        let second = [enter(0x0100), enter(0x0200)].map(Option::unwrap);
        assert!(enter(0x0300).is_none());
        drop(second);
        assert!(enter(0x0300).is_some());
        assert!(crowd.enter(of("2001:db8:2::1")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_from_many_networks_of_one_customer_are_counted_together() {
        let of =
            |subnet: u16| ClientNetwork::of(format!("2001:db8:1:{subnet:x}::1").parse().unwrap());
        let rate = Rate::per_minute(3);
        let of_one_56 = (0..100)
            .filter(|subnet| rate.take(of(*subnet)).is_ok())
            .count();
        let of_one_48 = (1..100).filter(|n| rate.take(of(n << 8)).is_ok()).count();
        assert_eq!((of_one_56, of_one_48), (6, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_wait_for_those_before_them() {
        let begun = Instant::now();
        let throttle = Throttle::new(Some(1000));
        for _ in 0..5 {
            throttle.pass(500).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        Throttle::new(None).pass(usize::MAX).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn another_speed_holds_at_once_and_an_equal_one_gives_nothing_away() {
        let throttle = Throttle::new(Some(1));
        throttle.pass(1000).await;
        let begun = Instant::now();
        throttle.set(Some(1));
        let waits = timeout(Duration::from_secs(999), throttle.pass(1));
        assert!(waits.await.is_err());
        throttle.set(Some(1000));
        throttle.pass(1000).await;
        throttle.pass(1).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(999 + 1));
        throttle.set(None);
        throttle.pass(usize::MAX).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(999 + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_while_he_waits_takes_nobodys_time() {
        let throttle = Throttle::new(Some(1000));
        throttle.pass(1000).await;
        let begun = Instant::now();
        for _ in 0..100 {
            let waiting = timeout(Duration::from_millis(1), throttle.pass(1000));
            assert!(waiting.await.is_err());
        }
        throttle.pass(1).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
    }
}

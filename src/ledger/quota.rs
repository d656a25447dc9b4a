//! The quotas of deposits: of one sender or one stranger in a day, in all, and as far as the disk goes.
//!
//! The remainder is looked up when a file is opened, and counted down as its bytes come: a quota ends
//! a deposit before its bytes are written. Messages that come in at the same moment share what is
//! left of the total; the shares of one sender, of a stranger's network and of all strangers may be
//! passed by what is under way at that moment.
//!
//! A file takes a block and an inode, be it empty: in every quota it counts [`FILE_COST_MIN`] at least.
//!
//! Deposits of other hosts have shares of their own, by the token with which they come: whoever has a
//! stolen one cannot use up the share of a login here, or under another token.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Books, LedgerError, Level,
    records::{Depositor, Fingerprint},
};
use crate::{
    config::{Directions, Network, QuotaConfig},
    envelope::{Direction, Origin},
    lock::lock,
};

/// Minimum size, in bytes, for which a file counts in every quota: the block it takes on usual file systems.
pub const FILE_COST_MIN: u64 = 4096;

/// Period over which the shares of senders and strangers are counted.
pub(crate) const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Time by which a deposit may be dated ahead of the clock and still count.
const CLOCK_STEP_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Number of shares of a /56 that all networks of one /48 may take together: one customer may have a /48
/// alone, and the machines of a large mail host fill several /56 of one.
const SITE_SHARES: u64 = 4;

/// Number of days before the last one over which a login's usual is counted.
const USUAL_DAYS: i64 = 28;

/// Multiple of its usual that a login deposits in a day to be warned of.
const UNUSUAL_TIMES: u64 = 10;

/// Minimum number of bytes in a day for such a warning: twenty messages of a usual size limit.
const UNUSUAL_BYTES_MIN: u64 = 500_000_000;

/// Maximum number of warnings in a day; further ones are not given.
const TOLD_MAX: usize = 1000;

/// Returns the bytes for which a file of this size counts in every quota.
pub(crate) fn cost(size: u64) -> u64 {
    size.max(FILE_COST_MIN)
}

/// A network to which a stranger belongs.
#[derive(Clone, Debug)]
pub(crate) struct StrangerNetwork {
    /// The network in clear, for the log.
    network: Network,
    /// Its digest, by which the records know it.
    pub(crate) digest: Fingerprint,
    /// Number of shares of a network that it has.
    shares: u64,
}

/// Warnings that are given once a day, each with the time of the last one.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashMap<String, Timestamp>>);

/// The remainder of a quota that the package may use.
#[derive(Debug)]
struct Portion {
    name: &'static str,
    limit: u64,
    left: u64,
    /// The party that it belongs to, for the log.
    of: String,
}

/// The allowance of a file: the bytes that it may still take. Gives back what it took of the total when it
/// is dropped: by then the file is part of a record, or gone.
#[derive(Debug)]
pub(crate) struct Allowance {
    books: Arc<Books>,
    /// Bytes of this file so far.
    bytes: u64,
    /// Their quota cost.
    taken: u64,
    /// Quota cost of its package so far.
    package: Arc<AtomicU64>,
    shares: Vec<Portion>,
    total: Option<u64>,
    free: Option<u64>,
}

impl Allowance {
    /// Looks up the remainders. `package` counts the quota cost of all files of one package.
    ///
    /// # Errors
    /// Nothing is left, the login is suspended, or the remainder cannot be found out.
    pub(crate) fn new(
        books: &Arc<Books>,
        origin: &Origin,
        networks: &[StrangerNetwork],
        package: Arc<AtomicU64>,
    ) -> Result<Self, LedgerError> {
        refuse_suspended(books, origin)?;
        refuse_last_inodes(books)?;
        let free = left_on_disk(books)?;
        Self::within(books, origin, networks, (package, free))
    }

    /// As [`new`](Self::new), for a file that lies elsewhere: it takes no room of the disk.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub(crate) fn elsewhere(
        books: &Arc<Books>,
        origin: &Origin,
        networks: &[StrangerNetwork],
        package: Arc<AtomicU64>,
    ) -> Result<Self, LedgerError> {
        refuse_suspended(books, origin)?;
        Self::within(books, origin, networks, (package, None))
    }

    fn within(
        books: &Arc<Books>,
        origin: &Origin,
        networks: &[StrangerNetwork],
        (package, free): (Arc<AtomicU64>, Option<u64>),
    ) -> Result<Self, LedgerError> {
        let mut this = Self {
            books: Arc::clone(books),
            bytes: 0,
            taken: 0,
            package,
            shares: shares(books, origin, networks)?,
            total: left_in_total(books)?,
            free,
        };
        this.take(0)?;
        Ok(this)
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    /// A quota is used up.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<(), LedgerError> {
        self.bytes += bytes;
        let more = cost(self.bytes) - self.taken;
        self.taken += more;
        let in_package = self.package.fetch_add(more, Relaxed) + more;
        let in_drafts = self.books.drafted.fetch_add(more, Relaxed) + more;

        // With nothing left a quota is spent, even by a file that has no bytes yet.
        let is_spent = |left: u64, taken: u64| left == 0 || taken > left;
        let spent = self
            .shares
            .iter()
            .find(|share| is_spent(share.left, in_package));
        if let Some(share) = spent {
            share.tell(&self.books);
            let (name, limit) = (share.name, share.limit);
            return Err(LedgerError::Quota { name, limit });
        }

        let quota = &self.books.quota;
        let total = quota.total.unwrap_or_default();
        let limits = [
            ("total", total, self.total, in_drafts),
            (
                "free_space_min",
                quota.free_space_min,
                self.free,
                self.bytes,
            ),
        ];

        for (name, limit, left, taken) in limits {
            if left.is_some_and(|left| is_spent(left, taken)) {
                return Err(LedgerError::Quota { name, limit });
            }
        }
        Ok(())
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.books.drafted.fetch_sub(self.taken, Relaxed);
    }
}

impl Portion {
    /// Warns of it once a day: each message says by itself that it went out as it came.
    fn tell(&self, books: &Books) {
        let key = format!("{} {}", self.name, self.of);
        if !books.told.is_news(key, Timestamp::now()) {
            return;
        }
        let (quota, of, bytes) = (self.name, &self.of, self.limit);
        let hint = match self.name {
            "incoming_client_per_day" => {
                "; if this is a relay of yours, write it into quota.trusted_relays"
            }
            _ => "",
        };
        tracing::warn!(
            quota,
            ?of,
            bytes,
            "quota.{quota} is used up: until it is free again, such mail is delivered as it came{hint}"
        );
    }
}

impl Told {
    /// Returns true if this was not warned of in the last day, and counts it as warned of.
    fn is_news(&self, key: String, now: Timestamp) -> bool {
        let mut told = lock(&self.0);
        let is_recent = |last: &Timestamp| now.duration_since(*last).abs() < DAY;
        if told.get(&key).is_some_and(is_recent) {
            return false;
        }

        if told.len() >= TOLD_MAX {
            told.retain(|_, last| is_recent(last));
        }
        if told.len() >= TOLD_MAX {
            return false;
        }
        told.insert(key, now);
        true
    }
}

impl StrangerNetwork {
    /// Returns the networks of the client that sent a message from outside; none for a trusted relay.
    pub(crate) fn of(books: &Books, origin: &Origin) -> Vec<Self> {
        let Some(client) = origin.client.map(|client| client.to_canonical()) else {
            return Vec::new();
        };
        let is_stranger = origin.direction == Direction::Incoming && origin.uploader.is_none();
        let quota = &books.quota;
        let mut relays = quota.trusted_relays.iter();
        if quota.incoming_client_per_day.is_none()
            || !is_stranger
            || relays.any(|relay| relay.contains(client))
        {
            return Vec::new();
        }

        let networks = match client {
            IpAddr::V4(_) => vec![(24, 1)],
            IpAddr::V6(_) => vec![(56, 1), (48, SITE_SHARES)],
        };
        let of = |(prefix, shares)| {
            let network = network(client, prefix);
            let digest = books.key.network(&network.to_string());
            Self {
                network,
                digest,
                shares,
            }
        };
        networks.into_iter().map(of).collect()
    }
}

/// Returns the network of an address.
fn network(address: IpAddr, prefix: u8) -> Network {
    let address = match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    };
    Network { address, prefix }
}

/// Returns the fill level of the drop.
pub(crate) fn level(books: &Books) -> Result<Level, LedgerError> {
    let left = [left_in_total(books)?, left_on_disk(books)?];

    Ok(Level {
        stored: books.records.stored_bytes()?,
        free_bytes: books.place.free_bytes()?,
        free_inodes: books.place.free_files()?,
        headroom: left.into_iter().flatten().min(),
        unusual_logins: books.unusual_logins.load(Relaxed),
    })
}

impl Books {
    /// Warns once a day of a login that deposits many times its usual: its password may be stolen.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) fn watch(&self, origin: &Origin, now: Timestamp) -> Result<(), LedgerError> {
        let Some(login) = &origin.login else {
            return Ok(());
        };
        let uploader = origin.uploader.as_deref();
        let within = |days| {
            let by = Depositor::Login(login);
            self.records.deposited(by, uploader, days_before(now, days))
        };

        let bytes = within(1)?;
        if bytes < UNUSUAL_BYTES_MIN {
            return Ok(());
        }

        let usual = within(1 + USUAL_DAYS)?.saturating_sub(bytes);
        let usual = usual / USUAL_DAYS as u64;
        let key = format!("unusual {uploader:?} {}", login.to_lowercase());
        if bytes < usual.saturating_mul(UNUSUAL_TIMES) || !self.told.is_news(key, now) {
            return Ok(());
        }

        self.unusual_logins.fetch_add(1, Relaxed);
        tracing::warn!(
            ?login,
            uploader,
            bytes,
            usual,
            "a login deposited many times its usual in a day, its password may be stolen: look with \"depollueur drop list \
             --login\", stop it with \"depollueur drop suspend --login\""
        );
        Ok(())
    }
}

/// Fails if the login is suspended: nothing of it is written.
fn refuse_suspended(books: &Books, origin: &Origin) -> Result<(), LedgerError> {
    match &origin.login {
        Some(login) if books.records.is_suspended(login)? => Err(LedgerError::Suspended),
        _ => Ok(()),
    }
}

/// Fails if there are too few inodes: no file is made that could take one of the last.
fn refuse_last_inodes(books: &Books) -> Result<(), LedgerError> {
    let limit = books.quota.free_inodes_min as u64;
    if limit == 0 {
        return Ok(());
    }
    match books.place.free_files()? {
        Some(free) if free <= limit => Err(LedgerError::Quota {
            name: "free_inodes_min",
            limit,
        }),
        _ => Ok(()),
    }
}

/// Returns the remainders of the day of whoever sent the message.
fn shares(
    books: &Books,
    origin: &Origin,
    networks: &[StrangerNetwork],
) -> Result<Vec<Portion>, LedgerError> {
    let (quota, today) = (&books.quota, days_before(Timestamp::now(), 1));
    let uploader = origin.uploader.as_deref();
    let mut shares = Vec::new();

    if let Some(limit) = quota.sender_per_day
        && counts(quota, origin.direction)
    {
        let (by, of) = match &origin.login {
            Some(login) => (Depositor::Login(login), login),
            None => {
                let direction = counted(quota);
                (Depositor::Sender(&origin.sender, direction), &origin.sender)
            }
        };
        let deposited = books.records.deposited(by, uploader, today.clone())?;
        shares.push(Portion::new("sender_per_day", limit, deposited, of));
    }
    if origin.direction == Direction::Outgoing {
        return Ok(shares);
    }

    let limit = quota.incoming_client_per_day.unwrap_or(u64::MAX);
    for network in networks {
        let limit = limit.saturating_mul(network.shares);
        let of = match books.addresses {
            true => network.network.to_string(),
            false => "a network".to_owned(),
        };
        let deposited = books.records.of_network(&network.digest, today.clone())?;
        shares.push(Portion::new(
            "incoming_client_per_day",
            limit,
            deposited,
            &of,
        ));
    }

    if let Some(limit) = quota.incoming_per_day {
        let deposited = books.records.incoming(uploader, today)?;
        let of = uploader.unwrap_or("all");
        shares.push(Portion::new("incoming_per_day", limit, deposited, of));
    }
    Ok(shares)
}

impl Portion {
    fn new(name: &'static str, limit: u64, deposited: u64, of: &str) -> Self {
        Self {
            name,
            limit,
            left: limit.saturating_sub(deposited),
            of: of.to_owned(),
        }
    }
}

fn left_in_total(books: &Books) -> Result<Option<u64>, LedgerError> {
    let Some(limit) = books.quota.total else {
        return Ok(None);
    };
    Ok(Some(limit.saturating_sub(books.records.stored_cost()?)))
}

fn left_on_disk(books: &Books) -> Result<Option<u64>, LedgerError> {
    let min = books.quota.free_space_min;
    if min == 0 {
        return Ok(None);
    }
    let free = books.place.free_bytes()?;
    Ok(free.map(|free| free.saturating_sub(min)))
}

fn counts(quota: &QuotaConfig, direction: Direction) -> bool {
    counted(quota).is_none_or(|counted| counted == direction)
}

/// Returns the one direction whose mail counts for the share of a sender; `None` if both do.
fn counted(quota: &QuotaConfig) -> Option<Direction> {
    match quota.sender_directions {
        Directions::Both => None,
        Directions::Incoming => Some(Direction::Incoming),
        Directions::Outgoing => Some(Direction::Outgoing),
    }
}

/// Returns the last days. A deposit that a wrong clock dated into the future does not count until then.
fn days_before(now: Timestamp, days: i64) -> RangeInclusive<Timestamp> {
    let end = now.saturating_add(CLOCK_STEP_MAX).unwrap_or(Timestamp::MAX);
    before(now, SignedDuration::from_hours(24 * days))..=end
}

fn before(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.saturating_sub(time).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_told_of_once_a_day_and_not_without_end() {
        let (told, now) = (Told::default(), Timestamp::now());
        let is_news = |key: usize, at| told.is_news(key.to_string(), at);
        assert!(is_news(0, now) && !is_news(0, now + DAY - SignedDuration::from_secs(1)));
        let tomorrow = now + DAY;
        assert!(is_news(0, tomorrow) && !is_news(0, tomorrow));
        assert!((1..TOLD_MAX).all(|key| is_news(key, tomorrow)));
        assert!(!is_news(TOLD_MAX, tomorrow));
        // What is a day old makes room.
        assert!(is_news(TOLD_MAX, tomorrow + DAY));
    }

    #[test]
    fn a_network_is_the_beginning_of_an_address() {
        for (address, prefix, expected) in [
            ("192.0.2.77", 24, "192.0.2.0/24"),
            ("2001:db8:1:2ff::9", 56, "2001:db8:1:200::/56"),
            ("2001:db8:1:2ff::9", 48, "2001:db8:1::/48"),
        ] {
            let found = network(address.parse().unwrap(), prefix);
            assert_eq!(found.to_string(), expected);
        }
    }
}

//! How much may be deposited: by one sender in a day, in all, and as far as the disk goes.
//!
//! What is left is looked up when a file is opened, and counted down as its bytes come: a quota ends
//! a deposit before its bytes are written. Messages that come in at the same moment share what is
//! left of the total; the quota of one sender may be passed by what he has under way at that moment.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use jiff::{SignedDuration, Timestamp};

use super::{DropError, Level, Origin, Store, records::Depositor};
use crate::{
    config::{Directions, QuotaConfig},
    filter::Direction,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What a file may still take. Gives back what it took of the total when it is dropped: by then the
/// file is part of a record, or gone.
#[derive(Debug)]
pub(super) struct Allowance {
    store: Arc<Store>,
    /// Bytes of this file.
    taken: u64,
    /// Bytes of its package.
    package: Arc<AtomicU64>,
    sender: Option<u64>,
    total: Option<u64>,
    free: Option<u64>,
}

impl Allowance {
    /// Looks up what is left. `package` counts the bytes of all files of one package.
    ///
    /// # Errors
    /// Nothing is left, the login is suspended, or that cannot be found out.
    pub(super) fn new(
        store: &Arc<Store>,
        origin: &Origin,
        package: Arc<AtomicU64>,
    ) -> Result<Self, DropError> {
        refuse_suspended(store, origin)?;
        let mut this = Self {
            store: Arc::clone(store),
            taken: 0,
            package,
            sender: left_to_sender(store, origin)?,
            total: left_in_total(store)?,
            free: left_on_disk(store)?,
        };
        this.take(0)?;
        Ok(this)
    }

    /// Takes so many bytes more.
    ///
    /// # Errors
    /// They are too many.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), DropError> {
        self.taken += bytes;
        let in_package = self.package.fetch_add(bytes, Relaxed) + bytes;
        let in_drafts = self.store.drafted.fetch_add(bytes, Relaxed) + bytes;
        let quota = &self.store.quota;
        let limits = [
            (
                "sender_per_day",
                quota.sender_per_day,
                self.sender,
                in_package,
            ),
            ("total", quota.total, self.total, in_drafts),
            (
                "free_space_min",
                Some(quota.free_space_min),
                self.free,
                self.taken,
            ),
        ];
        for (name, limit, left, taken) in limits {
            if left.is_some_and(|left| left == 0 || taken > left) {
                let limit = limit.unwrap_or_default();
                return Err(DropError::Quota { name, limit });
            }
        }
        Ok(())
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.store.drafted.fetch_sub(self.taken, Relaxed);
    }
}

/// How full the drop is.
pub(super) fn level(store: &Store) -> Result<Level, DropError> {
    let left = [left_in_total(store)?, left_on_disk(store)?];
    Ok(Level {
        stored: store.records.stored_bytes()?,
        free_bytes: store.blobs.free_bytes()?,
        free_inodes: store.blobs.free_inodes()?,
        headroom: left.into_iter().flatten().min(),
    })
}

/// Nothing of a suspended login is written.
fn refuse_suspended(store: &Store, origin: &Origin) -> Result<(), DropError> {
    match &origin.login {
        Some(login) if store.records.is_suspended(login)? => Err(DropError::Suspended),
        _ => Ok(()),
    }
}

fn left_to_sender(store: &Store, origin: &Origin) -> Result<Option<u64>, DropError> {
    let Some(limit) = store.quota.sender_per_day else {
        return Ok(None);
    };
    if !counts(&store.quota, origin.direction) {
        return Ok(None);
    }
    let by = match &origin.login {
        Some(login) => Depositor::Login(login),
        None => Depositor::Sender(&origin.sender),
    };
    let deposited = store.records.deposited(by, Timestamp::now() - DAY)?;
    Ok(Some(limit.saturating_sub(deposited)))
}

fn left_in_total(store: &Store) -> Result<Option<u64>, DropError> {
    let Some(limit) = store.quota.total else {
        return Ok(None);
    };
    Ok(Some(limit.saturating_sub(store.records.stored_bytes()?)))
}

fn left_on_disk(store: &Store) -> Result<Option<u64>, DropError> {
    let min = store.quota.free_space_min;
    if min == 0 {
        return Ok(None);
    }
    let free = store.blobs.free_bytes()?;
    Ok(free.map(|free| free.saturating_sub(min)))
}

fn counts(quota: &QuotaConfig, direction: Direction) -> bool {
    match quota.sender_directions {
        Directions::Both => true,
        Directions::Incoming => direction == Direction::Incoming,
        Directions::Outgoing => direction == Direction::Outgoing,
    }
}

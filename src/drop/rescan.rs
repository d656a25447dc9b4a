//! Files are scanned again before they are given out.
//!
//! A virus is often known only days after it was sent. Before a file of a live package is given out, it is
//! scanned where its last scan is older than `scan.rescan` and the signatures are newer than that scan: as a rule at the first
//! download of each day. Who asks for it at the same time waits for the same scan. Its deposit counts as a scan. What
//! was scanned since is remembered in memory only: a process that begins anew scans once more than it need.
//!
//! A package whose key only its readers have cannot be looked into: it was scanned on its way in, and never again.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex as AsyncMutex;

use super::{Client, Drop, DropError, Package, RecordId, Token};
use crate::scan::{Finding, Objection, Scanner};

/// No deposit takes longer from its first byte to its commit: what another host begins is given up after 50 minutes.
const DEPOSIT_TIME_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Files whose scans are remembered; with more, those that nobody waits for are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// The time of a file's last scan, if this process saw it. Locked during a scan.
type Slot = Arc<AsyncMutex<Option<Timestamp>>>;

/// When files were scanned, by package and number.
#[derive(Debug, Default)]
pub(super) struct Rescans(Mutex<HashMap<(RecordId, u32), Slot>>);

/// Whether files may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They may.
    Given,
    /// One of them is infected, and the package was ended.
    Ended,
    /// One of them could not be scanned: it may be given out later.
    Unscanned,
}

impl Rescans {
    fn slot(&self, key: (RecordId, u32)) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= REMEMBERED_MAX && !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl Drop {
    /// Says whether files of a live package may be given out at the time `now`, after a scan where one is due. An
    /// infected package is ended.
    ///
    /// # Errors
    /// A file or the database cannot be read, or the package cannot be ended.
    pub async fn release(
        &self,
        token: &Token,
        package: &Package,
        files: Range<usize>,
        now: Timestamp,
    ) -> Result<Release, DropError> {
        let Some(scanner) = &self.store.scanner else {
            return Ok(Release::Given);
        };
        for index in files {
            match self.rescan(scanner, token, package, index, now).await {
                Ok(()) => {}
                Err(DropError::Scan(objection)) => {
                    return self.object(token, package, &objection, now).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Release::Given)
    }

    /// Scans a file again, if that is due.
    async fn rescan(
        &self,
        scanner: &Scanner,
        token: &Token,
        package: &Package,
        index: usize,
        now: Timestamp,
    ) -> Result<(), DropError> {
        let (Some(file), Some(&number)) = (package.files.get(index), package.numbers.get(index))
        else {
            return Ok(());
        };
        let slot = self.store.rescans.slot((RecordId::from(token), number));
        let mut scanned = slot.lock().await;
        let (begun, ended) = match *scanned {
            Some(at) => (at, at),
            None => {
                let ended = package.created;
                let begun = ended.checked_sub(DEPOSIT_TIME_MAX);
                (begun.unwrap_or(ended), ended)
            }
        };
        if !scanner.scans(file.size) || !scanner.is_due(begun, ended, now).await {
            return Ok(());
        }
        let mut reader = self.read(token, package, index, 0..file.size).await?;
        let mut scan = scanner.scan();
        while let Some(bytes) = reader.next().await? {
            scan.write(&[bytes]).await?;
        }
        // Without a verdict it is due again.
        if scan.finish().await? {
            *scanned = Some(now);
        }
        Ok(())
    }

    async fn object(
        &self,
        token: &Token,
        package: &Package,
        objection: &Objection,
        now: Timestamp,
    ) -> Result<Release, DropError> {
        let queue_id = &package.origin.queue_id;
        match objection.finding() {
            Finding::Infected => {
                tracing::warn!(queue_id, "a package is ended: {objection}");
                let (id, why) = (RecordId::from(token), objection.to_string());
                self.revoke(id, now, Client::SWEEP, &why).await?;
                Ok(Release::Ended)
            }
            Finding::Unscanned => {
                tracing::warn!(queue_id, "a file is not given out: {objection}");
                Ok(Release::Unscanned)
            }
            Finding::Oversize => Ok(Release::Given),
        }
    }
}

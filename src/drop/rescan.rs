//! The virus scan of files before they are given out.
//!
//! A virus is often known only days after it was sent. Before a file of a live package is given out, it is
//! scanned again if its last scan is older than `scan.rescan` and the signatures are newer than that scan: as
//! a rule at the first download of each day. Requests for it at the same time wait for the same scan. Its
//! deposit counts as a scan. Scans since then are remembered in memory only: a process that begins anew scans
//! once more than it need.
//!
//! Only a few files are scanned again at the same time, whoever asks for them: clamd works on few files at
//! once, and those of mail come first.
//!
//! A finding may be wrong. When an admin restores a package that was ended for a finding, that finding is not
//! held against it any more; another one is. The audit log says so, and nothing else remembers it.
//!
//! A package whose key only its readers have cannot be looked into: it is scanned on its way in, and never
//! again.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::{DropError, FileDrop, Package, Token};
use crate::{
    ledger::{RecordId, Requester},
    lock::lock,
    scan::{Objection, ScanFinding, VirusScanner},
};

/// Maximum time of a deposit from its first byte to its commit: another host's is given up after 50 minutes.
const DEPOSIT_TIME_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Number of files whose scans are remembered; beyond it, those that nobody waits for are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// Number of files scanned again at the same time. By default clamd works on ten (`MaxThreads` in
/// clamd.conf(5)).
pub(super) const AT_ONCE_MAX: usize = 2;

/// The time of a file's last scan, if this process saw it. Locked during a scan.
type LastScan = Arc<AsyncMutex<Option<Timestamp>>>;

/// Times of the last scans of files, by package and number of the file.
#[derive(Debug)]
pub(super) struct Rescans {
    slots: Mutex<HashMap<(RecordId, u32), LastScan>>,
    pub(super) turns: Semaphore,
}

/// The decision on giving out files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// They may be given out.
    Given,
    /// One of them is infected, and the package was ended.
    Ended,
    /// One of them could not be scanned: it may be given out later.
    Unscanned,
}

impl Default for Rescans {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            turns: Semaphore::new(AT_ONCE_MAX),
        }
    }
}

impl Rescans {
    fn slot(&self, key: (RecordId, u32)) -> LastScan {
        let mut slots = lock(&self.slots);
        if slots.len() >= REMEMBERED_MAX && !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

impl FileDrop {
    /// Decides whether files of a live package may be given out at the time `now`, after a scan of those for
    /// which one is due. Ends an infected package.
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
        let scans =
            stream::iter(files).map(|index| self.rescan(scanner, token, package, index, now));
        match scans.buffered(AT_ONCE_MAX).try_collect::<()>().await {
            Ok(()) => Ok(Release::Given),
            Err(DropError::Scan(objection)) => self.object(token, package, &objection, now).await,
            Err(error) => Err(error),
        }
    }

    /// Scans a file again, if a scan is due.
    async fn rescan(
        &self,
        scanner: &VirusScanner,
        token: &Token,
        package: &Package,
        index: usize,
        now: Timestamp,
    ) -> Result<(), DropError> {
        let (Some(file), Some(&number)) = (package.files.get(index), package.numbers.get(index))
        else {
            return Ok(());
        };

        // Locked until the end: requests for the same file wait here for one scan.
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

        let _turn = self.store.rescans.turns.acquire().await;
        let mut reader = self.read(token, package, index, 0..file.size).await?;
        let mut scan = scanner.scan();
        while let Some(bytes) = reader.next().await? {
            scan.write(&[bytes]).await?;
        }

        let has_verdict = match scan.finish().await {
            Err(objection) if self.is_overruled(token, &objection).await? => {
                let queue_id = &package.origin.queue_id;
                tracing::info!(queue_id, "given out, for an admin restored it: {objection}");
                true
            }
            verdict => verdict?,
        };

        // Without a verdict it is due again.
        if has_verdict {
            *scanned = Some(now);
        }
        Ok(())
    }

    /// Returns true if an admin restored the package after it was ended for this finding.
    async fn is_overruled(&self, token: &Token, objection: &Objection) -> Result<bool, DropError> {
        if objection.finding() != ScanFinding::Infected {
            return Ok(false);
        }
        let (id, finding) = (RecordId::from(token), objection.to_string());
        Ok(self.ledger().is_overruled(id, finding).await?)
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
            ScanFinding::Infected => {
                tracing::warn!(queue_id, "a package is ended: {objection}");
                let (id, why) = (RecordId::from(token), objection.to_string());
                self.revoke(id, now, Requester::SWEEP, &why).await?;
                Ok(Release::Ended)
            }
            ScanFinding::Unscanned => {
                tracing::warn!(queue_id, "a file is not given out: {objection}");
                Ok(Release::Unscanned)
            }
            ScanFinding::Oversize => Ok(Release::Given),
        }
    }
}

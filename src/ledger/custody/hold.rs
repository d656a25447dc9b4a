//! Packages that are held by order of an authority: kept whole, and out of everybody's reach.

use jiff::Timestamp;

use super::{ATTEMPTS, Hold, REASON_CHARS_MAX, RequestOutcome, Result};
use crate::ledger::{
    Books, Ledger, LedgerError, RecordId,
    audit::{self, Action, Requester},
    whole_second,
};

impl Ledger {
    /// Holds a package that is not destroyed, whether it is live or not: from now on nobody can fetch it, and
    /// neither its expiry nor an admin destroys it. It counts in the quotas.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn hold(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<RequestOutcome, LedgerError> {
        let hold = Hold {
            since: whole_second(now),
            reason: audit::one_line(reason, REASON_CHARS_MAX),
        };
        self.run(move |books| books.hold(id, now, client, &hold))
            .await
    }

    /// Lets go of a held package: it is what it would be without the hold. Returns `None` if it was not held.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn unhold(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<Option<Hold>, LedgerError> {
        let reason = audit::one_line(reason, REASON_CHARS_MAX);
        self.run(move |books| books.release(id, now, client, reason))
            .await
    }
}

impl Books {
    fn hold(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        hold: &Hold,
    ) -> Result<RequestOutcome> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.records.find(id)? else {
                return Ok(RequestOutcome::Unknown);
            };
            if record.manifest.is_none() {
                return Ok(RequestOutcome::Destroyed);
            }
            if record.held.is_some() {
                return Ok(RequestOutcome::Already);
            }
            let about = (id, &record.origin);
            let entry = self.entry(now, Action::Hold, about, client, hold.reason.clone());
            if self.records.hold(id, hold, &entry)? {
                self.tell(&entry);
                return Ok(RequestOutcome::Done(hold.since));
            }
        }
        Err(LedgerError::Stopped)
    }

    fn release(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        reason: String,
    ) -> Result<Option<Hold>> {
        let Some(record) = self.records.find(id)? else {
            return Ok(None);
        };
        let entry = self.entry(now, Action::Release, (id, &record.origin), client, reason);
        if !self.records.release(id, &entry)? {
            return Ok(None);
        }
        self.tell(&entry);
        Ok(record.held)
    }
}

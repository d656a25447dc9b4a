//! The suspension of logins, for stolen accounts: nothing of a login is accepted, and its packages are ended,
//! until an admin lifts it.

use jiff::Timestamp;

use super::{Cause, REASON_CHARS_MAX, RequestOutcome, Result, Resumed, Suspension};
use crate::ledger::{
    Books, Ledger, LedgerError, RecordId,
    audit::{self, Action, Entry, Requester},
    whole_second,
};

impl Ledger {
    /// Suspends a login: nothing of it is accepted any more, and its packages end at once; they can be
    /// restored. Returns false if it was suspended before, together with the packages that were ended.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn suspend(
        &self,
        login: &str,
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<(bool, Vec<RecordId>), LedgerError> {
        let suspension = Suspension {
            login: login.to_owned(),
            created: whole_second(now),
            reason: audit::one_line(reason, REASON_CHARS_MAX),
        };
        self.run(move |books| books.suspend(&suspension, now, client))
            .await
    }

    /// Lifts the suspension of a login, and restores the packages that it ended and that are still ended by
    /// it. Returns `None` if the login is not suspended.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn resume(
        &self,
        login: &str,
        now: Timestamp,
        client: Requester,
    ) -> Result<Option<Resumed>, LedgerError> {
        let login = login.to_owned();
        self.run(move |books| books.resume(&login, now, client))
            .await
    }

    /// Lists the suspended logins, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn suspensions(&self) -> Result<Vec<Suspension>, LedgerError> {
        self.run(|books| books.records.suspensions()).await
    }
}

impl Books {
    /// Suspends a login, then ends its packages. None is missed: whatever is committed later is refused.
    fn suspend(
        &self,
        suspension: &Suspension,
        now: Timestamp,
        client: Requester,
    ) -> Result<(bool, Vec<RecordId>)> {
        let Suspension { login, reason, .. } = suspension;
        let entry = of_login(now, Action::Suspend, client, login, reason);
        let fresh = self.records.suspend(suspension, &entry)?;
        if fresh {
            self.tell(&entry);
        }
        let mut ended = Vec::new();
        for id in self.records.suspended_packages(login)? {
            let cause = (Cause::Revoked, Action::Suspend);
            let detail = "its login is suspended".to_owned();
            if let RequestOutcome::Done(_) = self.end(id, (now, client), cause, detail)? {
                ended.push(id);
            }
        }
        Ok((fresh, ended))
    }

    /// Restores the packages, then lifts the suspension: if it is interrupted, it can be done again.
    fn resume(&self, login: &str, now: Timestamp, client: Requester) -> Result<Option<Resumed>> {
        if !self.records.is_suspended(login)? {
            return Ok(None);
        }

        let mut resumed = Resumed::default();
        for id in self.records.suspended_packages(login)? {
            let Some(record) = self.records.find(id)? else {
                continue;
            };
            let expires = record.term.expires;
            match record.term.ended {
                // A package that an admin restored meanwhile is as the admin wants it.
                None => continue,
                Some((_, Cause::Blocked)) => {
                    resumed.kept.push((id, RequestOutcome::Blocked));
                    continue;
                }
                Some((_, Cause::Revoked)) => {}
            }

            match self.bring_back(id, expires, (now, client), Some(Action::Resume))? {
                RequestOutcome::Done(_) if expires <= now => resumed.expired.push((id, expires)),
                RequestOutcome::Done(_) => resumed.restored.push(id),
                outcome => resumed.kept.push((id, outcome)),
            }
        }

        let entry = of_login(now, Action::Resume, client, login, "");
        if self.records.resume(login, &entry)? {
            self.tell(&entry);
        }
        Ok(Some(resumed))
    }
}

/// Makes an entry about a login.
fn of_login(now: Timestamp, action: Action, client: Requester, login: &str, reason: &str) -> Entry {
    let detail = match reason {
        "" => String::new(),
        reason => format!("reason={reason:?}"),
    };
    Entry {
        login: Some(login.to_owned()),
        ..Entry::general(now, action, client, detail)
    }
}

//! The requests of an admin: to list packages, to end, destroy and restore them, to block files.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::{
    ATTEMPTS, AuditQuery, Block, Cause, Deposit, DepositedFile, Query, REASON_CHARS_MAX,
    RequestOutcome, Result,
};
use crate::ledger::{
    Books, Ledger, LedgerError, RecordId,
    audit::{self, Action, Actor, ChainHead, Entry, Requester, Verification},
    records::{BlockRow, Record, Term},
    sweep::{self, add},
    whole_second,
};

/// A change of the end of a package.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A live package can be fetched for longer.
    Lengthen,
    /// A package can be fetched, whatever it was; the log calls it so.
    BringBack(Option<Action>),
}

impl Ledger {
    /// Lists packages, the last deposited first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, query: Query, now: Timestamp) -> Result<Vec<Deposit>, LedgerError> {
        self.run(move |books| books.list(&query, now)).await
    }

    /// Returns a package with its files, as far as it can be known without its link.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn show(
        &self,
        id: RecordId,
        now: Timestamp,
    ) -> Result<Option<(Deposit, Vec<DepositedFile>)>, LedgerError> {
        self.run(move |books| books.show(id, now)).await
    }

    /// Ends a package at once. Its ciphertext is kept for the grace period, in which it can be restored.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn revoke(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<RequestOutcome, LedgerError> {
        let reason = reason.to_owned();
        self.run(move |books| books.revoke(id, now, client, &reason))
            .await
    }

    /// Destroys the files of a package that was ended, without waiting for its grace period. Downloads in
    /// progress end.
    ///
    /// # Errors
    /// The package is live, or directory or database cannot be changed.
    pub async fn destroy(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
    ) -> Result<RequestOutcome, LedgerError> {
        self.run(move |books| books.destroy(id, now, client)).await
    }

    /// Counts those of these packages that are destroyed, and whose files elsewhere could not be removed yet.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn lingering(&self, packages: Vec<RecordId>) -> Result<usize, LedgerError> {
        self.run(move |books| {
            let mut lingering = 0;
            for id in packages {
                let record = books.records.find(id)?;
                let lingers = |record: &Record| record.manifest.is_none() && record.is_elsewhere();
                lingering += usize::from(record.as_ref().is_some_and(lingers));
            }
            Ok(lingering)
        })
        .await
    }

    /// Makes a package available until `until`, whether it is live, expired or revoked.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn restore(
        &self,
        id: RecordId,
        until: Timestamp,
        now: Timestamp,
        client: Requester,
    ) -> Result<RequestOutcome, LedgerError> {
        self.run(move |books| books.restore(id, until, now, client))
            .await
    }

    /// Lets a live package be fetched until `until`, if that is later than it can be now.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn lengthen(
        &self,
        id: RecordId,
        until: Timestamp,
        now: Timestamp,
        client: Requester,
    ) -> Result<RequestOutcome, LedgerError> {
        self.run(move |books| books.change_end(id, until, (now, client), Change::Lengthen))
            .await
    }

    /// Blocks a file by the SHA-256 of its contents: it is refused from now on, and packages that hold it end
    /// at once. Returns false if it was blocked before, together with the packages that were ended.
    ///
    /// # Errors
    /// The database cannot be read or written.
    pub async fn block(
        &self,
        sha256: [u8; 32],
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<(bool, Vec<RecordId>), LedgerError> {
        let reason = reason.to_owned();
        self.run(move |books| books.block(sha256, now, client, &reason))
            .await
    }

    /// Returns true if files that [`Ledger::block`] and [`Ledger::copies`] look for may be missed: after `drop
    /// rekey`, older files are not known any more.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn has_unknown_files(&self) -> Result<bool, LedgerError> {
        self.run(|books| books.records.has_unknown_files()).await
    }

    /// Lists other packages that hold a file of this one; empty files do not count.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn copies(&self, id: RecordId) -> Result<Vec<RecordId>, LedgerError> {
        self.run(move |books| books.copies(id)).await
    }

    /// Unblocks a file. Returns false if it was not blocked. Packages that were ended stay so.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn unblock(
        &self,
        sha256: [u8; 32],
        now: Timestamp,
        client: Requester,
    ) -> Result<bool, LedgerError> {
        self.run(move |books| books.unblock(sha256, now, client))
            .await
    }

    /// Lists the blocked files, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn blocks(&self) -> Result<Vec<Block>, LedgerError> {
        self.run(Books::blocks).await
    }

    /// Lists entries of the audit log, oldest first.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<Entry>, LedgerError> {
        self.run(move |books| books.records.entries(&query)).await
    }

    /// Returns true if the drop ended a package for this finding, and an admin restored it after that.
    ///
    /// # Errors
    /// The database cannot be read.
    pub(crate) async fn is_overruled(
        &self,
        id: RecordId,
        finding: String,
    ) -> Result<bool, LedgerError> {
        let query = AuditQuery {
            package: Some(id),
            ..AuditQuery::default()
        };
        let mut was_ended = false;
        for entry in self.audit(query).await? {
            was_ended |= entry.client.actor == Actor::Sweep
                && entry.action == Action::Revoke
                && entry.detail == finding;
            let is_restored = entry.action == Action::Restore && entry.client.actor == Actor::Admin;
            if was_ended && is_restored {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Verifies the audit log: finds entries that were cut or changed. `known` is a head that was noted
    /// elsewhere.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn verify_audit(
        &self,
        known: Option<ChainHead>,
    ) -> Result<Verification, LedgerError> {
        self.run(move |books| books.records.verify_chain(known))
            .await
    }
}

impl Books {
    fn list(&self, query: &Query, now: Timestamp) -> Result<Vec<Deposit>> {
        let fingerprint = query.sha256.map(|sha256| self.key.file(&sha256));
        let query = Query {
            fingerprint: fingerprint.or(query.fingerprint),
            ..query.clone()
        };
        let found = self.records.list(&query)?;
        let seen = found.into_iter();
        Ok(seen
            .map(|(id, record)| self.deposit(id, record, now))
            .collect())
    }

    fn show(&self, id: RecordId, now: Timestamp) -> Result<Option<(Deposit, Vec<DepositedFile>)>> {
        let Some(record) = self.records.find(id)? else {
            return Ok(None);
        };
        let files = self
            .records
            .files(id)?
            .into_iter()
            .map(|file| DepositedFile {
                size: file.size,
                downloads: file.downloads,
            });
        Ok(Some((self.deposit(id, record, now), files.collect())))
    }

    fn revoke(
        &self,
        id: RecordId,
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<RequestOutcome> {
        let reason = audit::one_line(reason, REASON_CHARS_MAX);
        // A package that also ended with its login stays ended when that is resumed.
        self.records.part_from_suspension(id)?;
        let outcome = self.end(id, (now, client), (Cause::Revoked, Action::Revoke), reason)?;
        self.end_elsewhere(id, now, client)?;
        Ok(outcome)
    }

    /// Destroys an ended package whose files lie elsewhere: whoever saw their links could fetch them there. If
    /// they cannot be removed, that is left to the sweep: it holds up the end of no other package.
    fn end_elsewhere(&self, id: RecordId, now: Timestamp, client: Requester) -> Result<()> {
        let record = self.records.find(id)?;
        if !record.is_some_and(|record| record.manifest.is_some() && record.is_elsewhere()) {
            return Ok(());
        }
        match self.destroy(id, now, client) {
            Err(error) if error.is_of_one_file() => {
                tracing::warn!(package = %id, "the next sweep tries again: {error}");
                Ok(())
            }
            destroyed => destroyed.map(drop),
        }
    }

    /// Destroys the files of a package that cannot be fetched any more.
    fn destroy(&self, id: RecordId, now: Timestamp, client: Requester) -> Result<RequestOutcome> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.records.find(id)? else {
                return Ok(RequestOutcome::Unknown);
            };
            if record.manifest.is_none() {
                return Ok(RequestOutcome::Destroyed);
            }
            if record.held.is_some() {
                return Ok(RequestOutcome::Held);
            }
            if record.ending(now).is_none() {
                return Err(LedgerError::Misuse(
                    "a live package is revoked before it is destroyed",
                ));
            }

            self.records.doom(&[(id, record.term.end())])?;
            // If it is still needed, somebody changed its term or holds it: it was not doomed.
            if self.records.is_needed(id)? {
                continue;
            }

            let numbers: Vec<_> = self.records.files(id)?.iter().map(|f| f.number).collect();
            for number in numbers {
                self.place.destroy(id, number)?;
            }
            self.remove_elsewhere(id, now)?;

            sweep::tell_destroyed(self, now, client, &[id])?;
            self.records.forget_overwritten()?;
            return Ok(RequestOutcome::Done(record.term.end()));
        }
        Err(LedgerError::Stopped)
    }

    /// Makes a package available until `until`, whatever its term was; the limits of readers do not hold.
    fn restore(
        &self,
        id: RecordId,
        until: Timestamp,
        now: Timestamp,
        client: Requester,
    ) -> Result<RequestOutcome> {
        self.bring_back(id, until, (now, client), None)
    }

    /// Restores a package. The log calls it `action`; without one, an extension if it is live, else a
    /// restoration.
    pub(crate) fn bring_back(
        &self,
        id: RecordId,
        until: Timestamp,
        by: (Timestamp, Requester),
        action: Option<Action>,
    ) -> Result<RequestOutcome> {
        self.change_end(id, until, by, Change::BringBack(action))
    }

    /// Gives a package this end. Whether that may be is looked at in each attempt: somebody else may have ended it,
    /// or have lengthened its term.
    fn change_end(
        &self,
        id: RecordId,
        until: Timestamp,
        (now, client): (Timestamp, Requester),
        change: Change,
    ) -> Result<RequestOutcome> {
        let until = whole_second(until);
        for _ in 0..ATTEMPTS {
            let Some(record) = self.records.find(id)? else {
                return Ok(RequestOutcome::Unknown);
            };
            if record.manifest.is_none() {
                return Ok(RequestOutcome::Destroyed);
            }
            if record.held.is_some() {
                return Ok(RequestOutcome::Held);
            }
            if self.holds_blocked(id)? {
                return Ok(RequestOutcome::Blocked);
            }
            let ending = record.ending(now);
            if matches!(change, Change::Lengthen) {
                match ending {
                    Some(_) => return Ok(RequestOutcome::Ended),
                    None if record.term.expires >= until => {
                        return Ok(RequestOutcome::Later(record.term.expires));
                    }
                    None => {}
                }
            }
            if let Some(kept) = record.kept_until().filter(|kept| *kept < until) {
                return Err(LedgerError::KeptElsewhere(kept));
            }

            let is = Term {
                expires: until,
                ended: None,
            };
            if record.term == is {
                return Ok(RequestOutcome::Already);
            }

            let action = match (change, ending) {
                (Change::BringBack(Some(action)), _) => action,
                (_, None) => Action::Extend,
                (_, Some(_)) => Action::Restore,
            };
            let (about, detail) = ((id, &record.origin), format!("until={until}"));
            if self.change(about, &record.term, &is, action, (now, client), detail)? {
                return Ok(RequestOutcome::Done(until));
            }
        }
        Err(LedgerError::Stopped)
    }

    /// Blocks a file and ends the packages that hold it. Returns their ids; none is missed, since the block
    /// is durable before they are looked up.
    fn block(
        &self,
        sha256: [u8; 32],
        now: Timestamp,
        client: Requester,
        reason: &str,
    ) -> Result<(bool, Vec<RecordId>)> {
        let fingerprint = self.key.file(&sha256);
        let reason = audit::one_line(reason, REASON_CHARS_MAX);
        let detail = format!("sha256={} reason={reason:?}", HEXLOWER.encode(&sha256));
        let entry = Entry::general(now, Action::Block, client, detail);

        let row = BlockRow {
            fingerprint,
            sha256,
            created: whole_second(now),
            reason,
        };
        let fresh = self.records.block(&row, &entry)?;
        if fresh {
            self.tell(&entry);
        }

        let query = Query {
            fingerprint: Some(fingerprint),
            ..Query::default()
        };
        let mut ended = Vec::new();
        for (id, _) in self.records.list(&query)? {
            let cause = (Cause::Blocked, Action::Block);
            let outcome = self.end(id, (now, client), cause, "a file is blocked".to_owned())?;
            self.end_elsewhere(id, now, client)?;
            if let RequestOutcome::Done(_) = outcome {
                ended.push(id);
            }
        }
        Ok((fresh, ended))
    }

    fn copies(&self, id: RecordId) -> Result<Vec<RecordId>> {
        let mut copies = BTreeSet::new();
        for file in self.records.files(id)? {
            if file.fingerprint.is_none() || file.size == 0 {
                continue;
            }
            let query = Query {
                fingerprint: file.fingerprint,
                ..Query::default()
            };
            let holding = self.records.list(&query)?;
            copies.extend(holding.into_iter().map(|(id, _)| id.0));
        }
        copies.remove(&id.0);
        Ok(copies.into_iter().map(RecordId).collect())
    }

    fn unblock(&self, sha256: [u8; 32], now: Timestamp, client: Requester) -> Result<bool> {
        let detail = format!("sha256={}", HEXLOWER.encode(&sha256));
        let entry = Entry::general(now, Action::Unblock, client, detail);
        let done = self.records.unblock(&self.key.file(&sha256), &entry)?;
        if done {
            self.tell(&entry);
        }
        Ok(done)
    }

    fn blocks(&self) -> Result<Vec<Block>> {
        let rows = self.records.blocks()?.into_iter();
        let block = |row: BlockRow| Block {
            sha256: row.sha256,
            created: row.created,
            reason: row.reason,
        };
        Ok(rows.map(block).collect())
    }

    fn holds_blocked(&self, id: RecordId) -> Result<bool> {
        let files = self.records.files(id)?;
        let fingerprints: Vec<_> = files.iter().filter_map(|file| file.fingerprint).collect();
        self.records.is_blocked(&fingerprints)
    }

    /// Ends a package. An expired one keeps the time of its end, and can no longer be restored by a reader.
    pub(crate) fn end(
        &self,
        id: RecordId,
        (now, client): (Timestamp, Requester),
        (cause, action): (Cause, Action),
        detail: String,
    ) -> Result<RequestOutcome> {
        for _ in 0..ATTEMPTS {
            let Some(record) = self.records.find(id)? else {
                return Ok(RequestOutcome::Unknown);
            };

            let was = record.term;
            if record.manifest.is_none() {
                return Ok(RequestOutcome::Destroyed);
            }
            if was
                .ended
                .is_some_and(|(_, was)| was == cause || was == Cause::Blocked)
            {
                return Ok(RequestOutcome::Already);
            }

            let at = whole_second(now).min(was.end());
            let is = Term {
                expires: was.expires,
                ended: Some((at, cause)),
            };
            let about = (id, &record.origin);
            if self.change(about, &was, &is, action, (now, client), detail.clone())? {
                return Ok(RequestOutcome::Done(at));
            }
        }
        Err(LedgerError::Stopped)
    }

    fn deposit(&self, id: RecordId, record: Record, now: Timestamp) -> Deposit {
        let destroyed_after = add(record.term.end(), &self.grace);
        Deposit {
            id,
            state: record.state(now),
            created: record.created,
            expires: record.term.expires,
            ended: record.term.ended.map(|(at, _)| at),
            destroyed_after: record.held.is_none().then_some(destroyed_after),
            origin: record.origin,
            files: record.files,
            bytes: record.bytes,
            downloads: record.downloads,
            unlock: record.unlock,
            held: record.held,
        }
    }
}

//! The verbs of [`Records`], each a transaction.

use std::{
    collections::HashSet,
    ops::{Range, RangeInclusive},
};

use jiff::Timestamp;

use super::{
    super::{
        AuditQuery, BlockRow, ChainHead, Check, Depositor, Entry, Fingerprint, Hold, LedgerError,
        Note, Query, Record, RecordFile, RecordId, Records, Result, Suspension, Tables, Term,
        Verification,
    },
    FORGOTTEN_AT_ONCE, Postgres, audit,
    connection::Connection,
    fault, read, statistics, suspensions,
    tables::PostgresTables,
    text, write,
};
use crate::ledger::statistics::{Month, Row};

impl Records for Postgres {
    fn damaged(&self, reason: &str) -> LedgerError {
        fault::damaged(&self.url, reason)
    }

    fn tables(&self) -> Result<Box<dyn Tables + '_>> {
        Ok(Box::new(PostgresTables::new(self)?))
    }

    fn probe(&self) -> Result<()> {
        self.write(|connection| {
            let sql = "DELETE FROM package WHERE id = decode('', 'hex')";
            connection.execute(sql, &[]).map(drop)
        })
    }

    fn has_no_fingerprint(&self) -> Result<bool> {
        let sql = "(SELECT 1 FROM file WHERE fingerprint IS NOT NULL ORDER BY fingerprint LIMIT 1)
                   UNION ALL (SELECT 1 FROM block LIMIT 1) LIMIT 1";
        self.read(|connection| Ok(!connection.exists(sql, &[])?))
    }

    fn renew_fingerprints(&self, of: &dyn Fn(&[u8; 32]) -> Fingerprint) -> Result<()> {
        self.write(|connection| {
            let renew = "UPDATE block SET fingerprint = $1 WHERE sha256 = $2";
            for block in read::blocks(connection)? {
                connection.execute(renew, &[&&of(&block.sha256)[..], &&block.sha256[..]])?;
            }
            connection.batch(
                "UPDATE file SET fingerprint = NULL WHERE fingerprint IS NOT NULL;
                 DELETE FROM client_network; DELETE FROM kept_message",
            )
        })
    }

    fn insert(
        &self,
        id: RecordId,
        record: &Record,
        files: &[RecordFile],
        networks: &[Fingerprint],
        entry: &Entry,
    ) -> Result<()> {
        self.write_checked(|connection| {
            let fingerprints: Vec<_> = files.iter().filter_map(|f| f.fingerprint).collect();
            let blocked = read::is_blocked(connection, &fingerprints);
            if blocked.map_err(|e| self.failed(e))? {
                return Err(LedgerError::Blocked);
            }

            let login = record.origin.login.as_deref();
            let suspended = login.map(|login| suspensions::is_suspended(connection, login));
            if suspended.transpose().map_err(|e| self.failed(e))? == Some(true) {
                return Err(LedgerError::Suspended);
            }

            write::insert(connection, id, record, files)
                .and_then(|cost| write::networks(connection, (id, record.created), networks, cost))
                .and_then(|()| audit::append(connection, &[entry]))
                .map_err(|e| self.failed(e))
        })
    }

    fn withdraw(&self, id: RecordId, entry: &Entry) -> Result<bool> {
        self.write_checked(|connection| {
            let found = read::find(connection, id).map_err(|e| self.failed(e))?;
            if found.as_ref().is_some_and(|record| record.held.is_some()) {
                return Err(LedgerError::Held);
            }

            let withdraw = || {
                if let Some(record) = &found {
                    statistics::subtract(connection, record)?;
                }
                let sql = "DELETE FROM package WHERE id = $1";
                let there = connection.execute(sql, &[&&id.0[..]])? > 0;
                audit::append(connection, &[entry])?;
                Ok(there)
            };
            withdraw().map_err(|e| self.failed(e))
        })
    }

    fn find(&self, id: RecordId) -> Result<Option<Record>> {
        self.read(|connection| read::find(connection, id))
    }

    fn files(&self, id: RecordId) -> Result<Vec<RecordFile>> {
        self.read(|connection| read::files(connection, id))
    }

    fn list(&self, query: &Query) -> Result<Vec<(RecordId, Record)>> {
        self.read(|connection| read::list(connection, query))
    }

    fn change_term(&self, id: RecordId, was: &Term, is: &Term, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| {
            write::change_term(connection, id, was, is)
        })
    }

    fn count_download(&self, id: RecordId, files: Range<usize>, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| {
            write::count_download(connection, id, files)
        })
    }

    fn ended(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>> {
        self.read(|connection| read::oldest(connection, "live", now, limit))
    }

    fn doom(&self, packages: &[(RecordId, Timestamp)]) -> Result<()> {
        self.write(|connection| write::doom(connection, packages))
    }

    fn doomed(&self, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>> {
        self.write_beside(|connection| write::doomed(connection, limit))
    }

    /// Of several hosts that removed the blobs of a package, the first is told of in the log.
    fn destroyed(&self, packages: &[RecordId], entries: &[Entry]) -> Result<()> {
        self.write(|connection| {
            let struck = write::destroyed(connection, packages)?;
            let is_ours = |entry: &&Entry| entry.package.is_none_or(|id| struck.contains(&id));
            let entries: Vec<_> = entries.iter().filter(is_ours).collect();
            audit::append(connection, &entries)
        })
    }

    fn forgettable(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>> {
        self.read(|connection| read::oldest(connection, "destroyed", now, limit))
    }

    fn forget(&self, packages: &[RecordId]) -> Result<()> {
        self.write(|connection| write::forget(connection, packages))
    }

    fn is_needed(&self, id: RecordId) -> Result<bool> {
        self.read(|connection| read::is_needed(connection, id))
    }

    fn has_unknown_files(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM file JOIN package ON package.id = file.package
                   WHERE fingerprint IS NULL AND state = 'live' LIMIT 1";
        self.read(|connection| connection.exists(sql, &[]))
    }

    fn needed(&self, slice: u8) -> Result<HashSet<RecordId>> {
        self.read(|connection| read::needed(connection, slice))
    }

    fn remove_orphan(&self, id: RecordId, remove: Check<'_>) -> Result<bool> {
        self.write_checked(|connection| {
            if read::is_needed(connection, id).map_err(|e| self.failed(e))? {
                return Ok(false);
            }
            remove().map(|()| true)
        })
    }

    /// Leaves it to the server's autovacuum.
    fn forget_overwritten(&self) -> Result<()> {
        Ok(())
    }

    fn log(&self, entry: &Entry) -> Result<()> {
        self.write(|connection| audit::append(connection, &[entry]))
    }

    fn entries(&self, query: &AuditQuery) -> Result<Vec<Entry>> {
        self.read(|connection| audit::entries(connection, query))
    }

    fn forget_entries(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<u64> {
        let due = "SELECT 1 FROM audit WHERE time < $1 ORDER BY time LIMIT 1";
        if !self.is_due(due, before)? {
            return Ok(0);
        }
        self.write(|connection| audit::forget(connection, before, now, limit))
    }

    fn chained(&self, after: i64, limit: usize) -> Result<Vec<(ChainHead, Entry)>> {
        self.read(|connection| audit::chained(connection, after, limit))
    }

    fn chain_head(&self) -> Result<ChainHead> {
        self.read(|connection| audit::end_of_chain(connection, audit::HEAD))
    }

    fn verify_chain(&self, known: Option<ChainHead>) -> Result<Verification> {
        self.read(|connection| audit::verify(connection, known))
    }

    fn hold(&self, id: RecordId, hold: &Hold, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| write::hold(connection, id, hold))
    }

    fn release(&self, id: RecordId, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| {
            let sql = "DELETE FROM held WHERE package = $1";
            Ok(connection.execute(sql, &[&&id.0[..]])? > 0)
        })
    }

    fn block(&self, row: &BlockRow, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| {
            let added = connection.execute(
                "INSERT INTO block (fingerprint, sha256, created, reason)
                 VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                &[
                    &&row.fingerprint[..],
                    &&row.sha256[..],
                    &row.created.as_second(),
                    &text(&row.reason),
                ],
            )?;
            Ok(added > 0)
        })
    }

    fn unblock(&self, fingerprint: &Fingerprint, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| {
            let sql = "DELETE FROM block WHERE fingerprint = $1";
            Ok(connection.execute(sql, &[&&fingerprint[..]])? > 0)
        })
    }

    fn blocks(&self) -> Result<Vec<BlockRow>> {
        self.read(read::blocks)
    }

    fn is_blocked(&self, fingerprints: &[Fingerprint]) -> Result<bool> {
        self.read(|connection| read::is_blocked(connection, fingerprints))
    }

    fn suspend(&self, suspension: &Suspension, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| suspensions::add(connection, suspension))
    }

    fn resume(&self, login: &str, entry: &Entry) -> Result<bool> {
        self.write_told(entry, |connection| suspensions::remove(connection, login))
    }

    fn suspensions(&self) -> Result<Vec<Suspension>> {
        self.read(suspensions::all)
    }

    fn is_suspended(&self, login: &str) -> Result<bool> {
        self.read(|connection| suspensions::is_suspended(connection, login))
    }

    fn part_from_suspension(&self, id: RecordId) -> Result<()> {
        self.write(|connection| suspensions::part(connection, id))
    }

    fn suspended_packages(&self, login: &str) -> Result<Vec<RecordId>> {
        self.read(|connection| suspensions::packages(connection, login))
    }

    fn deposited(
        &self,
        by: Depositor<'_>,
        uploader: Option<&str>,
        created: RangeInclusive<Timestamp>,
    ) -> Result<u64> {
        self.read(|connection| read::deposited(connection, by, uploader, &created))
    }

    fn incoming(&self, uploader: Option<&str>, created: RangeInclusive<Timestamp>) -> Result<u64> {
        self.read(|connection| read::incoming(connection, uploader, &created))
    }

    fn of_network(&self, network: &Fingerprint, created: RangeInclusive<Timestamp>) -> Result<u64> {
        self.read(|connection| read::of_network(connection, network, &created))
    }

    fn forget_networks(&self, before: Timestamp, limit: usize) -> Result<()> {
        let due = "SELECT 1 FROM client_network WHERE created < $1 ORDER BY created LIMIT 1";
        if !self.is_due(due, before)? {
            return Ok(());
        }
        self.write(|connection| write::forget_networks(connection, before, limit))
    }

    fn stored_bytes(&self) -> Result<u64> {
        self.read(|connection| read::amount(connection, "stored_bytes"))
    }

    fn stored_cost(&self) -> Result<u64> {
        self.read(|connection| read::amount(connection, "stored_cost"))
    }

    fn statistics(&self, since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>> {
        self.read(|connection| statistics::read(connection, since, until))
    }

    fn fold_statistics(&self, before: Month) -> Result<()> {
        if !self.read(|connection| statistics::is_foldable(connection, before))? {
            return Ok(());
        }
        self.write(|connection| statistics::fold(connection, before))
    }

    fn keep_message(&self, digest: &Fingerprint, until: Timestamp, now: Timestamp) -> Result<()> {
        self.write(|connection| {
            let sql = "INSERT INTO kept_message (digest, until) VALUES ($1, $2)
                       ON CONFLICT (digest) DO UPDATE
                       SET until = greatest(kept_message.until, excluded.until)";
            connection.execute(sql, &[&&digest[..], &until.as_second()])?;
            write::forget_kept_messages(connection, now, FORGOTTEN_AT_ONCE)
        })
    }

    fn is_kept_message(&self, digest: &Fingerprint, now: Timestamp) -> Result<bool> {
        let sql = "SELECT 1 FROM kept_message WHERE digest = $1 AND until > $2";
        self.read(|connection| connection.exists(sql, &[&&digest[..], &now.as_second()]))
    }

    fn forget_kept_messages(&self, now: Timestamp, limit: usize) -> Result<()> {
        let due = "SELECT 1 FROM kept_message WHERE until <= $1 ORDER BY until LIMIT 1";
        if !self.is_due(due, now)? {
            return Ok(());
        }
        self.write(|connection| write::forget_kept_messages(connection, now, limit))
    }

    fn note(&self, note: Note) -> Result<Option<i64>> {
        self.read(|connection| read::note(connection, note.name()))
    }

    fn set_notes(&self, notes: &[(Note, i64)]) -> Result<()> {
        self.write(|connection| {
            notes
                .iter()
                .try_for_each(|&(note, value)| write::set_note(connection, note.name(), value))
        })
    }
}

impl Postgres {
    /// Changes something, and adds an entry to the log if it did.
    fn write_told(
        &self,
        entry: &Entry,
        change: impl FnOnce(&Connection) -> fault::Result<bool>,
    ) -> Result<bool> {
        self.write(|connection| {
            let changed = change(connection)?;
            if changed {
                audit::append(connection, &[entry])?;
            }
            Ok(changed)
        })
    }

    /// Returns true if a query, given a time, has a result: so that nobody waits when nothing is due. It names an
    /// order, or the server would expect a third of the rows to be due, and look for the first from the start.
    fn is_due(&self, sql: &str, time: Timestamp) -> Result<bool> {
        self.read(|connection| connection.exists(sql, &[&time.as_second()]))
    }
}

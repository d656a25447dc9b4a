//! The verbs of [`Records`], each a transaction.

use std::{
    collections::HashSet,
    ops::{Range, RangeInclusive},
    sync::atomic::Ordering::Relaxed,
};

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior::Immediate, params};

use super::{
    super::{
        AuditQuery, BlockRow, ChainHead, Check, Depositor, Entry, Fingerprint, Hold, LedgerError,
        Note, Query, Record, RecordFile, RecordId, Records, Result, Suspension, Tables, Term,
        Verification,
    },
    FORGOTTEN_AT_ONCE, Sqlite, audit, fault, holds, read, statistics, suspensions,
    tables::SqliteTables,
    write,
};
use crate::ledger::statistics::{Month, Row};

impl Records for Sqlite {
    fn damaged(&self, reason: &str) -> LedgerError {
        fault::damaged(&self.path, reason)
    }

    fn tables(&self) -> Result<Box<dyn Tables + '_>> {
        Ok(Box::new(SqliteTables::new(self)?))
    }

    fn probe(&self) -> Result<()> {
        let writer = self.writer.alone()?;
        let probe = || {
            let transaction = Transaction::new_unchecked(&writer, Immediate)?;
            let version: i64 =
                transaction.pragma_query_value(None, "user_version", |r| r.get(0))?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.execute("DELETE FROM package WHERE id = x''", [])?;
            transaction.rollback()
        };
        probe().map_err(|e| self.failed(e))
    }

    fn has_no_fingerprint(&self) -> Result<bool> {
        self.read(|reader| {
            let sql = "SELECT 1 FROM file WHERE fingerprint IS NOT NULL
                       UNION ALL SELECT 1 FROM block LIMIT 1";
            Ok(!reader.prepare(sql)?.exists([])?)
        })
    }

    fn renew_fingerprints(&self, of: &dyn Fn(&[u8; 32]) -> Fingerprint) -> Result<()> {
        self.write(|transaction| {
            let renew = "UPDATE block SET fingerprint = ?1 WHERE sha256 = ?2";
            for block in read::blocks(transaction)? {
                transaction.execute(renew, params![of(&block.sha256), block.sha256])?;
            }
            transaction.execute("UPDATE file SET fingerprint = NULL", [])?;
            transaction.execute("DELETE FROM client_network", [])?;
            transaction
                .execute("DELETE FROM kept_message", [])
                .map(drop)
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
        self.write_checked(|transaction| {
            let fingerprints: Vec<_> = files.iter().filter_map(|f| f.fingerprint).collect();
            let blocked = read::is_blocked(transaction, &fingerprints);
            if blocked.map_err(|e| self.failed(e))? {
                return Err(LedgerError::Blocked);
            }

            let login = record.origin.login.as_deref();
            let suspended = login.map(|login| suspensions::is_suspended(transaction, login));
            if suspended.transpose().map_err(|e| self.failed(e))? == Some(true) {
                return Err(LedgerError::Suspended);
            }

            write::insert(transaction, id, record, files)
                .and_then(|cost| write::networks(transaction, (id, record.created), networks, cost))
                .and_then(|()| audit::append(transaction, entry))
                .map_err(|e| self.failed(e))
        })
    }

    fn withdraw(&self, id: RecordId, entry: &Entry) -> Result<bool> {
        self.write_checked(|transaction| {
            let found = read::find(transaction, id).optional();
            let found = found.map_err(|e| self.failed(e))?;
            if found.as_ref().is_some_and(|record| record.held.is_some()) {
                return Err(LedgerError::Held);
            }

            let withdraw = || {
                if let Some(record) = &found {
                    statistics::subtract(transaction, record)?;
                }
                let there = transaction.execute("DELETE FROM package WHERE id = ?1", [id.0])? > 0;
                // Always: a commit whose sync failed stands in the log of changes, and would come back
                // to life when that is read again, if nothing were written over it.
                audit::append(transaction, entry)?;
                Ok(there)
            };
            withdraw().map_err(|e| self.failed(e))
        })
    }

    fn find(&self, id: RecordId) -> Result<Option<Record>> {
        self.read(|reader| read::find(reader, id).optional())
    }

    fn files(&self, id: RecordId) -> Result<Vec<RecordFile>> {
        self.read(|reader| read::files(reader, id))
    }

    fn list(&self, query: &Query) -> Result<Vec<(RecordId, Record)>> {
        self.read(|reader| read::list(reader, query))
    }

    fn change_term(&self, id: RecordId, was: &Term, is: &Term, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let changed = write::change_term(transaction, id, was, is)?;
            if changed {
                audit::append(transaction, entry)?;
            }
            Ok(changed)
        })
    }

    fn count_download(&self, id: RecordId, files: Range<usize>, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let counted = write::count_download(transaction, id, files)?;
            if counted {
                audit::append(transaction, entry)?;
            }
            Ok(counted)
        })
    }

    fn ended(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>> {
        self.read(|reader| read::oldest(reader, "live", now, limit))
    }

    fn doom(&self, packages: &[(RecordId, Timestamp)]) -> Result<()> {
        self.write(|transaction| write::doom(transaction, packages))?;
        self.erased.store(true, Relaxed);
        Ok(())
    }

    fn doomed(&self, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>> {
        self.read(|reader| read::doomed(reader, limit))
    }

    fn destroyed(&self, packages: &[RecordId], entries: &[Entry]) -> Result<()> {
        self.write(|transaction| {
            let mut done = transaction.prepare_cached("DELETE FROM doomed WHERE package = ?1")?;
            let mut erase = transaction.prepare_cached(
                "UPDATE package SET locators = NULL WHERE id = ?1 AND locators IS NOT NULL",
            )?;
            for id in packages {
                // Another process may have swept it at the same time, and logged that.
                if done.execute([id.0])? == 0 {
                    continue;
                }
                erase.execute([id.0])?;
                for entry in entries.iter().filter(|entry| entry.package == Some(*id)) {
                    audit::append(transaction, entry)?;
                }
            }
            Ok(())
        })
    }

    fn forgettable(&self, now: Timestamp, limit: usize) -> Result<Vec<(RecordId, Timestamp)>> {
        self.read(|reader| read::oldest(reader, "destroyed", now, limit))
    }

    fn forget(&self, packages: &[RecordId]) -> Result<()> {
        self.write(|transaction| {
            let mut forget = transaction.prepare_cached(
                "DELETE FROM package WHERE id = ?1 AND state = 'destroyed'
                 AND id NOT IN (SELECT package FROM doomed)",
            )?;
            packages
                .iter()
                .try_for_each(|id| forget.execute([id.0]).map(drop))
        })
    }

    fn is_needed(&self, id: RecordId) -> Result<bool> {
        self.read(|reader| read::is_needed(reader, id))
    }

    fn has_unknown_files(&self) -> Result<bool> {
        self.read(|reader| {
            let sql = "SELECT 1 FROM file JOIN package ON package.id = file.package
                       WHERE fingerprint IS NULL AND state = 'live' LIMIT 1";
            reader.prepare_cached(sql)?.exists([])
        })
    }

    fn needed(&self, slice: u8) -> Result<HashSet<RecordId>> {
        self.read(|reader| read::needed(reader, slice))
    }

    fn remove_orphan(&self, id: RecordId, remove: Check<'_>) -> Result<bool> {
        self.write_checked(|transaction| {
            if read::is_needed(transaction, id).map_err(|e| self.failed(e))? {
                return Ok(false);
            }
            remove().map(|()| true)
        })
    }

    /// Writes the log of changes back and empties it, so that erased manifests no longer stand there. If
    /// others are reading just then, the next call does it.
    fn forget_overwritten(&self) -> Result<()> {
        if !self.erased.swap(false, Relaxed) {
            return Ok(());
        }
        let writer = self.writer.alone()?;
        let is_busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.erased.fetch_or(is_busy != Ok(false), Relaxed);
        is_busy.map(drop).map_err(|e| self.failed(e))
    }

    fn log(&self, entry: &Entry) -> Result<()> {
        self.write(|transaction| audit::append(transaction, entry))
    }

    fn entries(&self, query: &AuditQuery) -> Result<Vec<Entry>> {
        self.read(|reader| read::entries(reader, query))
    }

    fn chained(&self, after: i64, limit: usize) -> Result<Vec<(ChainHead, Entry)>> {
        self.read(|reader| audit::chained(reader, after, limit))
    }

    fn chain_head(&self) -> Result<ChainHead> {
        self.read(|reader| audit::end_of_chain(reader, audit::HEAD))
    }

    fn verify_chain(&self, known: Option<ChainHead>) -> Result<Verification> {
        self.read(|reader| audit::verify(reader, known))
    }

    fn hold(&self, id: RecordId, hold: &Hold, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let added = holds::add(transaction, id, hold)?;
            if added {
                audit::append(transaction, entry)?;
            }
            Ok(added)
        })
    }

    fn release(&self, id: RecordId, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let removed = holds::remove(transaction, id)?;
            if removed {
                audit::append(transaction, entry)?;
            }
            Ok(removed)
        })
    }

    fn forget_entries(&self, before: Timestamp, now: Timestamp, limit: usize) -> Result<u64> {
        let due = self.read(|reader| {
            let mut due = reader.prepare_cached("SELECT 1 FROM audit WHERE time < ?1 LIMIT 1")?;
            due.exists([before.as_second()])
        })?;
        if !due {
            return Ok(0);
        }
        self.write(|transaction| audit::forget(transaction, before, now, limit))
    }

    fn block(&self, row: &BlockRow, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let added = transaction.execute(
                "INSERT INTO block (fingerprint, sha256, created, reason)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![
                    row.fingerprint,
                    row.sha256,
                    row.created.as_second(),
                    row.reason
                ],
            )? > 0;
            if added {
                audit::append(transaction, entry)?;
            }
            Ok(added)
        })
    }

    fn unblock(&self, fingerprint: &Fingerprint, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let sql = "DELETE FROM block WHERE fingerprint = ?1";
            let removed = transaction.execute(sql, [fingerprint])? > 0;
            if removed {
                audit::append(transaction, entry)?;
            }
            Ok(removed)
        })
    }

    fn blocks(&self) -> Result<Vec<BlockRow>> {
        self.read(read::blocks)
    }

    fn is_blocked(&self, fingerprints: &[Fingerprint]) -> Result<bool> {
        self.read(|reader| read::is_blocked(reader, fingerprints))
    }

    fn suspend(&self, suspension: &Suspension, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let added = suspensions::add(transaction, suspension)?;
            if added {
                audit::append(transaction, entry)?;
            }
            Ok(added)
        })
    }

    fn resume(&self, login: &str, entry: &Entry) -> Result<bool> {
        self.write(|transaction| {
            let removed = suspensions::remove(transaction, login)?;
            if removed {
                audit::append(transaction, entry)?;
            }
            Ok(removed)
        })
    }

    fn suspensions(&self) -> Result<Vec<Suspension>> {
        self.read(suspensions::all)
    }

    fn is_suspended(&self, login: &str) -> Result<bool> {
        self.read(|reader| suspensions::is_suspended(reader, login))
    }

    fn part_from_suspension(&self, id: RecordId) -> Result<()> {
        self.write(|transaction| suspensions::part(transaction, id))
    }

    fn suspended_packages(&self, login: &str) -> Result<Vec<RecordId>> {
        self.read(|reader| suspensions::packages(reader, login))
    }

    fn deposited(
        &self,
        by: Depositor<'_>,
        uploader: Option<&str>,
        created: RangeInclusive<Timestamp>,
    ) -> Result<u64> {
        self.read(|reader| read::deposited(reader, by, uploader, &created))
    }

    fn incoming(&self, uploader: Option<&str>, created: RangeInclusive<Timestamp>) -> Result<u64> {
        self.read(|reader| read::incoming(reader, uploader, &created))
    }

    fn of_network(&self, network: &Fingerprint, created: RangeInclusive<Timestamp>) -> Result<u64> {
        self.read(|reader| read::of_network(reader, network, &created))
    }

    fn forget_networks(&self, before: Timestamp, limit: usize) -> Result<()> {
        let due = self.read(|reader| {
            let sql = "SELECT 1 FROM client_network WHERE created < ?1 LIMIT 1";
            reader.prepare_cached(sql)?.exists([before.as_second()])
        })?;
        if !due {
            return Ok(());
        }
        self.write(|transaction| write::forget_networks(transaction, before, limit))
    }

    fn stored_bytes(&self) -> Result<u64> {
        self.read(|reader| read::amount(reader, "stored_bytes"))
    }

    fn stored_cost(&self) -> Result<u64> {
        self.read(|reader| read::amount(reader, "stored_cost"))
    }

    fn statistics(&self, since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>> {
        self.read(|reader| statistics::read(reader, since, until))
    }

    fn fold_statistics(&self, before: Month) -> Result<()> {
        if !self.read(|reader| statistics::is_foldable(reader, before))? {
            return Ok(());
        }
        self.write(|transaction| statistics::fold(transaction, before))
    }

    fn keep_message(&self, digest: &Fingerprint, until: Timestamp, now: Timestamp) -> Result<()> {
        self.write(|transaction| {
            let keep = "INSERT INTO kept_message (digest, until) VALUES (?1, ?2)
                        ON CONFLICT DO UPDATE SET until = max(until, excluded.until)";
            transaction
                .prepare_cached(keep)?
                .execute(params![digest, until.as_second()])?;
            write::forget_kept_messages(transaction, now, FORGOTTEN_AT_ONCE)
        })
    }

    fn is_kept_message(&self, digest: &Fingerprint, now: Timestamp) -> Result<bool> {
        self.read(|reader| {
            let sql = "SELECT 1 FROM kept_message WHERE digest = ?1 AND until > ?2";
            let mut find = reader.prepare_cached(sql)?;
            find.exists(params![digest, now.as_second()])
        })
    }

    fn forget_kept_messages(&self, now: Timestamp, limit: usize) -> Result<()> {
        let due = self.read(|reader| {
            let sql = "SELECT 1 FROM kept_message WHERE until <= ?1 LIMIT 1";
            reader.prepare_cached(sql)?.exists([now.as_second()])
        })?;
        if !due {
            return Ok(());
        }
        self.write(|transaction| write::forget_kept_messages(transaction, now, limit))
    }

    fn note(&self, note: Note) -> Result<Option<i64>> {
        self.read(|reader| read::note(reader, note.name()))
    }

    fn set_notes(&self, notes: &[(Note, i64)]) -> Result<()> {
        self.write(|transaction| {
            notes
                .iter()
                .try_for_each(|&(note, value)| write::set_note(transaction, note.name(), value))
        })
    }
}

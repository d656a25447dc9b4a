//! The database of records: which packages there are, who deposited them, until when.
//!
//! SQLite in WAL mode with `synchronous = FULL`: when a transaction returns, it is on stable
//! storage. One connection writes and one reads; both are used from blocking threads only. Other
//! processes may have the database open too, so each transaction is short, and whatever is decided
//! about a blob is decided inside a write transaction.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior::Immediate, params,
};

use super::{DropError, Origin, vault::RecordId};
use crate::filter::Direction;

/// How long a transaction waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One step for each schema; `PRAGMA user_version` counts those that were done.
const MIGRATIONS: &[&str] = &[include_str!("schema-1.sql"), include_str!("schema-3.sql")];
/// The schema after the last of them.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// The database.
#[derive(Debug)]
pub(super) struct Records {
    path: PathBuf,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

/// A package as the database knows it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) origin: Origin,
    /// `None` when its blobs were destroyed.
    pub(super) manifest: Option<Vec<u8>>,
}

/// A file of a package, as the database knows it. Its place in the list is its index.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordFile {
    /// The number in the name of its blob.
    pub(super) number: u32,
    /// Its size in bytes, not encrypted.
    pub(super) size: u64,
}

type Result<T, E = DropError> = std::result::Result<T, E>;

impl Records {
    /// Opens the database, making or migrating it. The file itself must exist (it may be empty).
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let failed = |e| DropError::database("open", &path, e);
        let mut writer = connect(&path).map_err(failed)?;
        migrate(&mut writer, &path)?;
        let reader = connect(&path).map_err(failed)?;
        reader
            .pragma_update(None, "query_only", true)
            .map_err(failed)?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            path,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn find(&self, id: RecordId) -> Result<Option<Record>> {
        let reader = lock(&self.reader);
        let row = reader
            .prepare_cached(
                "SELECT created, expires, manifest, queue_id, sender, login, direction, recipients
                 FROM package WHERE id = ?1",
            )
            .and_then(|mut query| query.query_row([id.0], record).optional());
        row.map_err(|e| self.failed("read", e))
    }

    /// Inserts a package with its files; `stored` is asked inside the transaction whether all its
    /// blobs are in their place.
    pub(super) fn insert(
        &self,
        id: RecordId,
        record: &Record,
        files: &[RecordFile],
        stored: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.write("write to", |transaction| {
            insert(transaction, id, record, files).map_err(|e| self.failed("write to", e))?;
            stored()
        })
    }

    /// Removes a package altogether, as if it had never been.
    pub(super) fn remove(&self, id: RecordId) -> Result<()> {
        self.change("DELETE FROM package WHERE id = ?1", [id.0])
            .map(drop)
    }

    /// Counts a complete download of the file with this index.
    pub(super) fn count_download(&self, id: RecordId, index: usize) -> Result<()> {
        self.write("write to", |transaction| {
            let count = || {
                let counted = transaction.execute(
                    "UPDATE file SET downloads = downloads + 1
                     WHERE package = ?1 AND position = ?2",
                    params![id.0, index as i64],
                )?;
                transaction.execute(
                    "UPDATE package SET downloads = downloads + ?2 WHERE id = ?1",
                    params![id.0, counted as i64],
                )
            };
            count().map(drop).map_err(|e| self.failed("write to", e))
        })
    }

    /// The packages whose blobs are stored and that had expired at `now`, longest ago first.
    pub(super) fn expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RecordId, Timestamp)>> {
        self.oldest("live", now, limit)
    }

    /// The packages whose blobs are destroyed, and that had expired at `now`, longest ago first.
    pub(super) fn destroyed(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RecordId, Timestamp)>> {
        self.oldest("destroyed", now, limit)
    }

    /// Destroys a package if it still expires at `expires`: removes each blob by `remove`, then
    /// erases the manifest. Returns how many files it had, or `None` when somebody was faster.
    pub(super) fn destroy(
        &self,
        id: RecordId,
        expires: Timestamp,
        mut remove: impl FnMut(u32) -> Result<()>,
    ) -> Result<Option<u64>> {
        self.write("write to", |transaction| {
            let failed = |e| self.failed("write to", e);
            if !still_expires(transaction, id, expires).map_err(failed)? {
                return Ok(None);
            }
            let numbers = numbers(transaction, id).map_err(failed)?;
            for &number in &numbers {
                remove(number)?;
            }
            transaction
                .execute(
                    "UPDATE package SET state = 'destroyed', manifest = NULL WHERE id = ?1",
                    [id.0],
                )
                .map_err(failed)?;
            Ok(Some(numbers.len() as u64))
        })
    }

    /// True when a blob of this package may be needed.
    pub(super) fn is_live(&self, id: RecordId) -> Result<bool> {
        let reader = lock(&self.reader);
        is_live(&reader, id).map_err(|e| self.failed("read", e))
    }

    /// Runs `remove` while nobody can commit, if no blob of this package is needed.
    pub(super) fn remove_orphan(
        &self,
        id: RecordId,
        remove: impl FnOnce() -> Result<()>,
    ) -> Result<bool> {
        self.write("write to", |transaction| {
            if is_live(transaction, id).map_err(|e| self.failed("read", e))? {
                return Ok(false);
            }
            remove().map(|()| true)
        })
    }

    /// Writes the log of changes back and empties it: erased manifests stand there no more. If
    /// others are reading just then, a later call does it.
    pub(super) fn forget_overwritten(&self) -> Result<()> {
        let writer = lock(&self.writer);
        let done = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        done.map_err(|e| self.failed("write to", e))
    }

    /// A transaction that writes and is rolled back.
    pub(super) fn probe(&self) -> Result<()> {
        let mut writer = lock(&self.writer);
        let mut probe = || {
            let transaction = writer.transaction_with_behavior(Immediate)?;
            let version: i64 =
                transaction.pragma_query_value(None, "user_version", |r| r.get(0))?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.execute("DELETE FROM package WHERE id = x''", [])?;
            transaction.rollback()
        };
        probe().map_err(|e| self.failed("write to", e))
    }

    fn oldest(
        &self,
        state: &str,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(RecordId, Timestamp)>> {
        let reader = lock(&self.reader);
        let query = || {
            let mut query = reader.prepare_cached(
                "SELECT id, expires FROM package WHERE state = ?1 AND expires <= ?2
                 ORDER BY expires LIMIT ?3",
            )?;
            let rows = query.query_map(
                params![
                    state,
                    now.as_second(),
                    i64::try_from(limit).unwrap_or(i64::MAX)
                ],
                |row| Ok((RecordId(row.get(0)?), time(row, 1)?)),
            )?;
            rows.collect::<rusqlite::Result<_>>()
        };
        query().map_err(|e| self.failed("read", e))
    }

    /// Runs one statement in a transaction; says how many rows it changed.
    pub(super) fn change(&self, sql: &str, values: impl Params) -> Result<usize> {
        self.write("write to", |transaction| {
            transaction
                .execute(sql, values)
                .map_err(|e| self.failed("write to", e))
        })
    }

    /// Asks the connection that only reads.
    pub(super) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        query(&lock(&self.reader)).map_err(|e| self.failed("read", e))
    }

    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut writer = lock(&self.writer);
        let begun = writer.transaction_with_behavior(Immediate);
        let transaction = begun.map_err(|e| self.failed(action, e))?;
        let value = work(&transaction)?;
        transaction.commit().map_err(|e| self.failed(action, e))?;
        Ok(value)
    }

    fn failed(&self, action: &'static str, error: rusqlite::Error) -> DropError {
        DropError::database(action, &self.path, error)
    }
}

/// A panic in another thread rolled its transaction back: the connection is sound.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // An erased manifest is overwritten, not only unlinked from its page.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Brings the schema up to date. Two processes may try at once: the second finds it done. Nothing
/// is written, and nobody waited for, when nothing is due.
fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    if due(connection, path)?.is_empty() {
        return Ok(());
    }
    let failed = |e| DropError::database("migrate", path, e);
    let transaction = connection
        .transaction_with_behavior(Immediate)
        .map_err(failed)?;
    for step in due(&transaction, path)? {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", KNOWN)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// The steps that were not done.
fn due(connection: &Connection, path: &Path) -> Result<&'static [&'static str]> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: i64 = found.map_err(|e| DropError::database("read", path, e))?;
    let done = usize::try_from(found).ok();
    done.and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| DropError::Newer {
            path: path.to_owned(),
            found,
            known: KNOWN,
        })
}

fn insert(
    transaction: &Transaction<'_>,
    id: RecordId,
    record: &Record,
    files: &[RecordFile],
) -> rusqlite::Result<()> {
    let Record {
        created,
        expires,
        origin,
        manifest,
    } = record;
    transaction.execute(
        "INSERT INTO package (id, created, expires, manifest, queue_id, sender, login, direction,
                              recipients, files, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            id.0,
            created.as_second(),
            expires.as_second(),
            manifest,
            origin.queue_id,
            origin.sender,
            origin.login,
            direction_name(origin.direction),
            origin.recipients,
            files.len() as i64,
            files.iter().map(|file| file.size).sum::<u64>() as i64,
        ],
    )?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO file (package, position, number, size) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (position, file) in files.iter().enumerate() {
        insert.execute(params![
            id.0,
            position as i64,
            file.number,
            file.size as i64
        ])?;
    }
    Ok(())
}

fn still_expires(
    connection: &Connection,
    id: RecordId,
    expires: Timestamp,
) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT 1 FROM package WHERE id = ?1 AND state = 'live' AND expires = ?2",
    )?;
    query.exists(params![id.0, expires.as_second()])
}

fn is_live(connection: &Connection, id: RecordId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM package WHERE id = ?1 AND state = 'live'")?
        .exists([id.0])
}

fn numbers(connection: &Connection, id: RecordId) -> rusqlite::Result<Vec<u32>> {
    let mut query = connection.prepare_cached("SELECT number FROM file WHERE package = ?1")?;
    query.query_map([id.0], |row| row.get(0))?.collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let direction: String = row.get(6)?;
    let origin = Origin {
        queue_id: row.get(3)?,
        sender: row.get(4)?,
        login: row.get(5)?,
        direction: if direction == "outgoing" {
            Direction::Outgoing
        } else {
            Direction::Incoming
        },
        recipients: row.get(7)?,
    };
    Ok(Record {
        created: time(row, 0)?,
        expires: time(row, 1)?,
        origin,
        manifest: row.get(2)?,
    })
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    let seconds: i64 = row.get(column)?;
    Timestamp::from_second(seconds)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, seconds))
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Incoming => "incoming",
        Direction::Outgoing => "outgoing",
    }
}

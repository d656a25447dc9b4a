//! Records in SQLite.
//!
//! WAL mode with `synchronous = FULL`: when a verb returns, what it wrote is on stable storage. One
//! connection writes and one reads; both are used from blocking threads only. Other processes may
//! have the database open too.
//!
//! The log of changes (`-wal`) and its index (`-shm`) are not removed when the last process closes the
//! database: on a file system without inodes they could not be made again. On one without space the
//! index cannot be made either. Then it is kept in memory, which SQLite does for a connection that
//! has the database for itself: one connection does all the work, other processes are refused,
//! and what is stored can be read.

mod audit;
mod conditions;
mod fault;
mod holds;
mod migrate;
mod read;
mod statistics;
mod suspensions;
mod tables;
#[cfg(test)]
mod tests;
mod uploads;
mod verbs;
mod write;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, atomic::AtomicBool},
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig};

use self::writer::{Write, Writer};

use super::{
    AuditQuery, BlockRow, ChainHead, Depositor, Elsewhere, Entry, Fingerprint, Hold, LedgerError,
    Query, Record, RecordFile, RecordId, Result, Suspension, Term,
};
use crate::{ledger::error::FaultKind, lock::lock};

/// Maximum time for which a transaction waits for other threads and another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of messages, or networks, that are forgotten with each one that is remembered: the sweeper forgets
/// the rest.
const FORGOTTEN_AT_ONCE: usize = 10;

/// One step for each schema; `PRAGMA user_version` counts those that were done.
const MIGRATIONS: &[&str] = &[
    include_str!("sqlite/schema-1.sql"),
    include_str!("sqlite/schema-2.sql"),
    include_str!("sqlite/schema-3.sql"),
    include_str!("sqlite/schema-4.sql"),
    include_str!("sqlite/schema-5.sql"),
    include_str!("sqlite/schema-6.sql"),
    include_str!("sqlite/schema-7.sql"),
    include_str!("sqlite/schema-8.sql"),
    include_str!("sqlite/schema-9.sql"),
    include_str!("sqlite/schema-10.sql"),
    include_str!("sqlite/schema-11.sql"),
    include_str!("sqlite/schema-12.sql"),
];
/// The number of the schema after the last of them.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// The database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    path: PathBuf,
    writer: Writer,
    /// `None` if the writer has the database for itself.
    reader: Option<Mutex<Connection>>,
    /// True if erased data may still stand in the log of changes.
    erased: AtomicBool,
}

/// The sharing of the database with other connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    Shared,
    Alone,
}

impl Sqlite {
    /// Opens the database, making or migrating it. The file itself must exist (it may be empty).
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let error = match Self::open_shared(&path) {
            Err(error) if may_be_full(&error) => error,
            opened => return opened,
        };
        let alone = Self::open_alone(&path).map_err(|_| error)?;
        tracing::warn!(
            path = %path.display(),
            "the file system is full: no other process can open the drop until this one is restarted"
        );
        Ok(alone)
    }

    fn open_shared(path: &Path) -> Result<Self> {
        let failed = |e| fault::failed("open", path, e);
        let mut writer = connect(path, Sharing::Shared).map_err(failed)?;
        refuse_moved(&writer, path)?;
        migrate::run(&mut writer, path)?;
        let reader = connect(path, Sharing::Shared).map_err(failed)?;
        reader
            .pragma_update(None, "query_only", true)
            .map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::new(path.to_owned(), writer),
            reader: Some(Mutex::new(reader)),
            erased: AtomicBool::new(true),
        })
    }

    fn open_alone(path: &Path) -> Result<Self> {
        let failed = |e| fault::failed("open", path, e);
        let mut writer = connect(path, Sharing::Alone).map_err(failed)?;
        refuse_moved(&writer, path)?;
        migrate::run(&mut writer, path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::new(path.to_owned(), writer),
            reader: None,
            erased: AtomicBool::new(true),
        })
    }

    /// Returns the number of the move that took all records out of the database; `None` if none did. The file must
    /// exist.
    pub(crate) fn arrival(path: &Path) -> Result<Option<i64>> {
        let arrival = || arrival(&connect(path, Sharing::Shared)?);
        arrival().map_err(|e| fault::failed("read", path, e))
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let worked = match &self.reader {
            Some(reader) => work(&lock(reader)),
            None => work(&*self.writer.alone()?),
        };
        worked.map_err(|e| fault::failed("read", &self.path, e))
    }

    fn write<T>(&self, work: impl FnOnce(&Write<'_>) -> rusqlite::Result<T>) -> Result<T> {
        self.write_checked(|savepoint| work(savepoint).map_err(|e| self.failed(e)))
    }

    fn write_checked<T>(&self, work: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        let (value, outcome) = self.writer.turn()?.write(work)?;
        outcome.wait()?;
        Ok(value)
    }

    fn failed(&self, error: rusqlite::Error) -> LedgerError {
        self.writer.failed(error)
    }
}

/// Refuses a database from which all records were moved.
fn refuse_moved(connection: &Connection, path: &Path) -> Result<()> {
    match arrival(connection) {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(fault::moved(path)),
        Err(error) => Err(fault::failed("read", path, error)),
    }
}

/// Returns the number of the move that took all records out of a database; `None` if none did.
fn arrival(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let is_moved = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'moved')";
    match connection.query_row(is_moved, [], |row| row.get(0))? {
        true => connection.query_row("SELECT arrival FROM moved", [], |row| row.get(0)),
        false => Ok(None),
    }
}

/// Returns true if a connection that has the database for itself may be able to read it all the same.
fn may_be_full(error: &LedgerError) -> bool {
    matches!(error.fault(), Some(FaultKind::Full | FaultKind::Io))
}

fn connect(path: &Path, sharing: Sharing) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;

    if sharing == Sharing::Alone {
        connection.pragma_update(None, "locking_mode", "exclusive")?;
    }

    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // An erased manifest is overwritten, not only unlinked from its page.
    connection.pragma_update(None, "secure_delete", true)?;
    Ok(connection)
}

/// Returns the schemas before the audit log became a chain.
#[cfg(test)]
pub(crate) fn schemas_before_the_chain() -> &'static [&'static str] {
    let is_chain = |step: &&str| step.contains("CREATE TABLE audit_chain");
    let first = MIGRATIONS.iter().position(is_chain);
    &MIGRATIONS[..first.unwrap_or(MIGRATIONS.len())]
}

/// The first schema, as an earlier version left it.
#[cfg(test)]
pub(crate) const SCHEMA_1: &str = MIGRATIONS[0];

//! Records in PostgreSQL, which several hosts can share.
//!
//! The verbs are those of SQLite, in the other dialect. Whoever writes takes an advisory lock first, and has
//! it until the commit is on the server's disk: there is one writer at a time, on whatever host, as the chain
//! of the audit log needs it anyhow. So an insertion sees every block and every suspension before it, nobody
//! commits while an orphan is removed, and no two transactions can wait for each other. Transactions are
//! short: all that is slow (blobs, mail) is done before or after.
//!
//! An error may come after a commit was asked for, and before it was answered. Then a later transaction is
//! told whether it happened, since it waits for the same lock: that is why [`withdraw`](super::Records::withdraw) is the last
//! word on a package.
//!
//! What is erased here stays in the server's files until its autovacuum and its archive let go of it: a
//! manifest is ciphertext, and its key stands in the link alone.

mod audit;
mod conditions;
mod connection;
mod fault;
#[cfg(test)]
pub(crate) mod lab;
mod migrate;
mod read;
mod statistics;
mod suspensions;
mod tables;
#[cfg(test)]
mod tests;
mod tls;
mod uploads;
mod verbs;
mod write;

use std::{fmt, time::Duration};

use self::{
    connection::{Connection, Connections},
    fault::Failure,
};
use super::{
    AuditQuery, BlockRow, ChainHead, Depositor, Elsewhere, Entry, Fingerprint, Hold, LedgerError,
    Query, Record, RecordFile, RecordId, Result, Suspension, Term,
};
use crate::config::{DropConfig, PostgresUrl};

/// Maximum time for which a writer waits for the others of its process, and again for those of other
/// processes; and a reader for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Number of messages, or networks, that are forgotten with each one that is remembered: the sweeper forgets
/// the rest.
const FORGOTTEN_AT_ONCE: usize = 10;

/// One step for each schema; the table `schema` has the number of the last that was done.
const MIGRATIONS: &[&str] = &[include_str!("postgres/schema-12.sql")];
/// The number of the schema after the last of them.
const KNOWN: i64 = 12;

/// Begins a transaction that changes something, with the lock of whoever writes: an arbitrary number, of this
/// database alone.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(7233180261)";

/// The database.
pub(crate) struct Postgres {
    url: PostgresUrl,
    connections: Connections,
}

impl Postgres {
    /// Opens the database, making or migrating its tables. The database itself must exist.
    pub(crate) fn open(url: &PostgresUrl, config: &DropConfig) -> Result<Self> {
        let postgres = Self::prepare(url, config)?;
        migrate::run(&postgres)?;
        Ok(postgres)
    }

    /// Opens the database as the target of a move: all records may have been moved out of it before.
    pub(crate) fn open_again(url: &PostgresUrl, config: &DropConfig) -> Result<Self> {
        let postgres = Self::prepare(url, config)?;
        postgres.write(|connection| connection.batch("DROP TABLE IF EXISTS moved"))?;
        migrate::run(&postgres)?;
        Ok(postgres)
    }

    /// Returns the number of the move that took all records out of the database; `None` if none did.
    pub(crate) fn arrival(url: &PostgresUrl, config: &DropConfig) -> Result<Option<i64>> {
        Self::prepare(url, config)?.read(migrate::arrival)
    }

    /// Checks that the database answers, and is none of a later version. Changes nothing.
    pub(crate) fn reach(url: &PostgresUrl, config: &DropConfig) -> Result<()> {
        migrate::is_done(&Self::prepare(url, config)?).map(drop)
    }

    fn prepare(url: &PostgresUrl, config: &DropConfig) -> Result<Self> {
        let connections = Connections::new(url, config);
        Ok(Self {
            url: url.clone(),
            connections: connections.map_err(|e| fault::failed("open", url, e))?,
        })
    }

    /// Reads by single statements, each of which sees what was committed before it.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> fault::Result<T>) -> Result<T> {
        let read = || {
            let connection = self.connections.get()?;
            let value = work(&connection)?;
            connection.give_back();
            Ok(value)
        };
        read().map_err(|e| fault::failed("read", &self.url, e))
    }

    fn write<T>(&self, work: impl FnOnce(&Connection) -> fault::Result<T>) -> Result<T> {
        self.write_checked(|connection| work(connection).map_err(|e| self.failed(e)))
    }

    /// Changes something while nobody else does.
    fn write_checked<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let _turn = self.connections.turn().map_err(|e| self.failed(e))?;
        self.transact(BEGIN, work)
    }

    /// Changes something that others may change at once: `work` locks its rows.
    fn write_beside<T>(&self, work: impl FnOnce(&Connection) -> fault::Result<T>) -> Result<T> {
        self.transact("BEGIN", |connection| {
            work(connection).map_err(|e| self.failed(e))
        })
    }

    fn transact<T>(&self, begin: &str, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let connection = self.connections.get().map_err(|e| self.failed(e))?;
        connection.batch(begin).map_err(|e| self.failed(e))?;
        let done = work(&connection);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = connection.batch(end).map(|()| connection.give_back());
        let value = done?;
        ended.map_err(|e| self.failed(e))?;
        Ok(value)
    }

    fn failed(&self, failure: Failure) -> LedgerError {
        fault::failed("write to", &self.url, failure)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Returns a text as PostgreSQL takes it: it refuses the byte zero, which an address may hold.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Returns the number for `LIMIT`.
fn rows_max(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

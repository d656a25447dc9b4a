//! What is asked of the database.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{AuditQuery, BlockRow, Depositor, Entry, Fingerprint, Query, Record, RecordFile, Term};
use crate::{
    drop::{
        Origin, RecordId, Unlock,
        audit::{Action, Actor, Client},
        custody::{Cause, State},
    },
    filter::Direction,
    stats::Domains,
};

type Result<T> = rusqlite::Result<T>;

/// The columns that [`record`] reads.
macro_rules! record_columns {
    () => {
        "id, created, expires, ended, cause, manifest, queue_id, sender, login, direction,
         recipients, files, bytes, downloads, unlock, domains"
    };
}

pub(super) fn find(connection: &Connection, id: RecordId) -> Result<Record> {
    let sql = concat!("SELECT ", record_columns!(), " FROM package WHERE id = ?1");
    connection
        .prepare_cached(sql)?
        .query_row([id.0], |row| Ok(record(row)?.1))
}

pub(super) fn list(connection: &Connection, query: &Query) -> Result<Vec<(RecordId, Record)>> {
    let sql = concat!(
        "SELECT ",
        record_columns!(),
        " FROM package
         WHERE (?1 IS NULL OR sender = ?1 COLLATE NOCASE)
           AND (?2 IS NULL OR substr(sender, -length(?2)) = ?2 COLLATE NOCASE)
           AND (?3 IS NULL OR login = ?3 COLLATE NOCASE)
           AND (?4 IS NULL OR created >= ?4)
           AND (?5 IS NULL OR created < ?5)
           AND (?6 IS NULL OR queue_id = ?6)
           AND (?7 IS NULL OR hex(id) LIKE ?7 || '%')
           AND (?8 IS NULL OR id IN (SELECT package FROM file WHERE fingerprint = ?8))
           AND (?9 IS NULL OR ?9 = CASE
                 WHEN state = 'destroyed' THEN 'destroyed'
                 WHEN cause IS NOT NULL THEN cause
                 WHEN expires <= ?10 THEN 'expired'
                 ELSE 'live' END)
         ORDER BY created DESC, id LIMIT ?11"
    );
    let sender = query.sender.as_deref();
    let is_domain = |sender: &&str| sender.starts_with('@');
    let (state, now) = query.state.unzip();
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(
        params![
            sender.filter(|s| !is_domain(s)),
            sender.filter(is_domain),
            query.login,
            query.since.map(Timestamp::as_second),
            query.until.map(Timestamp::as_second),
            query.queue_id,
            query.id_prefix,
            query.fingerprint,
            state.map(State::word),
            now.map(Timestamp::as_second),
            rows_max(query.limit),
        ],
        record,
    )?;
    rows.collect()
}

pub(super) fn files(connection: &Connection, id: RecordId) -> Result<Vec<RecordFile>> {
    let mut query = connection.prepare_cached(
        "SELECT number, size, fingerprint, downloads FROM file WHERE package = ?1
         ORDER BY position",
    )?;
    let rows = query.query_map([id.0], |row| {
        Ok(RecordFile {
            number: row.get(0)?,
            size: count(row, 1)?,
            fingerprint: row.get(2)?,
            downloads: count(row, 3)?,
        })
    })?;
    rows.collect()
}

/// Packages of a state that ended at `now` or before, longest ago first.
pub(super) fn oldest(
    connection: &Connection,
    state: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(RecordId, Timestamp)>> {
    let mut query = connection.prepare_cached(
        "SELECT id, coalesce(ended, expires) FROM package
         WHERE state = ?1 AND coalesce(ended, expires) <= ?2
         ORDER BY coalesce(ended, expires) LIMIT ?3",
    )?;
    let rows = query.query_map(
        params![state, now.as_second(), rows_max(Some(limit))],
        |row| Ok((RecordId(row.get(0)?), time(row, 1)?)),
    )?;
    rows.collect()
}

pub(super) fn doomed(connection: &Connection, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>> {
    let mut query = connection.prepare_cached("SELECT package FROM doomed LIMIT ?1")?;
    let ids = query.query_map([rows_max(Some(limit))], |row| Ok(RecordId(row.get(0)?)))?;
    ids.map(|id| {
        let id = id?;
        let files = files(connection, id)?;
        Ok((id, files.iter().map(|file| file.number).collect()))
    })
    .collect()
}

pub(super) fn is_needed(connection: &Connection, id: RecordId) -> Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM package WHERE id = ?1 AND state = 'live'")?
        .exists([id.0])
}

pub(super) fn is_blocked(connection: &Connection, fingerprints: &[Fingerprint]) -> Result<bool> {
    let mut query = connection.prepare_cached("SELECT 1 FROM block WHERE fingerprint = ?1")?;
    for fingerprint in fingerprints {
        if query.exists([fingerprint])? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn blocks(connection: &Connection) -> Result<Vec<BlockRow>> {
    let mut query = connection.prepare_cached(
        "SELECT fingerprint, sha256, created, reason FROM block ORDER BY created",
    )?;
    let rows = query.query_map([], |row| {
        Ok(BlockRow {
            fingerprint: row.get(0)?,
            sha256: row.get(1)?,
            created: time(row, 2)?,
            reason: row.get(3)?,
        })
    })?;
    rows.collect()
}

pub(super) fn deposited(
    connection: &Connection,
    by: Depositor<'_>,
    since: Timestamp,
) -> Result<u64> {
    let (sql, name) = match by {
        Depositor::Login(name) => (
            "SELECT coalesce(sum(bytes), 0) FROM package
             WHERE login = ?1 COLLATE NOCASE AND created >= ?2",
            name,
        ),
        Depositor::Sender(name) => (
            "SELECT coalesce(sum(bytes), 0) FROM package
             WHERE sender = ?1 COLLATE NOCASE AND created >= ?2",
            name,
        ),
    };
    connection
        .prepare_cached(sql)?
        .query_row(params![name, since.as_second()], |row| count(row, 0))
}

pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> Result<Vec<Entry>> {
    let mut statement = connection.prepare_cached(
        "SELECT time, action, package, queue_id, sender, login, actor, address, detail FROM audit
         WHERE (?1 IS NULL OR package = ?1) AND (?2 IS NULL OR time >= ?2) ORDER BY number",
    )?;
    let package = query.package.map(|id| id.0);
    let since = query.since.map(Timestamp::as_second);
    statement
        .query_map(params![package, since], entry)?
        .collect()
}

pub(super) fn note(connection: &Connection, name: &str) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM note WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

fn record(row: &Row<'_>) -> Result<(RecordId, Record)> {
    let ended: Option<i64> = row.get(3)?;
    let ended = match ended {
        Some(_) => Some((time(row, 3)?, word(row, 4, Cause::of_word)?)),
        None => None,
    };
    let origin = Origin {
        queue_id: row.get(6)?,
        sender: row.get(7)?,
        login: row.get(8)?,
        direction: word(row, 9, direction)?,
        recipients: row.get(10)?,
        domains: domains(row, 15)?,
    };
    let record = Record {
        created: time(row, 1)?,
        term: Term {
            expires: time(row, 2)?,
            ended,
        },
        origin,
        manifest: row.get(5)?,
        files: row.get(11)?,
        bytes: count(row, 12)?,
        downloads: count(row, 13)?,
        unlock: word(row, 14, Unlock::of_word)?,
    };
    Ok((RecordId(row.get(0)?), record))
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let package: Option<[u8; 16]> = row.get(2)?;
    let address: Option<String> = row.get(7)?;
    Ok(Entry {
        time: time(row, 0)?,
        action: word(row, 1, Action::of_word)?,
        package: package.map(RecordId),
        queue_id: row.get(3)?,
        sender: row.get(4)?,
        login: row.get(5)?,
        client: Client {
            actor: word(row, 6, Actor::of_word)?,
            address: address.and_then(|address| address.parse().ok()),
        },
        detail: row.get(8)?,
    })
}

fn domains(row: &Row<'_>, column: usize) -> Result<Domains> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    let seconds: i64 = row.get(column)?;
    Timestamp::from_second(seconds)
        .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, seconds))
}

fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// One of a few words.
fn word<T>(row: &Row<'_>, column: usize, of: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    let text: String = row.get(column)?;
    of(&text).ok_or_else(|| {
        let unknown = format!("unknown word {text:?}").into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, unknown)
    })
}

fn direction(word: &str) -> Option<Direction> {
    match word {
        "outgoing" => Some(Direction::Outgoing),
        "incoming" => Some(Direction::Incoming),
        _ => None,
    }
}

/// SQLite's `LIMIT`: -1 is none.
fn rows_max(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1))
}

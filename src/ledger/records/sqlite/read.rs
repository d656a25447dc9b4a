//! The queries of the database.

use std::{collections::HashSet, net::IpAddr, ops::RangeInclusive};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    AuditQuery, BlockRow, Depositor, Elsewhere, Entry, Fingerprint, Query, Record, RecordFile,
    Term, conditions::Conditions,
};
use crate::{
    envelope::{Direction, Domains, Origin},
    ledger::{
        RecordId, Unlock,
        audit::{Action, Actor, Requester},
        custody::{Cause, Hold, PackageState},
    },
};

type Result<T> = rusqlite::Result<T>;

const HOUR_SECONDS: i64 = 3600;

/// The columns that [`record`] reads.
macro_rules! record_columns {
    () => {
        "id, created, expires, ended, cause, manifest, queue_id, sender, login, direction,
         recipients, files, bytes, downloads, unlock, domains, client, uploader, verified, message_id,
         kept_until, locators,
         (SELECT created FROM held WHERE package = id), (SELECT reason FROM held WHERE package = id)"
    };
}

/// The columns that [`entry`] reads.
macro_rules! entry_columns {
    () => {
        "time, action, package, queue_id, sender, login, actor, address, detail"
    };
}
pub(super) use entry_columns;

pub(super) fn find(connection: &Connection, id: RecordId) -> Result<Record> {
    let sql = concat!("SELECT ", record_columns!(), " FROM package WHERE id = ?1");
    connection
        .prepare_cached(sql)?
        .query_row([id.0], |row| Ok(record(row)?.1))
}

pub(super) fn list(connection: &Connection, query: &Query) -> Result<Vec<(RecordId, Record)>> {
    let conditions = conditions(query);
    let sql = format!(
        concat!(
            "SELECT ",
            record_columns!(),
            " FROM package{} ORDER BY created DESC, id LIMIT {}"
        ),
        conditions.sql(),
        rows_max(query.limit)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(conditions.values(), record)?;
    rows.collect()
}

fn conditions(query: &Query) -> Conditions {
    let is_domain = |sender: &&String| sender.starts_with('@');
    let sender = query.sender.as_ref();
    let prefix = query.id_prefix.as_ref();
    let text = |text: Option<&String>| text.cloned();

    let conditions = Conditions::default()
        .and(
            "sender = ? COLLATE NOCASE",
            text(sender.filter(|s| !is_domain(s))),
        )
        .and(
            "substr(sender, -length(?)) = ? COLLATE NOCASE",
            text(sender.filter(is_domain)),
        )
        .and("login = ? COLLATE NOCASE", text(query.login.as_ref()))
        .and("uploader = ? COLLATE NOCASE", text(query.uploader.as_ref()))
        .and("created >= ?", query.since.map(Timestamp::as_second))
        .and("created < ?", query.until.map(Timestamp::as_second))
        .and("queue_id = ?", text(query.queue_id.as_ref()))
        .and("id >= ?", prefix.map(|digits| beginning(digits, '0')))
        .and("id <= ?", prefix.map(|digits| beginning(digits, 'f')))
        .and(
            "id IN (SELECT package FROM file WHERE fingerprint = ?)",
            query.fingerprint.map(Vec::from),
        );

    let conditions = match query.after {
        Some((created, id)) => behind(conditions, created.as_second(), id),
        None => conditions,
    };

    match query.state {
        Some((state, now)) => in_state(conditions, state, now),
        None => conditions,
    }
}

/// Adds the condition that packages stand behind this one in the order of [`list`].
fn behind(conditions: Conditions, created: i64, id: RecordId) -> Conditions {
    let or_later_id = format!("(created < {created} OR id > ?)");
    conditions
        .and("created <= ?", Some(created))
        .and(&or_later_id, Some(id.0.to_vec()))
}

/// Adds the conditions of a state. The `+` sign keeps the database from taking the index of states: half of
/// all packages are in one.
fn in_state(conditions: Conditions, state: PackageState, now: Timestamp) -> Conditions {
    let now = Some(now.as_second());
    let conditions = match state {
        PackageState::Held => conditions.always("id IN (SELECT package FROM held)"),
        _ => conditions.always("id NOT IN (SELECT package FROM held)"),
    };
    match state {
        PackageState::Held => conditions,
        PackageState::Destroyed => conditions.always("+state = 'destroyed'"),
        PackageState::Revoked => conditions.always("+state = 'live' AND cause = 'revoked'"),
        PackageState::Blocked => conditions.always("+state = 'live' AND cause = 'blocked'"),
        PackageState::Expired => {
            conditions.and("+state = 'live' AND cause IS NULL AND expires <= ?", now)
        }
        PackageState::Live => {
            conditions.and("+state = 'live' AND cause IS NULL AND expires > ?", now)
        }
    }
}

/// Returns the first or the last id that begins with these digits: the rest is filled up with `fill`. For a
/// text that is no such digits, `None`: in SQL that is `NULL`, which no id is before, after or equal to.
fn beginning(digits: &str, fill: char) -> Option<Vec<u8>> {
    let digits = digits.to_ascii_lowercase();
    let missing = (2 * size_of::<RecordId>()).checked_sub(digits.len())?;
    let digits = digits + &fill.to_string().repeat(missing);
    HEXLOWER.decode(digits.as_bytes()).ok()
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

/// Lists packages of a state that ended at `now` or before, longest ago first.
pub(super) fn oldest(
    connection: &Connection,
    state: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(RecordId, Timestamp)>> {
    let mut query = connection.prepare_cached(
        "SELECT id, coalesce(ended, expires) FROM package
         WHERE state = ?1 AND coalesce(ended, expires) <= ?2
         AND id NOT IN (SELECT package FROM held)
         ORDER BY coalesce(ended, expires) LIMIT ?3",
    )?;
    let rows = query.query_map(
        params![state, now.as_second(), rows_max(Some(limit))],
        |row| Ok((RecordId(row.get(0)?), time(row, 1)?)),
    )?;
    rows.collect()
}

/// Lists doomed packages, drawn by lot, so that those whose blobs cannot be removed do not stand before the
/// others forever.
pub(super) fn doomed(connection: &Connection, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>> {
    let mut query =
        connection.prepare_cached("SELECT package FROM doomed ORDER BY random() LIMIT ?1")?;
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

pub(super) fn needed(connection: &Connection, slice: u8) -> Result<HashSet<RecordId>> {
    let (mut first, mut last) = ([0; 16], [0xff; 16]);
    (first[0], last[0]) = (slice, slice);
    let mut query = connection
        .prepare_cached("SELECT id FROM package WHERE id BETWEEN ?1 AND ?2 AND +state = 'live'")?;
    query
        .query_map([first, last], |row| Ok(RecordId(row.get(0)?)))?
        .collect()
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
    uploader: Option<&str>,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let (first, last) = seconds(created);
    let cost = |row: &Row<'_>| count(row, 0);

    match by {
        Depositor::Login(name) => connection
            .prepare_cached(
                "SELECT coalesce(sum(cost), 0) FROM package
                 WHERE login = ?1 COLLATE NOCASE AND created BETWEEN ?2 AND ?3 AND uploader IS ?4",
            )?
            .query_row(params![name, first, last, uploader], cost),
        Depositor::Sender(name, direction) => connection
            .prepare_cached(
                "SELECT coalesce(sum(cost), 0) FROM package
                 WHERE sender = ?1 COLLATE NOCASE AND created BETWEEN ?2 AND ?3 AND uploader IS ?4
                       AND login IS NULL AND (?5 IS NULL OR direction = ?5)",
            )?
            .query_row(
                params![
                    name,
                    first,
                    last,
                    uploader,
                    direction.map(Direction::as_str)
                ],
                cost,
            ),
    }
}

pub(super) fn incoming(
    connection: &Connection,
    uploader: Option<&str>,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let sql = "SELECT max(coalesce(sum(cost), 0), 0) FROM incoming_hour
               WHERE uploader = ?1 AND hour BETWEEN ?2 AND ?3";
    let (first, last) = seconds(created);
    let (first, last) = (
        first.div_euclid(HOUR_SECONDS),
        last.div_euclid(HOUR_SECONDS),
    );
    connection
        .prepare_cached(sql)?
        .query_row(params![uploader.unwrap_or_default(), first, last], |row| {
            count(row, 0)
        })
}

pub(super) fn of_network(
    connection: &Connection,
    network: &Fingerprint,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let sql = "SELECT coalesce(sum(cost), 0) FROM client_network
               WHERE network = ?1 AND created BETWEEN ?2 AND ?3";
    let (first, last) = seconds(created);
    connection
        .prepare_cached(sql)?
        .query_row(params![network, first, last], |row| count(row, 0))
}

fn seconds(times: &RangeInclusive<Timestamp>) -> (i64, i64) {
    (times.start().as_second(), times.end().as_second())
}

pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> Result<Vec<Entry>> {
    let conditions = Conditions::default()
        .and("package = ?", query.package.map(|id| id.0.to_vec()))
        .and("time >= ?", query.since.map(Timestamp::as_second));
    let sql = format!(
        concat!("SELECT ", entry_columns!(), " FROM audit{} ORDER BY number"),
        conditions.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(conditions.values(), |row| entry(row, 0))?;
    rows.collect()
}

/// Reads a note that is an amount of bytes.
pub(super) fn amount(connection: &Connection, name: &str) -> Result<u64> {
    Ok(note(connection, name)?.unwrap_or(0).max(0) as u64)
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
        direction: word(row, 9, Direction::of_word)?,
        recipients: row.get(10)?,
        domains: domains(row, 15)?,
        client: address(row, 16)?,
        uploader: row.get(17)?,
        verified: row.get(18)?,
        message_id: row.get(19)?,
    };

    let held: Option<i64> = row.get(22)?;
    let held = match held {
        Some(_) => Some(Hold {
            since: time(row, 22)?,
            reason: row.get(23)?,
        }),
        None => None,
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
        held,
        elsewhere: elsewhere(row)?,
    };
    Ok((RecordId(row.get(0)?), record))
}

fn elsewhere(row: &Row<'_>) -> Result<Option<Elsewhere>> {
    let kept_until: Option<i64> = row.get(20)?;
    if kept_until.is_none() {
        return Ok(None);
    }
    let locators: Option<Vec<u8>> = row.get(21)?;
    Ok(Some(Elsewhere {
        kept_until: time(row, 20)?,
        locators: locators.unwrap_or_default(),
    }))
}

/// Reads an entry from the columns of [`entry_columns`], the first of which has this index.
pub(super) fn entry(row: &Row<'_>, first: usize) -> Result<Entry> {
    let package: Option<[u8; 16]> = row.get(first + 2)?;
    Ok(Entry {
        time: time(row, first)?,
        action: word(row, first + 1, Action::of_word)?,
        package: package.map(RecordId),
        queue_id: row.get(first + 3)?,
        sender: row.get(first + 4)?,
        login: row.get(first + 5)?,
        client: Requester {
            actor: word(row, first + 6, Actor::of_word)?,
            address: address(row, first + 7)?,
        },
        detail: row.get(first + 8)?,
    })
}

fn domains(row: &Row<'_>, column: usize) -> Result<Domains> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    })
}

fn address(row: &Row<'_>, column: usize) -> Result<Option<IpAddr>> {
    let address: Option<String> = row.get(column)?;
    Ok(address.and_then(|address| address.parse().ok()))
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

/// Reads a column that holds one of a few words.
fn word<T>(row: &Row<'_>, column: usize, of: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    let text: String = row.get(column)?;
    of(&text).ok_or_else(|| {
        let unknown = format!("unknown word {text:?}").into();
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, unknown)
    })
}

/// Returns the number for SQLite's `LIMIT`: -1 is none.
fn rows_max(limit: Option<usize>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1))
}

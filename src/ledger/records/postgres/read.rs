//! The queries of the database.

use std::{collections::HashSet, net::IpAddr, ops::RangeInclusive};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    BlockRow, Depositor, Elsewhere, Fingerprint, Query, Record, RecordFile, Term,
    conditions::Conditions,
    connection::{Connection, Values},
    fault::{Failure, Result},
    rows_max,
};
use crate::{
    envelope::{Direction, Origin},
    ledger::{
        RecordId, Unlock,
        custody::{Cause, Hold, PackageState},
    },
};

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

pub(super) fn find(connection: &Connection, id: RecordId) -> Result<Option<Record>> {
    let sql = concat!("SELECT ", record_columns!(), " FROM package WHERE id = $1");
    connection.first(sql, &[&&id.0[..]], |row| Ok(record(row)?.1))
}

pub(super) fn list(connection: &Connection, query: &Query) -> Result<Vec<(RecordId, Record)>> {
    let conditions = conditions(query);
    let limit = query
        .limit
        .map_or("ALL".to_owned(), |n| rows_max(n).to_string());
    let sql = format!(
        concat!(
            "SELECT ",
            record_columns!(),
            " FROM package{} ORDER BY package.created DESC, id LIMIT {}"
        ),
        conditions.sql(),
        limit
    );
    connection.query(&sql, &conditions.values(), record)
}

fn conditions(query: &Query) -> Conditions {
    let is_domain = |sender: &&String| sender.starts_with('@');
    let sender = query.sender.as_ref();
    let prefix = query.id_prefix.as_ref();
    let lower = |text: Option<&String>| text.map(|text| super::text(text).to_ascii_lowercase());

    let conditions = Conditions::default()
        .and("lower(sender) = ?", lower(sender.filter(|s| !is_domain(s))))
        .and(
            "right(lower(sender), length(?)) = ?",
            lower(sender.filter(is_domain)),
        )
        .and("lower(login) = ?", lower(query.login.as_ref()))
        .and("lower(uploader) = ?", lower(query.uploader.as_ref()))
        .and("created >= ?", query.since.map(Timestamp::as_second))
        .and("created < ?", query.until.map(Timestamp::as_second))
        .and("queue_id = ?", query.queue_id.as_deref().map(super::text))
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

fn in_state(conditions: Conditions, state: PackageState, now: Timestamp) -> Conditions {
    let now = Some(now.as_second());
    let conditions = match state {
        PackageState::Held => conditions.always("id IN (SELECT package FROM held)"),
        _ => conditions.always("NOT EXISTS (SELECT FROM held WHERE package = id)"),
    };
    match state {
        PackageState::Held => conditions,
        PackageState::Destroyed => conditions.always("state = 'destroyed'"),
        PackageState::Revoked => conditions.always("state = 'live' AND cause = 'revoked'"),
        PackageState::Blocked => conditions.always("state = 'live' AND cause = 'blocked'"),
        PackageState::Expired => {
            conditions.and("state = 'live' AND cause IS NULL AND expires <= ?", now)
        }
        PackageState::Live => {
            conditions.and("state = 'live' AND cause IS NULL AND expires > ?", now)
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
    let sql = "SELECT number, size, fingerprint, downloads FROM file WHERE package = $1
               ORDER BY position";
    connection.query(sql, &[&&id.0[..]], |row| {
        let fingerprint: Option<&[u8]> = row.try_get(2)?;
        Ok(RecordFile {
            number: number(row, 0)?,
            size: count(row, 1)?,
            fingerprint: fingerprint.map(bytes).transpose()?,
            downloads: count(row, 3)?,
        })
    })
}

/// Lists packages of a state that ended at `now` or before, longest ago first.
pub(super) fn oldest(
    connection: &Connection,
    state: &str,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(RecordId, Timestamp)>> {
    let sql = "SELECT id, coalesce(ended, expires) FROM package
         WHERE state = $1 AND coalesce(ended, expires) <= $2
         AND NOT EXISTS (SELECT FROM held WHERE package = id)
         ORDER BY coalesce(ended, expires) LIMIT $3";
    connection.query(sql, &[&state, &now.as_second(), &rows_max(limit)], |row| {
        Ok((id(row, 0)?, time(row.try_get(1)?)?))
    })
}

/// Returns the numbers of the files of a package, in order.
pub(super) fn numbers(connection: &Connection, id: RecordId) -> Result<Vec<u32>> {
    let sql = "SELECT number FROM file WHERE package = $1 ORDER BY position";
    connection.query(sql, &[&&id.0[..]], |row| number(row, 0))
}

pub(super) fn is_needed(connection: &Connection, id: RecordId) -> Result<bool> {
    let sql = "SELECT 1 FROM package WHERE id = $1 AND state = 'live'";
    connection.exists(sql, &[&&id.0[..]])
}

pub(super) fn needed(connection: &Connection, slice: u8) -> Result<HashSet<RecordId>> {
    let (mut first, mut last) = ([0; 16], [0xff; 16]);
    (first[0], last[0]) = (slice, slice);
    let sql = "SELECT id FROM package WHERE id BETWEEN $1 AND $2 AND state = 'live'";
    let ids = connection.query(sql, &[&&first[..], &&last[..]], |row| id(row, 0))?;
    Ok(ids.into_iter().collect())
}

pub(super) fn is_blocked(connection: &Connection, fingerprints: &[Fingerprint]) -> Result<bool> {
    let fingerprints: Vec<&[u8]> = fingerprints.iter().map(|print| &print[..]).collect();
    let sql = "SELECT 1 FROM block WHERE fingerprint = ANY ($1) LIMIT 1";
    connection.exists(sql, &[&fingerprints])
}

pub(super) fn blocks(connection: &Connection) -> Result<Vec<BlockRow>> {
    let sql = "SELECT fingerprint, sha256, created, reason FROM block ORDER BY created";
    connection.query(sql, &[], |row| {
        Ok(BlockRow {
            fingerprint: bytes(row.try_get(0)?)?,
            sha256: bytes(row.try_get(1)?)?,
            created: time(row.try_get(2)?)?,
            reason: row.try_get(3)?,
        })
    })
}

pub(super) fn deposited(
    connection: &Connection,
    by: Depositor<'_>,
    uploader: Option<&str>,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let (first, last) = seconds(created);
    let (Depositor::Login(name) | Depositor::Sender(name, _)) = by;
    let (name, uploader) = (
        super::text(name).to_ascii_lowercase(),
        uploader.map(super::text),
    );

    match by {
        Depositor::Login(_) => sum(
            connection,
            "SELECT coalesce(sum(cost), 0)::bigint FROM package
             WHERE lower(login) = $1 AND created BETWEEN $2 AND $3
                   AND uploader IS NOT DISTINCT FROM $4",
            &[&name, &first, &last, &uploader],
        ),
        Depositor::Sender(_, direction) => sum(
            connection,
            "SELECT coalesce(sum(cost), 0)::bigint FROM package
             WHERE lower(sender) = $1 AND created BETWEEN $2 AND $3
                   AND uploader IS NOT DISTINCT FROM $4
                   AND login IS NULL AND ($5::text IS NULL OR direction = $5)",
            &[
                &name,
                &first,
                &last,
                &uploader,
                &direction.map(Direction::as_str),
            ],
        ),
    }
}

pub(super) fn incoming(
    connection: &Connection,
    uploader: Option<&str>,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let (first, last) = seconds(created);
    let (first, last) = (
        first.div_euclid(HOUR_SECONDS),
        last.div_euclid(HOUR_SECONDS),
    );
    let sql = "SELECT greatest(coalesce(sum(cost), 0), 0)::bigint FROM incoming_hour
               WHERE uploader = $1 AND hour BETWEEN $2 AND $3";
    let uploader = super::text(uploader.unwrap_or_default());
    sum(connection, sql, &[&uploader, &first, &last])
}

pub(super) fn of_network(
    connection: &Connection,
    network: &Fingerprint,
    created: &RangeInclusive<Timestamp>,
) -> Result<u64> {
    let sql = "SELECT coalesce(sum(cost), 0)::bigint FROM client_network
               WHERE network = $1 AND created BETWEEN $2 AND $3";
    let (first, last) = seconds(created);
    sum(connection, sql, &[&&network[..], &first, &last])
}

fn sum(connection: &Connection, sql: &str, values: Values<'_>) -> Result<u64> {
    Ok(connection
        .first(sql, values, |row| count(row, 0))?
        .unwrap_or(0))
}

fn seconds(times: &RangeInclusive<Timestamp>) -> (i64, i64) {
    (times.start().as_second(), times.end().as_second())
}

/// Reads a note that is an amount of bytes.
pub(super) fn amount(connection: &Connection, name: &str) -> Result<u64> {
    Ok(note(connection, name)?.unwrap_or(0).max(0) as u64)
}

pub(super) fn note(connection: &Connection, name: &str) -> Result<Option<i64>> {
    let sql = "SELECT value FROM note WHERE name = $1";
    connection.first(sql, &[&name], |row| Ok(row.try_get(0)?))
}

fn record(row: &Row) -> Result<(RecordId, Record)> {
    let ended: Option<i64> = row.try_get(3)?;
    let ended = match ended {
        Some(ended) => Some((time(ended)?, word(row.try_get(4)?, Cause::of_word)?)),
        None => None,
    };

    let domains: &str = row.try_get(15)?;
    let wrong = |e: serde_json::Error| Failure::Damaged(format!("domains: {e}"));
    let origin = Origin {
        queue_id: row.try_get(6)?,
        sender: row.try_get(7)?,
        login: row.try_get(8)?,
        direction: word(row.try_get(9)?, Direction::of_word)?,
        recipients: number(row, 10)?,
        domains: serde_json::from_str(domains).map_err(wrong)?,
        client: address(row.try_get(16)?),
        uploader: row.try_get(17)?,
        verified: row.try_get(18)?,
        message_id: row.try_get(19)?,
    };

    let kept_until: Option<i64> = row.try_get(20)?;
    let elsewhere = match kept_until {
        Some(kept_until) => Some(Elsewhere {
            kept_until: time(kept_until)?,
            locators: row.try_get::<_, Option<_>>(21)?.unwrap_or_default(),
        }),
        None => None,
    };

    let held: Option<i64> = row.try_get(22)?;
    let held = match held {
        Some(since) => Some(Hold {
            since: time(since)?,
            reason: row.try_get(23)?,
        }),
        None => None,
    };

    let record = Record {
        created: time(row.try_get(1)?)?,
        term: Term {
            expires: time(row.try_get(2)?)?,
            ended,
        },
        origin,
        manifest: row.try_get(5)?,
        files: number(row, 11)?,
        bytes: count(row, 12)?,
        downloads: count(row, 13)?,
        unlock: word(row.try_get(14)?, Unlock::of_word)?,
        held,
        elsewhere,
    };
    Ok((id(row, 0)?, record))
}

pub(super) fn id(row: &Row, column: usize) -> Result<RecordId> {
    Ok(RecordId(bytes(row.try_get(column)?)?))
}

pub(super) fn optional_id(column: Option<&[u8]>) -> Result<Option<RecordId>> {
    column.map(|id| Ok(RecordId(bytes(id)?))).transpose()
}

/// Reads a digest or an id.
pub(super) fn bytes<const N: usize>(column: &[u8]) -> Result<[u8; N]> {
    let wrong = |_| Failure::Damaged(format!("{} bytes instead of {N}", column.len()));
    column.try_into().map_err(wrong)
}

pub(super) fn address(column: Option<&str>) -> Option<IpAddr> {
    column.and_then(|address| address.parse().ok())
}

pub(super) fn time(seconds: i64) -> Result<Timestamp> {
    let wrong = |_| Failure::Damaged(format!("{seconds} is no time"));
    Timestamp::from_second(seconds).map_err(wrong)
}

fn count(row: &Row, column: usize) -> Result<u64> {
    let value: i64 = row.try_get(column)?;
    let wrong = |_| Failure::Damaged(format!("{value} is no count"));
    u64::try_from(value).map_err(wrong)
}

fn number(row: &Row, column: usize) -> Result<u32> {
    let value = count(row, column)?;
    let wrong = |_| Failure::Damaged(format!("{value} is no number of a file"));
    u32::try_from(value).map_err(wrong)
}

/// Reads a column that holds one of a few words.
pub(super) fn word<T>(text: &str, of: impl FnOnce(&str) -> Option<T>) -> Result<T> {
    of(text).ok_or_else(|| Failure::Damaged(format!("unknown word {text:?}")))
}

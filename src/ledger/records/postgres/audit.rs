//! The audit log in PostgreSQL, a chain of digests: entries are added, verified, and forgotten from its
//! beginning.
//!
//! Whoever adds an entry has the lock of writers: no two entries follow the same one.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{
    AuditQuery, ChainHead, Entry,
    conditions::Conditions,
    connection::{Connection, Values},
    fault::{Failure, Result},
    read::{address, bytes, optional_id, time, word},
    rows_max, text,
};
use crate::ledger::{
    RecordId,
    audit::{Action, Actor, Chained, Requester, Verification, Verifier},
};

/// Name of the place that the first entry of the chain follows.
const ANCHOR: &str = "anchor";
/// Name of the place of the last entry of the chain.
pub(super) const HEAD: &str = "head";

/// Number of entries that are verified at once.
const PAGE: i64 = 1000;

/// The columns that [`entry`] reads, behind number and digest.
macro_rules! entry_columns {
    () => {
        "number, digest, time, action, package, queue_id, sender, login, actor, address, detail"
    };
}

/// Adds entries behind the head of the chain.
pub(super) fn append(connection: &Connection, entries: &[&Entry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let mut head = end_of_chain(connection, HEAD)?;
    for entry in entries {
        head = append_behind(connection, &head, entry)?;
    }
    set_end_of_chain(connection, HEAD, &head)
}

fn append_behind(connection: &Connection, head: &ChainHead, entry: &Entry) -> Result<ChainHead> {
    let (number, time) = (head.number + 1, entry.time.as_second());
    let (action, actor) = (entry.action.word(), entry.client.actor.word());
    let package = entry.package.as_ref().map(|id| &id.0[..]);
    let (queue_id, sender) = (text(&entry.queue_id), text(&entry.sender));
    let (login, detail) = (entry.login.as_deref().map(text), text(&entry.detail));
    let address = entry.client.address.map(|address| address.to_string());

    let chained = Chained {
        number,
        digest: None,
        time,
        texts: [
            Some(action.as_bytes()),
            package,
            Some(queue_id.as_bytes()),
            Some(sender.as_bytes()),
            login.as_deref().map(str::as_bytes),
            Some(actor.as_bytes()),
            address.as_deref().map(str::as_bytes),
            Some(detail.as_bytes()),
        ],
    };
    let digest = chained.digest_behind(&head.digest);

    let sql = concat!(
        "INSERT INTO audit (",
        entry_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    );
    connection.execute(
        sql,
        &[
            &number,
            &&digest[..],
            &time,
            &action,
            &package,
            &queue_id,
            &sender,
            &login,
            &actor,
            &address,
            &detail,
        ],
    )?;
    Ok(ChainHead { number, digest })
}

pub(super) fn end_of_chain(connection: &Connection, place: &str) -> Result<ChainHead> {
    let sql = "SELECT number, digest FROM audit_chain WHERE place = $1";
    let end = connection.first(sql, &[&place], end)?;
    end.ok_or_else(|| Failure::Damaged(format!("the {place} of the audit log is missing")))
}

fn set_end_of_chain(connection: &Connection, place: &str, end: &ChainHead) -> Result<()> {
    let sql = "UPDATE audit_chain SET number = $2, digest = $3 WHERE place = $1";
    let values: Values<'_> = &[&place, &end.number, &&end.digest[..]];
    connection.execute(sql, values).map(drop)
}

pub(super) fn chained(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<Vec<(ChainHead, Entry)>> {
    let sql = concat!(
        "SELECT ",
        entry_columns!(),
        " FROM audit WHERE number > $1 ORDER BY number LIMIT $2",
    );
    connection.query(sql, &[&after, &rows_max(limit)], |row| {
        Ok((end(row)?, entry(row)?))
    })
}

pub(super) fn entries(connection: &Connection, query: &AuditQuery) -> Result<Vec<Entry>> {
    let conditions = Conditions::default()
        .and("package = ?", query.package.map(|id| id.0.to_vec()))
        .and("time >= ?", query.since.map(Timestamp::as_second));
    let sql = format!(
        concat!("SELECT ", entry_columns!(), " FROM audit{} ORDER BY number"),
        conditions.sql()
    );
    connection.query(&sql, &conditions.values(), entry)
}

/// Verifies the chain as one moment shows it, so that its ends are those of its entries.
pub(super) fn verify(connection: &Connection, known: Option<ChainHead>) -> Result<Verification> {
    connection.batch("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let (anchor, head) = (
        end_of_chain(connection, ANCHOR)?,
        end_of_chain(connection, HEAD)?,
    );
    let mut verifier = Verifier::new(anchor, head, known);

    let sql = concat!(
        "SELECT ",
        entry_columns!(),
        " FROM audit WHERE number > $1 ORDER BY number LIMIT $2",
    );
    let mut last = i64::MIN;
    while let Some(number) = verify_page(connection, sql, last, &mut verifier)? {
        last = number;
    }
    connection.batch("COMMIT")?;
    Ok(verifier.end())
}

/// Verifies the entries behind one. Returns the number of the last of them.
fn verify_page(
    connection: &Connection,
    sql: &str,
    after: i64,
    verifier: &mut Verifier,
) -> Result<Option<i64>> {
    let numbers = connection.query(sql, &[&after, &PAGE], |row| {
        let entry = chained_row(row)?;
        verifier.add(&entry);
        Ok(entry.number)
    })?;
    Ok(numbers.last().copied())
}

/// Forgets old entries at the beginning of the chain.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<u64> {
    let anchor = end_of_chain(connection, ANCHOR)?;
    let Some(last) = last_forgettable(connection, anchor.number, before, now, limit)? else {
        return Ok(0);
    };
    set_end_of_chain(connection, ANCHOR, &last)?;
    let sql = "DELETE FROM audit WHERE number <= $1";
    connection.execute(sql, &[&last.number])
}

/// Finds the last of at most `limit` entries at the beginning of the chain that are old, or stand before an
/// old one with a time that a wrong clock gave them.
fn last_forgettable(
    connection: &Connection,
    anchor: i64,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<Option<ChainHead>> {
    let (before, now) = (before.as_second(), now.as_second());
    let sql = "SELECT number FROM audit WHERE number > $1 AND time >= $2 AND time <= $3
               ORDER BY number LIMIT 1";
    let kept = connection.first(sql, &[&anchor, &before, &now], |row| Ok(row.try_get(0)?))?;
    let sql = "SELECT number, digest FROM
                   (SELECT number, digest FROM audit WHERE number > $1 AND number < $2 AND time < $3
                    ORDER BY number LIMIT $4) AS old
               ORDER BY number DESC LIMIT 1";
    let kept: i64 = kept.unwrap_or(i64::MAX);
    connection.first(sql, &[&anchor, &kept, &before, &rows_max(limit)], end)
}

/// Reads a place in the chain from the first two columns.
fn end(row: &Row) -> Result<ChainHead> {
    Ok(ChainHead {
        number: row.try_get(0)?,
        digest: bytes(row.try_get(1)?)?,
    })
}

fn entry(row: &Row) -> Result<Entry> {
    let package: Option<RecordId> = optional_id(row.try_get(4)?)?;
    Ok(Entry {
        time: time(row.try_get(2)?)?,
        action: word(row.try_get(3)?, Action::of_word)?,
        package,
        queue_id: row.try_get(5)?,
        sender: row.try_get(6)?,
        login: row.try_get(7)?,
        client: Requester {
            actor: word(row.try_get(8)?, Actor::of_word)?,
            address: address(row.try_get(9)?),
        },
        detail: row.try_get(10)?,
    })
}

/// Reads an entry as it is digested.
fn chained_row(row: &Row) -> Result<Chained<'_>> {
    let text = |column| -> Result<Option<&[u8]>> {
        let text: Option<&str> = row.try_get(column)?;
        Ok(text.map(str::as_bytes))
    };
    Ok(Chained {
        number: row.try_get(0)?,
        digest: Some(bytes(row.try_get(1)?)?),
        time: row.try_get(2)?,
        texts: [
            text(3)?,
            row.try_get(4)?,
            text(5)?,
            text(6)?,
            text(7)?,
            text(8)?,
            text(9)?,
            text(10)?,
        ],
    })
}

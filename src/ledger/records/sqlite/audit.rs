//! The audit log in SQLite, a chain of digests: entries are added, verified, and forgotten from its
//! beginning.
//!
//! Whoever adds an entry has the database to himself (an immediate transaction), in whatever process: no two
//! entries follow the same one.

use jiff::Timestamp;
use rusqlite::{Connection, Result, Row, params, types::ValueRef};

use super::{
    ChainHead, Entry,
    read::{self, entry_columns},
    writer::Write,
};
use crate::ledger::audit::{Chained, Verification, Verifier};

/// Name of the place that the first entry of the chain follows.
const ANCHOR: &str = "anchor";
/// Name of the place of the last entry of the chain.
pub(super) const HEAD: &str = "head";

pub(super) fn append(transaction: &Write<'_>, entry: &Entry) -> Result<()> {
    let mut insert = transaction.prepare_cached(concat!(
        "INSERT INTO audit (",
        entry_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    ))?;
    insert.execute(params![
        entry.time.as_second(),
        entry.action.word(),
        entry.package.map(|id| id.0),
        entry.queue_id,
        entry.sender,
        entry.login,
        entry.client.actor.word(),
        entry.client.address.map(|address| address.to_string()),
        entry.detail,
    ])?;
    extend(transaction)
}

/// Takes the entries behind the head of the chain into it: the one that was added, and before it those that
/// an earlier version of this program, which knows of no chain, added meanwhile.
fn extend(transaction: &Write<'_>) -> Result<()> {
    let mut head = end_of_chain(transaction, HEAD)?;
    let mut behind = transaction.prepare_cached(concat!(
        "SELECT number, digest, ",
        entry_columns!(),
        " FROM audit WHERE number > ?1 ORDER BY number",
    ))?;
    let mut link = transaction.prepare_cached("UPDATE audit SET digest = ?2 WHERE number = ?1")?;
    let mut rows = behind.query([head.number])?;
    while let Some(row) = rows.next()? {
        let entry = chained_row(row)?;
        head = ChainHead {
            number: entry.number,
            digest: entry.digest_behind(&head.digest),
        };
        link.execute(params![head.number, head.digest])?;
    }
    set_end_of_chain(transaction, HEAD, &head)
}

pub(super) fn end_of_chain(connection: &Connection, place: &str) -> Result<ChainHead> {
    connection
        .prepare_cached("SELECT number, digest FROM audit_chain WHERE place = ?1")?
        .query_row([place], |row| {
            Ok(ChainHead {
                number: row.get(0)?,
                digest: row.get(1)?,
            })
        })
}

fn set_end_of_chain(transaction: &Write<'_>, place: &str, end: &ChainHead) -> Result<()> {
    let sql = "UPDATE audit_chain SET number = ?2, digest = ?3 WHERE place = ?1";
    let mut set = transaction.prepare_cached(sql)?;
    set.execute(params![place, end.number, end.digest])
        .map(|_| ())
}

pub(super) fn chained(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<Vec<(ChainHead, Entry)>> {
    let mut query = connection.prepare_cached(concat!(
        "SELECT number, digest, ",
        entry_columns!(),
        " FROM audit WHERE number > ?1 AND digest IS NOT NULL ORDER BY number LIMIT ?2",
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map(params![after, limit], |row| {
        let place = ChainHead {
            number: row.get(0)?,
            digest: row.get(1)?,
        };
        Ok((place, read::entry(row, 2)?))
    })?;
    rows.collect()
}

/// Verifies the chain in one transaction, so that its ends are those of its entries.
pub(super) fn verify(connection: &Connection, known: Option<ChainHead>) -> Result<Verification> {
    let transaction = connection.unchecked_transaction()?;
    let (anchor, head) = (
        end_of_chain(&transaction, ANCHOR)?,
        end_of_chain(&transaction, HEAD)?,
    );
    let mut verifier = Verifier::new(anchor, head, known);
    let mut all = transaction.prepare_cached(concat!(
        "SELECT number, digest, ",
        entry_columns!(),
        " FROM audit ORDER BY number",
    ))?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        verifier.add(&chained_row(row)?);
    }
    Ok(verifier.end())
}

/// Forgets old entries from before the chain, then those at its beginning.
pub(super) fn forget(
    transaction: &Write<'_>,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<u64> {
    transaction.execute(
        "UPDATE note SET value = max(value, ?1) WHERE name = 'audit_begins'",
        [before.as_second()],
    )?;

    let anchor = end_of_chain(transaction, ANCHOR)?;
    let of_before = transaction.execute(
        "DELETE FROM audit WHERE number IN
         (SELECT number FROM audit WHERE number <= ?1 AND time < ?2 ORDER BY number LIMIT ?3)",
        params![
            anchor.number,
            before.as_second(),
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
    )?;

    let left = limit.saturating_sub(of_before);
    let Some(last) = last_forgettable(transaction, anchor.number, before, now, left)? else {
        return Ok(of_before as u64);
    };

    set_end_of_chain(transaction, ANCHOR, &last)?;
    let chained = transaction.execute(
        "DELETE FROM audit WHERE number > ?1 AND number <= ?2",
        [anchor.number, last.number],
    )?;
    Ok((of_before + chained) as u64)
}

/// Finds the last of at most `limit` entries at the beginning of the chain that are old, or stand before an
/// old one with a time that a wrong clock gave them.
fn last_forgettable(
    transaction: &Write<'_>,
    anchor: i64,
    before: Timestamp,
    now: Timestamp,
    limit: usize,
) -> Result<Option<ChainHead>> {
    let mut query = transaction.prepare_cached(
        "SELECT number, digest, time FROM audit WHERE number > ?1 AND digest IS NOT NULL
         ORDER BY number",
    )?;

    let (mut rows, mut last, mut old) = (query.query([anchor])?, None, 0);
    while let Some(row) = rows.next()? {
        let time: i64 = row.get(2)?;
        if old == limit || (before.as_second()..=now.as_second()).contains(&time) {
            break;
        }
        // Others are dated after now: they go with the old one that follows, if one does.
        if time < before.as_second() {
            old += 1;
            last = Some(ChainHead {
                number: row.get(0)?,
                digest: row.get(1)?,
            });
        }
    }
    Ok(last)
}

/// Reads an entry as it is digested, from its number, its digest, and the columns of an entry, byte by byte.
fn chained_row<'a>(row: &'a Row<'_>) -> Result<Chained<'a>> {
    let bytes = |column| {
        row.get_ref(column).map(|value| match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
            _ => None,
        })
    };
    let mut texts = [None; 8];
    for (column, text) in (3..).zip(&mut texts) {
        *text = bytes(column)?;
    }

    Ok(Chained {
        number: row.get(0)?,
        digest: row.get(1)?,
        time: row.get(2)?,
        texts,
    })
}

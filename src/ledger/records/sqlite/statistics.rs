//! Statistics of what was kept out of mailboxes, in rows that outlive the packages.

use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Statement, params, types::Type};

use super::{Record, writer::Write};
use crate::{
    envelope::Direction,
    ledger::statistics::{self, DOMAIN_MESSAGES_MIN, Month, Row, Sums},
};

type Result<T> = rusqlite::Result<T>;

/// Counts a package.
pub(super) fn add(transaction: &Write<'_>, record: &Record, files: u64, bytes: u64) -> Result<()> {
    let mut add = transaction.prepare_cached(
        "INSERT INTO statistics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT DO UPDATE SET
             messages = messages + excluded.messages, files = files + excluded.files,
             bytes = bytes + excluded.bytes, recipients = recipients + excluded.recipients,
             spared = min(spared, 9223372036854775807 - excluded.spared) + excluded.spared",
    )?;

    for row in statistics::rows_of(&record.origin, record.created, files, bytes) {
        execute(&mut add, &row)?;
    }
    Ok(())
}

/// Takes a package off the counts again.
pub(super) fn subtract(transaction: &Write<'_>, record: &Record) -> Result<()> {
    let mut subtract = transaction.prepare_cached(
        "UPDATE statistics SET
             messages = max(messages - ?4, 0), files = max(files - ?5, 0),
             bytes = max(bytes - ?6, 0), recipients = max(recipients - ?7, 0),
             spared = max(spared - ?8, 0)
         WHERE month = ?1 AND direction = ?2 AND domain = ?3",
    )?;

    let (files, bytes) = (record.files.into(), record.bytes);
    for row in statistics::rows_of(&record.origin, record.created, files, bytes) {
        execute(&mut subtract, &row)?;
    }

    transaction.execute("DELETE FROM statistics WHERE recipients = 0", [])?;
    Ok(())
}

/// Reads all rows of these months, both included.
pub(super) fn read(
    reader: &Connection,
    since: Option<Month>,
    until: Option<Month>,
) -> Result<Vec<Row>> {
    let mut rows = reader.prepare_cached(
        "SELECT month, direction, domain, messages, files, bytes, recipients, spared
         FROM statistics
         WHERE (?1 IS NULL OR month >= ?1) AND (?2 IS NULL OR month <= ?2)
         ORDER BY month, direction, domain",
    )?;
    let bounds = [since, until].map(|month| month.map(|month| month.to_string()));
    rows.query_map(params![bounds[0], bounds[1]], row)?
        .collect()
}

/// Returns true if a month before this one has a domain that must not be named.
pub(super) fn is_foldable(reader: &Connection, before: Month) -> Result<bool> {
    let mut foldable = reader.prepare_cached(
        "SELECT 1 FROM statistics WHERE month < ?1 AND domain <> '' AND messages < ?2 LIMIT 1",
    )?;
    let found = foldable.query_row(
        params![before.to_string(), DOMAIN_MESSAGES_MIN as i64],
        |_| Ok(()),
    );
    Ok(found.optional()?.is_some())
}

/// Adds the domains that must not be named to the others, in the months before this one.
pub(super) fn fold(transaction: &Write<'_>, before: Month) -> Result<()> {
    let bounds = params![before.to_string(), DOMAIN_MESSAGES_MIN as i64];
    transaction.execute(
        "INSERT INTO statistics
         SELECT month, direction, '', sum(messages), sum(files), sum(bytes), sum(recipients), sum(spared)
         FROM statistics WHERE month < ?1 AND domain <> '' AND messages < ?2 GROUP BY 1, 2
         ON CONFLICT DO UPDATE SET
             messages = messages + excluded.messages, files = files + excluded.files,
             bytes = bytes + excluded.bytes, recipients = recipients + excluded.recipients,
             spared = spared + excluded.spared",
        bounds,
    )?;
    transaction.execute(
        "DELETE FROM statistics WHERE month < ?1 AND domain <> '' AND messages < ?2",
        bounds,
    )?;
    Ok(())
}

/// Runs a statement whose parameters are the columns of a row.
fn execute(statement: &mut Statement<'_>, row: &Row) -> Result<usize> {
    let Sums {
        messages,
        files,
        bytes,
        recipients,
        spared,
    } = row.sums;
    let sums = [messages, files, bytes, recipients, spared];
    let [messages, files, bytes, recipients, spared] =
        sums.map(|sum| i64::try_from(sum).unwrap_or(i64::MAX));

    statement.execute(params![
        row.month.to_string(),
        row.direction.as_str(),
        row.domain,
        messages,
        files,
        bytes,
        recipients,
        spared,
    ])
}

fn row(row: &SqlRow<'_>) -> Result<Row> {
    let month: String = row.get(0)?;
    let month = month.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
    })?;

    let sum = |column| row.get::<_, i64>(column).map(|sum| sum.max(0) as u64);
    Ok(Row {
        month,
        direction: Direction::of_word(row.get_ref(1)?.as_str()?).unwrap_or(Direction::Outgoing),
        domain: row.get(2)?,
        sums: Sums {
            messages: sum(3)?,
            files: sum(4)?,
            bytes: sum(5)?,
            recipients: sum(6)?,
            spared: sum(7)?,
        },
    })
}

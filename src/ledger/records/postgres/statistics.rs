//! Statistics of what was kept out of mailboxes, in rows that outlive the packages.

use tokio_postgres::Row as SqlRow;

use super::{
    Record,
    connection::{Connection, Values},
    fault::{Failure, Result},
    text,
};
use crate::{
    envelope::Direction,
    ledger::statistics::{self, DOMAIN_MESSAGES_MIN, Month, Row, Sums},
};

/// Counts a package.
pub(super) fn add(connection: &Connection, record: &Record, files: u64, bytes: u64) -> Result<()> {
    let sql = "INSERT INTO statistics VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (month, direction, domain) DO UPDATE SET
             messages = statistics.messages + excluded.messages, files = statistics.files + excluded.files,
             bytes = statistics.bytes + excluded.bytes,
             recipients = statistics.recipients + excluded.recipients,
             spared = least(statistics.spared, 9223372036854775807 - excluded.spared) + excluded.spared";
    statistics::rows_of(&record.origin, record.created, files, bytes)
        .iter()
        .try_for_each(|row| change(connection, sql, row))
}

/// Takes a package off the counts again.
pub(super) fn subtract(connection: &Connection, record: &Record) -> Result<()> {
    let (files, bytes) = (record.files.into(), record.bytes);
    let rows = statistics::rows_of(&record.origin, record.created, files, bytes);
    let sql = "UPDATE statistics SET
             messages = greatest(messages - $4, 0), files = greatest(files - $5, 0),
             bytes = greatest(bytes - $6, 0), recipients = greatest(recipients - $7, 0),
             spared = greatest(spared - $8, 0)
         WHERE month = $1 AND direction = $2 AND domain = $3";
    rows.iter()
        .try_for_each(|row| change(connection, sql, row))?;

    let sql = "DELETE FROM statistics
               WHERE month = $1 AND direction = $2 AND domain = $3 AND recipients = 0";
    rows.iter().try_for_each(|row| {
        let (month, domain) = (row.month.to_string(), text(&row.domain));
        let values: Values<'_> = &[&month, &row.direction.as_str(), &domain];
        connection.execute(sql, values).map(drop)
    })
}

fn change(connection: &Connection, sql: &str, row: &Row) -> Result<()> {
    let (month, direction) = (row.month.to_string(), row.direction.as_str());
    let domain = text(&row.domain);
    let [messages, files, bytes, recipients, spared] = values(&row.sums);
    connection
        .execute(
            sql,
            &[
                &month,
                &direction,
                &domain,
                &messages,
                &files,
                &bytes,
                &recipients,
                &spared,
            ],
        )
        .map(drop)
}

/// Reads all rows of these months, both included.
pub(super) fn read(
    connection: &Connection,
    since: Option<Month>,
    until: Option<Month>,
) -> Result<Vec<Row>> {
    // Months are texts of one form: none is before the empty one, or after the other.
    let month = |month: Option<Month>, none: &str| month.map_or(none.to_owned(), |m| m.to_string());
    let sql = "SELECT month, direction, domain, messages, files, bytes, recipients, spared
         FROM statistics WHERE month >= $1 AND month <= $2 ORDER BY month, direction, domain";
    connection.query(sql, &[&month(since, ""), &month(until, "~")], row)
}

/// Returns true if a month before this one has a domain that must not be named.
pub(super) fn is_foldable(connection: &Connection, before: Month) -> Result<bool> {
    let sql =
        "SELECT 1 FROM statistics WHERE month < $1 AND domain <> '' AND messages < $2 LIMIT 1";
    connection.exists(sql, &[&before.to_string(), &(DOMAIN_MESSAGES_MIN as i64)])
}

/// Adds the domains that must not be named to the others, in the months before this one.
pub(super) fn fold(connection: &Connection, before: Month) -> Result<()> {
    let (before, fewest) = (before.to_string(), DOMAIN_MESSAGES_MIN as i64);
    connection.execute(
        "INSERT INTO statistics
         SELECT month, direction, '', sum(messages)::bigint, sum(files)::bigint, sum(bytes)::bigint,
             sum(recipients)::bigint, least(sum(spared), 9223372036854775807)::bigint
         FROM statistics WHERE month < $1 AND domain <> '' AND messages < $2 GROUP BY 1, 2
         ON CONFLICT (month, direction, domain) DO UPDATE SET
             messages = statistics.messages + excluded.messages, files = statistics.files + excluded.files,
             bytes = statistics.bytes + excluded.bytes,
             recipients = statistics.recipients + excluded.recipients,
             spared = least(statistics.spared, 9223372036854775807 - excluded.spared) + excluded.spared",
        &[&before, &fewest],
    )?;
    let sql = "DELETE FROM statistics WHERE month < $1 AND domain <> '' AND messages < $2";
    connection.execute(sql, &[&before, &fewest]).map(drop)
}

fn values(sums: &Sums) -> [i64; 5] {
    let Sums {
        messages,
        files,
        bytes,
        recipients,
        spared,
    } = *sums;
    [messages, files, bytes, recipients, spared].map(|sum| i64::try_from(sum).unwrap_or(i64::MAX))
}

fn row(row: &SqlRow) -> Result<Row> {
    let month: &str = row.try_get(0)?;
    let wrong = |_| Failure::Damaged(format!("{month:?} is no month"));
    let sum = |column| -> Result<u64> { Ok(row.try_get::<_, i64>(column)?.max(0) as u64) };
    Ok(Row {
        month: month.parse().map_err(wrong)?,
        direction: Direction::of_word(row.try_get(1)?).unwrap_or(Direction::Outgoing),
        domain: row.try_get(2)?,
        sums: Sums {
            messages: sum(3)?,
            files: sum(4)?,
            bytes: sum(5)?,
            recipients: sum(6)?,
            spared: sum(7)?,
        },
    })
}

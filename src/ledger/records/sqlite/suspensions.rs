//! Suspended logins, and the packages that were ended with that, in SQLite.

use jiff::Timestamp;
use rusqlite::{Connection, Result, params};

use super::{RecordId, Suspension, writer::Write};

/// Suspends a login, and remembers the packages that this is to end. Returns false if it was suspended
/// before; the packages that it has got since, by another way, are then remembered, too.
pub(super) fn add(transaction: &Write<'_>, suspension: &Suspension) -> Result<bool> {
    let Suspension {
        login,
        created,
        reason,
    } = suspension;
    let added = transaction.execute(
        "INSERT INTO suspended (login, created, reason) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![login, created.as_second(), reason],
    )?;
    transaction.execute(
        "INSERT INTO suspended_package (package, login)
         SELECT id, ?1 FROM package
         WHERE login = ?1 COLLATE NOCASE AND state = 'live' AND cause IS NULL
         ON CONFLICT DO NOTHING",
        [login],
    )?;
    Ok(added > 0)
}

/// Lifts a suspension. Returns false if the login is not suspended.
pub(super) fn remove(transaction: &Write<'_>, login: &str) -> Result<bool> {
    transaction.execute("DELETE FROM suspended_package WHERE login = ?1", [login])?;
    let removed = transaction.execute("DELETE FROM suspended WHERE login = ?1", [login])?;
    Ok(removed > 0)
}

/// Gives a package an ending of its own, apart from that of its login.
pub(super) fn part(transaction: &Write<'_>, id: RecordId) -> Result<()> {
    let sql = "DELETE FROM suspended_package WHERE package = ?1";
    transaction.execute(sql, [id.0]).map(|_| ())
}

pub(super) fn is_suspended(connection: &Connection, login: &str) -> Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM suspended WHERE login = ?1")?
        .exists([login])
}

/// Lists the suspensions, oldest first.
pub(super) fn all(connection: &Connection) -> Result<Vec<Suspension>> {
    let sql = "SELECT login, created, reason FROM suspended ORDER BY created, login";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map([], |row| {
        let seconds: i64 = row.get(1)?;
        Ok(Suspension {
            login: row.get(0)?,
            created: Timestamp::from_second(seconds)
                .map_err(|_| rusqlite::Error::IntegralValueOutOfRange(1, seconds))?,
            reason: row.get(2)?,
        })
    })?;
    rows.collect()
}

pub(super) fn packages(connection: &Connection, login: &str) -> Result<Vec<RecordId>> {
    let sql = "SELECT package FROM suspended_package WHERE login = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map([login], |row| Ok(RecordId(row.get(0)?)))?;
    rows.collect()
}

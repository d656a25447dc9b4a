//! Suspended logins, and the packages that were ended with that, in PostgreSQL.

use super::{
    RecordId, Suspension,
    connection::Connection,
    fault::Result,
    read::{id, time},
    text,
};

/// Suspends a login, and remembers the packages that this is to end. Returns false if it was suspended
/// before; the packages that it has got since, by another way, are then remembered, too.
pub(super) fn add(connection: &Connection, suspension: &Suspension) -> Result<bool> {
    let login = text(&suspension.login);
    let (created, reason) = (suspension.created.as_second(), text(&suspension.reason));
    let added = connection.execute(
        "INSERT INTO suspended (login, created, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&login, &created, &reason],
    )?;
    connection.execute(
        "INSERT INTO suspended_package (package, login)
         SELECT id, $1 FROM package
         WHERE lower(login) = $2 AND state = 'live' AND cause IS NULL
         ON CONFLICT DO NOTHING",
        &[&login, &login.to_ascii_lowercase()],
    )?;
    Ok(added > 0)
}

/// Lifts a suspension. Returns false if the login is not suspended.
pub(super) fn remove(connection: &Connection, login: &str) -> Result<bool> {
    let login = login.to_ascii_lowercase();
    let packages = "DELETE FROM suspended_package WHERE lower(login) = $1";
    connection.execute(packages, &[&login])?;
    let removed = connection.execute("DELETE FROM suspended WHERE lower(login) = $1", &[&login])?;
    Ok(removed > 0)
}

/// Gives a package an ending of its own, apart from that of its login.
pub(super) fn part(connection: &Connection, id: RecordId) -> Result<()> {
    let sql = "DELETE FROM suspended_package WHERE package = $1";
    connection.execute(sql, &[&&id.0[..]]).map(drop)
}

pub(super) fn is_suspended(connection: &Connection, login: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM suspended WHERE lower(login) = $1";
    connection.exists(sql, &[&text(login).to_ascii_lowercase()])
}

/// Lists the suspensions, oldest first.
pub(super) fn all(connection: &Connection) -> Result<Vec<Suspension>> {
    let sql = "SELECT login, created, reason FROM suspended ORDER BY created, login";
    connection.query(sql, &[], |row| {
        Ok(Suspension {
            login: row.try_get(0)?,
            created: time(row.try_get(1)?)?,
            reason: row.try_get(2)?,
        })
    })
}

pub(super) fn packages(connection: &Connection, login: &str) -> Result<Vec<RecordId>> {
    let sql = "SELECT package FROM suspended_package WHERE lower(login) = $1";
    connection.query(sql, &[&login.to_ascii_lowercase()], |row| id(row, 0))
}

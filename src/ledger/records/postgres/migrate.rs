//! The steps from one schema to the next.

use super::{
    KNOWN, MIGRATIONS, Postgres,
    connection::Connection,
    fault::{self, Failure},
};
use crate::ledger::records::Result;

/// The number of the first schema.
const FIRST: i64 = KNOWN - MIGRATIONS.len() as i64 + 1;

/// Brings the schema up to date. Several hosts may try at once: all but one find it done.
pub(super) fn run(postgres: &Postgres) -> Result<()> {
    if is_done(postgres)? {
        return Ok(());
    }
    postgres.write_checked(|connection| {
        let migrate = || {
            connection.batch("CREATE TABLE IF NOT EXISTS schema (version bigint NOT NULL)")?;
            version(connection)
        };
        let found = migrate().map_err(|e| fault::failed("migrate", &postgres.url, e))?;
        let steps = due(postgres, found)?.join("\n");
        let record = format!("{steps}; DELETE FROM schema; INSERT INTO schema VALUES ({KNOWN})");
        let done = connection.batch(&record);
        done.map_err(|e| fault::failed("migrate", &postgres.url, e))
    })
}

/// Returns true if no step is due.
pub(super) fn is_done(postgres: &Postgres) -> Result<bool> {
    postgres.read(refuse_encoding)?;
    if postgres.read(arrival)?.is_some() {
        return Err(fault::moved(&postgres.url));
    }
    let found = postgres.read(version)?;
    Ok(due(postgres, found)?.is_empty())
}

/// Returns the number of the move that took all records out of the database; `None` if none did.
pub(super) fn arrival(connection: &Connection) -> fault::Result<Option<i64>> {
    if connection.exists("SELECT 1 WHERE to_regclass('moved') IS NULL", &[])? {
        return Ok(None);
    }
    connection.first("SELECT arrival FROM moved", &[], |row| Ok(row.try_get(0)?))
}

/// Returns the number of the schema; of a database without tables, that before the first.
fn version(connection: &Connection) -> fault::Result<i64> {
    let is_new = "SELECT 1 WHERE to_regclass('schema') IS NULL";
    if connection.exists(is_new, &[])? {
        return Ok(FIRST - 1);
    }
    let found = connection.first("SELECT version FROM schema", &[], |row| Ok(row.try_get(0)?))?;
    Ok(found.unwrap_or(FIRST - 1))
}

/// Returns the steps that have not been done.
fn due(postgres: &Postgres, found: i64) -> Result<&'static [&'static str]> {
    let done = usize::try_from(found - FIRST + 1).ok();
    done.and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| fault::too_new(&postgres.url, found, KNOWN))
}

/// Refuses a database that cannot hold every name.
fn refuse_encoding(connection: &Connection) -> fault::Result<()> {
    let read = |row: &tokio_postgres::Row| Ok(row.try_get::<_, String>(0)?);
    let encoding = connection.first("SELECT current_setting('server_encoding')", &[], read)?;
    match encoding.as_deref() {
        Some("UTF8") => Ok(()),
        other => Err(Failure::Unusable(format!(
            "its encoding is {}; make it with ENCODING 'UTF8'",
            other.unwrap_or_default()
        ))),
    }
}

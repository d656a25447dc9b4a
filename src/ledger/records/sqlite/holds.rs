//! Packages that are held by order, in SQLite.

use rusqlite::{Result, params};

use super::{Hold, RecordId, writer::Write};

/// Holds a package. Returns false if it was held, is destroyed, or is not there.
pub(super) fn add(transaction: &Write<'_>, id: RecordId, hold: &Hold) -> Result<bool> {
    let added = transaction.execute(
        "INSERT INTO held (package, created, reason)
         SELECT id, ?2, ?3 FROM package WHERE id = ?1 AND state = 'live' ON CONFLICT DO NOTHING",
        params![id.0, hold.since.as_second(), hold.reason],
    )?;
    Ok(added > 0)
}

/// Lets go of a package. Returns false if it was not held.
pub(super) fn remove(transaction: &Write<'_>, id: RecordId) -> Result<bool> {
    let removed = transaction.execute("DELETE FROM held WHERE package = ?1", [id.0])?;
    Ok(removed > 0)
}

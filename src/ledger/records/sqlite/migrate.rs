//! The steps from one schema to the next.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior::Immediate};

use super::{KNOWN, MIGRATIONS, Result, fault};

/// Brings the schema up to date. Two processes may try at once: the second finds it done. If nothing is due,
/// nothing is written, and nobody is waited for.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<()> {
    if due(connection, path)?.is_empty() {
        return Ok(());
    }
    let failed = |e| fault::failed("migrate", path, e);
    let transaction = connection
        .transaction_with_behavior(Immediate)
        .map_err(failed)?;
    for step in due(&transaction, path)? {
        transaction.execute_batch(step).map_err(failed)?;
    }
    transaction
        .pragma_update(None, "user_version", KNOWN)
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Returns the steps that have not been done.
fn due(connection: &Connection, path: &Path) -> Result<&'static [&'static str]> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    let found: i64 = found.map_err(|e| fault::failed("read", path, e))?;
    let done = usize::try_from(found).ok();
    done.and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| fault::too_new(path, found, KNOWN))
}

//! The failures of SQLite, as the ledger tells them.

use std::path::Path;

use rusqlite::ErrorCode;

use super::LedgerError;
use crate::ledger::error::{Fault, FaultKind};

/// Converts an error of SQLite; `action` is the attempted action, as a verb.
pub(super) fn failed(action: &str, path: &Path, error: rusqlite::Error) -> LedgerError {
    let place = path.display();
    let fault = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Fault::new(
            FaultKind::Full,
            format!("no space left for \"{place}\": {error}"),
        ),

        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Fault::new(
            FaultKind::Denied,
            format!("no permission to {action} \"{place}\": {error}"),
        ),

        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return damaged(path, &error.to_string());
        }

        Some(ErrorCode::Unknown) if error.to_string().contains("no such table") => {
            return moved(path);
        }

        code => {
            let kind = match code {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FaultKind::Busy,
                Some(ErrorCode::SystemIoFailure) => FaultKind::Io,
                _ => FaultKind::Database,
            };
            Fault::new(
                kind,
                format!("could not {action} database \"{place}\": {error}"),
            )
        }
    };
    fault.because(error).into()
}

/// Makes the error of a database that does not hold what was written.
pub(super) fn damaged(path: &Path, reason: &str) -> LedgerError {
    let text = format!("\"{}\" is damaged: {reason}", path.display());
    Fault::new(FaultKind::Damaged, text).into()
}

/// Makes the error of a database whose records are in another one by now.
pub(super) fn moved(path: &Path) -> LedgerError {
    Fault::moved(&format!("\"{}\"", path.display())).into()
}

/// Makes the error of a database that a later version wrote.
pub(super) fn too_new(path: &Path, found: i64, known: i64) -> LedgerError {
    let place = path.display();
    let text = format!(
        "database \"{place}\" has schema {found}, this version knows schemas up to {known}"
    );
    Fault::new(FaultKind::TooNew, text).into()
}

//! The errors of the drop, told apart by what the caller must do about them.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{
    credentials::CredentialError,
    jirafeau::JirafeauError,
    ledger::{Allotment, Fault, FaultKind, LedgerError},
    scan::Objection,
};

/// An error of the drop. No message holds a token or the name of a deposited file.
#[derive(Debug, thiserror::Error)]
pub enum DropError {
    /// No space or no quota is left: make room; nothing was kept.
    #[error("no space left for \"{}\": {source}", path.display())]
    Full {
        /// The file or directory that could not be written.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Owner, permissions or a read-only mount are in the way: an admin must act.
    #[error("no permission to {action} \"{}\": {source}", path.display())]
    Denied {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The file or directory it was attempted on.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Stored data is not what was deposited: it is not given out, and trying again is of no use.
    #[error("\"{}\" is damaged: {reason}", path.display())]
    Damaged {
        /// The blob or the database.
        path: PathBuf,
        /// The check that failed, in words.
        reason: String,
    },
    /// A blob that the records name is not in its place: as with damage, trying again is of no use.
    #[error("\"{}\" is damaged: it is missing", path.display())]
    Missing {
        /// The blob.
        path: PathBuf,
    },
    /// The virus scan objects to a file of the deposit: nothing was kept.
    #[error(transparent)]
    Scan(#[from] Objection),
    /// Somebody else can, or could, change what the drop trusts: an admin must look, and act.
    #[error("\"{}\" cannot be trusted: {reason}", path.display())]
    Exposed {
        /// The directory or the file.
        path: PathBuf,
        /// The reason, and the command to type.
        reason: String,
    },
    /// The key of a bucket, or its certificates, cannot be used: an admin must act.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// Another process holds the lock under which the drop is opened, and does not let go.
    #[error("could not lock \"{}\": another process has been opening this drop for too long", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file system failed in another way: it may work in a moment.
    #[error("could not {action} \"{}\": {source}", path.display())]
    Io {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The file or directory it was attempted on.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Jirafeau refuses, failed, or cannot be reached: nothing was kept there.
    #[error(transparent)]
    Elsewhere(#[from] JirafeauError),
    /// The ledger refuses, or failed: its kind says what can be done.
    #[error(transparent)]
    Ledger(LedgerError),
    /// The call itself makes no sense, such as a range past the end of a file: a bug of the caller.
    #[error("{0}")]
    Misuse(&'static str),
    /// The process is stopping, or a thread of the drop died: nothing was kept.
    #[error("the work of the drop was stopped")]
    Stopped,
}

impl DropError {
    /// Returns the allotment that is used up, if that is what went wrong.
    pub fn allotment(&self) -> Option<Allotment> {
        match self {
            Self::Ledger(error) => error.allotment(),
            _ => None,
        }
    }

    /// Returns true if no space or no quota of the file system is left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. }) || self.fault() == Some(FaultKind::Full)
    }

    /// Returns true if owner, permissions or a read-only mount are in the way.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. }) || self.fault() == Some(FaultKind::Denied)
    }

    /// Returns true if a blob is not in its place: whatever keeps it elsewhere may be asked.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Io { source, .. } => source.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Returns the kind of the ledger's failure, if the ledger failed.
    pub(super) fn fault(&self) -> Option<FaultKind> {
        match self {
            Self::Ledger(error) => error.fault(),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path, source },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::Denied {
                action,
                path,
                source,
            },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }

    /// Returns true if the error is of one file only, and another may still be removed.
    fn is_of_one_file(&self) -> bool {
        match self {
            Self::Elsewhere(_) => true,
            Self::Io { action, .. } => *action == "remove",
            // A bucket may refuse one object; if it is away, it is away for all.
            Self::Denied { action, .. } => matches!(*action, "remove" | "delete"),
            _ => false,
        }
    }

    pub(super) fn missing(path: &Path) -> Self {
        let path = path.to_owned();
        Self::Missing { path }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

impl From<LedgerError> for DropError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Misuse(why) => Self::Misuse(why),
            LedgerError::Stopped => Self::Stopped,
            error => Self::Ledger(error),
        }
    }
}

/// Tells the ledger what went wrong in the place of the bytes.
impl From<DropError> for LedgerError {
    fn from(error: DropError) -> Self {
        let kind = match error {
            DropError::Ledger(error) => return error,
            DropError::Misuse(why) => return Self::Misuse(why),
            DropError::Stopped => return Self::Stopped,
            DropError::Full { .. } => FaultKind::Full,
            DropError::Denied { .. } => FaultKind::Denied,
            DropError::Damaged { .. } | DropError::Missing { .. } => FaultKind::Damaged,
            _ => FaultKind::Place,
        };
        let fault = Fault::new(kind, error.to_string()).of_one_file(error.is_of_one_file());
        fault.because(error).into()
    }
}

//! The errors of the drop, told apart by what the caller must do about them.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use crate::scan::Objection;

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
    /// The database was written by a later version of this program: upgrade, or restore a backup.
    #[error("database \"{}\" has schema {found}, this version knows schemas up to {known}", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this version knows.
        known: i64,
    },
    /// The database refused, or was busy for too long: it may work in a moment.
    #[error("could not {action} database \"{}\": {source}", path.display())]
    Database {
        /// The attempted action, as a verb.
        action: &'static str,
        /// The database.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The configuration allows no more: nothing was kept.
    #[error("the quota {name} of {limit} {} is used up", unit(name))]
    Quota {
        /// The key of the configuration.
        name: &'static str,
        /// Its value, in bytes or files.
        limit: u64,
    },
    /// An admin blocked a file of the deposit: nothing was kept, and trying again is of no use.
    #[error("a file is blocked by an admin")]
    Blocked,
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
    /// An admin suspended the login that deposits: nothing was kept, and trying again is of no use.
    #[error("this login is suspended by an admin")]
    Suspended,
    /// The package is held by order: it stays as it is.
    #[error("this package is held by order: depollueur drop release lets go of it")]
    Held,
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
    /// The call itself makes no sense, such as a range past the end of a file: a bug of the caller.
    #[error("{0}")]
    Misuse(&'static str),
    /// The process is stopping, or a thread of the drop died: nothing was kept.
    #[error("the work of the drop was stopped")]
    Stopped,
}

/// The party whose share of the drop is used up, while the drop itself has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allotment {
    /// The sender.
    Sender,
    /// The network of a client, or all mail from outside.
    Incoming,
}

impl Allotment {
    const ALL: [(Self, &str); 2] = [
        (Self::Sender, "sender-quota"),
        (Self::Incoming, "incoming-quota"),
    ];

    /// Returns one word for it, for metrics and for other hosts.
    pub fn label(self) -> &'static str {
        let found = Self::ALL.iter().find(|(allotment, _)| *allotment == self);
        found.map_or("", |(_, label)| label)
    }

    /// Returns the allotment with this label.
    pub(crate) fn of(label: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == label);
        found.map(|(allotment, _)| *allotment)
    }
}

/// Returns the unit that a quota counts.
fn unit(name: &str) -> &'static str {
    match name {
        "free_inodes_min" => "files",
        _ => "bytes",
    }
}

impl DropError {
    /// Returns the allotment that is used up, if that is what went wrong.
    pub fn allotment(&self) -> Option<Allotment> {
        match self {
            Self::Quota { name, .. } => match *name {
                "sender_per_day" => Some(Allotment::Sender),
                "incoming_per_day" | "incoming_client_per_day" => Some(Allotment::Incoming),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
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

    pub(crate) fn database(action: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full {
                path,
                source: io::Error::new(ErrorKind::StorageFull, source),
            },

            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                let source = io::Error::new(ErrorKind::PermissionDenied, source);
                Self::Denied {
                    action,
                    path,
                    source,
                }
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path,
                reason: source.to_string(),
            },
            _ => Self::Database {
                action,
                path,
                source,
            },
        }
    }

    /// Returns true if the error is of one file only, and another may still be removed.
    pub(crate) fn is_of_one_file(&self) -> bool {
        let action = match self {
            Self::Io { action, .. } | Self::Denied { action, .. } => action,
            _ => return false,
        };
        *action == "remove"
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

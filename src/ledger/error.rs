//! The errors of the ledger, told apart by what the caller must do about them. Neither the database nor the
//! place of the bytes shows through: both give a kind and a text.

use std::{error::Error, fmt};

/// An error of the ledger. No message holds a token or the name of a deposited file.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database, or the place where the bytes lie, failed.
    #[error(transparent)]
    Fault(#[from] Fault),
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
    /// An admin suspended the login that deposits: nothing was kept, and trying again is of no use.
    #[error("this login is suspended by an admin")]
    Suspended,
    /// The package is held by order: it stays as it is.
    #[error("this package is held by order: depollueur drop release lets go of it")]
    Held,
    /// The files lie at a store that ends them by itself: they cannot be fetched for longer.
    #[error("the files of this package lie at a store that keeps them until {0} and no longer")]
    KeptElsewhere(jiff::Timestamp),
    /// The call itself makes no sense, such as the destruction of a live package: a bug of the caller.
    #[error("{0}")]
    Misuse(&'static str),
    /// The process is stopping, or a thread died: nothing was kept.
    #[error("the work of the drop was stopped")]
    Stopped,
}

/// A failure of the database, or of the place where the bytes lie.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// True if it is of one file only, and another may still be removed.
    of_one_file: bool,
}

/// The kind of a failure, which says what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The database was busy for too long: it may work in a moment.
    Busy,
    /// No space or no quota is left: make room; nothing was kept.
    Full,
    /// Owner, permissions or a read-only mount are in the way: an admin must act.
    Denied,
    /// Stored data is not what was written: trying again is of no use.
    Damaged,
    /// The database was written by a later version of this program: upgrade, or restore a backup.
    TooNew,
    /// The records are in another database by now: the configuration, or the process, is from before.
    Moved,
    /// The disk below the database failed.
    Io,
    /// The database refused in another way: it may work in a moment.
    Database,
    /// The place where the bytes lie failed in another way.
    Place,
}

/// The party whose allotment is used up, while the whole has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allotment {
    /// The sender.
    Sender,
    /// The network of a client, or all mail from outside.
    Incoming,
}

impl LedgerError {
    /// Returns the party whose allotment is used up, if that is what went wrong.
    pub fn allotment(&self) -> Option<Allotment> {
        let Self::Quota { name, .. } = self else {
            return None;
        };
        match *name {
            "sender_per_day" => Some(Allotment::Sender),
            "incoming_per_day" | "incoming_client_per_day" => Some(Allotment::Incoming),
            _ => None,
        }
    }

    /// Returns the kind of the failure, if the database or the place of the bytes failed.
    pub fn fault(&self) -> Option<FaultKind> {
        match self {
            Self::Fault(fault) => Some(fault.kind),
            _ => None,
        }
    }

    /// Returns true if the error is of one file only, and another may still be removed.
    pub(super) fn is_of_one_file(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.of_one_file)
    }
}

impl Fault {
    /// Makes a failure without a cause of its own.
    pub(crate) fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            source: None,
            of_one_file: false,
        }
    }

    /// Makes the failure of a database that has no records any more.
    pub(super) fn moved(database: &str) -> Self {
        let text = format!(
            "{database} has no records any more, they were moved: write drop.records = where they are now, and restart"
        );
        Self::new(FaultKind::Moved, text)
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Marks it as one of a single file, beside which others may still be removed.
    pub(crate) fn of_one_file(mut self, of_one_file: bool) -> Self {
        self.of_one_file = of_one_file;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(&**source)
    }
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

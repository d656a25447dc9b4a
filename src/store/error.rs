//! Errors of a store. Their consequence for the mail is decided by the filter's caller.

use crate::{
    config::StoreKind,
    drop::{Allotment, DropError},
    ledger::{FaultKind, LedgerError},
    remote::client::RemoteError,
    scan::ScanFinding,
};

/// An error of a store. No message holds a token or the name of a deposited file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The drop of this process failed.
    #[error(transparent)]
    Drop(#[from] DropError),
    /// The drop of another host failed, or could not be reached.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A store that is no drop failed.
    #[error(transparent)]
    Foreign(Box<dyn std::error::Error + Send + Sync>),
    /// A file was committed to another store than its own: a bug of the caller.
    #[error("a file was committed to another store than its own")]
    OtherStore,
    /// A rule asks for a store that is not open; a restart opens it.
    #[error("the store \"{}\" is not open", .0.word())]
    NotOpen(StoreKind),
    /// The package to be taken back is not there, or is too old for that.
    #[error("there is no package to take back, or somebody may have its link")]
    NotTakenBack,
}

impl StoreError {
    /// Returns true if an admin of the drop blocked one of the files: it is not to be deposited.
    pub fn is_blocked(&self) -> bool {
        matches!(
            self,
            Self::Drop(DropError::Ledger(LedgerError::Blocked))
                | Self::Remote(RemoteError::Blocked { .. })
        )
    }

    /// Returns true if an admin of the drop suspended the login: nothing of it is to be deposited.
    pub fn is_suspended(&self) -> bool {
        matches!(
            self,
            Self::Drop(DropError::Ledger(LedgerError::Suspended))
                | Self::Remote(RemoteError::Suspended { .. })
        )
    }
}

impl StoreError {
    /// The exhausted allotment of the drop, if that is the cause.
    pub fn allotment(&self) -> Option<Allotment> {
        match self {
            Self::Drop(error) => error.allotment(),
            Self::Remote(RemoteError::Allotment { allotment, .. }) => Some(*allotment),
            _ => None,
        }
    }

    /// The finding of the virus scan, if that is the cause.
    pub fn finding(&self) -> Option<ScanFinding> {
        match self {
            Self::Drop(DropError::Scan(objection)) => Some(objection.finding()),
            Self::Remote(RemoteError::Scan { finding, .. }) => Some(*finding),
            _ => None,
        }
    }

    /// Its label in metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Drop(error) => match error {
                DropError::Full { .. } => "full",
                DropError::Denied { .. } => "denied",
                DropError::Elsewhere(error) => error.label(),
                DropError::Ledger(error) => kind_of(error),
                DropError::Scan(objection) => objection.finding().label(),
                _ => "drop",
            },
            Self::Remote(error) => match error {
                RemoteError::Unreachable { .. } => "unreachable",
                RemoteError::Stalled { .. } => "slow",
                RemoteError::Refused { .. } => "refused",
                RemoteError::Blocked { .. } => "blocked",
                RemoteError::Scan { finding, .. } => finding.label(),
                RemoteError::Suspended { .. } => "suspended",
                RemoteError::Allotment { .. } => "quota",
                _ => "remote",
            },
            Self::Foreign(_) | Self::OtherStore | Self::NotOpen(_) | Self::NotTakenBack => "drop",
        }
    }
}

/// The label of an error of the ledger in metrics.
fn kind_of(error: &LedgerError) -> &'static str {
    match error {
        LedgerError::Quota { .. } => "quota",
        LedgerError::Blocked => "blocked",
        LedgerError::Suspended => "suspended",
        error => match error.fault() {
            Some(FaultKind::Full) => "full",
            Some(FaultKind::Denied) => "denied",
            Some(FaultKind::Busy | FaultKind::Io | FaultKind::Database) => "database",
            _ => "drop",
        },
    }
}

//! Errors of a store. Their consequence for the mail is decided by the filter's caller.

use std::{error::Error as _, io, path::PathBuf, time::Duration};

use crate::{
    config::StoreKind,
    drop::{Allotment, DropError},
    ledger::{FaultKind, LedgerError},
    scan::Finding,
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
    /// A file was committed to another store than its own: a bug of the caller.
    #[error("a file was committed to another store than its own")]
    OtherStore,
    /// A rule asks for a store that is not open; a restart opens it.
    #[error("the store \"{}\" is not open", match .0 {
        StoreKind::Embedded => "embedded",
        StoreKind::Remote => "remote",
    })]
    NotOpen(StoreKind),
    /// The package to be taken back is not there, or is too old for that.
    #[error("there is no package to take back, or somebody may have its link")]
    NotTakenBack,
}

/// An error between us and the drop of another host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The token or the certificates cannot be read: an admin must act.
    #[error("could not read \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The token or the certificates cannot be used: an admin must act.
    #[error("\"{}\" cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault found in it.
        reason: String,
    },
    /// The client cannot be made, most likely for lack of certificates.
    #[error("could not prepare for TLS: {0}")]
    Tls(String),
    /// There is no connection, or it broke; a retry may succeed.
    #[error("could not reach drop \"{url}\": {reason}")]
    Unreachable {
        /// Its address, as configured.
        url: String,
        /// The cause.
        reason: String,
    },
    /// The drop took no byte, or gave no answer, for too long.
    #[error("drop \"{url}\" did nothing for {} s", patience.as_secs())]
    Stalled {
        /// Its address, as configured.
        url: String,
        /// The time that we waited.
        patience: Duration,
    },
    /// The drop refused the request.
    #[error("drop \"{url}\" refused ({status}): {detail}")]
    Refused {
        /// Its address, as configured.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The drop's own words, or the meaning of the status.
        detail: String,
    },
    /// An admin of the drop blocked one of the files.
    #[error("drop \"{url}\" blocks a file")]
    Blocked {
        /// Its address, as configured.
        url: String,
    },
    /// The drop's virus scan objects to one of the files.
    #[error("drop \"{url}\" does not take a file: {detail}")]
    Scan {
        /// Its address, as configured.
        url: String,
        /// The objection.
        finding: Finding,
        /// The drop's own words.
        detail: String,
    },
    /// The answer is not that of a drop; the address may be wrong.
    #[error("drop \"{url}\" gave an answer that makes no sense: {reason}")]
    Answer {
        /// Its address, as configured.
        url: String,
        /// The cause.
        reason: String,
    },
    /// A share of the drop is used up.
    #[error("drop \"{url}\" takes no more today: {detail}")]
    Allotment {
        /// Its address, as configured.
        url: String,
        /// The exhausted share.
        share: Allotment,
        /// The drop's own words.
        detail: String,
    },
    /// An admin of the drop suspended the login.
    #[error("drop \"{url}\" takes nothing of this login")]
    Suspended {
        /// Its address, as configured.
        url: String,
    },
    /// The bytes received are not the bytes sent.
    #[error("drop \"{url}\" did not receive a file as it was sent")]
    Digest {
        /// Its address, as configured.
        url: String,
    },
    /// The package would exceed the maximum number of files.
    #[error("a package has too many files")]
    TooManyFiles,
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
    /// The exhausted share of the drop, if that is the cause.
    pub fn share(&self) -> Option<Allotment> {
        match self {
            Self::Drop(error) => error.share(),
            Self::Remote(RemoteError::Allotment { share, .. }) => Some(*share),
            _ => None,
        }
    }

    /// The finding of the virus scan, if that is the cause.
    pub fn finding(&self) -> Option<Finding> {
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
            Self::OtherStore | Self::NotOpen(_) | Self::NotTakenBack => "drop",
        }
    }
}

impl RemoteError {
    /// Makes an error of reqwest's, its causes from the outermost to the innermost, without the
    /// path of the request.
    pub(super) fn transport(url: &str, error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut inner = error.source();
        while let Some(cause) = inner {
            let text = cause.to_string();
            if !reason.contains(&text) {
                reason = format!("{reason}: {text}");
            }
            inner = cause.source();
        }
        let url = url.to_owned();
        Self::Unreachable { url, reason }
    }

    /// Returns true if the same request may succeed when it is sent again at once.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
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

//! Errors between us and the drop of another host.

use std::time::Duration;

use crate::{credentials::CredentialError, drop::Allotment, outbound, scan::ScanFinding};

/// An error between us and the drop of another host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The token or the certificates cannot be used: an admin must act.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
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
        finding: ScanFinding,
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
    /// An allotment of the drop is used up.
    #[error("drop \"{url}\" takes no more today: {detail}")]
    Allotment {
        /// Its address, as configured.
        url: String,
        /// The exhausted allotment.
        allotment: Allotment,
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

impl RemoteError {
    /// Makes an error of reqwest's.
    pub(super) fn transport(url: &str, error: reqwest::Error) -> Self {
        let reason = outbound::causes(error);
        let url = url.to_owned();
        Self::Unreachable { url, reason }
    }

    /// Returns true if the same request may succeed when it is sent again at once.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

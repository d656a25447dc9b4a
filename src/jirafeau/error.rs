//! Errors between us and a Jirafeau.

use std::time::Duration;

use crate::credentials::CredentialError;

/// An error between us and a Jirafeau. No message holds a password, a link or a delete code.
#[derive(Debug, thiserror::Error)]
pub enum JirafeauError {
    /// The upload password or the certificates cannot be used: an admin must act.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The client cannot be made, most likely for lack of certificates.
    #[error("could not prepare for TLS: {0}")]
    Tls(String),
    /// No Jirafeau is configured, and a file lies at one.
    #[error("a file lies at a Jirafeau: set jirafeau.url to its address")]
    NotConfigured,
    /// There is no connection, or it broke; a retry may succeed.
    #[error("could not reach Jirafeau \"{url}\": {reason}")]
    Unreachable {
        /// Its address, as configured.
        url: String,
        /// The cause.
        reason: String,
    },
    /// It took no byte, or gave no answer, for too long; a retry may succeed.
    #[error("Jirafeau \"{url}\" did nothing for {} s", patience.as_secs())]
    Stalled {
        /// Its address, as configured.
        url: String,
        /// The time that we waited.
        patience: Duration,
    },
    /// It failed in a way that may pass; a retry may succeed.
    #[error("Jirafeau \"{url}\" failed: {detail}")]
    Failed {
        /// Its address, as configured.
        url: String,
        /// Its own words, or the meaning of the status.
        detail: String,
    },
    /// It takes nothing from us as the two are configured: an admin must act.
    #[error("Jirafeau \"{url}\" refused: {reason}")]
    Refused {
        /// Its address, as configured.
        url: String,
        /// The cause, and the setting that helps.
        reason: String,
    },
    /// The file is larger than it takes: trying again is of no use.
    #[error(
        "Jirafeau \"{url}\" takes no file of that size (its maximal_upload_size, or its web server's limit)"
    )]
    TooBig {
        /// Its address, as configured.
        url: String,
    },
    /// The answer is not that of a Jirafeau: the address may be wrong.
    #[error("\"{url}\" does not answer as Jirafeau does: {reason}")]
    Answer {
        /// Its address, as configured.
        url: String,
        /// The cause.
        reason: String,
    },
    /// A file that was to be removed is still there.
    #[error("Jirafeau \"{url}\" still has a file: it did not take the delete code")]
    Kept {
        /// Its address, when the file was sent there.
        url: String,
    },
}

impl JirafeauError {
    /// Returns true if the same request may succeed later.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::Failed { .. }
        )
    }

    /// Returns its label in metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Stalled { .. } => "slow",
            Self::Refused { .. } | Self::TooBig { .. } => "refused",
            _ => "remote",
        }
    }
}

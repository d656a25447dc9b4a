//! The effect of the filter's verdict on the mail, as configured.

use crate::{
    config::{Config, OnBlocked, OnFailure, OnInfected, OnUnscanned},
    filter::{FilterError, Reason},
    scan::ScanFinding,
};

/// The reply to mail with a file that an admin blocked. The reason, and the file, are the admin's affair.
const BLOCKED_TEXT: &str = "an attachment of this message is blocked by the administrator of this server: send it without it, or ask there";

/// The reply to a sender whose login is suspended.
const SUSPENDED_TEXT: &str = "your account may send no attachments of this size for now: ask the administrator of this server";

/// The reply to mail with a file in which clamd found something; the name of that stands in the log.
const INFECTED_TEXT: &str = "an attachment of this message has a virus, and the message was refused: scan the computer that it comes from, or ask the administrator of this server";

/// The reply to the sender of a message that is refused for good because of one of its files, or of
/// its login; `None` where it goes out as it came.
pub(crate) fn rejection(reason: Reason, config: &Config) -> Option<&'static str> {
    match reason {
        Reason::Blocked if config.detach.on_blocked == OnBlocked::Reject => Some(BLOCKED_TEXT),
        Reason::Suspended if config.detach.on_suspended == OnBlocked::Reject => {
            Some(SUSPENDED_TEXT)
        }
        Reason::Infected if config.scan.on_infected == OnInfected::Reject => Some(INFECTED_TEXT),
        _ => None,
    }
}

/// The name of a failure, and the fate of the message. A drop that another host has may refuse files
/// that it could not scan, whatever is wished here.
pub(crate) fn failure(error: &FilterError, config: &Config) -> (&'static str, OnFailure) {
    if error.finding() != Some(ScanFinding::Unscanned) {
        return ("drop", config.detach.on_failure);
    }
    let on_failure = match config.scan.on_failure {
        OnUnscanned::Tempfail => OnFailure::Tempfail,
        OnUnscanned::Deliver => OnFailure::Deliver,
        OnUnscanned::Deposit => config.detach.on_failure,
    };
    ("unscanned", on_failure)
}

//! The outcomes for a message and its parts: what is said of them, and why.

use std::{borrow::Cow, io};

use mailsplice::mime::Ambiguity;

use super::{Message, Rewritten};
use crate::{
    decisions::PartRecord,
    drop::Allotment,
    policy::{Edits, Refusal},
    scan::ScanFinding,
    store::StoreError,
};

/// The outcome for a message once its header is known.
#[derive(Debug)]
pub enum Start {
    /// Nothing can be detached from it: accept it; its body need not be seen.
    Pass(Reason),
    /// The same, but the wish of its sender is to be taken out of it: fields, tags and recipients.
    Edit(Edits, Reason),
    /// Refuse it.
    Refuse(Refusal),
    /// Push the body into this.
    Scan(Box<Message>),
}

/// The reason why a message goes out as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Mail of this direction is not treated.
    Direction,
    /// Its header says that nothing can be detached.
    Header,
    /// It is smaller than every threshold.
    Small,
    /// The rules, or the users' choice, keep everything.
    Rules,
    /// Neither its sender nor any recipient asked for it to be treated (`users.opt_in`).
    NotAsked,
    /// Somebody's choice kept it when it came before.
    KeptBefore,
    /// It was signed by DKIM2 and goes to another machine.
    Dkim2,
    /// It came from outside, and an earlier host marked it as doubtful.
    Marked,
    /// It came from outside, and one of its recipients' addresses forwards to another machine.
    Forwarded,
    /// Its sender wants everything kept.
    Wish,
    /// Something would have been done, were this not a trial.
    DryRun,
    /// It was read to its end, and nothing was to be detached.
    Nothing,
    /// Readers would differ about its structure.
    Ambiguous(Ambiguity),
    /// A part that was being detached is not what its transfer encoding says.
    MalformedBody,
    /// More than [`DETACHED_MAX`](super::DETACHED_MAX) parts would have to be detached.
    TooManyDetached,
    /// More fields than can be removed look like our mark.
    ForeignMarks,
    /// No part of it can take the notice, and none can be added.
    NoPlace,
    /// An HTML body came after a part that was detached, and shows it.
    ShownLater,
    /// With the notice in it, it would not have the parts that it must have.
    Reread,
    /// An admin blocked one of its files: the drop does not take it.
    Blocked,
    /// One of its files is infected: the drop does not take it.
    Infected,
    /// One of its files is larger than what is scanned, and such files are not taken.
    Oversize,
    /// An admin suspended the login that sent it: the drop does not take it.
    Suspended,
    /// The share of its sender is used up for today.
    SenderQuota,
    /// The share of the network outside from which it came, or of all mail from outside, is used up
    /// for today.
    IncomingQuota,
    /// The people behind its addresses could not be found out.
    Lookup,
}

/// The verdict at the end of a message.
#[derive(Debug)]
pub enum Verdict {
    /// Goes out as it came.
    Pass(Reason),
    /// Goes out rewritten; all its files are durable.
    Rewrite(Rewritten),
    /// The store or the spool failed; nothing was kept. `detach.on_failure` says what this means.
    Fail(FilterError),
}

/// A failure of our own machinery, never of the mail.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The spool failed.
    #[error("could not spool the message: {0}")]
    Spool(#[from] io::Error),
    /// The drop held up the message for longer than `milter.deadline`.
    #[error("the drop was too slow")]
    Slow,
    /// A part of the message was not taken to its end.
    #[error("the message was given up on the way")]
    GivenUp,
}

impl FilterError {
    /// The finding of the virus scan, if that is the reason.
    pub fn finding(&self) -> Option<ScanFinding> {
        match self {
            Self::Store(error) => error.finding(),
            _ => None,
        }
    }

    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(error) => error.kind(),
            Self::Spool(_) => "spool",
            Self::Slow => "slow",
            Self::GivenUp => "given-up",
        }
    }
}

/// An outcome that is certain before the end of a message.
#[derive(Debug)]
pub(super) enum Settled {
    Pass(Reason),
    Fail(FilterError),
}

impl From<Reason> for Settled {
    fn from(reason: Reason) -> Self {
        Self::Pass(reason)
    }
}

impl<E: Into<FilterError>> From<E> for Settled {
    fn from(error: E) -> Self {
        let error = error.into();
        let refused = match &error {
            FilterError::Store(error) => Reason::of_refusal(error),
            _ => None,
        };
        refused.map_or(Self::Fail(error), Self::Pass)
    }
}

/// The decision about one part.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PartDecision {
    /// The part's place: `1`, `2.1`, or `` for the message itself.
    pub path: String,
    /// The declared media type.
    pub media_type: String,
    /// The file name, made safe.
    pub name: Option<String>,
    /// Decoded size in bytes; 0 for text that was not decoded.
    pub bytes: u64,
    /// True if the part is detached.
    pub detached: bool,
    /// True if it would be detached, were this not a trial.
    pub would_detach: bool,
    /// The source of the decision: a rule's name, `default`, `sender`, `users`; `None` for a part
    /// that stays whatever is configured.
    pub rule: Option<String>,
    /// The reason.
    pub reason: Cow<'static, str>,
}

/// The parts that would have been detached, were this not a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// The number of parts.
    pub parts: usize,
    /// Their decoded bytes.
    pub bytes: u64,
}

impl From<&PartDecision> for PartRecord {
    fn from(part: &PartDecision) -> Self {
        let fate = match part {
            PartDecision { detached: true, .. } => "detached",
            PartDecision {
                would_detach: true, ..
            } => "would go",
            _ => "kept",
        };
        Self {
            path: part.path.clone(),
            media_type: part.media_type.clone(),
            bytes: part.bytes,
            fate: fate.to_owned(),
            rule: part.rule.clone(),
            reason: part.reason.to_string(),
        }
    }
}

impl PartDecision {
    /// Makes the decision to leave a part alone, and with it the message, since readers differ about it.
    pub(super) fn doubtful(path: String, why: Ambiguity) -> Self {
        Self {
            path,
            media_type: "-".to_owned(),
            name: None,
            bytes: 0,
            detached: false,
            would_detach: false,
            rule: None,
            reason: why.to_string().into(),
        }
    }
}

impl Reason {
    /// The reason why the store refused a message, which then goes out as it came; `None` where it failed.
    pub(super) fn of_refusal(error: &StoreError) -> Option<Self> {
        match error.allotment() {
            Some(Allotment::Sender) => Some(Self::SenderQuota),
            Some(Allotment::Incoming) => Some(Self::IncomingQuota),
            None if error.is_blocked() => Some(Self::Blocked),
            None if error.is_suspended() => Some(Self::Suspended),
            None => None,
        }
    }

    /// The ambiguity found in the header, where that decided.
    pub fn in_header(self) -> Option<PartDecision> {
        match self {
            Self::Ambiguous(why) => Some(PartDecision::doubtful(String::new(), why)),
            _ => None,
        }
    }

    /// A label for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Direction => "direction",
            Self::Header => "header",
            Self::Nothing => "nothing",
            Self::Small => "small",
            Self::Rules | Self::NotAsked => "rules",
            Self::KeptBefore => "kept-before",
            Self::Dkim2 => "dkim2",
            Self::Marked => "marked",
            Self::Forwarded => "forwarded",
            Self::Wish => "wish",
            Self::DryRun => "dry-run",
            Self::Ambiguous(why) => why.label(),
            Self::MalformedBody => "malformed-body",
            Self::TooManyDetached => "too-many-detached",
            Self::ForeignMarks => "foreign-marks",
            Self::NoPlace => "no-place",
            Self::ShownLater => "shown-later",
            Self::Reread => "reread",
            Self::Blocked => "blocked",
            Self::Infected => ScanFinding::Infected.label(),
            Self::Oversize => ScanFinding::Oversize.label(),
            Self::Suspended => "suspended",
            Self::SenderQuota => Allotment::Sender.label(),
            Self::IncomingQuota => Allotment::Incoming.label(),
            Self::Lookup => "lookup",
        }
    }

    /// Returns true if an admin should hear of it: something was heavy or odd, and was left alone.
    pub fn is_odd(self) -> bool {
        !matches!(
            self,
            Self::Direction
                | Self::Header
                | Self::Nothing
                | Self::Small
                | Self::Rules
                | Self::NotAsked
                | Self::KeptBefore
                | Self::Dkim2
                | Self::Marked
                | Self::Forwarded
                | Self::Wish
                | Self::DryRun
                // The reason was logged when the lookup failed, or once for the day.
                | Self::Lookup
                | Self::SenderQuota
                | Self::IncomingQuota
        )
    }
}

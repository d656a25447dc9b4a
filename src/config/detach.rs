//! `[detach]`: the mail that is treated, and the attachments that are detached from it.

use jiff::Span;
use serde::{Deserialize, Serialize};

use super::{
    AddressPatterns, Directions, Marks,
    value::{As, Choice, DirectionsCodec, Flag, OptionalPeriod, OptionalSize, Size},
    wishes::{Lists, MarkedBy},
};

/// `[detach]`: the mail that is treated, and the attachments that are detached from it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DetachConfig {
    /// Parts of at least this many decoded bytes are detached.
    #[serde(with = "As::<Size>")]
    pub threshold: u64,
    /// The sum that the attachments of a message may reach, in decoded bytes. Past it, the largest
    /// are detached until the rest fits.
    #[serde(with = "As::<OptionalSize>")]
    pub message_threshold: Option<u64>,
    /// The directions of mail that are treated.
    #[serde(with = "As::<DirectionsCodec>")]
    pub directions: Directions,
    /// The fate of the mail when the store fails.
    #[serde(with = "As::<Choice<OnFailure>>")]
    pub on_failure: OnFailure,
    /// The fate of a message with a file that an admin blocked.
    #[serde(with = "As::<Choice<OnBlocked>>")]
    pub on_blocked: OnBlocked,
    /// The fate of a message of a login that an admin suspended.
    #[serde(with = "As::<Choice<OnBlocked>>")]
    pub on_suspended: OnBlocked,
    /// The fate of an attachment when the recipients' rules differ.
    #[serde(with = "As::<Choice<Recipients>>")]
    pub recipients: Recipients,
    /// The time for which a message that somebody's choice kept is kept when it comes again; `None`
    /// judges anew.
    #[serde(with = "As::<OptionalPeriod>")]
    pub remember_kept: Option<Span>,
    /// True if copies of one message that arrive separately share one package.
    #[serde(with = "As::<Flag>")]
    pub share_copies: bool,
    /// Fields by which earlier hosts mark mail that they doubt: mail from outside that has one is
    /// left alone.
    #[serde(with = "As::<MarkedBy>")]
    pub marked_by: Marks,
    /// The treatment of mail from outside to an address that forwards to another machine.
    #[serde(with = "As::<Choice<Forwarding>>")]
    pub forwarded: Forwarding,
    /// The treatment of mail that was signed by DKIM2 and goes to another machine.
    #[serde(with = "As::<Choice<Dkim2>>")]
    pub dkim2: Dkim2,
    /// Addresses of mailing lists, besides those that are recognised by other means.
    #[serde(with = "As::<Lists>")]
    pub lists: AddressPatterns,
    /// The mode: decisions are carried out, or only logged.
    #[serde(with = "As::<Choice<RunMode>>")]
    pub mode: RunMode,
}

/// The treatment of mail from outside to an address that forwards to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// It is left alone: its sender may be at that machine, and would get a link to his own file.
    Spare,
    /// It is treated like all other mail.
    Treat,
}

/// The treatment of mail that was signed by DKIM2 and goes to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dkim2 {
    /// It is left alone: a body that cannot be recreated fails there.
    Spare,
    /// It is treated like all other mail.
    Treat,
}

/// The fate of an attachment when the recipients' rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// One recipient who must get it keeps it for all.
    AnyKeep,
    /// One recipient for whom it is detached detaches it for all.
    AnyDetach,
}

/// The mode: decisions are carried out, or only logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// They are carried out.
    Live,
    /// They are logged and counted; the mail is not changed, and nothing is deposited.
    DryRun,
}

/// The fate of a message that the drop does not take by an admin's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBlocked {
    /// It goes out as it came.
    Deliver,
    /// It is refused for good.
    Reject,
}

/// The fate of the mail when the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes out as it came.
    Deliver,
    /// The sender is asked to try again (451).
    Tempfail,
}

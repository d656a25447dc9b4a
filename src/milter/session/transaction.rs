//! What lasts as long as one message: a mail transaction (RFC 5321, section 3.3).

use std::{mem, time::Duration};

use super::ReasonLabel;
use crate::{
    budget::Share,
    envelope::Envelope,
    filter::{Filter, Message},
    metrics::InProgress,
    milter::{Shared, header::Header, outline::Outline, turn::Turn},
    policy::Edits,
};

/// The state that lasts as long as one message.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The filter through which it goes, from its beginning to its end.
    pub(super) filter: Filter,
    pub(super) stage: Stage,
    /// The share of all sessions' budget that it holds.
    pub(super) held: Share,
    /// The reply that the client gets after [`Answer::Refuse`](super::Answer::Refuse).
    pub(super) refusal: Option<Reply>,
}

/// The stage that the message has reached.
#[derive(Debug)]
pub(super) enum Stage {
    /// There is no message, or nothing more need be known of it.
    Idle,
    /// Nothing of it need be seen for this reason. Where the envelope gets no reply, Postfix is told when it
    /// is complete and has a queue id.
    Declined(Box<Envelope>, ReasonLabel),
    /// Its envelope and its header come in.
    Header(Box<Header>),
    /// Its body comes in.
    Body(Box<Work>),
    /// Its body is not needed, but at its end there is something to change.
    Edit(Outline, ReasonLabel, Edits),
    /// We failed; the fate of the message is decided at its end.
    Failed(Outline, ReasonLabel, Edits),
}

/// A message whose body is scanned.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) message: Box<Message>,
    pub(super) outline: Outline,
    /// The time for which it may still be held up by our machinery.
    pub(super) patience: Duration,
    /// The time for which it was worked on.
    pub(super) worked: Duration,
    pub(super) _turn: Turn,
    pub(super) _in_work: InProgress,
}

/// The reply to the client of a message that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::milter) struct Reply {
    /// True to refuse for good (550), false for the moment (451).
    pub(in crate::milter) for_good: bool,
    pub(in crate::milter) text: String,
}

impl Transaction {
    /// Begins with nothing, and with the filter of the moment.
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            filter: shared.filter.borrow().clone(),
            stage: Stage::Idle,
            held: shared.budget.share(),
            refusal: None,
        }
    }

    /// Lets go of everything that is held for the message.
    pub(super) fn forget(&mut self) {
        self.stage = Stage::Idle;
        self.held.clear();
    }

    /// Hands over the stage: there is no message any more.
    pub(super) fn take_stage(&mut self) -> Stage {
        mem::replace(&mut self.stage, Stage::Idle)
    }
}

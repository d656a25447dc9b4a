//! The account of a message: the decisions on its parts, and why it stays as it is.

use super::{
    Message, PartDecision, Reason,
    leaf::{FileHead, Leaf, Work},
    message::Stop,
};
use crate::{
    mime::{Ambiguity, scanner::PartId},
    names,
    policy::Source,
    rules::Why,
    scan::Finding,
    store::StoreError,
};

/// The most parts of which the log tells.
pub(super) const DECISIONS_MAX: usize = 50;

impl Message {
    /// Notes a reason given by the store, unless it is that somebody's share is used up.
    pub(super) fn note_refusal(&mut self, reason: Reason) {
        if matches!(reason, Reason::Blocked | Reason::Suspended) {
            self.refused.push(reason.label());
        }
    }

    /// Returns true if a part of this many bytes stays by a rule though it is heavy by the usual measure.
    pub(super) fn is_choice(&self, source: Source, bytes: u64) -> bool {
        matches!(source, Source::Rule(_)) && bytes >= self.filter.config.detach.threshold
    }

    /// Remembers why a heavy part was left alone, for those who ask why nothing was done.
    pub(super) fn note_doubt(&mut self, leaf: &Leaf) {
        let why = match leaf.work {
            Work::Stays(Why::Encoding) => Reason::Ambiguous(Ambiguity::Encoding),
            Work::Stays(Why::Malformed) => Reason::MalformedBody,
            _ => return,
        };
        if self.is_heavy_as_it_is(leaf) {
            self.doubt.get_or_insert(why);
        }
    }

    /// Notes that a part stays.
    pub(super) fn explain_kept(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) {
        let _ = self.note(part, file, bytes, source, why);
    }

    /// Notes that a part goes, or would go.
    pub(super) fn explain_gone(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Source,
        why: Why,
    ) {
        let is_trial = self.filter.stores.is_none()
            || matches!(source, Source::Rule(rule) if self.filter.config.rule[rule].dry_run);
        if let Some(decision) = self.note(part, file, bytes, Some(source), why) {
            (decision.detached, decision.would_detach) = (!is_trial, is_trial);
        }
    }

    /// Notes that a part which was to go has a virus.
    pub(super) fn explain_finding(&mut self, part: PartId, error: &StoreError) {
        let path = self.parts.path(part);
        let noted = self.decisions.iter_mut().rfind(|noted| noted.path == path);
        if let (Some(noted), Some(Finding::Infected)) = (noted, error.finding()) {
            noted.detached = false;
            noted.reason = Why::Infected.as_str().into();
        }
    }

    /// Returns true if another decision is still kept.
    pub(super) fn takes_notes(&self) -> bool {
        self.decisions.len() < self.most_decisions()
    }

    pub(super) fn most_decisions(&self) -> usize {
        if self.filter.explain {
            usize::MAX
        } else {
            DECISIONS_MAX
        }
    }

    /// Keeps a decision for the log, or for those who want all of them explained.
    pub(super) fn note(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) -> Option<&mut PartDecision> {
        if !self.takes_notes() {
            return None;
        }
        let explains = self.filter.explain;
        let label = source.map(|source| source.label(&self.filter.config).to_owned());
        self.decisions.push(PartDecision {
            path: self.parts.path(part),
            media_type: file.media_type.to_string(),
            name: explains.then(|| names::display(&file.name())),
            bytes,
            detached: false,
            would_detach: false,
            rule: label,
            reason: why.as_str().into(),
        });
        self.decisions.last_mut()
    }

    /// Ends work on a message that is left alone, and notes the part for which it is.
    pub(super) fn doubtful(&mut self, part: PartId, why: Ambiguity) -> Stop {
        let path = self.parts.path(part);
        self.decisions.truncate(self.most_decisions() - 1);
        self.decisions.push(PartDecision::doubtful(path, why));
        Reason::Ambiguous(why).into()
    }
}

/// A part's path in the order of the message.
pub(super) fn place(path: &str) -> Vec<u32> {
    path.split('.')
        .filter_map(|ordinal| ordinal.parse().ok())
        .collect()
}

//! The account of a message: the decisions on its parts, and why it stays as it is.
//!
//! It is told by those who read and ship the message, and knows neither the scanner nor the store.
//! It does no I/O.

use std::sync::Arc;

use mailsplice::{mime::Ambiguity, names};

use super::{
    FilterError, PartDecision, Reason, Trial, Verdict, leaf::FileHead, mark, outcome::Settled,
};
use crate::{
    config::Config,
    policy::{Edits, Source},
    rules::Why,
};

/// The most parts of which the log tells.
const DECISIONS_MAX: usize = 50;

/// The account of a message.
#[derive(Debug)]
pub(super) struct Accounting {
    config: Arc<Config>,
    /// True if all decisions are kept, with names.
    explains: bool,
    /// True if nothing is deposited.
    is_trial: bool,
    decisions: Vec<PartDecision>,
    /// The parts that would have been detached, kept in a trial only.
    trial: Trial,
    /// The reasons why the store refused files because of what they are: errors by which the message
    /// does not fail.
    refused: Vec<&'static str>,
    /// The reason why the first heavy part that is in doubt stays.
    doubt: Option<Reason>,
    /// True if something that is heavy by the usual measure stays because somebody chose so.
    is_chosen: bool,
    /// The edits that take the wish of its sender out of the message: fields, tags and recipients.
    edits: Edits,
    /// The number of fields that look like our mark, but were put into it by somebody else.
    foreign_marks: usize,
}

impl Accounting {
    pub(super) fn new(
        config: Arc<Config>,
        explains: bool,
        is_trial: bool,
        foreign_marks: usize,
    ) -> Self {
        Self {
            config,
            explains,
            is_trial,
            decisions: Vec::new(),
            trial: Trial::default(),
            refused: Vec::new(),
            doubt: None,
            is_chosen: false,
            edits: Edits::default(),
            foreign_marks,
        }
    }

    /// Notes that a part stays.
    pub(super) fn kept(
        &mut self,
        path: impl FnOnce() -> String,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) {
        let _ = self.note(path, file, bytes, source, why);
    }

    /// Notes that a part goes, or would go.
    pub(super) fn gone(
        &mut self,
        path: impl FnOnce() -> String,
        file: &FileHead,
        bytes: u64,
        source: Source,
        why: Why,
    ) {
        let is_trial =
            self.is_trial || matches!(source, Source::Rule(rule) if self.config.rule[rule].dry_run);
        if let Some(decision) = self.note(path, file, bytes, Some(source), why) {
            (decision.detached, decision.would_detach) = (!is_trial, is_trial);
        }
    }

    /// Notes that a part which was to go has a virus.
    pub(super) fn infected(&mut self, path: &str) {
        let noted = self.decisions.iter_mut().rfind(|noted| noted.path == path);
        if let Some(noted) = noted {
            noted.detached = false;
            noted.reason = Why::Infected.as_str().into();
        }
    }

    /// Notes the part for which a message is left alone, and returns what that settles.
    pub(super) fn doubtful(&mut self, path: String, why: Ambiguity) -> Settled {
        self.decisions.truncate(self.most_decisions() - 1);
        self.decisions.push(PartDecision::doubtful(path, why));
        Reason::Ambiguous(why).into()
    }

    /// Remembers why a heavy part was left alone, for those who ask why nothing was done.
    pub(super) fn doubt(&mut self, why: Reason) {
        self.doubt.get_or_insert(why);
    }

    /// Notes a part of this many bytes that stays: by a choice, if a rule keeps it though it is heavy
    /// by the usual measure.
    pub(super) fn chosen(&mut self, source: Source, bytes: u64) {
        let is_heavy = bytes >= self.config.detach.threshold;
        self.is_chosen |= matches!(source, Source::Rule(_)) && is_heavy;
    }

    /// Notes a reason given by the store, unless it is that somebody's share is used up.
    pub(super) fn note_refusal(&mut self, reason: Reason) {
        if matches!(reason, Reason::Blocked | Reason::Suspended) {
            self.refused.push(reason.label());
        }
    }

    /// Notes a file that the store did not take because of what it is.
    pub(super) fn file_refused(&mut self, error: &FilterError) {
        self.refused.push(error.kind());
    }

    /// Notes parts that would have been detached, were this not a trial.
    pub(super) fn would_detach(&mut self, parts: usize, bytes: u64) {
        self.trial.parts += parts;
        self.trial.bytes += bytes;
    }

    /// Forgets the parts that would have been detached: the message is settled otherwise.
    pub(super) fn forget_trial(&mut self) {
        self.trial = Trial::default();
    }

    /// Puts the decisions into the order of the message: candidates are decided on late.
    pub(super) fn sort(&mut self) {
        self.decisions
            .sort_by_cached_key(|decision| place(&decision.path));
    }

    /// Takes back what the verdict does not bear out: the decision on a part holds only if the
    /// message is changed.
    pub(super) fn conclude(&mut self, verdict: &Verdict) {
        let is_changed = matches!(verdict, Verdict::Rewrite(_));
        let would_be = is_changed || matches!(verdict, Verdict::Pass(Reason::DryRun));
        for decision in &mut self.decisions {
            decision.detached &= is_changed;
            decision.would_detach &= would_be;
        }
    }

    pub(super) fn set_edits(&mut self, edits: Edits) {
        self.edits = edits;
    }

    /// The changes to be made to the message whatever its verdict is.
    pub(super) fn edits(&self) -> &Edits {
        &self.edits
    }

    /// The number of strangers' marks that are left once its edits were made.
    pub(super) fn foreign_marks(&self) -> usize {
        mark::left(self.foreign_marks, &self.edits)
    }

    /// The reasons for which the store did not take files.
    pub(super) fn refused(&self) -> &[&'static str] {
        &self.refused
    }

    /// The parts that would have been detached, were this not a trial.
    pub(super) fn trial(&self) -> Trial {
        self.trial
    }

    /// The decisions so far.
    pub(super) fn decisions(&self) -> &[PartDecision] {
        &self.decisions
    }

    /// Returns true if something heavy stays because somebody chose so.
    pub(super) fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// The reason why a message in which nothing is detached goes out as it came.
    pub(super) fn untouched(&self) -> Reason {
        if self.trial.parts > 0 {
            Reason::DryRun
        } else if !self.refused.is_empty() {
            // An infected file stays in it.
            Reason::Infected
        } else {
            self.doubt.unwrap_or(Reason::Nothing)
        }
    }

    /// Returns true if another decision is still kept.
    pub(super) fn takes_notes(&self) -> bool {
        self.decisions.len() < self.most_decisions()
    }

    fn most_decisions(&self) -> usize {
        if self.explains {
            usize::MAX
        } else {
            DECISIONS_MAX
        }
    }

    /// Keeps a decision for the log, or for those who want all of them explained.
    fn note(
        &mut self,
        path: impl FnOnce() -> String,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) -> Option<&mut PartDecision> {
        if !self.takes_notes() {
            return None;
        }
        let label = source.map(|source| source.label(&self.config).to_owned());
        self.decisions.push(PartDecision {
            path: path(),
            media_type: file.media_type.to_string(),
            name: self.explains.then(|| names::display(&file.name())),
            bytes,
            detached: false,
            would_detach: false,
            rule: label,
            reason: why.as_str().into(),
        });
        self.decisions.last_mut()
    }
}

/// A part's path in the order of the message.
fn place(path: &str) -> Vec<u32> {
    path.split('.')
        .filter_map(|ordinal| ordinal.parse().ok())
        .collect()
}

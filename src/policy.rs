//! The decision about a message and its attachments by the sender, the users, the rules. Pure.
//!
//! In this order, the first with something to say decides:
//!
//! 1. a rule that refuses the message (it is asked about the message alone)
//! 2. the sender's wish: a tag in the subject, an address among the recipients, a header field
//! 3. the users' choice: `users.opt_out`, `users.opt_in`
//! 4. the first `[[rule]]` that matches, for each attachment and each recipient
//! 5. the defaults
//!
//! A fact that is not known yet makes a condition neither true nor false (`Holds`). So one walk
//! over the rules serves at every stage: [`outlook`] at `MAIL`, at `DATA`, and at the end of the
//! header says whether anything can still happen; [`Plan::decide`] says whether the fate of an
//! attachment is open while its bytes come in.
//!
//! * `matching` – the conditions of rules
//! * `known` – questions about the people behind an address, and about their lines in Postfix's tables
//! * `header` – the top-level header: lists, bulk, automatic mail
//! * `plan` – the rules that are left once the header is known; the recipients combined
//! * `subject` – tags taken out of a subject
//! * `wish` – the sender's requests

mod header;
mod known;
mod matching;
mod plan;
mod subject;
mod wish;

use jiff::Span;

use self::matching::{Holds, MessageFacts};
use crate::{
    config::{
        AddressLists, Config, Directions, MailScope, NoticeLanguage, Recipients, Rule, RuleAction,
        RunMode, UserList,
    },
    envelope::{Direction, Envelope, Person},
};

pub(crate) use self::header::readable;

pub use self::{
    header::HeaderFacts,
    matching::PartFacts,
    plan::{Fate, Going, Plan},
    wish::{Edits, Wish, Wishes},
};

/// The source of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Nobody: the defaults hold.
    Default,
    /// The rule of this index.
    Rule(usize),
    /// The sender.
    Wish(Wish),
    /// A user, by one of the files of addresses.
    Users,
}

/// The refusal of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The index of the rule.
    pub rule: usize,
    /// True if it is for good (550); otherwise it is for the moment (451).
    pub for_good: bool,
    /// The text for the client.
    pub text: String,
}

/// The fates that are still possible for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// More has to be known.
    Open,
    /// It goes out as it came; the label is the reason.
    Never(&'static str),
    /// It is refused.
    Refused(Refusal),
}

/// The part of the envelope that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeStage {
    /// Everything but the recipients.
    Mail,
    /// Everything.
    Data,
}

impl Source {
    /// Returns its name in logs: a rule's name, or a few words.
    pub fn label(self, config: &Config) -> &str {
        match self {
            Self::Default => "default",
            Self::Rule(index) => config.rule.get(index).map_or("rule", |rule| &rule.label),
            Self::Wish(_) => "sender",
            Self::Users => "users",
        }
    }

    /// Returns the terms that it sets, if any.
    fn terms(self, config: &Config) -> Option<&crate::config::Terms> {
        match self {
            Self::Rule(index) => match &config.rule.get(index)?.action {
                RuleAction::Detach(terms) => Some(terms),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the time for which a file detached by it can be fetched.
    pub fn retention(self, config: &Config) -> Span {
        self.terms(config)
            .and_then(|terms| terms.retention)
            .unwrap_or_else(|| self.usual_retention(config))
    }

    /// Returns the time for which its store keeps files that no rule is more exact about.
    fn usual_retention(self, config: &Config) -> Span {
        let store = self.terms(config).and_then(|terms| terms.store);
        config.expiry_in(store.unwrap_or(config.store.kind))
    }

    /// Returns the language of its notice, where it sets one.
    pub fn language(self, config: &Config) -> Option<NoticeLanguage> {
        self.terms(config)?.language
    }

    /// Returns the place of its notice.
    pub fn position(self, config: &Config) -> mailsplice::rewrite::Position {
        self.terms(config)
            .and_then(|terms| terms.position)
            .unwrap_or(config.notice.position)
    }

    /// Returns the per-file and per-message sizes from which this source detaches, in bytes.
    fn thresholds(self, config: &Config) -> (u64, Option<u64>) {
        let (threshold, sum) = (config.detach.threshold, config.detach.message_threshold);
        match (self, self.terms(config)) {
            // An empty file gains nothing by a link.
            (Self::Wish(_), _) => (1, None),
            (_, None) => (threshold, sum),
            (_, Some(terms)) => (
                terms.threshold.unwrap_or(threshold),
                terms.message_threshold.unwrap_or(sum),
            ),
        }
    }

    /// Returns true if it can detach something from a message of at most `size` bytes.
    fn reaches(self, config: &Config, size: Option<u64>) -> bool {
        let (threshold, sum) = self.thresholds(config);
        let lowest = sum.map_or(threshold, |sum| sum.min(threshold));
        // Decoding never makes a part longer than the message was.
        size.is_none_or(|size| size >= lowest)
    }
}

impl Refusal {
    fn of(config: &Config, index: usize) -> Option<Self> {
        let (for_good, text) = match &config.rule.get(index)?.action {
            RuleAction::Reject(text) => (true, text),
            RuleAction::Tempfail(text) => (false, text),
            _ => return None,
        };
        Some(Self {
            rule: index,
            for_good,
            text: text.clone(),
        })
    }
}

/// Returns true if mail of this direction is among these.
pub fn is_among(directions: Directions, direction: Direction) -> bool {
    match directions {
        Directions::Both => true,
        Directions::Incoming => direction == Direction::Incoming,
        Directions::Outgoing => direction == Direction::Outgoing,
    }
}

/// Returns the fates still possible for a message of which only the envelope, or a part of it, is known.
pub fn outlook(
    (config, lists): (&Config, &AddressLists),
    envelope: &Envelope,
    stage: EnvelopeStage,
) -> Outlook {
    let message = MessageFacts::new((config, lists), envelope, None);
    let views: Vec<View> = match stage {
        EnvelopeStage::Mail => vec![view(config, &message, None, envelope.size)],
        EnvelopeStage::Data => each_recipient(envelope)
            .into_iter()
            .map(|recipient| view(config, &message, Some(&recipient), envelope.size))
            .collect(),
    };

    let refusals = views.iter().filter_map(|view| view.refusal.as_ref());
    if let Some(refusal) = refusals.min_by_key(|refusal| refusal.rule).cloned()
        && config.detach.mode == RunMode::Live
    {
        return Outlook::Refused(refusal);
    }

    let wished = wish::may_come(config, envelope.direction);
    if wished || views.iter().any(|view| view.may_refuse) {
        return Outlook::Open;
    }

    let nothing_for = |view: &View| !view.may_detach;
    let never = match config.detach.recipients {
        Recipients::AnyKeep => views.iter().any(nothing_for),
        Recipients::AnyDetach => views.iter().all(nothing_for),
    };

    let is_remembered = config.detach.remember_kept.is_some()
        && config.detach.mode == RunMode::Live
        && may_detach(config, envelope.size);

    match never {
        false => Outlook::Open,
        true if views.iter().any(|view| view.is_small) => Outlook::Never("small"),
        // It is recognized by its Message-ID when it comes again.
        true if is_remembered && views.iter().any(|view| view.is_chosen) => Outlook::Open,
        true => Outlook::Never("rules"),
    }
}

/// The actions of the rules that are still possible for one recipient, or for all that may come.
struct View {
    may_detach: bool,
    may_refuse: bool,
    /// True if something could be detached were the message larger.
    is_small: bool,
    /// True if somebody's choice keeps it.
    is_chosen: bool,
    refusal: Option<Refusal>,
}

fn view(
    config: &Config,
    message: &MessageFacts<'_>,
    recipient: Option<&Person>,
    size: Option<u64>,
) -> View {
    let refusal = refusal(config, message, recipient);
    let mut view = View {
        may_detach: false,
        may_refuse: refusal != Some(None),
        is_small: false,
        is_chosen: opted_out(config, message, recipient) == Holds::Yes,
        refusal: refusal
            .flatten()
            .and_then(|index| Refusal::of(config, index)),
    };

    if users_keep(config, message, recipient) == Holds::Yes {
        return view;
    }

    let mut take = |source: Source| {
        let reaches = source.reaches(config, size);
        view.may_detach |= reaches;
        view.is_small |= !reaches;
    };

    for (index, rule) in config.rule.iter().enumerate() {
        let holds = matching::of_message(rule, message, recipient);
        if holds != Holds::No && matches!(rule.action, RuleAction::Detach(_)) {
            take(Source::Rule(index));
        }
        if holds == Holds::Yes && !rule.is_of_part() {
            view.is_chosen |= matches!(rule.action, RuleAction::Keep);
            return view;
        }
    }
    take(Source::Default);
    view
}

/// Returns the rule that refuses the message for this recipient: `None` when that is not known yet,
/// `Some(None)` when none does. Rules about attachments are not asked.
fn refusal(
    config: &Config,
    message: &MessageFacts<'_>,
    recipient: Option<&Person>,
) -> Option<Option<usize>> {
    let mut open = false;
    let of_message = |rule: &&Rule| !rule.is_of_part();
    let rules = config.rule.iter().enumerate();
    for (index, rule) in rules.filter(|(_, rule)| of_message(rule)) {
        match matching::of_message(rule, message, recipient) {
            Holds::No => {}
            // The rules before are not certain, but they would have to refuse to matter.
            Holds::Unknown => open |= rule.refuses() || may_refuse_after(config, index),
            Holds::Yes if open => return None,
            // A trial is reported at the end of the header.
            Holds::Yes if rule.refuses() && rule.dry_run => return None,
            Holds::Yes if rule.refuses() => return Some(Some(index)),
            Holds::Yes => return Some(None),
        }
    }
    if open { None } else { Some(None) }
}

/// Returns true if a rule behind this one refuses: only then does it matter whether this one matches.
fn may_refuse_after(config: &Config, index: usize) -> bool {
    config.rule.iter().skip(index + 1).any(Rule::refuses)
}

/// Returns the rule that keeps a message which passed the rules with its body unseen, as far as its envelope
/// tells; `users` when none does, and users may choose. Slower than [`outlook`]: not for mail in transit.
pub fn keeper_of((config, lists): (&Config, &AddressLists), envelope: &Envelope) -> Option<String> {
    let message = MessageFacts::new((config, lists), envelope, None);
    let recipients = each_recipient(envelope);

    let keeps = recipients.iter().find_map(|recipient| {
        config.rule.iter().find(|rule| {
            let holds = matching::of_message(rule, &message, Some(recipient));
            holds == Holds::Yes && !rule.is_of_part() && matches!(rule.action, RuleAction::Keep)
        })
    });

    let users = &config.users;
    let chose = users.opt_in.is_some() || users.opt_out.is_some();
    let label = keeps.map(|rule| rule.label.clone());
    label.or_else(|| chose.then(|| "users".to_owned()))
}

/// Checks whether the message stays as it is for this recipient by `[users]`: a user chose so, or nobody
/// asked for more.
fn users_keep(config: &Config, message: &MessageFacts<'_>, recipient: Option<&Person>) -> Holds {
    let not_in = config
        .users
        .opt_in
        .as_ref()
        .map_or(Holds::No, |list| stands_in(list, message, recipient).not());
    opted_out(config, message, recipient).or(not_in)
}

/// Checks whether a user's choice keeps the message as it is for this recipient.
fn opted_out(config: &Config, message: &MessageFacts<'_>, recipient: Option<&Person>) -> Holds {
    let list = config.users.opt_out.as_ref();
    list.map_or(Holds::No, |list| stands_in(list, message, recipient))
}

/// Checks whether one of ours who sends the message, or this recipient, stands in a list.
fn stands_in(list: &UserList, message: &MessageFacts<'_>, recipient: Option<&Person>) -> Holds {
    let sent = match message.direction {
        Direction::Incoming => Holds::No,
        Direction::Outgoing => {
            let sender = message.has_for(list, &message.sender, MailScope::Sent);
            let login = message.login.as_ref();
            sender.or(login.map_or(Holds::No, |login| {
                message.has_for(list, login, MailScope::Sent)
            }))
        }
    };
    sent.or(recipient.map_or(Holds::Unknown, |recipient| {
        message.has_for(list, recipient, MailScope::Received)
    }))
}

/// Returns the recipients, each person once; one without a name when there is none.
fn each_recipient(envelope: &Envelope) -> Vec<Person> {
    envelope.known.recipients(&envelope.recipients)
}

/// Returns true if it matters to a message of at most `size` bytes who is meant by its addresses:
/// something of it may be detached, or it may be refused.
pub(crate) fn asks_people(config: &Config, wish: Option<Wish>, size: Option<u64>) -> bool {
    config.rule.iter().any(Rule::refuses) || (wish.is_none() && may_detach(config, size))
}

/// Returns true if a rule or the defaults may detach something of a message of at most `size` bytes.
pub(crate) fn may_detach(config: &Config, size: Option<u64>) -> bool {
    let mut sources = (0..config.rule.len()).map(Source::Rule);
    Source::Default.reaches(config, size)
        || sources.any(|source| source.detaches(config) && source.reaches(config, size))
}

#[cfg(test)]
mod tests;

//! The rules that are left once the header is known, and the recipients combined.

use std::collections::HashSet;

use jiff::{Span, SpanRelativeTo, civil::date};

use super::{
    HeaderFacts, PartFacts, Person, Refusal, Source, Wish, each_recipient,
    matching::{self, Holds, MessageFacts},
    opted_out, users_keep,
};
use crate::{
    config::{AddressLists, Config, Recipients, Rule, RuleAction, RunMode, StoreKind},
    envelope::Envelope,
};

/// The sources that may decide, in order, for each group of recipients whose mail goes by the same
/// rules. The last of each group always decides.
#[derive(Clone, Debug)]
pub struct Plan {
    groups: Vec<Vec<Source>>,
    /// The rule that would have refused the message, were it not in dry-run.
    would_refuse: Option<Refusal>,
    /// The store of the files, where a rule names one.
    store: Option<StoreKind>,
    /// True if somebody chose that the message stays as it is.
    is_chosen: bool,
}

/// The fate of an attachment.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It depends on further bytes.
    Open,
    /// It stays, whatever its size.
    Stays(Source),
    /// It goes if it is heavy enough.
    Goes(Going),
}

/// The conditions under which an attachment goes, and its time.
#[derive(Clone, Debug)]
pub struct Going {
    /// The source of the decision.
    pub source: Source,
    /// Number of bytes from which it goes.
    pub threshold: u64,
    /// Number of bytes that the attachments may have together before it goes.
    pub message_threshold: Option<u64>,
    /// Time for which it can be fetched.
    pub retention: Span,
    /// True if it is only counted.
    pub dry_run: bool,
}

impl Plan {
    /// Asks everybody about a message whose header is known, and makes the plan for it.
    ///
    /// # Errors
    /// The message is refused.
    pub fn new(
        (config, lists): (&Config, &AddressLists),
        envelope: &Envelope,
        header: &HeaderFacts<'_>,
        wish: Option<Wish>,
    ) -> Result<Self, Refusal> {
        let message = MessageFacts::new((config, lists), envelope, Some(header));
        let mut plan = Self {
            groups: Vec::new(),
            would_refuse: None,
            store: None,
            is_chosen: wish == Some(Wish::Keep),
        };

        let rules = candidates(config, &message);
        let mut deciding = None;
        let mut known = HashSet::new();
        let mut refusals = Vec::new();

        for recipient in each_recipient(envelope) {
            let rule = of_message(&rules, &message, &recipient);
            plan.is_chosen |= opted_out(config, &message, Some(&recipient)) == Holds::Yes
                || rule.is_some_and(|index| matches!(config.rule[index].action, RuleAction::Keep));
            refusals.extend(rule.and_then(|index| Refusal::of(config, index)));
            let stores = rule.filter(|index| config.rule[*index].store().is_some());
            deciding = deciding.into_iter().chain(stores).min();

            let group = match wish {
                Some(wish) => vec![Source::Wish(wish)],
                None => group(config, &message, &rules, &recipient),
            };
            if known.insert(group.clone()) {
                plan.groups.push(group);
            }
        }

        plan.store = deciding.and_then(|index| config.rule[index].store());
        let is_trial = |refusal: &Refusal| {
            config.detach.mode == RunMode::DryRun || config.rule[refusal.rule].dry_run
        };

        refusals.sort_by_key(|refusal| refusal.rule);
        let (trials, mut refusals): (Vec<_>, Vec<_>) = refusals.into_iter().partition(is_trial);
        plan.would_refuse = trials.into_iter().next();

        if refusals.is_empty() {
            Ok(plan)
        } else {
            Err(refusals.swap_remove(0))
        }
    }

    /// Returns the refusal that was only logged and counted.
    pub fn would_refuse(&self) -> Option<&Refusal> {
        self.would_refuse.as_ref()
    }

    /// Returns true if somebody chose that the message stays as it is: its sender, a user, a rule.
    pub fn is_chosen(&self) -> bool {
        self.is_chosen
    }

    /// Returns the store of all files of the message; `None` for the usual one. Of each
    /// recipient's first rule about the message that holds, the one that names a store and comes
    /// first in the file decides.
    pub fn store(&self) -> Option<StoreKind> {
        self.store
    }

    /// Returns the source that keeps everything as it is; `None` when something may go from a
    /// message of at most `size` bytes.
    pub fn keeper(&self, config: &Config, size: Option<u64>) -> Option<Source> {
        let keeps = |group: &&Vec<Source>| {
            let detaches =
                |source: &&Source| source.detaches(config) && source.reaches(config, size);
            !group.iter().any(|source| detaches(&source))
        };
        let last = |group: &Vec<Source>| group.last().copied().unwrap_or(Source::Default);

        let mut keeping = self.groups.iter().filter(keeps);
        let first = keeping.next()?;
        match config.detach.recipients {
            Recipients::AnyKeep => Some(last(first)),
            Recipients::AnyDetach => {
                (keeping.count() + 1 == self.groups.len()).then(|| last(first))
            }
        }
    }

    /// Returns true if the first bytes of an attachment may have to be looked at.
    pub fn asks_content(&self, config: &Config) -> bool {
        let asks = |source: &Source| match source {
            Source::Rule(index) => config.rule[*index]
                .conditions
                .iter()
                .any(|condition| matches!(condition, crate::config::Condition::Content(_))),
            _ => false,
        };
        self.groups.iter().flatten().any(asks)
    }

    /// Returns the fate of every attachment; `None` when a rule asks something about it.
    pub fn fate_of_all(&self, config: &Config) -> Option<Fate> {
        let asks = |source: &Source| match source {
            Source::Rule(index) => config.rule[*index].is_of_part(),
            _ => false,
        };
        let is_asked = self.groups.iter().flatten().any(asks);
        (!is_asked).then(|| self.decide(config, &PartFacts::new("", "")))
    }

    /// Returns the fate of an attachment, by the facts known about it.
    pub fn decide(&self, config: &Config, part: &PartFacts) -> Fate {
        let fates: Vec<Fate> = self
            .groups
            .iter()
            .map(|group| decide(config, group, part))
            .collect();

        let keep = fates.iter().find(|fate| matches!(fate, Fate::Stays(_)));
        let is_open = fates.iter().any(|fate| matches!(fate, Fate::Open));
        let goings: Vec<&Going> = fates.iter().filter_map(Fate::going).collect();

        match (config.detach.recipients, keep) {
            (Recipients::AnyKeep, Some(keep)) => keep.clone(),
            _ if is_open => Fate::Open,
            (recipients, keep) => match together(recipients, &goings) {
                Some(going) => Fate::Goes(going),
                None => keep.cloned().unwrap_or(Fate::Stays(Source::Default)),
            },
        }
    }
}

impl Fate {
    fn going(&self) -> Option<&Going> {
        match self {
            Self::Goes(going) => Some(going),
            _ => None,
        }
    }
}

impl Source {
    /// Returns true if it lets attachments go.
    pub(crate) fn detaches(self, config: &Config) -> bool {
        match self {
            Self::Default | Self::Wish(Wish::Detach) => true,
            Self::Users | Self::Wish(Wish::Keep) => false,
            Self::Rule(index) => matches!(config.rule[index].action, RuleAction::Detach(_)),
        }
    }
}

/// A rule that holds for a message, for all recipients or for some.
struct Candidate<'a> {
    index: usize,
    rule: &'a Rule,
    is_for_all: bool,
}

impl Candidate<'_> {
    fn holds_for(&self, message: &MessageFacts<'_>, recipient: &Person) -> bool {
        self.is_for_all || matching::is_for(self.rule, message, recipient)
    }
}

/// Returns the rules that hold for some recipient. Their conditions on the header are asked once,
/// however many recipients there are: both are as long as a stranger makes them.
fn candidates<'a>(config: &'a Config, message: &MessageFacts<'_>) -> Vec<Candidate<'a>> {
    let candidate = |(index, rule)| {
        let holds = matching::of_message(rule, message, None);
        (holds != Holds::No).then_some(Candidate {
            index,
            rule,
            is_for_all: holds == Holds::Yes,
        })
    };
    config
        .rule
        .iter()
        .enumerate()
        .filter_map(candidate)
        .collect()
}

/// Returns the first rule about messages that matches for one recipient.
fn of_message(
    rules: &[Candidate<'_>],
    message: &MessageFacts<'_>,
    recipient: &Person,
) -> Option<usize> {
    let mut rules = rules.iter().filter(|it| !it.rule.is_of_part());
    rules
        .find(|it| it.holds_for(message, recipient))
        .map(|it| it.index)
}

/// Returns the sources that may decide for one recipient.
fn group(
    config: &Config,
    message: &MessageFacts<'_>,
    rules: &[Candidate<'_>],
    recipient: &Person,
) -> Vec<Source> {
    if users_keep(config, message, Some(recipient)) == Holds::Yes {
        return vec![Source::Users];
    }

    let mut group = Vec::new();
    for candidate in rules.iter().filter(|it| it.holds_for(message, recipient)) {
        group.push(Source::Rule(candidate.index));
        if !candidate.rule.is_of_part() {
            return group;
        }
    }
    group.push(Source::Default);
    group
}

/// Asks the sources in order; the first that decides gives the fate.
fn decide(config: &Config, group: &[Source], part: &PartFacts) -> Fate {
    for &source in group {
        let holds = match source {
            Source::Rule(index) => matching::of_part(&config.rule[index], part),
            _ => Holds::Yes,
        };
        match holds {
            Holds::No => {}
            Holds::Unknown => return Fate::Open,
            Holds::Yes if source.detaches(config) => return Fate::Goes(going(config, source)),
            Holds::Yes => return Fate::Stays(source),
        }
    }
    Fate::Stays(Source::Default)
}

fn going(config: &Config, source: Source) -> Going {
    let (threshold, message_threshold) = source.thresholds(config);
    Going {
        source,
        threshold,
        message_threshold,
        retention: source.retention(config),
        dry_run: matches!(source, Source::Rule(index) if config.rule[index].dry_run),
    }
}

/// Combines the terms of several recipients: the strictest, or the mildest; the longest retention
/// in either case.
fn together(recipients: Recipients, goings: &[&Going]) -> Option<Going> {
    let keep = recipients == Recipients::AnyKeep;
    let beats = |one: &Going, other: &Going| match (one.dry_run, other.dry_run) {
        // A trial leaves the attachment where it is.
        (true, false) => keep,
        (false, true) => !keep,
        _ if keep => one.threshold > other.threshold,
        _ => one.threshold < other.threshold,
    };

    let mut goings = goings.iter();
    let mut best: Going = (*goings.next()?).clone();
    let (mut retention, mut sum) = (best.retention, best.message_threshold);

    for going in goings {
        let sums = (
            sum.unwrap_or(u64::MAX),
            going.message_threshold.unwrap_or(u64::MAX),
        );
        let one = if keep {
            sums.0.max(sums.1)
        } else {
            sums.0.min(sums.1)
        };
        sum = (one < u64::MAX).then_some(one);
        if is_longer(&going.retention, &retention) {
            retention = going.retention;
        }
        if beats(going, &best) {
            best = (*going).clone();
        }
    }

    (best.retention, best.message_threshold) = (retention, sum);
    Some(best)
}

/// Returns true if a time is longer, by the calendar of one year.
fn is_longer(one: &Span, other: &Span) -> bool {
    let length = |span: &Span| {
        span.to_duration(SpanRelativeTo::from(date(2026, 1, 1)))
            .ok()
    };
    length(one) > length(other)
}

//! The policy's decisions on the parts of one message. Pure.

use std::sync::Arc;

use super::leaf::{Leaf, LeafFacts};
use crate::{
    config::Config,
    policy::{Fate, PartFacts, Plan},
};

/// The policy's decisions on the parts of one message.
#[derive(Debug)]
pub(super) struct Fates {
    config: Arc<Config>,
    plan: Plan,
    /// The fate of every candidate, where the policy asks nothing about it.
    of_all: Option<Fate>,
    asks_content: bool,
}

impl Fates {
    pub(super) fn new(config: Arc<Config>, plan: Plan) -> Self {
        Self {
            of_all: plan.fate_of_all(&config),
            asks_content: plan.asks_content(&config),
            config,
            plan,
        }
    }

    /// Asks the policy about a candidate of which only the header came.
    pub(super) fn ask(&self, leaf: &mut Leaf) {
        if let Some(fate) = &self.of_all {
            return leaf.decide(fate.clone());
        }
        let facts = PartFacts::new(&leaf.file.given_name(), &leaf.file.media_type);
        let fate = self.plan.decide(&self.config, &facts);
        leaf.asked = Some(Box::new(LeafFacts::new(facts)));
        leaf.decide(fate);
    }

    /// Asks the policy again, as long as it has not decided.
    pub(super) fn ask_again(&self, leaf: &mut Leaf, decoded: &[u8], is_whole: bool) {
        let weight = leaf.weight();
        let Some(asked) = &mut leaf.asked else {
            return;
        };
        if self.asks_content {
            asked.see(decoded, is_whole);
        }
        (asked.facts.bytes, asked.facts.is_whole) = (weight, is_whole);
        let fate = self.plan.decide(&self.config, &asked.facts);
        leaf.decide(fate);
    }

    /// The number of bytes from which a part would be heavy that cannot be decoded; `None` for one
    /// that does not go.
    pub(super) fn threshold(&self, fate: &Fate) -> Option<u64> {
        match fate {
            Fate::Goes(going) if !going.dry_run => Some(going.threshold),
            Fate::Open => Some(self.config.detach.threshold),
            _ => None,
        }
    }
}

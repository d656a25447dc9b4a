//! The outcome of a message, as it is logged, counted and kept.

use jiff::Timestamp;
use tracing::{info, warn};

use super::{Answer, ReasonLabel, Reply, Session, TARGET};
use crate::{
    config::OnFailure,
    decisions::{Decision, Who},
    drop::{Link, RecordId},
    filter::{Rewritten, Trial},
    metrics::Outcome,
    milter::outline::Outline,
    policy::{self, Refusal},
    units,
};

/// The reason when readers elsewhere could not open the links, or the network could read the files.
pub(super) const LOCAL_LINKS: ReasonLabel = "local-links";

impl Session {
    pub(super) fn sent(&self, rewritten: &Rewritten, outline: &Outline) -> Answer {
        info!(
            target: TARGET,
            queue_id = outline.queue_id,
            outcome = "rewritten",
            direction = outline.direction.as_str(),
            parts = rewritten.detached,
            bytes = rewritten.detached_bytes,
            shared = rewritten.is_copy.then_some(true),
            foreign_marks = (rewritten.foreign_marks > 0).then_some(rewritten.foreign_marks),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message rewritten",
        );

        let package = Link::read(&rewritten.link).map(|link| RecordId::from(&link.token));
        self.keep_with(outline, ("rewritten", "detached"), None, package);

        self.connection
            .shared
            .metrics
            .message(Outcome::Rewritten, "detached");
        self.connection
            .shared
            .metrics
            .detached(rewritten.detached, rewritten.detached_bytes);
        if rewritten.is_copy {
            self.connection.shared.metrics.shared_package();
        }
        self.connection
            .shared
            .metrics
            .foreign_marks(rewritten.foreign_marks);
        Answer::Accept
    }

    pub(super) fn pass(&self, outline: &Outline, reason: ReasonLabel) -> Answer {
        info!(
            target: TARGET,
            queue_id = outline.queue_id,
            outcome = "passed",
            reason,
            direction = outline.direction.as_str(),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message passed",
        );

        if outline.trial.parts > 0 && !outline.withheld {
            let Trial { parts, bytes } = outline.trial;
            let queue_id = &outline.queue_id;
            info!(target: TARGET, queue_id, parts, bytes, "would have been detached: dry-run");
        }

        self.keep(outline, "passed", reason, None);
        self.connection
            .shared
            .metrics
            .message(Outcome::Passed, reason);
        Answer::Accept
    }

    /// Warns that nothing is detached from mail that leaves this machine, and says what to type.
    pub(super) fn warn_of_local_links(&self, outline: &Outline) {
        let url = &self.transaction.filter.config().web.public_url;
        let daemons = units::in_use().names();
        warn!(
            target: TARGET,
            queue_id = outline.queue_id,
            reason = LOCAL_LINKS,
            parts = outline.trial.parts,
            "left alone: its recipients are on other machines, and web.public_url = \"{url}\" is not https or is this machine: \
             set it to the address of the drop (https://drop.example.org/) and type systemctl restart {daemons}"
        );
    }

    pub(super) fn refuse(&mut self, outline: &Outline, refusal: Refusal) -> Answer {
        let rule = policy::Source::Rule(refusal.rule).label(self.transaction.filter.config());
        info!(
            target: TARGET,
            queue_id = outline.queue_id,
            outcome = "refused",
            reason = if refusal.for_good {
                "reject"
            } else {
                "tempfail"
            },
            rule,
            direction = outline.direction.as_str(),
            "message refused",
        );

        self.keep(outline, "refused", "rules", Some(rule));
        self.connection
            .shared
            .metrics
            .message(Outcome::Refused, "rules");

        let Refusal { for_good, text, .. } = refusal;
        self.transaction.refusal = Some(Reply { for_good, text });
        Answer::Refuse
    }

    /// Refuses a message with a file because of which it is not to go out.
    pub(super) fn reject(&mut self, outline: &Outline, reason: ReasonLabel, text: &str) -> Answer {
        info!(
            target: TARGET,
            queue_id = outline.queue_id,
            outcome = "refused",
            reason,
            direction = outline.direction.as_str(),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message refused",
        );

        self.keep(outline, "refused", reason, None);
        self.connection
            .shared
            .metrics
            .message(Outcome::Refused, reason);

        self.transaction.refusal = Some(Reply {
            for_good: true,
            text: text.to_owned(),
        });
        Answer::Refuse
    }

    pub(super) fn fail(&self, outline: &Outline, reason: ReasonLabel) -> Answer {
        self.fail_by(
            outline,
            reason,
            self.transaction.filter.config().detach.on_failure,
        )
    }

    /// Turns a failure of ours into an answer about the mail: the one place that does.
    pub(super) fn fail_by(
        &self,
        outline: &Outline,
        reason: ReasonLabel,
        on_failure: OnFailure,
    ) -> Answer {
        let answer = match on_failure {
            OnFailure::Deliver => Answer::Accept,
            OnFailure::Tempfail => Answer::Tempfail,
        };
        self.log_failure(outline, reason, answer)
    }

    /// Gives up a message. Postfix is not there to be told: it has given the client its own answer.
    pub(super) fn give_up(&self, outline: &Outline) -> Answer {
        self.log_failure(outline, "postfix-gone", Answer::Tempfail)
    }

    pub(super) fn log_failure(
        &self,
        outline: &Outline,
        reason: ReasonLabel,
        answer: Answer,
    ) -> Answer {
        let outcome = if answer == Answer::Accept {
            "delivered-untouched"
        } else {
            "tempfailed"
        };

        self.keep(outline, outcome, reason, None);
        warn!(
            target: TARGET,
            queue_id = outline.queue_id,
            outcome,
            reason,
            direction = outline.direction.as_str(),
            milliseconds = outline.milliseconds(),
            "message failed",
        );

        self.connection
            .shared
            .metrics
            .message(Outcome::Failed, reason);
        answer
    }

    /// Keeps a decision, for those who ask for its reason.
    fn keep(&self, outline: &Outline, outcome: &str, reason: &str, rule: Option<&str>) {
        self.keep_with(outline, (outcome, reason), rule, None);
    }

    fn keep_with(
        &self,
        outline: &Outline,
        (outcome, reason): (&str, &str),
        rule: Option<&str>,
        package: Option<RecordId>,
    ) {
        if let Some(decisions) = self.transaction.filter.decisions()
            && let Some(who) = &outline.who
        {
            let decision = Decision {
                time: Timestamp::now(),
                who: Who::clone(who),
                outcome: outcome.to_owned(),
                reason: reason.to_owned(),
                rule: rule.map(str::to_owned),
                package,
                parts: outline.parts.clone(),
            };
            decisions.keep(decision, Some(self.transaction.filter.basis()));
        }
    }
}

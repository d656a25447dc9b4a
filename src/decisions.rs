//! The decisions about each message, kept for some days, so that an admin can be told the reasons.
//!
//! A ring beside the drop, in a database of its own (`decisions/drop.sqlite3`), bounded in time
//! (`audit.decisions`) and in number (`audit.decisions_max`). It has what the log must not have,
//! the addresses of sender and recipients, and no name of any file: those are sealed in the drop.
//!
//! Mail never waits for it. A decision is put into a list in memory; a thread writes what has gathered there,
//! once a second at most, in one transaction and without a sync. A power cut can cost the last decisions, or
//! all; nothing else depends on them. Those that cannot be written are forgotten.

mod store;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use jiff::{Span, Timestamp};

pub use self::store::{DecisionQuery, Ring, RingError};
use crate::{
    config::{AddressLists, AuditConfig, Config},
    drop::RecordId,
    envelope::{Direction, Envelope},
    lock::lock,
    policy,
};

/// Maximum number of decisions that wait for the thread; more are forgotten, and counted.
const WAITING_MAX: usize = 10_000;

/// Time for which the thread lets decisions gather.
const GATHER: Duration = Duration::from_secs(1);

/// Maximum number of recipients that are named; all are counted.
pub const RECIPIENTS_MAX: usize = 20;

/// The decision about a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The time of the decision.
    pub time: Timestamp,
    /// The message and its people.
    pub who: Who,
    /// The outcome: `passed`, `rewritten`, `refused`, `delivered-untouched`, `tempfailed`.
    pub outcome: String,
    /// The reason, as in the log.
    pub reason: String,
    /// The source of the decision about the whole message: a rule's name, `users`, …
    pub rule: Option<String>,
    /// The package that holds the detached files.
    pub package: Option<RecordId>,
    /// The decision for each part, as far as the parts were looked at. Without names.
    pub parts: Vec<PartRecord>,
}

/// A message and its people, as far as they are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Postfix's queue id.
    pub queue_id: String,
    /// The `Message-ID` with its angle brackets; not known of messages whose header was not seen.
    pub message_id: Option<String>,
    /// The direction in which the message goes.
    pub direction: Direction,
    /// The envelope sender.
    pub sender: String,
    /// The login name.
    pub login: Option<String>,
    /// The address of the client.
    pub client: Option<String>,
    /// The recipients, the first [`RECIPIENTS_MAX`] of them.
    pub recipients: Vec<String>,
    /// Number of all recipients.
    pub recipient_count: usize,
    /// Size of the message in bytes, as the client declared it.
    pub bytes: Option<u64>,
}

/// The decision for a part.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct PartRecord {
    /// Its place in the message, as `2.1`.
    pub path: String,
    /// Its declared media type.
    pub media_type: String,
    /// Its decoded size.
    pub bytes: u64,
    /// `detached`, `would go` or `kept`.
    pub fate: String,
    /// The source of the decision.
    pub rule: Option<String>,
    /// The reason.
    pub reason: String,
}

/// A handle by which sessions record decisions. Cheap to clone; waiting decisions are written when
/// the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Decisions(Arc<DecisionWriter>);

#[derive(Debug)]
struct DecisionWriter {
    shared: Arc<DecisionQueue>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
    /// True if the addresses of clients are recorded.
    addresses: bool,
}

#[derive(Debug, Default)]
struct DecisionQueue {
    waiting: Mutex<PendingDecisions>,
    changed: Condvar,
}

/// A decision, and the configuration by which it fell.
type Made = (Decision, Option<Basis>);

/// The configuration by which a decision fell, with the contents of its files of addresses.
pub type Basis = (Arc<Config>, AddressLists);

#[derive(Debug, Default)]
struct PendingDecisions {
    decisions: Vec<Made>,
    forgotten: u64,
    ended: bool,
}

impl Who {
    /// Takes the facts of an envelope that are kept.
    pub fn new(envelope: &Envelope, message_id: Option<String>) -> Self {
        let named = envelope.recipients.iter().take(RECIPIENTS_MAX);
        Self {
            queue_id: envelope.queue_id.clone(),
            message_id,
            direction: envelope.direction,
            sender: envelope.sender.clone(),
            login: envelope.login.clone(),
            client: envelope.client.map(|client| client.to_string()),
            recipients: named.cloned().collect(),
            recipient_count: envelope.recipients.len(),
            bytes: envelope.size,
        }
    }

    /// Returns the envelope again, as far as its facts are kept.
    fn envelope(&self) -> Envelope {
        Envelope {
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            direction: self.direction,
            login: self.login.clone(),
            client: self.client.as_deref().and_then(|ip| ip.parse().ok()),
            ..Envelope::default()
        }
    }
}

/// Returns the path of a drop's ring.
pub fn file(drop: &Path) -> PathBuf {
    drop.join("decisions").join("drop.sqlite3")
}

impl Decisions {
    /// Starts the thread that writes; `None` when nothing is to be kept, or there is no thread.
    pub fn start(drop: &Path, audit: &AuditConfig) -> Option<Self> {
        let keep = audit.decisions?;
        let shared = Arc::new(DecisionQueue::default());
        let (theirs, ring) = (Arc::clone(&shared), Ring::new(file(drop)));
        let bounds = (keep, audit.decisions_max);
        let thread = thread::Builder::new()
            .name("decisions".to_owned())
            .spawn(move || write(&theirs, ring, bounds))
            .inspect_err(|error| tracing::warn!("decisions are not kept: no thread: {error}"))
            .ok()?;
        Some(Self(Arc::new(DecisionWriter {
            shared,
            thread: Mutex::new(Some(thread)),
            addresses: audit.addresses,
        })))
    }

    /// Keeps a decision. With the configuration by which it fell, the thread finds out later which
    /// rule kept a message unseen.
    pub fn keep(&self, mut decision: Decision, basis: Option<Basis>) {
        if !self.0.addresses {
            decision.who.client = None;
        }
        let mut waiting = lock(&self.0.shared.waiting);
        if waiting.decisions.len() >= WAITING_MAX {
            waiting.forgotten += 1;
            return;
        }
        waiting.decisions.push((decision, basis));
        if waiting.decisions.len() == 1 {
            self.0.shared.changed.notify_one();
        }
    }
}

impl Drop for DecisionWriter {
    fn drop(&mut self) {
        lock(&self.shared.waiting).ended = true;
        self.shared.changed.notify_one();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Runs the thread: waits for the first decision, lets others gather, writes them.
fn write(shared: &DecisionQueue, mut ring: Ring, bounds: (Span, usize)) {
    let mut complained = false;

    if ring.exists() {
        // Old decisions are forgotten even if no mail comes; an error here will come again.
        let _ = ring.write(&[], bounds, Timestamp::now());
    }

    loop {
        let (decisions, forgotten, ended) = gathered(shared);
        if decisions.is_empty() && ended {
            return;
        }

        let written = ring.write(&with_rules(decisions), bounds, Timestamp::now());
        if let Err(error) = &written
            && !complained
        {
            tracing::warn!("what was decided of messages is not kept: {error}");
        }
        if forgotten > 0 {
            tracing::warn!(forgotten, "decisions came faster than they can be kept");
        }

        complained = written.is_err();
        if ended {
            return;
        }
    }
}

/// Returns the decisions that gathered, the number of forgotten ones, and true if this is the end.
fn gathered(shared: &DecisionQueue) -> (Vec<Made>, u64, bool) {
    let guard = |error: PoisonError<_>| error.into_inner();
    let waiting = lock(&shared.waiting);
    let is_idle = |waiting: &mut PendingDecisions| waiting.decisions.is_empty() && !waiting.ended;
    let waiting = shared.changed.wait_while(waiting, is_idle);
    let waiting = waiting.unwrap_or_else(guard);

    let goes_on = |waiting: &mut PendingDecisions| !waiting.ended;
    let gathering = shared.changed.wait_timeout_while(waiting, GATHER, goes_on);
    let mut waiting = match gathering {
        Ok((waiting, _)) => waiting,
        Err(error) => error.into_inner().0,
    };

    let forgotten = std::mem::take(&mut waiting.forgotten);
    (
        std::mem::take(&mut waiting.decisions),
        forgotten,
        waiting.ended,
    )
}

/// Finds out which rule kept the messages that were kept unseen.
fn with_rules(decisions: Vec<Made>) -> Vec<Decision> {
    let rule = |(mut decision, basis): Made| {
        if decision.rule.is_none()
            && decision.reason == "rules"
            && let Some((config, lists)) = basis
        {
            decision.rule = policy::keeper_of((&config, &lists), &decision.who.envelope());
        }
        decision
    };
    decisions.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn decision(queue_id: &str) -> Decision {
        Decision {
            time: "2026-11-20T10:00:00Z".parse().unwrap(),
            who: Who {
                queue_id: queue_id.to_owned(),
                message_id: Some(format!("<{queue_id}@example.org>")),
                direction: Direction::Outgoing,
                sender: "alice@example.org".to_owned(),
                login: Some("alice".to_owned()),
                client: Some("192.0.2.7".to_owned()),
                recipients: vec!["bob@example.com".to_owned()],
                recipient_count: 1,
                bytes: Some(1000),
            },
            outcome: "passed".to_owned(),
            reason: "small".to_owned(),
            rule: None,
            package: None,
            parts: vec![PartRecord {
                path: "2".to_owned(),
                media_type: "application/pdf".to_owned(),
                bytes: 10,
                fate: "kept".to_owned(),
                rule: Some("default".to_owned()),
                reason: "below threshold".to_owned(),
            }],
        }
    }

    #[test]
    fn what_was_kept_is_written_when_the_last_goes() {
        let home = tempfile::tempdir().unwrap();
        let audit = AuditConfig {
            decisions: Some(Span::new().years(50)),
            ..AuditConfig::default()
        };
        let decisions = Decisions::start(home.path(), &audit).unwrap();
        decisions.clone().keep(decision("4abc"), None);
        drop(decisions);
        let found = Ring::new(file(home.path()))
            .find(&DecisionQuery::QueueId("4abc".into()))
            .unwrap();
        assert_eq!(found, [decision("4abc")]);
    }

    #[test]
    fn without_addresses_no_client_is_kept_and_off_keeps_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut audit = AuditConfig {
            addresses: false,
            decisions: Some(Span::new().years(50)),
            ..AuditConfig::default()
        };
        let decisions = Decisions::start(home.path(), &audit).unwrap();
        decisions.keep(decision("4abc"), None);
        drop(decisions);
        let found = Ring::new(file(home.path()))
            .find(&DecisionQuery::QueueId("4abc".into()))
            .unwrap();
        assert_eq!(found[0].who.client, None);
        audit.decisions = None;
        assert!(Decisions::start(home.path(), &audit).is_none());
    }
}

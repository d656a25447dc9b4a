//! The answer to why, for people and as JSON.

use serde_json::{Value, json};

use super::super::{
    audit, look,
    table::{self, json as write_json, line},
};
use crate::{
    cli::exit::Failure,
    decisions::{Decision, PartRecord, Who},
    drop::{Deposit, Entry},
};

/// The facts that are known of a message.
#[derive(Debug)]
pub(super) struct MessageHistory {
    pub(super) queue_id: String,
    /// The decision, if that is still kept.
    pub(super) decision: Option<Decision>,
    /// The packages of it that the drop holds.
    pub(super) held: Vec<HeldPackage>,
    /// Postfix's lines about it.
    pub(super) lines: Vec<String>,
}

/// A package, and the entries of the log about it.
#[derive(Debug)]
pub(super) struct HeldPackage {
    pub(super) deposit: Deposit,
    /// The names of its files, for those who have the link.
    pub(super) names: Option<Vec<String>>,
    pub(super) entries: Vec<Entry>,
}

impl MessageHistory {
    /// Returns true if it came to us.
    pub(super) fn is_ours(&self) -> bool {
        self.decision.is_some() || !self.held.is_empty()
    }
}

/// Writes answers.
pub(super) fn print(answers: &[MessageHistory], json: bool) -> Result<(), Failure> {
    if json {
        return write_json(&answers.iter().map(as_json).collect());
    }
    answers.iter().enumerate().try_for_each(|(index, answer)| {
        if index > 0 {
            line("")?;
        }
        tell(answer)
    })
}

fn tell(answer: &MessageHistory) -> Result<(), Failure> {
    match &answer.decision {
        Some(decision) => decided(decision)?,
        None if answer.held.is_empty() => {
            fact("queue id", &answer.queue_id)?;
            fact(
                "decided",
                "nothing: Postfix knows this message, and did not ask us, or it is longer ago than audit.decisions; \
                 depollueur doctor, as root, says whether Postfix asks",
            )?;
        }
        None => {
            fact("queue id", &answer.queue_id)?;
            fact(
                "decided",
                "is not kept any more (audit.decisions); the drop still knows:",
            )?;
        }
    }

    answer.held.iter().try_for_each(held)?;
    if !answer.lines.is_empty() {
        line("")?;
        line("Postfix's log:")?;
    }

    answer
        .lines
        .iter()
        .try_for_each(|text| line(&format!("  {text}")))
}

fn decided(decision: &Decision) -> Result<(), Failure> {
    let who = &decision.who;
    let unnamed = "passed before it had one: found by sender and time (the milter's socket is TCP)";
    let queue_id = if who.queue_id.is_empty() {
        unnamed
    } else {
        &who.queue_id
    };

    fact("queue id", queue_id)?;
    fact("message id", who.message_id.as_deref().unwrap_or_default())?;
    fact("time", &decision.time.to_string())?;
    fact("outcome", &decision.outcome)?;
    fact("why", in_words(&decision.reason))?;
    fact("decided by", decision.rule.as_deref().unwrap_or_default())?;
    fact("direction", who.direction.as_str())?;
    fact("sender", &format!("<{}>", who.sender))?;
    fact("login", who.login.as_deref().unwrap_or_default())?;
    fact("client", who.client.as_deref().unwrap_or_default())?;
    fact("recipients", &recipients(who))?;
    let bytes = who.bytes.map(|bytes| bytes.to_string());
    fact("declared bytes", &bytes.unwrap_or_default())?;

    if decision.parts.is_empty() {
        return Ok(());
    }

    line("")?;
    let row = |part: &PartRecord| {
        let path = if part.path.is_empty() {
            "-"
        } else {
            &part.path
        };
        [
            path.to_owned(),
            part.fate.clone(),
            part.bytes.to_string(),
            part.rule.clone().unwrap_or_else(|| "-".to_owned()),
            part.media_type.clone(),
            part.reason.clone(),
        ]
    };

    let headings = ["PART", "FATE", "BYTES", "DECIDED BY", "TYPE", "WHY"];
    table::table(headings, decision.parts.iter().map(row).collect())
}

fn recipients(who: &Who) -> String {
    let named: Vec<_> = who.recipients.iter().map(|to| format!("<{to}>")).collect();
    let rest = who.recipient_count.saturating_sub(named.len());
    let more = (rest > 0).then(|| format!(" and {rest} more"));
    named.join(", ") + &more.unwrap_or_default()
}

fn held(held: &HeldPackage) -> Result<(), Failure> {
    let deposit = &held.deposit;
    line("")?;
    look::facts(deposit)?;

    if let Some(names) = &held.names {
        fact("files", &names.join(", "))?;
        line("")?;
    }

    let row = |entry: &Entry| {
        [
            entry.time.to_string(),
            entry.action.to_string(),
            entry.client.actor.to_string(),
            entry
                .client
                .address
                .map(|ip| ip.to_string())
                .unwrap_or_default(),
            entry.detail.clone(),
        ]
    };

    let headings = ["TIME", "DONE WITH IT", "BY", "ADDRESS", "DETAIL"];
    table::table(headings, held.entries.iter().map(row).collect())
}

/// Writes a line with a name and a value; none without a value.
fn fact(name: &str, value: &str) -> Result<(), Failure> {
    if value.is_empty() {
        return Ok(());
    }
    line(&format!("{name:16}{value}"))
}

/// The meaning of a word of the log.
fn in_words(reason: &str) -> &str {
    match reason {
        "detached" => "detached: attachments went into the drop",
        "small" => "small: it is smaller than every threshold that may hold",
        "direction" => "direction: mail of this direction is not treated (detach.directions)",
        "rules" => "rules: a rule, or the users' choice, keeps all of it",
        "wish" => "wish: its sender wanted everything kept ([sender])",
        "header" => "header: it is of a kind from which nothing is detached, as its header says",
        "nothing" => "nothing: it was read to its end, and nothing was to be detached",
        "dry-run" => "dry-run: something would have been done (detach.mode, or the rule's)",
        "blocked" => "blocked: an admin blocked a file of it (depollueur drop blocks)",
        "infected" => {
            "infected: the virus scan found something in a file of it (scan.on_infected; depollueur drop audit says what)"
        }
        "too-large-to-scan" => {
            "too-large-to-scan: a file of it is larger than scan.size_max (scan.on_oversize)"
        }
        "unscanned" => {
            "unscanned: a file of it could not be scanned for viruses (scan.on_failure); the daemon's log says why"
        }
        "suspended" => "suspended: an admin suspended its login (depollueur drop suspended)",
        "drop" => "drop: the drop failed; the daemon's log says how",
        "deadline" => "it took longer than milter.deadline",
        "no-turn" => {
            "no-turn: it waited longer than milter.deadline for its turn (milter.max_messages, milter.max_messages_per_login)"
        }
        "postfix-gone" => "postfix-gone: Postfix closed the connection",
        "spool" => "spool: the spool could not be written; the daemon's log says how",
        "header-memory" => "header-memory: its header came when milter.header_memory was used up",
        "local-links" => "local-links: its links would lead to this machine only (web.public_url)",
        "kept-before" => "kept-before: a choice kept it when it came before (detach.remember_kept)",
        "sender-quota" => {
            "sender-quota: its sender had deposited quota.sender_per_day in the last day"
        }
        "incoming-quota" => {
            "incoming-quota: mail from outside had deposited quota.incoming_per_day in the last day, or its network \
             quota.incoming_client_per_day"
        }
        "marked" => {
            "marked: a filter before this one doubts it (detach.marked_by), or DMARC failed (sender.authserv_id)"
        }
        "forwarded" => {
            "forwarded: it is for an address that forwards to another machine (detach.forwarded)"
        }
        "dkim2" => "dkim2: it has a DKIM2 signature and leaves again (detach.dkim2)",
        "lookup" => "lookup: a table of Postfix did not answer",
        "no-place" => "no-place: no part can take the notice, and none can be added",
        "too-many-detached" => "too-many-detached: more than 1000 files would go",
        "foreign-marks" => {
            "foreign-marks: it came from outside with more than 100 fields X-Depollueur of its own"
        }
        "shown-later" => "shown-later: an HTML text behind a file shows it",
        "reread" => "reread: with the notice it would have other parts than it must",
        "malformed-body" => {
            "malformed-body: a heavy part is not what its encoding says, or has no end"
        }
        "base64" => "base64: a part is not what its base64 says",
        "boundary" => "boundary: readers differ about the boundary of a multipart",
        "malformed-header" => "malformed-header: a header has a line that is no field, or no end",
        "repeated-field" => "repeated-field: a Content- field stands twice, and says two things",
        "content-type" => "content-type: a Content-Type is not one that all readers know",
        "encoding" => "encoding: not all readers know a Content-Transfer-Encoding",
        "delimiter-tail" => "delimiter-tail: a boundary has something behind it on its line",
        "delimiter-mid-line" => "delimiter-mid-line: a boundary stands inside of a line",
        "delimiter-line-end" => {
            "delimiter-line-end: a boundary stands between line ends of two kinds"
        }
        "delimiter-twice" => "delimiter-twice: a line is the boundary of two multiparts",
        "delimiter-in-header" => "delimiter-in-header: a boundary stands in the header of a part",
        "limit-depth" => "limit-depth: multiparts are nested deeper than limits.depth_max",
        "limit-parts" => "limit-parts: it has more parts than limits.parts_max",
        "limit-header" => "limit-header: a header is longer than limits.header_bytes_max",
        "not-editable" => "not-editable: the mail server does not let mail be changed",
        other => other,
    }
}

fn as_json(answer: &MessageHistory) -> Value {
    let packages: Vec<_> = answer.held.iter().map(held_json).collect();
    json!({
        "queue_id": answer.queue_id,
        "decision": answer.decision.as_ref().map(decision_json),
        "packages": packages,
        "postfix": answer.lines,
    })
}

fn held_json(held: &HeldPackage) -> Value {
    let mut shown = look::deposit_json(&held.deposit);
    shown["names"] = json!(held.names);
    shown["audit"] = held.entries.iter().map(audit::entry_json).collect();
    shown
}

fn decision_json(decision: &Decision) -> Value {
    let who = &decision.who;
    json!({
        "time": decision.time.to_string(),
        "message_id": who.message_id,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "rule": decision.rule,
        "direction": who.direction,
        "sender": who.sender,
        "login": who.login,
        "client": who.client,
        "recipients": who.recipients,
        "recipient_count": who.recipient_count,
        "declared_bytes": who.bytes,
        "parts": decision.parts,
    })
}

//! The outline of a message in the log.

use std::time::Instant;

use mailsplice::mime::Field;
use tracing::{debug, enabled};

use crate::{
    decisions::{PartRecord, Who},
    envelope::{Direction, Envelope},
    filter::{Filter, Message, PartDecision, Trial},
};

/// The longest `Message-ID` that is kept: a line of RFC 5322 has 998 bytes at most.
const MESSAGE_ID_BYTES_MAX: usize = 998;

/// The outline of a message in the log.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) queue_id: String,
    pub(super) direction: Direction,
    pub(super) since: Instant,
    /// The decisions on all parts, in one line.
    pub(super) decisions: Option<String>,
    pub(super) trial: Trial,
    /// True if nothing is detached because readers elsewhere could not open the links.
    pub(super) withheld: bool,
    /// The people of the message, where decisions are kept.
    pub(super) who: Option<Box<Who>>,
    /// The decisions on all parts, likewise.
    pub(super) parts: Vec<PartRecord>,
}

impl Outline {
    /// Begins an outline; `header` as far as it was seen.
    pub(super) fn new(envelope: &Envelope, header: &[Field], filter: &Filter) -> Self {
        let who = || Box::new(Who::new(envelope, message_id(header)));
        Self {
            who: filter.decisions().map(|_| who()),
            parts: Vec::new(),
            queue_id: envelope.queue_id.clone(),
            direction: envelope.direction,
            since: Instant::now(),
            decisions: None,
            trial: Trial::default(),
            withheld: false,
        }
    }

    /// Takes over the decisions on a message.
    pub(super) fn tell(&mut self, message: &Message) {
        self.tell_parts(message.explanation());
        self.trial = message.trial();
    }

    /// Takes over the decisions on parts.
    pub(super) fn tell_parts(&mut self, parts: &[PartDecision]) {
        let in_words: Vec<String> = parts.iter().map(in_words).collect();
        self.decisions = (!in_words.is_empty()).then(|| in_words.join("; "));
        if self.who.is_some() {
            self.parts = parts.iter().map(PartRecord::from).collect();
        }
    }

    pub(super) fn milliseconds(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Logs each part, where the log level asks for all of them.
pub(super) fn explain(message: &Message, outline: &Outline) {
    if !enabled!(tracing::Level::DEBUG) {
        return;
    }
    for part in message.explanation() {
        debug!(
            queue_id = outline.queue_id,
            part = part.path,
            media_type = part.media_type,
            bytes = part.bytes,
            detached = part.detached,
            rule = part.rule,
            reason = &*part.reason,
            "part",
        );
    }
}

/// The `Message-ID`, if there is one of a sound length.
fn message_id(header: &[Field]) -> Option<String> {
    let is_it = |field: &&Field| field.name.eq_ignore_ascii_case(b"message-id");
    let value = header.iter().find(is_it)?.value.trim_ascii();
    (value.len() <= MESSAGE_ID_BYTES_MAX).then(|| String::from_utf8_lossy(value).into_owned())
}

/// A decision without names or addresses: `2 detached (default, threshold reached, 5000000 bytes)`.
fn in_words(part: &PartDecision) -> String {
    let path = if part.path.is_empty() {
        "0"
    } else {
        &part.path
    };
    let fate = match part {
        PartDecision { detached: true, .. } => "detached",
        PartDecision {
            would_detach: true, ..
        } => "would go",
        _ => "kept",
    };
    let (rule, reason, bytes) = (
        part.rule.as_deref().unwrap_or("always"),
        &part.reason,
        part.bytes,
    );
    format!("{path} {fate} ({rule}, {reason}, {bytes} bytes)")
}

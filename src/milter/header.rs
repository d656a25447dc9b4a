//! A message before its body: its envelope and the kept part of its header, within bounds.

use mailsplice::mime::Field;

use super::envelope::{self, RecipientRoute};
use crate::{
    budget::{Share, Spent},
    envelope::Envelope,
};

/// The most bytes of a message's top-level header; a longer one is not looked at.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// The most bytes of a message's recipients; with more it is not looked at.
const RECIPIENTS_BYTES_MAX: usize = 1 << 20;

/// The most recipients of a message; Postfix itself stops at 1000 (`smtpd_recipient_limit`).
const RECIPIENTS_MAX: usize = 10_000;

/// Bytes of recipients and header that are in no budget: most messages have no more.
const BYTES_FREE: usize = 8 << 10;

/// The cost of a header field or an address in memory beside its bytes.
const FIELD_COST: usize = 2 * size_of::<Vec<u8>>();

/// The most bytes of memory for each byte that is counted, reached with the shortest fields.
const MEMORY_PER_BYTE: usize = 4;

/// Bytes of a queue id that are kept; Postfix makes them of at most 20 or so.
const QUEUE_ID_BYTES_MAX: usize = 100;

/// The reason given when other messages hold all memory that there is for headers.
pub(super) const HEADER_MEMORY: &str = "header-memory";

/// A message before its body.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) envelope: Envelope,
    pub(super) fields: Vec<Field>,
    /// The reason why it is not looked at, though its header still comes in.
    pub(super) left_alone: Option<&'static str>,
    recipients_bytes: usize,
    fields_bytes: usize,
}

impl Header {
    pub(super) fn new(envelope: Envelope) -> Self {
        Self {
            envelope,
            fields: Vec::new(),
            left_alone: None,
            recipients_bytes: 0,
            fields_bytes: 0,
        }
    }

    /// Notes a recipient, or returns the reason why it cannot: the message is then to be left alone,
    /// for the rules would not know all of them.
    pub(super) fn add_recipient(
        &mut self,
        recipient: &[u8],
        route: RecipientRoute,
        held: &mut Share,
    ) -> Result<(), &'static str> {
        self.recipients_bytes += recipient.len() + FIELD_COST;
        let recipients = &mut self.envelope.recipients;
        if recipients.len() >= RECIPIENTS_MAX || self.recipients_bytes > RECIPIENTS_BYTES_MAX {
            return Err("too-many-recipients");
        }
        let address = envelope::address(recipient);
        recipients.push(address.clone());
        self.envelope.leaves |= route == RecipientRoute::Elsewhere;
        if route == RecipientRoute::List {
            self.recipients_bytes += recipient.len() + FIELD_COST;
            self.envelope.lists.push(address);
        }
        self.hold(held).map_err(|Spent| HEADER_MEMORY)
    }

    /// Keeps a field, unless the message has too many to be looked at.
    pub(super) fn add_field(&mut self, field: Field, held: &mut Share) {
        if self.left_alone.is_some() {
            return;
        }
        self.fields_bytes += bytes(&field);
        if self.fields_bytes > HEADER_BYTES_MAX {
            self.leave_alone("header-too-long", held);
        } else if self.hold(held).is_err() {
            self.leave_alone(HEADER_MEMORY, held);
        } else {
            self.fields.push(field);
        }
    }

    /// Lets go of the fields. Those that describe the content stay with a message as long as it is in
    /// work, and all of them if some of them are to be changed.
    pub(super) fn keep(&mut self, changes: bool, held: &mut Share) {
        let fields = std::mem::take(&mut self.fields);
        let stay = fields.iter().filter(|field| changes || describes(field));
        self.fields_bytes = stay.map(bytes).sum();
        let kept = self.hold(held);
        debug_assert!(kept.is_ok(), "it is no more than before");
    }

    fn leave_alone(&mut self, reason: &'static str, held: &mut Share) {
        self.left_alone = Some(reason);
        self.fields = Vec::new();
        held.clear();
    }

    fn hold(&self, held: &mut Share) -> Result<(), Spent> {
        let bytes = self.recipients_bytes + self.fields_bytes;
        held.set(bytes.saturating_sub(BYTES_FREE) * MEMORY_PER_BYTE)
    }
}

/// Shortens a queue id to [`QUEUE_ID_BYTES_MAX`].
pub(super) fn short(mut queue_id: String) -> String {
    queue_id.truncate(queue_id.floor_char_boundary(QUEUE_ID_BYTES_MAX));
    queue_id
}

fn bytes(field: &Field) -> usize {
    field.name.len() + field.value.len() + FIELD_COST
}

fn describes(field: &Field) -> bool {
    let start = field.name.get(..8);
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn field(name: &str, value: usize) -> Field {
        Field {
            name: name.into(),
            value: vec![b'x'; value],
        }
    }

    #[test]
    fn a_header_is_kept_up_to_its_limit_and_dropped_one_byte_past_it() {
        let budget = Budget::new(usize::MAX);
        for (past, left_alone) in [(0, None), (1, Some("header-too-long"))] {
            let (mut header, mut held) = (Header::new(Envelope::default()), budget.share());
            header.add_field(field("a", 1000), &mut held);
            let rest = HEADER_BYTES_MAX - header.fields_bytes - FIELD_COST - 1 + past;
            header.add_field(field("b", rest), &mut held);
            assert_eq!(header.left_alone, left_alone);
            assert_eq!(header.fields.len(), 2 - 2 * past);
            header.add_field(field("c", 1), &mut held);
            assert_eq!(header.left_alone, Some("header-too-long"));
            assert!(header.fields.is_empty());
            assert_eq!(budget.left(), usize::MAX);
        }
    }

    #[test]
    fn recipients_are_noted_up_to_their_limits() {
        let budget = Budget::new(usize::MAX);
        let (mut many, mut held) = (Header::new(Envelope::default()), budget.share());
        for _ in 0..RECIPIENTS_MAX {
            assert_eq!(
                many.add_recipient(b"<b@example.org>", RecipientRoute::Here, &mut held),
                Ok(())
            );
        }
        let one_more = many.add_recipient(b"<b@example.org>", RecipientRoute::Here, &mut held);
        assert_eq!(one_more, Err("too-many-recipients"));
        let mut long = Header::new(Envelope::default());
        let address = vec![b'x'; RECIPIENTS_BYTES_MAX - FIELD_COST];
        assert_eq!(
            long.add_recipient(&address, RecipientRoute::Here, &mut held),
            Ok(())
        );
        assert_eq!(
            long.add_recipient(b"", RecipientRoute::Here, &mut held),
            Err("too-many-recipients")
        );
    }

    #[test]
    fn what_all_messages_hold_is_bounded_and_what_is_let_go_comes_back() {
        let budget = Budget::new(10_000);
        let (mut one, mut held) = (Header::new(Envelope::default()), budget.share());
        one.add_field(field("Content-Type", 100), &mut held);
        one.add_field(field("Subject", 10_000), &mut held);
        assert_eq!(one.left_alone, None);
        let (mut other, mut held_too) = (Header::new(Envelope::default()), budget.share());
        other.add_field(field("Subject", 8_000), &mut held_too);
        assert_eq!(other.left_alone, None, "each has its first bytes free");
        other.add_field(field("Subject", 1_000), &mut held_too);
        assert_eq!(other.left_alone, Some(HEADER_MEMORY));
        let mut third = Header::new(Envelope::default());
        let recipient = third.add_recipient(&[b'x'; 10_000], RecipientRoute::Here, &mut held_too);
        assert_eq!(recipient, Err(HEADER_MEMORY));
        one.keep(true, &mut held);
        assert!(budget.left() < 10_000);
        one.keep(false, &mut held);
        assert_eq!(budget.left(), 10_000);
    }

    #[test]
    fn a_queue_id_is_cut_between_characters() {
        assert_eq!(short("4abCDe12".into()), "4abCDe12");
        assert_eq!(short("é".repeat(99)).len(), QUEUE_ID_BYTES_MAX);
        assert_eq!(short(format!("a{}", "é".repeat(99))).len(), 99);
    }
}

//! The sender's requests: by tags in the subject, by addresses among the recipients, by a field.
//!
//! The request itself is taken out of the message, whatever comes of it: it is not for the readers.

use mailsplice::mime::Field;

use super::{is_among, subject};
use crate::{
    config::{AddressLists, Config, RunMode, fold},
    envelope::{Direction, Envelope, HeaderEdit},
};

/// A request of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Everything stays.
    Keep,
    /// Everything goes that may.
    Detach,
}

/// The requests found in a message.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The wish; with both, everything stays.
    pub wish: Option<Wish>,
    /// The changes that take the requests out of the message.
    pub edits: Edits,
}

/// Changes to a message that have nothing to do with attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// To its header.
    pub header: Vec<HeaderEdit>,
    /// Recipients to be removed, without angle brackets.
    pub recipients: Vec<String>,
}

impl Edits {
    /// Returns true if there is none.
    pub fn is_empty(&self) -> bool {
        self.header.is_empty() && self.recipients.is_empty()
    }
}

/// Returns true if mail of this direction can hold a wish.
pub(super) fn may_come(config: &Config, direction: Direction) -> bool {
    let sender = &config.sender;
    let can = !sender.keep_tags.is_empty()
        || !sender.detach_tags.is_empty()
        || !sender.keep_addresses.is_empty()
        || !sender.detach_addresses.is_empty()
        || !sender.header.is_empty();
    can && is_among(sender.trusted, direction)
}

impl Wishes {
    /// Finds the wishes; the addresses that stand for one are taken out of the envelope. In dry-run
    /// nothing is taken out of the message.
    pub fn read(
        (config, lists): (&Config, &AddressLists),
        envelope: &mut Envelope,
        header: &[Field],
    ) -> Self {
        let mut found = Self::default();
        if !may_come(config, envelope.direction) {
            return found;
        }

        found.read_subject(config, header);
        found.read_field(config, header);
        found.read_recipients((config, lists), envelope);

        if config.detach.mode == RunMode::DryRun {
            found.edits = Edits::default();
        }
        found
    }

    fn add(&mut self, wish: Wish) {
        if self.wish != Some(Wish::Keep) {
            self.wish = Some(wish);
        }
    }

    fn read_subject(&mut self, config: &Config, header: &[Field]) {
        let sender = &config.sender;
        let keep = sender
            .keep_tags
            .iter()
            .map(|tag| (tag.as_str(), Wish::Keep));
        let detach = sender
            .detach_tags
            .iter()
            .map(|tag| (tag.as_str(), Wish::Detach));
        let tags: Vec<(&str, Wish)> = keep.chain(detach).collect();
        let words: Vec<&str> = tags.iter().map(|(word, _)| *word).collect();

        for (index, field) in named(header, "Subject") {
            let Some(stripped) = subject::strip(&field.value, &words) else {
                continue;
            };
            for tag in stripped.tags {
                self.add(tags[tag].1);
            }
            self.edits.header.push(HeaderEdit::Change {
                name: String::from_utf8_lossy(&field.name).into_owned(),
                index,
                value: Some(stripped.value),
            });
        }
    }

    /// Reads the field. Fields that say something else stay: the mark of a message that was changed
    /// has this name.
    fn read_field(&mut self, config: &Config, header: &[Field]) {
        let name = &config.sender.header;
        if name.is_empty() {
            return;
        }

        let mut removals = Vec::new();
        for (index, field) in named(header, name) {
            let wish = match field.value.trim_ascii().to_ascii_lowercase().as_slice() {
                b"keep" => Wish::Keep,
                b"detach" => Wish::Detach,
                _ => continue,
            };
            self.add(wish);
            removals.push(HeaderEdit::Change {
                name: name.clone(),
                index,
                value: None,
            });
        }

        // Each removal changes the numbers of the fields behind it.
        self.edits.header.extend(removals.into_iter().rev());
    }

    fn read_recipients(
        &mut self,
        (config, lists): (&Config, &AddressLists),
        envelope: &mut Envelope,
    ) {
        let sender = &config.sender;
        let wish = |recipient: &String| {
            let folded = fold(recipient);
            if sender.keep_addresses.matches(&folded, lists) {
                Some(Wish::Keep)
            } else {
                sender
                    .detach_addresses
                    .matches(&folded, lists)
                    .then_some(Wish::Detach)
            }
        };

        let is_wish = |recipient: &String| wish(recipient).is_some();
        let (asking, others): (Vec<_>, Vec<_>) =
            envelope.recipients.iter().cloned().partition(is_wish);
        for recipient in &asking {
            wish(recipient).into_iter().for_each(|wish| self.add(wish));
        }

        // A message must go to somebody: with no other recipient it goes to the address itself.
        if !others.is_empty() {
            envelope.recipients = others;
            self.edits.recipients = asking;
        }
    }
}

/// Returns the fields of a name, counted from 1.
fn named<'a>(header: &'a [Field], name: &'a str) -> impl Iterator<Item = (u32, &'a Field)> {
    let is_named = |field: &&Field| field.name.eq_ignore_ascii_case(name.as_bytes());
    (1..).zip(header.iter().filter(is_named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn config(settings: &[&str]) -> Config {
        let settings = settings
            .iter()
            .map(|setting| (*setting).to_owned())
            .collect();
        Config::load(&Sources {
            settings,
            ..Sources::default()
        })
        .unwrap()
    }

    fn envelope(recipients: &[&str], direction: Direction) -> Envelope {
        Envelope {
            recipients: recipients.iter().map(|text| (*text).to_owned()).collect(),
            direction,
            ..Envelope::default()
        }
    }

    fn header(fields: &[(&str, &str)]) -> Vec<Field> {
        let field = |(name, value): &(&str, &str)| Field {
            name: (*name).into(),
            value: (*value).into(),
        };
        fields.iter().map(field).collect()
    }

    fn read(settings: &[&str], recipients: &[&str], fields: &[(&str, &str)]) -> (Wishes, Envelope) {
        let mut envelope = envelope(recipients, Direction::Outgoing);
        let wishes = Wishes::read(
            (&config(settings), &AddressLists::default()),
            &mut envelope,
            &header(fields),
        );
        (wishes, envelope)
    }

    const ADDRESS: &str = "sender.keep_addresses=keep@lab.test";

    #[test]
    fn a_tag_keeps_or_forces_and_goes() {
        for (subject, wish) in [
            (" [nepasdepolluer] Hello", Wish::Keep),
            (" Hello [DEPOLLUER]", Wish::Detach),
            (" [DEPOLLUER] [NEPASDEPOLLUER] Hello", Wish::Keep),
        ] {
            let (wishes, _) = read(&[], &["a@b"], &[("From", " x"), ("Subject", subject)]);
            assert_eq!(wishes.wish, Some(wish), "{subject}");
            let expected = HeaderEdit::Change {
                name: "Subject".into(),
                index: 1,
                value: Some(b" Hello".to_vec()),
            };
            assert_eq!(wishes.edits.header, [expected], "{subject}");
        }
    }

    #[test]
    fn other_tags_may_be_configured_and_all_switched_off() {
        let subject = [("Subject", " [BIG] [NEPASDEPOLLUER] x")];
        let (wishes, _) = read(&["sender.keep_tags=[BIG]"], &["a@b"], &subject);
        assert_eq!(wishes.wish, Some(Wish::Keep));
        let (wishes, _) = read(&["sender.keep_tags=[]"], &["a@b"], &subject);
        assert_eq!((wishes.wish, wishes.edits.is_empty()), (None, true));
    }

    #[test]
    fn strangers_have_no_wishes_unless_trusted() {
        let fields = header(&[("Subject", " [NEPASDEPOLLUER] x")]);
        let mut envelope = envelope(&["a@b"], Direction::Incoming);
        let wishes = Wishes::read(
            (&config(&[]), &AddressLists::default()),
            &mut envelope,
            &fields,
        );
        assert_eq!((wishes.wish, wishes.edits.is_empty()), (None, true));
        let wishes = Wishes::read(
            (&config(&["sender.trusted=both"]), &AddressLists::default()),
            &mut envelope,
            &fields,
        );
        assert_eq!(wishes.wish, Some(Wish::Keep));
    }

    #[test]
    fn an_address_is_removed_from_the_envelope() {
        let (wishes, envelope) = read(&[ADDRESS], &["a@b", "Keep@Lab.test"], &[]);
        assert_eq!(wishes.wish, Some(Wish::Keep));
        assert_eq!(wishes.edits.recipients, ["Keep@Lab.test"]);
        assert_eq!(envelope.recipients, ["a@b"]);
    }

    #[test]
    fn an_address_that_is_the_only_recipient_stays() {
        let (wishes, envelope) = read(&[ADDRESS], &["keep@lab.test"], &[]);
        assert_eq!(wishes.wish, Some(Wish::Keep));
        assert!(wishes.edits.is_empty());
        assert_eq!(envelope.recipients, ["keep@lab.test"]);
    }

    #[test]
    fn a_field_for_programs_goes_and_our_mark_stays() {
        let fields = [
            ("X-Depollueur", " detached=1; bytes=5"),
            ("x-depollueur", " Detach"),
            ("X-Depollueur", " detach "),
        ];
        let (wishes, _) = read(&[], &["a@b"], &fields);
        assert_eq!(wishes.wish, Some(Wish::Detach));
        let indices: Vec<u32> = wishes
            .edits
            .header
            .iter()
            .map(|edit| match edit {
                HeaderEdit::Change {
                    index, value: None, ..
                } => *index,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(indices, [3, 2]);
        let (wishes, _) = read(&["sender.header="], &["a@b"], &fields);
        assert_eq!((wishes.wish, wishes.edits.is_empty()), (None, true));
    }

    #[test]
    fn in_dry_run_the_wish_counts_and_nothing_is_taken_out() {
        let settings = [ADDRESS, "detach.mode=dry-run"];
        let (wishes, _) = read(
            &settings,
            &["a@b", "keep@lab.test"],
            &[("Subject", " [DEPOLLUER]")],
        );
        assert_eq!(
            (wishes.wish, wishes.edits.is_empty()),
            (Some(Wish::Keep), true)
        );
    }
}

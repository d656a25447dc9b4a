//! The field by which people see that a message was changed.
//!
//! Nothing reads it, except that a container stays in a message that has it: what text there is may be our notice. In mail from outside it may be there before, made by anybody, to have a message look as if its links
//! were ours: from a message that is changed it goes. From one that is not, nothing goes, for a signature may be over it.

use mailsplice::mime::Field;

use super::{Direction, HeaderEdit};
use crate::policy::Edits;

const NAME: &str = "X-Depollueur";

/// The most fields of strangers that are removed; with more, the message is not touched: a mail
/// server goes through the header for each of them.
pub(super) const FOREIGN_MAX: usize = 100;

/// Returns true if a message was changed before, or somebody wants it to look so.
pub(super) fn is_marked(header: &[Field]) -> bool {
    header.iter().any(|field| is_mark(&field.name))
}

/// The number of fields of this name that somebody else put into a message.
pub(super) fn foreign(direction: Direction, header: &[Field]) -> usize {
    match direction {
        Direction::Incoming => header.iter().filter(|field| is_mark(&field.name)).count(),
        // Mail of our users may have passed one of our hosts before.
        Direction::Outgoing => 0,
    }
}

/// The number of strangers' fields that are left of so many once the wish of the sender was taken out
/// of the message.
pub(super) fn left(foreign: usize, edits: &Edits) -> usize {
    let is_removal = |edit: &&HeaderEdit| match edit {
        HeaderEdit::Change {
            name, value: None, ..
        } => is_mark(name.as_bytes()),
        _ => false,
    };
    let removed = edits.header.iter().filter(is_removal).count();
    foreign.saturating_sub(removed)
}

/// Removes these fields, the last one first: each removal changes the numbers of those behind it.
pub(super) fn removals(fields: usize) -> impl Iterator<Item = HeaderEdit> {
    let removal = |index: usize| HeaderEdit::Change {
        name: NAME.to_owned(),
        index: u32::try_from(index).unwrap_or(u32::MAX),
        value: None,
    };
    (1..=fields).rev().map(removal)
}

/// The field which says that the message was changed.
pub(super) fn ours(detached: usize, bytes: u64) -> HeaderEdit {
    HeaderEdit::Append {
        name: NAME.to_owned(),
        value: format!(" detached={detached}; bytes={bytes}"),
    }
}

fn is_mark(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(NAME.as_bytes())
}

#[cfg(test)]
mod tests {
    use mailsplice::rewrite::Eol;

    use super::{
        super::{
            Reason, Start, Verdict,
            lab::{Lab, Mail},
        },
        *,
    };

    /// The edits to fields of this name of a mail that is changed, and how many of strangers there were.
    async fn edits(lab: &Lab, mail: &Mail) -> (Vec<Option<u32>>, usize) {
        let begun = lab
            .filter
            .begin(mail.envelope.clone(), &mail.fields(), Eol::CrLf);
        let Start::Scan(mut message) = begun else {
            panic!("it is heavy");
        };
        message.push(&mail.body()).await;
        let Verdict::Rewrite(rewritten) = message.end().await else {
            panic!("it is heavy");
        };
        let before = message.edits().header.iter();
        let edit = |edit: &HeaderEdit| match edit {
            HeaderEdit::Change {
                name,
                index,
                value: None,
            } if is_mark(name.as_bytes()) => Some(Some(*index)),
            HeaderEdit::Append { name, .. } if is_mark(name.as_bytes()) => Some(None),
            _ => None,
        };
        let all = before.chain(&rewritten.header_edits).filter_map(edit);
        (all.collect(), rewritten.foreign_marks)
    }

    fn mail(direction: Direction) -> Mail {
        let mut mail = Mail::new("a@b")
            .with("X-Depollueur", "detached=3; bytes=5")
            .with("x-depollueur", "keep it")
            .with("X-Depollueur-Else", "x");
        mail.envelope.direction = direction;
        mail
    }

    #[tokio::test]
    async fn fields_of_strangers_go_from_mail_that_is_changed_and_ours_comes() {
        let lab = Lab::new(&[]);
        let found = edits(&lab, &mail(Direction::Incoming)).await;
        assert_eq!(found, (vec![Some(2), Some(1), None], 2));
        let found = edits(&lab, &mail(Direction::Outgoing)).await;
        assert_eq!(found, (vec![None], 0));
        // A wish that is taken out first changes the numbers of the others.
        let lab = Lab::new(&["sender.trusted=both"]);
        let wishing = mail(Direction::Incoming).with("X-Depollueur", "detach");
        let found = edits(&lab, &wishing).await;
        assert_eq!(found, (vec![Some(3), Some(2), Some(1), None], 2));
    }

    #[tokio::test]
    async fn a_message_with_too_many_fields_of_strangers_is_left_alone() {
        let lab = Lab::new(&[]);
        for (count, is_left) in [(FOREIGN_MAX, false), (FOREIGN_MAX + 1, true)] {
            let mut mail = Mail::new("a@b");
            for _ in 0..count {
                mail = mail.with("X-Depollueur", "x");
            }
            let begun = lab
                .filter
                .begin(mail.envelope.clone(), &mail.fields(), Eol::CrLf);
            let found = matches!(begun, Start::Pass(Reason::ForeignMarks));
            assert_eq!(found, is_left, "{count}");
        }
    }
}

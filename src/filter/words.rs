//! The texts that are the words of the message, whatever their names. Pure.
//!
//! A text with a name is a file, with these exceptions: the first text that is not blank is what the
//! message says, and so is what readers show in line before a text without a name; and in a
//! `multipart/alternative` a text is a form of what it says. Who says `attachment` means it.

use mailsplice::mime::{Head, PartId};

use crate::rules;

/// The texts that came so far.
#[derive(Debug, Default)]
pub(super) struct SeenTexts {
    /// True if one of them was not blank.
    has_text: bool,
    /// The last one without a name that was not blank.
    last_nameless: Option<PartId>,
}

/// The part that a leaf has in the words of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: a file, a picture, a text that says `attachment`.
    Other,
    /// A text without a name.
    Nameless,
    /// The first text, or one that is shown in place of it.
    Own,
    /// A named text behind another: one of the words if a nameless one follows.
    Perhaps,
}

impl SeenTexts {
    /// The role of a leaf that begins after these texts.
    pub(super) fn role(&self, head: &Head, is_in_alternative: bool) -> Role {
        if !rules::is_shown_text(head) {
            Role::Other
        } else if !head.is_named {
            Role::Nameless
        } else if !self.has_text || is_in_alternative {
            Role::Own
        } else {
            Role::Perhaps
        }
    }

    /// Takes a leaf that ended and was not blank.
    pub(super) fn take(&mut self, part: PartId, role: Role) {
        self.has_text |= role != Role::Other;
        if role == Role::Nameless {
            self.last_nameless = Some(part);
        }
    }

    /// Returns true if there is a text that is not blank.
    pub(super) fn has_text(&self) -> bool {
        self.has_text
    }

    /// Returns true if a nameless text came behind a leaf.
    pub(super) fn go_on_behind(&self, part: PartId) -> bool {
        self.last_nameless.is_some_and(|last| last > part)
    }
}

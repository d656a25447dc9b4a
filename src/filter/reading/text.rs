//! The texts that may take the notice.

use mailsplice::{
    mime::{Disposition, Head, PartId, TransferEncoding},
    rewrite::insert::TextKind,
};

use super::Reading;
use crate::{filter::words::Role, rules::Judgement};

/// The most text parts that are remembered as places for the notice.
const TEXTS_MAX: usize = 16;

/// A text part that may take the notice.
#[derive(Clone, Debug)]
pub(in crate::filter) struct BodyText {
    pub(in crate::filter) part: PartId,
    pub(in crate::filter) kind: TextKind,
    /// True if it cannot take the notice: it has a name, and thus is a file to some readers.
    pub(in crate::filter) is_fixed: bool,
    pub(in crate::filter) charset: Option<String>,
    pub(in crate::filter) encoding: TransferEncoding,
    /// The offsets in the spool of its header block, its body and its end.
    pub(in crate::filter) header: u64,
    pub(in crate::filter) body: u64,
    pub(in crate::filter) end: u64,
}

impl Reading {
    /// Remembers a text part as a place for the notice. A part with a name is a file to some readers,
    /// even where it stands for the text: the notice goes after it.
    pub(super) fn text(
        &mut self,
        part: PartId,
        head: &Head,
        judgement: Judgement,
        role: Role,
    ) -> Option<Box<BodyText>> {
        let kind = match head.media.sub() {
            "plain" => TextKind::Plain,
            "html" => TextKind::Html,
            _ => return None,
        };

        let stays = matches!(judgement, Judgement::Stays(_));
        if head.media.main() != "text" || !stays || part == 0 {
            return None;
        }
        let is_text = role == Role::Own && !self.parts.is_in_choice(part);
        if is_text {
            // Those before it are blank: with the notice in one of them, this would be a file behind it.
            self.texts.clear();
        }

        let is_file = head.is_named && !is_text || head.disposition != Disposition::Inline;
        if is_file || self.texts.len() >= TEXTS_MAX {
            return None;
        }

        let text = || BodyText {
            part,
            kind,
            is_fixed: head.is_named,
            charset: head.charset.clone(),
            encoding: head.encoding,
            header: self.parts.header(part),
            body: self.spool.len(),
            end: self.spool.len(),
        };
        Some(Box::new(text()))
    }
}

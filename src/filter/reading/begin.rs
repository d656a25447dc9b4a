//! The beginning of a leaf: only its header came.

use mailsplice::mime::{Decoder, Disposition, Head, PartId, References};

use super::Reading;
use crate::{
    filter::{
        accounting::Accounting,
        forwarded::Forwarded,
        leaf::{Leaf, LeafWork},
        words::Role,
    },
    rules::{self, Judgement, LeafPlace, Why},
};

impl Reading {
    pub(super) fn begin_leaf(&mut self, part: PartId, head: &Head, accounting: &Accounting) {
        let place = self.parts.place(part);
        let role = self.words.role(head, self.parts.is_in_choice(part));
        let judgement = match rules::judge(head, place) {
            Judgement::Stays(why) => Judgement::Stays(why),
            _ if role == Role::Own => Judgement::Stays(Why::Text),
            candidate => candidate,
        };

        let text = self.text(part, head, judgement, role);

        let mut leaf = match (judgement, Decoder::new(head.encoding)) {
            (Judgement::Candidate, Some(decoder)) => self.candidate(part, head, decoder),
            (Judgement::CandidateUnlessShown, Some(decoder)) => {
                let mut leaf = self.candidate(part, head, decoder);
                let id = head.content_id.as_deref();
                leaf.shown_by = id.map(|id| self.references.key(id));
                leaf
            }
            (Judgement::Container, Some(decoder)) => {
                let mut leaf = self.candidate(part, head, decoder);
                leaf.container = Some(Box::default());
                leaf
            }
            (judgement, decoder) => {
                let work = match judgement {
                    Judgement::Stays(why) => self.keeping(head, why, decoder),
                    _ => LeafWork::Stays(Why::Encoding),
                };
                // No leaf is made for a part about which nothing will be asked.
                if matches!(work, LeafWork::Stays(_)) && text.is_none() && !accounting.takes_notes()
                {
                    return self.words.take(part, role);
                }
                Box::new(Leaf::new(part, head, work))
            }
        };

        (leaf.text, leaf.role) = (text, role);
        leaf.pair = (place == LeafPlace::AppleDouble).then(|| self.parts.parent(part).0);
        self.leaf = Some(leaf);
    }

    /// Makes a leaf that may go: the policy is asked about it.
    fn candidate(&self, part: PartId, head: &Head, decoder: Decoder) -> Box<Leaf> {
        let mut leaf = Box::new(Leaf::new(part, head, LeafWork::Counting(decoder)));
        let is_message = head.media.main() == "message";
        leaf.forwarded = is_message.then(|| Box::new(Forwarded::new(self.limits)));
        // A named body: it may go, and shows the parts to which it refers if it stays.
        leaf.shows = is_html(head)
            && head.disposition == Disposition::Inline
            && References::can_read(head.charset.as_deref());
        self.fates.ask(&mut leaf);
        leaf
    }

    /// The work on the body of a leaf that stays by its header.
    fn keeping(&mut self, head: &Head, why: Why, decoder: Option<Decoder>) -> LeafWork {
        match decoder {
            Some(decoder) if is_html(head) => {
                if !References::can_read(head.charset.as_deref()) {
                    self.references.assume_everything();
                }
                LeafWork::Html(decoder)
            }
            Some(decoder) => LeafWork::keeping(why, decoder),
            None => {
                // A reader that can decode it may be shown pictures in it.
                if is_html(head) {
                    self.references.assume_everything();
                }
                LeafWork::Stays(why)
            }
        }
    }
}

fn is_html(head: &Head) -> bool {
    head.media.is("text", "html")
}

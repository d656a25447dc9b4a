//! The parts that are heavy: whether one goes, now or at its end, and whether that is in doubt.

use mailsplice::mime::{Ambiguity, TransferEncoding};

use super::Reading;
use crate::{
    filter::{
        Reason,
        leaf::{Leaf, LeafWork},
        words::Role,
    },
    policy::Fate,
    rules::Why,
};

/// The length, as it stands in the message, from which a part goes to the drop before the message has
/// ended. Each file costs the disk more than its bytes do: shorter ones go when it is known how many
/// there are, so that the message cannot bring more of them than it pays for in bytes.
const GOES_EARLY_BYTES: u64 = 64 * 1024;

impl Reading {
    /// Returns true if a candidate has become heavy, and no HTML body so far shows it. One that comes
    /// after it could: that is rare, and waiting for it would spool every file of the programs that
    /// give all of theirs a `Content-ID`. Where it does, the message is left alone in the end.
    pub(super) fn goes(&self, leaf: &Leaf) -> bool {
        let Fate::Goes(going) = &leaf.fate else {
            return false;
        };
        matches!(leaf.work, LeafWork::Counting(_))
            && !going.dry_run
            && leaf.weight() >= going.threshold
            && leaf.role != Role::Perhaps
            && leaf.pair.is_none()
            && leaf.container.is_none()
            && self.may_go(leaf)
    }

    /// Returns true if it goes before its end was seen. A part that may turn out to be malformed or
    /// infected, or to have another name, does not.
    pub(super) fn goes_now(&self, leaf: &Leaf) -> bool {
        let is_certain = leaf.file.encoding != TransferEncoding::QuotedPrintable;
        is_certain
            && !self.keeps_out
            && leaf.file.is_named()
            && self.is_long(leaf)
            && self.goes(leaf)
    }

    pub(super) fn is_long(&self, leaf: &Leaf) -> bool {
        self.spool.len() - self.parts.body(leaf.part) >= GOES_EARLY_BYTES
    }

    pub(super) fn may_go(&self, leaf: &Leaf) -> bool {
        leaf.shown_by
            .is_none_or(|key| self.references.seen_html() && !self.references.contains_key(key))
    }

    /// Returns true if a malformed candidate may be in the drop in part, for it is heavy as it stands
    /// in the message. Quoted-printable stays here up to its end.
    pub(super) fn is_spoiled(&self, leaf: &Leaf) -> bool {
        match leaf.work {
            LeafWork::Spoiled => true,
            LeafWork::Stays(Why::Malformed) => {
                leaf.file.encoding != TransferEncoding::QuotedPrintable
                    && leaf.container.is_none()
                    && self.is_heavy_as_it_is(leaf)
                    && self.may_go(leaf)
            }
            _ => false,
        }
    }

    /// Returns true if a part that cannot be decoded would be heavy.
    pub(super) fn is_heavy_as_it_is(&self, leaf: &Leaf) -> bool {
        let raw = self.spool.len() - self.parts.body(leaf.part);
        let threshold = self.fates.threshold(&leaf.fate);
        threshold.is_some_and(|threshold| raw >= threshold)
    }

    /// The reason why a part that has ended stays though it is heavy, if that is in doubt.
    pub(super) fn doubt(&self, leaf: &Leaf) -> Option<Reason> {
        let why = match leaf.work {
            LeafWork::Stays(Why::Encoding) => Reason::Ambiguous(Ambiguity::Encoding),
            LeafWork::Stays(Why::Malformed) => Reason::MalformedBody,
            _ => return None,
        };
        self.is_heavy_as_it_is(leaf).then_some(why)
    }
}

//! The candidates that stayed in the spool: they are decided on at the end of the message. Pure.

use std::collections::HashSet;

use mailsplice::mime::{PartId, References};

use super::{
    accounting::Accounting,
    leaf::FileHead,
    parts::Parts,
    words::{Role, SeenTexts},
};
use crate::{
    policy::{Going, Source},
    rules::{self, Weight, Why},
};

/// A candidate that stayed in the spool: it may go at the end of the message.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) part: PartId,
    pub(super) file: FileHead,
    pub(super) bytes: u64,
    /// The number of bytes that count.
    pub(super) weight: u64,
    pub(super) body: u64,
    pub(super) end: u64,
    /// The key of the `Content-ID` by which an HTML body may show it.
    pub(super) shown_by: Option<u64>,
    pub(super) role: Role,
    pub(super) pair: Option<PartId>,
    /// The number of its files, if it is a container; 0 if they cannot be put beside it.
    pub(super) opens: Option<u8>,
    pub(super) going: Going,
    /// True if it was decided that it goes.
    pub(super) goes: bool,
}

// A list that grows has room for twice as many; a name and a type have 255 bytes each.
const _: () = assert!(2 * size_of::<Later>() + 2 * 255 <= 1024);

/// A message of which all parts came, as far as the decision on its candidates depends on it.
pub(super) struct CompleteMessage<'a> {
    pub(super) parts: &'a Parts,
    pub(super) references: &'a References,
    pub(super) words: &'a SeenTexts,
    /// True if the message was changed before.
    pub(super) is_marked: bool,
    /// True if an infected file stays in the message, though the others go.
    pub(super) keeps_out: bool,
    pub(super) accounting: &'a mut Accounting,
}

impl CompleteMessage<'_> {
    /// Decides on all candidates, and returns those that go.
    pub(super) fn decide(mut self, mut candidates: Vec<Later>) -> Vec<Later> {
        self.decide_containers(&mut candidates);
        let mut halves = self.decide_pairs(&mut candidates);
        self.decide_heavy(&mut candidates);
        self.decide_light(&mut candidates);

        // There is room for the halves: they were taken out of these. A second list could be as long.
        halves.retain(|later| later.goes);
        candidates.retain(|later| later.goes);
        candidates.splice(0..0, halves);
        candidates
    }

    /// Takes the containers out of the candidates that stay: those that cannot be opened, and all of
    /// them where they may be all that the message says. In a message that was changed before, the text may
    /// be our notice alone.
    fn decide_containers(&mut self, candidates: &mut Vec<Later>) {
        let has_text = self.words.has_text() && !self.is_marked;
        candidates.retain(|later| {
            let stays = later.opens.is_some_and(|files| files == 0 || !has_text);
            if stays {
                self.stays(later, None, Why::Container);
            }
            !stays
        });
    }

    /// Decides on the halves of files in two parts, and takes them out of the candidates: they go
    /// together if each of them is heavy, or stay together.
    fn decide_pairs(&mut self, candidates: &mut Vec<Later>) -> Vec<Later> {
        let mut halves: Vec<Later> = candidates
            .extract_if(.., |later| later.pair.is_some())
            .collect();
        halves.sort_by_key(|half| (half.pair, half.part));

        for pair in halves.chunk_by_mut(|one, other| one.pair == other.pair) {
            let is_shown = |half: &Later| self.is_shown(half);
            // All parts of the multipart are candidates, and are here.
            let is_whole = pair.len() as u32 == self.parts.parent(pair[0].part).1;
            let is_heavy = pair.iter().all(|half| half.weight >= half.going.threshold);
            let is_trial = |half: &Later| half.going.dry_run;
            let is_one = pair.iter().all(|half| is_trial(half) == is_trial(&pair[0]));

            // One of the two files may be infected, and stay.
            let goes =
                is_whole && is_heavy && is_one && !self.keeps_out && !pair.iter().any(is_shown);
            for half in pair {
                if goes {
                    self.going(half, Why::OverThreshold);
                    continue;
                }
                if is_whole && !is_heavy {
                    self.accounting.chosen(half.going.source, half.weight);
                }
                let why = if is_whole && half.weight < half.going.threshold {
                    Why::UnderThreshold
                } else {
                    Why::Whole
                };
                let source = Some(half.going.source);
                self.stays(half, source, why);
            }
        }
        halves
    }

    /// Decides on the candidates that go or stay each for itself. Those that go, and those not yet
    /// decided, are left in the list.
    fn decide_heavy(&mut self, candidates: &mut Vec<Later>) {
        candidates.retain_mut(|later| {
            let is_shown = self.is_shown(later);
            let is_word = later.role == Role::Perhaps && self.words.go_on_behind(later.part);
            if is_shown || is_word {
                let why = if is_shown { Why::Shown } else { Why::Text };
                self.stays(later, None, why);
                return false;
            }
            if later.weight >= later.going.threshold {
                self.going(later, Why::OverThreshold);
            }
            true
        });
    }

    /// Decides on the candidates that are heavy only together, if at all.
    fn decide_light(&mut self, candidates: &mut [Later]) {
        let weight = |later: &Later| Weight {
            bytes: later.weight,
            sum_max: later.going.message_threshold.unwrap_or(u64::MAX),
        };
        let light = candidates.iter().filter(|later| !later.goes);
        let weights: Vec<Weight> = light.map(weight).collect();
        let over: HashSet<usize> = rules::largest_over(&weights).into_iter().collect();
        let light = candidates.iter_mut().filter(|later| !later.goes);
        for (index, later) in light.enumerate() {
            if over.contains(&index) {
                self.going(later, Why::OverMessageThreshold);
                continue;
            }
            self.accounting.chosen(later.going.source, later.weight);
            let source = Some(later.going.source);
            let why = Why::UnderThreshold;
            self.stays(later, source, why);
        }
    }

    /// Returns true if an HTML body shows a candidate.
    fn is_shown(&self, later: &Later) -> bool {
        let key = later.shown_by;
        key.is_some_and(|key| self.references.contains_key(key))
    }

    /// Notes that a candidate goes.
    fn going(&mut self, later: &mut Later, why: Why) {
        later.goes = true;
        let (parts, source) = (self.parts, later.going.source);
        let path = || parts.path(later.part);
        self.accounting
            .gone(path, &later.file, later.bytes, source, why);
    }

    /// Notes that a candidate stays.
    fn stays(&mut self, later: &Later, source: Option<Source>, why: Why) {
        let parts = self.parts;
        let path = || parts.path(later.part);
        self.accounting
            .kept(path, &later.file, later.bytes, source, why);
    }
}

#[cfg(test)]
mod tests {
    use super::super::lab::{Lab, Mail};

    /// The body of a message with an AppleDouble whose halves have so many bytes.
    fn pair(resource: usize, data: usize) -> Vec<u8> {
        let (resource, data) = ("r".repeat(resource), "d".repeat(data));
        format!(
            "--b\r\n\r\nBonjour\r\n--b\r\nContent-Type: multipart/appledouble; boundary=c\r\n\r\n\
             --c\r\nContent-Type: application/applefile; name=Affiche\r\n\r\n{resource}\r\n\
             --c\r\nContent-Type: application/pdf; name=Affiche.pdf\r\n\r\n{data}\r\n--c--\r\n--b--\r\n"
        )
        .into_bytes()
    }

    #[tokio::test]
    async fn a_heavy_half_says_that_it_stays_for_the_other_one() {
        let lab = Lab::new(&[]);
        let light = "below the threshold";
        let whole = "part of an unknown whole";
        let heavy = "threshold reached";
        for (resource, data, reasons) in [
            (400, 40_000, [light, whole]),
            (40_000, 400, [whole, light]),
            (400, 400, [light, light]),
            (40_000, 40_000, [heavy, heavy]),
        ] {
            let sent = lab
                .send_body(&Mail::new("a@b"), &pair(resource, data))
                .await;
            assert_eq!(sent.reasons[1..], reasons, "{resource}, {data}");
        }
    }
}

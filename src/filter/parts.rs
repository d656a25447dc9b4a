//! The parts of a message as they lie in the spool, and the bytes that go when some are detached. Pure.
//!
//! A part that goes takes its delimiter line with it: everything from the `--` of its own delimiter
//! to the `--` of the next one. The line end before its delimiter then stands before the next one,
//! so that no other part gains or loses a byte. Where no delimiter follows, because the message has
//! no end, its own delimiter becomes the closing one: to the readers that leave out the last line end
//! of such a message (Python), the part before would otherwise lose one.
//!
//! A multipart of which no part stays goes too, with its delimiters: readers differ about multiparts
//! without parts. Only where it is the body of a `multipart/related`, and another part would take
//! its place, does it stay, with a new part in the place of its first one.
//!
//! Memory: 64 bytes a part, `limits.parts_max` of them at most.

use std::{fmt::Write, ops::Range};

use mailsplice::mime::{Head, PartId, Scanner};

use crate::rules::LeafPlace;

/// All parts so far; the index is the part's number, 0 is the message.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// Parts that ended since the last delimiter.
    ended: Vec<PartId>,
    /// The delimiter that came last: the offset of its line, and the length of `--boundary`.
    line: u64,
    mark: u8,
}

/// A run of the spool that goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) at: Range<u64>,
    /// True if the second half of a closing delimiter stands in its place.
    pub(super) closes: bool,
}

/// A place for a new part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartSlot {
    /// The multipart in which it stands.
    around: PartId,
    /// The offset at which its delimiter line goes.
    pub(super) at: u64,
    /// The place of another delimiter of this multipart, up to the end of `--boundary`.
    pub(super) delimiter: Range<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    parent: PartId,
    /// Its number among its parent's children, from 1.
    ordinal: u32,
    children: u32,
    children_gone: u32,
    kind: PartKind,
    gone: bool,
    /// True if a child says that the next one is encrypted (RFC 3156, section 4).
    has_pgp: bool,
    /// True if it stands in a `multipart/alternative`, at whatever depth.
    in_choice: bool,
    /// True if it stands in a multipart that is one thing of an unknown kind, or deep in one whose
    /// two parts are one file.
    in_whole: bool,
    /// The length of `--boundary` in its delimiter line.
    mark: u8,
    /// The offsets of its delimiter line, its header, its body, and of what follows it.
    line: u64,
    header: u64,
    body: u64,
    next: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Leaf,
    Mixed,
    Alternative,
    Related,
    /// Another one whose parts are shown one after the other (RFC 2046, sections 5.1.3 and 5.1.6).
    Sequence,
    /// The two halves of a Macintosh file (RFC 1740).
    AppleDouble,
    OtherMultipart,
}

impl Parts {
    /// Begins with the message itself.
    pub(super) fn new(root: &Head) -> Self {
        let root = Part {
            parent: 0,
            ordinal: 0,
            children: 0,
            children_gone: 0,
            kind: PartKind::of(root),
            gone: false,
            has_pgp: false,
            in_choice: false,
            in_whole: false,
            mark: 0,
            line: 0,
            header: 0,
            body: 0,
            next: None,
        };

        Self {
            parts: vec![root],
            ended: Vec::new(),
            line: 0,
            mark: 0,
        }
    }

    /// Takes a delimiter line, which stands at `at`.
    pub(super) fn delimiter(&mut self, at: u64, line: &[u8]) {
        for &part in &self.ended {
            self.parts[part as usize].next = Some(at);
        }
        self.ended.clear();
        // No boundary ends in a blank, and the longest one has 200 bytes.
        (self.line, self.mark) = (at, line.trim_ascii_end().len() as u8);
    }

    /// Begins a part after the delimiter that came last; its header starts at `header`.
    pub(super) fn begin(&mut self, parent: PartId, header: u64) {
        let around = &mut self.parts[parent as usize];
        around.children += 1;
        let Part {
            children: ordinal,
            parent: above,
            kind,
            in_choice,
            in_whole,
            ..
        } = *around;

        let is_half = parent != 0 && self.parts[above as usize].kind == PartKind::AppleDouble;
        self.parts.push(Part {
            parent,
            ordinal,
            children: 0,
            children_gone: 0,
            kind: PartKind::Leaf,
            gone: false,
            has_pgp: false,
            in_choice: in_choice || kind == PartKind::Alternative,
            in_whole: in_whole || kind == PartKind::OtherMultipart || is_half,
            mark: self.mark,
            line: self.line,
            header,
            body: header,
            next: None,
        });
    }

    /// Takes the header of the part that began last; its body starts at `body`.
    pub(super) fn head(&mut self, head: &Head, body: u64) -> PartId {
        let last = self.parts.len() - 1;
        let part = &mut self.parts[last];
        (part.kind, part.body) = (PartKind::of(head), body);
        let parent = part.parent as usize;
        self.parts[parent].has_pgp |= head.media.is("application", "pgp-encrypted");
        last as PartId
    }

    /// Ends a part.
    pub(super) fn end(&mut self, part: PartId) {
        self.ended.push(part);
    }

    /// The place of a part in its message.
    pub(super) fn place(&self, part: PartId) -> LeafPlace {
        let Part {
            parent,
            ordinal,
            in_whole,
            ..
        } = self.parts[part as usize];
        let parent = &self.parts[parent as usize];
        match parent.kind {
            _ if part == 0 => LeafPlace::Free,
            _ if in_whole => LeafPlace::Unknown,
            PartKind::AppleDouble => LeafPlace::AppleDouble,
            _ if parent.has_pgp => LeafPlace::BehindPgp,
            PartKind::Alternative => LeafPlace::Alternative,
            PartKind::Related if ordinal == 1 => LeafPlace::RelatedRoot,
            PartKind::Related => LeafPlace::Related,
            _ => LeafPlace::Free,
        }
    }

    /// Returns true if a part stands in a `multipart/alternative`, at whatever depth.
    pub(super) fn is_in_choice(&self, part: PartId) -> bool {
        self.parts[part as usize].in_choice
    }

    /// Each `multipart/alternative` around a part, with the choice of it in which the part stands;
    /// the innermost first.
    pub(super) fn choices(&self, part: PartId) -> impl Iterator<Item = (PartId, PartId)> {
        let inner = std::iter::once(part).chain(self.around(part));
        let is_choice = |(around, _): &(PartId, PartId)| {
            self.parts[*around as usize].kind == PartKind::Alternative
        };
        self.around(part).zip(inner).filter(is_choice)
    }

    /// The nearest parts that stay before and behind a part, in a multipart whose parts are shown one
    /// after the other; `None` elsewhere.
    pub(super) fn neighbours(&self, part: PartId) -> Option<(PartId, PartId)> {
        let parent = self.parts[part as usize].parent;
        if !matches!(
            self.parts[parent as usize].kind,
            PartKind::Mixed | PartKind::Sequence
        ) {
            return None;
        }
        let stays = |id: &PartId| {
            let sibling = &self.parts[*id as usize];
            sibling.parent == parent && !sibling.gone
        };
        let before = (1..part).rev().find(stays)?;
        let behind = (part + 1..=self.last()).find(stays)?;
        Some((before, behind))
    }

    /// The part that began last.
    pub(super) fn last(&self) -> PartId {
        self.parts.len() as PartId - 1
    }

    /// The multipart around a part, and the number of its parts.
    pub(super) fn parent(&self, part: PartId) -> (PartId, u32) {
        let parent = self.parts[part as usize].parent;
        (parent, self.parts[parent as usize].children)
    }

    /// Returns true if a part is `around`, or stands in it.
    pub(super) fn is_in(&self, part: PartId, around: PartId) -> bool {
        part == around || self.around(part).any(|parent| parent == around)
    }

    /// The new places that the notice needs, so that every reader is shown it once: behind each text
    /// that cannot take it (`failed`), and behind each `multipart/alternative` of which some choice
    /// has none. The texts that one of these makes superfluous are dropped from `taking`. `None` if
    /// there is no place for one.
    pub(super) fn slots(
        &self,
        taking: &mut Vec<PartId>,
        failed: &[PartId],
    ) -> Option<Vec<PartSlot>> {
        let mut slots: Vec<PartSlot> = Vec::new();
        for &text in failed {
            self.add_slot(self.slot_behind(text)?, taking, &mut slots);
        }
        while let Some(alternative) = self.uncovered(taking, &slots) {
            self.add_slot(self.slot_behind(alternative)?, taking, &mut slots);
        }
        Some(slots)
    }

    /// A place behind all other parts of a message whose parts are shown one after the other, if the
    /// message has an end.
    pub(super) fn slot_at_end(&self) -> Option<PartSlot> {
        let is_child = |id: &PartId| self.parts[*id as usize].parent == 0;
        let last = (1..=self.last()).rev().find(is_child)?;
        self.parts[last as usize].next?;
        self.slot_behind(last).filter(|slot| slot.around == 0)
    }

    /// Adds a place, and drops the texts and places that are shown together with it.
    fn add_slot(&self, slot: PartSlot, taking: &mut Vec<PartId>, slots: &mut Vec<PartSlot>) {
        taking.retain(|&text| self.are_choices(text, slot.around));
        slots.retain(|other| self.are_choices(other.around, slot.around));
        slots.push(slot);
    }

    /// The place behind a part, in the innermost multipart around it whose parts are shown one after
    /// the other.
    fn slot_behind(&self, part: PartId) -> Option<PartSlot> {
        let inner = std::iter::once(part).chain(self.around(part));
        let (around, child) = self.around(part).zip(inner).find(|&(around, _)| {
            matches!(
                self.parts[around as usize].kind,
                PartKind::Mixed | PartKind::Sequence
            )
        })?;
        let Part {
            line, next, mark, ..
        } = self.parts[child as usize];
        Some(PartSlot {
            around,
            // Where nothing follows, because the message has no end, the new part goes before.
            at: next.unwrap_or(line),
            delimiter: line..line + u64::from(mark),
        })
    }

    /// Returns true if a reader is shown the one or the other: the innermost multipart around both is
    /// a `multipart/alternative`.
    fn are_choices(&self, one: PartId, other: PartId) -> bool {
        let mut inside = std::iter::once(one).chain(self.around(one));
        let both = inside.find(|&around| self.is_in(other, around));
        both.is_some_and(|both| self.parts[both as usize].kind == PartKind::Alternative)
    }

    /// A `multipart/alternative` around one of the given parts that has a choice without any of them.
    fn uncovered(&self, taking: &[PartId], slots: &[PartSlot]) -> Option<PartId> {
        let placed = || {
            taking
                .iter()
                .copied()
                .chain(slots.iter().map(|slot| slot.around))
        };
        let mut around = placed().flat_map(|part| self.choices(part).map(|(around, _)| around));
        around.find(|&alternative| {
            let is_choice = |part: &Part| part.parent == alternative && !part.gone;
            let mut choices = (1..)
                .zip(&self.parts[1..])
                .filter(|(_, part)| is_choice(part));
            choices.any(|(choice, _)| !placed().any(|part| self.is_in(part, choice)))
        })
    }

    /// The offset at which a part's header starts.
    pub(super) fn header(&self, part: PartId) -> u64 {
        self.parts[part as usize].header
    }

    /// The offset at which a part's body starts.
    pub(super) fn body(&self, part: PartId) -> u64 {
        self.parts[part as usize].body
    }

    /// The part's place in words: `2.1`; empty for the message itself.
    pub(super) fn path(&self, part: PartId) -> String {
        let mut ordinals: Vec<u32> = std::iter::once(part)
            .chain(self.around(part))
            .filter(|&part| part != 0)
            .map(|part| self.parts[part as usize].ordinal)
            .collect();
        ordinals.reverse();
        let mut path = String::with_capacity(2 * ordinals.len());
        for ordinal in ordinals {
            let dot = if path.is_empty() { "" } else { "." };
            // A string takes all that is written to it.
            let _ = write!(path, "{dot}{ordinal}");
        }
        path
    }

    /// The offset at which a new first part of the message can stand: at the delimiter line of the
    /// first one. Only a `multipart/mixed`, or what readers take for one, can take one without its
    /// other parts changing their meaning.
    pub(super) fn front(&self) -> Option<u64> {
        let is_mixed = matches!(self.parts[0].kind, PartKind::Mixed | PartKind::Sequence);
        self.parts
            .get(1)
            .filter(|_| is_mixed)
            .map(|first| first.line)
    }

    /// Takes a part out.
    pub(super) fn remove(&mut self, part: PartId) {
        let parent = self.parts[part as usize].parent;
        self.parts[part as usize].gone = true;
        self.parts[parent as usize].children_gone += 1;
    }

    /// Returns true if a part was taken out.
    pub(super) fn is_removed(&self, part: PartId) -> bool {
        self.parts[part as usize].gone
    }

    /// Takes out the multiparts inside the message of which no part stays. To be called once all
    /// parts are known.
    pub(super) fn remove_emptied(&mut self) {
        for part in (1..self.parts.len()).rev() {
            let Part {
                children,
                children_gone,
                ..
            } = self.parts[part];
            if children > 0 && children == children_gone && !self.is_related_body(part) {
                self.remove(part as PartId);
            }
        }
    }

    /// Returns true if a part is the body of a `multipart/related` that has other parts left.
    fn is_related_body(&self, part: usize) -> bool {
        let Part {
            parent, ordinal, ..
        } = self.parts[part];
        let around = &self.parts[parent as usize];
        around.kind == PartKind::Related
            && ordinal == 1
            && around.children > around.children_gone + 1
    }

    /// The number of parts that stay, the message itself among them.
    pub(super) fn kept(&self) -> usize {
        self.parts.iter().filter(|part| !part.gone).count()
    }

    /// The offsets at which the headers of new parts go so that no multipart that stays inside the
    /// message is left empty: behind the delimiter lines of their first parts. In order.
    pub(super) fn emptied(&self) -> Vec<u64> {
        let is_first = |part: &&Part| part.gone && part.ordinal == 1 && part.parent != 0;
        let empties = |part: &&Part| {
            let parent = self.parts[part.parent as usize];
            !parent.gone && parent.children == parent.children_gone
        };
        self.parts
            .iter()
            .filter(is_first)
            .filter(empties)
            .map(|part| part.header)
            .collect()
    }

    /// The runs of the spool (`len` bytes long) that the removed parts leave, in order and apart.
    pub(super) fn removed(&self, len: u64) -> Vec<Removed> {
        let mut runs: Vec<(&Part, Option<u64>)> = Vec::new();
        for part in self.parts.iter().skip(1) {
            // The parts of a multipart go with it.
            if !part.gone || self.parts[part.parent as usize].gone {
                continue;
            }
            match runs.last_mut() {
                Some((_, end)) if *end == Some(part.line) => *end = part.next,
                _ => runs.push((part, part.next)),
            }
        }

        let emptied = self.emptied();
        let removed = |(first, end): (&Part, Option<u64>)| {
            // The delimiter line stays for the new part.
            let is_refilled = emptied.binary_search(&first.header).is_ok();
            let start = match end {
                _ if is_refilled => first.header,
                Some(_) => first.line,
                None => first.line + u64::from(first.mark),
            };
            Removed {
                at: start..end.unwrap_or(len),
                closes: end.is_none() && !is_refilled,
            }
        };
        runs.into_iter().map(removed).collect()
    }

    fn around(&self, part: PartId) -> impl Iterator<Item = PartId> {
        let parent = move |&part: &PartId| (part != 0).then(|| self.parts[part as usize].parent);
        std::iter::successors(parent(&part), parent)
    }
}

impl PartKind {
    fn of(head: &Head) -> Self {
        if !Scanner::enters(head) {
            return Self::Leaf;
        }
        match head.media.sub() {
            "mixed" => Self::Mixed,
            "alternative" => Self::Alternative,
            "related" => Self::Related,
            "parallel" | "fax-message" | "voice-message" => Self::Sequence,
            "appledouble" | "x-appledouble" => Self::AppleDouble,
            _ => Self::OtherMultipart,
        }
    }
}

// The bound promised for each part, in the table of bounds and in depollueur(8).
const _: () = assert!(size_of::<Part>() <= 64);

#[cfg(test)]
mod tests {
    use mailsplice::mime::{Event, Events, Field, MediaType};

    use super::*;

    fn head(content_type: &str) -> Head {
        let field = Field {
            name: b"Content-Type".to_vec(),
            value: content_type.into(),
        };
        Head::read(&[field], MediaType::new("text", "plain")).unwrap()
    }

    fn parts(content_type: &str, body: &str) -> Parts {
        let root = head(content_type);
        let limits = mailsplice::Limits {
            depth_max: 10,
            parts_max: 100,
            header_bytes_max: 1000,
        };
        let mut scanner = Scanner::new(&root, limits).unwrap();
        let mut parts = Parts::new(&root);
        let mut at = 0;
        let mut note = |mut events: Events<'_>| {
            while let Some(event) = events.next() {
                match event {
                    Event::Structure(bytes) | Event::Body(bytes) => at += bytes.len() as u64,
                    Event::Delimiter { line, .. } => {
                        parts.delimiter(at, line);
                        at += line.len() as u64;
                    }
                    Event::Begin { parent, .. } => parts.begin(parent, at),
                    Event::Head(head) => {
                        parts.head(head, at);
                    }
                    Event::End { part } => parts.end(part),
                    Event::Ambiguous(why) => panic!("{why}"),
                }
            }
        };
        note(scanner.scan(body.as_bytes()));
        note(scanner.end());
        parts
    }

    /// The body without the removed parts.
    fn without(content_type: &str, body: &str, removed: &[PartId]) -> String {
        let mut parts = parts(content_type, body);
        for &part in removed {
            parts.remove(part);
        }
        parts.remove_emptied();
        let mut rest = body.to_owned();
        for run in parts.removed(body.len() as u64).into_iter().rev() {
            let with = if run.closes { "--\r\n" } else { "" };
            rest.replace_range(run.at.start as usize..run.at.end as usize, with);
        }
        rest
    }

    const MIXED: &str = "multipart/mixed; boundary=b";

    #[test]
    fn a_part_goes_with_its_delimiter_line_and_no_other_byte() {
        let body = "pre\r\n--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--\r\n";
        assert_eq!(
            without(MIXED, body, &[1]),
            "pre\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--\r\n"
        );
        assert_eq!(
            without(MIXED, body, &[2]),
            "pre\r\n--b\r\n\r\n1\r\n--b\r\n\r\n3\r\n--b--\r\n"
        );
        assert_eq!(
            without(MIXED, body, &[3]),
            "pre\r\n--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n"
        );
        assert_eq!(
            without(MIXED, body, &[2, 3]),
            "pre\r\n--b\r\n\r\n1\r\n--b--\r\n"
        );
        assert_eq!(without(MIXED, body, &[1, 2, 3]), "pre\r\n--b--\r\n");
    }

    #[test]
    fn where_a_close_is_missing_the_delimiter_of_what_went_last_becomes_it() {
        let body = "--b\r\n\r\n1\r\n--b \r\n\r\n2\r\n\r\n--b\t\r\n\r\n3";
        assert_eq!(
            without(MIXED, body, &[3]),
            "--b\r\n\r\n1\r\n--b \r\n\r\n2\r\n\r\n--b--\r\n"
        );
        assert_eq!(without(MIXED, body, &[2, 3]), "--b\r\n\r\n1\r\n--b--\r\n");
        assert_eq!(without(MIXED, body, &[1, 2, 3]), "--b--\r\n");
        let nested = "--b\r\n\r\n1\r\n--b\r\nContent-Type: multipart/mixed; boundary=c-\r\n\r\n\
                      --c-\r\n\r\n2\r\n--c-\r\n\r\n3\r\n--b\r\n\r\n4";
        let rest = without(MIXED, nested, &[4, 5]);
        assert!(rest.ends_with("\r\n\r\n2\r\n--c---\r\n"), "{rest}");
        let rest = without(MIXED, nested, &[4]);
        assert!(rest.ends_with("\r\n\r\n2\r\n--b\r\n\r\n4"), "{rest}");
    }

    #[test]
    fn a_multipart_with_nothing_left_goes_with_its_delimiters() {
        let body = "--b\r\n\r\n1\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
                    --c\r\n\r\n2\r\n--c\r\n\r\n3\r\n--c--\r\n--b--\r\n";
        assert_eq!(without(MIXED, body, &[3, 4]), "--b\r\n\r\n1\r\n--b--\r\n");
        let unclosed = body.strip_suffix("--c--\r\n--b--\r\n").unwrap();
        assert_eq!(
            without(MIXED, unclosed, &[3, 4]),
            "--b\r\n\r\n1\r\n--b--\r\n"
        );
        let deeper = body.replace(
            "\r\n\r\n2\r\n",
            "\r\nContent-Type: multipart/mixed; boundary=d\
                                  \r\n\r\n--d\r\n\r\n2\r\n--d--\r\n",
        );
        assert_eq!(
            without(MIXED, &deeper, &[4, 5]),
            "--b\r\n\r\n1\r\n--b--\r\n"
        );
        let one_left = without(MIXED, body, &[3]);
        assert!(
            one_left.contains("\r\n\r\n--c\r\n\r\n3\r\n--c--"),
            "{one_left}"
        );
    }

    #[test]
    fn the_body_of_a_related_keeps_a_place_for_a_new_part() {
        let body = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
                    --c\r\n\r\n1\r\n--c\r\n\r\n2\r\n--c--\r\n--b\r\n\r\n3\r\n--b--\r\n";
        let related = "multipart/related; boundary=b";
        let place = body.find("--c\r\n").unwrap() + 5;
        let mut both = parts(related, body);
        both.remove(2);
        both.remove(3);
        both.remove_emptied();
        assert_eq!(both.emptied(), [place as u64]);
        let rest = without(related, body, &[2, 3]);
        assert!(rest.contains("\r\n\r\n--c\r\n--c--\r\n--b\r\n"), "{rest}");
        assert_eq!(without(related, body, &[2, 3, 4]), "--b--\r\n");
    }

    /// The parts of `mixed[alternative[plain, html, calendar], mixed[text, pdf], pdf]`.
    fn invitation() -> Parts {
        let body = "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\np\n--c\n\nh\n\
                    --c\n\ni\n--c--\n--b\nContent-Type: multipart/mixed; boundary=d\n\n\
                    --d\n\nt\n--d\n\np\n--d--\n--b\n\np\n--b--\n";
        parts(MIXED, body)
    }

    #[test]
    fn a_choice_without_the_notice_has_it_behind_the_alternative() {
        let parts = invitation();
        let mut taking = vec![2, 3];
        let slots = parts.slots(&mut taking, &[]).unwrap();
        assert_eq!((slots.len(), slots[0].around), (1, 0));
        assert_eq!(slots[0].at, parts.parts[5].line);
        assert!(taking.is_empty());

        let mut taking = vec![2, 3, 4];
        assert_eq!(parts.slots(&mut taking, &[]), Some(vec![]));
        assert_eq!(taking, [2, 3, 4]);
    }

    #[test]
    fn a_text_that_takes_nothing_has_it_behind_itself_and_what_is_shown_with_it_none() {
        let parts = invitation();
        let mut taking = vec![];
        let slots = parts.slots(&mut taking, &[6]).unwrap();
        assert_eq!((slots[0].around, slots[0].at), (5, parts.parts[7].line));

        let mut taking = vec![2, 4];
        let slots = parts.slots(&mut taking, &[3]).unwrap();
        assert_eq!((slots[0].around, slots[0].at), (0, parts.parts[5].line));
        assert!(taking.is_empty());
    }

    #[test]
    fn a_choice_that_is_mixed_has_a_place_of_its_own() {
        let body = "--b\n\np\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nh\n\
                    --c\n\np\n--c--\n--b--\n";
        let parts = parts("multipart/alternative; boundary=b", body);
        let mut taking = vec![1];
        let slots = parts.slots(&mut taking, &[3]).unwrap();
        assert_eq!((slots.len(), slots[0].around), (1, 2));
        assert_eq!(taking, [1]);
        // The first choice has no place, and nothing stands around the alternative.
        assert_eq!(parts.slots(&mut vec![3], &[]), None);
        assert_eq!(parts.slots(&mut vec![3], &[1]), None);
    }

    #[test]
    fn places_and_paths_are_those_of_the_tree() {
        let body = "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\nt\n\
                    --c\nContent-Type: multipart/related; boundary=d\n\n--d\n\nh\n--d\n\ni\n--d--\n\
                    --c--\n--b\n\np\n--b--\n";
        let parts = parts(MIXED, body);
        let paths: Vec<_> = (0..7).map(|part| parts.path(part)).collect();
        assert_eq!(paths, ["", "1", "1.1", "1.2", "1.2.1", "1.2.2", "2"]);
        assert_eq!(parts.place(2), LeafPlace::Alternative);
        assert_eq!(parts.place(4), LeafPlace::RelatedRoot);
        assert_eq!(parts.place(5), LeafPlace::Related);
        assert_eq!(parts.place(6), LeafPlace::Free);
        assert_eq!(parts.choices(4).next().map(|(around, _)| around), Some(1));
        assert_eq!(parts.choices(6).next(), None);
        assert_eq!(parts.front(), Some(0));
    }
}

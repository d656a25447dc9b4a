//! A message as it is read: the scanner's events, part by part.

use std::mem;

use super::{
    Message, Reason,
    forwarded::Forwarded,
    later::Later,
    leaf::{Asked, Leaf, Work},
    message::Stop,
    words::Role,
};
use crate::{
    mime::{
        Ambiguity, DecodeError, Decoder, Disposition, Event, Head, References, Scanner,
        TransferEncoding, scanner::PartId,
    },
    policy::{Fate, PartFacts},
    rewrite::{Eol, insert::TextKind},
    rules::{self, Judgement, Place, Why},
};

/// The length, as it stands in the message, from which a part goes to the drop before the message has
/// ended. Each file costs the disk more than its bytes do: shorter ones go when it is known how many
/// there are, so that the message cannot bring more of them than it pays for in bytes.
pub(super) const GOES_EARLY_BYTES: u64 = 64 * 1024;

/// The most text parts that are remembered as places for the notice.
pub(super) const TEXTS_MAX: usize = 16;

/// A text part that may take the notice.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) part: PartId,
    pub(super) kind: TextKind,
    /// True if it cannot take the notice: it has a name, and thus is a file to some readers.
    pub(super) is_fixed: bool,
    pub(super) charset: Option<String>,
    pub(super) encoding: TransferEncoding,
    /// The offsets in the spool of its header block, its body and its end.
    pub(super) header: u64,
    pub(super) body: u64,
    pub(super) end: u64,
}

/// A step to wait for before the next event is acted upon.
pub(super) enum Wait {
    /// More is in memory than the spool's window holds.
    Spool,
    /// The part goes: its decoded bytes are to be written.
    Draft,
    /// The candidate became heavy.
    Detach,
    /// A part that goes has ended.
    End(Box<Leaf>),
}

impl Message {
    /// Notes a CRLF: a body may have CRLF below a header without, and added lines then end so too.
    pub(super) fn learn_eol(&mut self, chunk: &[u8]) {
        let Some(last) = chunk.last().filter(|_| self.eol == Eol::Lf) else {
            return;
        };
        let is_cut = self.after_cr && chunk.starts_with(b"\n");
        if is_cut || memchr::memmem::find(chunk, b"\r\n").is_some() {
            self.eol = Eol::CrLf;
        }
        self.after_cr = *last == b'\r';
    }

    /// Acts upon an event as far as nothing need be waited for, and returns what to wait for next.
    #[inline(always)] // of all events of a message made of structure it is the larger part
    pub(super) fn act(&mut self, event: Event<'_>) -> Result<Option<Wait>, Stop> {
        let mut wait = None;

        match event {
            Event::Structure(bytes) => self.spool.push(bytes),
            Event::Delimiter { line, .. } => {
                self.parts.delimiter(self.spool.len(), line);
                self.spool.push(line);
            }
            Event::Begin { parent, .. } => {
                self.header_start = self.spool.len();
                self.parts.begin(parent, self.header_start);
            }
            Event::Head(head) => {
                let part = self.parts.head(head, self.spool.len());
                if !Scanner::enters(head) {
                    self.begin_leaf(part, head);
                }
            }
            Event::Body(bytes) => wait = self.body(bytes)?,
            Event::End { part } => {
                self.parts.end(part);
                wait = self.end_leaf(part)?;
            }
            Event::Ambiguous(why) => return Err(self.doubtful(self.parts.last(), why)),
        }

        Ok(wait.or_else(|| self.spool.is_over().then_some(Wait::Spool)))
    }

    pub(super) fn begin_leaf(&mut self, part: PartId, head: &Head) {
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
            (judgement, decoder) => {
                let work = match judgement {
                    Judgement::Stays(why) => self.keeping(head, why, decoder),
                    _ => Work::Stays(Why::Encoding),
                };
                // No leaf is made for a part about which nothing will be asked.
                if matches!(work, Work::Stays(_)) && text.is_none() && !self.takes_notes() {
                    return self.words.take(part, role);
                }
                Box::new(Leaf::new(part, head, work))
            }
        };

        (leaf.text, leaf.role) = (text, role);
        leaf.pair = (place == Place::AppleDouble).then(|| self.parts.parent(part).0);
        self.leaf = Some(leaf);
    }

    /// Makes a leaf that may go: the policy is asked about it.
    pub(super) fn candidate(&self, part: PartId, head: &Head, decoder: Decoder) -> Box<Leaf> {
        let mut leaf = Box::new(Leaf::new(part, head, Work::Counting(decoder)));
        let is_message = head.media.main() == "message";
        leaf.forwarded = is_message.then(|| Box::new(Forwarded::new(self.filter.config.limits)));
        // A named body: it may go, and shows the parts to which it refers if it stays.
        leaf.shows = is_html(head)
            && head.disposition == Disposition::Inline
            && References::can_read(head.charset.as_deref());
        match &self.fate {
            Some(fate) => leaf.decide(fate.clone()),
            None => {
                let facts = PartFacts::new(&leaf.file.given_name(), &leaf.file.media_type);
                let fate = self.plan.decide(&self.filter.config, &facts);
                leaf.asked = Some(Box::new(Asked::new(facts)));
                leaf.decide(fate);
            }
        }
        leaf
    }

    /// The work on the body of a leaf that stays by its header.
    pub(super) fn keeping(&mut self, head: &Head, why: Why, decoder: Option<Decoder>) -> Work {
        match decoder {
            Some(decoder) if is_html(head) => {
                if !References::can_read(head.charset.as_deref()) {
                    self.references.assume_everything();
                }
                Work::Html(decoder)
            }
            Some(decoder) => Work::keeping(why, decoder),
            None => {
                // A reader that can decode it may be shown pictures in it.
                if is_html(head) {
                    self.references.assume_everything();
                }
                Work::Stays(why)
            }
        }
    }

    /// Takes bytes of the leaf's body.
    pub(super) fn body(&mut self, bytes: &[u8]) -> Result<Option<Wait>, Stop> {
        let Some(mut leaf) = self.leaf.take() else {
            self.spool.push(bytes);
            return Ok(None);
        };
        if !matches!(leaf.work, Work::Detaching(..) | Work::Spoiled) {
            self.spool.push(bytes);
        }
        leaf.ends_in_cr = bytes.last() == Some(&b'\r');

        self.decoded.clear();
        let decoded = match leaf.work.decoder() {
            Some(decoder) => decoder.push(bytes, &mut self.decoded),
            None => Ok(()),
        };

        leaf.is_blank = leaf.is_blank
            && decoded.is_ok()
            && match leaf.work.decoder() {
                Some(_) => is_blank(&self.decoded),
                None => is_blank(bytes),
            };
        self.take_decoded(&mut leaf, decoded, false)?;

        let wait = match leaf.work {
            Work::Detaching(_, Some(_)) => Some(Wait::Draft),
            _ => self.goes_now(&leaf).then_some(Wait::Detach),
        };
        self.leaf = Some(leaf);
        Ok(wait)
    }

    /// Acts upon the decoded bytes; those that go to the drop are yet to be written.
    pub(super) fn take_decoded(
        &mut self,
        leaf: &mut Leaf,
        decoded: Result<(), DecodeError>,
        is_whole: bool,
    ) -> Result<(), Stop> {
        if let Err(DecodeError) = decoded {
            return self.malformed(leaf);
        }
        leaf.bytes += self.decoded.len() as u64;
        if let Some(forwarded) = &mut leaf.forwarded
            && matches!(leaf.work, Work::Counting(_))
        {
            forwarded.push(&self.decoded);
            if is_whole {
                forwarded.finish();
            }
        }

        if leaf.shows || matches!(leaf.work, Work::Html(_)) {
            self.references.push(&self.decoded);
        }

        if matches!(leaf.work, Work::Counting(_)) {
            leaf.file.see(&self.decoded, is_whole);
            self.look(leaf, is_whole);
        }
        Ok(())
    }

    /// Asks the policy again, as long as it has not decided.
    pub(super) fn look(&self, leaf: &mut Leaf, is_whole: bool) {
        let weight = leaf.weight();
        let Some(asked) = &mut leaf.asked else {
            return;
        };
        if self.asks_content {
            asked.see(&self.decoded, is_whole);
        }
        (asked.facts.bytes, asked.facts.is_whole) = (weight, is_whole);
        let fate = self.plan.decide(&self.filter.config, &asked.facts);
        leaf.decide(fate);
    }

    /// Handles a body that is not what its transfer encoding says. Readers make different things of
    /// malformed base64, so the message is left alone; malformed quoted-printable they all show
    /// somehow, and the part is left alone. Where some of it is in the drop and no longer here, the
    /// message is. Its fate is decided where the part ends: it must not matter how much of it was
    /// there when it was found out.
    pub(super) fn malformed(&mut self, leaf: &mut Leaf) -> Result<(), Stop> {
        if leaf.shows {
            self.references.assume_everything();
        }

        match &leaf.work {
            _ if leaf.file.encoding == TransferEncoding::Base64 => {
                Err(self.doubtful(leaf.part, Ambiguity::Base64))
            }
            Work::Detaching(..) => {
                leaf.work = Work::Spoiled;
                Ok(())
            }
            Work::Html(_) => {
                self.references.assume_everything();
                leaf.work = Work::Stays(Why::Text);
                Ok(())
            }
            _ => {
                leaf.work = Work::Stays(Why::Malformed);
                Ok(())
            }
        }
    }

    /// Returns true if a candidate has become heavy, and no HTML body so far shows it. One that comes
    /// after it could: that is rare, and waiting for it would spool every file of the programs that
    /// give all of theirs a `Content-ID`. Where it does, the message is left alone in the end.
    pub(super) fn goes(&self, leaf: &Leaf) -> bool {
        let Fate::Goes(going) = &leaf.fate else {
            return false;
        };
        matches!(leaf.work, Work::Counting(_))
            && !going.dry_run
            && leaf.weight() >= going.threshold
            && leaf.role != Role::Perhaps
            && leaf.pair.is_none()
            && self.may_go(leaf)
    }

    /// Returns true if it goes before its end was seen. A part that may turn out to be malformed or
    /// infected, or to have another name, does not.
    pub(super) fn goes_now(&self, leaf: &Leaf) -> bool {
        let is_certain = leaf.file.encoding != TransferEncoding::QuotedPrintable;
        is_certain
            && !self.keeps_out()
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
            Work::Spoiled => true,
            Work::Stays(Why::Malformed) => {
                leaf.file.encoding != TransferEncoding::QuotedPrintable
                    && self.is_heavy_as_it_is(leaf)
                    && self.may_go(leaf)
            }
            _ => false,
        }
    }

    /// Returns true if a part that cannot be decoded would be heavy.
    pub(super) fn is_heavy_as_it_is(&self, leaf: &Leaf) -> bool {
        let threshold = match &leaf.fate {
            Fate::Goes(going) if !going.dry_run => going.threshold,
            Fate::Open => self.filter.config.detach.threshold,
            _ => return false,
        };
        self.spool.len() - self.parts.body(leaf.part) >= threshold
    }

    /// Ends a leaf; one that goes is to be waited for.
    pub(super) fn end_leaf(&mut self, part: PartId) -> Result<Option<Wait>, Stop> {
        let Some(mut leaf) = self.leaf.take_if(|leaf| leaf.part == part) else {
            return Ok(None);
        };
        // Readers differ about the last line end of such a part; in base64 it does not matter.
        let doubtful_end = (self.ending && part != 0 || leaf.ends_in_cr)
            && leaf.file.encoding != TransferEncoding::Base64;
        if doubtful_end && matches!(leaf.work, Work::Counting(_) | Work::Detaching(..)) {
            self.malformed(&mut leaf)?;
        }

        self.decoded.clear();
        let mut tail = Ok(());
        if let Some(decoder) = leaf.work.decoder() {
            tail = mem::take(decoder).finish(&mut self.decoded);
        }

        self.take_decoded(&mut leaf, tail, true)?;
        if !leaf.is_blank || !is_blank(&self.decoded) {
            self.words.take(part, leaf.role);
        }

        self.note_doubt(&leaf);
        if self.is_spoiled(&leaf) {
            self.explain_kept(part, &leaf.file, leaf.bytes, None, Why::Malformed);
            return Err(Reason::MalformedBody.into());
        }

        if leaf.shows {
            self.references.finish();
        }

        let goes = self.goes(&leaf);
        if matches!(leaf.work, Work::Detaching(..)) || goes && self.is_long(&leaf) {
            return Ok(Some(Wait::End(leaf)));
        }

        if goes && leaf.shown_by.is_none() {
            self.sure += 1;
            self.refuse_too_many(self.sure)?;
        }

        self.leave(*leaf);
        Ok(None)
    }

    /// Ends a leaf that stays for the moment.
    pub(super) fn leave(&mut self, leaf: Leaf) {
        let weight = leaf.weight();
        let Leaf {
            part,
            file,
            bytes,
            work,
            shown_by,
            role,
            pair,
            text,
            fate,
            ..
        } = leaf;
        let end = self.spool.len();

        match (work, fate) {
            (Work::Counting(_), Fate::Goes(going)) => self.later.push(Later {
                part,
                file,
                bytes,
                weight,
                body: self.parts.body(part),
                end,
                shown_by,
                role,
                pair,
                going,
                goes: false,
            }),
            (Work::Stays(why) | Work::Checked(why, _), Fate::Stays(source)) => {
                let raw = end - self.parts.body(part);
                self.is_chosen |= self.is_choice(source, raw);
                self.explain_kept(part, &file, bytes, Some(source), why);
            }
            (Work::Stays(why) | Work::Checked(why, _), _) => {
                self.explain_kept(part, &file, bytes, None, why);
            }
            (Work::Html(_), _) => {
                self.references.finish();
                self.explain_kept(part, &file, bytes, None, Why::Text);
            }
            // The policy decides on a part that is counted before the part ends. The others are not
            // left: they go, or settle the message.
            (Work::Counting(_) | Work::Detaching(..) | Work::Spoiled, _) => {}
        }
        self.texts.extend(text.map(|text| Text { end, ..*text }));
    }

    /// Remembers a text part as a place for the notice. A part with a name is a file to some readers,
    /// even where it stands for the text: the notice goes after it.
    pub(super) fn text(
        &mut self,
        part: PartId,
        head: &Head,
        judgement: Judgement,
        role: Role,
    ) -> Option<Box<Text>> {
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

        let text = || Text {
            part,
            kind,
            is_fixed: head.is_named,
            charset: head.charset.clone(),
            encoding: head.encoding,
            header: self.header_start,
            body: self.spool.len(),
            end: self.spool.len(),
        };
        Some(Box::new(text()))
    }
}

pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

pub(super) fn is_html(head: &Head) -> bool {
    head.media.is("text", "html")
}

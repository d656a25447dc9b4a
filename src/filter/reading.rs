//! A message as it is read: the scanner's events, part by part.
//!
//! It knows the scanner, the parts as they lie in the spool, and the part whose body is coming in. It
//! tells the account what becomes of each part, and says by [`Wait`] what is to be waited for. It does
//! not know the store. Its only I/O is the spool's.
//!
//! * `begin` – the beginning of a leaf
//! * `heavy` – whether a leaf goes, now or at its end
//! * `text` – the texts that may take the notice

mod begin;
mod heavy;
mod text;

use std::{io, mem, ops::Range, sync::Arc};

use bytes::Bytes;
use mailsplice::{
    Limits,
    mime::{
        Ambiguity, DecodeError, Decoder, Event, Events, PartId, References, Scanner,
        TransferEncoding,
    },
    rewrite::Eol,
};

use super::{
    Filter, Reason,
    accounting::Accounting,
    fates::Fates,
    later::{CompleteMessage, Later},
    leaf::{Leaf, LeafWork},
    outcome::Settled,
    parts::Parts,
    top_header::TopHeader,
    words::SeenTexts,
};
use crate::{
    policy::{Fate, Plan},
    rules::Why,
    spool::Spool,
};

pub(super) use text::BodyText;

/// A message as it is read.
#[derive(Debug)]
pub(super) struct Reading {
    top: TopHeader,
    limits: Limits,
    fates: Fates,
    /// True if an infected file stays in the message, though the others go.
    keeps_out: bool,
    eol: Eol,
    /// True if the last chunk ended in a CR.
    after_cr: bool,
    /// `None` while its events are acted upon, and once the outcome is certain.
    scanner: Option<Scanner>,
    /// True once the last byte came. A part that ends after it lacks its delimiter or the line end of
    /// that, and readers differ about whether the line end before is the part's.
    ending: bool,
    parts: Parts,
    spool: Spool,
    leaf: Option<Box<Leaf>>,
    decoded: Vec<u8>,
    texts: Vec<BodyText>,
    words: SeenTexts,
    references: References,
    later: Vec<Later>,
    /// The number of candidates that go whatever comes after them.
    sure: usize,
    /// The keys of the `Content-ID`s of parts that went before all HTML bodies had come.
    gone: Vec<u64>,
}

/// A step to wait for before the next event is acted upon.
pub(super) enum Wait {
    /// More is in memory than the spool's window holds.
    Spool,
    /// The part goes: its decoded bytes are to be written.
    Draft,
    /// The candidate became heavy.
    Detach,
    /// One more candidate that stays for the moment is sure to go: there may be too many.
    Sure,
    /// A part that goes has ended.
    End(Box<Leaf>),
}

impl Reading {
    /// Begins a message; `eol` is the line ending of its header.
    ///
    /// # Errors
    /// Readers would differ about its structure.
    pub(super) fn new(
        filter: &Filter,
        top: TopHeader,
        eol: Eol,
        plan: Plan,
        accounting: &Accounting,
    ) -> Result<Self, Ambiguity> {
        let config = &filter.config;
        let limits = config.limits.structure();
        let root = top.root.clone();
        let mut reading = Self {
            scanner: Some(Scanner::new(&root, limits)?),
            parts: Parts::new(&root),
            spool: filter.spools.spool(),
            limits,
            fates: Fates::new(Arc::clone(config), plan),
            keeps_out: filter.keeps_out(),
            top,
            eol,
            after_cr: false,
            ending: false,
            leaf: None,
            decoded: Vec::new(),
            texts: Vec::new(),
            words: SeenTexts::default(),
            references: References::default(),
            later: Vec::new(),
            sure: 0,
            gone: Vec::new(),
        };

        if !Scanner::enters(&root) {
            reading.begin_leaf(0, &root, accounting);
        }
        Ok(reading)
    }

    /// Begins a chunk, and hands over the scanner, which is out of the way while its events are acted
    /// upon. There is none once the outcome is certain.
    pub(super) fn begin_chunk(&mut self, chunk: &[u8]) -> Option<Scanner> {
        let scanner = self.scanner.take()?;
        self.learn_eol(chunk);
        Some(scanner)
    }

    /// Ends a chunk: takes the scanner back.
    pub(super) fn end_chunk(&mut self, scanner: Scanner) {
        self.scanner = Some(scanner);
    }

    /// Ends the body, after which an empty chunk is to be read. Returns false if it cannot be read on.
    pub(super) fn end(&mut self) -> bool {
        self.ending = self.scanner.is_some();
        self.ending
    }

    /// Returns the events of a chunk, or those behind the last one.
    pub(super) fn events<'a>(&self, scanner: &'a mut Scanner, chunk: &'a [u8]) -> Events<'a> {
        if self.ending {
            scanner.end()
        } else {
            scanner.scan(chunk)
        }
    }

    /// Stops reading: the outcome is certain.
    pub(super) fn stop(&mut self) {
        self.scanner = None;
        self.leaf = None;
        self.later.clear();
    }

    /// Acts upon the events of a chunk until something is to be waited for, or it is used up.
    pub(super) fn read(
        &mut self,
        events: &mut Events<'_>,
        accounting: &mut Accounting,
    ) -> Result<Option<Wait>, Settled> {
        while let Some(event) = events.next() {
            let wait = self.act(event, accounting)?;
            if wait.is_some() {
                return Ok(wait);
            }
        }
        Ok(None)
    }

    /// Writes to a file what of the spool is more than may be in memory.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        self.spool.settle().await
    }

    /// Hands over the decoded bytes of the part that goes.
    pub(super) fn take_bytes(&mut self) -> Bytes {
        mem::take(&mut self.decoded).into()
    }

    /// Reads back a run of the spool, decoded.
    pub(super) async fn decode(
        &self,
        decoder: &mut Decoder,
        at: Range<u64>,
    ) -> Result<Bytes, Settled> {
        let raw = self.spool.read(at).await?;
        let mut decoded = Vec::with_capacity(raw.len());
        match decoder.push(&raw, &mut decoded) {
            Ok(()) => Ok(decoded.into()),
            Err(DecodeError) => Err(Reason::MalformedBody.into()),
        }
    }

    /// Hands over the leaf whose body is coming in: it goes.
    pub(super) fn take_leaf(&mut self) -> Option<Box<Leaf>> {
        self.leaf.take()
    }

    /// Goes on with a leaf that goes, of which nothing stays in the spool.
    pub(super) async fn go_on(&mut self, mut leaf: Box<Leaf>, decoder: Decoder) -> io::Result<()> {
        self.forget_body(leaf.part).await?;
        leaf.work = LeafWork::Detaching(decoder);
        self.leaf = Some(leaf);
        Ok(())
    }

    /// Cuts the body of the part that came last off the spool.
    pub(super) async fn forget_body(&mut self, part: PartId) -> io::Result<()> {
        self.spool.truncate(self.parts.body(part)).await
    }

    /// The place in the spool of the body of the part that came last.
    pub(super) fn body_of(&self, part: PartId) -> Range<u64> {
        self.parts.body(part)..self.spool.len()
    }

    /// Notes that a part went which an HTML body may show by this key.
    pub(super) fn went(&mut self, shown_by: Option<u64>) {
        self.gone.extend(shown_by);
    }

    /// Removes a part from the message.
    pub(super) fn remove(&mut self, part: PartId) {
        self.parts.remove(part);
    }

    /// Removes the multiparts of which no part stays.
    pub(super) fn remove_emptied(&mut self) {
        self.parts.remove_emptied();
    }

    /// The number of candidates in the spool that go whatever comes after them.
    pub(super) fn sure(&self) -> usize {
        self.sure
    }

    /// Decides on the candidates that stayed in the spool, and returns those that go.
    pub(super) fn decide_later(
        &mut self,
        accounting: &mut Accounting,
    ) -> Result<Vec<Later>, Settled> {
        let is_shown = |&key: &u64| self.references.contains_key(key);
        if self.gone.iter().any(is_shown) {
            return Err(Reason::ShownLater.into());
        }
        let later = mem::take(&mut self.later);
        let complete = CompleteMessage {
            parts: &self.parts,
            references: &self.references,
            words: &self.words,
            is_marked: self.top.is_marked,
            keeps_out: self.keeps_out,
            accounting,
        };
        Ok(complete.decide(later))
    }

    /// Hands over the spool; `empty` takes its place.
    pub(super) fn replace_spool(&mut self, empty: Spool) -> Spool {
        mem::replace(&mut self.spool, empty)
    }

    pub(super) fn top(&self) -> &TopHeader {
        &self.top
    }

    /// The line ending of lines that are added.
    pub(super) fn eol(&self) -> Eol {
        self.eol
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The texts that may take the notice.
    pub(super) fn texts(&self) -> &[BodyText] {
        &self.texts
    }

    /// Notes a CRLF: a body may have CRLF below a header without, and added lines then end so too.
    fn learn_eol(&mut self, chunk: &[u8]) {
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
    fn act(
        &mut self,
        event: Event<'_>,
        accounting: &mut Accounting,
    ) -> Result<Option<Wait>, Settled> {
        let mut wait = None;

        match event {
            Event::Structure(bytes) => self.spool.push(bytes),
            Event::Delimiter { line, .. } => {
                self.parts.delimiter(self.spool.len(), line);
                self.spool.push(line);
            }
            Event::Begin { parent, .. } => {
                self.parts.begin(parent, self.spool.len());
            }
            Event::Head(head) => {
                let part = self.parts.head(head, self.spool.len());
                if !Scanner::enters(head) {
                    self.begin_leaf(part, head, accounting);
                }
            }
            Event::Body(bytes) => wait = self.body(bytes, accounting)?,
            Event::End { part } => {
                self.parts.end(part);
                wait = self.end_leaf(part, accounting)?;
            }
            Event::Ambiguous(why) => {
                return Err(accounting.doubtful(self.parts.path(self.parts.last()), why));
            }
        }

        Ok(wait.or_else(|| self.spool.is_over().then_some(Wait::Spool)))
    }

    /// Takes bytes of the leaf's body.
    fn body(&mut self, bytes: &[u8], accounting: &mut Accounting) -> Result<Option<Wait>, Settled> {
        let Some(mut leaf) = self.leaf.take() else {
            self.spool.push(bytes);
            return Ok(None);
        };
        if !matches!(leaf.work, LeafWork::Detaching(..) | LeafWork::Spoiled) {
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
        self.take_decoded(&mut leaf, decoded, false, accounting)?;

        let wait = match leaf.work {
            LeafWork::Detaching(_) => Some(Wait::Draft),
            _ => self.goes_now(&leaf).then_some(Wait::Detach),
        };
        self.leaf = Some(leaf);
        Ok(wait)
    }

    /// Acts upon the decoded bytes; those that go to the drop are yet to be written.
    fn take_decoded(
        &mut self,
        leaf: &mut Leaf,
        decoded: Result<(), DecodeError>,
        is_whole: bool,
        accounting: &mut Accounting,
    ) -> Result<(), Settled> {
        if let Err(DecodeError) = decoded {
            return self.malformed(leaf, accounting);
        }
        leaf.bytes += self.decoded.len() as u64;
        if let Some(forwarded) = &mut leaf.forwarded
            && matches!(leaf.work, LeafWork::Counting(_))
        {
            forwarded.push(&self.decoded);
            if is_whole {
                forwarded.finish();
            }
        }

        if let Some(container) = &mut leaf.container
            && matches!(leaf.work, LeafWork::Counting(_))
        {
            container.push(&self.decoded);
        }

        if leaf.shows || matches!(leaf.work, LeafWork::Html(_)) {
            self.references.push(&self.decoded);
        }

        if matches!(leaf.work, LeafWork::Counting(_)) {
            leaf.file.see(&self.decoded, is_whole);
            self.fates.ask_again(leaf, &self.decoded, is_whole);
        }
        Ok(())
    }

    /// Handles a body that is not what its transfer encoding says. Readers make different things of
    /// malformed base64, so the message is left alone; malformed quoted-printable they all show
    /// somehow, and the part is left alone. Where some of it is in the drop and no longer here, the
    /// message is. Its fate is decided where the part ends: it must not matter how much of it was
    /// there when it was found out.
    fn malformed(&mut self, leaf: &mut Leaf, accounting: &mut Accounting) -> Result<(), Settled> {
        if leaf.shows {
            self.references.assume_everything();
        }

        match &leaf.work {
            _ if leaf.file.encoding == TransferEncoding::Base64 => {
                Err(accounting.doubtful(self.parts.path(leaf.part), Ambiguity::Base64))
            }
            LeafWork::Detaching(..) => {
                leaf.work = LeafWork::Spoiled;
                Ok(())
            }
            LeafWork::Html(_) => {
                self.references.assume_everything();
                leaf.work = LeafWork::Stays(Why::Text);
                Ok(())
            }
            _ => {
                leaf.work = LeafWork::Stays(Why::Malformed);
                Ok(())
            }
        }
    }

    /// Ends a leaf; one that goes is to be waited for.
    fn end_leaf(
        &mut self,
        part: PartId,
        accounting: &mut Accounting,
    ) -> Result<Option<Wait>, Settled> {
        let Some(mut leaf) = self.leaf.take_if(|leaf| leaf.part == part) else {
            return Ok(None);
        };
        // Readers differ about the last line end of such a part; in base64 it does not matter.
        let doubtful_end = (self.ending && part != 0 || leaf.ends_in_cr)
            && leaf.file.encoding != TransferEncoding::Base64;
        if doubtful_end && matches!(leaf.work, LeafWork::Counting(_) | LeafWork::Detaching(..)) {
            self.malformed(&mut leaf, accounting)?;
        }

        self.decoded.clear();
        let mut tail = Ok(());
        if let Some(decoder) = leaf.work.decoder() {
            tail = mem::take(decoder).finish(&mut self.decoded);
        }

        self.take_decoded(&mut leaf, tail, true, accounting)?;
        if !leaf.is_blank || !is_blank(&self.decoded) {
            self.words.take(part, leaf.role);
        }

        if let Some(why) = self.doubt(&leaf) {
            accounting.doubt(why);
        }
        if self.is_spoiled(&leaf) {
            let path = || self.parts.path(part);
            accounting.kept(path, &leaf.file, leaf.bytes, None, Why::Malformed);
            return Err(Reason::MalformedBody.into());
        }

        if leaf.shows {
            self.references.finish();
        }

        let goes = self.goes(&leaf);
        if matches!(leaf.work, LeafWork::Detaching(..)) || goes && self.is_long(&leaf) {
            return Ok(Some(Wait::End(leaf)));
        }

        let is_sure = goes && leaf.shown_by.is_none();
        self.sure += usize::from(is_sure);
        self.leave(*leaf, accounting);
        Ok(is_sure.then_some(Wait::Sure))
    }

    /// Ends a leaf that stays for the moment.
    fn leave(&mut self, leaf: Leaf, accounting: &mut Accounting) {
        let weight = leaf.weight();
        let Leaf {
            part,
            file,
            bytes,
            work,
            shown_by,
            role,
            pair,
            container,
            text,
            fate,
            ..
        } = leaf;
        let end = self.spool.len();
        let path = || self.parts.path(part);

        match (work, fate) {
            (LeafWork::Counting(_), Fate::Goes(going)) => self.later.push(Later {
                part,
                file,
                bytes,
                weight,
                body: self.parts.body(part),
                end,
                shown_by,
                role,
                pair,
                opens: container.map(|mut container| container.finish()),
                going,
                goes: false,
            }),
            (LeafWork::Stays(why) | LeafWork::Checked(why, _), Fate::Stays(source)) => {
                let raw = end - self.parts.body(part);
                // Nobody knows whether it could have gone.
                if container.is_none() {
                    accounting.chosen(source, raw);
                }
                accounting.kept(path, &file, bytes, Some(source), why);
            }
            (LeafWork::Stays(why) | LeafWork::Checked(why, _), _) => {
                accounting.kept(path, &file, bytes, None, why);
            }
            (LeafWork::Html(_), _) => {
                self.references.finish();
                accounting.kept(path, &file, bytes, None, Why::Text);
            }
            // The policy decides on a part that is counted before the part ends. The others are not
            // left: they go, or settle the message.
            (LeafWork::Counting(_) | LeafWork::Detaching(..) | LeafWork::Spoiled, _) => {}
        }
        self.texts
            .extend(text.map(|text| BodyText { end, ..*text }));
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

//! A message on its way: each of the scanner's events is acted upon.

use std::{borrow::Cow, collections::HashSet, mem, ops::Range, time::Duration};

use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    DETACHED_MAX, Direction, Envelope, Filter, FilterError, PartDecision, Reason, Trial, Verdict,
    choices,
    forwarded::Forwarded,
    language::Speech,
    leaf::{Asked, FileHead, Leaf, Work},
    mark, origin,
    parts::Parts,
    vouch,
    words::{Role, Words},
};
use crate::{
    config::Config,
    mime::{
        Ambiguity, DecodeError, Decoder, Disposition, Event, Field, Head, References, Scanner,
        TransferEncoding, scanner::PartId,
    },
    names,
    policy::{Edits, Fate, Going, PartFacts, Plan, Source},
    rewrite::{Eol, insert::TextKind},
    rules::{self, Judgement, Place, Weight, Why},
    scan::Finding,
    sender::authentication::genuine_domain,
    spool::Spool,
    store::{DurableFile, FileDraft, PackageDraft, Store, StoreError},
};

/// Bytes of a part that are replayed from the spool at a time.
const REPLAY_BYTES: u64 = 64 * 1024;

/// The length, as it stands in the message, from which a part goes to the drop before the message has
/// ended. Each file costs the disk more than its bytes do: shorter ones go when it is known how many
/// there are, so that the message cannot bring more of them than it pays for in bytes.
const GOES_EARLY_BYTES: u64 = 64 * 1024;

/// The most parts of which the log tells.
const DECISIONS_MAX: usize = 50;

/// The most text parts that are remembered as places for the notice.
const TEXTS_MAX: usize = 16;

/// A message on its way. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Message {
    pub(super) filter: Filter,
    pub(super) envelope: Envelope,
    pub(super) root: Head,
    /// The names of the top-level fields that a rewrite may have to change, as written.
    pub(super) root_fields: Vec<String>,
    pub(super) eol: Eol,
    /// True if the last chunk ended in a CR.
    after_cr: bool,
    pub(super) scanner: Option<Scanner>,
    pub(super) parts: Parts,
    pub(super) spool: Spool,
    pub(super) texts: Vec<Text>,
    /// True if it is sent to many who do not answer each other: a newsletter, no discussion list.
    pub(super) is_newsletter: bool,
    pub(super) later: Vec<Later>,
    /// The number of candidates that go whatever comes after them.
    sure: usize,
    pub(super) detached: Vec<Detached>,
    pub(super) package: Option<PackageDraft>,
    pub(super) settled: Option<Settled>,
    /// The header's hints at the language; `None` where nothing depends on it.
    pub(super) speech: Option<Box<Speech>>,
    /// The edits that take the wish of its sender out of the message: fields, tags and recipients.
    pub(super) edits: Edits,
    /// The parts that would have been detached, kept in a trial only.
    pub(super) trial: Trial,
    /// The reasons why the store refused files because of what they are: errors by which the message
    /// does not fail.
    refused: Vec<&'static str>,
    /// The domain from which the message comes, according to a trusted verifier.
    genuine: Option<String>,
    /// The certain part of its sender's address, once that was asked.
    verified: Option<Option<String>>,
    /// The number of fields that look like our mark, but were put into it by somebody else.
    pub(super) foreign_marks: usize,
    /// The id by which its copies are known.
    pub(super) message_id: Option<Box<[u8]>>,
    /// True if something that is heavy by the usual measure stays because somebody chose so.
    is_chosen: bool,
    plan: Plan,
    /// The fate of every candidate, where the policy asks nothing about it.
    fate: Option<Fate>,
    asks_content: bool,
    references: References,
    words: Words,
    /// The reason why the first heavy part that is in doubt stays.
    pub(super) doubt: Option<Reason>,
    /// The keys of the `Content-ID`s of parts that went before all HTML bodies had come.
    gone: Vec<u64>,
    leaf: Option<Box<Leaf>>,
    /// True once the last byte came. A part that ends after it lacks its delimiter or the line end of
    /// that, and readers differ about whether the line end before is the part's.
    ending: bool,
    /// The offset in the spool at which the header block of the part that began last starts.
    header_start: u64,
    /// The file that was ended last: it becomes durable while the body goes on.
    finishing: Option<(Detached, JoinHandle<Result<DurableFile, StoreError>>)>,
    decisions: Vec<PartDecision>,
    decoded: Vec<u8>,
    /// The time for which the drop has held up the body.
    waited: Duration,
}

/// An outcome that is certain before the end.
#[derive(Debug)]
pub(super) enum Settled {
    Pass(Reason),
    Fail(FilterError),
}

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

/// A candidate that stayed in the spool: it may go at the end of the message.
#[derive(Debug)]
pub(super) struct Later {
    pub(super) part: PartId,
    pub(super) file: FileHead,
    pub(super) bytes: u64,
    /// The number of bytes that count.
    weight: u64,
    pub(super) body: u64,
    pub(super) end: u64,
    /// The key of the `Content-ID` by which an HTML body may show it.
    pub(super) shown_by: Option<u64>,
    role: Role,
    pair: Option<PartId>,
    going: Going,
    /// True if it was decided that it goes.
    goes: bool,
}

// A list that grows has room for twice as many; a name and a type have 255 bytes each.
const _: () = assert!(2 * size_of::<Later>() + 2 * 255 <= 1024);

/// A part that is in the drop.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) part: PartId,
    pub(super) name: String,
    pub(super) media_type: Cow<'static, str>,
    pub(super) bytes: u64,
    pub(super) file: Option<DurableFile>,
    pub(super) going: Going,
    /// True if readers may have shown it inline.
    pub(super) is_inline: bool,
}

/// A step to wait for before the next event is acted upon.
enum Wait {
    /// More is in memory than the spool's window holds.
    Spool,
    /// The part goes: its decoded bytes are to be written.
    Draft,
    /// The candidate became heavy.
    Detach,
    /// A part that goes has ended.
    End(Box<Leaf>),
}

/// Ends work on a message early.
enum Stop {
    Settled(Settled),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Settled(Settled::Pass(reason))
    }
}

impl<E: Into<FilterError>> From<E> for Stop {
    fn from(error: E) -> Self {
        let error = error.into();
        let refused = match &error {
            FilterError::Store(error) => Reason::of_refusal(error),
            _ => None,
        };
        Self::Settled(refused.map_or(Settled::Fail(error), Settled::Pass))
    }
}

impl Message {
    pub(super) fn new(
        filter: Filter,
        envelope: Envelope,
        header: &[Field],
        root: Head,
        eol: Eol,
        plan: Plan,
    ) -> Result<Self, Ambiguity> {
        let config = &filter.config;
        let scanner = Scanner::new(&root, config.limits)?;

        let mut message = Self {
            spool: filter.spools.spool(),
            parts: Parts::new(&root),
            scanner: Some(scanner),
            root_fields: header.iter().filter_map(content_field).collect(),
            fate: plan.fate_of_all(config),
            asks_content: plan.asks_content(config),
            speech: Speech::read(config, header),
            plan,
            edits: Edits::default(),
            trial: Trial::default(),
            refused: Vec::new(),
            genuine: genuine(config, &envelope, header),
            verified: None,
            foreign_marks: mark::foreign(envelope.direction, header),
            message_id: choices::message_id(header).map(Box::from),
            is_chosen: false,
            filter,
            envelope,
            eol,
            after_cr: false,
            texts: Vec::new(),
            is_newsletter: is_newsletter(header),
            later: Vec::new(),
            sure: 0,
            detached: Vec::new(),
            package: None,
            settled: None,
            references: References::default(),
            words: Words::default(),
            doubt: None,
            gone: Vec::new(),
            leaf: None,
            ending: false,
            header_start: 0,
            finishing: None,
            decisions: Vec::new(),
            decoded: Vec::new(),
            waited: Duration::ZERO,
            root: root.clone(),
        };

        if !Scanner::enters(&root) {
            message.begin_leaf(0, &root);
        }
        Ok(message)
    }

    /// Takes the next bytes of the body (everything after the blank line that ends the header).
    ///
    /// Waits while the store is slow. Never fails: a failure is kept for [`Message::end`].
    pub async fn push(&mut self, chunk: &[u8]) {
        // The scanner is out of the way while its events are acted upon. There is none once the
        // outcome is certain: further bytes then cost nothing.
        let Some(mut scanner) = self.scanner.take() else {
            return;
        };
        self.learn_eol(chunk);
        loop {
            let acted = match self.act_until_wait(&mut scanner, chunk) {
                Ok(None) => break,
                // Boxed: the state of a wait, which is rare, would otherwise be moved about for each
                // event.
                Ok(Some(wait)) => Box::pin(self.wait(wait)).await,
                Err(stop) => Err(stop),
            };
            if let Err(Stop::Settled(settled)) = acted {
                return self.settle(settled);
            }
        }
        self.scanner = Some(scanner);
    }

    /// Acts upon the events of a chunk until something is to be waited for, or it is used up.
    fn act_until_wait(
        &mut self,
        scanner: &mut Scanner,
        chunk: &[u8],
    ) -> Result<Option<Wait>, Stop> {
        while let Some(event) = scanner.next(chunk) {
            let wait = self.act(event)?;
            if wait.is_some() {
                return Ok(wait);
            }
        }
        Ok(None)
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

    /// Returns true if the outcome is certain and no further byte of the body need be pushed.
    pub fn is_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// Ends the message: commits the detached files, and returns the verdict on the message.
    ///
    /// Dropping the future gives up: nothing is kept. Call it once. A message of which a `push` was
    /// dropped before it was through has failed.
    pub async fn end(&mut self) -> Verdict {
        if let Some(scanner) = &mut self.scanner {
            scanner.end();
            self.ending = true;
            self.push(b"").await;
        } else if self.settled.is_none() {
            self.settle(Settled::Fail(FilterError::GivenUp));
        }

        if self.settled.is_none()
            && let Err(Stop::Settled(settled)) = self.decide_later().await
        {
            self.settle(settled);
        }

        // Candidates are decided on late: the decisions go back into the order of the message.
        self.decisions
            .sort_by_cached_key(|decision| place(&decision.path));

        let verdict = match self.settled.take() {
            Some(Settled::Pass(reason)) => {
                self.note_refusal(reason);
                Verdict::Pass(reason)
            }
            Some(Settled::Fail(error)) => self.failed(error),
            None => super::finish::finish(self).await,
        };

        if self.is_chosen && !matches!(verdict, Verdict::Fail(_)) {
            self.filter.remember(self.message_id.as_deref()).await;
        }

        // The decision on a part holds only if the message is changed.
        for decision in &mut self.decisions {
            decision.detached &= matches!(verdict, Verdict::Rewrite(_));
            decision.would_detach &=
                matches!(verdict, Verdict::Rewrite(_) | Verdict::Pass(Reason::DryRun));
        }
        verdict
    }

    /// Turns a failure into the verdict, as it may be a finding about a file.
    fn failed(&mut self, error: FilterError) -> Verdict {
        let reason = match error.finding() {
            Some(Finding::Infected) => Reason::Infected,
            Some(Finding::Oversize) => Reason::Oversize,
            Some(Finding::Unscanned) | None => return Verdict::Fail(error),
        };
        self.warn_of(&error);
        self.refused.push(error.kind());
        Verdict::Pass(reason)
    }

    /// Logs why a file does not go into the drop.
    fn warn_of(&self, error: &FilterError) {
        let queue_id = &self.envelope.queue_id;
        tracing::warn!(queue_id, "{error}");
    }

    /// The changes to be made to the message whatever its verdict is.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// The reasons, in a word for each, why the store did not take files of it, where that is no
    /// failure: a file is infected, too large to be scanned, or blocked, or the login is suspended.
    pub fn refused(&self) -> &[&'static str] {
        &self.refused
    }

    /// Notes a reason given by the store, unless it is that somebody's share is used up.
    pub(super) fn note_refusal(&mut self, reason: Reason) {
        if matches!(reason, Reason::Blocked | Reason::Suspended) {
            self.refused.push(reason.label());
        }
    }

    /// The parts that would have been detached, were this not a trial.
    pub fn trial(&self) -> Trial {
        self.trial
    }

    /// The decision for each part; names, and more than fifty parts, if the filter explains.
    pub fn explanation(&self) -> &[PartDecision] {
        &self.decisions
    }

    /// The store to which its files go.
    pub(super) fn store(&self) -> Option<&Store> {
        self.filter.stores.as_ref()?.get(self.plan.store()).ok()
    }

    /// Ends all work on the message with this outcome: whatever was begun in the drop is given up.
    fn settle(&mut self, settled: Settled) {
        self.scanner = None;
        self.leaf = None;
        self.package = None;
        self.finishing = None;
        self.detached.clear();
        self.later.clear();
        self.trial = Trial::default();
        self.settled = Some(settled);
    }

    /// Acts upon an event as far as nothing need be waited for, and returns what to wait for next.
    #[inline(always)] // of all events of a message made of structure it is the larger part
    fn act(&mut self, event: Event<'_>) -> Result<Option<Wait>, Stop> {
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

    async fn wait(&mut self, wait: Wait) -> Result<(), Stop> {
        match wait {
            Wait::Spool => {}
            Wait::Draft => self.write_decoded().await?,
            Wait::Detach => self.detach().await?,
            Wait::End(leaf) => self.end_detached(*leaf).await?,
        }
        Ok(self.spool.settle().await?)
    }

    fn begin_leaf(&mut self, part: PartId, head: &Head) {
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
    fn candidate(&self, part: PartId, head: &Head, decoder: Decoder) -> Box<Leaf> {
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
    fn keeping(&mut self, head: &Head, why: Why, decoder: Option<Decoder>) -> Work {
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
    fn body(&mut self, bytes: &[u8]) -> Result<Option<Wait>, Stop> {
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
    fn take_decoded(
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

    /// Writes the decoded bytes to the draft of the part that is coming in.
    async fn write_decoded(&mut self) -> Result<(), Stop> {
        let bytes = Bytes::from(mem::take(&mut self.decoded));
        if let Some(leaf) = &mut self.leaf
            && let Work::Detaching(_, draft) = &mut leaf.work
        {
            write(draft, bytes, &mut self.waited, self.filter.deadline()).await?;
        }
        Ok(())
    }

    /// Asks the policy again, as long as it has not decided.
    fn look(&self, leaf: &mut Leaf, is_whole: bool) {
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
    fn malformed(&mut self, leaf: &mut Leaf) -> Result<(), Stop> {
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
    fn goes(&self, leaf: &Leaf) -> bool {
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
    fn goes_now(&self, leaf: &Leaf) -> bool {
        let is_certain = leaf.file.encoding != TransferEncoding::QuotedPrintable;
        is_certain
            && !self.keeps_out()
            && leaf.file.is_named()
            && self.is_long(leaf)
            && self.goes(leaf)
    }

    fn is_long(&self, leaf: &Leaf) -> bool {
        self.spool.len() - self.parts.body(leaf.part) >= GOES_EARLY_BYTES
    }

    /// Returns true if an infected file stays in the message, though the others go.
    fn keeps_out(&self) -> bool {
        self.filter.stores.is_some() && self.filter.config.keeps_out()
    }

    fn may_go(&self, leaf: &Leaf) -> bool {
        leaf.shown_by
            .is_none_or(|key| self.references.seen_html() && !self.references.contains_key(key))
    }

    /// Returns true if a malformed candidate may be in the drop in part, for it is heavy as it stands
    /// in the message. Quoted-printable stays here up to its end.
    fn is_spoiled(&self, leaf: &Leaf) -> bool {
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
    fn is_heavy_as_it_is(&self, leaf: &Leaf) -> bool {
        let threshold = match &leaf.fate {
            Fate::Goes(going) if !going.dry_run => going.threshold,
            Fate::Open => self.filter.config.detach.threshold,
            _ => return false,
        };
        self.spool.len() - self.parts.body(leaf.part) >= threshold
    }

    /// Remembers why a heavy part was left alone, for those who ask why nothing was done.
    fn note_doubt(&mut self, leaf: &Leaf) {
        let why = match leaf.work {
            Work::Stays(Why::Encoding) => Reason::Ambiguous(Ambiguity::Encoding),
            Work::Stays(Why::Malformed) => Reason::MalformedBody,
            _ => return,
        };
        if self.is_heavy_as_it_is(leaf) {
            self.doubt.get_or_insert(why);
        }
    }

    /// Turns the leaf from a candidate into one that goes: its bytes in the spool are replayed.
    async fn detach(&mut self) -> Result<(), Stop> {
        let Some(mut leaf) = self.leaf.take() else {
            return Ok(());
        };
        let body = self.parts.body(leaf.part);
        let (decoder, draft) = self.replay(&leaf.file, body, self.spool.len()).await?;
        self.spool.truncate(body).await?;
        leaf.work = Work::Detaching(decoder, draft);
        self.leaf = Some(leaf);
        Ok(())
    }

    /// Opens a draft and fills it from the spool.
    async fn replay(
        &mut self,
        file: &FileHead,
        body: u64,
        end: u64,
    ) -> Result<(Decoder, Option<Box<FileDraft>>), Stop> {
        self.refuse_too_many(1)?;
        let mut decoder = Decoder::new(file.encoding).ok_or(Reason::MalformedBody)?;
        let begins = self.package.is_none() && self.filter.stores.is_some();
        let verified = if begins { self.verified().await } else { None };

        let mut draft = match &self.filter.stores {
            None => None,
            Some(stores) => {
                let store = stores.get(self.plan.store())?;
                if self.package.is_none() {
                    let (audit, id) = (&self.filter.config.audit, self.message_id.as_deref());
                    let origin = origin::of(&self.envelope, id, verified, store.kind(), audit);
                    let url = self.filter.public_url();
                    self.package = Some(store.package_under(origin, url).await?);
                }
                let package = self.package.as_mut().expect("it was made");
                let file = package.file(&file.name(), &file.media_type)?;
                Some(Box::new(file))
            }
        };

        let mut at = body;
        while at < end {
            let stop = end.min(at + REPLAY_BYTES);
            let raw = self.spool.read(at..stop).await?;
            let mut decoded = Vec::with_capacity(raw.len());
            decoder
                .push(&raw, &mut decoded)
                .map_err(|_| Stop::from(Reason::MalformedBody))?;
            write(
                &mut draft,
                decoded.into(),
                &mut self.waited,
                self.filter.deadline(),
            )
            .await?;
            at = stop;
        }
        Ok((decoder, draft))
    }

    /// Ends work on a message if `more` parts are more than may still go.
    fn refuse_too_many(&self, more: usize) -> Result<(), Stop> {
        let begun = self.detached.len() + usize::from(self.finishing.is_some());
        if begun + more > DETACHED_MAX {
            return Err(Reason::TooManyDetached.into());
        }
        Ok(())
    }

    /// The certain part of its sender's address; `None` where asking takes longer than the message has.
    pub(super) async fn verified(&mut self) -> Option<String> {
        if let Some(verified) = &self.verified {
            return verified.clone();
        }
        let begun = Instant::now();
        let asked = vouch::verified(&self.filter, &self.envelope, self.genuine.as_deref());
        let left = self.filter.deadline().saturating_sub(self.waited);
        let verified = timeout(left, asked).await.ok().flatten();
        self.waited += begun.elapsed();
        self.verified.insert(verified).clone()
    }

    /// Ends a leaf; one that goes is to be waited for.
    fn end_leaf(&mut self, part: PartId) -> Result<Option<Wait>, Stop> {
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

    /// Ends a leaf that goes.
    async fn end_detached(&mut self, leaf: Leaf) -> Result<(), Stop> {
        let (part, file, bytes) = (leaf.part, leaf.file, leaf.bytes);
        let Fate::Goes(going) = leaf.fate else {
            // It went by what the policy said; were it not so, the file would be lost.
            return Err(FilterError::GivenUp.into());
        };
        self.explain_gone(part, &file, bytes, going.source, Why::OverThreshold);

        if let Work::Detaching(_, mut draft) = leaf.work {
            let tail = Bytes::from(mem::take(&mut self.decoded));
            let deadline = self.filter.deadline();
            write(&mut draft, tail, &mut self.waited, deadline).await?;
            self.gone.extend(leaf.shown_by);
            return self.finish_draft(part, &file, bytes, draft, going).await;
        }

        let (body, end) = (self.parts.body(part), self.spool.len());
        self.detach_spooled(part, &file, bytes, body..end, going)
            .await?;
        if self.parts.is_removed(part) {
            self.gone.extend(leaf.shown_by);
            self.spool.truncate(body).await?;
        }
        Ok(())
    }

    /// Ends a leaf that stays for the moment.
    fn leave(&mut self, leaf: Leaf) {
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

    /// Returns true if a part of this many bytes stays by a rule though it is heavy by the usual measure.
    fn is_choice(&self, source: Source, bytes: u64) -> bool {
        matches!(source, Source::Rule(_)) && bytes >= self.filter.config.detach.threshold
    }

    /// Puts a part that lies in the spool into the drop.
    async fn detach_spooled(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        at: Range<u64>,
        going: Going,
    ) -> Result<(), Stop> {
        let (decoder, mut draft) = self.replay(file, at.start, at.end).await?;
        let mut tail = Vec::new();
        decoder
            .finish(&mut tail)
            .map_err(|_| Stop::from(Reason::MalformedBody))?;
        write(
            &mut draft,
            tail.into(),
            &mut self.waited,
            self.filter.deadline(),
        )
        .await?;
        self.finish_draft(part, file, bytes, draft, going).await
    }

    /// Ends a draft: it becomes durable while the body goes on. Where an infected file stays in the
    /// message, the verdict is waited for, and the part is removed if it is clean.
    async fn finish_draft(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        draft: Option<Box<FileDraft>>,
        going: Going,
    ) -> Result<(), Stop> {
        self.await_finishing().await?;
        let detached = Detached {
            part,
            name: file.name(),
            media_type: file.media_type.clone(),
            bytes,
            file: None,
            going,
            is_inline: file.is_inline,
        };
        match draft {
            Some(draft) => self.finishing = Some((detached, tokio::spawn(draft.finish()))),
            None => self.detached.push(detached),
        }
        if !(self.keeps_out() && self.is_kept_out().await?) {
            self.parts.remove(part);
        }
        Ok(())
    }

    /// Waits for the verdict about the file that was ended last, and returns true if the file is infected.
    async fn is_kept_out(&mut self) -> Result<bool, FilterError> {
        match self.await_finishing().await {
            Err(error) if error.finding() == Some(Finding::Infected) => {
                self.warn_of(&error);
                self.refused.push(error.kind());
                Ok(true)
            }
            finished => finished.map(|()| false),
        }
    }

    /// Waits until the file that was ended last is durable.
    pub(super) async fn await_finishing(&mut self) -> Result<(), FilterError> {
        let Some((mut detached, task)) = self.finishing.take() else {
            return Ok(());
        };
        let left = self.filter.deadline().saturating_sub(self.waited);
        let begun = Instant::now();
        let finished = timeout(left, task).await;
        self.waited += begun.elapsed();
        let file = finished
            .map_err(|_| FilterError::Slow)?
            .map_err(std::io::Error::other)?
            .inspect_err(|error| self.explain_finding(detached.part, error))?;
        detached.bytes = file.size();
        detached.file = Some(file);
        self.detached.push(detached);
        Ok(())
    }

    /// Decides on the candidates that stayed in the spool. None of them is stored before it is known
    /// how many go.
    async fn decide_later(&mut self) -> Result<(), Stop> {
        let is_shown = |&key: &u64| self.references.contains_key(key);
        if self.gone.iter().any(is_shown) {
            return Err(Reason::ShownLater.into());
        }
        let mut candidates = mem::take(&mut self.later);
        let halves = self.decide_pairs(&mut candidates);
        self.decide_heavy(&mut candidates);
        self.decide_light(&mut candidates);
        let all = || halves.iter().chain(&candidates).filter(|later| later.goes);
        self.refuse_too_many(all().filter(|later| !later.going.dry_run).count())?;
        for later in all() {
            self.detach_later(later).await?;
        }
        Ok(self.await_finishing().await?)
    }

    /// Decides on the candidates that go or stay each for itself. Those that go, and those not yet
    /// decided, are left in the list.
    fn decide_heavy(&mut self, candidates: &mut Vec<Later>) {
        candidates.retain_mut(|later| {
            let key = later.shown_by;
            let is_shown = key.is_some_and(|key| self.references.contains_key(key));
            let is_word = later.role == Role::Perhaps && self.words.go_on_behind(later.part);
            if is_shown || is_word {
                let why = if is_shown { Why::Shown } else { Why::Text };
                self.explain_kept(later.part, &later.file, later.bytes, None, why);
                return false;
            }
            if later.weight >= later.going.threshold {
                self.explain_going(later, Why::OverThreshold);
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
                self.explain_going(later, Why::OverMessageThreshold);
                continue;
            }
            self.is_chosen |= self.is_choice(later.going.source, later.weight);
            let source = Some(later.going.source);
            let why = Why::UnderThreshold;
            self.explain_kept(later.part, &later.file, later.bytes, source, why);
        }
    }

    /// Decides on the halves of files in two parts, and takes them out of the candidates: they go
    /// together if each of them is heavy, or stay together.
    fn decide_pairs(&mut self, candidates: &mut Vec<Later>) -> Vec<Later> {
        let mut halves: Vec<Later> = candidates
            .extract_if(.., |later| later.pair.is_some())
            .collect();
        halves.sort_by_key(|half| (half.pair, half.part));

        for pair in halves.chunk_by_mut(|one, other| one.pair == other.pair) {
            let is_shown = |half: &Later| {
                let key = half.shown_by;
                key.is_some_and(|key| self.references.contains_key(key))
            };
            // All parts of the multipart are candidates, and are here.
            let is_whole = pair.len() as u32 == self.parts.parent(pair[0].part).1;
            let is_heavy = pair.iter().all(|half| half.weight >= half.going.threshold);
            let is_trial = |half: &Later| half.going.dry_run;
            let is_one = pair.iter().all(|half| is_trial(half) == is_trial(&pair[0]));

            // One of the two files may be infected, and stay.
            let goes =
                is_whole && is_heavy && is_one && !self.keeps_out() && !pair.iter().any(is_shown);
            for half in pair {
                if goes {
                    self.explain_going(half, Why::OverThreshold);
                    continue;
                }
                let why = if is_whole && !is_heavy {
                    self.is_chosen |= self.is_choice(half.going.source, half.weight);
                    Why::UnderThreshold
                } else {
                    Why::Whole
                };
                let source = Some(half.going.source);
                self.explain_kept(half.part, &half.file, half.bytes, source, why);
            }
        }
        halves
    }

    /// Notes that a candidate goes.
    fn explain_going(&mut self, later: &mut Later, why: Why) {
        later.goes = true;
        let source = later.going.source;
        self.explain_gone(later.part, &later.file, later.bytes, source, why);
    }

    async fn detach_later(&mut self, later: &Later) -> Result<(), Stop> {
        let going = later.going.clone();
        if going.dry_run {
            self.trial.parts += 1;
            self.trial.bytes += later.bytes;
            return Ok(());
        }
        let at = later.body..later.end;
        self.detach_spooled(later.part, &later.file, later.bytes, at, going)
            .await
    }

    /// Remembers a text part as a place for the notice. A part with a name is a file to some readers,
    /// even where it stands for the text: the notice goes after it.
    fn text(
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

    /// Notes that a part stays.
    fn explain_kept(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) {
        let _ = self.note(part, file, bytes, source, why);
    }

    /// Notes that a part goes, or would go.
    fn explain_gone(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Source,
        why: Why,
    ) {
        let is_trial = self.filter.stores.is_none()
            || matches!(source, Source::Rule(rule) if self.filter.config.rule[rule].dry_run);
        if let Some(decision) = self.note(part, file, bytes, Some(source), why) {
            (decision.detached, decision.would_detach) = (!is_trial, is_trial);
        }
    }

    /// Notes that a part which was to go has a virus.
    fn explain_finding(&mut self, part: PartId, error: &StoreError) {
        let path = self.parts.path(part);
        let noted = self.decisions.iter_mut().rfind(|noted| noted.path == path);
        if let (Some(noted), Some(Finding::Infected)) = (noted, error.finding()) {
            noted.detached = false;
            noted.reason = Why::Infected.as_str().into();
        }
    }

    /// Returns true if another decision is still kept.
    fn takes_notes(&self) -> bool {
        self.decisions.len() < self.most_decisions()
    }

    fn most_decisions(&self) -> usize {
        if self.filter.explain {
            usize::MAX
        } else {
            DECISIONS_MAX
        }
    }

    /// Keeps a decision for the log, or for those who want all of them explained.
    fn note(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) -> Option<&mut PartDecision> {
        if !self.takes_notes() {
            return None;
        }
        let explains = self.filter.explain;
        let label = source.map(|source| source.label(&self.filter.config).to_owned());
        self.decisions.push(PartDecision {
            path: self.parts.path(part),
            media_type: file.media_type.to_string(),
            name: explains.then(|| names::display(&file.name())),
            bytes,
            detached: false,
            would_detach: false,
            rule: label,
            reason: why.as_str().into(),
        });
        self.decisions.last_mut()
    }

    /// Ends work on a message that is left alone, and notes the part for which it is.
    fn doubtful(&mut self, part: PartId, why: Ambiguity) -> Stop {
        let path = self.parts.path(part);
        self.decisions.truncate(self.most_decisions() - 1);
        self.decisions.push(PartDecision::doubtful(path, why));
        Reason::Ambiguous(why).into()
    }
}

impl Filter {
    /// The time for which the drop may hold up a message.
    fn deadline(&self) -> Duration {
        self.config.milter.deadline
    }
}

/// Writes to a draft, as long as the drop has not held up the message for too long.
async fn write(
    draft: &mut Option<Box<FileDraft>>,
    bytes: Bytes,
    waited: &mut Duration,
    deadline: Duration,
) -> Result<(), FilterError> {
    let Some(draft) = draft else {
        return Ok(());
    };
    let begun = Instant::now();
    let written = timeout(deadline.saturating_sub(*waited), draft.write(bytes)).await;
    *waited += begun.elapsed();
    Ok(written.map_err(|_| FilterError::Slow)??)
}

/// The domain from which a message from outside comes, according to the verifier that the admin trusts.
fn genuine(config: &Config, envelope: &Envelope, header: &[Field]) -> Option<String> {
    let id = &config.sender.authserv_id;
    if id.is_empty() || envelope.direction == Direction::Outgoing {
        return None;
    }
    let is_result = |field: &&Field| field.name.eq_ignore_ascii_case(b"Authentication-Results");
    let results = header.iter().filter(is_result);
    genuine_domain(results.map(|field| &*field.value), id, &envelope.sender)
}

/// A part's path in the order of the message.
fn place(path: &str) -> Vec<u32> {
    path.split('.')
        .filter_map(|ordinal| ordinal.parse().ok())
        .collect()
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

fn is_html(head: &Head) -> bool {
    head.media.is("text", "html")
}

/// Returns true if a header is that of a newsletter (RFC 2369: one can unsubscribe, but not write to it).
fn is_newsletter(header: &[Field]) -> bool {
    let value = |name: &str| {
        let mut fields = header.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        field.map(|field| field.value.trim_ascii())
    };
    let can_post = value("List-Post").is_some_and(|post| !post.eq_ignore_ascii_case(b"no"));
    let is_bulk = value("Precedence").is_some_and(|word| word.eq_ignore_ascii_case(b"bulk"));
    !can_post && (is_bulk || value("List-Unsubscribe").is_some())
}

/// The name of a field that describes the message's content, as written.
fn content_field(field: &Field) -> Option<String> {
    let starts = |with: &[u8]| {
        let start = field.name.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let is_content = starts(b"content-")
        || ["mime-version", "lines"]
            .iter()
            .any(|name| field.name.len() == name.len() && starts(name.as_bytes()));
    is_content.then(|| String::from_utf8_lossy(&field.name).into_owned())
}

//! A message on its way: each of the scanner's events is acted upon.

use std::{collections::HashSet, mem, time::Duration};

use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    DETACHED_MAX, Envelope, Filter, FilterError, PartDecision, Reason, Verdict,
    leaf::{FileHead, Leaf, Work},
    parts::Parts,
};
use crate::{
    drop::{DropError, DurableFile, FileDraft, Origin, PackageDraft},
    mime::{
        Ambiguity, DecodeError, Decoder, Disposition, Event, Field, Head, References, Scanner,
        TransferEncoding, scanner::PartId,
    },
    names,
    rewrite::{Eol, insert::TextKind},
    rules::{self, Judgement, Why},
    spool::Spool,
};

/// How much of a part is replayed from the spool at a time, in bytes.
const REPLAY_BYTES: u64 = 64 * 1024;

/// How many text parts are remembered as places for the notice.
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
    /// Whether the last chunk ended in a CR.
    after_cr: bool,
    pub(super) scanner: Option<Scanner>,
    pub(super) parts: Parts,
    pub(super) spool: Spool,
    pub(super) texts: Vec<Text>,
    pub(super) later: Vec<Later>,
    pub(super) detached: Vec<Detached>,
    pub(super) package: Option<PackageDraft>,
    pub(super) settled: Option<Settled>,
    references: References,
    /// The keys of the `Content-ID`s of parts that went before all HTML bodies had come.
    gone: Vec<u64>,
    leaf: Option<Leaf>,
    /// Whether the last byte came. A part that ends after it lacks its delimiter or the line end of
    /// that, and readers differ about whether the line end before is the part's.
    ending: bool,
    /// Where the header block of the part that began last starts in the spool.
    header_start: u64,
    /// The file that was ended last: it becomes durable while the body goes on.
    finishing: Option<(Detached, JoinHandle<Result<DurableFile, DropError>>)>,
    decisions: Vec<PartDecision>,
    decoded: Vec<u8>,
    /// How long the drop has held up the body.
    waited: Duration,
}

/// The outcome when it is certain before the end.
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
    pub(super) charset: Option<String>,
    pub(super) encoding: TransferEncoding,
    /// Where its header block, its body and its end lie in the spool.
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
    pub(super) body: u64,
    pub(super) end: u64,
    /// The key of the `Content-ID` by which an HTML body may show it.
    pub(super) shown_by: Option<u64>,
}

/// A part that is in the drop.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) part: PartId,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) file: Option<DurableFile>,
}

/// What must be waited for before the next event is acted upon.
enum Wait {
    /// More is in memory than the spool's window holds.
    Spool,
    /// The part goes: what was decoded is to be written.
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
        Self::Settled(Settled::Fail(error.into()))
    }
}

impl Message {
    pub(super) fn new(
        filter: Filter,
        envelope: Envelope,
        header: &[Field],
        root: Head,
        eol: Eol,
    ) -> Result<Self, Ambiguity> {
        let config = &filter.config;
        let scanner = Scanner::new(&root, config.limits)?;
        let directory = config
            .spool
            .directory
            .as_ref()
            .unwrap_or(&config.drop.directory);
        let mut message = Self {
            spool: Spool::new(directory, config.spool.memory),
            parts: Parts::new(&root),
            scanner: Some(scanner),
            root_fields: header.iter().filter_map(content_field).collect(),
            filter,
            envelope,
            eol,
            after_cr: false,
            texts: Vec::new(),
            later: Vec::new(),
            detached: Vec::new(),
            package: None,
            settled: None,
            references: References::default(),
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
        self.learn_eol(chunk);
        // The scanner is out of the way while its events are acted upon.
        let Some(mut scanner) = self.scanner.take() else {
            return;
        };
        while let Some(event) = scanner.next(chunk) {
            let acted = match self.act(event) {
                Ok(None) => continue,
                // Elsewhere: what is waited for seldom would be moved about for each event.
                Ok(Some(wait)) => Box::pin(self.wait(wait)).await,
                Err(stop) => Err(stop),
            };
            if let Err(Stop::Settled(settled)) = acted {
                return self.settle(settled);
            }
        }
        self.scanner = Some(scanner);
    }

    /// A body may have CRLF below a header without; added lines then end so too.
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

    /// True when the outcome is certain and no further byte of the body need be pushed.
    pub fn is_settled(&self) -> bool {
        self.settled.is_some()
    }

    /// Ends the message: commits what was detached, and says what becomes of the message.
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
        match self.settled.take() {
            Some(Settled::Pass(reason)) => Verdict::Pass(reason),
            Some(Settled::Fail(error)) => Verdict::Fail(error),
            None => super::finish::finish(self).await,
        }
    }

    /// What was decided for each part, if the filter explains.
    pub fn explanation(&self) -> &[PartDecision] {
        &self.decisions
    }

    /// Nothing more is to be done: what was begun in the drop goes.
    fn settle(&mut self, settled: Settled) {
        self.scanner = None;
        self.leaf = None;
        self.package = None;
        self.finishing = None;
        self.detached.clear();
        self.later.clear();
        self.settled = Some(settled);
    }

    /// Acts upon an event as far as nothing is to be waited for, and says what is.
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
            Event::Ambiguous(why) => return Err(Reason::Ambiguous(why).into()),
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
        let judgement = rules::judge(head, self.parts.place(part));
        let decoder = Decoder::new(head.encoding);
        let (work, shown_by) = match (judgement, decoder) {
            (Judgement::Stays(why), None) => (Work::Stays(why), None),
            (Judgement::Stays(_), Some(decoder)) if is_html_body(head) => {
                if !References::can_read(head.charset.as_deref()) {
                    self.references.assume_everything();
                }
                (Work::Html(decoder), None)
            }
            (Judgement::Stays(why), Some(decoder @ Decoder::Base64(_))) => {
                (Work::Checked(why, decoder), None)
            }
            (Judgement::Stays(why), Some(_)) => (Work::Stays(why), None),
            (_, None) => (Work::Stays(Why::Encoding), None),
            (Judgement::Candidate, Some(decoder)) => (Work::Counting(decoder), None),
            (Judgement::CandidateUnlessShown, Some(decoder)) => {
                let id = head.content_id.as_deref();
                (
                    Work::Counting(decoder),
                    id.map(|id| self.references.key(id)),
                )
            }
        };
        let text = self.text(part, head);
        // Nothing is made of a part of which nothing will be asked.
        if matches!(work, Work::Stays(_)) && text.is_none() && !self.filter.explain {
            return;
        }
        let file = FileHead::new(head);
        self.leaf = Some(Leaf {
            part,
            file,
            bytes: 0,
            ends_in_cr: false,
            work,
            shown_by,
            text,
        });
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
        self.take_decoded(&mut leaf, decoded)?;
        let wait = match leaf.work {
            Work::Detaching(..) => Some(Wait::Draft),
            _ => self.goes(&leaf).then_some(Wait::Detach),
        };
        self.leaf = Some(leaf);
        Ok(wait)
    }

    /// Acts upon what was decoded; what goes to the drop stays to be written.
    fn take_decoded(
        &mut self,
        leaf: &mut Leaf,
        decoded: Result<(), DecodeError>,
    ) -> Result<(), Stop> {
        if let Err(DecodeError) = decoded {
            return self.malformed(leaf);
        }
        leaf.bytes += self.decoded.len() as u64;
        if matches!(leaf.work, Work::Html(_)) {
            self.references.push(&self.decoded);
        }
        Ok(())
    }

    /// Writes what was decoded to the draft of the part that is coming in.
    async fn write_decoded(&mut self) -> Result<(), Stop> {
        let bytes = Bytes::from(mem::take(&mut self.decoded));
        if let Some(leaf) = &mut self.leaf
            && let Work::Detaching(_, draft) = &mut leaf.work
        {
            write(draft, bytes, &mut self.waited, self.filter.deadline()).await?;
        }
        Ok(())
    }

    /// A body is not what its transfer encoding says. Readers make different things of malformed
    /// base64, so the message is left alone; malformed quoted-printable they all show somehow. What
    /// becomes of that is decided where the part ends: it must not matter how much of it was there
    /// when it was found out.
    fn malformed(&mut self, leaf: &mut Leaf) -> Result<(), Stop> {
        match &leaf.work {
            _ if leaf.file.encoding == TransferEncoding::Base64 => {
                Err(Reason::Ambiguous(Ambiguity::Base64).into())
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

    /// Whether a candidate has become heavy, and no HTML body so far shows it. One that comes behind
    /// it could: that is rare, and waiting for it would spool every file of the programs that give
    /// all of theirs a `Content-ID`. Where it does, the message is left alone in the end.
    fn goes(&self, leaf: &Leaf) -> bool {
        matches!(leaf.work, Work::Counting(_))
            && leaf.bytes >= self.filter.config.detach.threshold
            && self.may_go(leaf)
    }

    fn may_go(&self, leaf: &Leaf) -> bool {
        leaf.shown_by
            .is_none_or(|key| self.references.seen_html() && !self.references.contains_key(key))
    }

    /// Whether a malformed candidate is heavy as it stands in the message: what went to the drop
    /// before it was found out always is.
    fn is_spoiled(&self, leaf: &Leaf) -> bool {
        match leaf.work {
            Work::Spoiled => true,
            Work::Stays(Why::Malformed) => {
                let raw = self.spool.len() - self.parts.body(leaf.part);
                raw >= self.filter.config.detach.threshold && self.may_go(leaf)
            }
            _ => false,
        }
    }

    /// Turns the leaf from a candidate into one that goes: what is in the spool is replayed.
    async fn detach(&mut self) -> Result<(), Stop> {
        let Some(mut leaf) = self.leaf.take() else {
            return Ok(());
        };
        let body = self.parts.body(leaf.part);
        let (decoder, draft) = self.replay(&leaf.file, body, self.spool.len()).await?;
        self.spool.truncate(body).await?;
        leaf.work = Work::Detaching(decoder, Box::new(draft));
        self.leaf = Some(leaf);
        Ok(())
    }

    /// Opens a draft and fills it from the spool.
    async fn replay(
        &mut self,
        file: &FileHead,
        body: u64,
        end: u64,
    ) -> Result<(Decoder, FileDraft), Stop> {
        let begun = self.detached.len() + usize::from(self.finishing.is_some());
        if begun >= DETACHED_MAX {
            return Err(Reason::TooManyDetached.into());
        }
        let mut decoder = Decoder::new(file.encoding).ok_or(Reason::MalformedBody)?;
        let origin = || origin(&self.envelope);
        let package = self
            .package
            .get_or_insert_with(|| self.filter.drop.package(origin()));
        let mut draft = package.file(&file.name(), &file.media_type).await?;
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

    /// Ends a leaf; one that goes is to be waited for.
    fn end_leaf(&mut self, part: PartId) -> Result<Option<Wait>, Stop> {
        let Some(mut leaf) = self.leaf.take_if(|leaf| leaf.part == part) else {
            return Ok(None);
        };
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
        self.take_decoded(&mut leaf, tail)?;
        if self.is_spoiled(&leaf) {
            return Err(Reason::MalformedBody.into());
        }
        if matches!(leaf.work, Work::Detaching(..)) || self.goes(&leaf) {
            return Ok(Some(Wait::End(Box::new(leaf))));
        }
        self.leave(leaf);
        Ok(None)
    }

    /// Ends a leaf that goes.
    async fn end_detached(&mut self, leaf: Leaf) -> Result<(), Stop> {
        let (part, file) = (leaf.part, leaf.file);
        self.gone.extend(leaf.shown_by);
        self.explain(part, &file, leaf.bytes, Some(Why::OverThreshold));
        if let Work::Detaching(_, mut draft) = leaf.work {
            let tail = Bytes::from(mem::take(&mut self.decoded));
            let deadline = self.filter.deadline();
            write(&mut draft, tail, &mut self.waited, deadline).await?;
            return self
                .finish_draft(part, file.name(), leaf.bytes, *draft)
                .await;
        }
        let (body, end) = (self.parts.body(part), self.spool.len());
        self.detach_spooled(part, &file, body, end).await?;
        Ok(self.spool.truncate(body).await?)
    }

    /// Ends a leaf that stays for the moment.
    fn leave(&mut self, leaf: Leaf) {
        let Leaf {
            part,
            file,
            bytes,
            work,
            shown_by,
            text,
            ..
        } = leaf;
        let end = self.spool.len();
        match work {
            Work::Counting(_) => self.later.push(Later {
                part,
                file,
                bytes,
                body: self.parts.body(part),
                end,
                shown_by,
            }),
            Work::Stays(why) | Work::Checked(why, _) => self.explain_kept(part, &file, bytes, why),
            Work::Html(_) => {
                self.references.finish();
                self.explain_kept(part, &file, bytes, Why::Text);
            }
            Work::Detaching(..) | Work::Spoiled => {} // not left: they go, or settle the message
        }
        self.texts.extend(text.map(|text| Text { end, ..*text }));
    }

    /// Puts a part that lies in the spool into the drop.
    async fn detach_spooled(
        &mut self,
        part: PartId,
        file: &FileHead,
        body: u64,
        end: u64,
    ) -> Result<(), Stop> {
        let (decoder, mut draft) = self.replay(file, body, end).await?;
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
        self.finish_draft(part, file.name(), 0, draft).await
    }

    /// Ends a draft: it becomes durable while the body goes on.
    async fn finish_draft(
        &mut self,
        part: PartId,
        name: String,
        bytes: u64,
        draft: FileDraft,
    ) -> Result<(), Stop> {
        self.parts.remove(part);
        self.await_finishing().await?;
        let detached = Detached {
            part,
            name,
            bytes,
            file: None,
        };
        self.finishing = Some((detached, tokio::spawn(draft.finish())));
        Ok(())
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
            .map_err(std::io::Error::other)??;
        detached.bytes = file.size();
        detached.file = Some(file);
        self.detached.push(detached);
        Ok(())
    }

    /// Decides on the candidates that stayed in the spool.
    async fn decide_later(&mut self) -> Result<(), Stop> {
        let is_shown = |&key: &u64| self.references.contains_key(key);
        if self.gone.iter().any(is_shown) {
            return Err(Reason::ShownLater.into());
        }
        let threshold = self.filter.config.detach.threshold;
        let mut rest = mem::take(&mut self.later);
        let (mut stay, mut next) = (0, 0);
        while let Some(later) = rest.get(next) {
            let shown = later
                .shown_by
                .is_some_and(|key| self.references.contains_key(key));
            if shown {
                self.explain(later.part, &later.file, later.bytes, None);
            } else if later.bytes >= threshold {
                self.detach_later(later, Why::OverThreshold).await?;
            } else {
                rest.swap(stay, next);
                stay += 1;
            }
            next += 1;
        }
        rest.truncate(stay);
        let sizes: Vec<u64> = rest.iter().map(|later| later.bytes).collect();
        let sum_max = self
            .filter
            .config
            .detach
            .message_threshold
            .unwrap_or(u64::MAX);
        let over: HashSet<usize> = rules::largest_over(&sizes, sum_max).into_iter().collect();
        for (index, later) in rest.iter().enumerate() {
            if over.contains(&index) {
                self.detach_later(later, Why::OverMessageThreshold).await?;
            } else {
                self.explain_kept(later.part, &later.file, later.bytes, Why::UnderThreshold);
            }
        }
        Ok(self.await_finishing().await?)
    }

    async fn detach_later(&mut self, later: &Later, why: Why) -> Result<(), Stop> {
        self.explain(later.part, &later.file, later.bytes, Some(why));
        self.detach_spooled(later.part, &later.file, later.body, later.end)
            .await
    }

    /// Remembers a text part as a place for the notice.
    fn text(&self, part: PartId, head: &Head) -> Option<Box<Text>> {
        let kind = match head.media.sub() {
            "plain" => TextKind::Plain,
            "html" => TextKind::Html,
            _ => return None,
        };
        let is_body = head.media.main() == "text"
            && !head.is_named
            && head.disposition == Disposition::Inline
            && part != 0;
        let text = || Text {
            part,
            kind,
            charset: head.charset.clone(),
            encoding: head.encoding,
            header: self.header_start,
            body: self.spool.len(),
            end: self.spool.len(),
        };
        (is_body && self.texts.len() < TEXTS_MAX).then(|| Box::new(text()))
    }

    fn explain_kept(&mut self, part: PartId, file: &FileHead, bytes: u64, why: Why) {
        self.decide(part, file, bytes, false, why);
    }

    /// Notes that a part goes, or (`None`) that it stays because it is shown in the text.
    fn explain(&mut self, part: PartId, file: &FileHead, bytes: u64, goes: Option<Why>) {
        self.decide(
            part,
            file,
            bytes,
            goes.is_some(),
            goes.unwrap_or(Why::Shown),
        );
    }

    fn decide(&mut self, part: PartId, file: &FileHead, bytes: u64, detached: bool, why: Why) {
        if !self.filter.explain {
            return;
        }
        self.decisions.push(PartDecision {
            path: self.parts.path(part),
            media_type: file.media_type.to_string(),
            name: Some(names::display(&file.name())),
            bytes,
            detached,
            reason: why.as_str(),
        });
    }
}

impl Filter {
    /// How long the drop may hold up a message.
    fn deadline(&self) -> Duration {
        self.config.milter.deadline.unsigned_abs()
    }
}

/// Writes to a draft, as long as the drop has not held up the message for too long.
async fn write(
    draft: &mut FileDraft,
    bytes: Bytes,
    waited: &mut Duration,
    deadline: Duration,
) -> Result<(), FilterError> {
    let begun = Instant::now();
    let written = timeout(deadline.saturating_sub(*waited), draft.write(bytes)).await;
    *waited += begun.elapsed();
    Ok(written.map_err(|_| FilterError::Slow)??)
}

fn origin(envelope: &Envelope) -> Origin {
    Origin {
        queue_id: envelope.queue_id.clone(),
        sender: envelope.sender.clone(),
        login: envelope.login.clone(),
        direction: envelope.direction,
        recipients: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
    }
}

fn is_html_body(head: &Head) -> bool {
    head.media.is("text", "html")
}

/// The name of a field that describes the message's content, as written.
fn content_field(field: &Field) -> Option<String> {
    let is_content = field
        .name
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    is_content.then(|| String::from_utf8_lossy(&field.name).into_owned())
}

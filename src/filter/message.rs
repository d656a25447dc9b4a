//! A message on its way: each of the scanner's events is acted upon.

use std::{collections::HashSet, mem, ops::Range, time::Duration};

use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    DETACHED_MAX, Envelope, Filter, FilterError, PartDecision, Reason, Trial, Verdict, parts::Parts,
};
use crate::{
    drop::Origin,
    mime::{
        Ambiguity, DecodeError, Decoder, Disposition, Event, Field, Head, References, Scanner,
        TransferEncoding, scanner::PartId,
    },
    names,
    policy::{Edits, Fate, Going, PartFacts, Plan, Source},
    rewrite::{Eol, insert::TextKind},
    rules::{self, Judgement, Weight, Why},
    spool::Spool,
    stats::Domains,
    store::{DurableFile, FileDraft, PackageDraft, StoreError},
};

/// How much of a part is replayed from the spool at a time, in bytes.
const REPLAY_BYTES: u64 = 64 * 1024;

/// The longest name that is kept for a file, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest media type that is kept for a file, in bytes (RFC 6838, section 4.2: 127 for each
/// half).
const TYPE_BYTES_MAX: usize = 255;

/// How many decoded bytes of a part are looked at to know its type: a ZIP says late what it holds.
const CONTENT_BYTES: usize = 8 << 10;

/// How many parts the log tells of.
const DECISIONS_MAX: usize = 50;

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
    /// What the sender asked with, and what has to go out of the message for it.
    pub(super) edits: Edits,
    /// What only a trial keeps.
    pub(super) trial: Trial,
    plan: Plan,
    asks_content: bool,
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
    finishing: Option<(Detached, JoinHandle<Result<DurableFile, StoreError>>)>,
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
    going: Going,
}

/// What is kept of a candidate's header.
#[derive(Clone, Debug)]
pub(super) struct FileHead {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) encoding: TransferEncoding,
}

/// A part that is in the drop.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) part: PartId,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) file: Option<DurableFile>,
    pub(super) going: Going,
}

/// The leaf whose body is coming in.
#[derive(Debug)]
struct Leaf {
    part: PartId,
    file: FileHead,
    bytes: u64,
    /// Whether the last byte is a CR: MIME-tools takes it for a part of the line end behind it.
    ends_in_cr: bool,
    work: Work,
    shown_by: Option<u64>,
    text: Option<Text>,
    /// What the policy says, and by what it does.
    fate: Fate,
    facts: PartFacts,
    /// The first decoded bytes, as long as they may tell.
    first: Vec<u8>,
}

#[derive(Debug)]
enum Work {
    /// It stays.
    Stays(Why),
    /// It stays, and is decoded to see that it can be.
    Checked(Why, Decoder),
    /// It is an HTML body, decoded to find what it shows.
    Html(Decoder),
    /// A candidate: spooled like what stays, while its decoded bytes are counted.
    Counting(Decoder),
    /// It goes: decoded into the drop (in dry-run nowhere), kept nowhere else.
    Detaching(Decoder, Option<Box<FileDraft>>),
    /// It was going, and is not what its transfer encoding says.
    Spoiled,
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
        plan: Plan,
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
            asks_content: plan.asks_content(config),
            plan,
            edits: Edits::default(),
            trial: Trial::default(),
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
            if let Err(Stop::Settled(settled)) = self.act(event).await {
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
        self.decisions
            .sort_by_cached_key(|decision| place(&decision.path));
        match self.settled.take() {
            Some(Settled::Pass(reason)) => Verdict::Pass(reason),
            Some(Settled::Fail(error)) => Verdict::Fail(error),
            None => super::finish::finish(self).await,
        }
    }

    /// What is to be changed in the message whatever its verdict is.
    pub fn edits(&self) -> &Edits {
        &self.edits
    }

    /// What would have been detached, were this not a trial.
    pub fn trial(&self) -> Trial {
        self.trial
    }

    /// What was decided for each part; names, and more than fifty parts, if the filter explains.
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
        self.trial = Trial::default();
        self.settled = Some(settled);
    }

    async fn act(&mut self, event: Event<'_>) -> Result<(), Stop> {
        match event {
            Event::Structure(bytes) => self.spool.append(bytes).await?,
            Event::Delimiter { line, .. } => {
                self.parts.delimiter(self.spool.len(), line);
                self.spool.append(line).await?;
            }
            Event::Begin { parent, .. } => {
                self.header_start = self.spool.len();
                self.parts.begin(parent, self.header_start);
            }
            Event::Head(head) => {
                let part = self.parts.head(&head, self.spool.len());
                if !Scanner::enters(&head) {
                    self.begin_leaf(part, &head);
                }
            }
            Event::Body(bytes) => self.body(bytes).await?,
            Event::End { part } => {
                self.parts.end(part);
                self.end_leaf(part).await?;
            }
            Event::Ambiguous(why) => return Err(Reason::Ambiguous(why).into()),
        }
        Ok(())
    }

    fn begin_leaf(&mut self, part: PartId, head: &Head) {
        let judgement = rules::judge(head, self.parts.place(part));
        let decoder = Decoder::new(head.encoding);
        let file = FileHead::new(head);
        let facts = PartFacts::new(&file.name, &file.media_type);
        let fate = match judgement {
            Judgement::Stays(_) => Fate::Open,
            _ => self.plan.decide(&self.filter.config, &facts),
        };
        let (work, shown_by) = match (judgement, decoder) {
            (Judgement::Candidate | Judgement::CandidateUnlessShown, Some(decoder))
                if let Fate::Stays(source) = fate =>
            {
                (Work::keeping(source, decoder), None)
            }
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
        self.leaf = Some(Leaf {
            part,
            file,
            bytes: 0,
            fate,
            facts,
            first: Vec::new(),
            ends_in_cr: false,
            work,
            shown_by,
            text,
        });
    }

    /// Takes bytes of the leaf's body.
    async fn body(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(mut leaf) = self.leaf.take() else {
            self.spool.append(bytes).await?;
            return Ok(());
        };
        if !matches!(leaf.work, Work::Detaching(..) | Work::Spoiled) {
            self.spool.append(bytes).await?;
        }
        leaf.ends_in_cr = bytes.last() == Some(&b'\r');
        self.decoded.clear();
        let decoded = match &mut leaf.work {
            Work::Stays(_) | Work::Spoiled => Ok(()),
            Work::Checked(_, decoder)
            | Work::Html(decoder)
            | Work::Counting(decoder)
            | Work::Detaching(decoder, _) => decoder.push(bytes, &mut self.decoded),
        };
        self.take_decoded(&mut leaf, decoded).await?;
        if self.goes(&leaf) {
            self.detach(&mut leaf).await?;
        }
        self.leaf = Some(leaf);
        Ok(())
    }

    /// Acts upon what was decoded.
    async fn take_decoded(
        &mut self,
        leaf: &mut Leaf,
        decoded: Result<(), DecodeError>,
    ) -> Result<(), Stop> {
        if let Err(DecodeError) = decoded {
            return self.malformed(leaf);
        }
        leaf.bytes += self.decoded.len() as u64;
        match &mut leaf.work {
            Work::Html(_) => self.references.push(&self.decoded),
            Work::Detaching(_, draft) => {
                let bytes = Bytes::from(mem::take(&mut self.decoded));
                write(draft, bytes, &mut self.waited, self.filter.deadline()).await?;
            }
            Work::Counting(_) => self.look(leaf, false),
            _ => {}
        }
        Ok(())
    }

    /// Asks the policy again, as long as it has not decided.
    fn look(&self, leaf: &mut Leaf, is_whole: bool) {
        if !matches!((&leaf.work, &leaf.fate), (Work::Counting(_), Fate::Open)) {
            return;
        }
        if self.asks_content && leaf.facts.content.is_none() {
            let wanted = CONTENT_BYTES - leaf.first.len();
            let more = &self.decoded[..self.decoded.len().min(wanted)];
            leaf.first.extend_from_slice(more);
            if is_whole || leaf.first.len() == CONTENT_BYTES {
                leaf.facts.content = Some(content_type(&mem::take(&mut leaf.first)));
            }
        }
        (leaf.facts.bytes, leaf.facts.is_whole) = (leaf.bytes, is_whole);
        leaf.fate = self.plan.decide(&self.filter.config, &leaf.facts);
        if let Fate::Stays(source) = leaf.fate
            && let Work::Counting(decoder) = mem::replace(&mut leaf.work, Work::Stays(Why::Rule))
        {
            leaf.work = Work::keeping(source, decoder);
        }
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
        let Fate::Goes(going) = &leaf.fate else {
            return false;
        };
        matches!(leaf.work, Work::Counting(_))
            && !going.dry_run
            && leaf.bytes >= going.threshold
            && self.may_go(leaf)
    }

    fn may_go(&self, leaf: &Leaf) -> bool {
        leaf.shown_by
            .is_none_or(|key| self.references.seen_html() && !self.references.contains_key(key))
    }

    /// Whether a malformed candidate is heavy as it stands in the message: what went to the drop
    /// before it was found out always is.
    fn is_spoiled(&self, leaf: &Leaf) -> bool {
        let threshold = match &leaf.fate {
            Fate::Goes(going) if !going.dry_run => going.threshold,
            Fate::Open => self.filter.config.detach.threshold,
            _ => return false,
        };
        match leaf.work {
            Work::Spoiled => true,
            Work::Stays(Why::Malformed) => {
                let raw = self.spool.len() - self.parts.body(leaf.part);
                raw >= threshold && self.may_go(leaf)
            }
            _ => false,
        }
    }

    /// Turns the leaf from a candidate into one that goes: what is in the spool is replayed.
    async fn detach(&mut self, leaf: &mut Leaf) -> Result<(), Stop> {
        let body = self.parts.body(leaf.part);
        let (decoder, draft) = self.replay(&leaf.file, body, self.spool.len()).await?;
        self.spool.truncate(body).await?;
        leaf.work = Work::Detaching(decoder, draft);
        Ok(())
    }

    /// Opens a draft and fills it from the spool.
    async fn replay(
        &mut self,
        file: &FileHead,
        body: u64,
        end: u64,
    ) -> Result<(Decoder, Option<Box<FileDraft>>), Stop> {
        let begun = self.detached.len() + usize::from(self.finishing.is_some());
        if begun >= DETACHED_MAX {
            return Err(Reason::TooManyDetached.into());
        }
        let mut decoder = Decoder::new(file.encoding).ok_or(Reason::MalformedBody)?;
        let mut draft = match &self.filter.store {
            None => None,
            Some(store) => {
                let package = match &mut self.package {
                    Some(package) => package,
                    none => none.insert(store.package(origin(&self.envelope)).await?),
                };
                Some(Box::new(package.file(&file.name, &file.media_type).await?))
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

    async fn end_leaf(&mut self, part: PartId) -> Result<(), Stop> {
        let Some(mut leaf) = self.leaf.take_if(|leaf| leaf.part == part) else {
            return Ok(());
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
        self.take_decoded(&mut leaf, tail).await?;
        if self.is_spoiled(&leaf) {
            return Err(Reason::MalformedBody.into());
        }
        self.decoded.clear();
        self.look(&mut leaf, true);
        if self.goes(&leaf)
            && let Fate::Goes(going) = leaf.fate
        {
            let (body, end) = (self.parts.body(part), self.spool.len());
            self.explain_gone(
                part,
                &leaf.file,
                leaf.bytes,
                going.source,
                Why::OverThreshold,
            );
            self.detach_spooled(part, &leaf.file, leaf.bytes, body..end, going)
                .await?;
            self.spool.truncate(body).await?;
            self.gone.extend(leaf.shown_by);
            return Ok(());
        }
        self.leave(leaf).await
    }

    /// Ends a leaf that was detached, or that stays for the moment.
    async fn leave(&mut self, leaf: Leaf) -> Result<(), Stop> {
        let Leaf {
            part,
            file,
            bytes,
            work,
            shown_by,
            text,
            fate,
            ..
        } = leaf;
        match (work, fate) {
            (Work::Detaching(_, draft), Fate::Goes(going)) => {
                self.gone.extend(shown_by);
                self.explain_gone(part, &file, bytes, going.source, Why::OverThreshold);
                self.finish_draft(part, file.name, bytes, draft, going)
                    .await?;
            }
            (Work::Counting(_), Fate::Goes(going)) => {
                let (body, end) = (self.parts.body(part), self.spool.len());
                self.later.push(Later {
                    part,
                    file,
                    bytes,
                    body,
                    end,
                    shown_by,
                    going,
                });
            }
            (Work::Stays(why) | Work::Checked(why, _), Fate::Stays(source)) => {
                self.explain_kept(part, &file, bytes, Some(source), why);
            }
            (Work::Stays(why) | Work::Checked(why, _), _) => {
                self.explain_kept(part, &file, bytes, None, why);
            }
            (Work::Html(_), _) => {
                self.references.finish();
                self.explain_kept(part, &file, bytes, None, Why::Text);
            }
            // Who detaches or counts, for him it is decided by the end of the part; a spoiled part
            // settled the message there.
            (Work::Detaching(..) | Work::Counting(_) | Work::Spoiled, _) => {}
        }
        if let Some(text) = text {
            self.texts.push(Text {
                end: self.spool.len(),
                ..text
            });
        }
        Ok(())
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
        self.finish_draft(part, file.name.clone(), bytes, draft, going)
            .await
    }

    /// Ends a draft: it becomes durable while the body goes on.
    async fn finish_draft(
        &mut self,
        part: PartId,
        name: String,
        bytes: u64,
        draft: Option<Box<FileDraft>>,
        going: Going,
    ) -> Result<(), Stop> {
        self.parts.remove(part);
        self.await_finishing().await?;
        let detached = Detached {
            part,
            name,
            bytes,
            file: None,
            going,
        };
        match draft {
            Some(draft) => self.finishing = Some((detached, tokio::spawn(draft.finish()))),
            None => self.detached.push(detached),
        }
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
        let mut rest = Vec::new();
        for later in mem::take(&mut self.later) {
            let shown = later
                .shown_by
                .is_some_and(|key| self.references.contains_key(key));
            if shown {
                self.explain_kept(later.part, &later.file, later.bytes, None, Why::Shown);
            } else if later.bytes >= later.going.threshold {
                self.detach_later(&later, Why::OverThreshold).await?;
            } else {
                rest.push(later);
            }
        }
        let weight = |later: &Later| Weight {
            bytes: later.bytes,
            sum_max: later.going.message_threshold.unwrap_or(u64::MAX),
        };
        let weights: Vec<Weight> = rest.iter().map(weight).collect();
        let over: HashSet<usize> = rules::largest_over(&weights).into_iter().collect();
        for (index, later) in rest.iter().enumerate() {
            if over.contains(&index) {
                self.detach_later(later, Why::OverMessageThreshold).await?;
            } else {
                let source = Some(later.going.source);
                self.explain_kept(
                    later.part,
                    &later.file,
                    later.bytes,
                    source,
                    Why::UnderThreshold,
                );
            }
        }
        Ok(self.await_finishing().await?)
    }

    async fn detach_later(&mut self, later: &Later, why: Why) -> Result<(), Stop> {
        let going = later.going.clone();
        self.explain_gone(later.part, &later.file, later.bytes, going.source, why);
        if going.dry_run {
            self.trial.parts += 1;
            self.trial.bytes += later.bytes;
            return Ok(());
        }
        let at = later.body..later.end;
        self.detach_spooled(later.part, &later.file, later.bytes, at, going)
            .await
    }

    /// Remembers a text part as a place for the notice.
    fn text(&self, part: PartId, head: &Head) -> Option<Text> {
        let kind = match head.media.sub.as_str() {
            "plain" => TextKind::Plain,
            "html" => TextKind::Html,
            _ => return None,
        };
        let is_body = head.media.main == "text"
            && !head.is_named
            && head.disposition == Disposition::Inline
            && part != 0;
        (is_body && self.texts.len() < TEXTS_MAX).then(|| Text {
            part,
            kind,
            charset: head.charset.clone(),
            encoding: head.encoding,
            header: self.header_start,
            body: self.spool.len(),
            end: self.spool.len(),
        })
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
        let is_trial = self.filter.store.is_none()
            || matches!(source, Source::Rule(rule) if self.filter.config.rule[rule].dry_run);
        if let Some(decision) = self.note(part, file, bytes, Some(source), why) {
            (decision.detached, decision.would_detach) = (!is_trial, is_trial);
        }
    }

    /// Keeps a decision for the log, or for who wants all of them explained.
    fn note(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        source: Option<Source>,
        why: Why,
    ) -> Option<&mut PartDecision> {
        let explains = self.filter.explain;
        if !explains && self.decisions.len() >= DECISIONS_MAX {
            return None;
        }
        let label = source.map(|source| source.label(&self.filter.config).to_owned());
        self.decisions.push(PartDecision {
            path: self.parts.path(part),
            media_type: file.media_type.clone(),
            name: explains.then(|| names::display(&file.name)),
            bytes,
            detached: false,
            would_detach: false,
            rule: label,
            reason: why.as_str(),
        });
        self.decisions.last_mut()
    }
}

impl Filter {
    /// How long the drop may hold up a message.
    fn deadline(&self) -> Duration {
        self.config.milter.deadline.unsigned_abs()
    }
}

impl FileHead {
    fn new(head: &Head) -> Self {
        let mut media_type = head.media.to_string();
        if media_type.len() > TYPE_BYTES_MAX {
            media_type = "application/octet-stream".to_owned();
        }
        let mut name = names::or_from_type(head.file_name.as_deref(), &media_type);
        if name.len() > NAME_BYTES_MAX {
            name = names::file(&name);
        }
        Self {
            name,
            media_type,
            encoding: head.encoding,
        }
    }
}

impl Work {
    /// It stays because somebody says so; base64 is decoded all the same, to see that it can be.
    fn keeping(source: Source, decoder: Decoder) -> Self {
        let why = match source {
            Source::Default | Source::Rule(_) => Why::Rule,
            Source::Wish(_) => Why::Wish,
            Source::Users => Why::Users,
        };
        match decoder {
            Decoder::Base64(_) => Self::Checked(why, decoder),
            _ => Self::Stays(why),
        }
    }

    fn decoder(&mut self) -> Option<&mut Decoder> {
        match self {
            Self::Stays(_) | Self::Spoiled => None,
            Self::Checked(_, decoder)
            | Self::Html(decoder)
            | Self::Counting(decoder)
            | Self::Detaching(decoder, _) => Some(decoder),
        }
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

fn origin(envelope: &Envelope) -> Origin {
    Origin {
        queue_id: envelope.queue_id.clone(),
        sender: envelope.sender.clone(),
        login: envelope.login.clone(),
        direction: envelope.direction,
        recipients: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
        domains: match envelope.direction {
            super::Direction::Incoming => {
                Domains::of(envelope.recipients.iter().map(String::as_str))
            }
            super::Direction::Outgoing => Domains::default(),
        },
    }
}

/// A part's path in the order of the message.
fn place(path: &str) -> Vec<u32> {
    path.split('.')
        .filter_map(|ordinal| ordinal.parse().ok())
        .collect()
}

/// The media type that the first bytes of a file show.
fn content_type(first: &[u8]) -> &'static str {
    infer::get(first).map_or("application/octet-stream", |found| found.mime_type())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::MediaType;

    #[test]
    fn what_is_kept_of_a_candidate_is_bounded() {
        for (len, kept) in [(245, 255), (246, 24)] {
            let value = format!("attached/y{}; name={}", "x".repeat(len), "z".repeat(4000));
            let field = Field {
                name: b"Content-Type".to_vec(),
                value: value.into_bytes(),
            };
            let head = Head::read(&[field], MediaType::new("text", "plain")).unwrap();
            let file = FileHead::new(&head);
            assert_eq!(file.media_type.len(), kept);
            assert!(file.name.len() <= NAME_BYTES_MAX);
        }
    }
}

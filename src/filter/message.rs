//! A message on its way: each of the scanner's events is acted upon.

use std::{mem, ops::Range, time::Duration};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{
    Envelope, Filter, FilterError, PartDecision, Reason, Trial, Verdict,
    accounting::place,
    choices,
    language::Speech,
    later::Later,
    leaf::{FileHead, Leaf, Work},
    mark, origin,
    parts::Parts,
    reading::{Text, Wait},
    shipping::{Detached, genuine, write},
    top_header::{content_field, is_newsletter},
    words::Words,
};
use crate::{
    mime::{Ambiguity, Decoder, Field, Head, References, Scanner, scanner::PartId},
    policy::{Edits, Fate, Going, Plan},
    rewrite::Eol,
    rules::Why,
    scan::Finding,
    spool::Spool,
    store::{DurableFile, FileDraft, PackageDraft, StoreError},
};

/// Bytes of a part that are replayed from the spool at a time.
const REPLAY_BYTES: u64 = 64 * 1024;

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
    pub(super) after_cr: bool,
    pub(super) scanner: Option<Scanner>,
    pub(super) parts: Parts,
    pub(super) spool: Spool,
    pub(super) texts: Vec<Text>,
    /// True if it is sent to many who do not answer each other: a newsletter, no discussion list.
    pub(super) is_newsletter: bool,
    pub(super) later: Vec<Later>,
    /// The number of candidates that go whatever comes after them.
    pub(super) sure: usize,
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
    pub(super) refused: Vec<&'static str>,
    /// The domain from which the message comes, according to a trusted verifier.
    pub(super) genuine: Option<String>,
    /// The certain part of its sender's address, once that was asked.
    pub(super) verified: Option<Option<String>>,
    /// The number of fields that look like our mark, but were put into it by somebody else.
    pub(super) foreign_marks: usize,
    /// The id by which its copies are known.
    pub(super) message_id: Option<Box<[u8]>>,
    /// True if something that is heavy by the usual measure stays because somebody chose so.
    pub(super) is_chosen: bool,
    pub(super) plan: Plan,
    /// The fate of every candidate, where the policy asks nothing about it.
    pub(super) fate: Option<Fate>,
    pub(super) asks_content: bool,
    pub(super) references: References,
    pub(super) words: Words,
    /// The reason why the first heavy part that is in doubt stays.
    pub(super) doubt: Option<Reason>,
    /// The keys of the `Content-ID`s of parts that went before all HTML bodies had come.
    pub(super) gone: Vec<u64>,
    pub(super) leaf: Option<Box<Leaf>>,
    /// True once the last byte came. A part that ends after it lacks its delimiter or the line end of
    /// that, and readers differ about whether the line end before is the part's.
    pub(super) ending: bool,
    /// The offset in the spool at which the header block of the part that began last starts.
    pub(super) header_start: u64,
    /// The file that was ended last: it becomes durable while the body goes on.
    pub(super) finishing: Option<(Detached, JoinHandle<Result<DurableFile, StoreError>>)>,
    pub(super) decisions: Vec<PartDecision>,
    pub(super) decoded: Vec<u8>,
    /// The time for which the drop has held up the body.
    pub(super) waited: Duration,
}

/// An outcome that is certain before the end.
#[derive(Debug)]
pub(super) enum Settled {
    Pass(Reason),
    Fail(FilterError),
}

/// Ends work on a message early.
pub(super) enum Stop {
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

    /// The parts that would have been detached, were this not a trial.
    pub fn trial(&self) -> Trial {
        self.trial
    }

    /// The decision for each part; names, and more than fifty parts, if the filter explains.
    pub fn explanation(&self) -> &[PartDecision] {
        &self.decisions
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

    async fn wait(&mut self, wait: Wait) -> Result<(), Stop> {
        match wait {
            Wait::Spool => {}
            Wait::Draft => self.write_decoded().await?,
            Wait::Detach => self.detach().await?,
            Wait::End(leaf) => self.end_detached(*leaf).await?,
        }
        Ok(self.spool.settle().await?)
    }

    /// Returns true if an infected file stays in the message, though the others go.
    pub(super) fn keeps_out(&self) -> bool {
        self.filter.stores.is_some() && self.filter.config.keeps_out()
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

    /// Waits for the verdict about the file that was ended last, and returns true if the file is infected.
    pub(super) async fn is_kept_out(&mut self) -> Result<bool, FilterError> {
        match self.await_finishing().await {
            Err(error) if error.finding() == Some(Finding::Infected) => {
                self.warn_of(&error);
                self.refused.push(error.kind());
                Ok(true)
            }
            finished => finished.map(|()| false),
        }
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
}

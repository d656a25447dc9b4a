//! A message on its way: it joins what reads, what ships and what accounts.
//!
//! * [`Reading`] takes the chunks, and knows scanner, parts and spool. It tells the account what
//!   becomes of each part, and knows nothing of a store.
//! * [`Shipping`] takes decoded bytes, and knows the store. It knows neither scanner nor spool.
//! * [`Accounting`] is told by both, and knows neither.
//!
//! Each owns its fields. Here is what needs two of them: the way of a part from the spool into the
//! drop, the end of the message, and the outcome that is certain before.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use mailsplice::{
    mime::{Ambiguity, Decoder, Field, Head, Tnef, tnef},
    notice::Templates,
    rewrite::Eol,
};

use super::{
    Envelope, Filter, FilterError, PartDecision, Reason, Trial, Verdict,
    accounting::Accounting,
    later::Later,
    leaf::{FileHead, Leaf, LeafWork},
    mark,
    outcome::Settled,
    reading::{Reading, Wait},
    shipping::{Detached, Shipping},
    top_header::TopHeader,
};
use crate::{
    config::Config,
    policy::{Edits, Fate, Plan},
    rules::Why,
    scan::ScanFinding,
};

/// Bytes of a part that are replayed from the spool at a time.
const REPLAY_BYTES: u64 = 64 * 1024;

/// A message on its way. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Message {
    filter: Filter,
    envelope: Envelope,
    reading: Reading,
    shipping: Shipping,
    accounting: Accounting,
    settled: Option<Settled>,
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
        let accounting = Accounting::new(
            Arc::clone(config),
            filter.explain,
            filter.stores.is_none(),
            mark::foreign(envelope.direction, header),
        );
        let shipping = Shipping::new(config, &envelope, header, plan.store());
        let top = TopHeader::read(config, header, root);
        Ok(Self {
            reading: Reading::new(&filter, top, eol, plan, &accounting)?,
            shipping,
            accounting,
            settled: None,
            filter,
            envelope,
        })
    }

    /// Takes the next bytes of the body (everything after the blank line that ends the header).
    ///
    /// Waits while the store is slow. Never fails: a failure is kept for [`Message::end`].
    pub async fn push(&mut self, chunk: &[u8]) {
        // Once the outcome is certain, further bytes cost nothing.
        let Some(mut scanner) = self.reading.begin_chunk(chunk) else {
            return;
        };
        let mut events = self.reading.events(&mut scanner, chunk);
        loop {
            let read = self.reading.read(&mut events, &mut self.accounting);
            let waited = match read {
                Ok(None) => break,
                // Boxed: the state of a wait, which is rare, would otherwise be moved about for each
                // event.
                Ok(Some(wait)) => Box::pin(self.wait(wait)).await,
                Err(settled) => Err(settled),
            };
            if let Err(settled) = waited {
                return self.settle(settled);
            }
        }
        drop(events);
        self.reading.end_chunk(scanner);
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
        if self.reading.end() {
            self.push(b"").await;
        } else if self.settled.is_none() {
            self.settle(Settled::Fail(FilterError::GivenUp));
        }

        if self.settled.is_none()
            && let Err(settled) = self.decide_later().await
        {
            self.settle(settled);
        }

        self.accounting.sort();

        let verdict = match self.settled.take() {
            Some(Settled::Pass(reason)) => {
                self.accounting.note_refusal(reason);
                Verdict::Pass(reason)
            }
            Some(Settled::Fail(error)) => self.failed(error),
            None => super::finish::finish(self).await,
        };

        if self.accounting.is_chosen() && !matches!(verdict, Verdict::Fail(_)) {
            self.filter.remember(self.shipping.message_id()).await;
        }

        self.accounting.conclude(&verdict);
        verdict
    }

    /// The changes to be made to the message whatever its verdict is.
    pub fn edits(&self) -> &Edits {
        self.accounting.edits()
    }

    /// The reasons, in a word for each, why the store did not take files of it, where that is no
    /// failure: a file is infected, too large to be scanned, or blocked, or the login is suspended.
    pub fn refused(&self) -> &[&'static str] {
        self.accounting.refused()
    }

    /// The parts that would have been detached, were this not a trial.
    pub fn trial(&self) -> Trial {
        self.accounting.trial()
    }

    /// The decision for each part; names, and more than fifty parts, if the filter explains.
    pub fn explanation(&self) -> &[PartDecision] {
        self.accounting.decisions()
    }

    /// Sets the changes to be made to the message whatever its verdict is.
    pub(super) fn set_edits(&mut self, edits: Edits) {
        self.accounting.set_edits(edits);
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(super) fn config(&self) -> &Config {
        &self.filter.config
    }

    /// Returns the admin's own templates of the notice; `None` without such.
    pub(super) fn templates(&self) -> Option<Arc<Templates>> {
        self.filter.loaded.notice(&self.filter.config).cloned()
    }

    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    pub(super) fn reading_mut(&mut self) -> &mut Reading {
        &mut self.reading
    }

    pub(super) fn shipping(&self) -> &Shipping {
        &self.shipping
    }

    pub(super) fn shipping_mut(&mut self) -> &mut Shipping {
        &mut self.shipping
    }

    pub(super) fn accounting(&self) -> &Accounting {
        &self.accounting
    }

    pub(super) fn accounting_mut(&mut self) -> &mut Accounting {
        &mut self.accounting
    }

    /// The certain part of its sender's address; `None` where asking takes longer than the message has.
    pub(super) async fn verified(&mut self) -> Option<String> {
        self.shipping.verified(&self.filter, &self.envelope).await
    }

    /// Turns a failure into the verdict, as it may be a finding about a file.
    fn failed(&mut self, error: FilterError) -> Verdict {
        let reason = match error.finding() {
            Some(ScanFinding::Infected) => Reason::Infected,
            Some(ScanFinding::Oversize) => Reason::Oversize,
            Some(ScanFinding::Unscanned) | None => return Verdict::Fail(error),
        };
        self.warn_of(&error);
        self.accounting.file_refused(&error);
        Verdict::Pass(reason)
    }

    /// Logs why a file does not go into the drop.
    fn warn_of(&self, error: &FilterError) {
        let queue_id = &self.envelope.queue_id;
        tracing::warn!(queue_id, "{error}");
    }

    /// Ends all work on the message with this outcome: whatever was begun in the drop is given up.
    fn settle(&mut self, settled: Settled) {
        self.reading.stop();
        self.shipping.give_up();
        self.accounting.forget_trial();
        self.settled = Some(settled);
    }

    async fn wait(&mut self, wait: Wait) -> Result<(), Settled> {
        match wait {
            Wait::Spool => {}
            Wait::Draft if self.shipping.is_open() => {
                self.shipping.write(self.reading.take_bytes()).await?;
            }
            Wait::Draft => {}
            Wait::Sure => self.shipping.refuse_too_many(self.reading.sure())?,
            Wait::Detach => self.detach().await?,
            Wait::End(leaf) => self.end_detached(*leaf).await?,
        }
        Ok(self.reading.settle().await?)
    }

    /// Turns the leaf from a candidate into one that goes: its bytes in the spool are replayed.
    async fn detach(&mut self) -> Result<(), Settled> {
        let Some(leaf) = self.reading.take_leaf() else {
            return Ok(());
        };
        let at = self.reading.body_of(leaf.part);
        let decoder = self.replay(&leaf.file, at).await?;
        Ok(self.reading.go_on(leaf, decoder).await?)
    }

    /// Opens a draft and fills it from the spool.
    async fn replay(&mut self, file: &FileHead, mut at: Range<u64>) -> Result<Decoder, Settled> {
        self.shipping.refuse_too_many(1)?;
        let mut decoder = Decoder::new(file.encoding).ok_or(Reason::MalformedBody)?;
        self.shipping
            .open(
                &self.filter,
                &self.envelope,
                (&file.name(), &file.media_type),
            )
            .await?;

        while !at.is_empty() {
            let stop = at.end.min(at.start + REPLAY_BYTES);
            let decoded = self.reading.decode(&mut decoder, at.start..stop).await?;
            self.shipping.write(decoded).await?;
            at.start = stop;
        }
        Ok(decoder)
    }

    /// Ends a leaf that goes.
    async fn end_detached(&mut self, leaf: Leaf) -> Result<(), Settled> {
        let (part, file, bytes) = (leaf.part, leaf.file, leaf.bytes);
        let Fate::Goes(going) = leaf.fate else {
            // It went by what the policy said; were it not so, the file would be lost.
            return Err(FilterError::GivenUp.into());
        };

        let path = || self.reading.parts().path(part);
        self.accounting
            .gone(path, &file, bytes, going.source, Why::OverThreshold);
        let detached = Detached::new(part, &file, bytes, going);

        if let LeafWork::Detaching(_) = leaf.work {
            self.shipping.write(self.reading.take_bytes()).await?;
            self.reading.went(leaf.shown_by);
            return self.finish_draft(detached).await;
        }

        let at = self.reading.body_of(part);
        self.detach_spooled(&file, at, detached).await?;
        if self.reading.parts().is_removed(part) {
            self.reading.went(leaf.shown_by);
            self.reading.forget_body(part).await?;
        }
        Ok(())
    }

    /// Puts a part that lies in the spool into the drop.
    async fn detach_spooled(
        &mut self,
        file: &FileHead,
        at: Range<u64>,
        detached: Detached,
    ) -> Result<(), Settled> {
        let decoder = self.replay(file, at).await?;
        let mut tail = Vec::new();
        decoder
            .finish(&mut tail)
            .map_err(|_| Settled::from(Reason::MalformedBody))?;
        self.shipping.write(tail.into()).await?;
        self.finish_draft(detached).await
    }

    /// Puts a container that lies in the spool into the drop, its files before it. It stays, and so do
    /// they, where one of them is infected and infected files stay in the message.
    async fn detach_container(
        &mut self,
        file: &FileHead,
        at: Range<u64>,
        container: Detached,
    ) -> Result<(), Settled> {
        let part = container.part;
        if self.open_container(file, at.clone(), &container).await? {
            self.detach_spooled(file, at, container).await?;
        }
        if !self.reading.parts().is_removed(part) {
            self.shipping.forget(part);
        }
        Ok(())
    }

    /// Puts the files of a container into the drop; returns false once one is infected and the
    /// container stays.
    async fn open_container(
        &mut self,
        file: &FileHead,
        mut at: Range<u64>,
        container: &Detached,
    ) -> Result<bool, Settled> {
        // It was read before: an error can only come of a spool that gives back something else.
        let malformed = |_| Settled::from(Reason::MalformedBody);
        let mut decoder = Decoder::new(file.encoding).ok_or(Reason::MalformedBody)?;
        let (mut tnef, mut events) = (Tnef::default(), Vec::new());

        while !at.is_empty() {
            let stop = at.end.min(at.start + REPLAY_BYTES);
            let decoded = self.reading.decode(&mut decoder, at.start..stop).await?;
            tnef.push(&decoded, &mut events).map_err(malformed)?;
            if !self.ship_opened(&mut events, &decoded, container).await? {
                return Ok(false);
            }
            at.start = stop;
        }

        let mut tail = Vec::new();
        decoder
            .finish(&mut tail)
            .map_err(|_| Settled::from(Reason::MalformedBody))?;
        tnef.push(&tail, &mut events).map_err(malformed)?;
        tnef.finish(&mut events).map_err(malformed)?;
        self.ship_opened(&mut events, &tail.into(), container).await
    }

    /// Ships what was found in the next bytes of a container; returns false once a file is infected
    /// and the container stays.
    async fn ship_opened(
        &mut self,
        events: &mut Vec<tnef::Event>,
        decoded: &Bytes,
        container: &Detached,
    ) -> Result<bool, Settled> {
        for event in events.drain(..) {
            match event {
                // Name and type are told at the end.
                tnef::Event::Begin => {
                    self.shipping
                        .open(&self.filter, &self.envelope, ("", ""))
                        .await?;
                }
                tnef::Event::Data(range) => self.shipping.write(decoded.slice(range)).await?,
                // With one such attachment it stays: it was read before.
                tnef::Event::Other => {}
                tnef::Event::End(file) => {
                    self.await_finishing().await?;
                    self.shipping.finish(container.opened(file));
                    if self.filter.keeps_out() && self.is_kept_out().await? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Ends a draft: it becomes durable while the body goes on. Where an infected file stays in the
    /// message, the verdict is waited for, and the part is removed if it is clean.
    async fn finish_draft(&mut self, detached: Detached) -> Result<(), Settled> {
        let part = detached.part;
        self.await_finishing().await?;
        self.shipping.finish(detached);
        if !(self.filter.keeps_out() && self.is_kept_out().await?) {
            self.reading.remove(part);
        }
        Ok(())
    }

    /// Waits for the verdict about the file that was ended last, and returns true if the file is infected.
    async fn is_kept_out(&mut self) -> Result<bool, FilterError> {
        match self.await_finishing().await {
            Err(error) if error.finding() == Some(ScanFinding::Infected) => {
                self.warn_of(&error);
                self.accounting.file_refused(&error);
                Ok(true)
            }
            finished => finished.map(|()| false),
        }
    }

    /// Waits until the file that was ended last is durable, and notes it if that has a virus.
    async fn await_finishing(&mut self) -> Result<(), FilterError> {
        let part = self.shipping.finishing();
        let finished = self.shipping.await_finishing().await;
        if let (Some(part), Err(error)) = (part, &finished)
            && error.finding() == Some(ScanFinding::Infected)
        {
            self.accounting.infected(&self.reading.parts().path(part));
        }
        finished
    }

    /// Decides on the candidates that stayed in the spool. None of them is stored before it is known
    /// how many go.
    async fn decide_later(&mut self) -> Result<(), Settled> {
        let later = self.reading.decide_later(&mut self.accounting)?;
        let files = |later: &Later| 1 + usize::from(later.opens.unwrap_or(0));
        let going = later.iter().filter(|later| !later.going.dry_run);
        self.shipping.refuse_too_many(going.map(files).sum())?;

        for later in later {
            if later.going.dry_run {
                self.accounting.would_detach(1, later.bytes);
                continue;
            }
            let at = later.body..later.end;
            let detached = Detached::new(later.part, &later.file, later.bytes, later.going);
            if later.opens.is_some() {
                self.detach_container(&later.file, at, detached).await?;
            } else {
                self.detach_spooled(&later.file, at, detached).await?;
            }
        }
        Ok(self.await_finishing().await?)
    }
}

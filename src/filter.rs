//! One message through all the stages: scanner, rules, drop, rewriter.
//!
//! Used by the milter's session and by `depollueur rewrite`. It does not know the milter protocol,
//! and it never decides what a failure means for the mail: it reports it (see [`Verdict`]).
//!
//! * `domain` – the domain whose settings apply to a message
//! * `leaf` – the part whose body is coming in
//! * `parts` – the parts of the message as they lie in the spool
//! * `words` – the texts that are the words of the message, whatever their names
//! * `message` – a message on its way: each of the scanner's events is acted upon
//! * `choices` – messages that somebody's choice kept are remembered, and kept when they come again
//! * `copies` – copies of one message share one package
//! * `mark` – the field that says that the message was changed
//! * `finish` – the end of a message: the last decisions, the notice, a check of the result, the commit
//! * `forwarded` – the weight of a forwarded message
//! * `origin` – the facts of a message that a drop is told
//! * `strangers` – mail from outside that is left alone, since its files would be a stranger's in the drop
//! * `vouch` – the part of the sender's address that is certain
//! * `language` – the language of the notice
//!
//! # Memory
//!
//! A message takes at most, whatever its size:
//!
//! | what | bound |
//! |---|---|
//! | spool: what stays, before it is written to a file | `spool.memory`, at most 256 KiB, + 64 KiB |
//! | an open draft, and one that becomes durable | 2 × 400 KiB |
//! | in place of an open draft, the start of a file that tells its name | 32 KiB |
//! | a chunk from Postfix, its decoded bytes, a piece on its way back | 4 × 64 KiB |
//! | references to embedded files, and the end of an HTML body | 4,096 × 16 bytes, 64 KiB |
//! | text parts | 16 × 200 bytes |
//! | open boundaries | 300 bytes × `limits.depth_max` |
//! | in a forwarded message, four header blocks more | 4 × `limits.header_bytes_max` |
//! | header block being read: its bytes, then its fields apart | 32 × `limits.header_bytes_max` |
//! | parts | 64 bytes × `limits.parts_max` |
//! | candidates for the end, with a name and a type of 255 bytes each | 1 KiB × `limits.parts_max` |
//! | detached files, and the manifest of them | 2 KiB × [`DETACHED_MAX`], if not candidates |
//! | at its end, texts that take the notice, one at a time | 16 × `limits.text_bytes_max` |
//! | in place of that, the start of one, to tell its language | 32 KiB raw, 256 KiB in all |
//! | its `Message-ID` | 1 KiB |
//! | with `notice.templates`, one of them while it is rendered | 1 MiB, and not in the sum |
//!
//! In sum, with what is constant rounded up:
//!
//! ```text
//! 1.5 MiB + 32 × limits.header_bytes_max + 1088 bytes × limits.parts_max
//!         + 16 × limits.text_bytes_max
//! ```
//!
//! That is a message in work, of which there are `milter.max_messages`. Packages that copies of a
//! message share (`copies`) take 2 MiB in all. While few messages are long, their spools take more:
//! `8 × spool.memory` in all. What is held before, and by connections without a message, is bounded
//! in [`milter`](crate::milter):
//!
//! | what | bound |
//! |---|---|
//! | each connection | 24 KiB |
//! | its packet, its macros | 64 KiB, 4 KiB |
//! | envelope and header of its message | 4 × 8 KiB |
//! | what goes past these, of all connections together | `milter.header_memory` |
//!
//! ```text
//! 128 KiB × milter.max_connections + milter.header_memory
//! ```
//!
//! A header of one-letter fields takes 21 times its bytes, a text of 1 MiB in base64 11 times:
//! these are measured by `tests/e2e/memory.py`, which holds the whole sum against the daemon.
//! A filter that explains its decisions takes more; only `depollueur rewrite` asks for it.

mod choices;
mod copies;
mod domain;
mod finish;
mod forwarded;
#[cfg(test)]
mod lab;
mod language;
mod leaf;
#[cfg(test)]
mod many;
mod mark;
mod message;
mod origin;
mod parts;
#[cfg(test)]
mod scanned;
mod strangers;
mod vouch;
mod words;

use std::{
    borrow::Cow,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::{Bytes, BytesMut};

use crate::{
    config::{Config, Dkim2, RunMode},
    decisions::{Decisions, Part},
    drop::{Allotment, Drop},
    envelope::{DETACHED_MAX, Direction, Envelope, HeaderEdit, Known},
    loaded::Loaded,
    lookup::Lookup,
    mime::{Ambiguity, Field, Head, MediaType, Scanner, head},
    policy::{self, Edits, HeaderFacts, Outlook, Plan, Refusal, Source, Wish, Wishes},
    rewrite::Eol,
    rules,
    scan::Finding,
    spool::{Spool, Spools},
    store::{StoreError, Stores},
};

pub use copies::Copies;
pub use message::Message;

/// The largest piece of a body that a milter can send (65,535 bytes, milter.md 1.2).
const PIECE_BYTES_MAX: u64 = 65_535;

/// State shared by all messages: the configuration of the moment, and the store.
#[derive(Clone, Debug)]
pub struct Filter {
    config: Arc<Config>,
    /// `None` in dry-run: nothing is deposited then.
    stores: Option<Stores>,
    spools: Spools,
    lookup: Lookup,
    /// True if the configuration is that of a domain.
    is_own: bool,
    explain: bool,
    /// True if a message is rewritten though nothing is deposited.
    preview: bool,
    /// The place where decisions are kept.
    decisions: Option<Decisions>,
    /// The drop that remembers messages kept by somebody's choice.
    choices: Option<Drop>,
    copies: Copies,
    /// The contents of the files that the configuration names.
    loaded: Loaded,
    /// True if it was logged that forwarding cannot be found out; cleared as soon as it can be again.
    is_told: Arc<AtomicBool>,
}

/// The outcome for a message once its header is known.
#[derive(Debug)]
pub enum Start {
    /// Nothing can be detached from it: accept it; its body need not be seen.
    Pass(Reason),
    /// The same, but the wish of its sender is to be taken out of it: fields, tags and recipients.
    Edit(Edits, Reason),
    /// Refuse it.
    Refuse(Refusal),
    /// Push the body into this.
    Scan(Box<Message>),
}

/// The reason why a message goes out as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Mail of this direction is not treated.
    Direction,
    /// Its header says that nothing can be detached.
    Header,
    /// It is smaller than every threshold.
    Small,
    /// The rules, or the users' choice, keep everything.
    Rules,
    /// Neither its sender nor any recipient asked for it to be treated (`users.opt_in`).
    NotAsked,
    /// Somebody's choice kept it when it came before.
    KeptBefore,
    /// It was signed by DKIM2 and goes to another machine.
    Dkim2,
    /// It came from outside, and an earlier host marked it as doubtful.
    Marked,
    /// It came from outside, and one of its recipients' addresses forwards to another machine.
    Forwarded,
    /// Its sender wants everything kept.
    Wish,
    /// Something would have been done, were this not a trial.
    DryRun,
    /// It was read to its end, and nothing was to be detached.
    Nothing,
    /// Readers would differ about its structure.
    Ambiguous(Ambiguity),
    /// A part that was being detached is not what its transfer encoding says.
    MalformedBody,
    /// More than [`DETACHED_MAX`] parts would have to be detached.
    TooManyDetached,
    /// More fields than can be removed look like our mark.
    ForeignMarks,
    /// No part of it can take the notice, and none can be added.
    NoPlace,
    /// An HTML body came after a part that was detached, and shows it.
    ShownLater,
    /// With the notice in it, it would not have the parts that it must have.
    Reread,
    /// An admin blocked one of its files: the drop does not take it.
    Blocked,
    /// One of its files is infected: the drop does not take it.
    Infected,
    /// One of its files is larger than what is scanned, and such files are not taken.
    Oversize,
    /// An admin suspended the login that sent it: the drop does not take it.
    Suspended,
    /// The share of its sender is used up for today.
    SenderQuota,
    /// The share of the network outside from which it came, or of all mail from outside, is used up
    /// for today.
    IncomingQuota,
    /// The people behind its addresses could not be found out.
    Lookup,
}

/// The verdict at the end of a message.
#[derive(Debug)]
pub enum Verdict {
    /// Goes out as it came.
    Pass(Reason),
    /// Goes out rewritten; all its files are durable.
    Rewrite(Rewritten),
    /// The store or the spool failed; nothing was kept. `detach.on_failure` says what this means.
    Fail(FilterError),
}

/// A failure of our own machinery, never of the mail.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The spool failed.
    #[error("could not spool the message: {0}")]
    Spool(#[from] io::Error),
    /// The drop held up the message for longer than `milter.deadline`.
    #[error("the drop was too slow")]
    Slow,
    /// A part of the message was not taken to its end.
    #[error("the message was given up on the way")]
    GivenUp,
}

impl FilterError {
    /// The finding of the virus scan, if that is the reason.
    pub fn finding(&self) -> Option<Finding> {
        match self {
            Self::Store(error) => error.finding(),
            _ => None,
        }
    }

    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(error) => error.kind(),
            Self::Spool(_) => "spool",
            Self::Slow => "slow",
            Self::GivenUp => "given-up",
        }
    }
}

/// A rewritten message: header edits and a new body, ready to be sent in one run.
#[derive(Debug)]
pub struct Rewritten {
    /// The changes to the top-level header, in order.
    pub header_edits: Vec<HeaderEdit>,
    /// The number of detached parts.
    pub detached: usize,
    /// Their decoded bytes.
    pub detached_bytes: u64,
    /// The link in the notice.
    pub link: String,
    /// True if the package is that of a copy which came before.
    pub is_copy: bool,
    /// The number of strangers' `X-Depollueur` fields that are removed.
    pub foreign_marks: usize,
    /// The line ending of added lines.
    pub eol: Eol,
    spool: Spool,
    pieces: std::vec::IntoIter<Piece>,
    /// The unsent rest of the current piece.
    rest: Option<Piece>,
}

/// A run of the new body.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes of the sender, from the spool.
    Keep(Range<u64>),
    /// Bytes of ours.
    Insert(Bytes),
}

/// The decision about one part.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PartDecision {
    /// The part's place: `1`, `2.1`, or `` for the message itself.
    pub path: String,
    /// The declared media type.
    pub media_type: String,
    /// The file name, made safe.
    pub name: Option<String>,
    /// Decoded size in bytes; 0 for text that was not decoded.
    pub bytes: u64,
    /// True if the part is detached.
    pub detached: bool,
    /// True if it would be detached, were this not a trial.
    pub would_detach: bool,
    /// The source of the decision: a rule's name, `default`, `sender`, `users`; `None` for a part
    /// that stays whatever is configured.
    pub rule: Option<String>,
    /// The reason.
    pub reason: Cow<'static, str>,
}

/// The parts that would have been detached, were this not a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// The number of parts.
    pub parts: usize,
    /// Their decoded bytes.
    pub bytes: u64,
}

impl Filter {
    /// Makes a filter over a store, or several between which the rules choose.
    pub fn new(config: Arc<Config>, stores: impl Into<Stores>) -> Self {
        let live = config.detach.mode == RunMode::Live;
        Self::over(config, live.then(|| stores.into()))
    }

    fn over(config: Arc<Config>, stores: Option<Stores>) -> Self {
        Self {
            spools: spools(&config),
            lookup: Lookup::new(&config),
            config,
            stores,
            is_own: false,
            explain: false,
            preview: false,
            decisions: None,
            choices: None,
            copies: Copies::default(),
            loaded: Loaded::default(),
            is_told: Arc::default(),
        }
    }

    /// Makes a filter that changes and deposits nothing, whatever `detach.mode` says.
    pub fn trial(mut config: Config) -> Self {
        config.detach.mode = RunMode::DryRun;
        Self::over(Arc::new(config), None)
    }

    /// Returns the same filter, except that it changes and deposits nothing: for a message whose
    /// readers could not open its links.
    pub fn withheld(&self) -> Self {
        Self {
            stores: None,
            ..self.clone()
        }
    }

    /// Returns true if links would lead to this machine only, or let the network read the files:
    /// nothing may leave this machine with them. The links of a remote store are those of its host.
    pub fn has_local_links(&self) -> bool {
        self.stores.is_some() && self.config.has_local_links()
    }

    /// Makes a filter that shows the rewritten message, whatever `detach.mode` says: it deposits
    /// nothing, and its links lead nowhere.
    pub fn preview(mut config: Config) -> Self {
        config.detach.mode = RunMode::Live;
        Self {
            preview: true,
            ..Self::over(Arc::new(config), None)
        }
    }

    /// Returns the filter for a message of this envelope, with the settings of its domain.
    fn of(&self, envelope: &Envelope) -> Self {
        let mut filter = self.clone();
        if let Some(own) = domain::config(&self.config, envelope) {
            let mut own = Config::clone(own);
            own.detach.mode = self.config.detach.mode;
            (filter.config, filter.is_own) = (Arc::new(own), true);
        }
        filter
    }

    /// The base of its links; `None` if it is that of the store's links.
    fn public_url(&self) -> Option<&str> {
        self.is_own.then_some(self.config.web.public_url.as_str())
    }

    /// The outcomes still possible for a message of which only the envelope, or part of it, is known.
    pub fn outlook(&self, envelope: &Envelope, stage: policy::Stage) -> Outlook {
        let is_open = stage == policy::Stage::Mail && envelope.direction == Direction::Incoming;
        match (self.config.domains.is_empty(), is_open) {
            (true, _) => policy::outlook(&self.config, envelope, stage),
            // The recipients, and with them the domain, are not known yet.
            (false, true) => Outlook::Open,
            (false, false) => policy::outlook(&self.of(envelope).config, envelope, stage),
        }
    }

    /// Keeps decisions in `decisions`, if that is given.
    pub fn recording(mut self, decisions: Option<Decisions>) -> Self {
        self.decisions = decisions;
        self
    }

    /// Remembers in `drop` the messages that somebody's choice kept.
    pub fn remembering(mut self, drop: Drop) -> Self {
        self.choices = Some(drop);
        self
    }

    /// Uses what the files hold that its configuration names.
    pub fn with_files(mut self, loaded: Loaded) -> Self {
        self.loaded = loaded;
        self
    }

    /// Shares packages with the filters that have the same copies.
    pub fn sharing(mut self, copies: Copies) -> Self {
        self.copies = copies;
        self
    }

    /// The place where decisions are kept.
    pub fn decisions(&self) -> Option<&Decisions> {
        self.decisions.as_ref()
    }

    /// The configuration of this filter, shared.
    pub fn shared_config(&self) -> Arc<Config> {
        Arc::clone(&self.config)
    }

    /// The configuration of this filter.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Keeps the decision about each part, for [`Message::explanation`].
    pub fn explaining(mut self) -> Self {
        self.explain = true;
        self
    }

    /// The people behind an envelope's addresses as they are known before anything was asked.
    pub fn known(&self) -> Known {
        if self.config.asks_people() {
            Known::open()
        } else {
            Known::default()
        }
    }

    /// Asks Postfix who is meant by an envelope's addresses, where the fate of the message depends on
    /// it. To be called before [`Filter::begin`].
    pub async fn ask(&self, envelope: &mut Envelope, header: &[Field]) {
        let filter = self.of(envelope);
        let config = &filter.config;
        envelope.known = Known::default();
        let matters = config.asks_people() || spares_dkim2(config, header);
        let is_spared = strangers::spares_forwarded(config, envelope);
        if !(matters || is_spared)
            || !policy::is_among(config.detach.directions, envelope.direction)
        {
            return;
        }

        let mut asked = envelope.clone();
        let Wishes { wish, .. } = Wishes::read(config, &mut asked, header);
        if !policy::asks_people(config, wish, envelope.size) {
            return;
        }

        let queue_id = &envelope.queue_id;
        envelope.known = match self.lookup.know(&asked).await {
            Ok(known) => {
                self.is_told.store(false, Relaxed);
                known
            }
            Err(error) if matters => {
                tracing::warn!(queue_id, "left alone: {error}");
                Known::failed()
            }
            // Treated as without detach.forwarded; the amount that strangers may deposit is bounded.
            Err(error) => {
                if !self.is_told.swap(true, Relaxed) {
                    tracing::warn!(
                        queue_id,
                        "whether mail from outside is forwarded is not known, and it is treated: {error}"
                    );
                }
                Known::default()
            }
        };
    }

    /// The maker of the spools of its messages.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn spools(&self) -> &Spools {
        &self.spools
    }

    /// The lookups by which Postfix is asked.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Begins a message whose top-level header is known. `eol` is the line ending of the header.
    pub fn begin(&self, mut envelope: Envelope, header: &[Field], eol: Eol) -> Start {
        let filter = self.of(&envelope);
        let config = &filter.config;
        if !policy::is_among(config.detach.directions, envelope.direction) {
            return Start::Pass(Reason::Direction);
        }
        let Wishes { wish, edits } = Wishes::read(config, &mut envelope, header);
        if envelope.known.has_failed() {
            return match edits.is_empty() {
                true => Start::Pass(Reason::Lookup),
                false => Start::Edit(edits, Reason::Lookup),
            };
        }

        let facts = HeaderFacts::read(header);
        let plan = match Plan::new(config, &envelope, &facts, wish) {
            Ok(plan) => plan,
            Err(refusal) => return Start::Refuse(refusal),
        };

        let leaves = envelope.leaves || envelope.known.may_leave();
        let is_forwarded =
            strangers::spares_forwarded(config, &envelope) && envelope.known.leaves();
        let is_marked = strangers::is_marked(config, &envelope, header, &facts);
        // The plan holds all that matters of it.
        envelope.known = Known::default();
        let is_kept = envelope.kept_before && wish != Some(Wish::Detach);
        let is_spared = leaves && spares_dkim2(config, header);

        if let Some(refusal) = plan.would_refuse() {
            let (queue_id, rule) = (&envelope.queue_id, Source::Rule(refusal.rule).label(config));
            tracing::info!(queue_id, rule, "would have been refused: dry-run");
        }

        let spared = [
            (is_kept, Reason::KeptBefore),
            (is_spared, Reason::Dkim2),
            (is_marked, Reason::Marked),
            (is_forwarded, Reason::Forwarded),
        ];
        let started = match spared.into_iter().find(|(holds, _)| *holds) {
            Some((_, reason)) => Err(reason),
            None => filter.start(envelope, header, eol, plan),
        };
        match started {
            Ok(mut message) => {
                message.edits = edits;
                Start::Scan(message)
            }
            Err(reason) if edits.is_empty() => Start::Pass(reason),
            Err(reason) => Start::Edit(edits, reason),
        }
    }

    /// Begins a message that is not refused, unless nothing can be detached from it.
    fn start(
        &self,
        envelope: Envelope,
        header: &[Field],
        eol: Eol,
        plan: Plan,
    ) -> Result<Box<Message>, Reason> {
        match plan.keeper(&self.config, envelope.size) {
            Some(_) if plan.would_refuse().is_some() => return Err(Reason::DryRun),
            Some(source) if source.detaches(&self.config) => return Err(Reason::Small),
            Some(Source::Wish(_)) => return Err(Reason::Wish),
            Some(_) if plan.is_chosen() => return Err(Reason::Rules),
            Some(_) => return Err(Reason::NotAsked),
            None => {}
        }

        let read = || Head::read(header, MediaType::new("text", "plain"));
        let root = match head::check(header).and_then(|()| read()) {
            Ok(root) => root,
            Err(why) => return Err(Reason::Ambiguous(why)),
        };
        if rules::may_detach(&root).is_err() {
            return Err(Reason::Header);
        }

        if mark::foreign(envelope.direction, header) > mark::FOREIGN_MAX {
            return Err(Reason::ForeignMarks);
        }
        // These fields are replaced if the message is the file itself: there must be one of each.
        if !Scanner::enters(&root)
            && let Some(field) = head::repeated(header)
        {
            return Err(Reason::Ambiguous(Ambiguity::RepeatedField(field)));
        }

        let message = Message::new(self.clone(), envelope, header, root, eol, plan);
        message.map(Box::new).map_err(Reason::Ambiguous)
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Keep(range) => range.end - range.start,
            Self::Insert(bytes) => bytes.len() as u64,
        }
    }
}

impl From<&PartDecision> for Part {
    fn from(part: &PartDecision) -> Self {
        let fate = match part {
            PartDecision { detached: true, .. } => "detached",
            PartDecision {
                would_detach: true, ..
            } => "would go",
            _ => "kept",
        };
        Self {
            path: part.path.clone(),
            media_type: part.media_type.clone(),
            bytes: part.bytes,
            fate: fate.to_owned(),
            rule: part.rule.clone(),
            reason: part.reason.to_string(),
        }
    }
}

impl PartDecision {
    /// Makes the decision to leave a part alone, and with it the message, since readers differ about it.
    fn doubtful(path: String, why: Ambiguity) -> Self {
        Self {
            path,
            media_type: "-".to_owned(),
            name: None,
            bytes: 0,
            detached: false,
            would_detach: false,
            rule: None,
            reason: why.to_string().into(),
        }
    }
}

impl Reason {
    /// The reason why the store refused a message, which then goes out as it came; `None` where it failed.
    fn of_refusal(error: &StoreError) -> Option<Self> {
        match error.share() {
            Some(Allotment::Sender) => Some(Self::SenderQuota),
            Some(Allotment::Incoming) => Some(Self::IncomingQuota),
            None if error.is_blocked() => Some(Self::Blocked),
            None if error.is_suspended() => Some(Self::Suspended),
            None => None,
        }
    }

    /// The ambiguity found in the header, where that decided.
    pub fn in_header(self) -> Option<PartDecision> {
        match self {
            Self::Ambiguous(why) => Some(PartDecision::doubtful(String::new(), why)),
            _ => None,
        }
    }

    /// A label for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Direction => "direction",
            Self::Header => "header",
            Self::Nothing => "nothing",
            Self::Small => "small",
            Self::Rules | Self::NotAsked => "rules",
            Self::KeptBefore => "kept-before",
            Self::Dkim2 => "dkim2",
            Self::Marked => "marked",
            Self::Forwarded => "forwarded",
            Self::Wish => "wish",
            Self::DryRun => "dry-run",
            Self::Ambiguous(why) => why.label(),
            Self::MalformedBody => "malformed-body",
            Self::TooManyDetached => "too-many-detached",
            Self::ForeignMarks => "foreign-marks",
            Self::NoPlace => "no-place",
            Self::ShownLater => "shown-later",
            Self::Reread => "reread",
            Self::Blocked => "blocked",
            Self::Infected => Finding::Infected.label(),
            Self::Oversize => Finding::Oversize.label(),
            Self::Suspended => "suspended",
            Self::SenderQuota => Allotment::Sender.label(),
            Self::IncomingQuota => Allotment::Incoming.label(),
            Self::Lookup => "lookup",
        }
    }

    /// Returns true if an admin should hear of it: something was heavy or odd, and was left alone.
    pub fn is_odd(self) -> bool {
        !matches!(
            self,
            Self::Direction
                | Self::Header
                | Self::Nothing
                | Self::Small
                | Self::Rules
                | Self::NotAsked
                | Self::KeptBefore
                | Self::Dkim2
                | Self::Marked
                | Self::Forwarded
                | Self::Wish
                | Self::DryRun
                // The reason was logged when the lookup failed, or once for the day.
                | Self::Lookup
                | Self::SenderQuota
                | Self::IncomingQuota
        )
    }
}

impl Rewritten {
    /// Returns the next piece of the new body, `None` at its end. Pieces are at most 65,535 bytes
    /// long; small ones are put together, as each is a packet to Postfix.
    ///
    /// # Errors
    /// The spool could not be read back: the message must then be refused for the moment (451).
    pub async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        let Some(first) = self.next_part().await? else {
            return Ok(None);
        };
        if !self.has_room(first.len()) {
            return Ok(Some(first));
        }
        let mut piece = BytesMut::from(first);
        while self.has_room(piece.len())
            && let Some(part) = self.next_part().await?
        {
            piece.extend_from_slice(&part);
        }
        Ok(Some(piece.freeze()))
    }

    /// Returns true if there is a next part that fits after a piece of this length.
    fn has_room(&self, len: usize) -> bool {
        let next = self
            .rest
            .as_ref()
            .or_else(|| self.pieces.as_slice().first());
        next.is_some_and(|next| len as u64 + next.len() <= PIECE_BYTES_MAX)
    }

    /// Returns the next part of the new body, all of it from one piece.
    async fn next_part(&mut self) -> io::Result<Option<Bytes>> {
        let Some(piece) = self.rest.take().or_else(|| self.pieces.next()) else {
            return Ok(None);
        };
        match piece {
            Piece::Keep(range) => {
                let end = range.end.min(range.start + PIECE_BYTES_MAX);
                self.rest = (end < range.end).then_some(Piece::Keep(end..range.end));
                Ok(Some(self.spool.read(range.start..end).await?.into()))
            }
            Piece::Insert(mut bytes) => {
                let piece = bytes.split_to(bytes.len().min(PIECE_BYTES_MAX as usize));
                self.rest = (!bytes.is_empty()).then_some(Piece::Insert(bytes));
                Ok(Some(piece))
            }
        }
    }

    /// Returns the next part, and true if its bytes are the sender's.
    #[cfg(any(test, fuzzing))]
    pub(crate) async fn next_run(&mut self) -> io::Result<Option<(bool, Bytes)>> {
        let rest = self.rest.as_ref();
        let next = rest.or_else(|| self.pieces.as_slice().first());
        let is_senders = matches!(next, Some(Piece::Keep(_)));
        Ok(self.next_part().await?.map(|bytes| (is_senders, bytes)))
    }
}

/// Returns true if a message was signed by DKIM2, and is to be left alone where it goes to another
/// machine: there a body that cannot be recreated fails (draft-ietf-dkim-dkim2-spec-08, section 5.2).
fn spares_dkim2(config: &Config, header: &[Field]) -> bool {
    let is_signature = |field: &Field| field.name.eq_ignore_ascii_case(b"dkim2-signature");
    config.detach.dkim2 == Dkim2::Spare && header.iter().any(is_signature)
}

/// Makes the spools for a configuration's messages.
fn spools(config: &Config) -> Spools {
    let directory = config.spool.directory.as_ref();
    Spools::new(
        directory.unwrap_or(&config.drop.directory),
        config.spool.memory,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn small_pieces_go_out_together_and_none_is_too_large() {
        let mut spool = Spools::new(std::path::Path::new("/nonexistent"), usize::MAX).spool();
        let kept = [b'k'; 70_000];
        spool.push(&kept);
        let insert = |len: usize| Piece::Insert(Bytes::from(vec![b'i'; len]));
        let pieces = vec![
            insert(10),
            Piece::Keep(0..20),
            insert(0),
            insert(65_505),
            Piece::Keep(0..70_000),
            insert(3),
        ];
        let mut rewritten = Rewritten {
            header_edits: Vec::new(),
            detached: 1,
            detached_bytes: 1,
            link: String::new(),
            is_copy: false,
            foreign_marks: 0,
            eol: Eol::CrLf,
            spool,
            pieces: pieces.into_iter(),
            rest: None,
        };
        let mut lens = Vec::new();
        while let Some(piece) = rewritten.next_piece().await.unwrap() {
            lens.push(piece.len());
        }
        assert_eq!(lens, [65_535, 65_535, 70_000 - 65_535 + 3]);
    }
}

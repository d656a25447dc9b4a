//! One message through all the stages: scanner, rules, drop, rewriter.
//!
//! Used by the milter's session and by `depollueur rewrite`. It does not know the milter protocol,
//! and it never decides what a failure means for the mail: it reports it (see [`Verdict`]).
//!
//! * `domain` – the domain whose settings apply to a message
//! * `leaf` – the part whose body is coming in
//! * `parts` – the parts of the message as they lie in the spool
//! * `words` – the texts that are the words of the message, whatever their names
//! * `message` – a message on its way: it joins `reading`, `shipping` and `accounting`
//! * `top_header` – the facts of its own header that its end needs
//! * `reading` – the scanner's events, part by part
//! * `later` – the candidates that are decided on at its end
//! * `fates` – the policy's decisions on its parts
//! * `shipping` – its files on their way to the drop
//! * `accounting` – the decisions on its parts
//! * `choices` – messages that somebody's choice kept are remembered, and kept when they come again
//! * `copies` – copies of one message share one package
//! * `mark` – the field that says that the message was changed
//! * `finish` – the end of a message: the notice, the splices, the commit
//! * `reread` – a last check of the new body
//! * `forwarded` – the weight of a forwarded message
//! * `container` – the files of a container, counted while it comes
//! * `outcome` – the outcomes for a message and its parts
//! * `rewritten` – a rewritten message, in pieces that a milter can send
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
//! | an open draft, and one that is being ended | 2 × 400 KiB |
//! | in place of an open draft, the start of a file that tells its name | 32 KiB |
//! | a chunk from Postfix, its decoded bytes, a piece on its way back | 4 × 64 KiB |
//! | references to embedded files, and the end of an HTML body | 4,096 × 16 bytes, 64 KiB |
//! | text parts | 16 × 200 bytes |
//! | open boundaries | 300 bytes × `limits.depth_max` |
//! | in a forwarded message, four header blocks more | 4 × `limits.header_bytes_max` |
//! | header block being read: its bytes, then its fields apart | 32 × `limits.header_bytes_max` |
//! | parts | 64 bytes × `limits.parts_max` |
//! | in a container, names, and what a chunk holds | 768 KiB |
//! | candidates for the end, with a name and a type of 255 bytes each | 1,152 bytes × `limits.parts_max` |
//! | detached files, and the manifest of them | 2 KiB × [`DETACHED_MAX`], if not candidates |
//! | at its end, texts that take the notice, one at a time | 16 × `limits.text_bytes_max` |
//! | in place of that, the start of one, to tell its language | 32 KiB raw, 256 KiB in all |
//! | its `Message-ID` | 1 KiB |
//! | with `notice.templates`, one of them while it is rendered | 1 MiB, and not in the sum |
//!
//! In sum, with what is constant rounded up:
//!
//! ```text
//! 1.5 MiB + 32 × limits.header_bytes_max + 1216 bytes × limits.parts_max
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

mod accounting;
mod choices;
mod container;
mod copies;
mod domain;
mod fates;
mod finish;
mod forwarded;
#[cfg(test)]
mod lab;
mod language;
mod later;
mod leaf;
#[cfg(test)]
mod many;
mod mark;
mod message;
#[cfg(test)]
mod opened;
mod origin;
mod outcome;
mod parts;
mod reading;
mod reread;
mod rewritten;
#[cfg(test)]
mod scanned;
mod shipping;
mod strangers;
mod top_header;
mod vouch;
mod words;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use mailsplice::{
    mime::{Ambiguity, Field, Head, MediaType, Scanner, head},
    rewrite::Eol,
};

use crate::{
    config::{AddressLists, Config, Dkim2, RunMode},
    decisions::{Basis, Decisions},
    drop::FileDrop,
    envelope::{DETACHED_MAX, Direction, Envelope, HeaderEdit, Known},
    loaded::Loaded,
    lookup::Lookup,
    policy::{self, HeaderFacts, Outlook, Plan, Source, Wish, Wishes},
    rules,
    spool::Spools,
    store::Stores,
};

pub use copies::Copies;
pub use message::Message;
pub use outcome::{FilterError, PartDecision, Reason, Start, Trial, Verdict};
pub use rewritten::Rewritten;

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
    choices: Option<FileDrop>,
    copies: Copies,
    /// The contents of the files that the configuration names.
    loaded: Loaded,
    /// True if it was logged that forwarding cannot be found out; cleared as soon as it can be again.
    is_told: Arc<AtomicBool>,
}

impl Filter {
    /// Makes a filter over a store, or several between which the rules choose.
    pub fn new(config: Arc<Config>, stores: Stores) -> Self {
        let live = config.detach.mode == RunMode::Live;
        Self::over(config, live.then_some(stores))
    }

    fn over(config: Arc<Config>, stores: Option<Stores>) -> Self {
        Self {
            spools: spools(&config),
            lookup: Lookup::new(&config, AddressLists::default()),
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

    /// Returns true if an infected file stays in the message, though the others go.
    fn keeps_out(&self) -> bool {
        self.stores.is_some() && self.config.keeps_out()
    }

    /// The base of its links; `None` if it is that of the store's links.
    fn public_url(&self) -> Option<&str> {
        self.is_own.then_some(self.config.web.public_url.as_str())
    }

    /// The outcomes still possible for a message of which only the envelope, or part of it, is known.
    pub fn outlook(&self, envelope: &Envelope, stage: policy::EnvelopeStage) -> Outlook {
        let is_open =
            stage == policy::EnvelopeStage::Mail && envelope.direction == Direction::Incoming;
        match (self.config.domains.is_empty(), is_open) {
            (true, _) => policy::outlook((&self.config, self.lists()), envelope, stage),
            // The recipients, and with them the domain, are not known yet.
            (false, true) => Outlook::Open,
            (false, false) => {
                policy::outlook((&self.of(envelope).config, self.lists()), envelope, stage)
            }
        }
    }

    /// Keeps decisions in `decisions`, if that is given.
    pub fn recording(mut self, decisions: Option<Decisions>) -> Self {
        self.decisions = decisions;
        self
    }

    /// Remembers in `drop` the messages that somebody's choice kept.
    pub fn remembering(mut self, drop: FileDrop) -> Self {
        self.choices = Some(drop);
        self
    }

    /// Uses what the files hold that its configuration names.
    pub fn with_files(mut self, loaded: Loaded) -> Self {
        self.lookup = Lookup::new(&self.config, loaded.addresses().clone());
        self.loaded = loaded;
        self
    }

    fn lists(&self) -> &AddressLists {
        self.loaded.addresses()
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

    /// The configuration of this filter and the lists of its files, shared.
    pub fn basis(&self) -> Basis {
        (Arc::clone(&self.config), self.lists().clone())
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
        let Wishes { wish, .. } = Wishes::read((config, self.lists()), &mut asked, header);
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
        let Wishes { wish, edits } = Wishes::read((config, filter.lists()), &mut envelope, header);
        if envelope.known.has_failed() {
            return match edits.is_empty() {
                true => Start::Pass(Reason::Lookup),
                false => Start::Edit(edits, Reason::Lookup),
            };
        }

        let facts = HeaderFacts::read(header);
        let plan = match Plan::new((config, filter.lists()), &envelope, &facts, wish) {
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
                message.set_edits(edits);
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

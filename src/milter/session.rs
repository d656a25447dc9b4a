//! One connection of Postfix: the messages of one SMTP session, one after the other.
//!
//! The methods follow the protocol's stages and return the fate of the mail; only [`Session::finish`]
//! talks back to Postfix. The whole state of a message lives in its [`Stage`], so that the next one
//! starts from nothing.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::{interval_at, sleep, timeout};
use tracing::{debug, info, warn};

use super::{
    Shared,
    envelope::{self, Client, Route},
    header::{Header, short},
    outline::{Outline, direction_name, explain},
    turn::Turn,
    verdict::{failure, rejection},
};
use crate::{
    admin::metrics::{InProgress, Outcome, Phase},
    budget::Share,
    config::OnFailure,
    decisions::{Decision, RECIPIENTS_MAX, Who},
    drop::{Link, RecordId},
    filter::{Envelope, Filter, HeaderEdit, Message, Rewritten, Start, Trial, Verdict},
    mime::Field,
    policy::{self, Edits, Outlook, Refusal},
    rewrite::Eol,
};

/// The reason why a message passed or failed, for the log and the metrics.
type Reason = &'static str;

/// The reason when readers elsewhere could not open the links, or the network could read the files.
const LOCAL_LINKS: Reason = "local-links";

/// The interval at which Postfix hears that we are alive while the end of a message takes long. It
/// waits 300 s by default, some SMTP clients a minute.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The terms agreed upon when the connection was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agreement {
    /// True if nothing is replied before the envelope is complete.
    pub(super) noreply_envelope: bool,
    /// True if header fields get no reply.
    pub(super) noreply_header: bool,
    /// True if body chunks get no reply.
    pub(super) noreply_body: bool,
    /// True if the rest of a body can be declined.
    pub(super) skip: bool,
    /// True if header values come and go with their leading space.
    pub(super) leading_space: bool,
    /// True if the mail can be changed in every way that we need.
    pub(super) editable: bool,
    /// True if recipients can be removed.
    pub(super) recipients: bool,
}

/// A connection of Postfix.
#[derive(Debug)]
pub(super) struct Session {
    shared: Arc<Shared>,
    /// The filter through which the message at hand goes, from its beginning to its end.
    filter: Filter,
    agreement: Agreement,
    client: Option<IpAddr>,
    daemon: Option<String>,
    stage: Stage,
    /// The share of all sessions' budget that the message at hand holds.
    held: Share,
    /// The reply that the client gets after [`Answer::Refuse`].
    refusal: Option<Reply>,
    _open: InProgress,
}

/// The stage that the message has reached.
#[derive(Debug)]
enum Stage {
    /// There is no message, or nothing more need be known of it.
    Idle,
    /// Nothing of it need be seen for this reason. Where the envelope gets no reply, Postfix is told when it
    /// is complete and has a queue id.
    Declined(Box<Envelope>, Reason),
    /// Its envelope and its header come in.
    Header(Box<Header>),
    /// Its body comes in.
    Body(Box<Work>),
    /// Its body is not needed, but at its end there is something to change.
    Edit(Outline, Reason, Edits),
    /// We failed; the fate of the message is decided at its end.
    Failed(Outline, Reason, Edits),
}

/// A message whose body is scanned.
#[derive(Debug)]
struct Work {
    message: Box<Message>,
    outline: Outline,
    /// The time for which it may still be held up by our machinery.
    patience: Duration,
    /// The time for which it was worked on.
    worked: Duration,
    _turn: Turn,
    _in_work: InProgress,
}

/// The reply to the client of a message that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// True to refuse for good (550), false for the moment (451).
    pub(super) for_good: bool,
    pub(super) text: String,
}

/// The answer to Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Go on.
    Continue,
    /// Nothing: no reply was agreed upon.
    Silence,
    /// The rest of the body is not needed.
    Skip,
    /// The message goes out as it is.
    Accept,
    /// The sender is asked to try again.
    Tempfail,
    /// A rule refuses the message, see [`Session::refusal`].
    Refuse,
}

/// The replies at the end of a message, as far as they can be given.
pub(super) trait Replies {
    /// Tells Postfix that we are alive.
    fn progress(&self) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Changes the only field of this name, or removes it.
    fn change(
        &self,
        name: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Changes or removes one of several fields of this name, counted from 1.
    fn change_one(
        &self,
        name: &str,
        index: u32,
        value: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Removes a recipient.
    fn remove_recipient(&self, address: &str) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Adds a field below all others.
    fn append(&self, name: &str, value: &str) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Sends the next piece of the new body.
    fn body(&self, piece: &[u8]) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// Postfix has closed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("postfix has closed the connection")]
pub(super) struct Gone;

impl Session {
    pub(super) fn new(shared: Arc<Shared>, agreement: Agreement) -> Self {
        let open = shared.metrics.session();
        let filter = shared.filter.borrow().clone();
        let held = shared.budget.share();
        Self {
            shared,
            held,
            filter,
            agreement,
            client: None,
            daemon: None,
            stage: Stage::Idle,
            refusal: None,
            _open: open,
        }
    }

    /// Notes the client that connects. `{daemon_name}` is right at this stage only: later stages are
    /// answered by cleanup, which knows the global value.
    pub(super) fn connect(&mut self, client: Option<IpAddr>, daemon: Option<String>) -> Answer {
        self.client = client;
        self.daemon = daemon;
        self.withheld(Answer::Continue)
    }

    /// Begins a message. `parameters` are those of `MAIL FROM`.
    pub(super) fn mail<'a>(
        &mut self,
        sender: &[u8],
        parameters: impl Iterator<Item = &'a [u8]>,
        login: Option<String>,
    ) -> Answer {
        let answer = self.begin(sender, parameters, login);
        self.withheld(answer)
    }

    fn begin<'a>(
        &mut self,
        sender: &[u8],
        parameters: impl Iterator<Item = &'a [u8]>,
        login: Option<String>,
    ) -> Answer {
        self.forget();
        self.filter = self.shared.filter.borrow().clone();
        let config = self.filter.config();

        let client = Client {
            address: self.client,
            daemon: self.daemon.as_deref(),
            authenticated: login.is_some(),
        };

        let direction = client.direction(&config.milter);

        let envelope = Envelope {
            queue_id: String::new(),
            sender: envelope::address(sender),
            recipients: Vec::new(),
            direction,
            login,
            client: self.client,
            daemon: self.daemon.clone(),
            size: envelope::declared_size(parameters),
            known: self.filter.known(),
            leaves: false,
            lists: Vec::new(),
            kept_before: false,
        };

        // Nothing is refused here: local mail knows no answer to this.
        let declined = if !self.agreement.editable {
            Some("not-editable")
        } else if !policy::is_among(config.detach.directions, direction) {
            Some("direction")
        } else if let Outlook::Never(reason) = self.filter.outlook(&envelope, policy::Stage::Mail) {
            Some(reason)
        } else {
            None
        };

        self.stage = match declined {
            Some(reason) => Stage::Declined(Box::new(envelope), reason),
            None => Stage::Header(Box::new(Header::new(envelope))),
        };
        Answer::Continue
    }

    /// Notes a recipient, whose mail goes by `route`. A message with more recipients than can be
    /// noted is left alone: the rules would not know all of them.
    pub(super) fn rcpt(&mut self, recipient: &[u8], route: Route) -> Answer {
        match &mut self.stage {
            Stage::Header(header) => {
                if let Err(reason) = header.add_recipient(recipient, route, &mut self.held) {
                    let envelope = std::mem::take(&mut header.envelope);
                    self.forget();
                    warn!(reason, "left alone");
                    self.stage = Stage::Declined(Box::new(first(envelope)), reason);
                }
            }
            Stage::Declined(envelope, _) if envelope.recipients.len() < RECIPIENTS_MAX => {
                envelope.recipients.push(envelope::address(recipient));
            }
            _ => {}
        }
        self.withheld(Answer::Continue)
    }

    /// Returns the answer as it may be given before the envelope is complete.
    fn withheld(&mut self, answer: Answer) -> Answer {
        if self.agreement.noreply_envelope {
            return Answer::Silence;
        }
        // Over TCP each reply is a wait: the message is not asked for its queue id, and its decision is
        // found by its sender.
        match self.stage {
            Stage::Declined(..) => self.decline(String::new()),
            _ => answer,
        }
    }

    /// Ends the envelope: decides whether the message can pass, or is refused, without being seen.
    pub(super) fn data(&mut self, queue_id: Option<String>) -> Answer {
        let queue_id = short(queue_id.unwrap_or_default());
        let envelope = match &mut self.stage {
            Stage::Header(header) => &mut header.envelope,
            Stage::Declined(..) => return self.decline(queue_id),
            _ => return Answer::Continue,
        };
        envelope.queue_id = queue_id;

        match self.filter.outlook(envelope, policy::Stage::Data) {
            Outlook::Open => Answer::Continue,
            Outlook::Never(reason) => {
                let outline = Outline::new(envelope, &[], &self.filter);
                self.forget();
                self.pass(&outline, reason)
            }
            Outlook::Refused(refusal) => {
                let outline = Outline::new(envelope, &[], &self.filter);
                self.forget();
                self.refuse(&outline, refusal)
            }
        }
    }

    /// The reply that the client of a refused message gets.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        self.refusal.as_ref()
    }

    /// Takes a header field.
    pub(super) fn header(&mut self, name: Vec<u8>, mut value: Vec<u8>) -> Answer {
        if !self.agreement.leading_space {
            value.insert(0, b' ');
        }
        if let Stage::Header(header) = &mut self.stage {
            header.add_field(Field { name, value }, &mut self.held);
        }
        if self.agreement.noreply_header {
            Answer::Silence
        } else {
            Answer::Continue
        }
    }

    /// Ends the header: decides whether the body is wanted, and waits for a turn to work on it.
    pub(super) async fn end_of_header(&mut self, queue_id: String) -> Answer {
        if let Stage::Declined(..) = self.stage {
            return self.decline(short(queue_id));
        }
        let Stage::Header(mut header) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return Answer::Accept;
        };
        header.envelope.queue_id = short(queue_id);
        let mut outline = Outline::new(&header.envelope, &header.fields, &self.filter);
        outline.withheld = header.envelope.leaves && self.filter.has_local_links();

        if let Some(reason) = header.left_alone {
            warn!(queue_id = outline.queue_id, reason, "left alone");
            return self.pass(&outline, reason);
        }

        let began = outline.since;
        let envelope = std::mem::take(&mut header.envelope);
        let login = envelope.login.clone();
        let withheld = outline.withheld.then(|| self.filter.withheld());
        let filter = withheld.as_ref().unwrap_or(&self.filter);
        let start = filter.take(envelope, &header.fields, Eol::CrLf).await;

        match &start {
            Start::Pass(_) | Start::Refuse(_) => self.held.clear(),
            Start::Edit(..) => header.keep(true, &mut self.held),
            Start::Scan(message) => header.keep(!message.edits().is_empty(), &mut self.held),
        }

        if let Start::Pass(reason) | Start::Edit(_, reason) = &start {
            outline.tell_parts(reason.in_header().as_slice());
        }

        let answer = match start {
            Start::Pass(reason) => self.pass(&outline, reason.label()),
            Start::Edit(edits, reason) => {
                self.stage = Stage::Edit(outline, reason.label(), edits);
                Answer::Continue
            }
            Start::Refuse(refusal) => self.refuse(&outline, refusal),
            Start::Scan(message) => self.take_turn(message, outline, login.as_deref()).await,
        };

        self.shared.metrics.phase(Phase::Header, began.elapsed());
        answer
    }

    /// Takes a chunk of the body.
    pub(super) async fn body(&mut self, chunk: &[u8]) -> Answer {
        self.push(chunk).await;
        let settled = match &self.stage {
            Stage::Body(work) => work.message.is_settled(),
            _ => true,
        };
        match self.agreement {
            Agreement {
                noreply_body: true, ..
            } => Answer::Silence,
            Agreement { skip: true, .. } if settled => Answer::Skip,
            _ => Answer::Continue,
        }
    }

    /// Ends the message: the drop commits, then Postfix gets the change.
    pub(super) async fn finish(&mut self, replies: &impl Replies) -> Answer {
        let answer = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Idle | Stage::Declined(..) | Stage::Header(_) => Answer::Accept,
            Stage::Edit(outline, reason, edits) => {
                match self.edit(&edits, &outline, replies).await {
                    Ok(()) => self.pass(&outline, reason),
                    Err(Gone) => self.give_up(&outline),
                }
            }
            Stage::Failed(outline, reason, edits) => {
                match self.edit(&edits, &outline, replies).await {
                    Ok(()) => self.fail(&outline, reason),
                    Err(Gone) => self.give_up(&outline),
                }
            }
            Stage::Body(work) => self.conclude(*work, replies).await,
        };
        self.held.clear();
        answer
    }

    /// Forgets the message; may come at any time, also when there is none.
    pub(super) fn abort(&mut self) {
        if let Stage::Body(work) = &self.stage {
            debug!(queue_id = work.outline.queue_id, "message was aborted");
        }
        self.forget();
    }

    /// Lets go of everything that is held for the message.
    fn forget(&mut self) {
        self.stage = Stage::Idle;
        self.held.clear();
    }

    /// Passes a message of which nothing need be seen.
    fn decline(&mut self, queue_id: String) -> Answer {
        if let Stage::Declined(mut envelope, reason) =
            std::mem::replace(&mut self.stage, Stage::Idle)
        {
            envelope.queue_id = queue_id;
            let outline = Outline::new(&envelope, &[], &self.filter);
            self.pass(&outline, reason);
        }
        Answer::Accept
    }

    /// Keeps a decision, for those who ask for its reason.
    fn keep(&self, outline: &Outline, outcome: &str, reason: &str, rule: Option<&str>) {
        self.keep_with(outline, (outcome, reason), rule, None);
    }

    fn keep_with(
        &self,
        outline: &Outline,
        (outcome, reason): (&str, &str),
        rule: Option<&str>,
        package: Option<RecordId>,
    ) {
        if let Some(decisions) = self.filter.decisions()
            && let Some(who) = &outline.who
        {
            let decision = Decision {
                time: Timestamp::now(),
                who: Who::clone(who),
                outcome: outcome.to_owned(),
                reason: reason.to_owned(),
                rule: rule.map(str::to_owned),
                package,
                parts: outline.parts.clone(),
            };
            decisions.keep(decision, Some(self.filter.shared_config()));
        }
    }

    async fn take_turn(
        &mut self,
        message: Box<Message>,
        outline: Outline,
        login: Option<&str>,
    ) -> Answer {
        let patience = self.filter.config().milter.deadline;
        let asked = Instant::now();
        let turn = timeout(patience, self.shared.turns.take(login)).await;
        let Ok(turn) = turn else {
            let edits = message.edits().clone();
            self.stage = Stage::Failed(outline, "no-turn", edits);
            return Answer::Continue;
        };
        self.stage = Stage::Body(Box::new(Work {
            message,
            outline,
            patience: patience.saturating_sub(asked.elapsed()),
            worked: Duration::ZERO,
            _turn: turn,
            _in_work: self.shared.metrics.message_in_work(),
        }));
        Answer::Continue
    }

    /// Passes a chunk on to the message. Without replies Postfix has sent the whole body long before
    /// we are through with it, and already waits for the end: the time that our machinery holds up is
    /// bounded over the whole body.
    async fn push(&mut self, chunk: &[u8]) {
        let Stage::Body(work) = &mut self.stage else {
            return;
        };
        if work.message.is_settled() {
            return;
        }
        let began = Instant::now();
        let pushed = timeout(work.patience, work.message.push(chunk)).await;
        let took = began.elapsed();
        work.patience = work.patience.saturating_sub(took);
        work.worked += took;
        if pushed.is_err()
            && let Stage::Body(work) = std::mem::replace(&mut self.stage, Stage::Idle)
        {
            let edits = work.message.edits().clone();
            self.stage = Stage::Failed(work.outline, "deadline", edits);
        }
    }

    async fn conclude(&mut self, work: Work, replies: &impl Replies) -> Answer {
        let Work {
            mut message,
            mut outline,
            patience,
            _turn,
            _in_work,
            worked,
            ..
        } = work;
        self.shared.metrics.phase(Phase::Body, worked);
        let began = Instant::now();
        let verdict = self.verdict(&mut message, patience, replies).await;
        self.shared.metrics.phase(Phase::Commit, began.elapsed());

        explain(&message, &outline);
        outline.tell(&message);
        for kind in message.refused() {
            self.shared.metrics.deposit_error(kind);
        }

        let edited = match verdict {
            Ok(verdict) => self
                .edit(message.edits(), &outline, replies)
                .await
                .map(|()| verdict),
            Err(Gone) => Err(Gone),
        };

        let verdict = match edited {
            Ok(Some(verdict)) => verdict,
            Ok(None) => return self.fail(&outline, "deadline"),
            Err(Gone) => return self.give_up(&outline),
        };

        if outline.trial.parts > 0 && !outline.withheld {
            self.shared
                .metrics
                .would_detach(outline.trial.parts, outline.trial.bytes);
        }

        match verdict {
            Verdict::Pass(_) if outline.withheld && outline.trial.parts > 0 => {
                self.warn_of_local_links(&outline);
                self.pass(&outline, LOCAL_LINKS)
            }
            Verdict::Pass(reason) => {
                if let Some(text) = rejection(reason, self.filter.config()) {
                    return self.reject(&outline, reason.label(), text);
                }
                if reason.is_odd() {
                    warn!(
                        queue_id = outline.queue_id,
                        reason = reason.label(),
                        "left alone"
                    );
                }
                self.pass(&outline, reason.label())
            }
            Verdict::Rewrite(rewritten) => {
                let began = Instant::now();
                let answer = self.send(rewritten, &outline, replies).await;
                self.shared.metrics.phase(Phase::Reply, began.elapsed());
                answer
            }
            Verdict::Fail(error) => {
                warn!(queue_id = outline.queue_id, "could not detach: {error}");
                self.shared.metrics.deposit_error(error.kind());
                let (reason, on_failure) = failure(&error, self.filter.config());
                self.fail_by(&outline, reason, on_failure)
            }
        }
    }

    /// Ends the message within the rest of the deadline (`None` past it). Postfix is told that we are
    /// alive; when it is not, dropping the future leaves nothing behind.
    async fn verdict(
        &self,
        message: &mut Message,
        patience: Duration,
        replies: &impl Replies,
    ) -> Result<Option<Verdict>, Gone> {
        let mut end = std::pin::pin!(message.end());
        let mut deadline = std::pin::pin!(sleep(patience));
        let mut tick = interval_at(
            tokio::time::Instant::now() + PROGRESS_INTERVAL,
            PROGRESS_INTERVAL,
        );
        loop {
            tokio::select! {
                biased;
                verdict = &mut end => return Ok(Some(verdict)),
                () = &mut deadline => return Ok(None),
                _ = tick.tick() => replies.progress().await?,
            }
        }
    }

    /// Sends header edits, then the body in one run: Postfix drops or truncates a body when
    /// anything comes between two pieces of it, so nothing but pieces may be sent in here.
    ///
    /// `milter.deadline` is not for this: a message for which the drop took nearly all of it would
    /// hardly ever get through. Postfix has `milter.timeout` to take the replies, see `guard`.
    async fn send(
        &self,
        mut rewritten: Rewritten,
        outline: &Outline,
        replies: &impl Replies,
    ) -> Answer {
        let sent = async {
            self.edit_header(&rewritten, replies).await?;
            let mut piece = self.first_piece(&mut rewritten).await?;
            while let Some(bytes) = piece {
                replies.body(&bytes).await?;
                piece = rewritten.next_piece().await?;
            }
            Ok(())
        };

        match sent.await {
            Ok(()) => self.sent(&rewritten, outline),
            Err(SendError::Gone(Gone)) => self.give_up(outline),
            Err(SendError::Spool(error)) => {
                warn!(
                    queue_id = outline.queue_id,
                    "could not read the spool: {error}"
                );
                self.log_failure(outline, "spool", Answer::Tempfail)
            }
        }
    }

    /// Returns the first piece of the body. A body without bytes is replaced by an empty one.
    async fn first_piece(&self, rewritten: &mut Rewritten) -> Result<Option<Bytes>, SendError> {
        Ok(Some(rewritten.next_piece().await?.unwrap_or_default()))
    }

    async fn edit_header(
        &self,
        rewritten: &Rewritten,
        replies: &impl Replies,
    ) -> Result<(), SendError> {
        for edit in &rewritten.header_edits {
            self.edit_field(edit, replies).await?;
        }
        Ok(())
    }

    async fn edit_field(&self, edit: &HeaderEdit, replies: &impl Replies) -> Result<(), Gone> {
        use HeaderEdit::{Append, Change, Remove, Replace};
        match edit {
            Replace { name, value } => replies.change(name, Some(self.outgoing_value(value))).await,
            Remove { name } => replies.change(name, None).await,
            Append { name, value } => replies.append(name, self.outgoing_value(value)).await,
            Change { name, index, value } => {
                let bare = |value: &Vec<u8>| match value.strip_prefix(b" ") {
                    Some(bare) if !self.agreement.leading_space => bare.to_vec(),
                    _ => value.clone(),
                };
                let value = value.as_ref().map(bare);
                replies.change_one(name, *index, value.as_deref()).await
            }
        }
    }

    /// Takes the wish of its sender out of the message: fields, tags and recipients.
    async fn edit(
        &self,
        edits: &Edits,
        outline: &Outline,
        replies: &impl Replies,
    ) -> Result<(), Gone> {
        for edit in &edits.header {
            self.edit_field(edit, replies).await?;
        }
        if !self.agreement.recipients && !edits.recipients.is_empty() {
            warn!(
                queue_id = outline.queue_id,
                "the mail server does not let recipients be removed"
            );
            return Ok(());
        }
        for recipient in &edits.recipients {
            replies.remove_recipient(recipient).await?;
        }
        Ok(())
    }

    /// Returns a value as it is sent: Postfix adds the space itself when it eats it on the way in.
    fn outgoing_value<'a>(&self, value: &'a str) -> &'a str {
        let bare = value.strip_prefix(' ').unwrap_or(value);
        if self.agreement.leading_space {
            value
        } else {
            bare
        }
    }

    fn sent(&self, rewritten: &Rewritten, outline: &Outline) -> Answer {
        info!(
            queue_id = outline.queue_id,
            outcome = "rewritten",
            direction = direction_name(outline.direction),
            parts = rewritten.detached,
            bytes = rewritten.detached_bytes,
            shared = rewritten.is_copy.then_some(true),
            foreign_marks = (rewritten.foreign_marks > 0).then_some(rewritten.foreign_marks),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message rewritten",
        );

        let package = Link::read(&rewritten.link).map(|link| RecordId::from(&link.token));
        self.keep_with(outline, ("rewritten", "detached"), None, package);

        self.shared.metrics.message(Outcome::Rewritten, "detached");
        self.shared
            .metrics
            .detached(rewritten.detached, rewritten.detached_bytes);
        if rewritten.is_copy {
            self.shared.metrics.shared_package();
        }
        self.shared.metrics.foreign_marks(rewritten.foreign_marks);
        Answer::Accept
    }

    fn pass(&self, outline: &Outline, reason: Reason) -> Answer {
        info!(
            queue_id = outline.queue_id,
            outcome = "passed",
            reason,
            direction = direction_name(outline.direction),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message passed",
        );
        if outline.trial.parts > 0 && !outline.withheld {
            let Trial { parts, bytes } = outline.trial;
            let queue_id = &outline.queue_id;
            info!(queue_id, parts, bytes, "would have been detached: dry-run");
        }
        self.keep(outline, "passed", reason, None);
        self.shared.metrics.message(Outcome::Passed, reason);
        Answer::Accept
    }

    /// Warns that nothing is detached from mail that leaves this machine, and says what to type.
    fn warn_of_local_links(&self, outline: &Outline) {
        let url = &self.filter.config().web.public_url;
        warn!(
            queue_id = outline.queue_id,
            reason = LOCAL_LINKS,
            parts = outline.trial.parts,
            "left alone: its recipients are on other machines, and web.public_url = \"{url}\" is not https or is this machine: \
             set it to the address of the drop (https://drop.example.org/) and type systemctl restart depollueur"
        );
    }

    fn refuse(&mut self, outline: &Outline, refusal: Refusal) -> Answer {
        let rule = policy::Source::Rule(refusal.rule).label(self.filter.config());
        info!(
            queue_id = outline.queue_id,
            outcome = "refused",
            reason = if refusal.for_good {
                "reject"
            } else {
                "tempfail"
            },
            rule,
            direction = direction_name(outline.direction),
            "message refused",
        );
        self.keep(outline, "refused", "rules", Some(rule));
        self.shared.metrics.message(Outcome::Refused, "rules");
        let Refusal { for_good, text, .. } = refusal;
        self.refusal = Some(Reply { for_good, text });
        Answer::Refuse
    }

    /// Refuses a message with a file because of which it is not to go out.
    fn reject(&mut self, outline: &Outline, reason: Reason, text: &str) -> Answer {
        info!(
            queue_id = outline.queue_id,
            outcome = "refused",
            reason,
            direction = direction_name(outline.direction),
            milliseconds = outline.milliseconds(),
            decisions = outline.decisions,
            "message refused",
        );
        self.keep(outline, "refused", reason, None);
        self.shared.metrics.message(Outcome::Refused, reason);
        self.refusal = Some(Reply {
            for_good: true,
            text: text.to_owned(),
        });
        Answer::Refuse
    }

    fn fail(&self, outline: &Outline, reason: Reason) -> Answer {
        self.fail_by(outline, reason, self.filter.config().detach.on_failure)
    }

    /// Turns a failure of ours into an answer about the mail: the one place that does.
    fn fail_by(&self, outline: &Outline, reason: Reason, on_failure: OnFailure) -> Answer {
        let answer = match on_failure {
            OnFailure::Deliver => Answer::Accept,
            OnFailure::Tempfail => Answer::Tempfail,
        };
        self.log_failure(outline, reason, answer)
    }

    /// Gives up a message. Postfix is not there to be told: it has given the client its own answer.
    fn give_up(&self, outline: &Outline) -> Answer {
        self.log_failure(outline, "postfix-gone", Answer::Tempfail)
    }

    fn log_failure(&self, outline: &Outline, reason: Reason, answer: Answer) -> Answer {
        let outcome = if answer == Answer::Accept {
            "delivered-untouched"
        } else {
            "tempfailed"
        };
        self.keep(outline, outcome, reason, None);
        warn!(
            queue_id = outline.queue_id,
            outcome,
            reason,
            direction = direction_name(outline.direction),
            milliseconds = outline.milliseconds(),
            "message failed",
        );
        self.shared.metrics.message(Outcome::Failed, reason);
        answer
    }
}

/// Returns an envelope with only the first of its recipients.
fn first(mut envelope: Envelope) -> Envelope {
    envelope.recipients.truncate(RECIPIENTS_MAX);
    envelope
}

/// The reason why a change could not be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("{0}")]
    Spool(#[from] std::io::Error),
}

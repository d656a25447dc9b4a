//! One connection of Postfix: the messages of one SMTP session, one after the other.
//!
//! The methods follow the protocol's stages and return the fate of the mail; only [`Session::finish`]
//! talks back to Postfix.
//!
//! * `connection` – what lasts as long as the connection
//! * `transaction` – what lasts as long as one message: the next one starts from a new one
//! * `replies` – what is changed at the end of a message
//! * `report` – the outcome of a message, as it is logged, counted and kept

mod connection;
mod replies;
mod report;
mod transaction;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mailsplice::{mime::Field, rewrite::Eol};
use tokio::time::{interval_at, sleep, timeout};
use tracing::{debug, warn};

use super::{
    Shared,
    envelope::{self, Client, RecipientRoute},
    header::{Header, short},
    outline::{Outline, explain},
    verdict::{failure, rejection},
};
use crate::{
    decisions::RECIPIENTS_MAX,
    envelope::Envelope,
    filter::{Message, Start, Verdict},
    metrics::Phase,
    policy::{self, Outlook},
};

pub(super) use connection::Agreement;
use connection::Connection;
pub(super) use replies::{Gone, Replies};
use report::LOCAL_LINKS;
pub(super) use transaction::Reply;
use transaction::{Stage, Transaction, Work};

/// The target of the log's lines, wherever they are written.
const TARGET: &str = "depollueur::milter::session";

/// The reason why a message passed or failed, for the log and the metrics.
type ReasonLabel = &'static str;

/// The interval at which Postfix hears that we are alive while the end of a message takes long. It
/// waits 300 s by default, some SMTP clients a minute.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// A connection of Postfix, and the message at hand.
#[derive(Debug)]
pub(super) struct Session {
    // Let go of first: the connection counts as open until then.
    transaction: Transaction,
    connection: Connection,
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

impl Session {
    pub(super) fn new(shared: Arc<Shared>, agreement: Agreement) -> Self {
        let connection = Connection::new(shared, agreement);
        Self {
            transaction: Transaction::new(&connection.shared),
            connection,
        }
    }

    /// Notes the client that connects. `{daemon_name}` is right at this stage only: later stages are
    /// answered by cleanup, which knows the global value.
    pub(super) fn connect(&mut self, client: Option<IpAddr>, daemon: Option<String>) -> Answer {
        self.connection.client = client;
        self.connection.daemon = daemon;
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
        self.transaction = Transaction::new(&self.connection.shared);
        let config = self.transaction.filter.config();

        let client = Client {
            address: self.connection.client,
            daemon: self.connection.daemon.as_deref(),
            authenticated: login.is_some(),
        };

        let direction = client.direction(&config.milter);

        let envelope = Envelope {
            queue_id: String::new(),
            sender: envelope::address(sender),
            recipients: Vec::new(),
            direction,
            login,
            client: self.connection.client,
            daemon: self.connection.daemon.clone(),
            size: envelope::declared_size(parameters),
            known: self.transaction.filter.known(),
            leaves: false,
            lists: Vec::new(),
            kept_before: false,
        };

        // Nothing is refused here: local mail knows no answer to this.
        let declined = if !self.connection.agreement.editable {
            Some("not-editable")
        } else if !policy::is_among(config.detach.directions, direction) {
            Some("direction")
        } else if let Outlook::Never(reason) = self
            .transaction
            .filter
            .outlook(&envelope, policy::EnvelopeStage::Mail)
        {
            Some(reason)
        } else {
            None
        };

        self.transaction.stage = match declined {
            Some(reason) => Stage::Declined(Box::new(envelope), reason),
            None => Stage::Header(Box::new(Header::new(envelope))),
        };
        Answer::Continue
    }

    /// Notes a recipient, whose mail goes by `route`. A message with more recipients than can be
    /// noted is left alone: the rules would not know all of them.
    pub(super) fn rcpt(&mut self, recipient: &[u8], route: RecipientRoute) -> Answer {
        match &mut self.transaction.stage {
            Stage::Header(header) => {
                if let Err(reason) =
                    header.add_recipient(recipient, route, &mut self.transaction.held)
                {
                    let envelope = std::mem::take(&mut header.envelope);
                    self.transaction.forget();
                    warn!(reason, "left alone");
                    self.transaction.stage = Stage::Declined(Box::new(first(envelope)), reason);
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
        if self.connection.agreement.noreply_envelope {
            return Answer::Silence;
        }
        // Over TCP each reply is a wait: the message is not asked for its queue id, and its decision is
        // found by its sender.
        match self.transaction.stage {
            Stage::Declined(..) => self.decline(String::new()),
            _ => answer,
        }
    }

    /// Ends the envelope: decides whether the message can pass, or is refused, without being seen.
    pub(super) fn data(&mut self, queue_id: Option<String>) -> Answer {
        let queue_id = short(queue_id.unwrap_or_default());
        let envelope = match &mut self.transaction.stage {
            Stage::Header(header) => &mut header.envelope,
            Stage::Declined(..) => return self.decline(queue_id),
            _ => return Answer::Continue,
        };
        envelope.queue_id = queue_id;

        match self
            .transaction
            .filter
            .outlook(envelope, policy::EnvelopeStage::Data)
        {
            Outlook::Open => Answer::Continue,
            Outlook::Never(reason) => {
                let outline = Outline::new(envelope, &[], &self.transaction.filter);
                self.transaction.forget();
                self.pass(&outline, reason)
            }
            Outlook::Refused(refusal) => {
                let outline = Outline::new(envelope, &[], &self.transaction.filter);
                self.transaction.forget();
                self.refuse(&outline, refusal)
            }
        }
    }

    /// The reply that the client of a refused message gets.
    pub(super) fn refusal(&self) -> Option<&Reply> {
        self.transaction.refusal.as_ref()
    }

    /// Takes a header field.
    pub(super) fn header(&mut self, name: Vec<u8>, mut value: Vec<u8>) -> Answer {
        if !self.connection.agreement.leading_space {
            value.insert(0, b' ');
        }
        if let Stage::Header(header) = &mut self.transaction.stage {
            header.add_field(Field { name, value }, &mut self.transaction.held);
        }
        if self.connection.agreement.noreply_header {
            Answer::Silence
        } else {
            Answer::Continue
        }
    }

    /// Ends the header: decides whether the body is wanted, and waits for a turn to work on it.
    pub(super) async fn end_of_header(&mut self, queue_id: String) -> Answer {
        if let Stage::Declined(..) = self.transaction.stage {
            return self.decline(short(queue_id));
        }
        let Stage::Header(mut header) = self.transaction.take_stage() else {
            return Answer::Accept;
        };
        header.envelope.queue_id = short(queue_id);
        let mut outline = Outline::new(&header.envelope, &header.fields, &self.transaction.filter);
        outline.withheld = header.envelope.leaves && self.transaction.filter.has_local_links();

        if let Some(reason) = header.left_alone {
            warn!(queue_id = outline.queue_id, reason, "left alone");
            return self.pass(&outline, reason);
        }

        let began = outline.since;
        let envelope = std::mem::take(&mut header.envelope);
        let login = envelope.login.clone();
        let withheld = outline.withheld.then(|| self.transaction.filter.withheld());
        let filter = withheld.as_ref().unwrap_or(&self.transaction.filter);
        let start = filter.take(envelope, &header.fields, Eol::CrLf).await;

        match &start {
            Start::Pass(_) | Start::Refuse(_) => self.transaction.held.clear(),
            Start::Edit(..) => header.keep(true, &mut self.transaction.held),
            Start::Scan(message) => {
                header.keep(!message.edits().is_empty(), &mut self.transaction.held)
            }
        }

        if let Start::Pass(reason) | Start::Edit(_, reason) = &start {
            outline.tell_parts(reason.in_header().as_slice());
        }

        let answer = match start {
            Start::Pass(reason) => self.pass(&outline, reason.label()),
            Start::Edit(edits, reason) => {
                self.transaction.stage = Stage::Edit(outline, reason.label(), edits);
                Answer::Continue
            }
            Start::Refuse(refusal) => self.refuse(&outline, refusal),
            Start::Scan(message) => self.take_turn(message, outline, login.as_deref()).await,
        };

        self.connection
            .shared
            .metrics
            .phase(Phase::Header, began.elapsed());
        answer
    }

    /// Takes a chunk of the body.
    pub(super) async fn body(&mut self, chunk: &[u8]) -> Answer {
        self.push(chunk).await;
        let settled = match &self.transaction.stage {
            Stage::Body(work) => work.message.is_settled(),
            _ => true,
        };
        match self.connection.agreement {
            Agreement {
                noreply_body: true, ..
            } => Answer::Silence,
            Agreement { skip: true, .. } if settled => Answer::Skip,
            _ => Answer::Continue,
        }
    }

    /// Ends the message: the drop commits, then Postfix gets the change.
    pub(super) async fn finish(&mut self, replies: &impl Replies) -> Answer {
        let answer = match self.transaction.take_stage() {
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
        self.transaction.held.clear();
        answer
    }

    /// Forgets the message; may come at any time, also when there is none.
    pub(super) fn abort(&mut self) {
        if let Stage::Body(work) = &self.transaction.stage {
            debug!(queue_id = work.outline.queue_id, "message was aborted");
        }
        self.transaction.forget();
    }

    /// Passes a message of which nothing need be seen.
    fn decline(&mut self, queue_id: String) -> Answer {
        if let Stage::Declined(mut envelope, reason) = self.transaction.take_stage() {
            envelope.queue_id = queue_id;
            let outline = Outline::new(&envelope, &[], &self.transaction.filter);
            self.pass(&outline, reason);
        }
        Answer::Accept
    }

    async fn take_turn(
        &mut self,
        message: Box<Message>,
        outline: Outline,
        login: Option<&str>,
    ) -> Answer {
        let patience = self.transaction.filter.config().milter.deadline;
        let asked = Instant::now();
        let turn = timeout(patience, self.connection.shared.turns.take(login)).await;
        let Ok(turn) = turn else {
            let edits = message.edits().clone();
            self.transaction.stage = Stage::Failed(outline, "no-turn", edits);
            return Answer::Continue;
        };
        self.transaction.stage = Stage::Body(Box::new(Work {
            message,
            outline,
            patience: patience.saturating_sub(asked.elapsed()),
            worked: Duration::ZERO,
            _turn: turn,
            _in_work: self.connection.shared.metrics.message_in_work(),
        }));
        Answer::Continue
    }

    /// Passes a chunk on to the message. Without replies Postfix has sent the whole body long before
    /// we are through with it, and already waits for the end: the time that our machinery holds up is
    /// bounded over the whole body.
    async fn push(&mut self, chunk: &[u8]) {
        let Stage::Body(work) = &mut self.transaction.stage else {
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
            && let Stage::Body(work) = self.transaction.take_stage()
        {
            let edits = work.message.edits().clone();
            self.transaction.stage = Stage::Failed(work.outline, "deadline", edits);
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
        self.connection.shared.metrics.phase(Phase::Body, worked);
        let began = Instant::now();
        let verdict = self.verdict(&mut message, patience, replies).await;
        self.connection
            .shared
            .metrics
            .phase(Phase::Commit, began.elapsed());

        explain(&message, &outline);
        outline.tell(&message);
        for kind in message.refused() {
            self.connection.shared.metrics.deposit_error(kind);
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
            self.connection
                .shared
                .metrics
                .would_detach(outline.trial.parts, outline.trial.bytes);
        }

        match verdict {
            Verdict::Pass(_) if outline.withheld && outline.trial.parts > 0 => {
                self.warn_of_local_links(&outline);
                self.pass(&outline, LOCAL_LINKS)
            }
            Verdict::Pass(reason) => {
                if let Some(text) = rejection(reason, self.transaction.filter.config()) {
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
                self.connection
                    .shared
                    .metrics
                    .phase(Phase::Reply, began.elapsed());
                answer
            }
            Verdict::Fail(error) => {
                warn!(queue_id = outline.queue_id, "could not detach: {error}");
                self.connection.shared.metrics.deposit_error(error.kind());
                let (reason, on_failure) = failure(&error, self.transaction.filter.config());
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
}

/// Returns an envelope with only the first of its recipients.
fn first(mut envelope: Envelope) -> Envelope {
    envelope.recipients.truncate(RECIPIENTS_MAX);
    envelope
}

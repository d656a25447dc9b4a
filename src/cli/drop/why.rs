//! `depollueur why`: one answer from the decisions, the drop's records, its audit log, and Postfix's log.

mod answer;

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use self::answer::{HeldPackage, MessageHistory};
use super::{
    EX_NOTHING, ID_DIGITS, ID_DIGITS_MIN, Opened,
    link::{self, FoundLink},
    maillog::{LogLines, MailLog},
    nothing_behind, open_for, package_of, unavailable,
};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_UNAVAILABLE, EX_USAGE, Failure, runtime},
    },
    decisions::{self, Decision, DecisionQuery, Ring, RingError},
    drop::{AuditQuery, Deposit, FileDrop, Query, RecordId},
};

/// The longest queue id of Postfix, with room.
const QUEUE_ID_CHARS_MAX: usize = 40;

/// Packages of one queue id that are looked at.
const PACKAGES_MAX: usize = 20;

/// The most by which the clocks of Postfix's log and of a decision are apart, for one message.
const UNNAMED_WITHIN: SignedDuration = SignedDuration::from_secs(10);

#[derive(Args, Debug)]
pub(in crate::cli) struct WhyOptions {
    /// A queue id of Postfix, a Message-ID or a link; - reads it from standard input
    #[arg(value_name = "QUEUE-ID | MESSAGE-ID | LINK")]
    what: String,
    /// Postfix's log, where it is neither /var/log/mail.log nor in the journal
    #[arg(long, value_name = "FILE")]
    mail_log: Option<PathBuf>,
    /// Writes JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// The subject of the question.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    QueueId(String),
    MessageId(String),
    Package,
}

/// Reports the fate of a message, with the reason.
pub(in crate::cli) fn run(options: WhyOptions) -> Result<(), Failure> {
    let name = link::given(options.what)?;
    let subject = subject(&name)?;

    // Opened first: Postfix's log is for root to read, and the drop for its owner.
    let log = MailLog::open(options.mail_log.as_ref())?;
    let directory = options.config.clone().load()?.drop.directory;
    let opened = open_for(options.config)?;

    let runtime = runtime()?;
    let evidence = Evidence {
        ring: Ring::new(decisions::file(&directory)),
        lines: log.read(),
        opened,
    };

    let answers = runtime.block_on(evidence.answers(&subject, &name))?;
    if answers.is_empty() {
        return Err(unknown(&subject, &name, &evidence));
    }

    answer::print(&answers, options.json)
}

/// The kind of thing that a name names. A queue id may be pasted as `mailq` shows it, with `*` or `!`.
fn subject(name: &str) -> Result<Subject, Failure> {
    if FoundLink::find(name).is_some() {
        return Ok(Subject::Package);
    }

    let bare = name.trim().trim_end_matches([':', ',', '.', '*', '!']);
    let inner = bare.trim_start_matches("message-id=");
    let inner = inner.trim_start_matches('<').trim_end_matches('>');
    if inner.contains('@') && !inner.contains(char::is_whitespace) {
        return Ok(Subject::MessageId(format!("<{inner}>")));
    }

    let is_queue_id = (1..=QUEUE_ID_CHARS_MAX).contains(&bare.len())
        && bare.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_queue_id {
        return Ok(Subject::QueueId(bare.to_owned()));
    }

    let lack = link::lack(name);
    let message = lack.unwrap_or_else(|| {
        "not a queue id (4abCDe12…), a Message-ID (<…@…>) or a link (https://…)".to_owned()
    });
    Err(Failure::new(EX_USAGE, message))
}

struct Evidence {
    ring: Ring,
    lines: LogLines,
    opened: Opened,
}

impl Evidence {
    fn drop(&self) -> &FileDrop {
        &self.opened.drop
    }

    /// Returns one answer for each message that the name may mean: queue ids are used again.
    async fn answers(&self, subject: &Subject, name: &str) -> Result<Vec<MessageHistory>, Failure> {
        match subject {
            Subject::Package => {
                self.of_package(name, package_of(self.drop(), name).await?)
                    .await
            }
            Subject::QueueId(queue_id) => {
                let found = self.of_queue_id(queue_id).await?;
                let is_id = queue_id.bytes().all(|b| b.is_ascii_hexdigit())
                    && (ID_DIGITS_MIN..=ID_DIGITS).contains(&queue_id.len());

                if found.iter().any(MessageHistory::is_ours) || !is_id {
                    return Ok(found);
                }

                match package_of(self.drop(), queue_id).await {
                    Ok(id) if self.deposit(id).await?.is_some() => self.of_package(name, id).await,
                    _ => Ok(found),
                }
            }
            Subject::MessageId(message_id) => {
                let decided = self.decided(&DecisionQuery::MessageId(message_id.clone()))?;
                let mut ids: Vec<_> = decided.into_iter().map(|d| d.who.queue_id).collect();
                ids.extend(self.lines.queue_ids(message_id));

                let mut answers = Vec::new();
                let mut seen: Vec<String> = Vec::new();
                for queue_id in ids {
                    if !seen.contains(&queue_id) {
                        answers.extend(self.of_queue_id(&queue_id).await?);
                        seen.push(queue_id);
                    }
                }

                Ok(answers)
            }
        }
    }

    async fn of_package(&self, name: &str, id: RecordId) -> Result<Vec<MessageHistory>, Failure> {
        let Some(deposit) = self.deposit(id).await? else {
            return Err(nothing_behind(name, &self.opened.url));
        };
        let decision = self.decided(&DecisionQuery::Package(id))?.pop();
        let lines = self.about(&deposit.origin.queue_id);
        let names = match FoundLink::find(name).and_then(|link| link.token) {
            Some(token) => self.drop().names(&token).await.map_err(unavailable)?,
            None => None,
        };
        let mut held = self.held(deposit).await?;
        held.names = names.map(|files| files.into_iter().map(|file| file.name).collect());
        Ok(vec![MessageHistory {
            queue_id: held.deposit.origin.queue_id.clone(),
            decision,
            held: vec![held],
            lines,
        }])
    }

    async fn of_queue_id(&self, queue_id: &str) -> Result<Vec<MessageHistory>, Failure> {
        let lines = self.about(queue_id);
        let query = Query {
            queue_id: Some(queue_id.to_owned()),
            limit: Some(PACKAGES_MAX),
            ..Query::default()
        };
        let found = self.drop().list(query, Timestamp::now()).await;
        let mut deposits = found.map_err(unavailable)?;

        let mut answers = Vec::new();
        for decision in self.decided(&DecisionQuery::QueueId(queue_id.to_owned()))? {
            let mut held = Vec::new();
            if let Some(id) = decision.package
                && let Some(at) = deposits.iter().position(|deposit| deposit.id == id)
            {
                held.push(self.held(deposits.remove(at)).await?);
            }
            answers.push(MessageHistory {
                queue_id: queue_id.to_owned(),
                decision: Some(decision),
                held,
                lines: Vec::new(),
            });
        }

        // The drop may still hold packages that the ring has forgotten.
        for deposit in deposits.into_iter().rev() {
            answers.push(MessageHistory {
                queue_id: queue_id.to_owned(),
                decision: None,
                held: vec![self.held(deposit).await?],
                lines: Vec::new(),
            });
        }

        if answers.is_empty() {
            answers.extend(self.unnamed(queue_id, &lines)?);
        }

        match answers.last_mut() {
            Some(last) => last.lines = lines,
            None if lines.is_empty() => {}
            None => answers.push(MessageHistory {
                queue_id: queue_id.to_owned(),
                decision: None,
                held: Vec::new(),
                lines,
            }),
        }
        Ok(answers)
    }

    /// Finds a message that was passed before it had a queue id: the one of its sender at that time.
    fn unnamed(&self, queue_id: &str, lines: &[String]) -> Result<Vec<MessageHistory>, Failure> {
        let Some((sender, time)) = LogLines::sender_of(lines) else {
            return Ok(Vec::new());
        };
        let question = DecisionQuery::Unnamed(sender, time - UNNAMED_WITHIN, time + UNNAMED_WITHIN);
        let answer = |decision| MessageHistory {
            queue_id: queue_id.to_owned(),
            decision: Some(decision),
            held: Vec::new(),
            lines: Vec::new(),
        };
        Ok(self.decided(&question)?.into_iter().map(answer).collect())
    }

    fn about(&self, queue_id: &str) -> Vec<String> {
        let lines = self.lines.about(queue_id).into_iter();
        lines.map(str::to_owned).collect()
    }

    fn decided(&self, question: &DecisionQuery) -> Result<Vec<Decision>, Failure> {
        let failed = |error: RingError| Failure::new(EX_UNAVAILABLE, error);
        self.ring.find(question).map_err(failed)
    }

    async fn deposit(&self, id: RecordId) -> Result<Option<Deposit>, Failure> {
        let shown = self.drop().show(id, Timestamp::now()).await;
        Ok(shown.map_err(unavailable)?.map(|(deposit, _)| deposit))
    }

    async fn held(&self, deposit: Deposit) -> Result<HeldPackage, Failure> {
        let query = AuditQuery {
            package: Some(deposit.id),
            since: None,
        };
        let entries = self.drop().audit(query).await.map_err(unavailable)?;
        Ok(HeldPackage {
            deposit,
            names: None,
            entries,
        })
    }
}

fn unknown(subject: &Subject, name: &str, evidence: &Evidence) -> Failure {
    let message = match subject {
        Subject::Package => return nothing_behind(name, &evidence.opened.url),
        Subject::QueueId(id) => format!("nothing is known of queue id \"{id}\""),
        Subject::MessageId(id) => format!("nothing is known of Message-ID \"{id}\""),
    };
    let message = format!(
        "{message}: it is not among what was decided (kept for audit.decisions), not in the drop, and not in \
         Postfix's log; the queue id is in the Received field of the mail, and --mail-log names another log"
    );
    Failure::new(EX_NOTHING, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_shape() {
        let queue = |id: &str| Subject::QueueId(id.into());
        let message = |id: &str| Subject::MessageId(id.into());
        for (name, wanted) in [
            ("4abCDe12", queue("4abCDe12")),
            ("4abCDe12*", queue("4abCDe12")),
            (" D2CF0994818: ", queue("D2CF0994818")),
            ("<a.b@example.org>", message("<a.b@example.org>")),
            ("a.b@example.org", message("<a.b@example.org>")),
            ("message-id=<a.b@example.org>", message("<a.b@example.org>")),
            (
                "https://drop.example.org/abcdefghijklmnopqrstuvwxya",
                Subject::Package,
            ),
            (
                "<https://drop.example.org/abcdefghijklmnopqrstuvwxya>.",
                Subject::Package,
            ),
        ] {
            assert_eq!(subject(name).unwrap(), wanted, "{name}");
        }
        for name in ["", "two words", "https://drop.example.org/abc", "ä"] {
            assert!(subject(name).is_err(), "{name}");
        }
    }
}

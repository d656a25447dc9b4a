//! Reports of content, handed on to the admin: by mail, or by a command of theirs.
//!
//! A letter is sent by `mailer`; while the mail server cannot take it, it waits and is tried again.
//! A command reads the report on standard input, as a mail message or as JSON. It is not run by a
//! shell, gets nothing of the reader's on its command line, and is stopped when it takes too long.
//! Reports are in the audit log before either happens, so that a failure, or a restart while
//! letters wait, loses nothing.

use std::{
    fmt::{Display, Write as _},
    io,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, error, info, warn};

use crate::{
    config::{MailConfig, ReportFormat, WebConfig},
    http::limit::Queue,
    mailer::Mailer,
    untrusted::Untrusted,
};

/// Longest time that the command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);
/// Number of commands that run at once; further reports wait.
const COMMANDS_MAX: usize = 2;
/// Number of reports that wait or are handed on; further ones are in the audit log alone.
const WAITING_MAX: usize = 64;

/// Number of letters that wait or are sent; further reports are in the audit log alone. About 8 MB.
const LETTERS_MAX: usize = 1000;
/// Number of letters that are sent at once.
const LETTERS_AT_ONCE: usize = 2;
/// Time before a letter is tried again; it doubles with each attempt.
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_mins(15);
/// Time for which a letter is tried: as long as Postfix keeps mail in its queue.
const TRIED_MAX: Duration = Duration::from_hours(5 * 24);
/// Longest time for which the reader waits until a letter is accepted.
const READER_WAITS: Duration = Duration::from_secs(5);

/// A reader's report, with what the admin needs to find the package. It holds a secret if the
/// reader chose to share it: never logged.
#[derive(Clone, Serialize)]
pub(super) struct Complaint {
    /// The record's id.
    pub(super) reference: String,
    pub(super) queue_id: Untrusted,
    pub(super) sender: Untrusted,
    pub(super) deposited: Timestamp,
    pub(super) reported: Timestamp,
    pub(super) reason: &'static str,
    pub(super) text: Untrusted,
    pub(super) contact: Untrusted,
    /// The link, if the reader gives it to the admin.
    pub(super) link: Option<String>,
}

/// The queues of reports. Clones share them, and so do the senders of all sites, before and after a reload.
#[derive(Clone, Debug)]
pub(super) struct ReportQueues {
    letters: Queue,
    /// Permits for the letters that are being sent.
    turns: Arc<Semaphore>,
    commands: Queue,
}

impl ReportQueues {
    pub(super) fn new() -> Self {
        Self {
            letters: Queue::new(LETTERS_MAX, LETTERS_MAX),
            turns: Arc::new(Semaphore::new(LETTERS_AT_ONCE)),
            commands: Queue::new(WAITING_MAX, COMMANDS_MAX),
        }
    }
}

/// The sender of reports: writes to those who receive them, and runs the admin's command.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    mailer: Option<Mailer>,
    queues: ReportQueues,
    pause: Duration,
    command: Arc<[String]>,
    format: ReportFormat,
    /// The admin's mail address.
    to: Option<String>,
    time_max: Duration,
}

impl Reporter {
    pub(super) fn new(config: &WebConfig, mail: &MailConfig, queues: ReportQueues) -> Self {
        let contact = config.contact.trim_start_matches("mailto:");
        let is_mail = contact.contains('@') && contact.is_ascii() && !contact.contains("://");
        Self {
            mailer: Mailer::new(mail, config),
            queues,
            pause: PAUSE_MIN,
            command: config.report_command.clone().into(),
            format: config.report_format,
            to: is_mail.then(|| contact.to_owned()),
            time_max: COMMAND_TIME_MAX,
        }
    }

    /// The commands that wait or run.
    #[cfg(test)]
    pub(super) fn commands(&self) -> &Queue {
        &self.queues.commands
    }

    /// Hands a report on to everybody who is to know, and waits until that is done, or for a moment
    /// if it takes long. The work continues if the reader leaves meanwhile.
    pub(super) async fn hand_on(&self, complaint: Complaint) {
        if let Some(mailer) = &self.mailer {
            self.post(mailer, &complaint).await;
        }
        if !self.command.is_empty() {
            self.command(complaint).await;
        }
    }

    /// Sends a letter to each receiver.
    async fn post(&self, mailer: &Mailer, complaint: &Complaint) {
        let id = &complaint.reference;
        let letter: Arc<[u8]> = complaint.letter(mailer).into();
        let mut tasks = Vec::new();
        for to in mailer.to() {
            let (reporter, mailer, to) = (self.clone(), mailer.clone(), to.clone());
            let (letter, name) = (Arc::clone(&letter), id.clone());
            let sent = async move { reporter.send(&mailer, &to, &letter, &name).await };
            match self.queues.letters.spawn(sent) {
                Some(task) => tasks.push(task),
                None => error!(id, "did not send a report: too many wait"),
            }
        }
        // Letters that are not sent by then continue in the background.
        let _ = timeout(READER_WAITS, futures_util::future::join_all(tasks)).await;
    }

    /// Sends a letter, and tries again for as long as there is hope.
    async fn send(&self, mailer: &Mailer, to: &lettre::Address, letter: &[u8], id: &str) {
        let (begun, mut pause) = (Instant::now(), self.pause);
        loop {
            let turn = self.queues.turns.acquire().await;
            let sent = mailer.send(to, letter).await;
            drop(turn);
            match sent {
                Ok(()) => return info!(id, "sent a report"),
                Err(why) if why.is_permanent() || begun.elapsed() > TRIED_MAX => {
                    return error!(id, "a report was not sent: {why}");
                }
                Err(why) if pause == self.pause => warn!(id, "a report waits: {why}"),
                Err(why) => debug!(id, "a report waits: {why}"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Runs the command, and waits for its end.
    async fn command(&self, complaint: Complaint) {
        let id = complaint.reference.clone();
        let reporter = self.clone();
        let run = async move { reporter.run(&complaint).await };
        let Some(task) = self.queues.commands.spawn(run) else {
            error!(id, "did not run web.report_command: too many reports wait");
            return;
        };
        match task.await {
            Ok(Ok(())) => info!(id, "handed a report on"),
            Ok(Err(err)) => error!(id, "web.report_command failed: {err}"),
            Err(err) => error!(id, "web.report_command failed: {err}"),
        }
    }

    async fn run(&self, complaint: &Complaint) -> io::Result<()> {
        let mut child = self.start()?;
        let group = child.id();
        let input = self.input(complaint);
        let ended = timeout(self.time_max, feed(&mut child, input.as_bytes())).await;
        if ended.is_err() {
            stop(group);
        }
        let status = match ended {
            Ok(status) => status?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(status.to_string()))
        }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    fn input(&self, complaint: &Complaint) -> String {
        match self.format {
            ReportFormat::Json => {
                let json = serde_json::to_string(complaint);
                json.expect("a report is text alone") + "\n"
            }
            ReportFormat::Mail => complaint.mail(self.to.as_deref()),
        }
    }
}

/// Writes all input, closes the pipe, and waits for the end. A program that ends without reading is
/// no error of ours: its exit status tells its own verdict.
async fn feed(child: &mut Child, input: &[u8]) -> io::Result<std::process::ExitStatus> {
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input).await {
            Err(err) if err.kind() != io::ErrorKind::BrokenPipe => return Err(err),
            _ => {}
        }
    }
    child.wait().await
}

/// Ends a command and everything that it started.
fn stop(group: Option<u32>) {
    let id = group.and_then(|id| i32::try_from(id).ok());
    if let Some(group) = id.and_then(Pid::from_raw) {
        // It may have ended in this instant.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

impl Complaint {
    /// The letter to those who receive reports.
    fn letter(&self, mailer: &Mailer) -> Vec<u8> {
        let id = format!("{}.{}", self.reference, self.reported.as_nanosecond());
        mailer.letter(&id, &self.subject(), &self.body())
    }

    fn subject(&self) -> String {
        format!("[depollueur] Report {} ({})", self.reference, self.reason)
    }

    /// The report as a message with a body in base64, so that nothing a reader wrote can become a
    /// header field or end the message, whatever program reads it. It has no sender, date or
    /// message id.
    fn mail(&self, to: Option<&str>) -> String {
        let mut mail = String::new();
        if let Some(to) = to {
            let _ = writeln!(mail, "To: {to}");
        }
        let body = data_encoding::BASE64_MIME.encode(self.body().as_bytes());
        let _ = write!(
            mail,
            "Subject: {}\n\
             Auto-Submitted: auto-generated\n\
             MIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: base64\n\n{}",
            self.subject(),
            body.replace("\r\n", "\n"),
        );
        mail
    }

    fn body(&self) -> String {
        let mut body = String::new();
        let mut line = |name: &str, value: &dyn Display| {
            let _ = writeln!(body, "{name:<11}{value}");
        };

        line("Reason:", &self.reason);
        line("Reported:", &self.reported);
        line("Record:", &self.reference);
        line("Deposited:", &self.deposited);
        line("Sender:", &self.sender);
        line("Queue id:", &self.queue_id);
        line("Contact:", &self.contact);
        line("Link:", &self.link.as_deref().unwrap_or("not given"));

        body.push('\n');
        for text in self.text.lines() {
            let _ = writeln!(body, "> {text}");
        }

        let _ = write!(
            body,
            "\nTo see what is known of these files:   depollueur drop show {0}\n\
             To end them at once:                   depollueur drop revoke {0}\n",
            self.reference
        );
        body
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    use super::*;

    fn complaint() -> Complaint {
        Complaint {
            reference: "00112233445566778899aabbccddeeff".to_owned(),
            queue_id: Untrusted("4abCDe12".to_owned()),
            sender: Untrusted("alice@asso.example".to_owned()),
            deposited: Timestamp::UNIX_EPOCH,
            reported: Timestamp::UNIX_EPOCH,
            reason: "fraud",
            text: Untrusted("Première ligne\n.\nBcc: x@y".to_owned()),
            contact: Untrusted("me@example.org".to_owned()),
            link: None,
        }
    }

    fn reporter(command: &[&str], format: ReportFormat) -> Reporter {
        let config = WebConfig {
            report_command: command.iter().map(|word| (*word).to_owned()).collect(),
            report_format: format,
            contact: "abuse@example.org".to_owned(),
            ..WebConfig::default()
        };
        Reporter::new(&config, &MailConfig::default(), ReportQueues::new())
    }

    fn shell(script: &str, format: ReportFormat) -> Reporter {
        reporter(&["/bin/sh", "-c", script], format)
    }

    fn to_file(path: &Path) -> String {
        format!("cat > '{0}.tmp' && mv '{0}.tmp' '{0}'", path.display())
    }

    #[tokio::test]
    async fn the_command_reads_json() {
        let home = TempDir::new().unwrap();
        let file = home.path().join("report");
        let reporter = shell(&to_file(&file), ReportFormat::Json);
        reporter.run(&complaint()).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(json["reference"], "00112233445566778899aabbccddeeff");
        assert_eq!(json["text"], "Première ligne\n.\nBcc: x@y");
        assert_eq!(json["deposited"], "1970-01-01T00:00:00Z");
        assert!(json["link"].is_null());
    }

    #[test]
    fn the_mail_has_nothing_of_the_reader_in_its_header() {
        let mail = reporter(&[], ReportFormat::Mail).input(&complaint());
        let (head, body) = mail.split_once("\n\n").unwrap();
        assert!(head.starts_with("To: abuse@example.org\nSubject: [depollueur] Report 0011"));
        assert!(!head.contains("Bcc") && !mail.contains('\r'));
        let mut encoded = body.replace('\n', "\r\n");
        if !encoded.ends_with("\r\n") {
            encoded.push_str("\r\n");
        }
        let decoded = data_encoding::BASE64_MIME
            .decode(encoded.as_bytes())
            .unwrap();
        let text = String::from_utf8(decoded).unwrap();
        assert!(
            text.contains("> Première ligne\n> .\n> Bcc: x@y\n"),
            "{text}"
        );
        assert!(text.contains("depollueur drop revoke 00112233445566778899aabbccddeeff"));
        assert!(body.lines().all(|line| line.len() <= 76 && line != "."));
    }

    #[test]
    fn nothing_of_the_reader_stands_in_the_header_of_a_letter() {
        let config = WebConfig {
            report_to: vec!["abuse@example.org".parse().unwrap()],
            ..WebConfig::default()
        };
        let mailer = Mailer::new(&MailConfig::default(), &config).unwrap();
        let odd = Complaint {
            sender: Untrusted("a\u{202e}lice@asso.example\r\nBcc: x@y".to_owned()),
            contact: Untrusted("me@example.org\nBcc: x@y".to_owned()),
            text: Untrusted("\u{1b}]0;x\u{7}\u{202e}fdp\rBcc: x@y".to_owned()),
            ..complaint()
        };
        let letter = String::from_utf8(odd.letter(&mailer)).unwrap();
        let (head, _) = letter.split_once("\r\n\r\n").unwrap();
        let subject = "Subject: [depollueur] Report 00112233445566778899aabbccddeeff (fraud)";
        assert!(head.replace("\r\n ", " ").contains(subject), "{head}");
        assert!(letter.is_ascii() && !head.contains("Bcc"), "{head}");
        assert!(
            odd.body().lines().all(|line| !line.starts_with("Bcc")),
            "{}",
            odd.body()
        );
        let harmful = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!odd.body().chars().any(harmful), "{}", odd.body());
        let told = r"> \u{1b}]0;x\u{7}\u{202e}fdp\rBcc: x@y";
        assert!(odd.body().contains(told), "{}", odd.body());
    }

    #[tokio::test]
    async fn failures_are_told_and_harm_nothing() {
        let run = async |script: &str| shell(script, ReportFormat::Mail).run(&complaint()).await;
        assert!(run("exit 0").await.is_ok());
        assert!(run("cat >/dev/null; exit 75").await.is_err());
        let missing = reporter(&["/nonexistent/program"], ReportFormat::Mail);
        assert!(missing.run(&complaint()).await.is_err());
        missing.hand_on(complaint()).await;
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_its_children() {
        let home = TempDir::new().unwrap();
        let file = home.path().join("pid");
        let script = format!("sleep 600 & echo $! > '{}'; wait", file.display());
        let reporter = Reporter {
            time_max: Duration::from_millis(300),
            ..shell(&script, ReportFormat::Mail)
        };
        let err = reporter.run(&complaint()).await.unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::TimedOut);
        let pid: i32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let gone = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ"))
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn no_more_reports_wait_than_the_limit() {
        let reporter = shell("exit 0", ReportFormat::Mail);
        for _ in 0..WAITING_MAX {
            reporter
                .commands()
                .spawn(std::future::pending::<()>())
                .unwrap();
        }
        // Returns at once: nothing is run.
        reporter.hand_on(complaint()).await;
    }
}

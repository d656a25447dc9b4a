//! Postfix's log lines about a message: from its file, or from the journal.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use jiff::Timestamp;

use crate::cli::exit::{EX_NOINPUT, Failure};

/// The places where distributions put the log; the older file first.
const FILES: [&str; 4] = [
    "/var/log/mail.log.1",
    "/var/log/mail.log",
    "/var/log/maillog.1",
    "/var/log/maillog",
];

/// Bytes at the end of each that are read.
const BYTES_MAX: u64 = 128 << 20;

/// The time for which the journal is asked.
const JOURNAL_SINCE: &str = "-14d";

/// Lines of one message that are shown.
const LINES_MAX: usize = 200;

/// A log that was opened in the name of the calling user, to be read later.
#[derive(Debug)]
pub(super) enum MailLog {
    Files(Vec<File>),
    Journal(Child),
    None,
}

impl MailLog {
    /// Opens this file, or the usual ones, or asks the journal.
    ///
    /// # Errors
    /// The file that was named cannot be opened.
    pub(super) fn open(named: Option<&PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = named {
            let file = File::open(path).map_err(|error| {
                let message = format!("could not read \"{}\": {error}", path.display());
                Failure::new(EX_NOINPUT, message)
            })?;
            return Ok(Self::Files(vec![file]));
        }

        let files: Vec<_> = FILES
            .into_iter()
            .filter_map(|path| File::open(Path::new(path)).ok())
            .filter(|file| file.metadata().is_ok_and(|found| found.len() > 0))
            .collect();
        if !files.is_empty() {
            return Ok(Self::Files(files));
        }

        let journal = Command::new("journalctl")
            .args(["--quiet", "--no-pager", "--output=short-iso"])
            .args(["--since", JOURNAL_SINCE, "SYSLOG_FACILITY=2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Ok(journal.map_or(Self::None, Self::Journal))
    }

    /// Reads the lines of Postfix.
    pub(super) fn read(self) -> LogLines {
        let mut lines = Vec::new();
        match self {
            Self::None => {}
            Self::Files(files) => {
                for mut file in files {
                    let length = file.metadata().map_or(0, |found| found.len());
                    let _ = file.seek(SeekFrom::Start(length.saturating_sub(BYTES_MAX)));
                    gather(file, &mut lines);
                }
            }
            Self::Journal(mut child) => {
                if let Some(output) = child.stdout.take() {
                    gather(output, &mut lines);
                }
                let _ = child.kill();
                let _ = child.wait();
            }
        }

        LogLines(lines)
    }
}

fn gather(input: impl Read, lines: &mut Vec<String>) {
    let mut input = BufReader::new(input.take(BYTES_MAX));
    let mut line = Vec::new();
    while matches!(input.read_until(b'\n', &mut line), Ok(1..)) {
        if memchr::memmem::find(&line, b"postfix").is_some() {
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        line.clear();
    }
}

/// The lines of Postfix.
#[derive(Debug)]
pub(super) struct LogLines(Vec<String>);

impl LogLines {
    /// The lines about a queue id.
    pub(super) fn about(&self, queue_id: &str) -> Vec<&str> {
        let mark = format!(" {queue_id}: ");
        let lines = self.0.iter().filter(|line| line.contains(&mark));
        lines.map(String::as_str).take(LINES_MAX).collect()
    }

    /// The sender of a message, and the time at which it came, as Postfix logged them.
    pub(super) fn sender_of(lines: &[String]) -> Option<(String, Timestamp)> {
        let sender = lines.iter().find_map(|line| {
            let (_, rest) = line.split_once(": from=<")?;
            rest.split_once('>').map(|(sender, _)| sender.to_owned())
        })?;
        let time = lines
            .iter()
            .find_map(|line| time_of(line.split(' ').next()?))?;
        Some((sender, time))
    }

    /// The queue ids under which a `Message-ID` passed, oldest first.
    pub(super) fn queue_ids(&self, message_id: &str) -> Vec<String> {
        let mark = format!(": message-id={message_id}");
        let found = self.0.iter().filter_map(|line| {
            let (before, _) = line.split_once(&mark)?;
            before.rsplit(' ').next().map(str::to_owned)
        });
        let mut ids: Vec<String> = Vec::new();
        for id in found {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }
}

/// The time of a line, as the journal and current syslogs write it: `2026-11-28T19:40:02+0000`.
fn time_of(word: &str) -> Option<Timestamp> {
    let parsed = word.parse::<Timestamp>().ok();
    parsed.or_else(|| Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", word).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sender_and_time_are_those_of_the_first_lines() {
        for time in ["2026-11-28T19:40:02+0000", "2026-11-28T20:40:02.000+01:00"] {
            let lines = [
                format!("{time} mx postfix/smtpd[1]: 4abCDe12: client=unknown[192.0.2.7]"),
                format!("{time} mx postfix/qmgr[3]: 4abCDe12: from=<x@example.org>, size=1"),
            ];
            let (sender, at) = LogLines::sender_of(&lines).unwrap();
            assert_eq!(
                (sender.as_str(), at.to_string().as_str()),
                ("x@example.org", "2026-11-28T19:40:02Z")
            );
        }
    }

    #[test]
    fn the_lines_of_a_message_are_found_by_its_names() {
        let text = "\
Nov 28 19:40:02 mx postfix/smtpd[1]: 4abCDe12: client=unknown[192.0.2.7], sasl_username=alice
Nov 28 19:40:02 mx postfix/cleanup[2]: 4abCDe12: message-id=<a@example.org>
Nov 28 19:40:02 mx postfix/qmgr[3]: 4abCDe123: from=<x@example.org>, size=1
Nov 28 19:40:02 mx dovecot: imap: 4abCDe12: nothing of Postfix's
";
        let mut lines = Vec::new();
        gather(text.as_bytes(), &mut lines);
        let lines = LogLines(lines);
        assert_eq!(lines.about("4abCDe12").len(), 2);
        assert_eq!(lines.queue_ids("<a@example.org>"), ["4abCDe12"]);
        assert!(lines.queue_ids("<b@example.org>").is_empty());
    }
}

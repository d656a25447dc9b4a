//! `depollueur drop answer`: what an authority asks, and may be told: who, when, from where, and who fetched it.
//!
//! Text that readers wrote in a report is left out: it is theirs. Names and digests of files stand in
//! it only for those who gave the link.

mod words;

use clap::Args;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use mailsplice::l10n::Language;
use serde_json::Value;

use self::words::AnswerTexts;
use super::{
    audit, look, nothing, open,
    select::Selection,
    table::{json as write_json, line},
    unavailable,
};
use crate::{
    cli::{ConfigOptions, exit::Failure, language::language},
    drop::{
        Action, AuditQuery, Deposit, DepositedFile, Entry, FileDrop, FileEntry, RecordId, Token,
    },
    envelope::Origin,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct AnswerOptions {
    #[command(flatten)]
    selection: Selection,
    /// The language of the answer, fr or en
    #[arg(long, default_value = "en", value_parser = language)]
    language: Language,
    /// Writes JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

/// The facts that are known of a package.
pub(super) struct PackageFacts {
    deposit: Deposit,
    files: Vec<DepositedFile>,
    names: Option<Vec<FileEntry>>,
    entries: Vec<Entry>,
}

pub(super) async fn run(options: AnswerOptions) -> Result<(), Failure> {
    let (drop, url) = open(options.config)?;
    let now = Timestamp::now();
    let selection = options.selection;
    let found = selection
        .find_with_tokens(&drop, &url, now, "answer")
        .await?;
    if found.is_empty() {
        return Err(nothing());
    }
    let mut subjects = Vec::new();
    for (deposit, token) in found {
        let names = names_of(&drop, token.as_ref()).await?;
        subjects.extend(PackageFacts::find(&drop, deposit.id, names, now).await?);
    }
    if options.json {
        return write_json(&subjects.iter().map(PackageFacts::json).collect());
    }
    write(&subjects, &url, options.language, now)
}

/// The names of a package's files, where its link is known and they are not destroyed.
pub(super) async fn names_of(
    drop: &FileDrop,
    token: Option<&Token>,
) -> Result<Option<Vec<FileEntry>>, Failure> {
    match token {
        Some(token) => drop.names(token).await.map_err(unavailable),
        None => Ok(None),
    }
}

/// Writes the answer about packages.
pub(super) fn write(
    subjects: &[PackageFacts],
    url: &str,
    language: Language,
    now: Timestamp,
) -> Result<(), Failure> {
    text(subjects, url, language, now)
        .iter()
        .try_for_each(|text| line(text))
}

/// Returns the lines of the answer.
fn text(subjects: &[PackageFacts], url: &str, language: Language, now: Timestamp) -> Vec<String> {
    let words = AnswerTexts::of(language);
    let mut lines = vec![
        format!("{} {url}", words.title),
        format!("{} {}.", words.made, utc(now)),
        words.times.to_owned(),
    ];
    for subject in subjects {
        lines.push(String::new());
        lines.extend(subject.lines(words));
    }
    lines.push(String::new());
    lines.push(words.caution.to_owned());
    lines
}

impl PackageFacts {
    /// Reads the facts of a package; `None` when there is no such package.
    pub(super) async fn find(
        drop: &FileDrop,
        id: RecordId,
        names: Option<Vec<FileEntry>>,
        now: Timestamp,
    ) -> Result<Option<Self>, Failure> {
        let Some((deposit, files)) = drop.show(id, now).await.map_err(unavailable)? else {
            return Ok(None);
        };
        let query = AuditQuery {
            package: Some(id),
            since: None,
        };
        let entries = drop.audit(query).await.map_err(unavailable)?;
        Ok(Some(Self {
            deposit,
            files,
            names,
            entries,
        }))
    }

    pub(super) fn json(&self) -> Value {
        let mut shown = look::deposit_json(&self.deposit);
        let names = self.names.as_deref();
        let files = self.files.iter().enumerate();
        shown["contents"] = files
            .map(|(index, file)| look::file_json(index, file, names))
            .collect();
        let entries = self.entries.iter().map(|entry| {
            let mut entry_shown = audit::entry_json(entry);
            entry_shown["detail"] = detail(entry).into();
            entry_shown
        });
        shown["audit"] = entries.collect();
        shown
    }

    fn lines(&self, words: &AnswerTexts) -> Vec<String> {
        let mut lines = self.facts(words);
        lines.push(String::new());
        lines.extend(self.contents(words));
        lines.push(String::new());
        lines.push(format!("  {}", words.history));
        let history = self.entries.iter();
        lines.extend(history.map(|entry| format!("    {}", told(entry, words))));
        lines
    }

    fn facts(&self, words: &AnswerTexts) -> Vec<String> {
        let deposit = &self.deposit;
        let origin = &deposit.origin;
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| words.unknown.to_owned());
        let ended = deposit.ended.map_or(String::new(), |at| {
            format!(" ({} {})", words.since, utc(at))
        });

        let mut facts = vec![
            (words.package, deposit.id.to_string()),
            (
                words.state,
                format!("{}{ended}", words.of_state(deposit.state)),
            ),
            (words.deposited, utc(deposit.created)),
            (words.expires, utc(deposit.expires)),
            (words.login, or_unknown(origin.login.clone())),
            (words.sender, sender(origin, words)),
            (
                words.client,
                or_unknown(origin.client.map(|ip| ip.to_string())),
            ),
            (words.message_id, or_unknown(origin.message_id.clone())),
            (words.queue_id, origin.queue_id.clone()),
            (
                words.direction,
                words.of_direction(origin.direction).to_owned(),
            ),
            (words.recipients, origin.recipients.to_string()),
        ];

        if let Some(uploader) = &origin.uploader {
            facts.push((words.uploader, uploader.clone()));
        }
        if let Some(hold) = &deposit.held {
            // An authority's order concerns nobody else.
            facts.push((words.held, utc(hold.since)));
        }

        let line = |(name, value): (&str, String)| format!("  {name:<32} {value}");
        facts.into_iter().map(line).collect()
    }

    fn contents(&self, words: &AnswerTexts) -> Vec<String> {
        let deposit = &self.deposit;
        let mut lines = vec![format!(
            "  {} {} ({} {}); {} {}",
            words.files,
            deposit.files,
            deposit.bytes,
            words.bytes,
            words.downloads,
            deposit.downloads
        )];

        match &self.names {
            None => lines.push(format!("    {}", words.sealed)),
            Some(names) => lines.extend(names.iter().enumerate().map(|(index, file)| {
                format!(
                    "    {}. {} ({} {}, SHA-256 {})",
                    index + 1,
                    file.name,
                    file.size,
                    words.bytes,
                    HEXLOWER.encode(&file.sha256)
                )
            })),
        }
        lines
    }
}

/// The envelope sender, with the part of the address that is certain.
fn sender(origin: &Origin, words: &AnswerTexts) -> String {
    let certain = match &origin.verified {
        Some(verified) => format!("{} {verified}", words.verified),
        None => words.unverified.to_owned(),
    };
    format!("<{}> ({certain})", origin.sender)
}

/// Formats an entry of the log.
fn told(entry: &Entry, words: &AnswerTexts) -> String {
    let mut told = format!(
        "{}  {}, {}",
        utc(entry.time),
        words.of_action(entry.action),
        words.of_actor(entry.client.actor)
    );
    if let Some(address) = entry.client.address {
        told.push_str(&format!(", {} {address}", words.from));
    }
    match (entry.action, detail(entry)) {
        // An authority's order concerns nobody else.
        (Action::Hold | Action::Release, _) | (_, "") => {}
        (_, detail) => told.push_str(&format!(": {detail}")),
    }
    told
}

/// The detail of an entry, unless a reader wrote it.
fn detail(entry: &Entry) -> &str {
    match entry.action {
        Action::Report => "",
        _ => &entry.detail,
    }
}

fn utc(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drop::{PackageState, Requester, Unlock},
        envelope::{Direction, Domains},
    };

    fn subject(names: Option<Vec<FileEntry>>) -> PackageFacts {
        let at = |second| Timestamp::from_second(second).unwrap();
        let id = RecordId::from_bytes([0xab; 16]);
        let origin = Origin {
            queue_id: "4abCDe12".into(),
            sender: "ceo@example.com".into(),
            verified: None,
            login: Some("zoe".into()),
            client: Some([192, 0, 2, 1].into()),
            uploader: Some("mx1".into()),
            message_id: Some("<1@example.com>".into()),
            direction: Direction::Outgoing,
            recipients: 3,
            domains: Domains::default(),
        };
        let entry = |second, action, client, detail: &str| Entry {
            time: at(second),
            action,
            package: Some(id),
            queue_id: origin.queue_id.clone(),
            sender: origin.sender.clone(),
            login: None,
            client,
            detail: detail.into(),
        };
        let reader = Requester::web(Some([198, 51, 100, 7].into()));
        let entries = vec![
            entry(0, Action::Deposit, Requester::MAIL, ""),
            entry(60, Action::Download, reader, "file=1"),
            entry(90, Action::Report, reader, "contact=\"me@example.org\""),
            entry(120, Action::Revoke, Requester::ADMIN, "case 12"),
        ];
        PackageFacts {
            deposit: Deposit {
                id,
                state: PackageState::Revoked,
                created: at(0),
                expires: at(86_400),
                ended: Some(at(120)),
                destroyed_after: Some(at(172_800)),
                origin,
                files: 1,
                bytes: 10,
                downloads: 1,
                unlock: Unlock::Server,
                held: None,
            },
            files: vec![DepositedFile {
                size: 10,
                downloads: 1,
            }],
            names,
            entries,
        }
    }

    fn answer(names: Option<Vec<FileEntry>>, language: Language) -> String {
        let subjects = [subject(names)];
        let url = "https://drop.example.org/";
        text(&subjects, url, language, Timestamp::UNIX_EPOCH).join("\n")
    }

    #[test]
    fn an_answer_says_who_when_from_where_and_who_fetched_it_in_both_languages() {
        for (language, words) in [
            (
                Language::En,
                ["not verified", "by a reader", "complete download", "link"],
            ),
            (
                Language::Fr,
                [
                    "non vérifié",
                    "par un lecteur",
                    "téléchargement complet",
                    "lien",
                ],
            ),
        ] {
            let text = answer(None, language);
            let facts = [
                "abababababab",
                "1970-01-01 00:00:00 UTC",
                "zoe",
                "<ceo@example.com>",
                "192.0.2.1",
                "<1@example.com>",
                "4abCDe12",
                "mx1",
                "198.51.100.7: file=1",
                "case 12",
                "https://drop.example.org/",
            ];
            for word in facts.into_iter().chain(words) {
                assert!(text.contains(word), "{word}\n{text}");
            }
        }
    }

    #[test]
    fn what_a_reader_wrote_in_a_report_is_not_handed_over() {
        let text = answer(None, Language::En);
        assert!(text.contains("report") && !text.contains("me@example.org"));
        assert!(!subject(None).json().to_string().contains("me@example.org"));
    }

    #[test]
    fn names_and_digests_stand_in_the_answer_of_whoever_gave_the_link() {
        let file = FileEntry {
            page: None,
            name: "facture.pdf".into(),
            media_type: "application/pdf".into(),
            size: 10,
            sha256: [0xcd; 32],
            crc32: 0,
            opened: false,
        };
        let text = answer(Some(vec![file]), Language::Fr);
        assert!(text.contains("facture.pdf") && text.contains(&"cd".repeat(32)));
    }
}

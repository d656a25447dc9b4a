//! The commands that change nothing: `list`, `show`, `suspended`, `blocks`.

use clap::Args;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    link::{self, FoundLink},
    nothing_behind, open, package_of,
    select::Selectors,
    table::{Array, Form, TextTable, json as write_json, line},
    unavailable,
    when::PastEnd,
};
use crate::{
    cli::{ConfigOptions, exit::Failure},
    drop::{Block, Deposit, DepositedFile, FileEntry, Hold, Suspension, Unlock},
};

/// The number of packages in memory at once while they are listed.
const PAGE: usize = 1000;

#[derive(Args, Debug)]
pub(in crate::cli) struct ListOptions {
    #[command(flatten)]
    selectors: Selectors,
    /// The same as --before
    #[arg(long, hide = true, value_name = "TIME", conflicts_with = "before")]
    until: Option<PastEnd>,
    /// So many at most
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ShowOptions {
    /// The link, or the id of the record; - reads it from standard input
    package: String,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct BlocksOptions {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn list(options: ListOptions) -> Result<(), Failure> {
    let now = Timestamp::now();
    let mut query = options.selectors.or_before(options.until).query(now);
    let (drop, _) = open(options.config)?;
    let mut out = ListOutput::new(options.form);
    let mut left = options.limit.unwrap_or(usize::MAX);
    loop {
        query.limit = Some(left.min(PAGE));
        let page = drop.list(query.clone(), now).await.map_err(unavailable)?;
        out.write(&page)?;
        left -= page.len();
        match page.last() {
            Some(last) if page.len() == PAGE && left > 0 => {
                query.after = Some((last.created, last.id));
            }
            _ => return out.end(),
        }
    }
}

/// Returns an address without its angle brackets: `<>` is the sender of bounces.
pub(super) fn plain(address: &str) -> String {
    let inner = address
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    inner.unwrap_or(address).to_owned()
}

#[derive(Args, Debug)]
pub(in crate::cli) struct SuspendedOptions {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn suspended(options: SuspendedOptions) -> Result<(), Failure> {
    let (drop, _) = open(options.config)?;
    let found = drop.suspensions().await.map_err(unavailable)?;
    if options.form.json {
        let value = |one: &Suspension| json!({ "login": one.login, "created": one.created.to_string(), "reason": one.reason });
        return write_json(&found.iter().map(value).collect());
    }
    let row = |one: &Suspension| {
        [
            one.login.clone(),
            one.created.to_string(),
            one.reason.clone(),
        ]
    };
    let mut table = TextTable::new(["LOGIN", "SINCE", "REASON"]).full(options.form.full);
    table.write(found.iter().map(row).collect())
}

/// Writes packages as a table or as JSON.
pub(super) fn deposits(found: &[Deposit], form: Form) -> Result<(), Failure> {
    let mut out = ListOutput::new(form);
    out.write(found)?;
    out.end()
}

/// Packages as they are written, page by page.
enum ListOutput {
    Table(Box<TextTable<9>>),
    Json(Array),
}

impl ListOutput {
    fn new(form: Form) -> Self {
        if form.json {
            return Self::Json(Array::default());
        }
        Self::Table(Box::new(
            TextTable::new([
                "ID",
                "STATE",
                "CREATED",
                "EXPIRES",
                "FILES",
                "BYTES",
                "DOWNLOADS",
                "QUEUE ID",
                "SENDER",
            ])
            .full(form.full),
        ))
    }

    fn write(&mut self, page: &[Deposit]) -> Result<(), Failure> {
        match self {
            Self::Table(table) => table.write(page.iter().map(deposit_row).collect()),
            Self::Json(array) => array.write(page.iter().map(deposit_json)),
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self {
            Self::Table(_) => Ok(()),
            Self::Json(array) => array.end(),
        }
    }
}

fn deposit_row(deposit: &Deposit) -> [String; 9] {
    [
        format!("{:.12}", deposit.id),
        deposit.state.word().to_owned(),
        deposit.created.to_string(),
        deposit.expires.to_string(),
        deposit.files.to_string(),
        deposit.bytes.to_string(),
        deposit.downloads.to_string(),
        deposit.origin.queue_id.clone(),
        format!("<{}>", deposit.origin.sender),
    ]
}

pub(super) async fn show(options: ShowOptions) -> Result<(), Failure> {
    let name = link::given(options.package)?;
    let (drop, url) = open(options.config)?;
    let id = package_of(&drop, &name).await?;
    let shown = drop.show(id, Timestamp::now()).await.map_err(unavailable)?;
    let (deposit, files) = shown.ok_or_else(|| nothing_behind(&name, &url))?;
    let names = match FoundLink::find(&name).and_then(|link| link.token) {
        Some(token) => drop.names(&token).await.map_err(unavailable)?,
        None => None,
    };
    if options.form.json {
        let mut shown = deposit_json(&deposit);
        shown["contents"] = (0..files.len())
            .map(|index| file_json(index, &files[index], names.as_deref()))
            .collect();
        return write_json(&shown);
    }
    facts(&deposit)?;
    contents(&files, names.as_deref(), options.form.full)
}

pub(super) fn facts(deposit: &Deposit) -> Result<(), Failure> {
    let origin = &deposit.origin;
    let ended = deposit
        .ended
        .map(|at| format!(" (ended {at})"))
        .unwrap_or_default();

    for (name, value) in [
        ("id", deposit.id.to_string()),
        ("state", format!("{}{ended}", deposit.state.word())),
        ("created", deposit.created.to_string()),
        ("expires", deposit.expires.to_string()),
        ("destroyed after", destroyed_after(deposit)),
        ("queue id", origin.queue_id.clone()),
        ("sender", format!("<{}>", origin.sender)),
        ("login", origin.login.clone().unwrap_or_default()),
        (
            "client",
            origin.client.map(|ip| ip.to_string()).unwrap_or_default(),
        ),
        ("uploader", origin.uploader.clone().unwrap_or_default()),
        ("direction", origin.direction.as_str().to_owned()),
        ("recipients", origin.recipients.to_string()),
        ("message id", origin.message_id.clone().unwrap_or_default()),
        ("decrypted by", decrypted_by(deposit.unlock).to_owned()),
        ("held", held(deposit)),
    ] {
        line(format!("{name:16}{value}").trim_end())?;
    }

    line("")
}

fn destroyed_after(deposit: &Deposit) -> String {
    let shown = |at: Timestamp| at.to_string();
    let held = || "its release".to_owned();
    deposit.destroyed_after.map_or_else(held, shown)
}

fn held(deposit: &Deposit) -> String {
    let shown = |hold: &Hold| format!("since {}: {}", hold.since, hold.reason);
    deposit.held.as_ref().map(shown).unwrap_or_default()
}

fn contents(
    files: &[DepositedFile],
    names: Option<&[FileEntry]>,
    is_full: bool,
) -> Result<(), Failure> {
    let row = |(index, file): (usize, &DepositedFile)| {
        let named = names.and_then(|names| names.get(index));
        [
            (index + 1).to_string(),
            file.size.to_string(),
            file.downloads.to_string(),
            named
                .map(|file| HEXLOWER.encode(&file.sha256))
                .unwrap_or_default(),
            named.map(|file| file.name.clone()).unwrap_or_default(),
        ]
    };
    let headings = ["FILE", "BYTES", "DOWNLOADS", "SHA-256", "NAME"];
    let mut table = TextTable::new(headings).full(is_full);
    table.write(files.iter().enumerate().map(row).collect())
}

pub(super) async fn blocks(options: BlocksOptions) -> Result<(), Failure> {
    let form = options.form;
    let blocks = open(options.config)?
        .0
        .blocks()
        .await
        .map_err(unavailable)?;
    if form.json {
        return write_json(&blocks.iter().map(block_json).collect());
    }
    let rows = blocks.iter().map(block_row);
    let mut table = TextTable::new(["SHA-256", "SINCE", "REASON"]).full(form.full);
    table.write(rows.collect())
}

fn block_json(block: &Block) -> Value {
    json!({
        "sha256": HEXLOWER.encode(&block.sha256),
        "created": block.created.to_string(),
        "reason": block.reason,
    })
}

fn block_row(block: &Block) -> [String; 3] {
    [
        HEXLOWER.encode(&block.sha256),
        block.created.to_string(),
        block.reason.clone(),
    ]
}

pub(super) fn deposit_json(deposit: &Deposit) -> Value {
    json!({
        "id": deposit.id.to_string(),
        "state": deposit.state.word(),
        "created": deposit.created.to_string(),
        "expires": deposit.expires.to_string(),
        "ended": deposit.ended.map(|at| at.to_string()),
        "destroyed_after": deposit.destroyed_after.map(|at| at.to_string()),
        "files": deposit.files,
        "bytes": deposit.bytes,
        "downloads": deposit.downloads,
        "queue_id": deposit.origin.queue_id,
        "sender": deposit.origin.sender,
        "login": deposit.origin.login,
        "client": deposit.origin.client.map(|ip| ip.to_string()),
        "uploader": deposit.origin.uploader,
        "direction": deposit.origin.direction,
        "recipients": deposit.origin.recipients,
        "message_id": deposit.origin.message_id,
        "held": deposit.held.as_ref().map(|hold| json!({
            "since": hold.since.to_string(),
            "reason": hold.reason,
        })),
        "end_to_end": deposit.unlock == Unlock::Browser,
    })
}

pub(super) fn file_json(index: usize, file: &DepositedFile, names: Option<&[FileEntry]>) -> Value {
    let mut shown = json!({ "size": file.size, "downloads": file.downloads });
    if let Some(file) = names.and_then(|names| names.get(index)) {
        shown["name"] = json!(file.name);
        shown["type"] = json!(file.media_type);
        shown["sha256"] = json!(HEXLOWER.encode(&file.sha256));
    }
    shown
}

/// The name of the party that decrypts a package for those who read it on a page.
fn decrypted_by(unlock: Unlock) -> &'static str {
    match unlock {
        Unlock::Server => "the server",
        Unlock::Browser => "the reader's browser (end to end)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        drop::{PackageState, RecordId},
        envelope::{Direction, Domains, Origin},
    };

    fn deposit(state: PackageState) -> Deposit {
        let at = |second| Timestamp::from_second(second).unwrap();
        Deposit {
            id: RecordId::from_bytes([0xab; 16]),
            state,
            created: at(0),
            expires: at(86_400),
            ended: (state != PackageState::Live).then(|| at(3600)),
            destroyed_after: Some(at(172_800)),
            origin: Origin {
                queue_id: "4cX".into(),
                sender: "zoe@asso.example".into(),
                verified: None,
                login: Some("zoe".into()),
                client: Some([192, 0, 2, 1].into()),
                uploader: None,
                message_id: None,
                direction: Direction::Outgoing,
                recipients: 3,
                domains: Domains::default(),
            },
            files: 2,
            bytes: 12_345,
            downloads: 7,
            unlock: Unlock::Browser,
            held: None,
        }
    }

    #[test]
    fn each_state_of_a_package_is_told_by_its_own_word() {
        for (state, word, ended) in [
            (PackageState::Live, "live", Value::Null),
            (
                PackageState::Expired,
                "expired",
                json!("1970-01-01T01:00:00Z"),
            ),
            (
                PackageState::Revoked,
                "revoked",
                json!("1970-01-01T01:00:00Z"),
            ),
            (
                PackageState::Blocked,
                "blocked",
                json!("1970-01-01T01:00:00Z"),
            ),
            (
                PackageState::Destroyed,
                "destroyed",
                json!("1970-01-01T01:00:00Z"),
            ),
        ] {
            let deposit = deposit(state);
            assert_eq!(deposit_row(&deposit)[1], word);
            let shown = deposit_json(&deposit);
            assert_eq!((&shown["state"], &shown["ended"]), (&json!(word), &ended));
        }
    }

    #[test]
    fn a_package_is_shown_with_its_own_figures() {
        assert_eq!(
            deposit_row(&deposit(PackageState::Live)),
            [
                "abababababab",
                "live",
                "1970-01-01T00:00:00Z",
                "1970-01-02T00:00:00Z",
                "2",
                "12345",
                "7",
                "4cX",
                "<zoe@asso.example>",
            ]
        );
        let shown = deposit_json(&deposit(PackageState::Live));
        for (key, value) in [
            ("id", json!("ab".repeat(16))),
            ("expires", json!("1970-01-02T00:00:00Z")),
            ("destroyed_after", json!("1970-01-03T00:00:00Z")),
            ("files", json!(2)),
            ("bytes", json!(12_345)),
            ("downloads", json!(7)),
            ("queue_id", json!("4cX")),
            ("login", json!("zoe")),
            ("client", json!("192.0.2.1")),
            ("uploader", Value::Null),
            ("direction", json!("outgoing")),
            ("recipients", json!(3)),
            ("end_to_end", json!(true)),
        ] {
            assert_eq!(shown[key], value, "{key}");
        }
    }

    #[test]
    fn a_block_is_shown_with_its_digest_and_reason() {
        let block = Block {
            sha256: [0xcd; 32],
            created: Timestamp::UNIX_EPOCH,
            reason: "malware".into(),
        };
        let digest = "cd".repeat(32);
        assert_eq!(
            block_row(&block),
            [&digest, "1970-01-01T00:00:00Z", "malware"]
        );
        assert_eq!(
            block_json(&block),
            json!({ "sha256": digest, "created": "1970-01-01T00:00:00Z", "reason": "malware" })
        );
    }
}

//! `depollueur drop audit`: everything that was done with packages, and a check that the log of it is
//! whole.

use clap::Args;
use serde_json::{Value, json};

use super::{
    EX_NOTHING, link, open, package_of,
    table::{Form, TextTable, json as write_json, line},
    unavailable,
    when::Past,
};
use crate::{
    cli::{
        ConfigOptions,
        exit::{Failure, complain},
    },
    drop::{AuditQuery, ChainHead, Entry, FileDrop, Verification},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct AuditOptions {
    /// The link, or the id of a record, - from standard input; all when it is missing
    package: Option<String>,
    /// Done at this time or later: a date, a time, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<Past>,
    /// Says whether entries were changed, or cut out
    #[arg(long, conflicts_with_all = ["package", "since"])]
    verify: bool,
    /// The head of the log as it was noted elsewhere, which must stand in it still
    #[arg(long, value_name = "NUMBER:DIGEST", requires = "verify")]
    head: Option<ChainHead>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn audit(options: AuditOptions) -> Result<(), Failure> {
    let name = options.package.map(link::given).transpose()?;
    let (drop, _) = open(options.config)?;
    if options.verify {
        return verify(&drop, options.head, options.form.json).await;
    }

    let package = match &name {
        Some(name) => Some(package_of(&drop, name).await?),
        None => None,
    };
    let since = options.since.map(|since| since.0);
    let query = AuditQuery { package, since };

    let entries = drop.audit(query).await.map_err(unavailable)?;
    if options.form.json {
        return write_json(&entries.iter().map(entry_json).collect());
    }

    let headings = [
        "TIME", "ACTION", "ID", "QUEUE ID", "SENDER", "BY", "ADDRESS", "DETAIL",
    ];
    let mut table = TextTable::new(headings).full(options.form.full);
    table.write(entries.iter().map(entry_row).collect())
}

/// Reports the defects of the log, line by line; its extent alone when there are none.
async fn verify(drop: &FileDrop, known: Option<ChainHead>, json: bool) -> Result<(), Failure> {
    let found = drop.verify_audit(known).await.map_err(unavailable)?;

    if json {
        write_json(&verification_json(&found))?;
    } else {
        extent(&found)?;
    }

    for defect in &found.defects {
        complain(defect);
    }
    if found.more > 0 {
        complain(format_args!("and {} more", found.more));
    }
    if found.known_is_forgotten {
        complain(
            "the entry whose head was given is forgotten (audit.keep): nothing is known of it",
        );
    }

    match found.defects.is_empty() && !found.known_is_forgotten {
        true => Ok(()),
        false => Err(Failure::silent(EX_NOTHING)),
    }
}

fn extent(found: &Verification) -> Result<(), Failure> {
    let Verification {
        entries,
        before,
        waiting,
        head,
        ..
    } = found;

    match found.first {
        Some((number, time)) => line(&format!(
            "the chain begins with entry {number}, of {time}, and has {entries} entries"
        ))?,
        None => line("the chain has no entry")?,
    }

    if *before > 0 {
        line(&format!(
            "entries of before, of which nothing is proven: {before}"
        ))?;
    }
    if *waiting > 0 {
        line(&format!(
            "entries that the next one takes into the chain: {waiting}"
        ))?;
    }

    if found.defects.is_empty() {
        line("nothing is changed, nothing is cut out")?;
    }
    line(&format!("head {head}"))
}

fn verification_json(found: &Verification) -> Value {
    json!({
        "first": found.first.map(|(number, _)| number),
        "first_time": found.first.map(|(_, time)| time.to_string()),
        "entries": found.entries,
        "before": found.before,
        "waiting": found.waiting,
        "head": found.head.to_string(),
        "defects": found.defects.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "more": found.more,
    })
}

fn entry_row(entry: &Entry) -> [String; 8] {
    let client = &entry.client;
    let id = entry.package.map(|id| format!("{id:.12}"));
    let sender = entry.package.map(|_| format!("<{}>", entry.sender));
    [
        entry.time.to_string(),
        entry.action.to_string(),
        id.unwrap_or_default(),
        entry.queue_id.clone(),
        sender.unwrap_or_default(),
        client.actor.to_string(),
        client.address.map(|ip| ip.to_string()).unwrap_or_default(),
        entry.detail.clone(),
    ]
}

pub(super) fn entry_json(entry: &Entry) -> Value {
    json!({
        "time": entry.time.to_string(),
        "action": entry.action.word(),
        "id": entry.package.map(|id| id.to_string()),
        "queue_id": entry.queue_id,
        "sender": entry.sender,
        "login": entry.login,
        "by": entry.client.actor.word(),
        "address": entry.client.address.map(|ip| ip.to_string()),
        "detail": entry.detail,
    })
}

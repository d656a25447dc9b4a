//! The commands that change something: `extend`, `restore`, `revoke`, `block`, `unblock`. They ask
//! for nothing, and say what they did.

use clap::Args;
use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;

use super::{EX_NOTHING, look, nothing, open, package_of, table::line, unavailable, when::End};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_USAGE, Failure},
    },
    drop::{Client, Deposit, Drop, Outcome, Query, RecordId, State},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct ExtendOptions {
    /// The link, or the id of the record
    package: String,
    /// Until when: a date, a time, or how long from now
    #[arg(long, value_name = "TIME")]
    until: End,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RevokeOptions {
    /// The links, or the ids of the records
    #[arg(required_unless_present_any = ["sender", "message"])]
    packages: Vec<String>,
    /// All packages of this envelope sender, or of a domain: @example.org
    #[arg(long, value_name = "ADDRESS", conflicts_with = "packages")]
    sender: Option<String>,
    /// All packages of the message with this queue id
    #[arg(long, value_name = "QUEUE ID", conflicts_with = "packages")]
    message: Option<String>,
    /// Why; it stands in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    /// Destroys the files at once: they cannot be restored
    #[arg(long)]
    destroy: bool,
    /// Writes JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct BlockOptions {
    /// SHA-256 of the file's contents, 64 hexadecimal digits
    sha256: String,
    /// Why; it stands in the list of blocks and in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct UnblockOptions {
    /// SHA-256 of the file's contents, 64 hexadecimal digits
    sha256: String,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn extend(options: ExtendOptions) -> Result<(), Failure> {
    let drop = open(options.config)?;
    let (deposit, until) = (named(&drop, &options.package).await?, options.until.0);
    if deposit.state != State::Live {
        let state = deposit.state.word();
        let message = format!("this package is {state}: see depollueur drop restore");
        return Err(Failure::new(EX_NOTHING, message));
    }
    if until <= deposit.expires {
        let message = format!(
            "this package expires later than that, on {}",
            deposit.expires
        );
        return Err(Failure::new(EX_USAGE, message));
    }
    lengthen(&drop, deposit.id, until).await
}

pub(super) async fn restore(options: ExtendOptions) -> Result<(), Failure> {
    let drop = open(options.config)?;
    let deposit = named(&drop, &options.package).await?;
    if deposit.state == State::Live {
        let message = format!("this package is live until {}", deposit.expires);
        return Err(Failure::new(EX_USAGE, message));
    }
    lengthen(&drop, deposit.id, options.until.0).await
}

async fn lengthen(drop: &Drop, id: RecordId, until: Timestamp) -> Result<(), Failure> {
    let now = Timestamp::now();
    if until <= now {
        return Err(Failure::new(EX_USAGE, "this time is over"));
    }
    let done = drop.restore(id, until, now, Client::ADMIN).await;
    match done.map_err(unavailable)? {
        Outcome::Done(until) => line(&format!("{id:.12} can be fetched until {until}")),
        Outcome::Already => line(&format!("{id:.12} can be fetched until {until}, as before")),
        Outcome::Destroyed => Err(Failure::new(EX_NOTHING, "its files are destroyed")),
        Outcome::Blocked => Err(Failure::new(
            EX_NOTHING,
            "one of its files is blocked: see depollueur drop blocks",
        )),
        Outcome::Unknown => Err(nothing()),
    }
}

async fn named(drop: &Drop, name: &str) -> Result<Deposit, Failure> {
    let id = package_of(drop, name).await?;
    let shown = drop.show(id, Timestamp::now()).await.map_err(unavailable)?;
    Ok(shown.ok_or_else(nothing)?.0)
}

pub(super) async fn revoke(options: RevokeOptions) -> Result<(), Failure> {
    let drop = open(options.config)?;
    let now = Timestamp::now();
    let mut ids = Vec::new();
    for name in &options.packages {
        ids.push(named(&drop, name).await?.id);
    }
    if options.packages.is_empty() {
        let query = Query {
            sender: options.sender.map(|sender| look::plain(&sender)),
            queue_id: options.message,
            ..Query::default()
        };
        let mut found = drop.list(query, now).await.map_err(unavailable)?;
        found.retain(|deposit| deposit.state != State::Destroyed);
        ids.extend(found.iter().map(|deposit| deposit.id));
    }
    if ids.is_empty() {
        return Err(nothing());
    }
    let mut done = Vec::new();
    for id in ids {
        let revoked = drop.revoke(id, now, Client::ADMIN, &options.reason).await;
        let outcome = revoked.map_err(unavailable)?;
        if options.destroy && !matches!(outcome, Outcome::Destroyed | Outcome::Unknown) {
            let destroyed = drop.destroy(id, now, Client::ADMIN).await;
            destroyed.map_err(unavailable)?;
        }
        done.extend(drop.show(id, now).await.map_err(unavailable)?);
    }
    let done: Vec<_> = done.into_iter().map(|(deposit, _)| deposit).collect();
    look::deposits(&done, options.json)
}

pub(super) async fn block(options: BlockOptions) -> Result<(), Failure> {
    let sha256 = digest(&options.sha256)?;
    let drop = open(options.config)?;
    let now = Timestamp::now();
    let blocked = drop
        .block(sha256, now, Client::ADMIN, &options.reason)
        .await;
    let (fresh, ended) = blocked.map_err(unavailable)?;
    let how = if fresh {
        "blocked"
    } else {
        "was blocked before"
    };
    line(&format!("{how}; packages ended: {}", ended.len()))?;
    ended.iter().try_for_each(|id| line(&format!("{id:.12}")))
}

pub(super) async fn unblock(options: UnblockOptions) -> Result<(), Failure> {
    let sha256 = digest(&options.sha256)?;
    let drop = open(options.config)?;
    let done = drop.unblock(sha256, Timestamp::now(), Client::ADMIN).await;
    if done.map_err(unavailable)? {
        line("unblocked; packages that were ended stay so, see depollueur drop restore")
    } else {
        Err(Failure::new(EX_NOTHING, "this file is not blocked"))
    }
}

fn digest(text: &str) -> Result<[u8; 32], Failure> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    let digest = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    digest.ok_or_else(|| Failure::new(EX_USAGE, "not a SHA-256 of 64 hexadecimal digits"))
}

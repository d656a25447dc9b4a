//! `depollueur drop …`: the admin's hands in the file drop.
//!
//! A package is named by its link, or by its id, of which the first eight digits are enough when no
//! other begins with them. Names and digests of files are shown only to those who have the link.

mod act;
mod answer;
mod audit;
mod get;
mod hold;
mod link;
mod look;
mod maillog;
mod migrate;
mod select;
mod sweep;
pub(super) mod table;
mod takedown;
mod token;
mod when;
pub(super) mod why;

use clap::Subcommand;
use jiff::Timestamp;

use self::link::FoundLink;
use super::{
    ConfigOptions,
    exit::{EX_USAGE, Failure, runtime},
    owner::{self, Caller},
};
use crate::drop::{Deposit, DropError, FileDrop, Query, RecordId};

/// The exit status when a link or an id leads to nothing.
const EX_NOTHING: u8 = 1;

/// The fewest digits of an id that may be given.
const ID_DIGITS_MIN: usize = 8;
const ID_DIGITS: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum DropCommand {
    /// Fetches the files behind a link.
    Get(get::GetOptions),
    /// Lists packages, those deposited last first.
    List(look::ListOptions),
    /// Shows all that is known of a package.
    Show(look::ShowOptions),
    /// Shows what was done with packages, oldest first.
    Audit(audit::AuditOptions),
    /// Lets a live package be fetched for longer.
    Extend(act::ExtendOptions),
    /// Brings back packages that expired or were revoked, until their files are destroyed.
    Restore(act::RestoreOptions),
    /// Ends packages at once.
    Revoke(act::RevokeOptions),
    /// Takes what is complained about off the net, with its copies, and keeps it from coming back.
    Takedown(takedown::TakedownOptions),
    /// Writes who sent packages, when and from where, and who fetched them, for an authority that asks.
    Answer(answer::AnswerOptions),
    /// Keeps packages by order of an authority: nobody fetches them, and nothing destroys them.
    Hold(hold::HoldOptions),
    /// Keeps packages no longer.
    Release(hold::ReleaseOptions),
    /// Takes nothing of a login from now on, and ends the packages that it has.
    Suspend(act::SuspendOptions),
    /// Takes what a login sends again, and brings back what ended with its suspension.
    Resume(act::ResumeOptions),
    /// Lists the logins that are suspended.
    Suspended(look::SuspendedOptions),
    /// Refuses a file from now on, and ends the packages that hold it.
    Block(act::BlockOptions),
    /// Takes a file again.
    Unblock(act::UnblockOptions),
    /// Lists the files that are refused.
    Blocks(look::BlocksOptions),
    /// Makes a key in place of drop.key, when that is lost; what is blocked stays so.
    Rekey(act::RekeyOptions),
    /// Destroys what is past its expiry and grace period, and left-overs.
    Sweep(sweep::SweepOptions),
    /// Moves files and records to where drop.blobs and drop.records keep them (drop.blobs_from, drop.records_from).
    Migrate(migrate::MigrateOptions),
    /// Lets milters of other hosts deposit, each with a token of its own.
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// Runs one of the commands.
pub(super) fn run(command: DropCommand) -> Result<(), Failure> {
    let runtime = runtime()?;

    runtime.block_on(async {
        match command {
            DropCommand::Get(options) => get::run(options).await,
            DropCommand::List(options) => look::list(options).await,
            DropCommand::Show(options) => look::show(options).await,
            DropCommand::Audit(options) => audit::audit(options).await,
            DropCommand::Extend(options) => act::extend(options).await,
            DropCommand::Restore(options) => act::restore(options).await,
            DropCommand::Revoke(options) => act::revoke(options).await,
            DropCommand::Takedown(options) => takedown::run(options).await,
            DropCommand::Answer(options) => answer::run(options).await,
            DropCommand::Hold(options) => hold::hold(options).await,
            DropCommand::Release(options) => hold::release(options).await,
            DropCommand::Suspend(options) => act::suspend(options).await,
            DropCommand::Resume(options) => act::resume(options).await,
            DropCommand::Suspended(options) => look::suspended(options).await,
            DropCommand::Block(options) => act::block(options).await,
            DropCommand::Unblock(options) => act::unblock(options).await,
            DropCommand::Blocks(options) => look::blocks(options).await,
            DropCommand::Rekey(options) => act::rekey(options),
            DropCommand::Sweep(options) => sweep::run(options).await,
            DropCommand::Migrate(options) => migrate::run(options).await,
            DropCommand::Token(command) => token::run(command).await,
        }
    })
}

/// Finds the package that a link or the beginning of an id names.
async fn package_of(drop: &FileDrop, name: &str) -> Result<RecordId, Failure> {
    if let Some(link) = FoundLink::find(name) {
        return Ok(link.id);
    }

    if let Some(lack) = link::lack(name) {
        let message = format!(
            "{lack}; or name the package by its id, which this shows: depollueur drop list"
        );
        return Err(Failure::new(EX_USAGE, message));
    }

    let digits = name.trim().to_ascii_lowercase();
    let is_id = digits.bytes().all(|b| b.is_ascii_hexdigit())
        && (ID_DIGITS_MIN..=ID_DIGITS).contains(&digits.len());
    if !is_id {
        let message = "not a link, nor an id of 8 to 32 hexadecimal digits; depollueur drop list shows the ids";
        return Err(Failure::new(EX_USAGE, message));
    }

    if let Ok(id) = digits.parse() {
        return Ok(id);
    }

    let query = Query {
        id_prefix: Some(digits),
        ..Query::default()
    };
    let found = drop
        .list(query, Timestamp::now())
        .await
        .map_err(unavailable)?;

    match found.as_slice() {
        [] => Err(nothing()),
        [one] => Ok(one.id),
        _ => Err(Failure::new(
            EX_USAGE,
            "several packages have an id that begins so",
        )),
    }
}

fn nothing() -> Failure {
    Failure::new(EX_NOTHING, "this leads to nothing")
}

/// The reason why a name leads to nothing: it may be the link of another drop. Links from before
/// `web.public_url` was changed lead on, so this is asked last.
fn nothing_behind(name: &str, public_url: &str) -> Failure {
    let ours = link::host_of(public_url);
    match FoundLink::find(name).and_then(|link| link.host) {
        Some(theirs) if Some(&theirs) != ours.as_ref() => {
            let message = format!(
                "this link leads to nothing here: it is one of \"{theirs}\", and the links of this drop begin with \"{public_url}\""
            );
            Failure::new(EX_NOTHING, message)
        }
        Some(_) => {
            let message = "this link leads to nothing: it was never given out here, or its record is forgotten (drop.keep_records)";
            Failure::new(EX_NOTHING, message)
        }
        None => nothing(),
    }
}

/// Opens the drop in its owner's name, and returns it with the base of its links.
fn open(options: ConfigOptions) -> Result<(FileDrop, String), Failure> {
    open_for(options).map(|opened| (opened.drop, opened.url))
}

/// A drop that was opened in its owner's name.
struct Opened {
    drop: FileDrop,
    /// The base of its links.
    url: String,
    caller: Caller,
}

fn open_for(options: ConfigOptions) -> Result<Opened, Failure> {
    let config = options.load()?;
    let caller = owner::act_as_owner(&config.drop.directory)?;
    let drop = FileDrop::of(&config).map_err(unavailable)?;
    let url = config.web.public_url.to_string();
    Ok(Opened { drop, url, caller })
}

fn unavailable(error: impl Into<DropError>) -> Failure {
    Failure::from(error.into())
}

/// Finds the package that a link or the beginning of an id names.
async fn named(drop: &FileDrop, name: &str, url: &str) -> Result<Deposit, Failure> {
    let id = package_of(drop, name).await?;
    let shown = drop.show(id, Timestamp::now()).await.map_err(unavailable)?;
    Ok(shown.ok_or_else(|| nothing_behind(name, url))?.0)
}

//! `depollueur drop …`: the admin's hands in the file drop.
//!
//! A package is named by its link, or by its id, of which the first eight digits are enough when no
//! other begins with them. Names and digests of files are shown to whoever has the link only.

mod act;
mod get;
mod look;
mod sweep;
pub(super) mod table;
mod token;
mod when;

use clap::Subcommand;
use jiff::Timestamp;
use tokio::runtime;

use super::{
    ConfigOptions,
    exit::{EX_UNAVAILABLE, EX_USAGE, Failure},
};
use crate::drop::{Drop, DropError, Query, RecordId, Token};

/// A link or an id that leads to nothing.
const EX_NOTHING: u8 = 1;

/// So much of an id must be given.
const ID_DIGITS_MIN: usize = 8;
const ID_DIGITS: usize = 32;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Fetches the files behind a link.
    Get(get::Options),
    /// Lists packages, those deposited last first.
    List(look::ListOptions),
    /// Shows all that is known of a package.
    Show(look::ShowOptions),
    /// Shows what was done with packages, oldest first.
    Audit(look::AuditOptions),
    /// Lets a live package be fetched for longer.
    Extend(act::ExtendOptions),
    /// Brings back a package that expired or was revoked, until its files are destroyed.
    Restore(act::ExtendOptions),
    /// Ends packages at once.
    Revoke(act::RevokeOptions),
    /// Refuses a file from now on, and ends the packages that hold it.
    Block(act::BlockOptions),
    /// Takes a file again.
    Unblock(act::UnblockOptions),
    /// Lists the files that are refused.
    Blocks(look::BlocksOptions),
    /// Destroys what is past its expiry and grace period, and left-overs.
    Sweep(sweep::Options),
    /// Lets milters of other hosts deposit, each with a token of its own.
    #[command(subcommand)]
    Token(token::Command),
}

/// Runs one of the commands.
pub(super) fn run(command: Command) -> Result<(), Failure> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(EX_UNAVAILABLE, format_args!("could not start: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Get(options) => get::run(options).await,
            Command::List(options) => look::list(options).await,
            Command::Show(options) => look::show(options).await,
            Command::Audit(options) => look::audit(options).await,
            Command::Extend(options) => act::extend(options).await,
            Command::Restore(options) => act::restore(options).await,
            Command::Revoke(options) => act::revoke(options).await,
            Command::Block(options) => act::block(options).await,
            Command::Unblock(options) => act::unblock(options).await,
            Command::Blocks(options) => look::blocks(options).await,
            Command::Sweep(options) => sweep::run(options).await,
            Command::Token(command) => token::run(command).await,
        }
    })
}

/// Finds the token in a link: its landing page, one of its downloads, or the token alone; in the
/// fragment when browsers unlock the package.
fn token_of(link: &str) -> Option<Token> {
    let (rest, fragment) = link.trim().split_once('#').unwrap_or((link.trim(), ""));
    let path = rest.split('?').next()?;
    let mut segments = path.rsplit('/');
    let in_path = segments.find_map(|segment| segment.parse().ok());
    in_path.or_else(|| fragment.parse().ok())
}

/// The id in a link whose fragment is missing: reports and logs of a proxy have such ones.
fn id_of(link: &str) -> Option<RecordId> {
    let path = link.trim().split(['?', '#']).next()?;
    let (_, rest) = path.rsplit_once("/e/")?;
    rest.split('/').next()?.parse().ok()
}

/// The package that a link or the beginning of an id names.
async fn package_of(drop: &Drop, name: &str) -> Result<RecordId, Failure> {
    if let Some(token) = token_of(name) {
        return Ok(RecordId::from(&token));
    }
    if let Some(id) = id_of(name) {
        return Ok(id);
    }
    let digits = name.trim().to_ascii_lowercase();
    let is_id = digits.bytes().all(|b| b.is_ascii_hexdigit())
        && (ID_DIGITS_MIN..=ID_DIGITS).contains(&digits.len());
    if !is_id {
        let message = "not a link, nor an id of 8 to 32 hexadecimal digits";
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

fn open(options: ConfigOptions) -> Result<Drop, Failure> {
    Drop::of(&options.load()?).map_err(unavailable)
}

fn unavailable(error: DropError) -> Failure {
    Failure::new(EX_UNAVAILABLE, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_a_link_that_lost_its_token() {
        let id = "0123456789abcdef0123456789abcdef";
        for rest in ["", "/", "/1", "/report?lang=en", "#cut"] {
            let link = format!("https://drop.example.org/e/{id}{rest}");
            assert_eq!(
                id_of(&link).map(|found| found.to_string()).as_deref(),
                Some(id)
            );
            assert!(token_of(&link).is_none());
        }
        assert!(id_of(&format!("https://drop.example.org/x/{id}")).is_none());
    }

    #[test]
    fn a_token_is_found_in_every_link_of_its_package() {
        let token = "a".repeat(26);
        for link in [
            token.clone(),
            format!("https://drop.example.org/{token}"),
            format!("  http://[::1]:8025/d/{token}/\n"),
            format!("https://drop.example.org/{token}/1?x#y"),
            format!("https://drop.example.org/{token}/all.zip"),
            format!("https://drop.example.org/e/0123456789abcdef0123456789abcdef#{token}"),
            format!("https://example.org/d/e/0123456789abcdef0123456789abcdef?lang=en#{token}\n"),
        ] {
            assert_eq!(
                token_of(&link).map(|found| found.to_string()),
                Some(token.clone())
            );
        }
        for link in [
            "",
            "https://drop.example.org/",
            "abc",
            "https://drop.example.org/?t=a",
        ] {
            assert!(token_of(link).is_none(), "{link}");
        }
    }
}

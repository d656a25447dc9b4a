//! `depollueur drop token …`

use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use jiff::{Span, Timestamp, tz::TimeZone};
use serde_json::json;

use super::{EX_NOTHING, open, unavailable};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_USAGE, Failure, complain},
    },
    config::{parse_period, parse_size},
    drop::{Right, Secret, Uploader},
};

/// The longest name of an uploader.
const NAME_CHARS_MAX: usize = 64;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TokenCommand {
    /// Makes a token and prints it, this once.
    Add(AddOptions),
    /// Shows who may deposit, and what each deposited today.
    List(TokenListOptions),
    /// Refuses a token from now on. What was deposited with it stays.
    Remove(RemoveOptions),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct AddOptions {
    /// What to call who holds the token: letters, digits, dots, hyphens and underscores
    name: String,
    /// How much may be deposited with it on one day (UTC), such as "10 GB"; without it, as much as there is room for
    #[arg(long, value_name = "SIZE", value_parser = size)]
    quota_per_day: Option<u64>,
    /// What it gives the right to: deposit, status
    #[arg(long, value_delimiter = ',', default_value = "deposit")]
    rights: Vec<Right>,
    /// How long it holds, such as "1 year"; without it, until it is removed
    #[arg(long, value_name = "TIME", value_parser = period)]
    expires: Option<Span>,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct TokenListOptions {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RemoveOptions {
    /// The name that it was given
    name: String,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Runs one of the commands.
pub(in crate::cli) async fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Add(options) => add(options).await,
        TokenCommand::List(options) => list(options).await,
        TokenCommand::Remove(options) => remove(options).await,
    }
}

async fn add(options: AddOptions) -> Result<(), Failure> {
    let AddOptions {
        name,
        quota_per_day,
        mut rights,
        expires,
        config,
    } = options;

    if !is_name(&name) {
        let message = format!(
            "\"{name}\" is no name: must be 1 to {NAME_CHARS_MAX} letters, digits, dots, hyphens and underscores"
        );
        return Err(Failure::new(EX_USAGE, message));
    }

    rights.dedup();
    let expires = expires.map(from_now).transpose()?;
    let secret = Secret::random();

    let added = open(config)?
        .0
        .add_uploader(&name, &secret, rights, quota_per_day, expires)
        .await
        .map_err(unavailable)?;
    if !added {
        let message = format!("there is a token of the name \"{name}\" already: remove it first");
        return Err(Failure::new(EX_NOTHING, message));
    }

    complain(format_args!(
        "put this into a file that only the milter of \"{name}\" can read; it is not shown again"
    ));
    writeln!(io::stdout().lock(), "{}", secret.as_str()).map_err(|e| Failure::output(&e))
}

async fn list(options: TokenListOptions) -> Result<(), Failure> {
    let (drop, _) = open(options.config)?;
    let uploaders = drop.uploaders().await.map_err(unavailable)?;
    let text = if options.json {
        let list: Vec<_> = uploaders.iter().map(as_json).collect();
        serde_json::Value::from(list).to_string() + "\n"
    } else {
        table(&uploaders)
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(|e| Failure::output(&e))
}

async fn remove(options: RemoveOptions) -> Result<(), Failure> {
    let (drop, _) = open(options.config)?;
    let name = options.name;
    if drop.remove_uploader(&name).await.map_err(unavailable)? {
        return Ok(());
    }
    let message = format!("there is no token of the name \"{name}\"");
    Err(Failure::new(EX_NOTHING, message))
}

fn as_json(uploader: &Uploader) -> serde_json::Value {
    let rights: Vec<_> = uploader.rights.iter().map(Right::to_string).collect();
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    json!({
        "name": uploader.name,
        "rights": rights,
        "quota_per_day": uploader.quota,
        "bytes_today": uploader.bytes_today,
        "created": uploader.created.to_string(),
        "expires": time(uploader.expires),
        "last_used": time(uploader.last_used),
    })
}

/// Formats one line each, with columns lined up, for people.
fn table(uploaders: &[Uploader]) -> String {
    let time =
        |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |time| time.to_string());
    let head = ["NAME", "RIGHTS", "TODAY", "QUOTA", "EXPIRES", "LAST USED"].map(str::to_owned);

    let row = |uploader: &Uploader| {
        let rights: Vec<_> = uploader.rights.iter().map(Right::to_string).collect();
        [
            uploader.name.clone(),
            rights.join(","),
            uploader.bytes_today.to_string(),
            uploader
                .quota
                .map_or_else(|| "none".to_owned(), |quota| quota.to_string()),
            time(uploader.expires),
            time(uploader.last_used),
        ]
    };

    let rows: Vec<[String; 6]> = std::iter::once(head)
        .chain(uploaders.iter().map(row))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);

    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:width$}  "))
            .collect();
        format!("{}\n", line.trim_end())
    };

    rows.iter().map(line).collect()
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_plain)
}

fn from_now(span: Span) -> Result<Timestamp, Failure> {
    let end = Timestamp::now().to_zoned(TimeZone::UTC).checked_add(span);
    end.map(|end| end.timestamp())
        .map_err(|error| Failure::new(EX_USAGE, error))
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).ok_or_else(|| r#"must be a size such as "10 GB""#.to_owned())
}

fn period(text: &str) -> Result<Span, String> {
    parse_period(text).ok_or_else(|| r#"must be a time such as "1 year""#.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_stand_in_a_log_line() {
        for name in ["mx1", "mx1.example.org", "a_b-c", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "é", "a\n", "a\"", &"x".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}

//! The command `depollueur stats`.

mod html;
mod texts;

use std::{io::Write as _, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::{Timestamp, tz::TimeZone};
use mailsplice::l10n::Language;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::runtime;

use self::html::Page;
use super::{
    ConfigOptions,
    drop::table::{self, table},
    exit::{EX_IOERR, EX_UNAVAILABLE, EX_USAGE, Failure},
    language, owner,
};
use crate::{
    drop::FileDrop,
    ledger::statistics::{self, By, Month, Row, Sums},
};

#[derive(Args, Debug)]
pub(super) struct StatsOptions {
    /// From this month on: 2026-01
    #[arg(long, value_name = "MONTH")]
    since: Option<Month>,
    /// Until the end of this month
    #[arg(long, value_name = "MONTH")]
    until: Option<Month>,
    /// What has a line of its own
    #[arg(long, value_enum, default_value = "month")]
    by: Column,
    /// Writes JSON
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Writes a page to show to people; - is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The language of the page, fr or en; without it that of the notice
    #[arg(long, requires = "html", value_parser = language::language)]
    language: Option<Language>,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Column {
    Month,
    Direction,
    Domain,
}

impl From<Column> for By {
    fn from(column: Column) -> Self {
        match column {
            Column::Month => Self::Month,
            Column::Direction => Self::Direction,
            Column::Domain => Self::Domain,
        }
    }
}

/// Prints the statistics of files kept out of mailboxes.
pub(super) fn run(options: StatsOptions) -> Result<(), Failure> {
    let (since, until) = (options.since, options.until);
    if since.zip(until).is_some_and(|(since, until)| since > until) {
        return Err(Failure::new(EX_USAGE, "--since is after --until"));
    }

    let config = options.config.load()?;
    let caller = owner::act_as_owner(&config.drop.directory)?;
    let drop = FileDrop::of(&config)?;
    let rows = read(&drop, since, until)?;

    let by = By::from(options.by);
    match options.html {
        Some(file) => {
            let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
            let page = Page {
                operator: config.web.operator_or_host(),
                language: options.language.unwrap_or(config.notice.usual_language()),
                since,
                until,
                today,
            };
            let page = html::page(&page, &rows);
            caller.act(|| write_page(&file, &page))
        }
        None if options.json => table::json(&as_json(&rows, by)),
        None => print(&rows, by),
    }
}

/// Reads the statistics as they may be shown.
fn read(drop: &FileDrop, since: Option<Month>, until: Option<Month>) -> Result<Vec<Row>, Failure> {
    let unavailable = |error: &dyn std::fmt::Display| Failure::new(EX_UNAVAILABLE, error);
    let runtime = runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| unavailable(&error))?;
    let rows = runtime
        .block_on(drop.statistics(since, until))
        .map_err(|error| unavailable(&error))?;
    Ok(statistics::fold(&rows))
}

fn label(row: &Row, by: By) -> String {
    match by {
        By::Month => row.month.to_string(),
        By::Direction => row.direction.as_str().to_owned(),
        By::Domain if row.domain.is_empty() => "(others)".to_owned(),
        By::Domain => row.domain.clone(),
    }
}

fn print(rows: &[Row], by: By) -> Result<(), Failure> {
    let heading = match by {
        By::Month => "MONTH",
        By::Direction => "DIRECTION",
        By::Domain => "DOMAIN",
    };
    let headings = [heading, "MESSAGES", "FILES", "BYTES", "MAILBOXES", "SPARED"];
    let line = |label: String, sums: Sums| {
        [
            label,
            sums.messages.to_string(),
            sums.files.to_string(),
            sums.bytes.to_string(),
            sums.recipients.to_string(),
            sums.spared.to_string(),
        ]
    };

    let groups = statistics::group(rows, by, |row| label(row, by));
    let mut lines: Vec<_> = groups
        .into_iter()
        .map(|(label, sums)| line(label, sums))
        .collect();
    lines.push(line("total".to_owned(), statistics::total(rows)));
    table(headings, lines)
}

fn as_json(rows: &[Row], by: By) -> Value {
    let key = match by {
        By::Month => "month",
        By::Direction => "direction",
        By::Domain => "domain",
    };

    // The group of other domains has no name here.
    let name = |row: &Row| match by {
        By::Domain => row.domain.clone(),
        _ => label(row, by),
    };
    let entry = |(label, sums): (String, Sums)| {
        let mut entry = sums_json(sums);
        entry[key] = if label.is_empty() {
            Value::Null
        } else {
            label.into()
        };
        entry
    };

    let lines: Vec<_> = statistics::group(rows, by, name)
        .into_iter()
        .map(entry)
        .collect();
    json!({ "by": key, "lines": lines, "total": sums_json(statistics::total(rows)) })
}

fn sums_json(sums: Sums) -> Value {
    json!({
        "messages": sums.messages,
        "files": sums.files,
        "bytes": sums.bytes,
        "mailboxes": sums.recipients,
        "spared_bytes": sums.spared,
    })
}

/// Writes the page: a reader of the file sees the old page or the new one, never half of it.
fn write_page(file: &std::path::Path, page: &str) -> Result<(), Failure> {
    if file.as_os_str() == "-" {
        let mut output = std::io::stdout().lock();
        let written = output.write_all(page.as_bytes());
        return written.map_err(|error| Failure::output(&error));
    }

    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => std::path::Path::new("."),
    };

    let written = NamedTempFile::new_in(directory).and_then(|mut new| {
        new.write_all(page.as_bytes())?;
        new.as_file().set_permissions(page_mode())?;
        new.persist(file).map_err(|error| error.error)?;
        Ok(())
    });

    written.map_err(|error| {
        let message = format_args!("could not write \"{}\": {error}", file.display());
        Failure::new(EX_IOERR, message)
    })
}

/// Returns the mode of the page, which is made to be shown: a web server may read it.
fn page_mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

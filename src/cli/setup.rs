//! `depollueur setup`: a few questions, a commented configuration, the lines for Postfix.
//!
//! Each answer is checked at once by the code that reads the configuration. With `--domain` nothing
//! is asked: a question that no option answers keeps the answer that would have been proposed. The
//! daemon starts in dry-run: it decides and counts, and changes no mail until the admin says so.
//!
//! * `answers` – the questions and their proposals
//! * `stores` – those about the places of files and records
//! * `file` – the sample with the values that differ
//! * `end` – the way into Postfix: the lines to type, or `depollueur plug` at once

mod answers;
mod end;
mod file;
mod stores;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use clap::Args;

use self::{
    answers::Answers,
    end::{End, may_be_drop},
};
use super::{
    doctor,
    exit::{EX_IOERR, EX_USAGE, Failure, complain},
};
use crate::config::{Config, DEFAULT_FILE, Sources};

/// The mode of the configuration: its owner and the daemon's group may read it.
const MODE: u32 = 0o640;

#[derive(Args, Debug)]
pub(super) struct SetupOptions {
    /// File to write [default: /etc/depollueur/depollueur.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Writes over a configuration that is there
    #[arg(long)]
    force: bool,
    /// The mail domain; with it, nothing is asked
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// The address of the drop in links
    #[arg(
        long,
        value_name = "URL",
        help = "The address of the drop in links [default: https://drop.DOMAIN/]"
    )]
    public_url: Option<String>,
    /// The size from which attachments are detached [default: 500 kB]
    #[arg(long, value_name = "SIZE")]
    threshold: Option<String>,
    /// How long files can be fetched [default: 1 month]
    #[arg(long, value_name = "TIME")]
    expiry: Option<String>,
    /// The language of the notice, fr or en [default: fr]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Directory of the drop, such as one on a disk of its own [default: /var/lib/depollueur]
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// Writes this value, too: --set drop.records="postgresql:///depollueur?host=/run/postgresql"
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Mailing lists run on this host: treats outgoing mail only, and writes rules for the list server
    #[arg(long)]
    lists: bool,
    /// Mail is forwarded from this host to others: treats outgoing mail only
    #[arg(long)]
    forwarding: bool,
    /// Treats outgoing mail only: strangers put no files on this host
    #[arg(long)]
    outgoing: bool,
    /// Directory of Postfix's main.cf, when it is not the usual one
    #[arg(long, value_name = "DIR")]
    postfix_config: Option<PathBuf>,
    /// Starts the daemon and puts it into Postfix, as depollueur plug --yes does
    #[arg(long, conflicts_with = "no_plug")]
    plug: bool,
    /// Does not offer to start the daemon and to put it into Postfix
    #[arg(long)]
    no_plug: bool,
}

/// Asks, writes the file, and then either says what to type next or does it.
pub(super) fn run(options: SetupOptions) -> Result<(), Failure> {
    let path = options
        .config
        .clone()
        .unwrap_or_else(|| DEFAULT_FILE.into());

    // Checked first: nobody should answer questions for nothing.
    let force = options.force || says_nothing(&path);
    if path.exists() && !force {
        return Err(in_the_way(&path));
    }
    if let Some(directory) = &options.directory {
        may_be_drop(directory)?;
    }

    let given = stores::of_options(&options.settings)?;
    let is_asked = options.domain.is_none();
    let answers = if !is_asked {
        Answers::of_options(&options).map_err(|reason| Failure::new(EX_USAGE, reason))?
    } else if io::stdin().is_terminal() {
        Answers::ask(&options, &mut io::stdin().lock(), &mut io::stdout())?
    } else {
        let message = "nobody can be asked here: give --domain";
        return Err(Failure::new(EX_USAGE, message));
    };

    let plugs = doctor::plugs(options.postfix_config.as_deref());
    let mut settings = answers.settings(plugs.listen.as_deref());
    settings.retain(|(key, _)| given.iter().all(|(given, _)| given != key));
    settings.extend(given);
    let mut text = file::text(&settings);
    if answers.onward().lists {
        text.push_str(file::LIST_RULES);
    }

    let config = write(&path, &text, force)?;
    for warning in config.warnings() {
        complain(format_args!("warning: {warning}"));
    }

    let end = End {
        path: &path,
        config: &config,
        plugs: &plugs,
    };
    end.run(&options, is_asked)
}

/// Returns true for a file in which no value is set, as packages once brought one: it is nobody's work.
fn says_nothing(path: &Path) -> bool {
    let table = fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok());
    let is_empty = |value: &toml::Value| value.as_table().is_some_and(toml::Table::is_empty);
    table.is_some_and(|table| table.values().all(is_empty))
}

fn in_the_way(path: &Path) -> Failure {
    let shown = path.display();
    Failure::new(
        EX_USAGE,
        format_args!("\"{shown}\" is there already: --force writes over it"),
    )
}

/// Writes the file, first beside the old one, then over it: neither a full disk nor a file that the
/// daemon would not read takes the place of one that is good. Returns the configuration that the
/// daemon will read.
fn write(path: &Path, text: &str, force: bool) -> Result<Config, Failure> {
    let failed = |error: io::Error| {
        let shown = path.display();
        Failure::new(
            EX_IOERR,
            format_args!("could not write \"{shown}\": {error}{}", advice(&error)),
        )
    };

    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };

    let mut new = tempfile::Builder::new()
        .prefix(".depollueur")
        .permissions(fs::Permissions::from_mode(MODE))
        .tempfile_in(directory)
        .map_err(failed)?;

    let saved = new.write_all(text.as_bytes());
    saved
        .and_then(|()| new.as_file().sync_all())
        .map_err(failed)?;
    // The file mask may have taken bits away.
    new.as_file()
        .set_permissions(fs::Permissions::from_mode(MODE))
        .map_err(failed)?;
    keep_group(new.as_file(), path, directory);

    let config = Config::load(&Sources {
        file: Some(new.path().to_owned()),
        ..Sources::default()
    })?;

    let placed = if force {
        new.persist(path)
    } else {
        new.persist_noclobber(path)
    };
    placed.map_err(|error| failed(error.error))?;
    Ok(config)
}

/// The first step to mend this error, for the message.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; its directory must be there: install -d",
        io::ErrorKind::PermissionDenied => "; run this as root: sudo depollueur setup",
        _ => "",
    }
}

/// Gives the file the group by which the daemon reads it: that of the file that is replaced, else
/// that of the directory. A caller who may not do so gets a file for himself.
fn keep_group(new: &fs::File, path: &Path, directory: &Path) {
    let place = fs::metadata(path).or_else(|_| fs::metadata(directory));
    if let Ok(place) = place {
        let _ = std::os::unix::fs::fchown(new, None, Some(place.gid()));
    }
}

//! The command `depollueur check`.

use std::{
    io::{self, Write as _},
    path::Path,
};

use clap::Args;

use super::{
    ConfigOptions,
    exit::{EX_CONFIG, Failure, complain, runtime},
    obstacles::{self, Obstacle},
};
use crate::{
    config::{AddressLists, Config, DEFAULT_FILE, DOMAINS_DIRECTORY, Directions, Forwarding},
    lookup::{Lookup, LookupError},
    web::Theme,
};

#[derive(Args, Debug)]
pub(super) struct CheckOptions {
    #[command(flatten)]
    pub(super) config: ConfigOptions,
    /// Prints warnings only
    #[arg(long)]
    quiet: bool,
    /// Prints what holds for mail of this domain, with what domains.d has for it
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Says of which tables of Postfix nothing can be asked, and nothing else
    #[arg(long, hide = true)]
    tables: bool,
}

/// Prints the effective values as a configuration file; warnings go to standard error.
pub(super) fn run(options: CheckOptions) -> Result<(), Failure> {
    let is_usual = match &options.config.config {
        Some(file) => file == Path::new(DEFAULT_FILE),
        None => true,
    };
    let (config, loaded) = options.config.load_written_with_files()?;
    if options.tables {
        return print(&lines(&unasked(&config)?));
    }

    // Loading reads the logo and tries the templates, so that their errors are told here.
    Theme::load(&config.web)?;
    Theme::load_domains(&config).map_err(|why| Failure::new(EX_CONFIG, why))?;

    for warning in loaded.warnings(&config) {
        complain(format_args!("warning: {warning}"));
    }
    for warning in of_domains(&config) {
        complain(format_args!("warning: {warning}"));
    }
    for error in unasked(&config)? {
        complain(format_args!("warning: {error}"));
    }

    let obstacles = obstacles(is_usual, &config);
    for obstacle in &obstacles {
        let level = if obstacle.is_harmless {
            "warning"
        } else {
            "error"
        };
        complain(format_args!("{level}: {}", obstacle.message));
        for line in &obstacle.fix {
            complain(format_args!("  do: {line}"));
        }
    }
    if obstacles.iter().any(|obstacle| !obstacle.is_harmless) {
        return Err(Failure::silent(EX_CONFIG));
    }

    if options.quiet {
        return Ok(());
    }
    let own = options
        .domain
        .and_then(|domain| config.of_domain(&domain).cloned());
    let shown = own.as_deref().unwrap_or(&config);
    print(&format!("{}{}", of_strangers(shown), shown.to_toml()))
}

/// The consequences of treating mail from outside, as a comment.
fn of_strangers(config: &Config) -> String {
    if config.detach.directions == Directions::Outgoing || !config.uses_drop() {
        return String::new();
    }
    let bound = |size: Option<u64>| match size {
        Some(size) => format!("{size} bytes"),
        None => "any number of bytes".to_owned(),
    };
    let spared = match config.detach.forwarded {
        Forwarding::Spare => ", and nothing that an alias forwards",
        Forwarding::Treat => "",
    };
    format!(
        "# Mail from outside is treated: strangers put files on this host and their readers get links to them, in 24 hours {} \
         from one\n# network and {} in all, but nothing that filters before this one marked (detach.marked_by){spared}. With\n\
         # detach.directions = \"outgoing\" they put none.\n\n",
        bound(config.quota.incoming_client_per_day),
        bound(config.quota.incoming_per_day),
    )
}

/// Returns the warnings that the files of domains give rise to and the main file does not.
fn of_domains(config: &Config) -> Vec<String> {
    let known = config.warnings();
    let mut warnings = Vec::new();
    for (domain, own) in &config.domains {
        let new = own.warnings().into_iter();
        let new = new.filter(|warning| !known.contains(warning));
        warnings.extend(new.map(|warning| format!("{DOMAINS_DIRECTORY}/{domain}.toml: {warning}")));
    }
    warnings
}

fn lines(errors: &[LookupError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))
}

/// Lists the tables of Postfix that the calling user cannot query, each with its reason.
fn unasked(config: &Config) -> Result<Vec<LookupError>, Failure> {
    if !config.may_ask_postfix() {
        return Ok(Vec::new());
    }
    let runtime = runtime()?;
    Ok(runtime.block_on(Lookup::new(config, AddressLists::default()).probe()))
}

/// Collects the obstacles of this machine and, for the usual configuration, those the daemon would meet.
fn obstacles(is_usual: bool, config: &Config) -> Vec<Obstacle> {
    let mut found = obstacles::of_machine(config);
    if is_usual {
        found.extend(obstacles::all(config));
    } else {
        found.extend(obstacles::of_spool(config));
    }
    found
}

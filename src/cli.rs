//! The commands.

mod check;
mod completions;
mod doctor;
mod drop;
mod envelope;
mod exit;
mod language;
mod obstacles;
mod owner;
mod plug;
mod progress;
mod reload;
mod replay;
mod rewrite;
mod run;
mod setup;
mod stats;
mod unit;
mod usage;
mod user;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};

use self::exit::Failure;
use crate::{
    aside,
    config::{Config, ConfigError, Sources},
    loaded::Loaded,
    units::Service,
};

/// Time that the end of a process waits until what was given up is gone from the drop.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// Takes the heavy attachments out of mail, keeps them in a file drop, writes links into the mail.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the milter, the web server and the sweeper until SIGTERM.
    Run(run::RunOptions),
    /// Runs the part that takes mail alone, until SIGTERM.
    Milter(run::RunOptions),
    /// Runs the part that readers touch alone, until SIGTERM.
    Web(run::RunOptions),
    /// Rewrites one message from standard input to standard output.
    Rewrite(rewrite::RewriteOptions),
    /// Says what would become of saved mail: files, directories, Maildirs, mboxes.
    Replay(replay::ReplayOptions),
    /// Has the running daemon read its configuration again, and says what came of it.
    Reload(reload::ReloadOptions),
    /// Checks the configuration and prints the values that hold.
    Check(check::CheckOptions),
    /// Looks at the living system and says what is wrong with it, and what to type.
    Doctor(doctor::DoctorOptions),
    /// Asks a few questions and writes a configuration.
    Setup(setup::SetupOptions),
    /// Says what was decided of a message and what became of it, by queue id, Message-ID or link.
    Why(drop::why::WhyOptions),
    /// Puts the milter into Postfix: shows the change, tries it with test mail, takes back what does not hold.
    Plug(plug::PlugOptions),
    /// Takes the milter out of Postfix, which is then as it was before.
    Unplug(plug::Out),
    /// Says what was kept out of mailboxes.
    Stats(stats::StatsOptions),
    /// Looks into the file drop.
    #[command(subcommand)]
    Drop(drop::DropCommand),
    /// Prints what makes a shell complete commands and options.
    Completions(completions::CompletionsOptions),
}

/// The options of every command that reads the configuration.
#[derive(Args, Clone, Debug, Default)]
struct ConfigOptions {
    /// Configuration file; without it /etc/depollueur/depollueur.toml, if that exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one value over file and environment: --set detach.threshold="1 MB"
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl ConfigOptions {
    fn load(self) -> Result<Config, Failure> {
        Ok(self.load_with_files()?.0)
    }

    /// As `load`, with the contents of the files that the configuration names.
    fn load_with_files(self) -> Result<(Config, Loaded), Failure> {
        Ok(with_files(&Sources::of_process(
            self.config,
            self.settings,
        )?)?)
    }

    /// As `load`, for commands that need a configuration which somebody has written.
    fn load_written(self) -> Result<Config, Failure> {
        Ok(self.load_written_with_files()?.0)
    }

    fn load_written_with_files(self) -> Result<(Config, Loaded), Failure> {
        let sources = Sources::of_process(self.config, self.settings)?;
        Ok(with_files(&sources.written()?)?)
    }

    /// With the file's whole path: whoever reads it may stand in another directory.
    fn absolute(mut self) -> Self {
        let whole = self.config.as_deref().map(std::path::absolute);
        if let Some(Ok(whole)) = whole {
            self.config = Some(whole);
        }
        self
    }
}

/// Reads a configuration, and the files that it names.
fn with_files(sources: &Sources) -> Result<(Config, Loaded), ConfigError> {
    let config = Config::load(sources)?;
    let loaded = Loaded::read(&config)?;
    Ok((config, loaded))
}

/// Runs the command line. The exit codes are those of `sysexits.h`.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error),
    };
    let done = match arguments.command {
        Command::Run(options) => run::run(options, Service::Whole),
        Command::Milter(options) => run::run(options, Service::Milter),
        Command::Web(options) => run::run(options, Service::Web),
        Command::Rewrite(options) => rewrite::run(options),
        Command::Replay(options) => replay::run(options),
        Command::Reload(options) => reload::run(options),
        Command::Check(options) => check::run(options),
        Command::Doctor(options) => doctor::run(options),
        Command::Setup(options) => setup::run(options),
        Command::Why(options) => drop::why::run(options),
        Command::Plug(options) => plug::plug(&options),
        Command::Unplug(options) => plug::unplug(&options),
        Command::Stats(options) => stats::run(options),
        Command::Drop(command) => drop::run(command),
        Command::Completions(options) => completions::run(&options),
    };
    // What is not removed by then is swept.
    aside::settle(SETTLE_TIME);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_may_be_given_many_times() {
        let line = [
            "depollueur",
            "check",
            "--set",
            "a.b=1",
            "--set",
            "a.b=2",
            "--config",
            "x",
        ];
        let Command::Check(options) = Arguments::parse_from(line).command else {
            panic!()
        };
        assert_eq!(options.config.settings, ["a.b=1", "a.b=2"]);
    }
}

//! Reports a wrong command line: the library's message, and advice where the library cannot know.

use std::{path::Path, process::ExitCode};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::exit::{EX_USAGE, complain};
use crate::units;

/// Words of systemctl(1) mistaken for commands of ours.
const OF_SYSTEMD: [&str; 6] = ["start", "stop", "restart", "status", "enable", "disable"];

/// Options that other daemons have.
const OF_DAEMONS: [&str; 5] = ["-d", "-D", "--daemon", "--daemonize", "--detach"];

/// Prints the message and returns the exit code: help and version are successes, everything else is a
/// usage error.
pub(super) fn report(error: &clap::Error) -> ExitCode {
    let printed = error.print().is_ok();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if printed => return ExitCode::SUCCESS,
        _ => {}
    }
    let first = std::env::args().nth(1).unwrap_or_default();
    if let Some(advice) = advice(error, &first) {
        complain(format_args!("type: {advice}"));
    }
    ExitCode::from(EX_USAGE)
}

/// Returns the command to type instead; `first` is the first word after our name.
fn advice(error: &clap::Error, first: &str) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => match text(ContextKind::InvalidSubcommand)? {
            word if OF_SYSTEMD.contains(&word) => {
                Some(format!("systemctl {word} {}", units::in_use().names()))
            }
            "help" => Some("depollueur --help, or man depollueur".to_owned()),
            "version" => Some("depollueur --version".to_owned()),
            "test" | "configtest" => Some("depollueur check".to_owned()),
            _ => None,
        },
        ErrorKind::UnknownArgument => {
            let word = text(ContextKind::InvalidArg)?;
            of_argument(word, first)
        }
        _ => None,
    }
}

fn of_argument(word: &str, first: &str) -> Option<String> {
    if first.starts_with('-') {
        return Some("depollueur COMMAND, and its options behind it, such as: depollueur check --config FILE".to_owned());
    }
    if word == "-c" || word == "-f" {
        return Some(format!("depollueur {first} --config FILE"));
    }

    if ["run", "milter", "web"].contains(&first) && OF_DAEMONS.contains(&word) {
        let daemons = units::in_use().names();
        return Some(format!(
            "systemctl start {daemons} (the daemon stays in the foreground, as systemd wants it)"
        ));
    }

    if word.starts_with('-') {
        return Some(format!(
            "depollueur {first} --help, which shows its options"
        ));
    }

    let is_configuration = Path::new(word).extension().is_some_and(|end| end == "toml");
    match first {
        "rewrite" if !is_configuration => Some(format!("depollueur rewrite < {word}")),
        _ if is_configuration => Some(format!("depollueur {first} --config {word}")),
        _ => Some(format!(
            "depollueur {first} --help, which shows what it takes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Arguments;

    #[test]
    fn what_is_typed_by_habit_is_told_what_to_type() {
        for (typed, told) in [
            ("restart", "systemctl restart depollueur"),
            ("version", "depollueur --version"),
            ("configtest", "depollueur check"),
            ("check a.toml", "depollueur check --config a.toml"),
            ("check -c a.toml", "depollueur check --config FILE"),
            ("-c a.toml check", "depollueur check --config FILE"),
            ("rewrite mail.eml", "depollueur rewrite < mail.eml"),
            ("run --daemon", "systemctl start depollueur"),
            ("drop sweep --force", "depollueur drop --help"),
        ] {
            let words = std::iter::once("depollueur").chain(typed.split(' '));
            let error = Arguments::try_parse_from(words).unwrap_err();
            let first = typed.split(' ').next().unwrap();
            let said = advice(&error, first).unwrap_or_default();
            assert!(said.contains(told), "{typed}: {said}");
        }
    }
}

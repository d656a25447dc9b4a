//! The end of setup: the lines to type, or, if that is wanted, the daemon started and put into Postfix.
//!
//! The lines that are run are those that would be shown. Nothing is run without a yes, by an answer
//! or by `--plug`.

use std::{
    io::{self, Write as _},
    path::Path,
    process::Command,
};

use super::{
    super::{
        ConfigOptions,
        doctor::Plugs,
        exit::{EX_UNAVAILABLE, EX_USAGE, Failure},
        plug, quoted,
        unit::Unit,
    },
    SetupOptions,
    answers::{ask, yes_or_no},
    stores::missing_secrets,
};
use crate::{
    config::{Config, DEFAULT_FILE, RunMode},
    units::{self, Part},
};

/// The directories that our unit hides from the daemon.
const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];

const PLUG: &str = "Start the daemon and put it into Postfix now? What would be changed is shown first (yes or no)";

/// The rest of the work.
pub(super) struct End<'a> {
    /// The file that was written.
    pub(super) path: &'a Path,
    /// The configuration in it.
    pub(super) config: &'a Config,
    /// The way in which Postfix reaches the milter.
    pub(super) plugs: &'a Plugs,
}

impl End<'_> {
    /// Asks, and then either does it or says what to type.
    ///
    /// # Errors
    /// Fails if the work did not come to a good end; the file is written in any case.
    pub(super) fn run(&self, options: &SetupOptions, is_asked: bool) -> Result<(), Failure> {
        say(&format!("Written: {}\n\n", self.path.display()))?;
        let is_ready = missing_secrets(self.config).is_empty();
        let offered =
            is_asked && is_ready && self.plugs.is_there && !options.no_plug && !options.plug;
        if !(options.plug || offered && is_wanted()) {
            return self.tell(&self.lines());
        }
        self.start()?;
        let config = ConfigOptions {
            config: options.config.clone(),
            settings: Vec::new(),
        };
        plug::after_setup(config, options.postfix_config.clone(), options.plug)?;
        self.tell(&["depollueur doctor".to_owned()])
    }

    fn tell(&self, lines: &[String]) -> Result<(), Failure> {
        let mut text = "Next, type:\n".to_owned();
        for line in lines {
            text += &format!("    {line}\n");
        }
        if self.config.detach.mode != RunMode::DryRun {
            return say(&text);
        }
        text += &format!(
            "\n\
             The daemon starts in dry-run: it decides, counts and logs, and changes no mail. When its log\n\
             says what you expect, set mode = \"live\" in the section [detach] of {}, and\n\
             type: systemctl reload {}\n",
            self.path.display(),
            units::of(Part::Mail)
        );
        say(&text)
    }

    /// Returns all lines: the way to a drop that stands elsewhere, the daemon, Postfix.
    fn lines(&self) -> Vec<String> {
        let services = units::in_use().services();
        let units: Vec<_> = services.iter().map(|service| Unit::of(*service)).collect();
        let mut lines = missing_secrets(self.config);
        if !lines.is_empty() {
            lines.push("depollueur check".to_owned());
        }
        lines.extend(opening(&self.config.drop.directory, &units));
        lines.extend(self.plugs.lines());
        lines
    }

    /// Runs the lines before "depollueur plug". Our units read the usual file, and no other.
    fn start(&self) -> Result<(), Failure> {
        if self.path != Path::new(DEFAULT_FILE) {
            return Ok(());
        }

        if let Some(line) = missing_secrets(self.config).first() {
            let message = format_args!(
                "a secret is missing; type it, and then: depollueur check && depollueur plug\n    {line}"
            );
            return Err(Failure::new(EX_UNAVAILABLE, message));
        }

        let is_other = |line: &String| !line.starts_with("depollueur ");
        for line in self.lines().into_iter().take_while(is_other) {
            say(&format!("{line}\n"))?;
            let done = Command::new("sh").args(["-ec", &line]).output();
            let done = done.map_err(|error| {
                Failure::new(EX_UNAVAILABLE, format_args!("could not run sh: {error}"))
            })?;
            if !done.status.success() {
                let said = String::from_utf8_lossy(&done.stderr);
                let last = said.lines().last().unwrap_or_default();
                let message = format!(
                    "\"{line}\" failed: {last}; when that is mended, type it again, and then: depollueur plug"
                );
                return Err(Failure::new(EX_UNAVAILABLE, message));
            }
        }
        Ok(())
    }
}

/// Asks; no answer is not a yes.
fn is_wanted() -> bool {
    let (mut answers, mut out) = (io::stdin().lock(), io::stdout().lock());
    ask(&mut answers, &mut out, PLUG, "no", yes_or_no).is_ok_and(|answer| answer == "yes")
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| Failure::output(&error))
}

/// Refuses a place for the drop that the daemon cannot see.
///
/// # Errors
/// One line with what to take in its place.
pub(super) fn may_be_drop(directory: &str) -> Result<(), Failure> {
    let is_hidden = HIDDEN
        .iter()
        .any(|hidden| Path::new(directory).starts_with(hidden));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !directory.chars().all(is_plain) {
        let message = format!(
            "--directory: \"{directory}\": systemd reads signs of this name in its own way: take one of letters, digits, \"/\", \".\", \"_\" and \"-\""
        );
        return Err(Failure::new(EX_USAGE, message));
    }
    if !is_hidden {
        return Ok(());
    }
    let message = format!(
        "--directory: \"{directory}\": the daemon's service hides this place from it (ProtectHome=, PrivateTmp=): take one below /var/lib/depollueur or /srv"
    );
    Err(Failure::new(EX_USAGE, message))
}

/// Returns the lines that make a drop outside of the daemon's own directory and open it for its
/// services; none for one inside.
fn opening(directory: &Path, units: &[Unit]) -> Vec<String> {
    let closed = units.iter().filter(|unit| !unit.may_write(directory));
    let closed: Vec<_> = closed.collect();
    if closed.is_empty() {
        return Vec::new();
    }
    let shown = directory.display().to_string();
    let make = format!(
        "install -d -m 0700 -o depollueur -g depollueur {}",
        quoted(&shown)
    );
    let setting = format!("ReadWritePaths={shown}");
    let drop_ins = closed
        .iter()
        .flat_map(|unit| unit.drop_in("directories", &setting));
    // The daemon is started below, after its units were read once.
    let is_kept = |line: &String| !line.starts_with("systemctl ");
    std::iter::once(make)
        .chain(drop_ins.filter(is_kept))
        .chain(["systemctl daemon-reload".to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_elsewhere_is_made_and_opened_before_the_daemon_starts() {
        let shipped = |name: &str| {
            Unit::parse(&format!(
                "Id={name}.service\nProtectSystem=strict\nStateDirectory=depollueur\n"
            ))
        };
        let whole = [shipped("depollueur")];
        let lines = opening(Path::new("/srv/drop"), &whole).join("\n");
        assert!(lines.starts_with("install -d -m 0700 -o depollueur -g depollueur '/srv/drop'\n"));
        assert!(lines.contains("ReadWritePaths=/srv/drop"), "{lines}");
        assert!(lines.ends_with("systemctl daemon-reload"), "{lines}");
        assert!(opening(Path::new("/var/lib/depollueur/files"), &whole).is_empty());
        let open = Unit::parse("ProtectSystem=strict\nReadWritePaths=/srv/drop\n");
        assert!(opening(Path::new("/srv/drop"), std::slice::from_ref(&open)).is_empty());

        let split = [open, shipped("depollueur-web"), shipped("depollueur-sweep")];
        let lines = opening(Path::new("/srv/drop"), &split);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines[3].contains("depollueur-sweep.service.d"), "{lines:?}");
    }

    #[test]
    fn a_place_that_the_daemon_cannot_see_is_refused() {
        for (directory, is_right) in [
            ("/home/drop", false),
            ("/tmp", false),
            ("/srv/home/drop", true),
            ("/homes", true),
        ] {
            assert_eq!(may_be_drop(directory).is_ok(), is_right, "{directory}");
        }
    }
}

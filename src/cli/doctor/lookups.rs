//! Checks that the daemon can ask Postfix about recipients: one lookup in each table, by a process of
//! the daemon's user with that user's groups, and then once more in a sandbox like that of its
//! service.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use super::{
    super::{ConfigOptions, unit::Unit},
    report::DoctorReport,
};
use crate::config::Config;

/// Name of the check.
const LOOKUPS: &str = "postfix.lookups";

/// The settings of a service that decide which files and servers postmap can reach.
const SANDBOX: [&str; 18] = [
    "User",
    "Group",
    "SupplementaryGroups",
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "PrivateUsers",
    "PrivateNetwork",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "BindPaths",
    "BindReadOnlyPaths",
    "NoNewPrivileges",
    "MemoryDenyWriteExecute",
    "RestrictAddressFamilies",
    "IPAddressAllow",
    "IPAddressDeny",
];

pub(super) fn check(
    report: &mut DoctorReport,
    config: &Config,
    options: &ConfigOptions,
    unit: Option<&Unit>,
) {
    if !config.may_ask_postfix() {
        return;
    }

    match tried(config, options) {
        Err(why) => return report.unknown(LOOKUPS, format_args!("lookups were not tried: {why}")),
        Ok(said) if !said.is_empty() => return tell(report, config, &said),
        Ok(_) => {}
    }

    match unit.map(|unit| said_by(&mut sandboxed(unit, options))) {
        None => report.ok(LOOKUPS, "aliases and tables of users can be asked"),
        Some(Err(why)) => report.unknown(
            LOOKUPS,
            format_args!("aliases and tables of users can be asked by the daemon's user; whether the sandbox of its service lets them be was not tried: {why}"),
        ),
        Some(Ok(said)) if said.is_empty() => report.ok(
            LOOKUPS,
            "aliases and tables of users can be asked, within the sandbox of the service, too",
        ),
        Some(Ok(said)) => tell(report, config, &said),
    }
}

fn tell(report: &mut DoctorReport, config: &Config, said: &str) {
    for line in said.lines() {
        // The command to type stands at the end of the message.
        let typed = line.rsplit(": ").next().unwrap_or_default();
        let is_typed = ["adduser ", "apt ", "postmap ", "systemctl "];
        let is_typed = is_typed.iter().any(|word| typed.starts_with(word));

        let fix = if is_typed {
            typed.split(", then ").collect()
        } else {
            Vec::new()
        };
        let fix: Vec<String> = fix.into_iter().map(str::to_owned).collect();

        if config.may_ask_people() {
            let line = format_args!("{line} (mail about which it matters is left alone)");
            report.error(LOOKUPS, line, fix);
        } else {
            let line =
                format_args!("{line} (mail from outside is treated, also where it is forwarded)");
            report.warning(LOOKUPS, line, fix);
        }
    }
}

/// Builds a transient service with our service's user and sandbox. Its system call filter is not
/// copied: ours allows all that postmap needs.
fn sandboxed(unit: &Unit, options: &ConfigOptions) -> Command {
    let mut command = Command::new("systemd-run");
    command.args([
        "--quiet",
        "--pipe",
        "--wait",
        "--collect",
        "--working-directory=/",
    ]);

    for property in SANDBOX {
        let value = unit.get(property);
        // systemd prints "~" for a list of families that forbids none.
        if !matches!(value, "" | "~") {
            command.arg(format!("--property={property}={value}"));
        }
    }

    command
        .arg("--")
        .arg(env::current_exe().unwrap_or_else(|_| "depollueur".into()));
    with_options(&mut command, options);
    command
}

fn with_options(command: &mut Command, options: &ConfigOptions) {
    command.args(["check", "--tables"]);
    if let Some(file) = &options.config {
        command.arg("--config").arg(file);
    }
    for setting in &options.settings {
        command.arg("--set").arg(setting);
    }
}

/// Returns the lookups that fail as the daemon's user, one a line.
fn tried(config: &Config, options: &ConfigOptions) -> Result<String, String> {
    let owner = fs::metadata(&config.drop.directory)
        .map_err(|error| format!("{}: {error}", config.drop.directory.display()))?;
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = match geteuid() {
        user if user.as_raw() == owner.uid() => Command::new(program),
        user if user.is_root() => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={}", owner.uid()));
            command.arg(format!("--regid={}", owner.gid()));
            command.arg("--init-groups").arg(program);
            command
        }
        _ => return Err("run doctor as root or as the owner of the drop".into()),
    };
    with_options(&mut command, options);
    said_by(&mut command)
}

/// Returns the output of one of our own commands.
fn said_by(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir("/").stdin(Stdio::null()).output();
    let name = command.get_program().display().to_string();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().last().unwrap_or("no answer").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "User=depollueur\nProtectHome=yes\nRestrictAddressFamilies=~\nReadWritePaths=\nIPAddressDeny=::/0 0.0.0.0/0\n";

    #[test]
    fn the_sandbox_is_that_of_the_service_and_what_it_does_not_say_is_left_out() {
        let options = ConfigOptions {
            config: Some("/etc/depollueur/depollueur.toml".into()),
            settings: vec!["a.b=1".into()],
        };
        let command = sandboxed(&Unit::parse(UNIT), &options);
        let words: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let properties: Vec<_> = words
            .iter()
            .filter(|word| word.starts_with("--property"))
            .collect();
        assert_eq!(
            properties,
            [
                "--property=User=depollueur",
                "--property=ProtectHome=yes",
                "--property=IPAddressDeny=::/0 0.0.0.0/0"
            ]
        );
        let end = [
            "check",
            "--tables",
            "--config",
            "/etc/depollueur/depollueur.toml",
            "--set",
            "a.b=1",
        ];
        assert!(words.ends_with(&end.map(Into::into)), "{words:?}");
    }

    #[test]
    fn a_command_that_cannot_be_run_says_why() {
        let said = said_by(&mut Command::new("/nonexistent/systemd-run"));
        assert!(said.unwrap_err().starts_with("/nonexistent/systemd-run: "));
        let mut failing = Command::new("sh");
        failing.args(["-c", "echo out; echo why >&2; exit 1"]);
        assert_eq!(said_by(&mut failing), Err("why".to_owned()));
    }
}

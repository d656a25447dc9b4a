//! Whether the daemon can ask Postfix who is meant: one lookup in each table, by a process of its user,
//! with the groups that this user has.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use super::{super::ConfigOptions, report::Report};
use crate::config::Config;

/// The check's name.
const LOOKUPS: &str = "postfix.lookups";

pub(super) fn check(report: &mut Report, config: &Config, options: &ConfigOptions) {
    if !config.asks_people() {
        return;
    }
    match tried(config, options) {
        Err(why) => report.unknown(LOOKUPS, format_args!("lookups were not tried: {why}")),
        Ok(said) if said.is_empty() => {
            report.ok(LOOKUPS, "aliases and tables of users can be asked");
        }
        Ok(said) => {
            for line in said.lines() {
                // What to type stands at the end of what went wrong.
                let typed = line.rsplit(": ").next().unwrap_or_default();
                let is_typed = ["adduser ", "apt ", "postmap ", "systemctl "];
                let is_typed = is_typed.iter().any(|word| typed.starts_with(word));
                let fix = if is_typed {
                    typed.split(", then ").collect()
                } else {
                    Vec::new()
                };
                let fix: Vec<String> = fix.into_iter().map(str::to_owned).collect();
                let line = format_args!("{line} (mail about which it matters is left alone)");
                report.error(LOOKUPS, line, fix);
            }
        }
    }
}

/// What goes wrong, a line each.
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
    command.args(["check", "--tables"]);
    if let Some(file) = &options.config {
        command.arg("--config").arg(file);
    }
    for setting in &options.settings {
        command.arg("--set").arg(setting);
    }
    let output = command.current_dir("/").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("setpriv: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(said.lines().last().unwrap_or("no answer").to_owned())
    }
}

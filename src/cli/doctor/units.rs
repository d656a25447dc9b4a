//! Checks the units: that service and socket exist, run, and will run after the next boot.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    super::{
        obstacles, reload,
        unit::{SERVICE, SOCKET, Unit},
    },
    report::DoctorReport,
};
use crate::config::{Config, DEFAULT_FILE, ListenAddress};

/// The command that mends most faults: it restarts the socket and the service that gets it.
const RESTART: &str = "systemctl restart depollueur.socket depollueur.service";

/// Reports all findings about the units.
pub(super) fn check(report: &mut DoctorReport, config: &Config, file: Option<&Path>) {
    let service = Unit::read(SERVICE);
    let Some(service) = service else {
        let why = format!("systemd does not run here, or has no {SERVICE}");
        return report.unknown("unit.service", why);
    };

    let socket = Unit::read(SOCKET);
    let masked: Vec<_> = [Some(&service), socket.as_ref()]
        .into_iter()
        .flatten()
        .filter(|unit| unit.is_masked())
        .filter(|unit| unit.get("Id") != SOCKET || is_wanted(config, unit) || !service.is_active())
        .collect();

    // In the order in which the fixes must be typed: masked units, the sandbox, then those that run.
    check_masks(report, &masked);
    if file.is_some_and(|file| file == Path::new(DEFAULT_FILE)) {
        for obstacle in obstacles::all(config, Some(&service)) {
            report.obstacle("unit.sandbox", obstacle);
        }
        let well = "the daemon may read and write what its configuration names";
        report.ok_unless_found("unit.sandbox", well);
    }

    if !service.is_masked() {
        check_service(report, &service);
    }
    if let Some(socket) = socket {
        check_socket(report, config, &socket, &service);
    }
}

/// Reports the masked units. The service cannot start without its socket: both are unmasked before
/// either is started.
fn check_masks(report: &mut DoctorReport, masked: &[&Unit]) {
    let names: Vec<_> = masked.iter().map(|unit| unit.get("Id")).collect();
    let Some(last) = names.last() else { return };
    let unmask = format!("systemctl unmask {}", names.join(" "));

    for name in &names {
        let (check, what) = match *name {
            SOCKET => ("unit.socket", "Postfix finds no socket"),
            _ => ("unit.service", "nothing can start it"),
        };
        let message = format!("{name} is masked: {what}");
        let start = [
            format!("systemctl enable {}", names.join(" ")),
            RESTART.to_owned(),
        ];
        let is_last = name == last;
        let start = start.into_iter().filter(|_| is_last);
        report.error(check, message, std::iter::once(unmask.clone()).chain(start));
    }
}

fn check_service(report: &mut DoctorReport, service: &Unit) {
    let check = "unit.service";
    let restarts = service.get("SubState") == "auto-restart";

    if service.is_failed() || restarts {
        let what = if restarts {
            "fails and is started again and again"
        } else {
            "has failed"
        };
        let message = format!("{SERVICE} {what}: {}", reason(service));
        let fix = match service.get("ExecMainStatus") {
            "78" => vec!["depollueur check".to_owned(), RESTART.to_owned()],
            _ => vec![format!("journalctl -u {SERVICE} -n 20"), RESTART.to_owned()],
        };
        return report.error(check, message, fix);
    }

    if !service.is_active() {
        let message = format!("{SERVICE} does not run");
        return report.error(
            check,
            message,
            [format!("systemctl enable --now {SERVICE}")],
        );
    }

    if !service.is_enabled() {
        let message = format!("{SERVICE} runs, but does not start with the machine");
        return report.warning(check, message, [format!("systemctl enable {SERVICE}")]);
    }

    report.ok(
        check,
        format_args!("{SERVICE} runs, and starts with the machine"),
    );
}

/// Returns the reason of a failure: the daemon's last words, and the status that systemd knows.
fn reason(service: &Unit) -> String {
    let meaning = match service.get("ExecMainStatus") {
        "78" => "its configuration is refused",
        "69" => "something that it needs cannot be had",
        "203" => "its program cannot be run",
        "217" => "its user does not exist",
        "226" => "its sandbox cannot be made: a directory that ReadWritePaths= names is missing",
        _ => "",
    };

    let status = service.get("ExecMainStatus");
    let result = service.get("Result");
    let mut reason = format!("{result}, status {status}");
    if !meaning.is_empty() {
        reason = format!("{meaning} ({reason})");
    }

    match last_words(service.get("InvocationID")) {
        Some(words) => format!("{reason}; its last words: {words}"),
        None => reason,
    }
}

/// Returns the last line written in this run of the service, also by a process that systemd started
/// instead of the daemon (`_SYSTEMD_INVOCATION_ID`, systemd.journal-fields(7)). Lines of an earlier
/// run do not explain this one.
fn last_words(run: &str) -> Option<String> {
    if run.is_empty() {
        return None;
    }

    let output = Command::new("journalctl")
        .args(["-q", "-n", "1", "-o", "cat", "--no-pager"])
        .arg(format!("_SYSTEMD_INVOCATION_ID={run}"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;

    let line = text
        .lines()
        .last()?
        .trim()
        .trim_start_matches("depollueur: ");
    (!line.is_empty()).then(|| line.to_owned())
}

fn check_socket(report: &mut DoctorReport, config: &Config, socket: &Unit, service: &Unit) {
    let check = "unit.socket";
    let path = socket.socket_path();
    let shown = path
        .as_deref()
        .unwrap_or(Path::new(""))
        .display()
        .to_string();
    if socket.is_masked() {
        return;
    }

    if socket.is_failed() {
        let message = format!(
            "{SOCKET} has failed ({}): Postfix finds no socket at {shown}",
            cause(socket)
        );
        return report.error(check, message, [RESTART.to_owned()]);
    }

    if !socket.is_active() {
        if !is_wanted(config, socket) {
            return report.ok(
                check,
                format_args!("{SOCKET} is not used: milter.listen is"),
            );
        }
        let other = if service.is_active() {
            ", and the service runs with another one"
        } else {
            ""
        };
        let message = format!("{SOCKET} is not active: Postfix finds no socket at {shown}{other}");
        let enable = (!socket.is_enabled()).then(|| format!("systemctl enable {SOCKET}"));
        return report.error(
            check,
            message,
            enable.into_iter().chain([RESTART.to_owned()]),
        );
    }

    if path.as_ref().is_some_and(|path| !path.exists()) {
        let message = format!(
            "{SOCKET} is active, but its file {shown} was removed: Postfix finds no socket"
        );
        return report.error(check, message, [RESTART.to_owned()]);
    }

    if !listens_there(config, path.as_ref())
        && config.milter.listen != Config::default().milter.listen
    {
        let listen = &config.milter.listen;
        let message = format!(
            "milter.listen = \"{listen}\" is not used, for {SOCKET} is active: the daemon listens at {shown}"
        );
        let fix = [
            format!("systemctl disable --now {SOCKET}"),
            format!("systemctl restart {SERVICE}"),
        ];
        return report.warning(check, message, fix);
    }

    if !socket.is_enabled() {
        let message = format!("{SOCKET} is active, but does not start with the machine");
        return report.warning(check, message, [format!("systemctl enable {SOCKET}")]);
    }

    report.ok(check, format_args!("{SOCKET} holds {shown}"));
}

/// Returns true if Postfix is to find the milter at the socket of the unit.
fn is_wanted(config: &Config, socket: &Unit) -> bool {
    let path = socket.socket_path();
    socket.is_enabled() && Path::new("/var/spool/postfix").is_dir()
        || listens_there(config, path.as_ref())
}

fn listens_there(config: &Config, path: Option<&PathBuf>) -> bool {
    matches!((&config.milter.listen, path), (ListenAddress::Unix(listen), Some(path)) if listen == path)
}

fn cause(socket: &Unit) -> String {
    match socket.get("Result") {
        "service-start-limit-hit" | "trigger-limit-hit" => {
            format!(
                "it gave up, since the service failed each time that it was started; {}",
                socket.get("Result")
            )
        }
        result => result.to_owned(),
    }
}

/// Checks that the running daemon has the configuration of its file.
pub(super) async fn check_configuration(report: &mut DoctorReport, config: &Config) {
    let check = "daemon.configuration";
    let standing = match reload::ask(config, None).await {
        Ok(standing) => standing,
        // Another check reports a daemon that does not answer.
        Err(failure) => return report.unknown(check, failure),
    };

    let now = standing.now;
    if let Some(error) = now.error {
        let message = format!(
            "the configuration is refused as it is now, so that a restart would stop the daemon: {error}"
        );
        report.error(check, message, ["depollueur check".to_owned()]);
    }

    if !now.restart.is_empty() {
        let message = format!(
            "needs a restart: {} changed since the daemon was started",
            now.restart.join(", ")
        );
        report.error(check, message, ["systemctl restart depollueur".to_owned()]);
    }

    if !now.reload.is_empty() {
        let message = format!(
            "needs a reload: {} changed since the daemon read it",
            now.reload.join(", ")
        );
        report.warning(check, message, ["systemctl reload depollueur".to_owned()]);
    }

    report.ok_unless_found(check, "the daemon runs with what the file says");
}

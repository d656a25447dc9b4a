//! Checks the units of the form in use: that services and socket exist, run, and will run after the next boot.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    super::{obstacles, reload, run::DaemonStatus, unit::Unit},
    report::DoctorReport,
};
use crate::{
    config::{Config, DEFAULT_FILE, ListenAddress},
    units::{self, Form, Service, TIMER},
};

/// Reports all findings about the units.
pub(super) fn check(report: &mut DoctorReport, config: &Config, file: Option<&Path>) {
    let form = units::in_use();
    let services: Vec<Unit> = form
        .daemons()
        .iter()
        .filter_map(|service| Unit::read(service.unit()))
        .collect();
    let Some(milter) = services.first() else {
        let names = form.names();
        let why = format!("systemd does not run here, or has no service {names}");
        return report.unknown("unit.service", why);
    };

    let socket = Unit::read(form.socket());
    let is_missed = |unit: &&Unit| is_wanted(config, unit) || !milter.is_active();
    let masked: Vec<&Unit> = services
        .iter()
        .chain(socket.as_ref().filter(is_missed))
        .filter(|unit| unit.is_masked())
        .collect();

    // In the order in which the fixes must be typed: masked units, the sandbox, then those that run.
    check_masks(report, form, &masked);
    if file.is_some_and(|file| file == Path::new(DEFAULT_FILE)) {
        for obstacle in obstacles::all(config) {
            report.obstacle("unit.sandbox", obstacle);
        }
        let well = "the daemon may read and write what its configuration names";
        report.ok_unless_found("unit.sandbox", well);
    }

    check_other_form(report, form);
    for service in services.iter().filter(|service| !service.is_masked()) {
        check_service(report, form, service);
    }
    if let Some(socket) = socket {
        check_socket(report, config, form, (&socket, milter));
    }
    if form == Form::Split {
        check_sweep(report);
    }
}

/// Returns the line that mends most faults of a unit: it restarts the socket along with the service that gets it.
fn restart(form: Form, unit: &str) -> String {
    let both = form.milter();
    let is_of_milter = both.split(' ').any(|one| one == unit);
    format!(
        "systemctl restart {}",
        if is_of_milter { both } else { unit }
    )
}

/// Reports the masked units. The service cannot start without its socket: both are unmasked before
/// either is started.
fn check_masks(report: &mut DoctorReport, form: Form, masked: &[&Unit]) {
    let names: Vec<_> = masked.iter().map(|unit| unit.id()).collect();
    let Some(last) = names.last() else { return };
    let unmask = format!("systemctl unmask {}", names.join(" "));
    let mut start = vec![format!("systemctl enable {}", names.join(" "))];
    for name in &names {
        let line = restart(form, name);
        if !start.contains(&line) {
            start.push(line);
        }
    }

    for name in &names {
        let (check, what) = match *name == form.socket() {
            true => ("unit.socket", "Postfix finds no socket"),
            false => ("unit.service", "nothing can start it"),
        };
        let message = format!("{name} is masked: {what}");
        let start = start.iter().filter(|_| name == last).cloned();
        report.error(check, message, std::iter::once(unmask.clone()).chain(start));
    }
}

/// Reports units of the other form that start with the machine, too: those that start last would end the first.
fn check_other_form(report: &mut DoctorReport, form: Form) {
    let other = form.other();
    let names = [other.socket()]
        .into_iter()
        .chain(other.without_socket().split(' '));
    let enabled: Vec<_> = names
        .filter(|name| Unit::read(name).is_some_and(|unit| unit.is_enabled()))
        .collect();
    if enabled.is_empty() {
        return;
    }

    let (names, running) = (enabled.join(" "), form.names());
    let message = format!(
        "{names} would start with the machine beside what runs now ({running}), and one of them would end the other"
    );
    report.error("unit.form", message, [format!("systemctl disable {names}")]);
}

fn check_service(report: &mut DoctorReport, form: Form, service: &Unit) {
    let check = "unit.service";
    let name = service.id();
    if let Some(message) = failure(service) {
        let first = match service.get("ExecMainStatus") {
            "78" => "depollueur check".to_owned(),
            _ => format!("journalctl -u {name} -n 20"),
        };
        return report.error(check, message, [first, restart(form, name)]);
    }

    if !service.is_active() {
        let message = format!("{name} does not run");
        return report.error(check, message, [format!("systemctl enable --now {name}")]);
    }

    if !service.is_enabled() {
        let message = format!("{name} runs, but does not start with the machine");
        return report.warning(check, message, [format!("systemctl enable {name}")]);
    }

    report.ok(
        check,
        format_args!("{name} runs, and starts with the machine"),
    );
}

/// Checks the timer that sweeps, and its last sweep.
fn check_sweep(report: &mut DoctorReport) {
    let check = "unit.sweep";
    if let Some(message) = Unit::read(Service::Sweep.unit()).and_then(|unit| failure(&unit)) {
        let fix = format!("journalctl -u {} -n 20", Service::Sweep.unit());
        report.error(check, message, [fix]);
    }

    let timer = Unit::read(TIMER);
    let is_started = timer.as_ref().is_some_and(Unit::is_active);
    if !is_started || !timer.is_some_and(|timer| timer.is_enabled()) {
        let message = match is_started {
            true => format!(
                "{TIMER} runs, but does not start with the machine: nothing would be destroyed"
            ),
            false => format!("{TIMER} does not run: what has expired is not destroyed"),
        };
        report.error(check, message, [format!("systemctl enable --now {TIMER}")]);
    }
    report.ok_unless_found(
        check,
        format_args!("{TIMER} sweeps, and starts with the machine"),
    );
}

/// Returns the sentence about a service that has failed.
fn failure(service: &Unit) -> Option<String> {
    let restarts = service.get("SubState") == "auto-restart";
    if !service.is_failed() && !restarts {
        return None;
    }
    let what = match restarts {
        true => "fails and is started again and again",
        false => "has failed",
    };
    Some(format!("{} {what}: {}", service.id(), reason(service)))
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

fn check_socket(
    report: &mut DoctorReport,
    config: &Config,
    form: Form,
    (socket, service): (&Unit, &Unit),
) {
    let check = "unit.socket";
    let (name, restart) = (form.socket(), restart(form, form.socket()));
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
            "{name} has failed ({}): Postfix finds no socket at {shown}",
            cause(socket)
        );
        return report.error(check, message, [restart]);
    }

    if !socket.is_active() {
        if !is_wanted(config, socket) {
            return report.ok(check, format_args!("{name} is not used: milter.listen is"));
        }
        let other = if service.is_active() {
            ", and the service runs with another one"
        } else {
            ""
        };
        let message = format!("{name} is not active: Postfix finds no socket at {shown}{other}");
        let enable = (!socket.is_enabled()).then(|| format!("systemctl enable {name}"));
        return report.error(check, message, enable.into_iter().chain([restart]));
    }

    if path.as_ref().is_some_and(|path| !path.exists()) {
        let message =
            format!("{name} is active, but its file {shown} was removed: Postfix finds no socket");
        return report.error(check, message, [restart]);
    }

    if !listens_there(config, path.as_ref())
        && config.milter.listen != Config::default().milter.listen
    {
        let listen = &config.milter.listen;
        let message = format!(
            "milter.listen = \"{listen}\" is not used, for {name} is active: the daemon listens at {shown}"
        );
        let fix = [
            format!("systemctl disable --now {name}"),
            format!("systemctl restart {}", service.id()),
        ];
        return report.warning(check, message, fix);
    }

    if !socket.is_enabled() {
        let message = format!("{name} is active, but does not start with the machine");
        return report.warning(check, message, [format!("systemctl enable {name}")]);
    }

    report.ok(check, format_args!("{name} holds {shown}"));
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
    for standing in reload::ask_all(config).await {
        match standing {
            Ok(standing) => check_standing(report, &standing),
            // Another check reports a process that does not answer.
            Err(failure) => report.unknown(check, failure),
        }
    }
    report.ok_unless_found(check, "the daemon runs with what the file says");
}

fn check_standing(report: &mut DoctorReport, standing: &DaemonStatus) {
    let check = "daemon.configuration";
    let (who, name, now) = (standing.whose(), standing.service.name(), &standing.now);
    if let Some(error) = &now.error {
        let message = format!(
            "{who}the configuration is refused as it is now, so that a restart would stop the daemon: {error}"
        );
        report.error(check, message, ["depollueur check".to_owned()]);
    }

    if !now.restart.is_empty() {
        let message = format!(
            "{who}needs a restart: {} changed since the daemon was started",
            now.restart.join(", ")
        );
        report.error(check, message, [format!("systemctl restart {name}")]);
    }

    if !now.reload.is_empty() {
        let message = format!(
            "{who}needs a reload: {} changed since the daemon read it",
            now.reload.join(", ")
        );
        report.warning(check, message, [format!("systemctl reload {name}")]);
    }
}

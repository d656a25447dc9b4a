//! Checks the machine under the daemon: configuration file, drop, disk, clock.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{statfs, statvfs};

use super::{
    super::{obstacles, owner},
    owners,
    report::{DoctorReport, Severity, quoted},
};
use crate::{config::Config, loaded::Loaded, units};

const MIB: u64 = 1 << 20;

/// Thresholds of free space, each with its level: bytes, and a divisor of the total.
const SPACE: [(Severity, u64, u64); 2] = [
    (Severity::Error, 128 * MIB, 100),
    (Severity::Warning, 1024 * MIB, 20),
];

/// File systems unfit for a drop, by `f_type` of statfs(2).
const FILE_SYSTEMS: [(u64, Severity, &str); 6] = [
    (
        0x0102_1994,
        Severity::Error,
        "is in memory (tmpfs): all files are lost when the machine restarts",
    ),
    (
        0x8584_58f6,
        Severity::Error,
        "is in memory (ramfs): all files are lost when the machine restarts",
    ),
    (
        0x6969,
        Severity::Warning,
        "is on NFS, where SQLite's locks are not reliable",
    ),
    (
        0xff53_4d42,
        Severity::Warning,
        "is on CIFS, where SQLite's locks are not reliable",
    ),
    (
        0xfe53_4d42,
        Severity::Warning,
        "is on SMB, where SQLite's locks are not reliable",
    ),
    (
        0x517b,
        Severity::Warning,
        "is on SMB, where SQLite's locks are not reliable",
    ),
];

/// Reports all findings about the machine.
pub(super) fn check(
    report: &mut DoctorReport,
    (config, loaded): (&Config, &Loaded),
    file: Option<&Path>,
) {
    check_values(report, config, loaded);
    check_file(report, file);
    check_drop(report, &config.drop.directory);
    check_spool(report, config);
    check_clock(report);
}

fn check_values(report: &mut DoctorReport, config: &Config, loaded: &Loaded) {
    for warning in loaded.warnings(config) {
        report.warning("config.values", warning, []);
    }
    for obstacle in obstacles::of_machine(config) {
        report.obstacle("config.values", obstacle);
    }
    report.ok_unless_found("config.values", "no value is doubtful");
}

fn check_file(report: &mut DoctorReport, path: Option<&Path>) {
    let check = "config.file";
    let Some(path) = path else {
        return report.ok(check, "there is none, the environment holds");
    };
    let shown = quoted(&path.display().to_string());
    let Ok(file) = fs::metadata(path) else {
        return report.unknown(check, format_args!("could not look at {shown}"));
    };
    if file.mode() & 0o002 != 0 {
        let message = format!("every user of this machine may write {shown}");
        report.error(check, message, [format!("chmod o-w {shown}")]);
    } else if file.mode() & 0o020 != 0 && file.gid() != 0 {
        let message = format!("a group may write {shown}");
        report.warning(check, message, [format!("chmod g-w {shown}")]);
    } else {
        report.ok(check, format_args!("only its owner may write {shown}"));
    }
}

fn check_drop(report: &mut DoctorReport, directory: &Path) {
    let check = "drop.directory";
    let shown = quoted(&directory.display().to_string());
    let home = match fs::metadata(directory) {
        Ok(home) if home.is_dir() => home,
        Ok(_) => {
            let fix = format!(
                "mv {shown} {}",
                quoted(&format!("{}.old", directory.display()))
            );
            let message = format!(
                "{shown} is no directory: it must be moved away, and the daemon makes one when it starts"
            );
            return report.error(
                check,
                message,
                [
                    fix,
                    format!("systemctl restart {}", units::in_use().names()),
                ],
            );
        }
        Err(error) => {
            let message =
                format!("could not look at {shown}: {error}; the daemon makes it when it starts");
            let fix = format!("systemctl start {}", units::in_use().names());
            return report.warning(check, message, [fix]);
        }
    };

    if home.mode() & 0o077 != 0 {
        let message = format!("others than the daemon may enter or read {shown}");
        report.error(check, message, [format!("chmod 0700 {shown}")]);
    }

    check_contents(report, directory, (home.uid(), home.gid(), home.dev()));
    owners::check(report, directory, (home.uid(), home.gid()));
    report.ok_unless_found(
        check,
        format_args!("{shown} is closed to all but its owner, and whole"),
    );

    check_file_system(report, directory, &shown);
    check_space(report, "drop.space", directory);
}

/// Checks the entries of the drop's directory. The daemon cannot write a file of another owner. A
/// file that others may read (the key of fingerprints, the records) leaks once the directory is
/// opened or copied. A file on another file system cannot be renamed into place.
fn check_contents(
    report: &mut DoctorReport,
    directory: &Path,
    (uid, gid, device): (u32, u32, u64),
) {
    let check = "drop.directory";
    let Ok(entries) = fs::read_dir(directory) else {
        let message = format!(
            "{} cannot be read: run doctor as root or as its owner",
            directory.display()
        );
        return report.unknown(check, message);
    };

    for entry in entries.flatten() {
        let Ok(file) = entry.metadata() else { continue };
        if entry.file_name() == owner::RESCUED && file.uid() == 0 {
            continue;
        }

        let shown = quoted(&entry.path().display().to_string());
        if file.uid() != uid {
            let message = format!(
                "{shown} belongs to user {}, not to the owner of the drop",
                file.uid()
            );
            report.error(check, message, [format!("chown {uid}:{gid} {shown}")]);
        }

        if file.mode() & 0o077 != 0 {
            let message = format!("others than the daemon may read or enter {shown}");
            report.error(check, message, [format!("chmod go= {shown}")]);
        }

        if file.dev() != device {
            let message = format!(
                "{shown} is on another file system than the drop: nothing can be moved into place"
            );
            report.error(check, message, []);
        }
    }
}

fn check_file_system(report: &mut DoctorReport, directory: &Path, shown: &str) {
    let check = "drop.file-system";
    let Ok(found) = statfs(directory) else {
        return report.unknown(
            check,
            format_args!("could not ask for the file system of {shown}"),
        );
    };
    let kind = found.f_type as u64 & 0xffff_ffff;
    match FILE_SYSTEMS.iter().find(|(known, ..)| *known == kind) {
        Some((_, level, why)) => report.add(check, *level, format_args!("{shown} {why}"), []),
        None => report.ok(check, "fit to keep files"),
    }
}

fn check_spool(report: &mut DoctorReport, config: &Config) {
    let check = "spool.directory";
    let Some(directory) = &config.spool.directory else {
        return report.ok(check, "on the file system of the drop");
    };
    let shown = quoted(&directory.display().to_string());

    if !directory.is_dir() {
        let message =
            format!("{shown} is no directory: mail above spool.memory goes out untouched");
        let user = owner_of(&config.drop.directory).unwrap_or_else(|| "depollueur".into());
        return report.error(
            check,
            message,
            [format!("install -d -m 0700 -o {user} {shown}")],
        );
    }

    let mine = fs::metadata(directory).map(|file| file.dev());
    let same = fs::metadata(&config.drop.directory)
        .is_ok_and(|drop| mine.is_ok_and(|dev| dev == drop.dev()));
    let place = if same { "the" } else { "another" };
    report.ok(
        check,
        format_args!("{shown} is on {place} file system of the drop"),
    );
    check_space(report, "spool.space", directory);
}

fn owner_of(directory: &Path) -> Option<String> {
    fs::metadata(directory)
        .ok()
        .map(|file| file.uid().to_string())
}

fn check_space(report: &mut DoctorReport, check: &'static str, directory: &Path) {
    let Ok(disk) = statvfs(directory) else {
        return report.unknown(
            check,
            format_args!("could not ask for the space at {}", directory.display()),
        );
    };

    let (free, total) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    let at = directory.display();
    if let Some(level) = lack(free, total) {
        let message = format!("{} MiB of {} MiB are free at {at}", free / MIB, total / MIB);
        report.add(check, level, message, []);
    }

    // Some file systems create inodes on demand, and report 0.
    let inodes = (disk.f_files > 0).then(|| disk.f_favail * 100 / disk.f_files);
    match inodes {
        Some(0) => report.error(
            check,
            format_args!("less than 1 % of the inodes are free at {at}"),
            [],
        ),
        Some(part) if part < 5 => {
            report.warning(
                check,
                format_args!("{part} % of the inodes are free at {at}"),
                [],
            );
        }
        _ => {}
    }
    report.ok_unless_found(check, format_args!("{} MiB are free at {at}", free / MIB));
}

/// Returns the level for this free space. Space is low only in bytes and as a share of the total: a
/// small disk for a small drop is fine as long as it is not full, and so is a small share of a large
/// disk.
fn lack(free: u64, total: u64) -> Option<Severity> {
    SPACE
        .into_iter()
        .find(|(_, bytes, part)| free < *bytes && free < total / part || free < bytes / 8)
        .map(|(level, ..)| level)
}

fn check_clock(report: &mut DoctorReport) {
    let check = "clock.synchronised";
    match synchronised() {
        Some(true) => report.ok(check, "the clock is kept by NTP"),
        Some(false) => report.warning(
            check,
            "the clock is not synchronised: packages expire, and dates in mail are shown, by it",
            ["timedatectl set-ntp true".to_owned()],
        ),
        None => report.unknown(
            check,
            "neither timedatectl nor chronyc says whether the clock is kept by NTP",
        ),
    }
}

/// Returns the answer of systemd, else of chrony; `None` if neither knows.
fn synchronised() -> Option<bool> {
    let ask = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let systemd = ask(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    );
    match systemd.as_deref() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => ask("chronyc", &["-c", "tracking"])
            .map(|line| line.rsplit(',').next() != Some("Not synchronised")),
    }
}

/// Returns the file from which the configuration came.
pub(super) fn configuration_file(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(crate::config::usual_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_told_by_bytes_and_by_part() {
        const GIB: u64 = 1 << 30;
        for (free, total, level) in [
            (500 * GIB, 1000 * GIB, None),
            (2 * GIB, 1000 * GIB, None),
            (GIB / 2, 2 * GIB, None),
            (GIB / 2, 1000 * GIB, Some(Severity::Warning)),
            (64 * MIB, 1000 * GIB, Some(Severity::Error)),
            (100 * MIB, GIB, Some(Severity::Warning)),
            (10 * MIB, 100 * MIB, Some(Severity::Error)),
        ] {
            assert_eq!(lack(free, total), level, "{free} of {total}");
        }
    }
}

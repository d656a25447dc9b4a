//! The findings in one line and an exit status, as Nagios, Icinga and their kin understand them
//! (Monitoring Plugins Development Guidelines, section 2).

use std::io::{self, Write as _};

use rustix::fs::statvfs;

use super::{
    super::{ConfigOptions, exit::Failure, with_files},
    DoctorOptions, examine,
    report::{DoctorReport, Severity},
};
use crate::{
    config::{Config, ConfigError, Sources},
    loaded::Loaded,
};

/// Exit statuses other than 0.
const WARNING: u8 = 1;
const CRITICAL: u8 = 2;
const UNKNOWN: u8 = 3;

/// Runs the checks that take only a moment.
pub(super) fn run(options: &DoctorOptions) -> Result<(), Failure> {
    let (status, line) = match load(&options.config) {
        Ok((config, loaded)) => match examine(options, (&config, &loaded)) {
            Ok(report) => told(&report, &config),
            Err(failure) => (UNKNOWN, format!("UNKNOWN - {failure}")),
        },
        // A caller who may not read the configuration knows nothing of the daemon.
        Err(error @ (ConfigError::Read { .. } | ConfigError::Variable(_))) => {
            (UNKNOWN, format!("UNKNOWN - {error}"))
        }
        Err(error) => (CRITICAL, format!("CRITICAL - {error}")),
    };

    let mut out = io::stdout().lock();
    writeln!(out, "DEPOLLUEUR {line}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;

    match status {
        0 => Ok(()),
        status => Err(Failure::silent(status)),
    }
}

fn load(options: &ConfigOptions) -> Result<(Config, Loaded), ConfigError> {
    let ConfigOptions { config, settings } = options.clone();
    let sources = Sources::of_process(config, settings)?.written()?;
    with_files(&sources)
}

/// Returns the exit status, and a line of the worst findings with figures to plot.
fn told(report: &DoctorReport, config: &Config) -> (u8, String) {
    let (status, word) = match report.worst() {
        Severity::Ok | Severity::Unknown => (0, "OK"),
        Severity::Warning => (WARNING, "WARNING"),
        Severity::Error => (CRITICAL, "CRITICAL"),
    };

    let of = |level| {
        report
            .findings()
            .iter()
            .filter(move |finding| finding.level == level)
    };
    let said: Vec<String> = of(Severity::Error)
        .chain(of(Severity::Warning))
        .map(|finding| format!("{}: {}", finding.check, finding.message))
        .collect();

    let said = match said.as_slice() {
        [] => format!("{} checks", report.findings().len()),
        // Text after the first bar is performance data, and the output is one line.
        said => said.join("; ").replace('|', "/").replace('\n', " "),
    };

    let mut figures = format!(
        "errors={} warnings={}",
        of(Severity::Error).count(),
        of(Severity::Warning).count()
    );
    if let Ok(disk) = statvfs(&config.drop.directory) {
        figures += &format!(" drop_free={}B", disk.f_bavail * disk.f_frsize);
    }
    (status, format!("{word} - {said} | {figures}"))
}

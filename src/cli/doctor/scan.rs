//! Whether clamd scans: it answers, and finds the test file that every scanner knows.

use super::report::Report;
use crate::{
    config::{ClamdAddress, Config},
    scan::{self, ScanError, Trial},
};

/// The check's name.
const SCAN: &str = "scan.answers";

/// Asks each daemon of the configuration, as this process reaches it.
pub(super) async fn check(report: &mut Report, config: &Config) {
    for daemon in &config.scan.clamd {
        match scan::try_out(daemon, config.scan.timeout.unsigned_abs()).await {
            Ok((version, Trial::Finds)) => {
                report.ok(SCAN, format_args!("\"{daemon}\" finds the test file of EICAR: {version}"));
            }
            Ok((version, Trial::FindsNothing)) => report.error(
                SCAN,
                format_args!(
                    "\"{daemon}\" ({version}) takes the test file of EICAR for clean: it has no signatures, or not the usual ones"
                ),
                [
                    "systemctl start clamav-freshclam    # then wait until it has its signatures".to_owned(),
                    "systemctl restart clamav-daemon".to_owned(),
                ],
            ),
            Err(error) => report.error(SCAN, failed(&error, config), mend(daemon, &error)),
        }
    }
}

/// What goes wrong, and what it does to mail.
fn failed(error: &ScanError, config: &Config) -> String {
    let others = match config.scan.clamd.len() {
        1 => "",
        _ => " (the others of scan.clamd are asked in its place)",
    };
    format!("{error}: see scan.on_failure for what becomes of mail{others}")
}

/// What to type.
fn mend(daemon: &ClamdAddress, error: &ScanError) -> Vec<String> {
    match (error, daemon) {
        (ScanError::Unreachable { .. }, ClamdAddress::Unix(path)) => vec![
            "apt install clamav-daemon    # if it is not there".to_owned(),
            "systemctl start clamav-daemon".to_owned(),
            format!(
                "ls -l {}    # the daemon's user must be allowed to write to it",
                path.display()
            ),
        ],
        (ScanError::Unreachable { .. }, ClamdAddress::Tcp(..)) => {
            vec!["grep ^TCP /etc/clamav/clamd.conf    # on that host".to_owned()]
        }
        _ => vec!["journalctl -u clamav-daemon -n 20".to_owned()],
    }
}

//! Checks of clamd: it answers, finds the test file that every scanner knows, and takes files as
//! large as mail has.

use super::report::DoctorReport;
use crate::{
    config::{ClamdAddress, Config},
    scan::{self, ScanError, ScanTrial},
};

/// The checks' names.
const SCAN: &str = "scan.answers";
const SIZE: &str = "scan.size";

/// Bytes of a file that is sent to clamd in more than one piece.
const PIECES_BYTES: u64 = 65_537;
/// The largest file that is tried, in bytes.
const TRIED_BYTES_MAX: u64 = 200_000_000;

/// Asks each daemon of the configuration, as this process reaches it.
pub(super) async fn check(report: &mut DoctorReport, config: &Config) {
    for daemon in &config.scan.clamd {
        match scan::try_out(daemon, config.scan.timeout).await {
            Ok((version, ScanTrial::Finds)) => {
                report.ok(SCAN, format_args!("\"{daemon}\" finds the test file of EICAR: {version}"));
                check_sizes(report, config, daemon).await;
            }
            Ok((version, ScanTrial::FindsNothing)) => report.error(
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

/// Sends files that are larger than one piece, up to the largest that mail may send.
async fn check_sizes(report: &mut DoctorReport, config: &Config, daemon: &ClamdAddress) {
    let scan = &config.scan;
    let largest = scan.size_max.min(TRIED_BYTES_MAX);

    for bytes in [PIECES_BYTES.min(largest), largest] {
        match scan::try_size(daemon, scan.timeout, bytes).await {
            Ok(()) => {}
            Err(error) if error.is_limit() => {
                let size_max = scan.size_max;
                return report.warning(
                    SIZE,
                    format_args!(
                        "\"{daemon}\" does not take a file of {bytes} bytes, and scan.size_max is {size_max}: {error}; until then scan.on_oversize decides about mail with such a file"
                    ),
                    [
                        format!("in clamd.conf of its host: StreamMaxLength {size_max}"),
                        format!("in clamd.conf of its host: MaxFileSize {size_max}"),
                        format!("in clamd.conf of its host: MaxScanSize {size_max}"),
                        "systemctl restart clamav-daemon".to_owned(),
                    ],
                );
            }
            Err(error) => {
                return report.error(SIZE, failed(&error, config), mend(daemon, &error));
            }
        }
    }

    report.ok(
        SIZE,
        format_args!("\"{daemon}\" takes a file of {largest} bytes"),
    );
}

/// Describes the failure, and its effect on mail.
fn failed(error: &ScanError, config: &Config) -> String {
    let others = match config.scan.clamd.len() {
        1 => "",
        _ => " (the others of scan.clamd are asked in its place)",
    };
    format!("{error}: see scan.on_failure for what becomes of mail{others}")
}

/// The lines to type.
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

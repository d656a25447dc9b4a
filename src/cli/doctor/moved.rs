//! Checks whether files or records are still to be moved from one place to another.

use super::report::DoctorReport;
use crate::config::Config;

/// The check's name.
const MOVED: &str = "drop.moved";

/// Warns of places from which something is to be moved.
pub(super) fn check(report: &mut DoctorReport, config: &Config) {
    let sources = [
        (
            config.drop.records_from.is_some(),
            "drop.records_from is set: records are used in their old place until they are moved; remove it when this says \
             that they are in drop.records",
        ),
        (
            config.drop.blobs_from.is_some(),
            "drop.blobs_from is set: files are looked for in two places; remove it when this says that nothing is left",
        ),
    ];
    for (_, message) in sources.iter().filter(|(is_set, _)| *is_set) {
        let migrate = ["depollueur drop migrate".to_owned()];
        report.warning(MOVED, format_args!("{message}"), migrate);
    }
}

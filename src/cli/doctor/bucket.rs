//! Checks of the bucket: everything that a drop does there is done once, and its clock is compared.

use jiff::SignedDuration;

use super::report::DoctorReport;
use crate::{
    config::Config,
    drop::{BucketTrial, try_bucket},
};

/// The checks' names.
const USABLE: &str = "bucket.usable";
const CLOCK: &str = "bucket.clock";

/// Difference of the clocks from which on somebody should look. Services refuse requests from 15 minutes on.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(1);

/// Tries the bucket of the configuration, if blobs lie in one.
pub(super) fn check(report: &mut DoctorReport, config: &Config) {
    if !config.drop.uses_bucket() {
        return;
    }
    match try_bucket(&config.s3) {
        Ok(trial) => {
            let place = &trial.place;
            report.ok(
                USABLE,
                format_args!("\"{place}\" takes objects, gives them back, lists and deletes them"),
            );
            check_clock(report, &trial);
        }
        Err(error) => report.error(
            USABLE,
            format_args!(
                "{error}; until then links do not work, and detach.on_failure decides about mail"
            ),
            [],
        ),
    }
}

fn check_clock(report: &mut DoctorReport, trial: &BucketTrial) {
    let Some(ahead) = trial.ahead else {
        return;
    };
    let seconds = ahead.as_secs().abs();
    let side = if ahead.is_negative() {
        "behind"
    } else {
        "ahead of"
    };
    if ahead.abs() <= AHEAD_MAX {
        report.ok(CLOCK, format_args!("its clock is within a minute of ours"));
        return;
    }
    report.warning(
        CLOCK,
        format_args!(
            "its clock is {seconds} s {side} ours: from 900 s on it refuses everything, and left-overs are removed early or late"
        ),
        ["timedatectl    # is the clock of this host right?".to_owned()],
    );
}

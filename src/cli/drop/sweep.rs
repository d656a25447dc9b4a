//! `depollueur drop sweep`

use std::io::{self, Write as _};

use clap::Args;
use jiff::Timestamp;

use super::{open, unavailable};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_TEMPFAIL, Failure},
        progress::Progress,
    },
    drop::Swept,
};

/// Packages of one step of a sweep: between two steps others may write.
const STEP: usize = 100;

#[derive(Args, Debug)]
pub(in crate::cli) struct SweepOptions {
    /// Destroys at once though the clock jumped, or nothing was swept for days
    #[arg(long)]
    trust_clock: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn run(options: SweepOptions) -> Result<(), Failure> {
    let (drop, _) = open(options.config)?;
    let now = Timestamp::now();
    if options.trust_clock {
        drop.trust_clock(now).await.map_err(unavailable)?;
    }

    let steps = Progress::new("sweeping, step", None);
    let go_on = || {
        steps.add(1);
        true
    };
    let (swept, result) = drop.sweep_all(now, STEP, go_on).await;
    std::mem::drop(steps);

    let Swept {
        packages,
        files,
        orphans,
        records,
        entries,
        held_until,
    } = swept;
    if let Some(until) = held_until {
        let message = format!(
            "the clock jumped, or nothing was swept for days: nothing is destroyed until {until} \
             (--trust-clock sweeps at once)"
        );
        return Err(Failure::new(EX_TEMPFAIL, message));
    }

    let line = format!(
        "packages={packages} files={files} orphans={orphans} records={records} entries={entries}"
    );
    writeln!(io::stdout().lock(), "{line}").map_err(|error| Failure::output(&error))?;
    result.map_err(unavailable)
}

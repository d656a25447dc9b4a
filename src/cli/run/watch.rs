//! What looks after the drop and its surroundings from time to time: the sweeper, the drop's level, the virus scanners,
//! and the line that the service manager shows. Each ends by itself when the daemon stops.

use std::{io, time::Duration};

use jiff::Timestamp;
use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::{notify, running::Running};
use crate::{
    config::ScanConfig,
    drop::{FileDrop, Swept},
    metrics::Metrics,
    milter::Stop,
    scan,
};

/// Interval between two sweeps for expired packages; expiry itself is checked at each access.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// Maximum number of packages that one step of the sweeper destroys.
const SWEEP_STEP: usize = 100;

/// Interval between two checks of the drop's level.
const LEVEL_INTERVAL: Duration = Duration::from_secs(60);

/// Interval between two status messages to the service manager.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// A tick at once, then one in each period; work that takes longer delays the following ticks.
struct Ticks(Interval);

impl Ticks {
    fn every(time: Duration) -> Self {
        let mut tick = interval(time);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(tick)
    }

    /// Waits for the next tick; returns false if there is none, since it is time to stop.
    async fn next(&mut self, stop: &Stop) -> bool {
        let tick = stop.gracefully.run_until_cancelled(self.0.tick());
        tick.await.is_some()
    }
}

/// Destroys expired packages step by step, so that a stop never waits for more than one step.
pub(super) async fn sweep(drop: FileDrop, metrics: Metrics, stop: Stop) -> io::Result<()> {
    let mut ticks = Ticks::every(SWEEP_INTERVAL);
    while ticks.next(&stop).await {
        let go_on = || !stop.gracefully.is_cancelled();
        let (swept, result) = drop.sweep_all(Timestamp::now(), SWEEP_STEP, go_on).await;
        metrics.swept(Timestamp::now(), &swept, result.is_ok());
        if let Err(error) = result {
            error!("could not sweep the drop: {error}");
        }

        // The reason why nothing is destroyed was logged when the clock jumped.
        if swept != Swept::default() && swept.held_until.is_none() {
            let Swept {
                packages,
                files,
                orphans,
                records,
                entries,
                ..
            } = swept;
            info!(packages, files, orphans, records, entries, "swept");
        }
    }
    Ok(())
}

/// Measures the drop's level from time to time, so that no scrape has to.
pub(super) async fn watch_level(drop: FileDrop, metrics: Metrics, stop: Stop) -> io::Result<()> {
    let mut ticks = Ticks::every(LEVEL_INTERVAL);
    while ticks.next(&stop).await {
        match drop.level().await {
            Ok(level) => metrics.level(&level),
            Err(error) => warn!("could not see how full the drop is: {error}"),
        }
    }
    Ok(())
}

/// Looks from time to time when another process swept.
pub(super) async fn watch_sweeps(drop: FileDrop, metrics: Metrics, stop: Stop) -> io::Result<()> {
    let mut ticks = Ticks::every(LEVEL_INTERVAL);
    while ticks.next(&stop).await {
        match drop.sweep_notes().await {
            Ok(notes) => metrics.sweep_notes(&notes, Timestamp::now()),
            Err(error) => warn!("could not see when the drop was swept: {error}"),
        }
    }
    Ok(())
}

/// Asks each clamd from time to time if it is there, and how old its signatures are.
pub(super) async fn watch_clamd(scan: ScanConfig, metrics: Metrics, stop: Stop) -> io::Result<()> {
    let mut ticks = Ticks::every(LEVEL_INTERVAL);
    while ticks.next(&stop).await {
        for state in scan::look(&scan).await {
            metrics.clamd(&state);
        }
    }
    Ok(())
}

/// Updates the line that `systemctl status` shows from time to time.
pub(super) async fn keep_status(running: Running, metrics: Metrics, stop: Stop) -> io::Result<()> {
    let mut ticks = Ticks::every(STATUS_INTERVAL);
    let mut reloads = running.reloads();
    loop {
        let status = running.status(&metrics).await;
        notify(&[NotifyState::Status(&status)]);
        tokio::select! {
            go_on = ticks.next(&stop) => if !go_on { return Ok(()) },
            // The status is updated after a reload without delay.
            _ = reloads.changed() => {}
        }
    }
}

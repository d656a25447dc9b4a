//! The drop's contents, its remaining room, and its sweeper.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::drop::{Level, SweepNotes, Swept};

/// Gauges of the drop. A value that is unknown, or not limited, has no sample.
#[derive(Debug, Default)]
pub(super) struct Levels {
    stored: Gauge,
    free: Family<NoLabels, Gauge>,
    inodes: Family<NoLabels, Gauge>,
    headroom: Family<NoLabels, Gauge>,
    last_sweep: Family<NoLabels, Gauge>,
    held: Gauge,
    packages: Counter<u64, AtomicU64>,
    unusual: Counter<u64, AtomicU64>,
    errors: Counter,
}

/// No labels: a family without them is a gauge that may be absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoLabels {}

impl Levels {
    pub(super) fn set(&self, level: &Level) {
        self.stored.set(gauge(level.stored));
        set(&self.free, level.free_bytes);
        set(&self.inodes, level.free_inodes);
        set(&self.headroom, level.headroom);
        let unusual = self.unusual.inner();
        unusual.store(level.unusual_logins, Ordering::Relaxed);
    }

    pub(super) fn swept(&self, at: Timestamp, swept: &Swept, well: bool) {
        self.packages.inc_by(swept.packages);
        if well {
            let last = self.last_sweep.get_or_create(&NoLabels {});
            last.set(at.as_second());
            self.held.set(swept.held_until.is_some().into());
        } else {
            self.errors.inc();
        }
    }

    pub(super) fn set_notes(&self, notes: &SweepNotes, now: Timestamp) {
        if let Some(last) = notes.last {
            let gauge = self.last_sweep.get_or_create(&NoLabels {});
            gauge.set(last.as_second());
        }
        let is_held = notes.held_until.is_some_and(|until| now < until);
        self.held.set(is_held.into());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let bytes = || Unit::Bytes;
        let (stored, free) = (self.stored.clone(), self.free.clone());

        let help = "Bytes of all packages that are not destroyed, before encryption";
        registry.register_with_unit("drop_stored", help, bytes(), stored);
        let help = "Bytes that the drop's file system has left";
        registry.register_with_unit("drop_free", help, bytes(), free);
        let help = "Files that the drop's file system has room for";
        registry.register("drop_free_inodes", help, self.inodes.clone());

        let help =
            "Bytes that may still be deposited: quota.total and quota.free_space_min allow no more";
        registry.register_with_unit("drop_headroom", help, bytes(), self.headroom.clone());
        let help = "Logins that deposited many times their usual in a day";
        registry.register("unusual_logins", help, self.unusual.clone());

        let help = "When the sweeper was last through";
        let last = self.last_sweep.clone();
        registry.register_with_unit("sweep_last_success_timestamp", help, Unit::Seconds, last);
        let help = "1 while nothing is destroyed because the clock jumped, else 0";
        registry.register("sweep_held", help, self.held.clone());
    }

    /// Registers what only the process that sweeps knows.
    pub(super) fn register_sweeper(&self, registry: &mut Registry) {
        let help = "Packages whose ciphertext was destroyed";
        registry.register("swept_packages", help, self.packages.clone());
        registry.register("sweep_errors", "Sweeps that failed", self.errors.clone());
    }
}

fn set(family: &Family<NoLabels, Gauge>, value: Option<u64>) {
    match value {
        Some(value) => {
            family.get_or_create(&NoLabels {}).set(gauge(value));
        }
        Option::None => family.clear(),
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

//! The progress of a long command: shown only on a terminal, where somebody waits for it.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

/// Interval between two updates of the line.
const INTERVAL: Duration = Duration::from_millis(200);

/// A counter line on standard error, which disappears when this value is dropped.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Counts `what`, towards `total` if it is known.
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        if !io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let template = match total {
            Some(_) => "{msg} {percent:>3} % [{bar:30}] {elapsed}, {eta} left",
            None => "{spinner} {msg} {pos} in {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(INTERVAL);
        Self(bar)
    }

    /// Adds `count` to what is done.
    pub(super) fn add(&self, count: u64) {
        self.0.inc(count);
    }

    /// Writes a line without disturbing the progress line.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

//! The log, on standard error.

use std::{
    env,
    io::{self, IsTerminal as _},
};

use rustix::fs::fstat;
use tracing::warn;
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    reload::{self, Handle},
    util::SubscriberInitExt as _,
};

use crate::config::{LogConfig, LogFormat};

/// The log of this process, whose level can be changed.
#[derive(Debug)]
pub(super) struct Log(Handle<Targets, Registry>);

/// Starts the log of this process. Does nothing if there is one already.
pub(super) fn start(config: &LogConfig) -> Log {
    let (filter, handle) = reload::Layer::new(filter(config));
    let lines = lines(config.format).with_filter(filter);
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Log(handle)
}

impl Log {
    /// Applies another `log.level` from now on.
    pub(super) fn reload(&self, config: &LogConfig) {
        if let Err(error) = self.0.reload(filter(config)) {
            warn!("could not change what is logged: {error}");
        }
    }
}

fn filter(config: &LogConfig) -> Targets {
    let filter: Targets = config
        .level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // At trace, indymilter prints every byte of every message.
    filter.with_target("indymilter", LevelFilter::WARN)
}

fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let base = fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Auto if is_journal() => lines(LogFormat::Journal),
        LogFormat::Auto | LogFormat::Plain => base.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Journal => base.with_ansi(false).without_time().boxed(),
        LogFormat::Json => base.json().flatten_event(true).boxed(),
    }
}

/// Returns true if standard error is the stream to the journal that `JOURNAL_STREAM` names by device
/// and inode (systemd.exec(5)); a child whose standard error goes elsewhere inherits the variable.
fn is_journal() -> bool {
    let Ok(stat) = fstat(io::stderr()) else {
        return false;
    };
    env::var("JOURNAL_STREAM")
        .is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

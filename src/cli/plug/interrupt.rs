//! Signals that would end a command between two of its changes: they are held, and told at its next step.
//!
//! Ctrl-C, SIGTERM and SIGHUP only. After SIGKILL the record tells the next command what is half done.

use std::{sync::OnceLock, thread};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// The first signal that came.
static SIGNAL: OnceLock<&str> = OnceLock::new();

/// Holds the signals from here on, and says `words` when one comes.
///
/// # Errors
/// One line: they cannot be held.
pub(super) fn hold(words: &'static str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("could not hold signals: {error}");
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    drop(inside);
    thread::spawn(move || {
        let name = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
            }
        });
        let _ = SIGNAL.set(name);
        // After SIGHUP there may be nobody who reads it.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes());
    });
    Ok(())
}

/// Nothing, unless a signal came.
///
/// # Errors
/// One line with its name.
pub(super) fn none_yet() -> Result<(), String> {
    SIGNAL
        .get()
        .map_or(Ok(()), |name| Err(format!("interrupted by {name}")))
}

//! Holds the signals that would end a command between two of its changes; its next step reports them.
//!
//! Only Ctrl-C, SIGTERM and SIGHUP are held. After SIGKILL, the record tells the next command what is
//! half done.

use std::{sync::OnceLock, thread};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

/// The name of the first signal received.
static SIGNAL: OnceLock<&str> = OnceLock::new();

/// Holds the signals from here on, and prints `words` when one comes.
///
/// # Errors
/// Returns one line if they cannot be held.
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
        // After SIGHUP nobody may be left to read it.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes());
    });
    Ok(())
}

/// Succeeds unless a signal came.
///
/// # Errors
/// Returns one line with the signal's name.
pub(super) fn none_yet() -> Result<(), String> {
    SIGNAL
        .get()
        .map_or(Ok(()), |name| Err(format!("interrupted by {name}")))
}

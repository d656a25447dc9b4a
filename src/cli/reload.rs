//! `depollueur reload`: makes the daemon read its configuration again, and prints the result.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use super::{
    ConfigOptions,
    exit::{EX_CONFIG, EX_UNAVAILABLE, Failure, runtime},
    run::{DaemonStatus, PATH},
};
use crate::config::Config;
use clap::Args;
use reqwest::{Client, StatusCode};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// Exit status: values have changed that take effect only at a restart.
const NEEDS_RESTART: u8 = 1;

/// Time limit of an answer; the daemon waits for its own reload that long.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(super) struct ReloadOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// The daemon's process, when it must be this one
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

/// Sends the signal, waits for the end of the reload, and prints the daemon's answer.
pub(super) fn run(options: ReloadOptions) -> Result<(), Failure> {
    // This refuses a wrong configuration already, with the reason.
    let config = options.config.load_written()?;
    let runtime = runtime()?;
    let standing = runtime.block_on(reload(&config, options.pid))?;
    tell(&standing)
}

async fn reload(config: &Config, process: Option<u32>) -> Result<DaemonStatus, Failure> {
    let before = ask(config, None).await?;
    if process.is_some_and(|process| process != before.process) {
        let message = format_args!(
            "process {} answers at admin.listen = \"{}\", not the daemon: to let a changed admin.listen take effect, \
             type: systemctl restart depollueur",
            before.process, config.admin.listen
        );
        return Err(Failure::new(EX_UNAVAILABLE, message));
    }

    let process = i32::try_from(before.process).ok().and_then(Pid::from_raw);
    let process =
        process.ok_or_else(|| Failure::new(EX_UNAVAILABLE, "the daemon has no process"))?;
    kill_process(process, Signal::HUP).map_err(|error| refused(&before, error))?;

    let after = ask(config, Some(before.last.count)).await?;
    if after.last.count == before.last.count {
        let message =
            "the daemon has not read its configuration yet: journalctl -u depollueur says why";
        return Err(Failure::new(EX_UNAVAILABLE, message));
    }
    Ok(after)
}

fn refused(daemon: &DaemonStatus, error: Errno) -> Failure {
    let advice = match error {
        Errno::PERM => "; run this as root",
        _ => "",
    };
    let process = daemon.process;
    let message = format_args!("could not signal the daemon (process {process}): {error}{advice}");
    Failure::new(EX_UNAVAILABLE, message)
}

/// Asks the daemon for its standing; with a count, waits until it has reloaded more often than that.
///
/// # Errors
/// Fails if nobody answers, or another program does.
pub(super) async fn ask(config: &Config, after: Option<u64>) -> Result<DaemonStatus, Failure> {
    let place = config.admin.listen;
    let url = match after {
        Some(count) => format!("http://{place}/{PATH}?after={count}"),
        None => format!("http://{place}/{PATH}"),
    };
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(
            EX_UNAVAILABLE,
            format_args!(
                "no daemon answers at admin.listen = \"{place}\" ({why}): either it does not run (systemctl start \
                 depollueur), or admin.listen has changed since it was started (systemctl restart depollueur)"
            ),
        )
    };

    let client = Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| Failure::new(EX_UNAVAILABLE, error))?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| failed(&super::doctor::chain(&error)))?;

    if answer.status() == StatusCode::NOT_FOUND {
        let message = format_args!(
            "what answers at {place} is of an older version: systemctl restart depollueur"
        );
        return Err(Failure::new(EX_UNAVAILABLE, message));
    }

    let text = answer.text().await;
    let text = text.map_err(|error| failed(&super::doctor::chain(&error)))?;
    serde_json::from_str(&text).map_err(|_| failed(&"what answers there is not depollueur"))
}

fn tell(standing: &DaemonStatus) -> Result<(), Failure> {
    if let Some(reason) = &standing.last.refused {
        let message = format_args!("not reloaded, the old configuration stays: {reason}");
        return Err(Failure::new(EX_CONFIG, message));
    }

    let said = match standing.last.changed.as_slice() {
        [] => "reloaded: no value has changed that takes effect now".to_owned(),
        keys => format!("reloaded: {} changed", keys.join(", ")),
    };

    let mut out = io::stdout().lock();
    writeln!(out, "{said}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;

    match standing.now.restart.as_slice() {
        [] => Ok(()),
        keys => {
            let message = format_args!(
                "{} changed, which needs a restart: systemctl restart depollueur",
                keys.join(", ")
            );
            Err(Failure::new(NEEDS_RESTART, message))
        }
    }
}

//! `depollueur reload`: makes the daemon read its configuration again, each of its processes, and prints the result.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use clap::Args;
use reqwest::{Client, StatusCode};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use super::{
    ConfigOptions,
    exit::{EX_CONFIG, EX_UNAVAILABLE, Failure, complain, runtime},
    run::{DaemonStatus, PATH},
};
use crate::{
    config::Config,
    units::{self, Form, Part, Service},
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

/// Reloads each process, and prints the answers.
pub(super) fn run(options: ReloadOptions) -> Result<(), Failure> {
    // This refuses a wrong configuration already, with the reason.
    let config = options.config.load_written()?;
    let runtime = runtime()?;

    let mut done = Ok(());
    for found in runtime.block_on(find(&config, options.pid))? {
        let reloaded = runtime
            .block_on(reload(&config, found))
            .and_then(|standing| tell(&standing));
        match (&done, reloaded) {
            (Err(_), Err(failure)) => complain(failure),
            (Ok(()), reloaded) => done = reloaded,
            (Err(_), Ok(())) => {}
        }
    }
    done
}

/// Returns the processes to reload: all that should be there, or the one that it must be.
async fn find(
    config: &Config,
    process: Option<u32>,
) -> Result<Vec<Result<DaemonStatus, Failure>>, Failure> {
    let mut found = ask_all(config).await;
    let Some(process) = process else {
        return Ok(found);
    };

    let is_it = |found: &Result<DaemonStatus, Failure>| {
        found.as_ref().is_ok_and(|it| it.process == process)
    };
    if let Some(index) = found.iter().position(is_it) {
        return Ok(vec![found.swap_remove(index)]);
    }

    // One that does not answer could be it.
    let silent = found.iter().position(Result::is_err);
    let other = found.swap_remove(silent.unwrap_or(found.len() - 1))?;
    let (key, place) = config.admin_of(other.service);
    let message = format_args!(
        "process {} answers at {key} = \"{place}\", not the daemon: to let a changed {key} take effect, \
         type: systemctl restart {}",
        other.process,
        other.service.name()
    );
    Err(Failure::new(EX_UNAVAILABLE, message))
}

/// Sends the signal, and waits for the end of the reload.
async fn reload(
    config: &Config,
    found: Result<DaemonStatus, Failure>,
) -> Result<DaemonStatus, Failure> {
    let before = found?;
    let process = i32::try_from(before.process).ok().and_then(Pid::from_raw);
    let process =
        process.ok_or_else(|| Failure::new(EX_UNAVAILABLE, "the daemon has no process"))?;
    kill_process(process, Signal::HUP).map_err(|error| refused(&before, error))?;

    let after = ask(config, before.service, Some(before.last.count)).await?;
    if after.last.count == before.last.count {
        let message = format_args!(
            "the daemon has not read its configuration yet: journalctl -u {} says why",
            before.service.name()
        );
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

/// Asks each process of the daemon for its standing: the one that has all parts, or those that have one each.
pub(super) async fn ask_all(config: &Config) -> Vec<Result<DaemonStatus, Failure>> {
    let form = units::in_use();
    let first = ask(config, form.service(Part::Mail), None).await;
    if first
        .as_ref()
        .is_ok_and(|first| first.service == Service::Whole)
    {
        return vec![first];
    }
    let web = ask(config, Service::Web, None).await;
    if form == Form::Split || first.is_ok() || web.is_ok() {
        return vec![first, web];
    }
    vec![first]
}

/// Asks a process for its standing; with a count, waits until it has reloaded more often than that.
///
/// # Errors
/// Fails if nobody answers, or another program does.
async fn ask(
    config: &Config,
    service: Service,
    after: Option<u64>,
) -> Result<DaemonStatus, Failure> {
    let ((key, place), name) = (config.admin_of(service), service.name());
    let url = match after {
        Some(count) => format!("http://{place}/{PATH}?after={count}"),
        None => format!("http://{place}/{PATH}"),
    };
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(
            EX_UNAVAILABLE,
            format_args!(
                "no daemon answers at {key} = \"{place}\" ({why}): either it does not run (systemctl start \
                 {name}), or {key} has changed since it was started (systemctl restart {name})"
            ),
        )
    };

    let client = Client::builder().no_proxy().timeout(PATIENCE).build();
    let client = client.map_err(|error| Failure::new(EX_UNAVAILABLE, error))?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| failed(&super::doctor::chain(&error)))?;

    if answer.status() == StatusCode::NOT_FOUND {
        let message = format_args!(
            "what answers at {place} is of an older version: systemctl restart {name}"
        );
        return Err(Failure::new(EX_UNAVAILABLE, message));
    }

    let text = answer.text().await;
    let text = text.map_err(|error| failed(&super::doctor::chain(&error)))?;
    serde_json::from_str(&text).map_err(|_| failed(&"what answers there is not depollueur"))
}

fn tell(standing: &DaemonStatus) -> Result<(), Failure> {
    let who = standing.whose();
    if let Some(reason) = &standing.last.refused {
        let message = format_args!("{who}not reloaded, the old configuration stays: {reason}");
        return Err(Failure::new(EX_CONFIG, message));
    }

    let said = match standing.last.changed.as_slice() {
        [] => format!("{who}reloaded: no value has changed that takes effect now"),
        keys => format!("{who}reloaded: {} changed", keys.join(", ")),
    };

    let mut out = io::stdout().lock();
    writeln!(out, "{said}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output(&error))?;

    match standing.now.restart.as_slice() {
        [] => Ok(()),
        keys => {
            let message = format_args!(
                "{who}{} changed, which needs a restart: systemctl restart {}",
                keys.join(", "),
                standing.service.name()
            );
            Err(Failure::new(NEEDS_RESTART, message))
        }
    }
}

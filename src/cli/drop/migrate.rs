//! `depollueur drop migrate`

use std::{
    cell::OnceCell,
    fmt,
    io::{self, Write as _},
};

use clap::Args;

use super::unavailable;
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_CONFIG, EX_TEMPFAIL, EX_UNAVAILABLE, Failure, complain},
        owner,
        progress::Progress,
        reload,
    },
    config::{BlobsKind, Config},
    drop::{FileDrop, Moved, Transferred},
};

/// The keys that a daemon must have read before anything is moved away from where it looks.
const KEYS: [&str; 4] = [
    "drop.blobs",
    "drop.blobs_from",
    "drop.records",
    "drop.records_from",
];

#[derive(Args, Debug)]
pub(in crate::cli) struct MigrateOptions {
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) async fn run(options: MigrateOptions) -> Result<(), Failure> {
    let config = options.config.load()?;
    refuse_without_source(&config)?;
    refuse_before_restart(&config).await?;
    owner::act_as_owner(&config.drop.directory)?;
    if config.drop.records_from.is_some() {
        records(&config)?;
    }
    if config.drop.blobs_from.is_some() {
        blobs(&config)?;
    }
    Ok(())
}

fn records(config: &Config) -> Result<(), Failure> {
    let steps = OnceCell::new();
    let begin = |rows| {
        let _ = steps.set(Progress::new("moving records", Some(rows)));
    };
    let go_on = |rows| {
        steps.get().into_iter().for_each(|steps| steps.add(rows));
    };
    let moved = FileDrop::migrate_records(&config.drop, begin, go_on);
    std::mem::drop(steps);

    let Transferred { rows, passes } = moved.map_err(unavailable)?.unwrap_or_default();
    print(format_args!("rows={rows} passes={passes}"))?;
    complain("the records are in drop.records: remove drop.records_from, and restart the daemon");
    Ok(())
}

fn blobs(config: &Config) -> Result<(), Failure> {
    let drop = FileDrop::of(config).map_err(unavailable)?;
    let steps = Progress::new("moving files", Some(FileDrop::MIGRATE_STEPS));
    let moved = drop.migrate(|| steps.add(1));
    std::mem::drop(steps);

    let (moved, result) = moved.expect("the drop was opened with a source");
    tell(config, moved)?;
    result.map_err(unavailable)
}

fn refuse_without_source(config: &Config) -> Result<(), Failure> {
    if config.drop.blobs_from.is_some() || config.drop.records_from.is_some() {
        return Ok(());
    }
    let message = "drop.blobs_from and drop.records_from are empty, so that nothing is to be moved: write drop.blobs = where \
                   files are to be kept from now on and drop.blobs_from = where they are (of records: drop.records and \
                   drop.records_from), restart the daemon, and type this again";
    Err(Failure::new(EX_CONFIG, message))
}

fn print(line: fmt::Arguments<'_>) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{line}").map_err(|error| Failure::output(&error))
}

/// A daemon that looks in the old place only would find no moved file.
async fn refuse_before_restart(config: &Config) -> Result<(), Failure> {
    let standings = reload::ask_all(config).await;
    for standing in standings.into_iter().flatten() {
        let changed = |key: &&str| standing.now.restart.iter().any(|name| name == key);
        if let Some(key) = KEYS.iter().find(|key| changed(key)) {
            let message = format_args!(
                "{}{key} changed since the daemon was started: it would not find what is moved. Type first: systemctl restart {}",
                standing.whose(),
                standing.service.name()
            );
            return Err(Failure::new(EX_UNAVAILABLE, message));
        }
    }
    Ok(())
}

fn tell(config: &Config, moved: Moved) -> Result<(), Failure> {
    let Moved {
        files,
        bytes,
        failed,
        unneeded,
    } = moved;
    print(format_args!(
        "files={files} bytes={bytes} failed={failed} unneeded={unneeded}"
    ))?;

    if failed > 0 {
        let message = format_args!(
            "{failed} files lie where they were, and are found there: type this again"
        );
        complain(message);
        return Ok(());
    }
    if unneeded > 0 {
        let message = format_args!(
            "{unneeded} files of no package are left: the sweep removes them within hours; type this again then"
        );
        return Err(Failure::new(EX_TEMPFAIL, message));
    }
    if config.drop.blobs_from == Some(BlobsKind::S3) {
        FileDrop::forget_bucket(&config.drop).map_err(unavailable)?;
    }
    complain("nothing is left there: remove drop.blobs_from, and restart the daemon");
    Ok(())
}

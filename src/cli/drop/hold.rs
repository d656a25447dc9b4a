//! `depollueur drop hold` and `release`: packages that an authority wants to be kept.

use clap::Args;
use jiff::Timestamp;

use super::{EX_NOTHING, look, nothing, open, select::Selection, table::Form, unavailable};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_USAGE, Failure, complain},
    },
    drop::{Deposit, PackageState, RequestOutcome, Requester},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct HoldOptions {
    #[command(flatten)]
    selection: Selection,
    /// By whose order, under which number; it stands in the record and in the audit log
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ReleaseOptions {
    #[command(flatten)]
    selection: Selection,
    /// Why; it stands in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

/// Holds packages, whether they are live or not. A package that cannot be held is reported and does
/// not stop the others.
pub(super) async fn hold(options: HoldOptions) -> Result<(), Failure> {
    if options.reason.trim().is_empty() {
        let message = "--reason must say by whose order, and under which number";
        return Err(Failure::new(EX_USAGE, message));
    }

    let (drop, url) = open(options.config)?;
    let now = Timestamp::now();
    let by_name = options.selection.is_by_name();
    let mut found = options.selection.find(&drop, &url, now, "hold").await?;
    if !by_name {
        found.retain(|deposit| deposit.state != PackageState::Destroyed);
    }
    if found.is_empty() {
        return Err(nothing());
    }

    let (mut held, mut missed) = (Vec::new(), false);
    for Deposit { id, .. } in found {
        let done = drop.hold(id, now, Requester::ADMIN, &options.reason).await;
        match done.map_err(unavailable)? {
            RequestOutcome::Destroyed | RequestOutcome::Unknown => {
                complain(format_args!("{id:.12}: its files are destroyed"));
                missed = true;
            }
            _ => held.extend(drop.show(id, now).await.map_err(unavailable)?),
        }
    }

    let held: Vec<_> = held.into_iter().map(|(deposit, _)| deposit).collect();
    look::deposits(&held, options.form)?;
    told(missed)
}

/// Releases packages, which then are as if they had not been held: live, ended, or due to be destroyed.
pub(super) async fn release(options: ReleaseOptions) -> Result<(), Failure> {
    let (drop, url) = open(options.config)?;
    let now = Timestamp::now();
    let by_name = options.selection.is_by_name();
    let mut found = options.selection.find(&drop, &url, now, "release").await?;
    if !by_name {
        found.retain(|deposit| deposit.held.is_some());
    }
    if found.is_empty() {
        let message = "none of these packages is held: see depollueur drop list --state held";
        return Err(Failure::new(EX_NOTHING, message));
    }

    let (mut released, mut missed) = (Vec::new(), false);
    for Deposit { id, .. } in found {
        let done = drop
            .unhold(id, now, Requester::ADMIN, &options.reason)
            .await;
        if done.map_err(unavailable)?.is_none() {
            complain(format_args!("{id:.12}: it is not held"));
            missed = true;
        } else {
            released.extend(drop.show(id, now).await.map_err(unavailable)?);
        }
    }

    let released: Vec<_> = released.into_iter().map(|(deposit, _)| deposit).collect();
    look::deposits(&released, options.form)?;
    told(missed)
}

/// Reports packages that are not destroyed, with the reason.
///
/// # Errors
/// Fails if there are any.
pub(super) fn refuse(held: &[Deposit]) -> Result<(), Failure> {
    for deposit in held {
        let why = match &deposit.held {
            Some(hold) => format!(" since {}: {}", hold.since, hold.reason),
            None => String::new(),
        };
        complain(format_args!(
            "{:.12}: not destroyed, for it is held by order{why}; depollueur drop release lets go of it",
            deposit.id
        ));
    }
    told(!held.is_empty())
}

fn told(missed: bool) -> Result<(), Failure> {
    match missed {
        true => Err(Failure::silent(EX_NOTHING)),
        false => Ok(()),
    }
}

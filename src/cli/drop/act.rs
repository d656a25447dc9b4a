//! The commands that change something: `extend`, `restore`, `revoke`, `suspend`, `resume`, `block`, `unblock`. They ask
//! for nothing, and say what they did.

use clap::Args;
use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;

use super::{
    EX_NOTHING, hold, link, look, named, nothing, open,
    select::Selection,
    table::{Form, line},
    unavailable,
    when::{FutureEnd, Past},
};
use crate::{
    cli::{
        ConfigOptions,
        exit::{EX_UNAVAILABLE, EX_USAGE, Failure, complain},
        owner,
        progress::Progress,
    },
    drop::{Deposit, FileDrop, PackageState, RecordId, RequestOutcome, Requester, Resumed},
    units,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct ExtendOptions {
    /// The link, or the id of the record; - reads it from standard input
    package: String,
    /// Until when: a date, a time, or how long from now
    #[arg(long, value_name = "TIME")]
    until: FutureEnd,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RestoreOptions {
    #[command(flatten)]
    selection: Selection,
    /// Until when: a date, a time, or how long from now; without it, until it would have expired
    #[arg(long, value_name = "TIME")]
    until: Option<FutureEnd>,
    /// Of these, those revoked at this time or later
    #[arg(long, value_name = "TIME", conflicts_with = "packages")]
    revoked_since: Option<Past>,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RevokeOptions {
    #[command(flatten)]
    selection: Selection,
    /// Why; it stands in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    /// Destroys the files at once: they cannot be restored, and running downloads end
    #[arg(long)]
    destroy: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct SuspendOptions {
    /// The login, as the mail server knows it
    #[arg(long, value_name = "NAME")]
    login: String,
    /// Why; it stands in the list of suspensions and in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct ResumeOptions {
    /// The login, as drop suspended shows it
    #[arg(long, value_name = "NAME")]
    login: String,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct BlockOptions {
    /// SHA-256 of the file's contents, 64 hexadecimal digits
    sha256: String,
    /// Why; it stands in the list of blocks and in the audit log
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct UnblockOptions {
    /// SHA-256 of the file's contents, 64 hexadecimal digits
    sha256: String,
    #[command(flatten)]
    config: ConfigOptions,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct RekeyOptions {
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) fn rekey(options: RekeyOptions) -> Result<(), Failure> {
    let config = options.config.load()?;
    owner::act_as_owner(&config.drop.directory)?;
    let key = config.drop.directory.join("drop.key");
    if key.exists() {
        let message = format!("the drop has its key, \"{}\": nothing to do", key.display());
        return Err(Failure::new(EX_USAGE, message));
    }
    FileDrop::renew_key(&config.drop).map_err(unavailable)?;
    let daemons = units::in_use().names();
    line(&format!(
        "a new key was made; blocked files stay blocked. A daemon that runs has the old one still: systemctl restart {daemons}"
    ))
}

pub(super) async fn extend(options: ExtendOptions) -> Result<(), Failure> {
    let name = link::given(options.package)?;
    let (drop, url) = open(options.config)?;
    let (deposit, until) = (named(&drop, &name, &url).await?, options.until.0);
    if deposit.state != PackageState::Live {
        let state = deposit.state.word();
        let message = format!("this package is {state}: see depollueur drop restore");
        return Err(Failure::new(EX_NOTHING, message));
    }
    let lengthened = drop.lengthen(deposit.id, until, Timestamp::now(), Requester::ADMIN);
    tell(deposit.id, until, lengthened.await.map_err(unavailable)?)
}

/// Brings back packages. Of many, those that an admin had revoked, and of those that hold a file also
/// those that ended when it was blocked; a package that cannot be brought back is reported and does
/// not stop the others.
pub(super) async fn restore(options: RestoreOptions) -> Result<(), Failure> {
    let RestoreOptions {
        selection,
        until,
        revoked_since,
        config,
    } = options;

    let (drop, url) = open(config)?;
    let (by_name, by_file) = (selection.is_by_name(), selection.sha256().is_some());
    let mut found = selection
        .find(&drop, &url, Timestamp::now(), "restore")
        .await?;

    if !by_name {
        let since = revoked_since.map_or(Timestamp::MIN, |since| since.0);
        // A package that was ended for a file comes back by it, once that is unblocked.
        let is_meant =
            |state| state == PackageState::Revoked || by_file && state == PackageState::Blocked;
        found.retain(|deposit| {
            is_meant(deposit.state) && deposit.ended.is_some_and(|at| at >= since)
        });
        if found.is_empty() {
            let message = "none of these packages is revoked, or blocked for a file: see depollueur drop list";
            return Err(Failure::new(EX_NOTHING, message));
        }
    }

    let until = until.map(|until| until.0);
    let mut failed = None;
    for deposit in &found {
        if let Err(failure) = bring_back(&drop, deposit, until).await {
            if found.len() > 1 {
                complain(format_args!("{:.12}: {failure}", deposit.id));
            }
            failed = Some(failure);
        }
    }

    match failed {
        None => Ok(()),
        Some(failure) if found.len() == 1 => Err(failure),
        Some(_) => Err(Failure::silent(EX_NOTHING)),
    }
}

async fn bring_back(
    drop: &FileDrop,
    deposit: &Deposit,
    until: Option<Timestamp>,
) -> Result<(), Failure> {
    if deposit.state == PackageState::Live {
        let message = format!("this package is live until {}", deposit.expires);
        return Err(Failure::new(EX_USAGE, message));
    }
    let until = until.unwrap_or(deposit.expires);
    if until <= Timestamp::now() && until == deposit.expires {
        let message = format!("it expired on {until}: say until when, with --until");
        return Err(Failure::new(EX_USAGE, message));
    }
    let now = Timestamp::now();
    if until <= now {
        return Err(Failure::new(EX_USAGE, "this time is over"));
    }
    let restored = drop.restore(deposit.id, until, now, Requester::ADMIN);
    tell(deposit.id, until, restored.await.map_err(unavailable)?)
}

/// Says until when a package can be fetched, or why it cannot.
fn tell(id: RecordId, until: Timestamp, outcome: RequestOutcome) -> Result<(), Failure> {
    match outcome {
        RequestOutcome::Done(until) => line(&format!("{id:.12} can be fetched until {until}")),
        RequestOutcome::Already => {
            line(&format!("{id:.12} can be fetched until {until}, as before"))
        }
        RequestOutcome::Later(expires) => Err(Failure::new(
            EX_USAGE,
            format_args!("this package expires later than that, on {expires}"),
        )),
        RequestOutcome::Ended => Err(Failure::new(
            EX_NOTHING,
            "this package was ended meanwhile: see depollueur drop restore",
        )),
        RequestOutcome::Destroyed => Err(Failure::new(EX_NOTHING, "its files are destroyed")),
        RequestOutcome::Blocked => Err(Failure::new(
            EX_NOTHING,
            "one of its files is blocked: see depollueur drop blocks",
        )),
        RequestOutcome::Held => Err(Failure::new(
            EX_NOTHING,
            "it is held by order: depollueur drop release lets go of it",
        )),
        RequestOutcome::Unknown => Err(nothing()),
    }
}

pub(super) async fn revoke(options: RevokeOptions) -> Result<(), Failure> {
    let RevokeOptions {
        selection,
        reason,
        destroy,
        form,
        config,
    } = options;

    let (drop, url) = open(config)?;
    let now = Timestamp::now();
    let by_name = selection.is_by_name();
    let mut found = selection.find(&drop, &url, now, "revoke").await?;
    if !by_name {
        found.retain(|deposit| deposit.state != PackageState::Destroyed);
    }
    if found.is_empty() {
        return Err(nothing());
    }

    let progress = Progress::new("revoking", Some(found.len() as u64));
    let (mut done, mut held) = (Vec::new(), Vec::new());
    for deposit in found {
        let id = deposit.id;
        let is_kept = destroy && deposit.held.is_some();
        if is_kept || !end(&drop, id, now, &reason, destroy).await? {
            held.push(deposit);
        }
        done.extend(drop.show(id, now).await.map_err(unavailable)?);
        progress.add(1);
    }
    std::mem::drop(progress);

    let done: Vec<_> = done.into_iter().map(|(deposit, _)| deposit).collect();
    look::deposits(&done, form)?;
    hold::refuse(&held)?;
    refuse_lingering(&drop, done.iter().map(|deposit| deposit.id).collect()).await
}

/// Fails if files of these packages have yet to be removed although they are destroyed, as at a Jirafeau that is
/// down.
pub(super) async fn refuse_lingering(
    drop: &FileDrop,
    packages: Vec<RecordId>,
) -> Result<(), Failure> {
    let lingering = drop.lingering(packages).await.map_err(unavailable)?;
    if lingering == 0 {
        return Ok(());
    }
    let message = format!(
        "of {lingering} destroyed packages files could not be removed yet: the next sweep tries again, and depollueur drop sweep says why not"
    );
    Err(Failure::new(EX_UNAVAILABLE, message))
}

/// Revokes a package, and destroys it if that is wanted. Returns false if it is held, and was not
/// destroyed.
pub(super) async fn end(
    drop: &FileDrop,
    id: RecordId,
    now: Timestamp,
    reason: &str,
    wants_destruction: bool,
) -> Result<bool, Failure> {
    let revoked = drop.revoke(id, now, Requester::ADMIN, reason).await;
    let outcome = revoked.map_err(unavailable)?;
    if !wants_destruction || matches!(outcome, RequestOutcome::Destroyed | RequestOutcome::Unknown)
    {
        return Ok(true);
    }
    destroy(drop, id, now).await
}

/// Destroys a package that was ended. Returns false if it is held.
pub(super) async fn destroy(
    drop: &FileDrop,
    id: RecordId,
    now: Timestamp,
) -> Result<bool, Failure> {
    let destroyed = drop.destroy(id, now, Requester::ADMIN).await;
    Ok(destroyed.map_err(unavailable)? != RequestOutcome::Held)
}

pub(super) async fn suspend(options: SuspendOptions) -> Result<(), Failure> {
    if options.login.trim().is_empty() {
        let message = "--login must name somebody, as the mail server knows him";
        return Err(Failure::new(EX_USAGE, message));
    }
    let (drop, _) = open(options.config)?;
    let now = Timestamp::now();
    let done = drop.suspend(&options.login, now, Requester::ADMIN, &options.reason);
    let (fresh, ended) = done.await.map_err(unavailable)?;
    let how = if fresh {
        "suspended"
    } else {
        "was suspended before"
    };
    line(&format!("{how}; packages ended: {}", ended.len()))?;
    ended.iter().try_for_each(|id| line(&format!("{id:.12}")))
}

pub(super) async fn resume(options: ResumeOptions) -> Result<(), Failure> {
    let (drop, _) = open(options.config)?;
    let done = drop.resume(&options.login, Timestamp::now(), Requester::ADMIN);
    let Some(resumed) = done.await.map_err(unavailable)? else {
        let message = "this login is not suspended: see depollueur drop suspended";
        return Err(Failure::new(EX_NOTHING, message));
    };

    let Resumed {
        restored,
        expired,
        kept,
    } = resumed;
    line(&format!(
        "resumed; packages brought back: {}",
        restored.len()
    ))?;
    for id in restored {
        line(&format!("{id:.12}"))?;
    }

    for (id, expires) in expired {
        complain(format_args!(
            "{id:.12}: stays ended: it expired on {expires}; depollueur drop restore --until brings it back"
        ));
    }

    for (id, outcome) in kept {
        let why = match outcome {
            RequestOutcome::Blocked => "one of its files is blocked",
            RequestOutcome::Held => {
                "it is held by order; after depollueur drop release, depollueur drop restore brings it back"
            }
            _ => "its files are destroyed",
        };
        complain(format_args!("{id:.12}: stays ended: {why}"));
    }

    Ok(())
}

pub(super) async fn block(options: BlockOptions) -> Result<(), Failure> {
    let sha256 = digest(&options.sha256)?;
    let (drop, _) = open(options.config)?;
    let now = Timestamp::now();
    let blocked = drop
        .block(sha256, now, Requester::ADMIN, &options.reason)
        .await;
    let (fresh, ended) = blocked.map_err(unavailable)?;
    let how = if fresh {
        "blocked"
    } else {
        "was blocked before"
    };
    line(&format!("{how}; packages ended: {}", ended.len()))?;
    ended.iter().try_for_each(|id| line(&format!("{id:.12}")))?;
    refuse_lingering(&drop, ended).await
}

pub(super) async fn unblock(options: UnblockOptions) -> Result<(), Failure> {
    let sha256 = digest(&options.sha256)?;
    let (drop, _) = open(options.config)?;
    let done = drop
        .unblock(sha256, Timestamp::now(), Requester::ADMIN)
        .await;
    if done.map_err(unavailable)? {
        line("unblocked; packages that were ended stay so, see depollueur drop restore")
    } else {
        Err(Failure::new(EX_NOTHING, "this file is not blocked"))
    }
}

pub(super) fn digest(text: &str) -> Result<[u8; 32], Failure> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes());
    let digest = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    digest.ok_or_else(|| Failure::new(EX_USAGE, "not a SHA-256 of 64 hexadecimal digits, as sha256sum prints it and depollueur drop show"))
}

//! The command `depollueur run`.

mod log;
mod reload;
mod running;
mod runtimes;
mod sockets;
mod watch;

use std::{io, time::Duration};

use clap::Args;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tracing::{error, info, warn};

pub(super) use self::running::{DaemonStatus, PATH};
use self::{
    reload::{Components, Reload, Themes, current},
    sockets::{Sockets, listen, listen_any},
    watch::{keep_status, sweep, watch_clamd, watch_level},
};
use super::{
    ConfigOptions,
    exit::{EX_CONFIG, EX_IOERR, EX_UNAVAILABLE, Failure},
    owner,
};
use crate::{
    admin,
    decisions::Decisions,
    drop::FileDrop,
    filter::Copies,
    http::server::{self, ServerLimits},
    metrics::Metrics,
    milter::{self, Claim, Stop},
    remote::server::Deposits,
    store::Stores,
    web::{self, Usage},
};

/// Time that the end waits for threads that wait for the disk; work that they have not done by then
/// is lost as if the process had been killed.
const THREADS_END_TIME: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(super) struct RunOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Takes the sockets of a running daemon over, which should then be stopped: it ends its open
    /// sessions, and no mail is refused in between
    #[arg(long)]
    takeover: bool,
    /// Ends when this process, which started it, ends
    #[arg(long, value_name = "PID", hide = true)]
    ends_with: Option<u32>,
}

/// Creates a failure with advice for the case that the service's sandbox is the reason: it answers
/// with EROFS.
fn unavailable(error: &dyn std::fmt::Display) -> Failure {
    let message = error.to_string();
    let is_read_only = message.contains("os error 30");
    let is_of_unit = message.contains("milter socket") && message.contains("/var/spool/postfix/");
    let advice = if is_of_unit && (is_read_only || message.contains("does not exist")) {
        "; this socket is made by depollueur.socket: systemctl restart depollueur.socket depollueur.service"
    } else if is_read_only {
        "; the service may write below /var/lib/depollueur only: `depollueur check` says what to type for another place"
    } else {
        ""
    };
    Failure::new(EX_UNAVAILABLE, format_args!("{message}{advice}"))
}

/// Makes the kernel end this process along with the one that started it.
fn end_with(parent: u32) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(EX_UNAVAILABLE, why);
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| failed(format!("could not follow process {parent}: {error}")))?;
    // It may have ended before the kernel was told.
    if std::os::unix::process::parent_id() == parent {
        return Ok(());
    }
    Err(failed(format!("process {parent} has ended")))
}

/// Runs the daemon.
pub(super) fn run(options: RunOptions) -> Result<(), Failure> {
    let read = options.config.clone().load_written_with_files();
    let (config, loaded) = read.inspect_err(|_| sockets::turn_away())?;

    owner::become_owner(&config.drop.directory)?;
    // Not earlier: Linux forgets the setting when the user changes, prctl(2).
    if let Some(parent) = options.ends_with {
        end_with(parent)?;
    }

    let log = log::start(&config.log);
    for warning in config.warnings() {
        warn!("{warning}");
    }

    let themes = Themes::load(&config).map_err(|why| Failure::new(EX_CONFIG, why))?;
    raise_open_files();
    let claim = if options.takeover {
        Claim::Takeover
    } else {
        Claim::Fresh
    };
    // The sockets come first: a start that fails on one of them leaves no drop behind.
    let sockets = Sockets::open(&config, claim).map_err(|error| unavailable(&error))?;
    let elsewhere = Stores::elsewhere(&config).map_err(|error| unavailable(&error))?;
    let drop = FileDrop::of(&config)?;
    let stores = Stores::over(&config, Some(drop.clone()), elsewhere);
    let stores = stores.map_err(|error| unavailable(&error))?;

    let metrics = Metrics::new();
    metrics.reloaded(Timestamp::now(), true);
    let made = Components {
        drop: drop.clone(),
        stores: stores.clone(),
        metrics: metrics.clone(),
        decisions: Decisions::start(&config.drop.directory, &config.audit),
        copies: Copies::default(),
        usage: Usage::new(&config.web),
    };

    let reload = Reload::new(options.config, (config, loaded), themes, made, log);
    let no_threads =
        |error: io::Error| unavailable(&format_args!("could not start threads: {error}"));
    let mail = runtimes::of_mail(reload.config()).map_err(no_threads)?;
    let readers = runtimes::starting(web::runtime).map_err(no_threads)?;

    let daemon = Daemon {
        drop,
        stores,
        metrics,
        reload,
        readers: readers.handle().clone(),
    };

    let ended = mail.block_on(daemon.serve(sockets));
    readers.shutdown_timeout(THREADS_END_TIME);
    mail.shutdown_timeout(THREADS_END_TIME);
    ended
}

/// The state that all tasks share.
struct Daemon {
    drop: FileDrop,
    stores: Stores,
    metrics: Metrics,
    reload: Reload,
    /// The threads of the public listener.
    readers: runtime::Handle,
}

impl Daemon {
    async fn serve(mut self, sockets: Sockets) -> Result<(), Failure> {
        let stop = Stop::default();
        let places = sockets.to_string();
        let mut signals = Signals::new()
            .map_err(|error| Failure::new(EX_UNAVAILABLE, format_args!("no signals: {error}")))?;

        let mut tasks = self.spawn(sockets, &stop).map_err(|error| {
            Failure::new(
                EX_UNAVAILABLE,
                format_args!("could not serve a socket: {error}"),
            )
        })?;

        notify(&[NotifyState::Ready]);
        info!("ready: {places}");

        let mut failed = false;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(ended) => failed |= !self.ended_well(ended, &stop),
                },
                signal = signals.next() => match signal {
                    Caught::Stop => self.escalate(&stop),
                    Caught::Reload => self.reload(&stop),
                },
            }
        }

        self.stores.settle().await;
        info!("stopped");
        if failed {
            Err(Failure::new(EX_IOERR, "a part of the daemon failed"))
        } else {
            Ok(())
        }
    }

    /// Starts all tasks. Each ends by itself when it is told to stop.
    fn spawn(&self, sockets: Sockets, stop: &Stop) -> io::Result<JoinSet<io::Result<()>>> {
        let Sockets {
            milter,
            web,
            admin,
            deposit,
        } = sockets;

        let admin = listen(admin)?;
        let (web, web_file) = {
            // A socket belongs to the runtime whose threads serve it.
            let _entered = self.readers.enter();
            listen_any(web)?
        };

        let pages = current(self.reload.pages());
        let health = admin::router(self.stores.clone(), self.metrics.clone());
        let health = health.merge(self.reload.running().router());
        let web_limits = web::limits(&self.reload.config().web);
        let (filter, metrics) = (self.reload.filter(), self.metrics.clone());

        let mut tasks = JoinSet::new();
        tasks.spawn(milter::run(milter, filter, metrics, stop.clone()));
        let readers = serve_http(web, pages, web_limits, stop.clone());
        let readers = async move {
            let served = readers.await;
            drop(web_file);
            served
        };
        tasks.spawn_on(readers, &self.readers);
        tasks.spawn(serve_http(admin, health, admin::limits(), stop.clone()));
        if let Some(deposit) = deposit {
            let (deposits, metrics) = (self.deposits(), self.metrics.clone());
            tasks.spawn(take_deposits(
                listen(deposit)?,
                deposits,
                metrics,
                stop.clone(),
            ));
        }

        self.spawn_watchers(&mut tasks, stop);
        Ok(tasks)
    }

    /// Starts what looks after the drop and its surroundings from time to time.
    fn spawn_watchers(&self, tasks: &mut JoinSet<io::Result<()>>, stop: &Stop) {
        let (drop, metrics) = (self.drop.clone(), self.metrics.clone());
        self.probe_tables();
        let watching = watch_level(drop.clone(), metrics.clone(), stop.clone());
        tasks.spawn(until_cut(watching, stop.clone()));

        let scan = self.reload.config().scan.clone();
        // The daemon ends with its first task that does.
        if !scan.clamd.is_empty() {
            let watching = watch_clamd(scan, metrics.clone(), stop.clone());
            tasks.spawn(until_cut(watching, stop.clone()));
        }
        tasks.spawn(until_cut(sweep(drop, metrics, stop.clone()), stop.clone()));

        let (running, metrics) = (self.reload.running().clone(), self.metrics.clone());
        let telling = keep_status(running, metrics, stop.clone());
        tasks.spawn(until_cut(telling, stop.clone()));
    }

    fn deposits(&self) -> Deposits {
        let config = self.reload.config();
        let (limits, public_url) = (config.deposit.clone(), config.web.public_url.as_str());
        let filter = self.reload.filter();
        let lookup = move || filter.borrow().lookup().clone();
        Deposits::new(self.drop.clone(), limits, public_url, lookup)
    }

    /// Tries the tables of Postfix that may be queried for mail, concurrently with everything else:
    /// faults in them are reported before the first message needs them.
    fn probe_tables(&self) {
        let filter = self.reload.filter().borrow().clone();
        if filter.config().may_ask_postfix() {
            tokio::spawn(async move {
                for error in filter.lookup().probe().await {
                    warn!("{error}");
                }
            });
        }
    }

    /// Reads the configuration again. The service manager is told when that begins and when it ends,
    /// successfully or not: the daemon serves in either case.
    fn reload(&mut self, stop: &Stop) {
        if stop.gracefully.is_cancelled() {
            return;
        }
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => warn!("no monotonic clock: {error}"),
        }
        self.reload.reload();
        self.probe_tables();
        notify(&[NotifyState::Ready]);
    }

    /// Returns false for a task that failed or ended before it was told to, and then stops the
    /// daemon: half of it is no service.
    fn ended_well(
        &self,
        ended: Result<io::Result<()>, tokio::task::JoinError>,
        stop: &Stop,
    ) -> bool {
        let well = match ended {
            Ok(Ok(())) => stop.gracefully.is_cancelled(),
            Ok(Err(error)) => {
                error!("a listener failed: {error}");
                false
            }
            Err(error) => {
                error!("a task failed: {error}");
                false
            }
        };
        if !well {
            stop.gracefully.cancel();
        }
        well
    }

    /// Stops gracefully at the first signal, and at once at the second.
    fn escalate(&self, stop: &Stop) {
        if stop.gracefully.is_cancelled() {
            warn!("stopping at once");
            stop.at_once.cancel();
            return;
        }
        notify(&[NotifyState::Stopping]);
        info!("stopping");
        stop.gracefully.cancel();
    }
}

async fn serve_http(
    listener: impl Into<server::Listener>,
    router: axum::Router,
    limits: ServerLimits,
    stop: Stop,
) -> io::Result<()> {
    let gracefully = stop.gracefully.cancelled_owned();
    tokio::select! {
        () = server::serve(listener, router, limits, gracefully) => {}
        () = stop.at_once.cancelled() => {}
    }
    Ok(())
}

async fn take_deposits(
    listener: tokio::net::TcpListener,
    deposits: Deposits,
    metrics: Metrics,
    stop: Stop,
) -> io::Result<()> {
    let gracefully = stop.gracefully.cancelled_owned();
    tokio::select! {
        () = deposits.serve(listener, metrics, gracefully) => {}
        () = stop.at_once.cancelled() => {}
    }
    Ok(())
}

/// Runs work that waits for the disk, which may never answer, until the daemon stops at once.
async fn until_cut(work: impl Future<Output = io::Result<()>>, stop: Stop) -> io::Result<()> {
    let ended = stop.at_once.run_until_cancelled(work).await;
    ended.unwrap_or(Ok(()))
}

/// The request that a signal makes.
enum Caught {
    /// SIGTERM and SIGINT: to end.
    Stop,
    /// SIGHUP: to read the configuration again.
    Reload,
}

/// The signals that the daemon understands.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.terminate.recv() => Caught::Stop,
            _ = self.interrupt.recv() => Caught::Stop,
            _ = self.hangup.recv() => Caught::Reload,
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!("could not notify the service manager: {error}");
    }
}

/// Raises the soft limit of open files, usually 1024: each SMTP session takes a descriptor.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!("could not raise the limit of open files: {error}");
    }
}

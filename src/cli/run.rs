//! The daemon: the command `depollueur run`, which has all its parts, and `depollueur milter` and `depollueur web`, which
//! have one each.

mod log;
mod reload;
mod running;
mod runtimes;
mod sockets;
mod watch;

use std::{io, net::TcpListener, time::Duration};

use axum::Router;
use clap::Args;
use jiff::Timestamp;
use rustix::process::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::Receiver,
    task::JoinSet,
};
use tracing::{error, info, warn};

pub(super) use self::running::{DaemonStatus, PATH};
use self::{
    reload::{Components, MailComponents, Reload, Themes, current},
    runtimes::Runtimes,
    sockets::{Sockets, listen, listen_any},
    watch::{keep_status, sweep, watch_clamd, watch_level, watch_sweeps},
};
use super::{
    ConfigOptions,
    exit::{EX_CONFIG, EX_IOERR, EX_UNAVAILABLE, Failure},
    owner,
};
use crate::{
    admin::{self, Work},
    aside,
    config::Config,
    decisions::Decisions,
    drop::FileDrop,
    filter::{Copies, Filter},
    http::server::{self, ServerLimits},
    metrics::Metrics,
    milter::{self, Claim, Socket, Stop},
    remote::server::Deposits,
    store::{OpenStore, Stores},
    units::{self, Part, Service},
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
        let form = units::in_use();
        let (socket, both) = (form.socket(), form.milter());
        format!("; this socket is made by {socket}: systemctl restart {both}")
    } else if is_read_only {
        "; the service may write below /var/lib/depollueur only: `depollueur check` says what to type for another place".into()
    } else {
        String::new()
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

/// Runs the daemon, with the parts of this service.
pub(super) fn run(options: RunOptions, service: Service) -> Result<(), Failure> {
    service.begin();
    let read = options.config.clone().load_written_with_files();
    let (config, loaded) = read.inspect_err(|_| sockets::turn_away(service))?;

    owner::become_owner(&config.drop.directory)?;
    // Not earlier: Linux forgets the setting when the user changes, prctl(2).
    if let Some(parent) = options.ends_with {
        end_with(parent)?;
    }

    let log = log::start(&config.log);
    for warning in loaded.warnings(&config) {
        warn!("{warning}");
    }

    let themes = Themes::of(service, &config).map_err(|why| Failure::new(EX_CONFIG, why))?;
    raise_open_files();
    let claim = if options.takeover {
        Claim::Takeover
    } else {
        Claim::Fresh
    };
    // The sockets come first: a start that fails on one of them leaves no drop behind.
    let sockets = Sockets::open(&config, service, claim).map_err(|error| unavailable(&error))?;
    let made = components(&config, service)?;

    let reload = Reload::new(options.config, (config, loaded), themes, made.clone(), log);
    let runtimes = Runtimes::start(service, reload.config())
        .map_err(|error| unavailable(&format_args!("could not start threads: {error}")))?;
    let daemon = Daemon {
        made,
        reload,
        readers: runtimes.readers().cloned(),
    };

    let ended = runtimes.own().block_on(daemon.serve(sockets));
    runtimes.end(THREADS_END_TIME);
    ended
}

/// Opens the drop, and makes what the parts of this service need beside it.
fn components(config: &Config, service: Service) -> Result<Components, Failure> {
    // A start that fails on a store elsewhere leaves no drop behind, either.
    let elsewhere = match service.has(Part::Mail) {
        true => Some(Stores::elsewhere(config).map_err(|error| unavailable(&error))?),
        false => None,
    };
    let drop = FileDrop::of(config)?;
    let mail = match elsewhere {
        Some(elsewhere) => Some(mail_components(config, &drop, elsewhere)?),
        None => None,
    };

    let metrics = Metrics::of(service);
    metrics.reloaded(Timestamp::now(), true);
    let has_pages = service.has(Part::Pages);
    Ok(Components {
        service,
        drop,
        metrics,
        mail,
        usage: has_pages.then(|| Usage::new(&config.web)),
    })
}

fn mail_components(
    config: &Config,
    drop: &FileDrop,
    elsewhere: Vec<OpenStore>,
) -> Result<MailComponents, Failure> {
    let stores = Stores::over(config, Some(drop.clone()), elsewhere);
    Ok(MailComponents {
        stores: stores.map_err(|error| unavailable(&error))?,
        decisions: Decisions::start(&config.drop.directory, &config.audit),
        copies: Copies::default(),
    })
}

/// The state that all tasks share.
struct Daemon {
    made: Components,
    reload: Reload,
    /// The threads of the public listener, if this process has it.
    readers: Option<runtime::Handle>,
}

/// The tasks of the daemon.
type Tasks = JoinSet<io::Result<()>>;

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

        // What is dropped aside may begin to remove files elsewhere, for which the stores wait.
        let _ = tokio::task::spawn_blocking(|| aside::settle(THREADS_END_TIME)).await;
        if let Some(mail) = &self.made.mail {
            mail.stores.settle().await;
        }
        info!("stopped");
        if failed {
            Err(Failure::new(EX_IOERR, "a part of the daemon failed"))
        } else {
            Ok(())
        }
    }

    /// Starts all tasks. Each ends by itself when it is told to stop.
    fn spawn(&self, sockets: Sockets, stop: &Stop) -> io::Result<Tasks> {
        let mut tasks = JoinSet::new();
        if let Some(filter) = self.reload.filter() {
            let sockets = (sockets.milter, sockets.deposit);
            self.spawn_mail(&mut tasks, filter, sockets, stop)?;
        }
        if let (Some(pages), Some(web)) = (self.reload.pages(), sockets.web) {
            self.spawn_pages(&mut tasks, pages, web, stop)?;
        }

        let work = match &self.made.mail {
            Some(mail) => Work::Deposits(mail.stores.clone()),
            None => Work::Links(self.made.drop.clone()),
        };
        let health = admin::router(work, self.made.metrics.clone());
        let health = health.merge(self.reload.running().router());
        let admin = listen(sockets.admin)?;
        tasks.spawn(serve_http(admin, health, admin::limits(), stop.clone()));

        self.spawn_watchers(&mut tasks, stop);
        Ok(tasks)
    }

    /// Starts what takes mail: from Postfix, and as deposits from other hosts.
    fn spawn_mail(
        &self,
        tasks: &mut Tasks,
        filter: Receiver<Filter>,
        (milter, deposit): (Option<Socket>, Option<TcpListener>),
        stop: &Stop,
    ) -> io::Result<()> {
        let metrics = &self.made.metrics;
        if let Some(deposit) = deposit {
            let (deposit, deposits) = (listen(deposit)?, self.deposits(filter.clone()));
            let taking = take_deposits(deposit, deposits, metrics.clone(), stop.clone());
            tasks.spawn(taking);
        }
        if let Some(milter) = milter {
            tasks.spawn(milter::run(milter, filter, metrics.clone(), stop.clone()));
        }
        Ok(())
    }

    /// Starts the pages, on the threads of readers.
    fn spawn_pages(
        &self,
        tasks: &mut Tasks,
        pages: Receiver<Router>,
        web: Socket,
        stop: &Stop,
    ) -> io::Result<()> {
        let Some(readers) = &self.readers else {
            return Ok(());
        };
        let (web, web_file) = {
            // A socket belongs to the runtime whose threads serve it.
            let _entered = readers.enter();
            listen_any(web)?
        };

        let limits = web::limits(&self.reload.config().web);
        let serving = serve_http(web, current(pages), limits, stop.clone());
        let serving = async move {
            let served = serving.await;
            drop(web_file);
            served
        };
        tasks.spawn_on(serving, readers);
        Ok(())
    }

    /// Starts what looks after the drop and its surroundings from time to time, as far as that is for this process.
    fn spawn_watchers(&self, tasks: &mut Tasks, stop: &Stop) {
        let made = &self.made;
        let (drop, metrics) = (&made.drop, &made.metrics);
        if made.service.has(Part::Mail) {
            self.spawn_watchers_of_mail(tasks, stop);
        }
        if made.service.has(Part::Sweep) {
            let sweeping = sweep(drop.clone(), metrics.clone(), stop.clone());
            tasks.spawn(until_cut(sweeping, stop.clone()));
        }

        let (running, metrics) = (self.reload.running().clone(), metrics.clone());
        let telling = keep_status(running, metrics, stop.clone());
        tasks.spawn(until_cut(telling, stop.clone()));
    }

    fn spawn_watchers_of_mail(&self, tasks: &mut Tasks, stop: &Stop) {
        let made = &self.made;
        let (drop, metrics) = (&made.drop, &made.metrics);
        self.probe_tables();
        let watching = watch_level(drop.clone(), metrics.clone(), stop.clone());
        tasks.spawn(until_cut(watching, stop.clone()));
        if !made.service.has(Part::Sweep) {
            let watching = watch_sweeps(drop.clone(), metrics.clone(), stop.clone());
            tasks.spawn(until_cut(watching, stop.clone()));
        }

        let scan = self.reload.config().scan.clone();
        // The daemon ends with its first task that does.
        if !scan.clamd.is_empty() {
            let watching = watch_clamd(scan, metrics.clone(), stop.clone());
            tasks.spawn(until_cut(watching, stop.clone()));
        }
    }

    fn deposits(&self, filter: Receiver<Filter>) -> Deposits {
        let config = self.reload.config();
        let (limits, public_url) = (config.deposit.clone(), config.web.public_url.as_str());
        let lookup = move || filter.borrow().lookup().clone();
        Deposits::new(self.made.drop.clone(), limits, public_url, lookup)
    }

    /// Tries the tables of Postfix that may be queried for mail, concurrently with everything else:
    /// faults in them are reported before the first message needs them.
    fn probe_tables(&self) {
        let Some(filter) = self.reload.filter() else {
            return;
        };
        let filter = filter.borrow().clone();
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
    router: Router,
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

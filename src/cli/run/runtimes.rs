//! The threads that take in mail, those of a process without mail, and a start that fails well when the system gives none.

use std::{io, num::NonZero, panic, process, thread, time::Duration};

use tokio::runtime::{self, Handle, Runtime};

use crate::{
    cli::exit::{EX_UNAVAILABLE, complain},
    config::Config,
    threads,
    units::{Part, Service},
    web,
};

/// Number of processors per thread that takes in mail. Postfix itself spends ten times as much on a
/// message, and other threads hash, encrypt and write. More such threads would cost more than they
/// give: indymilter has two tasks for each connection that wait for each other, and they would wake
/// each other up across processors for each packet. Measured on two processors with 25 MB: 40 ms of
/// processor time a message instead of 52.
const PROCESSORS_PER_MAIL_THREAD: usize = 8;

/// Number of threads that may wait for the disk, besides those of messages and uploads: tokio's own
/// default.
const BLOCKING_THREADS_MIN: usize = 512;

/// Number of threads that may wait for the disk in a process without mail, besides those of readers: probes
/// read a record.
const BLOCKING_THREADS_WITHOUT_MAIL: usize = 2;

/// Time that such a thread stays without work: past the next check of the drop's level, so that there
/// is always one. If there is none and none can be started, tokio panics; if there is one, work waits
/// for it.
const BLOCKING_THREAD_STAYS: Duration = Duration::from_secs(150);

/// The runtimes of a process.
#[derive(Debug)]
pub(super) struct Runtimes {
    own: Runtime,
    readers: Option<Runtime>,
}

impl Runtimes {
    /// Starts those that the parts of this service need.
    ///
    /// # Errors
    /// The system cannot create the threads.
    pub(super) fn start(service: Service, config: &Config) -> io::Result<Self> {
        let own = match service.has(Part::Mail) {
            true => of_mail(config)?,
            false => without_mail()?,
        };
        let has_pages = service.has(Part::Pages);
        let readers = has_pages.then(|| starting(web::runtime)).transpose()?;
        Ok(Self { own, readers })
    }

    /// Ends them; waits at most this time for each, for threads that wait for the disk.
    pub(super) fn end(self, time: Duration) {
        if let Some(readers) = self.readers {
            readers.shutdown_timeout(time);
        }
        self.own.shutdown_timeout(time);
    }

    /// Returns the runtime of mail, if this process takes it, and of everything that has none of its own.
    pub(super) fn own(&self) -> &Runtime {
        &self.own
    }

    /// Returns the runtime of the public listener.
    pub(super) fn readers(&self) -> Option<&Handle> {
        self.readers.as_ref().map(Runtime::handle)
    }
}

/// Makes the runtime that takes in mail.
///
/// # Errors
/// The system cannot create the threads.
fn of_mail(config: &Config) -> io::Result<Runtime> {
    let mut mail = runtime::Builder::new_multi_thread();
    mail.worker_threads(mail_threads())
        .max_blocking_threads(blocking_threads(config))
        .thread_keep_alive(BLOCKING_THREAD_STAYS)
        .enable_all();

    starting(|| {
        let mail = threads::start(&mut mail, "mail", mail_threads())?;
        begin_blocking(&mail)?;
        Ok(mail)
    })
}

/// Makes the runtime of a process that takes no mail: its own thread listens to signals and probes, so that
/// no crowd of readers holds these up.
///
/// # Errors
/// The system cannot create the threads.
fn without_mail() -> io::Result<Runtime> {
    let mut own = runtime::Builder::new_current_thread();
    own.max_blocking_threads(BLOCKING_THREADS_WITHOUT_MAIL)
        // The first one stays: if there is none and none can be started, tokio panics.
        .thread_keep_alive(Duration::MAX)
        .enable_all();

    starting(|| {
        let own = threads::start(&mut own, "own", 0)?;
        begin_blocking(&own)?;
        Ok(own)
    })
}

/// Runs what makes a runtime, before any task runs. If the system has no thread for it, tokio panics
/// and then waits for ever for the threads that it has: this ends the process first, with the reason.
fn starting<T>(make: impl FnOnce() -> T) -> T {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(|failed| {
        let why = failed.payload_as_str().unwrap_or("the reason is unknown");
        complain(format_args!("could not start threads: {why}"));
        process::exit(EX_UNAVAILABLE.into());
    }));

    let made = make();
    panic::set_hook(usual);
    made
}

/// Starts the first thread that waits for the disk, while a failure can still be reported.
fn begin_blocking(mail: &Runtime) -> io::Result<()> {
    let tried = thread::Builder::new().spawn(|| ())?;
    tried.join().map_err(|_| io::ErrorKind::Other)?;
    mail.block_on(mail.spawn_blocking(|| ()))
        .map_err(io::Error::other)
}

fn mail_threads() -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    processors.div_ceil(PROCESSORS_PER_MAIL_THREAD)
}

/// Returns the maximum number of threads that wait for the disk: one for each message and each upload
/// that writes its file, and some for everything else. With fewer, stalled uploads would hold up
/// mail. Threads are started on demand.
fn blocking_threads(config: &Config) -> usize {
    let uploads = config
        .deposit
        .listen
        .map_or(0, |_| config.deposit.max_connections);
    2 * (config.milter.max_messages + uploads) + BLOCKING_THREADS_MIN
}

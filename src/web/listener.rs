//! The public listener: its threads, and the limits on its connections.

use std::{io, num::NonZero, thread, time::Duration};

use tokio::runtime::{self, Runtime};

use crate::{
    config::WebConfig,
    http::server::{PATIENCE, ServerLimits},
    threads,
};

/// Number of threads that read and decrypt for downloads at once; further reads wait their turn.
pub(super) const READING_THREADS_MAX: usize = 16;

/// Makes the runtime of the public listener, with threads of its own.
///
/// Mail and readers share no thread: the threads that wait for the disk are bounded here. In a
/// common pool, enough readers at once would leave none to the filter.
///
/// # Errors
/// The system cannot create the threads.
pub(crate) fn runtime() -> io::Result<Runtime> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let mut web = runtime::Builder::new_multi_thread();
    web.worker_threads(workers)
        .max_blocking_threads(READING_THREADS_MAX)
        .enable_all();
    threads::start(&mut web, "web", workers)
}

/// The limits of the public listener.
pub(crate) fn limits(config: &WebConfig) -> ServerLimits {
    ServerLimits {
        max_connections: config.max_connections,
        max_connections_per_address: config.max_connections_per_address,
        trusted_proxies: config.trusted_proxies.clone(),
        timeout: config.timeout,
        min_rate: config.min_rate,
        header_bytes_max: 16 * 1024,
        patience: PATIENCE,
        drain: Duration::from_secs(30),
    }
}

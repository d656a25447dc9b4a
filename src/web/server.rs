//! The HTTP server under the public and the admin listener: an accept loop over hyper.
//!
//! `axum::serve` is not used because it installs no timer, and hyper's header timeout is silently
//! off without one. Every wait on a client is bounded here:
//!
//! * for the request header, first byte included, and for the next request of a kept connection:
//!   hyper's header timeout;
//! * for a client that reads nothing of the answer: a write timeout on the socket. There is no
//!   read timeout beside it: hyper reads ahead while it writes, to see the client go, so a read
//!   timeout would cut every download that lasts longer. Request bodies are never read.
//!
//! It does not bound a whole download: a slow line is no fault. It does not limit by address
//! either: behind a proxy all clients have one.

use std::{future::Future, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, error, warn};

use crate::config::WebConfig;

/// How long the loop waits after a failed `accept` (out of descriptors, out of memory).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How many bytes of an answer hyper gathers before it waits for the client.
const BUFFER_BYTES_MAX: usize = 128 * 1024;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// How many connections are open at once.
    pub max_connections: usize,
    /// How long a client may take for a request header, idle between two requests, or read nothing.
    pub timeout: Duration,
    /// Bytes of a request's line and header; more is answered with 431. At most 128 KiB.
    pub header_bytes_max: usize,
    /// How long running answers may go on after the shutdown began.
    pub drain: Duration,
}

impl ServerLimits {
    /// The bounds of the public listener.
    pub fn web(config: &WebConfig) -> Self {
        Self {
            max_connections: config.max_connections,
            timeout: Duration::try_from(config.timeout).unwrap_or(Duration::from_secs(30)),
            header_bytes_max: 16 * 1024,
            drain: Duration::from_secs(30),
        }
    }

    /// The bounds of the admin listener: a few probes and a scraper.
    pub fn admin() -> Self {
        Self {
            max_connections: 16,
            timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            drain: Duration::from_secs(1),
        }
    }
}

/// Serves `router` on `listener` until `shutdown` completes; then closes the listener, lets running
/// answers go on for at most `limits.drain`, and cuts the rest.
///
/// While `limits.max_connections` are open, none is accepted: further clients wait in the kernel's
/// backlog. Accepting them only to close them would cost descriptors that mail needs, and a reader
/// who waits a moment is better off than one who gets an error; the timeouts free slots soon.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, slot) = accept(&listener, &slots) => {
                let connection = Connection { stream, limits, slot, watcher: graceful.watcher() };
                connections.spawn(connection.run(router.clone()));
            }
            Some(ended) = connections.join_next() => report_panic(ended),
        }
    }
    drop(listener);
    if timeout(limits.drain, graceful.shutdown()).await.is_err() {
        warn!(
            cut = connections.len(),
            "answers were still running at the end of the drain time"
        );
    }
    connections.shutdown().await;
}

/// The next connection, with its slot. Never fails: an error of `accept` is retried, for a client
/// that gave up and a process without descriptors both pass.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(err) if gave_up(&err) => debug!("client gave up before it was accepted"),
            Err(err) => {
                error!("could not accept a connection: {err}");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn gave_up(err: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        err.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

fn report_panic(ended: Result<(), JoinError>) {
    if let Err(err) = ended {
        error!("connection ended with a panic: {err}");
    }
}

/// An accepted connection.
struct Connection {
    stream: TcpStream,
    limits: ServerLimits,
    slot: OwnedSemaphorePermit,
    watcher: Watcher,
}

impl Connection {
    async fn run(self, router: Router) {
        // Answers go out in few large writes: waiting to gather more only delays their end.
        let _ = self.stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(self.stream);
        stream.set_write_timeout(Some(self.limits.timeout));
        let service = TowerToHyperService::new(router);
        let connection =
            builder(&self.limits).serve_connection(TokioIo::new(Box::pin(stream)), service);
        if let Err(err) = self.watcher.watch(connection).await {
            debug!("connection cut: {err}");
        }
        drop(self.slot);
    }
}

fn builder(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.timeout)
        .max_header_size(limits.header_bytes_max)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
}

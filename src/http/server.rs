//! The server: an accept loop over hyper.
//!
//! `axum::serve` is not used because it installs no timer, and hyper's header timeout is silently
//! off without one. Every wait on a client is bounded here:
//!
//! * for the request header, first byte included, and for the next request of a kept connection:
//!   hyper's header timeout;
//! * for a client that reads too little of the answer: a minimum rate on the socket
//!   (`super::paced`). There is no read timeout beside it: hyper reads ahead while it writes, to
//!   notice when the client leaves, so a read timeout would cut every download that lasts longer.
//!   The code that reads a request's body bounds that wait itself.
//!
//! One address has a share of the connections, unless it is that of a trusted proxy, behind which
//! all clients have one address.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use hyper::{
    Request,
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, error, warn};

use super::{
    client::{ClientNetwork, Peer},
    limit::{Crowd, CrowdPermit},
    paced::Paced,
    slots::{ConnectionState, ResponseGuard, Slot, Slots},
};
use crate::config::Network;

/// Time for which the loop waits after a failed `accept` (out of descriptors, out of memory).
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Maximum number of bytes of an answer that hyper gathers before it waits for the client.
pub(crate) const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Maximum number of bytes of an answer that the kernel holds unsent: few, so that it reports soon
/// when a slow reader took some. Bytes in flight come on top, so that no line is slowed.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// The limits of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerLimits {
    /// Maximum number of open connections.
    pub(crate) max_connections: usize,
    /// Maximum number of connections from one IPv4 address, or one IPv6 /64; further ones are
    /// closed.
    pub(crate) max_connections_per_address: usize,
    /// Networks that may use all connections: trusted proxies.
    pub(crate) trusted_proxies: Vec<Network>,
    /// Longest time for which a client may send a request header, idle between two requests, or
    /// read nothing.
    pub(crate) timeout: Duration,
    /// Bytes a second that a client must read, on average over `timeout`, while there are any.
    pub(crate) min_rate: u64,
    /// Maximum size of a request's line and header, in bytes; larger ones are answered with 431. At
    /// most 64 KiB.
    pub(crate) header_bytes_max: usize,
    /// Time that a client is given before it may be cut in favour of another, while all connections
    /// are in use.
    pub(crate) patience: Duration,
    /// Longest time for which running answers may continue after the shutdown began.
    pub(crate) drain: Duration,
}

/// The usual time that a client is given before it may be cut in favour of another.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that listens for HTTP.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A unix socket; its clients are proxies.
    Unix(UnixListener),
}

/// A connection, before it is served.
enum Accepted {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

/// Serves `router` on `listener` until `shutdown` completes; then closes the listener, lets running
/// answers continue for at most `limits.drain`, and cuts the rest.
///
/// While `limits.max_connections` are open, one more is accepted, which waits until a connection
/// has ended or was cut in its favour (`super::slots`); further clients wait in the kernel's
/// backlog. Accepting them only to close them would cost descriptors that mail needs, and a reader
/// who waits a moment is better off than one who gets an error.
pub(crate) async fn serve(
    listener: impl Into<Listener>,
    router: Router,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) {
    let listener = listener.into();
    let router = router.layer(middleware::from_fn(one_host));
    let slots = Slots::new(limits.max_connections, limits.min_rate, limits.patience);
    let crowd = Crowd::new(limits.max_connections_per_address);
    let graceful = GracefulShutdown::new();

    let mut connections = JoinSet::new();
    let mut waiting = None;
    tokio::pin!(shutdown);

    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept(), if waiting.is_none() => match limits.seat(&crowd, &accepted) {
                Some(place) => waiting = Some((accepted, place)),
                None => debug!("closed a connection: its address has all that it may have"),
            },
            slot = slots.take(), if waiting.is_some() => {
                if let Some((accepted, place)) = waiting.take() {
                    let seat = Seat { slot, _place: place };
                    let (limits, router) = (limits.clone(), router.clone());
                    accepted.spawn(&mut connections, Serving { limits, router, seat }, graceful.watcher());
                }
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

/// Refuses a request that names no host, or names it twice: a proxy before us may have read the
/// other one (RFC 9112, section 3.2). HTTP/1.0 need not name one.
async fn one_host(request: axum::extract::Request, next: Next) -> Response {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    let is_old = request.version() < Version::HTTP_11;
    if hosts == 1 || (hosts == 0 && is_old) {
        return next.run(request).await;
    }
    let fields = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let text = "a request has one Host field\n";
    (StatusCode::BAD_REQUEST, fields, text).into_response()
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    /// Waits for the next connection. Never fails: an error of `accept` is retried, for a client
    /// that gave up and a process without descriptors both pass.
    async fn accept(&self) -> Accepted {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => listener
                    .accept()
                    .await
                    .map(|(stream, peer)| Accepted::Tcp(stream, peer.ip())),
                Self::Unix(listener) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| Accepted::Unix(stream)),
            };

            match accepted {
                Ok(accepted) => return accepted,
                Err(err) if gave_up(&err) => debug!("client gave up before it was accepted"),
                Err(err) => {
                    error!("could not accept a connection: {err}");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

impl Accepted {
    /// Serves the connection in a task of its own.
    fn spawn(self, connections: &mut JoinSet<()>, serving: Serving, watcher: Watcher) {
        match self {
            Self::Tcp(stream, address) => {
                prepare(&stream);
                connections.spawn(serving.run(stream, Peer::Address(address), watcher));
            }
            Self::Unix(stream) => {
                connections.spawn(serving.run(stream, Peer::Local, watcher));
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

/// The resources that a connection takes, given back when it is dropped.
struct Seat {
    slot: Slot,
    _place: Option<CrowdPermit>,
}

impl ServerLimits {
    /// The place of a new connection among those of its address; `None` if there is none left.
    /// Proxies may have all places.
    fn seat(&self, crowd: &Crowd, accepted: &Accepted) -> Option<Option<CrowdPermit>> {
        let Accepted::Tcp(_, address) = accepted else {
            return Some(None);
        };
        if self
            .trusted_proxies
            .iter()
            .any(|net| net.contains(*address))
        {
            return Some(None);
        }
        crowd.enter(ClientNetwork::of(*address)).map(Some)
    }
}

/// The parts that serve a connection.
struct Serving {
    limits: ServerLimits,
    router: Router,
    seat: Seat,
}

impl Serving {
    /// Serves one connection to its end, or until it is cut in favour of another.
    async fn run<S>(self, stream: S, peer: Peer, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let line = Arc::clone(self.seat.slot.line());
        let stream = Paced::new(stream, self.limits.timeout, Arc::clone(&line));
        let router = TowerToHyperService::new(self.router);

        let service = service_fn(|request| {
            let answer = line.answer();
            let answered = router.call(from(request, peer, Arc::clone(&line)));
            let line = Arc::clone(&line);
            async move {
                let mut answered = answered.await?;
                if !line.may_be_kept() {
                    let close = HeaderValue::from_static("close");
                    answered.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(answered.map(|body| Watched {
                    body,
                    _answer: answer,
                }))
            }
        });

        let connection = builder(&self.limits).serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            served = watcher.watch(connection) => if let Err(err) = served {
                debug!("connection cut: {err}");
            },
            () = line.cut() => debug!("connection cut: it did least of all, and there were too many"),
        }
        drop(self.seat);
    }
}

fn from(
    mut request: Request<Incoming>,
    peer: Peer,
    line: Arc<ConnectionState>,
) -> Request<Incoming> {
    let extensions = request.extensions_mut();
    extensions.insert(peer);
    extensions.insert(line);
    request
}

/// The body of an answer; until it is dropped, its connection does not count as idle.
struct Watched {
    body: Body,
    _answer: ResponseGuard,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Sets two options of the socket. Both are only about speed: a kernel that refuses them serves as
/// well.
fn prepare(stream: &TcpStream) {
    // Answers go out in few large writes: waiting to gather more would only delay their end.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
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

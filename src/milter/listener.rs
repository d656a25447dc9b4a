//! The intake of connections: survives failed accepts, counts what is open, and on stop empties
//! the backlog before it closes the socket.
//!
//! indymilter ends its whole loop at the first error of its listener, and drops open sessions'
//! mail when it is shut down; both are kept from it here.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    time::{Sleep, sleep},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tracing::{debug, error};

use super::{
    guard::{Guarded, StreamTerms},
    socket::{Socket, SocketFile},
};

/// The pause after a failed accept: mostly for file descriptors to come free.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener that indymilter sees.
pub(super) struct Intake {
    state: ListenerState,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    pause: Option<Pin<Box<Sleep>>>,
    sessions: TaskTracker,
    /// True if nobody else waits on the socket for the connections in its backlog.
    empties_backlog: bool,
    terms: StreamTerms,
}

enum ListenerState {
    Open(TokioListener),
    Emptying(StdListener),
    Closed,
}

enum TokioListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket without the runtime: its accept says for sure when the backlog is empty, which
/// tokio's `Pending` does not.
enum StdListener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A connection, which is counted as long as it is open.
pub(super) struct CountedConnection<S> {
    stream: Guarded<S>,
    _open: TaskTrackerToken,
}

/// A socket's stream.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Intake {
    /// Takes a bound socket in; returns the file that must live as long as sessions run. `sessions`
    /// is closed when no further connection will come. Each connection is guarded on these terms.
    pub(super) fn new(
        socket: Socket,
        stop: CancellationToken,
        sessions: TaskTracker,
        terms: StreamTerms,
    ) -> io::Result<(Self, Option<SocketFile>)> {
        let (listener, file) = match socket {
            Socket::Tcp(socket) => (StdListener::Tcp(socket), None),
            Socket::Unix(socket, file) => (StdListener::Unix(socket), file),
        };
        // A unix socket without a file of ours is the service manager's, who keeps it open.
        let empties_backlog = file.is_some() || matches!(listener, StdListener::Tcp(_));
        let intake = Self {
            state: ListenerState::Open(listener.into_tokio()?),
            stop: Box::pin(stop.cancelled_owned()),
            pause: None,
            sessions,
            empties_backlog,
            terms,
        };
        Ok((intake, file))
    }

    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match &self.state {
            ListenerState::Open(listener) => listener.poll_accept(cx),
            ListenerState::Emptying(listener) => match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.close();
                    Poll::Pending
                }
                result => Poll::Ready(result),
            },
            ListenerState::Closed => Poll::Pending,
        }
    }

    fn begin_stop(&mut self) {
        let ListenerState::Open(listener) =
            std::mem::replace(&mut self.state, ListenerState::Closed)
        else {
            return;
        };
        match listener.into_std() {
            Ok(listener) if self.empties_backlog => self.state = ListenerState::Emptying(listener),
            _ => self.close(),
        }
    }

    fn close(&mut self) {
        self.state = ListenerState::Closed;
        self.sessions.close();
        debug!("milter socket is closed");
    }
}

impl<S> CountedConnection<S> {
    pub(super) fn new(stream: Guarded<S>, open: TaskTrackerToken) -> Self {
        Self {
            stream,
            _open: open,
        }
    }
}

impl indymilter::Listener for Intake {
    type Io = CountedConnection<Stream>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<CountedConnection<Stream>>> {
        loop {
            if matches!(self.state, ListenerState::Open(_))
                && self.stop.as_mut().poll(cx).is_ready()
            {
                self.begin_stop();
            }

            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }

            match ready!(self.poll_stream(cx)) {
                Ok(stream) => {
                    let stream = Guarded::new(stream, &self.terms);
                    let connection = CountedConnection::new(stream, self.sessions.token());
                    return Poll::Ready(Ok(connection));
                }
                Err(error) => {
                    error!("could not accept a connection: {error}");
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }
}

impl TokioListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok(Stream::tcp(stream)))
            }
            Self::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok(Stream::Unix(stream)))
            }
        }
    }

    fn into_std(self) -> io::Result<StdListener> {
        Ok(match self {
            Self::Tcp(listener) => StdListener::Tcp(listener.into_std()?),
            Self::Unix(listener) => StdListener::Unix(listener.into_std()?),
        })
    }
}

impl StdListener {
    fn into_tokio(self) -> io::Result<TokioListener> {
        Ok(match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TokioListener::Tcp(TcpListener::from_std(listener)?)
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                TokioListener::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::tcp(TcpStream::from_std(stream)?))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(UnixStream::from_std(stream)?))
            }
        }
    }
}

impl Stream {
    /// Wraps a TCP stream. Replies are small writes that Postfix waits for one by one: Nagle's
    /// algorithm would hold each back until the last is acknowledged, 40 ms later.
    fn tcp(stream: TcpStream) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            debug!("could not set TCP_NODELAY: {error}");
        }
        Self::Tcp(stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedConnection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedConnection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream as Client};

    use indymilter::Listener as _;

    use super::*;
    use crate::milter::{Claim, bind_tcp};
    use crate::{budget::Budget, metrics::Metrics};

    fn guard() -> StreamTerms {
        StreamTerms {
            budget: Budget::new(0),
            timeout: Duration::MAX,
            metrics: Metrics::new(),
            cut: CancellationToken::new(),
        }
    }

    #[tokio::test]
    async fn the_backlog_is_emptied_before_the_socket_closes() {
        let socket = bind_tcp("milter", (Ipv4Addr::LOCALHOST, 0).into(), Claim::Fresh).unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, sessions) = (CancellationToken::new(), TaskTracker::new());
        let (mut intake, _) =
            Intake::new(Socket::Tcp(socket), stop.clone(), sessions.clone(), guard()).unwrap();
        let _waiting = [
            Client::connect(address).unwrap(),
            Client::connect(address).unwrap(),
        ];
        stop.cancel();
        let first = intake.accept().await.unwrap();
        let second = intake.accept().await.unwrap();
        assert!(futures_util::poll!(intake.accept()).is_pending());
        assert!(Client::connect(address).is_err());
        assert_eq!(sessions.len(), 2);
        drop((first, second));
        sessions.wait().await;
    }

    #[tokio::test]
    async fn a_stop_wakes_a_listener_that_waits() {
        let socket = bind_tcp("milter", (Ipv4Addr::LOCALHOST, 0).into(), Claim::Fresh).unwrap();
        let (stop, sessions) = (CancellationToken::new(), TaskTracker::new());
        let (mut intake, _) =
            Intake::new(Socket::Tcp(socket), stop.clone(), sessions.clone(), guard()).unwrap();
        assert!(futures_util::poll!(intake.accept()).is_pending());
        stop.cancel();
        tokio::select! {
            () = sessions.wait() => {}
            _ = intake.accept() => panic!("nobody connected"),
        }
    }
}

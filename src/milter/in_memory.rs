//! The milter without sockets: the test that plays Postfix has the other end of a pipe, and can tell
//! when the milter has answered everything that it was told.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::{Notify, mpsc, watch},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{Shared, guard::Guarded, listener::CountedConnection, serve};
use crate::{filter::Filter, metrics::Metrics, spool::Spools};

/// Bytes that a pipe holds in each direction.
const PIPE_BYTES: usize = 16 << 10;

/// A milter that serves pipes, as long as its runtime lives.
#[derive(Debug)]
pub(crate) struct InMemory {
    shared: Arc<Shared>,
    intake: mpsc::UnboundedSender<Pipe>,
    sessions: TaskTracker,
    /// The number of turns that nobody has, and of bytes that nobody holds, at the beginning.
    at_rest: (usize, usize),
    spools: Spools,
    _filter: watch::Sender<Filter>,
}

struct PipeListener {
    pipes: mpsc::UnboundedReceiver<Pipe>,
    shared: Arc<Shared>,
}

/// A pipe that is counted from the moment at which it is opened.
type Pipe = (Metered, TaskTrackerToken);

/// The bytes that passed through a pipe, from the milter's side.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    /// True if it waits for more.
    waits: AtomicBool,
    changed: Notify,
}

struct Metered {
    stream: DuplexStream,
    meter: Arc<Meter>,
}

impl InMemory {
    /// Starts a milter on the runtime of the caller.
    pub(crate) fn start(filter: Filter) -> Self {
        let spools = filter.spools().clone();
        let (sender, filter) = watch::channel(filter);
        let shared = Arc::new(Shared::new(filter, Metrics::new(), true));
        let (intake, pipes) = mpsc::unbounded_channel();

        let sessions = TaskTracker::new();
        let at_rest = (shared.turns.left(), shared.budget.left());
        let listener = PipeListener {
            pipes,
            shared: Arc::clone(&shared),
        };

        let served = Arc::clone(&shared);
        tokio::spawn(async move { serve(listener, &served, std::future::pending::<()>()).await });
        Self {
            shared,
            intake,
            sessions,
            at_rest,
            spools,
            _filter: sender,
        }
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> (DuplexStream, Arc<Meter>) {
        let (postfix, stream) = duplex(PIPE_BYTES);
        let meter = Arc::new(Meter::default());
        let ours = Metered {
            stream,
            meter: Arc::clone(&meter),
        };
        let pipe = (ours, self.sessions.token());
        self.intake.send(pipe).expect("the milter runs");
        (postfix, meter)
    }

    /// Waits until all sessions are over, and returns true if they gave back all that they had.
    pub(crate) async fn is_at_rest(&self) -> bool {
        self.sessions.close();
        self.sessions.wait().await;
        self.sessions.reopen();
        let Shared { turns, budget, .. } = &*self.shared;
        (turns.left(), budget.left()) == self.at_rest
    }

    /// The number of temporary files of its messages, and the bytes in them.
    pub(crate) fn on_disk(&self) -> (u64, u64) {
        self.spools.on_disk()
    }
}

impl Meter {
    /// Waits until `bytes` bytes were read, and more are waited for; or until the milter has closed
    /// the pipe. Returns the number of bytes that it has written.
    pub(crate) async fn all_read(&self, bytes: u64) -> u64 {
        loop {
            let changed = self.changed.notified();
            let is_read = self.read.load(Relaxed) == bytes && self.waits.load(Relaxed);
            if is_read || self.is_closed() {
                return self.written.load(Relaxed);
            }
            changed.await;
        }
    }

    /// Returns true if the milter has closed the pipe.
    pub(crate) fn is_closed(&self) -> bool {
        self.read.load(Relaxed) == u64::MAX
    }
}

impl indymilter::Listener for PipeListener {
    type Io = CountedConnection<Metered>;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Io>> {
        let Some((stream, open)) = ready!(self.pipes.poll_recv(cx)) else {
            return Poll::Pending;
        };
        let stream = Guarded::new(stream, &self.shared.terms());
        Poll::Ready(Ok(CountedConnection::new(stream, open)))
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.meter.read.store(u64::MAX, Relaxed);
        self.meter.changed.notify_waiters();
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, meter } = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(stream).poll_read(cx, buffer);
        meter.waits.store(read.is_pending(), Relaxed);
        let bytes = buffer.filled().len() - before;
        meter.read.fetch_add(bytes as u64, Relaxed);
        meter.changed.notify_waiters();
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, meter } = self.get_mut();
        let written = ready!(Pin::new(stream).poll_write(cx, bytes))?;
        meter.written.fetch_add(written as u64, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

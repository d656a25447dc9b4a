//! The conversation with Postfix.
//!
//! [`Socket`] is bound before anything is said to be ready, and taken over from a running process
//! if asked; [`run`] serves it until it is stopped. One `session::Session` belongs to each
//! connection, which Postfix opens for each SMTP session; `callbacks` tie its methods to the
//! protocol. What a failure means for the mail is decided here, after `detach.on_failure`.
//! The behaviour of Postfix at each stage stands in `doc/postfix.md`.
//!
//! # Bounds
//!
//! The peer is not always a Postfix that works. Everything that a connection can make us hold is
//! bounded here, in size and in time, for all connections together (depollueur(8), Memory):
//!
//! | what | bound | past it |
//! |---|---|---|
//! | connections | `milter.max_connections` | they wait in the kernel |
//! | messages in work | `milter.max_messages` | they wait, at most for `milter.deadline` |
//! | those of one login | `milter.max_messages_per_login` | they wait likewise |
//! | our own work on a message | `milter.deadline` | `detach.on_failure` |
//! | waits for Postfix: its first word, the rest of a packet, the content of a message, a reply taken | `milter.timeout` | closed |
//! | silence between messages | two hours (indymilter) | closed |
//! | packets, macros, words of a command | `guard` | closed |
//! | top-level header, recipients | `header`: 1 MiB each, 10,000 recipients | the message passes |
//! | those, macros and packets of all together | `milter.header_memory`, in a `budget` | the message passes; closed, if its packets are too large |

mod callbacks;
mod connect;
mod envelope;
mod frames;
mod guard;
mod header;
#[cfg(any(test, fuzzing))]
pub(crate) mod in_memory;
mod listener;
mod outline;
mod session;
mod socket;
mod turn;
mod verdict;

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

pub use self::socket::{BindError, Claim, Socket, SocketFile, bind_tcp};
pub(crate) use self::verdict::{failure, rejection};
use self::{guard::StreamTerms, listener::Intake, turn::Turns};
use crate::{
    budget::Budget, config::MilterConfig, envelope::Direction, filter::Filter, metrics::Metrics,
};

/// Two ways to stop: let open sessions run out, or cut them.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Take no new connection; open ones may run on for `milter.drain`.
    pub gracefully: CancellationToken,
    /// Cut everything.
    pub at_once: CancellationToken,
}

/// State shared by all sessions.
#[derive(Debug)]
struct Shared {
    /// The filter of the moment: each message takes the one that it finds, and keeps it.
    filter: watch::Receiver<Filter>,
    metrics: Metrics,
    turns: Turns,
    /// Memory for those parts of messages that sessions hold before their turn.
    budget: Budget,
    /// True if connections come over a unix socket.
    is_local: bool,
    /// Cancelled when all sessions are cut.
    cut: CancellationToken,
}

/// Serves Postfix until it is stopped. A message goes through the filter that `filter` holds when it
/// begins; the first one says how many connections and messages there may be.
///
/// On [`Stop::gracefully`] the connections that wait in the backlog are still accepted, then the
/// socket is closed, and the sessions run on until none is left or `milter.drain` is over.
///
/// # Errors
/// The socket cannot be used at all. Failures of single connections are logged and survived.
pub async fn run(
    socket: Socket,
    filter: watch::Receiver<Filter>,
    metrics: Metrics,
    stop: Stop,
) -> io::Result<()> {
    let sessions = TaskTracker::new();
    let bounds = filter.borrow().config().milter.clone();
    let shared = Arc::new(Shared::new(filter, metrics, socket.is_local()));
    let (intake, file) = Intake::new(
        socket,
        stop.gracefully.clone(),
        sessions.clone(),
        shared.terms(),
    )?;

    let cut = shared.cut.clone();
    let drained = async {
        drained(stop.clone(), sessions, bounds.drain).await;
        cut.cancel();
    };
    let served = serve(intake, &shared, drained);
    let result = tokio::select! {
        result = served => result,
        () = stop.at_once.cancelled() => Ok(()),
    };

    shared.cut.cancel();
    // The file of the socket must live as long as the sessions.
    drop(file);
    result
}

impl Shared {
    fn new(filter: watch::Receiver<Filter>, metrics: Metrics, is_local: bool) -> Self {
        let bounds = &filter.borrow().config().milter.clone();
        Self {
            filter,
            metrics,
            turns: Turns::new(bounds.max_messages, bounds.max_messages_per_login),
            budget: Budget::new(bounds.header_memory),
            is_local,
            cut: CancellationToken::new(),
        }
    }

    /// The terms on which each connection is served.
    fn terms(&self) -> StreamTerms {
        StreamTerms {
            budget: self.budget.clone(),
            timeout: self.filter.borrow().config().milter.timeout,
            metrics: self.metrics.clone(),
            cut: self.cut.clone(),
        }
    }
}

/// Serves the connections of a listener until the end comes, and their sessions are over.
async fn serve(
    listener: impl indymilter::Listener,
    shared: &Arc<Shared>,
    end: impl Future,
) -> io::Result<()> {
    let options = indymilter::Config {
        max_connections: shared.filter.borrow().config().milter.max_connections,
        ..indymilter::Config::default()
    };
    indymilter::run(listener, callbacks::make(shared), options, end).await
}

/// The direction of a message sent by this client.
pub(crate) fn direction(
    config: &MilterConfig,
    address: Option<IpAddr>,
    daemon: Option<&str>,
    authenticated: bool,
) -> Direction {
    let client = envelope::Client {
        address,
        daemon,
        authenticated,
    };
    client.direction(config)
}

/// Completes when no session need be waited for any longer.
async fn drained(stop: Stop, sessions: TaskTracker, drain: Duration) {
    stop.gracefully.cancelled().await;
    info!(
        sessions = sessions.len(),
        "milter stops; open sessions run on"
    );
    if tokio::time::timeout(drain, sessions.wait()).await.is_err() {
        warn!(
            sessions = sessions.len(),
            "sessions are cut at the end of the drain time"
        );
    }
}

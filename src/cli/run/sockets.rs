//! All sockets of the daemon, bound before it says that it is ready. Those that the service manager
//! holds open for us are used as they are.

use std::{
    env, fmt, io,
    net::TcpListener,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use listenfd::ListenFd;
use tracing::warn;

use crate::{
    config::Config,
    http::server::Listener,
    milter::{BindError, Claim, Socket, SocketFile, bind_tcp},
};

/// Time since the last connection for which a failing start goes on closing connections.
const TURNING_AWAY: Duration = Duration::from_millis(300);

/// Maximum total time for which it does so.
const TURNING_AWAY_MAX: Duration = Duration::from_secs(2);

/// The sockets of the daemon.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The socket to which Postfix connects.
    pub(super) milter: Socket,
    /// The socket to which readers of mail connect.
    pub(super) web: Socket,
    /// The socket to which probes connect.
    pub(super) admin: TcpListener,
    /// The socket to which milters of other hosts connect.
    pub(super) deposit: Option<TcpListener>,
}

/// The sockets that the service manager passed (`sd_listen_fds(3)`), by their names in `LISTEN_FDNAMES`.
#[derive(Debug, Default)]
struct Passed {
    milter: Option<Socket>,
    web: Option<Socket>,
    admin: Option<TcpListener>,
    deposit: Option<TcpListener>,
}

impl Sockets {
    /// Binds the sockets that were not passed.
    ///
    /// # Errors
    /// Fails if one of the addresses cannot be bound; the others are free again.
    pub(super) fn open(config: &Config, claim: Claim) -> Result<Self, BindError> {
        let passed = Passed::from_environment();
        let milter = match passed.milter {
            Some(socket) => socket,
            None => {
                let milter = &config.milter;
                Socket::bind("milter", &milter.listen, milter.socket_mode, claim)?
            }
        };
        let web = match passed.web {
            Some(socket) => socket,
            None => Socket::bind("web", &config.web.listen, config.web.socket_mode, claim)?,
        };

        let admin = passed
            .admin
            .map_or_else(|| bind_tcp("admin", config.admin.listen, claim), Ok)?;
        let deposit = match (passed.deposit, config.deposit.listen) {
            (Some(socket), _) => Some(socket),
            (None, Some(address)) => Some(bind_tcp("deposit", address, claim)?),
            (None, None) => None,
        };

        Ok(Self {
            milter,
            web,
            admin,
            deposit,
        })
    }
}

/// Formats their addresses for the log.
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |socket: &TcpListener| socket.local_addr().map_err(|_| fmt::Error);
        let admin = place(&self.admin)?;
        let (milter, web) = (&self.milter, &self.web);
        write!(f, "milter at {milter}, web at {web}, admin at {admin}")?;
        match &self.deposit {
            Some(deposit) => write!(f, ", deposits at {}", place(deposit)?),
            None => Ok(()),
        }
    }
}

impl Passed {
    fn from_environment() -> Self {
        // Taking the sockets clears the variables.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let mut passed = Self::default();
        for (index, name) in names.split(':').enumerate().take(sockets.len()) {
            match name {
                "milter" => passed.milter = any(&mut sockets, index),
                "web" => passed.web = any(&mut sockets, index),
                "admin" => passed.admin = tcp(&mut sockets, index),
                "deposit" => passed.deposit = tcp(&mut sockets, index),
                other => warn!("socket \"{other}\" was passed, but has no use here"),
            }
        }
        passed
    }
}

/// Closes the connections that wait at the milter's socket, before a start that fails. Otherwise the
/// service manager starts us for each waiting connection, again and again, and gives up the socket in
/// the end. Their mail is put off at once, instead of after the half minute that Postfix waits.
pub(super) fn turn_away() {
    let Some(socket) = Passed::from_environment().milter else {
        return;
    };
    let socket = match socket {
        Socket::Unix(socket, _) => socket2::Socket::from(OwnedFd::from(socket)),
        Socket::Tcp(socket) => socket2::Socket::from(socket),
    };
    // accept(2) honours the read timeout.
    let waits = socket
        .set_nonblocking(false)
        .and_then(|()| socket.set_read_timeout(Some(TURNING_AWAY)));
    let end = Instant::now() + TURNING_AWAY_MAX;
    if waits.is_ok() {
        while Instant::now() < end && socket.accept().is_ok() {}
    }
}

/// A unix or a TCP socket.
fn any(sockets: &mut ListenFd, index: usize) -> Option<Socket> {
    match sockets.take_unix_listener(index) {
        Ok(socket) => socket.map(|socket| Socket::Unix(socket, None)),
        Err(_) => tcp(sockets, index).map(Socket::Tcp),
    }
}

fn tcp(sockets: &mut ListenFd, index: usize) -> Option<TcpListener> {
    sockets.take_tcp_listener(index).unwrap_or_else(|error| {
        warn!("a passed socket cannot be used: {error}");
        None
    })
}

/// Hands a unix or a TCP socket to the caller's runtime; the guard that comes with it removes its file.
pub(super) fn listen_any(socket: Socket) -> io::Result<(Listener, Option<SocketFile>)> {
    match socket {
        Socket::Tcp(socket) => Ok((listen(socket)?.into(), None)),
        Socket::Unix(socket, file) => {
            socket.set_nonblocking(true)?;
            let listener = tokio::net::UnixListener::from_std(socket)?;
            Ok((Listener::Unix(listener), file))
        }
    }
}

/// Hands a socket to the caller's runtime.
pub(super) fn listen(socket: TcpListener) -> io::Result<tokio::net::TcpListener> {
    socket.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(socket)
}

//! All sockets of a process of the daemon, bound before it says that it is ready. Those that the service manager
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
    units::{Part, Service},
};

/// Time since the last connection for which a failing start goes on closing connections.
const TURNING_AWAY: Duration = Duration::from_millis(300);

/// Maximum total time for which it does so.
const TURNING_AWAY_MAX: Duration = Duration::from_secs(2);

/// The sockets of a process: those of its parts, and the one for probes.
#[derive(Debug)]
pub(super) struct Sockets {
    /// The socket to which Postfix connects.
    pub(super) milter: Option<Socket>,
    /// The socket to which readers of mail connect.
    pub(super) web: Option<Socket>,
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
    /// Binds the sockets of this service that were not passed.
    ///
    /// # Errors
    /// Fails if one of the addresses cannot be bound; the others are free again.
    pub(super) fn open(config: &Config, service: Service, claim: Claim) -> Result<Self, BindError> {
        let mut passed = Passed::from_environment(service);

        if service.has(Part::Mail) && passed.milter.is_none() {
            let (at, mode) = (&config.milter.listen, config.milter.socket_mode);
            passed.milter = Some(Socket::bind("milter", at, mode, claim)?);
        }
        if service.has(Part::Pages) && passed.web.is_none() {
            let (at, mode) = (&config.web.listen, config.web.socket_mode);
            passed.web = Some(Socket::bind("web", at, mode, claim)?);
        }

        let admin = match passed.admin {
            Some(socket) => socket,
            None => bind_tcp("admin", config.admin_of(service).1, claim)?,
        };
        if let (true, None, Some(address)) = (
            service.has(Part::Mail),
            &passed.deposit,
            config.deposit.listen,
        ) {
            passed.deposit = Some(bind_tcp("deposit", address, claim)?);
        }

        Ok(Self {
            milter: passed.milter,
            web: passed.web,
            admin,
            deposit: passed.deposit,
        })
    }
}

/// Formats their addresses for the log.
impl fmt::Display for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |socket: &TcpListener| socket.local_addr().map_err(|_| fmt::Error);
        if let Some(milter) = &self.milter {
            write!(f, "milter at {milter}, ")?;
        }
        if let Some(web) = &self.web {
            write!(f, "web at {web}, ")?;
        }
        write!(f, "admin at {}", place(&self.admin)?)?;
        match &self.deposit {
            Some(deposit) => write!(f, ", deposits at {}", place(deposit)?),
            None => Ok(()),
        }
    }
}

impl Passed {
    /// Takes those that this service has a use for.
    fn from_environment(service: Service) -> Self {
        // Taking the sockets clears the variables.
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = ListenFd::from_env();
        let (takes_mail, has_pages) = (service.has(Part::Mail), service.has(Part::Pages));
        let mut passed = Self::default();
        for (index, name) in names.split(':').enumerate().take(sockets.len()) {
            match name {
                "milter" if takes_mail => passed.milter = any(&mut sockets, index),
                "deposit" if takes_mail => passed.deposit = tcp(&mut sockets, index),
                "web" if has_pages => passed.web = any(&mut sockets, index),
                "admin" => passed.admin = tcp(&mut sockets, index),
                other => warn!("socket \"{other}\" was passed, but has no use here"),
            }
        }
        passed
    }
}

/// Closes the connections that wait at the milter's socket, before a start that fails. Otherwise the
/// service manager starts us for each waiting connection, again and again, and gives up the socket in
/// the end. Their mail is put off at once, instead of after the half minute that Postfix waits.
pub(super) fn turn_away(service: Service) {
    let Some(socket) = Passed::from_environment(service).milter else {
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

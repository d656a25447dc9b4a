//! Sockets bound with care: no running process is pushed aside by accident, and one is replaced
//! without a refused connection when that is asked for.

use std::{
    fmt,
    fs::{self, Metadata, Permissions},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process,
};

use socket2::{Domain, Protocol, SockAddr, Type};

use crate::config::ListenAddress;

/// The kernel's queue of connections that wait to be accepted; it cuts this to `somaxconn`.
const BACKLOG: i32 = 1024;

/// The treatment of a running process that already listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Refuse to start.
    Fresh,
    /// Take its place: it keeps the connections it has, new ones are ours.
    Takeover,
}

/// A socket that is bound and listens.
#[derive(Debug)]
pub enum Socket {
    /// A unix socket, and its file if it is ours to remove.
    Unix(UnixListener, Option<SocketFile>),
    /// A TCP socket.
    Tcp(TcpListener),
}

impl Socket {
    /// Returns true if it is a unix socket.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Unix(..))
    }
}

/// The file of a unix socket; removed when dropped, unless another process put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The reason why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error("could not bind {what} socket \"{address}\": in use by a running process")]
    InUse {
        /// The listener: `milter`, `web` or `admin`.
        what: &'static str,
        /// The address.
        address: String,
    },
    /// A file that is not a socket is in the way.
    #[error("could not bind {what} socket \"{address}\": a file that is no socket is there")]
    NotASocket {
        /// The listener.
        what: &'static str,
        /// The address.
        address: String,
    },
    /// The directory does not exist.
    #[error("could not bind {what} socket \"{address}\": directory \"{}\" does not exist", directory.display())]
    NoDirectory {
        /// The listener.
        what: &'static str,
        /// The address.
        address: String,
        /// The missing directory.
        directory: PathBuf,
    },
    /// The system refused.
    #[error("could not bind {what} socket \"{address}\": {error}")]
    System {
        /// The listener.
        what: &'static str,
        /// The address.
        address: String,
        /// The system's error.
        error: io::Error,
    },
}

impl Socket {
    /// Binds an address. `what` names it in errors; `mode` are the permission bits of a unix socket.
    ///
    /// # Errors
    /// The address cannot be had, or another process has it and the claim is [`Claim::Fresh`].
    pub fn bind(
        what: &'static str,
        address: &ListenAddress,
        mode: u32,
        claim: Claim,
    ) -> Result<Self, BindError> {
        match address {
            ListenAddress::Unix(path) => bind_unix(what, path, mode, claim),
            ListenAddress::Tcp(address) => bind_tcp(what, *address, claim).map(Self::Tcp),
        }
    }
}

/// Writes the address on which it really listens, whatever was configured: port 0 and passed sockets
/// included.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(_, Some(file)) => write!(f, "unix:{}", file.path.display()),
            Self::Unix(listener, None) => {
                let address = listener.local_addr().map_err(|_| fmt::Error)?;
                let path = address.as_pathname().unwrap_or(Path::new("(unnamed)"));
                write!(f, "unix:{}", path.display())
            }
            Self::Tcp(listener) => listener.local_addr().map_err(|_| fmt::Error)?.fmt(f),
        }
    }
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: file.dev(),
            inode: file.ino(),
        })
    }

    /// The same file under another name.
    fn renamed(&self, path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            device: self.device,
            inode: self.inode,
        }
    }

    fn is(&self, file: &Metadata) -> bool {
        file.dev() == self.device && file.ino() == self.inode
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| self.is(&file)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a TCP socket. `what` names it in errors.
///
/// `SO_REUSEPORT` is set before the bind only to take over: two processes share a port when both
/// have it, and one that starts by accident must not. It is set after the bind in any case, so
/// that a later process can take over from this one.
///
/// # Errors
/// The address cannot be had, or another process has it and the claim is [`Claim::Fresh`].
pub fn bind_tcp(
    what: &'static str,
    address: SocketAddr,
    claim: Claim,
) -> Result<TcpListener, BindError> {
    let bind = || {
        let socket = socket2::Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(claim == Claim::Takeover)?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        socket.set_reuse_port(true)?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };

    bind().map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse {
            what,
            address: address.to_string(),
        },
        _ => BindError::System {
            what,
            address: address.to_string(),
            error,
        },
    })
}

/// Binds a temporary name beside the path and renames it over the path: at every instant the
/// path leads to a socket that listens.
fn bind_unix(
    what: &'static str,
    path: &Path,
    mode: u32,
    claim: Claim,
) -> Result<Socket, BindError> {
    let address = format!("unix:{}", path.display());
    look_before(what, path, &address, claim)?;

    let temporary = path.with_file_name(format!(".{}", process::id()));
    let bind = || {
        remove_stale(&temporary)?;
        let listener = UnixListener::bind(&temporary)?;
        let file = SocketFile::of(&temporary)?;
        fs::set_permissions(&temporary, Permissions::from_mode(mode))?;
        fs::rename(&temporary, path)?;
        Ok(Socket::Unix(listener, Some(file.renamed(path))))
    };

    bind().map_err(|error: io::Error| match (error.kind(), path.parent()) {
        (io::ErrorKind::NotFound, Some(directory)) => BindError::NoDirectory {
            what,
            address,
            directory: directory.to_owned(),
        },
        _ => BindError::System {
            what,
            address,
            error,
        },
    })
}

/// Refuses to replace anything that must not be replaced.
fn look_before(
    what: &'static str,
    path: &Path,
    address: &str,
    claim: Claim,
) -> Result<(), BindError> {
    let address = address.to_owned();
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(BindError::NotASocket { what, address }),
        Ok(_) if claim == Claim::Fresh && is_answered(path) => {
            Err(BindError::InUse { what, address })
        }
        _ => Ok(()),
    }
}

/// Returns true if a process listens: a full backlog or missing permission also says so.
fn is_answered(path: &Path) -> bool {
    // Non-blocking: a process that hangs need not take the connection.
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
    let tried = socket.and_then(|socket| socket.connect(&SockAddr::unix(path)?));
    !tried.is_err_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
        )
    })
}

fn remove_stale(temporary: &Path) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn bind(path: &Path, claim: Claim) -> Result<Socket, BindError> {
        let address = ListenAddress::Unix(path.to_owned());
        Socket::bind("milter", &address, 0o660, claim)
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("milter.sock");
        (directory, path)
    }

    #[test]
    fn a_socket_file_has_its_mode_and_goes_with_the_socket() {
        let (directory, path) = place();
        let socket = bind(&path, Claim::Fresh).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_running_process_is_not_pushed_aside_by_accident() {
        let (_directory, path) = place();
        let _running = bind(&path, Claim::Fresh).unwrap();
        let error = bind(&path, Claim::Fresh).unwrap_err().to_string();
        assert!(
            error.ends_with("milter.sock\": in use by a running process"),
            "{error}"
        );
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let (_directory, path) = place();
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = bind(&path, Claim::Fresh).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let (_directory, path) = place();
        fs::write(&path, "precious").unwrap();
        for claim in [Claim::Fresh, Claim::Takeover] {
            assert!(matches!(
                bind(&path, claim),
                Err(BindError::NotASocket { .. })
            ));
        }
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let (directory, _) = place();
        let path = directory.path().join("missing/milter.sock");
        let error = bind(&path, Claim::Fresh).unwrap_err().to_string();
        assert!(error.ends_with("/missing\" does not exist"), "{error}");
    }

    #[test]
    fn the_old_process_leaves_the_file_of_its_successor() {
        let (_directory, path) = place();
        let old = bind(&path, Claim::Fresh).unwrap();
        let Socket::Unix(old_listener, _) = &old else {
            panic!("unix")
        };
        UnixStream::connect(&path).unwrap();
        let new = bind(&path, Claim::Takeover).unwrap();
        UnixStream::connect(&path).unwrap();
        old_listener.set_nonblocking(true).unwrap();
        assert!(
            old_listener.accept().is_ok(),
            "the old one keeps what came to it"
        );
        assert!(old_listener.accept().is_err(), "and gets nothing more");
        drop(old);
        UnixStream::connect(&path).unwrap();
        drop(new);
        assert!(!path.exists());
    }

    #[test]
    fn a_tcp_port_is_shared_only_to_take_over() {
        let any = "127.0.0.1:0".parse().unwrap();
        let running = bind_tcp("web", any, Claim::Fresh).unwrap();
        let address = running.local_addr().unwrap();
        let error = bind_tcp("web", address, Claim::Fresh)
            .unwrap_err()
            .to_string();
        assert!(error.contains("could not bind web socket"), "{error}");
        assert!(error.ends_with("in use by a running process"), "{error}");
        let _new = bind_tcp("web", address, Claim::Takeover).unwrap();
    }
}

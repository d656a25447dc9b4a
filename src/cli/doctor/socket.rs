//! Checks the milter's socket as Postfix reaches it: the path, its permissions, and the answer.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, Metadata},
    io::{self, Read, Write},
    net::ToSocketAddrs as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    super::{unit::Unit, user::User},
    entry::{MilterAddress, MilterEntry},
    listing::{Use, chrooted_address, our_address},
    postfix::Postfix,
    report::{DoctorReport, quoted},
};
use crate::{
    config::{Config, ListenAddress},
    units::{self, Part},
};

/// Time limit of each step of a dialogue with the milter.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time limit of each step for callers who ask every minute.
const PATIENCE_QUICK: Duration = Duration::from_secs(4);

/// The offer of Postfix 3.7: all actions, all options of protocol version 6.
const VERSION: u32 = 6;
const ACTIONS: u32 = 0x1ff;
const OPTIONS: u32 = 0x1f_ffff;

/// Actions that a milter needs to change mail: add a header, replace the body, change a header.
const CHANGES: u32 = 0x01 | 0x02 | 0x10;

/// Maximum size of a plausible negotiation answer: options and six lists of macros.
const ANSWER_BYTES_MAX: u32 = 4096;

/// Reports all findings about the socket, for each place where Postfix looks for it. Each place is
/// asked once: systemd's socket accepts connections even while nobody answers, and each question
/// would wait.
pub(super) fn check(report: &mut DoctorReport, postfix: &Postfix, config: &Config, is_quick: bool) {
    let mut asked = HashSet::new();
    for list in Use::all(postfix, config) {
        let Some(entry) = list.our_entry() else {
            continue;
        };

        let place = match (&entry.place, entry.path(postfix, list.service)) {
            (MilterAddress::Inet(host, port), _) => MilterEndpoint::Inet(host.clone(), *port),
            (_, Some(path)) => {
                if !check_unix(report, postfix, config, (&list, entry, &path)) {
                    continue;
                }
                MilterEndpoint::Unix(path)
            }
            _ => continue,
        };

        if asked.insert(place.clone()) {
            answers(report, &place, patience(is_quick));
        }
    }
}

/// Asks the milter at its own address, if Postfix's configuration cannot be read.
pub(super) fn check_listener(report: &mut DoctorReport, config: &Config, is_quick: bool) {
    let place = match &config.milter.listen {
        ListenAddress::Unix(path) => MilterEndpoint::Unix(path.clone()),
        ListenAddress::Tcp(address) => {
            MilterEndpoint::Inet(address.ip().to_string(), address.port())
        }
    };
    answers(report, &place, patience(is_quick));
}

fn patience(is_quick: bool) -> Duration {
    if is_quick { PATIENCE_QUICK } else { PATIENCE }
}

/// The address at which a milter is asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum MilterEndpoint {
    Unix(PathBuf),
    Inet(String, u16),
}

impl MilterEndpoint {
    fn connect(&self, patience: Duration) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => connect(Domain::UNIX, &SockAddr::unix(path)?, patience),
            Self::Inet(host, port) => {
                let mut all = (host.as_str(), *port).to_socket_addrs()?;
                let address = all.next().ok_or(io::ErrorKind::NotFound)?;
                connect(Domain::for_address(address), &address.into(), patience)
            }
        }
    }
}

impl fmt::Display for MilterEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Inet(host, port) => write!(f, "inet:{host}:{port}"),
        }
    }
}

/// Opens a milter negotiation with the listener at this address.
///
/// # Errors
/// Fails if nobody listens there, or the listener is no milter.
pub(super) fn negotiates(address: &ListenAddress) -> io::Result<()> {
    let (domain, address) = match address {
        ListenAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
        ListenAddress::Tcp(address) => (Domain::for_address(*address), (*address).into()),
    };
    let asked = connect(domain, &address, PATIENCE).and_then(|mut socket| negotiate(&mut socket));
    asked.map(drop).map_err(|error| told(error, PATIENCE))
}

/// Checks the socket and its permissions; returns true if there is a socket that can be asked.
fn check_unix(
    report: &mut DoctorReport,
    postfix: &Postfix,
    config: &Config,
    (list, entry, path): (&Use<'_>, &MilterEntry, &Path),
) -> bool {
    let shown = path.display();

    let file = match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => file,
        Ok(_) => {
            let message =
                format!("{shown} is no socket: move this file away, for the socket is made there");
            report.error("milter.path", message, [start()]);
            return false;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let fix = mend_path(postfix, config, list, entry);
            let message = format!(
                "{} looks for the socket at {shown}, where there is none{}",
                list.service.name(),
                if list.service.chroot {
                    " (it runs in a chroot)"
                } else {
                    ""
                }
            );
            report.error("milter.path", message, fix);
            return false;
        }
        Err(error) => {
            report.unknown(
                "milter.path",
                format_args!("could not look at {shown}: {error}"),
            );
            return false;
        }
    };

    report.ok(
        "milter.path",
        format_args!("{} finds the socket at {shown}", list.service.name()),
    );
    check_rights(report, postfix, path, &file);
    true
}

/// Returns the line that creates the socket (again): systemd's, if the socket is systemd's.
fn start() -> String {
    let form = units::in_use();
    let is_enabled = Unit::read(form.socket()).is_some_and(|unit| unit.is_enabled());
    if is_enabled {
        format!("systemctl restart {}", form.milter())
    } else {
        format!("systemctl start {}", form.service(Part::Mail).name())
    }
}

/// Returns the lines that make Postfix and the milter agree on the path.
fn mend_path(
    postfix: &Postfix,
    config: &Config,
    list: &Use<'_>,
    entry: &MilterEntry,
) -> Vec<String> {
    let start = start();
    let ListenAddress::Unix(listen) = &config.milter.listen else {
        return vec![start];
    };

    let queue = postfix.queue_directory();
    if entry
        .path(postfix, list.service)
        .is_some_and(|seen| &seen == listen)
    {
        return vec![start];
    }

    let mut lines = Vec::new();
    if list.service.chroot && !listen.starts_with(&queue) {
        let inside = chrooted_address(postfix, &config.milter.listen);
        lines.extend(inside.map(|inside| format!("set in [milter]: listen = \"{inside}\"")));
    }
    lines.push(list.set(&moved(
        list,
        entry,
        &our_address(postfix, &config.milter.listen),
    )));
    lines
}

/// Returns the list with our address replaced; the other milters, and the settings of ours, stay.
fn moved(list: &Use<'_>, entry: &MilterEntry, address: &str) -> String {
    let MilterAddress::Unix(written) = &entry.place else {
        return list.text();
    };
    let texts = list.entries.iter().map(|other| {
        let old = ["unix:", "local:"].map(|kind| format!("{kind}{written}"));
        match old.iter().find(|old| other.text.contains(*old)) {
            Some(old) if other == entry => other.text.replace(old, address),
            _ => other.text.clone(),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn check_rights(report: &mut DoctorReport, postfix: &Postfix, path: &Path, socket: &Metadata) {
    let check = "milter.rights";
    let name = postfix.get("mail_owner").unwrap_or("postfix");
    let Some(user) = User::find(name) else {
        return report.unknown(check, format_args!("there is no user {name:?} here"));
    };

    let directories: Vec<(PathBuf, Metadata)> = path
        .ancestors()
        .skip(1)
        .filter_map(|directory| Some((directory.to_owned(), fs::metadata(directory).ok()?)))
        .collect();
    let closed = directories
        .iter()
        .find(|(_, directory)| !user.may(directory, 0o1));

    if let Some((directory, _)) = closed {
        let shown = quoted(&directory.display().to_string());
        let message = format!("user {name} may not enter {shown}: Postfix cannot reach the milter");
        return report.error(
            check,
            message,
            [format!("chgrp {name} {shown} && chmod g+x {shown}")],
        );
    }

    if !user.may(socket, 0o2) {
        let message = format!(
            "user {name} may not write to {}: Postfix cannot reach the milter",
            path.display()
        );
        // systemd creates the socket again, with the owner and mode of its unit.
        let form = units::in_use();
        let fix = if Unit::read(form.socket()).is_some_and(|unit| unit.is_active()) {
            format!("systemctl restart {}", form.milter())
        } else {
            "set in [milter]: socket_mode = \"0666\" (its directory is the gate)".to_owned()
        };
        return report.error(check, message, [fix]);
    }

    let open = directories
        .iter()
        .all(|(_, directory)| directory.mode() & 0o1 != 0);
    if open && socket.mode() & 0o2 != 0 {
        let directory = directories.first().map_or(path, |(directory, _)| directory);
        let shown = quoted(&directory.display().to_string());
        let message = format!(
            "every user of this machine may write to {}, and with that deposit files",
            path.display()
        );
        let fix = format!("chgrp {name} {shown} && chmod 0710 {shown}");
        return report.warning(check, message, [fix]);
    }

    report.ok(
        check,
        format_args!("user {name} may write to {}", path.display()),
    );
}

fn connect(domain: Domain, address: &SockAddr, patience: Duration) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_read_timeout(Some(patience))?;
    // The write timeout applies to connect(2) as well, when the queue of a unix socket is full (unix(7)).
    socket.set_write_timeout(Some(patience))?;
    if domain == Domain::UNIX {
        socket.connect(address)?;
    } else {
        socket.connect_timeout(address, patience)?;
    }
    Ok(socket)
}

/// Turns the many names of a timeout (EAGAIN, EINPROGRESS, ETIMEDOUT) into one error.
fn told(error: io::Error, patience: Duration) -> io::Error {
    use io::ErrorKind::{TimedOut, WouldBlock};
    let is_late = matches!(error.kind(), WouldBlock | TimedOut)
        || error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error());
    if !is_late {
        return error;
    }
    let seconds = patience.as_secs();
    io::Error::new(TimedOut, format!("nobody answered within {seconds} s"))
}

/// Opens a milter negotiation, as Postfix would, and reports the answer.
fn answers(report: &mut DoctorReport, place: &MilterEndpoint, patience: Duration) {
    let check = "milter.answers";

    let connected = place.connect(patience);
    let answer = connected
        .and_then(|mut socket| negotiate(&mut socket))
        .map_err(|error| told(error, patience));

    match answer {
        Ok((version, actions)) if version == VERSION && actions & CHANGES == CHANGES => {
            report.ok(check, format_args!("{place}: protocol {version}, may change mail"));
        }
        Ok((version, actions)) => report.error(
            check,
            format_args!(
                "{place} answers with protocol {version} and actions {actions:#x}: that is not depollueur, but another milter \
                 at its place"
            ),
            ["ss -lxtnp".to_owned()],
        ),
        Err(error) => report.error(
            check,
            format_args!("no milter answers at {place}: {error}"),
            [start()],
        ),
    }
}

/// Makes Postfix's offer and says goodbye; returns the version and the actions that the milter wants.
fn negotiate(stream: &mut (impl Read + Write)) -> io::Result<(u32, u32)> {
    // SMFIC_OPTNEG: the length of the packet, its command, and three words.
    let mut offer = vec![0, 0, 0, 13, b'O'];
    for word in [VERSION, ACTIONS, OPTIONS] {
        offer.extend(word.to_be_bytes());
    }
    stream.write_all(&offer)?;

    let length = word(stream)?;
    if !(13..=ANSWER_BYTES_MAX).contains(&length) {
        return Err(io::Error::other("it does not speak the milter protocol"));
    }
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer)?;
    if answer[0] != b'O' {
        return Err(io::Error::other("it does not speak the milter protocol"));
    }

    let mut rest = &answer[1..];
    let agreed = (word(&mut rest)?, word(&mut rest)?);
    // SMFIC_QUIT.
    stream.write_all(&[0, 0, 0, 1, b'Q'])?;
    Ok(agreed)
}

fn word(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers with these bytes and keeps what it is told.
    struct Fake<'a>(&'a [u8], Vec<u8>);

    impl Read for Fake<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Fake<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_negotiation_gives_version_and_actions_and_ends_politely() {
        let mut peer = Fake(b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x13\0\0\0\0", Vec::new());
        assert_eq!(negotiate(&mut peer).unwrap(), (6, 0x13));
        assert_eq!(&peer.1[..9], b"\0\0\0\x0dO\0\0\0\x06");
        assert!(peer.1.ends_with(b"\0\0\0\x01Q"));
    }

    #[test]
    fn a_socket_that_nobody_serves_is_asked_once_and_told_in_words() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("milter.sock");
        // As systemd holds it: connections are taken, and wait.
        let _held = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let main = format!(
            "smtpd_milters = unix:{0}\nnon_smtpd_milters = unix:{0}\n",
            path.display()
        );
        let master = "smtp inet n - n - - smtpd\nsubmission inet n - n - - smtpd\n\
                      cleanup unix n - n - 0 cleanup\n";
        let postfix = Postfix::parse(&main, master, "");
        let mut config = Config::default();
        config.milter.listen = ListenAddress::Unix(path);
        let mut report = DoctorReport::default();
        check(&mut report, &postfix, &config, true);
        let said: Vec<_> = report
            .findings()
            .iter()
            .filter(|finding| finding.check == "milter.answers")
            .collect();
        assert_eq!(said.len(), 1, "{report}");
        assert!(
            said[0].message.contains("nobody answered within 4 s"),
            "{report}"
        );
    }

    #[test]
    fn whoever_speaks_something_else_is_no_milter() {
        for answer in [
            b"220 mx ESMTP\r\n".as_slice(),
            b"\0\0\0\x0d",
            b"\0\0\0\x0dXaaaabbbbcccc",
            b"\xff\xff\xff\xffO",
            b"",
        ] {
            assert!(negotiate(&mut Fake(answer, Vec::new())).is_err());
        }
    }

    #[test]
    fn the_line_that_mends_a_path_keeps_the_other_milters_and_our_options() {
        let rspamd = "inet:localhost:11332";
        let master = "smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n";
        for (listen, ours, chroot, mended) in [
            (
                "unix:/run/depollueur/milter.sock",
                "{ unix:/run/depollueur/milter.sock, connect_timeout=9s }",
                true,
                "{ unix:depollueur/milter.sock, connect_timeout=9s }",
            ),
            (
                "unix:/q/depollueur/milter.sock",
                "local:/run/depollueur/milter.sock",
                true,
                "unix:depollueur/milter.sock",
            ),
        ] {
            let main =
                format!("queue_directory = /q\nsmtpd_milters = {rspamd}, {ours}, inet:x:1\n");
            let postfix = Postfix::parse(&main, master, "");
            let mut config = Config::default();
            config.milter.listen = listen.parse().unwrap();
            let lists = Use::all(&postfix, &config);
            let list = lists
                .iter()
                .find(|list| list.service.chroot == chroot)
                .unwrap();
            let lines = mend_path(&postfix, &config, list, list.our_entry().unwrap());
            let line = format!("postconf -e 'smtpd_milters = {rspamd}, {mended}, inet:x:1'");
            assert_eq!(lines.last(), Some(&line), "{listen} {ours}");
            let moves = lines
                .iter()
                .any(|line| line.starts_with("set in [milter]: listen"));
            assert_eq!(moves, listen.contains("/run/"), "{lines:?}");
        }
    }
}

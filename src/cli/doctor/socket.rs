//! The milter's socket as Postfix comes to it: path, rights, and whether somebody answers.

use std::{
    fs::{self, Metadata},
    io::{self, Read, Write},
    net::ToSocketAddrs as _,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    super::{
        unit::{SOCKET, Unit},
        user::User,
    },
    entry::{Entry, Place},
    listing::{Use, chrooted_address, our_address},
    postfix::Postfix,
    report::{Report, quoted},
};
use crate::config::{Config, MilterAddress};

/// How long the milter may take for each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// What Postfix 3.7 offers: all actions, all options of protocol version 6.
const VERSION: u32 = 6;
const ACTIONS: u32 = 0x1ff;
const OPTIONS: u32 = 0x1f_ffff;

/// Actions that a milter needs to change mail: add a header, replace the body, change a header.
const CHANGES: u32 = 0x01 | 0x02 | 0x10;

/// The longest answer to a negotiation that makes sense: options and six lists of macros.
const ANSWER_BYTES_MAX: u32 = 4096;

/// All that is to be said of the socket, for each place where Postfix looks for it.
pub(super) fn check(report: &mut Report, postfix: &Postfix, config: &Config) {
    for list in Use::all(postfix, config) {
        let Some(entry) = list.our_entry() else {
            continue;
        };
        match (&entry.place, entry.path(postfix, list.service)) {
            (Place::Inet(host, port), _) => check_tcp(report, host, *port),
            (_, Some(path)) => check_unix(report, postfix, config, (&list, entry, &path)),
            _ => {}
        }
    }
}

/// Asks the milter at its own address, when Postfix cannot be asked where it is.
pub(super) fn check_listener(report: &mut Report, config: &Config) {
    match &config.milter.listen {
        MilterAddress::Unix(path) => answers(report, &config.milter.listen, unix(path)),
        MilterAddress::Tcp(address) => {
            check_tcp(report, &address.ip().to_string(), address.port());
        }
    }
}

/// Speaks the beginning of the milter protocol with whoever listens at the address.
///
/// # Errors
/// Nobody does, or it is no milter.
pub(super) fn negotiates(address: &MilterAddress) -> io::Result<()> {
    let mut socket = match address {
        MilterAddress::Unix(path) => unix(path)?,
        MilterAddress::Tcp(address) => connect(Domain::for_address(*address), &(*address).into())?,
    };
    negotiate(&mut socket).map(|_| ())
}

fn check_tcp(report: &mut Report, host: &str, port: u16) {
    let found = (host, port)
        .to_socket_addrs()
        .and_then(|mut all| all.next().ok_or_else(|| io::ErrorKind::NotFound.into()));
    let connected =
        found.and_then(|address| connect(Domain::for_address(address), &address.into()));
    answers(report, format_args!("inet:{host}:{port}"), connected);
}

fn check_unix(
    report: &mut Report,
    postfix: &Postfix,
    config: &Config,
    (list, entry, path): (&Use<'_>, &Entry, &Path),
) {
    let shown = path.display();
    let file = match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => file,
        Ok(_) => return report.error("milter.path", format_args!("{shown} is no socket"), []),
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
            return report.error("milter.path", message, fix);
        }
        Err(error) => {
            return report.unknown(
                "milter.path",
                format_args!("could not look at {shown}: {error}"),
            );
        }
    };
    report.ok(
        "milter.path",
        format_args!("{} finds the socket at {shown}", list.service.name()),
    );
    check_rights(report, postfix, path, &file);
    answers(report, shown, unix(path));
}

/// What makes the socket, or makes it anew: systemd, if it is systemd's.
fn start() -> String {
    let is_enabled = Unit::read(SOCKET).is_some_and(|unit| unit.is_enabled());
    if is_enabled {
        "systemctl restart depollueur.socket depollueur.service".to_owned()
    } else {
        "systemctl start depollueur".to_owned()
    }
}

/// Where the socket should be looked for, or made.
fn mend_path(postfix: &Postfix, config: &Config, list: &Use<'_>, entry: &Entry) -> Vec<String> {
    let start = start();
    let MilterAddress::Unix(listen) = &config.milter.listen else {
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

/// The list with another address of ours; the other milters, and what is set for ours, stay.
fn moved(list: &Use<'_>, entry: &Entry, address: &str) -> String {
    let Place::Unix(written) = &entry.place else {
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

fn check_rights(report: &mut Report, postfix: &Postfix, path: &Path, socket: &Metadata) {
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
        let fix = "set in [milter]: socket_mode = \"0666\" (its directory is the gate)";
        return report.error(check, message, [fix.to_owned()]);
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

fn unix(path: &Path) -> io::Result<Socket> {
    connect(Domain::UNIX, &SockAddr::unix(path)?)
}

fn connect(domain: Domain, address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if domain == Domain::UNIX {
        socket.connect(address)?;
    } else {
        socket.connect_timeout(address, PATIENCE)?;
    }
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Speaks the beginning of the milter protocol, as Postfix would.
fn answers(report: &mut Report, place: impl std::fmt::Display, connected: io::Result<Socket>) {
    let check = "milter.answers";
    let answer = connected.and_then(|mut socket| negotiate(&mut socket));
    match answer {
        Ok((version, actions)) if version == VERSION && actions & CHANGES == CHANGES => {
            report.ok(check, format_args!("{place}: protocol {version}, may change mail"));
        }
        Ok((version, actions)) => report.error(
            check,
            format_args!(
                "{place} answers with protocol {version} and actions {actions:#x}: that is not depollueur"
            ),
            [],
        ),
        Err(error) => report.error(
            check,
            format_args!("no milter answers at {place}: {error}"),
            [start()],
        ),
    }
}

/// Offers what Postfix offers and says goodbye; gives the version and the actions wanted.
fn negotiate(stream: &mut (impl Read + Write)) -> io::Result<(u32, u32)> {
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
    struct Peer<'a>(&'a [u8], Vec<u8>);

    impl Read for Peer<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Peer<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_negotiation_gives_version_and_actions_and_ends_politely() {
        let mut peer = Peer(b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x13\0\0\0\0", Vec::new());
        assert_eq!(negotiate(&mut peer).unwrap(), (6, 0x13));
        assert_eq!(&peer.1[..9], b"\0\0\0\x0dO\0\0\0\x06");
        assert!(peer.1.ends_with(b"\0\0\0\x01Q"));
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
            assert!(negotiate(&mut Peer(answer, Vec::new())).is_err());
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

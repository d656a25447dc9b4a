//! The milters in a list of Postfix: their addresses, their kinds, and the one that is ours.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, ToSocketAddrs as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::postfix::{Postfix, Service};
use crate::config::ListenAddress;

/// One milter in `smtpd_milters` or `non_smtpd_milters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct MilterEntry {
    /// The entry as it is written.
    pub(in crate::cli) text: String,
    /// The address at which it listens.
    pub(in crate::cli) place: MilterAddress,
    /// Settings for this entry alone, written in braces.
    pub(in crate::cli) options: BTreeMap<String, String>,
}

/// The address at which a milter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum MilterAddress {
    /// A path; relative to the queue directory unless it begins with a slash.
    Unix(String),
    /// A host and a port.
    Inet(String, u16),
    /// Text that Postfix would not understand either.
    Odd,
}

/// The task of a milter, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum MilterKind {
    /// Looks at attachments, or rejects: a virus scanner.
    Scanner,
    /// Verifies what a change of the body breaks (DMARC after DKIM), or otherwise needs the original.
    Verifier,
    /// Signs or verifies DKIM, or both.
    Dkim,
    /// Seals ARC.
    Sealer,
    /// Scans, verifies, and signs as configured.
    Rspamd,
    /// A milter unknown to us.
    Stranger,
}

impl MilterEntry {
    /// Parses a list: addresses separated by blanks and commas, with options where there are braces.
    pub(in crate::cli) fn list(text: &str) -> Vec<Self> {
        split(text).into_iter().map(Self::parse).collect()
    }

    fn parse(text: String) -> Self {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let mut words = split(&inner.unwrap_or(&text).replace(" = ", "=")).into_iter();
        let place = MilterAddress::parse(&words.next().unwrap_or_default());
        let options = words.filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Self {
            options: options.collect(),
            place,
            text,
        }
    }

    /// Returns true if this is the milter that listens at `listen`. A daemon whose socket the service
    /// manager holds does not know its address: there a path with our name counts.
    pub(in crate::cli) fn is_ours(
        &self,
        listen: &ListenAddress,
        postfix: &Postfix,
        service: &Service,
    ) -> bool {
        match (&self.place, listen) {
            (MilterAddress::Inet(host, port), ListenAddress::Tcp(address)) => {
                *port == address.port() && leads_to(host, address.ip())
            }
            (MilterAddress::Unix(path), ListenAddress::Unix(ours)) => {
                let (named, seen) = (Path::new(path), self.path(postfix, service));
                named == ours
                    || seen.is_some_and(|seen| same_file(&seen, ours))
                    || has_our_name(path)
            }
            (MilterAddress::Unix(path), ListenAddress::Tcp(_)) => has_our_name(path),
            _ => false,
        }
    }

    /// Returns the path of its socket as the service sees it.
    pub(in crate::cli) fn path(&self, postfix: &Postfix, service: &Service) -> Option<PathBuf> {
        let MilterAddress::Unix(path) = &self.place else {
            return None;
        };
        let relative = path.trim_start_matches('/');
        if path.starts_with('/') && !service.chroot {
            Some(PathBuf::from(path))
        } else {
            Some(postfix.queue_directory().join(relative))
        }
    }

    /// Returns the address at which it can be reached from outside a chroot at `queue`.
    pub(in crate::cli) fn address(&self, queue: &Path) -> Option<ListenAddress> {
        match &self.place {
            MilterAddress::Inet(host, port) => {
                let mut found = (host.as_str(), *port).to_socket_addrs().ok()?;
                found.next().map(ListenAddress::Tcp)
            }
            MilterAddress::Unix(path) => {
                let below = queue.join(path.trim_start_matches('/'));
                let path = if below.exists() { below } else { path.into() };
                Some(ListenAddress::Unix(path))
            }
            MilterAddress::Odd => None,
        }
    }

    /// Guesses its task. The sockets and ports are those of the packages' own documentation.
    pub(in crate::cli) fn kind(&self) -> MilterKind {
        let text = self.text.to_ascii_lowercase();
        let port = match self.place {
            MilterAddress::Inet(_, port) => port,
            _ => 0,
        };
        let named = |names: &[&str]| names.iter().any(|name| text.contains(name));

        match port {
            _ if named(&["rspam"]) => MilterKind::Rspamd,
            _ if named(&["clam", "amavis", "spamass", "mimedefang", "sophos", "kav"]) => {
                MilterKind::Scanner
            }
            _ if named(&["dmarc", "spf", "milter-greylist"]) => MilterKind::Verifier,
            _ if named(&["openarc", "arc-"]) => MilterKind::Sealer,
            _ if named(&["dkim"]) => MilterKind::Dkim,
            11_332 => MilterKind::Rspamd,
            7_357 | 10_024 => MilterKind::Scanner,
            8_893 | 54_321 => MilterKind::Verifier,
            8_891 | 8_892 | 12_301 => MilterKind::Dkim,
            _ => MilterKind::Stranger,
        }
    }
}

impl MilterAddress {
    fn parse(text: &str) -> Self {
        let parsed = match text.split_once(':') {
            Some(("unix" | "local", path)) if !path.is_empty() => Some(Self::Unix(path.to_owned())),
            Some(("inet" | "inet6", rest)) => inet(rest),
            _ if text.starts_with('/') => Some(Self::Unix(text.to_owned())),
            _ => inet(text),
        };
        parsed.unwrap_or(Self::Odd)
    }
}

/// Parses `host:port`, or `port@host` as Sendmail writes it.
fn inet(text: &str) -> Option<MilterAddress> {
    let (host, port) = match text.split_once('@') {
        Some((port, host)) => (host, port),
        None => text.rsplit_once(':')?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(MilterAddress::Inet(host.to_owned(), port.parse().ok()?))
}

/// Splits at blanks and commas outside of braces.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut depth) = (Vec::new(), String::new(), 0_usize);
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (c.is_whitespace() || c == ',') {
            words.push(std::mem::take(&mut word));
        } else {
            word.push(c);
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn leads_to(host: &str, ip: IpAddr) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address == ip || (ip.is_unspecified() && address.is_loopback()),
        Err(_) => host == "localhost" && (ip.is_loopback() || ip.is_unspecified()),
    }
}

fn same_file(left: &Path, right: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    left == right || id(left).is_some_and(|left| Some(left) == id(right))
}

fn has_our_name(path: &str) -> bool {
    path.contains("depollueur")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_addresses_and_options_in_braces() {
        let list = MilterEntry::list(
            "{ unix:depollueur/milter.sock, default_action=accept,\tcontent_timeout = 5m }, inet:localhost:11332 inet:8891@127.0.0.1,unix:/x",
        );
        let places: Vec<_> = list.iter().map(|entry| entry.place.clone()).collect();
        assert_eq!(
            places,
            [
                MilterAddress::Unix("depollueur/milter.sock".into()),
                MilterAddress::Inet("localhost".into(), 11_332),
                MilterAddress::Inet("127.0.0.1".into(), 8_891),
                MilterAddress::Unix("/x".into()),
            ]
        );
        assert_eq!(list[0].options["default_action"], "accept");
        assert_eq!(list[0].options["content_timeout"], "5m");
        assert!(MilterEntry::list(" , ").is_empty());
        assert_eq!(MilterEntry::list("nonsense")[0].place, MilterAddress::Odd);
    }

    #[test]
    fn milters_are_known_by_their_sockets_and_ports() {
        for (text, kind) in [
            ("unix:clamav/clamav-milter.ctl", MilterKind::Scanner),
            ("unix:/run/amavis/amavisd-milter.sock", MilterKind::Scanner),
            ("inet:localhost:11332", MilterKind::Rspamd),
            ("unix:rspamd/milter.sock", MilterKind::Rspamd),
            ("local:opendkim/opendkim.sock", MilterKind::Dkim),
            ("inet:localhost:8891", MilterKind::Dkim),
            ("inet:127.0.0.1:8892", MilterKind::Dkim),
            (
                "local:/run/dkimpy-milter/dkimpy-milter.sock",
                MilterKind::Dkim,
            ),
            ("unix:/run/dkim2-milter/milter.sock", MilterKind::Dkim),
            ("inet:localhost:8893", MilterKind::Verifier),
            ("local:opendmarc/opendmarc.sock", MilterKind::Verifier),
            ("unix:openarc/openarc.sock", MilterKind::Sealer),
            ("inet:localhost:9999", MilterKind::Stranger),
        ] {
            assert_eq!(MilterEntry::list(text)[0].kind(), kind, "{text}");
        }
    }

    #[test]
    fn a_path_is_seen_from_the_queue_directory_when_it_is_relative_or_chrooted() {
        let master = "smtp inet n - y - - smtpd\nsub inet n - n - - smtpd\n";
        let postfix = Postfix::parse("queue_directory = /q", master, "");
        let services: Vec<_> = postfix.smtpd().collect();
        for (text, chrooted, free) in [
            ("unix:d/m.sock", "/q/d/m.sock", "/q/d/m.sock"),
            ("unix:/run/m.sock", "/q/run/m.sock", "/run/m.sock"),
        ] {
            let entry = &MilterEntry::list(text)[0];
            assert_eq!(entry.path(&postfix, services[0]), Some(chrooted.into()));
            assert_eq!(entry.path(&postfix, services[1]), Some(free.into()));
        }
    }

    #[test]
    fn ours_is_known_by_address_path_or_name() {
        let postfix = Postfix::parse("queue_directory = /q", "smtp inet n - y - - smtpd\n", "");
        let service = postfix.smtpd().next().unwrap();
        let unix: ListenAddress = "unix:/q/d/m.sock".parse().unwrap();
        let tcp: ListenAddress = "127.0.0.1:8895".parse().unwrap();
        for (text, listen, ours) in [
            ("unix:d/m.sock", &unix, true),
            ("unix:/q/d/m.sock", &unix, true),
            ("unix:depollueur/milter.sock", &unix, true),
            ("unix:clamav/m.sock", &unix, false),
            ("inet:localhost:8895", &tcp, true),
            ("inet:8895@127.0.0.1", &tcp, true),
            ("inet:192.0.2.1:8895", &tcp, false),
            ("inet:127.0.0.1:8896", &tcp, false),
        ] {
            let entry = &MilterEntry::list(text)[0];
            assert_eq!(entry.is_ours(listen, &postfix, service), ours, "{text}");
        }
    }
}

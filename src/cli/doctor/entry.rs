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
pub(in crate::cli) struct Entry {
    /// The entry as it is written.
    pub(in crate::cli) text: String,
    /// The address at which it listens.
    pub(in crate::cli) place: Place,
    /// Settings for this entry alone, written in braces.
    pub(in crate::cli) options: BTreeMap<String, String>,
}

/// The address at which a milter listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Place {
    /// A path; relative to the queue directory unless it begins with a slash.
    Unix(String),
    /// A host and a port.
    Inet(String, u16),
    /// Text that Postfix would not understand either.
    Odd,
}

/// The task of a milter, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Kind {
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

impl Entry {
    /// Parses a list: addresses separated by blanks and commas, with options where there are braces.
    pub(in crate::cli) fn list(text: &str) -> Vec<Self> {
        split(text).into_iter().map(Self::parse).collect()
    }

    fn parse(text: String) -> Self {
        let inner = text
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let mut words = split(&inner.unwrap_or(&text).replace(" = ", "=")).into_iter();
        let place = Place::parse(&words.next().unwrap_or_default());
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
            (Place::Inet(host, port), ListenAddress::Tcp(address)) => {
                *port == address.port() && leads_to(host, address.ip())
            }
            (Place::Unix(path), ListenAddress::Unix(ours)) => {
                let (named, seen) = (Path::new(path), self.path(postfix, service));
                named == ours
                    || seen.is_some_and(|seen| same_file(&seen, ours))
                    || has_our_name(path)
            }
            (Place::Unix(path), ListenAddress::Tcp(_)) => has_our_name(path),
            _ => false,
        }
    }

    /// Returns the path of its socket as the service sees it.
    pub(in crate::cli) fn path(&self, postfix: &Postfix, service: &Service) -> Option<PathBuf> {
        let Place::Unix(path) = &self.place else {
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
            Place::Inet(host, port) => {
                let mut found = (host.as_str(), *port).to_socket_addrs().ok()?;
                found.next().map(ListenAddress::Tcp)
            }
            Place::Unix(path) => {
                let below = queue.join(path.trim_start_matches('/'));
                let path = if below.exists() { below } else { path.into() };
                Some(ListenAddress::Unix(path))
            }
            Place::Odd => None,
        }
    }

    /// Guesses its task. The sockets and ports are those of the packages' own documentation.
    pub(in crate::cli) fn kind(&self) -> Kind {
        let text = self.text.to_ascii_lowercase();
        let port = match self.place {
            Place::Inet(_, port) => port,
            _ => 0,
        };
        let named = |names: &[&str]| names.iter().any(|name| text.contains(name));

        match port {
            _ if named(&["rspam"]) => Kind::Rspamd,
            _ if named(&["clam", "amavis", "spamass", "mimedefang", "sophos", "kav"]) => {
                Kind::Scanner
            }
            _ if named(&["dmarc", "spf", "milter-greylist"]) => Kind::Verifier,
            _ if named(&["openarc", "arc-"]) => Kind::Sealer,
            _ if named(&["dkim"]) => Kind::Dkim,
            11_332 => Kind::Rspamd,
            7_357 | 10_024 => Kind::Scanner,
            8_893 | 54_321 => Kind::Verifier,
            8_891 | 8_892 | 12_301 => Kind::Dkim,
            _ => Kind::Stranger,
        }
    }
}

impl Place {
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
fn inet(text: &str) -> Option<Place> {
    let (host, port) = match text.split_once('@') {
        Some((port, host)) => (host, port),
        None => text.rsplit_once(':')?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some(Place::Inet(host.to_owned(), port.parse().ok()?))
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
        let list = Entry::list(
            "{ unix:depollueur/milter.sock, default_action=accept,\tcontent_timeout = 5m }, inet:localhost:11332 inet:8891@127.0.0.1,unix:/x",
        );
        let places: Vec<_> = list.iter().map(|entry| entry.place.clone()).collect();
        assert_eq!(
            places,
            [
                Place::Unix("depollueur/milter.sock".into()),
                Place::Inet("localhost".into(), 11_332),
                Place::Inet("127.0.0.1".into(), 8_891),
                Place::Unix("/x".into()),
            ]
        );
        assert_eq!(list[0].options["default_action"], "accept");
        assert_eq!(list[0].options["content_timeout"], "5m");
        assert!(Entry::list(" , ").is_empty());
        assert_eq!(Entry::list("nonsense")[0].place, Place::Odd);
    }

    #[test]
    fn milters_are_known_by_their_sockets_and_ports() {
        for (text, kind) in [
            ("unix:clamav/clamav-milter.ctl", Kind::Scanner),
            ("unix:/run/amavis/amavisd-milter.sock", Kind::Scanner),
            ("inet:localhost:11332", Kind::Rspamd),
            ("unix:rspamd/milter.sock", Kind::Rspamd),
            ("local:opendkim/opendkim.sock", Kind::Dkim),
            ("inet:localhost:8891", Kind::Dkim),
            ("inet:127.0.0.1:8892", Kind::Dkim),
            ("local:/run/dkimpy-milter/dkimpy-milter.sock", Kind::Dkim),
            ("unix:/run/dkim2-milter/milter.sock", Kind::Dkim),
            ("inet:localhost:8893", Kind::Verifier),
            ("local:opendmarc/opendmarc.sock", Kind::Verifier),
            ("unix:openarc/openarc.sock", Kind::Sealer),
            ("inet:localhost:9999", Kind::Stranger),
        ] {
            assert_eq!(Entry::list(text)[0].kind(), kind, "{text}");
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
            let entry = &Entry::list(text)[0];
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
            let entry = &Entry::list(text)[0];
            assert_eq!(entry.is_ours(listen, &postfix, service), ours, "{text}");
        }
    }
}

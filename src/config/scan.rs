//! `[scan]`: the daemons that look for viruses in all files that go into the drop.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use jiff::Span;
use serde::{Deserialize, Serialize};

use super::{
    Config, StoreKind,
    address::AddressError,
    value::{As, Choice, Codec, OptionalPeriod, Seconds, Size, Words, Written},
};

/// Daemons of one configuration.
const CLAMD_MAX: usize = 20;

/// The longest name of a host, in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

/// `[scan]`: the virus scan of files that go into the drop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct ScanConfig {
    /// The daemons that scan; nothing is scanned when empty.
    #[serde(with = "As::<Daemons>")]
    pub clamd: Vec<ClamdAddress>,
    /// The fate of a message with an infected file.
    #[serde(with = "As::<Choice<OnInfected>>")]
    pub on_infected: OnInfected,
    /// The fate of a message with a file that could not be scanned.
    #[serde(with = "As::<Choice<OnUnscanned>>")]
    pub on_failure: OnUnscanned,
    /// Bytes of the largest file that is scanned.
    #[serde(with = "As::<Size>")]
    pub size_max: u64,
    /// The fate of a message with a larger one.
    #[serde(with = "As::<Choice<OnOversize>>")]
    pub on_oversize: OnOversize,
    /// The time for which a daemon may take no byte, and the time that it may take for its verdict.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub timeout: Duration,
    /// The greatest age of the last scan of a file that is given out although the signatures are
    /// newer; `None` never scans again.
    #[serde(with = "As::<OptionalPeriod>")]
    pub rescan: Option<Span>,
}

/// The address of a daemon that scans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClamdAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP socket: the name or address of its host, without brackets, and its port.
    Tcp(String, u16),
}

/// The fate of a message with an infected file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInfected {
    /// It is refused for good.
    Reject,
    /// It goes out as it came.
    Deliver,
    /// The file stays in it, the others are detached.
    KeepOut,
}

/// The fate of a message with a file that could not be scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnscanned {
    /// The sender is asked to try again (451).
    Tempfail,
    /// It goes out as it came.
    Deliver,
    /// The file is detached all the same.
    Deposit,
}

/// The fate of a message with a file that is larger than the largest that is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOversize {
    /// It goes out as it came.
    Deliver,
    /// The file is detached all the same.
    Deposit,
}

impl Config {
    /// Returns true if an infected file stays in its message, though the others go: then none may
    /// leave it before its verdict. Files of a remote drop are scanned there.
    pub fn keeps_out(&self) -> bool {
        let is_scanned = !self.scan.clamd.is_empty() || self.uses(StoreKind::Remote);
        is_scanned && self.scan.on_infected == OnInfected::KeepOut
    }
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            clamd: Vec::new(),
            on_infected: OnInfected::Reject,
            on_failure: OnUnscanned::Tempfail,
            size_max: 100_000_000,
            on_oversize: OnOversize::Deliver,
            timeout: Duration::from_secs(15),
            rescan: Some(Span::new().days(1)),
        }
    }
}

impl Words for OnInfected {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("reject", Self::Reject),
        ("deliver", Self::Deliver),
        ("keep out", Self::KeepOut),
    ];
}

impl Words for OnUnscanned {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("tempfail", Self::Tempfail),
        ("deliver", Self::Deliver),
        ("deposit", Self::Deposit),
    ];
}

impl Words for OnOversize {
    const WORDS: &'static [(&'static str, Self)] =
        &[("deliver", Self::Deliver), ("deposit", Self::Deposit)];
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "inet:[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "inet:{host}:{port}"),
        }
    }
}

impl FromStr for ClamdAddress {
    type Err = AddressError;

    /// `unix:/path`, `/path`, `inet:host:port`, `host:port`; an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') && !path.contains('\0') {
            return Ok(Self::Unix(path.into()));
        }
        let place = text.strip_prefix("inet:").unwrap_or(text);
        let (host, port) = place.rsplit_once(':').ok_or(AddressError)?;
        let port = port.parse().ok().filter(|port| *port > 0);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        let host = bare.unwrap_or(host).to_owned();
        port.filter(|_| is_host)
            .map(|port| Self::Tcp(host, port))
            .ok_or(AddressError)
    }
}

/// Returns true if this can be the name or the IPv4 address of a host.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_sound)
    };
    host.len() <= HOST_BYTES_MAX && host.split('.').all(is_label)
}

/// Codec of `scan.clamd`.
pub(super) struct Daemons;

impl Codec for Daemons {
    type Value = Vec<ClamdAddress>;

    fn parse(written: &Written) -> Option<Vec<ClamdAddress>> {
        let texts = written.texts()?;
        if texts.len() > CLAMD_MAX {
            return None;
        }
        let places = texts.iter().filter(|text| !text.is_empty());
        places.map(|text| text.parse().ok()).collect()
    }

    fn print(value: &Vec<ClamdAddress>) -> Written {
        let print = |address: &ClamdAddress| Written::Text(address.to_string());
        Written::List(value.iter().map(print).collect())
    }

    fn allowed() -> String {
        format!(
            r#"a list of at most {CLAMD_MAX} sockets such as ["unix:/run/clamav/clamd.ctl", "inet:127.0.0.1:3310"], or empty (off)"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_path_or_a_host_with_its_port() {
        for (text, shown) in [
            ("unix:/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl"),
            ("/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl"),
            ("inet:127.0.0.1:3310", "inet:127.0.0.1:3310"),
            ("127.0.0.1:3310", "inet:127.0.0.1:3310"),
            ("inet:clamd-mailcow:3310", "inet:clamd-mailcow:3310"),
            ("inet:[::1]:3310", "inet:[::1]:3310"),
        ] {
            let address: ClamdAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in [
            "",
            "3310",
            "clamd",
            "inet:127.0.0.1",
            "inet::3310",
            "inet:::1:3310",
            "inet:[127.0.0.1]:3310",
            "inet:host:0",
            "inet:host:70000",
            "inet:a b:3310",
            "inet:a..b:3310",
            "unix:clamd.ctl",
            "tcp://host:3310",
        ] {
            assert_eq!(text.parse::<ClamdAddress>(), Err(AddressError), "{text}");
        }
    }

    #[test]
    fn the_list_is_bounded_and_an_empty_text_is_off() {
        let list = |count| Written::List(vec![Written::Text("h:1".into()); count]);
        assert_eq!(Daemons::parse(&list(CLAMD_MAX)).unwrap().len(), CLAMD_MAX);
        assert!(Daemons::parse(&list(CLAMD_MAX + 1)).is_none());
        let nothing = Written::Text(String::new());
        assert_eq!(Daemons::parse(&nothing), Some(Vec::new()));
    }
}

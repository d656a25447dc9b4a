//! The values of a configuration that says nothing. `config/depollueur.toml` shows them all.

use std::net::{Ipv4Addr, SocketAddr};

use jiff::{SignedDuration, Span, tz::TimeZone};

use super::{
    AddressPatterns, AdminConfig, DetachConfig, Directions, DropConfig, Language, Limits,
    LogConfig, LogFormat, MilterAddress, MilterConfig, NoticeConfig, OnFailure, Position,
    Recipients, RunMode, SenderConfig, SpoolConfig, WebConfig,
};

impl Default for MilterConfig {
    fn default() -> Self {
        Self {
            listen: MilterAddress::Unix("/run/depollueur/milter.sock".into()),
            socket_mode: 0o666,
            max_connections: 2000,
            max_messages: 32,
            deadline: SignedDuration::from_secs(30),
            drain: SignedDuration::from_secs(20),
            outgoing_networks: Vec::new(),
            outgoing_daemons: vec!["ORIGINATING".into()],
        }
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8025),
            public_url: "http://127.0.0.1:8025/".into(),
            operator: String::new(),
            contact: String::new(),
            max_connections: 1000,
            timeout: SignedDuration::from_secs(30),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8026),
        }
    }
}

impl Default for DropConfig {
    fn default() -> Self {
        Self {
            directory: "/var/lib/depollueur".into(),
            expiry: Span::new().months(1),
            grace: Span::new().days(7),
            keep_records: Span::new().years(1),
        }
    }
}

impl Default for DetachConfig {
    fn default() -> Self {
        Self {
            threshold: 500_000,
            message_threshold: None,
            directions: Directions::Both,
            on_failure: OnFailure::Deliver,
            recipients: Recipients::AnyKeep,
            mode: RunMode::Live,
        }
    }
}

impl Default for NoticeConfig {
    fn default() -> Self {
        Self {
            position: Position::BeforeQuote,
            language: Language::Fr,
            time_zone: TimeZone::system(),
        }
    }
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self {
            trusted: Directions::Outgoing,
            keep_tags: vec!["[NEPASDEPOLLUER]".into()],
            detach_tags: vec!["[DEPOLLUER]".into()],
            keep_addresses: AddressPatterns::default(),
            detach_addresses: AddressPatterns::default(),
            header: "X-Depollueur".into(),
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            directory: None,
            memory: 256 << 10,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth_max: 64,
            parts_max: 10_000,
            header_bytes_max: 64 << 10,
            text_bytes_max: 1 << 20,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".into(),
            format: LogFormat::Auto,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

//! The values of a configuration that says nothing. `config/depollueur.toml` shows them all.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use jiff::{Span, tz::TimeZone};
use mailsplice::{Limits, l10n::Language, rewrite::Position};

use super::{
    AddressPatterns, AdminConfig, AliasMaps, AuditConfig, AuditCopy, BlobsKind, Colour,
    DepositConfig, DetachConfig, Directions, Dkim2, DomainLanguages, DropConfig, Fallback,
    Forwarding, JirafeauConfig, JirafeauExpiry, LimitsConfig, ListenAddress, LogConfig, LogFormat,
    Marks, MilterConfig, Network, NoticeConfig, NoticeLanguage, OnBlocked, OnFailure, OwnDomains,
    ProxyHeader, QuotaConfig, Recipients, RecordsDatabase, RemoteConfig, ReportFormat, RunMode,
    S3Config, SenderConfig, ShowSender, SpoolConfig, StoreConfig, StoreKind, WebConfig,
};

impl Default for MilterConfig {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Unix("/run/depollueur/milter.sock".into()),
            socket_mode: 0o666,
            max_connections: 2000,
            max_messages: 32,
            max_messages_per_login: 8,
            header_memory: 32 << 20,
            deadline: Duration::from_secs(30),
            timeout: Duration::from_mins(1),
            drain: Duration::from_secs(20),
            outgoing_networks: Vec::new(),
            outgoing_daemons: vec!["ORIGINATING".into()],
        }
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: ListenAddress::Tcp(loopback(8025)),
            socket_mode: 0o660,
            public_url: "http://127.0.0.1:8025/"
                .parse()
                .expect("the default is an address"),
            operator: String::new(),
            contact: String::new(),
            legal: String::new(),
            show_sender: ShowSender::Domain,
            logo: None,
            accent: Colour([0x0b, 0x64, 0x50]),
            accent_dark: Colour([0x62, 0xd2, 0xb7]),
            templates: None,
            report_to: Vec::new(),
            report_command: Vec::new(),
            report_format: ReportFormat::Mail,
            trusted_proxies: this_machine(),
            proxy_header: ProxyHeader::XForwardedFor,
            max_connections: 1000,
            max_connections_per_address: 64,
            misses_per_minute: 60,
            posts_per_minute: 10,
            timeout: Duration::from_secs(30),
            min_rate: 1_000,
            answer_memory: 128_000_000,
            max_rate: None,
        }
    }
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8026),
            web_listen: None,
        }
    }
}

impl Default for DropConfig {
    fn default() -> Self {
        Self {
            directory: "/var/lib/depollueur".into(),
            blobs: BlobsKind::Directory,
            blobs_from: None,
            expiry: Span::new().months(1),
            grace: Span::new().days(7),
            keep_records: Span::new().years(1),
            extension: Some(Span::new().months(1)),
            lifetime_max: Span::new().months(3),
            extend_expired: false,
            end_to_end: false,
            records: RecordsDatabase::Sqlite,
            records_from: None,
            records_password_file: None,
            records_ca_file: None,
        }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".into(),
            bucket: String::new(),
            prefix: String::new(),
            access_key_id: String::new(),
            secret_key_file: None,
            path_style: true,
            ca_file: None,
            allow_http: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
        }
    }
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            sender_per_day: Some(2_000_000_000),
            sender_directions: Directions::Outgoing,
            incoming_client_per_day: Some(1_000_000_000),
            incoming_per_day: Some(10_000_000_000),
            trusted_relays: this_machine(),
            total: None,
            free_space_min: 1_000_000_000,
            free_inodes_min: 10_000,
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            keep: Span::new().years(1),
            addresses: true,
            message_ids: true,
            copy: AuditCopy::Off,
            decisions: Some(Span::new().days(7)),
            decisions_max: 100_000,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            kind: StoreKind::Embedded,
        }
    }
}

impl Default for RemoteConfig {
    fn default() -> Self {
        Self {
            url: None,
            public_url: None,
            token_file: None,
            ca_file: None,
            allow_http: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
        }
    }
}

impl Default for JirafeauConfig {
    fn default() -> Self {
        Self {
            url: None,
            upload_password_file: None,
            expiry: JirafeauExpiry::Month,
            ca_file: None,
            allow_http: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
        }
    }
}

impl Default for DepositConfig {
    fn default() -> Self {
        Self {
            listen: None,
            file_bytes_max: 2_000_000_000,
            draft_bytes_max: 10_000_000_000,
            drafts_max: 100,
            expiry_max: Span::new().years(1),
            max_connections: 200,
            timeout: Duration::from_secs(60),
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
            on_blocked: OnBlocked::Deliver,
            on_suspended: OnBlocked::Deliver,
            recipients: Recipients::AnyKeep,
            remember_kept: Some(Span::new().days(7)),
            share_copies: true,
            marked_by: Marks::of_filters(),
            forwarded: Forwarding::Spare,
            dkim2: Dkim2::Spare,
            lists: AddressPatterns::default(),
            mode: RunMode::Live,
        }
    }
}

impl Default for NoticeConfig {
    fn default() -> Self {
        Self {
            position: Position::BeforeQuote,
            language: NoticeLanguage::One(Language::Fr),
            languages: DomainLanguages::default(),
            fallback: Fallback::One(Language::Fr),
            templates: None,
            time_zone: TimeZone::system(),
            part: false,
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
            domains: OwnDomains::of_postfix(),
            login_maps: vec![AliasMaps::Postfix],
            authserv_id: String::new(),
        }
    }
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self {
            directory: None,
            memory: 1 << 20,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let structure = Limits::default();
        Self {
            depth_max: structure.depth_max,
            parts_max: structure.parts_max,
            header_bytes_max: structure.header_bytes_max,
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

/// The addresses of this machine to itself.
fn this_machine() -> Vec<Network> {
    vec![
        Network {
            address: Ipv4Addr::new(127, 0, 0, 0).into(),
            prefix: 8,
        },
        Network {
            address: Ipv6Addr::LOCALHOST.into(),
            prefix: 128,
        },
    ]
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

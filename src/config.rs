//! The admin's decisions: one TOML file, then the environment, then `--set`.
//!
//! A value is parsed where it is deserialised (`value` has a codec for each kind), so that an
//! invalid one cannot exist in a [`Config`]. `source` merges the layers and finds out where a
//! bad value came from; `check` looks at values that only make sense together.

mod address;
mod addresses;
mod appearance;
mod check;
mod defaults;
mod detach;
mod drop;
mod hint;
mod jirafeau;
mod language;
mod listeners;
mod mail;
mod pattern;
mod public_url;
mod records;
mod rule;
mod s3;
mod scan;
mod source;
mod spoken;
mod store;
mod table;
mod users;
mod value;
mod web;
mod wishes;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use jiff::tz::TimeZone;
use mailsplice::{Limits, l10n::Language, rewrite::Position};
use serde::{Deserialize, Serialize};

use self::{
    address::{MilterSocket, Networks, OptionalSocket, TcpSocket},
    users::AliasTables,
    value::{
        As, Choice, Count, DirectionsCodec, LogFilter, Mode, OptionalPath, Seconds, Sizes, Strings,
        Zone,
    },
    wishes::{Addresses, AuthservId, DomainList, FieldName, Tags},
};

pub use self::{
    address::{ListenAddress, Network},
    addresses::{AddressFile, AddressLists, AddressSet, MailScope, NamedAddressFile},
    appearance::{CONTRAST_MIN, Colour, ColourError},
    detach::{DetachConfig, Dkim2, Forwarding, OnBlocked, OnFailure, Recipients, RunMode},
    drop::{AuditConfig, AuditCopy, DropConfig, QuotaConfig},
    jirafeau::{JirafeauConfig, JirafeauExpiry},
    language::{DomainLanguages, Fallback, NoticeLanguage},
    mail::{MailConfig, Relay, Security},
    pattern::{AddressPatterns, HeaderPattern, Patterns, fold},
    public_url::PublicUrl,
    records::{PostgresUrl, RecordsDatabase},
    rule::{Condition, Rule, RuleAction, Terms},
    s3::{BlobsKind, S3Config},
    scan::{ClamdAddress, OnInfected, OnOversize, OnUnscanned, ScanConfig},
    source::{ConfigError, DEFAULT_FILE, DOMAINS_DIRECTORY, DomainConfigs, Sources},
    store::{DepositConfig, RemoteConfig, StoreConfig, StoreKind},
    table::Table,
    users::{AliasMaps, LookupConfig, RecipientDelimiter, UserList, UsersConfig},
    web::{ProxyHeader, ReportFormat, ShowSender, WebConfig},
    wishes::{Marks, OwnDomains},
};

pub(crate) use self::{
    source::usual_file,
    spoken::span_in_english,
    value::{parse_period, parse_size},
};

/// The whole configuration. Every value is valid.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be sections")]
pub struct Config {
    /// `[milter]`
    pub milter: MilterConfig,
    /// `[web]`
    pub web: WebConfig,
    /// `[mail]`
    pub mail: MailConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[drop]`
    pub drop: DropConfig,
    /// `[s3]`
    pub s3: S3Config,
    /// `[quota]`
    pub quota: QuotaConfig,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[remote]`
    pub remote: RemoteConfig,
    /// `[jirafeau]`
    pub jirafeau: JirafeauConfig,
    /// `[deposit]`
    pub deposit: DepositConfig,
    /// `[scan]`
    pub scan: ScanConfig,
    /// `[detach]`
    pub detach: DetachConfig,
    /// `[notice]`
    pub notice: NoticeConfig,
    /// `[sender]`
    pub sender: SenderConfig,
    /// `[users]`
    pub users: UsersConfig,
    /// `[lookup]`
    pub lookup: LookupConfig,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[log]`
    pub log: LogConfig,
    /// The settings that single domains have of their own, see `domains`.
    #[serde(skip)]
    pub domains: DomainConfigs,
    /// Entries beside the file that look as if they were read but are not, a line each.
    #[serde(skip)]
    pub(crate) unread: Vec<String>,
    /// The files of addresses, in the order of the keys and rules that name them. Those of domains are the same.
    #[serde(skip)]
    pub(crate) address_files: Vec<NamedAddressFile>,
    /// The place of `notice.templates` in the sources, for whoever reads them.
    #[serde(skip)]
    pub(crate) templates_place: String,
    /// `[[rule]]`, in order. They are read with their lines, see `rule`.
    #[serde(deserialize_with = "nothing", skip_serializing_if = "Vec::is_empty")]
    pub rule: Vec<Rule>,
}

/// Skips a value that is read elsewhere.
fn nothing<'de, D: serde::Deserializer<'de>, T: Default>(from: D) -> Result<T, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| T::default())
}

/// `[milter]`: the listener for Postfix.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct MilterConfig {
    /// The socket.
    #[serde(with = "As::<MilterSocket>")]
    pub listen: ListenAddress,
    /// Permission bits of a unix socket.
    #[serde(with = "As::<Mode>")]
    pub socket_mode: u32,
    /// Connections that are served at once (Postfix opens one for each SMTP session).
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections: usize,
    /// Messages that are worked on at once; others wait.
    #[serde(with = "As::<Count<1, 10_000>>")]
    pub max_messages: usize,
    /// Messages of one login that are worked on at once.
    #[serde(with = "As::<Count<1, 10_000>>")]
    pub max_messages_per_login: usize,
    /// Bytes of envelopes and headers that all messages may hold together before their turn.
    #[serde(with = "As::<Sizes<65_536, 68_719_476_736>>")]
    pub header_memory: usize,
    /// The time for which a message may be held up by us: its turn, the store, and the commit together.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub deadline: Duration,
    /// The time for which Postfix may leave us waiting in the middle of a message or of a packet.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: Duration,
    /// The time for which open sessions may run on after SIGTERM.
    #[serde(with = "As::<Seconds<0, 3600>>")]
    pub drain: Duration,
    /// Clients whose mail is outgoing though they do not authenticate (CIDR).
    #[serde(with = "As::<Networks>")]
    pub outgoing_networks: Vec<Network>,
    /// `{daemon_name}`s whose mail is outgoing.
    #[serde(with = "As::<Strings>")]
    pub outgoing_daemons: Vec<String>,
}

/// `[admin]`: health and metrics.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct AdminConfig {
    /// The socket.
    #[serde(with = "As::<TcpSocket>")]
    pub listen: SocketAddr,
    /// The socket of a process that has the pages alone; the next free port when `None`, see
    /// [`Config::admin_of_web`].
    #[serde(with = "As::<OptionalSocket>")]
    pub web_listen: Option<SocketAddr>,
}

/// The directions of mail to which a setting applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// All mail.
    Both,
    /// Mail from outside.
    Incoming,
    /// Our users' mail.
    Outgoing,
}

/// `[notice]`: the text that tells the reader of the mail where the files are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct NoticeConfig {
    /// Its place in the text.
    #[serde(with = "As::<Choice<Position>>")]
    pub position: Position,
    /// Its language, where nothing below says otherwise.
    #[serde(with = "As::<Choice<NoticeLanguage>>")]
    pub language: NoticeLanguage,
    /// The languages of recipients, by their domains.
    pub languages: DomainLanguages,
    /// The language of notices in messages whose own is not known, and (the first) that of pages for
    /// browsers that want none of ours.
    #[serde(with = "As::<Choice<Fallback>>")]
    pub fallback: Fallback,
    /// A directory of templates that replace the built-in ones.
    #[serde(with = "As::<OptionalPath>")]
    pub templates: Option<PathBuf>,
    /// The time zone of its dates.
    #[serde(with = "As::<Zone>")]
    pub time_zone: TimeZone,
    /// True if the notice stands in a small attached text, too.
    pub part: bool,
}

impl NoticeConfig {
    /// The language of text that is written for nobody in particular.
    pub fn usual_language(&self) -> Language {
        match self.language {
            NoticeLanguage::One(language) => language,
            NoticeLanguage::Auto => self.fallback.first(),
        }
    }
}

/// `[sender]`: the wishes that the sender of a message may express, and what is believed about his
/// identity.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct SenderConfig {
    /// The directions of mail whose senders' wishes count.
    #[serde(with = "As::<DirectionsCodec>")]
    pub trusted: Directions,
    /// Tags in the subject by which everything stays.
    #[serde(with = "As::<Tags>")]
    pub keep_tags: Vec<String>,
    /// Tags in the subject by which everything goes.
    #[serde(with = "As::<Tags>")]
    pub detach_tags: Vec<String>,
    /// Recipient addresses by which everything stays.
    #[serde(with = "As::<Addresses>")]
    pub keep_addresses: AddressPatterns,
    /// Recipient addresses by which everything goes.
    #[serde(with = "As::<Addresses>")]
    pub detach_addresses: AddressPatterns,
    /// The field that programs set to `keep` or `detach`; none when empty.
    #[serde(with = "As::<FieldName>")]
    pub header: String,
    /// The domains of our users, whose mail is never attributed to any other domain.
    #[serde(with = "As::<DomainList>")]
    pub domains: OwnDomains,
    /// Tables that say as whom a login may send.
    #[serde(with = "As::<AliasTables>")]
    pub login_maps: Vec<AliasMaps>,
    /// The authserv-id of the verifier that is believed about mail from outside; none when empty.
    #[serde(with = "As::<AuthservId>")]
    pub authserv_id: String,
}

/// `[spool]`: the bytes of a message that stay, until its end.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct SpoolConfig {
    /// The directory of the temporary files; the drop's own when `None`.
    #[serde(with = "As::<OptionalPath>")]
    pub directory: Option<PathBuf>,
    /// Bytes of a message that are kept in memory before a file is created. All messages together
    /// keep eight times this, and 256 KiB each.
    #[serde(with = "As::<Sizes<0, 67_108_864>>")]
    pub memory: usize,
}

/// `[limits]`: past any of them a message is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct LimitsConfig {
    /// Nesting of multiparts.
    #[serde(with = "As::<Count<1, 1_000>>")]
    pub depth_max: usize,
    /// Parts of a message.
    #[serde(with = "As::<Count<1, 1_000_000>>")]
    pub parts_max: usize,
    /// Bytes of one part's header block.
    #[serde(with = "As::<Sizes<1_024, 1_048_576>>")]
    pub header_bytes_max: usize,
    /// Bytes of a text part that can take the notice.
    #[serde(with = "As::<Sizes<1_024, 67_108_864>>")]
    pub text_bytes_max: usize,
}

impl LimitsConfig {
    /// Returns the limits on the structure of a message.
    pub fn structure(self) -> Limits {
        Limits {
            depth_max: self.depth_max,
            parts_max: self.parts_max,
            header_bytes_max: self.header_bytes_max,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct LogConfig {
    /// A filter as of `tracing`: `info`, `depollueur=debug`, …
    #[serde(with = "As::<LogFilter>")]
    pub level: String,
    /// The format of its lines.
    #[serde(with = "As::<Choice<LogFormat>>")]
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// [`LogFormat::Journal`] when standard error goes to systemd's journal, else plain.
    Auto,
    /// For people: time, level, text, fields.
    Plain,
    /// Without a time stamp, for the journal.
    Journal,
    /// One JSON object a line.
    Json,
}

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
mod domains;
mod hint;
mod language;
mod mail;
mod pattern;
mod rule;
mod scan;
mod source;
mod spoken;
mod table;
mod users;
mod value;
mod wishes;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Span, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    address::is_public_url,
    check::is_loopback,
    source::usual_file,
    spoken::span_in_english,
    value::{parse_period, parse_size},
};
use self::{
    address::{
        Contact, MilterSocket, Networks, OptionalSocket, OptionalUrl, PublicUrl, Socket, WebSocket,
    },
    appearance::{Command, DarkAccent, LightAccent, Prose},
    mail::MailAddresses,
    users::AliasTables,
    value::{
        Absolute, As, Choice, CopyTarget, Count, Flag, LogFilter, Mode, OptionalPath,
        OptionalPeriod, OptionalSize, Period, Retention, Seconds, Size, Sizes, Strings, Text, Way,
        Zone,
    },
    wishes::{Addresses, AuthservId, Domains, FieldName, Lists, MarkedBy, Tags},
};
pub use self::{
    address::{ListenAddress, Network},
    addresses::{AddressFile, Mail},
    appearance::{CONTRAST_MIN, Colour, ColourError},
    domains::{DOMAINS_DIRECTORY, DomainConfigs},
    language::{DomainLanguages, Fallback, Language, NoticeLanguage},
    mail::{MailConfig, Relay, Security},
    pattern::{AddressPatterns, HeaderPattern, Patterns, fold},
    rule::{Action, Condition, Rule, Terms},
    scan::{ClamdAddress, OnInfected, OnOversize, OnUnscanned, ScanConfig},
    source::{ConfigError, DEFAULT_FILE, Sources},
    table::Table,
    users::{AliasMaps, LookupConfig, RecipientDelimiter, UserList, UsersConfig},
    wishes::{Marks, OwnDomains},
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
    /// `[quota]`
    pub quota: QuotaConfig,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[remote]`
    pub remote: RemoteConfig,
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
    pub limits: Limits,
    /// `[log]`
    pub log: LogConfig,
    /// The settings that single domains have of their own, see `domains`.
    #[serde(skip)]
    pub domains: DomainConfigs,
    /// Entries beside the file that look as if they were read but are not, a line each.
    #[serde(skip)]
    pub(crate) unread: Vec<String>,
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
    pub deadline: SignedDuration,
    /// The time for which Postfix may leave us waiting in the middle of a message or of a packet.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: SignedDuration,
    /// The time for which open sessions may run on after SIGTERM.
    #[serde(with = "As::<Seconds<0, 3600>>")]
    pub drain: SignedDuration,
    /// Clients whose mail is outgoing though they do not authenticate (CIDR).
    #[serde(with = "As::<Networks>")]
    pub outgoing_networks: Vec<Network>,
    /// `{daemon_name}`s whose mail is outgoing.
    #[serde(with = "As::<Strings>")]
    pub outgoing_daemons: Vec<String>,
}

/// `[web]`: the public listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct WebConfig {
    /// The socket.
    #[serde(with = "As::<WebSocket>")]
    pub listen: ListenAddress,
    /// Permission bits of a unix socket: anybody who may write to it is believed as a proxy is.
    #[serde(with = "As::<Mode>")]
    pub socket_mode: u32,
    /// The base address of links, with a final slash: `https://drop.example.org/`.
    #[serde(with = "As::<PublicUrl>")]
    pub public_url: String,
    /// The operator's name, shown on every page; the host of `public_url` when empty.
    #[serde(with = "As::<Text>")]
    pub operator: String,
    /// A mail address or URL for reports of abuse and questions; may be empty.
    #[serde(with = "As::<Contact>")]
    pub contact: String,
    /// The legal notice: a text, or the URL of one; may be empty.
    #[serde(with = "As::<Prose>")]
    pub legal: String,
    /// The part of a sender's address that pages show.
    #[serde(with = "As::<Choice<ShowSender>>")]
    pub show_sender: ShowSender,
    /// The operator's logo: a PNG, SVG or WebP file.
    #[serde(with = "As::<OptionalPath>")]
    pub logo: Option<PathBuf>,
    /// The colour of buttons and links on light pages.
    #[serde(with = "As::<LightAccent>")]
    pub accent: Colour,
    /// The colour of buttons and links on dark pages.
    #[serde(with = "As::<DarkAccent>")]
    pub accent_dark: Colour,
    /// A directory of templates that replace ours.
    #[serde(with = "As::<OptionalPath>")]
    pub templates: Option<PathBuf>,
    /// The mail addresses that get each report of content.
    #[serde(with = "As::<MailAddresses>")]
    pub report_to: Vec<lettre::Address>,
    /// The command that is run with each report of content; none when empty.
    #[serde(with = "As::<Command>")]
    pub report_command: Vec<String>,
    /// The format in which that command reads a report.
    #[serde(with = "As::<Choice<ReportFormat>>")]
    pub report_format: ReportFormat,
    /// Proxies that are believed about the client for which they ask (CIDR).
    #[serde(with = "As::<Networks>")]
    pub trusted_proxies: Vec<Network>,
    /// The header field in which they name that client.
    #[serde(with = "As::<Choice<ProxyHeader>>")]
    pub proxy_header: ProxyHeader,
    /// Connections that are served at once.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections: usize,
    /// Connections that one address may have at once; behind a proxy, requests.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections_per_address: usize,
    /// Links that lead nowhere which an address may try in a minute.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub misses_per_minute: usize,
    /// Forms that an address may send in a minute.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub posts_per_minute: usize,
    /// The time that a client may take for its request header, and for which it may read too slowly.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: SignedDuration,
    /// Bytes a second that a reader must take, over `timeout`.
    #[serde(with = "As::<Size>")]
    pub min_rate: u64,
    /// Bytes that all answers together may hold until they are sent.
    #[serde(with = "As::<Sizes<8_000_000, 68_719_476_736>>")]
    pub answer_memory: usize,
    /// Bytes a second that all downloads together may take.
    #[serde(with = "As::<OptionalSize>")]
    pub max_rate: Option<u64>,
}

/// The part of a sender's address that pages show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowSender {
    /// The whole address of senders who authenticated; the domain of others.
    Address,
    /// The domain.
    Domain,
    /// Nothing.
    None,
}

/// The format of what `web.report_command` reads on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// A mail message.
    Mail,
    /// A JSON object.
    Json,
}

/// The header field in which a proxy names the client for which it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl WebConfig {
    /// Returns true if somebody is told of reports.
    pub fn has_receiver(&self) -> bool {
        !self.report_to.is_empty() || !self.report_command.is_empty()
    }

    /// The host in `public_url`, with its port.
    pub fn host(&self) -> &str {
        host(&self.public_url)
    }

    /// The keeper of the files, as named to readers: the operator, or the host of `public_url`.
    pub fn operator_or_host(&self) -> &str {
        if self.operator.is_empty() {
            self.host()
        } else {
            &self.operator
        }
    }

    /// The keeper of the files, as named to readers of the notice: the operator, or the host of
    /// `link`, for the links of a remote store have a host of their own.
    pub fn operator_or_host_of<'a>(&'a self, link: &'a str) -> &'a str {
        if self.operator.is_empty() {
            host(link)
        } else {
            &self.operator
        }
    }
}

/// The host of an address, with its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// The host of an address, without port and brackets.
pub(crate) fn host_name(url: &str) -> &str {
    let host = host(url);
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    }
}

/// `[admin]`: health and metrics.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct AdminConfig {
    /// The socket.
    #[serde(with = "As::<Socket>")]
    pub listen: SocketAddr,
}

/// `[drop]`: the file drop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DropConfig {
    /// Its directory.
    #[serde(with = "As::<Absolute>")]
    pub directory: PathBuf,
    /// The time for which a file can be fetched; calendar units are allowed (`1 month`).
    #[serde(with = "As::<Period>")]
    pub expiry: Span,
    /// The time for which the ciphertext is kept after that.
    #[serde(with = "As::<Retention>")]
    pub grace: Span,
    /// The time for which the record (not the file) is kept after that, so that an old link gets an answer.
    #[serde(with = "As::<Retention>")]
    pub keep_records: Span,
    /// The time for which a file can be fetched from the moment on that a reader extends it; readers
    /// cannot extend when `None`.
    #[serde(with = "As::<OptionalPeriod>")]
    pub extension: Option<Span>,
    /// The longest time after its deposit for which a file can be fetched, however often it is extended.
    #[serde(with = "As::<Period>")]
    pub lifetime_max: Span,
    /// True if readers may extend during the grace period, too.
    #[serde(with = "As::<Flag>")]
    pub extend_expired: bool,
    /// True if the key of a package stands in the fragment of its link, where only the reader's
    /// browser sees it.
    #[serde(with = "As::<Flag>")]
    pub end_to_end: bool,
}

/// `[quota]`: the most that the drop takes. Mail past the share of its sender, or of strangers, is
/// delivered as it came; where the drop is full, `detach.on_failure` decides.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct QuotaConfig {
    /// Bytes that one sender (by login, else by envelope address) may deposit in 24 hours.
    #[serde(with = "As::<OptionalSize>")]
    pub sender_per_day: Option<u64>,
    /// The directions of mail that count for `sender_per_day`.
    #[serde(with = "As::<Way>")]
    pub sender_directions: Directions,
    /// Bytes that may be deposited in 24 hours from mail of one network outside (IPv4 /24, IPv6 /56; /48 four
    /// times as much).
    #[serde(with = "As::<OptionalSize>")]
    pub incoming_client_per_day: Option<u64>,
    /// Bytes that may be deposited in 24 hours from all mail from outside.
    #[serde(with = "As::<OptionalSize>")]
    pub incoming_per_day: Option<u64>,
    /// Relays that bring in mail of many senders (CIDR): not counted for `incoming_client_per_day`.
    #[serde(with = "As::<Networks>")]
    pub trusted_relays: Vec<Network>,
    /// Bytes of all files that are stored.
    #[serde(with = "As::<OptionalSize>")]
    pub total: Option<u64>,
    /// Bytes that the drop leaves free on its file system.
    #[serde(with = "As::<Size>")]
    pub free_space_min: u64,
    /// Free inodes on its file system at or below which the drop creates no more files.
    #[serde(with = "As::<Count<0, 1_000_000_000>>")]
    pub free_inodes_min: usize,
}

impl QuotaConfig {
    /// No limit at all.
    pub fn unlimited() -> Self {
        Self {
            sender_per_day: None,
            sender_directions: Directions::Both,
            incoming_client_per_day: None,
            incoming_per_day: None,
            trusted_relays: Vec::new(),
            total: None,
            free_space_min: 0,
            free_inodes_min: 0,
        }
    }
}

/// `[audit]`: the log of everything that was done with packages.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct AuditConfig {
    /// The time for which its entries are kept.
    #[serde(with = "As::<Period>")]
    pub keep: Span,
    /// True if the addresses of readers, and of the clients that sent mail, are recorded.
    #[serde(with = "As::<Flag>")]
    pub addresses: bool,
    /// True if the Message-IDs of messages are recorded with their outcome.
    #[serde(with = "As::<Flag>")]
    pub message_ids: bool,
    /// The destination of a copy that grows with it.
    #[serde(with = "As::<CopyTarget>")]
    pub copy: AuditCopy,
    /// The time for which the decisions on each message are kept; `None` keeps nothing.
    #[serde(with = "As::<OptionalPeriod>")]
    pub decisions: Option<Span>,
    /// The largest number of messages whose decisions are kept.
    #[serde(with = "As::<Count<1, 10_000_000>>")]
    pub decisions_max: usize,
}

/// The destination of the copy of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditCopy {
    /// Nowhere.
    #[default]
    Off,
    /// To the local syslog, by `/dev/log`.
    Syslog,
    /// To systemd's journal.
    Journal,
    /// To a socket of datagrams with this path, to which syslog's lines are sent.
    Socket(PathBuf),
}

impl AuditCopy {
    /// The socket that takes the copy; `None` when there is none.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Off => None,
            Self::Syslog => Some(Path::new("/dev/log")),
            Self::Journal => Some(Path::new("/run/systemd/journal/dev-log")),
            Self::Socket(path) => Some(path),
        }
    }
}

/// `[store]`: the destination of detached files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct StoreConfig {
    /// The kind of drop.
    #[serde(with = "As::<Choice<StoreKind>>")]
    pub kind: StoreKind,
}

/// The kind of drop that takes detached files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// Into the drop of this process.
    Embedded,
    /// Into the drop of another host, over HTTP.
    Remote,
}

/// `[remote]`: the drop of another host.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct RemoteConfig {
    /// The address of its deposit listener, with a final slash; empty when there is none.
    #[serde(with = "As::<OptionalUrl>")]
    pub url: String,
    /// The prefix of its links, with a final slash; they may begin with any address when empty.
    #[serde(with = "As::<OptionalUrl>")]
    pub public_url: String,
    /// The file that holds the bearer token.
    #[serde(with = "As::<OptionalPath>")]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(with = "As::<OptionalPath>")]
    pub ca_file: Option<PathBuf>,
    /// True if both addresses may be ones without TLS on another host.
    #[serde(with = "As::<Flag>")]
    pub allow_http: bool,
    /// The time that a connection may take to be made, TLS included.
    #[serde(with = "As::<Seconds<1, 60>>")]
    pub connect_timeout: SignedDuration,
    /// The time for which the drop may take no byte, and the time that it may take for an answer.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub timeout: SignedDuration,
}

/// `[deposit]`: the listener for milters of other hosts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DepositConfig {
    /// The socket; off when `None`.
    #[serde(with = "As::<OptionalSocket>")]
    pub listen: Option<SocketAddr>,
    /// The most bytes that one file may have.
    #[serde(with = "As::<Size>")]
    pub file_bytes_max: u64,
    /// The most bytes of all packages that one uploader has begun and not yet committed.
    #[serde(with = "As::<Size>")]
    pub draft_bytes_max: u64,
    /// The most packages that one uploader may have begun and not yet committed.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub drafts_max: usize,
    /// The longest time that an uploader may ask a package to be kept.
    #[serde(with = "As::<Period>")]
    pub expiry_max: Span,
    /// Connections that are served at once.
    #[serde(with = "As::<Count<1, 100_000>>")]
    pub max_connections: usize,
    /// The time for which an uploader may send nothing in the middle of a request, or idle between two.
    #[serde(with = "As::<Seconds<1, 3600>>")]
    pub timeout: SignedDuration,
}

/// `[detach]`: the mail that is treated, and the attachments that are detached from it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DetachConfig {
    /// Parts of at least this many decoded bytes are detached.
    #[serde(with = "As::<Size>")]
    pub threshold: u64,
    /// The sum that the attachments of a message may reach, in decoded bytes. Past it, the largest
    /// are detached until the rest fits.
    #[serde(with = "As::<OptionalSize>")]
    pub message_threshold: Option<u64>,
    /// The directions of mail that are treated.
    #[serde(with = "As::<Way>")]
    pub directions: Directions,
    /// The fate of the mail when the store fails.
    #[serde(with = "As::<Choice<OnFailure>>")]
    pub on_failure: OnFailure,
    /// The fate of a message with a file that an admin blocked.
    #[serde(with = "As::<Choice<OnBlocked>>")]
    pub on_blocked: OnBlocked,
    /// The fate of a message of a login that an admin suspended.
    #[serde(with = "As::<Choice<OnBlocked>>")]
    pub on_suspended: OnBlocked,
    /// The fate of an attachment when the recipients' rules differ.
    #[serde(with = "As::<Choice<Recipients>>")]
    pub recipients: Recipients,
    /// The time for which a message that somebody's choice kept is kept when it comes again; `None`
    /// judges anew.
    #[serde(with = "As::<OptionalPeriod>")]
    pub remember_kept: Option<Span>,
    /// True if copies of one message that arrive separately share one package.
    #[serde(with = "As::<Flag>")]
    pub share_copies: bool,
    /// Fields by which earlier hosts mark mail that they doubt: mail from outside that has one is
    /// left alone.
    #[serde(with = "As::<MarkedBy>")]
    pub marked_by: Marks,
    /// The treatment of mail from outside to an address that forwards to another machine.
    #[serde(with = "As::<Choice<Forwarding>>")]
    pub forwarded: Forwarding,
    /// The treatment of mail that was signed by DKIM2 and goes to another machine.
    #[serde(with = "As::<Choice<Dkim2>>")]
    pub dkim2: Dkim2,
    /// Addresses of mailing lists, besides those that are recognised by other means.
    #[serde(with = "As::<Lists>")]
    pub lists: AddressPatterns,
    /// The mode: decisions are carried out, or only logged.
    #[serde(with = "As::<Choice<RunMode>>")]
    pub mode: RunMode,
}

/// The treatment of mail from outside to an address that forwards to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// It is left alone: its sender may be at that machine, and would get a link to his own file.
    Spare,
    /// It is treated like all other mail.
    Treat,
}

/// The treatment of mail that was signed by DKIM2 and goes to another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dkim2 {
    /// It is left alone: a body that cannot be recreated fails there.
    Spare,
    /// It is treated like all other mail.
    Treat,
}

/// The fate of an attachment when the recipients' rules differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// One recipient who must get it keeps it for all.
    AnyKeep,
    /// One recipient for whom it is detached detaches it for all.
    AnyDetach,
}

/// The mode: decisions are carried out, or only logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunMode {
    /// They are carried out.
    Live,
    /// They are logged and counted; the mail is not changed, and nothing is deposited.
    DryRun,
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

/// The fate of a message that the drop does not take by an admin's will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBlocked {
    /// It goes out as it came.
    Deliver,
    /// It is refused for good.
    Reject,
}

/// The fate of the mail when the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes out as it came.
    Deliver,
    /// The sender is asked to try again (451).
    Tempfail,
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

/// The place of the notice in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the signature or the quoted mail, else at the end.
    BeforeQuote,
    /// Above the text.
    Start,
    /// Below the text.
    End,
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
    #[serde(with = "As::<Way>")]
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
    #[serde(with = "As::<Domains>")]
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
pub struct Limits {
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

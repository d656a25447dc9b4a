//! What the admin decides: one TOML file, then the environment, then `--set`.

use std::{net::SocketAddr, path::PathBuf};

use jiff::{SignedDuration, Span, tz::TimeZone};

/// The whole configuration. Every value is valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[milter]`
    pub milter: MilterConfig,
    /// `[web]`
    pub web: WebConfig,
    /// `[admin]`
    pub admin: AdminConfig,
    /// `[drop]`
    pub drop: DropConfig,
    /// `[detach]`
    pub detach: DetachConfig,
    /// `[notice]`
    pub notice: NoticeConfig,
    /// `[spool]`
    pub spool: SpoolConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: LogConfig,
}

/// `[milter]`: where Postfix finds us.
#[derive(Clone, Debug)]
pub struct MilterConfig {
    /// The socket.
    pub listen: MilterAddress,
    /// Permission bits of a unix socket.
    pub socket_mode: u32,
    /// How many connections are served at once (Postfix opens one for each SMTP session).
    pub max_connections: usize,
    /// How many messages are worked on at once; others wait.
    pub max_messages: usize,
    /// How long the end of a message may take, and how long the store may hold up its body.
    pub deadline: SignedDuration,
    /// How long open sessions may run on after SIGTERM.
    pub drain: SignedDuration,
    /// Clients whose mail is outgoing though they do not authenticate (CIDR).
    pub outgoing_networks: Vec<Network>,
    /// `{daemon_name}`s whose mail is outgoing.
    pub outgoing_daemons: Vec<String>,
}

/// An address to listen at for the milter protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MilterAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP socket.
    Tcp(SocketAddr),
}

/// An IP network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The network's address.
    pub address: std::net::IpAddr,
    /// The length of its prefix in bits.
    pub prefix: u8,
}

/// `[web]`: the public listener.
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// The socket.
    pub listen: SocketAddr,
    /// The address that stands in links, with a final slash: `https://drop.example.org/`.
    pub public_url: String,
    /// The operator's name, shown on every page; the host of `public_url` when empty.
    pub operator: String,
    /// A mail address or URL for reports of abuse and questions; may be empty.
    pub contact: String,
    /// How many connections are served at once.
    pub max_connections: usize,
    /// How long a client may take for its request header, and how long it may read nothing.
    pub timeout: SignedDuration,
}

/// `[admin]`: health and metrics.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// The socket.
    pub listen: SocketAddr,
}

/// `[drop]`: the file drop.
#[derive(Clone, Debug)]
pub struct DropConfig {
    /// Its directory.
    pub directory: PathBuf,
    /// How long a file can be fetched; calendar units are allowed (`1 month`).
    pub expiry: Span,
    /// How long the ciphertext is kept after that.
    pub grace: Span,
    /// How long the record (not the file) is kept after that, so that an old link gets an answer.
    pub keep_records: Span,
}

/// `[detach]`: what is detached.
#[derive(Clone, Debug)]
pub struct DetachConfig {
    /// Parts of at least this many decoded bytes are detached.
    pub threshold: u64,
    /// When the attachments of a message come to more than this many decoded bytes, the largest
    /// are detached until the rest fits.
    pub message_threshold: Option<u64>,
    /// Which mail is treated.
    pub directions: Directions,
    /// What happens to the mail when the store fails.
    pub on_failure: OnFailure,
}

/// Which mail is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// All mail.
    Both,
    /// Mail from outside.
    Incoming,
    /// Our users' mail.
    Outgoing,
}

/// What happens to the mail when the store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It goes out as it came.
    Deliver,
    /// The sender is asked to try again (451).
    Tempfail,
}

/// `[notice]`: what the reader of the mail is told.
#[derive(Clone, Debug)]
pub struct NoticeConfig {
    /// Where it stands.
    pub position: Position,
    /// In which language.
    pub language: Language,
    /// The time zone of its dates.
    pub time_zone: TimeZone,
}

/// Where the notice stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the signature or the quoted mail, else at the end.
    BeforeQuote,
    /// Above the text.
    Start,
    /// Below the text.
    End,
}

/// A language of notices and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// French.
    Fr,
}

/// `[spool]`: the bytes of a message that stay, until its end.
#[derive(Clone, Debug)]
pub struct SpoolConfig {
    /// Where the temporary files are made; the drop's own directory when `None`.
    pub directory: Option<PathBuf>,
    /// How many bytes of a message are kept in memory before a file is made.
    pub memory: usize,
}

/// `[limits]`: past any of them a message is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of multiparts.
    pub depth_max: usize,
    /// Parts of a message.
    pub parts_max: usize,
    /// Bytes of one part's header block.
    pub header_bytes_max: usize,
    /// Bytes of a text part that can take the notice.
    pub text_bytes_max: usize,
}

/// `[log]`
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A filter as of `tracing`: `info`, `depollueur=debug`, …
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, text, fields.
    Plain,
    /// Without a time stamp, for the journal.
    Journal,
    /// One JSON object a line.
    Json,
}

//! `[drop]`, `[quota]`, `[audit]`: the file drop of this host, its limits, and the log of it.

use std::path::{Path, PathBuf};

use jiff::Span;
use serde::{Deserialize, Serialize};

use super::{
    BlobsKind, Directions, Network, RecordsDatabase,
    address::Networks,
    records::{OptionalRecords, Records},
    value::{
        Absolute, As, Choice, CopyTarget, Count, DirectionsCodec, Flag, OptionalChoice,
        OptionalPath, OptionalPeriod, OptionalSize, Period, Retention, Size,
    },
};

/// `[drop]`: the file drop.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct DropConfig {
    /// Its directory.
    #[serde(with = "As::<Absolute>")]
    pub directory: PathBuf,
    /// The kind of store that holds the encrypted files.
    #[serde(with = "As::<Choice<BlobsKind>>")]
    pub blobs: BlobsKind,
    /// The kind of store from which they are being moved there; `None` if all are there.
    #[serde(with = "As::<OptionalChoice<BlobsKind>>")]
    pub blobs_from: Option<BlobsKind>,
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
    /// The database of its records.
    #[serde(with = "As::<Records>")]
    pub records: RecordsDatabase,
    /// The database from which they are being moved there; `None` if all are there.
    #[serde(with = "As::<OptionalRecords>")]
    pub records_from: Option<RecordsDatabase>,
    /// The file that holds the password for the one that is in PostgreSQL; none is given when `None`.
    #[serde(with = "As::<OptionalPath>")]
    pub records_password_file: Option<PathBuf>,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(with = "As::<OptionalPath>")]
    pub records_ca_file: Option<PathBuf>,
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
    #[serde(with = "As::<DirectionsCodec>")]
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

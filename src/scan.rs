//! Viruses: clamd (ClamAV) is asked about each file while it streams into the drop.
//!
//! A file goes to clamd by `zINSTREAM` (clamd(8), COMMANDS): pieces with their lengths in front, and a piece
//! without bytes at the end; then clamd says its verdict, up to a NUL. Each piece is sent before the drop has it,
//! and waits while clamd takes none, so that nothing is kept for the scan. Its verdict is waited for while the
//! file becomes durable, and before anything is committed.
//!
//! Only a complete answer counts as a verdict: it must be there to its last byte, say exactly what
//! clamd says, and come after the end of the file. `scan.on_failure` decides what a failure means.
//!
//! Of several daemons the one that worked last is asked first, and the next one where it cannot be
//! reached. Once part of a file was sent to one, the file is not sent to another: the bytes that were
//! sent are no longer here.

#[cfg(test)]
pub(crate) mod scripted;
mod session;
mod trial;
mod watch;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tracing::warn;

use self::session::{ScanSession, ScanVerdict};
pub use self::{
    trial::{ScanTrial, try_out, try_size},
    watch::{ClamdState, look},
};
use crate::{
    config::{OnOversize, OnUnscanned, ScanConfig},
    lock::lock,
};

/// The time for which the last known signatures of the daemons are believed to be current.
const VERSION_HOLDS: SignedDuration = SignedDuration::from_mins(1);

/// The results of scans, with the number of them since the process began.
static COUNTS: [(&str, AtomicU64); 4] = [
    ("clean", AtomicU64::new(0)),
    ("infected", AtomicU64::new(0)),
    ("failed", AtomicU64::new(0)),
    ("oversize", AtomicU64::new(0)),
];

/// The daemons that scan. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VirusScanner(Arc<ScannerState>);

#[derive(Debug)]
struct ScannerState {
    config: ScanConfig,
    /// The index of the daemon that is asked first.
    preferred: AtomicUsize,
    signatures: Mutex<Option<Signatures>>,
}

/// The signatures of the daemons, as they said last.
#[derive(Clone, Debug)]
struct Signatures {
    /// The answer to `VERSION`.
    version: String,
    /// The time at which this version was first seen.
    since: Timestamp,
    asked: Timestamp,
}

/// The scan of one file. Dropping it gives it up.
#[derive(Debug)]
pub struct Scan {
    scanner: VirusScanner,
    state: ScanState,
    /// Bytes of the file so far.
    bytes: u64,
}

#[derive(Debug)]
enum ScanState {
    /// No byte came yet.
    Idle,
    /// A daemon has all bytes so far.
    Open(Box<ScanSession>),
    /// The file is deposited without a verdict.
    Waived,
}

/// An objection to depositing a file.
#[derive(Debug, thiserror::Error)]
pub enum Objection {
    /// It is infected.
    #[error("a file is infected: {0}")]
    Infected(String),
    /// It has more bytes than are scanned.
    #[error("a file has more than the {0} bytes of scan.size_max")]
    Oversize(u64),
    /// A limit of clamd does not let it be scanned to its end.
    #[error("a file is too large for clamd: {0}")]
    Limited(ScanError),
    /// There is no verdict about it.
    #[error("a file could not be scanned: {0}")]
    Unscanned(#[from] ScanError),
}

/// The objection to depositing a file, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFinding {
    /// It is infected.
    Infected,
    /// It has more bytes than are scanned.
    Oversize,
    /// There is no verdict about it.
    Unscanned,
}

/// The reason why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no connection.
    #[error("could not reach clamd \"{address}\": {source}")]
    Unreachable {
        /// The daemon, as configured.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// It took no byte, or gave no answer, for too long.
    #[error("clamd \"{address}\" did nothing for {} s", patience.as_secs())]
    Stalled {
        /// The daemon, as configured.
        address: String,
        /// The time that we waited.
        patience: Duration,
    },
    /// The connection ended before its verdict.
    #[error("clamd \"{address}\" broke off: {reason}")]
    Broken {
        /// The daemon, as configured.
        address: String,
        /// The event that ended the connection.
        reason: String,
    },
    /// It answered, and that is no verdict.
    #[error("clamd \"{address}\" gave no verdict, but \"{said}\"{}", advice(said))]
    Answer {
        /// The daemon, as configured.
        address: String,
        /// The answer, made harmless.
        said: String,
    },
    /// It answered before it had the whole file.
    #[error(
        "clamd \"{address}\" answered before it had the whole file: \"{said}\"{}",
        advice(said)
    )]
    Early {
        /// The daemon, as configured.
        address: String,
        /// The answer, made harmless.
        said: String,
    },
}

type Result<T, E = Objection> = std::result::Result<T, E>;

/// The number of scans since the process began, by their results.
pub fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    COUNTS
        .iter()
        .map(|(result, count)| (*result, count.load(Relaxed)))
}

fn count(result: &str) {
    let found = COUNTS.iter().find(|(known, _)| *known == result);
    if let Some((_, count)) = found {
        count.fetch_add(1, Relaxed);
    }
}

/// Advice for the admin on an answer which says that a limit of clamd was passed; empty for any other.
fn advice(said: &str) -> &'static str {
    if said.contains("size limit exceeded") {
        ": raise StreamMaxLength in clamd.conf, or lower scan.size_max"
    } else if said.contains(session::LIMITS_EXCEEDED) {
        ": raise its limits (MaxFileSize, MaxScanSize and others) in clamd.conf, or lower scan.size_max"
    } else {
        ""
    }
}

impl VirusScanner {
    /// The daemons of a configuration; `None` when nothing is scanned. Connects to nothing.
    pub fn of(config: &ScanConfig) -> Option<Self> {
        (!config.clamd.is_empty()).then(|| {
            Self(Arc::new(ScannerState {
                config: config.clone(),
                preferred: AtomicUsize::new(0),
                signatures: Mutex::default(),
            }))
        })
    }

    /// Begins to scan a file.
    pub fn scan(&self) -> Scan {
        Scan {
            scanner: self.clone(),
            state: ScanState::Idle,
            bytes: 0,
        }
    }

    /// Returns true if a file of this many bytes is scanned.
    pub fn scans(&self, bytes: u64) -> bool {
        (1..=self.0.config.size_max).contains(&bytes)
    }

    /// Returns true if a file is to be scanned again at the time `now`: its scan ended longer ago
    /// than `scan.rescan`, and the signatures are newer than its beginning, as far as that is known.
    pub async fn is_due(&self, begun: Timestamp, ended: Timestamp, now: Timestamp) -> bool {
        let Some(rescan) = self.0.config.rescan else {
            return false;
        };
        let due = ended.to_zoned(TimeZone::UTC).checked_add(rescan);
        due.is_ok_and(|due| due.timestamp() <= now) && self.signatures(now).await > begun
    }

    /// The earliest time since which the daemons may have had their signatures; `now` when that
    /// cannot be known.
    async fn signatures(&self, now: Timestamp) -> Timestamp {
        let known = lock(&self.0.signatures).clone();
        if let Some(known) = &known
            && now.duration_since(known.asked).abs() < VERSION_HOLDS
        {
            return known.since;
        }
        let Ok(version) = self.version().await else {
            return now;
        };
        // Without the number of a database, nothing tells whether it changed.
        let is_same = known.filter(|known| known.version == version && version.contains('/'));
        let since = is_same.map_or(now, |known| known.since);
        *lock(&self.0.signatures) = Some(Signatures {
            version,
            since,
            asked: now,
        });
        since
    }

    /// The version and signatures reported by the daemon that is asked first.
    async fn version(&self) -> Result<String, ScanError> {
        let ScannerState {
            config, preferred, ..
        } = &*self.0;
        let daemon = &config.clamd[preferred.load(Relaxed)];
        session::ask(daemon, config.timeout, "VERSION").await
    }

    /// Sends the first bytes of a file to the first daemon that takes them.
    async fn open(&self, blocks: &[Bytes]) -> Result<ScanSession, ScanError> {
        let ScannerState {
            config, preferred, ..
        } = &*self.0;
        let (first, daemons) = (preferred.load(Relaxed), &config.clamd);
        let patience = config.timeout;
        let mut turns = (0..daemons.len()).map(|turn| (first + turn) % daemons.len());
        let mut index = turns.next().unwrap_or_default();

        loop {
            let opened = ScanSession::open(index, &daemons[index], patience, blocks).await;
            match (opened, turns.next()) {
                (Ok(session), _) => {
                    preferred.store(index, Relaxed);
                    return Ok(session);
                }
                (Err(error), None) => return Err(error),
                (Err(error), Some(next)) => {
                    warn!("{error}; \"{}\" is asked", daemons[next]);
                    index = next;
                }
            }
        }
    }

    /// Makes another daemon the first that is asked.
    fn avoid(&self, index: usize) {
        let next = (index + 1) % self.0.config.clamd.len();
        // Of several files that fail at once, one moves on.
        let _ = self
            .0
            .preferred
            .compare_exchange(index, next, Relaxed, Relaxed);
    }
}

impl Scan {
    /// Takes the next bytes. Waits while the daemon takes none.
    ///
    /// # Errors
    /// The file is not to be deposited.
    pub async fn write(&mut self, blocks: &[Bytes]) -> Result<()> {
        self.bytes += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        if self.bytes > self.scanner.0.config.size_max {
            return self.oversize();
        }
        let sent = match &mut self.state {
            ScanState::Idle if self.bytes > 0 => self.scanner.open(blocks).await.map(Some),
            ScanState::Open(session) => session.send(blocks).await.map(|()| None),
            ScanState::Idle | ScanState::Waived => Ok(None),
        };
        match sent {
            Ok(None) => Ok(()),
            Ok(Some(session)) => {
                self.state = ScanState::Open(Box::new(session));
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Ends the file, and waits for the verdict. A file without a byte is clean. False if it is deposited without
    /// a verdict.
    ///
    /// # Errors
    /// The file is not to be deposited.
    pub async fn finish(mut self) -> Result<bool> {
        let ScanState::Open(session) = &mut self.state else {
            return Ok(matches!(self.state, ScanState::Idle));
        };
        match session.verdict().await {
            Ok(ScanVerdict::Clean) => {
                count("clean");
                Ok(true)
            }
            Ok(ScanVerdict::Infected(signature)) => {
                count("infected");
                Err(Objection::Infected(signature))
            }
            Err(error) => self.fail(error).map(|()| false),
        }
    }

    fn oversize(&mut self) -> Result<()> {
        if matches!(self.state, ScanState::Waived) {
            return Ok(());
        }
        self.exceed(Objection::Oversize(self.scanner.0.config.size_max))
    }

    /// Ends the scan at a limit, which would be passed each time the message came again.
    fn exceed(&mut self, objection: Objection) -> Result<()> {
        self.state = ScanState::Waived;
        count("oversize");
        match self.scanner.0.config.on_oversize {
            OnOversize::Deliver => Err(objection),
            OnOversize::Deposit => {
                warn!("{objection}: it is deposited unscanned");
                Ok(())
            }
        }
    }

    fn fail(&mut self, error: ScanError) -> Result<()> {
        if let ScanState::Open(session) = &self.state
            && !error.is_limit()
        {
            self.scanner.avoid(session.index);
        }
        if error.is_limit() {
            return self.exceed(Objection::Limited(error));
        }
        self.state = ScanState::Waived;
        count("failed");
        let objection = Objection::Unscanned(error);
        match self.scanner.0.config.on_failure {
            OnUnscanned::Tempfail | OnUnscanned::Deliver => Err(objection),
            OnUnscanned::Deposit => {
                warn!("{objection}: it is deposited unscanned");
                Ok(())
            }
        }
    }
}

impl ScanError {
    /// Returns true if clamd says that a limit of its own was passed.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Answer { said, .. } | Self::Early { said, .. } => !advice(said).is_empty(),
            Self::Unreachable { .. } | Self::Stalled { .. } | Self::Broken { .. } => false,
        }
    }
}

impl Objection {
    /// The finding: the same in one word.
    pub fn finding(&self) -> ScanFinding {
        match self {
            Self::Infected(_) => ScanFinding::Infected,
            Self::Oversize(_) | Self::Limited(_) => ScanFinding::Oversize,
            Self::Unscanned(_) => ScanFinding::Unscanned,
        }
    }
}

impl ScanFinding {
    const ALL: [Self; 3] = [Self::Infected, Self::Oversize, Self::Unscanned];

    /// The word, for logs, metrics and other hosts.
    pub fn label(self) -> &'static str {
        match self {
            Self::Infected => "infected",
            Self::Oversize => "too-large-to-scan",
            Self::Unscanned => "unscanned",
        }
    }

    /// The finding of this label; `None` for any other word.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|found| found.label() == label)
    }
}

#[cfg(test)]
mod tests;

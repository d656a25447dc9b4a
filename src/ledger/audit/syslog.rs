//! A copy of the log that grows with it, out of reach of whoever changes the database: in the local syslog,
//! or in the journal, which takes the same datagrams.
//!
//! Each entry is a line with its number and its digest, of the facility `authpriv` and the severity `info`,
//! as syslog(3) writes it. How far the copy has come stands in the database: what a receiver that is not
//! there misses follows with the next entry, or when a process opens the drop. A line may come twice, when a
//! process dies or two write at once.

use std::{
    fmt::Write as _,
    io,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use data_encoding::HEXLOWER;
use jiff::Zoned;

use super::{ChainHead, Entry};
use crate::{
    config::AuditCopy,
    ledger::{
        LedgerError,
        records::{Note, Records},
    },
};

/// `authpriv.info`: entries hold personal data, and distributions keep this facility from users.
const PRIORITY: u32 = 10 << 3 | 6;

/// Maximum time for which a receiver may keep one thread of the drop waiting.
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

/// Number of entries that are read from the database at once.
const BATCH: usize = 100;

/// The receiver of the copy.
#[derive(Debug)]
pub(crate) struct Syslog {
    socket: PathBuf,
    turn: Mutex<()>,
    /// True if an entry came since the last look.
    is_due: AtomicBool,
    /// True if the last line was not taken, which is warned of once.
    is_failing: AtomicBool,
}

impl Syslog {
    /// Makes the receiver as configured; `None` if there is to be no copy.
    pub(crate) fn of(copy: &AuditCopy) -> Option<Self> {
        Some(Self {
            socket: copy.socket()?.to_owned(),
            turn: Mutex::default(),
            is_due: AtomicBool::default(),
            is_failing: AtomicBool::default(),
        })
    }

    /// Copies the entries that were added. Of several threads, one does it for all. A failure is warned of,
    /// and has no other effect.
    pub(crate) fn follow(&self, records: &dyn Records) {
        self.is_due.store(true, SeqCst);
        while self.is_due.load(SeqCst) {
            let Ok(_turn) = self.turn.try_lock() else {
                return;
            };
            // Before the look: an entry that comes during it causes another one.
            self.is_due.store(false, SeqCst);
            match self.copy(records) {
                Ok(()) => self.is_failing.store(false, SeqCst),
                Err(why) => {
                    if !self.is_failing.swap(true, SeqCst) {
                        tracing::warn!("the copy of the audit log waits: {why}");
                    }
                    return;
                }
            }
        }
    }

    fn copy(&self, records: &dyn Records) -> Result<(), String> {
        let in_words = |error: LedgerError| error.to_string();
        let Some(mut last) = records.note(Note::AuditCopied).map_err(in_words)? else {
            return self.begin(records).map_err(in_words);
        };

        let socket = self.connect().map_err(|error| self.refusal(&error))?;
        loop {
            let entries = records.chained(last, BATCH).map_err(in_words)?;
            let mut failed = None;
            for (place, entry) in &entries {
                if let Err(error) = socket.send(line(place, entry).as_bytes()) {
                    failed = Some(self.refusal(&error));
                    break;
                }
                last = place.number;
            }

            if !entries.is_empty() {
                let note = [(Note::AuditCopied, last)];
                records.set_notes(&note).map_err(in_words)?;
            }

            match failed {
                Some(why) => return Err(why),
                None if entries.len() < BATCH => return Ok(()),
                None => {}
            }
        }
    }

    /// Begins the copy with the entries that come from now on.
    fn begin(&self, records: &dyn Records) -> Result<(), LedgerError> {
        let head = records.chain_head()?.number;
        records.set_notes(&[(Note::AuditCopied, head)])
    }

    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIME_MAX))?;
        socket.connect(&self.socket)?;
        Ok(socket)
    }

    fn refusal(&self, error: &io::Error) -> String {
        let socket = self.socket.display();
        format!("\"{socket}\" does not take it: {error}")
    }
}

/// Returns the line of an entry. `Debug` of texts keeps control characters out.
fn line(place: &ChainHead, entry: &Entry) -> String {
    let now = Zoned::now().strftime("%b %e %H:%M:%S");
    let mut line = format!(
        "<{PRIORITY}>{now} depollueur[{}]: audit number={} digest={} time={} action={} by={}",
        std::process::id(),
        place.number,
        HEXLOWER.encode(&place.digest),
        entry.time,
        entry.action,
        entry.client.actor,
    );

    let mut add = |name: &str, value: &str| {
        let _ = write!(line, " {name}={value}");
    };

    if let Some(id) = entry.package {
        add("package", &id.to_string());
        add("queue_id", &format!("{:?}", entry.queue_id));
        add("sender", &format!("{:?}", entry.sender));
    }
    if let Some(login) = &entry.login {
        add("login", &format!("{login:?}"));
    }
    if let Some(address) = entry.client.address {
        add("address", &address.to_string());
    }
    if !entry.detail.is_empty() {
        add("detail", &format!("{:?}", entry.detail));
    }
    line
}

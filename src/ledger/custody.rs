//! Packages after their deposit: they are looked at, extended, ended, restored, reported and blocked.
//! The types are public; the books does the work.

mod admin;
mod hold;
mod suspension;

use std::ops::Range;

use jiff::{SignedDuration, Timestamp};

use super::{
    Books, Door, LedgerError, RecordId, Unlock,
    audit::{self, Action, CONTACT_CHARS_MAX, Entry, REPORT_CHARS_MAX, Requester},
    records::{Fingerprint, Record, Term},
    sweep::add,
    whole_second,
};
use crate::envelope::Origin;

/// The shortest extension that is offered.
const EXTENSION_MIN: SignedDuration = SignedDuration::from_hours(24);

/// Number of attempts at a change while somebody else changes the same package.
const ATTEMPTS: usize = 8;

type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// Length to which a reason is cut, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// The reason a package can no longer be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its time is over.
    Expired,
    /// An admin ended it, or blocked one of its files.
    Revoked,
}

/// The cause of a package's end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An admin revoked it.
    Revoked,
    /// An admin blocked one of its files.
    Blocked,
}

/// The outcome of a request to extend a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// It can be fetched until this time.
    Until(Timestamp),
    /// Nothing is gained: it cannot be extended any further, or not at all.
    Limit,
    /// It can no longer be fetched.
    Gone,
    /// There is no such package.
    Unknown,
}

/// A reader's report of a package, with what an admin's command needs. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The record's id, by which `depollueur drop show` and `revoke` find it.
    pub id: RecordId,
    /// Postfix's queue id of the message.
    pub queue_id: String,
    /// The envelope sender.
    pub sender: String,
    /// Time of the deposit.
    pub created: Timestamp,
    /// The reader's text, on one line, without control characters.
    pub text: String,
    /// The reader's contact details, likewise.
    pub contact: String,
}

/// The state of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageState {
    /// It can be fetched.
    Live,
    /// Its time is over; it can be restored.
    Expired,
    /// An admin revoked it; it can be restored.
    Revoked,
    /// One of its files is blocked.
    Blocked,
    /// Its files are destroyed.
    Destroyed,
    /// It is held by order, and nobody can fetch it, whatever else became of it.
    Held,
}

/// An order by which a package is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Time since which it applies.
    pub since: Timestamp,
    /// The authority that ordered it, and the number of the order.
    pub reason: String,
}

/// A package as an admin sees it: without its link, names and digests cannot be read.
#[derive(Clone, Debug)]
pub struct Deposit {
    /// The record's id.
    pub id: RecordId,
    /// Its state.
    pub state: PackageState,
    /// Time of the deposit.
    pub created: Timestamp,
    /// Time until which it can be fetched, or could be.
    pub expires: Timestamp,
    /// Time at which an admin ended it.
    pub ended: Option<Timestamp>,
    /// Time after which its ciphertext is destroyed; `None` while it is held.
    pub destroyed_after: Option<Timestamp>,
    /// Origin of the deposit.
    pub origin: Origin,
    /// Number of files.
    pub files: u32,
    /// Size of the files in bytes.
    pub bytes: u64,
    /// Complete downloads of its files.
    pub downloads: u64,
    /// The side that decrypts it for those who read it in a browser.
    pub unlock: Unlock,
    /// The order by which it is held, if any.
    pub held: Option<Hold>,
}

/// A file as an admin sees it without the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepositedFile {
    /// Its size in bytes.
    pub size: u64,
    /// Complete downloads.
    pub downloads: u64,
}

/// The conditions of a list of packages; all that are set must hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// The envelope sender, or all of a domain: `@example.org`. Case does not matter.
    pub sender: Option<String>,
    /// The login. Case does not matter.
    pub login: Option<String>,
    /// The name of the token it was deposited with. Case does not matter.
    pub uploader: Option<String>,
    /// Deposited at this time or later.
    pub since: Option<Timestamp>,
    /// Deposited before this time.
    pub until: Option<Timestamp>,
    /// Postfix's queue id.
    pub queue_id: Option<String>,
    /// In this state at the time given with it.
    pub state: Option<(PackageState, Timestamp)>,
    /// The first hexadecimal digits of its id.
    pub id_prefix: Option<String>,
    /// Holding the file with this fingerprint (HMAC-SHA256 of its SHA-256 under the drop's key).
    pub fingerprint: Option<[u8; 32]>,
    /// Holding the file with this SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// Listed behind the package with this time of deposit and id: the next page.
    pub after: Option<(Timestamp, RecordId)>,
    /// Maximum number of packages.
    pub limit: Option<usize>,
}

/// The conditions of a list of audit log entries.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Entries of this package.
    pub package: Option<RecordId>,
    /// Entries made at this time or later.
    pub since: Option<Timestamp>,
}

/// The outcome of an admin's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It was done; the package ends, or ended, at this time.
    Done(Timestamp),
    /// Nothing had to be done: it was so before.
    Already,
    /// It can be fetched until this time, which is as late as the one that was asked for, or later.
    Later(Timestamp),
    /// It is not live.
    Ended,
    /// Its files are destroyed.
    Destroyed,
    /// One of its files is blocked.
    Blocked,
    /// It is held by order.
    Held,
    /// There is no such package.
    Unknown,
}

/// A file that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// SHA-256 of its contents.
    pub sha256: [u8; 32],
    /// Time since which it applies.
    pub created: Timestamp,
    /// The reason.
    pub reason: String,
}

/// A suspended login: nothing it sends is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Its name; case does not matter.
    pub login: String,
    /// Time since which it applies.
    pub created: Timestamp,
    /// The reason.
    pub reason: String,
}

/// The outcome of lifting the suspension of a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The packages that came back.
    pub restored: Vec<RecordId>,
    /// Those whose time ran out meanwhile, with its end.
    pub expired: Vec<(RecordId, Timestamp)>,
    /// Those that stay ended, with the reason: destroyed, blocked, held.
    pub kept: Vec<(RecordId, RequestOutcome)>,
}

impl Cause {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Blocked => "blocked",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "revoked" => Some(Self::Revoked),
            "blocked" => Some(Self::Blocked),
            _ => None,
        }
    }
}

impl PackageState {
    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Blocked => "blocked",
            Self::Destroyed => "destroyed",
            Self::Held => "held",
        }
    }
}

impl Books {
    /// Returns the time until which a reader could extend a package, if that is allowed and gains something.
    pub(crate) fn extendable(&self, record: &Record, now: Timestamp) -> Option<Timestamp> {
        let term = &record.term;
        let extension = self.extension.as_ref()?;
        if record.manifest.is_none() || term.ended.is_some() || record.held.is_some() {
            return None;
        }

        let over = now >= term.expires;
        if over && !(self.extend_expired && now < add(term.expires, &self.grace)) {
            return None;
        }

        let last = add(record.created, &self.lifetime_max);
        let last = record.kept_until().map_or(last, |kept| kept.min(last));
        let until = whole_second(add(now, extension).min(last));
        let gained = until.duration_since(term.expires.max(now));
        (gained >= EXTENSION_MIN).then_some(until)
    }

    pub(crate) fn extend(
        &self,
        door: Door,
        now: Timestamp,
        client: Requester,
    ) -> Result<Extension> {
        // If somebody changes the term between reading and writing it, the next turn reads it again.
        for _ in 0..ATTEMPTS {
            let Some(record) = self.behind(door)? else {
                return Ok(Extension::Unknown);
            };

            let Some(until) = self.extendable(&record, now) else {
                let live = record.ending(now).is_none();
                return Ok(if live {
                    Extension::Limit
                } else {
                    Extension::Gone
                });
            };

            let is = Term {
                expires: until,
                ended: None,
            };
            let detail = format!("until={until}");
            let about = (door.id, &record.origin);
            if self.change(
                about,
                &record.term,
                &is,
                Action::Extend,
                (now, client),
                detail,
            )? {
                return Ok(Extension::Until(until));
            }
        }
        Err(LedgerError::Stopped)
    }

    pub(crate) fn report(
        &self,
        door: Door,
        now: Timestamp,
        client: Requester,
        (text, contact): (&str, &str),
    ) -> Result<Option<Report>> {
        let Some(record) = self.behind(door)? else {
            return Ok(None);
        };

        let id = door.id;
        let report = Report {
            id,
            queue_id: record.origin.queue_id.clone(),
            sender: record.origin.sender.clone(),
            created: record.created,
            text: audit::one_line(text, REPORT_CHARS_MAX),
            contact: audit::one_line(contact, CONTACT_CHARS_MAX),
        };

        let detail = format!("contact={:?} text={:?}", report.contact, report.text);
        let entry = self.entry(now, Action::Report, (id, &record.origin), client, detail);
        self.log(&entry)?;
        Ok(Some(report))
    }

    /// Finds the record of a package for somebody who came by its own door.
    fn behind(&self, door: Door) -> Result<Option<Record>> {
        let record = self.records.find(door.id)?;
        Ok(record.filter(|record| record.unlock == door.unlock))
    }

    pub(crate) fn count_download(
        &self,
        id: RecordId,
        files: Range<usize>,
        client: Requester,
    ) -> Result<()> {
        let Some(record) = self.records.find(id)? else {
            return Ok(());
        };
        let detail = match files.len() {
            1 => format!("file={}", files.end),
            _ => format!("files={}-{}", files.start + 1, files.end),
        };
        let now = Timestamp::now();
        let entry = self.entry(now, Action::Download, (id, &record.origin), client, detail);
        if self.records.count_download(id, files, &entry)? {
            self.tell(&entry);
        }
        Ok(())
    }

    /// Makes an entry of the log that holds no more than may be recorded.
    pub(crate) fn entry(
        &self,
        now: Timestamp,
        action: Action,
        package: (RecordId, &Origin),
        mut client: Requester,
        detail: String,
    ) -> Entry {
        client.address = client.address.filter(|_| self.addresses);
        Entry::new(now, action, package, client, detail)
    }

    /// Adds an entry to the audit log, and tells the other logs.
    pub(crate) fn log(&self, entry: &Entry) -> Result<()> {
        self.records.log(entry)?;
        self.tell(entry);
        Ok(())
    }

    /// Takes out of the origin of a package what must not be recorded.
    pub(crate) fn leave_out(&self, origin: &mut Origin) {
        origin.client = origin.client.filter(|_| self.addresses);
        origin.message_id = origin.message_id.take().filter(|_| self.message_ids);
    }

    /// Returns the fingerprint of a file with this SHA-256.
    pub(crate) fn fingerprint(&self, sha256: &[u8; 32]) -> Fingerprint {
        self.key.file(sha256)
    }

    /// Writes an entry of the audit log to the log of the process as well, and sends what the copy lacks.
    pub(crate) fn tell(&self, entry: &Entry) {
        entry.log();
        self.follow_log();
    }

    /// Sends the entries that the copy of the log lacks.
    pub(crate) fn follow_log(&self) {
        if let Some(copy) = &self.log_copy {
            copy.follow(&*self.records);
        }
    }

    /// Changes a term and tells the logs. Returns false if somebody was faster.
    fn change(
        &self,
        package: (RecordId, &Origin),
        was: &Term,
        is: &Term,
        action: Action,
        (now, client): (Timestamp, Requester),
        detail: String,
    ) -> Result<bool> {
        let entry = self.entry(now, action, package, client, detail);
        let changed = self.records.change_term(package.0, was, is, &entry)?;
        if changed {
            self.tell(&entry);
        }
        Ok(changed)
    }
}

impl Record {
    /// Returns the reason the package cannot be fetched; `None` while it can.
    pub(crate) fn ending(&self, now: Timestamp) -> Option<Ending> {
        match self.term.ended {
            _ if self.held.is_some() => Some(Ending::Revoked),
            Some(_) => Some(Ending::Revoked),
            None if self.manifest.is_none() || now >= self.term.expires => Some(Ending::Expired),
            None => None,
        }
    }

    pub(crate) fn state(&self, now: Timestamp) -> PackageState {
        match (&self.manifest, self.term.ended) {
            (None, _) => PackageState::Destroyed,
            _ if self.held.is_some() => PackageState::Held,
            (_, Some((_, Cause::Revoked))) => PackageState::Revoked,
            (_, Some((_, Cause::Blocked))) => PackageState::Blocked,
            _ if now >= self.term.expires => PackageState::Expired,
            _ => PackageState::Live,
        }
    }
}

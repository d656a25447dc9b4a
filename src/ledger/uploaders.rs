//! Uploaders, who deposit over HTTP: their bearer tokens, what each may do, and how much it did.
//!
//! Of a token only the SHA-256 is kept. It has 256 random bits, so a hash without salt or stretching
//! gives nothing to guess, and it is found by an index: what a look-up's time could tell is about the
//! hash, which nobody can steer.

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::{
    Books, Ledger, LedgerError, RecordId,
    audit::{Action, Requester},
};

/// Prefix of every token, so that people and scanners know it when they see it.
const PREFIX: &str = "dpl_";
const SECRET_BYTES: usize = 32;
/// Shortest time between two notes of a token's last use: they are for people who tidy up.
const LAST_USED_STEP: SignedDuration = SignedDuration::from_mins(1);
/// Time for which an uploader may take a package back.
const TAKE_BACK: SignedDuration = SignedDuration::from_hours(1);
/// Time for which the uploader of a package is remembered: it is of no use once the package can no longer
/// be taken back.
const KEEP_UPLOADED: SignedDuration = SignedDuration::from_hours(24);

/// A bearer token. Its `Debug` shows nothing.
pub struct Secret(Zeroizing<String>);

/// A right that a bearer token gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To deposit packages, and to take back what it deposited a moment ago.
    Deposit,
    /// To ask whether the drop takes packages.
    Status,
}

/// The error for a text that is not a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"deposit\" or \"status\"")]
pub struct RightError;

/// A holder of a bearer token, who may use the drop over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploader {
    /// The key of its row in the database.
    pub(crate) id: i64,
    /// The name that the admin gave it.
    pub name: String,
    /// The rights of its token.
    pub rights: Vec<Right>,
    /// Number of bytes that it may deposit on one day (UTC); `None` if there is no limit.
    pub quota: Option<u64>,
    /// Time since which there is a token for it.
    pub created: Timestamp,
    /// Time from which its token is refused.
    pub expires: Option<Timestamp>,
    /// Time of its last request, to the minute.
    pub last_used: Option<Timestamp>,
    /// Number of bytes that it deposited today (UTC).
    pub bytes_today: u64,
}

impl Secret {
    /// Makes a fresh token with the operating system's generator.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(&mut *bytes).expect("the system gives random bytes");
        Self(Zeroizing::new(format!(
            "{PREFIX}{}",
            BASE64URL_NOPAD.encode(&*bytes)
        )))
    }

    /// Returns the token as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Right {
    const ALL: [(Self, &str); 2] = [(Self::Deposit, "deposit"), (Self::Status, "status")];
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(right, _)| right == self);
        f.pad(word.map_or("", |(_, word)| word))
    }
}

impl FromStr for Right {
    type Err = RightError;

    fn from_str(text: &str) -> Result<Self, RightError> {
        let right = Self::ALL.iter().find(|(_, word)| *word == text);
        right.map(|(right, _)| *right).ok_or(RightError)
    }
}

impl Uploader {
    /// Returns true if it has this right.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// Returns the number of bytes that it may still deposit today.
    pub fn left_today(&self) -> u64 {
        self.quota
            .map_or(u64::MAX, |quota| quota.saturating_sub(self.bytes_today))
    }
}

/// The part of the database that knows the uploaders.
pub(crate) trait Uploads {
    /// Adds an uploader with the hash of its token. Returns false if there is one of this name.
    fn add_uploader(&self, uploader: &Uploader, secret: &[u8; 32]) -> Result<bool>;

    /// Lists all of them by name, with the bytes that they deposited on a day.
    fn uploaders(&self, day: i64) -> Result<Vec<Uploader>>;

    /// Removes one. Returns false if there is none of this name.
    fn remove_uploader(&self, name: &str) -> Result<bool>;

    /// Finds the uploader whose token has this hash, with the bytes that it deposited on a day.
    fn find_uploader(&self, secret: &[u8; 32], day: i64) -> Result<Option<Uploader>>;

    /// Notes the time of an uploader's last request.
    fn note_use(&self, uploader: i64, now: Timestamp) -> Result<()>;

    /// Notes the uploader of a package that has none yet; forgets the uploaders of packages begun before
    /// `before`.
    fn claim(&self, id: RecordId, name: &str, now: Timestamp, before: Timestamp) -> Result<()>;

    /// Returns true if the package is this uploader's.
    fn is_claimed(&self, id: RecordId, name: &str) -> Result<bool>;

    /// Counts a package for an uploader if its quota of the day has room. Returns false if it has none.
    fn book(&self, uploader: i64, day: i64, bytes: u64) -> Result<bool>;

    /// Takes a package off the count again.
    fn unbook(&self, uploader: i64, day: i64, bytes: u64) -> Result<()>;
}

type Result<T, E = LedgerError> = std::result::Result<T, E>;

impl Ledger {
    /// Adds an uploader. Returns false if there is one of this name.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn add_uploader(
        &self,
        name: &str,
        secret: &Secret,
        rights: Vec<Right>,
        quota: Option<u64>,
        expires: Option<Timestamp>,
    ) -> Result<bool> {
        let hash = hash(secret.as_str());
        let uploader = Uploader {
            id: 0,
            name: name.to_owned(),
            rights,
            quota,
            created: Timestamp::now(),
            expires,
            last_used: None,
            bytes_today: 0,
        };
        self.run(move |books| books.records.add_uploader(&uploader, &hash))
            .await
    }

    /// Lists all uploaders by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn uploaders(&self) -> Result<Vec<Uploader>> {
        self.run(|books| books.records.uploaders(today())).await
    }

    /// Removes an uploader, whose token is refused from now on. Returns false if there is none of this name.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remove_uploader(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.run(move |books| books.records.remove_uploader(&name))
            .await
    }

    /// Finds the uploader of a token that is valid at the time `now`, and notes that it was used.
    pub(crate) async fn find_uploader(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<Uploader>> {
        let hash = hash(secret);
        self.run(move |books| {
            let found = books.records.find_uploader(&hash, today())?;
            let found = found.filter(|found| found.expires.is_none_or(|expires| now < expires));
            let is_recent = |last: Timestamp| now.duration_since(last).abs() < LAST_USED_STEP;
            if let Some(found) = &found
                && !found.last_used.is_some_and(is_recent)
            {
                books.records.note_use(found.id, now)?;
            }
            Ok(found)
        })
        .await
    }

    /// Notes that this uploader begins a package. Returns false if the package is another's.
    pub(crate) async fn claim_upload(&self, uploader: &Uploader, id: RecordId) -> Result<bool> {
        let (name, now) = (uploader.name.clone(), Timestamp::now());
        self.run(move |books| {
            let records = &books.records;
            records.claim(id, &name, now, now - KEEP_UPLOADED)?;
            records.is_claimed(id, &name)
        })
        .await
    }

    /// Returns true if this uploader began this package.
    pub(crate) async fn is_upload_of(
        &self,
        uploader: &Uploader,
        package: impl Into<RecordId>,
    ) -> Result<bool> {
        let (id, name) = (package.into(), uploader.name.clone());
        self.run(move |books| books.records.is_claimed(id, &name))
            .await
    }

    /// Counts a package for an uploader if its quota of today has room. Returns false if it has none.
    pub(crate) async fn book_upload(&self, uploader: &Uploader, bytes: u64) -> Result<bool> {
        let id = uploader.id;
        self.run(move |books| books.records.book(id, today(), bytes))
            .await
    }

    /// Takes a package that could not be committed off the count again.
    pub(crate) async fn unbook_upload(&self, uploader: &Uploader, bytes: u64) -> Result<()> {
        let id = uploader.id;
        self.run(move |books| books.records.unbook(id, today(), bytes))
            .await
    }

    /// Forgets a package that was deposited a moment ago, as if it had never been. Returns false if there is
    /// none, or if it is too old for that: somebody may have its link.
    pub(crate) async fn take_back(
        &self,
        package: impl Into<RecordId>,
        now: Timestamp,
    ) -> Result<bool> {
        let id = package.into();
        self.run(move |books| books.take_back(id, now)).await
    }
}

impl Books {
    fn take_back(&self, id: RecordId, now: Timestamp) -> Result<bool> {
        let Some(record) = self.records.find(id)? else {
            return Ok(false);
        };
        if now.duration_since(record.created) > TAKE_BACK {
            return Ok(false);
        }

        // Without its record nobody could remove them.
        if record.is_elsewhere() && record.held.is_none() {
            self.remove_elsewhere(id, now)?;
        }

        let files = self.records.files(id)?;
        let (about, detail) = (
            (id, &record.origin),
            "taken back by its uploader".to_owned(),
        );
        let entry = self.entry(now, Action::Withdraw, about, Requester::MAIL, detail);

        match self.records.withdraw(id, &entry) {
            Ok(true) => self.tell(&entry),
            Ok(false) | Err(LedgerError::Held) => return Ok(false),
            Err(error) => return Err(error),
        }

        // A blob that cannot be removed is an orphan, and is swept.
        for file in files {
            self.place.remove(id, file.number)?;
        }
        Ok(true)
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let hash = digest(&SHA256, secret.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Returns the number of the current day: quotas begin anew at midnight UTC.
fn today() -> i64 {
    Timestamp::now().as_second().div_euclid(86_400)
}

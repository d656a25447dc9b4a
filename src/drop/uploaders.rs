//! Who may deposit over HTTP: bearer tokens, what each may do, and how much it did.
//!
//! Of a token only the SHA-256 is kept. It has 256 random bits, so a hash without salt or stretching
//! gives nothing to guess, and it is found by an index: what a look-up's time could tell is about the
//! hash, which nobody can steer.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::{
    Drop, DropError, Origin, PackageDraft, RecordId, Store, Token,
    audit::{Action, Client},
    blocking,
};

/// What every token begins with, so that people and scanners know it when they see it.
const PREFIX: &str = "dpl_";
const SECRET_BYTES: usize = 32;
/// The last use is written down at most so often: it is for people who tidy up.
const LAST_USED_STEP: SignedDuration = SignedDuration::from_mins(1);
/// For so long the one who deposited a package may take it back.
const TAKE_BACK: SignedDuration = SignedDuration::from_hours(1);
/// Whose a package was is of no use when it can no longer be taken back.
const KEEP_UPLOADED: SignedDuration = SignedDuration::from_hours(24);

/// A bearer token. Its `Debug` shows nothing.
pub struct Secret(Zeroizing<String>);

/// What a bearer token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To deposit packages, and to take back what it deposited a moment ago.
    Deposit,
    /// To ask whether the drop takes packages.
    Status,
}

/// Not a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be \"deposit\" or \"status\"")]
pub struct RightError;

/// One who may deposit over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploader {
    /// The key of its row.
    pub(super) id: i64,
    /// What the admin calls it.
    pub name: String,
    /// What it may do.
    pub rights: Vec<Right>,
    /// How many bytes it may deposit on one day (UTC).
    pub quota: Option<u64>,
    /// Since when there is a token for it.
    pub created: Timestamp,
    /// From when on its token is refused.
    pub expires: Option<Timestamp>,
    /// When it was last here, to the minute.
    pub last_used: Option<Timestamp>,
    /// How many bytes it deposited today (UTC).
    pub bytes_today: u64,
}

impl Secret {
    /// A fresh token from the operating system's generator.
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(&mut *bytes).expect("the system gives random bytes");
        Self(Zeroizing::new(format!(
            "{PREFIX}{}",
            BASE64URL_NOPAD.encode(&*bytes)
        )))
    }

    /// The token as it is sent.
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
    /// True when it may do this.
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }

    /// How many bytes more it may deposit today.
    pub fn left_today(&self) -> u64 {
        self.quota
            .map_or(u64::MAX, |quota| quota.saturating_sub(self.bytes_today))
    }
}

/// What the database knows of uploaders.
pub(super) trait Uploads {
    /// Adds an uploader with the hash of its token. False when there is one of this name.
    fn add_uploader(&self, uploader: &Uploader, secret: &[u8; 32]) -> Result<bool>;

    /// All of them by name, with what they deposited on a day.
    fn uploaders(&self, day: i64) -> Result<Vec<Uploader>>;

    /// Removes one. False when there is none of this name.
    fn remove_uploader(&self, name: &str) -> Result<bool>;

    /// Whose token has this hash.
    fn find_uploader(&self, secret: &[u8; 32], day: i64) -> Result<Option<Uploader>>;

    /// Notes when an uploader was here.
    fn note_use(&self, uploader: i64, now: Timestamp) -> Result<()>;

    /// Notes whose a package is, unless it is somebody's; forgets those that were begun before.
    fn claim(&self, id: RecordId, name: &str, now: Timestamp, before: Timestamp) -> Result<()>;

    /// True when the package is this uploader's.
    fn is_claimed(&self, id: RecordId, name: &str) -> Result<bool>;

    /// Counts a package for an uploader if its quota of the day has room. False when it has none.
    fn book(&self, uploader: i64, day: i64, bytes: u64) -> Result<bool>;

    /// Takes a package off the count again.
    fn unbook(&self, uploader: i64, day: i64, bytes: u64) -> Result<()>;
}

type Result<T, E = DropError> = std::result::Result<T, E>;

impl Drop {
    /// Lets one more deposit. False when there is one of this name.
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
        self.with(move |store| store.records.add_uploader(&uploader, &hash))
            .await
    }

    /// All who may deposit, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn uploaders(&self) -> Result<Vec<Uploader>> {
        self.with(|store| store.records.uploaders(today())).await
    }

    /// Refuses a token from now on. False when there is none of this name.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remove_uploader(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.with(move |store| store.records.remove_uploader(&name))
            .await
    }

    /// Finds whose token this is, if it holds at the time `now`, and notes that it was used.
    pub(crate) async fn find_uploader(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<Uploader>> {
        let hash = hash(secret);
        self.with(move |store| {
            let found = store.records.find_uploader(&hash, today())?;
            let found = found.filter(|found| found.expires.is_none_or(|expires| now < expires));
            let is_recent = |last: Timestamp| now.duration_since(last).abs() < LAST_USED_STEP;
            if let Some(found) = &found
                && !found.last_used.is_some_and(is_recent)
            {
                store.records.note_use(found.id, now)?;
            }
            Ok(found)
        })
        .await
    }

    /// Begins a package under a token that the uploader chose. `None` when the package is another's.
    pub(crate) async fn begin_upload(
        &self,
        uploader: &Uploader,
        token: &Token,
        mut origin: Origin,
    ) -> Result<Option<PackageDraft>> {
        let (id, name) = (RecordId::from(token), uploader.name.clone());
        origin.uploader = Some(name.clone());
        let now = Timestamp::now();
        let is_ours = self
            .with(move |store| {
                let records = &store.records;
                records.claim(id, &name, now, now - KEEP_UPLOADED)?;
                records.is_claimed(id, &name)
            })
            .await?;
        Ok(is_ours.then(|| PackageDraft::under(self, token.clone(), origin)))
    }

    /// True when this uploader began this package.
    pub(crate) async fn is_upload_of(&self, uploader: &Uploader, token: &Token) -> Result<bool> {
        let (id, name) = (RecordId::from(token), uploader.name.clone());
        self.with(move |store| store.records.is_claimed(id, &name))
            .await
    }

    /// Counts a package for an uploader, if its quota of today has room for it.
    pub(crate) async fn book_upload(&self, uploader: &Uploader, bytes: u64) -> Result<bool> {
        let id = uploader.id;
        self.with(move |store| store.records.book(id, today(), bytes))
            .await
    }

    /// Takes a package off the count again: it could not be committed.
    pub(crate) async fn unbook_upload(&self, uploader: &Uploader, bytes: u64) -> Result<()> {
        let id = uploader.id;
        self.with(move |store| store.records.unbook(id, today(), bytes))
            .await
    }

    /// Forgets a package that was deposited a moment ago, as if it had never been. False when there
    /// is none, or when it is too old for that: somebody may have its link.
    pub(crate) async fn take_back(&self, token: &Token, now: Timestamp) -> Result<bool> {
        let id = RecordId::from(token);
        self.with(move |store| store.take_back(id, now)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = Arc::clone(&self.store);
        blocking(move || work(&store)).await
    }
}

impl Store {
    fn take_back(&self, id: RecordId, now: Timestamp) -> Result<bool> {
        let Some(record) = self.records.find(id)? else {
            return Ok(false);
        };
        if now.duration_since(record.created) > TAKE_BACK {
            return Ok(false);
        }
        let files = self.records.files(id)?;
        let (about, detail) = (
            (id, &record.origin),
            "taken back by its uploader".to_owned(),
        );
        let entry = self.entry(now, Action::Withdraw, about, Client::MAIL, detail);
        match self.records.withdraw(id, &entry) {
            Ok(true) => self.tell(&entry),
            Ok(false) | Err(DropError::Held) => return Ok(false),
            Err(error) => return Err(error),
        }
        // What cannot be removed is an orphan, and swept.
        for file in files {
            self.blobs.remove(id, file.number)?;
        }
        Ok(true)
    }
}

impl Token {
    /// What the package of this token is known by where the token must not stand: 32 hexadecimal
    /// digits.
    pub fn package_id(&self) -> String {
        RecordId::from(self).to_string()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let hash = digest(&SHA256, secret.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The day as a number: quotas begin anew at midnight UTC.
fn today() -> i64 {
    Timestamp::now().as_second().div_euclid(86_400)
}

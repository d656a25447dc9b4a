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
use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::{
    Drop, DropError, Origin, PackageDraft, Store, Token, blocking,
    records::Records,
    vault::{RecordId, Vault},
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
    id: i64,
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
    ) -> Result<bool, DropError> {
        let hash = hash(secret.as_str());
        let words: Vec<_> = rights.iter().map(Right::to_string).collect();
        let (name, rights) = (name.to_owned(), words.join(" "));
        self.with(move |store| {
            store.records.change(
                "INSERT INTO uploader (name, secret, rights, quota, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO NOTHING",
                params![
                    name,
                    hash,
                    rights,
                    quota.map(to_column),
                    Timestamp::now().as_second(),
                    expires.map(Timestamp::as_second),
                ],
            )
        })
        .await
        .map(|rows| rows > 0)
    }

    /// All who may deposit, by name.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn uploaders(&self) -> Result<Vec<Uploader>, DropError> {
        self.with(|store| {
            store.records.read(|connection| {
                let sql = format!("{SELECT} ORDER BY name");
                let mut query = connection.prepare_cached(&sql)?;
                query.query_map([today()], uploader)?.collect()
            })
        })
        .await
    }

    /// Refuses a token from now on. False when there is none of this name.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn remove_uploader(&self, name: &str) -> Result<bool, DropError> {
        let name = name.to_owned();
        self.with(move |store| {
            store
                .records
                .change("DELETE FROM uploader WHERE name = ?1", [name])
        })
        .await
        .map(|rows| rows > 0)
    }

    /// Finds whose token this is, if it holds at the time `now`, and notes that it was used.
    pub(crate) async fn find_uploader(
        &self,
        secret: &str,
        now: Timestamp,
    ) -> Result<Option<Uploader>, DropError> {
        let hash = hash(secret);
        self.with(move |store| {
            let found = store.records.read(|connection| {
                let sql = format!("{SELECT} WHERE secret = ?2");
                let mut query = connection.prepare_cached(&sql)?;
                query.query_row(params![today(), hash], uploader).optional()
            })?;
            let found = found.filter(|found| found.expires.is_none_or(|expires| now < expires));
            if let Some(found) = &found {
                note_use(&store.records, found, now)?;
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
        origin: Origin,
    ) -> Result<Option<PackageDraft>, DropError> {
        let (id, name) = (Vault::new(token).id(), uploader.name.clone());
        let now = Timestamp::now();
        let is_ours = self
            .with(move |store| {
                let forgotten = (now - KEEP_UPLOADED).as_second();
                store.records.change(
                    "DELETE FROM uploaded WHERE begun < ?1 AND package <> ?2",
                    params![forgotten, id.0],
                )?;
                store.records.change(
                    "INSERT INTO uploaded (package, uploader, begun) VALUES (?1, ?2, ?3)
                     ON CONFLICT (package) DO NOTHING",
                    params![id.0, name, now.as_second()],
                )?;
                is_theirs(&store.records, id, &name)
            })
            .await?;
        Ok(is_ours.then(|| PackageDraft::under(self, token.clone(), origin)))
    }

    /// True when this uploader began this package.
    pub(crate) async fn is_upload_of(
        &self,
        uploader: &Uploader,
        token: &Token,
    ) -> Result<bool, DropError> {
        let (id, name) = (Vault::new(token).id(), uploader.name.clone());
        self.with(move |store| is_theirs(&store.records, id, &name))
            .await
    }

    /// Counts a package for an uploader, if its quota of today has room for it.
    pub(crate) async fn book_upload(
        &self,
        uploader: &Uploader,
        bytes: u64,
    ) -> Result<bool, DropError> {
        let id = uploader.id;
        self.with(move |store| {
            // A token that was removed meanwhile has no row, and no room.
            store.records.change(
                "INSERT INTO uploader_day (uploader, day, packages, bytes)
                 SELECT id, ?2, 1, ?3 FROM uploader WHERE id = ?1
                 AND (quota IS NULL OR ?3 + coalesce((SELECT bytes FROM uploader_day
                                       WHERE uploader = ?1 AND day = ?2), 0) <= quota)
                 ON CONFLICT (uploader, day)
                 DO UPDATE SET packages = packages + 1, bytes = bytes + excluded.bytes",
                params![id, today(), to_column(bytes)],
            )
        })
        .await
        .map(|rows| rows > 0)
    }

    /// Takes a package off the count again: it could not be committed.
    pub(crate) async fn unbook_upload(
        &self,
        uploader: &Uploader,
        bytes: u64,
    ) -> Result<(), DropError> {
        let id = uploader.id;
        self.with(move |store| {
            store.records.change(
                "UPDATE uploader_day SET packages = packages - 1, bytes = max(bytes - ?3, 0)
                 WHERE uploader = ?1 AND day = ?2 AND packages > 0",
                params![id, today(), to_column(bytes)],
            )
        })
        .await
        .map(drop)
    }

    /// Forgets a package that was deposited a moment ago, as if it had never been. False when there
    /// is none, or when it is too old for that: somebody may have its link.
    pub(crate) async fn take_back(&self, token: &Token, now: Timestamp) -> Result<bool, DropError> {
        let id = Vault::new(token).id();
        self.with(move |store| {
            let Some(record) = store.records.find(id)? else {
                return Ok(false);
            };
            if now.duration_since(record.created) > TAKE_BACK {
                return Ok(false);
            }
            store
                .records
                .destroy(id, record.expires, |number| store.blobs.remove(id, number))?;
            store.records.remove(id)?;
            Ok(true)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, DropError> + Send + 'static,
    ) -> Result<T, DropError> {
        let store = Arc::clone(&self.store);
        blocking(move || work(&store)).await
    }
}

impl Token {
    /// What the package of this token is known by where the token must not stand: 32 hexadecimal
    /// digits.
    pub fn package_id(&self) -> String {
        Vault::new(self).id().to_string()
    }
}

/// An uploader with what it deposited on the day `?1`.
const SELECT: &str = "SELECT id, name, rights, quota, created, expires, last_used,
           (SELECT bytes FROM uploader_day WHERE uploader = uploader.id AND day = ?1)
    FROM uploader";

fn uploader(row: &Row<'_>) -> rusqlite::Result<Uploader> {
    let rights: String = row.get(2)?;
    let time = |column| -> rusqlite::Result<Option<Timestamp>> {
        let seconds: Option<i64> = row.get(column)?;
        Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
    };
    Ok(Uploader {
        id: row.get(0)?,
        name: row.get(1)?,
        rights: rights
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect(),
        quota: row.get::<_, Option<i64>>(3)?.map(from_column),
        created: time(4)?.unwrap_or(Timestamp::MIN),
        expires: time(5)?,
        last_used: time(6)?,
        bytes_today: row.get::<_, Option<i64>>(7)?.map_or(0, from_column),
    })
}

fn note_use(records: &Records, uploader: &Uploader, now: Timestamp) -> Result<(), DropError> {
    let is_recent = |last: Timestamp| now.duration_since(last).abs() < LAST_USED_STEP;
    if uploader.last_used.is_some_and(is_recent) {
        return Ok(());
    }
    let values = params![now.as_second(), uploader.id];
    records
        .change("UPDATE uploader SET last_used = ?1 WHERE id = ?2", values)
        .map(drop)
}

fn is_theirs(records: &Records, id: RecordId, name: &str) -> Result<bool, DropError> {
    records.read(|connection: &Connection| {
        connection
            .prepare_cached("SELECT 1 FROM uploaded WHERE package = ?1 AND uploader = ?2")?
            .exists(params![id.0, name])
    })
}

fn hash(secret: &str) -> [u8; 32] {
    let hash = digest(&SHA256, secret.as_bytes());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The day as a number: quotas begin anew at midnight UTC.
fn today() -> i64 {
    Timestamp::now().as_second().div_euclid(86_400)
}

fn to_column(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn from_column(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

//! The ring in SQLite.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Span, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, Transaction, params};

use super::{Decision, PartRecord, Who};
use crate::{drop::RecordId, envelope::Direction};

/// Time to wait for a reader, or for another daemon that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Marks a database that has [`SCHEMA`].
const VERSION: i64 = 1;

const SCHEMA: &str = "
    DROP TABLE IF EXISTS decision;
    CREATE TABLE decision (
        number     INTEGER NOT NULL PRIMARY KEY,
        time       INTEGER NOT NULL,    -- milliseconds since 1970-01-01 UTC
        queue_id   TEXT    NOT NULL,
        message_id TEXT,
        direction  TEXT    NOT NULL,
        sender     TEXT    NOT NULL,
        login      TEXT,
        client     TEXT,
        recipients TEXT    NOT NULL,    -- the first of them, as JSON
        recipient_count INTEGER NOT NULL,
        bytes      INTEGER,
        outcome    TEXT    NOT NULL,
        reason     TEXT    NOT NULL,
        rule       TEXT,
        package    BLOB,
        parts      TEXT    NOT NULL     -- JSON
    ) STRICT;
    CREATE INDEX decision_by_queue_id ON decision (queue_id);
    CREATE INDEX decision_by_message_id ON decision (message_id) WHERE message_id IS NOT NULL;
    CREATE INDEX decision_by_package ON decision (package) WHERE package IS NOT NULL;
    CREATE INDEX decision_by_time ON decision (time);
";

/// Maximum number of decisions in an answer, the last ones.
const ANSWER_MAX: i64 = 100;

/// The ring's database, opened when there is something to write.
#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    connection: Option<Connection>,
}

/// A question to the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecisionQuery {
    /// The message with this queue id.
    QueueId(String),
    /// The message with this `Message-ID`, in its angle brackets.
    MessageId(String),
    /// The message whose files this package holds.
    Package(RecordId),
    /// Messages of this sender that were passed before they had a queue id, between these times.
    Unnamed(String, Timestamp, Timestamp),
}

/// The ring cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The file system failed.
    #[error("could not make \"{}\": {source}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("could not use database \"{}\": {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// The error.
        source: rusqlite::Error,
    },
}

impl Ring {
    /// Makes the ring of this file. Nothing is opened.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            connection: None,
        }
    }

    /// Returns true if there is one.
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Adds decisions, and forgets those that are older or more than the bounds allow. A damaged
    /// database, as a power cut may leave it, is begun anew.
    ///
    /// # Errors
    /// The ring could not be written; the decisions are not kept.
    pub fn write(
        &mut self,
        decisions: &[Decision],
        bounds: (Span, usize),
        now: Timestamp,
    ) -> Result<(), RingError> {
        let written = self.try_write(decisions, bounds, now);
        match written {
            Err(RingError::Database { source, .. }) if is_damaged(&source) => {
                self.connection = None;
                for suffix in ["", "-wal", "-shm"] {
                    let mut path = self.path.clone().into_os_string();
                    path.push(suffix);
                    let _ = fs::remove_file(path);
                }
                self.try_write(decisions, bounds, now)
            }
            written => written,
        }
    }

    fn try_write(
        &mut self,
        decisions: &[Decision],
        (keep, count_max): (Span, usize),
        now: Timestamp,
    ) -> Result<(), RingError> {
        let path = self.path.clone();
        let failed = |source| RingError::Database {
            path: path.clone(),
            source,
        };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open(&path)?),
        };
        let transaction = connection.transaction().map_err(failed)?;
        insert(&transaction, decisions).map_err(failed)?;
        forget(&transaction, before(now, &keep), count_max).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Returns the decisions that a question is about, oldest first; none when there is no ring.
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn find(&self, question: &DecisionQuery) -> Result<Vec<Decision>, RingError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let found = find(&self.path, question);
        found.map_err(|source| RingError::Database {
            path: self.path.clone(),
            source,
        })
    }
}

fn before(now: Timestamp, keep: &Span) -> Timestamp {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    let before = now.checked_sub(*keep);
    before.map_or(Timestamp::MIN, |before| before.timestamp())
}

/// Opens the database for writing, for nobody else to read. Nothing waits for the disk.
fn open(path: &Path) -> Result<Connection, RingError> {
    if let Some(directory) = path.parent() {
        let made = DirBuilder::new().mode(0o700).create(directory);
        if let Err(source) = made
            && source.kind() != io::ErrorKind::AlreadyExists
        {
            let path = directory.to_owned();
            return Err(RingError::Io { path, source });
        }
    }

    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(RingError::Io {
                path: path.to_owned(),
                source,
            });
        }
        _ => {}
    }

    let connect = || {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "off")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} COMMIT;"))?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(connection)
    };

    connect().map_err(|source| RingError::Database {
        path: path.to_owned(),
        source,
    })
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Adds decisions.
fn insert(transaction: &Transaction<'_>, decisions: &[Decision]) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO decision (time, queue_id, message_id, direction, sender, login, client, recipients,
                               recipient_count, bytes, outcome, reason, rule, package, parts)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
    )?;

    for decision in decisions {
        let who = &decision.who;
        insert.execute(params![
            decision.time.as_millisecond(),
            who.queue_id,
            who.message_id,
            who.direction.as_str(),
            who.sender,
            who.login,
            who.client,
            json(&who.recipients)?,
            i64::try_from(who.recipient_count).unwrap_or(i64::MAX),
            who.bytes
                .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            decision.outcome,
            decision.reason,
            decision.rule,
            decision.package.map(|id| id.bytes().to_vec()),
            json(&decision.parts)?,
        ])?;
    }

    Ok(())
}

/// Forgets decisions older than `before`, and all but the last `count_max`. Numbers rise by one
/// each, so that the last ones are told by their numbers.
fn forget(
    transaction: &Transaction<'_>,
    before: Timestamp,
    count_max: usize,
) -> rusqlite::Result<()> {
    transaction.execute(
        "DELETE FROM decision WHERE time < ?1",
        [before.as_millisecond()],
    )?;
    transaction.execute(
        "DELETE FROM decision WHERE number <= (SELECT max(number) FROM decision) - ?1",
        [i64::try_from(count_max).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

/// Answers a question. The database is opened for reading alone.
fn find(path: &Path, question: &DecisionQuery) -> rusqlite::Result<Vec<Decision>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;

    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != VERSION {
        return Ok(Vec::new());
    }

    let (column, value) = match question {
        DecisionQuery::QueueId(id) => ("queue_id", rusqlite::types::Value::from(id.clone())),
        DecisionQuery::MessageId(id) => ("message_id", id.clone().into()),
        DecisionQuery::Package(id) => ("package", id.bytes().to_vec().into()),
        DecisionQuery::Unnamed(sender, ..) => ("queue_id = '' AND sender", sender.clone().into()),
    };

    let sql = format!(
        "SELECT time, queue_id, message_id, direction, sender, login, client, recipients, recipient_count,
                bytes, outcome, reason, rule, package, parts
         FROM decision WHERE {column} = ?1 ORDER BY number DESC LIMIT {ANSWER_MAX}"
    );

    let mut query = connection.prepare(&sql)?;
    let mut found = query
        .query_map([value], decision)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    found.reverse();

    if let DecisionQuery::Unnamed(_, from, until) = question {
        found.retain(|decision| (*from..=*until).contains(&decision.time));
    }
    Ok(found)
}

/// Reads a row.
fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    let time: i64 = row.get(0)?;
    let direction: String = row.get(3)?;
    let recipients: String = row.get(7)?;
    let count: i64 = row.get(8)?;
    let bytes: Option<i64> = row.get(9)?;
    let package: Option<[u8; 16]> = row.get(13)?;
    let parts: String = row.get(14)?;

    Ok(Decision {
        time: Timestamp::from_millisecond(time).unwrap_or(Timestamp::MIN),
        who: Who {
            queue_id: row.get(1)?,
            message_id: row.get(2)?,
            direction: Direction::of_word(&direction).unwrap_or_default(),
            sender: row.get(4)?,
            login: row.get(5)?,
            client: row.get(6)?,
            recipients: serde_json::from_str(&recipients).unwrap_or_default(),
            recipient_count: usize::try_from(count).unwrap_or(0),
            bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        },
        outcome: row.get(10)?,
        reason: row.get(11)?,
        rule: row.get(12)?,
        package: package.map(RecordId::from_bytes),
        parts: serde_json::from_str::<Vec<PartRecord>>(&parts).unwrap_or_default(),
    })
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::decision, *};

    fn ring() -> (tempfile::TempDir, Ring) {
        let home = tempfile::tempdir().unwrap();
        let ring = Ring::new(home.path().join("decisions").join("drop.sqlite3"));
        (home, ring)
    }

    fn ids(ring: &Ring, question: &DecisionQuery) -> Vec<String> {
        let found = ring.find(question).unwrap();
        found
            .into_iter()
            .map(|decision| decision.who.queue_id)
            .collect()
    }

    #[test]
    fn the_ring_is_bounded_in_number_and_in_time() {
        let (_home, mut ring) = ring();
        let decisions: Vec<_> = (0..5).map(|n| decision(&format!("4ab{n}"))).collect();
        let now = decisions[0].time;
        let week = Span::new().days(7);
        ring.write(&decisions, (week, 3), now).unwrap();
        let kept =
            |ring: &Ring, id: &str| !ids(ring, &DecisionQuery::QueueId(id.into())).is_empty();
        assert!(!kept(&ring, "4ab1") && kept(&ring, "4ab2") && kept(&ring, "4ab4"));
        let later = now + jiff::SignedDuration::from_hours(24 * 8);
        ring.write(&[], (week, 3), later).unwrap();
        assert!(!kept(&ring, "4ab4"));
    }

    #[test]
    fn a_decision_is_found_by_each_of_its_names() {
        let (_home, mut ring) = ring();
        let id: RecordId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        let made = Decision {
            package: Some(id),
            ..decision("4abc")
        };
        let now = made.time;
        ring.write(
            &[made.clone(), decision("other")],
            (Span::new().days(1), 10),
            now,
        )
        .unwrap();
        for question in [
            DecisionQuery::QueueId("4abc".into()),
            DecisionQuery::MessageId("<4abc@example.org>".into()),
            DecisionQuery::Package(id),
        ] {
            assert_eq!(ring.find(&question).unwrap(), std::slice::from_ref(&made));
        }
    }

    #[test]
    fn a_damaged_ring_is_begun_anew() {
        let (_home, mut ring) = ring();
        fs::create_dir(ring.path.parent().unwrap()).unwrap();
        fs::write(&ring.path, vec![b'x'; 8192]).unwrap();
        let made = decision("4abc");
        ring.write(
            std::slice::from_ref(&made),
            (Span::new().days(1), 10),
            made.time,
        )
        .unwrap();
        assert_eq!(ids(&ring, &DecisionQuery::QueueId("4abc".into())), ["4abc"]);
    }
}

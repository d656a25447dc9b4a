//! Uploaders over HTTP, in SQLite.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, params};

use super::{RecordId, Result, Sqlite};
use crate::ledger::uploaders::{Right, Uploader, Uploads};

/// An uploader with what it deposited on the day `?1`.
const SELECT: &str = "SELECT id, name, rights, quota, created, expires, last_used,
           (SELECT bytes FROM uploader_day WHERE uploader = uploader.id AND day = ?1)
    FROM uploader";

impl Uploads for Sqlite {
    fn add_uploader(&self, uploader: &Uploader, secret: &[u8; 32]) -> Result<bool> {
        let rights: Vec<_> = uploader.rights.iter().map(Right::to_string).collect();
        self.write(|transaction| {
            let rows = transaction.execute(
                "INSERT INTO uploader (name, secret, rights, quota, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO NOTHING",
                params![
                    uploader.name,
                    secret,
                    rights.join(" "),
                    uploader.quota.map(to_column),
                    uploader.created.as_second(),
                    uploader.expires.map(Timestamp::as_second),
                ],
            )?;
            Ok(rows > 0)
        })
    }

    fn uploaders(&self, day: i64) -> Result<Vec<Uploader>> {
        self.read(|connection| {
            let sql = format!("{SELECT} ORDER BY name");
            let mut query = connection.prepare_cached(&sql)?;
            query.query_map([day], uploader)?.collect()
        })
    }

    fn remove_uploader(&self, name: &str) -> Result<bool> {
        self.write(|transaction| {
            let rows = transaction.execute("DELETE FROM uploader WHERE name = ?1", [name])?;
            Ok(rows > 0)
        })
    }

    fn find_uploader(&self, secret: &[u8; 32], day: i64) -> Result<Option<Uploader>> {
        self.read(|connection| {
            let sql = format!("{SELECT} WHERE secret = ?2");
            let mut query = connection.prepare_cached(&sql)?;
            query.query_row(params![day, secret], uploader).optional()
        })
    }

    fn note_use(&self, uploader: i64, now: Timestamp) -> Result<()> {
        self.write(|transaction| {
            let sql = "UPDATE uploader SET last_used = ?2 WHERE id = ?1";
            transaction.execute(sql, params![uploader, now.as_second()])?;
            Ok(())
        })
    }

    fn claim(&self, id: RecordId, name: &str, now: Timestamp, before: Timestamp) -> Result<()> {
        self.write(|transaction| {
            let sql = "DELETE FROM uploaded WHERE begun < ?1";
            transaction.execute(sql, [before.as_second()])?;
            transaction.execute(
                "INSERT INTO uploaded (package, uploader, begun) VALUES (?1, ?2, ?3)
                 ON CONFLICT (package) DO NOTHING",
                params![id.0, name, now.as_second()],
            )?;
            Ok(())
        })
    }

    fn is_claimed(&self, id: RecordId, name: &str) -> Result<bool> {
        self.read(|connection| {
            connection
                .prepare_cached("SELECT 1 FROM uploaded WHERE package = ?1 AND uploader = ?2")?
                .exists(params![id.0, name])
        })
    }

    fn book(&self, uploader: i64, day: i64, bytes: u64) -> Result<bool> {
        self.write(|transaction| {
            // A token that was removed meanwhile has no row, and no room.
            let rows = transaction.execute(
                "INSERT INTO uploader_day (uploader, day, packages, bytes)
                 SELECT id, ?2, 1, ?3 FROM uploader WHERE id = ?1
                 AND (quota IS NULL OR ?3 + coalesce((SELECT bytes FROM uploader_day
                                       WHERE uploader = ?1 AND day = ?2), 0) <= quota)
                 ON CONFLICT (uploader, day)
                 DO UPDATE SET packages = packages + 1, bytes = bytes + excluded.bytes",
                params![uploader, day, to_column(bytes)],
            )?;
            Ok(rows > 0)
        })
    }

    fn unbook(&self, uploader: i64, day: i64, bytes: u64) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE uploader_day SET packages = packages - 1, bytes = max(bytes - ?3, 0)
                 WHERE uploader = ?1 AND day = ?2 AND packages > 0",
                params![uploader, day, to_column(bytes)],
            )?;
            Ok(())
        })
    }
}

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

fn to_column(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn from_column(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

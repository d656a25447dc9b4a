//! Uploaders over HTTP, in PostgreSQL.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Postgres, RecordId, Result, fault, text};
use crate::ledger::uploaders::{Right, Uploader, Uploads};

/// An uploader with what it deposited on the day `$1`.
const SELECT: &str = "SELECT id, name, rights, quota, created, expires, last_used,
           (SELECT bytes FROM uploader_day WHERE uploader = uploader.id AND day = $1)
    FROM uploader";

impl Uploads for Postgres {
    fn add_uploader(&self, uploader: &Uploader, secret: &[u8; 32]) -> Result<bool> {
        let rights: Vec<_> = uploader.rights.iter().map(Right::to_string).collect();
        self.write(|connection| {
            let rows = connection.execute(
                "INSERT INTO uploader (name, secret, rights, quota, created, expires)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING",
                &[
                    &text(&uploader.name),
                    &&secret[..],
                    &rights.join(" "),
                    &uploader.quota.map(to_column),
                    &uploader.created.as_second(),
                    &uploader.expires.map(Timestamp::as_second),
                ],
            )?;
            Ok(rows > 0)
        })
    }

    fn uploaders(&self, day: i64) -> Result<Vec<Uploader>> {
        let sql = format!("{SELECT} ORDER BY name");
        self.read(|connection| connection.query(&sql, &[&day], uploader))
    }

    fn remove_uploader(&self, name: &str) -> Result<bool> {
        self.write(|connection| {
            let sql = "DELETE FROM uploader WHERE name = $1";
            Ok(connection.execute(sql, &[&text(name)])? > 0)
        })
    }

    fn find_uploader(&self, secret: &[u8; 32], day: i64) -> Result<Option<Uploader>> {
        let sql = format!("{SELECT} WHERE secret = $2");
        self.read(|connection| connection.first(&sql, &[&day, &&secret[..]], uploader))
    }

    fn note_use(&self, uploader: i64, now: Timestamp) -> Result<()> {
        self.write(|connection| {
            let sql = "UPDATE uploader SET last_used = $2 WHERE id = $1";
            connection
                .execute(sql, &[&uploader, &now.as_second()])
                .map(drop)
        })
    }

    fn claim(&self, id: RecordId, name: &str, now: Timestamp, before: Timestamp) -> Result<()> {
        self.write(|connection| {
            let sql = "DELETE FROM uploaded WHERE begun < $1";
            connection.execute(sql, &[&before.as_second()])?;
            let sql = "INSERT INTO uploaded (package, uploader, begun) VALUES ($1, $2, $3)
                       ON CONFLICT (package) DO NOTHING";
            connection
                .execute(sql, &[&&id.0[..], &text(name), &now.as_second()])
                .map(drop)
        })
    }

    fn is_claimed(&self, id: RecordId, name: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM uploaded WHERE package = $1 AND uploader = $2";
        self.read(|connection| connection.exists(sql, &[&&id.0[..], &text(name)]))
    }

    fn book(&self, uploader: i64, day: i64, bytes: u64) -> Result<bool> {
        self.write(|connection| {
            // A token that was removed meanwhile has no row, and no room.
            let rows = connection.execute(
                "INSERT INTO uploader_day (uploader, day, packages, bytes)
                 SELECT id, $2, 1, $3 FROM uploader WHERE id = $1
                 AND (quota IS NULL OR $3 <= quota - coalesce((SELECT bytes FROM uploader_day
                                       WHERE uploader = $1 AND day = $2), 0))
                 ON CONFLICT (uploader, day) DO UPDATE SET
                     packages = uploader_day.packages + 1,
                     bytes = uploader_day.bytes + excluded.bytes",
                &[&uploader, &day, &to_column(bytes)],
            )?;
            Ok(rows > 0)
        })
    }

    fn unbook(&self, uploader: i64, day: i64, bytes: u64) -> Result<()> {
        self.write(|connection| {
            let sql = "UPDATE uploader_day
                       SET packages = packages - 1, bytes = greatest(bytes - $3, 0)
                       WHERE uploader = $1 AND day = $2 AND packages > 0";
            connection
                .execute(sql, &[&uploader, &day, &to_column(bytes)])
                .map(drop)
        })
    }
}

fn uploader(row: &Row) -> fault::Result<Uploader> {
    let rights: &str = row.try_get(2)?;
    let time = |column| -> fault::Result<Option<Timestamp>> {
        let seconds: Option<i64> = row.try_get(column)?;
        Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
    };
    Ok(Uploader {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        rights: rights
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect(),
        quota: row.try_get::<_, Option<i64>>(3)?.map(from_column),
        created: time(4)?.unwrap_or(Timestamp::MIN),
        expires: time(5)?,
        last_used: time(6)?,
        bytes_today: row.try_get::<_, Option<i64>>(7)?.map_or(0, from_column),
    })
}

fn to_column(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn from_column(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

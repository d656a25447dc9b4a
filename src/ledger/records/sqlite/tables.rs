//! The tables of SQLite, for a move of all records.

use rusqlite::{
    Connection, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    super::transfer::{Changes, Dialect, ReadMode, SqlTable, SqlValue, TABLES, TableRow, Tables},
    Result, Sharing, Sqlite, connect, fault,
};
use crate::ledger::error::{Fault, FaultKind};

const DIALECT: Dialect = Dialect {
    mark: '?',
    overriding: "",
    folded: ("login", "COLLATE BINARY"),
};

/// A connection of its own to the database.
pub(super) struct SqliteTables<'a> {
    sqlite: &'a Sqlite,
    connection: Connection,
}

impl<'a> SqliteTables<'a> {
    pub(super) fn new(sqlite: &'a Sqlite) -> Result<Self> {
        let connection = connect(&sqlite.path, Sharing::Shared);
        Ok(Self {
            sqlite,
            connection: connection.map_err(|e| fault::failed("open", &sqlite.path, e))?,
        })
    }

    fn batch(&self, action: &str, sql: &str) -> Result<()> {
        let done = self.connection.execute_batch(sql);
        done.map_err(|e| fault::failed(action, &self.sqlite.path, e))
    }

    fn change_rows(&self, table: &SqlTable, changes: &Changes) -> rusqlite::Result<()> {
        for (sql, rows) in table.statements(DIALECT, changes) {
            for row in rows {
                let mut statement = self.connection.prepare_cached(&sql)?;
                statement.execute(params_from_iter(row))?;
            }
        }
        Ok(())
    }

    /// Refuses an entry of the log that no other database can hold as it is.
    fn refuse_unlike(&self, table: &SqlTable, rows: &[TableRow]) -> Result<()> {
        if table.name != "audit" {
            return Ok(());
        }
        let has_zero = |row: &TableRow| row.iter().any(SqlValue::has_zero);
        let reason = if rows.iter().any(|row| row[1] == SqlValue::Null) {
            "some entries of its audit log are of a version that linked none: they can be moved when they are forgotten \
             (audit.keep)"
        } else if rows.iter().any(has_zero) {
            "its audit log has a text with the byte zero, which PostgreSQL does not hold"
        } else {
            return Ok(());
        };
        let place = self.sqlite.path.display();
        let text = format!("could not move the records of \"{place}\": {reason}");
        Err(Fault::new(FaultKind::Database, text).into())
    }
}

impl Tables for SqliteTables<'_> {
    fn begin(&self, mode: ReadMode) -> Result<()> {
        let begin = match mode {
            ReadMode::Snapshot => "BEGIN",
            ReadMode::Exclusive => "BEGIN IMMEDIATE",
        };
        self.batch("read", begin)
    }

    fn end(&self) -> Result<()> {
        self.batch("read", "COMMIT")
    }

    fn count(&self, table: &SqlTable) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count = self
            .connection
            .query_row(&sql, [], |row| row.get::<_, i64>(0));
        let count = count.map_err(|e| fault::failed("read", &self.sqlite.path, e))?;
        Ok(count.unsigned_abs())
    }

    fn page(&self, table: &SqlTable, after: Option<&[SqlValue]>) -> Result<Vec<TableRow>> {
        let sql = table.page_sql(DIALECT, after.is_some());
        let read = || {
            let mut query = self.connection.prepare_cached(&sql)?;
            let columns = query.column_count();
            let read = |row: &rusqlite::Row<'_>| {
                (0..columns).map(|n| row.get_ref(n)?.try_into()).collect()
            };
            let rows = query.query_map(params_from_iter(after.unwrap_or_default()), read)?;
            rows.collect::<rusqlite::Result<Vec<TableRow>>>()
        };
        let mut rows = read().map_err(|e| fault::failed("read", &self.sqlite.path, e))?;
        self.refuse_unlike(table, &rows)?;
        for value in rows.iter_mut().flatten() {
            value.replace_zero();
        }
        Ok(rows)
    }

    fn change(&self, table: &SqlTable, changes: &Changes) -> Result<()> {
        self.batch("write to", "BEGIN IMMEDIATE")?;
        let changed = self.change_rows(table, changes);
        let end = if changed.is_ok() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let ended = self.batch("write to", end);
        changed.map_err(|e| fault::failed("write to", &self.sqlite.path, e))?;
        ended
    }

    fn renumber(&self) -> Result<()> {
        let sql = "DELETE FROM sqlite_sequence WHERE name = 'audit';
                   INSERT INTO sqlite_sequence SELECT 'audit', number FROM audit_chain WHERE place = 'head'";
        self.batch("write to", sql)
    }

    fn hand_over(&self, arrival: i64) -> Result<()> {
        let rename = |table: &SqlTable| format!("ALTER TABLE {0} RENAME TO moved_{0};", table.name);
        let renamed: String = TABLES.iter().map(rename).collect();
        let sql = format!(
            "{renamed} CREATE TABLE moved (arrival INTEGER NOT NULL) STRICT;
             INSERT INTO moved VALUES ({arrival}); COMMIT"
        );
        self.batch("write to", &sql)
    }
}

impl TryFrom<ValueRef<'_>> for SqlValue {
    type Error = rusqlite::Error;

    fn try_from(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(integer) => Ok(Self::Integer(integer)),
            ValueRef::Text(_) => Ok(Self::Text(value.as_str()?.to_owned())),
            ValueRef::Blob(bytes) => Ok(Self::Bytes(bytes.to_owned())),
            ValueRef::Real(_) => Err(rusqlite::types::FromSqlError::InvalidType.into()),
        }
    }
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

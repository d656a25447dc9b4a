//! The tables of PostgreSQL, for a move of all records.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::{
    super::transfer::{Changes, Dialect, ReadMode, SqlTable, SqlValue, TABLES, TableRow, Tables},
    BEGIN, Postgres, Result,
    connection::Connection,
    fault::{self, Failure},
};

const DIALECT: Dialect = Dialect {
    mark: '$',
    overriding: "OVERRIDING SYSTEM VALUE",
    folded: ("", ""),
};

/// What the schema makes beside tables.
const BESIDE_TABLES: &str = "DROP SEQUENCE doomed_turn;
    DROP FUNCTION refuse_held, add_up_package, take_off_package, refuse_audit_change, keep_audit";

/// A connection that does nothing else.
pub(super) struct PostgresTables<'a> {
    postgres: &'a Postgres,
    connection: Connection,
}

impl<'a> PostgresTables<'a> {
    pub(super) fn new(postgres: &'a Postgres) -> Result<Self> {
        let connection = postgres.connections.get();
        Ok(Self {
            postgres,
            connection: connection.map_err(|e| postgres.failed(e))?,
        })
    }

    fn read<T>(&self, read: fault::Result<T>) -> Result<T> {
        read.map_err(|e| fault::failed("read", &self.postgres.url, e))
    }

    fn written<T>(&self, written: fault::Result<T>) -> Result<T> {
        written.map_err(|e| self.postgres.failed(e))
    }

    fn change_rows(&self, table: &SqlTable, changes: &Changes) -> fault::Result<()> {
        for (sql, rows) in table.statements(DIALECT, changes) {
            for row in rows {
                self.connection.execute(&sql, &values(row))?;
            }
        }
        Ok(())
    }
}

impl Tables for PostgresTables<'_> {
    fn begin(&self, mode: ReadMode) -> Result<()> {
        let begun = match mode {
            ReadMode::Snapshot => {
                let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
                self.connection.batch(begin)
            }
            ReadMode::Exclusive => {
                let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
                // Some write without the lock of writers (`write_beside`).
                let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", names.join(", "));
                self.connection.batch(&format!("{BEGIN}; {lock}"))
            }
        };
        if begun.is_err() {
            let _ = self.connection.batch("ROLLBACK");
        }
        self.read(begun)
    }

    fn end(&self) -> Result<()> {
        self.read(self.connection.batch("COMMIT"))
    }

    fn count(&self, table: &SqlTable) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        let count = |row: &tokio_postgres::Row| Ok(row.try_get::<_, i64>(0)?);
        let counted = self.connection.first(&sql, &[], count);
        Ok(self.read(counted)?.unwrap_or(0).unsigned_abs())
    }

    fn page(&self, table: &SqlTable, after: Option<&[SqlValue]>) -> Result<Vec<TableRow>> {
        let sql = table.page_sql(DIALECT, after.is_some());
        let after = values(after.unwrap_or_default());
        self.read(self.connection.query(&sql, &after, row))
    }

    fn change(&self, table: &SqlTable, changes: &Changes) -> Result<()> {
        self.written(self.connection.batch("BEGIN"))?;
        let changed = self.change_rows(table, changes);
        let end = if changed.is_ok() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let ended = self.connection.batch(end);
        self.written(changed)?;
        self.written(ended)
    }

    fn renumber(&self) -> Result<()> {
        let sql = "SELECT setval(pg_get_serial_sequence('uploader', 'id'), max(id)) FROM uploader";
        self.written(self.connection.batch(sql))
    }

    fn hand_over(&self, arrival: i64) -> Result<()> {
        let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
        let sql = format!(
            "DROP TABLE {}, schema; {BESIDE_TABLES};
             CREATE TABLE moved (arrival bigint NOT NULL); INSERT INTO moved VALUES ({arrival}); COMMIT",
            names.join(", ")
        );
        self.written(self.connection.batch(&sql))
    }
}

fn values(row: &[SqlValue]) -> Vec<&(dyn ToSql + Sync)> {
    row.iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

fn row(row: &tokio_postgres::Row) -> fault::Result<TableRow> {
    (0..row.len()).map(|n| value(row, n)).collect()
}

fn value(row: &tokio_postgres::Row, n: usize) -> fault::Result<SqlValue> {
    let value = match *row.columns()[n].type_() {
        Type::INT8 => row.try_get::<_, Option<_>>(n)?.map(SqlValue::Integer),
        Type::TEXT => row.try_get::<_, Option<_>>(n)?.map(SqlValue::Text),
        Type::BYTEA => row.try_get::<_, Option<_>>(n)?.map(SqlValue::Bytes),
        ref other => {
            let name = row.columns()[n].name();
            return Err(Failure::Damaged(format!(
                "its column {name} has the type {other}"
            )));
        }
    };
    Ok(value.unwrap_or(SqlValue::Null))
}

impl ToSql for SqlValue {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(integer) => integer.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Bytes(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    tokio_postgres::types::to_sql_checked!();
}

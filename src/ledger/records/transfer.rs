//! The move of all records from one database to another, while mail is accepted and files are fetched.
//!
//! Each pass makes the tables of the target those of the source: both are read in the order of their keys, and
//! only what differs is written. So a move that was stopped goes on where it was. The first passes read what one
//! moment shows, beside all that writes. The last one reads while nobody can write, until nothing differs, and
//! then hands over: the source has no tables any more, and whoever asks it learns that its records were moved
//! ([`FaultKind::Moved`]).
//!
//! What a database keeps for itself by triggers (sums, hours) is written by them in the target too, and is then
//! made what it is in the source: those tables come last.

use std::{cmp::Ordering, collections::VecDeque, fmt::Write as _, thread, time::Duration};

use super::{Records, Result};
use crate::ledger::error::{Fault, FaultKind};

/// Number of rows that are read, and written, at once.
pub(super) const PAGE: usize = 1000;

/// Number of rows in a pass that few enough wrote meanwhile: the next one may keep others waiting.
const FEW: u64 = 1000;
/// Maximum number of passes beside those that write.
const PASSES_MAX: usize = 6;
/// Maximum number of times that a table is compared while nobody writes: it is made equal, and then is.
const COMPARED_MAX: usize = 3;
/// Maximum number of times that the last pass is begun: others may have the source for too long.
const LAST_PASSES_MAX: usize = 10;
/// Time between them, so that those who waited for the source come to it.
const PAUSE: Duration = Duration::from_secs(1);

/// A table, as both dialects have it.
#[derive(Debug)]
pub(crate) struct SqlTable {
    pub(super) name: &'static str,
    /// The columns of its key. Their order is that of bytes.
    pub(super) key: &'static [&'static str],
    /// The others.
    pub(super) values: &'static [&'static str],
    /// The condition of its rows that are moved.
    pub(super) only: &'static str,
}

/// All tables. None refers to a later one, but for what triggers write.
pub(super) const TABLES: &[SqlTable] = &[
    PACKAGE,
    table(
        "file",
        &["package", "position"],
        &["number", "size", "fingerprint", "downloads"],
    ),
    table("doomed", &["package"], &[]),
    table("block", &["fingerprint"], &["sha256", "created", "reason"]),
    table("suspended", &["login"], &["created", "reason"]),
    table("suspended_package", &["package"], &["login"]),
    HELD,
    // The log keeps what is behind its anchor.
    table("audit_chain", &["place"], &["number", "digest"]),
    table(
        "audit",
        &["number"],
        &[
            "digest", "time", "action", "package", "queue_id", "sender", "login", "actor",
            "address", "detail",
        ],
    ),
    table(
        "uploader",
        &["id"],
        &[
            "name",
            "secret",
            "rights",
            "quota",
            "created",
            "expires",
            "last_used",
        ],
    ),
    table("uploader_day", &["uploader", "day"], &["packages", "bytes"]),
    table("uploaded", &["package"], &["uploader", "begun"]),
    table(
        "statistics",
        &["month", "direction", "domain"],
        &["messages", "files", "bytes", "recipients", "spared"],
    ),
    table("kept_message", &["digest"], &["until"]),
    table(
        "client_network",
        &["package", "network"],
        &["created", "cost"],
    ),
    table("incoming_hour", &["uploader", "hour"], &["cost"]),
    SqlTable {
        only: "name NOT IN ('audit_begins', 'arrival')",
        ..table("note", &["name"], &["value"])
    },
];

const PACKAGE: SqlTable = table(
    "package",
    &["id"],
    &[
        "created",
        "expires",
        "ended",
        "cause",
        "state",
        "manifest",
        "queue_id",
        "sender",
        "verified",
        "login",
        "direction",
        "recipients",
        "domains",
        "client",
        "uploader",
        "message_id",
        "files",
        "bytes",
        "cost",
        "downloads",
        "unlock",
        "kept_until",
        "locators",
    ],
);

/// No package that is held can be destroyed: those that are not held any more come first.
const HELD: SqlTable = table("held", &["package"], &["created", "reason"]);

const fn table(
    name: &'static str,
    key: &'static [&'static str],
    values: &'static [&'static str],
) -> SqlTable {
    SqlTable {
        name,
        key,
        values,
        only: "TRUE",
    }
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SqlValue {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl SqlValue {
    /// Returns true if it is a text with the byte zero.
    pub(super) fn has_zero(&self) -> bool {
        matches!(self, Self::Text(text) if text.contains('\0'))
    }

    /// Replaces the byte zero of a text, which PostgreSQL refuses.
    pub(super) fn replace_zero(&mut self) {
        if let Self::Text(text) = self
            && text.contains('\0')
        {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
}

/// The values of a row, those of its key first.
pub(crate) type TableRow = Vec<SqlValue>;

/// The way in which a database is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// As it was at the beginning; others write meanwhile.
    Snapshot,
    /// As it is; nobody else writes until the end.
    Exclusive,
}

/// The changes of a table.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The keys of the rows that are removed.
    removed: Vec<TableRow>,
    added: Vec<TableRow>,
    changed: Vec<TableRow>,
}

/// The tables of a database, by one connection.
pub(crate) trait Tables {
    /// Begins to read. What was begun before has ended.
    fn begin(&self, mode: ReadMode) -> Result<()>;

    /// Ends it.
    fn end(&self) -> Result<()>;

    /// Returns the number of rows of a table.
    fn count(&self, table: &SqlTable) -> Result<u64>;

    /// Returns the first rows behind a key, in the order of keys: at most [`PAGE`], and fewer only at the end.
    fn page(&self, table: &SqlTable, after: Option<&[SqlValue]>) -> Result<Vec<TableRow>>;

    /// Changes a table in one transaction; what is removed goes first.
    fn change(&self, table: &SqlTable, changes: &Changes) -> Result<()>;

    /// Makes numbers that are given from now on follow those that were moved.
    fn renumber(&self) -> Result<()>;

    /// Within an exclusive read: removes all tables, notes the number of this move in their place, and
    /// ends it.
    fn hand_over(&self, arrival: i64) -> Result<()>;
}

/// The result of a move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transferred {
    /// Number of rows that the source had at the end.
    pub rows: u64,
    /// Number of times that its tables were compared with those of the target.
    pub passes: usize,
}

/// Returns the number of rows that a move has to look at.
pub(crate) fn rows(source: &dyn Records) -> Result<u64> {
    let source = source.tables()?;
    let counts = TABLES.iter().map(|table| source.count(table));
    counts.sum()
}

/// Moves all records; `arrival` is the number of the move, which stands in the target from then on
/// ([`Note::Arrival`](super::Note::Arrival)). `go_on` is told how many rows of the source were read in the first pass.
pub(crate) fn transfer(
    source: &dyn Records,
    target: &dyn Records,
    arrival: i64,
    go_on: impl Fn(u64),
) -> Result<Transferred> {
    let (from, to) = (source.tables()?, target.tables()?);
    let (from, to) = (&*from, &*to);
    let mut passes = 1;
    from.begin(ReadMode::Snapshot)?;
    let (_, mut written) = pass(from, to, &go_on)?;
    from.end()?;
    while written > FEW && passes < PASSES_MAX {
        from.begin(ReadMode::Snapshot)?;
        (_, written) = pass(from, to, &|_| ())?;
        from.end()?;
        passes += 1;
    }

    begin_alone(from)?;
    let rows = settle(from, to)?;
    to.renumber()?;
    target.set_notes(&[(super::Note::Arrival, arrival)])?;
    from.hand_over(arrival)?;
    Ok(Transferred {
        rows,
        passes: passes + 1,
    })
}

fn begin_alone(from: &dyn Tables) -> Result<()> {
    for _ in 1..LAST_PASSES_MAX {
        match from.begin(ReadMode::Exclusive) {
            Err(error) if error.fault() == Some(FaultKind::Busy) => thread::sleep(PAUSE),
            begun => return begun,
        }
    }
    from.begin(ReadMode::Exclusive)
}

/// Makes each table equal, and sees that it is. Returns the number of rows.
fn settle(from: &dyn Tables, to: &dyn Tables) -> Result<u64> {
    no_longer_held(from, to)?;
    let mut rows = 0;
    for table in TABLES {
        let mut compared = 0;
        let read = loop {
            let (read, written) = Merge::new(table, from, to).run(&|_| ())?;
            compared += 1;
            if written == 0 {
                break read;
            }
            if compared == COMPARED_MAX {
                let text = format!(
                    "the records were not moved, they are where they were: table {} has other rows there than were written",
                    table.name
                );
                return Err(Fault::new(FaultKind::Damaged, text).into());
            }
        };
        rows += read;
    }
    Ok(rows)
}

/// Makes each table of the target what it is in the source. Returns how many rows the source has, and how many
/// were written or removed.
fn pass(from: &dyn Tables, to: &dyn Tables, go_on: &dyn Fn(u64)) -> Result<(u64, u64)> {
    no_longer_held(from, to)?;
    let mut sum = (0, 0);
    for table in TABLES {
        let (read, written) = Merge::new(table, from, to).run(go_on)?;
        sum = (sum.0 + read, sum.1 + written);
    }
    Ok(sum)
}

fn no_longer_held(from: &dyn Tables, to: &dyn Tables) -> Result<()> {
    let mut merge = Merge::new(&HELD, from, to);
    merge.removes_only = true;
    merge.run(&|_| ()).map(drop)
}

/// One table of the source and of the target, side by side.
struct Merge<'a> {
    table: &'a SqlTable,
    from: Rows<'a>,
    to: Rows<'a>,
    target: &'a dyn Tables,
    changes: Changes,
    removes_only: bool,
    read: u64,
    written: u64,
}

impl<'a> Merge<'a> {
    fn new(table: &'a SqlTable, from: &'a dyn Tables, to: &'a dyn Tables) -> Self {
        Self {
            table,
            from: Rows::new(table, from),
            to: Rows::new(table, to),
            target: to,
            changes: Changes::default(),
            removes_only: false,
            read: 0,
            written: 0,
        }
    }

    /// Returns how many rows the source has, and how many were written to the target, or removed there.
    fn run(mut self, go_on: &dyn Fn(u64)) -> Result<(u64, u64)> {
        let mut told = 0;
        while self.step()? {
            if self.read - told == PAGE as u64 {
                go_on(PAGE as u64);
                told = self.read;
            }
            if self.changes.len() >= PAGE {
                self.write()?;
            }
        }
        self.write()?;
        go_on(self.read - told);
        Ok((self.read, self.written))
    }

    /// Looks at the row with the smallest key. Returns false if there is none.
    fn step(&mut self) -> Result<bool> {
        let keys = self.table.key.len();
        let order = match (self.from.first()?, self.to.first()?) {
            (None, None) => return Ok(false),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from[..keys].cmp(&to[..keys]),
        };

        let from = order.is_le().then(|| self.from.take());
        let to = order.is_ge().then(|| self.to.take());
        self.read += u64::from(from.is_some());
        match (from, to) {
            (None, Some(mut old)) => {
                old.truncate(keys);
                self.changes.removed.push(old);
            }
            (Some(new), None) if !self.removes_only => self.changes.added.push(new),
            (Some(new), Some(old)) if !self.removes_only && new != old => {
                self.changes.changed.push(new);
            }
            _ => {}
        }
        Ok(true)
    }

    fn write(&mut self) -> Result<()> {
        let count = self.changes.len();
        if count > 0 {
            self.target.change(self.table, &self.changes)?;
            self.written += count as u64;
            self.changes = Changes::default();
        }
        Ok(())
    }
}

impl Changes {
    fn len(&self) -> usize {
        self.removed.len() + self.added.len() + self.changed.len()
    }
}

/// The rows of a table in the order of their keys, read page by page.
struct Rows<'a> {
    table: &'a SqlTable,
    tables: &'a dyn Tables,
    page: VecDeque<TableRow>,
    /// The key of the last row that was read.
    last: Option<TableRow>,
    is_at_end: bool,
}

impl<'a> Rows<'a> {
    fn new(table: &'a SqlTable, tables: &'a dyn Tables) -> Self {
        Self {
            table,
            tables,
            page: VecDeque::new(),
            last: None,
            is_at_end: false,
        }
    }

    fn first(&mut self) -> Result<Option<&TableRow>> {
        if self.page.is_empty() && !self.is_at_end {
            self.page = self.tables.page(self.table, self.last.as_deref())?.into();
            self.is_at_end = self.page.len() < PAGE;
            let key = |row: &TableRow| row[..self.table.key.len()].to_vec();
            self.last = self.page.back().map(key);
        }
        Ok(self.page.front())
    }

    /// Takes the row that [`first`](Self::first) has shown.
    fn take(&mut self) -> TableRow {
        self.page.pop_front().expect("it was shown")
    }
}

/// A dialect of SQL, as far as the two differ here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The character before the number of a parameter.
    pub(super) mark: char,
    /// What lets the value of a column that numbers itself be given.
    pub(super) overriding: &'static str,
    /// The column whose order is not that of bytes, and what makes it so.
    pub(super) folded: (&'static str, &'static str),
}

impl SqlTable {
    /// Returns the query of a page, behind a key if `is_after`.
    pub(super) fn page_sql(&self, dialect: Dialect, is_after: bool) -> String {
        let columns = self.columns().collect::<Vec<_>>().join(", ");
        let key = |name: &&str| {
            let (folded, by_bytes) = dialect.folded;
            match *name == folded {
                true => format!("{name} {by_bytes}"),
                false => (*name).to_owned(),
            }
        };
        let key = self.key.iter().map(key).collect::<Vec<_>>().join(", ");
        let (table, only) = (self.name, self.only);
        let mut sql = format!("SELECT {columns} FROM {table} WHERE {only}");
        if is_after {
            let marks = marks(dialect, 1..=self.key.len());
            let _ = write!(sql, " AND ({key}) > ({marks})");
        }
        let _ = write!(sql, " ORDER BY {key} LIMIT {PAGE}");
        sql
    }

    /// Returns the statements of some changes in their order, each with the rows that it is run with: what is removed
    /// goes first.
    pub(super) fn statements<'a>(
        &self,
        dialect: Dialect,
        changes: &'a Changes,
    ) -> [(String, &'a [TableRow]); 3] {
        [
            (self.delete_sql(dialect), &changes.removed),
            (self.insert_sql(dialect), &changes.added),
            (self.update_sql(dialect), &changes.changed),
        ]
    }

    /// Returns the statement that adds a row.
    fn insert_sql(&self, dialect: Dialect) -> String {
        let columns: Vec<_> = self.columns().collect();
        let marks = marks(dialect, 1..=columns.len());
        let overriding = dialect.overriding;
        let (table, columns) = (self.name, columns.join(", "));
        format!("INSERT INTO {table} ({columns}) {overriding} VALUES ({marks})")
    }

    /// Returns the statement that changes a row: the same parameters as [`insert_sql`](Self::insert_sql).
    fn update_sql(&self, dialect: Dialect) -> String {
        let values = self.values.iter().zip(self.key.len() + 1..);
        let set = values.map(|(name, n)| format!("{name} = {}{n}", dialect.mark));
        let set = set.collect::<Vec<_>>().join(", ");
        format!("UPDATE {} SET {set} WHERE {}", self.name, self.is(dialect))
    }

    /// Returns the statement that removes a row.
    fn delete_sql(&self, dialect: Dialect) -> String {
        format!("DELETE FROM {} WHERE {}", self.name, self.is(dialect))
    }

    fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.key.iter().chain(self.values).copied()
    }

    /// Returns the condition of the row with a key.
    fn is(&self, dialect: Dialect) -> String {
        let key = self.key.iter().zip(1..);
        let equal = key.map(|(name, n)| format!("{name} = {}{n}", dialect.mark));
        equal.collect::<Vec<_>>().join(" AND ")
    }
}

fn marks(dialect: Dialect, numbers: impl Iterator<Item = usize>) -> String {
    let marks = numbers.map(|n| format!("{}{n}", dialect.mark));
    marks.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) use self::tests::listed;
#[cfg(test)]
mod tests;

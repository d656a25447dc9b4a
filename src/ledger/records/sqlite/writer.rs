//! The connection that writes. What several threads write at the same time is one transaction, and one sync.
//!
//! Each but the first writes inside a savepoint, so that one that fails takes nothing of the others back. Whoever is
//! the last in the queue commits for all: while a commit waits for the disk, the next ones gather behind it.

use std::{
    ops::Deref,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::panicking,
    time::Instant,
};

use rusqlite::Connection;

use super::{BUSY_TIMEOUT, LedgerError, Result, fault};
use crate::{
    ledger::error::{Fault, FaultKind},
    lock::lock,
};

/// Number of writes after which a transaction is committed though others wait.
const WRITES_MAX: usize = 64;

/// The connection that writes, and the queue for it.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    state: Mutex<State>,
    /// Number of threads in the queue.
    waiting: AtomicUsize,
}

#[derive(Debug)]
struct State {
    connection: Connection,
    /// The transaction that is open; `None` between two.
    open: Option<Open>,
}

/// A transaction that is not committed yet.
#[derive(Debug, Default)]
struct Open {
    writes: usize,
    outcome: Arc<Outcome>,
}

/// The end of a transaction, for all who wrote in it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    settled: Mutex<Option<Result<(), (FaultKind, String)>>>,
    told: Condvar,
}

/// A part of the open transaction, in which one verb writes. It is taken back unless it is kept.
pub(super) struct Write<'a> {
    connection: &'a Connection,
    is_first: bool,
    is_kept: bool,
}

/// A thread's turn. At its end the transaction is committed, unless somebody waits who can do that.
pub(super) struct Turn<'a> {
    writer: &'a Writer,
    state: MutexGuard<'a, State>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, connection: Connection) -> Self {
        Self {
            path,
            state: Mutex::new(State {
                connection,
                open: None,
            }),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for the connection. Time spent waiting for other threads here is taken off the wait for
    /// other processes: [`BUSY_TIMEOUT`] bounds both together. Otherwise, while another process holds the
    /// lock, each thread in the queue would wait all of it anew, one after the other.
    pub(super) fn turn(&self) -> Result<Turn<'_>> {
        let begun = Instant::now();
        self.waiting.fetch_add(1, SeqCst);
        // Even after a panic in another thread: what that had written was taken back.
        let state = lock(&self.state);
        self.waiting.fetch_sub(1, SeqCst);

        let turn = Turn {
            writer: self,
            state,
        };
        let left = BUSY_TIMEOUT.saturating_sub(begun.elapsed());
        let limited = turn.state.connection.busy_timeout(left);
        limited.map_err(|e| self.failed(e))?;
        Ok(turn)
    }

    /// Waits for the connection, with no transaction open.
    pub(super) fn alone(&self) -> Result<Turn<'_>> {
        let mut turn = self.turn()?;
        turn.settle();
        Ok(turn)
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> LedgerError {
        fault::failed("write to", &self.path, error)
    }
}

impl Turn<'_> {
    /// Does work that writes. It is durable once the outcome is told.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&Write<'_>) -> Result<T>,
    ) -> Result<(T, Arc<Outcome>)> {
        let (outcome, is_first) = self.begin()?;
        let worked = self.part(is_first, work);
        // A disk that is full, or broken: SQLite took back what all had written.
        if let Err(error) = &worked
            && self.state.connection.is_autocommit()
        {
            self.state.open = None;
            outcome.settle(Err(error));
        }
        worked.map(|value| (value, outcome))
    }

    /// Joins the transaction that is open, or begins one.
    fn begin(&mut self) -> Result<(Arc<Outcome>, bool)> {
        let State { connection, open } = &mut *self.state;
        if open.is_none() {
            let begun = run(connection, "BEGIN IMMEDIATE");
            begun.map_err(|e| self.writer.failed(e))?;
        }
        let open = open.get_or_insert_default();
        open.writes += 1;
        Ok((Arc::clone(&open.outcome), open.writes == 1))
    }

    fn part<T>(&self, is_first: bool, work: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        let failed = |e| self.writer.failed(e);
        let write = Write::begin(&self.state.connection, is_first).map_err(failed)?;
        let value = work(&write)?;
        write.keep().map_err(failed)?;
        Ok(value)
    }

    /// Commits the transaction, if one is open, and tells all who wrote in it.
    fn settle(&mut self) {
        let Some(open) = self.state.open.take() else {
            return;
        };
        let connection = &self.state.connection;
        let committed = run(connection, "COMMIT");
        if committed.is_err() && !connection.is_autocommit() {
            let _ = run(connection, "ROLLBACK");
        }
        let committed = committed.map_err(|e| self.writer.failed(e));
        open.outcome.settle(committed.as_ref().map(drop));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let is_full = |open: &Open| open.writes >= WRITES_MAX;
        let nobody_waits = self.writer.waiting.load(SeqCst) == 0;
        // After a panic there may be no transaction any more, which the next one would take for open.
        if nobody_waits || panicking() || self.state.open.as_ref().is_some_and(is_full) {
            self.settle();
        }
    }
}

impl Deref for Turn<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.state.connection
    }
}

impl<'a> Write<'a> {
    /// Begins a part; the first one needs no savepoint, as there is nothing before it.
    fn begin(connection: &'a Connection, is_first: bool) -> rusqlite::Result<Self> {
        if !is_first {
            run(connection, "SAVEPOINT write")?;
        }
        Ok(Self {
            connection,
            is_first,
            is_kept: false,
        })
    }

    fn keep(mut self) -> rusqlite::Result<()> {
        if !self.is_first {
            run(self.connection, "RELEASE write")?;
        }
        self.is_kept = true;
        Ok(())
    }

    fn take_back(&self) -> rusqlite::Result<()> {
        if self.is_first {
            return run(self.connection, "ROLLBACK");
        }
        run(self.connection, "ROLLBACK TO write")?;
        run(self.connection, "RELEASE write")
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        // SQLite itself takes everything back where a disk is full, or broken.
        if !self.is_kept && !self.connection.is_autocommit() {
            let _ = self.take_back();
        }
    }
}

impl Deref for Write<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

/// Runs a statement that is prepared once.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

impl Outcome {
    fn settle(&self, outcome: Result<(), &LedgerError>) {
        let told = outcome.map_err(|error| {
            let kind = error.fault().unwrap_or(FaultKind::Database);
            (kind, error.to_string())
        });
        *lock(&self.settled) = Some(told);
        self.told.notify_all();
    }

    /// Waits until the transaction is durable, or has failed.
    pub(super) fn wait(&self) -> Result<()> {
        let mut settled = lock(&self.settled);
        loop {
            match &*settled {
                Some(Ok(())) => return Ok(()),
                Some(Err((kind, text))) => return Err(Fault::new(*kind, text.clone()).into()),
                None => {
                    let waited = self.told.wait(settled);
                    settled = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        thread,
        time::Duration,
    };

    use super::*;

    /// A database with a table, and the number of its commits; those of `refused` fail.
    fn writer(refused: usize) -> (Writer, Arc<AtomicUsize>) {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)")
            .unwrap();
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let hook = move || counted.fetch_add(1, SeqCst) + 1 == refused;
        connection.commit_hook(Some(hook)).unwrap();
        (Writer::new("test".into(), connection), commits)
    }

    fn insert(writer: &Writer, n: i64) -> Result<()> {
        let (worked, outcome) = writer.turn()?.write(|write| add(writer, write, n))?;
        outcome.wait()?;
        Ok(worked)
    }

    fn add(writer: &Writer, write: &Write<'_>, n: i64) -> Result<()> {
        let inserted = write.execute("INSERT INTO t VALUES (?1)", [n]);
        inserted.map(drop).map_err(|e| writer.failed(e))
    }

    fn rows(writer: &Writer) -> Vec<i64> {
        let turn = writer.alone().unwrap();
        let mut rows = turn.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.map(rusqlite::Result::unwrap).collect()
    }

    /// Holds the connection until all of these wait for it. Returns what came of them.
    fn together(writer: &Writer, each: &[i64]) -> Vec<Result<()>> {
        thread::scope(|scope| {
            let turn = writer.alone().unwrap();
            let started: Vec<_> = each
                .iter()
                .map(|&n| scope.spawn(move || insert(writer, n)))
                .collect();
            while writer.waiting.load(SeqCst) < each.len() {
                thread::sleep(Duration::from_millis(1));
            }
            drop(turn);
            started.into_iter().map(|one| one.join().unwrap()).collect()
        })
    }

    #[test]
    fn those_who_wait_at_the_same_time_share_a_commit() {
        let (writer, commits) = writer(0);
        insert(&writer, 0).unwrap();
        assert_eq!(commits.swap(0, SeqCst), 1);
        for outcome in together(&writer, &[1, 2, 3, 4, 5]) {
            outcome.unwrap();
        }
        assert_eq!(commits.load(SeqCst), 1);
        assert_eq!(rows(&writer), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn one_that_fails_takes_nothing_of_the_others_back() {
        let (writer, _) = writer(0);
        let outcomes = together(&writer, &[1, 2, 2, 3]);
        assert_eq!(outcomes.iter().filter(|one| one.is_err()).count(), 1);
        assert_eq!(rows(&writer), [1, 2, 3]);
    }

    #[test]
    fn a_commit_that_fails_fails_for_all_who_wrote() {
        let (writer, _) = writer(1);
        let outcomes = together(&writer, &[1, 2, 3]);
        for outcome in outcomes {
            let error = outcome.unwrap_err().to_string();
            assert!(error.starts_with("could not write to database"), "{error}");
        }
        assert!(rows(&writer).is_empty());
        insert(&writer, 4).unwrap();
        assert_eq!(rows(&writer), [4]);
    }

    #[test]
    fn no_more_than_a_bounded_number_shares_a_commit() {
        let (writer, commits) = writer(0);
        let many: Vec<_> = (0..=i64::try_from(WRITES_MAX).unwrap()).collect();
        for outcome in together(&writer, &many) {
            outcome.unwrap();
        }
        assert_eq!(commits.load(SeqCst), 2);
    }

    #[test]
    fn a_panic_takes_nothing_of_the_others_back_and_leaves_none_waiting() {
        for before in [vec![], vec![1]] {
            let (writer, _) = writer(0);
            let writer = &writer;
            thread::scope(|scope| {
                let mut turn = writer.alone().unwrap();
                let earlier: Vec<_> = before
                    .iter()
                    .map(|&n| turn.write(|write| add(writer, write, n)).unwrap())
                    .collect();
                let other = scope.spawn(|| insert(writer, 3));
                while writer.waiting.load(SeqCst) == 0 {
                    thread::sleep(Duration::from_millis(1));
                }

                let panics = catch_unwind(AssertUnwindSafe(move || {
                    turn.write(|write| -> Result<()> {
                        add(writer, write, 2)?;
                        panic!("as it must")
                    })
                    .is_ok()
                }));
                assert!(panics.is_err());
                other.join().unwrap().unwrap();
                for (_, outcome) in earlier {
                    outcome.wait().unwrap();
                }
            });
            assert_eq!(rows(writer), [before, vec![3]].concat());
        }
    }
}

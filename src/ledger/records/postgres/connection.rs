//! Connections to the server, used by threads that wait.
//!
//! A runtime of one thread, of its own, reads and writes the sockets. A verb runs on whatever thread calls it
//! and waits there for one answer after the other, each within [`ANSWER_TIMEOUT`]: it holds nothing that this
//! runtime needs, so that it cannot keep itself waiting.

use std::{future::Future, time::Duration};

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime as PoolRuntime,
};
use futures_executor::block_on;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{Semaphore, SemaphorePermit},
    task::unconstrained,
    time::timeout,
};
use tokio_postgres::{NoTls, Row, types::ToSql};

use super::{
    BUSY_TIMEOUT,
    fault::{Failure, Result},
    tls,
};
use crate::config::{DropConfig, PostgresUrl};

/// Maximum number of connections of one process. One of them writes.
const CONNECTIONS_MAX: usize = 8;

/// Maximum time for one answer of the server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The limits of a session: the server gives up before the client does, and ends the transaction of a client
/// that is gone, which others wait for. A commit that has returned is on the server's disk.
const SESSION: &str = "SET lock_timeout = '5s'; SET statement_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s'; SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// The values of a statement's parameters.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections of a process.
pub(super) struct Connections {
    pool: Pool,
    /// One writer of this process waits for its turn with those of others; the rest wait here, and leave the
    /// connections to readers.
    turn: Semaphore,
    /// `None` once they are being dropped.
    runtime: Option<Runtime>,
}

/// A connection that is being used. Unless it is given back, it is cut: the server rolls back what it began.
pub(super) struct Connection {
    client: Option<Object>,
    runtime: Handle,
}

impl Connections {
    /// Prepares connections, and makes none.
    pub(super) fn new(url: &PostgresUrl, config: &DropConfig) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("records")
            .enable_all()
            .build()
            .map_err(|e| Failure::Unusable(format!("no thread could be started: {e}")))?;

        let mut client = url.client().clone();
        if let Some(file) = &config.records_password_file {
            client.password(tls::password(file)?.as_bytes());
        }

        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = match tls::connector(url, config.records_ca_file.as_deref())? {
            Some(tls) => Manager::from_config(client, tls, recycling),
            None => Manager::from_config(client, NoTls, recycling),
        };

        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .wait_timeout(Some(BUSY_TIMEOUT))
            .create_timeout(Some(ANSWER_TIMEOUT))
            .runtime(PoolRuntime::Tokio1)
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move {
                    let set = client.batch_execute(SESSION).await;
                    set.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|e| Failure::Unusable(e.to_string()))?;

        Ok(Self {
            pool,
            turn: Semaphore::new(1),
            runtime: Some(runtime),
        })
    }

    /// Returns a connection that nobody else uses meanwhile.
    pub(super) fn get(&self) -> Result<Connection> {
        let runtime = self.runtime.as_ref().map(Runtime::handle);
        let runtime = runtime.expect("the runtime is taken by drop only").clone();
        let client = wait(&runtime, self.pool.get())?;
        Ok(Connection {
            client: Some(client),
            runtime,
        })
    }

    /// Waits until no other thread of this process writes.
    pub(super) fn turn(&self) -> Result<SemaphorePermit<'_>> {
        let runtime = self.runtime.as_ref().expect("taken by drop only").handle();
        let _entered = runtime.enter();
        let turn = block_on(unconstrained(timeout(BUSY_TIMEOUT, self.turn.acquire())));
        let turn = turn.map_err(|_| Failure::Busy)?;
        Ok(turn.expect("the semaphore is never closed"))
    }
}

impl Drop for Connections {
    /// Does not wait for the runtime's thread: the caller may belong to another runtime.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    /// Runs statements without parameters.
    pub(super) fn batch(&self, sql: &str) -> Result<()> {
        wait(&self.runtime, self.client().batch_execute(sql))
    }

    /// Runs a statement. Returns how many rows it touched.
    pub(super) fn execute(&self, sql: &str, values: Values<'_>) -> Result<u64> {
        wait(&self.runtime, async {
            let statement = self.client().prepare_cached(sql).await?;
            self.client().execute(&statement, values).await
        })
    }

    /// Runs a query, and reads each row of its result.
    pub(super) fn query<T>(
        &self,
        sql: &str,
        values: Values<'_>,
        read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        let rows = wait(&self.runtime, async {
            let statement = self.client().prepare_cached(sql).await?;
            self.client().query(&statement, values).await
        })?;
        rows.iter().map(read).collect()
    }

    /// Runs a query, and reads the first row of its result, if there is one.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: Values<'_>,
        read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.query(sql, values, read)?.into_iter().next())
    }

    /// Returns true if a query has a result.
    pub(super) fn exists(&self, sql: &str, values: Values<'_>) -> Result<bool> {
        Ok(self.first(sql, values, |_| Ok(()))?.is_some())
    }

    /// Returns the connection to the others. It must be in no transaction.
    pub(super) fn give_back(mut self) {
        self.client = None;
    }

    fn client(&self) -> &Object {
        self.client.as_ref().expect("taken at the end only")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _entered = self.runtime.enter();
            drop(Object::take(client));
        }
    }
}

/// Waits for an answer of the server, on whatever thread. `unconstrained`, since a task of another runtime
/// that waits here cannot yield to it.
fn wait<T, E>(
    runtime: &Handle,
    answer: impl Future<Output = std::result::Result<T, E>>,
) -> Result<T>
where
    Failure: From<E>,
{
    let _entered = runtime.enter();
    let answered = block_on(unconstrained(timeout(ANSWER_TIMEOUT, answer)));
    answered
        .map_err(|_| Failure::Silent)?
        .map_err(Failure::from)
}

//! Complete downloads, counted: each is a transaction of the database, and an entry of its log.
//!
//! Whoever has a link can have this done as often as he likes, so it is bounded: by client, by how
//! many wait for the database, and by how many threads wait with them. What is past a bound is
//! served, and not counted.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, warn};

use super::{
    client::Origin,
    limit::{Queue, Rate},
};
use crate::drop::{Client, Door, Drop};

/// Downloads of one client that are counted in a minute: some 30 MB of log a day, should it ask
/// all day long.
const COUNTED_PER_MINUTE: usize = 100;

/// How many wait to be counted, as while the database cannot be written: some MB.
const WAITING_MAX: usize = 10_000;

/// How many of the threads for files and the database may wait for it with them.
const WRITING_MAX: usize = 2;

/// How long the end of a download waits for being counted.
const PATIENCE: Duration = Duration::from_secs(1);

/// Counts downloads. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Counter(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    clients: Rate,
    queue: Queue,
}

/// A complete download.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) door: Door,
    /// The indices of the files that were in it.
    pub(super) files: Range<usize>,
    pub(super) client: Client,
    pub(super) queue_id: String,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self(Arc::new(Bounds {
            clients: Rate::per_minute(COUNTED_PER_MINUTE),
            queue: Queue::new(WAITING_MAX, WRITING_MAX),
        }))
    }

    /// Counts one. A database that cannot be written for a while holds the caller up for
    /// [`PATIENCE`] at most, and is written when it can be.
    pub(super) async fn count(&self, drop: Drop, complete: Complete) {
        let Complete {
            door,
            files,
            client,
            queue_id,
        } = complete;
        let network = client.address.map(Origin::of);
        if network.is_some_and(|network| self.0.clients.take(network).is_err()) {
            debug!(
                queue_id,
                "a download of a client that had many is not counted"
            );
            return;
        }
        let id = queue_id.clone();
        let counting = self.0.queue.spawn(async move {
            if let Err(err) = drop.count_download(door, files, &client).await {
                warn!(queue_id, "could not count a download: {err}");
            }
        });
        match counting {
            Some(counting) => _ = timeout(PATIENCE, counting).await,
            None => debug!(
                queue_id = id,
                "a download is not counted: too many wait for that"
            ),
        }
    }
}

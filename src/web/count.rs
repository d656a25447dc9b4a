//! The count of complete downloads: each is a transaction of the database, and an entry of its log.
//!
//! Whoever has a link can trigger this as often as they like, so it is bounded: by client, by the
//! number of downloads that wait for the database, and by the number of threads that wait with
//! them. A download past a limit is served, but not counted.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    drop::{Door, FileDrop, Requester},
    http::{
        client::ClientNetwork,
        limit::{Queue, Rate},
    },
};

/// Number of downloads of one client that are counted in a minute: some 30 MB of log a day, should
/// it ask all day long.
const COUNTED_PER_MINUTE: usize = 100;

/// Number of downloads that may wait to be counted, as while the database cannot be written: some
/// MB.
const WAITING_MAX: usize = 10_000;

/// Number of threads for files and the database that may wait for it with them.
const WRITING_MAX: usize = 2;

/// Longest time for which the end of a download waits to be counted.
const PATIENCE: Duration = Duration::from_secs(1);

/// The counter of downloads. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Counter(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    clients: Rate,
    queue: Queue,
}

/// A complete download.
#[derive(Debug)]
pub(super) struct CompletedDownload {
    pub(super) door: Door,
    /// The indices of the files in it.
    pub(super) files: Range<usize>,
    pub(super) client: Requester,
    pub(super) queue_id: String,
}

impl Counter {
    pub(super) fn new() -> Self {
        Self(Arc::new(Bounds {
            clients: Rate::per_minute(COUNTED_PER_MINUTE),
            queue: Queue::new(WAITING_MAX, WRITING_MAX),
        }))
    }

    /// Counts a download. If the database cannot be written for a while, the caller waits for
    /// [`PATIENCE`] at most; the count is written once that is possible.
    pub(super) async fn count(&self, drop: FileDrop, complete: CompletedDownload) {
        let CompletedDownload {
            door,
            files,
            client,
            queue_id,
        } = complete;
        let network = client.address.map(ClientNetwork::of);
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

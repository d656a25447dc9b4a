//! A Jirafeau: a client of its `script.php`, which knows nothing of packages and records.
//!
//! Measured with 4.3.0 and 4.5.0. Every answer is a text with status 200, so that success is an answer of the
//! right form, and nothing else (`jirafeau/answer.rs`). A file that fits one request is sent in one; a larger
//! one in pieces, each of which must be whole before it is sent, since PHP wants to know its length: an upload
//! keeps at most [`PIECE_BYTES_MAX`] in memory.
//!
//! A file that is not kept is removed in the background ([`Jirafeau::settle`] waits for it). A transfer of which
//! an answer was lost cannot be taken up or removed; Jirafeau removes it after an hour (`clean_async`). What
//! cannot be removed at all, nobody has the link of, and Jirafeau ends it with its expiry.
//!
//! Jirafeau can neither extend nor list files.

mod answer;
mod error;
mod form;
mod http;
#[cfg(test)]
pub(crate) mod recorded;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use self::error::JirafeauError;
pub(crate) use self::upload::Upload;
use self::{answer::is_link_sign, http::Http};
use crate::{
    config::{JirafeauConfig, JirafeauExpiry},
    lock::lock,
};

/// Largest piece of a file that is sent in one request, in bytes.
const PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Smallest piece to which a Jirafeau that takes less than it says can bring us, in bytes.
const PIECE_BYTES_MIN: usize = 64 * 1024;
/// Room that is left for the rest of a form, in bytes.
const FORM_BYTES: u64 = 4096;
/// Time for which the limits that it told are believed.
const LIMITS_LAST: Duration = Duration::from_secs(600);
/// Time for which nothing is removed after it could not be reached: the sweep goes on with other packages.
const REST: Duration = Duration::from_secs(60);
/// Longest wait, at the end of the process, until files that are not kept are gone.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Number of attempts at removing a file that is not kept.
const REMOVALS_MAX: usize = 3;

type Result<T, E = JirafeauError> = std::result::Result<T, E>;

/// A Jirafeau. Its clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Jirafeau {
    shared: Arc<SharedClient>,
}

#[derive(Debug)]
struct SharedClient {
    http: Http,
    expiry: JirafeauExpiry,
    limits: Mutex<Option<(Instant, Limits)>>,
    /// Time of the last removal that failed because it could not be reached.
    unreachable: Mutex<Option<Instant>>,
    /// The removals in the background.
    tasks: TaskTracker,
}

/// The limits of a Jirafeau.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// Largest piece of a file that one request may carry, in bytes.
    piece_bytes_max: usize,
    /// Largest file, in bytes; `None` if there is no limit.
    file_bytes_max: Option<u64>,
}

/// The place of a file, and the code with which it is removed. Its `Debug` shows neither.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Locator {
    /// The address of the Jirafeau, with a final slash.
    url: String,
    link: String,
    code: String,
}

/// A file that Jirafeau has. It is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct UploadedFile {
    jirafeau: Jirafeau,
    runtime: Handle,
    locator: Locator,
    page: String,
    keep: bool,
}

impl Jirafeau {
    /// Opens the Jirafeau that is configured; `None` if there is none. Connects to nothing.
    ///
    /// # Errors
    /// The upload password or the certificates cannot be read.
    pub(crate) fn open(config: &JirafeauConfig) -> Result<Option<Self>> {
        let Some(url) = &config.url else {
            return Ok(None);
        };
        let shared = SharedClient {
            http: Http::open(config, url)?,
            expiry: config.expiry,
            limits: Mutex::default(),
            unreachable: Mutex::default(),
            tasks: TaskTracker::new(),
        };
        Ok(Some(Self {
            shared: Arc::new(shared),
        }))
    }

    /// Returns the time for which it keeps files.
    pub(crate) fn expiry(&self) -> JirafeauExpiry {
        self.shared.expiry
    }

    /// Checks that it answers as a Jirafeau does.
    ///
    /// # Errors
    /// It cannot be reached, or is none.
    pub(crate) async fn probe(&self) -> Result<()> {
        let limits = self.ask_limits().await?;
        self.remember(limits);
        Ok(())
    }

    /// Removes a file; one that is gone is no error.
    ///
    /// # Errors
    /// It is, or may be, still there.
    pub(crate) async fn remove(&self, locator: &Locator) -> Result<()> {
        let (http, unreachable) = (&self.shared.http, &self.shared.unreachable);
        let last = *lock(unreachable);
        if last.is_some_and(|last| last.elapsed() < REST) {
            return Err(http.unreachable("a moment ago it could not be reached"));
        }

        let removed = http.remove(locator).await;
        if let Err(JirafeauError::Unreachable { .. } | JirafeauError::Stalled { .. }) = removed {
            *lock(unreachable) = Some(Instant::now());
        }
        removed
    }

    /// Waits, for a bounded time, until files that are not kept are gone.
    pub(crate) async fn settle(&self) {
        let tasks = &self.shared.tasks;
        tasks.close();
        if timeout(SETTLE_MAX, tasks.wait()).await.is_err() {
            warn!("not everything that was given up is gone from Jirafeau");
        }
        tasks.reopen();
    }

    async fn limits(&self) -> Result<Limits> {
        let known = *lock(&self.shared.limits);
        match known {
            Some((at, limits)) if at.elapsed() < LIMITS_LAST => Ok(limits),
            _ => {
                let limits = self.ask_limits().await?;
                self.remember(limits);
                Ok(limits)
            }
        }
    }

    fn remember(&self, limits: Limits) {
        *lock(&self.shared.limits) = Some((Instant::now(), limits));
    }

    async fn ask_limits(&self) -> Result<Limits> {
        let http = &self.shared.http;
        let version = http.query("get_version").await?;
        if !version.starts_with(|c: char| c.is_ascii_digit()) {
            let version = answer::one_line(&version);
            return Err(http.senseless(format!("it calls its version {version}")));
        }

        let number = |name: &'static str, text: String| {
            let number = text.trim().parse::<u64>();
            number.map_err(|_| http.senseless(format!("its {name} is no number")))
        };
        let capacity = number("get_capacity", http.query("get_capacity").await?)?;
        let megabytes = http.query("get_maximal_upload_size").await?;
        let megabytes = number("get_maximal_upload_size", megabytes)?;

        let room = capacity.saturating_sub(FORM_BYTES);
        if room == 0 {
            return Err(http.refused(format!(
                "its PHP takes {capacity} bytes at once: raise upload_max_filesize and post_max_size there"
            )));
        }
        Ok(Limits {
            piece_bytes_max: usize::try_from(room)
                .map_or(PIECE_BYTES_MAX, |room| room.min(PIECE_BYTES_MAX)),
            file_bytes_max: (megabytes > 0).then(|| megabytes.saturating_mul(1024 * 1024)),
        })
    }

    /// Removes a file that is not kept, in the background.
    fn give_up(&self, locator: Locator, runtime: &Handle) {
        let jirafeau = self.clone();
        let remove = async move {
            for _ in 0..REMOVALS_MAX {
                match jirafeau.shared.http.remove(&locator).await {
                    Ok(()) => return,
                    Err(error) if error.may_pass() => {}
                    Err(error) => {
                        return warn!("a file that nobody has the link of is not removed: {error}");
                    }
                }
            }
            warn!("a file that nobody has the link of is not removed: Jirafeau is not reached");
        };
        self.shared.tasks.spawn_on(remove, runtime);
    }
}

impl UploadedFile {
    /// Returns where it lies.
    pub(crate) fn locator(&self) -> &Locator {
        &self.locator
    }

    /// Returns the address of its page.
    pub(crate) fn page(&self) -> &str {
        &self.page
    }

    /// Leaves it at Jirafeau.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for UploadedFile {
    fn drop(&mut self) {
        if !self.keep {
            self.jirafeau.give_up(self.locator.clone(), &self.runtime);
        }
    }
}

impl Locator {
    /// Returns false if it may have been made by somebody else than [`Jirafeau`].
    fn is_sound(&self) -> bool {
        [&self.link, &self.code]
            .into_iter()
            .all(|word| !word.is_empty() && word.chars().all(is_link_sign))
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locator")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

//! The drop of another host: a client of [`server`](super::server).
//!
//! A file is streamed as the body of one request, fed by a short queue: when the drop is slow, the
//! queue is full and the writer waits. Requests that can be sent twice without harm (begin, commit,
//! give up) are, once, when the connection broke; a file is not, since its bytes are gone.
//!
//! A draft that is given up is taken back in the background ([`Remote::settle`] waits for it). When
//! that fails too, the draft ends by itself on the other side, and a package whose commit was not
//! answered expires without anybody knowing its link.

mod error;
mod link;
mod request;

use std::{fmt, io, sync::Arc, time::Duration};

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use futures_util::stream;
use jiff::Timestamp;
use reqwest::{Body, Method};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

pub use self::error::RemoteError;
use self::{link::Links, request::Http};
pub(crate) use super::wire::FILES_MAX;
use super::wire::{Begin, Begun, Commit, CommitFile, Committed, Received, Sha256};
use crate::{config::RemoteConfig, drop::Token, envelope::Origin, gather::Gather};

/// Number of blocks that wait for the connection.
const QUEUE_BLOCKS: usize = 3;
/// Longest wait, at the end of the process, until abandoned packages are gone.
const SETTLE_MAX: Duration = Duration::from_secs(5);

type Result<T, E = RemoteError> = std::result::Result<T, E>;

/// The drop of another host. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    http: Arc<Http>,
    links: Arc<Links>,
}

/// A package begun on the other host.
#[derive(Debug)]
pub(crate) struct RemotePackage {
    kept: Kept,
    link: String,
    files: u32,
}

/// A file being sent.
#[derive(Debug)]
pub(crate) struct RemoteFile {
    http: Arc<Http>,
    package: String,
    file: CommitFile,
    sha256: Digest,
    gathered: Gather,
    queue: mpsc::Sender<Order>,
    /// The request; it ends when the answer has arrived.
    request: AbortOnDropHandle<Result<Received>>,
}

/// A file that the other host has whole.
#[derive(Debug)]
pub(crate) struct ReceivedFile {
    package: String,
    file: CommitFile,
}

/// A digest being computed.
struct Digest(digest::Context);

/// An instruction to a request's body. A queue that ends without `Finish` was dropped: the
/// connection is cut, so that the other side does not take the part that arrived for the whole.
enum Order {
    Write(Bytes),
    Finish,
}

/// A package on the other host that is taken back unless it is kept.
#[derive(Debug)]
struct Kept {
    http: Arc<Http>,
    token: Token,
    id: String,
    keep: bool,
}

impl Remote {
    /// Reads the token and the certificates. Connects to nothing.
    pub(crate) fn open(config: &RemoteConfig) -> Result<Self> {
        Ok(Self {
            http: Arc::new(Http::open(config)?),
            links: Arc::new(Links::new(config)),
        })
    }

    pub(crate) async fn package(&self, origin: Origin) -> Result<RemotePackage> {
        let token = Token::random();
        let http = Arc::clone(&self.http);
        let mut kept = Kept {
            id: token.package_id(),
            token,
            http,
            keep: false,
        };

        let begun = kept.ask(Method::PUT, "", &Begin::new(origin)).await;
        // A refused package was not begun.
        kept.keep = matches!(begun, Err(RemoteError::Refused { .. }));
        let begun: Begun = begun?;

        self.links
            .check(&begun.link, &kept.token)
            .map_err(|fault| self.http.senseless(fault))?;
        Ok(RemotePackage {
            kept,
            link: begun.link,
            files: 0,
        })
    }

    pub(crate) async fn probe(&self) -> Result<()> {
        self.http.probe().await
    }

    pub(crate) async fn take_back(&self, token: &Token) -> Result<()> {
        give_up(&self.http, token).await
    }

    /// The expiry of a package committed with these files; `None` if it is gone. A commit that is
    /// sent again is answered like the first for as long as the package can be fetched.
    pub(crate) async fn committed(
        &self,
        token: Token,
        files: impl Iterator<Item = &ReceivedFile>,
        expires: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let order = Commit {
            files: files.map(|file| file.file.clone()).collect(),
            expires: Timestamp::from_second(expires.as_second()).unwrap_or(expires),
        };

        let mut kept = Kept {
            id: token.package_id(),
            token,
            http: Arc::clone(&self.http),
            keep: true,
        };

        let answer = kept.ask(Method::POST, "/commit", &order).await;
        match answer {
            Ok(Committed { expires, .. }) => Ok(Some(expires)),
            Err(RemoteError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn settle(&self) {
        let tasks = &self.http.tasks;
        tasks.close();
        if timeout(SETTLE_MAX, tasks.wait()).await.is_err() {
            debug!("not everything that was given up is gone from the drop");
        }
        tasks.reopen();
    }
}

impl RemotePackage {
    pub(crate) fn link(&self) -> &str {
        &self.link
    }

    /// Starts sending the next file.
    pub(crate) fn file(&mut self, name: &str, media_type: &str) -> Result<RemoteFile> {
        let number = self.files;
        if number as usize >= FILES_MAX {
            return Err(RemoteError::TooManyFiles);
        }
        self.files += 1;
        let file = CommitFile {
            number,
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size: 0,
            sha256: Sha256([0; 32]),
            opened: false,
        };

        let (queue, orders) = mpsc::channel(QUEUE_BLOCKS);
        let Kept {
            http, token, id, ..
        } = &self.kept;
        let path = format!("v1/packages/{id}/files/{number}");
        let request = http
            .request(Method::PUT, &path)
            .token(token)
            .body("application/octet-stream", body(orders));
        let sent = {
            let http = Arc::clone(http);
            async move { http.answer(request).await }
        };

        Ok(RemoteFile {
            http: Arc::clone(http),
            package: id.clone(),
            file,
            sha256: Digest(digest::Context::new(&SHA256)),
            gathered: Gather::default(),
            queue,
            request: AbortOnDropHandle::new(tokio::spawn(sent)),
        })
    }

    pub(crate) async fn commit(
        mut self,
        files: Vec<ReceivedFile>,
        expires: Timestamp,
    ) -> Result<String> {
        if files.iter().any(|file| file.package != self.kept.id) {
            let detail = "a file was committed to another package than its own";
            return Err(self.kept.http.senseless(detail));
        }

        let expires = Timestamp::from_second(expires.as_second()).unwrap_or(expires);
        let order = Commit {
            files: files.into_iter().map(|file| file.file).collect(),
            expires,
        };
        let committed: Committed = self.kept.ask(Method::POST, "/commit", &order).await?;

        if committed.link != self.link || committed.expires != expires {
            let detail = "link or expiry are others than agreed upon";
            return Err(self.kept.http.senseless(detail));
        }
        self.kept.keep = true;
        Ok(self.link)
    }
}

impl RemoteFile {
    /// Takes the next bytes. Waits while the drop accepts none.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.file.size += bytes.len() as u64;
        self.sha256.0.update(&bytes);
        for block in self.gathered.take(bytes) {
            self.send(Order::Write(block)).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<ReceivedFile> {
        if let Some(rest) = self.gathered.rest() {
            self.send(Order::Write(rest)).await?;
        }
        self.send(Order::Finish).await?;

        let patience = self.http.patience;
        let answer = timeout(patience, &mut self.request).await;
        let received = match answer {
            Ok(ended) => ended.unwrap_or_else(|_| Err(self.http.senseless("a task died")))?,
            Err(_) => return Err(self.http.stalled()),
        };

        let Self {
            http,
            package,
            mut file,
            sha256,
            ..
        } = self;
        file.sha256 = sha256.end();
        if received.size != file.size || received.sha256 != file.sha256 {
            let url = http.url.clone();
            return Err(RemoteError::Digest { url });
        }
        Ok(ReceivedFile { package, file })
    }

    /// Hands an order to the request. If the request ends before its time, its answer is the error.
    async fn send(&mut self, order: Order) -> Result<()> {
        let patience = self.http.patience;
        tokio::select! {
            biased;
            ended = &mut self.request => Err(self.http.too_early(ended)),
            sent = self.queue.send(order) => match sent {
                Ok(()) => Ok(()),
                // The request let go of its body: its answer is about to come.
                Err(_) => Err(match timeout(patience, &mut self.request).await {
                    Ok(ended) => self.http.too_early(ended),
                    Err(_) => self.http.stalled(),
                }),
            },
            () = sleep(patience) => Err(self.http.stalled()),
        }
    }
}

impl ReceivedFile {
    pub(crate) fn size(&self) -> u64 {
        self.file.size
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        self.file.sha256.0
    }

    pub(crate) fn describe_opened(&mut self, name: String, media_type: String) {
        self.file.name = name;
        self.file.media_type = media_type;
        self.file.opened = true;
    }
}

impl Digest {
    fn end(self) -> Sha256 {
        let digest = self.0.finish();
        Sha256(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

impl Kept {
    /// Sends a request about the package, and once more if the connection broke: repeating it
    /// changes nothing.
    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        below: &str,
        order: &impl Serialize,
    ) -> Result<T> {
        let asked = self.ask_once(&method, below, order).await;
        match asked {
            Err(error) if error.may_pass() => {
                debug!("asked again: {error}");
                self.ask_once(&method, below, order).await
            }
            asked => asked,
        }
    }

    async fn ask_once<T: DeserializeOwned>(
        &self,
        method: &Method,
        below: &str,
        order: &impl Serialize,
    ) -> Result<T> {
        let body = serde_json::to_vec(order).expect("strings and numbers are JSON");
        let path = format!("v1/packages/{}{below}", self.id);
        let request = self.http.request(method.clone(), &path).token(&self.token);
        let request = request.body("application/json", body.into());
        self.http.answer_soon(request).await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let (http, token) = (Arc::clone(&self.http), self.token.clone());
        let take_back = async move {
            for _ in 0..2 {
                match give_up(&http, &token).await {
                    Err(error) if error.may_pass() => {
                        debug!("could not take a package back: {error}");
                    }
                    _ => return,
                }
            }
        };
        self.http.tasks.spawn_on(take_back, &runtime);
    }
}

/// Tells the drop that a package is not wanted, committed or not.
async fn give_up(http: &Http, token: &Token) -> Result<()> {
    let path = format!("v1/packages/{}", token.package_id());
    let request = http.request(Method::DELETE, &path).token(token);
    http.acknowledge(request).await
}

/// The request body that the queue feeds.
fn body(orders: mpsc::Receiver<Order>) -> Body {
    let stream = stream::unfold(Some(orders), |orders| async {
        let mut orders = orders?;
        match orders.recv().await {
            Some(Order::Write(bytes)) => Some((Ok(bytes), Some(orders))),
            Some(Order::Finish) => None,
            None => Some((Err(io::Error::other("the file was given up")), None)),
        }
    });
    Body::wrap_stream(stream)
}

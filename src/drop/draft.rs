//! The way into the drop: drafts of packages and of their files.
//!
//! A draft's worker is a blocking thread that is fed by a short queue: it hashes, encrypts and
//! writes, segment by segment, while the caller goes on receiving. It begins when there is enough to
//! do or nothing more to wait for, so that a small file is one errand of one thread, and ends when
//! the draft is finished or dropped. An open draft takes at most 400 KiB: a segment being built
//! (64 KiB), small writes being gathered (16 KiB), and blocks that are handed over together, each
//! batch 104 KiB: the one in work, the one in the queue and the one before it. A block that is a slice
//! of something larger keeps all of that in memory.
//!
//! With a virus scan, each batch goes to clamd first, from the caller's side; the verdict is awaited
//! while the worker ends the file.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    DropError, FileDrop, Store, Token,
    blobs::Finished,
    commit::commit,
    elsewhere::ElsewhereDraft,
    manifest::{self, ManifestFile},
    vault::Vault,
    writer::{Contents, Sealing, Writer},
};
use crate::{
    aside::{Aside, make_room},
    envelope::Origin,
    gather::Gather,
    jirafeau::Jirafeau,
    ledger::{
        Action, Allowance, Elsewhere, Record, RecordId, Requester, StrangerNetwork, Term, Unlock,
        blocking, expires_at, whole_second,
    },
    scan::{Objection, Scan},
};

/// Size up to which blocks are handed over together: waking a thread costs about as much as hashing 8 KiB.
/// The decoded bytes of two chunks from Postfix fit.
const BATCH_BYTES: usize = 104 * 1024;
/// Number of batches that may wait for the worker.
const QUEUE_BATCHES: usize = 1;
type Result<T, E = DropError> = std::result::Result<T, E>;

/// A package on its way into the drop. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct PackageDraft {
    store: Arc<Store>,
    origin: Origin,
    /// Those of the client that sent the message, even if its address must not be recorded.
    networks: Arc<[StrangerNetwork]>,
    token: Token,
    vault: Vault,
    unlock: Unlock,
    files: u32,
    /// Quota cost of all its files.
    bytes: Arc<AtomicU64>,
    /// The Jirafeau that keeps its files, and the time until which it surely does; `None` if they stay here.
    elsewhere: Option<(Jirafeau, Timestamp)>,
}

/// A file on its way into the drop. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct FileDraft {
    gathered: Gather,
    batch: Vec<Bytes>,
    queue: mpsc::Sender<WorkerCommand>,
    worker: Worker,
    scan: Option<Box<Scanned>>,
}

/// The virus scan of a file, and whose file it is.
#[derive(Debug)]
struct Scanned {
    scan: Scan,
    store: Arc<Store>,
    id: RecordId,
    origin: Origin,
}

/// The worker of a draft.
#[derive(Debug)]
enum Worker {
    /// It has had nothing to do yet.
    Idle(Box<Task>),
    Running(JoinHandle<Result<CompleteFile>>),
    /// Its outcome was taken.
    Gone,
}

/// The task of a worker.
struct Task {
    id: RecordId,
    file: ManifestFile,
    open: Box<dyn FnOnce() -> Result<Writer> + Send + Sync>,
    orders: mpsc::Receiver<WorkerCommand>,
}

/// A file whose contents are whole, though it has no name in the drop yet. Dropping it leaves
/// nothing behind.
#[derive(Debug)]
pub struct CompleteFile {
    id: RecordId,
    pub(super) blob: Aside<Box<dyn Finished>>,
    pub(super) file: ManifestFile,
    _allowance: Allowance,
}

/// An order to the worker. A queue that ends without `Finish` was dropped.
enum WorkerCommand {
    Write(Vec<Bytes>),
    Finish(Vec<Bytes>),
}

impl PackageDraft {
    /// Begins a package under a token that somebody else chose.
    pub(crate) fn under(drop: &FileDrop, token: Token, mut origin: Origin) -> Self {
        let books = drop.store.books();
        let networks = StrangerNetwork::of(books, &origin).into();
        books.leave_out(&mut origin);
        let vault = Vault::new(&token);
        Self {
            store: Arc::clone(&drop.store),
            origin,
            networks,
            token,
            vault,
            unlock: drop.store.unlock,
            files: 0,
            bytes: Arc::default(),
            elsewhere: None,
        }
    }

    /// Lets its files go to a Jirafeau, whose host reads them: browsers have nothing to decrypt.
    pub(super) fn to(mut self, jirafeau: Jirafeau) -> Self {
        let kept_until = whole_second(expires_at(Timestamp::now(), &jirafeau.expiry().span()));
        self.elsewhere = Some((jirafeau, kept_until));
        self.unlock = Unlock::Server;
        self
    }

    /// Returns the time until which the package can be fetched if it is to live until `asked`: a Jirafeau keeps
    /// its first file from before that was begun, and no longer than it is set to.
    pub(crate) fn expires(&self, asked: Timestamp) -> Timestamp {
        let kept_until = self.elsewhere.as_ref().map(|(_, kept_until)| *kept_until);
        kept_until.map_or(asked, |kept_until| kept_until.min(asked))
    }

    /// Returns the token of the link.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Returns the link for readers, which works once the package is committed; `public_url` ends with a
    /// slash.
    pub fn link(&self, public_url: &str) -> String {
        self.unlock.link(public_url, &self.token)
    }

    /// Begins the next file.
    ///
    /// # Errors
    /// The package has too many files.
    pub fn file(&mut self, name: &str, media_type: &str) -> Result<FileDraft> {
        let number = self.files;
        self.files = number
            .checked_add(1)
            .ok_or(DropError::Misuse("too many files"))?;

        let (store, origin) = (Arc::clone(&self.store), self.origin.clone());
        let (id, bytes) = (self.vault.id(), Arc::clone(&self.bytes));
        let networks = Arc::clone(&self.networks);
        let scan = Scanned::begin(&self.store, id, &self.origin);
        let sealed = self.vault.seal_file(number);
        let file = ManifestFile::new(number, name, media_type);
        let elsewhere = self
            .elsewhere
            .as_ref()
            .map(|(jirafeau, _)| jirafeau.clone());
        let told = (name.to_owned(), media_type.to_owned());
        let draft = FileDraft::new(id, file, move || {
            let books = store.books();
            let Some(jirafeau) = elsewhere else {
                let allowance = Allowance::new(books, &origin, &networks, bytes)?;
                let draft = store.blobs.draft(id, number)?;
                let contents = Contents::Sealed(Sealing::new(draft, sealed));
                return Ok(Writer::new(contents, allowance));
            };
            let allowance = Allowance::elsewhere(books, &origin, &networks, bytes)?;
            let draft = ElsewhereDraft::new(&jirafeau, &told.0, &told.1);
            Ok(Writer::new(Contents::Plain(draft), allowance))
        });
        Ok(FileDraft { scan, ..draft })
    }

    /// Makes the package durable and visible: once this returns, the link works. `files` are in the order in
    /// which they are shown. Times are cut to whole seconds.
    ///
    /// Dropping the future gives up: nothing is kept.
    ///
    /// # Errors
    /// Nothing is kept then. [`Blocked`](crate::ledger::LedgerError::Blocked) if an admin blocked one of the files,
    /// [`Suspended`](crate::ledger::LedgerError::Suspended) if an admin suspended the login.
    pub async fn commit(
        self,
        files: Vec<CompleteFile>,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<Token> {
        let expires = self.expires(expires);
        let Self {
            store,
            origin,
            networks,
            token,
            vault,
            unlock,
            elsewhere,
            ..
        } = self;

        if files.iter().any(|file| file.id != vault.id()) {
            return Err(DropError::Misuse(
                "a file was committed to another package than its own",
            ));
        }

        let kept_until = elsewhere.map(|(_, kept_until)| kept_until);
        let committed = blocking(move || {
            let manifest = manifest::seal(&vault, files.iter().map(|file| &file.file));
            let record = Record {
                created: whole_second(created),
                term: Term {
                    expires: whole_second(expires),
                    ended: None,
                },
                origin,
                unlock,
                manifest: Some(manifest),
                files: u32::try_from(files.len()).unwrap_or(u32::MAX),
                bytes: files.iter().map(|file| file.file.size).sum(),
                downloads: 0,
                held: None,
                elsewhere: kept_until.map(|kept_until| Elsewhere {
                    kept_until,
                    locators: store.locators(vault.id(), &files),
                }),
            };
            commit(store, vault.id(), record, &networks, files).map(Aside::new)
        });

        committed.await?.into_inner().keep();
        Ok(token)
    }
}

impl FileDraft {
    fn new(
        id: RecordId,
        file: ManifestFile,
        open: impl FnOnce() -> Result<Writer> + Send + Sync + 'static,
    ) -> Self {
        let (queue, orders) = mpsc::channel(QUEUE_BATCHES);
        let task = Task {
            id,
            file,
            open: Box::new(open),
            orders,
        };
        Self {
            gathered: Gather::default(),
            batch: Vec::new(),
            queue,
            worker: Worker::Idle(Box::new(task)),
            scan: None,
        }
    }

    /// Takes the next bytes. Waits while the disk or clamd is slow. Errors are returned here or by `finish`.
    ///
    /// # Errors
    /// The directory cannot be written, a quota is used up, or the file cannot be scanned: drop the draft.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        for block in self.gathered.take(bytes) {
            self.push(block).await?;
        }
        Ok(())
    }

    /// Ends the file: once this returns, the drop has all of it. It is durable with its package.
    ///
    /// # Errors
    /// The draft cannot be written, or the virus scan objects to it: nothing is kept.
    pub async fn finish(mut self) -> Result<CompleteFile> {
        if let Some(rest) = self.gathered.rest() {
            self.push(rest).await?;
        }
        let batch = std::mem::take(&mut self.batch);
        self.scan(&batch).await?;
        self.send(WorkerCommand::Finish(batch)).await?;

        let Some(scanned) = self.scan.take() else {
            return self.outcome().await;
        };
        let (file, verdict) = tokio::join!(self.outcome(), scanned.finish());
        verdict.and(file)
    }

    /// Has a batch scanned before the worker gets it.
    async fn scan(&mut self, batch: &[Bytes]) -> Result<()> {
        match &mut self.scan {
            Some(scanned) => Ok(scanned.scan.write(batch).await?),
            None => Ok(()),
        }
    }

    /// Adds a block to the batch, which goes to the worker before it gets too large.
    async fn push(&mut self, block: Bytes) -> Result<()> {
        let bytes: usize = self.batch.iter().map(Bytes::len).sum();
        if bytes + block.len() > BATCH_BYTES {
            self.send_batch().await?;
        }
        self.batch.push(block);
        Ok(())
    }

    async fn send_batch(&mut self) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        self.scan(&batch).await?;
        self.send(WorkerCommand::Write(batch)).await
    }

    /// Sends an order, and starts the worker with the first one, for which the queue has room.
    async fn send(&mut self, order: WorkerCommand) -> Result<()> {
        let sent = self.queue.send(order).await;
        self.worker.start();
        match sent {
            Ok(()) => Ok(()),
            Err(_) => Err(self.outcome().await.err().unwrap_or(DropError::Stopped)),
        }
    }

    /// Waits for the outcome of the worker, which is returned once.
    async fn outcome(&mut self) -> Result<CompleteFile> {
        match std::mem::replace(&mut self.worker, Worker::Gone) {
            Worker::Running(worker) => worker.await.unwrap_or(Err(DropError::Stopped)),
            Worker::Idle(_) | Worker::Gone => Err(DropError::Stopped),
        }
    }
}

impl Scanned {
    /// Begins the scan of a file; returns `None` if nothing is scanned.
    fn begin(store: &Arc<Store>, id: RecordId, origin: &Origin) -> Option<Box<Self>> {
        let scanner = store.scanner.as_ref()?;
        Some(Box::new(Self {
            scan: scanner.scan(),
            store: Arc::clone(store),
            id,
            origin: origin.clone(),
        }))
    }

    /// Waits for the verdict. An infected file is noted in the audit log.
    async fn finish(self: Box<Self>) -> Result<()> {
        let Self {
            scan,
            store,
            id,
            origin,
        } = *self;
        let Err(objection) = scan.finish().await else {
            return Ok(());
        };

        if let Objection::Infected(_) = objection {
            let (now, detail) = (Timestamp::now(), objection.to_string());
            let about = (id, &origin);
            let books = Arc::clone(store.books());
            let entry = books.entry(now, Action::Refuse, about, Requester::MAIL, detail);
            blocking(move || books.log(&entry)).await?;
        }
        Err(objection.into())
    }
}

impl CompleteFile {
    /// Returns its size in bytes.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Returns the SHA-256 of its contents.
    pub fn sha256(&self) -> [u8; 32] {
        self.file.sha256
    }

    /// Gives it another name and media type: they may be known after the contents only.
    pub(crate) fn describe(&mut self, name: String, media_type: String) {
        self.file.name = name;
        self.file.media_type = media_type;
    }

    /// Notes that it was read out of another file of the package.
    pub(crate) fn mark_opened(&mut self) {
        self.file.opened = true;
    }
}

impl Worker {
    fn start(&mut self) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Idle(task) => Self::Running(spawn_blocking(|| task.work())),
            started => started,
        };
    }
}

impl Task {
    fn work(self) -> Result<CompleteFile> {
        let Self {
            id,
            mut file,
            open,
            mut orders,
        } = self;

        make_room();
        let mut writer = open()?;
        loop {
            match orders.blocking_recv() {
                Some(WorkerCommand::Write(blocks)) => writer.write_all(&blocks)?,
                Some(WorkerCommand::Finish(blocks)) => {
                    writer.write_all(&blocks)?;
                    let (blob, allowance) = writer.finish(&mut file)?;
                    file.page = blob.elsewhere().map(|there| there.page().to_owned());
                    return Ok(CompleteFile {
                        id,
                        blob: Aside::new(blob),
                        file,
                        _allowance: allowance,
                    });
                }
                None => return Err(DropError::Stopped),
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, file, .. } = self;
        f.debug_struct("Task")
            .field("id", id)
            .field("file", file)
            .finish_non_exhaustive()
    }
}

/// Makes a draft that is written to this file instead of its own.
#[cfg(test)]
pub(super) fn draft_into(
    file: std::fs::File,
    directory: &std::path::Path,
    package: &PackageDraft,
) -> FileDraft {
    let draft = super::blobs::draft_into(file, directory);
    let allowance = Allowance::new(package.store.books(), &package.origin, &[], Arc::default());
    let allowance = allowance.expect("there is no quota");
    let contents = Contents::Sealed(Sealing::new(draft, package.vault.seal_file(0)));
    let writer = Writer::new(contents, allowance);
    let file = ManifestFile::new(0, "a", "b");
    FileDraft::new(package.vault.id(), file, || Ok(writer))
}

//! The way out of the bucket: ranges of an object, fetched ahead of who reads them.
//!
//! A task asks for one range after the other and hands on what comes; the next range is asked for shortly
//! before the end of the one before it, so that a download does not wait for the way to the service. What
//! nobody has read yet waits in the connection: a slow reader holds about a megabyte, however large the file.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, GetResult, ObjectStore as _, ObjectStoreExt as _, path::Path as Name,
};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::task::AbortOnDropHandle;

use super::{
    super::{Blob, DropError, RecordId, Result},
    bucket::Bucket,
};
use crate::lock::lock;

/// Number of bytes of one request: a download ends so much after its blob was destroyed by another process.
const RANGE_BYTES: u64 = 8 << 20;
/// Number of bytes before the end of a range at which the next one is asked for.
const AHEAD_BYTES: u64 = 1 << 20;
/// Offset up to which what is wanted is fetched along with the beginning, which is always read.
const NEAR_BYTES: u64 = 64 << 10;
/// Number of bytes of the beginning that are fetched where what is wanted lies further behind.
const BEGINNING_BYTES: u64 = 4 << 10;
/// Number of pieces that wait for the reader, each of at most what a connection reads at once.
const QUEUE_PIECES: usize = 2;

type ObjectPieces = BoxStream<'static, object_store::Result<Bytes>>;

/// A range that was asked for before the one before it ended.
type Ahead = AbortOnDropHandle<io::Result<ObjectPieces>>;

/// An object that is open for reading.
#[derive(Debug)]
pub(super) struct Download {
    bucket: Arc<Bucket>,
    name: Name,
    path: PathBuf,
    length: u64,
    /// End of what is fetched ahead.
    end: u64,
    is_destroyed: Arc<AtomicBool>,
    window: Mutex<Window>,
}

/// What was fetched and not read yet.
#[derive(Debug)]
struct Window {
    /// Offset of the first byte in `pieces`.
    offset: u64,
    pieces: VecDeque<Bytes>,
    bytes: usize,
    queue: Receiver<io::Result<Bytes>>,
    /// End of what is fetched.
    end: u64,
    /// The failure that ended it.
    failure: Option<io::Error>,
}

/// A download that runs: its blob, and what ends it.
type RunningDownload = ((RecordId, u32), Weak<AtomicBool>);

/// The downloads of this process, so that they can be ended.
#[derive(Debug, Default)]
pub(super) struct Downloads(Mutex<Vec<RunningDownload>>);

/// Fetches a part of an object.
struct Fetch {
    bucket: Arc<Bucket>,
    name: Name,
    /// What is still to be fetched.
    rest: Range<u64>,
    queue: Sender<io::Result<Bytes>>,
}

impl Download {
    /// Opens an object of exactly this length.
    pub(super) fn open(
        bucket: &Arc<Bucket>,
        name: Name,
        length: u64,
        wanted: Range<u64>,
    ) -> Result<Self> {
        let path = bucket.path(&name);
        let end = if wanted.start > NEAR_BYTES {
            BEGINNING_BYTES
        } else {
            wanted.end.max(BEGINNING_BYTES)
        };
        let begun = 0..end.min(length);

        let (found, pieces) = match begin(bucket, &name, begun.clone()) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(DropError::missing(&path));
            }
            // There is no such range in an empty object.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => (0, None),
            opened => bucket.named("open", &name, opened)?,
        };
        if found != length {
            let reason = format!("it has {found} bytes instead of {length}");
            return Err(DropError::damaged(&path, reason));
        }

        let window = Window::new(bucket, &name, begun, pieces);
        Ok(Self {
            bucket: Arc::clone(bucket),
            name,
            path,
            length,
            end: wanted.end.min(length),
            is_destroyed: Arc::default(),
            window: Mutex::new(window),
        })
    }

    fn check(&self, length: usize, offset: u64) -> io::Result<()> {
        let is_inside = offset.saturating_add(length as u64) <= self.length;
        let is_there = is_inside && !self.is_destroyed.load(Relaxed);
        is_there
            .then_some(())
            .ok_or(ErrorKind::UnexpectedEof.into())
    }
}

impl Blob for Download {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.check(bytes.len(), offset)?;
        let mut window = lock(&self.window);
        let end = offset + bytes.len() as u64;
        if offset != window.offset || end > window.end {
            let range = offset..self.end.max(end);
            *window = Window::new(&self.bucket, &self.name, range, None);
        }
        while window.bytes < bytes.len() {
            window.wait()?;
        }
        window.read(bytes);
        Ok(())
    }

    fn read_at_hand(&self, bytes: &mut [u8], offset: u64) -> bool {
        let Ok(mut window) = self.window.try_lock() else {
            return false;
        };
        if self.check(bytes.len(), offset).is_err() || offset != window.offset {
            return false;
        }
        while window.bytes < bytes.len() {
            match window.queue.try_recv() {
                Ok(Ok(piece)) => window.push(piece),
                // The read that waits tells it.
                Ok(Err(failure)) => window.failure = Some(failure),
                Err(_) => return false,
            }
        }
        window.read(bytes);
        true
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Window {
    /// Begins to fetch a range; `pieces` are those of a request that was made for its beginning.
    fn new(
        bucket: &Arc<Bucket>,
        name: &Name,
        range: Range<u64>,
        pieces: Option<ObjectPieces>,
    ) -> Self {
        let (sender, queue) = mpsc::channel(QUEUE_PIECES);
        let (offset, end) = (range.start, range.end);
        let fetch = Fetch {
            bucket: Arc::clone(bucket),
            name: name.clone(),
            rest: range,
            queue: sender,
        };
        bucket.threads().spawn(fetch.run(pieces));
        Self {
            offset,
            pieces: VecDeque::new(),
            bytes: 0,
            queue,
            end,
            failure: None,
        }
    }

    /// Waits for the next piece.
    fn wait(&mut self) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match self.queue.blocking_recv() {
            Some(piece) => self.push(piece?),
            None => return Err(ErrorKind::BrokenPipe.into()),
        }
        Ok(())
    }

    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Takes the first bytes, which must be there.
    fn read(&mut self, mut bytes: &mut [u8]) {
        self.offset += bytes.len() as u64;
        self.bytes -= bytes.len();
        while let Some(piece) = self.pieces.front_mut()
            && !bytes.is_empty()
        {
            let now = piece.len().min(bytes.len());
            let (filled, later) = bytes.split_at_mut(now);
            piece.copy_to_slice(filled);
            bytes = later;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl Downloads {
    pub(super) fn watch(&self, key: (RecordId, u32), download: &Download) {
        let mut open = lock(&self.0);
        open.retain(|(_, download)| download.strong_count() > 0);
        open.push((key, Arc::downgrade(&download.is_destroyed)));
    }

    /// Ends those of a blob: they read no further.
    pub(super) fn end(&self, key: (RecordId, u32)) {
        let open = lock(&self.0);
        let of_blob = open.iter().filter(|(open, _)| *open == key);
        for download in of_blob.filter_map(|(_, download)| download.upgrade()) {
            download.store(true, Relaxed);
        }
    }
}

impl Fetch {
    /// Hands on everything, until the end or until nobody reads any more.
    async fn run(mut self, mut pieces: Option<ObjectPieces>) {
        let mut failed_at = None;
        while let Err(error) = self.hand_on(pieces.take()).await {
            // Where something came since the last failure, it is tried again from there.
            let is_stuck = failed_at.replace(self.rest.start) == Some(self.rest.start);
            if is_stuck || error.kind() == ErrorKind::UnexpectedEof {
                let _ = self.queue.send(Err(error)).await;
            }
            if is_stuck || self.queue.is_closed() {
                return;
            }
        }
    }

    /// Hands on one range after the other; `pieces` are those of the first one, if it was asked for.
    async fn hand_on(&mut self, mut pieces: Option<ObjectPieces>) -> io::Result<()> {
        let mut ahead: Option<Ahead> = None;
        while !self.rest.is_empty() {
            let range = next(&self.rest);
            let current = match (pieces.take(), ahead.take()) {
                (Some(pieces), _) => pieces,
                (None, Some(asked)) => asked.await.map_err(io::Error::other)??,
                (None, None) => self.ask(range.clone()).await?,
            };
            ahead = self.drain(current, range.end).await?;
        }
        Ok(())
    }

    /// Hands on the pieces of a range up to `end`. Asks for the next range before they end, if there is one.
    async fn drain(&mut self, mut pieces: ObjectPieces, end: u64) -> io::Result<Option<Ahead>> {
        let mut ahead = None;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.bucket.failure(&error))?;
            if piece.len() as u64 > end - self.rest.start {
                return Err(io::Error::other("the service sent more than was asked for"));
            }
            self.rest.start += piece.len() as u64;
            if self.queue.send(Ok(piece)).await.is_err() {
                return Err(ErrorKind::BrokenPipe.into());
            }
            let is_near = end - self.rest.start <= AHEAD_BYTES;
            if ahead.is_none() && is_near && end < self.rest.end {
                let asked = self.ask(next(&(end..self.rest.end)));
                ahead = Some(AbortOnDropHandle::new(tokio::spawn(asked)));
            }
        }
        if self.rest.start < end {
            return Err(io::Error::other("the service sent less than was asked for"));
        }
        Ok(ahead)
    }

    fn ask(&self, range: Range<u64>) -> impl Future<Output = io::Result<ObjectPieces>> + use<> {
        let (bucket, name) = (Arc::clone(&self.bucket), self.name.clone());
        async move {
            let got = bucket.objects.get_opts(&name, only(range)).await;
            let got = got.map_err(|error| bucket.failure(&error));
            got.map(GetResult::into_stream).map_err(|e| match e.kind() {
                // It was there when it was opened.
                ErrorKind::NotFound => ErrorKind::UnexpectedEof.into(),
                _ => e,
            })
        }
    }
}

/// Makes the first request. Returns the length of the object; for an empty range, that is all.
fn begin(
    bucket: &Bucket,
    name: &Name,
    range: Range<u64>,
) -> io::Result<(u64, Option<ObjectPieces>)> {
    if range.is_empty() {
        let found = bucket.wait(bucket.objects.head(name))?;
        return Ok((found.size, None));
    }
    let got = bucket.wait(bucket.objects.get_opts(name, only(next(&range))))?;
    Ok((got.meta.size, Some(got.into_stream())))
}

/// Returns the part of a range that one request asks for.
fn next(rest: &Range<u64>) -> Range<u64> {
    rest.start..rest.end.min(rest.start + RANGE_BYTES)
}

fn only(range: Range<u64>) -> GetOptions {
    GetOptions {
        range: Some(range.into()),
        ..GetOptions::default()
    }
}

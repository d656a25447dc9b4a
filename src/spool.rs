//! The bytes that stay: in memory first, then in an unlinked temporary file.
//!
//! A spool holds what of a message's body is kept until its end. It can be cut back to a mark,
//! which is how a part that turns out to be heavy leaves it. The file has no name, so nothing is
//! left behind whatever happens to the process.
//!
//! # Memory
//!
//! Each spool may keep a block of 256 KiB. A message that is a little longer would need a file, which
//! costs more than the rest of the work on it; so it may keep more, as long as few others do.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::task;

use crate::{
    aside::Aside,
    budget::{Budget, Share},
};

/// Bytes that each spool may keep in memory, and the amount it gathers before it writes to its file:
/// with 1 MiB, 32 messages of 25 MB at once were a tenth slower (`benches/system`).
const BLOCK: usize = 256 << 10;

/// The number of spools that may hold the configured number of bytes in memory at the same time.
const LONG_SPOOLS: usize = 8;

/// Everything that the spools of this process have on disk.
static PROCESS: OnDisk = OnDisk::new();

/// The number of temporary files of this process, and the bytes in them.
pub(crate) fn on_disk() -> (u64, u64) {
    PROCESS.get()
}

/// Temporary files, and the bytes in them.
#[derive(Debug)]
struct OnDisk {
    files: AtomicU64,
    bytes: AtomicU64,
}

/// A maker of spools in one directory, which share its memory. Clones share it.
#[derive(Clone, Debug)]
pub struct Spools {
    directory: Arc<Path>,
    memory: usize,
    budget: Budget,
    /// Everything that the spools made here have on disk.
    on_disk: Arc<OnDisk>,
}

/// Bytes of one message, in order.
#[derive(Debug)]
pub struct Spool {
    spools: Spools,
    /// Its share of `spools.budget`, for bytes beyond one block.
    share: Share,
    /// The number of bytes it may keep in memory.
    window: usize,
    /// The bytes from `flushed` on.
    tail: Vec<u8>,
    flushed: u64,
    /// The temporary file. It has no name: closing it removes it.
    file: Option<Arc<Aside<File>>>,
}

impl OnDisk {
    const fn new() -> Self {
        Self {
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn get(&self) -> (u64, u64) {
        (self.files.load(Relaxed), self.bytes.load(Relaxed))
    }
}

impl Spools {
    /// Makes spools that keep `memory` bytes of a message, or fewer while many do, before they create
    /// a file in `directory`.
    pub fn new(directory: &Path, memory: usize) -> Self {
        Self {
            directory: directory.into(),
            memory,
            budget: Budget::new(LONG_SPOOLS.saturating_mul(memory)),
            on_disk: Arc::new(OnDisk::new()),
        }
    }

    /// The number of temporary files of the spools made here, and the bytes in them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn on_disk(&self) -> (u64, u64) {
        self.on_disk.get()
    }

    /// The counters to which a spool of this maker adds.
    fn counts(&self) -> [&OnDisk; 2] {
        [&self.on_disk, &PROCESS]
    }

    /// Makes an empty spool.
    pub fn spool(&self) -> Spool {
        Spool {
            share: self.budget.share(),
            window: self.block(),
            spools: self.clone(),
            tail: Vec::new(),
            flushed: 0,
            file: None,
        }
    }

    /// The number of bytes that every spool may keep in memory.
    fn block(&self) -> usize {
        self.memory.min(BLOCK)
    }
}

impl Spool {
    /// The number of bytes it holds.
    pub fn len(&self) -> u64 {
        self.flushed + self.tail.len() as u64
    }

    /// Returns true if it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end, in memory: [`Spool::settle`] comes before the next ones if
    /// [`Spool::is_over`] says so.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Returns true if more is in memory than the window holds.
    pub fn is_over(&self) -> bool {
        self.tail.len() > self.window
    }

    /// If more is in memory than the window holds, grows the window or moves the bytes to the file.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub async fn settle(&mut self) -> io::Result<()> {
        if self.is_over() && !self.grows() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Widens the window to the configured size and returns true, unless the spool has a file already
    /// or other spools take too much.
    fn grows(&mut self) -> bool {
        let (all, block) = (self.spools.memory, self.spools.block());
        if self.file.is_some() || self.tail.len() > all || self.share.set(all - block).is_err() {
            return false;
        }
        self.window = all;
        true
    }

    /// Removes everything after the first `len` bytes.
    ///
    /// # Errors
    /// The temporary file cannot be cut.
    pub async fn truncate(&mut self, len: u64) -> io::Result<()> {
        if let Some(keep) = len.checked_sub(self.flushed) {
            self.tail
                .truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            return Ok(());
        }
        self.tail.clear();
        for count in self.spools.counts() {
            count.bytes.fetch_sub(self.flushed - len, Relaxed);
        }
        self.flushed = len;
        let file = self.file.clone();
        blocking(move || file.map_or(Ok(()), |file| file.set_len(len))).await
    }

    /// Reads a range back. The caller bounds its length.
    ///
    /// # Errors
    /// The temporary file cannot be read, or the range goes past the end.
    pub async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        if range.start > range.end || range.end > self.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let from_file = range.start..range.end.min(self.flushed).max(range.start);
        let mut bytes = self.read_file(from_file.clone()).await?;
        if range.end > self.flushed {
            let offset = |at: u64| (at.saturating_sub(self.flushed)) as usize;
            bytes.extend_from_slice(&self.tail[offset(range.start)..offset(range.end)]);
        }
        Ok(bytes)
    }

    async fn read_file(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let len = range.end - range.start;
        let Some(file) = self.file.clone().filter(|_| len > 0) else {
            return Ok(Vec::new());
        };
        blocking(move || {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        })
        .await
    }

    /// Moves the bytes in memory to the file.
    async fn flush(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => {
                let directory = Arc::clone(&self.spools.directory);
                let file = blocking(move || tempfile::tempfile_in(directory)).await?;
                for count in self.spools.counts() {
                    count.files.fetch_add(1, Relaxed);
                }
                Arc::clone(self.file.insert(Arc::new(Aside::new(file))))
            }
        };

        let (bytes, at) = (std::mem::take(&mut self.tail), self.flushed);
        // The buffer goes to the thread and comes back, so that it need not be allocated anew.
        let (mut bytes, written) = blocking(move || {
            let written = file.write_all_at(&bytes, at);
            Ok((bytes, written))
        })
        .await?;
        written?;

        self.flushed += bytes.len() as u64;
        for count in self.spools.counts() {
            count.bytes.fetch_add(bytes.len() as u64, Relaxed);
        }

        bytes.clear();
        self.window = self.spools.block();
        bytes.shrink_to(self.window);
        self.tail = bytes;
        self.share.clear();
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for count in self.spools.counts() {
            count.bytes.fetch_sub(self.flushed, Relaxed);
            count.files.fetch_sub(self.file.is_some().into(), Relaxed);
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn append(spool: &mut Spool, bytes: &[u8]) -> io::Result<()> {
        spool.push(bytes);
        spool.settle().await
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_at_every_window() {
        let directory = tempfile::tempdir().unwrap();
        for window in [0, 3, 10, 100] {
            let mut spool = Spools::new(directory.path(), window).spool();
            for word in ["one ", "two ", "three ", "four"] {
                append(&mut spool, word.as_bytes()).await.unwrap();
            }
            assert_eq!(spool.len(), 18);
            for start in 0..=18 {
                for end in start..=18 {
                    let read = spool.read(start..end).await.unwrap();
                    let expected = &b"one two three four"[start as usize..end as usize];
                    assert_eq!(read, expected, "{window} {start}..{end}");
                }
            }
            assert!(spool.read(17..19).await.is_err());
        }
    }

    #[tokio::test]
    async fn it_is_cut_back_to_any_mark_and_goes_on_from_there() {
        let directory = tempfile::tempdir().unwrap();
        for window in [0, 4, 100] {
            for mark in 0..=8 {
                let mut spool = Spools::new(directory.path(), window).spool();
                append(&mut spool, b"abcdef").await.unwrap();
                append(&mut spool, b"gh").await.unwrap();
                spool.truncate(mark).await.unwrap();
                append(&mut spool, b"X").await.unwrap();
                let expected = [&b"abcdefgh"[..mark as usize], b"X"].concat();
                assert_eq!(
                    spool.read(0..mark + 1).await.unwrap(),
                    expected,
                    "{window} {mark}"
                );
                assert_eq!(spool.len(), mark + 1);
            }
        }
    }

    #[tokio::test]
    async fn it_leaves_no_file_behind() {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = Spools::new(directory.path(), 0).spool();
        append(&mut spool, b"x").await.unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_missing_directory_is_an_error_once_the_window_is_full() {
        let mut spool = Spools::new(Path::new("/nonexistent"), 2).spool();
        append(&mut spool, b"ab").await.unwrap();
        assert!(append(&mut spool, b"c").await.is_err());
    }

    #[tokio::test]
    async fn few_are_as_long_in_memory_as_configured_and_all_have_a_block() {
        let directory = tempfile::tempdir().unwrap();
        let spools = Spools::new(directory.path(), 2 * BLOCK);
        let mut open = Vec::new();
        for at in 0..2 * LONG_SPOOLS + 2 {
            let mut spool = spools.spool();
            append(&mut spool, &[b'a'; BLOCK]).await.unwrap();
            assert!(spool.file.is_none(), "the block of spool {at}");
            append(&mut spool, b"b").await.unwrap();
            // What is above a block is counted, and that is half of each.
            assert_eq!(spool.file.is_none(), at < 2 * LONG_SPOOLS, "spool {at}");
            open.push(spool);
        }
        // One that is written to its file makes room, and goes on by blocks.
        append(&mut open[0], &[b'c'; BLOCK]).await.unwrap();
        assert!(open[0].file.is_some());
        assert_eq!(spools.budget.left(), BLOCK);
        append(&mut open[0], &[b'd'; BLOCK + 1]).await.unwrap();
        assert!(open[0].tail.is_empty());
        assert_eq!(spools.budget.left(), BLOCK);
        drop(open);
        assert_eq!(spools.budget.left(), LONG_SPOOLS * 2 * BLOCK);
    }
}

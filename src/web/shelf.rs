//! The memory of answers on their way: one budget for all of them, and one copy of what several are
//! given.
//!
//! A reader who takes an answer slowly keeps its bytes in memory for as long as they like. So the
//! memory that an answer holds until it is sent is taken from one budget (`web.answer_memory`), and
//! an answer for which none is left is not begun: its reader is asked to come back, and the slowest
//! of all readers is cut, so that some is left by then. A package whose files are being given out
//! is held once, however many readers fetch from it. Small answers that refuse something are not
//! counted: a thousand of them are five megabytes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::body::Bytes;
use jiff::tz::TimeZone;
use mailsplice::names;

use super::{
    download::archive_etag,
    zip::{ZipEntry, ZipLayout},
};
use crate::{
    budget::{Budget, Share, Spent},
    drop::{FileEntry, Package, RecordId, Token},
    http::server::BUFFER_BYTES_MAX,
    lock::lock,
};

/// Maximum memory of an answer that is read piece by piece: the bytes that hyper gathers, and the
/// piece that goes past that.
pub(super) const STREAM_BYTES: usize = BUFFER_BYTES_MAX + 64 * 1024;

/// The allocator's overhead for a file's name and type, in bytes.
const ALLOCATION_BYTES: usize = 64;

/// The memory of all answers. A clone would count on its own, so it is shared by reference.
#[derive(Debug)]
pub(super) struct Shelf {
    budget: Budget,
    refused: AtomicBool,
    packages: Mutex<HashMap<RecordId, Weak<Shelved>>>,
}

/// A package from which files are given out, with all of them as ZIP.
#[derive(Debug)]
pub(super) struct Shelved {
    package: Package,
    layout: OnceLock<ZipLayout>,
    etag: OnceLock<String>,
    _share: Share,
}

/// Bytes that give something back when the last of them is gone.
struct LeasedBytes<T, S> {
    bytes: T,
    _share: S,
}

impl<T: AsRef<[u8]>, S> AsRef<[u8]> for LeasedBytes<T, S> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Ties a share of something to bytes, until the last of them is sent.
pub(super) fn tie(bytes: impl AsRef<[u8]> + Send + 'static, share: impl Send + 'static) -> Bytes {
    Bytes::from_owner(LeasedBytes {
        bytes,
        _share: share,
    })
}

impl Shelf {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            budget: Budget::new(bytes),
            refused: AtomicBool::new(false),
            packages: Mutex::default(),
        }
    }

    /// Takes `bytes` from the budget.
    ///
    /// # Errors
    /// Other answers hold all of it.
    pub(super) fn take(&self, bytes: usize) -> Result<Share, Spent> {
        let mut share = self.budget.share();
        let taken = share.set(bytes);
        taken.inspect_err(|_| self.refused.store(true, Relaxed))?;
        Ok(share)
    }

    /// Returns true if there was too little memory for an answer since the last call.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.swap(false, Relaxed)
    }

    /// Makes bytes that are counted until they are sent.
    ///
    /// # Errors
    /// Other answers hold all of the budget.
    pub(super) fn hold(&self, bytes: Vec<u8>) -> Result<Bytes, Spent> {
        // No spare capacity: the bytes may stay for long.
        let bytes = bytes.into_boxed_slice();
        let share = self.take(bytes.len())?;
        Ok(tie(bytes, share))
    }

    /// The one copy of a package: the one from which files are already given out, if there is one.
    ///
    /// # Errors
    /// Other answers hold all of the budget.
    pub(super) fn shelve(&self, token: &Token, package: Package) -> Result<Arc<Shelved>, Spent> {
        let id = RecordId::from(token);
        let mut packages = self.packages();
        let known = packages.get(&id).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| known.package.has_the_files_of(&package)) {
            return Ok(known);
        }
        let share = self.take(weight(&package.files))?;
        let shelved = Arc::new(Shelved {
            package,
            layout: OnceLock::new(),
            etag: OnceLock::new(),
            _share: share,
        });
        packages.retain(|_, package| package.strong_count() > 0);
        packages.insert(id, Arc::downgrade(&shelved));
        Ok(shelved)
    }

    #[cfg(test)]
    pub(super) fn left(&self) -> usize {
        self.budget.left()
    }

    /// The packages, poisoned or not: the table is whole at every instant.
    fn packages(&self) -> MutexGuard<'_, HashMap<RecordId, Weak<Shelved>>> {
        lock(&self.packages)
    }
}

impl Shelved {
    pub(super) fn package(&self) -> &Package {
        &self.package
    }

    /// The ZIP of all files, with times in this zone.
    pub(super) fn layout(&self, zone: &TimeZone) -> &ZipLayout {
        self.layout.get_or_init(|| {
            let files = &self.package.files;
            let names = names::unique_files(files.iter().map(|file| file.name.as_str()));
            let entries = files.iter().zip(names).map(|(file, name)| ZipEntry {
                name,
                size: file.size,
                crc32: file.crc32,
            });
            ZipLayout::new(entries.collect(), self.package.created, zone)
        })
    }

    /// The tag of that archive.
    pub(super) fn archive_etag(&self, zone: &TimeZone) -> &str {
        let layout = self.layout(zone);
        let made = || archive_etag(layout, &self.package.files);
        self.etag.get_or_init(made)
    }

    /// The name under which a file is given out; the package has that file. It differs from those
    /// of all others.
    pub(super) fn name(&self, index: usize, zone: &TimeZone) -> &str {
        self.layout(zone).name(index)
    }
}

/// The approximate memory of a package's files, in bytes, including its archive's layout.
fn weight(files: &[FileEntry]) -> usize {
    let of_one = |file: &FileEntry| {
        let names = 2 * file.name.len() + file.media_type.len();
        names + 2 * size_of::<FileEntry>() + 2 * ALLOCATION_BYTES
    };
    files.iter().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::DropConfig,
        drop::{FileDrop, PackageLookup},
    };

    async fn find(drop: &FileDrop, token: &Token) -> Package {
        match drop.find(token, Timestamp::now()).await.unwrap() {
            PackageLookup::Live(package) => package,
            _ => panic!("it is live"),
        }
    }

    #[tokio::test]
    async fn a_package_stands_once_however_many_fetch_it_and_goes_with_the_last() {
        let home = TempDir::new().unwrap();
        let directory = home.path().join("drop");
        let drop = FileDrop::open(&DropConfig {
            directory,
            ..DropConfig::default()
        })
        .unwrap();
        let files = [("a.pdf", "x".into()), ("b.pdf", "y".into())];
        let token = crate::web::tests::deposit(&drop, &files, SignedDuration::from_hours(1)).await;
        let token: Token = token.parse().unwrap();
        let shelf = Shelf::new(10_000);
        let first = shelf.shelve(&token, find(&drop, &token).await).unwrap();
        let left = shelf.left();
        assert!(left < 10_000);
        let second = shelf.shelve(&token, find(&drop, &token).await).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && shelf.left() == left);
        let name: *const str = first.name(1, &TimeZone::UTC);
        assert!(std::ptr::eq(name, second.name(1, &TimeZone::UTC)));
        std::mem::drop((first, second));
        assert_eq!(shelf.left(), 10_000);
        assert!(
            Shelf::new(9)
                .shelve(&token, find(&drop, &token).await)
                .is_err()
        );
    }

    #[test]
    fn bytes_are_counted_until_the_last_of_them_is_gone() {
        let shelf = Shelf::new(10);
        let mut bytes = shelf.hold(vec![7; 8]).unwrap();
        assert_eq!(shelf.hold(vec![7; 3]).err(), Some(Spent));
        let rest = bytes.split_off(4);
        std::mem::drop(bytes);
        assert_eq!(shelf.left(), 2);
        std::mem::drop(rest);
        assert_eq!(shelf.left(), 10);
    }
}

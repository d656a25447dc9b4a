//! The places where detached files go: a seam that is as narrow as the filter needs.
//!
//! A [`Store`] takes packages: a package is begun, its files are streamed into it one at a time, and
//! the commit makes all of them visible under one link. Until then nothing can be seen, and
//! whatever is dropped on the way leaves nothing behind. `store/conformance.rs` states this
//! contract as tests; every store passes it.
//!
//! * *embedded* – the [drop of this process](crate::drop)
//! * *jirafeau* – the records of that drop, and files at a Jirafeau
//! * *remote* – the drop of another host, over HTTP (`remote`)
//!
//! Another store is one more file here (the first two share theirs), a line in [`open`], and a word in
//! the configuration. Its link may be known as late as the commit, and may have any form.
//!
//! A store is not asked to list, to extend, to delete what is out, to keep names apart, or to
//! resume a file. A store whose own objects are single files can gather them at the commit, since the
//! link belongs to the package, not to a file.

mod embedded;
mod error;
mod remote;

#[cfg(test)]
pub(crate) mod conformance;

use std::{any::Any, fmt::Debug, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use self::embedded::EmbeddedStore;
pub use self::error::StoreError;
pub use crate::remote::client::RemoteError;
use crate::{
    config::{Config, PublicUrl, StoreKind},
    drop::FileDrop,
    envelope::Origin,
    remote::client::Remote,
};

/// The result of a store's work.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A place where detached files go.
pub trait Store: Debug + Send + Sync {
    /// Begins a package. `public_url` replaces the usual beginning of links in a drop of this
    /// process; any other store uses its own links.
    ///
    /// # Errors
    /// The store cannot be reached, or does not accept a package from us.
    fn begin<'a>(
        &'a self,
        origin: Origin,
        public_url: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Box<dyn OpenPackage>>>;

    /// Returns the expiry of a package committed earlier with these files; `None` if it can no
    /// longer be fetched, or if the store cannot tell. `expires` is the time that its commit gave.
    ///
    /// # Errors
    /// The store cannot be asked.
    fn committed<'a>(
        &'a self,
        link: &'a str,
        files: &'a [&'a dyn StoredFile],
        expires: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Timestamp>>> {
        let _ = (link, files, expires);
        Box::pin(async { Ok(None) })
    }

    /// Takes back a package committed a moment ago, as if it had never been: for callers that test
    /// whether the store works, or cannot use the link. `link` is the one that the commit returned.
    ///
    /// # Errors
    /// It is not there, or so old that somebody may have its link.
    fn take_back<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Checks that a package can be deposited.
    ///
    /// # Errors
    /// It cannot be deposited.
    fn probe(&self) -> BoxFuture<'_, Result<()>>;

    /// Waits, for a bounded time, until abandoned packages are gone from the store. Call it at the
    /// end.
    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A package being built. Dropping it leaves nothing behind.
pub trait OpenPackage: Debug + Send + Sync {
    /// The link under which the package will be found once it is committed; `None` if the store
    /// learns it at the commit.
    fn link(&self) -> Option<&str>;

    /// Returns the time until which the package can be fetched if it is to live until `asked`: a store may have
    /// an expiry of its own.
    fn expires(&self, asked: Timestamp) -> Timestamp {
        asked
    }

    /// Opens the next file.
    ///
    /// # Errors
    /// The store does not accept it.
    fn file(&mut self, name: &str, media_type: &str) -> Result<Box<dyn OpenFile>>;

    /// Makes the package durable and visible, and returns its link: once this returns, the link
    /// works. It is that of [`link`](Self::link) if there was one. `files` are in the order in which
    /// they are shown. Times are cut to whole seconds; a store that has a clock of its own may know
    /// `created` better.
    ///
    /// Dropping the future abandons the package: nothing is kept.
    ///
    /// # Errors
    /// Nothing is kept.
    fn commit(
        self: Box<Self>,
        files: Vec<Box<dyn StoredFile>>,
        created: Timestamp,
        expires: Timestamp,
    ) -> BoxFuture<'static, Result<String>>;
}

/// A file being written. Dropping it leaves nothing behind.
pub trait OpenFile: Debug + Send + Sync {
    /// Takes the next bytes. Waits while the store is slow. Errors surface here or at `finish`.
    ///
    /// # Errors
    /// The file cannot be written; drop it.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// Ends the file: once this returns, the store has all of it. It is durable with its package.
    ///
    /// # Errors
    /// The file cannot be written; nothing is kept.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn StoredFile>>>;
}

/// A file that is whole in the store but not yet visible. Nothing is left of it once its package
/// is dropped.
pub trait StoredFile: Any + Debug + Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// SHA-256 of its contents.
    fn sha256(&self) -> [u8; 32];

    /// Says that it was read out of another file of the package, and gives it the name and the media type
    /// that were told there, behind its contents.
    fn describe_opened(&mut self, name: String, media_type: String);
}

/// The stores that are open: the usual one, and those that rules choose. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    usual: OpenStore,
    others: Arc<[OpenStore]>,
}

/// A store that is open, and the kind by which the configuration names it.
#[derive(Clone, Debug)]
pub struct OpenStore {
    kind: StoreKind,
    store: Arc<dyn Store>,
}

impl Stores {
    /// All stores that the configuration uses. Connects to nothing.
    ///
    /// # Errors
    /// A store cannot be opened.
    pub fn open(config: &Config) -> Result<Self> {
        let mut open = Self::elsewhere(config)?;
        for kind in StoreKind::all().filter(|kind| kind.is_here() && config.uses(*kind)) {
            open.push(OpenStore::open(config, kind)?);
        }
        Self::of(config, open)
    }

    /// The stores outside of this process that the configuration uses. Opened before the drop of
    /// this process, since that leaves files behind.
    ///
    /// # Errors
    /// Token or certificates cannot be read.
    pub fn elsewhere(config: &Config) -> Result<Vec<OpenStore>> {
        let kinds = StoreKind::all().filter(|kind| !kind.is_here() && config.uses(*kind));
        kinds.map(|kind| OpenStore::open(config, kind)).collect()
    }

    /// The stores that are already open.
    ///
    /// # Errors
    /// The usual store is not among them.
    pub fn over(
        config: &Config,
        drop: Option<FileDrop>,
        elsewhere: Vec<OpenStore>,
    ) -> Result<Self> {
        let mut open = elsewhere;
        if let Some(drop) = drop {
            // A rule that is read later may ask for the drop, which is open in any case.
            let is_open = |kind: &StoreKind| *kind == StoreKind::Embedded || config.uses(*kind);
            let kinds = StoreKind::all().filter(|kind| kind.is_here() && is_open(kind));
            let of_drop = |kind| OpenStore::of_drop(drop.clone(), &config.web.public_url, kind);
            open.extend(kinds.map(of_drop));
        }
        Self::of(config, open)
    }

    fn of(config: &Config, mut open: Vec<OpenStore>) -> Result<Self> {
        let usual = open.iter().position(|one| one.kind == config.store.kind);
        let usual = usual.ok_or(StoreError::NotOpen(config.store.kind))?;
        Ok(Self {
            usual: open.swap_remove(usual),
            others: open.into(),
        })
    }

    /// Makes the drop of this process the only store; its links begin with `public_url`.
    pub fn of_drop(drop: FileDrop, public_url: &PublicUrl) -> Self {
        Self {
            usual: OpenStore::of_drop(drop, public_url, StoreKind::Embedded),
            others: Arc::default(),
        }
    }

    /// Makes a store the only one, whatever rules ask for.
    #[cfg(test)]
    pub(crate) fn only(kind: StoreKind, store: Arc<dyn Store>) -> Self {
        Self {
            usual: OpenStore { kind, store },
            others: Arc::default(),
        }
    }

    /// The usual store, or the one of this kind.
    ///
    /// # Errors
    /// It is not open. No other store stands in for it: a rule may name one because others must not
    /// have the files.
    pub fn get(&self, kind: Option<StoreKind>) -> Result<&Arc<dyn Store>> {
        let Some(kind) = kind else {
            return Ok(&self.usual.store);
        };
        self.iter()
            .find(|one| one.kind == kind)
            .map(|one| &one.store)
            .ok_or(StoreError::NotOpen(kind))
    }

    /// Returns true if files of this kind of store, or of the usual one, stay in this process's drop.
    pub fn is_here(&self, kind: Option<StoreKind>) -> bool {
        kind.unwrap_or(self.usual.kind).is_here()
    }

    /// Checks that a package can be deposited in each of them.
    ///
    /// # Errors
    /// A store takes no package.
    pub async fn probe(&self) -> Result<()> {
        for one in self.iter() {
            one.store.probe().await?;
        }
        Ok(())
    }

    /// Waits, for a bounded time, until abandoned packages are gone from the stores. Call it at the
    /// end.
    pub async fn settle(&self) {
        for one in self.iter() {
            one.store.settle().await;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &OpenStore> {
        std::iter::once(&self.usual).chain(self.others.iter())
    }
}

impl OpenStore {
    fn open(config: &Config, kind: StoreKind) -> Result<Self> {
        let store = open(config, kind)?;
        Ok(Self { kind, store })
    }

    fn of_drop(drop: FileDrop, public_url: &PublicUrl, kind: StoreKind) -> Self {
        let store = over_drop(drop, public_url, kind);
        Self { kind, store }
    }
}

/// Opens a store of this kind. The drop of this process is opened only if it is the one; nothing is
/// connected to.
///
/// # Errors
/// The drop cannot be opened; the token or the certificates of a remote one cannot be read.
pub fn open(config: &Config, kind: StoreKind) -> Result<Arc<dyn Store>> {
    Ok(match kind {
        StoreKind::Embedded | StoreKind::Jirafeau => {
            over_drop(FileDrop::of(config)?, &config.web.public_url, kind)
        }
        StoreKind::Remote => Arc::new(Remote::open(&config.remote)?),
    })
}

/// Makes the store of a kind whose records are those of the drop of this process.
fn over_drop(drop: FileDrop, public_url: &PublicUrl, kind: StoreKind) -> Arc<dyn Store> {
    let store = EmbeddedStore::new(drop, public_url);
    Arc::new(match kind {
        StoreKind::Jirafeau => store.elsewhere(),
        _ => store,
    })
}

/// Returns the files as the store's own type of them.
///
/// # Errors
/// A file is of another store.
fn own<F: StoredFile>(files: Vec<Box<dyn StoredFile>>) -> Result<Vec<F>> {
    let own = |file: Box<dyn StoredFile>| {
        let file: Box<dyn Any> = file;
        let own = file.downcast::<F>().map_err(|_| StoreError::OtherStore)?;
        Ok(*own)
    };
    files.into_iter().map(own).collect()
}

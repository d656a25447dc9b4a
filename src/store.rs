//! The places where detached files go: a seam that is as narrow as the filter needs.
//!
//! A store takes packages: a package is begun, its files are streamed into it one at a time, and
//! the commit makes all of them visible under one link. Until then nothing can be seen, and
//! whatever is dropped on the way leaves nothing behind. `store/conformance.rs` states this
//! contract as tests; every store passes it.
//!
//! * *embedded* – the [drop of this process](crate::drop)
//! * *remote* – the drop of another host, over HTTP ([`remote`](crate::remote))
//!
//! A store is not asked to list, to extend, to delete what is out, to keep names apart, or to
//! resume a file. A store whose own objects are single files can gather them at the commit, for the
//! link is asked for once before it and belongs to the package, not to a file.

mod error;

#[cfg(test)]
mod conformance;

use bytes::Bytes;
use jiff::Timestamp;

pub use self::error::StoreError;
pub use crate::remote::client::RemoteError;
use crate::{
    config::{Config, PublicUrl, StoreKind},
    drop::{self, DropError, FileDrop, Link},
    envelope::Origin,
    remote::client::{self, Remote},
};

/// A place where detached files go. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Embedded {
        drop: FileDrop,
        public_url: PublicUrl,
    },
    Remote(Remote),
}

/// The stores that are open: the usual one, and one that rules choose. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stores {
    usual: Store,
    other: Option<Store>,
}

impl From<Store> for Stores {
    fn from(usual: Store) -> Self {
        Self { usual, other: None }
    }
}

impl Stores {
    /// All stores that the configuration uses. Connects to nothing.
    ///
    /// # Errors
    /// A store cannot be opened.
    pub fn open(config: &Config) -> Result<Self> {
        let remote = Self::remote(config)?;
        let drop = config
            .uses(StoreKind::Embedded)
            .then(|| FileDrop::of(config));
        Self::over(config, drop.transpose()?, remote)
    }

    /// The drop of another host, if the configuration uses it. Opened before the one of this
    /// process, since that leaves files behind.
    ///
    /// # Errors
    /// Token or certificates cannot be read.
    pub fn remote(config: &Config) -> Result<Option<Store>> {
        let is_used = config.uses(StoreKind::Remote);
        is_used.then(|| Store::remote(config)).transpose()
    }

    /// The stores that are already open.
    ///
    /// # Errors
    /// The usual store is not among them.
    pub fn over(config: &Config, drop: Option<FileDrop>, remote: Option<Store>) -> Result<Self> {
        let embedded = drop.map(|drop| Store::embedded(drop, &config.web.public_url));
        let (usual, other) = match config.store.kind {
            StoreKind::Embedded => (embedded, remote),
            StoreKind::Remote => (remote, embedded),
        };
        let usual = usual.ok_or(StoreError::NotOpen(config.store.kind))?;
        Ok(Self { usual, other })
    }

    /// The usual store, or the one of this kind.
    ///
    /// # Errors
    /// It is not open. No other store stands in for it: a rule may name one because others must not
    /// have the files.
    pub fn get(&self, kind: Option<StoreKind>) -> Result<&Store> {
        let Some(kind) = kind else {
            return Ok(&self.usual);
        };
        self.iter()
            .find(|store| store.kind() == kind)
            .ok_or(StoreError::NotOpen(kind))
    }

    /// Checks that a package can be deposited in each of them.
    ///
    /// # Errors
    /// A store takes no package.
    pub async fn probe(&self) -> Result<()> {
        for store in self.iter() {
            store.probe().await?;
        }
        Ok(())
    }

    /// Waits, for a bounded time, until abandoned packages are gone from the stores. Call it at the
    /// end.
    pub async fn settle(&self) {
        for store in self.iter() {
            store.settle().await;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Store> {
        std::iter::once(&self.usual).chain(&self.other)
    }
}

/// A package being built. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct PackageDraft(Package);

#[derive(Debug)]
enum Package {
    Embedded(Box<drop::PackageDraft>, String),
    Remote(client::PackageDraft),
}

/// A file being written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct FileDraft(File);

#[derive(Debug)]
enum File {
    Embedded(drop::FileDraft),
    Remote(client::FileDraft),
}

/// A file that is durable in the store but not yet visible. Nothing is left of it once its package
/// is dropped.
#[derive(Debug)]
pub struct DurableFile(Durable);

#[derive(Debug)]
enum Durable {
    Embedded(Box<drop::DurableFile>),
    Remote(client::DurableFile),
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

impl Store {
    /// Makes a store of this process's drop; its links begin with `public_url`.
    pub fn embedded(drop: FileDrop, public_url: &PublicUrl) -> Self {
        let public_url = public_url.clone();
        Self(Kind::Embedded { drop, public_url })
    }

    /// Opens the store that the configuration selects. The drop of this process is opened only if
    /// it is the one; nothing is connected to.
    ///
    /// # Errors
    /// The drop cannot be opened; the token or the certificates of a remote one cannot be read.
    pub fn open(config: &Config) -> Result<Self> {
        match config.store.kind {
            StoreKind::Embedded => {
                let drop = FileDrop::of(config)?;
                Ok(Self::embedded(drop, &config.web.public_url))
            }
            StoreKind::Remote => Self::remote(config),
        }
    }

    fn remote(config: &Config) -> Result<Self> {
        Ok(Self(Kind::Remote(Remote::open(&config.remote)?)))
    }

    /// The kind of this store: the drop of this process or of another host.
    pub fn kind(&self) -> StoreKind {
        match self.0 {
            Kind::Embedded { .. } => StoreKind::Embedded,
            Kind::Remote(_) => StoreKind::Remote,
        }
    }

    /// Begins a package.
    ///
    /// # Errors
    /// The store cannot be reached, or does not accept a package from us.
    pub async fn package(&self, origin: Origin) -> Result<PackageDraft> {
        self.package_under(origin, None).await
    }

    /// Begins a package whose link starts with another public URL of this drop. A remote store
    /// always uses its own links.
    ///
    /// # Errors
    /// The store cannot be reached, or does not accept a package from us.
    pub async fn package_under(
        &self,
        origin: Origin,
        public_url: Option<&str>,
    ) -> Result<PackageDraft> {
        let package = match &self.0 {
            Kind::Embedded {
                drop,
                public_url: usual,
            } => {
                let package = drop.package(origin);
                let link = package.link(public_url.unwrap_or(usual.as_str()));
                Package::Embedded(Box::new(package), link)
            }
            Kind::Remote(remote) => Package::Remote(remote.package(origin).await?),
        };
        Ok(PackageDraft(package))
    }

    /// Checks that a package can be deposited.
    ///
    /// # Errors
    /// It cannot be deposited.
    pub async fn probe(&self) -> Result<()> {
        match &self.0 {
            Kind::Embedded { drop, .. } => Ok(drop.probe().await?),
            Kind::Remote(remote) => Ok(remote.probe().await?),
        }
    }

    /// The expiry of a package committed earlier with these files; `None` if it can no longer be
    /// fetched. `expires` is the time that its commit gave.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn committed(
        &self,
        link: &str,
        files: &[&DurableFile],
        expires: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let Some(Link { token, .. }) = Link::read(link) else {
            return Ok(None);
        };

        match &self.0 {
            Kind::Embedded { drop, .. } => match drop.find(&token, Timestamp::now()).await? {
                drop::PackageLookup::Live(package) => Ok(Some(package.expires)),
                _ => Ok(None),
            },
            Kind::Remote(remote) => {
                let remote_files = files.iter().filter_map(|file| match &file.0 {
                    Durable::Remote(file) => Some(file),
                    Durable::Embedded(_) => None,
                });
                Ok(remote.committed(token, remote_files, expires).await?)
            }
        }
    }

    /// Takes back a package committed a moment ago, as if it had never been: for callers that test
    /// whether the store works. `link` is the one that the commit returned.
    ///
    /// # Errors
    /// It is not there, or so old that somebody may have its link.
    pub async fn take_back(&self, link: &str) -> Result<()> {
        let Link { token, .. } = Link::read(link).ok_or(StoreError::NotTakenBack)?;
        match &self.0 {
            Kind::Embedded { drop, .. } => drop
                .take_back(&token, Timestamp::now())
                .await
                .map_err(DropError::from)?
                .then_some(())
                .ok_or(StoreError::NotTakenBack),
            Kind::Remote(remote) => Ok(remote.take_back(&token).await?),
        }
    }

    /// Waits, for a bounded time, until abandoned packages are gone from the store. Call it at the
    /// end.
    pub async fn settle(&self) {
        if let Kind::Remote(remote) = &self.0 {
            remote.settle().await;
        }
    }
}

impl PackageDraft {
    /// The link under which the package will be found once it is committed.
    pub fn link(&self) -> &str {
        match &self.0 {
            Package::Embedded(_, link) => link,
            Package::Remote(package) => package.link(),
        }
    }

    /// Opens a draft for the next file.
    ///
    /// # Errors
    /// The store does not accept it.
    pub fn file(&mut self, name: &str, media_type: &str) -> Result<FileDraft> {
        let file = match &mut self.0 {
            Package::Embedded(package, _) => File::Embedded(package.file(name, media_type)?),
            Package::Remote(package) => File::Remote(package.file(name, media_type)?),
        };
        Ok(FileDraft(file))
    }

    /// Makes the package durable and visible: once this returns, the link works. `files` are in the
    /// order in which they are shown. Times are cut to whole seconds; a store that has a clock of
    /// its own may know `created` better.
    ///
    /// Dropping the future abandons the package: nothing is kept.
    ///
    /// # Errors
    /// Nothing is kept.
    pub async fn commit(
        self,
        files: Vec<DurableFile>,
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<String> {
        match self.0 {
            Package::Embedded(package, link) => {
                let files = files.into_iter().map(embedded).collect::<Result<_>>()?;
                package.commit(files, created, expires).await?;
                Ok(link)
            }
            Package::Remote(package) => {
                let files = files.into_iter().map(remote).collect::<Result<_>>()?;
                Ok(package.commit(files, expires).await?)
            }
        }
    }
}

impl FileDraft {
    /// Takes the next bytes. Waits while the store is slow. Errors surface here or at `finish`.
    ///
    /// # Errors
    /// The draft cannot be written; drop it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match &mut self.0 {
            File::Embedded(file) => Ok(file.write(bytes).await?),
            File::Remote(file) => Ok(file.write(bytes).await?),
        }
    }

    /// Ends the file: once this returns, its contents are on stable storage.
    ///
    /// # Errors
    /// The draft cannot be written; nothing is kept.
    pub async fn finish(self) -> Result<DurableFile> {
        let file = match self.0 {
            File::Embedded(file) => Durable::Embedded(Box::new(file.finish().await?)),
            File::Remote(file) => Durable::Remote(file.finish().await?),
        };
        Ok(DurableFile(file))
    }
}

impl DurableFile {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        match &self.0 {
            Durable::Embedded(file) => file.size(),
            Durable::Remote(file) => file.size(),
        }
    }

    /// SHA-256 of its contents.
    pub fn sha256(&self) -> [u8; 32] {
        match &self.0 {
            Durable::Embedded(file) => file.sha256(),
            Durable::Remote(file) => file.sha256(),
        }
    }

    /// Says that it was read out of another file of the package, and gives it the name and the media type
    /// that were told there, behind its contents.
    pub fn describe_opened(&mut self, name: String, media_type: String) {
        match &mut self.0 {
            Durable::Embedded(file) => {
                file.describe(name, media_type);
                file.mark_opened();
            }
            Durable::Remote(file) => file.describe_opened(name, media_type),
        }
    }
}

fn embedded(file: DurableFile) -> Result<drop::DurableFile> {
    match file.0 {
        Durable::Embedded(file) => Ok(*file),
        Durable::Remote(_) => Err(StoreError::OtherStore),
    }
}

fn remote(file: DurableFile) -> Result<client::DurableFile> {
    match file.0 {
        Durable::Remote(file) => Ok(file),
        Durable::Embedded(_) => Err(StoreError::OtherStore),
    }
}

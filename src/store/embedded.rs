//! The drop of this process as a store, whether it keeps the files itself or Jirafeau does.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{OpenFile, OpenPackage, Result, Store, StoreError, StoredFile, own};
use crate::{
    config::PublicUrl,
    drop::{CompleteFile, DropError, FileDraft, FileDrop, Link, PackageDraft, PackageLookup},
    envelope::Origin,
};

/// The drop of this process, and the beginning of its links.
#[derive(Debug)]
pub(super) struct EmbeddedStore {
    drop: FileDrop,
    public_url: PublicUrl,
    /// True if Jirafeau keeps the files.
    is_elsewhere: bool,
}

/// A package on its way into the drop, and its link.
#[derive(Debug)]
struct EmbeddedPackage {
    draft: PackageDraft,
    link: String,
}

impl EmbeddedStore {
    pub(super) fn new(drop: FileDrop, public_url: &PublicUrl) -> Self {
        let public_url = public_url.clone();
        Self {
            drop,
            public_url,
            is_elsewhere: false,
        }
    }

    /// Lets the files go to Jirafeau.
    pub(super) fn elsewhere(self) -> Self {
        Self {
            is_elsewhere: true,
            ..self
        }
    }

    fn package(&self, origin: Origin, public_url: &str) -> Result<Box<dyn OpenPackage>> {
        let draft = if self.is_elsewhere {
            self.drop.package_elsewhere(origin)?
        } else {
            self.drop.package(origin)
        };
        let link = draft.link(public_url);
        Ok(Box::new(EmbeddedPackage { draft, link }))
    }
}

impl Store for EmbeddedStore {
    fn begin<'a>(
        &'a self,
        origin: Origin,
        public_url: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Box<dyn OpenPackage>>> {
        let package = self.package(origin, public_url.unwrap_or(self.public_url.as_str()));
        Box::pin(async { package })
    }

    fn committed<'a>(
        &'a self,
        link: &'a str,
        _files: &'a [&'a dyn StoredFile],
        _expires: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Timestamp>>> {
        Box::pin(async move {
            let Some(Link { token, .. }) = Link::read(link) else {
                return Ok(None);
            };
            match self.drop.find(&token, Timestamp::now()).await? {
                PackageLookup::Live(package) => Ok(Some(package.expires)),
                _ => Ok(None),
            }
        })
    }

    fn take_back<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Link { token, .. } = Link::read(link).ok_or(StoreError::NotTakenBack)?;
            let taken = self.drop.take_back(&token, Timestamp::now()).await;
            let is_taken = taken.map_err(DropError::from)?;
            is_taken.then_some(()).ok_or(StoreError::NotTakenBack)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.drop.probe().await?;
            if self.is_elsewhere {
                self.drop.probe_elsewhere().await?;
            }
            Ok(())
        })
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.drop.settle_elsewhere())
    }
}

impl OpenPackage for EmbeddedPackage {
    fn link(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn expires(&self, asked: Timestamp) -> Timestamp {
        self.draft.expires(asked)
    }

    fn file(&mut self, name: &str, media_type: &str) -> Result<Box<dyn OpenFile>> {
        Ok(Box::new(self.draft.file(name, media_type)?))
    }

    fn commit(
        self: Box<Self>,
        files: Vec<Box<dyn StoredFile>>,
        created: Timestamp,
        expires: Timestamp,
    ) -> BoxFuture<'static, Result<String>> {
        Box::pin(async move {
            let files = own::<CompleteFile>(files)?;
            let Self { draft, link } = *self;
            draft.commit(files, created, expires).await?;
            Ok(link)
        })
    }
}

impl OpenFile for FileDraft {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Ok(self.write(bytes).await?) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn StoredFile>>> {
        Box::pin(async move {
            let file: Box<dyn StoredFile> = Box::new(FileDraft::finish(*self).await?);
            Ok(file)
        })
    }
}

impl StoredFile for CompleteFile {
    fn size(&self) -> u64 {
        self.size()
    }

    fn sha256(&self) -> [u8; 32] {
        self.sha256()
    }

    fn describe_opened(&mut self, name: String, media_type: String) {
        self.describe(name, media_type);
        self.mark_opened();
    }
}

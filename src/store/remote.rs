//! The drop of another host as a store.

use std::any::Any;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{OpenFile, OpenPackage, Result, Store, StoreError, StoredFile, own};
use crate::{
    drop::Link,
    envelope::Origin,
    remote::client::{ReceivedFile, Remote, RemoteFile, RemotePackage},
};

impl Store for Remote {
    fn begin<'a>(
        &'a self,
        origin: Origin,
        _public_url: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Box<dyn OpenPackage>>> {
        Box::pin(async move {
            let package: Box<dyn OpenPackage> = Box::new(self.package(origin).await?);
            Ok(package)
        })
    }

    fn committed<'a>(
        &'a self,
        link: &'a str,
        files: &'a [&'a dyn StoredFile],
        expires: Timestamp,
    ) -> BoxFuture<'a, Result<Option<Timestamp>>> {
        Box::pin(async move {
            let Some(Link { token, .. }) = Link::read(link) else {
                return Ok(None);
            };
            let own = files.iter().filter_map(|file| {
                let file: &dyn Any = *file;
                file.downcast_ref::<ReceivedFile>()
            });
            let own: Vec<&ReceivedFile> = own.collect();
            Ok(self.committed(token, own.into_iter(), expires).await?)
        })
    }

    fn take_back<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Link { token, .. } = Link::read(link).ok_or(StoreError::NotTakenBack)?;
            Ok(self.take_back(&token).await?)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(self.probe().await?) })
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.settle())
    }
}

impl OpenPackage for RemotePackage {
    fn link(&self) -> Option<&str> {
        Some(self.link())
    }

    fn file(&mut self, name: &str, media_type: &str) -> Result<Box<dyn OpenFile>> {
        Ok(Box::new(self.file(name, media_type)?))
    }

    fn commit(
        self: Box<Self>,
        files: Vec<Box<dyn StoredFile>>,
        _created: Timestamp,
        expires: Timestamp,
    ) -> BoxFuture<'static, Result<String>> {
        Box::pin(async move {
            let files = own::<ReceivedFile>(files)?;
            Ok(RemotePackage::commit(*self, files, expires).await?)
        })
    }
}

impl OpenFile for RemoteFile {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Ok(self.write(bytes).await?) })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn StoredFile>>> {
        Box::pin(async move {
            let file: Box<dyn StoredFile> = Box::new(RemoteFile::finish(*self).await?);
            Ok(file)
        })
    }
}

impl StoredFile for ReceivedFile {
    fn size(&self) -> u64 {
        self.size()
    }

    fn sha256(&self) -> [u8; 32] {
        self.sha256()
    }

    fn describe_opened(&mut self, name: String, media_type: String) {
        self.describe_opened(name, media_type);
    }
}

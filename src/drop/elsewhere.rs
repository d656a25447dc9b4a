//! Files that Jirafeau keeps instead of us: they are neither encrypted by us nor read through our pages.
//!
//! A file's page stands in the manifest, which only the link of the package opens. Its locator, with which it can
//! be removed, stands in the record, sealed under the drop's key: an admin has no link.

use tokio::runtime::Handle;

use super::{
    DropError, FileDrop, PackageDraft, Token,
    blobs::{Draft, Finished, Result},
};
use crate::{
    envelope::Origin,
    jirafeau::{Jirafeau, JirafeauError, Locator, Upload, UploadedFile},
};

/// A file on its way to Jirafeau, for a thread that may block.
#[derive(Debug)]
pub(super) struct ElsewhereDraft {
    upload: Upload,
    runtime: Handle,
}

/// A file that Jirafeau has. Dropping it removes it there.
#[derive(Debug)]
struct ElsewhereFile(UploadedFile);

impl ElsewhereDraft {
    /// Begins a file. The thread must be one of a runtime.
    pub(super) fn new(jirafeau: &Jirafeau, name: &str, media_type: &str) -> Self {
        let runtime = Handle::current();
        Self {
            upload: Upload::new(jirafeau, name, media_type, runtime.clone()),
            runtime,
        }
    }
}

impl Draft for ElsewhereDraft {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.runtime.block_on(self.upload.write(bytes))?)
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn Finished>> {
        let Self { upload, runtime } = *self;
        let file = runtime.block_on(upload.finish())?;
        Ok(Box::new(ElsewhereFile(file)))
    }
}

impl Finished for ElsewhereFile {
    fn place(self: Box<Self>) -> Result<()> {
        self.0.keep();
        Ok(())
    }

    fn elsewhere(&self) -> Option<&UploadedFile> {
        Some(&self.0)
    }
}

impl FileDrop {
    /// Begins a package whose files go to Jirafeau, under a fresh token. Connects to nothing.
    ///
    /// # Errors
    /// No Jirafeau is configured.
    pub fn package_elsewhere(&self, origin: Origin) -> Result<PackageDraft> {
        let jirafeau = self.store.jirafeau.clone();
        let jirafeau = jirafeau.ok_or(JirafeauError::NotConfigured)?;
        Ok(PackageDraft::under(self, Token::random(), origin).to(jirafeau))
    }

    /// Checks that Jirafeau answers.
    ///
    /// # Errors
    /// It cannot be reached, is none, or none is configured.
    pub async fn probe_elsewhere(&self) -> Result<()> {
        let jirafeau = self.store.jirafeau.as_ref();
        let jirafeau = jirafeau.ok_or(JirafeauError::NotConfigured)?;
        Ok(jirafeau.probe().await?)
    }

    /// Waits, for a bounded time, until files that are not kept are gone from Jirafeau.
    pub async fn settle_elsewhere(&self) {
        if let Some(jirafeau) = &self.store.jirafeau {
            jirafeau.settle().await;
        }
    }
}

/// Returns the locators of these files as the record keeps them, not sealed yet.
pub(super) fn locators<'a>(files: impl Iterator<Item = &'a UploadedFile>) -> Vec<u8> {
    let locators: Vec<&Locator> = files.map(UploadedFile::locator).collect();
    serde_json::to_vec(&locators).expect("strings are JSON")
}

/// Removes the files that these locators name. Tries all of them, and returns the first error. Blocks.
pub(super) fn remove(jirafeau: Option<&Jirafeau>, locators: &[u8]) -> Result<()> {
    let locators: Vec<Locator> = serde_json::from_slice(locators)
        .map_err(|_| DropError::Misuse("locators that this drop did not make"))?;
    let jirafeau = jirafeau.ok_or(JirafeauError::NotConfigured)?;
    let runtime = Handle::current();
    let removed = locators
        .iter()
        .map(|locator| runtime.block_on(jirafeau.remove(locator)));
    Ok(removed.fold(Ok(()), Result::and)?)
}

//! A store that is not ours: a directory of plain files.
//!
//! A package is a directory: one file for each of its files, and a list of them. It takes its name
//! when it is committed, so that its link, which is the path after `file:`, is known no sooner.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tempfile::TempDir;

use super::{Served, ServedFile};
use crate::{
    envelope::Origin,
    store::{OpenFile, OpenPackage, Result, Store, StoreError, StoredFile, own},
};

/// Name of a package's list of files.
const LIST: &str = "list.json";

/// A directory of packages.
#[derive(Debug)]
pub(crate) struct PlainStore {
    directory: PathBuf,
    begun: AtomicU64,
}

#[derive(Debug)]
struct PlainPackage {
    directory: PathBuf,
    draft: Arc<TempDir>,
    origin: Origin,
    files: u32,
}

#[derive(Debug)]
struct PlainFile {
    draft: Arc<TempDir>,
    entry: Entry,
    contents: Vec<u8>,
}

#[derive(Debug)]
struct PlainStored {
    draft: Arc<TempDir>,
    entry: Entry,
    sha256: [u8; 32],
}

/// A file in the list.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
struct Entry {
    number: u32,
    name: String,
    media_type: String,
    size: u64,
}

/// What the list of a package says.
#[derive(serde::Deserialize, serde::Serialize)]
struct List {
    files: Vec<Entry>,
    expires: i64,
    sender: String,
    login: Option<String>,
}

fn fault(error: io::Error) -> StoreError {
    StoreError::Foreign(Box::new(error))
}

fn path(link: &str) -> Option<&Path> {
    link.strip_prefix("file:").map(Path::new)
}

impl PlainStore {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            begun: AtomicU64::new(0),
        }
    }
}

/// Reads a package back; `None` unless it is live.
pub(crate) fn read(link: &str) -> Option<Served> {
    let path = path(link)?;
    let list: List = serde_json::from_slice(&fs::read(path.join(LIST)).ok()?).ok()?;
    let expires = Timestamp::from_second(list.expires).ok()?;
    let file = |entry: Entry| {
        let contents = fs::read(path.join(entry.number.to_string())).ok()?;
        let is_whole = contents.len() as u64 == entry.size;
        is_whole.then_some(ServedFile {
            name: entry.name,
            media_type: entry.media_type,
            contents,
        })
    };
    let files: Option<Vec<ServedFile>> = list.files.into_iter().map(file).collect();
    (expires > Timestamp::now()).then_some(Served {
        files: files?,
        expires,
        sender: list.sender,
        login: list.login,
    })
}

/// The number of files in the store, its lists not counted.
pub(crate) fn stored(directory: &Path) -> usize {
    let packages = fs::read_dir(directory).unwrap().map(|one| one.unwrap());
    let files = packages.flat_map(|package| fs::read_dir(package.path()).into_iter().flatten());
    files
        .filter(|file| file.as_ref().is_ok_and(|file| file.file_name() != LIST))
        .count()
}

impl Store for PlainStore {
    fn begin<'a>(
        &'a self,
        origin: Origin,
        _public_url: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Box<dyn OpenPackage>>> {
        Box::pin(async move {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let draft = tempfile::tempdir_in(&self.directory).map_err(fault)?;
            let package: Box<dyn OpenPackage> = Box::new(PlainPackage {
                directory: self.directory.join(format!("package-{number}")),
                draft: Arc::new(draft),
                origin,
                files: 0,
            });
            Ok(package)
        })
    }

    fn take_back<'a>(&'a self, link: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = path(link).ok_or(StoreError::NotTakenBack)?;
            fs::remove_dir_all(path).map_err(|_| StoreError::NotTakenBack)
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            tempfile::tempfile_in(&self.directory).map_err(fault)?;
            Ok(())
        })
    }
}

impl OpenPackage for PlainPackage {
    fn link(&self) -> Option<&str> {
        None
    }

    fn file(&mut self, name: &str, media_type: &str) -> Result<Box<dyn OpenFile>> {
        self.files += 1;
        Ok(Box::new(PlainFile {
            draft: Arc::clone(&self.draft),
            entry: Entry {
                number: self.files,
                name: name.to_owned(),
                media_type: media_type.to_owned(),
                size: 0,
            },
            contents: Vec::new(),
        }))
    }

    fn commit(
        self: Box<Self>,
        files: Vec<Box<dyn StoredFile>>,
        _created: Timestamp,
        expires: Timestamp,
    ) -> BoxFuture<'static, Result<String>> {
        Box::pin(async move {
            let files = own::<PlainStored>(files)?;
            if files
                .iter()
                .any(|file| !Arc::ptr_eq(&file.draft, &self.draft))
            {
                return Err(fault(io::Error::other("a file is of another package")));
            }
            // Somebody else's turn: a commit that is given up now leaves nothing.
            tokio::time::sleep(Duration::from_micros(500)).await;

            fs::create_dir(&self.directory).map_err(fault)?;
            for file in &files {
                let name = file.entry.number.to_string();
                let (from, to) = (self.draft.path().join(&name), self.directory.join(&name));
                fs::rename(from, to).map_err(fault)?;
            }

            let list = List {
                files: files.into_iter().map(|file| file.entry).collect(),
                expires: expires.as_second(),
                sender: self.origin.sender,
                login: self.origin.login,
            };
            let list = serde_json::to_vec(&list).unwrap();
            fs::write(self.directory.join(LIST), list).map_err(fault)?;
            Ok(format!("file:{}", self.directory.display()))
        })
    }
}

impl OpenFile for PlainFile {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.contents.extend_from_slice(&bytes);
        Box::pin(async { Ok(()) })
    }

    fn finish(mut self: Box<Self>) -> BoxFuture<'static, Result<Box<dyn StoredFile>>> {
        Box::pin(async move {
            self.entry.size = self.contents.len() as u64;
            let path = self.draft.path().join(self.entry.number.to_string());
            fs::write(path, &self.contents).map_err(fault)?;
            let digest = digest(&SHA256, &self.contents);
            let file: Box<dyn StoredFile> = Box::new(PlainStored {
                draft: self.draft,
                entry: self.entry,
                sha256: digest.as_ref().try_into().unwrap(),
            });
            Ok(file)
        })
    }
}

impl StoredFile for PlainStored {
    fn size(&self) -> u64 {
        self.entry.size
    }

    fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    fn describe_opened(&mut self, name: String, media_type: String) {
        (self.entry.name, self.entry.media_type) = (name, media_type);
    }
}

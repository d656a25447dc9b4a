//! The files of the drop on disk: their names, their permissions, and when they are durable.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use jiff::Timestamp;
use rustix::fs::OFlags;
use tempfile::{Builder, NamedTempFile, TempPath};

use super::{DropError, vault::RecordId};

/// Directories that blobs are spread over, by the first byte of their package's id.
pub(super) const SHARDS: usize = 256;

type Result<T, E = DropError> = std::result::Result<T, E>;

/// The directory of the drop.
#[derive(Debug)]
pub(super) struct Blobs {
    directory: PathBuf,
    drafts: PathBuf,
    blobs: PathBuf,
}

/// A file that was found in the directory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) modified: Timestamp,
}

impl Blobs {
    /// Makes what is missing of the directory itself and its children. Its parent must exist: one
    /// that does not is more likely a mistake in the configuration than a wish.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let child = |name| directory.join(name);
        let this = Self {
            directory: directory.into(),
            drafts: child("drafts"),
            blobs: child("blobs"),
        };
        if make_directory(directory)? {
            // The parent of a relative name of one component is the empty path: here.
            let parent = directory
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))?;
        }
        make_directory(&this.drafts)?;
        make_directory(&this.blobs)?;
        sync_directory(directory)?;
        this.probe()?;
        Ok(this)
    }

    /// Keeps others from opening the drop until the value is dropped: SQLite does not wait for its
    /// turn while a database is made.
    pub(super) fn lock(&self) -> Result<File> {
        let opened = File::open(&self.directory);
        let locked = opened.and_then(|directory| directory.lock().map(|()| directory));
        locked.map_err(|e| DropError::io("lock", &self.directory, e))
    }

    /// The database's file, made if it is missing, for nobody else to read. One that is there is not
    /// opened: closing it would end the locks that SQLite has on it in this process.
    pub(super) fn database(&self) -> Result<PathBuf> {
        let path = self.directory.join("drop.sqlite3");
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => sync_directory(&self.directory)?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(DropError::io("make", &path, e)),
        }
        Ok(path)
    }

    /// A new file among the drafts. It is removed when the value is dropped.
    pub(super) fn draft(&self) -> Result<NamedTempFile> {
        Builder::new()
            .prefix("draft-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.drafts)
            .map_err(|e| DropError::io("write to", &self.drafts, e))
    }

    /// Writes, syncs and removes a small draft.
    pub(super) fn probe(&self) -> Result<()> {
        let draft = self.draft()?;
        let failed = |e| DropError::io("write to", &self.drafts, e);
        io::Write::write_all(&mut draft.as_file(), b"probe").map_err(failed)?;
        draft.as_file().sync_all().map_err(failed)?;
        draft.close().map_err(failed)
    }

    /// Gives a draft its name; [`Blobs::sync`] makes the name durable.
    pub(super) fn place(&self, draft: TempPath, id: RecordId, number: u32) -> Result<()> {
        let path = self.path(id, number);
        make_directory(&self.shard(id.0[0]))?;
        draft
            .persist_noclobber(&path)
            .map_err(|e| DropError::io("make", &path, e.error))
    }

    /// Makes the names of a package's blobs durable, and that they are drafts no more. The shard's
    /// own name too: another process may have made it a moment ago, and not be that far.
    pub(super) fn sync(&self, id: RecordId) -> Result<()> {
        sync_directory(&self.blobs)?;
        sync_directory(&self.shard(id.0[0]))?;
        sync_directory(&self.drafts)
    }

    /// Removes a blob; one that is not there is no error.
    pub(super) fn remove(&self, id: RecordId, number: u32) -> Result<()> {
        remove(&self.path(id, number)).map(drop)
    }

    pub(super) fn exists(&self, id: RecordId, number: u32) -> Result<()> {
        let path = self.path(id, number);
        fs::symlink_metadata(&path)
            .map(drop)
            .map_err(|e| DropError::io("find", &path, e))
    }

    /// Opens a blob of exactly this length for reading.
    pub(super) fn read(&self, id: RecordId, number: u32, length: u64) -> Result<(File, PathBuf)> {
        let path = self.path(id, number);
        let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits() as i32;
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path)
        {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(DropError::damaged(&path, "it is missing"));
            }
            opened => opened.map_err(|e| DropError::io("open", &path, e))?,
        };
        let found = file
            .metadata()
            .map_err(|e| DropError::io("read", &path, e))?;
        if !found.is_file() || found.len() != length {
            let reason = format!("it has {} bytes instead of {length}", found.len());
            return Err(DropError::damaged(&path, reason));
        }
        Ok((file, path))
    }

    /// The drafts, whoever's they are.
    pub(super) fn drafts(&self) -> Result<Vec<Found>> {
        let mut drafts = list(&self.drafts)?;
        drafts.retain(|found| name(&found.path).starts_with("draft-"));
        Ok(drafts)
    }

    /// The blobs in one of the [`SHARDS`] directories, with the package that each belongs to.
    pub(super) fn shard_blobs(&self, shard: u8) -> Result<Vec<(RecordId, Found)>> {
        let found = list(&self.shard(shard))?;
        Ok(found
            .into_iter()
            .filter_map(|file| Some((owner(&file.path)?, file)))
            .collect())
    }

    fn shard(&self, shard: u8) -> PathBuf {
        self.blobs.join(format!("{shard:02x}"))
    }

    fn path(&self, id: RecordId, number: u32) -> PathBuf {
        self.shard(id.0[0]).join(format!("{id}-{number}"))
    }
}

/// Removes a file. False when it was not there.
pub(super) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(DropError::io("remove", path, e)),
    }
}

/// Makes a directory that only its owner may enter. False if it was there.
fn make_directory(path: &Path) -> Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(false),
            Ok(_) => Err(DropError::io("open", path, ErrorKind::NotADirectory.into())),
            Err(e) => Err(DropError::io("open", path, e)),
        },
        Err(e) => Err(DropError::io("make", path, e)),
    }
}

/// Makes the names in a directory durable. The descriptor is fresh, so that an error of an earlier
/// attempt is not taken for success.
fn sync_directory(path: &Path) -> Result<()> {
    // The parent of a relative name of one component is the empty path.
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|d| d.sync_all())
        .map_err(|e| DropError::io("sync", path, e))
}

fn list(directory: &Path) -> Result<Vec<Found>> {
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| DropError::io("read", directory, e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| DropError::io("read", directory, e))?;
        // One that vanished meanwhile is nobody's concern.
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let modified = Timestamp::try_from(modified).unwrap_or(Timestamp::MAX);
            found.push(Found {
                path: entry.path(),
                modified,
            });
        }
    }
    Ok(found)
}

/// The package to which a blob of this name belongs.
fn owner(path: &Path) -> Option<RecordId> {
    let (id, number) = name(path).split_once('-')?;
    number.parse::<u32>().ok()?;
    RecordId::parse(id)
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

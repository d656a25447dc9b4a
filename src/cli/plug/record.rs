//! The former content of changed files, so that it can be restored to the byte.
//!
//! The record is a file beside the configuration that only root may read. It holds the content of
//! each file before and after. While a change is under way, it also holds the content when the change
//! began: a command that finds such a record restores that. A file that still has the content we left
//! gets the former one back; one that was changed since is reported.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// Mode of the record: only root may read it, since it has whole files of others.
const MODE: u32 = 0o600;

/// The former content of all changed files.
#[derive(Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Backup {
    files: Vec<SavedFile>,
    /// The content when the change under way began; empty if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    begun: Vec<Stood>,
}

/// The content of a file when a change began.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Stood {
    path: PathBuf,
    text: Option<Content>,
}

/// The content of a file, to the byte: comments of old configurations may be Latin-1.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Content {
    /// UTF-8.
    Text(String),
    /// Anything else, in base64.
    Bytes { base64: String },
}

/// The content of one file before and after our changes.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
struct SavedFile {
    path: PathBuf,
    /// `None` if the file did not exist.
    before: Option<Content>,
    after: Option<Content>,
}

/// The outcome of restoring a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// Its former content is back.
    Done,
    /// It was changed since we wrote it, and was left alone.
    Changed,
    /// The record does not have it.
    Unknown,
}

impl Backup {
    /// Reads the record; an empty one if there is none.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| format!("could not read \"{}\": {error}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(format!("could not read \"{}\": {error}", path.display())),
        }
    }

    /// Writes the record, or removes it if it is empty.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn save(&self, path: &Path) -> Result<(), String> {
        if self.files.is_empty() && self.begun.is_empty() {
            return remove(path);
        }
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        write(path, text.as_bytes(), MODE)
    }

    /// Notes the content of these files at the beginning of a change.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn begin(&mut self, paths: &[PathBuf]) -> Result<(), String> {
        for path in paths {
            self.begun.push(Stood {
                path: path.clone(),
                text: read(path)?,
            });
        }
        Ok(())
    }

    /// Notes that the change is complete.
    pub(super) fn end(&mut self) {
        self.begun.clear();
    }

    /// Returns the files that an incomplete change left different from what it found.
    pub(super) fn half_done(&self) -> Vec<&Path> {
        let begun = self.begun.iter();
        begun
            .filter(|stood| read(&stood.path).as_ref() != Ok(&stood.text))
            .map(|stood| stood.path.as_path())
            .collect()
    }

    /// Returns true if a change began and is not complete.
    pub(super) fn is_open(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Notes the content of a file before it is changed, unless it is the content that we left ourselves.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn before(&mut self, path: &Path) -> Result<(), String> {
        let now = read(path)?;
        match self.files.iter_mut().find(|kept| kept.path == path) {
            Some(kept) if kept.after == now => {}
            Some(kept) => kept.before = now,
            None => self.files.push(SavedFile {
                path: path.to_owned(),
                before: now.clone(),
                after: now,
            }),
        }
        Ok(())
    }

    /// Notes the content of all files after the change; those that did not change are forgotten.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn after(&mut self) -> Result<(), String> {
        for kept in &mut self.files {
            kept.after = read(&kept.path)?;
        }
        self.files.retain(|kept| kept.before != kept.after);
        Ok(())
    }

    /// Returns true if a file still has the content that we left.
    pub(super) fn is_untouched(&self, path: &Path) -> bool {
        let kept = self.files.iter().find(|kept| kept.path == path);
        kept.is_none_or(|kept| read(path).is_ok_and(|now| now == kept.after))
    }

    /// Gives a file its former content back, if it still has the content that we left.
    ///
    /// # Errors
    /// Returns one line with the path.
    pub(super) fn restore(&mut self, path: &Path) -> Result<Return, String> {
        let Some(index) = self.files.iter().position(|kept| kept.path == path) else {
            return Ok(Return::Unknown);
        };
        if !self.is_untouched(path) {
            return Ok(Return::Changed);
        }
        self.put_back(index)?;
        self.files.remove(index);
        Ok(Return::Done)
    }

    /// Restores all files, whatever their present content, to what they had when the change under way
    /// began: it has failed.
    ///
    /// # Errors
    /// Returns one line with the path; the other files are restored all the same.
    pub(super) fn roll_back(&self) -> Result<(), String> {
        let begun = self.begun.iter();
        let results: Vec<_> = begun
            .map(|stood| put(&stood.path, stood.text.as_ref()))
            .collect();
        results.into_iter().collect()
    }

    /// Returns true if the record has the file.
    pub(super) fn knows(&self, path: &Path) -> bool {
        self.files.iter().any(|kept| kept.path == path)
    }

    /// Makes a change of our own, and records its result as content that we left.
    ///
    /// # Errors
    /// Returns the error of the change, or one line with the path.
    pub(super) fn adopting(
        &mut self,
        paths: &[PathBuf],
        change: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        change()?;
        for kept in self
            .files
            .iter_mut()
            .filter(|kept| paths.contains(&kept.path))
        {
            kept.after = read(&kept.path)?;
        }
        Ok(())
    }

    /// Removes a file from the record.
    pub(super) fn forget(&mut self, path: &Path) {
        self.files.retain(|kept| kept.path != path);
    }

    /// Returns true if there is nothing to restore.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn put_back(&self, index: usize) -> Result<(), String> {
        let kept = &self.files[index];
        put(&kept.path, kept.before.as_ref())
    }
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(
            |error| Self::Bytes {
                base64: BASE64.encode(error.as_bytes()),
            },
            Self::Text,
        )
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { base64 } => {
                let decoded = BASE64.decode(base64.as_bytes());
                decoded.map_err(|error| format!("the record is damaged: {error}"))
            }
        }
    }
}

fn put(path: &Path, content: Option<&Content>) -> Result<(), String> {
    match content {
        Some(content) => write(path, &content.bytes()?, 0o644),
        None => remove(path),
    }
}

/// Writes a temporary file beside the old one and renames it into place, so that a full disk leaves
/// the old one. Mode and owner stay; a new file gets `mode`.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    let failed = |error: io::Error| format!("could not write \"{}\": {error}", path.display());
    let place = path.parent().unwrap_or_else(|| Path::new("/"));
    let old = fs::metadata(path).ok();
    let mode = old.as_ref().map_or(mode, |file| file.mode() & 0o7777);
    let mut new = tempfile::NamedTempFile::new_in(place).map_err(failed)?;

    new.write_all(content).map_err(failed)?;
    if let Some(old) = old {
        fchown(new.as_file(), Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }

    let permissions = fs::Permissions::from_mode(mode);
    new.as_file().set_permissions(permissions).map_err(failed)?;
    new.as_file().sync_all().map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn read(path: &Path) -> Result<Option<Content>, String> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Content::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("could not read \"{}\": {error}", path.display())),
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("could not remove \"{}\": {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back_to_the_byte_and_what_was_not_goes() {
        let place = tempfile::tempdir().unwrap();
        let [main, new, saved] =
            ["main.cf", "new.conf", "record"].map(|name| place.path().join(name));
        fs::write(&main, "a = 1\n  # odd\n\n").unwrap();
        let mut record = Backup::default();
        record.before(&main).unwrap();
        record.before(&new).unwrap();
        fs::write(&main, "a = 2\n").unwrap();
        fs::write(&new, "x").unwrap();
        record.after().unwrap();
        record.save(&saved).unwrap();
        assert_eq!(fs::metadata(&saved).unwrap().mode() & 0o777, MODE);
        let mut record = Backup::load(&saved).unwrap();
        assert_eq!(record.restore(&main).unwrap(), Return::Done);
        assert_eq!(record.restore(&new).unwrap(), Return::Done);
        assert_eq!(fs::read_to_string(&main).unwrap(), "a = 1\n  # odd\n\n");
        assert!(!new.exists() && record.is_empty());
        record.save(&saved).unwrap();
        assert!(!saved.exists());
        assert_eq!(Backup::load(&saved).unwrap(), Backup::default());
    }

    #[test]
    fn bytes_that_are_no_utf_8_come_back_too() {
        let place = tempfile::tempdir().unwrap();
        let [main, saved] = ["main.cf", "record"].map(|name| place.path().join(name));
        let latin: &[u8] = b"# r\xe8gles\r\na = 1\n\0";
        fs::write(&main, latin).unwrap();
        let mut record = Backup::default();
        record.begin(std::slice::from_ref(&main)).unwrap();
        record.before(&main).unwrap();
        fs::write(&main, b"a = 2 # \xe9\n").unwrap();
        record.after().unwrap();
        record.save(&saved).unwrap();
        let mut record = Backup::load(&saved).unwrap();
        assert_eq!(record.half_done(), [main.as_path()]);
        record.end();
        assert_eq!(record.restore(&main).unwrap(), Return::Done);
        assert_eq!(fs::read(&main).unwrap(), latin);
    }

    #[test]
    fn what_was_changed_since_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let main = place.path().join("main.cf");
        fs::write(&main, "a = 1\n").unwrap();
        let mut record = Backup::default();
        record.before(&main).unwrap();
        fs::write(&main, "a = 2\n").unwrap();
        record.after().unwrap();
        fs::write(&main, "a = 2\nb = 3\n").unwrap();
        assert_eq!(record.restore(&main).unwrap(), Return::Changed);
        assert_eq!(fs::read_to_string(&main).unwrap(), "a = 2\nb = 3\n");
    }

    #[test]
    fn a_change_that_did_not_end_is_seen_by_the_next_and_taken_back_to_where_it_began() {
        let place = tempfile::tempdir().unwrap();
        let [main, new, saved] =
            ["main.cf", "new.conf", "record"].map(|name| place.path().join(name));
        fs::write(&main, "a = 1\n").unwrap();
        let mut record = Backup::default();
        record.before(&main).unwrap();
        fs::write(&main, "a = 2\n").unwrap();
        record.after().unwrap();
        // A second change: it goes back to what stood when it began, not to what stood before the first.
        record.begin(&[main.clone(), new.clone()]).unwrap();
        record.save(&saved).unwrap();
        fs::write(&main, "a = 3\n").unwrap();
        fs::write(&new, "x").unwrap();
        let mut record = Backup::load(&saved).unwrap();
        assert!(record.is_open());
        assert_eq!(record.half_done(), [main.as_path(), new.as_path()]);
        record.roll_back().unwrap();
        assert!(record.half_done().is_empty() && !new.exists());
        assert_eq!(fs::read_to_string(&main).unwrap(), "a = 2\n");
        record.end();
        record.save(&saved).unwrap();
        let mut record = Backup::load(&saved).unwrap();
        assert!(!record.is_open());
        assert_eq!(record.restore(&main).unwrap(), Return::Done);
        assert_eq!(fs::read_to_string(&main).unwrap(), "a = 1\n");
    }

    #[test]
    fn a_second_change_keeps_what_was_there_before_the_first() {
        let place = tempfile::tempdir().unwrap();
        let main = place.path().join("main.cf");
        fs::write(&main, "a = 1\n").unwrap();
        let mut record = Backup::default();
        for text in ["a = 2\n", "a = 3\n"] {
            record.before(&main).unwrap();
            fs::write(&main, text).unwrap();
            record.after().unwrap();
        }
        assert_eq!(record.restore(&main).unwrap(), Return::Done);
        assert_eq!(fs::read_to_string(&main).unwrap(), "a = 1\n");
    }
}

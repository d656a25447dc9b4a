//! Small files of the drop's directory that are made once: its key, and its bond to a database elsewhere.

use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt as _, path::Path};

use super::{
    super::{Draft as _, DropError, Result},
    BlobPath, Directory, DirectoryDraft, remove, sync_directory,
};

impl Directory {
    /// Returns the contents of a small file in the directory that is never changed. If it is missing, it is
    /// made with the contents of `make`: written, synced, and only then given its name.
    pub(in crate::drop) fn constant(
        &self,
        name: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>> {
        let path = self.directory.join(name);
        match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            read => return read.map_err(|e| DropError::io("read", &path, e)),
        }

        let contents = make();
        let place = BlobPath {
            path: path.clone(),
            syncs: None,
        };
        let mut draft = DirectoryDraft::new(self.temporary()?, place);
        draft.write(&contents)?;
        Box::new(draft).finish()?.place()?;
        sync_directory(&self.directory)?;
        Ok(contents)
    }

    /// Returns true if the directory holds something of this name.
    pub(in crate::drop) fn has(&self, name: &str) -> Result<bool> {
        let path = self.child(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(DropError::io("look at", &path, e)),
        }
    }

    /// Removes what the directory holds under this name; nothing is no error.
    pub(in crate::drop) fn forget(&self, name: &str) -> Result<()> {
        if remove(&self.child(name))? {
            sync_directory(&self.directory)?;
        }
        Ok(())
    }

    /// Refuses a secret that somebody else may have put there, or may read or change.
    pub(in crate::drop) fn refuse_planted(&self, name: &str) -> Result<()> {
        let path = self.child(name);
        let look =
            |path: &Path| fs::symlink_metadata(path).map_err(|e| DropError::io("look at", path, e));
        let (home, file) = (look(&self.directory)?, look(&path)?);

        let shown = path.display();
        let is_own = [home.uid(), rustix::process::geteuid().as_raw()].contains(&file.uid());
        let mode = file.mode() & 0o777;

        let reason = if !file.is_file() {
            "it is no file; look who put it there, and put the right one back from the backup"
                .into()
        } else if !is_own {
            let (user, owner) = (file.uid(), home.uid());
            format!(
                "it belongs to user {user}; if it is the right one, type: chown {owner} {shown}"
            )
        } else if mode & 0o037 != 0 {
            format!(
                "others may use it (mode {mode:04o}); if it is the right one, type: chmod go= {shown}"
            )
        } else {
            return Ok(());
        };
        Err(DropError::Exposed { path, reason })
    }
}

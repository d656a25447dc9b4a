//! A user of this machine, with the rights that permission bits give.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A user of this machine.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    id: u32,
    groups: Vec<u32>,
}

impl User {
    /// Looks up a user of this machine.
    pub(super) fn find(name: &str) -> Option<Self> {
        let numbers = |option: &str| -> Option<Vec<u32>> {
            let output = Command::new("id").args([option, name]).output().ok()?;
            let text = String::from_utf8(output.stdout).ok()?;
            text.split_whitespace().map(|n| n.parse().ok()).collect()
        };
        Some(Self {
            name: name.to_owned(),
            id: *numbers("-u")?.first()?,
            groups: numbers("-G")?,
        })
    }

    /// Returns true if the permission bits allow this: 1 is to enter, 2 to write, 4 to read.
    pub(super) fn may(&self, file: &Metadata, bits: u32) -> bool {
        let shift = match file {
            _ if self.id == 0 => return true,
            file if file.uid() == self.id => 6,
            file if self.groups.contains(&file.gid()) => 3,
            _ => 0,
        };
        (file.mode() >> shift) & bits == bits
    }

    /// Returns the first directory above a path that the user may not enter.
    pub(super) fn stopped_at(&self, path: &Path) -> Option<PathBuf> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let is_closed =
            |place: &&Path| fs::metadata(place).is_ok_and(|found| !self.may(&found, 0o1));
        above.into_iter().find(is_closed).map(Path::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn user(id: u32, groups: &[u32]) -> User {
        User {
            name: "x".into(),
            id,
            groups: groups.into(),
        }
    }

    #[test]
    fn rights_are_those_of_owner_group_or_all() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        let file = fs::metadata(directory.path()).unwrap();
        assert!(user(file.uid(), &[]).may(&file, 0o1));
        let other = file.uid() + 1;
        assert!(!user(other, &[file.gid()]).may(&file, 0o1));
        assert!(!user(other, &[]).may(&file, 0o1));
        assert!(user(0, &[]).may(&file, 0o2));
    }

    #[test]
    fn a_closed_directory_stops_whoever_is_not_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        let owner = fs::metadata(directory.path()).unwrap().uid();
        let file = directory.path().join("a/b");
        let other = user(owner + 1, &[]);
        assert_eq!(other.stopped_at(&file).as_deref(), Some(directory.path()));
    }
}

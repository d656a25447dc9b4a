//! The identity in which a command works in the drop: the drop's owner, whoever typed the command.
//!
//! The daemon cannot read a file that root leaves in a drop, and can create no file in a directory
//! that root made there. So root becomes the owner before it opens anything in the drop, and a user
//! who is neither is told what to type. Called while there is only one thread.

use std::{
    ffi::CString,
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    unistd::{
        AccessFlags, Gid, Uid, User, access, initgroups, setfsgid, setfsuid, setgroups, setresgid,
        setresuid,
    },
};

use super::{
    exit::{EX_NOPERM, Failure},
    quoted,
};

/// The user of the service, as the package creates it.
const SERVICE_USER: &str = "depollueur";

/// The directory of a fresh ext4 that always belongs to root: fsck(8) puts the files that it recovers
/// there.
pub(super) const RESCUED: &str = "lost+found";

/// The user who typed the command, while the command works as the drop's owner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Caller {
    was_root: bool,
}

impl Caller {
    /// Runs `work` with the rights of the caller, which the drop's owner may lack, to write into a
    /// directory of the caller's. Files that it creates belong to the caller. It must not start a
    /// thread.
    pub(super) fn act<T>(self, work: impl FnOnce() -> T) -> T {
        if !self.was_root {
            return work();
        }
        // This affects the calling thread only (setfsuid(2)): others remain the owner.
        let (user, group) = (setfsuid(Uid::from_raw(0)), setfsgid(Gid::from_raw(0)));
        let done = work();
        setfsgid(group);
        setfsuid(user);
        done
    }
}

/// Becomes the owner of the drop for good, as a daemon does.
///
/// # Errors
/// Returns the command to type if that is not possible.
pub(super) fn become_owner(directory: &Path) -> Result<(), Failure> {
    work_as_owner(directory, true).map(drop)
}

/// Works as the owner of the drop from here on; the returned caller keeps the rights that only root has.
///
/// # Errors
/// Returns the command to type if that is not possible.
pub(super) fn act_as_owner(directory: &Path) -> Result<Caller, Failure> {
    work_as_owner(directory, false)
}

fn work_as_owner(directory: &Path, for_good: bool) -> Result<Caller, Failure> {
    let is_root = Uid::effective().is_root();
    let owner = match fs::metadata(directory) {
        Ok(home) if !home.is_dir() => return Ok(Caller::default()),
        Ok(home) if is_root => (Uid::from_raw(home.uid()), Gid::from_raw(home.gid())),
        Ok(home) => return may_enter(directory, home.uid()),
        Err(error) if error.kind() == ErrorKind::NotFound && is_root => make(directory)?,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(hidden(directory));
        }
        // Opening the drop reports the fault, or creates the drop.
        Err(_) => return Ok(Caller::default()),
    };

    if owner.0.is_root() {
        is_roots_own(directory)?;
        return Ok(Caller::default());
    }

    switch(owner, for_good).map_err(|error| {
        let (shown, user) = (directory.display(), name(owner.0));
        let message = format!(
            "could not become user {user}, who owns the drop \"{shown}\": {error}; type: sudo -u {user} depollueur …"
        );
        Failure::new(EX_NOPERM, message)
    })?;

    Ok(Caller {
        was_root: !for_good,
    })
}

/// Admits a user other than root: the owner, or one who may at least write.
fn may_enter(directory: &Path, owner: u32) -> Result<Caller, Failure> {
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    let is_owner = Uid::effective() == Uid::from_raw(owner);
    // A disk that is mounted read-only is not a matter of permissions.
    if is_owner || !matches!(access(directory, wanted), Err(Errno::EACCES)) {
        return Ok(Caller::default());
    }
    let (shown, user, me) = (
        directory.display(),
        name(Uid::from_raw(owner)),
        name(Uid::effective()),
    );
    let message = format!(
        "the drop \"{shown}\" is closed to all but its owner, user {user}, and this is user {me}; type: sudo depollueur …"
    );
    Err(Failure::new(EX_NOPERM, message))
}

fn hidden(directory: &Path) -> Failure {
    let (shown, me) = (directory.display(), name(Uid::effective()));
    let message =
        format!("user {me} may not look at the drop \"{shown}\"; type, as root: sudo depollueur …");
    Failure::new(EX_NOPERM, message)
}

/// Creates a drop that does not exist: for the service's user, if there is one who can reach it.
fn make(directory: &Path) -> Result<(Uid, Gid), Failure> {
    let nobody = (Uid::from_raw(0), Gid::from_raw(0));
    let Some(user) = service_user().filter(|user| can_reach(directory, user)) else {
        return Ok(nobody);
    };
    let made = fs::DirBuilder::new().mode(0o700).create(directory);
    let made = made.and_then(|()| {
        std::os::unix::fs::chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
    });
    match made {
        Ok(()) => Ok((user.uid, user.gid)),
        // A parent is missing, for example: opening the drop reports it.
        Err(_) => Ok(nobody),
    }
}

fn can_reach(directory: &Path, user: &User) -> bool {
    let mut above = directory.ancestors().skip(1);
    above.all(|parent| match fs::metadata(parent) {
        Ok(found) if found.uid() == user.uid.as_raw() => found.permissions().mode() & 0o100 != 0,
        Ok(found) if found.gid() == user.gid.as_raw() => found.permissions().mode() & 0o010 != 0,
        Ok(found) => found.permissions().mode() & 0o001 != 0,
        Err(_) => parent.as_os_str().is_empty(),
    })
}

/// Accepts a drop of root's, as in a container without other users. If the service has a user who can
/// reach it, the daemon could not use the files that root leaves there.
fn is_roots_own(directory: &Path) -> Result<(), Failure> {
    let Some(user) = rightful(directory, Uid::from_raw(0)) else {
        return Ok(());
    };
    let message = format!(
        "the drop \"{}\" belongs to root, and the daemon is user {}; type: {}",
        directory.display(),
        user.name,
        handing_over(directory, &user.name)
    );
    Err(Failure::new(EX_NOPERM, message))
}

/// Returns the user who should own a drop that exists and belongs to `owner`: the service's user, if
/// it is that user's home, or if it is root's and within that user's reach.
pub(super) fn rightful(directory: &Path, owner: Uid) -> Option<User> {
    let user = service_user().filter(|user| user.uid != owner && directory.exists())?;
    let is_his = user.dir == directory || owner.is_root() && can_reach(directory, &user);
    is_his.then_some(user)
}

/// Returns the line that gives a drop to its rightful owner; on a fresh disk, only the directory
/// itself changes hands.
pub(super) fn handing_over(directory: &Path, name: &str) -> String {
    let shown = quoted(&directory.display().to_string());
    let is_fresh = fs::read_dir(directory).is_ok_and(|entries| {
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.all(|name| name == RESCUED)
    });
    if is_fresh {
        format!("install -d -m 0700 -o {name} -g {name} {shown}")
    } else {
        format!("chown -hR {name}: {shown} && chmod 0700 {shown}")
    }
}

/// Returns the user of the service, if this system has it.
pub(super) fn service_user() -> Option<User> {
    User::from_name(SERVICE_USER).ok().flatten()
}

/// Returns the name of a user, else the number.
pub(super) fn name(user: Uid) -> String {
    let found = User::from_uid(user).ok().flatten();
    found.map_or_else(|| user.to_string(), |user| user.name)
}

/// Switches to a user, groups first: the user has no right to choose them.
fn switch((uid, gid): (Uid, Gid), for_good: bool) -> Result<(), Errno> {
    let (root, admins) = (Uid::from_raw(0), Gid::from_raw(0));
    let user = User::from_uid(uid)?;
    let gid = user.as_ref().map_or(gid, |user| user.gid);
    match user.and_then(|user| CString::new(user.name).ok()) {
        Some(name) => initgroups(&name, gid)?,
        None => setgroups(&[gid])?,
    }
    setresgid(gid, gid, if for_good { gid } else { admins })?;
    setresuid(uid, uid, if for_good { uid } else { root })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_works_in_his_own_name() {
        let directory = tempfile::tempdir().unwrap();
        let caller = act_as_owner(directory.path()).unwrap();
        assert!(!caller.was_root);
        assert_eq!(caller.act(|| 7), 7);
    }

    #[test]
    fn a_fresh_disk_is_handed_over_by_itself_and_another_with_all_that_is_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let shown = quoted(&directory.path().display().to_string());
        fs::create_dir(directory.path().join(RESCUED)).unwrap();
        assert_eq!(
            handing_over(directory.path(), "depollueur"),
            format!("install -d -m 0700 -o depollueur -g depollueur {shown}")
        );
        fs::create_dir(directory.path().join("blobs")).unwrap();
        assert!(handing_over(directory.path(), "depollueur").starts_with("chown -hR depollueur: "));
    }

    #[test]
    fn what_is_no_directory_is_the_drops_to_complain_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(act_as_owner(file.path()).is_ok());
        assert!(act_as_owner(&file.path().join("below")).is_ok());
    }
}

//! Checks the owners and permissions of the files below the drop's directory.
//!
//! The daemon can create no file in a directory that root made, and cannot serve a file that root
//! left: each such case is a message that is not detached, or a link that fails.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use super::report::{DoctorReport, quoted};
use crate::cli::owner;

/// Maximum number of files examined. Directories come first, so that none of them is missed.
const FILES_MAX: usize = 200_000;

/// The number of files with one fault, and an example.
#[derive(Debug, Default)]
struct Wrong {
    count: usize,
    first: Option<PathBuf>,
}

impl Wrong {
    fn add(&mut self, path: &Path) {
        self.count += 1;
        self.first.get_or_insert_with(|| path.to_owned());
    }

    fn shown(&self) -> String {
        let first = self.first.as_deref().unwrap_or(Path::new(""));
        format!(
            "{} of the files and directories below it, such as {},",
            self.count,
            quoted(&first.display().to_string())
        )
    }
}

/// Checks all directories below the drop and up to [`FILES_MAX`] files.
pub(super) fn check(report: &mut DoctorReport, directory: &Path, (uid, gid): (u32, u32)) {
    let check = "drop.owners";
    let shown = quoted(&directory.display().to_string());
    if let Some(user) = owner::rightful(directory, Uid::from_raw(uid)) {
        let message = format!(
            "{shown} belongs to user {}, and the daemon is user {}",
            owner::name(Uid::from_raw(uid)),
            user.name
        );
        let line = owner::handing_over(directory, &user.name);
        return report.error(check, message, [line]);
    }

    let (mut foreign, mut closed, mut open) =
        (Wrong::default(), Wrong::default(), Wrong::default());
    let whole = walk(directory, &mut |path, found| {
        let needed = if found.is_dir() { 0o700 } else { 0o600 };
        if found.uid() != uid {
            foreign.add(path);
        } else if found.mode() & needed != needed {
            closed.add(path);
        }
        if found.mode() & 0o077 != 0 {
            open.add(path);
        }
    });

    let Ok(whole) = whole else {
        return report.unknown(
            check,
            format_args!("{shown} cannot be read: run doctor as root or as its owner"),
        );
    };

    say(report, (&shown, uid, gid), [&foreign, &closed, &open]);
    let extent = if whole { "all" } else { "those looked at" };
    let user = owner::name(Uid::from_raw(uid));
    report.ok_unless_found(
        check,
        format_args!("what is below {shown} belongs to user {user} alone, {extent}"),
    );
}

fn say(
    report: &mut DoctorReport,
    (shown, uid, gid): (&str, u32, u32),
    [foreign, closed, open]: [&Wrong; 3],
) {
    let check = "drop.owners";

    if foreign.count > 0 {
        let message = format!(
            "{} belong to others than the owner of {shown}: what is in them is not given out, and some mail is not detached",
            foreign.shown()
        );
        report.error(check, message, [format!("chown -hR {uid}:{gid} {shown}")]);
    }

    if closed.count > 0 {
        let message = format!("{} are closed to the owner of {shown}", closed.shown());
        report.error(check, message, [format!("chmod -R u+rwX {shown}")]);
    }

    if open.count > 0 {
        let message = format!(
            "{} are open to others than the owner of {shown}",
            open.shown()
        );
        report.error(check, message, [format!("chmod -R go= {shown}")]);
    }
}

/// Shows each file and directory of the two levels below the drop to `look`. Returns false if there
/// were more files than [`FILES_MAX`].
fn walk(directory: &Path, look: &mut impl FnMut(&Path, &fs::Metadata)) -> std::io::Result<bool> {
    let mut directories = Vec::new();
    for name in ["blobs", "drafts"] {
        let child = directory.join(name);
        if child.is_dir() {
            directories.push(child);
        }
    }

    // Fails if the drop itself cannot be read.
    fs::read_dir(directory)?;
    let mut files = Vec::new();

    for child in &directories {
        for entry in fs::read_dir(child).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            look(&entry.path(), &found);
            if found.is_dir() {
                files.push(entry.path());
            }
        }
    }

    let mut left = FILES_MAX;
    for shard in files {
        for entry in fs::read_dir(shard).into_iter().flatten().flatten() {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            if let Ok(found) = entry.metadata() {
                look(&entry.path(), &found);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::doctor::report::Severity;

    fn drop_with_a_blob() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let shard = directory.path().join("blobs/7b");
        fs::create_dir_all(&shard).unwrap();
        let blob = shard.join("7b-0");
        fs::write(&blob, "x").unwrap();
        for (path, mode) in [
            (directory.path().join("blobs"), 0o700),
            (shard, 0o700),
            (blob.clone(), 0o600),
        ] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        (directory, blob)
    }

    fn ids(path: &Path) -> (u32, u32) {
        let found = fs::metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    #[test]
    fn a_file_of_another_owner_deep_in_the_drop_is_found() {
        let (directory, blob) = drop_with_a_blob();
        let (uid, gid) = ids(directory.path());
        let mut report = DoctorReport::default();
        check(&mut report, directory.path(), (uid + 1, gid));
        let line = format!("chown -hR {}:{gid} ", uid + 1);
        report.assert_found(
            "drop.owners",
            Severity::Error,
            &format!("{line}'{}'", directory.path().display()),
        );
        let mut report = DoctorReport::default();
        check(&mut report, directory.path(), (uid, gid));
        assert_eq!(report.findings()[0].level, Severity::Ok);
        fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
        let mut report = DoctorReport::default();
        check(&mut report, directory.path(), (uid, gid));
        report.assert_found(
            "drop.owners",
            Severity::Error,
            &format!("chmod -R go= '{}'", directory.path().display()),
        );
    }
}

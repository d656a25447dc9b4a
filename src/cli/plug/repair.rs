//! Repairs a change that kill -9 or a power cut ended: detects it, reports it, and takes it back.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
};

use super::{
    postfix::Editor,
    record::{self, Backup},
    rspamd, say_line,
};

/// Returns the notice of an incomplete change that no process is working on.
pub(in crate::cli) fn noticed(saved: &Path) -> Option<String> {
    let record = Backup::load(saved).ok()?;
    let is_left = record.is_open() && lock(saved).is_ok();
    is_left.then(|| {
        let names = names(&record.half_done());
        format!(
            "the last plug or unplug was interrupted{names}; \"depollueur unplug\" takes back what is half done"
        )
    })
}

/// Keeps a second plug or unplug away for as long as the returned file is held.
///
/// # Errors
/// Returns one line if another one is running.
pub(super) fn lock(saved: &Path) -> Result<File, String> {
    let place = match saved.parent() {
        Some(place) if !place.as_os_str().is_empty() => place,
        _ => Path::new("."),
    };
    let failed =
        |error: &dyn std::fmt::Display| format!("could not lock \"{}\": {error}", place.display());
    let directory = File::open(place).map_err(|error| failed(&error))?;
    match directory.try_lock() {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => {
            Err("another depollueur plug or unplug is at work: wait until it has ended".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// Takes an incomplete change back, and returns true if there was one. Copies of the files' present
/// content are kept beside the record.
///
/// # Errors
/// Returns one line if not everything could be taken back; the next command tries again.
pub(super) fn repair(saved: &Path, editor: &Editor) -> Result<bool, String> {
    let mut record = Backup::load(saved)?;
    if !record.is_open() {
        return Ok(false);
    }

    let files = record.half_done();
    say_line(&format!(
        "The last plug or unplug was interrupted{}: what stood there when it began is put back.",
        names(&files)
    ))?;

    let is_rspamds = files.iter().any(|file| file.starts_with("/etc/rspamd"));
    for file in files {
        keep(file, saved)?;
    }
    record.roll_back()?;
    if is_rspamds {
        rspamd::reload()?;
    }

    editor.reload()?;
    record.after()?;
    record.end();
    record.save(saved)?;
    Ok(true)
}

/// Copies the present content: somebody may have mended a file by hand since, and no work is to be lost.
fn keep(file: &Path, saved: &Path) -> Result<(), String> {
    let Ok(content) = fs::read(file) else {
        return Ok(());
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let copy = saved.with_file_name(format!("interrupted-{now}-{name}"));
    record::write(&copy, &content, 0o600)?;
    say_line(&format!("What it had until now: {}", copy.display()))
}

fn names(files: &[&Path]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!(", and left changes in {}", names.join(", "))
}

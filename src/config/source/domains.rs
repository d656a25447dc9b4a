//! `domains.d`: settings of single domains, which override those of the main file.
//!
//! A file beside the main one, `domains.d/association.example.toml`, applies to mail of the domain
//! that it is named after: mail sent by somebody of that domain, and mail received by nobody else. It
//! is written like the main file, but may contain the keys of [`KEYS`] only; a symbolic link to it
//! applies it to another domain as well.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::super::{Config, fold, hint};

/// The directory, beside the main file.
pub const DOMAINS_DIRECTORY: &str = "domains.d";

/// Maximum number of domains of one configuration.
pub(super) const DOMAINS_MAX: usize = 1000;

/// Extensions of files that are kept beside others and not meant to be read.
const LEFT_BEHIND: [&str; 8] = ["bak", "disabled", "md", "off", "old", "orig", "save", "swp"];

/// Extensions of configuration files that people use in place of `toml`.
const FORMATS: [&str; 9] = [
    "cfg", "conf", "config", "ini", "json", "toml", "txt", "yaml", "yml",
];

/// Keys that a domain may override.
pub(super) const KEYS: [&str; 18] = [
    "web.public_url",
    "web.operator",
    "web.contact",
    "web.legal",
    "web.show_sender",
    "web.logo",
    "web.accent",
    "web.accent_dark",
    "drop.expiry",
    "detach.threshold",
    "detach.message_threshold",
    "notice.position",
    "notice.language",
    "notice.languages",
    "notice.fallback",
    "notice.templates",
    "notice.time_zone",
    "notice.part",
];

/// The configurations of domains, by their names in lower case.
pub type DomainConfigs = BTreeMap<String, Arc<Config>>;

/// The files beside the main file.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// The domains with their files.
    pub(super) files: Vec<(String, PathBuf)>,
    /// Files that are not read though they look as if they should be, with the command to type; one
    /// line each.
    pub(super) unread: Vec<String>,
}

/// Looks for the files of domains; without a directory, there are none.
///
/// # Errors
/// Returns one line if the directory cannot be read, a file is not named after a domain, or two after
/// the same one.
pub(super) fn beside(main: &Path) -> Result<Beside, String> {
    let home = main.parent().unwrap_or(Path::new(""));
    let directory = home.join(DOMAINS_DIRECTORY);
    let failed = |error| format!("could not read \"{}\": {error}", directory.display());
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(elsewhere(home)),
        entries => entries.map_err(failed)?,
    };

    let mut beside = Beside::default();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension() == Some(OsStr::new("toml")) && !is_left_behind(&path) {
            beside.take(path)?;
        } else {
            beside.unread.extend(misnamed(&path));
        }
    }

    beside.files.sort_unstable();
    beside.unread.sort_unstable();

    if beside.files.len() > DOMAINS_MAX {
        let directory = directory.display();
        return Err(format!("{directory}: has more than {DOMAINS_MAX} files"));
    }
    Ok(beside)
}

impl Beside {
    fn take(&mut self, path: PathBuf) -> Result<(), String> {
        let shown = path.display();
        let domain = fold(&path.file_stem().unwrap_or_default().to_string_lossy());

        let is_label = |label: &str| !label.is_empty() && !label.contains(['@', '*', ' ', '_']);
        if !domain.split('.').all(is_label) {
            return Err(format!(
                "{shown}: must be named after a domain, such as \"association.example.toml\""
            ));
        }

        if let Some((_, other)) = self.files.iter().find(|(known, _)| *known == domain) {
            let other = other.display();
            return Err(format!(
                "{shown}: is for the domain {domain}, and so is {other}: put all of it into one of them, and remove the other"
            ));
        }

        if !domain.contains('.') {
            self.unread.push(format!(
                "{shown}: no mail on the internet is of a domain \"{domain}\", without a dot: name the file after the whole domain, such as \"{domain}.example.toml\""
            ));
        }

        self.files.push((domain, path));
        Ok(())
    }
}

/// Returns true for files that editors and package managers leave behind, and for notes.
fn is_left_behind(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let marks = [".dpkg-", ".rpm", ".toml.", ".ucf-", "README"];
    name.starts_with(['.', '#'])
        || name.ends_with('~')
        || marks.iter().any(|mark| name.contains(mark))
        || LEFT_BEHIND.contains(&extension.to_lowercase().as_str())
}

/// Returns the command to type for a file that was meant to be read.
fn misnamed(path: &Path) -> Option<String> {
    if is_left_behind(path) {
        return None;
    }
    let shown = path.display();
    if path.is_dir() {
        return Some(format!(
            "{shown} is a directory, and is not read: put a file such as \"{shown}.toml\" in its place"
        ));
    }
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let is_format = FORMATS.contains(&extension.to_lowercase().as_str());
    let right = match is_format {
        true => path.with_extension("toml").display().to_string(),
        false => format!("{shown}.toml"),
    };
    Some(format!(
        "{shown} is not read, for its name does not end in .toml; type: mv '{shown}' '{right}'"
    ))
}

/// Reports directories with files of domains under another name.
fn elsewhere(home: &Path) -> Beside {
    let home = if home.as_os_str().is_empty() {
        Path::new(".")
    } else {
        home
    };

    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let is_meant = |name: &str| hint::nearest(name, [DOMAINS_DIRECTORY, "conf.d"]).is_some();
    let named = entries
        .filter(|entry| is_meant(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path());
    let unread = named.filter(|path| has_domains(path)).map(|path| {
        let (shown, right) = (path.display(), home.join(DOMAINS_DIRECTORY));
        let right = right.display();
        format!(
            "{shown} is not read: files of domains stand in {right}; type: mv '{shown}' '{right}'"
        )
    });

    Beside {
        files: Vec::new(),
        unread: unread.collect(),
    }
}

fn has_domains(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().extension() == Some(OsStr::new("toml")))
        .count()
        > 0
}

impl Config {
    /// Returns the configuration of a domain, if it has its own.
    pub fn of_domain(&self, domain: &str) -> Option<&Arc<Config>> {
        self.domains.get(&fold(domain))
    }
}

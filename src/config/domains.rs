//! `domains.d`: settings of single domains, over those of the main file.
//!
//! A file beside the main one, `domains.d/association.example.toml`, holds for mail of the domain that it is
//! named after: mail that somebody of it sends, and mail that comes to nobody else. It is written as the main
//! file is, with the keys of [`KEYS`] alone; a link to it makes it hold for another domain, too.

use std::{collections::BTreeMap, ffi::OsStr, fs, path::Path, sync::Arc};

use super::{Config, fold};

/// The directory, beside the main file.
pub const DOMAINS_DIRECTORY: &str = "domains.d";

/// Domains of one configuration.
pub(super) const DOMAINS_MAX: usize = 1000;

/// What a domain may have of its own.
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

/// The files of a directory with the domains that they are for; none when there is no directory.
///
/// # Errors
/// It cannot be read, or a file is named after no domain; one line.
pub(super) fn files(main: &Path) -> Result<Vec<(String, std::path::PathBuf)>, String> {
    let directory = main
        .parent()
        .unwrap_or(Path::new(""))
        .join(DOMAINS_DIRECTORY);
    let failed = |error| format!("could not read \"{}\": {error}", directory.display());
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        // What an editor or dpkg leaves beside a file is none.
        if path.extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let domain = fold(&path.file_stem().unwrap_or_default().to_string_lossy());
        let is_label = |label: &str| !label.is_empty() && !label.contains(['@', '*', ' ', '_']);
        if !domain.split('.').all(is_label) {
            return Err(format!(
                "{}: must be named after a domain, such as \"association.example.toml\"",
                path.display()
            ));
        }
        found.push((domain, path));
    }
    found.sort_unstable();
    if found.len() > DOMAINS_MAX {
        let directory = directory.display();
        return Err(format!("{directory}: has more than {DOMAINS_MAX} files"));
    }
    Ok(found)
}

impl Config {
    /// The configuration for a domain: its own, or this one.
    pub fn of_domain(&self, domain: &str) -> Option<&Arc<Config>> {
        self.domains.get(&fold(domain))
    }
}

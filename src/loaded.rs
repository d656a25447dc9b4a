//! The contents of files that a configuration names, read at the start and at each reload: lists of addresses,
//! and the templates of the notice, each directory once, and tried before they are used. What only the pages
//! need (templates, a logo) is read by those who make pages.
//!
//! A [`Config`] has the paths and their places in the file, so that an error names the line that names the file.

mod addresses;
mod pages;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use mailsplice::notice::{TEMPLATES, Templates};

use crate::config::{AddressLists, Config, ConfigError};

pub use self::pages::{PageFileError, PageFiles};

/// Maximum size of a template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 64 << 10;

/// The contents of the files that a configuration and those of its domains name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    addresses: AddressLists,
    /// Templates of the notice by their directory.
    notices: Arc<HashMap<PathBuf, Arc<Templates>>>,
}

impl Loaded {
    /// Reads and tries the files. Blocks.
    ///
    /// # Errors
    /// Returns one line with the place in the configuration, and the name and the place of the file that
    /// cannot be read or used.
    pub fn read(config: &Config) -> Result<Self, ConfigError> {
        let addresses = addresses::read(&config.address_files)?;
        let mut notices = HashMap::new();
        let own = config.domains.values().map(|own| &**own);

        for config in std::iter::once(config).chain(own) {
            let Some(directory) = &config.notice.templates else {
                continue;
            };
            if !notices.contains_key(directory) {
                let read = templates(directory).map_err(|why| config.wrong_templates(&why))?;
                notices.insert(directory.clone(), Arc::new(read));
            }
        }

        Ok(Self {
            addresses,
            notices: Arc::new(notices),
        })
    }

    /// Returns the contents of files of addresses. Those of a domain are the same.
    pub fn addresses(&self) -> &AddressLists {
        &self.addresses
    }

    /// Returns what is allowed but rarely meant, in values and in files; one line each.
    pub fn warnings(&self, config: &Config) -> Vec<String> {
        let mut warnings = config.warnings();
        warnings.extend(config.warnings_of_users(&self.addresses));
        warnings
    }

    /// Returns the templates of the notice that a configuration names, or one of its domains.
    pub fn notice(&self, config: &Config) -> Option<&Arc<Templates>> {
        self.notices.get(config.notice.templates.as_ref()?)
    }
}

/// Reads and tries the templates of a directory.
///
/// # Errors
/// Returns one line with the name and the place if one of them cannot be read or used.
fn templates(directory: &Path) -> Result<Templates, String> {
    let sources = sources(directory)?;
    Templates::new(&sources).map_err(|error| error.in_directory(directory).to_string())
}

/// Returns the sources of the templates in the directory, by their names. Files of other kinds
/// may lie beside them.
fn sources(directory: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let unread = |error| not_read(directory, &error);
    let mut found = Vec::new();

    for entry in fs::read_dir(directory).map_err(unread)? {
        let path = entry.map_err(unread)?.path();
        let is_template = |extension: &std::ffi::OsStr| extension == "txt" || extension == "html";
        if !path.extension().is_some_and(is_template) {
            continue;
        }

        let file = path.file_name().unwrap_or_default();
        match TEMPLATES.into_iter().find(|name| file == *name) {
            Some(name) => found.push((name, source(&path)?)),
            None => {
                let (path, names) = (path.display(), TEMPLATES.join(", "));
                return Err(format!(
                    "template \"{path}\": there is none of this name; the names are {names}"
                ));
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn source(path: &Path) -> Result<String, String> {
    let unread = |error| not_read(path, &error);
    if fs::metadata(path).map_err(unread)?.len() > TEMPLATE_BYTES_MAX {
        let path = path.display();
        return Err(format!(
            "template \"{path}\": larger than {TEMPLATE_BYTES_MAX} bytes"
        ));
    }
    let text = String::from_utf8(fs::read(path).map_err(unread)?).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        format!("template \"{}\", line {line}: is not UTF-8", path.display())
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn not_read(path: &Path, error: &io::Error) -> String {
    format!("\"{}\" could not be read: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            fs::write(directory.path().join(name), contents).unwrap();
        }
        directory
    }

    fn loaded(files: &[(&str, &[u8])]) -> Result<Templates, String> {
        let directory = placed(files);
        let place = directory.path().display().to_string();
        templates(directory.path()).map_err(|error| error.replace(&place, "DIR"))
    }

    #[test]
    fn templates_are_found_by_their_names() {
        let files: [(_, &[u8]); 4] = [
            ("fr.txt", b"\xef\xbb\xbfFichiers :\r\n{{ link }}\r\n"),
            ("en.html", b"<a href=\"{{ link }}\">Files</a>\n"),
            ("README", b"{% if"),
            ("fr.html.bak", b"{% if"),
        ];
        let directory = placed(&files);
        let expected = [
            ("en.html", "<a href=\"{{ link }}\">Files</a>\n".to_owned()),
            ("fr.txt", "Fichiers :\r\n{{ link }}\r\n".to_owned()),
        ];
        assert_eq!(sources(directory.path()).unwrap(), expected);
        let found = format!("{:?}", loaded(&files).unwrap());
        assert_eq!(found, r#"{"fr.txt", "en.html"}"#);
        assert!(loaded(&[]).is_ok());
    }

    #[test]
    fn a_template_of_the_largest_size_is_read() {
        let largest = [b'x'; TEMPLATE_BYTES_MAX as usize];
        let directory = placed(&[("fr.txt", &largest)]);
        assert_eq!(sources(directory.path()).unwrap()[0].1.as_bytes(), largest);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let long = vec![b' '; TEMPLATE_BYTES_MAX as usize + 1];
        for (name, contents, expected) in [
            (
                "fr.txt",
                &b"{{ link }}\n{{ lnk }}"[..],
                "template \"DIR/fr.txt\", line 2: there is no variable \"lnk\"",
            ),
            (
                "fr.txt",
                b"{{ link }}\n\xe9",
                "template \"DIR/fr.txt\", line 2: is not UTF-8",
            ),
            (
                "de.txt",
                b"",
                "template \"DIR/de.txt\": there is none of this name",
            ),
            (
                "FR.html",
                b"",
                "template \"DIR/FR.html\": there is none of this name",
            ),
            (
                "en.html",
                &long,
                "template \"DIR/en.html\": larger than 65536 bytes",
            ),
        ] {
            let error = loaded(&[(name, contents)]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let error = templates(Path::new("/nonexistent")).unwrap_err();
        assert!(
            error.starts_with("\"/nonexistent\" could not be read: "),
            "{error}"
        );
    }
}

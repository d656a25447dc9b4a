//! Reads the operator's files for the pages: templates and the logo. The caller judges what is in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::config::WebConfig;

const LOGO_BYTES_MAX: u64 = 256 * 1024;
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;

/// The operator's files for the pages.
#[derive(Clone, Debug, Default)]
pub struct PageFiles {
    /// The sources of templates, by the names of their files.
    pub templates: Vec<(String, String)>,
    /// The logo.
    pub logo: Option<Vec<u8>>,
}

/// The reason why a file for the pages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PageFileError {
    /// A file or directory cannot be read.
    #[error("{key} = \"{}\": could not be read: {error}; put it there, for the group depollueur to read, or write {key} = \"\" for none", path.display())]
    Read {
        /// The option that names it.
        key: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file is larger than its limit.
    #[error("{key} = \"{}\": larger than {limit} bytes", path.display())]
    TooLarge {
        /// The option that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
}

impl PageFiles {
    /// Reads the files that a configuration names. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or is too large; the message names it, and the key.
    pub fn read(config: &WebConfig) -> Result<Self, PageFileError> {
        let templates = config.templates.as_deref().map(templates).transpose()?;
        let logo = config.logo.as_deref();
        let logo = logo.map(|path| read("web.logo", path, LOGO_BYTES_MAX));
        Ok(Self {
            templates: templates.unwrap_or_default(),
            logo: logo.transpose()?,
        })
    }
}

/// Reads the templates in a directory. Files of other kinds may lie beside them.
fn templates(directory: &Path) -> Result<Vec<(String, String)>, PageFileError> {
    const KEY: &str = "web.templates";
    let unread = |path: &Path, error| PageFileError::Read {
        key: KEY,
        path: path.to_owned(),
        error,
    };

    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| unread(directory, error))? {
        let path = entry.map_err(|error| unread(directory, error))?.path();
        if path.extension().is_none_or(|extension| extension != "html") {
            continue;
        }

        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let source = String::from_utf8(read(KEY, &path, TEMPLATE_BYTES_MAX)?).map_err(|error| {
            let kind = io::ErrorKind::InvalidData;
            unread(&path, io::Error::new(kind, error.utf8_error()))
        })?;
        found.push((name.into_owned(), source));
    }
    Ok(found)
}

fn read(key: &'static str, path: &Path, limit: u64) -> Result<Vec<u8>, PageFileError> {
    let unread = |error| PageFileError::Read {
        key,
        path: path.to_owned(),
        error,
    };
    if fs::metadata(path).map_err(unread)?.len() > limit {
        return Err(PageFileError::TooLarge {
            key,
            path: path.to_owned(),
            limit,
        });
    }
    fs::read(path).map_err(unread)
}

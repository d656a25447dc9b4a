//! The directory of the notice's templates: read once, tried once.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::value::{Codec, Written};
use crate::rewrite::notice::{TEMPLATES, Templates};

/// Maximum size of a template, in bytes.
const TEMPLATE_BYTES_MAX: u64 = 64 << 10;

/// A directory of templates.
#[derive(Clone, Debug)]
pub struct NoticeTemplates {
    directory: PathBuf,
    /// `None` until the templates are loaded.
    templates: Option<Arc<Templates>>,
}

impl NoticeTemplates {
    /// Reads and tries the templates.
    ///
    /// # Errors
    /// Returns one line with the name and the place if one of them cannot be read or used.
    pub(super) fn load(&mut self) -> Result<(), String> {
        let sources = self.sources()?;
        let templates = Templates::new(&sources)
            .map_err(|error| error.in_directory(&self.directory).to_string())?;
        self.templates = Some(Arc::new(templates));
        Ok(())
    }

    /// Returns the templates, once they are loaded.
    pub fn templates(&self) -> Option<&Arc<Templates>> {
        self.templates.as_ref()
    }

    /// Returns the sources of the templates in the directory, by their names. Files of other kinds
    /// may lie beside them.
    fn sources(&self) -> Result<Vec<(&'static str, String)>, String> {
        let unread = |error| not_read(&self.directory, &error);
        let mut found = Vec::new();

        for entry in fs::read_dir(&self.directory).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            let is_template =
                |extension: &std::ffi::OsStr| extension == "txt" || extension == "html";
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

/// Codec of `notice.templates`: a directory of templates, or none.
pub(super) struct TemplateDirectory;

impl Codec for TemplateDirectory {
    type Value = Option<NoticeTemplates>;

    fn parse(written: &Written) -> Option<Option<NoticeTemplates>> {
        let directory = super::value::OptionalPath::parse(written)?;
        Some(directory.map(|directory| NoticeTemplates {
            directory,
            templates: None,
        }))
    }

    fn print(value: &Option<NoticeTemplates>) -> Written {
        let directory = value.as_ref().map(|found| found.directory.clone());
        super::value::OptionalPath::print(&directory)
    }

    fn allowed() -> String {
        super::value::OptionalPath::allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(files: &[(&str, &[u8])]) -> (tempfile::TempDir, NoticeTemplates) {
        let directory = tempfile::tempdir().unwrap();
        for (name, contents) in files {
            fs::write(directory.path().join(name), contents).unwrap();
        }
        let templates = NoticeTemplates {
            directory: directory.path().to_owned(),
            templates: None,
        };
        (directory, templates)
    }

    fn loaded(files: &[(&str, &[u8])]) -> Result<NoticeTemplates, String> {
        let (directory, mut templates) = placed(files);
        let loaded = templates.load();
        let place = directory.path().display().to_string();
        loaded
            .map(|()| templates)
            .map_err(|error| error.replace(&place, "DIR"))
    }

    #[test]
    fn templates_are_found_by_their_names() {
        let files: [(_, &[u8]); 4] = [
            ("fr.txt", b"\xef\xbb\xbfFichiers :\r\n{{ link }}\r\n"),
            ("en.html", b"<a href=\"{{ link }}\">Files</a>\n"),
            ("README", b"{% if"),
            ("fr.html.bak", b"{% if"),
        ];
        let (_directory, found) = placed(&files);
        let expected = [
            ("en.html", "<a href=\"{{ link }}\">Files</a>\n".to_owned()),
            ("fr.txt", "Fichiers :\r\n{{ link }}\r\n".to_owned()),
        ];
        assert_eq!(found.sources().unwrap(), expected);
        let found = format!("{:?}", loaded(&files).unwrap().templates().unwrap());
        assert_eq!(found, r#"{"fr.txt", "en.html"}"#);
        assert!(loaded(&[]).is_ok());
    }

    #[test]
    fn a_template_of_the_largest_size_is_read() {
        let largest = [b'x'; TEMPLATE_BYTES_MAX as usize];
        let (_directory, found) = placed(&[("fr.txt", &largest)]);
        assert_eq!(found.sources().unwrap()[0].1.as_bytes(), largest);
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
        let mut gone = NoticeTemplates {
            directory: "/nonexistent".into(),
            templates: None,
        };
        let error = gone.load().unwrap_err();
        assert!(
            error.starts_with("\"/nonexistent\" could not be read: "),
            "{error}"
        );
    }
}

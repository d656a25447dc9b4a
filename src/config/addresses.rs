//! Files of addresses: one a line, read once, searched in memory.
//!
//! ```text
//! # people who want their files as they are
//! zoe@example.org
//! @compta.example.org     a whole domain
//! @.lists.example.org     a domain and all below it
//! ```
//!
//! In files of users a word may follow the address: `all` (as if nothing stood there), `sent` or
//! `received`. A file of a million lines takes 35 MB and twenty comparisons to search.

use std::{fs, path::PathBuf, sync::Arc};

use super::pattern::{fold, parents};

/// A file of addresses.
#[derive(Clone, Debug)]
pub struct AddressFile {
    path: PathBuf,
    /// Empty until it is loaded.
    set: Arc<AddressSet>,
}

/// Which of a user's mail a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mail {
    /// What he sends.
    Sent,
    /// What he receives.
    Received,
}

/// The addresses of a file: one text, and where each begins in it, sorted by the addresses.
#[derive(Debug, Default)]
struct AddressSet {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u32,
    len: u16,
    sent: bool,
    received: bool,
}

impl AddressFile {
    /// A file that is not read yet; `None` unless its path begins with a slash.
    pub(super) fn new(path: &str) -> Option<Self> {
        let path = PathBuf::from(path);
        let usable = path.is_absolute() && !path.to_string_lossy().contains('\0');
        usable.then(|| Self {
            path,
            set: Arc::default(),
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or one of its lines is no address; one line with both.
    pub(super) fn load(&mut self) -> Result<(), String> {
        let path = self.path.display();
        let text = fs::read_to_string(&self.path)
            .map_err(|error| format!("could not read \"{path}\": {error}"))?;
        let set = AddressSet::parse(text)
            .map_err(|(line, reason)| format!("\"{path}\", line {line}: {reason}"))?;
        self.set = Arc::new(set);
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Whether an address in lower case, or its domain, stands in it.
    pub fn has(&self, folded: &str) -> bool {
        self.set.entries(folded).next().is_some()
    }

    /// Whether an address in lower case, or its domain, stands in it for this kind of mail.
    pub fn has_for(&self, folded: &str, mail: Mail) -> bool {
        self.set.entries(folded).any(|entry| match mail {
            Mail::Sent => entry.sent,
            Mail::Received => entry.received,
        })
    }
}

impl AddressSet {
    /// Reads lines; fails with the number of the line and the reason.
    fn parse(text: String) -> Result<Self, (usize, String)> {
        let text = fold(&text);
        if u32::try_from(text.len()).is_err() {
            return Err((1, "the file must be smaller than 4 GiB".into()));
        }
        let mut entries = Vec::new();
        let mut at = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let start = at + content.len() - content.trim_start().len();
            if let Some(entry) = entry(content.trim(), start).map_err(|why| (index + 1, why))? {
                entries.push(entry);
            }
            at += line.len();
        }
        entries.sort_unstable_by(|left, right| left.of(&text).cmp(right.of(&text)));
        entries.dedup_by(|later, kept| {
            let same = later.of(&text) == kept.of(&text);
            if same {
                (kept.sent, kept.received) =
                    (kept.sent || later.sent, kept.received || later.received);
            }
            same
        });
        Ok(Self { text, entries })
    }

    /// What stands there for an address: itself, its domain, the domains above.
    fn entries(&self, folded: &str) -> impl Iterator<Item = Entry> {
        let domain = folded.rsplit_once('@').map(|(_, domain)| domain);
        let whole = domain.and_then(|domain| self.find(&format!("@{domain}")));
        let trees = domain.into_iter().flat_map(parents);
        self.find(folded)
            .into_iter()
            .chain(whole)
            .chain(trees.filter_map(|parent| self.find(&format!("@.{parent}"))))
    }

    fn find(&self, key: &str) -> Option<Entry> {
        self.search(|entry| entry.cmp(key))
    }

    fn search(&self, mut compare: impl FnMut(&str) -> std::cmp::Ordering) -> Option<Entry> {
        let found = self
            .entries
            .binary_search_by(|entry| compare(entry.of(&self.text)));
        found.ok().map(|index| self.entries[index])
    }
}

impl Entry {
    fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        &text[start..start + usize::from(self.len)]
    }
}

/// Reads a line without its comment; `None` when nothing is left.
fn entry(content: &str, start: usize) -> Result<Option<Entry>, String> {
    let mut words = content.split_whitespace();
    let Some(address) = words.next() else {
        return Ok(None);
    };
    if address.contains(['*', '<', '>', '/']) {
        return Err(format!(
            "{address:?} must be an address or \"@domain\", not a pattern"
        ));
    }
    let (sent, received) = match words.next() {
        None | Some("all") => (true, true),
        Some("sent") => (true, false),
        Some("received") => (false, true),
        Some(word) => return Err(format!("{word:?} must be all, sent or received")),
    };
    if let Some(word) = words.next() {
        return Err(format!("{word:?} has no meaning here"));
    }
    Ok(Some(Entry {
        start: start as u32,
        len: u16::try_from(address.len()).map_err(|_| "is too long".to_owned())?,
        sent,
        received,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AddressFile {
        let mut file = AddressFile::new("/unread").unwrap();
        file.set = Arc::new(AddressSet::parse(text.to_owned()).unwrap());
        file
    }

    #[test]
    fn addresses_domains_and_trees_are_found_in_any_case() {
        let file =
            file("# people\n\n Zoé@Example.org # she\nb@x.org\r\n@whole.org\n@.tree.org\nlogin");
        for known in [
            "zoé@example.org",
            "b@x.org",
            "any@whole.org",
            "any@tree.org",
            "any@a.b.tree.org",
            "login",
        ] {
            assert!(file.has(known), "{known}");
        }
        for unknown in [
            "a@x.org",
            "x@a.whole.org",
            "x@badtree.org",
            "",
            "people",
            "@",
            "she",
        ] {
            assert!(!file.has(unknown), "{unknown}");
        }
    }

    #[test]
    fn a_line_may_be_about_one_kind_of_mail() {
        let file = file("a@x sent\nb@x received\nc@x all\nd@x\ne@x sent\ne@x received\n");
        let table = [
            ("a@x", true, false),
            ("b@x", false, true),
            ("c@x", true, true),
            ("d@x", true, true),
            ("e@x", true, true),
            ("f@x", false, false),
        ];
        for (address, sent, received) in table {
            assert_eq!(file.has_for(address, Mail::Sent), sent, "{address}");
            assert_eq!(file.has_for(address, Mail::Received), received, "{address}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = |text: &str| AddressSet::parse(text.to_owned()).unwrap_err();
        assert_eq!(error("a@b\n*@c").0, 2);
        assert_eq!(error("a@b\n\na@b send").0, 3);
        assert_eq!(error("a@b all of it").1, "\"of\" has no meaning here");
        assert_eq!(error("<a@b>").0, 1);
    }

    #[test]
    fn a_missing_file_is_an_error_with_its_name() {
        let mut file = AddressFile::new("/nonexistent/addresses").unwrap();
        let error = file.load().unwrap_err();
        assert!(
            error.starts_with("could not read \"/nonexistent/addresses\": "),
            "{error}"
        );
    }

    #[test]
    fn a_million_lines_are_searched_with_twenty_comparisons() {
        let lines: String = (0..1_000_000)
            .map(|n| format!("user{n}@example.org\n"))
            .collect();
        let bytes = lines.len();
        let set = AddressSet::parse(lines).unwrap();
        assert_eq!(set.entries.len(), 1_000_000);
        assert_eq!(set.text.len(), bytes);
        assert!(size_of::<Entry>() <= 8);
        for key in ["user777777@example.org", "nobody@example.org"] {
            let mut compared = 0;
            let found = set.search(|entry| {
                compared += 1;
                entry.cmp(key)
            });
            assert_eq!(found.is_some(), key.starts_with("user"));
            assert!(compared <= 21, "{compared} comparisons");
        }
    }
}

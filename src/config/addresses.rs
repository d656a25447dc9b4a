//! The contents of files of addresses, one address a line: parsed once, searched in memory. This module opens no file.
//!
//! ```text
//! # people who want their files as they are
//! zoe@example.org
//! @compta.example.org     a whole domain
//! @.lists.example.org     a domain and all below it
//! ```
//!
//! In files of users a word may follow the address: `all` (the default), `sent` or `received`; with
//! `sent`, it may be a login name. A file of a million lines takes 35 MB, and a search takes twenty
//! comparisons.
//!
//! A line that can mean nobody is an error, with its number and the text to write instead.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::pattern::{Bare, fold, parents};

/// Maximum number of bad lines reported per file.
const BAD_LINES_MAX: usize = 10;

/// The path of a file of addresses, and the rule for its lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddressFile {
    path: PathBuf,
    /// The rule for lines that are bare words.
    bare: Bare,
}

/// A file of addresses, with the place in the configuration that names it.
#[derive(Clone, Debug)]
pub struct NamedAddressFile {
    /// The file.
    pub file: AddressFile,
    /// `FILE:LINE`, and the key.
    pub named: String,
}

/// The addresses in the files that a configuration names. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AddressLists(Arc<HashMap<AddressFile, AddressSet>>);

/// The part of a user's mail that a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailScope {
    /// Mail that the user sends.
    Sent,
    /// Mail that the user receives.
    Received,
}

/// The addresses of a file: one text, and the position of each address in it, sorted by address.
#[derive(Debug, Default)]
pub struct AddressSet {
    text: String,
    entries: Vec<AddressEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AddressEntry {
    start: u32,
    len: u16,
    sent: bool,
    received: bool,
}

impl AddressFile {
    /// Creates the name of a file; `None` unless its path begins with a slash.
    pub(super) fn new(path: &str, bare: Bare) -> Option<Self> {
        let path = PathBuf::from(path);
        let usable = path.is_absolute() && !path.to_string_lossy().contains('\0');
        usable.then_some(Self { path, bare })
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Parses its text.
    ///
    /// # Errors
    /// Returns one line if some lines are not addresses: each with `FILE:LINE` and the text to write.
    pub fn parse(&self, text: &str) -> Result<AddressSet, String> {
        AddressSet::parse(text, self.bare).map_err(|bad| self.complaint(&bad))
    }

    fn complaint(&self, bad: &[BadLine]) -> String {
        let told = bad.iter().take(BAD_LINES_MAX);
        let told = told.map(|(line, why)| format!("{}:{line}: {why}", self.path.display()));
        let mut told: Vec<String> = told.collect();
        if let Some(more @ 1..) = bad.len().checked_sub(BAD_LINES_MAX) {
            told.push(format!("and {more} lines more"));
        }
        told.join("; ")
    }
}

impl AddressLists {
    /// Returns true if a file is known to list nobody.
    pub fn is_empty(&self, file: &AddressFile) -> bool {
        self.0.get(file).is_some_and(|set| set.entries.is_empty())
    }

    /// Returns true if a file lists an address in lower case, or the address's domain.
    pub fn has(&self, file: &AddressFile, folded: &str) -> bool {
        self.entries(file, folded).next().is_some()
    }

    /// Returns true if a file lists an address in lower case, or the address's domain, for this kind of mail.
    pub fn has_for(&self, file: &AddressFile, folded: &str, mail: MailScope) -> bool {
        self.entries(file, folded).any(|entry| match mail {
            MailScope::Sent => entry.sent,
            MailScope::Received => entry.received,
        })
    }

    fn entries(&self, file: &AddressFile, folded: &str) -> impl Iterator<Item = AddressEntry> {
        let set = self.0.get(file).into_iter();
        set.flat_map(move |set| set.entries(folded))
    }
}

impl FromIterator<(AddressFile, AddressSet)> for AddressLists {
    fn from_iter<I: IntoIterator<Item = (AddressFile, AddressSet)>>(read: I) -> Self {
        Self(Arc::new(read.into_iter().collect()))
    }
}

/// The number of an unusable line, and the reason.
type BadLine = (usize, String);

impl AddressSet {
    /// Parses the lines; fails with those that are unusable.
    fn parse(text: &str, bare: Bare) -> Result<Self, Vec<BadLine>> {
        let text = fold(text);
        if u32::try_from(text.len()).is_err() {
            return Err(vec![(1, "the file must be smaller than 4 GiB".into())]);
        }

        let (mut entries, mut bad) = (Vec::new(), Vec::new());
        let mut at = 0;
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            let start = at + content.len() - content.trim_start().len();
            match entry(content.trim(), start, bare) {
                Ok(entry) => entries.extend(entry),
                Err(why) => bad.push((index + 1, why)),
            }
            at += line.len();
        }

        if !bad.is_empty() {
            return Err(bad);
        }

        entries.sort_unstable_by(|left, right| left.of(&text).cmp(right.of(&text)));
        // Several lines for one address add up.
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

    /// Returns the entries for an address: its own, its domain's, and those of the domains above.
    fn entries(&self, folded: &str) -> impl Iterator<Item = AddressEntry> {
        let domain = folded.rsplit_once('@').map(|(_, domain)| domain);
        let whole = domain.and_then(|domain| self.find(&format!("@{domain}")));
        let trees = domain.into_iter().flat_map(parents);
        self.find(folded)
            .into_iter()
            .chain(whole)
            .chain(trees.filter_map(|parent| self.find(&format!("@.{parent}"))))
    }

    fn find(&self, key: &str) -> Option<AddressEntry> {
        self.search(|entry| entry.cmp(key))
    }

    fn search(&self, mut compare: impl FnMut(&str) -> std::cmp::Ordering) -> Option<AddressEntry> {
        let found = self
            .entries
            .binary_search_by(|entry| compare(entry.of(&self.text)));
        found.ok().map(|index| self.entries[index])
    }
}

impl AddressEntry {
    fn of(self, text: &str) -> &str {
        let start = self.start as usize;
        &text[start..start + usize::from(self.len)]
    }
}

/// Parses a line without its comment; `None` if it is empty.
fn entry(content: &str, start: usize, bare: Bare) -> Result<Option<AddressEntry>, String> {
    let mut words = content.split_whitespace();
    let Some(address) = words.next() else {
        return Ok(None);
    };

    let (sent, received) = match words.next() {
        None | Some("all") => (true, true),
        Some("sent") => (true, false),
        Some("received") => (false, true),
        Some(word) if word.contains('@') => {
            return Err(format!("{word:?} must stand on a line of its own"));
        }
        Some(word) => return Err(format!("{word:?} must be all, sent or received")),
    };

    if let Some(word) = words.next() {
        return Err(format!("{word:?} has no meaning here"));
    }

    // A user who logs in only sends; receiving takes an address.
    let bare = if received { bare } else { Bare::Allowed };
    if let Some(reason) = unusable(address, bare) {
        return Err(format!("{address:?} {reason}"));
    }

    Ok(Some(AddressEntry {
        start: start as u32,
        len: u16::try_from(address.len()).map_err(|_| "is too long".to_owned())?,
        sent,
        received,
    }))
}

/// Returns the reason why a word can stand for nobody, and the text to write instead.
fn unusable(address: &str, bare: Bare) -> Option<String> {
    if let Some(local) = address.strip_prefix("*@") {
        return Some(format!(
            "is a pattern: write \"@{local}\" for the whole domain"
        ));
    }
    if address.contains(['*', '<', '>', '/']) {
        return Some("must be an address or \"@domain\", not a pattern".into());
    }
    if address.ends_with([',', ';', ':']) || address.contains(',') {
        return Some("must be one address, without commas: write each on a line of its own".into());
    }

    match address.rsplit_once('@') {
        Some((_, domain)) => wrong_domain(domain, address),
        None if bare == Bare::Allowed => None,
        None if address.contains('.') => Some(format!(
            "is no address: write \"@{address}\" for the domain, \"@.{address}\" for all below it too"
        )),
        None => Some(format!(
            "is no address: write it with its domain, such as \"{address}@example.org\", or \"{address} sent\" for a login name"
        )),
    }
}

/// Checks the text after the last `@`. A domain without a dot is one of a local network.
fn wrong_domain(domain: &str, address: &str) -> Option<String> {
    let tree = address.starts_with("@.").then(|| domain.strip_prefix('.'));
    let name = tree.flatten().unwrap_or(domain);
    if let Some(trimmed) = name.strip_suffix('.') {
        let right = address.strip_suffix('.').unwrap_or(trimmed);
        return Some(format!("ends in a dot: write {right:?}"));
    }
    let is_literal = name.starts_with('[') && name.ends_with(']');
    let is_label = |label: &str| !label.is_empty() && !label.contains([':', '!', '"', '\'', '(']);
    let is_name = is_literal || name.split('.').all(is_label);
    (!is_name).then(|| {
        "has no domain behind its \"@\": write it such as \"zoe@example.org\" or \"@example.org\"".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> (AddressFile, AddressLists) {
        let file = AddressFile::new("/unread", Bare::Allowed).unwrap();
        let set = file.parse(text).unwrap();
        let lists = [(file.clone(), set)].into_iter().collect();
        (file, lists)
    }

    #[test]
    fn addresses_domains_and_trees_are_found_in_any_case() {
        let (file, lists) =
            list("# people\n\n Zoé@Example.org # she\nb@x.org\r\n@whole.org\n@.tree.org\nlogin");
        for known in [
            "zoé@example.org",
            "b@x.org",
            "any@whole.org",
            "any@tree.org",
            "any@a.b.tree.org",
            "login",
        ] {
            assert!(lists.has(&file, known), "{known}");
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
            assert!(!lists.has(&file, unknown), "{unknown}");
        }
    }

    #[test]
    fn a_line_may_be_about_one_kind_of_mail() {
        let (file, lists) = list("a@x sent\nb@x received\nc@x all\nd@x\ne@x sent\ne@x received\n");
        let table = [
            ("a@x", true, false),
            ("b@x", false, true),
            ("c@x", true, true),
            ("d@x", true, true),
            ("e@x", true, true),
            ("f@x", false, false),
        ];
        for (address, sent, received) in table {
            for (mail, expected) in [(MailScope::Sent, sent), (MailScope::Received, received)] {
                assert_eq!(lists.has_for(&file, address, mail), expected, "{address}");
            }
        }
    }

    #[test]
    fn a_bad_line_is_named_with_what_to_write() {
        for (line, said) in [
            (
                "bob",
                r#""bob" is no address: write it with its domain, such as "bob@example.org", or "bob sent" for a login name"#,
            ),
            (
                "asso.example",
                r#""asso.example" is no address: write "@asso.example" for the domain, "@.asso.example" for all below it too"#,
            ),
            (
                "*@c.org",
                r#""*@c.org" is a pattern: write "@c.org" for the whole domain"#,
            ),
            (
                "<a@b>",
                r#""<a@b>" must be an address or "@domain", not a pattern"#,
            ),
            (
                "a@b.org,c@d.org",
                r#""a@b.org,c@d.org" must be one address, without commas: write each on a line of its own"#,
            ),
            (
                "a@b.org c@d.org",
                r#""c@d.org" must stand on a line of its own"#,
            ),
            ("a@b.org.", r#""a@b.org." ends in a dot: write "a@b.org""#),
            (
                "@",
                r#""@" has no domain behind its "@": write it such as "zoe@example.org" or "@example.org""#,
            ),
            (
                "a@",
                r#""a@" has no domain behind its "@": write it such as "zoe@example.org" or "@example.org""#,
            ),
            (
                "a@.b.org",
                r#""a@.b.org" has no domain behind its "@": write it such as "zoe@example.org" or "@example.org""#,
            ),
            (
                "@a..b",
                r#""@a..b" has no domain behind its "@": write it such as "zoe@example.org" or "@example.org""#,
            ),
            ("a@b send", r#""send" must be all, sent or received"#),
            ("a@b all of it", r#""of" has no meaning here"#),
        ] {
            let text = format!("# people\nzoe@example.org\n{line} # what\n");
            let bad = AddressSet::parse(&text, Bare::Refused).unwrap_err();
            assert_eq!(bad, [(3, said.to_owned())], "{line}");
        }
        for good in [
            "a@b",
            "@localhost",
            "@.b.org",
            "\"a b\"@c.org".replace(' ', "_").as_str(),
            "a@[192.0.2.1]",
            "zoé@exämple.org",
            "j.doe sent",
        ] {
            assert!(AddressSet::parse(good, Bare::Refused).is_ok(), "{good}");
        }
    }

    #[test]
    fn every_bad_line_is_told_up_to_ten() {
        let file = AddressFile::new("/unread", Bare::Refused).unwrap();
        let lines: String = (1..=12).map(|n| format!("user{n}\n")).collect();
        let said = file.parse(&lines).unwrap_err();
        assert!(
            said.starts_with("/unread:1: \"user1\" is no address"),
            "{said}"
        );
        assert!(
            said.contains("; /unread:10: ") && !said.contains("/unread:11"),
            "{said}"
        );
        assert!(said.ends_with("; and 2 lines more"), "{said}");
    }

    #[test]
    fn a_file_of_comments_lists_nobody_and_an_unread_one_is_not_called_empty() {
        let (file, lists) = list("# none\n\n");
        assert!(lists.is_empty(&file));
        assert!(!AddressLists::default().is_empty(&file));
    }

    #[test]
    fn a_million_lines_are_searched_with_twenty_comparisons() {
        let lines: String = (0..1_000_000)
            .map(|n| format!("user{n}@example.org\n"))
            .collect();
        let bytes = lines.len();
        let set = AddressSet::parse(&lines, Bare::Refused).unwrap();
        assert_eq!(set.entries.len(), 1_000_000);
        assert_eq!(set.text.len(), bytes);
        assert!(size_of::<AddressEntry>() <= 8);
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

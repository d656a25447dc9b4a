//! The domains of this mail server, as a list of Postfix says them: names, files of names, and tables.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read as _},
};

use super::LookupError;
use crate::config::{Table, fold};

/// Maximum size of a file of domains that is read, in bytes.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Maximum number of files that name files.
const DEPTH_MAX: usize = 5;

/// The names under which a domain may stand in a list, beside its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Parents {
    /// None.
    #[default]
    No,
    /// Those above it with a dot before them.
    Dotted,
    /// Those above it (`parent_domain_matches_subdomains`).
    Plain,
}

/// The domains of one list.
#[derive(Clone, Debug, Default)]
pub(super) struct DomainSet {
    pub(super) names: HashSet<String>,
    pub(super) tables: Vec<Table>,
    /// The files of it that could not be read: there may be more domains.
    pub(super) unread: Vec<LookupError>,
    parents: Parents,
}

impl DomainSet {
    /// Reads a list, and the files that it names.
    pub(super) fn read(list: &str, parents: Parents) -> Self {
        let mut domains = Self {
            parents,
            ..Self::default()
        };
        domains.add(list, 0);
        domains
    }

    fn add(&mut self, list: &str, depth: usize) {
        for word in words(list) {
            if word.starts_with('/') {
                self.add_file(word, depth);
            } else if Table::new(word.trim_start_matches("proxy:")).is_some() {
                self.tables.push(Table::of_postfix(&word));
            } else if !word.contains([':', '!', '$']) {
                self.names.insert(fold(&word));
            }
        }
    }

    fn add_file(&mut self, path: String, depth: usize) {
        let too_deep = || io::Error::other("files that name files, too deep");
        let text = match depth < DEPTH_MAX {
            true => contents(&path),
            false => Err(too_deep()),
        };
        match text {
            Ok(text) => {
                let lines = text.lines().filter(|line| !line.starts_with('#'));
                lines.for_each(|line| self.add(line, depth + 1));
            }
            Err(error) => {
                let reason = error.to_string();
                self.unread.push(LookupError::File { path, reason });
            }
        }
    }

    /// Returns the names under which a domain may stand in the list.
    pub(super) fn keys(&self, domain: &str) -> Vec<String> {
        let dots = domain.match_indices('.').map(|(at, _)| at);
        let above = |at: usize| match self.parents {
            Parents::No => None,
            Parents::Dotted => Some(domain[at..].to_owned()),
            Parents::Plain => Some(domain[at + 1..].to_owned()),
        };
        let own = Some(domain.to_owned());
        own.into_iter().chain(dots.filter_map(above)).collect()
    }

    /// Returns true if the list names a domain without a table.
    pub(super) fn has(&self, domain: &str) -> bool {
        self.keys(domain).iter().any(|key| self.names.contains(key))
    }
}

fn contents(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1);
    let is_whole = { read }.read_to_string(&mut text)? as u64 <= FILE_BYTES_MAX;
    let whole = is_whole.then_some(text);
    whole.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))
}

/// Splits a list of Postfix at blanks and commas, but not within braces.
pub(super) fn words(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0_usize;
    for sign in list.chars() {
        match sign {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_between = depth == 0 && (sign == ',' || sign.is_whitespace());
        match words.last_mut() {
            Some(word) if !is_between => word.push(sign),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tables_is_parted_outside_of_braces() {
        assert_eq!(
            words("hash:/a, inline:{ {a@b = c, d} },\tproxy:pgsql:/b"),
            ["hash:/a", "inline:{ {a@b = c, d} }", "proxy:pgsql:/b"]
        );
        assert!(words(" , ").is_empty());
    }

    #[test]
    fn domains_are_names_tables_and_what_files_say() {
        let home = tempfile::tempdir().unwrap();
        let (file, inner) = (home.path().join("domains"), home.path().join("inner"));
        let lines = format!("# c.org\nA.org, b.org\n{} hash:/t\n", inner.display());
        std::fs::write(&file, lines).unwrap();
        std::fs::write(&inner, "d.org\n").unwrap();
        let list = format!("{} proxy:pgsql:/p !x.org e.org", file.display());
        let domains = DomainSet::read(&list, Parents::No);
        for (domain, expected) in [
            ("a.org", true),
            ("b.org", true),
            ("c.org", false),
            ("d.org", true),
            ("e.org", true),
            ("x.org", false),
            ("sub.e.org", false),
        ] {
            assert_eq!(domains.has(domain), expected, "{domain}");
        }
        let tables = ["hash:/t", "proxy:pgsql:/p"].map(Table::of_postfix);
        assert_eq!((domains.tables, domains.unread), (tables.into(), vec![]));
        let missing = home.path().join("missing").display().to_string();
        let unread = DomainSet::read(&missing, Parents::No).unread;
        assert!(unread[0].to_string().contains(&missing), "{unread:?}");
    }

    #[test]
    fn what_is_below_a_domain_belongs_to_it_as_postfix_says() {
        for (parents, list, expected) in [
            (Parents::No, "b.org .b.org", false),
            (Parents::Dotted, "b.org", false),
            (Parents::Dotted, ".b.org", true),
            (Parents::Plain, "b.org", true),
            (Parents::Plain, "ab.org", false),
        ] {
            let domains = DomainSet::read(list, parents);
            assert_eq!(domains.has("x.a.b.org"), expected, "{parents:?} {list}");
        }
    }
}

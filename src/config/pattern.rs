//! Lists of patterns, any of which may match: words, addresses, header fields.
//!
//! A pattern is a text that must be equal, a glob (`*`, `?`, `[a-z]`, `{a,b}`), or a regular
//! expression between slashes. Case is ignored: the text to match must be in lower case ([`fold`]).
//! Matching takes linear time, whatever the mail contains.

use std::{collections::HashSet, fmt};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use regex::{RegexSet, RegexSetBuilder};

use super::{
    Table,
    addresses::{AddressFile, AddressLists},
    hint,
    table::TYPES as TABLE_TYPES,
};

/// Maximum number of patterns in one list.
const PATTERNS_MAX: usize = 1000;

/// A list of patterns for words: file names, media types, names of daemons.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    exact: HashSet<String>,
    globs: GlobSet,
    regexes: RegexSet,
}

/// A list of patterns for mail addresses and login names.
#[derive(Clone, Debug, Default)]
pub struct AddressPatterns {
    written: Vec<String>,
    patterns: Patterns,
    /// `@example.org`
    domains: HashSet<String>,
    /// `@.example.org`: the domain and all below it.
    trees: HashSet<String>,
    /// `file:/path`
    files: Vec<AddressFile>,
    /// `hash:/path`, to be queried through Postfix.
    tables: Vec<Table>,
}

/// A pattern for the fields of one name.
#[derive(Clone, Debug)]
pub struct HeaderPattern {
    /// The name, in lower case.
    pub name: String,
    value: Patterns,
}

/// The error for a bad pattern: the pattern, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} {reason}")]
pub(super) struct PatternError {
    written: String,
    reason: String,
}

/// The rule for bare words in a list of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Bare {
    /// A bare word is a login name.
    Allowed,
    /// Every word must be an address.
    Refused,
}

/// Returns the form in which texts are matched.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

impl Patterns {
    /// Parses a list.
    ///
    /// # Errors
    /// Fails if one of the globs or regular expressions is invalid or empty, or if there are too many.
    pub(super) fn new(written: &[String]) -> Result<Self, PatternError> {
        let mut globs = GlobSetBuilder::new();
        let mut regexes = Vec::new();
        let mut exact = HashSet::new();

        for text in written.iter().take(PATTERNS_MAX + 1) {
            match kind(text)? {
                PatternKind::Regex(inner) => regexes.push((text, inner)),
                PatternKind::Glob => {
                    let glob = GlobBuilder::new(text).case_insensitive(true).build();
                    globs.add(glob.map_err(|error| PatternError::new(text, error.kind()))?);
                }
                PatternKind::Exact => {
                    exact.insert(fold(text));
                }
            }
        }

        if written.len() > PATTERNS_MAX {
            let reason = format!("is one of too many: {PATTERNS_MAX} at most, use a file");
            return Err(PatternError::new(&written[PATTERNS_MAX], reason));
        }

        Ok(Self {
            exact,
            globs: globs
                .build()
                .map_err(|error| PatternError::new("", error.kind()))?,
            regexes: set(&regexes)?,
        })
    }

    /// Returns true if one of them matches a text in lower case.
    pub fn matches(&self, folded: &str) -> bool {
        self.exact.contains(folded) || self.globs.is_match(folded) || self.regexes.is_match(folded)
    }
}

impl AddressPatterns {
    /// Parses a list.
    ///
    /// # Errors
    /// Fails if one of the entries is not a pattern for addresses.
    pub(super) fn new(written: &[String], bare: Bare) -> Result<Self, PatternError> {
        let mut list = Self {
            written: written.to_vec(),
            ..Self::default()
        };

        let mut others = Vec::new();
        for text in written {
            if let Some(path) = text.strip_prefix("file:") {
                let file = AddressFile::new(path, bare).ok_or_else(|| {
                    PatternError::new(text, "must be file: and a path that begins with a slash")
                })?;
                list.files.push(file);
            } else if let Some(table) = Table::new(text) {
                list.tables.push(table);
            } else if let Some(reason) = unmatched(text, bare) {
                return Err(PatternError::new(text, reason));
            } else if !matches!(kind(text)?, PatternKind::Exact) {
                others.push(text.clone());
            } else if let Some(tree) = text.strip_prefix("@.") {
                list.trees.insert(domain(text, tree)?);
            } else if let Some(name) = text.strip_prefix('@') {
                list.domains.insert(domain(text, name)?);
            } else if text == "<>" {
                others.push("//".to_owned());
            } else {
                others.push(text.clone());
            }
        }

        list.patterns = Patterns::new(&others)?;
        Ok(list)
    }

    /// Returns the list as it was written.
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Returns the tables of Postfix in it, which [`AddressPatterns::matches`] does not query.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns the files of addresses in it.
    pub(super) fn files(&self) -> &[AddressFile] {
        &self.files
    }

    /// Returns true if the list is empty, so that nothing matches.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// Returns true if an address in lower case matches, or is in one of its files; the empty address is
    /// that of bounces.
    pub fn matches(&self, folded: &str, lists: &AddressLists) -> bool {
        let domain = folded.rsplit_once('@').map(|(_, domain)| domain);
        self.patterns.matches(folded)
            || domain.is_some_and(|domain| self.has_domain(domain))
            || self.files.iter().any(|file| lists.has(file, folded))
    }

    fn has_domain(&self, domain: &str) -> bool {
        let in_tree = || parents(domain).any(|parent| self.trees.contains(parent));
        self.domains.contains(domain) || (!self.trees.is_empty() && in_tree())
    }
}

impl HeaderPattern {
    /// Parses `Name: pattern`.
    ///
    /// # Errors
    /// Fails if there is no name, or the pattern is invalid.
    pub(super) fn new(written: &str) -> Result<Self, PatternError> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b':')
        };

        let (name, value) = written
            .split_once(':')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, value)| is_name(name) && !value.is_empty())
            .ok_or_else(|| {
                PatternError::new(
                    written,
                    "must be a name, a colon and a pattern, such as \"X-Spam-Flag: YES\"",
                )
            })?;

        Ok(Self {
            name: fold(name),
            value: Patterns::new(&[value.to_owned()])?,
        })
    }

    /// Returns true if a value in lower case matches.
    pub fn matches(&self, folded: &str) -> bool {
        self.value.matches(folded)
    }
}

impl PatternError {
    pub(super) fn new(written: &str, reason: impl fmt::Display) -> Self {
        Self {
            written: written.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Returns a domain and those above it: `a.example.org`, `example.org`, `org`.
pub(super) fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(domain), |domain| {
        domain.split_once('.').map(|(_, parent)| parent)
    })
}

enum PatternKind<'a> {
    Exact,
    Glob,
    Regex(&'a str),
}

fn kind(text: &str) -> Result<PatternKind<'_>, PatternError> {
    if text.trim().is_empty() {
        return Err(PatternError::new(text, "must not be empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(PatternError::new(text, "must be one line"));
    }
    match text.strip_prefix('/') {
        Some(rest) => match rest.strip_suffix('/') {
            Some(inner) => Ok(PatternKind::Regex(inner)),
            None => Err(PatternError::new(
                text,
                "must end in a slash, as it begins with one",
            )),
        },
        None if text.contains(['*', '?', '[', '{', '\\']) => Ok(PatternKind::Glob),
        None => Ok(PatternKind::Exact),
    }
}

/// Builds all the expressions into one automaton; an invalid one is named in the error.
fn set(regexes: &[(&String, &str)]) -> Result<RegexSet, PatternError> {
    let build = |inner: &[&str]| {
        // The empty expression is `<>`: it matches only the empty address.
        let whole = inner
            .iter()
            .map(|inner| if inner.is_empty() { "^$" } else { inner });
        RegexSetBuilder::new(whole).case_insensitive(true).build()
    };

    for (text, inner) in regexes {
        if let Err(error) = build(&[inner]) {
            let reason = match &error {
                regex::Error::Syntax(text) => text.lines().last().unwrap_or_default(),
                _ => "it is too large",
            };
            let reason = format!(
                "is no regular expression: {}",
                reason.trim_start_matches("error: ")
            );
            return Err(PatternError::new(text, reason));
        }
    }

    let inner: Vec<&str> = regexes.iter().map(|(_, inner)| *inner).collect();
    build(&inner)
        .map_err(|_| PatternError::new("", "and the other expressions are too large together"))
}

/// Returns advice for a text that no address can match; `None` if one can.
fn unmatched(text: &str, bare: Bare) -> Option<String> {
    let is_plain = !text.contains(['*', '?', '[', '{', '\\']);
    if text == "<>" || (text.starts_with('/') && text.len() > 1 && text.ends_with('/')) {
        return None;
    }

    if text.starts_with('/') {
        return Some(format!(
            "is neither an address nor a regular expression, which ends in a slash, too: write \"file:{text}\" for a file"
        ));
    }

    if let Some((before, name)) = text.split_once(":/") {
        return Some(no_table(before, name));
    }

    if is_plain && text.matches('@').count() > 1 && text.contains([',', ';', ' ']) {
        let words = text.split([',', ';', ' ']).filter(|word| !word.is_empty());
        let listed: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
        return Some(format!("must be a list: [{}]", listed.join(", ")));
    }

    if let Some((_, rest)) = text.rsplit_once('<') {
        let address = rest.trim_end_matches('>');
        return Some(format!("must be the address alone: write \"{address}\""));
    }

    if let Some(tree) = text.strip_prefix("@*.") {
        return Some(format!(
            "has nothing before its \"@\": write \"@.{tree}\" for the domain and all below it"
        ));
    }

    if !is_plain && text.starts_with('@') {
        return Some(format!(
            "has nothing before its \"@\", as no address has: write \"*{text}\""
        ));
    }

    if bare == Bare::Refused && is_plain && !text.is_empty() && !text.contains('@') {
        return Some(format!("must be an address, or \"@{text}\" for a domain"));
    }

    let right = text.trim_start_matches("mailto:").trim_end_matches('.');
    (is_plain && text.contains('@') && right != text && !right.ends_with('@'))
        .then(|| format!("is no address: write \"{right}\""))
}

/// Returns advice for text that looks like a table of Postfix, but of an unknown type.
fn no_table(kind: &str, name: &str) -> String {
    let meant = hint::nearest(kind, TABLE_TYPES).unwrap_or("file");
    format!("is no table of Postfix: write \"{meant}:/{name}\"")
}

fn domain(written: &str, name: &str) -> Result<String, PatternError> {
    let usable = !name.is_empty() && !name.contains(['@', ' ']) && !name.starts_with('.');
    usable
        .then(|| fold(name))
        .ok_or_else(|| PatternError::new(written, "must be a domain behind the \"@\""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn words(patterns: &[&str]) -> Patterns {
        Patterns::new(&texts(patterns)).unwrap()
    }

    /// Matches an address where no file is read.
    fn has(list: &AddressPatterns, folded: &str) -> bool {
        list.matches(folded, &AddressLists::default())
    }

    fn addresses(patterns: &[&str]) -> AddressPatterns {
        AddressPatterns::new(&texts(patterns), Bare::Refused).unwrap()
    }

    #[test]
    fn words_are_equal_globs_or_expressions_in_any_case() {
        let table = [
            ("PDF", "pdf", "pdfx"),
            ("*.PDF", "a.b.pdf", "pdf"),
            ("image/*", "image/svg+xml", "application/image"),
            ("{docx,xlsx}", "xlsx", "pptx"),
            ("scan-[0-9]*.tif?", "scan-12.tiff", "scan-x.tiff"),
            ("/^scan[0-9]+$/", "scan12", "scan12x"),
            ("/FACT/", "une facture", "devis"),
        ];
        for (pattern, matching, other) in table {
            assert!(words(&[pattern]).matches(matching), "{pattern}");
            assert!(!words(&[pattern]).matches(other), "{pattern}");
        }
        assert!(words(&["a", "*b", "/c/"]).matches("xcx"), "any of a list");
        assert!(!Patterns::default().matches(""));
    }

    #[test]
    fn addresses_are_matched_by_domain_with_or_without_those_below() {
        let table = [
            ("Zoe@Example.org", "zoe@example.org", "zoe@a.example.org"),
            ("@example.org", "x@example.org", "x@a.example.org"),
            ("@.example.org", "x@a.b.example.org", "x@badexample.org"),
            ("@.example.org", "x@example.org", "x@org"),
            (
                "bounce-*@lists.example.org",
                "bounce-12@lists.example.org",
                "b@lists.example.org",
            ),
            ("/^(a|b)@/", "b@x", "ab@x"),
            ("<>", "", "a@b"),
        ];
        for (pattern, matching, other) in table {
            assert!(has(&addresses(&[pattern]), matching), "{pattern}");
            assert!(!has(&addresses(&[pattern]), other), "{pattern}");
        }
    }

    #[test]
    fn a_login_may_be_a_bare_word_and_an_address_may_not() {
        let login = AddressPatterns::new(&texts(&["Alice"]), Bare::Allowed).unwrap();
        assert!(has(&login, "alice") && !has(&login, "alice@example.org"));
        let error = AddressPatterns::new(&texts(&["example.org"]), Bare::Refused).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""example.org" must be an address, or "@example.org" for a domain"#
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (pattern, reason) in [
            ("", "must not be empty"),
            ("a\nb", "must be one line"),
            ("/(/", "is no regular expression: unclosed group"),
            ("/a", "must end in a slash, as it begins with one"),
            ("[a", "unclosed character class; missing ']'"),
            (
                "{a",
                "unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)",
            ),
        ] {
            let error = Patterns::new(&texts(&[pattern])).unwrap_err();
            assert_eq!(error.to_string(), format!("{pattern:?} {reason}"));
        }
        for (pattern, write) in [
            ("/etc/a", "write \"file:/etc/a\" for a file"),
            ("hsah:/etc/a", "write \"hash:/etc/a\""),
            ("path:/etc/a", "write \"file:/etc/a\""),
            ("a@b.c, d@e.f", "must be a list: [\"a@b.c\", \"d@e.f\"]"),
            ("Zoe <zoe@b.c>", "write \"zoe@b.c\""),
            ("@*.b.c", "write \"@.b.c\" for the domain and all below it"),
            ("@b.{c,d}", "write \"*@b.{c,d}\""),
            ("mailto:a@b.c", "write \"a@b.c\""),
            ("a@b.c.", "write \"a@b.c\""),
        ] {
            let written = texts(&[pattern]);
            let error = AddressPatterns::new(&written, Bare::Refused).unwrap_err();
            assert!(error.to_string().ends_with(write), "{error}");
        }
        for pattern in ["@", "@.", "@a@b", "file:relative", "file:"] {
            assert!(
                AddressPatterns::new(&texts(&[pattern]), Bare::Refused).is_err(),
                "{pattern}"
            );
        }
    }

    #[test]
    fn as_many_patterns_as_the_limit_and_no_more() {
        let many = |count: usize| (0..count).map(|n| format!("a{n}")).collect::<Vec<_>>();
        assert!(Patterns::new(&many(PATTERNS_MAX)).is_ok());
        let error = Patterns::new(&many(PATTERNS_MAX + 1))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("\"a1000\" is one of too many"), "{error}");
    }

    #[test]
    fn a_field_is_matched_by_its_value() {
        let flag = HeaderPattern::new("X-Spam-Flag: YES").unwrap();
        assert_eq!(flag.name, "x-spam-flag");
        assert!(flag.matches("yes") && !flag.matches("no"));
        let any = HeaderPattern::new("X-Ticket:*").unwrap();
        assert!(any.matches("") && any.matches("12"));
        for bad in ["X-Spam-Flag", ": yes", "X-A:", "a b: c", "X: /(/"] {
            assert!(HeaderPattern::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,40}", subject in ".{0,40}") {
            let list = [text.clone()];
            if let Ok(patterns) = Patterns::new(&list) {
                let _ = patterns.matches(&subject);
            }
            if let Ok(patterns) = AddressPatterns::new(&list, Bare::Refused) {
                let _ = has(&patterns, &subject);
            }
            let _ = HeaderPattern::new(&text);
        }

        #[test]
        fn a_text_without_signs_matches_itself_alone(text in "[a-zA-Z0-9._+-]{1,20}") {
            let patterns = Patterns::new(std::slice::from_ref(&text)).unwrap();
            prop_assert!(patterns.matches(&fold(&text)));
            let longer = fold(&format!("{text}x"));
            prop_assert!(!patterns.matches(&longer));
        }

        #[test]
        fn a_tree_has_its_domain_and_all_below(
            below in proptest::collection::vec("[a-z0-9]{1,6}", 0..4),
            domain in "[a-z]{1,8}\\.[a-z]{2,3}",
        ) {
            let tree = AddressPatterns::new(&[format!("@.{domain}")], Bare::Refused).unwrap();
            let name: String = below.iter().map(|label| format!("{label}.")).collect();
            let inside = format!("a@{name}{domain}");
            let beside = format!("a@x{domain}");
            prop_assert!(has(&tree, &inside));
            prop_assert!(!has(&tree, &beside));
        }
    }
}

//! The boundaries of the open multiparts, in a table in which a line's start is looked up once.

use memchr::memmem;

use super::{BOUNDARY_BYTES_MAX, dashes};
use crate::mime::Ambiguity;

/// Number of boundaries up to which each is searched for on its own.
const FEW: usize = 4;

/// An open multipart's delimiter.
#[derive(Debug)]
pub(in crate::mime) struct Delimiter {
    /// `--boundary`
    pub(super) bytes: Vec<u8>,
    /// Number of dashes that `bytes` starts with: at least two, fewer than all.
    pub(super) dashes: usize,
}

/// The delimiters of the open multiparts, outermost first.
#[derive(Debug)]
pub(in crate::mime) struct Delimiters {
    pub(super) open: Vec<Delimiter>,
    /// Indices into `open`, in the order of the delimiters' words.
    sorted: Vec<usize>,
    /// The delimiters whose word does not start with another's word, in the same order. Text that
    /// starts with any word starts with the last of these words that does not sort after it.
    roots: Vec<Root>,
    /// Length of a prefix that all words share; they may share more.
    common: usize,
    /// Marks each byte that starts a word, or started one that has been closed.
    firsts: [bool; 256],
}

/// A word and all words that start with it.
#[derive(Debug)]
struct Root {
    /// The bytes behind the prefix that all words share, so that few words are compared whole.
    key: u64,
    /// Index of the delimiter with this word.
    owner: usize,
    /// Index into `sorted` of the first word that starts with this one.
    first: usize,
}

impl Delimiter {
    /// Makes the delimiter of a boundary.
    ///
    /// # Errors
    /// The boundary is empty, too long, or all dashes: readers differ about the first, and the last
    /// cannot be told from a ruled line.
    pub(in crate::mime) fn new(boundary: &[u8]) -> Result<Self, Ambiguity> {
        let lead = boundary.iter().take_while(|&&b| b == b'-').count();
        if lead == boundary.len() || boundary.len() > BOUNDARY_BYTES_MAX {
            return Err(Ambiguity::Boundary);
        }
        Ok(Self {
            bytes: [b"--", boundary].concat(),
            dashes: lead + 2,
        })
    }

    /// Returns true if this is the delimiter of `boundary`.
    pub(in crate::mime) fn is_of(&self, boundary: &[u8]) -> bool {
        self.boundary() == boundary
    }

    /// Finds the first place in `text` that certainly gives this boundary as a parameter's value,
    /// and returns the offset behind the byte that ends the value.
    pub(in crate::mime) fn declared_in(&self, text: &[u8]) -> Option<usize> {
        let ends = |b: &u8| matches!(b, b'"' | b';') || b.is_ascii_whitespace();
        let mut ends_of_all = memmem::find_iter(text, self.boundary()).filter_map(|at| {
            let end = at + self.boundary().len();
            let is_value = matches!(text[..at].last(), Some(b'=' | b'"'));
            (is_value && text.get(end).is_some_and(ends)).then_some(end + 1)
        });
        ends_of_all.next()
    }

    fn boundary(&self) -> &[u8] {
        &self.bytes[2..]
    }

    /// Returns the bytes behind the leading dashes; never empty.
    pub(super) fn word(&self) -> &[u8] {
        &self.bytes[self.dashes..]
    }

    /// Returns true if `line` starts with this delimiter, whatever follows.
    fn starts(&self, line: &[u8]) -> bool {
        line.starts_with(&self.bytes)
    }
}

impl Default for Delimiters {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            sorted: Vec::new(),
            roots: Vec::new(),
            common: 0,
            firsts: [false; 256],
        }
    }
}

impl Delimiters {
    /// Opens a multipart inside all others.
    pub(in crate::mime) fn push(&mut self, delimiter: Delimiter) {
        let before = |&other: &usize| self.open[other].word() <= delimiter.word();
        let place = self.sorted.partition_point(before);
        self.sorted.insert(place, self.open.len());
        self.open.push(delimiter);
        self.add(place);
    }

    /// Closes the innermost multipart.
    pub(in crate::mime) fn pop(&mut self) {
        let Some(owner) = self.open.len().checked_sub(1) else {
            return;
        };
        self.open.pop();
        if let Some(place) = self.sorted.iter().position(|&other| other == owner) {
            self.sorted.remove(place);
            self.take_out(owner, place);
        }
    }

    pub(in crate::mime) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns true if one of them is the delimiter of `boundary`.
    pub(in crate::mime) fn have(&self, boundary: &[u8]) -> bool {
        let may_be = self.starting(&boundary[dashes(boundary)..]);
        may_be.iter().any(|&open| self.open[open].is_of(boundary))
    }

    /// Returns true if `line` starts with one of them, whatever follows.
    pub(in crate::mime) fn start(&self, line: &[u8]) -> bool {
        if !line.starts_with(b"--") {
            return false;
        }
        let may_start = self.starting(&line[dashes(line)..]);
        may_start.iter().any(|&open| self.open[open].starts(line))
    }

    /// Finds the first place in `text` that certainly gives one of their boundaries as a
    /// parameter's value, and returns the offset behind the byte that ends the value.
    pub(in crate::mime) fn declared_in(&self, text: &[u8]) -> Option<usize> {
        let may_follow = |at: usize| {
            let value = &text[at + 1..];
            !self.starting(&value[dashes(value)..]).is_empty()
        };
        let may_be =
            self.open.len() <= FEW || memchr::memchr2_iter(b'=', b'"', text).any(may_follow);
        let ends = self.open.iter().filter_map(|open| open.declared_in(text));
        may_be.then(|| ends.min()).flatten()
    }

    /// Enters the innermost multipart, whose word was inserted into `sorted` at `place`, into the
    /// table. The table is built anew only for the first word, and where the shared prefix becomes
    /// shorter.
    fn add(&mut self, place: usize) {
        let owner = self.open.len() - 1;
        let word = self.open[owner].word();
        let Some(&other) = self.sorted.get(usize::from(place == 0)) else {
            return self.index();
        };
        if owner == 0 || !word.starts_with(&self.open[other].word()[..self.common]) {
            return self.index();
        }

        self.firsts[usize::from(word[0])] = true;
        // The roots behind `place` move up by one, as their words did in `sorted`.
        let at = self.roots.partition_point(|root| root.first < place);
        let (before, after) = self.roots.split_at_mut(at);
        after.iter_mut().for_each(|root| root.first += 1);

        // A word that starts with a root's word belongs to that root.
        let is_in = |root: &Root| word.starts_with(self.open[root.owner].word());
        if before.last().is_some_and(is_in) {
            return;
        }

        // Otherwise it is a root itself, and replaces the roots whose words start with it.
        let key = key(&word[self.common..]);
        let starts = |root: &&Root| self.open[root.owner].word().starts_with(word);
        let covered = after.iter().take_while(starts).count();
        let root = Root {
            key,
            owner,
            first: place,
        };
        self.roots.splice(at..at + covered, [root]);
    }

    /// Takes a closed multipart, whose word stood in `sorted` at `place`, out of the table. The
    /// table is built anew only where other words started with that word.
    fn take_out(&mut self, owner: usize, place: usize) {
        let at = self.roots.partition_point(|root| root.first < place);
        let is_root = self.roots.get(at).is_some_and(|root| root.owner == owner);

        // The words behind a root, up to the next one (whose `first` still counts the closed word),
        // start with it: without it they need other roots.
        let next = self.roots.get(at + usize::from(is_root));
        let end = next.map_or(self.sorted.len() + 1, |root| root.first);
        if self.open.is_empty() || is_root && end > place + 1 {
            return self.index();
        }

        if is_root {
            self.roots.remove(at);
        }

        let after = &mut self.roots[at..];
        after.iter_mut().for_each(|root| root.first -= 1);
    }

    /// Builds the table anew.
    fn index(&mut self) {
        self.roots.clear();
        self.firsts = [false; 256];
        let word = |owner: usize| self.open[owner].word();
        self.common = match self.sorted[..] {
            [] => 0,
            [first, .., last] => common_start(word(first), word(last)),
            [only] => word(only).len(),
        };

        for (first, &owner) in self.sorted.iter().enumerate() {
            let root = self.roots.last().map(|root| word(root.owner));
            if !root.is_some_and(|root| word(owner).starts_with(root)) {
                self.firsts[usize::from(word(owner)[0])] = true;
                let key = key(&word(owner)[self.common..]);
                self.roots.push(Root { key, owner, first });
            }
        }
    }

    /// Returns the delimiters that may match where `text` follows a run of dashes. Each
    /// is a candidate only: the text starts with its word, may do so when more bytes come, or starts
    /// with the root of its word.
    pub(super) fn starting(&self, text: &[u8]) -> &[usize] {
        let text = &text[..text.len().min(BOUNDARY_BYTES_MAX)];

        match text.first() {
            None => return &self.sorted,
            Some(&first) if !self.firsts[usize::from(first)] => return &[],
            Some(_) => {}
        }

        // A single multipart needs no table.
        if let [only] = &self.open[..] {
            let may_be = text.starts_with(only.word()) || only.word().starts_with(text);
            return if may_be { &self.sorted } else { &[] };
        }

        // The prefix that all words share is compared once.
        let common = &self.open[self.sorted[0]].word()[..self.common];
        let Some(rest) = text.strip_prefix(common) else {
            return if common.starts_with(text) {
                &self.sorted
            } else {
                &[]
            };
        };

        // Finds the last root that does not sort after the text: by the keys alone, and by whole
        // words only among roots of the same key.
        let key = key(rest);
        let mut behind = self.roots.partition_point(|root| root.key < key);
        if self.roots.get(behind).is_some_and(|root| root.key == key) {
            let before = |root: &Root| root.key == key && self.word(root) <= text;
            behind += self.roots[behind..].partition_point(before);
        }

        // Either the text starts with that root's word, or it is cut short and the next root's word
        // starts with it; then all words from there on are candidates.
        let (before, after) = self.roots.split_at(behind);
        match (before.last(), after.first()) {
            (Some(root), next) if text.starts_with(self.word(root)) => {
                &self.sorted[root.first..next.map_or(self.sorted.len(), |next| next.first)]
            }
            (_, Some(root)) if self.word(root).starts_with(text) => &self.sorted[root.first..],
            _ => &[],
        }
    }

    fn word(&self, root: &Root) -> &[u8] {
        self.open[root.owner].word()
    }
}

/// Returns the first eight bytes as a number that sorts as they do; missing ones count as zero.
fn key(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(&first) => u64::from_be_bytes(first),
        None => {
            let mut first = [0; 8];
            first[..text.len()].copy_from_slice(text);
            u64::from_be_bytes(first)
        }
    }
}

fn common_start(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(boundaries: &[&str]) -> Delimiters {
        let mut open = Delimiters::default();
        for boundary in boundaries {
            open.push(Delimiter::new(boundary.as_bytes()).unwrap());
        }
        open
    }

    #[test]
    fn a_boundary_that_is_empty_or_long_or_all_dashes_is_refused() {
        assert!(Delimiter::new(b"").is_err());
        assert!(Delimiter::new(b"----").is_err());
        assert!(Delimiter::new(&[b'x'; BOUNDARY_BYTES_MAX]).is_ok());
        assert!(Delimiter::new(&[b'x'; BOUNDARY_BYTES_MAX + 1]).is_err());
    }

    /// Compares the table, brought up to date by each change, with a look at each boundary and with
    /// a table built anew.
    fn check_table(boundaries: &[String], closed: usize, reopened: &[String], text: &str) {
        let all: Vec<_> = boundaries.iter().map(String::as_str).collect();
        let mut open = open(&all);
        for _ in 0..closed {
            open.pop();
        }
        for boundary in reopened {
            open.push(Delimiter::new(boundary.as_bytes()).unwrap());
        }
        let words = open.open.iter().map(|open| open.word());
        let text = text.as_bytes();
        let mut anew = Delimiters::default();
        for open in &open.open {
            anew.push(Delimiter::new(open.boundary()).unwrap());
            anew.index();
        }
        assert_eq!(open.starting(text), anew.starting(text));
        for boundary in &all {
            let is_open = open.open.iter().any(|open| open.is_of(boundary.as_bytes()));
            assert_eq!(open.have(boundary.as_bytes()), is_open);
        }
        let expected = |word: &[u8]| text.starts_with(word) || word.starts_with(text);
        let expected = words.into_iter().any(expected);
        assert_eq!(!open.starting(text).is_empty(), expected);
    }

    proptest::proptest! {
        /// Boundaries that start with one another, opened and closed in any order.
        #[test]
        fn the_table_finds_what_a_look_at_each_would(
            boundaries in proptest::collection::vec("-{0,2}[ab]{1,4}", 0..12),
            closed in 0..4usize,
            reopened in proptest::collection::vec("-{0,2}[ab]{1,4}", 0..4),
            text in "[ab]{0,6}",
        ) {
            check_table(&boundaries, closed, &reopened, &text);
        }

        /// Boundaries as programs make them: a start that is the same in all, then bytes of which
        /// the table's key holds eight.
        #[test]
        fn the_table_tells_boundaries_apart_behind_eight_bytes_and_more(
            start in "[ab]{0,12}",
            boundaries in proptest::collection::vec("a{5,9}[ab]{0,3}", 2..12),
            closed in 0..4usize,
            reopened in proptest::collection::vec("a{5,9}[ab]{0,3}", 0..4),
            other in proptest::option::of("-{0,2}[ab]{1,14}"),
            text in "a{5,9}[ab]{0,3}",
        ) {
            let started = |word: &String| format!("{start}{word}");
            let boundaries: Vec<_> = boundaries.iter().map(started).collect();
            let reopened: Vec<_> = reopened.iter().map(started).chain(other).collect();
            check_table(&boundaries, closed, &reopened, &started(&text));
        }
    }
}

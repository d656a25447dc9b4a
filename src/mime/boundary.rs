//! Delimiter lines in a run of bytes (RFC 2046, section 5.1.1).
//!
//! A delimiter line is `--boundary` at the start of a line, blanks, and the end of the line; `--`
//! behind the boundary closes the multipart. The line end *before* it belongs to it.
//!
//! The search runs over `--`, which base64 never contains, so most of a message is skipped at the
//! speed of `memmem`. The bytes behind a run of dashes are looked up once in a sorted table of the
//! open multiparts' boundaries, whatever the run's length, so no input is quadratic, and many open
//! multiparts cost little more than one.

use std::sync::LazyLock;

use memchr::memmem;

use super::Ambiguity;

/// The longest boundary that is accepted, in bytes. RFC 2046 allows 70; mail with more exists, and
/// the readers compared do not differ about it.
pub const BOUNDARY_BYTES_MAX: usize = 200;

/// Maximum number of blanks behind a delimiter (RFC 2046: transport padding).
const PADDING_BYTES_MAX: usize = 128;

/// Number of boundaries up to which each is searched for on its own.
const FEW: usize = 4;

/// Built once: building it costs as much as searching a kilobyte.
static TWO_DASHES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"--"));

/// An open multipart's delimiter.
#[derive(Debug)]
pub(super) struct Delimiter {
    /// `--boundary`
    bytes: Vec<u8>,
    /// Number of dashes that `bytes` starts with: at least two, fewer than all.
    dashes: usize,
}

/// The delimiters of the open multiparts, outermost first.
#[derive(Debug)]
pub(super) struct Delimiters {
    open: Vec<Delimiter>,
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

/// Outcome of a search at the front of a run of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This many bytes are content; the search goes on behind them.
    Content(usize),
    /// Nothing is certain until more bytes have come.
    NeedMore,
    /// A delimiter line.
    Line(Line),
    /// Readers would differ about what stands here.
    Ambiguous(Ambiguity),
}

/// A delimiter line and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Length of the content before it.
    pub(super) content: usize,
    /// Length of the line end before it (0 at the start of a body, 1 for LF, 2 for CRLF).
    pub(super) eol: usize,
    /// Length of the line itself with its own line end.
    pub(super) len: usize,
    /// Index of its multipart among the open delimiters.
    pub(super) owner: usize,
    /// True if it closes the multipart.
    pub(super) closes: bool,
}

impl Delimiter {
    /// Makes the delimiter of a boundary.
    ///
    /// # Errors
    /// The boundary is empty, too long, or all dashes: readers differ about the first, and the last
    /// cannot be told from a ruled line.
    pub(super) fn new(boundary: &[u8]) -> Result<Self, Ambiguity> {
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
    pub(super) fn is_of(&self, boundary: &[u8]) -> bool {
        self.boundary() == boundary
    }

    /// Finds the first place in `text` that certainly gives this boundary as a parameter's value,
    /// and returns the offset behind the byte that ends the value.
    pub(super) fn declared_in(&self, text: &[u8]) -> Option<usize> {
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
    fn word(&self) -> &[u8] {
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
    pub(super) fn push(&mut self, delimiter: Delimiter) {
        let before = |&other: &usize| self.open[other].word() <= delimiter.word();
        let place = self.sorted.partition_point(before);
        self.sorted.insert(place, self.open.len());
        self.open.push(delimiter);
        self.add(place);
    }

    /// Closes the innermost multipart.
    pub(super) fn pop(&mut self) {
        let Some(owner) = self.open.len().checked_sub(1) else {
            return;
        };
        self.open.pop();
        if let Some(place) = self.sorted.iter().position(|&other| other == owner) {
            self.sorted.remove(place);
            self.take_out(owner, place);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns true if one of them is the delimiter of `boundary`.
    pub(super) fn have(&self, boundary: &[u8]) -> bool {
        let may_be = self.starting(&boundary[dashes(boundary)..]);
        may_be.iter().any(|&open| self.open[open].is_of(boundary))
    }

    /// Returns true if `line` starts with one of them, whatever follows.
    pub(super) fn start(&self, line: &[u8]) -> bool {
        if !line.starts_with(b"--") {
            return false;
        }
        let may_start = self.starting(&line[dashes(line)..]);
        may_start.iter().any(|&open| self.open[open].starts(line))
    }

    /// Finds the first place in `text` that certainly gives one of their boundaries as a
    /// parameter's value, and returns the offset behind the byte that ends the value.
    pub(super) fn declared_in(&self, text: &[u8]) -> Option<usize> {
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
    fn starting(&self, text: &[u8]) -> &[usize] {
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

/// Looks for the first delimiter line in `buf`.
///
/// `line_start` is true if `buf` begins at the start of a line, so that the line end before it is
/// *not* in `buf` (the start of a body or of a preamble). With `eof`, nothing comes after `buf`.
///
/// Bytes returned as content never end in a line end or in the start of a delimiter, so that
/// the result does not depend on how the bytes were cut.
pub(super) fn find(open: &Delimiters, buf: &[u8], line_start: bool, eof: bool) -> Found {
    if open.is_empty() {
        return content(buf.len());
    }

    let mut at = 0;
    while let Some(start) = two_dashes(buf, at) {
        let end = start + 2 + dashes(&buf[start + 2..]);
        let starting = open.starting(&buf[end..]);
        if starting.is_empty() {
            at = end;
            continue;
        }

        let run = Run {
            start,
            end,
            at_line_start: if start == 0 {
                line_start
            } else {
                buf[start - 1] == b'\n'
            },
            complete: end < buf.len() || eof,
        };

        match test(&open.open, starting, buf, run, eof) {
            Test::No => at = end,
            Test::More => return content(hold(&open.open, buf, run)),
            Test::Line { len, owner, closes } => {
                let eol = eol_before(buf, start);
                if eol > 0 {
                    let own = eol_before(&buf[start..], len);
                    if own > 0 && eol != own {
                        return doubt(start - eol, Ambiguity::DelimiterLineEnd);
                    }
                }
                return Found::Line(Line {
                    content: start - eol,
                    eol,
                    len,
                    owner,
                    closes,
                });
            }
            Test::Ambiguous(why) => return doubt(hold(&open.open, buf, run), why),
        }
    }

    content(if eof {
        buf.len()
    } else {
        buf.len() - tail(buf)
    })
}

/// A run of dashes.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    at_line_start: bool,
    /// True if the run is known to end at `end`.
    complete: bool,
}

enum Test {
    No,
    More,
    Line {
        len: usize,
        owner: usize,
        closes: bool,
    },
    Ambiguous(Ambiguity),
}

/// Tests a run of dashes against those open delimiters that may stand there.
fn test(open: &[Delimiter], starting: &[usize], buf: &[u8], run: Run, eof: bool) -> Test {
    if !run.complete {
        return Test::More;
    }

    if let &[owner] = starting {
        return test_one(&open[owner], owner, buf, run, eof);
    }

    let mut line = None;
    let mut is_twice = false;
    // The doubt of the outermost multipart counts.
    let mut doubt: Option<(usize, Ambiguity)> = None;
    for &owner in starting {
        match test_one(&open[owner], owner, buf, run, eof) {
            Test::No => {}
            Test::More => return Test::More,
            Test::Ambiguous(why) => {
                if doubt.is_none_or(|(other, _)| owner < other) {
                    doubt = Some((owner, why));
                }
            }
            found @ Test::Line { .. } => {
                is_twice |= line.is_some();
                line = Some(found);
            }
        }
    }

    match (line, doubt) {
        _ if is_twice => Test::Ambiguous(Ambiguity::DelimiterTwice),
        (Some(line), _) => line,
        (None, Some((_, why))) => Test::Ambiguous(why),
        (None, None) => Test::No,
    }
}

/// Tests a run of dashes, which is known to be whole, against one delimiter.
#[inline(always)] // most runs are tested against a single delimiter
fn test_one(delimiter: &Delimiter, owner: usize, buf: &[u8], run: Run, eof: bool) -> Test {
    // A boundary is never all dashes, so it can only match where exactly as many dashes of the run
    // are left as the delimiter starts with.
    let Some(at) = run
        .end
        .checked_sub(delimiter.dashes)
        .filter(|&at| at >= run.start)
    else {
        return Test::No;
    };

    let rest = &buf[at..];
    let Some((start, tail)) = rest.split_at_checked(delimiter.bytes.len()) else {
        let may_be = !eof && delimiter.bytes.starts_with(rest);
        return if may_be { Test::More } else { Test::No };
    };
    if start != delimiter.bytes {
        return Test::No;
    }

    if at > run.start || !run.at_line_start {
        return Test::Ambiguous(Ambiguity::DelimiterMidLine);
    }

    match line_tail(tail, eof) {
        Tail::More => Test::More,
        Tail::Garbage => Test::Ambiguous(Ambiguity::DelimiterTail),
        Tail::End { len, closes } => Test::Line {
            len: delimiter.bytes.len() + len,
            owner,
            closes,
        },
    }
}

enum Tail {
    More,
    Garbage,
    End { len: usize, closes: bool },
}

/// Reads the end of a line that starts with `--boundary`: `--` or nothing, blanks, the line end.
fn line_tail(rest: &[u8], eof: bool) -> Tail {
    if let [b'\r', b'\n', ..] = rest {
        let (len, closes) = (2, false);
        return Tail::End { len, closes };
    }

    // A second dash, which closes the multipart, may still come.
    if rest == b"-" && !eof {
        return Tail::More;
    }

    let closes = rest.starts_with(b"--");
    let skip = if closes { 2 } else { 0 };
    let blanks = rest[skip..]
        .iter()
        .take_while(|&&b| b == b' ' || b == b'\t')
        .count();
    if blanks > PADDING_BYTES_MAX {
        return Tail::Garbage;
    }

    let at = skip + blanks;
    match &rest[at..] {
        [b'\n', ..] => Tail::End {
            len: at + 1,
            closes,
        },
        [b'\r', b'\n', ..] => Tail::End {
            len: at + 2,
            closes,
        },
        [] if eof => Tail::End { len: at, closes },
        [] => Tail::More,
        [b'\r'] if !eof => Tail::More,
        _ => Tail::Garbage,
    }
}

/// Reports an ambiguity behind `content` bytes, which are given out first: whatever is found in
/// them counts first, however the bytes are cut.
fn doubt(content: usize, why: Ambiguity) -> Found {
    if content == 0 {
        Found::Ambiguous(why)
    } else {
        Found::Content(content)
    }
}

fn content(len: usize) -> Found {
    if len == 0 {
        Found::NeedMore
    } else {
        Found::Content(len)
    }
}

/// Finds the first two dashes from `at` on. Within 16 bytes they are found without `memmem`, which
/// takes its time to start.
fn two_dashes(buf: &[u8], at: usize) -> Option<usize> {
    let mut from = at;
    if let [b'-', b'-', ..] = buf[at..] {
        return Some(at);
    }

    if let Some(&near) = buf[at..].first_chunk() {
        let dashes = equal_bytes(u128::from_le_bytes(near), b'-');
        // Only the dashes that another one follows are left.
        let pairs = dashes & (dashes >> 8);
        if pairs != 0 {
            return Some(at + pairs.trailing_zeros() as usize / 8);
        }
        from += size_of_val(&near) - 1;
    }

    TWO_DASHES.find(&buf[from..]).map(|offset| from + offset)
}

/// Returns the highest bit of each byte that equals `byte`.
fn equal_bytes(bytes: u128, byte: u8) -> u128 {
    const LOW: u128 = u128::from_le_bytes([0x7f; 16]);
    let zero_where_equal = bytes ^ u128::from_le_bytes([byte; 16]);
    !(((zero_where_equal & LOW) + LOW) | zero_where_equal | LOW)
}

fn dashes(buf: &[u8]) -> usize {
    buf.iter().position(|&b| b != b'-').unwrap_or(buf.len())
}

/// Returns the number of bytes before an undecided run that are certain to be content. A run longer
/// than any delimiter's dashes cannot start a delimiter line, so only its end is held.
fn hold(open: &[Delimiter], buf: &[u8], run: Run) -> usize {
    let dashes_max = open.iter().map(|d| d.dashes).max().unwrap_or(0);
    if run.end - run.start > dashes_max {
        run.end - dashes_max
    } else {
        run.start - eol_before(buf, run.start)
    }
}

/// Returns the number of bytes at the end of `buf` that may belong to a delimiter of which nothing
/// else is there: a line end, a dash, or both.
fn tail(buf: &[u8]) -> usize {
    match buf {
        [.., b'-'] => 1 + eol_before(buf, buf.len() - 1),
        [.., b'\r'] => 1,
        _ => eol_before(buf, buf.len()),
    }
}

/// Returns the length of the line end that `buf[..at]` ends with; 0 if there is none.
fn eol_before(buf: &[u8], at: usize) -> usize {
    match &buf[..at] {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the outcome behind all content.
    fn behind(open: &Delimiters, mut text: &[u8]) -> Found {
        loop {
            match find(open, text, false, false) {
                Found::Content(len) => text = &text[len..],
                found => return found,
            }
        }
    }

    fn open(boundaries: &[&str]) -> Delimiters {
        let mut open = Delimiters::default();
        for boundary in boundaries {
            open.push(Delimiter::new(boundary.as_bytes()).unwrap());
        }
        open
    }

    fn line(content: usize, eol: usize, len: usize, owner: usize, closes: bool) -> Found {
        Found::Line(Line {
            content,
            eol,
            len,
            owner,
            closes,
        })
    }

    #[test]
    fn the_line_end_before_a_delimiter_belongs_to_it() {
        assert_eq!(
            find(&open(&["b"]), b"ab\r\n--b\r\n", false, false),
            line(2, 2, 5, 0, false)
        );
        assert_eq!(
            find(&open(&["b"]), b"ab\n--b--  \n", false, false),
            line(2, 1, 8, 0, true)
        );
        assert_eq!(
            find(&open(&["b"]), b"--b\r\n", true, false),
            line(0, 0, 5, 0, false)
        );
    }

    #[test]
    fn a_delimiter_may_end_with_the_message() {
        assert_eq!(
            find(&open(&["b"]), b"x\r\n--b--", false, true),
            line(1, 2, 5, 0, true)
        );
        assert_eq!(
            find(&open(&["b"]), b"x\r\n--b--", false, false),
            Found::Content(1)
        );
    }

    #[test]
    fn a_delimiter_that_is_not_whole_is_held_with_its_line_end() {
        for cut in 3..7 {
            let text = &b"xyz\r\n--b"[..cut + 1];
            assert_eq!(
                find(&open(&["b"]), text, false, false),
                Found::Content(3),
                "{cut}"
            );
        }
        assert_eq!(
            find(&open(&["b"]), b"\r\n--b", false, false),
            Found::NeedMore
        );
    }

    #[test]
    fn boundary_prefix_is_not_a_boundary() {
        let why = Found::Ambiguous(Ambiguity::DelimiterTail);
        assert_eq!(behind(&open(&["b"]), b"x\r\n--bX\r\n"), why);
        assert_eq!(behind(&open(&["b"]), b"x\r\n--b--X\r\n"), why);
        let nested = open(&["A", "A-B"]);
        assert_eq!(
            find(&nested, b"x\r\n--A-B\r\n", false, false),
            line(1, 2, 7, 1, false)
        );
        assert_eq!(
            find(&nested, b"x\r\n--A\r\n", false, false),
            line(1, 2, 5, 0, false)
        );
    }

    #[test]
    fn a_delimiter_between_different_line_ends_is_ambiguous() {
        let why = Found::Ambiguous(Ambiguity::DelimiterLineEnd);
        assert_eq!(behind(&open(&["b"]), b"x\n--b\r\n"), why);
        assert_eq!(behind(&open(&["b"]), b"x\r\n--b\n"), why);
    }

    #[test]
    fn a_line_that_two_multiparts_claim_is_ambiguous() {
        let why = Found::Ambiguous(Ambiguity::DelimiterTwice);
        assert_eq!(behind(&open(&["b", "b--"]), b"x\r\n--b--\r\n"), why);
    }

    #[test]
    fn a_delimiter_inside_a_line_or_behind_a_bare_cr_is_ambiguous() {
        let why = Found::Ambiguous(Ambiguity::DelimiterMidLine);
        assert_eq!(behind(&open(&["b"]), b"x --b\r\n"), why);
        assert_eq!(behind(&open(&["b"]), b"x\r--b\r\n"), why);
        assert_eq!(behind(&open(&["-b"]), b"\r\n----b\r\n"), why);
    }

    #[test]
    fn a_long_run_of_dashes_is_not_held() {
        let rule = [b'-'; 1000];
        assert_eq!(find(&open(&["b"]), &rule, true, false), Found::Content(998));
        assert_eq!(find(&open(&["b"]), &rule, true, true), Found::Content(1000));
    }

    #[test]
    fn a_boundary_that_is_empty_or_long_or_all_dashes_is_refused() {
        assert!(Delimiter::new(b"").is_err());
        assert!(Delimiter::new(b"----").is_err());
        assert!(Delimiter::new(&[b'x'; BOUNDARY_BYTES_MAX]).is_ok());
        assert!(Delimiter::new(&[b'x'; BOUNDARY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn two_dashes_are_found_wherever_they_stand() {
        for before in 0..40 {
            for fill in ["-,", "a-", "--"] {
                let text = format!("{}--x", &fill.repeat(20)[..before]);
                for at in 0..text.len() {
                    let expected = text[at..].find("--").map(|offset| at + offset);
                    assert_eq!(two_dashes(text.as_bytes(), at), expected, "{text} {at}");
                }
            }
        }
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
        let mut anew = super::Delimiters::default();
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

    #[test]
    fn blanks_behind_a_delimiter_are_bounded() {
        let padded = |n: usize| [b"\r\n--b", vec![b' '; n].as_slice(), b"\r\n"].concat();
        let at_limit = find(&open(&["b"]), &padded(PADDING_BYTES_MAX), false, false);
        assert_eq!(at_limit, line(0, 2, 5 + PADDING_BYTES_MAX, 0, false));
        let past = find(&open(&["b"]), &padded(PADDING_BYTES_MAX + 1), false, false);
        assert_eq!(past, Found::Ambiguous(Ambiguity::DelimiterTail));
    }
}

//! Delimiter lines in a run of bytes (RFC 2046, section 5.1.1).
//!
//! A delimiter line is `--boundary` at the start of a line, blanks, and the end of the line; `--`
//! behind the boundary closes the multipart. The line end *before* it belongs to it.
//!
//! The search runs over `--`, which base64 never contains, so most of a message is skipped at the
//! speed of `memmem`. The bytes behind a run of dashes are looked up once in a sorted table of the
//! open multiparts' boundaries, whatever the run's length, so no input is quadratic, and many open
//! multiparts cost little more than one.

mod table;

use std::sync::LazyLock;

use memchr::memmem;

pub(super) use self::table::{Delimiter, Delimiters};
use super::Ambiguity;

/// The longest boundary that is accepted, in bytes. RFC 2046 allows 70; mail with more exists, and
/// the readers compared do not differ about it.
pub(super) const BOUNDARY_BYTES_MAX: usize = 200;

/// Maximum number of blanks behind a delimiter (RFC 2046: transport padding).
const PADDING_BYTES_MAX: usize = 128;

/// Built once: building it costs as much as searching a kilobyte.
static TWO_DASHES: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"--"));

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

    #[test]
    fn blanks_behind_a_delimiter_are_bounded() {
        let padded = |n: usize| [b"\r\n--b", vec![b' '; n].as_slice(), b"\r\n"].concat();
        let at_limit = find(&open(&["b"]), &padded(PADDING_BYTES_MAX), false, false);
        assert_eq!(at_limit, line(0, 2, 5 + PADDING_BYTES_MAX, 0, false));
        let past = find(&open(&["b"]), &padded(PADDING_BYTES_MAX + 1), false, false);
        assert_eq!(past, Found::Ambiguous(Ambiguity::DelimiterTail));
    }
}

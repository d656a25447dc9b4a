//! The structure of a message, as events.
//!
//! The scanner is given the top-level header's [`Head`], then the body in chunks cut anywhere.
//! [`Scanner::scan`] returns the [`Events`] of a chunk, and [`Scanner::end`] those behind the last one.
//!
//! The bytes in the events, in order, are the bytes that came in: none is lost, added or moved.
//! The cuts between events may depend on the chunks; nothing else does.
//!
//! It descends into multiparts other than signed, encrypted and report, and into nothing else: a
//! `message/rfc822` is a leaf. It does not decode bodies and does not judge what a part is for.
//!
//! # Memory
//!
//! One header block (`header_bytes_max`), the open boundaries (`depth_max` × 300 bytes), at most
//! 1 KiB of undecided bytes, a chunk of an embedded message, and what was not asked for of the last
//! chunk; never in proportion to the message.

mod events;

use std::mem;

pub use self::events::Events;
use super::{
    Ambiguity, Head, MediaType,
    boundary::{self, Delimiter, Delimiters, Found, Line},
};
use crate::limits::Limits;

/// Number of bytes kept of an embedded message, to find a boundary in it that comes in two pieces:
/// the boundary with the bytes around it.
const EMBEDDED_BYTES: usize = boundary::BOUNDARY_BYTES_MAX + 2;

/// Capacity of the header block that is kept from one part to the next, in bytes.
const HEADER_BYTES_KEPT: usize = 1024;

/// The head of a part of most multiparts, where the part's own header says nothing.
static TEXT: Head = Head::silent(MediaType::TEXT_PLAIN);
/// The head of a part of a digest, where the part's own header says nothing.
static MESSAGE: Head = Head::silent(MediaType::MESSAGE_RFC822);

/// The number of a part: 0 is the message itself, the others follow in its order.
pub type PartId = u32;

/// A piece of the message, as the scanner sees it.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes of the structure: preamble, epilogue, header, the line end before a delimiter.
    Structure(&'a [u8]),
    /// A delimiter line; the line end before it came as `Structure` right before it.
    Delimiter {
        /// The line with its line end.
        line: &'a [u8],
        /// The length of the line end before it: 0, 1 or 2.
        eol: usize,
    },
    /// A part begins below `parent`; its header block follows as one `Structure`.
    Begin {
        /// Its number.
        part: PartId,
        /// The multipart around it.
        parent: PartId,
    },
    /// The decoded header of the part that began last; its body follows.
    Head(&'a Head),
    /// Bytes of a leaf's body, transfer encoding and all.
    Body(&'a [u8]),
    /// A part ended, a leaf or a multipart.
    End {
        /// Its number.
        part: PartId,
    },
    /// Readers would differ about what follows or what came before. No event comes after this.
    Ambiguous(Ambiguity),
}

/// Finds the parts of a message while its bytes come in.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    state: State,
    /// The open multiparts' delimiters, outermost first.
    open: Delimiters,
    /// The same multiparts' numbers and their children's default type.
    frames: Vec<Frame>,
    /// The part on top of the open multiparts: a leaf, or a closed multipart whose epilogue is
    /// being read.
    tip: Option<Tip>,
    parts: u32,
    /// The last bytes of a leaf that has parts of its own.
    embedded: Vec<u8>,
    /// The header block so far, and where its last line starts.
    header: Vec<u8>,
    header_line: usize,
    /// The head of the part that began last; `None` where its header says nothing.
    head: Option<Head>,
    /// The head that such a part has instead.
    silent: &'static Head,
    /// True if the next byte starts a line, and the line end before it has been given out.
    line_start: bool,
    /// Undecided bytes of earlier chunks, and the number of them that are used up.
    held: Vec<u8>,
    held_at: usize,
    eof: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    part: PartId,
    digest: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tip {
    part: PartId,
    is_leaf: bool,
    /// True if other readers may look for parts in it.
    is_opaque: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Content: a leaf's body, a preamble or an epilogue.
    Content,
    /// A delimiter line stands at the front of the bytes (after its content was given out).
    AtLine(Line),
    /// The line end was given out; the line is next.
    InLine(Line),
    /// A part is about to begin.
    Begin,
    /// A header block is being read.
    Header,
    /// The header block was given out; its decoded head is next.
    Announce,
    /// The content up to a doubt was given out; the doubt is next.
    Doubt(Ambiguity),
    /// Everything was given out.
    Done,
}

/// Outcome of a look at the bytes.
enum Step {
    /// An event with this many bytes, of this kind.
    Bytes(usize, LineKind),
    /// This many bytes were copied into the header block.
    Taken(usize),
    /// This many bytes were the last of the header block, which is to be given out.
    Header(usize),
    /// The decoded head is to be given out.
    Head,
    /// An event without bytes of the chunk.
    Event(Event<'static>),
    /// More bytes are needed.
    More,
}

#[derive(Clone, Copy)]
enum LineKind {
    Content,
    Structure,
    /// A delimiter line; the number is the length of the line end before it.
    Delimiter(usize),
}

impl Scanner {
    /// Makes a scanner for the body below a top-level header.
    ///
    /// # Errors
    /// The message's own boundary is one that readers differ about.
    pub fn new(root: &Head, limits: Limits) -> Result<Self, Ambiguity> {
        let mut scanner = Self {
            limits,
            state: State::Content,
            open: Delimiters::default(),
            frames: Vec::new(),
            tip: None,
            parts: 1,
            embedded: Vec::new(),
            header: Vec::new(),
            header_line: 0,
            head: None,
            silent: &TEXT,
            line_start: true,
            held: Vec::new(),
            held_at: 0,
            eof: false,
        };

        scanner.enter(0, root)?;
        Ok(scanner)
    }

    /// Returns true if the scanner looks at the parts of such a part. A signed or encrypted one is
    /// a single thing, and so is a report with the message that it reports on.
    #[inline]
    pub fn enters(head: &Head) -> bool {
        head.media.is_entered()
    }

    /// Returns the events of the next chunk.
    #[inline]
    pub fn scan<'a>(&'a mut self, chunk: &'a [u8]) -> Events<'a> {
        Events::new(self, chunk)
    }

    /// Returns the events behind the last chunk.
    pub fn end(&mut self) -> Events<'_> {
        self.eof = true;
        self.scan(b"")
    }

    /// Returns the number of undecided bytes held between two chunks.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    #[cold]
    fn step_in_held(&mut self) -> Step {
        let held = mem::take(&mut self.held);
        let step = self.step(&held[self.held_at..]);
        self.held = held;
        step
    }

    #[inline(always)] // its outcome is looked at in one place, and need not be put together
    fn step(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Content => self.content(bytes),
            State::AtLine(line) => self.at_line(line),
            State::InLine(line) => self.in_line(line),
            State::Begin => self.begin(),
            State::Header => self.header(bytes),
            State::Announce => self.announce(),
            State::Doubt(why) => self.ambiguous(why),
            State::Done => Step::More,
        }
    }

    fn content(&mut self, bytes: &[u8]) -> Step {
        match boundary::find(&self.open, bytes, self.line_start, self.eof) {
            Found::Content(len) => {
                self.line_start = false;
                self.embedded(&bytes[..len])
                    .unwrap_or(Step::Bytes(len, LineKind::Content))
            }
            Found::Line(line) => {
                if let Some(doubt) = self.embedded(&bytes[..line.content]) {
                    return doubt;
                }
                self.state = State::AtLine(line);
                if line.content > 0 {
                    Step::Bytes(line.content, LineKind::Content)
                } else {
                    self.at_line(line)
                }
            }
            Found::Ambiguous(why) => self.ambiguous(why),
            Found::NeedMore if self.eof && bytes.is_empty() => self.close_all(),
            Found::NeedMore => Step::More,
        }
    }

    /// Looks into a leaf with parts of its own for one that uses the boundary of a multipart around
    /// it: readers that look into the leaf, too, differ about its end. The content up to there is
    /// given out first, so that the findings in it do not depend on how the bytes came.
    fn embedded(&mut self, content: &[u8]) -> Option<Step> {
        if !self.tip.is_some_and(|tip| tip.is_opaque) || self.open.is_empty() {
            return None;
        }

        let before = self.embedded.len();
        self.embedded.extend_from_slice(content);
        let end = self.open.declared_in(&self.embedded);
        let seen = self.embedded.len().saturating_sub(EMBEDDED_BYTES);
        self.embedded.drain(..seen);
        let len = end?.saturating_sub(before);

        self.state = State::Doubt(Ambiguity::Boundary);
        Some(Step::Bytes(len, LineKind::Content))
    }

    /// Ends the parts that a delimiter line ends, one at a time, then gives out the line end before
    /// it.
    fn at_line(&mut self, line: Line) -> Step {
        if let Some(part) = self.ended(line.owner + 1) {
            return Step::Event(Event::End { part });
        }
        self.state = State::InLine(line);
        if line.eol > 0 {
            Step::Bytes(line.eol, LineKind::Structure)
        } else {
            self.in_line(line)
        }
    }

    fn in_line(&mut self, line: Line) -> Step {
        self.line_start = true;
        self.state = State::Begin;
        if line.closes {
            self.state = State::Content;
            self.open.pop();
            self.tip = self.frames.pop().map(|frame| Tip {
                part: frame.part,
                is_leaf: false,
                is_opaque: false,
            });
        }
        Step::Bytes(line.len, LineKind::Delimiter(line.eol))
    }

    /// Takes the innermost open part off, as long as more than `frames` multiparts are open or a
    /// part stands on top of them.
    fn ended(&mut self, frames: usize) -> Option<PartId> {
        if let Some(tip) = self.tip.take() {
            return Some(tip.part);
        }
        if self.frames.len() <= frames {
            return None;
        }
        self.open.pop();
        self.frames.pop().map(|frame| frame.part)
    }

    fn close_all(&mut self) -> Step {
        match self.ended(0) {
            Some(part) => Step::Event(Event::End { part }),
            None => {
                self.state = State::Done;
                Step::More
            }
        }
    }

    fn begin(&mut self) -> Step {
        if self.parts as usize >= self.limits.parts_max {
            return self.ambiguous(Ambiguity::Parts);
        }
        let Some(parent) = self.frames.last().map(|frame| frame.part) else {
            return self.ambiguous(Ambiguity::Header); // not reached: a delimiter has an owner
        };
        self.head = None;
        self.header_line = 0;
        self.state = State::Header;
        self.parts += 1;
        Step::Event(Event::Begin {
            part: self.parts - 1,
            parent,
        })
    }

    /// Reads header lines up to the blank one. A block of nothing but that need not be kept.
    fn header(&mut self, bytes: &[u8]) -> Step {
        if self.header.is_empty()
            && let Some(len) = blank_line(bytes)
            && len <= self.limits.header_bytes_max
        {
            self.state = State::Announce;
            return Step::Bytes(len, LineKind::Structure);
        }
        self.header_lines(bytes)
    }

    fn header_lines(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return if self.eof {
                self.ambiguous(Ambiguity::Header)
            } else {
                Step::More
            };
        }

        let mut taken = 0;
        while matches!(self.state, State::Header) && taken < bytes.len() {
            let rest = &bytes[taken..];
            let line_end = memchr::memchr(b'\n', rest);
            let len = line_end.map_or(rest.len(), |at| at + 1);
            if self.header.len() + len > self.limits.header_bytes_max {
                return self.ambiguous(Ambiguity::HeaderBytes);
            }
            self.header.extend_from_slice(&rest[..len]);
            if line_end.is_some()
                && let Err(why) = self.header_line()
            {
                return self.ambiguous(why);
            }
            taken += len;
        }

        match self.state {
            State::Announce => Step::Header(taken),
            _ => Step::Taken(taken),
        }
    }

    /// Handles a complete line of the header block.
    fn header_line(&mut self) -> Result<(), Ambiguity> {
        let line = &self.header[self.header_line..];
        if matches!(line, b"\n" | b"\r\n") {
            self.state = State::Announce;
        } else if self.open.start(line) {
            return Err(Ambiguity::DelimiterInHeader);
        }
        self.header_line = self.header.len();
        Ok(())
    }

    /// Announces the decoded header block, and begins the body below it.
    fn announce(&mut self) -> Step {
        self.silent = match self.frames.last() {
            Some(Frame { digest: true, .. }) => &MESSAGE,
            _ => &TEXT,
        };
        if self.header.is_empty() {
            return match self.enter(self.parts - 1, self.silent) {
                Ok(()) => Step::Head,
                Err(why) => self.ambiguous(why),
            };
        }
        self.announce_read()
    }

    fn announce_read(&mut self) -> Step {
        let told = match Head::parse_if_told(&self.header, self.silent) {
            Ok(told) => told,
            Err(why) => return self.ambiguous(why),
        };
        self.header.clear();
        self.header.shrink_to(HEADER_BYTES_KEPT);
        let head = told.as_ref().unwrap_or(self.silent);
        if let Err(why) = self.enter(self.parts - 1, head) {
            return self.ambiguous(why);
        }
        if told.is_some() {
            self.head = told;
        }
        Step::Head
    }

    /// Begins the body of a part.
    fn enter(&mut self, part: PartId, head: &Head) -> Result<(), Ambiguity> {
        self.state = State::Content;
        self.line_start = true;
        // Where two open multiparts have the same boundary, readers disagree on a delimiter's owner.
        if let Some(boundary) = &head.boundary
            && self.open.have(boundary)
        {
            return Err(Ambiguity::Boundary);
        }

        if !Self::enters(head) {
            self.embedded.clear();
            self.tip = Some(Tip {
                part,
                is_leaf: true,
                is_opaque: matches!(head.media.main(), "message" | "multipart"),
            });
            return Ok(());
        }

        if self.frames.len() >= self.limits.depth_max {
            return Err(Ambiguity::Depth);
        }
        let delimiter = Delimiter::new(head.boundary.as_deref().unwrap_or_default())?;
        self.open.push(delimiter);
        self.frames.push(Frame {
            part,
            digest: head.media.sub() == "digest",
        });
        Ok(())
    }

    fn ambiguous(&mut self, why: Ambiguity) -> Step {
        self.state = State::Done;
        self.eof = true;
        Step::Event(Event::Ambiguous(why))
    }
}

/// Returns the length of the blank line at the start of these bytes, if there is one.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::Field;

    const LIMITS: Limits = Limits {
        depth_max: 8,
        parts_max: 50,
        header_bytes_max: 4096,
    };

    fn root(content_type: &str) -> Head {
        let field = Field {
            name: b"Content-Type".to_vec(),
            value: content_type.into(),
        };
        Head::read(&[field], MediaType::new("text", "plain")).unwrap()
    }

    /// Returns the events of a scan, one a line, and the bytes of all of them.
    fn scan(root: &Head, chunks: &[&[u8]]) -> (Vec<String>, Vec<u8>) {
        let mut scanner = Scanner::new(root, LIMITS).unwrap();
        let (mut seen, mut bytes) = (Vec::new(), Vec::new());
        let mut note_all = |mut events: Events<'_>| {
            while let Some(event) = events.next() {
                note(event, &mut seen, &mut bytes);
            }
        };
        for chunk in chunks {
            note_all(scanner.scan(chunk));
        }
        note_all(scanner.end());
        (seen, bytes)
    }

    fn note(event: Event<'_>, seen: &mut Vec<String>, bytes: &mut Vec<u8>) {
        let (kind, run) = match event {
            Event::Structure(run) => ("S", run),
            Event::Delimiter { line, .. } => ("D", line),
            Event::Body(run) => ("B", run),
            Event::Begin { part, parent } => return seen.push(format!("begin {part} in {parent}")),
            Event::Head(head) => return seen.push(format!("head {}", head.media)),
            Event::End { part } => return seen.push(format!("end {part}")),
            Event::Ambiguous(why) => return seen.push(format!("ambiguous {}", why.label())),
        };
        bytes.extend_from_slice(run);
        let text = String::from_utf8_lossy(run);
        match seen.last_mut() {
            Some(last) if last.starts_with(&format!("{kind} ")) => last.push_str(&text),
            _ => seen.push(format!("{kind} {text}")),
        }
    }

    /// Scans a body whole, byte by byte, and cut in two at every place; all must see the same.
    fn scan_every_way(content_type: &str, body: &str) -> Vec<String> {
        let root = root(content_type);
        let body = body.as_bytes();
        let (whole, bytes) = scan(&root, &[body]);
        let is_ambiguous = |seen: &[String]| seen.last().unwrap().starts_with("ambiguous");
        if !is_ambiguous(&whole) {
            assert_eq!(bytes, body);
        }
        let single: Vec<&[u8]> = body.chunks(1).collect();
        let ways = (0..=body.len())
            .map(|at| vec![&body[..at], &body[at..]])
            .chain([single]);
        for way in ways {
            let (seen, _) = scan(&root, &way);
            if is_ambiguous(&whole) {
                assert_eq!(seen.last(), whole.last(), "{way:?}");
            } else {
                assert_eq!(seen, whole, "{way:?}");
            }
        }
        whole
    }

    #[test]
    fn a_single_part_is_all_body() {
        let seen = scan_every_way("text/plain", "a\r\n--b\r\nc");
        assert_eq!(seen, ["B a\r\n--b\r\nc", "end 0"]);
    }

    #[test]
    fn parts_are_found_with_their_bytes() {
        let seen = scan_every_way(
            "multipart/mixed; boundary=b",
            "pre\r\n--b\r\n\r\none\r\n--b  \r\nContent-Type: image/png\r\n\r\n\r\n--b--\r\nepi\r\n",
        );
        assert_eq!(
            seen,
            [
                "S pre\r\n",
                "D --b\r\n",
                "begin 1 in 0",
                "S \r\n",
                "head text/plain",
                "B one",
                "end 1",
                "S \r\n",
                "D --b  \r\n",
                "begin 2 in 0",
                "S Content-Type: image/png\r\n\r\n",
                "head image/png",
                "end 2",
                "S \r\n",
                "D --b--\r\n",
                "S epi\r\n",
                "end 0",
            ]
        );
    }

    #[test]
    fn an_outer_delimiter_ends_all_inner_levels() {
        let seen = scan_every_way(
            "multipart/mixed; boundary=AAA",
            "--AAA\nContent-Type: multipart/related; boundary=AAA-B\n\n--AAA-B\n\nx\n--AAA\n\ny\n--AAA--",
        );
        let marks: Vec<_> = seen
            .iter()
            .filter(|line| !line.starts_with(['S', 'D']))
            .collect();
        assert_eq!(
            marks,
            [
                "begin 1 in 0",
                "head multipart/related",
                "begin 2 in 1",
                "head text/plain",
                "B x",
                "end 2",
                "end 1",
                "begin 3 in 0",
                "head text/plain",
                "B y",
                "end 3",
                "end 0",
            ]
        );
    }

    #[test]
    fn an_epilogue_belongs_to_its_multipart() {
        let seen = scan_every_way(
            "multipart/mixed; boundary=a",
            "--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n--b\r\n\r\n--a--",
        );
        assert_eq!(
            &seen[4..],
            [
                "D --b--\r\n",
                "S --b\r\n",
                "end 1",
                "S \r\n",
                "D --a--",
                "end 0"
            ]
        );
    }

    #[test]
    fn a_missing_close_ends_with_the_message() {
        let seen = scan_every_way("multipart/mixed; boundary=b", "--b\r\n\r\nx\r\n");
        assert_eq!(&seen[4..], ["B x\r\n", "end 1", "end 0"]);
    }

    #[test]
    fn signed_and_encrypted_multiparts_and_reports_are_leaves() {
        for sub in ["signed", "encrypted", "report"] {
            let body = "--b\r\n\r\nx\r\n--b--\r\n";
            let seen = scan_every_way(&format!("multipart/{sub}; boundary=b"), body);
            assert_eq!(seen, [format!("B {body}"), "end 0".into()]);
        }
    }

    #[test]
    fn parts_of_a_digest_are_messages() {
        let seen = scan_every_way("multipart/digest; boundary=b", "--b\r\n\r\nx\r\n--b--");
        assert!(seen.contains(&"head message/rfc822".to_owned()));
    }

    #[test]
    fn doubtful_structure_is_ambiguous() {
        let nested = "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n";
        let signed = "--b\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n";
        let embedded = "--b\r\nContent-Type: message/rfc822\r\n\r\n\
                        Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\n";
        let table = [
            ("--b\r\n\r\nx\r\n--bX\r\n", "delimiter-tail"),
            ("--b\r\n\r\nx --b\r\n", "delimiter-mid-line"),
            ("--b\r\n\r\nx\r--b\r\n", "delimiter-mid-line"),
            ("--b\r\nA: b\r\n--b\r\n", "delimiter-in-header"),
            ("--b\r\nA: b\r\n", "malformed-header"),
            ("--b\r\nA b\r\n\r\n", "malformed-header"),
            ("--b\r\n\r\nx\n--b--\r\n", "delimiter-line-end"),
            (nested, "boundary"),
            (signed, "boundary"),
            (embedded, "boundary"),
        ];
        for (body, why) in table {
            let seen = scan_every_way("multipart/mixed; boundary=b", body);
            assert_eq!(
                seen.last().unwrap(),
                &format!("ambiguous {why}"),
                "{body:?}"
            );
        }
    }

    #[test]
    fn events_that_nobody_asked_for_come_with_the_next_chunk() {
        let root = root("multipart/mixed; boundary=b");
        let body = "pre\r\n--b\r\nA: b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\nepi";
        let (whole, _) = scan(&root, &[body.as_bytes()]);
        for at in 0..=body.len() {
            for asked in 0..whole.len() {
                let (first, second) = body.as_bytes().split_at(at);
                let mut scanner = Scanner::new(&root, LIMITS).unwrap();
                let (mut seen, mut bytes) = (Vec::new(), Vec::new());
                let mut note_some = |mut events: Events<'_>, count: usize| {
                    for _ in 0..count {
                        let Some(event) = events.next() else { break };
                        note(event, &mut seen, &mut bytes);
                    }
                };
                note_some(scanner.scan(first), asked);
                note_some(scanner.scan(second), usize::MAX);
                note_some(scanner.end(), usize::MAX);
                assert_eq!(seen, whole, "{asked} events of {first:?}");
                assert_eq!(bytes, body.as_bytes());
            }
        }
    }

    #[test]
    fn nothing_more_comes_of_a_chunk_that_is_used_up() {
        let mut scanner = Scanner::new(&root("multipart/mixed; boundary=b"), LIMITS).unwrap();
        for chunk in ["--b\r\n\r\nx\r", "\n-", "-", "b"] {
            let mut events = scanner.scan(chunk.as_bytes());
            while events.next().is_some() {}
            assert!(events.next().is_none(), "{chunk:?}");
        }
        assert_eq!(scanner.held_bytes(), 5);
    }

    #[test]
    fn nothing_is_held_behind_an_ambiguity() {
        let root = root("multipart/mixed; boundary=b");
        for first in ["x", "x\r\n", "x\r\n--"] {
            let mut scanner = Scanner::new(&root, LIMITS).unwrap();
            for chunk in [first, "--b\r\n--b\r\n", "more", "and more"] {
                let mut events = scanner.scan(chunk.as_bytes());
                while events.next().is_some() {}
            }
            assert_eq!(scanner.held.capacity(), 0, "{first:?}");
        }
    }

    #[test]
    fn each_limit_holds_at_the_limit_and_not_past_it() {
        let parts = |n: usize| "--b\r\n\r\n\r\n".repeat(n) + "--b--";
        let nest = |n: usize| -> String {
            (1..n)
                .map(|i| {
                    format!(
                        "--b{}\nContent-Type: multipart/x; boundary=b{i}x\n\n",
                        if i == 1 {
                            String::new()
                        } else {
                            format!("{}x", i - 1)
                        }
                    )
                })
                .collect()
        };
        let header = |n: usize| format!("--b\nA: {}\n\nx", "y".repeat(n - 5));
        type Make<'a> = &'a dyn Fn(usize) -> String;
        let table: [(Make<'_>, usize, &str); 3] = [
            (&parts, LIMITS.parts_max - 1, "ambiguous limit-parts"),
            (&nest, LIMITS.depth_max, "ambiguous limit-depth"),
            (&header, LIMITS.header_bytes_max, "ambiguous limit-header"),
        ];
        for (make, limit, why) in table {
            let root = root("multipart/mixed; boundary=b");
            let (at, _) = scan(&root, &[make(limit).as_bytes()]);
            assert_eq!(at.last().unwrap(), "end 0", "{why}");
            let (past, _) = scan(&root, &[make(limit + 1).as_bytes()]);
            assert_eq!(past.last().unwrap(), why);
        }
    }
}

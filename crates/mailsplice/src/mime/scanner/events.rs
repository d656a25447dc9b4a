//! The events of a chunk: where its bytes stand, beside those that the scanner holds.

use super::{Event, LineKind, Scanner, State, Step};

/// Number of bytes added at a time to held bytes whose meaning is not certain yet.
const JOIN_BYTES: usize = 512;

/// The events of a chunk, which it holds until all of them were asked for. Dropped before that, it
/// leaves the rest of the chunk to the scanner, which goes on there.
#[derive(Debug)]
#[must_use = "events are found as they are asked for"]
pub struct Events<'a> {
    scanner: &'a mut Scanner,
    chunk: &'a [u8],
    /// Number of bytes of the chunk that are used up, unless bytes are held.
    at: usize,
    /// Number of bytes of the chunk that stand behind the held ones.
    joined: usize,
}

impl<'a> Events<'a> {
    /// Begins a chunk.
    #[inline]
    pub(super) fn new(scanner: &'a mut Scanner, chunk: &'a [u8]) -> Self {
        Self {
            scanner,
            chunk,
            at: 0,
            joined: 0,
        }
    }
}

impl Events<'_> {
    /// Returns the next event; `None` when the chunk is used up.
    #[expect(
        clippy::should_implement_trait,
        reason = "an event borrows from the scanner, which an iterator cannot say"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Event<'_>> {
        if matches!(self.scanner.state, State::Done) {
            self.scanner.held = Vec::new();
            return None;
        }

        loop {
            if !self.scanner.held.is_empty() {
                self.leave_held();
            }

            let joining = !self.scanner.held.is_empty();
            let step = if joining {
                self.scanner.step_in_held()
            } else {
                self.scanner.step(&self.chunk[self.at..])
            };

            match step {
                Step::Taken(len) => self.skip(joining, len),
                Step::Header(len) => {
                    self.skip(joining, len);
                    return Some(Event::Structure(&self.scanner.header));
                }
                Step::Head => {
                    let head = self.scanner.head.as_ref();
                    return Some(Event::Head(head.unwrap_or(self.scanner.silent)));
                }
                Step::Event(event) => return Some(event),
                Step::Bytes(len, kind) => return Some(self.give(joining, len, kind)),
                Step::More if joining => {
                    if !self.join() {
                        return None;
                    }
                }
                Step::More => {
                    self.hold();
                    return None;
                }
            }
        }
    }

    /// Makes an event of the next `len` bytes and steps behind them.
    #[inline(always)]
    fn give(&mut self, joining: bool, len: usize, kind: LineKind) -> Event<'_> {
        let kind = match kind {
            LineKind::Content if !self.scanner.tip.is_some_and(|tip| tip.is_leaf) => {
                LineKind::Structure
            }
            kind => kind,
        };

        let from = if joining {
            self.scanner.held_at
        } else {
            self.at
        };
        self.skip(joining, len);
        let bytes = if joining {
            &self.scanner.held
        } else {
            self.chunk
        };
        let bytes = &bytes[from..from + len];

        match kind {
            LineKind::Content => Event::Body(bytes),
            LineKind::Structure => Event::Structure(bytes),
            LineKind::Delimiter(eol) => Event::Delimiter { line: bytes, eol },
        }
    }

    fn skip(&mut self, joining: bool, len: usize) {
        if joining {
            self.scanner.held_at += len;
        } else {
            self.at += len;
        }
    }

    /// Adds bytes of the chunk to the held ones; returns false if there are none.
    fn join(&mut self) -> bool {
        let more = &self.chunk[self.joined..];
        if more.is_empty() {
            self.scanner.held.drain(..self.scanner.held_at);
            self.scanner.held_at = 0;
            self.hold();
            return false;
        }
        let more = &more[..more.len().min(JOIN_BYTES)];
        self.scanner.held.extend_from_slice(more);
        self.joined += more.len();
        true
    }

    /// Goes on in the chunk itself as soon as all earlier chunks' bytes are used up.
    #[cold]
    fn leave_held(&mut self) {
        let left = self.scanner.held.len() - self.scanner.held_at;
        if left <= self.joined {
            self.at = self.joined - left;
            self.scanner.held.clear();
            (self.scanner.held_at, self.joined) = (0, 0);
        }
    }

    /// Leaves what is not used up of the chunk to the scanner.
    fn hold(&mut self) {
        let used = if self.scanner.held.is_empty() {
            self.at
        } else {
            self.joined
        };
        self.scanner.held.extend_from_slice(&self.chunk[used..]);
        (self.chunk, self.at, self.joined) = (&[], 0, 0);
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        if !matches!(self.scanner.state, State::Done) {
            self.hold();
        }
    }
}

//! The weight of a forwarded message: that of its files. Text that people wrote weighs nothing, nor
//! do the bytes that a transfer encoding adds: so a digest's reader and a moderator have before them
//! what they are to read, unless there is a heavy file in it.
//!
//! The whole of it counts if its structure is not clear, or a limit is reached.
//!
//! Memory: a header block of `limits.header_bytes_max`, and a scanner, for each of [`DEPTH_MAX`] messages.

use std::mem;

use mailsplice::{
    Limits,
    mime::{Decoder, Event, Events, Head, MediaType, Scanner},
};

use crate::rules::{self, Judgement, LeafPlace, Why};

/// Messages inside of each other that are looked into; the next one counts as a file.
const DEPTH_MAX: usize = 4;

/// A forwarded message whose bytes come in.
#[derive(Debug)]
pub(super) struct Forwarded {
    limits: Limits,
    depth: usize,
    state: ForwardedState,
    /// Decoded bytes of its files so far.
    files: u64,
}

#[derive(Debug)]
enum ForwardedState {
    /// Its header comes in.
    Header(Vec<u8>),
    /// It is one leaf.
    Leaf(ForwardedLeaf),
    /// It is a multipart; the leaf that comes in.
    Parts(Box<Scanner>, ForwardedLeaf),
    /// The whole of it counts.
    Unclear,
}

/// A leaf of it.
#[derive(Debug)]
enum ForwardedLeaf {
    /// Text, or none: it weighs nothing.
    Light,
    /// Its decoded bytes count.
    File(Decoder),
    /// Its encoding is not known: its bytes count.
    Raw,
    /// A message again.
    Message(Box<Forwarded>),
}

impl Forwarded {
    /// Begins a message of which nothing came yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self::at(limits, 1)
    }

    fn at(limits: Limits, depth: usize) -> Self {
        Self {
            limits,
            depth,
            state: ForwardedState::Header(Vec::new()),
            files: 0,
        }
    }

    /// Takes bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let mut state = mem::replace(&mut self.state, ForwardedState::Unclear);
        if let ForwardedState::Header(mut block) = state {
            block.extend_from_slice(bytes);
            return self.take_header(block);
        }
        if self.push_to(&mut state, bytes).is_some() {
            self.state = state;
        }
    }

    /// Takes the end.
    pub(super) fn finish(&mut self) {
        let mut state = mem::replace(&mut self.state, ForwardedState::Unclear);
        let ended = match &mut state {
            ForwardedState::Parts(scanner, leaf) => self.read(scanner.end(), leaf),
            _ => self.push_to(&mut state, b""),
        };
        if ended.is_none() {
            return;
        }
        if let ForwardedState::Leaf(leaf) = &mut state
            && self.end(mem::replace(leaf, ForwardedLeaf::Light)).is_none()
        {
            return;
        }
        self.state = state;
    }

    /// The bytes of its files; `None` where the whole of it counts.
    pub(super) fn weight(&self) -> Option<u64> {
        let inner = match &self.state {
            ForwardedState::Unclear => return None,
            ForwardedState::Leaf(ForwardedLeaf::Message(message))
            | ForwardedState::Parts(_, ForwardedLeaf::Message(message)) => {
                message.weight().unwrap_or(0)
            }
            _ => 0,
        };
        Some(self.files + inner)
    }

    /// Goes on with the body once the header is there.
    fn take_header(&mut self, block: Vec<u8>) {
        let Some(end) = end_of_header(&block) else {
            if block.len() <= self.limits.header_bytes_max {
                self.state = ForwardedState::Header(block);
            }
            return;
        };

        if end > self.limits.header_bytes_max {
            return;
        }

        let (header, body) = block.split_at(end);
        let Ok(head) = Head::parse(header, MediaType::new("text", "plain")) else {
            return;
        };

        self.state = if Scanner::enters(&head) {
            match Scanner::new(&head, self.limits) {
                Ok(scanner) => ForwardedState::Parts(Box::new(scanner), ForwardedLeaf::Light),
                Err(_) => return,
            }
        } else {
            ForwardedState::Leaf(self.leaf(&head))
        };
        self.push(body);
    }

    /// Takes bytes; `None` when the structure is no longer clear.
    fn push_to(&mut self, state: &mut ForwardedState, bytes: &[u8]) -> Option<()> {
        match state {
            ForwardedState::Header(_) | ForwardedState::Unclear => None,
            ForwardedState::Leaf(leaf) => self.count(leaf, bytes),
            ForwardedState::Parts(scanner, leaf) => self.read(scanner.scan(bytes), leaf),
        }
    }

    /// Acts upon events; `None` when the structure is no longer clear.
    fn read(&mut self, mut events: Events<'_>, leaf: &mut ForwardedLeaf) -> Option<()> {
        while let Some(event) = events.next() {
            match event {
                Event::Head(head) if !Scanner::enters(head) => *leaf = self.leaf(head),
                Event::Body(bytes) => self.count(leaf, bytes)?,
                Event::End { .. } => self.end(mem::replace(leaf, ForwardedLeaf::Light))?,
                Event::Ambiguous(_) => return None,
                _ => {}
            }
        }
        Some(())
    }

    fn leaf(&self, head: &Head) -> ForwardedLeaf {
        let is_message = head.media.main() == "message"
            && matches!(head.media.sub(), "rfc822" | "global")
            && head.encoding.is_identity();
        if is_message && self.depth < DEPTH_MAX {
            return ForwardedLeaf::Message(Box::new(Self::at(self.limits, self.depth + 1)));
        }
        match rules::judge(head, LeafPlace::Free) {
            Judgement::Stays(Why::Text | Why::Calendar) => ForwardedLeaf::Light,
            _ => Decoder::new(head.encoding).map_or(ForwardedLeaf::Raw, ForwardedLeaf::File),
        }
    }

    fn count(&mut self, leaf: &mut ForwardedLeaf, bytes: &[u8]) -> Option<()> {
        match leaf {
            ForwardedLeaf::Light => {}
            ForwardedLeaf::Raw => self.files += bytes.len() as u64,
            ForwardedLeaf::Message(message) => message.push(bytes),
            ForwardedLeaf::File(decoder) => {
                let mut decoded = Vec::new();
                decoder.push(bytes, &mut decoded).ok()?;
                self.files += decoded.len() as u64;
            }
        }
        Some(())
    }

    fn end(&mut self, leaf: ForwardedLeaf) -> Option<()> {
        match leaf {
            ForwardedLeaf::Light | ForwardedLeaf::Raw => {}
            ForwardedLeaf::Message(mut message) => {
                message.finish();
                self.files += message.weight()?;
            }
            ForwardedLeaf::File(decoder) => {
                let mut decoded = Vec::new();
                decoder.finish(&mut decoded).ok()?;
                self.files += decoded.len() as u64;
            }
        }
        Some(())
    }
}

/// The offset at which the blank line behind a header ends.
fn end_of_header(block: &[u8]) -> Option<usize> {
    let blank = |at: usize| match &block[at..] {
        [b'\n', ..] => Some(at + 1),
        [b'\r', b'\n', ..] => Some(at + 2),
        _ => None,
    };
    let lines = memchr::memchr_iter(b'\n', block).map(|at| at + 1);
    std::iter::once(0).chain(lines).find_map(blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        depth_max: 10,
        parts_max: 100,
        header_bytes_max: 1000,
    };

    /// Its weight, which is the same however its bytes come.
    fn weight(message: &str) -> Option<u64> {
        let by = |size: usize| {
            let mut forwarded = Forwarded::new(LIMITS);
            for piece in message.as_bytes().chunks(size) {
                forwarded.push(piece);
            }
            forwarded.finish();
            forwarded.weight()
        };
        let whole = by(usize::MAX);
        for size in [1, 2, 7] {
            assert_eq!(by(size), whole, "{message}");
        }
        whole
    }

    fn mixed(parts: &[&str]) -> String {
        let mut text = "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
        for part in parts {
            text += &format!("--b\r\n{part}\r\n");
        }
        text + "--b--\r\n"
    }

    const PDF: &str =
        "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUERG";

    #[test]
    fn a_forwarded_message_is_as_heavy_as_its_files() {
        let text = format!("\r\n{}", "Bonjour. ".repeat(500));
        assert_eq!(weight(&format!("Subject: x\n\n{text}")), Some(0));
        assert_eq!(weight(&mixed(&[&text])), Some(0));
        assert_eq!(weight(&mixed(&[&text, PDF, PDF])), Some(6));
        assert_eq!(weight(PDF), Some(3));
        let image = "Content-Type: image/png\r\nContent-ID: <i>\r\n\r\n12345";
        assert_eq!(weight(&mixed(&[&text, image])), Some(5));
    }

    #[test]
    fn messages_in_it_are_as_heavy_as_theirs() {
        let inner = mixed(&["\r\nBonjour", PDF])
            .replace("=b\r\n", "=c\r\n")
            .replace("--b", "--c");
        let forwarded = format!("Content-Type: message/rfc822\r\n\r\n{inner}");
        assert_eq!(weight(&mixed(&["\r\nVoir", &forwarded, PDF])), Some(6));
        let mut deep = PDF.to_owned();
        for _ in 1..DEPTH_MAX {
            deep = format!("Content-Type: message/rfc822\r\n\r\n{deep}");
        }
        assert_eq!(weight(&deep), Some(3));
        let len = deep.len() as u64;
        let deeper = format!("Content-Type: message/rfc822\r\n\r\n{deep}");
        assert!(weight(&deeper).is_some_and(|weight| (4..len).contains(&weight)));
    }

    #[test]
    fn what_is_not_clear_counts_as_a_whole() {
        for message in [
            "no header",
            "Subject: only a header\r\n",
            "Content-Type: multipart/mixed\r\n\r\nno boundary",
            "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n====UERG",
        ] {
            assert_eq!(weight(message), None, "{message}");
        }
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(LIMITS.header_bytes_max));
        assert_eq!(
            weight(&format!("{}{}", long, "y".repeat(10))),
            weight(&long)
        );
        assert_eq!(weight(&mixed(&["\r\n--bx"])), None);
    }
}

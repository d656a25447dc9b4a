//! Quoted-printable (RFC 2045, section 6.7) as the rewriter needs it: a decoder that knows where
//! each decoded byte came from, and an encoder whose lines are safe in a multipart.

use super::Eol;
/// The longest encoded line, without its line end.
pub(super) const LINE_MAX: usize = 76;

/// A decoded body.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    /// The body as it stands.
    pub(super) raw: &'a [u8],
    /// The decoded bytes; blanks at the end of a line are kept.
    pub(super) text: Vec<u8>,
    /// True if the body has what the RFC forbids though all readers decode it alike: lines of more
    /// than 76 characters (Python writes them), 8-bit bytes. A rewritten body must not have it.
    pub(super) is_loose: bool,
    /// True if there is an escape without two hexadecimal digits. Readers make different things of
    /// it, so such a body must not be encoded anew; here its `=` stands for itself.
    pub(super) is_malformed: bool,
    /// Start of each raw line, as a decoded and a raw offset; decoded offsets may repeat.
    lines: Vec<(usize, usize)>,
}

/// A place between two raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawPosition {
    /// Its offset.
    pub(super) at: usize,
    /// Offset of the start of its raw line.
    pub(super) line: usize,
}

impl<'a> Decoded<'a> {
    /// Decodes a body.
    pub(super) fn new(raw: &'a [u8]) -> Self {
        let mut decoded = Self {
            raw,
            text: Vec::with_capacity(raw.len()),
            is_loose: false,
            is_malformed: false,
            lines: Vec::new(),
        };
        let mut at = 0;
        while at < raw.len() {
            decoded.lines.push((decoded.text.len(), at));
            let end = memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |lf| at + lf + 1);
            decoded.line(&raw[at..end]);
            at = end;
        }
        if decoded.lines.is_empty() || raw.ends_with(b"\n") {
            decoded.lines.push((decoded.text.len(), raw.len()));
        }
        decoded
    }

    fn line(&mut self, line: &[u8]) {
        let (content, end) = split_line_end(line);
        self.is_loose |= content.len() > LINE_MAX || !content.is_ascii();
        let is_padding = |b: &&u8| matches!(b, b' ' | b'\t');
        let padding = content.iter().rev().take_while(is_padding).count();
        let (content, end) = match content[..content.len() - padding].strip_suffix(b"=") {
            Some(content) => (content, &b""[..]),
            None => (content, end),
        };
        let mut at = 0;
        while at < content.len() {
            let (byte, len) = unit(&content[at..]);
            self.is_malformed |= content[at] == b'=' && len == 1;
            self.text.push(byte);
            at += len;
        }
        self.text.extend_from_slice(end);
    }

    /// Returns the raw place of a decoded offset.
    pub(super) fn place(&self, offset: usize) -> RawPosition {
        let index = self
            .lines
            .partition_point(|&(decoded, _)| decoded <= offset)
            - 1;
        let (mut decoded, line) = self.lines[index];
        let mut at = line;
        while decoded < offset {
            at += unit(&self.raw[at..]).1;
            decoded += 1;
        }
        RawPosition { at, line }
    }

    /// Returns true if a malformed body can take something here: no broken escape stands before it, which
    /// would make it part of the escape, and a line that is too long does not become two such lines.
    pub(super) fn takes(&self, place: RawPosition) -> bool {
        let (head, tail) = self.around(place);
        let broken = head[head.len().saturating_sub(2)..].contains(&b'=');
        let rest = memchr::memchr(b'\n', tail).unwrap_or(tail.len());
        !broken && (head.len() < LINE_MAX || rest <= LINE_MAX)
    }

    /// Returns the raw line up to this place, and all that follows the place.
    pub(super) fn around(&self, place: RawPosition) -> (&'a [u8], &'a [u8]) {
        (&self.raw[place.line..place.at], &self.raw[place.at..])
    }
}

/// Guards the start of a raw line's rest as [`encode`] guards its lines. Returns the guarded bytes
/// and the number of raw bytes that they stand for.
pub(super) fn guarded_start(rest: &[u8], eol: Eol) -> (Vec<u8>, usize) {
    let content =
        split_line_end(&rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1)]).0;
    if !is_suspicious(content) {
        return (Vec::new(), 0);
    }
    let mut guarded = escaped(content[0]).to_vec();
    if content.len() + 2 > LINE_MAX {
        guarded.push(b'=');
        guarded.extend_from_slice(eol.as_str().as_bytes());
    }
    (guarded, 1)
}

/// Encodes text whose lines end with CRLF or LF; its encoded lines end with `eol`.
///
/// No encoded line is longer than 76 characters, starts with `From ` or `--`, or is a single dot:
/// none can be taken for a boundary, or mean something to a transport (RFC 2049, section 3).
pub(super) fn encode(text: &[u8], eol: Eol) -> Vec<u8> {
    let encoded = encodify::qp::BODY.encode(text);
    let mut out = Vec::with_capacity(encoded.len() + encoded.len() / 32);
    for line in encoded.split_inclusive("\r\n") {
        let (content, end) = line
            .strip_suffix("\r\n")
            .map_or((line, ""), |c| (c, eol.as_str()));
        push_line(&mut out, content, eol);
        out.extend_from_slice(end.as_bytes());
    }
    out
}

fn push_line(out: &mut Vec<u8>, content: &str, eol: Eol) {
    match content.bytes().next() {
        Some(first) if is_suspicious(content.as_bytes()) => {
            out.extend_from_slice(&escaped(first));
            if content.len() + 2 > LINE_MAX {
                out.push(b'=');
                out.extend_from_slice(eol.as_str().as_bytes());
                push_line(out, &content[1..], eol);
            } else {
                out.extend_from_slice(&content.as_bytes()[1..]);
            }
        }
        _ => out.extend_from_slice(content.as_bytes()),
    }
}

fn escaped(byte: u8) -> [u8; 3] {
    let digit = |of: u8| b"0123456789ABCDEF"[usize::from(of)];
    [b'=', digit(byte >> 4), digit(byte & 15)]
}

fn is_suspicious(content: &[u8]) -> bool {
    content.starts_with(b"From ") || content.starts_with(b"--") || content == b"."
}

/// Decodes the first byte of this encoded text, and returns it with the number of bytes that stand for it.
fn unit(content: &[u8]) -> (u8, usize) {
    let hex = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let escaped = match *content {
        [b'=', high, low, ..] => hex(high).zip(hex(low)),
        _ => None,
    };
    match escaped {
        Some((high, low)) => (high << 4 | low, 3),
        None => (content[0], 1),
    }
}

fn split_line_end(line: &[u8]) -> (&[u8], &[u8]) {
    let content = line.strip_suffix(b"\n").unwrap_or(line);
    let content = if content.len() < line.len() {
        content.strip_suffix(b"\r").unwrap_or(content)
    } else {
        content
    };
    line.split_at(content.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_broken_escape_stands_for_itself() {
        for raw in ["a=ZZ", "a=3", "a=\x0c\n", "a=\r\r\n", "a==\n"] {
            let decoded = Decoded::new(raw.as_bytes());
            assert!(decoded.is_malformed, "{raw}");
            assert_eq!(decoded.text[..2], *b"a=");
        }
        assert!(!Decoded::new(b"a=\r\n=").is_malformed);
    }

    #[test]
    fn a_malformed_body_takes_what_does_not_touch_its_faults() {
        let long = "x".repeat(80);
        let cut = format!("=ZZ\r\n{long}{long}");
        for (raw, offset, takes) in [
            ("a=ZZ\r\nb", 4, true),
            ("a=ZZ\r\nb", 7, true),
            ("a=ZZ\r\nb", 1, true),
            ("a=ZZ\r\nb", 2, false),
            ("a=ZZ\r\nb", 3, false),
            ("=3D=ZZ", 1, true),
            (&*cut, 5, true),
            (&*cut, 15, true),
            (&*cut, 85, false),
            (&*cut, 165, true),
        ] {
            let decoded = Decoded::new(raw.as_bytes());
            assert_eq!(
                decoded.takes(decoded.place(offset)),
                takes,
                "{raw} {offset}"
            );
        }
    }

    #[test]
    fn long_lines_and_8_bit_bytes_are_loose() {
        let is_loose = |raw: &str| Decoded::new(raw.as_bytes()).is_loose;
        assert!(!is_loose(&"x".repeat(LINE_MAX)));
        assert!(is_loose(&"x".repeat(LINE_MAX + 1)) && is_loose("é"));
    }

    #[test]
    fn places_are_found_across_soft_breaks() {
        let decoded = Decoded::new(b"a=C3=A9=\r\nb \r\n\r\n=\r\nc=");
        assert_eq!(decoded.text, "aéb \r\n\r\nc".as_bytes());
        for (offset, at, line) in [
            (0, 0, 0),
            (1, 1, 0),
            (3, 10, 10),
            (4, 11, 10),
            (7, 14, 14),
            (9, 19, 19),
            (10, 20, 19),
        ] {
            assert_eq!(decoded.place(offset), RawPosition { at, line }, "{offset}");
        }
    }

    #[test]
    fn no_line_means_anything_to_a_transport() {
        let long = format!("From {}", "x".repeat(71));
        for text in [
            "From x",
            ".",
            "-- ",
            "--boundary",
            &*long,
            "a\n--b\n.\nFrom ",
        ] {
            let encoded = String::from_utf8(encode(text.as_bytes(), Eol::Lf)).unwrap();
            for line in encoded.lines() {
                assert!(line.len() <= LINE_MAX, "{line}");
                assert!(!line.starts_with("From ") && !line.starts_with("--") && line != ".");
            }
            assert_eq!(Decoded::new(encoded.as_bytes()).text, text.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(text in "[ -~éà’=\t\n.-]{0,300}") {
            let encoded = encode(text.as_bytes(), Eol::Lf);
            prop_assert_eq!(Decoded::new(&encoded).text, text.as_bytes());
            let crlf = text.replace('\n', "\r\n");
            let encoded = encode(crlf.as_bytes(), Eol::CrLf);
            prop_assert_eq!(Decoded::new(&encoded).text, crlf.as_bytes());
        }
    }
}

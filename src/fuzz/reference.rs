//! Decoders as the RFC reads, a byte at a time: slow, and sure.

use data_encoding::{Encoding, Specification};

/// The meaning of a line's end in quoted-printable.
enum Ending {
    Hard,
    Soft,
}

/// Decodes base64 (RFC 2045, section 6.8) between blanks.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c);
    let symbols: Vec<u8> = text.iter().copied().filter(|b| !is_blank(b)).collect();
    let digits = symbols
        .iter()
        .position(|&b| b == b'=')
        .unwrap_or(symbols.len());
    let (digits, padding) = symbols.split_at(digits);
    let whole = (digits.len() + padding.len()).is_multiple_of(4) && padding.len() < 3;
    if !padding.iter().all(|&b| b == b'=') || !whole {
        return None;
    }
    loose_base64().decode(digits).ok()
}

/// Decodes quoted-printable (RFC 2045, section 6.7); `None` for an escape that is none. Blanks at
/// the end of a line are kept.
pub(super) fn quoted_printable(text: &[u8]) -> Option<Vec<u8>> {
    decode_lines(text, |_| None)
}

/// Decodes quoted-printable as readers of mail do: the `=` of an escape that is none stands for itself.
pub(super) fn shown_quoted_printable(text: &[u8]) -> Vec<u8> {
    decode_lines(text, |rest| Some((b'=', rest))).expect("each escape stands for something")
}

/// Returns the byte that a broken escape stands for, and the text behind it, from the text behind its `=`.
type Broken = fn(&[u8]) -> Option<(u8, &[u8])>;

fn decode_lines(text: &[u8], broken: Broken) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    for line in text.split_inclusive(|&b| b == b'\n') {
        let (mut content, mut end) = (line, &b""[..]);
        for line_end in [&b"\r\n"[..], b"\n"] {
            if end.is_empty() && line.ends_with(line_end) {
                (content, end) = line.split_at(line.len() - line_end.len());
            }
        }
        match content_of(content, &mut decoded, broken)? {
            Ending::Hard => decoded.extend_from_slice(end),
            Ending::Soft => {}
        }
    }
    Some(decoded)
}

fn content_of(mut content: &[u8], decoded: &mut Vec<u8>, broken: Broken) -> Option<Ending> {
    while let Some((&first, rest)) = content.split_first() {
        if first != b'=' {
            decoded.push(first);
            content = rest;
            continue;
        }
        if rest.iter().all(|b| matches!(b, b' ' | b'\t')) {
            return Some(Ending::Soft);
        }
        let (byte, rest) = match escape(rest) {
            Some(byte) => (byte, &rest[2..]),
            None => broken(rest)?,
        };
        decoded.push(byte);
        content = rest;
    }
    Some(Ending::Hard)
}

/// Reads the byte of the two hexadecimal digits that this begins with.
fn escape(rest: &[u8]) -> Option<u8> {
    let digits = str::from_utf8(rest.get(..2)?).ok()?;
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

fn loose_base64() -> Encoding {
    let mut specification: Specification = data_encoding::BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().expect("a known alphabet")
}

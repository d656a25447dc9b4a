//! Transfer decoding in chunks (RFC 2045, section 6).
//!
//! Strict where readers differ: a body that does not decode in exactly one way is an error, and the
//! part is then not detached.

use super::TransferEncoding;

/// A body that readers would not all decode to the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body is not valid in its transfer encoding")]
pub struct DecodeError;

/// Decodes one body, chunk by chunk.
#[derive(Debug, Default)]
pub enum Decoder {
    /// 7bit, 8bit, binary: the bytes as they are.
    #[default]
    Identity,
    /// base64
    Base64(Base64),
    /// quoted-printable
    QuotedPrintable(QuotedPrintable),
}

/// The state of a base64 body between two chunks.
#[derive(Clone, Debug, Default)]
pub struct Base64 {
    /// Symbols of an incomplete group of four.
    carry: [u8; 3],
    carried: usize,
    /// Number of `=` seen so far.
    padding: usize,
}

/// The state of a quoted-printable body between two chunks: the end of the last one, from a `=` or
/// from blanks that may end a line.
#[derive(Debug, Default)]
pub struct QuotedPrintable {
    held: Vec<u8>,
}

/// Maximum number of blanks and carriage returns in a row; they are held until it is known whether
/// they end a line.
const BLANKS_MAX: usize = 1024;

impl Decoder {
    /// Makes a decoder of this encoding; `None` for an unknown one.
    pub fn new(encoding: TransferEncoding) -> Option<Self> {
        match encoding {
            TransferEncoding::Base64 => Some(Self::Base64(Base64::default())),
            TransferEncoding::QuotedPrintable => Some(Self::QuotedPrintable(Default::default())),
            TransferEncoding::Unknown => None,
            _ => Some(Self::Identity),
        }
    }

    /// Decodes a chunk and appends the bytes to `out`.
    ///
    /// # Errors
    /// The body is not valid; the decoder must not be used any further.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Identity => out.extend_from_slice(chunk),
            Self::Base64(state) => return state.push(chunk, out),
            Self::QuotedPrintable(state) => return state.push(chunk, out),
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The body stopped in the middle of a group or an escape, or in blanks.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Identity => Ok(()),
            Self::Base64(state) => state.finish(out),
            Self::QuotedPrintable(mut state) => {
                let held = std::mem::take(&mut state.held);
                state.decode(&held, true, out)
            }
        }
    }
}

impl Base64 {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if self.padding > 0 {
            return self.pad(chunk);
        }

        // Padding stands in the last chunk only. Chunks are not searched for it first: with padding
        // among them, the symbols decode to fewer bytes than expected, which is an error.
        let (before, len) = (self.clone(), out.len());
        if self.symbols(chunk, out).is_ok() {
            return Ok(());
        }
        *self = before;
        out.truncate(len);

        let at = memchr::memchr(b'=', chunk).ok_or(DecodeError)?;
        let (symbols, padding) = chunk.split_at(at);
        self.symbols(symbols, out)?;
        self.pad(padding)
    }

    /// Reads the end of a body from its first `=` on: more of them, and blanks.
    fn pad(&mut self, chunk: &[u8]) -> Result<(), DecodeError> {
        for &byte in chunk {
            match byte {
                b'=' => self.padding += 1,
                byte => check_blank(byte)?,
            }
        }
        let expected = match self.carried {
            2 => 2,
            3 => 1,
            _ => 0,
        };
        if self.padding > expected {
            Err(DecodeError)
        } else {
            Ok(())
        }
    }

    /// Decodes symbols and line ends; padding is an error. `encodify` decodes the input of each
    /// call as a whole, so it is given whole groups of four only.
    fn symbols(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if self.carried > 0 {
            chunk = self.fill(chunk, out)?;
        }

        let symbols = count_symbols(chunk);
        let mut rest = symbols % 4;
        let whole = symbols - rest;

        // The symbols of an incomplete group at the end wait for the next chunk.
        let mut end = chunk.len();
        while rest > 0 {
            end -= 1;
            if is_symbol(chunk[end]) {
                check_unpadded(chunk[end])?;
                rest -= 1;
                self.carry[rest] = chunk[end];
                self.carried += 1;
            } else {
                check_blank(chunk[end])?;
            }
        }

        // The decoder is three times as fast when its input starts at the start of a line.
        let bulk = &chunk[..end];
        let line_end = memchr::memchr(b'\n', bulk).map_or(0, |at| at + 1);
        let (first, lines) = bulk.split_at(line_end);
        let in_first = count_symbols(first);
        if in_first.is_multiple_of(4) {
            append(first, in_first / 4 * 3, out)?;
            append(lines, (whole - in_first) / 4 * 3, out)
        } else {
            append(bulk, whole / 4 * 3, out)
        }
    }

    /// Completes the group that an earlier chunk began; returns the rest of the chunk.
    fn fill<'a>(&mut self, chunk: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], DecodeError> {
        for (at, &byte) in chunk.iter().enumerate() {
            if !is_symbol(byte) {
                check_blank(byte)?;
                continue;
            }
            check_unpadded(byte)?;
            if self.carried < 3 {
                self.carry[self.carried] = byte;
                self.carried += 1;
            } else {
                let [a, b, c] = self.carry;
                self.carried = 0;
                append(&[a, b, c, byte], 3, out)?;
                return Ok(&chunk[at + 1..]);
            }
        }
        Ok(&[])
    }

    fn finish(self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let complete = match (self.carried, self.padding) {
            (0, 0) => return Ok(()),
            // GMime leaves out the last group where its padding is missing.
            (2, 2) | (3, 1) => &self.carry[..self.carried],
            _ => return Err(DecodeError),
        };

        let mut group = [b'='; 4];
        group[..complete.len()].copy_from_slice(complete);
        append(&group, complete.len() - 1, out)
    }
}

/// Decodes symbols and checks that none was skipped.
fn append(symbols: &[u8], expected: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match encodify::base64::MIME.decode_append(symbols, out) {
        Ok(len) if len == expected => Ok(()),
        _ => Err(DecodeError),
    }
}

fn is_symbol(byte: u8) -> bool {
    byte > b' '
}

/// Accepts only the blanks that the decoder skips.
fn check_blank(byte: u8) -> Result<(), DecodeError> {
    match byte {
        b'\r' | b'\n' | b' ' | b'\t' | b'\x0b' | b'\x0c' => Ok(()),
        _ => Err(DecodeError),
    }
}

fn check_unpadded(symbol: u8) -> Result<(), DecodeError> {
    if symbol == b'=' {
        Err(DecodeError)
    } else {
        Ok(())
    }
}

/// Counts the bytes that are not blanks or controls, in blocks that the compiler vectorises.
fn count_symbols(bytes: &[u8]) -> usize {
    let block =
        |block: &[u8]| usize::from(block.iter().map(|&b| u8::from(is_symbol(b))).sum::<u8>());
    bytes.chunks(192).map(block).sum()
}

impl QuotedPrintable {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if self.held.is_empty() {
            return self.decode(chunk, false, out);
        }
        let held = std::mem::take(&mut self.held);
        self.decode(&[&held, chunk].concat(), false, out)
    }

    /// Decodes runs between escapes and line ends; holds bytes that are not certain yet.
    fn decode(&mut self, text: &[u8], eof: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let mut at = 0;
        while at < text.len() {
            let plain = memchr::memchr2(b'=', b'\n', &text[at..]).unwrap_or(text.len() - at);
            let stop = at + plain;
            check_blanks(&text[at..stop])?;

            match text.get(stop) {
                Some(b'\n') => {
                    check_line_end(&text[at..stop])?;
                    out.extend_from_slice(&text[at..=stop]);
                    at = stop + 1;
                }
                Some(_) => {
                    out.extend_from_slice(&text[at..stop]);
                    match escape(&text[stop..], eof)? {
                        Some((byte, len)) => {
                            out.extend(byte);
                            at = stop + len;
                        }
                        None => {
                            self.held = text[stop..].to_vec();
                            return Ok(());
                        }
                    }
                }
                None => return self.rest(&text[at..], eof, out),
            }
        }

        Ok(())
    }

    /// Takes text up to the end of the chunk, where blanks may end a line.
    fn rest(&mut self, text: &[u8], eof: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let blanks = text.iter().rev().take_while(|&&b| is_held(b)).count();
        if eof && blanks > 0 {
            return Err(DecodeError);
        }
        let (certain, held) = text.split_at(text.len() - blanks);
        out.extend_from_slice(certain);
        self.held = held.to_vec();
        Ok(())
    }
}

/// Returns true for a byte that is held at the end of a chunk.
fn is_held(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Refuses more than [`BLANKS_MAX`] blanks in a row wherever they stand, so that the result does
/// not depend on how the text was cut.
fn check_blanks(text: &[u8]) -> Result<(), DecodeError> {
    let too_many = |run: &[u8]| run.len() > BLANKS_MAX;
    if too_many(text) && text.split(|&b| !is_held(b)).any(too_many) {
        Err(DecodeError)
    } else {
        Ok(())
    }
}

/// Refuses blanks before a line end: some readers drop them (RFC 2045, section 6.7, rule 3), others
/// keep them.
fn check_line_end(line: &[u8]) -> Result<(), DecodeError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.ends_with(b" ") || line.ends_with(b"\t") {
        Err(DecodeError)
    } else {
        Ok(())
    }
}

/// Reads an escape at the start of `text`: its byte, unless it is a soft line break, and its
/// length. `None` when more bytes are needed.
fn escape(text: &[u8], eof: bool) -> Result<Option<(Option<u8>, usize)>, DecodeError> {
    let hex = |byte: u8| (byte as char).to_digit(16);
    match text {
        [b'=', b'\r', b'\n', ..] => Ok(Some((None, 3))),
        [b'=', b'\n', ..] => Ok(Some((None, 2))),
        // A soft break whose line end belongs to the delimiter: MIME-tools keeps the `=`.
        [b'='] if eof => Err(DecodeError),
        [b'='] | [b'=', b'\r'] if !eof => Ok(None),
        [b'=', high] if !eof && hex(*high).is_some() => Ok(None),
        [b'=', high, low, ..] => match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => Ok(Some((Some((high * 16 + low) as u8), 3))),
            _ => Err(DecodeError),
        },
        _ => Err(DecodeError),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_in(encoding: TransferEncoding, chunks: &[&[u8]]) -> Result<Vec<u8>, DecodeError> {
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut out = Vec::new();
        for chunk in chunks {
            decoder.push(chunk, &mut out)?;
        }
        decoder.finish(&mut out)?;
        Ok(out)
    }

    /// Decodes a body whole, byte by byte, and cut in two at every place; all must give the same.
    fn decode_every_way(encoding: TransferEncoding, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let whole = decode_in(encoding, &[text]);
        let single: Vec<_> = text.chunks(1).collect();
        assert_eq!(decode_in(encoding, &single), whole, "byte by byte");
        for at in 0..=text.len() {
            assert_eq!(
                decode_in(encoding, &[&text[..at], &text[at..]]),
                whole,
                "cut at {at}"
            );
        }
        whole
    }

    #[test]
    fn base64_is_decoded_in_every_layout() {
        for text in [
            "aGVsbG8sIHdvcmxk",
            "aGVs\r\nbG8sIHdv\r\ncmxk\r\n",
            "a\nGVsb G8s\tIHdvcmxk\n\n",
        ] {
            let decoded = decode_every_way(TransferEncoding::Base64, text.as_bytes());
            assert_eq!(decoded.as_deref(), Ok(&b"hello, world"[..]), "{text}");
        }
        for text in ["aGVsbG8=", "aGVsbG8=\r\n", "aGVsbG8\r\n=\r\n"] {
            let decoded = decode_every_way(TransferEncoding::Base64, text.as_bytes());
            assert_eq!(decoded.as_deref(), Ok(&b"hello"[..]), "{text}");
        }
        assert_eq!(decode_every_way(TransferEncoding::Base64, b""), Ok(vec![]));
        assert_eq!(
            decode_every_way(TransferEncoding::Base64, b"aA=="),
            Ok(b"h".to_vec())
        );
    }

    #[test]
    fn base64_that_readers_differ_about_is_refused() {
        for text in [
            "a",
            "aGVsb",
            "aGVsbG8",
            "aA",
            "aA==aA==",
            "aA=a",
            "aA===",
            "aGVs====",
            "====",
            "aGVs=",
            "aG-_",
            "aGVs!",
            "aGVs\r\n-- \r\nlist footer",
            "aA=",
            "aGV\0s",
            "aGVs\x01",
        ] {
            let decoded = decode_every_way(TransferEncoding::Base64, text.as_bytes());
            assert_eq!(decoded, Err(DecodeError), "{text:?}");
        }
    }

    #[test]
    fn quoted_printable_is_decoded() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"a=3Db=\r\nc\r\nd", b"a=bc\r\nd"),
            (b"caf=C3=a9 au lait\n", "café au lait\n".as_bytes()),
            (b"soft=\n", b"soft"),
            (b"a  b\tc", b"a  b\tc"),
            (b"bare\rcr", b"bare\rcr"),
            (b"", b""),
        ];
        for (text, expected) in table {
            let decoded = decode_every_way(TransferEncoding::QuotedPrintable, text);
            assert_eq!(
                decoded.as_deref(),
                Ok(expected),
                "{}",
                String::from_utf8_lossy(text)
            );
        }
    }

    #[test]
    fn quoted_printable_that_readers_differ_about_is_refused() {
        for text in [
            "a=ZZ", "a= \r\nb", "a \r\nb", "a\t\nb", "a=3", "a ", "=\rx", "a=",
        ] {
            let decoded = decode_every_way(TransferEncoding::QuotedPrintable, text.as_bytes());
            assert_eq!(decoded, Err(DecodeError), "{text:?}");
        }
    }

    #[test]
    fn as_many_blanks_as_are_held_may_stand_together_and_not_one_more() {
        for (blanks, is_taken) in [(BLANKS_MAX, true), (BLANKS_MAX + 1, false)] {
            for end in ["b", "=3D", "=\r\n"] {
                let text = format!("a{}{end}", " ".repeat(blanks));
                let decoded = decode_every_way(TransferEncoding::QuotedPrintable, text.as_bytes());
                assert_eq!(decoded.is_ok(), is_taken, "{blanks} {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn base64_of_any_bytes_at_any_width_and_cut_decodes(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            width in 1..100usize,
            cut in 1..100usize,
        ) {
            let symbols = encodify::base64::STANDARD.encode(&bytes);
            let lines: Vec<_> = symbols.as_bytes().chunks(width).collect();
            let text = lines.join(&b"\r\n"[..]);
            let chunks: Vec<_> = text.chunks(cut).collect();
            prop_assert_eq!(decode_in(TransferEncoding::Base64, &chunks), Ok(bytes));
        }

        #[test]
        fn no_bytes_make_a_decoder_panic_or_depend_on_the_cut(
            bytes in prop::collection::vec(prop::sample::select(&b"aZ0+/= \r\n\t-\x00\xff3D"[..]), 0..60),
        ) {
            let _ = decode_every_way(TransferEncoding::Base64, &bytes);
            let _ = decode_every_way(TransferEncoding::QuotedPrintable, &bytes);
        }
    }
}

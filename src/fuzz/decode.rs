//! The transfer decoders: the same bytes however the text is cut, and those of slow decoders.

use mailsplice::mime::{DecodeError, Decoder, TransferEncoding};

use super::{byte, choice, cut, reference};

/// Checks an input: a byte for the encoding, a byte for the cuts, the text.
pub fn decode(input: &[u8]) {
    let mut text = input;
    let encodings = [
        TransferEncoding::Base64,
        TransferEncoding::QuotedPrintable,
        TransferEncoding::EightBit,
    ];
    let encoding = choice(&encodings, byte(&mut text));
    let seed = byte(&mut text);

    let whole = decoded(encoding, &[text]);
    let single: Vec<&[u8]> = text.chunks(1).collect();
    for chunks in [cut(text, seed), single] {
        assert_eq!(decoded(encoding, &chunks), whole, "{chunks:?}");
    }

    match encoding {
        TransferEncoding::Base64 => assert_eq!(whole.ok(), reference::base64(text)),
        TransferEncoding::QuotedPrintable => check_quoted_printable(text, whole),
        _ => assert_eq!(whole.as_deref(), Ok(text)),
    }
}

fn decoded(encoding: TransferEncoding, chunks: &[&[u8]]) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(encoding).ok_or(DecodeError)?;
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.push(chunk, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

/// Checks that accepted text decodes as the RFC says, and that refused text has something that the
/// RFC does not allow, or blanks or a soft break at the very end that readers differ about.
fn check_quoted_printable(text: &[u8], decoded: Result<Vec<u8>, DecodeError>) {
    let expected = reference::quoted_printable(text);
    if decoded.is_ok() {
        assert_eq!(decoded.ok(), expected);
        return;
    }

    let lines = text.split_inclusive(|&b| b == b'\n');
    let ends_in_blank = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.ends_with(b" ") || line.ends_with(b"\t") || line.ends_with(b"\r")
    };
    let stripped = |line: &[u8]| match line.strip_suffix(b"\r\n") {
        Some(line) => line.ends_with(b" ") || line.ends_with(b"\t") || line.ends_with(b"\r"),
        None => ends_in_blank(line),
    };

    let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let many_blanks = text.split(|b| !is_blank(b)).any(|run| run.len() > 1024);
    let soft_end = text.ends_with(b"=");
    assert!(expected.is_none() || many_blanks || soft_end || lines.into_iter().any(stripped));
}

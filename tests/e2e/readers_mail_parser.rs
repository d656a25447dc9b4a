//! The leaves of messages as mail-parser reads them, for `tests/e2e/readers.py`: file names on standard
//! input, one JSON array a line; `null` for a message on which it panics. The argument is what to look for in a
//! leaf.

use std::{
    env, fs,
    io::{self, BufRead as _, Error, Write as _},
    panic,
};

use aws_lc_rs::digest::{self, SHA256};
use data_encoding::HEXLOWER;
use mail_parser::{
    Encoding, Message, MessageParser, MessagePart, MimeHeaders as _, PartType,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let usage = || Error::other("usage: reader-mail-parser MARK < NAMES");
    let mark = env::args().nth(1).ok_or_else(usage)?;
    let mut out = io::stdout().lock();

    for path in io::stdin().lock().lines() {
        let message = fs::read(path?)?;
        let read = panic::catch_unwind(|| leaves(&message, mark.as_bytes()));
        writeln!(out, "{}", read.unwrap_or(Value::Null))?;
        out.flush()?;
    }
    Ok(())
}

fn leaves(message: &[u8], mark: &[u8]) -> Value {
    let parsed = MessageParser::new().parse(message);
    let mut leaves = Vec::new();
    if let Some(message) = &parsed {
        walk(message, 0, 0, &mut |depth, part| {
            leaves.push(leaf(message, depth, part, mark));
        });
    }
    Value::Array(leaves)
}

/// Visits the leaves below a part, with their depths.
fn walk<'a>(
    message: &'a Message<'a>,
    part: u32,
    depth: u32,
    visit: &mut impl FnMut(u32, &'a MessagePart<'a>),
) {
    let Some(part) = message.part(part) else {
        return;
    };
    match &part.body {
        PartType::Multipart(inner) if !inner.is_empty() => {
            for &inner in inner {
                walk(message, inner, depth + 1, visit);
            }
        }
        _ => visit(depth, part),
    }
}

/// Returns depth, type, digests of the bytes and of the bytes with LF line ends, and 1 if the mark is in them.
fn leaf(message: &Message<'_>, depth: u32, part: &MessagePart<'_>, mark: &[u8]) -> Value {
    let data = content(message, part);
    let text = with_line_feeds(&data);
    let is_marked = data.windows(mark.len()).any(|piece| piece == mark);
    json!([
        depth,
        kind(part),
        sha256(&data),
        sha256(&text),
        u8::from(is_marked)
    ])
}

fn kind(part: &MessagePart<'_>) -> String {
    let usual = match part.body {
        PartType::Message(_) => "message/rfc822",
        _ => "text/plain",
    };
    let declared = part.content_type().map(|kind| {
        let subtype = kind.subtype().unwrap_or_default();
        format!("{}/{subtype}", kind.ctype()).to_lowercase()
    });
    declared.unwrap_or_else(|| usual.to_owned())
}

/// Returns the decoded bytes. The text of a part would be in UTF-8, whatever its charset.
fn content(message: &Message<'_>, part: &MessagePart<'_>) -> Vec<u8> {
    let body = part.offset_body as usize..part.offset_end as usize;
    let written = message.raw_message.get(body).unwrap_or_default();
    let decoded = match (&part.body, part.encoding) {
        (PartType::Binary(bytes) | PartType::InlineBinary(bytes), _) => Some(bytes.to_vec()),
        (PartType::Message(_) | PartType::Multipart(_), _) => Some(Vec::new()),
        (_, Encoding::None) => None,
        (_, Encoding::Base64) => base64_decode(written),
        (_, Encoding::QuotedPrintable) => quoted_printable_decode(written),
    };
    decoded.unwrap_or_else(|| written.to_vec())
}

fn with_line_feeds(data: &[u8]) -> Vec<u8> {
    let following = data.iter().skip(1).map(Some).chain([None]);
    let is_kept = |(byte, next): &(&u8, Option<&u8>)| (**byte, *next) != (b'\r', Some(&b'\n'));
    let kept = data.iter().zip(following).filter(is_kept);
    kept.map(|(byte, _)| *byte).collect()
}

fn sha256(data: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&SHA256, data).as_ref())
}

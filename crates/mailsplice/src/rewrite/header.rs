//! The smallest edits of a part's header block: a transfer encoding, a charset.

use std::ops::Range;

use super::{Eol, Splice};

/// Fields that describe a body's bytes, in lower case.
pub const MEASURES: [&str; 3] = ["content-md5", "content-length", "lines"];

/// Declares the transfer encoding: replaces the field's value, or adds the field.
///
/// `header` is a header block with its blank line.
pub(super) fn set_encoding(header: &[u8], encoding: &str, eol: Eol) -> Splice {
    match field(header, b"content-transfer-encoding") {
        Some(value) => Splice {
            at: value,
            with: format!(" {encoding}").into_bytes(),
        },
        None => added(
            header,
            &format!("Content-Transfer-Encoding: {encoding}"),
            eol,
        ),
    }
}

/// Declares a `text/plain` part to be UTF-8: replaces the parameter's value, or adds the parameter,
/// or the field. `None` if the field has a form in which this is not safe.
pub(super) fn set_charset_utf8(header: &[u8], eol: Eol) -> Option<Splice> {
    let Some(value) = field(header, b"content-type") else {
        return Some(added(
            header,
            "Content-Type: text/plain; charset=utf-8",
            eol,
        ));
    };

    let text = &header[value.clone()];
    if text.contains(&b'(') {
        return None;
    }
    let shift = |range: Range<usize>| value.start + range.start..value.start + range.end;

    match charset_parameter(text) {
        CharsetParameter::At(range) => Some(Splice {
            at: shift(range),
            with: b"utf-8".to_vec(),
        }),
        CharsetParameter::Odd => None,
        CharsetParameter::Missing => {
            let text = text.trim_ascii_end();
            if !text.contains(&b'/') {
                return None;
            }
            let semicolon = if text.ends_with(b";") { "" } else { ";" };
            let with = format!("{semicolon}{} charset=utf-8", eol.as_str()).into_bytes();
            Some(Splice {
                at: shift(text.len()..text.len()),
                with,
            })
        }
    }
}

/// Takes out the fields that describe the body's bytes and would be false: `Content-MD5` (RFC
/// 1864), `Content-Length` and `Lines`.
pub(super) fn without_measures(header: &[u8]) -> Vec<Splice> {
    MEASURES
        .iter()
        .filter_map(|name| {
            let (start, value) = named(header, name.as_bytes())?;
            Some(Splice {
                at: start..field_end(header, value.end),
                with: Vec::new(),
            })
        })
        .collect()
}

/// Returns true if the block ends with a blank line, so that a body can follow it.
pub(super) fn is_complete(header: &[u8]) -> bool {
    matches!(header, b"\n" | b"\r\n") || header.ends_with(b"\n\n") || header.ends_with(b"\n\r\n")
}

/// Returns true if the block declares a text with `format=flowed` (RFC 3676).
pub(super) fn is_flowed(header: &[u8]) -> bool {
    let Some(value) = field(header, b"content-type") else {
        return false;
    };
    let value = &header[value];
    parameters(value).into_iter().any(|range| {
        let parameter: Vec<u8> = value[range]
            .iter()
            .filter(|b| !b.is_ascii_whitespace() && **b != b'"')
            .map(u8::to_ascii_lowercase)
            .collect();
        parameter == b"format=flowed"
    })
}

/// Returns the splice that adds a field before the blank line.
fn added(header: &[u8], field: &str, eol: Eol) -> Splice {
    let blank = if header.ends_with(b"\r\n") { 2 } else { 1 };
    let at = header.len() - blank.min(header.len());
    Splice {
        at: at..at,
        with: format!("{field}{}", eol.as_str()).into_bytes(),
    }
}

/// Returns the range of the value of the first field of this (lower-case) name: from the colon to
/// the last line end, both exclusive.
fn field(header: &[u8], name: &[u8]) -> Option<Range<usize>> {
    named(header, name).map(|(_, value)| value)
}

/// As [`field`], with the start of the field.
fn named(header: &[u8], name: &[u8]) -> Option<(usize, Range<usize>)> {
    let mut at = 0;
    while at < header.len() {
        let end = field_end(header, at);
        let line = &header[at..end];
        if let Some(colon) = memchr::memchr(b':', line)
            && line[..colon].trim_ascii_end().eq_ignore_ascii_case(name)
        {
            let value = line.strip_suffix(b"\n").unwrap_or(line);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            return Some((at, at + colon + 1..at + value.len()));
        }
        at = end;
    }
    None
}

/// Returns the end of the field that starts here, with its continuation lines.
fn field_end(header: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        at = memchr::memchr(b'\n', &header[at..]).map_or(header.len(), |lf| at + lf + 1);
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// The `charset` parameter, as far as it is known.
enum CharsetParameter {
    /// Its value, quotation marks included.
    At(Range<usize>),
    /// It is in the sections or the encoding of RFC 2231, or there twice.
    Odd,
    /// There is none.
    Missing,
}

fn charset_parameter(value: &[u8]) -> CharsetParameter {
    let mut found = CharsetParameter::Missing;
    for range in parameters(value) {
        let parameter = &value[range.clone()];
        let Some(equals) = memchr::memchr(b'=', parameter) else {
            continue;
        };

        let name = parameter[..equals].trim_ascii();
        if name.eq_ignore_ascii_case(b"charset") {
            if matches!(found, CharsetParameter::At(_)) {
                return CharsetParameter::Odd;
            }
            let text = &parameter[equals + 1..];
            let start = range.start + equals + 1 + (text.len() - text.trim_ascii_start().len());
            found = CharsetParameter::At(start..start + text.trim_ascii().len());
        } else if name.len() > 7 && name[..8].eq_ignore_ascii_case(b"charset*") {
            return CharsetParameter::Odd;
        }
    }

    found
}

/// Returns the runs between semicolons that are not quoted, without the type itself.
fn parameters(value: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (i, &b) in value.iter().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                ranges.push(start..i);
                start = i + 1;
            }
            _ => {}
        }
    }

    ranges.push(start..value.len());
    ranges.remove(0);
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::apply;

    fn with_charset(header: &str) -> Option<String> {
        let splice = set_charset_utf8(header.as_bytes(), Eol::CrLf)?;
        Some(String::from_utf8(apply(header.as_bytes(), &[splice])).unwrap())
    }

    #[test]
    fn the_charset_is_set_by_the_smallest_edit() {
        for (before, after) in [
            ("\r\n", "Content-Type: text/plain; charset=utf-8\r\n\r\n"),
            (
                "X: y\r\n\r\n",
                "X: y\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
            ),
            (
                "Content-Type: text/plain\r\n\r\n",
                "Content-Type: text/plain;\r\n charset=utf-8\r\n\r\n",
            ),
            (
                "Content-Type: text/plain;\r\n\tformat=flowed;\r\nX: y\r\n\r\n",
                "Content-Type: text/plain;\r\n\tformat=flowed;\r\n charset=utf-8\r\nX: y\r\n\r\n",
            ),
            (
                "content-TYPE : text/plain; CharSet = \"us-ascii\"; format=flowed\r\n\r\n",
                "content-TYPE : text/plain; CharSet = utf-8; format=flowed\r\n\r\n",
            ),
            (
                "Content-Type: text/plain; x=\"a; charset=b\"; charset=US-ASCII\r\n\r\n",
                "Content-Type: text/plain; x=\"a; charset=b\"; charset=utf-8\r\n\r\n",
            ),
        ] {
            assert_eq!(with_charset(before).as_deref(), Some(after));
        }
    }

    #[test]
    fn an_odd_charset_is_left_alone() {
        for before in [
            "Content-Type: text/plain; charset*=us-ascii''x\r\n\r\n",
            "Content-Type: text/plain; charset=a; charset=b\r\n\r\n",
            "Content-Type: text/plain (charset=a)\r\n\r\n",
            "Content-Type: text\r\n\r\n",
        ] {
            assert_eq!(with_charset(before), None, "{before}");
        }
    }

    #[test]
    fn the_encoding_is_replaced_or_added() {
        for (before, after) in [
            ("\n", "Content-Transfer-Encoding: 8bit\n\n"),
            (
                "CONTENT-transfer-encoding:\n 7bit\nX: y\n\n",
                "CONTENT-transfer-encoding: 8bit\nX: y\n\n",
            ),
        ] {
            let splice = set_encoding(before.as_bytes(), "8bit", Eol::Lf);
            assert_eq!(apply(before.as_bytes(), &[splice]), after.as_bytes());
        }
    }

    #[test]
    fn flowed_text_is_told_by_its_parameter() {
        for header in [
            "Content-Type: text/plain; charset=utf-8; format=flowed\r\n\r\n",
            "content-type: text/plain;\r\n\tFormat = \"Flowed\"; delsp=yes\r\n\r\n",
        ] {
            assert!(is_flowed(header.as_bytes()), "{header}");
        }
        for header in [
            "\r\n",
            "Content-Type: text/plain; format=fixed\r\n\r\n",
            "Content-Type: text/plain; x=\"; format=flowed\"\r\n\r\n",
            "X: text/plain; format=flowed\r\n\r\n",
        ] {
            assert!(!is_flowed(header.as_bytes()), "{header}");
        }
    }

    #[test]
    fn a_block_without_its_blank_line_is_incomplete() {
        assert!(is_complete(b"\r\n") && is_complete(b"A: b\n\n") && is_complete(b"A: b\r\n\r\n"));
        assert!(!is_complete(b"") && !is_complete(b"A: b\r\n") && !is_complete(b"A: b"));
    }
}

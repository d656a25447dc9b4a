//! The charset of a text part, and the characters of it that the notice may use.
//!
//! The reader's client and the sender's charset have to agree on every byte we add. So a charset is
//! used beyond ASCII only where the WHATWG Encoding Standard (browsers, webmail) and the IANA
//! registry (everybody else) mean the same bytes by its name; of any other charset that extends
//! ASCII, only ASCII is used; all others are refused.

use encoding_rs::{Encoding, WINDOWS_1252};

/// A charset that extends ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// None declared, or US-ASCII: the part can be declared UTF-8 if all of it is ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
    /// One byte a character; beyond ASCII only bytes from this one on are used.
    Single(&'static Encoding, u8),
    /// Extends ASCII, but there is no agreement on the rest, or we do not know it.
    AsciiOnly(Option<&'static Encoding>),
    /// ISO-2022-JP: ASCII between escape sequences.
    Iso2022Jp,
}

/// Beginnings of the names of charsets that do not extend ASCII. Those that the Encoding Standard
/// knows are judged by it; EBCDIC has many names, of which mail has seen these.
const OTHER_THAN_ASCII: &[&str] = &[
    "cp037",
    "cp500",
    "cp1047",
    "csunicode",
    "csutf7",
    "ebcdic",
    "hz",
    "ibm037",
    "ibm500",
    "ibm1047",
    "iso-10646-ucs",
    "iso-2022-",
    "ucs-",
    "unicode",
    "utf-16",
    "utf-32",
    "utf-7",
    "utf16",
    "utf32",
    "utf7",
    "x-ebcdic",
];

impl Charset {
    /// Returns the charset of this label, or `None` if it does not extend ASCII. An unknown one
    /// does: all that mail has seen and that is in no list here is a code page of some system.
    pub(crate) fn of(label: Option<&str>) -> Option<Self> {
        let label = label
            .unwrap_or_default()
            .trim_matches(|c: char| c.is_ascii_whitespace());
        let label = label.to_ascii_lowercase();
        match &*label {
            "" | "us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us" | "us" => Some(Self::Ascii),
            "utf-8" | "utf8" => Some(Self::Utf8),
            "iso-8859-1" | "iso8859-1" | "iso_8859-1" | "latin1" => {
                Some(Self::Single(WINDOWS_1252, 0xa0))
            }
            "iso-8859-9" | "iso8859-9" | "latin5" => {
                Some(Self::Single(encoding_rs::WINDOWS_1254, 0xa0))
            }
            "iso-2022-jp" => Some(Self::Iso2022Jp),
            label => Self::of_standard(label),
        }
    }

    /// Returns the charset as it is used for this text. Where the text is not in the charset, each
    /// reader guesses on its own; but all of them take ASCII for ASCII.
    pub(crate) fn in_text(self, text: &[u8]) -> Self {
        let is_unsure = matches!(self, Self::Ascii | Self::AsciiOnly(None));
        if is_unsure && switches_sets(text) {
            // ISO-2022-JP, undeclared or under a name of its own.
            Self::Iso2022Jp
        } else if self == Self::Iso2022Jp || self.decodes(text) {
            self
        } else {
            Self::AsciiOnly(None)
        }
    }

    /// Returns true if these bytes are valid in the charset.
    pub(crate) fn decodes(self, text: &[u8]) -> bool {
        let valid = |encoding: &'static Encoding| {
            encoding.decode_without_bom_handling_and_without_replacement(text)
        };
        match self {
            Self::Ascii => text.is_ascii(),
            Self::Utf8 => str::from_utf8(text).is_ok(),
            // ISO 8859-1 and -9, which have no byte without a meaning.
            Self::Single(encoding, 0xa0) if encoding.name().starts_with("windows") => true,
            Self::Single(encoding, 0xa0) | Self::AsciiOnly(Some(encoding)) => {
                valid(encoding).is_some()
            }
            // A byte without a meaning decodes to a C1 control by the standard's tables.
            Self::Single(encoding, _) => valid(encoding)
                .is_some_and(|text| !text.chars().any(|c| ('\u{80}'..'\u{a0}').contains(&c))),
            Self::AsciiOnly(None) => true,
            Self::Iso2022Jp => valid(encoding_rs::ISO_2022_JP).is_some(),
        }
    }

    /// Encodes a character; `None` if the charset must not be used for it.
    pub(crate) fn encode(self, c: char) -> Option<Vec<u8>> {
        match self {
            _ if c.is_ascii() => Some(vec![c as u8]),
            Self::Utf8 => Some(c.to_string().into_bytes()),
            Self::Single(encoding, first) => {
                let byte = single_byte(encoding, c)?;
                (byte >= first && !('\u{80}'..'\u{a0}').contains(&c)).then(|| vec![byte])
            }
            Self::Ascii | Self::AsciiOnly(_) | Self::Iso2022Jp => None,
        }
    }

    /// Looks up a label of the Encoding Standard. The trail bytes of its multi-byte charsets are never below
    /// 0x30 and never `<` or `>`, so that line ends, quote signs and tags are what they seem.
    fn of_standard(label: &str) -> Option<Self> {
        let is_other = OTHER_THAN_ASCII
            .iter()
            .any(|start| label.starts_with(start));
        let Some(encoding) = Encoding::for_label(label.as_bytes()) else {
            return (!is_other).then_some(Self::AsciiOnly(None));
        };

        if !encoding.is_ascii_compatible() {
            return None;
        }

        let exact = encoding.name().eq_ignore_ascii_case(label);
        Some(match label {
            // The two registries differ on some letters of these.
            "windows-1255" | "koi8-u" | "iso-8859-8-i" => Self::AsciiOnly(Some(encoding)),
            "koi8-r" => Self::Single(encoding, 0x80),
            label if exact && label.starts_with("iso-8859-") => Self::Single(encoding, 0xa0),
            label if exact && label.starts_with("windows-125") => Self::Single(encoding, 0x80),
            _ => Self::AsciiOnly(Some(encoding)),
        })
    }
}

/// Replaces each character that `can` does not allow by what comes nearest to it in ASCII.
pub(crate) fn transliterate(text: &str, can: &dyn Fn(char) -> bool) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();

    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii() || can(c) => {
                // Guillemets lose their inner space together with their shape.
                if !(c == '\u{a0}' && chars.peek() == Some(&'»') && !can('»')) {
                    out.push(c);
                }
            }
            '\u{a0}' if chars.peek() == Some(&'»') && !can('»') => {}
            '\u{a0}' => out.push(' '),
            '«' => {
                chars.next_if_eq(&'\u{a0}');
                out.push('"');
            }
            '»' => out.push('"'),
            // In a name, a slash brought in here would count as the end of a directory.
            c => out.extend(nearest(c).chars().map(|c| if c == '/' { '_' } else { c })),
        }
    }

    out
}

/// Returns printable ASCII for a character; never empty.
fn nearest(c: char) -> String {
    let ascii = deunicode::deunicode_char(c).unwrap_or_default();
    let ascii: String = ascii.chars().filter(|c| matches!(c, ' '..='~')).collect();
    if ascii.is_empty() { "?".into() } else { ascii }
}

fn single_byte(encoding: &'static Encoding, c: char) -> Option<u8> {
    let mut utf8 = [0; 4];
    let (bytes, _, unmappable) = encoding.encode(c.encode_utf8(&mut utf8));
    match *bytes {
        [byte] if !unmappable => Some(byte),
        _ => None,
    }
}

/// Masks all bytes of ISO-2022-JP outside of its ASCII state, line ends apart, so that any `<` or
/// `>` that is left is one.
pub(crate) fn mask_iso_2022_jp(text: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len());
    let mut ascii = true;
    let mut at = 0;

    while at < text.len() {
        match &text[at..] {
            [0x1b, b'(' | b'$', second, ..] => {
                ascii = text[at + 1] == b'(' && *second == b'B';
                let end = if *second == b'(' || *second == b')' {
                    4
                } else {
                    3
                };
                let end = (at + end).min(text.len());
                masked.extend(std::iter::repeat_n(b'x', end - at));
                at = end;
                continue;
            }
            [b, ..] if ascii || matches!(b, b'\r' | b'\n') => masked.push(*b),
            _ => masked.push(b'x'),
        }
        at += 1;
    }

    masked
}

/// Returns true if the text has an escape sequence of ISO 2022 that selects a set other than ASCII.
fn switches_sets(text: &[u8]) -> bool {
    memchr::memchr_iter(0x1b, text).any(|escape| {
        matches!(text[escape + 1..], [b'$', ..])
            || matches!(text[escape + 1..], [b'(', set, ..] if set != b'B')
    })
}

/// Returns true if ISO-2022-JP is in its ASCII state after this text.
pub(crate) fn ends_in_ascii(text: &[u8]) -> bool {
    match memchr::memrchr(0x1b, text) {
        Some(escape) => text[escape..].starts_with(b"\x1b(B"),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_that_do_not_extend_ascii_are_refused() {
        for label in [
            "utf-16",
            "utf-16le",
            "utf-32",
            "utf-7",
            "hz-gb-2312",
            "iso-2022-kr",
            "iso-2022-cn",
            "unicode-1-1-utf-7",
            "ISO-10646-UCS-2",
            "ebcdic-us",
            "IBM037",
        ] {
            assert_eq!(Charset::of(Some(label)), None, "{label}");
        }
    }

    #[test]
    fn a_name_that_nobody_knows_is_a_code_page() {
        for label in [
            "x-unknown",
            "x-user-defined",
            "utf-8-x",
            "cp850",
            "unknown-8bit",
            "default",
            "8bit",
            "x-mac-roman",
        ] {
            let charset = Charset::of(Some(label)).unwrap();
            assert!(matches!(charset, Charset::AsciiOnly(_)), "{label}");
            assert_eq!(charset.encode('é'), None, "{label}");
        }
    }

    #[test]
    fn a_text_that_is_not_in_its_charset_gets_ascii() {
        for (label, text, used) in [
            (None, &b"caf\xe9"[..], Charset::AsciiOnly(None)),
            (Some("utf-8"), b"caf\xe9", Charset::AsciiOnly(None)),
            (Some("utf-8"), b"caf\xc3\xa9", Charset::Utf8),
            (Some("windows-1252"), b"\x81", Charset::AsciiOnly(None)),
            (Some("shift_jis"), b"\x95", Charset::AsciiOnly(None)),
            (None, b"\x1b$B4A;z\x1b(B", Charset::Iso2022Jp),
            (Some("x-jis"), b"\x1b(J\x1b(B", Charset::Iso2022Jp),
            (
                Some("iso-2022-jp"),
                b"\x1b$B4A;z\x1b(B \xff",
                Charset::Iso2022Jp,
            ),
            (None, b"\x1b[1m \x1b(B", Charset::Ascii),
        ] {
            assert_eq!(Charset::of(label).unwrap().in_text(text), used, "{label:?}");
        }
    }

    #[test]
    fn only_agreed_bytes_are_used() {
        for (label, c, bytes) in [
            ("UTF-8", 'é', Some(&b"\xc3\xa9"[..])),
            ("iso-8859-1", 'é', Some(b"\xe9")),
            ("ISO-8859-1", '’', None),
            ("windows-1252", '’', Some(b"\x92")),
            ("iso-8859-15", '€', Some(b"\xa4")),
            ("iso-8859-2", 'é', Some(b"\xe9")),
            ("iso-8859-5", 'é', None),
            ("koi8-r", 'ж', Some(b"\xd6")),
            ("koi8-u", 'ж', None),
            ("shift_jis", 'é', None),
            ("cp1252", 'é', None),
            ("us-ascii", 'é', None),
            ("gb2312", 'x', Some(b"x")),
        ] {
            let charset = Charset::of(Some(label)).unwrap();
            assert_eq!(charset.encode(c).as_deref(), bytes, "{label} {c}");
        }
    }

    #[test]
    fn what_is_missing_becomes_what_is_nearest() {
        let ascii = |c: char| c.is_ascii();
        for (text, plain) in [
            ("«\u{a0}été\u{a0}» (9,4\u{a0}Mo)", "\"ete\" (9,4 Mo)"),
            ("jusqu’au", "jusqu'au"),
            ("\u{e000}", "?"),
            ("½", "1_2"),
        ] {
            assert_eq!(
                transliterate(text, &ascii).replace(" _", "_"),
                plain,
                "{text}"
            );
        }
        let latin = Charset::of(Some("iso-8859-1")).unwrap();
        let can = |c| latin.encode(c).is_some();
        assert_eq!(
            transliterate("«\u{a0}l’été\u{a0}»", &can),
            "«\u{a0}l'été\u{a0}»"
        );
    }

    #[test]
    fn a_tag_in_a_japanese_character_is_none() {
        let masked = mask_iso_2022_jp(b"<p>\x1b$B<>!\n!\x1b(B</p>");
        assert_eq!(masked, b"<p>xxxxxx\nxxxx</p>");
        assert!(ends_in_ascii(b"a\x1b$B!!\x1b(B") && !ends_in_ascii(b"\x1b$B!!"));
    }
}

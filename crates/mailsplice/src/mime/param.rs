//! Parameters of structured fields (RFC 2045, section 5.1; RFC 2231), and the file names in them.
//!
//! Own code where the design names `mail-parser`: whatever makes readers differ (a parameter twice, an
//! unclosed quote, a comment) does not show in that crate's result, and its 0.11 errs on names in
//! several RFC 2231 sections. The words of RFC 2047 are read by `encodify`, charsets by
//! `encoding_rs`.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Maximum number of parameters read from a field; the rest are ignored.
const PARAMETERS_MAX: usize = 256;

/// The longest decoded file name, in bytes; a longer one is cut at a character.
const NAME_BYTES_MAX: usize = 4096;

/// `name=value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name in lower case, with its RFC 2231 marks: `filename*0*`.
    pub name: String,
    /// The value without quotes and backslashes.
    pub value: Vec<u8>,
    /// True if the value is written so that all readers agree on it.
    pub clean: bool,
    /// True if the value is written as a token or between quotes, as RFC 2045 wants it.
    pub strict: bool,
}

/// A structured field: a first word and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structured {
    /// The text before the first `;`, trimmed, in lower case.
    pub word: Vec<u8>,
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
    /// True if all parameters are clean, nothing else stands between them, and none is left out.
    pub clean: bool,
}

impl Parameter {
    /// Returns true if this is the parameter `name` in any of its RFC 2231 forms.
    pub(super) fn is_a(&self, name: &str) -> bool {
        let mark = self.name.strip_prefix(name);
        mark.is_some_and(|mark| mark.is_empty() || mark.starts_with('*'))
    }
}

impl Structured {
    /// Reads a field's value. Never fails: unreadable text is left out and marked.
    pub fn parse(value: &[u8]) -> Self {
        Self::parse_folded(&unfold(value))
    }

    /// As [`Structured::parse`], with the line ends of folds left in the values.
    pub(super) fn parse_folded(value: &[u8]) -> Self {
        let (word, mut rest) = split_at_byte(value, b';');
        let mut parsed = Self {
            word: word.trim_ascii().to_ascii_lowercase(),
            parameters: Vec::new(),
            clean: true,
        };
        while !rest.is_empty() && parsed.parameters.len() < PARAMETERS_MAX {
            rest = parsed.parameter(rest);
        }
        parsed.clean &= rest.is_empty();
        parsed
    }

    /// Reads one parameter and returns the text behind its `;`.
    fn parameter<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let text = text.trim_ascii_start();
        let name_len = text
            .iter()
            .take_while(|b| !matches!(b, b'=' | b';'))
            .count();

        let name = text[..name_len].trim_ascii();
        let Some((b'=', rest)) = text[name_len..].split_first() else {
            self.clean &= name.is_empty();
            return text.get(name_len + 1..).unwrap_or_default();
        };

        let text = rest.trim_ascii_start();
        let (value, mut clean, rest) = read_value(text);
        let strict = text.first() == Some(&b'"') || value.iter().all(|&b| is_token(b));
        clean &= !name.is_empty() && name.iter().all(|&b| is_token(b));
        self.clean &= clean;

        self.parameters.push(Parameter {
            name: text_of(name.to_ascii_lowercase()),
            value,
            clean,
            strict,
        });
        rest
    }

    /// Returns the first parameter of exactly this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// Returns the parameters of this name in any of their RFC 2231 forms.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Parameter> {
        self.parameters.iter().filter(move |p| p.is_a(name))
    }

    /// Decodes a file name. The RFC 2231 form wins over the plain one: RFC 6266, section 4.3, says
    /// so for HTTP, and the senders that write both mean it.
    pub fn file_name(&self, name: &str) -> Option<String> {
        let decoded = self
            .extended(name)
            .or_else(|| self.get(name).map(|p| plain_name(&p.value)))?;
        let decoded = cut(decoded, NAME_BYTES_MAX);
        Some(decoded).filter(|name| !name.trim().is_empty())
    }

    /// Decodes the value of `name*` or of `name*0`, `name*1*`, … (RFC 2231, sections 3 and 4).
    fn extended(&self, name: &str) -> Option<String> {
        if !self.parameters.iter().any(|p| p.name.contains('*')) {
            return None;
        }

        let whole = format!("{name}*");
        if let Some(parameter) = self.get(&whole) {
            let (charset, text) = charset_and_text(&parameter.value);
            return Some(to_text(charset, &percent_decode(text)));
        }

        let sections = self.sections(&whole);
        let (lowest, ..) = *sections.first()?;

        let mut charset: &[u8] = b"";
        let mut bytes = Vec::new();
        for (place, (number, encoded, value)) in sections.iter().enumerate() {
            if *number != lowest + place {
                break; // a section is missing: the rest would be in the wrong place
            }
            let text = match (encoded, number) {
                (true, 0) => {
                    let (found, text) = charset_and_text(value);
                    charset = found;
                    text
                }
                _ => value,
            };
            if *encoded {
                bytes.extend(percent_decode(text));
            } else {
                bytes.extend_from_slice(text);
            }
            if bytes.len() > NAME_BYTES_MAX * 4 {
                break;
            }
        }

        if charset.is_empty() {
            Some(plain_name(&bytes))
        } else {
            Some(to_text(charset, &bytes))
        }
    }

    /// Returns the numbered sections in order, the first of each number: number, encoded or not,
    /// value.
    fn sections(&self, prefix: &str) -> Vec<(usize, bool, &[u8])> {
        let mut sections: Vec<_> = self
            .parameters
            .iter()
            .filter_map(|p| {
                let mark = p.name.strip_prefix(prefix)?;
                let (number, encoded) = match mark.strip_suffix('*') {
                    Some(number) => (number, true),
                    None => (mark, false),
                };
                Some((number.parse().ok()?, encoded, p.value.as_slice()))
            })
            .collect();
        sections.sort_by_key(|(number, ..)| *number);
        sections.dedup_by_key(|(number, ..)| *number);
        sections
    }
}

/// Reads a value up to its `;`. Returns the value, true if it is clean, and the text behind the
/// `;`.
fn read_value(text: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let Some((b'"', quoted)) = text.split_first() else {
        let (value, rest) = split_at_byte(text, b';');
        let value = value.trim_ascii();
        let clean = !value.is_empty() && value.iter().all(|&b| is_loose_token(b));
        return (value.to_vec(), clean, rest);
    };

    let mut value = Vec::new();
    let mut clean = true;
    let mut at = 0;

    loop {
        match quoted.get(at) {
            Some(b'"') => break,
            Some(b'\\') if at + 1 < quoted.len() => {
                clean = false; // readers differ about backslashes
                value.push(quoted[at + 1]);
                at += 2;
            }
            Some(&byte) => {
                value.push(byte);
                at += 1;
            }
            None => return (value, false, &[]),
        }
    }

    let (junk, rest) = split_at_byte(&quoted[at + 1..], b';');
    (value, clean && junk.trim_ascii().is_empty(), rest)
}

/// Takes the line ends of folding out of a value (RFC 5322, section 2.2.3: the blanks stay).
pub(super) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let is_text = |b: &u8| !matches!(b, b'\r' | b'\n');
    value.iter().copied().filter(is_text).collect()
}

/// Converts bytes to text; invalid UTF-8 is replaced.
pub(super) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(byte, text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Returns true for a character of a token (RFC 2045, section 5.1).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The characters of a token as a table: every name and most values are looked at byte by byte.
static TOKEN: [bool; 256] = {
    let mut is_token = [false; 256];
    let mut graphic = b'!';
    while graphic <= b'~' {
        is_token[graphic as usize] = true;
        graphic += 1;
    }
    let specials = b"()<>@,;:\\\"/[]?=";
    let mut at = 0;
    while at < specials.len() {
        is_token[specials[at] as usize] = false;
        at += 1;
    }
    is_token
};

/// Returns true for a character that unquoted values have in real mail (`type=text/html`) and that
/// hides the parameters behind it from no reader. MIME-tools reads the value itself only up to it.
fn is_loose_token(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'=' | b'/' | b':' | b'?' | b'@')
}

/// Splits `charset'language'text` (RFC 2231, section 4) into charset and text.
fn charset_and_text(value: &[u8]) -> (&[u8], &[u8]) {
    let (charset, rest) = split_at_byte(value, b'\'');
    match memchr::memchr(b'\'', rest) {
        Some(at) => (charset, &rest[at + 1..]),
        None => (b"utf-8", value),
    }
}

/// Decodes escapes: `%41` becomes `A`. Anything that is no such escape stays.
pub(super) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = |offset: usize| {
            text.get(at + offset)
                .and_then(|&b| (b as char).to_digit(16))
        };

        match (byte, hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }

    decoded
}

/// Decodes a name that is not in RFC 2231 form: as RFC 2047 words (not allowed there, but written),
/// else as UTF-8, else as Windows-1252.
pub(super) fn plain_name(value: &[u8]) -> String {
    if memchr::memmem::find(value, b"=?").is_some() {
        let decode = |charset: &[u8], bytes: &[u8], out: &mut String| {
            out.push_str(&to_text(charset, bytes));
        };
        return encodify::rfc2047::decode_text(value, decode).into_owned();
    }
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252
            .decode_without_bom_handling(value)
            .0
            .into_owned(),
    }
}

/// Decodes bytes of a named charset; an unknown one is read as UTF-8.
fn to_text(charset: &[u8], bytes: &[u8]) -> String {
    let encoding = Encoding::for_label(charset).unwrap_or(UTF_8);
    encoding.decode(bytes).0.into_owned()
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max)
            .rev()
            .find(|&at| text.is_char_boundary(at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(value: &str) -> Option<String> {
        Structured::parse(value.as_bytes()).file_name("filename")
    }

    #[test]
    fn names_are_read_in_every_form() {
        let table = [
            ("attachment; filename=a.pdf", "a.pdf"),
            ("attachment; filename=\"a b.pdf\"", "a b.pdf"),
            ("attachment; filename=a b.pdf", "a b.pdf"),
            ("attachment; filename=\"a;b.pdf\"; size=3", "a;b.pdf"),
            ("attachment; filename=\"a\\\"b.pdf\"", "a\"b.pdf"),
            ("attachment; filename=\"not closed.pdf", "not closed.pdf"),
            ("attachment; FileName = a.pdf", "a.pdf"),
            ("attachment; filename=\"été.pdf\"", "été.pdf"),
            ("attachment; filename*=utf-8''%C3%A9t%C3%A9.pdf", "été.pdf"),
            ("attachment; filename*=iso-8859-1'fr'%E9t%E9.pdf", "été.pdf"),
            ("attachment; filename*=utf-8'en-US'x.exe", "x.exe"),
            ("attachment; filename*=utf-16''%FF%FEa%00.%00p%00", "a.p"),
            ("attachment; filename*=no-such''%C3%A9.pdf", "é.pdf"),
            ("attachment; filename*=utf-8''a%zz%4.pdf", "a%zz%4.pdf"),
            (
                "attachment; filename=\"p.exe\"; filename*=utf-8''joli.pdf",
                "joli.pdf",
            ),
            (
                "attachment; filename*0*=iso-8859-1''%E9t; filename*1*=%E9%20fin.pdf",
                "été fin.pdf",
            ),
            ("attachment; filename*1=\".pdf\"; filename*0=\"a\"", "a.pdf"),
            (
                "attachment; filename*0=a; filename*0=b; filename*1=.pdf",
                "a.pdf",
            ),
            (
                "attachment; filename*0*=utf-8''%C3; filename*1*=%A9; filename*2=%41",
                "é%41",
            ),
            ("attachment; filename*0=a; filename*2=c", "a"),
            ("attachment; filename*2=txt; filename*1=file.", "file.txt"),
            (
                "attachment; filename=\"=?utf-8?Q?=C3=A9t=C3=A9?= =?utf-8?B?LnBkZg==?=\"",
                "été.pdf",
            ),
        ];
        for (value, expected) in table {
            assert_eq!(name(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn a_name_of_8_bit_bytes_that_are_not_utf_8_is_windows_1252() {
        let value = b"attachment; filename=\"\xe9t\xe9.pdf\"";
        assert_eq!(
            Structured::parse(value).file_name("filename").as_deref(),
            Some("été.pdf")
        );
    }

    #[test]
    fn a_missing_or_blank_name_is_none() {
        for value in [
            "attachment",
            "attachment; filename=",
            "attachment; filename=\" \"",
            ";;;=",
        ] {
            assert_eq!(name(value), None, "{value}");
        }
    }

    #[test]
    fn twenty_thousand_sections_are_cut_off() {
        let sections: String = (0..20_000).map(|n| format!("; filename*{n}=abc")).collect();
        let found = name(&format!("attachment{sections}")).unwrap();
        assert_eq!(found.len(), PARAMETERS_MAX * 3);
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let found = name(&format!("a; filename=\"{}\"", "é".repeat(5000))).unwrap();
        assert_eq!(found.len(), NAME_BYTES_MAX);
    }

    #[test]
    fn what_readers_differ_about_is_not_clean() {
        let clean = |value: &str| Structured::parse(value.as_bytes()).clean;
        assert!(clean("multipart/mixed; boundary=\"a b\"; charset=utf-8;"));
        assert!(clean("multipart/mixed; boundary=----=_Part/1"));
        for value in [
            "m/x; boundary=\"a",
            "m/x; boundary=\"a\"b",
            "m/x; boundary=a b",
            "m/x; boundary=a(c)",
            "m/x; boundary=\"a\\b\"",
            "m/x; boundary",
            "m/x; =a",
            "m/x; boundary=",
        ] {
            assert!(!clean(value), "{value}");
        }
    }
}

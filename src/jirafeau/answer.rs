//! The meaning of Jirafeau's answers: every one is a text with status 200, and failures begin with `Error`.
//!
//! Texts differ between versions (4.3.0 says `Error` where 4.5.0 gives reasons), numbers do not.

use std::fmt;

/// Maximum length of a link, in characters.
const LINK_CHARS_MAX: usize = 32;
/// Maximum length of a code, in characters.
const CODE_CHARS_MAX: usize = 16;
/// Maximum length of a decryption key, in characters.
const KEY_CHARS_MAX: usize = 128;
/// Length of the reference of a transfer, in characters.
const REFERENCE_CHARS: usize = 32;
/// Number of characters kept of Jirafeau's own words.
const DETAIL_CHARS_MAX: usize = 120;

/// A complaint of Jirafeau's, by what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ErrorAnswer {
    /// It wants an upload password, or does not know our address.
    NoPassword,
    /// It does not know the upload password, or not our address with it.
    WrongPassword,
    /// It does not keep files for the time that we ask.
    Time,
    /// The file is larger than it takes.
    TooBig,
    /// The request is larger than PHP or the web server takes: a smaller piece may pass.
    TooLarge,
    /// It has no file under this link, or no more.
    Gone,
    /// Anything else; it may pass.
    Failed(String),
}

/// A file that Jirafeau has.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Uploaded {
    pub(super) link: String,
    pub(super) code: String,
    /// The key with which Jirafeau encrypted it; empty if it did not.
    pub(super) key: String,
}

/// A transfer in pieces that was begun.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct OpenTransfer {
    pub(super) reference: String,
    /// What the next request about it must say.
    pub(super) code: String,
}

impl ErrorAnswer {
    /// Reads an answer; returns `None` if it is no complaint.
    pub(super) fn of(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Error")?;
        let number = rest.trim_start();
        let end = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        let complaint = match number[..end].parse() {
            Ok(2 | 19) => Self::NoPassword,
            Ok(3 | 20) => Self::WrongPassword,
            Ok(4 | 22) => Self::Time,
            Ok(5) => Self::TooBig,
            // Over upload_max_filesize, 4.3.0 and 4.5.0 lack a translation.
            Ok(6) if rest.contains("FIX ME") => Self::TooLarge,
            // A request over post_max_size arrives empty, as if it had no fields.
            Ok(23 | 25) => Self::TooLarge,
            Ok(8 | 9) => Self::Gone,
            Err(_) if rest.contains("above upload limit") => Self::TooBig,
            Ok(0_u32..) | Err(_) => Self::Failed(one_line(text)),
        };
        Some(complaint)
    }
}

impl Uploaded {
    /// Reads the answer to a complete upload: link, delete code, and a key or nothing.
    pub(super) fn of(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        let (link, code) = (lines.next()?, lines.next()?);
        let key = lines.next().unwrap_or_default();
        let is_key = |c: char| c.is_ascii_alphanumeric() || "%+-._~".contains(c);
        let is_whole = lines.next().is_none_or(str::is_empty)
            && is_word(link, LINK_CHARS_MAX, is_link_sign)
            && is_word(code, CODE_CHARS_MAX, is_hexadecimal)
            && (key.is_empty() || is_word(key, KEY_CHARS_MAX, is_key));
        is_whole.then(|| Self {
            link: link.to_owned(),
            code: code.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl OpenTransfer {
    /// Reads the answer to the beginning of a transfer: its reference and its first code.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (reference, code) = text.trim_end().split_once('\n')?;
        let is_reference = reference.len() == REFERENCE_CHARS
            && is_word(reference, REFERENCE_CHARS, |c| c.is_ascii_alphanumeric());
        is_reference.then_some(Self {
            reference: reference.to_owned(),
            code: next_code(code)?,
        })
    }
}

impl fmt::Debug for Uploaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uploaded(…)")
    }
}

impl fmt::Debug for OpenTransfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transfer(…)")
    }
}

/// Reads the answer to a piece of a transfer: its next code.
pub(super) fn next_code(text: &str) -> Option<String> {
    let code = text.trim_end();
    is_word(code, CODE_CHARS_MAX, is_hexadecimal).then(|| code.to_owned())
}

/// Returns a text in one line without control characters, cut to [`DETAIL_CHARS_MAX`].
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let plain = line.chars().filter(|c| !c.is_control());
    format!("\"{}\"", plain.take(DETAIL_CHARS_MAX).collect::<String>())
}

pub(super) fn is_link_sign(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_hexadecimal(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, 'a'..='f')
}

fn is_word(text: &str, chars_max: usize, is_sign: impl Fn(char) -> bool) -> bool {
    (1..=chars_max).contains(&text.len()) && text.chars().all(is_sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_says_what_is_to_be_done() {
        let failed = |text: &str| ErrorAnswer::Failed(format!("\"{text}\""));
        for (text, expected) in [
            ("Error 1", failed("Error 1")),
            (
                "Error 2: No password nor allowed IP",
                ErrorAnswer::NoPassword,
            ),
            ("Error 3: Invalid password", ErrorAnswer::WrongPassword),
            ("Error 4: The parameter time is invalid.", ErrorAnswer::Time),
            (
                "Error 5: Your file exceeds the maximum authorized file size.",
                ErrorAnswer::TooBig,
            ),
            ("Error 6 FIX ME", ErrorAnswer::TooLarge),
            ("Error 6 Internal error", failed("Error 6 Internal error")),
            ("Error 8", ErrorAnswer::Gone),
            ("Error 9", ErrorAnswer::Gone),
            ("Error 11", failed("Error 11")),
            (
                "Error 19: No password nor allowed IP",
                ErrorAnswer::NoPassword,
            ),
            ("Error 20: Invalid password", ErrorAnswer::WrongPassword),
            ("Error 22", ErrorAnswer::Time),
            ("Error 23", ErrorAnswer::TooLarge),
            ("Error 25", ErrorAnswer::TooLarge),
            ("Error", failed("Error")),
            (
                "Error: bad transfer code",
                failed("Error: bad transfer code"),
            ),
            (
                "Error: file size is above upload limit",
                ErrorAnswer::TooBig,
            ),
            (
                "Error: upload error: Array\n(\n    [name] => secret.pdf",
                failed("Error: upload error: Array"),
            ),
            ("Error 99999999999", failed("Error 99999999999")),
        ] {
            assert_eq!(ErrorAnswer::of(text), Some(expected), "{text}");
        }
        assert_eq!(ErrorAnswer::of("1G6Tx4Tn\n9b8b0\n"), None);
    }

    #[test]
    fn only_an_answer_of_the_right_form_is_an_upload() {
        let is_upload = |text: &str| Uploaded::of(text).is_some();
        for text in ["1G6Tx4Tn\n9b8b0\n", "1G6Tx4Tn\n9b8b0", "a_-\n0\nk%2By\n"] {
            assert!(is_upload(text), "{text:?}");
        }
        let long = format!("{}\n9b8b0\n", "a".repeat(LINK_CHARS_MAX + 1));
        for text in [
            "",
            "\n",
            "Ok",
            "1G6Tx4Tn",
            "1G6Tx4Tn\n",
            "1G6Tx4Tn\n9b8bX\n",
            "1G6 x4Tn\n9b8b0\n",
            "<html>\n9b8b0\n",
            "1G6Tx4Tn\n9b8b0\n\"><script>",
            "1G6Tx4Tn\n9b8b0\nk\nmore",
            &long,
        ] {
            assert!(!is_upload(text), "{text:?}");
        }
    }

    #[test]
    fn only_an_answer_of_the_right_form_begins_a_transfer() {
        let reference = "0123456789abcdef0123456789abcdef";
        assert!(OpenTransfer::of(&format!("{reference}\nbeef\n")).is_some());
        for text in [
            "",
            "Error",
            "short\nbeef",
            "0123456789abcdef0123456789abcde/\nbeef",
            reference,
        ] {
            assert!(OpenTransfer::of(text).is_none(), "{text:?}");
        }
    }
}

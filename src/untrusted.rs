//! Text from outside: from mail, from readers, from other hosts. It may drive a terminal, turn the line around, or forge lines
//! of its own; so it is shown only with all of that escaped, and compared, stored or handed to programs as it is.
//!
//! Escaped are controls (C0, DEL, C1, line ends), characters for directions, and all else that is not seen. Quotes and
//! backslashes stay as they are: what is shown is for people, and is not read back.

use std::fmt;

use mailsplice::names;
use serde::{Serialize, Serializer};

/// A text from outside, as a `String` or a `&str`. Prints as one line, escaped; programs get it raw.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Untrusted<T = String>(pub(crate) T);

impl<T: AsRef<str>> Untrusted<T> {
    /// Its lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Untrusted<&str>> {
        self.0.as_ref().lines().map(Untrusted)
    }
}

impl<T: AsRef<str>> fmt::Display for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.as_ref();
        if !text.chars().any(is_harmful) {
            return f.pad(text);
        }
        let mut shown = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            match c {
                '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
                c if is_harmful(c) => shown.extend(c.escape_unicode()),
                c => shown.push(c),
            }
        }
        f.pad(&shown)
    }
}

impl<T: AsRef<str>> fmt::Debug for Untrusted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_ref())
    }
}

impl<T: AsRef<str>> Serialize for Untrusted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_ref())
    }
}

/// Returns true if a character steers what shows it: a control, a line or paragraph separator, or one
/// that changes the direction of text.
///
/// Other hosts may not send these in the origin of a deposit: `doc/deposit.openapi.yaml` has the same
/// list. The further characters that are not seen are taken there and escaped here: some scripts need
/// joiners and variation selectors, so addresses have them, too (RFC 6531).
pub(crate) fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns true if a character does more than take its room: it steers, or is not seen.
fn is_harmful(c: char) -> bool {
    is_steering(c) || names::is_invisible(c)
}

/// Escapes harmful characters in JSON, where they can stand in its strings alone; the result means
/// the same to programs. Line ends between values stay.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_harmful(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_turns_a_line_or_forges_one_is_escaped() {
        for (text, shown) in [
            ("é \"x\" \\ \u{a0}\u{1f600}", "é \"x\" \\ \u{a0}\u{1f600}"),
            ("e\u{301}", "e\u{301}"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            (
                "\u{202e}fdp\u{2066}\u{200f}",
                "\\u{202e}fdp\\u{2066}\\u{200f}",
            ),
            (
                "a\u{2028}b\u{85}c\u{e0041}",
                "a\\u{2028}b\\u{85}c\\u{e0041}",
            ),
        ] {
            assert_eq!(Untrusted(text).to_string(), shown);
        }
        assert_eq!(format!("{:4}|", Untrusted("é")), "é   |");
        assert_eq!(format!("{:?}", Untrusted("\u{1b}")), r#""\u{1b}""#);
        let text = Untrusted("a\u{1b}\nb".to_owned());
        let lines: Vec<_> = text.lines().map(|line| line.to_string()).collect();
        assert_eq!(lines, ["a\\u{1b}", "b"]);
    }

    #[test]
    fn what_steers_is_harmful_and_a_joiner_does_not_steer() {
        let steering = "\0\u{1b}\n\u{7f}\u{9b}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2069}";
        assert!(steering.chars().all(|c| is_steering(c) && is_harmful(c)));
        let unseen = "\u{ad}\u{200c}\u{200d}\u{feff}";
        assert!(unseen.chars().all(|c| !is_steering(c) && is_harmful(c)));
    }

    #[test]
    fn json_says_the_same_when_it_is_escaped() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{9b}\n\u{7f}", "\u{e0041}é"] });
        let shown = escaped_json(&format!("{value:#}"));
        assert!(
            shown.chars().all(|c| c == '\n' || !is_harmful(c)),
            "{shown}"
        );
        let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(read, value);
    }
}

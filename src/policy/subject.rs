//! Tags taken out of a subject, in whatever encoding they stand there.
//!
//! A subject is read as people see it: lines unfolded, the words of RFC 2047 decoded, the blanks
//! between two of them gone. A tag may begin in one word and end in another. A word that loses some
//! of its text is written anew in its own charset and encoding; everything else keeps its bytes.

use std::ops::Range;

use encodify::rfc2047::{EncodedWord, WordEncoding};
use encoding_rs::{Encoding, UTF_8};

/// The longest subject that is looked at, in bytes.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// Maximum number of tags taken out of one subject: to find each, all of it is looked at again.
const TAGS_MAX: usize = 64;

/// Maximum number of characters of an encoded word (RFC 2047, section 2).
const WORD_CHARS_MAX: usize = 75;

/// A subject without its tags.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stripped {
    /// The new value.
    pub(super) value: Vec<u8>,
    /// Indices of the tags that were found.
    pub(super) tags: Vec<usize>,
}

/// A run of the value that is kept, left out, or written anew as one.
#[derive(Debug)]
struct Fragment {
    at: Range<usize>,
    kind: FragmentKind,
}

#[derive(Debug)]
enum FragmentKind {
    /// A character as it is, with the line end before it if it is the blank of a fold.
    Raw,
    /// The blanks between two encoded words, which are not read.
    Gap,
    /// An encoded word, or several that have to be decoded together.
    Word {
        label: String,
        encoding: WordEncoding,
    },
}

/// A character as it is read.
#[derive(Clone, Copy, Debug)]
struct Sign {
    read: char,
    piece: usize,
}

/// Takes the tags out, at most [`TAGS_MAX`] of them; `None` when there is none.
pub(super) fn strip(value: &[u8], tags: &[&str]) -> Option<Stripped> {
    if value.len() > VALUE_BYTES_MAX {
        return None;
    }

    let (pieces, signs) = read(value);
    let mut left = signs.clone();
    let mut found = Vec::new();
    let tags: Vec<Vec<char>> = tags
        .iter()
        .map(|tag| tag.chars().map(lower).collect())
        .collect();

    while found.len() < TAGS_MAX
        && let Some((tag, at)) = find(&left, &tags)
    {
        found.push(tag);
        left.drain(with_blanks(&left, at));
    }

    (!found.is_empty()).then(|| Stripped {
        value: write(value, &pieces, &signs, &left),
        tags: found,
    })
}

/// Returns the first tag that stands anywhere, and its place.
fn find(signs: &[Sign], tags: &[Vec<char>]) -> Option<(usize, Range<usize>)> {
    let is_here = |tag: &[char], at: usize| {
        let here = signs.get(at..at + tag.len());
        here.is_some_and(|here| here.iter().zip(tag).all(|(sign, &c)| lower(sign.read) == c))
    };
    tags.iter().enumerate().find_map(|(index, tag)| {
        let at = (0..signs.len()).find(|&at| is_here(tag, at))?;
        Some((index, at..at + tag.len()))
    })
}

/// Widens a tag by the blanks that would be too many without it: those behind it, or at the end those before.
fn with_blanks(signs: &[Sign], tag: Range<usize>) -> Range<usize> {
    let is_blank = |at: usize| signs.get(at).is_some_and(|sign| sign.read == ' ');
    let Range { mut start, mut end } = tag;
    if start == 0 || is_blank(start - 1) {
        while is_blank(end) {
            end += 1;
        }
    }
    // The blank behind the colon stays.
    while end == signs.len() && start > 1 && is_blank(start - 1) {
        start -= 1;
    }
    start..end
}

fn lower(c: char) -> char {
    match c {
        '\t' => ' ',
        c => c.to_lowercase().next().unwrap_or(c),
    }
}

/// Splits a value into its pieces and reads them.
fn read(value: &[u8]) -> (Vec<Fragment>, Vec<Sign>) {
    let (mut pieces, mut signs) = (Vec::new(), Vec::new());
    let mut at = 0;

    while at < value.len() {
        let (piece, text) = match word(value, at) {
            Some(word) => word,
            None => raw(value, at),
        };
        at = piece.at.end;

        let is_word = matches!(piece.kind, FragmentKind::Word { .. });
        let read = |c: char| Sign {
            read: if c == '\t' { ' ' } else { c },
            piece: pieces.len(),
        };
        signs.extend(text.chars().map(read));
        pieces.push(piece);

        if is_word && let Some(gap) = gap(value, at) {
            at = gap.end;
            pieces.push(Fragment {
                at: gap,
                kind: FragmentKind::Gap,
            });
        }
    }
    (pieces, signs)
}

/// Returns the blanks up to the next encoded word.
fn gap(value: &[u8], start: usize) -> Option<Range<usize>> {
    let blanks = value[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace())
        .count();
    let end = start + blanks;
    (blanks > 0 && EncodedWord::parse(&value[end..]).is_some()).then_some(start..end)
}

/// Reads the encoded word at a place. One that ends inside a character is read with those behind it
/// (RFC 2047, section 5, forbids that, and it is done).
fn word(value: &[u8], start: usize) -> Option<(Fragment, String)> {
    let (first, len) = EncodedWord::parse(&value[start..])?;
    let charset = Encoding::for_label(first.charset)?;
    let mut bytes = first.decode().ok()?;
    let mut end = start + len;

    while charset
        .decode_without_bom_handling_and_without_replacement(&bytes)
        .is_none()
    {
        let next = gap(value, end).map_or(end, |gap| gap.end);
        let Some((word, len)) = EncodedWord::parse(&value[next..]) else {
            break;
        };
        let Ok(more) = word.decode() else { break };
        if !word.charset.eq_ignore_ascii_case(first.charset) {
            break;
        }
        bytes.extend(more);
        end = next + len;
    }

    let text = charset.decode_without_bom_handling(&bytes).0.into_owned();
    let kind = FragmentKind::Word {
        label: String::from_utf8_lossy(first.charset).into_owned(),
        encoding: first.encoding,
    };
    Some((
        Fragment {
            at: start..end,
            kind,
        },
        text,
    ))
}

/// Reads one character. Bytes that are not UTF-8 are read one by one.
fn raw(value: &[u8], start: usize) -> (Fragment, String) {
    let rest = &value[start..];
    let fold = rest
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    let is_fold = fold > 0 && matches!(rest.get(fold), Some(b' ' | b'\t'));
    let (len, read) = match () {
        () if is_fold => (fold + 1, ' '),
        () if fold > 0 => (fold, ' '),
        () => character(rest),
    };
    let piece = Fragment {
        at: start..start + len,
        kind: FragmentKind::Raw,
    };
    (piece, read.to_string())
}

fn character(bytes: &[u8]) -> (usize, char) {
    let chunk = bytes.utf8_chunks().next();
    match chunk.and_then(|chunk| chunk.valid().chars().next()) {
        Some(read) => (read.len_utf8(), read),
        None => (1, char::REPLACEMENT_CHARACTER),
    }
}

/// Writes the signs that are left. Two encoded words need a blank between them, and only one.
fn write(value: &[u8], pieces: &[Fragment], before: &[Sign], left: &[Sign]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let (mut before, mut left) = (before, left);
    let mut gap: Option<&[u8]> = None;
    let mut after_word = false;

    for (index, piece) in pieces.iter().enumerate() {
        let all = take(&mut before, index);
        let rest = take(&mut left, index);

        match &piece.kind {
            FragmentKind::Gap => gap = gap.or(Some(&value[piece.at.clone()])),
            _ if rest.is_empty() && !all.is_empty() => {}
            FragmentKind::Raw => {
                out.extend_from_slice(&value[piece.at.clone()]);
                (gap, after_word) = (None, false);
            }
            FragmentKind::Word { label, encoding } => {
                if let Some(gap) = gap.take().filter(|_| after_word) {
                    out.extend_from_slice(gap);
                }
                if rest.len() == all.len() {
                    out.extend_from_slice(&value[piece.at.clone()]);
                } else {
                    let text: String = rest.iter().map(|sign| sign.read).collect();
                    out.extend(encode(&text, label, *encoding));
                }
                after_word = true;
            }
        }
    }

    out
}

/// Takes the signs of a piece from the front of those that are left.
fn take<'a>(signs: &mut &'a [Sign], piece: usize) -> &'a [Sign] {
    let count = signs.iter().take_while(|sign| sign.piece == piece).count();
    let (taken, rest) = signs.split_at(count);
    *signs = rest;
    taken
}

/// Writes text as encoded words, in its charset if text can be written in that.
fn encode(text: &str, label: &str, encoding: WordEncoding) -> Vec<u8> {
    let charset = Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let is_writable = charset.output_encoding() == charset && !charset.encode(text).2;
    let (charset, label) = if is_writable {
        (charset, label)
    } else {
        (UTF_8, "utf-8")
    };

    let mut words: Vec<String> = Vec::new();
    let mut rest = text;

    while !rest.is_empty() {
        let fits = |end: &usize| {
            let whole = rest.is_char_boundary(*end);
            whole && encoded(&rest[..*end], charset, label, encoding).len() <= WORD_CHARS_MAX
        };
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let end = (first..=rest.len().min(WORD_CHARS_MAX))
            .rev()
            .find(fits)
            .unwrap_or(first);
        words.push(encoded(&rest[..end], charset, label, encoding));
        rest = &rest[end..];
    }

    words.join("\n ").into_bytes()
}

fn encoded(text: &str, charset: &'static Encoding, label: &str, encoding: WordEncoding) -> String {
    let bytes = charset.encode(text).0;
    match encoding {
        WordEncoding::Base64 => {
            let payload = data_encoding::BASE64.encode(&bytes);
            format!("=?{label}?B?{payload}?=")
        }
        WordEncoding::Q => {
            let payload: String = bytes.iter().map(|&byte| q(byte)).collect();
            format!("=?{label}?Q?{payload}?=")
        }
    }
}

/// Encodes a byte of a `Q` word (RFC 2047, section 4.2).
fn q(byte: u8) -> String {
    match byte {
        b' ' => "_".to_owned(),
        b'=' | b'?' | b'_' => format!("={byte:02X}"),
        byte if byte.is_ascii_graphic() => char::from(byte).to_string(),
        byte => format!("={byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAGS: [&str; 2] = ["[NEPASDEPOLLUER]", "[DEPOLLUER]"];

    fn stripped(value: &[u8]) -> Option<String> {
        strip(value, &TAGS).map(|stripped| String::from_utf8_lossy(&stripped.value).into_owned())
    }

    fn decoded(value: &[u8]) -> String {
        let decode = |charset: &[u8], bytes: &[u8], out: &mut String| {
            let encoding = Encoding::for_label(charset).unwrap_or(UTF_8);
            out.push_str(&encoding.decode_without_bom_handling(bytes).0);
        };
        encodify::rfc2047::decode_text(value, decode).into_owned()
    }

    #[test]
    fn a_plain_tag_goes_with_one_blank() {
        for (subject, rest) in [
            (" [NEPASDEPOLLUER] Photos", " Photos"),
            (" [NePasDepolluer]Photos", " Photos"),
            (" Re: [NEPASDEPOLLUER] Photos", " Re: Photos"),
            (" Photos [NEPASDEPOLLUER]", " Photos"),
            (" Pho[NEPASDEPOLLUER]tos", " Photos"),
            (" [NEPASDEPOLLUER]", " "),
            ("[NEPASDEPOLLUER]", ""),
            (" [NEPASDEPOLLUER] [DEPOLLUER] a  b", " a  b"),
            (
                " Photos\n [NEPASDEPOLLUER]\n de l'ete",
                " Photos\n de l'ete",
            ),
            (" Photos\r\n\t[NEPASDEPOLLUER]", " Photos"),
            (
                " [NEPASDEPOLLUER]\n =?utf-8?q?=C3=A9t=C3=A9?=",
                " =?utf-8?q?=C3=A9t=C3=A9?=",
            ),
        ] {
            assert_eq!(
                stripped(subject.as_bytes()).as_deref(),
                Some(rest),
                "{subject}"
            );
        }
    }

    #[test]
    fn without_a_tag_nothing_is_said() {
        for subject in [
            "",
            " Photos",
            " [NEPASDEPOLLUE]",
            " =?utf-8?q?[NEPAS?= DEPOLLUER]",
        ] {
            assert_eq!(stripped(subject.as_bytes()), None, "{subject}");
        }
    }

    #[test]
    fn a_tag_in_an_encoded_word_goes_and_the_word_keeps_charset_and_encoding() {
        for (subject, rest) in [
            (
                " =?UTF-8?Q?[NEPASDEPOLLUER]_R=C3=A9union?=",
                " =?UTF-8?Q?R=C3=A9union?=",
            ),
            (
                // "[NEPASDEPOLLUER] Réunion"
                " =?utf-8?B?W05FUEFTREVQT0xMVUVSXSBSw6l1bmlvbg==?=",
                " =?utf-8?B?UsOpdW5pb24=?=",
            ),
            (
                " =?iso-8859-1?q?=5BNEPASDEPOLLUER=5D?= =?iso-8859-1?q?_=E9t=E9?=",
                " =?iso-8859-1?Q?=E9t=E9?=",
            ),
            (
                " =?utf-8?q?=C3=A9?= =?utf-8?q?[NEPASDEPOLLUER]?=",
                " =?utf-8?q?=C3=A9?=",
            ),
            (
                " =?utf-8?q?a?=\n =?utf-8?q?_[NEPASDEPOLLUER]_?=\n =?utf-8?q?b?=",
                " =?utf-8?q?a?=\n =?utf-8?Q?_?=\n =?utf-8?q?b?=",
            ),
            (
                " Re: =?utf-8?q?=5Bnepasdepolluer=5D?= Photos",
                " Re: Photos",
            ),
        ] {
            assert_eq!(
                stripped(subject.as_bytes()).as_deref(),
                Some(rest),
                "{subject}"
            );
        }
    }

    #[test]
    fn a_tag_may_lie_across_words() {
        let subject = b" =?utf-8?Q?[NEPASDE?=\n =?utf-8?B?UE9MTFVFUl0gw6l0w6k=?=";
        let rest = stripped(subject).unwrap();
        assert_eq!(decoded(rest.as_bytes()), "été");
        assert!(rest.starts_with(" =?utf-8?B?"), "{rest}");
    }

    #[test]
    fn a_character_may_lie_across_words() {
        let subject = b" =?utf-8?Q?[NEPASDEPOLLUER]_=C3?= =?utf-8?Q?=A9t=C3=A9?=";
        assert_eq!(decoded(stripped(subject).unwrap().as_bytes()), "été");
    }

    #[test]
    fn raw_bytes_keep_what_they_are() {
        let utf8 = " [NEPASDEPOLLUER] Réunion".as_bytes();
        assert_eq!(strip(utf8, &TAGS).unwrap().value, " Réunion".as_bytes());
        let latin = b" \xe9t\xe9 [NEPASDEPOLLUER] \xff";
        assert_eq!(strip(latin, &TAGS).unwrap().value, b" \xe9t\xe9 \xff");
    }

    #[test]
    fn japanese_is_written_in_its_own_charset() {
        let (bytes, ..) = encoding_rs::ISO_2022_JP.encode("[NEPASDEPOLLUER] 夏の報告書");
        let word = format!(
            " =?ISO-2022-JP?B?{}?=",
            data_encoding::BASE64.encode(&bytes)
        );
        let rest = stripped(word.as_bytes()).unwrap();
        assert!(rest.starts_with(" =?ISO-2022-JP?B?"), "{rest}");
        assert_eq!(decoded(rest.as_bytes()), "夏の報告書");
    }

    #[test]
    fn a_tag_with_signs_and_blanks_is_found_across_a_fold() {
        let tags = ["[Ne pas dépolluer]"];
        let found = strip(" [ne pas\n DÉPOLLUER] x".as_bytes(), &tags).unwrap();
        assert_eq!(found.value, b" x");
    }

    #[test]
    fn of_very_many_tags_the_first_are_taken_out() {
        let subject = "[DEPOLLUER]".repeat(TAGS_MAX + 2);
        let stripped = strip(subject.as_bytes(), &["[DEPOLLUER]"]).unwrap();
        assert_eq!(stripped.tags.len(), TAGS_MAX);
        assert_eq!(stripped.value, b"[DEPOLLUER][DEPOLLUER]");
    }

    #[test]
    fn a_subject_as_long_as_the_limit_is_looked_at_and_a_longer_one_not() {
        let mut subject = b" [DEPOLLUER]".to_vec();
        subject.resize(VALUE_BYTES_MAX, b'x');
        assert!(strip(&subject, &TAGS).is_some());
        subject.push(b'x');
        assert!(strip(&subject, &TAGS).is_none());
    }

    proptest! {
        #[test]
        fn no_subject_makes_it_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = strip(&value, &TAGS);
        }

        #[test]
        fn words_are_75_characters_at_most_and_read_the_same(text in "[a-zé夏 ]{1,80}", base64 in any::<bool>()) {
            let encoding = if base64 { WordEncoding::Base64 } else { WordEncoding::Q };
            let words = encode(&text, "utf-8", encoding);
            let lines = String::from_utf8(words.clone()).unwrap();
            for line in lines.split("\n ") {
                prop_assert!(line.len() <= WORD_CHARS_MAX);
            }
            prop_assert_eq!(decoded(&words), text);
        }

        #[test]
        fn what_is_left_is_the_subject_without_the_tag(
            before in "[a-zé]{0,9}", after in "[a-zé]{1,9}", base64 in any::<bool>(),
        ) {
            let encoding = if base64 { WordEncoding::Base64 } else { WordEncoding::Q };
            let text = format!("{before}[DEPOLLUER]{after}");
            let value = [b" ".as_slice(), &encode(&text, "utf-8", encoding)].concat();
            let rest = strip(&value, &TAGS).unwrap();
            prop_assert_eq!(decoded(&rest.value), format!("{before}{after}"));
        }
    }
}

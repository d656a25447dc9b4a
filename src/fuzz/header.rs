//! Header blocks, and the names in them.

use mailsplice::{
    mime::{Field, Head, MediaType, Structured, head},
    names,
};

use super::{byte, choice};

/// Maximum number of fields of a block that are read as structured ones: with all of them, most of
/// the time would go into fields that are like each other.
const FIELDS_MAX: usize = 8;

/// Number of bytes of the input that are taken for a name as they are.
const RAW_BYTES_MAX: usize = 96;

/// Checks an input: a byte for the media type where none is declared, and a header block.
pub fn header(input: &[u8]) {
    let mut block = input;
    let defaults = [("text", "plain"), ("message", "rfc822")];
    let (main, sub) = choice(&defaults, byte(&mut block));

    check_field(block);
    check_names(&[String::from_utf8_lossy(&block[..block.len().min(RAW_BYTES_MAX)]).into_owned()]);

    let Ok(fields) = head::split(block) else {
        return;
    };
    assert_eq!(head::split(&joined(&fields)).as_deref(), Ok(&*fields));
    assert_eq!(head::check(&fields), Ok(()));

    let described = |field: &&Field| field.name.get(7) == Some(&b'-');
    fields
        .iter()
        .filter(described)
        .take(FIELDS_MAX)
        .for_each(|field| check_field(&field.value));

    let read = Head::read(&fields, MediaType::new(main, sub));
    let at_once = Head::parse(block, MediaType::new(main, sub));
    assert_eq!(format!("{at_once:?}"), format!("{read:?}"));
    if let Ok(head) = read {
        check_head(&head);
    }
}

fn joined(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for field in fields {
        block.extend([&field.name, &b":"[..], &field.value, b"\r\n"].concat());
    }
    block.extend(b"\r\n");
    block
}

/// Checks any bytes read as a structured field, with the names in it.
fn check_field(value: &[u8]) {
    let field = Structured::parse(value);
    assert!(field.parameters.len() <= 256);
    let found: Vec<String> = ["filename", "name"]
        .into_iter()
        .filter_map(|name| field.file_name(name))
        .collect();
    assert!(
        found
            .iter()
            .all(|name| name.len() <= 4096 && !name.trim().is_empty())
    );
    if !found.is_empty() {
        check_names(&found);
    }
}

fn check_head(head: &Head) {
    let name = head.file_name.as_deref();
    assert!(head.is_named || name.is_none());
    check_names(&[names::or_from_type(name, &head.media.to_string())]);
    let is_multipart = head.media.main() == "multipart";
    assert_eq!(head.boundary.is_some(), is_multipart);
    assert!(
        head.boundary
            .as_ref()
            .is_none_or(|boundary| !boundary.is_empty())
    );
}

fn check_names(found: &[String]) {
    for name in found {
        let shown = names::display(name);
        assert!(!shown.is_empty() && shown.chars().count() <= names::DISPLAY_CHARS_MAX);
        check_harmless(&shown);
        assert_eq!(names::display(&shown), shown);
    }
    let twice = found.iter().chain(found).map(String::as_str);
    let files = names::unique_files(twice);
    assert_eq!(files.len(), found.len() * 2);
    let folded: Vec<String> = files.iter().map(|file| file.to_lowercase()).collect();
    for (at, file) in files.iter().enumerate() {
        assert!(!file.is_empty() && file.len() <= names::FILE_BYTES_MAX);
        assert!(!file.starts_with(['.', '-', ' ']) && !file.ends_with(['.', ' ']));
        check_harmless(file);
        assert!(!folded[..at].contains(&folded[at]));
    }
}

/// Checks that a name has no path, no second line, and nothing that changes the direction of what follows.
fn check_harmless(name: &str) {
    let is_bidi = |c: char| {
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}')
    };
    let is_harmful =
        |c: char| c.is_control() || is_bidi(c) || matches!(c, '/' | '\\' | '\u{2028}' | '\u{2029}');
    assert!(!name.contains(is_harmful), "{name:?}");
}

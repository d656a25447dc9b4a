//! How what senders and users may ask for is written: tags, addresses, a field.

use super::{
    AddressPatterns,
    pattern::Bare,
    value::{Codec, Written},
};

/// Tags of one kind.
const TAGS_MAX: usize = 20;

/// Bytes of a tag.
const TAG_BYTES_MAX: usize = 60;

/// Tags in subjects.
pub(super) struct Tags;

impl Codec for Tags {
    type Value = Vec<String>;

    fn parse(written: &Written) -> Option<Vec<String>> {
        let tags = written.texts()?;
        let is_tag = |tag: &String| {
            let trimmed = tag.trim() == tag && !tag.chars().any(char::is_control);
            trimmed && (2..=TAG_BYTES_MAX).contains(&tag.len())
        };
        (tags.len() <= TAGS_MAX && tags.iter().all(is_tag)).then_some(tags)
    }

    fn print(value: &Vec<String>) -> Written {
        Written::List(value.iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        format!(
            r#"a list of at most {TAGS_MAX} tags such as ["[NEPASDEPOLLUER]"], of 2 to {TAG_BYTES_MAX} bytes each"#
        )
    }
}

/// A list of patterns for addresses.
pub(super) struct Addresses;

impl Codec for Addresses {
    type Value = AddressPatterns;

    fn parse(written: &Written) -> Option<AddressPatterns> {
        let list = AddressPatterns::new(&written.texts()?, Bare::Refused).ok();
        // They are asked before anything can be looked up.
        list.filter(|list| list.tables().is_empty())
    }

    fn print(value: &AddressPatterns) -> Written {
        Written::List(value.written().iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        r#"a list of addresses such as ["keep@example.org", "keep-*@example.org"]"#.into()
    }
}

/// Addresses of mailing lists, and where they stand.
pub(super) struct Lists;

impl Codec for Lists {
    type Value = AddressPatterns;

    fn parse(written: &Written) -> Option<AddressPatterns> {
        AddressPatterns::new(&written.texts()?, Bare::Refused).ok()
    }

    fn print(value: &AddressPatterns) -> Written {
        Addresses::print(value)
    }

    fn allowed() -> String {
        r#"a list of addresses, files and tables such as ["@lists.example.org", "file:/etc/mail/lists", "hash:/etc/postfix/lists"]"#.into()
    }
}

/// The name of a header field, or nothing.
pub(super) struct FieldName;

impl Codec for FieldName {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let name = written.text()?;
        let is_ours = name.is_empty()
            || name
                .get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("x-"));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (is_ours && name.len() <= 60 && name.bytes().all(is_name)).then_some(name)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        r#"the name of a header field that begins with "X-", or empty"#.into()
    }
}

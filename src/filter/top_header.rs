//! The facts of a message's own header that its end needs. Pure.

use mailsplice::mime::{Field, Head};

use super::{language::Speech, mark};
use crate::config::Config;

/// The facts of a message's own header that its end needs.
#[derive(Debug)]
pub(super) struct TopHeader {
    pub(super) root: Head,
    /// The names of the fields that a rewrite may have to change, as written.
    pub(super) fields: Vec<String>,
    /// True if it is sent to many who do not answer each other: a newsletter, no discussion list.
    pub(super) is_newsletter: bool,
    /// True if it has our mark, whoever put it there.
    pub(super) is_marked: bool,
    /// Its hints at the language; `None` where nothing depends on it.
    pub(super) speech: Option<Box<Speech>>,
}

impl TopHeader {
    /// Reads a header; `root` is the part that it is the header of.
    pub(super) fn read(config: &Config, header: &[Field], root: Head) -> Self {
        Self {
            fields: header.iter().filter_map(content_field).collect(),
            is_newsletter: is_newsletter(header),
            is_marked: mark::is_marked(header),
            speech: Speech::read(config, header),
            root,
        }
    }
}

/// Returns true if a header is that of a newsletter (RFC 2369: one can unsubscribe, but not write to it).
fn is_newsletter(header: &[Field]) -> bool {
    let value = |name: &str| {
        let mut fields = header.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        field.map(|field| field.value.trim_ascii())
    };
    let can_post = value("List-Post").is_some_and(|post| !post.eq_ignore_ascii_case(b"no"));
    let is_bulk = value("Precedence").is_some_and(|word| word.eq_ignore_ascii_case(b"bulk"));
    !can_post && (is_bulk || value("List-Unsubscribe").is_some())
}

/// The name of a field that describes the message's content, as written.
fn content_field(field: &Field) -> Option<String> {
    let starts = |with: &[u8]| {
        let start = field.name.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let is_content = starts(b"content-")
        || ["mime-version", "lines"]
            .iter()
            .any(|name| field.name.len() == name.len() && starts(name.as_bytes()));
    is_content.then(|| String::from_utf8_lossy(&field.name).into_owned())
}

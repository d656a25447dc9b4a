//! The top-level header of a message, as far as rules ask about it.

use encoding_rs::{Encoding, UTF_8};
use mailsplice::mime::Field;

use crate::config::{HeaderPattern, fold};

/// Number of bytes of a field that are looked at.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// The facts of a header that rules ask about. Texts are in lower case.
#[derive(Debug)]
pub struct HeaderFacts<'a> {
    fields: &'a [Field],
    /// The identifier of the mailing list (RFC 2919), without its description.
    pub(super) list_id: Option<String>,
    /// True if a mailing list sent it (RFC 2919; RFC 2369, section 3.4).
    pub(super) is_list: bool,
    /// The domains that signed it (RFC 6376, section 3.5: `d=`; DKIM2 has the same tag).
    pub(super) signers: Vec<String>,
    /// True if a mail server had it before (RFC 5321, section 4.4).
    pub(super) was_received: bool,
    /// `Precedence: bulk`, `list` or `junk`, or a `List-Unsubscribe` (RFC 2369).
    pub(super) is_bulk: bool,
    /// `Auto-Submitted` other than `no` (RFC 3834, section 5).
    pub(super) is_automatic: bool,
}

impl<'a> HeaderFacts<'a> {
    /// Reads a header.
    pub fn read(fields: &'a [Field]) -> Self {
        let first = |name: &str| values(fields, name).next();
        let precedence = first("precedence").unwrap_or_default();
        let submitted = first("auto-submitted");
        let word = |value: &String| {
            value
                .split([';', ' ', '('])
                .next()
                .unwrap_or_default()
                .to_owned()
        };

        Self {
            fields,
            is_list: ["list-id", "list-post"]
                .iter()
                .any(|name| first(name).is_some()),
            signers: ["dkim-signature", "dkim2-signature"]
                .iter()
                .flat_map(|name| values(fields, name))
                .map(|value| signer(&value))
                .collect(),
            was_received: first("received").is_some(),
            list_id: first("list-id").map(|value| list_id(&value)),
            is_bulk: matches!(precedence.as_str(), "bulk" | "list" | "junk")
                || first("list-unsubscribe").is_some(),
            is_automatic: submitted
                .as_ref()
                .map(word)
                .is_some_and(|word| word != "no"),
        }
    }

    /// Returns true if a field of the pattern's name matches it.
    pub(crate) fn has(&self, pattern: &HeaderPattern) -> bool {
        values(self.fields, &pattern.name).any(|value| pattern.matches(&value))
    }
}

/// Returns the values of all fields of a name, decoded, unfolded, in lower case.
fn values<'a>(fields: &'a [Field], name: &'a str) -> impl Iterator<Item = String> + 'a {
    fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
        .map(|field| fold(&readable(&field.value)))
}

/// Returns a value as people read it (RFC 2047); of a long one, the start.
pub(crate) fn readable(value: &[u8]) -> String {
    let value = &value[..value.len().min(VALUE_BYTES_MAX)];
    let decode = |charset: &[u8], bytes: &[u8], out: &mut String| {
        let encoding = Encoding::for_label(charset).unwrap_or(UTF_8);
        out.push_str(&encoding.decode_without_bom_handling(bytes).0);
    };
    encodify::rfc2047::decode_text(value, decode)
        .trim()
        .to_owned()
}

/// Returns the domain of a signature; empty where it names none.
fn signer(value: &str) -> String {
    let mut tags = value.split(';').filter_map(|tag| tag.split_once('='));
    let domain = tags.find(|(name, _)| name.trim() == "d");
    let domain = domain.map_or("", |(_, domain)| domain.trim());
    domain.trim_end_matches('.').to_owned()
}

/// Returns the text between the angle brackets; all of it without them.
fn list_id(value: &str) -> String {
    let inner = value
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(value, |(id, _)| id).trim().to_owned()
}

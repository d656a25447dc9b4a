//! The `cid:` URLs that an HTML body refers to (RFC 2392), found while it streams by.
//!
//! Mail programs write file names into them, with blanks, quotes and parentheses, escaped or not,
//! and readers take them as they find them. So a reference is read in every way in which some
//! reader may read it: an image that stays costs space, one that goes leaves a hole.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::param::percent_decode;

/// Maximum number of references kept; an HTML body with more is taken to refer to everything.
const REFERENCES_MAX: usize = 4096;

/// The longest reference, in bytes; a longer one makes the HTML refer to everything.
const REFERENCE_BYTES_MAX: usize = 1024;

const SCHEME: &[u8] = b"cid:";

/// The references of the HTML bodies seen so far. Only hashes are kept: 8 bytes a reference.
#[derive(Debug, Default)]
pub struct References {
    found: HashSet<u64>,
    hasher: RandomState,
    /// The end of the last chunk, in which a reference may begin.
    held: Vec<u8>,
    everything: bool,
    seen_html: bool,
}

impl References {
    /// Returns true if references show in the bytes of an HTML body of this charset: it must be an
    /// extension of ASCII.
    pub fn can_read(charset: Option<&str>) -> bool {
        let known = |label: &str| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        charset.is_none_or(|label| known(label).is_some_and(|e| e.is_ascii_compatible()))
    }

    /// Returns true if an HTML body has been read to its end.
    pub fn seen_html(&self) -> bool {
        self.seen_html
    }

    /// Returns the key that is kept of a `Content-ID` (without brackets), however long that is.
    pub fn key(&self, content_id: &str) -> u64 {
        self.hash(content_id.as_bytes())
    }

    /// Returns true if some HTML body refers to the `Content-ID` of this key.
    pub fn contains_key(&self, key: u64) -> bool {
        self.everything || self.found.contains(&key)
    }

    /// Returns true if some HTML body refers to this `Content-ID` (without brackets).
    pub fn contains(&self, content_id: &str) -> bool {
        self.contains_key(self.key(content_id))
    }

    /// Reads decoded bytes of an HTML body.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        self.scan(false);
    }

    /// Ends an HTML body.
    pub fn finish(&mut self) {
        self.scan(true);
        self.held.clear();
        self.seen_html = true;
    }

    /// Assumes references to everything, as an HTML body cannot be read.
    pub fn assume_everything(&mut self) {
        self.held.clear();
        self.everything = true;
    }

    fn scan(&mut self, eof: bool) {
        if self.everything {
            return self.held.clear();
        }

        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while let Some(start) = find_scheme(&held[at..]).map(|offset| at + offset) {
            let reference = &held[start + SCHEME.len()..];
            let longest = &reference[..reference.len().min(REFERENCE_BYTES_MAX + 1)];
            let quote = start.checked_sub(1).map(|before| held[before]);
            let quote = quote.filter(|b| matches!(b, b'"' | b'\''));

            match longest.iter().position(|&b| ends(b, quote)) {
                Some(len) => self.add(&reference[..len], quote),
                None if eof || reference.len() > REFERENCE_BYTES_MAX => self.add(reference, quote),
                None => {
                    // The byte before it is kept, too: it may be a quote.
                    self.held = held[start.saturating_sub(1)..].to_vec();
                    return;
                }
            }

            if self.everything {
                return;
            }
            at = start + SCHEME.len();
        }

        let keep = held.len().saturating_sub(SCHEME.len()).max(at);
        self.held = held[keep..].to_vec();
    }

    fn add(&mut self, reference: &[u8], quote: Option<u8>) {
        // A character reference in a URL is rare, and readers would decode it. A reference inside
        // another is rarer still, and each of many would be read to the end of all.
        let odd = reference.contains(&b'&')
            || reference.len() > REFERENCE_BYTES_MAX
            || find_scheme(reference).is_some();
        if odd || self.found.len() >= REFERENCES_MAX {
            self.everything = true;
            return;
        }
        self.found.insert(self.hash(reference));

        // In a style sheet a parenthesis ends the reference, in an attribute it does not.
        let parenthesis = reference.iter().position(|b| matches!(b, b'(' | b')'));
        if let Some(len) = parenthesis.filter(|_| quote.is_none()) {
            self.found.insert(self.hash(&reference[..len]));
        }
    }

    /// Hashes an identifier as it is written in either place: escapes are decoded, brackets do not
    /// count.
    fn hash(&self, content_id: &[u8]) -> u64 {
        let read = percent_decode(content_id);
        let inner = read.trim_ascii();
        let inner = inner.strip_prefix(b"<").unwrap_or(inner);
        let inner = inner.strip_suffix(b">").unwrap_or(inner);
        self.hasher.hash_one(inner.trim_ascii())
    }
}

fn find_scheme(text: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'c', b'C', text).find(|&at| {
        text[at..]
            .get(..SCHEME.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(SCHEME))
    })
}

/// Returns true if `byte` ends a reference that `quote` stands before.
fn ends(byte: u8, quote: Option<u8>) -> bool {
    match quote {
        Some(quote) => byte == quote,
        None => byte <= b' ' || b"\"'<>".contains(&byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_wherever_the_html_is_cut() {
        let html =
            b"<img src=\"cid:a@x\"><img src=CID:b%40x><div style='background:url(cid:c)'>cid:d";
        for cut in 1..html.len() {
            let mut references = References::default();
            for chunk in html.chunks(cut) {
                references.push(chunk);
            }
            references.finish();
            for id in ["a@x", "b@x", "c", "d"] {
                assert!(references.contains(id), "{id} cut {cut}");
            }
            assert!(!references.contains("a"), "cut {cut}");
        }
    }

    #[test]
    fn a_reference_is_whatever_stands_between_the_quotes() {
        let html = "<img src=\"cid:photo (1) d'eux.png\"><img src='cid:a(2)@x'>\
                    <img src=cid:b(3)@x alt=c><p style=\"background:url(cid:d@x)\">\
                    <img src=\"cid:logo%20asso.png\"><img src=\"cid:<e@x>\"><img src=\"cid: f@x \">\
                    <p style=\"background:url('cid:g@x')\">";
        for cut in 1..html.len() {
            let mut references = References::default();
            for chunk in html.as_bytes().chunks(cut) {
                references.push(chunk);
            }
            references.finish();
            for id in [
                "photo (1) d'eux.png",
                "photo%20(1)%20d'eux.png",
                "a(2)@x",
                "b(3)@x",
                "d@x",
                "logo asso.png",
                "logo%20asso.png",
                "e@x",
                "f@x",
                "g@x",
            ] {
                assert!(references.contains(id), "{id} cut {cut}");
            }
            for id in ["photo", "a", "c", "g"] {
                assert!(!references.contains(id), "{id} cut {cut}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_refers_to_everything() {
        let too_many: String = (0..=REFERENCES_MAX).map(|n| format!("cid:{n} ")).collect();
        let too_long = format!("cid:{}", "x".repeat(REFERENCE_BYTES_MAX + 1));
        for html in ["cid:a&amp;b ", "cid:cid:a ", &too_many, &too_long] {
            let mut references = References::default();
            references.push(html.as_bytes());
            references.finish();
            assert!(references.contains("anything"));
        }
    }
}

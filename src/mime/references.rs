//! Which `cid:` URLs an HTML body refers to (RFC 2392), found while it streams by.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::param::percent_decode;

/// How many references are kept; an HTML with more is taken to refer to everything.
const REFERENCES_MAX: usize = 4096;

/// The longest reference; a longer one makes the HTML refer to everything.
const REFERENCE_BYTES_MAX: usize = 1024;

const SCHEME: &[u8] = b"cid:";

/// The references of the HTML bodies seen so far. Only hashes are kept: 8 bytes a reference.
#[derive(Debug, Default)]
pub struct References {
    found: HashSet<u64>,
    hasher: RandomState,
    /// The end of the last chunk, from where a reference may begin.
    held: Vec<u8>,
    everything: bool,
    seen_html: bool,
}

impl References {
    /// Whether references show in the bytes of an HTML body of this charset: it must be an
    /// extension of ASCII.
    pub fn can_read(charset: Option<&str>) -> bool {
        let known = |label: &str| encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        charset.is_none_or(|label| known(label).is_some_and(|e| e.is_ascii_compatible()))
    }

    /// Whether an HTML body has been read to its end.
    pub fn seen_html(&self) -> bool {
        self.seen_html
    }

    /// What is kept of a `Content-ID` (without brackets), however long it is.
    pub fn key(&self, content_id: &str) -> u64 {
        self.hash(content_id.as_bytes())
    }

    /// Whether some HTML body refers to the `Content-ID` of this key.
    pub fn contains_key(&self, key: u64) -> bool {
        self.everything || self.found.contains(&key)
    }

    /// Whether some HTML body refers to this `Content-ID` (without brackets).
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

    /// An HTML body cannot be read: it may refer to anything.
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
            match longest.iter().position(|&b| ends_reference(b)) {
                Some(len) => self.add(&reference[..len]),
                None if eof || reference.len() > REFERENCE_BYTES_MAX => self.add(reference),
                None => {
                    self.held = held[start..].to_vec();
                    return;
                }
            }
            if self.everything {
                return;
            }
            at = start + SCHEME.len();
        }
        let keep = held.len().saturating_sub(SCHEME.len() - 1).max(at);
        self.held = held[keep..].to_vec();
    }

    fn add(&mut self, reference: &[u8]) {
        // A character reference in a URL is rare; readers would decode it. A reference inside of one
        // is rarer, and each of many would be read to the end of all.
        let odd = reference.contains(&b'&')
            || reference.len() > REFERENCE_BYTES_MAX
            || find_scheme(reference).is_some();
        if odd || self.found.len() >= REFERENCES_MAX {
            self.everything = true;
            return;
        }
        let hash = self.hash(&percent_decode(reference));
        self.found.insert(hash);
    }

    fn hash(&self, content_id: &[u8]) -> u64 {
        self.hasher.hash_one(content_id)
    }
}

fn find_scheme(text: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'c', b'C', text).find(|&at| {
        text[at..]
            .get(..SCHEME.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(SCHEME))
    })
}

fn ends_reference(byte: u8) -> bool {
    byte <= b' ' || b"\"'<>()".contains(&byte)
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

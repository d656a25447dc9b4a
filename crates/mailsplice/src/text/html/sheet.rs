//! The elements that the rules of a document's `<style>` hide.
//!
//! Every rule counts, whatever medium it is for, and of a selector its last part: an element that is wrongly
//! taken for hidden costs a better place for the notice, one that is overlooked costs the notice.

use std::collections::HashSet;

use super::tag::{Tag, hides};

/// Elements of which the notice is made, and those around it.
const OF_THE_NOTICE: &[&[u8]] = &[
    b"*", b"a", b"body", b"div", b"html", b"table", b"tbody", b"td", b"tr",
];

/// The longest name in a selector that is read, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The names, classes and identifiers of hidden elements.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    names: HashSet<Vec<u8>>,
    classes: HashSet<Vec<u8>>,
    ids: HashSet<Vec<u8>>,
}

impl Sheet {
    /// Reads the content of a `<style>`.
    pub(super) fn read(&mut self, css: &[u8]) {
        for rule in css.split(|&b| b == b'}') {
            let Some(open) = memchr::memrchr(b'{', rule) else {
                continue;
            };
            let (before, style) = rule.split_at(open);
            if !hides(&style[1..].to_ascii_lowercase()) {
                continue;
            }
            let start = before.iter().rposition(|b| matches!(b, b'{' | b';'));
            let selectors = &before[start.map_or(0, |at| at + 1)..];
            selectors
                .to_ascii_lowercase()
                .split(|&b| b == b',')
                .for_each(|selector| self.add(selector));
        }
    }

    /// Returns true if the notice itself would be hidden, wherever it stands.
    pub(super) fn hides_notice(&self) -> bool {
        OF_THE_NOTICE.iter().any(|name| self.names.contains(*name))
    }

    /// Returns true if a rule hides the element.
    pub(super) fn hides(&self, tag: &Tag) -> bool {
        self.names.contains(&tag.name)
            || !self.classes.is_empty() && tag.classes().any(|class| self.classes.contains(class))
            || self.ids.contains(tag.id())
    }

    /// Adds a selector in lower case. States, pseudo-elements and attributes are passed over: they
    /// are not about the element as it stands.
    fn add(&mut self, selector: &[u8]) {
        let selector = without_comments(selector);
        let selector = selector.trim_ascii();
        let is_combinator = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'>' | b'+' | b'~');
        let start = selector.iter().rposition(is_combinator);
        let last = &selector[start.map_or(0, |at| at + 1)..];
        if last.iter().any(|b| matches!(b, b':' | b'[' | b'\\')) || last.len() > NAME_BYTES_MAX {
            return;
        }
        match last.iter().rposition(|b| matches!(b, b'.' | b'#')) {
            Some(at) if last[at] == b'.' => _ = self.classes.insert(last[at + 1..].to_vec()),
            Some(at) => _ = self.ids.insert(last[at + 1..].to_vec()),
            // Below or beside another element, a name says little.
            None if start.is_none() && !last.is_empty() => _ = self.names.insert(last.to_vec()),
            None => {}
        }
    }
}

/// Returns a selector without the comments before it.
fn without_comments(selector: &[u8]) -> &[u8] {
    let from = |end: &[u8]| memchr::memmem::rfind(selector, end).map_or(0, |at| at + end.len());
    &selector[from(b"*/").max(from(b"<!--"))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_hidden(css: &str, name: &str, class: &str, id: &str) -> bool {
        let mut sheet = Sheet::default();
        sheet.read(css.as_bytes());
        let mut tag = Tag::default();
        tag.begin(0, name.as_bytes());
        tag.attribute(b"class");
        tag.value(class.as_bytes());
        tag.attribute(b"id");
        tag.value(id.as_bytes());
        sheet.hides(&tag)
    }

    #[test]
    fn what_a_rule_hides_is_known() {
        for css in [
            "u{display:none}",
            "<!-- /* x */ U { color:red; Display : NONE !important } -->",
            "@media (max-width:600px){p{color:red} u{visibility:hidden}}",
            "b,u , i{mso-hide:all}",
            ".x{opacity:0}",
            "div .x.y { max-height:0px }",
            "table > u#z{display:none}",
            "@charset 'x'; u{display:none}",
        ] {
            assert!(is_hidden(css, "u", "x y", "z"), "{css}");
        }
        for css in [
            "u{display:block}",
            "u:hover{display:none}",
            "u::before{display:none}",
            "u[x]{display:none}",
            "img + u{display:none}",
            ".x u{display:none}",
            ".w{display:none}",
            "u{",
            "display:none}",
        ] {
            assert!(!is_hidden(css, "u", "x y", "z"), "{css}");
        }
    }

    #[test]
    fn what_would_hide_the_notice_is_known() {
        let hides_notice = |css: &str| {
            let mut sheet = Sheet::default();
            sheet.read(css.as_bytes());
            sheet.hides_notice()
        };
        assert!(hides_notice("table{display:none}") && hides_notice("*{visibility:hidden}"));
        assert!(!hides_notice("table.x{display:none}") && !hides_notice("img+div{display:none}"));
    }
}

//! The judge of an admin's HTML, which is to stand in the middle of somebody's mail: it must neither end what
//! the author began nor begin what it does not end, and a reader must see the link.
//!
//! Only what mail clients show alike is let through; whatever restyles, hides or swallows the
//! author's text is refused by name.

use std::{convert::Infallible, ops::Range};

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use super::{
    super::plain,
    quiet::Quiet,
    scan::{DocumentScan, is_odd_comment},
    tag::Tag,
};

/// The elements of which a notice can be made.
const ELEMENTS: &[&str] = &[
    "a", "abbr", "b", "big", "br", "caption", "center", "code", "col", "colgroup", "dd", "del",
    "div", "dl", "dt", "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "ins",
    "kbd", "li", "mark", "ol", "p", "q", "s", "small", "span", "strike", "strong", "sub", "sup",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "wbr",
];

/// Those of [`ELEMENTS`] that have no content.
const VOID: &[&str] = &["br", "col", "hr", "img", "wbr"];

/// Attributes with an address, and the beginnings that it may have.
const ADDRESSES: [(&str, &[&str]); 4] = [
    ("href", &["https://", "http://", "mailto:", "tel:"]),
    ("src", &["https://", "http://"]),
    ("background", &["https://", "http://"]),
    ("cite", &["https://", "http://"]),
];

/// Something that must not be in the HTML, and its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HtmlFlaw {
    /// Offset at which it begins; `None` if it is about the whole.
    pub(crate) at: Option<usize>,
    /// The reason, for the admin.
    pub(crate) reason: String,
}

/// Returns the first flaw of HTML that is to stand in a mail as a notice with this link.
pub(crate) fn flaw(html: &str, link: &str) -> Option<HtmlFlaw> {
    let mut judge = Judge {
        html: html.as_bytes(),
        link: link.as_bytes(),
        ..Judge::default()
    };
    let sink = |event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
        judge.event(event, span.start..span.end);
        None
    };
    let mut emitter = CallbackEmitter::<_, Infallible, usize>::new(sink);
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, Quiet(emitter)).finish();
    judge.end().or_else(|| misread(html.as_bytes()))
}

/// Returns the flaw that only a scan of the whole shows.
fn misread(html: &[u8]) -> Option<HtmlFlaw> {
    let scan = DocumentScan::of(html);
    (scan.is_lost || scan.is_hidden || scan.is_frameset).then(|| HtmlFlaw {
        at: None,
        reason: "readers would not show it alike".into(),
    })
}

/// Returns true if the next notice, or a reader's client, would take something in it for quoted mail.
pub(crate) fn reads_quoted(html: &str) -> bool {
    let scan = DocumentScan::of(html.as_bytes());
    plain::line_before_quote(scan.reading.text()).is_some()
}

#[derive(Default)]
struct Judge<'a> {
    html: &'a [u8],
    link: &'a [u8],
    tag: Tag,
    attribute: Vec<u8>,
    /// True if the tag leads to the link.
    leads: bool,
    /// The end of the last whole token.
    done: usize,
    open: Vec<OpenElement>,
    /// True if a reader sees the link.
    is_shown: bool,
    flaw: Option<HtmlFlaw>,
}

/// An open element.
struct OpenElement {
    name: &'static str,
    at: usize,
    hides: bool,
    leads: bool,
    has_text: bool,
}

impl Judge<'_> {
    fn event(&mut self, event: CallbackEvent<'_>, span: Range<usize>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.begin(self.done, name);
                self.leads = false;
            }
            CallbackEvent::AttributeName { name } => self.attribute(name),
            CallbackEvent::AttributeValue { value } => self.value(value),
            CallbackEvent::CloseStartTag { .. } => {
                self.start();
                self.done = span.end;
            }
            CallbackEvent::EndTag { name } => {
                self.close(name);
                self.done = span.end;
            }
            CallbackEvent::String { value } => {
                self.text(value);
                self.done = span.end;
            }
            CallbackEvent::Comment { .. } => self.comment(span.end),
            CallbackEvent::Doctype { .. } => {
                self.wrong(self.done, "a document type has no place in a notice".into());
                self.done = span.end;
            }
            CallbackEvent::Error(_) => {}
        }
    }

    fn attribute(&mut self, name: &[u8]) {
        self.tag.attribute(name);
        name.clone_into(&mut self.attribute);
        if name.starts_with(b"on") {
            let name = String::from_utf8_lossy(name).into_owned();
            self.wrong(
                self.tag.start,
                format!("the attribute \"{name}\" is a script"),
            );
        }
    }

    fn value(&mut self, value: &[u8]) {
        self.tag.value(value);
        let name = String::from_utf8_lossy(&self.attribute).into_owned();

        // This is the markup that keeps names from turning into links.
        if memchr::memmem::find(value, b"<span").is_some() {
            let reason = format!(
                "the attribute \"{name}\" has markup in its value: file.name and sender are for text only"
            );
            self.wrong(self.tag.start, reason);
            return;
        }

        let Some((_, starts)) = ADDRESSES.iter().find(|(known, _)| *known == name) else {
            return;
        };

        let text = String::from_utf8_lossy(value).into_owned();
        if !starts.iter().any(|start| text.starts_with(start)) {
            let reason = format!("{name} = {text:?}: must begin with {}", starts.join(" or "));
            self.wrong(self.tag.start, reason);
        }
        self.leads |= name == "href" && value == self.link;
    }

    fn start(&mut self) {
        let at = self.tag.start;
        let known = ELEMENTS
            .iter()
            .find(|known| known.as_bytes() == self.tag.name);

        let Some(&name) = known else {
            let name = String::from_utf8_lossy(&self.tag.name).into_owned();
            let reason = format!("<{name}> has no place in a notice");
            return self.wrong(at, reason);
        };

        if VOID.contains(&name) {
            return;
        }
        if name == "a" && self.open.iter().any(|open| open.name == "a") {
            self.wrong(at, "<a> is in another <a>".into());
        }

        let open = OpenElement {
            name,
            at,
            hides: self.tag.hides(),
            leads: name == "a" && self.leads,
            has_text: false,
        };
        self.open.push(open);
    }

    fn close(&mut self, name: &[u8]) {
        match self.open.pop() {
            Some(open) if open.name.as_bytes() == name => {
                self.is_shown |= open.leads && open.has_text;
            }
            Some(open) => {
                let end = String::from_utf8_lossy(name).into_owned();
                let reason = format!("<{}> is not closed before </{end}>", open.name);
                self.wrong(open.at, reason);
            }
            None => {
                let end = String::from_utf8_lossy(name).into_owned();
                self.wrong(self.done, format!("</{end}> closes nothing"));
            }
        }
    }

    fn text(&mut self, value: &[u8]) {
        let blank = String::from_utf8_lossy(value)
            .chars()
            .all(|c| c.is_whitespace() || crate::names::is_invisible(c));
        let is_hidden = self.open.iter().any(|open| open.hides);
        if !blank && !is_hidden {
            self.open.iter_mut().for_each(|open| open.has_text = true);
        }
    }

    /// Checks a comment; Word's conditional ones are let through.
    fn comment(&mut self, end: usize) {
        let raw = self.html.get(self.done..end).unwrap_or_default();
        let known = raw.starts_with(b"<!--") || raw.starts_with(b"<![");
        if !known || !raw.ends_with(b">") || is_odd_comment(raw) {
            let reason = "a comment that is not closed, or that readers end in different places";
            self.wrong(self.done, reason.into());
        }
        self.done = end;
    }

    /// Records a flaw; the first one counts.
    fn wrong(&mut self, at: usize, reason: String) {
        let at = Some(at);
        self.flaw.get_or_insert(HtmlFlaw { at, reason });
    }

    fn end(mut self) -> Option<HtmlFlaw> {
        if self.done < self.html.len() {
            self.wrong(self.done, "a tag that is not closed".into());
        }
        if let Some(open) = self.open.pop() {
            self.wrong(open.at, format!("<{}> is not closed", open.name));
        }
        if !self.is_shown {
            let reason = "does not show the link: <a href=\"{{ link }}\">, some words, </a>";
            self.flaw.get_or_insert(HtmlFlaw {
                at: None,
                reason: reason.into(),
            });
        }
        self.flaw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA";

    fn reason(html: &str) -> Option<(Option<usize>, String)> {
        flaw(&html.replace("LINK", LINK), LINK).map(|flaw| (flaw.at, flaw.reason))
    }

    #[test]
    fn sound_html_passes() {
        for html in [
            "<a href=\"LINK\">x</a>",
            "<div><p>a<br>b</p><table><tr><td><a href='LINK'><b>x</b></a></td></tr></table></div>",
            "<!--[if mso]><table><tr><td><![endif]--><a href=LINK >x</a><!-- </b> -->",
            "<p>1 < 2 &amp; &lt;b></p><img src=\"https://x.example/a.png\"><hr/><a href=LINK>x</a>",
        ] {
            assert_eq!(reason(html), None, "{html}");
        }
    }

    #[test]
    fn what_would_touch_the_rest_of_the_mail_is_refused() {
        let ok = "<a href=\"LINK\">x</a>";
        for (html, expected) in [
            ("<script>x</script>", "<script> has no place"),
            ("<style>p{}</style>", "<style> has no place"),
            ("<textarea>", "<textarea> has no place"),
            ("<plaintext>", "<plaintext> has no place"),
            ("<blockquote>x</blockquote>", "<blockquote> has no place"),
            ("<meta http-equiv=refresh>", "<meta> has no place"),
            ("<form action=x>", "<form> has no place"),
            ("<!doctype html>", "a document type"),
            ("<!-- x", "a comment that is not closed"),
            ("<!-- x >", "a comment that is not closed"),
            ("<!-- x --!>", "a comment that is not closed"),
            ("<? x >", "a comment that is not closed"),
            ("<p title='x", "a tag that is not closed"),
            ("<p", "a tag that is not closed"),
            ("</div>", "</div> closes nothing"),
            ("<div>", "<div> is not closed"),
            ("<div><p></div>", "<p> is not closed before </div>"),
            (
                "<p onclick=x>a</p>",
                "the attribute \"onclick\" is a script",
            ),
            (
                "<p title='a<span>b'>a</p>",
                "the attribute \"title\" has markup",
            ),
            (
                "<a href='javascript:x'>a</a>",
                "href = \"javascript:x\": must",
            ),
            ("<img src='data:x'>", "src = \"data:x\": must"),
        ] {
            let (_, reason) = reason(&format!("{ok}{html}")).expect(html);
            assert!(reason.starts_with(expected), "{html}: {reason}");
        }
    }

    #[test]
    fn what_reads_like_quoted_mail_is_known() {
        for html in [
            "<div class=gmail_quote>x</div>",
            "<p>-- </p><p>x</p>",
            "<div id=appendonsend></div>",
        ] {
            assert!(reads_quoted(html), "{html}");
        }
        assert!(!reads_quoted("<p>From: me</p><p>- x</p>"));
    }

    #[test]
    fn a_link_that_no_reader_sees_is_none() {
        for html in [
            "",
            "LINK",
            "<!-- <a href=\"LINK\">x</a> -->",
            "<a href=\"LINK\"></a>",
            "<a href=\"LINK\"> &nbsp; <img src='https://x.example/' alt=x></a>",
            "<a href=\"LINK2\">x</a>",
            "<div style='display:none'><a href=\"LINK\">x</a></div>",
            "<a href=\"LINK\"><span hidden>x</span></a>",
            "<a href=\"LINK\" style='visibility:hidden'>x</a>",
        ] {
            let (at, reason) = reason(html).expect(html);
            assert_eq!(at, None);
            assert!(reason.starts_with("does not show the link"), "{reason}");
        }
    }

    #[test]
    fn the_place_of_a_flaw_is_that_of_its_tag() {
        assert_eq!(reason("a\n<b>b\n<i></b>").unwrap().0, Some(7));
        assert_eq!(reason("a\n</b>").unwrap().0, Some(2));
    }
}

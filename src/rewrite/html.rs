//! Where the notice goes in HTML.
//!
//! `html5gum` tokenizes as browsers do and says where each token stands. (`lol_html` would do as
//! well, but is made to rewrite, and hands out no offsets of what it leaves alone.) No tree is
//! built: a place counts as safe only while nothing is open that could hide or tear the notice,
//! and nothing came before it that readers are known to tokenize differently. The place after
//! `<body>`, or before the first content, has all of the author's document behind it, so it is
//! what everything falls back to.

use std::convert::Infallible;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use super::insert::CannotTake;
use crate::config::Position;

/// Elements of the head: they show nothing.
const HEAD: &[&[u8]] = &[
    b"base",
    b"basefont",
    b"bgsound",
    b"head",
    b"html",
    b"link",
    b"meta",
    b"script",
    b"style",
    b"title",
];

/// Elements whose content is no markup, and that browsers and tokenizers agree on.
const RAW: &[&[u8]] = &[b"script", b"style", b"textarea", b"title"];

/// Elements after which readers do not agree on what is markup (scripting on or off, foreign
/// content, content models that mail clients do not know).
const TREACHEROUS: &[&[u8]] = &[
    b"frameset",
    b"iframe",
    b"math",
    b"noembed",
    b"noframe",
    b"noframes",
    b"noscript",
    b"plaintext",
    b"select",
    b"svg",
    b"template",
    b"xmp",
];

/// Elements inside which the notice would be hidden, torn, or part of something else.
const ENCLOSING: &[&[u8]] = &[
    b"a", b"applet", b"audio", b"button", b"canvas", b"details", b"dialog", b"listing", b"map",
    b"object", b"pre", b"table", b"video",
];

/// How much of an attribute's value is looked at.
const VALUE_BYTES_MAX: usize = 1024;

/// Where the notice goes.
///
/// # Errors
/// There is no place where it is sure to be seen: the document is a frameset, or the tokenizer
/// lost its way.
pub(super) fn place(html: &[u8], position: Position) -> Result<usize, CannotTake> {
    let scan = Scan::of(html);
    if scan.frameset {
        return Err(CannotTake("frameset"));
    }
    if scan.lost {
        return Err(CannotTake("html"));
    }
    let start = scan.start();
    Ok(match position {
        Position::Start => start,
        Position::End => scan.end().unwrap_or(start),
        Position::BeforeQuote => scan.before_quote().unwrap_or(start),
    })
}

/// A place, and whether the notice is safe there.
type Candidate = (usize, bool);

/// A start tag, as far as it matters.
#[derive(Debug, Default)]
struct Tag {
    start: usize,
    name: Vec<u8>,
    attribute: Vec<u8>,
    class: Vec<u8>,
    id: Vec<u8>,
    style: Vec<u8>,
    kind: Vec<u8>,
}

/// What an element means for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Encloses quoted text or introduces it.
    Quote,
    /// From here on all is quoted.
    Rest,
    /// The author's signature.
    Signature,
}

#[derive(Debug, Default)]
struct Scan<'a> {
    html: &'a [u8],
    tag: Tag,
    /// The end of the last whole token.
    done: usize,
    body: Option<usize>,
    content: Option<usize>,
    frameset: bool,
    /// The tokenizer's offsets do not agree with the bytes.
    lost: bool,
    /// The start of an element of [`RAW`] that is open.
    raw: Option<usize>,
    treacherous: bool,
    /// How many elements are open, for each of [`ENCLOSING`].
    enclosing: [usize; ENCLOSING.len()],
    body_end: Option<Candidate>,
    html_end: Option<Candidate>,
    /// The open `div`s and `blockquote`s, each with whether it is marked.
    blocks: Vec<(Block, bool)>,
    open_blocks: [usize; 2],
    marked_blocks: usize,
    first_mark: Option<Candidate>,
    quoted: bool,
    answered: bool,
    /// The first signature below an answer to the quote.
    signature_below: Option<Candidate>,
    settled: bool,
}

/// The elements that mail clients quote with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Div,
    Blockquote,
}

impl<'a> Scan<'a> {
    fn of(html: &'a [u8]) -> Self {
        let bom = if html.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        let mut scan = Self {
            html,
            done: bom,
            ..Self::default()
        };
        let sink = |event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
            scan.event(event, span.start + bom..span.end + bom);
            None
        };
        let mut emitter = CallbackEmitter::<_, Infallible, usize>::new(sink);
        emitter.naively_switch_states(true);
        let Ok(()) = Tokenizer::new_with_emitter(&html[bom..], emitter).finish();
        scan
    }

    fn event(&mut self, event: CallbackEvent<'_>, span: std::ops::Range<usize>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag = Tag {
                    start: self.done,
                    name: name.to_vec(),
                    ..Tag::default()
                };
            }
            CallbackEvent::AttributeName { name } => self.tag.attribute = name.to_vec(),
            CallbackEvent::AttributeValue { value } => self.tag.set(value),
            CallbackEvent::CloseStartTag { .. } => {
                let tag = std::mem::take(&mut self.tag);
                self.check_tag(tag.start, span.end);
                self.start_tag(&tag, span.end);
                self.done = span.end;
            }
            CallbackEvent::EndTag { name } => {
                self.check_tag(self.done, span.end);
                self.end_tag(name);
                self.done = span.end;
            }
            CallbackEvent::String { value } => {
                self.text(value);
                self.done = span.end;
            }
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } => {
                self.comment(span.end);
            }
            CallbackEvent::Error(_) => {}
        }
    }

    /// A tag starts with `<` and ends with `>`: if not, no offset can be relied on.
    fn check_tag(&mut self, start: usize, end: usize) {
        let tag = self.html.get(start..end).unwrap_or_default();
        self.lost |= !(tag.starts_with(b"<") && tag.ends_with(b">"));
    }

    fn start_tag(&mut self, tag: &Tag, end: usize) {
        let name = &*tag.name;
        if name == b"body" {
            if self.content.is_none() && self.body.is_none() {
                self.body = Some(end);
            }
            return;
        }
        if name == b"frameset" && self.content.is_none() && self.body.is_none() {
            self.frameset = true;
        }
        self.mark(tag);
        if !HEAD.contains(&name) {
            self.content.get_or_insert(tag.start);
        }
        if RAW.contains(&name) {
            self.raw = Some(tag.start);
        }
        if TREACHEROUS.contains(&name) {
            self.treacherous = true;
        }
        if let Some(i) = ENCLOSING.iter().position(|other| *other == name) {
            self.enclosing[i] += 1;
        }
    }

    fn end_tag(&mut self, name: &[u8]) {
        if RAW.contains(&name) {
            self.raw = None;
        }
        if let Some(i) = ENCLOSING.iter().position(|other| *other == name) {
            self.enclosing[i] = self.enclosing[i].saturating_sub(1);
        }
        match name {
            b"body" => self.body_end = Some(self.here()),
            b"html" => self.html_end = Some(self.here()),
            _ => {}
        }
        if let Some(block) = Block::of(name) {
            self.close(block);
        }
    }

    fn text(&mut self, value: &[u8]) {
        if let Some(start) = self.raw {
            // Readers differ on a `<` in there.
            let doubtful = if self.is_text_like(start) {
                &b"<"[..]
            } else {
                b"<!--"
            };
            if memchr::memmem::find(value, doubtful).is_some() {
                self.distrust(start);
            }
            return;
        }
        if value.iter().all(|b| b.is_ascii_whitespace()) {
            return;
        }
        self.content.get_or_insert(self.done);
        let blank = |b: &u8| b.is_ascii_whitespace() || matches!(b, 0xa0 | 0xc2);
        if self.quoted && !self.settled && self.marked_blocks == 0 && !value.iter().all(blank) {
            self.answered = true;
        }
    }

    /// True for `<title>` and `<textarea>`, the raw elements that are text.
    fn is_text_like(&self, start: usize) -> bool {
        self.html[start..].get(1..3).is_some_and(|name| {
            name.eq_ignore_ascii_case(b"ti") || name.eq_ignore_ascii_case(b"te")
        })
    }

    /// A comment or its like. One that the document's end cuts off is not done.
    fn comment(&mut self, end: usize) {
        let raw = self
            .html
            .get(self.done..end.min(self.html.len()))
            .unwrap_or_default();
        self.lost |= !raw.starts_with(b"<");
        if !raw.ends_with(b">") {
            self.treacherous = true;
            return;
        }
        if is_odd_comment(raw) {
            self.distrust(self.done);
        }
        self.done = end;
    }

    /// From here on readers may differ.
    fn distrust(&mut self, at: usize) {
        self.treacherous = true;
        if self.body.is_none() {
            self.content.get_or_insert(at);
        }
    }

    fn mark(&mut self, tag: &Tag) {
        let mark = tag.mark();
        match mark {
            Some(Mark::Signature) if self.answered => {
                self.signature_below.get_or_insert(self.here());
                self.settled = true;
            }
            Some(mark) => {
                self.first_mark.get_or_insert(self.here());
                self.settled |= mark == Mark::Rest || (mark == Mark::Signature && self.quoted);
                self.quoted |= mark == Mark::Quote;
            }
            None => {}
        }
        if let Some(block) = Block::of(&tag.name) {
            let marked = mark.is_some();
            self.blocks.push((block, marked));
            self.open_blocks[block as usize] += 1;
            self.marked_blocks += usize::from(marked);
        }
    }

    /// Closes the innermost block of this kind and all in it, if there is one.
    fn close(&mut self, block: Block) {
        if self.open_blocks[block as usize] == 0 {
            return;
        }
        while let Some((closed, marked)) = self.blocks.pop() {
            self.open_blocks[closed as usize] -= 1;
            self.marked_blocks -= usize::from(marked);
            if closed == block {
                return;
            }
        }
    }

    /// The place before the token that is being read.
    fn here(&self) -> Candidate {
        let enclosed = self.enclosing.iter().any(|&open| open > 0);
        (
            self.done,
            !self.treacherous && !enclosed && self.raw.is_none(),
        )
    }

    fn start(&self) -> usize {
        self.body.or(self.content).or(self.raw).unwrap_or(self.done)
    }

    fn end(&self) -> Option<usize> {
        let last = || {
            let (at, safe) = self.here();
            (at, safe && at == self.html.len())
        };
        let (at, safe) = self.body_end.or(self.html_end).unwrap_or_else(last);
        safe.then_some(at)
    }

    fn before_quote(&self) -> Option<usize> {
        if self.answered {
            return match self.signature_below {
                Some((at, safe)) => safe.then_some(at),
                None => self.end(),
            };
        }
        match self.first_mark {
            Some((at, safe)) => safe.then_some(at),
            None => self.end(),
        }
    }
}

impl Tag {
    fn set(&mut self, value: &[u8]) {
        let value = &value[..value.len().min(VALUE_BYTES_MAX)];
        let kept = match &*self.attribute {
            b"class" => &mut self.class,
            b"id" => &mut self.id,
            b"style" => &mut self.style,
            b"type" => &mut self.kind,
            _ => return,
        };
        *kept = value.to_ascii_lowercase();
    }

    /// What mail clients say with this element.
    fn mark(&self) -> Option<Mark> {
        let classes = || self.class.split(u8::is_ascii_whitespace);
        let class = |names: &[&[u8]]| classes().any(|class| names.contains(&class));
        if self.name == b"blockquote" && self.kind == b"cite"
            || class(&[
                b"gmail_quote",
                b"gmail_quote_container",
                b"moz-cite-prefix",
                b"yahoo_quoted",
            ])
        {
            return Some(Mark::Quote);
        }
        if class(&[
            b"moz-signature",
            b"gmail_signature",
            b"gmail_signature_prefix",
        ]) || matches!(
            &*self.id,
            b"signature" | b"ms-outlook-mobile-signature" | b"applemailsignature"
        ) {
            return Some(Mark::Signature);
        }
        let rest = matches!(
            &*self.id,
            b"appendonsend" | b"divrplyfwdmsg" | b"reply-intro"
        ) || class(&[b"moz-forward-container"])
            || self.name == b"div" && self.is_outlook_rule();
        rest.then_some(Mark::Rest)
    }

    /// `border-top:solid #E1E1E1 1.0pt`, which Outlook puts above the quoted header; older ones
    /// have `#B5C4DF`.
    fn is_outlook_rule(&self) -> bool {
        let style: Vec<u8> = self
            .style
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        [&b"border-top:solid#e1e1e1"[..], b"border-top:solid#b5c4df"]
            .iter()
            .any(|rule| memchr::memmem::find(&style, rule).is_some())
    }
}

impl Block {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"div" => Some(Self::Div),
            b"blockquote" => Some(Self::Blockquote),
            _ => None,
        }
    }
}

/// True for a comment whose end readers see in different places.
fn is_odd_comment(raw: &[u8]) -> bool {
    if let Some(declaration) = raw.strip_prefix(b"<![") {
        let known = declaration.starts_with(b"if") || declaration.starts_with(b"endif");
        return !(known && declaration.ends_with(b"]>"));
    }
    let Some(inner) = raw.strip_prefix(b"<!--") else {
        return false;
    };
    let Some(inner) = inner.strip_suffix(b"-->") else {
        return true;
    };
    if inner.starts_with(b">") || inner.starts_with(b"->") {
        return true;
    }
    let mut dashes = 0;
    inner.iter().any(|b| {
        match b {
            b'-' => dashes += 1,
            b'!' | b' ' | b'\t' | b'\r' | b'\n' if dashes > 1 => {}
            b'>' if dashes > 1 => return true,
            _ => dashes = 0,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Documents made of what tokenizers stumble over.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"<",
            b">",
            b"/",
            b"!",
            b"-",
            b"--",
            b"<!--",
            b"-->",
            b"\"",
            b"'",
            b"=",
            b" ",
            b"\r\n",
            b"\n",
            b"&amp;",
            b"&am",
            b"&#",
            b"&#x41;",
            b"&notin",
            b"<a ",
            b"</a>",
            b"<body>",
            b"</body>",
            b"<body ",
            b"<title>",
            b"</title>",
            b"<script>",
            b"</script>",
            b"<textarea>",
            b"<![CDATA[",
            b"]]>",
            b"<!doctype html>",
            b"<!doctype",
            b"<?xml",
            b"a",
            b"\xe9",
            b"\xc3\xa9",
            b"\xff",
            b"<blockquote type=cite>",
            b"<div class=gmail_quote>",
            b"</div>",
            b"<table>",
            b"\xf0\x9f",
            b"<br/>",
            b"\x0c",
            b"<plaintext>",
            b"</title ",
            b"\xef\xbb\xbf",
            b"</",
            b"<svg>",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|p| p.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_place_is_always_between_two_tokens(html in hostile()) {
            for position in [Position::Start, Position::End, Position::BeforeQuote] {
                let found = place(&html, position);
                if let Ok(at) = found {
                    let (before, after) = html.split_at(at);
                    prop_assert!(place(before, Position::Start).is_ok_and(|start| start <= at));
                    let whole = before.is_empty() || after.is_empty() || before.ends_with(b">");
                    let text = !before.ends_with(b"<") && str::from_utf8(before).is_ok();
                    prop_assert!(whole || after.starts_with(b"<") || text || !html.is_ascii());
                }
                prop_assert_ne!(found, Err(CannotTake("html")));
            }
        }
    }

    /// The document with `@@` where the notice goes, which must be where `@@` stands in it.
    fn check(position: Position, marked: &str) {
        let html = marked.replacen("@@", "", 1);
        let at = place(html.as_bytes(), position).unwrap();
        assert_eq!(format!("{}@@{}", &html[..at], &html[at..]), marked);
    }

    #[test]
    fn the_start_is_after_the_body_tag_or_before_the_first_content() {
        for marked in [
            "@@",
            "@@a",
            "@@<p>a",
            "<html><body>@@a</body></html>",
            "<HTML><BODY BGCOLOR='>'>@@a</BODY></HTML>",
            "<!doctype html><html><head><title>t</title><style>p{}</style></head>\n<body>@@\n<p>a",
            "<?xml version=\"1.0\"?><html><body class=\"x\"/>@@<p>a</p></body></html>",
            "<html><head><meta charset=x></head>\n@@<p>a</p><body>b",
            "<!-- <body> -->@@<p>a",
            "<script>'<body>'</script>@@<p>a",
            "<html><head>@@<title>abc",
            "<html><head>@@<style>abc <body>",
            "<html><!-- a -->@@<!-- b <body>",
            "<html><head>@@<title><!-- </title><body>a",
            "@@<img src=\"x <body>",
            "<html>@@<im",
            "<body>@@<img src=\"x",
            "<html><head></head>@@",
            "\u{feff}@@a",
            "\u{feff}<html>@@a",
        ] {
            check(Position::Start, marked);
        }
    }

    #[test]
    fn the_end_is_before_the_last_real_body_end() {
        for marked in [
            "<html><body>a@@</body></html>",
            "<HTML><BODY>a@@</BODY></HTML>",
            "<p>a@@</html>",
            "<p>a</p>@@",
            "<body>a</body>b@@</body>",
            "<body><table><tr><td>a</td></tr></table>@@</body>",
            "<body><script>var x=\"</body>\";</script><p>a</p>@@</body></html>",
            "<body><!--[if mso]><table><tr><td></body><![endif]-->a@@</body></html>",
            "<body><![if !mso]>a<![endif]>@@</body>",
            "<body><textarea>a</textarea>a@@</body>",
        ] {
            check(Position::End, marked);
        }
    }

    #[test]
    fn what_is_not_safe_falls_back_to_the_start() {
        for marked in [
            "<body>@@<plaintext>a</body>",
            "<body>@@<p>a</p><textarea>",
            "<body>@@<textarea></body></textarea>a</body>",
            "<body>@@<p>a</p><!-- ",
            "<body>@@<p>a</p><img src=\"x",
            "<body>@@<template></body></template>a</body>",
            "<body>@@<noscript>a</noscript></body>",
            "<body>@@<select><option>a</select></body>",
            "<body>@@<table><tr><td>a</body>",
            "<body>@@<a href=x>a</body>",
            "<body>@@<pre>a</body>",
            "<body>@@<svg><title></body></title></svg></body>",
            "<body>@@<!-- a --!> b --></body>",
            "<body>@@<!--> a --></body>",
            "<body>@@<![CDATA[ > ]]></body>",
            "<body>@@<![endif]-->a</body>",
        ] {
            check(Position::End, marked);
            check(Position::BeforeQuote, marked);
            check(Position::Start, marked);
        }
    }

    #[test]
    fn the_notice_follows_the_authors_text() {
        for marked in [
            "<body>a<br>@@</body>",
            "<body>a<br>@@<blockquote type=\"cite\">q</blockquote></body>",
            "<body>a<br>@@<BLOCKQUOTE TYPE=CITE>q</BLOCKQUOTE>&nbsp;</body>",
            "<div>a</div><br>@@<div class=\"gmail_quote gmail_quote_container\">q</div>",
            "<div>a</div>@@<div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\">q</div>b",
            "<body>a@@<div class=\"moz-cite-prefix\">q:</div><blockquote type=cite>q</blockquote>",
            "<body>a@@<div class=moz-signature>-- <br>J</div></body>",
            "<body>a@@<div style='border:none; border-top: solid #E1E1E1 1.0pt'>q</div>r</body>",
            "<body>a@@<span class=\"gmail_signature_prefix\">-- </span><div class=gmail_signature>",
            "<body>a@@<div id=Signature>J</div><div id=appendonsend></div>b</body>",
        ] {
            check(Position::BeforeQuote, marked);
        }
    }

    #[test]
    fn an_answer_below_the_quote_is_not_cut_from_it() {
        for marked in [
            "<body><blockquote type=cite><div>q</div></blockquote>a@@</body>",
            "<body><div class=moz-cite-prefix>x:</div><blockquote type=cite>q</blockquote>\
             <p>a</p>@@<div class=moz-signature>J</div></body>",
        ] {
            check(Position::BeforeQuote, marked);
        }
    }

    #[test]
    fn a_frameset_is_refused() {
        let html = b"<html><frameset><frame src=x></frameset></html>";
        assert_eq!(place(html, Position::Start), Err(CannotTake("frameset")));
    }

    #[test]
    fn hostile_documents_take_linear_time() {
        for unit in [
            "<div>",
            "</blockquote>",
            "<!--",
            "<a b='",
            "-- ",
            "<!---",
            "&amp",
            "<p x x x",
        ] {
            let html = format!("<blockquote type=cite>{}", unit.repeat(100_000));
            assert!(place(html.as_bytes(), Position::BeforeQuote).is_ok());
        }
    }
}

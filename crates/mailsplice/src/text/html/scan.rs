//! The tokens of a document, its open elements, and its safe places.

use std::{convert::Infallible, ops::Range, sync::LazyLock};

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use super::{
    super::plain,
    quiet::Quiet,
    reading::{Point, VisibleText},
    sheet::Sheet,
    tag::{Mark, Tag},
};

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

/// Elements whose content is no markup, and on which browsers and tokenizers agree.
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

/// Those of [`TREACHEROUS`] in which a `<body>` is one for all readers.
const OPEN: &[&[u8]] = &[b"math", b"noscript", b"svg"];

/// Elements inside which the notice would be hidden, torn, or part of something else.
const ENCLOSING: &[&[u8]] = &[
    b"a", b"applet", b"audio", b"button", b"canvas", b"details", b"dialog", b"listing", b"map",
    b"object", b"pre", b"table", b"video",
];

/// Elements that are closed together with their table.
const CELLS: &[&[u8]] = &[b"tbody", b"td", b"th", b"thead", b"tr"];

/// Elements without content, which a style may hide.
const VOID: &[&[u8]] = &[b"br", b"hr", b"img", b"input", b"wbr"];

/// Elements whose openings and closings are followed, since they may be marked or hidden.
const BLOCKS: &[&[u8]] = &[
    b"article",
    b"aside",
    b"blockquote",
    b"center",
    b"div",
    b"footer",
    b"header",
    b"main",
    b"p",
    b"section",
    b"span",
];

/// Indices of those of [`BLOCKS`] that are asked for.
const BLOCKQUOTE: usize = 2;
const P: usize = 8;
const SPAN: usize = 10;
const _: () = assert!(
    matches!(BLOCKS[BLOCKQUOTE], b"blockquote")
        && matches!(BLOCKS[P], b"p")
        && matches!(BLOCKS[SPAN], b"span")
);

/// Number of innermost blocks in which an open paragraph or a place of quotes is looked for.
const SPANS_MAX: usize = 64;

/// Other elements that begin and end a line.
const LINES: &[&[u8]] = &[
    b"address", b"br", b"dd", b"dl", b"dt", b"h1", b"h2", b"h3", b"h4", b"h5", b"h6", b"hr", b"li",
    b"ol", b"pre", b"table", b"tr", b"ul",
];

/// An element by all these lists: one look-up of a name instead of one for each list.
#[derive(Clone, Copy, Debug, Default)]
struct Element {
    is_head: bool,
    is_raw: bool,
    is_treacherous: bool,
    is_sealing: bool,
    breaks_line: bool,
    enclosing: Option<usize>,
    block: Option<usize>,
}

/// An element and its name.
type Named = (&'static [u8], Element);

/// The elements of all lists, by the first letters of their names.
static ELEMENTS: LazyLock<[Vec<Named>; 26]> = LazyLock::new(|| {
    let mut by_letter = [const { Vec::new() }; 26];
    for list in [HEAD, RAW, TREACHEROUS, ENCLOSING, BLOCKS, LINES] {
        for &name in list {
            let same = &mut by_letter[usize::from(name[0] - b'a')];
            same.push((name, Element::in_lists(name)));
        }
    }
    by_letter
});

impl Element {
    fn in_lists(name: &[u8]) -> Self {
        let place = |list: &[&[u8]]| list.iter().position(|other| *other == name);
        Self {
            is_head: HEAD.contains(&name),
            is_raw: RAW.contains(&name),
            is_treacherous: TREACHEROUS.contains(&name),
            is_sealing: TREACHEROUS.contains(&name) && !OPEN.contains(&name),
            breaks_line: name != b"span" && BLOCKS.contains(&name) || LINES.contains(&name),
            enclosing: place(ENCLOSING),
            block: place(BLOCKS),
        }
    }

    fn of(name: &[u8]) -> Self {
        let letter = name.first().map(|first| first.wrapping_sub(b'a'));
        let same = letter.and_then(|letter| ELEMENTS.get(usize::from(letter)));
        let found = same.and_then(|same| same.iter().find(|(other, _)| *other == name));
        found.map_or_else(Self::default, |&(_, element)| element)
    }
}

/// A document that was read.
#[derive(Debug, Default)]
pub(super) struct DocumentScan<'a> {
    /// True if there are frames instead of a body.
    pub(super) is_frameset: bool,
    /// True if nothing of the body is shown.
    pub(super) is_hidden: bool,
    /// True if the tokenizer's offsets disagree with the bytes.
    pub(super) is_lost: bool,
    /// The lines that a reader sees.
    pub(super) reading: VisibleText,
    html: &'a [u8],
    tag: Tag,
    /// The end of the last whole token.
    done: usize,
    body: Option<usize>,
    content: Option<usize>,
    in_head: bool,
    /// The start of an open element of [`RAW`].
    raw: Option<usize>,
    treacherous: bool,
    /// True if an element was opened in which nothing is markup for some readers.
    is_sealed: bool,
    /// Number of open elements, for each of [`ENCLOSING`].
    enclosing: [usize; ENCLOSING.len()],
    enclosed: usize,
    /// The place before the outermost of these.
    outside: Option<usize>,
    /// The last end of the body, if any: a safe place there.
    body_end: Option<Option<usize>>,
    /// The last end of the document, if any: a safe place there.
    html_end: Option<Option<usize>>,
    blocks: Vec<OpenBlock>,
    /// Number of open elements, for each of [`BLOCKS`].
    open_blocks: [usize; BLOCKS.len()],
    quoting: usize,
    hiding: usize,
    /// The elements that the style sheets so far hide.
    sheet: Sheet,
}

/// An open element of [`BLOCKS`].
#[derive(Clone, Copy, Debug)]
struct OpenBlock {
    /// Its index in [`BLOCKS`].
    index: usize,
    quotes: bool,
    hides: bool,
    /// The point at which it began, if it quotes once a `<blockquote>` in it does.
    may_quote: Option<Point>,
}

impl<'a> DocumentScan<'a> {
    /// Reads a document.
    pub(super) fn of(html: &'a [u8]) -> Self {
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
        let Ok(()) = Tokenizer::new_with_emitter(&html[bom..], Quiet(emitter)).finish();

        scan.reading.end_line();
        scan
    }

    /// Returns the place after `<body>`, or before the first content.
    pub(super) fn start(&self) -> usize {
        self.body.or(self.content).or(self.raw).unwrap_or(self.done)
    }

    /// Returns the place before the last `</body>`, if it is safe.
    pub(super) fn end(&self) -> Option<usize> {
        let last = || self.here().filter(|_| self.done == self.html.len());
        self.body_end.or(self.html_end).unwrap_or_else(last)
    }

    fn event(&mut self, event: CallbackEvent<'_>, span: Range<usize>) {
        match event {
            CallbackEvent::OpenStartTag { name } => self.tag.begin(self.done, name),
            CallbackEvent::AttributeName { name } => self.tag.attribute(name),
            CallbackEvent::AttributeValue { value } => self.tag.value(value),
            CallbackEvent::CloseStartTag { .. } => {
                self.check_tag(self.tag.start, span.end);
                self.start_tag(span.end);
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

    /// Checks that a tag starts with `<` and ends with `>`: if not, no offset can be relied on.
    fn check_tag(&mut self, start: usize, end: usize) {
        let tag = self.html.get(start..end).unwrap_or_default();
        self.is_lost |= !(tag.starts_with(b"<") && tag.ends_with(b">"));
    }

    fn start_tag(&mut self, end: usize) {
        let name = &*self.tag.name;
        let is_first = self.content.is_none() && self.body.is_none();
        match name {
            b"body" => {
                if is_first || self.end_head() {
                    self.body = Some(end);
                }
                self.is_hidden |= self.tag.hides();
                return;
            }
            b"head" => self.in_head |= is_first,
            _ => {}
        }

        let element = Element::of(name);
        self.is_frameset |= name == b"frameset" && is_first;
        let mark = self.tag.mark().or_else(|| self.mark_of_blockquote(element));
        if !element.is_head {
            self.content.get_or_insert(self.tag.start);
            self.read_tag(element, mark);
        }

        // The end of a hidden element is known only if the element is followed.
        let is_followed = element.block.is_some()
            || element.enclosing.is_some()
            || CELLS.contains(&&*self.tag.name) && self.is_enclosed();
        if !is_followed && !VOID.contains(&&*self.tag.name) && self.sheet.hides(&self.tag) {
            self.treacherous = true;
        }

        if element.is_raw {
            self.raw = Some(self.tag.start);
        }
        self.treacherous |= element.is_treacherous;
        self.is_sealed |= element.is_sealing;

        if let Some(i) = element.enclosing {
            if !self.is_enclosed() {
                self.outside = self.here();
            }
            self.enclosing[i] += 1;
            self.enclosed += 1;
        }

        if let Some(index) = element.block {
            self.open(index, mark);
        }
    }

    fn end_tag(&mut self, name: &[u8]) {
        let element = Element::of(name);
        if element.is_raw {
            self.end_raw(name);
        }
        if element.breaks_line {
            self.reading.end_line();
        }

        match name {
            b"head" => _ = self.end_head(),
            b"body" => self.body_end = Some(self.here()),
            b"html" => self.html_end = Some(self.here()),
            _ => {}
        }

        if let Some(i) = element.enclosing
            && self.enclosing[i] > 0
        {
            self.enclosing[i] -= 1;
            self.enclosed -= 1;
        }
        if let Some(index) = element.block {
            self.close(index);
        }
    }

    /// Ends the head, if one is open and nothing hides its end; returns true if so. Text that was written in
    /// it is no content: browsers show it, but others leave out all that stands in a head.
    fn end_head(&mut self) -> bool {
        let ends = self.in_head && !self.is_sealed && self.raw.is_none();
        if ends {
            self.in_head = false;
            self.content = None;
        }
        ends
    }

    fn text(&mut self, value: &[u8]) {
        if self.raw.is_some() {
            return;
        }
        if value.iter().all(|b| b.is_ascii_whitespace()) {
            self.reading.push_text(b" ");
            return;
        }
        self.content.get_or_insert(self.done);
        if self.hiding == 0 {
            self.reading.begin_line(self.here());
            self.reading.push_text(value);
        }
    }

    /// Ends a raw element. If readers could see its end elsewhere, they may differ from here on.
    fn end_raw(&mut self, name: &[u8]) {
        if let Some(start) = self.raw.take() {
            let content = self.html.get(start..self.done).unwrap_or_default();
            if is_odd_raw(name, content) {
                self.distrust(start);
            }
            if name == b"style" {
                let css = memchr::memchr(b'>', content).map_or(content, |end| &content[end + 1..]);
                self.sheet.read(css);
                self.is_hidden |= self.sheet.hides_notice();
            }
        }
    }

    /// Handles a comment or its like. One that the document's end cuts off is not done.
    fn comment(&mut self, end: usize) {
        let raw = self
            .html
            .get(self.done..end.min(self.html.len()))
            .unwrap_or_default();
        self.is_lost |= !raw.starts_with(b"<");
        if !raw.ends_with(b">") {
            self.treacherous = true;
            return;
        }
        if is_odd_comment(raw) {
            self.distrust(self.done);
        }
        self.done = end;
    }

    /// Records that readers may differ from here on.
    fn distrust(&mut self, at: usize) {
        self.treacherous = true;
        if self.body.is_none() {
            self.content.get_or_insert(at);
        }
    }

    /// Hands a start tag to the reading.
    fn read_tag(&mut self, element: Element, mark: Option<Mark>) {
        let is_shown = self.quoting == 0 && self.hiding == 0;
        let mark = mark.filter(|_| is_shown);
        if element.breaks_line || mark.is_some() {
            self.reading.end_line();
        }
        self.reading.begin_line(self.here());
        if let Some(mark) = mark {
            self.reading.mark(mark);
        }
        if matches!(&*self.tag.name, b"br" | b"hr") {
            self.reading.end_line();
        }
    }

    /// Recognizes a `<blockquote>` of which only the line before it, or the element around both,
    /// says that it quotes. In the latter case that element is marked instead.
    fn mark_of_blockquote(&mut self, element: Element) -> Option<Mark> {
        if element.block != Some(BLOCKQUOTE) || self.quoting > 0 || self.hiding > 0 {
            return None;
        }
        self.reading.end_line();
        if plain::ends_attribution(self.reading.text()) {
            return Some(Mark::Quote);
        }

        let blocks = self.blocks.iter_mut().rev().take(SPANS_MAX);
        let around = blocks.filter(|block| block.may_quote.is_some()).last()?;
        if self.reading.quotes_since(around.may_quote.take()?) {
            around.quotes = true;
            self.quoting += 1;
            self.reading.set_quoted(true);
        }
        None
    }

    fn open(&mut self, index: usize, mark: Option<Mark>) {
        if index != SPAN {
            self.close_paragraph();
        }
        let may_quote = (mark.is_none() && self.quoting == 0 && self.tag.may_quote())
            .then(|| self.reading.point(self.here()));
        let block = OpenBlock {
            index,
            quotes: mark == Some(Mark::Quote),
            hides: self.tag.hides() || self.sheet.hides(&self.tag),
            may_quote,
        };
        self.open_blocks[index] += 1;
        self.quoting += usize::from(block.quotes);
        self.hiding += usize::from(block.hides);
        self.reading.set_quoted(self.quoting > 0);
        self.blocks.push(block);
    }

    /// Closes the innermost element of this kind and all in it, if there is one. The end of a
    /// `span` closes nothing but a `span`.
    fn close(&mut self, index: usize) {
        let inner = self.blocks.last().map(|block| block.index);
        if self.open_blocks[index] == 0 || index == SPAN && inner != Some(index) {
            return;
        }
        while let Some(closed) = self.blocks.pop() {
            self.open_blocks[closed.index] -= 1;
            self.quoting -= usize::from(closed.quotes);
            self.hiding -= usize::from(closed.hides);
            if closed.index == index {
                break;
            }
        }
        self.reading.set_quoted(self.quoting > 0);
    }

    /// Closes a paragraph, which ends where another block begins.
    fn close_paragraph(&mut self) {
        let inner = self
            .blocks
            .iter()
            .rev()
            .take(SPANS_MAX)
            .find(|block| block.index != SPAN);
        if inner.is_some_and(|block| block.index == P) {
            self.close(P);
        }
    }

    fn is_enclosed(&self) -> bool {
        self.enclosed > 0
    }

    /// Returns the place before the token that is being read, or before the elements that enclose
    /// it, if it is safe.
    fn here(&self) -> Option<usize> {
        let is_quoted = self.quoting > 0 || self.open_blocks[BLOCKQUOTE] > 0;
        if self.treacherous || self.raw.is_some() || is_quoted || self.hiding > 0 {
            None
        } else if self.is_enclosed() {
            self.outside
        } else {
            Some(self.done)
        }
    }
}

/// Returns true for a comment whose end readers see in different places.
pub(super) fn is_odd_comment(raw: &[u8]) -> bool {
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

/// Returns true for the start tag and content of a raw element whose end readers may see in
/// different places. A stray `<b>` in a title is no reason for that. Word puts its styles into a
/// comment, and all agree on its end as long as it is closed.
fn is_odd_raw(name: &[u8], raw: &[u8]) -> bool {
    let content = memchr::memchr(b'>', raw).map_or(raw, |end| &raw[end + 1..]);

    if matches!(name, b"title" | b"textarea") {
        let is_odd = |at: usize| {
            let tag = content[at + 1..].strip_prefix(b"/");
            let tag = tag.unwrap_or(&content[at + 1..]);
            let name = tag.split(|b| !b.is_ascii_alphanumeric()).next();
            let name = name.unwrap_or_default().to_ascii_lowercase();
            let element = Element::of(&name);
            matches!(tag.first(), None | Some(b'!' | b'?'))
                || name == b"body"
                || element.is_head
                || element.is_raw
                || element.is_treacherous
        };
        return memchr::memchr_iter(b'<', content).any(is_odd);
    }

    let Some(open) = memchr::memmem::rfind(content, b"<!--") else {
        return false;
    };
    let is_closed = memchr::memmem::find(&content[open + 4..], b"-->").is_some();
    let is_script = |text: &[u8]| text.eq_ignore_ascii_case(b"<script");
    !is_closed || content.windows(7).any(is_script)
}

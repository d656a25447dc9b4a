//! Where the notice goes in a text part, and the splices that put it there.
//!
//! The part is decoded to find the place; then only what must change is spliced: some bytes in an
//! identity or quoted-printable body, the whole of a base64 body (whose bytes are no one's own).
//! A 7bit body of plain ASCII becomes quoted-printable when the notice needs more letters.
//! Whatever is doubtful is refused: a new part of our own says the same.

use std::borrow::Cow;

use super::{
    Eol, Splice,
    charset::{self, Charset},
    header, html, line_end,
    notice::{Notice, Setting},
    plain, qp,
};
use crate::{config::Position, mime::TransferEncoding};

/// The longest line of a body, without its line end (RFC 5322, section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// A text part as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub struct TextPart<'a> {
    /// The part's header block and body, raw. The header block ends with its blank line; it may be
    /// missing altogether, and then `raw` starts with the blank line.
    pub raw: &'a [u8],
    /// Where the body starts in `raw`.
    pub body_start: usize,
    /// `text/html` or `text/plain`.
    pub kind: TextKind,
    /// The `charset` parameter as written.
    pub charset: Option<&'a str>,
    /// The transfer encoding.
    pub encoding: TransferEncoding,
}

/// The two kinds of text that take a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// `text/plain`
    Plain,
    /// `text/html`
    Html,
}

/// A text part that cannot take the notice; the reason is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotTake(pub &'static str);

/// The splices, relative to `part.raw` and in order, that put the notice into the part.
///
/// The cost is linear in the part's size.
///
/// # Errors
/// The part cannot take it: its charset is unknown or not an extension of ASCII, its body is not
/// valid in its transfer encoding or its charset, holds PGP armour, NUL or a bare CR, or no place
/// in it is sure to be seen.
pub fn insert(
    part: &TextPart<'_>,
    notice: &Notice,
    position: Position,
    eol: Eol,
) -> Result<Vec<Splice>, CannotTake> {
    let (header, body) = part
        .raw
        .split_at_checked(part.body_start)
        .ok_or(CannotTake("header"))?;
    if !header::is_complete(header) {
        return Err(CannotTake("header"));
    }
    let charset = Charset::of(part.charset).ok_or(CannotTake("charset"))?;
    let body = Body::decode(body, part.encoding)?;
    check(body.text())?;
    if !charset.decodes(body.text()) {
        return Err(CannotTake("not in its charset"));
    }
    let text = Text {
        header,
        body,
        kind: part.kind,
        charset,
        eol,
    };
    let mut splices = text.splices(notice, position, part.encoding)?;
    // Stable: fields that are added at the same place keep their order.
    splices.sort_by_key(|splice| splice.at.start);
    Ok(splices)
}

/// A new `text/plain` part with the notice: the values of its two header fields, and its body.
///
/// The values alone serve for a message that *was* the attachment.
pub fn new_part(notice: &Notice, eol: Eol) -> NewPart {
    let mut text = notice.text().join(line_end(eol));
    text.push_str(line_end(eol));
    let (encoding, body) = if text.is_ascii() {
        (" 7bit", text.into_bytes())
    } else {
        (" quoted-printable", qp::encode(text.as_bytes(), eol))
    };
    NewPart {
        content_type: " text/plain; charset=utf-8".into(),
        encoding: encoding.into(),
        body,
    }
}

/// A part that is all notice.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// The value of `Content-Type`, with its leading space, unfolded.
    pub content_type: String,
    /// The value of `Content-Transfer-Encoding`, with its leading space.
    pub encoding: String,
    /// The encoded body, with its last line end.
    pub body: Vec<u8>,
}

/// A body and what it decodes to.
enum Body<'a> {
    Identity(&'a [u8]),
    QuotedPrintable(qp::Decoded<'a>),
    Base64 { text: Vec<u8>, raw: &'a [u8] },
}

/// All that is known of a part when the place is looked for.
struct Text<'a> {
    header: &'a [u8],
    body: Body<'a>,
    kind: TextKind,
    charset: Charset,
    eol: Eol,
}

impl<'a> Body<'a> {
    fn decode(raw: &'a [u8], encoding: TransferEncoding) -> Result<Self, CannotTake> {
        match encoding {
            TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => {
                Ok(Self::Identity(raw))
            }
            TransferEncoding::QuotedPrintable => qp::Decoded::new(raw)
                .map(Self::QuotedPrintable)
                .ok_or(CannotTake("quoted-printable")),
            TransferEncoding::Base64 => {
                let text = decode_base64(raw).ok_or(CannotTake("base64"))?;
                Ok(Self::Base64 { text, raw })
            }
            TransferEncoding::Unknown => Err(CannotTake("encoding")),
        }
    }

    fn text(&self) -> &[u8] {
        match self {
            Self::Identity(text) => text,
            Self::QuotedPrintable(decoded) => &decoded.text,
            Self::Base64 { text, .. } => text,
        }
    }
}

impl Text<'_> {
    fn splices(
        &self,
        notice: &Notice,
        position: Position,
        encoding: TransferEncoding,
    ) -> Result<Vec<Splice>, CannotTake> {
        let at = self.place(position)?;
        let text = self.body.text();
        if let Body::QuotedPrintable(decoded) = &self.body
            && decoded.is_loose
            && !self.has_only_our_line_ends(text)
        {
            return Err(CannotTake("quoted-printable"));
        }
        let (lines, label) = match self.kind {
            TextKind::Html => (
                joined(notice.html(), self.text_eol(), |c| vec![c as u8]),
                None,
            ),
            TextKind::Plain => self.plain_lines(notice),
        };
        let added = match self.kind {
            TextKind::Html => self.html_block(lines, at)?,
            TextKind::Plain => self.plain_block(lines, at),
        };
        let mut splices: Vec<Splice> = label.into_iter().collect();
        let identity = matches!(self.body, Body::Identity(_));
        let narrow = encoding == TransferEncoding::SevenBit || !splices.is_empty();
        if identity && narrow && text.is_ascii() && !added.is_ascii() {
            splices.push(header::set_encoding(
                self.header,
                "quoted-printable",
                self.eol,
            ));
            let encoded = qp::encode(&spliced(text, at, &added), self.eol);
            splices.push(self.body_splice(0, text.len(), encoded));
            return Ok(splices);
        }
        if identity && encoding == TransferEncoding::SevenBit && !text.is_ascii() {
            // The body has been 8bit all along; readers that look are told.
            splices.push(header::set_encoding(self.header, "8bit", self.eol));
        }
        splices.push(self.splice(at, added));
        Ok(splices)
    }

    /// Where the notice goes in the decoded text.
    fn place(&self, position: Position) -> Result<usize, CannotTake> {
        let text = self.body.text();
        let find = |text: &[u8], position| match self.kind {
            TextKind::Plain => Ok(plain::place(text, position)),
            TextKind::Html => html::place(text, position),
        };
        if self.charset != Charset::Iso2022Jp {
            return find(text, position);
        }
        let masked = charset::mask_iso_2022_jp(text);
        for position in [position, Position::Start] {
            let at = find(&masked, position)?;
            if charset::ends_in_ascii(&text[..at]) {
                return Ok(at);
            }
        }
        Err(CannotTake("charset"))
    }

    /// The notice in the part's charset; with the splice that declares UTF-8 where none is
    /// declared and it is needed.
    fn plain_lines(&self, notice: &Notice) -> (Vec<u8>, Option<Splice>) {
        let label = match self.charset {
            Charset::Ascii if self.can_convert() => header::set_charset_utf8(self.header, self.eol),
            _ => None,
        };
        let usable = match self.charset {
            Charset::Ascii if label.is_some() => Charset::Utf8,
            charset if self.can_convert() => charset,
            _ => Charset::AsciiOnly(None),
        };
        let lines = notice.text_in(&Setting {
            can: &|c| usable.encode(c).is_some(),
            is_rtl: self.charset.has_rtl(self.body.text()),
            is_flowed: header::is_flowed(self.header),
        });
        let bytes = joined(lines, self.text_eol(), |c| {
            usable.encode(c).unwrap_or_default()
        });
        let label = label.filter(|_| !bytes.is_ascii());
        (bytes, label)
    }

    /// True unless the text is a 7bit one whose line ends quoted-printable could not keep.
    fn can_convert(&self) -> bool {
        match self.body {
            Body::Identity(text) if text.is_ascii() => self.has_only_our_line_ends(text),
            _ => true,
        }
    }

    /// Whether text that is encoded anew would keep its line ends.
    fn has_only_our_line_ends(&self, text: &[u8]) -> bool {
        match self.eol {
            Eol::CrLf => memchr::memchr_iter(b'\n', text).all(|lf| lf > 0 && text[lf - 1] == b'\r'),
            Eol::Lf => memchr::memchr(b'\r', text).is_none(),
        }
    }

    /// The line end of the decoded text: what the author's has, where we see it.
    fn text_eol(&self) -> &'static str {
        match &self.body {
            Body::Base64 { text, .. } => match memchr::memchr(b'\n', text) {
                Some(lf) if lf > 0 && text[lf - 1] == b'\r' => "\r\n",
                Some(_) => "\n",
                None => line_end(self.eol),
            },
            _ => line_end(self.eol),
        }
    }

    /// The lines on lines of their own, with a blank one between them and the author's.
    fn plain_block(&self, lines: Vec<u8>, at: usize) -> Vec<u8> {
        let (before, after) = self.body.text().split_at(at);
        let eol = self.text_eol().as_bytes();
        let mut block = Vec::with_capacity(lines.len() + 8);
        let first = before.is_empty() || before == b"\xef\xbb\xbf";
        if !first && !before.ends_with(b"\n") {
            block.extend_from_slice(eol);
        }
        if !first {
            block.extend_from_slice(&eol.repeat(self.missing_blanks(before)));
        }
        block.extend_from_slice(&lines);
        if !after.is_empty() || before.ends_with(b"\n") {
            block.extend_from_slice(eol);
        }
        let next = &after[..memchr::memchr(b'\n', after).unwrap_or(after.len())];
        if !next.trim_ascii().is_empty() {
            block.extend_from_slice(eol);
        }
        block
    }

    /// How many blank lines keep the notice apart from the text before it. A flowed line takes the
    /// next one into its paragraph, even a blank one (RFC 3676, section 4.1).
    fn missing_blanks(&self, before: &[u8]) -> usize {
        let mut lines = before.rsplit(|&b| b == b'\n');
        if before.ends_with(b"\n") {
            lines.next();
        }
        let mut blanks = 0;
        let last = lines
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .find(|line| {
                blanks += usize::from(line.is_empty());
                !line.is_empty()
            });
        let flows = last.is_some_and(|line| line.ends_with(b" ") && line != b"-- ");
        let wanted = if flows && header::is_flowed(self.header) {
            2
        } else {
            1
        };
        usize::saturating_sub(wanted, blanks)
    }

    /// The lines as they go into HTML. Line ends between them and the author's are not content
    /// there, but a cut line must not turn into a delimiter or lose a blank.
    fn html_block(&self, lines: Vec<u8>, at: usize) -> Result<Vec<u8>, CannotTake> {
        let (before, after) = self.body.text().split_at(at);
        let head = &before[memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1)..];
        let tail = &after[..memchr::memchr(b'\n', after).unwrap_or(after.len())];
        let at_line_end = tail.is_empty() || tail == b"\r";
        let eol = self.text_eol().as_bytes();
        let blank = head.ends_with(b" ") || head.ends_with(b"\t");
        if matches!(self.body, Body::QuotedPrintable(_)) {
            let breaks = at_line_end && !head.is_empty() && !blank;
            let lead = if breaks { eol } else { b"" };
            return Ok([lead, &lines].concat());
        }
        let joins = head.is_empty() || head.starts_with(b"--") || blank;
        let lead = if joins { &b""[..] } else { eol };
        let joined = at_line_end
            || tail.starts_with(b"--")
            || tail.starts_with(b"From ")
            || tail.starts_with(b".");
        let end = match after {
            [] if before.ends_with(b"\n") => eol,
            _ if joined => b"",
            _ => eol,
        };
        let block = [lead, &lines, end].concat();
        if matches!(self.body, Body::Identity(_)) && !fits(head, &block, tail) {
            return Err(CannotTake("line length"));
        }
        Ok(block)
    }

    /// The splice that puts `added` at this place of the decoded text.
    fn splice(&self, at: usize, added: Vec<u8>) -> Splice {
        match &self.body {
            Body::Identity(_) => self.body_splice(at, at, added),
            Body::QuotedPrintable(decoded) if decoded.is_loose => {
                let encoded = qp::encode(&spliced(&decoded.text, at, &added), self.eol);
                self.body_splice(0, decoded.raw.len(), encoded)
            }
            Body::QuotedPrintable(decoded) => self.qp_splice(decoded, at, &added),
            Body::Base64 { text, raw } => {
                let encoded = encode_base64(&spliced(text, at, &added), raw, self.eol);
                self.body_splice(0, raw.len(), encoded)
            }
        }
    }

    /// Soft line breaks keep what is encoded apart from the author's raw lines; they are not
    /// there once decoded.
    fn qp_splice(&self, decoded: &qp::Decoded<'_>, at: usize, added: &[u8]) -> Splice {
        let soft = [b"=", line_end(self.eol).as_bytes()].concat();
        let place = decoded.place(at);
        let (head, tail) = decoded.around(place);
        let mut with = Vec::with_capacity(added.len() * 2);
        let breaks = added.starts_with(b"\r\n") || added.starts_with(b"\n");
        let blank = head.ends_with(b" ") || head.ends_with(b"\t");
        if !head.is_empty() && (!breaks || blank) {
            // A line without room for the soft break is at its end: a hard one does.
            let full = head.len() >= qp::LINE_MAX;
            with.extend_from_slice(if full {
                line_end(self.eol).as_bytes()
            } else {
                &soft
            });
        }
        with.extend_from_slice(&qp::encode(added, self.eol));
        let hard = tail.is_empty() || tail.starts_with(b"\n") || tail.starts_with(b"\r\n");
        if hard || added.ends_with(b"\n") {
            return self.body_splice(place.at, place.at, with);
        }
        with.extend_from_slice(&soft);
        if head.is_empty() {
            return self.body_splice(place.at, place.at, with);
        }
        // The rest of a raw line starts one: it must not turn into a delimiter.
        let (guarded, rest) = qp::guarded_start(tail, self.eol);
        with.extend_from_slice(&guarded);
        self.body_splice(place.at, place.at + rest, with)
    }

    fn body_splice(&self, start: usize, end: usize, with: Vec<u8>) -> Splice {
        Splice {
            at: self.header.len() + start..self.header.len() + end,
            with,
        }
    }
}

/// What no text part with our notice should have in it.
fn check(text: &[u8]) -> Result<(), CannotTake> {
    if memchr::memmem::find(text, b"-----BEGIN PGP").is_some() {
        return Err(CannotTake("pgp"));
    }
    if memchr::memchr(0, text).is_some() {
        return Err(CannotTake("nul"));
    }
    if memchr::memchr_iter(b'\r', text).any(|cr| text.get(cr + 1) != Some(&b'\n')) {
        return Err(CannotTake("bare cr"));
    }
    Ok(())
}

/// True if no line gets too long where the block meets the author's line.
fn fits(head: &[u8], block: &[u8], tail: &[u8]) -> bool {
    let first = memchr::memchr(b'\n', block).unwrap_or(block.len());
    let last = block.len() - memchr::memrchr(b'\n', block).map_or(0, |lf| lf + 1);
    head.len() + first <= LINE_BYTES_MAX && last + tail.len() <= LINE_BYTES_MAX
}

/// Lines in a charset, with line ends between them.
fn joined(lines: Vec<String>, eol: &str, encode: impl Fn(char) -> Vec<u8>) -> Vec<u8> {
    let text = lines.join("\n");
    text.chars()
        .flat_map(|c| {
            if c == '\n' {
                Cow::Borrowed(eol.as_bytes())
            } else {
                encode(c).into()
            }
            .into_owned()
        })
        .collect()
}

fn spliced(text: &[u8], at: usize, added: &[u8]) -> Vec<u8> {
    [&text[..at], added, &text[at..]].concat()
}

/// Decodes base64, or `None` if anything but line ends and blanks is between its digits, or its
/// padding is not at its end.
fn decode_base64(raw: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = raw
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    encodify::base64::STANDARD.decode(digits).ok()
}

/// Encodes in lines of 76; there is a last line end where the old body had one.
fn encode_base64(text: &[u8], old: &[u8], eol: Eol) -> Vec<u8> {
    let ending = match eol {
        Eol::CrLf => encodify::base64::LineEnding::CrLf,
        Eol::Lf => encodify::base64::LineEnding::Lf,
    };
    let encoded = encodify::base64::STANDARD.wrapped(76, ending).encode(text);
    let mut encoded = encoded.trim_ascii_end().to_owned();
    if old.ends_with(b"\n") {
        encoded.push_str(line_end(eol));
    }
    encoded.into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::Language,
        rewrite::{apply, notice::tests::notice},
    };

    /// A part of this header and body.
    fn part<'a>(raw: &'a [u8], kind: TextKind, charset: Option<&'a str>) -> TextPart<'a> {
        let blank = memchr::memmem::find(raw, b"\r\n\r\n").map(|at| at + 4);
        let body_start = if raw.starts_with(b"\r\n") {
            2
        } else {
            blank.unwrap()
        };
        let header = String::from_utf8_lossy(&raw[..body_start]).to_lowercase();
        let encoding = [
            ("quoted-printable", TransferEncoding::QuotedPrintable),
            ("base64", TransferEncoding::Base64),
            ("8bit", TransferEncoding::EightBit),
            ("uuencode", TransferEncoding::Unknown),
        ];
        let encoding = encoding.iter().find(|(name, _)| header.contains(name));
        let encoding = encoding.map_or(TransferEncoding::SevenBit, |(_, encoding)| *encoding);
        TextPart {
            raw,
            body_start,
            kind,
            charset,
            encoding,
        }
    }

    fn after(part: &TextPart<'_>, language: Language, position: Position) -> Vec<u8> {
        let notice = notice(language, &["Été.pdf", "photos.zip"]);
        let splices = insert(part, &notice, position, Eol::CrLf).unwrap();
        let mut at = 0;
        for splice in &splices {
            assert!(at <= splice.at.start && splice.at.start <= splice.at.end);
            at = splice.at.end;
        }
        assert!(at <= part.raw.len());
        apply(part.raw, &splices)
    }

    fn decoded(raw: &[u8]) -> (String, Vec<u8>) {
        let part = part(raw, TextKind::Plain, None);
        let (header, body) = raw.split_at(part.body_start);
        let text = Body::decode(body, part.encoding).unwrap().text().to_vec();
        (String::from_utf8(header.to_vec()).unwrap(), text)
    }

    /// What was put between the start and the end of `before` to get `after`.
    fn inserted(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
        let start = before.iter().zip(after).take_while(|(b, a)| b == a).count();
        let rest = before.len() - start;
        let end = after.len().checked_sub(rest)?;
        (end >= start && after[end..] == before[start..]).then(|| after[start..end].to_vec())
    }

    #[test]
    fn an_ascii_part_learns_the_letters_it_needs() {
        for (header, charset, expected) in [
            ("\r\n", None, "Content-Type: text/plain; charset=utf-8\r\n"),
            (
                "Content-Type: text/plain\r\n\r\n",
                None,
                "text/plain;\r\n charset=utf-8\r\n",
            ),
            (
                "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
                Some("us-ascii"),
                "=utf-8\r\n",
            ),
            (
                "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n",
                Some("iso-8859-1"),
                "8859-1\r",
            ),
            (
                "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
                None,
                "=utf-8\r\n",
            ),
        ] {
            let raw = format!("{header}Hello = \r\nyou\r\n");
            let part = part(raw.as_bytes(), TextKind::Plain, charset);
            let (header, text) = decoded(&after(&part, Language::Fr, Position::End));
            assert!(header.contains(expected), "{header}");
            assert!(
                header.contains("Content-Transfer-Encoding: quoted-printable\r\n"),
                "{header}"
            );
            assert!(
                text.starts_with(b"Hello = \r\nyou\r\n\r\n- - -") && text.ends_with(b"- -\r\n")
            );
        }
    }

    #[test]
    fn an_ascii_notice_leaves_an_ascii_part_as_it_is() {
        let raw = b"\r\nHello";
        let part = part(raw, TextKind::Plain, None);
        let notice = notice(Language::En, &["a.pdf"]);
        let splices = insert(&part, &notice, Position::End, Eol::CrLf).unwrap();
        let after = apply(raw, &splices);
        assert!(after.starts_with(b"\r\nHello\r\n\r\n- - ") && after.ends_with(b"- -"));
    }

    #[test]
    fn a_charset_of_which_we_write_only_ascii_gets_ascii() {
        for (charset, body) in [
            ("shift_jis", &b"\x95\x8e"[..]),
            ("iso-2022-jp", b"\x1b$B4A;z\x1b(B"),
            ("cp850", b"\x82"),
        ] {
            let raw = [&b"Content-Transfer-Encoding: 7bit\r\n\r\n"[..], body].concat();
            let part = part(&raw, TextKind::Plain, Some(charset));
            let after = after(&part, Language::Fr, Position::End);
            let at = memchr::memmem::find(&after, body).unwrap();
            assert!(after[at + body.len()..].is_ascii());
            let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
            assert!(after[..at].ends_with(format!("Encoding: {encoding}\r\n\r\n").as_bytes()));
        }
    }

    #[test]
    fn a_body_that_is_not_in_its_charset_is_refused() {
        for (charset, body) in [
            (None, &b"caf\xe9"[..]),
            (Some("us-ascii"), b"\xc3\xa9"),
            (Some("utf-8"), b"caf\xe9"),
            (Some("windows-1252"), b"\x81"),
            (Some("shift_jis"), b"\x95"),
        ] {
            let raw = [b"\r\n", body].concat();
            for kind in [TextKind::Plain, TextKind::Html] {
                let part = part(&raw, kind, charset);
                let result = insert(
                    &part,
                    &notice(Language::En, &["x"]),
                    Position::End,
                    Eol::CrLf,
                );
                assert_eq!(result, Err(CannotTake("not in its charset")));
            }
        }
    }

    #[test]
    fn a_body_that_cannot_take_it_says_why() {
        for (header, charset, body, why) in [
            ("\r\n", Some("utf-16"), "a", "charset"),
            ("\r\n", None, "a\n-----BEGIN PGP MESSAGE-----", "pgp"),
            ("\r\n", None, "a\0", "nul"),
            ("\r\n", None, "a\rb", "bare cr"),
            ("C: uuencode\r\n\r\n", None, "a", "encoding"),
            ("C: base64\r\n\r\n", None, "YQ==YQ==", "base64"),
            ("C: base64\r\n\r\n", None, "YQ!=", "base64"),
            ("C: base64\r\n\r\n", None, "YWFhY", "base64"),
            (
                "C: quoted-printable\r\n\r\n",
                None,
                "=ZZ",
                "quoted-printable",
            ),
        ] {
            let raw = format!("{header}{body}");
            let part = part(raw.as_bytes(), TextKind::Plain, charset);
            let notice = notice(Language::Fr, &["x"]);
            let result = insert(&part, &notice, Position::End, Eol::CrLf);
            assert_eq!(result, Err(CannotTake(why)), "{body}");
        }
        let headless = TextPart {
            raw: b"A: b\r\n",
            body_start: 6,
            ..part(b"\r\n", TextKind::Plain, None)
        };
        let result = insert(
            &headless,
            &notice(Language::Fr, &["x"]),
            Position::End,
            Eol::CrLf,
        );
        assert_eq!(result, Err(CannotTake("header")));
    }

    #[test]
    fn loose_quoted_printable_is_encoded_anew_with_the_same_text() {
        let mixed = format!("C: quoted-printable\r\n\r\n{}=0Ab\r\n", "x".repeat(80));
        let mixed = part(mixed.as_bytes(), TextKind::Plain, Some("utf-8"));
        let refused = insert(
            &mixed,
            &notice(Language::Fr, &["x"]),
            Position::End,
            Eol::CrLf,
        );
        assert_eq!(refused, Err(CannotTake("quoted-printable")));
        let long = format!("<p>{}=C3=A9t=C3=A9</p>\r\n", "x".repeat(80));
        let raw = format!("C: quoted-printable\r\n\r\n{long}");
        let part = part(raw.as_bytes(), TextKind::Html, Some("utf-8"));
        let after = after(&part, Language::Fr, Position::End);
        let (header, text) = decoded(&after);
        assert!(header.contains("quoted-printable"));
        let (_, before) = decoded(raw.as_bytes());
        assert!(inserted(&before, &text).is_some());
        assert!(after.split(|&b| b == b'\n').all(|line| line.len() <= 77));
    }

    #[test]
    fn quoted_printable_keeps_its_raw_lines() {
        for (body, position, start, end) in [
            (
                "a=\r\nb\r\n",
                Position::End,
                "a=\r\nb\r\n\r\n- -",
                "- -\r\n",
            ),
            ("a", Position::End, "a\r\n\r\n- -", "- -"),
            ("a=\r\n", Position::End, "a=\r\n\r\n\r\n- -", "- -"),
            ("a=", Position::End, "a\r\n\r\n- -", "- -=\r\n="),
            (
                "a=\r\nb\r\n",
                Position::Start,
                "- - ",
                "- -\r\n\r\na=\r\nb\r\n",
            ),
        ] {
            let header = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
            let raw = format!("{header}{body}");
            let part = part(raw.as_bytes(), TextKind::Plain, Some("utf-8"));
            let after = String::from_utf8(after(&part, Language::Fr, position)).unwrap();
            let after = after.strip_prefix(header).unwrap();
            assert!(
                after.starts_with(start) && after.ends_with(end),
                "{body:?}: {after}"
            );
        }
    }

    #[test]
    fn a_cut_line_does_not_turn_into_a_delimiter() {
        for encoding in ["8bit", "quoted-printable"] {
            let raw = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n<body>--b\r\n--b<hr>");
            let part = part(raw.as_bytes(), TextKind::Html, Some("utf-8"));
            let after = after(&part, Language::Fr, Position::Start);
            assert!(
                !String::from_utf8(after)
                    .unwrap()
                    .lines()
                    .any(|line| line == "--b")
            );
        }
    }

    #[test]
    fn a_new_part_is_valid_in_itself() {
        for (language, encoding) in [(Language::En, " 7bit"), (Language::Fr, " quoted-printable")] {
            for eol in [Eol::CrLf, Eol::Lf] {
                let new = new_part(&notice(language, &["a.pdf"]), eol);
                assert_eq!(new.encoding, encoding);
                assert!(new.body.is_ascii() && new.body.ends_with(line_end(eol).as_bytes()));
                assert!(new.body.split(|&b| b == b'\n').all(|line| line.len() <= 77));
            }
        }
    }

    /// The author's text: words, and what is special to one layer or another.
    fn text() -> impl Strategy<Value = String> {
        let pieces = vec![
            "a",
            "Hello you",
            " ",
            "\r\n",
            "\r\n",
            "\r\n\r\n",
            "-- \r\n",
            "> quoted\r\n",
            "é",
            "’",
            "Le 21/11/2026, Yann a écrit :\r\n",
            "=",
            "=3D",
            ".\r\n",
            "From x\r\n",
            "--b\r\n",
            "<p>",
            "<body>",
            "</body>",
            "<!-- ",
            "-->",
            "<blockquote type=cite>",
            "<table>",
            "</table>",
            "<title>",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "\t",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..30)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_authors_text_stays_whole_around_one_insertion(
            text in text(),
            html in any::<bool>(),
            charset in prop::sample::select(vec![
                None, Some("us-ascii"), Some("utf-8"), Some("iso-8859-1"), Some("windows-1252"),
                Some("iso-8859-15"), Some("koi8-r"), Some("shift_jis"), Some("iso-2022-jp"),
            ]),
            encoding in prop::sample::select(vec!["7bit", "8bit", "quoted-printable", "base64"]),
            position in prop::sample::select(vec![
                Position::Start, Position::End, Position::BeforeQuote,
            ]),
            language in prop::sample::select(vec![Language::En, Language::Fr]),
        ) {
            let known = Charset::of(charset).unwrap();
            let text: Vec<u8> =
                text.chars().flat_map(|c| known.encode(c).unwrap_or_default()).collect();
            let body = match encoding {
                "quoted-printable" => qp::encode(&text, Eol::CrLf),
                "base64" => encode_base64(&text, b"", Eol::CrLf),
                "7bit" => text.iter().copied().filter(u8::is_ascii).collect(),
                _ => text.clone(),
            };
            let label = charset.map_or_else(String::new, |c| format!("; charset={c}"));
            let subtype = if html { "html" } else { "plain" };
            let header = format!(
                "Content-Type: text/{subtype}{label}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
            );
            let raw = [header.as_bytes(), &body].concat();
            let kind = if html { TextKind::Html } else { TextKind::Plain };
            let part = part(&raw, kind, charset);
            let before = Body::decode(&body, part.encoding).unwrap().text().to_vec();

            let raw_after = after(&part, language, position);
            let (header, after) = decoded(&raw_after);
            let added = inserted(&before, &after);
            prop_assert!(added.is_some(), "{}", String::from_utf8_lossy(&raw_after));
            let added = added.unwrap();
            prop_assert!(memchr::memmem::find(&added, b"https://drop.example/").is_some());
            let declared = if header.contains("charset=utf-8") { Charset::Utf8 } else { known };
            prop_assert!(declared.decodes(&after) || added.is_ascii());
            let quoted_printable = header.contains("quoted-printable");
            let line_max = if quoted_printable || encoding == "base64" { 76 } else { 998 };
            for line in raw_after[header.len()..].split(|&b| b == b'\n') {
                prop_assert!(line.trim_ascii_end().len() <= line_max);
                prop_assert!(!quoted_printable || line.is_ascii());
            }
            prop_assert!(!header.contains("7bit") || after.is_ascii());
        }
    }
}

//! A text part, the notice among its lines, and the splices that put it there.

use super::{
    super::{CannotTake, Eol, Position, Splice, header, qp},
    Addition, TextKind,
    body::{Body, encode_base64, has_pair, spliced},
};
use crate::{
    mime::TransferEncoding,
    notice::Setting,
    text::{
        charset::{self, Charset},
        html, plain,
    },
};

/// The longest line of a body, without its line end (RFC 5322, section 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// A part, as it is known when the place for the notice is looked for.
pub(super) struct TextCandidate<'a> {
    pub(super) header: &'a [u8],
    pub(super) body: Body<'a>,
    pub(super) kind: TextKind,
    pub(super) charset: Charset,
    pub(super) eol: Eol,
}

impl TextCandidate<'_> {
    /// Returns the splices that put an addition into the part.
    pub(super) fn splices(
        &self,
        addition: &Addition<'_>,
        position: Position,
        encoding: TransferEncoding,
    ) -> Result<Vec<Splice>, CannotTake> {
        let at = self.place(position)?;
        let addition = self.fitting(addition, at)?;
        let text = self.body.text();

        if let Body::QuotedPrintable(decoded) = &self.body {
            let takes = if decoded.is_malformed {
                decoded.takes(decoded.place(at))
            } else {
                !decoded.is_loose || self.has_only_our_line_ends(text)
            };
            takes.then_some(()).ok_or(CannotTake("quoted-printable"))?;
        }

        let (lines, label) = match self.kind {
            TextKind::Html => (
                joined(addition.html(), self.text_eol(), |c| vec![c as u8]),
                None,
            ),
            TextKind::Plain => self.plain_lines(&addition),
        };
        let added = match self.kind {
            TextKind::Html => self.html_block(lines, at)?,
            TextKind::Plain => self.plain_block(lines, at),
        };

        // An ASCII body that is 7bit, or that is declared UTF-8 here, becomes quoted-printable for
        // letters beyond ASCII.
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
            // The body has been 8bit all along; the field tells readers so.
            splices.push(header::set_encoding(self.header, "8bit", self.eol));
        }

        splices.push(self.splice(at, added));
        Ok(splices)
    }

    /// Returns as much of an addition as has its place at `at`: files that stood behind the text
    /// are named at its end only.
    fn fitting<'b>(&self, addition: &Addition<'b>, at: usize) -> Result<Addition<'b>, CannotTake> {
        if addition.between.is_empty() || self.place(Position::End) == Ok(at) {
            return Ok(*addition);
        }
        let rest = addition.without_files();
        (!rest.is_empty())
            .then_some(rest)
            .ok_or(CannotTake("no end"))
    }

    /// Returns the offset of the notice in the decoded text.
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

    /// Encodes the addition in the part's charset; returns with it the splice that declares UTF-8,
    /// where no charset is declared and UTF-8 is needed.
    fn plain_lines(&self, addition: &Addition<'_>) -> (Vec<u8>, Option<Splice>) {
        let label = match self.charset {
            Charset::Ascii if self.can_convert() => header::set_charset_utf8(self.header, self.eol),
            _ => None,
        };
        let usable = match self.charset {
            Charset::Ascii if label.is_some() => Charset::Utf8,
            charset if self.can_convert() => charset,
            _ => Charset::AsciiOnly(None),
        };

        let lines = addition.text_in(&Setting {
            can: &|c| usable.encode(c).is_some(),
            is_flowed: header::is_flowed(self.header),
        });
        let bytes = joined(lines, self.text_eol(), |c| {
            usable.encode(c).unwrap_or_default()
        });
        let label = label.filter(|_| !bytes.is_ascii());
        (bytes, label)
    }

    /// Returns true unless the text is a 7bit one whose line ends quoted-printable could not keep.
    fn can_convert(&self) -> bool {
        match self.body {
            Body::Identity(text) if text.is_ascii() => self.has_only_our_line_ends(text),
            _ => true,
        }
    }

    /// Returns true if text that is encoded anew would keep its line ends.
    fn has_only_our_line_ends(&self, text: &[u8]) -> bool {
        match self.eol {
            Eol::CrLf => {
                let is_bare = |first, next| first != b'\r' && next == b'\n';
                !text.starts_with(b"\n") && !has_pair(text, is_bare)
            }
            Eol::Lf => memchr::memchr(b'\r', text).is_none(),
        }
    }

    /// Returns the line end of the decoded text: the author's, where it shows.
    fn text_eol(&self) -> &'static str {
        match &self.body {
            Body::Base64 { text, .. } => match memchr::memchr(b'\n', text) {
                Some(lf) if lf > 0 && text[lf - 1] == b'\r' => "\r\n",
                Some(_) => "\n",
                None => self.eol.as_str(),
            },
            _ => self.eol.as_str(),
        }
    }

    /// Puts the lines on lines of their own, with a blank one between them and the author's.
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

    /// Returns the number of blank lines to add between the notice and the text before it. A flowed
    /// line takes the next one into its paragraph, even a blank one (RFC 3676, section 4.1).
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

    /// Fits the lines into HTML. Line ends between them and the author's are not content there, but
    /// a cut line must not turn into a delimiter or lose a blank.
    fn html_block(&self, lines: Vec<u8>, at: usize) -> Result<Vec<u8>, CannotTake> {
        let (before, after) = self.body.text().split_at(at);
        let head = &before[memchr::memrchr(b'\n', before).map_or(0, |lf| lf + 1)..];
        let tail = &after[..memchr::memchr(b'\n', after).unwrap_or(after.len())];

        let at_line_end = tail.is_empty() || tail == b"\r";
        let eol = self.text_eol().as_bytes();
        let blank = head.ends_with(b" ") || head.ends_with(b"\t");

        if matches!(self.body, Body::QuotedPrintable(_)) {
            let breaks = (at_line_end || self.may_swallow(head)) && !head.is_empty() && !blank;
            let lead = if breaks { eol } else { b"" };
            return Ok([lead, &lines].concat());
        }

        let joins =
            head.is_empty() || (head.starts_with(b"--") || blank) && !self.may_swallow(head);
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

    /// Returns true if readers may take the byte behind these for the second half of a character.
    fn may_swallow(&self, head: &[u8]) -> bool {
        matches!(self.charset, Charset::AsciiOnly(None))
            && head.last().is_some_and(|b| !b.is_ascii())
    }

    /// Returns the splice that puts `added` at this place of the decoded text.
    fn splice(&self, at: usize, added: Vec<u8>) -> Splice {
        match &self.body {
            Body::Identity(_) => self.body_splice(at, at, added),
            Body::QuotedPrintable(decoded) if decoded.is_loose && !decoded.is_malformed => {
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

    /// Returns the splice for a quoted-printable body. Soft line breaks keep the encoded text apart
    /// from the author's raw lines; decoding removes them.
    fn qp_splice(&self, decoded: &qp::Decoded<'_>, at: usize, added: &[u8]) -> Splice {
        let soft = [b"=", self.eol.as_str().as_bytes()].concat();
        let place = decoded.place(at);
        let (head, tail) = decoded.around(place);
        let mut with = Vec::with_capacity(added.len() * 2);
        let breaks = added.starts_with(b"\r\n") || added.starts_with(b"\n");
        let blank = head.ends_with(b" ") || head.ends_with(b"\t");
        let hard = tail.is_empty() || tail.starts_with(b"\n") || tail.starts_with(b"\r\n");

        if !head.is_empty() && (!breaks || blank) {
            // At the end of a line that has no room for the soft break, a hard one will do.
            let full = head.len() >= qp::LINE_MAX && hard;
            with.extend_from_slice(if full {
                self.eol.as_str().as_bytes()
            } else {
                &soft
            });
        }
        with.extend_from_slice(&qp::encode(added, self.eol));

        if hard || added.ends_with(b"\n") {
            return self.body_splice(place.at, place.at, with);
        }
        with.extend_from_slice(&soft);
        if head.is_empty() {
            return self.body_splice(place.at, place.at, with);
        }
        // The rest of the raw line starts a line of its own: it must not turn into a delimiter.
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

/// Returns true if no line gets too long where the block meets the author's line.
fn fits(head: &[u8], block: &[u8], tail: &[u8]) -> bool {
    let first = memchr::memchr(b'\n', block).unwrap_or(block.len());
    let last = block.len() - memchr::memrchr(b'\n', block).map_or(0, |lf| lf + 1);
    head.len() + first <= LINE_BYTES_MAX && last + tail.len() <= LINE_BYTES_MAX
}

/// Encodes lines in a charset, with line ends between them.
fn joined(lines: Vec<String>, eol: &str, encode: impl Fn(char) -> Vec<u8>) -> Vec<u8> {
    let text = lines.join("\n");
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' {
            bytes.extend_from_slice(eol.as_bytes());
        } else {
            bytes.extend_from_slice(&encode(c));
        }
    }
    bytes
}

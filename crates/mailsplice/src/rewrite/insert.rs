//! The place of the notice in a text part, and the splices that put it there.
//!
//! The part is decoded to find the place; then only what must change is spliced: some bytes in an
//! identity or quoted-printable body, the whole of a base64 body (whose bytes are no one's own). A
//! 7bit body of plain ASCII becomes quoted-printable when the notice needs more letters. A text
//! that is not in its charset gets ASCII, and a broken escape elsewhere in it stays as it is. A
//! part that can take nothing is refused: a new part of our own behind it says the same.

mod addition;
mod body;
#[cfg(test)]
mod tests;
mod text;

pub use self::addition::Addition;
use self::{
    body::{Body, check},
    text::TextCandidate,
};
use super::{CannotTake, Eol, Position, Splice, header, qp};
use crate::{l10n::sentences, mime::TransferEncoding, notice::Notice, text::charset::Charset};

/// A text part as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub struct TextPart<'a> {
    /// The part's header block and body, raw. The header block ends with its blank line; it may be
    /// missing altogether, and then `raw` starts with the blank line.
    pub raw: &'a [u8],
    /// Offset of the body in `raw`.
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

/// Returns the splices, relative to `part.raw` and in order, that put an addition into the part.
///
/// The cost is linear in the part's size.
///
/// # Errors
/// The part cannot take it: its charset is not an extension of ASCII, its body is not valid in its
/// transfer encoding where it matters, holds PGP armour, NUL or a bare CR, or no place in it is
/// sure to be seen.
pub fn insert<'a>(
    part: &TextPart<'_>,
    addition: impl Into<Addition<'a>>,
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

    let text = TextCandidate {
        header,
        charset: charset.in_text(body.text()),
        body,
        kind: part.kind,
        eol,
    };

    let mut splices = text.splices(&addition.into(), position, part.encoding)?;
    splices.extend(header::without_measures(header));
    // Stable: fields that are added at the same place keep their order.
    splices.sort_by_key(|splice| splice.at.start);
    Ok(splices)
}

/// Makes a new `text/plain` part with the notice: the values of its two header fields, and its body.
///
/// The values alone serve for a message that *was* the attachment.
pub fn new_part(notice: &Notice, eol: Eol) -> NewPart {
    let mut text = notice.text().join(eol.as_str());
    text.push_str(eol.as_str());
    let (encoding, body) = if text.is_ascii() {
        (" 7bit", text.into_bytes())
    } else {
        (" quoted-printable", qp::encode(text.as_bytes(), eol))
    };
    NewPart {
        content_type: " text/plain; charset=utf-8".into(),
        encoding: encoding.into(),
        disposition: None,
        body,
    }
}

/// Makes the same part as an attachment, which mail programs list among the files.
pub fn new_attachment(notice: &Notice, eol: Eol) -> NewPart {
    let name = sentences::part_name(notice.language);
    NewPart {
        disposition: Some(format!(" attachment; filename=\"{name}\"")),
        ..new_part(notice, eol)
    }
}

/// A part that consists of the notice alone.
#[derive(Clone, Debug)]
pub struct NewPart {
    /// The value of `Content-Type`, with its leading space, unfolded.
    pub content_type: String,
    /// The value of `Content-Transfer-Encoding`, with its leading space.
    pub encoding: String,
    /// The value of `Content-Disposition`, if it has one, with its leading space.
    pub disposition: Option<String>,
    /// The encoded body, with its last line end.
    pub body: Vec<u8>,
}

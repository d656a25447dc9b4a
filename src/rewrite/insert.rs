//! Where the notice goes in a text part, and the splices that put it there.

use super::{Eol, Splice, notice::Notice};
use crate::{config::Position, mime::TransferEncoding};

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
/// # Errors
/// The part cannot take it: its charset is unknown or not an extension of ASCII, its body does
/// not decode, or no place in it is sure to be seen.
pub fn insert(
    _part: &TextPart<'_>,
    _notice: &Notice,
    _position: Position,
    _eol: Eol,
) -> Result<Vec<Splice>, CannotTake> {
    unimplemented!()
}

/// A new `text/plain` part with the notice: header block, blank line and body, without a final
/// line end. `fields` alone serves for a message that *was* the attachment.
pub fn new_part(_notice: &Notice, _eol: Eol) -> NewPart {
    unimplemented!()
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

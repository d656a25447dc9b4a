//! MIME in a stream: header fields, part headers, the scanner, transfer decoding.
//!
//! Pure: no I/O, no clock. Bytes are pushed in, events come out; every byte that comes in leaves
//! exactly once and in order.
//!
//! * [`head`] – header fields, and the decoded header of a part
//! * `param` – parameters of structured fields, with the names in them
//! * `boundary` – delimiter lines in a run of bytes
//! * `references` – the embedded parts that an HTML body shows
//! * `scanner` – the structure of a message, as events
//! * `decode` – transfer decoding in chunks
//! * [`tnef`] – the files in Outlook's `winmail.dat`
//!
//! # Hands off
//!
//! Readers of mail differ in what they make of damaged or devious messages. Whatever well-known
//! readers see differently is reported as an [`Ambiguity`], and the message is then not touched.

mod boundary;
mod decode;
pub mod head;
mod param;
mod references;
mod scanner;
pub mod tnef;

pub use decode::{DecodeError, Decoder};
pub use head::{Disposition, Field, Head, MediaType, TransferEncoding};
pub use param::{Parameter, Structured};
pub use references::References;
pub use scanner::{Event, Events, PartId, Scanner};
pub use tnef::Tnef;

/// A reason to doubt that all readers see the structure of a message as this scanner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguity {
    /// A line starts with a delimiter and goes on with something else.
    #[error("delimiter line with something behind it")]
    DelimiterTail,
    /// A delimiter stands inside a line or behind a bare CR.
    #[error("delimiter inside a line")]
    DelimiterMidLine,
    /// A delimiter line ends differently from the line before it: GMime then leaves another number
    /// of bytes to the part before it.
    #[error("delimiter between different line ends")]
    DelimiterLineEnd,
    /// A line is a delimiter of two open multiparts.
    #[error("delimiter of two multiparts")]
    DelimiterTwice,
    /// A delimiter stands inside a header block.
    #[error("delimiter inside a header")]
    DelimiterInHeader,
    /// The `boundary` parameter is missing, repeated, or written in a way that readers differ
    /// about.
    #[error("doubtful boundary in Content-Type")]
    Boundary,
    /// A header block has a line that is no field, a NUL, a bare CR, or no end.
    #[error("malformed header")]
    Header,
    /// A field that describes the part occurs twice, with different values.
    #[error("{} is there twice", .0.as_str())]
    RepeatedField(PartField),
    /// `Content-Type` is not `type/subtype`.
    #[error("malformed Content-Type")]
    ContentType,
    /// `Content-Transfer-Encoding` is not one token, or is one that not all readers know.
    #[error("doubtful Content-Transfer-Encoding")]
    Encoding,
    /// A base64 body has padding in the middle, foreign bytes, or one symbol too many.
    #[error("malformed base64")]
    Base64,
    /// Multiparts are nested deeper than [`Limits::depth_max`](crate::Limits::depth_max).
    #[error("nested too deep")]
    Depth,
    /// There are more parts than [`Limits::parts_max`](crate::Limits::parts_max).
    #[error("too many parts")]
    Parts,
    /// A header block is longer than [`Limits::header_bytes_max`](crate::Limits::header_bytes_max).
    #[error("header too long")]
    HeaderBytes,
}

/// The fields that describe a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartField {
    /// `Content-Type`.
    Type,
    /// `Content-Disposition`.
    Disposition,
    /// `Content-Transfer-Encoding`.
    Encoding,
}

impl PartField {
    /// Returns the field's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Type => "Content-Type",
            Self::Disposition => "Content-Disposition",
            Self::Encoding => "Content-Transfer-Encoding",
        }
    }
}

impl Ambiguity {
    /// Returns a label for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::DelimiterTail => "delimiter-tail",
            Self::DelimiterMidLine => "delimiter-mid-line",
            Self::DelimiterLineEnd => "delimiter-line-end",
            Self::DelimiterTwice => "delimiter-twice",
            Self::DelimiterInHeader => "delimiter-in-header",
            Self::Boundary => "boundary",
            Self::Header => "malformed-header",
            Self::RepeatedField(_) => "repeated-field",
            Self::ContentType => "content-type",
            Self::Encoding => "encoding",
            Self::Base64 => "base64",
            Self::Depth => "limit-depth",
            Self::Parts => "limit-parts",
            Self::HeaderBytes => "limit-header",
        }
    }
}

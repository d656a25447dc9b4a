//! Header fields, and what a part's header says.

/// A header field as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, without the colon, as written.
    pub name: Vec<u8>,
    /// Everything after the colon: leading blanks and folding kept (folds as the message has
    /// them: CRLF, or LF from a milter), without the final line end.
    pub value: Vec<u8>,
}

/// `type/subtype` in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The top-level type: `text`, `application`, …
    pub main: String,
    /// The subtype: `plain`, `pdf`, …
    pub sub: String,
}

/// `Content-Transfer-Encoding` (RFC 2045, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferEncoding {
    /// `7bit`, and the default where the field is missing.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
    /// Anything else: never decoded, never detached.
    Unknown,
}

/// `Content-Disposition` (RFC 2183).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `inline`, and the default where the field is missing.
    Inline,
    /// `attachment`, and every unknown value (RFC 2183, section 2.8).
    Attachment,
}

/// What a part's header says, decoded.
#[derive(Clone, Debug)]
pub struct Head {
    /// The declared type, or the default of the place where the part stands.
    pub media: MediaType,
    /// The transfer encoding.
    pub encoding: TransferEncoding,
    /// The disposition.
    pub disposition: Disposition,
    /// The file name, decoded, *not* made safe; from `filename` or else `name`.
    pub file_name: Option<String>,
    /// `Content-ID` without the angle brackets.
    pub content_id: Option<String>,
    /// `Content-Location`.
    pub content_location: Option<String>,
    /// The `charset` parameter as written.
    pub charset: Option<String>,
    /// The `boundary` parameter of a multipart.
    pub boundary: Option<Vec<u8>>,
}

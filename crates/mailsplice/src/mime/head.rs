//! Header fields, and the decoded header of a part.

use std::{borrow::Cow, mem};

use super::{
    Ambiguity, PartField,
    param::{self, Parameter, Structured},
};

/// The longest charset name that is kept, in bytes; registered names have 45 at most.
const CHARSET_BYTES_MAX: usize = 64;

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
    /// Both halves with the slash; borrowed for the types of most parts.
    text: Cow<'static, str>,
    slash: usize,
    is_entered: bool,
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

/// A part's header, decoded.
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
    /// True if a file name is given at all, readable or not.
    pub is_named: bool,
    /// `Content-ID` without the angle brackets.
    pub content_id: Option<String>,
    /// `Content-Location`.
    pub content_location: Option<String>,
    /// The `charset` parameter as written; `unknown-8bit` (RFC 1428) for one too long to be known.
    pub charset: Option<String>,
    /// The `boundary` parameter of a multipart.
    pub boundary: Option<Vec<u8>>,
}

/// The types of most parts.
const COMMON_TYPES: &[&str] = &[
    "text/plain",
    "text/html",
    "multipart/mixed",
    "multipart/alternative",
    "multipart/related",
    "application/octet-stream",
    "application/pdf",
    "image/jpeg",
    "image/png",
    "message/rfc822",
];

impl MediaType {
    /// `message/rfc822`, the default in a `multipart/digest` (RFC 2046, section 5.1.5).
    pub const MESSAGE_RFC822: Self = Self {
        text: Cow::Borrowed("message/rfc822"),
        slash: 7,
        is_entered: false,
    };

    /// `text/plain`, the default elsewhere (RFC 2045, section 5.2).
    pub const TEXT_PLAIN: Self = Self {
        text: Cow::Borrowed("text/plain"),
        slash: 4,
        is_entered: false,
    };

    /// Makes a type from its two halves.
    pub fn new(main: &str, sub: &str) -> Self {
        Self::of(Cow::Owned(format!("{main}/{sub}")), main.len())
    }

    fn of(text: Cow<'static, str>, slash: usize) -> Self {
        let (main, sub) = (&text[..slash], &text[slash + 1..]);
        Self {
            is_entered: main == "multipart" && !matches!(sub, "signed" | "encrypted" | "report"),
            text,
            slash,
        }
    }

    /// Returns the top-level type: `text`, `application`, …
    #[inline]
    pub fn main(&self) -> &str {
        &self.text[..self.slash]
    }

    /// Returns the subtype: `plain`, `pdf`, …
    #[inline]
    pub fn sub(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// Returns true if this is `main/sub`.
    #[inline]
    pub fn is(&self, main: &str, sub: &str) -> bool {
        // Most types differ in their lengths already.
        self.slash == main.len()
            && self.text.len() == main.len() + 1 + sub.len()
            && self.text.starts_with(main)
            && self.text.ends_with(sub)
    }

    /// Returns true for a multipart that the scanner descends into: any but signed, encrypted and
    /// report.
    #[inline]
    pub(super) fn is_entered(&self) -> bool {
        self.is_entered
    }

    /// Returns both halves with the slash between them.
    pub fn into_text(self) -> Cow<'static, str> {
        self.text
    }

    fn parse(word: Vec<u8>) -> Option<Self> {
        let slash = memchr::memchr(b'/', &word)?;
        if let Some(&common) = COMMON_TYPES.iter().find(|known| known.as_bytes() == word) {
            return Some(Self::of(Cow::Borrowed(common), slash));
        }
        let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(|&b| param::is_token(b));
        (is_token(&word[..slash]) && is_token(&word[slash + 1..]))
            .then(|| Self::of(Cow::Owned(param::text_of(word)), slash))
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl TransferEncoding {
    /// Reads the field of a part of the type `main`.
    ///
    /// # Errors
    /// Readers differ about the encoding, and thus about more than this part.
    fn parse(value: &[u8], main: &str) -> Result<Self, Ambiguity> {
        let token = value.trim_ascii();
        if token.is_empty() || !token.iter().all(|&b| param::is_token(b)) {
            return Err(Ambiguity::Encoding);
        }

        let known: [(&[u8], Self); 5] = [
            (b"7bit", Self::SevenBit),
            (b"8bit", Self::EightBit),
            (b"binary", Self::Binary),
            (b"quoted-printable", Self::QuotedPrintable),
            (b"base64", Self::Base64),
        ];
        let found = known
            .iter()
            .find(|(name, _)| token.eq_ignore_ascii_case(name));
        let encoding = found.map_or(Self::Unknown, |&(_, encoding)| encoding);

        // To Python, a blank behind the token or a fold before it is part of the value, which is
        // then an encoding that it does not know. That changes nothing where nothing is to be
        // decoded.
        let is_strict = value.trim_ascii_start() == token && !value.contains(&b'\n');

        match main {
            // No reader decodes a multipart.
            "multipart" => Ok(Self::SevenBit),
            _ if is_strict || encoding.is_identity() => Ok(encoding),
            // A reader that decodes it finds parts that others do not.
            "message" => Err(Ambiguity::Encoding),
            _ => Ok(Self::Unknown),
        }
    }

    /// Returns true if the body stands in the message as it is.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// Returns the first field describing a part that occurs more than once, whatever its values.
pub fn repeated(fields: &[Field]) -> Option<PartField> {
    let all = [PartField::Type, PartField::Disposition, PartField::Encoding];
    all.into_iter().find(|which| {
        let is_it = |field: &&Field| field.name.eq_ignore_ascii_case(which.as_str().as_bytes());
        fields.iter().filter(is_it).count() > 1
    })
}

/// Splits a part's header block, blank line included, into its fields.
///
/// # Errors
/// The block has something that readers differ about: a line that is no field, a NUL, a bare CR, a
/// line of blanks only.
pub fn split(block: &[u8]) -> Result<Vec<Field>, Ambiguity> {
    let field = |(name, value): (&[u8], &[u8])| Field {
        name: name.to_vec(),
        value: folded_with_crlf(value),
    };
    HeaderFields { block }.map(|line| line.map(field)).collect()
}

fn folded_with_crlf(value: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(value.len());
    for line in value.split_inclusive(|&b| b == b'\n') {
        let text = text(line);
        folded.extend_from_slice(text);
        if text.len() < line.len() {
            folded.extend_from_slice(b"\r\n");
        }
    }
    folded
}

/// Checks fields that were split by somebody else: those of a milter or of a file.
///
/// # Errors
/// As for [`split`]: the fields have something that readers differ about.
pub fn check(fields: &[Field]) -> Result<(), Ambiguity> {
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let is_odd = |field: &Field| {
        let folded = field.value.split(|&b| b == b'\n').skip(1);
        let mut folded = folded.filter(|_| describes(&field.name));
        field.name.is_empty()
            || !field
                .name
                .iter()
                .all(|&b| b.is_ascii_graphic() && b != b':')
            || field.value.contains(&0)
            || has_bare_cr(&field.value)
            || folded.any(is_blank)
    };
    if fields.iter().any(is_odd) {
        Err(Ambiguity::Header)
    } else {
        Ok(())
    }
}

fn has_bare_cr(value: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', value).any(|at| value.get(at + 1) != Some(&b'\n'))
}

/// The fields of a part's header block: names, and values as they stand there.
struct HeaderFields<'a> {
    block: &'a [u8],
}

impl<'a> Iterator for HeaderFields<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Ambiguity>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, mut rest) = next_line(self.block);
        if first.is_empty() {
            return None;
        }

        let Some(colon) = colon(first) else {
            self.block = b"";
            return Some(Err(Ambiguity::Header));
        };

        let mut end = first.len();
        while let [b' ' | b'\t', ..] = rest {
            let (text, after) = next_line(rest);
            let is_blank = || text.trim_ascii().is_empty();
            if is_odd(text) || describes(&first[..colon]) && is_blank() {
                self.block = b"";
                return Some(Err(Ambiguity::Header));
            }
            end = self.block.len() - rest.len() + text.len();
            rest = after;
        }

        let field = (&first[..colon], &self.block[colon + 1..end]);
        self.block = rest;
        Some(Ok(field))
    }
}

/// Returns true for a field that describes a part. In others a folded line of blanks does no harm.
fn describes(name: &[u8]) -> bool {
    let starts = |with: &[u8]| {
        let start = name.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    starts(b"content-") || starts(b"mime-")
}

/// Splits a block into its first line, without the line end, and the rest.
fn next_line(block: &[u8]) -> (&[u8], &[u8]) {
    let len = memchr::memchr(b'\n', block).map_or(block.len(), |lf| lf + 1);
    let (line, rest) = block.split_at(len);
    (text(line), rest)
}

fn text(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Returns the length of the field name at the start of this line, if the line is a field.
fn colon(line: &[u8]) -> Option<usize> {
    let name = line
        .iter()
        .take_while(|&&b| b.is_ascii_graphic() && b != b':');
    let colon = name.count();
    (colon > 0 && line.get(colon) == Some(&b':') && !is_odd(line)).then_some(colon)
}

fn is_odd(line: &[u8]) -> bool {
    memchr::memchr2(0, b'\r', line).is_some()
}

/// The values of the fields that describe a part.
#[derive(Default)]
struct Described<'a> {
    content_type: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
    /// The one of the first three that occurs twice with different values.
    repeated: Option<PartField>,
}

impl<'a> Described<'a> {
    fn of(block: &'a [u8]) -> Result<Self, Ambiguity> {
        let mut described = Self::default();
        for line in (HeaderFields { block }) {
            let (name, value) = line?;
            described.read(name, value);
        }
        Ok(described)
    }

    fn is_silent(&self) -> bool {
        [
            self.content_type,
            self.disposition,
            self.encoding,
            self.id,
            self.location,
        ]
        .iter()
        .all(Option::is_none)
    }

    fn read(&mut self, name: &[u8], value: &'a [u8]) {
        const PREFIX: &[u8] = b"content-";
        let Some((start, rest)) = name.split_at_checked(PREFIX.len()) else {
            return;
        };
        if !start.eq_ignore_ascii_case(PREFIX) {
            return;
        }

        let is = |name: &[u8]| rest.eq_ignore_ascii_case(name);
        let (place, field) = match rest.len() {
            4 if is(b"type") => (&mut self.content_type, PartField::Type),
            11 if is(b"disposition") => (&mut self.disposition, PartField::Disposition),
            17 if is(b"transfer-encoding") => (&mut self.encoding, PartField::Encoding),
            2 if is(b"id") => return keep_first(&mut self.id, value),
            8 if is(b"location") => return keep_first(&mut self.location, value),
            _ => return,
        };

        // To some readers a blank at the end is one more byte.
        let differs = |before: &[u8]| before.trim_ascii_start() != value.trim_ascii_start();
        if place.replace(value).is_some_and(differs) {
            self.repeated = Some(field);
        }
    }
}

fn keep_first<'a>(place: &mut Option<&'a [u8]>, value: &'a [u8]) {
    place.get_or_insert(value);
}

impl Head {
    /// Reads the fields of a part; `default` is the type where none is declared.
    ///
    /// # Errors
    /// Readers differ about the part's type, encoding or boundary.
    pub fn read(fields: &[Field], default: MediaType) -> Result<Self, Ambiguity> {
        let mut described = Described::default();
        for field in fields {
            described.read(&field.name, &field.value);
        }
        Self::of(&described, default)
    }

    /// Reads a part's header block, blank line included, as [`split`] and [`Head::read`] would.
    pub fn parse(block: &[u8], default: MediaType) -> Result<Self, Ambiguity> {
        let described = Described::of(block)?;
        Self::of(&described, default)
    }

    /// As [`Head::parse`]; `None` where the block says no more of the part than `silent`, which
    /// [`Head::silent`] made.
    pub(super) fn parse_if_told(block: &[u8], silent: &Self) -> Result<Option<Self>, Ambiguity> {
        let described = Described::of(block)?;
        if described.is_silent() {
            return Ok(None);
        }
        Self::of(&described, silent.media.clone()).map(Some)
    }

    /// Makes the head of a part whose header says nothing about it.
    pub(super) const fn silent(default: MediaType) -> Self {
        Self {
            media: default,
            encoding: TransferEncoding::SevenBit,
            disposition: Disposition::Inline,
            file_name: None,
            is_named: false,
            content_id: None,
            content_location: None,
            charset: None,
            boundary: None,
        }
    }

    fn of(described: &Described<'_>, default: MediaType) -> Result<Self, Ambiguity> {
        if let Some(field) = described.repeated {
            return Err(Ambiguity::RepeatedField(field));
        }

        let mut content_type = described.content_type.map(Structured::parse);
        let disposition = described.disposition.map(Structured::parse);
        let media = match &mut content_type {
            Some(field) => {
                let word = mem::take(&mut field.word);
                MediaType::parse(word).ok_or(Ambiguity::ContentType)?
            }
            None => default,
        };
        let encoding = match described.encoding {
            Some(value) => TransferEncoding::parse(value, media.main())?,
            None => TransferEncoding::SevenBit,
        };

        let name_in = |field: &Option<Structured>, name| field.as_ref()?.file_name(name);
        let has = |field: &Option<Structured>, name: &str| {
            field
                .as_ref()
                .is_some_and(|field| field.all(name).next().is_some())
        };

        let mut head = Self {
            is_named: has(&disposition, "filename") || has(&content_type, "name"),
            encoding,
            disposition: disposition_of(&disposition),
            file_name: name_in(&disposition, "filename").or(name_in(&content_type, "name")),
            content_id: described.id.map(content_id),
            content_location: described.location.map(unfolded),
            charset: content_type.as_ref().and_then(charset_of),
            boundary: None,
            media,
        };

        if head.media.main() == "multipart" {
            let value = described.content_type.unwrap_or_default();
            head.boundary = Some(boundary_of(value, content_type)?);
        }
        Ok(head)
    }
}

/// Returns the boundary of a multipart if all readers read the same one.
fn boundary_of(value: &[u8], field: Option<Structured>) -> Result<Vec<u8>, Ambiguity> {
    let field = field
        .filter(|field| field.clean)
        .ok_or(Ambiguity::Boundary)?;
    let is_one = |parameter: &Parameter| parameter.is_a("boundary");
    let mut found = field.parameters.into_iter().filter(is_one);
    match (found.next(), found.next()) {
        (Some(only), None)
            if only.name == "boundary"
                && only.strict
                && is_plain(&only.value)
                && !is_folded(&only.value, value) =>
        {
            Ok(only.value)
        }
        _ => Err(Ambiguity::Boundary),
    }
}

/// Returns true if the boundary is folded between its quotes: some readers keep the line end in it,
/// some its blank, some nothing.
fn is_folded(boundary: &[u8], value: &[u8]) -> bool {
    let may_be = boundary.contains(&b' ') && value.contains(&b'\n');
    may_be && {
        let as_written = Structured::parse_folded(value);
        let found = as_written.get("boundary");
        found.is_none_or(|parameter| parameter.value != boundary)
    }
}

/// Returns true if a boundary is printable ASCII, neither starts nor ends with a blank (RFC 2046,
/// section 5.1.1, about the end), holds nothing that looks like an RFC 2047 word (GMime decodes
/// it), and has no angle brackets around it (Python takes them off).
fn is_plain(boundary: &[u8]) -> bool {
    boundary.iter().all(|&b| b.is_ascii_graphic() || b == b' ')
        && boundary.first().is_some_and(|&b| b != b' ')
        && boundary.last().is_some_and(|&b| b != b' ')
        && boundary.first() != Some(&b'<')
        && !boundary.windows(2).any(|pair| pair == b"=?")
}

/// Reads the disposition. A word that is no disposition type at all says nothing, unless
/// `attachment` is part of it; an unknown type means an attachment (RFC 2183, section 2.8).
fn disposition_of(field: &Option<Structured>) -> Disposition {
    let is_type = |word: &[u8]| word.iter().all(|&b| param::is_token(b));
    let says = |word| memchr::memmem::find(word, b"attachment").is_some();
    match field.as_ref().map(|field| field.word.as_slice()) {
        None | Some(b"inline" | b"") => Disposition::Inline,
        Some(word) if !is_type(word) && !says(word) => Disposition::Inline,
        Some(_) => Disposition::Attachment,
    }
}

fn charset_of(field: &Structured) -> Option<String> {
    let value = field.get("charset")?.value.trim_ascii();
    if value.len() > CHARSET_BYTES_MAX {
        return Some("unknown-8bit".to_owned());
    }
    Some(String::from_utf8_lossy(value).into_owned())
}

fn unfolded(value: &[u8]) -> String {
    String::from_utf8_lossy(&param::unfold(value))
        .trim()
        .to_owned()
}

/// Reads a `Content-ID`: the text between the angle brackets, without the comments around them.
/// Encoded words in it are decoded, though none may be there.
fn content_id(value: &[u8]) -> String {
    let id = param::plain_name(&param::unfold(value));
    let inner = id.split_once('<').map_or(&*id, |(_, inner)| inner);
    let inner = inner.rsplit_once('>').map_or(inner, |(inner, _)| inner);
    inner.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &str) -> Result<Head, Ambiguity> {
        let at_once = Head::parse(block.as_bytes(), MediaType::TEXT_PLAIN);
        let read = || Head::read(&split(block.as_bytes())?, MediaType::TEXT_PLAIN);
        assert_eq!(format!("{at_once:?}"), format!("{:?}", read()));
        at_once
    }

    #[test]
    fn a_head_is_read_whole() {
        let head = read(
            "Content-Type: Image/PNG; name=\"x.png\"\r\nContent-Transfer-Encoding: BASE64\r\n\
             Content-Disposition: attachment;\r\n filename=\"y.png\"\r\nContent-ID: <i1@x>\r\n\r\n",
        )
        .unwrap();
        assert!(head.media.is("image", "png"));
        assert_eq!(head.encoding, TransferEncoding::Base64);
        assert_eq!(head.disposition, Disposition::Attachment);
        assert_eq!(head.file_name.as_deref(), Some("y.png"));
        assert_eq!(head.content_id.as_deref(), Some("i1@x"));
    }

    #[test]
    fn a_charset_too_long_to_be_known_is_not_kept() {
        for (len, kept) in [(CHARSET_BYTES_MAX, CHARSET_BYTES_MAX), (60_000, 12)] {
            let head = read(&format!(
                "Content-Type: text/plain; charset={}\r\n\r\n",
                "x".repeat(len)
            ));
            assert_eq!(head.unwrap().charset.unwrap().len(), kept);
        }
    }

    #[test]
    fn an_empty_header_gives_the_default_type() {
        let head = read("\r\n").unwrap();
        assert!(head.media.is("text", "plain"));
        assert_eq!(head.encoding, TransferEncoding::SevenBit);
    }

    #[test]
    fn what_is_no_disposition_type_says_nothing() {
        use Disposition::{Attachment, Inline};
        for (value, expected) in [
            ("attachment", Attachment),
            ("ATTACHMENT (really)", Attachment),
            ("attachment filename=a", Attachment),
            ("x-unknown", Attachment),
            ("inline", Inline),
            ("=?utf-8?Q?invalid?=", Inline),
            ("\"attachment\"", Attachment),
            ("", Inline),
        ] {
            let head = read(&format!("Content-Disposition: {value}\r\n\r\n")).unwrap();
            assert_eq!(head.disposition, expected, "{value}");
        }
    }

    #[test]
    fn a_boundary_with_a_blank_may_stand_on_a_line_of_its_own() {
        let head = read(
            "Content-Type: multipart/mixed;\r\n boundary=\"a b\";\r\n name=\"c\r\n d\"\r\n\r\n",
        );
        assert_eq!(head.unwrap().boundary.as_deref(), Some(&b"a b"[..]));
    }

    #[test]
    fn blanks_around_an_encoding_do_not_matter_where_nothing_is_encoded() {
        for value in ["8bit ", "\r\n 7bit", " binary\t"] {
            let head = read(&format!("Content-Transfer-Encoding: {value}\r\n\r\n")).unwrap();
            assert!(head.encoding.is_identity(), "{value}");
        }
    }

    #[test]
    fn an_encoding_that_some_readers_do_not_know_is_unknown() {
        for value in [
            "base64 ",
            "\r\n base64",
            " quoted-printable\t",
            " x-uuencode",
        ] {
            let head = read(&format!("Content-Transfer-Encoding:{value}\r\n\r\n")).unwrap();
            assert_eq!(head.encoding, TransferEncoding::Unknown, "{value}");
        }
        for value in ["base64", "x-uuencode", "quoted-printable "] {
            let block = format!(
                "Content-Type: multipart/mixed; boundary=b\r\n\
                 Content-Transfer-Encoding: {value}\r\n\r\n"
            );
            let encoding = read(&block).unwrap().encoding;
            assert_eq!(encoding, TransferEncoding::SevenBit, "{value}");
        }
    }

    #[test]
    fn a_field_that_is_there_twice_is_found_whatever_it_says() {
        let repeated = |block: &str| repeated(&split(block.as_bytes()).unwrap());
        for (twice, found) in [
            (
                "Content-Type: a/b\r\ncontent-type: a/b\r\n\r\n",
                Some(PartField::Type),
            ),
            (
                "Content-Type: a/b\r\nSubject: a\r\nSubject: b\r\n\r\n",
                None,
            ),
        ] {
            assert_eq!(repeated(twice), found, "{twice}");
        }
    }

    #[test]
    fn a_field_said_twice_is_one_if_it_says_the_same() {
        let twice = |one, other| {
            read(&format!(
                "Content-Type: {one}\r\nContent-Type:{other}\r\n\r\n"
            ))
        };
        let head = twice("image/png", "  image/png").unwrap();
        assert!(head.media.is("image", "png"));
        for other in ["image/PNG", "image/png "] {
            assert_eq!(
                twice("image/png", other).err(),
                Some(Ambiguity::RepeatedField(PartField::Type)),
                "{other}"
            );
        }
    }

    #[test]
    fn fields_split_by_others_are_held_to_the_same_rules() {
        let field = |name: &str, value: &str| Field {
            name: name.into(),
            value: value.into(),
        };
        for good in [
            field("A", " b"),
            field("A", " b\n c"),
            field("A", " b\r\n\tc"),
            field("A", " b\r\n\t\r\n c"),
            field("A", ""),
        ] {
            assert_eq!(check(std::slice::from_ref(&good)), Ok(()), "{good:?}");
        }
        for odd in [
            field("", "b"),
            field("A ", "b"),
            field("A", "b\0"),
            field("A", "b\rc"),
            field("A", "b\r"),
            field("Content-Type", "b\n \n c"),
        ] {
            assert_eq!(
                check(std::slice::from_ref(&odd)),
                Err(Ambiguity::Header),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn doubtful_headers_are_ambiguous() {
        use Ambiguity::*;
        let table = [
            (
                "Content-Type: text/plain\r\ncontent-type: text/html\r\n\r\n",
                RepeatedField(PartField::Type),
            ),
            ("Content-Type: image/png,text/html\r\n\r\n", ContentType),
            ("Content-Type: image\r\n\r\n", ContentType),
            (
                "Content-Type: text/plain (c); charset=x\r\n\r\n",
                ContentType,
            ),
            ("Content-Transfer-Encoding: base64 (c)\r\n\r\n", Encoding),
            ("Content-Transfer-Encoding: base64, 7bit\r\n\r\n", Encoding),
            ("Content-Type: multipart/mixed\r\n\r\n", Boundary),
            (
                "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a; BOUNDARY=b\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a; boundary*0=b\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary*=utf-8''a\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=\"=?utf-8?q?b?=\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=\"b \"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=\"a\r\n b\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; name=\"a b\";\r\n boundary=\"a\r\n b\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary==_b\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=a/b\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=\"b=?utf-8?q?b?=\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=\"<b>\"\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64 \r\n\r\n",
                Encoding,
            ),
            (
                "Content-Type: multipart/mixed; boundary=b (c)\r\n\r\n",
                Boundary,
            ),
            ("no colon\r\n\r\n", Header),
            ("Content-Type : text/plain\r\n\r\n", Header),
            (" folded first\r\n\r\n", Header),
            ("Content-ID: b\r\n \r\n\r\n", Header),
            ("A: b\rc\r\n\r\n", Header),
            ("A: b\0c\r\n\r\n", Header),
        ];
        for (block, why) in table {
            assert_eq!(read(block).err(), Some(why), "{block}");
        }
    }
}

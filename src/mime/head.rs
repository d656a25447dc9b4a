//! Header fields, and what a part's header says.

use super::{
    Ambiguity,
    param::{self, Structured},
};

/// The longest name of a charset that is kept, in bytes; the registered ones have 45 at most.
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
    /// Whether a file name is given at all, readable or not.
    pub is_named: bool,
    /// `Content-ID` without the angle brackets.
    pub content_id: Option<String>,
    /// `Content-Location`.
    pub content_location: Option<String>,
    /// The `charset` parameter as written; `unknown-8bit` (RFC 1428) for one that is too long to be
    /// known.
    pub charset: Option<String>,
    /// The `boundary` parameter of a multipart.
    pub boundary: Option<Vec<u8>>,
}

impl MediaType {
    /// Makes a type from its two halves.
    pub fn new(main: &str, sub: &str) -> Self {
        Self {
            main: main.to_owned(),
            sub: sub.to_owned(),
        }
    }

    /// Whether this is `main/sub`.
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.main == main && self.sub == sub
    }

    fn parse(word: &[u8]) -> Option<Self> {
        let slash = memchr::memchr(b'/', word)?;
        let (main, sub) = (&word[..slash], &word[slash + 1..]);
        let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(|&b| param::is_token(b));
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        (is_token(main) && is_token(sub)).then(|| Self {
            main: text(main),
            sub: text(sub),
        })
    }
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.main, self.sub)
    }
}

impl TransferEncoding {
    fn parse(value: &[u8]) -> Result<Self, Ambiguity> {
        // A blank behind the token or a fold before it is part of the value to Python.
        let token = value.trim_ascii_start().to_ascii_lowercase();
        if token.is_empty() || value.contains(&b'\n') || !token.iter().all(|&b| param::is_token(b))
        {
            return Err(Ambiguity::Encoding);
        }
        Ok(match token.as_slice() {
            b"7bit" => Self::SevenBit,
            b"8bit" => Self::EightBit,
            b"binary" => Self::Binary,
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            _ => Self::Unknown,
        })
    }

    /// Whether the body stands in the message as it is.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// Splits a part's header block, blank line included, into its fields.
///
/// # Errors
/// Something in it that readers differ about: a line that is no field, a NUL, a bare CR, a line
/// of blanks only.
pub fn split(block: &[u8]) -> Result<Vec<Field>, Ambiguity> {
    let mut fields: Vec<Field> = Vec::new();
    for line in block.split_inclusive(|&b| b == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if memchr::memchr2(0, b'\r', text).is_some() {
            return Err(Ambiguity::Header);
        }
        match (text.first(), fields.last_mut()) {
            (None, _) => break,
            (Some(b' ' | b'\t'), Some(field)) if !text.trim_ascii().is_empty() => {
                field.value.extend_from_slice(b"\r\n");
                field.value.extend_from_slice(text);
            }
            _ => fields.push(field(text)?),
        }
    }
    Ok(fields)
}

/// Checks fields that were split by somebody else: a milter's, a file's.
///
/// # Errors
/// As [`split`]: something in them that readers differ about.
pub fn check(fields: &[Field]) -> Result<(), Ambiguity> {
    let is_blank = |line: &[u8]| line.trim_ascii().is_empty();
    let is_odd = |field: &Field| {
        let folded = field.value.split(|&b| b == b'\n').skip(1);
        field.name.is_empty()
            || !field
                .name
                .iter()
                .all(|&b| b.is_ascii_graphic() && b != b':')
            || field.value.contains(&0)
            || has_bare_cr(&field.value)
            || folded.into_iter().any(is_blank)
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

fn field(line: &[u8]) -> Result<Field, Ambiguity> {
    let colon = memchr::memchr(b':', line).ok_or(Ambiguity::Header)?;
    let name = &line[..colon];
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return Err(Ambiguity::Header);
    }
    Ok(Field {
        name: name.to_vec(),
        value: line[colon + 1..].to_vec(),
    })
}

impl Head {
    /// Reads what a part's fields say; `default` is the type where none is declared.
    ///
    /// # Errors
    /// Readers would differ about the part's type, encoding or boundary.
    pub fn read(fields: &[Field], default: MediaType) -> Result<Self, Ambiguity> {
        let content_type = only(fields, b"content-type")?.map(|f| Structured::parse(&f.value));
        let disposition = only(fields, b"content-disposition")?;
        let disposition = disposition.map(|f| Structured::parse(&f.value));
        let encoding = match only(fields, b"content-transfer-encoding")? {
            Some(field) => TransferEncoding::parse(&field.value)?,
            None => TransferEncoding::SevenBit,
        };
        let media = match &content_type {
            Some(field) => MediaType::parse(&field.word).ok_or(Ambiguity::ContentType)?,
            None => default,
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
            content_id: first_text(fields, b"content-id").map(without_brackets),
            content_location: first_text(fields, b"content-location"),
            charset: content_type.as_ref().and_then(charset_of),
            boundary: None,
            media,
        };
        if head.media.main == "multipart" {
            head.boundary = Some(boundary_of(content_type.as_ref(), encoding)?);
        }
        Ok(head)
    }
}

/// The boundary of a multipart, if all readers read the same one.
fn boundary_of(
    field: Option<&Structured>,
    encoding: TransferEncoding,
) -> Result<Vec<u8>, Ambiguity> {
    if !encoding.is_identity() {
        return Err(Ambiguity::Encoding);
    }
    let field = field
        .filter(|field| field.clean)
        .ok_or(Ambiguity::Boundary)?;
    let mut found = field.all("boundary");
    match (found.next(), found.next()) {
        (Some(only), None) if only.name == "boundary" && only.strict && is_plain(&only.value) => {
            Ok(only.value.clone())
        }
        _ => Err(Ambiguity::Boundary),
    }
}

/// Whether a boundary is printable ASCII, does not end in a blank (RFC 2046, section 5.1.1), has
/// nothing in it that looks like an RFC 2047 word (GMime decodes it), and no angle brackets around
/// it (Python takes them off).
fn is_plain(boundary: &[u8]) -> bool {
    boundary.iter().all(|&b| b.is_ascii_graphic() || b == b' ')
        && boundary.first().is_some_and(|&b| b != b' ')
        && boundary.last().is_some_and(|&b| b != b' ')
        && boundary.first() != Some(&b'<')
        && memchr::memmem::find(boundary, b"=?").is_none()
}

fn disposition_of(field: &Option<Structured>) -> Disposition {
    match field.as_ref().map(|field| field.word.as_slice()) {
        None | Some(b"inline" | b"") => Disposition::Inline,
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

/// The only field of a name (given in lower case).
fn only<'a>(fields: &'a [Field], name: &[u8]) -> Result<Option<&'a Field>, Ambiguity> {
    let mut found = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        _ => Err(Ambiguity::RepeatedField),
    }
}

fn first_text(fields: &[Field], name: &[u8]) -> Option<String> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(name))?;
    Some(
        String::from_utf8_lossy(&param::unfold(&field.value))
            .trim()
            .to_owned(),
    )
}

fn without_brackets(id: String) -> String {
    id.trim_start_matches('<').trim_end_matches('>').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &str) -> Result<Head, Ambiguity> {
        Head::read(&split(block.as_bytes())?, MediaType::new("text", "plain"))
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
    fn fields_split_by_others_are_held_to_the_same_rules() {
        let field = |name: &str, value: &str| Field {
            name: name.into(),
            value: value.into(),
        };
        for good in [
            field("A", " b"),
            field("A", " b\n c"),
            field("A", " b\r\n\tc"),
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
            field("A", "b\n \n c"),
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
                RepeatedField,
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
            ("Content-Transfer-Encoding: base64 \r\n\r\n", Encoding),
            ("Content-Transfer-Encoding:\r\n base64\r\n\r\n", Encoding),
            (
                "Content-Type: multipart/mixed; boundary=b (c)\r\n\r\n",
                Boundary,
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n",
                Encoding,
            ),
            ("no colon\r\n\r\n", Header),
            ("Content-Type : text/plain\r\n\r\n", Header),
            (" folded first\r\n\r\n", Header),
            ("A: b\r\n \r\n\r\n", Header),
            ("A: b\rc\r\n\r\n", Header),
            ("A: b\0c\r\n\r\n", Header),
        ];
        for (block, why) in table {
            assert_eq!(read(block).err(), Some(why), "{block}");
        }
    }
}

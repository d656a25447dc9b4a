//! Bodies made to slow the engine down. All are `multipart/mixed` with [`BOUNDARY`].

#![allow(dead_code, reason = "each bench uses some")]

use std::time::Duration;

use mailsplice::mime::Field;

/// The boundary of each body.
pub(crate) const BOUNDARY: &str = "=_b1";

/// How much slower, byte for byte, an adversary may be than ordinary mail.
pub(crate) const SLOWER_MAX: f64 = 12.0;

/// How long a message may take that is all structure, at the default limits: as many parts or
/// multiparts as are allowed, and no body in any. Each costs what its events cost, however few
/// bytes it has, so that a bar by the byte says little of it; what the limits let through does.
pub(crate) const STRUCTURE_MAX: Duration = Duration::from_millis(10);

/// What time may be taken by four times the bytes: 4 is linear, 16 is quadratic.
pub(crate) const GROWTH_MAX: f64 = 6.0;

/// The header of a message with such a body.
pub(crate) fn header() -> Vec<Field> {
    let field = |name: &str, value: &str| Field {
        name: name.into(),
        value: value.into(),
    };
    let content_type = format!(" multipart/mixed; boundary=\"{BOUNDARY}\"");
    vec![
        field("From", " Alice <alice@example.org>"),
        field("Subject", " dossier"),
        field("MIME-Version", " 1.0"),
        field("Content-Type", &content_type),
    ]
}

/// A body made to slow the engine down, in any size.
pub(crate) struct Adversary {
    pub(crate) name: &'static str,
    /// Makes a body of about so many bytes.
    pub(crate) make: fn(usize) -> Vec<u8>,
    /// The smallest of its three sizes; the others are twice and four times that.
    pub(crate) bytes: usize,
    /// Whether the largest has about as many parts as are allowed.
    pub(crate) is_limit: bool,
}

const LARGE: usize = 1 << 20;
/// A text of four times this is the longest that takes the notice.
const TEXT: usize = 250_000;
/// Four times this is about as many bytes as the most parts of ten bytes.
const PARTS: usize = 25_000;

const TEXT_PLAIN: &str = "Content-Type: text/plain";
const PDF_QP: &str = "Content-Type: application/pdf; name=a.pdf\r\n\
                      Content-Transfer-Encoding: quoted-printable";
const PDF_BASE64: &str = "Content-Type: application/pdf; name=a.pdf\r\n\
                          Content-Transfer-Encoding: base64";

const fn large(name: &'static str, make: fn(usize) -> Vec<u8>) -> Adversary {
    Adversary {
        name,
        make,
        bytes: LARGE,
        is_limit: false,
    }
}

const fn text(name: &'static str, make: fn(usize) -> Vec<u8>) -> Adversary {
    Adversary {
        name,
        make,
        bytes: TEXT,
        is_limit: false,
    }
}

const fn parts(name: &'static str, make: fn(usize) -> Vec<u8>) -> Adversary {
    Adversary {
        name,
        make,
        bytes: PARTS,
        is_limit: true,
    }
}

/// They slow down the search for delimiters.
pub(crate) const LINES: &[Adversary] = &[
    large("two dashes on each line", |n| leaf(TEXT_PLAIN, "--\r\n", n)),
    large("nothing but dashes", |n| leaf(TEXT_PLAIN, "-", n)),
    large("dashes and commas", |n| leaf(TEXT_PLAIN, "-,--,", n)),
    large("a delimiter but for its end on each line", |n| {
        leaf(TEXT_PLAIN, "--=_b\r\n", n)
    }),
    large("the same, and blanks behind it", |n| {
        leaf(TEXT_PLAIN, &format!("--=_b{}\r\n", " ".repeat(60)), n)
    }),
    large("nearly each of 60 short delimiters on each line", |n| {
        deep("x", "--x\r\n", n)
    }),
    large("nearly each of 60 long delimiters on each line", |n| {
        let common = "----=_NextPart_000_0015_01DC5A";
        deep(common, &format!("--{common}\r\n"), n)
    }),
    large("nothing but CR", |n| leaf(TEXT_PLAIN, "\r", n)),
    large("nothing but empty lines", |n| leaf(TEXT_PLAIN, "\r\n", n)),
    large("a message in a message, all parameters", |n| {
        leaf("Content-Type: message/rfc822", "=x=\"\r\n", n)
    }),
];

/// They slow down transfer decoding.
pub(crate) const BODIES: &[Adversary] = &[
    large("quoted-printable, every byte escaped", |n| {
        leaf(PDF_QP, &format!("{}=\r\n", "=3D".repeat(24)), n)
    }),
    large("quoted-printable, soft breaks only", |n| {
        leaf(PDF_QP, "=\r\n", n)
    }),
    large("quoted-printable, blanks held at each line", |n| {
        leaf(PDF_QP, &format!("{}x\r\n", " ".repeat(1000)), n)
    }),
    large("base64, one symbol a line", |n| {
        leaf(PDF_BASE64, &"A\r\n".repeat(4), n)
    }),
    large("base64, blanks between all symbols", |n| {
        leaf(PDF_BASE64, &"A ".repeat(4), n)
    }),
];

/// They slow down what is done for each part and for each header.
pub(crate) const STRUCTURE: &[Adversary] = &[
    parts("tiny parts, up to the most that are allowed", |n| {
        ["--=_b1\r\n\r\n".repeat(n / 10 - 2), close()]
            .concat()
            .into()
    }),
    parts("tiny files, up to the most that are allowed", |n| {
        let part = "--=_b1\r\nContent-Disposition: attachment\r\n\r\n";
        [part.repeat(n / 10 - 2), close()].concat().into()
    }),
    parts("tiny parts inside 60 multiparts", |n| {
        let inside = |at: usize| format!("--x{at:02}\r\n\r\n");
        deep("x", &inside(59), n)
    }),
    parts("multiparts opened and closed inside 60 others", |n| {
        let inside = "--x59\r\nContent-Type: multipart/x; boundary=x60\r\n\r\n--x60--\r\n";
        deep("x", inside, n)
    }),
    large("headers near their limit, of short fields", |n| {
        headers(&"a:\r\n".repeat(16_000), n)
    }),
    large("headers near their limit, of one folded field", |n| {
        headers(&format!("a:{}\r\n", "\r\n b".repeat(15_000)), n)
    }),
    large("names in thousands of sections", |n| {
        let section = |at: usize| format!(";\r\n filename*{at}*=%41");
        let sections: String = (0..2700).map(section).collect();
        headers(&format!("Content-Disposition: attachment{sections}\r\n"), n)
    }),
    large("thousands of parameters", |n| {
        let parameters: String = (0..5000).map(|at| format!("; a{at}=b")).collect();
        headers(&format!("Content-Type: text/plain{parameters}\r\n"), n)
    }),
    large("names of thousands of encoded words", |n| {
        let words = " =?utf-8?q?=41?=".repeat(3900);
        headers(
            &format!("Content-Disposition: attachment; filename=\"{words}\"\r\n"),
            n,
        )
    }),
];

/// They slow down the place of the notice: each comes with a file that goes.
pub(crate) const TEXTS: &[Adversary] = &[
    text("HTML, < everywhere", |n| with_file("html", "<", n)),
    text("HTML, unclosed tags", |n| with_file("html", "<a b", n)),
    text("HTML, elements without end", |n| {
        with_file("html", "<p>", n)
    }),
    text("HTML, nested quotes", |n| {
        with_file("html", "<blockquote>", n)
    }),
    text("HTML, nested divisions of a quote", |n| {
        with_file("html", "<div class=gmail_quote>", n)
    }),
    text("HTML, comments begun", |n| with_file("html", "<!--", n)),
    text("HTML, half character references", |n| {
        with_file("html", "&am", n)
    }),
    text("HTML, references to files", |n| {
        with_file("html", "cid:a ", n)
    }),
    text("HTML, references without end", |n| {
        with_file("html", "cid:", n)
    }),
    text("text, quoted lines", |n| with_file("plain", "> a\r\n", n)),
    text("text, signature delimiters", |n| {
        with_file("plain", "-- \r\n", n)
    }),
    text("text, headings of quotes", |n| {
        with_file("plain", "On Monday, Bob wrote:\r\n", n)
    }),
    text("text, empty lines", |n| with_file("plain", "\r\n", n)),
];

fn close() -> String {
    format!("--{BOUNDARY}--\r\n")
}

fn part(header: &str, body: &str) -> String {
    format!("--{BOUNDARY}\r\n{header}\r\n\r\n{body}\r\n")
}

/// One part with this over and over.
fn leaf(header: &str, unit: &str, bytes: usize) -> Vec<u8> {
    let body = unit.repeat(bytes / unit.len());
    [part(header, &body), close()].concat().into_bytes()
}

/// Sixty open multiparts whose boundaries have a common start, and this over and over inside.
fn deep(common: &str, unit: &str, bytes: usize) -> Vec<u8> {
    let mut outer = BOUNDARY.to_owned();
    let mut body = String::new();
    for at in 0..60 {
        let inner = format!("{common}{at:02}");
        body +=
            &format!("--{outer}\r\nContent-Type: multipart/mixed; boundary=\"{inner}\"\r\n\r\n");
        outer = inner;
    }
    body += &unit.repeat(bytes / unit.len());
    [body, close()].concat().into_bytes()
}

/// Parts without a body, all with this header.
fn headers(header: &str, bytes: usize) -> Vec<u8> {
    let part = format!("--{BOUNDARY}\r\n{header}\r\n");
    let parts = (bytes / part.len()).max(1);
    [part.repeat(parts), close()].concat().into_bytes()
}

/// A text with this over and over, and a file.
fn with_file(subtype: &str, unit: &str, bytes: usize) -> Vec<u8> {
    let text = unit.repeat(bytes / unit.len());
    let text = part(&format!("Content-Type: text/{subtype}"), &text);
    let file = part(PDF_BASE64, &"QUJD".repeat(200_000));
    [text, file, close()].concat().into_bytes()
}

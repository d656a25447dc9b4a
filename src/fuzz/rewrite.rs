//! The rewriter: the author's text stays whole around one insertion.

use jiff::{Timestamp, tz::TimeZone};
use mailsplice::{
    l10n::Language,
    mime::{Head, MediaType, TransferEncoding, head},
    notice::{Notice, NoticeFile},
    rewrite::{
        Eol, Position, Splice, apply,
        insert::{self, TextKind, TextPart},
    },
};

use super::{byte, choice, reference};

const LINK: &str = "https://drop.example.org/0123456789abcdefghijkl";

const CHARSETS: [Option<&str>; 12] = [
    None,
    Some("us-ascii"),
    Some("utf-8"),
    Some("iso-8859-1"),
    Some("windows-1252"),
    Some("iso-8859-15"),
    Some("koi8-r"),
    Some("shift_jis"),
    Some("iso-2022-jp"),
    Some("gb18030"),
    Some("big5"),
    Some("utf-16"),
];

const ENCODINGS: [(Option<&str>, TransferEncoding); 6] = [
    (None, TransferEncoding::SevenBit),
    (Some("7bit"), TransferEncoding::SevenBit),
    (Some("8bit"), TransferEncoding::EightBit),
    (Some("quoted-printable"), TransferEncoding::QuotedPrintable),
    (Some("base64"), TransferEncoding::Base64),
    (Some("binary"), TransferEncoding::Binary),
];

/// The form in which a part is written.
struct Layout {
    kind: TextKind,
    charset: Option<&'static str>,
    encoding: (Option<&'static str>, TransferEncoding),
    eol: Eol,
}

/// Checks an input: a byte each for the kind of text, its charset, its encoding, the notice, the
/// line end; the body.
pub fn rewrite(input: &[u8]) {
    let mut body = input;
    let mut next = || byte(&mut body);
    let layout = Layout {
        kind: choice(&[TextKind::Plain, TextKind::Html], next()),
        charset: choice(&CHARSETS, next()),
        encoding: choice(&ENCODINGS, next()),
        eol: choice(&[Eol::CrLf, Eol::Lf], next()),
    };

    let position = choice(
        &[Position::BeforeQuote, Position::Start, Position::End],
        next(),
    );
    let notice = notice(choice(&[Language::Fr, Language::En], next()));

    let header = layout.header();
    let raw = [header.as_bytes(), body].concat();
    let part = TextPart {
        raw: &raw,
        body_start: header.len(),
        kind: layout.kind,
        charset: layout.charset,
        encoding: layout.encoding.1,
    };

    if let Ok(splices) = insert::insert(&part, &notice, position, layout.eol) {
        check_splices(&splices, raw.len());
        let after = apply(&raw, &splices);
        layout.check(body, &after);
    }
}

impl Layout {
    fn header(&self) -> String {
        let sub = match self.kind {
            TextKind::Plain => "plain",
            TextKind::Html => "html",
        };
        let charset = self.charset.map(|charset| format!("; charset={charset}"));
        let encoding = self.encoding.0;
        let encoding = encoding.map(|name| format!("Content-Transfer-Encoding: {name}\n"));
        let header = format!(
            "Content-Type: text/{sub}{}\n{}\n",
            charset.unwrap_or_default(),
            encoding.unwrap_or_default()
        );
        match self.eol {
            Eol::CrLf => header.replace('\n', "\r\n"),
            Eol::Lf => header,
        }
    }

    fn check(&self, body: &[u8], after: &[u8]) {
        let (head, new_body) = read(after);
        let before = decoded(self.encoding.1, body).expect("what was rewritten decodes");
        let after = decoded(head.encoding, new_body).expect("what is written decodes");
        assert!(
            is_insertion(&before, &after),
            "{:?}\n{:?}",
            String::from_utf8_lossy(&before),
            String::from_utf8_lossy(&after)
        );
        assert!(memchr::memmem::find(&after, LINK.as_bytes()).is_some());
        self.check_lines(&head, body, new_body);
    }

    /// Checks that no line is longer than it may be or was, and that no odd byte is new.
    fn check_lines(&self, head: &Head, body: &[u8], new_body: &[u8]) {
        let encoded = !head.encoding.is_identity();
        let line_max = if encoded { 76 } else { 998 };
        assert!(longest_line(new_body) <= longest_line(body).max(line_max));
        // A malformed body is not encoded anew: its 8-bit bytes stay.
        let is_malformed = head.encoding == TransferEncoding::QuotedPrintable
            && reference::quoted_printable(body).is_none();
        assert!(!encoded || new_body.is_ascii() || is_malformed && !body.is_ascii());
        assert!(head.encoding != TransferEncoding::SevenBit || new_body.is_ascii());
        for odd in [is_bare_lf, is_bare_cr, is_nul] {
            let count = |text: &[u8]| (0..text.len()).filter(|&at| odd(text, at)).count();
            let new_lf = self.eol == Eol::Lf && odd(b"\n", 0);
            assert!(new_lf || count(new_body) <= count(body));
        }
    }
}

fn notice(language: Language) -> Notice {
    let file = |name: &str, bytes| NoticeFile {
        name: name.into(),
        bytes,
    };
    Notice {
        language,
        also: None,
        files: vec![file("été.pdf", 9_400_000), file("日本 & <b>.zip", 1)],
        link: LINK.into(),
        expires: Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC),
        operator: "drop.example.org".into(),
        is_encrypted: true,
        own: None,
    }
}

fn check_splices(splices: &[Splice], len: usize) {
    let mut at = 0;
    for splice in splices {
        assert!(at <= splice.at.start && splice.at.start <= splice.at.end);
        at = splice.at.end;
    }
    assert!(at <= len);
}

/// Splits a written part into its head and its body.
fn read(raw: &[u8]) -> (Head, &[u8]) {
    let blank = |end: &[u8]| memchr::memmem::find(raw, end).map(|at| at + end.len());
    let body = [blank(b"\n\n"), blank(b"\n\r\n")]
        .into_iter()
        .flatten()
        .min();
    let (header, body) = raw.split_at(body.expect("a header ends"));
    let head =
        head::split(header).and_then(|fields| Head::read(&fields, MediaType::new("text", "plain")));
    (head.expect("the header is sound"), body)
}

fn decoded(encoding: TransferEncoding, body: &[u8]) -> Option<Vec<u8>> {
    match encoding {
        TransferEncoding::QuotedPrintable => Some(reference::shown_quoted_printable(body)),
        TransferEncoding::Base64 => reference::base64(body),
        _ => Some(body.to_vec()),
    }
}

/// Returns true if `after` is `before` with one run of bytes put in.
fn is_insertion(before: &[u8], after: &[u8]) -> bool {
    let same = |(a, b): &(&u8, &u8)| a == b;
    let head = before.iter().zip(after).take_while(same).count();
    let tail = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(same)
        .count();
    after.len() > before.len() && head + tail >= before.len()
}

fn longest_line(text: &[u8]) -> usize {
    let lines = text.split(|&b| b == b'\n');
    let len = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len();
    lines.map(len).max().unwrap_or_default()
}

fn is_bare_lf(text: &[u8], at: usize) -> bool {
    text[at] == b'\n' && (at == 0 || text[at - 1] != b'\r')
}

fn is_bare_cr(text: &[u8], at: usize) -> bool {
    text[at] == b'\r' && text.get(at + 1) != Some(&b'\n')
}

fn is_nul(text: &[u8], at: usize) -> bool {
    text[at] == 0
}

//! Where the notice goes in the mails of real clients, and that the rest of the part stays.
//!
//! `tests/notice/` has what each client writes, as text (`.txt`) and as HTML, by us; `@@` stands
//! where the notice goes. Each goes through the rewriter in every charset that has its letters, in
//! every transfer encoding and with both line ends, and is read back by other decoders than ours.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, sync::Arc};

use data_encoding::BASE64;
use depollueur::{
    config::{Config, Sources},
    drop::FileDrop,
    envelope::{Direction, Envelope},
    filter::{Filter, Start, Verdict},
};
use encoding_rs::Encoding;
use mailsplice::{
    l10n::Language,
    mime::{Field, TransferEncoding},
    notice::{Notice, NoticeFile},
    rewrite::{
        Eol, Position, apply,
        insert::{self, TextKind, TextPart},
    },
};

const LINK: &str = "https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA";

const CHARSETS: [&str; 6] = [
    "us-ascii",
    "utf-8",
    "iso-8859-1",
    "iso-8859-15",
    "windows-1252",
    "iso-2022-jp",
];

/// A mail with the place of its notice.
struct Sample {
    name: String,
    kind: TextKind,
    before: String,
    after: String,
}

/// A sample written in one way.
struct Written {
    header: String,
    body: Vec<u8>,
    charset: &'static str,
    encoding: TransferEncoding,
    eol: Eol,
}

fn samples() -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notice");
    let mut samples: Vec<Sample> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let (before, after) = text.split_once("@@").unwrap();
            let is_html = path
                .extension()
                .is_some_and(|extension| extension == "html");
            Sample {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                kind: if is_html {
                    TextKind::Html
                } else {
                    TextKind::Plain
                },
                before: before.to_owned(),
                after: after.to_owned(),
            }
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

fn notice(language: Language) -> Notice {
    let file = |name: &str| NoticeFile {
        name: name.to_owned(),
        bytes: 9_400_000,
    };
    Notice {
        language,
        also: None,
        files: vec![file("Compte rendu d’été.pdf"), file("photos.zip")],
        link: LINK.to_owned(),
        expires: "2026-12-22T18:02:00+01:00[Europe/Paris]".parse().unwrap(),
        operator: "asso.example".to_owned(),
        is_encrypted: true,
        own: None,
    }
}

/// The bytes of a text, or `None` if the charset lacks a letter.
fn encoded(text: &str, charset: &str) -> Option<Vec<u8>> {
    if charset == "us-ascii" {
        return text.is_ascii().then(|| text.as_bytes().to_vec());
    }
    // The standard takes ISO 8859-1 for Windows-1252, which has more letters.
    if charset == "iso-8859-1" && text.chars().any(|c| c > '\u{ff}') {
        return None;
    }
    let (bytes, _, missing) = Encoding::for_label(charset.as_bytes())
        .unwrap()
        .encode(text);
    (!missing).then(|| bytes.into_owned())
}

fn decoded(body: &[u8], header: &str) -> Vec<u8> {
    if header.contains("base64") {
        let digits: Vec<u8> = body
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        BASE64.decode(&digits).unwrap()
    } else if header.contains("quoted-printable") {
        encodify::qp::BODY
            .strict()
            .decode(body)
            .unwrap()
            .into_owned()
    } else {
        body.to_vec()
    }
}

impl Sample {
    /// In all the ways in which it can be written.
    fn written(&self) -> Vec<Written> {
        let mut all = Vec::new();
        for eol in [Eol::CrLf, Eol::Lf] {
            let text = in_lines(&format!("{}{}", self.before, self.after), eol);
            for charset in CHARSETS {
                if let Some(bytes) = encoded(&text, charset) {
                    all.extend(self.in_encodings(&bytes, charset, eol));
                }
            }
        }
        all
    }

    fn in_encodings(&self, text: &[u8], charset: &'static str, eol: Eol) -> Vec<Written> {
        let quoted = in_lines(&encodify::qp::BODY.encode(in_crlf(text)), eol).into_bytes();
        let lines = |text: String| {
            let lines: Vec<&[u8]> = text.as_bytes().chunks(76).collect();
            let mut body = lines.join(&b"\n"[..]);
            body.push(b'\n');
            in_lines(&String::from_utf8(body).unwrap(), eol).into_bytes()
        };
        let narrow = text.is_ascii().then(|| {
            let encoding = TransferEncoding::SevenBit;
            ("7bit", encoding, text.to_vec())
        });
        let wide = [
            ("8bit", TransferEncoding::EightBit, text.to_vec()),
            (
                "quoted-printable",
                TransferEncoding::QuotedPrintable,
                quoted,
            ),
            (
                "base64",
                TransferEncoding::Base64,
                lines(BASE64.encode(text)),
            ),
        ];
        let subtype = match self.kind {
            TextKind::Plain => "plain",
            TextKind::Html => "html",
        };
        let all = narrow.into_iter().chain(wide);
        all.map(|(name, encoding, body)| Written {
            header: in_lines(
                &format!(
                    "Content-Type: text/{subtype}; charset={charset}\n\
                     Content-Transfer-Encoding: {name}\n\n"
                ),
                eol,
            ),
            body,
            charset,
            encoding,
            eol,
        })
        .collect()
    }
}

fn in_lines(text: &str, eol: Eol) -> String {
    let text = text.replace("\r\n", "\n");
    match eol {
        Eol::CrLf => text.replace('\n', "\r\n"),
        Eol::Lf => text,
    }
}

fn in_crlf(text: &[u8]) -> Vec<u8> {
    let bare: Vec<u8> = text.iter().copied().filter(|&b| b != b'\r').collect();
    let lines: Vec<&[u8]> = bare.split(|&b| b == b'\n').collect();
    lines.join(&b"\r\n"[..])
}

impl Written {
    /// Header and decoded text with the notice in it.
    fn rewritten(&self, kind: TextKind, language: Language, at: Position) -> (String, Vec<u8>) {
        let raw = [self.header.as_bytes(), &self.body].concat();
        let part = TextPart {
            raw: &raw,
            body_start: self.header.len(),
            kind,
            charset: Some(self.charset),
            encoding: self.encoding,
        };
        let splices = insert::insert(&part, &notice(language), at, self.eol).unwrap();
        let after = apply(&raw, &splices);
        let blank = in_lines("\n\n", self.eol);
        let end = memchr::memmem::find(&after, blank.as_bytes()).unwrap() + blank.len();
        let header = String::from_utf8(after[..end].to_vec()).unwrap();
        let text = decoded(&after[end..], &header);
        (header, text)
    }
}

#[test]
fn the_notice_stands_where_each_client_ends_the_authors_text() {
    let mut wrong = Vec::new();
    let mut ways = 0;
    for sample in samples() {
        for written in sample.written() {
            ways += 1;
            let before = encoded(&in_lines(&sample.before, written.eol), written.charset).unwrap();
            let after = encoded(&in_lines(&sample.after, written.eol), written.charset).unwrap();
            let (header, text) =
                written.rewritten(sample.kind, Language::Fr, Position::BeforeQuote);
            let is_there = text.starts_with(&before)
                && text.ends_with(&after)
                && text.len() > before.len() + after.len()
                && memchr::memmem::find(&text[before.len()..], LINK.as_bytes()).is_some();
            if !is_there {
                wrong.push(format!(
                    "{} as {header}{}",
                    sample.name,
                    String::from_utf8_lossy(&text)
                ));
                break;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} of them",
        wrong.join("\n\n"),
        wrong.len()
    );
    assert!(ways > 500, "{ways}");
}

/// The notice and the author's text around it.
fn parted(text: &[u8], original: &[u8]) -> Option<(usize, Vec<u8>)> {
    let same = text
        .iter()
        .zip(original)
        .take_while(|(a, b)| a == b)
        .count();
    let added = text.len().checked_sub(original.len())?;
    let at = (0..=same)
        .rev()
        .find(|&at| text[at + added..] == original[at..])?;
    Some((at, text[at..at + added].to_vec()))
}

#[test]
fn every_byte_around_the_notice_is_the_authors_in_every_position() {
    for sample in samples() {
        for written in sample.written() {
            let original = decoded(&written.body, &written.header);
            for position in [Position::Start, Position::End, Position::BeforeQuote] {
                for language in [Language::Fr, Language::En] {
                    let (header, text) = written.rewritten(sample.kind, language, position);
                    let (_, notice) = parted(&text, &original).unwrap_or_else(|| {
                        panic!("{} {position:?} {header}", sample.name);
                    });
                    let notice = String::from_utf8_lossy(&notice);
                    assert_eq!(notice.matches(LINK).count(), 1, "{} {header}", sample.name);
                }
            }
        }
    }
}

/// The body of a `multipart/mixed` after the whole way through the filter.
async fn filtered(body: &[u8]) -> Vec<u8> {
    filtered_with(&[], body).await
}

/// The same, with other fields in its header.
async fn filtered_with(fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    filtered_by(&[], fields, body).await
}

/// The same, with other settings.
async fn filtered_by(settings: &[&str], fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources {
        settings: [
            &format!("drop.directory={}", directory.path().display()),
            "detach.threshold=1",
            "web.public_url=https://drop.example/",
        ]
        .iter()
        .chain(settings)
        .map(|setting| (*setting).to_owned())
        .collect(),
        ..Sources::default()
    };
    let config = Arc::new(Config::load(&sources).unwrap());
    let drop = FileDrop::open(&config.drop).unwrap();
    let filter = Filter::new(
        config.clone(),
        depollueur::store::Stores::of_drop(drop, &config.web.public_url),
    );
    let envelope = Envelope {
        queue_id: String::new(),
        sender: String::new(),
        recipients: Vec::new(),
        direction: Direction::Incoming,
        ..Envelope::default()
    };
    let content_type = ("Content-Type", " multipart/mixed; boundary=b");
    let fields = fields.iter().chain([&content_type]);
    let header: Vec<Field> = fields
        .map(|(name, value)| Field {
            name: name.as_bytes().to_vec(),
            value: value.as_bytes().to_vec(),
        })
        .collect();
    let Start::Scan(mut message) = filter.begin(envelope, &header, Eol::CrLf) else {
        panic!("not scanned");
    };
    message.push(body).await;
    let Verdict::Rewrite(mut rewritten) = message.end().await else {
        panic!("not rewritten");
    };
    let mut new = Vec::new();
    while let Some(piece) = rewritten.next_piece().await.unwrap() {
        new.extend_from_slice(&piece);
    }
    new
}

const PDF: &str = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
                   Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n";

/// What was put between the start and the end of `own` to get `new`.
fn added<'a>(new: &'a str, before: &str, after: &str) -> &'a str {
    let added = new
        .strip_prefix(before)
        .and_then(|new| new.strip_suffix(after));
    added.unwrap_or_else(|| panic!("{new}"))
}

#[tokio::test]
async fn a_charset_that_cannot_take_the_notice_gets_a_part_of_its_own_behind_the_text() {
    for (charset, body) in [
        ("utf-16", &b"\xfe\xff\0H\0i"[..]),
        ("utf-16le", b"H\0i\0"),
        ("utf-32", b"\0\0\0H"),
        ("utf-7", b"Hi +AOk-"),
        ("hz-gb-2312", b"~{<:Ky2;~}"),
        ("ebcdic-us", b"\xc8\x89"),
    ] {
        for subtype in ["plain", "html"] {
            let encoded = BASE64.encode(body);
            let own = format!(
                "--b\r\nContent-Type: text/{subtype}; charset={charset}\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n"
            );
            let new = filtered(format!("{own}{PDF}--b--\r\n").as_bytes()).await;
            let new = String::from_utf8(new).unwrap();
            let added = added(&new, &own, "--b--\r\n");
            let start = "--b\r\nContent-Type: text/plain; charset=utf-8\r\n";
            assert!(added.starts_with(start), "{added}");
            assert!(added.contains("https://drop.example/"), "{added}");
        }
    }
}

#[tokio::test]
async fn a_text_with_a_name_or_unknown_encoding_has_the_notice_behind_it() {
    for fields in [
        "text/plain; name=a.txt",
        "text/html; name=a.html",
        "text/plain\r\nContent-Transfer-Encoding: base64 ",
    ] {
        let own = format!("--b\r\nContent-Type: {fields}\r\n\r\nSGVsbG8=\r\n");
        let new = filtered(format!("{own}{PDF}--b--\r\n").as_bytes()).await;
        let new = String::from_utf8(new).unwrap();
        let added = added(&new, &own, "--b--\r\n");
        let start = "--b\r\nContent-Type: text/plain; charset=utf-8\r\n";
        assert!(added.starts_with(start), "{added}");
        assert_eq!(added.matches("https://drop.example/").count(), 1);
    }
}

/// A part with a text of one word.
fn text_part(subtype: &str, body: &str) -> String {
    format!("--b\r\nContent-Type: text/{subtype}; charset=utf-8\r\n\r\n{body}\r\n")
}

/// A picture of this name, shown in line or not.
fn picture(name: &str, disposition: &str) -> String {
    format!(
        "--b\r\nContent-Type: image/jpeg\r\n\
         Content-Disposition: {disposition}; filename=\"{name}\"\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n/9j/4AA=\r\n"
    )
}

#[tokio::test]
async fn a_picture_between_two_texts_is_named_in_its_place() {
    for (subtype, one, other) in [
        ("plain", "[IMG_1.jpeg]", "[a (b).jpeg]"),
        (
            "html",
            "[<span dir=\"ltr\">IMG_1.jpeg</span>]<br>",
            "[<span dir=\"ltr\">a (b).jpeg</span>]<br>",
        ),
    ] {
        let body = [
            text_part(subtype, "one"),
            picture("IMG_1.jpeg", "inline"),
            text_part(subtype, "two"),
            picture("a [b].jpeg", "inline"),
            text_part(subtype, "three"),
        ]
        .concat();
        let new = filtered(format!("{body}--b--\r\n").as_bytes()).await;
        let new = String::from_utf8(new).unwrap();
        let find = |what: &str| new.find(what).unwrap_or_else(|| panic!("{what}: {new}"));
        let order = ["one", one, "https://drop.example/", "two", other, "three"].map(find);
        assert!(order.is_sorted(), "{order:?} {new}");
        assert_eq!(new.matches(one).count() + new.matches(other).count(), 2);
    }
}

#[tokio::test]
async fn what_is_not_shown_between_two_texts_is_named_in_the_notice_only() {
    let quoted = "one\r\n\r\nOn Monday, Bob wrote:\r\n> yes";
    for (first, disposition, last) in [
        ("one", "attachment", "two"),
        ("one", "inline", ""),
        // The notice has its place above the quote, and all that we say stands together.
        (quoted, "inline", "two"),
    ] {
        let last = match last {
            "" => String::new(),
            last => text_part("plain", last),
        };
        let body = [
            text_part("plain", first),
            picture("IMG_1.jpeg", disposition),
            last,
        ]
        .concat();
        let new = filtered(format!("{body}--b--\r\n").as_bytes()).await;
        let new = String::from_utf8(new).unwrap();
        assert!(!new.contains("[IMG_1.jpeg]"), "{new}");
        assert_eq!(new.matches("https://drop.example/").count(), 1, "{new}");
    }
}

#[tokio::test]
async fn an_attached_text_says_the_same_where_the_admin_wants_one() {
    let own = text_part("plain", "Hello");
    for (settings, name, end, is_there) in [
        (&[][..], "fichiers-joints.txt", "--b--\r\n", false),
        (
            &["notice.part=true"],
            "fichiers-joints.txt",
            "--b--\r\n",
            true,
        ),
        (
            &["notice.part=true", "notice.language=en"],
            "attached-files.txt",
            "--b--\r\n",
            true,
        ),
        // A message that was cut off gets no end.
        (&["notice.part=true"], "fichiers-joints.txt", "", false),
    ] {
        let new = filtered_by(settings, &[], format!("{own}{PDF}{end}").as_bytes()).await;
        let new = String::from_utf8(new).unwrap();
        let disposition =
            format!("\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n");
        let attached = new.split_once(&disposition).map(|(_, attached)| attached);
        assert_eq!(attached.is_some(), is_there, "{settings:?} {new}");
        let links = new.matches("https://drop.example/").count();
        assert_eq!(links, if is_there { 2 } else { 1 }, "{new}");
        assert!(
            attached.is_none_or(|attached| attached.ends_with("\r\n--b--\r\n")),
            "{new}"
        );
    }
}

#[tokio::test]
async fn a_choice_that_cannot_take_the_notice_has_it_once_behind_all_of_them() {
    for choice in [
        "text/enriched",
        "text/rtf",
        "text/markdown",
        "text/x-amp-html",
        "text/watch-html",
        "text/calendar; method=REQUEST",
        "text/html; charset=utf-16",
    ] {
        let plain = "--c\r\nContent-Type: text/plain\r\n\r\nHello\r\n";
        let choice = format!("--c\r\nContent-Type: {choice}\r\n\r\nHello\r\n");
        let choice = &*choice;
        for choices in [[plain, choice], [choice, plain]] {
            let own = format!(
                "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n{}--c--\r\n",
                choices.concat()
            );
            let footer = "--b\r\n\r\nfooter\r\n--b--\r\n";
            let new = filtered(format!("{own}{PDF}{footer}").as_bytes()).await;
            let new = String::from_utf8(new).unwrap();
            let added = added(&new, &own, footer);
            assert!(
                added.starts_with("--b\r\nContent-Type: text/plain"),
                "{added}"
            );
            assert_eq!(added.matches("https://drop.example/").count(), 1);
        }
    }
}

#[tokio::test]
async fn what_loses_all_its_parts_goes_and_the_notice_stands_once() {
    let inner = PDF.replace("--b", "--c");
    let nested =
        format!("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{inner}{inner}--c--\r\n");
    let text = "--b\r\n\r\nHello\r\n";
    let new = filtered(format!("{text}{nested}--b--\r\n").as_bytes()).await;
    let new = String::from_utf8(new).unwrap();
    assert_eq!(new.matches("https://drop.example/").count(), 1, "{new}");
    assert!(!new.contains("--c") && new.starts_with("--b\r\n"), "{new}");
}

#[tokio::test]
async fn a_newsletter_has_the_notice_above_itself_and_a_discussion_below() {
    let own = format!("--b\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n{PDF}--b--\r\n");
    let unsubscribe = ("List-Unsubscribe", " <https://news.example/u>");
    let post = |value| ("List-Post", value);
    for (fields, is_above) in [
        (vec![], false),
        (vec![unsubscribe], true),
        (vec![unsubscribe, post(" NO")], true),
        (vec![unsubscribe, post(" <mailto:l@news.example>")], false),
        (vec![("precedence", " Bulk")], true),
        (vec![("Precedence", " list")], false),
    ] {
        let new = filtered_with(&fields, own.as_bytes()).await;
        let new = String::from_utf8(new).unwrap();
        let place = new.find("https://drop.example/").unwrap();
        assert_eq!(place < new.find("Hello").unwrap(), is_above, "{fields:?}");
    }
}

#[tokio::test]
async fn files_of_one_name_are_told_apart() {
    let own = format!("--b\r\n\r\nHello\r\n{PDF}{PDF}--b--\r\n");
    let new = String::from_utf8(filtered(own.as_bytes()).await).unwrap();
    assert!(new.contains("a.pdf") && new.contains("a (2).pdf"), "{new}");
}

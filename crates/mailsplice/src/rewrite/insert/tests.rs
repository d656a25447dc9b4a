use proptest::prelude::*;

use super::{body::encode_base64, *};
use crate::{l10n::Language, notice::tests::notice, rewrite::apply};

/// Makes a part of this header and body.
fn part<'a>(raw: &'a [u8], kind: TextKind, charset: Option<&'a str>) -> TextPart<'a> {
    let blank = memchr::memmem::find(raw, b"\r\n\r\n").map(|at| at + 4);
    let body_start = if raw.starts_with(b"\r\n") {
        2
    } else {
        blank.unwrap()
    };
    let header = String::from_utf8_lossy(&raw[..body_start]).to_lowercase();
    let encoding = [
        ("quoted-printable", TransferEncoding::QuotedPrintable),
        ("base64", TransferEncoding::Base64),
        ("8bit", TransferEncoding::EightBit),
        ("uuencode", TransferEncoding::Unknown),
    ];
    let encoding = encoding.iter().find(|(name, _)| header.contains(name));
    let encoding = encoding.map_or(TransferEncoding::SevenBit, |(_, encoding)| *encoding);
    TextPart {
        raw,
        body_start,
        kind,
        charset,
        encoding,
    }
}

fn after(part: &TextPart<'_>, language: Language, position: Position) -> Vec<u8> {
    let notice = notice(language, &["Été.pdf", "photos.zip"]);
    let splices = insert(part, &notice, position, Eol::CrLf).unwrap();
    let mut at = 0;
    for splice in &splices {
        assert!(at <= splice.at.start && splice.at.start <= splice.at.end);
        at = splice.at.end;
    }
    assert!(at <= part.raw.len());
    apply(part.raw, &splices)
}

fn decoded(raw: &[u8]) -> (String, Vec<u8>) {
    let part = part(raw, TextKind::Plain, None);
    let (header, body) = raw.split_at(part.body_start);
    let text = Body::decode(body, part.encoding).unwrap().text().to_vec();
    (String::from_utf8(header.to_vec()).unwrap(), text)
}

/// Returns the bytes that were put between the start and the end of `before` to get `after`.
fn inserted(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let start = before.iter().zip(after).take_while(|(b, a)| b == a).count();
    let rest = before.len() - start;
    let end = after.len().checked_sub(rest)?;
    (end >= start && after[end..] == before[start..]).then(|| after[start..end].to_vec())
}

#[test]
fn an_ascii_part_learns_the_letters_it_needs() {
    for (header, charset, expected) in [
        ("\r\n", None, "Content-Type: text/plain; charset=utf-8\r\n"),
        (
            "Content-Type: text/plain\r\n\r\n",
            None,
            "text/plain;\r\n charset=utf-8\r\n",
        ),
        (
            "Content-Type: text/plain; charset=us-ascii\r\n\r\n",
            Some("us-ascii"),
            "=utf-8\r\n",
        ),
        (
            "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n",
            Some("iso-8859-1"),
            "8859-1\r",
        ),
        (
            "Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            None,
            "=utf-8\r\n",
        ),
    ] {
        let raw = format!("{header}Hello = \r\nyou\r\n");
        let part = part(raw.as_bytes(), TextKind::Plain, charset);
        let (header, text) = decoded(&after(&part, Language::Fr, Position::End));
        assert!(header.contains(expected), "{header}");
        assert!(
            header.contains("Content-Transfer-Encoding: quoted-printable\r\n"),
            "{header}"
        );
        assert!(text.starts_with(b"Hello = \r\nyou\r\n\r\n- - -") && text.ends_with(b"- -\r\n"));
    }
}

#[test]
fn an_ascii_notice_leaves_an_ascii_part_as_it_is() {
    let raw = b"\r\nHello";
    let part = part(raw, TextKind::Plain, None);
    let notice = notice(Language::En, &["a.pdf"]);
    let splices = insert(&part, &notice, Position::End, Eol::CrLf).unwrap();
    let after = apply(raw, &splices);
    assert!(after.starts_with(b"\r\nHello\r\n\r\n- - ") && after.ends_with(b"- -"));
}

#[test]
fn a_charset_of_which_we_write_only_ascii_gets_ascii() {
    for (charset, body) in [
        ("shift_jis", &b"\x95\x8e"[..]),
        ("iso-2022-jp", b"\x1b$B4A;z\x1b(B"),
        ("cp850", b"\x82"),
    ] {
        let raw = [&b"Content-Transfer-Encoding: 7bit\r\n\r\n"[..], body].concat();
        let part = part(&raw, TextKind::Plain, Some(charset));
        let after = after(&part, Language::Fr, Position::End);
        let at = memchr::memmem::find(&after, body).unwrap();
        assert!(after[at + body.len()..].is_ascii());
        let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
        assert!(after[..at].ends_with(format!("Encoding: {encoding}\r\n\r\n").as_bytes()));
    }
}

#[test]
fn a_body_that_is_not_in_its_charset_gets_ascii_on_lines_of_its_own() {
    for (charset, body) in [
        (None, &b"caf\xe9"[..]),
        (Some("us-ascii"), b"\xc3\xa9"),
        (Some("utf-8"), b"caf\xe9"),
        (Some("windows-1252"), b"\x81"),
        (Some("shift_jis"), b"\x95"),
        (Some("x-of-some-system"), b"a \x95"),
    ] {
        for encoding in ["8bit", "quoted-printable"] {
            let header = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n");
            let encoded = match encoding {
                "quoted-printable" => qp::encode(body, Eol::CrLf),
                _ => body.to_vec(),
            };
            let raw = [header.as_bytes(), &encoded].concat();
            for kind in [TextKind::Plain, TextKind::Html] {
                let part = part(&raw, kind, charset);
                let after = after(&part, Language::Fr, Position::End);
                let added = after.strip_prefix(&*raw).unwrap();
                assert!(
                    added.is_ascii() && added.starts_with(b"\r\n"),
                    "{charset:?}"
                );
            }
        }
    }
}

#[test]
fn a_broken_escape_elsewhere_stays_as_it_is() {
    let header = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
    let long = "x".repeat(100);
    for body in [
        "<p>prix = 10</p>\r\n",
        "<p a==3D>=\r\n=C3=A9 = 1</p>",
        &*long,
    ] {
        let raw = format!("{header}{body} =ZZ<br>\r\n<p>c</p>\r\n");
        let part = part(raw.as_bytes(), TextKind::Html, Some("utf-8"));
        let after = after(&part, Language::Fr, Position::End);
        assert!(after.starts_with(raw.trim_end().as_bytes()), "{body}");
    }
}

#[test]
fn what_told_of_the_bytes_goes() {
    let raw = b"Content-MD5: x\r\nX: y\r\nContent-Length:\r\n 5\r\nLines: 1\r\n\r\nabc\r\n";
    let mut part = part(raw, TextKind::Plain, None);
    part.body_start = raw.len() - 5;
    let splices = insert(
        &part,
        &notice(Language::En, &["x"]),
        Position::End,
        Eol::CrLf,
    )
    .unwrap();
    let mut text = raw.to_vec();
    for splice in splices.into_iter().rev() {
        text.splice(splice.at, splice.with);
    }
    assert!(
        text.starts_with(b"X: y\r\n\r\nabc\r\n"),
        "{}",
        String::from_utf8_lossy(&text)
    );
}

#[test]
fn a_body_that_cannot_take_it_says_why() {
    for (header, charset, body, why) in [
        ("\r\n", Some("utf-16"), "a", "charset"),
        ("\r\n", None, "a\n-----BEGIN PGP MESSAGE-----", "pgp"),
        ("\r\n", None, "a\0", "nul"),
        ("\r\n", None, "a\rb", "bare cr"),
        ("C: uuencode\r\n\r\n", None, "a", "encoding"),
        ("C: base64\r\n\r\n", None, "YQ==YQ==", "base64"),
        ("C: base64\r\n\r\n", None, "YQ!=", "base64"),
        ("C: base64\r\n\r\n", None, "YWFhY", "base64"),
        (
            "C: quoted-printable\r\n\r\n",
            None,
            "a=Z",
            "quoted-printable",
        ),
    ] {
        let raw = format!("{header}{body}");
        let part = part(raw.as_bytes(), TextKind::Plain, charset);
        let notice = notice(Language::Fr, &["x"]);
        let result = insert(&part, &notice, Position::End, Eol::CrLf);
        assert_eq!(result, Err(CannotTake(why)), "{body}");
    }
    let headless = TextPart {
        raw: b"A: b\r\n",
        body_start: 6,
        ..part(b"\r\n", TextKind::Plain, None)
    };
    let result = insert(
        &headless,
        &notice(Language::Fr, &["x"]),
        Position::End,
        Eol::CrLf,
    );
    assert_eq!(result, Err(CannotTake("header")));
}

#[test]
fn loose_quoted_printable_is_encoded_anew_with_the_same_text() {
    let mixed = format!("C: quoted-printable\r\n\r\n{}=0Ab\r\n", "x".repeat(80));
    let mixed = part(mixed.as_bytes(), TextKind::Plain, Some("utf-8"));
    let refused = insert(
        &mixed,
        &notice(Language::Fr, &["x"]),
        Position::End,
        Eol::CrLf,
    );
    assert_eq!(refused, Err(CannotTake("quoted-printable")));
    let long = format!("<p>{}=C3=A9t=C3=A9</p>\r\n", "x".repeat(80));
    let raw = format!("C: quoted-printable\r\n\r\n{long}");
    let part = part(raw.as_bytes(), TextKind::Html, Some("utf-8"));
    let after = after(&part, Language::Fr, Position::End);
    let (header, text) = decoded(&after);
    assert!(header.contains("quoted-printable"));
    let (_, before) = decoded(raw.as_bytes());
    assert!(inserted(&before, &text).is_some());
    assert!(after.split(|&b| b == b'\n').all(|line| line.len() <= 77));
}

#[test]
fn quoted_printable_keeps_its_raw_lines() {
    for (body, position, start, end) in [
        (
            "a=\r\nb\r\n",
            Position::End,
            "a=\r\nb\r\n\r\n- -",
            "- -\r\n",
        ),
        ("a", Position::End, "a\r\n\r\n- -", "- -"),
        ("a=\r\n", Position::End, "a=\r\n\r\n\r\n- -", "- -"),
        ("a=", Position::End, "a\r\n\r\n- -", "- -=\r\n="),
        (
            "a=\r\nb\r\n",
            Position::Start,
            "- - ",
            "- -\r\n\r\na=\r\nb\r\n",
        ),
    ] {
        let header = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
        let raw = format!("{header}{body}");
        let part = part(raw.as_bytes(), TextKind::Plain, Some("utf-8"));
        let after = String::from_utf8(after(&part, Language::Fr, position)).unwrap();
        let after = after.strip_prefix(header).unwrap();
        assert!(
            after.starts_with(start) && after.ends_with(end),
            "{body:?}: {after}"
        );
    }
}

#[test]
fn a_cut_line_does_not_turn_into_a_delimiter() {
    for encoding in ["8bit", "quoted-printable"] {
        let raw = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n<body>--b\r\n--b<hr>");
        let part = part(raw.as_bytes(), TextKind::Html, Some("utf-8"));
        let after = after(&part, Language::Fr, Position::Start);
        assert!(
            !String::from_utf8(after)
                .unwrap()
                .lines()
                .any(|line| line == "--b")
        );
    }
}

#[test]
fn flowed_text_does_not_flow_into_the_notice() {
    let header = "Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n";
    for (body, blanks) in [
        ("a\r\n", 1),
        ("a \r\n", 2),
        ("a \r\n\r\n", 1),
        ("a\r\n\r\n", 0),
    ] {
        let raw = format!("{header}{body}-- \r\nJane\r\n");
        let part = part(raw.as_bytes(), TextKind::Plain, None);
        let (_, text) = decoded(&after(&part, Language::En, Position::BeforeQuote));
        let text = String::from_utf8(text).unwrap();
        let start = format!("{body}{}- - -", "\r\n".repeat(blanks));
        assert!(text.starts_with(&start), "{text}");
        assert!(text.ends_with("- -\r\n\r\n-- \r\nJane\r\n"), "{text}");
        let mut notice = text[body.len()..].lines();
        assert!(
            notice.all(|line| line == "-- " || !line.ends_with(' ')),
            "{text}"
        );
        assert!(text.contains("\r\n   \"photos"), "{text}");
    }
}

#[test]
fn a_new_part_is_valid_in_itself() {
    for (language, encoding) in [(Language::En, " 7bit"), (Language::Fr, " quoted-printable")] {
        for eol in [Eol::CrLf, Eol::Lf] {
            let new = new_part(&notice(language, &["a.pdf"]), eol);
            assert_eq!(new.encoding, encoding);
            assert!(new.body.is_ascii() && new.body.ends_with(eol.as_str().as_bytes()));
            assert!(new.body.split(|&b| b == b'\n').all(|line| line.len() <= 77));
        }
    }
}

/// The author's text: words, and what is special to one layer or another.
fn text() -> impl Strategy<Value = String> {
    let pieces = vec![
        "a",
        "Hello you",
        " ",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "-- \r\n",
        "> quoted\r\n",
        "é",
        "’",
        "Le 21/11/2026, Yann a écrit :\r\n",
        "=",
        "=3D",
        ".\r\n",
        "From x\r\n",
        "--b\r\n",
        "<p>",
        "<body>",
        "</body>",
        "<!-- ",
        "-->",
        "<blockquote type=cite>",
        "<table>",
        "</table>",
        "<title>",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "\t",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_authors_text_stays_whole_around_one_insertion(
        text in text(),
        html in any::<bool>(),
        charset in prop::sample::select(vec![
            None, Some("us-ascii"), Some("utf-8"), Some("iso-8859-1"), Some("windows-1252"),
            Some("iso-8859-15"), Some("koi8-r"), Some("shift_jis"), Some("iso-2022-jp"),
        ]),
        encoding in prop::sample::select(vec!["7bit", "8bit", "quoted-printable", "base64"]),
        position in prop::sample::select(vec![
            Position::Start, Position::End, Position::BeforeQuote,
        ]),
        language in prop::sample::select(vec![Language::En, Language::Fr]),
    ) {
        let known = Charset::of(charset).unwrap();
        let text: Vec<u8> =
            text.chars().flat_map(|c| known.encode(c).unwrap_or_default()).collect();
        let body = match encoding {
            "quoted-printable" => qp::encode(&text, Eol::CrLf),
            "base64" => encode_base64(&text, b"", Eol::CrLf),
            "7bit" => text.iter().copied().filter(u8::is_ascii).collect(),
            _ => text.clone(),
        };
        let label = charset.map_or_else(String::new, |c| format!("; charset={c}"));
        let subtype = if html { "html" } else { "plain" };
        let header = format!(
            "Content-Type: text/{subtype}{label}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        let raw = [header.as_bytes(), &body].concat();
        let kind = if html { TextKind::Html } else { TextKind::Plain };
        let part = part(&raw, kind, charset);
        let before = Body::decode(&body, part.encoding).unwrap().text().to_vec();

        let raw_after = after(&part, language, position);
        let (header, after) = decoded(&raw_after);
        let added = inserted(&before, &after);
        prop_assert!(added.is_some(), "{}", String::from_utf8_lossy(&raw_after));
        let added = added.unwrap();
        prop_assert!(memchr::memmem::find(&added, b"https://drop.example/").is_some());
        let declared = if header.contains("charset=utf-8") { Charset::Utf8 } else { known };
        prop_assert!(declared.decodes(&after) || added.is_ascii());
        let quoted_printable = header.contains("quoted-printable");
        let line_max = if quoted_printable || encoding == "base64" { 76 } else { 998 };
        for line in raw_after[header.len()..].split(|&b| b == b'\n') {
            prop_assert!(line.trim_ascii_end().len() <= line_max);
            prop_assert!(!quoted_printable || line.is_ascii());
        }
        prop_assert!(!header.contains("7bit") || after.is_ascii());
    }
}

#[test]
fn a_byte_of_no_charset_is_kept_apart_from_the_notice_behind_it() {
    for (charset, head, is_apart) in [
        (None, "caf=E9", true),
        (None, "cafe", false),
        (Some("utf-8"), "caf=C3=A9", false),
    ] {
        let text = format!(
            "Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             <p>{head}<div class=3D\"gmail_quote\">quoted</div>\r\n"
        );
        let part = part(text.as_bytes(), TextKind::Html, charset);
        let after = after(&part, Language::En, Position::BeforeQuote);
        let (_, after) = decoded(&after);
        let end =
            memchr::memmem::find(&after, b"caf").unwrap() + 4 + usize::from(charset.is_some());
        assert_eq!(after[end..].starts_with(b"\r\n"), is_apart, "{head}");
        assert!(memchr::memmem::find(&after[end..], b"gmail_quote").is_some());
    }
}

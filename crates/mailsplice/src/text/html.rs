//! The place of the notice in HTML.
//!
//! `html5gum` tokenizes as browsers do and says where each token stands. (`lol_html` would do as
//! well, but is made to rewrite, and hands out no offsets of what it leaves alone.) No tree is
//! built: a place counts as safe only while nothing is open that could hide or tear the notice,
//! and nothing came before it that readers are known to tokenize differently. The place after
//! `<body>`, or before the first content, has all of the author's document behind it, so it is
//! the fallback for everything.
//!
//! * `judge` – decides if an admin's HTML can stand in a mail
//! * `scan` – the tokens, the open elements, the safe places
//! * `quiet` – withholds from the scan what it does not ask for
//! * `sheet` – the elements that a style sheet hides
//! * `tag` – the meaning that mail clients give to a tag: a quote, a signature, nothing to be seen
//! * `reading` – the lines as a reader sees them, on which [`plain`] decides

mod judge;
mod quiet;
mod reading;
mod scan;
mod sheet;
mod tag;

pub(crate) use self::judge::{HtmlFlaw, flaw, reads_quoted};
use self::scan::DocumentScan;
use super::{CannotTake, Position, plain};

/// The last offset at which the notice may stand: Gmail cuts a message off behind 102 kB.
const HTML_BYTES_MAX: usize = 90_000;

/// Returns the offset of the notice.
///
/// # Errors
/// There is no place where it is sure to be seen: the document is a frameset or hidden as a whole,
/// or the tokenizer lost its way.
pub(crate) fn place(html: &[u8], position: Position) -> Result<usize, CannotTake> {
    let scan = DocumentScan::of(html);
    if scan.is_frameset {
        return Err(CannotTake("frameset"));
    }
    if scan.is_hidden {
        return Err(CannotTake("hidden"));
    }
    if scan.is_lost {
        return Err(CannotTake("html"));
    }

    let found = match position {
        Position::Start => None,
        Position::End => scan.end(),
        Position::BeforeQuote => before_quote(&scan).filter(|&at| at <= HTML_BYTES_MAX),
    };
    Ok(found.unwrap_or_else(|| scan.start()))
}

fn before_quote(scan: &DocumentScan<'_>) -> Option<usize> {
    let text = scan.reading.text();
    let line = plain::line_before_quote(text);
    if plain::is_long_above(text, line) {
        return None;
    }
    line.map_or_else(|| scan.end(), |line| scan.reading.place(line))
}

/// Returns the lines that a reader sees; quoted ones begin with `>`.
pub(crate) fn seen(html: &str) -> String {
    let scan = DocumentScan::of(html.as_bytes());
    String::from_utf8_lossy(scan.reading.text()).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Documents made of everything that tokenizers stumble over.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"<",
            b">",
            b"/",
            b"!",
            b"-",
            b"--",
            b"<!--",
            b"-->",
            b"\"",
            b"'",
            b"=",
            b" ",
            b"\r\n",
            b"\n",
            b"&amp;",
            b"&am",
            b"&#",
            b"&#x41;",
            b"&notin",
            b"<a ",
            b"</a>",
            b"<body>",
            b"</body>",
            b"<body ",
            b"<title>",
            b"</title>",
            b"<script>",
            b"</script>",
            b"<textarea>",
            b"<![CDATA[",
            b"]]>",
            b"<!doctype html>",
            b"<!doctype",
            b"<?xml",
            b"a",
            b"\xe9",
            b"\xc3\xa9",
            b"\xff",
            b"<blockquote type=cite>",
            b"<div class=gmail_quote>",
            b"</div>",
            b"<table>",
            b"\xf0\x9f",
            b"<br/>",
            b"\x0c",
            b"<plaintext>",
            b"</title ",
            b"\xef\xbb\xbf",
            b"</",
            b"<svg>",
        ];
        prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|p| p.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_place_is_always_between_two_tokens(html in hostile()) {
            for position in [Position::Start, Position::End, Position::BeforeQuote] {
                let found = place(&html, position);
                if let Ok(at) = found {
                    let (before, after) = html.split_at(at);
                    prop_assert!(place(before, Position::Start).is_ok_and(|start| start <= at));
                    let whole = before.is_empty() || after.is_empty() || before.ends_with(b">");
                    let text = !before.ends_with(b"<") && str::from_utf8(before).is_ok();
                    prop_assert!(whole || after.starts_with(b"<") || text || !html.is_ascii());
                }
                prop_assert_ne!(found, Err(CannotTake("html")));
            }
        }
    }

    /// Checks that the notice goes to the place of `@@` in the document.
    fn check(position: Position, marked: &str) {
        let html = marked.replacen("@@", "", 1);
        let at = place(html.as_bytes(), position).unwrap();
        assert_eq!(format!("{}@@{}", &html[..at], &html[at..]), marked);
    }

    #[test]
    fn the_start_is_after_the_body_tag_or_before_the_first_content() {
        for marked in [
            "@@",
            "@@a",
            "@@<p>a",
            "<html><body>@@a</body></html>",
            "<HTML><BODY BGCOLOR='>'>@@a</BODY></HTML>",
            "<!doctype html><html><head><title>t</title><style>p{}</style></head>\n<body>@@\n<p>a",
            "<?xml version=\"1.0\"?><html><body class=\"x\"/>@@<p>a</p></body></html>",
            "<html><head><meta charset=x></head>\n@@<p>a</p><body>b",
            "<!-- <body> -->@@<p>a",
            "<script>'<body>'</script>@@<p>a",
            "<html><head>@@<title>abc",
            "<html><head>@@<style>abc <body>",
            "<html><!-- a -->@@<!-- b <body>",
            "<html><head><title><!-- </title><body>@@a",
            "<head><title>a <b>b</b></title></head><body>@@a",
            "<head><noscript><img src=x></noscript></head>\n<body>@@a",
            "<head><img src=x></head><body>@@<svg></svg>",
            "<head><o:SmartTagType/></head><body lang=FR>@@<div>",
            "<head><p>a</p></head>@@<p>b</p><body>",
            "<head><svg></head><body>@@a",
            "<head>@@<template></head><body>a",
            "@@<p>a</p><html><head></head><body>b",
            "<head></head><body>@@<blockquote><head></head><body>b",
            "@@<img src=\"x <body>",
            "<html>@@<im",
            "<body>@@<img src=\"x",
            "<html><head></head>@@",
            "\u{feff}@@a",
            "\u{feff}<html>@@a",
        ] {
            check(Position::Start, marked);
        }
    }

    #[test]
    fn the_end_is_before_the_last_real_body_end() {
        for marked in [
            "<html><body>a@@</body></html>",
            "<HTML><BODY>a@@</BODY></HTML>",
            "<p>a@@</html>",
            "<p>a</p>@@",
            "<body>a</body>b@@</body>",
            "<body><table><tr><td>a</td></tr></table>@@</body>",
            "<body><script>var x=\"</body>\";</script><p>a</p>@@</body></html>",
            "<body><!--[if mso]><table><tr><td></body><![endif]-->a@@</body></html>",
            "<body><![if !mso]>a<![endif]>@@</body>",
            "<body><textarea>a</textarea>a@@</body>",
            "<head><style><!-- p {} --></style></head><body>a@@</body>",
            "<head><title>a <b>b</b></title></head><body>a@@</body>",
            "<body><script><!--\nf() //--></script>a@@</body>",
            "<body><div style='display:none'>a</div>b@@</body>",
        ] {
            check(Position::End, marked);
        }
    }

    #[test]
    fn what_is_not_safe_falls_back_to_the_start() {
        for marked in [
            "<body>@@<plaintext>a</body>",
            "<body>@@<style><!-- </style>a --></style></body>",
            "<body>@@<script><!-- <script> --></script>a</body>",
            "<body>@@<div style='display:none'>a</body>",
            "<body>@@<blockquote>a</body>",
            "<body>@@<div class=gmail_quote>a</body>",
            "<body>@@<p>a</p><textarea>",
            "<body>@@<textarea></body></textarea>a</body>",
            "<body>@@<p>a</p><!-- ",
            "<body>@@<p>a</p><img src=\"x",
            "<body>@@<template></body></template>a</body>",
            "<body>@@<noscript>a</noscript></body>",
            "<body>@@<select><option>a</select></body>",
            "<body>@@<table><tr><td>a</body>",
            "<body>@@<a href=x>a</body>",
            "<body>@@<pre>a</body>",
            "<body>@@<svg><title></body></title></svg></body>",
            "<body>@@<!-- a --!> b --></body>",
            "<body>@@<!--> a --></body>",
            "<body>@@<![CDATA[ > ]]></body>",
            "<body>@@<![endif]-->a</body>",
            "<head><style>u{display:none}</style></head><body>@@<p>Bonjour</p><u>",
            "<head><style>@media x{.y{mso-hide:all}}</style></head><body>@@<p>a<b class=y>b</body>",
            "<head><style>#y{opacity:0}</style></head><body>@@<p>a</p><div id=y>b</body>",
        ] {
            check(Position::End, marked);
            check(Position::BeforeQuote, marked);
            check(Position::Start, marked);
        }
    }

    #[test]
    fn the_notice_follows_the_authors_text() {
        for marked in [
            "<body>a<br>@@</body>",
            "<body>a<br>@@<blockquote type=\"cite\">q</blockquote></body>",
            "<body>a<br>@@<BLOCKQUOTE TYPE=CITE>q</BLOCKQUOTE>&nbsp;</body>",
            "<div>a</div><br>@@<div class=\"gmail_quote gmail_quote_container\">q</div>",
            "<div>a</div>@@<div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\">q</div>b",
            "<body>a@@<div class=\"moz-cite-prefix\">q:</div><blockquote type=cite>q</blockquote>",
            "<body>a@@<div class=moz-signature>-- <br>J</div></body>",
            "<body>a@@<div style='border:none; border-top: solid #E1E1E1 1.0pt'>q</div>r</body>",
            "<body>a@@<span class=\"gmail_signature_prefix\">-- </span><div class=gmail_signature>",
            "<body>a@@<div id=Signature>J</div><div id=appendonsend></div>b</body>",
            "<p>a</p>@@<p>21 novembre 2026 18:02, Bob a écrit :</p><blockquote>q</blockquote>",
            "<p>a</p>@@<div>November 21, Bob wrote:</div><br><blockquote><p>q</p></blockquote>",
            "<p>a</p>@@<div class=quote>Bob b@x.example - 21/11 18:02<br><blockquote>q</div>",
            "<p>a</p>@@<table><tr><td><table><tr><td><blockquote type=cite>q</blockquote></table></table>",
            "<p>a</p><div style='display:none'>Bob wrote:<blockquote>h</blockquote></div><p>b</p>@@",
            "<p>a</p>@@<hr style='display:inline-block;width:98%'><div>q</div>",
            "<p>a</p><hr style='display:inline-block;width:50%'><p>b</p>@@",
            "<p>a</p><hr style='width:98%'><p>b</p>@@",
            "<p>a</p><div class=quote>Courage!</div><blockquote>b</blockquote>c@@",
            "<p>a:</p><blockquote>b</blockquote>@@",
            "<style>.x{display:none}</style><div class=x>h</div>a@@",
            "<style>table.x{display:none}</style><table class=x></table>a@@",
            "<style>td.x{display:none}</style><table><td class=x></table>a@@",
        ] {
            check(Position::BeforeQuote, marked);
        }
    }

    #[test]
    fn above_what_is_long_the_notice_is_not_missed() {
        let words = "<p>word word word word</p>".repeat(150);
        check(Position::BeforeQuote, &format!("<body>@@{words}</body>"));
        check(Position::End, &format!("<body>{words}@@</body>"));
        let markup = "<p style='margin:0'></p>".repeat(HTML_BYTES_MAX / 24);
        check(Position::BeforeQuote, &format!("<body>@@{markup}</body>"));
        check(
            Position::BeforeQuote,
            &format!("<body>a<br>@@<blockquote type=cite>{words}</blockquote></body>"),
        );
    }

    #[test]
    fn an_answer_below_the_quote_is_not_cut_from_it() {
        for marked in [
            "<body><blockquote type=cite><div>q</div></blockquote>a@@</body>",
            "<body><div class=moz-cite-prefix>x:</div><blockquote type=cite>q</blockquote>\
             <p>a</p>@@<div class=moz-signature>J</div></body>",
        ] {
            check(Position::BeforeQuote, marked);
        }
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let html = b"<html><body style='display:none'>a</body></html>";
        assert_eq!(place(html, Position::Start), Err(CannotTake("hidden")));
        let html = b"<style>a, table {display:none}</style><p>a";
        assert_eq!(place(html, Position::Start), Err(CannotTake("hidden")));
        let html = b"<html><frameset><frame src=x></frameset></html>";
        assert_eq!(place(html, Position::Start), Err(CannotTake("frameset")));
    }

    #[test]
    fn hostile_documents_take_linear_time() {
        for unit in [
            "<div>",
            "</blockquote>",
            "<!--",
            "<a b='",
            "-- ",
            "<!---",
            "&amp",
            "<p x x x",
            "<span><p></p>",
            "a<br>",
            "On 1<br>",
            "From: 1<br>",
            "<p id=signature>",
            "</blockquote>a:<blockquote>",
            "<div class=quote>1<blockquote>",
            "<style>.x{display:none}</style>",
        ] {
            let html = format!("<blockquote type=cite>{}", unit.repeat(100_000));
            assert!(place(html.as_bytes(), Position::BeforeQuote).is_ok());
        }
    }
}

//! Links with a tail: what stood behind a link in a sentence, and a mail program took for a part of it.
//!
//! `https://drop.example.org/k7vw….)` and the like lead to the link that was meant.

use axum::{
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use crate::drop::{RecordId, Token};

/// Characters of which a tail may consist: marks of a sentence, brackets, quotes, marks of lightweight markup.
const TAIL: &[char] = &[
    '.', ',', ';', ':', '!', '?', ')', ']', '}', '>', '\'', '"', '*', '_', '=', '/', '\\', '|',
    '`', '~', '-',
];

/// Characters that were escaped for HTML once too often.
const ENTITIES: [&str; 4] = ["&gt;", "&quot;", "&nbsp;", "&#39;"];

/// Sends a reader whose link has a tail to the link without it.
pub(super) async fn cut(request: Request, next: Next) -> Response {
    let is_read = [Method::GET, Method::HEAD].contains(request.method());
    let uri = request.uri();
    let Some(link) = without_tail(uri.path()).filter(|_| is_read) else {
        return next.run(request).await;
    };

    // Relative, since a proxy may have taken the beginning of the path away.
    let name = link.rsplit('/').next().unwrap_or_default();
    let up = "../".repeat(uri.path()[link.len()..].matches('/').count());
    let query = uri.query().map(|query| format!("?{query}"));
    let place = format!("{up}{name}{}", query.unwrap_or_default());
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Returns the path of a package in a path that goes on with a tail; `None` if it has none.
fn without_tail(path: &str) -> Option<&str> {
    let mut link = path;
    while let Some(shorter) = shortened(link) {
        link = shorter;
        if names_package(link) {
            return Some(link);
        }
    }
    None
}

/// Returns the path without its last character, if that may be one of a tail.
fn shortened(path: &str) -> Option<&str> {
    let escaped = path
        .len()
        .checked_sub(3)
        .and_then(|at| path.split_at_checked(at));
    if let Some((before, [b'%', digits @ ..])) = escaped.map(|(a, b)| (a, b.as_bytes())) {
        let byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        // A blank, a line break, or a part of a character of several bytes, such as a closing quote.
        let is_tail = matches!(byte, b'\t' | b'\n' | b'\r' | b' ' | 0x80..=0xf4)
            || TAIL.contains(&byte.into());
        return is_tail.then_some(before);
    }
    let entity = ENTITIES.iter().find_map(|entity| path.strip_suffix(entity));
    entity.or_else(|| path.strip_suffix(TAIL))
}

fn names_package(path: &str) -> bool {
    let mut segments = path.rsplit('/');
    let (name, before) = (segments.next().unwrap_or_default(), segments.next());
    match before {
        Some("e") => name.parse::<RecordId>().is_ok(),
        _ => name.parse::<Token>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "mfrggzdfmztwq2lknnwg23tpoa";
    const ID: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn what_follows_a_link_in_a_sentence_is_no_part_of_it() {
        for link in [
            format!("/{TOKEN}"),
            format!("/drop/{TOKEN}"),
            format!("/e/{ID}"),
        ] {
            for tail in [
                ".",
                ")",
                ">",
                "/",
                ",",
                ").",
                ">.",
                "//",
                "/)",
                "\"",
                "'",
                "*",
                "**",
                "_",
                "=",
                "%3E",
                "%29.",
                "%22",
                "%C2%A0",
                "%C2%BB",
                "%E2%80%9D",
                "%20",
                "%0D%0A",
                "%20%20.",
                "&gt;",
                "&gt;.",
                "&nbsp;",
                "...",
                "!?",
                "]]",
                "`",
                "%5D",
            ] {
                let path = format!("{link}{tail}");
                assert_eq!(without_tail(&path), Some(&*link), "{path}");
            }
        }
    }

    #[test]
    fn every_other_path_is_what_it_is() {
        for path in [
            "/".to_owned(),
            "//".to_owned(),
            "/about".to_owned(),
            "/about/".to_owned(),
            format!("/{TOKEN}"),
            format!("/{TOKEN}.json"),
            format!("/{TOKEN}/1"),
            format!("/{TOKEN}/all.zip"),
            format!("/{TOKEN}a"),
            format!("/{TOKEN}.a"),
            format!("/{TOKEN}%61"),
            format!("/{TOKEN}%ff"),
            format!("/{TOKEN}%00"),
            format!("/{TOKEN}%"),
            format!("/{TOKEN}%zz"),
            format!("/{}.", &TOKEN[1..]),
            format!("/e/{ID}"),
            format!("/e/{ID}/manifest"),
            format!("/e/{TOKEN}."),
            format!("/{ID}."),
            "/é%".to_owned(),
        ] {
            assert_eq!(without_tail(&path), None, "{path}");
        }
    }
}

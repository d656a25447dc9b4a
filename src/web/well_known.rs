//! The small fixed files: style sheet, robots.txt, security.txt, icon.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, Unit};

use super::{Shared, language::Wanted};

pub(super) const STYLE: &str = include_str!("style.css");

const TEXT: &str = "text/plain; charset=utf-8";

/// How long browsers may keep what is the same for everybody. The style sheet's address changes
/// with its contents.
const CACHE: &str = "public, max-age=86400";

/// How long security.txt is good for (RFC 9116, section 2.5.5, wants less than a year).
const SECURITY_GOOD_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

pub(super) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
    ];
    (headers, STYLE).into_response()
}

/// Landing pages may be fetched: they say `noindex`, which a crawler that is kept out never reads,
/// and then it lists the bare address. Files it has no reason to fetch.
pub(super) async fn robots(State(site): Shared) -> Response {
    let base = site.pages.base();
    let rules = format!(
        "User-agent: *\nAllow: {base}.well-known/\nDisallow: {base}*/\nDisallow: {base}*.json\n"
    );
    (
        [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, CACHE)],
        rules,
    )
        .into_response()
}

/// There is none; an answer without a body keeps browsers from asking again.
pub(super) async fn favicon() -> Response {
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, CACHE)]).into_response()
}

/// RFC 9116; only where the admin named a contact.
pub(super) async fn security(State(site): Shared, Wanted(language): Wanted) -> Response {
    let Some(contact) = site.pages.contact() else {
        return site.pages.not_found(language);
    };
    let expires = Timestamp::now() + SECURITY_GOOD_FOR;
    let expires = expires.round(Unit::Hour).unwrap_or(expires);
    let body = format!(
        "Contact: {}\nExpires: {expires}\nPreferred-Languages: fr, en\nCanonical: \
         {}.well-known/security.txt\n",
        contact.href, site.state.config.public_url,
    );
    ([(header::CONTENT_TYPE, TEXT)], body).into_response()
}

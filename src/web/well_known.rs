//! The small fixed files: style sheet, logo, robots.txt, security.txt.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::{Timestamp, Unit};

use super::{SiteState, language::Wanted, pages::ErrorPage};

const TEXT: &str = "text/plain; charset=utf-8";

/// The script that decrypts in the browser.
pub(super) const SCRIPT: &str = include_str!("unlock.js");

/// Time for which browsers may keep the files that are the same for everybody. The addresses of
/// style sheet and script change with their contents.
const CACHE: &str = "public, max-age=86400";

/// The policy of the logo: nothing in it may run or load.
const IMAGE_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Validity of security.txt (RFC 9116, section 2.5.5, wants less than a year).
const SECURITY_GOOD_FOR: Duration = Duration::from_secs(90 * 24 * 3600);

pub(super) async fn style(State(site): SiteState) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
    ];
    (headers, site.state.theme.style()).into_response()
}

/// The script of the page of packages that browsers unlock.
pub(super) async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, CACHE),
    ];
    (headers, SCRIPT).into_response()
}

/// The logo. An SVG can have scripts, which run when it is opened as a page: the policy's sandbox
/// prevents that.
pub(super) async fn logo(State(site): SiteState, wanted: Wanted) -> Response {
    let Some(logo) = site.state.theme.logo() else {
        return site.pages.problem(wanted, ErrorPage::NotFound);
    };
    let headers = [
        (header::CACHE_CONTROL, CACHE),
        (header::CONTENT_SECURITY_POLICY, IMAGE_POLICY),
    ];
    let mut response = (headers, logo.bytes.clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, logo.media_type.clone());
    response
}

/// The rules for crawlers. Landing pages may be fetched: they say `noindex`, which a crawler that
/// is kept out never reads, and then it lists the bare address. It has no reason to fetch files.
pub(super) async fn robots(State(site): SiteState) -> Response {
    let base = site.pages.base();
    let rules = format!(
        "User-agent: *\nAllow: {base}.well-known/\nAllow: {base}e/\nDisallow: {base}e/*/\n\
         Disallow: {base}*/\nDisallow: {base}*.json\n"
    );
    (
        [(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, CACHE)],
        rules,
    )
        .into_response()
}

/// The answer for the icon. There is none; an answer without a body keeps browsers from asking
/// again.
pub(super) async fn favicon() -> Response {
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, CACHE)]).into_response()
}

/// The contact for security matters (RFC 9116); only if the admin named one.
pub(super) async fn security(State(site): SiteState, wanted: Wanted) -> Response {
    let Some(contact) = site.pages.contact() else {
        return site.pages.problem(wanted, ErrorPage::NotFound);
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

//! Packages that browsers unlock: the page, and the ciphertext.
//!
//! The token is in the link's fragment and never reaches the server. The page shows what the server
//! knows (domain, sizes, times); `unlock.js` fetches the manifest and the files as they are stored,
//! decrypts them and gives them to the reader. Features that are impossible there are not offered
//! here either.

use axum::{
    extract::{Extension, Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;

use super::{
    SiteState, Visitor,
    download::{Download, FILE_POLICY},
    key::RequestedKey,
    language::Wanted,
    open::index,
    pages::{ErrorPage, PageAsked},
};
use crate::budget::Spent;

/// The policy of the one page that has a script: our own, which may fetch from here and nowhere
/// else, and cannot make markup out of text (Trusted Types).
pub(super) const SCRIPT_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; \
     form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for \
     'script'; trusted-types 'none'";

/// `/e/{id}`
pub(super) async fn page(
    State(site): SiteState,
    wanted: Wanted,
    uri: Uri,
    asked: RequestedKey,
) -> Response {
    let now = Timestamp::now();
    let _turn = site.turn().await;
    let package = match site.find_sealed(&asked, now).await {
        Ok(package) => package,
        Err(refusal) => return site.refuse(refusal, wanted, &asked.key.path()),
    };
    let asked = PageAsked::of(uri.query().unwrap_or_default());
    let mut response = site.pages.unlock(wanted, &package, now, asked);
    if response.status().is_success() {
        let policy = HeaderValue::from_static(SCRIPT_POLICY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// `/e/{id}/manifest`
pub(super) async fn manifest(
    State(site): SiteState,
    wanted: Wanted,
    asked: RequestedKey,
) -> Response {
    let _turn = site.turn().await;
    match site.find_sealed(&asked, Timestamp::now()).await {
        Ok(package) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment"),
                (header::CONTENT_SECURITY_POLICY, FILE_POLICY),
            ];
            match site.shelf.hold(package.manifest) {
                Ok(manifest) => (headers, manifest).into_response(),
                Err(Spent) => site.pages.problem(wanted, ErrorPage::Crowded),
            }
        }
        Err(refusal) => site.refuse(refusal, wanted, &asked.key.path()),
    }
}

/// `/e/{id}/{number}`
pub(super) async fn file(
    State(site): SiteState,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    method: Method,
    headers: HeaderMap,
    asked: RequestedKey,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let (_, number) = path.map(|Path(pair)| pair).unwrap_or_default();
    let turn = site.turn().await;
    let mut package = match site.find_sealed(&asked, Timestamp::now()).await {
        Ok(package) => package,
        Err(refusal) => return site.refuse(refusal, wanted, &asked.key.path()),
    };

    let Some(index) = index(&number).filter(|index| *index < package.files.len()) else {
        return site.pages.problem(wanted, ErrorPage::NotFound);
    };
    // A download needs no manifest; its memory is not held while the reader takes their time.
    package.manifest = Vec::new();
    let Ok(share) = site.shelf.take(package.weight()) else {
        return site.pages.problem(wanted, ErrorPage::Crowded);
    };

    drop(turn);
    let download = Download::sealed(package, share, index, visitor);
    download.answer(&site, &method, &headers, wanted).await
}

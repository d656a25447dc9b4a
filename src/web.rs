//! What the reader of the mail sees: landing page, downloads.
//!
//! | path | |
//! |---|---|
//! | `/` | what this server is, and whom to contact |
//! | `/{token}` | the landing page of a package |
//! | `/{token}/{n}` | its n-th file, from 1 |
//! | `/{token}/all.zip` | all of them |
//! | `/{token}.json` | the package for machines |
//! | `/style.css`, `/robots.txt`, `/favicon.ico`, `/.well-known/security.txt` | |
//!
//! `GET` and `HEAD` only, and they change nothing: mail scanners and previews follow every link
//! before the reader does. There is no upload, no listing, no cookie, and no script. Whatever is
//! not a live or expired package gets one and the same answer.

pub mod server;
pub mod zip;

mod conditional;
mod download;
mod kind;
mod language;
mod pages;
mod source;
mod texts;
mod well_known;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use tracing::{debug, error};

use self::{download::Download, language::Wanted, pages::Pages};
use crate::{
    admin::Metrics,
    config::{Language, WebConfig},
    drop::{Drop, Lookup, Origin, Package, Token},
    names,
};

/// The policy of pages: a style sheet and nothing else, nowhere to send anything.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action \
                           'self'; frame-ancestors 'none'; base-uri 'none'";

/// What every response carries; the constant part.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex, nofollow, noarchive"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// What the public listener needs to answer.
#[derive(Clone, Debug)]
pub struct WebState {
    /// The drop that is read.
    pub drop: Drop,
    /// `[web]`
    pub config: WebConfig,
    /// The time zone of the dates shown.
    pub zone: TimeZone,
    /// The language for readers who prefer none of ours.
    pub language: Language,
    /// Where responses and downloads are counted.
    pub metrics: Metrics,
}

/// The routes of the public listener.
pub fn router(state: WebState) -> Router {
    let site = Arc::new(Site {
        pages: Pages::new(&state),
        state,
    });
    Router::new()
        .route("/", get(home))
        .route("/style.css", get(well_known::style))
        .route("/robots.txt", get(well_known::robots))
        .route("/favicon.ico", get(well_known::favicon))
        .route("/.well-known/security.txt", get(well_known::security))
        .route("/{name}", get(package))
        .route("/{token}/all.zip", get(archive))
        .route("/{token}/{number}", get(file))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
        .with_state(site)
}

/// What all handlers share.
#[derive(Debug)]
struct Site {
    pages: Pages,
    state: WebState,
}

type Shared = State<Arc<Site>>;

/// Why there is no package for a request.
enum Refusal {
    /// Nothing that ever was here.
    Unknown,
    /// It expired or was revoked.
    Gone(Box<Gone>),
    /// The drop could not be asked.
    Failed,
}

/// A package that was.
struct Gone {
    created: Timestamp,
    expired: Timestamp,
    origin: Origin,
}

/// Around every request: refuses what is neither `GET` nor `HEAD`, adds the headers that every
/// response carries, counts and logs. The path is never logged, for it holds the token.
async fn guard(State(site): Shared, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let mut response = if method == Method::GET || method == Method::HEAD {
        next.run(request).await
    } else {
        (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET, HEAD")],
        )
            .into_response()
    };
    site.harden(response.headers_mut());
    let status = response.status().as_u16();
    site.state.metrics.response(status);
    let bytes = response.headers().get(header::CONTENT_LENGTH);
    debug!(%method, status, ?bytes, "request");
    response
}

async fn home(State(site): Shared, Wanted(language): Wanted) -> Response {
    site.pages.home(language)
}

async fn unknown(State(site): Shared, Wanted(language): Wanted) -> Response {
    site.pages.not_found(language)
}

/// `/{token}` and `/{token}.json`.
async fn package(
    State(site): Shared,
    Wanted(language): Wanted,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let (token, for_machines) = match name.strip_suffix(".json") {
        Some(token) => (token, true),
        None => (name.as_str(), false),
    };
    let now = Timestamp::now();
    match site.find(token, now).await {
        Ok((_, package)) if for_machines => site.manifest(token, &package),
        Ok((_, package)) => site.pages.landing(language, token, &package, now),
        Err(refusal) => site.refuse(refusal, language),
    }
}

/// `/{token}/{number}`
async fn file(
    State(site): Shared,
    Wanted(language): Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let (token, number) = path.map(|Path(pair)| pair).unwrap_or_default();
    let (token, package) = match site.find(&token, Timestamp::now()).await {
        Ok(found) => found,
        Err(refusal) => return site.refuse(refusal, language),
    };
    match index(&number).filter(|index| *index < package.files.len()) {
        Some(index) => {
            let download = Download::file(token, package, index);
            download.answer(&site, &method, &headers, language).await
        }
        None => site.pages.not_found(language),
    }
}

/// `/{token}/all.zip`
async fn archive(
    State(site): Shared,
    Wanted(language): Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let token = path.map(|Path(token)| token).unwrap_or_default();
    match site.find(&token, Timestamp::now()).await {
        Ok((token, package)) => {
            let download = Download::archive(token, package, &site.state.zone);
            download.answer(&site, &method, &headers, language).await
        }
        Err(refusal) => site.refuse(refusal, language),
    }
}

/// The number in a path, from 1 and written in one way only, as an index from 0.
fn index(number: &str) -> Option<usize> {
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    (number == (index + 1).to_string()).then_some(index)
}

impl Site {
    async fn find(&self, token: &str, now: Timestamp) -> Result<(Token, Package), Refusal> {
        let token: Token = token.parse().map_err(|_| Refusal::Unknown)?;
        match self.state.drop.find(&token, now).await {
            Ok(Lookup::Live(package)) => Ok((token, package)),
            Ok(Lookup::Gone {
                created,
                expired,
                origin,
                ..
            }) => Err(Refusal::Gone(Box::new(Gone {
                created,
                expired,
                origin,
            }))),
            Ok(Lookup::Unknown) => Err(Refusal::Unknown),
            Err(err) => {
                error!("could not look up a package: {err}");
                Err(Refusal::Failed)
            }
        }
    }

    fn refuse(&self, refusal: Refusal, language: Language) -> Response {
        match refusal {
            Refusal::Unknown => self.pages.not_found(language),
            Refusal::Gone(gone) => self.pages.gone(language, &gone),
            Refusal::Failed => self.pages.failed(language),
        }
    }

    /// The package for machines: file names as they would be downloaded, absolute addresses.
    fn manifest(&self, token: &str, package: &Package) -> Response {
        let link = format!("{}{token}", self.state.config.public_url);
        let names = names::unique_files(package.files.iter().map(|file| file.name.as_str()));
        let files: Vec<_> = package
            .files
            .iter()
            .zip(names)
            .enumerate()
            .map(|(index, (file, name))| {
                json!({
                    "name": name,
                    "size": file.size,
                    "sha256": data_encoding::HEXLOWER.encode(&file.sha256),
                    "type": file.media_type,
                    "url": format!("{link}/{}", index + 1),
                })
            })
            .collect();
        let manifest = json!({ "files": files, "expires": package.expires.to_string() });
        (
            [(header::CONTENT_TYPE, "application/json")],
            manifest.to_string(),
        )
            .into_response()
    }

    /// Adds what every response carries and its handler did not set.
    fn harden(&self, headers: &mut HeaderMap) {
        let set = |headers: &mut HeaderMap, name: &'static str, value: &'static str| {
            headers
                .entry(name)
                .or_insert(HeaderValue::from_static(value));
        };
        for (name, value) in SECURITY_HEADERS {
            set(headers, name, value);
        }
        set(headers, "content-security-policy", PAGE_POLICY);
        set(headers, "cache-control", "private, no-store");
        if self.state.config.public_url.starts_with("https://") {
            set(headers, "strict-transport-security", "max-age=31536000");
        }
    }
}

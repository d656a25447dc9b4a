//! The pages that the mail's reader sees: landing page, downloads, forms.
//!
//! | path | |
//! |---|---|
//! | `/` | what this server is, and whom to contact |
//! | `/about` | the same for those who answer for a network |
//! | `/{token}` | the landing page of a package |
//! | `/{token}/{n}` | its n-th file, from 1 |
//! | `/{token}/all.zip` | all of them |
//! | `/{token}.json` | the package for machines |
//! | `/{token}/extend` | `POST`: more time; `GET` goes to the landing page |
//! | `/{token}/report` | the form that reports content, and `POST` of it |
//! | `/e/{id}` | the page of a package that browsers unlock, the key in the link's fragment |
//! | `/e/{id}/manifest`, `/e/{id}/{n}` | its ciphertext |
//! | `/e/{id}/extend`, `/e/{id}/report` | as above |
//! | `/unlock.js` | the script of that page |
//! | `/style.css`, `/logo`, `/robots.txt`, `/favicon.ico`, `/.well-known/security.txt` | |
//!
//! `GET` and `HEAD` change nothing: mail scanners and previews follow every link before the reader
//! does. `POST` is there for the two forms alone. There is no upload, no listing and no cookie, and
//! a script on one page only (`sealed`). Every path that is neither a live nor an ended package
//! gets one and the same answer, after the same work.
//!
//! A client is known by its address (`http::client`). Limits by client bound how often it may be
//! wrong, how many forms it may send and how much it may ask for at once (`guard`); the server
//! bounds time and connections (`http`).

mod count;
mod download;
mod forms;
mod guard;
mod key;
mod kind;
mod language;
mod listener;
mod listing;
mod open;
mod pages;
mod rehearsal;
mod report;
mod sealed;
mod shelf;
mod source;
mod tail;
mod texts;
mod theme;
mod views;
mod well_known;
mod zip;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, net::IpAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Uri, header},
    middleware,
    response::Response,
    routing::{MethodRouter, get},
};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jiff::{Timestamp, tz::TimeZone};
use mailsplice::l10n::Language;
use tokio::sync::Semaphore;
use tracing::error;

use self::{
    count::Counter,
    language::Wanted,
    listener::READING_THREADS_MAX,
    pages::{ErrorPage, Pages},
    report::{ReportQueues, Reporter},
    shelf::Shelf,
};
use crate::{
    config::{MailConfig, PublicUrl, WebConfig},
    drop::{Ending, FileDrop, Requester},
    envelope::Origin,
    http::{
        client::Proxies,
        limit::{Crowd, Rate, Throttle},
        slots::DownloadPermit,
    },
    metrics::Metrics,
};

pub(crate) use self::{
    listener::{limits, runtime},
    theme::environment,
};

pub use self::theme::{Theme, ThemeError};

/// The things that the public listener needs to answer.
#[derive(Clone, Debug)]
pub struct WebState {
    /// The drop that is read.
    pub drop: FileDrop,
    /// `[web]`
    pub config: WebConfig,
    /// `[mail]`
    pub mail: MailConfig,
    /// The look of pages.
    pub theme: Theme,
    /// The time zone of the dates shown.
    pub zone: TimeZone,
    /// The language for readers who prefer none of ours.
    pub language: Language,
    /// The counters of responses and downloads.
    pub metrics: Metrics,
}

/// The means that clients use and have used up: the memory of answers, places, misses, forms, speed, reports. Clones
/// share it, and so do routes that are made anew for the same listener: a reload frees nothing.
#[derive(Clone, Debug)]
pub(crate) struct Usage(Arc<Used>);

#[derive(Debug)]
struct Used {
    shelf: Arc<Shelf>,
    misses: Rate,
    /// The misses of scripts of other sites.
    foreign_misses: Rate,
    posts: Rate,
    crowd: Arc<Crowd>,
    throttle: Arc<Throttle>,
    turns: Arc<Semaphore>,
    counter: Counter,
    reports: ReportQueues,
}

impl Usage {
    /// Makes the usage of a listener of which nothing is used yet.
    pub(crate) fn new(config: &WebConfig) -> Self {
        Self(Arc::new(Used {
            shelf: Arc::new(Shelf::new(config.answer_memory)),
            misses: Rate::per_minute(config.misses_per_minute),
            foreign_misses: Rate::per_minute(config.misses_per_minute),
            posts: Rate::per_minute(config.posts_per_minute),
            crowd: Arc::new(Crowd::new(config.max_connections_per_address)),
            throttle: Arc::new(Throttle::new(config.max_rate)),
            turns: Arc::new(Semaphore::new(READING_THREADS_MAX)),
            counter: Counter::new(),
            reports: ReportQueues::new(),
        }))
    }
}

/// The routes of the public listener.
pub fn router(state: WebState) -> Router {
    let usage = Usage::new(&state.config);
    routers(state, Vec::new(), &usage)
}

/// The routes of a drop with several names. Each of the others has its own look, under the host of
/// its public URL; everything else, unknown names included, looks like the first one. Every package
/// can be seen under every name. The limits on a client hold over all names together, and are those
/// of the first one.
pub(crate) fn routers(usual: WebState, others: Vec<WebState>, usage: &Usage) -> Router {
    usage.0.throttle.set(usual.config.max_rate);
    let usual = Site::new(usual, &usage.0);

    let mut by_name = HashMap::new();
    for state in others {
        let name = SiteName::of(&state.config.public_url);
        if name == SiteName::of(&usual.state.config.public_url) {
            continue;
        }
        by_name.entry(name).or_insert_with(|| {
            pages(Site {
                misses: Arc::clone(&usual.misses),
                foreign_misses: Arc::clone(&usual.foreign_misses),
                posts: Arc::clone(&usual.posts),
                ..Site::new(state, &usage.0)
            })
        });
    }

    let usual = pages(usual);
    if by_name.is_empty() {
        return usual;
    }
    Router::new().fallback(async move |request: Request| {
        let name = SiteName::asked(&request);
        let router = name.and_then(|name| by_name.get(&name)).unwrap_or(&usual);
        TowerToHyperService::new(router.clone()).call(request).await
    })
}

/// A host and a port, as browsers read them. The usual ports of http and https are one: a proxy in between may
/// speak the other with us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SiteName(String, u16);

impl SiteName {
    /// The name under which a request comes.
    fn asked(request: &Request) -> Option<Self> {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let url: PublicUrl = format!("https://{host}/").parse().ok()?;
        Some(Self::of(&url))
    }

    fn of(url: &PublicUrl) -> Self {
        let port = match url.port() {
            80 => 443,
            port => port,
        };
        Self(url.host().to_owned(), port)
    }
}

/// The router of one site. If `web.public_url` has a path, everything is served below it as well: a
/// proxy may strip it or pass it on.
fn pages(site: Site) -> Router {
    let site = Arc::new(site);
    let base = site.pages.base().trim_end_matches('/').to_owned();

    let mut router = Router::new();
    for (path, handlers) in routes() {
        if !base.is_empty() {
            router = router.route(&format!("{base}{path}"), handlers.clone());
        }
        router = router.route(path, handlers);
    }

    if !base.is_empty() {
        router = router.route(&base, get(home));
    }

    router
        .fallback(unknown)
        .layer(middleware::from_fn(tail::cut))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            guard::guard,
        ))
        .with_state(site)
}

/// Every path with its handlers.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Site>>)> {
    vec![
        ("/", get(home)),
        ("/about", get(about)),
        ("/style.css", get(well_known::style)),
        ("/logo", get(well_known::logo)),
        ("/robots.txt", get(well_known::robots)),
        ("/favicon.ico", get(well_known::favicon)),
        ("/.well-known/security.txt", get(well_known::security)),
        ("/{name}", get(open::package)),
        (ARCHIVE, get(open::archive)),
        (EXTEND, get(forms::extend_page).post(forms::extend)),
        (REPORT, get(forms::report_page).post(forms::report)),
        ("/unlock.js", get(well_known::script)),
        ("/e/{id}", get(sealed::page)),
        ("/e/{id}/manifest", get(sealed::manifest)),
        (SEALED_EXTEND, get(forms::extend_page).post(forms::extend)),
        (SEALED_REPORT, get(forms::report_page).post(forms::report)),
        (SEALED_FILE, get(sealed::file)),
        (FILE, get(open::file)),
    ]
}

/// The paths that take a `POST`.
const EXTEND: &str = "/{token}/extend";
const REPORT: &str = "/{token}/report";
const SEALED_EXTEND: &str = "/e/{id}/extend";
const SEALED_REPORT: &str = "/e/{id}/report";
const FORMS: [&str; 4] = [EXTEND, REPORT, SEALED_EXTEND, SEALED_REPORT];

/// The paths that give out files.
const ARCHIVE: &str = "/{token}/all.zip";
const FILE: &str = "/{token}/{number}";
const SEALED_FILE: &str = "/e/{id}/{number}";
const DOWNLOADS: [&str; 3] = [ARCHIVE, FILE, SEALED_FILE];

/// The state that all handlers share.
struct Site {
    pages: Pages,
    proxies: Proxies,
    misses: Arc<Rate>,
    /// The misses of scripts of other sites.
    foreign_misses: Arc<Rate>,
    posts: Arc<Rate>,
    crowd: Arc<Crowd>,
    throttle: Arc<Throttle>,
    shelf: Arc<Shelf>,
    turns: Arc<Semaphore>,
    counter: Counter,
    reporter: Reporter,
    state: WebState,
}

type SiteState = State<Arc<Site>>;

/// The client behind a request; each request has one.
#[derive(Clone, Debug, Default)]
struct Visitor {
    address: Option<IpAddr>,
    running: Option<Arc<DownloadPermit>>,
}

/// The reason why there is no package for a request.
enum PackageRefusal {
    /// Nothing was ever here.
    Unknown,
    /// It expired or was revoked.
    Gone(Box<EndedPackage>),
    /// The drop could not be asked.
    Failed,
}

/// A package that has ended.
struct EndedPackage {
    created: Timestamp,
    expired: Timestamp,
    origin: Origin,
    why: Ending,
    extendable: Option<Timestamp>,
}

async fn home(State(site): SiteState, wanted: Wanted) -> Response {
    site.pages.home(wanted)
}

async fn about(State(site): SiteState, wanted: Wanted) -> Response {
    site.pages.about(wanted)
}

async fn unknown(State(site): SiteState, wanted: Wanted) -> Response {
    site.pages.problem(wanted, ErrorPage::NotFound)
}

impl Site {
    fn new(state: WebState, used: &Used) -> Self {
        let config = &state.config;
        Self {
            pages: Pages::new(&state, Arc::clone(&used.shelf)),
            proxies: Proxies::new(config.trusted_proxies.clone(), config.proxy_header),
            misses: Arc::new(used.misses.with(config.misses_per_minute)),
            foreign_misses: Arc::new(used.foreign_misses.with(config.misses_per_minute)),
            posts: Arc::new(used.posts.with(config.posts_per_minute)),
            crowd: Arc::clone(&used.crowd),
            throttle: Arc::clone(&used.throttle),
            shelf: Arc::clone(&used.shelf),
            turns: Arc::clone(&used.turns),
            counter: used.counter.clone(),
            reporter: Reporter::new(config, &state.mail, used.reports.clone()),
            state,
        }
    }

    fn wanted(&self, uri: &Uri, headers: &HeaderMap) -> Wanted {
        Wanted::of(
            uri.query().unwrap_or_default(),
            headers,
            self.state.language,
        )
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl PackageRefusal {
    fn failed(err: &dyn fmt::Display) -> Self {
        error!("could not look up a package: {err}");
        Self::Failed
    }
}

impl Visitor {
    /// The client, for the audit log.
    fn client(&self) -> Requester {
        Requester::web(self.address)
    }
}

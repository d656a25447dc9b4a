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
//! A client is known by its address (`client`). Limits by client bound how often it may be wrong,
//! how many forms it may send and how much it may ask for at once (`limit`); the server bounds time
//! and connections ([`server`]).

pub mod server;
pub mod zip;

mod client;
mod conditional;
mod count;
mod download;
mod forms;
mod key;
mod kind;
mod language;
mod limit;
mod listing;
mod paced;
mod pages;
mod rehearsal;
mod report;
mod sealed;
mod shelf;
mod slots;
mod source;
mod texts;
mod theme;
mod views;
mod well_known;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Extension, MatchedPath, Path, Request, State, rejection::PathRejection},
    http::{HeaderMap, HeaderValue, Method, Uri, header},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get},
};
use hyper::{
    body::{Frame, SizeHint},
    service::Service as _,
};
use hyper_util::service::TowerToHyperService;
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, error};

pub use self::theme::{Theme, ThemeError};
use self::{
    client::{Origin as Network, Proxies},
    count::Counter,
    download::Download,
    language::Wanted,
    limit::{Crowd, Exceeded, Place, Rate, Throttle},
    pages::{PageAsked, Pages, Problem},
    report::Reporter,
    shelf::{Shelf, tie},
    slots::{Line, Running},
};
use crate::{
    admin::Metrics,
    config::{Language, MailConfig, WebConfig},
    drop::{Client, Drop, DropError, Ending, Lookup, Origin, Package, Token, Unlock},
};

/// The content security policy of pages: a style sheet and images of ours, forms sent to us, and
/// nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action \
                           'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every response; the constant part.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex, nofollow, noarchive"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// Time after which a client that asks for too much at once may ask again.
const CROWDED: Duration = Duration::from_secs(10);

/// The things that the public listener needs to answer.
#[derive(Clone, Debug)]
pub struct WebState {
    /// The drop that is read.
    pub drop: Drop,
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

/// The memory that all answers together may hold until they are sent: `web.answer_memory`. Clones
/// share it.
#[derive(Clone, Debug)]
pub struct AnswerMemory(Arc<Shelf>);

impl AnswerMemory {
    /// Makes a memory of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Shelf::new(bytes)))
    }
}

/// The routes of the public listener.
pub fn router(state: WebState) -> Router {
    let memory = AnswerMemory::new(state.config.answer_memory);
    routers(state, Vec::new(), &memory)
}

/// The routes of a drop with several names. Each of the others has its own look, under the host of
/// its public URL; everything else, unknown names included, looks like the first one. Every package
/// can be seen under every name. The limits on a client hold over all names together. Routes that
/// are made anew for the same listener share the memory with answers of the old ones.
pub fn routers(usual: WebState, others: Vec<WebState>, memory: &AnswerMemory) -> Router {
    let usual = Site::new(usual, Arc::clone(&memory.0));

    let mut by_host = HashMap::new();
    for state in others {
        let host = state.config.host().to_ascii_lowercase();
        if host == usual.state.config.host().to_ascii_lowercase() {
            continue;
        }
        by_host.entry(host).or_insert_with(|| {
            pages(Site {
                misses: Arc::clone(&usual.misses),
                foreign_misses: Arc::clone(&usual.foreign_misses),
                posts: Arc::clone(&usual.posts),
                crowd: Arc::clone(&usual.crowd),
                throttle: Arc::clone(&usual.throttle),
                turns: Arc::clone(&usual.turns),
                ..Site::new(state, Arc::clone(&usual.shelf))
            })
        });
    }

    let usual = pages(usual);
    if by_host.is_empty() {
        return usual;
    }
    Router::new().fallback(async move |request: Request| {
        let host = host(&request).map(|host| host.to_ascii_lowercase());
        let router = host.and_then(|host| by_host.get(&host)).unwrap_or(&usual);
        TowerToHyperService::new(router.clone()).call(request).await
    })
}

/// The name under which a request comes, with its port unless that is the usual one.
fn host(request: &Request) -> Option<&str> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let usual = [":443", ":80"];
    let port = usual.iter().find_map(|port| host.strip_suffix(port));
    Some(port.unwrap_or(host))
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
        .layer(middleware::from_fn_with_state(Arc::clone(&site), guard))
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
        ("/{name}", get(package)),
        (ARCHIVE, get(archive)),
        (EXTEND, get(forms::extend_page).post(forms::extend)),
        (REPORT, get(forms::report_page).post(forms::report)),
        ("/unlock.js", get(well_known::script)),
        ("/e/{id}", get(sealed::page)),
        ("/e/{id}/manifest", get(sealed::manifest)),
        (SEALED_EXTEND, get(forms::extend_page).post(forms::extend)),
        (SEALED_REPORT, get(forms::report_page).post(forms::report)),
        (SEALED_FILE, get(sealed::file)),
        (FILE, get(file)),
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

type Shared = State<Arc<Site>>;

/// The client behind a request; each request has one.
#[derive(Clone, Debug, Default)]
struct Visitor {
    address: Option<IpAddr>,
    running: Option<Arc<Running>>,
}

/// The reason why there is no package for a request.
enum Refusal {
    /// Nothing was ever here.
    Unknown,
    /// It expired or was revoked.
    Gone(Box<Gone>),
    /// The drop could not be asked.
    Failed,
}

/// A package that has ended.
struct Gone {
    created: Timestamp,
    expired: Timestamp,
    origin: Origin,
    why: Ending,
    extendable: Option<Timestamp>,
}

/// Wraps every request: refuses those that are not allowed, adds the headers that every response
/// carries, counts and logs. The path is never logged, for it holds the token.
async fn guard(State(site): Shared, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let wanted = site.wanted(request.uri(), request.headers());
    let address = site.proxies.client(request.extensions(), request.headers());
    let network = address.map(Network::of);
    let asker = Asker::of(request.headers());
    let line: Option<Arc<Line>> = request.extensions().get().cloned();

    let admitted = match site.admit(&request, network, asker) {
        Ok(admitted) => admitted.wait().await,
        Err(barrier) => Err(barrier),
    };

    let mut response = match admitted {
        Ok((place, running)) => {
            request
                .extensions_mut()
                .insert(Visitor { address, running });
            let response = next.run(request).await;
            match place {
                Some(place) => response.map(|body| Body::new(Seated { body, place })),
                None => response,
            }
        }
        Err(Barrier::Method(allowed)) => {
            let mut response = site.pages.problem(wanted, Problem::Method);
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
        Err(Barrier::TooMany(wait)) => site.pages.problem(wanted, Problem::TooMany(wait)),
        Err(Barrier::Embedded) => site.pages.problem(wanted, Problem::NotFound),
        Err(Barrier::Crowded) => site.pages.problem(wanted, Problem::Crowded),
    };

    // No memory was left for an answer: the slowest reader is cut, to free some.
    if site.shelf.has_refused()
        && let Some(line) = line
    {
        line.relieve();
    }

    let status = response.status().as_u16();
    if let Some((misses, network)) = site.misses_of(asker).zip(network)
        && status == 404
    {
        misses.charge(network);
    }

    site.harden(response.headers_mut());
    site.state.metrics.response(status);
    let bytes = response.headers().get(header::CONTENT_LENGTH);
    debug!(%method, status, ?bytes, "request");
    response
}

/// The kind of client that wants something. Only browsers send the fields that tell it, and a page
/// cannot change them (Fetch Metadata Request Headers, sections 2.1 and 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// A reader, or a program.
    Reader,
    /// A page of another site, for an image, a frame or a script of its own. Nothing of ours is
    /// made for that. It is not looked up, so that nobody guesses by it; nor is it charged, for a
    /// page full of wrong links would lock out everyone who reads it behind one address.
    Embedding,
    /// A script of another site by `fetch()`, or a reader who saves the target of a link there:
    /// browsers send the same fields for both. It is looked up, and its misses are counted apart:
    /// they lock out only its own kind.
    Script,
}

impl Asker {
    fn of(headers: &HeaderMap) -> Self {
        let is = |name: &str, word: &str| headers.get(name).is_some_and(|value| value == word);
        if !is("sec-fetch-site", "cross-site")
            || !headers.contains_key("sec-fetch-dest")
            || is("sec-fetch-dest", "document")
        {
            Self::Reader
        } else if is("sec-fetch-dest", "empty") {
            Self::Script
        } else {
            Self::Embedding
        }
    }
}

/// The body of an answer; its client keeps its place until the last bytes are sent.
struct Seated {
    body: Body,
    place: Arc<Place>,
}

impl hyper::body::Body for Seated {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        // The connection drops the body once it has all of it, and the bytes once they are sent.
        let tied =
            |frame: Frame<Bytes>| frame.map_data(|bytes| tie(bytes, Arc::clone(&self.place)));
        frame.map_ok(tied)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request that may proceed when its turn comes.
#[derive(Default)]
struct Admitted {
    place: Option<Arc<Place>>,
    /// The connection of a download.
    line: Option<Arc<Line>>,
}

impl Admitted {
    /// Waits for a place among downloads if it is one.
    async fn wait(self) -> Result<(Option<Arc<Place>>, Option<Arc<Running>>), Barrier> {
        let running = match &self.line {
            Some(line) => Some(line.download().await.ok_or(Barrier::Crowded)?),
            None => None,
        };
        Ok((self.place, running.map(Arc::new)))
    }
}

/// The reason why a request does not pass the guard.
enum Barrier {
    /// The path allows only these methods.
    Method(&'static str),
    /// Another site wants to show it as a part of its own page.
    Embedded,
    /// As many downloads run as may run at once.
    Crowded,
    /// The client asked for too much; it may ask again after this time.
    TooMany(Duration),
}

impl From<Exceeded> for Barrier {
    fn from(Exceeded(wait): Exceeded) -> Self {
        Self::TooMany(wait)
    }
}

async fn home(State(site): Shared, wanted: Wanted) -> Response {
    site.pages.home(wanted)
}

async fn about(State(site): Shared, wanted: Wanted) -> Response {
    site.pages.about(wanted)
}

async fn unknown(State(site): Shared, wanted: Wanted) -> Response {
    site.pages.problem(wanted, Problem::NotFound)
}

/// `/{token}` and `/{token}.json`.
async fn package(
    State(site): Shared,
    wanted: Wanted,
    uri: Uri,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let name = path.map(|Path(name)| name).unwrap_or_default();
    let (token, for_machines) = match name.strip_suffix(".json") {
        Some(token) => (token, true),
        None => (name.as_str(), false),
    };

    let now = Timestamp::now();
    let _turn = site.turn().await;
    match site.find(token, now).await {
        Ok((token, package)) if for_machines => site.manifest(&token, package, wanted),
        Ok((token, package)) => {
            let asked = PageAsked::of(uri.query().unwrap_or_default());
            let token = token.to_string();
            site.pages.landing(wanted, &token, &package, now, asked)
        }
        Err(refusal) => site.refuse(refusal, wanted, token),
    }
}

/// `/{token}/{number}`
async fn file(
    State(site): Shared,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Response {
    let (token, number) = path.map(|Path(pair)| pair).unwrap_or_default();
    let turn = site.turn().await;
    let (token, package) = match site.find(&token, Timestamp::now()).await {
        Ok(found) => found,
        Err(refusal) => return site.refuse(refusal, wanted, &token),
    };
    let Some(index) = index(&number).filter(|index| *index < package.files.len()) else {
        return site.pages.problem(wanted, Problem::NotFound);
    };
    let Ok(shelved) = site.shelf.shelve(&token, package) else {
        return site.pages.problem(wanted, Problem::Crowded);
    };
    let download = Download::file(token, shelved, index, visitor, &site.state.zone);
    std::mem::drop(turn);
    download.answer(&site, &method, &headers, wanted).await
}

/// `/{token}/all.zip`
async fn archive(
    State(site): Shared,
    Extension(visitor): Extension<Visitor>,
    wanted: Wanted,
    method: Method,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let token = path.map(|Path(token)| token).unwrap_or_default();
    let turn = site.turn().await;
    let (token, package) = match site.find(&token, Timestamp::now()).await {
        Ok(found) => found,
        Err(refusal) => return site.refuse(refusal, wanted, &token),
    };
    let name = site.pages.archive_name(&package.origin, package.created);
    let Ok(shelved) = site.shelf.shelve(&token, package) else {
        return site.pages.problem(wanted, Problem::Crowded);
    };
    let download = Download::archive(token, shelved, visitor, name, &site.state.zone);
    std::mem::drop(turn);
    download.answer(&site, &method, &headers, wanted).await
}

/// Reads the number in a path, from 1 and in its only valid spelling, as an index from 0.
fn index(number: &str) -> Option<usize> {
    let index = number.parse::<usize>().ok()?.checked_sub(1)?;
    (number == (index + 1).to_string()).then_some(index)
}

impl Site {
    fn new(state: WebState, shelf: Arc<Shelf>) -> Self {
        let config = &state.config;
        Self {
            pages: Pages::new(&state, Arc::clone(&shelf)),
            proxies: Proxies::new(config),
            misses: Arc::new(Rate::per_minute(config.misses_per_minute)),
            foreign_misses: Arc::new(Rate::per_minute(config.misses_per_minute)),
            posts: Arc::new(Rate::per_minute(config.posts_per_minute)),
            crowd: Arc::new(Crowd::new(config.max_connections_per_address)),
            throttle: Arc::new(Throttle::new(config.max_rate)),
            shelf,
            turns: Arc::new(Semaphore::new(server::READING_THREADS_MAX)),
            counter: Counter::new(),
            reporter: Reporter::new(config, &state.mail),
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

    /// The counter of an asker's links that lead nowhere; `None` if they are not counted.
    fn misses_of(&self, asker: Asker) -> Option<&Rate> {
        match asker {
            Asker::Reader => Some(&self.misses),
            Asker::Script => Some(&self.foreign_misses),
            Asker::Embedding => None,
        }
    }

    /// Checks that a request may go on to its handler, and gives it a place among those of its
    /// client.
    fn admit(
        &self,
        request: &Request,
        client: Option<Network>,
        asker: Asker,
    ) -> Result<Admitted, Barrier> {
        let route = request.extensions().get::<MatchedPath>();
        let base = self.pages.base().trim_end_matches('/');
        let route = route.map(MatchedPath::as_str);
        let route = route.map(|route| route.strip_prefix(base).unwrap_or(route));
        let is_post = request.method() == Method::POST;

        match (route, request.method()) {
            (_, &Method::GET | &Method::HEAD) => {}
            (Some(form), &Method::POST) if FORMS.contains(&form) => {}
            (Some(form), _) if FORMS.contains(&form) => {
                return Err(Barrier::Method("GET, HEAD, POST"));
            }
            _ => return Err(Barrier::Method("GET, HEAD")),
        }

        // Pages without a token lead nobody anywhere, and must stay open to clients that were
        // refused.
        let guesses = route.is_none_or(|route| route.contains('{'));
        let Some(client) = client.filter(|_| guesses) else {
            return Ok(Admitted::default());
        };

        let misses = self.misses_of(asker).ok_or(Barrier::Embedded)?;
        misses.check(client)?;
        if is_post {
            self.posts.take(client)?;
        }

        let place = self.crowd.enter(client).ok_or(Barrier::TooMany(CROWDED))?;
        let downloads = route.is_some_and(|route| DOWNLOADS.contains(&route));
        let line = request.extensions().get().filter(|_| downloads);
        Ok(Admitted {
            place: Some(Arc::new(place)),
            line: line.cloned(),
        })
    }

    /// Waits for a turn to hold a whole package. No more packages are looked up and shown at once
    /// than there are threads that look: any others would be held in memory while they wait to be
    /// shown.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turns = Arc::clone(&self.turns);
        turns.acquire_owned().await.ok()
    }

    /// The live package that the server unlocks with a token.
    async fn find(&self, token: &str, now: Timestamp) -> Result<(Token, Package), Refusal> {
        let parsed = token.parse::<Token>();
        let is_token = parsed.is_ok();
        let token = parsed.unwrap_or_else(|_| Token::nowhere());

        match self.state.drop.find(&token, now).await {
            Ok(Lookup::Live(Package { unlock, .. }) | Lookup::Gone { unlock, .. })
                if unlock == Unlock::Browser =>
            {
                Err(Refusal::Unknown)
            }
            Ok(Lookup::Live(package)) if is_token => Ok((token, package)),
            Ok(Lookup::Gone {
                created,
                expired,
                origin,
                why,
                extendable,
                ..
            }) if is_token => Err(Refusal::Gone(Box::new(Gone {
                created,
                expired,
                origin,
                why,
                extendable,
            }))),
            Ok(_) => Err(Refusal::Unknown),
            Err(err) => Err(Refusal::failed(&err)),
        }
    }

    fn refuse(&self, refusal: Refusal, wanted: Wanted, token: &str) -> Response {
        match refusal {
            Refusal::Unknown => self.pages.problem(wanted, Problem::NotFound),
            Refusal::Gone(gone) => self.pages.gone(wanted, token, &gone),
            Refusal::Failed => self.pages.problem(wanted, Problem::Failed),
        }
    }

    /// Adds the headers that every response carries and its handler did not set.
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
        if self.state.config.public_url.is_secure() {
            set(headers, "strict-transport-security", "max-age=31536000");
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Refusal {
    fn failed(err: &DropError) -> Self {
        error!("could not look up a package: {err}");
        Self::Failed
    }
}

impl Visitor {
    /// The client, for the audit log.
    fn client(&self) -> Client {
        Client::web(self.address)
    }
}

//! The guard before all handlers: it refuses requests that are not allowed, keeps a client's places,
//! and adds the headers that every response carries.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tracing::debug;

use super::{DOWNLOADS, FORMS, Site, SiteState, Visitor, pages::ErrorPage, shelf::tie};
use crate::http::{
    client::ClientNetwork,
    limit::{CrowdPermit, Exceeded, Rate},
    slots::{ConnectionState, DownloadPermit},
};

/// The content security policy of pages: a style sheet and images of ours, forms sent to us, and
/// nothing else.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action \
                           'self'; frame-ancestors 'none'; base-uri 'none'";

/// Headers of every response; the constant part.
pub(super) const SECURITY_HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex, nofollow, noarchive"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// Time after which a client that asks for too much at once may ask again.
const CROWDED: Duration = Duration::from_secs(10);

/// Wraps every request: refuses those that are not allowed, adds the headers that every response
/// carries, counts and logs. The path is never logged, for it holds the token.
pub(super) async fn guard(State(site): SiteState, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let wanted = site.wanted(request.uri(), request.headers());
    let address = site.proxies.client(request.extensions(), request.headers());
    let network = address.map(ClientNetwork::of);
    let asker = Asker::of(request.headers());
    let line: Option<Arc<ConnectionState>> = request.extensions().get().cloned();

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
            let mut response = site.pages.problem(wanted, ErrorPage::Method);
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
            response
        }
        Err(Barrier::TooMany(wait)) => site.pages.problem(wanted, ErrorPage::TooMany(wait)),
        Err(Barrier::Embedded) => site.pages.problem(wanted, ErrorPage::NotFound),
        Err(Barrier::Crowded) => site.pages.problem(wanted, ErrorPage::Crowded),
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
    place: Arc<CrowdPermit>,
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
    place: Option<Arc<CrowdPermit>>,
    /// The connection of a download.
    line: Option<Arc<ConnectionState>>,
}

impl Admitted {
    /// Waits for a place among downloads if it is one.
    async fn wait(
        self,
    ) -> Result<(Option<Arc<CrowdPermit>>, Option<Arc<DownloadPermit>>), Barrier> {
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

impl Site {
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
        client: Option<ClientNetwork>,
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

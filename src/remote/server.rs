//! Deposits over HTTP, by milters of other hosts: on a listener of its own, with bearer tokens.
//!
//! | request | |
//! |---|---|
//! | `PUT /v1/packages/{id}` | begins a package, answers its link |
//! | `PUT /v1/packages/{id}/files/{n}` | streams a file, answers its size and digest once it is there |
//! | `POST /v1/packages/{id}/commit` | lists files with their digests; from the answer on the link works |
//! | `DELETE /v1/packages/{id}` | gives the package up |
//! | `GET /v1/ready` | whether a package can be deposited |
//! | `GET /openapi.yaml` | the description of all this (`doc/deposit.openapi.yaml`) |
//!
//! The uploader chooses the package's token (128 random bits) and sends it in the header
//! `Drop-Token`; the id in the path is derived from it. So every request can be sent again after a
//! lost answer, and this side keeps the token nowhere.
//!
//! A package that was begun and not committed is given up after 50 minutes, and with the process.
//! There is no TLS: a proxy stands in front. Unwanted bodies are drained, so that the uploader sees
//! the refusal (`drain`).

mod code;
mod commit;
mod drafts;
mod drain;
mod problem;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::{self, Future},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::TcpListener,
    time::{Instant, interval, timeout},
};
use tracing::{debug, info, warn};

use self::{
    code::ProblemCode,
    drafts::{Drafts, PendingPackage},
    problem::Problem,
};
use super::wire::{self, Begin, Begun, FILES_MAX, Received, Sha256, TOKEN_HEADER};
use crate::{
    config::DepositConfig,
    drop::{FileDrop, PackageLookup, Right, Token, Unlock, Uploader, cost},
    envelope::{Direction, Origin},
    http::server::{self, ServerLimits},
    lock::lock,
    lookup::Lookup,
    metrics::Metrics,
    sender::{self, Voucher},
};

/// The description of the interface.
const OPENAPI: &str = include_str!("../../doc/deposit.openapi.yaml");

/// The largest JSON body: a thousand files with long names.
const JSON_BYTES_MAX: usize = 4 << 20;

/// Interval at which old drafts are looked for.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(60);

/// Number of requests in one minute that are told their token is not valid; further ones are told
/// to wait.
const STRANGERS_MAX: u32 = 60;

/// Deposits over HTTP into a drop. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Deposits(Arc<DepositService>);

#[derive(Debug)]
struct DepositService {
    drop: FileDrop,
    config: DepositConfig,
    /// The beginning of links.
    public_url: String,
    domains: DomainLookup,
    drafts: Drafts,
    strangers: Mutex<Strangers>,
}

/// The lookup of our own domains, by the configuration in force.
struct DomainLookup(Box<dyn Fn() -> Lookup + Send + Sync>);

impl fmt::Debug for DomainLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DomainLookup")
    }
}

/// The number of requests without a valid token in the current minute.
#[derive(Debug)]
struct Strangers {
    since: Instant,
    count: u32,
}

type DepositsState = State<Deposits>;
type DepositResponse = Result<Response, Problem>;

impl Deposits {
    /// Makes the interface that takes deposits into `drop`. Links begin with `public_url`; `lookup`
    /// knows which domains are ours.
    pub(crate) fn new(
        drop: FileDrop,
        config: DepositConfig,
        public_url: &str,
        lookup: impl Fn() -> Lookup + Send + Sync + 'static,
    ) -> Self {
        let drafts = Drafts::new(&config);
        let strangers = Strangers {
            since: Instant::now(),
            count: 0,
        };
        Self(Arc::new(DepositService {
            drop,
            config,
            public_url: public_url.to_owned(),
            domains: DomainLookup(Box::new(lookup)),
            drafts,
            strangers: Mutex::new(strangers),
        }))
    }

    /// Serves `listener` until `shutdown` completes and running requests are through.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        metrics: Metrics,
        shutdown: impl Future<Output = ()>,
    ) {
        let count = move |response: Response| {
            metrics.deposit_response(response.status().as_u16());
            future::ready(response)
        };
        let router = self.router().layer(middleware::map_response(count));
        let limits = self.limits();
        tokio::select! {
            () = server::serve(listener, router, limits, shutdown) => {}
            () = self.expire() => {}
        }
    }

    /// The routes.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/openapi.yaml", get(openapi))
            .route("/v1/ready", get(ready))
            .route("/v1/packages/{id}", put(begin).delete(give_up))
            .route("/v1/packages/{id}/files/{number}", put(receive))
            .route("/v1/packages/{id}/commit", post(commit))
            .fallback(async || {
                Problem::new(
                    StatusCode::NOT_FOUND,
                    ProblemCode::NoSuchPath,
                    "there is no such path",
                )
            })
            .method_not_allowed_fallback(async || {
                let detail = "this path does not know this method";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, ProblemCode::Method, detail)
            })
            .layer(middleware::from_fn(drain::drain_unread))
            .layer(middleware::from_fn(guard))
            .with_state(self.clone())
    }

    fn limits(&self) -> ServerLimits {
        ServerLimits {
            max_connections: self.0.config.max_connections,
            // Behind a proxy all uploaders have one address, and a milter may use all of them.
            max_connections_per_address: self.0.config.max_connections,
            trusted_proxies: Vec::new(),
            min_rate: 0,
            timeout: self.0.config.timeout,
            header_bytes_max: 16 * 1024,
            patience: server::PATIENCE,
            drain: Duration::from_secs(30),
        }
    }

    async fn expire(&self) {
        let mut tick = interval(EXPIRE_INTERVAL);
        loop {
            tick.tick().await;
            let deposits = self.clone();
            // Removing large files takes its time.
            let expire = move || deposits.0.drafts.expire();
            let packages = tokio::task::spawn_blocking(expire).await.unwrap_or(0);
            if packages > 0 {
                info!(packages, "packages were begun and never committed");
            }
        }
    }

    fn link(&self, unlock: Unlock, token: &Token) -> String {
        unlock.link(&self.0.public_url, token)
    }

    /// The verified part of the sender that an uploader names: for outgoing mail, its domain if it
    /// is one of ours.
    async fn verified(&self, origin: &Origin) -> Option<String> {
        if origin.direction == Direction::Incoming {
            return None;
        }
        let domain = sender::domain(&origin.sender)?;
        let lookup = (self.0.domains.0)();
        sender::verified(&origin.sender, Voucher::Token, lookup.is_own(domain).await)
    }

    fn draft(&self, caller: &PackageOwner) -> Result<Arc<PendingPackage>, Problem> {
        let found = self.0.drafts.find(&caller.id, &caller.uploader);
        found.ok_or_else(Problem::unknown)
    }

    /// Counts a request without a valid token, and returns the refusal that it gets.
    fn turn_away(&self, detail: &'static str) -> Problem {
        let mut strangers = lock(&self.0.strangers);
        if strangers.since.elapsed() > Duration::from_secs(60) {
            *strangers = Strangers {
                since: Instant::now(),
                count: 0,
            };
        }

        strangers.count = strangers.count.saturating_add(1);
        match strangers.count {
            1 => warn!("a deposit was refused: {detail}"),
            STRANGERS_MAX => warn!("{STRANGERS_MAX} deposits were refused in a minute: {detail}"),
            _ => debug!("a deposit was refused: {detail}"),
        }

        if strangers.count > STRANGERS_MAX {
            return Problem::too_much(
                ProblemCode::TooManyRefused,
                "too many requests without a valid token",
            );
        }
        Problem::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, detail)
    }
}

/// Sets the headers that every answer carries, and logs the request. Neither the token nor its
/// header is logged.
async fn guard(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    debug!(%method, path, status = response.status().as_u16(), "deposit request");
    response
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], OPENAPI).into_response()
}

async fn ready(State(deposits): DepositsState, _caller: Authenticated) -> DepositResponse {
    deposits.0.drop.probe().await?;
    Ok(reply(StatusCode::OK, &serde_json::json!({ "ready": true })))
}

/// `PUT /v1/packages/{id}`
async fn begin(
    State(deposits): DepositsState,
    caller: PackageOwner,
    request: Request,
) -> DepositResponse {
    let origin = json::<Begin>(&deposits, request).await?;
    let mut origin = origin
        .origin()
        .map_err(|why| Problem::unsound(ProblemCode::Origin, why))?;
    origin.verified = deposits.verified(&origin).await;
    let link = deposits.link(deposits.0.drop.unlock(), &caller.token);

    if deposits.draft(&caller).is_ok() {
        return Ok(reply(StatusCode::OK, &Begun { link }));
    }
    if caller.uploader.left_today() == 0 {
        return Err(Problem::over_quota(&caller.uploader.name));
    }

    let drop = &deposits.0.drop;
    if !matches!(
        drop.find(&caller.token, Timestamp::now()).await?,
        PackageLookup::Unknown
    ) {
        return Err(Problem::conflict(
            ProblemCode::Taken,
            "there is a package of this token",
        ));
    }

    let begun = drop.begin_upload(&caller.uploader, &caller.token, origin);
    let package = begun.await?.ok_or_else(|| {
        Problem::conflict(
            ProblemCode::Taken,
            "another uploader began a package of this token",
        )
    })?;
    let drafts = &deposits.0.drafts;
    drafts.begin(caller.id, &caller.uploader, package)?;
    Ok(reply(StatusCode::CREATED, &Begun { link }))
}

/// `PUT /v1/packages/{id}/files/{number}`
async fn receive(
    State(deposits): DepositsState,
    caller: PackageOwner,
    FileNumber(number): FileNumber,
    request: Request,
) -> DepositResponse {
    must_be(request.headers(), "application/octet-stream")?;
    let draft = deposits.draft(&caller)?;
    let announced = content_length(request.headers()).unwrap_or(0);
    deposits.check_size(announced)?;
    draft.has_room(&caller.uploader, cost(announced))?;

    let mut file = {
        let mut open = draft.open.lock().await;
        let open = open.as_mut().ok_or_else(Problem::unknown)?;
        // The uploader gives the name last, in the commit.
        open.package.file("", "")?
    };

    let mut chunks = Chunks::new(&deposits, request.into_body());
    let (mut size, mut room) = (0, draft.room());
    room.reserve(&caller.uploader, cost(size))?;
    while let Some(bytes) = chunks.next().await? {
        let before = cost(size);
        size += bytes.len() as u64;
        deposits.check_size(size)?;
        room.reserve(&caller.uploader, cost(size) - before)?;
        file.write(bytes).await?;
    }

    let file = file.finish().await?;
    let (size, sha256) = (file.size(), Sha256(file.sha256()));
    let mut open = draft.open.lock().await;
    let open = open.as_mut().ok_or_else(Problem::unknown)?;
    if let Some(replaced) = open.files.insert(number, file) {
        draft.give_back(cost(replaced.size()));
    }
    room.keep();
    Ok(reply(StatusCode::OK, &Received { size, sha256 }))
}

/// `POST /v1/packages/{id}/commit`
async fn commit(
    State(deposits): DepositsState,
    caller: PackageOwner,
    request: Request,
) -> DepositResponse {
    let order = json::<wire::Commit>(&deposits, request).await?;
    let committed = deposits.commit(caller, order).await?;
    Ok(reply(StatusCode::OK, &committed))
}

/// `DELETE /v1/packages/{id}`
async fn give_up(State(deposits): DepositsState, caller: PackageOwner) -> DepositResponse {
    deposits.give_up(caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A client with a valid token.
struct Authenticated(Uploader);

/// An uploader and one of its packages.
struct PackageOwner {
    uploader: Uploader,
    token: Token,
    id: String,
}

/// The number of a file in a path, in its only valid spelling.
struct FileNumber(u32);

impl FromRequestParts<Deposits> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deposits: &Deposits) -> Result<Self, Problem> {
        let secret =
            bearer(&parts.headers).ok_or_else(|| deposits.turn_away("no bearer token was sent"))?;
        let found = deposits.0.drop.find_uploader(secret, Timestamp::now());
        let found = found.await?;
        if let (Some(_), Some(known)) = (&found, parts.extensions.get::<drain::AuthFlag>()) {
            known.is_now();
        }
        let turn_away = || deposits.turn_away("the bearer token is not valid");
        found.map(Self).ok_or_else(turn_away)
    }
}

impl FromRequestParts<Deposits> for PackageOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deposits: &Deposits) -> Result<Self, Problem> {
        let Authenticated(uploader) = Authenticated::from_request_parts(parts, deposits).await?;
        if !uploader.may(Right::Deposit) {
            let detail = "the bearer token gives no right to deposit";
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                ProblemCode::Right,
                detail,
            ));
        }

        let token = parts.headers.get(TOKEN_HEADER).map(HeaderValue::to_str);
        let token: Option<Token> = token.and_then(|text| text.ok()?.parse().ok());
        let token = token.ok_or_else(|| {
            let detail = "the header Drop-Token does not hold a token of 26 base32 characters";
            Problem::bad(ProblemCode::Token, detail)
        })?;

        let id = path_segment(parts, 0, deposits).await;
        if id != token.package_id() {
            let detail = "the id in the path is not that of the token in the header";
            return Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Id, detail));
        }

        Ok(Self {
            uploader,
            token,
            id,
        })
    }
}

impl FromRequestParts<Deposits> for FileNumber {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deposits: &Deposits) -> Result<Self, Problem> {
        let text = path_segment(parts, 1, deposits).await;
        let number = text
            .parse()
            .ok()
            .filter(|number| text == u32::to_string(number));
        number
            .filter(|number| (*number as usize) < FILES_MAX)
            .map(Self)
            .ok_or_else(|| {
                Problem::bad(ProblemCode::Number, "the number of a file is from 0 to 999")
            })
    }
}

/// The nth variable segment of the path; empty if it is not text.
async fn path_segment(parts: &mut Parts, n: usize, deposits: &Deposits) -> String {
    let path = Path::<Vec<(String, String)>>::from_request_parts(parts, deposits).await;
    let mut segments = path.map(|Path(segments)| segments).unwrap_or_default();
    let text = segments.get_mut(n).map(|(_, text)| std::mem::take(text));
    text.unwrap_or_default()
}

/// A request body, chunk by chunk, each within the timeout.
struct Chunks {
    stream: axum::body::BodyDataStream,
    patience: Duration,
}

impl Chunks {
    fn new(deposits: &Deposits, body: Body) -> Self {
        Self {
            stream: body.into_data_stream(),
            patience: deposits.0.config.timeout,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match timeout(self.patience, self.stream.next()).await {
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(Problem::bad(
                ProblemCode::Incomplete,
                "the body ended too early",
            )),
            Err(_) => {
                let detail = "nothing came for too long";
                Err(Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    ProblemCode::Stalled,
                    detail,
                ))
            }
        }
    }
}

impl Deposits {
    fn check_size(&self, bytes: u64) -> Result<(), Problem> {
        let max = self.0.config.file_bytes_max;
        if bytes <= max {
            return Ok(());
        }
        let detail = format!("a file may have {max} bytes");
        Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ProblemCode::TooLarge,
            detail,
        ))
    }
}

/// Reads a JSON body.
async fn json<T: DeserializeOwned>(deposits: &Deposits, request: Request) -> Result<T, Problem> {
    must_be(request.headers(), "application/json")?;
    let mut chunks = Chunks::new(deposits, request.into_body());
    let mut text = Vec::new();
    while let Some(bytes) = chunks.next().await? {
        if text.len() + bytes.len() > JSON_BYTES_MAX {
            let detail = format!("a body of JSON may have {JSON_BYTES_MAX} bytes");
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ProblemCode::TooLarge,
                detail,
            ));
        }
        text.extend_from_slice(&bytes);
    }

    serde_json::from_slice(&text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::unsound(ProblemCode::Schema, error.to_string())
        }
        _ => Problem::bad(ProblemCode::Json, error.to_string()),
    })
}

fn reply(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).expect("strings and numbers are JSON");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn must_be(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let sent = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let sent = sent.and_then(Result::ok).unwrap_or_default();
    let sent = sent.split(';').next().unwrap_or_default().trim();
    if sent.eq_ignore_ascii_case(media_type) {
        return Ok(());
    }
    let detail = format!("the body must be {media_type}");
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ProblemCode::MediaType,
        detail,
    ))
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

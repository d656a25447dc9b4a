//! Health and metrics, on a listener of their own that readers of mail cannot reach.
//!
//! * `/healthz` – the process lives: 200.
//! * `/readyz` – a package can be deposited, or, where readers alone are served, the records can be read: 200, else
//!   503. The drop is probed at most every two seconds, however often this is asked.
//! * `/metrics` – for Prometheus: as OpenMetrics text to scrapers that ask for it, else in its own
//!   format 0.0.4. A scrape touches no disk: the drop is looked at once a minute, in the
//!   background.
//!
//! Served by `http::server` like the public pages.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{
    drop::FileDrop,
    http::server::{PATIENCE, ServerLimits},
    metrics::Metrics,
    store::Stores,
};

/// Time for which the outcome of a probe stays valid.
const PROBE_AGE_MAX: Duration = Duration::from_secs(2);

/// The media type that a scraper which reads OpenMetrics accepts.
const OPENMETRICS: &str = "application/openmetrics-text";

/// Longest time that a probe may take.
const PROBE_TIME_MAX: Duration = Duration::from_secs(5);

/// The work for which a process must be ready.
#[derive(Clone)]
pub(crate) enum Work {
    /// To deposit packages.
    Deposits(Stores),
    /// To find the packages of links.
    Links(FileDrop),
}

/// The routes of the admin listener.
pub(crate) fn router(work: Work, metrics: Metrics) -> Router {
    let state = AdminState {
        work,
        metrics,
        probed: Arc::default(),
    };
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(show_metrics))
        .with_state(state)
}

#[derive(Clone)]
struct AdminState {
    work: Work,
    metrics: Metrics,
    probed: Arc<Mutex<Option<Probed>>>,
}

/// The limits of the admin listener: a few probes and a scraper.
pub(crate) fn limits() -> ServerLimits {
    ServerLimits {
        max_connections: 16,
        max_connections_per_address: 16,
        trusted_proxies: Vec::new(),
        timeout: Duration::from_secs(10),
        min_rate: 0,
        header_bytes_max: 16 * 1024,
        patience: PATIENCE,
        drain: Duration::from_secs(1),
    }
}

/// The outcome of the last probe of the drop, with its time.
#[derive(Clone, Copy)]
struct Probed {
    at: Instant,
    ready: bool,
}

async fn readyz(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    if state.is_ready().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, state.work.failed())
    }
}

async fn show_metrics(State(state): State<AdminState>, headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    let (content_type, text) = if accepted.any(|value| value.contains(OPENMETRICS)) {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (content_type, state.metrics.encode())
    } else {
        let content_type = "text/plain; version=0.0.4; charset=utf-8";
        (content_type, state.metrics.encode_plain())
    };
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

impl AdminState {
    async fn is_ready(&self) -> bool {
        // Requests that arrive meanwhile wait for the same answer.
        let mut probed = self.probed.lock().await;
        if let Some(Probed { at, ready }) = *probed
            && at.elapsed() < PROBE_AGE_MAX
        {
            return ready;
        }
        let ready = self.probe().await;
        *probed = Some(Probed {
            at: Instant::now(),
            ready,
        });
        ready
    }

    async fn probe(&self) -> bool {
        match timeout(PROBE_TIME_MAX, self.work.probe()).await {
            Ok(Ok(())) => true,
            Ok(Err(err)) => {
                warn!("drop is not ready: {err}");
                false
            }
            Err(_) => {
                warn!("drop is not ready: the probe took too long");
                false
            }
        }
    }
}

impl Work {
    async fn probe(&self) -> Result<(), String> {
        match self {
            Self::Deposits(stores) => stores.probe().await.map_err(|error| error.to_string()),
            Self::Links(drop) => {
                let noted = drop.sweep_notes().await;
                noted.map(|_| ()).map_err(|error| error.to_string())
            }
        }
    }

    fn failed(&self) -> &'static str {
        match self {
            Self::Deposits(_) => "the drop takes no package\n",
            Self::Links(_) => "the drop cannot be read\n",
        }
    }
}

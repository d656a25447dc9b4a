//! Reports on the running daemon's configuration: to `depollueur reload`, to `depollueur doctor`, and
//! to the service manager.
//!
//! Only the daemon knows by which options and variables it was started, so it does the comparison
//! between its configuration and the one that a restart would give. It reports keys, never values: a
//! caller may lack the right to read the configuration.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    http::header,
    response::IntoResponse,
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{super::ConfigOptions, reload::differences};
use crate::{
    config::{Config, RunMode},
    lock::lock,
    metrics::Metrics,
    units::{Part, Service},
};

/// Path of the report at the admin listener.
pub(in super::super) const PATH: &str = "configuration";

/// Time limit of a question that waits for a reload.
const WAIT: Duration = Duration::from_secs(20);

/// The daemon's answer.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(in super::super) struct DaemonStatus {
    /// The daemon's process.
    pub(in super::super) process: u32,
    /// The parts that it has; one that does not say has all.
    #[serde(default)]
    pub(in super::super) service: Service,
    /// The result of the last reload.
    pub(in super::super) last: Reloaded,
    /// The differences between the sources of the configuration and the effective one.
    pub(in super::super) now: Differences,
}

/// The result of a reload.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(in super::super) struct Reloaded {
    /// The number of reloads since the start.
    pub(in super::super) count: u64,
    /// The reason why the configuration was refused, if it was.
    pub(in super::super) refused: Option<String>,
    /// The keys that took effect.
    pub(in super::super) changed: Vec<String>,
}

/// The differences between the sources of the configuration and the effective one.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(in super::super) struct Differences {
    /// The reason why the sources would be refused.
    pub(in super::super) error: Option<String>,
    /// Keys that a reload would apply.
    pub(in super::super) reload: Vec<String>,
    /// Keys that only a restart applies.
    pub(in super::super) restart: Vec<String>,
}

/// The effective configuration and its sources.
#[derive(Clone, Debug)]
pub(super) struct Running(Arc<ReloadState>);

#[derive(Debug)]
struct ReloadState {
    service: Service,
    options: ConfigOptions,
    config: Mutex<Arc<Config>>,
    last: watch::Sender<Reloaded>,
}

/// A question that waits until there were more than `after` reloads.
#[derive(Debug, Deserialize)]
struct ReloadQuery {
    after: Option<u64>,
}

impl DaemonStatus {
    /// Returns the beginning of a line about this process, where there are others.
    pub(in super::super) fn whose(&self) -> String {
        match self.service {
            Service::Whole => String::new(),
            service => format!("{}: ", service.name()),
        }
    }
}

async fn answer(
    State(running): State<Running>,
    Query(question): Query<ReloadQuery>,
) -> impl IntoResponse {
    if let Some(after) = question.after {
        running.wait(after).await;
    }
    let standing = serde_json::json!(running.standing().await);
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, standing.to_string())
}

impl Running {
    pub(super) fn new(service: Service, options: ConfigOptions, config: Arc<Config>) -> Self {
        Self(Arc::new(ReloadState {
            service,
            options,
            config: Mutex::new(config),
            last: watch::Sender::default(),
        }))
    }

    /// Records a reload: the keys that changed, or the reason why it was refused.
    pub(super) fn reloaded(&self, config: &Arc<Config>, result: Result<Vec<String>, String>) {
        *lock(&self.0.config) = Arc::clone(config);
        let (changed, refused) = match result {
            Ok(changed) => (changed, None),
            Err(reason) => (Vec::new(), Some(reason)),
        };
        self.0.last.send_modify(|last| {
            *last = Reloaded {
                count: last.count + 1,
                refused,
                changed,
            };
        });
    }

    /// Returns the result of the last reload, updated as reloads happen.
    pub(super) fn reloads(&self) -> watch::Receiver<Reloaded> {
        self.0.last.subscribe()
    }

    /// Returns the route for the admin listener.
    pub(super) fn router(&self) -> Router {
        Router::new()
            .route(&format!("/{PATH}"), get(answer))
            .with_state(self.clone())
    }

    async fn wait(&self, after: u64) {
        let mut last = self.0.last.subscribe();
        // After the time limit, the caller gets the present state.
        let _ = timeout(WAIT, last.wait_for(|last| last.count > after)).await;
    }

    async fn standing(&self) -> DaemonStatus {
        let now = self.differences().await;
        DaemonStatus {
            process: std::process::id(),
            service: self.0.service,
            last: self.0.last.borrow().clone(),
            now,
        }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.0.config))
    }

    /// Reads the sources, which waits for the disk: on a thread of its own, since `spawn_blocking`
    /// panics where there is no memory for a thread.
    async fn differences(&self) -> Differences {
        let running = self.clone();
        let (told, compared) = oneshot::channel();
        let begun = thread::Builder::new()
            .name("sources".into())
            .spawn(move || {
                // Nobody waits any more when the daemon ends.
                let _ = told.send(running.compare());
            });
        let result = match begun {
            Ok(_) => compared
                .await
                .unwrap_or_else(|_| Err("could not be compared".into())),
            Err(error) => Err(format!("could not start a thread: {error}")),
        };
        result.unwrap_or_else(|error| Differences {
            error: Some(error),
            ..Differences::default()
        })
    }

    fn compare(&self) -> Result<Differences, String> {
        let read = self.0.options.clone().load();
        let read = read.map_err(|why| why.to_string())?;
        differences(&self.config(), &read)
    }

    /// Returns one line for `systemctl status`.
    pub(super) async fn status(&self, metrics: &Metrics) -> String {
        let config = self.config();
        let mut status = format!("links begin with {}", config.web.public_url);
        if self.0.service.has(Part::Mail) {
            let mode = match config.detach.mode {
                RunMode::Live => "live",
                RunMode::DryRun => "dry-run, no mail is changed",
            };
            let (seen, changed) = metrics.messages();
            status = format!("{mode}; {status}; {seen} messages seen, {changed} changed");
        }

        let Differences {
            error,
            reload,
            restart,
        } = self.differences().await;

        let name = self.0.service.name();
        if let Some(error) = error {
            status += &format!("; the configuration as it is now is refused: {error}");
        }
        if !restart.is_empty() {
            let keys = restart.join(", ");
            status += &format!("; needs a restart (systemctl restart {name}): {keys}");
        }
        if !reload.is_empty() {
            let keys = reload.join(", ");
            status += &format!("; needs a reload (systemctl reload {name}): {keys}");
        }
        status
    }
}

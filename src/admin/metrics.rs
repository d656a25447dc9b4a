//! What is counted, under names that begin with `depollueur_`.

use std::{
    fmt::{self, Debug},
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The counters and gauges of the whole process. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Went out as it came.
    Passed,
    /// Went out with links.
    Rewritten,
    /// Our own machinery failed.
    Failed,
    /// A rule refused it.
    Refused,
}

/// Counted up when made, down when dropped.
#[derive(Debug)]
#[must_use = "it counts only while it lives"]
pub struct InProgress(Gauge);

struct Inner {
    registry: Registry,
    messages: Family<MessageLabels, Counter>,
    detached_parts: Counter,
    detached_bytes: Counter<u64, AtomicU64>,
    trial_parts: Counter,
    trial_bytes: Counter<u64, AtomicU64>,
    deposit_errors: Counter,
    sessions: Gauge,
    messages_in_work: Gauge,
    downloads: Counter,
    downloads_aborted: Counter,
    responses: Family<ResponseLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    status: &'static str,
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("depollueur"),
            messages: Family::default(),
            detached_parts: Counter::default(),
            detached_bytes: Counter::default(),
            trial_parts: Counter::default(),
            trial_bytes: Counter::default(),
            deposit_errors: Counter::default(),
            sessions: Gauge::default(),
            messages_in_work: Gauge::default(),
            downloads: Counter::default(),
            downloads_aborted: Counter::default(),
            responses: Family::default(),
        };
        inner.register_mail();
        inner.register_web();
        Self(Arc::new(inner))
    }

    /// A message is done with; `reason` says why it ended so.
    pub fn message(&self, outcome: Outcome, reason: &'static str) {
        self.0
            .messages
            .get_or_create(&MessageLabels {
                outcome: outcome.label(),
                reason,
            })
            .inc();
    }

    /// Parts were detached from a message that goes out rewritten; `bytes` are decoded.
    pub fn detached(&self, parts: usize, bytes: u64) {
        self.0.detached_parts.inc_by(parts as u64);
        self.0.detached_bytes.inc_by(bytes);
    }

    /// Parts would have been detached, were it not for a dry-run; `bytes` are decoded.
    pub fn would_detach(&self, parts: usize, bytes: u64) {
        self.0.trial_parts.inc_by(parts as u64);
        self.0.trial_bytes.inc_by(bytes);
    }

    /// The drop could not take a file or a package.
    pub fn deposit_error(&self) {
        self.0.deposit_errors.inc();
    }

    /// A milter session is open while the result lives.
    pub fn session(&self) -> InProgress {
        InProgress::new(&self.0.sessions)
    }

    /// A message is in work while the result lives.
    pub fn message_in_work(&self) -> InProgress {
        InProgress::new(&self.0.messages_in_work)
    }

    /// A file, or all as ZIP, was downloaded whole.
    pub fn download(&self) {
        self.0.downloads.inc();
    }

    /// A download, ranges included, ended before its last byte.
    pub fn download_aborted(&self) {
        self.0.downloads_aborted.inc();
    }

    /// A response with this HTTP status was sent by the public listener.
    pub fn response(&self, status: u16) {
        let status = match status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        self.0
            .responses
            .get_or_create(&ResponseLabels { status })
            .inc();
    }

    /// All of them as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry).expect("writing to a string does not fail");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Inner {
    fn register_mail(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "messages",
            "Messages by what became of them",
            self.messages.clone(),
        );
        registry.register(
            "detached_parts",
            "Parts detached from messages that went out rewritten",
            self.detached_parts.clone(),
        );
        registry.register_with_unit(
            "detached",
            "Decoded bytes of the detached parts",
            Unit::Bytes,
            self.detached_bytes.clone(),
        );
        registry.register(
            "dry_run_parts",
            "Parts that would have been detached, were it not for a dry-run",
            self.trial_parts.clone(),
        );
        registry.register_with_unit(
            "dry_run",
            "Decoded bytes of these parts",
            Unit::Bytes,
            self.trial_bytes.clone(),
        );
        registry.register(
            "deposit_errors",
            "Files and packages that the drop could not take",
            self.deposit_errors.clone(),
        );
        registry.register(
            "milter_sessions",
            "Open milter sessions",
            self.sessions.clone(),
        );
        registry.register(
            "messages_in_work",
            "Messages between their header and their verdict",
            self.messages_in_work.clone(),
        );
    }

    fn register_web(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "downloads",
            "Files and archives that were downloaded whole",
            self.downloads.clone(),
        );
        registry.register(
            "downloads_aborted",
            "Downloads that ended before their last byte",
            self.downloads_aborted.clone(),
        );
        registry.register(
            "http_responses",
            "Responses of the public listener by class of status",
            self.responses.clone(),
        );
    }
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Rewritten => "rewritten",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

impl InProgress {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_in_the_text_with_its_unit() {
        let metrics = Metrics::new();
        metrics.message(Outcome::Rewritten, "detached");
        metrics.detached(2, 5_000_000_000);
        metrics.would_detach(3, 41_000_000);
        metrics.deposit_error();
        metrics.download();
        metrics.download_aborted();
        metrics.response(206);
        let _session = metrics.session();
        drop(metrics.message_in_work());
        let text = metrics.encode();
        for line in [
            r#"depollueur_messages_total{outcome="rewritten",reason="detached"} 1"#,
            "depollueur_detached_parts_total 2",
            "depollueur_detached_bytes_total 5000000000",
            "depollueur_dry_run_parts_total 3",
            "depollueur_dry_run_bytes_total 41000000",
            "depollueur_deposit_errors_total 1",
            "depollueur_milter_sessions 1",
            "depollueur_messages_in_work 0",
            "depollueur_downloads_total 1",
            "depollueur_downloads_aborted_total 1",
            r#"depollueur_http_responses_total{status="2xx"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn clones_count_together() {
        let metrics = Metrics::new();
        metrics.clone().download();
        assert!(metrics.encode().contains("depollueur_downloads_total 1"));
    }
}

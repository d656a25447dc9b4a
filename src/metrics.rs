//! The counters and gauges of the process; all names begin with `depollueur_`.

mod clamds;
mod level;
mod plain;
mod register;

use std::{
    fmt::{self, Debug},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use self::{clamds::Clamds, level::Levels};
use crate::{
    drop::{Level, SweepNotes, Swept},
    scan, spool,
    units::{Part, Service},
};

/// The upper bounds of a phase's duration, in seconds: from unnoticeable to Postfix's own timeout
/// of five minutes.
const PHASE_BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 300.0,
];

/// The words given by [`FilterError::kind`](crate::filter::FilterError::kind) and
/// [`Message::refused`](crate::filter::Message::refused).
const ERROR_KINDS: [&str; 16] = [
    "blocked",
    "database",
    "denied",
    "drop",
    "full",
    "given-up",
    "infected",
    "quota",
    "refused",
    "remote",
    "slow",
    "spool",
    "suspended",
    "too-large-to-scan",
    "unreachable",
    "unscanned",
];

/// The counters and gauges of the whole process. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<MetricSet>);

/// The fate of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went out as it came.
    Passed,
    /// It went out with links.
    Rewritten,
    /// Our own machinery failed.
    Failed,
    /// A rule refused it.
    Refused,
}

/// The stage of a message that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The end of its header: rules, and the wait for a turn.
    Header,
    /// Our work on its body, while it comes in.
    Body,
    /// Its end: the drop commits.
    Commit,
    /// Sending the change to Postfix.
    Reply,
}

/// The reason why we ended a milter session before Postfix did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// A packet was not one of the protocol, or exceeded a limit.
    Packet,
    /// `milter.header_memory` was used up.
    Memory,
    /// The mail server kept us waiting for too long.
    Timeout,
}

/// A gauge's unit: counted up when made, down when dropped.
#[derive(Debug)]
#[must_use = "it counts only while it lives"]
pub struct InProgress(Gauge);

struct MetricSet {
    registry: Registry,
    /// The number of all messages, and of those that were changed.
    seen: [AtomicU64; 2],
    messages: Family<MessageLabels, Counter>,
    detached_parts: Counter,
    detached_bytes: Counter<u64, AtomicU64>,
    shared_packages: Counter,
    foreign_marks: Counter,
    trial_parts: Counter,
    trial_bytes: Counter<u64, AtomicU64>,
    deposit_errors: Family<KindLabels, Counter>,
    scans: Family<ScanLabels, Counter<u64, AtomicU64>>,
    phases: Family<PhaseLabels, Histogram>,
    spool_bytes: Gauge,
    spool_files: Gauge,
    levels: Levels,
    clamds: Clamds,
    reload_well: Gauge,
    reload_time: Gauge,
    sessions: Gauge,
    sessions_ended: Family<ReasonLabels, Counter>,
    messages_in_work: Gauge,
    downloads: Counter,
    downloads_aborted: Counter,
    download_bytes: Counter<u64, AtomicU64>,
    responses: Family<ResponseLabels, Counter>,
    deposit_responses: Family<ResponseLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MessageLabels {
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScanLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    status: &'static str,
}

impl Metrics {
    /// Makes those of a process with all parts, at zero.
    pub fn new() -> Self {
        Self::of(Service::Whole)
    }

    /// Makes those that a process with these parts knows, at zero.
    pub(crate) fn of(service: Service) -> Self {
        let mut inner = MetricSet {
            registry: Registry::with_prefix("depollueur"),
            seen: Default::default(),
            messages: Family::default(),
            detached_parts: Counter::default(),
            detached_bytes: Counter::default(),
            shared_packages: Counter::default(),
            foreign_marks: Counter::default(),
            trial_parts: Counter::default(),
            trial_bytes: Counter::default(),
            deposit_errors: Family::default(),
            scans: Family::default(),
            phases: Family::new_with_constructor(|| Histogram::new(PHASE_BUCKETS)),
            spool_bytes: Gauge::default(),
            spool_files: Gauge::default(),
            levels: Levels::default(),
            clamds: Clamds::default(),
            reload_well: Gauge::default(),
            reload_time: Gauge::default(),
            sessions: Gauge::default(),
            sessions_ended: Family::default(),
            messages_in_work: Gauge::default(),
            downloads: Counter::default(),
            downloads_aborted: Counter::default(),
            download_bytes: Counter::default(),
            responses: Family::default(),
            deposit_responses: Family::default(),
        };

        inner.begin_at_zero();
        inner.register_process();
        if service.has(Part::Mail) {
            inner.register_mail();
            inner.register_milter();
            inner.levels.register(&mut inner.registry);
            inner.clamds.register(&mut inner.registry);
        }
        if service.has(Part::Pages) {
            inner.register_pages();
        }
        if service.has(Part::Sweep) {
            inner.levels.register_sweeper(&mut inner.registry);
        }
        Self(Arc::new(inner))
    }

    /// Counts a message that is done with; `reason` says why it ended so.
    pub fn message(&self, outcome: Outcome, reason: &'static str) {
        let [seen, changed] = &self.0.seen;
        seen.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Rewritten {
            changed.fetch_add(1, Ordering::Relaxed);
        }
        self.0
            .messages
            .get_or_create(&MessageLabels {
                outcome: outcome.label(),
                reason,
            })
            .inc();
    }

    /// The number of messages since the start, and of those among them that were changed.
    pub fn messages(&self) -> (u64, u64) {
        let [seen, changed] = &self.0.seen;
        (
            seen.load(Ordering::Relaxed),
            changed.load(Ordering::Relaxed),
        )
    }

    /// Counts parts detached from a message that goes out rewritten; `bytes` are decoded.
    pub fn detached(&self, parts: usize, bytes: u64) {
        self.0.detached_parts.inc_by(parts as u64);
        self.0.detached_bytes.inc_by(bytes);
    }

    /// Counts a message that went out with the package of an earlier copy.
    pub fn shared_package(&self) {
        self.0.shared_packages.inc();
    }

    /// Counts the `X-Depollueur` fields of strangers that were removed from a message.
    pub fn foreign_marks(&self, fields: usize) {
        self.0.foreign_marks.inc_by(fields as u64);
    }

    /// Counts parts that would have been detached, were it not for a dry-run; `bytes` are decoded.
    pub fn would_detach(&self, parts: usize, bytes: u64) {
        self.0.trial_parts.inc_by(parts as u64);
        self.0.trial_bytes.inc_by(bytes);
    }

    /// Counts a file or a package that the store could not take; `kind` is the reason in one word.
    pub fn deposit_error(&self, kind: &'static str) {
        self.0
            .deposit_errors
            .get_or_create(&KindLabels { kind })
            .inc();
    }

    /// Records the time that a message took for a phase.
    pub fn phase(&self, phase: Phase, time: Duration) {
        let phase = phase.label();
        let histogram = self.0.phases.get_or_create(&PhaseLabels { phase });
        histogram.observe(time.as_secs_f64());
    }

    /// Records the drop's level when it was looked at.
    pub fn level(&self, level: &Level) {
        self.0.levels.set(level);
    }

    /// Records the state of a scanning daemon.
    pub fn clamd(&self, state: &scan::ClamdState) {
        self.0.clamds.set(state);
    }

    /// Records a sweep that ended, successful or not.
    pub fn swept(&self, at: Timestamp, swept: &Swept, well: bool) {
        self.0.levels.swept(at, swept, well);
    }

    /// Records what another process noted of its sweeps.
    pub fn sweep_notes(&self, notes: &SweepNotes, now: Timestamp) {
        self.0.levels.set_notes(notes, now);
    }

    /// Records a reload: `well` if the new configuration is valid, otherwise the old one stays.
    pub fn reloaded(&self, at: Timestamp, well: bool) {
        self.0.reload_well.set(well.into());
        if well {
            self.0.reload_time.set(at.as_second());
        }
    }

    /// Counts bytes of files sent to a reader.
    pub fn download_bytes(&self, bytes: usize) {
        self.0.download_bytes.inc_by(bytes as u64);
    }

    /// Counts a milter session as open while the result lives.
    pub fn session(&self) -> InProgress {
        InProgress::new(&self.0.sessions)
    }

    /// Counts a milter session that we ended before Postfix did.
    pub fn session_ended(&self, end: SessionEnd) {
        let reason = end.label();
        let ended = self
            .0
            .sessions_ended
            .get_or_create(&ReasonLabels { reason });
        ended.inc();
    }

    /// Counts a message as in work while the result lives.
    pub fn message_in_work(&self) -> InProgress {
        InProgress::new(&self.0.messages_in_work)
    }

    /// Counts a complete download of a file or of the ZIP of all files.
    pub fn download(&self) {
        self.0.downloads.inc();
    }

    /// Counts a download, ranges included, that ended before its last byte.
    pub fn download_aborted(&self) {
        self.0.downloads_aborted.inc();
    }

    /// Counts a response of the public listener by its HTTP status.
    pub fn response(&self, status: u16) {
        let labels = ResponseLabels::of(status);
        self.0.responses.get_or_create(&labels).inc();
    }

    /// Counts a response of the listener for deposits by its HTTP status.
    pub fn deposit_response(&self, status: u16) {
        let labels = ResponseLabels::of(status);
        self.0.deposit_responses.get_or_create(&labels).inc();
    }

    /// Encodes all metrics in Prometheus' own text format, version 0.0.4.
    pub fn encode_plain(&self) -> String {
        plain::from_openmetrics(&self.encode())
    }

    /// Encodes all metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let (files, bytes) = spool::on_disk();
        self.0.spool_files.set(files as i64);
        self.0.spool_bytes.set(bytes as i64);
        for (result, count) in scan::counts() {
            let counter = self.0.scans.get_or_create(&ScanLabels { result });
            counter.inner().store(count, Ordering::Relaxed);
        }
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry).expect("writing to a string does not fail");
        // A gauge that may be missing is a family without labels; no label's value has braces.
        out.replace("{} ", " ")
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

impl MetricSet {
    /// Creates every labelled sample at zero, so that the first event of a kind is a rise that an
    /// alerting rule can see.
    fn begin_at_zero(&self) {
        for kind in ERROR_KINDS {
            drop(self.deposit_errors.get_or_create(&KindLabels { kind }));
        }

        for end in [SessionEnd::Packet, SessionEnd::Memory, SessionEnd::Timeout] {
            let reason = end.label();
            drop(self.sessions_ended.get_or_create(&ReasonLabels { reason }));
        }

        for phase in [Phase::Header, Phase::Body, Phase::Commit, Phase::Reply] {
            let phase = phase.label();
            drop(self.phases.get_or_create(&PhaseLabels { phase }));
        }

        for status in [200, 300, 400, 500].map(ResponseLabels::of) {
            drop(self.responses.get_or_create(&status));
            drop(self.deposit_responses.get_or_create(&status));
        }

        for (outcome, reason) in [
            (Outcome::Rewritten, "detached"),
            (Outcome::Refused, "rules"),
            (Outcome::Failed, "drop"),
            (Outcome::Failed, "deadline"),
            (Outcome::Failed, "no-turn"),
            (Outcome::Failed, "postfix-gone"),
            (Outcome::Failed, "spool"),
            (Outcome::Failed, "unscanned"),
            (Outcome::Refused, "infected"),
            (Outcome::Passed, "infected"),
            (Outcome::Passed, "incoming-quota"),
            (Outcome::Passed, "sender-quota"),
            (Outcome::Passed, "marked"),
            (Outcome::Passed, "forwarded"),
            (Outcome::Passed, "header-memory"),
            (Outcome::Passed, "local-links"),
        ] {
            let outcome = outcome.label();
            drop(
                self.messages
                    .get_or_create(&MessageLabels { outcome, reason }),
            );
        }
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

impl SessionEnd {
    /// Its word in the log and in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Memory => "memory",
            Self::Timeout => "timeout",
        }
    }
}

impl Phase {
    fn label(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Body => "body",
            Self::Commit => "commit",
            Self::Reply => "reply",
        }
    }
}

impl ResponseLabels {
    fn of(status: u16) -> Self {
        let status = match status {
            ..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            500.. => "5xx",
        };
        Self { status }
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
        metrics.shared_package();
        metrics.would_detach(3, 41_000_000);
        metrics.deposit_error("full");
        metrics.phase(Phase::Commit, Duration::from_millis(40));
        metrics.reloaded(Timestamp::from_second(1_800_000_000).unwrap(), true);
        metrics.reloaded(Timestamp::MAX, false);
        metrics.download_bytes(7);
        metrics.download();
        metrics.download_aborted();
        metrics.response(206);
        let _session = metrics.session();
        metrics.session_ended(SessionEnd::Timeout);
        drop(metrics.message_in_work());
        let text = metrics.encode();
        for line in [
            r#"depollueur_messages_total{outcome="rewritten",reason="detached"} 1"#,
            "depollueur_detached_parts_total 2",
            "depollueur_detached_bytes_total 5000000000",
            "depollueur_shared_packages_total 1",
            "depollueur_dry_run_parts_total 3",
            "depollueur_dry_run_bytes_total 41000000",
            r#"depollueur_deposit_errors_total{kind="full"} 1"#,
            r#"depollueur_phase_duration_seconds_bucket{le="0.1",phase="commit"} 1"#,
            "depollueur_config_last_reload_successful 0",
            "depollueur_config_last_reload_success_timestamp_seconds 1800000000",
            "depollueur_download_bytes_total 7",
            "depollueur_milter_sessions 1",
            r#"depollueur_milter_sessions_ended_total{reason="timeout"} 1"#,
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

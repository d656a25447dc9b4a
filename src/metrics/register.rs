//! The names and helps of the metrics of mail, site and process.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Unit,
};

use super::MetricSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl MetricSet {
    pub(super) fn register_mail(&mut self) {
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
            "shared_packages",
            "Messages that went out with the package of a copy which came before",
            self.shared_packages.clone(),
        );
        registry.register(
            "foreign_marks",
            "Fields X-Depollueur of mail from outside, removed from messages that were changed",
            self.foreign_marks.clone(),
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
            "Files and packages that the store could not take, by kind of error",
            self.deposit_errors.clone(),
        );
    }

    pub(super) fn register_milter(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "milter_sessions",
            "Open milter sessions",
            self.sessions.clone(),
        );
        registry.register(
            "milter_sessions_ended",
            "Milter sessions that we ended before the mail server had, by reason",
            self.sessions_ended.clone(),
        );
        registry.register(
            "messages_in_work",
            "Messages between their header and their verdict",
            self.messages_in_work.clone(),
        );
        registry.register_with_unit(
            "phase_duration",
            "How long messages took for each phase",
            Unit::Seconds,
            self.phases.clone(),
        );
        registry.register_with_unit(
            "spool",
            "Bytes of messages in work that lie in temporary files",
            Unit::Bytes,
            self.spool_bytes.clone(),
        );
        registry.register(
            "spool_files",
            "Temporary files of messages in work",
            self.spool_files.clone(),
        );
        registry.register(
            "deposit_responses",
            "Responses of the listener for deposits by class of status",
            self.deposit_responses.clone(),
        );
    }

    pub(super) fn register_process(&mut self) {
        let registry = &mut self.registry;
        let build = Family::<BuildLabels, Gauge>::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        registry.register(
            "build_info",
            "Always 1; the version stands in the label",
            build,
        );
        registry.register(
            "scans",
            "Files that were scanned for viruses, or were not, by result",
            self.scans.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 when the configuration was good when it was read last, else 0",
            self.reload_well.clone(),
        );
        registry.register_with_unit(
            "config_last_reload_success_timestamp",
            "When a good configuration was read last",
            Unit::Seconds,
            self.reload_time.clone(),
        );
    }

    pub(super) fn register_pages(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "download",
            "Bytes of files that went out to readers",
            Unit::Bytes,
            self.download_bytes.clone(),
        );
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

//! Checks that readers on other machines can open the links in mail.

use super::report::DoctorReport;
use crate::{
    config::{Config, RunMode},
    units,
};

/// Checks the address in links.
pub(super) fn check(report: &mut DoctorReport, config: &Config) {
    let url = &config.web.public_url;
    if !config.has_local_links() {
        return;
    }

    let message = format!(
        "web.public_url = \"{url}\": who gets mail on another machine cannot open its links, or the network can read the files"
    );
    let fix = [
        "in depollueur.toml: [web] public_url = \"https://drop.example.org/\"".to_owned(),
        format!("systemctl restart {}", units::in_use().names()),
    ];

    match config.detach.mode {
        RunMode::Live => report.error(
            "links.address",
            format_args!("{message}; mail that leaves this machine goes out as it came"),
            fix,
        ),
        RunMode::DryRun => report.warning("links.address", message, fix),
    }
}

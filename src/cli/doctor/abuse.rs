//! Checks readers' reports: that somebody receives them, and that the mail server accepts them.

use std::net::{IpAddr, ToSocketAddrs as _};

use jiff::Timestamp;

use super::report::DoctorReport;
use crate::{
    cli::unit::Unit,
    config::{Config, Relay},
    mailer::Mailer,
    units::{self, Part},
};

/// Body of the letter that is sent on demand.
const TEXT: &str = "This is a test: `depollueur doctor --report` was typed.\n\n\
    Readers' reports of content will come to this address.\n";

/// Examines the way of reports; with `send`, sends a test.
pub(super) async fn check(report: &mut DoctorReport, config: &Config, send: bool) {
    check_receiver(report, config);
    let Some(mailer) = Mailer::of(config) else {
        return;
    };
    check_unit(report, &config.mail.relay);

    for to in mailer.to() {
        let tried = if send {
            let id = format!("doctor.{}", Timestamp::now().as_nanosecond());
            let letter = mailer.letter(&id, "[depollueur] Test of reports", TEXT);
            mailer.send(to, &letter).await
        } else {
            mailer.probe(to).await
        };
        let relay = &config.mail.relay;
        match tried {
            Ok(()) if send => report.ok(
                "report.relay",
                format_args!("a test was sent to {to} through \"{relay}\": look whether it came"),
            ),
            Ok(()) => report.ok(
                "report.relay",
                format_args!(
                    "\"{relay}\" takes reports to {to}; depollueur doctor --report sends one"
                ),
            ),
            Err(why) => report.error(
                "report.relay",
                format_args!("reports do not reach {to}: {why}"),
                ["depollueur check    # mail.relay, mail.from, web.report_to".to_owned()],
            ),
        }
    }
}

fn check_receiver(report: &mut DoctorReport, config: &Config) {
    for warning in config.warnings_of_reports() {
        let daemon = units::of(Part::Pages);
        let fix = format!(
            "in depollueur.toml: [web] report_to = \"abuse@example.org\", then systemctl reload {daemon}"
        );
        report.warning("report.receiver", warning, [fix]);
    }
    report.ok_unless_found("report.receiver", "somebody is told of what readers report");
}

/// Checks that the daemon's unit lets it reach the mail server: this process runs outside that unit.
fn check_unit(report: &mut DoctorReport, relay: &Relay) {
    if relay.is_loopback() {
        return;
    }
    let service = units::in_use().service(Part::Pages).unit();
    let Some(unit) = Unit::read(service) else {
        return;
    };

    let found = (relay.host.as_str(), relay.port).to_socket_addrs();
    let addresses: Vec<IpAddr> = found
        .into_iter()
        .flatten()
        .map(|found| found.ip())
        .collect();

    if let Some(ip) = addresses.iter().find(|ip| !unit.lets_pass(**ip)) {
        report.error(
            "report.unit",
            format_args!(
                "the unit does not let the daemon reach \"{relay}\": IPAddressDeny=any, and {ip} is not allowed"
            ),
            [
                format!("systemctl edit {service}"),
                format!("[Service]\nIPAddressAllow={ip}"),
                format!("systemctl restart {service}"),
            ],
        );
    }
}

//! Checks content filters: they must see the attachments, so depollueur belongs where they return the mail.

use super::{
    entry::{MilterEntry, MilterKind},
    listing::{Use, our_item},
    order::{self, Demand, demand},
    others::Others,
    postfix::{Postfix, Service},
    report::{DoctorReport, postconf_p},
};
use crate::config::Config;

/// Advice for a Postfix that has no service to which a filter returns mail, or one for both directions.
const EXAMPLE: &str = "take over the files of /usr/share/doc/depollueur/examples/amavis: the filter scans, depollueur detaches on its return, the signer signs";

/// Names of services that users or the whole world connect to.
const PUBLIC: [&str; 7] = [
    "smtp",
    "25",
    "submission",
    "587",
    "submissions",
    "smtps",
    "465",
];

/// Returns the filter that gets a service's mail after its milters, or the proxy that comes after them.
pub(super) fn of<'p>(postfix: &'p Postfix, service: &'p Service) -> Option<&'p str> {
    ["content_filter", "smtpd_proxy_filter"]
        .iter()
        .filter_map(|name| postfix.of(service, name))
        .find(|value| !value.is_empty() && !value.to_ascii_lowercase().contains("dkim"))
}

/// Checks the lists whose mail goes on to a filter.
pub(super) fn check(
    report: &mut DoctorReport,
    postfix: &Postfix,
    config: &Config,
    uses: &[Use<'_>],
    others: &Others,
) {
    for list in uses.iter().filter(|list| list.is_treated(config)) {
        let Some(filter) = list.filter(postfix) else {
            continue;
        };
        if list.our_entry().is_some() {
            let message = format!(
                "depollueur stands before the filter {filter} in {}: {}, so that a virus in them is not found",
                list.name(),
                order::BLIND
            );
            let mut fix = on_return(postfix, config, Some(list));
            fix.push(list.set(&without_us(list)));
            report.error("milter.order", message, fix);
        } else if treated_on_return(postfix, config, uses).next().is_some() {
            check_signers(report, list, filter, others);
        }
    }
}

/// Reports the signers before the filter: depollueur changes what they signed when it returns.
fn check_signers(report: &mut DoctorReport, list: &Use<'_>, filter: &str, others: &Others) {
    let signs = |entry: &&MilterEntry| {
        matches!(
            demand(entry, list.flow, others),
            Demand::After(..) | Demand::Split
        )
    };
    for entry in list.entries.iter().filter(signs) {
        let message = format!(
            "{} signs in {} before the filter {filter}, and depollueur stands on its return: {}",
            entry.text,
            list.name(),
            order::BROKEN
        );
        report.error("milter.order", message, [EXAMPLE.to_owned()]);
    }
}

/// Reports a list before a filter that lacks us: right, if the mail is treated on its return.
pub(super) fn miss(
    report: &mut DoctorReport,
    postfix: &Postfix,
    config: &Config,
    (list, filter): (&Use<'_>, &str),
) {
    let uses = Use::all(postfix, config);
    let back: Vec<_> = treated_on_return(postfix, config, &uses)
        .map(|list| list.service.name())
        .collect();

    let whose = match list.parameter {
        "non_smtpd_milters" => "mail of this machine's own programs",
        _ => list.service.name(),
    };

    if back.is_empty() {
        let message = format!(
            "{whose}: the filter {filter} comes first, and depollueur is not asked on its return: mail is not treated"
        );
        let fix = on_return(postfix, config, None);
        report.warning("milter.listed", message, fix);
    } else {
        let back = back.join(", ");
        let message = format!("{whose}: treated when the filter {filter} brings it back ({back})");
        report.ok("milter.listed", message);
    }
}

/// Returns the lists on a filter's return that contain us.
fn treated_on_return<'u, 'a>(
    postfix: &'u Postfix,
    config: &'u Config,
    uses: &'u [Use<'a>],
) -> impl Iterator<Item = &'u Use<'a>> {
    uses.iter().filter(move |list| {
        list.our_entry().is_some() && list.is_treated(config) && is_return(postfix, list.service)
    })
}

/// Returns true for a service to which a filter returns mail: no one else connects there, or it was
/// told to pass its mail to no filter.
fn is_return(postfix: &Postfix, service: &Service) -> bool {
    let name = service.name().rsplit(':').next().unwrap_or_default();
    let told = ["content_filter", "smtpd_proxy_filter"]
        .iter()
        .any(|name| service.overrides.get(*name).is_some_and(String::is_empty));
    service.command == "smtpd"
        && of(postfix, service).is_none()
        && (service.is_inner() || (told && !PUBLIC.contains(&name)))
}

/// Returns the lines that list us where a filter returns mail, for when `left` no longer lists us.
pub(super) fn on_return(postfix: &Postfix, config: &Config, left: Option<&Use<'_>>) -> Vec<String> {
    let lists = Use::written(postfix, config)
        .filter(|list| list.parameter == "smtpd_milters" && is_return(postfix, list.service));
    let mut any = false;
    let mut lines = Vec::new();
    for list in lists.inspect(|_| any = true) {
        lines.extend(open(postfix, config, &list, left));
    }
    if any { lines } else { vec![EXAMPLE.to_owned()] }
}

fn open(postfix: &Postfix, config: &Config, list: &Use<'_>, left: Option<&Use<'_>>) -> Vec<String> {
    let (service, own) = (
        list.service,
        list.service.overrides.contains_key(list.parameter),
    );
    let is_asked = list.silence(postfix).is_none();
    let shares = left.is_some_and(|left| {
        left.parameter == list.parameter && !left.service.overrides.contains_key(left.parameter)
    });
    if is_asked && list.our_entry().is_some() && (own || !shares) {
        return Vec::new();
    }

    let mut lines: Vec<_> = list.ask_here(postfix).into_iter().collect();
    // Milters that were not asked so far, and are not written for this service, stay unasked.
    let entries = if own || is_asked {
        &list.entries[..]
    } else {
        &[]
    };
    let mut items: Vec<_> = entries.iter().map(|entry| entry.text.clone()).collect();
    if !entries.iter().any(|entry| list.our_entry() == Some(entry)) {
        let signs =
            |entry: &MilterEntry| matches!(entry.kind(), MilterKind::Dkim | MilterKind::Sealer);
        let place = entries.iter().position(signs).unwrap_or(items.len());
        items.insert(place, our_item(postfix, config));
    }

    lines.push(postconf_p(&service.id, list.parameter, &items.join(", ")));
    lines
}

fn without_us(list: &Use<'_>) -> String {
    let left = list
        .entries
        .iter()
        .enumerate()
        .filter(|(index, _)| !list.ours.contains(index));
    let texts: Vec<_> = left.map(|(_, entry)| entry.text.as_str()).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{listing, report::Severity};

    const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
127.0.0.1:10025 inet n - y - - smtpd
cleanup unix n - y - 0 cleanup
pickup unix n - y 60 1 pickup
";
    const MAIN: &str = "\
queue_directory = /var/spool/postfix
milter_default_action = tempfail
milter_protocol = 6
milter_content_timeout = 300s
milter_command_timeout = 30s
milter_connect_timeout = 30s
";
    const US: &str = "{ unix:depollueur/milter.sock, default_action=tempfail }";
    const TIGHT: &str = "{unix:depollueur/milter.sock,default_action=tempfail}";
    const FILTERED: &str = "content_filter = smtp-amavis:[127.0.0.1]:10024\n";
    const RETURN: &str = "127.0.0.1:10025/inet/content_filter =\n";
    const CLOSED: &str =
        "127.0.0.1:10025/inet/receive_override_options = no_milters,no_header_body_checks\n";

    fn found(main: &str, overrides: &str) -> (Severity, Vec<String>, String) {
        let mut config = Config::default();
        config.milter.listen = "unix:/var/spool/postfix/depollueur/milter.sock"
            .parse()
            .unwrap();
        let postfix = Postfix::parse(&format!("{MAIN}{main}"), MASTER, overrides);
        let mut report = DoctorReport::default();
        listing::check(&mut report, &postfix, &config, &Others::default());
        let fixes = report
            .findings()
            .iter()
            .flat_map(|f| f.fix.clone())
            .collect();
        (report.worst(), fixes, report.to_string())
    }

    #[test]
    fn before_a_filter_is_an_error_and_the_lines_put_us_on_its_return() {
        let ours = format!("smtpd_milters = inet:x:1, {US}\n");
        let back = format!("postconf -P '127.0.0.1:10025/inet/smtpd_milters = {TIGHT}'");
        for (main, overrides, lines) in [
            (
                format!("{FILTERED}{ours}"),
                format!("{RETURN}{CLOSED}"),
                vec![
                    "postconf -P '127.0.0.1:10025/inet/receive_override_options = no_header_body_checks'".to_owned(),
                    back.clone(),
                    "postconf -e 'smtpd_milters = inet:x:1'".to_owned(),
                ],
            ),
            (
                format!("smtpd_milters = {US}\n"),
                "smtp/inet/smtpd_proxy_filter = 127.0.0.1:10024\n".to_owned(),
                vec![back.clone(), "postconf -e 'smtpd_milters = '".to_owned()],
            ),
            (
                String::new(),
                format!(
                    "submission/inet/content_filter = scan:[::1]:10026\nsubmission/inet/smtpd_milters = {US}\n127.0.0.1:10025/inet/smtpd_milters = inet:localhost:8891\n"
                ),
                vec![
                    format!("postconf -P '127.0.0.1:10025/inet/smtpd_milters = {TIGHT},inet:localhost:8891'"),
                    "postconf -P 'submission/inet/smtpd_milters = '".to_owned(),
                ],
            ),
            (
                format!("non_smtpd_milters = {US}\n"),
                format!("pickup/unix/content_filter = scan:[::1]:10026\n127.0.0.1:10025/inet/smtpd_milters = {US}\n"),
                vec!["postconf -e 'non_smtpd_milters = '".to_owned()],
            ),
            // Nowhere to go back to.
            (
                format!("{FILTERED}{ours}"),
                String::new(),
                vec![EXAMPLE.to_owned(), "postconf -e 'smtpd_milters = inet:x:1'".to_owned()],
            ),
        ] {
            let (level, fixes, text) = found(&main, &overrides);
            assert_eq!(level, Severity::Error, "{main}{overrides}{text}");
            for line in &lines {
                assert!(fixes.contains(line), "{line} is not in {fixes:#?}");
            }
            assert!(text.contains("a virus in them is not found"), "{text}");
        }
    }

    #[test]
    fn on_the_return_of_a_filter_is_right() {
        let back = format!("127.0.0.1:10025/inet/smtpd_milters = {US}\n");
        for (main, overrides, level) in [
            (FILTERED, format!("{RETURN}{back}"), Severity::Ok),
            (
                FILTERED,
                format!(
                    "{RETURN}{back}127.0.0.1:10025/inet/receive_override_options = no_header_body_checks\n"
                ),
                Severity::Ok,
            ),
            (FILTERED, format!("{RETURN}{back}{CLOSED}"), Severity::Error),
            // Signed before the filter, changed after it.
            (
                &format!("{FILTERED}smtpd_milters = inet:localhost:8891\n"),
                format!("{RETURN}{back}"),
                Severity::Error,
            ),
            // A filter that only signs may come after us.
            (
                &format!("content_filter = dkimsign:[127.0.0.1]:10028\nsmtpd_milters = {US}\n"),
                String::new(),
                Severity::Ok,
            ),
        ] {
            let (found, fixes, text) = found(main, &overrides);
            assert_eq!(found, level, "{main}{overrides}{text}");
            let before = |line: &String| line.contains("-e 'smtpd_milters = {");
            assert!(!fixes.iter().any(before), "{fixes:?}");
        }
    }

    #[test]
    fn who_is_listed_nowhere_is_put_on_the_return() {
        let (level, fixes, _) = found(FILTERED, &format!("{RETURN}{CLOSED}"));
        assert_eq!(level, Severity::Error);
        let line = format!("postconf -P '127.0.0.1:10025/inet/smtpd_milters = {TIGHT}'");
        assert!(fixes.contains(&line), "{fixes:?}");
        assert!(
            !fixes.iter().any(|line| line.contains("-e 'smtpd_milters")),
            "{fixes:?}"
        );
    }
}

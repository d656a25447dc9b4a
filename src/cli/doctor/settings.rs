//! Checks Postfix's settings outside the lists of milters: sizes, macros, SMTP smuggling, processes.

use super::{
    postfix::{Postfix, Service},
    report::{DoctorReport, postconf_e, postconf_p},
};
use crate::config::Config;

/// The macros that the session asks for, each with the parameter that lists it at that stage.
const MACROS: [(&str, &str); 4] = [
    ("milter_connect_macros", "{daemon_name}"),
    ("milter_mail_macros", "{auth_authen}"),
    ("milter_data_macros", "i"),
    ("milter_end_of_data_macros", "i"),
];

/// The parameters in which Postfix may be told to refuse a sender, in the order in which it evaluates them.
const RESTRICTIONS: [&str; 5] = [
    "smtpd_sender_restrictions",
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
];

/// The restrictions that refuse a user who sends as somebody else.
const SENDER_LOGIN: [&str; 3] = [
    "reject_sender_login_mismatch",
    "reject_authenticated_sender_login_mismatch",
    "reject_known_sender_login_mismatch",
];

/// Reports all findings about these settings.
pub(super) fn check(report: &mut DoctorReport, postfix: &Postfix, config: &Config) {
    check_message_size(report, postfix, config);
    check_mailbox_size(report, postfix);
    check_macros(report, postfix);
    check_bare_newline(report, postfix);
    check_sender_login(report, postfix);
    check_processes(report, postfix, config);
}

/// Returns the size after base64 in lines of 76 characters: 57 bytes become 78.
fn encoded(bytes: u64) -> u64 {
    bytes.saturating_mul(78).div_ceil(57)
}

fn check_message_size(report: &mut DoctorReport, postfix: &Postfix, config: &Config) {
    let check = "postfix.message-size";
    let threshold = config.detach.threshold;
    let sum = config.detach.message_threshold.unwrap_or(threshold);
    let least = encoded(threshold.min(sum));
    let wanted = least.saturating_mul(10).max(73_400_320).to_string();

    for service in postfix.smtpd() {
        let own = service.overrides.get("message_size_limit");
        let Some(limit) = number(postfix.of(service, "message_size_limit")) else {
            continue;
        };
        if limit == 0 || limit > least {
            continue;
        }

        let message = format!(
            "message_size_limit is {limit} at {}: a file of detach.threshold takes {least} bytes in mail, so that nothing is ever detached",
            service.name()
        );
        let fix = match own {
            Some(_) => postconf_p(&service.id, "message_size_limit", &wanted),
            None => postconf_e("message_size_limit", &wanted),
        };
        report.error(check, message, [fix]);
    }

    let limit = postfix.get("message_size_limit").unwrap_or_default();
    report.ok_unless_found(
        check,
        format_args!(
            "message_size_limit is {limit}; a file of detach.threshold takes {least} bytes in mail"
        ),
    );
}

/// Checks the limits of Postfix's own delivery agents, which fail at once when a mailbox limit is
/// below that of a message. A host that hands all mail to another server (LMTP) has no such agents,
/// and their limits do not matter.
fn check_mailbox_size(report: &mut DoctorReport, postfix: &Postfix) {
    let check = "postfix.mailbox-size";
    for (agent, name) in [
        ("local", "mailbox_size_limit"),
        ("virtual", "virtual_mailbox_limit"),
    ] {
        for service in postfix.agents(agent) {
            let Some(low) = low_limit(postfix, service, name) else {
                continue;
            };
            let message = format!("{name} is {low}: {agent}(8) delivers no mail");
            if postfix.delivers(service) {
                let fix = match service.overrides.contains_key(name) {
                    true => postconf_p(&service.id, name, "0"),
                    false => postconf_e(name, "0"),
                };
                report.error(check, message, [fix]);
            } else if postfix.is_routed() {
                let maps = "transport_maps may send mail there";
                report.unknown(check, format_args!("{message}; cannot tell whether {maps}"));
            }
        }
    }

    report.ok_unless_found(check, "mailboxes take what message_size_limit lets in");
}

/// Returns the fault of an agent's limit, if it has one.
fn low_limit(postfix: &Postfix, service: &Service, name: &str) -> Option<String> {
    let most = number(postfix.of(service, "message_size_limit")).unwrap_or_default();
    let limit = number(postfix.of(service, name))?;
    let is_low = limit != 0 && (limit < most || most == 0);
    is_low.then(|| format!("{limit}, below message_size_limit ({most})"))
}

fn check_macros(report: &mut DoctorReport, postfix: &Postfix) {
    let check = "milter.macros";
    for (parameter, name) in MACROS {
        let value = postfix.get(parameter).unwrap_or_default();
        if has_macro(value, name) {
            continue;
        }
        let why = match name {
            "{auth_authen}" => "users who authenticated are not known as such",
            "{daemon_name}" => "milter.outgoing_daemons has no effect",
            _ => "log lines and records have no queue id",
        };
        let message = format!(
            "{parameter} lacks {name}: a milter that does not ask for it does not get it; here {why}"
        );
        report.warning(check, message, [format!("postconf -X {parameter}")]);
    }
    report.ok_unless_found(check, "queue id, login and daemon name are passed on");
}

fn has_macro(list: &str, name: &str) -> bool {
    let bare = name.trim_start_matches('{').trim_end_matches('}');
    list.split([' ', ',', '\t'])
        .any(|word| word == name || word == bare)
}

fn check_bare_newline(report: &mut DoctorReport, postfix: &Postfix) {
    let (check, name) = ("postfix.bare-newline", "smtpd_forbid_bare_newline");
    let hole = "a bare line feed can smuggle mail past other servers and past depollueur";
    match postfix.get(name) {
        None => report.warning(
            check,
            format_args!("this Postfix has no {name}: {hole}"),
            ["apt-get update && apt-get install postfix".to_owned()],
        ),
        Some("normalize" | "reject" | "yes") => {
            report.ok(check, "a bare line feed does not end a message");
        }
        Some(value) => report.warning(
            check,
            format_args!("{name} is {value:?}: {hole}"),
            [postconf_e(name, "normalize")],
        ),
    }
}

/// Checks that users may send only as themselves: otherwise a user can deposit files under any name.
fn check_sender_login(report: &mut DoctorReport, postfix: &Postfix) {
    let (check, maps) = ("postfix.sender-login", "smtpd_sender_login_maps");
    for service in postfix.smtpd() {
        let authenticates = postfix.of(service, "smtpd_sasl_auth_enable") == Some("yes");
        let has_maps = !postfix.of(service, maps).unwrap_or_default().is_empty();
        let refuses = refuses_other_senders(postfix, service);
        if !authenticates || (has_maps && refuses) {
            continue;
        }

        let name = RESTRICTIONS[0];
        let rest = postfix.of(service, name).unwrap_or_default();
        let wanted = format!("{} {rest}", SENDER_LOGIN[0]);

        let mut fixes = Vec::new();
        if !has_maps {
            let table = "hash:/etc/postfix/sender-logins";
            fixes.push(format!(
                "{}    # each address, and the logins that own it",
                postconf_e(maps, table)
            ));
        }
        if !refuses {
            fixes.push(postconf_p(&service.id, name, wanted.trim_end()));
        }

        let lacks = if refuses { maps } else { SENDER_LOGIN[0] };
        let message = format!(
            "{} lacks {lacks}: who logs in there sends under any address, also one of your other users",
            service.name()
        );
        report.warning(check, message, fixes);
    }

    report.ok_unless_found(check, "users send under addresses of their own");
}

/// Returns true if a service refuses users who send as somebody else, in a restriction class too.
fn refuses_other_senders(postfix: &Postfix, service: &Service) -> bool {
    let classes = postfix.get("smtpd_restriction_classes").unwrap_or_default();
    let names = RESTRICTIONS.into_iter().chain(words(classes));
    let mut told = names
        .filter_map(|name| postfix.of(service, name))
        .flat_map(words);
    told.any(|word| SENDER_LOGIN.contains(&word))
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([' ', ',', '\t']).filter(|word| !word.is_empty())
}

fn check_processes(report: &mut DoctorReport, postfix: &Postfix, config: &Config) {
    let check = "milter.max-connections";
    let most = config.milter.max_connections;
    let fix = |sessions: u64| format!("set in [milter]: max_connections = {}", sessions * 2);
    match postfix.sessions_max() {
        Some(sessions) if sessions <= most as u64 => report.ok(
            check,
            format_args!("{most}, and Postfix has {sessions} sessions at most"),
        ),
        Some(sessions) => report.warning(
            check,
            format_args!("milter.max_connections is {most}, but Postfix may have {sessions} sessions at once: the rest would hang, then be put off"),
            [fix(sessions)],
        ),
        None => report.unknown(
            check,
            "Postfix has no limit of processes for a service: cannot tell whether milter.max_connections is enough",
        ),
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Severity;

    const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - y - - lmtp
";
    const MAIN: &str = "\
message_size_limit = 73400320
mailbox_size_limit = 0
virtual_mailbox_limit = 0
milter_connect_macros = j {daemon_name} v _
milter_mail_macros = i {auth_type} {auth_authen}
milter_data_macros = i
milter_end_of_data_macros = i
smtpd_forbid_bare_newline = normalize
default_process_limit = 100
";

    fn found(main: &str, overrides: &str, config: &Config) -> DoctorReport {
        let postfix = Postfix::parse(&format!("{MAIN}{main}"), MASTER, overrides);
        let mut report = DoctorReport::default();
        check(&mut report, &postfix, config);
        report
    }

    #[test]
    fn a_right_postfix_gives_no_finding() {
        let report = found("", "", &Config::default());
        assert_eq!(report.worst(), Severity::Ok, "{report}");
    }

    #[test]
    fn each_wrong_setting_is_found_with_the_line_that_mends_it() {
        use Severity::{Error, Unknown, Warning};
        for (main, overrides, check, level, fix) in [
            (
                "message_size_limit = 600000\n",
                "",
                "postfix.message-size",
                Error,
                "postconf -e 'message_size_limit = 73400320'",
            ),
            (
                "",
                "submission/inet/message_size_limit = 1000\n",
                "postfix.message-size",
                Error,
                "postconf -P 'submission/inet/message_size_limit = 73400320'",
            ),
            (
                "mailbox_size_limit = 51200000\n",
                "",
                "postfix.mailbox-size",
                Error,
                "postconf -e 'mailbox_size_limit = 0'",
            ),
            (
                "virtual_mailbox_limit = 51200000\nvirtual_mailbox_domains = example.org\n",
                "",
                "postfix.mailbox-size",
                Error,
                "postconf -e 'virtual_mailbox_limit = 0'",
            ),
            (
                "milter_connect_macros = j v _\n",
                "",
                "milter.macros",
                Warning,
                "postconf -X milter_connect_macros",
            ),
            (
                "milter_mail_macros = {mail_addr}\n",
                "",
                "milter.macros",
                Warning,
                "postconf -X milter_mail_macros",
            ),
            (
                "milter_data_macros =\n",
                "",
                "milter.macros",
                Warning,
                "postconf -X milter_data_macros",
            ),
            (
                "milter_end_of_data_macros = {i2}\n",
                "",
                "milter.macros",
                Warning,
                "postconf -X milter_end_of_data_macros",
            ),
            (
                "smtpd_forbid_bare_newline = no\n",
                "",
                "postfix.bare-newline",
                Warning,
                "postconf -e 'smtpd_forbid_bare_newline = normalize'",
            ),
            (
                "smtpd_sender_login_maps = hash:/m\n",
                "submission/inet/smtpd_sasl_auth_enable = yes\n",
                "postfix.sender-login",
                Warning,
                "postconf -P 'submission/inet/smtpd_sender_restrictions = reject_sender_login_mismatch'",
            ),
            (
                "",
                "submission/inet/smtpd_sasl_auth_enable = yes\nsubmission/inet/smtpd_sender_restrictions = reject_sender_login_mismatch\n",
                "postfix.sender-login",
                Warning,
                "postconf -e 'smtpd_sender_login_maps = hash:/etc/postfix/sender-logins'    # each address, and the logins that own it",
            ),
            (
                "default_process_limit = 1001\n",
                "",
                "milter.max-connections",
                Warning,
                "set in [milter]: max_connections = 4004",
            ),
            (
                "default_process_limit = 0\n",
                "",
                "milter.max-connections",
                Unknown,
                "",
            ),
        ] {
            let report = found(main, overrides, &Config::default());
            assert_eq!(report.worst(), level, "{main}{overrides}{report}");
            report.assert_found(check, level, fix);
        }
    }

    #[test]
    fn users_who_must_send_under_their_own_addresses_are_found_wherever_that_stands() {
        let user = "submission/inet/smtpd_sasl_auth_enable = yes\n";
        let maps = "smtpd_sender_login_maps = hash:/m\n";
        for (main, overrides) in [
            (
                "smtpd_recipient_restrictions = permit_mynetworks,reject_authenticated_sender_login_mismatch\n",
                "",
            ),
            (
                "",
                "submission/inet/smtpd_sender_restrictions = reject_sender_login_mismatch,permit\n",
            ),
            (
                "smtpd_restriction_classes = own\nown = reject_known_sender_login_mismatch\n",
                "",
            ),
        ] {
            let report = found(
                &format!("{maps}{main}"),
                &format!("{user}{overrides}"),
                &Config::default(),
            );
            assert_eq!(report.worst(), Severity::Ok, "{main}{overrides}{report}");
        }
    }

    #[test]
    fn limits_of_mailboxes_matter_where_postfix_itself_delivers() {
        use Severity::{Error, Ok, Unknown};
        let low = "mailbox_size_limit = 51200000\nvirtual_mailbox_limit = 51200000\n";
        let away = "mydestination =\n";
        let hosts = "virtual_mailbox_domains = hash:/etc/postfix/domains\n";
        let lmtp = "virtual_transport = lmtp:unix:private/dovecot-lmtp\n";
        for (main, overrides, level) in [
            (away.to_owned(), "", Ok),
            (format!("{away}{hosts}{lmtp}"), "", Ok),
            (format!("{away}{hosts}"), "", Error),
            (
                format!("{away}{hosts}virtual_transport = virtual:\n"),
                "",
                Error,
            ),
            (format!("{hosts}{lmtp}"), "", Error),
            (
                format!("{hosts}{lmtp}local_transport = lmtp:[::1]:24\n"),
                "",
                Ok,
            ),
            (
                format!("{away}{hosts}{lmtp}transport_maps = hash:/t\n"),
                "",
                Unknown,
            ),
            // local(8) looks at its limit before it hands mail on.
            ("mailbox_transport = lmtp:unix:l\n".to_owned(), "", Error),
            (
                "mydestination = localhost\n".to_owned(),
                "local/unix/mailbox_size_limit = 0\n",
                Ok,
            ),
            (
                format!("{away}{hosts}"),
                "virtual/unix/virtual_mailbox_limit = 0\n",
                Ok,
            ),
        ] {
            let report = found(&format!("{low}{main}"), overrides, &Config::default());
            assert_eq!(report.worst(), level, "{main}{overrides}{report}");
        }
        let report = found(
            &format!("{away}{hosts}"),
            "virtual/unix/virtual_mailbox_limit = 9\n",
            &Config::default(),
        );
        report.assert_found(
            "postfix.mailbox-size",
            Error,
            "postconf -P 'virtual/unix/virtual_mailbox_limit = 0'",
        );
    }

    #[test]
    fn a_limit_at_the_size_of_the_threshold_detaches_nothing_and_one_above_does() {
        let mut config = Config::default();
        config.detach.threshold = 57_000;
        let limit = |bytes: u64| format!("message_size_limit = {bytes}\n");
        assert_eq!(found(&limit(78_000), "", &config).worst(), Severity::Error);
        assert_eq!(found(&limit(78_001), "", &config).worst(), Severity::Ok);
        config.detach.message_threshold = Some(5_700);
        assert_eq!(found(&limit(7_801), "", &config).worst(), Severity::Ok);
    }
}

//! Checks the places of Postfix that list us: the services, our position among other milters, and the
//! action of Postfix when we do not answer.

use std::time::Duration;

use super::{
    entry::{MilterEntry, MilterKind},
    filter, order,
    others::Others,
    postfix::{Postfix, Service, time},
    report::{DoctorReport, postconf_e, postconf_p},
    silence,
};
use crate::{
    config::{Config, ListenAddress},
    envelope::Direction,
    policy,
};

/// Interval at which Postfix is told, at the end of a message, that we are alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// A list of milters as it applies to one service.
#[derive(Debug)]
pub(in crate::cli) struct Use<'a> {
    /// The service that asks them.
    pub(in crate::cli) service: &'a Service,
    /// `smtpd_milters` or `non_smtpd_milters`.
    pub(in crate::cli) parameter: &'static str,
    /// The milters.
    pub(in crate::cli) entries: Vec<MilterEntry>,
    /// Indices of the entries that are ours.
    pub(in crate::cli) ours: Vec<usize>,
    /// The usual direction of the service's mail.
    pub(in crate::cli) flow: Direction,
    /// True if the service accepts mail from this machine only, as after a content filter.
    pub(in crate::cli) inner: bool,
}

impl<'a> Use<'a> {
    /// Returns all lists of all services that ask milters.
    pub(in crate::cli) fn all(postfix: &'a Postfix, config: &Config) -> Vec<Self> {
        Self::written(postfix, config)
            .filter(|list| list.silence(postfix).is_none())
            .collect()
    }

    /// Returns all lists, including those that are never asked.
    pub(super) fn written(
        postfix: &'a Postfix,
        config: &Config,
    ) -> impl Iterator<Item = Self> + use<'a> {
        let smtpd = postfix
            .smtpd()
            .map(|service| Self::new(postfix, config, service, "smtpd_milters"));
        let cleanup = postfix
            .cleanup()
            .map(|service| Self::new(postfix, config, service, "non_smtpd_milters"));
        let all: Vec<_> = smtpd.chain(cleanup).collect();
        all.into_iter()
    }

    /// Returns the service that accepts the mail of this list: for local programs, pickup decides
    /// where their mail goes, and cleanup asks the milters.
    pub(super) fn entrance<'p>(&self, postfix: &'p Postfix) -> Option<&'p Service>
    where
        'a: 'p,
    {
        match self.parameter {
            "non_smtpd_milters" => postfix.pickup(),
            _ => Some(self.service),
        }
    }

    fn new(
        postfix: &'a Postfix,
        config: &Config,
        service: &'a Service,
        parameter: &'static str,
    ) -> Self {
        let entries = MilterEntry::list(postfix.of(service, parameter).unwrap_or_default());
        let is_ours = |entry: &MilterEntry| entry.is_ours(&config.milter.listen, postfix, service);
        let ours = (0..entries.len()).filter(|i| is_ours(&entries[*i]));
        Self {
            service,
            parameter,
            ours: ours.collect(),
            entries,
            flow: flow(postfix, config, service),
            inner: service.is_inner(),
        }
    }

    /// Returns the first entry that is ours.
    pub(in crate::cli) fn our_entry(&self) -> Option<&MilterEntry> {
        self.ours.first().map(|index| &self.entries[*index])
    }

    /// Returns true if mail of this list is treated.
    pub(in crate::cli) fn is_treated(&self, config: &Config) -> bool {
        policy::is_among(config.detach.directions, self.flow)
    }

    /// Returns the content filter that gets the mail after these milters, or the proxy that comes
    /// after them.
    pub(in crate::cli) fn filter<'p>(&self, postfix: &'p Postfix) -> Option<&'p str>
    where
        'a: 'p,
    {
        filter::of(postfix, self.entrance(postfix)?)
    }

    /// Returns the milters as the parameter lists them.
    pub(super) fn text(&self) -> String {
        let texts = self.entries.iter().map(|entry| entry.text.as_str());
        texts.collect::<Vec<_>>().join(", ")
    }

    /// Returns the name of the list for people.
    pub(in crate::cli) fn name(&self) -> String {
        if self.parameter == "non_smtpd_milters" {
            self.parameter.to_owned()
        } else {
            format!("{} of {}", self.parameter, self.service.name())
        }
    }

    /// Returns the line that changes this list.
    pub(in crate::cli) fn set(&self, value: &str) -> String {
        if self.service.overrides.contains_key(self.parameter) {
            postconf_p(&self.service.id, self.parameter, value)
        } else {
            postconf_e(self.parameter, value)
        }
    }

    /// Returns a setting of our entry: its own value in braces, else that of the service.
    fn setting(&self, postfix: &Postfix, name: &str) -> Option<String> {
        let own = self.our_entry()?.options.get(name).cloned();
        let general = || postfix.of(self.service, &format!("milter_{name}"));
        own.or_else(|| general().map(str::to_owned))
    }

    /// Returns the line that changes such a setting where it was set.
    fn set_setting(&self, name: &str, value: &str) -> String {
        let parameter = format!("milter_{name}");

        match self.our_entry() {
            Some(entry) if entry.options.contains_key(name) => {
                let old = &entry.options[name];
                let text = entry
                    .text
                    .replace(&format!("{name} = "), &format!("{name}="));
                let new = text.replace(&format!("{name}={old}"), &format!("{name}={value}"));
                let list = self.entries.iter().map(|other| {
                    if other == entry {
                        new.as_str()
                    } else {
                        other.text.as_str()
                    }
                });
                self.set(&list.collect::<Vec<_>>().join(", "))
            }
            _ if self.service.overrides.contains_key(&parameter) => {
                postconf_p(&self.service.id, &parameter, value)
            }
            _ => postconf_e(&parameter, value),
        }
    }
}

/// Reports all findings about the lists.
pub(super) fn check(
    report: &mut DoctorReport,
    postfix: &Postfix,
    config: &Config,
    others: &Others,
) {
    let uses = Use::all(postfix, config);
    check_listed(report, postfix, config, &uses);
    silence::check(report, postfix, config);
    filter::check(report, postfix, config, &uses, others);

    for list in uses.iter().filter(|list| list.our_entry().is_some()) {
        if list.ours.len() > 1 {
            let message = format!("{} has depollueur {} times", list.name(), list.ours.len());
            report.warning("milter.listed", message, []);
        }
        if list.is_treated(config) && list.filter(postfix).is_none() {
            order::check(report, list, others);
        }
        check_default_action(report, postfix, list);
        check_timeouts(report, postfix, config, list);
        check_protocol(report, postfix, list);
    }
}

fn check_listed(report: &mut DoctorReport, postfix: &Postfix, config: &Config, uses: &[Use<'_>]) {
    let check = "milter.listed";
    let listed: Vec<String> = with_us(uses).map(Use::name).collect();

    if listed.is_empty() {
        let message = format!(
            "no service of Postfix asks the milter {}: no mail is treated",
            config.milter.listen
        );
        let mut fix = Vec::new();
        if let Some(inside) = chrooted_address(postfix, &config.milter.listen) {
            fix.push(format!("set in [milter]: listen = \"{inside}\""));
        }
        if silence::hides_us(postfix, config) {
            // It is already listed; another finding tells why Postfix does not ask.
        } else if uses.iter().any(|list| list.filter(postfix).is_some()) {
            fix.extend(filter::on_return(postfix, config, None));
        } else {
            fix.extend(plug(postfix, config, "smtpd_milters"));
        }

        fix.push("postfix reload".to_owned());
        report.error(check, message, fix);
        return;
    }

    let forgotten = uses
        .iter()
        .filter(|list| list.our_entry().is_none() && list.is_treated(config));
    for list in forgotten {
        miss(report, postfix, config, list);
    }

    report.ok(check, format_args!("listed in {}", listed.join(", ")));
}

/// Reports a list without us: local mail and re-injected mail may well be left untreated.
fn miss(report: &mut DoctorReport, postfix: &Postfix, config: &Config, list: &Use<'_>) {
    let check = "milter.listed";

    if let Some(name) = list.filter(postfix) {
        filter::miss(report, postfix, config, (list, name));
    } else if list.parameter == "non_smtpd_milters" {
        report.ok(
            check,
            "mail of this machine's own programs (sendmail) is not treated: non_smtpd_milters does not list depollueur",
        );
    } else if list.inner && list.entries.is_empty() {
        let name = list.service.name();
        report.ok(
            check,
            format_args!("mail that comes in at {name} is not treated"),
        );
    } else {
        let message = format!(
            "{} does not list depollueur: mail that comes in there is not treated",
            list.name()
        );
        let own = list.entries.iter().map(|entry| entry.text.clone());
        let all: Vec<_> = own.chain([our_item(postfix, config)]).collect();
        report.warning(check, message, [list.set(&all.join(", "))]);
    }
}

fn with_us<'a, 'b>(uses: &'a [Use<'b>]) -> impl Iterator<Item = &'a Use<'b>> {
    uses.iter().filter(|list| list.our_entry().is_some())
}

fn check_default_action(report: &mut DoctorReport, postfix: &Postfix, list: &Use<'_>) {
    let check = "milter.default-action";
    let action = list.setting(postfix, "default_action").unwrap_or_default();

    let why = match action.as_str() {
        // The default of Postfix 3.11 ends the session with 421.
        "tempfail" | "shutdown" => {
            report.ok(check, format_args!("{action} in {}", list.name()));
            return;
        }
        "accept" => {
            "when the daemon dies while it replaces a body, Postfix delivers half a message or loses it, and mail passes untreated while it is down"
        }
        "quarantine" => {
            "mail is held while the daemon is down, half rewritten when it dies, and is never given to a milter again"
        }
        "reject" => {
            "mail is refused for good while the daemon is down, instead of being sent again later"
        }
        _ => "Postfix knows no such action, and takes no mail",
    };

    report.error(
        check,
        format_args!("{action:?} in {}: {why}", list.name()),
        [list.set_setting("default_action", "tempfail")],
    );
}

fn check_timeouts(report: &mut DoctorReport, postfix: &Postfix, config: &Config, list: &Use<'_>) {
    let deadline = config.milter.deadline;
    let drain = config.milter.drain;

    let rules = [
        (
            "content_timeout",
            deadline + SIGN_OF_LIFE,
            "300s",
            true,
            "milter.deadline and 10 s: Postfix would give up while a message is still being worked on",
        ),
        (
            "command_timeout",
            drain + Duration::from_secs(1),
            "30s",
            false,
            "milter.drain: sessions that wait for a restart would be put off",
        ),
        (
            "connect_timeout",
            Duration::from_secs(5),
            "30s",
            false,
            "5 s: a busy moment would put mail off",
        ),
    ];

    for (name, least, usual, is_error, why) in rules {
        let written = list.setting(postfix, name).unwrap_or_default();
        let Some(value) = time(&written) else {
            report.unknown(
                "milter.timeouts",
                format_args!("milter_{name} = {written:?} is no time"),
            );
            continue;
        };
        if value >= least {
            continue;
        }

        let message = format!(
            "{name} is {written} in {}: it must be above {why}",
            list.name()
        );

        let wanted = time(usual).filter(|usual| *usual >= least);
        let wanted = wanted.map_or_else(
            || format!("{}s", least.as_secs() + 30),
            |_| usual.to_owned(),
        );

        let fix = [list.set_setting(name, &wanted)];
        if is_error {
            report.error("milter.timeouts", message, fix);
        } else {
            report.warning("milter.timeouts", message, fix);
        }
    }

    report.ok_unless_found(
        "milter.timeouts",
        "longer than milter.deadline and milter.drain",
    );
}

fn check_protocol(report: &mut DoctorReport, postfix: &Postfix, list: &Use<'_>) {
    let check = "milter.protocol";
    let written = list.setting(postfix, "protocol").unwrap_or_default();
    if written.parse() == Ok(6_u32) {
        report.ok(check, format_args!("version 6 in {}", list.name()));
    } else {
        let message = format!(
            "version {written:?} in {}: only 6 lets depollueur skip bodies and ask for the macros that it needs",
            list.name()
        );
        report.warning(check, message, [list.set_setting("protocol", "6")]);
    }
}

/// Returns the line that adds us to a list of main.cf, unless it already has us: after the milters
/// that must see mail as it came, before those that sign it.
pub(in crate::cli) fn plug(postfix: &Postfix, config: &Config, parameter: &str) -> Option<String> {
    let entries = MilterEntry::list(postfix.get(parameter).unwrap_or_default());
    let address = our_address(postfix, &config.milter.listen);
    if entries.iter().any(|entry| entry.text.contains(&address)) {
        return None;
    }
    let signs = |entry: &MilterEntry| matches!(entry.kind(), MilterKind::Dkim | MilterKind::Sealer);
    let mut items: Vec<_> = entries.iter().map(|entry| entry.text.clone()).collect();
    let place = entries.iter().position(signs).unwrap_or(items.len());
    items.insert(place, our_item(postfix, config));
    Some(postconf_e(parameter, &items.join(", ")))
}

/// Returns our entry as it should be written in a list.
pub(in crate::cli) fn our_item(postfix: &Postfix, config: &Config) -> String {
    format!(
        "{{ {}, default_action=tempfail }}",
        our_address(postfix, &config.milter.listen)
    )
}

/// Returns the address at which the milter must listen instead, if it cannot be reached from a chroot.
pub(in crate::cli) fn chrooted_address(
    postfix: &Postfix,
    listen: &ListenAddress,
) -> Option<ListenAddress> {
    let queue = postfix.queue_directory();
    match listen {
        ListenAddress::Unix(path) if !path.starts_with(&queue) => {
            let is_chrooted = postfix.smtpd().any(|service| service.chroot);
            is_chrooted.then(|| ListenAddress::Unix(queue.join("depollueur/milter.sock")))
        }
        _ => None,
    }
}

/// Returns our socket as Postfix should name it: relative inside the queue directory, chroot or not.
pub(in crate::cli) fn our_address(postfix: &Postfix, listen: &ListenAddress) -> String {
    let inside = chrooted_address(postfix, listen);
    match inside.as_ref().unwrap_or(listen) {
        ListenAddress::Unix(path) => {
            let inside = path.strip_prefix(postfix.queue_directory());
            format!("unix:{}", inside.unwrap_or(path).display())
        }
        ListenAddress::Tcp(address) if address.ip().is_unspecified() => {
            format!("inet:localhost:{}", address.port())
        }
        ListenAddress::Tcp(address) => format!("inet:{address}"),
    }
}

fn flow(postfix: &Postfix, config: &Config, service: &Service) -> Direction {
    let name = service.name().rsplit(':').next().unwrap_or_default();
    let by_name = ["submission", "submissions", "smtps", "587", "465"].contains(&name);
    let login = service.overrides.get("smtpd_sasl_auth_enable");
    let daemon = postfix
        .of(service, "milter_macro_daemon_name")
        .unwrap_or_default();
    let by_daemon = config
        .milter
        .outgoing_daemons
        .iter()
        .any(|known| known == daemon);
    if by_name || by_daemon || login.is_some_and(|yes| yes == "yes") || service.command == "cleanup"
    {
        Direction::Outgoing
    } else {
        Direction::Incoming
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::report::Severity;

    const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
127.0.0.1:10025 inet n - y - - smtpd
cleanup unix n - y - 0 cleanup
";
    const OVERRIDES: &str = "127.0.0.1:10025/inet/receive_override_options = no_milters\n";
    const MAIN: &str = "\
queue_directory = /var/spool/postfix
smtpd_milters = unix:depollueur/milter.sock
non_smtpd_milters =
milter_default_action = tempfail
milter_protocol = 6
milter_content_timeout = 300s
milter_command_timeout = 30s
milter_connect_timeout = 30s
";

    fn config() -> Config {
        let mut config = Config::default();
        config.milter.listen = "unix:/var/spool/postfix/depollueur/milter.sock"
            .parse()
            .unwrap();
        config
    }

    fn found(main: &str, overrides: &str) -> DoctorReport {
        let postfix = Postfix::parse(
            &format!("{MAIN}{main}"),
            MASTER,
            &format!("{OVERRIDES}{overrides}"),
        );
        let mut report = DoctorReport::default();
        check(&mut report, &postfix, &config(), &Others::default());
        report
    }

    #[test]
    fn a_right_postfix_gives_no_finding() {
        let report = found("", "");
        assert_eq!(report.worst(), Severity::Ok, "{report}");
    }

    #[test]
    fn each_wrong_setting_is_found_with_the_line_that_mends_it() {
        for (main, overrides, check, level, fix) in [
            (
                "milter_default_action = shutdown\n",
                "",
                "milter.default-action",
                Severity::Ok,
                "",
            ),
            (
                "milter_default_action = nonsense\n",
                "",
                "milter.default-action",
                Severity::Error,
                "postconf -e 'milter_default_action = tempfail'",
            ),
            (
                "smtpd_milters =\n",
                "",
                "milter.listed",
                Severity::Error,
                "postconf -e 'smtpd_milters = { unix:depollueur/milter.sock, default_action=tempfail }'",
            ),
            (
                "",
                "submission/inet/smtpd_milters = inet:a:1\n",
                "milter.listed",
                Severity::Warning,
                "postconf -P 'submission/inet/smtpd_milters = inet:a:1,{unix:depollueur/milter.sock,default_action=tempfail}'",
            ),
            (
                "smtpd_milters = unix:depollueur/milter.sock unix:depollueur/milter.sock\n",
                "",
                "milter.listed",
                Severity::Warning,
                "",
            ),
            (
                "milter_default_action = accept\n",
                "",
                "milter.default-action",
                Severity::Error,
                "postconf -e 'milter_default_action = tempfail'",
            ),
            (
                "",
                "submission/inet/milter_default_action = reject\n",
                "milter.default-action",
                Severity::Error,
                "postconf -P 'submission/inet/milter_default_action = tempfail'",
            ),
            (
                "smtpd_milters = inet:b:2, { unix:depollueur/milter.sock, default_action = quarantine }\n",
                "",
                "milter.default-action",
                Severity::Error,
                "postconf -e 'smtpd_milters = inet:b:2, { unix:depollueur/milter.sock, default_action=tempfail }'",
            ),
            (
                "milter_content_timeout = 40\nmilter_protocol = 6\n",
                "",
                "milter.timeouts",
                Severity::Ok,
                "",
            ),
            (
                "milter_content_timeout = 39s\n",
                "",
                "milter.timeouts",
                Severity::Error,
                "postconf -e 'milter_content_timeout = 300s'",
            ),
            (
                "milter_command_timeout = 20s\n",
                "",
                "milter.timeouts",
                Severity::Warning,
                "postconf -e 'milter_command_timeout = 30s'",
            ),
            (
                "milter_connect_timeout = 1s\n",
                "",
                "milter.timeouts",
                Severity::Warning,
                "postconf -e 'milter_connect_timeout = 30s'",
            ),
            (
                "milter_protocol = 2\n",
                "",
                "milter.protocol",
                Severity::Warning,
                "postconf -e 'milter_protocol = 6'",
            ),
        ] {
            let report = found(main, overrides);
            assert_eq!(report.worst(), level, "{main}{overrides}{report}");
            report.assert_found(check, level, fix);
        }
    }
}

//! Services that list milters but do not ask them.

use super::{
    listing::Use,
    postfix::Postfix,
    report::{DoctorReport, postconf_e, postconf_p},
};
use crate::config::Config;

const OPTIONS: &str = "receive_override_options";
const MAPS: &str = "smtpd_milter_maps";
const CHECK: &str = "milter.listed";

/// The setting that keeps the milters of a list from being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// `receive_override_options` has `no_milters`.
    Options,
    /// `smtpd_milter_maps` disables them for every client.
    Maps,
}

impl Use<'_> {
    /// Returns the setting that silences the milters of this list; `None` if they are asked.
    pub(super) fn silence(&self, postfix: &Postfix) -> Option<Silence> {
        let entrance = self.entrance(postfix).unwrap_or(self.service);
        let options = postfix.of(entrance, OPTIONS).unwrap_or_default();
        if words(options).any(|word| word == "no_milters") {
            return Some(Silence::Options);
        }
        let is_off = self.maps(postfix).eq_ignore_ascii_case("static:DISABLE");
        is_off.then_some(Silence::Maps)
    }

    /// Returns the tables that give some clients other milters.
    fn maps<'p>(&'p self, postfix: &'p Postfix) -> &'p str {
        match self.parameter {
            "smtpd_milters" => postfix.of(self.service, MAPS).unwrap_or_default(),
            _ => "",
        }
    }

    /// Returns the line that makes Postfix ask, for this service alone; `None` if it does already.
    pub(super) fn ask_here(&self, postfix: &Postfix) -> Option<String> {
        let entrance = self.entrance(postfix).unwrap_or(self.service);
        let (name, value) = self.cure(postfix)?;
        Some(postconf_p(&entrance.id, name, &value))
    }

    /// Returns the line that makes Postfix ask, set where it was told not to.
    fn ask(&self, postfix: &Postfix) -> Option<String> {
        let entrance = self.entrance(postfix).unwrap_or(self.service);
        let (name, value) = self.cure(postfix)?;
        match entrance.overrides.contains_key(name) {
            true => Some(postconf_p(&entrance.id, name, &value)),
            false => Some(postconf_e(name, &value)),
        }
    }

    /// Returns the parameter that keeps Postfix from asking, and its value without that part.
    fn cure(&self, postfix: &Postfix) -> Option<(&'static str, String)> {
        let entrance = self.entrance(postfix).unwrap_or(self.service);
        match self.silence(postfix)? {
            Silence::Maps => Some((MAPS, String::new())),
            Silence::Options => {
                let options = postfix.of(entrance, OPTIONS).unwrap_or_default();
                let kept = words(options).filter(|word| *word != "no_milters");
                Some((OPTIONS, kept.collect::<Vec<_>>().join(",")))
            }
        }
    }
}

/// Returns true if a list that is not asked contains us.
pub(super) fn hides_us(postfix: &Postfix, config: &Config) -> bool {
    Use::written(postfix, config)
        .any(|list| list.our_entry().is_some() && list.silence(postfix).is_some())
}

/// Reports the lists that contain us and are not asked, and the tables that give other milters.
pub(super) fn check(report: &mut DoctorReport, postfix: &Postfix, config: &Config) {
    for list in Use::written(postfix, config).filter(|list| list.is_treated(config)) {
        match list.silence(postfix) {
            Some(silence) => tell(report, postfix, &list, silence),
            None => check_maps(report, postfix, &list),
        }
    }
}

fn tell(report: &mut DoctorReport, postfix: &Postfix, list: &Use<'_>, silence: Silence) {
    let why = match silence {
        Silence::Options => "receive_override_options has no_milters",
        Silence::Maps => "smtpd_milter_maps disables them for every client",
    };
    let meant = list.service.overrides.contains_key(list.parameter) || !list.inner;
    let message = format!(
        "milters are not asked in {}, {why}: mail that comes in there is not treated",
        list.name()
    );
    if list.our_entry().is_some() && meant {
        report.warning(CHECK, message, list.ask(postfix));
    } else {
        report.ok(CHECK, message);
    }
}

fn check_maps(report: &mut DoctorReport, postfix: &Postfix, list: &Use<'_>) {
    let maps = list.maps(postfix);
    if !maps.is_empty() {
        let message = format!(
            "smtpd_milter_maps gives some clients other milters than {}: cannot tell which; postmap -q ADDRESS {maps} says those of a client",
            list.name()
        );
        report.unknown(CHECK, message);
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{listing, others::Others, report::Severity};

    const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
127.0.0.1:10025 inet n - y - - smtpd
cleanup unix n - y - 0 cleanup
pickup unix n - y 60 1 pickup
";
    const MAIN: &str = "\
smtpd_milters = unix:depollueur/milter.sock
milter_default_action = tempfail
milter_protocol = 6
milter_content_timeout = 300s
milter_command_timeout = 30s
milter_connect_timeout = 30s
";

    #[test]
    fn a_list_that_nobody_asks_is_not_listed() {
        use Severity::{Error, Ok, Unknown, Warning};
        for (main, overrides, level, fix) in [
            (
                "",
                "127.0.0.1:10025/inet/receive_override_options = no_milters\n",
                Ok,
                "",
            ),
            (
                "",
                "submission/inet/receive_override_options = no_address_mappings,no_milters\n",
                Warning,
                "postconf -P 'submission/inet/receive_override_options = no_address_mappings'",
            ),
            (
                "receive_override_options = no_milters no_unknown_recipient_checks\n",
                "",
                Error,
                "postconf -e 'receive_override_options = no_unknown_recipient_checks'",
            ),
            (
                "non_smtpd_milters = unix:depollueur/milter.sock\n",
                "pickup/unix/receive_override_options = no_milters\n",
                Warning,
                "postconf -P 'pickup/unix/receive_override_options = '",
            ),
            (
                "",
                "submission/inet/smtpd_milter_maps = static:DISABLE\n",
                Warning,
                "postconf -P 'submission/inet/smtpd_milter_maps = '",
            ),
            (
                "",
                "smtp/inet/smtpd_milter_maps = cidr:/etc/postfix/m\n",
                Unknown,
                "",
            ),
            (
                "smtpd_milter_maps = static:DISABLE\n",
                "",
                Error,
                "postconf -e 'smtpd_milter_maps = '",
            ),
        ] {
            let postfix = Postfix::parse(&format!("{MAIN}{main}"), MASTER, overrides);
            let mut report = DoctorReport::default();
            let mut config = Config::default();
            config.milter.listen = "unix:/var/spool/postfix/depollueur/milter.sock"
                .parse()
                .unwrap();
            listing::check(&mut report, &postfix, &config, &Others::default());
            assert_eq!(report.worst(), level, "{main}{overrides}{report}");
            let fixes = report.findings().iter().flat_map(|f| f.fix.clone());
            let fixes: Vec<_> = fixes.collect();
            assert!(
                fix.is_empty() || fixes.iter().any(|line| line == fix),
                "{fixes:?}"
            );
            let puts_us = |line: &String| line.contains("milter.sock");
            assert!(!fixes.iter().any(puts_us), "listed already: {fixes:?}");
        }
    }
}

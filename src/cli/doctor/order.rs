//! The order of milters: who must see mail as it came stands before us, who signs it after us.

use super::{
    entry::{Entry, Kind},
    listing::{Flow, Others, Use, is_opendkim},
    report::{Level, Report},
};

/// Where another milter belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Demand {
    /// Before us, or else: how bad, and why.
    Before(Level, &'static str),
    /// After us.
    After(Level, &'static str),
    /// Does not matter.
    Either,
    /// Its address does not tell.
    Unknown(&'static str),
}

/// Looks at each neighbour in a list.
pub(super) fn check(report: &mut Report, list: &Use<'_>, others: Others) {
    let check = "milter.order";
    let Some(&ours) = list.ours.first() else {
        return;
    };
    let mut wrong = false;
    for (index, entry) in list.entries.iter().enumerate() {
        if list.ours.contains(&index) {
            continue;
        }
        let name = list.name();
        let text = &entry.text;
        match demand(entry, list.flow, others) {
            Demand::Before(level, why) if index > ours => {
                wrong = true;
                let message = format!("{text} must stand before depollueur in {name}: {why}");
                report.add(
                    check,
                    level,
                    message,
                    [list.set(&right_order(list, others))],
                );
            }
            Demand::After(level, why) if index < ours => {
                wrong = true;
                let message = format!("{text} must stand after depollueur in {name}: {why}");
                report.add(check, level, message, [mend(list, others)]);
            }
            Demand::Unknown(why) => {
                wrong = true;
                report.unknown(check, format_args!("{text} in {name}: cannot tell, {why}"));
            }
            _ => {}
        }
    }
    if !wrong {
        report.ok(check, format_args!("right in {}", list.name()));
    }
}

fn demand(entry: &Entry, flow: Flow, others: Others) -> Demand {
    use Level::{Error, Warning};
    let blind = "it does not see the attachments that are taken out";
    let broken = "its signature does not hold for mail that is changed after it";
    let late = "signatures do not hold any more in mail that was changed before it";
    let (signs, verifies) = match others.opendkim {
        Some(modes) if is_opendkim(entry) => modes,
        _ => (true, true),
    };
    match (entry.kind(), flow) {
        (Kind::Scanner, _) | (Kind::Rspamd, Flow::Incoming) => Demand::Before(Error, blind),
        (Kind::Verifier, Flow::Incoming) => Demand::Before(Warning, late),
        (Kind::Dkim, Flow::Incoming) if verifies => Demand::Before(Warning, late),
        (Kind::Dkim, Flow::Outgoing) if signs => Demand::After(Error, broken),
        (Kind::Verifier | Kind::Dkim, _) => Demand::Either,
        (Kind::Sealer, _) => Demand::After(Error, broken),
        (Kind::Rspamd, Flow::Outgoing) => match others.rspamd_signs {
            Some(true) => Demand::After(Error, broken),
            Some(false) => Demand::Before(Error, blind),
            None => Demand::Unknown("if rspamd signs this mail, it must stand after depollueur"),
        },
        (Kind::Stranger, _) => {
            Demand::Unknown("a scanner or verifier must stand before depollueur, a signer after it")
        }
    }
}

/// A list that mail from outside shares must stay as it is: the service gets one of its own.
fn mend(list: &Use<'_>, others: Others) -> String {
    let value = right_order(list, others);
    let shared = list.parameter == "smtpd_milters"
        && !list.service.overrides.contains_key(list.parameter)
        && list.flow == Flow::Outgoing;
    if shared {
        super::report::postconf_p(&list.service.id, list.parameter, &value)
    } else {
        list.set(&value)
    }
}

/// The list as it should be; whoever is in place or cannot be told keeps its place.
fn right_order(list: &Use<'_>, others: Others) -> String {
    let ours = list.ours.first().copied().unwrap_or_default();
    let mut sides: [Vec<&str>; 2] = Default::default();
    for (index, entry) in list.entries.iter().enumerate() {
        let after = match demand(entry, list.flow, others) {
            _ if list.ours.contains(&index) => continue,
            Demand::Before(..) => false,
            Demand::After(..) => true,
            Demand::Either | Demand::Unknown(_) => index > ours,
        };
        sides[usize::from(after)].push(&entry.text);
    }
    let [before, after] = sides;
    let us = [list.entries[ours].text.as_str()];
    [before.as_slice(), &us, &after].concat().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::doctor::postfix::Postfix, config::Config};

    const MASTER: &str = "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n";
    const US: &str = "unix:depollueur/m.sock";

    fn found(list: &str, service: usize, others: Others) -> (Level, Vec<String>) {
        let postfix = Postfix::parse(&format!("smtpd_milters = {list}\n"), MASTER, "");
        let uses = Use::all(&postfix, &Config::default());
        let mut report = Report::default();
        check(&mut report, &uses[service], others);
        let fixes = report.findings().iter().flat_map(|f| f.fix.clone());
        (report.worst(), fixes.collect())
    }

    #[test]
    fn scanners_and_verifiers_stand_before_and_signers_after() {
        use Level::{Error, Ok, Unknown, Warning};
        let (incoming, outgoing) = (0, 1);
        for (list, service, level) in [
            ("inet:localhost:11332, US", incoming, Ok),
            ("US, inet:localhost:11332", incoming, Error),
            ("US, inet:localhost:11332", outgoing, Unknown),
            ("unix:clamav/clamav-milter.ctl US", incoming, Ok),
            ("US unix:clamav/clamav-milter.ctl", outgoing, Error),
            ("US, unix:opendmarc/opendmarc.sock", incoming, Warning),
            ("US, unix:opendmarc/opendmarc.sock", outgoing, Ok),
            ("US, inet:localhost:8891", incoming, Warning),
            ("US, inet:localhost:8891", outgoing, Ok),
            ("inet:localhost:8891, US", incoming, Ok),
            ("inet:localhost:8891, US", outgoing, Error),
            ("unix:openarc/openarc.sock, US", incoming, Error),
            ("inet:localhost:9999, US", incoming, Unknown),
        ] {
            let list = list.replace("US", US);
            assert_eq!(found(&list, service, Others::default()).0, level, "{list}");
        }
    }

    #[test]
    fn what_other_milters_are_told_counts() {
        let only_verifies = Others {
            opendkim: Some((false, true)),
            ..Others::default()
        };
        let list = format!("local:opendkim/opendkim.sock, {US}");
        assert_eq!(found(&list, 1, only_verifies).0, Level::Ok);
        let signs = Others {
            rspamd_signs: Some(true),
            ..Others::default()
        };
        assert_eq!(
            found(&format!("inet:localhost:11332, {US}"), 1, signs).0,
            Level::Error
        );
    }

    #[test]
    fn the_line_to_type_has_the_right_order() {
        let list = format!("{US}, inet:x:1, inet:localhost:11332, unix:clamav/c.ctl");
        let (_, fixes) = found(&list, 0, Others::default());
        let right = format!(
            "postconf -e 'smtpd_milters = inet:localhost:11332, unix:clamav/c.ctl, {US}, inet:x:1'"
        );
        assert_eq!(fixes, [right.clone(), right]);
        let (_, fixes) = found(&format!("inet:localhost:8891, {US}"), 1, Others::default());
        assert_eq!(
            fixes,
            [format!(
                "postconf -P 'submission/inet/smtpd_milters = {US},inet:localhost:8891'"
            )]
        );
    }
}

//! The order of milters: those that must see mail as it came precede us, those that sign it follow us.

use super::{
    entry::{MilterEntry, MilterKind},
    listing::Use,
    others::{Duties, Others},
    report::{DoctorReport, Severity, postconf_p},
};
use crate::envelope::Direction;

/// The position that another milter requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Demand {
    /// Before us; with the level and reason of a violation.
    Before(Severity, &'static str),
    /// After us; with the level and reason of a violation.
    After(Severity, &'static str),
    /// It both scans and signs, so that no position is right.
    Split,
    /// Any position.
    Either,
    /// Unknown: its address does not tell. With the advice to give.
    Unknown(&'static str),
}

pub(super) const BLIND: &str = "it does not see the attachments that are taken out";
pub(super) const BROKEN: &str = "its signature does not hold for mail that is changed after it";
const LATE: &str = "signatures do not hold any more in mail that was changed before it";

/// Advice that splits a milter that scans and signs into a scanner and a signer.
const SPLIT: &str = "take over the files of /usr/share/doc/depollueur/examples/rspamd: rspamd scans, depollueur detaches, rspamd signs";

/// Checks each neighbour in a list.
pub(super) fn check(report: &mut DoctorReport, list: &Use<'_>, others: &Others) {
    let check = "milter.order";
    let before = report.count();
    for index in 0..list.entries.len() {
        if let Some((level, message, fix)) = judge(list, index, others) {
            report.add(check, level, message, fix);
        }
    }
    if report.count() == before && !list.ours.is_empty() {
        report.ok(check, format_args!("right in {}", list.name()));
    }
}

/// Returns the finding about an entry whose position is wrong or cannot be judged.
fn judge(
    list: &Use<'_>,
    index: usize,
    others: &Others,
) -> Option<(Severity, String, Option<String>)> {
    let ours = *list.ours.first()?;
    if list.ours.contains(&index) {
        return None;
    }

    let entry = &list.entries[index];
    let (text, name) = (&entry.text, list.name());
    let place =
        |side: &str, why: &str| format!("{text} must stand {side} depollueur in {name}: {why}");

    match demand(entry, list.flow, others) {
        Demand::Before(level, why) if index > ours => {
            let fix = list.set(&right_order(list, others));
            Some((level, place("before", why), Some(fix)))
        }
        Demand::After(level, why) if index < ours => {
            Some((level, place("after", why), Some(mend(list, others))))
        }
        Demand::Split => judge_split(list, index, others),
        Demand::Unknown(why) => {
            let message = format!("{text} in {name}: cannot tell, {why}");
            Some((Severity::Unknown, message, None))
        }
        Demand::Before(..) if others.kind(entry) == MilterKind::Rspamd => {
            judge_signature(list, entry, others)
        }
        _ => None,
    }
}

/// Judges a milter that both scans and signs.
fn judge_split(
    list: &Use<'_>,
    index: usize,
    others: &Others,
) -> Option<(Severity, String, Option<String>)> {
    let ours = *list.ours.first()?;
    let (text, name) = (&list.entries[index].text, list.name());
    let fix = Some(SPLIT.to_owned());
    if index > ours {
        let message = format!(
            "{text} scans and signs after depollueur in {name}: {BLIND}, so that a virus in them is not found"
        );
        Some((Severity::Error, message, fix))
    } else if has_signer(list, others) {
        let message = format!(
            "{text} signs before depollueur in {name}: {BROKEN}; a second signature, made after it, does"
        );
        Some((Severity::Warning, message, fix))
    } else {
        let message = format!("{text} scans and signs before depollueur in {name}: {BROKEN}");
        Some((Severity::Error, message, fix))
    }
}

/// Reports a scanner in its right position that may sign as well.
fn judge_signature(
    list: &Use<'_>,
    entry: &MilterEntry,
    others: &Others,
) -> Option<(Severity, String, Option<String>)> {
    let is_open = list.flow == Direction::Outgoing && others.rspamd(entry).signs.is_none();
    if !is_open || has_signer(list, others) {
        return None;
    }
    let message = format!(
        "{} in {}: cannot tell whether it signs, too; if it does, {BROKEN}",
        entry.text,
        list.name()
    );
    Some((Severity::Unknown, message, None))
}

/// Returns true if a milter after us signs outgoing mail.
fn has_signer(list: &Use<'_>, others: &Others) -> bool {
    let ours = list.ours.first().copied().unwrap_or_default();
    list.entries
        .iter()
        .skip(ours + 1)
        .any(|entry| match others.kind(entry) {
            MilterKind::Dkim => others.dkim(entry).0,
            MilterKind::Rspamd => others.rspamd(entry).only_signs,
            _ => false,
        })
}

pub(in crate::cli) fn demand(entry: &MilterEntry, flow: Direction, others: &Others) -> Demand {
    use Severity::{Error, Warning};
    let (signs, verifies) = others.dkim(entry);
    match (others.kind(entry), flow) {
        (MilterKind::Scanner, _) => Demand::Before(Error, BLIND),
        (MilterKind::Verifier, Direction::Incoming) => Demand::Before(Warning, LATE),
        (MilterKind::Dkim, Direction::Incoming) if verifies => Demand::Before(Warning, LATE),
        (MilterKind::Dkim, Direction::Outgoing) if signs => Demand::After(Error, BROKEN),
        (MilterKind::Verifier | MilterKind::Dkim, _) => Demand::Either,
        (MilterKind::Sealer, _) => Demand::After(Error, BROKEN),
        (MilterKind::Rspamd, flow) => demand_of_rspamd(others.rspamd(entry), flow),
        (MilterKind::Stranger, _) => {
            Demand::Unknown("a scanner or verifier must stand before depollueur, a signer after it")
        }
    }
}

fn demand_of_rspamd(duties: Duties, flow: Direction) -> Demand {
    use Severity::Error;
    match (flow, duties.signs, duties.scans) {
        (Direction::Outgoing, ..) if duties.only_signs => Demand::After(Error, BROKEN),
        (Direction::Incoming, ..) if duties.only_signs => Demand::Either,
        (Direction::Incoming, ..) | (_, Some(false), _) | (_, None, Some(true)) => {
            Demand::Before(Error, BLIND)
        }
        (_, Some(true), Some(true)) => Demand::Split,
        (_, Some(true), _) => Demand::After(Error, BROKEN),
        (_, None, _) => Demand::Unknown(
            "if rspamd signs this mail, it must stand after depollueur; if it scans it, before",
        ),
    }
}

/// Returns the line that mends the order; a list shared with mail from outside stays, and the service
/// gets its own.
fn mend(list: &Use<'_>, others: &Others) -> String {
    let value = right_order(list, others);
    let shared = list.parameter == "smtpd_milters"
        && !list.service.overrides.contains_key(list.parameter)
        && list.flow == Direction::Outgoing;
    if shared {
        postconf_p(&list.service.id, list.parameter, &value)
    } else {
        list.set(&value)
    }
}

/// Returns the list in its right order; entries that are right or cannot be judged keep their side.
fn right_order(list: &Use<'_>, others: &Others) -> String {
    let ours = list.ours.first().copied().unwrap_or_default();
    let mut sides: [Vec<&str>; 2] = Default::default();
    for (index, entry) in list.entries.iter().enumerate() {
        let after = match demand(entry, list.flow, others) {
            _ if list.ours.contains(&index) => continue,
            Demand::Before(..) | Demand::Split => false,
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

    fn found(list: &str, service: usize, others: &Others) -> (Severity, Vec<String>) {
        let postfix = Postfix::parse(&format!("smtpd_milters = {list}\n"), MASTER, "");
        let uses = Use::all(&postfix, &Config::default());
        let mut report = DoctorReport::default();
        check(&mut report, &uses[service], others);
        let fixes = report.findings().iter().flat_map(|f| f.fix.clone());
        (report.worst(), fixes.collect())
    }

    #[test]
    fn scanners_and_verifiers_stand_before_and_signers_after() {
        use Severity::{Error, Ok, Unknown, Warning};
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
            assert_eq!(found(&list, service, &Others::default()).0, level, "{list}");
        }
    }

    #[test]
    fn what_other_milters_are_told_counts() {
        let only_verifies = Others {
            opendkim: Some((false, true)),
            ..Others::default()
        };
        let list = format!("local:opendkim/opendkim.sock, {US}");
        assert_eq!(found(&list, 1, &only_verifies).0, Severity::Ok);
        // The configuration of OpenDKIM tells nothing about a milter that signs by DKIM2.
        let list = format!("unix:/run/dkim2-milter/milter.sock, {US}");
        assert_eq!(found(&list, 1, &only_verifies).0, Severity::Error);
    }

    /// A Debian with rspamd, as `rspamadm configdump -j` prints it.
    fn rspamd(signing: &str, scanner: &str, signer: bool) -> Others {
        let signer = if signer {
            r#", {"rspamd_proxy": {"milter": true, "bind_socket": "127.0.0.1:11331",
                "upstream": {"local": {"self_scan": true, "settings_id": "sign"}}}}"#
        } else {
            ""
        };
        Others::with_rspamd(&format!(
            r#"{{"dkim_signing": {signing}, "antivirus": {scanner},
               "settings": [{{}}, {{"sign": {{"id": "sign", "apply": {{"symbols_enabled": ["DKIM_SIGNED"]}}}}}}],
               "worker": [{{"rspamd_proxy": {{"milter": true, "bind_socket": "127.0.0.1:11332",
                   "upstream": {{"local": {{"self_scan": true}}}}}}}}{signer}]}}"#
        ))
    }

    #[test]
    fn one_that_scans_and_signs_has_no_right_place_until_it_is_parted() {
        use Severity::{Error, Ok, Unknown, Warning};
        let (signs, silent) = (r#"{"path": "/k/$domain.key"}"#, r#"{"enabled": false}"#);
        let (clamav, no_scanner) = (r#"{"clamav": {"type": "clamav"}}"#, "{}");
        let (rspamd_first, rspamd_last) = ("inet:localhost:11332, US", "US, inet:localhost:11332");
        let chain = "inet:localhost:11332, US, inet:127.0.0.1:11331";
        for (signing, scanner, signer, list, level) in [
            (signs, clamav, false, rspamd_first, Error),
            (signs, clamav, false, rspamd_last, Error),
            (signs, no_scanner, false, rspamd_first, Error),
            (signs, no_scanner, false, rspamd_last, Ok),
            (silent, clamav, false, rspamd_first, Ok),
            (silent, clamav, false, rspamd_last, Error),
            (silent, no_scanner, false, rspamd_last, Error),
            (
                silent,
                clamav,
                false,
                "inet:localhost:11332, US, inet:localhost:8891",
                Ok,
            ),
            (
                signs,
                clamav,
                false,
                "inet:localhost:11332, US, inet:localhost:8891",
                Warning,
            ),
            (signs, clamav, true, chain, Ok),
            (
                signs,
                clamav,
                true,
                "inet:localhost:11332, inet:127.0.0.1:11331, US",
                Error,
            ),
            (
                signs,
                clamav,
                true,
                "US, inet:localhost:11332, inet:127.0.0.1:11331",
                Error,
            ),
            (signs, clamav, true, rspamd_first, Unknown),
            (signs, clamav, false, "inet:192.0.2.1:11332, US", Unknown),
        ] {
            let others = rspamd(signing, scanner, signer);
            let list = list.replace("US", US);
            let (found, fixes) = found(&list, 1, &others);
            assert_eq!(found, level, "{signing} {scanner} {signer} {list}");
            // The printed line never takes the attachments from a scanner.
            for fix in fixes
                .iter()
                .filter(|fix| fix.contains("postconf") && scanner == clamav)
            {
                assert!(fix.find(":11332").unwrap() < fix.find(US).unwrap(), "{fix}");
            }
        }
    }

    #[test]
    fn what_comes_in_is_scanned_before_whether_rspamd_signs_or_not() {
        for signing in [r#"{"path": "/k/$domain.key"}"#, r#"{"enabled": false}"#] {
            let others = rspamd(signing, r#"{"clamav": {"type": "clamav"}}"#, true);
            for (list, level) in [
                (
                    "inet:localhost:11332, US, inet:localhost:11331",
                    Severity::Ok,
                ),
                (
                    "inet:localhost:11332, inet:localhost:11331, US",
                    Severity::Ok,
                ),
                (
                    "US, inet:localhost:11332, inet:localhost:11331",
                    Severity::Error,
                ),
            ] {
                assert_eq!(
                    found(&list.replace("US", US), 0, &others).0,
                    level,
                    "{list}"
                );
            }
        }
    }

    #[test]
    fn the_line_to_type_has_the_right_order() {
        let list = format!("{US}, inet:x:1, inet:localhost:11332, unix:clamav/c.ctl");
        let (_, fixes) = found(&list, 0, &Others::default());
        let right = format!(
            "postconf -e 'smtpd_milters = inet:localhost:11332, unix:clamav/c.ctl, {US}, inet:x:1'"
        );
        assert_eq!(fixes, [right.clone(), right]);
        let (_, fixes) = found(&format!("inet:localhost:8891, {US}"), 1, &Others::default());
        assert_eq!(
            fixes,
            [format!(
                "postconf -P 'submission/inet/smtpd_milters = {US},inet:localhost:8891'"
            )]
        );
    }
}

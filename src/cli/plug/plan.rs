//! The changes to make in Postfix, without making them: pure, from the output of `postconf` and the
//! other milters.

use std::collections::BTreeMap;

use super::super::doctor::{
    entry::{MilterEntry, MilterKind},
    listing::{Use, our_item},
    order::{Demand, demand},
    others::Others,
    postfix::{Postfix, Service},
};
use crate::{config::Config, envelope::Direction};

/// The changes to make.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChangePlan {
    /// The parameters, in the order in which they are set.
    pub(super) changes: Vec<ParameterChange>,
    /// True if rspamd scans and signs at one address, and gets a second one that only signs.
    pub(super) parts_rspamd: bool,
    /// The routes of mail to be tried.
    pub(super) routes: Vec<Route>,
    /// Notes on what is left as it is, with the reason.
    pub(super) remarks: Vec<String>,
}

/// The change of one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ParameterChange {
    /// The service in master.cf; `None` is main.cf.
    pub(super) service: Option<String>,
    /// The parameter's name.
    pub(super) name: &'static str,
    /// The value before; `None` if the service has no value of its own.
    pub(super) before: Option<String>,
    /// The value to set.
    pub(super) after: String,
}

/// A route of mail into Postfix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The name for people.
    pub(super) name: String,
    /// The kind of sender that uses it.
    pub(super) origin: SenderKind,
    /// The milters before the change.
    pub(super) before: String,
    /// The milters after it.
    pub(super) after: String,
    /// Our entry in them.
    pub(super) ours: String,
    /// True if the service runs in a chroot.
    pub(super) chroot: bool,
    /// The service's own settings of milters.
    pub(super) settings: BTreeMap<String, String>,
}

/// The kind of sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SenderKind {
    /// A user who authenticated.
    User,
    /// A program of this machine.
    Machine,
    /// A host outside.
    World,
}

/// A service's list before and after the change.
struct Target<'a> {
    list: Use<'a>,
    now: String,
    then: String,
    ours: Option<String>,
}

impl ChangePlan {
    /// Compares the present configuration with the one that should be. `signer` is the address of
    /// rspamd's second milter, used if its first one signs; `local_list` is `non_smtpd_milters` as it
    /// is written.
    pub(super) fn new(
        postfix: &Postfix,
        config: &Config,
        others: &Others,
        signer: &str,
        local_list: &str,
    ) -> Self {
        let lists = Use::all(postfix, config);
        let mut plan = Self {
            parts_rspamd: lists.iter().any(|list| is_parted(list, others)),
            ..Self::default()
        };
        let filtered = lists.iter().any(|list| has_filter(postfix, list));
        let signer = plan.parts_rspamd.then_some(signer);

        let targets: Vec<_> = lists
            .into_iter()
            .map(|list| {
                let wanted = plan.is_wanted(postfix, config, &list, filtered);
                Target::new(postfix, config, others, list, signer, wanted)
            })
            .collect();

        plan.set_lists(&targets, local_list);
        plan.open_returns(postfix, config, filtered);
        plan.routes = targets.iter().filter_map(Target::route).collect();
        plan
    }

    /// Returns true if mail of this list is for us; remarks on lists that are left alone.
    fn is_wanted(
        &mut self,
        postfix: &Postfix,
        config: &Config,
        list: &Use<'_>,
        filtered: bool,
    ) -> bool {
        if !list.is_treated(config) {
            return false;
        }

        if has_filter(postfix, list) {
            self.remarks.push(format!(
                "{} is left alone: a content filter comes after it, and must see the attachments",
                list.name()
            ));
            return false;
        }

        if list.parameter == "non_smtpd_milters" {
            let others_asked = postfix
                .get("smtpd_milters")
                .is_some_and(|list| !list.trim().is_empty());
            if list.entries.is_empty() && others_asked {
                self.remarks.push(
                    "mail of this machine's own programs is left alone: non_smtpd_milters is empty"
                        .into(),
                );
                return false;
            }
            return true;
        }

        !list.inner || filtered || !list.entries.is_empty()
    }

    fn set_lists(&mut self, targets: &[Target<'_>], local_list: &str) {
        let own = |target: &&Target<'_>| {
            target
                .list
                .service
                .overrides
                .contains_key(target.list.parameter)
        };

        let is_smtpd = |target: &&Target<'_>| target.list.parameter == "smtpd_milters";
        let shared: Vec<_> = targets.iter().filter(|t| is_smtpd(t) && !own(t)).collect();

        // Mail from outside keeps the line of main.cf; each service that differs gets a line of its own.
        let main = shared
            .iter()
            .find(|target| target.list.flow == Direction::Incoming)
            .or(shared.first());
        if let Some(main) = main {
            self.set(None, "smtpd_milters", Some(&main.now), &main.then);
        }

        for target in &shared {
            if main.is_some_and(|main| main.then != target.then) {
                self.set(
                    Some(&target.list.service.id),
                    "smtpd_milters",
                    None,
                    &target.then,
                );
            }
        }

        for target in targets.iter().filter(|t| is_smtpd(t) && own(t)) {
            self.set(
                Some(&target.list.service.id),
                "smtpd_milters",
                Some(&target.now),
                &target.then,
            );
        }

        for target in targets.iter().filter(|target| !is_smtpd(target)) {
            let follows = local_list.trim() == "$smtpd_milters"
                && main.is_some_and(|main| main.then == target.then);
            let service = own(&target).then_some(target.list.service.id.as_str());
            if !follows || service.is_some() {
                let before =
                    if main.is_some_and(|main| main.then != main.now) && local_list.contains('$') {
                        // The value would change along with the other parameter.
                        local_list
                    } else {
                        &target.now
                    };
                self.set(service, "non_smtpd_milters", Some(before), &target.then);
            }
        }
    }

    /// Makes services ask milters to which a content filter returns mail and that ask none.
    fn open_returns(&mut self, postfix: &Postfix, config: &Config, filtered: bool) {
        let name = "receive_override_options";
        let closed = postfix.smtpd().filter(|service| {
            service.is_inner()
                && service
                    .overrides
                    .get(name)
                    .is_some_and(|value| value.contains("no_milters"))
        });

        for service in closed.filter(|_| filtered) {
            let options = &service.overrides[name];
            let words = options
                .split([',', ' '])
                .filter(|word| !word.is_empty() && *word != "no_milters");
            let after = words.collect::<Vec<_>>().join(",");
            self.set(Some(&service.id), name, Some(options), &after);

            let before = service.overrides.get("smtpd_milters").cloned();
            self.set(
                Some(&service.id),
                "smtpd_milters",
                before.as_deref(),
                &our_item(postfix, config),
            );
        }
    }

    fn set(
        &mut self,
        service: Option<&str>,
        name: &'static str,
        before: Option<&str>,
        after: &str,
    ) {
        if before == Some(after) {
            return;
        }
        self.changes.push(ParameterChange {
            service: service.map(str::to_owned),
            name,
            before: before.map(str::to_owned),
            after: after.to_owned(),
        });
    }
}

impl<'a> Target<'a> {
    fn new(
        postfix: &Postfix,
        config: &Config,
        others: &Others,
        list: Use<'a>,
        signer: Option<&str>,
        wanted: bool,
    ) -> Self {
        let now = joined(list.entries.iter().map(|entry| entry.text.as_str()));
        if !wanted {
            return Self {
                now: now.clone(),
                then: now,
                ours: None,
                list,
            };
        }

        let ours = list
            .our_entry()
            .map_or_else(|| our_item(postfix, config), |entry| entry.text.clone());

        let mut sides: [Vec<&str>; 2] = Default::default();
        for (_, entry) in list
            .entries
            .iter()
            .enumerate()
            .filter(|(index, _)| !list.ours.contains(index))
        {
            let after = matches!(demand(entry, list.flow, others), Demand::After(..))
                && !signs_and_scans(entry, others);
            sides[usize::from(after)].push(&entry.text);
        }

        let [mut before, mut after] = sides;
        before.push(&ours);
        if is_parted(&list, others) {
            after.extend(signer);
        }

        let right = joined(before.iter().chain(&after).copied());
        // A list that is right already keeps its wording.
        let is_right = words(&right) == words(&now);
        Self {
            then: if is_right { now.clone() } else { right },
            now,
            ours: Some(ours),
            list,
        }
    }

    fn route(&self) -> Option<Route> {
        let service = self.list.service;
        let mut settings = service.overrides.clone();
        settings.retain(|name, _| name.starts_with("milter_"));
        Some(Route {
            name: self.list.name(),
            origin: match (self.list.parameter, self.list.flow) {
                ("non_smtpd_milters", _) => SenderKind::Machine,
                (_, Direction::Outgoing) => SenderKind::User,
                (_, Direction::Incoming) => SenderKind::World,
            },
            before: self.now.clone(),
            after: self.then.clone(),
            ours: self.ours.clone()?,
            chroot: service.chroot,
            settings,
        })
    }
}

/// Returns the list without our entries; `None` if it has none.
pub(super) fn without_us(
    postfix: &Postfix,
    config: &Config,
    service: &Service,
    list: &str,
) -> Option<String> {
    let entries = MilterEntry::list(list);
    let is_ours = |entry: &&MilterEntry| entry.is_ours(&config.milter.listen, postfix, service);
    if !entries.iter().any(|entry| is_ours(&entry)) {
        return None;
    }
    let left = entries.iter().filter(|entry| !is_ours(entry));
    Some(joined(left.map(|entry| entry.text.as_str())))
}

/// Returns true if a list has a milter of rspamd that signs what it scans: it gets a second one.
fn is_parted(list: &Use<'_>, others: &Others) -> bool {
    let signer = list
        .entries
        .iter()
        .any(|entry| others.rspamd(entry).only_signs);
    !signer
        && list
            .entries
            .iter()
            .any(|entry| signs_and_scans(entry, others))
}

fn signs_and_scans(entry: &MilterEntry, others: &Others) -> bool {
    let duties = others.rspamd(entry);
    others.kind(entry) == MilterKind::Rspamd && duties.signs == Some(true) && !duties.only_signs
}

/// Returns true if a content filter gets the mail after the milters of this list.
fn has_filter(postfix: &Postfix, list: &Use<'_>) -> bool {
    list.filter(postfix).is_some()
}

fn joined<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn words(list: &str) -> Vec<String> {
    MilterEntry::list(list)
        .into_iter()
        .map(|entry| entry.text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "\
smtp inet n - y - - smtpd
submission inet n - y - - smtpd
127.0.0.1:10025 inet n - y - - smtpd
cleanup unix n - y - 0 cleanup
pickup unix n - y - - pickup
";
    const US: &str = "{ unix:depollueur/milter.sock, default_action=tempfail }";
    const SIGNER: &str = "inet:127.0.0.1:11331";

    fn plan(main: &str, overrides: &str, others: &Others) -> ChangePlan {
        let mut config = Config::default();
        config.milter.listen = "unix:/var/spool/postfix/depollueur/milter.sock"
            .parse()
            .unwrap();
        let main = format!("queue_directory = /var/spool/postfix\n{main}");
        let returned = "127.0.0.1:10025/inet/receive_override_options = no_milters\n";
        let postfix = Postfix::parse(&main, MASTER, &format!("{returned}{overrides}"));
        ChangePlan::new(&postfix, &config, others, SIGNER, "")
    }

    fn set(plan: &ChangePlan) -> Vec<String> {
        let place =
            |change: &ParameterChange| change.service.clone().unwrap_or_else(|| "main".into());
        let shown = plan
            .changes
            .iter()
            .map(|change| format!("{} {} = {}", place(change), change.name, change.after));
        shown.map(|line| line.replace(US, "US")).collect()
    }

    #[test]
    fn each_list_gets_us_after_scanners_and_before_signers() {
        let none = Others::default();
        for (main, overrides, changes) in [
            (
                "",
                "",
                vec!["main smtpd_milters = US", "main non_smtpd_milters = US"],
            ),
            (
                "smtpd_milters = unix:clamav/c.ctl\n",
                "",
                vec!["main smtpd_milters = unix:clamav/c.ctl, US"],
            ),
            // The line of main.cf stays that of mail from outside; submission gets its own.
            (
                "smtpd_milters = inet:localhost:8891\nnon_smtpd_milters = inet:localhost:8891\n",
                "",
                vec![
                    "main smtpd_milters = inet:localhost:8891, US",
                    "submission/inet smtpd_milters = US, inet:localhost:8891",
                    "main non_smtpd_milters = US, inet:localhost:8891",
                ],
            ),
            (
                "smtpd_milters = unix:clamav/c.ctl\n",
                "submission/inet/smtpd_milters = inet:localhost:8891\n",
                vec![
                    "main smtpd_milters = unix:clamav/c.ctl, US",
                    "submission/inet smtpd_milters = US, inet:localhost:8891",
                ],
            ),
            // A list that is right is not touched.
            ("smtpd_milters = unix:depollueur/milter.sock\n", "", vec![]),
            // A content filter sees the attachments first; what it brings back is treated.
            (
                "content_filter = amavis:[127.0.0.1]:10024\n",
                "127.0.0.1:10025/inet/content_filter =\n",
                vec![
                    "127.0.0.1:10025/inet receive_override_options = ",
                    "127.0.0.1:10025/inet smtpd_milters = US",
                ],
            ),
        ] {
            assert_eq!(
                set(&plan(main, overrides, &none)),
                changes,
                "{main}{overrides}"
            );
        }
    }
}

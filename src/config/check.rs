//! Values that are valid alone but not together, and values that are valid but rarely meant.

use std::net::SocketAddr;

use jiff::{Span, SpanRelativeTo, civil::date};

use super::{
    AddressLists, Condition, Config, Directions, ListenAddress, Network, PublicUrl, Rule,
    RuleAction, StoreKind, UserList, value::brief,
};

impl Config {
    /// The key that contradicts another, with the reason; `None` when none does.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        if self.web.listen == self.milter.listen && self.web.listen.tcp().is_none() {
            let listen = &self.web.listen;
            let reason = format!(r#"web.listen = "{listen}": must differ from milter.listen"#);
            return Some(("web.listen", reason));
        }

        let milter = self.milter.listen.tcp().map(|at| ("milter.listen", at));
        let web = self.web.listen.tcp().map(|at| ("web.listen", at));
        let admin = Some(("admin.listen", self.admin.listen));
        let deposit = self.deposit.listen.map(|at| ("deposit.listen", at));
        let of_web = self.admin.web_listen.map(|at| ("admin.web_listen", at));
        let pairs = [
            (of_web, admin),
            (of_web, web),
            (of_web, milter),
            (of_web, deposit),
            (web, admin),
            (milter, web),
            (milter, admin),
            (deposit, web),
            (deposit, admin),
            (milter, deposit),
        ];
        let clashing = pairs.into_iter().find_map(|(left, right)| {
            let ((name, address), (other_name, other)) = (left?, right?);
            let reason = || {
                format!(
                    r#"{name} = "{address}": must differ from {other_name} = "{other}" in its port"#
                )
            };
            clash(address, other).then(|| (name, reason()))
        });

        clashing
            .or_else(|| self.contradiction_of_store())
            .or_else(|| self.contradiction_of_s3())
            .or_else(|| self.contradiction_of_moving())
            .or_else(|| self.contradiction_of_moved_records())
            .or_else(|| self.contradiction_of_jirafeau())
            .or_else(|| self.contradiction_of_drop())
    }

    /// A contradiction about a remote store: it needs an address and a token, and the token must not
    /// cross a network in clear.
    fn contradiction_of_store(&self) -> Option<(&'static str, String)> {
        if !self.uses(StoreKind::Remote) {
            return None;
        }

        let is_usual = self.store.kind == StoreKind::Remote;
        let missing = |key| {
            let wanting = if is_usual {
                "store.kind ="
            } else {
                "a rule with store ="
            };
            let reason = format!(r#"{key} = "": must be set for {wanting} "remote""#);
            Some((key, reason))
        };

        let Some(url) = &self.remote.url else {
            return missing("remote.url");
        };
        if self.remote.token_file.is_none() {
            return missing("remote.token_file");
        }

        let (links, allow_http) = (&self.remote.public_url, self.remote.allow_http);
        let in_clear = |url: &PublicUrl| !url.is_secure() && !url.is_loopback() && !allow_http;
        for (key, url, who) in [
            (
                "remote.url",
                Some(url),
                "whoever reads the network has token and files",
            ),
            (
                "remote.public_url",
                links.as_ref(),
                "whoever reads the network has the files",
            ),
        ] {
            if let Some(url) = url.filter(|url| in_clear(url)) {
                let reason = format!(
                    r#"{key} = "{url}": must be https, or remote.allow_http must be true: {who}"#
                );
                return Some((key, reason));
            }
        }
        None
    }

    /// A contradiction about the drop: browsers decrypt only on pages that nobody can have changed on
    /// the way (Secure Contexts, section 3.1).
    fn contradiction_of_drop(&self) -> Option<(&'static str, String)> {
        let url = &self.web.public_url;
        let secure = url.is_secure() || url.is_loopback();
        (self.drop.end_to_end && !secure).then(|| {
            let reason = format!(
                r#"drop.end_to_end = true: web.public_url = "{url}" must begin with https"#
            );
            ("drop.end_to_end", reason)
        })
    }

    /// Returns true if files go to this store: as a rule, or by one of the rules.
    pub fn uses(&self, kind: StoreKind) -> bool {
        self.store.kind == kind || self.rule.iter().any(|rule| rule.store() == Some(kind))
    }

    /// Returns the time for which a store keeps files, unless a rule says otherwise.
    pub(crate) fn expiry_in(&self, kind: StoreKind) -> Span {
        match kind {
            StoreKind::Jirafeau => self.jirafeau.expiry.span(),
            StoreKind::Embedded | StoreKind::Remote => self.drop.expiry,
        }
    }

    /// Returns true if packages get their records and pages from the drop of this host.
    pub fn uses_drop(&self) -> bool {
        StoreKind::all().any(|kind| kind.is_here() && self.uses(kind))
    }

    /// Returns true if links of this host's drop lead to this machine only, or in clear.
    pub fn has_local_links(&self) -> bool {
        let url = &self.web.public_url;
        self.uses_drop() && (!url.is_secure() || url.is_loopback())
    }

    /// The settings that are allowed but rarely meant, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.warn_of_links(&mut warnings);
        self.warn_of_open_listeners(&mut warnings);
        self.warn_of_thresholds(&mut warnings);
        self.warn_of_rules(&mut warnings);
        self.warn_of_proxies(&mut warnings);
        self.warn_of_lifetime(&mut warnings);
        self.warn_of_room(&mut warnings);
        self.warn_of_strangers(&mut warnings);
        self.warn_of_remote(&mut warnings);
        self.warn_of_records(&mut warnings);
        self.warn_of_s3(&mut warnings);
        self.warn_of_jirafeau(&mut warnings);
        self.warn_of_wishes(&mut warnings);
        self.warn_of_waits(&mut warnings);
        warnings.extend(self.unread.iter().cloned());
        self.warn_of_scan(&mut warnings);
        warnings.extend(self.warnings_of_reports());
        warnings
    }

    fn warn_of_links(&self, warnings: &mut Vec<String>) {
        let url = &self.web.public_url;
        if !self.uses_drop() && self.deposit.listen.is_none() {
            return;
        }
        if url.is_loopback() {
            warnings.push(format!(
                r#"web.public_url = "{url}": links in mail will work on this machine only"#
            ));
        } else if !url.is_secure() {
            warnings.push(format!(
                r#"web.public_url = "{url}": links without https let the network read the files"#
            ));
        }
    }

    /// The faults in the choice of those who are told of readers' reports.
    pub(crate) fn warnings_of_reports(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.uses_drop() && self.deposit.listen.is_none() {
            return warnings;
        }
        if !self.web.has_receiver() {
            warnings.push(
                r#"web.report_to is empty: readers can report content, and nobody is told; write web.report_to = "abuse@…" (depollueur drop audit shows the reports)"#.into(),
            );
        }
        let program = self.web.report_command.first();
        if let Some(program) = program.filter(|program| program.ends_with("/sendmail")) {
            warnings.push(format!(
                r#"web.report_command = ["{program}", …]: the unit's sandbox does not let it write to the mail queue; write web.report_to = "abuse@…" in its place"#
            ));
        }
        warnings
    }

    fn warn_of_open_listeners(&self, warnings: &mut Vec<String>) {
        if let ListenAddress::Tcp(address) = self.milter.listen
            && !address.ip().is_loopback()
        {
            warnings.push(format!(
                r#"milter.listen = "{address}": the milter protocol has no password, whoever reaches this port can fill the drop"#
            ));
        }

        if let Some(deposit) = self.deposit.listen
            && !deposit.ip().is_loopback()
        {
            warnings.push(format!(
                r#"deposit.listen = "{deposit}": it has no TLS of its own; without a proxy that has, the network reads tokens and files"#
            ));
        }

        if self.web.listen.tcp().is_none() && self.web.socket_mode & 0o002 != 0 {
            warnings.push(format!(
                r#"web.socket_mode = "{:04o}": every user of this machine is believed as the proxy is, and can choose the address that he is known by; write "0660""#,
                self.web.socket_mode
            ));
        }

        let admin = [
            ("admin.listen", Some(self.admin.listen)),
            ("admin.web_listen", self.admin.web_listen),
        ];
        for (key, address) in admin {
            if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
                warnings.push(format!(
                    r#"{key} = "{address}": health and metrics can be read without a password"#
                ));
            }
        }
    }

    fn warn_of_rules(&self, warnings: &mut Vec<String>) {
        for (index, rule) in self.rule.iter().enumerate() {
            let before = &self.rule[..index];
            if let Some(first) = before.iter().find(|first| first.covers(rule)) {
                let (label, other) = (&rule.label, &first.label);
                let why = if first.conditions.is_empty() {
                    "has no condition"
                } else {
                    "holds for all that it holds for"
                };
                warnings.push(format!(
                    r#"rule "{label}" is never reached: rule "{other}" before it {why}, and the first that holds decides; put rule "{label}" before rule "{other}", or take it out"#
                ));
            }
        }

        for rule in &self.rule {
            if rule.conditions.is_empty()
                && matches!(rule.action, RuleAction::Reject(_) | RuleAction::Tempfail(_))
            {
                warnings.push(format!(
                    r#"rule "{}" refuses all mail, for it has no condition: give it one, such as sender = "@example.org""#,
                    rule.label
                ));
            }
            if let Some(why) = self.useless(rule) {
                warnings.push(format!(
                    r#"rule "{}" never does anything: {why}"#,
                    rule.label
                ));
            }
        }
    }

    /// The reason why a rule can do nothing; `None` when it can do something.
    fn useless(&self, rule: &Rule) -> Option<String> {
        let is_elsewhere = |condition: &Condition| match condition {
            Condition::Direction(wanted) => {
                self.detach.directions != Directions::Both
                    && *wanted != Directions::Both
                    && *wanted != self.detach.directions
            }
            _ => false,
        };

        if rule.conditions.iter().any(is_elsewhere) {
            return Some("mail of its direction is not treated (detach.directions)".into());
        }

        let RuleAction::Detach(terms) = &rule.action else {
            return None;
        };

        let threshold = terms.threshold.unwrap_or(self.detach.threshold);
        let sum = terms
            .message_threshold
            .unwrap_or(self.detach.message_threshold);

        rule.conditions
            .iter()
            .find_map(|condition| match condition {
                Condition::SizeMax(max) if *max < threshold && sum.is_none() => Some(format!(
                    "its size_max is below its threshold ({threshold} bytes)"
                )),
                _ => None,
            })
    }

    /// The size of the smallest file that goes, unless its sender asks for it.
    fn least(&self) -> u64 {
        let detach = &self.detach;
        let of_rules = self.rule.iter().filter_map(|rule| match &rule.action {
            RuleAction::Detach(terms) => Some([terms.threshold, terms.message_threshold.flatten()]),
            _ => None,
        });
        let all = [Some(detach.threshold), detach.message_threshold];
        let least = of_rules.flatten().chain(all).flatten().min();
        least.unwrap_or(detach.threshold)
    }

    /// Warns of bounds into which no file fits that is detached.
    fn warn_of_room(&self, warnings: &mut Vec<String>) {
        let least = self.least();
        let (deposit, quota) = (&self.deposit, &self.quota);
        let listens = deposit.listen.is_some();
        let of_strangers = |room: Option<u64>| room.filter(|_| self.takes_from_strangers());

        for (key, room) in [
            ("quota.total", self.quota.total),
            ("quota.sender_per_day", self.quota.sender_per_day),
            (
                "quota.incoming_client_per_day",
                of_strangers(quota.incoming_client_per_day),
            ),
            (
                "quota.incoming_per_day",
                of_strangers(quota.incoming_per_day),
            ),
            (
                "deposit.file_bytes_max",
                listens.then_some(deposit.file_bytes_max),
            ),
        ] {
            if let Some(room) = room.filter(|room| *room < least) {
                warnings.push(format!(
                    "{key} ({room} bytes) is below the size from which files are detached ({least} bytes, detach.threshold): none of them fits; write a larger one"
                ));
            }
        }

        if listens && deposit.draft_bytes_max < deposit.file_bytes_max {
            warnings.push(format!(
                "deposit.draft_bytes_max ({} bytes) is below deposit.file_bytes_max ({} bytes): a file of that size never fits; write a larger one",
                deposit.draft_bytes_max, deposit.file_bytes_max
            ));
        }
    }

    /// Returns true if mail from outside goes into the drop of this host.
    fn takes_from_strangers(&self) -> bool {
        self.detach.directions != Directions::Outgoing && self.uses_drop()
    }

    fn warn_of_strangers(&self, warnings: &mut Vec<String>) {
        let quota = &self.quota;
        if !self.takes_from_strangers() {
            return;
        }
        match (quota.incoming_client_per_day, quota.incoming_per_day) {
            (_, None) => warnings.push(
                r#"quota.incoming_per_day = "off": mail from outside is treated (detach.directions), so that strangers can fill the drop; write a size such as "10 GB", or detach.directions = "outgoing""#.into(),
            ),
            (Some(client), Some(all)) if client > all => warnings.push(format!(
                "quota.incoming_client_per_day ({client} bytes) is above quota.incoming_per_day ({all} bytes): one stranger can take all that there is for strangers; write a smaller one"
            )),
            _ => {}
        }
    }

    fn warn_of_remote(&self, warnings: &mut Vec<String>) {
        let url = self.remote.url.as_ref().map_or("", PublicUrl::as_str);
        if !url.is_empty() && !self.uses(StoreKind::Remote) {
            warnings.push(format!(
                r#"remote.url = "{url}": nothing goes there; write store.kind = "remote", or store = "remote" in a rule"#
            ));
        }
        if self.uses(StoreKind::Remote) && self.remote.public_url.is_none() {
            warnings.push(format!(
                r#"remote.public_url is empty: whoever has taken over the host of remote.url = "{url}" can put any https address into mail; write remote.public_url = "https://…/", the web.public_url of that host"#
            ));
        }
    }

    /// Warns of tags and addresses that ask for both: it stays, and it goes.
    fn warn_of_wishes(&self, warnings: &mut Vec<String>) {
        let sender = &self.sender;
        let fold =
            |list: &[String]| -> Vec<String> { list.iter().map(|one| super::fold(one)).collect() };

        for (keys, keep, detach) in [
            ("tags", fold(&sender.keep_tags), fold(&sender.detach_tags)),
            (
                "addresses",
                fold(sender.keep_addresses.written()),
                fold(sender.detach_addresses.written()),
            ),
        ] {
            if let Some(both) = keep.iter().find(|one| detach.contains(one)) {
                warnings.push(format!(
                    "sender.keep_{keys} and sender.detach_{keys} both have \"{both}\": take it out of one of them"
                ));
            }
        }

        let users = &self.users;
        if let (Some(opt_in), Some(opt_out)) = (&users.opt_in, &users.opt_out)
            && let Some(both) = opt_in.shared(opt_out)
        {
            warnings.push(format!(
                "users.opt_in and users.opt_out both have \"{both}\": take it out of one of them"
            ));
        }
    }

    fn warn_of_waits(&self, warnings: &mut Vec<String>) {
        let (deadline, lookup) = (self.milter.deadline, self.lookup.timeout);
        if lookup >= deadline {
            warnings.push(format!(
                "lookup.timeout ({}) is not below milter.deadline ({}): a slow table takes all the time that a message has; write a shorter one",
                brief(lookup),
                brief(deadline)
            ));
        }
        if matches!(self.milter.listen, ListenAddress::Unix(_))
            && self.milter.socket_mode & 0o022 == 0
        {
            warnings.push(format!(
                r#"milter.socket_mode = "{:04o}": nobody but the daemon's user may write to the socket, so that Postfix cannot; write "0660" or "0666""#,
                self.milter.socket_mode
            ));
        }
    }

    fn warn_of_proxies(&self, warnings: &mut Vec<String>) {
        let everybody = |net: &&Network| net.prefix == 0;
        if let Some(net) = self.web.trusted_proxies.iter().find(everybody) {
            warnings.push(format!(
                r#"web.trusted_proxies has "{net}": every client can choose the address that it is known by"#
            ));
        }
    }

    /// Warns of a list without a line, which does the opposite of what its name promises.
    pub(crate) fn warnings_of_users(&self, lists: &AddressLists) -> Vec<String> {
        let users = &self.users;
        let mut warnings = Vec::new();
        for (key, list, whose) in [
            ("users.opt_in", &users.opt_in, "nobody's"),
            ("users.opt_out", &users.opt_out, "everybody's"),
        ] {
            let mut files = list.iter().flat_map(UserList::files);
            if let Some(file) = files.find(|file| lists.is_empty(file)) {
                let path = file.path().display();
                warnings.push(format!(
                    r#"{key} = "{path}": nobody stands in it: by it alone, {whose} mail is treated"#
                ));
            }
        }
        warnings
    }

    /// Warns of a scan that cannot work as configured. The daemon that keeps the files has them scanned.
    fn warn_of_scan(&self, warnings: &mut Vec<String>) {
        let (scan, deadline) = (&self.scan, self.milter.deadline);
        if scan.clamd.is_empty() {
            return;
        }
        if !self.uses_drop() && self.deposit.listen.is_none() {
            warnings.push(
                r#"scan.clamd is set, and nothing goes into the drop of this host: write it into the configuration of the host of remote.url, which scans what it keeps"#.into(),
            );
        }
        if scan.timeout >= deadline {
            warnings.push(format!(
                "scan.timeout ({}) is not below milter.deadline ({}): when clamd hangs, detach.on_failure decides and not scan.on_failure",
                brief(scan.timeout),
                brief(deadline)
            ));
        }
    }

    fn warn_of_lifetime(&self, warnings: &mut Vec<String>) {
        let drop = &self.drop;
        let total = (&drop.lifetime_max, SpanRelativeTo::from(date(2026, 1, 1)));
        let longer = drop.expiry.compare(total).is_ok_and(|order| order.is_ge());
        if drop.extension.is_some() && longer {
            warnings.push(format!(
                "drop.lifetime_max ({:#}) is not above drop.expiry ({:#}): readers cannot extend",
                drop.lifetime_max, drop.expiry
            ));
        }
    }

    fn warn_of_thresholds(&self, warnings: &mut Vec<String>) {
        let threshold = self.detach.threshold;
        if let Some(sum) = self.detach.message_threshold
            && sum < threshold
        {
            warnings.push(format!(
                "detach.message_threshold ({sum} bytes) is below detach.threshold ({threshold} bytes): the smaller one decides alone"
            ));
        }
        if threshold == 0 {
            warnings.push("detach.threshold is 0: every attachment is detached".into());
        }
    }
}

/// Returns true if both cannot be bound; port 0 never clashes.
fn clash(left: SocketAddr, right: SocketAddr) -> bool {
    let same_ip = left.ip() == right.ip();
    let any = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (same_ip || any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_local_without_https_or_without_a_host_and_never_those_of_another_drop() {
        let mut config = Config::default();
        for (url, local) in [
            ("http://127.0.0.1:8025/", true),
            ("https://127.0.0.1/", true),
            ("https://[::1]/", true),
            ("https://localhost/", true),
            ("http://drop.example.org/", true),
            ("https://drop.example.org/", false),
        ] {
            config.web.public_url = url.parse().unwrap();
            assert_eq!(config.has_local_links(), local, "{url}");
        }
        config.web.public_url = "http://127.0.0.1:8025/".parse().unwrap();
        config.store.kind = StoreKind::Remote;
        assert!(!config.has_local_links());
    }

    #[test]
    fn listeners_on_one_port_contradict_each_other() {
        let mut config = Config::default();
        assert_eq!(config.contradiction(), None);
        config.admin.listen = "0.0.0.0:8025".parse().unwrap();
        assert_eq!(config.contradiction().unwrap().0, "web.listen");
        config.admin.listen = "127.0.0.2:8025".parse().unwrap();
        assert_eq!(config.contradiction(), None);
        config.admin.web_listen = Some(config.admin.listen);
        assert_eq!(config.contradiction().unwrap().0, "admin.web_listen");
        config.admin.web_listen = None;
        config.milter.listen = config.web.listen.clone();
        assert_eq!(config.contradiction().unwrap().0, "milter.listen");
    }

    #[test]
    fn port_zero_never_clashes() {
        let mut config = Config::default();
        config.web.listen = "127.0.0.1:0".parse().unwrap();
        config.admin.listen = config.web.listen.tcp().unwrap();
        assert_eq!(config.contradiction(), None);
    }

    #[test]
    fn a_remote_store_needs_an_address_and_a_token() {
        let mut config = Config::default();
        config.store.kind = StoreKind::Remote;
        assert_eq!(config.contradiction().unwrap().0, "remote.url");
        config.remote.url = "https://drop.example.org/".parse().ok();
        assert_eq!(config.contradiction().unwrap().0, "remote.token_file");
        config.remote.token_file = Some("/etc/depollueur/token".into());
        assert_eq!(config.contradiction(), None);
        config.remote.public_url = "https://drop.example.org/".parse().ok();
        assert_eq!(config.warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_token_crosses_no_network_in_clear_unless_that_is_wanted() {
        let mut config = Config::default();
        config.store.kind = StoreKind::Remote;
        config.remote.token_file = Some("/etc/depollueur/token".into());
        config.remote.url = "http://[::1]:8027/".parse().ok();
        assert_eq!(config.contradiction(), None);
        config.remote.url = "http://drop.example.org/".parse().ok();
        assert_eq!(config.contradiction().unwrap().0, "remote.url");
        config.remote.allow_http = true;
        assert_eq!(config.contradiction(), None);
    }

    #[test]
    fn links_of_a_remote_store_are_pinned_to_https() {
        let mut config = Config::default();
        config.store.kind = StoreKind::Remote;
        config.remote.url = "https://deposit.example.org/".parse().ok();
        config.remote.token_file = Some("/etc/depollueur/token".into());
        assert!(
            config
                .warnings()
                .join(" ")
                .contains("remote.public_url is empty")
        );
        config.remote.public_url = "http://drop.example.org/".parse().ok();
        assert_eq!(config.contradiction().unwrap().0, "remote.public_url");
        config.remote.allow_http = true;
        assert_eq!(config.contradiction(), None);
        config.remote.allow_http = false;
        config.remote.public_url = "https://drop.example.org/".parse().ok();
        assert_eq!(config.contradiction(), None);
        assert!(!config.warnings().join(" ").contains("remote.public_url"));
    }

    #[test]
    fn a_sound_configuration_has_no_warnings() {
        let mut config = Config::default();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        assert_eq!(config.warnings().len(), 1);
        config.web.public_url = "https://drop.example.org/".parse().unwrap();
        assert_eq!(config.warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_scan_that_does_nothing_or_comes_too_late_is_warned_of() {
        let mut config = Config::default();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        config.web.public_url = "https://drop.example.org/".parse().unwrap();
        config.scan.clamd = vec!["/run/clamav/clamd.ctl".parse().unwrap()];
        assert_eq!(config.warnings(), Vec::<String>::new());
        config.scan.timeout = config.milter.deadline;
        assert!(config.warnings()[0].contains("scan.timeout (30s)"));
        config.scan.timeout = std::time::Duration::from_secs(29);
        config.store.kind = StoreKind::Remote;
        config.remote.public_url = "https://drop.example.org/".parse().ok();
        assert!(config.warnings()[0].contains("remote.url"));
        config.deposit.listen = Some("127.0.0.1:8027".parse().unwrap());
        assert!(!config.warnings().join(" ").contains("scan."));
    }

    #[test]
    fn reports_that_reach_nobody_are_warned_of() {
        let mut config = Config::default();
        let warned = |config: &Config| config.warnings_of_reports().join("\n");
        assert!(warned(&config).contains("web.report_to is empty"));
        config.web.report_command = vec!["/usr/local/bin/ticket".into()];
        assert_eq!(warned(&config), "");
        config.web.report_command = vec!["/usr/sbin/sendmail".into(), "-t".into()];
        assert!(warned(&config).contains("sandbox"));
        config.web.report_command.clear();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        assert_eq!(warned(&config), "");
        config.web.report_to.clear();
        config.store.kind = StoreKind::Remote;
        assert_eq!(warned(&config), "", "its readers are those of another host");
    }

    #[test]
    fn a_rule_behind_one_that_holds_for_all_of_its_mail_is_never_reached() {
        for (first, second, is_reached) in [
            ("", "list = true", false),
            ("list = true", "list = true\nbulk = true", false),
            ("list = true", "bulk = true", true),
            ("list = true\nbulk = true", "list = true", true),
            ("sender = ['@a.b', 'c@d.e']", "sender = 'c@d.e'", false),
            ("sender = '@a.b'", "sender = ['@a.b', 'c@d.e']", true),
            (
                "extension = 'pdf'",
                "extension = 'pdf'\nsize_min = '9 MB'",
                false,
            ),
            ("size_min = '1 MB'", "size_min = '9 MB'", true),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            let text = format!(
                "[[rule]]\naction = 'keep'\n{first}\n[[rule]]\nretention = '1 day'\n{second}\n"
            );
            std::fs::write(file.path(), text).unwrap();
            let sources = super::super::Sources {
                file: Some(file.path().into()),
                ..super::super::Sources::default()
            };
            let warned = Config::load(&sources).unwrap().warnings().join("\n");
            assert_eq!(
                warned.contains("is never reached"),
                !is_reached,
                "{first} {second}: {warned}"
            );
        }
    }

    #[test]
    fn what_takes_no_file_or_contradicts_itself_is_warned_of() {
        let load = |settings: &[&str]| {
            let sound = [
                "web.public_url=https://a.example/",
                "web.report_to=abuse@a.example",
            ];
            let all = sound.iter().chain(settings);
            let sources = super::super::Sources {
                settings: all.map(|setting| (*setting).to_owned()).collect(),
                ..super::super::Sources::default()
            };
            Config::load(&sources).unwrap().warnings()
        };
        for (settings, said) in [
            (
                &["quota.total=499999"][..],
                "quota.total (499999 bytes) is below",
            ),
            (&["quota.total=500000"], ""),
            (
                &["quota.total=499999", "detach.message_threshold=499999"],
                "detach.message_threshold",
            ),
            (
                &["quota.sender_per_day=1 kB"],
                "quota.sender_per_day (1000 bytes)",
            ),
            (
                &["quota.incoming_client_per_day=1 kB"],
                "quota.incoming_client_per_day (1000 bytes)",
            ),
            (
                &["quota.incoming_per_day=off"],
                "strangers can fill the drop",
            ),
            (
                &["quota.incoming_client_per_day=11 GB"],
                "one stranger can take all",
            ),
            (&["quota.incoming_client_per_day=off"], ""),
            (
                &["quota.incoming_per_day=off", "detach.directions=outgoing"],
                "",
            ),
            (&["deposit.file_bytes_max=1 kB"], ""),
            (
                &["deposit.file_bytes_max=1 kB", "deposit.listen=127.0.0.1:1"],
                "deposit.file_bytes_max (1000 bytes)",
            ),
            (
                &["deposit.draft_bytes_max=1 GB", "deposit.listen=127.0.0.1:1"],
                "deposit.draft_bytes_max (1000000000 bytes)",
            ),
            (&["remote.url=https://b.example/"], "nothing goes there"),
            (
                &[
                    "remote.url=https://b.example/",
                    "remote.token_file=/t",
                    "store.kind=remote",
                ],
                "remote.public_url is empty",
            ),
            (
                &[
                    "remote.url=https://b.example/",
                    "remote.public_url=https://c.example/",
                    "remote.token_file=/t",
                    "store.kind=remote",
                ],
                "",
            ),
            (
                &["sender.keep_tags=[\"[A]\"]", "sender.detach_tags=[\"[a]\"]"],
                "both have \"[a]\"",
            ),
            (
                &[
                    "sender.keep_addresses=a@b.c",
                    "sender.detach_addresses=A@b.c",
                ],
                "both have \"a@b.c\"",
            ),
            (
                &["users.opt_in=hash:/t", "users.opt_out=hash:/t"],
                "both have \"hash:/t\"",
            ),
            (&["users.opt_in=hash:/t", "users.opt_out=hash:/u"], ""),
            (
                &["lookup.timeout=30 s"],
                "lookup.timeout (30s) is not below",
            ),
            (
                &["milter.socket_mode=0600"],
                "milter.socket_mode = \"0600\"",
            ),
        ] {
            let warned = load(settings).join("\n");
            assert!(
                warned.contains(said) && warned.is_empty() == said.is_empty(),
                "{settings:?}: {warned}"
            );
        }
    }

    #[test]
    fn each_rarely_meant_value_is_warned_of() {
        let mut config = Config::default();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        config.web.public_url = "http://drop.example.org/".parse().unwrap();
        config.milter.listen = ListenAddress::Tcp("0.0.0.0:8895".parse().unwrap());
        config.admin.listen = "[::]:8026".parse().unwrap();
        config.deposit.listen = Some("0.0.0.0:8027".parse().unwrap());
        config.detach.message_threshold = Some(1);
        assert_eq!(config.warnings().len(), 5);
        config.detach.threshold = 0;
        assert_eq!(config.warnings().len(), 5);
        config.web.trusted_proxies = vec!["0.0.0.0/0".parse().unwrap()];
        assert_eq!(config.warnings().len(), 6);
        config.web.trusted_proxies.clear();
        config.drop.lifetime_max = config.drop.expiry;
        assert_eq!(config.warnings().len(), 6);
        config.drop.extension = None;
        assert_eq!(config.warnings().len(), 5);
    }
}

//! Values that are valid alone but not together, and values that are valid but rarely meant.

use std::net::{IpAddr, SocketAddr};

use axum::http::Uri;
use jiff::{SpanRelativeTo, civil::date};

use super::{
    Action, Condition, Config, Directions, MilterAddress, Network, Rule, StoreKind, UserList,
};

impl Config {
    /// Says which key contradicts another, and why; `None` when nothing does.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        let milter = match &self.milter.listen {
            MilterAddress::Tcp(address) => Some(("milter.listen", *address)),
            MilterAddress::Unix(_) => None,
        };
        let web = Some(("web.listen", self.web.listen));
        let admin = Some(("admin.listen", self.admin.listen));
        let deposit = self.deposit.listen.map(|at| ("deposit.listen", at));
        let pairs = [
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
            .or_else(|| self.contradiction_of_drop())
    }

    /// A remote store needs an address and a token, and the token must not cross a network in clear.
    fn contradiction_of_store(&self) -> Option<(&'static str, String)> {
        if !self.uses(StoreKind::Remote) {
            return None;
        }
        let url = &self.remote.url;
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
        if url.is_empty() {
            return missing("remote.url");
        }
        if self.remote.token_file.is_none() {
            return missing("remote.token_file");
        }
        let in_clear = url.starts_with("http:") && !is_loopback(url) && !self.remote.allow_http;
        in_clear.then(|| {
            let reason = format!(
                r#"remote.url = "{url}": must be https, or remote.allow_http must be true: whoever reads the network has token and files"#
            );
            ("remote.url", reason)
        })
    }

    /// Browsers decrypt on pages only that nobody can have changed on the way (Secure Contexts,
    /// section 3.1).
    fn contradiction_of_drop(&self) -> Option<(&'static str, String)> {
        let url = &self.web.public_url;
        let secure = url.starts_with("https:") || is_loopback(url);
        (self.drop.end_to_end && !secure).then(|| {
            let reason = format!(
                r#"drop.end_to_end = true: web.public_url = "{url}" must begin with https"#
            );
            ("drop.end_to_end", reason)
        })
    }

    /// Whether files go to this store: as a rule, or by one of the rules.
    pub fn uses(&self, kind: StoreKind) -> bool {
        self.store.kind == kind || self.rule.iter().any(|rule| rule.store() == Some(kind))
    }

    /// Whether links of this host's drop lead to this machine only, or in clear.
    pub fn has_local_links(&self) -> bool {
        let url = &self.web.public_url;
        self.uses(StoreKind::Embedded) && (url.starts_with("http:") || is_loopback(url))
    }

    /// What is allowed but rarely meant, one line each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.warn_of_links(&mut warnings);
        self.warn_of_open_listeners(&mut warnings);
        self.warn_of_thresholds(&mut warnings);
        self.warn_of_rules(&mut warnings);
        self.warn_of_proxies(&mut warnings);
        self.warn_of_lifetime(&mut warnings);
        self.warn_of_users(&mut warnings);
        warnings.extend(self.warnings_of_reports());
        warnings
    }

    fn warn_of_links(&self, warnings: &mut Vec<String>) {
        let url = &self.web.public_url;
        if !self.uses(StoreKind::Embedded) && self.deposit.listen.is_none() {
            return;
        }
        if is_loopback(url) {
            warnings.push(format!(
                r#"web.public_url = "{url}": links in mail will work on this machine only"#
            ));
        } else if url.starts_with("http:") {
            warnings.push(format!(
                r#"web.public_url = "{url}": links without https let the network read the files"#
            ));
        }
    }

    /// What is wrong with who is told of readers' reports.
    pub(crate) fn warnings_of_reports(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.uses(StoreKind::Embedded) && self.deposit.listen.is_none() {
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
        if let MilterAddress::Tcp(address) = self.milter.listen
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
        let admin = self.admin.listen;
        if !admin.ip().is_loopback() {
            warnings.push(format!(
                r#"admin.listen = "{admin}": health and metrics can be read without a password"#
            ));
        }
    }

    fn warn_of_rules(&self, warnings: &mut Vec<String>) {
        let last = self.rule.iter().find(|rule| rule.conditions.is_empty());
        let is_last = |rule: &Rule| last.is_some_and(|last| last.label == rule.label);
        for rule in self.rule.iter().skip_while(|rule| !is_last(rule)).skip(1) {
            let (label, before) = (&rule.label, last.map_or("", |last| &last.label));
            warnings.push(format!(
                r#"rule "{label}" is never reached: rule "{before}" before it has no condition"#
            ));
        }
        for rule in &self.rule {
            if rule.conditions.is_empty()
                && matches!(rule.action, Action::Reject(_) | Action::Tempfail(_))
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

    /// Why a rule can do nothing.
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
        let Action::Detach(terms) = &rule.action else {
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

    fn warn_of_proxies(&self, warnings: &mut Vec<String>) {
        let everybody = |net: &&Network| net.prefix == 0;
        if let Some(net) = self.web.trusted_proxies.iter().find(everybody) {
            warnings.push(format!(
                r#"web.trusted_proxies has "{net}": every client can choose the address that it is known by"#
            ));
        }
    }

    /// A file without a line does the opposite of what its name promises.
    fn warn_of_users(&self, warnings: &mut Vec<String>) {
        let users = &self.users;
        for (key, list, whose) in [
            ("users.opt_in", &users.opt_in, "nobody's"),
            ("users.opt_out", &users.opt_out, "everybody's"),
        ] {
            if let Some(file) = list.as_ref().and_then(UserList::empty_file) {
                let path = file.path().display();
                warnings.push(format!(
                    r#"{key} = "{path}": nobody stands in it: by it alone, {whose} mail is treated"#
                ));
            }
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

/// True when both cannot be bound; port 0 never clashes.
fn clash(left: SocketAddr, right: SocketAddr) -> bool {
    let same_ip = left.ip() == right.ip();
    let any = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (same_ip || any)
}

fn is_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
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
            config.web.public_url = url.into();
            assert_eq!(config.has_local_links(), local, "{url}");
        }
        config.web.public_url = "http://127.0.0.1:8025/".into();
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
        config.milter.listen = MilterAddress::Tcp(config.web.listen);
        assert_eq!(config.contradiction().unwrap().0, "milter.listen");
    }

    #[test]
    fn port_zero_never_clashes() {
        let mut config = Config::default();
        config.web.listen = "127.0.0.1:0".parse().unwrap();
        config.admin.listen = config.web.listen;
        assert_eq!(config.contradiction(), None);
    }

    #[test]
    fn a_remote_store_needs_an_address_and_a_token() {
        let mut config = Config::default();
        config.store.kind = StoreKind::Remote;
        assert_eq!(config.contradiction().unwrap().0, "remote.url");
        config.remote.url = "https://drop.example.org/".into();
        assert_eq!(config.contradiction().unwrap().0, "remote.token_file");
        config.remote.token_file = Some("/etc/depollueur/token".into());
        assert_eq!(config.contradiction(), None);
        assert_eq!(config.warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_token_crosses_no_network_in_clear_unless_that_is_wanted() {
        let mut config = Config::default();
        config.store.kind = StoreKind::Remote;
        config.remote.token_file = Some("/etc/depollueur/token".into());
        config.remote.url = "http://[::1]:8027/".into();
        assert_eq!(config.contradiction(), None);
        config.remote.url = "http://drop.example.org/".into();
        assert_eq!(config.contradiction().unwrap().0, "remote.url");
        config.remote.allow_http = true;
        assert_eq!(config.contradiction(), None);
    }

    #[test]
    fn a_sound_configuration_has_no_warnings() {
        let mut config = Config::default();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        assert_eq!(config.warnings().len(), 1);
        config.web.public_url = "https://drop.example.org/".into();
        assert_eq!(config.warnings(), Vec::<String>::new());
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
    fn each_rarely_meant_value_is_warned_of() {
        let mut config = Config::default();
        config.web.report_to = vec!["abuse@example.org".parse().unwrap()];
        config.web.public_url = "http://drop.example.org/".into();
        config.milter.listen = MilterAddress::Tcp("0.0.0.0:8895".parse().unwrap());
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

//! `[jirafeau]`: the Jirafeau that keeps files, and what it cannot do.

use std::{path::PathBuf, time::Duration};

use jiff::{Span, SpanRelativeTo, Unit, civil::date};
use serde::{Deserialize, Serialize};

use super::{
    Config, DropConfig, PublicUrl, Rule, RuleAction, StoreKind,
    public_url::OptionalUrl,
    value::{As, Choice, Flag, OptionalPath, Seconds, Words},
};

/// `[jirafeau]`: the Jirafeau that keeps files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct JirafeauConfig {
    /// Its address, with a final slash: `script.php` lies below it. `None` when there is none.
    #[serde(with = "As::<OptionalUrl>")]
    pub url: Option<PublicUrl>,
    /// The file that holds one of its upload passwords.
    #[serde(with = "As::<OptionalPath>")]
    pub upload_password_file: Option<PathBuf>,
    /// The time for which it keeps files.
    #[serde(with = "As::<Choice<JirafeauExpiry>>")]
    pub expiry: JirafeauExpiry,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(with = "As::<OptionalPath>")]
    pub ca_file: Option<PathBuf>,
    /// True if its address may be one without TLS on another host.
    #[serde(with = "As::<Flag>")]
    pub allow_http: bool,
    /// The time that a connection may take to be made, TLS included.
    #[serde(with = "As::<Seconds<1, 60>>")]
    pub connect_timeout: Duration,
    /// The time for which it may take no byte, and the time that it may take for an answer.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub timeout: Duration,
}

/// The time for which Jirafeau keeps files, as it calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JirafeauExpiry {
    /// 24 hours.
    Day,
    /// 7 days.
    Week,
    /// 14 days.
    Fortnight,
    /// 30 days.
    Month,
    /// 90 days.
    Quarter,
    /// 365 days.
    Year,
}

impl JirafeauExpiry {
    /// Returns Jirafeau's word for it.
    pub(crate) fn word(self) -> &'static str {
        let known = Self::WORDS.iter().find(|(_, expiry)| *expiry == self);
        known.map_or("", |(word, _)| word)
    }

    /// Returns its length, in days of 24 hours.
    pub(crate) fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Fortnight => 14,
            Self::Month => 30,
            Self::Quarter => 90,
            Self::Year => 365,
        }
    }

    /// Returns its length.
    pub(crate) fn span(self) -> Span {
        Span::new().hours(self.days() * 24)
    }
}

impl Config {
    /// A contradiction about Jirafeau: it needs an address, neither password nor files may cross a network in
    /// clear, and browsers have nothing to decrypt there.
    pub(super) fn contradiction_of_jirafeau(&self) -> Option<(&'static str, String)> {
        let Some(url) = &self.jirafeau.url else {
            let reason = r#"jirafeau.url = "": must be set for the store "jirafeau""#.to_owned();
            return self
                .uses(StoreKind::Jirafeau)
                .then_some(("jirafeau.url", reason));
        };
        if !url.is_secure() && !url.is_loopback() && !self.jirafeau.allow_http {
            let reason = format!(
                r#"jirafeau.url = "{url}": must be https, or jirafeau.allow_http must be true: whoever reads the network has password and files"#
            );
            return Some(("jirafeau.url", reason));
        }
        let is_usual = self.store.kind == StoreKind::Jirafeau;
        (is_usual && self.drop.end_to_end).then(|| {
            let reason = r#"drop.end_to_end = true: with store.kind = "jirafeau" nothing is encrypted for browsers: must be false"#;
            ("drop.end_to_end", reason.to_owned())
        })
    }

    /// Warns of what Jirafeau cannot do: it ends files by itself, and never later.
    pub(super) fn warn_of_jirafeau(&self, warnings: &mut Vec<String>) {
        let url = self.jirafeau.url.as_ref().map_or("", PublicUrl::as_str);
        if !self.uses(StoreKind::Jirafeau) {
            return;
        }

        let expiry = self.jirafeau.expiry;
        for rule in self.rule.iter().filter(|rule| self.asks_too_long(rule)) {
            warnings.push(format!(
                "rule \"{}\": its retention is longer than Jirafeau \"{url}\" keeps files (jirafeau.expiry = \"{}\"), so that they end after {} days; write a shorter one",
                rule.label,
                expiry.word(),
                expiry.days()
            ));
        }

        let extension = self.drop.extension.map(Span::fieldwise);
        let usual = DropConfig::default().extension.map(Span::fieldwise);
        let is_usual = self.store.kind == StoreKind::Jirafeau;
        if is_usual && extension.is_some() && extension != usual {
            warnings.push(
                r#"drop.extension is set, and Jirafeau cannot extend: pages of its files offer no more time; write drop.extension = "off""#
                    .into(),
            );
        }
    }

    /// Returns true if a rule wants files at Jirafeau to be kept for longer than that keeps them.
    fn asks_too_long(&self, rule: &Rule) -> bool {
        let RuleAction::Detach(terms) = &rule.action else {
            return false;
        };
        let relative = SpanRelativeTo::from(date(2026, 1, 1));
        let hours = |span: &Span| span.total((Unit::Hour, relative)).unwrap_or(f64::MAX);
        let is_there = rule.store().unwrap_or(self.store.kind) == StoreKind::Jirafeau;
        let kept = hours(&self.jirafeau.expiry.span());
        is_there && terms.retention.is_some_and(|asked| hours(&asked) > kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_jirafeau(change: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config::default();
        config.store.kind = StoreKind::Jirafeau;
        config.web.public_url = "https://drop.example.org/".parse().unwrap();
        config.jirafeau.url = "https://jirafeau.example.org/".parse().ok();
        change(&mut config);
        config
    }

    #[test]
    fn jirafeau_needs_an_address_over_which_no_password_goes_in_clear() {
        let key = |config: &Config| config.contradiction().map(|(key, _)| key);
        let at = |url: &str| at_jirafeau(|config| config.jirafeau.url = url.parse().ok());
        assert_eq!(key(&at("https://jirafeau.example.org/")), None);
        assert_eq!(key(&at("http://[::1]:8080/")), None);
        assert_eq!(key(&at("no address")), Some("jirafeau.url"));
        let mut clear = at("http://jirafeau.example.org/");
        assert_eq!(key(&clear), Some("jirafeau.url"));
        clear.jirafeau.allow_http = true;
        assert_eq!(key(&clear), None);
        let sealed = at_jirafeau(|config| config.drop.end_to_end = true);
        assert_eq!(key(&sealed), Some("drop.end_to_end"));
    }

    #[test]
    fn what_jirafeau_cannot_do_is_said_only_if_it_is_asked_for() {
        let warned = |config: Config| {
            let mut warnings = Vec::new();
            config.warn_of_jirafeau(&mut warnings);
            warnings.join(" ")
        };
        assert_eq!(warned(at_jirafeau(|_| ())), "");
        let longer = at_jirafeau(|config| config.drop.extension = Some(Span::new().weeks(1)));
        assert!(warned(longer).contains("Jirafeau cannot extend"));
        let here = Config {
            drop: DropConfig {
                extension: Some(Span::new().weeks(1)),
                ..DropConfig::default()
            },
            ..Config::default()
        };
        assert_eq!(warned(here), "");
    }

    #[test]
    fn a_month_of_jirafeau_is_thirty_days() {
        assert_eq!(JirafeauExpiry::Month.word(), "month");
        let hours = JirafeauExpiry::Month.span().get_hours();
        assert_eq!(hours, 720);
    }
}

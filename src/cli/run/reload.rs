//! Reads the configuration again while the daemon runs (SIGHUP).
//!
//! A wrong configuration changes nothing. From a right one, settings that are used afresh for each
//! message or request take effect with the next one. Sockets, the drop and limits handed out at the
//! start stay as they are until a restart, and are named in a warning.

use std::sync::Arc;

use axum::{Router, extract::Request};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use tokio::sync::watch;
use toml::{Table, Value};
use tracing::{error, info, warn};

use super::{
    super::ConfigOptions,
    log::Log,
    running::{Differences, Running},
};
use crate::{
    config::{Config, DomainConfigs},
    decisions::Decisions,
    drop::FileDrop,
    filter::{Copies, Filter},
    loaded::Loaded,
    metrics::Metrics,
    store::Stores,
    units::{Part, Service},
    web::{self, Theme, Usage, WebState},
};

/// Keys and whole sections that take effect at a reload. Everything else needs a restart. The table
/// in depollueur.toml(5) says the same.
const RELOADED: &[&str] = &[
    "detach",
    "limits",
    "log.level",
    "lookup",
    "mail",
    "milter.deadline",
    "milter.outgoing_daemons",
    "milter.outgoing_networks",
    "notice",
    "rule",
    "sender",
    "spool",
    "users",
    "web.accent",
    "web.accent_dark",
    "web.contact",
    "web.legal",
    "web.logo",
    "web.max_rate",
    "web.misses_per_minute",
    "web.operator",
    "web.posts_per_minute",
    "web.proxy_header",
    "web.report_command",
    "web.report_format",
    "web.report_to",
    "web.show_sender",
    "web.templates",
];

/// The current configuration, and the values built from it.
#[derive(Debug)]
pub(super) struct Reload {
    options: ConfigOptions,
    config: Arc<Config>,
    made: Components,
    log: Log,
    running: Running,
    /// None without the part that takes mail.
    filter: Option<watch::Sender<Filter>>,
    /// None without the part that has pages.
    pages: Option<watch::Sender<Router>>,
}

/// The values that are created once, at the start.
#[derive(Clone, Debug)]
pub(super) struct Components {
    pub(super) service: Service,
    pub(super) drop: FileDrop,
    pub(super) metrics: Metrics,
    /// None without the part that takes mail.
    pub(super) mail: Option<MailComponents>,
    /// None without the part that has pages.
    pub(super) usage: Option<Usage>,
}

/// Those of the part that takes mail.
#[derive(Clone, Debug)]
pub(super) struct MailComponents {
    pub(super) stores: Stores,
    pub(super) decisions: Option<Decisions>,
    pub(super) copies: Copies,
}

/// The look of pages: the usual one, and those of domains with settings of their own.
#[derive(Debug)]
pub(super) struct Themes {
    usual: Theme,
    domains: Vec<(String, Theme)>,
}

impl Themes {
    /// Reads logos and templates, for a process that has pages. Blocks.
    ///
    /// # Errors
    /// Returns one line if one of them cannot be used.
    pub(super) fn of(service: Service, config: &Config) -> Result<Option<Self>, String> {
        if !service.has(Part::Pages) {
            return Ok(None);
        }
        Ok(Some(Self {
            usual: Theme::load(&config.web).map_err(|why| why.to_string())?,
            domains: Theme::load_domains(config)?,
        }))
    }
}

/// The result of adopting a new configuration.
struct Adopted {
    /// The effective configuration: the new values, but the running ones where a restart is needed.
    config: Config,
    /// The keys that took effect.
    changed: Vec<String>,
    /// The keys that need a restart to take effect.
    held_back: Vec<String>,
}

impl Reload {
    /// Builds everything that a reload can rebuild, for the first time.
    pub(super) fn new(
        options: ConfigOptions,
        (config, loaded): (Config, Loaded),
        themes: Option<Themes>,
        made: Components,
        log: Log,
    ) -> Self {
        let config = Arc::new(config);
        Self {
            running: Running::new(made.service, options.clone(), Arc::clone(&config)),
            options,
            filter: filter(&config, loaded, &made).map(watch::Sender::new),
            pages: pages(&config, themes, &made).map(watch::Sender::new),
            config,
            made,
            log,
        }
    }

    /// Returns the effective configuration.
    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Returns what the daemon tells of its configuration.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// Returns the filter for the next message, if this process takes mail.
    pub(super) fn filter(&self) -> Option<watch::Receiver<Filter>> {
        self.filter.as_ref().map(watch::Sender::subscribe)
    }

    /// Returns the pages for the next request, if this process has them.
    pub(super) fn pages(&self) -> Option<watch::Receiver<Router>> {
        self.pages.as_ref().map(watch::Sender::subscribe)
    }

    /// Reads the configuration again and logs the result.
    pub(super) fn reload(&mut self) {
        let reloaded = self.try_reload();
        let now = Timestamp::now();
        self.made.metrics.reloaded(now, reloaded.is_ok());
        if let Err(reason) = &reloaded {
            error!("configuration not reloaded, the old one stays: {reason}");
        }
        self.running.reloaded(&self.config, reloaded);
    }

    /// Reads the configuration and returns the keys that changed. Every step that can fail precedes
    /// the first change.
    fn try_reload(&mut self) -> Result<Vec<String>, String> {
        let read = self.options.clone().load_with_files();
        let (new, loaded) = read.map_err(|why| why.to_string())?;
        let adopted = adopt(&self.config, &new)?;
        self.stores_are_open(&adopted.config)?;
        let themes = Themes::of(self.made.service, &adopted.config)?;
        let changed = adopted.changed.clone();
        self.take_over(adopted, themes, loaded);
        Ok(changed)
    }

    /// Checks that the stores of all rules are open: a store is opened only at the start.
    fn stores_are_open(&self, config: &Config) -> Result<(), String> {
        let Some(mail) = &self.made.mail else {
            return Ok(());
        };
        for rule in &config.rule {
            let open = mail.stores.get(rule.store());
            open.map_err(|why| format!("rule \"{}\": {why}: restart to open it", rule.label))?;
        }
        Ok(())
    }

    /// Applies the new configuration. The filter is rebuilt even if no key changed: files that the
    /// configuration names may have changed.
    fn take_over(&mut self, adopted: Adopted, themes: Option<Themes>, loaded: Loaded) {
        for warning in loaded.warnings(&adopted.config) {
            warn!("{warning}");
        }

        self.config = Arc::new(adopted.config);
        self.log.reload(&self.config.log);
        let filter = filter(&self.config, loaded, &self.made);
        if let Some((held, filter)) = self.filter.as_ref().zip(filter) {
            held.send_replace(filter);
        }
        let pages = pages(&self.config, themes, &self.made);
        if let Some((held, pages)) = self.pages.as_ref().zip(pages) {
            held.send_modify(|held| *held = pages);
        }

        let name = self.made.service.name();
        for key in &adopted.held_back {
            warn!("{key} has changed, which needs a restart: systemctl restart {name}");
        }
        if !self.config.domains.is_empty() {
            info!(
                domains = self.config.domains.len(),
                "domains with settings of their own"
            );
        }

        match adopted.changed.as_slice() {
            [] => info!("configuration reloaded: no value changed that can change now"),
            keys => info!("configuration reloaded: {} changed", keys.join(", ")),
        }
    }
}

/// Answers each request by the current pages.
pub(super) fn current(pages: watch::Receiver<Router>) -> Router {
    Router::new().fallback(async move |request: Request| {
        let router = pages.borrow().clone();
        TowerToHyperService::new(router).call(request).await
    })
}

fn filter(config: &Arc<Config>, loaded: Loaded, made: &Components) -> Option<Filter> {
    let mail = made.mail.as_ref()?;
    let filter = Filter::new(Arc::clone(config), mail.stores.clone())
        .with_files(loaded)
        .recording(mail.decisions.clone())
        .remembering(made.drop.clone())
        .sharing(mail.copies.clone());
    Some(filter)
}

fn pages(config: &Config, themes: Option<Themes>, made: &Components) -> Option<Router> {
    let (usage, themes) = made.usage.as_ref().zip(themes)?;
    let state = |config: &Config, theme: Theme| WebState {
        drop: made.drop.clone(),
        config: config.web.clone(),
        mail: config.mail.clone(),
        theme,
        zone: config.notice.time_zone.clone(),
        language: config.notice.usual_language(),
        metrics: made.metrics.clone(),
    };
    let own = |(domain, theme): (String, Theme)| Some(state(config.of_domain(&domain)?, theme));
    let others = themes.domains.into_iter().filter_map(own).collect();
    let usual = state(config, themes.usual);
    Some(web::routers(usual, others, usage))
}

/// Returns the keys that a reload would change, and those that need a restart.
pub(super) fn differences(running: &Config, read: &Config) -> Result<Differences, String> {
    let adopted = adopt(running, read)?;
    Ok(Differences {
        error: None,
        reload: adopted.changed,
        restart: adopted.held_back,
    })
}

/// Merges the reloadable values of `read` into the `running` configuration.
fn adopt(running: &Config, read: &Config) -> Result<Adopted, String> {
    let (running, mut adopted) = (table(running)?, table(read)?);
    let (mut changed, mut held_back) = (Vec::new(), Vec::new());

    for key in keys(&running, &adopted) {
        let (old, new) = (get(&running, &key), get(&adopted, &key));
        if old == new {
            continue;
        }
        if is_reloaded(&key) {
            changed.push(key);
        } else {
            set(&mut adopted, &key, old.cloned());
            held_back.push(key);
        }
    }

    let domains = adopt_domains(&adopted, read)?;
    let config: Config = adopted.try_into().map_err(|error| format!("{error}"))?;
    Ok(Adopted {
        config: Config {
            domains,
            // They are no values of the table, and take effect as a whole.
            rule: read.rule.clone(),
            ..config
        },
        changed,
        held_back,
    })
}

/// Returns the configurations of domains: their own values, over those that hold for all.
fn adopt_domains(adopted: &Table, read: &Config) -> Result<DomainConfigs, String> {
    let main = table(read)?;
    let adopt = |(domain, own): (&String, &Arc<Config>)| {
        let (own_table, mut over) = (table(own)?, adopted.clone());
        for key in keys(&main, &own_table) {
            let value = get(&own_table, &key);
            if value != get(&main, &key) {
                set(&mut over, &key, value.cloned());
            }
        }

        let config: Config = over.try_into().map_err(|error| format!("{error}"))?;
        let config = Config {
            rule: own.rule.clone(),
            ..config
        };
        Ok((domain.clone(), Arc::new(config)))
    };

    read.domains.iter().map(adopt).collect()
}

fn is_reloaded(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or(key);
    RELOADED.contains(&key) || RELOADED.contains(&section)
}

fn table(config: &Config) -> Result<Table, String> {
    config
        .to_toml()
        .parse()
        .map_err(|error: toml::de::Error| error.to_string())
}

/// Returns the keys of both tables as `section.key`; a section that is a list counts as one key.
fn keys(left: &Table, right: &Table) -> Vec<String> {
    let mut keys: Vec<String> = [left, right]
        .into_iter()
        .flatten()
        .flat_map(|(section, value)| match value {
            Value::Table(values) => values
                .keys()
                .map(|key| format!("{section}.{key}"))
                .collect(),
            _ => vec![section.clone()],
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, name)) => table.get(section)?.get(name),
        None => table.get(key),
    }
}

fn set(table: &mut Table, key: &str, value: Option<Value>) {
    let (table, name) = match key.split_once('.') {
        Some((section, name)) => match table.get_mut(section) {
            Some(Value::Table(inner)) => (inner, name),
            _ => return,
        },
        None => (table, key),
    };
    match value {
        Some(value) => table.insert(name.to_owned(), value),
        None => table.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_keeps_its_value_and_is_named() {
        let running = Config::default();
        let mut new = Config::default();
        new.web.listen = "127.0.0.1:9".parse().unwrap();
        new.drop.directory = "/elsewhere".into();
        new.detach.threshold = 7;
        new.milter.outgoing_daemons = Vec::new();
        let Adopted {
            config,
            changed,
            held_back,
        } = adopt(&running, &new).unwrap();
        assert_eq!(held_back, ["drop.directory", "web.listen"]);
        assert_eq!(changed, ["detach.threshold", "milter.outgoing_daemons"]);
        assert_eq!(config.web.listen, running.web.listen);
        assert_eq!(config.drop.directory, running.drop.directory);
        assert_eq!(config.detach.threshold, 7);
        assert!(config.milter.outgoing_daemons.is_empty());
    }

    #[test]
    fn lists_in_files_and_rules_hold_after_a_reload() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("out"), "zoe@example.org\n").unwrap();
        let text = format!(
            "[users]\nopt_out = \"{out}\"\n[detach]\nlists = [\"file:{out}\"]\n[[rule]]\nname = \"a\"\naction = \"keep\"\n",
            out = path("out").display()
        );
        std::fs::write(path("toml"), text).unwrap();
        let sources = crate::config::Sources {
            file: Some(path("toml")),
            ..Default::default()
        };
        let read = Config::load(&sources).unwrap();
        let Adopted {
            config, changed, ..
        } = adopt(&Config::default(), &read).unwrap();
        assert_eq!(changed, ["detach.lists", "rule", "users.opt_out"]);
        assert_eq!(config.rule.len(), 1);
        let loaded = Loaded::read(&read).unwrap();
        let (opt_out, lists) = (config.users.opt_out.unwrap(), loaded.addresses());
        assert!(opt_out.has_for("zoe@example.org", crate::config::MailScope::Sent, lists));
        assert!(config.detach.lists.matches("zoe@example.org", lists));
    }

    #[test]
    fn what_a_domain_has_of_its_own_takes_effect_over_what_holds_for_all() {
        let (running, mut read) = (Config::default(), Config::default());
        read.web.listen = "127.0.0.1:9".parse().unwrap();
        read.detach.threshold = 7;
        let mut own = read.clone();
        own.web.public_url = "https://drop.a.example/".parse().unwrap();
        read.domains.insert("a.example".into(), Arc::new(own));
        let config = adopt(&running, &read).unwrap().config;
        let own = config.of_domain("a.example").unwrap();
        assert_eq!(own.web.public_url.as_str(), "https://drop.a.example/");
        assert_eq!(own.detach.threshold, 7);
        assert_eq!(own.web.listen, running.web.listen);
    }

    #[test]
    fn an_equal_configuration_changes_nothing() {
        let adopted = adopt(&Config::default(), &Config::default()).unwrap();
        assert!(adopted.changed.is_empty() && adopted.held_back.is_empty());
    }

    #[test]
    fn the_manual_page_says_of_each_key_what_a_reload_does() {
        let page = include_str!("../../../man/depollueur.toml.5");
        let said: Vec<(&str, bool)> = page
            .lines()
            .filter_map(|line| {
                let (key, effect) = line.strip_prefix(".It Ic ")?.split_once(" Ta ")?;
                Some((key, effect == "reload"))
            })
            .collect();
        let defaults = table(&Config::default()).unwrap();
        let mut known = keys(&defaults, &Table::new());
        known.push("rule".to_owned()); // there is none by default
        for key in &known {
            let section = key.split('.').next().unwrap();
            let found = said
                .iter()
                .find(|(name, _)| name == key || *name == section);
            assert_eq!(
                found.map(|(_, reload)| *reload),
                Some(is_reloaded(key)),
                "{key}"
            );
        }
        for (name, _) in said {
            let exists = known
                .iter()
                .any(|key| key == name || key.starts_with(&format!("{name}.")));
            assert!(exists, "{name} is no key");
        }
    }
}

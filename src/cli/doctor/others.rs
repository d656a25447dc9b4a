//! The configuration of this machine's other milters: their signing, verifying and scanning.
//!
//! OpenDKIM is known by its file. rspamd is asked for its effective configuration (`rspamadm
//! configdump`), which is spread over many files. Facts that neither tells stay unknown.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value};

use super::entry::{MilterAddress, MilterEntry, MilterKind};

/// Symbols of rspamd that only sign.
const SIGNING_SYMBOLS: [&str; 2] = ["DKIM_SIGNED", "ARC_SIGNED"];

/// Settings of other milters, read from their configuration.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Others {
    /// True, true if OpenDKIM signs and verifies, respectively; `None` if it has no file here.
    pub(in crate::cli) opendkim: Option<(bool, bool)>,
    /// The rspamd of this machine.
    pub(in crate::cli) rspamd: Option<Rspamd>,
}

/// The configuration of this machine's rspamd, as far as it concerns us.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Rspamd {
    /// True if its module `dkim_signing` signs; `None` if that cannot be told.
    signs: Option<bool>,
    /// True if a virus scanner is configured.
    scans: bool,
    /// Its workers that listen as milters.
    proxies: Vec<Proxy>,
    /// The map from which all of its settings come, if it uses one.
    settings_map: Option<String>,
}

/// A worker of rspamd that speaks the milter protocol.
#[derive(Clone, Debug)]
struct Proxy {
    sockets: Vec<String>,
    /// True if its settings enable nothing but signing.
    only_signs: bool,
}

/// The work that one entry of rspamd in a list does on our users' mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Duties {
    /// True if it signs; `None` if that cannot be told.
    pub(in crate::cli) signs: Option<bool>,
    /// True if it scans for viruses; `None` if that cannot be told.
    pub(in crate::cli) scans: Option<bool>,
    /// True if it only signs.
    pub(in crate::cli) only_signs: bool,
}

impl Others {
    /// Reads the configuration of the milters on this machine.
    pub(in crate::cli) fn of_this_machine() -> Self {
        let opendkim = fs::read_to_string("/etc/opendkim.conf").ok();
        Self {
            opendkim: opendkim.map(|text| opendkim_mode(&text)),
            rspamd: Rspamd::ask(),
        }
    }

    /// Returns the kind of a milter: by its address, or because rspamd listens there.
    pub(in crate::cli) fn kind(&self, entry: &MilterEntry) -> MilterKind {
        let rspamd = self.rspamd.as_ref().filter(|_| is_here(entry));
        match rspamd.is_some_and(|rspamd| rspamd.proxies.iter().any(|proxy| proxy.is_at(entry))) {
            true => MilterKind::Rspamd,
            false => entry.kind(),
        }
    }

    /// Returns two flags, signs and verifies, if the milter is OpenDKIM; any other may do both.
    pub(in crate::cli) fn dkim(&self, entry: &MilterEntry) -> (bool, bool) {
        match self.opendkim {
            Some(modes) if is_opendkim(entry) => modes,
            _ => (true, true),
        }
    }

    /// Returns the map from which rspamd takes its settings, if it does.
    pub(in crate::cli) fn settings_map(&self) -> Option<&str> {
        self.rspamd.as_ref()?.settings_map.as_deref()
    }

    /// Returns the duties of rspamd at this entry. An rspamd on another machine cannot be asked.
    pub(in crate::cli) fn rspamd(&self, entry: &MilterEntry) -> Duties {
        let known = self.rspamd.as_ref().filter(|_| is_here(entry));
        known.map_or_else(Duties::default, |rspamd| rspamd.duties(entry))
    }
}

impl Rspamd {
    /// Reads the output of `rspamadm configdump -j`; `None` if it is not installed or cannot be run.
    fn ask() -> Option<Self> {
        let program = ["/usr/bin/rspamadm", "/usr/local/bin/rspamadm"];
        let program = program.iter().find(|path| Path::new(path).exists())?;
        let output = Command::new(program)
            .args(["configdump", "-j"])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        // Complaints about name servers may precede the JSON.
        let begin = text.find('{')?;
        let dump = serde_json::from_str(&text[begin..]).ok()?;
        let has_key = |template: &str| key_is_there(template);
        Some(Self::parse(&dump, &has_key))
    }

    /// Reads the whole configuration; `has_key` returns whether a path of `dkim_signing` has a key
    /// file, if it can tell.
    fn parse(dump: &Value, has_key: &dyn Fn(&str) -> Option<bool>) -> Self {
        let scanners = sections(dump, "antivirus")
            .into_iter()
            .flat_map(Map::values);
        let (mut scans, mut proxies) = (false, Vec::new());
        for scanner in scanners.filter_map(Value::as_object) {
            scans |= scanner.contains_key("type") && is_enabled(scanner);
        }

        for worker in sections(dump, "worker") {
            let named = worker.get("rspamd_proxy").into_iter().flat_map(objects);
            let is_milter = |proxy: &&Map<String, Value>| is_true(proxy.get("milter"));
            proxies.extend(named.filter(is_milter).map(|proxy| Proxy::of(dump, proxy)));
        }

        Self {
            signs: signs(dump, has_key),
            scans,
            proxies,
            settings_map: strings(dump.get("settings")).pop(),
        }
    }

    fn duties(&self, entry: &MilterEntry) -> Duties {
        let own = self.proxies.iter().find(|proxy| proxy.is_at(entry));
        let only_signs = own.is_some_and(|proxy| proxy.only_signs);
        // Beside a worker that only signs, nobody can tell whether the others still do: a condition
        // may forbid it.
        let split = self.proxies.iter().any(|proxy| proxy.only_signs);
        let signs = if split && !only_signs && self.signs == Some(true) {
            None
        } else {
            self.signs
        };
        Duties {
            signs,
            scans: Some(self.scans && !only_signs),
            only_signs,
        }
    }
}

impl Proxy {
    fn of(dump: &Value, worker: &Map<String, Value>) -> Self {
        let upstreams = worker.get("upstream").into_iter().flat_map(objects);
        let ids: Vec<Option<&str>> = upstreams
            .flat_map(Map::values)
            .map(|upstream| upstream.get("settings_id").and_then(Value::as_str))
            .collect();
        let is_signer = |id: &Option<&str>| id.is_some_and(|id| settings_only_sign(dump, id));
        Self {
            sockets: strings(worker.get("bind_socket")),
            only_signs: !ids.is_empty() && ids.iter().all(is_signer),
        }
    }

    /// Returns true if the entry leads to one of its sockets: by port, or by path.
    fn is_at(&self, entry: &MilterEntry) -> bool {
        self.sockets.iter().any(|socket| match &entry.place {
            MilterAddress::Inet(_, port) => {
                let own = socket.rsplit_once(':').map_or("", |(_, port)| port);
                own.parse() == Ok(*port)
            }
            MilterAddress::Unix(path) => {
                let own = Path::new(socket.split_whitespace().next().unwrap_or_default());
                own.ends_with(path.trim_start_matches('/'))
            }
            MilterAddress::Odd => false,
        })
    }
}

/// Returns true if `dkim_signing` signs mail that users send; `None` if that cannot be told.
fn signs(dump: &Value, has_key: &dyn Fn(&str) -> Option<bool>) -> Option<bool> {
    let parts = sections(dump, "dkim_signing");
    let get = |name: &str| parts.iter().rev().find_map(|part| part.get(name));
    let wanted = |name: &str| get(name).is_none_or(|value| is_true(Some(value)));

    if parts.is_empty() || !wanted("enabled") {
        return Some(false);
    }
    if !wanted("sign_authenticated") && !wanted("sign_local") {
        // It may still sign for networks.
        return None;
    }

    let elsewhere = [
        "path_map",
        "selector_map",
        "key_table",
        "sign_condition",
        "use_http_headers",
    ];
    let stored = ["use_redis", "use_vault"];
    let is_told = elsewhere.iter().any(|name| get(name).is_some())
        || stored.iter().any(|name| is_true(get(name)));
    if is_told {
        return Some(true);
    }

    let domains = get("domain").into_iter().flat_map(objects);
    let paths = domains
        .flat_map(Map::values)
        .flat_map(|domain| strings(domain.get("path")));

    let mut found = Some(false);
    for path in paths.chain(strings(get("path"))) {
        match has_key(&path) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

/// Returns true if a key file exists for a path such as `/var/lib/rspamd/dkim/$domain.$selector.key`.
fn key_is_there(template: &str) -> Option<bool> {
    let path = Path::new(template);
    if !template.contains('$') {
        return path.try_exists().ok();
    }

    let mut fixed = PathBuf::new();
    for part in path
        .iter()
        .take_while(|part| !part.to_string_lossy().contains('$'))
    {
        fixed.push(part);
    }
    match fs::read_dir(&fixed) {
        Ok(mut files) => Some(files.next().is_some()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// Returns true if the settings of this id enable nothing but signing.
fn settings_only_sign(dump: &Value, id: &str) -> bool {
    let rules = sections(dump, "settings")
        .into_iter()
        .flat_map(Map::iter)
        .filter_map(|(name, rule)| Some((name, rule.as_object()?)));

    for (name, rule) in rules {
        if rule.get("id").and_then(Value::as_str).unwrap_or(name) != id {
            continue;
        }
        let apply = rule.get("apply").and_then(Value::as_object);
        let symbols = apply.map(|apply| strings(apply.get("symbols_enabled")));
        return symbols.is_some_and(|symbols| {
            !symbols.is_empty()
                && symbols
                    .iter()
                    .all(|symbol| SIGNING_SYMBOLS.contains(&symbol.as_str()))
        });
    }
    false
}

/// Returns the objects under a name: rspamd prints several as an array.
fn sections<'a>(dump: &'a Value, name: &str) -> Vec<&'a Map<String, Value>> {
    dump.get(name).map(objects).unwrap_or_default()
}

fn objects(value: &Value) -> Vec<&Map<String, Value>> {
    match value {
        Value::Object(object) => vec![object],
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

/// Returns one word or several: rspamd prints several as an array.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().flat_map(|item| strings(Some(item))).collect(),
        _ => Vec::new(),
    }
}

fn is_enabled(section: &Map<String, Value>) -> bool {
    section
        .get("enabled")
        .is_none_or(|value| is_true(Some(value)))
}

fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(yes)) => *yes,
        Some(Value::String(text)) => matches!(text.as_str(), "true" | "yes" | "on"),
        _ => false,
    }
}

/// Returns true if the milter is on this machine, as far as its address tells.
fn is_here(entry: &MilterEntry) -> bool {
    match &entry.place {
        MilterAddress::Unix(_) => true,
        MilterAddress::Inet(host, _) => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        MilterAddress::Odd => false,
    }
}

/// Reads `Mode` of opendkim.conf(5) as two flags, signs and verifies; both if it is not set.
fn opendkim_mode(text: &str) -> (bool, bool) {
    let mode = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let key = words.next()?;
        key.eq_ignore_ascii_case("Mode").then(|| words.next())?
    });
    let mode = mode.unwrap_or("sv");
    (mode.contains('s'), mode.contains('v'))
}

/// Returns true if the milter is OpenDKIM itself, the one milter whose file we read.
fn is_opendkim(entry: &MilterEntry) -> bool {
    let others = ["dkimpy", "dkim2", ":8892"];
    let is_other = others.iter().any(|other| entry.text.contains(other));
    entry.kind() == MilterKind::Dkim && !is_other
}

#[cfg(test)]
impl Others {
    /// Builds an rspamd with this configuration, whose keys all exist.
    pub(in crate::cli) fn with_rspamd(dump: &str) -> Self {
        let dump = serde_json::from_str(dump).unwrap();
        Self {
            rspamd: Some(Rspamd::parse(&dump, &|_| Some(true))),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opendkim_signs_and_verifies_unless_its_mode_says_otherwise() {
        assert_eq!(opendkim_mode("Syslog yes\n#Mode v\n"), (true, true));
        assert_eq!(opendkim_mode("mode\ts\n"), (true, false));
        assert_eq!(opendkim_mode("Mode v"), (false, true));
    }

    #[test]
    fn rspamd_signs_when_its_module_is_on_and_a_key_is_there() {
        for (module, key, signs) in [
            // As the package comes: a path, and no file below it.
            (r#"{"path": "/k/$domain.key"}"#, Some(false), Some(false)),
            (r#"{"path": "/k/$domain.key"}"#, Some(true), Some(true)),
            (r#"{"path": "/k/$domain.key"}"#, None, None),
            (
                r#"{"enabled": false, "path": "/k/a.key"}"#,
                Some(true),
                Some(false),
            ),
            (
                r#"[{"path": "/k/a.key"}, {"enabled": false}]"#,
                Some(true),
                Some(false),
            ),
            (
                r#"{"enabled": "no", "path": "/k/a.key"}"#,
                Some(true),
                Some(false),
            ),
            (
                r#"{"sign_authenticated": false, "sign_local": false, "path": "/k/a.key"}"#,
                Some(true),
                None,
            ),
            (r#"{"use_redis": true}"#, Some(false), Some(true)),
            (
                r#"{"use_redis": false, "path": "/k/a"}"#,
                Some(false),
                Some(false),
            ),
            (r#"{"selector_map": "/etc/m"}"#, Some(false), Some(true)),
            (
                r#"{"domain": {"a.example": {"path": "/k/a"}}}"#,
                Some(true),
                Some(true),
            ),
        ] {
            let dump = serde_json::from_str(&format!(r#"{{"dkim_signing": {module}}}"#)).unwrap();
            assert_eq!(Rspamd::parse(&dump, &|_| key).signs, signs, "{module}");
        }
        assert_eq!(Rspamd::parse(&Value::Null, &|_| None).signs, Some(false));
    }

    #[test]
    fn a_scanner_counts_that_is_configured_and_switched_on() {
        for (module, scans) in [
            ("{}", false),
            (r#"{"clamav": {"type": "clamav", "servers": "x"}}"#, true),
            (r#"{"clamav": {"type": "clamav", "enabled": false}}"#, false),
            (r#"[{}, {"sophos": {"type": "savapi"}}]"#, true),
        ] {
            let dump = serde_json::from_str(&format!(r#"{{"antivirus": {module}}}"#)).unwrap();
            assert_eq!(Rspamd::parse(&dump, &|_| None).scans, scans, "{module}");
        }
    }

    #[test]
    fn a_key_is_looked_for_where_the_path_leads() {
        let directory = tempfile::tempdir().unwrap();
        let template = directory.path().join("$domain.$selector.key");
        let template = template.to_str().unwrap();
        assert_eq!(key_is_there(template), Some(false));
        fs::write(directory.path().join("a.example.mail.key"), "").unwrap();
        assert_eq!(key_is_there(template), Some(true));
        assert_eq!(key_is_there("/nonexistent/$domain.key"), Some(false));
    }
}

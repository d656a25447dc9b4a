//! Obstacles that the daemon meets and root does not: its user's rights, and the sandbox of its service.
//!
//! `depollueur check` and `depollueur doctor` report them, with the lines that mend them. They are
//! examined for the usual configuration only: for another file nobody knows which service will read
//! it. What the machine itself lacks (`machine`) is reported for any.

mod machine;

use std::{
    fs,
    io::BufRead as _,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use toml::{Table, Value};

pub(super) use self::machine::all as of_machine;
use super::{unit::Unit, user::User};
use crate::{
    config::{ClamdAddress, Config, DEFAULT_FILE, StoreKind},
    units::{self, Part, Service},
};

/// The daemon's user, unless a unit names another.
const USER: &str = "depollueur";

/// Keys of paths that the daemon does not read, or that have a check of their own.
const NOT_READ: [&str; 5] = [
    "audit.copy",
    "drop.directory",
    "milter.listen",
    "spool.directory",
    "web.report_command",
];

/// Programs that hand mail to a queue with privileges that the sandbox takes from them.
const MAILERS: [&str; 7] = [
    "sendmail",
    "mail",
    "mailx",
    "bsd-mailx",
    "s-nail",
    "mutt",
    "postdrop",
];

/// Programs that generate machine code at run time, which MemoryDenyWriteExecute= forbids.
const COMPILERS: [&str; 7] = [
    "node", "nodejs", "deno", "java", "dotnet", "luajit", "pypy3",
];

/// An obstacle in the daemon's way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The key, its value, and why it does not work.
    pub(super) message: String,
    /// The lines to type.
    pub(super) fix: Vec<String>,
    /// True if mail is processed as it should be all the same.
    pub(super) is_harmless: bool,
}

/// Marks an obstacle as one that does not affect mail.
fn harmless(obstacle: Obstacle) -> Obstacle {
    Obstacle {
        is_harmless: true,
        ..obstacle
    }
}

/// Returns the obstacles of all services of the daemon.
pub(super) fn all(config: &Config) -> Vec<Obstacle> {
    let mut all = Vec::new();
    for &service in units::in_use().services() {
        let unit = Unit::read(service.unit());
        for obstacle in of_service(config, service, unit.as_ref()) {
            if !all.contains(&obstacle) {
                all.push(obstacle);
            }
        }
    }
    all
}

/// Returns the obstacles of a service, by its unit if systemd knows it.
fn of_service(config: &Config, service: Service, unit: Option<&Unit>) -> Vec<Obstacle> {
    let name = unit.map_or("", |unit| unit.get("User"));
    let name = if name.is_empty() { USER } else { name };
    // Only root sees more than the daemon does.
    let user = geteuid().is_root().then(|| User::find(name)).flatten();
    let values = config.to_toml().parse().unwrap_or_default();

    let mut found = Vec::new();
    for (key, path) in files(&values) {
        if concerns(service, &key) {
            found.extend(of_file(&key, &path, unit, user.as_ref()));
        }
    }
    for (key, path) in directories(config) {
        if concerns(service, key) {
            found.extend(of_directory(key, path, unit, user.as_ref()));
        }
    }

    if service.has(Part::Pages) {
        found.extend(of_command(&config.web.report_command, unit).map(harmless));
    }
    if let Some(unit) = unit {
        found.extend(missing_directories(unit));
        found.extend(of_ports(config, service, unit));
        let of_addresses = of_addresses(config, service, unit);
        found.extend(of_addresses.into_iter().map(harmless));
    }
    found
}

/// Returns true if a process of this service works with the value of this key.
fn concerns(service: Service, key: &str) -> bool {
    let (mail, pages) = (service.has(Part::Mail), service.has(Part::Pages));
    let section = key.split('.').next().unwrap_or(key);
    match (section, key) {
        ("the configuration" | "drop", _) => true,
        (_, "admin.web_listen") => !mail && pages,
        // Files are scanned when they come, and some again when they go.
        ("scan", _) => mail || pages,
        ("web" | "mail", _) => pages,
        _ => mail,
    }
}

/// Returns the configuration file and all files that it names: keys with their absolute paths, bare
/// or after `file:`, `hash:`…
fn files(values: &Table) -> Vec<(String, PathBuf)> {
    let mut found = vec![("the configuration".to_owned(), DEFAULT_FILE.into())];
    for (section, value) in values {
        collect(section, value, &mut found);
    }
    found.retain(|(key, path)| !NOT_READ.contains(&key.as_str()) && path.exists());
    found
}

fn collect(key: &str, value: &Value, found: &mut Vec<(String, PathBuf)>) {
    match value {
        Value::String(text) => {
            let bare = match text.split_once(':') {
                Some((kind, rest)) if kind.bytes().all(|b| b.is_ascii_alphanumeric()) => rest,
                _ => text,
            };
            if bare.starts_with('/') && !bare.starts_with("//") && !bare.contains('\n') {
                found.push((key.to_owned(), bare.into()));
            }
        }
        Value::Array(all) => all.iter().for_each(|value| collect(key, value, found)),
        Value::Table(all) => {
            for (name, value) in all {
                collect(&format!("{key}.{name}"), value, found);
            }
        }
        _ => {}
    }
}

fn of_file(key: &str, path: &Path, unit: Option<&Unit>, user: Option<&User>) -> Option<Obstacle> {
    let shown = path.display();
    let name = user.map_or(USER, |user| &user.name);
    let move_it = || {
        let file = path.file_name().unwrap_or_default().display();
        vec![
            format!(
                "cp -r '{shown}' /etc/depollueur/ && chgrp -R {name} '/etc/depollueur/{file}' && chmod -R g+rX '/etc/depollueur/{file}'"
            ),
            format!("set {key} to the new place, \"/etc/depollueur/{file}\""),
        ]
    };

    if let Some(setting) = unit.and_then(|unit| unit.hides(path)) {
        let message = format!(
            "{key}: \"{shown}\" cannot be seen by the daemon, for its service hides this place from it ({setting})"
        );
        let fix = move_it();
        return Some(Obstacle {
            message,
            fix,
            is_harmless: false,
        });
    }

    let user = user?;
    if let Some(directory) = user.stopped_at(path) {
        let closed = directory.display();
        let message = format!(
            "{key}: \"{shown}\" cannot be read by the daemon: its user {name} may not enter \"{closed}\""
        );
        let fix = if directory == Path::new("/etc/depollueur") {
            vec![format!("chgrp {name} '{closed}' && chmod g+rx '{closed}'")]
        } else {
            move_it()
        };
        return Some(Obstacle {
            message,
            fix,
            is_harmless: false,
        });
    }

    let found = fs::metadata(path).ok()?;
    let bits = if found.is_dir() { 0o5 } else { 0o4 };
    (!user.may(&found, bits)).then(|| Obstacle {
        message: format!(
            "{key}: \"{shown}\" cannot be read by the daemon, whose user is {name} ({:04o}, owner {}:{})",
            found.mode() & 0o7777,
            found.uid(),
            found.gid()
        ),
        is_harmless: false,
        fix: vec![format!("chgrp -R {name} '{shown}' && chmod -R g+rX '{shown}'")],
    })
}

fn directories(config: &Config) -> Vec<(&'static str, &Path)> {
    let spool = config.spool.directory.as_deref();
    let drop = Some(config.drop.directory.as_path());
    [("drop.directory", drop), ("spool.directory", spool)]
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?)))
        .collect()
}

fn of_directory(
    key: &str,
    path: &Path,
    unit: Option<&Unit>,
    user: Option<&User>,
) -> Option<Obstacle> {
    let shown = path.display();
    let name = user.map_or(USER, |user| &user.name);
    let make = format!("install -d -m 0700 -o {name} -g {name} '{shown}'");

    if let Some(setting) = unit.and_then(|unit| unit.hides(path)) {
        let message = format!(
            "{key} = \"{shown}\": {} hides this place from it ({setting}): take one below /var/lib/depollueur or /srv",
            unit.map_or("the daemon's service", Unit::subject)
        );
        let fix = vec![format!("set {key} to another place")];
        return Some(Obstacle {
            message,
            fix,
            is_harmless: false,
        });
    }

    if let Some(unit) = unit.filter(|unit| !unit.may_write(path)) {
        let message = format!(
            "{key} = \"{shown}\": {} may write below /var/lib/depollueur only (ProtectSystem=strict): mount \
             the disk there, or open this directory for it",
            unit.subject()
        );
        let lines = unit.drop_in("directories", &format!("ReadWritePaths={shown}"));
        let fix = std::iter::once(make).chain(lines).collect();
        return Some(Obstacle {
            message,
            fix,
            is_harmless: false,
        });
    }

    if !path.exists() {
        // The daemon creates its drop itself where it may, but not a spool.
        return (key == "spool.directory").then(|| Obstacle {
            message: format!(
                "{key} = \"{shown}\" does not exist: mail above spool.memory would go out untouched"
            ),
            is_harmless: false,
            fix: vec![make],
        });
    }

    let user = user?;
    let is_usable = user.stopped_at(path).is_none()
        && fs::metadata(path).is_ok_and(|found| found.is_dir() && user.may(&found, 0o7));
    (!is_usable).then(|| Obstacle {
        message: format!(
            "{key} = \"{shown}\" is no directory in which the daemon's user {name} may write"
        ),
        is_harmless: false,
        fix: vec![make],
    })
}

/// Returns the obstacle of a spool that does not exist; independent of the sandbox, it is reported
/// for any configuration.
pub(super) fn of_spool(config: &Config) -> Option<Obstacle> {
    let path = config.spool.directory.as_deref()?;
    if path.is_dir() {
        return None;
    }
    let obstacle = of_directory("spool.directory", path, None, None);
    obstacle.or_else(|| {
        let shown = path.display();
        let message = format!("spool.directory = \"{shown}\" is no directory");
        let fix = vec!["set spool.directory to a directory, or to \"\"".to_owned()];
        Some(Obstacle {
            message,
            fix,
            is_harmless: false,
        })
    })
}

/// Returns the directories that the sandbox names and that do not exist: with one of these the
/// service does not start at all.
fn missing_directories(unit: &Unit) -> Vec<Obstacle> {
    let listed = unit.get("ReadWritePaths").split_whitespace();
    listed
        .filter(|place| place.starts_with('/') && !Path::new(place).exists())
        .map(|place| Obstacle {
            message: format!(
                "ReadWritePaths={place} of {}: the directory does not exist, so that the service does not start (226/NAMESPACE)",
                unit.id()
            ),
            is_harmless: false,
            fix: vec![format!("install -d -m 0700 -o {USER} -g {USER} '{place}'")],
        })
        .collect()
}

fn of_command(command: &[String], unit: Option<&Unit>) -> Option<Obstacle> {
    let program = Path::new(command.first()?);
    let shown = program.display();
    let key = "web.report_command";

    let Ok(found) = fs::metadata(program) else {
        return Some(Obstacle {
            message: format!("{key}: there is no program \"{shown}\""),
            is_harmless: false,
            fix: vec![format!("set {key} to a program that exists, or to []")],
        });
    };

    if found.is_dir() || found.permissions().mode() & 0o111 == 0 {
        return Some(Obstacle {
            message: format!("{key}: \"{shown}\" is no program that can be run"),
            is_harmless: false,
            fix: vec![format!("chmod 0755 '{shown}'")],
        });
    }

    let unit = unit?;
    let name = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };

    let named = name(program);
    if unit.get("NoNewPrivileges") == "yes"
        && (found.mode() & 0o6000 != 0 || MAILERS.contains(&named.as_str()))
    {
        return Some(Obstacle {
            message: format!(
                "{key}: \"{shown}\" needs rights of another user or group, which the daemon's service gives to nobody \
                 (NoNewPrivileges=): no report would arrive"
            ),
            is_harmless: false,
            fix: vec![format!(
                "set web.report_to to a mail address, and {key} to []: the daemon sends reports itself (mail.relay)"
            )],
        });
    }

    let interpreter = interpreter(program).map(|path| name(&path));
    let compiles = |name: &str| COMPILERS.contains(&name);
    if unit.get("MemoryDenyWriteExecute") == "yes"
        && (compiles(&named) || interpreter.is_some_and(|name| compiles(&name)))
    {
        return Some(Obstacle {
            message: format!(
                "{key}: \"{shown}\" compiles while it runs, which the daemon's service forbids (MemoryDenyWriteExecute=)"
            ),
            is_harmless: false,
            fix: vec![format!("set {key} to a program in sh, Python or Perl")],
        });
    }

    None
}

/// Returns the interpreter named in a script's first line.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let mut first = Vec::new();
    let file = fs::File::open(program).ok()?;
    let mut start = std::io::Read::take(file, 256);
    std::io::BufReader::new(&mut start)
        .read_until(b'\n', &mut first)
        .ok()?;

    let line = String::from_utf8(first).ok()?;
    let mut words = line.strip_prefix("#!")?.split_whitespace();
    let program = words.next()?;
    let named = if program.ends_with("/env") {
        words.next()?
    } else {
        program
    };
    Some(named.into())
}

/// Returns the obstacles of ports that the daemon's user may not listen on.
fn of_ports(config: &Config, service: Service, unit: &Unit) -> Vec<Obstacle> {
    let may = unit
        .get("AmbientCapabilities")
        .contains("cap_net_bind_service");
    if may || matches!(unit.get("User"), "" | "root") {
        return Vec::new();
    }

    let first = machine::first_free_port();
    let low = machine::listeners(config)
        .into_iter()
        .filter(|(key, _)| concerns(service, key))
        .filter(|(_, address)| address.port() != 0 && address.port() < first);
    low.map(|(key, address)| Obstacle {
        message: format!(
            "{key} = \"{address}\": ports below {first} are root's, and the daemon's user is {}: put a reverse proxy on this port",
            unit.get("User")
        ),
        is_harmless: false,
        fix: vec![format!("set {key} to a port such as \"127.0.0.1:8025\"")],
    })
    .collect()
}

/// Returns the obstacles of hosts that the packet filter of the service keeps from us, or us from them.
fn of_addresses(config: &Config, service: Service, unit: &Unit) -> Vec<Obstacle> {
    let mut found = Vec::new();
    for (key, address) in machine::listeners(config) {
        if concerns(service, key) {
            found.extend(of_listener(key, address, config, unit));
        }
    }

    if let Some(url) = &config.remote.url
        && config.uses(StoreKind::Remote)
        && concerns(service, "remote.url")
    {
        let peer = (url.host(), url.port());
        found.extend(of_peer("remote.url", url.as_str(), peer, unit));
    }

    if let Some(url) = config.drop.postgres_url() {
        let peers = url.tcp_hosts();
        found
            .extend(peers.filter_map(|peer| of_peer("drop.records", &url.to_string(), peer, unit)));
    }

    if let Some(endpoint) = &config.s3.endpoint
        && config.drop.uses_bucket()
    {
        let peer = (endpoint.host(), endpoint.port());
        found.extend(of_peer("s3.endpoint", endpoint.as_str(), peer, unit));
    }

    if let Some(url) = &config.jirafeau.url {
        let peer = (url.host(), url.port());
        found.extend(of_peer("jirafeau.url", url.as_str(), peer, unit));
    }

    if concerns(service, "mail.relay") {
        let relay = &config.mail.relay;
        let peer = (relay.host.as_str(), relay.port);
        found.extend(of_peer("mail.relay", &relay.to_string(), peer, unit));
    }

    let clamds = config.scan.clamd.iter();
    for daemon in clamds.filter(|_| concerns(service, "scan.clamd")) {
        if let ClamdAddress::Tcp(host, port) = daemon {
            let place = daemon.to_string();
            let place = place.trim_start_matches("inet:");
            found.extend(of_peer("scan.clamd", place, (host, *port), unit));
        }
    }
    found
}

fn of_listener(key: &str, address: SocketAddr, config: &Config, unit: &Unit) -> Option<Obstacle> {
    // A documentation address (RFC 5737) that no admin has: it tells whether hosts other than this
    // one get through.
    let stranger = IpAddr::from([192, 0, 2, 254]);

    let proxies: Vec<String> = config
        .web
        .trusted_proxies
        .iter()
        .filter(|net| !net.address.is_loopback())
        .map(ToString::to_string)
        .collect();
    let allows_proxy = || {
        config
            .web
            .trusted_proxies
            .iter()
            .any(|net| !net.address.is_loopback() && unit.lets_pass(net.address))
    };

    if address.ip().is_loopback()
        || unit.lets_pass(stranger)
        || allows_proxy()
        || !only_loopback(unit)
    {
        return None;
    }

    let who = match proxies.as_slice() {
        [] => "192.0.2.1".to_owned(),
        proxies => proxies.join(" "),
    };

    Some(Obstacle {
        message: format!(
            "{key} = \"{address}\": {} takes packets of this machine only (IPAddressDeny=any): nobody else \
             reaches it. Allow the address of who should",
            unit.subject()
        ),
        is_harmless: false,
        fix: unit.drop_in("addresses", &format!("IPAddressAllow={who}")),
    })
}

/// Returns true if the admin has allowed no other host yet.
fn only_loopback(unit: &Unit) -> bool {
    let allowed = unit.get("IPAddressAllow").split_whitespace();
    allowed
        .filter_map(|net| net.split('/').next()?.parse::<IpAddr>().ok())
        .all(|ip| ip.is_loopback())
}

/// Returns the obstacle of a host that we ask, which stands as `place` in the configuration.
fn of_peer(key: &str, place: &str, (host, port): (&str, u16), unit: &Unit) -> Option<Obstacle> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<IpAddr> = (host, port)
        .to_socket_addrs()
        .map(|all| all.map(|address| address.ip()).collect())
        .unwrap_or_default();
    let mut blocked: Vec<String> = addresses
        .iter()
        .filter(|ip| !unit.lets_pass(**ip))
        .map(ToString::to_string)
        .collect();

    let is_name = host.parse::<IpAddr>().is_err();
    if is_name && addresses.iter().any(|ip| !ip.is_loopback()) {
        let servers = name_servers().into_iter().filter(|ip| !unit.lets_pass(*ip));
        blocked.extend(servers.map(|ip| ip.to_string()));
    }

    blocked.dedup();
    (!blocked.is_empty()).then(|| Obstacle {
        message: format!(
            "{key} = \"{place}\": {} sends packets to this machine only (IPAddressDeny=any): allow that host, \
             and the name servers that are asked for it",
            unit.subject()
        ),
        is_harmless: false,
        fix: unit.drop_in("addresses", &format!("IPAddressAllow={}", blocked.join(" "))),
    })
}

fn name_servers() -> Vec<IpAddr> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PostgresUrl, RecordsDatabase};

    #[test]
    fn ports_of_root_are_told_unless_the_unit_has_the_right_to_them() {
        let mut config = Config::default();
        let count = |config: &Config, unit: &str| {
            of_ports(config, Service::Whole, &Unit::parse(unit)).len()
        };
        let first = machine::first_free_port();
        assert_eq!(count(&config, "User=depollueur\n"), 0);
        config.web.listen = format!("127.0.0.1:{}", first - 1).parse().unwrap();
        config.admin.listen.set_port(first);
        for (unit, told) in [
            ("User=depollueur\n", 1),
            (
                "User=depollueur\nAmbientCapabilities=cap_net_bind_service\n",
                0,
            ),
            ("User=root\n", 0),
        ] {
            assert_eq!(count(&config, unit), told, "{unit}");
        }
    }

    #[test]
    fn a_service_meets_the_obstacles_of_its_own_parts_alone() {
        for (key, services) in [
            ("the configuration", "Milter Web Sweep"),
            ("drop.directory", "Milter Web Sweep"),
            ("spool.directory", "Milter"),
            ("milter.listen", "Milter"),
            ("admin.listen", "Milter"),
            ("admin.web_listen", "Web"),
            ("web.logo", "Web"),
            ("mail.relay", "Web"),
            ("scan.clamd", "Milter Web"),
        ] {
            let split = [Service::Milter, Service::Web, Service::Sweep];
            let meet = split.iter().filter(|service| concerns(**service, key));
            let meet: Vec<_> = meet.map(|service| format!("{service:?}")).collect();
            assert_eq!(meet.join(" "), services, "{key}");
            let is_for_whole = concerns(Service::Whole, key);
            assert_eq!(is_for_whole, key != "admin.web_listen", "{key}");
        }
    }

    #[test]
    fn records_on_another_machine_are_let_through_for_each_service() {
        let mut config = Config::default();
        let url = PostgresUrl::parse("postgresql://192.0.2.7/drop").unwrap();
        config.drop.records = RecordsDatabase::Postgres(url);
        for service in [Service::Milter, Service::Web, Service::Sweep] {
            let id = format!("Id={}\nIPAddressDeny=::/0 0.0.0.0/0\n", service.unit());
            let told = |allowed: &str| {
                let unit = Unit::parse(&format!("{id}IPAddressAllow=127.0.0.0/8 {allowed}\n"));
                let found = of_service(&config, service, Some(&unit));
                found
                    .iter()
                    .any(|found| found.fix.concat().contains("IPAddressAllow=192.0.2.7"))
            };
            assert!(told("::1/128"), "{service:?}");
            assert!(!told("192.0.2.7/32"), "{service:?}");
        }
    }

    #[test]
    fn a_drop_elsewhere_is_opened_for_each_service_that_cannot_write_there() {
        let mut config = Config::default();
        config.drop.directory = "/srv/elsewhere".into();
        for service in [Service::Milter, Service::Web, Service::Sweep] {
            let name = service.unit();
            let unit = Unit::parse(&format!("Id={name}\nProtectSystem=strict\n"));
            let found = of_service(&config, service, Some(&unit));
            let told = found
                .iter()
                .find(|found| found.message.contains("drop.directory"));
            let told = told.unwrap_or_else(|| panic!("{service:?}: {found:?}"));
            assert!(told.message.contains(name), "{told:?}");
            let line = format!("mkdir -p /etc/systemd/system/{name}.d");
            assert!(told.fix.contains(&line), "{told:?}");
        }
    }
}

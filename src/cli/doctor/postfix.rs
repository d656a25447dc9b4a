//! The configuration of Postfix, as `postconf` prints it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The configuration of a Postfix.
#[derive(Debug, Default)]
pub(in crate::cli) struct Postfix {
    parameters: BTreeMap<String, String>,
    services: Vec<Service>,
}

/// A line of master.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Service {
    /// Name and type as `postconf -P` wants them: `smtp/inet`.
    pub(in crate::cli) id: String,
    /// True if it runs in a chroot at the queue directory.
    pub(in crate::cli) chroot: bool,
    /// Maximum number of processes; `None` is the default, 0 no limit.
    pub(in crate::cli) processes: Option<u64>,
    /// The program it runs.
    pub(in crate::cli) command: String,
    /// Parameters set for it alone (`-o`).
    pub(in crate::cli) overrides: BTreeMap<String, String>,
}

impl Postfix {
    /// Asks `postconf`; `directory` is that of main.cf, if it is not the usual one.
    ///
    /// # Errors
    /// Returns one line if there is no Postfix, or its configuration cannot be read.
    pub(in crate::cli) fn read(directory: Option<&Path>) -> Result<Self, String> {
        let ask = |arguments: &[&str]| postconf(directory, arguments);
        Ok(Self::parse(&ask(&["-x"])?, &ask(&["-M"])?, &ask(&["-Px"])?))
    }

    /// Parses the output of `postconf -x`, `postconf -M` and `postconf -Px`.
    pub(in crate::cli) fn parse(main: &str, master: &str, overrides: &str) -> Self {
        let parameters: BTreeMap<_, _> = main.lines().filter_map(assignment).collect();
        // Compatibility level 1 reversed the default of the chroot column.
        let old = parameters
            .get("compatibility_level")
            .is_some_and(|level| level == "0");

        let mut services: Vec<Service> = master
            .lines()
            .filter_map(|line| Service::parse(line, old))
            .collect();

        for (key, value) in overrides.lines().filter_map(assignment) {
            let owner = key.rsplit_once('/');
            let service = owner
                .and_then(|(id, name)| Some((services.iter_mut().find(|s| s.id == id)?, name)));
            if let Some((service, name)) = service {
                service.overrides.insert(name.to_owned(), value);
            }
        }
        Self {
            parameters,
            services,
        }
    }

    /// Returns a parameter of main.cf or its default; `None` if this Postfix does not know it.
    pub(in crate::cli) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Returns a parameter as it applies to a service.
    pub(in crate::cli) fn of<'a>(&'a self, service: &'a Service, name: &str) -> Option<&'a str> {
        service
            .overrides
            .get(name)
            .map(String::as_str)
            .or_else(|| self.get(name))
    }

    /// Returns the services that accept mail by SMTP.
    pub(in crate::cli) fn smtpd(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|s| s.command == "smtpd")
    }

    /// Returns the service that accepts mail of local programs.
    pub(in crate::cli) fn pickup(&self) -> Option<&Service> {
        self.services.iter().find(|s| s.command == "pickup")
    }

    /// Returns the service that asks milters about mail of local programs: the one to which pickup
    /// hands it.
    pub(in crate::cli) fn cleanup(&self) -> Option<&Service> {
        let name = "cleanup_service_name";
        let told = self.pickup().and_then(|pickup| self.of(pickup, name));
        let id = format!("{}/unix", told.unwrap_or("cleanup"));
        self.services.iter().find(|service| service.id == id)
    }

    /// Returns the services that run this delivery agent.
    pub(super) fn agents<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = &'a Service> {
        self.services.iter().filter(move |s| s.command == agent)
    }

    /// Returns true if mail of one of the address classes goes to this service.
    pub(super) fn delivers(&self, service: &Service) -> bool {
        let has = |name: &str, default: &str| !self.get(name).unwrap_or(default).trim().is_empty();
        let local = self.transport("local_transport", "local");
        let first = [
            has("mydestination", "localhost").then(|| local.clone()),
            has("virtual_mailbox_domains", "")
                .then(|| self.transport("virtual_transport", "virtual")),
            has("relay_domains", "").then(|| self.transport("relay_transport", "relay")),
            Some(self.transport("default_transport", "smtp")),
        ];
        let is_local = has("mydestination", "localhost")
            && self.agents("local").any(|agent| agent.name() == local);
        // local(8) may hand mail on.
        let then = ["mailbox_transport", "fallback_transport"]
            .map(|name| is_local.then(|| self.transport(name, "")));
        let mut all = first.into_iter().chain(then).flatten();
        all.any(|name| name == service.name())
    }

    /// Returns true if tables can route mail differently from its address class.
    pub(super) fn is_routed(&self) -> bool {
        self.get("transport_maps")
            .is_some_and(|maps| !maps.trim().is_empty())
    }

    /// Returns the service of a transport, without the next hop.
    fn transport(&self, name: &str, default: &str) -> String {
        let written = self.get(name).unwrap_or(default);
        let service = written.split(':').next().unwrap_or_default();
        service.trim().to_owned()
    }

    /// Returns the directory in which Postfix's daemons run; relative paths begin there.
    pub(in crate::cli) fn queue_directory(&self) -> PathBuf {
        PathBuf::from(self.get("queue_directory").unwrap_or("/var/spool/postfix"))
    }

    /// Returns the maximum number of concurrent sessions; `None` if there is no limit.
    pub(in crate::cli) fn sessions_max(&self) -> Option<u64> {
        let default = self.get("default_process_limit")?.parse().ok()?;
        self.smtpd()
            .map(|service| service.processes.unwrap_or(default))
            .try_fold(0_u64, |sum, n| (n > 0).then_some(sum + n))
    }
}

impl Service {
    fn parse(line: &str, old_default: bool) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (name, kind) = (words.next()?, words.next()?);
        let chroot = words.nth(2)?;
        let processes = words.nth(1)?;
        Some(Self {
            id: format!("{name}/{kind}"),
            chroot: chroot == "y" || (chroot == "-" && old_default),
            processes: processes.parse().ok(),
            command: words.next()?.to_owned(),
            overrides: BTreeMap::new(),
        })
    }

    /// Returns true if it accepts mail from this machine only, as after a content filter.
    pub(in crate::cli) fn is_inner(&self) -> bool {
        let name = self.name();
        ["127.", "[::1]", "::1", "localhost:"]
            .iter()
            .any(|start| name.starts_with(start))
    }

    /// Returns its name without the type, for people.
    pub(in crate::cli) fn name(&self) -> &str {
        self.id.rsplit_once('/').map_or(&self.id, |(name, _)| name)
    }
}

/// Parses a time of Postfix; a bare number is in seconds.
pub(in crate::cli) fn time(text: &str) -> Option<Duration> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    Some(Duration::from_secs(
        number.parse::<u64>().ok()?.checked_mul(seconds)?,
    ))
}

fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((name.trim().to_owned(), value.trim().to_owned()))
}

fn postconf(directory: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program());
    if let Some(directory) = directory {
        command.arg("-c").arg(directory);
    }
    let output = command
        .args(arguments)
        .output()
        .map_err(|error| format!("could not run postconf: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or_default();
        return Err(format!(
            "postconf {} failed: {last}; where main.cf is in another place, give --postfix-config DIR",
            arguments.join(" ")
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the program `postconf`: a user's search path often lacks the directory of Postfix's commands.
fn program() -> PathBuf {
    let usual = Path::new("/usr/sbin/postconf");
    if usual.exists() {
        usual.to_owned()
    } else {
        "postconf".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "\
smtp       inet  n       -       y       -       -       smtpd -o smtpd_milters=
127.0.0.1:587 inet n     -       -       -       7       smtpd -o a=b
cleanup    unix  n       -       n       -       0       cleanup
";
    const OVERRIDES: &str = "smtp/inet/smtpd_milters =\n127.0.0.1:587/inet/a = b = c\nx/y/z = 1\n";

    #[test]
    fn services_have_their_own_values_over_those_of_main_cf() {
        let main = "smtpd_milters = unix:a\na = 1\ncompatibility_level = 3.6\ndefault_process_limit = 100\n";
        let postfix = Postfix::parse(main, MASTER, OVERRIDES);
        let services: Vec<_> = postfix.smtpd().collect();
        assert_eq!(services.len(), 2);
        assert_eq!(postfix.of(services[0], "smtpd_milters"), Some(""));
        assert_eq!(postfix.of(services[1], "smtpd_milters"), Some("unix:a"));
        assert_eq!(postfix.of(services[1], "a"), Some("b = c"));
        assert_eq!((services[0].chroot, services[1].chroot), (true, false));
        assert_eq!(services[1].name(), "127.0.0.1:587");
        assert_eq!(postfix.sessions_max(), Some(107));
        assert!(!postfix.cleanup().unwrap().chroot);
        assert_eq!(postfix.get("b"), None);
    }

    #[test]
    fn before_compatibility_level_1_services_are_chrooted_by_default() {
        let postfix = Postfix::parse("compatibility_level = 0", MASTER, "");
        assert!(postfix.smtpd().all(|service| service.chroot));
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("30", 30),
            ("30s", 30),
            ("5m", 300),
            ("1h", 3600),
            ("2d", 172_800),
        ] {
            assert_eq!(time(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "5x", "-1", "99999999999999999999w"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}

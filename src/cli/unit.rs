//! The state of our systemd units, and the restrictions of the service's sandbox.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{config::Network, units::Service};

/// The properties to ask for.
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,UnitFileState,FragmentPath,Listen,\
                          ConditionResult,User,ProtectSystem,ProtectHome,PrivateTmp,ReadWritePaths,BindPaths,\
                          StateDirectory,RuntimeDirectory,InaccessiblePaths,NoNewPrivileges,MemoryDenyWriteExecute,\
                          IPAddressAllow,IPAddressDeny,AmbientCapabilities,Group,SupplementaryGroups,\
                          PrivateUsers,PrivateNetwork,ReadOnlyPaths,BindReadOnlyPaths,RestrictAddressFamilies,ExecMainStatus,NRestarts,Names,InvocationID";

/// A unit, by its properties.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit(HashMap<String, String>);

impl Unit {
    /// Asks systemd; `None` if it does not run, or does not know the unit.
    pub(super) fn read(name: &str) -> Option<Self> {
        let output = Command::new("systemctl")
            .args(["show", "--no-pager", PROPERTIES, name])
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let unit = Self::parse(&text);
        let is_known = !matches!(unit.get("LoadState"), "" | "not-found");
        (output.status.success() && is_known).then_some(unit)
    }

    /// Asks systemd for the unit of a service; where it does not run, or does not know it, the unit is as we ship it.
    pub(super) fn of(service: Service) -> Self {
        let name = service.unit();
        let shipped = || format!("Id={name}\nProtectSystem=strict\nStateDirectory=depollueur\n");
        Self::read(name).unwrap_or_else(|| Self::parse(&shipped()))
    }

    /// Parses the output of `systemctl show`.
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// Returns a property; empty if there is none.
    pub(super) fn get(&self, property: &str) -> &str {
        self.0.get(property).map_or("", String::as_str)
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(
            self.get("ActiveState"),
            "active" | "reloading" | "activating"
        )
    }

    pub(super) fn is_failed(&self) -> bool {
        self.get("ActiveState") == "failed"
    }

    pub(super) fn is_masked(&self) -> bool {
        self.get("LoadState") == "masked"
    }

    pub(super) fn is_enabled(&self) -> bool {
        matches!(self.get("UnitFileState"), "enabled" | "enabled-runtime")
    }

    /// Returns the path at which a socket unit listens.
    pub(super) fn socket_path(&self) -> Option<PathBuf> {
        let path = self.get("Listen").split(" (").next()?;
        path.starts_with('/').then(|| path.into())
    }

    fn is_on(&self, property: &str) -> bool {
        self.get(property) == "yes"
    }

    /// Returns the setting that hides this path from the daemon, if its sandbox hides it.
    pub(super) fn hides(&self, path: &Path) -> Option<&'static str> {
        let homes = ["/home", "/root", "/run/user"];
        let is_bound = self.lists(&["BindPaths", "BindReadOnlyPaths"], path);
        if is_bound {
            return None;
        }
        let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        if below(&homes) && matches!(self.get("ProtectHome"), "yes" | "tmpfs") {
            return Some("ProtectHome=");
        }
        (below(&["/tmp", "/var/tmp"]) && self.is_on("PrivateTmp")).then_some("PrivateTmp=")
    }

    /// Returns true if the daemon may write below this path.
    pub(super) fn may_write(&self, path: &Path) -> bool {
        if self.lists(&["ReadWritePaths", "BindPaths"], path) || self.owns(path) {
            return true;
        }
        let below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        match self.get("ProtectSystem") {
            "strict" => below(&["/dev", "/proc", "/sys", "/tmp", "/var/tmp"]),
            "full" => !below(&["/usr", "/boot", "/efi", "/etc"]),
            "yes" => !below(&["/usr", "/boot", "/efi"]),
            _ => true,
        }
    }

    /// Returns true if the path is in a directory that systemd creates for the service.
    fn owns(&self, path: &Path) -> bool {
        let made = [("StateDirectory", "/var/lib"), ("RuntimeDirectory", "/run")];
        made.iter().any(|(property, place)| {
            let names = self.get(property).split_whitespace();
            names
                .map(|name| name.split(':').next().unwrap_or(name))
                .any(|name| path.starts_with(Path::new(place).join(name)))
        })
    }

    fn lists(&self, properties: &[&str], path: &Path) -> bool {
        properties.iter().any(|property| {
            let entries = self.get(property).split_whitespace();
            // "-" or "+" may precede a path; source and destination of a bind mount are joined by ":".
            let places = entries.map(|entry| entry.trim_start_matches(['-', '+']));
            places
                .map(|place| place.split(':').nth(1).unwrap_or(place))
                .any(|place| path.starts_with(place))
        })
    }

    /// Returns true if packets to and from this address pass.
    pub(super) fn lets_pass(&self, ip: IpAddr) -> bool {
        let covers = |property: &str| {
            self.get(property)
                .split_whitespace()
                .any(|net| net.parse::<Network>().is_ok_and(|net| net.contains(ip)))
        };
        covers("IPAddressAllow") || !covers("IPAddressDeny")
    }

    /// Returns the lines that add a setting to the service, ready to type.
    pub(super) fn drop_in(&self, file: &str, setting: &str) -> Vec<String> {
        let id = self.id();
        let directory = format!("/etc/systemd/system/{id}.d");
        let name = id.trim_end_matches(".service");
        vec![
            format!("mkdir -p {directory}"),
            format!(r"printf '[Service]\n{setting}\n' > {directory}/{file}.conf"),
            "systemctl daemon-reload".to_owned(),
            format!("systemctl restart {name}"),
        ]
    }

    /// Returns the subject of a sentence about the service.
    pub(super) fn subject(&self) -> &str {
        match self.id() {
            id if id == Service::Whole.unit() => "the daemon's service",
            id => id,
        }
    }

    /// Returns the name of the unit.
    pub(super) fn id(&self) -> &str {
        match self.get("Id") {
            "" => Service::Whole.unit(),
            id => id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> Unit {
        Unit::parse(text)
    }

    #[test]
    fn a_strict_sandbox_lets_write_only_what_is_made_or_listed() {
        let unit = unit(
            "ProtectSystem=strict\nStateDirectory=depollueur\nRuntimeDirectory=depollueur\nReadWritePaths=-/srv/drop\n",
        );
        for (path, may) in [
            ("/var/lib/depollueur", true),
            ("/var/lib/depollueur/files", true),
            ("/var/lib/depollueurs", false),
            ("/srv/drop", true),
            ("/srv/drop/a", true),
            ("/srv", false),
            ("/run/depollueur", true),
            ("/mnt/disk", false),
        ] {
            assert_eq!(unit.may_write(Path::new(path)), may, "{path}");
        }
    }

    #[test]
    fn homes_and_temporary_directories_are_hidden() {
        let unit = unit("ProtectHome=yes\nPrivateTmp=yes\nBindPaths=/data:/home/drop\n");
        assert_eq!(
            unit.hides(Path::new("/home/a/logo.png")),
            Some("ProtectHome=")
        );
        assert_eq!(unit.hides(Path::new("/home/drop/logo.png")), None);
        assert_eq!(unit.hides(Path::new("/tmp/logo.png")), Some("PrivateTmp="));
        assert_eq!(unit.hides(Path::new("/etc/depollueur/logo.png")), None);
    }

    #[test]
    fn addresses_pass_that_are_allowed_or_not_denied() {
        let unit =
            unit("IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=127.0.0.0/8 ::1/128 192.0.2.1/32\n");
        for (ip, passes) in [
            ("127.0.0.9", true),
            ("::1", true),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(unit.lets_pass(ip.parse().unwrap()), passes, "{ip}");
        }
        assert!(Unit::default().lets_pass("192.0.2.2".parse().unwrap()));
    }
}

//! Obstacles of this machine for a configuration, regardless of who reads it: files, addresses, space.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use rustix::fs::{statfs, statvfs};

use super::Obstacle;
use crate::{
    config::{BlobsKind, Config, ListenAddress, StoreKind},
    credentials,
    drop::FileDrop,
    jirafeau::Jirafeau,
    store::Stores,
    units::{self, Part},
};

/// Directories that systemd creates for the daemon's socket.
const MADE_BY_UNITS: [&str; 2] = ["/run", "/var/spool/postfix/depollueur"];

/// The `f_type` of tmpfs (statfs(2)).
const TMPFS: u64 = 0x0102_1994;

/// Returns all obstacles of the machine.
pub(in crate::cli) fn all(config: &Config) -> Vec<Obstacle> {
    let remote = config
        .uses(StoreKind::Remote)
        .then(|| of_remote(config))
        .flatten();
    let addresses = listeners(config).into_iter();
    // Where blobs lie in a bucket, no free space is asked for.
    let disk = (config.drop.blobs == BlobsKind::Directory).then_some(config);
    remote
        .into_iter()
        .chain(of_records(config))
        .chain(of_bucket(config))
        .chain(of_jirafeau(config))
        .chain(of_postfix(config))
        .chain(of_socket("milter.listen", &config.milter.listen, "postfix"))
        .chain(of_socket("web.listen", &config.web.listen, "www-data"))
        .chain(addresses.filter_map(|(key, address)| of_address(key, address)))
        .chain(disk.and_then(of_room))
        .chain(disk.and_then(of_inodes))
        .chain(of_copy(config))
        .chain(of_spool_memory(config))
        .collect()
}

/// Checks the key and the certificates of the bucket, as the daemon will read them.
fn of_bucket(config: &Config) -> Option<Obstacle> {
    let (s3, key) = (&config.s3, config.s3.secret_key_file.as_deref()?);
    if !config.drop.uses_bucket() {
        return None;
    }
    if let Err(error) = credentials::secret(key, "key") {
        let (message, shown) = (format!("s3.secret_key_file: {error}"), key.display());
        let fix = if message.contains("everybody") {
            format!("chmod o= '{shown}'")
        } else {
            format!(
                "install -m 0640 -g depollueur /dev/stdin '{shown}'    # then the secret half of the key, Enter, Ctrl-D"
            )
        };
        return Some(obstacle(message, &[fix]));
    }

    let error = credentials::certificates(s3.ca_file.as_deref()?).err()?;
    let fix = "set s3.ca_file to a file of certificates (PEM), or to \"\"".to_owned();
    Some(obstacle(format!("s3.ca_file: {error}"), &[fix]))
}

/// Returns the addresses at which the daemon listens, with their keys.
pub(super) fn listeners(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let all = [
        ("milter.listen", config.milter.listen.tcp()),
        ("web.listen", config.web.listen.tcp()),
        ("admin.listen", Some(config.admin.listen)),
        ("admin.web_listen", config.admin.web_listen),
        ("deposit.listen", config.deposit.listen),
    ];
    all.into_iter()
        .filter_map(|(key, address)| Some((key, address?)))
        .collect()
}

fn obstacle(message: String, fix: &[String]) -> Obstacle {
    Obstacle {
        message,
        fix: fix.to_vec(),
        is_harmless: false,
    }
}

/// Checks the token and the certificates for the drop of another host, as the daemon will read them.
fn of_remote(config: &Config) -> Option<Obstacle> {
    let error = Stores::elsewhere(config).err()?.to_string();
    let token = config.remote.token_file.as_deref().unwrap_or(Path::new(""));
    let shown = token.display().to_string();
    if !error.contains(&shown) {
        let fix = "set remote.ca_file to a file of certificates (PEM), or to \"\"".to_owned();
        return Some(obstacle(format!("remote.ca_file: {error}"), &[fix]));
    }

    let message = format!("remote.token_file: {error}");
    let why = error.replace(&shown, "");
    let is_open = token.exists() && why.contains("everybody");
    if is_open {
        return Some(obstacle(message, &[format!("chmod o= '{shown}'")]));
    }

    if !token.is_file() || why.contains("token") {
        let fix = [
            "on the host of the drop: depollueur drop token add NAME".to_owned(),
            format!(
                "install -m 0640 -g depollueur /dev/stdin '{shown}' (and give it what that prints, then Ctrl-D)"
            ),
        ];
        return Some(obstacle(message, &fix));
    }

    Some(obstacle(
        message,
        &[format!(
            "chgrp depollueur '{shown}' && chmod 0640 '{shown}'"
        )],
    ))
}

/// Asks the server that has the records. One on a socket knows a client by its user: it is asked by whoever is
/// not root, for the daemon is not.
fn of_records(config: &Config) -> Option<Obstacle> {
    let url = config.drop.postgres_url()?;
    if url.is_local_socket() && rustix::process::geteuid().is_root() {
        return None;
    }
    let error = FileDrop::reach_records(&config.drop).err()?;
    let fix = "set drop.records to the address of a database that answers, and its password in \
               drop.records_password_file; the guide says how to make one (On PostgreSQL)";
    Some(obstacle(
        format!("drop.records: {error}"),
        &[fix.to_owned()],
    ))
}

/// Checks the upload password and the certificates for Jirafeau, as the daemon will read them.
fn of_jirafeau(config: &Config) -> Option<Obstacle> {
    let error = Jirafeau::open(&config.jirafeau).err()?.to_string();
    let password = config.jirafeau.upload_password_file.as_deref();
    let password = password.unwrap_or(Path::new(""));
    let shown = password.display().to_string();
    if shown.is_empty() || !error.contains(&shown) {
        let fix = "set jirafeau.ca_file to a file of certificates (PEM), or to \"\"".to_owned();
        return Some(obstacle(format!("jirafeau.ca_file: {error}"), &[fix]));
    }

    let message = format!("jirafeau.upload_password_file: {error}");
    let is_open = password.exists() && error.contains("everybody");
    let fix = match password.is_file() {
        true if is_open => format!("chmod o= '{shown}'"),
        true if !error.contains("one password") => {
            format!("chgrp depollueur '{shown}' && chmod 0640 '{shown}'")
        }
        _ => format!(
            "install -m 0640 -g depollueur /dev/stdin '{shown}' (and give it one of Jirafeau's upload passwords, then Ctrl-D)"
        ),
    };
    Some(obstacle(message, &[fix]))
}

/// Checks `lookup.postfix_config`: without a main.cf there, Postfix looks as if it were not installed.
fn of_postfix(config: &Config) -> Option<Obstacle> {
    let directory = config.lookup.postfix_config.as_deref()?;
    let is_missing = matches!(
        fs::metadata(directory.join("main.cf")),
        Err(error) if error.kind() == io::ErrorKind::NotFound
    );
    is_missing.then(|| {
        let message = format!(
            "lookup.postfix_config = \"{}\": there is no main.cf in it, so that nobody is found behind aliases",
            directory.display()
        );
        let fix = "set lookup.postfix_config to \"\", or to what this prints: postconf -h config_directory";
        obstacle(message, &[fix.to_owned()])
    })
}

/// Checks the directory of a unix socket, unless systemd creates it.
fn of_socket(key: &str, listen: &ListenAddress, group: &str) -> Option<Obstacle> {
    let ListenAddress::Unix(socket) = listen else {
        return None;
    };
    let home = socket.parent()?;
    if home.is_dir() || MADE_BY_UNITS.iter().any(|made| home.starts_with(made)) {
        return None;
    }
    let shown = home.display();
    let message = format!(
        "{key} = \"unix:{}\": there is no directory \"{shown}\"",
        socket.display()
    );
    let fix = format!("install -d -m 0750 -o depollueur -g {group} '{shown}'");
    Some(obstacle(message, &[fix]))
}

/// Checks that an interface of this machine has the address.
fn of_address(key: &str, address: SocketAddr) -> Option<Obstacle> {
    let error = TcpListener::bind((address.ip(), 0)).err()?;
    (error.kind() == io::ErrorKind::AddrNotAvailable).then(|| {
        let (ip, port) = (address.ip(), address.port());
        let message = format!("{key} = \"{address}\": this machine has no address {ip}");
        let fix = format!("set {key} to an address that this prints, or to \"127.0.0.1:{port}\": ip -brief address");
        obstacle(message, &[fix])
    })
}

/// Checks that the space to be left free is below the size of the disk.
fn of_room(config: &Config) -> Option<Obstacle> {
    let directory = &config.drop.directory;
    let place = directory.ancestors().find(|place| place.exists())?;
    let found = statvfs(place).ok()?;
    let (total, wanted) = (
        found.f_blocks.saturating_mul(found.f_frsize),
        config.quota.free_space_min,
    );
    (wanted >= total).then(|| {
        let message = format!(
            "quota.free_space_min ({wanted} bytes) is not below the size of the disk of \"{}\" ({total} bytes): nothing is ever kept",
            directory.display()
        );
        let fix = "set quota.free_space_min to less, such as \"1 GB\", or mount a larger disk there";
        obstacle(message, &[fix.to_owned()])
    })
}

/// Returns the obstacle of more files to be left than the disk has room for.
fn of_inodes(config: &Config) -> Option<Obstacle> {
    let directory = &config.drop.directory;
    let place = directory.ancestors().find(|place| place.exists())?;
    let (total, wanted) = (statvfs(place).ok()?.f_files, config.quota.free_inodes_min);
    // Some file systems make inodes as they need them, and say 0.
    (total > 0 && wanted as u64 >= total).then(|| {
        let message = format!(
            "quota.free_inodes_min ({wanted}) is not below the number of files for which the disk of \"{}\" has room ({total}): nothing is ever kept",
            directory.display()
        );
        let fix = "set quota.free_inodes_min to less, such as 1000, or mount a disk with more inodes there";
        obstacle(message, &[fix.to_owned()])
    })
}

/// Returns the obstacle of a spool in memory, where systemd counts it as memory of the service.
fn of_spool_memory(config: &Config) -> Option<Obstacle> {
    let directory = config.spool.directory.as_deref()?;
    let kind = statfs(directory).ok()?.f_type as u64 & 0xffff_ffff;
    (kind == TMPFS).then(|| {
        let message = format!(
            "spool.directory = \"{}\" is in memory (tmpfs): what is spooled counts towards MemoryMax of the service, past which it is ended",
            directory.display()
        );
        let fix = format!(
            "set spool.directory to a directory on a disk, or to \"\", or raise MemoryHigh and MemoryMax: systemctl edit {}",
            units::of(Part::Mail)
        );
        Obstacle {
            is_harmless: true,
            ..obstacle(message, &[fix])
        }
    })
}

/// Returns the obstacle of a receiver of the copy of the audit log that is not there. Entries wait for it, and mail does not.
fn of_copy(config: &Config) -> Option<Obstacle> {
    let socket = config.audit.copy.socket()?;
    let receiver = UnixDatagram::unbound().and_then(|own| own.connect(socket));
    let error = receiver.err()?;
    let message = format!(
        "audit.copy: \"{}\" does not take the copy of the audit log: {error}",
        socket.display()
    );
    let fix =
        "set audit.copy to \"journal\", to \"syslog\" where a syslog daemon runs, or to \"off\"";
    Some(Obstacle {
        is_harmless: true,
        ..obstacle(message, &[fix.to_owned()])
    })
}

/// Returns the first port on which unprivileged users may listen.
pub(super) fn first_free_port() -> u16 {
    let path = PathBuf::from("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::AuditCopy;

    fn config() -> Config {
        let mut config = Config::default();
        config.quota.free_space_min = 0;
        config.quota.free_inodes_min = 0;
        config
    }

    fn told(config: &Config) -> String {
        let lines = |one: &Obstacle| format!("{}\n{}\n", one.message, one.fix.join("\n"));
        all(config).iter().map(lines).collect()
    }

    #[test]
    fn a_token_is_looked_at_where_it_is_used() {
        let home = tempfile::tempdir().unwrap();
        let token = home.path().join("token");
        let mut config = config();
        config.remote.url = "https://drop.example.org/".parse().ok();
        config.remote.token_file = Some(token.clone());
        assert_eq!(told(&config), "");
        config.store.kind = StoreKind::Remote;
        assert!(told(&config).contains("depollueur drop token add"));
        fs::write(&token, "two words\n").unwrap();
        assert!(told(&config).contains("chmod o= "));
        fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(told(&config).contains("does not hold one token"));
        fs::write(&token, "word\n").unwrap();
        assert_eq!(told(&config), "");
        config.remote.ca_file = Some("/nonexistent.pem".into());
        assert!(told(&config).contains("remote.ca_file: could not read"));
    }

    #[test]
    fn a_key_of_a_bucket_is_looked_at_where_it_is_used() {
        let home = tempfile::tempdir().unwrap();
        let key = home.path().join("key");
        let mut config = config();
        config.s3.secret_key_file = Some(key.clone());
        assert_eq!(told(&config), "");
        config.drop.blobs = BlobsKind::S3;
        assert!(told(&config).contains("install -m 0640 -g depollueur"));
        fs::write(&key, "secret\n").unwrap();
        assert!(told(&config).contains("chmod o= "));
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(told(&config), "");
        config.s3.ca_file = Some("/nonexistent.pem".into());
        assert!(told(&config).contains("s3.ca_file: could not read"));
    }

    #[test]
    fn what_the_machine_does_not_have_is_told() {
        let mut config = config();
        assert_eq!(told(&config), "");
        config.web.listen = "192.0.2.1:8025".parse().unwrap();
        assert!(told(&config).contains("this machine has no address 192.0.2.1"));
        config.web.listen = "0.0.0.0:8025".parse().unwrap();
        config.milter.listen = "unix:/nonexistent/m.sock".parse().unwrap();
        assert!(
            told(&config).contains("install -d -m 0750 -o depollueur -g postfix '/nonexistent'")
        );
        config.milter.listen = "unix:/run/nonexistent/m.sock".parse().unwrap();
        config.lookup.postfix_config = Some("/nonexistent".into());
        assert!(told(&config).contains("there is no main.cf in it"));
        config.lookup.postfix_config = None;
        config.quota.free_space_min = u64::MAX;
        assert!(told(&config).contains("nothing is ever kept"));
        config.quota.free_space_min = 0;
        config.quota.free_inodes_min = usize::MAX;
        let has_inodes = statvfs(Path::new("/")).unwrap().f_files > 0;
        assert_eq!(told(&config).contains("quota.free_inodes_min"), has_inodes);
    }

    #[test]
    fn a_spool_in_memory_is_told() {
        for (place, expected) in [
            ("/dev/shm", true),
            ("/proc", false),
            ("/nonexistent", false),
        ] {
            let is_there = Path::new(place).exists();
            let mut config = config();
            config.spool.directory = Some(place.into());
            let is_told = told(&config).contains("is in memory (tmpfs)");
            assert_eq!(is_told, expected && is_there, "{place}");
            assert!(all(&config).iter().all(|one| one.is_harmless));
        }
    }

    #[test]
    fn a_receiver_of_the_copy_of_the_audit_log_that_is_not_there_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("log");
        let mut config = config();
        config.audit.copy = AuditCopy::Socket(path.clone());
        assert!(told(&config).contains("does not take the copy of the audit log"));
        assert!(all(&config).iter().all(|one| one.is_harmless));
        let _receiver = UnixDatagram::bind(path).unwrap();
        assert_eq!(told(&config), "");
    }
}

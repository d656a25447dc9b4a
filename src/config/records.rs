//! The database of the drop's records: SQLite in the drop's own directory, or PostgreSQL.

use std::{fmt, net::IpAddr, time::Duration};

use tokio_postgres::config::{Host, SslMode};

use super::{
    Config, DropConfig,
    value::{Codec, Written},
};

/// The word for the database in the drop's directory.
const SQLITE: &str = "sqlite";

/// The port of PostgreSQL where an address names none.
const POSTGRES_PORT: u16 = 5432;

/// Maximum time for a connection to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which a connection on which nothing is acknowledged is given up.
const CUT_TIMEOUT: Duration = Duration::from_secs(20);

/// The database that holds the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RecordsDatabase {
    /// `drop.sqlite3` in the drop's directory.
    #[default]
    Sqlite,
    /// A database of a PostgreSQL server.
    Postgres(PostgresUrl),
}

/// The address of a database of PostgreSQL, as libpq writes it, without a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    client: Box<tokio_postgres::Config>,
}

impl PostgresUrl {
    /// Parses an address. It needs a host (or the directory of a socket) and the name of a database, and must
    /// hold no password. A host that is another machine is spoken to by TLS, unless it says `sslmode=disable`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_url = ["postgresql://", "postgres://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        if !is_url || text.contains(char::is_control) {
            return None;
        }

        let mut client: tokio_postgres::Config = text.parse().ok()?;
        let is_whole = !client.get_hosts().is_empty() && client.get_dbname().is_some();
        if !is_whole || client.get_password().is_some() {
            return None;
        }

        if client.get_ssl_mode() == SslMode::Prefer {
            client.ssl_mode(usual_mode(&client));
        }
        client
            .application_name("depollueur")
            .connect_timeout(CONNECT_TIMEOUT)
            .keepalives_idle(CUT_TIMEOUT)
            .tcp_user_timeout(CUT_TIMEOUT);
        Some(Self {
            text: text.to_owned(),
            client: Box::new(client),
        })
    }

    /// Returns what the client of the database needs, except for the password.
    pub(crate) fn client(&self) -> &tokio_postgres::Config {
        &self.client
    }

    /// Returns the hosts that are reached over TCP, each with its port.
    pub(crate) fn tcp_hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        let ports = self.client.get_ports();
        let port = move |n: usize| {
            ports
                .get(n)
                .or(ports.last())
                .copied()
                .unwrap_or(POSTGRES_PORT)
        };
        let hosts = self.client.get_hosts().iter().enumerate();
        hosts.filter_map(move |(n, host)| match host {
            Host::Tcp(name) => Some((name.as_str(), port(n))),
            Host::Unix(_) => None,
        })
    }

    /// Returns true if the server is asked through sockets of this machine.
    pub(crate) fn is_local_socket(&self) -> bool {
        let is_socket = |host: &Host| matches!(host, Host::Unix(_));
        self.client.get_hosts().iter().all(is_socket)
    }

    /// Returns true if the server is on this machine.
    fn is_here(&self) -> bool {
        self.client.get_hosts().iter().all(is_here)
    }

    /// Returns true if connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.client.get_ssl_mode() == SslMode::Require
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl DropConfig {
    /// Returns the address of the database in PostgreSQL that has the records, or from or to which they are moved.
    pub fn postgres_url(&self) -> Option<&PostgresUrl> {
        let databases = [Some(&self.records), self.records_from.as_ref()];
        databases
            .into_iter()
            .flatten()
            .find_map(|database| match database {
                RecordsDatabase::Sqlite => None,
                RecordsDatabase::Postgres(url) => Some(url),
            })
    }
}

impl Config {
    /// A contradiction about records that are moved: they go from one kind of database to the other.
    pub(super) fn contradiction_of_moved_records(&self) -> Option<(&'static str, String)> {
        let key = "drop.records_from";
        let (from, to) = (self.drop.records_from.as_ref()?, &self.drop.records);
        let reason = match (from, to) {
            (RecordsDatabase::Sqlite, RecordsDatabase::Sqlite) => format!(
                r#"{key} = "{SQLITE}": records would be moved to where they are (drop.records); write {key} = "", or another drop.records"#
            ),
            (RecordsDatabase::Postgres(url), RecordsDatabase::Postgres(_)) => format!(
                r#"{key} = "{url}": from PostgreSQL to PostgreSQL its own pg_dump moves a database; write {key} = """#
            ),
            _ => return None,
        };
        Some((key, reason))
    }

    /// Warns of files for the database that nobody reads, and of records that cross a network in clear.
    pub(super) fn warn_of_records(&self, warnings: &mut Vec<String>) {
        let files = [
            (
                "drop.records_password_file",
                &self.drop.records_password_file,
            ),
            ("drop.records_ca_file", &self.drop.records_ca_file),
        ];
        let Some(url) = self.drop.postgres_url() else {
            for (key, file) in files {
                warnings.extend(file.as_ref().map(|file| {
                    let file = file.display();
                    format!(
                        r#"{key} = "{file}": SQLite needs none; write drop.records = "postgresql://…", or leave it out"#
                    )
                }));
            }
            return;
        };
        if url.is_encrypted() {
            return;
        }

        if let Some(file) = &self.drop.records_ca_file {
            let file = file.display();
            warnings.push(format!(
                r#"drop.records_ca_file = "{file}": nothing is encrypted; add sslmode=require to drop.records = "{url}""#
            ));
        }
        if !url.is_here() {
            warnings.push(format!(
                r#"drop.records = "{url}": the network reads who sends what to whom, and can change it; leave sslmode=disable out"#
            ));
        }
    }
}

/// Returns the mode of an address that asks for none: an encryption that is only preferred protects from
/// nobody, and a server on this machine has a certificate that nobody signed.
fn usual_mode(client: &tokio_postgres::Config) -> SslMode {
    if client.get_hosts().iter().all(is_here) {
        SslMode::Disable
    } else {
        SslMode::Require
    }
}

/// Returns true if a host is this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    }
}

/// The database of the records.
pub(super) struct Records;

/// The database of the records, or none: an empty text.
pub(super) struct OptionalRecords;

impl Codec for Records {
    type Value = RecordsDatabase;

    fn parse(written: &Written) -> Option<RecordsDatabase> {
        match written.text()?.as_str() {
            SQLITE => Some(RecordsDatabase::Sqlite),
            url => PostgresUrl::parse(url).map(RecordsDatabase::Postgres),
        }
    }

    fn print(value: &RecordsDatabase) -> Written {
        Written::Text(match value {
            RecordsDatabase::Sqlite => SQLITE.to_owned(),
            RecordsDatabase::Postgres(url) => url.to_string(),
        })
    }

    fn allowed() -> String {
        r#""sqlite", or the address of a database such as "postgresql://depollueur@db.example.org/depollueur" or "postgresql:///depollueur?host=/run/postgresql", without a password: that stands in the file of drop.records_password_file"#.into()
    }
}

impl Codec for OptionalRecords {
    type Value = Option<RecordsDatabase>;

    fn parse(written: &Written) -> Option<Option<RecordsDatabase>> {
        match written.text()?.as_str() {
            "" => Some(None),
            _ => Records::parse(written).map(Some),
        }
    }

    fn print(value: &Option<RecordsDatabase>) -> Written {
        value
            .as_ref()
            .map_or_else(|| Written::Text(String::new()), Records::print)
    }

    fn allowed() -> String {
        format!("{}; or \"\"", Records::allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_encrypted(url: &str) -> bool {
        PostgresUrl::parse(url).unwrap().is_encrypted()
    }

    #[test]
    fn each_host_has_its_port_or_the_usual_one() {
        let peers = |url: &str| {
            let url = PostgresUrl::parse(url).unwrap();
            let peers = url.tcp_hosts().map(|(host, port)| format!("{host} {port}"));
            peers.collect::<Vec<_>>()
        };
        assert_eq!(peers("postgresql://a.example/drop"), ["a.example 5432"]);
        assert_eq!(
            peers("postgresql://a.example:5433,b.example:5434/drop"),
            ["a.example 5433", "b.example 5434"]
        );
        assert!(peers("postgresql:///drop?host=/run/postgresql").is_empty());
    }

    #[test]
    fn another_machine_is_spoken_to_by_tls() {
        assert!(is_encrypted("postgresql://db.example.org/drop"));
        assert!(is_encrypted(
            "postgresql://db.example.org/drop?sslmode=prefer"
        ));
        assert!(is_encrypted("postgresql://127.0.0.1,db.example.org/drop"));
        assert!(!is_encrypted(
            "postgresql://db.example.org/drop?sslmode=disable"
        ));
    }

    #[test]
    fn this_machine_is_not_unless_that_is_asked_for() {
        assert!(!is_encrypted("postgresql:///drop?host=/run/postgresql"));
        assert!(!is_encrypted("postgresql://u@localhost/drop"));
        assert!(!is_encrypted("postgresql://u@[::1]:5433/drop"));
        assert!(is_encrypted("postgresql://localhost/drop?sslmode=require"));
    }

    #[test]
    fn an_address_has_a_host_and_a_database_and_no_password() {
        for wrong in [
            "postgresql://",
            "postgresql://db.example.org",
            "postgresql:///drop",
            "postgresql://u:secret@db.example.org/drop",
            "postgresql://db.example.org/drop?password=secret",
            "postgresql://db.example.org/drop?sslmode=verify-full",
            "mysql://db.example.org/drop",
            "host=db.example.org dbname=drop",
        ] {
            assert_eq!(PostgresUrl::parse(wrong), None, "{wrong}");
        }
    }
}

//! A server for tests: the one that the environment names, which `tests/e2e/postgres.py` starts.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use super::connection::{Connection, Connections};
use crate::config::{DropConfig, PostgresUrl, RecordsDatabase};

/// The variable that has the address of the server's database `postgres`, with the rights of its owner.
const SERVER: &str = "DEPOLLUEUR_POSTGRES";

/// Returns the address of a fresh database; `None`, and says so, if no server is named.
pub(crate) fn fresh() -> Option<PostgresUrl> {
    let name = std::thread::current().name().unwrap_or("main").to_owned();
    let Some(server) = server() else {
        eprintln!("none  {name}: {SERVER} names no server");
        return None;
    };
    let mut hasher = DefaultHasher::new();
    (name, std::time::Instant::now()).hash(&mut hasher);
    Some(database(&server, &format!("test_{:x}", hasher.finish())))
}

/// Returns the database of the drop in a directory: one of PostgreSQL if a server is named, the same for
/// each opening.
pub(crate) fn of_directory(directory: &Path) -> RecordsDatabase {
    let Some(server) = server() else {
        return RecordsDatabase::Sqlite;
    };
    let mut hasher = DefaultHasher::new();
    directory.hash(&mut hasher);
    RecordsDatabase::Postgres(database(&server, &format!("drop_{:x}", hasher.finish())))
}

/// Returns a connection with the rights of its owner.
pub(super) fn connect(url: &PostgresUrl) -> (Connections, Connection) {
    let connections = Connections::new(url, &DropConfig::default()).unwrap();
    let connection = connections.get().unwrap();
    (connections, connection)
}

fn server() -> Option<PostgresUrl> {
    let url = std::env::var(SERVER).ok()?;
    Some(PostgresUrl::parse(&url).unwrap_or_else(|| panic!("{SERVER} is no address of a database")))
}

/// Makes a database, unless it is there.
fn database(server: &PostgresUrl, name: &str) -> PostgresUrl {
    let (_connections, connection) = connect(server);
    let sql = "SELECT 1 FROM pg_database WHERE datname = $1";
    if !connection.exists(sql, &[&name]).unwrap() {
        let make = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        connection.batch(&make).unwrap();
    }
    let url = server
        .to_string()
        .replacen("/postgres?", &format!("/{name}?"), 1);
    PostgresUrl::parse(&url).unwrap()
}

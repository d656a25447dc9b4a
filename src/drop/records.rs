//! The database of a drop's records, and the bond between it and the directory.
//!
//! Blobs without a record are swept. So a directory is never opened with records that are not its own: beside
//! `drop.sqlite3` there is no other database, and a database elsewhere remembers a number that stands in
//! the directory, too (`drop.postgres`). Hosts that share a drop have the same number there, and the same
//! `drop.key`.

use aws_lc_rs::rand;

use super::{DropError, blobs::Directory};
use crate::{
    config::{DropConfig, PostgresUrl, RecordsDatabase},
    ledger::{Fault, FaultKind, LedgerError, Note, Postgres, Records, Sqlite},
};

/// The file in the drop's directory that bonds it to a database elsewhere.
const BOND: &str = "drop.postgres";

/// Opens the database that the configuration names.
pub(super) fn open(
    directory: &Directory,
    config: &DropConfig,
) -> Result<Box<dyn Records>, DropError> {
    match &config.records {
        RecordsDatabase::Sqlite => {
            if directory.has(BOND)? {
                let reason = "its records are in PostgreSQL; set drop.records to its address, \
                              or drop.directory to another directory";
                return Err(refused(directory, reason));
            }
            Ok(Box::new(Sqlite::open(directory.database()?)?))
        }
        RecordsDatabase::Postgres(url) => {
            if directory.has_database()? {
                let reason = "its records are in drop.sqlite3; set drop.records = \"sqlite\", \
                              or drop.directory to another directory";
                return Err(refused(directory, reason));
            }
            let records = Postgres::open(url, config)?;
            bind(directory, &records, url)?;
            Ok(Box::new(records))
        }
    }
}

/// Asks the server that the configuration names, if it names one.
pub(super) fn reach(config: &DropConfig) -> Result<(), DropError> {
    match &config.records {
        RecordsDatabase::Sqlite => Ok(()),
        RecordsDatabase::Postgres(url) => Ok(Postgres::reach(url, config)?),
    }
}

/// Checks that the records are those of this directory. A directory without files and a database without
/// records become one drop.
fn bind(directory: &Directory, records: &dyn Records, url: &PostgresUrl) -> Result<(), DropError> {
    let known = records.note(Note::Directory)?;
    if known.is_none() && directory.has_blobs()? {
        let reason = format!("it holds files of which the database \"{url}\" knows nothing");
        return Err(refused(directory, &reason));
    }
    let is_bound = directory.has(BOND)?;
    if known.is_none() && is_bound {
        let reason = format!(
            "its drop.postgres says that it has records, and the database \"{url}\" has none: put those of the \
             backup back, or remove drop.postgres if the drop is empty"
        );
        return Err(refused(directory, &reason));
    }
    if known.is_some() && !is_bound {
        let reason = format!(
            "the database \"{url}\" is that of another one; copy drop.postgres and drop.key from there, \
             if both are to share its files"
        );
        return Err(refused(directory, &reason));
    }

    let own = directory.constant(BOND, random)?;
    let own = own
        .try_into()
        .map(i64::from_be_bytes)
        .map_err(|_| DropError::damaged(&directory.child(BOND), "it does not have eight bytes"))?;
    match known {
        None => adopt(directory, records, (own, url)),
        Some(known) if known == own => Ok(()),
        Some(_) => {
            let reason = format!("the database \"{url}\" is that of another one");
            Err(refused(directory, &reason))
        }
    }
}

/// Gives the database the number of this directory, unless another one was faster.
fn adopt(
    directory: &Directory,
    records: &dyn Records,
    (own, url): (i64, &PostgresUrl),
) -> Result<(), DropError> {
    records.set_notes(&[(Note::Directory, own)])?;
    if records.note(Note::Directory)? == Some(own) {
        return Ok(());
    }
    let reason = format!("the database \"{url}\" has become that of another one meanwhile");
    Err(refused(directory, &reason))
}

/// Returns the number of the records, which marks a place outside of the directory as the drop's. It is made when it is
/// first asked for: records that were made anew have another, and sweep nothing there.
pub(super) fn number(records: &dyn Records) -> Result<i64, DropError> {
    if let Some(number) = records.note(Note::Directory)? {
        return Ok(number);
    }
    let mut number = [0; 8];
    rand::fill(&mut number).expect("the system gives random bytes");
    let number = i64::from_be_bytes(number);
    records.set_notes(&[(Note::Directory, number)])?;
    Ok(records.note(Note::Directory)?.unwrap_or(number))
}

fn refused(directory: &Directory, reason: &str) -> DropError {
    let place = directory.child("");
    let text = format!("could not open \"{}\": {reason}", place.display());
    LedgerError::from(Fault::new(FaultKind::Database, text)).into()
}

fn random() -> Vec<u8> {
    let mut bytes = vec![0; 8];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

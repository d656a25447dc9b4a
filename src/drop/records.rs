//! The database of a drop's records, and the bond between it and the directory.
//!
//! Blobs without a record are swept. So a directory is never opened with records that are not its own: beside
//! `drop.sqlite3` there is no other database, and a database elsewhere remembers a number that stands in
//! the directory, too (`drop.postgres`). Hosts that share a drop have the same number there, and the same
//! `drop.key`.

use std::fs::File;

use aws_lc_rs::rand;

use super::{DropError, blobs::Directory};
use crate::{
    config::{DropConfig, PostgresUrl, RecordsDatabase},
    ledger::{
        self, Fault, FaultKind, LedgerError, MovingRecords, Note, Postgres, Records, Sqlite,
        Transferred,
    },
};

/// The file in the drop's directory that bonds it to a database elsewhere. It decides: where it is, the records are
/// there, and a `drop.sqlite3` beside it is not finished, or left over.
const BOND: &str = "drop.postgres";

/// The file whose lock a move of all records has.
const MOVE: &str = "drop.moving";

/// Opens the database where the records are: the one that the configuration names, or the one from which they are
/// to be moved there. The directory is locked.
pub(super) fn open(
    directory: &Directory,
    config: &DropConfig,
) -> Result<Box<dyn Records>, DropError> {
    let Some(source) = source(directory, config)? else {
        return open_one(directory, config, &config.records);
    };
    let (directory, config) = (directory.clone(), config.clone());
    let open = move || {
        let _alone = directory.lock()?;
        open(&directory, &config)
    };
    let moving = MovingRecords::new(source, move || open().map_err(LedgerError::from));
    Ok(Box::new(moving))
}

/// Moves all records from the database that `drop.records_from` names to the one that `drop.records` names. `None` if
/// there are none in the first one any more. `go_on` is told how many rows there are, and each time how many were
/// read.
pub(super) fn migrate(
    config: &DropConfig,
    begin: impl FnOnce(u64),
    go_on: impl Fn(u64),
) -> Result<Option<Transferred>, DropError> {
    let directory = Directory::open(&config.directory)?;
    let _sole = sole(&directory)?;
    let alone = directory.lock()?;
    let Some(source) = source(&directory, config)? else {
        return Ok(None);
    };
    let number = number(&*source)?;
    let target = open_target(&directory, config, number)?;
    drop(alone);

    begin(ledger::rows(&*source)?);
    let arrival = i64::from_be_bytes(random());
    let moved = ledger::transfer(&*source, &*target, arrival, go_on)?;
    drop((source, target));
    let _alone = directory.lock()?;
    // A process that uses the records may have seen it first, and have let the directory say so.
    self::source(&directory, config)?;
    Ok(Some(moved))
}

/// Opens the database from which records are to be moved; `None` if they have been.
fn source(
    directory: &Directory,
    config: &DropConfig,
) -> Result<Option<Box<dyn Records>>, DropError> {
    let Some(from) = &config.records_from else {
        return Ok(None);
    };
    let is_bound = directory.has(BOND)?;
    let is_there = match from {
        RecordsDatabase::Sqlite => !is_bound && directory.has_database()?,
        RecordsDatabase::Postgres(_) => is_bound,
    };
    if !is_there {
        return Ok(None);
    }
    match open_one(directory, config, from) {
        Err(error) if error.fault() == Some(FaultKind::Moved) => {
            arrive(directory, config)?;
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// Opens a database that is to get all records, and marks it as this drop's.
fn open_target(
    directory: &Directory,
    config: &DropConfig,
    number: i64,
) -> Result<Box<dyn Records>, DropError> {
    let (records, place): (Box<dyn Records>, String) = match &config.records {
        RecordsDatabase::Sqlite => {
            let path = directory.database()?;
            if Sqlite::arrival(&path)?.is_some() {
                directory.forget_database()?;
                directory.database()?;
            }
            (Box::new(Sqlite::open(path)?), "drop.sqlite3".to_owned())
        }
        RecordsDatabase::Postgres(url) => {
            let records = Postgres::open_again(url, config)?;
            (Box::new(records), format!("the database \"{url}\""))
        }
    };
    match records.note(Note::Directory)? {
        None => records.set_notes(&[(Note::Directory, number)])?,
        Some(known) if known == number => {}
        Some(_) => {
            let reason =
                format!("{place} has the records of another drop: nothing was moved there");
            return Err(refused(directory, &reason));
        }
    }
    Ok(records)
}

/// Lets the directory say that the records are where they were moved.
fn arrive(directory: &Directory, config: &DropConfig) -> Result<(), DropError> {
    match (&config.records_from, &config.records) {
        (Some(RecordsDatabase::Sqlite), RecordsDatabase::Postgres(url)) => {
            let left = Sqlite::arrival(&directory.database()?)?;
            let records = Postgres::open(url, config)?;
            refuse_other(directory, left, &records)?;
            let number = number(&records)?;
            directory.constant(BOND, || number.to_be_bytes().to_vec())?;
            directory.forget_database()
        }
        (Some(RecordsDatabase::Postgres(url)), RecordsDatabase::Sqlite) => {
            let left = Postgres::arrival(url, config)?;
            if !directory.has_database()? {
                let reason = "its records were moved to the drop.sqlite3 of another host";
                return Err(refused(directory, reason));
            }
            refuse_other(directory, left, &Sqlite::open(directory.database()?)?)?;
            directory.forget(BOND)
        }
        _ => Ok(()),
    }
}

/// Refuses records that are not those of the move which is noted where they were.
fn refuse_other(
    directory: &Directory,
    left: Option<i64>,
    records: &dyn Records,
) -> Result<(), DropError> {
    if left.is_some() && records.note(Note::Arrival)? == left {
        return Ok(());
    }
    let reason =
        "its records were moved, but not to where drop.records says: set it to where they are";
    Err(refused(directory, reason))
}

/// Makes sure that only one process moves the records.
fn sole(directory: &Directory) -> Result<File, DropError> {
    let path = directory.child(MOVE);
    let failed = |e| DropError::io("lock", &path, e);
    let file = File::create(&path).map_err(failed)?;
    if file.try_lock().is_err() {
        let reason = "another depollueur drop migrate is moving its records";
        return Err(refused(directory, reason));
    }
    Ok(file)
}

fn open_one(
    directory: &Directory,
    config: &DropConfig,
    database: &RecordsDatabase,
) -> Result<Box<dyn Records>, DropError> {
    let is_bound = directory.has(BOND)?;
    match database {
        RecordsDatabase::Sqlite => {
            if is_bound {
                let reason = "its records are in PostgreSQL; set drop.records to its address, \
                              or drop.directory to another directory";
                return Err(refused(directory, reason));
            }
            Ok(Box::new(Sqlite::open(directory.database()?)?))
        }
        RecordsDatabase::Postgres(url) => {
            if directory.has_database()? && !is_bound {
                let reason = "its records are in drop.sqlite3; set drop.records = \"sqlite\", \
                              or drop.directory to another directory; or move them: write \
                              drop.records_from = \"sqlite\", restart, and type depollueur drop migrate";
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
    let Some(url) = config.postgres_url() else {
        return Ok(());
    };
    match Postgres::reach(url, config) {
        Err(error) if error.fault() == Some(FaultKind::Moved) && config.records_from.is_some() => {
            Ok(())
        }
        reached => Ok(reached?),
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

    let own = directory.constant(BOND, || random().to_vec())?;
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
    let number = i64::from_be_bytes(random());
    records.set_notes(&[(Note::Directory, number)])?;
    Ok(records.note(Note::Directory)?.unwrap_or(number))
}

fn refused(directory: &Directory, reason: &str) -> DropError {
    let place = directory.child("");
    let text = format!("could not open \"{}\": {reason}", place.display());
    LedgerError::from(Fault::new(FaultKind::Database, text)).into()
}

fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

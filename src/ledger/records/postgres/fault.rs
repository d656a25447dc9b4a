//! The failures of PostgreSQL, as the ledger tells them.

use std::error::Error as _;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, SqlState};

use super::LedgerError;
use crate::{
    config::PostgresUrl,
    ledger::error::{Fault, FaultKind},
};

pub(super) type Result<T> = std::result::Result<T, Failure>;

/// A failure of one step of a verb.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused, or the connection to it failed.
    Client(tokio_postgres::Error),
    /// A value is not what was written.
    Damaged(String),
    /// No answer came in time.
    Silent,
    /// No connection, or no turn to write, was free in time.
    Busy,
    /// The certificates cannot be used, or the server is not one that can be.
    Unusable(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Client(error)
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::Client(error)
            }
            PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => Self::Busy,
            PoolError::Timeout(_) => Self::Silent,
            other => Self::Unusable(other.to_string()),
        }
    }
}

/// Converts a failure; `action` is the attempted action, as a verb.
pub(super) fn failed(action: &str, url: &PostgresUrl, failure: Failure) -> LedgerError {
    let could_not = |reason: &str| format!("could not {action} the database \"{url}\": {reason}");
    let (kind, reason) = match failure {
        Failure::Client(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
            return moved(url);
        }
        Failure::Client(error) => {
            let (kind, reason) = told(&error);
            return Fault::new(kind, could_not(&reason)).because(error).into();
        }
        Failure::Damaged(reason) => return damaged(url, &reason),
        Failure::Silent => (FaultKind::Database, "it does not answer".to_owned()),
        Failure::Busy => (FaultKind::Busy, "others have it for too long".to_owned()),
        Failure::Unusable(reason) => (FaultKind::Database, reason),
    };
    Fault::new(kind, could_not(&reason)).into()
}

/// Makes the error of a database that does not hold what was written.
pub(super) fn damaged(url: &PostgresUrl, reason: &str) -> LedgerError {
    let text = format!("the database \"{url}\" is damaged: {reason}");
    Fault::new(FaultKind::Damaged, text).into()
}

/// Makes the error of a database whose records are in another one by now.
pub(super) fn moved(url: &PostgresUrl) -> LedgerError {
    Fault::moved(&format!("the database \"{url}\"")).into()
}

/// Makes the error of a database that a later version wrote.
pub(super) fn too_new(url: &PostgresUrl, found: i64, known: i64) -> LedgerError {
    let text =
        format!("database \"{url}\" has schema {found}, this version knows schemas up to {known}");
    Fault::new(FaultKind::TooNew, text).into()
}

/// Returns the kind of an error, and the words of the server or of what lies on the way to it.
fn told(error: &tokio_postgres::Error) -> (FaultKind, String) {
    match error.as_db_error() {
        Some(refusal) => (kind(refusal.code()), words(refusal)),
        None => (FaultKind::Database, chain(error)),
    }
}

/// Returns what an error of the server calls for.
fn kind(code: &SqlState) -> FaultKind {
    const KINDS: &[(SqlState, FaultKind)] = &[
        (SqlState::DISK_FULL, FaultKind::Full),
        (SqlState::READ_ONLY_SQL_TRANSACTION, FaultKind::Denied),
        (SqlState::INSUFFICIENT_PRIVILEGE, FaultKind::Denied),
        (SqlState::INVALID_PASSWORD, FaultKind::Denied),
        (
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            FaultKind::Denied,
        ),
        (SqlState::T_R_SERIALIZATION_FAILURE, FaultKind::Busy),
        (SqlState::T_R_DEADLOCK_DETECTED, FaultKind::Busy),
        (SqlState::LOCK_NOT_AVAILABLE, FaultKind::Busy),
        (SqlState::QUERY_CANCELED, FaultKind::Busy),
        (SqlState::TOO_MANY_CONNECTIONS, FaultKind::Busy),
        (SqlState::CANNOT_CONNECT_NOW, FaultKind::Busy),
        (SqlState::DATA_CORRUPTED, FaultKind::Damaged),
        (SqlState::INDEX_CORRUPTED, FaultKind::Damaged),
        (SqlState::IO_ERROR, FaultKind::Io),
    ];
    let known = KINDS.iter().find(|(known, _)| known == code);
    known.map_or(FaultKind::Database, |&(_, kind)| kind)
}

/// Returns the message of the server, without its details: they quote rows, which hold addresses.
fn words(refusal: &DbError) -> String {
    format!("{} ({})", refusal.message(), refusal.code().code())
}

/// Returns the words of an error and of its causes.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

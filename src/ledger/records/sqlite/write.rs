//! The changes of the database, each inside a transaction.

use std::ops::Range;

use jiff::Timestamp;
use rusqlite::params;

use super::{FORGOTTEN_AT_ONCE, Fingerprint, Record, RecordFile, Term, statistics, writer::Write};
use crate::{
    envelope::Domains,
    ledger::{RecordId, quota},
};

type Result<T> = rusqlite::Result<T>;

/// Inserts a package, and returns its quota cost.
pub(super) fn insert(
    transaction: &Write<'_>,
    id: RecordId,
    record: &Record,
    files: &[RecordFile],
) -> Result<i64> {
    let Record {
        created,
        term,
        origin,
        manifest,
        unlock,
        elsewhere,
        ..
    } = record;

    let mut package = transaction.prepare_cached(
        "INSERT INTO package (id, created, expires, manifest, queue_id, sender, login, direction,
                              recipients, files, bytes, unlock, domains, client, uploader,
                              verified, cost, message_id, kept_until, locators)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                 ?19, ?20)",
    )?;

    let bytes = files.iter().map(|file| file.size).sum::<u64>();
    let cost = files.iter().map(|file| quota::cost(file.size)).sum::<u64>() as i64;

    package.execute(params![
        id.0,
        created.as_second(),
        term.expires.as_second(),
        manifest,
        origin.queue_id,
        origin.sender,
        origin.login,
        origin.direction.as_str(),
        origin.recipients,
        files.len() as i64,
        bytes as i64,
        unlock.word(),
        domains(&origin.domains)?,
        origin.client.map(|client| client.to_string()),
        origin.uploader,
        origin.verified,
        cost,
        origin.message_id,
        elsewhere.as_ref().map(|there| there.kept_until.as_second()),
        elsewhere.as_ref().map(|there| &there.locators),
    ])?;

    statistics::add(transaction, record, files.len() as u64, bytes)?;

    let mut insert = transaction.prepare_cached(
        "INSERT INTO file (package, position, number, size, fingerprint)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, file) in files.iter().enumerate() {
        insert.execute(params![
            id.0,
            position as i64,
            file.number,
            file.size as i64,
            file.fingerprint,
        ])?;
    }
    Ok(cost)
}

/// Notes the networks that a package came from, and forgets some older ones.
pub(super) fn networks(
    transaction: &Write<'_>,
    (id, created): (RecordId, Timestamp),
    networks: &[Fingerprint],
    cost: i64,
) -> Result<()> {
    if networks.is_empty() {
        return Ok(());
    }
    let mut insert = transaction.prepare_cached(
        "INSERT INTO client_network (package, network, created, cost) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for network in networks {
        insert.execute(params![id.0, network, created.as_second(), cost])?;
    }
    let before = created.saturating_sub(quota::DAY);
    forget_networks(
        transaction,
        before.unwrap_or(Timestamp::MIN),
        FORGOTTEN_AT_ONCE,
    )
}

pub(super) fn forget_networks(
    transaction: &Write<'_>,
    before: Timestamp,
    limit: usize,
) -> Result<()> {
    let mut forget = transaction.prepare_cached(
        "DELETE FROM client_network WHERE rowid IN
         (SELECT rowid FROM client_network WHERE created < ?1 ORDER BY created LIMIT ?2)",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    forget.execute(params![before.as_second(), limit]).map(drop)
}

pub(super) fn change_term(
    transaction: &Write<'_>,
    id: RecordId,
    was: &Term,
    is: &Term,
) -> Result<bool> {
    let mut change = transaction.prepare_cached(
        "UPDATE package SET expires = ?2, ended = ?3, cause = ?4
         WHERE id = ?1 AND state = 'live' AND expires = ?5 AND ended IS ?6 AND cause IS ?7",
    )?;
    let changed = change.execute(params![
        id.0,
        is.expires.as_second(),
        is.ended.map(|(at, _)| at.as_second()),
        is.ended.map(|(_, cause)| cause.word()),
        was.expires.as_second(),
        was.ended.map(|(at, _)| at.as_second()),
        was.ended.map(|(_, cause)| cause.word()),
    ])?;
    Ok(changed > 0)
}

pub(super) fn count_download(
    transaction: &Write<'_>,
    id: RecordId,
    files: Range<usize>,
) -> Result<bool> {
    let mut file = transaction.prepare_cached(
        "UPDATE file SET downloads = downloads + 1 
         WHERE package = ?1 AND position >= ?2 AND position < ?3",
    )?;
    let position = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let counted = file.execute(params![id.0, position(files.start), position(files.end)])?;
    transaction
        .prepare_cached("UPDATE package SET downloads = downloads + ?2 WHERE id = ?1")?
        .execute(params![id.0, counted as i64])?;
    Ok(counted > 0)
}

pub(super) fn doom(transaction: &Write<'_>, packages: &[(RecordId, Timestamp)]) -> Result<()> {
    let mut erase = transaction.prepare_cached(
        "UPDATE package SET state = 'destroyed', manifest = NULL
         WHERE id = ?1 AND state = 'live' AND coalesce(ended, expires) = ?2
         AND id NOT IN (SELECT package FROM held)",
    )?;
    let mut blur =
        transaction.prepare_cached("UPDATE file SET fingerprint = NULL WHERE package = ?1")?;
    let mut doom = transaction.prepare_cached("INSERT INTO doomed (package) VALUES (?1)")?;
    for (id, end) in packages {
        if erase.execute(params![id.0, end.as_second()])? > 0 {
            blur.execute([id.0])?;
            doom.execute([id.0])?;
        }
    }
    Ok(())
}

pub(super) fn forget_kept_messages(
    transaction: &Write<'_>,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<()> {
    let mut forget = transaction.prepare_cached(
        "DELETE FROM kept_message WHERE digest IN
         (SELECT digest FROM kept_message WHERE until <= ?1 ORDER BY until LIMIT ?2)",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    forget.execute(params![now.as_second(), limit]).map(drop)
}

pub(super) fn set_note(transaction: &Write<'_>, name: &str, value: i64) -> Result<()> {
    transaction.execute(
        "INSERT INTO note (name, value) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}

fn domains(domains: &Domains) -> Result<String> {
    serde_json::to_string(domains)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

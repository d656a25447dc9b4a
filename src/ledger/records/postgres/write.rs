//! The changes of the database, each inside a transaction.

use std::ops::Range;

use jiff::Timestamp;

use super::{
    FORGOTTEN_AT_ONCE, Fingerprint, Hold, Record, RecordFile, RecordId, Term,
    connection::{Connection, Values},
    fault::{Failure, Result},
    read, rows_max, statistics, text,
};
use crate::ledger::quota;

/// Inserts a package, and returns its quota cost.
pub(super) fn insert(
    connection: &Connection,
    id: RecordId,
    record: &Record,
    files: &[RecordFile],
) -> Result<i64> {
    let bytes = files.iter().map(|file| file.size).sum::<u64>();
    let cost = files.iter().map(|file| quota::cost(file.size)).sum::<u64>() as i64;

    insert_package(connection, id, record, (files.len(), bytes, cost))?;
    statistics::add(connection, record, files.len() as u64, bytes)?;
    insert_files(connection, id, files)?;
    Ok(cost)
}

fn insert_package(
    connection: &Connection,
    id: RecordId,
    record: &Record,
    (files, bytes, cost): (usize, u64, i64),
) -> Result<()> {
    let (origin, elsewhere) = (&record.origin, record.elsewhere.as_ref());
    let clean = |column: &Option<String>| column.as_deref().map(text);
    let domains = serde_json::to_string(&origin.domains)
        .map_err(|error| Failure::Damaged(format!("domains: {error}")))?;

    connection
        .execute(
            "INSERT INTO package (id, created, expires, manifest, queue_id, sender, login, direction,
                                  recipients, files, bytes, unlock, domains, client, uploader,
                                  verified, cost, message_id, kept_until, locators)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                     $19, $20)",
            &[
                &&id.0[..],
                &record.created.as_second(),
                &record.term.expires.as_second(),
                &record.manifest,
                &text(&origin.queue_id),
                &text(&origin.sender),
                &clean(&origin.login),
                &origin.direction.as_str(),
                &i64::from(origin.recipients),
                &(files as i64),
                &(bytes as i64),
                &record.unlock.word(),
                &text(&domains),
                &origin.client.map(|client| client.to_string()),
                &clean(&origin.uploader),
                &clean(&origin.verified),
                &cost,
                &clean(&origin.message_id),
                &elsewhere.map(|there| there.kept_until.as_second()),
                &elsewhere.map(|there| &there.locators[..]),
            ],
        )
        .map(drop)
}

fn insert_files(connection: &Connection, id: RecordId, files: &[RecordFile]) -> Result<()> {
    let positions: Vec<_> = (0..files.len() as i64).collect();
    let numbers: Vec<_> = files.iter().map(|file| i64::from(file.number)).collect();
    let sizes: Vec<_> = files.iter().map(|file| file.size as i64).collect();
    let fingerprints: Vec<_> = files
        .iter()
        .map(|file| file.fingerprint.as_ref().map(|print| &print[..]))
        .collect();
    let sql = "INSERT INTO file (package, position, number, size, fingerprint)
               SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])";
    let values: Values<'_> = &[&&id.0[..], &positions, &numbers, &sizes, &fingerprints];
    connection.execute(sql, values).map(drop)
}

/// Notes the networks that a package came from, and forgets some older ones.
pub(super) fn networks(
    connection: &Connection,
    (id, created): (RecordId, Timestamp),
    networks: &[Fingerprint],
    cost: i64,
) -> Result<()> {
    if networks.is_empty() {
        return Ok(());
    }
    let digests: Vec<_> = networks.iter().map(|network| &network[..]).collect();
    let sql = "INSERT INTO client_network (package, network, created, cost)
               SELECT $1, network, $3, $4 FROM unnest($2::bytea[]) AS network";
    connection.execute(sql, &[&&id.0[..], &digests, &created.as_second(), &cost])?;
    let before = created.saturating_sub(quota::DAY);
    forget_networks(
        connection,
        before.unwrap_or(Timestamp::MIN),
        FORGOTTEN_AT_ONCE,
    )
}

pub(super) fn forget_networks(
    connection: &Connection,
    before: Timestamp,
    limit: usize,
) -> Result<()> {
    let sql = "DELETE FROM client_network WHERE ctid = ANY (ARRAY
               (SELECT ctid FROM client_network WHERE created < $1 ORDER BY created LIMIT $2))";
    let values: Values<'_> = &[&before.as_second(), &rows_max(limit)];
    connection.execute(sql, values).map(drop)
}

pub(super) fn change_term(
    connection: &Connection,
    id: RecordId,
    was: &Term,
    is: &Term,
) -> Result<bool> {
    let ended = |term: &Term| term.ended.map(|(at, _)| at.as_second());
    let cause = |term: &Term| term.ended.map(|(_, cause)| cause.word());
    let changed = connection.execute(
        "UPDATE package SET expires = $2, ended = $3, cause = $4
         WHERE id = $1 AND state = 'live' AND expires = $5
               AND ended IS NOT DISTINCT FROM $6 AND cause IS NOT DISTINCT FROM $7",
        &[
            &&id.0[..],
            &is.expires.as_second(),
            &ended(is),
            &cause(is),
            &was.expires.as_second(),
            &ended(was),
            &cause(was),
        ],
    )?;
    Ok(changed > 0)
}

pub(super) fn count_download(
    connection: &Connection,
    id: RecordId,
    files: Range<usize>,
) -> Result<bool> {
    let sql = "UPDATE file SET downloads = downloads + 1
               WHERE package = $1 AND position >= $2 AND position < $3";
    let (first, end) = (rows_max(files.start), rows_max(files.end));
    let counted = connection.execute(sql, &[&&id.0[..], &first, &end])?;
    let sql = "UPDATE package SET downloads = downloads + $2 WHERE id = $1";
    connection.execute(sql, &[&&id.0[..], &(counted as i64)])?;
    Ok(counted > 0)
}

pub(super) fn doom(connection: &Connection, packages: &[(RecordId, Timestamp)]) -> Result<()> {
    let erase = "UPDATE package SET state = 'destroyed', manifest = NULL
         WHERE id = $1 AND state = 'live' AND coalesce(ended, expires) = $2
         AND NOT EXISTS (SELECT FROM held WHERE package = id)";
    for (id, end) in packages {
        let id = &id.0[..];
        if connection.execute(erase, &[&id, &end.as_second()])? > 0 {
            let blur = "UPDATE file SET fingerprint = NULL WHERE package = $1";
            connection.execute(blur, &[&id])?;
            connection.execute("INSERT INTO doomed (package) VALUES ($1)", &[&id])?;
        }
    }
    Ok(())
}

/// Lists doomed packages, those first whose turn was longest ago, and sends them to the end: two sweepers at
/// once get different ones, and those whose blobs cannot be removed do not stand before the others.
pub(super) fn doomed(connection: &Connection, limit: usize) -> Result<Vec<(RecordId, Vec<u32>)>> {
    let sql = "SELECT package FROM doomed ORDER BY turn LIMIT $1 FOR UPDATE SKIP LOCKED";
    let ids = connection.query(sql, &[&rows_max(limit)], |row| read::id(row, 0))?;
    let taken: Vec<_> = ids.iter().map(|id| &id.0[..]).collect();
    let sql = "UPDATE doomed SET turn = nextval('doomed_turn') WHERE package = ANY ($1)";
    connection.execute(sql, &[&taken])?;
    ids.into_iter()
        .map(|id| Ok((id, read::numbers(connection, id)?)))
        .collect()
}

/// Strikes doomed packages off. Returns those that nobody else struck off before.
pub(super) fn destroyed(connection: &Connection, packages: &[RecordId]) -> Result<Vec<RecordId>> {
    let packages: Vec<_> = packages.iter().map(|id| &id.0[..]).collect();
    let sql = "UPDATE package SET locators = NULL WHERE id = ANY ($1) AND locators IS NOT NULL";
    connection.execute(sql, &[&packages])?;
    let sql = "DELETE FROM doomed WHERE package = ANY ($1) RETURNING package";
    connection.query(sql, &[&packages], |row| read::id(row, 0))
}

pub(super) fn forget(connection: &Connection, packages: &[RecordId]) -> Result<()> {
    let packages: Vec<_> = packages.iter().map(|id| &id.0[..]).collect();
    let sql = "DELETE FROM package WHERE id = ANY ($1) AND state = 'destroyed'
               AND NOT EXISTS (SELECT FROM doomed WHERE package = id)";
    connection.execute(sql, &[&packages]).map(drop)
}

/// Holds a package. Returns false if it was held, is destroyed, or is not there.
pub(super) fn hold(connection: &Connection, id: RecordId, hold: &Hold) -> Result<bool> {
    let sql = "INSERT INTO held (package, created, reason)
               SELECT id, $2, $3 FROM package WHERE id = $1 AND state = 'live' ON CONFLICT DO NOTHING";
    let values: Values<'_> = &[&&id.0[..], &hold.since.as_second(), &text(&hold.reason)];
    Ok(connection.execute(sql, values)? > 0)
}

pub(super) fn forget_kept_messages(
    connection: &Connection,
    now: Timestamp,
    limit: usize,
) -> Result<()> {
    let sql = "DELETE FROM kept_message WHERE digest = ANY (ARRAY
               (SELECT digest FROM kept_message WHERE until <= $1 ORDER BY until LIMIT $2))";
    let values: Values<'_> = &[&now.as_second(), &rows_max(limit)];
    connection.execute(sql, values).map(drop)
}

pub(super) fn set_note(connection: &Connection, name: &str, value: i64) -> Result<()> {
    let sql = "INSERT INTO note (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE note.name <> 'directory'";
    connection.execute(sql, &[&name, &value]).map(drop)
}

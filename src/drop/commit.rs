//! The commit of a package: its blobs get their names, then the record is written. What was done is undone
//! if a step fails, or if nobody waits for the end.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    DropError, Store, blobs::Finished, draft::CompleteFile, elsewhere, manifest::ManifestFile,
};
use crate::{
    envelope::Origin,
    ledger::{Action, LedgerError, Record, RecordFile, RecordId, Requester, StrangerNetwork},
};

type Result<T, E = DropError> = std::result::Result<T, E>;

/// A committed package that nobody knows of yet. If it is dropped before it is kept (the commit failed, or
/// the future that waited for it went away), it is forgotten.
pub(super) struct CommitGuard {
    store: Arc<Store>,
    id: RecordId,
    origin: Origin,
    numbers: Vec<u32>,
    /// The files that somebody else keeps.
    elsewhere: Vec<Box<dyn Finished>>,
    /// True if there may be a record.
    recorded: bool,
    keep: bool,
}

/// Gives the blobs their names, then writes the record. Undoes what was done if a step fails.
pub(super) fn commit(
    store: Arc<Store>,
    id: RecordId,
    record: Record,
    networks: &[StrangerNetwork],
    files: Vec<CompleteFile>,
) -> Result<CommitGuard> {
    let rows: Vec<_> = files.iter().map(|file| store.row(&file.file)).collect();
    let mut committed = CommitGuard {
        store,
        id,
        origin: record.origin.clone(),
        numbers: Vec::new(),
        elsewhere: Vec::new(),
        recorded: false,
        keep: false,
    };

    // From here on they are dropped on this thread, which may wait: after a failure nothing is left.
    let blobs = files
        .into_iter()
        .map(|CompleteFile { blob, file, .. }| (blob.into_inner(), file.number));
    let mut loose = Vec::new();
    for (blob, number) in blobs.collect::<Vec<_>>() {
        if blob.elsewhere().is_some() {
            committed.elsewhere.push(blob);
            continue;
        }
        if !blob.is_durable() {
            loose.push(number);
        }
        blob.place()?;
        committed.numbers.push(number);
    }

    if !committed.numbers.is_empty() {
        committed.store.blobs.sync(id, &loose)?;
    }
    committed.insert(&record, &rows, networks)?;

    if let Err(error) = committed
        .store
        .books()
        .watch(&record.origin, record.created)
    {
        tracing::warn!("could not look at what a login deposits: {error}");
    }
    Ok(committed)
}

impl Store {
    fn row(&self, file: &ManifestFile) -> RecordFile {
        RecordFile {
            number: file.number,
            size: file.size,
            fingerprint: Some(self.books().fingerprint(&file.sha256)),
            downloads: 0,
        }
    }

    /// Returns the sealed locators of the files that somebody else keeps.
    pub(super) fn locators(&self, id: RecordId, files: &[CompleteFile]) -> Vec<u8> {
        let there = files.iter().filter_map(|file| file.blob.elsewhere());
        self.books().seal_locators(id, &elsewhere::locators(there))
    }
}

impl CommitGuard {
    fn insert(
        &mut self,
        record: &Record,
        rows: &[RecordFile],
        networks: &[StrangerNetwork],
    ) -> Result<()> {
        let (books, origin) = (self.store.books(), &record.origin);
        let detail = format!("files={} bytes={}", record.files, record.bytes);
        let about = |action, detail| {
            books.entry(
                record.created,
                action,
                (self.id, origin),
                Requester::MAIL,
                detail,
            )
        };

        let deposit = about(Action::Deposit, detail);
        self.recorded = true;
        let networks: Vec<_> = networks.iter().map(|network| network.digest).collect();
        let inserted = books
            .records
            .insert(self.id, record, rows, &networks, &deposit);

        let why = match inserted {
            Err(LedgerError::Blocked) => Some("a file is blocked"),
            Err(LedgerError::Suspended) => Some("the login is suspended"),
            _ => None,
        };
        if let Some(why) = why {
            // Refused before anything was written.
            self.recorded = false;
            let refuse = about(Action::Refuse, why.to_owned());
            books.log(&refuse)?;
        }
        inserted?;
        books.tell(&deposit);
        self.all_exist()
    }

    /// Checks that every blob is in its place. A sweeper whose clock went mad may have taken one for an
    /// orphan, but only before there was a record: from the record on a blob is needed, and this look, which
    /// comes after it, is the last word. It holds up no other deposit, as it would inside the transaction; a
    /// package that lacks a blob is withdrawn before anybody has its link.
    fn all_exist(&self) -> Result<()> {
        self.numbers
            .iter()
            .try_for_each(|&number| self.store.blobs.length(self.id, number).map(drop))
    }

    fn withdraw(&self) -> Result<()> {
        let (now, about) = (Timestamp::now(), (self.id, &self.origin));
        let detail = "nobody had its link".to_owned();
        let books = self.store.books();
        let entry = books.entry(now, Action::Withdraw, about, Requester::MAIL, detail);
        books.records.withdraw(self.id, &entry)?;
        books.tell(&entry);
        Ok(())
    }

    pub(super) fn keep(mut self) {
        self.keep = true;
        self.keep_elsewhere();
    }

    fn keep_elsewhere(&mut self) {
        for file in self.elsewhere.drain(..) {
            if let Err(error) = file.place() {
                tracing::warn!("a file is not where it should be: {error}");
            }
        }
    }
}

impl Drop for CommitGuard {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // A blob that cannot be removed is an orphan; a package that cannot be withdrawn expires unseen:
        // nobody ever had its token.
        if self.recorded && self.withdraw().is_err() {
            // The record may come back, and then its blobs must be there. If it does not, they are orphans.
            self.keep_elsewhere();
            return;
        }
        for &number in &self.numbers {
            let _ = self.store.blobs.remove(self.id, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{FileDrop, Token, tests},
        *,
    };
    use crate::ledger::{Term, Unlock};

    fn record() -> Record {
        Record {
            created: Timestamp::now(),
            term: Term {
                expires: Timestamp::MAX,
                ended: None,
            },
            origin: tests::origin(),
            unlock: Unlock::Server,
            manifest: Some(Vec::new()),
            files: 3,
            bytes: 3,
            downloads: 0,
            held: None,
            elsewhere: None,
        }
    }

    /// A commit whose three blobs have their names, and whose record is yet to be written.
    fn committed(drop: &FileDrop) -> CommitGuard {
        let (store, id) = (Arc::clone(&drop.store), RecordId::from(&Token::random()));
        for number in 0..3 {
            let mut draft = store.blobs.draft(id, number).unwrap();
            draft.write(b"x").unwrap();
            draft.finish().unwrap().place().unwrap();
        }
        CommitGuard {
            store,
            id,
            origin: tests::origin(),
            numbers: vec![0, 1, 2],
            elsewhere: Vec::new(),
            recorded: false,
            keep: false,
        }
    }

    #[test]
    fn the_last_look_of_a_commit_is_at_every_file() {
        let home = tempfile::tempdir().unwrap();
        let drop = FileDrop::open(&tests::config(home.path().join("drop"))).unwrap();
        for lost in [None, Some(0), Some(1), Some(2)] {
            let mut committed = committed(&drop);
            let id = committed.id;
            if let Some(number) = lost {
                drop.store.blobs.remove(id, number).unwrap();
            }
            let inserted = committed.insert(&record(), &[], &[]);
            let is_inserted = inserted.is_ok();
            match inserted {
                Ok(()) => committed.keep(),
                Err(error) => {
                    assert!(error.to_string().starts_with("could not find"), "{error}");
                    std::mem::drop(committed);
                }
            }
            let found = drop.store.books().records.find(id).unwrap().is_some();
            assert_eq!((is_inserted, found), (lost.is_none(), lost.is_none()));
        }
    }
}

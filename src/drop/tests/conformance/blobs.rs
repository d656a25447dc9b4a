//! The suite of [`Blobs`]. Each check is given a fresh, empty store.

use std::collections::HashSet;

use jiff::SignedDuration;

use super::super::*;
use crate::{
    drop::blobs::{Blobs, Directory, Draft, Memory},
    ledger::SLICES,
};

/// A store, and whatever must live as long.
type Fresh = (Box<dyn Blobs>, Box<dyn std::any::Any>);

/// A sentence that must hold, and the function that checks it.
type Check = (&'static str, fn(&dyn Blobs));

const CHECKS: &[Check] = &[
    ("what is placed and synced is read", what_is_placed_is_read),
    ("a draft is seen by nobody", a_draft_is_seen_by_nobody),
    ("a taken name is refused", a_taken_name_is_refused),
    (
        "a blob of another length is damaged",
        another_length_is_damaged,
    ),
    (
        "a removed blob is read to its end",
        a_removed_blob_is_read_to_its_end,
    ),
    (
        "a destroyed blob is read no further",
        a_destroyed_blob_is_read_no_further,
    ),
    (
        "removing what is not there is no error",
        removing_nothing_is_no_error,
    ),
    (
        "only what is old is left over",
        only_what_is_old_is_left_over,
    ),
    (
        "drafts are removed up to a limit",
        drafts_are_removed_up_to_a_limit,
    ),
    ("a probe leaves nothing", a_probe_leaves_nothing),
];

#[test]
fn a_directory_is_a_store_of_blobs() {
    suite(|| {
        let home = TempDir::new().unwrap();
        let directory = Directory::open(&home.path().join("drop")).unwrap();
        (Box::new(directory), Box::new(home))
    });
}

#[test]
fn memory_is_a_store_of_blobs() {
    suite(|| (Box::new(Memory::default()), Box::new(())));
}

fn suite(fresh: impl Fn() -> Fresh) {
    for (sentence, check) in CHECKS {
        let (blobs, _home) = fresh();
        eprintln!("{sentence}");
        check(&*blobs);
    }
}

const A: RecordId = RecordId([0xab; 16]);
const B: RecordId = RecordId([0xac; 16]);

fn draft(blobs: &dyn Blobs, (id, number): (RecordId, u32), bytes: &[u8]) -> Box<dyn Draft> {
    let mut draft = blobs.draft(id, number).unwrap();
    bytes
        .chunks(7)
        .for_each(|chunk| draft.write(chunk).unwrap());
    draft
}

fn put(blobs: &dyn Blobs, (id, number): (RecordId, u32), bytes: &[u8]) {
    let finished = draft(blobs, (id, number), bytes).finish().unwrap();
    finished.place().unwrap();
    blobs.sync(id).unwrap();
}

fn get(blobs: &dyn Blobs, id: RecordId, number: u32, length: u64) -> Result<Vec<u8>, DropError> {
    let blob = blobs.open(id, number, length)?;
    let mut bytes = vec![0; length as usize];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    Ok(bytes)
}

fn all(blobs: &dyn Blobs, before: Timestamp) -> Vec<(RecordId, u32)> {
    let slices = (0..SLICES).map(|slice| {
        blobs
            .blobs_before(slice as u8, before, &HashSet::new())
            .unwrap()
    });
    let mut all: Vec<_> = slices.flatten().collect();
    all.sort_unstable();
    all
}

fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(2)
}

fn what_is_placed_is_read(blobs: &dyn Blobs) {
    let long = noise(300_000, 1);
    for (number, bytes) in [(0, &b""[..]), (1, b"short"), (u32::MAX, &long)] {
        put(blobs, (A, number), bytes);
        blobs.exists(A, number).unwrap();
        assert_eq!(get(blobs, A, number, bytes.len() as u64).unwrap(), bytes);
    }
    let blob = blobs.open(A, u32::MAX, 300_000).unwrap();
    let mut part = [0; 10];
    blob.read_exact_at(&mut part, 299_990).unwrap();
    assert_eq!(part, long[299_990..]);
    assert!(blob.read_exact_at(&mut part, 299_991).is_err());
    assert!(!blob.read_at_hand(&mut part, 299_991));
    if blob.read_at_hand(&mut part, 1000) {
        assert_eq!(part, long[1000..1010]);
    }
}

fn a_draft_is_seen_by_nobody(blobs: &dyn Blobs) {
    let open = draft(blobs, (A, 0), b"open");
    let finished = draft(blobs, (A, 1), b"finished").finish().unwrap();
    for number in [0, 1] {
        assert!(blobs.exists(A, number).is_err());
        assert!(get(blobs, A, number, 4).is_err());
    }
    assert_eq!(all(blobs, later()), []);
    std::mem::drop((open, finished));
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
}

fn a_taken_name_is_refused(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"first");
    let second = draft(blobs, (A, 0), b"other").finish().unwrap();
    assert!(second.place().is_err());
    assert_eq!(get(blobs, A, 0, 5).unwrap(), b"first");
}

fn another_length_is_damaged(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"bytes");
    for length in [0, 4, 6] {
        let opened = blobs.open(A, 0, length);
        assert!(matches!(opened, Err(DropError::Damaged { .. })));
    }
    assert!(matches!(
        blobs.open(A, 1, 5),
        Err(DropError::Damaged { .. })
    ));
}

fn a_removed_blob_is_read_to_its_end(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"bytes");
    let blob = blobs.open(A, 0, 5).unwrap();
    blobs.remove(A, 0).unwrap();
    let mut bytes = [0; 5];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"bytes");
    assert!(blobs.exists(A, 0).is_err());
}

fn a_destroyed_blob_is_read_no_further(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"abcdef");
    let blob = blobs.open(A, 0, 6).unwrap();
    let mut bytes = [0; 3];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    blobs.destroy(A, 0).unwrap();
    let error = blob.read_exact_at(&mut bytes, 3).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(!blob.read_at_hand(&mut bytes, 3));
    assert!(blobs.exists(A, 0).is_err());
    blobs.destroy(A, 0).unwrap();
}

fn removing_nothing_is_no_error(blobs: &dyn Blobs) {
    blobs.remove(A, 0).unwrap();
    put(blobs, (A, 0), b"bytes");
    blobs.remove(A, 0).unwrap();
    blobs.remove(A, 0).unwrap();
}

fn only_what_is_old_is_left_over(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"a");
    put(blobs, (A, 12), b"a");
    put(blobs, (B, 0), b"b");
    let early = Timestamp::now() - SignedDuration::from_hours(2);
    assert_eq!(all(blobs, early), []);
    assert_eq!(all(blobs, later()), [(A, 0), (A, 12), (B, 0)]);
    let in_slice = |except: &[RecordId]| {
        let except = except.iter().copied().collect();
        blobs.blobs_before(B.0[0], later(), &except).unwrap()
    };
    assert_eq!(in_slice(&[A]), [(B, 0)]);
    assert_eq!(in_slice(&[A, B]), []);
}

fn drafts_are_removed_up_to_a_limit(blobs: &dyn Blobs) {
    let open: Vec<_> = (0..3).map(|n| draft(blobs, (A, n), b"left")).collect();
    put(blobs, (A, 9), b"placed");
    let early = Timestamp::now() - SignedDuration::from_hours(2);
    assert_eq!(blobs.remove_drafts(early, 10).unwrap(), 0);
    assert_eq!(blobs.remove_drafts(later(), 2).unwrap(), 2);
    assert_eq!(blobs.remove_drafts(later(), 2).unwrap(), 1);
    // A draft that was swept cannot be placed any more.
    for draft in open {
        let finished = draft.finish();
        assert!(finished.and_then(|finished| finished.place()).is_err());
    }
    assert_eq!(all(blobs, later()), [(A, 9)]);
}

fn a_probe_leaves_nothing(blobs: &dyn Blobs) {
    blobs.probe().unwrap();
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
    assert!(blobs.free_bytes().unwrap().is_none_or(|free| free > 0));
}

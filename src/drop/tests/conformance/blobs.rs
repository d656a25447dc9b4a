//! The suite of [`Blobs`]. Each check is given a fresh, empty store.
//!
//! That of a bucket needs a server: `DEPOLLUEUR_TEST_S3` is the address of a bucket, `DEPOLLUEUR_TEST_S3_KEY` the
//! id of a key and its secret. `tests/e2e/s3.py` starts one and sets both.

use std::{collections::HashSet, env, fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use jiff::SignedDuration;

use super::super::*;
use crate::{
    config::S3Config,
    drop::blobs::{Blobs, Directory, Draft, Memory, Moving, S3},
    ledger::SLICES,
};

/// A store, and whatever must live as long.
type Fresh = (Box<dyn Blobs>, Box<dyn std::any::Any>);

/// A sentence that must hold, and the function that checks it.
type Check = (&'static str, fn(&dyn Blobs));

const CHECKS: &[Check] = &[
    ("what is placed and synced is read", what_is_placed_is_read),
    ("a draft is seen by nobody", a_draft_is_seen_by_nobody),
    (
        "a dropped draft leaves nothing",
        a_dropped_draft_leaves_nothing,
    ),
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
    ("a probe leaves nothing", a_probe_leaves_nothing),
];

/// What holds where drafts get their names by renaming.
const RENAMING: &[Check] = &[
    (
        "a finished draft is seen by nobody",
        a_finished_draft_is_seen_by_nobody,
    ),
    ("a taken name is refused", a_taken_name_is_refused),
    (
        "drafts are removed up to a limit",
        drafts_are_removed_up_to_a_limit,
    ),
];

/// What holds where large files are sent in parts.
const PARTS: &[Check] = &[
    ("a file in parts is read", a_file_in_parts_is_read),
    (
        "a dropped draft in parts leaves nothing",
        a_dropped_draft_in_parts_leaves_nothing,
    ),
    (
        "unfinished uploads are removed up to a limit",
        unfinished_uploads_are_removed_up_to_a_limit,
    ),
];

#[test]
fn a_directory_is_a_store_of_blobs() {
    suite(RENAMING, || {
        let home = TempDir::new().unwrap();
        let directory = Directory::open(&home.path().join("drop")).unwrap();
        (Box::new(directory), Box::new(home))
    });
}

#[test]
fn memory_is_a_store_of_blobs() {
    suite(RENAMING, || (Box::new(Memory::default()), Box::new(())));
}

#[test]
fn two_stores_of_which_one_is_emptied_are_a_store_of_blobs() {
    for from_first in [true, false] {
        suite(RENAMING, || {
            let home = TempDir::new().unwrap();
            let directory = Directory::open(&home.path().join("drop")).unwrap();
            let (from, to) = (Arc::new(Memory::default()), Arc::new(directory));
            (Box::new(Moving::new(from, to, from_first)), Box::new(home))
        });
    }
}

#[test]
fn a_bucket_is_a_store_of_blobs() {
    let Ok(address) = env::var("DEPOLLUEUR_TEST_S3") else {
        println!("none  DEPOLLUEUR_TEST_S3 names no bucket");
        return;
    };
    let (endpoint, bucket) = address.rsplit_once('/').unwrap();
    let key = env::var("DEPOLLUEUR_TEST_S3_KEY").unwrap();
    let (id, key) = key.split_once(' ').unwrap();
    suite(PARTS, || {
        let home = TempDir::new().unwrap();
        let directory = Directory::open(&home.path().join("drop")).unwrap();
        let secret = home.path().join("secret");
        fs::write(&secret, key).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let config = S3Config {
            endpoint: Some(endpoint.parse().unwrap()),
            bucket: bucket.to_owned(),
            prefix: format!("suite/{}", Token::random()),
            access_key_id: id.to_owned(),
            secret_key_file: Some(secret),
            ..S3Config::default()
        };
        let bucket = S3::open(&config, directory, "suite".into()).unwrap();
        (Box::new(bucket), Box::new(home))
    });
}

fn suite(own: &[Check], fresh: impl Fn() -> Fresh) {
    for (sentence, check) in CHECKS.iter().chain(own) {
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
    blobs.sync(id, &[number]).unwrap();
}

fn get(blobs: &dyn Blobs, id: RecordId, number: u32, length: u64) -> Result<Vec<u8>, DropError> {
    let blob = blobs.open(id, number, length, 0..length)?;
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
        assert_eq!(blobs.length(A, number).unwrap(), bytes.len() as u64);
        assert_eq!(get(blobs, A, number, bytes.len() as u64).unwrap(), bytes);
    }
    let blob = blobs.open(A, u32::MAX, 300_000, 0..300_000).unwrap();
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
    assert!(blobs.length(A, 0).unwrap_err().is_missing());
    assert!(get(blobs, A, 0, 4).is_err());
    assert_eq!(all(blobs, later()), []);
    std::mem::drop(open);
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
}

fn a_dropped_draft_leaves_nothing(blobs: &dyn Blobs) {
    let finished = draft(blobs, (A, 1), b"finished").finish().unwrap();
    std::mem::drop((draft(blobs, (A, 0), b"open"), finished));
    assert_eq!(all(blobs, later()), []);
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
}

fn a_finished_draft_is_seen_by_nobody(blobs: &dyn Blobs) {
    let finished = draft(blobs, (A, 1), b"finished").finish().unwrap();
    assert!(blobs.length(A, 1).unwrap_err().is_missing());
    assert!(get(blobs, A, 1, 8).is_err());
    assert_eq!(all(blobs, later()), []);
    finished.place().unwrap();
    assert_eq!(all(blobs, later()), [(A, 1)]);
}

/// A draft of which a part was sent.
fn draft_in_parts(blobs: &dyn Blobs, number: u32, bytes: &[u8]) -> Box<dyn Draft> {
    let mut draft = blobs.draft(A, number).unwrap();
    let mut segments = bytes.chunks(64 << 10);
    segments
        .try_for_each(|segment| draft.write(segment))
        .unwrap();
    draft
}

fn a_file_in_parts_is_read(blobs: &dyn Blobs) {
    for (number, size) in [(0, 5 << 20), (1, (5 << 20) + 1), (2, 18 << 20)] {
        let bytes = noise(size, u64::from(number));
        let finished = draft_in_parts(blobs, number, &bytes).finish().unwrap();
        finished.place().unwrap();
        assert!(get(blobs, A, number, size as u64).unwrap() == bytes);

        let (length, start) = (size as u64, size as u64 / 2);
        let blob = blobs.open(A, number, length, start..length).unwrap();
        let mut part = vec![0; 1 << 20];
        for offset in [0, start, start + (1 << 20), 7] {
            blob.read_exact_at(&mut part, offset).unwrap();
            assert!(part == bytes[offset as usize..][..part.len()], "{offset}");
        }
    }
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
}

fn a_dropped_draft_in_parts_leaves_nothing(blobs: &dyn Blobs) {
    let bytes = noise(11 << 20, 3);
    let finished = draft_in_parts(blobs, 1, &bytes).finish().unwrap();
    std::mem::drop((draft_in_parts(blobs, 0, &bytes), finished));
    assert_eq!(all(blobs, later()), []);
    assert_eq!(blobs.remove_drafts(later(), 10).unwrap(), 0);
}

fn unfinished_uploads_are_removed_up_to_a_limit(blobs: &dyn Blobs) {
    let bytes = noise(6 << 20, 4);
    let open: Vec<_> = (0..3).map(|n| draft_in_parts(blobs, n, &bytes)).collect();
    put(blobs, (A, 9), b"placed");
    assert_eq!(blobs.remove_drafts(later(), 2).unwrap(), 2);
    assert_eq!(blobs.remove_drafts(later(), 2).unwrap(), 1);
    // An upload that was swept cannot be completed any more.
    for draft in open {
        assert!(draft.finish().is_err());
    }
    assert_eq!(all(blobs, later()), [(A, 9)]);
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
        let opened = blobs.open(A, 0, length, 0..length);
        assert!(matches!(opened, Err(DropError::Damaged { .. })));
    }
    let missing = blobs.open(A, 1, 5, 0..5).unwrap_err();
    assert!(missing.is_missing(), "{missing}");
}

fn a_removed_blob_is_read_to_its_end(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"bytes");
    let blob = blobs.open(A, 0, 5, 0..5).unwrap();
    blobs.remove(A, 0).unwrap();
    let mut bytes = [0; 5];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"bytes");
    assert!(blobs.length(A, 0).unwrap_err().is_missing());
}

fn a_destroyed_blob_is_read_no_further(blobs: &dyn Blobs) {
    put(blobs, (A, 0), b"abcdef");
    let blob = blobs.open(A, 0, 6, 0..6).unwrap();
    let mut bytes = [0; 3];
    blob.read_exact_at(&mut bytes, 0).unwrap();
    blobs.destroy(A, 0).unwrap();
    let error = blob.read_exact_at(&mut bytes, 3).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(!blob.read_at_hand(&mut bytes, 3));
    assert!(blobs.length(A, 0).unwrap_err().is_missing());
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

//! The way of 25 MB into the drop, beside the sum of its stages measured in the same run: SHA-256,
//! AES-256-GCM, and a write of the same bytes with its sync.

#[path = "shared/deposit.rs"]
mod deposit;

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    time::{Duration, Instant},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{Context, SHA256},
};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use depollueur::drop::{FileDrop, expires_at};
use jiff::{Span, Timestamp};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::deposit::{open, origin};

const FILE_BYTES: usize = 25_000_000;
const BLOCK_BYTES: usize = 64 * 1024;

/// A file through draft and sync; its contents are durable, and then thrown away.
async fn draft(drop: &FileDrop, bytes: &Bytes) {
    let mut package = drop.package(origin());
    let mut file = package
        .file("a.pdf", "application/pdf")
        .expect("a draft is made");
    for start in (0..bytes.len()).step_by(BLOCK_BYTES) {
        let block = bytes.slice(start..bytes.len().min(start + BLOCK_BYTES));
        file.write(block).await.expect("a draft is written");
    }
    black_box(file.finish().await.expect("a draft is synced"));
}

async fn deposit_and_read(drop: &FileDrop, bytes: &Bytes) -> Duration {
    let now = Timestamp::now();
    let mut package = drop.package(origin());
    let mut file = package
        .file("a.pdf", "application/pdf")
        .expect("a draft is made");
    file.write(bytes.clone()).await.expect("a draft is written");
    let file = file.finish().await.expect("a draft is synced");
    let expires = expires_at(now, &Span::new().months(1));
    let token = package
        .commit(vec![file], now, expires)
        .await
        .expect("a package is committed");
    let begun = Instant::now();
    let found = drop.find(&token, now).await.expect("the record is read");
    let depollueur::drop::PackageLookup::Live(package) = found else {
        panic!("it is live")
    };
    let range = 0..package.files[0].size;
    let mut reader = drop
        .read(&token, &package, 0, range)
        .await
        .expect("the blob is opened");
    while let Some(bytes) = reader.next().await.expect("the blob is sound") {
        black_box(bytes);
    }
    begun.elapsed()
}

fn sha256(bytes: &[u8]) {
    let mut context = Context::new(&SHA256);
    bytes
        .chunks(BLOCK_BYTES)
        .for_each(|block| context.update(block));
    black_box(context.finish());
}

fn aes(key: &LessSafeKey, bytes: &mut [u8]) {
    for block in bytes.chunks_mut(BLOCK_BYTES) {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), block);
        black_box(tag.expect("a block is short").as_ref());
    }
}

fn write(home: &TempDir, bytes: &[u8]) {
    let mut file: File = tempfile::tempfile_in(home.path()).expect("a file is made");
    for block in bytes.chunks(BLOCK_BYTES) {
        file.write_all(block).expect("a file is written");
    }
    file.sync_all().expect("a file is synced");
}

fn drop_benches(criterion: &mut Criterion) {
    let home = TempDir::new_in(".").expect("the current directory can be written");
    let runtime = Runtime::new().expect("a runtime starts");
    let drop = open(&home);
    let bytes: Bytes = (0..FILE_BYTES).map(|n| ((n * 31) >> 7) as u8).collect();
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of 32 bytes");
    let key = LessSafeKey::new(key);
    let mut copy = bytes.to_vec();

    let mut group = criterion.benchmark_group("drop, 25 MB");
    group
        .throughput(Throughput::Bytes(FILE_BYTES as u64))
        .sample_size(20);
    group.bench_function("stage: SHA-256", |b| b.iter(|| sha256(&bytes)));
    group.bench_function("stage: AES-256-GCM", |b| b.iter(|| aes(&key, &mut copy)));
    group.bench_function("stage: write and sync", |b| b.iter(|| write(&home, &bytes)));
    group.bench_function("sum of the stages, one after the other", |b| {
        b.iter(|| {
            sha256(&bytes);
            aes(&key, &mut copy);
            write(&home, &bytes);
        });
    });
    group.bench_function("FileDraft, sync included", |b| {
        b.iter(|| runtime.block_on(draft(&drop, &bytes)));
    });
    group.bench_function("FileReader", |b| {
        b.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| runtime.block_on(deposit_and_read(&drop, &bytes)))
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, drop_benches);
criterion_main!(benches);

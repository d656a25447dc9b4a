//! The whole way of a message through the filter in one process, beside the sum of its stages
//! measured in the same run; and a message of 10 kB that goes out as it came.

#[path = "shared/compare.rs"]
mod compare;

use std::{fs::File, hint::black_box, io::Write, sync::Arc, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest::{Context, SHA256},
};
use compare::{Lane, compare, is_test, medians};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use depollueur::{
    config::Config,
    drop::Drop,
    filter::{Direction, Envelope, Filter, Start, Verdict},
    mime::{Decoder, Event, Field, Head, MediaType, Scanner, TransferEncoding},
    rewrite::Eol,
};
use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const FILE_BYTES: usize = 25_000_000;
const CHUNK_BYTES: usize = 64 * 1024;
const CONTENT_TYPE: &str = " multipart/mixed; boundary=\"=_b1\"";

/// The stages that a message with a heavy attachment cannot do without.
const STAGES: [&str; 5] = [
    "scan",
    "decode base64",
    "SHA-256",
    "AES-256-GCM",
    "write and sync",
];

fn body(file: &[u8]) -> Vec<u8> {
    let text = "--=_b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nBonjour,\r\n\r\n\
                voici le dossier.\r\n--=_b1\r\nContent-Type: application/pdf; name=a.pdf\r\n\
                Content-Transfer-Encoding: base64\r\n\r\n";
    let encoded = encodify::base64::MIME.encode(file);
    [text.as_bytes(), encoded.as_bytes(), b"\r\n--=_b1--\r\n"].concat()
}

fn header() -> Vec<Field> {
    let field = |name: &str, value: &str| Field {
        name: name.into(),
        value: value.into(),
    };
    vec![
        field("From", " Alice <alice@example.org>"),
        field("Subject", " dossier"),
        field("MIME-Version", " 1.0"),
        field("Content-Type", CONTENT_TYPE),
    ]
}

fn filter(home: &TempDir) -> Filter {
    let mut config = Config::default();
    config.drop.directory = home.path().join("drop");
    config.notice.time_zone = TimeZone::UTC;
    let drop = Drop::open(&config.drop).expect("a fresh directory can be used");
    Filter::new(Arc::new(config), drop)
}

/// A message through the filter, up to the last byte of its new body; gives how many there are.
async fn through(filter: &Filter, header: &[Field], body: &[u8]) -> usize {
    let envelope = Envelope {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        recipients: vec!["bob@example.net".into()],
        direction: Direction::Incoming,
        login: None,
        ..Envelope::default()
    };
    let Start::Scan(mut message) = filter.begin(envelope, header, Eol::CrLf) else {
        panic!("something may be detached")
    };
    for chunk in body.chunks(CHUNK_BYTES) {
        message.push(chunk).await;
    }
    let mut rewritten = match message.end().await {
        Verdict::Rewrite(rewritten) => rewritten,
        Verdict::Pass(_) => return 0,
        Verdict::Fail(error) => panic!("{error}"),
    };
    let mut bytes = 0;
    while let Some(piece) = rewritten.next_piece().await.expect("it is read back") {
        bytes += black_box(piece).len();
    }
    bytes
}

fn scan(body: &[u8]) {
    let field = &header()[3];
    let root = Head::read(std::slice::from_ref(field), MediaType::new("text", "plain"));
    let limits = Config::default().limits;
    let mut scanner = Scanner::new(&root.expect("it is sound"), limits).expect("it is sound");
    for chunk in body.chunks(CHUNK_BYTES) {
        while let Some(event) = scanner.next(chunk) {
            if let Event::Body(bytes) = event {
                black_box(bytes);
            }
        }
    }
}

fn decode(text: &[u8]) {
    let mut decoder = Decoder::new(TransferEncoding::Base64).expect("it is known");
    let mut out = Vec::new();
    for chunk in text.chunks(CHUNK_BYTES) {
        out.clear();
        decoder.push(chunk, &mut out).expect("it is sound");
        black_box(&out);
    }
}

fn sha256(bytes: &[u8]) {
    let mut context = Context::new(&SHA256);
    bytes
        .chunks(CHUNK_BYTES)
        .for_each(|block| context.update(block));
    black_box(context.finish());
}

fn aes(key: &LessSafeKey, bytes: &mut [u8]) {
    for block in bytes.chunks_mut(CHUNK_BYTES) {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), block);
        black_box(tag.expect("a block is short").as_ref());
    }
}

fn write(home: &TempDir, bytes: &[u8]) {
    let mut file: File = tempfile::tempfile_in(home.path()).expect("a file is made");
    for block in bytes.chunks(CHUNK_BYTES) {
        file.write_all(block).expect("a file is written");
    }
    file.sync_all().expect("a file is synced");
}

fn heavy(criterion: &mut Criterion) {
    let home = TempDir::new_in(".").expect("the current directory can be written");
    let runtime = Runtime::new().expect("a runtime starts");
    let (filter, header) = (filter(&home), header());
    let file: Vec<u8> = (0..FILE_BYTES).map(|n| ((n * 31) >> 7) as u8).collect();
    let (body, text) = (body(&file), encodify::base64::MIME.encode(&file));
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key of 32 bytes");
    let key = LessSafeKey::new(key);
    let mut copy = file.clone();
    let whole = || {
        let bytes = runtime.block_on(through(&filter, &header, &body));
        assert!(bytes > 0 && bytes < CHUNK_BYTES);
    };

    let mut group = criterion.benchmark_group("message, 25 MB attached");
    group
        .throughput(Throughput::Bytes(body.len() as u64))
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.bench_function("Filter, begin to last piece", |b| b.iter(whole));
    group.finish();
    if is_test() {
        return;
    }
    let mut lanes: Vec<Lane<'_>> = vec![
        (STAGES[0], Box::new(|| scan(&body))),
        (STAGES[1], Box::new(|| decode(text.as_bytes()))),
        (STAGES[2], Box::new(|| sha256(&file))),
        (STAGES[3], Box::new(|| aes(&key, &mut copy))),
        (STAGES[4], Box::new(|| write(&home, &file))),
        ("Filter", Box::new(whole)),
    ];
    let times = medians(&mut lanes);
    for ((name, _), time) in lanes.iter().zip(&times) {
        println!("  {name:20} {time:>12.2?}");
    }
    let (stages, whole) = times.split_at(STAGES.len());
    let sum: Duration = stages.iter().sum();
    println!(
        "25 MB attached: the stages take {sum:.2?} one after the other, the filter {:.2?}: × {:.2}",
        whole[0],
        sum.as_secs_f64() / whole[0].as_secs_f64()
    );
}

fn light(criterion: &mut Criterion) {
    let home = TempDir::new_in(".").expect("the current directory can be written");
    let runtime = Runtime::new().expect("a runtime starts");
    let (filter, header) = (filter(&home), header());
    let body = body(&vec![b'x'; 7_000]);
    let lanes: Vec<Lane<'_>> = vec![
        ("scan", Box::new(|| scan(&body))),
        (
            "Filter, nothing is detached",
            Box::new(|| assert_eq!(runtime.block_on(through(&filter, &header, &body)), 0)),
        ),
    ];
    compare(criterion, "message, 10 kB", body.len(), lanes);
}

criterion_group!(benches, heavy, light);
criterion_main!(benches);

//! The scanner and the decoders, each beside what nothing of its kind can be faster than, measured
//! in the same run; and the scanner over input made to slow it down, at one, two and four lengths.

#[path = "shared/compare.rs"]
mod compare;

use std::{hint::black_box, time::Duration};

use compare::{Lane, compare, is_test, medians};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use depollueur::{
    config::Limits,
    mime::{Decoder, Event, Field, Head, MediaType, Scanner, TransferEncoding},
};
use memchr::memmem;

const CHUNK_BYTES: usize = 64 * 1024;
const FILE_BYTES: usize = 25_000_000;

const LIMITS: Limits = Limits {
    depth_max: 64,
    parts_max: 1_000_000,
    header_bytes_max: 64 * 1024,
    text_bytes_max: 1 << 20,
};

fn file() -> Vec<u8> {
    (0..FILE_BYTES).map(|n| ((n * 31) >> 7) as u8).collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    encodify::base64::MIME.encode(bytes).into_bytes()
}

/// A body with a text and one attachment.
fn body() -> Vec<u8> {
    let head = "--=_b1\r\nContent-Type: text/plain\r\n\r\nHello\r\n--=_b1\r\n\
                Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    [head.as_bytes(), &base64(&file()), b"\r\n--=_b1--\r\n"].concat()
}

fn root(boundary: &str) -> Head {
    let field = Field {
        name: b"Content-Type".to_vec(),
        value: format!("multipart/mixed; boundary=\"{boundary}\"").into_bytes(),
    };
    Head::read(&[field], MediaType::new("text", "plain")).expect("it is sound")
}

/// Scans a body in chunks; gives how many events had no bytes.
fn scan(boundary: &str, body: &[u8], chunk_bytes: usize) -> usize {
    let mut scanner = Scanner::new(&root(boundary), LIMITS).expect("the boundary is sound");
    let mut marks = 0;
    for chunk in body.chunks(chunk_bytes).chain([&b""[..]]) {
        if chunk.is_empty() {
            scanner.end();
        }
        while let Some(event) = scanner.next(chunk) {
            match event {
                Event::Structure(bytes) | Event::Body(bytes) => {
                    black_box(bytes);
                }
                Event::Ambiguous(why) => panic!("{why}"),
                _ => marks += 1,
            }
        }
    }
    marks
}

fn scanner(criterion: &mut Criterion) {
    let body = body();
    let mut copy = vec![0; CHUNK_BYTES];
    let finder = memmem::Finder::new(b"\n--");
    let lanes: Vec<Lane<'_>> = vec![
        (
            "memmem for a line end and two dashes",
            Box::new(|| {
                for chunk in body.chunks(CHUNK_BYTES) {
                    black_box(finder.find_iter(chunk).count());
                }
            }),
        ),
        (
            "memcpy",
            Box::new(|| {
                for chunk in body.chunks(CHUNK_BYTES) {
                    copy[..chunk.len()].copy_from_slice(chunk);
                    black_box(&mut copy);
                }
            }),
        ),
        (
            "scanner",
            Box::new(|| {
                black_box(scan("=_b1", &body, CHUNK_BYTES));
            }),
        ),
        (
            "scanner, chunks of 4 KiB",
            Box::new(|| {
                black_box(scan("=_b1", &body, 4096));
            }),
        ),
    ];
    compare(criterion, "scan, 34 MB", body.len(), lanes);
}

/// A body made to slow the scanner down, of about so many bytes.
struct Adversary {
    name: &'static str,
    boundary: &'static str,
    make: fn(usize) -> Vec<u8>,
    chunk_bytes: usize,
}

const ADVERSARIES: [Adversary; 7] = [
    Adversary {
        name: "all dashes",
        boundary: "b",
        make: |bytes| vec![b'-'; bytes],
        chunk_bytes: CHUNK_BYTES,
    },
    Adversary {
        name: "all dashes, byte by byte",
        boundary: "------------------------------------------------------------------b",
        make: |bytes| vec![b'-'; bytes],
        chunk_bytes: 1,
    },
    Adversary {
        name: "nearly a boundary on each line",
        boundary: "=_Part_0123456789_abcdef",
        make: |bytes| b"--=_Part_0123456789_abcdeX\r\n".repeat(bytes / 28),
        chunk_bytes: CHUNK_BYTES,
    },
    Adversary {
        name: "nearly a boundary everywhere",
        boundary: "=",
        make: |bytes| b"--\r\n".repeat(bytes / 4),
        chunk_bytes: CHUNK_BYTES,
    },
    Adversary {
        name: "nearly each of 60 boundaries",
        boundary: "x0y",
        make: deep,
        chunk_bytes: CHUNK_BYTES,
    },
    Adversary {
        name: "parts without end",
        boundary: "b",
        make: |bytes| b"--b\r\n\r\n\r\n".repeat(bytes / 9),
        chunk_bytes: CHUNK_BYTES,
    },
    Adversary {
        name: "parts without end, byte by byte",
        boundary: "b",
        make: |bytes| b"--b\r\n\r\n\r\n".repeat(bytes / 9),
        chunk_bytes: 1,
    },
];

/// Sixty open multiparts, and lines that nearly are delimiters of all of them.
fn deep(bytes: usize) -> Vec<u8> {
    let open = |n: usize| {
        let next = n + 1;
        format!("--x{n}y\r\nContent-Type: multipart/mixed; boundary=x{next}y\r\n\r\n")
    };
    let mut body: String = (0..59).map(open).collect();
    body.push_str(&"--x\r\n".repeat(bytes / 5));
    body.into_bytes()
}

/// Time must grow as the input does: a ratio far above 4 is a quadratic case.
fn adversaries(criterion: &mut Criterion) {
    let unit = if is_test() { 1 << 12 } else { 1 << 19 };
    for adversary in &ADVERSARIES {
        adversary.measure(criterion, unit);
    }
}

impl Adversary {
    fn measure(&self, criterion: &mut Criterion, unit: usize) {
        let bodies = [1, 2, 4].map(|times| (self.make)(unit * times));
        let lane = |body| -> Lane<'_> {
            let run = move || {
                black_box(scan(self.boundary, body, self.chunk_bytes));
            };
            (self.name, Box::new(run))
        };
        let mut lanes: Vec<Lane<'_>> = bodies.iter().map(|body: &Vec<u8>| lane(body)).collect();
        criterion
            .benchmark_group("adversary")
            .throughput(Throughput::Bytes(bodies[0].len() as u64))
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_secs(1))
            .bench_function(self.name, |b| b.iter(&mut *lanes[0].1));
        if is_test() {
            return;
        }
        let times = medians(&mut lanes);
        let ratio = |at: usize| times[at].as_secs_f64() / times[0].as_secs_f64();
        println!(
            "  {}: {:.3} GB/s; twice the bytes × {:.2}, four times × {:.2}",
            self.name,
            bodies[0].len() as f64 / times[0].as_secs_f64() / 1e9,
            ratio(1),
            ratio(2)
        );
    }
}

fn decode(encoding: TransferEncoding, text: &[u8], out: &mut Vec<u8>) {
    let mut decoder = Decoder::new(encoding).expect("it is known");
    for chunk in text.chunks(CHUNK_BYTES) {
        out.clear();
        decoder.push(chunk, out).expect("it is sound");
        black_box(&out);
    }
    decoder.finish(out).expect("it is sound");
}

fn decoders(criterion: &mut Criterion) {
    let text = base64(&file());
    let mut copy = vec![0; text.len()];
    let (mut whole, mut chunks) = (Vec::with_capacity(FILE_BYTES), Vec::new());
    let lanes: Vec<Lane<'_>> = vec![
        (
            "encodify, one call",
            Box::new(|| {
                whole.clear();
                let len = encodify::base64::MIME.decode_append(&text, &mut whole);
                black_box(len.expect("it is sound"));
            }),
        ),
        (
            "memcpy",
            Box::new(|| {
                copy.copy_from_slice(&text);
                black_box(&mut copy);
            }),
        ),
        (
            "Decoder, chunks of 64 KiB",
            Box::new(|| decode(TransferEncoding::Base64, &text, &mut chunks)),
        ),
    ];
    compare(criterion, "base64, 34 MB", text.len(), lanes);

    let line = "Le dépollueur enlève les pièces jointes lourdes d'un message, à la volée.\r\n";
    let text = encodify::qp::BODY.encode(line.repeat(30_000).as_bytes());
    let text = text.as_bytes();
    let (mut whole, mut chunks) = (Vec::new(), Vec::new());
    let lanes: Vec<Lane<'_>> = vec![
        (
            "encodify, one call",
            Box::new(|| {
                whole.clear();
                let len = encodify::qp::BODY.decode_append(text, &mut whole);
                black_box(len.expect("it is sound"));
            }),
        ),
        (
            "Decoder, chunks of 64 KiB",
            Box::new(|| decode(TransferEncoding::QuotedPrintable, text, &mut chunks)),
        ),
    ];
    compare(criterion, "quoted-printable, 3 MB", text.len(), lanes);
}

criterion_group!(benches, scanner, adversaries, decoders);
criterion_main!(benches);

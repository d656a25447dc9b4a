//! The scanner and the decoders, each beside what nothing of its kind can be faster than, measured
//! in the same run; and the scanner over input made to slow it down, at one, two and four lengths.

#[path = "shared/adversary.rs"]
mod adversary;
#[path = "shared/compare.rs"]
mod compare;

use std::{hint::black_box, time::Duration};

use adversary::{
    Adversary, BODIES, BOUNDARY, GROWTH_MAX, LINES, SLOWER_MAX, STRUCTURE, STRUCTURE_MAX,
};
use compare::{Bar, Lane, compare, is_test, medians};
use criterion::{Criterion, criterion_group, criterion_main};
use mailsplice::{
    Limits,
    mime::{Decoder, Event, Field, Head, MediaType, Scanner, TransferEncoding},
};
use memchr::memmem;

const CHUNK_BYTES: usize = 64 * 1024;
const FILE_BYTES: usize = 25_000_000;

const LIMITS: Limits = Limits {
    depth_max: 64,
    parts_max: 1_000_000,
    header_bytes_max: 64 * 1024,
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
        let mut events = if chunk.is_empty() {
            scanner.end()
        } else {
            scanner.scan(chunk)
        };
        while let Some(event) = events.next() {
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
    let times = compare(criterion, "scan, 34 MB", body.len(), lanes);
    if let [memmem, _, scanner, ..] = times[..] {
        let ratio = memmem.cpu.as_secs_f64() / scanner.cpu.as_secs_f64();
        Bar::AtLeast(0.5).print("scan alone, of memmem's speed", ratio);
    }
}

/// Ordinary mail, byte for byte: scanned and decoded.
fn ordinary(body: &[u8]) -> (f64, f64) {
    let (text, mut out) = (base64(&file()), Vec::new());
    let mut lanes: Vec<Lane<'_>> = vec![
        (
            "scan",
            Box::new(|| {
                black_box(scan(BOUNDARY, body, CHUNK_BYTES));
            }),
        ),
        (
            "decode",
            Box::new(|| decode(TransferEncoding::Base64, &text, &mut out)),
        ),
    ];
    let times = medians(&mut lanes);
    let per_byte = |time: Duration| time.as_secs_f64() / body.len() as f64;
    (
        per_byte(times[0].cpu),
        per_byte(times[0].cpu + times[1].cpu),
    )
}

/// The scanner alone over each adversary, held against scan and decoding of ordinary mail.
fn adversaries(_: &mut Criterion) {
    let (scanned, decoded) = if is_test() {
        (1.0, 1.0)
    } else {
        ordinary(&body())
    };
    println!(
        "the scanner alone, beside ordinary mail scanned and decoded ({:.1} GB/s; at most × \
         {SLOWER_MAX}), and beside ordinary mail scanned ({:.1} GB/s)",
        1e-9 / decoded,
        1e-9 / scanned
    );
    for adversary in [LINES, BODIES, STRUCTURE].into_iter().flatten() {
        adversary_alone(adversary, CHUNK_BYTES, scanned, decoded);
    }
    for adversary in LINES {
        adversary_alone(adversary, 1, scanned, decoded);
    }
}

/// Byte by byte is not judged by its speed: Postfix never sends so little. It must not be quadratic.
fn adversary_alone(adversary: &Adversary, chunk_bytes: usize, scanned: f64, decoded: f64) {
    let unit = match (is_test(), chunk_bytes) {
        (true, _) => adversary.bytes.min(4096),
        (false, 1) => adversary.bytes / 8,
        _ => adversary.bytes,
    };
    let bodies = [1, 2, 4].map(|times| (adversary.make)(unit * times));
    let lane = |body| -> Lane<'_> {
        let run = move || {
            black_box(scan(BOUNDARY, body, chunk_bytes));
        };
        (adversary.name, Box::new(run))
    };
    let mut lanes: Vec<Lane<'_>> = bodies.iter().map(|body: &Vec<u8>| lane(body)).collect();
    if is_test() {
        return lanes.iter_mut().for_each(|(_, run)| run());
    }
    let times = medians(&mut lanes);
    let times: Vec<f64> = times.iter().map(|time| time.cpu.as_secs_f64()).collect();
    let growth = times[2] / times[0];
    let linear = Bar::AtMost(GROWTH_MAX).judge(growth);
    if chunk_bytes == 1 {
        println!(
            "{linear}  {}, byte by byte: four times the bytes × {growth:.2}",
            adversary.name
        );
        return;
    }
    let per_byte = times[2] / bodies[2].len() as f64;
    println!(
        "{}  {}: × {:.1} slower than decoded, × {:.1} than scanned mail; {linear} four times the \
         bytes × {growth:.2}",
        Bar::AtMost(SLOWER_MAX).judge(per_byte / decoded),
        adversary.name,
        per_byte / decoded,
        per_byte / scanned,
    );
    if adversary.is_limit {
        let what = format!("{}, ms a message at the default limits", adversary.name);
        Bar::AtMost(STRUCTURE_MAX.as_secs_f64() * 1e3).print(&what, times[2] * 1e3);
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
    let times = compare(criterion, "base64, 34 MB", text.len(), lanes);
    if let [bare, _, decoder] = times[..] {
        let ratio = bare.cpu.as_secs_f64() / decoder.cpu.as_secs_f64();
        println!("      base64, of the bare decoder's speed in one call: {ratio:.2}");
    }

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

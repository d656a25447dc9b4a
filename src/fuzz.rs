//! Properties that must hold whatever comes in: one for each target in `fuzz/`. Not part of the API.
//!
//! A property panics where it does not hold. Each takes its choices from the first bytes of its
//! input, in a form that seeds can be written in by hand. The seeds in `fuzz/corpus/` are run by
//! the unit tests too.

mod decode;
mod header;
mod message;
mod reference;
mod request;
mod rewrite;
mod scan;
mod session;
mod tnef;

use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

pub use self::{
    decode::decode, header::header, message::message, request::request, rewrite::rewrite,
    scan::scan, session::session, tnef::tnef,
};
use crate::{config::Config, drop::FileDrop};

/// Takes the first byte off; 0 when there is none.
fn byte(input: &mut &[u8]) -> u8 {
    input.split_off_first().copied().unwrap_or_default()
}

/// Takes the first line off, without its line end.
fn line<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\n', input).unwrap_or(input.len());
    let (line, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Makes a directory for a drop. Where files live in memory, a sync costs nothing.
fn home() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("a directory is made")
}

/// Opens a drop with the defaults, and makes a thread on which to ask it.
fn drop_in(home: &TempDir) -> (FileDrop, Runtime) {
    let mut config = Config::default().drop;
    config.directory = home.path().join("drop");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    (
        FileDrop::open(&config).expect("a fresh directory can be used"),
        runtime.expect("a runtime starts"),
    )
}

/// Returns one of several values.
fn choice<T: Copy>(values: &[T], byte: u8) -> T {
    values[usize::from(byte) % values.len()]
}

/// Cuts bytes into pieces, mostly short, some longer, as the seed has it.
fn cut(bytes: &[u8], seed: u8) -> Vec<&[u8]> {
    // A linear congruential generator (Knuth, MMIX); its high bits are used.
    let mut state = u64::from(seed);
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let short = 1 + (state >> 60) as usize;
        let len = if state >> 56 & 15 == 0 {
            short * 64
        } else {
            short
        };
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a property over its seeds.
    fn replay(target: &str, property: fn(&[u8])) {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut seeds: Vec<_> = std::fs::read_dir(seeds)
            .unwrap()
            .map(|seed| seed.unwrap().path())
            .collect();
        seeds.sort();
        assert!(!seeds.is_empty());
        for seed in seeds {
            let input = std::fs::read(&seed).unwrap();
            let held = std::panic::catch_unwind(|| property(&input));
            assert!(held.is_ok(), "{}", seed.display());
        }
    }

    #[test]
    fn seeds_scan_as_they_must() {
        replay("scan", scan);
    }

    #[test]
    fn seeds_decode_as_they_must() {
        replay("decode", decode);
    }

    #[test]
    fn seeds_of_headers_are_read_as_they_must() {
        replay("header", header);
    }

    #[test]
    fn seeds_of_text_parts_are_rewritten_as_they_must() {
        replay("rewrite", rewrite);
    }

    #[test]
    fn seeds_of_requests_are_answered_as_they_must() {
        replay("request", request);
    }

    #[test]
    fn seeds_of_messages_are_filtered_as_they_must() {
        replay("message", message);
    }

    #[test]
    fn seeds_of_conversations_go_as_they_must() {
        replay("session", session);
    }

    #[test]
    fn seeds_of_tnef_are_read_as_they_must() {
        replay("tnef", tnef);
    }

    /// Bodies made of everything that matters to a scanner, in any order.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
        let noise = prop::collection::vec(any::<u8>(), 0..4);
        let lines = (
            any::<bool>(),
            prop::collection::vec(prop_oneof![9 => piece, 1 => noise], 0..24),
        );
        lines.prop_map(|(is_crlf, pieces)| {
            let text = pieces.concat();
            let wanted = text.iter().flat_map(|&b| match b {
                b'\n' if is_crlf => vec![b'\r', b'\n'],
                b => vec![b],
            });
            wanted.collect()
        })
    }

    /// `PDF` in base64 and more of it; lines that are delimiters, nearly or wholly; headers.
    const PIECES: &[&str] = &[
        "\n--b\n",
        "\n--b\n",
        "\n--b--\n",
        "\n--c\n",
        "\n--c--\n",
        "\n--b \t\n",
        "\n--bx\n",
        "\n--",
        "-",
        "--",
        "b",
        "\r",
        "\n",
        "\n\n",
        " ",
        "=",
        "=\n",
        "=41",
        "=zz",
        "=41=41=41=41=41=41=41=41=\n",
        "Bonjour\n",
        "-- \nAlice\n",
        "UERG",
        "UERGUERGUERGUERGUERGUERGUERGUERG\n",
        "UEQ=\n",
        "Content-Type: multipart/mixed; boundary=c\n\n",
        "Content-Type: multipart/alternative; boundary=\"c\"\n\n",
        "Content-Type: text/plain\n\n",
        "Content-Type: text/html\n\n<p><img src=cid:i></p>",
        "Content-Type: message/rfc822\n\n",
        "Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n",
        "Content-Type: application/pdf\nContent-Transfer-Encoding: quoted-printable\n\n",
        "Content-Type: image/png\nContent-ID: <i>\n\n",
        "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nUERG\n--b\n",
        "\n--b\n\nBonjour\n--b\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_scan_is_the_same_however_the_bytes_come(body in body(), seed: u8) {
            let input = [&[seed][..], b"multipart/mixed; boundary=b\n", &body].concat();
            scan(&input);
            scan::everywhere(&input);
        }

        #[test]
        fn a_message_comes_out_the_same_however_its_bytes_come(body in body(), detach: u8, seed: u8) {
            let header = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nBonjour";
            let input = [&[detach, seed, seed][..], header, &body].concat();
            message(&input);
            message::everywhere(&input);
        }
    }
}

//! What is counted in instructions by `tests/instructions.py`: each case is a program that makes its input from
//! nothing but its code, and then does the same work as often as it is told. The difference between two runs is that of
//! the work alone.
//!
//! ```text
//! instructions                    the names of the cases
//! instructions CASE TIMES         does the work so often
//! ```
//!
//! With `--test`, each case once.

#[path = "shared/adversary.rs"]
mod adversary;
#[path = "shared/deposit.rs"]
mod deposit;

use std::{hint::black_box, path::Path, sync::Arc};

use depollueur::{
    config::{Config, MailConfig},
    drop::{FileDrop, Token},
    envelope::{Direction, Envelope},
    filter::{Filter, Start, Verdict},
    metrics::Metrics,
    store::Stores,
    web::{Theme, WebState, router},
};
use hyper::{Request, service::Service as _};
use hyper_util::service::TowerToHyperService;
use jiff::{Timestamp, tz::TimeZone};
use mailsplice::{
    Limits,
    l10n::Language,
    mime::{Decoder, Event, Head, MediaType, Scanner, TransferEncoding},
    notice::{Notice, NoticeFile},
    rewrite::{
        Eol, Position, apply,
        insert::{TextKind, TextPart, insert},
    },
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::deposit::{deposit, origin};

const MEGABYTE: usize = 1_000_000;
const CHUNK_BYTES: usize = 64 * 1024;
const BOUNDARY: &str = adversary::BOUNDARY;

/// A name, and what does its work so often.
type Case = (&'static str, fn(usize));

const CASES: [Case; 13] = [
    ("scan 1 MB", |times| {
        let body = attached(&noise(MEGABYTE * 57 / 78));
        repeat(times, || scan(&body));
    }),
    ("pass 1 MB", |times| {
        let text = format!("{}\r\n", "x".repeat(76)).repeat(MEGABYTE / 78);
        filtered(times, attached_text(&text), "passed");
    }),
    ("detach 1 MB, 4 times", |times| {
        filtered(4 * times, attached(&noise(MEGABYTE * 57 / 78)), "rewritten");
    }),
    ("pass 1,000 parts", |times| {
        let part = file_part(&noise(100));
        filtered(times, multipart(&part.repeat(1000)), "passed");
    }),
    ("detach 20 parts", |times| {
        let part = file_part(&noise(1000));
        with_threshold(times, multipart(&part.repeat(20)), "rewritten", 500);
    }),
    ("pass an adversary", |times| {
        let slow = &adversary::LINES[6];
        assert_eq!(slow.name, "nearly each of 60 long delimiters on each line");
        filtered(times, (slow.make)(MEGABYTE / 4), "passed");
    }),
    ("pass an adversary of structure", |times| {
        let tiny = &adversary::STRUCTURE[2];
        assert_eq!(tiny.name, "tiny parts inside 60 multiparts");
        filtered(times, (tiny.make)(MEGABYTE / 10), "passed");
    }),
    ("decode 1 MB of base64", |times| {
        let text = encodify::base64::MIME.encode(noise(MEGABYTE * 57 / 78));
        repeat(times, || decode(TransferEncoding::Base64, text.as_bytes()));
    }),
    ("decode 1 MB of quoted-printable", |times| {
        let line = "Le dépollueur enlève les pièces jointes lourdes d'un message, à la volée.\r\n";
        let text = encodify::qp::BODY.encode(line.repeat(MEGABYTE / 100).as_bytes());
        repeat(times, || {
            decode(TransferEncoding::QuotedPrintable, text.as_bytes())
        });
    }),
    ("notice into 100 kB of HTML", |times| {
        let line =
            "<p class=\"MsoNormal\">Bonjour &agrave; tous,<br>\r\nvoici le <b>dossier</b>.</p>\r\n";
        notice_into(
            times,
            TextKind::Html,
            "text/html",
            &line.repeat(100_000 / line.len()),
        );
    }),
    ("notice into 100 kB of text", |times| {
        let line = "Bonjour à tous, voici le dossier dont nous avons parlé hier.\r\n";
        notice_into(
            times,
            TextKind::Plain,
            "text/plain",
            &line.repeat(100_000 / line.len()),
        );
    }),
    ("seal and store 40 manifests", |times| {
        let (_home, drop, runtime) = a_drop();
        repeat(40 * times, || {
            runtime.block_on(deposit(&drop, origin(), b"small"))
        });
    }),
    (
        "find 40 packages, open their manifests, render their pages",
        |times| {
            let (_home, drop, runtime) = a_drop();
            let token = runtime.block_on(deposit(&drop, origin(), b"small"));
            let site = TowerToHyperService::new(router(site(drop)));
            repeat(40 * times, || runtime.block_on(page(&site, &token)));
        },
    ),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // Cargo adds --bench, before or after what it was told to hand over.
    let told: Vec<_> = arguments.iter().filter(|word| *word != "--bench").collect();
    match told.as_slice() {
        [] => CASES.iter().for_each(|(name, _)| println!("{name}")),
        [test] if *test == "--test" => CASES.iter().for_each(|(_, run)| run(1)),
        [name, times] => {
            let case = CASES.iter().find(|(case, _)| case == *name);
            let (_, run) = case.expect("a case has this name");
            run(times.parse().expect("a number of times"));
        }
        _ => panic!("nothing, --test, or a case's name and how many times"),
    }
}

fn repeat<T>(times: usize, mut work: impl FnMut() -> T) {
    (0..times).for_each(|_| std::mem::drop(black_box(work())));
}

/// The same bytes each time, in which no two lines of base64 are alike.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

// ---- messages

fn multipart(parts: &str) -> Vec<u8> {
    let text = "Content-Type: text/plain; charset=utf-8\r\n\r\nBonjour,\r\n\r\nvoici le dossier.";
    format!("--{BOUNDARY}\r\n{text}\r\n{parts}--{BOUNDARY}--\r\n").into_bytes()
}

fn file_part(bytes: &[u8]) -> String {
    let head = "Content-Type: application/pdf; name=\"dossier.pdf\"\r\nContent-Disposition: \
                attachment; filename=\"dossier.pdf\"\r\nContent-Transfer-Encoding: base64";
    let text = encodify::base64::MIME.encode(bytes);
    format!("--{BOUNDARY}\r\n{head}\r\n\r\n{text}\r\n")
}

fn attached(file: &[u8]) -> Vec<u8> {
    multipart(&file_part(file))
}

/// A long text that stays, and a small file that stays too.
fn attached_text(text: &str) -> Vec<u8> {
    let text = format!("--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\n{text}");
    multipart(&(text + &file_part(b"small")))
}

// ---- scanner and decoders

fn scan(body: &[u8]) -> usize {
    let limits = Limits {
        depth_max: 64,
        parts_max: 10_000,
        header_bytes_max: 64 * 1024,
    };
    let root =
        Head::read(&adversary::header(), MediaType::new("text", "plain")).expect("it is sound");
    let mut scanner = Scanner::new(&root, limits).expect("the boundary is sound");
    let mut marks = 0;
    for chunk in body.chunks(CHUNK_BYTES).chain([&b""[..]]) {
        let mut events = if chunk.is_empty() {
            scanner.end()
        } else {
            scanner.scan(chunk)
        };
        while let Some(event) = events.next() {
            match event {
                Event::Structure(bytes) | Event::Body(bytes) => _ = black_box(bytes),
                Event::Ambiguous(why) => panic!("{why}"),
                _ => marks += 1,
            }
        }
    }
    marks
}

fn decode(encoding: TransferEncoding, text: &[u8]) {
    let mut out = Vec::with_capacity(2 * CHUNK_BYTES);
    let mut decoder = Decoder::new(encoding).expect("it is known");
    for chunk in text.chunks(CHUNK_BYTES) {
        out.clear();
        decoder.push(chunk, &mut out).expect("it is sound");
        black_box(&out);
    }
    decoder.finish(&mut out).expect("it is sound");
}

// ---- the filter

fn filtered(times: usize, body: Vec<u8>, outcome: &str) {
    with_threshold(times, body, outcome, 500_000);
}

fn with_threshold(times: usize, body: Vec<u8>, outcome: &str, threshold: u64) {
    let home = home();
    let mut config = config(home.path());
    config.detach.threshold = threshold;
    let drop = FileDrop::open(&config.drop).expect("a fresh directory can be used");
    let stores = Stores::of_drop(drop, &config.web.public_url);
    let filter = Filter::new(Arc::new(config), stores);
    let runtime = runtime();
    // The first message sets up what is set up once.
    for _ in 0..=times {
        assert_eq!(runtime.block_on(through(&filter, &body)), outcome);
    }
}

async fn through(filter: &Filter, body: &[u8]) -> &'static str {
    let envelope = Envelope {
        queue_id: "4abCDe12".into(),
        sender: "alice@example.org".into(),
        recipients: vec!["bob@example.net".into()],
        direction: Direction::Incoming,
        ..Envelope::default()
    };
    let Start::Scan(mut message) = filter.begin(envelope, &adversary::header(), Eol::CrLf) else {
        panic!("it is to be scanned")
    };
    for chunk in body.chunks(CHUNK_BYTES) {
        message.push(chunk).await;
    }
    let mut rewritten = match message.end().await {
        Verdict::Rewrite(rewritten) => rewritten,
        Verdict::Pass(_) => return "passed",
        Verdict::Fail(error) => panic!("{error}"),
    };
    while let Some(piece) = rewritten.next_piece().await.expect("it is read back") {
        black_box(piece);
    }
    "rewritten"
}

/// In memory where that is possible: nothing is waited for.
fn home() -> TempDir {
    TempDir::new_in("/dev/shm")
        .or_else(|_| TempDir::new())
        .expect("there is a place for temporary files")
}

fn config(home: &Path) -> Config {
    let mut config = Config::default();
    config.drop.directory = home.join("drop");
    config.spool.directory = Some(home.to_owned());
    config.notice.time_zone = TimeZone::UTC;
    config
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts")
}

// ---- the rewriter

fn notice_into(times: usize, kind: TextKind, media_type: &str, text: &str) {
    let header = format!(
        "Content-Type: {media_type}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    );
    let raw = format!("{header}{text}");
    let part = TextPart {
        raw: raw.as_bytes(),
        body_start: header.len(),
        kind,
        charset: Some("utf-8"),
        encoding: TransferEncoding::EightBit,
    };
    let notice = notice();
    repeat(times, || {
        let splices = insert(&part, &notice, Position::BeforeQuote, Eol::CrLf);
        apply(part.raw, &splices.expect("it takes the notice"))
    });
}

fn notice() -> Notice {
    let file = |name: &str| NoticeFile {
        name: name.into(),
        bytes: 12_345_678,
    };
    let expires = Timestamp::from_second(1_800_000_000).expect("it is a time");
    Notice {
        language: Language::Fr,
        also: None,
        files: vec![file("Été à la mer.pdf"), file("plan.dwg")],
        link: "https://drop.example.org/aaaqeayeaudaocajbifqydiob4".into(),
        expires: expires.to_zoned(TimeZone::UTC),
        operator: "Exemple".into(),
        is_encrypted: true,
        own: None,
    }
}

// ---- the drop, and its pages

fn a_drop() -> (TempDir, FileDrop, Runtime) {
    let home = home();
    let drop = FileDrop::open(&config(home.path()).drop).expect("a fresh directory can be used");
    let runtime = runtime();
    runtime.block_on(deposit(&drop, origin(), b"small"));
    (home, drop, runtime)
}

fn site(drop: FileDrop) -> WebState {
    let config = Config::default().web;
    WebState {
        drop,
        theme: Theme::load(&config).expect("ours is sound"),
        config,
        mail: MailConfig::default(),
        zone: TimeZone::UTC,
        language: Language::Fr,
        metrics: Metrics::new(),
    }
}

async fn page(site: &TowerToHyperService<axum::Router>, token: &Token) {
    let request = Request::get(format!("/{token}"))
        .header("accept-language", "fr, en;q=0.5")
        .body(axum::body::Body::empty());
    let answer = site.call(request.expect("it is a request")).await;
    let answer = answer.expect("an answer is made");
    assert_eq!(answer.status(), 200);
    let text = axum::body::to_bytes(answer.into_body(), MEGABYTE).await;
    black_box(text.expect("it is short"));
}

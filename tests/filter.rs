//! A message through the filter, where what matters cannot be seen from outside the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use data_encoding::BASE64_MIME;
use depollueur::{
    config::{Config, Sources},
    envelope::{DETACHED_MAX, Direction, Envelope},
    filter::{Filter, Message, PartDecision, Reason, Start, Verdict},
    store::Stores,
};
use mailsplice::{mime::Field, rewrite::Eol};
use tokio::runtime;

/// A filter over a drop of its own.
struct Lab {
    filter: Filter,
    _directory: tempfile::TempDir,
}

impl Lab {
    fn new(settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut all = vec![format!("drop.directory={}", directory.path().display())];
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let sources = Sources {
            settings: all,
            ..Sources::default()
        };
        let config = Arc::new(Config::load(&sources).unwrap());
        let stores = Stores::open(&config).unwrap();
        Self {
            filter: Filter::new(config, stores),
            _directory: directory,
        }
    }

    fn begin(&self) -> Box<Message> {
        let envelope = Envelope {
            queue_id: String::new(),
            sender: String::new(),
            recipients: Vec::new(),
            direction: Direction::Incoming,
            login: None,
            ..Envelope::default()
        };
        let header = Field {
            name: b"Content-Type".into(),
            value: b" multipart/mixed; boundary=b".into(),
        };
        match self.filter.begin(envelope, &[header], Eol::CrLf) {
            Start::Scan(message) => message,
            other => panic!("{other:?}"),
        }
    }
}

/// A text and so many attachments of so many bytes.
fn body(count: usize, bytes: usize) -> String {
    let encoded = BASE64_MIME.encode(&vec![b'x'; bytes]);
    let part = format!(
        "--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {encoded}\r\n"
    );
    format!("--b\r\n\r\nBonjour\r\n{}--b--\r\n", part.repeat(count))
}

#[tokio::test]
async fn as_many_files_as_the_limit_go_and_with_one_more_none() {
    let lab = Lab::new(&["detach.threshold=1", "limits.parts_max=5000"]);
    let mut message = lab.begin();
    message.push(body(DETACHED_MAX, 3).as_bytes()).await;
    match message.end().await {
        Verdict::Rewrite(rewritten) => assert_eq!(rewritten.detached, DETACHED_MAX),
        verdict => panic!("{verdict:?}"),
    }
    let mut message = lab.begin();
    message.push(body(DETACHED_MAX + 1, 3).as_bytes()).await;
    let verdict = message.end().await;
    assert!(
        matches!(verdict, Verdict::Pass(Reason::TooManyDetached)),
        "{verdict:?}"
    );
    let gone = message.explanation().iter().find(|part| part.detached);
    assert!(gone.is_none(), "{gone:?}");
}

/// What the scanner was about to say is lost then, and with it bytes of the sender.
#[test]
fn a_message_whose_push_was_given_up_fails() {
    let (open, gate) = mpsc::channel::<()>();
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    // The one thread that does the work of the drop has something else to do, and the queue to it is short.
    let busy = runtime.spawn_blocking(move || gate.recv());
    runtime.block_on(async {
        let lab = Lab::new(&["detach.threshold=1000"]);
        let mut message = lab.begin();
        let text = body(1, 1_000_000);
        let pushed = tokio::time::timeout(Duration::ZERO, message.push(text.as_bytes())).await;
        assert!(pushed.is_err(), "the drop has to be waited for");
        drop(open);
        assert!(busy.await.unwrap().is_err(), "the gate opens");
        message.push(text.as_bytes()).await;
        let verdict = message.end().await;
        assert!(matches!(verdict, Verdict::Fail(_)), "{verdict:?}");
    });
}

/// A part, by its type and its body.
fn part(content_type: &str, body: &str) -> String {
    format!("Content-Type: {content_type}\r\n\r\n{body}\r\n")
}

/// Parts between delimiters.
fn parts(boundary: &str, parts: &[String]) -> String {
    let all: Vec<_> = parts
        .iter()
        .map(|part| format!("--{boundary}\r\n{part}"))
        .collect();
    format!("{}--{boundary}--\r\n", all.concat())
}

/// Readers are shown one choice of a `multipart/alternative`, and see all of a `multipart/mixed`.
#[tokio::test]
async fn whichever_choice_a_reader_is_shown_it_has_the_link_once() {
    let multipart = |kind: &str, boundary: &str, inner: &[String]| {
        let content_type = format!("multipart/{kind}; boundary={boundary}");
        part(&content_type, &parts(boundary, inner))
    };
    let (plain, html) = (part("text/plain", "P."), part("text/html", "<p>H.</p>"));
    let (footer, pdf) = (part("text/plain", "F."), part("application/pdf", "%PDF-"));
    let named = part("text/html; name=body.html", "<p>N.</p>");
    let unknown = part("text/html\r\nContent-Transfer-Encoding: 8-bit", "<p>N.</p>");
    let mixed = |first: &String| multipart("mixed", "m", &[first.clone(), pdf.clone()]);
    let alternative = |choices: &[String]| multipart("alternative", "a", choices);
    let related = multipart("related", "r", &[html.clone(), part("image/png", "x")]);
    for (what, message, told) in [
        ("plain alone", vec![plain.clone()], "P"),
        (
            "both",
            vec![alternative(&[plain.clone(), html.clone()])],
            "PH",
        ),
        (
            "embedded",
            vec![alternative(&[plain.clone(), related])],
            "PH",
        ),
        (
            "the file inside of a choice",
            vec![alternative(&[plain.clone(), mixed(&html)])],
            "PH",
        ),
        (
            "a third choice",
            vec![alternative(&[plain.clone(), html.clone(), mixed(&footer)])],
            "PHF",
        ),
        (
            "a text above the choices",
            vec![
                part("text/plain", "F."),
                alternative(&[mixed(&plain), html.clone()]),
            ],
            "F",
        ),
        ("a list's footer", vec![html.clone(), footer.clone()], "H"),
        (
            "a choice that has a name",
            vec![alternative(&[plain.clone(), named])],
            "",
        ),
        (
            "a choice in an unknown encoding",
            vec![alternative(&[plain.clone(), unknown])],
            "",
        ),
        (
            "more texts than are remembered",
            vec![alternative(&[
                multipart("mixed", "m", &vec![plain; 17]),
                html,
            ])],
            "",
        ),
    ] {
        let lab = Lab::new(&["detach.threshold=1"]);
        let mut scanned = lab.begin();
        let body = parts("b", &[message, vec![pdf.clone()]].concat());
        scanned.push(body.as_bytes()).await;
        let Verdict::Rewrite(mut rewritten) = scanned.end().await else {
            panic!("{what}: it was not changed");
        };
        let mut after = Vec::new();
        while let Some(piece) = rewritten.next_piece().await.unwrap() {
            after.extend_from_slice(&piece);
        }
        let after = String::from_utf8(after).unwrap();
        // Each text is told of by its letter, up to the next delimiter.
        let has_link = |letter: &char| {
            let from = after.split(&format!("{letter}.")).nth(1).unwrap();
            from.split("\r\n--")
                .next()
                .unwrap()
                .contains(&rewritten.link)
        };
        let found: String = "PHFN"
            .chars()
            .filter(|c| after.contains(&format!("{c}.")))
            .filter(has_link)
            .collect();
        assert_eq!(found, told, "{what}\n{after}");
        if told.is_empty() {
            let (choices, behind) = after.rsplit_once("--a--").unwrap();
            assert!(behind.contains(&rewritten.link), "{what}\n{after}");
            assert!(!choices.contains(&rewritten.link), "{what}\n{after}");
        }
    }
}

/// What becomes of the parts of a `multipart/mixed` at a threshold of one byte: a letter for each, `G`
/// if it goes; nothing if the message is not touched for a reason of its own.
async fn fates(parts_of_it: &[String]) -> String {
    let lab = Lab::new(&["detach.threshold=1"]);
    let mut message = lab.begin();
    message.push(parts("b", parts_of_it).as_bytes()).await;
    let verdict = message.end().await;
    assert!(
        matches!(
            verdict,
            Verdict::Rewrite(_) | Verdict::Pass(Reason::Nothing)
        ),
        "{verdict:?}"
    );
    let letter = |part: &PartDecision| if part.detached { 'G' } else { 's' };
    message.explanation().iter().map(letter).collect()
}

#[tokio::test]
async fn the_words_of_a_message_stay_whatever_their_names() {
    let plain = |parameters: &str| part(&format!("text/plain{parameters}"), "Mots.");
    let (nameless, named) = (plain(""), plain("; name=a.txt"));
    let attached = plain("; name=a.txt\r\nContent-Disposition: attachment");
    let inline = plain("\r\nContent-Disposition: inline; filename=a.txt");
    let html = part("text/html; name=body.html", "<p>Mots.</p>");
    let table = part("text/csv; name=a.csv", "1,2");
    let blank = part("text/plain", " \r\n\t");
    let pdf = part("application/pdf", "%PDF-");
    let choice = part(
        "multipart/alternative; boundary=c",
        &parts("c", &[plain(""), part("text/html", "<p>Mots.</p>")]),
    );
    let base64 = |body| {
        let kind = "text/html; name=b.html\r\nContent-Transfer-Encoding: base64";
        part(kind, body)
    };
    for (what, all, expected) in [
        ("the first", vec![&named, &pdf], "sG"),
        ("an HTML body", vec![&html, &pdf], "sG"),
        ("inline is no attachment", vec![&inline, &pdf], "sG"),
        ("behind a file", vec![&pdf, &html], "Gs"),
        ("an attachment is none", vec![&attached, &pdf], "GG"),
        (
            "nor is what comes first as one",
            vec![&attached, &named],
            "Gs",
        ),
        ("data are no words", vec![&table, &html], "Gs"),
        ("a text behind the first", vec![&nameless, &named], "sG"),
        ("two named ones", vec![&named, &html], "sG"),
        (
            "up to a nameless one",
            vec![&named, &html, &nameless],
            "sss",
        ),
        (
            "around a file",
            vec![&named, &pdf, &html, &nameless],
            "sGss",
        ),
        ("before a choice", vec![&named, &html, &choice], "ssss"),
        ("behind a choice", vec![&choice, &html], "ssG"),
        ("a blank one says nothing", vec![&blank, &html, &pdf], "ssG"),
        ("nor one at the end", vec![&named, &html, &blank], "sGs"),
        ("nor data", vec![&named, &table, &nameless], "sGs"),
        ("encoded blanks", vec![&base64("IA0K"), &html, &pdf], "ssG"),
        ("a padded one", vec![&base64("DQo="), &html, &pdf], "ssG"),
        ("encoded words", vec![&base64("SA=="), &html, &pdf], "sGG"),
    ] {
        let all: Vec<_> = all.into_iter().cloned().collect();
        assert_eq!(fates(&all).await, expected, "{what}");
    }
}

#[tokio::test]
async fn a_file_that_a_text_can_only_point_to_goes_and_a_picture_in_it_stays() {
    let shown = |kind: &str, disposition: &str| {
        let fields = format!("{kind}\r\nContent-ID: <f@x>\r\nContent-Disposition: {disposition}");
        part(&fields, "x")
    };
    let html = part("text/html", "<p>See <img src=\"cid:f@x\" alt=\"a\"></p>");
    for (kind, disposition, expected) in [
        ("application/zip", "attachment", "G"),
        ("application/pdf", "attachment", "G"),
        ("application/vnd.ms-excel", "attachment", "G"),
        ("message/rfc822", "attachment", "G"),
        ("text/csv", "attachment", "G"),
        ("application/pdf", "inline", "s"),
        ("application/octet-stream", "attachment", "s"),
        ("image/jpeg", "attachment", "s"),
        ("video/mp4", "attachment", "s"),
        ("application/x-font-ttf", "attachment", "s"),
    ] {
        let file = shown(kind, disposition);
        let before = fates(&[html.clone(), file.clone()]).await;
        assert_eq!(before, format!("s{expected}"), "{kind} {disposition}");
        // The HTML that shows it may come behind it.
        if expected == "G" {
            assert_eq!(fates(&[file, html.clone()]).await, "Gs", "{kind}");
        }
    }
}

/// A text that is as large as may be takes the notice; with one byte more it stays as it is, and the
/// notice is a part of its own behind it.
#[tokio::test]
async fn a_text_at_its_limit_takes_the_notice_and_one_byte_past_it_does_not() {
    const MAX: usize = 20_000;
    for (len, takes) in [(MAX, true), (MAX + 1, false)] {
        let lab = Lab::new(&[
            "detach.threshold=1",
            "notice.position=end",
            "notice.language=en",
            &format!("limits.text_bytes_max={MAX}"),
        ]);
        let mut scanned = lab.begin();
        let text = "P".repeat(98) + "\r\n";
        let text = text.repeat(MAX / 100) + &"P".repeat(len - MAX);
        assert_eq!(text.len(), len);
        let pdf = part("application/pdf", "%PDF-");
        scanned
            .push(parts("b", &[part("text/plain", &text), pdf]).as_bytes())
            .await;
        let Verdict::Rewrite(mut rewritten) = scanned.end().await else {
            panic!("it was not changed");
        };
        let mut after = Vec::new();
        while let Some(piece) = rewritten.next_piece().await.unwrap() {
            after.extend_from_slice(&piece);
        }
        let after = String::from_utf8(after).unwrap();
        let first = after.split("\r\n--b").next().unwrap();
        assert_eq!(first.contains(&rewritten.link), takes, "{len}");
        assert_eq!(after.matches(&rewritten.link).count(), 1, "{len}");
        assert!(after.contains(&text), "{len}");
    }
}

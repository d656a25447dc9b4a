//! A message through the filter, where what matters cannot be seen from outside the program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use data_encoding::BASE64_MIME;
use depollueur::{
    config::{Config, Sources},
    filter::{DETACHED_MAX, Direction, Envelope, Filter, Message, Reason, Start, Verdict},
    mime::Field,
    rewrite::Eol,
    store::Store,
};
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
        let store = Store::open(&config).unwrap();
        Self {
            filter: Filter::new(config, store),
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

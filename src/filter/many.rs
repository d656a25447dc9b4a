//! The cost of a message of very many files, in tests.

use std::{sync::mpsc, time::Duration};

use mailsplice::rewrite::Eol;

use super::{
    DETACHED_MAX, Message, Reason, Start, Verdict,
    lab::{Lab, Mail},
};
use crate::aside::{self, Aside};

fn begin(lab: &Lab) -> Box<Message> {
    let mail = Mail::new("a@b");
    match lab
        .filter
        .begin(mail.envelope.clone(), &mail.fields(), Eol::CrLf)
    {
        Start::Scan(message) => message,
        other => panic!("{other:?}"),
    }
}

/// Makes a body with files of this length, behind a text.
fn body(files: usize, length: usize) -> Vec<u8> {
    let mut body = b"--b\r\n\r\nBonjour\r\n".to_vec();
    for number in 0..files {
        let head = format!("--b\r\nContent-Type: application/pdf; name={number}.pdf\r\n\r\n");
        body.extend(head.into_bytes());
        body.extend(vec![b'x'; length]);
        body.extend(b"\r\n");
    }
    body
}

fn drafts(lab: &Lab) -> std::path::PathBuf {
    lab.home.path().join("drop/drafts")
}

#[tokio::test]
async fn the_file_past_the_last_is_refused_before_anything_is_stored() {
    let lab = Lab::new(&["detach.threshold=1 B"]);
    let touched = || std::fs::metadata(drafts(&lab)).unwrap().modified().unwrap();
    let before = touched();
    let mut message = begin(&lab);
    message.push(&body(DETACHED_MAX + 2, 1)).await;
    assert!(message.is_settled(), "nothing more of it is needed");
    let verdict = message.end().await;
    assert!(
        matches!(verdict, Verdict::Pass(Reason::TooManyDetached)),
        "{verdict:?}"
    );
    assert_eq!(touched(), before, "no draft was made");
}

#[tokio::test]
async fn as_many_files_as_may_go_go() {
    let lab = Lab::new(&["detach.threshold=1 B"]);
    let mut message = begin(&lab);
    let body = [body(DETACHED_MAX, 1), b"--b--\r\n".to_vec()].concat();
    message.push(&body).await;
    let verdict = message.end().await;
    let Verdict::Rewrite(rewritten) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(rewritten.detached, DETACHED_MAX);
}

/// Keeps the thread that drops busy until the sender goes.
struct Held(mpsc::Receiver<()>);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

#[tokio::test]
async fn files_that_are_given_up_are_not_removed_where_mail_is_worked_on() {
    let lab = Lab::new(&[]);
    let count = || std::fs::read_dir(drafts(&lab)).unwrap().count();
    let (hold, held) = mpsc::channel();
    drop(Aside::new(Held(held)));

    let mut message = begin(&lab);
    message.push(&body(3, 100_000)).await;
    // Base64 that readers differ about: whatever was begun is given up.
    let broken = "--b\r\nContent-Type: application/pdf; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\nQ===Q\r\n";
    message.push(broken.as_bytes()).await;
    message.push(b"--b--\r\n").await;

    let verdict = message.end().await;
    assert!(
        matches!(verdict, Verdict::Pass(Reason::Ambiguous(_))),
        "{verdict:?}"
    );

    drop(message);
    assert!(count() >= 2, "{} drafts wait for the thread", count());
    drop(hold);
    // Files whose end nobody waited for end by themselves.
    while count() > 0 {
        assert!(aside::settle(Duration::MAX));
        tokio::task::yield_now().await;
    }
}

//! The effects of the virus scan on a message, in tests.

use std::time::Duration;

use super::{
    FilterError, Reason, Verdict,
    lab::{Lab, Mail, Sent},
};
use crate::{
    drop::{Action, AuditQuery},
    scan::{
        ScanFinding,
        scripted::{EVIL, Script, Scripted},
    },
};

/// A filter whose drop is scanned by this daemon.
fn lab(clamd: &Scripted, settings: &[&str]) -> Lab {
    let clamd = format!("scan.clamd={}", clamd.address);
    Lab::new(&[&[clamd.as_str(), "scan.timeout=1 s"], settings].concat())
}

/// Files of a mail with a line of base64 each, as no encoder of ours would write it.
fn body(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"--b\r\n\r\nBonjour\r\n".to_vec();
    for (name, file) in files {
        let head = format!(
            "--b\r\nContent-Type: application/pdf; name={name}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        body.extend(head.into_bytes());
        body.extend(part(file));
    }
    body.extend(b"--b--\r\n");
    body
}

fn part(file: &[u8]) -> Vec<u8> {
    let encoded = data_encoding::BASE64.encode(file);
    let lines = encoded
        .as_bytes()
        .chunks(40)
        .map(|line| [line, b"\r\n"].concat());
    lines.collect::<Vec<_>>().concat()
}

fn evil() -> Vec<u8> {
    [&vec![b'x'; 3000], EVIL].concat()
}

/// Sends a body in small pieces.
async fn send(lab: &Lab, body: &[u8]) -> Sent {
    lab.send_body(&Mail::new("a@b"), body).await
}

/// The number of files in the drop, committed or not.
fn files(lab: &Lab) -> usize {
    let drop = lab.home.path().join("drop");
    let count = |kind: &str| {
        let found = walk(&drop.join(kind));
        found.len()
    };
    count("blobs") + count("drafts")
}

/// Waits until a thread of the drop has removed everything that was begun.
async fn nothing_is_left(lab: &Lab) {
    for _ in 0..1000 {
        if files(lab) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} files are left", files(lab));
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(text, wanted).is_some()
}

#[tokio::test]
async fn an_infected_file_never_gets_into_the_drop_and_the_audit_log_says_so() {
    let clamd = Scripted::start(Script::Looks);
    for choice in ["reject", "deliver"] {
        let lab = lab(&clamd, &[&format!("scan.on_infected={choice}")]);
        let sent = send(&lab, &body(&[("a.pdf", &[b'a'; 3000]), ("b.pdf", &evil())])).await;
        assert!(matches!(sent.verdict, Verdict::Pass(Reason::Infected)));
        assert_eq!(sent.reasons[1..], ["threshold reached", "infected"]);
        assert_eq!(sent.refused, ["infected"]);
        nothing_is_left(&lab).await;
        let entries = lab.drop.audit(AuditQuery::default()).await.unwrap();
        let [entry] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(entry.action, Action::Refuse);
        assert_eq!(entry.detail, "a file is infected: Evil.Test");
        assert_eq!(entry.sender, "alice@example.org");
    }
}

#[tokio::test]
async fn clean_files_are_scanned_and_deposited() {
    let clamd = Scripted::start(Script::Looks);
    let lab = lab(&clamd, &[]);
    let file = vec![b'a'; 300_000];
    let sent = send(&lab, &body(&[("a.pdf", &file), ("b.pdf", &[b'b'; 3000])])).await;
    assert!(matches!(sent.verdict, Verdict::Rewrite(_)));
    let scanned = clamd.files();
    assert_eq!(scanned, [file, vec![b'b'; 3000]]);
}

#[tokio::test]
async fn an_infected_file_is_kept_out_to_the_byte_and_the_others_go() {
    let clamd = Scripted::start(Script::Looks);
    // Once with files that are heavy alone, once with files whose sum is.
    for settings in [
        &[][..],
        &["detach.threshold=100000", "detach.message_threshold=1000"],
    ] {
        let settings = [&["scan.on_infected=keep out"], settings].concat();
        let lab = lab(&clamd, &settings);
        let (clean, evil) = (vec![b'a'; 4000], evil());
        let files_in = [("a.pdf", &clean[..]), ("b.pdf", &evil), ("c.pdf", &clean)];
        let sent = send(&lab, &body(&files_in)).await;

        assert!(
            matches!(sent.verdict, Verdict::Rewrite(_)),
            "{:?}",
            sent.verdict
        );
        assert!(contains(&sent.body, &part(&evil)));
        assert!(!contains(&sent.body, &part(&clean)));
        assert_eq!(files(&lab), 2);
        assert_eq!(sent.refused, ["infected"]);
        assert_eq!(
            sent.reasons
                .iter()
                .filter(|why| **why == "infected")
                .count(),
            1
        );
    }
}

#[tokio::test]
async fn where_all_files_are_kept_out_the_message_goes_out_as_it_came() {
    let clamd = Scripted::start(Script::Looks);
    let lab = lab(&clamd, &["scan.on_infected=keep out"]);
    let sent = send(&lab, &body(&[("b.pdf", &evil())])).await;
    assert!(matches!(sent.verdict, Verdict::Pass(Reason::Infected)));
    nothing_is_left(&lab).await;
}

#[tokio::test]
async fn without_a_verdict_nothing_is_deposited_unless_that_is_wished() {
    for script in [Script::Closes, Script::IsMute, Script::Says(b"stream: OK")] {
        let clamd = Scripted::start(script);
        let body = body(&[("a.pdf", &[b'a'; 300_000])]);
        for choice in ["tempfail", "deliver"] {
            let lab = lab(&clamd, &[&format!("scan.on_failure={choice}")]);
            let verdict = send(&lab, &body).await.verdict;
            let Verdict::Fail(error) = &verdict else {
                panic!("{script:?}: {verdict:?}");
            };
            assert_eq!(error.finding(), Some(ScanFinding::Unscanned));
            nothing_is_left(&lab).await;
        }

        let lab = lab(&clamd, &["scan.on_failure=deposit"]);
        assert!(matches!(
            send(&lab, &body).await.verdict,
            Verdict::Rewrite(_)
        ));
        assert_eq!(files(&lab), 1);
    }
}

#[tokio::test]
async fn a_daemon_that_hangs_does_not_hold_a_message_up_for_longer_than_the_deadline() {
    let clamd = Scripted::start(Script::Hangs);
    let lab = lab(&clamd, &["scan.timeout=4 min", "milter.deadline=1 s"]);
    let sent = send(&lab, &body(&[("a.pdf", &[b'a'; 3_000_000])])).await;
    assert!(matches!(sent.verdict, Verdict::Fail(FilterError::Slow)));
    nothing_is_left(&lab).await;
}

#[tokio::test]
async fn a_file_that_is_too_large_to_scan_stays_in_its_message_unless_it_may_go() {
    let clamd = Scripted::start(Script::Looks);
    let body = body(&[("a.pdf", &[b'a'; 3000])]);
    let lab_of = |choice| lab(&clamd, &["scan.size_max=2999", choice]);
    let lab = lab_of("scan.on_oversize=deliver");
    let verdict = send(&lab, &body).await.verdict;
    assert!(matches!(verdict, Verdict::Pass(Reason::Oversize)));
    nothing_is_left(&lab).await;
    let lab = lab_of("scan.on_oversize=deposit");
    assert!(matches!(
        send(&lab, &body).await.verdict,
        Verdict::Rewrite(_)
    ));
    assert_eq!(files(&lab), 1);
}

#[tokio::test]
async fn in_a_trial_nothing_is_scanned() {
    let clamd = Scripted::start(Script::Hangs);
    let lab = lab(
        &clamd,
        &["detach.mode=dry-run", "scan.on_infected=keep out"],
    );
    let verdict = send(&lab, &body(&[("b.pdf", &evil())])).await.verdict;
    assert!(matches!(verdict, Verdict::Pass(Reason::DryRun)));
    assert_eq!(clamd.files().len(), 0);
}

use std::{net::TcpListener, time::Duration};

use super::{
    scripted::{EVIL, Script, Scripted},
    session::verdict,
    *,
};
use crate::config::ClamdAddress;

fn config(daemons: &[&Scripted]) -> ScanConfig {
    ScanConfig {
        clamd: daemons.iter().map(|one| one.address.clone()).collect(),
        timeout: Duration::from_secs(1),
        ..ScanConfig::default()
    }
}

/// Makes a file of this many blocks; its last one has something in it.
fn file(blocks: usize) -> Vec<Bytes> {
    let mut file = vec![Bytes::from(vec![b'x'; 64 << 10]); blocks];
    file.push(Bytes::from_static(EVIL));
    file
}

async fn scan(scanner: &VirusScanner, file: &[Bytes]) -> Result<()> {
    let mut scan = scanner.scan();
    for block in file {
        scan.write(std::slice::from_ref(block)).await?;
    }
    scan.finish().await.map(|_| ())
}

async fn scan_with(config: &ScanConfig, file: &[Bytes]) -> Result<()> {
    scan(&VirusScanner::of(config).unwrap(), file).await
}

/// Returns the message of a scan that fails.
async fn failure(script: Script, blocks: usize) -> String {
    objection(script, blocks, ScanFinding::Unscanned).await
}

async fn objection(script: Script, blocks: usize, finding: ScanFinding) -> String {
    let clamd = Scripted::start(script);
    let error = scan_with(&config(&[&clamd]), &file(blocks)).await;
    let error = error.expect_err("it gave no verdict");
    assert_eq!(error.finding(), finding);
    error.to_string()
}

#[tokio::test]
async fn a_file_is_sent_whole_and_its_verdict_taken() {
    let clamd = Scripted::start(Script::Looks);
    let scanner = VirusScanner::of(&config(&[&clamd])).unwrap();
    assert!(scan(&scanner, &[Bytes::from("clean")]).await.is_ok());
    let found = scan(&scanner, &file(40)).await.unwrap_err();
    assert_eq!(found.finding(), ScanFinding::Infected);
    assert_eq!(found.to_string(), "a file is infected: Evil.Test");
    let sent = clamd.files();
    assert_eq!(sent[0], b"clean");
    assert_eq!(sent[1], file(40).concat());
}

#[tokio::test]
async fn a_daemon_says_its_version() {
    let clamd = Scripted::start(Script::Looks);
    let scanner = VirusScanner::of(&config(&[&clamd])).unwrap();
    clamd.knows("ClamAV 1.4.6/27451/Sun Nov 22 09:00:00 2026");
    assert!(scanner.version().await.unwrap().contains("/27451/"));
    clamd.knows("");
    assert!(scanner.version().await.is_err());
}

#[tokio::test]
async fn a_file_without_a_byte_is_not_sent() {
    let clamd = Scripted::start(Script::Hangs);
    assert!(scan_with(&config(&[&clamd]), &[Bytes::new()]).await.is_ok());
    assert!(scan_with(&config(&[&clamd]), &[]).await.is_ok());
    assert_eq!(clamd.files().len(), 0);
}

#[tokio::test]
async fn a_block_without_bytes_does_not_end_a_file() {
    let clamd = Scripted::start(Script::Looks);
    let file = [Bytes::from("begin"), Bytes::new(), Bytes::from_static(EVIL)];
    assert!(scan_with(&config(&[&clamd]), &file).await.is_err());
}

#[test]
fn only_the_words_of_clamd_are_a_verdict() {
    assert_eq!(verdict(b"stream: OK\0"), Some(ScanVerdict::Clean));
    let found = Some(ScanVerdict::Infected("Win.Test.EICAR_HDB-1".into()));
    assert_eq!(verdict(b"stream: Win.Test.EICAR_HDB-1 FOUND\0"), found);
    for answer in [
        &b""[..],
        b"\0",
        b"stream: OK",
        b"stream: O",
        b"stream: OK\n",
        b"OK\0",
        b"stream: NOT OK\0",
        b"stream: OK\0stream: Evil FOUND\0",
        b"stream: OK \0",
        b"1: stream: OK\0",
        b"stream: FOUND\0",
        b"stream:  FOUND\0",
        b"stream: Evil FOUND",
        b"stream: Ev\nil FOUND\0",
        b"stream: \xff FOUND\0",
        b"INSTREAM size limit exceeded. ERROR\0",
        b"stream: Can't allocate memory ERROR\0",
        b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0",
        b"UNKNOWN COMMAND\0",
    ] {
        assert_eq!(verdict(answer), None, "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_verdict_is_a_failure_that_says_it() {
    for (answer, said) in [
        (&b"stream: OK"[..], r#"gave no verdict, but "stream: OK""#),
        (b"\x1b[31m<html>\0", r#"but "\u{1b}[31m<html>""#),
        (b"", "broke off: it closed the connection"),
    ] {
        let failure = failure(Script::Says(answer), 1).await;
        assert!(failure.contains(said), "{failure}");
    }
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    static LONG: [u8; 1 << 20] = [b'a'; 1 << 20];
    let failure = failure(Script::Says(&LONG), 1).await;
    assert!(failure.len() < 400, "{failure}");
}

#[tokio::test]
async fn a_verdict_that_comes_before_the_end_of_the_file_is_none() {
    for answer in [&b"stream: OK\0"[..], b"stream: Evil FOUND\0"] {
        let failure = failure(Script::SaysEarly(answer), 40).await;
        assert!(
            failure.contains("before it had the whole file"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn a_limit_of_clamd_is_passed_each_time_and_no_failure_that_passes() {
    let stream = b"INSTREAM size limit exceeded. ERROR\0";
    let file = b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0";
    for (script, blocks, said) in [
        (
            Script::Says(stream),
            1,
            "raise StreamMaxLength in clamd.conf, or lower scan.size_max",
        ),
        (Script::SaysEarly(stream), 40, "raise StreamMaxLength"),
        (Script::Says(file), 1, "raise its limits (MaxFileSize"),
    ] {
        let objection = objection(script, blocks, ScanFinding::Oversize).await;
        assert!(objection.contains(said), "{objection}");
    }
}

#[tokio::test]
async fn a_daemon_that_goes_or_hangs_is_a_failure() {
    for (script, blocks, said) in [
        (Script::Closes, 40, "broke off"),
        (Script::Hangs, 40, "did nothing for 1 s"),
        (Script::Hangs, 0, "did nothing for 1 s"),
        (Script::IsMute, 1, "did nothing for 1 s"),
    ] {
        let failure = failure(script, blocks).await;
        assert!(failure.contains(said), "{script:?}: {failure}");
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_daemon_that_takes_nothing() {
    let clamd = Scripted::start(Script::Hangs);
    let scanner = VirusScanner::of(&config(&[&clamd])).unwrap();
    let (mut scan, mut written) = (scanner.scan(), 0);
    for block in file(100_000) {
        match scan.write(std::slice::from_ref(&block)).await {
            Ok(()) => written += block.len(),
            Err(_) => break,
        }
    }
    // What the kernel holds for a socket.
    assert!(written < 8 << 20, "{written}");
}

#[tokio::test]
async fn the_next_daemon_is_asked_where_one_is_down_and_asked_first_from_then_on() {
    let (down, up) = (
        Scripted::start(Script::Looks),
        Scripted::start(Script::Looks),
    );
    let config = config(&[&down, &up]);
    drop(down);
    let scanner = VirusScanner::of(&config).unwrap();
    for _ in 0..2 {
        assert!(scan(&scanner, &file(1)).await.is_err());
    }
    assert_eq!(up.files().len(), 2);
    assert_eq!(scanner.0.preferred.load(Relaxed), 1);
}

#[tokio::test]
async fn after_a_failure_in_the_middle_another_daemon_is_asked() {
    let (bad, good) = (
        Scripted::start(Script::Closes),
        Scripted::start(Script::Looks),
    );
    let scanner = VirusScanner::of(&config(&[&bad, &good])).unwrap();
    let clean = vec![Bytes::from(vec![0; 64 << 10]); 40];
    assert_eq!(
        scan(&scanner, &clean).await.unwrap_err().finding(),
        ScanFinding::Unscanned
    );
    assert!(scan(&scanner, &clean).await.is_ok());
    assert_eq!(bad.files().len(), 1);
}

#[tokio::test]
async fn without_any_daemon_the_last_one_is_named() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody: ClamdAddress = format!("inet:{free}").parse().unwrap();
    let config = ScanConfig {
        clamd: vec![ClamdAddress::Unix("/nonexistent".into()), nobody.clone()],
        ..ScanConfig::default()
    };
    let failure = scan_with(&config, &file(1)).await.unwrap_err().to_string();
    assert!(
        failure.contains(&format!("could not reach clamd \"{nobody}\"")),
        "{failure}"
    );
}

#[tokio::test]
async fn a_daemon_is_reached_over_tcp_by_its_name() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        while !all.ends_with(&[0; 4]) {
            tokio::io::AsyncReadExt::read_buf(&mut stream, &mut all)
                .await
                .unwrap();
        }
        let answer = b"stream: OK\0";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    });
    let config = ScanConfig {
        clamd: vec![format!("inet:localhost:{port}").parse().unwrap()],
        ..ScanConfig::default()
    };
    assert!(scan_with(&config, &[Bytes::from("clean")]).await.is_ok());
    served.await.unwrap();
}

#[tokio::test]
async fn a_failure_and_a_large_file_are_deposited_where_that_is_wished() {
    let clamd = Scripted::start(Script::Closes);
    let mut config = config(&[&clamd]);
    config.on_failure = OnUnscanned::Deposit;
    assert!(scan_with(&config, &file(40)).await.is_ok());
    let clamd = Scripted::start(Script::Looks);
    config.clamd = vec![clamd.address.clone()];
    assert!(
        scan_with(&config, &file(1)).await.is_err(),
        "it is infected"
    );
    config.size_max = 100_000;
    let error = scan_with(&config, &file(40)).await.unwrap_err();
    assert_eq!(error.finding(), ScanFinding::Oversize);
    config.on_oversize = OnOversize::Deposit;
    assert!(scan_with(&config, &file(40)).await.is_ok());
    // Nothing past the bound was sent.
    let sent = clamd.files();
    assert!(sent[1..].iter().all(|file| file.len() <= 64 << 10));
}

#[tokio::test]
async fn the_largest_file_is_scanned() {
    let clamd = Scripted::start(Script::Looks);
    let mut config = config(&[&clamd]);
    config.size_max = file(2).iter().map(|block| block.len() as u64).sum();
    let found = scan_with(&config, &file(2)).await.unwrap_err();
    assert_eq!(found.finding(), ScanFinding::Infected);
    config.size_max -= 1;
    let found = scan_with(&config, &file(2)).await.unwrap_err();
    assert_eq!(found.finding(), ScanFinding::Oversize);
}

#[test]
fn each_finding_is_known_by_its_word() {
    for finding in ScanFinding::ALL {
        assert_eq!(ScanFinding::of(finding.label()), Some(finding));
    }
    assert_eq!(ScanFinding::of("blocked"), None);
}

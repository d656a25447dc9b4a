//! What becomes of a `winmail.dat` and of the files in it, in tests.

#[path = "../../crates/mailsplice/src/mime/tnef/writer.rs"]
mod writer;

use jiff::Timestamp;

use self::writer::Writer;
use super::{
    DETACHED_MAX, Reason, Verdict,
    container::OPENED_MAX,
    lab::{Lab, Mail},
};
use crate::{
    drop::{FileEntry, Link, PackageLookup},
    scan::scripted::{EVIL, Script, Scripted},
};

const TEXT: &str = "--b\r\n\r\nBonjour\r\n";

/// A note with these files, each of this content.
fn note(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let class = b"IPM.Microsoft Mail.Note\0";
    let begun = Writer::new().attribute(1, 0x0007_8008, class);
    let add = |tnef: Writer, (name, data): &(&str, Vec<u8>)| {
        tnef.rendering(1, 0).title(name.as_bytes()).data(data)
    };
    files.iter().fold(begun, add).0
}

/// A body with a part for each file, in base64.
fn body(text: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = text.to_owned();
    for (name, file) in files {
        let encoded = data_encoding::BASE64.encode(file);
        let lines: Vec<_> = encoded
            .as_bytes()
            .chunks(76)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        let (fields, lines) = (
            format!("--b\r\nContent-Type: application/ms-tnef; name={name}\r\n"),
            lines.join("\r\n"),
        );
        body = format!("{body}{fields}Content-Transfer-Encoding: base64\r\n\r\n{lines}\r\n");
    }
    (body + "--b--\r\n").into_bytes()
}

/// A message that was sent: verdict, what is in the drop, and the reason of each part.
struct SentFiles {
    verdict: Verdict,
    files: Vec<(FileEntry, Vec<u8>)>,
    reasons: Vec<String>,
    body: String,
}

async fn send(lab: &Lab, body: &[u8]) -> SentFiles {
    send_as(lab, &Mail::new("a@b"), body).await
}

/// Sends a body with the header and envelope of a mail.
async fn send_as(lab: &Lab, mail: &Mail, body: &[u8]) -> SentFiles {
    let sent = lab.send_body(mail, body).await;
    let mut files = Vec::new();
    if let Verdict::Rewrite(rewritten) = &sent.verdict {
        let token = Link::read(&rewritten.link).unwrap().token;
        let found = lab.drop.find(&token, Timestamp::now()).await.unwrap();
        let PackageLookup::Live(package) = found else {
            panic!("it is not live");
        };
        for (index, file) in package.files.iter().enumerate() {
            let reader = lab.drop.read(&token, &package, index, 0..file.size);
            let (mut reader, mut contents) = (reader.await.unwrap(), Vec::new());
            while let Some(bytes) = reader.next().await.unwrap() {
                contents.extend_from_slice(&bytes);
            }
            files.push((file.clone(), contents));
        }
    }

    SentFiles {
        reasons: sent.reasons,
        verdict: sent.verdict,
        files,
        body: String::from_utf8(sent.body).unwrap(),
    }
}

/// Checks that a message with this part goes out as it came, for the reason of a container.
async fn stays(why: &str, lab: &Lab, text: &str, part: &[u8]) {
    let sent = send(lab, &body(text, &[("winmail.dat", part)])).await;
    assert!(
        matches!(sent.verdict, Verdict::Pass(Reason::Nothing)),
        "{why}: {:?}",
        sent.verdict
    );
    let reason = "holds text and files of the message";
    assert_eq!(sent.reasons.last().unwrap(), reason, "{why}");
}

#[tokio::test]
async fn its_files_stand_behind_it() {
    let lab = Lab::new(&[]);
    let (table, plan) = (vec![b'x'; 200_000], b"%PDF-1.7".to_vec());
    let tnef = note(&[("tableau.xls", table.clone()), ("plan.pdf", plan.clone())]);
    let other = note(&[("photo.jpg", vec![7; 2000])]);
    let parts = [("winmail.dat", &*tnef), ("other.tnef", &*other)];
    let sent = send(&lab, &body(TEXT, &parts)).await;

    let Verdict::Rewrite(rewritten) = &sent.verdict else {
        panic!("{:?}", sent.verdict);
    };
    let bytes = (tnef.len() + other.len()) as u64;
    assert_eq!((rewritten.detached, rewritten.detached_bytes), (2, bytes));

    let found: Vec<_> = sent
        .files
        .iter()
        .map(|(file, contents)| (&*file.name, file.opened, contents))
        .collect();
    let expected = [
        ("winmail.dat", false, &tnef),
        ("other.tnef", false, &other),
        ("tableau.xls", true, &table),
        ("plan.pdf", true, &plan),
        ("photo.jpg", true, &vec![7; 2000]),
    ];
    assert!(found == expected, "other files");

    assert!(!sent.body.contains("ms-tnef"));
    for name in ["winmail.dat", "tableau.xls", "plan.pdf"] {
        assert!(sent.body.contains(name), "{name}: {}", sent.body);
    }
}

#[tokio::test]
async fn what_cannot_be_opened_stays() {
    let lab = Lab::new(&[]);
    let file = || vec![b'x'; 3000];
    let tnef = note(&[("a", file())]);
    let cut = &tnef[..tnef.len() - 1];
    stays("cut", &lab, TEXT, cut).await;
    stays("no TNEF", &lab, TEXT, &file()).await;
    let mut changed = tnef.clone();
    changed[1000] ^= 1;
    stays("changed", &lab, TEXT, &changed).await;

    let unknown = Writer::new().attribute(1, 0x0006_9003, &file());
    stays("no file", &lab, TEXT, &unknown.0).await;
    let meeting = Writer::new()
        .attribute(1, 0x0007_8008, b"IPM.Microsoft Schedule.MtgReq\0")
        .rendering(1, 0)
        .data(&file());
    stays("meeting", &lab, TEXT, &meeting.0).await;
    let nothing_said = Writer::new().rendering(1, 0).data(&file());
    stays("no class", &lab, TEXT, &nothing_said.0).await;

    let note = b"IPM.Microsoft Mail.Note\0";
    let begun = || Writer::new().attribute(1, 0x0007_8008, note);
    let with_file = || begun().rendering(1, 0).title(b"a").data(&file());
    stays(
        "an object",
        &lab,
        TEXT,
        &with_file().rendering(2, 0).data(b"OLE").0,
    )
    .await;
    stays(
        "nothing",
        &lab,
        TEXT,
        &with_file().rendering(1, 0).title(b"b").0,
    )
    .await;

    stays("no text", &lab, "", &tnef).await;
    stays("blank text", &lab, "--b\r\n\r\n \r\n", &tnef).await;
}

/// What was the only text before may be the notice alone now.
#[tokio::test]
async fn one_in_a_message_that_was_changed_before_stays() {
    let lab = Lab::new(&[]);
    let tnef = note(&[("a", vec![b'x'; 3000])]);
    let mut mail = Mail::new("a@b");
    mail.header.push(("X-Depollueur", " detached=1".to_owned()));
    let sent = send_as(&lab, &mail, &body(TEXT, &[("winmail.dat", &tnef)])).await;
    assert!(matches!(sent.verdict, Verdict::Pass(Reason::Nothing)));
}

#[tokio::test]
async fn one_that_stays_keeps_nothing_else() {
    let lab = Lab::new(&[]);
    let pdf = "--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n";
    let text = format!("{TEXT}{pdf}{}\r\n", "x".repeat(3000));
    let sent = send(&lab, &body(&text, &[("winmail.dat", &[7; 3000])])).await;
    assert_eq!(sent.files.len(), 1);
    assert!(sent.body.contains("winmail.dat"));
}

#[tokio::test]
async fn the_number_of_its_files_is_bounded() {
    let lab = Lab::new(&[]);
    let many = |count: usize| note(&vec![("a.txt", vec![b'x'; 10]); count]);
    let most = usize::from(OPENED_MAX);
    let sent = send(&lab, &body(TEXT, &[("winmail.dat", &many(most))])).await;
    assert_eq!(sent.files.len(), 1 + most);
    stays("too many", &lab, TEXT, &many(most + 1)).await;

    // A message has no more files than one without containers.
    let part = many(most);
    let parts = vec![("winmail.dat", &*part); DETACHED_MAX / most];
    let sent = send(&lab, &body(TEXT, &parts)).await;
    assert!(
        matches!(sent.verdict, Verdict::Pass(Reason::TooManyDetached)),
        "{:?}",
        sent.verdict
    );
}

#[tokio::test]
async fn a_rule_keeps_it() {
    let rule = "[[rule]]\nname = \"as it was\"\nfile_name = \"winmail.dat\"\naction = \"keep\"\n";
    let lab = Lab::written(rule, &[]);
    let tnef = note(&[("a.txt", vec![b'x'; 3000])]);
    let sent = send(&lab, &body(TEXT, &[("winmail.dat", &tnef)])).await;
    assert_eq!(sent.files.len(), 0);
    assert_eq!(sent.reasons.last().unwrap(), "kept by a rule");
}

#[tokio::test]
async fn with_an_infected_file_it_stays_as_a_whole() {
    let clamd = Scripted::start(Script::Looks);
    let address = format!("scan.clamd={}", clamd.address);
    let lab = Lab::new(&[&address, "scan.on_infected=keep out"]);
    let evil = [&vec![b'x'; 3000], EVIL].concat();
    let tnef = note(&[("a.txt", vec![b'x'; 3000]), ("evil.exe", evil)]);
    let clean = note(&[("b.txt", vec![b'y'; 3000])]);
    let parts = [("winmail.dat", &*tnef), ("clean.tnef", &*clean)];
    let sent = send(&lab, &body(TEXT, &parts)).await;
    let names: Vec<_> = sent.files.iter().map(|(file, _)| &*file.name).collect();
    assert_eq!(names, ["clean.tnef", "b.txt"]);
    assert!(sent.reasons.iter().any(|reason| reason == "infected"));
}

//! The milter's dialogue, with the whole program behind it: over the library that plays a mail
//! server, and byte by byte where the order of replies matters, which that library cannot see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use data_encoding::BASE64_MIME;
use depollueur::{
    config::{Config, ListenAddress, Sources},
    filter::Filter,
    metrics::Metrics,
    milter::{self, Claim, Socket, Stop},
    store::Stores,
};
use indymilter_test::{Actions, MacroStage, ProtoOpts, Status, TestConnection};
use tokio::{sync::watch, task::JoinHandle};

/// A milter on a port of its own, with a drop of its own.
struct Milter {
    address: SocketAddr,
    stop: Stop,
    served: JoinHandle<std::io::Result<()>>,
    directory: tempfile::TempDir,
    config: Arc<Config>,
    reload: watch::Sender<Filter>,
    metrics: Metrics,
}

impl Milter {
    fn start(settings: &[&str]) -> Self {
        Self::with_rules("", settings)
    }

    fn with_rules(rules: &str, settings: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rules.toml");
        std::fs::write(&file, rules).unwrap();
        let mut all = vec![
            format!("drop.directory={}", directory.path().join("drop").display()),
            "milter.listen=127.0.0.1:0".to_owned(),
        ];
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let sources = Sources {
            file: Some(file),
            settings: all,
            ..Sources::default()
        };
        let config = Arc::new(Config::load(&sources).unwrap());
        let any = ListenAddress::Tcp("127.0.0.1:0".parse().unwrap());
        let socket = Socket::bind("milter", &any, 0o600, Claim::Fresh).unwrap();
        let Socket::Tcp(listener) = &socket else {
            unreachable!("TCP was asked for")
        };
        let address = listener.local_addr().unwrap();
        let filter = Filter::new(Arc::clone(&config), Stores::open(&config).unwrap());
        let (reload, filter) = watch::channel(filter);
        let stop = Stop::default();
        let metrics = Metrics::new();
        let served = milter::run(socket, filter, metrics.clone(), stop.clone());
        let served = tokio::spawn(served);
        Self {
            address,
            stop,
            served,
            directory,
            config,
            reload,
            metrics,
        }
    }

    /// What a reload does: the next message goes by this configuration.
    fn reload(&self, change: impl FnOnce(&mut Config)) {
        let mut config = Config::clone(&self.config);
        change(&mut config);
        let stores = Stores::open(&config).unwrap();
        self.reload
            .send_replace(Filter::new(Arc::new(config), stores));
    }

    /// A connection that is past `connect`.
    async fn connect(&self) -> TestConnection {
        let mut connection = TestConnection::open(self.address).await.unwrap();
        let client: SocketAddr = "192.0.2.1:4711".parse().unwrap();
        connection.connect("client.example", client).await.unwrap();
        connection
    }

    async fn stop(self) {
        self.stop.gracefully.cancel();
        self.served.await.unwrap().unwrap();
    }
}

/// Sends everything up to the end of the header.
async fn send_header(connection: &mut TestConnection) -> Status {
    assert_eq!(
        connection.mail(["<a@example.org>"]).await.unwrap(),
        Status::Continue
    );
    assert_eq!(
        connection.rcpt(["<b@example.org>"]).await.unwrap(),
        Status::Continue
    );
    assert_eq!(connection.data().await.unwrap(), Status::Continue);
    connection
        .macros(MacroStage::Eoh, [("i", "4ABC")])
        .await
        .unwrap();
    for (name, value) in HEADER {
        connection.header(*name, *value).await.unwrap();
    }
    connection.eoh().await.unwrap()
}

const HEADER: &[(&str, &str)] = &[
    ("From", "a@example.org"),
    ("MIME-Version", "1.0"),
    ("Content-Type", "multipart/mixed; boundary=b"),
];

/// A text and an attachment of so many decoded bytes.
fn body(bytes: usize) -> String {
    format!("--b\r\n\r\nBonjour\r\n{}--b--\r\n", file(bytes))
}

/// A text and two attachments.
fn two_files(one: usize, other: usize) -> String {
    format!(
        "--b\r\n\r\nBonjour\r\n{}{}--b--\r\n",
        file(one),
        file(other)
    )
}

fn file(bytes: usize) -> String {
    let encoded = BASE64_MIME.encode(&vec![b'x'; bytes]);
    format!(
        "--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
         Content-Disposition: attachment; filename=a.pdf\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n"
    )
}

async fn send_body(connection: &mut TestConnection, body: &str) {
    for chunk in body.as_bytes().chunks(65_535) {
        connection.body(chunk.to_vec()).await.unwrap();
    }
}

#[tokio::test]
async fn a_heavy_attachment_is_replaced_and_the_next_mail_starts_from_nothing() {
    let milter = Milter::start(&[]);
    let mut connection = milter.connect().await;
    for _ in 0..2 {
        assert_eq!(send_header(&mut connection).await, Status::Continue);
        send_body(&mut connection, &body(600_000)).await;
        let (actions, status) = connection.eom().await.unwrap();
        assert_eq!(status, Status::Accept);
        assert!(actions.has_replaced_body(indymilter_test::any()));
    }
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(1_000)).await;
    let (actions, status) = connection.eom().await.unwrap();
    assert_eq!((actions.actions.len(), status), (0, Status::Accept));
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn a_reload_holds_for_the_next_mail_of_a_connection_and_not_for_the_one_at_hand() {
    let milter = Milter::start(&[]);
    let mut connection = milter.connect().await;
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    milter.reload(|config| config.detach.threshold = 1_000_000);
    send_body(&mut connection, &body(600_000)).await;
    let (actions, _) = connection.eom().await.unwrap();
    assert!(actions.has_replaced_body(indymilter_test::any()));
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(600_000)).await;
    let (actions, _) = connection.eom().await.unwrap();
    assert!(actions.actions.is_empty());
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn an_aborted_mail_leaves_nothing_for_the_next_one() {
    let milter = Milter::start(&[]);
    let mut connection = milter.connect().await;
    connection.abort().await.unwrap();
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(600_000)).await;
    connection.abort().await.unwrap();
    connection.abort().await.unwrap();
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(10)).await;
    let (actions, _) = connection.eom().await.unwrap();
    assert!(actions.actions.is_empty());
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn what_is_small_by_its_declared_size_is_not_looked_at() {
    let milter = Milter::start(&["detach.threshold=1000"]);
    let mut connection = milter.connect().await;
    for (size, status) in [
        ("SIZE=999", Status::Accept),
        ("SIZE=1000", Status::Continue),
        ("SIZE=0", Status::Continue),
    ] {
        assert_eq!(
            connection.mail(["<a@example.org>", size]).await.unwrap(),
            status,
            "{size}"
        );
    }
    connection.close().await.unwrap();
    milter.stop().await;
}

/// What is said at `MAIL`, at `DATA` and at the end of the header, up to the last word.
async fn answers(connection: &mut TestConnection, sender: &str) -> Vec<Status> {
    let mut answers = vec![connection.mail([sender]).await.unwrap()];
    if answers == [Status::Continue] {
        connection.rcpt(["<b@example.org>"]).await.unwrap();
        answers.push(connection.data().await.unwrap());
    }
    if answers.last() == Some(&Status::Continue) {
        for (name, value) in HEADER {
            connection.header(*name, *value).await.unwrap();
        }
        answers.push(connection.eoh().await.unwrap());
    }
    answers
}

#[tokio::test]
async fn what_the_rules_keep_is_accepted_as_soon_as_that_is_known() {
    use Status::{Accept, Continue};
    // What is remembered by its Message-ID is accepted when that is known.
    let (forget, remember) = ("off", "7 days");
    for (condition, remember_kept, expected) in [
        ("sender = '@example.org'", forget, vec![Accept]),
        (
            "recipient = 'b@example.org'",
            forget,
            vec![Continue, Accept],
        ),
        (
            "sender = '@example.org'",
            remember,
            vec![Continue, Continue, Accept],
        ),
        (
            "recipient = 'b@example.org'",
            remember,
            vec![Continue, Continue, Accept],
        ),
        (
            "header = 'From: a@*'",
            forget,
            vec![Continue, Continue, Accept],
        ),
        (
            "extension = 'pdf'",
            forget,
            vec![Continue, Continue, Continue],
        ),
        ("login = '*'", forget, vec![Continue, Continue, Continue]),
    ] {
        let rule = format!("[[rule]]\n{condition}\naction = 'keep'\n");
        let remember_kept = format!("detach.remember_kept={remember_kept}");
        let milter = Milter::with_rules(&rule, &[&remember_kept]);
        let mut connection = milter.connect().await;
        let answers = answers(&mut connection, "<a@example.org>").await;
        assert_eq!(answers, expected, "{condition}");
        connection.close().await.unwrap();
        milter.stop().await;
    }
}

#[tokio::test]
async fn a_refusal_comes_with_its_text_and_the_next_mail_is_asked_anew() {
    for (action, text) in [
        ("reject", "550 5.7.1 50%% no"),
        ("tempfail", "451 4.7.1 50%% no"),
    ] {
        let rule =
            format!("[[rule]]\nsender = 'bad@example.org'\naction = '{action}'\ntext = '50% no'\n");
        let milter = Milter::with_rules(&rule, &[]);
        let mut connection = milter.connect().await;
        let refused = answers(&mut connection, "<Bad@example.org>").await;
        assert_eq!(refused.len(), 2, "at DATA: {refused:?}");
        assert!(format!("{refused:?}").contains(text), "{refused:?}");
        let next = answers(&mut connection, "<a@example.org>").await;
        assert_eq!(next, [Status::Continue, Status::Continue, Status::Continue]);
        connection.close().await.unwrap();
        milter.stop().await;
    }
}

/// A message of an authenticated user with a tag and an address that both say to keep; what is
/// changed in it.
async fn wished(connection: &mut TestConnection) -> Vec<String> {
    let login = [("{auth_authen}", "alice")];
    connection.macros(MacroStage::Mail, login).await.unwrap();
    connection
        .mail(["<a@example.org>", "SIZE=100"])
        .await
        .unwrap();
    for recipient in ["<b@example.org>", "<keep@example.org>"] {
        connection.rcpt([recipient]).await.unwrap();
    }
    assert_eq!(connection.data().await.unwrap(), Status::Continue);
    for (name, value) in [
        ("Subject", "[NEPASDEPOLLUER] Hello"),
        ("X-Depollueur", "keep"),
    ] {
        connection.header(name, value).await.unwrap();
    }
    assert_eq!(connection.eoh().await.unwrap(), Status::Continue);
    let (actions, status) = connection.eom().await.unwrap();
    assert_eq!(status, Status::Accept);
    actions
        .actions
        .iter()
        .map(|action| format!("{action:?}"))
        .collect()
}

#[tokio::test]
async fn what_a_sender_asked_with_is_taken_out_though_nothing_is_detached() {
    let milter = Milter::start(&["sender.keep_addresses=keep@example.org"]);
    let mut connection = milter.connect().await;
    let actions = wished(&mut connection).await;
    assert_eq!(actions.len(), 3, "{actions:?}");
    assert!(
        actions[0].contains("Subject") && actions[0].contains("\" Hello\""),
        "{actions:?}"
    );
    assert!(actions[1].contains("X-Depollueur"), "{actions:?}");
    assert!(actions[2].contains("<keep@example.org>"), "{actions:?}");
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn without_the_right_to_remove_recipients_the_rest_is_done() {
    let milter = Milter::start(&["sender.keep_addresses=keep@example.org"]);
    let mut connection = TestConnection::configure()
        .available_actions(Actions::ADD_HEADER | Actions::CHANGE_HEADER | Actions::REPLACE_BODY)
        .available_opts(ProtoOpts::SKIP)
        .open_tcp(milter.address)
        .await
        .unwrap();
    let client: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    connection.connect("client.example", client).await.unwrap();
    let actions = wished(&mut connection).await;
    assert_eq!(actions.len(), 2, "{actions:?}");
    assert!(actions[0].contains("Subject"), "{actions:?}");
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn only_the_wanted_direction_is_looked_at() {
    let milter = Milter::start(&["detach.directions=outgoing"]);
    let mut connection = milter.connect().await;
    assert_eq!(
        connection.mail(["<a@example.org>"]).await.unwrap(),
        Status::Accept
    );
    connection
        .macros(MacroStage::Mail, [("{auth_authen}", "alice")])
        .await
        .unwrap();
    assert_eq!(
        connection.mail(["<a@example.org>"]).await.unwrap(),
        Status::Continue
    );
    connection.close().await.unwrap();

    let mut submission = TestConnection::open(milter.address).await.unwrap();
    submission
        .macros(MacroStage::Connect, [("{daemon_name}", "ORIGINATING")])
        .await
        .unwrap();
    let client: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    submission.connect("client.example", client).await.unwrap();
    submission
        .macros(MacroStage::Mail, [("{daemon_name}", "cleanup")])
        .await
        .unwrap();
    assert_eq!(
        submission.mail(["<a@example.org>"]).await.unwrap(),
        Status::Continue
    );
    submission.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn no_more_is_negotiated_than_is_offered() {
    let milter = Milter::start(&[]);
    let offered = ProtoOpts::SKIP | ProtoOpts::NO_HELO;
    let connection = TestConnection::configure()
        .available_opts(offered)
        .open_tcp(milter.address)
        .await
        .unwrap();
    assert!(offered.contains(connection.negotiated_opts()));
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn mail_that_cannot_be_changed_passes() {
    let milter = Milter::start(&[]);
    let mut connection = TestConnection::configure()
        .available_actions(Actions::ADD_HEADER)
        .open_tcp(milter.address)
        .await
        .unwrap();
    assert_eq!(
        connection.mail(["<a@example.org>"]).await.unwrap(),
        Status::Accept
    );
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn the_rest_of_a_settled_body_is_declined_where_replies_are_wanted() {
    let milter = Milter::start(&["limits.parts_max=1"]);
    let mut connection = TestConnection::configure()
        .available_opts(ProtoOpts::SKIP | ProtoOpts::LEADING_SPACE)
        .open_tcp(milter.address)
        .await
        .unwrap();
    let client: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    connection.connect("client.example", client).await.unwrap();
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    let parts = "--b\r\n\r\nx\r\n".repeat(3);
    assert_eq!(
        connection.body(parts.into_bytes()).await.unwrap(),
        Status::Skip
    );
    let (actions, status) = connection.eom().await.unwrap();
    assert_eq!((actions.actions.len(), status), (0, Status::Accept));
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn nothing_is_declined_before_it_is_decided_what_goes() {
    let milter = Milter::start(&[]);
    let mut connection = TestConnection::configure()
        .available_opts(ProtoOpts::SKIP | ProtoOpts::LEADING_SPACE)
        .open_tcp(milter.address)
        .await
        .unwrap();
    let client: SocketAddr = "192.0.2.1:4711".parse().unwrap();
    connection.connect("client.example", client).await.unwrap();
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    for chunk in body(600_000).as_bytes().chunks(65_535) {
        let status = connection.body(chunk.to_vec()).await.unwrap();
        assert_eq!(status, Status::Continue);
    }
    let (actions, status) = connection.eom().await.unwrap();
    assert!(!actions.actions.is_empty());
    assert_eq!(status, Status::Accept);
    connection.close().await.unwrap();
    milter.stop().await;
}

/// What would have been detached, as the metrics have it: parts and bytes.
fn dry_run_sums(milter: &Milter) -> [u64; 2] {
    let text = milter.metrics.encode();
    ["parts", "bytes"].map(|unit| {
        let name = format!("depollueur_dry_run_{unit}_total ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap().parse().unwrap()
    })
}

#[tokio::test]
async fn in_a_dry_run_it_is_summed_up_what_would_have_gone() {
    let rule = "[[rule]]\nsender = 'a@example.org'\nmode = 'dry-run'\nthreshold = '500 kB'\n";
    let together = &format!("{rule}message_threshold = '350 kB'\n");
    let everywhere = &["detach.mode=dry-run"][..];
    let (heavy, light) = (two_files(600_000, 700_000), two_files(300_000, 400_000));
    for (rules, settings, body, sums) in [
        ("", everywhere, &heavy, [2, 1_300_000]),
        ("", everywhere, &light, [0, 0]),
        (rule, &[], &heavy, [2, 1_300_000]),
        (together, &[], &light, [1, 400_000]),
        ("", &[], &heavy, [0, 0]),
    ] {
        let milter = Milter::with_rules(rules, settings);
        for times in 1..3 {
            let replies = dialogue(milter.address, body.clone()).await;
            let is_live = rules.is_empty() && settings.is_empty();
            assert_eq!(replies.len() > 1, is_live, "{rules} {settings:?}");
            let expected = sums.map(|sum| sum * times);
            assert_eq!(dry_run_sums(&milter), expected, "{rules} {settings:?}");
        }
        milter.stop().await;
    }
}

#[tokio::test]
async fn a_drop_that_fails_has_the_mail_delivered_or_put_off() {
    for (on_failure, expected) in [("deliver", "a"), ("tempfail", "y")] {
        let milter = Milter::start(&[&format!("detach.on_failure={on_failure}")]);
        let drafts = milter.directory.path().join("drop/drafts");
        std::fs::remove_dir_all(&drafts).unwrap();
        std::fs::write(&drafts, "in the way").unwrap();
        let replies = dialogue(milter.address, body(600_000)).await;
        let (code, text) = replies.last().unwrap();
        assert_eq!(replies.len(), 1, "{replies:?}");
        assert_eq!(*code, expected.as_bytes()[0], "{on_failure}");
        assert!(*code != b'y' || text.starts_with(b"451 4.3.0 depollueur: "));
        milter.stop().await;
    }
}

/// Postfix drops or truncates a body when anything stands between two of its pieces.
#[tokio::test]
async fn the_new_body_is_one_run_after_all_else() {
    let milter = Milter::start(&["detach.threshold=500000"]);
    let mut text = body(600_000);
    let kept = "Une ligne qui reste.\r\n".repeat(10_000);
    text.insert_str(text.find("Bonjour").unwrap(), &kept);
    let replies = dialogue(milter.address, text).await;
    let codes: Vec<u8> = replies.iter().map(|(code, _)| *code).collect();
    let first = codes.iter().position(|code| *code == b'b').unwrap();
    let last = codes.iter().rposition(|code| *code == b'b').unwrap();
    assert!(last > first, "the body has several pieces");
    assert!(codes[first..=last].iter().all(|code| *code == b'b'));
    assert!(codes[..first].iter().all(|code| b"hmip".contains(code)));
    assert_eq!(&codes[last + 1..], b"a");
    assert!(replies.iter().all(|(_, data)| data.len() <= 65_535));
    let sent: usize = replies
        .iter()
        .filter(|(code, _)| *code == b'b')
        .map(|(_, d)| d.len())
        .sum();
    assert!(sent > kept.len() && sent < kept.len() + 10_000);
    milter.stop().await;
}

#[tokio::test]
async fn what_the_store_does_not_take_for_what_it_is_is_counted_by_its_kind() {
    let settings = [
        "scan.clamd=unix:/nowhere/clamd.ctl",
        "scan.size_max=10 kB",
        "scan.on_oversize=deliver",
    ];
    let milter = Milter::start(&settings);
    let counted = |count: u32| {
        let line = format!("deposit_errors_total{{kind=\"too-large-to-scan\"}} {count}\n");
        milter.metrics.encode().contains(&line)
    };
    assert!(counted(0));
    let mut connection = milter.connect().await;
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(600_000)).await;
    let (_, status) = connection.eom().await.unwrap();
    assert_eq!(status, Status::Accept);
    assert!(counted(1));
    connection.close().await.unwrap();
    milter.stop().await;
}

/// A connection whose client authenticated.
async fn connect_as(milter: &Milter, login: &str) -> TestConnection {
    let mut connection = milter.connect().await;
    let macros = [("{auth_authen}", login)];
    connection.macros(MacroStage::Mail, macros).await.unwrap();
    connection
}

#[tokio::test]
async fn a_login_whose_turns_are_taken_waits_and_keeps_none_from_others() {
    let settings = ["milter.max_messages=3", "milter.max_messages_per_login=1"];
    let milter = Milter::start(&settings);
    let mut first = connect_as(&milter, "Alice").await;
    assert_eq!(send_header(&mut first).await, Status::Continue);
    let mut second = connect_as(&milter, "alice").await;
    let waiting = tokio::spawn(async move {
        let answer = send_header(&mut second).await;
        (second, answer)
    });
    let rewrite = async |mut connection: TestConnection| {
        send_body(&mut connection, &body(600_000)).await;
        let (actions, _) = connection.eom().await.unwrap();
        assert!(actions.has_replaced_body(indymilter_test::any()));
        connection.close().await.unwrap();
    };
    for _ in 0..2 {
        let mut other = connect_as(&milter, "bob").await;
        assert_eq!(send_header(&mut other).await, Status::Continue);
        rewrite(other).await;
    }
    assert!(
        !waiting.is_finished(),
        "the other one of alice has her turn"
    );
    rewrite(first).await;
    let (second, answer) = waiting.await.unwrap();
    assert_eq!(answer, Status::Continue);
    rewrite(second).await;
    milter.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_too_long_for_a_turn_of_its_login_goes_out_as_configured() {
    let settings = [
        "milter.max_messages_per_login=1",
        "milter.deadline=1 s",
        "detach.on_failure=tempfail",
    ];
    let milter = Milter::start(&settings);
    let mut first = connect_as(&milter, "alice").await;
    assert_eq!(send_header(&mut first).await, Status::Continue);
    let mut second = connect_as(&milter, "alice").await;
    assert_eq!(send_header(&mut second).await, Status::Continue);
    send_body(&mut second, &body(600_000)).await;
    let (_, status) = second.eom().await.unwrap();
    assert!(matches!(status, Status::Tempfail { .. }), "{status:?}");
    assert!(milter.metrics.encode().contains("reason=\"no-turn\"} 1"));
    milter.stop().await;
}

/// One message is worked on at a time, and the first one stops on its way.
#[tokio::test]
async fn a_mail_server_that_falls_silent_in_the_middle_of_a_mail_gives_up_its_turn() {
    let milter = Milter::start(&["milter.max_messages=1", "milter.timeout=1 s"]);
    let mut silent = milter.connect().await;
    assert_eq!(send_header(&mut silent).await, Status::Continue);
    let mut connection = milter.connect().await;
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(600_000)).await;
    let (actions, _) = connection.eom().await.unwrap();
    assert!(actions.has_replaced_body(indymilter_test::any()));
    assert!(silent.eom().await.is_err(), "it was cut");
    connection.close().await.unwrap();
    milter.stop().await;
}

#[tokio::test]
async fn a_mail_server_that_does_not_take_the_replies_gives_up_its_turn() {
    let milter = Milter::start(&["milter.max_messages=1", "milter.timeout=1 s"]);
    let address = milter.address;
    let deaf = tokio::task::spawn_blocking(move || {
        let kept = "Une ligne qui reste.\r\n".repeat(500_000);
        let mut stream = connect_with_little_room(address);
        send_mail(&mut stream, &body(600_000).replace("Bonjour", &kept));
        stream
    });
    let mut deaf = deaf.await.unwrap();
    let mut connection = milter.connect().await;
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    send_body(&mut connection, &body(600_000)).await;
    let (actions, _) = connection.eom().await.unwrap();
    assert!(actions.has_replaced_body(indymilter_test::any()));
    connection.close().await.unwrap();
    let replies = tokio::task::spawn_blocking(move || {
        let mut replies = Vec::new();
        // It ends in the middle of a piece, or with an error.
        let _ = deaf.read_to_end(&mut replies);
        replies
    });
    assert!(!replies.await.unwrap().ends_with(b"\0\0\0\x01a"));
    milter.stop().await;
}

#[tokio::test]
async fn when_headers_take_all_memory_that_there_is_for_them_mail_passes() {
    let milter = Milter::start(&["milter.header_memory=256 KiB"]);
    let (mut first, mut second) = (milter.connect().await, milter.connect().await);
    for connection in [&mut first, &mut second] {
        connection.mail(["<a@example.org>"]).await.unwrap();
        connection.rcpt(["<b@example.org>"]).await.unwrap();
        connection.data().await.unwrap();
        let long = "x".repeat(50_000);
        connection.header("Subject", long).await.unwrap();
        for (name, value) in HEADER {
            connection.header(*name, *value).await.unwrap();
        }
    }
    assert_eq!(second.eoh().await.unwrap(), Status::Accept);
    let mut small = milter.connect().await;
    assert_eq!(send_header(&mut small).await, Status::Continue);
    assert_eq!(first.eoh().await.unwrap(), Status::Continue);
    for connection in [&mut first, &mut small] {
        send_body(connection, &body(600_000)).await;
        let (actions, _) = connection.eom().await.unwrap();
        assert!(actions.has_replaced_body(indymilter_test::any()));
    }
    for connection in [first, second, small] {
        connection.close().await.unwrap();
    }
    milter.stop().await;
}

#[tokio::test]
async fn open_sessions_run_on_when_the_milter_stops() {
    let milter = Milter::start(&[]);
    let mut connection = milter.connect().await;
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    milter.stop.gracefully.cancel();
    send_body(&mut connection, &body(600_000)).await;
    let (actions, status) = connection.eom().await.unwrap();
    assert_eq!(status, Status::Accept);
    assert!(actions.has_replaced_body(indymilter_test::any()));
    assert_eq!(send_header(&mut connection).await, Status::Continue);
    assert!(TestConnection::open(milter.address).await.is_err());
    connection.close().await.unwrap();
    milter.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_stop_cuts_what_is_open() {
    let milter = Milter::start(&["milter.drain=1 h"]);
    let _open = milter.connect().await;
    milter.stop.gracefully.cancel();
    milter.stop.at_once.cancel();
    milter.served.await.unwrap().unwrap();
}

/// Plays Postfix, byte by byte, for one message; gives back all replies to the end of message.
async fn dialogue(address: SocketAddr, body: String) -> Vec<(u8, Vec<u8>)> {
    tokio::task::spawn_blocking(move || blocking_dialogue(address, &body))
        .await
        .unwrap()
}

fn blocking_dialogue(address: SocketAddr, body: &str) -> Vec<(u8, Vec<u8>)> {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    send_mail(&mut stream, body);
    let mut replies = Vec::new();
    loop {
        let reply = hear(&mut stream);
        let last = b"aycrt".contains(&reply.0);
        replies.push(reply);
        if last {
            return replies;
        }
    }
}

/// A connection that takes only little before somebody reads from it.
fn connect_with_little_room(address: SocketAddr) -> std::net::TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.into()
}

fn send_mail(stream: &mut std::net::TcpStream, body: &str) {
    let mut offer = vec![];
    for number in [6_u32, 0x1ff, 0x1f_ffff] {
        offer.extend(number.to_be_bytes());
    }
    ask(stream, b'O', &offer);
    ask(stream, b'C', b"client.example\x004\x12\x34192.0.2.1\0");
    ask(stream, b'M', b"<a@example.org>\0");
    ask(stream, b'R', b"<b@example.org>\0");
    ask(stream, b'T', b"");
    for (name, value) in HEADER {
        tell(stream, b'L', format!("{name}\0 {value}\0").as_bytes());
    }
    ask(stream, b'N', b"");
    for chunk in body.as_bytes().chunks(65_535) {
        tell(stream, b'B', chunk);
    }
    tell(stream, b'E', b"");
}

fn ask(stream: &mut std::net::TcpStream, command: u8, data: &[u8]) {
    tell(stream, command, data);
    let (code, _) = hear(stream);
    assert!(
        code == b'c' || code == b'O',
        "{} for {}",
        code as char,
        command as char
    );
}

fn tell(stream: &mut std::net::TcpStream, command: u8, data: &[u8]) {
    let length = u32::try_from(data.len() + 1).unwrap();
    let mut packet = length.to_be_bytes().to_vec();
    packet.push(command);
    packet.extend(data);
    stream.write_all(&packet).unwrap();
}

fn hear(stream: &mut std::net::TcpStream) -> (u8, Vec<u8>) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet).unwrap();
    (packet[0], packet[1..].to_vec())
}

/// A packet of the protocol.
fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[kind], data].concat()
}

/// What the milter answers next: the letter, or nothing when it has closed the connection.
fn answer(stream: &mut std::net::TcpStream) -> Option<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut data = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut data).ok()?;
    data.first().copied()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_of_a_client_without_an_address_is_taken_whatever_is_said_of_it() {
    let milter = Milter::start(&[]);
    for client in [
        &b"unknown\x004\0\0unknown\0"[..],
        b"unknown\x006\0\0unknown\0",
        b"client.example\x006\0\x19IPv6:2001:db8::1\0",
        b"client.example\x006\0\x19fe80::1%eth0\0",
        b"client.example\x004\0\x19\0",
        b"client.example\x004\0\x19192.0.2.1",
        b"client.example\x004",
        b"client.example\0X\0\x19what\0",
        b"client.example\0U",
        b"client.example\0L\0\0/run/client\0",
        b"client.example\0L\0\0",
        b"client.example\0",
        b"client.example",
        b"\0U",
    ] {
        let mut stream = std::net::TcpStream::connect(milter.address).unwrap();
        let offer = [6_u32, 0x1ff, 0x1f_ffff].map(u32::to_be_bytes).concat();
        let packets = [
            packet(b'O', &offer),
            packet(b'C', client),
            packet(b'M', b"<a@example.org>\0"),
            packet(b'R', b"<b@example.org>\0"),
        ];
        stream.write_all(&packets.concat()).unwrap();
        let answers = [(); 4].map(|()| answer(&mut stream).map(char::from));
        let expected = ['O', 'c', 'c', 'c'].map(Some);
        assert_eq!(answers, expected, "{}", client.escape_ascii());
        stream.write_all(&packet(b'Q', b"")).unwrap();
        assert_eq!(answer(&mut stream), None);
    }
    milter.stop().await;
}

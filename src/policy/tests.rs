//! Rules as an admin writes them, asked as the session and the filter ask.

use std::ops::{Deref, DerefMut};

use mailsplice::{l10n::Language, mime::Field};

use super::*;
use crate::{
    config::Sources,
    envelope::{Known, Listed},
    loaded::Loaded,
};
/// A configuration, with the contents of its files of addresses.
#[derive(Default)]
struct Read {
    config: Config,
    lists: AddressLists,
}

impl Deref for Read {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl DerefMut for Read {
    fn deref_mut(&mut self) -> &mut Config {
        &mut self.config
    }
}

/// Reads a configuration of these lines of TOML, and the files that it names.
fn config(text: &str) -> Read {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let sources = Sources {
        file: Some(file.path().into()),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap_or_else(|error| panic!("{error}"));
    let loaded = Loaded::read(&config).unwrap_or_else(|error| panic!("{error}"));
    Read {
        lists: loaded.addresses().clone(),
        config,
    }
}

fn outlook(read: &Read, envelope: &Envelope, stage: EnvelopeStage) -> Outlook {
    super::outlook((&read.config, &read.lists), envelope, stage)
}

fn envelope() -> Envelope {
    Envelope {
        sender: "Zoe@Sender.org".into(),
        recipients: vec!["A@Here.org".into(), "b@there.org".into()],
        direction: Direction::Incoming,
        client: "192.0.2.7".parse().ok(),
        daemon: Some("INBOUND".into()),
        ..Envelope::default()
    }
}

fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
    let field = |(name, value): &(&str, &str)| Field {
        name: (*name).into(),
        value: (*value).into(),
    };
    fields.iter().map(field).collect()
}

const HEADER: &[(&str, &str)] = &[
    ("Subject", " =?utf-8?q?R=C3=A9union?="),
    ("List-Id", " Friends <friends.lists.example.org>"),
    ("Precedence", " Bulk"),
    ("Auto-Submitted", " auto-generated; type=x"),
    ("X-Spam-Flag", "YES"),
];

fn plan(read: &Read, envelope: &Envelope, header: &[(&str, &str)]) -> Result<Plan, Refusal> {
    wished(read, envelope, header, None)
}

fn wished(
    read: &Read,
    envelope: &Envelope,
    header: &[(&str, &str)],
    wish: Option<Wish>,
) -> Result<Plan, Refusal> {
    let (fields, of) = (fields(header), (&read.config, &read.lists));
    Plan::new(of, envelope, &HeaderFacts::read(&fields), wish)
}

/// Returns a PDF in every respect.
fn part(bytes: u64) -> PartFacts {
    PartFacts {
        content: Some("application/pdf"),
        bytes,
        is_whole: true,
        ..PartFacts::new("Rapport.Final.PDF", "Application/PDF")
    }
}

/// Returns the keeper of a PDF of a megabyte, if there is one.
fn kept_by(config: &Read, header: &[(&str, &str)]) -> Option<Source> {
    match plan(config, &envelope(), header)
        .unwrap()
        .decide(config, &part(1_000_000))
    {
        Fate::Stays(source) => Some(source),
        Fate::Goes(_) => None,
        Fate::Open => panic!("everything is known"),
    }
}

/// Returns true if a rule of this one condition keeps it.
fn holds(condition: &str) -> bool {
    let config = config(&format!("[[rule]]\n{condition}\naction = 'keep'\n"));
    kept_by(&config, HEADER) == Some(Source::Rule(0))
}

#[test]
fn each_condition_holds_for_what_it_names_and_for_nothing_else() {
    let table = [
        ("direction = 'incoming'", "direction = 'outgoing'"),
        ("sender = '@sender.org'", "sender = '@example.org'"),
        (
            "recipient = ['x@y', 'a@here.org']",
            "recipient = 'a@there.org'",
        ),
        (
            "client = '192.0.2.0/24'",
            "client = ['198.51.100.0/24', '2001:db8::/32']",
        ),
        ("daemon = 'inbound'", "daemon = 'ORIGINATING'"),
        ("list = true", "list = false"),
        ("list = '*.lists.example.org'", "list = 'friends'"),
        ("bulk = true", "bulk = false"),
        ("automatic = true", "automatic = false"),
        ("header = 'X-Spam-Flag: yes'", "header = 'X-Spam-Flag: no'"),
        ("header = 'Subject: *éunion'", "header = 'X-None: *'"),
        ("file_name = 'rapport.*'", "file_name = 'rapport'"),
        ("extension = ['doc', '.pdf']", "extension = 'final'"),
        ("type = 'application/*'", "type = 'image/*'"),
        ("content = 'application/pdf'", "content = 'application/zip'"),
        ("size_min = '1 MB'", "size_min = 1_000_001"),
        ("size_max = '1 MB'", "size_max = 999_999"),
    ];
    for (yes, no) in table {
        assert!(holds(yes), "{yes}");
        assert!(!holds(no), "{no}");
    }
}

#[test]
fn a_login_is_asked_of_who_authenticated() {
    let config = config("[[rule]]\nlogin = ['alice', '*@here.org']\naction = 'keep'\n");
    for (login, kept) in [
        (None, false),
        (Some("Alice"), true),
        (Some("bob"), false),
        (Some("x@here.org"), true),
    ] {
        let mut envelope = envelope();
        envelope.login = login.map(str::to_owned);
        let plan = plan(&config, &envelope, &[]).unwrap();
        assert_eq!(plan.keeper(&config, None).is_some(), kept, "{login:?}");
    }
}

#[test]
fn who_keeps_a_message_lets_its_header_come_where_that_is_remembered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a@here.org received\n").unwrap();
    let path = file.path().display();
    let (open, never) = (Outlook::Open, Outlook::Never("rules"));
    for (text, expected) in [
        (format!("[users]\nopt_out = '{path}'\n"), &open),
        (
            format!("[users]\nopt_out = '{path}'\n[detach]\nremember_kept = 'off'\n"),
            &never,
        ),
        (
            format!("[users]\nopt_out = '{path}'\n[detach]\nmode = 'dry-run'\n"),
            &never,
        ),
        // Nobody chose anything.
        ("[users]\nopt_in = '/dev/null'\n".to_owned(), &never),
        (
            "[[rule]]\nclient = '192.0.2.0/24'\naction = 'keep'\n".to_owned(),
            &open,
        ),
    ] {
        let config = config(&text);
        assert_eq!(
            &outlook(&config, &envelope(), EnvelopeStage::Data),
            expected,
            "{text}"
        );
        let light = Envelope {
            size: Some(499_999),
            ..envelope()
        };
        assert_ne!(
            outlook(&config, &light, EnvelopeStage::Data),
            open,
            "{text}"
        );
    }
}

#[test]
fn mail_is_of_a_list_by_its_header_by_its_transport_and_by_its_address() {
    let by = |condition: &str, lists: &[&str], header: &[(&str, &str)], settings: &str| {
        let config = config(&format!(
            "[detach]\n{settings}\n[[rule]]\nlist = {condition}\naction = 'keep'\n"
        ));
        let envelope = Envelope {
            recipients: vec!["Team@Here.org".into()],
            lists: lists.iter().map(|list| (*list).to_owned()).collect(),
            ..envelope()
        };
        let plan = plan(&config, &envelope, header).unwrap();
        plan.keeper(&config, None).is_some()
    };
    for (lists, header, settings, expected) in [
        (&[][..], &[][..], "", false),
        (&[], &[("List-Id", " <a.b>")], "", true),
        (&[], &[("List-Post", " <mailto:a@b>")], "", true),
        (&["Team@here.org"], &[], "", true),
        (&["other@here.org"], &[], "", false),
        (&[], &[], "lists = ['team@here.org']", true),
        (&[], &[], "lists = ['@.here.org']", true),
        (&[], &[], "lists = ['@lists.here.org']", false),
    ] {
        let found = by("true", lists, header, settings);
        assert_eq!(found, expected, "{lists:?} {header:?} {settings}");
        let other = by("false", lists, header, settings);
        assert_eq!(other, !expected, "{lists:?} {header:?} {settings}");
    }
}

#[test]
fn of_several_recipients_only_the_list_is_one() {
    let config = config(
        "[detach]\nrecipients = 'any-detach'\nlists = ['a@here.org']\n[[rule]]\nlist = true\naction = 'keep'\n",
    );
    let groups = |recipients: &[&str]| {
        let envelope = Envelope {
            recipients: recipients.iter().map(|one| (*one).to_owned()).collect(),
            ..envelope()
        };
        let plan = plan(&config, &envelope, &[]).unwrap();
        plan.keeper(&config, None).is_some()
    };
    assert!(groups(&["a@here.org"]));
    assert!(!groups(&["a@here.org", "b@there.org"]));
    assert!(!groups(&["b@there.org"]));
}

#[test]
fn a_signature_is_of_others_unless_its_domain_is_that_of_who_sends_here() {
    let config = config("[[rule]]\nsigned_by_others = true\naction = 'keep'\n");
    let outgoing = |login: Option<&str>| Envelope {
        direction: Direction::Outgoing,
        login: login.map(str::to_owned),
        ..envelope()
    };
    let signed = |by: &str| {
        (
            "DKIM-Signature",
            format!(" v=1; a=rsa-sha256;\r\n\td = {by}; s=x"),
        )
    };
    let received = ("Received", " from a by b".to_owned());
    for (envelope, header, expected) in [
        (envelope(), vec![signed("sender.org")], true),
        (envelope(), vec![], false),
        (outgoing(Some("zoe")), vec![signed("Sender.ORG.")], false),
        (
            outgoing(Some("zoe")),
            vec![signed("mail.sender.org")],
            false,
        ),
        (outgoing(Some("zoe")), vec![signed("nder.org")], true),
        (outgoing(Some("zoe")), vec![signed("example.com")], true),
        (outgoing(None), vec![signed("sender.org")], false),
        // A redirect keeps the envelope sender.
        (
            outgoing(None),
            vec![received.clone(), signed("sender.org")],
            true,
        ),
        (
            outgoing(Some("zoe")),
            vec![("DKIM2-Signature", " i=1; d=example.com".to_owned())],
            true,
        ),
    ] {
        let fields: Vec<(&str, &str)> = header.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let plan = plan(&config, &envelope, &fields).unwrap();
        assert_eq!(plan.keeper(&config, None).is_some(), expected, "{header:?}");
    }
}

#[test]
fn mail_is_forwarded_that_came_from_elsewhere_and_leaves_again() {
    let config = config("[[rule]]\nforwarded = true\naction = 'keep'\n");
    let received = &[("Received", " from a by b")][..];
    for (direction, login, leaves, header, expected) in [
        (Direction::Incoming, None, true, &[][..], true),
        (Direction::Incoming, None, false, received, false),
        (Direction::Outgoing, None, true, received, true),
        (Direction::Outgoing, None, true, &[], false),
        (Direction::Outgoing, None, false, received, false),
        (Direction::Outgoing, Some("zoe"), true, received, false),
    ] {
        let envelope = Envelope {
            direction,
            login: login.map(str::to_owned),
            leaves,
            ..envelope()
        };
        let plan = plan(&config, &envelope, header).unwrap();
        assert_eq!(
            plan.keeper(&config, None).is_some(),
            expected,
            "{direction:?} {login:?} {leaves}"
        );
    }
    let alias = Envelope {
        known: Known::whole(vec!["zoe@sender.org".into()], vec![], Listed::new())
            .leading(Default::default(), Some(true)),
        ..envelope()
    };
    let plan = plan(&config, &alias, &[]).unwrap();
    assert!(
        plan.keeper(&config, None).is_some(),
        "an alias leads elsewhere"
    );
}

#[test]
fn bounces_are_automatic() {
    let config = config(
        "[[rule]]\nautomatic = true\naction = 'keep'\n[[rule]]\nsender = '<>'\naction = 'keep'\n",
    );
    let bounce = Envelope {
        sender: String::new(),
        ..envelope()
    };
    let plan = plan(&config, &bounce, &[("Auto-Submitted", "no")]).unwrap();
    assert_eq!(plan.keeper(&config, None), Some(Source::Rule(0)));
}

#[test]
fn all_conditions_of_a_rule_must_hold_and_the_first_rule_decides() {
    let config = config(
        "[[rule]]\nname = 'both'\nbulk = true\nextension = 'doc'\naction = 'keep'\n\
         [[rule]]\nname = 'second'\nbulk = true\nextension = 'pdf'\naction = 'keep'\n\
         [[rule]]\nname = 'third'\nextension = 'pdf'\naction = 'detach'\n",
    );
    let source = kept_by(&config, HEADER).unwrap();
    assert_eq!((source, source.label(&config)), (Source::Rule(1), "second"));
    assert_eq!(kept_by(&config, &[]), None);
}

#[test]
fn a_rule_sets_its_terms_and_the_rest_is_the_defaults() {
    let config = config(
        "[[rule]]\nlist = true\nthreshold = '2 MB'\nretention = '7 days'\nlanguage = 'en'\nposition = 'start'\n",
    );
    let decided = |header| {
        plan(&config, &envelope(), header)
            .unwrap()
            .decide(&config, &part(1))
    };
    let Fate::Goes(going) = decided(HEADER) else {
        panic!()
    };
    assert_eq!(
        (going.threshold, going.message_threshold),
        (2_000_000, None)
    );
    assert_eq!(going.retention.fieldwise(), Span::new().days(7).fieldwise());
    let english = NoticeLanguage::One(Language::En);
    assert_eq!(going.source.language(&config), Some(english));
    assert_eq!(
        going.source.position(&config),
        mailsplice::rewrite::Position::Start
    );
    let Fate::Goes(going) = decided(&[]) else {
        panic!()
    };
    assert_eq!((going.threshold, going.source), (500_000, Source::Default));
    assert_eq!(
        going.retention.fieldwise(),
        Span::new().months(1).fieldwise()
    );
}

const PER_RECIPIENT: &str =
    "[[rule]]\nname = 'a keeps'\nrecipient = 'a@here.org'\naction = 'keep'\n";

#[test]
fn one_recipient_keeps_for_all_or_detaches_for_all() {
    let any_keep = config(PER_RECIPIENT);
    assert_eq!(kept_by(&any_keep, &[]), Some(Source::Rule(0)));
    let any_detach = config(&format!(
        "[detach]\nrecipients = 'any-detach'\n{PER_RECIPIENT}"
    ));
    assert_eq!(kept_by(&any_detach, &[]), None);
    let both_keep = config(
        "[detach]\nrecipients = 'any-detach'\n[[rule]]\nrecipient = ['@here.org', '@there.org']\naction = 'keep'\n",
    );
    assert_eq!(kept_by(&both_keep, &[]), Some(Source::Rule(0)));
}

#[test]
fn with_several_thresholds_the_highest_or_the_lowest_holds_and_the_longest_retention() {
    let rules = "[[rule]]\nrecipient = 'a@here.org'\nthreshold = '3 MB'\nmessage_threshold = '9 MB'\nretention = '2 days'\n\
                 [[rule]]\nrecipient = 'b@there.org'\nthreshold = '1 MB'\nmessage_threshold = '4 MB'\nretention = '9 days'\n";
    for (word, threshold, sum, rule) in [
        ("any-keep", 3_000_000, 9_000_000, 0),
        ("any-detach", 1_000_000, 4_000_000, 1),
    ] {
        let config = config(&format!("[detach]\nrecipients = '{word}'\n{rules}"));
        let fate = plan(&config, &envelope(), &[])
            .unwrap()
            .decide(&config, &part(1));
        let Fate::Goes(going) = fate else { panic!() };
        assert_eq!(
            (going.threshold, going.message_threshold),
            (threshold, Some(sum)),
            "{word}"
        );
        assert_eq!(going.source, Source::Rule(rule), "{word}");
        assert_eq!(
            going.retention.fieldwise(),
            Span::new().days(9).fieldwise(),
            "{word}"
        );
    }
}

#[test]
fn a_message_is_refused_by_the_first_rule_about_messages_that_matches() {
    let config = config(
        "[[rule]]\nextension = 'pdf'\naction = 'keep'\n\
         [[rule]]\nsender = '@friend.org'\naction = 'keep'\n\
         [[rule]]\nrecipient = 'b@there.org'\naction = 'reject'\ntext = 'no mail here'\n\
         [[rule]]\nsender = '@sender.org'\naction = 'tempfail'\n",
    );
    let refusal = plan(&config, &envelope(), &[]).unwrap_err();
    assert_eq!(
        (refusal.rule, refusal.for_good, refusal.text.as_str()),
        (2, true, "no mail here")
    );
    let to_a = |sender: &str| Envelope {
        recipients: vec!["a@here.org".into()],
        sender: sender.into(),
        ..envelope()
    };
    assert!(
        !plan(&config, &to_a("x@sender.org"), &[])
            .unwrap_err()
            .for_good
    );
    assert!(plan(&config, &to_a("x@friend.org"), &[]).is_ok());
    assert!(plan(&config, &to_a("x@other.org"), &[]).is_ok());
}

#[test]
fn in_dry_run_nothing_is_refused() {
    let rule = "[[rule]]\nsender = '@sender.org'\naction = 'reject'\n";
    for text in [
        format!("{rule}mode = 'dry-run'\n"),
        format!("[detach]\nmode = 'dry-run'\n{rule}"),
    ] {
        let config = config(&text);
        let plan = plan(&config, &envelope(), &[]).unwrap();
        assert_eq!(plan.would_refuse().unwrap().rule, 0);
        assert_eq!(plan.keeper(&config, None), Some(Source::Rule(0)));
        assert_eq!(
            outlook(&config, &envelope(), EnvelopeStage::Data),
            Outlook::Open
        );
    }
}

#[test]
fn one_fate_is_for_all_unless_a_rule_that_may_decide_asks_about_attachments() {
    let fate = |text: &str| {
        let config = config(text);
        let plan = plan(&config, &envelope(), HEADER).unwrap();
        plan.fate_of_all(&config)
    };
    let about_part = "[[rule]]\nextension = 'zip'\naction = 'keep'\n";
    let about_message = "[[rule]]\nsender = '@sender.org'\naction = 'keep'\n";
    assert!(matches!(
        fate(""),
        Some(Fate::Goes(going)) if going.source == Source::Default
    ));
    assert!(fate(about_part).is_none());
    for rules in [
        about_message.to_owned(),
        format!("{about_message}{about_part}"),
    ] {
        assert!(matches!(fate(&rules), Some(Fate::Stays(Source::Rule(0)))));
    }
    let other = about_part.replace("extension", "direction = 'outgoing'\nextension");
    assert!(matches!(fate(&other), Some(Fate::Goes(_))));
}

#[test]
fn a_size_is_open_until_enough_bytes_came() {
    let config = config(
        "[[rule]]\nsize_max = '2 MB'\nextension = 'pdf'\naction = 'keep'\n\
         [[rule]]\nsize_min = '3 MB'\nretention = '1 day'\n",
    );
    let plan = plan(&config, &envelope(), &[]).unwrap();
    let decide = |bytes, is_whole| {
        let fate = plan.decide(
            &config,
            &PartFacts {
                is_whole,
                ..part(bytes)
            },
        );
        match fate {
            Fate::Open => "open".to_owned(),
            Fate::Stays(source) => format!("stays {}", source.label(&config)),
            Fate::Goes(going) => format!("goes {}", going.source.label(&config)),
        }
    };
    assert_eq!(decide(2_000_000, false), "open");
    assert_eq!(decide(2_000_000, true), "stays rule 1");
    assert_eq!(decide(2_000_001, false), "open");
    assert_eq!(decide(2_000_001, true), "goes default");
    assert_eq!(decide(3_000_000, false), "goes rule 2");
}

#[test]
fn content_is_open_until_the_first_bytes_came() {
    let config = config("[[rule]]\ncontent = 'image/*'\naction = 'keep'\n");
    let plan = plan(&config, &envelope(), &[]).unwrap();
    assert!(plan.asks_content(&config));
    let decide = |content| plan.decide(&config, &PartFacts { content, ..part(9) });
    assert!(matches!(decide(None), Fate::Open));
    assert!(matches!(decide(Some("image/png")), Fate::Stays(_)));
    assert!(matches!(decide(Some("application/zip")), Fate::Goes(_)));
}

/// Returns the outlooks at `MAIL` and at `DATA`.
fn outlooks(config: &Read, envelope: &Envelope) -> (Outlook, Outlook) {
    (
        outlook(config, envelope, EnvelopeStage::Mail),
        outlook(config, envelope, EnvelopeStage::Data),
    )
}

#[test]
fn a_message_passes_as_soon_as_nothing_can_happen() {
    let never = |word| Outlook::Never(word);
    let sender = config(
        "[detach]\nremember_kept = 'off'\n[[rule]]\nsender = '@sender.org'\naction = 'keep'\n",
    );
    assert_eq!(
        outlooks(&sender, &envelope()),
        (never("rules"), never("rules"))
    );
    let recipient = config(&format!("[detach]\nremember_kept = 'off'\n{PER_RECIPIENT}"));
    assert_eq!(
        outlooks(&recipient, &envelope()),
        (Outlook::Open, never("rules"))
    );
    let detach = config(&format!(
        "[detach]\nrecipients = 'any-detach'\n{PER_RECIPIENT}"
    ));
    assert_eq!(
        outlooks(&detach, &envelope()),
        (Outlook::Open, Outlook::Open)
    );
    let header = config("[[rule]]\nbulk = true\naction = 'keep'\n");
    assert_eq!(
        outlooks(&header, &envelope()),
        (Outlook::Open, Outlook::Open)
    );
    let part = config("[[rule]]\nextension = 'pdf'\naction = 'keep'\n");
    assert_eq!(outlooks(&part, &envelope()), (Outlook::Open, Outlook::Open));
    let all = config(
        "[detach]\nremember_kept = 'off'\n[[rule]]\nextension = 'pdf'\naction = 'keep'\n[[rule]]\naction = 'keep'\n",
    );
    assert_eq!(
        outlooks(&all, &envelope()),
        (never("rules"), never("rules"))
    );
}

#[test]
fn a_small_message_passes_unless_a_rule_that_may_match_wants_less() {
    let light = Envelope {
        size: Some(200_000),
        ..envelope()
    };
    let small = Outlook::Never("small");
    assert_eq!(
        outlooks(&Read::default(), &light),
        (small.clone(), small.clone())
    );
    let for_a = config("[[rule]]\nrecipient = 'a@here.org'\nthreshold = '100 kB'\n");
    assert_eq!(
        outlooks(&for_a, &light),
        (Outlook::Open, small.clone()),
        "b has the default"
    );
    let any = config(
        "[detach]\nrecipients = 'any-detach'\n[[rule]]\nrecipient = 'a@here.org'\nthreshold = '100 kB'\n",
    );
    assert_eq!(outlooks(&any, &light), (Outlook::Open, Outlook::Open));
    let sum = config("[detach]\nmessage_threshold = '200 kB'\n");
    assert_eq!(outlooks(&sum, &light).0, Outlook::Open);
    assert_eq!(
        outlooks(
            &sum,
            &Envelope {
                size: Some(199_999),
                ..light
            }
        )
        .0,
        small
    );
}

#[test]
fn a_wish_may_come_with_the_header_so_our_users_mail_is_read_that_far() {
    let ours = Envelope {
        direction: Direction::Outgoing,
        size: Some(1),
        ..envelope()
    };
    assert_eq!(
        outlook(&Read::default(), &ours, EnvelopeStage::Data),
        Outlook::Open
    );
    let off = config("[sender]\nkeep_tags = []\ndetach_tags = []\nheader = ''\n");
    assert_eq!(
        outlook(&off, &ours, EnvelopeStage::Data),
        Outlook::Never("small")
    );
}

#[test]
fn a_refusal_is_known_with_the_envelope_if_it_can_be() {
    let by_recipient = config("[[rule]]\nrecipient = 'b@there.org'\naction = 'reject'\n");
    let (mail, data) = outlooks(&by_recipient, &envelope());
    assert_eq!(mail, Outlook::Open);
    assert!(matches!(data, Outlook::Refused(_)));
    let by_header = config("[[rule]]\nheader = 'X-Spam-Flag: YES'\naction = 'reject'\n");
    let light = Envelope {
        size: Some(1),
        ..envelope()
    };
    assert_eq!(outlooks(&by_header, &light), (Outlook::Open, Outlook::Open));
    assert!(plan(&by_header, &light, HEADER).is_err());
    let shielded = config(
        "[[rule]]\nbulk = true\naction = 'keep'\n[[rule]]\nsender = '@sender.org'\naction = 'reject'\n",
    );
    assert_eq!(
        outlooks(&shielded, &envelope()),
        (Outlook::Open, Outlook::Open)
    );
    assert!(plan(&shielded, &envelope(), HEADER).is_ok());
    assert!(plan(&shielded, &envelope(), &[]).is_err());
}

/// Makes a configuration with a file of users, which is read at once.
fn users(key: &str, lines: &str) -> Read {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    config(&format!("[users]\n{key} = '{}'\n", file.path().display()))
}

#[test]
fn users_opt_out_of_what_they_send_or_receive() {
    let received = users("opt_out", "a@here.org received\n");
    assert_eq!(kept_by(&received, &[]), Some(Source::Users));
    assert_eq!(
        outlook(&received, &envelope(), EnvelopeStage::Data),
        Outlook::Open
    );
    let sent = users(
        "opt_out",
        "a@here.org sent\nzoe@sender.org sent\nalice sent\n",
    );
    assert_eq!(
        kept_by(&sent, &[]),
        None,
        "a stranger who says that he is Zoe"
    );
    let ours = Envelope {
        direction: Direction::Outgoing,
        ..envelope()
    };
    assert_eq!(
        plan(&sent, &ours, &[]).unwrap().keeper(&sent, None),
        Some(Source::Users)
    );
    let alice = Envelope {
        sender: "other@sender.org".into(),
        login: Some("Alice".into()),
        ..ours
    };
    assert_eq!(
        plan(&sent, &alice, &[]).unwrap().keeper(&sent, None),
        Some(Source::Users)
    );
}

#[test]
fn with_opt_in_the_others_mail_is_left_alone() {
    let some = users("opt_in", "a@here.org\n");
    assert_eq!(
        kept_by(&some, &[]),
        Some(Source::Users),
        "b has not opted in"
    );
    let both = users("opt_in", "a@here.org\n@there.org received\n");
    assert_eq!(kept_by(&both, &[]), None);
    let sender = users("opt_in", "zoe@sender.org sent\n");
    assert_eq!(kept_by(&sender, &[]), Some(Source::Users));
    let ours = Envelope {
        direction: Direction::Outgoing,
        ..envelope()
    };
    assert_eq!(
        plan(&sender, &ours, &[]).unwrap().keeper(&sender, None),
        None
    );
}

#[test]
fn the_senders_wish_beats_users_and_rules() {
    let config = config("[[rule]]\naction = 'keep'\n");
    let wished = |wish| wished(&config, &envelope(), &[], Some(wish)).unwrap();
    let Fate::Goes(going) = wished(Wish::Detach).decide(&config, &part(1)) else {
        panic!()
    };
    assert_eq!(
        (going.threshold, going.source),
        (1, Source::Wish(Wish::Detach))
    );
    assert_eq!(
        wished(Wish::Keep).keeper(&config, None),
        Some(Source::Wish(Wish::Keep))
    );
}

#[test]
fn a_trial_for_one_of_several_recipients_keeps_or_does_not() {
    let rule = "[[rule]]\nrecipient = 'a@here.org'\nmode = 'dry-run'\nthreshold = 1\n";
    for (word, dry_run) in [("any-keep", true), ("any-detach", false)] {
        let config = config(&format!("[detach]\nrecipients = '{word}'\n{rule}"));
        let fate = plan(&config, &envelope(), &[])
            .unwrap()
            .decide(&config, &part(1));
        let Fate::Goes(going) = fate else { panic!() };
        assert_eq!(going.dry_run, dry_run, "{word}");
    }
}

#[test]
fn recipients_with_the_same_rules_are_asked_once() {
    let config = config(PER_RECIPIENT);
    let many = Envelope {
        recipients: (0..1000).map(|n| format!("u{n}@example.org")).collect(),
        ..envelope()
    };
    let plan = plan(&config, &many, &[]).unwrap();
    assert!(
        format!("{plan:?}").matches("Default").count() == 1,
        "{plan:?}"
    );
}

#[test]
fn each_direction_can_be_treated_alone() {
    use Direction::{Incoming, Outgoing};
    assert!(is_among(Directions::Both, Incoming) && is_among(Directions::Both, Outgoing));
    assert!(is_among(Directions::Incoming, Incoming) && is_among(Directions::Outgoing, Outgoing));
    assert!(!is_among(Directions::Incoming, Outgoing) && !is_among(Directions::Outgoing, Incoming));
}

#[test]
fn one_store_takes_all_files_of_a_message() {
    let config = config(
        r#"
        [remote]
        url = "https://far.example.org/"
        token_file = "/etc/depollueur/token"
        [[rule]]
        extension = "pdf"
        threshold = "1 kB"
        [[rule]]
        recipient = "b@there.org"
        store = "remote"
        [[rule]]
        recipient = "@here.org"
        store = "embedded"
        [[rule]]
        recipient = "c@there.org"
        action = "keep"
        "#,
    );
    let store = |recipients: &[&str], wish| {
        let envelope = Envelope {
            recipients: recipients.iter().map(|to| (*to).to_owned()).collect(),
            ..envelope()
        };
        wished(&config, &envelope, &[], wish).unwrap().store()
    };
    use crate::config::StoreKind::{Embedded, Remote};
    for (recipients, expected) in [
        (&["b@there.org"][..], Some(Remote)),
        (&["a@here.org"], Some(Embedded)),
        (&["a@here.org", "b@there.org"], Some(Remote)),
        (&["x@elsewhere.org", "a@here.org"], Some(Embedded)),
        (&["c@there.org"], None),
        (&["x@elsewhere.org"], None),
    ] {
        assert_eq!(store(recipients, None), expected, "{recipients:?}");
        // A wish decides what goes, not where it is kept.
        assert_eq!(store(recipients, Some(Wish::Detach)), expected);
    }
}

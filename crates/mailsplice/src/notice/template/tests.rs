use proptest::prelude::*;

use super::{
    super::{NoticeFile, Own, tests::notice},
    *,
};
use std::sync::{Arc, LazyLock};

/// Reads the examples that come along.
fn examples() -> Arc<Templates> {
    let sources = [
        (
            "fr.txt",
            include_str!("../../../../../config/notice/fr.txt"),
        ),
        (
            "fr.html",
            include_str!("../../../../../config/notice/fr.html"),
        ),
        (
            "en.txt",
            include_str!("../../../../../config/notice/en.txt"),
        ),
        (
            "en.html",
            include_str!("../../../../../config/notice/en.html"),
        ),
    ];
    assert_eq!(sources.map(|(name, _)| name), TEMPLATES);
    let templates = Templates::new(&sources.map(|(name, source)| (name, source.to_owned())));
    Arc::new(templates.unwrap_or_else(|error| panic!("{error}")))
}

fn with(mut notice: Notice, templates: &Arc<Templates>) -> Notice {
    notice.own = Some(Own {
        templates: Some(Arc::clone(templates)),
        ..Own::default()
    });
    notice
}

fn refused(name: &'static str, source: &str) -> String {
    Templates::new(&[(name, source.to_owned())])
        .expect_err(source)
        .to_string()
}

fn check_like_built_in(notice: &Notice, templates: &Arc<Templates>) {
    let own = with(notice.clone(), templates);
    own.rehearse().unwrap();
    assert_eq!(own.html().join("\n"), notice.html().join("\n"));
    for can in [
        &(|_| true) as &dyn Fn(char) -> bool,
        &|c| c.is_ascii(),
        &|c| c < '\u{100}',
    ] {
        for is_flowed in [false, true] {
            let setting = Setting { can, is_flowed };
            let (own, built_in) = (own.text_in(&setting), notice.text_in(&setting));
            assert_eq!(own.join("\n"), built_in.join("\n"));
        }
    }
}

#[test]
fn nothing_is_written_for_a_value_that_is_none() {
    let text = "a{{ none }}b{{ [none] | first }}c {{ link }}\n".to_owned();
    let html = "<p>a{{ none }}b{{ [none] | first }}c <a href=\"{{ link }}\">x</a></p>\n".to_owned();
    let templates = Templates::new(&[("en.txt", text), ("en.html", html)]).unwrap();
    let own = with(notice(Language::En, &["a.pdf"]), &Arc::new(templates));
    assert!(
        own.text()[0].starts_with("abc https://"),
        "{:?}",
        own.text()
    );
    let html = own.html().join("\n");
    assert!(html.contains("abc <a"), "{html}");
}

#[test]
fn the_examples_say_what_the_built_in_notice_says() {
    let templates = examples();
    let many = vec!["photo.jpg"; 22];
    for language in [Language::Fr, Language::En] {
        for files in [
            &["Compte rendu d’été.pdf"][..],
            &["photos.zip", "www.evil.com"],
            &[
                "a\u{202e}fdp.exe",
                "תקציר.pdf",
                "\"<b>'&`",
                "-- ",
                "> x",
                "From x",
            ],
            &[
                "x".repeat(300).as_str(),
                &"é ".repeat(100),
                &"\u{1f600}".repeat(99),
            ],
            &many[..21],
            &many,
        ] {
            let mut notice = notice(language, files);
            check_like_built_in(&notice, &templates);
            notice.operator = "From a & b <c> ".repeat(9);
            notice.expires = "2026-08-01T09:02:00-03:00[America/Argentina/Buenos_Aires]"
                .parse()
                .unwrap();
            check_like_built_in(&notice, &templates);
        }
    }
}

#[test]
fn a_language_without_a_template_has_the_built_in_notice() {
    let source = "Files: {{ link }}\n".to_owned();
    let templates = Arc::new(Templates::new(&[("en.txt", source)]).unwrap());
    let english = with(notice(Language::En, &["a.pdf"]), &templates);
    assert_eq!(
        english.text(),
        ["Files: https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA"]
    );
    let built_in = notice(Language::En, &["a.pdf"]);
    assert_eq!(english.html(), built_in.html());
    let french = with(notice(Language::Fr, &["a.pdf"]), &templates);
    assert_eq!(french.text(), notice(Language::Fr, &["a.pdf"]).text());
}

#[test]
fn a_broken_template_is_refused_with_its_name_and_line() {
    let ok = "{{ link }}\n";
    for (source, expected) in [
        ("{% if %}", "line 2: syntax error"),
        (
            "{{ operater }}",
            "line 2: there is no variable \"operater\"",
        ),
        (
            "{% if x %}{% endif %}",
            "line 2: there is no variable \"x\"",
        ),
        (
            "{% if count == 77 %}\n{{ t.cout }}{% endif %}",
            "line 3: there is no variable \"t.cout\"",
        ),
        (
            "{% for file in files %}{{ file.nme }}{% endfor %}",
            "line 2: undefined value",
        ),
        (
            "{% for file in files %}\n{{ file.is_long }}{% endfor %}",
            "line 3: undefined value",
        ),
        (
            "{{ contact.text }}",
            "line 2: there is no variable \"contact.text\"",
        ),
        ("{{ link|shout }}", "line 2: unknown filter"),
        ("{{ link|safe }}", "line 2: unknown filter"),
        ("{% include 'en.txt' %}", "line 2: template not found"),
        ("{{ foo() }}", "line 2: there is no variable \"foo\""),
        (
            "{% for x in range(9999) %}{% for y in range(9999) %}{% endfor %}{% endfor %}",
            "line 2: takes too much",
        ),
        ("{{ 'x' * 100000 }}", "gives more than 65536 bytes"),
        ("a\u{202e}b", "line 2: the character U+202E cannot be seen"),
        ("a\0b", "line 2: the character U+0000 cannot be seen"),
        ("a\n{{ 'x' * 201 }}", "line 3: a line is too long"),
        ("-- \nx", "line 2: reads like quoted mail"),
        ("> x", "line 2: reads like quoted mail"),
        (
            "{% for file in files %}\n{{ file.name }}\n{% endfor %}",
            "line 3: reads like quoted mail",
        ),
    ] {
        let error = refused("fr.txt", &format!("{ok}{source}"));
        let expected = match expected.starts_with("line") {
            true => format!("template \"fr.txt\", {expected}"),
            false => format!("template \"fr.txt\": {expected}"),
        };
        assert!(error.starts_with(&expected), "{source}: {error}");
    }
}

#[test]
fn a_notice_without_the_link_is_refused() {
    for source in [
        "",
        "Files.",
        "({{ link }})",
        "{{ link }}.",
        "x{{ link }}",
        "{% if contact %}{{ link }}{% endif %}",
        "{% if count > 1 %}{{ link }}{% endif %}",
        "{{ link|upper }}",
    ] {
        let error = refused("en.txt", source);
        assert!(
            error.starts_with("template \"en.txt\": does not show the link"),
            "{error}"
        );
    }
    for source in [
        "",
        "{{ link }}",
        "<!-- <a href=\"{{ link }}\">x</a> -->",
        "<a href=\"{{ link }}x\">x</a>",
        "{% if sender %}<a href=\"{{ link }}\">x</a>{% endif %}",
    ] {
        let error = refused("en.html", source);
        assert!(
            error.starts_with("template \"en.html\": does not show the link"),
            "{error}"
        );
    }
    for source in ["{{ link }}", "a:\n  <{{ link }}>\n", " {{ link }} "] {
        Templates::new(&[("en.txt", source.to_owned())]).unwrap();
    }
}

#[test]
fn html_that_would_harm_the_mail_is_refused_with_its_line() {
    let ok = "<a href=\"{{ link }}\">x</a>\n";
    for (source, expected) in [
        (
            "<script>\nx</script>",
            "line 2: <script> has no place in a notice",
        ),
        (
            "<p>\n<style>p{}</style></p>",
            "line 3: <style> has no place in a notice",
        ),
        ("\n<!-- x", "line 3: a comment that is not closed"),
        ("<p>", "line 2: <p> is not closed"),
        ("\n\n</td>", "line 4: </td> closes nothing"),
        (
            "<a href=\"javascript:x\">x</a>",
            "line 2: href = \"javascript:x\": must begin",
        ),
        (
            "{% for file in files %}\n<a href=\"{{ file.name }}\">x</a>{% endfor %}",
            "line 3: href = ",
        ),
        (
            "{% for file in files %}\n<i title=\"{{ file.name }}\">x</i>{% endfor %}",
            "line 3: the attribute \"title\" has markup",
        ),
        (
            "{% for file in files %}\n{{ file.name|list|join('') }} {% endfor %}",
            "line 3: is escaped twice",
        ),
        (
            "{% for f in files %}{{ f.name|safe }}{% endfor %}",
            "line 2: unknown filter",
        ),
        (
            "<p class=\"gmail_quote\">x</p>",
            "fr.html\": reads like quoted mail",
        ),
        ("<p>{{ 'x' * 901 }}</p>", "line 2: a line is too long"),
        (
            "<p>\u{200b}</p>",
            "line 2: the character U+200B cannot be seen",
        ),
    ] {
        let error = refused("fr.html", &format!("{ok}{source}"));
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn escaping_cannot_be_switched_off() {
    let source = "{% autoescape false %}{{ operator }}{{ files[0].name }}{% endautoescape %}\
                  <a href=\"{{ link }}\">x</a>";
    let templates = Arc::new(Templates::new(&[("en.html", source.to_owned())]).unwrap());
    let mut hostile = with(notice(Language::En, &["<b>.pdf"]), &templates);
    hostile.operator = "<script>".into();
    let html = hostile.html().join("\n");
    assert!(
        !html.contains("<script>") && !html.contains("<b>"),
        "{html}"
    );
    assert!(html.starts_with("&"), "{html}");
}

#[test]
fn long_lines_are_broken_at_blanks() {
    let html = "<p>word &amp; word\u{e9} </p>".repeat(99) + "<a href=\"{{ link }}\">x</a>";
    let text = "mot é ".repeat(99) + "\n\n\n{{ link }}\n\n\n";
    let sources = [("fr.html", html), ("fr.txt", text)];
    let templates = Arc::new(Templates::new(&sources).unwrap());
    let notice = with(notice(Language::Fr, &["a"]), &templates);
    assert!(
        notice
            .html()
            .iter()
            .all(|line| line.len() <= 900 && line.is_ascii())
    );
    let text = notice.text();
    assert!(text.iter().all(|line| line.chars().count() <= 200));
    assert!(!text.first().unwrap().is_empty() && !text.last().unwrap().is_empty());
}

#[test]
fn what_fails_in_a_mail_gives_way_to_the_built_in_notice() {
    let source =
        "{% if count == 33 %}{{ 'x' + 1 }}{% endif %}{% if count != 34 %}{{ link }}{% endif %}";
    let templates = Arc::new(Templates::new(&[("en.txt", source.to_owned())]).unwrap());
    for count in [33, 34] {
        let built_in = notice(Language::En, &vec!["a.pdf"; count]);
        let own = with(built_in.clone(), &templates);
        assert!(own.rehearse().is_err());
        assert_eq!(own.text(), built_in.text());
    }
    assert!(
        with(notice(Language::En, &["a.pdf"; 3]), &templates)
            .rehearse()
            .is_ok()
    );
}

#[test]
fn the_manual_names_every_variable() {
    let manual = include_str!("../../../../../man/depollueur.toml.5");
    let section = manual.split(".Sh NOTICE TEMPLATES").nth(1).unwrap();
    let section = section.split(".Sh ").next().unwrap();
    let words: HashSet<&str> = section
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let of_file = ["name", "size", "bytes", "line", "is_long"];
    for path in values::KNOWN.iter().chain(&of_file) {
        for word in path.split('.') {
            assert!(words.contains(word), "{path}");
        }
    }
}

/// Templates that show all that strangers write.
static CANDID: LazyLock<Arc<Templates>> = LazyLock::new(|| {
    let text = "{% for file in files %}* {{ file.name }} {{ file.line }}\n{% endfor %}\n\
                {{ sender }} {{ operator }}\n{{ link }}\n";
    let html = "<p>{{ operator }} {{ sender }}</p>{% for file in files %}<i>{{ file.name }}</i>\
                {% endfor %}<a href=\"{{ link }}\" title=\"{{ operator }}\">{{ operator }}x</a>";
    let sources = [("en.txt", text.to_owned()), ("en.html", html.to_owned())];
    Arc::new(Templates::new(&sources).unwrap())
});

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<char>().prop_map(String::from),
        prop::sample::select(vec![
            "<",
            ">",
            "\"",
            "'",
            "&",
            "\r",
            "\n",
            "\0",
            "-- ",
            "From ",
            ">",
            "{{ link }}",
            "</p>",
            "<script>",
            "<!--",
            "-->",
            "]]>",
            "\u{202e}",
            ".com",
            "://",
            " ",
            "\u{a0}",
            "é",
            "&#60;",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_name_makes_a_line_or_markup(
        names in prop::collection::vec(hostile(), 1..25),
        operator in hostile(),
    ) {
        let mut notice = with(notice(Language::En, &["a"]), &CANDID);
        let file = |name: &String| NoticeFile { name: name.clone(), bytes: 1 };
        notice.files = names.iter().map(file).collect();
        notice.operator = operator;
        if let Some(own) = &mut notice.own {
            own.sender = names.first().cloned();
        }
        prop_assert_eq!(notice.rehearse(), Ok(()));
        let html = notice.html().join("\n");
        prop_assert!(html.is_ascii() && html.bytes().all(|b| b == b'\n' || b >= b' '));
        prop_assert_eq!(crate::text::html::flaw(&html, &notice.link), None);
        for tag in ["<script", "<!--", "</p>\n</p>"] {
            prop_assert!(!html.contains(tag));
        }
        for line in notice.text() {
            prop_assert!(line.chars().count() <= 400 && line.len() <= 998);
            prop_assert!(!line.starts_with('>') && !line.starts_with("--"));
            let odd = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            prop_assert!(!line.chars().any(odd));
        }
    }
}

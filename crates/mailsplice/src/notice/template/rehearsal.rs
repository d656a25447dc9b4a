//! Tries every template on packages with all that there can be, with as little as there can be, and
//! with the worst that somebody may send, so that a mistake is found before a reader meets it.

use super::{
    super::{Notice, NoticeFile, Own, Setting},
    TemplateError, TemplateFormat, Templates, explain, kind, language, line_at, page, values,
};
use crate::text::html as document;

const LINK: &str = "https://drop.example.org/k7Vw2mQ9xLr4T8bN1cZ5dA";

/// Names for which a template may have forgotten to provide.
const HOSTILE: [&str; 14] = [
    "From: me",
    "Sent: today",
    "Subject: all",
    "-- ",
    "> x",
    "Le 21/11/2026, x a écrit :",
    "www.bank.example (copy).html",
    "\"><script>alert(1)</script>",
    "' onmouseover='x",
    "{{ link }}{% if %}",
    "javascript:alert(1)",
    "تقرير الجمعية العامة.pdf",
    "a\u{202e}fdp.exe",
    "\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}\u{1f600}.zip",
];

/// Renders a template with all packages and judges the output.
///
/// # Errors
/// Returns the first mistake, with its line in the template.
pub(super) fn run(templates: &Templates, name: &str) -> Result<(), TemplateError> {
    for sample in samples(name) {
        match kind(name) {
            TemplateFormat::Text => {
                for can in [&(|_| true) as &dyn Fn(char) -> bool, &|c| c.is_ascii()] {
                    for is_flowed in [false, true] {
                        let setting = Setting { can, is_flowed };
                        let values = values::of_text(&sample, &setting);
                        rehearse(templates, name, values, &sample)?;
                    }
                }
            }
            TemplateFormat::Html => rehearse(templates, name, values::of_html(&sample), &sample)?,
        }
    }
    Ok(())
}

fn rehearse(
    templates: &Templates,
    name: &str,
    values: minijinja::Value,
    sample: &Notice,
) -> Result<(), TemplateError> {
    let wrong = |error| explain(name, &error);
    let template = templates.environment(name).get_template(name);
    let template = template.map_err(wrong)?;
    let (output, spans) = template.render_with_spans(values).map_err(wrong)?;

    let judged = match kind(name) {
        TemplateFormat::Text => page::judge_text(&output, &sample.link),
        TemplateFormat::Html => {
            twice_escaped(&output).and_then(|()| page::judge_html(&output, &sample.link))
        }
    };

    // Names can read like quoted mail in the built-in notice, too: in cells of their own they harm
    // nobody.
    let is_quoted = || {
        kind(name) == TemplateFormat::Html
            && sample.files.len() == 1
            && document::reads_quoted(&output)
    };
    let judged = judged.and_then(|()| page::not_quoted(is_quoted()));

    judged.map_err(|flaw| {
        let span = |at| spans.iter().find(|span| span.output_range().contains(&at));
        let line = flaw.at.and_then(|at| {
            let span = span(at)?;
            let (output_at, source_at) = (span.output_range().start, span.source_range().start);
            let within = match span.kind() {
                minijinja::OutputSpanKind::Raw => at - output_at,
                _ => 0,
            };
            Some(line_at(template.source(), source_at + within))
        });
        TemplateError {
            line,
            ..flaw.of(name)
        }
    })
}

/// Refuses names that are escaped twice: a name is HTML already, and a filter that makes other text
/// of it shows its markup.
fn twice_escaped(html: &str) -> Result<(), page::Flaw> {
    let html = html.to_ascii_lowercase();
    let found = ["&#60;span", "&#38;#"]
        .iter()
        .find_map(|twice| html.find(twice));
    match found {
        None => Ok(()),
        at => Err(page::Flaw {
            at,
            reason: "is escaped twice: file.name and sender are HTML, which no filter can change"
                .into(),
        }),
    }
}

fn samples(name: &str) -> Vec<Notice> {
    let many: Vec<String> = (1..=45).map(|i| format!("photo {i}.jpg")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let full = || Own {
        direction: "outgoing",
        contact: Some("abuse@example.org".into()),
        sender: Some("www.sender.example".into()),
        ..Own::default()
    };
    let bare = || Own {
        direction: "incoming",
        ..Own::default()
    };
    let operator = "Example & Söhne \"<b>\" -- From x > .";

    vec![
        sample(
            name,
            &["Compte rendu d’été.pdf"],
            "drop.example.org",
            bare(),
        ),
        sample(name, &["a.pdf"], "drop.example.org", full()),
        sample(name, &["photos.zip", "x.pdf"], operator, full()),
        sample(name, &HOSTILE, operator, full()),
        sample(name, &HOSTILE, operator, bare()),
        sample(name, &many, operator, full()),
        sample(name, &[HOSTILE[13]; 21], &"long ".repeat(200), full()),
    ]
}

fn sample(name: &str, files: &[&str], operator: &str, own: Own) -> Notice {
    let file = |(name, bytes): (&&str, u64)| NoticeFile {
        name: crate::names::display(name),
        bytes,
    };

    Notice {
        language: language(name),
        also: None,
        files: files
            .iter()
            .zip((0..).map(|i| i * 940_000))
            .map(file)
            .collect(),
        link: LINK.into(),
        expires: "2026-12-22T18:02:00+01:00[Europe/Paris]"
            .parse()
            .expect("a moment"),
        operator: operator.into(),
        is_encrypted: true,
        own: Some(own),
    }
}

//! The rehearsal of templates: each is rendered once on pages that hold all that there can be, and
//! on pages that hold nothing, so that a wrong name in a template of the admin's is found before a
//! reader meets it.

use mailsplice::l10n::Language;
use minijinja::{Environment, Error, Value, context, value::Serde};
use serde::Serialize;

use super::{
    texts::texts,
    views::{
        AboutView, ArchiveView, FileView, GoneView, HomeView, LandingView, LinkView, MessageView,
        MomentView, PageLinkView, PagesView, ReasonView, ReportView, SealedFileView, SectionView,
        SiteView, UnlockView,
    },
};

/// Renders all templates with everything that they may be given.
///
/// # Errors
/// The first mistake found.
pub(super) fn run(templates: &Environment<'_>) -> Result<(), Error> {
    for full in [true, false] {
        let site = site(full);
        for (name, page) in pages(full) {
            for language in [Language::Fr, Language::En] {
                let context = context! {
                    t => Serde(texts(language)),
                    site => Serde(&site),
                    page => &page,
                    query => if full { "?lang=en" } else { "" },
                };
                templates.get_template(name)?.render(context)?;
            }
        }
    }
    Ok(())
}

/// The address of a further page with which templates are tried.
const FURTHER: &str = "?page=further";

/// Returns true if a template links to further pages of a package. One of the admin's that predates
/// such pages does not.
pub(super) fn is_paged(templates: &Environment<'_>, name: &str) -> bool {
    let page = match name {
        "unlock.html" => value(unlock(true)),
        _ => value(landing(true)),
    };
    let context = context! {
        t => Serde(texts(Language::En)), site => Serde(site(true)), page => page, query => ""
    };
    let rendered = templates
        .get_template(name)
        .and_then(|template| template.render(context));
    rendered.is_ok_and(|html| html.contains(FURTHER))
}

fn pages(full: bool) -> [(&'static str, Value); 7] {
    [
        ("landing.html", value(landing(full))),
        ("gone.html", value(gone(full))),
        ("report.html", value(report(full))),
        ("message.html", value(message(full))),
        ("home.html", value(home())),
        ("about.html", value(about(full))),
        ("unlock.html", value(unlock(full))),
    ]
}

fn value(view: impl Serialize) -> Value {
    Value::from(Serde(view))
}

fn text() -> String {
    "x".to_owned()
}

fn link() -> LinkView {
    LinkView {
        href: text(),
        text: text(),
    }
}

/// One item, or none.
fn many<T>(full: bool, one: T) -> Vec<T> {
    full.then_some(one).into_iter().collect()
}

/// More items than are seen at once, or none.
fn some<T>(full: bool, item: impl Fn() -> T) -> Vec<T> {
    match full {
        true => vec![item(), item()],
        false => Vec::new(),
    }
}

fn site(full: bool) -> SiteView {
    SiteView {
        operator: text(),
        host: text(),
        contact: full.then(link),
        legal: full.then(link),
        logo: full.then(text),
        base: text(),
        style: text(),
    }
}

fn landing(full: bool) -> LandingView {
    LandingView {
        elsewhere: full.then(text),
        title: text(),
        from: text(),
        sum: full.then(text),
        expires: MomentView {
            machine: text(),
            text: text(),
            zone: text(),
        },
        left: text(),
        note: full.then(text),
        files: some(full, file),
        unfolded: 1,
        folded: full.then(text),
        pages: full.then(pages_view),
        archive: full.then(|| ArchiveView {
            href: text(),
            size: text(),
        }),
        extend: full.then(link),
        why: text(),
        report: text(),
    }
}

fn unlock(full: bool) -> UnlockView {
    UnlockView {
        title: text(),
        from: text(),
        sum: full.then(text),
        expires: MomentView {
            machine: text(),
            text: text(),
            zone: text(),
        },
        left: text(),
        note: full.then(text),
        files: some(full, || SealedFileView {
            href: text(),
            size: text(),
            bytes: 1,
        }),
        unfolded: 1,
        folded: full.then(text),
        pages: full.then(pages_view),
        count: 2,
        before: 0,
        size: text(),
        archive: text(),
        extend: full.then(link),
        why: text(),
        report: text(),
        id: text(),
        manifest: text(),
        programs: "x",
        script: text(),
    }
}

fn pages_view() -> PagesView {
    PagesView {
        number: 2,
        text: text(),
        previous: Some(FURTHER.to_owned()),
        next: Some(FURTHER.to_owned()),
        links: vec![PageLinkView {
            href: FURTHER.to_owned(),
            text: text(),
            is_this: false,
        }],
    }
}

fn file() -> FileView {
    FileView {
        href: text(),
        glyph: "program",
        letters: text(),
        name: text(),
        kind: "x",
        program: true,
        size: text(),
        sha256: text(),
    }
}

fn gone(full: bool) -> GoneView {
    GoneView {
        title: text(),
        from: text(),
        until: text(),
        extend: full.then(link),
        ask: text(),
        ask_operator: text(),
        report: text(),
    }
}

fn report(full: bool) -> ReportView {
    ReportView {
        title: text(),
        what: text(),
        then: text(),
        action: text(),
        back: text(),
        error: full.then(text),
        text: text(),
        contact: text(),
        reasons: many(
            full,
            ReasonView {
                value: "x",
                text: "x",
                chosen: true,
            },
        ),
        shareable: full,
        text_max: 1,
        contact_max: 1,
    }
}

fn message(full: bool) -> MessageView {
    MessageView {
        title: text(),
        paragraphs: many(full, text()),
        link: full.then(link),
    }
}

fn home() -> HomeView {
    HomeView {
        title: text(),
        what: text(),
    }
}

fn about(full: bool) -> AboutView {
    AboutView {
        title: text(),
        sections: many(
            full,
            SectionView {
                title: "x",
                text: text(),
            },
        ),
        legal: many(full, text()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    /// Collects all names in a view, nested ones included.
    fn names(value: &Json, into: &mut Vec<String>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    into.push(name.clone());
                    names(value, into);
                }
            }
            Json::Array(items) => items.iter().for_each(|item| names(item, into)),
            _ => {}
        }
    }

    #[test]
    fn the_manual_names_every_template_and_variable() {
        let manual = include_str!("../../man/depollueur.toml.5");
        let section = manual.split(".Sh TEMPLATES").nth(1).unwrap();
        let section = section.split(".Sh ").next().unwrap();
        let word = |wanted: &str| {
            let mut words = section.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == wanted)
        };
        let mut found = vec!["t".to_owned(), "site".to_owned(), "query".to_owned()];
        names(&serde_json::to_value(site(true)).unwrap(), &mut found);
        for (template, page) in pages(true) {
            assert!(
                section.contains(&format!(".It Pa {template}\n")),
                "{template}"
            );
            names(&serde_json::to_value(&page).unwrap(), &mut found);
        }
        assert!(found.len() > 60);
        for name in found {
            assert!(word(&name), "{name}");
        }
    }
}

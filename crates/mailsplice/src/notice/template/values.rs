//! The values that a template is given: the words of the built-in notice, and the facts in them.

use minijinja::{Value, context};

use super::super::{Notice, NoticeFile, Setting, html, sizes, text};
use crate::l10n::{
    sentences,
    units::{date, moment, size, zone},
};

/// All paths that are the same for text and HTML; a file has further ones of its own.
pub(super) const KNOWN: [&str; 27] = [
    "contact",
    "count",
    "direction",
    "encrypted",
    "expires",
    "expires.date",
    "expires.machine",
    "expires.text",
    "expires.zone",
    "files",
    "host",
    "language",
    "link",
    "more",
    "more_size",
    "operator",
    "sender",
    "t",
    "t.action",
    "t.close",
    "t.colon",
    "t.count",
    "t.keeper",
    "t.more",
    "t.open",
    "t.until",
    "total",
];

/// Returns true if there is a variable of this path.
pub(super) fn is_known(path: &str) -> bool {
    KNOWN.contains(&path) || path.starts_with("files.")
}

/// Makes the values for a template of text; the notice goes into the text of `setting`.
pub(super) fn of_text(notice: &Notice, setting: &Setting<'_>) -> Value {
    let file = |file: &NoticeFile| {
        let name = text::shown(&file.name, setting);
        context! {
            name => name,
            size => size(file.bytes, notice.language),
            bytes => file.bytes,
            line => text::name(notice, file, setting),
        }
    };
    let files: Vec<Value> = notice.listed().iter().map(file).collect();
    let shown = |name: &str| Value::from(text::shown(name, setting));
    values(notice, files, shown)
}

/// Makes the values for a template of HTML. Names are HTML already.
pub(super) fn of_html(notice: &Notice) -> Value {
    let file = |file: &NoticeFile| {
        let name = crate::names::display(&file.name);
        context! {
            name => Value::from_safe_string(html::html_name(&name)),
            size => size(file.bytes, notice.language),
            bytes => file.bytes,
            is_long => html::has_long_word(&name),
        }
    };
    let files: Vec<Value> = notice.listed().iter().map(file).collect();
    let shown = |name: &str| Value::from_safe_string(html::html_name(&crate::names::display(name)));
    values(notice, files, shown)
}

fn values(notice: &Notice, files: Vec<Value>, shown: impl Fn(&str) -> Value) -> Value {
    let (language, at) = (notice.language, &notice.expires);
    let own = notice.own.clone().unwrap_or_default();
    let rest = &notice.files[files.len()..];
    let total = |files: &[NoticeFile]| size(sentences::sum(&sizes(files)), language);

    context! {
        language => sentences::tag(language),
        direction => own.direction,
        count => notice.files.len(),
        files,
        more => rest.len(),
        more_size => (!rest.is_empty()).then(|| total(rest)),
        total => total(&notice.files),
        link => &notice.link,
        host => shown(notice.host()),
        expires => context! {
            text => moment(at, language),
            date => date(at.date(), language),
            zone => zone(at, language).replace(' ', "\u{a0}"),
            machine => at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        },
        operator => notice.operator_line(),
        encrypted => notice.is_encrypted,
        contact => &own.contact,
        sender => own.sender.as_deref().map(shown),
        t => sentences(notice),
    }
}

/// Returns our own words, in the notice's language.
fn sentences(notice: &Notice) -> Value {
    let (open, close) = sentences::quotes(notice.language);
    context! {
        count => notice.count(notice.language),
        until => notice.until(notice.language),
        colon => sentences::colon(notice.language),
        more => notice.more(notice.language),
        keeper => notice.keeper(notice.language),
        action => sentences::action(notice.language),
        open,
        close,
    }
}

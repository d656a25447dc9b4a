//! The notice as text: in any charset, in the author's paragraphs, beside text of any direction.

use super::{Notice, NoticeFile, domain::starts_domain};
use crate::{
    l10n::{Language, sentences, units::size},
    names,
    text::{bidi, charset::transliterate},
};

/// The width of the text, in columns; names and the link may stand out.
const COLUMNS: usize = 68;

/// Number of dashes above and below the text: few enough for one line of a phone.
const RULE_DASHES: usize = 20;

/// Keeps a dot, unseen, from joining two words to a domain.
const WORD_JOINER: char = '\u{2060}';

/// The text into which the notice goes.
pub(crate) struct Setting<'a> {
    /// Returns true for a character that it can have; all of ASCII must be among them.
    pub(crate) can: &'a dyn Fn(char) -> bool,
    /// True if it is `format=flowed` (RFC 3676).
    pub(crate) is_flowed: bool,
}

/// Returns the lines, without line ends.
pub(super) fn lines(notice: &Notice, setting: &Setting<'_>) -> Vec<String> {
    let wrapped = |text: &str, language| {
        let lines = wrap(text).into_iter();
        let lines = lines.map(|line| unsuspicious(said(language, &line, setting)));
        lines.collect::<Vec<_>>()
    };
    let files = notice
        .listed()
        .iter()
        .map(|file| name(notice, file, setting));
    let more = notice.languages().filter_map(|language| {
        let more = notice.more(language)?;
        Some(said(language, &more, setting))
    });

    let mut lines = vec![rule()];
    for language in notice.languages() {
        let until = format!("{}{}", notice.until(language), sentences::colon(language));
        lines.extend(wrapped(&format!("{},", notice.count(language)), language));
        lines.extend(wrapped(&until, language));
        lines.push(String::new());
    }
    lines.extend(files.chain(more).map(|line| format!("  {line}")));
    lines.push(String::new());
    // Nothing may stick to the link: readers would take it for a part of it. It has no indent,
    // which would stand on a line of its own where the link fills a phone's.
    lines.push(notice.link.clone());
    for language in notice.languages() {
        lines.push(String::new());
        lines.extend(wrapped(&notice.keeper(language), language));
    }
    lines.push(rule());
    flowed(lines, setting)
}

/// Makes the lines ready for a text that is `format=flowed`, where it is.
pub(super) fn flowed(mut lines: Vec<String>, setting: &Setting<'_>) -> Vec<String> {
    if setting.is_flowed {
        lines.iter_mut().for_each(stuff);
    }
    lines
}

/// Returns a line in the characters that there are, without blanks at its end.
pub(super) fn settled(notice: &Notice, line: &str, setting: &Setting<'_>) -> String {
    let mut line = said(notice.language, line, setting);
    line.truncate(line.trim_end().len());
    line
}

fn said(language: Language, text: &str, setting: &Setting<'_>) -> String {
    transliterate(&plain(language, text), setting.can)
}

/// Returns a name as it is shown: in the characters that there are, and no link.
pub(super) fn shown(name: &str, setting: &Setting<'_>) -> String {
    let can = setting.can;
    // Transliteration may bring in characters with a meaning in names, so names are made safe after
    // it; and the ellipsis of a shortened name may be missing in turn.
    let safe = names::display(&transliterate(&names::display(name), can));
    let safe = transliterate(&safe, can);
    let mut name = String::new();
    for (i, c) in safe.char_indices() {
        if c == '.' && starts_domain(&safe, i) {
            name.push(if can(WORD_JOINER) { WORD_JOINER } else { ' ' });
        }
        name.push(c);
    }
    name
}

/// Returns a file's name and size.
pub(super) fn name(notice: &Notice, file: &NoticeFile, setting: &Setting<'_>) -> String {
    let can = setting.can;
    let (open, close) = sentences::quotes(notice.language);
    let (open, close) = (transliterate(open, can), transliterate(close, can));
    let bytes = plain(notice.language, &size(file.bytes, notice.language));
    let name = shown(&file.name, setting);
    let (name, size) = (
        format!("{open}{name}{close}"),
        format!("({})", transliterate(&bytes, can)),
    );
    if bidi::has_rtl(&name) {
        // Digits behind such a name would be drawn before it, and a line that begins with it
        // would begin on the right.
        format!("{size} {name}")
    } else {
        format!("{name} {size}")
    }
}

/// Makes English plain ASCII, so that an ASCII mail can stay what it is.
fn plain(language: Language, text: &str) -> String {
    match language {
        Language::En => text.replace('\u{a0}', " ").replace('\u{2212}', "-"),
        Language::Fr => text.to_owned(),
    }
}

/// Stuffs a line that starts with a space (RFC 3676, section 4.4): the reader's client takes one away.
fn stuff(line: &mut String) {
    if line.starts_with(' ') {
        line.insert(0, ' ');
    }
}

/// Returns the line above and below the text. It must not start with `--`, with which a boundary
/// could agree, nor be a signature's delimiter.
fn rule() -> String {
    ["-"; RULE_DASHES].join(" ")
}

/// Wraps each line of a text, to at most [`COLUMNS`] where words allow it.
pub(super) fn wrapped(text: &str) -> String {
    let lines = text.split('\n').map(|line| wrap(line).join("\n"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks a line at blanks, to at most [`COLUMNS`] where words allow it.
pub(super) fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

/// Indents a line whose start would mean something to mail software.
pub(super) fn unsuspicious(line: String) -> String {
    let suspicious = [">", "--", "."].iter().any(|start| line.starts_with(start));
    if suspicious || line == "From" || line.starts_with("From ") {
        format!(" {line}")
    } else {
        line
    }
}

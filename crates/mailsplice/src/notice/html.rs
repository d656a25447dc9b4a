//! The notice as HTML: tables and inline styles, because mail clients know little else.
//!
//! The box has no background and the text no colour of its own, so that dark and light both work,
//! whether the client turns the colours itself or not. Only the button has both, in a pair that
//! keeps its contrast when it is inverted. Word, which is Outlook's engine, knows neither the
//! padding of a link nor `max-width`: it is given `mso-padding-alt`, and a wide box.
//! The notice is in a language written from left to right and says so, wherever it stands; names
//! have the direction of their own letters.

use std::fmt::Write;

use super::{Notice, NoticeFile, domain::starts_domain};
use crate::{
    l10n::{Language, sentences, units::size},
    names,
};

/// The longest word of a name that may stay whole, in characters.
const WORD_CHARS_MAX: usize = 24;

/// Number of bytes of a name on one line of HTML source. A longer name is broken inside a tag, which some
/// sanitizers of list archives drop; lines of more than 998 bytes are broken by some servers.
const HTML_RUN_BYTES: usize = 800;

/// Returns the lines, without line ends.
pub(super) fn lines(notice: &Notice) -> Vec<String> {
    let language = sentences::tag(notice.language);
    let mut lines = vec![
        format!("<table lang=\"{language}\" {TABLE_OPEN}"),
        CELL_OPEN.into(),
    ];

    lines.push(format!("<div>{}</div>", heading(notice, notice.language)));
    if let Some(also) = notice.also {
        lines.push(format!(
            "<div lang=\"{}\" style=\"margin-top:6px\">{}</div>",
            sentences::tag(also),
            heading(notice, also)
        ));
    }

    lines.push(LIST_OPEN.into());
    for file in notice.listed() {
        lines.extend(row(notice, file));
    }
    for language in notice.languages() {
        lines.extend(notice.more(language).map(|more| {
            format!(
                "<tr><td{} colspan=\"2\" align=\"left\" style=\"{ROW};text-align:left\">{}</td></tr>",
                other(notice, language),
                escape(&more)
            )
        }));
    }

    lines.push("</table>".into());
    lines.extend(BUTTON_OPEN.iter().map(|line| (*line).into()));
    // On one line: the sanitizer of Sympa's archives drops a tag that goes over two, and its link with it.
    lines.push(format!(
        "<a href=\"{}\" style=\"{BUTTON}\">{}</a></td></tr></table>",
        escape(&notice.link),
        escape(&actions(notice))
    ));

    // The host is for readers who print the mail, or see no addresses: it tells them whom to ask.
    lines.push(format!(
        "<div style=\"{HOST}\">{}</div>",
        html_name(notice.host())
    ));

    for language in notice.languages() {
        lines.push(format!(
            "<div{} style=\"{SMALL}\">{}</div>",
            other(notice, language),
            escape(&notice.keeper(language))
        ));
    }
    lines.push("</td></tr></table>".into());
    lines
}

/// Returns the attribute of text that is not in the language of the whole.
fn other(notice: &Notice, language: Language) -> String {
    if language == notice.language {
        return String::new();
    }
    format!(" lang=\"{}\"", sentences::tag(language))
}

/// Returns the number of files, and the end of their time.
fn heading(notice: &Notice, language: Language) -> String {
    format!(
        "<b>{}</b><br>{}",
        escape(&notice.count(language)),
        escape(&capitalized(&notice.until(language)))
    )
}

/// Returns the text of the button: one link, whatever the languages.
fn actions(notice: &Notice) -> String {
    let actions: Vec<_> = notice.languages().map(sentences::action).collect();
    actions.join(" / ")
}

fn row(notice: &Notice, file: &NoticeFile) -> [String; 3] {
    let name = names::display(&file.name);
    let breaks = if has_long_word(&name) {
        LONG_NAME
    } else {
        NAME
    };
    let size = escape(&size(file.bytes, notice.language));
    [
        format!("<tr><td dir=\"ltr\" align=\"left\" valign=\"top\" style=\"{ROW};{breaks}\">"),
        html_name(&name),
        format!("</td><td align=\"right\" valign=\"top\" style=\"{ROW};{SIZE}\">{size}</td></tr>"),
    ]
}

/// Returns true if no blank lets the name break within a phone's line. Word then breaks it only
/// where it is told to break anywhere.
pub(super) fn has_long_word(name: &str) -> bool {
    name.split([' ', '-'])
        .any(|word| word.chars().nth(WORD_CHARS_MAX).is_some())
}

const TABLE_OPEN: &str = "role=\"presentation\" dir=\"ltr\" cellpadding=\"0\" \
    cellspacing=\"0\" border=\"0\" width=\"100%\" style=\"max-width:560px;margin:18px 0;\
    border:1px solid #8c9aa8;border-radius:8px;border-collapse:separate\">";
const CELL_OPEN: &str = "<tr><td align=\"left\" style=\"padding:14px 16px;\
    font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:21px;text-align:left\">";
const LIST_OPEN: &str = "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" \
    border=\"0\" width=\"100%\" style=\"margin:8px 0 12px\">";
const BUTTON_OPEN: [&str; 2] = [
    "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>",
    "<td bgcolor=\"#0b6b57\" style=\"border-radius:6px;background-color:#0b6b57;\
    mso-padding-alt:10px 18px\">",
];
/// Colour and line are there twice: against a newsletter's `a{color:red !important}`, and for
/// programs that drop whatever has `!important`.
const BUTTON: &str = "display:inline-block;padding:10px 18px;border-radius:6px;\
    font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:20px;font-weight:bold;\
    color:#ffffff;color:#ffffff !important;text-decoration:none;\
    text-decoration:none !important";
const ROW: &str = "padding:4px 0;font-family:Arial,Helvetica,sans-serif;font-size:15px;\
    line-height:20px";
const NAME: &str = "padding-right:16px;text-align:left;word-break:break-word";
const LONG_NAME: &str = "padding-right:16px;text-align:left;word-break:break-all";
const SIZE: &str = "text-align:right;white-space:nowrap";
const HOST: &str = "margin-top:6px;font-size:13px;line-height:18px";
const SMALL: &str = "margin-top:12px;font-size:13px;line-height:18px;opacity:.8";

/// Converts a name to HTML in runs of bounded length. Dots that could make a domain are in elements
/// of their own: clients look for links in one run of text.
pub(super) fn html_name(name: &str) -> String {
    let (mut html, mut run) = (String::new(), 0);
    for (i, c) in name.char_indices() {
        if html.len() - run > HTML_RUN_BYTES {
            // A line break inside a tag is not content.
            html.push_str("<span\n></span>");
            run = html.len();
        }
        match c {
            '.' if starts_domain(name, i) => html.push_str("<span>.</span>"),
            c => push_escaped(&mut html, c),
        }
    }
    html
}

/// Puts a capital at the start of a text.
pub(super) fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

/// Converts HTML to ASCII, which is the same in any charset; markup is left as it is.
pub(super) fn ascii(html: &str) -> String {
    let mut ascii = String::with_capacity(html.len());
    for c in html.chars() {
        match c {
            c if c.is_ascii() => ascii.push(c),
            c => push_escaped(&mut ascii, c),
        }
    }
    ascii
}

/// Converts text to HTML, for content and quoted attributes, in ASCII.
pub(super) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut html, c));
    html
}

/// Appends a character, as a character reference unless it is printable ASCII without a meaning in HTML.
fn push_escaped(html: &mut String, c: char) {
    match c {
        '&' | '<' | '>' | '"' | '\'' | '`' => write!(html, "&#{};", u32::from(c)),
        ' '..='~' => write!(html, "{c}"),
        c => write!(html, "&#{};", u32::from(c)),
    }
    .expect("writing to a string does not fail");
}

//! The output of a template: it is judged, and put into lines that fit into a mail.

use super::{
    super::{Notice, Setting, html, text},
    TemplateError,
};
use crate::{
    names,
    text::{html as document, plain},
};

/// The longest line of text that is left as it is, in characters.
const LINE_CHARS_MAX: usize = 200;

/// The longest line of HTML, in bytes.
const LINE_BYTES_MAX: usize = 900;

/// The longest output, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Something that must not be in the output.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    /// Offset in the output at which it begins; `None` if it is about the whole.
    pub(super) at: Option<usize>,
    pub(super) reason: String,
}

impl Flaw {
    fn new(at: usize, reason: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            reason: reason.into(),
        }
    }

    fn of_all(reason: impl Into<String>) -> Self {
        Self {
            at: None,
            reason: reason.into(),
        }
    }

    /// Turns the flaw into a mistake of this template, without its line.
    pub(super) fn of(self, name: &str) -> TemplateError {
        TemplateError {
            name: name.to_owned(),
            line: None,
            reason: self.reason,
        }
    }
}

/// Checks that text can be a notice.
///
/// # Errors
/// Returns its first flaw.
pub(super) fn judge_text(text: &str, link: &str) -> Result<(), Flaw> {
    too_long(text)?;
    let (mut at, mut is_shown) = (0, false);
    let bracketed = format!("<{link}>");
    let is_long = |word: &str| word.chars().count() > LINE_CHARS_MAX;

    for line in text.split_inclusive('\n') {
        // Nothing may stick to the link: readers would take it for a part of it. Angle brackets are
        // the exception (RFC 3986, appendix C).
        let mut words = line.split_whitespace();
        is_shown |= words.any(|word| word == link || *word == bracketed);
        let mut words = line.split_whitespace();
        if words.any(|word| is_long(word) && !word.contains(link)) {
            return Err(Flaw::new(at, "a line is too long and has no blank"));
        }
        at += line.len();
    }

    if !is_shown {
        let reason = "does not show the link: {{ link }}, with blanks or line ends around it";
        return Err(Flaw::of_all(reason));
    }

    match plain::line_before_quote(text.as_bytes()) {
        None => Ok(()),
        Some(line) => {
            let lines = text.split_inclusive('\n').take(line);
            let at = lines.map(str::len).sum();
            let reason = "reads like quoted mail or a signature: a line must not begin with \
                          \">\", \"--\", or the name of a file";
            Err(Flaw::new(at, reason))
        }
    }
}

/// Checks that HTML can be a notice.
///
/// # Errors
/// Returns its first flaw.
pub(super) fn judge_html(html: &str, link: &str) -> Result<(), Flaw> {
    too_long(html)?;
    if let Some(document::HtmlFlaw { at, reason }) = document::flaw(html, link) {
        return Err(Flaw { at, reason });
    }

    let mut at = 0;
    for line in html.split_inclusive('\n') {
        let is_long = |line: &String| line.len() > LINE_BYTES_MAX;
        if broken(html::ascii(line.trim_end())).iter().any(is_long) {
            return Err(Flaw::new(at, "a line is too long and has no blank"));
        }
        at += line.len();
    }
    Ok(())
}

/// Refuses output that reads like quoted mail as a whole.
///
/// # Errors
/// It reads like quoted mail.
pub(super) fn not_quoted(is_quoted: bool) -> Result<(), Flaw> {
    if is_quoted {
        return Err(Flaw::of_all("reads like quoted mail or a signature"));
    }
    Ok(())
}

fn too_long(output: &str) -> Result<(), Flaw> {
    if output.len() > OUTPUT_BYTES_MAX {
        let reason = format!("gives more than {OUTPUT_BYTES_MAX} bytes");
        return Err(Flaw::of_all(reason));
    }
    Ok(())
}

/// Splits text into lines as they go into the author's, without line ends.
pub(super) fn text_lines(text: &str, notice: &Notice, setting: &Setting<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for line in seen(text).lines() {
        let line = text::settled(notice, line, setting);
        if line.chars().count() > LINE_CHARS_MAX {
            lines.extend(text::wrap(&line));
        } else {
            lines.push(line);
        }
    }
    let lines = lines.into_iter().map(text::unsuspicious).collect();
    text::flowed(without_blank_ends(lines), setting)
}

/// Splits HTML into lines, in ASCII, without line ends. Blank ones mean nothing in it and are left out.
pub(super) fn html_lines(html: &str) -> Vec<String> {
    let seen = seen(html);
    let lines = seen.lines().map(|line| html::ascii(line.trim_end()));
    let mut lines: Vec<String> = lines.flat_map(broken).collect();
    lines.retain(|line| !line.is_empty());
    lines
}

/// Breaks a line of HTML into lines that are short enough, where it can be broken: a blank is as good as a
/// line end between words and attributes and within values, and so is the inside of an end tag.
fn broken(mut line: String) -> Vec<String> {
    let mut lines = Vec::new();
    while line.len() > LINE_BYTES_MAX {
        let head = &line[..=LINE_BYTES_MAX];
        let blank = head.rfind(' ').filter(|at| *at > 0).map(|at| at + 1);
        let Some(at) = blank.or_else(|| end_tag(head)) else {
            break;
        };
        let rest = line.split_off(at);
        lines.push(line.trim_end().to_owned());
        line = rest;
    }
    lines.push(line);
    lines
}

/// Returns the place before the `>` of the last end tag.
fn end_tag(line: &str) -> Option<usize> {
    let starts = line.rmatch_indices("</").map(|(at, _)| at);
    starts.into_iter().find_map(|at| {
        let name = line[at + 2..]
            .bytes()
            .take_while(u8::is_ascii_alphanumeric)
            .count();
        let end = at + 2 + name;
        (name > 0 && line[end..].starts_with('>')).then_some(end)
    })
}

/// Removes characters that take no room and may change how the rest reads, wherever they came from.
fn seen(text: &str) -> String {
    let kept = |c: &char| !names::is_invisible(*c) || matches!(c, '\n' | '\t' | '\u{2060}');
    text.chars().filter(kept).collect()
}

fn without_blank_ends(lines: Vec<String>) -> Vec<String> {
    let is_filled = |line: &String| !line.is_empty();
    let start = lines.iter().position(is_filled).unwrap_or(lines.len());
    let end = lines.iter().rposition(is_filled).map_or(start, |at| at + 1);
    lines[start..end].to_vec()
}

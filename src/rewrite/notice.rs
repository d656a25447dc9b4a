//! The notice: what the reader of the mail is told, as text and as HTML.
//!
//! It says what was taken out, until when it can be fetched, where, and who keeps it: facts, no
//! urgency, one link, and link text that is words. File names are the only thing in it that comes
//! from the mail: they are made safe again, stand in quotes away from the start of a line, and do
//! not turn into links of their own.

use std::fmt::Write;

use jiff::Zoned;

use super::{charset::transliterate, words};
use crate::{config::Language, names};

/// How many files are named one by one; the rest is counted. With names of at most
/// [`names::DISPLAY_CHARS_MAX`] characters the notice stays under 128 KiB in any form.
pub const FILES_MAX: usize = 50;

/// The width of the text, in columns; names and the link may stand out.
const COLUMNS: usize = 72;

/// Keeps a dot from joining two words to a domain, unseen.
const WORD_JOINER: char = '\u{2060}';

/// How many characters of a name stand on one line of HTML source.
const HTML_RUN_CHARS: usize = 60;

/// Extensions that are no top-level domain, so that no client makes a link of `x.pdf`. The names
/// are left alone that need no help; one that is missing here costs an invisible character.
const NO_DOMAINS: &[&str] = &[
    "7z", "avi", "bin", "bmp", "csv", "dat", "doc", "docm", "docx", "dwg", "eml", "epub", "exe",
    "flac", "gif", "gz", "heic", "htm", "html", "ics", "iso", "jpeg", "jpg", "json", "log", "m4a",
    "mkv", "mp3", "mp4", "mpeg", "mpg", "msg", "odp", "ods", "odt", "ogg", "pdf", "png", "ppt",
    "pptx", "psd", "rar", "raw", "rtf", "svg", "tar", "tgz", "tif", "tiff", "txt", "vcf", "wav",
    "webm", "webp", "wmv", "xls", "xlsm", "xlsx", "xml", "xz",
];

/// What the notice says.
#[derive(Clone, Debug)]
pub struct Notice {
    /// In which language.
    pub language: Language,
    /// The files, in the order of the message.
    pub files: Vec<NoticeFile>,
    /// The link to the landing page.
    pub link: String,
    /// Until when the files can be fetched, in the zone in which the date is shown.
    pub expires: Zoned,
    /// Who keeps the files: the operator's name or host.
    pub operator: String,
}

/// A file in the notice.
#[derive(Clone, Debug)]
pub struct NoticeFile {
    /// Its name, made safe to show: no control or bidi characters, of bounded length.
    pub name: String,
    /// Its decoded size in bytes.
    pub bytes: u64,
}

impl Notice {
    /// The lines of the notice as text, without line ends.
    ///
    /// No line starts with `>`, `--` or `From `, none ends in a blank; names and the link apart,
    /// none is wider than 72 columns.
    pub fn text(&self) -> Vec<String> {
        self.text_for(&|_| true)
    }

    /// The notice as text of characters for which `can` is true; ASCII must be among them.
    ///
    /// What comes nearest stands for a character that is missing.
    pub fn text_for(&self, can: &dyn Fn(char) -> bool) -> Vec<String> {
        let heading = words::heading(self.language, self.files.len(), &self.expires);
        let heading = heading + words::colon(self.language);
        let files = self.listed().iter().map(|file| self.text_line(file, can));
        let more = self
            .more()
            .map(|more| format!("  {}", transliterate(&more, can)));

        let mut lines = vec![rule()];
        lines.extend(wrap(&transliterate(&heading, can)));
        lines.push(String::new());
        lines.extend(files.chain(more));
        lines.push(String::new());
        lines.push(format!("  {}", self.link));
        lines.push(String::new());
        lines.extend(wrap(&transliterate(&self.keeper(), can)));
        lines.push(rule());
        lines
    }

    /// The lines of the notice as HTML, without line ends: ASCII only, so that it suits any
    /// charset that extends ASCII; no line longer than 998 octets.
    ///
    /// Tables and inline styles, because mail clients know little else. The box has no background
    /// and the text no colour of its own, so that dark and light both work.
    pub fn html(&self) -> Vec<String> {
        let n = self.files.len();
        let mut lines = vec![TABLE_OPEN.into(), CELL_OPEN.into()];
        let heading = words::heading(self.language, n, &self.expires);
        lines.push(format!(
            "<div style=\"font-weight:bold\">{}</div>",
            escape(&heading)
        ));
        lines.push(LIST_OPEN.into());
        for file in self.listed() {
            lines.extend(self.html_row(file));
        }
        if let Some(more) = self.more() {
            lines.push(format!(
                "<tr><td colspan=\"2\" style=\"{ROW}\">{}</td></tr>",
                escape(&more)
            ));
        }
        lines.push("</table>".into());
        lines.extend(BUTTON_OPEN.iter().map(|line| (*line).into()));
        lines.push(format!("<a href=\"{}\"", escape(&self.link)));
        lines.push(format!(
            " style=\"{BUTTON}\">{}</a></td></tr></table>",
            escape(words::action(self.language, n))
        ));
        lines.push(format!(
            "<div style=\"{SMALL}\">{}</div>",
            escape(&self.keeper())
        ));
        lines.push("</td></tr></table>".into());
        lines
    }

    fn listed(&self) -> &[NoticeFile] {
        &self.files[..self.files.len().min(FILES_MAX)]
    }

    fn more(&self) -> Option<String> {
        let rest = self.files.len() - self.listed().len();
        (rest > 0).then(|| words::more(self.language, rest))
    }

    fn keeper(&self) -> String {
        let operator = self
            .operator
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        words::keeper(self.language, self.files.len(), &operator, &self.expires)
    }

    fn text_line(&self, file: &NoticeFile, can: &dyn Fn(char) -> bool) -> String {
        let (open, close) = words::quotes(self.language);
        let size = transliterate(&words::size(self.language, file.bytes), can);
        let mut name = String::new();
        // Transliteration may bring what has a meaning in names, so they are made safe after it;
        // and the ellipsis of a shortened name may be missing in turn.
        let safe = names::display(&transliterate(&names::display(&file.name), can));
        let safe = transliterate(&safe, can);
        for (i, c) in safe.char_indices() {
            if starts_domain(&safe, i) {
                name.push(if can(WORD_JOINER) { WORD_JOINER } else { ' ' });
            }
            name.push(c);
        }
        format!(
            "  {}{name}{} ({size})",
            transliterate(open, can),
            transliterate(close, can)
        )
    }

    fn html_row(&self, file: &NoticeFile) -> [String; 3] {
        [
            format!("<tr><td style=\"{ROW};{NAME}\">"),
            html_name(&names::display(&file.name)),
            format!(
                "</td><td align=\"right\" valign=\"top\" style=\"{ROW};white-space:nowrap\">{}</td></tr>",
                escape(&words::size(self.language, file.bytes))
            ),
        ]
    }
}

const TABLE_OPEN: &str = "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" \
    border=\"0\" width=\"100%\" style=\"max-width:560px;margin:18px 0;border:1px solid #8c9aa8;\
    border-radius:8px;border-collapse:separate\">";
const CELL_OPEN: &str = "<tr><td align=\"left\" style=\"padding:14px 16px;\
    font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:21px;text-align:left\">";
const LIST_OPEN: &str = "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" \
    border=\"0\" width=\"100%\" style=\"margin:8px 0 12px\">";
const BUTTON_OPEN: [&str; 2] = [
    "<table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>",
    "<td bgcolor=\"#0b6b57\" style=\"border-radius:6px;background-color:#0b6b57\">",
];
const BUTTON: &str = "display:inline-block;padding:10px 18px;border-radius:6px;\
    font-family:Arial,Helvetica,sans-serif;font-size:15px;line-height:20px;font-weight:bold;\
    color:#ffffff;text-decoration:none";
const ROW: &str = "padding:4px 0;font-family:Arial,Helvetica,sans-serif;font-size:15px;\
    line-height:20px";
const NAME: &str = "padding-right:16px;word-break:break-word;overflow-wrap:anywhere";
const SMALL: &str = "margin-top:12px;font-size:13px;line-height:18px;opacity:.8";

/// The line above and below the text. It must not start with `--`, with which a boundary could
/// agree, and be no signature's delimiter.
fn rule() -> String {
    ["-"; COLUMNS.div_ceil(2)].join(" ")
}

/// Breaks at blanks, at most [`COLUMNS`] wide where words allow it.
fn wrap(text: &str) -> Vec<String> {
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
    lines.into_iter().map(unsuspicious).collect()
}

/// Indents a line whose start would mean something to mail software.
fn unsuspicious(line: String) -> String {
    let suspicious = [">", "--", "."].iter().any(|start| line.starts_with(start));
    if suspicious || line == "From" || line.starts_with("From ") {
        format!(" {line}")
    } else {
        line
    }
}

/// True if the dot at `dot` could make a client see a domain: `evil.zip`, `www.x`, `a.com (1)`.
fn starts_domain(name: &str, dot: usize) -> bool {
    let (before, after) = name.split_at(dot);
    let Some(after) = after.strip_prefix('.') else {
        return false;
    };
    let label = after
        .split(|c: char| !c.is_alphanumeric() && c != '-')
        .next()
        .unwrap_or_default();
    before.ends_with(|c: char| c.is_alphanumeric() || c == '-')
        && label.chars().nth(1).is_some()
        && label.chars().any(char::is_alphabetic)
        && !NO_DOMAINS.contains(&&*label.to_ascii_lowercase())
        || before.to_ascii_lowercase().ends_with("www")
}

/// A name as HTML in runs of bounded length, with its dots in elements of their own where they
/// could make a domain: clients look for links in one run of text.
fn html_name(name: &str) -> String {
    let mut html = String::new();
    for (count, (i, c)) in name.char_indices().enumerate() {
        if count > 0 && count % HTML_RUN_CHARS == 0 {
            // A line break inside a tag is not content.
            html.push_str("<span\n></span>");
        }
        match c {
            '.' if starts_domain(name, i) => html.push_str("<span>.</span>"),
            c => push_escaped(&mut html, c),
        }
    }
    html
}

fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push_escaped(&mut html, c));
    html
}

/// Everything but printable ASCII without a meaning in HTML goes as a character reference.
fn push_escaped(html: &mut String, c: char) {
    match c {
        '&' | '<' | '>' | '"' | '\'' | '`' => write!(html, "&#{};", u32::from(c)),
        ' '..='~' => write!(html, "{c}"),
        c => write!(html, "&#{};", u32::from(c)),
    }
    .expect("writing to a string does not fail");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A notice over files of these names.
    pub(crate) fn notice(language: Language, files: &[&str]) -> Notice {
        Notice {
            language,
            files: files
                .iter()
                .zip(1..)
                .map(|(name, i)| NoticeFile {
                    name: (*name).into(),
                    bytes: 9_400_000 * i,
                })
                .collect(),
            link: "https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA".into(),
            expires: "2026-12-22T18:02:00+01:00[Europe/Paris]".parse().unwrap(),
            operator: "asso.example".into(),
        }
    }

    #[test]
    fn the_text_reads_well() {
        let text = notice(Language::Fr, &["Compte rendu.pdf", "photos.jpg"])
            .text()
            .join("\n");
        assert_eq!(
            text.replace('\u{a0}', "~"),
            "- - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -\n\
             2 fichiers joints, à télécharger jusqu’au 22 décembre 2026~:\n\
             \n  \
             «~Compte rendu.pdf~» (9,4~Mo)\n  \
             «~photos.jpg~» (18,8~Mo)\n\
             \n  \
             https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA\n\
             \n\
             Pour alléger ce message, asso.example les garde, chiffrés, jusqu’au 22\n\
             décembre 2026 à 18~h~02 (CET).\n\
             - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - - -"
        );
        let text = notice(Language::En, &["report.pdf"]).text().join("\n");
        assert!(text.is_ascii());
        assert!(text.contains("\n1 attached file, to download until 22 December 2026:\n"));
        assert!(text.contains("\n  \"report.pdf\" (9.4 MB)\n"));
    }

    #[test]
    fn a_charset_without_the_letters_gets_the_nearest() {
        let text = notice(Language::Fr, &["Été … ☃.pdf", "日本.zip"]).text_for(&|c| c.is_ascii());
        let text = text.join("\n");
        assert!(text.is_ascii(), "{text}");
        assert!(text.contains("jusqu'au 22 decembre 2026 :"), "{text}");
        assert!(text.contains("  \"Ete ... "), "{text}");
        assert!(text.contains(" .zip\" (18,8 Mo)"), "{text}");
    }

    #[test]
    fn no_line_means_anything_to_mail_software() {
        let mut hostile = notice(
            Language::En,
            &["-- ", "> From ", "From x.pdf", "a.com/b", "."],
        );
        hostile.operator = format!("{} From x > -- . {}", "a".repeat(40), "b".repeat(80));
        for line in hostile.text() {
            assert!(!line.starts_with('>') && !line.starts_with("From ") && line != "From");
            assert!(!line.starts_with("--") && !line.ends_with(' ') && !line.starts_with('.'));
        }
    }

    #[test]
    fn names_do_not_turn_into_links() {
        for (name, shown) in [
            ("photos.zip", "photos~.zip"),
            ("x.pdf", "x.pdf"),
            ("www.evil.com", "www~.evil~.com"),
            ("evil.com (1).pdf", "evil~.com (1).pdf"),
            ("v1.2.tar.gz", "v1.2.tar.gz"),
            ("été.рф", "été~.рф"),
            ("a. b", "a. b"),
        ] {
            let text = notice(Language::En, &[name]).text().join("\n");
            assert!(
                text.replace(WORD_JOINER, "~")
                    .contains(&format!("\"{shown}\"")),
                "{text}"
            );
            let html = notice(Language::En, &[name]).html().join("\n");
            let spans = shown.matches('~').count();
            assert_eq!(html.matches("<span>.</span>").count(), spans, "{html}");
        }
    }

    #[test]
    fn long_lists_are_counted() {
        let many = vec!["x.pdf"; FILES_MAX + 37];
        assert!(
            notice(Language::En, &many)
                .text()
                .contains(&"  and 37 more files".into())
        );
        assert!(
            notice(Language::Fr, &many)
                .html()
                .join("")
                .contains("et 37 autres fichiers")
        );
        let many = &many[..FILES_MAX];
        assert!(
            !notice(Language::En, many)
                .text()
                .iter()
                .any(|line| line.contains("more"))
        );
    }

    #[test]
    fn the_html_is_ascii_with_short_lines_and_one_link() {
        let long = "<\"&'>日本語.com".repeat(40);
        let html = notice(Language::Fr, &vec![&*long; 100]).html().join("\n");
        assert!(html.is_ascii() && html.len() < 128 * 1024, "{}", html.len());
        assert!(html.lines().all(|line| line.len() <= 900));
        assert_eq!(html.matches("<a ").count(), 1);
        assert_eq!(
            html.matches("<table").count(),
            html.matches("</table>").count()
        );
    }
}

//! The notice that the reader of a mail is given, as text and as HTML.
//!
//! It says what was taken out, until when it can be fetched, where, and who keeps it: facts, no
//! urgency, one link, and link text that is words. File names are the only thing in it that comes
//! from the mail: they are made safe again, stand in quotes away from the start of a line, keep
//! their direction of writing to themselves, and do not turn into links of their own.

mod domain;
mod html;
mod template;
mod text;

use std::sync::Arc;

use jiff::Zoned;

pub use self::template::{TEMPLATES, TemplateError, Templates};
pub(crate) use self::text::Setting;
use crate::{
    l10n::{Language, sentences},
    names,
};

/// Maximum number of files that are named one by one; the rest is counted, and all are on the page. With
/// names of at most [`crate::names::DISPLAY_CHARS_MAX`] characters the notice stays under 64 KiB in any form.
pub const FILES_MAX: usize = 20;

/// The content of a notice.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its language.
    pub language: Language,
    /// Another language in which it says the same, for mail in neither: then it is always the built-in one.
    pub also: Option<Language>,
    /// The files, in the order of the message.
    pub files: Vec<NoticeFile>,
    /// The link to the landing page.
    pub link: String,
    /// The moment until which the files can be fetched, in the zone in which the date is shown.
    pub expires: Zoned,
    /// The keeper of the files: the operator's name or host.
    pub operator: String,
    /// True if the keeper cannot read the files.
    pub is_encrypted: bool,
    /// The admin's templates, if there are any.
    pub own: Option<Own>,
}

/// The admin's templates, and the facts that only they mention.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The templates; none while one is being tried.
    pub templates: Option<Arc<Templates>>,
    /// The word for the direction of the message, which templates compare: `incoming` or `outgoing`.
    pub direction: &'static str,
    /// The contact for questions: an address or a URL.
    pub contact: Option<String>,
    /// The sender of the message, as far as it may be named: an address or a domain.
    pub sender: Option<String>,
}

/// A file in the notice.
#[derive(Clone, Debug)]
pub struct NoticeFile {
    /// Its name, made safe to show: no control or bidi characters, of bounded length.
    pub name: String,
    /// Its decoded size in bytes.
    pub bytes: u64,
}

/// Returns the line that takes the place of a file shown between two texts.
pub(crate) fn place_text(name: &str, setting: &Setting<'_>) -> String {
    format!("[{}]", text::shown(&unbracketed(name), setting))
}

/// Returns the same line in HTML.
pub(crate) fn place_html(name: &str) -> String {
    let name = names::display(&unbracketed(name));
    format!("[<span dir=\"ltr\">{}</span>]<br>", html::html_name(&name))
}

fn unbracketed(name: &str) -> String {
    name.replace('[', "(").replace(']', ")")
}

impl Notice {
    /// Returns the lines of the notice as text, without line ends.
    ///
    /// No line starts with `>`, `--` or `From `, none ends in a blank; names and the link apart,
    /// none is wider than 68 columns.
    pub fn text(&self) -> Vec<String> {
        self.text_in(&Setting {
            can: &|_| true,
            is_flowed: false,
        })
    }

    /// Returns the notice as text that fits in with the author's. Characters that are missing there
    /// are replaced by what comes nearest.
    pub(crate) fn text_in(&self, setting: &Setting<'_>) -> Vec<String> {
        let own = self.templates().and_then(|own| own.text(self, setting));
        own.and_then(Result::ok)
            .unwrap_or_else(|| text::lines(self, setting))
    }

    /// Returns the lines of the notice as HTML, without line ends: ASCII only, so that it suits any
    /// charset that extends ASCII; no line longer than 998 octets.
    pub fn html(&self) -> Vec<String> {
        let own = self.templates().and_then(|own| own.html(self));
        own.and_then(Result::ok)
            .unwrap_or_else(|| html::lines(self))
    }

    /// Tries the admin's templates, for the log: where one fails, the built-in notice stands in.
    ///
    /// # Errors
    /// A template fails, though it did not when it was rehearsed.
    pub fn rehearse(&self) -> Result<(), TemplateError> {
        let Some(own) = self.templates() else {
            return Ok(());
        };
        let setting = Setting {
            can: &|_| true,
            is_flowed: false,
        };
        own.text(self, &setting).transpose()?;
        own.html(self).transpose()?;
        Ok(())
    }

    /// Returns the admin's templates, unless the notice is in two languages: each template is in one.
    fn templates(&self) -> Option<&Templates> {
        if self.also.is_some() {
            return None;
        }
        self.own.as_ref()?.templates.as_deref()
    }

    fn listed(&self) -> &[NoticeFile] {
        &self.files[..self.files.len().min(FILES_MAX)]
    }

    /// Returns the languages of the notice, in their order.
    fn languages(&self) -> impl Iterator<Item = Language> + Clone {
        [Some(self.language), self.also].into_iter().flatten()
    }

    fn count(&self, language: Language) -> String {
        sentences::count(language, &sizes(&self.files))
    }

    fn until(&self, language: Language) -> String {
        sentences::until(language, &self.expires)
    }

    fn more(&self, language: Language) -> Option<String> {
        let rest = &self.files[self.listed().len()..];
        (!rest.is_empty()).then(|| sentences::more(language, &sizes(rest)))
    }

    fn keeper(&self, language: Language) -> String {
        let operator = self.operator_line();
        sentences::keeper(language, self.files.len(), (&operator, self.is_encrypted))
    }

    /// Returns the host of the link, without scheme and path, as it was written: a URL parser would put
    /// it into lower case, and it stands beside the link.
    fn host(&self) -> &str {
        let rest = self
            .link
            .split_once("://")
            .map_or(&*self.link, |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }

    fn operator_line(&self) -> String {
        let words: Vec<_> = self.operator.split_whitespace().collect();
        words.join(" ")
    }
}

fn sizes(files: &[NoticeFile]) -> Vec<u64> {
    files.iter().map(|file| file.bytes).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const WORD_JOINER: char = '\u{2060}';

    /// Makes a notice over files of these names.
    pub(crate) fn notice(language: Language, files: &[&str]) -> Notice {
        Notice {
            language,
            also: None,
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
            is_encrypted: true,
            own: None,
        }
    }

    #[test]
    fn the_text_reads_well() {
        let text = notice(Language::Fr, &["Compte rendu.pdf", "photos.jpg"])
            .text()
            .join("\n");
        assert_eq!(
            text.replace('\u{a0}', "~"),
            "- - - - - - - - - - - - - - - - - - - -\n\
             2 fichiers joints (28,2~Mo),\n\
             à télécharger jusqu’au 22~décembre~2026 à 18~h~02 (heure~de~Paris)~:\n\
             \n  \
             «~Compte rendu.pdf~» (9,4~Mo)\n  \
             «~photos.jpg~» (18,8~Mo)\n\
             \n\
             https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA\n\
             \n\
             Pour alléger ce message, asso.example conserve ces fichiers,\n\
             chiffrés, jusqu’à cette date.\n\
             - - - - - - - - - - - - - - - - - - - -"
        );

        let text = notice(Language::En, &["report.pdf"]).text().join("\n");
        assert!(text.is_ascii());
        assert!(text.contains(
            "\n1 attached file,\nto download until 22 December 2026 at 18:02 (Paris time):\n"
        ));
        assert!(text.contains("\n  \"report.pdf\" (9.4 MB)\n"));
    }

    #[test]
    fn mail_in_neither_language_gets_both_with_one_link() {
        let mut both = notice(Language::Fr, &["x.pdf"; FILES_MAX + 1]);
        both.also = Some(Language::En);
        let text = both.text().join("\n").replace('\u{a0}', " ");
        for said in [
            "\nà télécharger jusqu’au 22 décembre 2026 à 18 h 02 (heure de Paris) :\n\n\
             21 attached files (2.2 GB),\nto download until 22 December 2026 at 18:02 (Paris time):\n\n  « x.pdf »",
            "\n  et 1 autre fichier (197 Mo)\n  and 1 more file (197 MB)\n\nhttps://",
            "chiffrés, jusqu’à cette date.\n\nTo keep this message light, asso.example stores them, encrypted,\n",
        ] {
            assert!(text.contains(said), "{text}");
        }
        assert_eq!(text.matches("https://").count(), 1, "{text}");

        let html = both.html().join("\n");
        assert!(html.starts_with("<table lang=\"fr\""), "{html}");
        for said in [
            "<div lang=\"en\" style=\"margin-top:6px\"><b>21 attached files",
            ">Voir et t&#233;l&#233;charger / View and download</a>",
            "<div lang=\"en\" style=\"margin-top:12px;font-size:13px;line-height:18px;opacity:.8\">To keep",
            "<td lang=\"en\" colspan=\"2\"",
        ] {
            assert!(html.contains(said), "{said}: {html}");
        }
        assert_eq!(html.matches("<a ").count(), 1, "{html}");
    }

    #[test]
    fn a_charset_without_the_letters_gets_the_nearest() {
        let text = notice(Language::Fr, &["Été … ☃.pdf", "日本.zip"]).text_in(&Setting {
            can: &|c| c.is_ascii(),
            is_flowed: false,
        });
        let text = text.join("\n");
        assert!(text.is_ascii(), "{text}");
        assert!(
            text.contains("jusqu'au 22 decembre 2026 a 18 h 02"),
            "{text}"
        );
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
            // The host's dot is one of them.
            let spans = shown.matches('~').count() + 1;
            assert_eq!(html.matches("<span>.</span>").count(), spans, "{html}");
        }
    }

    #[test]
    fn long_lists_are_counted() {
        let many = vec!["x.pdf"; FILES_MAX + 37];
        assert!(
            notice(Language::En, &many)
                .text()
                .contains(&"  and 37 more files (13.6 GB)".into())
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
        // A sanitizer of list archives drops a link whose tag goes over two lines.
        let opened: Vec<_> = html.lines().filter(|line| line.contains("<a ")).collect();
        assert!(
            opened.len() == 1 && opened[0].contains(">Voir"),
            "{opened:?}"
        );
        assert_eq!(
            html.matches("<table").count(),
            html.matches("</table>").count()
        );
    }

    #[test]
    fn names_keep_their_direction_to_themselves() {
        let names = ["تقرير.pdf", "a\u{202e}fdp.exe", "דוח 2026", "b.pdf"];
        let notice = notice(Language::En, &names);
        let text = notice.text().join("\n");
        for line in [
            "(9.4 MB) \"تقرير.pdf\"",
            "(28.2 MB) \"דוח 2026\"",
            "\"b.pdf\" (37.6 MB)",
        ] {
            assert!(text.contains(&format!("\n  {line}\n")), "{text}");
        }
        let is_control = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}');
        assert!(!text.contains(is_control), "{text}");
        let html = notice.html().join("\n");
        assert_eq!(html.matches("<td dir=\"ltr\"").count(), names.len());
        assert!(html.starts_with("<table lang=\"en\" role=\"presentation\" dir=\"ltr\""));
        assert!(!html.contains("&#8238;"), "{html}");
    }

    #[test]
    fn flowed_lines_are_stuffed_and_none_flows() {
        let notice = notice(Language::Fr, &["a.pdf"]);
        let setting = Setting {
            can: &|_| true,
            is_flowed: true,
        };
        for (flowed, fixed) in notice.text_in(&setting).iter().zip(notice.text()) {
            assert!(!flowed.ends_with(' ') && !flowed.starts_with('>'));
            let unstuffed = flowed.strip_prefix(' ').unwrap_or(flowed);
            assert_eq!(unstuffed, fixed);
        }
    }
}

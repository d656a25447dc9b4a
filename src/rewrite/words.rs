//! The sentences of the notice, in each language. French has its typography: guillemets, no-break
//! spaces before high punctuation and units, the apostrophe.

use jiff::Zoned;

use crate::{
    config::Language,
    words::{date, moment, size, zone},
};

/// What, how many, how much, until which day; without final punctuation.
///
/// `sizes` are those of all files, in bytes.
pub(super) fn heading(language: Language, sizes: &[u64], expires: &Zoned) -> String {
    let day = date(expires.date(), language);
    let total = size(sum(sizes), language);
    match (language, sizes.len()) {
        (Language::En, 1) => format!("1 attached file, to download until {day}"),
        (Language::En, n) => format!("{n} attached files ({total}), to download until {day}"),
        (Language::Fr, 1) => format!("1 fichier joint, à télécharger jusqu’au {day}"),
        (Language::Fr, n) => format!("{n} fichiers joints ({total}), à télécharger jusqu’au {day}"),
    }
}

/// The colon that ends the heading, as the language sets it.
pub(super) fn colon(language: Language) -> &'static str {
    match language {
        Language::En => ":",
        Language::Fr => "\u{a0}:",
    }
}

/// How many files are not named, and how large they are together; `sizes` are theirs, in bytes.
pub(super) fn more(language: Language, sizes: &[u64]) -> String {
    let total = size(sum(sizes), language);
    match (language, sizes.len()) {
        (Language::En, 1) => format!("and 1 more file ({total})"),
        (Language::En, n) => format!("and {n} more files ({total})"),
        (Language::Fr, 1) => format!("et 1 autre fichier ({total})"),
        (Language::Fr, n) => format!("et {n} autres fichiers ({total})"),
    }
}

/// Who keeps the files, why, and until which minute.
pub(super) fn keeper(language: Language, files: usize, operator: &str, expires: &Zoned) -> String {
    let until = format!(
        "{} ({})",
        moment(expires, language),
        zone(expires, language)
    );
    match (language, files) {
        (Language::En, 1) => {
            format!("To keep this message light, {operator} stores it, encrypted, until {until}.")
        }
        (Language::En, _) => {
            format!("To keep this message light, {operator} stores them, encrypted, until {until}.")
        }
        (Language::Fr, 1) => {
            format!("Pour alléger ce message, {operator} le garde, chiffré, jusqu’au {until}.")
        }
        (Language::Fr, _) => {
            format!("Pour alléger ce message, {operator} les garde, chiffrés, jusqu’au {until}.")
        }
    }
}

/// The text of the link.
pub(super) fn action(language: Language, files: usize) -> &'static str {
    match (language, files) {
        (Language::En, 1) => "View and download the file",
        (Language::En, _) => "View and download the files",
        (Language::Fr, 1) => "Voir et télécharger le fichier",
        (Language::Fr, _) => "Voir et télécharger les fichiers",
    }
}

/// The quotation marks around a name.
pub(super) fn quotes(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::En => ("\"", "\""),
        Language::Fr => ("«\u{a0}", "\u{a0}»"),
    }
}

fn sum(sizes: &[u64]) -> u64 {
    sizes.iter().fold(0, |sum, size| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_agree_with_the_number_of_files() {
        let at: Zoned = "2027-01-01T08:05:00+01:00[Europe/Paris]".parse().unwrap();
        for (language, sizes, heading_is, keeper_is) in [
            (
                Language::En,
                &[9_400_000][..],
                "1 attached file, to download until 1 January 2027",
                "To keep this message light, asso.example stores it, encrypted, until 1 January \
                 2027 at 08:05 (Paris time).",
            ),
            (
                Language::Fr,
                &[9_400_000, 600_000],
                "2 fichiers joints (10 Mo), à télécharger jusqu’au 1er janvier 2027",
                "Pour alléger ce message, asso.example les garde, chiffrés, jusqu’au 1er janvier \
                 2027 à 8 h 05 (heure de Paris).",
            ),
        ] {
            let plain = |text: String| text.replace('\u{a0}', " ");
            assert_eq!(plain(heading(language, sizes, &at)), heading_is);
            let keeper = keeper(language, sizes.len(), "asso.example", &at);
            assert_eq!(plain(keeper), keeper_is);
        }
        let more = more(Language::En, &[u64::MAX, 5]).replace('\u{a0}', " ");
        assert_eq!(more, "and 2 more files (18.4 EB)");
    }
}

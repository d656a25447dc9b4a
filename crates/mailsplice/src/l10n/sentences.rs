//! The sentences of the notice, in each language. French has its typography: guillemets, no-break
//! spaces before high punctuation and units, the apostrophe.

use jiff::Zoned;

use super::{
    Language,
    units::{moment, size, zone},
};

/// Returns the tag of a language (RFC 5646).
pub(crate) fn tag(language: Language) -> &'static str {
    match language {
        Language::En => "en",
        Language::Fr => "fr",
    }
}

/// States the number of files and, of several, their total size; `sizes` are theirs, in bytes.
pub(crate) fn count(language: Language, sizes: &[u64]) -> String {
    let total = size(sum(sizes), language);
    match (language, sizes.len()) {
        (Language::En, 1) => "1 attached file".into(),
        (Language::En, n) => format!("{n} attached files ({total})"),
        (Language::Fr, 1) => "1 fichier joint".into(),
        (Language::Fr, n) => format!("{n} fichiers joints ({total})"),
    }
}

/// Says to download them until a moment, to the minute; neither starts nor ends a sentence.
pub(crate) fn until(language: Language, expires: &Zoned) -> String {
    let moment = moment(expires, language);
    let zone = zone(expires, language).replace(' ', "\u{a0}");
    match language {
        Language::En => format!("to download until {moment} ({zone})"),
        Language::Fr => format!("à télécharger jusqu’au {moment} ({zone})"),
    }
}

/// Returns the colon that ends the first sentence, as the language sets it.
pub(crate) fn colon(language: Language) -> &'static str {
    match language {
        Language::En => ":",
        Language::Fr => "\u{a0}:",
    }
}

/// States the number of files that are not named, and their total size; `sizes` are theirs, in bytes.
pub(crate) fn more(language: Language, sizes: &[u64]) -> String {
    let total = size(sum(sizes), language);
    match (language, sizes.len()) {
        (Language::En, 1) => format!("and 1 more file ({total})"),
        (Language::En, n) => format!("and {n} more files ({total})"),
        (Language::Fr, 1) => format!("et 1 autre fichier ({total})"),
        (Language::Fr, n) => format!("et {n} autres fichiers ({total})"),
    }
}

/// Says that the operator keeps the files, encrypted or not, and why.
pub(crate) fn keeper(
    language: Language,
    files: usize,
    (operator, is_encrypted): (&str, bool),
) -> String {
    let (them, encrypted) = match (language, files) {
        (Language::En, 1) => ("it", ", encrypted,"),
        (Language::En, _) => ("them", ", encrypted,"),
        (Language::Fr, 1) => ("ce fichier", ", chiffré,"),
        (Language::Fr, _) => ("ces fichiers", ", chiffrés,"),
    };
    let encrypted = if is_encrypted { encrypted } else { "" };
    match language {
        Language::En => {
            format!(
                "To keep this message light, {operator} stores {them}{encrypted} until that date."
            )
        }
        Language::Fr => {
            format!(
                "Pour alléger ce message, {operator} conserve {them}{encrypted} jusqu’à cette date."
            )
        }
    }
}

/// Returns the text of the link: short enough for one line of a phone.
pub(crate) fn action(language: Language) -> &'static str {
    match language {
        Language::En => "View and download",
        Language::Fr => "Voir et télécharger",
    }
}

/// Returns the name of an attached text that says what the notice says.
pub(crate) fn part_name(language: Language) -> &'static str {
    match language {
        Language::En => "attached-files.txt",
        Language::Fr => "fichiers-joints.txt",
    }
}

/// Returns the quotation marks around a name.
pub(crate) fn quotes(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::En => ("\"", "\""),
        Language::Fr => ("«\u{a0}", "\u{a0}»"),
    }
}

/// Adds up all sizes.
pub(crate) fn sum(sizes: &[u64]) -> u64 {
    sizes.iter().fold(0, |sum, size| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentences_agree_with_the_number_of_files() {
        let at: Zoned = "2027-01-01T08:05:00+01:00[Europe/Paris]".parse().unwrap();
        for (language, sizes, first, second) in [
            (
                Language::En,
                &[9_400_000][..],
                "1 attached file, to download until 1 January 2027 at 08:05 (Paris time)",
                "To keep this message light, asso.example stores it, encrypted, until that date.",
            ),
            (
                Language::Fr,
                &[9_400_000, 600_000],
                "2 fichiers joints (10 Mo), à télécharger jusqu’au 1er janvier 2027 à 8 h 05 \
                 (heure de Paris)",
                "Pour alléger ce message, asso.example conserve ces fichiers, chiffrés, jusqu’à cette date.",
            ),
        ] {
            let said = format!("{}, {}", count(language, sizes), until(language, &at));
            assert_eq!(said.replace('\u{a0}', " "), first);
            let keeper =
                |is_encrypted| keeper(language, sizes.len(), ("asso.example", is_encrypted));
            assert_eq!(keeper(true), second);
            assert!(
                !["ncrypted", "hiffré"]
                    .iter()
                    .any(|word| keeper(false).contains(word))
            );
        }
        let more = more(Language::En, &[u64::MAX, 5]).replace('\u{a0}', " ");
        assert_eq!(more, "and 2 more files (18.4 EB)");
    }
}

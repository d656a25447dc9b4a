//! The words of the notice, in each language. Pure ASCII in English; French has its typography:
//! guillemets, no-break spaces before high punctuation and units, the apostrophe.

use jiff::{Zoned, civil::Date};

use crate::{config::Language, months::month};

/// Units of size, powers of 1000 (IEC 80000-13), without the letter of the byte.
const PREFIXES: [&str; 5] = ["k", "M", "G", "T", "P"];

/// What, how many, until which day; without final punctuation.
pub(super) fn heading(language: Language, files: usize, expires: &Zoned) -> String {
    let day = day(language, expires.date());
    match (language, files) {
        (Language::En, 1) => format!("1 attached file, to download until {day}"),
        (Language::En, n) => format!("{n} attached files, to download until {day}"),
        (Language::Fr, 1) => format!("1 fichier joint, à télécharger jusqu’au {day}"),
        (Language::Fr, n) => format!("{n} fichiers joints, à télécharger jusqu’au {day}"),
    }
}

/// The colon that ends the heading, as the language sets it.
pub(super) fn colon(language: Language) -> &'static str {
    match language {
        Language::En => ":",
        Language::Fr => "\u{a0}:",
    }
}

/// How many files are not named.
pub(super) fn more(language: Language, files: usize) -> String {
    match (language, files) {
        (Language::En, 1) => "and 1 more file".into(),
        (Language::En, n) => format!("and {n} more files"),
        (Language::Fr, 1) => "et 1 autre fichier".into(),
        (Language::Fr, n) => format!("et {n} autres fichiers"),
    }
}

/// Who keeps the files, why, and until which minute.
pub(super) fn keeper(language: Language, files: usize, operator: &str, expires: &Zoned) -> String {
    let until = moment(language, expires);
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

/// A size for people: `9.4 MB`, `9,4 Mo`; decimal units, at most one decimal.
pub(super) fn size(language: Language, bytes: u64) -> String {
    let (point, unit, space) = match language {
        Language::En => (".", "B", " "),
        Language::Fr => (",", "o", "\u{a0}"),
    };
    if bytes < 1000 {
        let word = match (language, bytes) {
            (Language::En, 1) => "byte",
            (Language::En, _) => "bytes",
            (Language::Fr, 0 | 1) => "octet",
            (Language::Fr, _) => "octets",
        };
        return format!("{bytes}{space}{word}");
    }
    let (tenths, prefix) = scale(bytes);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole}{space}{prefix}{unit}"),
        (whole, tenth) => format!("{whole}{point}{tenth}{space}{prefix}{unit}"),
    }
}

/// Tenths of the largest unit of which there is at least one after rounding.
fn scale(bytes: u64) -> (u64, &'static str) {
    let mut unit = 1000_u64;
    for prefix in PREFIXES {
        let tenths =
            u64::try_from((u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit))
                .unwrap_or(u64::MAX);
        if tenths < 10_000 {
            return (tenths, prefix);
        }
        unit *= 1000;
    }
    (bytes / (unit / 10_000), PREFIXES[PREFIXES.len() - 1])
}

/// A day as it is written out: `22 décembre 2026`.
fn day(language: Language, date: Date) -> String {
    let month = month(language, date);
    match (language, date.day()) {
        (Language::En, day) => format!("{day} {} {}", month, date.year()),
        (Language::Fr, 1) => format!("1er {} {}", month, date.year()),
        (Language::Fr, day) => format!("{day} {} {}", month, date.year()),
    }
}

/// A minute as it is written out, with its zone: `22 décembre 2026 à 18 h 02 (CET)`.
fn moment(language: Language, at: &Zoned) -> String {
    let day = day(language, at.date());
    let zone = at.strftime("%Z");
    match language {
        Language::En => format!("{day} at {:02}:{:02} ({zone})", at.hour(), at.minute()),
        Language::Fr => {
            format!(
                "{day} à {}\u{a0}h\u{a0}{:02} ({zone})",
                at.hour(),
                at.minute()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, en, fr) in [
            (0, "0 bytes", "0 octet"),
            (1, "1 byte", "1 octet"),
            (512, "512 bytes", "512 octets"),
            (999, "999 bytes", "999 octets"),
            (1_000, "1 kB", "1 ko"),
            (1_049, "1 kB", "1 ko"),
            (1_050, "1.1 kB", "1,1 ko"),
            (9_400_000, "9.4 MB", "9,4 Mo"),
            (24_750_000, "24.8 MB", "24,8 Mo"),
            (123_456_789, "123.5 MB", "123,5 Mo"),
            (999_940, "999.9 kB", "999,9 ko"),
            (999_950, "1 MB", "1 Mo"),
            (1_500_000_000, "1.5 GB", "1,5 Go"),
            (u64::MAX, "18446.7 PB", "18446,7 Po"),
        ] {
            assert_eq!(size(Language::En, bytes), en);
            assert_eq!(size(Language::Fr, bytes).replace('\u{a0}', " "), fr);
        }
    }

    #[test]
    fn the_date_is_exact_and_in_its_zone() {
        let at: Zoned = "2027-01-01T08:05:00+01:00[Europe/Paris]".parse().unwrap();
        assert_eq!(moment(Language::En, &at), "1 January 2027 at 08:05 (CET)");
        assert_eq!(
            moment(Language::Fr, &at).replace('\u{a0}', " "),
            "1er janvier 2027 à 8 h 05 (CET)"
        );
    }
}

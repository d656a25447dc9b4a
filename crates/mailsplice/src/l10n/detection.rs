//! The language of a message, for its notice: the one that its header declares, else the one that
//! its text shows. Pure.

use whatlang::{Detector, Lang};

use super::Language;
use crate::mime::Field;

/// Number of bytes of a text that are looked at: more makes no guess better.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Minimum confidence with which one of our languages is told from the other.
const CONFIDENCE_MIN: f64 = 0.5;

/// Languages that a text in Latin letters may be in. Without those that are not ours, every text in
/// one of them would be taken for one of ours.
const NEAR: [Lang; 8] = [
    Lang::Fra,
    Lang::Eng,
    Lang::Cat,
    Lang::Deu,
    Lang::Ita,
    Lang::Nld,
    Lang::Por,
    Lang::Spa,
];

/// The language that a message declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declared {
    /// Nothing.
    Nothing,
    /// It is in one of ours.
    One(Language),
    /// It is in another.
    Other,
}

/// Reads `Content-Language` (RFC 3282): a list of tags with comments, of which the first that is
/// ours counts.
pub fn declared(header: &[Field]) -> Declared {
    let is_ours = |field: &&Field| field.name.eq_ignore_ascii_case(b"content-language");
    let Some(field) = header.iter().find(is_ours) else {
        return Declared::Nothing;
    };

    let value = String::from_utf8_lossy(&field.value);
    let value = without_comments(&value);
    let mut tags = value
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .peekable();

    if tags.peek().is_none() {
        return Declared::Nothing;
    }
    tags.find_map(of_tag).map_or(Declared::Other, Declared::One)
}

/// Returns the language of a tag (RFC 5646): `fr`, `fr-CA`.
fn of_tag(tag: &str) -> Option<Language> {
    let primary = tag.split('-').next().unwrap_or_default();
    match primary.to_ascii_lowercase().as_str() {
        "fr" | "fra" | "fre" => Some(Language::Fr),
        "en" | "eng" => Some(Language::En),
        _ => None,
    }
}

fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    value.chars().filter(outside).collect()
}

/// Returns the language that a text shows; `None` if it is too short to tell, or in another.
pub fn detect(text: &str) -> Option<Language> {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rfind(|&at| text.is_char_boundary(at));
    let text = &text[..end.unwrap_or_default()];
    let between = |languages: Vec<Lang>| Detector::with_allowlist(languages).detect(text);

    let ours = between(vec![Lang::Fra, Lang::Eng])?;
    let nearest = between(NEAR.to_vec())?;
    if ours.confidence() < CONFIDENCE_MIN || nearest.lang() != ours.lang() {
        return None;
    }

    match ours.lang() {
        Lang::Fra => Some(Language::Fr),
        Lang::Eng => Some(Language::En),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_tag_that_is_ours_counts() {
        for (value, expected) in [
            (" fr", Declared::One(Language::Fr)),
            (" en-US", Declared::One(Language::En)),
            (" de, FR-ca, en", Declared::One(Language::Fr)),
            (" (en) fr (x (y) z)", Declared::One(Language::Fr)),
            (" de", Declared::Other),
            (" frr", Declared::Other),
            (" ", Declared::Nothing),
            (" (fr", Declared::Nothing),
            (" , ,", Declared::Nothing),
        ] {
            let field = Field {
                name: b"content-LANGUAGE".to_vec(),
                value: value.into(),
            };
            assert_eq!(declared(&[field]), expected, "{value}");
        }
        assert_eq!(declared(&[]), Declared::Nothing);
    }

    #[test]
    fn mails_show_their_language_from_a_few_words_on() {
        let fr = Some(Language::Fr);
        let en = Some(Language::En);
        for (text, expected) in [
            ("Bonjour, voici le dossier.", fr),
            ("Bonjour,\nci-joint le compte rendu.\nCordialement", fr),
            ("Voilà les photos", fr),
            ("cf. pièce jointe", fr),
            (
                "Madame, Monsieur, veuillez trouver ci-joint notre devis.",
                fr,
            ),
            ("Hello,\nplease find attached the report.\nBest regards", en),
            ("Here are the photos", en),
            ("Please see the attached file", en),
            (
                "Dear all,\nhere are the minutes of the general meeting.",
                en,
            ),
            ("", None),
            ("PJ", None),
            ("Merci !", None),
            ("budget 2026", None),
            ("IMG_0001.jpg", None),
            (
                "Sehr geehrte Damen und Herren, anbei finden Sie die Rechnung.",
                None,
            ),
            ("Hola, adjunto las fotos de la fiesta. Un saludo", None),
            ("Ciao, ti mando le foto della festa", None),
            ("Hallo, hier de foto's van het feest", None),
            ("Привет, вот фотографии с праздника", None),
            ("こんにちは、写真を送ります。", None),
        ] {
            assert_eq!(detect(text), expected, "{text}");
        }
    }

    #[test]
    fn the_start_of_a_long_text_tells() {
        let text = format!(
            "{}{}",
            "é".repeat(3),
            "Voici les photos de la fête. ".repeat(9999)
        );
        assert_eq!(detect(&text), Some(Language::Fr));
    }
}

//! `--language`

use mailsplice::l10n::Language;

/// The language of a word on the command line.
///
/// # Errors
/// It is none of ours.
pub(super) fn language(name: &str) -> Result<Language, String> {
    match name {
        "fr" => Ok(Language::Fr),
        "en" => Ok(Language::En),
        _ => Err("fr or en".into()),
    }
}

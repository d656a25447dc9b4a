//! The language in which a reader wants a page.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};
use mailsplice::l10n::Language;

use super::Site;

/// The language of the answer: the one in `?lang=`, else the one that `Accept-Language` prefers,
/// else that of the notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) language: Language,
    /// True if the query asked for it: then the page's links ask for it, too.
    pub(super) asked: bool,
}

impl Wanted {
    /// The query of a link to another of our pages that keeps the language.
    pub(super) fn query(self) -> &'static str {
        match (self.asked, self.language) {
            (false, _) => "",
            (true, Language::Fr) => "?lang=fr",
            (true, Language::En) => "?lang=en",
        }
    }
}

impl FromRequestParts<Arc<Site>> for Wanted {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Infallible> {
        Ok(Self::of(
            parts.uri.query().unwrap_or_default(),
            &parts.headers,
            site.state.language,
        ))
    }
}

impl Wanted {
    pub(super) fn of(query: &str, headers: &HeaderMap, default: Language) -> Self {
        let asked = asked(query);
        Self {
            language: asked.or_else(|| preferred(headers)).unwrap_or(default),
            asked: asked.is_some(),
        }
    }
}

/// The value of `lang` in a query.
fn asked(query: &str) -> Option<Language> {
    query
        .split('&')
        .find_map(|pair| language(pair.strip_prefix("lang=")?))
}

/// The one of our languages with the highest weight; the first of equal ones (RFC 9110, section
/// 12.5.4).
fn preferred(headers: &HeaderMap) -> Option<Language> {
    let mut best = None;
    let fields = headers.get_all(header::ACCEPT_LANGUAGE);
    let ranges = fields
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    for (language, weight) in ranges.filter_map(weighted) {
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((language, weight));
        }
    }
    best.map(|(language, _)| language)
}

/// Reads a language with its weight: `fr-CA;q=0.8` is French at 800 thousandths.
fn weighted(range: &str) -> Option<(Language, u16)> {
    let (tag, parameters) = range.split_once(';').unwrap_or((range, "q=1"));
    Some((
        language(tag)?,
        thousandths(parameters.trim().strip_prefix("q=")?)?,
    ))
}

fn language(tag: &str) -> Option<Language> {
    let primary = tag.trim().split('-').next()?;
    match primary.to_ascii_lowercase().as_str() {
        "fr" => Some(Language::Fr),
        "en" => Some(Language::En),
        _ => None,
    }
}

/// Reads a weight: `1`, `0`, `0.5`, `1.000` (RFC 9110, section 12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.trim().split_once('.').unwrap_or((weight.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(value: &str) -> Option<Language> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, value.parse().unwrap());
        preferred(&headers)
    }

    #[test]
    fn highest_weight_wins_and_the_first_of_equals() {
        for (value, wanted) in [
            ("fr", Some(Language::Fr)),
            ("fr-CA, en;q=0.9", Some(Language::Fr)),
            ("en;q=0.3, fr;q=0.7", Some(Language::Fr)),
            ("EN-us,fr", Some(Language::En)),
            ("de, fr;q=0.2, en;q=0.1", Some(Language::Fr)),
            ("de,*;q=0.5", None),
            ("fr;q=0, en;q=0.1", Some(Language::En)),
            ("fr;q=0", None),
            ("fr;q=2, en;q=0.001", Some(Language::En)),
            ("fr;q=0.1234, en ; q=0.5", Some(Language::En)),
            ("french", None),
            ("", None),
            (";;;,,q=1", None),
        ] {
            assert_eq!(prefers(value), wanted, "{value}");
        }
    }

    #[test]
    fn query_is_asked_for_lang_only() {
        assert_eq!(asked("lang=en"), Some(Language::En));
        assert_eq!(asked("a=b&lang=fr&lang=en"), Some(Language::Fr));
        assert_eq!(asked("lang=de"), None);
        assert_eq!(asked("slang=en"), None);
    }
}

//! Languages, and the choice of one for recipients.

use std::{collections::BTreeMap, fmt::Display};

use mailsplice::l10n::Language;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    pattern::{fold, parents},
    value::{Choice, Codec, Words, Written},
};

/// The language of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeLanguage {
    /// This one.
    One(Language),
    /// The language of the message.
    Auto,
}

/// The languages of a notice in a message whose own language is unknown or not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This one.
    One(Language),
    /// Both of ours, French first.
    Both,
}

impl Fallback {
    /// Returns the language that comes first.
    pub fn first(self) -> Language {
        match self {
            Self::One(language) => language,
            Self::Both => Language::Fr,
        }
    }

    /// Returns the language that comes second.
    pub fn second(self) -> Option<Language> {
        match self {
            Self::One(_) => None,
            Self::Both => Some(Language::En),
        }
    }
}

impl Words for Fallback {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("fr", Self::One(Language::Fr)),
        ("en", Self::One(Language::En)),
        ("both", Self::Both),
    ];
}

impl Words for Language {
    const WORDS: &'static [(&'static str, Self)] = &[("fr", Self::Fr), ("en", Self::En)];
}

impl Words for NoticeLanguage {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("fr", Self::One(Language::Fr)),
        ("en", Self::One(Language::En)),
        ("auto", Self::Auto),
    ];
}

/// The languages of domains, in lower case: `example.fr`, or `.example.fr` for all below it as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainLanguages(BTreeMap<String, Language>);

impl DomainLanguages {
    /// Returns the language of those addresses that have one here; `None` if none has one, or if they
    /// differ.
    pub fn of_all<'a>(&self, addresses: impl IntoIterator<Item = &'a str>) -> Option<Language> {
        if self.0.is_empty() {
            return None;
        }
        let mut languages = addresses.into_iter().filter_map(|address| self.of(address));
        let first = languages.next()?;
        languages.all(|other| other == first).then_some(first)
    }

    /// Returns the language of an address: that of its domain, else of the nearest domain above.
    fn of(&self, address: &str) -> Option<Language> {
        let (_, domain) = address.rsplit_once('@')?;
        let domain = fold(domain);
        let above = || parents(&domain).find_map(|parent| self.0.get(&format!(".{parent}")));
        self.0.get(&domain).or_else(above).copied()
    }
}

/// Parses a domain as it is written in the table.
fn domain(key: &str) -> Option<String> {
    let folded = fold(key.trim());
    let domain = folded.strip_prefix('@').unwrap_or(&folded);
    let labels = domain.strip_prefix('.').unwrap_or(domain);
    let plain = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || "-_".contains(c))
    };
    labels.split('.').all(plain).then(|| domain.to_owned())
}

impl<'de> Deserialize<'de> for DomainLanguages {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let shape = r#"must be a table such as { "example.org" = "en", ".fr" = "fr" }"#;
        let written = BTreeMap::<String, Written>::deserialize(from);
        let written = written.map_err(|_| de::Error::custom(shape))?;

        let wrong = |key: &str, reason: &dyn Display| {
            de::Error::custom(format_args!("of {key:?}: {reason}"))
        };

        let mut languages = BTreeMap::new();
        for (key, value) in &written {
            let name = domain(key).ok_or_else(|| {
                wrong(
                    key,
                    &r#"must be a domain, or one with a dot before it for all below it"#,
                )
            })?;
            let language = Choice::<Language>::parse(value).ok_or_else(|| {
                wrong(
                    key,
                    &format_args!("must be {}", Choice::<Language>::allowed()),
                )
            })?;
            languages.insert(name, language);
        }

        Ok(Self(languages))
    }
}

impl Serialize for DomainLanguages {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            self.0
                .iter()
                .map(|(domain, language)| (domain, Choice::<Language>::print(language))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn languages(text: &str) -> Result<DomainLanguages, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_nearest_domain_decides() {
        let languages = languages(
            "\"example.org\" = \"en\"\n\".fr\" = \"fr\"\n\".uk.fr\" = \"en\"\n\"@Zoe.EU\" = \"fr\"",
        )
        .unwrap();
        for (address, expected) in [
            ("a@example.org", Some(Language::En)),
            ("a@EXAMPLE.ORG", Some(Language::En)),
            ("a@sub.example.org", None),
            ("a@b.c.fr", Some(Language::Fr)),
            ("a@fr", Some(Language::Fr)),
            ("a@uk.fr", Some(Language::En)),
            ("a@x.uk.fr", Some(Language::En)),
            ("a@xfr", None),
            ("a@zoe.eu", Some(Language::Fr)),
            ("postmaster", None),
        ] {
            assert_eq!(languages.of_all([address]), expected, "{address}");
        }
    }

    #[test]
    fn recipients_of_two_languages_have_none() {
        let languages = languages("\".fr\" = \"fr\"\n\".uk\" = \"en\"").unwrap();
        assert_eq!(languages.of_all(["a@x.fr", "b@x.uk"]), None);
        let known = languages.of_all(["c@x.example", "a@x.fr", "b@y.fr"]);
        assert_eq!(known, Some(Language::Fr));
        assert_eq!(languages.of_all([]), None);
    }

    #[test]
    fn what_is_no_domain_or_no_language_is_named() {
        for (text, expected) in [
            ("\"a b\" = \"fr\"", "of \"a b\": must be a domain"),
            ("\"a..b\" = \"fr\"", "of \"a..b\": must be a domain"),
            ("\"zoe@a.b\" = \"fr\"", "of \"zoe@a.b\": must be a domain"),
            ("\"a.b\" = \"de\"", "of \"a.b\": must be \"fr\" or \"en\""),
            ("\"a.b\" = [\"fr\"]", "of \"a.b\": must be \"fr\" or \"en\""),
        ] {
            let error = languages(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_table_is_printed_as_it_is_read() {
        let text = "\".fr\" = \"fr\"\n\"example.org\" = \"en\"\n";
        let languages = languages(text).unwrap();
        assert_eq!(toml::to_string(&languages).unwrap(), text);
    }
}

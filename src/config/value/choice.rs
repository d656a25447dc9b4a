//! Options with a few values, each written as a word.

use std::marker::PhantomData;

use mailsplice::rewrite::Position;

use super::{Codec, Written};
use crate::config::{
    BlobsKind, Directions, Dkim2, Forwarding, JirafeauExpiry, LogFormat, OnBlocked, OnFailure,
    ProxyHeader, Recipients, ReportFormat, RunMode, ShowSender, StoreKind,
};

/// One of a few words.
pub(in crate::config) struct Choice<T>(PhantomData<T>);

/// One of a few words, or none: an empty one.
pub(in crate::config) struct OptionalChoice<T>(PhantomData<T>);

/// An option with a few values, each written as a word.
pub(in crate::config) trait Words: Copy + PartialEq + 'static {
    /// Each value with its word.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Words> Codec for Choice<T> {
    type Value = T;

    fn parse(written: &Written) -> Option<T> {
        let word = written.text()?;
        T::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, value)| *value)
    }

    fn print(value: &T) -> Written {
        let known = T::WORDS.iter().find(|(_, known)| known == value);
        Written::Text(known.map_or("", |(word, _)| word).into())
    }

    fn allowed() -> String {
        let words: Vec<String> = T::WORDS
            .iter()
            .map(|(word, _)| format!("{word:?}"))
            .collect();
        words.join(" or ")
    }
}

impl<T: Words> Codec for OptionalChoice<T> {
    type Value = Option<T>;

    fn parse(written: &Written) -> Option<Option<T>> {
        match written.text()?.as_str() {
            "" => Some(None),
            _ => Choice::parse(written).map(Some),
        }
    }

    fn print(value: &Option<T>) -> Written {
        value
            .as_ref()
            .map_or_else(|| Written::Text(String::new()), Choice::print)
    }

    fn allowed() -> String {
        format!("{} or \"\"", Choice::<T>::allowed())
    }
}

impl Words for Directions {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("both", Self::Both),
        ("incoming", Self::Incoming),
        ("outgoing", Self::Outgoing),
    ];
}

impl Words for StoreKind {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("embedded", Self::Embedded),
        ("remote", Self::Remote),
        ("jirafeau", Self::Jirafeau),
    ];
}

impl Words for JirafeauExpiry {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("day", Self::Day),
        ("week", Self::Week),
        ("fortnight", Self::Fortnight),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];
}

impl Words for BlobsKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("directory", Self::Directory), ("s3", Self::S3)];
}

impl Words for Recipients {
    const WORDS: &'static [(&'static str, Self)] =
        &[("any-keep", Self::AnyKeep), ("any-detach", Self::AnyDetach)];
}

impl Words for RunMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("live", Self::Live), ("dry-run", Self::DryRun)];
}

impl Words for OnFailure {
    const WORDS: &'static [(&'static str, Self)] =
        &[("deliver", Self::Deliver), ("tempfail", Self::Tempfail)];
}

impl Words for OnBlocked {
    const WORDS: &'static [(&'static str, Self)] =
        &[("deliver", Self::Deliver), ("reject", Self::Reject)];
}

impl Words for Dkim2 {
    const WORDS: &'static [(&'static str, Self)] =
        &[("spare", Self::Spare), ("treat", Self::Treat)];
}

impl Words for Forwarding {
    const WORDS: &'static [(&'static str, Self)] =
        &[("spare", Self::Spare), ("treat", Self::Treat)];
}

impl Words for Position {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("before-quote", Self::BeforeQuote),
        ("start", Self::Start),
        ("end", Self::End),
    ];
}

impl Words for ShowSender {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("address", Self::Address),
        ("domain", Self::Domain),
        ("none", Self::None),
    ];
}

impl Words for ReportFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("mail", Self::Mail), ("json", Self::Json)];
}

impl Words for ProxyHeader {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("x-forwarded-for", Self::XForwardedFor),
        ("forwarded", Self::Forwarded),
    ];
}

impl Words for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("plain", Self::Plain),
        ("journal", Self::Journal),
        ("json", Self::Json),
    ];
}

/// The mail to be treated: one word, or a list of the two directions.
pub(in crate::config) struct DirectionsCodec;

impl Codec for DirectionsCodec {
    type Value = Directions;

    fn parse(written: &Written) -> Option<Directions> {
        let Written::List(_) = written else {
            return Choice::parse(written);
        };
        let words = written.texts()?;
        let known = words
            .iter()
            .all(|word| word == "incoming" || word == "outgoing");
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        match (has("incoming"), has("outgoing")) {
            _ if !known => None,
            (true, true) => Some(Directions::Both),
            (true, false) => Some(Directions::Incoming),
            (false, true) => Some(Directions::Outgoing),
            (false, false) => None,
        }
    }

    fn print(value: &Directions) -> Written {
        Choice::print(value)
    }

    fn allowed() -> String {
        format!(
            r#"{}, or a list such as ["incoming", "outgoing"]"#,
            Choice::<Directions>::allowed()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_a_word_or_a_list() {
        let list = |words: &[&str]| {
            DirectionsCodec::parse(&Written::List(
                words.iter().map(|w| Written::Text((*w).into())).collect(),
            ))
        };
        assert_eq!(list(&["incoming", "outgoing"]), Some(Directions::Both));
        assert_eq!(list(&["outgoing"]), Some(Directions::Outgoing));
        assert_eq!(list(&[]), None);
        assert_eq!(list(&["both"]), None);
        assert_eq!(
            DirectionsCodec::parse(&Written::Text("incoming".into())),
            Some(Directions::Incoming)
        );
    }
}

//! The written form of each kind of value: one codec per kind, which serde uses for reading and printing.

mod choice;
mod size;
mod time;

use std::{marker::PhantomData, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tracing_subscriber::filter::{LevelFilter, Targets};

pub(super) use self::{
    choice::{Choice, DirectionsCodec, OptionalChoice, Words},
    size::{OptionalSize, Size, Sizes},
    time::{OptionalPeriod, Period, Retention, Seconds, Zone, brief},
};
pub(crate) use self::{size::parse_size, time::parse_period};
use super::{AuditCopy, spoken};

/// A kind of value: its written form and its meaning.
pub(super) trait Codec {
    /// The type of the parsed value.
    type Value;

    /// Parses a value of the configuration; `None` if it is not allowed.
    fn parse(written: &Written) -> Option<Self::Value>;

    /// Writes a value so that [`Codec::parse`] returns it again.
    fn print(value: &Self::Value) -> Written;

    /// Describes the allowed values, in words that follow `must be `.
    fn allowed() -> String;
}

/// Lets serde read and print a field by its codec: `#[serde(with = "As::<Size>")]`.
pub(super) struct As<C>(PhantomData<C>);

impl<C: Codec> As<C> {
    /// Reads a value.
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<C::Value, D::Error> {
        let written = Written::deserialize(from)?;
        C::parse(&written)
            .ok_or_else(|| de::Error::custom(format_args!("must be {}", C::allowed())))
    }

    /// Prints a value.
    pub(super) fn serialize<S: Serializer>(value: &C::Value, to: S) -> Result<S::Ok, S::Error> {
        C::print(value).serialize(to)
    }
}

/// A scalar or a list, as in TOML.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged, expecting = "must not be a section")]
pub(super) enum Written {
    /// `true`
    Boolean(bool),
    /// `25`
    Integer(i64),
    /// `1.5`
    Float(f64),
    /// `"500 kB"`
    Text(String),
    /// `["127.0.0.0/8"]`
    List(Vec<Written>),
}

impl Written {
    /// Returns a scalar as text; `None` for a list.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Boolean(value) => Some(value.to_string()),
            Self::Integer(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Text(value) => Some(value.trim().to_owned()),
            Self::List(_) => None,
        }
    }

    /// Returns the items of a list, each as text; a scalar is a list of one.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Self::List(items) => items.iter().map(Self::text).collect(),
            scalar => Some(vec![scalar.text()?]),
        }
    }
}

/// A whole number within bounds.
pub(super) struct Count<const MIN: usize, const MAX: usize>;

impl<const MIN: usize, const MAX: usize> Codec for Count<MIN, MAX> {
    type Value = usize;

    fn parse(written: &Written) -> Option<usize> {
        let count = written.text()?.parse().ok()?;
        (MIN..=MAX).contains(&count).then_some(count)
    }

    fn print(value: &usize) -> Written {
        Written::Integer(i64::try_from(*value).unwrap_or(i64::MAX))
    }

    fn allowed() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

/// True or false.
pub(super) struct Flag;

impl Codec for Flag {
    type Value = bool;

    fn parse(written: &Written) -> Option<bool> {
        written.text()?.parse().ok()
    }

    fn print(value: &bool) -> Written {
        Written::Boolean(*value)
    }

    fn allowed() -> String {
        "true or false".into()
    }
}

/// The permission bits of a socket.
pub(super) struct Mode;

impl Codec for Mode {
    type Value = u32;

    /// Accepts text only: the number 660 would be decimal in TOML, and nobody means that.
    fn parse(written: &Written) -> Option<u32> {
        let Written::Text(text) = written else {
            return None;
        };
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let mode = u32::from_str_radix(digits, 8).ok()?;
        (mode <= 0o777 && mode & 0o600 == 0o600).then_some(mode)
    }

    fn print(value: &u32) -> Written {
        Written::Text(format!("{value:04o}"))
    }

    fn allowed() -> String {
        r#"permission bits in quotes, such as "0660" or "0666", with read and write for the owner"#
            .into()
    }
}

/// The destination of the copy of the audit log.
pub(super) struct CopyTarget;

impl Codec for CopyTarget {
    type Value = AuditCopy;

    fn parse(written: &Written) -> Option<AuditCopy> {
        match written.text()?.as_str() {
            "off" => Some(AuditCopy::Off),
            "syslog" => Some(AuditCopy::Syslog),
            "journal" => Some(AuditCopy::Journal),
            path => {
                let path = PathBuf::from(path);
                path.is_absolute().then_some(AuditCopy::Socket(path))
            }
        }
    }

    fn print(value: &AuditCopy) -> Written {
        Written::Text(match value {
            AuditCopy::Off => "off".into(),
            AuditCopy::Syslog => "syslog".into(),
            AuditCopy::Journal => "journal".into(),
            AuditCopy::Socket(path) => path.to_string_lossy().into_owned(),
        })
    }

    fn allowed() -> String {
        r#""off", "syslog", "journal", or the whole path of a socket that takes syslog's datagrams"#
            .into()
    }
}

/// One line of text.
pub(super) struct Text;

impl Codec for Text {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let text = written.text()?;
        (!text.chars().any(char::is_control) && text.len() <= 1000).then_some(text)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        "one line of text of at most 1000 bytes".into()
    }
}

/// A list of words.
pub(super) struct Strings;

impl Codec for Strings {
    type Value = Vec<String>;

    fn parse(written: &Written) -> Option<Vec<String>> {
        let words = written.texts()?;
        words.iter().all(|word| !word.is_empty()).then_some(words)
    }

    fn print(value: &Vec<String>) -> Written {
        Written::List(value.iter().cloned().map(Written::Text).collect())
    }

    fn allowed() -> String {
        r#"a list of words such as ["ORIGINATING"]"#.into()
    }
}

/// An absolute path.
pub(super) struct Absolute;

impl Codec for Absolute {
    type Value = PathBuf;

    fn parse(written: &Written) -> Option<PathBuf> {
        let Written::Text(text) = written else {
            return None;
        };
        let path = PathBuf::from(text);
        (path.is_absolute() && !text.contains('\0')).then_some(path)
    }

    fn print(value: &PathBuf) -> Written {
        Written::Text(value.display().to_string())
    }

    fn allowed() -> String {
        "a path that begins with a slash".into()
    }
}

/// An absolute path, or nothing.
pub(super) struct OptionalPath;

impl Codec for OptionalPath {
    type Value = Option<PathBuf>;

    fn parse(written: &Written) -> Option<Option<PathBuf>> {
        match written {
            Written::Text(text) if text.is_empty() => Some(None),
            path => Absolute::parse(path).map(Some),
        }
    }

    fn print(value: &Option<PathBuf>) -> Written {
        value
            .as_ref()
            .map_or_else(|| Written::Text(String::new()), Absolute::print)
    }

    fn allowed() -> String {
        format!("{}, or empty", Absolute::allowed())
    }
}

/// A filter of log messages.
pub(super) struct LogFilter;

impl Codec for LogFilter {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        let text = written.text().filter(|text| !text.is_empty())?;
        // A word that is no level would be taken for the name of a module, all of whose messages are
        // logged.
        let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
        let is_told = text
            .split(',')
            .all(|word| word.contains('=') || is_level(word));
        (is_told && text.parse::<Targets>().is_ok()).then_some(text)
    }

    fn print(value: &String) -> Written {
        Text::print(value)
    }

    fn allowed() -> String {
        r#"error, warn, info or debug, or a filter such as "info,depollueur::milter=debug""#.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_in_quotes() {
        assert_eq!(Mode::parse(&Written::Text("0660".into())), Some(0o660));
        assert_eq!(Mode::parse(&Written::Integer(660)), None);
        assert_eq!(Mode::parse(&Written::Text("0066".into())), None);
        assert_eq!(Mode::parse(&Written::Text("7777".into())), None);
    }
}

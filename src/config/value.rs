//! The written form of each kind of value: one codec per kind, which serde uses for reading and printing.

use std::{marker::PhantomData, path::PathBuf};

use jiff::{
    SignedDuration, Span, SpanRelativeTo,
    civil::date,
    fmt::friendly::{Designator, Spacing, SpanPrinter},
    tz::TimeZone,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{
    AuditCopy, Directions, Dkim2, Forwarding, LogFormat, OnBlocked, OnFailure, Position,
    ProxyHeader, Recipients, ReportFormat, RunMode, ShowSender, StoreKind,
    spoken::{self, span_in_english},
};

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

/// A number of bytes.
pub(super) struct Size;

impl Codec for Size {
    type Value = u64;

    fn parse(written: &Written) -> Option<u64> {
        parse_size(&written.text()?)
    }

    fn print(value: &u64) -> Written {
        print_size(*value)
    }

    fn allowed() -> String {
        r#"a size such as 500000 (bytes), "500 kB" or "1.5 MiB""#.into()
    }
}

/// A number of bytes, or `off`.
pub(super) struct OptionalSize;

impl Codec for OptionalSize {
    type Value = Option<u64>;

    fn parse(written: &Written) -> Option<Option<u64>> {
        match written.text()?.as_str() {
            "off" => Some(None),
            size => parse_size(size).map(Some),
        }
    }

    fn print(value: &Option<u64>) -> Written {
        value.map_or_else(|| Written::Text("off".into()), print_size)
    }

    fn allowed() -> String {
        format!(r#""off" or {}"#, Size::allowed())
    }
}

/// A number of bytes in memory, within bounds.
pub(super) struct Sizes<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Codec for Sizes<MIN, MAX> {
    type Value = usize;

    fn parse(written: &Written) -> Option<usize> {
        let size = parse_size(&written.text()?)?;
        (MIN..=MAX)
            .contains(&size)
            .then_some(usize::try_from(size).ok()?)
    }

    fn print(value: &usize) -> Written {
        print_size(*value as u64)
    }

    fn allowed() -> String {
        let bound = |size| Size::print(&size).text().unwrap_or_default();
        format!(
            r#"a size such as "64 KiB", from {} to {}"#,
            bound(MIN),
            bound(MAX)
        )
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

/// A duration for machines, within bounds in seconds.
pub(super) struct Seconds<const MIN: i64, const MAX: i64>;

impl<const MIN: i64, const MAX: i64> Codec for Seconds<MIN, MAX> {
    type Value = SignedDuration;

    fn parse(written: &Written) -> Option<SignedDuration> {
        let time: SignedDuration = span_in_english(&written.text()?).parse().ok()?;
        let bounds = SignedDuration::from_secs(MIN)..=SignedDuration::from_secs(MAX);
        bounds.contains(&time).then_some(time)
    }

    fn print(value: &SignedDuration) -> Written {
        Written::Text(printer().duration_to_string(value))
    }

    fn allowed() -> String {
        format!(r#"a time such as "30 s" or "2 min", from {MIN} s to {MAX} s"#)
    }
}

/// A time span for people, longer than zero; calendar units are allowed.
pub(super) struct Period;

impl Codec for Period {
    type Value = Span;

    fn parse(written: &Written) -> Option<Span> {
        parse_period(&written.text()?)
    }

    fn print(value: &Span) -> Written {
        Written::Text(printer().span_to_string(value))
    }

    fn allowed() -> String {
        r#"a time such as "1 month", "30 days" or "12 h", from 1 s to 100 years"#.into()
    }
}

/// A time span for people that may be zero.
pub(super) struct Retention;

impl Codec for Retention {
    type Value = Span;

    fn parse(written: &Written) -> Option<Span> {
        parse_span(&written.text()?, SignedDuration::ZERO)
    }

    fn print(value: &Span) -> Written {
        Period::print(value)
    }

    fn allowed() -> String {
        r#"a time such as "7 days" or "1 year", from "0 s" to 100 years"#.into()
    }
}

/// A time span for people, or `off`.
pub(super) struct OptionalPeriod;

impl Codec for OptionalPeriod {
    type Value = Option<Span>;

    fn parse(written: &Written) -> Option<Option<Span>> {
        match written.text()?.as_str() {
            "off" => Some(None),
            _ => Period::parse(written).map(Some),
        }
    }

    fn print(value: &Option<Span>) -> Written {
        value
            .as_ref()
            .map_or_else(|| Written::Text("off".into()), Period::print)
    }

    fn allowed() -> String {
        format!(r#""off" or {}"#, Period::allowed())
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

/// A time zone.
pub(super) struct Zone;

impl Codec for Zone {
    type Value = TimeZone;

    fn parse(written: &Written) -> Option<TimeZone> {
        match written.text()?.as_str() {
            "system" => Some(TimeZone::system()),
            name => TimeZone::get(name).ok(),
        }
    }

    fn print(value: &TimeZone) -> Written {
        Written::Text(value.iana_name().unwrap_or("system").into())
    }

    fn allowed() -> String {
        r#""system" or the name of a time zone such as "Europe/Paris""#.into()
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

/// One of a few words.
pub(super) struct Choice<T>(PhantomData<T>);

/// An option with a few values, each written as a word.
pub(super) trait Words: Copy + PartialEq + 'static {
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

impl Words for Directions {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("both", Self::Both),
        ("incoming", Self::Incoming),
        ("outgoing", Self::Outgoing),
    ];
}

impl Words for StoreKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("embedded", Self::Embedded), ("remote", Self::Remote)];
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
pub(super) struct Way;

impl Codec for Way {
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

/// The units of sizes, in lower case; French admins write octets.
const UNITS: &[(&[&str], u64)] = &[
    (&["", "b", "o", "byte", "bytes", "octet", "octets"], 1),
    (&["kb", "ko"], 1_000),
    (&["mb", "mo"], 1_000_000),
    (&["gb", "go"], 1_000_000_000),
    (&["tb", "to"], 1_000_000_000_000),
    (&["kib", "kio"], 1 << 10),
    (&["mib", "mio"], 1 << 20),
    (&["gib", "gio"], 1 << 30),
    (&["tib", "tio"], 1 << 40),
];

/// Parses a size such as `500 kB`, exactly: the value must be a whole number of bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !c.is_whitespace() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let is_french = unit.ends_with('o') || unit.starts_with("octet");
    let number = &spoken::number(number, is_french)?;

    let (_, factor) = UNITS
        .iter()
        .find(|(names, _)| names.contains(&unit.as_str()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 || fraction.contains('.') {
        return None;
    }

    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let scaled = u128::from(whole.parse::<u64>().ok()?)
        .checked_mul(scale)?
        .checked_add(fraction.parse().ok()?)?
        .checked_mul(u128::from(*factor))?;
    // TOML's integers end at i64::MAX, and so do the offsets of a file.
    let bytes = scaled.checked_div(scale).filter(|_| scaled % scale == 0)?;
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// Prints a size in the largest unit that gives a whole number.
fn print_size(bytes: u64) -> Written {
    const PRINTED: [(&str, u64); 8] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("kB", 1_000),
    ];
    let unit = PRINTED
        .iter()
        .find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => Written::Text(format!("{} {name}", bytes / factor)),
        None => Written::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)),
    }
}

/// Parses a time span of the configuration, such as `1 month`: from a second to 100 years.
pub(crate) fn parse_period(text: &str) -> Option<Span> {
    parse_span(text, SignedDuration::from_secs(1))
}

/// Parses a time span of at least `min` and at most 100 years.
fn parse_span(text: &str, min: SignedDuration) -> Option<Span> {
    let span: Span = span_in_english(text).parse().ok()?;
    let length = span
        .to_duration(SpanRelativeTo::from(date(2026, 1, 1)))
        .ok()?;
    let max = SignedDuration::from_hours(36_525 * 24);
    (min..=max).contains(&length).then_some(span)
}

fn printer() -> SpanPrinter {
    SpanPrinter::new()
        .designator(Designator::Verbose)
        .spacing(Spacing::BetweenUnitsAndDesignators)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_or_binary_by_their_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("500000", 500_000),
            ("500 kB", 500_000),
            ("500kb", 500_000),
            ("1 MiB", 1_048_576),
            ("25MB", 25_000_000),
            ("1.5 MiB", 1_572_864),
            ("0.5 kB", 500),
            ("2 Go", 2_000_000_000),
            ("12 bytes", 12),
            ("1 Mo", 1_000_000),
            ("1,5 Mo", 1_500_000),
            ("1 500 ko", 1_500_000),
            ("1\u{202f}500\u{a0}Ko", 1_500_000),
            ("12 octets", 12),
            ("0.000000001 GB", 1),
            ("1.000000001 GB", 1_000_000_001),
            ("9223372036854775807", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_of_bytes_is_no_size() {
        for text in [
            "",
            "kB",
            "lots",
            "-1",
            "1.5",
            "0.0001 kB",
            "1 XB",
            "1,5 MB",
            ".5 kB",
            "1. kB",
            "1.0000000000 GB",
            "1e3",
            "1.2.3 kB",
            "1 50 ko",
            "1,5,0 Mo",
            "9223372036854775808",
            "99999999999999999999 TB",
            "9999999 TiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn printed_sizes_parse_to_themselves() {
        for bytes in [
            0,
            1,
            999,
            1_000,
            1_024,
            65_536,
            262_144,
            500_000,
            1 << 40,
            123_456_789,
        ] {
            assert_eq!(Size::parse(&print_size(bytes)), Some(bytes));
        }
        assert_eq!(print_size(262_144), Written::Text("256 KiB".into()));
        assert_eq!(print_size(500_000), Written::Text("500 kB".into()));
    }

    #[test]
    fn spans_have_calendar_units_and_bounds() {
        let span = |text: &str| Period::parse(&Written::Text(text.into()));
        for text in [
            "1 month",
            "30 days",
            "1mo",
            "P1M",
            "12 h",
            "1 year 2 months",
            "1 mois",
            "30 jours",
            "1 an et 2 mois",
            "100 years",
        ] {
            assert!(span(text).is_some(), "{text}");
        }
        for text in ["", "0 s", "-1 day", "101 years", "month", "30"] {
            assert!(span(text).is_none(), "{text}");
        }
        assert!(Retention::parse(&Written::Text("0 s".into())).is_some());
    }

    #[test]
    fn printed_times_parse_to_themselves() {
        for text in ["1 month", "7 days", "1 year", "12 h 30 min"] {
            let span = Period::parse(&Written::Text(text.into())).unwrap();
            assert_eq!(
                Period::parse(&Period::print(&span)).unwrap().fieldwise(),
                span
            );
        }
        let time = Seconds::<1, 240>::parse(&Written::Text("2m 30s".into())).unwrap();
        assert_eq!(
            Seconds::<1, 240>::parse(&Seconds::<1, 240>::print(&time)),
            Some(time)
        );
    }

    #[test]
    fn times_keep_their_bounds() {
        let time = |text: &str| Seconds::<1, 240>::parse(&Written::Text(text.into()));
        assert!(time("1 s").is_some() && time("4 min").is_some());
        assert!(time("999 ms").is_none() && time("241 s").is_none() && time("30").is_none());
    }

    #[test]
    fn a_mode_is_octal_and_in_quotes() {
        assert_eq!(Mode::parse(&Written::Text("0660".into())), Some(0o660));
        assert_eq!(Mode::parse(&Written::Integer(660)), None);
        assert_eq!(Mode::parse(&Written::Text("0066".into())), None);
        assert_eq!(Mode::parse(&Written::Text("7777".into())), None);
    }

    #[test]
    fn directions_are_a_word_or_a_list() {
        let list = |words: &[&str]| {
            Way::parse(&Written::List(
                words.iter().map(|w| Written::Text((*w).into())).collect(),
            ))
        };
        assert_eq!(list(&["incoming", "outgoing"]), Some(Directions::Both));
        assert_eq!(list(&["outgoing"]), Some(Directions::Outgoing));
        assert_eq!(list(&[]), None);
        assert_eq!(list(&["both"]), None);
        assert_eq!(
            Way::parse(&Written::Text("incoming".into())),
            Some(Directions::Incoming)
        );
    }
}

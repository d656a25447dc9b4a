//! Lengths of time, in seconds or by the calendar, and time zones.

use std::time::Duration;

use jiff::{
    SignedDuration, Span, SpanRelativeTo,
    civil::date,
    fmt::friendly::{Designator, Spacing, SpanPrinter},
    tz::TimeZone,
};

use super::{Codec, Written, spoken::span_in_english};

/// A duration for machines, within bounds in seconds.
pub(in crate::config) struct Seconds<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Codec for Seconds<MIN, MAX> {
    type Value = Duration;

    fn parse(written: &Written) -> Option<Duration> {
        let time: SignedDuration = span_in_english(&written.text()?).parse().ok()?;
        let time = Duration::try_from(time).ok()?;
        let bounds = Duration::from_secs(MIN)..=Duration::from_secs(MAX);
        bounds.contains(&time).then_some(time)
    }

    fn print(value: &Duration) -> Written {
        Written::Text(printer().unsigned_duration_to_string(value))
    }

    fn allowed() -> String {
        format!(r#"a time such as "30 s" or "2 min", from {MIN} s to {MAX} s"#)
    }
}

/// A time span for people, longer than zero; calendar units are allowed.
pub(in crate::config) struct Period;

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
pub(in crate::config) struct Retention;

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
pub(in crate::config) struct OptionalPeriod;

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

/// A time zone.
pub(in crate::config) struct Zone;

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

/// Formats a length of time for messages: `1m 30s`.
pub(in crate::config) fn brief(time: Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(&time)
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
}

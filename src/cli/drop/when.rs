//! Times as admins write them: a date, a date with its hour, a time stamp, or a span from now.

use jiff::{
    Span, Timestamp, ToSpan as _, Zoned,
    civil::{Date, DateTime},
};

const ALLOWED: &str =
    r#"must be a date ("2026-12-24"), a time ("2026-12-24T18:00", "…Z") or a span ("7 days")"#;

/// A moment that was: a span counts back from now, a date is its first second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Past(pub(super) Timestamp);

/// The end of something: a span counts on from now, a date is its last second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct End(pub(super) Timestamp);

/// The end of a part of the past: a span counts back from now, a date is its last second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct PastEnd(pub(super) Timestamp);

/// What was written.
enum Written {
    Day(Date),
    Moment(Timestamp),
    Span(Span),
}

impl std::str::FromStr for Past {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &Zoned::now(), Some, -1).map(Self)
    }
}

impl std::str::FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &Zoned::now(), |day| day.tomorrow().ok(), 1).map(Self)
    }
}

impl std::str::FromStr for PastEnd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, &Zoned::now(), |day| day.tomorrow().ok(), -1).map(Self)
    }
}

/// Reads a time; `border` says which midnight a day stands for, `sign` which way spans count.
fn read(
    text: &str,
    now: &Zoned,
    border: impl Fn(Date) -> Option<Date>,
    sign: i64,
) -> Result<Timestamp, String> {
    let zone = now.time_zone().clone();
    let time = match written(text, now).ok_or(ALLOWED)? {
        Written::Moment(time) => Some(time),
        Written::Day(day) => border(day)
            .and_then(|day| day.to_zoned(zone).ok())
            .map(|midnight| midnight.timestamp()),
        Written::Span(span) => {
            let sum = now.checked_add(span.checked_mul(sign).map_err(|_| ALLOWED)?);
            sum.ok().map(|sum| sum.timestamp())
        }
    };
    time.ok_or_else(|| ALLOWED.to_owned())
}

fn written(text: &str, now: &Zoned) -> Option<Written> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(Written::Moment(time));
    }
    if text.len() == "2026-12-24".len()
        && let Ok(day) = text.parse::<Date>()
    {
        return Some(Written::Day(day));
    }
    if let Ok(time) = text.parse::<DateTime>() {
        let zoned = time.to_zoned(now.time_zone().clone()).ok()?;
        return Some(Written::Moment(zoned.timestamp()));
    }
    let span = text.parse::<Span>().ok()?;
    (!span.is_negative() && span.fieldwise() != 0.seconds()).then_some(Written::Span(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_spans_are_read() {
        let now: Zoned = "2026-11-22T10:00:00+01:00[Europe/Paris]".parse().unwrap();
        let end = |text| read(text, &now, |day| day.tomorrow().ok(), 1).map(|t| t.to_string());
        let past = |text| read(text, &now, Some, -1).map(|t| t.to_string());
        for (text, time) in [
            ("2026-12-24", "2026-12-24T23:00:00Z"),
            ("2026-12-24T18:00", "2026-12-24T17:00:00Z"),
            ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z"),
            ("7 days", "2026-11-29T09:00:00Z"),
            ("1 month", "2026-12-22T09:00:00Z"),
        ] {
            assert_eq!(end(text).as_deref(), Ok(time), "{text}");
        }
        assert_eq!(past("2026-11-01").as_deref(), Ok("2026-10-31T23:00:00Z"));
        assert_eq!(past("2 h").as_deref(), Ok("2026-11-22T07:00:00Z"));
        for text in ["", "yesterday", "-1 day", "0 s", "2026-13-01"] {
            assert!(end(text).is_err(), "{text}");
        }
    }
}

//! Times as admins write them: a date, a date with its hour, a time stamp, or a span from now.

use jiff::{
    Span, Timestamp, ToSpan as _, Zoned,
    civil::{Date, DateTime, Time},
};

use crate::config::span_in_english;

const ALLOWED: &str = r#"must be a date ("2026-12-24", "24/12/2026"), a time ("2026-12-24T18:00", "24/12/2026 18:00", "…Z") or a span ("7 days", "7 jours")"#;

/// A moment of the past: a span counts back from now, a date stands for its first second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Past(pub(super) Timestamp);

/// The end of something: a span counts on from now, a date stands for its last second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct FutureEnd(pub(super) Timestamp);

/// The end of a part of the past: a span counts back from now, a date stands for its last second here.
#[derive(Clone, Debug)]
pub(in crate::cli) struct PastEnd(pub(super) Timestamp);

/// A time as it was written.
enum TimeSpec {
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

impl std::str::FromStr for FutureEnd {
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

/// Reads a time; `border` picks the midnight for which a day stands, `sign` the direction in which
/// spans count.
fn read(
    text: &str,
    now: &Zoned,
    border: impl Fn(Date) -> Option<Date>,
    sign: i64,
) -> Result<Timestamp, String> {
    let zone = now.time_zone().clone();
    let time = match written(text, now).ok_or(ALLOWED)? {
        TimeSpec::Moment(time) => Some(time),
        TimeSpec::Day(day) => border(day)
            .and_then(|day| day.to_zoned(zone).ok())
            .map(|midnight| midnight.timestamp()),
        TimeSpec::Span(span) => {
            let sum = now.checked_add(span.checked_mul(sign).map_err(|_| ALLOWED)?);
            sum.ok().map(|sum| sum.timestamp())
        }
    };
    time.ok_or_else(|| ALLOWED.to_owned())
}

fn written(text: &str, now: &Zoned) -> Option<TimeSpec> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(TimeSpec::Moment(time));
    }

    if text.len() == "2026-12-24".len()
        && let Ok(day) = text.parse::<Date>()
    {
        return Some(TimeSpec::Day(day));
    }

    if let Some((day, time)) = french(text) {
        return Some(match time {
            None => TimeSpec::Day(day),
            Some(time) => {
                let zoned = day
                    .to_datetime(time)
                    .to_zoned(now.time_zone().clone())
                    .ok()?;
                TimeSpec::Moment(zoned.timestamp())
            }
        });
    }

    if let Ok(time) = text.parse::<DateTime>() {
        let zoned = time.to_zoned(now.time_zone().clone()).ok()?;
        return Some(TimeSpec::Moment(zoned.timestamp()));
    }

    let span = span_in_english(text).parse::<Span>().ok()?;
    (!span.is_negative() && span.fieldwise() != 0.seconds()).then_some(TimeSpec::Span(span))
}

/// Parses a day such as `24/12/2026`, with a time after it such as `18:00`, `18h00` or `18h`.
fn french(text: &str) -> Option<(Date, Option<Time>)> {
    let (day, time) = match text.split_once(char::is_whitespace) {
        Some((day, time)) => (day, Some(time.trim())),
        None => (text, None),
    };

    let numbers: Option<Vec<i16>> = day.split('/').map(|number| number.parse().ok()).collect();
    let &[day, month, year] = numbers?.as_slice() else {
        return None;
    };
    let (day, month) = (i8::try_from(day).ok()?, i8::try_from(month).ok()?);
    let day = Date::new(year, month, day).ok().filter(|_| year >= 1000)?;

    let Some(time) = time else {
        return Some((day, None));
    };

    let time = time.trim_start_matches("à ").replace(['h', 'H'], ":");
    let time = time
        .strip_suffix(':')
        .map_or(time.clone(), |hour| format!("{hour}:00"));
    let (hour, minute) = time.split_once(':')?;
    let time = Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()?;
    Some((day, Some(time)))
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
            ("24/12/2026", "2026-12-24T23:00:00Z"),
            ("24/12/2026 18:00", "2026-12-24T17:00:00Z"),
            ("24/12/2026 18h", "2026-12-24T17:00:00Z"),
            ("7 days", "2026-11-29T09:00:00Z"),
            ("7 jours", "2026-11-29T09:00:00Z"),
            ("1 mois", "2026-12-22T09:00:00Z"),
            ("1 month", "2026-12-22T09:00:00Z"),
        ] {
            assert_eq!(end(text).as_deref(), Ok(time), "{text}");
        }
        assert_eq!(past("2026-11-01").as_deref(), Ok("2026-10-31T23:00:00Z"));
        assert_eq!(past("2 h").as_deref(), Ok("2026-11-22T07:00:00Z"));
        for text in [
            "",
            "yesterday",
            "-1 day",
            "0 s",
            "2026-13-01",
            "31/02/2026",
            "12/24/2026",
            "24/12/26",
        ] {
            assert!(end(text).is_err(), "{text}");
        }
    }
}

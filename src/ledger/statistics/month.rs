//! A month of the calendar, in UTC.

use std::{fmt, str::FromStr};

use jiff::civil::Date;

/// A month, as `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    year: i16,
    month: i8,
}

/// A text that is no month.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a month like 2026-11 or 11/2026")]
pub struct MonthError(String);

impl Month {
    /// Returns the month of a day.
    pub fn of(day: Date) -> Self {
        // Four digits: years before 0 are no time of a deposit.
        Self {
            year: day.year().max(0),
            month: day.month(),
        }
    }

    /// Returns its first day.
    pub fn first_day(self) -> Date {
        jiff::civil::date(self.year, self.month, 1)
    }

    /// Returns the month before.
    pub fn before(self) -> Self {
        match (self.year, self.month) {
            (0, 1) => self,
            (year, 1) => Self {
                year: year - 1,
                month: 12,
            },
            (year, month) => Self {
                year,
                month: month - 1,
            },
        }
    }

    /// Returns the month after.
    pub fn after(self) -> Self {
        match (self.year, self.month) {
            (9999, 12) => self,
            (year, 12) => Self {
                year: year + 1,
                month: 1,
            },
            (year, month) => Self {
                year,
                month: month + 1,
            },
        }
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let error = || MonthError(text.to_owned());
        let digits = |text: &str, length: usize| {
            let sound = text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
            sound.then(|| text.parse::<i16>().ok()).flatten()
        };
        let iso = text.split_once('-');
        let french = || text.split_once('/').map(|(month, year)| (year, month));
        let (year, month) = iso.or_else(french).ok_or_else(error)?;
        let year = digits(year, 4).ok_or_else(error)?;
        let month = digits(month, 2).filter(|month| (1..=12).contains(month));
        Ok(Self {
            year,
            month: i8::try_from(month.ok_or_else(error)?).map_err(|_| error())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_written_as_it_is_read() {
        for text in ["2026-11", "0000-01", "9999-12"] {
            assert_eq!(text.parse::<Month>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "2026-1",
            "26-11",
            "+026-11",
            "2026-11-01",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }

    #[test]
    fn months_follow_each_other_over_the_year() {
        let december: Month = "2026-12".parse().unwrap();
        assert_eq!(december.after().to_string(), "2027-01");
        assert_eq!(december.after().before(), december);
    }
}

//! Sizes, dates and zones in the reader's words: the same in the notice and on the pages.

use jiff::{Zoned, civil::Date};

use super::Language;

/// A no-break space: between a number and its unit.
const NBSP: char = '\u{a0}';

/// Formats a size, `9,4 Mo` or `9.4 MB`: decimal units (IEC 80000-13), at most three digits before the unit.
pub fn size(bytes: u64, language: Language) -> String {
    let (units, comma) = match language {
        Language::Fr => (["ko", "Mo", "Go", "To", "Po", "Eo"], ','),
        Language::En => (["kB", "MB", "GB", "TB", "PB", "EB"], '.'),
    };

    if bytes < 1000 {
        let unit = match (language, bytes) {
            (Language::Fr, 0 | 1) => "octet",
            (Language::Fr, _) => "octets",
            (Language::En, 1) => "byte",
            (Language::En, _) => "bytes",
        };
        return format!("{bytes}{NBSP}{unit}");
    }

    let (one, unit) = unit(u128::from(bytes));
    let rounded = |parts: u128| (u128::from(bytes) * parts + one / 2) / one;
    let unit = units[unit];

    match rounded(10) {
        tenths if tenths < 1000 && tenths % 10 > 0 => {
            format!("{}{comma}{}{NBSP}{unit}", tenths / 10, tenths % 10)
        }
        _ => format!("{}{NBSP}{unit}", rounded(1)),
    }
}

/// Returns the first unit of which there are, rounded, fewer than 1000: its size and its index.
fn unit(bytes: u128) -> (u128, usize) {
    let (mut one, mut unit) = (1000, 0);
    while bytes * 2 >= 1999 * one {
        one *= 1000;
        unit += 1;
    }
    (one, unit)
}

/// Formats a date: `22 décembre 2026`, `1er décembre 2026`, `22 December 2026`.
pub fn date(date: Date, language: Language) -> String {
    let month = month(language, date);
    match (language, date.day()) {
        (Language::Fr, 1) => format!("1er{NBSP}{}{NBSP}{}", month, date.year()),
        (Language::Fr, day) => format!("{day}{NBSP}{}{NBSP}{}", month, date.year()),
        (Language::En, day) => format!("{day}{NBSP}{}{NBSP}{}", month, date.year()),
    }
}

/// Formats the month of a date: `décembre 2026`, `December 2026`.
pub fn month_of_year(date: Date, language: Language) -> String {
    format!("{}{NBSP}{}", month(language, date), date.year())
}

/// Formats a moment: `22 décembre 2026 à 10 h 04`, `22 December 2026 at 10:04`.
pub fn moment(at: &Zoned, language: Language) -> String {
    let (hour, minute) = (at.hour(), at.minute());
    let day = date(at.date(), language);
    match language {
        Language::Fr => format!("{day} à {hour}{NBSP}h{NBSP}{minute:02}"),
        Language::En => format!("{day} at {hour:02}:{minute:02}"),
    }
}

/// Names a zone: `heure de Paris`, `Paris time`; where the zone is not that of a city, `UTC+01:00`.
pub fn zone(at: &Zoned, language: Language) -> String {
    let Some(city) = at.time_zone().iana_name().and_then(city) else {
        return offset(at);
    };
    match language {
        Language::En => format!("{city} time"),
        Language::Fr => {
            let city = french_city(&city);
            let elided = city.starts_with(['A', 'E', 'I', 'O', 'U', 'É', 'Î']);
            format!("heure {}{city}", if elided { "d’" } else { "de " })
        }
    }
}

/// Returns the month of a date, as it stands in the middle of a sentence.
fn month(language: Language, date: Date) -> &'static str {
    let index = usize::from(date.month().unsigned_abs()).saturating_sub(1);
    match language {
        Language::En => MONTHS_EN[index],
        Language::Fr => MONTHS_FR[index],
    }
}

/// Returns the city of `Europe/Paris`, `America/Argentina/Buenos_Aires`.
fn city(name: &str) -> Option<String> {
    let (area, _) = name.split_once('/')?;
    let city = name.rsplit('/').next()?;
    (area != "Etc").then(|| city.replace('_', " "))
}

fn french_city(city: &str) -> &str {
    CITIES_FR
        .iter()
        .find(|(english, _)| *english == city)
        .map_or(city, |(_, french)| french)
}

fn offset(at: &Zoned) -> String {
    let seconds = at.offset().seconds();
    if seconds == 0 {
        return "UTC".to_owned();
    }
    let sign = if seconds < 0 { '\u{2212}' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

const MONTHS_EN: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const MONTHS_FR: [&str; 12] = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
];

/// Cities of the zone database whose French name differs.
const CITIES_FR: [(&str, &str); 15] = [
    ("Algiers", "Alger"),
    ("Athens", "Athènes"),
    ("Brussels", "Bruxelles"),
    ("Bucharest", "Bucarest"),
    ("Cairo", "Le Caire"),
    ("Copenhagen", "Copenhague"),
    ("Lisbon", "Lisbonne"),
    ("London", "Londres"),
    ("Montreal", "Montréal"),
    ("Moscow", "Moscou"),
    ("Noumea", "Nouméa"),
    ("Reunion", "La Réunion"),
    ("Sao Paulo", "São Paulo"),
    ("Vienna", "Vienne"),
    ("Warsaw", "Varsovie"),
];

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz::TimeZone};

    use super::*;

    fn at(instant: &str, zone: &str) -> Zoned {
        instant
            .parse::<Timestamp>()
            .unwrap()
            .to_zoned(TimeZone::get(zone).unwrap())
    }

    #[test]
    fn sizes_are_decimal_and_short() {
        for (bytes, french, english) in [
            (0, "0 octet", "0 bytes"),
            (1, "1 octet", "1 byte"),
            (999, "999 octets", "999 bytes"),
            (1000, "1 ko", "1 kB"),
            (1049, "1 ko", "1 kB"),
            (1050, "1,1 ko", "1.1 kB"),
            (9_449_999, "9,4 Mo", "9.4 MB"),
            (99_949_999, "99,9 Mo", "99.9 MB"),
            (99_960_000, "100 Mo", "100 MB"),
            (342_000_000, "342 Mo", "342 MB"),
            (999_499_999, "999 Mo", "999 MB"),
            (999_500_000, "1 Go", "1 GB"),
            (u64::MAX, "18,4 Eo", "18.4 EB"),
        ] {
            assert_eq!(size(bytes, Language::Fr).replace(NBSP, " "), french);
            assert_eq!(size(bytes, Language::En).replace(NBSP, " "), english);
        }
    }

    #[test]
    fn moments_are_written_as_people_do() {
        let winter = at("2026-12-22T09:04:59Z", "Europe/Paris");
        assert_eq!(
            moment(&winter, Language::Fr).replace(NBSP, " "),
            "22 décembre 2026 à 10 h 04"
        );
        assert_eq!(
            moment(&winter, Language::En).replace(NBSP, " "),
            "22 December 2026 at 10:04"
        );
        let first = at("2026-08-01T00:00:00Z", "Europe/Paris");
        assert_eq!(
            date(first.date(), Language::Fr).replace(NBSP, " "),
            "1er août 2026"
        );
    }

    #[test]
    fn zones_are_named_by_their_city_or_their_offset() {
        for (name, french, english) in [
            ("Europe/Paris", "heure de Paris", "Paris time"),
            ("Europe/Athens", "heure d’Athènes", "Athens time"),
            ("Indian/Reunion", "heure de La Réunion", "Reunion time"),
            ("America/New_York", "heure de New York", "New York time"),
            ("UTC", "UTC", "UTC"),
            ("Etc/GMT+3", "UTC−03:00", "UTC−03:00"),
        ] {
            let at = at("2026-12-22T09:04:59Z", name);
            assert_eq!(zone(&at, Language::Fr), french);
            assert_eq!(zone(&at, Language::En), english);
        }
    }
}

//! The names of the months, in each language of notices and pages.

use jiff::civil::Date;

use crate::config::Language;

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

/// The month of a date, as it stands in the middle of a sentence.
pub(crate) fn month(language: Language, date: Date) -> &'static str {
    let index = usize::from(date.month().unsigned_abs()).saturating_sub(1);
    match language {
        Language::En => MONTHS_EN[index],
        Language::Fr => MONTHS_FR[index],
    }
}

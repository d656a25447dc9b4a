//! Units of time and of size as French admins write them: `1 mois`, `30 jours`, `1,5 Mo`.

/// Translates the units of a time span into English, which the span parser reads. Text that is not
/// French stays as it is.
pub(crate) fn span_in_english(text: &str) -> String {
    let mut english = String::with_capacity(text.len() + 8);
    let mut rest = text;

    while let Some(first) = rest.chars().next() {
        let is_letter = first.is_alphabetic();
        let end = rest
            .find(|c: char| c.is_alphabetic() != is_letter)
            .unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        if is_letter {
            english.push_str(unit(run));
        } else {
            english.extend(run.chars().map(|c| if c.is_whitespace() { ' ' } else { c }));
        }
        rest = after;
    }
    english
}

fn unit(word: &str) -> &str {
    match word.to_lowercase().as_str() {
        "an" | "ans" | "année" | "années" | "annee" | "annees" => "years",
        "mois" => "months",
        "semaine" | "semaines" | "sem" => "weeks",
        "jour" | "jours" | "j" => "days",
        "heure" | "heures" => "hours",
        "seconde" | "secondes" => "seconds",
        "milliseconde" | "millisecondes" => "milliseconds",
        "un" | "une" => "1",
        "et" => "",
        _ => word,
    }
}

/// Normalises a number: digits and at most one point. A comma is a decimal sign only with French
/// units, since elsewhere it may separate thousands; spaces separate groups of three digits.
pub(super) fn number(text: &str, is_french: bool) -> Option<String> {
    let mut groups = text.split_whitespace();
    let mut number = groups.next()?.to_owned();
    for group in groups {
        let digits = group.split(['.', ',']).next()?;
        let is_whole = number.bytes().all(|b| b.is_ascii_digit());
        if digits.len() != 3 || !is_whole {
            return None;
        }
        number.push_str(group);
    }
    if is_french {
        number = number.replace(',', ".");
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn french_units_are_read() {
        for (french, english) in [
            ("1 mois", "1 months"),
            ("1 Mois", "1 months"),
            ("30\u{a0}jours", "30 days"),
            ("30j", "30days"),
            ("1 an et 2 mois", "1 years  2 months"),
            ("12 heures", "12 hours"),
            ("une semaine", "1 weeks"),
            ("P1M", "P1M"),
            ("12 h 30 min", "12 h 30 min"),
        ] {
            assert_eq!(span_in_english(french), english);
        }
    }
}

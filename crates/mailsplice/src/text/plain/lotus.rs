//! The header that Lotus Notes writes above what it quotes: no line says `From`.
//!
//! * Notes 5, a table: the sender on the left, `To:`, `cc:` and `Subject:` one below the other on the right
//! * Notes 6 and later, a table: the same labels without colons, each ending at the same column
//! * Notes 4, and its agents: `Jane Doe <jane@example.org> on 21/11/2026 18:02:00`, then the fields

use std::ops::Range;

use super::{QuotedField, TextLines, field};

/// Lines that the header takes at most, names of recipients included.
const HEADER_LINES_MAX: usize = 14;

/// Blanks that stand before all lines of a table.
const INDENT_MIN: usize = 10;

/// The first column at which the labels of a table may begin, or end.
const LABEL_COLUMN_MIN: usize = 30;

/// Returns true if such a header starts with this line.
pub(super) fn begins(lines: &TextLines<'_>, i: usize) -> bool {
    match lines.get(i) {
        [b' ', ..] => begins_table(lines, i),
        [.., b'M' | b'0'..=b'9'] => begins_fields(lines, i),
        _ => false,
    }
}

fn begins_table(lines: &TextLines<'_>, i: usize) -> bool {
    let is_of_table = |line: &[u8]| line.trim_ascii().is_empty() || indent(line) >= INDENT_MIN;
    if lines.is_blank(i) || !is_of_table(lines.get(i)) {
        return false;
    }

    let table = || {
        let all = (i..i + HEADER_LINES_MAX).map(|line| lines.get(line));
        all.take_while(|line| is_of_table(line))
    };
    table().any(has_time)
        && (are_in_order(table().filter_map(label)) || are_in_order(table().filter_map(last_word)))
}

/// A recipient, then a subject, at the same column.
fn are_in_order(labels: impl Iterator<Item = (usize, QuotedField)>) -> bool {
    let mut recipients = None;
    for (column, field) in labels {
        match field {
            QuotedField::Other => {
                recipients.get_or_insert(column);
            }
            QuotedField::Subject if recipients == Some(column) => return true,
            _ => {}
        }
    }
    false
}

/// Returns the first column and the meaning of a label that ends in a colon within a line.
fn label(line: &[u8]) -> Option<(usize, QuotedField)> {
    memchr::memchr_iter(b':', line).find_map(|colon| {
        // French sets a blank before it.
        let blanks = usize::from(line[..colon].ends_with(b" "));
        let word = word_before(line, colon - blanks);
        let stands_apart = line[..word.start].ends_with(b"  ")
            && line.get(colon + 1).is_none_or(u8::is_ascii_whitespace);
        let field = field(&line[word.start..=colon])?;
        (stands_apart && word.start >= LABEL_COLUMN_MIN).then_some((word.start, field))
    })
}

/// Returns the end and the meaning of a label without a colon, which is alone on its line, or on the right.
fn last_word(line: &[u8]) -> Option<(usize, QuotedField)> {
    let line = line.trim_ascii_end();
    let word = word_before(line, line.len());
    let stands_apart = line[..word.start].ends_with(b"  ");
    let label = [&line[word], b":"].concat();
    (stands_apart && line.len() >= LABEL_COLUMN_MIN).then_some((line.len(), field(&label)?))
}

fn word_before(line: &[u8], end: usize) -> Range<usize> {
    let start = memchr::memrchr(b' ', &line[..end]).map_or(0, |blank| blank + 1);
    start..end
}

/// `… on 21/11/2026 18:02:00 PM`, with recipients and a subject below.
fn begins_fields(lines: &TextLines<'_>, i: usize) -> bool {
    let line = lines.get(i);
    let words = [" on ", " le ", " am "];
    let names_sender = has_time(line)
        && words.iter().any(|word| {
            let at = memchr::memmem::find(line, word.as_bytes());
            at.is_some_and(|at| line.get(at + word.len()).is_some_and(u8::is_ascii_digit))
        });
    if !names_sender {
        return false;
    }

    let Some(first) = lines.next_filled(i + 1) else {
        return false;
    };
    let fields = |range: Range<usize>| range.filter_map(|line| field(lines.get(line)));
    field(lines.get(first)) == Some(QuotedField::Other)
        && fields(first + 1..first + HEADER_LINES_MAX).any(|field| field == QuotedField::Subject)
}

fn indent(line: &[u8]) -> usize {
    line.iter().take_while(|&&b| b == b' ').count()
}

/// Returns true if a time stands in the line, as `18:02`.
fn has_time(line: &[u8]) -> bool {
    line.windows(4).any(|four| {
        let [hour, colon, minute @ ..] = four else {
            return false;
        };
        hour.is_ascii_digit() && *colon == b':' && minute.iter().all(u8::is_ascii_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Position, place};
    use super::has_time;

    #[test]
    fn a_time_is_a_digit_a_colon_and_two_digits() {
        for line in [&b"18:02"[..], b"21/11/2026 18:02", b"8:59 PM", b"at 0:00."] {
            assert!(has_time(line), "{line:?}");
        }
        for line in [
            &b""[..],
            b"18.02",
            b"1802",
            b"a:02",
            b"1:2b",
            b"12:",
            b"1::02x",
        ] {
            assert!(!has_time(line), "{line:?}");
        }
    }

    /// Checks that the notice goes to the place of `@@` in the text.
    fn check(marked: &str) {
        let at = marked.find("@@").unwrap();
        let text = marked.replace("@@", "");
        assert_eq!(
            place(text.as_bytes(), Position::BeforeQuote),
            at,
            "{marked}"
        );
    }

    #[test]
    fn a_table_of_notes_5_is_a_quote() {
        check(
            "Le voici.\n\n\n\n\
             @@                      \"Yann Le Goff\"\n\
             \x20                     <yann@breizh.exam        Pour :    jeanne@asso.example\n\
             \x20                     ple>                     cc :      ca@asso.example\n\
             \x20                                              Objet :   Le dossier\n\
             \x20                     21/11/2026 18:02\n\n\n\
             Peux-tu m'envoyer le dossier ?\n",
        );
        check(
            "Here it is.\n\n\
             @@                      \"Yann\"\n\
             \x20                     <yann@breizh.exam        To:       jane@asso.example\n\
             \x20                     ple>                     cc:\n\
             \x20                                              Subject:  The file\n\
             \x20                     11/21/2026 06:02\n\
             \x20                     PM\n\n\
             Can you send it?\n",
        );
    }

    #[test]
    fn a_table_of_notes_6_is_a_quote() {
        check(
            "Here it is.\n\n\
             @@             Yann Le Goff\n\
             \x20            <yann@breizh.example>\n\
             \x20                                                                        To\n\
             \x20            11/21/2026 06:02          jane@asso.example\n\
             \x20            PM                                                          cc\n\
             \n\
             \x20                                                                   Subject\n\
             \x20                                      The file\n\n\n\
             Can you send it?\n",
        );
    }

    #[test]
    fn fields_below_a_sender_and_a_date_are_a_quote() {
        for (line, to, subject) in [
            (
                "Yann <yann@breizh.example> on 11/21/2026 06:02:00 PM",
                "To:",
                "Subject:",
            ),
            ("Yann Le Goff le 21/11/2026 18:02:00", "Pour :", "Objet :"),
            ("Yann Le Goff am 21.11.2026 18:02", "An:", "Betreff:"),
        ] {
            check(&format!(
                "Here.\n\n@@{line}\n\n{to}   jane@asso.example\ncc:\n\n{subject}  The file\n\nCan you?\n"
            ));
        }
    }

    #[test]
    fn other_tables_and_dates_are_text() {
        for text in [
            // A table of the author's own.
            "Our times:\n\n                      18:02      To:       Brest\n                      19:30      From:     Rennes\n@@",
            // No time.
            "a\n\n                                     To:       Brest\n                                     Subject:  Trip\n@@",
            // Not below each other.
            "a\n\n              18:02                       To:       Brest\n                          more than Subject:  Trip\n@@",
            // No subject.
            "We meet on 21/11/2026 18:02\n\nTo: the station\n@@",
            // A sentence between them.
            "We meet on 21/11/2026 18:02\n\nBring bread.\nTo: the station\nSubject: x\n@@",
        ] {
            check(text);
        }
    }
}

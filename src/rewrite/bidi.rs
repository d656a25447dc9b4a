//! Text from right to left: told from other text, and kept apart from it (Unicode annex 9).

const LEFT_TO_RIGHT_MARK: char = '\u{200e}';
const LEFT_TO_RIGHT_ISOLATE: char = '\u{2066}';
const FIRST_STRONG_ISOLATE: char = '\u{2068}';
const POP_ISOLATE: char = '\u{2069}';

/// True if a letter of a script from right to left is in the text.
///
/// The blocks are those whose characters have the class R or AL by default (annex 9, table 4).
pub(super) fn has_rtl(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(c,
            '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}')
    })
}

/// A run of text that has the direction of its own letters and disorders nothing around it.
///
/// `can` says which characters there are. Charsets without isolates may have marks.
pub(super) fn isolate(text: &str, can: &dyn Fn(char) -> bool) -> String {
    if can(FIRST_STRONG_ISOLATE) && can(POP_ISOLATE) {
        format!("{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}")
    } else {
        between_marks(text, can)
    }
}

/// A line that reads from left to right in a paragraph of either direction. The mark is for
/// clients that take the first letter for the line's direction even if it is isolated.
pub(super) fn left_to_right(line: &str, can: &dyn Fn(char) -> bool) -> String {
    if can(LEFT_TO_RIGHT_ISOLATE) && can(POP_ISOLATE) && can(LEFT_TO_RIGHT_MARK) {
        format!("{LEFT_TO_RIGHT_MARK}{LEFT_TO_RIGHT_ISOLATE}{line}{POP_ISOLATE}")
    } else {
        between_marks(line, can)
    }
}

fn between_marks(text: &str, can: &dyn Fn(char) -> bool) -> String {
    if can(LEFT_TO_RIGHT_MARK) {
        format!("{LEFT_TO_RIGHT_MARK}{text}{LEFT_TO_RIGHT_MARK}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_from_right_to_left_are_known() {
        for text in ["שלום", "a مرحبا", "ܫܠܡ", "𞤀"] {
            assert!(has_rtl(text), "{text}");
        }
        for text in ["", "Été …", "日本語", "Ελλάδα", "\u{2060}"] {
            assert!(!has_rtl(text), "{text}");
        }
    }

    #[test]
    fn what_the_charset_has_keeps_text_apart() {
        assert_eq!(isolate("ש", &|_| true), "\u{2068}ש\u{2069}");
        assert_eq!(left_to_right("a", &|_| true), "\u{200e}\u{2066}a\u{2069}");
        assert_eq!(isolate("ש", &|c| c < '\u{2060}'), "\u{200e}ש\u{200e}");
        assert_eq!(isolate("ש", &|c| c < '\u{600}'), "ש");
    }
}

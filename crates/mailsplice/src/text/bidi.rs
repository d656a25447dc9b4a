//! Text from right to left, told from other text (Unicode annex 9).
//!
//! Such text is kept apart from its surroundings by its place, and by `dir` in HTML: hostile names
//! are made of control characters for directions, and filters count them.

/// Returns true if the text has a letter of a script from right to left.
///
/// The blocks are those whose characters have the class R or AL by default (annex 9, table 4).
pub(crate) fn has_rtl(text: &str) -> bool {
    text.chars().any(|c| {
        matches!(c,
            '\u{590}'..='\u{8ff}'
            | '\u{fb1d}'..='\u{fdff}'
            | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}'
            | '\u{1e800}'..='\u{1efff}')
    })
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
}

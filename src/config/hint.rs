//! Advice on the text to write instead: for a line that is not TOML, and for an unknown name.
//!
//! The library says what it expected; the author of the line wants to see it as it should be.

/// Minimum similarity at which a name is taken for a misspelling of another.
const LIKENESS_MIN: f64 = 0.6;

/// Returns the known name that was meant, if one is near: case, `-` for `_`, and a few letters are
/// forgiven.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let likeness = |name: &&str| strsim::normalized_damerau_levenshtein(&word, name);
    let best = known
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= LIKENESS_MIN).then_some(best)
}

/// Returns the question that follows an unknown name, or nothing.
pub(super) fn meant(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Returns the right form of the line at this offset.
pub(super) fn of_syntax(message: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let begin = before.rfind('\n').map_or(0, |end| end + 1);
    let number = before.matches('\n').count();
    let line = text[begin..].lines().next().unwrap_or_default().trim();
    let plain = line.replace(['“', '”', '„', '«', '»', '‘', '’'], "\"");

    if plain != line {
        return format!("write straight quotes: {plain}");
    }
    if line.starts_with("//") || line.starts_with(';') || line.starts_with("--") {
        return "a comment begins with #".to_owned();
    }
    if message.contains("duplicate key") {
        return of_duplicate(text, line, number);
    }
    if line.starts_with('[') {
        return format!("write: {}", header(line));
    }
    if message.contains("unexpected key or value") {
        return "each key stands on a line of its own, and behind its value nothing but # and a comment"
            .to_owned();
    }
    of_pair(line)
}

/// Returns the name of a section between its brackets.
fn header(line: &str) -> String {
    let name = line.trim_matches(|c: char| c == '[' || c == ']' || c.is_whitespace());
    let name = name.split(']').next().unwrap_or(name);
    if name == "rule" {
        "[[rule]]".to_owned()
    } else {
        format!("[{name}]")
    }
}

/// Returns advice for a key or section that appears twice.
fn of_duplicate(text: &str, line: &str, number: usize) -> String {
    let name = |line: &str| line.split('=').next().unwrap_or(line).trim().to_owned();
    let wanted = name(line);
    let earlier: Vec<&str> = text.lines().take(number).collect();
    let first = earlier.iter().rposition(|other| name(other) == wanted);
    let place = first.map_or_else(String::new, |first| format!(" in line {}", first + 1));
    if line.starts_with('[') {
        format!("the section {wanted} stands already{place}: put these keys there")
    } else {
        format!("{wanted} stands already{place}: keep one of the two")
    }
}

/// Returns advice for a key and its value.
fn of_pair(line: &str) -> String {
    let Some((key, value)) = line.split_once('=') else {
        return of_words(line);
    };
    let (key, value) = (key.trim(), value.trim_start_matches('=').trim());
    let value = value.split(" #").next().unwrap_or(value).trim();
    if matches!(value, "" | "null" | "nil" | "none" | "None") {
        return format!("write a value behind {key} =, or # before it");
    }
    if value.starts_with('[') || value.starts_with('{') {
        return format!(
            "write: {key} = [\"one\", \"two\"], with a comma between the values and a bracket at the end"
        );
    }
    let bare = value.trim_matches(['"', '\'', '`', ';', ',', ' ']);
    if bare.contains(['"', '\'', '\\']) {
        return format!(r"write: {key} = 'the value', with neither ' nor a line end in it");
    }
    format!("write: {key} = {}", shown(bare))
}

/// Quotes a value, unless it is a number or a boolean.
fn shown(bare: &str) -> String {
    let is_number = bare.bytes().all(|b| b.is_ascii_digit()) && !bare.starts_with('0');
    match bare.to_lowercase().as_str() {
        "yes" | "oui" | "true" => "true".to_owned(),
        "no" | "non" | "false" => "false".to_owned(),
        _ if is_number || bare == "0" => bare.to_owned(),
        _ => format!("\"{bare}\""),
    }
}

/// Returns advice for a line without an equals sign, as in YAML, Postfix and ini files.
fn of_words(line: &str) -> String {
    let (key, value) = line
        .split_once(':')
        .or_else(|| line.split_once(char::is_whitespace))
        .unwrap_or((line, ""));
    let value = value.trim().trim_matches(['"', '\'']);
    match value {
        "" => format!("a section is written [{key}], and a key with its value: {key} = \"value\""),
        value => format!("write: {} = {}", key.trim(), shown(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_taken_for_the_name_that_is_near() {
        let known = [
            "threshold",
            "message_threshold",
            "mode",
            "rule",
            "public_url",
        ];
        for (word, meant) in [
            ("treshold", Some("threshold")),
            ("Threshold", Some("threshold")),
            ("message-threshold", Some("message_threshold")),
            ("rules", Some("rule")),
            ("publicurl", Some("public_url")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn a_line_that_is_no_toml_is_shown_as_it_should_be() {
        for (text, hint) in [
            ("threshold = 500 kB", r#"write: threshold = "500 kB""#),
            ("threshold = \"1 Mo", r#"write: threshold = "1 Mo""#),
            ("mode = live # now", r#"write: mode = "live""#),
            ("mode : live", r#"write: mode = "live""#),
            ("mode live", r#"write: mode = "live""#),
            ("socket_mode = 0666", r#"write: socket_mode = "0666""#),
            ("mode == \"live\"", r#"write: mode = "live""#),
            ("a = “b”", "write straight quotes: a = \"b\""),
            ("// x", "a comment begins with #"),
            ("[detach", "write: [detach]"),
            ("a =", "write a value behind a =, or # before it"),
            ("a = [\"b\"", "with a comma between"),
            ("a = true", "write: a = true"),
        ] {
            let said = of_syntax("", text, 1);
            assert!(said.contains(hint), "{text}: {said}");
        }
        let twice = "[a]\nb = 1\n[c]\n[a]\n";
        assert_eq!(
            of_syntax("duplicate key", twice, 15),
            "the section [a] stands already in line 1: put these keys there"
        );
        // Wherever the library points, nothing panics.
        for offset in 0..40 {
            of_syntax("", "é = ü\n\n[", offset);
        }
    }
}

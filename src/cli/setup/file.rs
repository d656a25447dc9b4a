//! The configuration that is written: the sample with its comments, and with values that differ
//! uncommented.

use std::borrow::Cow;

/// Every option with its default, as it is shipped.
const SAMPLE: &str = include_str!("../../../config/depollueur.toml");

/// The rules for a host on which a list server runs; they end the file.
pub(super) const LIST_RULES: &str = include_str!("lists.toml");

/// Returns the sample with these values (`section.key`, TOML). A value that is the default stays commented.
pub(super) fn text(settings: &[(Cow<'static, str>, String)]) -> String {
    let mut left: Vec<_> = settings.iter().collect();
    let mut section = "";
    let mut lines = Vec::new();
    for line in SAMPLE.lines() {
        if let Some(name) = header(line) {
            section = name;
        }
        let found = left.iter().position(|(key, _)| is_of(line, section, key));
        match found.map(|index| left.swap_remove(index)) {
            Some((key, value)) => lines.push(set(line, key, value)),
            None => lines.push(line.to_owned()),
        }
    }
    for (key, value) in left {
        insert(&mut lines, key, value);
    }
    lines.join("\n") + "\n"
}

fn header(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

/// Returns true for the commented line that shows the default of the key.
fn is_of(line: &str, section: &str, key: &str) -> bool {
    let name = line
        .strip_prefix('#')
        .and_then(|line| line.split_once(" = "));
    name.is_some_and(|(name, _)| key.split_once('.') == Some((section, name)))
}

fn set(line: &str, key: &str, value: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    let own = format!("{name} = {value}");
    if line.strip_prefix('#') == Some(own.as_str()) {
        line.to_owned()
    } else {
        own
    }
}

/// Inserts a key that the sample does not show right below the header of its section.
fn insert(lines: &mut Vec<String>, key: &str, value: &str) {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let place = lines.iter().position(|line| header(line) == Some(section));
    if let Some(place) = place {
        lines.insert(place + 1, format!("{name} = {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_uncommented_and_every_comment_stays() {
        let text = text(&[
            (
                "web.public_url".into(),
                r#""https://drop.example.org/""#.into(),
            ),
            ("detach.threshold".into(), r#""500 kB""#.into()),
            ("notice.language".into(), r#""en""#.into()),
        ]);
        let changed: Vec<_> = text
            .lines()
            .zip(SAMPLE.lines())
            .filter(|(new, old)| new != old)
            .collect();
        assert_eq!(
            changed,
            [
                (
                    r#"public_url = "https://drop.example.org/""#,
                    r#"#public_url = "http://127.0.0.1:8025/""#
                ),
                (r#"language = "en""#, r#"#language = "fr""#),
            ]
        );
        assert_eq!(text.lines().count(), SAMPLE.lines().count());
    }
}

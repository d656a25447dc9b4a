//! The keys that exist, and the one that was meant by one that does not.

use config::{Value, ValueKind};

use super::{
    super::{Config, hint},
    ConfigError,
    explain::place,
    file::FileText,
};

/// Returns all keys that exist, with their defaults.
pub(super) fn known_keys() -> toml::Table {
    let defaults = Config::default().to_toml();
    defaults.parse().expect("what toml prints, toml parses")
}

pub(super) fn reject_unknown_keys(
    merged: &config::Config,
    file: Option<&FileText>,
) -> Result<(), ConfigError> {
    let known = known_keys();
    let ValueKind::Table(sections) = &merged.cache.kind else {
        return Ok(());
    };

    for (section, value) in sections {
        if section == "rule" {
            continue;
        }

        let Some(toml::Value::Table(names)) = known.get(section) else {
            let names = known.keys().map(String::as_str).chain(["rule"]);
            let meant = section_meant(section, names, &known);
            return Err(unknown(section, value, ("sections", meant), &known, file));
        };

        let ValueKind::Table(keys) = &value.kind else {
            continue;
        };

        if let Some((key, value)) = keys.iter().find(|(key, _)| !names.contains_key(*key)) {
            let near = hint::nearest(key, names.keys().map(String::as_str));
            let meant = near.map(str::to_owned).or_else(|| elsewhere(key, &known));
            let name = format!("{section}.{key}");
            return Err(unknown(&name, value, ("keys here", meant), names, file));
        }
    }
    Ok(())
}

/// Returns the section to which the key belongs, or one whose name is near.
fn section_meant<'a>(
    word: &str,
    names: impl Iterator<Item = &'a str>,
    known: &toml::Table,
) -> Option<String> {
    elsewhere(word, known).or_else(|| match hint::nearest(word, names)? {
        "rule" => Some("[[rule]]".to_owned()),
        name => Some(format!("[{name}]")),
    })
}

/// Returns the section that has a key of this name, if it is the only one.
fn elsewhere(key: &str, known: &toml::Table) -> Option<String> {
    let key = key.to_lowercase().replace('-', "_");
    let mut sections = known
        .iter()
        .filter(|(_, keys)| keys.as_table().is_some_and(|keys| keys.contains_key(&key)));
    let (section, _) = sections.next()?;
    let is_one = sections.next().is_none();
    is_one.then(|| format!("{key} in the section [{section}]"))
}

fn unknown(
    key: &str,
    value: &Value,
    (what, meant): (&str, Option<String>),
    known: &toml::Table,
    file: Option<&FileText>,
) -> ConfigError {
    let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
    if what == "sections" {
        names.push("[rule]");
    }
    ConfigError::Invalid(format!(
        "{}: unknown key \"{key}\": the {what} are {}{}",
        place(key, Some(value), file),
        names.join(", "),
        hint::meant(meant.as_deref()),
    ))
}

//! The errors of the layers in our words: the place, the key, the value, and what is allowed.

use std::fmt::Write as _;

use config::{ConfigError as LayerError, Value, ValueKind};

use super::{ConfigError, file::FileText};

/// Turns the library's error into our line: place, key, value, and the allowed values.
pub(super) fn explain(error: &LayerError, merged: &Value, file: Option<&FileText>) -> ConfigError {
    let (key, reason) = match error {
        LayerError::At {
            error,
            key: Some(key),
            ..
        } => (key.as_str(), error.to_string()),
        LayerError::Type {
            key: Some(key),
            expected,
            ..
        } => (key.as_str(), format!("must be {expected}")),
        other => return ConfigError::Invalid(one_line(&other.to_string())),
    };

    let key = key.split('[').next().unwrap_or(key);
    let value = find(merged, key);
    let written = value.map(shown).unwrap_or_default();
    let reason = reason
        .split_once("expected ")
        .map_or(reason.as_str(), |(_, rest)| rest);

    // The section is in double brackets, or a value is in a section's place.
    let section =
        format!("must be a section: write [{key}], in single brackets, and its keys below");
    let reason = if key.contains('.') {
        reason
    } else {
        section.as_str()
    };

    ConfigError::Invalid(format!(
        "{}: {key} = {written}: {}",
        place(key, value, file),
        one_line(reason),
    ))
}

pub(super) fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.')
        .try_fold(value, |value, name| match &value.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        })
}

/// Formats a value in quotes, as the admin wrote it.
fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{:?}", without_password(text)),
        ValueKind::Table(items) => {
            let item = |(key, value): (&String, &Value)| format!("{key:?} = {}", shown(value));
            let mut items: Vec<String> = items.iter().map(item).collect();
            items.sort_unstable();
            format!("{{ {} }}", items.join(", "))
        }
        ValueKind::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        _ => format!("\"{value}\""),
    }
}

/// Returns a text without the password of an address that it may be: errors are read by many.
fn without_password(text: &str) -> String {
    let hidden = |rest: &str| {
        let (user, host) = rest.split_once('@')?;
        let (user, _password) = user.split_once(':')?;
        Some(format!("{user}:…@{host}"))
    };
    let shown = text.split_once("://").and_then(|(scheme, rest)| {
        let rest = hidden(rest)?;
        Some(format!("{scheme}://{rest}"))
    });
    let shown = shown.unwrap_or_else(|| text.to_owned());
    match shown.split_once("password=") {
        Some((before, _)) => format!("{before}password=…"),
        None => shown,
    }
}

/// Returns the origin of a value; those of the file have none of their own.
pub(super) fn place(key: &str, value: Option<&Value>, file: Option<&FileText>) -> String {
    let origin = value.and_then(Value::origin).map(str::to_owned);
    origin
        .or_else(|| file.map(|file| file.place_of(key)))
        .unwrap_or_else(|| "configuration".into())
}

pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        let separator = if line.is_empty() { "" } else { "; " };
        let _ = write!(line, "{separator}{part}");
    }
    line
}

//! The layers below each other: files, then the environment, then the settings of the command line.

use config::{
    ConfigError as LayerError, Environment, File, FileFormat, Source as _, Value, ValueKind,
};

use super::{ConfigError, Sources, explain::one_line, file::FileText, keys::known_keys};

/// The prefix of variables, as in `DEPOLLUEUR__DETACH__THRESHOLD`.
pub(super) const PREFIX: &str = "DEPOLLUEUR";
pub(super) const SEPARATOR: &str = "__";

/// Minimum similarity at which the first word of a variable is taken for a misspelling of our prefix.
const PREFIX_LIKENESS_MIN: f64 = 0.8;

pub(super) fn merge(
    file: Option<&FileText>,
    own: Option<&FileText>,
    sources: &Sources,
) -> Result<config::Config, ConfigError> {
    let mut builder = config::Config::builder();
    for file in file.into_iter().chain(own) {
        builder = builder.add_source(File::from_str(&file.text, FileFormat::Toml));
    }

    let variables = Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .source(Some(sources.environment.clone()));
    let layer = |error: LayerError| ConfigError::Invalid(one_line(&error.to_string()));
    for (key, value) in variables.collect().map_err(layer)? {
        let origin = format!("environment {}", variable_name(&key));
        let text = value.into_string().map_err(layer)?;
        builder = set(builder, &key, &text, &origin)?;
    }

    for setting in &sources.settings {
        let (key, text) = setting.split_once('=').ok_or_else(|| {
            ConfigError::Invalid(format!(
                "--set {setting:?}: must be KEY=VALUE, such as detach.threshold=\"1 MB\""
            ))
        })?;
        builder = set(builder, key.trim(), text.trim(), "--set")?;
    }

    builder.build().map_err(layer)
}

type Builder = config::ConfigBuilder<config::builder::DefaultState>;

fn set(builder: Builder, key: &str, text: &str, origin: &str) -> Result<Builder, ConfigError> {
    let origin = origin.to_owned();
    let plain = key.split('.').count() == 2
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._".contains(c));
    if !plain {
        return Err(ConfigError::Invalid(format!(
            r#"{origin}: "{key}" is not a key: must be of the form section.name, such as detach.threshold"#
        )));
    }

    if key.split('.').next() == Some("rule") {
        return Err(ConfigError::Invalid(format!(
            r#"{origin}: "{key}": rules stand in the configuration file only"#
        )));
    }

    let value = layer_value(&toml_value(text), &origin);
    builder.set_override(key, value).map_err(|error| {
        ConfigError::Invalid(format!("{origin}: {}", one_line(&error.to_string())))
    })
}

/// Parses a value written outside a file: a TOML scalar or list if it looks like one, else text.
fn toml_value(text: &str) -> toml::Value {
    let parsed: Result<toml::Table, _> = format!("value = {text}").parse();
    let value = parsed
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut t| t.remove("value"));
    match value {
        Some(toml::Value::Table(_) | toml::Value::Datetime(_)) | None => {
            toml::Value::String(text.into())
        }
        Some(value) => value,
    }
}

fn layer_value(value: &toml::Value, origin: &String) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text.clone()),
        toml::Value::Integer(number) => ValueKind::I64(*number),
        toml::Value::Float(number) => ValueKind::Float(*number),
        toml::Value::Boolean(flag) => ValueKind::Boolean(*flag),
        toml::Value::Array(items) => {
            ValueKind::Array(items.iter().map(|item| layer_value(item, origin)).collect())
        }
        other => ValueKind::String(other.to_string()),
    };
    Value::new(Some(origin), kind)
}

fn variable_name(key: &str) -> String {
    format!(
        "{PREFIX}{SEPARATOR}{}",
        key.replace('.', SEPARATOR).to_uppercase()
    )
}

/// Returns the right name of a variable that was meant for us and is not read.
pub(super) fn variable_meant(name: &str) -> Option<String> {
    let capitals = name.to_uppercase();
    let (prefix, rest) = capitals.split_once('_')?;
    if strsim::normalized_damerau_levenshtein(prefix, PREFIX) < PREFIX_LIKENESS_MIN {
        return None;
    }
    let words = rest.split('_').filter(|word| !word.is_empty());
    let words = words.collect::<Vec<_>>().join("_");
    let known = known_keys();
    let keys = known.iter().flat_map(|(section, keys)| {
        let keys = keys.as_table().into_iter().flat_map(toml::Table::keys);
        keys.map(move |key| variable_name(&format!("{section}.{key}")))
    });
    let squeezed = |name: &String| name.replace(SEPARATOR, "_") == format!("{PREFIX}_{words}");
    let mut keys = keys.filter(squeezed);
    keys.next().filter(|right| *right != capitals)
}

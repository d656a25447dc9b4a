//! The text of one configuration file, and the lines of its keys.

use std::{fs, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    super::{
        NamedAddressFile, Rule, hint,
        rule::{self, Mistake},
    },
    ConfigError,
    explain::one_line,
};

/// A configuration file, kept so that lines can be found in it.
pub(super) struct FileText {
    pub(super) name: String,
    pub(super) text: String,
}

impl FileText {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|error| ConfigError::Read {
            path: path.to_owned(),
            error,
        })?;
        let file = Self {
            name: path.display().to_string(),
            text,
        };

        match DeTable::parse(&file.text) {
            Ok(_) => Ok(file),
            Err(error) => {
                let offset = error.span().map(|span| span.start);
                let message = error.message();
                let hint = hint::of_syntax(message, &file.text, offset.unwrap_or_default());
                Err(ConfigError::Invalid(format!(
                    "{}: {}; {hint}",
                    file.place(offset),
                    one_line(message),
                )))
            }
        }
    }

    /// Returns `name:line`, or the name alone.
    pub(super) fn place(&self, offset: Option<usize>) -> String {
        let before = offset.and_then(|offset| self.text.as_bytes().get(..offset));
        before.map_or_else(
            || self.name.clone(),
            |before| {
                format!(
                    "{}:{}",
                    self.name,
                    1 + before.iter().filter(|b| **b == b'\n').count()
                )
            },
        )
    }

    /// Fails if the file has keys other than these.
    pub(super) fn reject_keys_but(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let table = DeTable::parse(&self.text)
            .map(toml::Spanned::into_inner)
            .unwrap_or_default();
        for (section, value) in &table {
            let inner = match value.get_ref() {
                DeValue::Table(inner) => inner.iter().collect(),
                _ => Vec::new(),
            };
            let mut names = inner.iter().map(|(name, _)| {
                let key = format!("{}.{}", section.get_ref(), name.get_ref());
                (key, name.span().start)
            });

            let alone = || (section.get_ref().to_string(), section.span().start);
            let is_bad = |(key, _): &(String, usize)| !keys.contains(&key.as_str());
            let bad = if inner.is_empty() && !matches!(value.get_ref(), DeValue::Table(_)) {
                Some(alone())
            } else {
                names.find(is_bad)
            };

            if let Some((key, offset)) = bad {
                return Err(ConfigError::Invalid(format!(
                    "{}: \"{key}\" is nothing that a domain has of its own: the keys here are {}",
                    self.place(Some(offset)),
                    keys.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Parses the rules of the file.
    pub(super) fn rules(&self) -> Result<Vec<Rule>, ConfigError> {
        let table = DeTable::parse(&self.text)
            .map(toml::Spanned::into_inner)
            .unwrap_or_default();
        rule::read(&table).map_err(|Mistake { offset, message }| {
            ConfigError::Invalid(format!("{}: {message}", self.place(Some(offset))))
        })
    }

    /// Returns the files of addresses that its rules name.
    pub(super) fn address_files(&self, rules: &[Rule]) -> Vec<NamedAddressFile> {
        let table = DeTable::parse(&self.text)
            .map(toml::Spanned::into_inner)
            .unwrap_or_default();
        let named = rule::address_files(&table, rules).into_iter();
        named
            .map(|(offset, named, file)| NamedAddressFile {
                file: file.clone(),
                named: format!("{}: {named}", self.place(Some(offset))),
            })
            .collect()
    }

    /// Returns the place of a key.
    pub(super) fn place_of(&self, key: &str) -> String {
        let table = DeTable::parse(&self.text)
            .map(toml::Spanned::into_inner)
            .unwrap_or_default();
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        let found = table.iter().find(|(known, _)| known.get_ref() == section);
        let inner = found.and_then(|(_, value)| match value.get_ref() {
            DeValue::Table(inner) => inner.iter().find(|(known, _)| known.get_ref() == name),
            _ => None,
        });
        let spanned = inner.or(found);
        self.place(spanned.map(|(key, _)| key.span().start))
    }
}

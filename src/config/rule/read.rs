//! Parses rules, key by key.

use mailsplice::rewrite::Position;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Condition, Rule, RuleAction, Terms, unmatched};
use crate::config::{
    AddressFile, NoticeLanguage, StoreKind,
    address::Networks,
    hint,
    pattern::{AddressPatterns, Bare, HeaderPattern, PatternError, Patterns},
    value::{Choice, Codec, DirectionsCodec, OptionalSize, Period, Size, Written},
};

/// Maximum number of rules in one configuration.
const RULES_MAX: usize = 1000;

/// Maximum size of a rule's name, in bytes.
const NAME_BYTES_MAX: usize = 60;

/// Maximum size of the text with which a message is refused, in bytes (RFC 5321, section 4.5.3.1.5: a
/// reply line has 512).
const TEXT_BYTES_MAX: usize = 400;

/// Replies without a `text`.
const TEMPFAIL_TEXT: &str = "this message cannot be accepted at the moment, try again later";
const REJECT_TEXT: &str = "this message is not accepted here";

/// Keys of a rule, in the order of the documentation.
const KEYS: [&str; 28] = [
    "name",
    "direction",
    "login",
    "sender",
    "recipient",
    "client",
    "daemon",
    "list",
    "bulk",
    "automatic",
    "signed_by_others",
    "forwarded",
    "header",
    "file_name",
    "extension",
    "type",
    "content",
    "size_min",
    "size_max",
    "action",
    "text",
    "mode",
    "threshold",
    "message_threshold",
    "retention",
    "language",
    "position",
    "store",
];

/// Returns the keys that are conditions: all between the name and the action.
pub(super) fn condition_keys() -> impl Iterator<Item = &'static str> {
    let behind_name = KEYS.into_iter().skip(1);
    behind_name.take_while(|key| *key != "action")
}

/// Keys that are about an attachment.
const PART_KEYS: [&str; 6] = [
    "file_name",
    "extension",
    "type",
    "content",
    "size_min",
    "size_max",
];

/// Keys that set the terms of detaching.
const TERM_KEYS: [&str; 6] = [
    "threshold",
    "message_threshold",
    "retention",
    "language",
    "position",
    "store",
];

/// A mistake: its place in the file, and its description.
pub(in crate::config) struct Mistake {
    /// The byte offset of the key.
    pub(in crate::config) offset: usize,
    /// One line.
    pub(in crate::config) message: String,
}

/// Parses all rules of a file.
///
/// # Errors
/// Fails with the first mistake.
pub(in crate::config) fn read(table: &DeTable<'_>) -> Result<Vec<Rule>, Mistake> {
    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == "rule") else {
        return Ok(Vec::new());
    };

    let not_rules = || Mistake {
        offset: key.span().start,
        message: "rule: must be written [[rule]], once for each rule".into(),
    };
    let DeValue::Array(array) = value.get_ref() else {
        return Err(not_rules());
    };

    let mut rules: Vec<Rule> = Vec::new();
    for item in array.iter() {
        let DeValue::Table(fields) = item.get_ref() else {
            return Err(not_rules());
        };
        let reader = RuleReader::new(rules.len() + 1, item.span().start, fields);
        if rules.len() >= RULES_MAX {
            return Err(reader.wrong(&format!("is one too many, {RULES_MAX} are allowed")));
        }

        let rule = reader.rule()?;
        if let Some(other) = rules.iter().position(|known| known.label == rule.label) {
            let reason = format!("must differ from the name of rule {}", other + 1);
            return Err(reader.wrong_key("name", &reason));
        }
        rules.push(rule);
    }

    Ok(rules)
}

/// Returns the files of addresses in the rules of a file: the offset of the key that names it, and the text
/// that names the key.
pub(in crate::config) fn address_files<'a>(
    table: &DeTable<'_>,
    rules: &'a [Rule],
) -> Vec<(usize, String, &'a AddressFile)> {
    let written = table
        .get("rule")
        .and_then(|value| value.get_ref().as_array());
    let mut files = Vec::new();

    for (index, (rule, item)) in rules.iter().zip(written.into_iter().flatten()).enumerate() {
        let DeValue::Table(fields) = item.get_ref() else {
            continue;
        };
        let reader = RuleReader::new(index + 1, item.span().start, fields);
        for (key, list) in rule.address_lists() {
            let (offset, named) = reader.named(key);
            files.extend(
                list.files()
                    .iter()
                    .map(|file| (offset, named.clone(), file)),
            );
        }
    }

    files
}

/// A rule as it is written in the file.
struct RuleReader<'a> {
    number: usize,
    offset: usize,
    fields: &'a DeTable<'a>,
}

impl<'a> RuleReader<'a> {
    fn new(number: usize, offset: usize, fields: &'a DeTable<'a>) -> Self {
        Self {
            number,
            offset,
            fields,
        }
    }

    fn rule(&self) -> Result<Rule, Mistake> {
        self.check_keys()?;
        let rule = Rule {
            label: self.label()?,
            conditions: self.conditions()?,
            action: self.action()?,
            dry_run: self.dry_run()?,
            written: self.written()?,
        };
        self.check(&rule)?;
        Ok(rule)
    }

    fn check_keys(&self) -> Result<(), Mistake> {
        for (key, _) in self.fields {
            let name: &str = key.get_ref();
            if !KEYS.contains(&name) {
                return Err(Mistake {
                    offset: key.span().start,
                    message: format!(
                        "{}: unknown key \"{name}\": the keys here are {}{}",
                        self.title(),
                        KEYS.join(", "),
                        hint::meant(hint::nearest(name, KEYS))
                    ),
                });
            }
        }
        Ok(())
    }

    /// Checks for keys that make no sense together.
    fn check(&self, rule: &Rule) -> Result<(), Mistake> {
        if rule.conditions.is_empty()
            && ["action", "mode"].iter().all(|key| !self.has(key))
            && !self.has_terms()
        {
            return Err(self.wrong("says nothing: it needs conditions and an action"));
        }

        if !self.has("action") && !self.has_terms() {
            return Err(self.wrong(
                "says what it is about and not what to do: it needs an action, or something to set such as threshold",
            ));
        }

        if rule.refuses()
            && let Some(key) = PART_KEYS.iter().find(|key| self.has(key))
        {
            return Err(self.wrong_key(
                key,
                "is about an attachment, and tempfail and reject are about the message",
            ));
        }

        if rule.store().is_some() && rule.is_of_part() {
            return Err(self.wrong_key(
                "store",
                "decides for all files of a message, and this rule is about an attachment",
            ));
        }

        if matches!(rule.action, RuleAction::Keep) && rule.dry_run {
            return Err(self.wrong_key("mode", "has no meaning for a rule that keeps"));
        }

        let size = |wanted: fn(&Condition) -> Option<u64>| rule.conditions.iter().find_map(wanted);
        let min = size(|condition| match condition {
            Condition::SizeMin(size) => Some(*size),
            _ => None,
        });
        let max = size(|condition| match condition {
            Condition::SizeMax(size) => Some(*size),
            _ => None,
        });

        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(self.wrong_key("size_min", "must not be above size_max"));
        }
        Ok(())
    }

    fn has_terms(&self) -> bool {
        TERM_KEYS.iter().any(|key| self.has(key))
    }

    fn label(&self) -> Result<String, Mistake> {
        let Some(written) = self.get("name")? else {
            return Ok(format!("rule {}", self.number));
        };
        let fits = |name: &String| {
            !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
        };
        written.text().filter(fits).ok_or_else(|| {
            self.wrong_key(
                "name",
                &format!("must be one line of at most {NAME_BYTES_MAX} bytes"),
            )
        })
    }

    fn conditions(&self) -> Result<Vec<Condition>, Mistake> {
        use Condition as C;

        let found = [
            self.value::<DirectionsCodec>("direction")?
                .map(C::Direction),
            self.addresses("login", Bare::Allowed)?.map(C::Login),
            self.addresses("sender", Bare::Refused)?.map(C::Sender),
            self.addresses("recipient", Bare::Refused)?
                .map(C::Recipient),
            self.value::<Networks>("client")?.map(C::Client),
            self.patterns("daemon")?.map(C::Daemon),
            self.list()?,
            self.flag("bulk")?.map(C::Bulk),
            self.flag("automatic")?.map(C::Automatic),
            self.flag("signed_by_others")?.map(C::SignedByOthers),
            self.flag("forwarded")?.map(C::Forwarded),
            self.header()?.map(C::Header),
            self.patterns("file_name")?.map(C::FileName),
            self.patterns("extension")?.map(C::Extension),
            self.patterns("type")?.map(C::Type),
            self.patterns("content")?.map(C::Content),
            self.value::<Size>("size_min")?.map(C::SizeMin),
            self.value::<Size>("size_max")?.map(C::SizeMax),
        ];
        Ok(found.into_iter().flatten().collect())
    }

    fn action(&self) -> Result<RuleAction, Mistake> {
        let word = match self.get("action")? {
            None => "detach".to_owned(),
            Some(written) => written.text().unwrap_or_default(),
        };

        let action = match word.as_str() {
            "detach" => RuleAction::Detach(Box::new(self.terms()?)),
            "keep" => RuleAction::Keep,
            "tempfail" => RuleAction::Tempfail(self.text(TEMPFAIL_TEXT)?),
            "reject" => RuleAction::Reject(self.text(REJECT_TEXT)?),
            _ => {
                let allowed = r#"must be "detach" or "keep" or "tempfail" or "reject""#;
                return Err(self.wrong_key("action", allowed));
            }
        };

        let useless = match &action {
            RuleAction::Detach(_) => ["text"].iter().find(|key| self.has(key)),
            RuleAction::Keep => TERM_KEYS.iter().chain(&["text"]).find(|key| self.has(key)),
            _ => TERM_KEYS.iter().find(|key| self.has(key)),
        };

        match useless {
            None => Ok(action),
            Some(key) => {
                Err(self.wrong_key(key, &format!("has no meaning with action = \"{word}\"")))
            }
        }
    }

    fn terms(&self) -> Result<Terms, Mistake> {
        Ok(Terms {
            threshold: self.value::<Size>("threshold")?,
            message_threshold: self.value::<OptionalSize>("message_threshold")?,
            retention: self.value::<Period>("retention")?,
            language: self.value::<Choice<NoticeLanguage>>("language")?,
            position: self.value::<Choice<Position>>("position")?,
            store: self.value::<Choice<StoreKind>>("store")?,
        })
    }

    /// Returns the text of the reply: mail servers pass it on as ASCII (RFC 5321, section 4.2).
    fn text(&self, default: &str) -> Result<String, Mistake> {
        let Some(written) = self.get("text")? else {
            return Ok(default.to_owned());
        };
        let fits = |text: &String| {
            let plain = text
                .bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic());
            plain && !text.is_empty() && text.len() <= TEXT_BYTES_MAX
        };
        written.text().filter(fits).ok_or_else(|| {
            let allowed = format!("must be one line of at most {TEXT_BYTES_MAX} ASCII characters");
            self.wrong_key("text", &allowed)
        })
    }

    fn dry_run(&self) -> Result<bool, Mistake> {
        match self.get("mode")?.map(|written| written.text()) {
            None => Ok(false),
            Some(Some(word)) if word == "live" => Ok(false),
            Some(Some(word)) if word == "dry-run" => Ok(true),
            Some(_) => Err(self.wrong_key("mode", r#"must be "live" or "dry-run""#)),
        }
    }

    fn list(&self) -> Result<Option<Condition>, Mistake> {
        match self.get("list")? {
            Some(Written::Boolean(flag)) => Ok(Some(Condition::List(flag))),
            Some(Written::Text(_) | Written::List(_)) => {
                Ok(self.patterns("list")?.map(Condition::ListId))
            }
            None => Ok(None),
            Some(_) => {
                Err(self.wrong_key("list", "must be true, false, or patterns for the list's id"))
            }
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, Mistake> {
        match self.get(key)? {
            None => Ok(None),
            Some(Written::Boolean(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.wrong_key(key, "must be true or false, without quotes")),
        }
    }

    fn header(&self) -> Result<Option<Vec<HeaderPattern>>, Mistake> {
        let Some(texts) = self.texts("header")? else {
            return Ok(None);
        };
        let patterns: Result<_, _> = texts.iter().map(|text| HeaderPattern::new(text)).collect();
        patterns
            .map(Some)
            .map_err(|error| self.bad_pattern("header", &error))
    }

    fn patterns(&self, key: &str) -> Result<Option<Patterns>, Mistake> {
        let Some(texts) = self.texts(key)? else {
            return Ok(None);
        };
        let bare: Vec<String> = match key {
            "extension" => texts
                .iter()
                .map(|text| text.trim_start_matches('.').to_owned())
                .collect(),
            _ => texts,
        };
        for text in &bare {
            if let Some(reason) = unmatched::meant(key, text) {
                return Err(self.bad_pattern(key, &PatternError::new(text, reason)));
            }
        }
        Patterns::new(&bare)
            .map(Some)
            .map_err(|error| self.bad_pattern(key, &error))
    }

    /// Parses patterns for addresses.
    fn addresses(&self, key: &str, bare: Bare) -> Result<Option<AddressPatterns>, Mistake> {
        let Some(texts) = self.texts(key)? else {
            return Ok(None);
        };
        AddressPatterns::new(&texts, bare)
            .map(Some)
            .map_err(|error| self.bad_pattern(key, &error))
    }

    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, Mistake> {
        let Some(written) = self.get(key)? else {
            return Ok(None);
        };
        match written.texts() {
            Some(texts) if !texts.is_empty() => Ok(Some(texts)),
            _ => Err(self.wrong_key(key, "must be a text or a list of texts")),
        }
    }

    /// Parses a value with its codec.
    fn value<C: Codec>(&self, key: &str) -> Result<Option<C::Value>, Mistake> {
        let Some(written) = self.get(key)? else {
            return Ok(None);
        };
        C::parse(&written)
            .map(Some)
            .ok_or_else(|| self.wrong_key(key, &format!("must be {}", C::allowed())))
    }

    fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    fn get(&self, key: &str) -> Result<Option<Written>, Mistake> {
        let Some((_, value)) = self.find(key) else {
            return Ok(None);
        };
        match written(value.get_ref()) {
            Some(written) => Ok(Some(written)),
            None => Err(self.wrong_key(key, "must not be a section or a date")),
        }
    }

    fn find(&self, key: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        let (found, value) = self
            .fields
            .iter()
            .find(|(known, _)| known.get_ref() == key)?;
        Some((found.span().start, value))
    }

    /// Converts the rule back to a table.
    fn written(&self) -> Result<toml::Table, Mistake> {
        let mut table = toml::Table::new();
        for key in KEYS {
            if let Some(value) = self.get(key)? {
                let value = toml::Value::try_from(&value)
                    .map_err(|error| self.wrong_key(key, &error.to_string()))?;
                table.insert(key.to_owned(), value);
            }
        }
        Ok(table)
    }

    fn title(&self) -> String {
        let name = self
            .find("name")
            .and_then(|(_, value)| value.get_ref().as_str());
        match name.filter(|name| !name.chars().any(char::is_control)) {
            Some(name) => format!("rule {} {name:?}", self.number),
            None => format!("rule {}", self.number),
        }
    }

    fn wrong(&self, reason: &str) -> Mistake {
        Mistake {
            offset: self.offset,
            message: format!("{}: {reason}", self.title()),
        }
    }

    fn wrong_key(&self, key: &str, reason: &str) -> Mistake {
        let (offset, named) = self.named(key);
        Mistake {
            offset,
            message: format!("{named}: {reason}"),
        }
    }

    /// Returns the offset of a key, and the text that names it with its value.
    fn named(&self, key: &str) -> (usize, String) {
        let title = self.title();
        match self.find(key) {
            Some((offset, value)) => {
                let shown = shown(value.get_ref());
                (offset, format!("{title}: {key} = {shown}"))
            }
            None => (self.offset, format!("{title}: {key}")),
        }
    }

    fn bad_pattern(&self, key: &str, error: &PatternError) -> Mistake {
        let offset = self.find(key).map_or(self.offset, |(offset, _)| offset);
        Mistake {
            offset,
            message: format!("{}: {key}: {error}", self.title()),
        }
    }
}

/// Converts a scalar or a list; `None` for anything else.
fn written(value: &DeValue<'_>) -> Option<Written> {
    Some(match value {
        DeValue::String(text) => Written::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            Written::Integer(i64::from_str_radix(&digits, number.radix()).ok()?)
        }
        DeValue::Float(number) => Written::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(flag) => Written::Boolean(*flag),
        DeValue::Array(items) => Written::List(
            items
                .iter()
                .map(|item| written(item.get_ref()))
                .collect::<Option<_>>()?,
        ),
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

/// Formats a value as the admin wrote it, in quotes.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => format!("\"{}\"", number.as_str()),
        DeValue::Float(number) => format!("\"{}\"", number.as_str()),
        DeValue::Boolean(flag) => format!("\"{flag}\""),
        DeValue::Datetime(date) => format!("\"{date}\""),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "a section".into(),
    }
}

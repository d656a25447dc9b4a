//! `[users]` and `[lookup]`: users who opted in or out, and the queries to Postfix about them.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    AddressFile, AddressLists, AddressPatterns, Condition, Config, Directions, Forwarding,
    MailScope, Rule, Table,
    pattern::Bare,
    value::{As, Codec, Count, OptionalPath, Seconds, Written},
};

/// The word that stands for Postfix's own setting.
pub(super) const POSTFIX: &str = "postfix";

/// `[users]`: users who want their mail treated, and users who do not.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct UsersConfig {
    /// Users whose mail is left alone.
    #[serde(with = "As::<Users>")]
    pub opt_out: Option<UserList>,
    /// Users whose mail alone is treated; all mail is if `None`.
    #[serde(with = "As::<Users>")]
    pub opt_in: Option<UserList>,
    /// The sign between a user's name and the extension of an address.
    #[serde(with = "As::<DelimiterCodec>")]
    pub recipient_delimiter: RecipientDelimiter,
    /// The tables in which aliases are looked up.
    #[serde(with = "As::<AliasTables>")]
    pub alias_maps: Vec<AliasMaps>,
}

/// `[lookup]`: the limits of queries to Postfix's tables.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct LookupConfig {
    /// Time limit of all lookups for one message together.
    #[serde(with = "As::<Seconds<1, 60>>")]
    pub timeout: Duration,
    /// Time for which an answer is kept.
    #[serde(with = "As::<Seconds<0, 86_400>>")]
    pub cache: Duration,
    /// Maximum number of answers kept.
    #[serde(with = "As::<Count<0, 10_000_000>>")]
    pub cache_entries_max: usize,
    /// Maximum number of concurrent `postmap` processes.
    #[serde(with = "As::<Count<1, 100>>")]
    pub max_processes: usize,
    /// The directory of `main.cf`; the usual one if `None`.
    #[serde(with = "As::<OptionalPath>")]
    pub postfix_config: Option<PathBuf>,
}

/// Users listed in files and tables.
#[derive(Clone, Debug, Default)]
pub struct UserList {
    written: Vec<String>,
    files: Vec<AddressFile>,
    tables: Vec<Table>,
}

/// The sign between a user's name and the extension of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientDelimiter {
    /// Postfix's `recipient_delimiter`.
    Postfix,
    /// One of these characters; no sign if empty.
    Of(String),
}

/// A place in which aliases or owners of addresses are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AliasMaps {
    /// The tables in which Postfix looks.
    Postfix,
    /// This table.
    Table(Table),
}

impl Default for UsersConfig {
    fn default() -> Self {
        Self {
            opt_out: None,
            opt_in: None,
            recipient_delimiter: RecipientDelimiter::Postfix,
            alias_maps: vec![AliasMaps::Postfix],
        }
    }
}

impl Default for LookupConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            cache: Duration::from_mins(1),
            cache_entries_max: 10_000,
            max_processes: 4,
            postfix_config: None,
        }
    }
}

impl UserList {
    /// Returns a file or table that both lists name.
    pub(super) fn shared<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let both = self.written.iter().find(|one| other.written.contains(one));
        both.map(String::as_str)
    }

    /// Returns the tables to be queried as well.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns true if one of the files lists an address in lower case for this kind of mail.
    pub fn has_for(&self, folded: &str, mail: MailScope, lists: &AddressLists) -> bool {
        let mut files = self.files.iter();
        files.any(|file| lists.has_for(file, folded, mail))
    }

    /// Returns its files.
    pub fn files(&self) -> &[AddressFile] {
        &self.files
    }
}

impl UsersConfig {
    /// Returns both lists, as far as they are given.
    pub fn lists(&self) -> impl Iterator<Item = &UserList> {
        self.opt_out.iter().chain(&self.opt_in)
    }
}

impl Config {
    /// Returns true if something depends on the person behind an address.
    pub fn asks_people(&self) -> bool {
        let is_about_people = |condition: &Condition| {
            matches!(
                condition,
                Condition::Recipient(_)
                    | Condition::Sender(_)
                    | Condition::Login(_)
                    | Condition::List(_)
                    | Condition::Forwarded(_)
            )
        };
        let asks = |rule: &Rule| rule.conditions.iter().any(is_about_people);
        self.users.lists().next().is_some() || self.rule.iter().any(asks)
    }

    /// Returns true if mail from outside is left alone where an alias sends it to another machine, so that Postfix is
    /// asked about it.
    pub fn asks_who_forwards(&self) -> bool {
        self.detach.forwarded == Forwarding::Spare
            && self.detach.directions != Directions::Outgoing
            && !self.users.alias_maps.is_empty()
    }

    /// Returns true if the people of a message may matter, in any domain.
    pub fn may_ask_people(&self) -> bool {
        let mut all = std::iter::once(self).chain(self.domains.values().map(|own| &**own));
        all.any(Self::asks_people)
    }

    /// Returns true if Postfix may be asked about the addresses of any message.
    pub fn may_ask_postfix(&self) -> bool {
        let all = std::iter::once(self).chain(self.domains.values().map(|own| &**own));
        let mut all = all.filter(|own| own.asks_people() || own.asks_who_forwards());
        all.next().is_some()
    }

    /// Returns the tables of Postfix that the configuration names, each once.
    pub fn tables(&self) -> Vec<Table> {
        let conditions = self.rule.iter().flat_map(|rule| &rule.conditions);
        let of_rules = conditions.flat_map(|condition| match condition {
            Condition::Recipient(list) | Condition::Sender(list) | Condition::Login(list) => {
                AddressPatterns::tables(list)
            }
            _ => &[],
        });

        let maps = self.users.alias_maps.iter().chain(&self.sender.login_maps);
        let of_aliases = maps.filter_map(|maps| match maps {
            AliasMaps::Postfix => None,
            AliasMaps::Table(table) => Some(table),
        });
        let of_users = self.users.lists().flat_map(UserList::tables);

        let mut tables: Vec<Table> = of_users
            .chain(self.detach.lists.tables())
            .chain(of_rules)
            .chain(of_aliases)
            .cloned()
            .collect();

        tables.sort_unstable();
        tables.dedup();
        tables
    }
}

/// Codec of `users.opt_out` and `users.opt_in`.
pub(super) struct Users;

impl Codec for Users {
    type Value = Option<UserList>;

    fn parse(written: &Written) -> Option<Option<UserList>> {
        let texts = written.texts()?;
        let written: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        let mut list = UserList::default();
        for text in &written {
            match Table::new(text) {
                Some(table) => list.tables.push(table),
                None => {
                    let path = text.strip_prefix("file:").unwrap_or(text);
                    list.files.push(AddressFile::new(path, Bare::Refused)?);
                }
            }
        }
        let is_given = !written.is_empty();
        list.written = written;
        Some(is_given.then_some(list))
    }

    fn print(value: &Option<UserList>) -> Written {
        let written = value.as_ref().map_or(&[][..], |list| &list.written);
        match written {
            [] => Written::Text(String::new()),
            [one] => Written::Text(one.clone()),
            many => Written::List(many.iter().cloned().map(Written::Text).collect()),
        }
    }

    fn allowed() -> String {
        r#"a path that begins with a slash, a table of Postfix such as "hash:/etc/postfix/opt-out", a list of these, or empty"#.into()
    }
}

/// Codec of `users.recipient_delimiter`.
pub(super) struct DelimiterCodec;

impl Codec for DelimiterCodec {
    type Value = RecipientDelimiter;

    fn parse(written: &Written) -> Option<RecipientDelimiter> {
        let text = written.text()?;
        let is_sign = |sign: char| sign.is_ascii_punctuation() && !"@\"<>,".contains(sign);
        match text.as_str() {
            POSTFIX => Some(RecipientDelimiter::Postfix),
            signs if signs.len() <= 10 && signs.chars().all(is_sign) => {
                Some(RecipientDelimiter::Of(text))
            }
            _ => None,
        }
    }

    fn print(value: &RecipientDelimiter) -> Written {
        Written::Text(match value {
            RecipientDelimiter::Postfix => POSTFIX.into(),
            RecipientDelimiter::Of(signs) => signs.clone(),
        })
    }

    fn allowed() -> String {
        r#""postfix" (as its recipient_delimiter says), signs such as "+" or "+-", or empty"#.into()
    }
}

/// Codec of `users.alias_maps` and `sender.login_maps`.
pub(super) struct AliasTables;

impl Codec for AliasTables {
    type Value = Vec<AliasMaps>;

    fn parse(written: &Written) -> Option<Vec<AliasMaps>> {
        let maps = |text: &String| match text.as_str() {
            POSTFIX => Some(AliasMaps::Postfix),
            name => Table::new(name).map(AliasMaps::Table),
        };
        let texts = written.texts()?;
        texts
            .iter()
            .filter(|text| !text.is_empty())
            .map(maps)
            .collect()
    }

    fn print(value: &Vec<AliasMaps>) -> Written {
        let text = |maps: &AliasMaps| match maps {
            AliasMaps::Postfix => Written::Text(POSTFIX.into()),
            AliasMaps::Table(table) => Written::Text(table.to_string()),
        };
        Written::List(value.iter().map(text).collect())
    }

    fn allowed() -> String {
        r#""postfix" (where Postfix looks), tables of Postfix such as "hash:/etc/postfix/virtual", or an empty list"#.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn load(settings: &[&str]) -> Result<Config, String> {
        let settings = settings.iter().map(|&text| text.to_owned()).collect();
        let sources = Sources {
            settings,
            ..Sources::default()
        };
        Config::load(&sources).map_err(|error| error.to_string())
    }

    #[test]
    fn postfix_may_be_asked_about_mail_from_outside() {
        let treat = "detach.forwarded=treat";
        for (settings, expected) in [
            (&[][..], true),
            (&[treat], false),
            (&["detach.directions=outgoing"], false),
            (&["users.alias_maps="], false),
            (&[treat, "users.opt_out=hash:/t"], true),
        ] {
            let found = load(settings).unwrap().may_ask_postfix();
            assert_eq!(found, expected, "{settings:?}");
        }
    }

    #[test]
    fn lists_of_users_are_files_and_tables_and_print_as_they_load() {
        let config = load(&[
            "users.opt_out=[\"hash:/etc/postfix/out\", \"proxy:pgsql:/etc/postfix/out.cf\"]",
            "users.opt_in=inline:{ {a@b.org = ok} }",
            "users.alias_maps=[\"postfix\", \"lmdb:/etc/postfix/more\"]",
            "users.recipient_delimiter=+-",
        ])
        .unwrap();
        let names: Vec<String> = config.tables().iter().map(Table::to_string).collect();
        assert_eq!(
            names,
            [
                "hash:/etc/postfix/out",
                "inline:{ {a@b.org = ok} }",
                "lmdb:/etc/postfix/more",
                "proxy:pgsql:/etc/postfix/out.cf"
            ]
        );
        let again: toml::Table = config.to_toml().parse().unwrap();
        assert_eq!(again["users"]["opt_out"].as_array().unwrap().len(), 2);
        assert_eq!(again["users"]["alias_maps"].as_array().unwrap().len(), 2);
        assert!(config.asks_people() && !load(&[]).unwrap().asks_people());
    }

    #[test]
    fn what_is_no_list_is_refused_with_what_may_stand_there() {
        for (setting, said) in [
            (
                "users.opt_out=oracle:/etc/x",
                "must be a path that begins with a slash, a table of Postfix",
            ),
            (
                "users.alias_maps=/etc/aliases",
                "must be \"postfix\" (where Postfix looks), tables",
            ),
            (
                "users.recipient_delimiter=plus",
                "must be \"postfix\" (as its recipient_delimiter says)",
            ),
            ("users.recipient_delimiter=@", "must be \"postfix\""),
            ("lookup.timeout=0 s", "lookup.timeout"),
        ] {
            let error = load(&[setting]).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}

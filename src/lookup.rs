//! Asks Postfix about the people behind addresses: extensions, aliases, and its own lookup tables.
//!
//! The queries go through `postmap -q`: it has all drivers, with their passwords and their timeouts,
//! and its answer is what Postfix itself would get. Nothing is asked until a message needs it.
//!
//! * `address` – the keys under which a table may list an address, in Postfix's order
//! * `alias` – an address followed through aliases to the people behind it
//! * `cache` – the answers of the last minute
//! * `domains` – the domains of this mail server
//! * `error` – failures, with the command to type
//! * `postmap` – the processes
//! * `settings` – Postfix's settings about addresses
//!
//! Everything is bounded: the time for one message, the number of concurrent processes, the size of
//! their answers, the number of answers kept, the number of people behind one address. If something
//! about a message cannot be found out, the message is left alone: its people may include one who
//! opted out.

mod address;
mod alias;
mod cache;
mod domains;
mod error;
mod postmap;
mod settings;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::Arc,
};

use tokio::sync::OnceCell;

pub use self::error::LookupError;
use self::{address::Address, postmap::Postmap, settings::Settings};
use crate::{
    config::{
        AddressLists, AddressPatterns, AliasMaps as LookupMaps, Condition, Config, SenderConfig,
        Table, UserList, UsersConfig, fold,
    },
    envelope::{Direction, Envelope, Known, Listed, ListedMail, Person},
};

/// The name that is looked up to test a table (RFC 6761, section 6.4).
const PROBE: &str = "depollueur-probe@probe.invalid";

/// Queries to Postfix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lookup(Arc<LookupState>);

#[derive(Debug)]
struct LookupState {
    users: UsersConfig,
    /// Tables to query about recipients, about senders, and about login names.
    recipients: Vec<Table>,
    senders: Vec<Table>,
    logins: Vec<Table>,
    users_tables: Vec<Table>,
    sender: SenderConfig,
    /// The contents of files of addresses.
    lists: AddressLists,
    /// Domains with settings of their own.
    named_domains: HashSet<String>,
    postmap: Postmap,
    /// Read once, at the first need.
    settings: OnceCell<Settings>,
}

impl Lookup {
    /// Creates the queries of a configuration. Asks nothing yet.
    pub fn new(config: &Config, lists: AddressLists) -> Self {
        let of_rules = |pick: fn(&Condition) -> Option<&AddressPatterns>| {
            let conditions = config.rule.iter().flat_map(|rule| &rule.conditions);
            let lists = conditions.filter_map(pick);
            lists
                .flat_map(AddressPatterns::tables)
                .cloned()
                .collect::<Vec<_>>()
        };
        let of_users = config.users.lists().flat_map(UserList::tables);

        Self(Arc::new(LookupState {
            users: config.users.clone(),
            recipients: [
                of_rules(|condition| match condition {
                    Condition::Recipient(list) => Some(list),
                    _ => None,
                }),
                config.detach.lists.tables().to_vec(),
            ]
            .concat(),
            senders: of_rules(|condition| match condition {
                Condition::Sender(list) => Some(list),
                _ => None,
            }),
            logins: of_rules(|condition| match condition {
                Condition::Login(list) => Some(list),
                _ => None,
            }),
            users_tables: of_users.cloned().collect(),
            sender: config.sender.clone(),
            lists,
            named_domains: config.domains.keys().cloned().collect(),
            postmap: Postmap::new(&config.lookup),
            settings: OnceCell::new(),
        }))
    }

    /// Finds the people behind the addresses of an envelope.
    ///
    /// # Errors
    /// Fails if Postfix could not be asked, or not in time, or if there are too many people behind an
    /// address.
    pub async fn know(&self, envelope: &Envelope) -> Result<Known, LookupError> {
        self.0.postmap.in_time(self.0.know(envelope)).await
    }

    /// Returns true if a domain is one of ours; false if that cannot be found out.
    pub(crate) async fn is_own(&self, domain: &str) -> bool {
        let domain = fold(domain);
        let inner = &self.0;
        let ours = &inner.sender.domains;
        if inner.named_domains.contains(&domain) || ours.has(&domain, &inner.lists) {
            return true;
        }
        let asked = async { Ok(inner.elsewhere([domain].into()).await?.is_empty()) };
        ours.asks_postfix() && inner.believed(asked).await
    }

    /// Returns true if Postfix lets a login send as this address; false if that cannot be found out.
    pub(crate) async fn may_send(&self, login: &str, sender: &str) -> bool {
        self.0.believed(self.0.may_send(login, sender)).await
    }

    /// Queries Postfix for its settings, and each table that would be queried. Returns the error of
    /// each table that cannot be queried, or of Postfix's own settings if they cannot be read.
    pub async fn probe(&self) -> Vec<LookupError> {
        let settings = match self.0.settings().await {
            Ok(settings) => settings,
            Err(error) => return vec![error],
        };

        let inner = &self.0;
        let lists = [
            &inner.recipients,
            &inner.senders,
            &inner.logins,
            &inner.users_tables,
        ];
        let aliases = [&settings.aliases, &settings.local_aliases];
        let domains = settings.domains.iter().map(|list| &list.tables);
        let lists = lists.into_iter().chain(aliases).chain(domains);
        let mut tables: Vec<&Table> = lists.flatten().collect();
        tables.sort_unstable();
        tables.dedup();

        let unread = settings.domains.iter().flat_map(|list| &list.unread);
        let (mut errors, names) = (unread.cloned().collect::<Vec<_>>(), [PROBE.to_owned()]);
        for table in tables {
            if let Err(error) = inner.postmap.ask(table, &names).await {
                errors.push(error);
            }
        }
        errors
    }
}

impl LookupState {
    async fn settings(&self) -> Result<&Settings, LookupError> {
        let read = || settings::read(&self.postmap, &self.users);
        self.settings.get_or_try_init(read).await
    }

    async fn know(&self, envelope: &Envelope) -> Result<Known, LookupError> {
        let settings = self.settings().await?;
        let ours = envelope.direction == Direction::Outgoing;
        let found = alias::people(&self.postmap, settings, &envelope.recipients).await?;
        let leaves = self.leaves(&found.ends).await?;
        let (people, lists) = (found.people, found.lists);

        let sender = sender(settings, envelope);
        let recipients: Vec<&String> = people.iter().flatten().collect();
        let senders: Vec<&String> = sender.iter().collect();
        let login = envelope.login.as_deref().map(fold);
        let logins: Vec<&String> = login.iter().collect();

        let mut listed = Listed::new();
        self.list(&mut listed, &self.recipients, &recipients)
            .await?;
        self.list(&mut listed, &self.senders, &senders).await?;
        self.list(&mut listed, &self.logins, &logins).await?;
        self.list(&mut listed, &self.users_tables, &recipients)
            .await?;

        if ours {
            let both = [senders, logins].concat();
            self.list(&mut listed, &self.users_tables, &both).await?;
        }

        Ok(Known::whole(sender, people, listed).leading(lists, leaves))
    }

    /// Waits for an answer about a sender; an error or a timeout counts as false, for nothing is
    /// certain then.
    async fn believed(&self, asked: impl Future<Output = Result<bool, LookupError>>) -> bool {
        match self.postmap.in_time(asked).await {
            Ok(is_so) => is_so,
            Err(error) => {
                tracing::warn!("the sender is not verified: {error}");
                false
            }
        }
    }

    /// Returns true if a login owns an address by `smtpd_sender_login_maps`, asked as Postfix does
    /// (reject_sender_login_mismatch): the first key that stands in any of the tables names the
    /// logins that own the address; of several tables that have it, the first does.
    async fn may_send(&self, login: &str, sender: &str) -> Result<bool, LookupError> {
        let settings = self.settings().await?;
        let (login, address) = (fold(login), Address::of(settings, &fold(sender)));
        let ask = |maps: &LookupMaps| match maps {
            LookupMaps::Postfix => settings.login_maps.clone(),
            LookupMaps::Table(table) => vec![table.clone()],
        };

        let mut owners = String::new();
        // The keys of one table are the first keys of any other: only those before the best one can change anything.
        let mut best = usize::MAX;

        for table in self.sender.login_maps.iter().flat_map(ask) {
            let mut keys = address.keys(settings, &table);
            keys.truncate(best);
            let mut answers = self.postmap.ask(&table, &keys).await?;
            if let Some(rank) = keys.iter().position(|key| answers.contains_key(key)) {
                best = rank;
                owners = answers.remove(&keys[rank]).unwrap_or_default();
            }
        }

        let words = owners.split(|sign: char| sign == ',' || sign.is_whitespace());
        Ok(words
            .filter(|word| !word.is_empty())
            .any(|owner| fold(owner) == login))
    }

    /// Returns true if one of these addresses is on another machine; `None` where not all domains of this one
    /// are known.
    async fn leaves(&self, addresses: &HashSet<String>) -> Result<Option<bool>, LookupError> {
        let domain = |address: &String| Some(address.rsplit_once('@')?.1.to_owned());
        let domains = addresses.iter().filter_map(domain).collect();
        let leaves = !self.elsewhere(domains).await?.is_empty();
        let lists = &self.settings().await?.domains;
        let all_known = lists.iter().all(|list| list.unread.is_empty());
        Ok((all_known || !leaves).then_some(leaves))
    }

    /// Returns those of these domains that no list of Postfix has.
    async fn elsewhere(
        &self,
        mut domains: HashSet<String>,
    ) -> Result<HashSet<String>, LookupError> {
        let settings = self.settings().await?;
        let is_listed = |domain: &String| settings.domains.iter().any(|list| list.has(domain));
        domains.retain(|domain| !settings.local_domains.contains(domain) && !is_listed(domain));
        for list in &settings.domains {
            for table in &list.tables {
                let asked: Vec<String> = domains.iter().flat_map(|one| list.keys(one)).collect();
                let answers = self.postmap.ask(table, &asked).await?;
                let is_in = |domain: &str| {
                    list.keys(domain)
                        .iter()
                        .any(|key| answers.contains_key(key))
                };
                domains.retain(|domain| !is_in(domain));
            }
        }
        Ok(domains)
    }

    /// Queries tables for names, and adds what they list.
    async fn list(
        &self,
        listed: &mut Listed,
        tables: &[Table],
        names: &[&String],
    ) -> Result<(), LookupError> {
        let settings = self.settings().await?;
        for table in tables {
            let keys: Vec<(&String, Vec<String>)> = names
                .iter()
                .map(|name| (*name, Address::of(settings, name).keys(settings, table)))
                .collect();
            let all: Vec<String> = keys.iter().flat_map(|(_, keys)| keys.clone()).collect();
            let answers = self.postmap.ask(table, &all).await?;
            let found = listed.entry(table.clone()).or_default();
            for (name, keys) in keys {
                let first = keys.iter().find_map(|key| answers.get(key));
                if let Some(lines) = first.and_then(|value| ListedMail::of(value)) {
                    found.insert(name.clone(), lines);
                }
            }
        }
        Ok(())
    }
}

/// Returns the names of the sender. Our own delimiter tells nothing about addresses elsewhere.
fn sender(settings: &Settings, envelope: &Envelope) -> Person {
    let written = fold(&envelope.sender);
    match envelope.direction {
        Direction::Incoming => vec![written],
        Direction::Outgoing => Address::of(settings, &written).names(),
    }
}

/// The answers by key; a key that is not here is in no table.
type TableAnswers = HashMap<String, String>;

#[cfg(test)]
mod tests {
    use super::{
        domains::{DomainSet, Parents},
        *,
    };

    /// What asks these tables, each with its lines, and no Postfix.
    fn lookup(tables: &[&[(&str, &str)]]) -> Lookup {
        let mut config = Config::default();
        let table = |number: usize| Table::of_postfix(&format!("hash:/t{number}"));
        let all = (0..tables.len()).map(|number| LookupMaps::Table(table(number)));
        config.sender.login_maps = all.collect();
        let lookup = Lookup::new(&config, AddressLists::default());
        let settings = Settings {
            delimiter: "+".into(),
            ..Settings::default()
        };
        lookup.0.settings.set(settings).expect("nobody asked yet");
        for (number, lines) in tables.iter().enumerate() {
            let lines = lines
                .iter()
                .map(|(key, value)| ((*key).into(), (*value).into()));
            let answers: TableAnswers = lines.collect();
            let keys = ["zoe+a@b.org", "zoe@b.org", "@b.org"].map(str::to_owned);
            lookup
                .0
                .postmap
                .know(&table(number), keys.to_vec(), &answers);
        }
        lookup
    }

    /// Whether mail to this recipient leaves, with an alias from each name to another, and these domains.
    async fn leaves(aliases: &[(&str, &str)], domains: &str, recipient: &str) -> Option<bool> {
        let (lookup, table) = (
            Lookup::new(&Config::default(), AddressLists::default()),
            Table::of_postfix("hash:/a"),
        );
        let settings = Settings {
            aliases: vec![table.clone()],
            domains: vec![DomainSet::read(domains, Parents::No)],
            ..Settings::default()
        };
        let inner = &lookup.0;
        let answers: TableAnswers = aliases
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
            .collect();
        let names = aliases.iter().flat_map(|(from, to)| [*from, *to]);
        for name in names.chain([recipient]) {
            let keys = Address::of(&settings, name).keys(&settings, &table);
            inner.postmap.know(&table, keys, &answers);
        }
        let domains = Table::of_postfix("hash:/d");
        let ours = TableAnswers::from([("listed.org".to_owned(), "yes".to_owned())]);
        let keys = ["listed.org", "far.org"].map(str::to_owned);
        inner.postmap.know(&domains, keys.into(), &ours);
        inner.settings.set(settings).expect("nobody asked yet");
        let envelope = Envelope {
            recipients: vec![recipient.to_owned()],
            ..Envelope::default()
        };
        let known = inner.know(&envelope).await.unwrap();
        (known.leaves() == known.may_leave()).then_some(known.leaves())
    }

    #[tokio::test]
    async fn mail_leaves_where_an_alias_leads_to_a_domain_that_is_not_ours() {
        let away = ("zoe@listed.org", "zoe@far.org");
        let within = ("info@unknown.org", "zoe@unknown.org");
        let beside = ("info@unknown.org", "zoe@listed.org");
        for (alias, domains, recipient, expected) in [
            (away, "hash:/d", "zoe@listed.org", Some(true)),
            (away, "hash:/d", "max@listed.org", Some(false)),
            (away, "hash:/d", "zoe@far.org", Some(false)),
            (away, "hash:/d, far.org", "zoe@listed.org", Some(false)),
            // The list cannot be read: it may have the domain.
            (away, "hash:/d /nonexistent/domains", "zoe@listed.org", None),
            // No list has the recipient's own domain, and the alias does not leave it.
            (within, "hash:/d", "info@unknown.org", Some(false)),
            (beside, "hash:/d", "info@unknown.org", Some(false)),
            (beside, "far.org", "info@unknown.org", Some(true)),
        ] {
            let found = leaves(&[alias], domains, recipient).await;
            assert_eq!(found, expected, "{alias:?} {domains} {recipient}");
        }
    }

    #[tokio::test]
    async fn the_owner_of_an_address_is_who_postfix_takes_for_it() {
        let whole = ("zoe+a@b.org", "one");
        let (user, domain) = (("zoe@b.org", "two, ZOE@b.org"), ("@b.org", "three"));
        for (tables, owners) in [
            (&[&[whole, user, domain][..]][..], &["one"][..]),
            // A key is looked for in all tables before the next one is.
            (&[&[domain], &[user]], &["two", "zoe@b.org"]),
            (&[&[domain], &[user], &[whole]], &["one"]),
            (&[&[user], &[domain]], &["two", "zoe@b.org"]),
            (&[&[("@b.org", "first")], &[domain]], &["first"]),
            (&[&[], &[domain]], &["three"]),
            (&[&[], &[]], &[]),
        ] {
            let lookup = lookup(tables);
            for login in ["one", "two", "three", "first", "zoe@b.org", ""] {
                let expected = owners.contains(&login);
                let found = lookup.may_send(login, "Zoe+a@b.org").await;
                assert_eq!(found, expected, "{tables:?} {login:?}");
            }
        }
    }
}

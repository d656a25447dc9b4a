//! Postfix's settings about addresses, read once from `postconf`.

use std::{collections::HashSet, fs};

use super::{
    LookupError,
    domains::{DomainSet, Parents, words},
    postmap::Postmap,
};
use crate::config::{AliasMaps, RecipientDelimiter, Table, UsersConfig, fold};

/// The meaning of addresses on this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Any of these signs ends a user's name; none does if empty.
    pub(super) delimiter: String,
    /// Domains whose users are those of this machine.
    pub(super) local_domains: HashSet<String>,
    /// All domains of this mail server.
    pub(super) domains: Vec<DomainSet>,
    /// The domain appended to an address without one.
    pub(super) origin: String,
    /// Tables that rewrite whole addresses.
    pub(super) aliases: Vec<Table>,
    /// Tables that say as whom a login may send.
    pub(super) login_maps: Vec<Table>,
    /// Tables of the aliases of local users.
    pub(super) local_aliases: Vec<Table>,
}

/// The parameters with tables of aliases, in the order in which Postfix queries them.
const ALIASES: [&str; 3] = [
    "recipient_canonical_maps",
    "canonical_maps",
    "virtual_alias_maps",
];

/// The parameters with domains that are ours; those of this machine's users first.
const DOMAINS: [&str; 4] = [
    "mydestination",
    "virtual_mailbox_domains",
    "virtual_alias_domains",
    "relay_domains",
];

/// The parameter that names the lists in which a domain stands for those below it.
const PARENTS: &str = "parent_domain_matches_subdomains";

const NAMES: [&str; 12] = [
    ALIASES[0],
    ALIASES[1],
    ALIASES[2],
    "alias_maps",
    "myorigin",
    "recipient_delimiter",
    DOMAINS[0],
    DOMAINS[1],
    DOMAINS[2],
    DOMAINS[3],
    PARENTS,
    "smtpd_sender_login_maps",
];

/// Reads the settings. Without a Postfix on this machine, only the aliases and extensions that the
/// configuration names exist.
pub(super) async fn read(postmap: &Postmap, users: &UsersConfig) -> Result<Settings, LookupError> {
    let parameters = postmap.parameters(&NAMES).await?;
    let wants_postfix = users.alias_maps.contains(&AliasMaps::Postfix);
    let parameters = parameters.unwrap_or_default();
    let get = |name: &str| parameters.get(name).map_or("", String::as_str);

    let mut settings = Settings {
        delimiter: match &users.recipient_delimiter {
            RecipientDelimiter::Postfix => get("recipient_delimiter").to_owned(),
            RecipientDelimiter::Of(signs) => signs.clone(),
        },
        origin: origin(get("myorigin")),
        ..Settings::default()
    };

    settings.domains = domains(get);
    settings
        .local_domains
        .clone_from(&settings.domains[0].names);

    let maps = words(get("smtpd_sender_login_maps"));
    settings.login_maps = maps.iter().map(|name| Table::of_postfix(name)).collect();
    // Without Postfix the origin is empty, and an empty name is no domain.
    settings.local_domains.insert(settings.origin.clone());
    settings.local_domains.remove("");

    for maps in &users.alias_maps {
        match maps {
            AliasMaps::Table(table) => settings.aliases.push(table.clone()),
            AliasMaps::Postfix => {
                let names = ALIASES.iter().flat_map(|name| words(get(name)));
                settings
                    .aliases
                    .extend(names.map(|name| Table::of_postfix(&name)));
            }
        }
    }

    if wants_postfix {
        let names = words(get("alias_maps")).into_iter();
        // NIS without a domain is Postfix's own default, and there is nothing behind it.
        let is_used = |name: &String| !name.starts_with("nis:");
        let tables = names.filter(is_used).map(|name| Table::of_postfix(&name));
        settings.local_aliases = tables.collect();
    }
    Ok(settings)
}

/// Returns the domains of each of the parameters. Only those below a relay domain may be meant by it.
fn domains<'a>(get: impl Fn(&str) -> &'a str) -> Vec<DomainSet> {
    let relays = "relay_domains";
    let is_plain = words(get(PARENTS)).iter().any(|word| word == relays);
    let parents = |name: &str| match (name == relays, is_plain) {
        (false, _) => Parents::No,
        (true, false) => Parents::Dotted,
        (true, true) => Parents::Plain,
    };
    let read = |name: &&str| DomainSet::read(get(name), parents(name));
    DOMAINS.iter().map(read).collect()
}

/// Returns the domain of `myorigin`, which may be the name of a file.
fn origin(value: &str) -> String {
    let from_file = || fs::read_to_string(value).unwrap_or_default();
    let text = if value.starts_with('/') {
        from_file()
    } else {
        value.to_owned()
    };
    fold(text.lines().next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_below_a_relay_domain_is_ours_where_postfix_says_so() {
        for (parents, expected) in [("mynetworks, relay_domains", true), ("", false)] {
            let get = |name: &str| match name {
                "relay_domains" | "mydestination" => "b.org",
                PARENTS => parents,
                _ => "",
            };
            let found = domains(get);
            let is_below = found.iter().any(|domains| domains.has("a.b.org"));
            assert_eq!(is_below, expected, "{parents}");
        }
    }
}

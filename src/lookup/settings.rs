//! Postfix's settings about addresses, read once from `postconf`.

use std::{collections::HashSet, fs};

use super::{LookupError, postmap::Postmap};
use crate::config::{AliasMaps, RecipientDelimiter, Table, UsersConfig, fold};

/// The meaning of addresses on this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    /// Any of these signs ends a user's name; none does if empty.
    pub(super) delimiter: String,
    /// Domains whose users are those of this machine.
    pub(super) local_domains: HashSet<String>,
    /// Other domains of this mail server, and the tables that list them.
    pub(super) other_domains: HashSet<String>,
    pub(super) domain_tables: Vec<Table>,
    /// The domain appended to an address without one.
    pub(super) origin: String,
    /// Tables that rewrite whole addresses.
    pub(super) aliases: Vec<Table>,
    /// Who may send as whom.
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

/// The parameters with domains that are ours besides those of this machine's users.
const DOMAINS: [&str; 3] = [
    "virtual_mailbox_domains",
    "virtual_alias_domains",
    "relay_domains",
];

const NAMES: [&str; 11] = [
    ALIASES[0],
    ALIASES[1],
    ALIASES[2],
    "alias_maps",
    "mydestination",
    "myorigin",
    "recipient_delimiter",
    DOMAINS[0],
    DOMAINS[1],
    DOMAINS[2],
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

    let domains = words(get("mydestination")).into_iter();
    let is_name = |word: &String| !word.contains([':', '/', '!', '$']);
    settings.local_domains = domains.filter(is_name).map(|word| fold(&word)).collect();

    for word in DOMAINS.iter().flat_map(|name| words(get(name))) {
        match Table::new(word.trim_start_matches("proxy:")) {
            Some(_) => settings.domain_tables.push(Table::of_postfix(&word)),
            None if is_name(&word) => {
                settings.other_domains.insert(fold(&word));
            }
            None => {}
        }
    }

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

/// Splits a list of Postfix at blanks and commas, but not within braces.
pub(super) fn words(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0_usize;
    for sign in list.chars() {
        match sign {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        let is_between = depth == 0 && (sign == ',' || sign.is_whitespace());
        match words.last_mut() {
            Some(word) if !is_between => word.push(sign),
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tables_is_parted_outside_of_braces() {
        assert_eq!(
            words("hash:/a, inline:{ {a@b = c, d} },\tproxy:pgsql:/b"),
            ["hash:/a", "inline:{ {a@b = c, d} }", "proxy:pgsql:/b"]
        );
        assert!(words(" , ").is_empty());
    }
}

//! Follows addresses through aliases to the people behind them.

use std::collections::{HashMap, HashSet};

use super::{LookupError, address::Address, postmap::Postmap, settings::Settings};
use crate::{
    config::{Table, fold},
    envelope::Person,
};

/// Maximum number of people behind the recipients of a message. Postfix follows as many
/// (`virtual_alias_expansion_limit`).
const PEOPLE_MAX: usize = 1000;

/// Maximum number of aliases in a chain.
const DEPTH_MAX: usize = 20;

/// A way from a recipient to a person, as far as it was followed.
#[derive(Clone)]
struct AliasPath {
    names: Person,
    /// The address at its end.
    end: String,
}

impl AliasPath {
    /// Returns true if it ends in another domain than it began in.
    fn has_left(&self) -> bool {
        let domain = |address: &str| {
            address
                .rsplit_once('@')
                .map(|(_, domain)| domain.to_owned())
        };
        let begin = self.names.first().and_then(|name| domain(name));
        domain(&self.end) != begin
    }
}

/// The result of following aliases.
#[derive(Debug, Default)]
pub(super) struct AliasExpansion {
    /// Everybody who is meant, with all names on the way to that person.
    pub(super) people: Vec<Person>,
    /// The addresses that lead to a list manager.
    pub(super) lists: HashSet<String>,
    /// The addresses at which aliases end that lead out of their recipient's domain: whatever becomes of mail to that
    /// domain, they do not send it elsewhere.
    pub(super) ends: HashSet<String>,
}

/// Programs of list managers, as aliases name them, with the text that tells the list's address from
/// those of its owners, its robot and its bounces.
const LIST_PROGRAMS: [(&str, &str); 7] = [
    ("sympa", "/queue"),
    ("mailman", " post "),
    ("mlmmj", ""),
    ("ezmlm", ""),
    ("majordomo", ""),
    ("schleuder", ""),
    ("listserv", ""),
];

/// Follows these recipients to all the people who are meant.
pub(super) async fn people(
    postmap: &Postmap,
    settings: &Settings,
    recipients: &[String],
) -> Result<AliasExpansion, LookupError> {
    let begin = |recipient: &String| {
        let end = fold(recipient);
        AliasPath {
            names: Address::of(settings, &end).names(),
            end,
        }
    };

    let mut open: Vec<AliasPath> = recipients.iter().map(begin).collect();
    let mut found = AliasExpansion::default();

    for _ in 0..DEPTH_MAX {
        let ends: HashSet<&str> = open.iter().map(|way| way.end.as_str()).collect();
        let ends: Vec<&str> = ends.into_iter().filter(|end| !end.is_empty()).collect();
        let targets = targets(postmap, settings, &ends, &mut found.lists).await?;
        let mut further = Vec::new();

        for way in open {
            match targets.get(&way.end) {
                Some(targets) => {
                    further.extend(go_on(settings, &way, targets, &mut found.people));
                }
                None => {
                    if way.has_left() {
                        found.ends.insert(way.end);
                    }
                    found.people.push(way.names);
                }
            }

            // The number of recipients is bounded elsewhere: this limits what aliases make of them.
            if found.people.len() + further.len() > PEOPLE_MAX + recipients.len() {
                return Err(LookupError::People(PEOPLE_MAX));
            }
        }

        if further.is_empty() {
            return Ok(found);
        }
        open = further;
    }
    Err(LookupError::Depth(DEPTH_MAX))
}

/// Returns the ways that go on from the end of `way`. An alias that leads to itself is an end.
fn go_on(
    settings: &Settings,
    way: &AliasPath,
    targets: &[Person],
    people: &mut Vec<Person>,
) -> Vec<AliasPath> {
    let mut further = Vec::new();
    for target in targets {
        let Some(end) = target.first().filter(|end| !way.names.contains(end)) else {
            people.push(way.names.clone());
            continue;
        };

        let mut names = way.names.clone();
        for name in target
            .iter()
            .flat_map(|name| Address::of(settings, name).names())
        {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        further.push(AliasPath {
            names,
            end: end.clone(),
        });
    }
    further
}

/// Returns the targets of the aliases at these addresses, each with the names that it has.
async fn targets(
    postmap: &Postmap,
    settings: &Settings,
    addresses: &[&str],
    lists: &mut HashSet<String>,
) -> Result<HashMap<String, Vec<Person>>, LookupError> {
    let parted = |address: &&str| Address::of(settings, address);
    let all: Vec<Address> = addresses.iter().map(parted).collect();
    let keys = |address: &Address, table: &Table| address.keys(settings, table);
    let mut found = first_found(postmap, &settings.aliases, &all, keys).await?;

    let is_left = |address: &&Address| {
        address.is_local(settings) && !found.contains_key(address.names()[0].as_str())
    };
    let left: Vec<Address> = all.iter().filter(is_left).cloned().collect();
    let keys = |address: &Address, _: &Table| address.local_keys();
    let local = first_found(postmap, &settings.local_aliases, &left, keys).await?;
    found.extend(local);

    let mut targets = HashMap::new();
    for address in &all {
        let whole = address.names().swap_remove(0);
        if let Some((key, value)) = found.get(&whole) {
            if split(value).iter().any(|target| is_list_manager(target)) {
                lists.insert(whole.clone());
            }
            let people = read(settings, address, key, value);
            if !people.is_empty() {
                targets.insert(whole, people);
            }
        }
    }

    Ok(targets)
}

/// Returns, for each address, the first of its keys that one of the tables has, with its value.
async fn first_found(
    postmap: &Postmap,
    tables: &[Table],
    addresses: &[Address],
    keys: impl Fn(&Address, &Table) -> Vec<String>,
) -> Result<HashMap<String, (String, String)>, LookupError> {
    let mut found: HashMap<String, (usize, String, String)> = HashMap::new();
    for table in tables {
        let asked: Vec<String> = addresses
            .iter()
            .flat_map(|address| keys(address, table))
            .collect();
        let answers = postmap.ask(table, &asked).await?;

        for address in addresses {
            let keys = keys(address, table);
            let mut ranked = keys.iter().enumerate();
            let first = ranked.find_map(|(rank, key)| Some((rank, key, answers.get(key)?)));
            let Some((rank, key, value)) = first else {
                continue;
            };

            let whole = address.names().swap_remove(0);
            // An earlier key precedes an earlier table.
            let is_better = found.get(&whole).is_none_or(|(known, ..)| rank < *known);
            if is_better {
                found.insert(whole, (rank, key.clone(), value.clone()));
            }
        }
    }

    Ok(found
        .into_iter()
        .map(|(address, (_, key, value))| (address, (key, value)))
        .collect())
}

/// Returns the addresses in a value of a table.
fn read(settings: &Settings, address: &Address, key: &str, value: &str) -> Vec<Person> {
    let extension = address.left_out(key);
    let targets = split(value);
    targets
        .iter()
        .filter_map(|target| person(settings, address, extension, target))
        .collect()
}

/// Returns one target; `None` if it is not an address but a file, a program, or a list in a file.
fn person(settings: &Settings, address: &Address, extension: &str, target: &str) -> Option<Person> {
    let target = fold(target.trim_start_matches('\\'));
    if target.is_empty() || target.starts_with(['|', '/', ':', '"']) {
        return None;
    }

    let (local, domain) = match target.rsplit_once('@') {
        // A whole domain is an alias of another one.
        Some(("", domain)) => (address.local().to_owned(), Some(domain.to_owned())),
        // Postfix appends the extension (propagate_unmatched_extensions).
        Some((local, domain)) => (format!("{local}{extension}"), Some(domain.to_owned())),
        None => (format!("{target}{extension}"), None),
    };

    Some(match domain {
        Some(domain) => vec![format!("{local}@{domain}")],
        // A name alone is one of this machine, whatever domain its users write.
        None => {
            let here = address.domain().filter(|_| address.is_local(settings));
            let domains = here.into_iter().chain([settings.origin.as_str()]);
            let mut names: Person = domains
                .filter(|domain| !domain.is_empty())
                .map(|domain| format!("{local}@{domain}"))
                .collect();
            names.dedup();
            names
        }
    })
    .filter(|names| !names.is_empty())
}

/// Splits a list of addresses at commas and blanks, but not within quotes.
fn split(value: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for sign in value.chars() {
        quoted ^= sign == '"';
        let is_between = !quoted && (sign == ',' || sign.is_whitespace());
        match words.last_mut() {
            Some(word) if !is_between => word.push(sign),
            _ => words.push(String::new()),
        }
    }

    let bare = |word: String| {
        word.trim_start_matches('<')
            .trim_end_matches('>')
            .to_owned()
    };

    words
        .into_iter()
        .map(bare)
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns true if a target is the command by which a list manager accepts mail to a list.
fn is_list_manager(target: &str) -> bool {
    let command = target.trim_start_matches('"').trim_start();
    let is_program = |(name, post): &(&str, &str)| command.contains(name) && command.contains(post);
    command.starts_with('|') && LIST_PROGRAMS.iter().any(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_a_list_manager_is_known_by_its_command() {
        for (value, expected) in [
            ("\"| /usr/lib/sympa/bin/queue team@example.org\"", true),
            (
                "\"|/usr/lib/sympa/bin/bouncequeue team@example.org\"",
                false,
            ),
            ("\"|/var/lib/mailman/mail/mailman post team\"", true),
            ("\"|/var/lib/mailman/mail/mailman owner team\"", false),
            (
                "|\"/usr/bin/mlmmj-receive -L /var/spool/mlmmj/team/\"",
                true,
            ),
            ("|/usr/bin/procmail", false),
            ("sympa@example.org", false),
        ] {
            let found = split(value).iter().any(|target| is_list_manager(target));
            assert_eq!(found, expected, "{value}");
        }
    }
}

//! The domains of a message's recipients, and the number of recipients of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum number of domains of one message that are told apart.
pub(crate) const DOMAINS_MAX: usize = 100;

/// The longest name of a domain, in bytes (RFC 5321, 4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// The number of recipients of each domain, in lower case. Domains above the hundredth, and
/// recipients without a domain, are not in it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Domains(BTreeMap<String, u32>);

impl Domains {
    /// Counts the domains of these addresses.
    pub fn of<'a>(recipients: impl IntoIterator<Item = &'a str>) -> Self {
        let mut domains = Self::default();
        for domain in recipients.into_iter().filter_map(domain_of) {
            domains.count(domain, 1);
        }
        domains
    }

    /// Counts `recipients` more of a domain.
    fn count(&mut self, domain: String, recipients: u32) {
        if self.0.len() < DOMAINS_MAX || self.0.contains_key(&domain) {
            let sum = self.0.entry(domain).or_default();
            *sum = sum.saturating_add(recipients);
        }
    }

    /// Takes the counts that another host tells; names that cannot be domains are left out.
    pub(crate) fn told(told: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut domains = Self::default();
        for (name, recipients) in told {
            if let Some(domain) = sound(&name) {
                domains.count(domain, recipients);
            }
        }
        domains
    }

    /// Returns each domain with its recipients.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0
            .iter()
            .map(|(domain, &count)| (domain.as_str(), count))
    }

    /// Returns true if no domain is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the counts, cut to `recipients` in all.
    pub(crate) fn within(&self, mut recipients: u32) -> BTreeMap<String, u32> {
        let mut within = BTreeMap::new();
        for (domain, &count) in &self.0 {
            let count = count.min(recipients);
            if count > 0 {
                within.insert(domain.clone(), count);
            }
            recipients -= count;
        }
        within
    }
}

/// Returns the domain behind the last `@` of an address, in lower case; `None` when that cannot be one.
pub fn domain_of(address: &str) -> Option<String> {
    sound(address.rsplit_once('@')?.1)
}

/// Returns a name as it is counted; `None` when it cannot be that of a domain.
fn sound(name: &str) -> Option<String> {
    let domain = name.trim_end_matches('.');
    let may_be = |c: char| !c.is_control() && !c.is_whitespace();
    let sound = (1..=DOMAIN_BYTES_MAX).contains(&domain.len()) && domain.chars().all(may_be);
    sound.then(|| domain.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_stands_behind_the_last_at() {
        for (address, domain) in [
            ("a@Example.ORG", Some("example.org")),
            ("\"a@b\"@example.org.", Some("example.org")),
            ("a@münchen.example", Some("münchen.example")),
            ("postmaster", None),
            ("", None),
            ("a@", None),
            ("a@b\nc", None),
        ] {
            assert_eq!(domain_of(address).as_deref(), domain, "{address}");
        }
        let long = format!("a@{}", "x".repeat(DOMAIN_BYTES_MAX + 1));
        assert_eq!(domain_of(&long), None);
        assert!(domain_of(&long[..long.len() - 1]).is_some());
    }

    #[test]
    fn so_many_domains_and_no_more_are_told_apart() {
        let addresses: Vec<_> = (0..=DOMAINS_MAX)
            .map(|n| format!("a@{n}.example"))
            .collect();
        let domains = Domains::of(addresses.iter().map(String::as_str));
        assert_eq!(domains.0.len(), DOMAINS_MAX);
    }
}

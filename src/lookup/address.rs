//! The keys under which a table may list an address, in Postfix's order.

use super::settings::Settings;
use crate::config::Table;

/// An address in lower case, split into its parts.
#[derive(Clone, Debug)]
pub(super) struct Address {
    whole: String,
    local: String,
    domain: Option<String>,
    /// The local part without its extension, if it has one.
    user: Option<String>,
}

impl Address {
    pub(super) fn of(settings: &Settings, folded: &str) -> Self {
        let (local, domain) = match folded.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (folded, None),
        };
        Self {
            whole: folded.to_owned(),
            local: local.to_owned(),
            domain: domain.map(str::to_owned),
            user: split(local, &settings.delimiter).map(|(user, _)| user.to_owned()),
        }
    }

    /// Returns true if Postfix delivers it to a user of this machine.
    pub(super) fn is_local(&self, settings: &Settings) -> bool {
        self.domain
            .as_ref()
            .is_some_and(|domain| settings.local_domains.contains(domain))
    }

    pub(super) fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    pub(super) fn local(&self) -> &str {
        &self.local
    }

    /// Returns the address with its extension, and without.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = vec![self.whole.clone()];
        names.extend(self.without_extension());
        names
    }

    fn without_extension(&self) -> Option<String> {
        let user = self.user.as_ref()?;
        Some(match &self.domain {
            Some(domain) => format!("{user}@{domain}"),
            None => user.clone(),
        })
    }

    /// Returns the keys in Postfix's order (virtual(5)): `user+ext@domain`, `user@domain`, for a
    /// domain of this machine `user+ext` and `user`, then `@domain`.
    pub(super) fn keys(&self, settings: &Settings, table: &Table) -> Vec<String> {
        if !table.has_parts() {
            return vec![self.whole.clone()];
        }
        let mut keys = self.names();
        if self.is_local(settings) {
            keys.extend(self.local_keys());
        }
        keys.extend(self.domain.as_ref().map(|domain| format!("@{domain}")));
        keys.retain(|key| is_key(key));
        keys
    }

    /// Returns the keys in the order of local(8) (aliases(5)).
    pub(super) fn local_keys(&self) -> Vec<String> {
        let mut keys = vec![self.local.clone()];
        keys.extend(self.user.clone());
        keys
    }

    /// Returns the extension that a key of this address left out, with its delimiter.
    pub(super) fn left_out(&self, key: &str) -> &str {
        let is_user = self.user.as_deref() == Some(key.split('@').next().unwrap_or(key));
        match &self.user {
            Some(user) if is_user => &self.local[user.len()..],
            _ => "",
        }
    }
}

/// Splits a local part as Postfix does (split_addr): not at its first byte, and not at all for names
/// that mean a role.
pub(super) fn split<'a>(local: &'a str, delimiter: &str) -> Option<(&'a str, &'a str)> {
    if delimiter.is_empty() || ["postmaster", "mailer-daemon", "double-bounce"].contains(&local) {
        return None;
    }
    let is_list = local.starts_with("owner-") || local.ends_with("-request");
    if delimiter.contains('-') && is_list {
        return None;
    }
    let at = local.find(|sign| delimiter.contains(sign))?;
    (at > 0).then(|| (&local[..at], &local[at..]))
}

/// Returns true if a line of `postmap -q -` can ask for this key.
pub(super) fn is_key(key: &str) -> bool {
    !key.is_empty() && key != "@" && key.len() <= 320 && !key.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(address: &str, table: &str) -> Vec<String> {
        let settings = Settings {
            delimiter: "+-".into(),
            local_domains: ["here.org".to_owned()].into(),
            ..Settings::default()
        };
        Address::of(&settings, address).keys(&settings, &Table::of_postfix(table))
    }

    #[test]
    fn keys_are_those_of_postfix_in_its_order() {
        for (address, table, expected) in [
            ("zoe@b.org", "hash:/t", &["zoe@b.org", "@b.org"][..]),
            (
                "zoe+a-b@b.org",
                "hash:/t",
                &["zoe+a-b@b.org", "zoe@b.org", "@b.org"],
            ),
            (
                "zoe+a@here.org",
                "proxy:lmdb:/t",
                &[
                    "zoe+a@here.org",
                    "zoe@here.org",
                    "zoe+a",
                    "zoe",
                    "@here.org",
                ],
            ),
            ("zoe+a@here.org", "regexp:/t", &["zoe+a@here.org"]),
            ("zoe@b.org", "socketmap:unix:/s:t", &["zoe@b.org"]),
            ("zoe", "hash:/t", &["zoe"]),
            ("", "hash:/t", &[]),
            ("@", "hash:/t", &[]),
            ("a\nb@b.org", "hash:/t", &["@b.org"]),
        ] {
            assert_eq!(keys(address, table), expected, "{address}");
        }
    }

    #[test]
    fn a_local_part_is_split_where_postfix_splits_it() {
        for (local, delimiter, expected) in [
            ("a+b", "+", Some(("a", "+b"))),
            ("a+b+c", "+", Some(("a", "+b+c"))),
            ("a-b+c", "+-", Some(("a", "-b+c"))),
            ("a+", "+", Some(("a", "+"))),
            ("+b", "+", None),
            ("a+b", "", None),
            ("ab", "+", None),
            ("owner-list", "-", None),
            ("list-request", "-", None),
            ("owner-list+x", "+", Some(("owner-list", "+x"))),
            ("mailer-daemon", "-", None),
        ] {
            assert_eq!(split(local, delimiter), expected, "{local}");
        }
    }
}

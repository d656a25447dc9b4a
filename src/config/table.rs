//! Names of Postfix's lookup tables: `hash:/etc/postfix/opt-out`, `pgsql:/etc/postfix/people.cf`.
//!
//! Their contents are queried through Postfix (`lookup`); there is no driver of our own.

use std::{fmt, sync::Arc};

/// Types that `postconf -m` may list, with every package of Debian.
pub(super) const TYPES: [&str; 29] = [
    "btree",
    "cdb",
    "cidr",
    "dbm",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "nis",
    "nisplus",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "regexp",
    "sdbm",
    "socketmap",
    "sqlite",
    "static",
    "tcp",
    "texthash",
    "unionmap",
];

/// Types of tables that are given the whole address, never a part of it.
const PATTERN_TYPES: [&str; 5] = ["cidr", "pcre", "regexp", "socketmap", "tcp"];

/// A lookup table of Postfix. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(Arc<str>);

impl Table {
    /// Parses a name; `None` if the text is not the name of a table.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once(':')?;
        let is_table = TYPES.contains(&kind) || (kind == "unix" && name.ends_with(".byname"));
        let is_usable = !name.is_empty() && !text.chars().any(char::is_control);
        (is_table && is_usable).then(|| Self(text.into()))
    }

    /// Creates a table from one of Postfix's own lists, which may have types unknown to us.
    pub fn of_postfix(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name under which it is queried. `proxy:` leads through a directory that only
    /// Postfix may enter, to a table that can be queried without it.
    pub fn direct(&self) -> &str {
        self.0.trim_start_matches("proxy:")
    }

    /// Returns its type, such as `hash`.
    pub fn kind(&self) -> &str {
        self.direct().split(':').next().unwrap_or_default()
    }

    /// Returns true if it may list parts of an address, such as `@example.org`. Postfix queries
    /// tables of patterns for whole addresses only.
    pub fn has_parts(&self) -> bool {
        !PATTERN_TYPES.contains(&self.kind())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_their_types() {
        for (text, direct, parts) in [
            ("hash:/etc/postfix/a", "hash:/etc/postfix/a", true),
            (
                "proxy:mysql:/etc/postfix/a.cf",
                "mysql:/etc/postfix/a.cf",
                true,
            ),
            (
                "socketmap:unix:/run/x:people",
                "socketmap:unix:/run/x:people",
                false,
            ),
            ("proxy:pcre:/etc/postfix/a", "pcre:/etc/postfix/a", false),
            ("inline:{ {a@b = ok} }", "inline:{ {a@b = ok} }", true),
            ("unix:passwd.byname", "unix:passwd.byname", true),
        ] {
            let table = Table::new(text).unwrap();
            assert_eq!(
                (table.direct(), table.has_parts()),
                (direct, parts),
                "{text}"
            );
        }
        for text in [
            "file:/etc/a",
            "/etc/a",
            "a@b",
            "hash:",
            "oracle:/etc/a",
            "hash:/a\nb",
            "unix:/run/x",
        ] {
            assert_eq!(Table::new(text), None, "{text}");
        }
    }
}

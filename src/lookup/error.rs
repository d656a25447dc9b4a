//! The errors of lookups, with the commands to type.

use std::time::Duration;

use crate::{
    config::Table,
    units::{self, Part},
};

/// The reason why the people behind an address could not be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// A program of Postfix could not be run.
    #[error(
        "could not run {program}: {reason}: install Postfix, or set users.alias_maps = [] and users.recipient_delimiter = \"\""
    )]
    Program {
        /// The program.
        program: String,
        /// The reason.
        reason: String,
    },
    /// Postfix could not be asked for its settings.
    #[error("could not ask Postfix for its settings: {0}")]
    Settings(String),
    /// A table could not be asked.
    #[error("could not look up \"{table}\": {reason}{}", advice(table, reason))]
    Table {
        /// The table.
        table: Table,
        /// The last words of `postmap`.
        reason: String,
    },
    /// A table took too long.
    #[error("could not look up \"{0}\": no answer within {1:?} (lookup.timeout)")]
    TableSlow(Table, Duration),
    /// A file of domains could not be read.
    #[error(
        "could not read \"{path}\", in which Postfix has domains: {reason}: which mail is forwarded to other machines is not known; chgrp depollueur and chmod g+r, then systemctl restart {}",
        units::of(Part::Mail)
    )]
    File {
        /// Its path.
        path: String,
        /// The reason.
        reason: String,
    },
    /// All lookups of a message took too long together.
    #[error("could not look up who is meant within {0:?} (lookup.timeout)")]
    Slow(Duration),
    /// Aliases lead to more people than are followed.
    #[error("more than {0} people stand behind the recipients")]
    People(usize),
    /// Aliases lead to aliases too many times.
    #[error("aliases lead to aliases more than {0} times")]
    Depth(usize),
}

/// Returns the command to type for a complaint of `postmap`.
fn advice(table: &Table, reason: &str) -> String {
    let direct = table.direct();
    let (kind, name) = direct.split_once(':').unwrap_or((direct, ""));
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let daemon = units::of(Part::Mail);

    if has(&["Permission denied"]) {
        format!(
            ": the daemon must be able to read it: adduser depollueur postfix, then systemctl restart {daemon}"
        )
    } else if has(&["unsupported dictionary type"]) {
        format!(": apt install postfix-{kind}")
    } else if has(&["No such file"]) && ["hash", "btree", "lmdb", "cdb"].contains(&kind) {
        format!(": postmap {kind}:{name}")
    } else if has(&[
        "Connection refused",
        "Operation not permitted",
        "unreachable",
        "timed out",
    ]) {
        format!(
            ": for a server on another machine: systemctl edit {daemon}, [Service], IPAddressAllow=ADDRESS, then systemctl restart {daemon}"
        )
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postmap_says_has_an_answer_that_can_be_typed() {
        for (table, reason, typed) in [
            (
                "hash:/t",
                "open database /t.db: No such file or directory",
                ": postmap hash:/t",
            ),
            (
                "proxy:mysql:/t",
                "unsupported dictionary type: mysql",
                ": apt install postfix-mysql",
            ),
            (
                "pgsql:/t",
                "open /t: Permission denied",
                "adduser depollueur postfix",
            ),
            (
                "ldap:/t",
                "query error: Connection refused",
                "IPAddressAllow=",
            ),
        ] {
            let table = Table::of_postfix(table);
            let error = LookupError::Table {
                table,
                reason: reason.into(),
            }
            .to_string();
            assert!(error.contains(typed), "{error}");
        }
    }
}

//! Where files and records are kept: the questions, and the secrets that they need.
//!
//! What `--set` says is not asked. Secrets are never typed here: each stands in a file, whose name is asked, and the
//! end of setup says how it is made.

use std::{
    borrow::Cow,
    io::{BufRead, Write},
    path::Path,
};

use super::{
    super::{exit::Failure, quoted},
    answers::{ask as ask_one, load, value_of, yes_or_no},
};
use crate::config::{BlobsKind, Config, Sources, StoreKind};

const ALL_HERE: &str =
    "Are files and records kept on this host (no: in a bucket, at a Jirafeau, in PostgreSQL)";

const FILES: &str = "Where files are kept: here, s3 (a bucket of Garage, Ceph …), or jirafeau";
const HERE: &str = "here";

const RECORDS: &str = "Where records are kept: sqlite (here), or the address of a PostgreSQL database, postgresql://…";

/// Keys with their values, as they were typed.
type Values = Vec<(&'static str, String)>;

/// A question about a store; an empty answer takes the proposal.
struct Detail {
    key: &'static str,
    text: &'static str,
    proposal: &'static str,
}

const BUCKET: [Detail; 5] = [
    Detail {
        key: "s3.endpoint",
        text: "Address of the service",
        proposal: "http://127.0.0.1:3900/",
    },
    Detail {
        key: "s3.region",
        text: "Its region",
        proposal: "garage",
    },
    Detail {
        key: "s3.bucket",
        text: "Name of the bucket",
        proposal: "depollueur",
    },
    Detail {
        key: "s3.access_key_id",
        text: "Id of the key",
        proposal: "",
    },
    Detail {
        key: "s3.secret_key_file",
        text: "File with its secret, which you will be told how to make",
        proposal: "/etc/depollueur/s3-key",
    },
];

const JIRAFEAU: [Detail; 2] = [
    Detail {
        key: "jirafeau.url",
        text: "Address of the Jirafeau",
        proposal: "",
    },
    Detail {
        key: "jirafeau.upload_password_file",
        text: "File with its upload password, which you will be told how to make",
        proposal: "/etc/depollueur/jirafeau-password",
    },
];

const PASSWORD: Detail = Detail {
    key: "drop.records_password_file",
    text: "File with the password for it, which you will be told how to make",
    proposal: "/etc/depollueur/records-password",
};

/// Returns the keys of the stores with their values, as they were typed. `given` are the keys of `--set`.
///
/// # Errors
/// The answers end.
pub(super) fn ask(
    given: &[String],
    answers: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<Values, Failure> {
    let is_given = |keys: &[&str]| {
        given
            .iter()
            .any(|set| keys.iter().any(|key| set.starts_with(key)))
    };
    let mut values = Vec::new();
    let (of_files, of_records) = (
        is_given(&["store.kind", "drop.blobs"]),
        is_given(&["drop.records"]),
    );
    if of_files && of_records || ask_one(answers, out, ALL_HERE, "yes", yes_or_no)? == "yes" {
        return Ok(values);
    }
    if !of_files {
        let place = ask_one(answers, out, FILES, HERE, one_of_three)?;
        values = match place.as_str() {
            "s3" => ask_until_right(("drop.blobs", "s3"), &BUCKET, answers, out)?,
            "jirafeau" => ask_until_right(("store.kind", "jirafeau"), &JIRAFEAU, answers, out)?,
            _ => values,
        };
    }
    if !of_records {
        let valid = |answer: &str| check(&[("drop.records", answer)]).map(|()| answer.to_owned());
        let records = ask_one(answers, out, RECORDS, "sqlite", valid)?;
        let is_remote = needs_password(&records);
        values.push(("drop.records", records));
        if is_remote {
            values.push(ask_detail(&PASSWORD, answers, out)?);
        }
    }
    Ok(values)
}

fn one_of_three(answer: &str) -> Result<String, String> {
    match answer.to_lowercase().as_str() {
        known @ (HERE | "s3" | "jirafeau") => Ok(known.to_owned()),
        _ => Err(format!("{answer:?}: must be here, s3 or jirafeau")),
    }
}

/// Returns true for a database that is not reached by a socket of this machine, which knows us by our user.
fn needs_password(records: &str) -> bool {
    let config = load(&[("drop.records", records)]).unwrap_or_default();
    let url = config.drop.postgres_url();
    url.is_some_and(|url| !url.is_local_socket())
}

/// Asks all details of a store, and again if they contradict each other.
fn ask_until_right(
    kind: (&'static str, &str),
    details: &[Detail],
    answers: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<Values, Failure> {
    loop {
        let mut values = vec![(kind.0, kind.1.to_owned())];
        for detail in details {
            values.push(ask_detail(detail, answers, out)?);
        }
        let typed: Vec<_> = values.iter().map(|(key, value)| (*key, &**value)).collect();
        match check(&typed) {
            Ok(()) => return Ok(values),
            Err(reason) => writeln!(out, "  {reason}").map_err(|error| Failure::output(&error))?,
        }
    }
}

fn ask_detail(
    detail: &Detail,
    answers: &mut impl BufRead,
    out: &mut impl Write,
) -> Result<(&'static str, String), Failure> {
    let valid = |answer: &str| {
        if answer.is_empty() {
            return Err("there must be an answer".to_owned());
        }
        check(&[(detail.key, answer)]).map(|()| answer.to_owned())
    };
    let answer = ask_one(answers, out, detail.text, detail.proposal, valid)?;
    Ok((detail.key, answer))
}

fn check(values: &[(&str, &str)]) -> Result<(), String> {
    load(values).map(drop)
}

/// Returns the lines that make the files with secrets which are missing.
pub(super) fn missing_secrets(config: &Config) -> Vec<String> {
    let is_jirafeau = config.store.kind == StoreKind::Jirafeau;
    let is_bucket = config.drop.blobs == BlobsKind::S3;
    let files = [
        config.s3.secret_key_file.as_deref().filter(|_| is_bucket),
        config
            .jirafeau
            .upload_password_file
            .as_deref()
            .filter(|_| is_jirafeau),
        config.drop.records_password_file.as_deref(),
        config.remote.token_file.as_deref(),
    ];
    let missing = files.into_iter().flatten().filter(|file| !file.exists());
    missing.map(make_secret).collect()
}

/// Returns the line that makes a file which root and the daemon can read, from what is typed.
fn make_secret(file: &Path) -> String {
    let file = quoted(&file.display().to_string());
    format!(
        "install -m 0640 -g depollueur /dev/stdin {file}   # type the secret, Enter, and Ctrl-D"
    )
}

/// Takes the values of `--set`, as they stand in a file.
///
/// # Errors
/// One line that names the option and what is allowed.
pub(super) fn of_options(given: &[String]) -> Result<Vec<(Cow<'static, str>, String)>, Failure> {
    let sources = Sources {
        settings: given.to_vec(),
        ..Sources::default()
    };
    let config = Config::load(&sources)?;
    let keys = given.iter().filter_map(|set| set.split_once('='));
    let values = keys.filter_map(|(key, _)| {
        let value = value_of(&config, key.trim())?;
        Some((key.trim().to_owned().into(), value.to_string()))
    });
    Ok(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(given: &[&str], typed: &str) -> (Result<Values, Failure>, String) {
        let given: Vec<_> = given.iter().map(|&set| set.to_owned()).collect();
        let mut out = Vec::new();
        let stores = ask(&given, &mut typed.as_bytes(), &mut out);
        (stores, String::from_utf8(out).unwrap())
    }

    #[test]
    fn empty_answers_keep_everything_here() {
        let (stores, out) = asked(&[], "\n");
        assert!(
            stores.unwrap().is_empty() && out.lines().count() == 1,
            "{out}"
        );
    }

    #[test]
    fn a_bucket_is_asked_for_until_it_is_whole() {
        let typed = "no\nbucket\ns3\nhttp://s3.example.org/\n\n\nGK1\n\nhttps://s3.example.org/\n\n\n\nGK1\n\n\n";
        let (stores, out) = asked(&[], typed);
        let stores = stores.unwrap();
        assert!(
            stores.contains(&("s3.endpoint", "https://s3.example.org/".to_owned())),
            "{stores:?}"
        );
        assert!(stores.contains(&("s3.secret_key_file", "/etc/depollueur/s3-key".to_owned())));
        assert!(
            out.contains("\"bucket\": must be here, s3 or jirafeau"),
            "{out}"
        );
        assert!(out.contains("must be https"), "{out}");
        assert!(out.contains("there must be an answer"), "{out}");
    }

    #[test]
    fn a_password_is_asked_for_where_there_is_one() {
        let (stores, _) = asked(&[], "no\n\npostgresql:///drop?host=/run/postgresql\n");
        assert_eq!(stores.unwrap().len(), 1);
        let (stores, _) = asked(&[], "no\n\npostgresql://u@db.example.org/drop\n\n");
        let file = "/etc/depollueur/records-password".to_owned();
        assert_eq!(stores.unwrap()[1], ("drop.records_password_file", file));
    }

    #[test]
    fn what_is_set_is_not_asked() {
        let (stores, out) = asked(&["drop.blobs=\"s3\"", "drop.records=\"sqlite\""], "");
        assert!(stores.unwrap().is_empty() && out.is_empty(), "{out}");
    }
}

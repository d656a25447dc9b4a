//! `[s3]`: the bucket that holds the blobs of the drop, for `drop.blobs = "s3"`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Config, DropConfig, PublicUrl,
    public_url::OptionalUrl,
    value::{As, Choice, Codec, Flag, OptionalPath, Seconds, Written, brief},
};

/// `[s3]`: a bucket in object storage.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, expecting = "must be a section")]
pub struct S3Config {
    /// The address of the service, without the bucket and with a final slash; `None` when there is none.
    #[serde(with = "As::<OptionalUrl>")]
    pub endpoint: Option<PublicUrl>,
    /// The region for which requests are signed.
    #[serde(with = "As::<Name<RegionRules>>")]
    pub region: String,
    /// The bucket; empty when there is none.
    #[serde(with = "As::<Name<BucketRules>>")]
    pub bucket: String,
    /// The beginning of the names of all objects, without a final slash; may be empty.
    #[serde(with = "As::<Name<PrefixRules>>")]
    pub prefix: String,
    /// The public half of the key; empty when there is none.
    #[serde(with = "As::<Name<KeyIdRules>>")]
    pub access_key_id: String,
    /// The file that holds the secret half of the key.
    #[serde(with = "As::<OptionalPath>")]
    pub secret_key_file: Option<PathBuf>,
    /// True if the bucket stands in the path of an address, false if it stands before the host.
    #[serde(with = "As::<Flag>")]
    pub path_style: bool,
    /// Certificates (PEM) that are trusted beside the system's.
    #[serde(with = "As::<OptionalPath>")]
    pub ca_file: Option<PathBuf>,
    /// True if the endpoint may be one without TLS on another host.
    #[serde(with = "As::<Flag>")]
    pub allow_http: bool,
    /// The time that a connection may take to be made, TLS included.
    #[serde(with = "As::<Seconds<1, 60>>")]
    pub connect_timeout: Duration,
    /// The time for which an answer may stand still, that it may take to begin, and that a part of a file may
    /// take to be uploaded.
    #[serde(with = "As::<Seconds<1, 240>>")]
    pub timeout: Duration,
}

impl S3Config {
    /// Returns the address of the bucket, without a final slash; empty if there is no endpoint.
    pub(crate) fn bucket_url(&self) -> String {
        let (Some(endpoint), bucket) = (&self.endpoint, &self.bucket) else {
            return String::new();
        };
        let endpoint = endpoint.as_str().trim_end_matches('/');
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => format!("{scheme}://{bucket}.{host}"),
            _ => format!("{endpoint}/{bucket}"),
        }
    }
}

/// The kind of store that holds the blobs of the drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobsKind {
    /// The drop's own directory.
    Directory,
    /// A bucket in object storage.
    S3,
}

impl DropConfig {
    /// Returns true if blobs lie in a bucket, or are being moved out of one.
    pub fn uses_bucket(&self) -> bool {
        self.blobs == BlobsKind::S3 || self.blobs_from == Some(BlobsKind::S3)
    }
}

impl Config {
    /// A contradiction about blobs that are moved: they leave where they are kept.
    pub(super) fn contradiction_of_moving(&self) -> Option<(&'static str, String)> {
        let from = self
            .drop
            .blobs_from
            .filter(|from| *from == self.drop.blobs)?;
        let Written::Text(place) = Choice::print(&from) else {
            return None;
        };
        let reason = format!(
            r#"drop.blobs_from = "{place}": files would be moved to where they are (drop.blobs); write drop.blobs_from = "", or another drop.blobs"#
        );
        Some(("drop.blobs_from", reason))
    }

    /// A contradiction about the bucket: it needs an address and a key, and no request may cross a network in
    /// clear.
    pub(super) fn contradiction_of_s3(&self) -> Option<(&'static str, String)> {
        if !self.drop.uses_bucket() {
            return None;
        }
        let s3 = &self.s3;
        let needed = [
            ("s3.endpoint", s3.endpoint.is_some()),
            ("s3.bucket", !s3.bucket.is_empty()),
            ("s3.access_key_id", !s3.access_key_id.is_empty()),
            ("s3.secret_key_file", s3.secret_key_file.is_some()),
        ];
        if let Some((key, _)) = needed.into_iter().find(|(_, is_set)| !is_set) {
            let wanted = match self.drop.blobs {
                BlobsKind::S3 => "drop.blobs",
                BlobsKind::Directory => "drop.blobs_from",
            };
            let reason = format!(r#"{key} = "": must be set for {wanted} = "s3""#);
            return Some((key, reason));
        }

        let in_clear = |url: &&PublicUrl| !url.is_secure() && !url.is_loopback() && !s3.allow_http;
        s3.endpoint.as_ref().filter(in_clear).map(|url| {
            let reason = format!(
                r#"s3.endpoint = "{url}": must be https, or s3.allow_http must be true: whoever is on the network sees what is fetched, and can change what is stored"#
            );
            ("s3.endpoint", reason)
        })
    }

    /// Warns of a bucket that is not used, or that mail may wait for too long.
    pub(super) fn warn_of_s3(&self, warnings: &mut Vec<String>) {
        if let Some(endpoint) = &self.s3.endpoint
            && !self.drop.uses_bucket()
        {
            warnings.push(format!(
                r#"s3.endpoint = "{endpoint}": nothing goes there; write drop.blobs = "s3""#
            ));
        }
        if self.drop.blobs == BlobsKind::S3 && self.s3.timeout >= self.milter.deadline {
            warnings.push(format!(
                "s3.timeout ({}) is not below milter.deadline ({}): when the bucket hangs, mail waits for all of the deadline",
                brief(self.s3.timeout),
                brief(self.milter.deadline)
            ));
        }
    }
}

/// Codec of a name that becomes part of a request.
pub(super) struct Name<R>(std::marker::PhantomData<R>);

/// The rules of one kind of name.
pub(super) trait NameRules {
    /// The allowed values, in words that follow `must be `.
    const ALLOWED: &'static str;

    /// Returns the name in its usual form; `None` if it is not allowed.
    fn read(text: &str) -> Option<&str>;
}

impl<R: NameRules> Codec for Name<R> {
    type Value = String;

    fn parse(written: &Written) -> Option<String> {
        R::read(&written.text()?).map(str::to_owned)
    }

    fn print(value: &String) -> Written {
        Written::Text(value.clone())
    }

    fn allowed() -> String {
        R::ALLOWED.to_owned()
    }
}

pub(super) struct RegionRules;

impl NameRules for RegionRules {
    const ALLOWED: &'static str =
        r#"the region of the service, such as "garage" or "eu-west-3": letters, digits, _ and -"#;

    fn read(text: &str) -> Option<&str> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        (!text.is_empty() && text.len() <= 64 && text.chars().all(is_plain)).then_some(text)
    }
}

pub(super) struct BucketRules;

impl NameRules for BucketRules {
    const ALLOWED: &'static str =
        "3 to 63 lower-case letters, digits, dots and hyphens, or empty: the name of a bucket";

    fn read(text: &str) -> Option<&str> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        let is_bucket = (3..=63).contains(&text.len()) && text.chars().all(is_plain);
        (text.is_empty() || is_bucket).then_some(text)
    }
}

pub(super) struct PrefixRules;

impl NameRules for PrefixRules {
    const ALLOWED: &'static str = r#"the beginning of names, such as "depollueur" or "mail/drop": letters, digits, -._ and slashes in between, or empty"#;

    fn read(text: &str) -> Option<&str> {
        let text = text.trim_end_matches('/');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_segment =
            |segment: &str| !["", ".", ".."].contains(&segment) && segment.chars().all(is_plain);
        let is_prefix = text.len() <= 256 && text.split('/').all(is_segment);
        (text.is_empty() || is_prefix).then_some(text)
    }
}

pub(super) struct KeyIdRules;

impl NameRules for KeyIdRules {
    const ALLOWED: &'static str =
        "the id of an access key, which is not the secret one: letters, digits, -._, or empty";

    /// A secret key that was written here by mistake has a slash or a plus, as a rule.
    fn read(text: &str) -> Option<&str> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        (text.len() <= 128 && text.chars().all(is_plain)).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_their_usual_form() {
        assert_eq!(PrefixRules::read("mail/drop/"), Some("mail/drop"));
        assert_eq!(PrefixRules::read(""), Some(""));
        for wrong in ["/drop", "a//b", "a/../b", "drôle", "a b"] {
            assert_eq!(PrefixRules::read(wrong), None, "{wrong}");
        }
        for wrong in ["ab", "Bucket", "a/b", "a_b", &"a".repeat(64)] {
            assert_eq!(BucketRules::read(wrong), None, "{wrong}");
        }
        assert_eq!(RegionRules::read(""), None);
        assert_eq!(
            KeyIdRules::read("GK31c2f218a2e44f485b94239e"),
            Some("GK31c2f218a2e44f485b94239e")
        );
        assert_eq!(KeyIdRules::read("wJalrXUtnFEMI/K7MDENG"), None);
    }

    #[test]
    fn a_bucket_stands_in_the_path_or_before_the_host() {
        let mut config = S3Config {
            bucket: "drop".into(),
            ..S3Config::default()
        };
        assert_eq!(config.bucket_url(), "");
        config.endpoint = "https://s3.example.org:3900/".parse().ok();
        assert_eq!(config.bucket_url(), "https://s3.example.org:3900/drop");
        config.path_style = false;
        assert_eq!(config.bucket_url(), "https://drop.s3.example.org:3900");
    }

    #[test]
    fn a_bucket_needs_an_address_and_a_key() {
        let mut config = Config::default();
        config.drop.blobs = BlobsKind::S3;
        assert_eq!(config.contradiction().unwrap().0, "s3.endpoint");
        config.s3.endpoint = "http://s3.example.org/".parse().ok();
        assert_eq!(config.contradiction().unwrap().0, "s3.bucket");
        config.s3.bucket = "drop".into();
        assert_eq!(config.contradiction().unwrap().0, "s3.access_key_id");
        config.s3.access_key_id = "GK1".into();
        assert_eq!(config.contradiction().unwrap().0, "s3.secret_key_file");
        config.s3.secret_key_file = Some("/etc/depollueur/s3".into());
        assert_eq!(config.contradiction().unwrap().0, "s3.endpoint");
        config.s3.allow_http = true;
        assert_eq!(config.contradiction(), None);
        config.s3.allow_http = false;
        config.s3.endpoint = "http://127.0.0.1:3900/".parse().ok();
        assert_eq!(config.contradiction(), None);
    }
}

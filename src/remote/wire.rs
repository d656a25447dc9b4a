//! The data on the wire, for both ends. `doc/deposit.openapi.yaml` describes it.

use std::{collections::BTreeMap, net::IpAddr};

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    envelope::{DOMAINS_MAX, Direction, Domains, Origin},
    untrusted::is_steering,
};

/// The header that carries the package's token. It never stands in a path: paths are logged.
pub(crate) const TOKEN_HEADER: &str = "drop-token";

/// The problem code for a file blocked by an admin.
pub(crate) const BLOCKED: &str = "blocked";

/// The problem code for a login suspended by an admin.
pub(crate) const SUSPENDED: &str = "suspended";

/// Maximum number of files in a package.
pub(crate) const FILES_MAX: usize = crate::envelope::DETACHED_MAX;

/// Maximum length of any text of an origin, in characters.
const TEXT_CHARS_MAX: usize = 1024;
/// Maximum length of a file's name or media type, in characters.
const NAME_CHARS_MAX: usize = 255;

/// The request that begins a package: its origin.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    queue_id: String,
    sender: String,
    login: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    direction: Direction,
    #[serde(deserialize_with = "whole")]
    recipients: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    recipient_domains: BTreeMap<String, WholeNumber>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(transparent)]
struct WholeNumber(#[serde(deserialize_with = "whole")] u32);

/// The answer when a package was begun.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Begun {
    /// The link under which it will be found once it is committed.
    pub(crate) link: String,
}

/// The answer when a file arrived whole.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Received {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
}

/// The request that commits a package.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Commit {
    /// The files, in the order in which they are shown.
    pub(crate) files: Vec<CommitFile>,
    /// The end of the time in which they can be fetched.
    pub(crate) expires: Timestamp,
}

/// A file received under its number.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommitFile {
    #[serde(deserialize_with = "whole")]
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) media_type: String,
    #[serde(deserialize_with = "whole")]
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
    /// True if it was read out of another file of the package.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) opened: bool,
}

/// The answer when a package was committed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Committed {
    pub(crate) link: String,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// The reason for a refusal (RFC 9457).
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ProblemBody {
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// The reason as one word, for machines.
    pub(crate) code: String,
}

/// A digest, as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sha256(pub(crate) [u8; 32]);

impl Begin {
    pub(crate) fn new(origin: Origin) -> Self {
        let Origin {
            queue_id,
            sender,
            login,
            message_id,
            client,
            direction,
            recipients,
            domains,
            ..
        } = origin;

        let count = |(domain, count): (&str, u32)| (domain.to_owned(), WholeNumber(count));
        Self {
            queue_id: cut(queue_id),
            sender: cut(sender),
            login: login.map(cut),
            message_id: message_id.map(cut),
            client,
            direction,
            recipients,
            recipient_domains: domains.iter().map(count).collect(),
        }
    }

    /// The origin, or else the fault in it.
    pub(crate) fn origin(self) -> Result<Origin, &'static str> {
        let texts = || {
            [&self.queue_id, &self.sender]
                .into_iter()
                .chain(&self.login)
                .chain(&self.message_id)
        };
        if texts().any(|text| text.chars().count() > TEXT_CHARS_MAX) {
            return Err("a text of the origin is longer than 1024 characters");
        }
        if texts().any(|text| text.chars().any(is_steering)) {
            return Err(
                "queue_id, sender, login or message_id has a control character, or one that changes the direction of text",
            );
        }
        if self.recipient_domains.len() > DOMAINS_MAX {
            return Err("there are more than 100 domains of recipients");
        }

        let domains = self.recipient_domains.into_iter();
        Ok(Origin {
            queue_id: self.queue_id,
            sender: self.sender,
            verified: None,
            login: self.login,
            client: self.client,
            uploader: None,
            message_id: self.message_id,
            direction: self.direction,
            recipients: self.recipients,
            domains: Domains::told(domains.map(|(domain, count)| (domain, count.0))),
        })
    }
}

impl Commit {
    /// The fault in the list of files, as far as the list alone shows it.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.files.is_empty() || self.files.len() > FILES_MAX {
            return Some("a package has from 1 to 1000 files");
        }
        let is_long = |text: &str| text.is_empty() || text.chars().count() > NAME_CHARS_MAX;
        let mut files = self.files.iter();
        if files.any(|file| is_long(&file.name) || is_long(&file.media_type)) {
            return Some("a name or a media type has not from 1 to 255 characters");
        }
        let mut numbers: Vec<_> = self.files.iter().map(|file| file.number).collect();
        numbers.sort_unstable();
        let twice = numbers.windows(2).any(|pair| pair[0] == pair[1]);
        twice.then_some("a file is listed twice")
    }

    /// The size of all files together, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| file.size.saturating_add(sum))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let bytes = bytes.try_into();
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("a digest of another length"))
    }
}

/// Reads a whole number; `5.0` is one in JSON Schema.
fn whole<'de, T: TryFrom<u64>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = |float: f64| (float.fract() == 0.0 && float >= 0.0).then_some(float as u64);
    let number = number.as_u64().or_else(|| whole(number.as_f64()?));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| D::Error::custom("not a whole number in its range"))
}

/// Cuts a text of an origin, and replaces its hidden characters. An origin is for people who later
/// ask where a package came from; nothing is refused for its length or its characters.
fn cut(text: String) -> String {
    let seen = text
        .chars()
        .map(|c| if is_steering(c) { '\u{fffd}' } else { c });
    seen.take(TEXT_CHARS_MAX).collect()
}

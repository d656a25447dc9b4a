//! Bytes kept out of mailboxes, added up by month, direction and domain.
//!
//! Counted in the transaction that makes a package visible (`ledger/records.rs`), so that it is neither
//! lost nor counted twice when a process is killed, and kept in rows of its own, which outlive the
//! records of the packages. Each detached file's decoded bytes count once as *bytes* and once for each
//! recipient of its message as *spared*: that many bytes were not copied into mailboxes.
//!
//! No row holds anything of a person: a domain of our own side, the sender's of outgoing mail and the
//! recipients' of incoming mail, and sums. A domain can be a person's own, so those with fewer than
//! [`DOMAIN_MESSAGES_MIN`] messages in a month and direction are added to the others: in every report at
//! once, and in the database when the month after is over. A message to several domains counts as one of the
//! domain with the most recipients; its recipients and the spared bytes count to each domain.

mod month;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

pub use self::month::{Month, MonthError};
use crate::envelope::{Direction, Origin, domain_of};

/// Number of messages in a month and direction below which a domain is not named.
pub const DOMAIN_MESSAGES_MIN: u64 = 10;

/// The sums of messages that lost files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Messages that lost files.
    pub messages: u64,
    /// These files.
    pub files: u64,
    /// Their decoded bytes, once.
    pub bytes: u64,
    /// The recipients of these messages.
    pub recipients: u64,
    /// The decoded bytes, once for each recipient.
    pub spared: u64,
}

/// The sums of a month, a direction and a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The month in which the packages were deposited, in UTC.
    pub month: Month,
    /// The direction of the messages.
    pub direction: Direction,
    /// A domain of our own side; empty for those that are not named.
    pub domain: String,
    /// The sums.
    pub sums: Sums,
}

/// The column by which a report is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A line for each month.
    Month,
    /// A line for each direction.
    Direction,
    /// A line for each domain that is named, and one for the others.
    Domain,
}

impl Sums {
    /// Adds other sums to these.
    pub fn add(&mut self, other: &Self) {
        self.messages = self.messages.saturating_add(other.messages);
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.recipients = self.recipients.saturating_add(other.recipients);
        self.spared = self.spared.saturating_add(other.spared);
    }
}

/// Returns the rows that a package adds to. A message without recipients was kept out of no mailbox.
pub(crate) fn rows_of(
    origin: &Origin,
    created: jiff::Timestamp,
    files: u64,
    bytes: u64,
) -> Vec<Row> {
    let month = Month::of(created.to_zoned(TimeZone::UTC).date());
    let row = |(domain, recipients): (String, u32)| Row {
        month,
        direction: origin.direction,
        domain,
        sums: Sums {
            recipients: recipients.into(),
            spared: bytes.saturating_mul(recipients.into()),
            ..Sums::default()
        },
    };

    let mut rows: Vec<_> = shares(origin).into_iter().map(row).collect();

    // Of several, the first counts: the order of the message says nothing, that of the alphabet is stable.
    let most = rows.iter().map(|row| row.sums.recipients).max();
    if let Some(main) = rows
        .iter_mut()
        .find(|row| Some(row.sums.recipients) == most)
    {
        (main.sums.messages, main.sums.files, main.sums.bytes) = (1, files, bytes);
    }
    rows
}

/// Returns the number of recipients that count to each domain of our own side.
fn shares(origin: &Origin) -> BTreeMap<String, u32> {
    let mut shares = match origin.direction {
        Direction::Outgoing => BTreeMap::new(),
        Direction::Incoming => origin.domains.within(origin.recipients),
    };
    let rest = origin.recipients - shares.values().sum::<u32>();
    if rest > 0 {
        let domain = match origin.direction {
            Direction::Outgoing => domain_of(&origin.sender),
            Direction::Incoming => None,
        };
        *shares.entry(domain.unwrap_or_default()).or_default() += rest;
    }
    shares
}

/// Returns the rows as they may be shown: domains with too few messages are among the others.
pub fn fold(rows: &[Row]) -> Vec<Row> {
    let mut folded = BTreeMap::<_, Sums>::new();
    for row in rows {
        let named = row.sums.messages >= DOMAIN_MESSAGES_MIN;
        let domain = if named { row.domain.as_str() } else { "" };
        let key = (row.month, row.direction, domain);
        folded.entry(key).or_default().add(&row.sums);
    }
    let row = |((month, direction, domain), sums): ((Month, Direction, &str), Sums)| Row {
        month,
        direction,
        domain: domain.to_owned(),
        sums,
    };
    folded.into_iter().map(row).collect()
}

/// Adds folded rows up by one of their columns, under the words that `label` gives: months in their
/// order, the rest with the most spared first and the unnamed domains last.
pub fn group(rows: &[Row], by: By, label: impl Fn(&Row) -> String) -> Vec<(String, Sums)> {
    let mut groups = BTreeMap::<(String, String), Sums>::new();
    for row in rows {
        let order = match by {
            By::Month => row.month.to_string(),
            By::Direction => String::new(),
            By::Domain => if row.domain.is_empty() { "1" } else { "0" }.to_owned(),
        };
        groups
            .entry((order, label(row)))
            .or_default()
            .add(&row.sums);
    }

    let mut groups: Vec<_> = groups.into_iter().collect();
    if by != By::Month {
        groups.sort_by(|((a, _), x), ((b, _), y)| a.cmp(b).then(y.spared.cmp(&x.spared)));
    }

    groups
        .into_iter()
        .map(|((_, label), sums)| (label, sums))
        .collect()
}

/// Adds all rows up.
pub fn total(rows: &[Row]) -> Sums {
    let mut total = Sums::default();
    rows.iter().for_each(|row| total.add(&row.sums));
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Domains;

    fn origin(direction: Direction, recipients: &[&str]) -> Origin {
        Origin {
            queue_id: "Q".into(),
            sender: "Ada@Example.ORG".into(),
            verified: None,
            login: None,
            client: None,
            uploader: None,
            message_id: None,
            direction,
            recipients: recipients.len() as u32,
            domains: Domains::of(recipients.iter().copied()),
        }
    }

    fn rows(direction: Direction, recipients: &[&str]) -> Vec<(String, Sums)> {
        let at = "2026-11-30T23:59:59Z".parse().unwrap();
        let rows = rows_of(&origin(direction, recipients), at, 2, 100);
        assert!(rows.iter().all(|row| row.month.to_string() == "2026-11"));
        rows.into_iter().map(|row| (row.domain, row.sums)).collect()
    }

    fn sums(values: [u64; 5]) -> Sums {
        let [messages, files, bytes, recipients, spared] = values;
        Sums {
            messages,
            files,
            bytes,
            recipients,
            spared,
        }
    }

    #[test]
    fn outgoing_mail_counts_to_the_domain_of_its_sender() {
        let found = rows(Direction::Outgoing, &["a@x.example", "b@y.example"]);
        assert_eq!(found, [("example.org".into(), sums([1, 2, 100, 2, 200]))]);
    }

    #[test]
    fn incoming_mail_counts_to_the_domains_of_its_recipients_and_once_as_a_message() {
        let recipients = ["a@b.example", "b@A.example", "c@a.example", "postmaster"];
        let expected = [
            (String::new(), sums([0, 0, 0, 1, 100])),
            ("a.example".into(), sums([1, 2, 100, 2, 200])),
            ("b.example".into(), sums([0, 0, 0, 1, 100])),
        ];
        assert_eq!(rows(Direction::Incoming, &recipients), expected);
    }

    #[test]
    fn a_message_without_recipients_counts_nothing() {
        assert_eq!(rows(Direction::Incoming, &[]), []);
        assert_eq!(rows(Direction::Outgoing, &[]), []);
    }

    #[test]
    fn more_domains_than_recipients_are_not_believed() {
        let mut origin = origin(Direction::Incoming, &["a@x.example", "b@y.example"]);
        origin.recipients = 1;
        let at = jiff::Timestamp::UNIX_EPOCH;
        assert_eq!(total(&rows_of(&origin, at, 1, 7)), sums([1, 1, 7, 1, 7]));
    }

    fn row(domain: &str, messages: u64) -> Row {
        Row {
            month: "2026-11".parse().unwrap(),
            direction: Direction::Incoming,
            domain: domain.into(),
            sums: sums([messages, messages, 10, messages, messages * 10]),
        }
    }

    #[test]
    fn a_domain_with_few_messages_is_among_the_others() {
        let rows = [row("big.example", 10), row("own.example", 9), row("", 1)];
        let folded = fold(&rows);
        let named: Vec<_> = folded.iter().map(|row| row.domain.as_str()).collect();
        assert_eq!(named, ["", "big.example"]);
        assert_eq!(total(&folded), total(&rows));
        let groups = group(&folded, By::Domain, |row| row.domain.clone());
        assert_eq!(groups[0].0, "big.example");
        assert_eq!(groups[1].1.messages, 10);
    }
}

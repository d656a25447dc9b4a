//! The sums of the replayed mail.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;

use crate::filter::PartDecision;

/// The outcome for one message.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReplayFate<'a> {
    /// It would get links.
    Rewritten,
    /// It would go out as it came, for this reason.
    Kept(&'a str),
    /// A rule, named here, would refuse it.
    Refused(&'a str),
    /// It is not a message.
    Malformed,
}

/// The sums of a replay.
#[derive(Debug, Default, Serialize)]
pub(super) struct ReplayReport {
    /// Files and messages that could not be read.
    pub(super) unreadable: u64,
    /// All messages.
    messages: Tally,
    /// Messages that would get links.
    rewritten: Tally,
    /// Attachments that would be taken out of them, decoded.
    detached: Tally,
    /// Messages by their outcome.
    by_outcome: BTreeMap<String, Tally>,
    /// Attachments that would be detached, by the rule that decided.
    by_rule: BTreeMap<String, Tally>,
    /// Parts by the reason why they would go or stay.
    by_reason: BTreeMap<String, Tally>,
}

/// A number of items, and their size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Tally {
    count: u64,
    bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

impl ReplayReport {
    /// Adds a message of this size.
    pub(super) fn message(&mut self, bytes: u64, fate: ReplayFate<'_>, parts: &[PartDecision]) {
        self.messages.add(bytes);
        let outcome = match fate {
            ReplayFate::Rewritten => "rewritten".to_owned(),
            ReplayFate::Kept(reason) => format!("kept: {reason}"),
            ReplayFate::Refused(rule) => format!("refused: {rule}"),
            ReplayFate::Malformed => "kept: malformed-header".to_owned(),
        };

        self.by_outcome.entry(outcome).or_default().add(bytes);
        let goes = matches!(fate, ReplayFate::Rewritten);
        if goes {
            self.rewritten.add(bytes);
        }

        for part in parts {
            let fate = if goes && part.would_detach {
                "goes"
            } else {
                "stays"
            };
            let reason = format!("{fate}: {}", part.reason);
            self.by_reason.entry(reason).or_default().add(part.bytes);
            if goes && part.would_detach {
                self.detached.add(part.bytes);
                let rule = part.rule.clone().unwrap_or_default();
                self.by_rule.entry(rule).or_default().add(part.bytes);
            }
        }
    }

    /// Prints the sums for programs, as JSON.
    pub(super) fn json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        writeln!(out)
    }

    /// Prints the sums for people, as a table.
    pub(super) fn table(&self, out: &mut impl Write) -> io::Result<()> {
        row(out, "messages", self.messages)?;
        row(out, "would be rewritten", self.rewritten)?;
        row(out, "attachments that would go", self.detached)?;
        if self.unreadable > 0 {
            let unreadable = Tally {
                count: self.unreadable,
                bytes: 0,
            };
            row(out, "could not be read", unreadable)?;
        }
        section(out, "messages by outcome", &self.by_outcome)?;
        section(out, "attachments that would go, by rule", &self.by_rule)?;
        section(out, "parts by reason", &self.by_reason)
    }
}

fn section(out: &mut impl Write, title: &str, counts: &BTreeMap<String, Tally>) -> io::Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    let mut rows: Vec<(&String, &Tally)> = counts.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse((count.bytes, count.count)));
    rows.into_iter()
        .try_for_each(|(name, count)| row(out, &format!("  {name}"), *count))
}

fn row(out: &mut impl Write, name: &str, count: Tally) -> io::Result<()> {
    writeln!(
        out,
        "{name:<44} {:>10} {:>12}",
        count.count,
        size(count.bytes)
    )
}

/// Formats a size for people, in decimal units.
fn size(bytes: u64) -> String {
    let units = [
        (1_000_000_000_000, "TB"),
        (1_000_000_000, "GB"),
        (1_000_000, "MB"),
        (1_000, "kB"),
    ];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(bytes: u64, goes: bool) -> PartDecision {
        PartDecision {
            path: "2".into(),
            media_type: "application/pdf".into(),
            name: None,
            bytes,
            detached: false,
            would_detach: goes,
            rule: Some("default".into()),
            reason: if goes {
                "threshold reached".into()
            } else {
                "below the threshold".into()
            },
        }
    }

    #[test]
    fn messages_and_parts_add_up() {
        let mut report = ReplayReport::default();
        report.message(
            41_000_000,
            ReplayFate::Rewritten,
            &[part(30_000_000, true), part(5, false)],
        );
        report.message(1_000, ReplayFate::Kept("header"), &[]);
        report.message(7, ReplayFate::Malformed, &[]);
        report.message(9, ReplayFate::Refused("no scripts"), &[]);
        let mut out = Vec::new();
        report.table(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let has = |line: &[&str]| {
            text.lines()
                .any(|shown| shown.split_whitespace().eq(line.iter().copied()))
        };
        assert!(has(&["messages", "4", "41.0", "MB"]), "{text}");
        assert!(
            has(&["attachments", "that", "would", "go", "1", "30.0", "MB"]),
            "{text}"
        );
        assert!(has(&["default", "1", "30.0", "MB"]), "{text}");
        assert!(has(&["refused:", "no", "scripts", "1", "9", "B"]), "{text}");
        let mut out = Vec::new();
        report.json(&mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["detached"]["bytes"], 30_000_000);
        assert_eq!(value["by_outcome"]["kept: malformed-header"]["count"], 1);
    }

    #[test]
    fn what_would_be_taken_from_a_message_that_is_left_alone_does_not_count() {
        let mut report = ReplayReport::default();
        report.message(9, ReplayFate::Kept("no-place"), &[part(5, true)]);
        assert_eq!(report.detached, Tally::default());
    }

    #[test]
    fn sizes_are_cut_to_one_decimal() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_999_999, "1.9 MB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}

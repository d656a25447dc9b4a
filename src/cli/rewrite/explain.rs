//! Prints the decision for each part, with its rule and reason.

use std::io::{self, Write};

use serde_json::json;

use super::Explanation;
use crate::{
    filter::PartDecision,
    untrusted::{Untrusted, escaped_json},
};

/// Prints an explanation to standard error; it is for people, so a failure to write is ignored.
pub(super) fn print(explanation: &Explanation, deposited: bool, as_json: bool) {
    let mut out = io::stderr().lock();
    let _ = if as_json {
        json(explanation, deposited, &mut out)
    } else {
        table(explanation, &mut out)
    };
}

fn json(explanation: &Explanation, deposited: bool, out: &mut impl Write) -> io::Result<()> {
    let Explanation {
        reason,
        rule,
        parts,
    } = explanation;
    writeln!(
        out,
        "{}",
        escaped_json(
            &json!({ "reason": reason, "rule": rule, "deposited": deposited, "parts": parts })
                .to_string()
        )
    )
}

fn table(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    match &explanation.rule {
        Some(rule) => writeln!(out, "message: {} ({rule})", explanation.reason)?,
        None => writeln!(out, "message: {}", explanation.reason)?,
    }
    if explanation.parts.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<8} {:<10} {:>12} {:<20} {:<28} why, name",
        "part", "fate", "bytes", "decided by", "type"
    )?;
    explanation.parts.iter().try_for_each(|part| row(part, out))
}

fn row(part: &PartDecision, out: &mut impl Write) -> io::Result<()> {
    let PartDecision {
        path,
        media_type,
        name,
        bytes,
        detached,
        would_detach,
        rule,
        reason,
    } = part;

    let path = if path.is_empty() { "-" } else { path };
    let fate = match (detached, would_detach) {
        (true, _) => "detached",
        (_, true) => "would go",
        _ => "kept",
    };
    let rule = rule.as_deref().unwrap_or("-");
    let name = Untrusted(name.as_deref().unwrap_or("-"));
    let media_type = Untrusted(media_type);

    writeln!(
        out,
        "{path:<8} {fate:<10} {bytes:>12} {rule:<20} {media_type:<28} {reason}, {name}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        let part = |path: &str, detached| PartDecision {
            path: path.into(),
            media_type: "application/pdf".into(),
            name: Some("a.pdf".into()),
            bytes: 1_000_000,
            detached,
            would_detach: !detached,
            rule: Some("lists".into()),
            reason: "large".into(),
        };
        Explanation {
            reason: "detached".into(),
            rule: None,
            parts: vec![part("2", true), part("3", false)],
        }
    }

    #[test]
    fn a_name_that_drives_a_terminal_is_escaped() {
        let mut explanation = explanation();
        explanation.parts[0].name = Some("a\u{1b}[2J\n3 kept\u{202e}".into());
        let mut out = Vec::new();
        table(&explanation, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("a\\u{1b}[2J\\n3 kept\\u{202e}"), "{text}");
    }

    #[test]
    fn a_table_has_one_line_a_part() {
        let mut out = Vec::new();
        table(&explanation(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert!(
            text.contains("2        detached") && text.contains("large, a.pdf"),
            "{text}"
        );
        assert!(
            text.contains("3        would go") && text.contains(" lists "),
            "{text}"
        );
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let mut out = Vec::new();
        json(&explanation(), true, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["parts"][0]["bytes"], 1_000_000);
        assert_eq!(value["parts"][1]["would_detach"], true);
        assert_eq!(value["reason"], "detached");
        assert_eq!(value["deposited"], true);
    }
}

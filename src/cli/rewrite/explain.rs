//! What was decided for each part, and why, on standard error.

use std::io::{self, Write};

use serde_json::json;

use super::Explanation;
use crate::filter::PartDecision;

/// Prints an explanation. Standard error is for people: nobody is told when it is closed.
pub(super) fn print(explanation: &Explanation, as_json: bool) {
    let mut out = io::stderr().lock();
    let _ = if as_json {
        json(explanation, &mut out)
    } else {
        table(explanation, &mut out)
    };
}

fn json(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let value = json!({ "reason": explanation.reason, "parts": explanation.parts });
    writeln!(out, "{value}")
}

fn table(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "message: {}", explanation.reason)?;
    for part in &explanation.parts {
        let PartDecision {
            path,
            media_type,
            name,
            bytes,
            detached,
            reason,
        } = part;
        let path = if path.is_empty() { "-" } else { path };
        let fate = if *detached { "detached" } else { "kept" };
        let name = name.as_deref().unwrap_or("-");
        writeln!(
            out,
            "{path:<8} {fate:<8} {bytes:>12} {media_type:<28} {name} ({reason})"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation() -> Explanation {
        let part = PartDecision {
            path: "2".into(),
            media_type: "application/pdf".into(),
            name: Some("a.pdf".into()),
            bytes: 1_000_000,
            detached: true,
            reason: "large".into(),
        };
        Explanation {
            reason: "detached".into(),
            parts: vec![part],
        }
    }

    #[test]
    fn a_table_has_one_line_a_part() {
        let mut out = Vec::new();
        table(&explanation(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("detached") && text.contains("a.pdf (large)"));
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let mut out = Vec::new();
        json(&explanation(), &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["parts"][0]["bytes"], 1_000_000);
        assert_eq!(value["reason"], "detached");
    }
}

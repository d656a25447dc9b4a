//! OpenMetrics as Prometheus' text format 0.0.4, which older scrapers, `curl` and `promtool` read.

use std::collections::HashSet;

/// Converts the text. Counters lack `_total` in OpenMetrics and have it here; units and the end
/// mark are dropped.
pub(super) fn from_openmetrics(text: &str) -> String {
    let type_of = |line: &str| line.strip_prefix("# TYPE ").map(str::to_owned);
    let counters: HashSet<String> = text
        .lines()
        .filter_map(type_of)
        .filter_map(|line| line.strip_suffix(" counter").map(str::to_owned))
        .collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        out.push_str(&renamed(line, &counters).unwrap_or_else(|| line.to_owned()));
        out.push('\n');
    }
    out
}

/// The line with a counter's type or help, renamed; `None` if it is another line.
fn renamed(line: &str, counters: &HashSet<String>) -> Option<String> {
    let mut words = line.splitn(4, ' ');
    let (mark, word, name, rest) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let told = mark == "#" && counters.contains(name);
    told.then(|| format!("{mark} {word} {name}_total {rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_as_their_samples() {
        let open = "# HELP a_bytes Bytes.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                    a_bytes_total 1\n# HELP b B.\n# TYPE b gauge\nb 2\n# EOF\n";
        let plain = "# HELP a_bytes_total Bytes.\n# TYPE a_bytes_total counter\na_bytes_total 1\n\
                     # HELP b B.\n# TYPE b gauge\nb 2\n";
        assert_eq!(from_openmetrics(open), plain);
    }
}

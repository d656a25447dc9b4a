//! The findings of all checks, one or more each, for people or as JSON.

use std::fmt;

use serde::Serialize;

use crate::cli::obstacles::Obstacle;
pub(super) use crate::cli::quoted;

/// The outcome of a check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Severity {
    /// As it should be.
    Ok,
    /// It could not be found out; this is no fault.
    Unknown,
    /// Somebody should look at it.
    Warning,
    /// Mail or files are at risk, or something does not work.
    Error,
}

/// One finding of a check.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The check's name; it is stable across versions.
    pub(super) check: &'static str,
    /// The outcome.
    pub(super) level: Severity,
    /// The facts, and the reason why they matter.
    pub(super) message: String,
    /// The lines to type.
    pub(super) fix: Vec<String>,
}

/// All findings, in the order they were made.
#[derive(Debug, Default, Serialize)]
pub(super) struct DoctorReport {
    findings: Vec<Finding>,
}

impl DoctorReport {
    /// Records that all is well.
    pub(super) fn ok(&mut self, check: &'static str, message: impl fmt::Display) {
        self.add(check, Severity::Ok, message, []);
    }

    /// Records that the facts cannot be found out.
    pub(super) fn unknown(&mut self, check: &'static str, message: impl fmt::Display) {
        self.add(check, Severity::Unknown, message, []);
    }

    /// Records a fault that somebody should look at.
    pub(super) fn warning(
        &mut self,
        check: &'static str,
        message: impl fmt::Display,
        fix: impl IntoIterator<Item = String>,
    ) {
        self.add(check, Severity::Warning, message, fix);
    }

    /// Records a fault that stops something from working, or endangers mail.
    pub(super) fn error(
        &mut self,
        check: &'static str,
        message: impl fmt::Display,
        fix: impl IntoIterator<Item = String>,
    ) {
        self.add(check, Severity::Error, message, fix);
    }

    /// Adds an obstacle: an error, unless mail is processed all the same.
    pub(super) fn obstacle(&mut self, check: &'static str, obstacle: Obstacle) {
        let level = match obstacle.is_harmless {
            true => Severity::Warning,
            false => Severity::Error,
        };
        self.add(check, level, obstacle.message, obstacle.fix);
    }

    /// Records a finding of any level, unless the same one is already there.
    pub(super) fn add(
        &mut self,
        check: &'static str,
        level: Severity,
        message: impl fmt::Display,
        fix: impl IntoIterator<Item = String>,
    ) {
        let finding = Finding {
            check,
            level,
            message: message.to_string(),
            fix: fix.into_iter().collect(),
        };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Records that all is well, unless the check has a finding.
    pub(super) fn ok_unless_found(&mut self, check: &'static str, message: impl fmt::Display) {
        if !self.findings.iter().any(|finding| finding.check == check) {
            self.ok(check, message);
        }
    }

    /// Returns the number of findings.
    pub(super) fn count(&self) -> usize {
        self.findings.len()
    }

    /// Returns the worst level of all findings.
    pub(super) fn worst(&self) -> Severity {
        self.findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Severity::Ok)
    }

    /// Returns the report for programs: an object with `worst` and the `findings`.
    pub(super) fn to_json(&self) -> String {
        let value = serde_json::json!({ "worst": self.worst(), "findings": self.findings });
        format!("{value:#}\n")
    }

    /// Returns all findings.
    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Asserts that there is a finding of this check and level that has `fix` among its lines, unless
    /// `fix` is empty.
    #[cfg(test)]
    pub(super) fn assert_found(&self, check: &str, level: Severity, fix: &str) {
        let is_it = |finding: &&Finding| finding.check == check && finding.level == level;
        let found = self.findings.iter().find(is_it);
        let found = found.unwrap_or_else(|| panic!("{check} in {self}"));
        let is_fixed = fix.is_empty() || found.fix.iter().any(|line| line == fix);
        assert!(is_fixed, "{self}");
    }
}

/// Formats the report for people: a line for each finding, with the lines to type below it.
impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let level = match finding.level {
                Severity::Ok => "ok",
                Severity::Unknown => "unknown",
                Severity::Warning => "WARNING",
                Severity::Error => "ERROR",
            };
            writeln!(f, "{level:<8} {:<22} {}", finding.check, finding.message)?;
            for line in &finding.fix {
                writeln!(f, "{:>12} {line}", "do:")?;
            }
        }
        let count = |level| self.findings.iter().filter(|f| f.level == level).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        writeln!(f, "{errors} errors, {warnings} warnings")
    }
}

/// Returns the line that sets a parameter in main.cf.
pub(super) fn postconf_e(name: &str, value: &str) -> String {
    format!("postconf -e {}", quoted(&format!("{name} = {value}")))
}

/// Returns the line that sets a parameter of one service in master.cf, whose values take no blanks:
/// commas replace them.
pub(super) fn postconf_p(service: &str, name: &str, value: &str) -> String {
    let tight = value
        .replace(" = ", "=")
        .replace("{ ", "{")
        .replace(" }", "}");
    let words: Vec<&str> = tight
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
        .collect();
    let setting = format!("{service}/{name} = {}", words.join(","));
    format!("postconf -P {}", quoted(&setting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_for_master_cf_has_no_blanks() {
        assert_eq!(
            postconf_p(
                "smtp/inet",
                "smtpd_milters",
                "{ unix:a, b = c, d=e }, inet:x:1 inet:y:2"
            ),
            "postconf -P 'smtp/inet/smtpd_milters = {unix:a,b=c,d=e},inet:x:1,inet:y:2'"
        );
    }

    #[test]
    fn the_worst_level_counts_and_what_cannot_be_told_is_no_fault() {
        let mut report = DoctorReport::default();
        assert_eq!(report.worst(), Severity::Ok);
        report.unknown("a", "x");
        assert!(report.worst() < Severity::Warning);
        report.warning("b", "y", []);
        report.error("c", "z", [postconf_e("n", "it's")]);
        report.error("c", "z", [postconf_e("n", "it's")]);
        assert_eq!(report.worst(), Severity::Error);
        assert_eq!(report.findings().len(), 3);
        let text = report.to_string();
        assert!(text.contains(r"do: postconf -e 'n = it'\''s'"), "{text}");
        assert!(text.ends_with("1 errors, 1 warnings\n"), "{text}");
    }
}

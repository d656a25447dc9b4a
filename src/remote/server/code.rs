//! The reasons for refusals, each as one word for machines. `doc/deposit.openapi.yaml` lists them.

use crate::{
    drop::Allotment,
    remote::wire::{BLOCKED, SUSPENDED},
    scan::ScanFinding,
};

/// Defines the codes with their words, and a list of all of them.
macro_rules! problem_codes {
    ($($code:ident = $word:expr,)*) => {
        /// The reason of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ProblemCode {
            $($code,)*
        }

        impl ProblemCode {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$code,)*];

            /// The word in answers.
            pub(super) fn word(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)*
                }
            }
        }
    };
}

problem_codes! {
    Blocked = BLOCKED,
    Digest = "digest",
    DropQuota = "drop-quota",
    Expiry = "expiry",
    Failed = "failed",
    Files = "files",
    Full = "full",
    Id = "id",
    IncomingQuota = Allotment::Incoming.label(),
    Incomplete = "incomplete",
    Infected = ScanFinding::Infected.label(),
    Json = "json",
    MediaType = "media-type",
    Method = "method",
    MissingFile = "missing-file",
    NoSuchPath = "no-such-path",
    Number = "number",
    Origin = "origin",
    Quota = "quota",
    Right = "right",
    Schema = "schema",
    SenderQuota = Allotment::Sender.label(),
    Stalled = "stalled",
    Suspended = SUSPENDED,
    Taken = "taken",
    Token = "token",
    TooLarge = "too-large",
    TooLargeToScan = ScanFinding::Oversize.label(),
    TooManyBytes = "too-many-bytes",
    TooManyDrafts = "too-many-drafts",
    TooManyRefused = "too-many-refused",
    TooOld = "too-old",
    Unauthorized = "unauthorized",
    UnknownPackage = "unknown-package",
    Unscanned = ScanFinding::Unscanned.label(),
}

impl From<Allotment> for ProblemCode {
    fn from(allotment: Allotment) -> Self {
        match allotment {
            Allotment::Incoming => Self::IncomingQuota,
            Allotment::Sender => Self::SenderQuota,
        }
    }
}

impl From<ScanFinding> for ProblemCode {
    fn from(finding: ScanFinding) -> Self {
        match finding {
            ScanFinding::Infected => Self::Infected,
            ScanFinding::Oversize => Self::TooLargeToScan,
            ScanFinding::Unscanned => Self::Unscanned,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::remote::server::OPENAPI;

    #[test]
    fn the_description_lists_the_codes_that_answers_have_and_no_others() {
        let schema = OPENAPI.split_once("\n    Problem:\n").unwrap().1;
        let list = schema.split_once("\n          enum:\n").unwrap().1;
        let lines = list
            .lines()
            .map_while(|line| line.strip_prefix("            - "));
        let described: Vec<&str> = lines.collect();
        let words: BTreeSet<&str> = ProblemCode::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(
            words.len(),
            ProblemCode::ALL.len(),
            "two codes are one word"
        );
        assert_eq!(described, Vec::from_iter(words));
    }
}

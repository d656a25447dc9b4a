//! The log as a chain: each entry has a digest of itself and of the digest of the entry before it.
//!
//! The digest of an entry is SHA-256 of: the line `depollueur audit 1`; the digest of the entry before (of
//! the first one: 32 zero bytes); its number and its time in seconds since 1970, eight bytes each, the
//! highest first; then action, package (16 bytes), queue id, sender, login, way, address and detail, each a
//! zero byte where there is none, else a one, its length in bytes (eight bytes) and its bytes in UTF-8.
//! Numbers have no gap.
//!
//! Whoever changes, adds or takes away an entry must make all digests after it anew, and the head. Who can
//! write the database can do that; a head that was noted elsewhere, or a copy of the lines, shows it.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use jiff::Timestamp;

/// First bytes of the digested data of an entry.
const FORMAT: &[u8] = b"depollueur audit 1\n";

/// Maximum number of defects that are listed one by one; more are only counted.
const DEFECTS_MAX: usize = 100;

/// An entry's place in the chain; its digest covers all entries before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Its number; that of the first entry is 1.
    pub number: i64,
    /// Its digest.
    pub digest: [u8; 32],
}

/// The error for a text that is no place in the chain.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be NUMBER:DIGEST, as depollueur drop audit --verify prints it")]
pub struct ChainHeadError;

/// An entry as it is digested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chained<'a> {
    pub(crate) number: i64,
    pub(crate) digest: Option<[u8; 32]>,
    /// In seconds since 1970.
    pub(crate) time: i64,
    /// Action, package, queue id, sender, login, way, address, detail.
    pub(crate) texts: [Option<&'a [u8]>; 8],
}

/// Something that is wrong with the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The entry of this number is not what its digest says: it was changed, or the one before it with its
    /// digest.
    Changed(i64),
    /// The entries from the first to the second number were cut out.
    Missing(i64, i64),
    /// The entries from the first to the second number were cut off the end.
    Truncated(i64, i64),
    /// The entry of this number is not the one that a head noted elsewhere tells of.
    Rewritten(i64),
}

/// The result of verifying the chain.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Number of entries in the chain.
    pub entries: u64,
    /// Number of entries from before there was a chain.
    pub before: u64,
    /// Number of entries behind the head, written by an earlier version beside this one: the next entry takes
    /// them in.
    pub waiting: u64,
    /// The number and the time of the first entry of the chain.
    pub first: Option<(i64, Timestamp)>,
    /// The last entry, as the database remembers it.
    pub head: ChainHead,
    /// The first hundred defects, in the order of the log.
    pub defects: Vec<Defect>,
    /// Number of further defects.
    pub more: u64,
    /// True if the head noted elsewhere is of an entry that is forgotten: nothing is known of it.
    pub known_is_forgotten: bool,
}

/// Verifies a chain, entry by entry.
#[derive(Debug)]
pub(crate) struct Verifier {
    anchor: ChainHead,
    known: Option<ChainHead>,
    last: i64,
    /// The digest of the last entry; `None` if it is not known.
    previous: Option<[u8; 32]>,
    found: Verification,
}

impl Chained<'_> {
    /// Returns the digest of an entry that follows the one with this digest.
    pub(crate) fn digest_behind(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(FORMAT);
        context.update(previous);
        context.update(&self.number.to_be_bytes());
        context.update(&self.time.to_be_bytes());
        for text in self.texts {
            context.update(&[u8::from(text.is_some())]);
            if let Some(text) = text {
                context.update(&(text.len() as u64).to_be_bytes());
                context.update(text);
            }
        }
        let digest = context.finish();
        let digest = digest.as_ref().try_into();
        digest.expect("SHA-256 has 32 bytes")
    }
}

impl Verifier {
    /// Begins at the anchor. `known` is a head that was noted elsewhere.
    pub(crate) fn new(anchor: ChainHead, head: ChainHead, known: Option<ChainHead>) -> Self {
        let mut verifier = Self {
            anchor,
            known,
            last: anchor.number,
            previous: Some(anchor.digest),
            found: Verification {
                entries: 0,
                before: 0,
                waiting: 0,
                first: None,
                head,
                defects: Vec::new(),
                more: 0,
                known_is_forgotten: known.is_some_and(|known| known.number < anchor.number),
            },
        };

        if known.is_some_and(|known| known.number == anchor.number && known != anchor) {
            verifier.tell(Defect::Rewritten(anchor.number));
        }
        verifier
    }

    /// Takes the next entry of the log.
    pub(crate) fn add(&mut self, entry: &Chained<'_>) {
        let number = entry.number;
        if number <= self.anchor.number {
            match entry.digest {
                None => self.found.before += 1,
                Some(_) => self.tell(Defect::Changed(number)),
            }
            return;
        }

        if number > self.last + 1 {
            self.tell(Defect::Missing(self.last + 1, number - 1));
            // Its predecessor is unknown: the digest of this one cannot be checked.
            self.previous = None;
        }

        self.last = number;
        if number > self.found.head.number {
            match entry.digest {
                None => self.found.waiting += 1,
                Some(_) => self.tell(Defect::Changed(number)),
            }
            return;
        }
        self.link(entry);
    }

    /// Checks an entry between anchor and head.
    fn link(&mut self, entry: &Chained<'_>) {
        let number = entry.number;
        self.found.entries += 1;
        if self.found.first.is_none() {
            let time = Timestamp::from_second(entry.time).unwrap_or(Timestamp::MIN);
            self.found.first = Some((number, time));
        }

        let expected = self.previous.map(|previous| entry.digest_behind(&previous));
        let is_head = number == self.found.head.number;
        let is_changed = entry.digest.is_none()
            || expected.is_some_and(|expected| Some(expected) != entry.digest)
            || (is_head && entry.digest != Some(self.found.head.digest));
        if is_changed {
            self.tell(Defect::Changed(number));
        }

        let place = ChainHead {
            number,
            digest: entry.digest.unwrap_or_default(),
        };
        if self
            .known
            .is_some_and(|known| known.number == number && known != place)
        {
            self.tell(Defect::Rewritten(number));
        }
        self.previous = entry.digest;
    }

    /// Ends the verification after the last entry.
    pub(crate) fn end(mut self) -> Verification {
        let known = self.known.map_or(0, |known| known.number);
        let last = known.max(self.found.head.number);
        if self.last < last {
            self.tell(Defect::Truncated(self.last + 1, last));
        }
        self.found
    }

    fn tell(&mut self, defect: Defect) {
        if self.found.defects.len() < DEFECTS_MAX {
            self.found.defects.push(defect);
        } else {
            self.found.more += 1;
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = |first: i64, last: i64| match first == last {
            true => format!("entry {first} is"),
            false => format!("entries {first} to {last} are"),
        };
        match *self {
            Self::Changed(number) => write!(
                f,
                "entry {number} is not what its digest says: it was changed, or the one before it with its digest"
            ),
            Self::Missing(first, last) => write!(f, "{} cut out", entries(first, last)),
            Self::Truncated(first, last) => write!(f, "{} cut off the end", entries(first, last)),
            Self::Rewritten(number) => write!(
                f,
                "entry {number} is not the one whose digest was noted: it, or something before it, was written anew"
            ),
        }
    }
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, HEXLOWER.encode(&self.digest))
    }
}

impl FromStr for ChainHead {
    type Err = ChainHeadError;

    fn from_str(text: &str) -> Result<Self, ChainHeadError> {
        let (number, digest) = text.trim().split_once(':').ok_or(ChainHeadError)?;
        let digest = HEXLOWER_PERMISSIVE.decode(digest.as_bytes());
        Ok(Self {
            number: number.parse().map_err(|_| ChainHeadError)?,
            digest: digest
                .ok()
                .and_then(|digest| digest.try_into().ok())
                .ok_or(ChainHeadError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ChainHead = ChainHead {
        number: 3,
        digest: [0; 32],
    };

    /// Entries 4, 5, … of a chain, with these details.
    fn chain<'a>(details: &[&'a str]) -> Vec<Chained<'a>> {
        let mut previous = START.digest;
        let entry = |(number, detail): (i64, &&'a str)| {
            let mut entry = Chained {
                number,
                digest: None,
                time: 1_800_000_000,
                texts: [None; 8],
            };
            entry.texts[7] = Some(detail.as_bytes());
            previous = entry.digest_behind(&previous);
            entry.digest = Some(previous);
            entry
        };
        (4..).zip(details).map(entry).collect()
    }

    fn head(chain: &[Chained<'_>]) -> ChainHead {
        let last = chain.last().unwrap();
        ChainHead {
            number: last.number,
            digest: last.digest.unwrap(),
        }
    }

    fn look(entries: &[Chained<'_>], head: ChainHead, known: Option<ChainHead>) -> Verification {
        let mut verifier = Verifier::new(START, head, known);
        entries.iter().for_each(|entry| verifier.add(entry));
        verifier.end()
    }

    #[test]
    fn what_was_cut_or_changed_is_told_with_its_number() {
        let sound = chain(&["a", "b", "c", "d"]);
        let end = head(&sound);
        let found = look(&sound, end, Some(end));
        assert!(found.defects.is_empty());
        assert_eq!((found.entries, found.first.unwrap().0), (4, 4));

        let mut changed = sound.clone();
        changed[1].texts[7] = Some(b"x");
        assert_eq!(look(&changed, end, None).defects, [Defect::Changed(5)]);
        // With its digest, the next one does not follow.
        changed[1].digest = Some(changed[1].digest_behind(&sound[0].digest.unwrap()));
        assert_eq!(look(&changed, end, None).defects, [Defect::Changed(6)]);
        changed[1].digest = None;
        assert_eq!(look(&changed, end, None).defects, [Defect::Changed(5)]);

        let cut = [sound[0], sound[3]];
        assert_eq!(look(&cut, end, None).defects, [Defect::Missing(5, 6)]);
        assert_eq!(
            look(&sound[1..], end, None).defects,
            [Defect::Missing(4, 4)]
        );
        assert_eq!(
            look(&sound[..2], end, None).defects,
            [Defect::Truncated(6, 7)]
        );
        assert_eq!(look(&[], end, None).defects, [Defect::Truncated(4, 7)]);
        let added = chain(&["a", "b", "c", "d", "e"]);
        assert_eq!(look(&added, end, None).defects, [Defect::Changed(8)]);
    }

    #[test]
    fn a_log_that_was_written_anew_with_its_head_is_told_by_a_head_noted_elsewhere() {
        let noted = head(&chain(&["a", "b", "c"]));
        let other = chain(&["a", "x", "c", "d"]);
        assert!(look(&other, head(&other), None).defects.is_empty());
        let found = look(&other, head(&other), Some(noted)).defects;
        assert_eq!(found, [Defect::Rewritten(6)]);
        let short = chain(&["a", "b"]);
        let found = look(&short, head(&short), Some(noted)).defects;
        assert_eq!(found, [Defect::Truncated(6, 6)]);
        let old = ChainHead { number: 2, ..noted };
        assert!(look(&short, head(&short), Some(old)).known_is_forgotten);
    }

    #[test]
    fn entries_of_before_the_chain_and_of_an_earlier_version_beside_it_are_no_defects() {
        let sound = chain(&["a", "b"]);
        let plain = |number| Chained {
            number,
            digest: None,
            ..sound[0]
        };
        let all = [plain(1), plain(3), sound[0], sound[1], plain(6)];
        let found = look(&all, head(&sound), None);
        assert_eq!((found.before, found.entries, found.waiting), (2, 2, 1));
        assert!(found.defects.is_empty());
    }

    #[test]
    fn the_bytes_that_are_digested_are_those_of_the_description() {
        let mut entry = Chained {
            number: 1,
            digest: None,
            time: 1,
            texts: [None; 8],
        };
        entry.texts[0] = Some(b"hold");
        let mut bytes = b"depollueur audit 1\n".to_vec();
        bytes.extend([0; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        bytes.extend(b"\x01\0\0\0\0\0\0\0\x04hold\0\0\0\0\0\0\0");
        let digest = aws_lc_rs::digest::digest(&SHA256, &bytes);
        assert_eq!(entry.digest_behind(&[0; 32]), digest.as_ref());
    }

    #[test]
    fn more_defects_than_are_told_are_counted() {
        let sound = chain(&["x"; 300]);
        let odd: Vec<_> = sound.iter().copied().step_by(2).collect();
        let found = look(&odd, head(&sound), None);
        assert_eq!((found.defects.len(), found.more), (DEFECTS_MAX, 50));
    }

    #[test]
    fn a_head_is_read_as_it_is_printed() {
        let head = head(&chain(&["a"]));
        assert_eq!(head.to_string().parse::<ChainHead>().unwrap(), head);
        for text in ["", "4", "4:", "x:00", "4:00", "-1:00"] {
            assert!(text.parse::<ChainHead>().is_err(), "{text}");
        }
    }
}

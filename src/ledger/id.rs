//! The ids of packages.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;

/// The id of a package on disk and in the database. Tells nothing of its token. Shown as 32 hexadecimal
/// digits; `{:.12}` is enough for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub(crate) [u8; 16]);

/// The error for a text that is not the id of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 32 hexadecimal digits")]
pub struct RecordIdError;

impl RecordId {
    /// Makes an id of its bytes.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns its bytes.
    pub(crate) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for RecordId {
    type Err = RecordIdError;

    /// Reads the id as `Display` writes it: 32 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, RecordIdError> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| RecordIdError)?;
        Ok(Self(bytes.try_into().map_err(|_| RecordIdError)?))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

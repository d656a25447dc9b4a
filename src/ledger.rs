//! The ledger: who deposited what, what became of it, and until when it stays.

pub(crate) mod audit;
mod choices;
mod clock;
pub(crate) mod custody;
pub(crate) mod quota;
pub(crate) mod records;
pub mod statistics;
pub(crate) mod sweep;
pub(crate) mod uploaders;

use crate::drop::{
    Door, Drop, DropError, FileEntry, Level, PackageDraft, RecordId, Store, Swept, Token, Unlock,
    blocking, manifest, vault, whole_second,
};

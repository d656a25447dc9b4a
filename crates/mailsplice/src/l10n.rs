//! The languages of notices and pages.
//!
//! * [`units`] – sizes, dates and zones as people say them
//! * `sentences` – what the notice says
//! * `detection` – the language of a message

mod detection;
pub(crate) mod sentences;
pub mod units;

pub use self::detection::{Declared, declared, detect};

/// A language of notices and pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// French.
    Fr,
}

//! A decoded text as its readers see it, and the place of the notice in it.
//!
//! * `plain`, `html` – the place of the notice
//! * `bidi` – text from right to left
//! * `charset` – the characters that a part may be given

pub(crate) mod bidi;
pub(crate) mod charset;
pub(crate) mod html;
pub(crate) mod plain;

/// The place of the notice in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before the signature or the quoted mail, else at the end.
    BeforeQuote,
    /// Above the text.
    Start,
    /// Below the text.
    End,
}

/// A text part that cannot take the notice; the reason is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotTake(pub &'static str);

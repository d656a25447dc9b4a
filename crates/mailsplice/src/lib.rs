//! A streaming MIME scanner and rewriter that splices raw bytes: whatever it does not change stays the
//! sender's, byte for byte.
//!
//! # The way of a message
//!
//! ```text
//! bytes ─► mime::Scanner ─► events ─► the caller decides ─► rewrite::insert ─► splices ─► bytes
//! ```
//!
//! The caller reads, writes and decides; here nothing opens a file, waits, or asks for the time. The
//! modules, in the order in which a message meets them:
//!
//! * [`mime`] – header fields, the structure of a message as events, transfer decoding, `winmail.dat`
//! * [`names`] – hostile file names made safe
//! * [`l10n`] – languages: their sizes and dates, and the one in which a message is written
//! * [`notice`] – the text that tells a reader what was taken out, as text and as HTML, and the
//!   templates that replace it
//! * `text` – the place of the notice in a decoded text
//! * [`rewrite`] – a text part in, splices out
//!
//! # Invariants
//!
//! 1. The bytes in a scanner's events are those that came in: none is lost, added or moved.
//! 2. What readers of mail are known to see differently is a [`mime::Ambiguity`], never a guess.
//! 3. Splices change nothing but what they name.
//! 4. Memory is bounded by [`Limits`] and by the parts that the caller hands over, never by the message.
//! 5. Nothing in a message can make it panic, loop, or allocate without bound.

pub mod l10n;
mod limits;
pub mod mime;
pub mod names;
pub mod notice;
pub mod rewrite;
mod text;

pub use self::limits::Limits;

//! A streaming MIME scanner and rewriter that splices raw bytes.

pub mod l10n;
mod limits;
pub mod mime;
pub mod names;
pub mod notice;
pub mod rewrite;
mod text;

pub use self::limits::Limits;

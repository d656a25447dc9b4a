//! Transfer decoding in chunks.

/// A body that is not what its transfer encoding says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("body is not valid in its transfer encoding")]
pub struct DecodeError;

/// Decodes one body, chunk by chunk.
#[derive(Debug)]
pub struct Decoder {}

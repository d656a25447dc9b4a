//! MIME in a stream: header fields, part headers, the scanner, transfer decoding.
//!
//! Pure: no I/O, no clock. Bytes are pushed in, events come out; every byte that comes in leaves
//! exactly once and in order.

pub mod decode;
pub mod head;
pub mod scanner;

pub use decode::{DecodeError, Decoder};
pub use head::{Disposition, Field, Head, MediaType, TransferEncoding};

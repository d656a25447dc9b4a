//! Limits on the structure of a message.

/// The limits on the structure of a message; past any of them it is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of multiparts.
    pub depth_max: usize,
    /// Parts of a message.
    pub parts_max: usize,
    /// Bytes of one part's header block.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    /// Returns limits that hardly any honest message meets.
    fn default() -> Self {
        Self {
            depth_max: 64,
            parts_max: 10_000,
            header_bytes_max: 64 << 10,
        }
    }
}

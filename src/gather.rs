//! Small writes are gathered into one block and large ones cut into several, for a writer on another thread or
//! host: a hand-over costs more than copying a few bytes.

use bytes::{Bytes, BytesMut};

/// Maximum size of a block, in bytes.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
/// Maximum total of small writes that are gathered, in bytes.
const SMALL_BYTES: usize = 16 * 1024;

/// Small writes that wait until there are enough of them.
#[derive(Debug, Default)]
pub(crate) struct Gather(BytesMut);

impl Gather {
    /// Takes the next bytes, and returns the blocks that are due: none as long as writes are small and few.
    pub(crate) fn take(&mut self, mut bytes: Bytes) -> impl Iterator<Item = Bytes> + use<> {
        if self.0.len() + bytes.len() <= SMALL_BYTES {
            self.0.extend_from_slice(&bytes);
            bytes.clear();
        }

        let gathered = if bytes.is_empty() { None } else { self.rest() };
        let blocks = std::iter::from_fn(move || {
            let block = bytes.split_to(bytes.len().min(BLOCK_BYTES));
            (!block.is_empty()).then_some(block)
        });
        gathered.into_iter().chain(blocks)
    }

    /// Returns what was gathered and is not due yet.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        let rest = self.0.split().freeze();
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_writes_go_together_and_large_ones_in_blocks() {
        let mut gather = Gather::default();
        let mut sizes = |bytes: usize| -> Vec<usize> {
            let bytes = Bytes::from(vec![0; bytes]);
            gather.take(bytes).map(|block| block.len()).collect()
        };
        let none = Vec::<usize>::new();
        assert_eq!(sizes(10_000), none);
        assert_eq!(sizes(SMALL_BYTES - 10_000), none, "up to the limit");
        assert_eq!(sizes(1), [SMALL_BYTES, 1], "and one past it");
        assert_eq!(sizes(0), none);
        assert_eq!(sizes(BLOCK_BYTES + 1), [BLOCK_BYTES, 1]);
        assert_eq!(sizes(7), none);
        assert_eq!(gather.rest().unwrap().len(), 7);
        assert!(gather.rest().is_none());
    }
}

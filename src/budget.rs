//! Memory that many holders share, bounded as a whole whatever each of them is given to hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// The unclaimed rest of a fixed number of bytes. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// One holder's part of a [`Budget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    bytes: usize,
}

/// The error when others hold everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory is left for it")]
pub(crate) struct Spent;

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Returns an empty share.
    pub(crate) fn share(&self) -> Share {
        Share {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// The number of bytes that nobody holds.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn left(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Share {
    /// Resizes the share to `bytes`, taking more or giving some back.
    ///
    /// # Errors
    /// Fewer bytes are left than it would need; the share stays as it was.
    pub(crate) fn set(&mut self, bytes: usize) -> Result<(), Spent> {
        let left = &self.budget.0;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => {
                left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(more))
                    .map_err(|_| Spent)?;
            }
            None => {
                left.fetch_add(self.bytes - bytes, Relaxed);
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.budget.0.fetch_add(self.bytes, Relaxed);
        self.bytes = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_to_no_more_than_the_budget_and_come_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.set(7), Ok(()));
        assert_eq!(other.set(4), Err(Spent));
        assert_eq!(other.set(3), Ok(()));
        assert_eq!(one.set(8), Err(Spent));
        assert_eq!(one.set(5), Ok(()));
        assert_eq!(budget.left(), 2);
        drop(other);
        assert_eq!(budget.left(), 5);
        one.clear();
        assert_eq!(budget.left(), 10);
    }
}

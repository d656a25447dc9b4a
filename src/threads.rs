//! The names of threads. They show an admin which threads are busy (`top -H`), and let the tests see
//! that no worker waits for a file.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Names the threads of a runtime with `count` workers. They come first; the threads that may wait
/// for the disk come when they are needed, and are called `<workers>-disk`.
pub(crate) fn names(workers: &'static str, count: usize) -> impl Fn() -> String {
    let named = AtomicUsize::new(0);
    move || match named.fetch_add(1, Relaxed) {
        before if before < count => workers.to_owned(),
        _ => format!("{workers}-disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threads_after_the_workers_are_called_for_the_disk() {
        let name = names("web", 2);
        assert_eq!(
            [name(), name(), name(), name()],
            ["web", "web", "web-disk", "web-disk"]
        );
    }
}

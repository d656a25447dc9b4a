//! The threads of a runtime: their names, and that all of them run. The names show an admin which threads are
//! busy (`top -H`), and let the tests see that no worker waits for a file.

use std::{
    io,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
};

use tokio::runtime::{self, Runtime};

/// Builds a runtime with `count` workers, all of which run when this returns: a thread that the system
/// has created can still fail to begin, for want of memory.
///
/// # Errors
/// The system cannot create the threads.
pub(crate) fn start(
    builder: &mut runtime::Builder,
    workers: &'static str,
    count: usize,
) -> io::Result<Runtime> {
    let (begun, begins) = mpsc::channel();
    let runtime = builder
        .thread_name_fn(names(workers, count))
        .on_thread_start(move || {
            // The threads that come later are waited for by nobody.
            let _ = begun.send(());
        })
        .build()?;

    for _ in 0..count {
        begins.recv().map_err(io::Error::other)?;
    }
    Ok(runtime)
}

/// Names the threads of a runtime with `count` workers. They come first; the threads that may wait
/// for the disk come when they are needed, and are called `<workers>-disk`.
fn names(workers: &'static str, count: usize) -> impl Fn() -> String {
    let named = AtomicUsize::new(0);
    move || match named.fetch_add(1, Relaxed) {
        before if before < count => workers.to_owned(),
        _ => format!("{workers}-disk"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, DirEntry};

    use super::*;

    #[test]
    fn all_workers_of_a_runtime_run_when_it_is_there() {
        const COUNT: usize = 4;
        let begun = || fs::read_dir("/proc/self/task").unwrap().flatten();
        let is_named = |task: &DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "begun\n")
        };

        let mut builder = runtime::Builder::new_multi_thread();
        let runtime = start(builder.worker_threads(COUNT), "begun", COUNT).unwrap();

        // A thread takes its name after it can no longer fail.
        assert_eq!(begun().filter(is_named).count(), COUNT);
        drop(runtime);
    }

    #[test]
    fn the_threads_after_the_workers_are_called_for_the_disk() {
        let name = names("web", 2);
        assert_eq!(
            [name(), name(), name(), name()],
            ["web", "web", "web-disk", "web-disk"]
        );
    }
}

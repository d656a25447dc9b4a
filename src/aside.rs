//! Values that must not be dropped where mail is worked on, since their drop waits for the disk.
//!
//! An async task that is given up is dropped on the thread that worked on it, and with it all that it
//! held. Were that a thousand files in the drop, every other message would stand still while they are
//! removed. A value that is held [`Aside`] is dropped on a thread of its own instead, in the order in
//! which such values are given up.
//!
//! Code that makes such values waits with [`make_room`] while too many wait to be dropped: values
//! that are given up faster than they can be removed are made more slowly. Before a process ends, it
//! waits for them with [`settle`].

use std::{
    any::Any,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use crate::lock::lock;

/// The most values that may wait to be dropped before no more are made: the files of ten messages.
const WAITING_MAX: usize = 10_000;

/// The thread that drops.
static THREAD: OnceLock<Dropper> = OnceLock::new();

/// A value that is dropped on a thread which may wait for the disk, wherever it is given up.
#[derive(Debug)]
pub(crate) struct Aside<T: Send + 'static>(Option<T>);

struct Dropper {
    /// `None` where there was no memory for a thread.
    queue: Option<Mutex<Sender<Box<dyn Any + Send>>>>,
    waiting: Arc<Waiting>,
}

/// The number of values that wait to be dropped.
#[derive(Default)]
struct Waiting {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl<T: Send + 'static> Aside<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Returns the value itself, which is then dropped like any other.
    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("only a drop takes it")
    }
}

impl<T: Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("only a drop takes it")
    }
}

impl<T: Send + 'static> DerefMut for Aside<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("only a drop takes it")
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            thread().give(Box::new(value));
        }
    }
}

fn thread() -> &'static Dropper {
    THREAD.get_or_init(Dropper::start)
}

/// Waits while too many values wait to be dropped. Blocks: to be called where files are made.
pub(crate) fn make_room() {
    thread().waiting.make_room();
}

/// Waits until everything given up so far is dropped; false if that takes longer than `limit`. Blocks.
pub(crate) fn settle(limit: Duration) -> bool {
    let Some(thread) = THREAD.get() else {
        return true;
    };
    let (through, all) = mpsc::channel::<()>();
    thread.give(Box::new(through));
    all.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected)
}

impl Dropper {
    fn start() -> Self {
        let (queue, given_up) = mpsc::channel::<Box<dyn Any + Send>>();
        let waiting = Arc::<Waiting>::default();
        let theirs = Arc::clone(&waiting);
        let work = move || {
            for value in given_up {
                // A value whose drop panics is gone like the others, and those after it still come.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
                theirs.one_less();
            }
        };
        let begun = thread::Builder::new().name("aside".into()).spawn(work);
        Self {
            queue: begun.is_ok().then(|| Mutex::new(queue)),
            waiting,
        }
    }

    fn give(&self, value: Box<dyn Any + Send>) {
        let Some(queue) = &self.queue else {
            // Without a thread it is dropped here: late is better than never.
            return;
        };
        *self.waiting.lock() += 1;
        let queue = lock(queue);
        if queue.send(value).is_err() {
            self.waiting.one_less();
        }
    }
}

impl Waiting {
    fn make_room(&self) {
        let is_full = |count: &mut usize| *count >= WAITING_MAX;
        let waited = self.fewer.wait_while(self.lock(), is_full);
        drop(waited);
    }

    fn one_less(&self) {
        *self.lock() -= 1;
        self.fewer.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        lock(&self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    /// Says which thread drops it.
    struct Told(Sender<ThreadId>);

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn it_is_dropped_elsewhere_unless_it_is_taken_out() {
        let here = thread::current().id();
        let (told, by) = mpsc::channel();
        drop(Aside::new(Told(told.clone())));
        assert_ne!(by.recv().unwrap(), here);
        drop(Aside::new(Told(told)).into_inner());
        assert_eq!(by.recv().unwrap(), here);
    }

    #[test]
    fn all_that_was_given_up_is_gone_when_it_settled() {
        let (told, by) = mpsc::channel();
        for _ in 0..100 {
            drop(Aside::new(Told(told.clone())));
        }
        assert!(settle(Duration::MAX));
        assert_eq!(by.try_iter().count(), 100);
    }

    #[test]
    fn a_value_whose_drop_panics_does_not_end_the_thread() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        drop(Aside::new(Bad));
        assert!(settle(Duration::MAX));
    }

    /// A thing that is dropped once the sender goes.
    struct Held(mpsc::Receiver<()>);

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn no_more_is_made_while_too_much_waits() {
        let dropper = Dropper::start();
        let (hold, held) = mpsc::channel();
        dropper.give(Box::new(Held(held)));
        for _ in 1..WAITING_MAX - 1 {
            dropper.give(Box::new(()));
        }
        // One below the bound: whoever makes something goes on.
        dropper.waiting.make_room();
        dropper.give(Box::new(()));
        let waiting = Arc::clone(&dropper.waiting);
        let maker = thread::spawn(move || {
            waiting.make_room();
            *waiting.lock()
        });
        drop(hold);
        assert!(maker.join().unwrap() < WAITING_MAX);
    }
}

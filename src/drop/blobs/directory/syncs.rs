//! One sync of the file system for all deposits that wait at the same time.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use nix::unistd::syncfs;
use rustix::{fs::fstatfs, system::uname};

use crate::lock::lock;

/// The file systems, as `statfs` numbers them, of which `syncfs` does all that `fsync` does: ext2 to ext4, XFS, Btrfs,
/// F2FS and tmpfs. In user space (FUSE) nobody hears of it, and what lies below an overlay does not tell its errors.
const WHOLE: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
/// The first Linux whose `syncfs` tells that something could not be written.
const TELLING: (u32, u32) = (5, 8);
/// Duration from which a sync is slow: more than one of a file on a usual disk. It wrote much that is not ours.
const SLOW: Duration = Duration::from_millis(50);
/// Number of times the duration of a slow sync for which nothing is synced as a whole after it.
const PAUSE: u32 = 20;

/// The syncs of the file system that a directory lies on. What was written before one begins is durable when it
/// ends.
#[derive(Debug)]
pub(super) struct Syncs {
    /// `None` if each file is always synced by itself. It stays open: whatever fails to be written meanwhile is told
    /// to it.
    directory: Option<File>,
    rounds: Mutex<Rounds>,
    ended: Condvar,
    /// True if this process has made the names of all shards durable.
    named: AtomicBool,
}

/// The syncs so far, each a round for those who waited for it to begin.
#[derive(Debug, Default)]
struct Rounds {
    begun: u64,
    ended: u64,
    is_running: bool,
    /// The last round that failed, and the system's error.
    failed: Option<(u64, i32)>,
    /// The end of the pause after a slow round.
    paused_until: Option<Instant>,
}

impl Syncs {
    /// Prepares to sync the file system of a directory.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let directory = File::open(directory)?;
        let tells = version(&uname().release().to_string_lossy()) >= Some(TELLING);
        let kind = fstatfs(&directory)?.f_type;
        Ok(Self {
            directory: (tells && WHOLE.contains(&kind)).then_some(directory),
            rounds: Mutex::default(),
            ended: Condvar::new(),
            named: AtomicBool::new(false),
        })
    }

    /// Returns false if each file should be synced by itself: others' data made a sync slow just now.
    pub(super) fn is_possible(&self) -> bool {
        self.directory.is_some() && !lock(&self.rounds).is_paused()
    }

    /// Returns true if the names of all shards are durable.
    pub(super) fn are_named(&self) -> bool {
        self.named.load(Relaxed)
    }

    pub(super) fn set_named(&self, are_named: bool) {
        self.named.store(are_named, Relaxed);
    }

    /// Makes durable what was written before the call, with others who wait for the same. Returns false, and has
    /// done nothing, if each file should be synced by itself.
    ///
    /// # Errors
    /// Something could not be written, perhaps not the caller's.
    pub(super) fn sync(&self) -> io::Result<bool> {
        let Some(directory) = &self.directory else {
            return Ok(false);
        };
        self.take_part(|| syncfs(directory).map_err(io::Error::from))
    }

    /// Waits for the next round, and is the one who makes it if nobody else does.
    fn take_part(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        let mut rounds = lock(&self.rounds);
        if rounds.is_paused() {
            return Ok(false);
        }

        let mine = rounds.begun + 1;
        while rounds.is_running && rounds.ended < mine {
            let waited = self.ended.wait(rounds);
            rounds = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if rounds.ended < mine {
            rounds.begun += 1;
            rounds.is_running = true;
            drop(rounds);

            let begun = Instant::now();
            let synced = sync();
            rounds = lock(&self.rounds);
            rounds.end(&synced, begun.elapsed());
            self.ended.notify_all();
        }
        match rounds.failed {
            Some((failed, error)) if failed >= mine => Err(io::Error::from_raw_os_error(error)),
            _ => Ok(true),
        }
    }
}

impl Rounds {
    fn is_paused(&self) -> bool {
        self.paused_until
            .is_some_and(|until| Instant::now() < until)
    }

    fn end(&mut self, synced: &io::Result<()>, took: Duration) {
        self.is_running = false;
        self.ended = self.begun;
        if let Err(error) = synced {
            self.failed = Some((self.ended, error.raw_os_error().unwrap_or_default()));
        }
        if took >= SLOW {
            self.paused_until = Instant::now().checked_add(took.saturating_mul(PAUSE));
        }
    }
}

/// Returns the first two numbers of a version of Linux, such as "6.1.0-28-amd64".
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering::SeqCst},
            mpsc,
        },
        thread,
    };

    use super::{
        super::{Blobs as _, Directory, RecordId},
        *,
    };

    fn syncs() -> Syncs {
        let home = tempfile::tempdir().unwrap();
        Syncs::of(home.path()).unwrap()
    }

    #[test]
    fn those_who_wait_at_the_same_time_share_the_next_round() {
        let (syncs, rounds, here) = (syncs(), AtomicUsize::new(0), Barrier::new(9));
        let (running, begun) = mpsc::channel();
        let (go_on, held) = mpsc::channel();
        thread::scope(|scope| {
            let (syncs, rounds, here) = (&syncs, &rounds, &here);
            scope.spawn(move || {
                syncs.take_part(|| {
                    running.send(()).unwrap();
                    held.recv().unwrap();
                    Ok(())
                })
            });
            begun.recv().unwrap();

            // What they wrote came after the first round began: none of them may go with it.
            for _ in 0..8 {
                scope.spawn(move || {
                    here.wait();
                    let synced = syncs.take_part(|| {
                        rounds.fetch_add(1, SeqCst);
                        Ok(())
                    });
                    assert!(synced.unwrap());
                });
            }
            here.wait();
            thread::sleep(Duration::from_millis(50));
            assert_eq!(rounds.load(SeqCst), 0);
            go_on.send(()).unwrap();
        });
        assert!((1..8).contains(&rounds.load(SeqCst)));
    }

    #[test]
    fn a_round_that_fails_fails_for_those_in_it_alone() {
        let syncs = syncs();
        let failed = syncs.take_part(|| Err(io::Error::from_raw_os_error(5)));
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(5));
        assert!(syncs.take_part(|| Ok(())).unwrap());
    }

    #[test]
    fn after_a_slow_round_each_file_is_synced_by_itself_for_a_time() {
        let syncs = syncs();
        lock(&syncs.rounds).end(&Ok(()), SLOW);
        let synced = syncs.take_part(|| panic!("it is paused"));
        assert!(!synced.unwrap() && !syncs.is_possible());
        lock(&syncs.rounds).paused_until = Some(Instant::now());
        assert!(syncs.take_part(|| Ok(())).unwrap());
    }

    #[test]
    fn what_cannot_be_synced_by_itself_is_told() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(&home.path().join("drop")).unwrap();
        let id = RecordId([7; 16]);
        let finished = |number| directory.draft(id, number).unwrap().finish().unwrap();
        let loose = finished(0);
        assert!(!loose.is_durable());
        loose.place().unwrap();

        lock(&directory.syncs.rounds).end(&Ok(()), SLOW);
        assert!(finished(1).is_durable());
        directory.sync(id, &[0]).unwrap();
        let error = directory.sync(id, &[0, 1]).unwrap_err().to_string();
        assert!(error.starts_with("could not sync"), "{error}");
    }

    #[test]
    fn a_linux_that_tells_nothing_is_not_trusted() {
        assert!(version("5.8.0") >= Some(TELLING));
        assert!(version("6.1.0-28-amd64") >= Some(TELLING));
        assert!(version("5.7.19") < Some(TELLING));
        assert!(version("4.18.0-553.el8.x86_64") < Some(TELLING));
        assert!(version("unknown") < Some(TELLING));
    }
}

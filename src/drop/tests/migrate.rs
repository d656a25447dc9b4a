//! The move of blobs from one store to another, beside everything else.

use super::{
    super::blobs::{Draft, Memory},
    *,
};

/// A drop whose blobs are moved out of memory into its directory, or the other way.
struct MovingDrop {
    fixture: Fixture,
    from: Arc<dyn Blobs>,
    to: Arc<dyn Blobs>,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    IntoDirectory,
    OutOfDirectory,
}

const WAYS: [Way; 2] = [Way::IntoDirectory, Way::OutOfDirectory];

fn open(home: TempDir, memory: &Memory, (way, is_moving): (Way, bool)) -> MovingDrop {
    let config = config(home.path().join("drop"));
    let rules = (
        &QuotaConfig::unlimited(),
        &AuditConfig::default(),
        &ScanConfig::default(),
    );
    let directory: Arc<dyn Blobs> = Arc::new(Directory::open(&config.directory).unwrap());
    let memory: Arc<dyn Blobs> = Arc::new(memory.clone());
    let (from, to) = match way {
        Way::IntoDirectory => (memory, directory),
        Way::OutOfDirectory => (directory, memory),
    };
    let moving = Moving::new(from.clone(), to.clone(), matches!(way, Way::OutOfDirectory));
    let open = FileDrop::open_over(&config, rules, None, |_, _| match is_moving {
        true => Ok((Arc::new(moving.clone()), Some(moving))),
        false => Ok((from.clone(), None)),
    });
    let fixture = Fixture {
        home,
        drop: open.unwrap(),
    };
    MovingDrop { fixture, from, to }
}

/// A drop with files in the store from which they are moved, opened anew with both.
async fn with_files(way: Way, contents: &[Bytes]) -> (MovingDrop, Token) {
    let memory = Memory::default();
    let before = open(TempDir::new().unwrap(), &memory, (way, false));
    let token = before.fixture.deposit(contents, Timestamp::now()).await;
    let home = before.fixture.home;
    std::mem::drop(before.fixture.drop);
    (open(home, &memory, (way, true)), token)
}

fn all(blobs: &Arc<dyn Blobs>) -> usize {
    let slices = 0..=u8::MAX;
    let count = |slice| {
        let found = blobs.blobs_before(slice, Timestamp::MAX, &Default::default());
        found.unwrap().len()
    };
    slices.map(count).sum()
}

impl MovingDrop {
    fn migrate(&self) -> (Moved, Result<(), DropError>) {
        self.fixture.drop.migrate(|| ()).unwrap()
    }

    async fn holds(&self, token: &Token, contents: &[Bytes]) {
        let now = Timestamp::now();
        for (index, bytes) in contents.iter().enumerate() {
            let read = self.fixture.read(token, now, index).await.unwrap();
            assert!(read == *bytes, "file {index}");
        }
    }
}

#[tokio::test]
async fn every_link_works_before_the_move_and_after_it() {
    let contents = [noise(0, 1), noise(10, 2), noise(3 << 20, 3)];
    for way in WAYS {
        let (drop, token) = with_files(way, &contents).await;
        drop.holds(&token, &contents).await;
        let new = drop.fixture.deposit(&contents, Timestamp::now()).await;
        assert_eq!((all(&drop.from), all(&drop.to)), (3, 3), "{way:?}");

        let (moved, result) = drop.migrate();
        result.unwrap();
        assert_eq!((moved.files, moved.failed, moved.unneeded), (3, 0, 0));
        assert_eq!((all(&drop.from), all(&drop.to)), (0, 6), "{way:?}");
        drop.holds(&token, &contents).await;
        drop.holds(&new, &contents).await;
        assert_eq!(drop.migrate().0, Moved::default());
    }
}

#[tokio::test]
async fn a_download_goes_on_though_its_file_is_moved() {
    let contents = [noise(3 << 20, 3)];
    for way in WAYS {
        let (drop, token) = with_files(way, &contents).await;
        let package = drop.fixture.live(&token, Timestamp::now()).await;
        let reader = drop.fixture.drop.read(&token, &package, 0, 0..3 << 20);
        let mut reader = reader.await.unwrap();
        let first = reader.next().await.unwrap().unwrap();
        drop.migrate().1.unwrap();
        assert_eq!(all(&drop.from), 0);
        let rest = read_all(reader).await.unwrap();
        assert!([&first[..], &rest].concat() == contents[0], "{way:?}");
    }
}

#[tokio::test]
async fn a_download_of_what_is_destroyed_ends_beside_a_move() {
    let contents = [noise(3 << 20, 3)];
    for way in WAYS {
        let (drop, token) = with_files(way, &contents).await;
        let package = drop.fixture.live(&token, Timestamp::now()).await;
        let reader = drop.fixture.drop.read(&token, &package, 0, 0..3 << 20);
        let mut reader = reader.await.unwrap();
        reader.next().await.unwrap().unwrap();
        let id = RecordId::from(&token);
        let drop = drop.fixture.drop;
        drop.store.blobs.destroy(id, 0).unwrap();
        assert!(read_all(reader).await.is_err(), "{way:?}");
    }
}

#[tokio::test]
async fn a_move_that_was_stopped_is_finished() {
    let contents = [noise(100_000, 1), noise(200_000, 2)];
    for way in WAYS {
        let (drop, token) = with_files(way, &contents).await;
        let id = RecordId::from(&token);
        // The first was copied whole, of the second another length.
        let whole = drop.from.length(id, 0).unwrap();
        let original = drop.from.open(id, 0, whole, 0..whole).unwrap();
        let mut bytes = vec![0; whole as usize];
        original.read_exact_at(&mut bytes, 0).unwrap();
        put(&*drop.to, (id, 0), &bytes);
        put(&*drop.to, (id, 1), b"cut");

        let (moved, result) = drop.migrate();
        result.unwrap();
        assert_eq!((moved.files, all(&drop.from)), (2, 0), "{way:?}");
        drop.holds(&token, &contents).await;
    }
}

#[tokio::test]
async fn what_was_copied_wrongly_stays_where_it_was() {
    let contents = [noise(100_000, 1)];
    let (drop, token) = with_files(Way::IntoDirectory, &contents).await;
    let id = RecordId::from(&token);
    let length = drop.from.length(id, 0).unwrap();
    put(&*drop.to, (id, 0), &vec![0; length as usize]);

    let (moved, result) = drop.migrate();
    assert!(result.unwrap_err().to_string().contains("read back"));
    assert_eq!((moved.files, moved.failed), (0, 1));
    assert_eq!((all(&drop.from), all(&drop.to)), (1, 0));
    drop.migrate().1.unwrap();
    drop.holds(&token, &contents).await;
}

#[tokio::test]
async fn what_no_package_needs_stays_for_the_sweep() {
    let contents = [noise(10, 1)];
    for way in WAYS {
        let (drop, token) = with_files(way, &contents).await;
        put(&*drop.from, (RecordId([7; 16]), 0), b"left over");
        let (moved, result) = drop.migrate();
        result.unwrap();
        assert_eq!((moved.files, moved.unneeded), (1, 1), "{way:?}");
        assert_eq!(all(&drop.from), 1);

        // What ends afterwards is removed from both.
        let end = Timestamp::now() + SignedDuration::from_hours(24 * 400);
        drop.fixture.drop.trust_clock(end).await.unwrap();
        for _ in 0..300 {
            drop.fixture.swept(end, 10).await;
        }
        assert_eq!((all(&drop.from), all(&drop.to)), (0, 0), "{way:?}");
        std::mem::drop(token);
    }
}

#[tokio::test]
async fn a_drop_that_moves_nothing_says_so() {
    assert!(fixture().drop.migrate(|| ()).is_none());
}

fn put(blobs: &dyn Blobs, (id, number): (RecordId, u32), bytes: &[u8]) {
    let mut draft: Box<dyn Draft> = blobs.draft(id, number).unwrap();
    draft.write(bytes).unwrap();
    draft.finish().unwrap().place().unwrap();
    blobs.sync(id, &[number]).unwrap();
}

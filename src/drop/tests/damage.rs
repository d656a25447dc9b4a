//! Damage: data that was changed on disk is refused.

use super::*;

#[tokio::test]
async fn damaged_blobs_are_refused() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(200_000, 9);
    let token = drop.deposit(&[bytes], now).await;
    let path = drop.blobs().remove(0);
    let sound = fs::read(&path).unwrap();
    let refused = async |stored: &[u8]| {
        fs::write(&path, stored).unwrap();
        matches!(
            drop.read(&token, now, 0).await,
            Err(DropError::Damaged { .. })
        )
    };
    for place in [0, 1, 33, 40, 65_536, 70_000, sound.len() - 1] {
        let mut flipped = sound.clone();
        flipped[place] ^= 1;
        assert!(refused(&flipped).await, "{place}");
    }
    assert!(refused(&sound[..sound.len() - 1]).await);
    assert!(refused(&sound[..131_072]).await);
    assert!(refused(&[]).await);
    assert!(!refused(&sound).await);
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        drop.read(&token, now, 0).await,
        Err(DropError::Missing { .. })
    ));
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(drop.read(&token, now, 0).await.is_err());
}

#[tokio::test]
async fn a_cut_file_is_refused_before_its_first_byte() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(200_000, 9)], now).await;
    let path = drop.blobs().remove(0);
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(131_072)
        .unwrap();
    let package = drop.live(&token, now).await;
    let refused = drop.drop.read(&token, &package, 0, 0..10).await;
    assert!(matches!(refused, Err(DropError::Damaged { .. })));
}

#[tokio::test]
async fn a_lost_key_is_damage_as_long_as_something_is_known_by_it() {
    let drop = fixture();
    let (now, sha256) = (Timestamp::now(), [7; 32]);
    let config = config(drop.directory());
    let key = drop.directory().join("drop.key");
    let lose = || fs::remove_file(&key).unwrap();
    lose();
    assert!(FileDrop::open(&config).is_ok(), "nothing is lost with it");
    let token = drop.deposit(&[noise(10, 1)], now).await;
    lose();
    let error = FileDrop::open(&config).unwrap_err();
    assert!(matches!(error, DropError::Damaged { .. }));
    assert!(error.to_string().contains("drop rekey"), "{error}");
    assert!(!key.exists());
    let blocked = drop.drop.block(sha256, now, Requester::ADMIN, "").await;
    assert!(blocked.unwrap().0);
    FileDrop::renew_key(&config).unwrap();
    assert!(FileDrop::renew_key(&config).is_err());
    let again = FileDrop::open(&config).unwrap();
    let unblocked = again.unblock(sha256, now, Requester::ADMIN).await;
    assert!(
        unblocked.unwrap(),
        "what was blocked is known by the new key"
    );
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), noise(10, 1));
}

#[tokio::test]
async fn files_of_one_package_cannot_stand_for_each_other() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(1000, 1), noise(1000, 2)], now).await;
    let paths = drop.blobs();
    let (a, b) = (fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    fs::write(&paths[0], b).unwrap();
    fs::write(&paths[1], a).unwrap();
    for index in [0, 1] {
        let read = drop.read(&token, now, index).await;
        assert!(matches!(read, Err(DropError::Damaged { .. })));
    }
}

#[tokio::test]
async fn a_manifest_of_another_record_is_refused() {
    let drop = fixture();
    let now = Timestamp::now();
    let a = drop.deposit(&[noise(10, 1)], now).await;
    drop.deposit(&[noise(10, 2)], now).await;
    let swapped = drop.sqlite().execute(
        "UPDATE package SET manifest = (SELECT manifest FROM package WHERE id <> ?1) WHERE id = ?1",
        [Vault::new(&a).id().0],
    );
    assert_eq!(swapped, Ok(1));
    let error = drop.drop.find(&a, now).await.unwrap_err();
    assert_eq!(error.fault(), Some(FaultKind::Damaged), "{error}");
}

/// Returns true if reading the only file is refused when this stands in its place.
async fn is_refused(drop: &Fixture, token: &Token, path: &Path, stored: &[u8]) -> bool {
    fs::write(path, stored).unwrap();
    let read = drop.read(token, Timestamp::now(), 0).await;
    assert!(matches!(read, Ok(_) | Err(DropError::Damaged { .. })));
    read.is_err()
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_of_a_small_file_is_refused() {
    let drop = fixture();
    let token = drop.deposit(&[noise(20, 9)], Timestamp::now()).await;
    let path = drop.blobs().remove(0);
    let sound = fs::read(&path).unwrap();
    assert_eq!(sound.len(), 76);
    for bit in 0..sound.len() * 8 {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            is_refused(&drop, &token, &path, &flipped).await,
            "bit {bit}"
        );
    }
    for length in 0..sound.len() {
        let cut = &sound[..length];
        assert!(is_refused(&drop, &token, &path, cut).await, "{length}");
    }
    let longer = [&sound[..], &[0]].concat();
    assert!(is_refused(&drop, &token, &path, &longer).await);
    assert!(!is_refused(&drop, &token, &path, &sound).await);
}

#[tokio::test]
async fn swapped_and_repeated_segments_are_refused() {
    let drop = fixture();
    let token = drop.deposit(&[noise(250_000, 9)], Timestamp::now()).await;
    let path = drop.blobs().remove(0);
    let sound = fs::read(&path).unwrap();
    let segments: Vec<_> = sound.chunks(65_536).collect();
    let [first, second, third, last] = segments[..] else {
        panic!("{}", segments.len())
    };
    for order in [
        [first, third, second, last],
        [first, second, second, last],
        [second, first, third, last],
    ] {
        let stored = order.concat();
        assert!(is_refused(&drop, &token, &path, &stored).await);
    }
}

#[tokio::test]
async fn files_of_two_packages_cannot_stand_for_each_other() {
    let drop = fixture();
    let now = Timestamp::now();
    let one = drop.deposit(&[noise(1000, 1)], now).await;
    let path = drop.blobs().remove(0);
    let other = drop.deposit(&[noise(1000, 1)], now).await;
    let other_path = drop
        .blobs()
        .into_iter()
        .find(|found| *found != path)
        .unwrap();
    let stored = fs::read(&other_path).unwrap();
    assert!(is_refused(&drop, &one, &path, &stored).await);
    drop.read(&other, now, 0).await.unwrap();
    // Nor does the link of one read the files of the other.
    let package = drop.live(&other, now).await;
    let read = drop.drop.read(&one, &package, 0, 0..1000).await;
    assert!(read.is_err() || read_all(read.unwrap()).await.is_err());
}

#[tokio::test]
async fn a_changed_manifest_is_refused() {
    let drop = fixture();
    let now = Timestamp::now();
    let token = drop.deposit(&[noise(10, 1)], now).await;
    let sealed = drop.drop.store.books().records.find(RecordId::from(&token));
    let sealed = sealed.unwrap().unwrap().manifest.unwrap();
    let vault = Vault::new(&token);
    for byte in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[byte] ^= 0x80;
        assert!(vault.open_manifest(changed).is_err(), "{byte}");
        assert!(vault.open_manifest(sealed[..byte].to_vec()).is_err());
    }
    assert!(Vault::new(&Token::random()).open_manifest(sealed).is_err());
}

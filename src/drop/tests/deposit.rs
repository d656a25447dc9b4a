//! Deposits: a package is found, and only by its link.

use super::*;

#[tokio::test]
async fn what_is_deposited_is_found_and_read() {
    let drop = fixture();
    let now = time("2026-11-22T10:00:00.7Z");
    let (a, b) = (noise(300_000, 1), Bytes::new());
    let token = drop.deposit(&[a.clone(), b], now).await;
    let package = drop.live(&token, now).await;
    assert_eq!(package.created, time("2026-11-22T10:00:00Z"));
    assert_eq!(package.expires, time("2026-12-22T10:00:00Z"));
    assert_eq!(package.origin.sender, "alice@example.org");
    assert_eq!(package.origin.direction, Direction::Outgoing);
    let file = &package.files[0];
    assert_eq!((file.size, file.crc32), (300_000, crc32fast::hash(&a)));
    let sha256 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &a);
    assert_eq!(file.sha256, sha256.as_ref());
    assert_eq!(
        (&*file.name, &*file.media_type),
        ("a.pdf", "application/pdf")
    );
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), a);
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), b"");
    assert!(drop.drafts().is_empty());
}

#[tokio::test]
async fn a_token_that_never_was_is_unknown() {
    let drop = fixture();
    let found = drop
        .drop
        .find(&Token::random(), Timestamp::now())
        .await
        .unwrap();
    assert!(matches!(found, PackageLookup::Unknown));
}

#[tokio::test]
async fn a_package_expires_at_its_second() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1)], time("2026-01-31T10:00:00Z"))
        .await;
    let expires = time("2026-02-28T10:00:00Z");
    let before = expires - SignedDuration::from_nanos(1);
    assert!(matches!(
        drop.drop.find(&token, before).await.unwrap(),
        PackageLookup::Live(_)
    ));
    match drop.drop.find(&token, expires).await.unwrap() {
        PackageLookup::Gone {
            created,
            expired,
            origin,
            unlock: Unlock::Server,
            why,
            extendable,
        } => {
            assert_eq!((why, extendable), (Ending::Expired, None));
            assert_eq!(created, time("2026-01-31T10:00:00Z"));
            assert_eq!(expired, expires);
            assert_eq!(origin.queue_id, "4abCDe12");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn any_range_is_read() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(200_000, 3);
    let token = drop.deposit(std::slice::from_ref(&bytes), now).await;
    let package = drop.live(&token, now).await;
    let ends = [
        0, 1, 65_479, 65_480, 65_481, 131_000, 131_001, 199_999, 200_000,
    ];
    for start in ends {
        for end in ends.into_iter().filter(|&end| end >= start) {
            let reader = drop
                .drop
                .read(&token, &package, 0, start..end)
                .await
                .unwrap();
            let read = read_all(reader).await.unwrap();
            assert_eq!(read, bytes[start as usize..end as usize], "{start}..{end}");
        }
    }
    for wrong in [0..200_001, 200_001..200_001, Range { start: 2, end: 1 }] {
        let refused = drop.drop.read(&token, &package, 0, wrong).await;
        assert!(matches!(refused, Err(DropError::Misuse(_))));
    }
    let refused = drop.drop.read(&token, &package, 1, 0..0).await;
    assert!(matches!(refused, Err(DropError::Misuse(_))));
}

#[tokio::test]
async fn bytes_arrive_whole_however_they_are_cut() {
    let drop = fixture();
    let now = Timestamp::now();
    let bytes = noise(400_000, 4);
    for step in [7_000, 16_384, 16_385, 65_536, 150_001, 400_000] {
        let mut package = drop.drop.package(origin());
        let mut file = package.file("a", "b").unwrap();
        for at in (0..bytes.len()).step_by(step) {
            let end = bytes.len().min(at + step);
            file.write(bytes.slice(at..end)).await.unwrap();
            file.write(Bytes::new()).await.unwrap();
        }
        let file = file.finish().await.unwrap();
        let token = package
            .commit(vec![file], now, in_a_month(now))
            .await
            .unwrap();
        assert_eq!(drop.read(&token, now, 0).await.unwrap(), bytes, "{step}");
    }
}

#[tokio::test]
async fn files_stand_in_the_order_of_the_commit() {
    let drop = fixture();
    let now = Timestamp::now();
    let contents = [noise(70_000, 5), noise(10, 6), noise(20, 7)];
    let mut package = drop.drop.package(origin());
    let first = drop.file(&mut package, "first", &contents[0]).await;
    let left_out = drop.file(&mut package, "left out", &contents[1]).await;
    let third = drop.file(&mut package, "third", &contents[2]).await;
    std::mem::drop(left_out);
    let expires = in_a_month(now);
    let token = package
        .commit(vec![third, first], now, expires)
        .await
        .unwrap();
    let package = drop.live(&token, now).await;
    let names: Vec<_> = package.files.iter().map(|file| &*file.name).collect();
    assert_eq!(names, ["third", "first"]);
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), contents[2]);
    assert_eq!(drop.read(&token, now, 1).await.unwrap(), contents[0]);
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (2, 0));
}

#[tokio::test]
async fn a_file_is_not_committed_to_another_package() {
    let drop = fixture();
    let now = Timestamp::now();
    let file = drop
        .file(&mut drop.drop.package(origin()), "a", &noise(10, 1))
        .await;
    let refused = drop
        .drop
        .package(origin())
        .commit(vec![file], now, now)
        .await;
    assert!(matches!(refused, Err(DropError::Misuse(_))));
    assert_eq!((drop.blobs().len(), drop.drafts().len()), (0, 0));
}

#[tokio::test]
async fn nothing_at_rest_tells_names_contents_or_tokens() {
    let drop = fixture();
    let now = Timestamp::now();
    let name = "Überweisung der Geheimnisse.pdf";
    let content = Bytes::from("the quick brown content ".repeat(10_000));
    let mut package = drop.drop.package(origin());
    let file = drop.file(&mut package, name, &content).await;
    let sha256 = file.sha256();
    let token = package
        .commit(vec![file], now, in_a_month(now))
        .await
        .unwrap();
    drop.drop.count_download(&token, 0..1, &WEB).await.unwrap();
    assert_eq!(drop.read(&token, now, 0).await.unwrap(), content);

    let raw = token.as_bytes();
    let base32 = token.to_string();
    let hex = data_encoding::HEXLOWER.encode(raw);
    let digest = data_encoding::HEXLOWER.encode(&sha256);
    let secrets: [&[u8]; 10] = [
        raw,
        base32.as_bytes(),
        hex.as_bytes(),
        &hex.to_uppercase().into_bytes(),
        &base32.to_uppercase().into_bytes(),
        "Überweisung".as_bytes(),
        b"application/pdf",
        b"brown content",
        digest.as_bytes(),
        &sha256,
    ];
    let stored = files(&drop.directory());
    assert!(stored.len() >= 2, "{stored:?}");
    for path in stored {
        let bytes = fs::read(&path).unwrap();
        for secret in secrets {
            assert!(
                memchr::memmem::find(&bytes, secret).is_none(),
                "{}",
                path.display()
            );
            let path = path.to_str().unwrap().as_bytes();
            assert!(memchr::memmem::find(path, secret).is_none());
        }
    }
}

#[tokio::test]
async fn only_the_owner_may_look() {
    let drop = fixture();
    let token = drop.deposit(&[noise(10, 1)], Timestamp::now()).await;
    drop.drop.count_download(&token, 0..1, &WEB).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in files(&drop.directory()) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        assert_eq!(mode(path.parent().unwrap()), 0o700, "{}", path.display());
    }
    assert_eq!(mode(&drop.directory().join("drafts")), 0o700);
}

#[tokio::test]
async fn downloads_are_counted_by_file_and_package() {
    let drop = fixture();
    let token = drop
        .deposit(&[noise(10, 1), noise(10, 2)], Timestamp::now())
        .await;
    for index in [1, 1, 0] {
        drop.drop
            .count_download(&token, index..index + 1, &WEB)
            .await
            .unwrap();
    }
    drop.drop
        .count_download(&Token::random(), 0..1, &WEB)
        .await
        .unwrap();
    drop.drop.count_download(&token, 7..8, &WEB).await.unwrap();
    let count = |sql| -> Vec<i64> {
        let sqlite = drop.sqlite();
        let mut query = sqlite.prepare(sql).unwrap();
        query
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    assert_eq!(
        count("SELECT downloads FROM file ORDER BY position"),
        [1, 2]
    );
    assert_eq!(count("SELECT downloads FROM package"), [3]);
}

#[test]
fn nothing_that_is_shown_for_debugging_holds_a_token() {
    let drop = fixture();
    let package = drop.drop.package(origin());
    let token = package.token().to_string();
    let shown = format!("{:?} {package:?} {:?}", drop.drop, package.token());
    assert!(!shown.contains(&token));
    assert!(!shown.contains(&format!("{:?}", package.token().as_bytes())));
}

/// `tests/vault_tink.py` reads what this leaves in the directory `DEPOLLUEUR_SAMPLE`; without that
/// variable, it is one more round trip.
#[tokio::test]
async fn a_sample_for_an_independent_reader_is_read_here_too() {
    let home = TempDir::new().unwrap();
    let sample = std::env::var_os("DEPOLLUEUR_SAMPLE");
    let sample = sample.map_or_else(|| home.path().to_owned(), PathBuf::from);
    let drop = Fixture {
        drop: FileDrop::open(&config(sample.join("drop"))).unwrap(),
        home,
    };
    let now = Timestamp::now();
    let sizes = [0, 1, 65_479, 65_480, 65_481, 131_000, 131_001, 1_000_000];
    let contents: Vec<_> = sizes
        .into_iter()
        .map(|size| noise(size, size as u64))
        .collect();
    let token = drop.deposit(&contents, now).await;
    fs::write(sample.join("token"), token.to_string()).unwrap();
    for (index, bytes) in contents.iter().enumerate() {
        fs::write(sample.join(format!("plain-{index}")), bytes).unwrap();
        assert_eq!(drop.read(&token, now, index).await.unwrap(), *bytes);
    }
}

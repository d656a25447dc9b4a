//! Files and archives.

use super::*;

#[tokio::test]
async fn looking_counts_nothing() {
    let site = Fixture::new().await;
    for path in [site.path(""), site.path(".json")] {
        site.get(&path).await;
    }
    for path in [site.path("/1"), site.path("/all.zip")] {
        site.ask("HEAD", &path, &[]).await;
        site.ask("GET", &path, &[("Range", "bytes=1-")]).await;
        site.ask("GET", &path, &[("Range", "bytes=0-0")]).await;
        let etag = site.ask("HEAD", &path, &[]).await.field("etag").to_owned();
        assert_eq!(
            site.ask("GET", &path, &[("If-None-Match", &etag)])
                .await
                .status,
            304
        );
    }
    assert_eq!(site.downloads(), [0, 0, 0]);
}

#[tokio::test]
async fn whole_transfers_count() {
    let site = Fixture::new().await;
    for path in ["/1", "/2", "/all.zip"] {
        assert_eq!(site.get(&site.path(path)).await.status, 200);
    }
    assert_eq!(site.downloads(), [2, 2, 1]);
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_total 3\n")
    );
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_aborted_total 0\n")
    );
}

#[tokio::test]
async fn a_download_does_not_wait_for_a_locked_database_and_counts_when_it_is_free() {
    let site = Fixture::new().await;
    let path = site.home.path().join("drop/drop.sqlite3");
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(site.get(&site.path("/1")).await.body == pdf());
    assert_eq!(site.downloads(), [0, 0, 0]);
    other.execute_batch("ROLLBACK").unwrap();
    let counted = async {
        while site.downloads() != [1, 0, 0] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted)
        .await
        .expect("the download is counted");
}

#[tokio::test]
async fn who_downloads_without_end_is_served_and_counted_to_a_bound() {
    let site = Fixture::new().await;
    for _ in 0..110 {
        assert_eq!(site.get(&site.path("/1")).await.status, 200);
    }
    let counted = site.downloads()[0];
    assert!((100..105).contains(&counted), "{counted}");
    let all = "depollueur_downloads_total 110\n";
    assert!(site.metrics.encode().contains(all));
}

#[tokio::test]
async fn a_range_that_is_the_whole_counts_and_its_parts_do_not() {
    let site = Fixture::new().await;
    let get = async |range| {
        site.ask("GET", &site.path("/1"), &[("Range", range)])
            .await
            .status
    };
    assert_eq!(get("bytes=0-").await, 206);
    assert_eq!(get("bytes=0-199999").await, 206);
    assert_eq!(site.downloads(), [2, 0, 0]);
    assert_eq!(get("bytes=0-99999").await, 206);
    assert_eq!(get("bytes=100000-").await, 206);
    assert_eq!(site.downloads(), [2, 0, 0]);
    let downloads = site
        .audit()
        .into_iter()
        .filter(|(action, _)| action == "download");
    assert_eq!(downloads.count(), 2);
}

#[tokio::test]
async fn all_downloads_together_keep_the_rate() {
    let config = WebConfig {
        max_rate: Some(400_000),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let path = site.path("/1");
    let begun = std::time::Instant::now();
    let (one, two) = tokio::join!(site.get(&path), site.get(&path));
    assert!(one.body == pdf() && two.body == pdf());
    // The last piece of all waits for those before it: at least 300,000 of the 400,000 bytes.
    assert!(begun.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn file_goes_out_whole_as_an_attachment_of_no_type() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path("/1")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.body == pdf());
    assert_eq!(reply.field("content-type"), "application/octet-stream");
    assert_eq!(reply.field("content-length"), "200000");
    assert_eq!(reply.field("accept-ranges"), "bytes");
    assert_eq!(reply.field("cache-control"), "private, no-store");
    assert!(
        reply
            .field("content-security-policy")
            .starts_with("sandbox;")
    );
    assert!(
        reply
            .field("content-disposition")
            .starts_with("attachment; filename=\"Compte rendu")
    );
    let empty = site.get(&site.path("/2")).await;
    assert_eq!((empty.status, empty.field("content-length")), (200, "0"));
    let hostile = site.get(&site.path("/3")).await;
    assert_eq!((hostile.status, hostile.text()), (200, "12345"));
}

#[tokio::test]
async fn any_range_is_the_slice_of_the_whole() {
    let site = Fixture::new().await;
    for path in [site.path("/1"), site.path("/all.zip")] {
        let whole = site.get(&path).await;
        let len = whole.body.len();
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=65535-65536".to_owned(), 65_535, 65_537),
            ("bytes=131000-".to_owned(), 131_000, len),
            ("bytes=-7".to_owned(), len - 7, len),
            (format!("bytes=10-{}", len * 2), 10, len),
        ] {
            let reply = site.ask("GET", &path, &[("Range", &range)]).await;
            assert_eq!(reply.status, 206, "{range}");
            assert_eq!(
                reply.field("content-range"),
                format!("bytes {from}-{}/{len}", to - 1)
            );
            assert_eq!(reply.field("content-length"), (to - from).to_string());
            assert!(reply.body == whole.body[from..to], "{range}");
        }
        let past = site
            .ask("GET", &path, &[("Range", &format!("bytes={len}-"))])
            .await;
        assert_eq!(
            (past.status, past.field("content-range")),
            (416, &*format!("bytes */{len}"))
        );
        for fields in [
            [("Range", "bytes=0-1,3-4"), ("X-Y", "z")],
            [("Range", "bytes=0-1"), ("If-Range", "\"other\"")],
        ] {
            let reply = site.ask("GET", &path, &fields).await;
            assert!(reply.status == 200 && reply.body == whole.body);
        }
        let resumed = [("Range", "bytes=5-"), ("If-Range", whole.field("etag"))];
        assert_eq!(site.ask("GET", &path, &resumed).await.status, 206);
    }
}

#[tokio::test]
async fn archive_holds_the_files_under_safe_names() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path("/all.zip")).await;
    assert!(
        reply
            .field("content-disposition")
            .contains("filename=\"asso.example ")
    );
    let file = site.home.path().join("all.zip");
    std::fs::write(&file, &reply.body).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is \
                  None\nprint([(ascii(i.filename), i.file_size) for i in z.infolist()])";
    let run = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .output();
    let said = String::from_utf8(run.unwrap().stdout).unwrap();
    assert!(said.contains("assembl\\\\xe9e.pdf'\", 200000)"), "{said}");
    assert!(
        said.contains("empty.txt'\", 0)") && said.contains(".jpg'\", 5)"),
        "{said}"
    );
}

#[tokio::test]
async fn damage_cuts_the_connection_and_never_looks_whole() {
    let site = Fixture::new().await;
    let blob = &site.blobs()[0];
    let mut bytes = std::fs::read(blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(blob, bytes).unwrap();
    for path in ["/1", "/all.zip"] {
        let path = site.path(path);
        let mut stream = site
            .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(answer.len() < 200_000, "{}", answer.len());
    }
    assert_eq!(site.get(&site.path("/3")).await.status, 200);
    assert_eq!(site.downloads(), [0, 0, 1]);
    assert!(
        site.metrics
            .encode()
            .contains("depollueur_downloads_aborted_total 2\n")
    );
}

#[tokio::test]
async fn damage_at_the_start_and_a_broken_database_are_told_without_detail() {
    let site = Fixture::new().await;
    std::fs::write(&site.blobs()[0], b"").unwrap();
    let reply = site.get(&site.path("/1")).await;
    assert_eq!((reply.status, reply.field("retry-after")), (503, "120"));
    assert!(!reply.text().contains("drop/blobs") && !reply.text().contains("damaged"));
    let path = site.home.path().join("drop/drop.sqlite3");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch("ALTER TABLE package RENAME TO lost")
        .unwrap();
    assert_eq!(site.get(&site.path("")).await.status, 503);
}

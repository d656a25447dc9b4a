//! The client against recorded answers, and against what may go wrong.

use super::{
    recorded::{Recorded, ServerSettings, Trouble},
    *,
};
use crate::config::JirafeauConfig;

async fn recorded(change: impl FnOnce(&mut ServerSettings)) -> (Recorded, Jirafeau) {
    let recorded = Recorded::start(change).await;
    let jirafeau = client(&recorded, |_| ());
    (recorded, jirafeau)
}

fn client(recorded: &Recorded, change: impl FnOnce(&mut JirafeauConfig)) -> Jirafeau {
    let mut config = JirafeauConfig {
        url: recorded.url.parse().ok(),
        timeout: Duration::from_millis(500),
        ..JirafeauConfig::default()
    };
    change(&mut config);
    Jirafeau::open(&config).unwrap().unwrap()
}

async fn send(jirafeau: &Jirafeau, contents: &[u8]) -> Result<UploadedFile> {
    let mut upload = Upload::new(jirafeau, "a.pdf", "text/html", Handle::current());
    for part in contents.chunks(10_000) {
        upload.write(part).await?;
    }
    upload.finish().await
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

fn said<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn what_fits_is_sent_in_one_request_and_more_in_pieces() {
    for version in ["4.3.0", "4.5.0"] {
        let (server, jirafeau) = recorded(|settings| settings.version = version).await;
        for (size, posts) in [(0, 1), (1, 1), (95_904, 1), (95_905, 4), (300_000, 6)] {
            let before = server.asked().len();
            let file = send(&jirafeau, &pattern(size)).await.unwrap();
            let kept = server.file(file.page()).unwrap();
            assert!(kept.contents == pattern(size), "{size}");
            assert_eq!(kept.media_type, "application/octet-stream");
            let asked = server.asked()[before..].to_vec();
            let asked = asked
                .iter()
                .filter(|verb| !verb.starts_with("get_"))
                .count();
            assert_eq!(asked, posts, "{size}");
            file.keep();
        }
    }
}

#[tokio::test]
async fn a_piece_that_is_too_large_is_sent_again_in_smaller_ones() {
    let (server, jirafeau) = recorded(|settings| {
        settings.capacity = 1_000_000;
        settings.hidden_max = 300_000;
    })
    .await;
    for size in [900_000, 3_000_000] {
        let file = send(&jirafeau, &pattern(size)).await.unwrap();
        assert!(server.file(file.page()).unwrap().contents == pattern(size));
        file.keep();
    }
}

#[tokio::test]
async fn a_file_that_is_not_kept_is_removed() {
    let (server, jirafeau) = recorded(|_| ()).await;
    let file = send(&jirafeau, b"x").await.unwrap();
    let mut midway = Upload::new(&jirafeau, "a", "b", Handle::current());
    midway.write(&pattern(250_000)).await.unwrap();
    assert_eq!(server.stored(), 2);
    drop((file, midway));
    jirafeau.settle().await;
    assert_eq!(server.stored(), 0);
}

#[tokio::test]
async fn only_an_exact_answer_is_a_removal() {
    let (server, jirafeau) = recorded(|_| ()).await;
    let file = send(&jirafeau, &pattern(90_000)).await.unwrap();
    let locator = file.locator().clone();
    file.keep();

    let wrong = Locator {
        code: "fffff".to_owned(),
        ..locator.clone()
    };
    assert!(matches!(
        jirafeau.remove(&wrong).await,
        Err(JirafeauError::Kept { .. })
    ));
    for text in [
        "ok",
        "Ok\n",
        "",
        "<p>Ok</p>",
        "Error 7",
        "Error 10",
        "Error 1",
    ] {
        server.set(|settings| settings.trouble = Some(("h=", Trouble::Says(text))));
        assert!(jirafeau.remove(&locator).await.is_err(), "{text:?}");
    }
    server.set(|settings| settings.trouble = None);
    assert_eq!(server.stored(), 1);

    jirafeau.remove(&locator).await.unwrap();
    assert_eq!(server.stored(), 0);
    jirafeau.remove(&locator).await.unwrap();
    server.set(|settings| settings.trouble = Some(("h=", Trouble::Says("Error 9"))));
    jirafeau.remove(&locator).await.unwrap();
}

#[tokio::test]
async fn after_one_that_is_not_reached_nothing_is_removed_for_a_moment() {
    let (server, jirafeau) = recorded(|_| ()).await;
    let file = send(&jirafeau, b"x").await.unwrap();
    let locator = file.locator().clone();
    file.keep();
    server.set(|settings| settings.trouble = Some(("h=", Trouble::Hangs)));
    assert!(said(jirafeau.remove(&locator).await).contains("did nothing for"));
    let before = server.asked().len();
    assert!(said(jirafeau.remove(&locator).await).contains("a moment ago"));
    assert_eq!(server.asked().len(), before);
}

#[tokio::test]
async fn whatever_is_no_success_says_what_to_type() {
    let (server, _) = recorded(|_| ()).await;
    for (word, trouble, expected) in [
        (
            "get_version",
            Trouble::Page,
            "set jirafeau.url to the address of Jirafeau's start page",
        ),
        (
            "get_version",
            Trouble::Status(302),
            "sends us to another address",
        ),
        (
            "get_version",
            Trouble::Status(404),
            "there is no script.php",
        ),
        (
            "get_version",
            Trouble::Status(403),
            "must let this host use script.php",
        ),
        ("get_version", Trouble::Status(503), "answers 503"),
        ("get_version", Trouble::Says("hello"), "calls its version"),
        (
            "get_capacity",
            Trouble::Says("lots"),
            "its get_capacity is no number",
        ),
        (
            "get_capacity",
            Trouble::Says("4096"),
            "raise upload_max_filesize",
        ),
        ("get_version", Trouble::Hangs, "did nothing for"),
        ("", Trouble::Says("Error 1"), "failed: \"Error 1\""),
    ] {
        server.set(|settings| settings.trouble = Some((word, trouble)));
        let told = said(client(&server, |_| ()).probe().await);
        assert!(told.contains(expected), "{trouble:?}: {told}");
    }
}

#[tokio::test]
async fn an_upload_that_does_not_succeed_says_why_and_leaves_nothing() {
    for (size, word, trouble, expected) in [
        (
            10,
            "",
            Trouble::Says("Error 5: Your file exceeds"),
            "takes no file of that size",
        ),
        (
            10,
            "",
            Trouble::Says("Error 6 FIX ME"),
            "takes no file of that size",
        ),
        (
            10,
            "",
            Trouble::Says("Error 6 Internal error"),
            "failed: \"Error 6 Internal error\"",
        ),
        (
            10,
            "",
            Trouble::Says("Ok"),
            "its answer to an upload is 2 bytes long",
        ),
        (10, "", Trouble::Page, "a page comes instead of a text"),
        (10, "", Trouble::Hangs, "did nothing for"),
        (
            200_000,
            "init_async",
            Trouble::Says("Error 22"),
            "enable that in its availabilities",
        ),
        (
            200_000,
            "push_async",
            Trouble::Says("Error: bad transfer code"),
            "bad transfer code",
        ),
        (
            200_000,
            "push_async",
            Trouble::Says("Error: file size is above upload limit"),
            "takes no file",
        ),
        (
            200_000,
            "push_async",
            Trouble::Says("nonsense"),
            "is 8 bytes long",
        ),
        (
            200_000,
            "end_async",
            Trouble::Says("Error"),
            "failed: \"Error\"",
        ),
        (200_000, "end_async", Trouble::Status(500), "answers 500"),
    ] {
        let (server, jirafeau) = recorded(|_| ()).await;
        jirafeau.probe().await.unwrap();
        server.set(|settings| settings.trouble = Some((word, trouble)));
        let told = said(send(&jirafeau, &pattern(size)).await);
        assert!(told.contains(expected), "{trouble:?}: {told}");
        jirafeau.settle().await;
        // A transfer whose state is not known is left to Jirafeau.
        assert_eq!(server.files(), 0, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_file_over_the_limit_is_not_even_sent() {
    let (server, jirafeau) = recorded(|settings| settings.megabytes_max = 1).await;
    let told = said(send(&jirafeau, &pattern(1_048_577)).await);
    assert!(told.contains("maximal_upload_size"), "{told}");
    assert!(send(&jirafeau, &pattern(1_048_576)).await.is_ok());
    assert!(server.asked().len() > 3);
}

#[tokio::test]
async fn the_password_is_sent_and_never_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("password");
    let write = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let server = Recorded::start(|settings| settings.password = Some("s3cret word")).await;
    let with = |config: &mut JirafeauConfig| config.upload_password_file = Some(path.clone());

    let none = said(send(&client(&server, |_| ()), b"x").await);
    assert!(none.contains("jirafeau.upload_password_file"), "{none}");
    write("wrong one\n", 0o600);
    for size in [1, 200_000] {
        let wrong = said(send(&client(&server, with), &pattern(size)).await);
        assert!(wrong.contains("does not take the password"), "{wrong}");
        assert!(!wrong.contains("wrong one"), "{wrong}");
    }

    write("s3cret word\n", 0o600);
    let jirafeau = client(&server, with);
    assert!(!format!("{jirafeau:?}").contains("s3cret"));
    for size in [1, 200_000] {
        let file = send(&jirafeau, &pattern(size)).await.unwrap();
        assert!(!format!("{file:?}").contains(&file.locator().code));
    }

    let config = JirafeauConfig {
        url: server.url.parse().ok(),
        upload_password_file: Some(path.clone()),
        ..JirafeauConfig::default()
    };
    for (text, mode, expected) in [
        ("word", 0o604, "everybody on this machine can access it"),
        ("\n", 0o600, "it does not hold one password"),
        ("two\nlines", 0o600, "it does not hold one password"),
    ] {
        write(text, mode);
        let told = said(Jirafeau::open(&config));
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn an_upload_whose_answer_is_lost_is_an_error() {
    let (server, jirafeau) = recorded(|_| ()).await;
    jirafeau.probe().await.unwrap();
    server.set(|settings| settings.trouble = Some(("", Trouble::HangsAfterwards)));
    assert!(said(send(&jirafeau, b"x").await).contains("did nothing for"));
}

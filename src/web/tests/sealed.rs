//! Packages that browsers unlock: the data given out, its recipients, and the data withheld.

use super::*;
use crate::drop::{RecordId, Token};

/// A package that browsers unlock.
pub(super) struct Sealed {
    pub(super) id: String,
    token: String,
}

/// Deposits such a package, like a process with `end_to_end` in its configuration.
pub(super) async fn deposit(
    site: &Fixture,
    files: &[(&str, Bytes)],
    expires: SignedDuration,
) -> Sealed {
    let drop = FileDrop::open(&DropConfig {
        directory: site.home.path().join("drop"),
        end_to_end: true,
        ..DropConfig::default()
    })
    .unwrap();
    let token = super::deposit(&drop, files, expires).await;
    let id = RecordId::from(&token.parse::<Token>().unwrap());
    Sealed {
        id: id.to_string(),
        token,
    }
}

impl Sealed {
    fn path(&self, rest: &str) -> String {
        format!("/e/{}{rest}", self.id)
    }
}

async fn site() -> (Fixture, Sealed) {
    let site = Fixture::new().await;
    let files = [(PDF, pdf()), ("empty.txt", Bytes::new())];
    let sealed = deposit(&site, &files, SignedDuration::from_hours(24 * 30)).await;
    (site, sealed)
}

#[tokio::test]
async fn the_page_shows_what_the_server_knows_and_no_more() {
    let (site, sealed) = site().await;
    for (language, words) in [
        ("fr", "chiffrées de bout en bout"),
        ("en", "encrypted to the end"),
    ] {
        let path = sealed.path(&format!("?lang={language}"));
        let page = site.get(&path).await;
        assert_eq!(
            (page.status, page.field("content-language")),
            (200, language)
        );
        assert!(page.text().contains(words));
        assert!(page.text().contains("asso.example") && page.text().contains("200"));
        assert!(page.text().contains(&format!("data-id=\"{}\"", sealed.id)));
        assert!(page.text().contains("data-bytes=\"200000\""));
        assert!(!page.text().contains("Compte rendu") && !page.text().contains(&sealed.token));
        assert_eq!(page.text().matches("<script").count(), 1);
        assert_eq!(
            page.field("content-security-policy"),
            crate::web::sealed::SCRIPT_POLICY
        );
    }
}

#[tokio::test]
async fn of_many_files_a_page_shows_a_hundred_and_leads_to_the_others() {
    let site = Fixture::new().await;
    let names: Vec<_> = (1..=101).map(|n| format!("{n}.pdf")).collect();
    let files: Vec<_> = names.iter().map(|name| (&**name, "x".into())).collect();
    let sealed = deposit(&site, &files, SignedDuration::from_hours(1)).await;
    let first = site.get(&sealed.path("?lang=fr")).await;
    assert_eq!(first.text().matches("data-bytes=").count(), 100);
    assert!(
        first
            .text()
            .contains("href=\"?lang=fr&amp;page=2\" rel=\"next\"")
    );
    assert!(
        first
            .text()
            .contains("data-count=\"101\" data-before=\"0\"")
    );
    let second = site.get(&sealed.path("?page=2")).await;
    assert_eq!(second.text().matches("data-bytes=").count(), 1);
    assert!(
        second
            .text()
            .contains(&format!("data-href=\"{}\"", sealed.path("/101")))
    );
    assert!(
        second
            .text()
            .contains("data-count=\"101\" data-before=\"100\"")
    );
}

#[tokio::test]
async fn what_is_given_out_is_what_is_stored() {
    let (site, sealed) = site().await;
    let manifest = site.get(&sealed.path("/manifest")).await;
    let of_this = |blob: &std::path::PathBuf| {
        let name = blob.file_name().unwrap().to_str().unwrap().to_owned();
        name.starts_with(&sealed.id)
    };
    let blobs: Vec<_> = site.blobs().into_iter().filter(of_this).collect();
    assert_eq!(blobs.len(), 2);
    for (number, blob) in blobs.iter().enumerate() {
        let file = site.get(&sealed.path(&format!("/{}", number + 1))).await;
        let stored = std::fs::read(blob).unwrap();
        assert_eq!(file.body, stored);
        for reply in [&manifest, &file] {
            assert_eq!(reply.status, 200);
            assert_eq!(reply.field("content-type"), "application/octet-stream");
            assert_eq!(reply.field("content-disposition"), "attachment");
            assert_eq!(reply.field("content-length"), reply.body.len().to_string());
        }
    }
    let token: Token = sealed.token.parse().unwrap();
    assert!(site.drop.names(&token).await.unwrap().is_some());
}

#[tokio::test]
async fn ciphertext_comes_in_ranges_and_whole_ones_count() {
    let (site, sealed) = site().await;
    let whole = site.get(&sealed.path("/1")).await;
    let etag = whole.field("etag").to_owned();
    for (range, from, to) in [
        ("bytes=0-39", 0, 40),
        ("bytes=65536-", 65_536, whole.body.len()),
    ] {
        let fields = [("Range", range), ("If-Range", etag.as_str())];
        let part = site.ask("GET", &sealed.path("/1"), &fields).await;
        assert_eq!((part.status, &part.body[..]), (206, &whole.body[from..to]));
    }
    let head = site.ask("HEAD", &sealed.path("/1"), &[]).await;
    assert_eq!(head.field("content-length"), whole.body.len().to_string());
    assert!(head.body.is_empty());
    let past = site
        .ask("GET", &sealed.path("/1"), &[("Range", "bytes=999999-")])
        .await;
    assert_eq!(past.status, 416);
    let counted = site
        .audit()
        .into_iter()
        .filter(|(action, _)| action == "download");
    assert_eq!(counted.count(), 1);
}

#[tokio::test]
async fn each_package_has_one_door() {
    let (site, sealed) = site().await;
    for rest in ["", ".json", "/1", "/all.zip", "/report"] {
        let path = format!("/{}{rest}", sealed.token);
        assert_eq!(site.get(&path).await.status, 404, "{path}");
    }
    let open = RecordId::from(&site.token.parse::<Token>().unwrap());
    for rest in ["", "/1", "/manifest", "/report"] {
        let path = format!("/e/{open}{rest}");
        assert_eq!(site.get(&path).await.status, 404, "{path}");
    }
    let before = site.audit().len();
    for path in [format!("/{}", sealed.token), format!("/e/{open}")] {
        assert_eq!(site.post(&format!("{path}/extend"), "").await.status, 404);
        let form = "reason=other&text=x";
        assert_eq!(site.post(&format!("{path}/report"), form).await.status, 404);
    }
    assert_eq!(site.audit().len(), before);
}

#[tokio::test]
async fn a_reader_extends_and_reports_by_id_and_shares_no_link() {
    let (site, sealed) = site().await;
    let extended = site.post(&sealed.path("/extend"), "").await;
    assert_eq!(extended.status, 303);
    assert!(
        extended
            .field("location")
            .starts_with(&sealed.path("?done="))
    );
    let form = site.get(&sealed.path("/report")).await;
    assert_eq!(form.status, 200);
    assert!(!form.text().contains("name=\"share\""));
    let body = "reason=fraud&text=it+lies&share=yes";
    let reported = site.post(&sealed.path("/report"), body).await;
    assert_eq!(reported.status, 303);
    let thanks = site.get(reported.field("location")).await;
    assert!(
        thanks
            .text()
            .contains(&format!("href=\"{}\"", sealed.path("")))
    );
    let (action, detail) = site.audit().pop().unwrap();
    assert_eq!(action, "report");
    assert!(!detail.contains(&sealed.token));
}

#[tokio::test]
async fn a_package_that_ended_says_so_under_every_path() {
    let site = Fixture::new().await;
    let files = [("a", "b".into())];
    let sealed = deposit(&site, &files, SignedDuration::from_secs(-5)).await;
    for rest in ["", "/manifest", "/1"] {
        let reply = site.get(&sealed.path(rest)).await;
        assert_eq!(reply.status, 410, "{rest}");
        assert!(reply.text().contains("asso.example"));
        assert!(!reply.text().contains("<script"));
    }
}

#[tokio::test]
async fn the_address_of_the_script_changes_with_it() {
    let (site, sealed) = site().await;
    let page = site.get(&sealed.path("")).await;
    let address = page.text().split("src=\"").nth(1).unwrap();
    let address = address.split('"').next().unwrap();
    let version = format!(
        "/unlock.js?v={:08x}",
        crc32fast::hash(include_bytes!("../unlock.js"))
    );
    assert_eq!(address, version);
    let script = site.get(address).await;
    assert_eq!(
        script.field("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert_eq!(script.body, include_bytes!("../unlock.js"));
}

/// The limits that the page tells its readers, and the numbers of the construction.
#[test]
fn script_and_vault_agree() {
    let script = include_str!("../unlock.js");
    for line in [
        "const SEGMENT = 65536, HEADER = 40, TAG = 16, PREFIX = 33;",
        "const MEMORY_MAX = 100e6;",
    ] {
        assert!(script.contains(line));
    }
    for forbidden in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "eval(",
        "document.write",
        "://",
    ] {
        assert!(!script.contains(forbidden), "{forbidden}");
    }
}

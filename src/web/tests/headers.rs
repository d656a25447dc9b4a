//! The headers of every answer, and the requests that are refused everywhere.

use super::*;
use crate::web::guard::{PAGE_POLICY, SECURITY_HEADERS};

/// The policy that an answer must have.
fn policy(path: &str, reply: &Reply) -> &'static str {
    if path == "/logo" && reply.status == 200 {
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    } else if path.starts_with("/e/") && path.matches('/').count() == 2 && reply.status == 200 {
        crate::web::sealed::SCRIPT_POLICY
    } else if reply.field("content-type") == "application/octet-stream" {
        "sandbox; default-src 'none'; frame-ancestors 'none'"
    } else {
        PAGE_POLICY
    }
}

fn assert_hardened(method: &str, path: &str, reply: &Reply) {
    let said = format!("{method} {path} {}", reply.status);
    for (name, value) in SECURITY_HEADERS {
        assert_eq!(reply.field(name), value, "{said}");
    }
    assert_eq!(
        reply.field("strict-transport-security"),
        "max-age=31536000",
        "{said}"
    );
    assert_eq!(
        reply.field("content-security-policy"),
        policy(path, reply),
        "{said}"
    );
    assert_eq!(reply.field("set-cookie"), "", "{said}");
    let fixed = [
        "/style.css",
        "/unlock.js",
        "/logo",
        "/robots.txt",
        "/favicon.ico",
    ];
    let cache = reply.field("cache-control");
    if fixed.contains(&path) && reply.status < 300 {
        assert_eq!(cache, "public, max-age=86400", "{said}");
    } else {
        assert_eq!(cache, "private, no-store", "{said}");
    }
}

/// Every route that the router has, with each kind of token, and each method.
#[tokio::test]
async fn every_route_carries_the_security_headers_and_no_cookie() {
    let home = TempDir::new().unwrap();
    let logo = home.path().join("logo.svg");
    std::fs::write(&logo, "<svg/>").unwrap();
    let config = WebConfig {
        logo: Some(logo),
        misses_per_minute: 100_000,
        posts_per_minute: 100_000,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let files = [("a", "b".into())];
    let gone = deposit(&site.drop, &files, SignedDuration::from_secs(-5)).await;
    let sealed = sealed::deposit(&site, &files, SignedDuration::from_hours(24)).await;
    let lost = sealed::deposit(&site, &files, SignedDuration::from_secs(-5)).await;
    let keys = [
        (&site.token, &sealed.id),
        (&gone, &lost.id),
        (&"unknown".to_owned(), &"unknown".to_owned()),
    ];
    let mut statuses = std::collections::BTreeSet::new();
    for (route, _) in routes() {
        for (token, id) in keys {
            let path = route.replace("{token}", token).replace("{name}", token);
            let path = path.replace("{number}", "1").replace("{id}", id);
            for method in ["GET", "HEAD", "POST", "PUT"] {
                let reply = site.ask(method, &path, &[]).await;
                assert_hardened(method, &path, &reply);
                statuses.insert(reply.status);
            }
        }
    }
    let path = site.path("/report");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let foreign = [form[0], ("Sec-Fetch-Site", "cross-site")];
    for (fields, body) in [
        (&form[..], "x".repeat(20_000)),
        (&foreign, "a".into()),
        (&form, "a".into()),
    ] {
        let reply = site.ask_with("POST", &path, fields, &body).await;
        assert_hardened("POST", &path, &reply);
        statuses.insert(reply.status);
    }
    for path in ["/nothing/to/see/here", "/a/b"] {
        assert_hardened("GET", path, &site.get(path).await);
    }
    let expected = [200, 204, 303, 403, 404, 405, 410, 413, 415, 422];
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn unhappy_answers_are_pages_in_both_languages() {
    let site = Fixture::new().await;
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let foreign = [form[0], ("Sec-Fetch-Site", "cross-site")];
    for (language, words) in [
        ("fr", ["vient pas", "trop long", "utilise pas"]),
        ("en", ["does not come", "too long", "cannot be asked"]),
    ] {
        let path = site.path(&format!("/report?lang={language}"));
        let long = "x".repeat(20_000);
        let replies = [
            site.ask_with("POST", &path, &foreign, "").await,
            site.ask_with("POST", &path, &form, &long).await,
            site.ask("DELETE", &path, &[]).await,
        ];
        for (reply, (status, word)) in replies.iter().zip([403, 413, 405].into_iter().zip(words)) {
            assert_eq!(
                (reply.status, reply.field("content-language")),
                (status, language)
            );
            assert!(
                reply.text().contains("<main") && reply.text().contains(word),
                "{word}"
            );
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let site = Fixture::new().await;
    for path in [
        site.path(""),
        site.path("/1"),
        site.path("/all.zip"),
        site.path(".json"),
    ] {
        let (get, head) = (site.get(&path).await, site.ask("HEAD", &path, &[]).await);
        assert!(head.body.is_empty());
        assert_eq!(
            get.body.len().to_string(),
            head.field("content-length"),
            "{path}"
        );
        let but_date = |reply: &Reply| {
            let fields = reply.fields.iter().filter(|(name, _)| name != "date");
            fields.cloned().collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(but_date(&get), but_date(&head), "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_everywhere() {
    let site = Fixture::new().await;
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND",
    ] {
        for path in [
            "/".to_owned(),
            site.path(""),
            site.path("/1"),
            "/no/such/path".to_owned(),
        ] {
            let reply = site.ask(method, &path, &[]).await;
            let answer = (reply.status, reply.field("allow"));
            assert_eq!(answer, (405, "GET, HEAD"), "{method} {path}");
        }
        for path in [site.path("/extend"), site.path("/report")] {
            let reply = site.ask(method, &path, &[]).await;
            if method != "POST" {
                let answer = (reply.status, reply.field("allow"));
                assert_eq!(answer, (405, "GET, HEAD, POST"), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn everything_unknown_gets_the_same_answer() {
    let config = WebConfig {
        misses_per_minute: 1000,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let mut other = site.token.clone().into_bytes();
    other[3] = if other[3] == b'a' { b'b' } else { b'a' };
    let other = String::from_utf8(other).unwrap();
    for language in ["fr", "en"] {
        let wanted = [("Accept-Language", language)];
        let first = site.ask("GET", &format!("/{other}"), &wanted).await;
        assert_eq!(first.status, 404);
        for path in [
            format!("/{other}.json"),
            format!("/{other}/1"),
            format!("/{other}/all.zip"),
            format!("/{other}/report"),
            "/short/report".to_owned(),
            "/short/extend".to_owned(),
            "/%ff/extend".to_owned(),
            "/logo".to_owned(),
            "/short".to_owned(),
            "/%ff".to_owned(),
            "/%ff/1".to_owned(),
            "/..%2f..%2fetc%2fpasswd".to_owned(),
            site.path("/0"),
            site.path("/4"),
            site.path("/01"),
            site.path("/+1"),
            site.path("/99999999999999999999999"),
            site.path("/%ff"),
            site.path("/1/"),
            site.path(".html"),
            "/index.php".to_owned(),
            "/a/b/c".to_owned(),
            "/e/short".to_owned(),
            "/e/%ff".to_owned(),
            "/e/%ff/extend".to_owned(),
            format!("/e/{}", "0".repeat(32)),
            format!("/e/{}/1", "0".repeat(32)),
            format!("/e/{}/manifest", "0".repeat(32)),
            format!("/e/{}/report", "0".repeat(32)),
        ] {
            let reply = site.ask("GET", &path, &wanted).await;
            assert_eq!((reply.status, reply.text()), (404, first.text()), "{path}");
            assert_eq!(reply.field("content-language"), language);
        }
    }
}

#[tokio::test]
async fn a_link_with_a_tail_leads_to_the_link_without_it() {
    let site = Fixture::new().await;
    let link = site.path("");
    let name = link.trim_start_matches('/');
    for (tail, place) in [
        (".", name.to_owned()),
        (").", name.to_owned()),
        ("%C2%BB", name.to_owned()),
        ("/", format!("../{name}")),
        ("//)", format!("../../{name}")),
        (".?lang=fr", format!("{name}?lang=fr")),
    ] {
        let reply = site.get(&format!("{link}{tail}")).await;
        assert_eq!((reply.status, reply.text()), (303, ""), "{tail}");
        assert_eq!(reply.field("location"), place, "{tail}");
        assert_eq!(reply.field("referrer-policy"), "no-referrer");
    }
    let posted = site.ask("POST", &format!("{link}."), &[]).await;
    assert_eq!(posted.status, 405);
}

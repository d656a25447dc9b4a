//! The forms for readers.

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

async fn extendable(site: &Fixture) -> String {
    deposit(&site.drop, &[("a.pdf", "b".into())], DAY).await
}

fn location<'a>(reply: &'a Reply, site: &Fixture) -> &'a str {
    assert_eq!(reply.status, 303, "{}", reply.text());
    let place = reply.field("location");
    assert!(place.starts_with('/') && !place.contains("//"), "{place}");
    assert_eq!(reply.field("set-cookie"), "");
    let _ = site;
    place
}

#[tokio::test]
async fn a_reader_extends_and_sees_until_when() {
    let site = Fixture::new().await;
    let token = extendable(&site).await;
    let before = site.get(&format!("/{token}?lang=en")).await;
    assert!(
        before.text().contains("Keep until") && before.text().contains("until tomorrow")
            || before.text().contains("that is tomorrow")
    );
    let action = format!("action=\"/{token}/extend?lang=en\"");
    assert!(before.text().contains(&action), "{}", before.text());
    let reply = site.post(&format!("/{token}/extend?lang=en"), "").await;
    assert_eq!(
        location(&reply, &site),
        format!("/{token}?lang=en&done=extended")
    );
    let after = site.get(location(&reply, &site)).await;
    assert!(
        after
            .text()
            .contains("Done: the files can be downloaded until")
    );
    assert!(
        !after.text().contains("Keep until"),
        "nothing is gained by a second time"
    );
    let again = site.post(&format!("/{token}/extend"), "").await;
    assert_eq!(location(&again, &site), format!("/{token}?done=limit"));
    let extended = site
        .audit()
        .into_iter()
        .filter(|(action, _)| action == "extend");
    assert_eq!(extended.count(), 1);
}

#[tokio::test]
async fn get_and_head_of_a_form_change_nothing() {
    let site = Fixture::new().await;
    let token = extendable(&site).await;
    let before = site.get(&format!("/{token}")).await;
    for method in ["GET", "HEAD"] {
        let reply = site.ask(method, &format!("/{token}/extend"), &[]).await;
        assert_eq!(location(&reply, &site), format!("/{token}"));
        let reply = site
            .ask(method, &format!("/{token}/report?reason=other&text=x"), &[])
            .await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(site.get(&format!("/{token}")).await.text(), before.text());
    assert!(site.audit().iter().all(|(action, _)| action == "deposit"));
}

#[tokio::test]
async fn what_is_over_can_be_brought_back_where_the_admin_allows_it() {
    for (allowed, status) in [(true, 200), (false, 410)] {
        let drop = DropConfig {
            extend_expired: allowed,
            ..DropConfig::default()
        };
        let site = Fixture::over(limits(), web_config(), drop).await;
        let files = [("a.pdf", "b".into())];
        let token = deposit(&site.drop, &files, SignedDuration::from_secs(-5)).await;
        let gone = site.get(&format!("/{token}?lang=en")).await;
        assert_eq!(gone.text().contains("Bring back until"), allowed);
        let reply = site.post(&format!("/{token}/extend"), "").await;
        let after = site.get(location(&reply, &site)).await;
        assert_eq!(after.status, status);
    }
}

#[tokio::test]
async fn nobody_extends_what_is_not_there() {
    let site = Fixture::new().await;
    let unknown = "b".repeat(25) + "a";
    let first = site.post(&format!("/{unknown}/extend"), "").await;
    assert_eq!(first.status, 404);
    for token in ["short", "%ff", "..%2f"] {
        for form in ["extend", "report"] {
            let reply = site
                .post(&format!("/{token}/{form}"), "reason=other&text=x")
                .await;
            assert_eq!((reply.status, reply.text()), (404, first.text()), "{token}");
        }
    }
}

#[tokio::test]
async fn another_site_cannot_send_our_forms() {
    let site = Fixture::new().await;
    let token = extendable(&site).await;
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    for field in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
    ] {
        for form in ["extend", "report"] {
            let path = format!("/{token}/{form}");
            let reply = site
                .ask_with("POST", &path, &[kind, field], "reason=other&text=x")
                .await;
            assert_eq!(reply.status, 403, "{field:?}");
        }
    }
    let own = [kind, ("Origin", "https://drop.example.org")];
    let path = format!("/{token}/extend");
    assert_eq!(site.ask_with("POST", &path, &own, "").await.status, 303);
}

#[tokio::test]
async fn only_small_urlencoded_forms_are_read() {
    let site = Fixture::new().await;
    let path = site.path("/report");
    let send = async |kind, body: &str| {
        let fields = [("Content-Type", kind)];
        site.ask_with("POST", &path, &fields, body).await.status
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let filled = |len: usize| format!("text={}", "x".repeat(len - 5));
    // Without a reason the form is incomplete, but it was read.
    assert_eq!(send(FORM, &filled(16 * 1024)).await, 422);
    assert_eq!(
        send("Application/X-WWW-Form-UrlEncoded; charset=utf-8", "a").await,
        422
    );
    assert_eq!(send(FORM, &filled(16 * 1024 + 1)).await, 413);
    assert_eq!(send(FORM, &filled(900_000)).await, 413);
    for kind in [
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/json",
        "",
    ] {
        assert_eq!(send(kind, "reason=other&text=x").await, 415, "{kind}");
    }
    assert_eq!(site.audit().len(), 1);
}

#[tokio::test]
async fn a_form_that_never_ends_is_given_up() {
    let config = WebConfig {
        timeout: Duration::from_millis(200),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let path = site.path("/report");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\nreason="
    );
    let mut stream = site.send(&request).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Reply::parse(&answer).status, 408);
}

#[tokio::test]
async fn a_report_reaches_the_log_and_the_command_without_the_link() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("report");
    let config = WebConfig {
        report_command: vec![
            "/bin/sh".into(),
            "-c".into(),
            format!("cat > '{}'", file.display()),
        ],
        report_format: crate::config::ReportFormat::Json,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let path = site.path("/report");
    let page = site.get(&format!("{path}?lang=en")).await;
    assert!(
        page.text()
            .contains("You report to Association &lt;Exemple&gt; files")
    );
    let body = "reason=fraud&text=Fausse+facture%0D%0Apas+de+moi&contact=me%40example.org";
    let reply = site.post(&path, body).await;
    let place = location(&reply, &site).to_owned();
    let thanks = site.get(&place).await;
    let reference = place.split_once("done=").unwrap().1;
    assert!(thanks.status == 200 && thanks.text().contains(reference));
    let said = std::fs::read_to_string(&file).unwrap();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["reference"], reference);
    assert_eq!(report["text"], "Fausse facture\npas de moi");
    assert_eq!(report["queue_id"], "4abCDe12");
    assert!(!said.contains(&site.token) && !place.split('?').nth(1).unwrap().contains(&site.token));
    let audit = site.audit();
    let (action, detail) = audit.last().unwrap();
    assert_eq!(action, "report");
    assert!(
        detail.contains("fraud: Fausse facture") && !detail.contains(&site.token),
        "{detail}"
    );
    site.post(&path, "reason=other&text=x&share=yes").await;
    let said = std::fs::read_to_string(&file).unwrap();
    assert!(said.contains(&format!("https://drop.example.org/{}", site.token)));
}

#[tokio::test]
async fn a_report_of_nothing_is_asked_for_again_with_what_was_written() {
    let site = Fixture::new().await;
    for body in [
        "reason=privacy&text=++&contact=%3Cb%3E%40x",
        "reason=nonsense&text=%3Cb%3E",
        "",
    ] {
        let reply = site.post(&site.path("/report?lang=en"), body).await;
        assert_eq!(reply.status, 422, "{body}");
        assert!(reply.text().contains("role=\"alert\"") && !reply.text().contains("<b>"));
    }
    let reply = site
        .post(&site.path("/report"), "reason=privacy&contact=me%40x.org")
        .await;
    assert!(
        reply.text().contains("value=\"privacy\" checked") && reply.text().contains("me@x.org")
    );
    assert_eq!(site.audit().len(), 1);
}

#[tokio::test]
async fn what_is_gone_can_be_reported_too() {
    let site = Fixture::new().await;
    let files = [("a.pdf", "b".into())];
    let token = deposit(&site.drop, &files, SignedDuration::from_secs(-5)).await;
    assert_eq!(site.get(&format!("/{token}/report")).await.status, 200);
    let reply = site
        .post(&format!("/{token}/report"), "reason=illegal&text=x")
        .await;
    assert_eq!(reply.status, 303);
    assert_eq!(site.audit().last().unwrap().0, "report");
}

#[tokio::test]
async fn below_a_path_all_is_served_whether_a_proxy_takes_it_away_or_not() {
    let config = WebConfig {
        public_url: "https://example.org/my/files/".parse().unwrap(),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    for base in ["", "/my/files"] {
        for path in [
            "/",
            "/about",
            "/style.css",
            "/robots.txt",
            "/.well-known/security.txt",
        ] {
            let reply = site.get(&format!("{base}{path}")).await;
            assert_eq!(reply.status, 200, "{base}{path}");
        }
        let package = format!("{base}{}", site.path(""));
        let page = site.get(&package).await;
        assert!(
            page.status == 200 && page.text().contains("\"/my/files/"),
            "{}",
            page.text()
        );
        for path in ["/1", "/all.zip", ".json", "/report", "/extend"] {
            let status = site.get(&format!("{package}{path}")).await.status;
            assert!(
                [200, 303].contains(&status),
                "{package}{path} answers {status}"
            );
        }
        let part = [("Range", "bytes=0-9")];
        let reply = site.ask("GET", &format!("{package}/1"), &part).await;
        assert_eq!(reply.status, 206);
        let reply = site
            .post(&format!("{package}/report"), "reason=other&text=x")
            .await;
        let place = reply.field("location");
        assert!(
            reply.status == 303 && place.starts_with("/my/files/"),
            "{place}"
        );
        assert_eq!(site.get(place).await.status, 200);
        assert_eq!(site.post(&format!("{package}/1"), "").await.status, 405);
        assert_eq!(site.get(&format!("{base}/e/nothing")).await.status, 404);
    }
    assert_eq!(site.get("/my/files").await.status, 200);
}

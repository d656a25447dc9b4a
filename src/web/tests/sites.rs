//! Several sites on one listener, and what they keep together.

use super::*;
use crate::{config::PublicUrl, untrusted::Untrusted, web::report::Complaint};

fn state(site: &Fixture, public_url: &str, operator: &str) -> WebState {
    let config = WebConfig {
        public_url: public_url.parse::<PublicUrl>().unwrap(),
        operator: operator.to_owned(),
        ..web_config()
    };
    WebState {
        drop: site.drop.clone(),
        theme: Theme::load(&config).unwrap(),
        config,
        mail: MailConfig::default(),
        zone: TimeZone::UTC,
        language: Language::Fr,
        metrics: site.metrics.clone(),
    }
}

#[tokio::test]
async fn a_site_is_found_by_its_host_and_port_however_they_are_written() {
    let site = Fixture::new().await;
    let names = [
        ("https://drop.a.example:443/", "Amis A"),
        ("https://DROP.b.example/", "Amis B"),
        ("https://drop.c.example:8443/", "Amis C"),
    ];
    let others = names.map(|(url, operator)| state(&site, url, operator));
    let usual = state(&site, "https://drop.example/", "Usual");
    let usage = Usage::new(&usual.config);
    let routes = routers(usual, others.into(), &usage);

    for (host, operator) in [
        ("drop.a.example", "Amis A"),
        ("drop.a.example:443", "Amis A"),
        ("drop.a.example:80", "Amis A"),
        ("Drop.A.example", "Amis A"),
        ("drop.b.example", "Amis B"),
        ("drop.c.example:8443", "Amis C"),
        ("drop.c.example", "Usual"),
        ("drop.example:443", "Usual"),
        ("drop.a.example/x@y", "Usual"),
        ("", "Usual"),
    ] {
        let request = Request::get("/about").header(header::HOST, host);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let service = TowerToHyperService::new(routes.clone());
        let page = service.call(request).await.unwrap().into_body();
        let page = axum::body::to_bytes(page, 1 << 20).await.unwrap();
        let page = String::from_utf8_lossy(&page);
        assert!(page.contains(operator), "{host}: {page}");
    }
}

/// A reload makes the sites anew.
#[tokio::test]
async fn reports_that_wait_take_their_places_after_a_reload_too() {
    let fixture = Fixture::new().await;
    let file = fixture.home.path().join("report");
    let script = format!("cat > '{}'", file.display());
    let mut state = state(&fixture, "https://drop.example/", "");
    state.config.report_command = ["/bin/sh", "-c", &script].map(str::to_owned).into();
    let usage = Usage::new(&state.config);

    let before = Site::new(state.clone(), &usage.0);
    let wait = || {
        before
            .reporter
            .commands()
            .spawn(std::future::pending::<()>())
    };
    while wait().is_some() {}

    let after = Site::new(state.clone(), &usage.0);
    after.reporter.hand_on(complaint()).await;
    assert!(!file.exists(), "it is in the audit log alone");
    let other = Site::new(state.clone(), &Usage::new(&state.config).0);
    other.reporter.hand_on(complaint()).await;
    assert!(file.exists());
}

fn complaint() -> Complaint {
    let none = || Untrusted(String::new());
    Complaint {
        reference: "00".repeat(16),
        queue_id: none(),
        sender: none(),
        deposited: Timestamp::UNIX_EPOCH,
        reported: Timestamp::UNIX_EPOCH,
        reason: "spam",
        text: none(),
        contact: none(),
        link: None,
    }
}

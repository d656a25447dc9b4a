//! The content of pages and of the manifest.

use super::*;

#[tokio::test]
async fn landing_page_says_what_from_whom_and_until_when() {
    let site = Fixture::new().await;
    let english = site
        .ask(
            "GET",
            &site.path(""),
            &[("Accept-Language", "en-GB, fr;q=0.5")],
        )
        .await;
    assert_eq!(english.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(english.field("vary"), "accept-language");
    for part in [
        "<html lang=\"en\">",
        "3 files sent by asso.example",
        "in a message of",
        "30 days left",
        "Compte rendu de l’assemblée.pdf",
        "200\u{a0}kB",
        "Association &lt;Exemple&gt;",
        "(Paris time)",
        "abuse@example.org",
    ] {
        assert!(english.text().contains(part), "{part}\n{}", english.text());
    }
    assert!(!english.text().contains("alice"));
    assert!(!english.text().contains("<script") && !english.text().contains("style="));
    let french = site.get(&site.path("?lang=fr")).await;
    assert!(french.text().contains("3 fichiers envoyés par"));
}

#[tokio::test]
async fn two_files_of_one_name_are_told_apart_wherever_they_are_named() {
    let site = Fixture::new().await;
    let files = [("scan.pdf", "x".into()), ("scan.pdf", "y".into())];
    let token = deposit(&site.drop, &files, SignedDuration::from_hours(1)).await;
    let page = site.get(&format!("/{token}")).await;
    let manifest = site.get(&format!("/{token}.json")).await;
    for name in ["scan.pdf", "scan (2).pdf"] {
        assert!(
            page.text().contains(&format!(">{name}</bdi>")),
            "{}",
            page.text()
        );
        assert!(
            manifest.text().contains(&format!("\"{name}\"")),
            "{}",
            manifest.text()
        );
    }
    let second = site.get(&format!("/{token}/2")).await;
    let disposition = second.field("content-disposition");
    assert!(disposition.contains("scan (2).pdf"), "{disposition}");
}

/// The path of a package of `count` files of one byte each.
async fn many(site: &Fixture, count: usize) -> String {
    let names: Vec<_> = (1..=count).map(|n| format!("file-{n}.pdf")).collect();
    let files: Vec<_> = names.iter().map(|name| (&**name, "x".into())).collect();
    let token = deposit(&site.drop, &files, SignedDuration::from_hours(1)).await;
    format!("/{token}")
}

#[tokio::test]
async fn a_page_shows_a_hundred_files_and_leads_to_the_others() {
    let site = Fixture::new().await;
    let path = many(&site, 201).await;
    for (query, shown, absent, said, next) in [
        ("?lang=en", 1..=100, 101, "Files 1 to 100 of 201", Some(2)),
        (
            "?lang=en&page=2",
            101..=200,
            100,
            "Files 101 to 200 of 201",
            Some(3),
        ),
        (
            "?lang=en&page=3",
            201..=201,
            200,
            "Files 201 to 201 of 201",
            None,
        ),
        (
            "?lang=fr&page=9",
            201..=201,
            200,
            "Fichiers 201 à 201 sur 201",
            None,
        ),
    ] {
        let page = site.get(&format!("{path}{query}")).await;
        assert_eq!(page.status, 200);
        for number in shown {
            let link = format!("href=\"{path}/{number}\"");
            assert!(page.text().contains(&link), "{query} {number}");
        }
        assert!(!page.text().contains(&format!("href=\"{path}/{absent}\"")));
        assert!(page.text().contains(said), "{query}");
        let following = page.text().contains("rel=\"next\"");
        assert_eq!(following, next.is_some(), "{query}");
        if let Some(next) = next {
            let link = format!("href=\"?lang=en&amp;page={next}\" rel=\"next\"");
            assert!(page.text().contains(&link), "{query}");
        }
        assert!(page.body.len() < 200_000, "{}", page.body.len());
    }
    let page = site.get(&path).await;
    assert!(page.text().contains("href=\"?page=2\""));
    assert!(page.text().contains("201 fichiers"));
    let few = site.get(&site.path("")).await;
    assert!(!few.text().contains("page=2"));
}

#[tokio::test]
async fn the_manifest_has_all_files_whatever_their_number() {
    let site = Fixture::new().await;
    for count in [100, 101, 201] {
        let path = many(&site, count).await;
        let reply = site.get(&format!("{path}.json")).await;
        assert_eq!(reply.field("content-length"), reply.body.len().to_string());
        let manifest: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        let files = manifest["files"].as_array().unwrap();
        assert_eq!(files.len(), count);
        assert_eq!(files[count - 1]["name"], format!("file-{count}.pdf"));
        let url = files[count - 1]["url"].as_str().unwrap();
        assert!(url.ends_with(&format!("/{count}")), "{url}");
    }
}

#[tokio::test]
async fn a_template_of_before_has_all_files_on_one_page() {
    let home = TempDir::new().unwrap();
    let own = "{% for file in page.files %}<a href=\"{{ file.href }}\">x</a>{% endfor %}";
    std::fs::write(home.path().join("landing.html"), own).unwrap();
    let config = WebConfig {
        templates: Some(home.path().to_owned()),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let path = many(&site, 101).await;
    for query in ["", "?page=2"] {
        let page = site.get(&format!("{path}{query}")).await;
        assert_eq!(page.text().matches("<a href=").count(), 101);
    }
}

#[tokio::test]
async fn names_cannot_become_markup() {
    let site = Fixture::new().await;
    let name = "\"><script>alert('1')</script>&amp;\u{202e}fdp.exe";
    let token = deposit(
        &site.drop,
        &[(name, "x".into())],
        SignedDuration::from_hours(1),
    )
    .await;
    let page = site.get(&format!("/{token}")).await;
    assert!(!page.text().contains("<script") && !page.text().contains('\u{202e}'));
    assert!(page.text().contains("&amp;amp;"));
    assert!(page.text().contains(&format!("href=\"/{token}/1\"")));
}

#[tokio::test]
async fn manifest_names_what_the_links_serve() {
    let site = Fixture::new().await;
    let reply = site.get(&site.path(".json")).await;
    assert_eq!(reply.field("content-type"), "application/json");
    let manifest: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert!(
        manifest["expires"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .is_ok()
    );
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), 3);
    for file in files {
        let url = file["url"].as_str().unwrap();
        let path = url.strip_prefix("https://drop.example.org").unwrap();
        let body = site.get(path).await.body;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
        assert_eq!(
            file["sha256"],
            data_encoding::HEXLOWER.encode(hash.as_ref())
        );
        assert_eq!(file["size"], body.len());
    }
}

#[tokio::test]
async fn what_was_read_out_of_a_file_has_a_list_of_its_own() {
    let site = Fixture::new().await;
    let mut package = site.drop.package(origin());
    let mut durable = Vec::new();
    for name in ["winmail.dat", "a.pdf", "in.txt", "too.txt"] {
        let mut file = package.file(name, "text/plain").unwrap();
        file.write(name.into()).await.unwrap();
        let mut file = file.finish().await.unwrap();
        if name.ends_with(".txt") {
            file.mark_opened();
        }
        durable.push(file);
    }
    let now = Timestamp::now();
    let expires = now + SignedDuration::from_hours(1);
    let token = package.commit(durable, now, expires).await.unwrap();

    let reply = site.get(&format!("/{token}.json")).await;
    assert_eq!(reply.field("content-length"), reply.body.len().to_string());
    let manifest: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let names = |list: &str| {
        let files = manifest[list].as_array().unwrap().iter();
        let names = files.map(|file| file["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("files"), ["winmail.dat", "a.pdf"]);
    assert_eq!(names("opened"), ["in.txt", "too.txt"]);
    assert_eq!(site.get(&format!("/{token}/4")).await.body, b"too.txt");
    let page = site.get(&format!("/{token}")).await;
    assert!(page.text().contains("in.txt"));
}

#[tokio::test]
async fn expired_package_says_what_it_was() {
    let site = Fixture::new().await;
    let files = [("secret.pdf", "b".into())];
    let gone = deposit(&site.drop, &files, SignedDuration::from_secs(-5)).await;
    let reply = site.get(&format!("/{gone}?lang=en")).await;
    assert_eq!(reply.status, 410);
    assert!(reply.text().contains("asso.example") && reply.text().contains("could be downloaded"));
    assert!(!reply.text().contains("secret"));
}

#[tokio::test]
async fn pages_under_a_path_link_below_it_and_plain_http_sends_no_hsts() {
    let config = WebConfig {
        public_url: "http://example.org/drop/".parse().unwrap(),
        operator: String::new(),
        contact: String::new(),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let page = site.get(&site.path("")).await;
    assert_eq!(page.field("strict-transport-security"), "");
    assert!(page.text().contains("href=\"/drop/style.css?v="));
    assert!(
        page.text()
            .contains(&format!("href=\"/drop/{}/1\"", site.token))
    );
    assert!(page.text().contains("– example.org</title>"));
    assert_eq!(site.get("/.well-known/security.txt").await.status, 404);
}

#[tokio::test]
async fn the_sender_is_shown_as_the_admin_wants() {
    use crate::config::ShowSender::{Address, Domain, None};
    for (mode, present, absent) in [
        (Address, "1 file sent by alice@asso.example", "somebody@"),
        (Domain, "1 file sent by asso.example", "alice"),
        (None, "1 attached file", "asso.example"),
    ] {
        let verified = Some("alice@asso.example");
        assert_shown(mode, Direction::Outgoing, verified, present, absent).await;
    }
}

#[tokio::test]
async fn a_sender_of_whom_nothing_is_certain_is_not_named() {
    use crate::config::ShowSender::{Address, Domain, None};
    use Direction::{Incoming, Outgoing};
    for direction in [Outgoing, Incoming] {
        for mode in [Address, Domain] {
            let unknown = "sender not verified";
            assert_shown(mode, direction, Option::None, unknown, "asso.example").await;
        }
        assert_shown(None, direction, Option::None, "in a message of", "verified").await;
    }
    let genuine = Some("shop.example");
    let present = "from an address at shop.example";
    assert_shown(Domain, Incoming, genuine, present, "asso.example").await;
}

/// Checks everything that names a sender: `present` must be there, `absent` must not.
async fn assert_shown(
    mode: crate::config::ShowSender,
    direction: Direction,
    verified: Option<&str>,
    present: &str,
    absent: &str,
) {
    let config = WebConfig {
        show_sender: mode,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let origin = || Origin {
        direction,
        verified: verified.map(str::to_owned),
        ..origin()
    };
    let files = [("a.pdf", "b".into())];
    let hour = SignedDuration::from_hours(1);
    let live = deposit_of(&site.drop, origin(), &files, hour).await;
    let gone = deposit_of(&site.drop, origin(), &files, -hour).await;
    let page = site.get(&format!("/{live}?lang=en")).await;
    assert!(page.text().contains(present), "{present}\n{}", page.text());
    for path in ["", "/report"] {
        for token in [&live, &gone] {
            let page = site.get(&format!("/{token}{path}?lang=en")).await;
            assert!(!page.text().contains(absent), "{absent}\n{}", page.text());
        }
    }
    let zip = site.ask("HEAD", &site.path("/all.zip"), &[]).await;
    let is_named = zip.field("content-disposition").contains("asso.example");
    assert_eq!(is_named, mode != crate::config::ShowSender::None);
}

#[tokio::test]
async fn a_language_that_was_chosen_stays_chosen() {
    let site = Fixture::new().await;
    let english = site.get(&site.path("?lang=en")).await;
    let path = site.path("");
    for part in [
        "href=\"?lang=fr\" hreflang=\"fr\" lang=\"fr\">Français",
        "href=\"/about?lang=en\"",
        &format!("href=\"{path}/report?lang=en\""),
    ] {
        assert!(english.text().contains(part), "{part}");
    }
    let preferred = site.ask("GET", &path, &[("Accept-Language", "en")]).await;
    assert!(preferred.text().contains("href=\"/about\""));
}

#[tokio::test]
async fn about_and_home_name_the_operator_and_the_legal_notice() {
    let config = WebConfig {
        legal: "Éditeur <b>\n\nHébergeur".to_owned(),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let about = site.get("/about?lang=en").await;
    for part in [
        "Association &lt;Exemple&gt;",
        "https://drop.example.org/ followed by 26",
        "X-Depollueur",
        "<h2 id=\"legal\">Legal notice</h2>\n<p>Éditeur &lt;b&gt;</p>\n<p>Hébergeur</p>",
        "href=\"/about?lang=en#legal\"",
        "mailto:abuse@example.org",
    ] {
        assert!(about.text().contains(part), "{part}\n{}", about.text());
    }
    assert_eq!(site.get("/").await.status, 200);
    let elsewhere = WebConfig {
        legal: "https://example.org/legal".to_owned(),
        ..web_config()
    };
    let site = Fixture::with(limits(), elsewhere).await;
    let home = site.get("/?lang=fr").await;
    assert!(
        home.text()
            .contains("<a href=\"https://example.org/legal\">Mentions légales</a>")
    );
}

#[tokio::test]
async fn security_txt_names_the_contact_and_its_own_end() {
    let site = Fixture::new().await;
    let reply = site.get("/.well-known/security.txt").await;
    let field = |name: &str| {
        let line = reply
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().to_owned()
    };
    assert_eq!(field("Contact: "), "mailto:abuse@example.org");
    assert_eq!(
        field("Canonical: "),
        "https://drop.example.org/.well-known/security.txt"
    );
    let expires: Timestamp = field("Expires: ").parse().unwrap();
    let left = expires.duration_since(Timestamp::now());
    assert!(
        left > SignedDuration::from_hours(24 * 30) && left < SignedDuration::from_hours(24 * 365)
    );
}

#[tokio::test]
async fn logo_and_templates_of_the_admin_are_served() {
    let home = TempDir::new().unwrap();
    let logo = home.path().join("logo.svg");
    std::fs::write(&logo, "<svg xmlns='http://www.w3.org/2000/svg'/>").unwrap();
    let templates = home.path().join("templates");
    std::fs::create_dir(&templates).unwrap();
    let own = "{% extends 'layout.html' %}{% block main %}OURS {% for f in page.files %}[{{ f.name }}]{% endfor %}{% endblock %}";
    std::fs::write(templates.join("landing.html"), own).unwrap();
    let config = WebConfig {
        logo: Some(logo),
        templates: Some(templates),
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let image = site.get("/logo").await;
    assert_eq!(image.field("content-type"), "image/svg+xml");
    assert!(
        image
            .field("content-security-policy")
            .starts_with("sandbox; default-src 'none'")
    );
    let name = "<script>&.pdf";
    let token = deposit(
        &site.drop,
        &[(name, "x".into())],
        SignedDuration::from_hours(1),
    )
    .await;
    let page = site.get(&format!("/{token}")).await;
    assert!(
        page.text().contains("OURS [&lt;script&gt;&amp;.pdf]"),
        "{}",
        page.text()
    );
    assert!(page.text().contains("<img class=\"logo\" src=\"/logo?v="));
}

#[tokio::test]
async fn programs_are_named_as_such() {
    let site = Fixture::new().await;
    let files = [("facture.pdf.exe", "x".into())];
    let token = deposit(&site.drop, &files, SignedDuration::from_hours(1)).await;
    let page = site.get(&format!("/{token}?lang=en")).await;
    assert!(page.text().contains("This is a program"));
    let page = site.get(&site.path("?lang=en")).await;
    assert!(!page.text().contains("This is a program"));
}

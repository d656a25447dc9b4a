//! Guessing and flooding: the limits on one address's misses, and on its simultaneous requests.

use super::*;

const MISS: &str = "/bbbbbbbbbbbbbbbbbbbbbbbbba";

fn by(address: &str) -> [(&str, &str); 1] {
    [("X-Forwarded-For", address)]
}

fn strict() -> WebConfig {
    WebConfig {
        misses_per_minute: 3,
        posts_per_minute: 2,
        ..web_config()
    }
}

#[tokio::test]
async fn who_guesses_too_often_waits_whatever_the_guess() {
    let site = Fixture::with(limits(), strict()).await;
    let guesser = by("198.51.100.7");
    for path in [MISS, "/short", "/index.php"] {
        assert_eq!(site.ask("GET", path, &guesser).await.status, 404);
    }
    for path in [
        MISS,
        "/short",
        "/index.php",
        &site.path(""),
        &site.path("/1"),
    ] {
        let reply = site.ask("GET", path, &guesser).await;
        assert_eq!(reply.status, 429, "{path}");
        let wait: u64 = reply.field("retry-after").parse().unwrap();
        assert!((1..=21).contains(&wait), "{wait}");
        assert!(reply.text().contains("<main"));
    }
    for path in ["/", "/about", "/style.css"] {
        assert_eq!(site.ask("GET", path, &guesser).await.status, 200, "{path}");
    }
    let other = site.ask("GET", &site.path(""), &by("198.51.100.8")).await;
    assert_eq!(other.status, 200);
}

/// A reload makes the routes anew.
#[tokio::test]
async fn what_a_network_has_used_up_outlives_a_reload() {
    let site = Fixture::new().await;
    let state = |config: WebConfig| WebState {
        drop: site.drop.clone(),
        theme: Theme::load(&config).unwrap(),
        config,
        mail: MailConfig::default(),
        zone: TimeZone::UTC,
        language: Language::Fr,
        metrics: site.metrics.clone(),
    };
    let one_at_once = || WebConfig {
        max_connections_per_address: 1,
        ..strict()
    };
    let usage = Usage::new(&one_at_once());
    let routes = |config| routers(state(config), Vec::new(), &usage);
    let ask = async |routes: &Router, path: &str, address: &str| {
        let request = Request::get(path).header("x-forwarded-for", address);
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        let proxy = crate::http::client::Peer::Address(IpAddr::from([127, 0, 0, 1]));
        request.extensions_mut().insert(proxy);
        TowerToHyperService::new(routes.clone())
            .call(request)
            .await
            .unwrap()
    };

    let before = routes(one_at_once());
    for _ in 0..3 {
        assert_eq!(ask(&before, MISS, "198.51.100.7").await.status(), 404);
    }
    let page = ask(&before, &site.path(""), "198.51.100.8").await;
    assert_eq!(page.status(), 200);

    let after = routes(one_at_once());
    assert_eq!(ask(&after, MISS, "198.51.100.7").await.status(), 429);
    let second = ask(&after, &site.path(""), "198.51.100.8").await;
    assert_eq!(second.status(), 429, "its page is still being sent");
    drop(page);
    let second = ask(&after, &site.path(""), "198.51.100.8").await;
    assert_eq!(second.status(), 200);

    let more = routes(WebConfig {
        misses_per_minute: 6,
        ..one_at_once()
    });
    let wait = ask(&more, MISS, "198.51.100.7").await;
    let wait = wait.headers()["retry-after"].to_str().unwrap();
    assert!(wait.parse::<u64>().unwrap() <= 10, "{wait}");
}

#[tokio::test]
async fn a_link_that_works_is_never_counted() {
    let site = Fixture::with(limits(), strict()).await;
    for _ in 0..9 {
        assert_eq!(site.get(&site.path("")).await.status, 200);
    }
}

#[tokio::test]
async fn an_ipv6_network_is_one_guesser() {
    let site = Fixture::with(limits(), strict()).await;
    for host in 1..=3 {
        let address = format!("2001:db8:1:2::{host}");
        assert_eq!(site.ask("GET", MISS, &by(&address)).await.status, 404);
    }
    let ask = async |address| site.ask("GET", MISS, &by(address)).await.status;
    assert_eq!(ask("2001:db8:1:2:ffff::9").await, 429);
    assert_eq!(ask("2001:db8:1:3::1").await, 404);
}

#[tokio::test]
async fn a_page_of_another_site_locks_nobody_out_and_learns_nothing() {
    let site = Fixture::with(limits(), strict()).await;
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        let mut all = by("198.51.100.7").to_vec();
        all.extend_from_slice(fields);
        site.ask("GET", path, &all).await.status
    };
    let cross = ("Sec-Fetch-Site", "cross-site");
    for dest in ["image", "iframe", "script", "style"] {
        for _ in 0..5 {
            assert_eq!(ask(MISS, &[cross, ("Sec-Fetch-Dest", dest)]).await, 404);
        }
        let live = ask(&site.path("/1"), &[cross, ("Sec-Fetch-Dest", dest)]).await;
        assert_eq!(live, 404, "it is looked up");
    }
    // A client that follows a link from another site is a reader, and pays for its misses.
    let reader = [cross, ("Sec-Fetch-Dest", "document")];
    assert_eq!(ask(&site.path(""), &reader).await, 200);
    for _ in 0..3 {
        assert_eq!(ask(MISS, &reader).await, 404);
    }
    assert_eq!(ask(MISS, &reader).await, 429);
    let own = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Dest", "empty"),
    ];
    assert_eq!(ask(MISS, &own).await, 429);
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_choose_an_address() {
    let config = WebConfig {
        trusted_proxies: Vec::new(),
        ..strict()
    };
    let site = Fixture::with(limits(), config).await;
    for host in 1..=3 {
        let address = format!("198.51.100.{host}");
        assert_eq!(site.ask("GET", MISS, &by(&address)).await.status, 404);
    }
    assert_eq!(site.ask("GET", MISS, &by("198.51.100.4")).await.status, 429);
}

#[tokio::test]
async fn forms_are_limited_too() {
    let site = Fixture::with(limits(), strict()).await;
    let path = site.path("/report");
    let body = "reason=other&text=x";
    assert_eq!(site.post(&path, body).await.status, 303);
    assert_eq!(site.post(&path, body).await.status, 303);
    let third = site.post(&path, body).await;
    assert_eq!(third.status, 429);
    assert!(!third.field("retry-after").is_empty());
    assert_eq!(site.get(&path).await.status, 200);
}

#[tokio::test]
async fn an_address_has_its_share_of_the_connections() {
    let limits = ServerLimits {
        max_connections_per_address: 2,
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let first = TcpStream::connect(site.address).await.unwrap();
    let _second = TcpStream::connect(site.address).await.unwrap();
    let mut third = TcpStream::connect(site.address).await.unwrap();
    let mut answer = Vec::new();
    // Closed at once, or reset: never served.
    let _ = third.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
    drop(first);
    let request = "GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    // Repeated until the server has seen that the first is gone.
    while answer.is_empty() {
        let mut stream = site.send(request).await;
        let _ = stream.read_to_end(&mut answer).await;
    }
    assert_eq!(Reply::parse(&answer).status, 200);
}

#[tokio::test]
async fn a_trusted_proxy_may_have_all_connections_but_each_client_only_its_share() {
    let limits = ServerLimits {
        max_connections_per_address: 1,
        trusted_proxies: web_config().trusted_proxies,
        ..limits()
    };
    let config = WebConfig {
        max_connections_per_address: 2,
        ..web_config()
    };
    let site = Fixture::with(limits, config).await;
    let token = large(&site.drop).await;
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n")
    };
    let mut running = Vec::new();
    for _ in 0..2 {
        let mut stream = site.send(&request(&format!("/{token}/1"))).await;
        stream.read_exact(&mut [0; 1024]).await.unwrap();
        running.push(stream);
    }
    let path = format!("/{token}");
    let third = site.ask("GET", &path, &by("198.51.100.7")).await;
    assert_eq!((third.status, third.field("retry-after")), (429, "10"));
    assert_eq!(
        site.ask("GET", &path, &by("198.51.100.8")).await.status,
        200
    );
    drop(running);
    while site.ask("GET", &path, &by("198.51.100.7")).await.status != 200 {}
}

#[tokio::test]
async fn a_page_that_is_read_slowly_keeps_its_clients_place() {
    let config = WebConfig {
        max_connections_per_address: 2,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let names: Vec<String> = (100..200)
        .map(|n| "n".repeat(190) + &n.to_string())
        .collect();
    let files: Vec<_> = names.iter().map(|name| (&**name, Bytes::new())).collect();
    let token = deposit(&site.drop, &files, SignedDuration::from_hours(1)).await;
    for path in [format!("/{token}"), format!("/{token}.json")] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n");
        let mut reading = Vec::new();
        for _ in 0..2 {
            let mut stream = narrow(site.address).await;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_exact(&mut [0; 64]).await.unwrap();
            reading.push(stream);
        }
        // Time for the connection to take all of both answers.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let third = site.ask("GET", &path, &by("198.51.100.7")).await;
        assert_eq!(
            (third.status, third.field("retry-after")),
            (429, "10"),
            "{path}"
        );
        drop(reading);
        let again =
            async { while site.ask("GET", &path, &by("198.51.100.7")).await.status != 200 {} };
        tokio::time::timeout(PATIENCE, again)
            .await
            .expect("a place comes free");
    }
}

/// Longest time for a step that is expected to succeed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that takes little before it is read.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

#[tokio::test]
async fn a_script_of_another_site_locks_out_its_kind_and_no_reader() {
    let site = Fixture::with(limits(), strict()).await;
    let ask = async |path: &str, fields: &[(&str, &str)]| {
        let mut all = by("198.51.100.7").to_vec();
        all.extend_from_slice(fields);
        site.ask("GET", path, &all).await.status
    };
    for mode in ["cors", "no-cors"] {
        let script = [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", mode),
            ("Sec-Fetch-Dest", "empty"),
        ];
        for _ in 0..3 {
            ask(MISS, &script).await;
        }
        assert_eq!(ask(MISS, &script).await, 429, "{mode}");
    }
    assert_eq!(ask(&site.path(""), &[]).await, 200);
    assert_eq!(ask(MISS, &[]).await, 404);
}

#[tokio::test]
async fn an_answer_for_which_no_memory_is_left_is_put_off() {
    let config = WebConfig {
        answer_memory: 200_000,
        ..web_config()
    };
    let site = Fixture::with(limits(), config).await;
    let token = large(&site.drop).await;
    let path = format!("/{token}/1");
    let mut running = site
        .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    running.read_exact(&mut [0; 1024]).await.unwrap();
    let second = site.get(&path).await;
    assert_eq!((second.status, second.field("retry-after")), (503, "10"));
    assert!(second.text().contains("<main"));
    assert_eq!(site.get(&format!("/{token}")).await.status, 200);
    drop(running);
    // Repeated until the server has seen that the reader is gone.
    while site.ask("HEAD", &path, &[]).await.status != 200 {}
    while site
        .ask("GET", &path, &[("Range", "bytes=0-9")])
        .await
        .status
        != 206
    {}
}

#[tokio::test]
async fn the_slowest_reader_is_cut_when_no_memory_is_left() {
    let limits = ServerLimits {
        patience: Duration::from_millis(1),
        min_rate: 1_000_000_000,
        ..limits()
    };
    let config = WebConfig {
        answer_memory: 200_000,
        ..web_config()
    };
    let site = Fixture::with(limits, config).await;
    let token = large(&site.drop).await;
    let path = format!("/{token}/1");
    let mut held = site
        .send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    held.read_exact(&mut [0; 1024]).await.unwrap();
    let range = [("Range", "bytes=0-9")];
    let retried = async { while site.ask("GET", &path, &range).await.status != 206 {} };
    let patience = Duration::from_secs(9);
    tokio::time::timeout(patience, retried)
        .await
        .expect("a slow reader holds it for ever");
}

#[tokio::test]
async fn pages_stay_open_while_downloads_have_all_that_they_may_have() {
    let site = Fixture::new().await;
    let token = large(&site.drop).await;
    let mut running = Vec::new();
    // Seven of eight connections.
    for _ in 0..7 {
        let mut stream = site
            .send(&format!("GET /{token}/1 HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        stream.read_exact(&mut [0; 1024]).await.unwrap();
        running.push(stream);
    }
    let eighth = site.get(&format!("/{token}/1")).await;
    assert_eq!((eighth.status, eighth.field("retry-after")), (503, "10"));
    assert_eq!(site.get(&format!("/{token}")).await.status, 200);
    running.pop();
    // Repeated until the server has seen that the reader is gone.
    let path = format!("/{token}/1");
    let again = async { while site.ask("HEAD", &path, &[]).await.status != 200 {} };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("a place comes free");
}

#[tokio::test]
async fn what_is_no_token_is_looked_up_like_one() {
    let site = Fixture::new().await;
    let path = site.home.path().join("drop/drop.sqlite3");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch("ALTER TABLE package RENAME TO lost")
        .unwrap();
    for path in [
        MISS,
        "/short",
        "/short.json",
        "/%ff",
        "/short/1",
        "/short/all.zip",
        "/short/report",
    ] {
        assert_eq!(site.get(path).await.status, 503, "{path}");
    }
    assert_eq!(site.post("/short/extend", "").await.status, 503);
}

#[test]
fn readers_have_threads_of_their_own_and_a_bound_on_them() {
    use std::sync::{Condvar, Mutex};
    let readers = runtime().unwrap();
    let running = Arc::new((Mutex::new((0, 0)), Condvar::new()));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let running = Arc::clone(&running);
            readers.spawn_blocking(move || {
                let (counts, changed) = &*running;
                let mut counts = counts.lock().unwrap();
                counts.0 += 1;
                counts.1 = counts.1.max(counts.0);
                // Time for all threads to meet here before any goes on.
                let pause = Duration::from_millis(50);
                counts = changed.wait_timeout(counts, pause).unwrap().0;
                counts.0 -= 1;
            })
        })
        .collect();
    readers.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let (_, most) = *running.0.lock().unwrap();
    assert_eq!(most, 16);
}

//! Slow, greedy and many clients; the end of the server.

use super::*;

#[tokio::test]
async fn a_request_has_one_host() {
    let site = Fixture::new().await;
    for (line, hosts, expected) in [
        ("HTTP/1.1", "Host: x\r\n", "200"),
        ("HTTP/1.1", "", "400"),
        ("HTTP/1.1", "Host: x\r\nHost: x\r\n", "400"),
        ("HTTP/1.1", "Host: x\r\nHOST: evil.example\r\n", "400"),
        ("HTTP/1.0", "", "200"),
        ("HTTP/1.0", "Host: x\r\nHost: y\r\n", "400"),
    ] {
        let request = format!("GET /robots.txt {line}\r\n{hosts}Connection: close\r\n\r\n");
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1);
        assert_eq!(status, Some(expected), "{request}");
    }
}

#[tokio::test]
async fn header_that_never_ends_closes_the_connection() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    for start in ["", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = site.send(start).await;
        let mut answer = Vec::new();
        // The end of the stream, or a reset: either way the slot is free again.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
}

#[tokio::test]
async fn kept_connection_is_closed_when_nothing_follows() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let mut stream = site
        .send("GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(Reply::parse(&answer).status, 200);
}

#[tokio::test]
async fn reader_who_reads_nothing_is_cut() {
    let limits = ServerLimits {
        timeout: Duration::from_millis(200),
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let token = large(&site.drop).await;
    let mut stream = site
        .send(&format!("GET /{token}/1 HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    while !site
        .metrics
        .encode()
        .contains("depollueur_downloads_aborted_total 1\n")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.len() < 32 << 20);
}

#[tokio::test]
async fn too_long_a_header_is_answered_with_431() {
    let site = Fixture::new().await;
    let long = "x".repeat(17 * 1024);
    let reply = site.ask("GET", "/", &[("X-Long", &long)]).await;
    assert_eq!(
        reply.status,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16()
    );
}

#[tokio::test]
async fn clients_past_the_limit_wait_for_a_slot() {
    let limits = ServerLimits {
        max_connections: 1,
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let first = TcpStream::connect(site.address).await.unwrap();
    let second = site.get("/robots.txt");
    tokio::pin!(second);
    tokio::select! {
        biased;
        _ = &mut second => panic!("was served beside the first"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    drop(first);
    assert_eq!(second.await.status, 200);
}

#[tokio::test]
async fn shutdown_lets_a_download_end_and_takes_no_new_one() {
    let site = Fixture::new().await;
    let token = large(&site.drop).await;
    let mut stream = site
        .send(&format!("GET /{token}/1 HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    let mut start = [0; 1024];
    stream.read_exact(&mut start).await.unwrap();
    site.stop.send(()).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let mut answer = start.to_vec();
    answer.append(&mut rest);
    assert_eq!(Reply::parse(&answer).body.len(), 32 << 20);
    site.server.await.unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
}

#[tokio::test]
async fn shutdown_cuts_what_runs_past_the_drain_time() {
    let limits = ServerLimits {
        drain: Duration::ZERO,
        ..limits()
    };
    let site = Fixture::with(limits, web_config()).await;
    let mut stream = site
        .send("GET /robots.txt HTTP/1.1\r\nHost: x\r\nX-Half: ")
        .await;
    site.stop.send(()).unwrap();
    site.server.await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}

#[tokio::test]
async fn no_connection_is_kept_while_more_than_half_are_in_use() {
    let site = Fixture::new().await;
    let ask = "HEAD /about HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut kept = Vec::new();
    // Four of eight connections.
    for _ in 0..4 {
        let mut stream = site.send(ask).await;
        assert!(
            !answer(&mut stream)
                .await
                .contains("\r\nconnection: close\r\n")
        );
        kept.push(stream);
    }
    let mut fifth = site.send(ask).await;
    assert!(
        answer(&mut fifth)
            .await
            .contains("\r\nconnection: close\r\n")
    );
    let end = tokio::time::timeout(Duration::from_secs(9), fifth.read(&mut [0])).await;
    assert_eq!(end.expect("it is closed").unwrap(), 0);
}

/// The header of an answer without a body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap()
}

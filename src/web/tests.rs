//! The public listener as a client sees it: the real router, a real drop, real sockets.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use bytes::Bytes;
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

mod admin;
mod connections;
mod download;
mod forms;
mod headers;
mod landing;
mod limits;
mod sealed;
mod sites;

use super::*;
use crate::{
    config::{DropConfig, WebConfig},
    envelope::Direction,
    http::server::{ServerLimits, serve},
};

const PDF: &str = "Compte rendu de l’assemblée.pdf";

/// A running server over a drop of one live package.
struct Fixture {
    home: TempDir,
    drop: FileDrop,
    metrics: Metrics,
    address: SocketAddr,
    token: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// An answer, its fields in lower case.
struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

fn limits() -> ServerLimits {
    ServerLimits {
        max_connections: 8,
        max_connections_per_address: 8,
        trusted_proxies: Vec::new(),
        min_rate: 0,
        timeout: Duration::from_secs(20),
        header_bytes_max: 16 * 1024,
        patience: Duration::from_secs(20),
        drain: Duration::from_secs(20),
    }
}

fn web_config() -> WebConfig {
    WebConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_url: "https://drop.example.org/".parse().unwrap(),
        operator: "Association <Exemple>".to_owned(),
        contact: "abuse@example.org".to_owned(),
        timeout: Duration::from_secs(20),
        ..WebConfig::default()
    }
}

/// Contents longer than a segment of the drop, without an obvious pattern.
fn pdf() -> Bytes {
    (0..200_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect()
}

pub(super) async fn deposit(
    drop: &FileDrop,
    files: &[(&str, Bytes)],
    expires: SignedDuration,
) -> String {
    deposit_of(drop, origin(), files, expires).await
}

/// Deposits a file that no socket buffer holds; returns its token.
async fn large(drop: &FileDrop) -> String {
    let contents = Bytes::from(vec![7; 32 << 20]);
    deposit(drop, &[("large", contents)], SignedDuration::from_hours(1)).await
}

fn origin() -> Origin {
    Origin {
        queue_id: "4abCDe12".to_owned(),
        sender: "alice@asso.example".to_owned(),
        verified: Some("asso.example".to_owned()),
        login: Some("alice".to_owned()),
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 2,
        domains: crate::envelope::Domains::default(),
    }
}

async fn deposit_of(
    drop: &FileDrop,
    origin: Origin,
    files: &[(&str, Bytes)],
    expires: SignedDuration,
) -> String {
    let mut package = drop.package(origin);
    let mut durable = Vec::new();
    for (name, contents) in files {
        let mut file = package.file(name, "text/html,image/svg+XML").unwrap();
        file.write(contents.clone()).await.unwrap();
        durable.push(file.finish().await.unwrap());
    }
    let created = Timestamp::now() - SignedDuration::from_hours(1);
    let token = package
        .commit(durable, created, Timestamp::now() + expires)
        .await
        .unwrap();
    token.to_string()
}

impl Fixture {
    async fn new() -> Self {
        Self::with(limits(), web_config()).await
    }

    async fn with(limits: ServerLimits, config: WebConfig) -> Self {
        Self::over(limits, config, DropConfig::default()).await
    }

    async fn over(limits: ServerLimits, config: WebConfig, drop: DropConfig) -> Self {
        let home = TempDir::new().unwrap();
        let drop = FileDrop::open(&DropConfig {
            directory: home.path().join("drop"),
            ..drop
        })
        .unwrap();
        let files = [
            (PDF, pdf()),
            ("empty.txt", Bytes::new()),
            ("a\r\nb.jpg", "12345".into()),
        ];
        let token = deposit(&drop, &files, SignedDuration::from_hours(24 * 30)).await;
        let metrics = Metrics::new();
        let router = router(WebState {
            drop: drop.clone(),
            theme: Theme::load(&config).unwrap(),
            config,
            mail: MailConfig::default(),
            zone: TimeZone::get("Europe/Paris").unwrap(),
            language: Language::Fr,
            metrics: metrics.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        Self {
            home,
            drop,
            metrics,
            address,
            token,
            stop,
            server,
        }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.ask_with(method, path, fields, "").await
    }

    /// Sends a form as browsers do.
    async fn post(&self, path: &str, body: &str) -> Reply {
        let fields = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Origin", "null"),
        ];
        self.ask_with("POST", path, &fields, body).await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in fields {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.send(&(request + "\r\n" + body)).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Reply::parse(&answer)
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }

    async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    fn path(&self, rest: &str) -> String {
        format!("/{}{rest}", self.token)
    }

    /// The number of downloads of each file, as the database counts them.
    fn downloads(&self) -> Vec<i64> {
        let path = self.home.path().join("drop/drop.sqlite3");
        let database = rusqlite::Connection::open(path).unwrap();
        let mut query = database
            .prepare("SELECT downloads FROM file ORDER BY position")
            .unwrap();
        query
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    /// The entries of the audit log: action and detail, oldest first.
    fn audit(&self) -> Vec<(String, String)> {
        let path = self.home.path().join("drop/drop.sqlite3");
        let database = rusqlite::Connection::open(path).unwrap();
        let mut query = database
            .prepare("SELECT action, coalesce(detail, '') FROM audit ORDER BY rowid")
            .unwrap();
        query
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn blobs(&self) -> Vec<std::path::PathBuf> {
        let shards = std::fs::read_dir(self.home.path().join("drop/blobs")).unwrap();
        let mut blobs: Vec<_> = shards
            .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
            .map(|blob| blob.unwrap().path())
            .collect();
        blobs.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
        blobs
    }
}

impl Reply {
    fn parse(answer: &[u8]) -> Self {
        let end = answer
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a whole header");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            status,
            fields: lines.map(field).collect(),
            body: answer[end + 4..].to_vec(),
        }
    }

    fn field(&self, name: &str) -> &str {
        let mut found = self.fields.iter().filter(|(known, _)| known == name);
        let value = found.next().map_or("", |(_, value)| value);
        assert!(found.next().is_none(), "{name} stands twice");
        value
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

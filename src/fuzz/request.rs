//! A request to the public listener, whatever its path and header: it is answered, never with an
//! error of ours and never with a byte to which its path gives no right, and a range is the slice
//! that it says.

use std::{ops::Range, sync::LazyLock};

use axum::{
    body::{Body, to_bytes},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    },
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use mailsplice::l10n::Language;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{byte, choice, drop_in, home, line};
use crate::{
    config::{MailConfig, WebConfig},
    drop::FileDrop,
    envelope::{Direction, Origin},
    metrics::Metrics,
    web::{Theme, WebState, router},
};

/// Stands for the token in an input.
const TOKEN: &str = "TOKEN";

/// Two files: more than a segment of the drop, and none at all.
static CONTENTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let bytes = (0..70_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    b"a secret of the sender"
        .iter()
        .copied()
        .chain(bytes)
        .collect()
});

/// A drop with one package, and the pages over it.
struct Site {
    runtime: Runtime,
    service: TowerToHyperService<axum::Router>,
    token: String,
    _home: TempDir,
}

thread_local! {
    static SITE: Site = Site::new();
}

/// Checks an input: a byte for the method, a line for the path, then a line for each field.
pub fn request(mut input: &[u8]) {
    let method = choice(
        &[
            Method::GET,
            Method::HEAD,
            Method::GET,
            Method::POST,
            Method::OPTIONS,
        ]
        .each_ref(),
        byte(&mut input),
    );
    let path = String::from_utf8_lossy(line(&mut input)).into_owned();

    SITE.with(|site| {
        let knows = path.contains(TOKEN);
        let Ok(uri) = path.replace(TOKEN, &site.token).parse::<Uri>() else {
            return;
        };

        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = fields(input);

        site.runtime.block_on(async {
            let answer = site.service.call(request).await;
            check(method, knows, answer.expect("a router answers")).await;
        });
    });
}

fn fields(mut input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    while !input.is_empty() && headers.len() < 20 {
        let line = line(&mut input);
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

async fn check(method: &Method, knows: bool, answer: Response<Body>) {
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("whole");
    assert!(!head.status.is_server_error(), "{}", head.status);
    assert_eq!(head.headers["x-content-type-options"], "nosniff");
    assert!(head.headers.contains_key(header::CONTENT_SECURITY_POLICY));
    assert!(!head.headers.contains_key(header::SET_COOKIE));
    if method == Method::HEAD {
        assert!(body.is_empty());
        return;
    }

    let file = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/octet-stream");

    let secret = &CONTENTS[..22];
    if file || memchr::memmem::find(&body, secret).is_some() {
        assert!(knows, "nobody gets a file without its link");
    }
    if file {
        check_file(head.status, &head.headers, &body);
    }
}

fn check_file(status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let length = text(headers, header::CONTENT_LENGTH);
    assert_eq!(length, body.len().to_string());
    assert!(text(headers, header::CONTENT_DISPOSITION).starts_with("attachment; "));
    let etag = text(headers, header::ETAG);
    let is_archive = text(headers, header::CONTENT_DISPOSITION).contains(".zip\"");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 66);

    match status {
        StatusCode::OK if is_archive => assert!(body.starts_with(b"PK\x03\x04")),
        StatusCode::OK => assert!(body.is_empty() || body == *CONTENTS),
        StatusCode::PARTIAL_CONTENT => {
            let (range, len) = content_range(text(headers, header::CONTENT_RANGE));
            assert!(range.start < range.end && range.end <= len);
            assert_eq!(range.end - range.start, body.len());
            if !is_archive {
                assert_eq!(len, CONTENTS.len());
                assert!(body == &CONTENTS[range]);
            }
        }
        other => panic!("a file with the status {other}"),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers[name].to_str().expect("ASCII")
}

/// Reads `bytes 0-9/100`.
fn content_range(value: &str) -> (Range<usize>, usize) {
    let numbers: Vec<usize> = value
        .strip_prefix("bytes ")
        .expect("in bytes")
        .split(['-', '/'])
        .map(|number| number.parse().expect("a number"))
        .collect();
    let [first, last, len] = numbers[..] else {
        panic!("{value}")
    };
    (first..last + 1, len)
}

impl Site {
    fn new() -> Self {
        let home = home();
        let (drop, runtime) = drop_in(&home);
        let token = runtime.block_on(deposit(&drop));

        let config = WebConfig {
            contact: "abuse@example.org".to_owned(),
            ..WebConfig::default()
        };

        let service = TowerToHyperService::new(router(WebState {
            drop,
            theme: Theme::load(&config).expect("our own templates"),
            config,
            mail: MailConfig::default(),
            zone: TimeZone::UTC,
            language: Language::En,
            metrics: Metrics::new(),
        }));

        Self {
            runtime,
            service,
            token,
            _home: home,
        }
    }
}

async fn deposit(drop: &FileDrop) -> String {
    let mut package = drop.package(Origin {
        queue_id: "4abCDe12".to_owned(),
        sender: "alice@asso.example".to_owned(),
        verified: None,
        login: None,
        client: None,
        uploader: None,
        message_id: None,
        direction: Direction::Outgoing,
        recipients: 1,
        domains: crate::envelope::Domains::default(),
    });

    let mut files = Vec::new();
    for (name, contents) in [("a.pdf", CONTENTS.clone()), ("empty", Vec::new())] {
        let mut file = package.file(name, "text/html").expect("a draft");
        file.write(contents.into()).await.expect("a write");
        files.push(file.finish().await.expect("a file"));
    }

    let now = Timestamp::now();
    let expires = now + SignedDuration::from_hours(24 * 365);
    let token = package.commit(files, now, expires).await;
    token.expect("a package").to_string()
}

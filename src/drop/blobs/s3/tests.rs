//! Faults of a service, by one that answers as a script says: the write fails with its true cause, what was
//! read is right or not given out, and nothing waits for ever.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::*;

/// The answer to a request.
enum Reply {
    /// Status, header fields beside those of the body, body.
    Full(u16, String, Vec<u8>),
    /// A body of which only the beginning comes.
    Cut(u16, String, Vec<u8>),
    /// Nothing, on an open connection.
    Silence,
}

/// A service that answers what a script says.
struct Script {
    store: S3,
    /// Method and target of each request.
    asked: Arc<Mutex<Vec<String>>>,
    _home: TempDir,
}

const ID: RecordId = RecordId([0xab; 16]);

impl Script {
    fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });

        let home = TempDir::new().unwrap();
        let secret = home.path().join("secret");
        fs::write(&secret, "hush").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let config = S3Config {
            endpoint: format!("http://{address}/").parse().ok(),
            bucket: "drop".into(),
            access_key_id: "id".into(),
            secret_key_file: Some(secret),
            timeout: Duration::from_secs(1),
            ..S3Config::default()
        };
        let directory = Directory::open(&home.path().join("drop")).unwrap();
        let store = S3::open(&config, directory, "ours".into()).unwrap();
        store.claim.is_ours.store(true, Relaxed);
        Self {
            store,
            asked,
            _home: home,
        }
    }

    /// A service that refuses everything.
    fn refusing(status: u16, code: &'static str) -> Self {
        Self::new(move |_| refusal(status, code))
    }

    fn put(&self, bytes: &[u8]) -> Result<()> {
        let mut draft = self.store.draft(ID, 0)?;
        bytes
            .chunks(64 << 10)
            .try_for_each(|chunk| draft.write(chunk))?;
        draft.finish()?.place()
    }

    fn read(&self, length: u64) -> std::result::Result<Vec<u8>, String> {
        let blob = self.store.open(ID, 0, length, 0..length);
        let blob = blob.map_err(|e| e.to_string())?;
        let mut bytes = vec![0; length as usize];
        blob.read_exact_at(&mut bytes, 0)
            .map_err(|e| e.to_string())?;
        Ok(bytes)
    }

    fn asked(&self, method: &str) -> usize {
        let asked = lock(&self.asked);
        asked
            .iter()
            .filter(|asked| asked.starts_with(method))
            .count()
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((request, length)) = head(&mut reader) {
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        lock(log).push(request.clone());
        let (status, fields, body, sent) = match answer(&request) {
            Reply::Full(status, fields, body) => (status, fields, body.clone(), body.len()),
            Reply::Cut(status, fields, body) => (status, fields, body.clone(), body.len() / 2),
            Reply::Silence => {
                let _ = reader.read(&mut [0]);
                return;
            }
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{fields}\r\n");
        let body: &[u8] = if request.starts_with("HEAD") {
            &[]
        } else {
            &body[..sent]
        };
        let written = writer
            .write_all(head.as_bytes())
            .and_then(|()| writer.write_all(body));
        if written.is_err() || sent < length {
            return;
        }
    }
}

/// Reads the head of a request: method, target and wanted range in one line, and the length of its body.
fn head(reader: &mut impl std::io::BufRead) -> Option<(String, usize)> {
    let mut lines = reader.by_ref().lines().map_while(std::io::Result::ok);
    let mut request = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let line = line.to_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            request = format!("{request} {range}");
        }
    }
    Some((request, length))
}

fn refusal(status: u16, code: &str) -> Reply {
    let date = "Date: Mon, 30 Nov 2020 12:00:00 GMT\r\n".to_owned();
    let body = format!("<Error><Code>{code}</Code><Message>so it is</Message></Error>");
    Reply::Full(status, date, body.into())
}

/// The answer to a request for the bytes `range` of an object of `total`.
fn part(range: &str, total: usize, body: Vec<u8>) -> (u16, String, Vec<u8>) {
    let fields = format!(
        "Content-Range: bytes {range}/{total}\r\nETag: \"e\"\r\nLast-Modified: Mon, 30 Nov 2020 12:00:00 GMT\r\n"
    );
    (206, fields, body)
}

#[test]
fn a_refused_deposit_fails_with_its_cause() {
    for (status, code, says) in [
        (
            403,
            "RequestTimeTooSkewed",
            "the clocks of this host and of the service are",
        ),
        (
            403,
            "SignatureDoesNotMatch",
            "the secret in s3.secret_key_file is not the one",
        ),
        (
            403,
            "InvalidAccessKeyId",
            "does not know the key of s3.access_key_id",
        ),
        (403, "AccessDenied", "may not do that in this bucket"),
        (
            404,
            "NoSuchBucket",
            "no bucket of this name: make it, or correct s3.bucket",
        ),
        (507, "InsufficientStorage", "no room left"),
    ] {
        let service = Script::refusing(status, code);
        let error = service.put(b"bytes").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(says) && text.contains("s3://drop/ab/"),
            "{text}"
        );
        assert!(!text.contains("hush"), "{text}");
        assert_eq!(error.is_full(), status == 507, "{text}");
        assert_eq!(error.is_denied(), status == 403, "{text}");
        assert_eq!(service.asked("PUT"), 1, "{code} is not tried again");
        // What the service may have of it all the same is taken back.
        assert_eq!(service.asked("DELETE"), 1, "{code}");
    }
}

#[test]
fn a_service_with_too_much_to_do_is_asked_again_and_not_for_ever() {
    let service = Script::refusing(503, "SlowDown");
    let error = service.put(b"bytes").unwrap_err().to_string();
    assert!(
        error.contains("too much to do (SlowDown: so it is)"),
        "{error}"
    );
    assert!((2..=4).contains(&service.asked("PUT")));

    let tries = Mutex::new(0);
    let service = Script::new(move |_| {
        *lock(&tries) += 1;
        match *lock(&tries) {
            1 => refusal(503, "SlowDown"),
            _ => Reply::Full(200, "ETag: \"e\"\r\n".into(), Vec::new()),
        }
    });
    service.put(b"bytes").unwrap();
    assert_eq!((service.asked("PUT"), service.asked("DELETE")), (2, 0));
}

#[test]
fn a_service_that_hangs_fails_the_deposit() {
    let service = Script::new(|_| Reply::Silence);
    let error = service.put(b"bytes").unwrap_err().to_string();
    assert!(
        error.contains("did nothing for 1 s (s3.timeout)"),
        "{error}"
    );
    let error = service.read(5).unwrap_err();
    assert!(error.contains("did nothing for 1 s"), "{error}");
}

#[test]
fn a_refused_part_aborts_the_upload() {
    let service = Script::new(|request| match request {
        _ if request.starts_with("POST") => {
            let body = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
            Reply::Full(200, String::new(), body.into())
        }
        _ if request.starts_with("DELETE") => Reply::Full(204, String::new(), Vec::new()),
        _ => refusal(403, "AccessDenied"),
    });
    let error = service.put(&vec![0; 11 << 20]).unwrap_err();
    assert!(error.is_denied(), "{error}");
    let asked = lock(&service.asked);
    assert!(
        asked
            .iter()
            .any(|asked| asked.starts_with("DELETE") && asked.contains("uploadId=u1"))
    );
}

#[test]
fn a_missing_object_is_damage_and_a_missing_bucket_is_not() {
    let service = Script::refusing(404, "NoSuchKey");
    let error = service.store.open(ID, 0, 5, 0..5).unwrap_err();
    assert!(matches!(error, DropError::Missing { .. }), "{error}");
    assert!(service.store.length(ID, 0).unwrap_err().is_missing());
    service.store.remove(ID, 0).unwrap();

    let service = Script::refusing(404, "NoSuchBucket");
    let error = service.store.open(ID, 0, 5, 0..5).unwrap_err();
    assert!(matches!(error, DropError::Io { .. }), "{error}");
    assert!(service.store.remove(ID, 0).is_err());
}

#[test]
fn a_service_that_lies_about_an_object_is_not_believed() {
    let longer = Script::new(|_| {
        let (status, fields, body) = part("0-4", 6, b"bytes".to_vec());
        Reply::Full(status, fields, body)
    });
    let error = longer.store.open(ID, 0, 5, 0..5).unwrap_err();
    assert!(
        error.to_string().ends_with("it has 6 bytes instead of 5"),
        "{error}"
    );

    let all = Script::new(|_| Reply::Full(200, "ETag: \"e\"\r\n".into(), b"bytes".to_vec()));
    let error = all.read(5).unwrap_err();
    assert!(error.contains("the answer makes no sense"), "{error}");

    let html = Script::new(|_| Reply::Full(502, String::new(), b"<html>Bad gateway".to_vec()));
    let error = html.read(5).unwrap_err();
    assert!(
        error.contains("the service refused (status 502)"),
        "{error}"
    );

    let more = Script::new(|_| {
        let (status, fields, body) = part("0-4", 5, b"bytes and more".to_vec());
        Reply::Full(status, fields, body)
    });
    let error = more.read(5).unwrap_err();
    assert!(error.contains("more than was asked for"), "{error}");
}

#[test]
fn a_body_that_is_cut_is_fetched_on_from_there_and_not_for_ever() {
    let bytes: Arc<Vec<u8>> = Arc::new((0..100_000_u32).map(|n| n as u8).collect());
    let (whole, first) = (Arc::clone(&bytes), Mutex::new(true));
    let service = Script::new(move |request| {
        let range = request.rsplit(' ').next().unwrap();
        let start: usize = range.split('-').next().unwrap().parse().unwrap();
        let (status, fields, body) = part(range, whole.len(), whole[start..].to_vec());
        // Without an ETag nobody but us goes on.
        let fields = fields.replace("ETag: \"e\"\r\n", "");
        match std::mem::take(&mut *lock(&first)) {
            true => Reply::Cut(status, fields, body),
            false => Reply::Full(status, fields, body),
        }
    });
    assert!(service.read(100_000).unwrap() == *bytes);

    let service = Script::new(|request| {
        let range = request.rsplit(' ').next().unwrap();
        if range != "0-99999" {
            return refusal(503, "SlowDown");
        }
        let (status, fields, body) = part(range, 100_000, vec![0; 100_000]);
        Reply::Cut(status, fields, body)
    });
    let error = service.read(100_000).unwrap_err();
    assert!(error.contains("too much to do"), "{error}");
}

#[test]
fn a_place_without_an_owner_is_taken_and_one_of_another_drop_is_left_alone() {
    let owner = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&owner);
    let service = Script::new(move |request| match request {
        _ if !request.contains("/drop/owner") => refusal(500, "InternalError"),
        _ if request.starts_with("PUT") => {
            *lock(&kept) = Some(b"ours".to_vec());
            Reply::Full(200, "ETag: \"e\"\r\n".into(), Vec::new())
        }
        _ => match &*lock(&kept) {
            Some(mark) => {
                let (status, fields, body) = part("0-3", mark.len(), mark.clone());
                Reply::Full(status, fields, body)
            }
            None => refusal(404, "NoSuchKey"),
        },
    });
    let claim = &service.store.claim;
    claim.check_again(&service.store.bucket).unwrap();
    claim.check(&service.store.bucket).unwrap();
    assert_eq!((service.asked("GET"), service.asked("PUT")), (2, 1));

    *lock(&owner) = Some(b"else".to_vec());
    let sweep = service.store.remove_drafts(Timestamp::now(), 10);
    for error in [sweep.unwrap_err(), service.put(b"bytes").unwrap_err()] {
        let error = error.to_string();
        assert!(error.contains("another s3.prefix"), "{error}");
    }
    assert_eq!((service.asked("GET"), service.asked("PUT")), (4, 1));
}

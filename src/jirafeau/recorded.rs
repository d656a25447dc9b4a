//! A server that answers as Jirafeau 4.3.0 and 4.5.0 did when they were measured, and that can be told to fail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{Html, IntoResponse as _, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::lock::lock;

/// Bytes that a POST may have beyond a file of the largest size.
const FORM_BYTES: usize = 4096;

/// A recorded Jirafeau, which ends when it is dropped.
pub(crate) struct Recorded {
    /// Its address, with a final slash.
    pub(crate) url: String,
    state: SharedState,
    server: JoinHandle<()>,
}

/// What a recorded Jirafeau is to do with requests whose query begins with a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Answers with this text.
    Says(&'static str),
    /// Answers with this status.
    Status(u16),
    /// Answers with a page.
    Page,
    /// Never answers.
    Hangs,
    /// Does what it is asked and never answers.
    HangsAfterwards,
}

#[derive(Debug)]
pub(crate) struct ServerSettings {
    pub(crate) version: &'static str,
    pub(crate) capacity: usize,
    /// Limit that it does not tell of, as a web server before it may have one.
    pub(crate) hidden_max: usize,
    pub(crate) megabytes_max: usize,
    pub(crate) password: Option<&'static str>,
    pub(crate) trouble: Option<(&'static str, Trouble)>,
}

/// A file that it keeps.
#[derive(Clone, Debug)]
pub(crate) struct KeptFile {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) time: String,
    pub(crate) contents: Vec<u8>,
    code: String,
}

#[derive(Debug)]
struct Everything {
    settings: ServerSettings,
    next: u32,
    files: HashMap<String, KeptFile>,
    transfers: HashMap<String, KeptFile>,
    /// The queries that were asked, in order.
    queries: Vec<String>,
}

type SharedState = Arc<Mutex<Everything>>;
type Fields = HashMap<String, (PartHead, Vec<u8>)>;

/// The head of a part that is a file: its name and its media type.
type PartHead = Option<(String, String)>;

impl Recorded {
    pub(crate) async fn start(change: impl FnOnce(&mut ServerSettings)) -> Self {
        let mut settings = ServerSettings {
            version: "4.5.0",
            capacity: 100_000,
            hidden_max: usize::MAX,
            megabytes_max: 0,
            password: None,
            trouble: None,
        };
        change(&mut settings);
        let state = Arc::new(Mutex::new(Everything {
            settings,
            next: 0,
            files: HashMap::new(),
            transfers: HashMap::new(),
            queries: Vec::new(),
        }));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, server }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut ServerSettings)) {
        change(&mut lock(&self.state).settings);
    }

    /// The number of files, and of transfers that were begun.
    pub(crate) fn stored(&self) -> usize {
        let state = lock(&self.state);
        state.files.len() + state.transfers.len()
    }

    /// The number of files.
    pub(crate) fn files(&self) -> usize {
        lock(&self.state).files.len()
    }

    /// The file of a page.
    pub(crate) fn file(&self, page: &str) -> Option<KeptFile> {
        let link = page.strip_prefix(&format!("{}f.php?h=", self.url))?;
        lock(&self.state).files.get(link).cloned()
    }

    /// The verbs of the queries that were asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let state = lock(&self.state);
        let verb = |query: &String| query.split('=').next().unwrap_or_default().to_owned();
        state.queries.iter().map(verb).collect()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(state): State<SharedState>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    let trouble = {
        let mut state = lock(&state);
        state.queries.push(query.clone());
        let trouble = state.settings.trouble;
        trouble
            .filter(|(word, _)| query.starts_with(word))
            .map(|(_, trouble)| trouble)
    };
    match trouble {
        Some(Trouble::Says(text)) => return text.into_response(),
        Some(Trouble::Page) => {
            return Html("<!DOCTYPE html><title>It works</title>").into_response();
        }
        Some(Trouble::Status(status)) => {
            let place = [(header::LOCATION, "/install.php")];
            return (StatusCode::from_u16(status).unwrap(), place).into_response();
        }
        Some(Trouble::Hangs) => return std::future::pending().await,
        Some(Trouble::HangsAfterwards) => {
            script(&mut lock(&state), &query, &headers, &body);
            return std::future::pending().await;
        }
        None => {}
    }
    if uri.path() != "/script.php" {
        return StatusCode::NOT_FOUND.into_response();
    }
    script(&mut lock(&state), &query, &headers, &body)
}

fn script(state: &mut Everything, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let settings = &state.settings;
    if body.len() > settings.hidden_max {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    // PHP drops all fields of a POST that is too large.
    let fields = match body.len() > settings.capacity + FORM_BYTES {
        true => Fields::new(),
        false => fields(headers, body),
    };
    if let Some(asked) = query.strip_prefix("h=") {
        return state.fetch(asked);
    }
    match query {
        "get_version" => settings.version.to_owned(),
        "get_capacity" => settings.capacity.to_string(),
        "get_maximal_upload_size" => settings.megabytes_max.to_string(),
        "init_async" => state.init(&fields),
        "push_async" => state.push(&fields),
        "end_async" => state.end(&fields),
        _ if fields.contains_key("file") => state.upload(&fields),
        _ => "Error 25".to_owned(),
    }
    .into_response()
}

impl Everything {
    /// A number in hexadecimal that was not given before.
    fn fresh(&mut self, digits: usize) -> String {
        self.next += 1;
        format!("{:0digits$x}", self.next)
    }

    fn refusal(&self, fields: &Fields, [none, wrong, time]: [&str; 3]) -> Option<String> {
        let given = text(fields, "upload_password");
        match self.settings.password {
            Some(_) if given.is_none() => return Some(none.to_owned()),
            Some(known) if given.as_deref() != Some(known) => return Some(wrong.to_owned()),
            _ => {}
        }
        let words = ["minute", "hour", "day", "week", "month"];
        let is_known = text(fields, "time").is_some_and(|time| words.contains(&&*time));
        (!is_known).then(|| time.to_owned())
    }

    fn upload(&mut self, fields: &Fields) -> String {
        let said = [
            "Error 2: No password nor allowed IP",
            "Error 3: Invalid password",
            "Error 4: The parameter time is invalid.",
        ];
        if let Some(refusal) = self.refusal(fields, said) {
            return refusal;
        }
        let (part, contents) = fields["file"].clone();
        let (name, media_type) = part.unwrap();
        if contents.len() > self.settings.capacity {
            return "Error 6 FIX ME".to_owned();
        }
        let time = text(fields, "time").unwrap();
        let code = String::new();
        self.keep(KeptFile {
            name,
            media_type,
            time,
            contents,
            code,
        })
    }

    fn keep(&mut self, file: KeptFile) -> String {
        let max = self.settings.megabytes_max * 1024 * 1024;
        if max > 0 && file.contents.len() > max {
            return "Error 5: Your file exceeds the maximum authorized file size.".to_owned();
        }
        let (link, code) = (self.fresh(8), self.fresh(5));
        let answer = format!("{link}\n{code}\n");
        self.files.insert(link, KeptFile { code, ..file });
        answer
    }

    fn init(&mut self, fields: &Fields) -> String {
        let said = [
            "Error 19: No password nor allowed IP",
            "Error 20: Invalid password",
            "Error 22",
        ];
        if let Some(refusal) = self.refusal(fields, said) {
            return refusal;
        }
        let (reference, code) = (self.fresh(32), self.fresh(4));
        let file = KeptFile {
            name: text(fields, "filename").unwrap(),
            media_type: text(fields, "type").unwrap(),
            time: text(fields, "time").unwrap(),
            contents: Vec::new(),
            code: code.clone(),
        };
        self.transfers.insert(reference.clone(), file);
        format!("{reference}\n{code}")
    }

    fn push(&mut self, fields: &Fields) -> String {
        let (Some(reference), Some(code), Some((_, data))) = (
            text(fields, "ref"),
            text(fields, "code"),
            fields.get("data"),
        ) else {
            return "Error 23".to_owned();
        };
        let next = self.fresh(4);
        let (capacity, megabytes) = (self.settings.capacity, self.settings.megabytes_max);
        let Some(file) = self.transfers.get_mut(&reference) else {
            return "Error".to_owned();
        };
        if file.code != code || data.len() > capacity {
            return "Error".to_owned();
        }
        file.contents.extend_from_slice(data);
        file.code.clone_from(&next);
        if megabytes > 0 && file.contents.len() > megabytes * 1024 * 1024 {
            self.transfers.remove(&reference);
            return "Error: file size is above upload limit".to_owned();
        }
        next
    }

    fn end(&mut self, fields: &Fields) -> String {
        let (Some(reference), Some(code)) = (text(fields, "ref"), text(fields, "code")) else {
            return "Error 24".to_owned();
        };
        match self.transfers.remove(&reference) {
            Some(file) if file.code == code => self.keep(file),
            _ => "Error".to_owned(),
        }
    }

    /// Removes a file if the code is right; else gives it out.
    fn fetch(&mut self, asked: &str) -> Response {
        let (link, code) = asked.split_once("&d=").unwrap_or((asked, ""));
        let Some(file) = self.files.get(link) else {
            return "Error 8".into_response();
        };
        if file.code == code {
            self.files.remove(link);
            return "Ok".into_response();
        }
        let name = [(header::CONTENT_DISPOSITION, "attachment; filename=\"Ok\"")];
        (name, file.contents.clone()).into_response()
    }
}

fn text(fields: &Fields, name: &str) -> Option<String> {
    let (_, value) = fields.get(name)?;
    String::from_utf8(value.clone()).ok()
}

fn fields(headers: &HeaderMap, body: &[u8]) -> Fields {
    let mut fields = Fields::new();
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return fields;
    };
    let boundary = kind.to_str().unwrap().split_once("boundary=").unwrap().1;
    let delimiter = format!("\r\n--{boundary}");
    let body = [b"\r\n", body].concat();
    let places: Vec<_> = memchr::memmem::find_iter(&body, &delimiter).collect();
    for pair in places.windows(2) {
        let part = &body[pair[0] + delimiter.len() + 2..pair[1]];
        let end = memchr::memmem::find(part, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&part[..end]).unwrap();
        let between = |before: &str, after: &str| {
            let rest = head.split_once(before)?.1;
            Some(
                rest.split_once(after)
                    .map_or(rest, |(value, _)| value)
                    .to_owned(),
            )
        };
        let file = between("filename=\"", "\"")
            .map(|name| (name, between("Content-Type: ", "\r\n").unwrap()));
        let name = between(" name=\"", "\"").unwrap();
        fields.insert(name, (file, part[end + 4..].to_vec()));
    }
    fields
}

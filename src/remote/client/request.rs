//! Requests to the drop of another host, and the meaning of its answers.

use std::{path::Path, time::Duration};

use reqwest::{
    Body, Client, Method, RequestBuilder, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use serde::de::DeserializeOwned;
use tokio::{task::JoinError, time::timeout};
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{RemoteError, Result};
use crate::{
    config::{PublicUrl, RemoteConfig},
    credentials,
    drop::{Allotment, Token},
    outbound,
    remote::wire::{BLOCKED, ProblemBody, SUSPENDED, TOKEN_HEADER},
    scan::ScanFinding,
};

/// Maximum length of an answer of a drop, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Number of characters kept of the drop's own words.
const DETAIL_CHARS_MAX: usize = 300;

/// The HTTP client for one drop.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    /// The address of the drop, with a final slash.
    pub(super) url: String,
    authorization: HeaderValue,
    /// Longest time for which the drop may accept no byte or give no answer.
    pub(super) patience: Duration,
    /// The tasks that run in the background.
    pub(super) tasks: TaskTracker,
}

/// A request that is being made.
pub(super) struct Request(RequestBuilder);

impl Http {
    pub(super) fn open(config: &RemoteConfig) -> Result<Self> {
        let token_file = config.token_file.as_deref().unwrap_or(Path::new(""));
        let url = config.url.as_ref().map_or("", PublicUrl::as_str);
        let is_secure = config.url.as_ref().is_some_and(PublicUrl::is_secure);

        let ca_file = config.ca_file.as_deref();
        let client = outbound::client(is_secure, config.connect_timeout, ca_file)?;
        let client = client.build().map_err(|error| {
            let error = RemoteError::transport(url, error);
            RemoteError::Tls(error.to_string())
        })?;

        Ok(Self {
            client,
            url: url.to_owned(),
            authorization: authorization(token_file)?,
            patience: config.timeout,
            tasks: TaskTracker::new(),
        })
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Request {
        let url = format!("{}{path}", self.url);
        let request = self.client.request(method, url);
        Request(request.header(AUTHORIZATION, self.authorization.clone()))
    }

    pub(super) async fn probe(&self) -> Result<()> {
        self.acknowledge(self.request(Method::GET, "v1/ready"))
            .await
    }

    /// Sends a request and reads the answer, without a time limit.
    pub(super) async fn answer<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let response = self.send(request).await?;
        let text = self.read(response).await?;
        serde_json::from_slice(&text).map_err(|error| self.senseless(error))
    }

    /// Sends a request and reads the answer within `patience`.
    pub(super) async fn answer_soon<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let answered = timeout(self.patience, self.answer(request)).await;
        answered.unwrap_or_else(|_| Err(self.stalled()))
    }

    /// Sends a request of whose answer only the status matters.
    pub(super) async fn acknowledge(&self, request: Request) -> Result<()> {
        let answered = timeout(self.patience, self.send(request)).await;
        answered
            .unwrap_or_else(|_| Err(self.stalled()))
            .map(|_response| ())
    }

    pub(super) fn senseless(&self, reason: impl ToString) -> RemoteError {
        RemoteError::Answer {
            url: self.url.clone(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn stalled(&self) -> RemoteError {
        RemoteError::Stalled {
            url: self.url.clone(),
            patience: self.patience,
        }
    }

    /// The error for a request that ended although its body was unfinished.
    pub(super) fn too_early<T>(&self, ended: Result<Result<T>, JoinError>) -> RemoteError {
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(_)) => self.senseless("it was content before it had all"),
            Err(_) => self.senseless("a task died"),
        }
    }

    /// Sends a request; an answer without a status of success is an error.
    async fn send(&self, request: Request) -> Result<Response> {
        let response = request.0.send().await.map_err(|e| self.transport(e))?;
        if response.status().is_success() {
            return Ok(response);
        }

        let status = response.status();
        let problem = self.read(response).await.unwrap_or_default();
        let problem = serde_json::from_slice::<ProblemBody>(&problem).ok();
        let url = self.url.clone();
        match problem.as_ref().map(|said| said.code.as_str()) {
            Some(BLOCKED) => return Err(RemoteError::Blocked { url }),
            Some(SUSPENDED) => return Err(RemoteError::Suspended { url }),
            _ => {}
        }

        let allotment = problem.as_ref().and_then(|said| Allotment::of(&said.code));
        if let Some(allotment) = allotment {
            let detail = detail(status, problem);
            return Err(RemoteError::Allotment {
                url,
                allotment,
                detail,
            });
        }
        let finding = problem
            .as_ref()
            .and_then(|said| ScanFinding::of(&said.code));
        if let Some(finding) = finding {
            let detail = detail(status, problem);
            return Err(RemoteError::Scan {
                url,
                finding,
                detail,
            });
        }

        Err(RemoteError::Refused {
            url,
            status: status.as_u16(),
            detail: detail(status, problem),
        })
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|e| self.transport(e))? {
            if text.len() + bytes.len() > ANSWER_BYTES_MAX {
                return Err(self.senseless("it is too long"));
            }
            text.extend_from_slice(&bytes);
        }
        Ok(text)
    }

    fn transport(&self, error: reqwest::Error) -> RemoteError {
        RemoteError::transport(&self.url, error)
    }
}

impl Request {
    /// Names the package by its token.
    pub(super) fn token(self, token: &Token) -> Self {
        let mut value =
            HeaderValue::from_str(&token.to_string()).expect("base32 may stand in a header");
        value.set_sensitive(true);
        Self(self.0.header(TOKEN_HEADER, value))
    }

    pub(super) fn body(self, media_type: &'static str, body: Body) -> Self {
        Self(self.0.header(CONTENT_TYPE, media_type).body(body))
    }
}

/// The drop's own words, or else the meaning of the status, in one line.
fn detail(status: StatusCode, problem: Option<ProblemBody>) -> String {
    let reason = || status.canonical_reason().unwrap_or_default().to_owned();
    let text = problem.map_or_else(reason, |problem| problem.detail);
    text.chars()
        .filter(|c| !c.is_control())
        .take(DETAIL_CHARS_MAX)
        .collect()
}

/// The token in a file, as the value of the `Authorization` header.
fn authorization(path: &Path) -> Result<HeaderValue> {
    let token = credentials::secret(path, "token")?;
    let text = Zeroizing::new(format!("Bearer {}", *token));
    let mut value = HeaderValue::from_str(&text).expect("printable ASCII may stand in a header");
    value.set_sensitive(true);
    Ok(value)
}

//! The HTTP client under all requests: answers without success become errors that say what S3 said.

use futures_util::{StreamExt as _, future::BoxFuture};
use jiff::Timestamp;
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
};
use reqwest::Client;
use serde::Deserialize;

/// Maximum length of an error's text that is read, in bytes.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// Statuses after which the same request may succeed in a moment.
const PASSING: [u16; 6] = [408, 429, 500, 502, 503, 504];

/// The client, which object storage is given in place of one of its own.
#[derive(Clone, Debug)]
pub(super) struct Service(pub(super) Client);

/// An answer without success.
#[derive(Debug, Default, thiserror::Error)]
#[error("{status} {code} {message}")]
pub(super) struct ServiceRefusal {
    pub(super) status: u16,
    /// The code of S3, such as `NoSuchBucket`; empty if the answer is none of S3.
    pub(super) code: String,
    pub(super) message: String,
    /// The service's clock, where it said it.
    pub(super) date: Option<Timestamp>,
}

/// The body of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ErrorBody {
    code: String,
    message: String,
}

impl HttpConnector for Service {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Service {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let response = self.0.call(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let refusal = ServiceRefusal::read(response).await;
            let passes = PASSING.contains(&refusal.status);
            // The names of these kinds are the transport's; what matters is whether they are tried again.
            let kind = if passes {
                HttpErrorKind::Request
            } else {
                HttpErrorKind::Decode
            };
            Err(HttpError::new(kind, refusal))
        })
    }
}

impl ServiceRefusal {
    async fn read(response: HttpResponse) -> Self {
        let (status, date) = (response.status().as_u16(), date(&response));
        let text = body(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        let said: ErrorBody = quick_xml::de::from_reader(&*text).unwrap_or_default();
        Self {
            status,
            code: said.code,
            message: said.message,
            date,
        }
    }
}

/// Returns the clock of the service, as an answer of it says (RFC 9110, section 6.6.1).
pub(super) fn date(response: &HttpResponse) -> Option<Timestamp> {
    let said = response.headers().get("date")?.to_str().ok()?;
    let read = jiff::fmt::rfc2822::parse(said).ok()?;
    Some(read.timestamp())
}

/// Reads the body of an answer; it is cut after `bytes_max`, more or less.
pub(super) async fn body(response: HttpResponse, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = response.into_body().bytes_stream();
    let mut text = Vec::new();
    while let Some(bytes) = body.next().await.transpose()?
        && text.len() < bytes_max
    {
        text.extend_from_slice(&bytes);
    }
    Ok(text)
}

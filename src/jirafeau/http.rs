//! Requests to a Jirafeau.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::stream;
use reqwest::{
    Body, Client, RequestBuilder, Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{JirafeauError, Locator, Result, answer::ErrorAnswer, form::MultipartForm};
use crate::{
    config::{JirafeauConfig, JirafeauExpiry, PublicUrl},
    credentials, outbound,
};

/// Maximum length of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4096;
/// Maximum size of a piece of a request on its way to the connection, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// The HTTP client for one Jirafeau.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    /// Its address, with a final slash.
    pub(super) url: String,
    password: Option<UploadPassword>,
    /// Longest time for which it may accept no byte or give no answer.
    patience: Duration,
    expiry: JirafeauExpiry,
}

/// An upload password. Its `Debug` does not show it.
struct UploadPassword(Zeroizing<String>);

/// What went wrong with a request.
#[derive(Debug)]
pub(super) enum RequestFault {
    /// Jirafeau complained.
    ErrorAnswer(ErrorAnswer),
    /// It did not come so far.
    Error(JirafeauError),
}

impl Http {
    pub(super) fn open(config: &JirafeauConfig, url: &PublicUrl) -> Result<Self> {
        let ca_file = config.ca_file.as_deref();
        let client = outbound::client(url.is_secure(), config.connect_timeout, ca_file)?
            .build()
            .map_err(|error| JirafeauError::Tls(outbound::causes(error)))?;

        let password = match &config.upload_password_file {
            Some(path) => Some(UploadPassword(credentials::password(path)?)),
            None => None,
        };

        Ok(Self {
            client,
            url: url.as_str().to_owned(),
            password,
            patience: config.timeout,
            expiry: config.expiry,
        })
    }

    /// Asks a question without parameters, and once more if the connection broke.
    pub(super) async fn query(&self, name: &str) -> Result<String> {
        let ask = || self.ask(self.client.get(format!("{}script.php?{name}", self.url)));
        let asked = match ask().await {
            Err(RequestFault::Error(JirafeauError::Unreachable { .. })) => ask().await,
            asked => asked,
        };
        asked.map_err(|fault| self.error(fault))
    }

    /// Returns a form with what every upload begins with: the time, and the password.
    pub(super) fn upload_form(&self) -> MultipartForm {
        let form = MultipartForm::new().field("time", self.expiry.word());
        match &self.password {
            Some(UploadPassword(password)) => form.field("upload_password", password),
            None => form,
        }
    }

    /// Sends a form. As long as bytes of it are taken, it may take any time.
    pub(super) async fn post(
        &self,
        query: &str,
        form: MultipartForm,
    ) -> Result<String, RequestFault> {
        let moves = Arc::new(AtomicBool::new(false));
        let taken = Arc::clone(&moves);
        let request = self
            .client
            .post(format!("{}script.php{query}", self.url))
            .header(CONTENT_TYPE, form.content_type())
            .header(CONTENT_LENGTH, form.length());
        let pieces = form.pieces(BLOCK_BYTES).map(move |piece| {
            taken.store(true, Relaxed);
            Ok::<_, Infallible>(piece)
        });
        let request = request.body(Body::wrap_stream(stream::iter(pieces)));

        let mut answer = std::pin::pin!(self.text_of(request));
        loop {
            match timeout(self.patience, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) if moves.swap(false, Relaxed) => {}
                Err(_) => return Err(RequestFault::Error(self.stalled())),
            }
        }
    }

    /// Removes a file: only the answer `Ok` says that it was done. To a wrong code Jirafeau answers with the
    /// file, of which nothing is read.
    pub(super) async fn remove(&self, locator: &Locator) -> Result<()> {
        let Locator { url, link, code } = locator;
        let kept = || JirafeauError::Kept { url: url.clone() };
        if !locator.is_sound() {
            return Err(kept());
        }

        let request = self
            .client
            .get(format!("{url}script.php?h={link}&d={code}"));
        let removed = async {
            let response = self.send(request).await?;
            if response.headers().contains_key(CONTENT_DISPOSITION) {
                return Err(RequestFault::Error(kept()));
            }
            self.text(response).await
        };
        match timeout(self.patience, removed).await {
            Ok(Ok(text)) if text == "Ok" => Ok(()),
            Ok(Ok(_)) => Err(kept()),
            Ok(Err(RequestFault::ErrorAnswer(ErrorAnswer::Gone))) => Ok(()),
            Ok(Err(fault)) => Err(self.error(fault)),
            Err(_) => Err(self.stalled()),
        }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<String, RequestFault> {
        let answered = timeout(self.patience, self.text_of(request)).await;
        answered.unwrap_or_else(|_| Err(RequestFault::Error(self.stalled())))
    }

    async fn text_of(&self, request: RequestBuilder) -> Result<String, RequestFault> {
        let response = self.send(request).await?;
        self.text(response).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RequestFault> {
        let response = request.send().await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let error = match status {
            StatusCode::PAYLOAD_TOO_LARGE => return Err(RequestFault::ErrorAnswer(ErrorAnswer::TooLarge)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.refused(format!(
                "its web server answers {status}: it must let this host use script.php"
            )),
            StatusCode::NOT_FOUND => self.senseless(
                "there is no script.php: set jirafeau.url to the address of Jirafeau's start page",
            ),
            status if status.is_redirection() => self.senseless(
                "it sends us to another address: set jirafeau.url to the one at which Jirafeau itself answers, and finish its installation",
            ),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let url = self.url.clone();
                let detail = format!("its web server answers {status}");
                JirafeauError::Failed { url, detail }
            }
            status => self.senseless(format!("its web server answers {status}")),
        };
        Err(RequestFault::Error(error))
    }

    /// Reads an answer; one that begins with `Error`, or is no text, is none.
    async fn text(&self, mut response: Response) -> Result<String, RequestFault> {
        let media_type = response.headers().get(CONTENT_TYPE);
        let is_page = media_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));

        let mut bytes = Vec::new();
        while let Some(more) = response.chunk().await.map_err(|error| self.broken(error))? {
            bytes.extend_from_slice(&more);
            if bytes.len() > ANSWER_BYTES_MAX {
                break;
            }
        }

        let text = String::from_utf8_lossy(&bytes).into_owned();
        if is_page || text.trim_start().starts_with('<') {
            return Err(RequestFault::Error(self.senseless(
                "a page comes instead of a text: set jirafeau.url to the address of Jirafeau's start page",
            )));
        }
        match ErrorAnswer::of(&text) {
            Some(complaint) => Err(RequestFault::ErrorAnswer(complaint)),
            None => Ok(text),
        }
    }

    /// Returns the error for a fault, with the setting that helps.
    pub(super) fn error(&self, fault: RequestFault) -> JirafeauError {
        let complaint = match fault {
            RequestFault::Error(error) => return error,
            RequestFault::ErrorAnswer(complaint) => complaint,
        };
        let url = self.url.clone();
        match complaint {
            ErrorAnswer::NoPassword => self.refused(
                "it wants an upload password: write one of its upload_password into the file that jirafeau.upload_password_file names, or this host's address into its upload_ip_nopassword",
            ),
            ErrorAnswer::WrongPassword => self.refused(
                "it does not take the password in jirafeau.upload_password_file: write one of its upload_password there, and this host's address into its upload_ip if that is set",
            ),
            ErrorAnswer::Time => self.refused(format!(
                "it keeps no file for a \"{}\": enable that in its availabilities, or set jirafeau.expiry to what is enabled there",
                self.expiry.word()
            )),
            ErrorAnswer::TooBig | ErrorAnswer::TooLarge => JirafeauError::TooBig { url },
            ErrorAnswer::Gone => self.senseless("it has no such file"),
            ErrorAnswer::Failed(detail) => JirafeauError::Failed { url, detail },
        }
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> JirafeauError {
        let (url, reason) = (self.url.clone(), reason.into());
        JirafeauError::Refused { url, reason }
    }

    pub(super) fn senseless(&self, reason: impl Into<String>) -> JirafeauError {
        let (url, reason) = (self.url.clone(), reason.into());
        JirafeauError::Answer { url, reason }
    }

    /// Returns the error for an upload whose answer has not the form of one.
    pub(super) fn no_upload(&self, text: &str) -> JirafeauError {
        self.senseless(format!(
            "its answer to an upload is {} bytes long, and is none",
            text.len()
        ))
    }

    pub(super) fn unreachable(&self, reason: impl Into<String>) -> JirafeauError {
        let (url, reason) = (self.url.clone(), reason.into());
        JirafeauError::Unreachable { url, reason }
    }

    fn stalled(&self) -> JirafeauError {
        JirafeauError::Stalled {
            url: self.url.clone(),
            patience: self.patience,
        }
    }

    fn broken(&self, error: reqwest::Error) -> RequestFault {
        RequestFault::Error(self.unreachable(outbound::causes(error)))
    }
}

impl From<JirafeauError> for RequestFault {
    fn from(error: JirafeauError) -> Self {
        Self::Error(error)
    }
}

impl std::fmt::Debug for UploadPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

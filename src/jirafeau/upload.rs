//! A file on its way to a Jirafeau.

use bytes::{Bytes, BytesMut};
use mailsplice::names;
use tokio::runtime::Handle;

use super::{
    Jirafeau, JirafeauError, Limits, Locator, PIECE_BYTES_MIN, Result, UploadedFile,
    answer::{ErrorAnswer, OpenTransfer, Uploaded, next_code},
    http::{Http, RequestFault},
};

/// Media types that are told as they are; any other could make Jirafeau's preview run what a mail says
/// (CVE-2022-30110, CVE-2024-12326, CVE-2025-7066, CVE-2026-1466).
const SAFE_TYPES: [&str; 7] = [
    "application/pdf",
    "application/zip",
    "audio/mpeg",
    "image/gif",
    "image/jpeg",
    "image/png",
    "video/mp4",
];
const NEUTRAL_TYPE: &str = "application/octet-stream";

/// A file on its way to a Jirafeau. Dropping it leaves nothing there, or what Jirafeau removes by itself.
#[derive(Debug)]
pub(crate) struct Upload {
    jirafeau: Jirafeau,
    runtime: Handle,
    name: String,
    media_type: &'static str,
    limits: Option<Limits>,
    size: u64,
    gathered: BytesMut,
    transfer: Option<OpenTransfer>,
}

impl Upload {
    /// Begins a file; nothing is sent. Its name is made safe.
    pub(crate) fn new(jirafeau: &Jirafeau, name: &str, media_type: &str, runtime: Handle) -> Self {
        let known = SAFE_TYPES.into_iter().find(|known| *known == media_type);
        Self {
            jirafeau: jirafeau.clone(),
            runtime,
            name: names::file(name),
            media_type: known.unwrap_or(NEUTRAL_TYPE),
            limits: None,
            size: 0,
            gathered: BytesMut::new(),
            transfer: None,
        }
    }

    /// Takes the next bytes. Waits while Jirafeau is slow.
    ///
    /// # Errors
    /// It does not take them: drop the upload.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        let limits = self.limits().await?;
        self.size += bytes.len() as u64;
        if limits.file_bytes_max.is_some_and(|max| self.size > max) {
            let url = self.http().url.clone();
            return Err(JirafeauError::TooBig { url });
        }

        while !bytes.is_empty() {
            let room = limits.piece_bytes_max.saturating_sub(self.gathered.len());
            // Only when more comes is it certain that the file does not fit one request.
            if room == 0 {
                let piece = self.gathered.split().freeze();
                self.push(piece).await?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the file: once this returns, Jirafeau has it.
    ///
    /// # Errors
    /// It does not take it: nothing is kept.
    pub(crate) async fn finish(mut self) -> Result<UploadedFile> {
        let limits = self.limits().await?;
        let rest = self.gathered.split().freeze();
        if self.transfer.is_none() && rest.len() <= limits.piece_bytes_max {
            match self.send_whole(rest.clone()).await {
                Err(RequestFault::ErrorAnswer(ErrorAnswer::TooLarge)) if self.shrink() => {}
                sent => {
                    let uploaded = sent.map_err(|fault| self.http().error(fault))?;
                    return Ok(self.stored(uploaded));
                }
            }
        }
        self.push(rest).await?;
        let uploaded = self.end().await?;
        Ok(self.stored(uploaded))
    }

    async fn limits(&mut self) -> Result<Limits> {
        let limits = match self.limits {
            Some(limits) => limits,
            None => self.jirafeau.limits().await?,
        };
        self.limits = Some(limits);
        Ok(limits)
    }

    /// Sends the file in one request.
    async fn send_whole(&self, contents: Bytes) -> Result<Uploaded, RequestFault> {
        let file = (&*self.name, self.media_type);
        let form = self.http().upload_form().file("file", file, contents);
        let text = self.http().post("", form).await?;
        let uploaded = Uploaded::of(&text);
        uploaded.ok_or_else(|| self.http().no_upload(&text).into())
    }

    /// Sends bytes in pieces that Jirafeau takes, and begins the transfer if need be.
    async fn push(&mut self, mut bytes: Bytes) -> Result<()> {
        let mut transfer = match self.transfer.take() {
            Some(transfer) => transfer,
            None => self.begin().await?,
        };
        while !bytes.is_empty() {
            let limits = self.limits().await?;
            let piece = bytes.slice(..limits.piece_bytes_max.min(bytes.len()));
            let sent = piece.len();
            match self.push_piece(&transfer, piece).await {
                Ok(code) => {
                    transfer.code = code;
                    bytes = bytes.split_off(sent);
                }
                Err(RequestFault::ErrorAnswer(ErrorAnswer::TooLarge)) if self.shrink() => {}
                Err(fault) => return Err(self.http().error(fault)),
            }
        }
        self.transfer = Some(transfer);
        Ok(())
    }

    async fn begin(&self) -> Result<OpenTransfer> {
        let form = self
            .http()
            .upload_form()
            .field("filename", &self.name)
            .field("type", self.media_type);
        let text = self.http().post("?init_async", form).await;
        let text = text.map_err(|fault| self.http().error(fault))?;
        OpenTransfer::of(&text).ok_or_else(|| self.http().no_upload(&text))
    }

    async fn push_piece(
        &self,
        transfer: &OpenTransfer,
        piece: Bytes,
    ) -> Result<String, RequestFault> {
        let form = super::form::MultipartForm::new()
            .field("ref", &transfer.reference)
            .field("code", &transfer.code)
            .file("data", ("data", NEUTRAL_TYPE), piece);
        let text = self.http().post("?push_async", form).await?;
        let code = next_code(&text);
        code.ok_or_else(|| self.http().no_upload(&text).into())
    }

    async fn end(&mut self) -> Result<Uploaded> {
        let Some(transfer) = self.transfer.take() else {
            return Err(self.http().senseless("a transfer was not begun"));
        };
        end(self.http(), &transfer).await
    }

    /// Makes pieces half as large. Returns false if they are as small as can be.
    fn shrink(&mut self) -> bool {
        let Some(limits) = &mut self.limits else {
            return false;
        };
        let half = limits.piece_bytes_max / 2;
        if half < PIECE_BYTES_MIN {
            return false;
        }
        limits.piece_bytes_max = half;
        self.jirafeau.remember(*limits);
        true
    }

    fn stored(&self, uploaded: Uploaded) -> UploadedFile {
        let url = &self.http().url;
        let Uploaded { link, code, key } = uploaded;
        let page = match &*key {
            "" => format!("{url}f.php?h={link}"),
            key => format!("{url}f.php?h={link}&k={key}"),
        };
        let url = url.clone();
        UploadedFile {
            jirafeau: self.jirafeau.clone(),
            runtime: self.runtime.clone(),
            locator: Locator { url, link, code },
            page,
            keep: false,
        }
    }

    fn http(&self) -> &Http {
        &self.jirafeau.shared.http
    }
}

impl Drop for Upload {
    /// A transfer cannot be broken off: it is ended, and what it made is removed.
    fn drop(&mut self) {
        let Some(transfer) = self.transfer.take() else {
            return;
        };
        let (jirafeau, runtime) = (self.jirafeau.clone(), self.runtime.clone());
        let remove = async move {
            let http = &jirafeau.shared.http;
            match end(http, &transfer).await {
                Ok(Uploaded { link, code, .. }) => {
                    let url = http.url.clone();
                    jirafeau.give_up(Locator { url, link, code }, &runtime);
                }
                Err(error) => {
                    tracing::debug!("a transfer that was given up is left to Jirafeau: {error}")
                }
            }
        };
        let tasks = &self.jirafeau.shared.tasks;
        tasks.spawn_on(remove, &self.runtime);
    }
}

async fn end(http: &Http, transfer: &OpenTransfer) -> Result<Uploaded> {
    let form = super::form::MultipartForm::new()
        .field("ref", &transfer.reference)
        .field("code", &transfer.code);
    let text = http.post("?end_async", form).await;
    let text = text.map_err(|fault| http.error(fault))?;
    Uploaded::of(&text).ok_or_else(|| http.no_upload(&text))
}

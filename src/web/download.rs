//! One file, or all of them as ZIP, as a download.
//!
//! Always `application/octet-stream`, always `attachment`, always sandboxed, whatever type the mail
//! declared: file drops that decide by the declared type what may be shown have been broken through
//! it again and again.
//!
//! A download counts if one answer has all the bytes: an answer to a `GET` without a range, or with
//! a range that is the whole. Parts do not count, not even those that together make the whole: a
//! reader who resumes an interrupted download looks like a viewer that reads a file again and
//! again, and telling them apart would mean remembering who fetched what.

use std::{io, ops::Range, sync::Arc};

use aws_lc_rs::digest::{Context, SHA256};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use jiff::{Timestamp, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tracing::error;

use super::{
    Site, Visitor,
    count::{CompletedDownload, Counter},
    language::Wanted,
    pages::ErrorPage,
    shelf::{STREAM_BYTES, Shelved, tie},
    source::{Holding, PieceReader, Pieces},
    zip::{ArchivePiece, ZipLayout},
};
use crate::{
    budget::Share,
    drop::{Door, DropError, FileDrop, FileEntry, Release, Requester, SealedPackage, Token},
    http::{
        conditional::{ConditionalResponse, part},
        limit::Throttle,
        slots::DownloadPermit,
    },
    metrics::Metrics,
};

/// The policy of files: nothing in one may run or load, even if a browser shows it.
pub(super) const FILE_POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// A file, or all files, to be downloaded.
pub(super) struct Download {
    holding: Holding,
    contents: Payload,
    /// `None` if the server does not know it.
    name: Option<String>,
    etag: String,
    visitor: Visitor,
}

enum Payload {
    File(usize),
    Archive { len: u64, zone: TimeZone },
}

impl Download {
    /// Makes a download of the file `index`, which the package has.
    pub(super) fn file(
        token: Token,
        shelved: Arc<Shelved>,
        index: usize,
        visitor: Visitor,
        zone: &TimeZone,
    ) -> Self {
        let etag = quoted_hex(&shelved.package().files[index].sha256);
        let name = shelved.name(index, zone).to_owned();
        Self {
            holding: Holding::Open(token, shelved),
            contents: Payload::File(index),
            name: Some(name),
            etag,
            visitor,
        }
    }

    /// Makes a download of the ciphertext of the file `index`, which the package has. It never
    /// changes.
    pub(super) fn sealed(
        package: SealedPackage,
        share: Share,
        index: usize,
        visitor: Visitor,
    ) -> Self {
        let etag = format!("\"{}-{index}\"", package.id);
        Self {
            holding: Holding::Sealed(Arc::new((package, share))),
            contents: Payload::File(index),
            name: None,
            etag,
            visitor,
        }
    }

    /// Makes a download of all files as a ZIP named `name`.
    pub(super) fn archive(
        token: Token,
        shelved: Arc<Shelved>,
        visitor: Visitor,
        name: String,
        zone: &TimeZone,
    ) -> Self {
        let len = shelved.layout(zone).total_len();
        let etag = shelved.archive_etag(zone).to_owned();
        Self {
            holding: Holding::Open(token, shelved),
            contents: Payload::Archive {
                len,
                zone: zone.clone(),
            },
            name: Some(name),
            etag,
            visitor,
        }
    }

    /// Answers a request for the download.
    pub(super) async fn answer(
        self,
        site: &Site,
        method: &Method,
        headers: &HeaderMap,
        wanted: Wanted,
    ) -> Response {
        let len = self.len();
        match part(method, headers, &self.etag, len) {
            ConditionalResponse::NotModified => self.empty(StatusCode::NOT_MODIFIED),
            ConditionalResponse::PreconditionFailed => self.empty(StatusCode::PRECONDITION_FAILED),
            ConditionalResponse::Unsatisfiable => {
                let mut response = self.empty(StatusCode::RANGE_NOT_SATISFIABLE);
                put(
                    &mut response,
                    header::CONTENT_RANGE,
                    &format!("bytes */{len}"),
                );
                response
            }
            ConditionalResponse::Whole if method == Method::HEAD => {
                self.head(StatusCode::OK, 0..len)
            }
            ConditionalResponse::Whole => self.send(site, StatusCode::OK, 0..len, wanted).await,
            ConditionalResponse::Range(range) => {
                self.send(site, StatusCode::PARTIAL_CONTENT, range, wanted)
                    .await
            }
        }
    }

    async fn send(
        &self,
        site: &Site,
        status: StatusCode,
        range: Range<u64>,
        wanted: Wanted,
    ) -> Response {
        let Ok(share) = site.shelf.take(STREAM_BYTES) else {
            return site.pages.problem(wanted, ErrorPage::Crowded);
        };

        let mut response = self.head(status, range.clone());
        let released = self.holding.release(&site.state.drop, self.files()).await;
        let sent = match released {
            Ok(Release::Given) => self.transfer(site, range, share).start().await,
            Ok(Release::Ended) => return self.ended(site, wanted).await,
            Ok(Release::Unscanned) => return site.pages.problem(wanted, ErrorPage::Failed),
            Err(err) => Err(err),
        };

        match sent {
            Ok(body) => *response.body_mut() = body,
            Err(err) => {
                self.report(&err);
                response = site.pages.problem(wanted, ErrorPage::Failed);
            }
        }
        response
    }

    /// The answer for a package that ended a moment ago.
    async fn ended(&self, site: &Site, wanted: Wanted) -> Response {
        let Holding::Open(token, _) = &self.holding else {
            return site.pages.problem(wanted, ErrorPage::NotFound);
        };
        let token = token.to_string();
        match site.find(&token, Timestamp::now()).await {
            Err(refusal) => site.refuse(refusal, wanted, &token),
            // An admin brought it back.
            Ok(_) => site.pages.problem(wanted, ErrorPage::Failed),
        }
    }

    fn transfer(&self, site: &Site, range: Range<u64>, share: Share) -> Transfer {
        let drop = site.state.drop.clone();
        let left = range.end - range.start;
        let counted = if range == (0..self.len()) {
            self.files()
        } else {
            0..0
        };

        let pieces = self.pieces(range);
        Transfer {
            source: PieceReader::new(drop.clone(), self.holding.clone(), pieces),
            drop,
            door: self.holding.door(),
            queue_id: self.holding.queue_id().to_owned(),
            client: self.visitor.client(),
            metrics: site.state.metrics.clone(),
            throttle: Arc::clone(&site.throttle),
            counter: site.counter.clone(),
            _permit: self.visitor.running.clone(),
            share: Some(share),
            counted,
            first: None,
            left,
            ended: false,
        }
    }

    /// The header of an answer with these bytes, or of the answer to a `HEAD`.
    fn head(&self, status: StatusCode, range: Range<u64>) -> Response {
        let mut response = self.empty(status);
        if status == StatusCode::PARTIAL_CONTENT {
            let value = format!("bytes {}-{}/{}", range.start, range.end - 1, self.len());
            put(&mut response, header::CONTENT_RANGE, &value);
        }

        put(
            &mut response,
            header::CONTENT_LENGTH,
            &(range.end - range.start).to_string(),
        );
        put(
            &mut response,
            header::CONTENT_TYPE,
            "application/octet-stream",
        );

        let name = self.name.as_deref();
        put(
            &mut response,
            header::CONTENT_DISPOSITION,
            &name.map_or("attachment".to_owned(), disposition),
        );
        response
    }

    /// The headers common to all answers about it.
    fn empty(&self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        put(&mut response, header::ETAG, &self.etag);
        put(&mut response, header::ACCEPT_RANGES, "bytes");
        put(&mut response, header::CONTENT_SECURITY_POLICY, FILE_POLICY);
        response
    }

    fn len(&self) -> u64 {
        match &self.contents {
            Payload::File(index) => self.holding.len(*index),
            Payload::Archive { len, .. } => *len,
        }
    }

    fn pieces(&self, range: Range<u64>) -> Pieces {
        match &self.contents {
            Payload::File(_) if range.is_empty() => Pieces::None,
            Payload::File(index) => Pieces::One(ArchivePiece::File {
                index: *index,
                range,
            }),
            Payload::Archive { zone, .. } => Pieces::Archive(zone.clone(), range),
        }
    }

    /// The indices of the files in it.
    fn files(&self) -> Range<usize> {
        match &self.contents {
            Payload::File(index) => *index..index + 1,
            Payload::Archive { .. } => 0..self.holding.files(),
        }
    }

    fn report(&self, err: &DropError) {
        error!(
            queue_id = self.holding.queue_id(),
            "could not read a file: {err}"
        );
    }
}

/// An answer being sent. If it is dropped before its end, it counts as aborted.
struct Transfer {
    drop: FileDrop,
    source: PieceReader,
    door: Door,
    queue_id: String,
    client: Requester,
    metrics: Metrics,
    throttle: Arc<Throttle>,
    counter: Counter,
    _permit: Option<Arc<DownloadPermit>>,
    /// The memory that it takes; the last bytes give it back once they are sent.
    share: Option<Share>,
    /// The files whose download it completes.
    counted: Range<usize>,
    first: Option<Bytes>,
    left: u64,
    ended: bool,
}

impl Transfer {
    /// Reads the first bytes, so that a file that cannot be read gets an honest answer, then makes
    /// the body.
    async fn start(mut self) -> Result<Body, DropError> {
        self.first = self.source.next().await?;
        if self.left == 0 {
            self.complete().await;
            return Ok(Body::empty());
        }
        Ok(Body::from_stream(stream::try_unfold(
            self,
            async |mut transfer| {
                Ok::<_, io::Error>(transfer.next().await?.map(|bytes| (bytes, transfer)))
            },
        )))
    }

    /// The next bytes. An error cuts the connection, so that the reader never takes a part for the
    /// whole.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        let bytes = match self.first.take() {
            Some(bytes) => Some(bytes),
            None => self
                .source
                .next()
                .await
                .map_err(|err| self.damaged(&err.to_string()))?,
        };

        let bytes = bytes.ok_or_else(|| self.damaged("the contents are too short"))?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| self.damaged("the contents are too long"))?;
        self.metrics.download_bytes(bytes.len());
        self.throttle.pass(bytes.len()).await;

        if self.left > 0 {
            return Ok(Some(bytes));
        }
        self.complete().await;
        Ok(Some(match self.share.take() {
            Some(share) => tie(bytes, share),
            None => bytes,
        }))
    }

    /// Counts the download before the last bytes are handed to the connection: after them, nobody
    /// asks for more.
    async fn complete(&mut self) {
        self.ended = true;
        if self.counted.is_empty() {
            return;
        }
        self.metrics.download();
        let complete = CompletedDownload {
            door: self.door,
            files: self.counted.clone(),
            client: self.client,
            queue_id: self.queue_id.clone(),
        };
        self.counter.count(self.drop.clone(), complete).await;
    }

    fn damaged(&self, why: &str) -> io::Error {
        error!(
            queue_id = self.queue_id,
            left = self.left,
            "cut a download short: {why}"
        );
        io::Error::other("the file cannot be read any further")
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if !self.ended {
            self.metrics.download_aborted();
        }
    }
}

/// A strong tag: the archive's headers and the hashes of its contents determine every byte of it.
pub(super) fn archive_etag(layout: &ZipLayout, files: &[FileEntry]) -> String {
    let mut context = Context::new(&SHA256);
    for piece in layout.pieces(0..layout.total_len()) {
        match piece {
            ArchivePiece::Bytes(bytes) => context.update(&bytes),
            ArchivePiece::File { index, .. } => context.update(&files[index].sha256),
        }
    }
    quoted_hex(context.finish().as_ref())
}

fn quoted_hex(bytes: &[u8]) -> String {
    format!("\"{}\"", data_encoding::HEXLOWER.encode(bytes))
}

/// `Content-Disposition` as in RFC 6266, with both forms of the name, the plain one for old
/// clients.
fn disposition(name: &str) -> String {
    format!(
        "attachment; filename=\"{}\"; filename*=UTF-8''{}",
        ascii(name),
        percent_encoded(name)
    )
}

/// The name in ASCII: letters lose their accents, other scripts are transcribed. It has no quote,
/// no backslash, and no `%`, which some clients decode (RFC 6266, appendix D).
fn ascii(name: &str) -> String {
    deunicode::deunicode_with_tofu(name, "_")
        .chars()
        .map(|c| {
            if matches!(c, ' '..='~') && !r#""\%/:*?<>|"#.contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect()
}

/// The name as `ext-value` of RFC 8187, section 3.2.1: all but `attr-char` is encoded.
fn percent_encoded(name: &str) -> String {
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'#')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'-')
        .remove(b'.')
        .remove(b'^')
        .remove(b'_')
        .remove(b'`')
        .remove(b'|')
        .remove(b'~');
    utf8_percent_encode(name, ENCODED).to_string()
}

fn put(response: &mut Response, name: header::HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("header values are made of printable ASCII");
    response.headers_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::zip::ZipEntry;

    #[test]
    fn the_tag_of_an_archive_changes_with_every_byte_of_it() {
        let file = |name: &str, sha256| FileEntry {
            page: None,
            name: name.into(),
            media_type: "application/pdf".into(),
            size: 5,
            sha256: [sha256; 32],
            crc32: 7,
            opened: false,
        };
        let tag = |files: &[FileEntry], second| {
            let entries = files.iter().map(|file| ZipEntry {
                name: file.name.clone(),
                size: file.size,
                crc32: file.crc32,
            });
            let created = Timestamp::from_second(second).unwrap();
            let layout = ZipLayout::new(entries.collect(), created, &TimeZone::UTC);
            archive_etag(&layout, files)
        };
        let first = tag(&[file("a", 1), file("b", 2)], 1 << 30);
        assert_eq!(first, tag(&[file("a", 1), file("b", 2)], 1 << 30));
        assert!(first.len() == 66 && first.starts_with('"') && first.ends_with('"'));
        for other in [
            // The same sum of 32 bits, other bytes.
            tag(&[file("a", 1), file("b", 3)], 1 << 30),
            tag(&[file("a", 3), file("b", 2)], 1 << 30),
            tag(&[file("b", 1), file("a", 2)], 1 << 30),
            tag(&[file("a", 1)], 1 << 30),
            tag(&[file("a", 1), file("b", 2)], 1 << 29),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn disposition_has_an_ascii_name_and_the_true_one() {
        assert_eq!(
            disposition("Été 100% \"fini\".pdf"),
            "attachment; filename=\"Ete 100_ _fini_.pdf\"; \
             filename*=UTF-8''%C3%89t%C3%A9%20100%25%20%22fini%22.pdf"
        );
    }

    #[test]
    fn disposition_is_a_header_value_whatever_the_name() {
        for name in [
            "a\r\nLocation: x",
            "\0",
            "\u{202e}fdp.exe",
            "文件.pdf",
            "\u{10ffff}",
        ] {
            let value = disposition(name);
            assert!(
                value.bytes().all(|byte| matches!(byte, b' '..=b'~')),
                "{value}"
            );
            assert_eq!(value.matches('"').count(), 2, "{value}");
        }
    }
}

//! Uploads that were begun and neither completed nor aborted: their parts take room, and nobody sees them.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use jiff::Timestamp;
use object_store::{
    aws::AwsAuthorizer,
    client::{HttpRequest, HttpRequestBody},
    multipart::MultipartStore as _,
    path::Path as Name,
};
use serde::Deserialize;
use url::Url;

use super::{
    super::{DropError, Result},
    bucket::Bucket,
    service,
};

/// Number of pages of at most a thousand uploads that one call looks through.
const PAGES_MAX: usize = 10;
/// Maximum length of a page, in bytes.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// A page of the list (ListMultipartUploads of the API of S3).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct UploadsPage {
    upload: Vec<Unfinished>,
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
    /// The service's clock.
    #[serde(skip)]
    pub(super) date: Option<Timestamp>,
}

/// An upload that was begun.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unfinished {
    key: String,
    upload_id: String,
    initiated: Timestamp,
}

/// Aborts at most `limit` uploads of blobs that were begun before `before`. Returns how many.
pub(super) fn abort(bucket: &Bucket, before: Timestamp, limit: usize) -> Result<u64> {
    let mut aborted = 0;
    let mut page = UploadsPage::default();
    for _ in 0..PAGES_MAX {
        page = list(bucket, &page)?;
        let is_left =
            |upload: &&Unfinished| upload.initiated < before && bucket.owner(&upload.key).is_some();
        let left = page.upload.iter().filter(is_left);
        for upload in left.take(limit - aborted) {
            let name = Name::from(upload.key.as_str());
            let abort = bucket.objects.abort_multipart(&name, &upload.upload_id);
            match bucket.wait(abort) {
                // Another process was faster.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                aborted => bucket.named("abort the upload of", &name, aborted)?,
            }
            aborted += 1;
        }
        if aborted == limit || !page.is_truncated {
            break;
        }
    }
    Ok(aborted as u64)
}

/// Lists the uploads behind a page.
pub(super) fn list(bucket: &Bucket, behind: &UploadsPage) -> Result<UploadsPage> {
    let listed = bucket.threads().block_on(ask(bucket, behind));
    let place = bucket.shown(&bucket.prefix);
    listed.map_err(|e| DropError::io("list the unfinished uploads in", Path::new(&place), e))
}

async fn ask(bucket: &Bucket, behind: &UploadsPage) -> io::Result<UploadsPage> {
    let request = request(bucket, behind).map_err(io::Error::other)?;
    let answered = bucket.client.execute(request).await;
    let answer = answered.map_err(|error| bucket.failure(&error))?;
    let date = service::date(&answer);

    let text = service::body(answer, PAGE_BYTES_MAX).await;
    let text = text.map_err(|error| bucket.failure(&error))?;
    let page: UploadsPage =
        quick_xml::de::from_reader(&*text).map_err(|error| bucket.failure(&error))?;
    Ok(UploadsPage { date, ..page })
}

fn request(
    bucket: &Bucket,
    behind: &UploadsPage,
) -> Result<HttpRequest, Box<dyn std::error::Error + Send + Sync>> {
    let mut url = Url::parse(&bucket.url)?;
    url.query_pairs_mut()
        .append_pair("uploads", "")
        .append_pair("prefix", &bucket.prefix);
    if behind.is_truncated {
        url.query_pairs_mut()
            .append_pair("key-marker", &behind.next_key_marker)
            .append_pair("upload-id-marker", &behind.next_upload_id_marker);
    }

    let mut request = HttpRequest::new(HttpRequestBody::empty());
    *request.uri_mut() = url.as_str().parse()?;
    AwsAuthorizer::new(&bucket.credential, "s3", &bucket.region)
        .try_authorize(&mut request, None)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_services_write_it() {
        let text = r#"<?xml version="1.0"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Bucket>b</Bucket><KeyMarker/><UploadIdMarker/><NextKeyMarker>ab/1</NextKeyMarker>
            <NextUploadIdMarker>2</NextUploadIdMarker><MaxUploads>1</MaxUploads><IsTruncated>true</IsTruncated>
            <Upload><Key>ab/1</Key><UploadId>2</UploadId><Owner><ID>x</ID></Owner>
            <Initiated>2026-11-30T12:00:00.000Z</Initiated></Upload>
            <Upload><Key>ab/2</Key><UploadId>3</UploadId><Initiated>2026-11-30T12:00:01Z</Initiated></Upload>
            </ListMultipartUploadsResult>"#;
        let page: UploadsPage = quick_xml::de::from_str(text).unwrap();
        assert!(page.is_truncated);
        assert_eq!(
            (
                page.next_key_marker.as_str(),
                page.next_upload_id_marker.as_str()
            ),
            ("ab/1", "2")
        );
        let keys: Vec<_> = page.upload.iter().map(|upload| &*upload.key).collect();
        assert_eq!(keys, ["ab/1", "ab/2"]);
        assert_eq!(page.upload[0].initiated.to_string(), "2026-11-30T12:00:00Z");
        let empty: UploadsPage = quick_xml::de::from_str("<ListMultipartUploadsResult/>").unwrap();
        assert!(empty.upload.is_empty() && !empty.is_truncated);
    }
}

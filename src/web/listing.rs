//! The files of a package for programs: `/{token}.json`.
//!
//! It lists all of them, unlike the pages: a program that reads it must know whether it has
//! everything. It is generated piece by piece, twice: the first time for its length.

use std::{convert::Infallible, future::ready, ops::Range, sync::Arc};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{
    Site,
    language::Wanted,
    pages::ErrorPage,
    shelf::{STREAM_BYTES, Shelved, tie},
};
use crate::{
    budget::Share,
    drop::{Package, Token},
};

/// Number of files in one piece: some 30 kilobytes.
const FILES_PER_PIECE: usize = 100;

/// The rest of a listing that is still to be sent.
struct Listing {
    shelved: Arc<Shelved>,
    zone: TimeZone,
    link: String,
    /// The memory that it takes; the last piece gives it back once it is sent.
    share: Option<Share>,
}

impl Site {
    /// Answers with the package for machines: file names as they would be downloaded, absolute
    /// addresses.
    pub(super) fn manifest(&self, token: &Token, package: Package, wanted: Wanted) -> Response {
        let held = self.shelf.take(STREAM_BYTES);
        let (Ok(share), Ok(shelved)) = (held, self.shelf.shelve(token, package)) else {
            return self.pages.problem(wanted, ErrorPage::Crowded);
        };
        let listing = Listing {
            shelved,
            zone: self.state.zone.clone(),
            link: format!("{}{token}", self.state.config.public_url),
            share: Some(share),
        };
        let headers = [
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CONTENT_LENGTH, listing.length().to_string()),
        ];
        (headers, listing.body()).into_response()
    }
}

impl Listing {
    fn length(&self) -> usize {
        self.pieces().map(|piece| self.piece(piece).len()).sum()
    }

    fn body(self) -> Body {
        let pieces = self.pieces();
        let last = pieces.end - 1;
        let state = (self, pieces);
        let next = move |(mut listing, mut pieces): (Self, Range<usize>)| {
            let piece = pieces.next().map(|number| {
                let text = listing.piece(number);
                match listing.share.take_if(|_| number == last) {
                    Some(share) => tie(text, share),
                    None => text.into(),
                }
            });
            ready(piece.map(|piece| (Ok::<Bytes, Infallible>(piece), (listing, pieces))))
        };
        Body::from_stream(stream::unfold(state, next))
    }

    /// The numbers of its pieces; there is at least one.
    fn pieces(&self) -> Range<usize> {
        0..self.files().div_ceil(FILES_PER_PIECE).max(1)
    }

    fn files(&self) -> usize {
        self.shelved.package().files.len()
    }

    fn piece(&self, number: usize) -> String {
        let mut text = String::new();
        if number == 0 {
            let expires = json!(self.shelved.package().expires.to_string());
            text = format!("{{\"expires\":{expires},\"files\":[");
        }

        let first = number * FILES_PER_PIECE;
        let end = (first + FILES_PER_PIECE).min(self.files());
        for index in first..end {
            // What was read out of other files stands behind those of the mail, in a list of its own.
            if self.is_opened(index) && (index == 0 || !self.is_opened(index - 1)) {
                text += "],\"opened\":[";
            } else if index > 0 {
                text.push(',');
            }
            text += &self.file(index).to_string();
        }

        if end == self.files() {
            text += "]}";
        }
        text
    }

    fn is_opened(&self, index: usize) -> bool {
        self.shelved.package().files[index].opened
    }

    fn file(&self, index: usize) -> Value {
        let file = &self.shelved.package().files[index];
        json!({
            "name": self.shelved.name(index, &self.zone),
            "size": file.size,
            "sha256": data_encoding::HEXLOWER.encode(&file.sha256),
            "type": file.media_type,
            "url": match &file.page {
                Some(page) => page.clone(),
                None => format!("{}/{}", self.link, index + 1),
            },
        })
    }
}

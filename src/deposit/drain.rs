//! Request bodies that are read to their end though nobody wants them.
//!
//! A client that is refused while it still sends sees the refusal only if the connection stays
//! open: closing a socket with unread bytes resets it, and the reset may overtake the answer. So the
//! rest of a body is read and thrown away, for a bounded time, after the answer went out. A client
//! that asked first (`Expect: 100-continue`, RFC 9110, section 10.1.1) and was never told to go on
//! sends nothing, and nothing is read.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{runtime::Handle, time::timeout};

/// For so long an unwanted body is read.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Wraps the body of each request, so that the rest of it is drained.
pub(super) async fn drain_unread(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = Drained {
        asks_first: asks_first(&parts.headers),
        body,
        ended: false,
        polled: false,
    };
    next.run(Request::from_parts(parts, Body::new(body))).await
}

/// A body whose rest is read when it is dropped.
struct Drained {
    body: Body,
    asks_first: bool,
    polled: bool,
    ended: bool,
}

impl HttpBody for Drained {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.polled = true;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.ended |= matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        let waits_for_us = self.asks_first && !self.polled;
        if self.ended || self.body.is_end_stream() || waits_for_us {
            return;
        }
        let body = std::mem::take(&mut self.body);
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(DRAIN_MAX, drain(body)));
        }
    }
}

/// Ends with the body or with its connection.
async fn drain(body: Body) {
    let mut rest = body.into_data_stream();
    while let Some(Ok(_)) = rest.next().await {}
}

fn asks_first(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

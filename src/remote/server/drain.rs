//! Request bodies that are read to their end although they are not wanted.
//!
//! A client that is refused while it still sends sees the refusal only if the connection stays
//! open: closing a socket with unread bytes resets it, and the reset may overtake the answer. So
//! the rest of a body is read and thrown away after the answer went out, for a bounded time: a
//! minute, or a moment for a request without a valid token. A client that asked first
//! (`Expect: 100-continue`, RFC 9110, section 10.1.1) and was never told to go on sends nothing,
//! and nothing is read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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

/// Longest time for which an unwanted body of an uploader is read.
const DRAIN_MAX: Duration = Duration::from_secs(60);
/// Longest time for which a body without a valid token is read.
const STRANGERS_DRAIN_MAX: Duration = Duration::from_secs(2);

/// A flag of each request: set once its token proved valid.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthFlag(Arc<AtomicBool>);

impl AuthFlag {
    /// Sets the flag.
    pub(super) fn is_now(&self) {
        self.0.store(true, Relaxed);
    }

    fn patience(&self) -> Duration {
        match self.0.load(Relaxed) {
            true => DRAIN_MAX,
            false => STRANGERS_DRAIN_MAX,
        }
    }
}

/// Wraps the body of each request so that its unread rest is drained.
pub(super) async fn drain_unread(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let known = AuthFlag::default();
    parts.extensions.insert(known.clone());
    let body = Drained {
        known,
        asks_first: asks_first(&parts.headers),
        body,
        ended: false,
        polled: false,
    };
    next.run(Request::from_parts(parts, Body::new(body))).await
}

/// A body whose rest is read when it is dropped.
struct Drained {
    known: AuthFlag,
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
            runtime.spawn(timeout(self.known.patience(), drain(body)));
        }
    }
}

/// Reads until the body or its connection ends.
async fn drain(body: Body) {
    let mut rest = body.into_data_stream();
    while let Some(Ok(_)) = rest.next().await {}
}

fn asks_first(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT);
    expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::time::{advance, sleep};

    use super::*;

    /// Returns true if an endless body is still being read this long after its refusal.
    async fn is_read_after(known: &AuthFlag, time: Duration) -> bool {
        let alive = Arc::new(());
        let (held, gone) = (Arc::clone(&alive), Arc::downgrade(&alive));
        drop(alive);
        let endless = stream::unfold(held, async |held| {
            sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), held))
        });
        drop(Drained {
            known: known.clone(),
            body: Body::from_stream(endless),
            asks_first: false,
            polled: false,
            ended: false,
        });
        tokio::task::yield_now().await;
        advance(time).await;
        sleep(Duration::from_millis(1)).await;
        gone.upgrade().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_are_listened_to_for_a_moment_and_uploaders_for_a_minute() {
        let (second, known) = (Duration::from_secs(1), AuthFlag::default());
        assert!(is_read_after(&known, second).await);
        assert!(!is_read_after(&known, 2 * second).await);
        known.is_now();
        assert!(is_read_after(&known, 59 * second).await);
        assert!(!is_read_after(&known, 60 * second).await);
    }
}

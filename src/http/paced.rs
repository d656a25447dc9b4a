//! A socket that gives up on a reader who takes too little.
//!
//! Time counts only while bytes wait to be written and the reader takes none, so that neither a
//! slow disk nor an idle connection is held against it. Whenever that time reaches the limit,
//! enough bytes must have passed since it last did: a reader who takes none at all is cut after the
//! limit, one who takes a byte now and then a little later.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::slots::ConnectionState;

/// A stream whose reader must take bytes at some rate.
#[derive(Debug)]
pub(super) struct Paced<S> {
    inner: S,
    limit: Duration,
    line: Arc<ConnectionState>,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// Wraps a socket. In each `limit` of waiting, the reader must take at least the number of
    /// bytes that the line's present rate gives, and at least one byte.
    pub(super) fn new(inner: S, limit: Duration, line: Arc<ConnectionState>) -> Self {
        Self {
            inner,
            limit,
            line,
            alarm: Box::pin(sleep(limit)),
        }
    }

    /// Judges the outcome of a write: one that must wait is timed, and fails if the reader took too
    /// little.
    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            let bytes = *written.as_ref().unwrap_or(&0) as u64;
            self.line.pace().wrote(bytes);
            return Poll::Ready(written);
        }

        let now = Instant::now();
        self.wait_from(now);
        ready!(self.alarm.as_mut().poll(context));

        let bytes_min = self.line.rate().saturating_mul(self.limit.as_secs()).max(1);
        let mut pace = self.line.pace();
        if pace.passed < bytes_min {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        (pace.passed, pace.waited) = (0, Duration::ZERO);
        pace.waiting_since = Some(now);
        drop(pace);
        self.alarm.as_mut().reset(now + self.limit);
        // Registers the alarm anew; it cannot have rung yet.
        let _ = self.alarm.as_mut().poll(context);
        Poll::Pending
    }

    /// Starts to wait, unless it waits already.
    fn wait_from(&mut self, now: Instant) {
        let mut pace = self.line.pace();
        if pace.waiting_since.is_some() {
            return;
        }
        pace.waiting_since = Some(now);
        if pace.waited.is_zero() {
            // The bytes before the first wait went into buffers, and prove nothing.
            pace.passed = 0;
        }
        let left = self.limit.saturating_sub(pace.waited);
        drop(pace);
        self.alarm.as_mut().reset(now + left);
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    use crate::http::slots::{Slot, Slots};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A connection of a listener with room for more.
    async fn paced(writer: DuplexStream, rate: u64) -> (Paced<DuplexStream>, Slot) {
        let slot = Slots::new(9, rate, LIMIT).take().await;
        (Paced::new(writer, LIMIT, Arc::clone(slot.line())), slot)
    }

    /// Writes `len` bytes to a reader who takes `step` of them each second; returns the time taken
    /// and the outcome.
    async fn run(rate: u64, step: usize, len: usize) -> (Duration, io::Result<()>) {
        let (writer, mut reader) = duplex(1000);
        let begun = Instant::now();
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; step];
            while step > 0 && reader.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<DuplexStream>().await
        });
        let (mut paced, _slot) = paced(writer, rate).await;
        let outcome = paced.write_all(&vec![7; len]).await;
        reading.abort();
        (begun.elapsed(), outcome)
    }

    fn is_cut(outcome: &io::Result<()>) -> bool {
        outcome
            .as_ref()
            .is_err_and(|err| err.kind() == io::ErrorKind::TimedOut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_nothing_is_cut_after_the_limit() {
        let (time, outcome) = run(0, 0, 5000).await;
        assert!(is_cut(&outcome) && time == LIMIT, "{time:?} {outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_too_little_is_cut() {
        let (time, outcome) = run(100, 50, 500_000).await;
        assert!(is_cut(&outcome), "{outcome:?}");
        assert!(time < 3 * LIMIT, "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_takes_just_enough_gets_all() {
        let (time, outcome) = run(100, 110, 50_000).await;
        assert!(outcome.is_ok() && time > 10 * LIMIT, "{time:?} {outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_a_byte_is_enough() {
        let (time, outcome) = run(0, 1, 3000).await;
        assert!(outcome.is_ok() && time > 10 * LIMIT, "{time:?} {outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_anything_to_write_counts_for_nothing() {
        let (writer, mut reader) = duplex(1000);
        let (mut paced, _slot) = paced(writer, 100).await;
        for _ in 0..5 {
            paced.write_all(&[7; 900]).await.unwrap();
            sleep(10 * LIMIT).await;
            reader.read_exact(&mut [0; 900]).await.unwrap();
        }
    }
}

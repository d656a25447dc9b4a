//! The guard between a connection and indymilter: bounds on packets, and on the time that we wait.
//!
//! indymilter makes room for a packet of 1 MiB as soon as its length is there, keeps all macros that
//! it is sent, and waits two hours for each packet, in the middle of a message too, while the
//! message holds one of `milter.max_messages`. A [`Guarded`] stream looks at the packets that pass
//! through it, in both directions, and fails when one of them, or the wait for it, goes too far. A
//! stream that failed goes on failing: indymilter then drops the session with all that it holds, and
//! Postfix takes its default action, which is to have the mail sent again.
//!
//! A Postfix that works reaches none of these bounds, whatever mail it is given. Its words about the
//! client are made readable on the way, see `connect`. Each session that ends without Postfix having
//! ended it is logged once, with the reason, and counted.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    connect,
    frames::{Frames, Seen},
};
use crate::{
    budget::{Budget, Share, Spent},
    metrics::{Metrics, SessionEnd},
};

/// The longest packet that is taken: indymilter's own bound. Postfix cuts header fields to
/// `header_size_limit` (102,400 bytes), and bodies into 65,535 bytes.
const PACKET_BYTES_MAX: usize = (1 << 20) - 1;

/// Bytes of a packet that are in no budget: each connection may have one such packet.
const PACKET_BYTES_FREE: usize = 64 << 10;

/// The longest packet of words: macros, and all commands but header fields and bodies. Postfix takes
/// no line of SMTP longer than 2,048 bytes, and no word of a SASL dialogue longer than 12,288.
const WORDS_BYTES_MAX: usize = 16 << 10;

/// The most words that a packet may have: macros and their values, an address and its parameters.
const WORDS_MAX: usize = 128;

/// Bytes of macros that are in no budget.
const MACROS_BYTES_FREE: usize = 4 << 10;

/// The cost of a word in memory beside its bytes.
const WORD_COST: usize = 64;

/// The stages for which macros are sent, by the letters of their commands.
const STAGES: &[u8; 7] = b"CHMRTNE";

/// The bytes of a message that must pass in a second, in the long run. Postfix reads it from its queue.
const BYTES_PER_SECOND_MIN: u64 = 1_000_000;

/// The time for which indymilter waits for a packet.
const SILENCE_MAX: Duration = Duration::from_secs(7200);

/// The terms that all streams have in common.
#[derive(Clone, Debug)]
pub(super) struct StreamTerms {
    pub(super) budget: Budget,
    /// The time for which the other side may let us wait.
    pub(super) timeout: Duration,
    pub(super) metrics: Metrics,
    /// Cancelled when all sessions are cut: none of them is worth a word then.
    pub(super) cut: CancellationToken,
}

/// A stream of packets from Postfix and of our replies that stays within bounds.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    metrics: Metrics,
    cut: CancellationToken,
    commands: Frames,
    replies: Frames,
    phase: DialoguePhase,
    /// The last whole command; macros do not count.
    command: u8,
    words: WordCounter,
    /// The part of the budget that it asks for: a packet that is large, and macros.
    packet: Share,
    macros: Macros,
    patience: Patience,
    failure: Option<CloseReason>,
    /// The bytes so far of the packet that says who connects.
    connect: Vec<u8>,
    /// Bytes that were read and are still to be handed on.
    ready: Vec<u8>,
    /// The time at which bytes passed last.
    active: Instant,
    /// True if Postfix has ended the session, or is no longer there.
    is_over: bool,
}

/// The phase of the dialogue with Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DialoguePhase {
    /// It has not sent a packet yet.
    Greeting,
    /// The dialogue of SMTP, in which clients take their time.
    Dialogue,
    /// The content of a message, which Postfix has in its queue, and our reply to that.
    Content,
}

/// The reason why a stream is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum CloseReason {
    #[error("the packet \"{}\" is not {what}", char::from(*kind).escape_default())]
    Packet { kind: u8, what: &'static str },
    #[error("a packet is too large: {0}")]
    Budget(#[from] Spent),
    #[error("the mail server let us wait for too long")]
    Patience,
    #[error("the packet \"{}\" could not be read", char::from(*.0).escape_default())]
    Unreadable(u8),
    #[error("the mail server was silent for two hours")]
    Silence,
}

/// Counts the words of a packet.
#[derive(Debug, Default)]
struct WordCounter {
    words: usize,
    bytes: usize,
}

/// The memory taken by the macros that indymilter keeps.
#[derive(Debug)]
struct Macros {
    share: Share,
    costs: [usize; STAGES.len()],
    /// The stage of the macros that come in.
    stage: Option<usize>,
}

impl<S> Guarded<S> {
    /// Guards a stream.
    pub(super) fn new(stream: S, terms: &StreamTerms) -> Self {
        let budget = &terms.budget;

        Self {
            stream,
            metrics: terms.metrics.clone(),
            cut: terms.cut.clone(),
            commands: Frames::default(),
            replies: Frames::default(),
            phase: DialoguePhase::Greeting,
            command: 0,
            words: WordCounter::default(),
            packet: budget.share(),
            macros: Macros {
                share: budget.share(),
                costs: [0; STAGES.len()],
                stage: None,
            },
            patience: Patience::new(terms.timeout),
            failure: None,
            connect: Vec::new(),
            ready: Vec::new(),
            active: Instant::now(),
            is_over: false,
        }
    }

    /// Returns true if the next bytes are due.
    fn is_impatient(&self) -> bool {
        self.phase != DialoguePhase::Dialogue || self.commands.is_within()
    }

    /// Looks at bytes from Postfix. Returns the bytes to be handed on in their place, where these differ.
    fn look(&mut self, all: &[u8]) -> Result<Option<Vec<u8>>, CloseReason> {
        self.patience.passed(all.len());
        self.active = Instant::now();
        let (mut bytes, mut copied, mut instead) = (all, 0, None);

        while let Some(seen) = self.commands.next(&mut bytes) {
            let at = all.len() - bytes.len();
            match seen {
                Seen::Begin(kind, length) => self.begin(kind, length)?,
                Seen::Bytes(part) => {
                    self.take(part)?;
                    // Held back until it is whole, and handed on in readable form.
                    if self.commands.kind() == b'C' {
                        let instead: &mut Vec<u8> = instead.get_or_insert_default();
                        instead.extend_from_slice(&all[copied..at - part.len()]);
                        self.connect.extend_from_slice(part);
                        copied = at;
                    }
                }
                Seen::End(kind) => {
                    if kind == b'C' {
                        connect::readable(&mut self.connect);
                        instead.get_or_insert_default().append(&mut self.connect);
                    }
                    self.end(kind)?;
                }
            }
        }

        if let Some(instead) = &mut instead {
            instead.extend_from_slice(&all[copied..]);
        }
        Ok(instead)
    }

    fn begin(&mut self, kind: u8, length: Option<usize>) -> Result<(), CloseReason> {
        let bad = |what| Err(CloseReason::Packet { kind, what });
        let Some(length) = length else {
            return bad("of any length");
        };
        match kind {
            // indymilter never answers one with content, where a body's packets have no replies.
            b'E' if length > 0 => return bad("without content"),
            b'B' | b'L' if length > PACKET_BYTES_MAX => return bad("short enough"),
            b'B' | b'L' => {}
            _ if length > WORDS_BYTES_MAX => return bad("short enough"),
            _ => {}
        }
        self.words = WordCounter::default();
        self.macros.stage = None;
        // The packet before this one has been handled: indymilter reads on only then.
        let large = length.saturating_sub(PACKET_BYTES_FREE);
        Ok(self.packet.set(large)?)
    }

    /// Counts the words of a packet that may have only a few.
    fn take(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let kind = self.commands.kind();
        if matches!(kind, b'B' | b'L') {
            return Ok(());
        }
        if kind == b'D' && self.words.bytes == 0 {
            self.macros.stage = STAGES.iter().position(|stage| *stage == bytes[0]);
        }
        self.words.bytes += bytes.len();
        self.words.words += memchr::memchr_iter(0, bytes).count();
        if self.words.words > WORDS_MAX {
            let what = "of a few words";
            return Err(CloseReason::Packet { kind, what });
        }
        Ok(())
    }

    fn end(&mut self, kind: u8) -> Result<(), CloseReason> {
        self.is_over |= kind == b'Q';
        if kind == b'D' {
            self.macros.keep(&self.words)?;
            if self.phase == DialoguePhase::Dialogue {
                self.patience.renew();
            }
            return Ok(());
        }
        self.command = kind;
        self.enter(phase_of(kind));
        Ok(())
    }

    /// Looks at bytes of our replies. The last reply about a message ends its content; a reply that
    /// is not the last one is about the last command, or one before it.
    fn look_at_replies(&mut self, mut bytes: &[u8]) {
        self.patience.passed(bytes.len());
        while let Some(seen) = self.replies.next(&mut bytes) {
            match seen {
                Seen::End(b'a' | b'r' | b't' | b'y' | b'd') => self.enter(DialoguePhase::Dialogue),
                Seen::End(b'c' | b's' | b'O') => self.enter(phase_of(self.command)),
                _ => {}
            }
        }
    }

    fn enter(&mut self, phase: DialoguePhase) {
        if phase == DialoguePhase::Dialogue || self.phase != phase {
            self.patience.renew();
        }
        self.phase = phase;
    }

    fn fail(&mut self, failure: CloseReason) -> io::Error {
        if self.failure.is_none() {
            self.tell(failure);
        }
        self.failure = Some(failure);
        let kind = match failure {
            CloseReason::Packet { .. } | CloseReason::Unreadable(_) => io::ErrorKind::InvalidData,
            CloseReason::Budget(_) => io::ErrorKind::OutOfMemory,
            CloseReason::Patience | CloseReason::Silence => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, failure)
    }

    /// Logs and counts the reason why we end the session.
    fn tell(&self, failure: CloseReason) {
        let during = match self.phase {
            DialoguePhase::Greeting => "greeting",
            DialoguePhase::Dialogue => "dialogue",
            DialoguePhase::Content => "content",
        };
        let reason = failure.reason();
        warn!(
            reason = reason.label(),
            during, "a milter session is ended, its mail has to come again: {failure}"
        );
        self.metrics.session_ended(reason);
    }

    /// The reason why indymilter has ended the session, when neither Postfix nor we have.
    fn unexplained(&self) -> Option<CloseReason> {
        if self.is_over || self.failure.is_some() || self.cut.is_cancelled() {
            return None;
        }
        if self.active.elapsed() >= SILENCE_MAX {
            return Some(CloseReason::Silence);
        }
        Some(CloseReason::Unreadable(self.commands.kind()))
    }

    /// Fails again, if it has failed.
    fn check(&mut self) -> io::Result<()> {
        self.failure
            .map_or(Ok(()), |failure| Err(self.fail(failure)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check()?;

        loop {
            if !this.ready.is_empty() {
                let length = this.ready.len().min(buffer.remaining());
                buffer.put_slice(&this.ready[..length]);
                this.ready.drain(..length);
                return Poll::Ready(Ok(()));
            }

            let filled = buffer.filled().len();
            match Pin::new(&mut this.stream).poll_read(cx, buffer) {
                Poll::Pending if this.is_impatient() => {
                    ready!(this.patience.poll_wait(cx));
                    return Poll::Ready(Err(this.fail(CloseReason::Patience)));
                }
                Poll::Ready(Ok(())) if buffer.filled().len() > filled => {
                    let in_time = this.patience.waited();
                    let looked = in_time.and_then(|()| this.look(&buffer.filled()[filled..]));
                    match looked {
                        Ok(None) => return Poll::Ready(Ok(())),
                        Ok(Some(instead)) => this.ready = instead,
                        Err(failure) => return Poll::Ready(Err(this.fail(failure))),
                    }
                    // The bytes that were read are handed on from `ready`, in the form in which they
                    // were put there.
                    buffer.set_filled(filled);
                }
                Poll::Pending => return Poll::Pending,
                over => {
                    this.is_over = true;
                    return over;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check()?;

        match Pin::new(&mut this.stream).poll_write(cx, bytes) {
            Poll::Pending => {
                ready!(this.patience.poll_wait(cx));
                Poll::Ready(Err(this.fail(CloseReason::Patience)))
            }
            Poll::Ready(Ok(written)) => {
                this.look_at_replies(&bytes[..written]);
                let in_time = this.patience.waited();
                Poll::Ready(match in_time {
                    Ok(()) => Ok(written),
                    Err(failure) => Err(this.fail(failure)),
                })
            }
            failed => {
                this.is_over = true;
                failed
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl<S> Drop for Guarded<S> {
    fn drop(&mut self) {
        if let Some(failure) = self.unexplained() {
            self.tell(failure);
        }
    }
}

impl CloseReason {
    fn reason(self) -> SessionEnd {
        match self {
            Self::Packet { .. } | Self::Unreadable(_) => SessionEnd::Packet,
            Self::Budget(_) => SessionEnd::Memory,
            Self::Patience | Self::Silence => SessionEnd::Timeout,
        }
    }
}

impl Macros {
    /// Keeps the cost of a stage's macros, which take the place of those that were there.
    fn keep(&mut self, words: &WordCounter) -> Result<(), Spent> {
        if let Some(stage) = self.stage {
            self.costs[stage] = words.bytes + words.words * WORD_COST;
        }
        let costs: usize = self.costs.iter().sum();
        self.share.set(costs.saturating_sub(MACROS_BYTES_FREE))
    }
}

/// The phase to which a command belongs.
fn phase_of(command: u8) -> DialoguePhase {
    match command {
        b'L' | b'N' | b'B' | b'E' => DialoguePhase::Content,
        _ => DialoguePhase::Dialogue,
    }
}

/// The time for which we still wait for the other side: the sum of all waits, with more for what passes.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    /// The time for which we have waited, in waits that are over.
    waited: Duration,
    /// The number of bytes that have passed.
    bytes: u64,
    /// The beginning of the wait that goes on.
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            waited: Duration::ZERO,
            bytes: 0,
            since: None,
            alarm: None,
        }
    }

    /// Counts bytes that have passed.
    fn passed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Ends a wait, if there is one. The alarm may be late where much else is to be done.
    fn waited(&mut self) -> Result<(), CloseReason> {
        let Some(since) = self.since.take() else {
            return Ok(());
        };
        self.waited += since.elapsed();
        if self.waited > self.limit + self.more() {
            return Err(CloseReason::Patience);
        }
        Ok(())
    }

    /// The time added to the limit for the bytes that have passed.
    fn more(&self) -> Duration {
        Duration::from_millis(self.bytes / (BYTES_PER_SECOND_MIN / 1000))
    }

    /// Starts over.
    fn renew(&mut self) {
        (self.waited, self.bytes) = (Duration::ZERO, 0);
    }

    /// Completes when patience is at its end.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let end = since + (self.limit + self.more()).saturating_sub(self.waited);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if alarm.deadline() > end {
            alarm.as_mut().reset(end);
        }
        // An alarm that is too early is set anew when it comes, not at each of many short waits.
        while alarm.as_mut().poll(cx).is_ready() {
            if alarm.deadline() >= end {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(end);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::{advance, pause},
    };

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn packet(kind: u8, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
        [&length[..], &[kind], data].concat()
    }

    fn terms(budget: &Budget) -> StreamTerms {
        StreamTerms {
            budget: budget.clone(),
            timeout: TIMEOUT,
            metrics: Metrics::new(),
            cut: CancellationToken::new(),
        }
    }

    /// The side of Postfix, and ours.
    fn pair(budget: &Budget) -> (DuplexStream, Guarded<DuplexStream>) {
        let (postfix, ours) = duplex(4 << 20);
        (postfix, Guarded::new(ours, &terms(budget)))
    }

    /// Takes all bytes that are there.
    async fn drain(ours: &mut Guarded<DuplexStream>) -> io::Result<()> {
        let mut buffer = vec![0; 8192];
        while let Some(read) = futures_util::FutureExt::now_or_never(ours.read(&mut buffer)) {
            read?;
        }
        Ok(())
    }

    /// What is there already; tokio's own budget does not count.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        futures_util::FutureExt::now_or_never(tokio::task::unconstrained(future))
    }

    /// What becomes of a stream of packets.
    async fn kind_of_failure(packets: &[u8], budget: usize) -> Option<io::ErrorKind> {
        let (mut postfix, mut ours) = pair(&Budget::new(budget));
        postfix.write_all(packets).await.unwrap();
        let failed = drain(&mut ours).await.err()?.kind();
        let again = ours.write(b"\0\0\0\x01c").await.unwrap_err().kind();
        assert_eq!(again, failed, "it goes on failing");
        Some(failed)
    }

    #[tokio::test]
    async fn packets_pass_up_to_their_limits_and_not_one_byte_past_them() {
        use io::ErrorKind::{InvalidData, OutOfMemory};
        let many = |words: usize| [b"M".as_slice(), &vec![0; words]].concat();
        for (packet, budget, expected) in [
            (b"\0\0\0\0".to_vec(), 0, None),
            (b"\0\0\0\0\0".to_vec(), 0, Some(InvalidData)),
            (packet(b'E', b""), 0, None),
            (packet(b'E', b"x"), 0, Some(InvalidData)),
            (packet(b'M', &vec![b'x'; WORDS_BYTES_MAX]), 0, None),
            (
                packet(b'M', &vec![b'x'; WORDS_BYTES_MAX + 1]),
                0,
                Some(InvalidData),
            ),
            (packet(b'R', &[0; WORDS_MAX]), 0, None),
            (packet(b'R', &[0; WORDS_MAX + 1]), 0, Some(InvalidData)),
            (
                packet(b'D', &many(WORDS_MAX)),
                WORDS_MAX * (WORD_COST + 1),
                None,
            ),
            (packet(b'D', &many(WORDS_MAX)), 0, Some(OutOfMemory)),
            (
                packet(b'D', &many(WORDS_MAX + 1)),
                usize::MAX,
                Some(InvalidData),
            ),
            (packet(b'B', &vec![0; PACKET_BYTES_FREE]), 0, None),
            (
                packet(b'B', &vec![0; PACKET_BYTES_FREE + 1]),
                0,
                Some(OutOfMemory),
            ),
            (
                packet(b'L', &vec![0; PACKET_BYTES_MAX]),
                PACKET_BYTES_MAX,
                None,
            ),
            (
                packet(b'L', &vec![0; PACKET_BYTES_MAX + 1]),
                usize::MAX,
                Some(InvalidData),
            ),
            (b"\xff\xff\xff\xffL".to_vec(), usize::MAX, Some(InvalidData)),
        ] {
            let found = kind_of_failure(&packet, budget).await;
            let (start, length) = (packet[..6.min(packet.len())].escape_ascii(), packet.len());
            assert_eq!(found, expected, "{start} of {length} bytes, {budget}");
        }
    }

    #[tokio::test]
    async fn who_connects_is_made_readable_however_the_bytes_come() {
        let before = [packet(b'O', &[0; 12]), packet(b'D', b"C")].concat();
        let after = packet(b'M', b"<a>\0");
        for (sent, handed_on) in [
            (
                &b"unknown\x004\0\0unknown\0"[..],
                &b"unknown\0U\0\0unknown\0"[..],
            ),
            (b"c\x006\0\x19IPv6:::1\0", b"c\x006\0\x19::1\0\0\0\0\0\0"),
            (b"c\x004\0\x19192.0.2.1\0", b"c\x004\0\x19192.0.2.1\0"),
            (b"", b""),
        ] {
            let sent = [&before, &packet(b'C', sent), &after[..]].concat();
            let expected = [&before, &packet(b'C', handed_on), &after[..]].concat();
            for piece in 1..=sent.len() {
                let (mut postfix, mut ours) = pair(&Budget::new(0));
                let mut read = Vec::new();
                for bytes in sent.chunks(piece) {
                    postfix.write_all(bytes).await.unwrap();
                    // A reader with little room gets all of it, one after the other.
                    let mut buffer = [0; 7];
                    while let Some(count) = at_once(ours.read(&mut buffer)) {
                        read.extend_from_slice(&buffer[..count.unwrap()]);
                    }
                }
                assert_eq!(read, expected, "in pieces of {piece}");
            }
        }
    }

    /// How many sessions were ended, for each reason.
    fn ended(metrics: &Metrics) -> [u64; 3] {
        ["memory", "packet", "timeout"].map(|reason| {
            let name = format!(r#"depollueur_milter_sessions_ended_total{{reason="{reason}"}} "#);
            let text = metrics.encode();
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.unwrap().parse().unwrap()
        })
    }

    #[tokio::test]
    async fn each_session_that_we_end_counts_once_and_no_other_does() {
        let quit = packet(b'Q', b"");
        let bad = packet(b'E', b"x");
        let large = packet(b'B', &vec![0; PACKET_BYTES_FREE + 1]);
        for (bytes, closes, cut, expected) in [
            (&quit, false, false, [0, 0, 0]),
            (&packet(b'N', b""), true, false, [0, 0, 0]),
            (&packet(b'N', b""), false, true, [0, 0, 0]),
            // Nothing that we look at is wrong with it: it is indymilter that cannot read it.
            (&packet(b'M', b"no end"), false, false, [0, 1, 0]),
            (&packet(b'?', b""), false, false, [0, 1, 0]),
            (&bad, false, false, [0, 1, 0]),
            (&bad, true, false, [0, 1, 0]),
            (&large, false, false, [1, 0, 0]),
        ] {
            let terms = terms(&Budget::new(0));
            let (mut postfix, ours) = duplex(4 << 20);
            let mut ours = Guarded::new(ours, &terms);
            postfix.write_all(bytes).await.unwrap();
            let postfix = (!closes).then_some(postfix);
            let mut buffer = vec![0; 8192];
            while let Some(read) = at_once(ours.read(&mut buffer)) {
                if !matches!(read, Ok(1..)) {
                    break;
                }
            }
            if cut {
                terms.cut.cancel();
            }
            drop((ours, postfix));
            let what = bytes[..6.min(bytes.len())].escape_ascii();
            assert_eq!(ended(&terms.metrics), expected, "{what}, {closes}, {cut}");
        }
    }

    #[tokio::test]
    async fn what_a_connection_holds_comes_back() {
        let budget = Budget::new(1 << 20);
        let (mut postfix, mut ours) = pair(&budget);
        let large = packet(b'L', &vec![b'x'; PACKET_BYTES_FREE + 100]);
        postfix.write_all(&large).await.unwrap();
        drain(&mut ours).await.unwrap();
        assert_eq!(budget.left(), (1 << 20) - 100);
        postfix.write_all(&packet(b'N', b"")).await.unwrap();
        drain(&mut ours).await.unwrap();
        assert_eq!(budget.left(), 1 << 20);
        for stage in [b'C', b'M', b'M', b'X'] {
            let macros = [&[stage][..], &vec![b'x'; MACROS_BYTES_FREE]].concat();
            postfix.write_all(&packet(b'D', &macros)).await.unwrap();
        }
        drain(&mut ours).await.unwrap();
        assert_eq!(budget.left(), (1 << 20) - MACROS_BYTES_FREE - 2);
        drop(ours);
        assert_eq!(budget.left(), 1 << 20);
    }

    /// Waits for the next byte, for at most two hours; says for how long, if in vain.
    async fn wait(ours: &mut Guarded<DuplexStream>) -> Option<Duration> {
        let begun = Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(7200), ours.read_u8()).await;
        match read {
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Some(begun.elapsed()),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    #[tokio::test]
    async fn silence_is_borne_between_messages_and_not_in_the_middle_of_one() {
        pause();
        let negotiated = [packet(b'O', &[0; 12]), packet(b'D', b"C")].concat();
        let header = packet(b'L', b"From\0a\0");
        for (after, bytes, expected) in [
            ("nothing", vec![], Some(TIMEOUT)),
            ("half a word", b"\0".to_vec(), Some(TIMEOUT)),
            ("the greeting", negotiated.clone(), None),
            (
                "half a packet",
                [&negotiated, &packet(b'M', b"<a>\0")[..7]].concat(),
                Some(TIMEOUT),
            ),
            ("a recipient", packet(b'R', b"<a>\0"), None),
            ("data", packet(b'T', b""), None),
            ("a field", header.clone(), Some(TIMEOUT)),
            (
                "macros of the body",
                [&header[..], &packet(b'D', b"B")].concat(),
                Some(TIMEOUT),
            ),
            ("the header", packet(b'N', b""), Some(TIMEOUT)),
            (
                "a chunk",
                [header, packet(b'B', &[0; 78_125])].concat(),
                Some(TIMEOUT + SECOND * 78 / 1000),
            ),
            ("the end", packet(b'E', b""), Some(TIMEOUT)),
            ("an abort", packet(b'A', b""), None),
        ] {
            let (mut postfix, mut ours) = pair(&Budget::new(1 << 20));
            postfix.write_all(&bytes).await.unwrap();
            drain(&mut ours).await.unwrap();
            let waited = wait(&mut ours).await;
            let (waited, expected) = (
                waited.map(|w| w.as_millis() / 10),
                expected.map(|w| w.as_millis() / 10),
            );
            assert_eq!(waited, expected, "after {after}");
        }
    }

    #[tokio::test]
    async fn the_last_word_about_a_message_ends_its_content_and_no_other_word_does() {
        pause();
        for (replies, is_content) in [
            (&b"c"[..], true),
            (b"s", true),
            (b"bb", true),
            (b"a", false),
            (b"t", false),
            (b"y", false),
            // The last word about the message before this one, which is told of already.
            (b"ac", true),
        ] {
            let (mut postfix, mut ours) = pair(&Budget::new(0));
            postfix.write_all(&packet(b'N', b"")).await.unwrap();
            drain(&mut ours).await.unwrap();
            for reply in replies {
                ours.write_all(&packet(*reply, b"")).await.unwrap();
            }
            assert_eq!(
                wait(&mut ours).await.is_some(),
                is_content,
                "{}",
                replies.escape_ascii()
            );
        }
    }

    #[tokio::test]
    async fn who_sends_or_takes_a_byte_now_and_then_is_cut_all_the_same() {
        pause();
        let (mut postfix, mut ours) = pair(&Budget::new(0));
        postfix.write_all(&packet(b'N', b"")).await.unwrap();
        drain(&mut ours).await.unwrap();
        let bytes = packet(b'B', &[b'x'; 100]);
        let slowly = async {
            for byte in bytes {
                advance(SECOND * 10).await;
                let _ = postfix.write_all(&[byte]).await;
            }
            std::future::pending::<()>().await;
        };
        let begun = Instant::now();
        let cut = async { while ours.read_u8().await.is_ok() {} };
        tokio::select! { () = cut => {}, () = slowly => {} }
        assert!((60..=80).contains(&begun.elapsed().as_secs()));

        let (mut postfix, ours) = duplex(10);
        let mut ours = Guarded::new(ours, &terms(&Budget::new(0)));
        let reply = packet(b'b', &[b'x'; 100]);
        let slowly = async {
            while postfix.read_u8().await.is_ok() {
                advance(SECOND * 10).await;
            }
            std::future::pending::<()>().await;
        };
        let begun = Instant::now();
        tokio::select! {
            written = ours.write_all(&reply) => {
                assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
            }
            () = slowly => {}
        }
        assert!((60..=80).contains(&begun.elapsed().as_secs()));
    }

    #[tokio::test]
    async fn what_makes_progress_may_take_its_time() {
        pause();
        let (mut postfix, mut ours) = pair(&Budget::new(0));
        postfix.write_all(&packet(b'N', b"")).await.unwrap();
        let chunk = packet(b'B', &[b'x'; 50_000]);
        for _ in 0..10_000 {
            drain(&mut ours).await.unwrap();
            advance(Duration::from_millis(45)).await;
            postfix.write_all(&chunk).await.unwrap();
        }
        drain(&mut ours).await.unwrap();
    }
}

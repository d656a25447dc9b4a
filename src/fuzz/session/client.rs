//! Plays Postfix: sends packets, takes replies, and looks at their order.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, split},
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        watch,
    },
    task::JoinHandle,
    time::timeout,
};

use super::mail::{Mail, Packet};
use crate::milter::in_memory::{InMemory, Meter};

/// Time after which a missing answer means that the milter is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// The longest packet that is taken.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// All actions that there are.
const ACTIONS: u32 = 0x1ff;
/// All but one of the steps of protocol version 6.
const STEPS: u32 = 0x1f_ffff;

const NO_REPLY_TO_FIELDS: u32 = 0x80;
/// No reply to the connection, the sender and the recipients.
const NO_REPLY_TO_ENVELOPE: u32 = 0x1000 | 0x4000 | 0x8000;
const NO_REPLY_TO_BODY: u32 = 0x8_0000;
const SKIP: u32 = 0x400;
const LEADING_SPACE: u32 = 0x10_0000;

/// The start of a link of the default configuration.
const LINK: &[u8] = b"http://127.0.0.1:8025/";

/// A connection as a mail server has it.
pub(super) struct Client {
    wire: WriteHalf<DuplexStream>,
    meter: Arc<Meter>,
    /// Number of bytes of replies that were taken; all of them when the connection is closed.
    taken: watch::Receiver<u64>,
    heard: UnboundedReceiver<Packet>,
    reader: JoinHandle<()>,
    /// All replies, in order.
    replies: Vec<Packet>,
    /// Number of bytes that were sent.
    sent: u64,
    /// Those of the last packet, while it is not whole.
    begun: Vec<u8>,
    /// Number of whole packets that end a mail.
    ends: usize,
    is_open: bool,
    steps: u32,
}

impl Client {
    /// Opens a connection and negotiates.
    pub(super) async fn open(milter: &InMemory, offer: u8) -> Self {
        let (pipe, meter) = milter.connect();
        let (read, wire) = split(pipe);
        let (said, heard) = unbounded_channel();
        let (takes, taken) = watch::channel(0);
        let reader = tokio::spawn(hear(read, said, takes));

        let mut client = Self {
            wire,
            meter,
            taken,
            heard,
            reader,
            replies: Vec::new(),
            sent: 0,
            begun: Vec::new(),
            ends: 0,
            is_open: true,
            steps: 0,
        };

        client.negotiate(offer).await;
        client
    }

    async fn negotiate(&mut self, offer: u8) {
        let (mut actions, mut steps) = (ACTIONS, STEPS);
        for (bit, step) in [
            (1, NO_REPLY_TO_FIELDS),
            (2, NO_REPLY_TO_BODY),
            (4, SKIP),
            (8, LEADING_SPACE),
            (128, NO_REPLY_TO_ENVELOPE),
        ] {
            steps &= if offer & bit == 0 { !0 } else { !step };
        }
        match offer >> 4 & 7 {
            1 => actions = 0x10,
            2 => actions = 0x1f & !0x8,
            _ => {}
        }

        let offered = [6_u32, actions, steps].map(u32::to_be_bytes).concat();
        self.tell(b'O', &offered).await;
        let (kind, data) = self.next().await.expect("an offer is answered");
        assert_eq!(kind, b'O');
        let number = |at: usize| {
            let bytes = data[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };

        assert_eq!((number(4) & !actions, number(8) & !steps), (0, 0));
        self.steps = number(8);

        self.tell(b'D', b"C{daemon_name}\0smtpd\0").await;
        self.tell(b'C', b"client\x004\x09\xc4192.0.2.1\0").await;
        if self.is_answered(b'C') {
            assert_eq!(self.next().await, Some((b'c', Vec::new())));
        }
    }

    /// Returns true if the milter has not closed the connection, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Sends a packet.
    pub(super) async fn tell(&mut self, kind: u8, data: &[u8]) {
        let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
        self.tell_lying(length, kind, data).await;
    }

    /// Sends a packet that tells a length other than its own.
    pub(super) async fn tell_lying(&mut self, length: u32, kind: u8, data: &[u8]) {
        let bytes = [&length.to_be_bytes(), &[kind][..], data].concat();
        self.write(&bytes).await;
    }

    /// Sends bytes as they are.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        let written = timeout(STUCK, self.wire.write_all(bytes)).await;
        self.is_open &= written.expect("the milter takes it").is_ok();
        self.sent += bytes.len() as u64;
        self.begun.extend_from_slice(bytes);
        self.pass_packets();
    }

    /// Counts whole packets, of which nothing else need be known.
    fn pass_packets(&mut self) {
        let mut rest = &self.begun[..];
        while let Some((head, data)) = rest.split_first_chunk::<5>() {
            let [a, b, c, d, kind] = *head;
            let length = u32::from_be_bytes([a, b, c, d]).saturating_sub(1) as usize;
            let Some(after) = data.get(length..) else {
                break;
            };
            self.ends += usize::from(kind == b'E');
            rest = after;
        }
        self.begun.drain(..self.begun.len() - rest.len());
    }

    /// Ends the packet that was begun, and waits until everything is answered; returns true if the
    /// milter still listens.
    pub(super) async fn synchronize(&mut self) -> bool {
        if let Some(missing) = self.missing() {
            self.write(&vec![0; missing]).await;
        }
        self.wait().await;
        self.is_open
    }

    /// Returns the number of bytes that the begun packet lacks; of one that is too long, only its
    /// head is completed, by which the milter knows that.
    fn missing(&self) -> Option<usize> {
        if self.begun.is_empty() {
            return None;
        }

        let mut length = [0; 4];
        let head = self.begun.len().min(4);
        length[..head].copy_from_slice(&self.begun[..head]);
        let whole = match u32::from_be_bytes(length) as usize {
            length @ 1..=PACKET_BYTES_MAX => 4 + length,
            _ => 5,
        };
        Some(whole.saturating_sub(self.begun.len()))
    }

    /// Waits until everything is answered, or the connection closed.
    async fn wait(&mut self) {
        let answered = answered(&self.meter, &mut self.taken, self.sent);
        timeout(STUCK, answered).await.expect("the milter reads on");
        self.is_open &= !self.meter.is_closed();
        while let Ok(reply) = self.heard.try_recv() {
            self.replies.push(reply);
        }
    }

    /// Sends a mail as Postfix does; returns the replies, with everything that differs from one
    /// time to another masked.
    pub(super) async fn send(&mut self, mail: &Mail) -> Vec<Packet> {
        let mut replies = Vec::new();
        let mut is_skipped = false;
        for (kind, data) in &mail.packets {
            if is_skipped && *kind == b'B' {
                continue;
            }
            self.tell(*kind, data).await;
            if !self.is_answered(*kind) {
                continue;
            }

            loop {
                let (answer, data) = self.next().await.expect("a mail is answered");
                replies.push((answer, data));
                match answer {
                    b'c' if *kind != b'E' => break,
                    b's' if *kind == b'B' => {
                        is_skipped = true;
                        break;
                    }
                    b'a' => return masked(replies),
                    _ => assert_eq!(*kind, b'E', "{} is answered", kind.escape_ascii()),
                }
            }
        }
        panic!("the end of a mail has no last word");
    }

    /// Sends a mail, and vanishes in the middle of it or of the replies to it.
    pub(super) async fn send_and_vanish(mut self, mail: &Mail, when: u8) {
        let packets = mail.packets.len();
        let (sent, heard) = match when {
            0..192 => (packets * usize::from(when) / 192, 0),
            _ => (packets, usize::from(when - 192)),
        };

        for (kind, data) in &mail.packets[..sent] {
            self.tell(*kind, data).await;
        }
        if let Some((_, data)) = mail.packets.get(sent) {
            let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
            self.tell_lying(length, b'B', &data[..data.len() / 2]).await;
        }

        for _ in 0..heard {
            tokio::select! {
                biased;
                Some(_) = self.heard.recv() => {}
                () = answered(&self.meter, &mut self.taken, self.sent) => break,
            }
        }

        self.reader.abort();
    }

    /// Ends the connection as Postfix does; returns the number of bytes that were said to be detached.
    pub(super) async fn close(mut self) -> u64 {
        if self.synchronize().await {
            self.tell(b'Q', b"").await;
        }
        while self.next().await.is_some() {}
        check_order(&self.replies, self.ends)
    }

    async fn next(&mut self) -> Option<Packet> {
        let reply = timeout(STUCK, self.heard.recv()).await;
        let reply = reply.expect("the milter answers")?;
        self.replies.push(reply.clone());
        Some(reply)
    }

    /// Returns true if the milter answers this kind of packet.
    fn is_answered(&self, kind: u8) -> bool {
        match kind {
            b'D' => false,
            b'C' | b'M' | b'R' => self.steps & NO_REPLY_TO_ENVELOPE == 0,
            b'L' => self.steps & NO_REPLY_TO_FIELDS == 0,
            b'B' => self.steps & NO_REPLY_TO_BODY == 0,
            _ => true,
        }
    }
}

/// Waits until all that was sent was read and answered, and the answers were taken.
async fn answered(meter: &Meter, taken: &mut watch::Receiver<u64>, sent: u64) {
    let written = meter.all_read(sent).await;
    // The end of the replies counts as more than any number of bytes.
    let _ = taken.wait_for(|taken| *taken >= written).await;
}

/// Takes replies as they come.
async fn hear(
    mut wire: ReadHalf<DuplexStream>,
    said: UnboundedSender<Packet>,
    takes: watch::Sender<u64>,
) {
    while let Ok(length) = wire.read_u32().await {
        let mut packet = vec![0; length as usize];
        wire.read_exact(&mut packet).await.expect("no reply is cut");
        let kind = packet.remove(0);
        if said.send((kind, packet)).is_err() {
            return;
        }
        takes.send_modify(|taken| *taken += u64::from(length) + 4);
    }
    takes.send_replace(u64::MAX);
}

/// Checks that there are replies to at most `ends` ends of mails: edits first, then the body in one
/// run, then the last word. Returns the bytes that accepted changes say were detached.
fn check_order(replies: &[Packet], ends: usize) -> u64 {
    let (mut told, mut changed) = (0, 0);
    let mut run: Vec<&Packet> = Vec::new();
    for reply in replies {
        match reply.0 {
            b'h' | b'm' | b'-' | b'p' => {
                assert!(
                    run.last().is_none_or(|last| last.0 != b'b'),
                    "after the body"
                );
                run.push(reply);
            }
            b'b' => run.push(reply),
            last if !run.is_empty() => {
                assert!(
                    b"at".contains(&last),
                    "{} ends a change",
                    last.escape_ascii()
                );
                assert!(reply.1.is_empty());
                told += run.iter().map(|edit| detached(edit)).sum::<u64>();
                changed += 1;
                run.clear();
            }
            other => assert!(b"cOsat".contains(&other), "{}", other.escape_ascii()),
        }
    }

    assert!(run.is_empty(), "a change has no last word");
    assert!(changed <= ends, "{changed} changes of {ends} mails");
    told
}

/// Returns the number of bytes that an edit says were detached.
fn detached((kind, data): &Packet) -> u64 {
    let Some(value) = data
        .strip_prefix(b"X-Depollueur\0")
        .filter(|_| *kind == b'h')
    else {
        return 0;
    };
    let value = String::from_utf8_lossy(value);
    let bytes = value.rsplit("bytes=").next().unwrap_or_default();
    let bytes = bytes.trim_end_matches('\0').parse();
    bytes.expect("it says how many")
}

/// Masks everything in replies that differs from one time to another: links, digits (there is a
/// date), and the cuts of the body.
fn masked(replies: Vec<Packet>) -> Vec<Packet> {
    let mut masked: Vec<Packet> = Vec::new();
    for (kind, data) in replies {
        match masked.last_mut() {
            Some((b'b', body)) if kind == b'b' => body.extend_from_slice(&data),
            _ => masked.push((kind, data)),
        }
    }

    for (_, data) in &mut masked {
        while let Some(at) = memchr::memmem::find(data, LINK) {
            let token = data[at + LINK.len()..].iter();
            let token = token
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
            data.drain(at..at + LINK.len() + token);
        }
        data.retain(|byte| !byte.is_ascii_digit());
    }
    masked
}

//! The milter's sessions, over a drop in a temporary directory: the one who plays Postfix goes
//! wrong in every way.
//!
//! The first byte chooses the configuration, the second what the mail server offers. Each line that
//! follows is a step; `|` stands for NUL and `^` for CR LF.
//!
//! | line | step |
//! |---|---|
//! | `=3k…` | a whole mail, the fourth of `mail::MAILS`, with the text `…`: sent as Postfix does, each reply awaited; `k` says how |
//! | `-3k…` | the same, but the client vanishes in the middle of it or of the replies; `k` says when |
//! | `Bdata` | a packet with this letter and these data |
//! | `%B99,data` | a packet that tells a wrong length |
//! | `!data` | bytes as they are |
//! | `*9Bdata` | a packet nine times |
//!
//! Properties: a whole mail fares as on a connection of its own, whatever came before it; replies
//! come in an order that Postfix can take; there are no more changed mails than ends of mails;
//! every byte in the drop was told of in a reply that was completed, or the client had vanished;
//! and in the end nothing is held by anybody.

mod client;
mod mail;

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::{
    client::Client,
    mail::{Mail, Packet},
};
use super::{byte, drop_in, home, line};
use crate::{
    config::{Config, RunMode},
    drop::FileDrop,
    filter::Filter,
    milter::in_memory::InMemory,
    store::Stores,
};

/// Number of conversations after which the drop is made anew: its content is bounded.
const CONVERSATIONS_MAX: u32 = 1000;

/// Maximum number of steps of a conversation.
const STEPS_MAX: usize = 40;

/// Maximum number of times that a packet is repeated.
const REPEAT_MAX: usize = 300;

/// Number of configurations.
const KINDS: u8 = 5;

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
}

/// A drop, milters over it, and their runtime.
struct Lab {
    drop: FileDrop,
    milters: HashMap<u8, InMemory>,
    /// The replies to mails on a connection of their own: by configuration, by the server's offer,
    /// and by the step.
    alone: HashMap<(u8, u8, Vec<u8>), Vec<Packet>>,
    conversations: u32,
    runtime: Runtime,
    _home: TempDir,
}

/// Checks an input: a byte for the configuration, one for the offer of the mail server; steps.
pub fn session(input: &[u8]) {
    LAB.with_borrow_mut(|lab| {
        if lab
            .as_ref()
            .is_some_and(|lab| lab.conversations >= CONVERSATIONS_MAX)
        {
            *lab = None;
        }
        let lab = lab.get_or_insert_with(Lab::new);
        lab.conversations += 1;
        lab.hold(input);
    });
}

impl Lab {
    fn new() -> Self {
        let home = home();
        let (drop, runtime) = drop_in(&home);
        Self {
            drop,
            milters: HashMap::new(),
            alone: HashMap::new(),
            conversations: 0,
            runtime,
            _home: home,
        }
    }

    /// Holds a conversation, and looks at the state that it leaves.
    fn hold(&mut self, mut input: &[u8]) {
        let kind = byte(&mut input) % KINDS;
        let offer = byte(&mut input);
        let Self {
            drop,
            milters,
            alone,
            runtime,
            ..
        } = self;

        let _entered = runtime.enter();
        let milter = milters.entry(kind).or_insert_with(|| start(drop, kind));

        runtime.block_on(async {
            let mut mails = Alone {
                milter,
                kind,
                offer,
                known: alone,
            };
            mails.learn(input).await;

            let before = stored(drop).await;
            let told = converse(Client::open(milter, offer).await, input, &mails).await;
            assert!(milter.is_at_rest().await, "something is still held");
            assert_eq!(milter.on_disk(), (0, 0), "something is still spooled");

            let deposited = stored(drop).await - before;
            assert!(
                told.is_none_or(|told| told == deposited),
                "{deposited} bytes were deposited, {told:?} told of"
            );
        });
    }
}

/// The replies to mails on connections of their own.
struct Alone<'a> {
    milter: &'a InMemory,
    kind: u8,
    offer: u8,
    known: &'a mut HashMap<(u8, u8, Vec<u8>), Vec<Packet>>,
}

impl Alone<'_> {
    /// Learns them for all mails of a conversation.
    async fn learn(&mut self, mut input: &[u8]) {
        for _ in 0..STEPS_MAX {
            let step = line(&mut input);
            let Some(mail) = whole_mail(step) else {
                continue;
            };
            let key = (self.kind, self.offer, step.to_vec());
            if self.known.contains_key(&key) {
                continue;
            }

            let mut client = Client::open(self.milter, self.offer).await;
            let replies = client.send(&mail).await;
            self.known.insert(key, replies);
            client.close().await;
        }

        assert!(self.milter.is_at_rest().await, "something is still held");
    }

    fn replies(&self, step: &[u8]) -> &[Packet] {
        &self.known[&(self.kind, self.offer, step.to_vec())]
    }
}

/// Takes the steps of a conversation; returns the bytes that the milter said it detached, `None`
/// when the client vanished and cannot know.
async fn converse(mut client: Client, mut input: &[u8], mails: &Alone<'_>) -> Option<u64> {
    for _ in 0..STEPS_MAX {
        if input.is_empty() || !client.is_open() {
            break;
        }
        let step = line(&mut input);
        if step.is_empty() {
            continue;
        }

        if let Some(mut mail) = step.strip_prefix(b"-") {
            let (number, when) = (byte(&mut mail), byte(&mut mail));
            let mail = Mail::new(number, when, mail);
            client.send_and_vanish(&mail, when).await;
            return None;
        }

        take(&mut client, step, mails).await;
    }
    Some(client.close().await)
}

async fn take(client: &mut Client, step: &[u8], mails: &Alone<'_>) {
    if let Some(mail) = whole_mail(step) {
        if client.synchronize().await {
            let replies = client.send(&mail).await;
            assert_eq!(replies, mails.replies(step), "it fares otherwise here");
        }
        return;
    }

    let mut rest = step;
    match byte(&mut rest) {
        b'%' => {
            let (kind, length) = (byte(&mut rest), number(&mut rest));
            rest = rest.strip_prefix(b",").unwrap_or(rest);
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            client.tell_lying(length, kind, &unescaped(rest)).await;
        }
        b'!' => client.write(&unescaped(rest)).await,
        b'*' => {
            let times = number(&mut rest).min(REPEAT_MAX);
            let (kind, data) = (byte(&mut rest), unescaped(rest));
            for _ in 0..times {
                client.tell(kind, &data).await;
            }
        }
        kind => client.tell(kind, &unescaped(rest)).await,
    }
}

/// Returns the mail of a step.
fn whole_mail(step: &[u8]) -> Option<Mail> {
    let mut rest = step.strip_prefix(b"=")?;
    let (number, how) = (byte(&mut rest), byte(&mut rest));
    Some(Mail::new(number, how, rest))
}

fn number(input: &mut &[u8]) -> usize {
    let mut number = 0_usize;
    while let Some(digit @ b'0'..=b'9') = input.first() {
        number = number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'));
        byte(input);
    }
    number
}

fn unescaped(data: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(data.len());
    for &byte in data {
        match byte {
            b'|' => plain.push(0),
            b'^' => plain.extend_from_slice(b"\r\n"),
            _ => plain.push(byte),
        }
    }
    plain
}

/// Returns the number of bytes in the drop.
async fn stored(drop: &FileDrop) -> u64 {
    drop.level().await.expect("the drop can be asked").stored
}

fn start(drop: &FileDrop, kind: u8) -> InMemory {
    let mut config = Config::default();
    config.detach.threshold = 100;
    config.notice.time_zone = TimeZone::UTC;
    config.milter.outgoing_daemons = Vec::new();
    config.milter.header_memory = 1 << 20;
    match kind {
        1 => config.detach.threshold = 0,
        2 => config.detach.mode = RunMode::DryRun,
        3 => config.milter.max_messages = 1,
        4 => config.spool.memory = 0,
        _ => {}
    }
    let stores = Stores::of_drop(drop.clone(), &config.web.public_url);
    InMemory::start(Filter::new(Arc::new(config), stores))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the answers to a mail, one letter each, by the offer.
    fn letters(offer: u8, number: u8, how: u8) -> String {
        let mut lab = Lab::new();
        let step = [b'=', number, how];
        lab.hold(&[&[b'2', offer][..], &step].concat());
        let replies = &lab.alone[&(b'2' % KINDS, offer, step.to_vec())];
        replies.iter().map(|(kind, _)| char::from(*kind)).collect()
    }

    #[test]
    fn the_mails_fare_as_they_are_meant_to() {
        for (number, how, expected) in [
            (b'0', b'0', "cccca"),
            (b'1', b'0', "ccccchba"),
            (b'2', b'0', "ccccca"),
            (b'3', b'0', "cccccmmhhba"),
            (b'4', b'0', "ccccca"),
            (b'5', b'0', "cccca"),
            (b'6', b'0', "ccccchba"),
            (b'7', b'0', "ccccchba"),
            (b'8', b'0', "ccccca"),
            (b'8', b'1', "cccccmma"),
            (b'9', b'0', "ccccchba"),
            (b'1', b' ', "a"),
        ] {
            let (name, how_named) = (char::from(number), char::from(how));
            assert_eq!(letters(0xc0, number, how), expected, "{name}{how_named}");
            let end = letters(0x40, number, how);
            assert!(expected.ends_with(&end), "{name}{how_named}: {end}");
            let is_short = expected.len() - end.len() == expected.len().min(4) - 1;
            assert!(
                is_short,
                "{name}{how_named}: {end}, the envelope is answered once"
            );
        }
    }
}

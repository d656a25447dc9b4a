//! The whole filter, over a drop in a temporary directory.

use std::{cell::RefCell, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use jiff::{Timestamp, tz::TimeZone};
use mailsplice::{
    l10n::Language,
    mime::{Decoder, Event, Field, Head, MediaType, Scanner, TransferEncoding, head},
    rewrite::{Eol, Position},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{byte, choice, cut, drop_in, home, reference};
use crate::{
    config::{Config, NoticeLanguage},
    drop::{FileDrop, FileEntry, PackageLookup, Token},
    envelope::{Direction, Envelope, HeaderEdit},
    filter::{Filter, Reason, Rewritten, Start, Verdict},
    store::Stores,
};

/// Number of messages after which the drop is made anew: its content is bounded.
const MESSAGES_MAX: u32 = 1000;

thread_local! {
    static LAB: RefCell<Option<Lab>> = const { RefCell::new(None) };
}

/// A drop and its runtime.
struct Lab {
    drop: FileDrop,
    runtime: Runtime,
    messages: u32,
    _home: TempDir,
}

/// The outcome for a message, in a form that can be compared though each link is another: the
/// reason for which it goes out as it came, or the header edits, the decoded leaves, and the
/// sender's bytes that are kept.
type Outcome = Result<(Vec<HeaderEdit>, Vec<BString>, BString), Reason>;

/// Bytes that show as text.
#[derive(PartialEq, Eq)]
struct BString(Vec<u8>);

impl std::fmt::Debug for BString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A message on its way through the filter.
struct Mail {
    fields: Vec<Field>,
    body: Vec<u8>,
    eol: Eol,
}

/// A leaf.
struct Part {
    encoding: TransferEncoding,
    raw: Vec<u8>,
    /// `None` where it is malformed.
    decoded: Option<Vec<u8>>,
}

/// Checks an input: a byte for the threshold, one for the notice, one for the cuts; a message.
pub fn message(input: &[u8]) {
    let mut message = input;
    let config = config(byte(&mut message), byte(&mut message));
    let seed = byte(&mut message);
    let Some(mail) = Mail::read(message) else {
        return;
    };

    in_lab(async |drop| {
        let stores = Stores::of_drop(drop.clone(), &config.web.public_url);
        let filter = Filter::new(Arc::new(config), stores);
        check(&filter, &drop, mail, seed).await;
    });
}

fn config(detach: u8, notice: u8) -> Config {
    let mut config = Config::default();
    let thresholds = [
        (0, None),
        (1, None),
        (100, None),
        (1000, None),
        (u64::MAX, Some(0)),
        (100, Some(150)),
    ];
    (config.detach.threshold, config.detach.message_threshold) = choice(&thresholds, detach);

    let positions = [Position::BeforeQuote, Position::Start, Position::End];
    config.notice.position = choice(&positions, notice);

    let languages = [
        NoticeLanguage::One(Language::Fr),
        NoticeLanguage::One(Language::En),
        NoticeLanguage::Auto,
    ];
    config.notice.language = choice(&languages, notice / 3);
    config.notice.time_zone = TimeZone::UTC;
    config.spool.memory = 1 << 20;
    config
}

/// Checks that the outcome for a message does not depend on how its bytes come, that the filter
/// keeps its promises, and that it has nothing more to do with a rewritten message.
async fn check(filter: &Filter, drop: &FileDrop, mail: Mail, seed: u8) {
    let pieces = cut(&mail.body, seed);
    let other = match seed % 4 {
        0 => mail.body.chunks(1).collect(),
        _ => vec![&*mail.body],
    };

    let expected = mail.outcome(filter, &other).await;
    assert_eq!(mail.outcome(filter, &pieces).await, expected);

    let Ok(mut rewritten) = mail.filtered(filter, &pieces).await else {
        return;
    };

    let files = files(drop, &rewritten).await;
    let parts = || files.iter().filter(|file| !file.opened);
    assert_eq!(rewritten.detached, parts().count());
    let bytes: u64 = parts().map(|file| file.size).sum();
    assert_eq!(rewritten.detached_bytes, bytes);
    mail.check_files(&files);

    let (_, body) = mail.check_body(&mut rewritten).await;
    let link = rewritten.link.as_bytes();
    let mut after = Mail { body, ..mail };
    after.edit(&rewritten.header_edits);
    assert!(after.parts().iter().any(|part| part.shows(link)));

    let again = after.filtered(filter, &cut(&after.body, seed)).await;
    assert!(again.is_err(), "detached twice");
}

/// Checks that the same message comes out whole, byte by byte, and cut in two at every place. It
/// takes long: for tests.
#[cfg(test)]
pub(super) fn everywhere(input: &[u8]) {
    let mut message = input;
    let config = config(byte(&mut message), byte(&mut message));
    byte(&mut message);
    let Some(mail) = Mail::read(message) else {
        return;
    };
    in_lab(async |drop| {
        let stores = Stores::of_drop(drop, &config.web.public_url);
        let filter = Filter::new(Arc::new(config), stores);

        let body = &*mail.body;
        let whole = mail.outcome(&filter, &[body]).await;
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(mail.outcome(&filter, &single).await, whole);

        for at in 1..body.len() {
            let halves = [&body[..at], &body[at..]];
            assert_eq!(mail.outcome(&filter, &halves).await, whole, "cut at {at}");
        }
    });
}

/// Runs something over the drop of this thread.
fn in_lab(work: impl AsyncFnOnce(FileDrop)) {
    LAB.with_borrow_mut(|lab| {
        if lab.as_ref().is_some_and(|lab| lab.messages >= MESSAGES_MAX) {
            *lab = None;
        }
        let lab = lab.get_or_insert_with(Lab::new);
        lab.messages += 1;
        lab.runtime.block_on(work(lab.drop.clone()));
    });
}

async fn files(drop: &FileDrop, rewritten: &Rewritten) -> Vec<FileEntry> {
    let token = rewritten.link.rsplit('/').next().unwrap_or_default();
    let token: Token = token.parse().expect("the link ends in a token");
    match drop.find(&token, Timestamp::now()).await {
        Ok(PackageLookup::Live(package)) => package.files,
        other => panic!("{other:?}"),
    }
}

impl Lab {
    fn new() -> Self {
        let home = home();
        let (drop, runtime) = drop_in(&home);
        Self {
            drop,
            runtime,
            messages: 0,
            _home: home,
        }
    }
}

impl Mail {
    fn read(message: &[u8]) -> Option<Self> {
        let blank = |end: &[u8]| memchr::memmem::find(message, end).map(|at| at + end.len());
        let body = [blank(b"\n\n"), blank(b"\n\r\n")]
            .into_iter()
            .flatten()
            .min()?;
        let (header, body) = message.split_at(body);
        Some(Self {
            fields: head::split(header).ok()?,
            body: body.to_vec(),
            eol: if header.ends_with(b"\r\n") {
                Eol::CrLf
            } else {
                Eol::Lf
            },
        })
    }

    /// Returns the outcome for the message in these pieces.
    async fn outcome(&self, filter: &Filter, pieces: &[&[u8]]) -> Outcome {
        let mut rewritten = self.filtered(filter, pieces).await?;
        let (kept, body) = self.check_body(&mut rewritten).await;
        let mut after = Self {
            fields: self.fields.clone(),
            body,
            eol: self.eol,
        };
        after.edit(&rewritten.header_edits);
        let mask = |leaf: Vec<u8>| BString(masked(&leaf, rewritten.link.as_bytes()));
        let leaves = after.leaves().into_iter().map(mask).collect();
        Ok((rewritten.header_edits, leaves, BString(kept)))
    }

    /// Sends the message through the filter; gives the reason if it goes out as it came.
    async fn filtered(&self, filter: &Filter, pieces: &[&[u8]]) -> Result<Rewritten, Reason> {
        let envelope = Envelope {
            queue_id: "4abCDe12".into(),
            sender: "alice@example.org".into(),
            recipients: vec!["bob@example.net".into()],
            direction: Direction::Incoming,
            login: None,
            ..Envelope::default()
        };

        let mut message = match filter.begin(envelope, &self.fields, self.eol) {
            Start::Scan(message) => message,
            Start::Pass(why) => return Err(why),
            other => panic!("nobody asked for it: {other:?}"),
        };

        for chunk in pieces {
            message.push(chunk).await;
        }

        match message.end().await {
            Verdict::Pass(Reason::Direction | Reason::Header) => panic!("known before the body"),
            Verdict::Pass(why) => Err(why),
            Verdict::Rewrite(rewritten) => Ok(rewritten),
            Verdict::Fail(error) => panic!("{error}"),
        }
    }

    fn head(&self) -> Head {
        Head::read(&self.fields, MediaType::new("text", "plain")).expect("the header is sound")
    }

    /// Returns the decoded bodies of the leaves that can be decoded; the message must be unambiguous.
    fn leaves(&self) -> Vec<Vec<u8>> {
        let parts = self.parts().into_iter();
        parts.filter_map(|part| part.decoded).collect()
    }

    fn parts(&self) -> Vec<Part> {
        let root = self.head();
        let limits = Config::default().limits.structure();
        let mut scanner = Scanner::new(&root, limits).expect("the boundary is sound");
        let (mut encoding, mut leaf) = (root.encoding, Decoder::new(root.encoding));
        let mut is_half_broken = false;
        let (mut decoded, mut raw, mut parts) = (Vec::new(), Vec::new(), Vec::new());

        for is_end in [false, true] {
            let mut events = if is_end {
                scanner.end()
            } else {
                scanner.scan(&self.body)
            };
            while let Some(event) = events.next() {
                match event {
                    Event::Ambiguous(why) => panic!("{why}"),
                    Event::Head(head) => {
                        (encoding, leaf) = (head.encoding, Decoder::new(head.encoding));
                        is_half_broken = false;
                        raw.clear();
                    }
                    Event::Body(bytes) => {
                        raw.extend_from_slice(bytes);
                        is_half_broken = encoding == TransferEncoding::QuotedPrintable
                            && bytes.last().map_or(is_half_broken, |&last| last == b'=');
                        let pushed = leaf.as_mut().map(|leaf| leaf.push(bytes, &mut decoded));
                        leaf = leaf.filter(|_| pushed == Some(Ok(())));
                    }
                    Event::End { .. } => {
                        // Readers take the delimiter's line end for that of the soft break.
                        if is_half_broken && let Some(leaf) = &mut leaf {
                            let _ = leaf.push(b"\r\n", &mut decoded);
                        }
                        let ended = leaf.take().map(|leaf| leaf.finish(&mut decoded));
                        let whole = std::mem::take(&mut decoded);
                        parts.push(Part {
                            encoding,
                            raw: std::mem::take(&mut raw),
                            decoded: (ended == Some(Ok(()))).then_some(whole),
                        });
                    }
                    Event::Structure(_) | Event::Delimiter { .. } | Event::Begin { .. } => {}
                }
            }
        }

        parts
    }

    /// Checks that the files of the package are decoded leaves, in the order of the message.
    fn check_files(&self, files: &[FileEntry]) {
        let leaves = self.leaves();
        let mut leaves = leaves.iter();
        for file in files.iter().filter(|file| !file.opened) {
            let is_it = |leaf: &Vec<u8>| {
                leaf.len() as u64 == file.size && digest(&SHA256, leaf).as_ref() == file.sha256
            };
            assert!(leaves.any(is_it), "{file:?}");
        }
    }

    /// Checks that all that the new body keeps is the sender's, in the sender's order; returns that
    /// and the new body.
    async fn check_body(&self, rewritten: &mut Rewritten) -> (Vec<u8>, Vec<u8>) {
        let (mut at, mut kept, mut body) = (0, Vec::new(), Vec::new());
        while let Some((is_senders, bytes)) = rewritten.next_run().await.expect("it is read back") {
            assert!(!bytes.is_empty() && bytes.len() <= 65_535);
            if is_senders {
                let found = memchr::memmem::find(&self.body[at..], &bytes);
                at += found.expect("what is kept is the sender's") + bytes.len();
                kept.extend_from_slice(&bytes);
            }
            body.extend_from_slice(&bytes);
        }
        (kept, body)
    }

    fn edit(&mut self, edits: &[HeaderEdit]) {
        for edit in edits {
            let (name, value) = match edit {
                HeaderEdit::Replace { name, value } => (name, Some(value)),
                HeaderEdit::Append { name, value } => (name, Some(value)),
                HeaderEdit::Remove { name } => (name, None),
                HeaderEdit::Change { .. } => panic!("nobody asked for it"),
            };
            let is_it = |field: &Field| field.name.eq_ignore_ascii_case(name.as_bytes());
            if !matches!(edit, HeaderEdit::Append { .. }) {
                assert_eq!(self.fields.iter().filter(|field| is_it(field)).count(), 1);
                self.fields.retain(|field| !is_it(field));
            }
            self.fields.extend(value.map(|value| Field {
                name: name.clone().into_bytes(),
                value: value.clone().into_bytes(),
            }));
        }
    }
}

impl Part {
    /// Returns true if readers see the link in it.
    fn shows(&self, link: &[u8]) -> bool {
        let shown = match (&self.decoded, self.encoding) {
            (Some(decoded), _) => decoded.clone(),
            (None, TransferEncoding::QuotedPrintable) => {
                reference::shown_quoted_printable(&self.raw)
            }
            (None, _) => return false,
        };
        memchr::memmem::find(&shown, link).is_some()
    }
}

/// Returns a text without the link, and then without digits: a clock stands in the notice.
fn masked(text: &[u8], link: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(text.len());
    let mut at = 0;
    for found in memchr::memmem::find_iter(text, link) {
        masked.extend_from_slice(&text[at..found]);
        at = found + link.len();
    }
    masked.extend_from_slice(&text[at..]);
    masked.retain(|byte| at == 0 || !byte.is_ascii_digit());
    masked
}

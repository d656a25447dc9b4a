//! A streaming MIME scanner and rewriter that splices raw bytes: whatever it does not change stays the
//! sender's, byte for byte.
//!
//! # The way of a message
//!
//! ```text
//! bytes ─► mime::Scanner ─► events ─► the caller decides ─► rewrite::insert ─► splices ─► bytes
//! ```
//!
//! The caller reads, writes and decides; here nothing opens a file, waits, or asks for the time. The
//! modules, in the order in which a message meets them:
//!
//! * [`mime`] – header fields, the structure of a message as events, transfer decoding, `winmail.dat`
//! * [`names`] – hostile file names made safe
//! * [`l10n`] – languages: their sizes and dates, and the one in which a message is written
//! * [`notice`] – the text that tells a reader what was taken out, as text and as HTML, and the
//!   templates that replace it
//! * `text` – the place of the notice in a decoded text
//! * [`rewrite`] – a text part in, splices out
//!
//! # Example
//!
//! A notice is put into the text of a message, of which no other byte changes:
//!
//! ```
//! use mailsplice::{
//!     Limits,
//!     l10n::Language,
//!     mime::{Event, Events, Head, MediaType, Scanner},
//!     notice::{Notice, NoticeFile},
//!     rewrite::{
//!         Eol, Position, apply,
//!         insert::{TextKind, TextPart, insert},
//!     },
//! };
//!
//! let header = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n";
//! let body = b"--b\r\n\r\nHello\r\n-- \r\nAlice\r\n--b--\r\n";
//!
//! // The place of each part, its body and its end; and the head of the text.
//! let (mut at, mut begin, mut end, mut text) = (0, 0, 0, None);
//! let mut read = |mut events: Events<'_>| {
//!     while let Some(event) = events.next() {
//!         match event {
//!             Event::Structure(bytes) | Event::Body(bytes) => at += bytes.len(),
//!             Event::Delimiter { line, .. } => at += line.len(),
//!             Event::Begin { .. } => begin = at,
//!             Event::Head(head) => text = Some((at - begin, head.clone())),
//!             Event::End { part: 1 } => end = at,
//!             Event::End { .. } => {}
//!             Event::Ambiguous(why) => panic!("left as it is: {why}"),
//!         }
//!     }
//! };
//!
//! let root = Head::parse(header, MediaType::TEXT_PLAIN)?;
//! let mut scanner = Scanner::new(&root, Limits::default())?;
//! for chunk in body.chunks(10) {
//!     read(scanner.scan(chunk));
//! }
//! read(scanner.end());
//!
//! let (body_start, head) = text.expect("a part");
//! let part = TextPart {
//!     raw: &body[begin..end],
//!     body_start,
//!     kind: TextKind::Plain,
//!     charset: head.charset.as_deref(),
//!     encoding: head.encoding,
//! };
//! let notice = Notice {
//!     language: Language::En,
//!     also: None,
//!     files: vec![NoticeFile { name: "report.pdf".into(), bytes: 9_400_000 }],
//!     link: "https://drop.example/k7Vw2mQ9xLr4T8bN1cZ5dA".into(),
//!     expires: "2026-12-22T18:02:00+01:00[Europe/Paris]".parse().expect("a moment"),
//!     operator: "asso.example".into(),
//!     own: None,
//!     is_encrypted: true,
//! };
//! let splices = insert(&part, &notice, Position::BeforeQuote, Eol::CrLf)?;
//! let new = String::from_utf8(apply(part.raw, &splices))?;
//!
//! assert!(new.starts_with("\r\nHello\r\n"));
//! assert!(new.contains("\r\n1 attached file,\r\nto download until 22 December 2026 at 18:02"));
//! assert!(new.ends_with("\r\n-- \r\nAlice"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Invariants
//!
//! 1. The bytes in a scanner's events are those that came in: none is lost, added or moved.
//! 2. What readers of mail are known to see differently is a [`mime::Ambiguity`], never a guess.
//! 3. Splices change nothing but what they name.
//! 4. Memory is bounded by [`Limits`] and by the parts that the caller hands over, never by the message.
//! 5. Nothing in a message can make it panic, loop, or allocate without bound.

pub mod l10n;
mod limits;
pub mod mime;
pub mod names;
pub mod notice;
pub mod rewrite;
mod text;

pub use self::limits::Limits;

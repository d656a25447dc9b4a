//! A milter that takes the heavy attachments out of each mail, keeps them once in an authenticated
//! file drop for one month, and writes links into the body.
//!
//! # The way of a message
//!
//! ```text
//! Postfix ─► milter ─► mailsplice::mime ─► rules ─► drop ─► mailsplice::rewrite ─► milter ─► Postfix
//!             (I/O)         (pure)         (pure)   (I/O)         (pure)           (I/O)
//!                                                    └────► web ─► the reader of the mail
//! ```
//!
//! `doc/architecture.md` has the floors, the way of a chunk and of a link, and our words. The modules, in
//! the order in which a message meets them:
//!
//! * [`config`] – the admin's decisions, read once, valid from then on
//! * [`loaded`] – the contents of files that the configuration names
//! * [`envelope`] – the nouns of a message: its direction, its people, the origin of its files, changes to its header
//! * [`milter`] – the conversation with Postfix: sockets, callbacks, the session
//! * [`filter`] – one message through all the stages; the only module that knows them all
//! * [`mailsplice`] – the engine, a crate of its own: the scanner, the rewriter, the notice
//! * [`policy`] – the parties who decide: the sender, the users, the admin's rules
//! * [`rules`] – the choice of the parts to detach, with the reasons
//! * `budget` – memory that all messages share
//! * `credentials` – secrets and certificates in files
//! * `aside` – values that are given up are dropped on a thread of their own, for that waits for the disk
//! * `gather` – small writes handed over together
//! * `lock` – mutexes whose values are whole at every instant
//! * [`lookup`] – the people behind an address: Postfix is asked for its tables, aliases, extensions
//! * `sender` – the sender of a message, as far as that is certain
//! * `untrusted` – text from outside, which is printed only escaped
//! * `threads` – the names of threads
//! * `units` – the processes of the daemon, and which systemd units run them here
//! * [`spool`] – the bytes that stay, in memory first, then in an unlinked file
//! * [`store`] – the destination of detached files: the drop of this process, with files in it or at a Jirafeau, or the
//!   drop of another host
//! * [`ledger`] – who deposited what, what became of it, until when: records, quotas, the audit log, statistics
//! * [`drop`](mod@drop) – the place for the bytes: tokens, encryption, drafts
//! * [`scan`] – clamd is asked about each file on its way into the drop
//! * [`decisions`] – the decisions on each message, kept for some days
//! * `http` – the server under pages, deposits and metrics: connections, limits on clients
//! * `outbound` – what every HTTP client begins with: certificates, secrets
//! * `jirafeau` – files at a Jirafeau: a client of its `script.php`
//! * `remote` – deposits over HTTP: the client of another host's drop, and the server for milters of other hosts
//! * [`web`] – the pages for the reader of the mail: landing page, downloads
//! * `mailer` – mail of our own: reports by readers
//! * [`metrics`] – the counters and gauges of the process
//! * [`admin`] – health and metrics, on a listener of their own
//! * [`cli`] – the commands
//!
//! # Invariants
//!
//! 1. A message we do not change is not touched by a single byte. In one we change, every byte
//!    outside the removed parts and the notice is the sender's.
//! 2. A link is sent only after its file would survive a power cut.
//! 3. Each removed part's decoded bytes are exactly what its link serves.
//! 4. Memory per session is bounded by configuration, never by the message.
//! 5. Nothing in a message can make us panic, loop, allocate without bound, or write outside the
//!    drop's directory.
//! 6. A second pass over our own output changes nothing.
//! 7. Scanner, rules and rewriter do no I/O and have no clock.

pub mod admin;
mod aside;
mod budget;
pub mod cli;
pub mod config;
mod credentials;
pub mod decisions;
pub mod drop;
pub mod envelope;
pub mod filter;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod gather;
mod http;
mod jirafeau;
pub mod ledger;
pub mod loaded;
mod lock;
pub mod lookup;
mod mailer;
pub mod metrics;
pub mod milter;
mod outbound;
pub mod policy;
mod remote;
pub mod rules;
pub mod scan;
mod sender;
pub mod spool;
pub mod store;
mod threads;
mod units;
mod untrusted;
pub mod web;

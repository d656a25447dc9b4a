//! Copies of one message that arrive separately share one package and one link.
//!
//! A list server sends one message to each member in a transaction of its own; a client tries again when
//! a milter behind us refused for the moment. All of these have one `Message-ID`, come the same way
//! from the same login, and hold the same files under the same names: then the package of the first is that
//! of the others, as long as it can be fetched. Where one byte of a file differs, nothing is shared.
//!
//! All who get a shared link had its files in their own mail. A shared package is remembered for an
//! hour, in memory only, after it was committed: a message that was never finished has nothing to
//! share. While one copy commits, the others wait for it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::digest::{self, SHA256};
use jiff::Timestamp;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time::Instant,
};

use super::Message;
use crate::{
    drop::Link,
    lock::lock,
    store::{OpenPackage, Store},
};

/// The time for which a package is shared.
const SHARED_FOR: Duration = Duration::from_secs(60 * 60);

/// Messages whose packages are remembered; with more, those that came first are forgotten.
const COPIES_MAX: usize = 4096;

/// A digest of what makes messages copies of each other.
type CopyKey = [u8; 32];

/// The package of the messages of one key, once there is one.
type CopySlot = Arc<AsyncMutex<Option<SharedPackage>>>;

/// The packages of the last hour. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Copies(Arc<Mutex<RecentPackages>>);

#[derive(Debug, Default)]
struct RecentPackages {
    slots: HashMap<CopyKey, CopySlot>,
    /// The keys in the order in which they came.
    order: VecDeque<(Instant, CopyKey)>,
}

/// A package that copies share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedPackage {
    pub(super) link: String,
    /// The time until which it can be fetched.
    pub(super) expires: Timestamp,
}

/// The turn of one of several copies. The next one has its turn when this is dropped.
#[derive(Debug)]
pub(super) struct CopyTurn {
    slot: OwnedMutexGuard<Option<SharedPackage>>,
}

impl Copies {
    fn slot(&self, key: CopyKey, now: Instant) -> CopySlot {
        let mut slots = lock(&self.0);
        slots.forget(now);
        if let Some(slot) = slots.slots.get(&key) {
            return Arc::clone(slot);
        }
        slots.order.push_back((now, key));
        Arc::clone(slots.slots.entry(key).or_default())
    }
}

impl RecentPackages {
    /// Forgets the packages that are too old, and makes room for one more.
    fn forget(&mut self, now: Instant) {
        while let Some((since, key)) = self.order.front() {
            let is_old = now.duration_since(*since) >= SHARED_FOR;
            if !is_old && self.order.len() < COPIES_MAX {
                return;
            }
            self.slots.remove(key);
            self.order.pop_front();
        }
    }
}

impl CopyTurn {
    /// Waits for the turn of a message among its copies, and asks its store whether the package that they
    /// have can be fetched. `None` where the message can have no copies.
    pub(super) async fn wait(
        message: &Message,
        package: &dyn OpenPackage,
        created: Timestamp,
        expires: Timestamp,
    ) -> Option<Self> {
        let key = key(message, package, created, expires)?;
        let slot = message.filter().copies.slot(key, Instant::now());
        let mut turn = Self {
            slot: slot.lock_owned().await,
        };
        if let Some(shared) = turn.slot.take() {
            let store = message.shipping().store(message.filter())?;
            *turn.slot = is_there(message, &**store, &shared).await;
        }
        Some(turn)
    }

    /// The package of the earlier copies.
    pub(super) fn shared(&self) -> Option<&SharedPackage> {
        self.slot.as_ref()
    }

    /// Shares a package that was committed.
    pub(super) fn share(mut self, link: &str, expires: Timestamp) {
        *self.slot = Some(SharedPackage {
            link: link.to_owned(),
            expires,
        });
    }
}

/// Returns a package if it can still be fetched, with its expiry: it may have been revoked, blocked
/// or extended.
async fn is_there(
    message: &Message,
    store: &dyn Store,
    shared: &SharedPackage,
) -> Option<SharedPackage> {
    let files = message.shipping().detached().iter();
    let files: Vec<_> = files.filter_map(|file| file.file.as_deref()).collect();
    let found = store.committed(&shared.link, &files, shared.expires).await;
    match found {
        Ok(expires) => expires.map(|expires| SharedPackage {
            link: shared.link.clone(),
            expires,
        }),
        Err(error) => {
            let queue_id = &message.envelope().queue_id;
            tracing::debug!(queue_id, "a package of its own: {error}");
            None
        }
    }
}

/// The digest of everything that copies have in common.
fn key(
    message: &Message,
    package: &dyn OpenPackage,
    created: Timestamp,
    expires: Timestamp,
) -> Option<CopyKey> {
    let message_id = message.shipping().message_id()?;
    // Messages whose links would differ in their base or lifetime share nothing.
    let base = match package.link() {
        Some(link) => Link::read(link)?.base,
        None => String::new(),
    };
    let envelope = message.envelope();
    let login = envelope.login.as_deref().unwrap_or_default();
    let lives = expires.as_second() - created.as_second();

    let mut digest = KeyDigest(digest::Context::new(&SHA256));
    digest.add(message_id);
    digest.add(envelope.direction.as_str().as_bytes());
    digest.add(login.as_bytes());
    digest.add(base.as_bytes());
    // Another store may have links of the same base.
    let store = message.shipping().kind(message.config());
    digest.add(store.word().as_bytes());
    digest.add(&lives.to_be_bytes());

    for detached in message.shipping().detached() {
        let file = detached.file.as_ref()?;
        digest.add(&file.sha256());
        digest.add(detached.name.as_bytes());
        digest.add(detached.media_type.as_bytes());
        digest.add(&[u8::from(detached.is_opened)]);
    }

    Some(digest.end())
}

/// A digest of several texts, each with its length.
struct KeyDigest(digest::Context);

impl KeyDigest {
    fn add(&mut self, text: &[u8]) {
        self.0.update(&(text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn end(self) -> CopyKey {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::lab::{Lab, LabFate, Mail},
        *,
    };
    use crate::{
        aside,
        drop::{RecordId, Requester},
        envelope::Direction,
        jirafeau::recorded::Recorded,
        store::Stores,
    };

    fn link(fate: LabFate) -> (String, bool) {
        match fate {
            LabFate::Link(link, is_copy) => (link, is_copy),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn copies_of_one_message_share_one_package() {
        let lab = Lab::new(&[]);
        let (first, is_copy) = link(lab.send(&Mail::new("a@b")).await);
        assert!(!is_copy);
        let mut other = Mail::new("a@b").to("zoe@example.com");
        (other.text, other.envelope.sender) = ("Chère Zoé", "list-zoe=example.com@b".into());
        assert_eq!(lab.send(&other).await, LabFate::Link(first, true));
        assert_eq!(lab.drop.level().await.unwrap().stored, 2000);
        assert!(aside::settle(Duration::MAX));
        assert_eq!(
            std::fs::read_dir(lab.home.path().join("drop/drafts"))
                .unwrap()
                .count(),
            0
        );
    }

    #[tokio::test]
    async fn copies_at_once_wait_for_each_other() {
        let lab = Lab::new(&[]);
        let (one, two) = (Mail::new("a@b"), Mail::new("a@b").to("zoe@example.com"));
        let (one, two) = tokio::join!(lab.send(&one), lab.send(&two));
        let ((one, a), (two, b)) = (link(one), link(two));
        assert_eq!(one, two);
        assert!(a != b, "one of them commits");
    }

    #[tokio::test]
    async fn a_copy_for_another_store_shares_nothing() {
        let server = Recorded::start(|_| ()).await;
        let rule = "[[rule]]\nrecipient = 'zoe@example.com'\nstore = 'jirafeau'\n";
        let mut lab = Lab::written(rule, &[&format!("jirafeau.url={}", server.url)]);
        let stores = Stores::over(&lab.filter.config, Some(lab.drop.clone()), Vec::new());
        lab.filter.stores = Some(stores.unwrap());

        let (here, _) = link(lab.send(&Mail::new("a@b")).await);
        let (there, is_copy) = link(lab.send(&Mail::new("a@b").to("zoe@example.com")).await);
        assert!(here != there && !is_copy);
        assert_eq!(server.files(), 1);
    }

    #[tokio::test]
    async fn messages_that_differ_share_nothing() {
        let lab = Lab::new(&[]);
        let (first, _) = link(lab.send(&Mail::new("a@b")).await);
        let mut byte = Mail::new("a@b");
        byte.file[1999] = b'y';
        let mut name = Mail::new("a@b");
        name.name = "other.pdf";
        let mut login = Mail::new("a@b");
        login.envelope.login = Some("mallory".into());
        let mut outgoing = Mail::new("a@b");
        outgoing.envelope.direction = Direction::Outgoing;
        let mut nameless = Mail::new("a@b");
        nameless.header.clear();
        for other in [Mail::new("c@d"), byte, name, login, outgoing, nameless] {
            let (link, is_copy) = link(lab.send(&other).await);
            assert!(link != first && !is_copy);
        }
        let off = Lab::new(&["detach.share_copies=false"]);
        let first = link(off.send(&Mail::new("a@b")).await);
        assert_ne!(link(off.send(&Mail::new("a@b")).await), first);
    }

    #[tokio::test]
    async fn a_package_that_was_ended_is_not_shared() {
        let lab = Lab::new(&[]);
        let (first, _) = link(lab.send(&Mail::new("a@b")).await);
        let id = RecordId::from(&Link::read(&first).unwrap().token);
        let now = Timestamp::now();
        lab.drop
            .revoke(id, now, Requester::ADMIN, "")
            .await
            .unwrap();
        let (second, is_copy) = link(lab.send(&Mail::new("a@b")).await);
        assert!(second != first && !is_copy);
        assert_eq!(
            lab.send(&Mail::new("a@b")).await,
            LabFate::Link(second, true)
        );
    }

    #[tokio::test]
    async fn what_was_given_up_is_not_shared() {
        let lab = Lab::new(&[]);
        let mail = Mail::new("a@b");
        let (header, envelope) = (mail.fields(), mail.envelope.clone());
        let begun = lab
            .filter
            .take(envelope, &header, mailsplice::rewrite::Eol::CrLf);
        let super::super::Start::Scan(mut message) = begun.await else {
            panic!("it is heavy");
        };
        message.push(&mail.body()).await;
        drop(message);
        assert!(!link(lab.send(&mail).await).1);
    }

    #[tokio::test]
    async fn who_opted_out_keeps_his_copy() {
        let out = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(out.path(), "zoe@example.com\n").unwrap();
        let list = format!("users.opt_out={}", out.path().display());
        let lab = Lab::new(&[&list]);
        link(lab.send(&Mail::new("a@b")).await);
        let zoe = Mail::new("a@b").to("zoe@example.com");
        assert_eq!(lab.send(&zoe).await, LabFate::Kept("rules"));
    }

    #[test]
    fn a_package_is_shared_for_an_hour_and_no_longer() {
        let (copies, begun) = (Copies::default(), Instant::now());
        let slot = copies.slot([1; 32], begun);
        let almost = begun + SHARED_FOR - Duration::from_secs(1);
        assert!(Arc::ptr_eq(&slot, &copies.slot([1; 32], almost)));
        let later = copies.slot([1; 32], begun + SHARED_FOR);
        assert!(!Arc::ptr_eq(&slot, &later));
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let (copies, now) = (Copies::default(), Instant::now());
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            key
        };
        let first = copies.slot(key(0), now);
        for n in 1..COPIES_MAX {
            copies.slot(key(n), now);
        }
        let held = |copies: &Copies| copies.0.lock().unwrap().slots.len();
        assert_eq!(held(&copies), COPIES_MAX);
        copies.slot(key(COPIES_MAX), now);
        assert_eq!(held(&copies), COPIES_MAX);
        assert!(!Arc::ptr_eq(&first, &copies.slot(key(0), now)));
    }

    #[test]
    fn texts_are_told_apart_by_their_lengths() {
        let digest = |texts: &[&str]| {
            let mut digest = KeyDigest(digest::Context::new(&SHA256));
            texts.iter().for_each(|text| digest.add(text.as_bytes()));
            digest.end()
        };
        assert_eq!(digest(&["a", "bc"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a", "bc"]), digest(&["ab", "c"]));
    }
}

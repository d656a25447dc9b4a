//! The files of a message on their way to the drop.
//!
//! It takes decoded bytes, and knows the store. What a part is, and whether it goes, others say: it
//! knows neither the scanner nor the spool. In a trial it counts the files, and opens nothing.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use mailsplice::mime::{Field, PartId, tnef};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    DETACHED_MAX, Direction, Envelope, Filter, FilterError, Reason, choices,
    leaf::{self, FileHead},
    origin,
    outcome::Settled,
    vouch,
};
use crate::{
    config::{Config, StoreKind},
    policy::Going,
    sender::authentication::genuine_domain,
    store::{OpenFile, OpenPackage, Store, StoreError, StoredFile},
};

/// A file that becomes durable.
type Finishing = JoinHandle<Result<Box<dyn StoredFile>, StoreError>>;

/// The files of a message on their way to the drop. Dropping it gives up what was begun there.
#[derive(Debug)]
pub(super) struct Shipping {
    /// The store that the rules chose; `None` for the usual one.
    kind: Option<StoreKind>,
    /// The time for which the drop may hold up the message, and for which it has done so.
    deadline: Duration,
    waited: Duration,
    /// The id by which its copies are known.
    message_id: Option<Box<[u8]>>,
    /// The domain from which the message comes, according to a trusted verifier.
    genuine: Option<String>,
    /// The certain part of its sender's address, once that was asked.
    verified: Option<Option<String>>,
    /// The draft of the file that is being written.
    draft: Option<Box<dyn OpenFile>>,
    package: Option<Box<dyn OpenPackage>>,
    /// The file that was ended last: it becomes durable while the body goes on.
    finishing: Option<(Detached, Finishing)>,
    detached: Vec<Detached>,
}

/// A part that is in the drop.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) part: PartId,
    pub(super) name: String,
    pub(super) media_type: Cow<'static, str>,
    pub(super) bytes: u64,
    pub(super) file: Option<Box<dyn StoredFile>>,
    pub(super) going: Going,
    /// True if readers may have shown it inline.
    pub(super) is_inline: bool,
    /// True if it is no part, but was read out of one: `part` is the container.
    pub(super) is_opened: bool,
}

impl Detached {
    /// Makes a part of which the file is not durable yet.
    pub(super) fn new(part: PartId, file: &FileHead, bytes: u64, going: Going) -> Self {
        Self {
            part,
            name: file.name(),
            media_type: file.media_type.clone(),
            bytes,
            file: None,
            going,
            is_inline: file.is_inline,
            is_opened: false,
        }
    }

    /// Makes a file that was read out of this container.
    pub(super) fn opened(&self, file: tnef::File) -> Self {
        let bytes = file.size;
        let (name, media_type) = leaf::opened(file);
        Self {
            part: self.part,
            name,
            media_type,
            bytes,
            file: None,
            going: self.going.clone(),
            is_inline: false,
            is_opened: true,
        }
    }
}

impl Shipping {
    /// Begins with nothing. `kind` is the store that the rules chose.
    pub(super) fn new(
        config: &Config,
        envelope: &Envelope,
        header: &[Field],
        kind: Option<StoreKind>,
    ) -> Self {
        Self {
            kind,
            deadline: config.milter.deadline,
            waited: Duration::ZERO,
            message_id: choices::message_id(header).map(Box::from),
            genuine: genuine(config, envelope, header),
            verified: None,
            draft: None,
            package: None,
            finishing: None,
            detached: Vec::new(),
        }
    }

    /// Ends work on a message if `more` parts are more than may still go.
    pub(super) fn refuse_too_many(&self, more: usize) -> Result<(), Settled> {
        let begun = self.detached.len() + usize::from(self.finishing.is_some());
        if begun + more > DETACHED_MAX {
            return Err(Reason::TooManyDetached.into());
        }
        Ok(())
    }

    /// Opens the draft of a file, and with the first one the package.
    pub(super) async fn open(
        &mut self,
        filter: &Filter,
        envelope: &Envelope,
        (name, media_type): (&str, &str),
    ) -> Result<(), Settled> {
        let Some(stores) = &filter.stores else {
            return Ok(());
        };
        if self.package.is_none() {
            let verified = self.verified(filter, envelope).await;
            let store = stores.get(self.kind)?;
            let (audit, id) = (&filter.config.audit, self.message_id.as_deref());
            let origin = origin::of(envelope, id, verified, stores.is_here(self.kind), audit);
            let package = store.begin(origin, filter.public_url());
            self.package = Some(package.await?);
        }

        let package = self.package.as_mut().expect("it was made");
        let draft = package.file(name, media_type)?;
        self.draft = Some(draft);
        Ok(())
    }

    /// Returns true if a draft is open: in a trial there is none.
    pub(super) fn is_open(&self) -> bool {
        self.draft.is_some()
    }

    /// Writes to the draft, as long as the drop has not held up the message for too long.
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), FilterError> {
        let Some(draft) = &mut self.draft else {
            return Ok(());
        };
        let begun = Instant::now();
        let left = self.deadline.saturating_sub(self.waited);
        let written = timeout(left, draft.write(bytes)).await;
        self.waited += begun.elapsed();
        Ok(written.map_err(|_| FilterError::Slow)??)
    }

    /// Ends the draft: it becomes durable while the body goes on. The one before must be durable.
    pub(super) fn finish(&mut self, detached: Detached) {
        match self.draft.take() {
            Some(draft) => self.finishing = Some((detached, tokio::spawn(draft.finish()))),
            None => self.detached.push(detached),
        }
    }

    /// The part whose file was ended last, and may not be durable yet.
    pub(super) fn finishing(&self) -> Option<PartId> {
        self.finishing.as_ref().map(|(detached, _)| detached.part)
    }

    /// Waits until the file that was ended last is durable.
    pub(super) async fn await_finishing(&mut self) -> Result<(), FilterError> {
        let Some((mut detached, task)) = self.finishing.take() else {
            return Ok(());
        };
        let left = self.deadline.saturating_sub(self.waited);
        let begun = Instant::now();
        let finished = timeout(left, task).await;
        self.waited += begun.elapsed();
        let mut file = finished
            .map_err(|_| FilterError::Slow)?
            .map_err(std::io::Error::other)??;
        if detached.is_opened {
            file.describe_opened(detached.name.clone(), detached.media_type.to_string());
        }
        detached.bytes = file.size();
        detached.file = Some(file);
        self.detached.push(detached);
        Ok(())
    }

    /// The certain part of its sender's address; `None` where asking takes longer than the message has.
    pub(super) async fn verified(
        &mut self,
        filter: &Filter,
        envelope: &Envelope,
    ) -> Option<String> {
        if let Some(verified) = &self.verified {
            return verified.clone();
        }
        let begun = Instant::now();
        let asked = vouch::verified(filter, envelope, self.genuine.as_deref());
        let left = self.deadline.saturating_sub(self.waited);
        let verified = timeout(left, asked).await.ok().flatten();
        self.waited += begun.elapsed();
        self.verified.insert(verified).clone()
    }

    /// Gives up whatever was begun in the drop.
    pub(super) fn give_up(&mut self) {
        self.draft = None;
        self.package = None;
        self.finishing = None;
        self.detached.clear();
    }

    /// Gives up the files of a container that stays.
    pub(super) fn forget(&mut self, container: PartId) {
        self.detached.retain(|detached| detached.part != container);
    }

    /// Puts the files into the order of the message, those that were read out of others behind them.
    pub(super) fn sort(&mut self) {
        let place = |detached: &Detached| (detached.is_opened, detached.part);
        self.detached.sort_by_key(place);
    }

    /// The parts whose files are in the drop.
    pub(super) fn detached(&self) -> &[Detached] {
        &self.detached
    }

    /// Hands over the files of these parts, to be committed.
    pub(super) fn take_files(&mut self) -> Vec<Box<dyn StoredFile>> {
        let detached = self.detached.iter_mut();
        detached
            .filter_map(|detached| detached.file.take())
            .collect()
    }

    /// Hands over the package, to be committed or given up.
    pub(super) fn take_package(&mut self) -> Option<Box<dyn OpenPackage>> {
        self.package.take()
    }

    /// The id by which its copies are known.
    pub(super) fn message_id(&self) -> Option<&[u8]> {
        self.message_id.as_deref()
    }

    /// Returns true if the store to which its files go keeps them encrypted.
    pub(super) fn is_encrypted(&self, config: &Config) -> bool {
        self.kind(config).encrypts()
    }

    /// The kind of the store to which its files go.
    pub(super) fn kind(&self, config: &Config) -> StoreKind {
        self.kind.unwrap_or(config.store.kind)
    }

    /// The store to which its files go.
    pub(super) fn store<'a>(&self, filter: &'a Filter) -> Option<&'a Arc<dyn Store>> {
        filter.stores.as_ref()?.get(self.kind).ok()
    }
}

/// The domain from which a message from outside comes, according to the verifier that the admin trusts.
fn genuine(config: &Config, envelope: &Envelope, header: &[Field]) -> Option<String> {
    let id = &config.sender.authserv_id;
    if id.is_empty() || envelope.direction == Direction::Outgoing {
        return None;
    }
    let is_result = |field: &&Field| field.name.eq_ignore_ascii_case(b"Authentication-Results");
    let results = header.iter().filter(is_result);
    genuine_domain(results.map(|field| &*field.value), id, &envelope.sender)
}

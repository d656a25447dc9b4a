//! The files of a message on their way to the drop.

use std::{borrow::Cow, mem, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{
    DETACHED_MAX, Direction, Envelope, Filter, FilterError, Message, Reason,
    leaf::{FileHead, Work},
    message::Stop,
    vouch,
};
use crate::{
    config::Config,
    mime::{Field, scanner::PartId},
    policy::Going,
    sender::authentication::genuine_domain,
    store::{DurableFile, FileDraft, Store},
};

/// A part that is in the drop.
#[derive(Debug)]
pub(super) struct Detached {
    pub(super) part: PartId,
    pub(super) name: String,
    pub(super) media_type: Cow<'static, str>,
    pub(super) bytes: u64,
    pub(super) file: Option<DurableFile>,
    pub(super) going: Going,
    /// True if readers may have shown it inline.
    pub(super) is_inline: bool,
}

impl Message {
    /// Writes the decoded bytes to the draft of the part that is coming in.
    pub(super) async fn write_decoded(&mut self) -> Result<(), Stop> {
        let bytes = Bytes::from(mem::take(&mut self.decoded));
        if let Some(leaf) = &mut self.leaf
            && let Work::Detaching(_, draft) = &mut leaf.work
        {
            write(draft, bytes, &mut self.waited, self.filter.deadline()).await?;
        }
        Ok(())
    }

    /// Ends work on a message if `more` parts are more than may still go.
    pub(super) fn refuse_too_many(&self, more: usize) -> Result<(), Stop> {
        let begun = self.detached.len() + usize::from(self.finishing.is_some());
        if begun + more > DETACHED_MAX {
            return Err(Reason::TooManyDetached.into());
        }
        Ok(())
    }

    /// The certain part of its sender's address; `None` where asking takes longer than the message has.
    pub(super) async fn verified(&mut self) -> Option<String> {
        if let Some(verified) = &self.verified {
            return verified.clone();
        }
        let begun = Instant::now();
        let asked = vouch::verified(&self.filter, &self.envelope, self.genuine.as_deref());
        let left = self.filter.deadline().saturating_sub(self.waited);
        let verified = timeout(left, asked).await.ok().flatten();
        self.waited += begun.elapsed();
        self.verified.insert(verified).clone()
    }

    /// Ends a draft: it becomes durable while the body goes on. Where an infected file stays in the
    /// message, the verdict is waited for, and the part is removed if it is clean.
    pub(super) async fn finish_draft(
        &mut self,
        part: PartId,
        file: &FileHead,
        bytes: u64,
        draft: Option<Box<FileDraft>>,
        going: Going,
    ) -> Result<(), Stop> {
        self.await_finishing().await?;
        let detached = Detached {
            part,
            name: file.name(),
            media_type: file.media_type.clone(),
            bytes,
            file: None,
            going,
            is_inline: file.is_inline,
        };
        match draft {
            Some(draft) => self.finishing = Some((detached, tokio::spawn(draft.finish()))),
            None => self.detached.push(detached),
        }
        if !(self.keeps_out() && self.is_kept_out().await?) {
            self.parts.remove(part);
        }
        Ok(())
    }

    /// Waits until the file that was ended last is durable.
    pub(super) async fn await_finishing(&mut self) -> Result<(), FilterError> {
        let Some((mut detached, task)) = self.finishing.take() else {
            return Ok(());
        };
        let left = self.filter.deadline().saturating_sub(self.waited);
        let begun = Instant::now();
        let finished = timeout(left, task).await;
        self.waited += begun.elapsed();
        let file = finished
            .map_err(|_| FilterError::Slow)?
            .map_err(std::io::Error::other)?
            .inspect_err(|error| self.explain_finding(detached.part, error))?;
        detached.bytes = file.size();
        detached.file = Some(file);
        self.detached.push(detached);
        Ok(())
    }

    /// The store to which its files go.
    pub(super) fn store(&self) -> Option<&Store> {
        self.filter.stores.as_ref()?.get(self.plan.store()).ok()
    }
}

impl Filter {
    /// The time for which the drop may hold up a message.
    pub(super) fn deadline(&self) -> Duration {
        self.config.milter.deadline.unsigned_abs()
    }
}

/// The domain from which a message from outside comes, according to the verifier that the admin trusts.
pub(super) fn genuine(config: &Config, envelope: &Envelope, header: &[Field]) -> Option<String> {
    let id = &config.sender.authserv_id;
    if id.is_empty() || envelope.direction == Direction::Outgoing {
        return None;
    }
    let is_result = |field: &&Field| field.name.eq_ignore_ascii_case(b"Authentication-Results");
    let results = header.iter().filter(is_result);
    genuine_domain(results.map(|field| &*field.value), id, &envelope.sender)
}

/// Writes to a draft, as long as the drop has not held up the message for too long.
pub(super) async fn write(
    draft: &mut Option<Box<FileDraft>>,
    bytes: Bytes,
    waited: &mut Duration,
    deadline: Duration,
) -> Result<(), FilterError> {
    let Some(draft) = draft else {
        return Ok(());
    };
    let begun = Instant::now();
    let written = timeout(deadline.saturating_sub(*waited), draft.write(bytes)).await;
    *waited += begun.elapsed();
    Ok(written.map_err(|_| FilterError::Slow)??)
}

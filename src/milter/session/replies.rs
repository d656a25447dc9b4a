//! The replies at the end of a message: what is changed in it.

use bytes::Bytes;
use tracing::warn;

use super::{Answer, Session, TARGET};
use crate::{envelope::HeaderEdit, filter::Rewritten, milter::outline::Outline, policy::Edits};

/// The replies at the end of a message, as far as they can be given.
pub(in crate::milter) trait Replies {
    /// Tells Postfix that we are alive.
    fn progress(&self) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Changes the only field of this name, or removes it.
    fn change(
        &self,
        name: &str,
        value: Option<&str>,
    ) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Changes or removes one of several fields of this name, counted from 1.
    fn change_one(
        &self,
        name: &str,
        index: u32,
        value: Option<&[u8]>,
    ) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Removes a recipient.
    fn remove_recipient(&self, address: &str) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Adds a field below all others.
    fn append(&self, name: &str, value: &str) -> impl Future<Output = Result<(), Gone>> + Send;
    /// Sends the next piece of the new body.
    fn body(&self, piece: &[u8]) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// Postfix has closed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("postfix has closed the connection")]
pub(in crate::milter) struct Gone;

impl Session {
    /// Sends header edits, then the body in one run: Postfix drops or truncates a body when
    /// anything comes between two pieces of it, so nothing but pieces may be sent in here.
    ///
    /// `milter.deadline` is not for this: a message for which the drop took nearly all of it would
    /// hardly ever get through. Postfix has `milter.timeout` to take the replies, see `guard`.
    pub(super) async fn send(
        &self,
        mut rewritten: Rewritten,
        outline: &Outline,
        replies: &impl Replies,
    ) -> Answer {
        let sent = async {
            self.edit_header(&rewritten, replies).await?;
            let mut piece = self.first_piece(&mut rewritten).await?;
            while let Some(bytes) = piece {
                replies.body(&bytes).await?;
                piece = rewritten.next_piece().await?;
            }
            Ok(())
        };

        match sent.await {
            Ok(()) => self.sent(&rewritten, outline),
            Err(SendError::Gone(Gone)) => self.give_up(outline),
            Err(SendError::Spool(error)) => {
                warn!(
                    target: TARGET,
                    queue_id = outline.queue_id,
                    "could not read the spool: {error}"
                );
                self.log_failure(outline, "spool", Answer::Tempfail)
            }
        }
    }

    /// Returns the first piece of the body. A body without bytes is replaced by an empty one.
    async fn first_piece(&self, rewritten: &mut Rewritten) -> Result<Option<Bytes>, SendError> {
        Ok(Some(rewritten.next_piece().await?.unwrap_or_default()))
    }

    async fn edit_header(
        &self,
        rewritten: &Rewritten,
        replies: &impl Replies,
    ) -> Result<(), SendError> {
        for edit in &rewritten.header_edits {
            self.edit_field(edit, replies).await?;
        }
        Ok(())
    }

    async fn edit_field(&self, edit: &HeaderEdit, replies: &impl Replies) -> Result<(), Gone> {
        use HeaderEdit::{Append, Change, Remove, Replace};
        match edit {
            Replace { name, value } => replies.change(name, Some(self.outgoing_value(value))).await,
            Remove { name } => replies.change(name, None).await,
            Append { name, value } => replies.append(name, self.outgoing_value(value)).await,
            Change { name, index, value } => {
                let bare = |value: &Vec<u8>| match value.strip_prefix(b" ") {
                    Some(bare) if !self.connection.agreement.leading_space => bare.to_vec(),
                    _ => value.clone(),
                };
                let value = value.as_ref().map(bare);
                replies.change_one(name, *index, value.as_deref()).await
            }
        }
    }

    /// Takes the wish of its sender out of the message: fields, tags and recipients.
    pub(super) async fn edit(
        &self,
        edits: &Edits,
        outline: &Outline,
        replies: &impl Replies,
    ) -> Result<(), Gone> {
        for edit in &edits.header {
            self.edit_field(edit, replies).await?;
        }
        if !self.connection.agreement.recipients && !edits.recipients.is_empty() {
            warn!(
                target: TARGET,
                queue_id = outline.queue_id,
                "the mail server does not let recipients be removed"
            );
            return Ok(());
        }
        for recipient in &edits.recipients {
            replies.remove_recipient(recipient).await?;
        }
        Ok(())
    }

    /// Returns a value as it is sent: Postfix adds the space itself when it eats it on the way in.
    fn outgoing_value<'a>(&self, value: &'a str) -> &'a str {
        let bare = value.strip_prefix(' ').unwrap_or(value);
        if self.connection.agreement.leading_space {
            value
        } else {
            bare
        }
    }
}

/// The reason why a change could not be sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Gone(#[from] Gone),
    #[error("{0}")]
    Spool(#[from] std::io::Error),
}

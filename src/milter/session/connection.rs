//! The state that lasts as long as a connection of Postfix.

use std::{net::IpAddr, sync::Arc};

use crate::{metrics::InProgress, milter::Shared};

/// The terms agreed upon when the connection was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::milter) struct Agreement {
    /// True if nothing is replied before the envelope is complete.
    pub(in crate::milter) noreply_envelope: bool,
    /// True if header fields get no reply.
    pub(in crate::milter) noreply_header: bool,
    /// True if body chunks get no reply.
    pub(in crate::milter) noreply_body: bool,
    /// True if the rest of a body can be declined.
    pub(in crate::milter) skip: bool,
    /// True if header values come and go with their leading space.
    pub(in crate::milter) leading_space: bool,
    /// True if the mail can be changed in every way that we need.
    pub(in crate::milter) editable: bool,
    /// True if recipients can be removed.
    pub(in crate::milter) recipients: bool,
}

/// What lasts as long as a connection of Postfix.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) agreement: Agreement,
    /// The client of the SMTP session.
    pub(super) client: Option<IpAddr>,
    /// The name of the Postfix service that it came to.
    pub(super) daemon: Option<String>,
    _open: InProgress,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, agreement: Agreement) -> Self {
        Self {
            _open: shared.metrics.session(),
            shared,
            agreement,
            client: None,
            daemon: None,
        }
    }
}

//! The facts that a drop is told of a message whose files it keeps.
//!
//! The drop of this process gets all: it counts a client's network for its quotas, and itself keeps what may not be
//! recorded out of its records. Another host is told no more than may be recorded here.

use super::{Direction, Envelope};
use crate::{
    config::AuditConfig,
    envelope::{Domains, Origin},
};

/// The depositor of a message's files. `message_id` is without its angle brackets; `is_here` is true if
/// the drop is that of this process.
pub(super) fn of(
    envelope: &Envelope,
    message_id: Option<&[u8]>,
    verified: Option<String>,
    is_here: bool,
    audit: &AuditConfig,
) -> Origin {
    let in_brackets = |id: &[u8]| format!("<{}>", String::from_utf8_lossy(id));

    Origin {
        verified,
        queue_id: envelope.queue_id.clone(),
        sender: envelope.sender.clone(),
        login: envelope.login.clone(),
        client: envelope.client.filter(|_| is_here || audit.addresses),
        uploader: None,
        message_id: message_id
            .map(in_brackets)
            .filter(|_| is_here || audit.message_ids),
        direction: envelope.direction,
        recipients: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
        domains: match envelope.direction {
            Direction::Incoming => Domains::of(envelope.recipients.iter().map(String::as_str)),
            Direction::Outgoing => Domains::default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_is_told_client_and_message_id_only_if_they_may_be_recorded() {
        let client = Some([192, 0, 2, 1].into());
        let envelope = Envelope {
            client,
            ..Envelope::default()
        };
        let told_to = |is_here, audit: &AuditConfig| {
            let origin = of(&envelope, Some(b"1@example.org"), None, is_here, audit);
            (origin.client, origin.message_id)
        };
        let told = |audit: &AuditConfig| told_to(false, audit);
        let id = Some("<1@example.org>".to_owned());
        assert_eq!(told(&AuditConfig::default()), (client, id.clone()));
        let no_addresses = AuditConfig {
            addresses: false,
            ..AuditConfig::default()
        };
        assert_eq!(told(&no_addresses), (None, id));
        let no_ids = AuditConfig {
            message_ids: false,
            ..AuditConfig::default()
        };
        assert_eq!(told(&no_ids), (client, None));
        let nothing = AuditConfig {
            message_ids: false,
            ..no_addresses
        };
        let all = (client, Some("<1@example.org>".to_owned()));
        assert_eq!(told(&nothing), (None, None));
        assert_eq!(told_to(true, &nothing), all);
    }
}

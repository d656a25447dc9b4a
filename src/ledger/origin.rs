//! The origin of a package: the message that it came with, and its sender.

use std::net::IpAddr;

use super::statistics::Domains;
use crate::filter::Direction;

/// The message that a package came with, and its sender; stored in clear, so that an admin can answer for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Postfix's queue id.
    pub queue_id: String,
    /// The envelope sender, without angle brackets; empty for bounces.
    pub sender: String,
    /// The verified part of the sender: the address, or a domain. Readers are shown nothing else of the
    /// sender.
    pub verified: Option<String>,
    /// The login name, if the client authenticated.
    pub login: Option<String>,
    /// The direction of the message.
    pub direction: Direction,
    /// Number of recipients of the message.
    pub recipients: u32,
    /// Address of the client that sent the message; `None` for local mail, if it is not recorded, and in
    /// records of earlier versions.
    pub client: Option<IpAddr>,
    /// The name of the token with which another host deposited it.
    pub uploader: Option<String>,
    /// The message's Message-ID with its angle brackets; `None` if it has none, if it is not recorded, and in
    /// records of earlier versions.
    pub message_id: Option<String>,
    /// Number of recipients in each domain of incoming mail, for the statistics; otherwise empty.
    pub domains: Domains,
}

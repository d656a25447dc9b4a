//! HTTP as every listener speaks it: the server, its connections, and its limits on clients.
//!
//! Nothing here knows what is served: the pages ([`web`](crate::web)), deposits
//! ([`remote::server`](crate::remote::server)) and metrics ([`admin`](crate::admin)) stand above it.

pub(crate) mod client;
pub(crate) mod conditional;
pub(crate) mod limit;
pub(crate) mod server;
pub(crate) mod slots;

mod paced;

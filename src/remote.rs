//! Deposits over HTTP, from the milter of one host into the drop of another.
//!
//! [`client`] is the milter's end, [`server`] the drop's; they share [`wire`] alone.

pub(crate) mod client;
pub(crate) mod server;

mod wire;

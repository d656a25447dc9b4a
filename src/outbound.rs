//! What every HTTP client of ours begins with, and the causes of an error.

use std::{error::Error as _, path::Path, time::Duration};

use reqwest::{ClientBuilder, redirect::Policy};

use crate::credentials::{self, CredentialError};

/// Idle time after which a connection is closed: before the other side does it.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Returns the beginning of a client, for `https` alone if `is_secure`; it trusts the certificates in `ca_file`
/// (PEM) beside the system's.
///
/// # Errors
/// The certificates cannot be read.
pub(crate) fn client(
    is_secure: bool,
    connect_timeout: Duration,
    ca_file: Option<&Path>,
) -> Result<ClientBuilder, CredentialError> {
    let certificates = ca_file.map(credentials::certificates).transpose()?;

    // Redirects would carry secrets to another host; a proxy would be one that the configuration does not
    // name. Files that go over one connection of HTTP/2 wait for each other.
    let client = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_MAX)
        .https_only(is_secure)
        .tls_certs_merge(certificates.unwrap_or_default())
        .user_agent(concat!("depollueur/", env!("CARGO_PKG_VERSION")));
    Ok(client)
}

/// Returns the causes of an error from the outermost to the innermost, without the path of the request.
pub(crate) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        inner = cause.source();
    }
    reason
}

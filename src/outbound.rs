//! What every HTTP client of ours begins with: certificates and secrets from files, and the causes of an error.

use std::{
    error::Error as _,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{Certificate, ClientBuilder, redirect::Policy};
use zeroize::Zeroizing;

/// Idle time after which a connection is closed: before the other side does it.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Maximum length of the file of a secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// A fault of a file that the configuration names: an admin must act.
#[derive(Debug)]
pub(crate) enum FileFault {
    /// It cannot be read.
    Read { path: PathBuf, source: io::Error },
    /// It cannot be used.
    Unusable { path: PathBuf, reason: String },
}

impl FileFault {
    pub(crate) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_owned(), reason.into());
        Self::Unusable { path, reason }
    }

    fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Read { path, source }
    }
}

/// Returns the beginning of a client, for `https` alone if `is_secure`.
pub(crate) fn client(is_secure: bool, connect_timeout: Duration) -> ClientBuilder {
    // Redirects would carry secrets to another host; a proxy would be one that the configuration does not
    // name.
    reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE_MAX)
        .https_only(is_secure)
        .user_agent(concat!("depollueur/", env!("CARGO_PKG_VERSION")))
}

/// Reads the certificates in a file (PEM).
///
/// # Errors
/// The file cannot be read, or holds none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, FileFault> {
    let pem = fs::read(path).map_err(|source| FileFault::read(path, source))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|error| FileFault::unusable(path, error.to_string()))?;
    if certificates.is_empty() {
        return Err(FileFault::unusable(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// Reads a secret from a file, without white space around it.
///
/// # Errors
/// The file cannot be read, or everybody on this machine can access it.
pub(crate) fn secret(path: &Path) -> Result<Zeroizing<String>, FileFault> {
    let failed = |source| FileFault::read(path, source);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        let reason = "everybody on this machine can access it";
        return Err(FileFault::unusable(path, reason));
    }

    let mut text = Zeroizing::new(String::new());
    let mut file = file.take(SECRET_FILE_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
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

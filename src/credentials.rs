//! Secrets and certificates in files, as programs that we talk to want them.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use reqwest::Certificate;
use rustls::pki_types::{
    CertificateDer,
    pem::{Error as PemError, PemObject as _},
};
use zeroize::Zeroizing;

/// Maximum length of a file with a secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// An error about a file that holds credentials: an admin must act.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("could not read \"{}\": {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be used.
    #[error("\"{}\" cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault found in it.
        reason: String,
    },
}

impl CredentialError {
    fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Read { path, source }
    }

    fn unusable(path: &Path, reason: String) -> Self {
        let path = path.to_owned();
        Self::Unusable { path, reason }
    }
}

/// Reads a secret from its file: one word of printable ASCII. `what` names it in errors.
pub(crate) fn secret(path: &Path, what: &str) -> Result<Zeroizing<String>, CredentialError> {
    read(path, what, |c| c.is_ascii_graphic())
}

/// Reads a password from its file: one line of any characters, without white space around it.
pub(crate) fn password(path: &Path) -> Result<Zeroizing<String>, CredentialError> {
    read(path, "password", |c| !c.is_control())
}

fn read(
    path: &Path,
    what: &str,
    may_have: fn(char) -> bool,
) -> Result<Zeroizing<String>, CredentialError> {
    let failed = |source| CredentialError::read(path, source);
    let unusable = |reason: String| CredentialError::unusable(path, reason);

    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(unusable("everybody on this machine can access it".into()));
    }

    let mut text = Zeroizing::new(String::new());
    let mut file = file.take(SECRET_FILE_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    let word = text.trim();
    if word.is_empty() || !word.chars().all(may_have) {
        return Err(unusable(format!("it does not hold one {what}")));
    }
    Ok(Zeroizing::new(word.to_owned()))
}

/// Reads the certificates of a file (PEM), for HTTP.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, CredentialError> {
    let certificates = certificates_der(path)?;
    let made = certificates.iter().map(|der| Certificate::from_der(der));
    made.collect::<Result<_, _>>()
        .map_err(|error| CredentialError::unusable(path, error.to_string()))
}

/// Reads the certificates of a file (PEM).
pub(crate) fn certificates_der(
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, CredentialError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| match error {
        PemError::Io(source) => CredentialError::read(path, source),
        error => CredentialError::unusable(path, error.to_string()),
    })?;
    if certificates.is_empty() {
        let reason = "it holds no certificate".to_owned();
        return Err(CredentialError::unusable(path, reason));
    }
    Ok(certificates)
}

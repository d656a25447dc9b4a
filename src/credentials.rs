//! Secrets and certificates in files, as programs that we talk to want them.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use reqwest::Certificate;
use zeroize::Zeroizing;

/// Maximum length of a file with a secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 4096;

/// An error about a file that holds credentials: an admin must act.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The file cannot be read.
    #[error("could not read \"{}\": {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// The file cannot be used, for a reason in words.
    #[error("\"{}\" cannot be used: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
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
    let failed = |source| CredentialError::Read {
        path: path.to_owned(),
        source,
    };
    let unusable = |reason: String| CredentialError::Unusable {
        path: path.to_owned(),
        reason,
    };

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

/// Reads the certificates of a file (PEM).
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, CredentialError> {
    let pem = fs::read(path).map_err(|source| CredentialError::Read {
        path: path.to_owned(),
        source,
    })?;
    let unusable = |reason: String| CredentialError::Unusable {
        path: path.to_owned(),
        reason,
    };
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

//! What a connection to the server needs beside its address: TLS, and the password.

use std::{fs::File, io::Read as _, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Failure, Result};
use crate::config::PostgresUrl;

/// Maximum size of the file of the password, in bytes.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;

/// Returns what makes connections encrypted: the server must have a certificate for its name, of an authority
/// that the system trusts, or of one in the file. `None` if they are not to be.
pub(super) fn connector(
    url: &PostgresUrl,
    ca_file: Option<&Path>,
) -> Result<Option<MakeRustlsConnect>> {
    if !url.is_encrypted() {
        return Ok(None);
    }

    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |e: rustls::Error| Failure::Unusable(format!("no TLS is possible: {e}"));
    let roots = ca_file.map(certificates).transpose()?;
    let verifier = Verifier::new_with_extra_roots(roots.unwrap_or_default(), Arc::clone(&provider));

    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier.map_err(unusable)?))
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = |reason: String| {
        let path = path.display();
        Failure::Unusable(format!("drop.records_ca_file: \"{path}\" {reason}"))
    };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|e| unusable(format!("could not be read: {e}")))?;
    if certificates.is_empty() {
        return Err(unusable("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Reads the password: the first line of a file that not everybody can access.
pub(super) fn password(path: &Path) -> Result<String> {
    let unusable = |reason: &str| {
        let path = path.display();
        Failure::Unusable(format!("drop.records_password_file: \"{path}\" {reason}"))
    };
    let failed = |e: std::io::Error| unusable(&format!("could not be read: {e}"));

    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(unusable("can be accessed by everybody on this machine"));
    }

    let mut text = String::new();
    let mut file = file.take(PASSWORD_FILE_BYTES_MAX);
    file.read_to_string(&mut text).map_err(failed)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(['\r', '\n', '\0']) {
        return Err(unusable("does not hold one password, in one line"));
    }
    Ok(password.to_owned())
}

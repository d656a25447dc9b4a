//! What a connection to the server needs beside its address: TLS, and the password.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::CertificateDer};
use rustls_platform_verifier::Verifier;
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::fault::{Failure, Result};
use crate::{config::PostgresUrl, credentials};

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
    credentials::certificates_der(path)
        .map_err(|error| Failure::Unusable(format!("drop.records_ca_file: {error}")))
}

/// Reads the password.
pub(super) fn password(path: &Path) -> Result<Zeroizing<String>> {
    credentials::password(path)
        .map_err(|error| Failure::Unusable(format!("drop.records_password_file: {error}")))
}

//! TLS towards the hub: trust the CA that the agent was given, and nothing else.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Why a CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is not PEM.
    #[error("the CA is not readable as PEM; give the text that `hem ca` prints")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate in it.
    #[error("the CA text holds no certificate; give the text that `hem ca` prints")]
    Empty,
    /// TLS refuses it.
    #[error("the CA cannot be used")]
    Refused(#[source] rustls::Error),
}

/// Makes a client configuration that trusts the given CA. The provider is named here, never taken from the process.
///
/// # Errors
/// When the text holds no usable certificate.
pub fn client_config(ca_pem: &str) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.map_err(TlsError::Pem)?).map_err(TlsError::Refused)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

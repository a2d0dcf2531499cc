//! Whom a hub believes to be its parent: the authorities in a PEM text, and nobody else.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The text is not PEM.
    #[error("the parent's authorities are not readable as PEM; give the text that `hem ca` prints there")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate in it.
    #[error("the text of the parent's authorities holds no certificate; give what `hem ca` prints there")]
    Empty,
    /// TLS refuses it.
    #[error("the parent's authorities cannot be used")]
    Refused(#[source] rustls::Error),
}

/// Makes a client configuration that trusts these authorities. The provider is named here, never taken from the process.
///
/// # Errors
/// When the text holds no usable certificate.
pub fn trust(pem: &str) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(TrustError::Pem)?).map_err(TrustError::Refused)?;
    }
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Refused)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

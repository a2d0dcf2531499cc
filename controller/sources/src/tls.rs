//! Which authorities are believed: those of one PEM file, or those of this machine.

use std::{io, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::SourceError;

/// The authorities of a file, or of this machine where no file is named.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, SourceError> {
    let mut store = RootCertStore::empty();
    let Some(path) = ca_file else {
        // A machine without any can still use a file; what is refused says so when it connects.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(store);
    };
    let unreadable = |source| SourceError::Unreadable { path: path.to_path_buf(), source };
    let pem = std::fs::read(path).map_err(unreadable)?;
    let wrong = |why: String| unreadable(io::Error::new(io::ErrorKind::InvalidData, why));
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("not PEM: {error}")))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(store) }
}

//! Who is at the other end of a TLS connection before anybody has said a name: an address, and perhaps a certificate.

use std::{net::IpAddr, sync::Arc};

use hemline_hub_core::credential::Presented;
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::{door::Origin, x509::DeviceAuthorities};

/// The other end of a connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// What of it is counted.
    pub(crate) origin: Origin,
    /// As the handshake left it: the client holds the key of the first one.
    chain: Arc<[CertificateDer<'static>]>,
    authorities: watch::Receiver<Arc<DeviceAuthorities>>,
}

impl Visitor {
    pub(crate) fn new(
        address: IpAddr,
        chain: Option<&[CertificateDer<'static>]>,
        authorities: watch::Receiver<Arc<DeviceAuthorities>>,
    ) -> Self {
        Self { address, origin: Origin::of(address), chain: chain.unwrap_or_default().into(), authorities }
    }

    /// What its certificate says at this moment; `None` when it has shown none that can be read. Follows signatures: for where
    /// no token came.
    pub(crate) fn certificate(&self, now: Timestamp) -> Option<Arc<Presented>> {
        let authorities = Arc::clone(&self.authorities.borrow());
        authorities.examine(&self.chain, now).map(Arc::new)
    }
}

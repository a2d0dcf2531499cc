//! Client certificates: what one says, and whether it leads to an authority that this hub was told of (reference
//! device-protocol §3.2). Time is an argument; nothing here reads a clock or a file.
//!
//! Not here: whether the certificate is anybody's, which the core decides, and the proof that the client holds the key,
//! which is part of the handshake (`tls/verifier.rs`).

use hemline_hub_core::credential::{Chain, Presented};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime, pem::PemObject};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Certificates that a client may send along. Real chains have two to four.
const CHAIN: usize = 10;

/// Authorities of one file.
const PER_FILE: usize = 100;

/// Why a text is not taken as certificates of authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Not PEM, or something broken in it.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// No certificate in it.
    #[error("there is no certificate in it")]
    Empty,
    /// More than one file holds.
    #[error("there are more than {PER_FILE} certificates in it")]
    TooMany,
    /// A certificate that cannot be read.
    #[error("certificate {place} cannot be read: {reason}")]
    Unreadable {
        /// Counted from 1.
        place: usize,
        /// What the library says.
        reason: String,
    },
    /// A certificate that may not sign others: its devices could never come in.
    #[error("certificate {place} ({subject}) is no certificate of an authority")]
    NoAuthority {
        /// Counted from 1.
        place: usize,
        /// Whose.
        subject: String,
    },
}

/// An authority whose signature on a device's certificate counts.
#[derive(Debug, Clone)]
pub struct DeviceAuthority {
    anchor: TrustAnchor<'static>,
    not_before: Timestamp,
    not_after: Timestamp,
    /// Subject, as people read it.
    pub subject: String,
}

/// All authorities that the hub was told of.
#[derive(Debug, Clone, Default)]
pub struct DeviceAuthorities(Vec<DeviceAuthority>);

impl DeviceAuthority {
    /// Reads the certificates of one PEM file: roots, or authorities below roots that nobody needs to know.
    ///
    /// # Errors
    /// When one of them cannot be read or may not sign.
    pub fn from_pem(text: &[u8]) -> Result<Vec<Self>, AuthorityError> {
        let mut found = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.map_err(|error| AuthorityError::Pem(error.to_string()))?;
            let place = found.len() + 1;
            if place > PER_FILE {
                return Err(AuthorityError::TooMany);
            }
            let unreadable = |reason: String| AuthorityError::Unreadable { place, reason };
            let (_, parsed) =
                X509Certificate::from_der(&certificate).map_err(|error| unreadable(error.to_string()))?;
            let subject = parsed.subject().to_string();
            // The first version of X.509 has no mark for it; such roots exist, and a person put this one here.
            if parsed.version() == x509_parser::x509::X509Version::V3 && !parsed.is_ca() {
                return Err(AuthorityError::NoAuthority { place, subject });
            }
            let (not_before, not_after) = dates(&parsed);
            let anchor =
                anchor_from_trusted_cert(&certificate).map_err(|error| unreadable(error.to_string()))?;
            found.push(Self { anchor: anchor.to_owned(), not_before, not_after, subject });
        }
        if found.is_empty() { Err(AuthorityError::Empty) } else { Ok(found) }
    }
}

impl FromIterator<DeviceAuthority> for DeviceAuthorities {
    fn from_iter<T: IntoIterator<Item = DeviceAuthority>>(known: T) -> Self {
        Self(known.into_iter().collect())
    }
}

impl DeviceAuthorities {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a chain says, the certificate of the client first. `None` when that one cannot be read.
    #[must_use]
    pub fn examine(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Option<Presented> {
        let (leaf, others) = chain.split_first()?;
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        let (not_before, not_after) = dates(&parsed);
        let mut names = parsed.subject().iter_common_name().map(|name| name.as_str().ok());
        let common_name = match (names.next(), names.next()) {
            (Some(Some(name)), None) => Some(name.to_owned()),
            // Two names would let whoever signs one identity's certificate speak for another's.
            _ => None,
        };
        Some(Presented {
            sha1: hex(&Sha1::digest(leaf)),
            sha256: hex(&Sha256::digest(leaf)),
            common_name,
            not_before,
            not_after,
            chain: self.chain(leaf, others, now),
        })
    }

    fn chain(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: Timestamp) -> Chain {
        let current = self.0.iter().filter(|known| known.not_before <= now && now <= known.not_after);
        let anchors: Vec<TrustAnchor<'_>> = current.map(|known| known.anchor.clone()).collect();
        let (Ok(seconds), true) = (u64::try_from(now.as_second()), others.len() <= CHAIN) else {
            return Chain::Unregistered;
        };
        let Ok(leaf) = EndEntityCert::try_from(leaf) else { return Chain::Unregistered };
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let verified = leaf.verify_for_usage(
            super::tls::verifier::algorithms().all,
            &anchors,
            others,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        );
        match verified {
            Ok(_) => Chain::Registered,
            Err(error) => {
                tracing::debug!(%error, "a client certificate leads to no registered authority");
                Chain::Unregistered
            }
        }
    }
}

fn dates(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    // Dates beyond the calendar of the library are as good as never.
    let at = |seconds: i64, otherwise| Timestamp::from_second(seconds).unwrap_or(otherwise);
    let validity = certificate.validity();
    (at(validity.not_before.timestamp(), Timestamp::MAX), at(validity.not_after.timestamp(), Timestamp::MAX))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

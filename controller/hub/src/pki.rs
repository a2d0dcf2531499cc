//! The hub's own certificate authority and server certificate, made when missing, so that one command gives a hub that
//! every TLS client can verify with one file.
//!
//! `certificate.rs` makes and reads certificates, `files.rs` writes secrets. ECDSA P-256 throughout; the extensions are
//! those that OpenSSL insists on in strict mode (Python 3.13 and later by default).

mod certificate;
mod files;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rcgen::KeyPair;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};

use crate::tls::verifier::AnyCertificate;
use certificate::{Authority, CertificateError};

/// The server certificate is made anew when it has less than this to live.
const RENEW_DAYS: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot {what} {path}; check that the folder exists and belongs to this user")]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// One of the two files of the authority is missing. A new authority would make every client distrust the hub, so
    /// it is not made silently.
    #[error(
        "{present} is there and {missing} is not; restore the missing file, or remove both to get a new authority"
    )]
    HalfAuthority {
        /// The one that is there.
        present: PathBuf,
        /// The one that is not.
        missing: PathBuf,
    },
    /// A file is there and not usable.
    #[error("{path} is not usable: {reason}; restore it, or remove ca.pem and ca.key to get a new authority")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate: {reason}")]
    Name {
        /// Which.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Making a certificate failed.
    #[error("cannot make a certificate")]
    Make(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was shown is no certificate.
    #[error("not a certificate")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// rustls does not take what was made.
    #[error("the TLS library refuses the server certificate")]
    Tls(#[from] rustls::Error),
}

/// Certificates of one hub.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The authority, PEM: what clients trust.
    pub ca_pem: String,
    /// The server certificate, PEM.
    pub server_pem: String,
    server: Arc<ServerConfig>,
}

/// Opens or makes `ca.pem`, `ca.key`, `server.pem` and `server.key` in a folder. The server certificate is made anew
/// when the names differ, the authority is another one, or less than 30 days are left.
///
/// # Errors
/// When a file is not usable, a name cannot stand in a certificate, or the folder cannot be written.
pub fn open(data_dir: &Path, names: &[String], now: Timestamp) -> Result<Pki, PkiError> {
    let paths = Paths::new(data_dir);
    let authority = paths.authority(now)?;
    let (server_pem, key_pem) = paths.server(&authority, names, now)?;
    let server = server_config(&server_pem, &key_pem).map_err(|error| match error {
        ConfigError::Tls(error) => PkiError::Tls(error),
        ConfigError::Pem(reason) => PkiError::Unusable { path: paths.server.clone(), reason },
    })?;
    Ok(Pki { ca_pem: authority.pem, server_pem, server: Arc::new(server) })
}

impl Pki {
    /// For both listeners of the hub: TLS 1.2 and 1.3, client certificates asked for, not required, and judged after the
    /// handshake.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server.clone()
    }
}

/// What people must know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// It counts until then.
    pub not_after: Timestamp,
    /// Host names and addresses that it is for, in lower case.
    pub names: BTreeSet<String>,
}

/// Reads a certificate.
///
/// # Errors
/// When it is none.
pub fn facts(certificate: &CertificateDer<'_>) -> Result<CertificateFacts, PkiError> {
    certificate::facts(certificate).map_err(|error| PkiError::Read(error.into()))
}

impl CertificateFacts {
    /// Whole days until it ends; zero and less when it has.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        (self.not_after.as_second() - now.as_second()).div_euclid(86_400)
    }

    /// The day of its end, in UTC.
    #[must_use]
    pub fn day(&self) -> String {
        self.not_after.strftime("%F").to_string()
    }
}

struct Paths {
    ca: PathBuf,
    ca_key: PathBuf,
    server: PathBuf,
    server_key: PathBuf,
}

impl Paths {
    fn new(folder: &Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            ca_key: folder.join("ca.key"),
            server: folder.join("server.pem"),
            server_key: folder.join("server.key"),
        }
    }

    fn authority(&self, now: Timestamp) -> Result<Authority, PkiError> {
        let unusable = |path: &Path| {
            let path = path.to_path_buf();
            move |reason: CertificateError| PkiError::Unusable { path, reason: reason.to_string() }
        };
        match (files::read(&self.ca)?, files::read(&self.ca_key)?) {
            (Some(pem), Some(key)) => {
                let key = KeyPair::from_pem(&key).map_err(|error| PkiError::Unusable {
                    path: self.ca_key.clone(),
                    reason: error.to_string(),
                })?;
                Authority::read(pem, key, now).map_err(unusable(&self.ca))
            }
            (None, None) => {
                let authority = Authority::make(now).map_err(|error| PkiError::Make(error.into()))?;
                // The key first: a certificate without its key would be the half that nobody can repair.
                files::write(&self.ca_key, &authority.key_pem(), files::Mode::Private)?;
                files::write(&self.ca, &authority.pem, files::Mode::Public)?;
                Ok(authority)
            }
            (Some(_), None) => {
                Err(PkiError::HalfAuthority { present: self.ca.clone(), missing: self.ca_key.clone() })
            }
            (None, Some(_)) => {
                Err(PkiError::HalfAuthority { present: self.ca_key.clone(), missing: self.ca.clone() })
            }
        }
    }

    /// Certificate and key as PEM.
    fn server(
        &self,
        authority: &Authority,
        names: &[String],
        now: Timestamp,
    ) -> Result<(String, String), PkiError> {
        if let (Some(pem), Some(key)) = (files::read(&self.server)?, files::read(&self.server_key)?)
            && authority.still_good(&pem, &key, names, now, RENEW_DAYS)
        {
            return Ok((pem, key));
        }
        let (pem, key) = authority.issue(names, now).map_err(|error| match error {
            CertificateError::Name { name, reason } => PkiError::Name { name, reason },
            other => PkiError::Make(other.into()),
        })?;
        files::write(&self.server_key, &key, files::Mode::Private)?;
        files::write(&self.server, &pem, files::Mode::Public)?;
        Ok((pem, key))
    }
}

enum ConfigError {
    Tls(rustls::Error),
    Pem(String),
}

/// The provider is named here and nowhere taken from the process: two libraries in one program may disagree on it.
fn server_config(pem: &str, key: &str) -> Result<ServerConfig, ConfigError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|error| ConfigError::Pem(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes());
    let key = PrivateKeyDer::Pkcs8(key.map_err(|error| ConfigError::Pem(error.to_string()))?);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|builder| {
            builder.with_client_cert_verifier(Arc::new(AnyCertificate)).with_single_cert(chain, key)
        })
        .map_err(ConfigError::Tls)
}

//! The device's own certificate authority for its modules: server certificates, so that others can trust what a module
//! serves, and identity certificates (reference edge-runtime §4.3).
//!
//! It stands beside the authority of the hub and signs nothing else than certificates of modules: whoever should trust them
//! is given `workload-ca.pem`, modules find it in their trust bundle. Below the hub's authority it could speak for the hub
//! itself, to the whole fleet. ECDSA P-256 as everywhere in Hemline. Keys of modules are made for the answer and not kept.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use hemline_model::secret::Secret;
use hemline_protocol::bag;
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::parse_x509_pem;

use super::keep::{self, KeepError, Mode};

const KEY: &str = "workload-ca.key";
const CERTIFICATE: &str = "workload-ca.pem";

/// Whoever was given the certificate keeps it for the life of a machine. IoT Edge makes it for 90 days and restarts all
/// modules at every renewal.
const AUTHORITY_DAYS: i32 = 3_653;

/// Of a module's certificate (reference edge-runtime §4.3). Modules ask for a new one in time.
const MODULE_DAYS: i32 = 90;

/// This was written later: a clock that shows less has not been set yet. Devices without a battery wake up in 1970.
const EARLIEST: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// A common name holds no more (X.520).
const LONGEST_COMMON_NAME: usize = 64;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    #[error("commonName {name:?} cannot stand in a certificate: it is {reason}")]
    Name { name: String, reason: &'static str },
    #[error(
        "{} holds no key ({reason}); restore it, or remove it to get a new authority, which everybody has to be given anew",
        path.display()
    )]
    Key { path: PathBuf, reason: rcgen::Error },
    #[error("the certificate cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("the dates of the certificate cannot be made")]
    Date(#[from] jiff::Error),
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error(transparent)]
    Keep(#[from] KeepError),
}

/// A certificate for a module.
#[derive(Debug)]
pub(super) struct Issued {
    /// PEM: the certificate, then that of the authority.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: Secret,
    /// Until when the certificate counts.
    pub(super) until: Timestamp,
}

/// The authority of one device.
pub(super) struct Authority {
    folder: PathBuf,
    hub: String,
    device: String,
    held: Mutex<Option<Arc<Held>>>,
}

/// The authority as it is now.
struct Held {
    pem: String,
    dates: Dates,
    issuer: Issuer<'static, KeyPair>,
}

/// From the beginning of one day to that of another, in UTC.
#[derive(Debug, Clone, Copy)]
struct Dates {
    from: Date,
    until: Date,
}

impl Authority {
    /// In that folder; it is made when it is first needed.
    pub(super) fn new(folder: PathBuf, hub: String, device: String) -> Self {
        Self { folder, hub, device, held: Mutex::new(None) }
    }

    /// What others trust, PEM.
    pub(super) fn certificate(&self, now: Timestamp) -> Result<String, AuthorityError> {
        Ok(self.held(now)?.pem.clone())
    }

    /// For a module that serves under a name: the name and, where it can stand there, the module's own.
    pub(super) fn server(
        &self,
        module: &str,
        common_name: &str,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let mut names = vec![alternative(common_name)?];
        // A leading `$` is no part of a host name; what else is none is left out.
        if let Ok(own) = alternative(module.trim_start_matches('$'))
            && !names.contains(&own)
        {
            names.push(own);
        }
        let shown = if common_name.len() <= LONGEST_COMMON_NAME { common_name } else { module };
        self.issue(shown, names, ExtendedKeyUsagePurpose::ServerAuth, now)
    }

    /// For a module that shows who it is.
    pub(super) fn identity(&self, module: &str, now: Timestamp) -> Result<Issued, AuthorityError> {
        let uri = format!(
            "azureiot://{}/devices/{}/modules/{}",
            self.hub,
            bag::encode(&self.device),
            bag::encode(module)
        );
        let names = vec![SanType::URI(uri.try_into()?)];
        self.issue(module, names, ExtendedKeyUsagePurpose::ClientAuth, now)
    }

    fn issue(
        &self,
        common_name: &str,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        now: Timestamp,
    ) -> Result<Issued, AuthorityError> {
        let authority = self.held(now)?;
        let mut dates = Dates::new(now, MODULE_DAYS);
        // Nothing outlives who signed it.
        dates.until = dates.until.min(authority.dates.until);
        let shown: String = common_name.chars().take(LONGEST_COMMON_NAME).collect();
        let mut params = params(&shown, dates)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority.issuer)?;
        Ok(Issued {
            chain: certificate.pem() + &authority.pem,
            key: Secret::new(key.serialize_pem()),
            until: start_of(dates.until)?,
        })
    }

    fn held(&self, now: Timestamp) -> Result<Arc<Held>, AuthorityError> {
        let now = now.max(EARLIEST);
        // An authority is whole whenever it is there at all.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = held.as_ref()
            && known.dates.hold(now)?
        {
            return Ok(Arc::clone(known));
        }
        Ok(Arc::clone(held.insert(Arc::new(self.open(now)?))))
    }

    /// Key first: the certificate can be made from it again at any time, with the same name. So a kill between the two is
    /// healed, and whoever trusts a certificate that ends trusts the one that follows it.
    fn open(&self, now: Timestamp) -> Result<Held, AuthorityError> {
        let (key_file, file) = (self.folder.join(KEY), self.folder.join(CERTIFICATE));
        let known = keep::read(&file)?;
        let key = match keep::read(&key_file)? {
            Some(pem) => {
                KeyPair::from_pem(&pem).map_err(|reason| AuthorityError::Key { path: key_file, reason })?
            }
            None => {
                if known.is_some() {
                    tracing::warn!(
                        "{} is gone: modules get certificates of a new authority, which whoever trusts them has to be given",
                        key_file.display()
                    );
                }
                let key = KeyPair::generate()?;
                keep::write(&key_file, &key.serialize_pem(), Mode::Private)?;
                key
            }
        };
        let common_name = self.common_name(&key);
        if let Some(pem) = known
            && let Some(dates) = dates_of(&pem, &common_name, &key)
            && dates.hold(now)?
        {
            let issuer = Issuer::new(authority_params(&common_name, dates)?, key);
            return Ok(Held { pem, dates, issuer });
        }
        let dates = Dates::new(now, AUTHORITY_DAYS);
        let params = authority_params(&common_name, dates)?;
        let pem = params.self_signed(&key)?.pem();
        keep::write(&file, &pem, Mode::Public)?;
        Ok(Held { pem, dates, issuer: Issuer::new(params, key) })
    }

    /// Says whose it is, as far as there is room, and which key it has: the name is the same for every certificate of a key.
    fn common_name(&self, key: &KeyPair) -> String {
        let digest = Sha256::digest(key.public_key_raw());
        let print: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let full = format!("Hemline edge CA {} {print}", self.device);
        if full.len() <= LONGEST_COMMON_NAME { full } else { format!("Hemline edge CA {print}") }
    }
}

impl Dates {
    /// From the day before, so that a client whose clock is behind accepts it.
    fn new(now: Timestamp, days: i32) -> Self {
        let today = TimeZone::UTC.to_datetime(now.max(EARLIEST)).date();
        let from = today.saturating_add(Span::new().days(-1));
        Self { from, until: today.saturating_add(Span::new().days(days)) }
    }

    /// Have they begun, and is a fifth of the time left (reference edge-runtime §3.10)?
    fn hold(&self, now: Timestamp) -> Result<bool, AuthorityError> {
        let (from, until) = (start_of(self.from)?.as_second(), start_of(self.until)?.as_second());
        let renewal = from + (until - from) / 5 * 4;
        Ok((from..renewal).contains(&now.as_second()))
    }
}

fn start_of(date: Date) -> Result<Timestamp, jiff::Error> {
    TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0))
}

fn params(common_name: &str, dates: Dates) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let day = |date: Date| {
        date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = day(dates.from);
    params.not_after = day(dates.until);
    // Two certificates of one key must differ in it.
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    if let Some(first) = serial.first_mut() {
        // Positive, and no shorter.
        *first = (*first & 0x3f) | 0x40;
    }
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn authority_params(common_name: &str, dates: Dates) -> Result<CertificateParams, AuthorityError> {
    let mut params = params(common_name, dates)?;
    // It signs modules, no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// The dates of a certificate of that name and key; none of any other, or of what is no certificate.
fn dates_of(pem: &str, common_name: &str, key: &KeyPair) -> Option<Dates> {
    let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = block.parse_x509().ok()?;
    let own = certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
    let mut names = certificate.subject().iter_common_name();
    let named = names.next().and_then(|name| name.as_str().ok()) == Some(common_name);
    let date = |seconds| Some(TimeZone::UTC.to_datetime(Timestamp::from_second(seconds).ok()?).date());
    let validity = certificate.validity();
    let dates =
        Dates { from: date(validity.not_before.timestamp())?, until: date(validity.not_after.timestamp())? };
    (own && named && certificate.is_ca()).then_some(dates)
}

/// A name as others dial it: an address, or letters, digits, `-`, `_` and dots. No wildcards: nobody may speak for names
/// that were not said.
fn alternative(name: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = |reason| AuthorityError::Name { name: name.chars().take(100).collect(), reason };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() {
        return Err(refused("empty"));
    }
    if name.len() > 253 || !name.chars().all(plain) {
        return Err(refused("neither an IP address nor a host name"));
    }
    let text = name.to_ascii_lowercase().try_into();
    text.map(SanType::DnsName).map_err(|_| refused("neither an IP address nor a host name"))
}

#[cfg(test)]
mod tests;

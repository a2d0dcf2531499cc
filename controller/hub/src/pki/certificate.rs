//! Makes certificates and reads back what was made. Not here: files.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::{Span, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use x509_parser::{
    extensions::GeneralName,
    pem::parse_x509_pem,
    prelude::{FromDer as _, X509Certificate},
};

use super::CertificateFacts;

/// The authority outlives the hardware of most fleets; changing it means touching every client.
const AUTHORITY_YEARS: i16 = 20;

/// The longest that strict clients accept from a server (825 days).
const SERVER_DAYS: i32 = 825;

/// What goes wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    #[error("{name:?}: {reason}")]
    Name { name: String, reason: String },
    #[error("it is not a certificate: {0}")]
    Parse(String),
    #[error("it is not a certificate authority of ours")]
    NotAuthority,
    #[error("it belongs to another key")]
    OtherKey,
    #[error("it has expired")]
    Expired,
    #[error("the system gives no random numbers")]
    Random(#[from] getrandom::Error),
    #[error("the certificate library refuses: {0}")]
    Library(#[from] rcgen::Error),
}

/// A certificate authority with its key.
pub(super) struct Authority {
    pub(super) pem: String,
    common_name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A day before, so that a device whose clock is behind accepts it.
fn day(at: Timestamp, offset_days: i32) -> (i32, u8, u8) {
    let date = TimeZone::UTC.to_datetime(at).date();
    let date = date.saturating_add(Span::new().days(offset_days));
    (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
}

fn validity(params: &mut CertificateParams, now: Timestamp, days: i32) {
    let (year, month, date) = day(now, -1);
    params.not_before = date_time_ymd(year, month, date);
    let (year, month, date) = day(now, days);
    params.not_after = date_time_ymd(year, month, date);
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    // No path length: gateways get authorities of their own below this one, and it cannot be changed later.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

impl Authority {
    pub(super) fn make(now: Timestamp) -> Result<Self, CertificateError> {
        let mut tail = [0; 4];
        getrandom::fill(&mut tail)?;
        // Two authorities with one name confuse clients that look them up by name.
        let common_name = format!("Hemline private CA {:08x}", u32::from_be_bytes(tail));
        let key = KeyPair::generate()?;
        let mut params = authority_params(&common_name);
        validity(&mut params, now, i32::from(AUTHORITY_YEARS) * 365);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, common_name, issuer: Issuer::new(params, key) })
    }

    pub(super) fn read(pem: String, key: KeyPair, now: Timestamp) -> Result<Self, CertificateError> {
        let common_name = parsed(&pem, |certificate| {
            if !certificate.is_ca() {
                return Err(CertificateError::NotAuthority);
            }
            if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
                return Err(CertificateError::OtherKey);
            }
            if certificate.validity().not_after.timestamp() <= now.as_second() {
                return Err(CertificateError::Expired);
            }
            let mut names = certificate.subject().iter_common_name();
            let name = names.next().and_then(|name| name.as_str().ok());
            name.map(str::to_owned).ok_or(CertificateError::NotAuthority)
        })?;
        let issuer = Issuer::new(authority_params(&common_name), key);
        Ok(Self { pem, common_name, issuer })
    }

    pub(super) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server certificate and its key for all these names.
    pub(super) fn issue(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(String, String), CertificateError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        // Clients read the alternative names; the common name is for people and holds 64 characters.
        let common_name = names.iter().find(|name| name.len() <= 64).map_or("hemline", String::as_str);
        params.distinguished_name = name(common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, now, SERVER_DAYS);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Can a certificate from an earlier start go on serving?
    pub(super) fn still_good(
        &self,
        pem: &str,
        key: &str,
        names: &[String],
        now: Timestamp,
        renew_days: i64,
    ) -> bool {
        let Ok(key) = KeyPair::from_pem(key) else { return false };
        let wanted: BTreeSet<String> = names.iter().map(|name| canonical(name)).collect();
        parsed(pem, |certificate| {
            let own = certificate.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
            let mut issuers = certificate.issuer().iter_common_name();
            let issued = issuers.next().and_then(|name| name.as_str().ok()) == Some(&*self.common_name);
            let left = certificate.validity().not_after.timestamp() - now.as_second();
            let begun = certificate.validity().not_before.timestamp() <= now.as_second();
            Ok(own && issued && begun && left > renew_days * 86_400 && alternatives(certificate) == wanted)
        })
        .unwrap_or(false)
    }
}

fn parsed<T>(
    pem: &str,
    read: impl FnOnce(&X509Certificate<'_>) -> Result<T, CertificateError>,
) -> Result<T, CertificateError> {
    let (_, block) =
        parse_x509_pem(pem.as_bytes()).map_err(|error| CertificateError::Parse(error.to_string()))?;
    let certificate = block.parse_x509().map_err(|error| CertificateError::Parse(error.to_string()))?;
    read(&certificate)
}

/// Its end and its names.
pub(super) fn facts(certificate: &[u8]) -> Result<CertificateFacts, CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|error| CertificateError::Parse(error.to_string()))?;
    let not_after = Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|error| CertificateError::Parse(error.to_string()))?;
    Ok(CertificateFacts { not_after, names: alternatives(&certificate) })
}

fn canonical(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => name.to_ascii_lowercase(),
    }
}

fn alternative(name: &str) -> Result<SanType, CertificateError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = |reason: String| CertificateError::Name { name: name.into(), reason };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(plain) {
        return Err(refused("neither an IP address nor a DNS name".into()));
    }
    let text = name.to_ascii_lowercase().try_into();
    text.map(SanType::DnsName).map_err(|error: rcgen::Error| refused(error.to_string()))
}

fn alternatives(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return BTreeSet::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress([a, b, c, d]) => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
        GeneralName::IPAddress(bytes) => {
            <[u8; 16]>::try_from(*bytes).ok().map(|all| IpAddr::from(all).to_string())
        }
        _ => None,
    });
    names.collect()
}

//! Names, dates and files. That TLS clients accept the certificates is shown in `tests/it/workload.rs`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use jiff::SignedDuration;
use rustls::{
    RootCertStore,
    client::WebPkiServerVerifier,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use x509_parser::{extensions::GeneralName, prelude::*};

use super::*;

/// Some day in 2026.
fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

fn authority(folder: &tempfile::TempDir) -> Authority {
    Authority::new(folder.path().to_owned(), "hub.test".to_owned(), "press-01".to_owned())
}

/// One line about each certificate of a text.
fn facts(pem: &str) -> Vec<String> {
    let one = |block: Pem| {
        let certificate = block.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().map_or_else(Vec::new, |names| {
            let name = |name: &GeneralName<'_>| match name {
                GeneralName::DNSName(name) => format!("DNS {name}"),
                GeneralName::IPAddress(bytes) => format!("IP {bytes:?}"),
                GeneralName::URI(uri) => format!("URI {uri}"),
                other => format!("{other:?}"),
            };
            names.value.general_names.iter().map(name).collect()
        });
        let usage = certificate.extended_key_usage().unwrap().map_or_else(String::new, |usage| {
            format!(" server {} client {}", usage.value.server_auth, usage.value.client_auth)
        });
        let path = certificate
            .basic_constraints()
            .unwrap()
            .map(|found| (found.value.ca, found.value.path_len_constraint));
        format!("{} {names:?}{usage} ca {path:?}", certificate.subject())
    };
    Pem::iter_from_buffer(pem.as_bytes()).map(|block| one(block.unwrap())).collect()
}

/// Would a client that trusts `anchor` accept the first certificate of `chain` for that name at that time?
fn accepted(anchor: &str, chain: &str, name: &str, at: Timestamp) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(anchor.as_bytes()) {
        roots.add(root.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let (end, others) = chain.split_first().unwrap();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().unsigned_abs()));
    let name = ServerName::try_from(name).unwrap();
    rustls::client::danger::ServerCertVerifier::verify_server_cert(&*verifier, end, others, &name, &[], at)
        .is_ok()
}

#[test]
fn what_stands_in_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(&folder);
    let long = format!("{}.example", "x".repeat(70));
    let mut told = Vec::new();
    for (module, name) in [
        ("sensor", "Gateway.Local"),
        ("sensor", "10.0.0.7"),
        ("sensor", "fd00::1"),
        ("sensor", "SENSOR"),
        ("$edgeHub", "gateway.local"),
        ("a%b", "gateway.local"),
        ("sensor", long.as_str()),
    ] {
        let issued = authority.server(module, name, now()).unwrap();
        told.push(format!("{module} as {name}, until {}\n    {}", issued.until, facts(&issued.chain)[0]));
    }
    let issued = authority.identity("sensor #1", now()).unwrap();
    told.push(format!("identity, until {}\n    {}", issued.until, facts(&issued.chain)[0]));
    for name in ["", "*.local", "a b", "a/b", "ü", &"x".repeat(254)] {
        told.push(authority.server("sensor", name, now()).unwrap_err().to_string());
    }
    insta::assert_snapshot!(told.join("\n"));
    let own = authority.certificate(now()).unwrap();
    let [line] = facts(&own).try_into().unwrap();
    assert!(
        line.starts_with("CN=Hemline edge CA press-01 ") && line.ends_with("[] ca Some((true, Some(0)))"),
        "{line}"
    );
    assert_eq!(facts(&issued.chain).len(), 2);
    assert!(issued.chain.ends_with(&own));
}

#[test]
fn it_outlives_the_process_and_its_key_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let first = authority(&folder).certificate(now()).unwrap();
    assert_eq!(authority(&folder).certificate(now() + days(100)).unwrap(), first);
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(KEY), mode(CERTIFICATE)), (0o600, 0o644));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
}

/// Killed between writing the key and writing the certificate, or the certificate lost: the name and the key stay.
#[test]
fn a_certificate_that_is_missing_or_damaged_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = authority(&folder);
    let before = first.certificate(now()).unwrap();
    let chain = first.server("sensor", "gateway.local", now()).unwrap().chain;
    for damage in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\n?")] {
        match damage {
            None => fs::remove_file(folder.path().join(CERTIFICATE)).unwrap(),
            Some(text) => fs::write(folder.path().join(CERTIFICATE), text).unwrap(),
        }
        let again = authority(&folder).certificate(now()).unwrap();
        assert_eq!(facts(&again), facts(&before));
        assert!(accepted(&again, &chain, "gateway.local", now()));
    }
}

#[test]
fn a_key_that_is_damaged_is_told_and_one_that_is_gone_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let before = authority(&folder).certificate(now()).unwrap();
    let key = folder.path().join(KEY);
    fs::write(&key, "-----BEGIN").unwrap();
    let error = authority(&folder).certificate(now()).unwrap_err().to_string();
    assert!(error.contains("workload-ca.key") && error.contains("restore it"), "{error}");
    assert_eq!(fs::read_to_string(&key).unwrap(), "-----BEGIN");
    fs::remove_file(&key).unwrap();
    let after = authority(&folder);
    assert_ne!(facts(&after.certificate(now()).unwrap()), facts(&before));
    let chain = after.server("sensor", "gateway.local", now()).unwrap().chain;
    assert!(!accepted(&before, &chain, "gateway.local", now()));
}

/// A fifth before its end it is signed again, with its key: whoever trusts the old certificate accepts what is issued under
/// the new one, and the other way round.
#[test]
fn renewal_breaks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let running = authority(&folder);
    let before = running.certificate(now()).unwrap();
    let almost = now() + days(i64::from(AUTHORITY_DAYS) * 4 / 5 - 2);
    assert_eq!(running.certificate(almost).unwrap(), before);
    let chain_before = running.server("sensor", "gateway.local", almost).unwrap().chain;
    let later = now() + days(i64::from(AUTHORITY_DAYS) * 4 / 5 + 2);
    let after = running.certificate(later).unwrap();
    assert_ne!(after, before);
    assert_eq!(authority(&folder).certificate(later).unwrap(), after, "it is on the disk");
    let chain_after = running.server("sensor", "gateway.local", later).unwrap().chain;
    for (anchor, chain) in [(&before, &chain_after), (&after, &chain_before), (&after, &chain_after)] {
        assert!(accepted(anchor, chain, "gateway.local", later));
    }
}

/// A device without a battery starts in 1970, until somebody tells it the time.
#[test]
fn a_clock_that_was_not_set_yet_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let unset = Timestamp::from_second(60).unwrap();
    let running = authority(&folder);
    let anchor = running.certificate(unset).unwrap();
    running.server("sensor", "gateway.local", unset).unwrap();
    assert_eq!(running.certificate(now()).unwrap(), anchor, "it is good when the clock is right");
    let chain = running.server("sensor", "gateway.local", now()).unwrap().chain;
    assert!(accepted(&anchor, &chain, "gateway.local", now()));
}

#[test]
fn certificates_are_for_their_names_use_and_time_only() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority(&folder);
    let anchor = authority.certificate(now()).unwrap();
    let server = authority.server("sensor", "gateway.local", now()).unwrap();
    for (name, at, expected) in [
        ("gateway.local", now(), true),
        ("sensor", now(), true),
        ("other.local", now(), false),
        ("gateway.local", server.until - SignedDuration::from_mins(1), true),
        ("gateway.local", server.until + SignedDuration::from_mins(1), false),
        ("gateway.local", now() - days(3), false),
    ] {
        assert_eq!(accepted(&anchor, &server.chain, name, at), expected, "{name} at {at}");
    }
    let identity = authority.identity("sensor", now()).unwrap();
    assert!(!accepted(&anchor, &identity.chain, "sensor", now()), "it is for clients");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = self::authority(&elsewhere).certificate(now()).unwrap();
    assert!(!accepted(&other, &server.chain, "gateway.local", now()), "another device");
}

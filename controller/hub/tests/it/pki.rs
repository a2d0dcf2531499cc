//! Certificates: made once, kept, made anew when they must be, and accepted by strict clients.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use hemline_hub::pki::{self, PkiError};
use hemline_testkit::require;
use jiff::{SignedDuration, Timestamp};
use x509_parser::{pem::parse_x509_pem, prelude::ParsedExtension};

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// What clients look at, in words.
fn describe(pem: &str) -> String {
    let (_, block) = parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let validity = certificate.validity();
    let mut lines = vec![format!("{} .. {}", validity.not_before, validity.not_after)];
    for extension in certificate.extensions() {
        let critical = if extension.critical { "critical " } else { "" };
        let told = match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(_) => "subject key id".into(),
            ParsedExtension::AuthorityKeyIdentifier(_) => "authority key id".into(),
            ParsedExtension::SubjectAlternativeName(found) => {
                found.general_names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            }
            ParsedExtension::KeyUsage(usage) => usage.to_string(),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                format!("server {} client {}", usage.server_auth, usage.client_auth)
            }
            other => format!("{other:?}"),
        };
        lines.push(format!("{critical}{told}"));
    }
    lines.join("\n")
}

#[test]
fn certificates_have_what_strict_clients_want() {
    let folder = tempfile::tempdir().unwrap();
    let made = pki::open(folder.path(), &names(&["Hub.Example", "127.0.0.1", "::1"]), now()).unwrap();
    insta::assert_snapshot!(format!("{}\n\n{}", describe(&made.ca_pem), describe(&made.server_pem)));
}

#[test]
fn files_are_kept_and_private() {
    let folder = tempfile::tempdir().unwrap();
    let first = pki::open(folder.path(), &names(&["a.test"]), now()).unwrap();
    let second = pki::open(folder.path(), &names(&["A.test"]), now()).unwrap();
    assert_eq!((&first.ca_pem, &first.server_pem), (&second.ca_pem, &second.server_pem));
    for (name, mode) in [("ca.pem", 0o644), ("ca.key", 0o600), ("server.pem", 0o644), ("server.key", 0o600)] {
        let found = fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no temporary file stays");
}

#[test]
fn the_server_certificate_is_made_anew_when_it_must_be() {
    let folder = tempfile::tempdir().unwrap();
    let open = |list: &[&str], days: i64| {
        pki::open(folder.path(), &names(list), now() + SignedDuration::from_hours(24 * days)).unwrap()
    };
    let first = open(&["a.test"], 0);
    let other_names = open(&["a.test", "10.0.0.1"], 0);
    assert_eq!(first.ca_pem, other_names.ca_pem);
    assert_ne!(first.server_pem, other_names.server_pem);
    let in_good_time = open(&["a.test", "10.0.0.1"], 790);
    assert_eq!(other_names.server_pem, in_good_time.server_pem);
    let soon_over = open(&["a.test", "10.0.0.1"], 800);
    assert_ne!(other_names.server_pem, soon_over.server_pem);
    fs::write(folder.path().join("server.pem"), "garbage").unwrap();
    open(&["a.test", "10.0.0.1"], 800);
    fs::remove_file(folder.path().join("server.key")).unwrap();
    open(&["a.test", "10.0.0.1"], 800);
    for name in ["ca.pem", "ca.key"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert_ne!(open(&["a.test"], 800).ca_pem, first.ca_pem);
}

#[test]
fn what_is_not_usable_is_said() {
    let told = |prepare: &dyn Fn(&Path), list: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        pki::open(folder.path(), &names(&["a.test"]), now()).unwrap();
        prepare(folder.path());
        let error = pki::open(folder.path(), &names(list), now()).unwrap_err();
        error.to_string().replace(folder.path().to_str().unwrap(), "DIR")
    };
    let other = tempfile::tempdir().unwrap();
    pki::open(other.path(), &names(&["a.test"]), now()).unwrap();
    let lines = [
        told(&|folder| fs::remove_file(folder.join("ca.key")).unwrap(), &["a.test"]),
        told(&|folder| fs::remove_file(folder.join("ca.pem")).unwrap(), &["a.test"]),
        told(&|folder| fs::write(folder.join("ca.pem"), "x").unwrap(), &["a.test"]),
        told(&|folder| copy(&other.path().join("ca.key"), &folder.join("ca.key")), &["a.test"]),
        told(&|folder| copy(&folder.join("server.pem"), &folder.join("ca.pem")), &["a.test"]),
        told(&|_| {}, &["not a name"]),
        told(&|_| {}, &[""]),
    ];
    insta::assert_snapshot!(lines.join("\n"));
    let nowhere = pki::open(Path::new("/no/such/folder"), &names(&["a.test"]), now());
    assert!(matches!(nowhere, Err(PkiError::File { what: "write", .. })), "{nowhere:?}");
}

#[test]
fn openssl_verifies_strictly() {
    let there = Command::new("openssl").arg("version").output().is_ok();
    if !require("openssl", there, "apt-get install openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    pki::open(folder.path(), &names(&["hub.test", "127.0.0.1"]), Timestamp::now()).unwrap();
    // The second opening issues with the authority as read from its file: issuer name and key id must still agree.
    pki::open(folder.path(), &names(&["hub.test", "127.0.0.2"]), Timestamp::now()).unwrap();
    let verified = Command::new("openssl")
        .current_dir(folder.path())
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_ip", "127.0.0.2"])
        .args(["-CAfile", "ca.pem", "server.pem"])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

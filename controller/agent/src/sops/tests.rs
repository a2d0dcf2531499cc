//! Documents that the real `sops` 3.9.4 encrypted (`tests/sops/`), as they are and as somebody changed them.

use std::process::{Command, Stdio};

use hemline_model::SourceFile;

use super::*;

const EVERY_TYPE: &str = include_str!("../../tests/sops/every-type.yaml");
const CHANGED: &str = include_str!("../../tests/sops/changed.yaml");
const TWO_RECIPIENTS: &str = include_str!("../../tests/sops/two-recipients.yaml");
const OTHER_RECIPIENT: &str = include_str!("../../tests/sops/other-recipient.yaml");
const MAC_ONLY_ENCRYPTED: &str = include_str!("../../tests/sops/mac-only-encrypted.yaml");
const SMALL_JSON: &str = include_str!("../../tests/sops/small.json");

/// What was encrypted in all of them but the small one.
const EXPECTED: [(&str, &str); 8] = [
    ("token", "hunter2"),
    ("unicode", "grüße ☃"),
    ("lines", "one\ntwo\n"),
    ("empty", ""),
    ("port", "8443"),
    ("ratio", "1.5"),
    ("on", "true"),
    ("packed", "secret bytes"),
];

fn keys(text: &str) -> Vec<age::x25519::Identity> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn ours() -> Vec<age::x25519::Identity> {
    keys(include_str!("../../tests/sops/age.key"))
}

/// On its way through the documents, as it comes to a device.
fn sealed(text: &str) -> Sealed {
    let path = if text.starts_with('{') { "secret.json" } else { "secret.yaml" };
    let file = SourceFile { path: path.into(), bytes: text.as_bytes().to_vec() };
    let loaded = hemline_model::load(&[file]);
    let fleet = loaded.fleet.unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    let (_, document) = fleet.secrets.first_key_value().unwrap();
    Sealed::parse(&document.spec.sealed).unwrap()
}

fn token(text: &str) -> Result<String, SopsError> {
    open(&sealed(text), "token", &ours()).map(|value| value.expose().to_owned())
}

/// The line with a key, whatever is encrypted there.
fn line<'a>(text: &'a str, key: &str) -> &'a str {
    text.lines().find(|line| line.trim_start().starts_with(key)).unwrap()
}

#[test]
fn what_the_real_tool_encrypted_opens() {
    for text in [EVERY_TYPE, TWO_RECIPIENTS, MAC_ONLY_ENCRYPTED] {
        let sealed = sealed(text);
        for (key, expected) in EXPECTED {
            let value = open(&sealed, key, &ours()).unwrap();
            assert_eq!(value.expose(), expected, "{key}");
            assert_eq!(format!("{value:?} {value}"), "*** ***");
        }
        assert_eq!(open(&sealed, "nothing", &ours()), Err(SopsError::NoEntry));
    }
    let small = sealed(SMALL_JSON);
    for (key, expected) in EXPECTED.into_iter().filter(|(key, _)| ["token", "port", "on"].contains(key)) {
        assert_eq!(open(&small, key, &ours()).unwrap().expose(), expected, "{key}");
    }
    assert_eq!(token(CHANGED).as_deref(), Ok("correct horse"));
}

#[test]
fn another_key_opens_nothing() {
    let wrong = |keys, recipients| Err(SopsError::WrongKey { keys, recipients });
    assert_eq!(token(OTHER_RECIPIENT), wrong(1, 1));
    assert_eq!(
        open(&sealed(TWO_RECIPIENTS), "token", &[]),
        Err(SopsError::WrongKey { keys: 0, recipients: 2 })
    );
    let other = keys(include_str!("../../tests/sops/other.key"));
    assert_eq!(open(&sealed(TWO_RECIPIENTS), "token", &other).unwrap().expose(), "hunter2");
}

#[test]
fn what_was_changed_stays_closed() {
    let value = |path: &str| Err(SopsError::Value { path: path.to_owned() });
    let own = line(EVERY_TYPE, "token:");
    let (head, rest) = own.split_once("data:").unwrap();
    let bent = format!("{head}data:{}{}", if rest.starts_with('A') { 'B' } else { 'A' }, &rest[1..]);
    assert_eq!(token(&EVERY_TYPE.replace(own, &bent)), value("stringData.token"));

    // A value of another place is genuine, but not there.
    let unicode = line(EVERY_TYPE, "unicode:").replace("unicode:", "token:");
    assert_eq!(token(&EVERY_TYPE.replace(own, &unicode)), value("stringData.token"));

    // As a merge does it: each value is genuine and in its place, but they were never encrypted together.
    assert_eq!(token(&EVERY_TYPE.replace(own, line(CHANGED, "token:"))), Err(SopsError::Mac));
    let without = EVERY_TYPE.replace(&format!("{}\n", line(EVERY_TYPE, "unicode:")), "");
    assert_eq!(token(&without), Err(SopsError::Mac));
    let (port, ratio) = (line(EVERY_TYPE, "port:"), line(EVERY_TYPE, "ratio:"));
    let swapped = EVERY_TYPE.replace(port, "@").replace(ratio, port).replace('@', ratio);
    assert_eq!(token(&swapped), Err(SopsError::Mac));
    assert_eq!(
        token(&EVERY_TYPE.replace("lastmodified: \"2026", "lastmodified: \"2025")),
        Err(SopsError::Mac)
    );

    // What stands in clear is proved too, unless the document says otherwise.
    assert_eq!(token(&EVERY_TYPE.replace("site: lyon", "site: oslo")), Err(SopsError::Mac));
    assert_eq!(token(&MAC_ONLY_ENCRYPTED.replace("site: lyon", "site: oslo")).as_deref(), Ok("hunter2"));
    assert_eq!(token(&MAC_ONLY_ENCRYPTED.replace("    mac_only_encrypted: true\n", "")), Err(SopsError::Mac));
}

#[test]
fn nothing_of_a_value_is_in_what_is_said() {
    let bent = EVERY_TYPE.replace(line(EVERY_TYPE, "token:"), line(CHANGED, "token:"));
    for error in [token(&bent), token(OTHER_RECIPIENT)] {
        let said = error.map_err(|error| format!("{error} {error:?}")).unwrap_err();
        assert!(
            !said.contains("hunter2") && !said.contains("horse") && !said.contains("SECRET-KEY"),
            "{said}"
        );
    }
}

/// The tool itself, so that another version of it is noticed.
#[test]
fn the_tool_of_today_writes_what_is_read_here() {
    let there = |name: &str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let how = "run .ci/run, or `go install github.com/getsops/sops/v3/cmd/sops@v3.9.4`";
    if !hemline_testkit::require("sops", there("sops"), how) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret.yaml");
    let identity = age::x25519::Identity::generate();
    let plain = "apiVersion: hemline.dev/v1alpha1\nkind: Secret\nmetadata: {name: cam}\nstringData:\n  token: hunter2\n  many: |\n    a\n\n    b\n";
    std::fs::write(&file, plain).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new("sops");
        let output = command.args(arguments).arg(&file).env("HOME", folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let recipient = identity.to_public().to_string();
    run(&["--encrypt", "--in-place", "--age", &recipient, "--encrypted-regex", "^(data|stringData)$"]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let sealed = sealed(&text);
    assert_eq!(open(&sealed, "token", std::slice::from_ref(&identity)).unwrap().expose(), "hunter2");
    assert_eq!(open(&sealed, "many", std::slice::from_ref(&identity)).unwrap().expose(), "a\n\nb\n");
}

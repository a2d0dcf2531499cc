//! Signed commits, made by `git` with `ssh-keygen` and `gpg`: who may, who may not, and when.

use hemline_testkit::git_is_here;
use std::{fs, path::Path, process::Command};

use hemline_sources::{Git, GitConfig, Signers, Snapshot, Source as _};

use super::{repository::Repository, sshd::keygen};

fn ssh_keys_are_here() -> bool {
    let here = Command::new("ssh-keygen").arg("-?").output().is_ok();
    git_is_here() && hemline_testkit::require("ssh-keygen", here, "apt-get install openssh-client")
}

async fn read(repository: &Repository, signers: Signers) -> Snapshot {
    let mirrors = tempfile::tempdir().unwrap();
    let config = GitConfig {
        signers: Some(signers),
        ..GitConfig::new(repository.path().display().to_string(), mirrors.path())
    };
    Git::open(config).unwrap().snapshot().await.unwrap()
}

fn assert_refused(snapshot: &Snapshot, why: &str) {
    assert!(snapshot.files.is_empty(), "nothing is read of it");
    let [note] = snapshot.notes.as_slice() else { panic!("{:?}", snapshot.notes) };
    assert!(note.refuses && note.rule == "source-signature", "{note:?}");
    assert!(note.message.contains(why), "{why}: {}", note.message);
}

#[tokio::test]
async fn commits_signed_with_ssh_keys() {
    if !ssh_keys_are_here() {
        return;
    }
    let repository = Repository::new();
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| keys.path().join(name).display().to_string();
    for (name, kind) in [("ed", "ed25519"), ("rsa", "rsa"), ("ec", "ecdsa"), ("stranger", "ed25519")] {
        keygen(&["-q", "-t", kind, "-N", "", "-f", &key(name)]);
    }
    let public = |name: &str| fs::read_to_string(format!("{}.pub", key(name))).unwrap();
    let allowed = keys.path().join("allowed");
    let write = |options: &str| {
        let lines = ["ed", "rsa", "ec"].map(|name| format!("{name}@example {options}{}", public(name)));
        fs::write(&allowed, lines.concat()).unwrap();
    };
    let signers = || Signers { ssh: Some(allowed.clone()), gpg: Vec::new() };
    let signed = |name: &str| {
        fs::write(repository.path().join("a.yaml"), name).unwrap();
        repository.git(&["add", "--all"]);
        let key = format!("user.signingkey={}", key(name));
        repository.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "--quiet", "-S", "-m", name]);
    };
    write("");
    for name in ["ed", "rsa", "ec"] {
        signed(name);
        let snapshot = read(&repository, signers()).await;
        assert_eq!((snapshot.files.len(), snapshot.notes.as_slice()), (1, &[][..]), "{name}");
    }
    for (options, why) in [
        ("namespaces=\"file\" ", "not among the allowed signers"),
        ("valid-before=\"20200101\" ", "not valid at the time"),
    ] {
        write(options);
        assert_refused(&read(&repository, signers()).await, why);
    }
    write("namespaces=\"git\",valid-after=\"20200101\" ");
    assert_eq!(read(&repository, signers()).await.files.len(), 1);
    assert_refused(&read(&repository, Signers::default()).await, "no signers of that kind");

    signed("stranger");
    assert_refused(&read(&repository, signers()).await, "not among the allowed signers");
    repository.commit("unsigned", &[]);
    assert_refused(&read(&repository, signers()).await, "it is not signed");

    // A signature moved to another content.
    signed("ed");
    let raw = repository.git(&["cat-file", "commit", "HEAD"]).replace("\n\ned", "\n\nother");
    fs::write(repository.path().join("forged"), raw + "\n").unwrap();
    let forged = repository.git(&["hash-object", "-t", "commit", "-w", "forged"]);
    repository.git(&["update-ref", "refs/heads/main", &forged]);
    assert_refused(&read(&repository, signers()).await, "does not fit its content");
}

#[tokio::test]
async fn a_signed_tag_answers_for_its_commit() {
    if !ssh_keys_are_here() {
        return;
    }
    let repository = Repository::new();
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| keys.path().join(name).display().to_string();
    for name in ["ann", "stranger"] {
        keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &key(name)]);
    }
    let allowed = keys.path().join("allowed");
    fs::write(&allowed, format!("ann@example {}", fs::read_to_string(key("ann") + ".pub").unwrap())).unwrap();
    let commit = repository.commit("unsigned", &[("a.yaml", "1")]);
    let tag = |name: &str, by: &str| {
        let key = format!("user.signingkey={}", key(by));
        repository.git(&["-c", "gpg.format=ssh", "-c", &key, "tag", "-s", "-m", name, name, &commit]);
    };
    tag("v1", "ann");
    tag("v2", "stranger");
    repository.git(&["tag", "-a", "-m", "unsigned", "v3", &commit]);
    repository.git(&["tag", "light", &commit]);
    // Somebody lets another name lead to what was signed, or writes something else into it.
    repository.git(&["update-ref", "refs/tags/v4", "refs/tags/v1"]);
    let forged = repository.git(&["cat-file", "tag", "v1"]).replace("tag v1", "tag v5");
    fs::write(repository.path().join("forged"), forged + "\n").unwrap();
    let forged = repository.git(&["hash-object", "-t", "tag", "-w", "forged"]);
    repository.git(&["update-ref", "refs/tags/v5", &forged]);

    let mirrors = tempfile::tempdir().unwrap();
    for url in [repository.path().display().to_string(), repository.url()] {
        let at = async |name: &str| {
            let config = GitConfig {
                reference: name.into(),
                signers: Some(Signers { ssh: Some(allowed.clone()), gpg: Vec::new() }),
                ..GitConfig::new(url.clone(), mirrors.path())
            };
            Git::open(config).unwrap().snapshot().await.unwrap()
        };
        for name in ["v1", "refs/tags/v1"] {
            let snapshot = at(name).await;
            assert_eq!((snapshot.files.len(), snapshot.notes.as_slice()), (1, &[][..]), "{url} {name}");
            assert_eq!(snapshot.revision.as_str(), commit);
        }
        for (name, why) in [
            ("v2", "not among the allowed signers"),
            ("v3", "it is not signed"),
            ("light", "it is not signed"),
            ("main", "it is not signed"),
            ("v4", "what is signed is called \"v1\""),
            ("v5", "does not fit its content"),
        ] {
            assert_refused(&at(name).await, why);
        }
    }
}

fn gpg(home: &Path, arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new("gpg").arg("--homedir").arg(home).arg("--batch").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn commits_signed_with_gpg_keys() {
    let here = Command::new("gpg").arg("--version").output().is_ok();
    if !git_is_here() || !hemline_testkit::require("gpg", here, "apt-get install gnupg") {
        return;
    }
    let repository = Repository::new();
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::os::unix::fs::PermissionsExt::set_mode(&mut fs::metadata(home).unwrap().permissions(), 0o700);
    let make = |user: &str, kind: &str, usage: &str, life: &str| {
        gpg(home, &["--passphrase", "", "--quick-generate-key", user, kind, usage, life]);
    };
    make("rsa@example", "rsa2048", "sign", "never");
    make("ed@example", "ed25519", "sign", "1d");
    make("sub@example", "ed25519", "cert", "never");
    make("stranger@example", "ed25519", "sign", "never");
    let print = |user: &str| {
        let listed = gpg(home, &["--with-colons", "--list-keys", user]);
        let listed = String::from_utf8(listed).unwrap();
        listed.lines().find(|line| line.starts_with("fpr")).unwrap().split(':').nth(9).unwrap().to_owned()
    };
    gpg(home, &["--passphrase", "", "--quick-add-key", &print("sub@example"), "ed25519", "sign", "never"]);
    let file = home.join("keys.asc");
    let export = |users: &[&str]| {
        fs::write(&file, gpg(home, &[&["--armor", "--export"], users].concat())).unwrap();
    };
    let signers = || Signers { ssh: None, gpg: vec![file.clone()] };
    let signed = |user: &str, date: &str| {
        fs::write(repository.path().join("a.yaml"), format!("{user}{date}")).unwrap();
        repository.git(&["add", "--all"]);
        let (key, program) =
            (format!("user.signingkey={user}"), format!("gpg.program={}/gpg", home.display()));
        fs::write(
            home.join("gpg"),
            format!("#!/bin/sh\nexec gpg --homedir {} --batch \"$@\"\n", home.display()),
        )
        .unwrap();
        super::repository::executable(&home.join("gpg"));
        repository.git_at(date, &["-c", &key, "-c", &program, "commit", "--quiet", "-S", "-m", user]);
    };
    let all = ["rsa@example", "ed@example", "sub@example"];
    export(&all);
    for user in all {
        signed(user, "");
        let snapshot = read(&repository, signers()).await;
        assert_eq!((snapshot.files.len(), snapshot.notes.as_slice()), (1, &[][..]), "{user}");
    }
    signed("stranger@example", "");
    assert_refused(&read(&repository, signers()).await, "not among the allowed signers");
    // A key of one day, a week later by the commit's own clock.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(7 * 24);
    signed("ed@example", &later.as_second().to_string());
    assert_refused(&read(&repository, signers()).await, "not valid at the time");

    signed("rsa@example", "");
    let print = print("rsa@example");
    let revocation = home.join("openpgp-revocs.d").join(format!("{print}.rev"));
    // gpg guards the file with a colon so that nobody imports it by mistake.
    let text = fs::read_to_string(&revocation).unwrap().replace(":-----BEGIN", "-----BEGIN");
    fs::write(&revocation, text).unwrap();
    gpg(home, &["--import", &revocation.display().to_string()]);
    export(&all);
    assert_refused(&read(&repository, signers()).await, "was revoked");
    drop(Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).output());
}

//! SSH against a real `sshd`: known and unknown servers, keys that are taken back, reading and writing.

use hemline_testkit::git_is_here;
use std::{fs, path::PathBuf, time::Duration};

use hemline_model::secret::Secret;
use hemline_sources::{
    Access, Credentials, Git, GitConfig, SecretText, Source as _, SourceError, StatusBranch, StatusFile,
};
use hemline_testkit::within;

use super::{
    repository::Repository,
    sshd::{Sshd, sshd_is_here},
};

const SOON: Duration = Duration::from_secs(30);

fn access(file: PathBuf, passphrase: Option<&str>, known_hosts: Option<PathBuf>) -> Access {
    let passphrase = passphrase.map(|text| SecretText::Value(Secret::new(text)));
    Access { credentials: Credentials::SshKey { file, passphrase }, ca_file: None, known_hosts }
}

#[tokio::test]
async fn a_repository_behind_ssh_is_followed_until_the_key_is_taken_back() {
    if !git_is_here() || !sshd_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit("first", &[("a.yaml", "1")]);
    let sshd = Sshd::start();
    let mirrors = tempfile::tempdir().unwrap();
    for (key, passphrase) in [("client", None), ("rsa", Some("letmein"))] {
        let config = GitConfig {
            interval: Duration::from_millis(100),
            access: access(sshd.key(key), passphrase, Some(sshd.known_hosts())),
            ..GitConfig::new(sshd.url(repository.path()), mirrors.path())
        };
        let mut source = Git::open(config).unwrap();
        source.snapshot().await.unwrap();
        let next = repository.commit("next", &[("a.yaml", key)]);
        within(SOON, "a new commit", source.changed()).await;
        assert_eq!(source.snapshot().await.unwrap().revision.as_str(), next);
        if key == "rsa" {
            sshd.lock();
            within(SOON, "the refusal", source.changed()).await;
            let denied = source.snapshot().await.unwrap_err();
            assert!(
                matches!(&denied, SourceError::Denied { fix, .. } if fix.contains("deploy keys")),
                "{denied}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_known_is_refused_and_a_stranger_is_too() {
    if !git_is_here() || !sshd_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit("first", &[("a.yaml", "1")]);
    let sshd = Sshd::start();
    let empty = sshd.key("empty");
    fs::write(&empty, "").unwrap();
    let mirrors = tempfile::tempdir().unwrap();
    let open = |access: Access, url: String| {
        Git::open(GitConfig { access, ..GitConfig::new(url, mirrors.path()) }).unwrap()
    };
    let url = sshd.url(repository.path());
    for (known, why) in [
        (None, "no known_hosts file"),
        (Some(empty.clone()), "is not in known_hosts"),
        (Some(sshd.known_hosts_with("stranger")), "is not the one in known_hosts"),
    ] {
        let failure =
            open(access(sshd.key("client"), None, known), url.clone()).snapshot().await.unwrap_err();
        assert!(
            matches!(&failure, SourceError::Untrusted { why: said, .. } if said.contains(why)),
            "{failure}"
        );
    }
    // Nothing was learned from it.
    assert_eq!(fs::read_to_string(&empty).unwrap(), "");

    let known = Some(sshd.known_hosts());
    let failure =
        open(access(sshd.key("stranger"), None, known.clone()), url.clone()).snapshot().await.unwrap_err();
    assert!(matches!(failure, SourceError::Denied { .. }), "{failure}");
    let anonymous = Access { known_hosts: known.clone(), ..Access::default() };
    let failure = open(anonymous, url.clone()).snapshot().await.unwrap_err();
    assert!(
        matches!(&failure, SourceError::Denied { fix, .. } if fix.contains("HEM_GIT_SSH_KEY")),
        "{failure}"
    );
    let failure =
        open(access(sshd.key("rsa"), None, known.clone()), url.clone()).snapshot().await.unwrap_err();
    assert!(matches!(failure, SourceError::Unreadable { .. }), "{failure}");
    let elsewhere =
        open(access(sshd.key("client"), None, known), format!("{url}-elsewhere")).snapshot().await;
    let failure = elsewhere.unwrap_err();
    assert!(matches!(&failure, SourceError::Denied { fix, .. } if fix.contains("path")), "{failure}");
}

#[tokio::test]
async fn status_goes_back_over_ssh() {
    if !git_is_here() || !sshd_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit("first", &[("a.yaml", "1")]);
    let sshd = Sshd::start();
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = Git::open(GitConfig {
        access: access(sshd.key("client"), None, Some(sshd.known_hosts())),
        status: Some(StatusBranch::new("hemline/status")),
        ..GitConfig::new(sshd.url(repository.path()), mirrors.path())
    })
    .unwrap();
    source.snapshot().await.unwrap();
    source
        .write_status(&[StatusFile { path: "README.md".into(), text: "all is well\n".into() }])
        .await
        .unwrap();
    super::status::until_written(&repository, &mut source, "hemline/status", "README.md", "all is well")
        .await;
}

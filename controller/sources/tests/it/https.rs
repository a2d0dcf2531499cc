//! HTTPS: whole chains of a private authority, tokens, filters, and what a refusal says.

use hemline_testkit::git_is_here;
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use hemline_model::{SourceFile, secret::Secret};
use hemline_sources::{Access, Credentials, Git, GitConfig, SecretText, Source as _, SourceError};
use hemline_testkit::within;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::server::{Like, Server, hosted};

const SOON: Duration = Duration::from_secs(20);

/// Root → intermediate → server, as private authorities are: only the root is known to the client.
fn tls(folder: &std::path::Path) -> (Arc<ServerConfig>, PathBuf) {
    let authority = || {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let (root_params, root_key) = authority();
    let root = root_params.self_signed(&root_key).unwrap();
    let root_issuer = Issuer::from_params(&root_params, &root_key);
    let (mut between_params, between_key) = authority();
    between_params.distinguished_name.push(rcgen::DnType::CommonName, "between");
    let between = between_params.signed_by(&between_key, &root_issuer).unwrap();
    let between_issuer = Issuer::from_params(&between_params, &between_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &between_issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone(), between.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let file = folder.join("ca.pem");
    fs::write(&file, root.pem()).unwrap();
    (Arc::new(config), file)
}

fn token(text: &str) -> Credentials {
    Credentials::Token(SecretText::Value(Secret::new(text)))
}

/// What a server sees of the token `good`.
fn good() -> Option<String> {
    // base64 of `x-access-token:good`
    Some("Basic eC1hY2Nlc3MtdG9rZW46Z29vZA==".to_owned())
}

#[tokio::test]
async fn a_chain_of_a_private_authority_and_a_token_that_is_taken_back() {
    if !git_is_here() {
        return;
    }
    let (root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let (tls, ca) = tls(root.path());
    let wants = Arc::new(Mutex::new(good()));
    let like = Like { tls: Some(tls), wants: Arc::clone(&wants), ..Like::default() };
    let server = Server::start(&path, &like);
    let mirrors = tempfile::tempdir().unwrap();
    let config = |credentials, ca_file| GitConfig {
        interval: Duration::from_millis(50),
        access: Access { credentials, ca_file, known_hosts: None },
        ..GitConfig::new(server.url(), mirrors.path())
    };

    let stranger = Git::open(config(token("good"), None)).unwrap().snapshot().await.unwrap_err();
    assert!(
        matches!(&stranger, SourceError::Untrusted { fix, .. } if fix.contains("--git-ca")),
        "{stranger}"
    );

    for credentials in [Credentials::Anonymous, token("bad")] {
        let denied = Git::open(config(credentials, Some(ca.clone()))).unwrap().snapshot().await.unwrap_err();
        let SourceError::Denied { why, fix, .. } = &denied else { panic!("{denied}") };
        assert!(why.contains("401") && why.contains("Bad credentials"), "{why}");
        assert!(fix.contains("HEM_GIT_TOKEN"), "{fix}");
        assert!(!denied.to_string().contains("bad"), "{denied}");
    }

    let mut source = Git::open(config(token("good"), Some(ca.clone()))).unwrap();
    assert_eq!(source.snapshot().await.unwrap().files.len(), 1);

    // The token is taken back while the program runs: that is a change, with a reason and a way out.
    *wants.lock().unwrap() = Some("Basic other".to_owned());
    within(SOON, "the refusal", source.changed()).await;
    let denied = source.snapshot().await.unwrap_err();
    assert!(matches!(denied, SourceError::Denied { .. }), "{denied}");

    *wants.lock().unwrap() = good();
    within(SOON, "the token is good again", source.changed()).await;
    assert_eq!(source.snapshot().await.unwrap().files.len(), 1);
}

#[tokio::test]
async fn a_token_from_a_file_is_read_again_and_a_repository_that_is_not_there_says_so() {
    if !git_is_here() {
        return;
    }
    let (root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let (tls, ca) = tls(root.path());
    let like = Like { tls: Some(tls), wants: Arc::new(Mutex::new(good())), ..Like::default() };
    let server = Server::start(&path, &like);
    let mirrors = tempfile::tempdir().unwrap();
    let file = root.path().join("token");
    fs::write(&file, "old\n").unwrap();
    let access = Access {
        credentials: Credentials::Token(SecretText::File(file.clone())),
        ca_file: Some(ca),
        known_hosts: None,
    };
    let config = |url: String| GitConfig { access: access.clone(), ..GitConfig::new(url, mirrors.path()) };
    let mut source = Git::open(config(server.url())).unwrap();
    assert!(matches!(source.snapshot().await, Err(SourceError::Denied { .. })));
    fs::write(&file, "good\n").unwrap();
    assert_eq!(source.snapshot().await.unwrap().files.len(), 1);

    let other = server.url().replace("fleet", "other");
    let missing = Git::open(config(other)).unwrap().snapshot().await.unwrap_err();
    assert!(matches!(&missing, SourceError::Denied { why, .. } if why.contains("404")), "{missing}");
}

/// A megabyte that does not compress.
fn noise(megabytes: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = String::with_capacity(megabytes << 20);
    while text.len() < megabytes << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text
}

#[tokio::test]
async fn history_and_huge_blobs_of_other_folders_stay_where_they_are() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    let noise = noise(12);
    let (old, huge) = noise.split_at(6 << 20);
    repository.commit("old", &[("old/video.bin", old)]);
    repository.git(&["rm", "-q", "-r", "old"]);
    repository.commit("huge", &[("models/huge.bin", huge), ("fleet/a.yaml", "1")]);
    for (filters, at_most) in [(true, 100 << 10), (false, 8 << 20)] {
        let server = Server::start(&path, &Like { filters, ..Like::default() });
        let mirrors = tempfile::tempdir().unwrap();
        let config = GitConfig { folder: "fleet".into(), ..GitConfig::new(server.url(), mirrors.path()) };
        let mut source = Git::open(config.clone()).unwrap();
        assert_eq!(source.snapshot().await.unwrap().files.len(), 1);
        let sent = server.sent.load(Ordering::SeqCst);
        assert!(sent < at_most, "{sent} bytes were fetched, filters {filters}");

        // What comes later comes alone.
        let next = repository.commit("next", &[("fleet/a.yaml", if filters { "2" } else { "3" })]);
        assert_eq!(source.snapshot().await.unwrap().revision.as_str(), next);
        let more = server.sent.load(Ordering::SeqCst) - sent;
        assert!(more < 10 << 10, "{more} bytes more were fetched, filters {filters}");

        // A blob that was left out is one that is too large.
        let mut models = Git::open(GitConfig { folder: "models".into(), ..config }).unwrap();
        assert_eq!(models.snapshot().await.unwrap().files.len(), 0);
    }
    repository.commit("document", &[("fleet/big.yaml", huge)]);
    let server = Server::start(&path, &Like { filters: true, ..Like::default() });
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = Git::open(GitConfig::new(server.url(), mirrors.path())).unwrap();
    let files = source.snapshot().await.unwrap().files;
    assert!(files.contains(&SourceFile::too_large("fleet/big.yaml")), "told of, not read");
}

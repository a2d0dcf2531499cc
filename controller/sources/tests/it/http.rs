//! Smart HTTP: what a source does with a server, with one that says no, and with one that says nothing.

use hemline_testkit::git_is_here;
use std::{net::TcpListener, sync::atomic::Ordering, time::Duration};

use hemline_sources::{Bounds, Git, GitConfig, Source as _, SourceError};
use hemline_testkit::within;

use super::server::{Like, Server, hosted};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_repository_behind_smart_http_is_followed() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = Server::start(&path, &Like::default());
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = Git::open(GitConfig {
        interval: Duration::from_millis(50),
        ..GitConfig::new(server.url(), mirrors.path())
    })
    .unwrap();
    assert_eq!(source.snapshot().await.unwrap().files.len(), 1);
    let packs = server.packs.load(Ordering::SeqCst);
    source.snapshot().await.unwrap();
    assert_eq!(server.packs.load(Ordering::SeqCst), packs, "nothing moved, so no pack is asked for");

    let second = repository.commit("second", &[("b.yaml", "2")]);
    within(SOON, "a new commit", source.changed()).await;
    assert_eq!(source.snapshot().await.unwrap().revision.as_str(), second);

    drop(server);
    let stale = source.snapshot().await.unwrap();
    assert_eq!(stale.revision.as_str(), second);
    assert_eq!(stale.notes[0].rule, "source-unreachable");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_thread_and_the_timeout() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://user:secret@127.0.0.1:{}/x.git", listener.local_addr().unwrap().port());
    let mirrors = tempfile::tempdir().unwrap();
    let bounds = Bounds { timeout: Duration::from_millis(200), ..Bounds::default() };
    let mut source = Git::open_with(GitConfig::new(url, mirrors.path()), bounds).unwrap();
    for _ in 0..2 {
        let failure = within(SOON, "the timeout", source.snapshot()).await.unwrap_err();
        assert!(matches!(failure, SourceError::TimedOut { .. }), "{failure}");
        assert!(!failure.to_string().contains("secret"));
    }
    assert!(!source.describe().contains("secret"));
    // Ends the look that is still under way.
    drop(listener);
}

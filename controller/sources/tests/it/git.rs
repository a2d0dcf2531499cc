//! Repositories: by path, by `file://`, at revisions.

use hemline_testkit::git_is_here;
use std::{fs, time::Duration};

use hemline_model::SourceFile;
use hemline_sources::{
    Git, GitConfig, Snapshot, Source as _, SourceError, locate, merge_base, read_revision,
};
use hemline_testkit::within;

use super::repository::Repository;

const SOON: Duration = Duration::from_secs(20);

fn shape(snapshot: &Snapshot) -> Vec<(&str, &str)> {
    snapshot.files.iter().map(|file| (&*file.path, std::str::from_utf8(&file.bytes).unwrap())).collect()
}

fn config(location: String, mirrors: &tempfile::TempDir) -> GitConfig {
    GitConfig { interval: Duration::from_millis(50), ..GitConfig::new(location, mirrors.path()) }
}

#[tokio::test]
async fn a_branch_is_followed_by_path_and_by_address() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    let first = repository.commit("first", &[("fleet/a.yaml", "1"), ("other.yaml", "2")]);
    let mirrors = tempfile::tempdir().unwrap();
    for location in [repository.path().display().to_string(), repository.url()] {
        let mut source =
            Git::open(GitConfig { folder: "fleet".into(), ..config(location.clone(), &mirrors) }).unwrap();
        let snapshot = source.snapshot().await.unwrap();
        assert_eq!(shape(&snapshot)[0].0, "a.yaml", "{location}");
        let before = snapshot.revision;

        let next = repository.commit("next", &[("fleet/a.yaml", &location)]);
        within(SOON, "a new commit", source.changed()).await;
        let snapshot = source.snapshot().await.unwrap();
        assert_eq!(snapshot.revision.as_str(), next);
        assert_ne!(snapshot.revision, before);
        assert_eq!(shape(&snapshot), [("a.yaml", location.as_str())]);
        assert_eq!(snapshot.message.as_deref(), Some("next"));

        // Nothing new: nothing to say, until somebody nudges.
        assert!(tokio::time::timeout(Duration::from_millis(200), source.changed()).await.is_err());
        source.nudge().nudge();
        within(SOON, "a nudge", source.changed()).await;
        assert!(!source.takes_status());
    }
    assert_ne!(first, repository.git(&["rev-parse", "HEAD"]));
    assert!(repository.git(&["status", "--porcelain"]).is_empty());
}

#[tokio::test]
async fn references_of_every_kind() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    let first = repository.commit("first", &[("a.yaml", "1")]);
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "heavy", "-m", "x"]);
    let second = repository.commit("second", &[("a.yaml", "2")]);
    repository.git(&["branch", "side/branch"]);
    // A branch and a tag of one name.
    repository.git(&["branch", "v1"]);
    repository.git(&["tag", "v1", "light"]);
    let mirrors = tempfile::tempdir().unwrap();
    for location in [repository.path().display().to_string(), repository.url()] {
        for (reference, commit) in [
            ("", &second),
            ("HEAD", &second),
            ("main", &second),
            ("side/branch", &second),
            ("refs/heads/main", &second),
            ("light", &first),
            ("heavy", &first),
            ("v1", &second),
            ("refs/tags/v1", &first),
            (first.as_str(), &first),
        ] {
            let mut source =
                Git::open(GitConfig { reference: reference.into(), ..config(location.clone(), &mirrors) })
                    .unwrap();
            let snapshot = source.snapshot().await.unwrap();
            assert_eq!(snapshot.revision.as_str(), commit, "{location} {reference:?}");
        }
        for wrong in ["nope", "0123456789012345678901234567890123456789", "bad name", "a:b", "../x"] {
            let mut source =
                Git::open(GitConfig { reference: wrong.into(), ..config(location.clone(), &mirrors) })
                    .unwrap();
            let failure = source.snapshot().await.unwrap_err();
            assert!(matches!(failure, SourceError::NoReference { .. }), "{wrong}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_force_push_is_followed_and_a_missing_remote_is_survived() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit("first", &[("a.yaml", "1")]);
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = Git::open(config(repository.url(), &mirrors)).unwrap();
    source.snapshot().await.unwrap();
    fs::write(repository.path().join("a.yaml"), "2").unwrap();
    repository.git(&["commit", "--quiet", "--amend", "-a", "-m", "rewritten"]);
    let rewritten = source.snapshot().await.unwrap();
    assert_eq!(shape(&rewritten), [("a.yaml", "2")]);

    let away = repository.rename_away();
    // A second source stands for the same program after a restart.
    let mut restarted = Git::open(config(repository.url(), &mirrors)).unwrap();
    for source in [&mut source, &mut restarted] {
        let stale = source.snapshot().await.unwrap();
        assert_eq!(stale.revision, rewritten.revision);
        assert_eq!(stale.notes[0].rule, "source-unreachable");
    }
    let other = GitConfig { reference: "other".into(), ..config(repository.url(), &mirrors) };
    let failure = Git::open(other).unwrap().snapshot().await.unwrap_err();
    assert!(matches!(failure, SourceError::Unreachable { .. }), "{failure}");

    fs::rename(away, repository.path()).unwrap();
    within(SOON, "the remote is back", source.changed()).await;
    assert!(source.snapshot().await.unwrap().notes.is_empty());
}

#[tokio::test]
async fn symlinks_submodules_and_hooks_have_no_effect() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit(
        "first",
        &[("a.yaml", "1"), ("status/x.yaml", "no"), (".github/w.yaml", "no"), ("n.txt", "no")],
    );
    std::os::unix::fs::symlink("/etc/passwd", repository.path().join("link.yaml")).unwrap();
    let commit = repository.commit("link", &[]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},module")]);
    repository.git(&["commit", "--quiet", "-m", "module"]);
    let mirrors = tempfile::tempdir().unwrap();
    let snapshot = Git::open(config(repository.url(), &mirrors)).unwrap().snapshot().await.unwrap();
    assert_eq!(shape(&snapshot), [("a.yaml", "1")]);
    let notes: Vec<_> = snapshot.notes.iter().map(|note| (note.rule, note.path.as_deref())).collect();
    assert_eq!(
        notes,
        [("source-symlink-skipped", Some("link.yaml")), ("source-submodule-skipped", Some("module"))]
    );
}

#[tokio::test]
async fn a_huge_blob_comes_in_without_its_content() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    repository.commit("first", &[("a.yaml", &"x".repeat(3_000_000)), ("b.yaml", "1")]);
    let mirrors = tempfile::tempdir().unwrap();
    let snapshot = Git::open(config(repository.url(), &mirrors)).unwrap().snapshot().await.unwrap();
    let small = SourceFile { path: "b.yaml".into(), bytes: b"1".to_vec() };
    assert_eq!(snapshot.files, [SourceFile::too_large("a.yaml"), small]);
}

#[test]
fn two_revisions_for_a_plan() {
    if !git_is_here() {
        return;
    }
    let repository = Repository::new();
    let base = repository.commit("base", &[("fleet/a.yaml", "1")]);
    repository.git(&["checkout", "--quiet", "-b", "feature"]);
    let head = repository.commit("feature", &[("fleet/a.yaml", "2")]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.commit("landed later", &[("fleet/b.yaml", "3")]);

    let folder = repository.path().join("fleet");
    let located = locate(&folder).unwrap();
    assert_eq!(located.folder, "fleet");
    let found = merge_base(&located.repository, "main", "feature").unwrap();
    assert_eq!(found.as_str(), base);
    let read = |revision: &str, folder: &str| read_revision(&folder_of(&located), revision, folder);
    assert_eq!(read("feature", "fleet").unwrap().revision.as_str(), head);
    assert_eq!(shape(&read("feature", "fleet").unwrap()), [("a.yaml", "2")]);
    assert_eq!(shape(&read("feature~1", "./fleet/").unwrap()), [("a.yaml", "1")]);
    assert_eq!(shape(&read("main", "fleet/b.yaml").unwrap()), [("b.yaml", "3")]);
    assert!(matches!(read("main", "nope"), Err(SourceError::NoFolder { .. })));
    assert!(matches!(read("nope", "fleet"), Err(SourceError::NoReference { .. })));
    repository.git(&["checkout", "--quiet", "--orphan", "alone"]);
    repository.commit("alone", &[]);
    assert!(matches!(merge_base(&located.repository, "main", "alone"), Err(SourceError::NoMergeBase { .. })));
    assert!(locate(tempfile::tempdir().unwrap().path()).is_err());
}

fn folder_of(located: &hemline_sources::Located) -> std::path::PathBuf {
    located.repository.join(&located.folder)
}

#[test]
fn addresses_that_this_build_cannot_speak_to() {
    let mirrors = tempfile::tempdir().unwrap();
    for location in ["ftp://example.org/a.git", "ssh://example.org", "http://me:x@example.org/a.git"] {
        let failure = Git::open(GitConfig::new(location, mirrors.path())).unwrap_err();
        assert!(matches!(failure, SourceError::Unsupported { .. }), "{location}: {failure}");
    }
    let failure = Git::open(GitConfig::new("/nonexistent/repository", mirrors.path())).unwrap_err();
    assert!(matches!(failure, SourceError::Repository { .. }), "{failure}");
}

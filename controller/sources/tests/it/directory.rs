//! A folder: what is read, what wakes, what is written back.

use std::{fs, path::Path, time::Duration};

use hemline_model::SourceFile;
use hemline_sources::{Directory, Limits, Snapshot, Source as _, SourceError, StatusFile, read_paths};
use hemline_testkit::within;

const SOON: Duration = Duration::from_secs(10);

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.files.iter().map(|file| &*file.path).collect()
}

#[tokio::test]
async fn documents_are_read_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    for path in [
        "b.yaml",
        "a/c.yml",
        "a/d.json",
        "notes.md",
        ".git/x.yaml",
        "status/devices/p.yaml",
        "a/status/e.yaml",
    ] {
        put(root.path(), path, path);
    }
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "secret.yaml", "s");
    std::os::unix::fs::symlink(outside.path().join("secret.yaml"), root.path().join("link.yaml")).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(root.path(), root.path().join("loop")).unwrap();

    let mut source = Directory::open(root.path()).unwrap();
    let first = source.snapshot().await.unwrap();
    assert_eq!(paths(&first), ["a/c.yml", "a/d.json", "a/status/e.yaml", "b.yaml"]);
    assert_eq!(first.notes.len(), 1);
    assert_eq!(first.notes[0].rule, "source-symlink-skipped");

    put(root.path(), "notes.md", "other");
    assert_eq!(source.snapshot().await.unwrap().revision, first.revision);
    put(root.path(), "b.yaml", "other");
    assert_ne!(source.snapshot().await.unwrap().revision, first.revision);
}

#[tokio::test]
async fn limits_are_errors_that_name_the_place() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a.yaml", "12345");
    put(root.path(), "b.yaml", "12345");
    for (limits, what) in [
        (Limits { files: 1, ..Limits::default() }, "documents"),
        (Limits { total_bytes: 9, ..Limits::default() }, "bytes in all documents"),
    ] {
        let failure = Directory::open_with(root.path(), limits).unwrap().snapshot().await.unwrap_err();
        assert!(matches!(&failure, SourceError::Limit { what: found, .. } if *found == what), "{failure}");
    }
    let missing = Directory::open(root.path().join("nope")).unwrap_err();
    assert!(matches!(missing, SourceError::Unreadable { .. }), "{missing}");
}

#[tokio::test]
async fn a_file_that_is_too_large_comes_in_without_its_content() {
    let root = tempfile::tempdir().unwrap();
    let most = hemline_model::text::FILE_BYTES;
    put(root.path(), "a.yaml", &"x".repeat(most));
    put(root.path(), "b.yaml", &"x".repeat(most + 1));
    put(root.path(), "c.yaml", "12345");
    let snapshot = Directory::open(root.path()).unwrap().snapshot().await.unwrap();
    assert_eq!(paths(&snapshot), ["a.yaml", "b.yaml", "c.yaml"]);
    assert_eq!(snapshot.files[0].bytes, "x".repeat(most).into_bytes());
    assert_eq!(snapshot.files[1], SourceFile::too_large("b.yaml"));
    // It counts for as much as would have been read of it.
    let limits = Limits { total_bytes: 2 * most as u64 + 5, ..Limits::default() };
    let failure = Directory::open_with(root.path(), limits).unwrap().snapshot().await.unwrap_err();
    assert!(matches!(failure, SourceError::Limit { what: "bytes in all documents", .. }), "{failure}");
}

#[tokio::test]
async fn a_change_wakes_and_our_own_status_does_not() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a.yaml", "1");
    let mut source = Directory::open(root.path()).unwrap();
    let first = source.snapshot().await.unwrap();

    put(root.path(), "deep/er/b.yaml", "2");
    within(SOON, "a new file in a new folder", source.changed()).await;
    let second = source.snapshot().await.unwrap();
    assert_ne!(first.revision, second.revision);

    // As editors save: a new file takes the place of the old one.
    put(root.path(), ".a.swp", "3");
    fs::rename(root.path().join(".a.swp"), root.path().join("a.yaml")).unwrap();
    within(SOON, "a replaced file", source.changed()).await;
    source.snapshot().await.unwrap();

    source.write_status(&[StatusFile { path: "README.md".into(), text: "x".into() }]).await.unwrap();
    let mut changed = Box::pin(source.changed());
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut changed).await.is_err());
    // The future is dropped here: whatever comes next must still be seen.
    drop(changed);
    let nudge = source.nudge();
    nudge.nudge();
    within(SOON, "a nudge", source.changed()).await;
}

#[tokio::test]
async fn status_is_written_once_and_pruned() {
    let root = tempfile::tempdir().unwrap();
    let mut source = Directory::open(root.path()).unwrap();
    let file = |path: &str, text: &str| StatusFile { path: path.into(), text: text.into() };
    put(root.path(), "status/mine.txt", "kept");

    source
        .write_status(&[
            file("README.md", "all well"),
            file("devices/p1.yaml", "a"),
            file("devices/p2.yaml", "b"),
        ])
        .await
        .unwrap();
    let modified = |path: &str| fs::metadata(root.path().join(path)).unwrap().modified().unwrap();
    let before = modified("status/devices/p1.yaml");

    // A second source stands for the same program after a restart.
    let mut source = Directory::open(root.path()).unwrap();
    source.write_status(&[file("README.md", "one gone"), file("devices/p1.yaml", "a")]).await.unwrap();
    assert_eq!(modified("status/devices/p1.yaml"), before, "an unchanged file is not touched");
    assert!(!root.path().join("status/devices/p2.yaml").exists());
    assert!(root.path().join("status/mine.txt").exists(), "a file of somebody else stays");
    assert_eq!(fs::read_to_string(root.path().join("status/README.md")).unwrap(), "one gone");
    assert!(
        fs::read_dir(root.path().join("status"))
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().ends_with(".tmp") })
    );

    for path in ["../escape", "/etc/x", "a/../../b", ""] {
        assert!(source.write_status(&[file(path, "x")]).await.is_err(), "{path}");
    }
    source.write_status(&[]).await.unwrap();
    assert!(!root.path().join("status/devices").exists());
}

#[tokio::test]
async fn status_never_goes_through_a_symlink() {
    let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), root.path().join("status")).unwrap();
    let mut source = Directory::open(root.path()).unwrap();
    let failure =
        source.write_status(&[StatusFile { path: "a".into(), text: "x".into() }]).await.unwrap_err();
    assert!(matches!(failure, SourceError::Status { .. }), "{failure}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn paths_of_a_command_line_keep_their_beginning() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a/x.yaml", "1");
    put(root.path(), "one.txt", "2");
    let read = |paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|path| root.path().join(path)).collect();
        read_paths(&paths, Limits::default()).unwrap().0
    };
    let base = root.path().display().to_string();
    let found = read(&["a", "one.txt", "a/"]);
    let found: Vec<_> = found.iter().map(|file| file.path.to_string()).collect();
    assert_eq!(found, [format!("{base}/a/x.yaml"), format!("{base}/one.txt")]);
}

//! Several sources as one: ownership of documents, and one that fails never costs the others anything.

use std::fs;

use hemline_sources::{Directory, Git, GitConfig, OneSource, Several, Snapshot, Source as _, StatusFile};

use super::repository::{Repository, git_is_here};

fn device(name: &str) -> String {
    format!("apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{}}\n")
}

fn paths(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.files.iter().map(|file| &*file.path).collect()
}

fn held(snapshot: &Snapshot) -> Vec<&str> {
    snapshot
        .notes
        .iter()
        .filter(|note| note.rule == "source-held-back")
        .map(|note| note.message.as_str())
        .collect()
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ours", "guests"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.folder.path().join(path), text).unwrap();
    }

    fn open(&self) -> Several {
        let source = |name: &str| {
            let source = Directory::open(self.folder.path().join(name)).unwrap();
            (name.to_owned(), OneSource::from(source))
        };
        Several::new(vec![source("ours"), source("guests")], self.folder.path().join("kept")).unwrap()
    }
}

#[tokio::test]
async fn each_source_owns_what_it_brings() {
    let world = World::new();
    world.write("ours/a.yaml", &device("press-01"));
    world.write("guests/b.yaml", &device("guest-01"));
    let mut source = world.open();
    let first = source.snapshot().await.unwrap();
    assert_eq!(paths(&first), ["guests/b.yaml", "ours/a.yaml"]);
    assert!(first.notes.is_empty(), "{:?}", first.notes);
    assert_eq!(source.snapshot().await.unwrap().revision, first.revision);

    // A name that another source had first: the newcomer waits, whichever comes first in the order of names.
    world.write("guests/c.yaml", &device("press-01"));
    let snapshot = source.snapshot().await.unwrap();
    assert_eq!((paths(&snapshot), &snapshot.revision), (paths(&first), &first.revision));
    let [message] = held(&snapshot)[..] else { panic!("{:?}", snapshot.notes) };
    assert!(message.contains("source guests") && message.contains("ours/a.yaml"), "{message}");
    assert!(message.contains("guests/c.yaml") && message.contains("press-01"), "{message}");
    fs::remove_file(world.folder.path().join("guests/c.yaml")).unwrap();
    world.write("ours/z.yaml", &device("guest-01"));
    let snapshot = source.snapshot().await.unwrap();
    assert_eq!(paths(&snapshot), ["guests/b.yaml", "ours/a.yaml"]);
    assert!(held(&snapshot)[0].contains("source ours"), "{:?}", snapshot.notes);
    fs::remove_file(world.folder.path().join("ours/z.yaml")).unwrap();

    // A broken revision of one goes on waiting while the other moves.
    world.write("guests/b.yaml", "kind: Nonsense\n");
    world.write("ours/b.yaml", &device("press-02"));
    let snapshot = source.snapshot().await.unwrap();
    assert_eq!(paths(&snapshot), ["guests/b.yaml", "ours/a.yaml", "ours/b.yaml"]);
    assert!(held(&snapshot)[0].contains("guests/b.yaml:1"), "{:?}", snapshot.notes);
    assert_ne!(snapshot.revision, first.revision);
    let moved = snapshot.revision;

    // One that cannot be read keeps its documents, after a restart too.
    fs::rename(world.folder.path().join("guests"), world.folder.path().join("away")).unwrap();
    let snapshot = source.snapshot().await.unwrap();
    assert_eq!((paths(&snapshot).len(), &snapshot.revision), (3, &moved));
    assert!(
        snapshot
            .notes
            .iter()
            .any(|note| note.rule == "source-unreachable" && note.message.contains("guests"))
    );
    drop(source);
    fs::rename(world.folder.path().join("away"), world.folder.path().join("guests")).unwrap();
    let mut restarted = world.open();
    let snapshot = restarted.snapshot().await.unwrap();
    assert_eq!((paths(&snapshot).len(), &snapshot.revision), (3, &moved));

    // Mended, and a document that its owner takes out is gone.
    world.write("guests/b.yaml", &device("guest-02"));
    fs::remove_file(world.folder.path().join("ours/b.yaml")).unwrap();
    let snapshot = restarted.snapshot().await.unwrap();
    assert_eq!(paths(&snapshot), ["guests/b.yaml", "ours/a.yaml"]);
    assert!(snapshot.notes.is_empty(), "{:?}", snapshot.notes);
}

#[tokio::test]
async fn of_two_newcomers_the_first_in_order_owns_the_name() {
    let world = World::new();
    world.write("ours/a.yaml", &device("press-01"));
    world.write("guests/b.yaml", &device("press-01"));
    let snapshot = world.open().snapshot().await.unwrap();
    assert_eq!(paths(&snapshot), ["ours/a.yaml"]);
    assert!(held(&snapshot)[0].contains("nothing of it is used"), "{:?}", snapshot.notes);
    let twice =
        |name: &str| (name.to_owned(), OneSource::from(Directory::open(world.folder.path()).unwrap()));
    for names in [["a", "a"], ["", "b"], ["a/b", "c"]] {
        assert!(Several::new(names.map(twice).into(), world.folder.path()).is_err(), "{names:?}");
    }
}

#[tokio::test]
async fn a_change_of_any_source_wakes_and_status_goes_to_those_that_take_it() {
    if !git_is_here() {
        return;
    }
    let world = World::new();
    world.write("ours/a.yaml", &device("press-01"));
    let repository = Repository::new();
    repository.commit("first", &[("b.yaml", &device("guest-01"))]);
    let mirrors = tempfile::tempdir().unwrap();
    let git = Git::open(GitConfig::new(repository.path().display().to_string(), mirrors.path())).unwrap();
    let ours = Directory::open(world.folder.path().join("ours")).unwrap();
    let sources = vec![("ours".to_owned(), ours.into()), ("guests".to_owned(), git.into())];
    let mut source = Several::new(sources, world.folder.path().join("kept")).unwrap();
    let first = source.snapshot().await.unwrap();
    assert_eq!(first.message.as_deref(), Some("guests: first"));
    repository.commit("second", &[("b.yaml", &device("guest-02"))]);
    hemline_testkit::within(std::time::Duration::from_secs(20), "a commit", source.changed()).await;
    assert_ne!(source.snapshot().await.unwrap().revision, first.revision);
    source.nudge().nudge();
    hemline_testkit::within(std::time::Duration::from_secs(20), "a nudge", source.changed()).await;
    source.write_status(&[StatusFile { path: "README.md".into(), text: "fine\n".into() }]).await.unwrap();
    assert!(world.folder.path().join("ours/status/README.md").exists());
}

//! Several sources as one: ownership of documents, and one that fails never costs the others anything.

use hemline_testkit::git_is_here;
use std::{fs, net::TcpListener, time::Duration};

use hemline_sources::{
    AnySource, Bounds, Directory, ForgeConfig, ForgeKind, Git, GitConfig, News, OneSource, Outcome, Phase,
    Reason, Several, Snapshot, Source as _, StatusFile,
};
use hemline_testkit::within;
use serde_json::json;

use super::{
    forge::{Server, config, token},
    repository::Repository,
};

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
    within(Duration::from_secs(20), "a commit", source.changed()).await;
    assert_ne!(source.snapshot().await.unwrap().revision, first.revision);
    source.nudge().nudge();
    within(Duration::from_secs(20), "a nudge", source.changed()).await;
    source.write_status(&[StatusFile { path: "README.md".into(), text: "fine\n".into() }]).await.unwrap();
    assert!(world.folder.path().join("ours/status/README.md").exists());
}

#[tokio::test]
async fn a_silent_remote_holds_up_no_other_source() {
    if !git_is_here() {
        return;
    }
    let soon = Duration::from_secs(20);
    let (ours, guests) = (Repository::new(), Repository::new());
    ours.commit("ours", &[("a.yaml", &device("press-01"))]);
    guests.commit("theirs", &[("b.yaml", &device("guest-01"))]);
    let folder = tempfile::tempdir().unwrap();
    let open = |url: String, timeout: Duration| {
        let git = |url: String| {
            let bounds = Bounds { timeout, ..Bounds::default() };
            let git = Git::open_with(GitConfig::new(url, folder.path().join("git")), bounds);
            OneSource::from(git.unwrap())
        };
        let ours = ("ours".to_owned(), git(ours.path().display().to_string()));
        Several::new(vec![ours, ("guests".to_owned(), git(url))], folder.path().join("kept")).unwrap()
    };
    let first = open(guests.path().display().to_string(), soon).snapshot().await.unwrap();
    assert_eq!(paths(&first), ["guests/b.yaml", "ours/a.yaml"]);

    // From here on one of them takes connections and says nothing, for longer than anything here may take.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet.git", silent.local_addr().unwrap());
    let mut source = open(url.clone(), soon * 100);
    source.nudge().nudge();
    assert_eq!(within(soon, "the other is heard", source.changed()).await, News::Documents);
    let kept = within(soon, "what was kept stands in", source.snapshot()).await.unwrap();
    assert_eq!((paths(&kept), &kept.revision), (paths(&first), &first.revision));
    for (file, name) in [("c.yaml", "press-02"), ("d.yaml", "press-03")] {
        ours.commit(name, &[(file, &device(name))]);
        assert_eq!(within(soon, "a commit", source.changed()).await, News::Documents);
        let snapshot = within(soon, "its documents", source.snapshot()).await.unwrap();
        let found = paths(&snapshot);
        assert!(
            found.contains(&"guests/b.yaml") && found.contains(&format!("ours/{file}").as_str()),
            "{found:?}"
        );
    }
    // Who asks out of turn, as `hem apply` does, gets the newest of the others, and waits for the silent one no second time.
    ours.commit("out of turn", &[("e.yaml", &device("press-04"))]);
    let newest = within(soon, "the newest", source.snapshot()).await.unwrap();
    assert_eq!(paths(&newest).len(), 5, "{:?}", paths(&newest));
    for _ in 0..10 {
        let again = within(soon / 4, "the same", source.snapshot()).await.unwrap();
        assert_eq!(again.revision, newest.revision);
    }

    // When its time is up it is trouble, and nothing else changes.
    let mut source = AnySource::from(open(url, Duration::from_secs(2)));
    source.nudge().nudge();
    let told = async {
        loop {
            source.changed().await;
            let snapshot = source.snapshot().await.unwrap();
            assert_eq!(snapshot.revision, newest.revision);
            let trouble = source.trouble();
            if !trouble.is_empty() {
                return (trouble, snapshot.notes);
            }
        }
    };
    let (trouble, notes) = within(soon, "the trouble", told).await;
    let of: Vec<_> = trouble.iter().map(|one| (one.source.as_str(), one.reason)).collect();
    assert_eq!(of, [("guests", Reason::Unreachable)]);
    assert!(notes.iter().any(|note| note.rule == "source-unreachable"), "{notes:?}");
}

#[tokio::test]
async fn a_source_of_which_nothing_is_known_is_waited_for() {
    let world = World::new();
    world.write("ours/a.yaml", &device("press-01"));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet.git", silent.local_addr().unwrap());
    let bounds = Bounds { timeout: Duration::from_secs(7), ..Bounds::default() };
    let guests = Git::open_with(GitConfig::new(url, world.folder.path().join("git")), bounds).unwrap();
    let ours = Directory::open(world.folder.path().join("ours")).unwrap();
    let sources = vec![("ours".to_owned(), ours.into()), ("guests".to_owned(), guests.into())];
    let mut source = Several::new(sources, world.folder.path().join("kept")).unwrap();
    source.nudge().nudge();
    let news = within(Duration::from_secs(30), "an end of the wait", source.changed()).await;
    assert_eq!(news, News::Documents);
    let snapshot = source.snapshot().await.unwrap();
    // It was asked and did not answer: that is known now, and the others go on.
    let unreachable = |note: &&hemline_sources::Note| note.rule == "source-unreachable";
    let note = snapshot.notes.iter().find(unreachable).expect("it was waited for");
    assert!(note.message.contains("guests") && note.message.contains("nothing of it is used"), "{note:?}");
    assert_eq!(paths(&snapshot), ["ours/a.yaml"]);
}

/// What a forge was told: the first letter of the commit that it is about, and the state.
fn told(server: &Server, commits: &[(&str, &str)]) -> Vec<String> {
    let word = |asked: super::forge::Asked| {
        let (name, _) = commits.iter().find(|(_, commit)| asked.line.ends_with(commit)).unwrap();
        format!("{name} {}", asked.body["state"].as_str().unwrap())
    };
    server.asked().into_iter().map(word).collect()
}

#[tokio::test]
async fn a_bad_commit_of_one_repository_is_not_the_fault_of_the_others() {
    if !git_is_here() {
        return;
    }
    let (ours, guests) = (Repository::new(), Repository::new());
    let a = ours.commit("ours", &[("a.yaml", &device("press-01"))]);
    let g1 = guests.commit("good", &[("b.yaml", &device("guest-01"))]);
    let servers = [(); 2].map(|()| Server::start(vec![(201, json!({ "id": 1 })); 20]));
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let part = |name: &str, repository: &Repository, server: &Server| {
            let forge = ForgeConfig { statuses: token("x"), ..config(ForgeKind::GitHub, server) };
            let mirrors = folder.path().join("git");
            let config = GitConfig {
                forge: Some(forge),
                ..GitConfig::new(repository.path().display().to_string(), mirrors)
            };
            (name.to_owned(), OneSource::from(Git::open(config).unwrap()))
        };
        let parts = vec![part("ours", &ours, &servers[0]), part("guests", &guests, &servers[1])];
        AnySource::from(Several::new(parts, folder.path().join("kept")).unwrap())
    };
    let tell = async |source: &mut AnySource, snapshot: &Snapshot, phase: Phase, heard: [usize; 2]| {
        let revision = snapshot.revision.clone();
        source.tell(&[Outcome { revision, phase, line: String::new(), details: String::new() }]);
        let all = async {
            while [0, 1].map(|index: usize| servers[index].asked().len()) != heard {
                drop(tokio::time::timeout(Duration::from_millis(20), source.changed()).await);
            }
        };
        within(Duration::from_secs(20), "the forges", all).await;
    };
    let mut source = open();
    let first = source.snapshot().await.unwrap();
    tell(&mut source, &first, Phase::Healthy, [1, 1]).await;

    let g2 = guests.commit("bad", &[("b.yaml", &device("guest-02"))]);
    let bad = source.snapshot().await.unwrap();
    tell(&mut source, &bad, Phase::Rolling { done: 0, all: 2 }, [1, 2]).await;
    tell(&mut source, &bad, Phase::Halted, [1, 3]).await;
    // After a restart, too.
    drop(source);
    let mut source = open();
    let bad = source.snapshot().await.unwrap();
    tell(&mut source, &bad, Phase::Reverted, [1, 4]).await;

    // Both change, nothing of it was healthy: it is about both. What is told late is of what was read then.
    let b = ours.commit("ours too", &[("a.yaml", &device("press-02"))]);
    let both = source.snapshot().await.unwrap();
    let g3 = guests.commit("mended", &[("b.yaml", &device("guest-03"))]);
    let mended = source.snapshot().await.unwrap();
    tell(&mut source, &both, Phase::Degraded, [2, 5]).await;
    tell(&mut source, &mended, Phase::Healthy, [3, 6]).await;
    let commits = [("a", a.as_str()), ("b", &b), ("g1", &g1), ("g2", &g2), ("g3", &g3)];
    assert_eq!(told(&servers[0], &commits), ["a success", "b failure", "b success"]);
    let of_guests = told(&servers[1], &commits);
    assert_eq!(
        of_guests,
        ["g1 success", "g2 pending", "g2 failure", "g2 failure", "g2 failure", "g3 success"]
    );
}

//! The status branch at real remotes: layout, quiet, races, deletion, rewriting, generations.

use hemline_testkit::git_is_here;
use std::{fs, path::Path, time::Duration};

use hemline_sources::{Git, GitConfig, News, Reason, Source as _, StatusBranch, StatusFile};
use hemline_testkit::within;

use super::{
    repository::Repository,
    server::{Like, Server, hosted},
};

const SOON: Duration = Duration::from_secs(30);
const BRANCH: &str = "hemline/status";

fn file(path: &str, text: &str) -> StatusFile {
    StatusFile { path: path.into(), text: text.into() }
}

/// Lets the source work until a file of a branch says something.
pub(crate) async fn until_written(
    repository: &Repository,
    source: &mut Git,
    branch: &str,
    path: &str,
    text: &str,
) {
    within(SOON, "the status", async {
        while repository.show(branch, path).as_deref() != Some(text) {
            // Its own looks wake it; nothing else moves here.
            drop(tokio::time::timeout(Duration::from_millis(20), source.changed()).await);
        }
    })
    .await;
}

fn branch() -> StatusBranch {
    StatusBranch { every: Duration::from_millis(10), writer: "one".into(), ..StatusBranch::new(BRANCH) }
}

fn open(url: String, mirrors: &Path, status: StatusBranch) -> Git {
    let config = GitConfig { reference: "main".into(), status: Some(status), ..GitConfig::new(url, mirrors) };
    Git::open(config).unwrap()
}

fn writable(path: &Path) -> Server {
    Server::start(path, &Like { writable: true, ..Like::default() })
}

#[tokio::test]
async fn the_branch_says_what_is_and_is_quiet_when_nothing_changes() {
    if !git_is_here() {
        return;
    }
    let (_root, hosted, path) = hosted();
    let server = writable(&path);
    let local = Repository::new();
    let filed = Repository::new();
    for (repository, url) in
        [(&hosted, server.url()), (&local, local.path().display().to_string()), (&filed, filed.url())]
    {
        let head = repository.commit("first", &[("a.yaml", "1")]);
        let mirrors = tempfile::tempdir().unwrap();
        let mut source = open(url, mirrors.path(), branch());
        assert!(source.takes_status());
        source.snapshot().await.unwrap();
        let mut files = vec![
            file("README.md", "# one of two\n"),
            file("devices/press-01.yaml", "a: 1\n"),
            file("devices/press-02.yaml", "a: 1\n"),
            file("state.json", "{}\n"),
        ];
        source.write_status(&files).await.unwrap();
        until_written(repository, &mut source, BRANCH, "README.md", "# one of two").await;

        let listed = repository.git(&["ls-tree", "-r", "--name-only", BRANCH]);
        let listed: Vec<_> = listed.lines().collect();
        assert_eq!(listed.len(), 4, "{listed:?}");
        assert!(listed.iter().any(|path| path.len() == 24 && path.ends_with("/press-01.yaml")), "{listed:?}");
        let message = repository.git(&["log", "-1", "--format=%B", BRANCH]);
        assert_eq!(message, "one of two [skip ci]\n\nHemline-Status: 1\nHemline-Writer: one");
        assert_eq!(repository.git(&["rev-list", "--count", BRANCH]), "1", "an orphan");
        assert_eq!(repository.git(&["rev-parse", "main"]), head, "documents stay as they are");
        assert!(repository.git(&["status", "--porcelain"]).is_empty());

        // One device changes: one file differs. Then nothing changes: nothing happens.
        files[0].text = "# two of two\n".into();
        files[2].text = "a: 2\n".into();
        source.write_status(&files).await.unwrap();
        until_written(repository, &mut source, BRANCH, "README.md", "# two of two").await;
        let changed = repository.git(&["diff", "--name-only", &format!("{BRANCH}~1"), BRANCH]);
        assert_eq!(changed.lines().count(), 2, "{changed}");
        let before = repository.git(&["rev-parse", BRANCH]);
        source.write_status(&files).await.unwrap();
        source.nudge().nudge();
        within(SOON, "the nudge", source.changed()).await;
        files[0].text = "# three\n".into();
        source.write_status(&files).await.unwrap();
        until_written(repository, &mut source, BRANCH, "README.md", "# three").await;
        assert_eq!(repository.git(&["rev-parse", &format!("{BRANCH}~1")]), before, "nothing came between");
        // The source reads its own branch only: no loop.
        assert_eq!(source.snapshot().await.unwrap().revision.as_str(), head);
    }
}

#[tokio::test]
async fn a_branch_that_somebody_deleted_or_rewrote_comes_back() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = writable(&path);
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = open(server.url(), mirrors.path(), branch());
    for (round, (harm, times)) in
        [("nothing", 0), ("deleted", 1), ("deleted", 2), ("rewritten", 1)].into_iter().enumerate()
    {
        match harm {
            "deleted" => drop(repository.git(&["branch", "-D", BRANCH])),
            "rewritten" => drop(repository.git(&["branch", "--force", BRANCH, "main"])),
            _ => {}
        }
        let text = format!("# {round} {harm}");
        source.write_status(&[file("README.md", &format!("{text}\n"))]).await.unwrap();
        until_written(&repository, &mut source, BRANCH, "README.md", &text).await;
        let count = repository.git(&["rev-list", "--count", BRANCH]);
        assert_eq!(count, "1", "round {round}: an orphan again");
        // The branch has it a moment before the source knows.
        source.settle().await;
        let told: Vec<_> = source.trouble().iter().map(|one| (one.reason, one.message.clone())).collect();
        match (times, told.as_slice()) {
            (0, []) => {}
            (_, [(Reason::StatusRewritten, message)]) => {
                assert!(message.starts_with(&format!("somebody {harm}")) || harm == "rewritten", "{message}");
                assert!(message.contains("somebody rewrote") || harm == "deleted", "{message}");
                assert_eq!(message.contains(&format!("{times} times")), times > 1, "{message}");
            }
            _ => panic!("round {round}: {told:?}"),
        }
    }
    // What somebody put there is not lost.
    let kept = repository.git(&["rev-parse", &format!("{BRANCH}.previous")]);
    assert_eq!(kept, repository.git(&["rev-parse", "main"]));

    // A branch of somebody else is not touched by a controller that never wrote there.
    repository.git(&["branch", "theirs", "main"]);
    let theirs = repository.git(&["rev-parse", "theirs"]);
    for name in ["theirs", "main"] {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut stranger =
            open(server.url(), elsewhere.path(), StatusBranch { name: name.into(), ..branch() });
        stranger.write_status(&[file("README.md", "mine\n")]).await.unwrap();
        drop(tokio::time::timeout(Duration::from_secs(2), stranger.changed()).await);
        assert_eq!(repository.git(&["rev-parse", name]), theirs, "{name}");
    }
}

#[tokio::test]
async fn two_writers_race_and_no_commit_is_lost() {
    const ROUNDS: usize = 6;
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = writable(&path);
    let mut writers = Vec::new();
    for name in ["one", "two"] {
        let url = server.url();
        writers.push(tokio::spawn(async move {
            let mirrors = tempfile::tempdir().unwrap();
            let status = StatusBranch {
                every: Duration::from_millis(1),
                writer: name.into(),
                ..StatusBranch::new(BRANCH)
            };
            let mut source = open(url, mirrors.path(), status);
            for round in 0..ROUNDS {
                source.write_status(&[file("README.md", &format!("# {name} {round}\n"))]).await.unwrap();
                source.settle().await;
                let troubles = source.trouble();
                let shared = troubles.iter().all(|one| one.reason == Reason::StatusRewritten);
                assert!(shared, "{name} in round {round}: {troubles:?}");
            }
        }));
    }
    for writer in writers {
        within(Duration::from_secs(120), "a writer", writer).await.unwrap();
    }
    // One line of history, with every commit of both in it.
    let subjects = repository.git(&["log", "--format=%s", "--first-parent", BRANCH]);
    let mut subjects: Vec<_> = subjects.lines().map(str::to_owned).collect();
    subjects.sort();
    let mut expected: Vec<_> =
        (0..ROUNDS).flat_map(|n| ["one", "two"].map(|name| format!("{name} {n} [skip ci]"))).collect();
    expected.sort();
    assert_eq!(subjects, expected);
}

/// Folders below this one in which a file of this name stands.
fn folders_with(name: &str, below: &Path) -> Vec<std::path::PathBuf> {
    let inside = fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders: Vec<_> = inside.filter(|path| path.is_dir()).collect();
    let own = below.join(name).is_file().then(|| below.to_path_buf());
    own.into_iter().chain(folders.iter().flat_map(|folder| folders_with(name, folder))).collect()
}

#[tokio::test]
async fn many_objects_are_packed_and_nothing_is_fetched_for_it() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = writable(&path);
    let [mirrors, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // As many files as leave more loose objects than one folder keeps.
    let files = |first: &str| -> Vec<StatusFile> {
        let rest = (1..7_000).map(|n| file(&format!("devices/d{n}.yaml"), &format!("a: {n}\n")));
        [file("devices/d0.yaml", first), file("README.md", &format!("# {first}\n"))]
            .into_iter()
            .chain(rest)
            .collect()
    };
    let write = async |source: &mut Git, first: &str| {
        source.write_status(&files(first)).await.unwrap();
        source.settle().await;
        source.trouble()
    };
    let mut source = open(server.url(), mirrors.path(), branch());
    for first in ["one", "two", "three"] {
        assert_eq!(write(&mut source, first).await, []);
    }
    let [folder] = folders_with("hemline-packed", mirrors.path()).try_into().unwrap();
    let loose = fs::read_dir(folder.join("objects/17")).map_or(0, Iterator::count);
    assert!(loose < 3, "{loose} loose objects");
    assert_eq!(repository.git(&["rev-list", "--count", BRANCH]), "3");
    // Another writer brings a file back that is not here any more, and which a fetch does not send: the remote believes that who
    // knows the commits knows their files.
    let mut other = open(server.url(), elsewhere.path(), StatusBranch { writer: "other".into(), ..branch() });
    assert_eq!(write(&mut other, "one").await, []);
    for first in ["four", "one"] {
        let attempts = async {
            // That somebody else writes there too stays told for a while.
            while write(&mut source, first).await.iter().any(|one| one.reason != Reason::StatusRewritten) {}
        };
        within(Duration::from_secs(60), "a write", attempts).await;
    }
    assert_eq!(repository.git(&["rev-list", "--count", BRANCH]), "6");
    assert_eq!(repository.git(&["log", "-1", "--format=%s", BRANCH]), "one [skip ci]");
    repository.git(&["fsck", "--connectivity-only", BRANCH]);
}

#[tokio::test]
async fn a_kill_between_a_push_and_its_note_is_nobody_else() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    repository.commit("first", &[("a.yaml", "1")]);
    let server = writable(&path);
    let mirrors = tempfile::tempdir().unwrap();
    let write = async |text: &str| {
        let mut source = open(server.url(), mirrors.path(), branch());
        source.write_status(&[file("README.md", text)]).await.unwrap();
        source.settle().await;
        source.trouble().iter().map(|trouble| trouble.reason.word()).collect::<Vec<_>>()
    };
    for text in ["one\n", "two\n"] {
        assert_eq!(write(text).await, <[&str; 0]>::default());
    }
    let notes: Vec<_> = fs::read_dir(mirrors.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [note] =
        notes.iter().filter(|path| path.extension().is_some_and(|e| e == "written")).collect::<Vec<_>>()[..]
    else {
        panic!("{notes:?}");
    };
    let [new, old] = ["", "~1"].map(|place| repository.git(&["rev-parse", &format!("{BRANCH}{place}")]));
    fs::write(note, format!("{old}\n{new}\n")).unwrap();
    assert_eq!(write("three\n").await, <[&str; 0]>::default());
    // It was not being pushed: somebody else did it.
    fs::write(note, format!("{old}\n-\n")).unwrap();
    assert_eq!(write("four\n").await, ["status-rewritten"]);
}

#[tokio::test]
async fn generations_end_and_only_the_last_two_are_in_reach() {
    if !git_is_here() {
        return;
    }
    let (_root, hosted, path) = hosted();
    let server = writable(&path);
    let local = Repository::new();
    for (repository, url) in [(&hosted, server.url()), (&local, local.path().display().to_string())] {
        repository.commit("first", &[("a.yaml", "1")]);
        let mirrors = tempfile::tempdir().unwrap();
        let mut source = open(url, mirrors.path(), StatusBranch { commits_at_most: 3, ..branch() });
        for round in 0..8 {
            source.write_status(&[file("README.md", &format!("# {round}\n"))]).await.unwrap();
            source.settle().await;
        }
        let counted = |branch: &str| repository.git(&["rev-list", "--count", branch]);
        assert_eq!((counted(BRANCH), counted(&format!("{BRANCH}.previous"))), ("2".into(), "3".into()));
        assert_eq!(repository.show(BRANCH, "README.md").as_deref(), Some("# 7"));
        assert_eq!(repository.show(&format!("{BRANCH}.previous"), "README.md").as_deref(), Some("# 5"));
    }
}

#[tokio::test]
async fn a_remote_that_takes_no_pushes_costs_nothing_but_the_status() {
    if !git_is_here() {
        return;
    }
    let (_root, repository, path) = hosted();
    let head = repository.commit("first", &[("a.yaml", "1")]);
    let server = Server::start(&path, &Like::default());
    let mirrors = tempfile::tempdir().unwrap();
    let mut source = open(server.url(), mirrors.path(), branch());
    source.write_status(&[file("README.md", "x\n")]).await.unwrap();
    // Whoever waits for the source hears of it.
    within(SOON, "the refusal", async { while source.changed().await != News::Trouble {} }).await;
    assert!(
        matches!(source.trouble().as_slice(), [why] if why.message.contains("403")),
        "{:?}",
        source.trouble()
    );
    assert_eq!(source.snapshot().await.unwrap().revision.as_str(), head);
    assert_eq!(repository.show(BRANCH, "README.md"), None);
    // A restart over the same folder, now with a remote that takes them.
    drop(source);
    drop(server);
    let server = writable(&path);
    let mut source = open(server.url(), mirrors.path(), branch());
    source.write_status(&[file("README.md", "y\n")]).await.unwrap();
    until_written(&repository, &mut source, BRANCH, "README.md", "y").await;
    assert!(source.trouble().is_empty());
    assert!(fs::read_dir(mirrors.path()).unwrap().count() > 0);
}

//! Trouble is told when it comes and when it goes, not with the next pass: here the next pass is an hour away, and nothing that the
//! hub could say moves.

use std::{fs, time::Duration};

use hemline_reconcile::PassReport;
use hemline_sources::{AnySource, Bounds, Directory, Git, GitConfig, OneSource, Several, StatusBranch};
use hemline_testkit::{git, git_is_here};
use serde_json::{Value, json};

use super::world::World;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn reasons(report: &PassReport) -> Vec<&'static str> {
    report.trouble.iter().map(|trouble| trouble.reason).collect()
}

#[tokio::test]
async fn a_status_branch_that_cannot_be_written_is_told_at_once() {
    if !git_is_here() {
        return;
    }
    let mut world = World::new();
    let repository = world.folder.path().to_path_buf();
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&repository, &["commit", "--quiet", "--allow-empty", "-m", "nothing yet"]);
    // A branch in the place of the folder that the status branch would stand in.
    git(&repository, &["branch", "hemline"]);
    let mirrors = tempfile::tempdir().unwrap();
    let status = StatusBranch { every: Duration::from_millis(10), ..StatusBranch::new("hemline/status") };
    let config = GitConfig {
        status: Some(status),
        ..GitConfig::new(repository.display().to_string(), mirrors.path())
    };
    world.start_on(Git::open(config).unwrap().into(), HOUR).await;
    let report = world.report("the trouble", |report| reasons(report) == ["status"]).await;
    let [trouble] = report.trouble.as_slice() else { panic!("{:?}", report.trouble) };
    assert!(trouble.message.starts_with("status is not written: "), "{}", trouble.message);

    git(&repository, &["branch", "--delete", "--force", "hemline"]);
    world.report("it is over", |report| report.trouble.is_empty()).await;
    world.stop().await;
}

#[tokio::test]
async fn a_status_folder_that_cannot_be_written_is_told_at_once() {
    let mut world = World::new();
    // A file in the place of the folder; root may write anywhere else.
    world.put("status", "in the way");
    let source = Directory::open(world.folder.path()).unwrap();
    world.start_on(source.into(), HOUR).await;
    world.report("the trouble", |report| reasons(report) == ["status"]).await;
    fs::remove_file(world.folder.path().join("status")).unwrap();
    world.report("it is over", |report| report.trouble.is_empty()).await;
    world.stop().await;
}

#[tokio::test]
async fn a_silent_remote_holds_nothing_up() {
    let mut world = World::new();
    world.put(
        "meter.yaml",
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: meter}\nspec: {desired: {every: 1}}\n",
    );
    let as_documented = |twin: &Value| twin["properties"]["desired"]["every"] == 1;
    world.start().await;
    world.twin("meter", "the documents", as_documented).await;
    world.stop().await;
    // It takes connections and never says a word; a look at it fails after a minute at the earliest.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mirrors = tempfile::tempdir().unwrap();
    let url = format!("http://{}/fleet.git", silent.local_addr().unwrap());
    world.start_on(Git::open(GitConfig::new(url, mirrors.path())).unwrap().into(), HOUR).await;
    for every in [7, 8] {
        world.patch("meter", json!({ "every": every })).await;
        world.twin("meter", "what was changed by hand is put right", as_documented).await;
    }
    world.stop().await;
}

fn device(name: &str, every: u32) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{desired: {{every: {every}}}}}\n"
    )
}

#[tokio::test]
async fn a_silent_remote_among_several_holds_up_no_commit_to_another() {
    let mut world = World::new();
    let (theirs, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ours = world.folder.path().to_path_buf();
    let with = |guests: OneSource| {
        let ours = Directory::open(&ours).unwrap();
        let sources = vec![("ours".to_owned(), ours.into()), ("guests".to_owned(), guests)];
        AnySource::from(Several::new(sources, kept.path().join("sources")).unwrap())
    };
    let every = |wanted: u32| move |twin: &Value| twin["properties"]["desired"]["every"] == wanted;
    world.put("meter.yaml", &device("meter", 1));
    fs::write(theirs.path().join("guest.yaml"), device("guest", 1)).unwrap();
    world.start_on(with(Directory::open(theirs.path()).unwrap().into()), HOUR).await;
    world.twin("meter", "the first source", every(1)).await;
    world.twin("guest", "the second source", every(1)).await;
    world.stop().await;

    // The second is somewhere else now, where nobody says a word: longer than a test waits for anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet.git", silent.local_addr().unwrap());
    let remote = |timeout: Duration| {
        let bounds = Bounds { timeout, ..Bounds::default() };
        Git::open_with(GitConfig::new(url.clone(), kept.path().join("git")), bounds).unwrap()
    };
    world.start_on(with(remote(HOUR).into()), HOUR).await;
    for number in [2, 3] {
        world.put("meter.yaml", &device("meter", number));
        world.twin("meter", "a commit to the first", every(number)).await;
    }
    assert_eq!(world.devices().await, ["guest", "meter"], "nothing of the silent one is taken away");
    assert_eq!(world.view().latest().unwrap().trouble, []);
    world.stop().await;

    // When a look at it has failed that is told, of the one that it is about, and commits still come.
    world.start_on(with(remote(Duration::from_secs(2)).into()), HOUR).await;
    let report = world.report("the trouble", |report| reasons(report) == ["unreachable"]).await;
    assert_eq!(report.trouble[0].source, "guests");
    world.put("meter.yaml", &device("meter", 4));
    world.twin("meter", "one more commit", every(4)).await;
    assert_eq!(world.devices().await, ["guest", "meter"]);
    world.stop().await;
}

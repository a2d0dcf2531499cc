//! Trouble is told when it comes and when it goes, not with the next pass: here the next pass is an hour away, and nothing that the
//! hub could say moves.

use std::{fs, path::Path, process::Command, time::Duration};

use hemline_reconcile::PassReport;
use hemline_sources::{Git, GitConfig, StatusBranch};

use super::world::World;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn reasons(report: &PassReport) -> Vec<&'static str> {
    report.trouble.iter().map(|trouble| trouble.reason).collect()
}

#[tokio::test]
async fn a_status_branch_that_cannot_be_written_is_told_at_once() {
    let available = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
    if !hemline_testkit::require("git", available, "apt-get install git") {
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
    let source = hemline_sources::Directory::open(world.folder.path()).unwrap();
    world.start_on(source.into(), HOUR).await;
    world.report("the trouble", |report| reasons(report) == ["status"]).await;
    fs::remove_file(world.folder.path().join("status")).unwrap();
    world.report("it is over", |report| report.trouble.is_empty()).await;
    world.stop().await;
}

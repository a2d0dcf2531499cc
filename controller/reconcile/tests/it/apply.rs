//! `hem apply` beside commits that come by themselves.

use std::time::Duration;

use hemline_reconcile::{ApplyError, ApplyRequest};
use hemline_sources::{Git, GitConfig};
use hemline_testkit::{git, git_is_here};

use super::world::World;

/// Commits a device that is to know this number.
fn commit(world: &World, every: u32) {
    let device = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: meter}\n";
    world.put("meter.yaml", &format!("{device}spec: {{desired: {{every: {every}}}}}\n"));
    git(world.folder.path(), &["add", "meter.yaml"]);
    git(world.folder.path(), &["commit", "--quiet", "-m", "change"]);
}

#[tokio::test]
async fn a_commit_beside_a_refused_apply_is_not_forgotten() {
    if !git_is_here() {
        return;
    }
    let mut world = World::new();
    git(world.folder.path(), &["init", "--quiet", "--initial-branch=main"]);
    commit(&world, 1);
    let mirrors = tempfile::tempdir().unwrap();
    let config = GitConfig::new(world.folder.path().display().to_string(), mirrors.path());
    // Only the source can bring a pass about.
    world.start_on(Git::open(config).unwrap().into(), Duration::from_secs(3600)).await;
    let is = |every: u32| move |twin: &serde_json::Value| twin["properties"]["desired"]["every"] == every;
    world.twin("meter", "the first commit", is(1)).await;

    // Somebody asks for something else at the moment when a commit is there that nobody has looked at.
    commit(&world, 2);
    let request = ApplyRequest { documents: "another".to_owned(), work: "another".to_owned() };
    let refused = world.view().apply(request).await.unwrap_err();
    assert!(matches!(&refused, ApplyError::Moved(_)), "{refused}");
    // The look of the refused request has fetched the commit, so the source has no more news of it.
    world.twin("meter", "the second commit", is(2)).await;
    world.stop().await;
}

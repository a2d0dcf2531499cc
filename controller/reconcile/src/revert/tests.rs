//! A way back is proposed once, against real repositories.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use hemline_model::id::DocumentName;
use hemline_sources::{Git, GitConfig};
use hemline_testkit::{git, git_is_here, within};

use super::*;

const SOON: Duration = Duration::from_secs(60);

struct World {
    folder: tempfile::TempDir,
    good: Revision,
    bad: Revision,
}

impl World {
    /// A bare repository with a good commit and a bad one on top.
    fn new() -> Option<Self> {
        if !git_is_here() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        git(at, &["init", "--quiet", "--initial-branch=main", "work"]);
        let work = at.join("work");
        let commit = |text: &str| {
            std::fs::write(work.join("fleet.yaml"), text).unwrap();
            git(&work, &["add", "."]);
            git(&work, &["commit", "--quiet", "-m", text]);
            Revision::new(git(&work, &["rev-parse", "HEAD"])).unwrap()
        };
        let (good, bad) = (commit("good"), commit("bad"));
        git(at, &["clone", "--quiet", "--bare", "work", "fleet.git"]);
        Some(Self { folder, good, bad })
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("fleet.git")
    }

    fn source(&self) -> AnySource {
        let url = format!("file://{}", self.bare().display());
        Git::open(GitConfig::new(url, self.folder.path().join("mirrors"))).unwrap().into()
    }

    fn reverts(&self) -> Reverts {
        Reverts::restore(LastGood::new(self.folder.path().join("kept")))
    }

    fn proposal(&self) -> RevertProposal {
        RevertProposal {
            quarantined: self.bad.clone(),
            last_good: Some(self.good.clone()),
            deployment: DocumentName::new("vision").unwrap(),
            wave: "canary".to_owned(),
            started: "2026-11-21T12:00:00Z".parse().unwrap(),
            reason: "camera on press-01 exits 1".to_owned(),
            took: 1,
            devices: 12,
            failed: 1,
            evidence: BTreeMap::new(),
        }
    }

    fn branch(&self) -> String {
        format!("hemline/revert-{}", self.bad.short())
    }

    /// The commit that the branch is at; `None` when it is not there.
    fn tip(&self) -> Option<String> {
        let branch = format!("refs/heads/{}", self.branch());
        let output = Command::new("git")
            .args(["rev-parse", "--verify", "--quiet", &branch])
            .current_dir(self.bare())
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

#[tokio::test]
async fn it_is_proposed_once_whatever_happens_in_between() {
    let Some(world) = World::new() else { return };
    let (source, wanted) = (world.source(), world.proposal());

    // Nobody wants anything: nothing happens.
    let mut reverts = world.reverts();
    reverts.want(&source, None);
    assert!(tokio::time::timeout(Duration::from_millis(20), reverts.step()).await.is_err());
    assert_eq!(world.tip(), None);

    // It is pushed, and the program is killed before that is kept.
    reverts.want(&source, Some(&wanted));
    let pushed = within(SOON, "the push", &mut reverts.under_way.as_mut().unwrap().task).await;
    assert_eq!(pushed.unwrap().unwrap().len(), 1);
    drop(reverts);
    let tip = world.tip().unwrap();

    // The next start finds it there.
    let mut reverts = world.reverts();
    assert_eq!(reverts.ways(&world.bad), []);
    reverts.want(&source, Some(&wanted));
    reverts.want(&source, Some(&wanted));
    within(SOON, "the second push", reverts.step()).await;
    assert_eq!(world.tip().as_ref(), Some(&tip), "the same commit");
    let [way] = reverts.ways(&world.bad) else { panic!("{:?}", reverts.made) };
    assert_eq!((&way.branch, way.commit.as_str(), &way.pull_request), (&world.branch(), tip.as_str(), &None));
    let message = git(&world.bare(), &["log", "-1", "--format=%B", &tip]);
    assert!(
        message.contains("camera on press-01 exits 1") && message.contains("1 of 12 devices"),
        "{message}"
    );

    // Somebody deletes the branch: they have seen it. It is not made again, also not after a restart.
    git(&world.bare(), &["branch", "-D", &world.branch()]);
    for mut reverts in [reverts, world.reverts()] {
        reverts.want(&source, Some(&wanted));
        assert!(reverts.under_way.is_none() && reverts.trouble().is_none());
        assert_eq!(reverts.ways(&world.bad).len(), 1);
    }
    assert_eq!(world.tip(), None);
}

#[tokio::test]
async fn what_fails_is_trouble_and_is_tried_again_later_each_time() {
    let Some(world) = World::new() else { return };
    let (source, wanted) = (world.source(), world.proposal());
    let away = world.folder.path().join("away");
    std::fs::rename(world.bare(), &away).unwrap();
    let mut reverts = world.reverts();
    let mut waits = Vec::new();
    for _ in 0..3 {
        reverts.want(&source, Some(&wanted));
        within(SOON, "the failure", reverts.step()).await;
        let failed = reverts.failed.as_mut().unwrap();
        assert_eq!(failed.trouble.reason, Reason::Revert);
        waits.push(failed.again.duration_since(Instant::now()).as_secs());
        // It is not tried before its time.
        let mut asked = reverts;
        asked.want(&source, Some(&wanted));
        assert!(asked.under_way.is_none());
        reverts = asked;
        reverts.failed.as_mut().unwrap().again = Instant::now();
        within(SOON, "its time", reverts.step()).await;
    }
    assert_eq!(waits, [4, 9, 19]);
    std::fs::rename(&away, world.bare()).unwrap();
    reverts.want(&source, Some(&wanted));
    within(SOON, "the push", reverts.step()).await;
    assert!(reverts.trouble().is_none() && world.tip().is_some());

    // Somebody went back by hand before us: there is nothing to propose, and that is remembered.
    let other =
        RevertProposal { quarantined: world.good.clone(), last_good: Some(world.bad.clone()), ..wanted };
    reverts.want(&source, Some(&other));
    within(SOON, "the look", reverts.step()).await;
    assert!(reverts.made(&world.good).is_some_and(|made| made.complete && made.ways.is_empty()));
}

//! `kill -9` of `hem up` in the middle of a rollout, twice: it goes on where it was, nothing is started a second time, and the
//! status branch has one story.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    hem::{Hem, eventually, running},
    repository::{git, git_is_here, origin_and_clone, push},
    rollout::rollout,
};

/// A slow machine rolls through three waves, with two restarts, in this time.
const LONG: Duration = Duration::from_secs(150);
const DEVICES: usize = 6;

/// The fleet of a version; each start of the module leaves a line in a file of the version.
struct Fleet<'a> {
    folder: &'a Path,
}

impl Fleet<'_> {
    fn text(&self, version: u32, rollout: &str) -> String {
        let device = |n: usize| {
            format!(
                "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-{n}}}\nspec: {{edge: true}}\n---\n"
            )
        };
        let starts = self.folder.join(format!("starts-{version}"));
        let script = format!(
            "echo $IOTEDGE_DEVICEID >> {}; exec /bin/sleep {}",
            starts.display(),
            Self::seconds(version)
        );
        let command = json!(["/bin/sh", "-c", script]);
        (1..=DEVICES).map(device).collect::<String>()
            + &format!(
                "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  \
                   targetCondition: '*'\n  modules:\n    camera: {{type: process, command: {command}}}\n  rollout: {rollout}\n"
            )
    }

    /// What the module of a version sleeps: nobody else does.
    fn seconds(version: u32) -> String {
        format!("{version}00{:07}", std::process::id())
    }

    /// How often the module of a version was started, by device.
    fn starts(&self, version: u32) -> BTreeMap<String, usize> {
        let text = fs::read_to_string(self.folder.join(format!("starts-{version}"))).unwrap_or_default();
        text.lines().fold(BTreeMap::new(), |mut starts, device| {
            *starts.entry(device.to_owned()).or_default() += 1;
            starts
        })
    }

    fn once() -> BTreeMap<String, usize> {
        (1..=DEVICES).map(|n| (format!("press-{n}"), 1)).collect()
    }
}

fn complete(hem: &Hem, revision: &str) -> Value {
    eventually(LONG, "the rollout is complete", || {
        rollout(hem).filter(|rollout| rollout["revision"] == revision && rollout["phase"] == "complete")
    })
}

#[test]
fn a_rollout_goes_on_where_it_was() {
    if !git_is_here() {
        return;
    }
    let (folder, origin, clone) = origin_and_clone();
    let path = folder.path().to_path_buf();
    let fleet = Fleet { folder: &path };
    let first = push(&clone, &fleet.text(1, "{healthyFor: 1s}"), "first");
    let url = format!("file://{}", origin.display());
    let options = ["--branch", "main", "--interval", "1s", "--status-every", "1s"];
    let mut hem = Hem::up_from(folder, &url, &options);
    complete(&hem, &first);
    eventually(LONG, "every device runs the first version", || {
        let well = hem.command(&["status"]).output().expect("hem starts").status.success();
        (well && fleet.starts(1).len() == DEVICES).then_some(())
    });
    assert_eq!(fleet.starts(1), Fleet::once());

    let waves = "{waves: [{name: first, count: 1}, {name: half, percent: 50}, {name: rest, percent: 100}], \
                 maxUnavailable: 100%, healthyFor: 4s, deadline: 120s, onFailure: revert}";
    let second = push(&clone, &fleet.text(2, waves), "second");
    let before = eventually(LONG, "the first wave rolls", || {
        let rollout = rollout(&hem).filter(|rollout| rollout["revision"] == second.as_str())?;
        (!fleet.starts(2).is_empty()).then_some(rollout)
    });
    hem.kill();
    let (given, sleepers) = (fleet.starts(2), running(&["/bin/sleep", &Fleet::seconds(2)]));
    assert!(given.len() < DEVICES, "killed too late: {given:?}");
    hem.start_again();
    // The next wave has begun: once more.
    eventually(LONG, "the next wave rolls", || (fleet.starts(2).len() > given.len()).then_some(()));
    hem.kill();
    let given = fleet.starts(2);
    println!("killed with {} of {DEVICES} devices started", given.len());
    hem.start_again();
    let after = complete(&hem, &second);

    // It is the same rollout, and it lost and did nothing twice.
    assert_eq!((&after["started"], &after["took"]), (&before["started"], &json!(DEVICES)), "{after}");
    let done = |wave: &Value| wave["done"].as_u64().unwrap_or_default();
    let waves: Vec<u64> = after["waves"].as_array().expect("a list").iter().map(done).collect();
    assert_eq!(waves.iter().sum::<u64>(), DEVICES as u64, "{after}");
    assert_eq!((waves.len(), waves.first()), (3, Some(&1)), "{after}");
    assert_eq!((fleet.starts(1), fleet.starts(2)), (Fleet::once(), Fleet::once()), "{after}");
    let now = running(&["/bin/sleep", &Fleet::seconds(2)]);
    assert_eq!(now.len(), DEVICES, "{now:?}");
    assert!(sleepers.iter().all(|pid| now.contains(pid)), "{sleepers:?} {now:?}");
    assert_eq!(running(&["/bin/sleep", &Fleet::seconds(1)]), Vec::<u32>::new());

    status_branch_has_one_story(&hem, &origin, &clone, &second);
    assert_eq!(hem.interrupt().code(), Some(0));
}

fn status_branch_has_one_story(hem: &Hem, origin: &Path, clone: &Path, revision: &str) {
    let show = |path: &str| {
        let listed = git(origin, &["ls-tree", "-r", "--name-only", "hemline/status"]);
        let there = listed.lines().any(|line| line == path);
        there.then(|| git(origin, &["show", &format!("hemline/status:{path}")]))
    };
    eventually(LONG, "the status branch says so", || {
        let deployment = show("deployments/vision.yaml")?;
        (deployment.contains("phase: healthy") && deployment.contains(&revision[..7])).then_some(())
    });
    // Whole, in one line of commits, and true: a planner that reads it finds nothing to do.
    git(origin, &["fsck", "--strict", "--no-dangling"]);
    let parents = git(origin, &["log", "--format=%h %P", "hemline/status"]);
    let parents: Vec<usize> = parents.lines().map(|line| line.split_whitespace().skip(1).count()).collect();
    assert_eq!(parents.iter().filter(|count| **count != 1).count(), 1, "one beginning: {parents:?}");
    let clone = clone.display().to_string();
    eventually(LONG, "the state on the branch is that of the fleet", || {
        git(Path::new(&clone), &["fetch", "--quiet", "origin"]);
        let plan = hem.text(&["plan", &clone, "--state", "origin/hemline/status"]);
        plan.contains("No changes. 6 devices are as the documents say.").then_some(())
    });
}

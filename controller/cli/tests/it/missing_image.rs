//! A commit names an image that nobody has: it stops at the canary and goes back, the evidence names the image and what the engine
//! said, and the container that ran goes on running all the time, for nothing is stopped before everything is there.

use std::{fs, sync::PoisonError, time::Duration};

use serde_json::{Value, json};

use crate::{
    engines::{BRIDGES, Engine},
    hem::{Hem, eventually, running},
    repository::{git, git_is_here, origin_and_clone, push},
    rollout::rollout,
};

/// A slow machine is done in this time.
const LONG: Duration = Duration::from_secs(150);
/// Nobody listens there, so no network is needed to hear that there is no such image.
const NOWHERE: &str = "127.0.0.1:9/hemline/nobody-has-it:2";

/// What `meter` of a version sleeps: nobody else does.
fn seconds(version: u32) -> String {
    format!("{version}11{:07}", std::process::id())
}

/// A canary with an engine and two devices without; `meter` on all of them, and the camera on the canary.
fn fleet(engine: &Engine, version: u32, image: &str, policy: &str, deadline: &str) -> String {
    let device = |name: &str, ring: &str| {
        format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {name}}}\n\
             spec: {{edge: true, tags: {{ring: {ring}}}}}\n---\n"
        )
    };
    device("box-1", "canary")
        + &device("box-2", "rest")
        + &device("box-3", "rest")
        + &format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: line}}\nspec:\n  \
               targetCondition: '*'\n  priority: 1\n  modules:\n    \
                 meter: {{type: process, command: [/bin/sleep, '{}']}}\n  \
               rollout:\n    waves: [{{name: canary, selector: \"tags.ring = 'canary'\"}}, {{name: rest, percent: 100}}]\n    \
                 healthyFor: 1s\n    deadline: {deadline}\n    onFailure: revert\n---\n\
             apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  \
               targetCondition: tags.ring = 'canary'\n  layered: true\n  priority: 2\n  modules:\n    \
                 {}: {{image: '{image}', imagePullPolicy: {policy}}}\n",
            seconds(version),
            engine.module
        )
}

/// Everything is as it was before the bad commit, and was so all the time.
fn goes_back(engine: &Engine, policy: &str, image: &str, engine_says: &[&str]) {
    let (folder, origin, clone) = origin_and_clone();
    let good_image = engine.derive(policy, "trap exit TERM; while true; do sleep 1; done");
    let good = push(&clone, &fleet(engine, 1, &good_image, "never", "120s"), "Cameras 1");
    let url = format!("file://{}", origin.display());
    let socket = format!("unix://{}", engine.socket);
    let options = ["--branch", "main", "--interval", "1s", "--status-every", "1s", "--docker", &socket];
    let mut hem = Hem::up_from(folder, &url, &options);
    let until = |hem: &Hem, revision: &str, phase: &str| {
        eventually(LONG, &format!("the rollout is {phase}"), || {
            rollout(hem).filter(|rollout| rollout["revision"] == revision && rollout["phase"] == phase)
        })
    };
    until(&hem, &good, "complete");
    let (camera, meters) = eventually(LONG, "everything runs", || {
        let (camera, meters) = (engine.containers(&good_image), running(&["/bin/sleep", &seconds(1)]));
        let well = hem.command(&["status"]).output().expect("hem starts").status.success();
        (well && camera.len() == 1 && meters.len() == 3).then_some((camera, meters))
    });

    // Long enough for an engine to say no, short enough to be waited for.
    let bad = push(&clone, &fleet(engine, 2, image, policy, "15s"), "Cameras 2");
    let back = until(&hem, &bad, "reverted");
    let failed: Vec<&Value> =
        back["waves"].as_array().expect("a list").iter().map(|wave| &wave["failed"]).collect();
    assert_eq!(failed, [&json!(1), &json!(0)], "nobody else ever had it: {back}");
    let why = back["failed"][0].as_str().unwrap_or_default().to_owned();
    println!("{policy}: {why}");
    let branch = format!("hemline/revert-{}", &bad[..7]);
    let message = eventually(LONG, "the branch that goes back", || {
        let listed = git(&origin, &["branch", "--list", "--format=%(refname:short)"]);
        listed
            .lines()
            .any(|line| line == branch)
            .then(|| git(&origin, &["log", "-1", "--format=%B", &branch]))
    });
    git(&origin, &["diff", "--quiet", &good, &branch]);
    let status = hem.status();
    let page = eventually(LONG, "the status branch tells it", || {
        let page = git(&origin, &["show", "hemline/status:README.md"]);
        page.contains("reverted").then_some(page)
    });
    for (where_, text) in [("rollout", &why), ("branch", &message), ("status", &status), ("page", &page)] {
        for part in [&["box-1", engine.module.as_str(), image], engine_says].concat() {
            assert!(text.contains(part), "{part:?} is missing in {where_}: {text}");
        }
    }

    // The very container of before, never stopped; of the processes only that of the canary was another one for a while.
    assert_eq!(engine.containers(&good_image), camera, "{why}");
    eventually(LONG, "the canary is as it was", || {
        (running(&["/bin/sleep", &seconds(1)]).len() == 3 && running(&["/bin/sleep", &seconds(2)]).is_empty())
            .then_some(())
    });
    let now = running(&["/bin/sleep", &seconds(1)]);
    assert!(meters.iter().filter(|pid| now.contains(pid)).count() >= 2, "{meters:?} {now:?}");
    let log = fs::read_to_string(hem.data().with_file_name("stderr")).expect("a log");
    let stopped =
        log.lines().filter(|line| line.contains("step=stop") && line.contains(&engine.module)).count();
    assert_eq!(stopped, 0, "{log}");
    assert_eq!(hem.interrupt().code(), Some(0));
}

#[test]
fn an_image_that_cannot_be_pulled_goes_back_and_stops_nothing() {
    if !git_is_here() {
        return;
    }
    let Some(engine) = Engine::docker_small("nowhere") else { return };
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    goes_back(&engine, "on-create", NOWHERE, &["connection refused"]);
}

#[test]
fn an_image_that_is_never_pulled_and_not_there_goes_back_and_stops_nothing() {
    if !git_is_here() {
        return;
    }
    let Some(engine) = Engine::docker_small("never") else { return };
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    goes_back(&engine, "never", NOWHERE, &["is not on this device", "imagePullPolicy is never"]);
}

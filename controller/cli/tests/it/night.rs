//! The story that Hemline exists for. A bad image is pushed to a fleet of twelve in the night: it stops at the canary, goes
//! back, and is told to whoever was asleep. Nobody touches anything.
//!
//! Real parts: the program, twelve agents, containers and processes, `git http-backend` over HTTPS, a forge.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::PoisonError,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    engines::{BRIDGES, Engine},
    forge::Forge,
    hem::{Hem, eventually, running},
    repository::{git, git_is_here},
};

/// A slow machine starts twelve agents and containers in this time.
const LONG: Duration = Duration::from_secs(150);
const CANARY: &str = "press-01";
/// What is told of the bad commit in one line.
const LINE: &str = "reverted: camera on press-01 exits 3; 12 of 12 devices should run GOOD";

fn devices() -> Vec<String> {
    (1..=12).map(|n| format!("press-{n:02}")).collect()
}

/// The clone of the person who pushes, and the names of one run.
struct Desk {
    clone: PathBuf,
    /// Part of the arguments of processes and the names of images, so that nothing of another run is taken for ours.
    run: u32,
}

impl Desk {
    fn new(folder: &Path, forge: &Forge) -> Self {
        let clone = folder.join("clone");
        fs::create_dir(&clone).expect("a new folder");
        git(&clone, &["init", "--quiet", "-b", "main"]);
        git(&clone, &["remote", "add", "origin", &forge.bare().display().to_string()]);
        Self { clone, run: std::process::id() }
    }

    /// Three devices with an engine, the canary among them, and nine without; what all of them run, and the camera of the three.
    fn fleet(&self, version: u32, camera: &str) -> String {
        let mut text = String::new();
        for (place, device) in devices().iter().enumerate() {
            let ring = if device == CANARY { "canary" } else { "rest" };
            let engine = if place < 3 { ", engine: docker" } else { "" };
            text.push_str(&format!(
                "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: {device}}}\n\
                 spec: {{edge: true, tags: {{ring: {ring}{engine}}}}}\n---\n"
            ));
        }
        text + &format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: line}}\nspec:\n  \
               targetCondition: '*'\n  priority: 1\n  modules:\n    \
                 meter: {{type: process, command: [/bin/sleep, '{}']}}\n  \
               rollout:\n    waves: [{{name: canary, selector: \"tags.ring = 'canary'\"}}, {{name: rest, percent: 100}}]\n    \
                 maxUnavailable: 100%\n    healthyFor: 2s\n    deadline: 120s\n    onFailure: revert\n---\n\
             apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  \
               targetCondition: tags.engine = 'docker'\n  layered: true\n  priority: 2\n  modules:\n    \
                 {}: {{image: '{camera}', imagePullPolicy: never, restartPolicy: never}}\n",
            self.seconds(version),
            self.camera()
        )
    }

    /// Engines know containers by the names of modules.
    fn camera(&self) -> String {
        format!("camera-{}", self.run)
    }

    /// What `meter` of a version sleeps: nobody else does.
    fn seconds(&self, version: u32) -> String {
        format!("{version}22{:07}", self.run)
    }

    /// The processes of `meter` of a version.
    fn meters(&self, version: u32) -> Vec<u32> {
        running(&["/bin/sleep", &self.seconds(version)])
    }

    fn commit(&self, text: &str, message: &str) -> String {
        crate::repository::commit(&self.clone, text, message);
        git(&self.clone, &["rev-parse", "HEAD"])
    }

    fn push(&self) {
        git(&self.clone, &["push", "--quiet", "origin", "main"]);
    }
}

/// What is true of a device while nobody touches it: the version of its configuration, and when its modules were started.
fn untouched(hem: &Hem, camera: &str) -> BTreeMap<String, Vec<Value>> {
    let of = |device: &String| {
        let twin = hem.json(&["twin", "get", device, "$edgeAgent"]);
        let properties = &twin["properties"];
        let started = |module: &str| properties["reported"]["modules"][module]["lastStartTimeUtc"].clone();
        vec![properties["desired"]["$version"].clone(), started("meter"), started(camera)]
    };
    devices().iter().filter(|device| *device != CANARY).map(|device| (device.clone(), of(device))).collect()
}

/// Everything of one night.
struct Night {
    began: Instant,
    // It goes first, or its agents would make their containers anew.
    hem: Hem,
    engine: Engine,
    forge: Forge,
    desk: Desk,
    good: String,
    bad: String,
    good_image: String,
    bad_image: String,
    /// Evening: containers, processes and devices while all was well.
    cameras: Vec<(String, String)>,
    meters: Vec<u32>,
    devices: BTreeMap<String, Vec<Value>>,
}

impl Night {
    /// All is well: the first commit is everywhere, and the forge knows.
    fn evening(engine: Engine) -> Self {
        let began = Instant::now();
        let good_image = engine.derive("good", "echo camera 1; trap exit TERM; while true; do sleep 1; done");
        let bad_image = engine.derive("bad", "echo no lens; exit 3");
        let folder = tempfile::Builder::new().prefix("hem-").tempdir().expect("a temporary folder");
        let forge = Forge::start(folder.path());
        let desk = Desk::new(folder.path(), &forge);
        let good = desk.commit(&desk.fleet(1, &good_image), "Cameras 1");
        desk.push();
        let mut options = forge.options();
        options.extend(["--docker".to_owned(), format!("unix://{}", engine.socket)]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let hem = Hem::up_from(folder, &forge.url(), &options);
        eventually(LONG, "the first commit is healthy", || {
            let said = forge.statuses(&good);
            said.last().filter(|(state, text)| state == "success" && text.starts_with("healthy")).map(drop)
        });
        let said = forge.statuses(&good);
        assert_eq!(said.first().map(|(state, _)| state.as_str()), Some("pending"), "{said:?}");
        let status = hem.command(&["status"]).output().expect("hem starts");
        assert!(status.status.success(), "{}", hem.status());
        let (cameras, meters, devices) =
            (engine.containers(&good_image), desk.meters(1), untouched(&hem, &desk.camera()));
        assert_eq!((cameras.len(), meters.len(), devices.len()), (3, 12, 11));
        let bad = String::new();
        let night = Self {
            began,
            engine,
            forge,
            desk,
            hem,
            good,
            bad,
            good_image,
            bad_image,
            cameras,
            meters,
            devices,
        };
        night.passed("the first commit is everywhere");
        night
    }

    fn passed(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.began.elapsed().as_secs_f32());
    }

    fn branch(&self) -> String {
        format!("hemline/revert-{}", &self.bad[..7])
    }

    /// A text with what differs from run to run named.
    fn named(&self, text: &str) -> String {
        let host = self.forge.url().trim_end_matches("/acme/fleet.git").to_owned();
        let camera = self.desk.camera();
        let names = [
            (self.good.as_str(), "GOOD"),
            (&self.good[..7], "GOOD"),
            (self.bad.as_str(), "BAD"),
            (&self.bad[..7], "BAD"),
            (host.as_str(), "https://FORGE"),
            (camera.as_str(), "camera"),
        ];
        names.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Somebody merges a bad image and goes home; the commit goes back by itself.
    fn goes_wrong(&mut self) {
        self.bad = self.desk.commit(&self.desk.fleet(2, &self.bad_image), "Cameras 2");
        self.forge.told().brought.push(self.bad.clone());
        self.desk.push();
        eventually(LONG, "the commit went back, and the forge knows", || {
            let said = self.forge.statuses(&self.bad);
            said.last().filter(|(_, text)| text.starts_with("reverted")).map(drop)
        });
        self.passed("the bad commit went back");
    }

    /// The canary runs what it ran before, and nobody else noticed.
    fn fleet_is_as_it_was(&self) {
        eventually(LONG, "the canary is as it was", || {
            let (cameras, meters) = (self.engine.containers(&self.good_image), self.desk.meters(1));
            (cameras.len() == 3 && meters.len() == 12).then_some(())
        });
        assert_eq!((self.engine.containers(&self.bad_image).len(), self.desk.meters(2)), (0, vec![]));
        assert_eq!(untouched(&self.hem, &self.desk.camera()), self.devices);
        assert_eq!(self.cameras_kept(), 2, "two containers never stopped");
        let meters = self.desk.meters(1);
        assert_eq!(meters.iter().filter(|pid| self.meters.contains(pid)).count(), 11);
    }

    /// Containers that run since the evening.
    fn cameras_kept(&self) -> usize {
        let now = self.engine.containers(&self.good_image);
        self.cameras.iter().filter(|camera| now.contains(camera)).count()
    }

    /// The repository has the way back, with the evidence.
    fn repository_has_the_way_back(&self) {
        let (forge, branch) = (&self.forge, self.branch());
        assert_eq!(forge.git(&["rev-parse", &format!("{branch}~1")]).as_ref(), Some(&self.bad));
        assert!(forge.git(&["diff", "--quiet", &self.good, &branch]).is_some(), "it is what was good");
        assert_eq!(forge.git(&["rev-parse", "main"]).as_ref(), Some(&self.bad), "main is for people");
        let message = self.named(&forge.git(&["log", "-1", "--format=%B", &branch]).expect("a commit"));
        for part in [
            "Revert \"Cameras 2\"",
            "All documents as of GOOD, the last commit that was healthy.",
            "Revision BAD went back: camera on press-01 exits 3",
            "came to canary: 1 of 12 devices took it, 1 failed.",
            "Those that took it get GOOD back; 11 devices never had it.",
            "- camera on press-01 exits 3, 20",
            "Hemline-Reverts: BAD",
        ] {
            assert!(message.contains(part), "{part:?} is missing: {message}");
        }
    }

    /// The forge shows it beside the commit, in its pull request, and as a new one.
    fn forge_shows_it(&self) {
        let said = self.forge.statuses(&self.bad);
        // What is in between may be too short to be told; that it works was never said.
        assert!(!said.iter().any(|(state, _)| state == "success"), "{said:?}");
        let (state, text) = said.last().expect("a status");
        assert_eq!((state.as_str(), self.named(text).as_str()), ("failure", LINE));
        let pull = self.forge.told().pulls.first().cloned().expect("a pull request");
        assert_eq!((&pull["head"]["ref"], &pull["base"]["ref"]), (&self.branch().into(), &"main".into()));
        let body = self.named(pull["body"].as_str().expect("a text"));
        assert!(body.starts_with("Revision BAD went back: camera on press-01 exits 3"), "{body}");
        let comment = eventually(LONG, "the pull request of the bad commit hears of it", || {
            let told = self.forge.told();
            told.comments.first().filter(|text| text.contains("**reverted")).cloned()
        });
        assert!(self.named(&comment).contains(LINE), "{comment}");
    }

    /// And whoever was asleep reads it in the morning.
    fn people_read_it(&self) {
        let status = self.named(&self.hem.status());
        let lines: Vec<&str> = status.lines().collect();
        for line in [
            format!("revision BAD {LINE}").as_str(),
            "  source     https://FORGE/acme/fleet.git#main",
            "  revision   GOOD",
            "  went back  BAD: camera on press-01 exits 3; it is not rolled out again until its documents change",
            "  proposed   hemline/revert-BAD, https://FORGE/acme/fleet/pull/8",
            "  rollout    line: reverted: camera on press-01 exits 3",
        ] {
            assert!(lines.contains(&line), "{line:?} is missing: {status}");
        }
        assert_eq!(self.hem.command(&["status"]).output().expect("hem starts").status.code(), Some(1));
        let page = eventually(LONG, "the status branch tells it", || {
            let page = self.forge.git(&["show", "hemline/status:README.md"])?;
            let page = self.named(&page);
            page.contains("The branch `hemline/revert-BAD` goes back").then_some(page)
        });
        assert!(page.starts_with(&format!("revision BAD {LINE}\n")), "{page}");
        for part in [
            "goes back: merge https://FORGE/acme/fleet/pull/8, or mend the documents.",
            "**line**: reverted: camera on press-01 exits 3",
            " goes back: camera on press-01 exits 3; 0 of 1 device are back",
            "| press-01 | Ready | camera running, meter running | 2 of 2 modules as desired |",
            "| press-12 | Ready | meter running | 1 of 1 modules as desired |",
        ] {
            assert!(page.contains(part), "{part:?} is missing: {page}");
        }
        let deployment = self.forge.git(&["show", "hemline/status:deployments/line.yaml"]).expect("a status");
        assert!(deployment.contains("phase: reverted"), "{deployment}");
    }

    /// The program dies. What is decided and told stays so, and is not told twice.
    fn dies_and_starts_again(&mut self) {
        let tip = self.forge.git(&["rev-parse", &self.branch()]);
        self.hem.kill();
        self.hem.start_again();
        eventually(LONG, "it knows what it did", || self.hem.status().contains("/pull/8").then_some(()));
        assert_eq!(self.forge.git(&["rev-parse", &self.branch()]), tip);
        let told = |forge: &Forge| {
            let told = forge.told();
            (told.pulls.len(), told.comments.len())
        };
        assert_eq!(told(&self.forge), (1, 1));
        assert_eq!(self.cameras_kept(), 2, "a restart of the program stops no container");
        self.passed("killed and started again");
    }

    /// Somebody merges the way back: all is well, on paper too.
    fn morning(&mut self) {
        let tip = self.forge.git(&["rev-parse", &self.branch()]).expect("the branch is there");
        self.forge.git(&["update-ref", "refs/heads/main", &tip]).expect("merged");
        eventually(LONG, "the way back is healthy", || {
            self.forge.statuses(&tip).last().filter(|(state, _)| state == "success").map(drop)
        });
        eventually(LONG, "all is well", || {
            let output = self.hem.command(&["status"]).output().expect("hem starts");
            output.status.success().then_some(())
        });
        self.passed("the way back is in force");
        assert_eq!(self.cameras_kept(), 2);
        assert_eq!(self.forge.told().strange, Vec::<String>::new());
        assert_eq!(self.hem.interrupt().code(), Some(0));
    }
}

#[test]
fn a_bad_image_in_the_night() {
    if !git_is_here() {
        return;
    }
    let Some(engine) = Engine::docker_small("night") else { return };
    let _alone = BRIDGES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut night = Night::evening(engine);
    night.goes_wrong();
    night.fleet_is_as_it_was();
    night.repository_has_the_way_back();
    night.forge_shows_it();
    night.people_read_it();
    night.dies_and_starts_again();
    night.morning();
}

//! What a day of status costs: ten thousand devices, a commit a minute, seven devices changed in each. Prints the size of
//! the repository after `git gc`, and how long a push takes.
//!
//! Run by `cargo xtask bench status`. `HEM_BENCH_COMMITS` makes the day shorter.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that talks to a terminal")]

#[path = "../tests/it/repository.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod repository;
#[path = "../tests/it/server.rs"]
#[expect(dead_code, reason = "shared with the tests")]
mod server;

use std::time::{Duration, Instant};

use hemline_sources::{Git, GitConfig, Source as _, StatusBranch, StatusFile};

const DEVICES: usize = 10_000;
/// A day of one change per device.
const COMMITS: usize = 1_440;
const CHANGED: usize = 7;
const BUDGET: u64 = 60 << 20;

/// The status of one device, as the controller writes it.
fn device(number: usize, state: usize) -> StatusFile {
    let ready = if state.is_multiple_of(2) { "True" } else { "False" };
    let condition = |kind: &str, status: &str| {
        format!(
            "  - type: {kind}\n    status: '{status}'\n    reason: AsDocumented\n    message: camera and filter run\n    lastTransitionTime: 2026-01-02T03:{:02}:{:02}Z\n",
            state / 60 % 60,
            state % 60
        )
    };
    let text = format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata:\n  name: press-{number:05}\nstatus:\n  revision: 8d90bc4f1e3a5b7c9d0e2f4a6b8c0d1e3f5a7b9c\n  connected: true\n  modules:\n    camera:\n      state: running\n      image: registry.example/camera:1.3\n    filter:\n      state: running\n      image: registry.example/filter:0.9\n  conditions:\n{}{}{}{}",
        condition("Ready", ready),
        condition("Progressing", "False"),
        condition("Degraded", "False"),
        condition("Stalled", "False"),
    );
    StatusFile { path: format!("devices/press-{number:05}.yaml"), text }
}

/// The part of one device in `state.json`.
fn snapshot(number: usize, state: usize) -> String {
    format!(
        "    \"press-{number:05}\": {{\n      \"connected\": true,\n      \"reported\": {{\n        \"fps\": {},\n        \"modules\": {{\n          \"camera\": {{\n            \"image\": \"registry.example/camera:1.3\",\n            \"runtimeStatus\": \"running\"\n          }}\n        }}\n      }},\n      \"tags\": {{\n        \"site\": \"lyon\"\n      }}\n    }}",
        state % 60
    )
}

#[tokio::main]
async fn main() {
    let commits =
        std::env::var("HEM_BENCH_COMMITS").ok().and_then(|text| text.parse().ok()).unwrap_or(COMMITS);
    let (_root, repository, path) = server::hosted();
    repository.commit("fleet", &[("fleet.yaml", "kind: Device\n")]);
    // The clean-up that is measured is the only one.
    repository.git(&["config", "gc.auto", "0"]);
    let server = server::Server::start(&path, &server::Like { writable: true, ..Default::default() });
    let mirrors = tempfile::tempdir().unwrap();
    let status = StatusBranch { every: Duration::ZERO, ..StatusBranch::new("hemline/status") };
    let config = GitConfig {
        reference: "main".into(),
        status: Some(status),
        ..GitConfig::new(server.url(), mirrors.path())
    };
    let mut source = Git::open(config).unwrap();

    let mut states = vec![0_usize; DEVICES];
    let mut files: Vec<StatusFile> = (0..DEVICES).map(|number| device(number, 0)).collect();
    let mut parts: Vec<String> = (0..DEVICES).map(|number| snapshot(number, 0)).collect();
    files.extend(
        ["README.md", "state.json"].map(|path| StatusFile { path: path.into(), text: String::new() }),
    );
    let mut times = Vec::with_capacity(commits);
    for commit in 0..commits {
        for step in 0..CHANGED {
            let number = (commit * CHANGED + step) * 7_919 % DEVICES;
            states[number] += 1;
            files[number] = device(number, states[number]);
            parts[number] = snapshot(number, states[number]);
        }
        let off = states.iter().filter(|state| !state.is_multiple_of(2)).count();
        files[DEVICES].text =
            format!("revision 8d90bc4 in force: {} of {DEVICES} devices ready\n", DEVICES - off);
        files[DEVICES + 1].text = format!("{{\n  \"devices\": {{\n{}\n  }}\n}}\n", parts.join(",\n"));
        let begun = Instant::now();
        source.write_status(&files).await.unwrap();
        source.settle().await;
        times.push(begun.elapsed());
        assert!(source.trouble().is_empty(), "{:?}", source.trouble());
    }
    assert_eq!(repository.git(&["rev-list", "--count", "hemline/status"]), commits.to_string());
    times.sort_unstable();
    let at = |hundredth: usize| times[(times.len() * hundredth / 100).min(times.len() - 1)].as_millis();
    let before = size(&repository);
    repository.git(&["gc", "--quiet", "--prune=now"]);
    let after = size(&repository);
    let verdict = if after <= BUDGET { "kept" } else { "missed" };
    println!("| status of {DEVICES} devices, {commits} commits | figure | budget |\n|---|---|---|");
    println!(
        "| repository after `git gc` | {:.1} MiB ({:.0} MiB before) | ≤ 60 MB {verdict} |",
        mib(after),
        mib(before)
    );
    println!("| tree, commit and push over HTTP, p50 / p99 | {} ms / {} ms | reported |", at(50), at(99));
    if after > BUDGET {
        std::process::exit(1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Bytes of all objects, as `git count-objects` counts them.
fn size(repository: &repository::Repository) -> u64 {
    let told = repository.git(&["count-objects", "-v"]);
    let kibibytes = |key: &str| -> u64 {
        let line = told.lines().find_map(|line| line.strip_prefix(key));
        line.map_or(0, |line| line.trim().parse().unwrap())
    };
    (kibibytes("size:") + kibibytes("size-pack:")) << 10
}

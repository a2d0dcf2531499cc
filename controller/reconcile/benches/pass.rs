//! `cargo xtask bench pass`: what a pass of the controller costs over ten thousand devices with nothing to do. A real hub with
//! its store, a real folder with `status/`. Beside it: what one change costs, and what making and telling them all takes.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that talks to a terminal")]

use std::time::{Duration, Instant};

use hemline_hub::{Hub, HubConfig, pki};
use hemline_hub_core::service::{IfMatch, ServiceRequest};
use hemline_model::id::{ClientId, DeviceId};
use hemline_reconcile::{ControllerView, Options, start};
use hemline_sources::Directory;
use hemline_testkit::corpus::{Revision, Shape};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const DEVICES: usize = 10_000;
const SETTLE: u32 = 3;
const PASSES: u32 = 10;
const BUDGET_MS: f64 = 50.0;

#[tokio::main]
async fn main() {
    let shape = Shape { devices: DEVICES, deployments: 50, changed: 0, bad: 0, seed: 1 };
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    shape.write(Revision::Before, folder.path()).unwrap();
    let stop = CancellationToken::new();
    let names = vec!["127.0.0.1".to_owned()];
    let now = jiff::Timestamp::now();
    let certificates = pki::open(data.path(), &names, now).unwrap();
    let config = HubConfig::new(data.path(), names, certificates.server_config());
    let hub = Hub::start(config, |_| axum::Router::new(), stop.clone()).await.unwrap();
    let source = Directory::open(folder.path()).unwrap();
    // No timer in between.
    let options = Options { every: Duration::from_secs(3600), ..Options::new(data.path().join("last-good")) };
    let controller = start(source.into(), hub.handle(), options, stop.clone());
    let mut view = controller.view();

    let begin = Instant::now();
    while view.latest().is_none_or(|report| report.devices.len() < DEVICES) {
        view.changed().await.unwrap();
    }
    let first = begin.elapsed();
    // Notices of what the first pass did make more passes, which are not looked at.
    for _ in 0..SETTLE {
        pass(&view).await;
    }
    let before = view.latest().unwrap().passes;
    for _ in 0..PASSES {
        pass(&view).await;
    }
    let quiet = view.latest().unwrap().passes;
    for number in 0..PASSES {
        hub.handle().call(by_hand(number)).await.unwrap();
        pass(&view).await;
    }
    let after = view.latest().unwrap().passes;
    let resident = resident_mib();
    stop.cancel();
    controller.join().await;
    hub.join().await.unwrap();

    let count = quiet.count - before.count;
    assert!(count > 1 && after.count > quiet.count, "no pass was counted");
    let mean =
        |took: Duration, count: u64| took.as_secs_f64() * 1e3 / f64::from(u32::try_from(count).unwrap());
    let (nothing, one) =
        (mean(quiet.took - before.took, count), mean(after.took - quiet.took, u64::from(PASSES)));
    let verdict = if nothing <= BUDGET_MS { "kept" } else { "missed" };
    println!("| what | ours | budget |\n|---|---|---|");
    println!(
        "| the first pass over {DEVICES} devices, which makes them all | {:.1} s | |",
        first.as_secs_f64()
    );
    println!(
        "| a pass over them with nothing to do (mean of {count}) | {nothing:.2} ms | ≤ {BUDGET_MS:.0} ms {verdict} |"
    );
    println!("| the passes after one twin was written to by hand (mean of {PASSES}) | {one:.2} ms | |");
    println!(
        "| telling all of it in status files, at most a twentieth of the time | {:.1} s in all | |",
        after.told.as_secs_f64()
    );
    println!("| hub and controller with their twins and documents, resident | {resident} MiB | |");
    if nothing > BUDGET_MS {
        std::process::exit(1);
    }
}

/// Memory of this process.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// A tag that no document has, so there is nothing to put right.
fn by_hand(number: u32) -> ServiceRequest {
    ServiceRequest::PatchTwin {
        client: ClientId::device(DeviceId::new("press-000007").unwrap()),
        tags: json!({"seen": number}).as_object().cloned(),
        desired: None,
        if_match: IfMatch::Any,
    }
}

/// Returns when the pass that follows a question is over: the next question is answered behind it.
async fn pass(view: &ControllerView) {
    assert!(view.record("nothing").await.unwrap().is_none());
}

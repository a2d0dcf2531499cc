//! `cargo bench -p hemline-plan [-- DEVICES DEPLOYMENTS]`: the time of each step from text to plan, in one process.
//!
//! Without arguments: fleets of 1 000, 10 000 and 100 000 devices, to see that nothing grows faster than the fleet. The whole
//! program, with its peers, is measured by `cargo xtask bench`.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measurement talks to a terminal and stops when it fails"
)]

use std::time::{Duration, Instant};

use hemline_model::SourceFile;
use hemline_plan::{Facts, Resolution, plan, resolve};
use hemline_testkit::corpus::{Revision, Shape};

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    println!("devices  deployments      read   resolve      plan     print   µs per device");
    match numbers.as_slice() {
        [devices, deployments, ..] => row(*devices, *deployments),
        [..] => [1_000, 10_000, 100_000].into_iter().for_each(|devices| row(devices, 50)),
    }
}

fn row(devices: usize, deployments: usize) {
    let shape = Shape { devices, deployments, changed: devices / 5, bad: 0, seed: 1 };
    let mut times = [Duration::ZERO; 4];
    let [read, resolved, planned, printed] = &mut times;
    let before = resolution(&shape, Revision::Before, read, resolved);
    let after = resolution(&shape, Revision::After, read, resolved);
    let plan = timed(planned, || plan(&after, Some(&before), None));
    let text = timed(printed, || plan.to_string());
    assert_eq!(plan.summary.devices, shape.changed, "{text}");
    let all: Duration = times.iter().sum();
    let per_device = all.as_secs_f64() * 1e6 / devices as f64;
    let [read, resolved, planned, printed] = times.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
    println!(
        "{devices:>7} {deployments:>12} {read:>9} {resolved:>9} {planned:>9} {printed:>9} {per_device:>15.1}"
    );
}

fn resolution(shape: &Shape, revision: Revision, read: &mut Duration, resolved: &mut Duration) -> Resolution {
    let file = |(path, text): (String, String)| SourceFile { path: path.into(), bytes: text.into_bytes() };
    let files: Vec<SourceFile> = shape.files(revision).into_iter().map(file).collect();
    let loaded = timed(read, || hemline_model::load(&files));
    let fleet = loaded.fleet.expect("the corpus is valid");
    timed(resolved, || resolve(&fleet, &Facts::default()))
}

fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    *total += begin.elapsed();
    done
}

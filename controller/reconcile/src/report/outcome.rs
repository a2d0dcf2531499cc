//! What became of a revision, in the words of a forge.

use hemline_sources::{Outcome, Phase, StatusFile};

use super::{PassReport, condition::holds};

/// What is told of the newest revision that was read; `None` before there was one. `files`: the status files, whose README
/// tells it in full.
pub(crate) fn outcome(report: &PassReport, files: &[StatusFile]) -> Option<Outcome> {
    let readme = files.iter().find(|file| file.path == "README.md");
    let (line, details) = readme.and_then(|file| file.text.split_once('\n')).unwrap_or_default();
    Some(Outcome {
        revision: report.attempted.clone()?,
        phase: phase(report),
        line: line.to_owned(),
        details: details.trim().to_owned(),
    })
}

fn phase(report: &PassReport) -> Phase {
    if report.waiting.is_some() {
        return Phase::Pending;
    }
    if report.is_held_back() {
        return Phase::Halted;
    }
    let any = |kind: &str| report.devices.values().any(|device| holds(&device.conditions, kind));
    if any("Degraded") || any("Stalled") {
        return Phase::Degraded;
    }
    let ready = report.devices.values().filter(|device| holds(&device.conditions, "Ready")).count();
    match (ready as u64, report.devices.len() as u64) {
        (done, all) if done == all => Phase::Healthy,
        (done, all) => Phase::Rolling { done, all },
    }
}

//! What became of a revision, in the words of a forge.

use hemline_model::id::Revision;
use hemline_plan::rollout::RolloutStatus;
use hemline_sources::{Outcome, Phase, StatusFile};

use super::{PassReport, condition::holds, files::line_in_force};

/// What is told of the revision in force and, if it is another one, of the newest that was read, in this order. `files`: the
/// status files, whose README tells it in full.
pub(crate) fn outcomes(report: &PassReport, files: &[StatusFile]) -> Vec<Outcome> {
    let readme = files.iter().find(|file| file.path == "README.md");
    let (first, details) = readme.and_then(|file| file.text.split_once('\n')).unwrap_or_default();
    // What waits for `hem apply` was read last, too.
    let newest = report.waiting.as_ref().or(report.attempted.as_ref());
    let told = |revision: &Revision, phase, line: &str| Outcome {
        phase,
        line: of_itself(line, revision).to_owned(),
        details: details.trim().to_owned(),
        revision: revision.clone(),
    };
    let other = report.revision.as_ref().filter(|revision| newest.is_some_and(|newest| newest != *revision));
    let in_force =
        other.map(|revision| told(revision, phase_in_force(report, revision), &line_in_force(report)));
    let waits = || format!("waits for `hem apply`; {}", line_in_force(report));
    let line = if report.waiting.is_some() && other.is_some() { waits() } else { first.to_owned() };
    let newest = newest.map(|revision| told(revision, phase(report), &line));
    in_force.into_iter().chain(newest).collect()
}

/// A line without the name of the commit that it stands beside.
fn of_itself<'a>(line: &'a str, revision: &Revision) -> &'a str {
    let rest = line.strip_prefix("revision ").and_then(|rest| rest.strip_prefix(revision.short()));
    rest.map_or(line, str::trim_start)
}

/// Of the newest revision.
fn phase(report: &PassReport) -> Phase {
    if report.waiting.is_some() {
        return Phase::Pending;
    }
    if report.revert.is_some() {
        // It is over when every device has it back.
        let going = report.rollouts.iter().any(|rollout| rollout.phase == "reverting");
        return if going { Phase::Halted } else { Phase::Reverted };
    }
    match &report.revision {
        Some(revision) if !report.is_held_back() => phase_in_force(report, revision),
        _ => Phase::Halted,
    }
}

/// Of the revision in force, whatever became of a newer one. Where rollouts of another one are still told of, they say nothing of
/// this one.
fn phase_in_force(report: &PassReport, revision: &Revision) -> Phase {
    let own: Vec<&RolloutStatus> =
        report.rollouts.iter().filter(|rollout| rollout.revision == revision.as_str()).collect();
    if own.iter().any(|rollout| rollout.phase == "halted") {
        return Phase::Halted;
    }
    if let Some(phase) = of_rollouts(&own) {
        return phase;
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

/// How far rollouts are together; `None` when none is on its way.
fn of_rollouts(rollouts: &[&RolloutStatus]) -> Option<Phase> {
    if rollouts.iter().all(|rollout| rollout.phase == "complete") {
        return None;
    }
    if rollouts.iter().all(|rollout| rollout.took == 0) {
        return Some(Phase::Pending);
    }
    let done = |rollout: &&RolloutStatus| rollout.waves.iter().map(|wave| wave.done as u64).sum::<u64>();
    let all = rollouts.iter().map(|rollout| rollout.devices as u64).sum();
    Some(Phase::Rolling { done: rollouts.iter().map(done).sum(), all })
}

#[cfg(test)]
mod tests {
    use hemline_plan::rollout::WaveStatus;

    use super::*;

    fn rollout(phase: &str, took: usize, done: usize) -> RolloutStatus {
        let wave = WaveStatus {
            name: "all".into(),
            devices: 12,
            done,
            given: 0,
            failed: 0,
            skipped: 0,
            current: true,
        };
        RolloutStatus {
            deployment: "vision".into(),
            revision: "b".into(),
            base: None,
            phase: phase.into(),
            says: String::new(),
            why: String::new(),
            paused: None,
            started: jiff::Timestamp::UNIX_EPOCH,
            devices: 12,
            took,
            waves: vec![wave],
            failed: Vec::new(),
            story: Vec::new(),
        }
    }

    #[test]
    fn rollouts_count_together_until_all_are_complete() {
        for (rollouts, phase) in [
            (vec![], None),
            (vec![rollout("complete", 12, 12)], None),
            (vec![rollout("waiting", 0, 0)], Some(Phase::Pending)),
            (vec![rollout("rolling", 1, 0)], Some(Phase::Rolling { done: 0, all: 12 })),
            (
                vec![rollout("complete", 12, 12), rollout("pending", 0, 0)],
                Some(Phase::Rolling { done: 12, all: 24 }),
            ),
        ] {
            assert_eq!(of_rollouts(&rollouts.iter().collect::<Vec<_>>()), phase);
        }
    }

    #[test]
    fn a_commit_is_not_named_beside_itself() {
        let revision = Revision::new("8d90bc4aaaaaaaaa").unwrap();
        assert_eq!(of_itself("revision 8d90bc4 halted at canary: x", &revision), "halted at canary: x");
        assert_eq!(of_itself("revision 1111111 in force: x", &revision), "revision 1111111 in force: x");
    }
}

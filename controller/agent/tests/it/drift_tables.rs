//! What was changed by hand, as tables: noticed, healed or left alone as the documents say, written into the ledger.

use std::collections::{BTreeMap, BTreeSet};

use hemline_agent::{
    decide::{
        Action, Decision, Goal, Images, Memory, Reason, RestartPolicy, Situation, Step, Wanted, attempt,
        decide,
        drift::{self, Row},
    },
    module::{EngineStatus, Health, ModuleKey, ModuleKind, PullPolicy, RuntimeStatus, Seen},
};
use hemline_model::edge::{DriftMode, DriftRules, PathRule};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

fn wanted() -> Wanted {
    Wanted {
        key: ModuleKey { kind: ModuleKind::Docker, name: "m".to_owned() },
        hash: "h".to_owned(),
        goal: Goal::Running,
        policy: RestartPolicy::Always,
        order: u32::MAX,
        pull: PullPolicy::OnCreate,
    }
}

fn traits(memory: i64) -> BTreeMap<String, Value> {
    [
        ("createOptions.HostConfig.Memory", json!(memory)),
        ("createOptions.HostConfig.CpuShares", json!(0)),
        ("name", json!("m")),
        ("image", json!("sha256:0123456789abcdef")),
    ]
    .map(|(path, value)| (path.to_owned(), value))
    .into()
}

fn seen() -> Seen {
    Seen {
        key: wanted().key,
        id: Some("id".to_owned()),
        traits: traits(64),
        by_hand: false,
        paused: false,
        hash: Some("h".to_owned()),
        status: EngineStatus::Running,
        health: Health::None,
        exit_code: Some(0),
        started: Some(ago(600)),
        exited: None,
        description: String::new(),
        image_hash: None,
    }
}

fn down() -> Seen {
    Seen { by_hand: true, status: EngineStatus::Failed, exited: Some(ago(1)), ..seen() }
}

/// The agent made the module and saw it.
fn memory() -> Memory {
    let mut memory = Memory::default();
    memory.notice(&[wanted()], &[seen()]);
    memory
}

fn look(wanted: Wanted, seen: Option<Seen>, memory: &Memory, drift: &DriftRules) -> Decision {
    let seen: Vec<Seen> = seen.into_iter().collect();
    let images = Images { ready: BTreeSet::from(["h".to_owned()]), ..Images::default() };
    decide(&Situation {
        wanted: &[wanted],
        seen: &seen,
        silent: &BTreeSet::new(),
        memory,
        images: &images,
        now: NOW,
        since: ago(1000),
        drift,
        booted: None,
    })
}

fn mode(mode: DriftMode) -> DriftRules {
    DriftRules { mode, paths: Vec::new() }
}

fn steps(decision: &Decision) -> String {
    let step = |action: &Action| action.step.to_string();
    decision.actions.iter().map(step).collect::<Vec<_>>().join(", ")
}

/// What was done, what is found then, the row (path, expected, found) and what puts it right.
type Done = (&'static str, Option<Seen>, [&'static str; 3], &'static str);

fn everything() -> Vec<Done> {
    let with = |path: &str, value: Value| {
        let mut traits = traits(64);
        traits.insert(path.to_owned(), value);
        Some(Seen { traits, ..seen() })
    };
    let remake = "stop, remove, create, start";
    let paused = Seen { paused: true, status: EngineStatus::Stopped, ..seen() };
    let other = Seen { id: Some("other".to_owned()), ..seen() };
    let mut unnamed = seen();
    unnamed.traits.remove("image");
    let memory = "createOptions.HostConfig.Memory";
    let shares = "createOptions.HostConfig.CpuShares";
    vec![
        ("nothing", Some(seen()), ["", "", ""], ""),
        ("stop or kill", Some(down()), ["modules.m.status", "running", "stopped"], "start"),
        ("pause", Some(paused), ["modules.m.status", "running", "paused"], "stop, start"),
        ("rm", None, ["modules.m", "there", "removed"], "create, start"),
        (
            "update",
            with(memory, json!(32)),
            ["modules.m.createOptions.HostConfig.Memory", "64", "32"],
            "mend",
        ),
        (
            "update of what was not set",
            with(shares, json!(512)),
            ["modules.m.createOptions.HostConfig.CpuShares", "0", "512"],
            remake,
        ),
        ("rename", with("name", json!("n")), ["modules.m.name", "m", "n"], "mend"),
        (
            "another image under the same name",
            with("image", json!("sha256:fedcba9876543210")),
            ["modules.m.image", "fedcba987654", "0123456789ab"],
            remake,
        ),
        ("no image under that name any more", Some(unnamed), ["", "", ""], ""),
        ("another one in its place", Some(other), ["modules.m", "id", "replaced by other"], remake),
    ]
}

#[test]
fn everything_that_can_be_done_by_hand() {
    for (case, found, row, cure) in everything() {
        let memory = memory();
        let healed = look(wanted(), found.clone(), &memory, &mode(DriftMode::Heal));
        assert_eq!(steps(&healed), cure, "{case}");
        assert!(healed.actions.iter().all(|action| action.reason == Reason::Drifted), "{case}");
        let told: Vec<[&str; 3]> = healed
            .drift
            .iter()
            .map(|one| [one.path.as_str(), one.expected.as_str(), one.found.as_str()])
            .collect();
        let rows: Vec<[&str; 3]> = if row[0].is_empty() { vec![] } else { vec![row] };
        assert_eq!(told, rows, "{case}");
        for left in [DriftMode::Report, DriftMode::Ignore] {
            let decision = look(wanted(), found.clone(), &memory, &mode(left));
            assert_eq!(steps(&decision), "", "{case}: {left:?}");
            let by_path = DriftRules {
                mode: DriftMode::Heal,
                paths: vec![PathRule { path: "modules.m".to_owned(), mode: left }],
            };
            assert_eq!(
                steps(&look(wanted(), found.clone(), &memory, &by_path)),
                "",
                "{case}: {left:?} by path"
            );
            let mut kept = Vec::new();
            drift::note(&mut kept, &decision.drift, NOW);
            let told = left == DriftMode::Report && !rows.is_empty();
            assert_eq!(kept.len(), usize::from(told), "{case}: {left:?}");
        }
        // Whatever was done by hand, a new configuration is carried out.
        let changed = Wanted { hash: "new".to_owned(), pull: PullPolicy::Never, ..wanted() };
        let decision = look(changed, found, &memory, &mode(DriftMode::Ignore));
        assert!(steps(&decision).ends_with("create, start"), "{case}: {}", steps(&decision));
    }
}

#[test]
fn healing_is_no_crash() {
    let mut memory = memory();
    for _ in 0..5 {
        let decision = look(wanted(), Some(down()), &memory, &mode(DriftMode::Heal));
        assert_eq!(steps(&decision), "start");
        memory.succeeded(&decision.actions[0], NOW);
    }
    assert_eq!(memory.restarts(&wanted().key), 0, "nobody waits for it, however often");
    // What ends by itself is a matter of the restart policy.
    let crashed = Seen { by_hand: false, ..down() };
    let decision = look(wanted(), Some(crashed), &memory, &mode(DriftMode::Report));
    assert_eq!(steps(&decision), "restart");
    assert!(decision.drift.is_empty());
    // A module that nobody is to start again is not started either.
    let once = Wanted { policy: RestartPolicy::Never, ..wanted() };
    assert_eq!(steps(&look(once, Some(down()), &memory, &mode(DriftMode::Heal))), "");
}

#[test]
fn a_stopped_module_that_somebody_started() {
    let stopped = Wanted { goal: Goal::Stopped, ..wanted() };
    let mut memory = memory();
    let first = look(stopped.clone(), Some(seen()), &memory, &mode(DriftMode::Report));
    assert_eq!((steps(&first).as_str(), first.drift.len()), ("stop", 0), "a change of the documents");
    memory.succeeded(&first.actions[0], NOW);
    let report = look(stopped.clone(), Some(seen()), &memory, &mode(DriftMode::Report));
    assert_eq!((steps(&report).as_str(), report.drift.len()), ("", 1));
    assert_eq!(report.status["m"], RuntimeStatus::Running);
    assert_eq!(steps(&look(stopped, Some(seen()), &memory, &mode(DriftMode::Heal))), "stop");
}

#[test]
fn what_the_agent_makes_itself_is_no_drift() {
    let mut memory = memory();
    memory.making(&wanted().key);
    let create = Action {
        key: wanted().key,
        step: Step::Create,
        reason: Reason::SpecChanged,
        attempt: attempt(&wanted()),
    };
    memory.succeeded(&create, NOW);
    let other = Seen { id: Some("other".to_owned()), traits: traits(32), ..seen() };
    assert!(look(wanted(), Some(other.clone()), &memory, &mode(DriftMode::Heal)).drift.is_empty());
    memory.notice(&[wanted()], std::slice::from_ref(&other));
    assert!(look(wanted(), Some(other), &memory, &mode(DriftMode::Heal)).drift.is_empty());
    assert_eq!(look(wanted(), Some(seen()), &memory, &mode(DriftMode::Heal)).drift.len(), 1);
}

#[test]
fn the_ledger_opens_closes_and_stays_small() {
    let memory = memory();
    let drift = |seen| look(wanted(), seen, &memory, &mode(DriftMode::Report)).drift;
    let mut rows: Vec<Row> = Vec::new();
    drift::note(&mut rows, &drift(Some(down())), ago(50));
    drift::note(&mut rows, &drift(Some(down())), ago(40));
    assert_eq!((rows.len(), rows[0].since, rows[0].healed), (1, ago(50), None));
    drift::note(&mut rows, &drift(None), ago(30));
    assert_eq!((rows.len(), rows[0].healed, rows[1].path.as_str()), (2, Some(ago(30)), "modules.m"));
    drift::note(&mut rows, &[], ago(20));
    assert_eq!(rows[1].healed, Some(ago(20)));
    for n in 0..100 {
        drift::note(&mut rows, &drift(Some(down())), ago(20 - n));
        drift::note(&mut rows, &[], ago(20 - n));
    }
    assert_eq!(rows.len(), 16);
    drift::note(&mut rows, &[], NOW + SignedDuration::from_hours(25));
    assert!(rows.is_empty(), "told for a day");
}

//! Decisions as tables: restart policies, pauses, order, gates.

use std::collections::BTreeSet;

use hemline_agent::{
    decide::{
        Action, Decision, Goal, Images, Memory, Reason, RestartPolicy, Situation, Step, WaitingFor, Wanted,
        attempt, decide,
        restart::{MAX_RESTARTS, compute, due, pause},
    },
    module::{EngineStatus, Health, ModuleKey, ModuleKind, PullPolicy, RuntimeStatus, Seen},
};
use hemline_model::edge::DriftRules;
use jiff::{SignedDuration, Timestamp};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

fn key(name: &str) -> ModuleKey {
    ModuleKey { kind: ModuleKind::Docker, name: name.to_owned() }
}

fn wanted(name: &str, hash: &str) -> Wanted {
    Wanted {
        key: key(name),
        hash: hash.to_owned(),
        goal: Goal::Running,
        policy: RestartPolicy::Always,
        order: u32::MAX,
        pull: PullPolicy::OnCreate,
    }
}

fn seen(name: &str, hash: &str, status: EngineStatus) -> Seen {
    Seen {
        key: key(name),
        id: None,
        traits: std::collections::BTreeMap::new(),
        by_hand: false,
        paused: false,
        hash: Some(hash.to_owned()),
        status,
        health: Health::None,
        exit_code: Some(0),
        started: Some(ago(60)),
        exited: if status == EngineStatus::Running { None } else { Some(ago(1)) },
        description: String::new(),
        image_hash: None,
    }
}

#[derive(Default)]
struct World {
    wanted: Vec<Wanted>,
    seen: Vec<Seen>,
    memory: Memory,
    images: Images,
    silent: BTreeSet<ModuleKind>,
    booted: Option<Timestamp>,
    /// Long ago unless said otherwise.
    since: Option<Timestamp>,
    drift: DriftRules,
}

impl World {
    fn of(wanted: &[Wanted], seen: &[Seen]) -> Self {
        Self { wanted: wanted.to_vec(), seen: seen.to_vec(), ..Self::default() }
    }

    fn with_images(mut self) -> Self {
        self.images.ready = self.wanted.iter().map(|wanted| wanted.hash.clone()).collect();
        self
    }

    fn decide(&self) -> Decision {
        decide(&Situation {
            wanted: &self.wanted,
            seen: &self.seen,
            silent: &self.silent,
            memory: &self.memory,
            images: &self.images,
            now: NOW,
            drift: &self.drift,
            since: self.since.unwrap_or(ago(1000)),
            booted: self.booted,
        })
    }

    fn steps(&self) -> String {
        steps(&self.decide())
    }
}

fn steps(decision: &Decision) -> String {
    let step = |action: &Action| format!("{} {}", action.step, action.key.name);
    decision.actions.iter().map(step).collect::<Vec<_>>().join(", ")
}

#[test]
fn restart_table() {
    use EngineStatus as E;
    use RestartPolicy::{Always, Never, OnFailure, OnUnhealthy};
    use RuntimeStatus as R;
    let policies = [Never, OnFailure, OnUnhealthy, Always];
    // Reference edge-runtime §3.4, row by row: never, on-failure, on-unhealthy, always.
    let table = [
        (E::Running, [R::Running; 4]),
        (E::Stopped, [R::Stopped, R::Stopped, R::Stopped, R::Backoff]),
        (E::Failed, [R::Failed, R::Backoff, R::Backoff, R::Backoff]),
        (E::Unhealthy, [R::Unhealthy, R::Backoff, R::Backoff, R::Backoff]),
        (E::Dead, [R::Dead; 4]),
        (E::Unknown, [R::Unknown; 4]),
    ];
    for (status, row) in table {
        for (policy, expected) in policies.into_iter().zip(row) {
            for restarts in [0, 1, MAX_RESTARTS - 1] {
                assert_eq!(compute(status, policy, restarts), expected, "{status:?} {policy:?} {restarts}");
            }
            let last = if expected == R::Backoff { R::Failed } else { expected };
            for restarts in [MAX_RESTARTS, u32::MAX] {
                assert_eq!(compute(status, policy, restarts), last, "{status:?} {policy:?} {restarts}");
            }
        }
    }
}

#[test]
fn pauses_double_up_to_five_minutes() {
    let pauses: Vec<i64> = (0..8).map(|n| pause(n).as_secs()).collect();
    assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(pause(u32::MAX).as_secs(), 300);
    assert_eq!(due(0, Some(ago(3)), NOW), NOW, "the first restart is due at once");
    assert_eq!(due(1, Some(ago(3)), NOW), ago(3) + SignedDuration::from_secs(20));
    assert_eq!(due(1, None, NOW), NOW);
    assert_eq!(due(4, Some(NOW + SignedDuration::from_hours(1)), NOW), NOW, "the clock was moved back");
}

#[test]
fn a_module_is_restarted_after_its_pause() {
    for (restarts, ended, expected) in [
        (0, 0, "restart m"),
        (1, 19, ""),
        (1, 20, "restart m"),
        (3, 79, ""),
        (3, 80, "restart m"),
        (9, 299, ""),
        (9, 300, "restart m"),
        (MAX_RESTARTS, 299, ""),
        (MAX_RESTARTS, 300, "restart m"),
        (1000, 300, "restart m"),
    ] {
        let mut module = seen("m", "h", EngineStatus::Failed);
        module.exited = Some(ago(ended));
        let mut world = World::of(&[wanted("m", "h")], &[module]);
        for n in 0..restarts {
            let action = Action {
                key: key("m"),
                step: Step::Restart,
                reason: Reason::Policy { restart: n + 1 },
                attempt: String::new(),
            };
            world.memory.succeeded(&action, ago(1000));
        }
        let decision = world.decide();
        assert_eq!(steps(&decision), expected, "{restarts} restarts, ended {ended} s ago");
        let reported = if restarts < MAX_RESTARTS { RuntimeStatus::Backoff } else { RuntimeStatus::Failed };
        assert_eq!(decision.status["m"], reported);
        assert_eq!(decision.wake().is_some(), expected.is_empty());
    }
}

#[test]
fn restarts_are_forgiven_after_ten_healthy_minutes() {
    for (up, forgiven) in [(599, false), (601, true)] {
        let mut module = seen("m", "h", EngineStatus::Running);
        module.started = Some(ago(up));
        let mut world = World::of(&[wanted("m", "h")], &[module]);
        assert!(world.decide().healthy.is_empty(), "nothing to forgive");
        let action = Action {
            key: key("m"),
            step: Step::Restart,
            reason: Reason::Policy { restart: 1 },
            attempt: String::new(),
        };
        world.memory.succeeded(&action, ago(up));
        assert_eq!(!world.decide().healthy.is_empty(), forgiven);
        world.memory.healthy(&key("m"));
        assert!(world.decide().healthy.is_empty());
    }
}

#[test]
fn one_desired_module_in_every_state() {
    use EngineStatus as E;
    use RuntimeStatus as R;
    let running = wanted("m", "h");
    let stopped = Wanted { goal: Goal::Stopped, ..wanted("m", "h") };
    let changed = wanted("m", "other");
    let found = |status| Some(seen("m", "h", status));
    let never_started = Some(Seen { started: None, ..seen("m", "h", E::Stopped) });
    let unlabelled = Some(Seen { hash: None, ..seen("m", "h", E::Running) });
    let (make, remake) = ("create m, start m", "stop m, remove m, create m, start m");
    let clear = "remove m, create m, start m";
    let table = [
        ("added", &running, None, make, R::Stopped),
        ("added stopped", &stopped, None, "create m", R::Stopped),
        ("as desired", &running, found(E::Running), "", R::Running),
        ("changed", &changed, found(E::Running), remake, R::Running),
        ("changed, down", &changed, found(E::Failed), clear, R::Backoff),
        ("killed", &running, found(E::Failed), "restart m", R::Backoff),
        ("unlabelled", &running, unlabelled, remake, R::Running),
        ("to be stopped", &stopped, found(E::Running), "stop m", R::Running),
        ("stopped, as desired", &stopped, found(E::Stopped), "", R::Stopped),
        ("killed, desired stopped", &stopped, found(E::Failed), "", R::Stopped),
        ("never started", &running, never_started, "start m", R::Stopped),
        ("dead", &running, found(E::Dead), clear, R::Dead),
        ("unknown", &running, found(E::Unknown), "", R::Unknown),
    ];
    for (case, wanted, seen, expected, status) in table {
        let seen: Vec<Seen> = seen.into_iter().collect();
        let decision = World::of(std::slice::from_ref(wanted), &seen).with_images().decide();
        assert_eq!(steps(&decision), expected, "{case}");
        assert_eq!(decision.status["m"], status, "{case}");
    }
}

#[test]
fn what_is_not_desired_goes() {
    use EngineStatus as E;
    for (status, expected) in [
        (E::Running, "stop m, remove m"),
        (E::Unhealthy, "stop m, remove m"),
        (E::Stopped, "remove m"),
        (E::Dead, "remove m"),
    ] {
        let decision = World::of(&[], &[seen("m", "h", status)]).decide();
        assert_eq!(steps(&decision), expected, "{status:?}");
        assert!(decision.status.is_empty());
    }
}

#[test]
fn images_come_before_anything_stops() {
    let mut failing = seen("down", "h", EngineStatus::Failed);
    failing.exited = Some(ago(100));
    let world = World::of(
        &[
            wanted("changed", "new"),
            wanted("down", "h"),
            Wanted { goal: Goal::Stopped, ..wanted("hold", "h") },
        ],
        &[
            seen("changed", "old", EngineStatus::Running),
            seen("gone", "h", EngineStatus::Running),
            failing,
            seen("hold", "h", EngineStatus::Running),
        ],
    );
    assert_eq!(world.steps(), "pull changed, restart down");
    let mut world = world;
    world.images.pulling.insert("new".to_owned());
    let decision = world.decide();
    assert_eq!(steps(&decision), "restart down");
    assert!(decision.pulls_outstanding);
    world.images.pulling.clear();
    world.images.ready.insert("new".to_owned());
    assert_eq!(
        world.steps(),
        "stop gone, remove gone, stop changed, remove changed, create changed, start changed, restart down, stop hold"
    );
}

#[test]
fn no_image_is_pulled_where_none_is_needed() {
    let local = Wanted { pull: PullPolicy::Never, ..wanted("local", "a") };
    let process = Wanted {
        key: ModuleKey { kind: ModuleKind::Process, name: "process".to_owned() },
        ..wanted("x", "b")
    };
    assert_eq!(
        World::of(&[local, process], &[]).steps(),
        "create local, start local, create process, start process"
    );
}

#[test]
fn a_failing_module_holds_up_nobody() {
    let mut world = World::of(&[wanted("bad", "a"), wanted("good", "b")], &[]);
    world.images.ready.insert("b".to_owned());
    assert_eq!(world.steps(), "pull bad", "its image is still hoped for");
    let pull = Action {
        key: key("bad"),
        step: Step::Pull,
        reason: Reason::Added,
        attempt: attempt(&world.wanted[0]),
    };
    world.memory.failed(&pull, "no such image".to_owned(), NOW);
    let decision = world.decide();
    assert_eq!(steps(&decision), "create good, start good");
    assert_eq!(decision.status["bad"], RuntimeStatus::Backoff);
    assert_eq!(decision.wake(), Some(NOW + SignedDuration::from_secs(20)));
    // Tried again, it still holds up nobody, and its own module waits for it.
    world.memory = Memory::default();
    world.memory.failed(&pull, "no such image".to_owned(), ago(20));
    let decision = world.decide();
    assert_eq!(steps(&decision), "pull bad, create good, start good");
    assert!(!decision.pulls_outstanding);
}

#[test]
fn failed_commands_are_tried_for_ever_with_a_capped_pause() {
    let mut world = World::of(&[wanted("m", "h")], &[]).with_images();
    let create = Action {
        key: key("m"),
        step: Step::Create,
        reason: Reason::Added,
        attempt: attempt(&world.wanted[0]),
    };
    let mut pauses = Vec::new();
    for _ in 0..30 {
        world.memory.failed(&create, "no".to_owned(), NOW);
        let wake = world.decide().wake().unwrap();
        pauses.push(wake.duration_since(NOW).as_secs());
    }
    assert_eq!(pauses[..6], [20, 40, 80, 160, 300, 300]);
    assert_eq!(pauses[29], 300);
    world.wanted[0].hash = "other".to_owned();
    world.images.ready.insert("other".to_owned());
    assert_eq!(world.steps(), "create m, start m", "a new spec starts afresh");
}

#[test]
fn earlier_orders_start_first() {
    let at = |name: &str, order| Wanted { order, ..wanted(name, name) };
    let world = World::of(&[at("late", 5), at("early", 0), at("also-early", 0)], &[]).with_images();
    let decision = world.decide();
    assert_eq!(steps(&decision), "create also-early, start also-early, create early, start early");
    assert!(decision.again);

    let up = [
        seen("early", "early", EngineStatus::Running),
        seen("also-early", "also-early", EngineStatus::Running),
    ];
    let mut world = World { seen: up.to_vec(), ..world };
    world.seen[0].health = Health::Starting;
    let decision = world.decide();
    assert_eq!(steps(&decision), "", "a health check is undecided");
    assert!(decision.waiting.iter().any(|waiting| waiting.why == WaitingFor::EarlierModules));
    for health in [Health::Healthy, Health::Unhealthy, Health::None] {
        world.seen[0].health = health;
        assert_eq!(world.steps(), "create late, start late");
    }
    world.seen[0].health = Health::Starting;
    world.seen[0].started = Some(ago(301));
    assert_eq!(world.steps(), "create late, start late", "undecided for too long");
    world.seen[0].health = Health::None;
    world.seen[0].status = EngineStatus::Failed;
    world.seen[0].exited = Some(ago(1));
    assert_eq!(
        world.steps(),
        "restart early, create late, start late".split(", create").next().unwrap(),
        "one order per pass"
    );
    world.memory.failed(
        &Action {
            key: key("early"),
            step: Step::Restart,
            reason: Reason::Policy { restart: 1 },
            attempt: attempt(&world.wanted[1]),
        },
        "no".to_owned(),
        ago(1),
    );
    assert_eq!(world.steps(), "create late, start late", "a failed module holds up nobody");
}

#[test]
fn later_orders_wait_for_readiness_but_not_for_ever() {
    let at = |name: &str, order| Wanted { order, ..wanted(name, name) };
    let late = "create late, start late";
    let early = |status, health| Seen { health, ..seen("early", "early", status) };
    let once = |status| Seen { exited: Some(ago(1)), ..seen("early", "early", status) };
    use EngineStatus as E;
    let table = [
        ("running", RestartPolicy::Always, Some(early(E::Running, Health::None)), 1, true),
        ("healthy", RestartPolicy::Always, Some(early(E::Running, Health::Healthy)), 1, true),
        ("undecided", RestartPolicy::Always, Some(early(E::Running, Health::Starting)), 1, false),
        ("undecided", RestartPolicy::Always, Some(early(E::Running, Health::Starting)), 200, false),
        (
            "unhealthy, left alone",
            RestartPolicy::Never,
            Some(early(E::Unhealthy, Health::Unhealthy)),
            1,
            true,
        ),
        ("done", RestartPolicy::OnFailure, Some(once(E::Stopped)), 1, true),
        ("of another spec", RestartPolicy::Always, Some(seen("early", "old", E::Running)), 1, false),
    ];
    for (case, policy, found, since, expected) in table {
        let wanted = [at("late", 5), Wanted { policy, ..at("early", 0) }];
        let mut world = World::of(&wanted, &found.into_iter().collect::<Vec<_>>());
        world.images.ready.insert("late".to_owned());
        world.since = Some(ago(since));
        // The image of the early one cannot be had.
        let pull = Action {
            key: key("early"),
            step: Step::Pull,
            reason: Reason::Added,
            attempt: attempt(&world.wanted[1]),
        };
        world.memory.failed(&pull, "no".to_owned(), ago(1));
        let decision = world.decide();
        assert_eq!(steps(&decision) == late, expected, "{case}: {decision:?}");
        if !expected {
            assert!(decision.wake().is_some(), "{case}: it ends by itself");
            world.since = Some(ago(301));
            for seen in &mut world.seen {
                seen.started = Some(ago(301));
            }
            assert_eq!(world.steps(), late, "{case}, for long");
        }
    }
}

#[test]
fn the_machine_restarted() {
    for (policy, expected) in [
        (RestartPolicy::Never, ""),
        (RestartPolicy::OnFailure, "start m"),
        (RestartPolicy::OnUnhealthy, "start m"),
        (RestartPolicy::Always, "start m"),
    ] {
        let mut world =
            World::of(&[Wanted { policy, ..wanted("m", "h") }], &[seen("m", "h", EngineStatus::Stopped)]);
        world.booted = Some(ago(30));
        assert_eq!(world.steps(), expected, "{policy:?}");
        world.booted = Some(ago(90));
        let by_policy = if policy == RestartPolicy::Always { "restart m" } else { "" };
        assert_eq!(world.steps(), by_policy, "{policy:?}: it ended by itself");
    }
}

#[test]
fn what_the_agent_stopped_starts_again_when_desired() {
    let mut world = World::of(
        &[Wanted { policy: RestartPolicy::Never, ..wanted("m", "h") }],
        &[seen("m", "h", EngineStatus::Failed)],
    );
    assert_eq!(world.steps(), "");
    world.memory.hold(&key("m"));
    assert_eq!(world.steps(), "start m");
    let start = world.decide().actions.remove(0);
    world.memory.succeeded(&start, NOW);
    assert_eq!(world.steps(), "");
}

#[test]
fn a_silent_runtime_is_left_alone() {
    let mut world = World::of(&[wanted("m", "h")], &[]).with_images();
    world.silent.insert(ModuleKind::Docker);
    let decision = world.decide();
    assert_eq!(steps(&decision), "");
    assert_eq!(decision.status["m"], RuntimeStatus::Unknown);
}

#[test]
fn a_module_moves_between_runtimes() {
    let process =
        Wanted { key: ModuleKey { kind: ModuleKind::Process, name: "m".to_owned() }, ..wanted("m", "new") };
    let world = World::of(&[process], &[seen("m", "old", EngineStatus::Running)]);
    assert_eq!(world.steps(), "stop m, remove m, create m, start m");
}

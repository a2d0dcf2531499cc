//! Trials and health checks as tables: when a configuration is good, and when it is given up.

use std::{collections::BTreeSet, time::Duration};

use hemline_agent::{
    decide::{
        Action, Goal, Memory, Reason, RestartPolicy, Step, Wanted, attempt,
        clock::Clock,
        health::Record,
        trial::{Course, DEADLINE, Evidence, Finding, Mark, RolledBack, Trial},
    },
    module::{EngineStatus, Health, HealthCheck, ModuleKey, ModuleKind, Probe, PullPolicy, Seen},
};
use jiff::{SignedDuration, Timestamp};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

fn key(name: &str) -> ModuleKey {
    ModuleKey { kind: ModuleKind::Docker, name: name.to_owned() }
}

fn wanted(name: &str) -> Wanted {
    Wanted {
        key: key(name),
        hash: "new".to_owned(),
        goal: Goal::Running,
        policy: RestartPolicy::Always,
        order: u32::MAX,
        pull: PullPolicy::OnCreate,
    }
}

fn seen(name: &str, status: EngineStatus, health: Health, started: i64) -> Seen {
    Seen {
        key: key(name),
        id: None,
        traits: std::collections::BTreeMap::new(),
        by_hand: false,
        paused: false,
        hash: Some("new".to_owned()),
        status,
        health,
        exit_code: Some(3),
        started: Some(ago(started)),
        exited: Some(ago(1)),
        description: "exited with code 3".to_owned(),
        image_hash: None,
    }
}

fn mark(version: u64, digest: &str) -> Mark {
    Mark { version, digest: digest.to_owned() }
}

fn trial() -> Trial {
    Trial { mark: mark(7, "d7"), since: ago(100), starts: 0, ailing: Some(BTreeSet::new()) }
}

struct Case {
    wanted: Vec<Wanted>,
    seen: Vec<Seen>,
    memory: Memory,
    paused: bool,
    clock: i64,
}

impl Case {
    fn of(wanted: Wanted, seen: Option<Seen>) -> Self {
        Self {
            wanted: vec![wanted],
            seen: seen.into_iter().collect(),
            memory: Memory::default(),
            paused: false,
            clock: 1,
        }
    }

    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            wanted: &self.wanted,
            seen: &self.seen,
            memory: &self.memory,
            paused: self.paused,
            busy: false,
            clock: ago(self.clock),
            deadline: DEADLINE,
            now: NOW,
        }
    }

    fn judge(&self, trial: &Trial) -> Finding {
        trial.judge(&self.evidence())
    }
}

#[test]
fn a_configuration_is_good_when_every_module_is_up() {
    use EngineStatus as E;
    let always = || wanted("m");
    let policy = |policy| Wanted { policy, ..wanted("m") };
    let stopped = || Wanted { goal: Goal::Stopped, ..wanted("m") };
    let of = |status, health, started| Some(seen("m", status, health, started));
    let old = Some(Seen { hash: Some("old".to_owned()), ..seen("m", E::Running, Health::None, 99) });
    let table = [
        ("steady", always(), of(E::Running, Health::None, 10), true),
        ("not yet steady", always(), of(E::Running, Health::None, 9), false),
        ("healthy", always(), of(E::Running, Health::Healthy, 1), true),
        ("healthy at once", always(), of(E::Running, Health::Healthy, 0), false),
        ("undecided", always(), of(E::Running, Health::Starting, 99), false),
        ("unhealthy", always(), of(E::Unhealthy, Health::Unhealthy, 99), false),
        ("not there", always(), None, false),
        ("the former one", always(), old, false),
        ("ended", always(), of(E::Stopped, Health::None, 99), false),
        ("ended well, once", policy(RestartPolicy::OnFailure), of(E::Stopped, Health::None, 99), true),
        ("failed, once", policy(RestartPolicy::Never), of(E::Failed, Health::None, 99), false),
        ("stopped", stopped(), of(E::Failed, Health::None, 99), true),
        ("does not stop", stopped(), of(E::Running, Health::None, 99), false),
    ];
    for (case, wanted, seen, good) in table {
        let mut case_of = Case::of(wanted, seen);
        let expected = if good { Finding::Good } else { Finding::Undecided };
        assert_eq!(case_of.judge(&trial()), expected, "{case}");
        case_of.clock = DEADLINE.as_secs();
        let late = matches!(case_of.judge(&trial()), Finding::TooLate(_));
        assert_eq!(late, !good, "{case}, late");
        case_of.paused = true;
        assert_eq!(case_of.judge(&trial()), Finding::Undecided, "{case}: no fault of the configuration");
    }
}

#[test]
fn the_reason_is_the_one_that_helps() {
    let mut case = Case::of(wanted("m"), None);
    case.clock = DEADLINE.as_secs();
    let action =
        Action { key: key("m"), step: Step::Pull, reason: Reason::Added, attempt: attempt(&case.wanted[0]) };
    case.memory.failed(&action, "no such image: camera:1.4".to_owned(), ago(1));
    assert_eq!(
        case.judge(&trial()),
        Finding::TooLate("not up within 1800 s: module m: no such image: camera:1.4".to_owned())
    );
}

#[test]
fn what_was_ill_before_and_is_left_alone_is_no_reason() {
    let case = Case {
        wanted: vec![wanted("changed"), wanted("ill")],
        seen: vec![
            Seen { hash: Some("old".to_owned()), ..seen("changed", EngineStatus::Failed, Health::None, 60) },
            seen("ill", EngineStatus::Failed, Health::None, 60),
        ],
        memory: Memory::default(),
        paused: false,
        clock: 1,
    };
    let ailing = case.evidence().ailing();
    assert_eq!(ailing, BTreeSet::from(["ill".to_owned()]), "the changed one has to prove itself");
    let trial = Trial { ailing: Some(ailing), ..trial() };
    let now = Case {
        seen: vec![seen("changed", EngineStatus::Running, Health::None, 60), case.seen[1].clone()],
        ..case
    };
    assert_eq!(now.judge(&trial), Finding::Good);
}

#[test]
fn a_configuration_that_takes_the_agent_down_is_given_up() {
    let mut course = Course::Trying(trial());
    let case = Case::of(wanted("m"), None);
    for start in 1..=6 {
        course = course.restarted();
        let Course::Trying(trial) = &course else { panic!("{course:?}") };
        assert_eq!(matches!(case.judge(trial), Finding::TooLate(_)), start > 5, "start {start}");
    }
}

#[test]
fn what_was_given_up_comes_again_with_a_new_version_only() {
    let back = RolledBack { mark: mark(7, "bad"), to: 6, reason: "why".to_owned(), since: ago(9) };
    let given_up = Course::RolledBack(back);
    let table = [
        (mark(7, "bad"), "rolled back"),
        (mark(8, "bad"), "trying"),
        (mark(7, "other"), "trying"),
        (mark(8, "good"), "good"),
    ];
    for (mark, expected) in table {
        let course = Course::with(Some(given_up.clone()), mark.clone(), Some("good"), NOW);
        let found = match &course {
            Course::Trying(_) => "trying",
            Course::Good { .. } => "good",
            Course::RolledBack(_) => "rolled back",
        };
        assert_eq!(found, expected, "{mark:?}");
        assert_eq!(course.clone().restarted().mark(), &mark);
    }
}

#[test]
fn answers_make_health() {
    let check = HealthCheck {
        probe: Probe::Tcp { port: 1 },
        interval_secs: 10,
        timeout_secs: 1,
        retries: 2,
        start_period_secs: 5,
    };
    use Health::{Healthy as H, Starting as S, Unhealthy as U};
    // Seconds after the start, the answer, the health after it.
    let table: [&[(u64, bool, Health)]; 5] = [
        &[(0, true, H), (10, false, H), (20, true, H), (30, false, H), (40, false, U), (50, true, H)],
        &[(0, false, S), (1, false, S), (4, false, S), (5, false, S), (6, false, U)],
        &[(3, false, S), (4, true, H)],
        &[(9, false, S), (10, false, U), (20, false, U), (30, true, H)],
        &[(1, true, H), (2, false, H), (3, false, U)],
    ];
    for row in table {
        let mut record = Record::default();
        for (up, passed, expected) in row {
            record = record.after(&check, *passed, Duration::from_secs(*up));
            assert_eq!(record.health, *expected, "{row:?} at {up} s");
            let pause = if record.health == S { 1 } else { 10 };
            assert_eq!(record.pause(&check), Duration::from_secs(pause));
        }
    }
}

#[test]
fn a_clock_that_is_set_ends_no_trial() {
    let deadline = DEADLINE.as_secs();
    let years = SignedDuration::from_hours(55 * 365 * 24);
    for (by, tried_for, late) in [
        (years, 60, false),
        (-years, 60, false),
        (SignedDuration::from_hours(-2), 60, false),
        // What took too long took too long.
        (years, deadline, true),
        (-years, deadline, true),
    ] {
        let begin = ago(deadline * 2);
        let mut wall = Clock::new(Duration::from_secs(9), begin);
        let set = NOW + by;
        let jump = wall.look(Duration::from_secs(9 + 2 * deadline.unsigned_abs()), set).unwrap();
        let case = Case::of(wanted("m"), None);
        let evidence = Evidence { clock: jump.shifted(ago(tried_for)), now: set, ..case.evidence() };
        let found = trial().judge(&evidence);
        assert_eq!(matches!(found, Finding::TooLate(_)), late, "{by} {tried_for}: {found:?}");
        let Course::Trying(moved) = Course::Trying(trial()).shifted(&jump) else { panic!("still tried") };
        assert_eq!(moved.since, trial().since + by);
    }
}

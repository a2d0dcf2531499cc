//! Decisions carried out on a naïve model of engines reach what is desired, whatever the start and whatever fails.

use std::collections::{BTreeMap, BTreeSet};

use hemline_agent::{
    decide::{Goal, Images, Memory, RestartPolicy, Situation, Step, Wanted, decide},
    module::{EngineStatus, Health, ModuleKey, ModuleKind, PullPolicy, Seen},
};
use hemline_model::edge::DriftRules;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

struct Engine {
    modules: BTreeMap<ModuleKey, Seen>,
    images: Images,
    /// Modules on which nothing succeeds.
    cursed: BTreeSet<String>,
}

impl Engine {
    fn apply(&mut self, step: Step, key: &ModuleKey, hash: &str, now: Timestamp) -> Result<(), String> {
        if self.cursed.contains(&key.name) {
            return Err("cursed".to_owned());
        }
        match step {
            Step::Mend => {}
            Step::Pull => {
                self.images.ready.insert(hash.to_owned());
            }
            Step::Create => {
                if self.modules.contains_key(key) {
                    return Err("is there already".to_owned());
                }
                let made = module(key.clone(), hash.to_owned(), EngineStatus::Stopped);
                self.modules.insert(key.clone(), Seen { started: None, exited: None, ..made });
            }
            Step::Start | Step::Restart => {
                let module = self.modules.get_mut(key).ok_or("is not there")?;
                module.status = EngineStatus::Running;
                module.started = Some(now);
            }
            Step::Stop => {
                let module = self.modules.get_mut(key).ok_or("is not there")?;
                module.status = EngineStatus::Failed;
                module.exited = Some(now);
            }
            Step::Remove => {
                self.modules.remove(key).ok_or("is not there")?;
            }
        }
        Ok(())
    }
}

fn module(key: ModuleKey, hash: String, status: EngineStatus) -> Seen {
    Seen {
        key,
        id: None,
        traits: BTreeMap::new(),
        by_hand: false,
        paused: false,
        hash: Some(hash),
        status,
        health: Health::None,
        exit_code: None,
        started: Some(START),
        exited: Some(START),
        description: String::new(),
        image_hash: None,
    }
}

fn key(name: u8) -> impl Strategy<Value = ModuleKey> {
    let kind = prop_oneof![Just(ModuleKind::Docker), Just(ModuleKind::Process)];
    kind.prop_map(move |kind| ModuleKey { kind, name: format!("m{name}") })
}

fn some_wanted() -> impl Strategy<Value = Vec<Wanted>> {
    let one = |name: u8| {
        let goal = prop_oneof![3 => Just(Goal::Running), 1 => Just(Goal::Stopped)];
        let pull = prop_oneof![Just(PullPolicy::OnCreate), Just(PullPolicy::Never)];
        let order = prop_oneof![Just(0), Just(1), Just(u32::MAX)];
        (key(name), 0..3u8, goal, pull, order).prop_map(|(key, hash, goal, pull, order)| Wanted {
            key,
            hash: format!("h{hash}"),
            goal,
            policy: RestartPolicy::Always,
            order,
            pull,
        })
    };
    let modules: Vec<_> = (0..6).map(one).collect();
    (modules, prop::collection::vec(any::<bool>(), 6)).prop_map(|(all, keep)| {
        all.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect()
    })
}

fn some_seen() -> impl Strategy<Value = Vec<Seen>> {
    let one = |name: u8| {
        let status = prop_oneof![
            Just(EngineStatus::Running),
            Just(EngineStatus::Stopped),
            Just(EngineStatus::Failed),
            Just(EngineStatus::Unhealthy),
            Just(EngineStatus::Dead),
        ];
        (key(name), 0..3u8, status).prop_map(|(key, hash, status)| module(key, format!("h{hash}"), status))
    };
    let modules: Vec<_> = (0..8).map(one).collect();
    (modules, prop::collection::vec(any::<bool>(), 8)).prop_map(|(all, keep)| {
        all.into_iter().zip(keep).filter_map(|(one, keep)| keep.then_some(one)).collect()
    })
}

fn run(wanted: &[Wanted], seen: Vec<Seen>, cursed: BTreeSet<String>) -> Engine {
    let modules = seen.into_iter().map(|seen| (seen.key.clone(), seen)).collect();
    let mut engine = Engine { modules, images: Images::default(), cursed };
    let mut memory = Memory::default();
    let mut now = START + SignedDuration::from_secs(1);
    for _ in 0..60 {
        let seen: Vec<Seen> = engine.modules.values().cloned().collect();
        let decision = decide(&Situation {
            wanted,
            seen: &seen,
            silent: &BTreeSet::new(),
            memory: &memory,
            images: &engine.images,
            now,
            drift: &DriftRules::default(),
            since: START,
            booted: None,
        });
        let mut failed = BTreeSet::new();
        for action in &decision.actions {
            if failed.contains(&action.key) {
                continue;
            }
            let hash = wanted.iter().find(|one| one.key == action.key).map_or("", |one| one.hash.as_str());
            match engine.apply(action.step, &action.key, hash, now) {
                Ok(()) => memory.succeeded(action, now),
                Err(error) => {
                    assert!(engine.cursed.contains(&action.key.name), "{action:?}: {error}");
                    memory.failed(action, error, now);
                    failed.insert(action.key.clone());
                }
            }
        }
        if decision.actions.is_empty() && !decision.again {
            match decision.wake() {
                Some(wake) => now = wake,
                None => break,
            }
        }
    }
    engine
}

fn as_desired(engine: &Engine, wanted: &Wanted) -> bool {
    engine.modules.get(&wanted.key).is_some_and(|seen| {
        let up = seen.status == EngineStatus::Running;
        seen.hash.as_deref() == Some(wanted.hash.as_str()) && up == (wanted.goal == Goal::Running)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reaches_what_is_desired(wanted in some_wanted(), seen in some_seen()) {
        let engine = run(&wanted, seen, BTreeSet::new());
        for one in &wanted {
            prop_assert!(as_desired(&engine, one), "{:?}", engine.modules.get(&one.key));
        }
        prop_assert_eq!(engine.modules.len(), wanted.len(), "nothing else is left");
    }

    #[test]
    fn reaches_it_for_all_but_the_failing(wanted in some_wanted(), seen in some_seen(), cursed in prop::collection::btree_set(0..6u8, 0..3)) {
        let cursed: BTreeSet<String> = cursed.into_iter().map(|name| format!("m{name}")).collect();
        let engine = run(&wanted, seen, cursed.clone());
        for one in wanted.iter().filter(|one| !cursed.contains(&one.key.name)) {
            prop_assert!(as_desired(&engine, one), "{:?}", engine.modules.get(&one.key));
        }
    }

    #[test]
    fn a_second_look_changes_nothing(wanted in some_wanted(), seen in some_seen()) {
        let engine = run(&wanted, seen, BTreeSet::new());
        let seen: Vec<Seen> = engine.modules.values().cloned().collect();
        let decision = decide(&Situation {
            wanted: &wanted,
            seen: &seen,
            silent: &BTreeSet::new(),
            memory: &Memory::default(),
            images: &Images::default(),
            now: START + SignedDuration::from_hours(1),
            drift: &DriftRules::default(),
            since: START,
            booted: None,
        });
        prop_assert_eq!(decision.actions, vec![]);
    }
}

//! What to do next: desired × observed × memory × now → ordered actions with reasons. Pure: no runtime, no clock.
//!
//! Semantics: reference edge-runtime §3.3–3.7 with the repairs of design §10: every image is there before anything stops,
//! one failing module never holds up another, failed commands are retried for ever with a capped pause.
//! Not here: carrying the actions out (`reconcile/execute.rs`).

mod chain;
pub mod clock;
pub mod drift;
mod gate;
pub mod health;
pub mod memory;
pub mod restart;
pub mod shelf;
pub mod spec_hash;
pub mod trial;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hemline_model::edge::DriftRules;
use jiff::{SignedDuration, Timestamp};

use crate::module::{EngineStatus, ModuleKey, ModuleKind, PullPolicy, RuntimeStatus, Seen};
use chain::{
    CLEAR, CLEAR_AND_RUN, Chain, MAKE, MAKE_AND_RUN, REMAKE, REMAKE_AND_RUN, TAKE_AWAY, TAKE_AWAY_STOPPED,
};
use drift::{Cure, Difference, Order};
pub use memory::{Failure, Memory, Remembered};
pub use restart::RestartPolicy;

/// A module that has run that long gets its restart count cleared (reference edge-runtime §3.4).
const HEALTHY_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// The part of a desired module that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Name and runtime.
    pub key: ModuleKey,
    /// Spec hash.
    pub hash: String,
    /// `status`
    pub goal: Goal,
    /// `restartPolicy`
    pub policy: RestartPolicy,
    /// `startupOrder`: lower starts first.
    pub order: u32,
    /// `imagePullPolicy`
    pub pull: PullPolicy,
}

/// Desired `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Keep it running.
    Running,
    /// Keep it stopped.
    Stopped,
}

/// Where images are, by spec hash.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// Pulled since the spec came.
    pub ready: BTreeSet<String>,
    /// On their way.
    pub pulling: BTreeSet<String>,
}

/// All that a decision depends on.
#[derive(Debug)]
pub struct Situation<'a> {
    /// Desired modules.
    pub wanted: &'a [Wanted],
    /// Modules found, of every runtime that answered.
    pub seen: &'a [Seen],
    /// Runtimes that did not answer: their modules are left alone and reported as unknown.
    pub silent: &'a BTreeSet<ModuleKind>,
    /// What the agent remembers.
    pub memory: &'a Memory,
    /// Where images are.
    pub images: &'a Images,
    /// The instant of the decision.
    pub now: Timestamp,
    /// Since when this configuration is kept up by this agent: the bounds of `startupOrder` count from then.
    pub since: Timestamp,
    /// What happens to what somebody changed by hand.
    pub drift: &'a DriftRules,
    /// When the machine booted, if known: what stopped before that did not stop by itself.
    pub booted: Option<Timestamp>,
}

/// The outcome of one decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// In order. After a failure the later actions on the same module are skipped, no others.
    pub actions: Vec<Action>,
    /// `runtimeStatus` per desired module as of now.
    pub status: BTreeMap<String, RuntimeStatus>,
    /// Modules whose restart count has to be forgotten, because they were healthy for long.
    pub healthy: Vec<ModuleKey>,
    /// What is not done now, and until when.
    pub waiting: Vec<Waiting>,
    /// Images are still being fetched, so the new configuration is not in force yet.
    pub pulls_outstanding: bool,
    /// A later startup order waits only for this pass to end.
    pub again: bool,
    /// What somebody changed by hand.
    pub drift: Vec<Difference>,
}

impl Decision {
    /// The next instant at which waiting ends.
    #[must_use]
    pub fn wake(&self) -> Option<Timestamp> {
        self.waiting.iter().filter_map(|waiting| waiting.until).min()
    }
}

/// One step for a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// The module.
    pub key: ModuleKey,
    /// The step.
    pub step: Step,
    /// Why.
    pub reason: Reason,
    /// Under which a failure is remembered; a new goal or spec starts afresh.
    pub attempt: String,
}

/// Steps a runtime can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch the image.
    Pull,
    /// Make the module, not started.
    Create,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Take it away, running or not.
    Remove,
    /// Stop and start because its policy says so; counted.
    Restart,
    /// Put back what somebody changed in place.
    Mend,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Restart => "restart",
            Self::Mend => "mend",
        })
    }
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not there.
    Added,
    /// Made from another spec.
    SpecChanged,
    /// The engine calls it dead.
    Dead,
    /// No longer desired.
    NotDesired,
    /// Desired stopped, but it runs.
    DesiredStopped,
    /// Made, but never started.
    NeverStarted,
    /// Stopped by this agent earlier, desired running now.
    DesiredRunning,
    /// Somebody changed it by hand.
    Drifted,
    /// Went down with the machine.
    MachineRestarted,
    /// Restart number n of its policy.
    Policy {
        /// Counted from 1.
        restart: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("desired and not there"),
            Self::SpecChanged => f.write_str("its settings changed"),
            Self::Dead => f.write_str("the engine calls it dead"),
            Self::NotDesired => f.write_str("no longer desired"),
            Self::DesiredStopped => f.write_str("desired stopped"),
            Self::NeverStarted => f.write_str("created but never started"),
            Self::DesiredRunning => f.write_str("desired running again"),
            Self::Drifted => f.write_str("somebody changed it by hand"),
            Self::MachineRestarted => f.write_str("stopped with the machine"),
            Self::Policy { restart } => write!(f, "restart {restart} by its restart policy"),
        }
    }
}

/// Something that is not done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The module.
    pub key: ModuleKey,
    /// Until when, if it ends by time.
    pub until: Option<Timestamp>,
    /// For what.
    pub why: WaitingFor,
}

/// What a module waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// The pause before a restart by policy.
    RestartPause,
    /// The pause after a failed command.
    RetryPause,
    /// Images, its own or another module's.
    Images,
    /// Modules of an earlier startup order.
    EarlierModules,
    /// A runtime that does not answer.
    Runtime,
}

/// Decides. Calling it again with the same situation gives the same answer.
#[must_use]
pub fn decide(situation: &Situation<'_>) -> Decision {
    let mut decision = Decision { drift: drift::differences(situation), ..Decision::default() };
    let seen: BTreeMap<&ModuleKey, &Seen> = situation.seen.iter().map(|seen| (&seen.key, seen)).collect();
    let mut chains = removals(situation);
    for wanted in situation.wanted {
        let change = judge(situation, wanted, seen.get(&wanted.key).copied(), &mut decision);
        chains.extend(change.map(|(steps, reason)| Chain::of(wanted, steps, reason)));
    }
    chains.retain(|chain| chain.is_due(situation, &mut decision));
    emit(situation, chains, &mut decision);
    decision
}

/// Attempt under which the removal of a module is made.
pub const REMOVAL: &str = "remove";

/// Under which attempt the steps towards a desired module are made: another goal or spec starts afresh.
#[must_use]
pub fn attempt(wanted: &Wanted) -> String {
    match wanted.goal {
        Goal::Running => format!("run {}", wanted.hash),
        Goal::Stopped => format!("hold {}", wanted.hash),
    }
}

impl Decision {
    fn wait(&mut self, key: &ModuleKey, until: Option<Timestamp>, why: WaitingFor) {
        self.waiting.push(Waiting { key: key.clone(), until, why });
    }
}

fn removals(situation: &Situation<'_>) -> Vec<Chain> {
    let wanted: BTreeSet<&ModuleKey> = situation.wanted.iter().map(|wanted| &wanted.key).collect();
    let gone = situation.seen.iter().filter(|seen| !wanted.contains(&seen.key));
    gone.map(|seen| Chain {
        key: seen.key.clone(),
        hash: seen.hash.clone().unwrap_or_default(),
        order: None,
        steps: if seen.status.is_up() { TAKE_AWAY } else { TAKE_AWAY_STOPPED },
        reason: Reason::NotDesired,
        attempt: REMOVAL.to_owned(),
        pull: PullPolicy::Never,
    })
    .collect()
}

type Change = Option<(&'static [Step], Reason)>;

fn judge(situation: &Situation<'_>, wanted: &Wanted, seen: Option<&Seen>, decision: &mut Decision) -> Change {
    let run = wanted.goal == Goal::Running;
    let name = wanted.key.name.clone();
    if situation.silent.contains(&wanted.key.kind) {
        decision.status.insert(name, RuntimeStatus::Unknown);
        decision.wait(&wanted.key, None, WaitingFor::Runtime);
        return None;
    }
    let order = drift::order(&decision.drift, &wanted.key);
    let Some(seen) = seen else {
        if matches!(order, Order::LeaveAlone) {
            decision.status.insert(name, RuntimeStatus::Stopped);
            return None;
        }
        let failed = situation.memory.retry_at(&wanted.key, &attempt(wanted));
        let status = if failed.is_some() { RuntimeStatus::Backoff } else { RuntimeStatus::Stopped };
        decision.status.insert(name, status);
        let reason = if matches!(order, Order::Put(_)) { Reason::Drifted } else { Reason::Added };
        return Some((if run { MAKE_AND_RUN } else { MAKE }, reason));
    };
    let same = seen.hash.as_deref() == Some(wanted.hash.as_str());
    let (status, change) = match (wanted.goal, order) {
        (_, Order::Put(cure)) if same => heal(situation, wanted, seen, cure),
        // Left as somebody put it; what died by itself while it was changed is started all the same.
        (_, Order::LeaveAlone) if seen.by_hand || seen.paused => (RuntimeStatus::Stopped, None),
        (Goal::Stopped, Order::LeaveAlone) if seen.status.is_up() => (RuntimeStatus::Running, None),
        (Goal::Running, _) => should_run(situation, wanted, seen, decision),
        (Goal::Stopped, _) => should_stand(seen),
    };
    decision.status.insert(name, status);
    if !same {
        return Some((anew(seen, run), Reason::SpecChanged));
    }
    match seen.status {
        EngineStatus::Dead => Some((if run { CLEAR_AND_RUN } else { CLEAR }, Reason::Dead)),
        EngineStatus::Running
        | EngineStatus::Stopped
        | EngineStatus::Failed
        | EngineStatus::Unhealthy
        | EngineStatus::Unknown => change,
    }
}

/// The steps that make a module anew.
fn anew(seen: &Seen, run: bool) -> &'static [Step] {
    match (seen.status.is_up() || seen.paused, run) {
        (true, true) => REMAKE_AND_RUN,
        (true, false) => REMAKE,
        (false, true) => CLEAR_AND_RUN,
        (false, false) => CLEAR,
    }
}

/// Puts right what somebody changed by hand. It is no crash, so it is not counted as one, and nobody waits for it.
fn heal(situation: &Situation<'_>, wanted: &Wanted, seen: &Seen, cure: Cure) -> (RuntimeStatus, Change) {
    let run = wanted.goal == Goal::Running;
    let steps: &'static [Step] = match cure {
        Cure::Start => &[Step::Start],
        Cure::Restart => &[Step::Stop, Step::Start],
        Cure::Stop => &[Step::Stop],
        Cure::Mend => &[Step::Mend],
        Cure::Remake => anew(seen, run),
    };
    let status = match seen.status {
        EngineStatus::Running => RuntimeStatus::Running,
        EngineStatus::Unhealthy => RuntimeStatus::Unhealthy,
        EngineStatus::Dead => RuntimeStatus::Dead,
        EngineStatus::Stopped | EngineStatus::Failed | EngineStatus::Unknown => RuntimeStatus::Stopped,
    };
    let failed = situation.memory.retry_at(&wanted.key, &attempt(wanted)).is_some();
    (if failed && run { RuntimeStatus::Backoff } else { status }, Some((steps, Reason::Drifted)))
}

fn should_stand(seen: &Seen) -> (RuntimeStatus, Change) {
    match seen.status {
        EngineStatus::Running => (RuntimeStatus::Running, Some((&[Step::Stop], Reason::DesiredStopped))),
        EngineStatus::Unhealthy => (RuntimeStatus::Unhealthy, Some((&[Step::Stop], Reason::DesiredStopped))),
        // A module that we stopped often ends with a signal's exit code: it stands, and that is what was asked for.
        EngineStatus::Stopped | EngineStatus::Failed => (RuntimeStatus::Stopped, None),
        EngineStatus::Dead => (RuntimeStatus::Dead, None),
        EngineStatus::Unknown => (RuntimeStatus::Unknown, None),
    }
}

fn should_run(
    situation: &Situation<'_>,
    wanted: &Wanted,
    seen: &Seen,
    decision: &mut Decision,
) -> (RuntimeStatus, Change) {
    let remembered = situation.memory.of(&wanted.key);
    let restarts = situation.memory.restarts(&wanted.key);
    if !seen.status.is_up() && matches!(seen.status, EngineStatus::Stopped | EngineStatus::Failed) {
        let start = if remembered.is_some_and(|remembered| remembered.held) {
            Some(Reason::DesiredRunning)
        } else if seen.started.is_none() {
            Some(Reason::NeverStarted)
        } else if wanted.policy > RestartPolicy::Never && went_down_with_machine(situation, seen) {
            Some(Reason::MachineRestarted)
        } else {
            None
        };
        if let Some(reason) = start {
            let failed = situation.memory.retry_at(&wanted.key, &attempt(wanted)).is_some();
            let status = if failed { RuntimeStatus::Backoff } else { RuntimeStatus::Stopped };
            return (status, Some((&[Step::Start], reason)));
        }
    }
    let status = restart::compute(seen.status, wanted.policy, restarts);
    if restart::owed(seen.status, wanted.policy) {
        let due = restart::due(restarts, seen.exited, situation.now);
        if due > situation.now {
            decision.wait(&wanted.key, Some(due), WaitingFor::RestartPause);
            return (status, None);
        }
        let restart = restarts.saturating_add(1);
        return (status, Some((&[Step::Restart], Reason::Policy { restart })));
    }
    let long = || seen.started.is_some_and(|at| situation.now.duration_since(at) > HEALTHY_AFTER);
    if status == RuntimeStatus::Running && remembered.is_some_and(Remembered::counts) && long() {
        decision.healthy.push(wanted.key.clone());
    }
    (status, None)
}

fn went_down_with_machine(situation: &Situation<'_>, seen: &Seen) -> bool {
    situation.booted.is_some_and(|booted| seen.started.is_some_and(|started| started < booted))
}

// === Ordering ===

fn emit(situation: &Situation<'_>, chains: Vec<Chain>, decision: &mut Decision) {
    decision.pulls_outstanding = fetch(situation, &chains, decision);
    let outstanding = decision.pulls_outstanding;
    let waits =
        |chain: &Chain| chain.needs_image(situation.images) || (outstanding && chain.waits_for_images());
    let (later, mut ready): (Vec<Chain>, Vec<Chain>) = chains.into_iter().partition(waits);
    for chain in later {
        decision.wait(&chain.key, None, WaitingFor::Images);
    }
    ready.sort_by(|a, b| (a.order, &a.key).cmp(&(b.order, &b.key)));
    let gate = gate::lowest(situation);
    let mut started: Option<u32> = None;
    for chain in ready {
        if let Some(order) = chain.order.filter(|_| chain.starts_something()) {
            if let Some(gate) = gate.as_ref().filter(|gate| gate.order < order) {
                decision.wait(&chain.key, Some(gate.until), WaitingFor::EarlierModules);
                continue;
            }
            // One startup order per pass, so that the next pass sees how the earlier modules are.
            if started.is_some_and(|earlier| earlier < order) {
                decision.wait(&chain.key, None, WaitingFor::EarlierModules);
                decision.again = true;
                continue;
            }
            started = Some(order);
        }
        let actions = chain.steps.iter().map(|step| chain.action(*step));
        decision.actions.extend(actions);
    }
}

/// Asks for missing images; true while any is on its way for the first time. After a failure only its own module waits.
fn fetch(situation: &Situation<'_>, chains: &[Chain], decision: &mut Decision) -> bool {
    let mut outstanding = false;
    for chain in chains.iter().filter(|chain| chain.needs_image(situation.images)) {
        outstanding |= situation.memory.retry_at(&chain.key, &chain.attempt).is_none();
        if !situation.images.pulling.contains(&chain.hash) {
            decision.actions.push(chain.action(Step::Pull));
        }
    }
    outstanding
}

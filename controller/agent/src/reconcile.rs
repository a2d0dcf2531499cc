//! The loop: something changed → look at everything → decide → act → report. One pass at a time; a nudge carries no data.
//!
//! Passes are caused by the desired configuration, identities, events of a runtime, images that arrived, and time. Pulls
//! run beside the loop, so a slow registry never holds up a restart. Not here: what to do (`decide.rs`).

mod clock;
mod course;
pub mod execute;
pub mod report;
pub mod store;
mod tidy;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use hemline_model::edge::{AgentDesired, DesiredStatus, HemlineReported};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    agent::{AgentStatus, ModuleState},
    decide::{
        self, Decision, Images, Memory, Situation, Wanted, clock::Clock, drift, shelf::Shelf, trial::Course,
    },
    health::Checks,
    module::{Identities, ModuleKey, ModuleKind, ModuleSpec, RuntimeStatus, Seen},
    runtime::{Runtime, RuntimeError, RuntimeEvent},
    secrets::Secrets,
    spec::{self, Own, Site},
    uplink::{DesiredDocument, LinkState},
    workload::Workload,
};
use execute::Fetched;
use store::Store;

/// Between two looks without any reason (reference edge-runtime §3.1).
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The same while a configuration is being tried.
const LOOK_AGAIN_AT_A_TRIAL: Duration = Duration::from_secs(1);

/// A runtime that hangs must not hold up the modules of the other for longer.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// At least that long between two passes that follow from each other.
const BREATH: Duration = Duration::from_millis(20);

/// Stopping every module at the end.
const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Telling the hub about the end.
const FAREWELL_DEADLINE: Duration = Duration::from_secs(3);

/// Runtimes by the kind of module they run.
pub type Runtimes = BTreeMap<ModuleKind, Arc<dyn Runtime>>;

/// The ends that the loop works on.
pub struct ReconcileEnds {
    /// Desired configuration.
    pub desired: watch::Receiver<Option<Arc<DesiredDocument>>>,
    /// Module identities.
    pub identities: watch::Receiver<Arc<Identities>>,
    /// Connection to the hub.
    pub link: watch::Receiver<LinkState>,
    /// Events of runtimes.
    pub events: mpsc::Receiver<RuntimeEvent>,
    /// What should be reported.
    pub report: watch::Sender<Option<Map<String, Value>>>,
    /// What the hub has taken of that.
    pub acknowledged: watch::Receiver<Option<Map<String, Value>>>,
    /// For whoever looks on from this process.
    pub status: watch::Sender<AgentStatus>,
}

/// The state of the loop.
pub struct Reconciler {
    site: Site,
    runtimes: Runtimes,
    workload: Workload,
    store: Store,
    ends: ReconcileEnds,
    memory: Memory,
    saved: Memory,
    images: Images,
    pulls: JoinSet<Fetched>,
    checks: Checks,
    secrets: Secrets,
    /// Why modules wait for a secret, as said in the log.
    closed: BTreeMap<String, String>,
    /// Images that this agent fetched, and when they were looked through.
    shelf: Shelf,
    tidied: Timestamp,
    tidy_every: SignedDuration,
    /// The configuration that is being kept up.
    in_force: Option<InForce>,
    /// What became of the newest configuration that could be read.
    course: Option<Course>,
    /// The last good one.
    good: Option<Arc<DesiredDocument>>,
    kept_good: Option<Arc<DesiredDocument>>,
    /// Whether the clock on the wall goes on as it should.
    wall: Clock,
    /// Since when the deadline of a trial runs.
    clock: Timestamp,
    /// A newer one that cannot be read, or was given up.
    refused: Option<(u64, DesiredStatus)>,
    /// `lastDesiredVersion` and `lastDesiredStatus` as last reported.
    outcome: (u64, DesiredStatus),
    started: Timestamp,
    /// Since when the configuration in force is kept up by this agent.
    since: Timestamp,
}

/// A configuration that could be read.
pub struct InForce {
    /// `$version`
    pub version: u64,
    /// What it says.
    pub desired: AgentDesired,
}

/// What one look found and what it is compared with.
pub struct View {
    /// Desired modules that can be made.
    pub wanted: Vec<Wanted>,
    /// How to make them.
    pub specs: BTreeMap<ModuleKey, ModuleSpec>,
    /// Desired modules that cannot be made yet, and why: no identity, or no secret.
    pub unready: BTreeMap<String, String>,
    /// Modules found.
    pub seen: Vec<Seen>,
    /// Runtimes that did not answer, and why.
    pub silent: BTreeMap<ModuleKind, String>,
    /// How often the clock on the wall was set before.
    pub clock_sets: u64,
}

/// Prepares the loop from what is on disk.
#[must_use]
pub fn prepare(
    site: Site,
    runtimes: Runtimes,
    workload: Workload,
    store: Store,
    ends: ReconcileEnds,
) -> Reconciler {
    let memory = store.load_memory();
    // One instant for all: times of this run are those since its begin.
    let now = Timestamp::now();
    let (course, good) = store.load_course();
    let good = good.map(Arc::new);
    Reconciler {
        site,
        runtimes,
        workload,
        ends,
        saved: memory.clone(),
        memory,
        images: Images::default(),
        pulls: JoinSet::new(),
        checks: Checks::default(),
        secrets: store.secrets(),
        closed: BTreeMap::new(),
        shelf: store.load_shelf(),
        tidied: now,
        tidy_every: tidy::EVERY,
        in_force: None,
        course: course.map(Course::restarted),
        kept_good: good.clone(),
        good,
        wall: Clock::new(clock::steady(), now),
        clock: now,
        refused: None,
        outcome: (0, DesiredStatus::default()),
        started: now,
        since: now,
        store,
    }
}

impl Reconciler {
    /// Runs until `stop`; then stops the modules if `stop_modules` says so, and says goodbye.
    pub async fn run(mut self, stop: CancellationToken, stop_modules: bool) {
        self.take_identities();
        self.take_desired();
        loop {
            let next = self.pass().await;
            if !self.wait(next, &stop).await {
                break;
            }
        }
        self.finish(stop_modules).await;
    }

    /// Waits for a reason for the next pass; false at the end.
    async fn wait(&mut self, next: Duration, stop: &CancellationToken) -> bool {
        // Every arm waits for one message and loses nothing when another wins.
        tokio::select! {
            changed = self.ends.desired.changed() => {
                self.take_desired();
                changed.is_ok()
            }
            changed = self.ends.identities.changed() => {
                self.take_identities();
                changed.is_ok()
            }
            changed = self.ends.link.changed() => changed.is_ok(),
            event = self.ends.events.recv() => {
                // One look answers all of them.
                while self.ends.events.try_recv().is_ok() {}
                event.is_some()
            }
            Some(fetched) = self.pulls.join_next() => {
                self.take_pull(fetched);
                true
            }
            () = self.checks.changed() => true,
            () = tokio::time::sleep(next) => true,
            () = stop.cancelled() => false,
        }
    }

    fn take_identities(&mut self) {
        let identities = self.ends.identities.borrow_and_update().clone();
        self.store.save_identities(&identities);
        self.workload.set_identities((*identities).clone());
    }

    /// One pass. Returns how long there is nothing to do without a reason.
    async fn pass(&mut self) -> Duration {
        let mut view = self.look().await;
        self.notice_images(&view);
        let decision = self.decide(&view);
        drift::note(&mut self.memory.drift, &decision.drift, Timestamp::now());
        if decision.pulls_outstanding {
            // Nothing has begun to change yet.
            self.since = self.now();
        }
        self.note_ailing(&view, &decision);
        self.prepare_sockets(&view);
        let acted = self.execute(&view, &decision).await;
        for key in &decision.healthy {
            self.memory.healthy(key);
        }
        if acted {
            // Reported is what is, not what was before.
            let looked = self.look().await;
            view.seen = looked.seen;
            view.clock_sets = looked.clock_sets;
        }
        let after = self.decide(&view);
        self.forget(&view);
        self.memory.notice(&view.wanted, &view.seen);
        drift::note(&mut self.memory.drift, &after.drift, Timestamp::now());
        self.tidy(&view).await;
        let went_back = self.judge_trial(&view, &after);
        self.report(&view, &after);
        self.save_memory();
        if went_back {
            return BREATH;
        }
        if acted || decision.again {
            return BREATH;
        }
        let wake = after.wake().map(|at| at.duration_since(Timestamp::now()));
        let trial = matches!(self.course, Some(Course::Trying(_)));
        let at_most = if trial { LOOK_AGAIN_AT_A_TRIAL } else { LOOK_AGAIN };
        wake.and_then(|wait| Duration::try_from(wait).ok())
            .map_or(at_most, |wait| wait.clamp(BREATH, at_most))
    }

    async fn look(&mut self) -> View {
        let mut view = View {
            wanted: Vec::new(),
            specs: BTreeMap::new(),
            unready: BTreeMap::new(),
            seen: Vec::new(),
            silent: BTreeMap::new(),
            clock_sets: 0,
        };
        // The workload API must know a generation before a module is told of it.
        if self.ends.identities.has_changed().unwrap_or(false) {
            self.take_identities();
        }
        let identities = self.ends.identities.borrow().clone();
        if let Some(in_force) = &self.in_force {
            // Of a module that went nobody waits any more.
            self.closed.retain(|name, _| in_force.desired.modules.contains_key(name));
            for (name, module) in &in_force.desired.modules {
                let Some(identity) = identities.get(name) else {
                    let why = format!("module {name:?} has no identity yet; it is asked for again");
                    view.unready.insert(name.clone(), why);
                    continue;
                };
                let secrets = match self.secrets.of(module) {
                    Ok(secrets) => secrets,
                    Err(error) => {
                        let why = format!("module {name:?}: {}", crate::causes(&error));
                        if self.closed.get(name) != Some(&why) {
                            tracing::warn!(module = %name, "{why}; it stays as it is");
                            self.closed.insert(name.clone(), why.clone());
                        }
                        view.unready.insert(name.clone(), why);
                        continue;
                    }
                };
                if self.closed.remove(name).is_some() {
                    tracing::info!(module = %name, "its secrets can be read now");
                }
                let socket = self.workload.socket(name);
                let own = Own { identity, socket: &socket, secrets: &secrets };
                let (wanted, mut spec) = spec::build(&self.site, &in_force.desired, name, module, own);
                if let Some(made) =
                    self.memory.of(&wanted.key).and_then(|remembered| remembered.made.as_ref())
                {
                    spec.traits.clone_from(&made.traits);
                }
                view.specs.insert(wanted.key.clone(), spec);
                view.wanted.push(wanted);
            }
        }
        let lists = self.runtimes.iter().map(|(kind, runtime)| async {
            (*kind, tokio::time::timeout(LOOK_DEADLINE, runtime.list()).await)
        });
        for (kind, list) in futures_util::future::join_all(lists).await {
            let Ok(list) = list else {
                view.silent.insert(kind, format!("it did not answer within {} s", LOOK_DEADLINE.as_secs()));
                continue;
            };
            match list {
                Ok(seen) => view.seen.extend(seen),
                Err(RuntimeError::Unavailable { reason, .. }) => {
                    view.silent.insert(kind, reason);
                }
                Err(error) => {
                    view.silent.insert(kind, error.full());
                }
            }
        }
        self.checks.follow(&self.runtimes, &view.specs, &view.seen);
        self.checks.judge(&view.specs, &mut view.seen);
        let now = self.now();
        self.put_times_right(&mut view.seen, now);
        view.clock_sets = self.wall.sets();
        view
    }

    /// A container proves that its image is here: one that is removed by hand comes back without asking a registry.
    fn notice_images(&mut self, view: &View) {
        let containers = view.seen.iter().filter(|seen| seen.key.kind == ModuleKind::Docker);
        self.images.ready.extend(containers.filter_map(|seen| seen.hash.clone()));
    }

    fn decide(&self, view: &View) -> Decision {
        if self.in_force.is_none() {
            // Without any configuration nothing is known to be wrong.
            return Decision::default();
        }
        let hemline = self.in_force.as_ref().and_then(|in_force| in_force.desired.hemline.as_ref());
        let rules = hemline.and_then(|hemline| hemline.drift.clone()).unwrap_or_default();
        let silent: BTreeSet<ModuleKind> = view.silent.keys().copied().collect();
        // A desired module without identity or secret is neither made nor taken away.
        let seen: Vec<Seen> =
            view.seen.iter().filter(|seen| !view.unready.contains_key(&seen.key.name)).cloned().collect();
        decide::decide(&Situation {
            wanted: &view.wanted,
            seen: &seen,
            silent: &silent,
            memory: &self.memory,
            images: &self.images,
            now: Timestamp::now(),
            since: self.since,
            drift: &rules,
            // Asked every time: it moves with the clock, as the times of modules do.
            booted: store::boot_time(),
        })
    }

    fn prepare_sockets(&mut self, view: &View) {
        for wanted in &view.wanted {
            if let Err(error) = self.workload.serve(&wanted.key) {
                tracing::error!(
                    module = wanted.key.name,
                    error = crate::causes(&error),
                    "module has no workload socket"
                );
            }
        }
        if self.in_force.is_some() {
            let seen = |name: &str| view.seen.iter().any(|seen| seen.key.name == name);
            let wanted = |name: &str| view.wanted.iter().any(|wanted| wanted.key.name == name);
            self.workload.retain(|name| wanted(name) || seen(name) || view.unready.contains_key(name));
        }
    }

    /// Forgets what is remembered about modules and images that nobody wants any more.
    fn forget(&mut self, view: &View) {
        if self.in_force.is_none() || !view.silent.is_empty() {
            return;
        }
        let keys: BTreeSet<&ModuleKey> =
            view.specs.keys().chain(view.seen.iter().map(|seen| &seen.key)).collect();
        let hashes: BTreeSet<&str> = view.specs.values().map(|spec| spec.hash.as_str()).collect();
        if view.unready.is_empty() {
            self.memory.retain(|key| keys.contains(key));
        }
        self.images.ready.retain(|hash| hashes.contains(hash.as_str()));
        let current =
            |key: &ModuleKey, attempt: &str| match view.wanted.iter().find(|wanted| wanted.key == *key) {
                Some(wanted) => decide::attempt(wanted) == attempt,
                None => attempt == decide::REMOVAL,
            };
        self.memory.forget_failures(current);
    }

    fn report(&mut self, view: &View, decision: &Decision) {
        let failures = report::failures(&self.memory, view);
        self.outcome = report::outcome(&report::Evidence {
            before: &self.outcome,
            in_force: self.in_force.as_ref(),
            refused: self.refused.as_ref(),
            pulls_outstanding: decision.pulls_outstanding,
            failures: &failures,
        });
        let link = self.ends.link.borrow().clone();
        let modules = report::modules(self.in_force.as_ref(), view, decision, &self.memory);
        if let Some(in_force) = &self.in_force {
            let document = report::document(
                &report::Agent { started: self.started, connected: link.connected },
                in_force,
                &self.outcome,
                &modules,
                HemlineReported { config: self.config_reported(), drift: drift::reported(&self.memory) },
            );
            publish(&self.ends.report, Some(document));
        } else if self.refused.is_some() {
            publish(&self.ends.report, Some(report::bare(&self.outcome)));
        }
        self.workload.set_modules(report::workload_modules(&modules));
        let states = modules.iter().map(|(name, module)| ModuleState {
            name: name.clone(),
            kind: module.kind,
            status: module.reported.runtime_status,
            desired_running: module.desired_running,
            since: module.since,
            restarts: module.restarts,
            description: module.reported.status_description.clone(),
        });
        publish(
            &self.ends.status,
            AgentStatus {
                connected: link.connected,
                desired_version: self.in_force.as_ref().map(|have| have.version),
                reported_version: self.outcome.0,
                code: self.outcome.1.code,
                modules: states.collect(),
                last_error: failures.into_iter().next().or(link.reason),
            },
        );
    }

    fn save_memory(&mut self) {
        if self.saved != self.memory {
            self.store.save_memory(&self.memory);
            self.saved = self.memory.clone();
        }
    }

    async fn finish(mut self, stop_modules: bool) {
        self.pulls.shutdown().await;
        self.checks.close().await;
        if stop_modules && tokio::time::timeout(STOP_DEADLINE, self.stop_all()).await.is_err() {
            tracing::warn!("some modules did not stop in time");
        }
        self.save_memory();
        let farewell = self.ends.report.borrow().as_ref().map(report::farewell);
        if let Some(farewell) = farewell.filter(|_| self.ends.link.borrow().connected) {
            self.ends.report.send_replace(Some(farewell.clone()));
            let taken = self.ends.acknowledged.wait_for(|document| document.as_ref() == Some(&farewell));
            if tokio::time::timeout(FAREWELL_DEADLINE, taken).await.is_err() {
                tracing::warn!("the hub could not be told that the agent is stopping");
            }
        }
        self.ends.status.send_modify(|status| {
            status.connected = false;
            for module in &mut status.modules {
                module.status = RuntimeStatus::Unknown;
            }
        });
        self.workload.close().await;
    }
}

/// Wakes readers on a real change only.
fn publish<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|have| {
        let changed = *have != value;
        if changed {
            *have = value;
        }
        changed
    });
}

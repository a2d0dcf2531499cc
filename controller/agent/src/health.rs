//! Health checks that documents ask for: one task per running module asks on time, the loop reads what came of it.
//!
//! Not here: what answers mean (`decide/health.rs`), how a module is asked (`Runtime::probe`).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use crate::{
    decide::health::Record,
    module::{EngineStatus, Health, HealthCheck, ModuleKey, ModuleSpec, Seen},
    reconcile::Runtimes,
    runtime::{Runtime, Verdict},
};

/// All health checks of a device.
#[derive(Default)]
pub struct Checks {
    asked: BTreeMap<ModuleKey, Asked>,
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

struct Asked {
    run: Run,
    task: AbortHandle,
}

/// One run of a module under one check; another one starts afresh.
#[derive(Debug, Clone, PartialEq)]
struct Run {
    check: HealthCheck,
    started: Option<Timestamp>,
    hash: String,
}

#[derive(Default)]
struct Shared {
    found: Mutex<BTreeMap<ModuleKey, Found>>,
    changed: Notify,
}

#[derive(Clone)]
struct Found {
    health: Health,
    words: String,
}

impl Checks {
    /// Begins to ask modules that run and have a check, and stops asking all others.
    pub fn follow(&mut self, runtimes: &Runtimes, specs: &BTreeMap<ModuleKey, ModuleSpec>, seen: &[Seen]) {
        let mut wanted: BTreeMap<ModuleKey, (Run, &ModuleSpec)> = BTreeMap::new();
        for seen in seen.iter().filter(|seen| seen.status.is_up()) {
            let Some(spec) = specs.get(&seen.key) else { continue };
            let Some(check) = spec.health.clone() else { continue };
            if seen.hash.as_ref() == Some(&spec.hash) {
                let run = Run { check, started: seen.started, hash: spec.hash.clone() };
                wanted.insert(seen.key.clone(), (run, spec));
            }
        }
        self.asked.retain(|key, asked| {
            let keep = wanted.get(key).is_some_and(|(run, _)| *run == asked.run);
            if !keep {
                asked.task.abort();
                self.shared.forget(key);
            }
            keep
        });
        while self.tasks.try_join_next().is_some() {}
        for (key, (run, spec)) in wanted {
            let Some(runtime) = runtimes.get(&key.kind).filter(|_| !self.asked.contains_key(&key)) else {
                continue;
            };
            self.shared.forget(&key);
            let asking = ask(Arc::clone(runtime), spec.clone(), run.clone(), Arc::clone(&self.shared));
            let task = self.tasks.spawn(asking);
            self.asked.insert(key, Asked { run, task });
        }
    }

    /// Puts what the checks found over what the engine says.
    pub fn judge(&self, specs: &BTreeMap<ModuleKey, ModuleSpec>, seen: &mut [Seen]) {
        let found = self.shared.found.lock().unwrap_or_else(PoisonError::into_inner);
        for seen in seen.iter_mut().filter(|seen| seen.status.is_up()) {
            if specs.get(&seen.key).is_none_or(|spec| spec.health.is_none()) {
                continue;
            }
            let current = self.asked.get(&seen.key).is_some_and(|asked| asked.run.started == seen.started);
            let found = found.get(&seen.key).filter(|_| current);
            seen.health = found.map_or(Health::Starting, |found| found.health);
            seen.status = match seen.health {
                Health::Unhealthy => EngineStatus::Unhealthy,
                Health::None | Health::Starting | Health::Healthy => EngineStatus::Running,
            };
            if let Some(found) = found.filter(|found| found.health == Health::Unhealthy) {
                seen.description.clone_from(&found.words);
            }
        }
    }

    /// Waits for a module whose health changed.
    pub async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Stops asking, and waits for every task.
    pub async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}

impl Shared {
    fn forget(&self, key: &ModuleKey) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn tell(&self, key: &ModuleKey, found: Found) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), found);
        self.changed.notify_one();
    }
}

/// Asks one run of a module for as long as it lasts; whoever follows ends it.
async fn ask(runtime: Arc<dyn Runtime>, spec: ModuleSpec, run: Run, shared: Arc<Shared>) {
    let check = &run.check;
    let mut record = Record::default();
    // The clock on the wall may be set meanwhile.
    let begun = tokio::time::Instant::now();
    let up = run.started.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
    let up = up.unwrap_or_default();
    loop {
        let limit = Duration::from_secs(check.timeout_secs.max(1));
        let verdict = match timeout(limit, runtime.probe(&spec, &check.probe)).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => Verdict::Failed(error.full()),
            Err(_) => Verdict::Failed(format!("no answer within {} s", limit.as_secs())),
        };
        let (passed, words) = match verdict {
            Verdict::Passed => (true, String::new()),
            Verdict::Failed(words) => (false, words),
        };
        let next = record.after(check, passed, up + begun.elapsed());
        if next.health != record.health {
            tracing::info!(module = spec.key.name, health = ?next.health, words, "health of a module changed");
            let words = format!("unhealthy: {words}");
            shared.tell(&spec.key, Found { health: next.health, words });
        }
        record = next;
        tokio::time::sleep(record.pause(check)).await;
    }
}

//! Carrying out a decision: one action after the other, except pulls, which run beside the loop.
//!
//! A failed action skips the rest of its module and nothing else (reference edge-runtime §3.6).

use std::{collections::BTreeSet, sync::Arc};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinError;

use super::{Reconciler, View};
use crate::{
    decide::{Action, Decision, Step},
    module::{ModuleKey, ModuleSpec, PullPolicy, SpecBody},
    runtime::{Pulled, RuntimeError},
};

/// A pull that ended.
pub(super) struct Fetched {
    action: Action,
    hash: String,
    image: String,
    outcome: Result<Pulled, RuntimeError>,
}

impl Reconciler {
    /// True when something was done, so that the world looks different now.
    pub(super) async fn execute(&mut self, view: &View, decision: &Decision) -> bool {
        let mut failed: BTreeSet<&ModuleKey> = BTreeSet::new();
        let mut acted = false;
        for action in &decision.actions {
            if failed.contains(&action.key) {
                continue;
            }
            let spec = view.specs.get(&action.key);
            if action.step == Step::Pull {
                self.begin_pull(action, spec);
                continue;
            }
            if let Err(error) = self.find_image(action, spec, decision).await {
                let message = error.full();
                tracing::warn!(
                    module = action.key.name,
                    error = message,
                    "the module stays as it is: its new image is not there"
                );
                self.memory.failed(action, message, Timestamp::now());
                failed.insert(&action.key);
                continue;
            }
            acted = true;
            if matches!(action.step, Step::Create | Step::Remove) {
                // On disk first: a container made right before a crash must not look like somebody else's.
                self.memory.making(&action.key);
                self.save_memory();
            }
            let outcome = self.act(action, spec).await;
            let now = Timestamp::now();
            match outcome {
                Ok(()) => {
                    tracing::info!(module = action.key.name, step = %action.step, reason = %action.reason, "module changed");
                    self.memory.succeeded(action, now);
                }
                Err(error) => {
                    let message = error.full();
                    tracing::warn!(module = action.key.name, step = %action.step, error = message, "module could not be changed");
                    if action.step == Step::Create {
                        // The image may have been taken away since it was pulled.
                        if let Some(spec) = spec {
                            self.images.ready.remove(&spec.hash);
                        }
                    }
                    self.memory.failed(action, message, now);
                    failed.insert(&action.key);
                }
            }
        }
        acted
    }

    async fn act(&self, action: &Action, spec: Option<&ModuleSpec>) -> Result<(), RuntimeError> {
        let Some(runtime) = self.runtimes.get(&action.key.kind) else {
            return Err(no_runtime(&action.key));
        };
        let name = &action.key.name;
        match action.step {
            Step::Create | Step::Mend => match spec {
                Some(spec) => runtime.create(spec).await,
                // Only desired modules are created, and each of them has a spec.
                None => Ok(()),
            },
            Step::Start => runtime.start(name).await.map(drop),
            Step::Stop => runtime.stop(name).await.map(drop),
            Step::Remove => runtime.remove(name).await.map(drop),
            Step::Restart => {
                runtime.stop(name).await?;
                runtime.start(name).await.map(drop)
            }
            // Runs beside the loop.
            Step::Pull => Ok(()),
        }
    }

    /// Before anything of a module is stopped that is then made anew: is the image here that is never pulled? One that is pulled
    /// has come by now.
    async fn find_image(
        &self,
        action: &Action,
        spec: Option<&ModuleSpec>,
        decision: &Decision,
    ) -> Result<(), RuntimeError> {
        let comes_back = |other: &&Action| other.key == action.key && other.step == Step::Create;
        let ends = matches!(action.step, Step::Stop | Step::Remove);
        if !ends || !decision.actions.iter().any(|other| comes_back(&other)) {
            return Ok(());
        }
        let (Some(runtime), Some(spec)) = (self.runtimes.get(&action.key.kind), spec) else {
            return Ok(());
        };
        match &spec.body {
            SpecBody::Container(container) if container.pull == PullPolicy::Never => {
                runtime.pull(spec).await.map(drop)
            }
            SpecBody::Container(_) | SpecBody::Process(_) => Ok(()),
        }
    }

    fn begin_pull(&mut self, action: &Action, spec: Option<&ModuleSpec>) {
        let (Some(runtime), Some(spec)) = (self.runtimes.get(&action.key.kind), spec) else {
            return;
        };
        let (runtime, spec, action) = (Arc::clone(runtime), spec.clone(), action.clone());
        self.images.pulling.insert(spec.hash.clone());
        tracing::info!(module = action.key.name, "fetching the image of a module");
        self.pulls.spawn(async move {
            let outcome = runtime.pull(&spec).await;
            let image = match spec.body {
                SpecBody::Container(container) => container.image,
                SpecBody::Process(_) => String::new(),
            };
            Fetched { action, hash: spec.hash, image, outcome }
        });
    }

    pub(super) fn take_pull(&mut self, fetched: Result<Fetched, JoinError>) {
        let Fetched { action, hash, image, outcome } = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                // Which one it was is not known any more; every pull is asked for again.
                tracing::error!(%error, "a pull broke off");
                self.images.pulling.clear();
                return;
            }
        };
        self.images.pulling.remove(&hash);
        let now = Timestamp::now();
        match outcome {
            Ok(pulled) => {
                if let Pulled::KeptLocal { because } = &pulled {
                    tracing::warn!(
                        module = action.key.name,
                        because,
                        "registry not reachable; the image that is here is used"
                    );
                }
                if let Pulled::Fetched { id } = pulled {
                    self.shelf.fetched(id, image, now);
                    self.store.save_shelf(&self.shelf);
                }
                self.images.ready.insert(hash);
                self.memory.succeeded(&action, now);
            }
            Err(error) => {
                let message = error.full();
                tracing::warn!(module = action.key.name, error = message, "image could not be fetched");
                self.memory.failed(&action, message, now);
            }
        }
    }

    /// Stops every module, all at once, so that they start again with the agent.
    pub(super) async fn stop_all(&mut self) {
        let view = self.look().await;
        let up: Vec<ModuleKey> =
            view.seen.iter().filter(|seen| seen.status.is_up()).map(|seen| seen.key.clone()).collect();
        for key in &up {
            self.memory.hold(key);
        }
        self.save_memory();
        let stops = up.iter().map(|key| {
            let runtime = self.runtimes.get(&key.kind).map(Arc::clone);
            async move {
                match runtime {
                    Some(runtime) => runtime.stop(&key.name).await.map(drop),
                    None => Ok(()),
                }
            }
        });
        for (key, outcome) in up.iter().zip(join_all(stops).await) {
            match outcome {
                Ok(()) => tracing::info!(module = key.name, "module stopped with the agent"),
                Err(error) => {
                    tracing::warn!(module = key.name, error = error.full(), "module could not be stopped");
                }
            }
        }
    }
}

fn no_runtime(key: &ModuleKey) -> RuntimeError {
    RuntimeError::Unavailable { kind: key.kind, reason: "this agent has no such runtime".to_owned() }
}

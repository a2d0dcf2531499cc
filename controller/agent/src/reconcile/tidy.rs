//! Now and then: images that nobody needs any more go.
//!
//! Not here: which ones (`decide/shelf.rs`).

use std::collections::BTreeSet;

use hemline_model::edge::{AgentDesired, ModuleSettings};
use jiff::{SignedDuration, Timestamp};

use super::{Reconciler, View};
use crate::{decide::trial::Course, module::ModuleKind, runtime::Discarded};

/// From one look to the next.
pub(super) const EVERY: SignedDuration = SignedDuration::from_hours(1);

/// In one go, so that the modules do not wait for it.
const AT_ONCE: usize = 3;

impl Reconciler {
    /// Looks for images that nobody needs so often, instead of once an hour.
    #[must_use]
    pub fn tidying(self, every: SignedDuration) -> Self {
        Self { tidy_every: every, ..self }
    }

    /// Takes images away that nothing uses, once an hour, and never while a configuration is being tried.
    pub(super) async fn tidy(&mut self, view: &View) {
        let now = Timestamp::now();
        if now.duration_since(self.tidied) < self.tidy_every
            || matches!(self.course, Some(Course::Trying(_)))
            || view.silent.contains_key(&ModuleKind::Docker)
        {
            return;
        }
        self.tidied = now;
        let in_use: BTreeSet<&str> = view.seen.iter().filter_map(|seen| seen.image_hash.as_deref()).collect();
        self.shelf.used(in_use.iter().copied(), now);
        let good = self.good.as_ref().and_then(|good| AgentDesired::parse(&good.properties).ok());
        let newest = self.ends.desired.borrow().clone();
        let newest = newest.and_then(|newest| AgentDesired::parse(&newest.properties).ok());
        let modules = good.iter().chain(&newest).flat_map(|desired| desired.modules.values());
        let wanted: BTreeSet<&str> = modules
            .filter_map(|module| match &module.settings {
                ModuleSettings::Docker(docker) => Some(docker.image.as_str()),
                ModuleSettings::Process(_) => None,
            })
            .collect();
        let outdated = self.shelf.outdated(&in_use, &wanted, now);
        let Some(runtime) = self.runtimes.get(&ModuleKind::Docker) else { return };
        for image in outdated.iter().take(AT_ONCE) {
            match runtime.discard(image).await {
                Ok(gone @ (Discarded::Now | Discarded::Already)) => {
                    tracing::info!(image, ?gone, "an image that nobody needs any more was taken away");
                    self.shelf.forget(image);
                }
                // Not ours to judge any more.
                Ok(Discarded::InUse) => self.shelf.forget(image),
                Err(error) => tracing::warn!(image, error = error.full(), "an image could not be taken away"),
            }
        }
        self.store.save_shelf(&self.shelf);
    }
}

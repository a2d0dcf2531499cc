//! `startupOrder` with readiness: a later order starts when the modules of the earlier ones run and are healthy. Pure.
//!
//! Bounded twice, so that one module never holds up the others for good: a check that does not decide counts for five
//! minutes, a module that does not come up for half a minute. Later on, when a module fails long after the configuration
//! came, it holds up nobody: the order is one of starting, not of living.

use jiff::{SignedDuration, Timestamp};

use super::{Goal, Situation, Wanted, restart};
use crate::module::{EngineStatus, Health, Seen};

/// A health check that is still undecided after that long no longer holds up later startup orders.
const UNDECIDED_AT_MOST: SignedDuration = SignedDuration::from_mins(5);

/// A module that is not up, or not healthy, that long after the configuration came no longer holds them up.
const FAILING_AT_MOST: SignedDuration = SignedDuration::from_secs(30);

/// What holds up later orders.
pub(super) struct Gate {
    /// Orders after this one wait.
    pub(super) order: u32,
    /// At the latest until then.
    pub(super) until: Timestamp,
}

/// The lowest startup order that is not ready yet.
pub(super) fn lowest(situation: &Situation<'_>) -> Option<Gate> {
    let gates = situation.wanted.iter().filter(|wanted| wanted.goal == Goal::Running).filter_map(|wanted| {
        let seen = situation.seen.iter().find(|seen| seen.key == wanted.key);
        let until = holds_until(situation, wanted, seen)?;
        (until > situation.now).then_some(Gate { order: wanted.order, until })
    });
    gates.min_by_key(|gate| (gate.order, std::cmp::Reverse(gate.until)))
}

fn holds_until(situation: &Situation<'_>, wanted: &Wanted, seen: Option<&Seen>) -> Option<Timestamp> {
    let failing = situation.since.checked_add(FAILING_AT_MOST).ok();
    let Some(seen) = seen else { return failing };
    if seen.hash.as_deref() != Some(wanted.hash.as_str()) {
        return failing;
    }
    match (seen.status, seen.health) {
        // Not over again after each restart of a module that never gets healthy.
        (EngineStatus::Running, Health::Starting) if situation.memory.restarts(&wanted.key) == 0 => {
            seen.started.unwrap_or(situation.since).checked_add(UNDECIDED_AT_MOST).ok()
        }
        (EngineStatus::Running, Health::Starting) => failing,
        (EngineStatus::Running, Health::None | Health::Healthy | Health::Unhealthy) => None,
        // One that has done its work and is not started again is as ready as it will ever be.
        (status, _) if seen.started.is_some() && !restart::owed(status, wanted.policy) => None,
        (_, _) => failing,
    }
}

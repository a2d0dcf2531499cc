//! Restart policies and their pauses, as a table (reference edge-runtime §3.4). Pure.

use jiff::{SignedDuration, Timestamp};

use crate::module::{EngineStatus, RuntimeStatus};

/// Restarts after which a module is reported as failed (reference edge-runtime §3.1, MaxRestartCount). It is restarted all
/// the same, at the longest pause: on a device without hands nobody else would.
pub const MAX_RESTARTS: u32 = 20;

/// First pause in seconds (reference edge-runtime §3.1, CoolOffTimeUnitInSeconds).
const UNIT_SECONDS: i64 = 10;

/// Longest pause in seconds (reference edge-runtime §3.4).
const CAP_SECONDS: i64 = 300;

/// `restartPolicy`; later restarts in more cases than earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RestartPolicy {
    /// Never restarted.
    Never,
    /// When it ended with an error.
    OnFailure,
    /// That, and when its health check fails.
    OnUnhealthy,
    /// Whenever it ended.
    Always,
}

impl From<hemline_model::edge::RestartPolicy> for RestartPolicy {
    fn from(policy: hemline_model::edge::RestartPolicy) -> Self {
        use hemline_model::edge::RestartPolicy as Model;
        match policy {
            Model::Never => Self::Never,
            Model::OnFailure => Self::OnFailure,
            Model::OnUnhealthy => Self::OnUnhealthy,
            Model::Always => Self::Always,
        }
    }
}

/// Does the policy want a restart of a module with desired status `running`?
#[must_use]
pub fn owed(status: EngineStatus, policy: RestartPolicy) -> bool {
    match status {
        EngineStatus::Running | EngineStatus::Dead | EngineStatus::Unknown => false,
        EngineStatus::Stopped => policy >= RestartPolicy::Always,
        // on-failure is listed with on-unhealthy in the table: an unhealthy module is a failing one.
        EngineStatus::Failed | EngineStatus::Unhealthy => policy >= RestartPolicy::OnFailure,
    }
}

/// What a module with desired status `running` is reported as.
#[must_use]
pub fn compute(status: EngineStatus, policy: RestartPolicy, restarts: u32) -> RuntimeStatus {
    match (status, owed(status, policy)) {
        (_, true) if restarts >= MAX_RESTARTS => RuntimeStatus::Failed,
        (_, true) => RuntimeStatus::Backoff,
        (EngineStatus::Running, false) => RuntimeStatus::Running,
        (EngineStatus::Dead, false) => RuntimeStatus::Dead,
        (EngineStatus::Unknown, false) => RuntimeStatus::Unknown,
        (EngineStatus::Stopped, false) => RuntimeStatus::Stopped,
        (EngineStatus::Failed, false) => RuntimeStatus::Failed,
        (EngineStatus::Unhealthy, false) => RuntimeStatus::Unhealthy,
    }
}

/// Pause before attempt n: min(10·2ⁿ, 300) seconds.
#[must_use]
pub fn pause(n: u32) -> SignedDuration {
    // 2^5 is beyond the cap already; more would only overflow.
    SignedDuration::from_secs((UNIT_SECONDS << n.min(5)).min(CAP_SECONDS))
}

/// When the restart after `restarts` earlier ones is due, counted from the module's last exit.
///
/// The first one is due at once: a module that ran well and was killed is back within a second. From the second one on
/// the pauses are those of IoT Edge. An exit in the future (the clock was moved) or an unknown one means now.
#[must_use]
pub fn due(restarts: u32, exited: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match exited {
        Some(exited) if restarts > 0 && exited < now => exited.saturating_add(pause(restarts)).unwrap_or(now),
        Some(_) | None => now,
    }
}

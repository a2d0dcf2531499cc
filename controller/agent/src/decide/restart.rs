//! Restart policies and their pauses, as a table (reference edge-runtime §3.4). Pure.

use jiff::{SignedDuration, Timestamp};

use crate::module::{EngineStatus, RuntimeStatus};

/// Restarts after which a module counts as failed until a new deployment (reference edge-runtime §3.1, MaxRestartCount).
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

/// What a module with desired status `running` is reported as; `Backoff` means that a restart is owed.
#[must_use]
pub fn compute(status: EngineStatus, policy: RestartPolicy, restarts: u32) -> RuntimeStatus {
    let (from, otherwise) = match status {
        EngineStatus::Running => return RuntimeStatus::Running,
        EngineStatus::Dead => return RuntimeStatus::Dead,
        EngineStatus::Unknown => return RuntimeStatus::Unknown,
        EngineStatus::Stopped => (RestartPolicy::Always, RuntimeStatus::Stopped),
        EngineStatus::Failed => (RestartPolicy::OnFailure, RuntimeStatus::Failed),
        // on-failure is listed with on-unhealthy in the table: an unhealthy module is a failing one.
        EngineStatus::Unhealthy => (RestartPolicy::OnFailure, RuntimeStatus::Unhealthy),
    };
    if policy < from {
        otherwise
    } else if restarts >= MAX_RESTARTS {
        RuntimeStatus::Failed
    } else {
        RuntimeStatus::Backoff
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
/// An exit in the future (the clock was moved) or an unknown one means now.
#[must_use]
pub fn due(restarts: u32, exited: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match exited {
        Some(exited) if exited < now => exited.saturating_add(pause(restarts)).unwrap_or(now),
        Some(_) | None => now,
    }
}

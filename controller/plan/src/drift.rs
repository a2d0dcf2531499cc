//! What is not as the documents say, though nobody changed them: how it is found, what is left as it is, and the ledger of it.
//! Pure; time is an argument.
//!
//! ```text
//! desired.rs  a hub that holds something else than the documents said → what is found
//! actual.rs   agents that say what somebody changed on their device → what is found
//! leave.rs    what the documents want reported or ignored, and not put back
//! spare.rs    a look as a whole: what is off, and the plan without what is left alone
//! stays.rs    what of that a reader of the plan is told
//! ledger.rs   rows, what is found, now → rows and events
//! ```
//!
//! Rules that hold for every row:
//!
//! 1. One row for one difference, from when it was first seen until it is gone. Another value in the same place is the same
//!    difference of the hub, and another one of a device, as its agent counts them.
//! 2. A row of the hub opens before anything is put right, so that a kill in between loses no trace; it is healed by the next
//!    look that does not find it.
//! 3. A row of a device says what its agent says. Of an agent that says nothing, or is away, nothing changes.
//! 4. A row is kept for 30 days after it was healed. A device that leaves the documents takes its rows along.
//! 5. There are bounds. Rows that were healed long ago make room for new ones; open ones never do, for they would come back with
//!    a wrong beginning. What finds no room is counted ([`DriftLedger::turned_away`]).
//! 6. What is found again changes nothing but `lastSeen`, and that at most every ten minutes: nothing is written for it.

mod actual;
mod desired;
mod leave;
mod ledger;
mod spare;
mod stays;

use std::{collections::BTreeSet, fmt};

use hemline_model::{
    document::DriftMode,
    edge::DriftRules,
    id::{DeviceId, ModuleId},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    actual::{actual, is_silent},
    desired::desired,
    leave::leave,
    ledger::{DriftCounts, DriftEvent, DriftLedger, DriftRow, Standing, Transition},
    spare::spare,
    stays::Stays,
};
pub(crate) use self::{desired::values, spare::spare_of};
use crate::Effective;

/// Longest text of a row, in characters.
const LONGEST: usize = 160;

/// Where the difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// In the hub: a twin or an identity was changed outside the source.
    Desired,
    /// On the device: somebody changed by hand what its agent had made.
    Actual,
}

/// One difference as it is found in one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// On which device.
    pub device: DeviceId,
    /// Of which module; of the device itself when absent.
    pub module: Option<ModuleId>,
    /// Where.
    pub kind: DriftKind,
    /// In the words of the documents: `modules.camera.status`, `tags.site`.
    pub path: String,
    /// What it should be. Secrets are masked.
    pub expected: String,
    /// What it is. Secrets are masked.
    pub found: String,
    /// What the documents want done about it.
    pub mode: DriftMode,
    /// Who did it, where somebody knows.
    pub by: Option<String>,
    /// When the agent saw it first; absent for what is found in the hub.
    pub since: Option<Timestamp>,
    /// When the agent had put it right; absent while it has not, and for what is found in the hub.
    pub healed: Option<Timestamp>,
}

/// All that one look has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriftSight {
    /// The differences.
    pub found: Vec<Found>,
    /// Devices with rows that no document has any more.
    pub gone: BTreeSet<DeviceId>,
    /// Devices with rows whose agents say nothing.
    pub silent: BTreeSet<DeviceId>,
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Desired => "desired",
            Self::Actual => "actual",
        })
    }
}

/// What the documents want done about differences of a device. They stand in the desired properties of its agent.
fn rules(effective: &Effective) -> DriftRules {
    let agent = effective.twins.modules.get(&ModuleId::edge_agent());
    let rules = agent.and_then(|agent| agent.get("hemline")?.get("drift"));
    rules.and_then(|rules| serde_json::from_value(rules.clone()).ok()).unwrap_or_default()
}

/// A text that fits a row: on one line and not longer than that.
fn short(text: &str) -> String {
    let line = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(LONGEST).map(line).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

//! How a revision reaches the devices: waves, budgets, health, and what happens when it goes wrong. Pure; time is an argument.
//!
//! ```text
//! cut.rs      a list of devices → waves
//! lead.rs     which devices a commit changes, and which deployment's rollout leads each
//! health.rs   what an agent reports → healthy, on its way, failed
//! record.rs   one rollout as it is kept: waves, devices, state
//! state.rs    the states, and why it waits or stopped
//! advance.rs  record, what is seen, now → record
//! give.rs     … who gets the change
//! settle.rs   … of single devices: done, failed, joined, gone
//! command.rs  pause, resume, approve, abort, revert
//! ledger.rs   all rollouts of one commit, and which device has which revision
//! sight.rs    … what they see of a device
//! quarantine.rs  … commits that went back, and what to propose
//! start.rs    … when a commit comes, also in the middle of another
//! mixed.rs    … as the desired state of every device
//! status.rs   a record as it is shown
//! story.rs    all of it in words
//! ```
//!
//! Rules that hold for every rollout:
//!
//! 1. A wave begins when every device of the one before it is done, failed within the budget, or away and not waited for.
//! 2. A device gets the change only while its wave is on (or was), the window is open, nobody paused, fewer devices of the
//!    wave failed than `maxFailures`, and fewer than `maxUnavailable` are on their way.
//! 3. What waits has a deadline, and then an outcome: every rollout ends.
//! 4. A record that is advanced twice with the same sight at the same time is the same as advanced once.

mod advance;
mod clock;
mod command;
pub(crate) mod cut;
mod give;
mod health;
pub(crate) mod lead;
mod ledger;
mod mixed;
mod quarantine;
mod record;
mod settle;
mod sight;
mod start;
mod state;
mod status;
mod story;

pub use self::{
    advance::{DeviceSight, Transition},
    command::{Command, Refused},
    health::{Ailment, Health, health},
    ledger::{Going, Ledger, Revisions, Turn},
    quarantine::{Quarantined, RevertProposal},
    record::{Failure, Given, Paused, Progress, RolloutRecord, StoryLine, WaveRecord},
    state::{HaltReason, State, WaitReason},
    status::{RolloutStatus, WaveStatus},
    story::Counts,
};

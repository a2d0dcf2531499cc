//! What should happen and why. Pure: no clock, no file, no socket.
//!
//! ```text
//! resolve.rs   documents + facts  → what each device should be, with the origin of every value
//! desired.rs   one merged config  → the twins that say so, in the shapes of IoT Edge
//! observe.rs   what a hub holds, as the planner wants to see it
//! plan.rs      resolution, what was before, what is there → typed actions with reasons, and the steps that do them
//! change.rs    one changed value; secrets masked
//! forecast.rs  what a plan means for what runs: restarts and their causes, images, dangers, waves
//! rollout.rs   how a revision reaches the devices: waves, budgets, and the way back
//! simulate.rs  the same, rehearsed against devices that are played
//! policy.rs    what a plan must not do
//! state.rs     what a fleet was last seen to be, as a public file: the way to plan without a way to the hub
//! drift.rs     what is not as the documents say, though nobody changed them, and the ledger of it
//! diff.rs      one device: its documents against the hub, its agent's report and what was changed by hand
//! attribute.rs whose a change is: yours, merged before, drift, there already
//! sealed.rs    a plan that is carried out only if nothing moved since
//! review.rs    all that a reviewer is told, once, for every printed form
//! print.rs     … for people
//! names.rs     many device names in few words
//! markdown.rs  … as a comment of a pull request
//! why.rs       the origin of every value of one device
//! judge.rs     everything that is wrong, before and after layering
//! mend.rs      documents with the fixes that findings offer
//! export.rs    what one device should be, as a manifest of IoT Edge
//! ```
//!
//! The plan leaves no choice to whoever carries it out: order, patches and identities are decided here.

mod attribute;
mod change;
mod desired;
mod diff;
pub mod drift;
mod export;
mod forecast;
mod judge;
mod markdown;
mod mend;
mod names;
mod observe;
mod plan;
mod policy;
mod print;
mod resolve;
mod review;
pub mod rollout;
mod sealed;
pub mod simulate;
mod state;
mod why;

pub use attribute::three_way;
pub use change::{Change, Json, MASK};
pub use desired::{DesiredTwins, ModuleTwins};
pub use diff::{DeviceDiff, Difference, Witness, device_diff};
pub use export::{Exported, export};
pub use forecast::{
    Danger, DangerKind, Drift, Forecast, On, Restart, RolloutForecast, Scene, Side, WaveForecast,
};
pub use judge::{Judged, judge, judge_knowing};
pub use markdown::{AT_MOST as MARKDOWN_AT_MOST, MARKER, findings_markdown};
pub use mend::{Mended, mend};
pub use observe::{MANAGED_BY, Observed, ObservedDevice, ObservedModule};
pub use plan::{Action, DevicePlan, Effect, IdentityStep, Plan, Planned, Reason, Step, Summary, plan};
pub use policy::{Deny, Limit, Policy, Refusal, Verdict};
pub use resolve::{
    DesiredIdentity, Effective, Facts, LayerKind, ModuleConfigurations, Opinion, Origins, Provenance,
    Resolution, Target, resolve, resolve_knowing,
};
pub use review::{Complaint, PlanDocument, Review, schemas};
pub use sealed::{SEALED_KIND, SealedPlan, SealedSide, Sealing};
pub use state::{
    DeviceState, Documents, FleetState, Held, Known, ModuleConfig, ModuleSight, Overwritten, STATE_KIND,
    StateSight,
};
pub use why::{Because, Overridden, Unknown, unknown_device, why};

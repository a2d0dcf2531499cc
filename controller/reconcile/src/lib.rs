//! The controller: keeps a hub at what the documents say, and says what came of it.
//!
//! ```text
//! controller.rs   the loop: when a pass runs, and who hears of it
//! round.rs        one round: a pass, and what follows from it, in order; the test that kills it everywhere
//! pass.rs         one pass, all stages in order
//!   load.rs       I/O   source → files
//!   validate.rs   pure  files → a revision that may be used, or findings
//!   resolve.rs    pure  documents + facts → what each device should be
//!   roll.rs       pure* what each device should be now: rollouts, kept before anything is done
//!   plan.rs       pure  resolution, last applied, hub → actions and steps
//!   drift.rs      pure* what was changed elsewhere: told, and put right or left alone
//!   apply.rs      I/O   steps → hub (registry.rs: all that is ours of the hub)
//!   observe.rs    I/O   hub → registry and twins
//!   report.rs     pure  all of it → report and status files
//! revert.rs       the way back that is proposed to people, once
//! trouble.rs      why the fleet stays where it is, or why nobody hears of it
//! approve.rs      what `hem apply` and `hem state` ask of the controller
//! last_good.rs    what survives a restart
//! ```
//!
//! A pass is idempotent, and what starts it carries no data: a timer, a nudge and a change take the same way.

mod apply;
mod approve;
mod brake;
mod clock;
mod controller;
mod drift;
mod facsimile;
mod last_good;
mod load;
mod observe;
mod pass;
mod plan;
mod registry;
mod report;
mod resolve;
mod revert;
mod roll;
mod round;
mod settled;
mod tell;
mod trouble;
mod validate;

pub use approve::{ApplyError, ApplyReply, ApplyRequest};
pub use controller::{ControllerHandle, ControllerView, Options, RolloutOrder, start};
pub use last_good::documents_in_force;
pub use report::{PassReport, Passes};
pub use revert::WayBack;
pub use trouble::{Ongoing, is_told_elsewhere};

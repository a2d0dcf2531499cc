//! A rollout rehearsed: the real resolving, planning and rolling out, against devices that are played. No I/O, no clock of its
//! own; the same seed gives the same story.
//!
//! ```text
//! devices.rs   devices that take a configuration, are slow, away, or fail with it
//! run.rs       commits one after the other, from event to event, until nothing happens any more
//! ```
//!
//! Not here: how long images really take. Times of devices are settings, and the prediction is as good as they are.

mod devices;
mod run;

pub use self::{
    devices::{Devices, Faults},
    run::{Commit, Event, Outcome, Rehearsal, Told, rehearse},
};

//! A load generator for hubs and brokers: many clients in one process, on one thread, with counts that add up.
//!
//! `sessions.rs`, `telemetry.rs`, `patches.rs` and `calls.rs` are the loads; `target.rs`, `connection.rs` and `packet.rs` the client
//! below them; `cast.rs` and `identities.rs` say who takes part. `histogram.rs`, `verdict.rs` and `report.rs` are pure: what was
//! measured, whether it speaks of the server or of this program, and how that is told. Not here: what is typed
//! (`commands/bench.rs`).
//!
//! Bounded in count and in time, and to this machine unless told otherwise: a load generator that goes on is an attack.

mod calls;
mod cast;
mod connection;
mod error;
mod histogram;
mod identities;
mod packet;
mod patches;
mod report;
mod sessions;
mod target;
mod telemetry;
mod usage;
mod verdict;

pub(crate) use self::{
    calls::calls,
    cast::{Actor, broker_filters, device_filters},
    error::LoadError,
    histogram::Histogram,
    identities::{Identities, Known},
    patches::patches,
    report::{HEADER, Removed, Report, Row},
    sessions::{Lanes, Sessions, come_back},
    target::{Security, Target},
    telemetry::{Telemetry, telemetry},
    usage::{Meter, files_for, settled_memory},
};

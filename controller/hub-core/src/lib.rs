//! The hub without sockets: `handle(event, now) -> effects`.
//!
//! Reading order: `event.rs` (what happens to the hub), `effect.rs` (what the hub wants done), `service.rs` (what
//! callers ask), `write.rs` (what must be on disk), then `core.rs`.
//!
//! Invariants, deliberate absences included: no clock, no randomness, no I/O, no task; time and random bytes come in
//! with events. The same events give the same effects. Whatever is acknowledged was asked to be persisted in the same
//! batch or an earlier one. No match has a wildcard arm over our own enums, so a new event or state cannot be forgotten.

mod authenticate;
pub mod authorization;
pub mod bridge;
mod call;
mod certified;
pub mod change_event;
pub mod changes;
mod clock;
mod cloud_queue;
pub mod cloud_to_device;
pub mod core;
pub mod counters;
pub mod credential;
pub mod effect;
pub mod event;
mod event_log;
mod feedback_queue;
pub mod file_notices;
pub mod files;
pub mod limits;
pub mod message;
mod query;
mod queue;
mod registry;
mod route;
pub mod scope;
pub mod service;
mod session;
pub mod throttle;
pub mod topics;
mod twin;
pub mod upstream;
mod view;
pub mod write;

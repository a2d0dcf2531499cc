//! Runs on the device: reconciles modules from the `$edgeAgent` twin through a container or process runtime.
//!
//! The way of a change: [`uplink`] (desired properties arrive) → [`decide`] (what to do, pure) → [`reconcile`] (do it,
//! report it) → [`runtime`] (engines). Beside it: [`workload`] (what modules ask the agent), [`edge_client`] (the other
//! side of that: a module's client), [`shim`] (the supervisor of one process module), [`health`] (asking
//! modules whether they do their work). The agent and a module's client
//! talk to the hub through the same `session.rs`.
//!
//! Not here: the hub, documents, plans. The agent knows its hub by address only, as a remote device does.

pub mod agent;
pub mod decide;
pub mod demo;
pub mod edge_client;
pub mod health;
pub mod methods;
pub mod module;
pub mod reconcile;
pub mod runtime;
pub mod secrets;
mod session;
pub mod shim;
mod sops;
pub mod spec;
pub mod tls;
mod unix_http;
pub mod uplink;
pub mod workload;

pub use agent::{AgentConfig, AgentError, AgentHandle, AgentStatus, ModuleState, start};
pub use runtime::docker::{EngineFacts, bridge_address, engine_facts};

/// The message of an error with its causes, for reported properties and logs.
#[must_use]
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

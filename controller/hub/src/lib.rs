//! Sockets, store and the one task that owns hub-core.
//!
//! Reading order: `hub.rs` (start and stop), `task.rs` (the owner of the core), `writer.rs` (disk before effects),
//! `outbox.rs` (effects reach clients), `files.rs` (uploads), `head/` (bytes become events), `upstream.rs`
//! (the link to a parent hub). What the hub decides stands in `hemline-hub-core`.

pub mod border;
pub mod config;
pub mod device_ca;
mod door;
pub mod error;
pub mod files;
pub mod handle;
mod head;
mod hub;
mod mailbox;
mod outbox;
pub mod pki;
pub mod store;
mod task;
mod tls;
pub mod upstream;
mod visitor;
mod writer;
pub mod x509;

pub use config::{HubConfig, Limits};
pub use error::HubError;
pub use handle::HubHandle;
pub use head::HeadStatistics;
pub use hub::Hub;

//! Wire shapes shared by hub, agent and tools: topics, tokens, connection strings, error bodies. Parse and print only.
//!
//! Both directions stand side by side: what the hub parses, the agent prints, and the other way round. Nothing here
//! decides who may do what (`hub-core`), and nothing here does I/O.

pub mod bag;
pub mod blob;
pub mod connection_string;
pub mod error;
pub mod etag;
pub mod filter;
pub mod method;
pub mod properties;
pub mod sas;
pub mod time;
pub mod topic;
pub mod username;
pub mod workload;

//! Heads turn bytes into events and effects into bytes. They decide nothing that the core could decide.

pub(crate) mod admission;
pub(crate) mod counters;
pub(crate) mod http;
pub(crate) mod https;
pub(crate) mod mqtt;
pub(crate) mod patience;
pub(crate) mod refusals;
pub(crate) mod websocket;

pub(crate) use counters::HeadCounters;
pub use counters::HeadStatistics;

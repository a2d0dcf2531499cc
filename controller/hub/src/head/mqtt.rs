//! MQTT 3.1.1 over TLS (reference device-protocol §3, §4).
//!
//! `listener.rs` accepts, `connection.rs` moves bytes, `codec.rs` is the only file that knows the packet library,
//! `connecting.rs` judges a CONNECT, `session.rs` says what each packet means once the client is in.

mod closed;
pub(crate) mod codec;
mod connecting;
pub(crate) mod connection;
pub(crate) mod listener;
mod nested;
mod packet_ids;
mod session;
mod wire;

use std::sync::Arc;

use crate::{
    config::Limits,
    door::Door,
    head::{HeadCounters, refusals::Refusals},
    mailbox::Mailbox,
    outbox::Outbox,
};

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct MqttHead {
    pub(crate) mailbox: Mailbox,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<HeadCounters>,
    pub(crate) refusals: Refusals,
    pub(crate) door: Arc<Door>,
}

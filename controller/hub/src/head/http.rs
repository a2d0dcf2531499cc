//! The REST calls of IoT Hub: identities, twins, methods, queries, messages (reference service-api §3, §4), and what devices
//! call themselves (reference device-protocol §8).
//!
//! `router.rs` says which path leads where, `call.rs` reads what all calls share, `error.rs` prints refusals; the other
//! files are one per kind of resource and only translate. Not here: who may do what, which the core decides.

pub(crate) mod attempts;
mod blobs;
pub(crate) mod call;
mod cloud_to_device;
pub(crate) mod device_messages;
mod devices;
mod error;
mod files;
mod identity;
mod locks;
pub(crate) mod message_headers;
mod methods;
mod query;
mod reply;
mod router;
mod statistics;
mod twins;

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse as _, Response};
use hemline_hub_core::{
    event::Caller,
    service::{ServiceError, ServiceReply, ServiceRequest},
};
use tokio::time::timeout;

pub(crate) use router::{complete, normalise, router};

use crate::{config::Limits, handle::HubHandle, head::HeadCounters};
use error::RestError;

/// The answer to a request whose body was not read, because of whom it is from.
pub(crate) fn refuse(refused: ServiceError, in_name_of_module: bool) -> Response {
    let error = RestError::from(refused);
    if in_name_of_module { error.to_module() } else { error.into_response() }
}

/// What the handlers need.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    pub(crate) hub: HubHandle,
    pub(crate) limits: Arc<Limits>,
    /// Largest message of a device, and largest batch.
    pub(crate) message_bytes: usize,
    pub(crate) counters: Arc<HeadCounters>,
    /// Where clients find this API on this machine.
    pub(crate) https_port: u16,
}

impl Rest {
    /// Asks the core and waits as long as a request may take, plus what the operation itself waits for.
    async fn ask(
        &self,
        caller: Caller,
        operation: ServiceRequest,
        more: Duration,
    ) -> Result<ServiceReply, RestError> {
        let answer = timeout(self.limits.request + more, self.hub.call_as(caller, operation)).await;
        match answer {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.counters.http_timeouts.add();
                Err(RestError::timeout())
            }
        }
    }
}

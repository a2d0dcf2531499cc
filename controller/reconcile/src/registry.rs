//! The hub as rounds see it: what changed in it, and the steps that may be done to it. Nothing else of it is theirs.
//!
//! The test that kills rounds everywhere plays one (`round/tests/played.rs`).

use std::future::Future;

use hemline_hub::HubHandle;
use hemline_hub_core::{
    changes::ChangeCursor,
    service::{RegistryChanges, ServiceError, ServiceReply, ServiceRequest},
};
use hemline_plan::Step;

use crate::apply::do_step;

/// Identities and twins.
pub(crate) trait Registry: Clone + Send + Sync {
    /// What changed since then.
    fn changes(
        &self,
        since: ChangeCursor,
    ) -> impl Future<Output = Result<RegistryChanges, ServiceError>> + Send;

    /// Does a step. What it answers is kept; done twice it is done once.
    fn step(&self, step: &Step) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

impl Registry for HubHandle {
    async fn changes(&self, since: ChangeCursor) -> Result<RegistryChanges, ServiceError> {
        let ServiceReply::Changes(changes) = self.call(ServiceRequest::Changes { since }).await? else {
            // The core answers what it was asked.
            return Err(ServiceError::Unavailable);
        };
        Ok(changes)
    }

    async fn step(&self, step: &Step) -> Result<(), ServiceError> {
        do_step(self, step).await
    }
}

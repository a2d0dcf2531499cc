//! The hub for the rest of the process: ask, watch, read the log, count.

use std::sync::Arc;

use hemline_hub_core::{
    counters::Counters,
    effect::Notice,
    event::{Caller, Entropy, Event},
    message::{Message, Sequence},
    service::{ServiceError, ServiceReply, ServiceRequest},
    write::Permission,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    files::FileStore,
    head::{HeadCounters, HeadStatistics},
    mailbox::Mailbox,
    outbox::Outbox,
    store::StoreError,
    writer::Job,
};

/// Most messages that one `read_events` returns.
pub const EVENTS_PAGE: usize = 1_000;

/// A running hub, as seen from inside the process. Cheap to clone; outliving the hub is harmless.
#[derive(Debug, Clone)]
pub struct HubHandle {
    pub(crate) mailbox: Mailbox,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) jobs: mpsc::WeakSender<Job>,
    pub(crate) counters: watch::Receiver<Counters>,
    pub(crate) heads: Arc<HeadCounters>,
    pub(crate) names: Arc<[String]>,
    pub(crate) files: Arc<FileStore>,
}

impl HubHandle {
    /// Asks on the authority of the process itself.
    ///
    /// # Errors
    /// When the hub refuses; `Unavailable` when it is stopping.
    pub async fn call(&self, operation: ServiceRequest) -> Result<ServiceReply, ServiceError> {
        self.call_as(Caller::Internal, operation).await
    }

    /// Asks on the authority of a caller from outside.
    ///
    /// # Errors
    /// When the hub refuses; `Unavailable` when it is stopping.
    pub async fn call_as(
        &self,
        caller: Caller,
        operation: ServiceRequest,
    ) -> Result<ServiceReply, ServiceError> {
        let entropy = entropy().map_err(|_| ServiceError::Unavailable)?;
        let request = self.mailbox.next_request();
        let Some(pending) = self.outbox.expect(request) else { return Err(ServiceError::Unavailable) };
        let event = Event::Service { request, caller, operation, entropy };
        if self.mailbox.event(event).await.is_err() {
            return Err(ServiceError::Unavailable);
        }
        pending.answer().await
    }

    /// May the holder of this `Authorization` header do that?
    ///
    /// # Errors
    /// `Unauthorised` with the reason, or `Unavailable`.
    pub async fn authorize(&self, token: &str, permission: Permission) -> Result<(), ServiceError> {
        let caller = Caller::Token(token.to_owned());
        self.call_as(caller, ServiceRequest::Authorize(permission)).await.map(|_| ())
    }

    /// What happens from now on. A watcher that falls behind gets `Lagged` and re-reads.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.outbox.notices()
    }

    /// Messages of the event log after a place, oldest first; at most `limit` and at most `EVENTS_PAGE`.
    ///
    /// # Errors
    /// `Stopped` when the hub has ended, else what the store says.
    pub async fn read_events(&self, after: Sequence, limit: usize) -> Result<Vec<Arc<Message>>, StoreError> {
        // The handle must not keep the writer alive, so it holds the queue weakly.
        let jobs = self.jobs.upgrade().ok_or(StoreError::Stopped)?;
        let (answer, result) = oneshot::channel();
        let job = Job::Events { after, limit: limit.min(EVENTS_PAGE), answer };
        jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        drop(jobs);
        result.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Counts since start; at most half a second old under load.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.borrow().clone()
    }

    /// Counts of the listeners, of what never reached the core.
    #[must_use]
    pub fn head_statistics(&self) -> HeadStatistics {
        self.heads.read()
    }

    /// Files that devices uploaded.
    #[must_use]
    pub fn files(&self) -> &Arc<FileStore> {
        &self.files
    }

    /// Names of the hub; the first is the advertised one.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// Fresh random bytes for one request.
pub(crate) fn entropy() -> Result<Entropy, getrandom::Error> {
    let mut bytes = [0; 64];
    getrandom::fill(&mut bytes)?;
    Ok(Entropy(bytes))
}

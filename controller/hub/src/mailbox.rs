//! The way into the core: one bounded queue, and the numbers that name connections and requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use hemline_hub_core::event::{ConnectionId, Event, RequestId};
use tokio::sync::mpsc;

/// Events that wait for the core. A full mailbox makes heads wait, which makes clients wait: nothing piles up.
const DEPTH: usize = 1_024;

/// The task has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// The sending side.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    sender: mpsc::Sender<Event>,
    connections: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
}

impl Mailbox {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(DEPTH);
        (Self { sender, connections: Arc::default(), requests: Arc::default() }, receiver)
    }

    /// Hands an event over, waiting for room.
    pub(crate) async fn event(&self, event: Event) -> Result<(), Closed> {
        self.sender.send(event).await.map_err(|_| Closed)
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn next_request(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

//! The way into the core: one bounded queue, and the numbers that name connections and requests.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Either, Ready, ready},
};
use hemline_hub_core::event::{ConnectionId, Event, RequestId};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Events that wait for the core. A full mailbox makes heads wait, which makes clients wait: nothing piles up.
const DEPTH: usize = 1_024;

/// The task has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// An event that was handed over, or waits for room.
pub(crate) type Handing<'a> = Either<Ready<Result<(), Closed>>, BoxFuture<'a, Result<(), Closed>>>;

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

    /// Hands an event over, waiting for room. Events are large and mostly there is room: whoever calls this keeps a place in
    /// its task for the waiting, and not for the event.
    pub(crate) fn event(&self, event: Event) -> Handing<'_> {
        match self.sender.try_send(event) {
            Ok(()) => Either::Left(ready(Ok(()))),
            Err(TrySendError::Closed(_)) => Either::Left(ready(Err(Closed))),
            // Those who wait already come first: the channel gives them its places in their order.
            Err(TrySendError::Full(event)) => {
                Either::Right(self.sender.send(event).map_err(|_| Closed).boxed())
            }
        }
    }

    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn next_request(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

//! The way out of the core: effects reach connections, callers and watchers.
//!
//! Called by the writer thread after the batch is on disk, so nothing here may block: a client that is too slow for
//! its bounded queue is closed, a watcher that is too slow misses notices.

mod queue;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hemline_hub_core::{
    effect::{CloseReason, Effect, Notice, Outbound, Refusal},
    event::{AckToken, ConnectionId, Qos, RequestId},
    service::{ServiceError, ServiceReply},
    upstream::{LinkId, ToParent},
};
use tokio::sync::{broadcast, mpsc, oneshot};

pub(crate) use self::queue::{End, Heard};
use self::queue::{Queue, Room};
use crate::{config::Limits, head::HeadCounters};

/// Notices that wait for the slowest watcher before it misses some.
const NOTICES: usize = 1_024;

/// What waits for the socket towards the parent before the link is given up. The core has a bounded number of messages on
/// their way, and asks for each identity once at a time.
const UPWARDS: usize = 8_192;

/// What a connection is told.
#[derive(Debug, PartialEq)]
pub(crate) enum ToClient {
    Accept { session_present: bool },
    Refuse(Refusal),
    Close(CloseReason),
    Granted { token: AckToken, qos: Vec<Option<Qos>> },
    Revoked { token: AckToken },
    Ack { token: AckToken },
    Send(Box<Outbound>),
}

impl ToClient {
    /// Roughly what it occupies while it waits.
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Send(outbound) => match &**outbound {
                Outbound::TwinResponse { body, .. } | Outbound::DesiredPatch { body, .. } => body.len(),
                Outbound::MethodCall { payload, .. } => payload.len(),
                Outbound::Input { message, .. } => message.body.len(),
                Outbound::CloudToDevice { message, .. } => message.body.len(),
                Outbound::Topic { message, .. } => message.topic.len() + message.body.len(),
                Outbound::Nested { what, .. } => what.bytes(),
            },
            Self::Accept { .. }
            | Self::Refuse(_)
            | Self::Close(_)
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::Ack { .. } => 0,
        };
        content + 64
    }

    /// May it be lost on the way to a client that does not keep up? So says MQTT of QoS 0, and a chatty topic is no reason
    /// to close those who listen to it.
    fn may_be_lost(&self) -> bool {
        match self {
            Self::Send(outbound) => matches!(**outbound, Outbound::Topic { delivery: None, .. }),
            Self::Accept { .. }
            | Self::Refuse(_)
            | Self::Close(_)
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::Ack { .. } => false,
        }
    }
}

/// The answer to one service request.
pub(crate) type Answer = Result<ServiceReply, ServiceError>;

/// Where effects go.
#[derive(Debug)]
pub(crate) struct Outbox {
    clients: Mutex<Clients>,
    requests: Mutex<Requests>,
    parent: Mutex<Option<(LinkId, mpsc::Sender<ToParent>)>>,
    notices: broadcast::Sender<Notice>,
    room: Room,
    counters: Arc<HeadCounters>,
}

#[derive(Debug, Default)]
struct Clients {
    connected: HashMap<ConnectionId, Arc<Queue>>,
    failed: bool,
}

#[derive(Debug, Default)]
struct Requests {
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
    failed: bool,
}

/// The receiving side of one connection. Dropping it takes the connection out of the table.
#[derive(Debug)]
pub(crate) struct Inbox {
    outbox: Arc<Outbox>,
    connection: ConnectionId,
    queue: Arc<Queue>,
}

/// One request that waits. Dropping it forgets the request; a late answer is thrown away.
#[derive(Debug)]
pub(crate) struct Pending {
    outbox: Arc<Outbox>,
    request: RequestId,
    answer: oneshot::Receiver<Answer>,
}

// === impl Outbox ===

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section below leaves the map whole at each step, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    pub(crate) fn new(limits: &Limits, counters: Arc<HeadCounters>) -> Arc<Self> {
        let (notices, _) = broadcast::channel(NOTICES);
        Arc::new(Self {
            clients: Mutex::default(),
            requests: Mutex::default(),
            parent: Mutex::default(),
            notices,
            room: Room { packets: limits.client_queue, bytes: limits.client_queue_bytes },
            counters,
        })
    }

    /// Enters a connection, before the core hears of it.
    pub(crate) fn connect(self: &Arc<Self>, connection: ConnectionId) -> Inbox {
        let queue = Queue::new();
        let mut clients = locked(&self.clients);
        if clients.failed {
            queue.end(End::Hub);
        } else {
            clients.connected.insert(connection, queue.clone());
        }
        drop(clients);
        Inbox { outbox: self.clone(), connection, queue }
    }

    /// Enters a request, before the core hears of it. `None` once the hub has failed or stopped.
    pub(crate) fn expect(self: &Arc<Self>, request: RequestId) -> Option<Pending> {
        let (sender, answer) = oneshot::channel();
        let mut requests = locked(&self.requests);
        if requests.failed {
            return None;
        }
        requests.waiting.insert(request, sender);
        Some(Pending { outbox: self.clone(), request, answer })
    }

    pub(crate) fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Carries one effect out. `Persist` was the store's and is ignored.
    pub(crate) fn release(&self, effect: Effect) {
        match effect {
            Effect::Persist(_) => {}
            Effect::Accept { connection, client: _, session_present } => {
                self.tell(connection, ToClient::Accept { session_present });
            }
            Effect::Refuse { connection, refusal } => self.tell_last(connection, ToClient::Refuse(refusal)),
            Effect::Close { connection, reason } => self.tell_last(connection, ToClient::Close(reason)),
            Effect::Granted { connection, token, qos } => {
                self.tell(connection, ToClient::Granted { token, qos });
            }
            Effect::Revoked { connection, token } => self.tell(connection, ToClient::Revoked { token }),
            Effect::Ack { connection, token } => self.tell(connection, ToClient::Ack { token }),
            Effect::Send { connection, outbound } => {
                self.tell(connection, ToClient::Send(Box::new(outbound)));
            }
            Effect::Reply { request, reply } => {
                if let Some(caller) = locked(&self.requests).waiting.remove(&request) {
                    // The caller may have given up meanwhile.
                    drop(caller.send(*reply));
                }
            }
            Effect::Notify(notice) => {
                // An error only says that nobody watches.
                drop(self.notices.send(notice));
            }
            Effect::Upstream { link, what } => self.tell_parent(link, what),
        }
    }

    /// Enters a link to the parent, before the core hears of it, in place of an earlier one.
    pub(crate) fn link(&self, link: LinkId) -> mpsc::Receiver<ToParent> {
        let (sender, queue) = mpsc::channel(UPWARDS);
        *locked(&self.parent) = Some((link, sender));
        queue
    }

    fn tell_parent(&self, link: LinkId, what: ToParent) {
        let mut parent = locked(&self.parent);
        // What was for an earlier link the core takes back when it hears of its end.
        let Some((_, queue)) = parent.as_ref().filter(|(current, _)| *current == link) else { return };
        if queue.try_send(what).is_err() {
            // Without a sender the link ends, and everything goes out again on the next.
            *parent = None;
        }
    }

    /// Nothing more will come out of the core: connections are closed, callers are told.
    pub(crate) fn fail(&self) {
        *locked(&self.parent) = None;
        let mut clients = locked(&self.clients);
        clients.failed = true;
        for (_, queue) in clients.connected.drain() {
            queue.end(End::Hub);
        }
        drop(clients);
        let mut requests = locked(&self.requests);
        requests.failed = true;
        for (_, caller) in requests.waiting.drain() {
            drop(caller.send(Err(ServiceError::Unavailable)));
        }
    }

    fn tell(&self, connection: ConnectionId, message: ToClient) {
        let mut clients = locked(&self.clients);
        // A connection that is gone needs nothing; the core hears of its end by `Disconnected`.
        let Some(queue) = clients.connected.get(&connection) else { return };
        // Half of the queue stays free for what must not be lost.
        if message.may_be_lost() && queue.is_crowded_by(&message, self.room) {
            self.counters.topics_lost.add();
            return;
        }
        if !queue.put(message, self.room) {
            clients.connected.remove(&connection);
        }
    }

    fn tell_last(&self, connection: ConnectionId, message: ToClient) {
        self.tell(connection, message);
        if let Some(queue) = locked(&self.clients).connected.remove(&connection) {
            queue.end(End::Said);
        }
    }
}

// === impl Inbox ===

impl Inbox {
    /// The next packet, if packets are wanted, or the end. Cancel-safe: it only waits.
    pub(crate) async fn next(&mut self, wants_packets: bool) -> Heard {
        self.queue.next(wants_packets).await
    }

    /// The next packet if one is there.
    pub(crate) fn ready(&mut self) -> Option<ToClient> {
        self.queue.ready()
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        locked(&self.outbox.clients).connected.remove(&self.connection);
    }
}

// === impl Pending ===

impl Pending {
    /// The answer; `Unavailable` when the hub ended first.
    pub(crate) async fn answer(mut self) -> Answer {
        (&mut self.answer).await.unwrap_or(Err(ServiceError::Unavailable))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        locked(&self.outbox.requests).waiting.remove(&self.request);
    }
}

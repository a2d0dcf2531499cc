//! QoS 1 messages from many senders to one receiver that acknowledges each: every message is acknowledged to its sender, and
//! received, or it is said to be missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

use super::{
    cast::Actor,
    connection::{Connection, PATIENCE, in_time},
    error::LoadError,
    histogram::Histogram,
    packet::Received,
    target::Target,
};

/// Messages on their way that the receiver has not got: queues have bounds, and a full one ends the senders.
const ON_THE_WAY: usize = 20_000;
/// What every message begins with: its number, and when it was sent.
const STAMP: usize = 16;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    /// Messages in all.
    pub(crate) messages: u64,
    /// Bytes of each body.
    pub(crate) body: usize,
    /// Unacknowledged messages of one sender.
    pub(crate) window: u16,
    /// No message is begun later than that.
    pub(crate) limit: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Acknowledged to their senders.
    pub(crate) acknowledged: u64,
    /// Received, each counted once.
    pub(crate) received: u64,
    /// Received again.
    pub(crate) repeated: u64,
    /// From the first one sent to the last one received.
    pub(crate) took: Duration,
    /// From PUBLISH to PUBACK.
    pub(crate) acknowledging: Histogram,
    /// From PUBLISH to the receiver.
    pub(crate) delivering: Histogram,
}

/// What senders and receiver share.
struct Course {
    plan: Telemetry,
    begun: Instant,
    next: AtomicU64,
    /// Places for messages that the receiver has not got.
    room: Semaphore,
}

/// Sends from all senders to their topics at once. The receiver is there before the first message.
pub(crate) async fn telemetry(
    target: &Arc<Target>,
    senders: Vec<(Actor, String)>,
    receiver: &Actor,
    plan: Telemetry,
) -> Result<Sent, LoadError> {
    let receiving = Connection::enter(target, receiver).await?;
    let mut connections = Vec::with_capacity(senders.len());
    for (actor, topic) in senders {
        connections.push((Connection::enter(target, &actor).await?, topic));
    }
    let course = Arc::new(Course {
        plan,
        begun: Instant::now(),
        next: AtomicU64::new(0),
        room: Semaphore::new(ON_THE_WAY),
    });
    let (all_sent, expected) = tokio::sync::watch::channel(None);
    let received = tokio::spawn(receive(receiving, course.clone(), expected));
    let mut running = JoinSet::new();
    for (connection, topic) in connections {
        running.spawn(send(connection, topic, course.clone()));
    }
    let mut acknowledging = Histogram::default();
    let mut failed = None;
    while let Some(sender) = running.join_next().await {
        match sender.map_err(LoadError::from).flatten() {
            Ok(latency) => acknowledging.merge(&latency),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let acknowledged = acknowledging.total();
    // With a sender that failed nobody knows what is still to come; what came is counted all the same.
    all_sent.send_replace(Some(acknowledged));
    let Collected { received, repeated, last, delivering } = received.await??;
    match failed {
        Some(error) => Err(error),
        None => Ok(Sent {
            acknowledged,
            received,
            repeated,
            took: last.saturating_duration_since(course.begun),
            acknowledging,
            delivering,
        }),
    }
}

/// A message of its own for each number.
fn body(number: u64, since: Duration, bytes: usize) -> Bytes {
    let mut body = BytesMut::with_capacity(bytes.max(STAMP));
    body.put_u64(number);
    body.put_u64(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    body.resize(bytes.max(STAMP), b'x');
    body.freeze()
}

/// Number and time of a message; `None` when it is none of ours.
fn stamp(body: &[u8]) -> Option<(u64, Duration)> {
    let number = u64::from_be_bytes(body.get(..8)?.try_into().ok()?);
    let nanos = u64::from_be_bytes(body.get(8..STAMP)?.try_into().ok()?);
    Some((number, Duration::from_nanos(nanos)))
}

/// Messages of one sender that have no answer yet: the time of each, by its packet id.
struct Window {
    sent: Vec<Option<Instant>>,
    free: Vec<u16>,
}

impl Window {
    fn new(size: u16) -> Self {
        let size = size.max(1);
        Self { sent: vec![None; usize::from(size) + 1], free: (1..=size).rev().collect() }
    }

    fn is_empty(&self) -> bool {
        self.free.len() + 1 == self.sent.len()
    }

    fn take(&mut self, at: Instant) -> Option<u16> {
        let id = self.free.pop()?;
        self.sent[usize::from(id)] = Some(at);
        Some(id)
    }

    /// How long it took; nothing for an id that is not on its way.
    fn acknowledged(&mut self, id: u16, at: Instant) -> Option<Duration> {
        let sent = self.sent.get_mut(usize::from(id))?.take()?;
        self.free.push(id);
        Some(at.saturating_duration_since(sent))
    }
}

impl Course {
    /// The number of the next message, while there are some and time is left.
    fn number(&self) -> Option<u64> {
        if self.begun.elapsed() >= self.plan.limit {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.plan.messages).then_some(number)
    }
}

async fn send(
    mut connection: Connection,
    topic: String,
    course: Arc<Course>,
) -> Result<Histogram, LoadError> {
    let mut latency = Histogram::default();
    let mut window = Window::new(course.plan.window);
    let mut more = true;
    loop {
        while more && !window.free.is_empty() {
            let place = match course.room.try_acquire() {
                Ok(place) => place,
                // What is on its way comes first; then the receiver makes room.
                Err(_) if !window.is_empty() => break,
                Err(_) => {
                    in_time("room for a message", async {
                        course.room.acquire().await.map_err(|_| LoadError::Closed)
                    })
                    .await?
                }
            };
            let Some(number) = course.number() else {
                more = false;
                break;
            };
            place.forget();
            let now = Instant::now();
            let id = window.take(now);
            connection.publish(&topic, id, body(number, now - course.begun, course.plan.body))?;
        }
        connection.flush().await?;
        if window.is_empty() {
            break;
        }
        let mut received = in_time("an acknowledgement", connection.receive()).await?;
        loop {
            if let Received::PubAck(id) = received
                && let Some(took) = window.acknowledged(id, Instant::now())
            {
                latency.record(took);
            }
            match connection.ready()? {
                Some(next) => received = next,
                None => break,
            }
        }
    }
    connection.leave().await;
    Ok(latency)
}

struct Collected {
    received: u64,
    repeated: u64,
    last: Instant,
    delivering: Histogram,
}

/// Takes messages until all that were acknowledged are there, or none comes for a while.
async fn receive(
    mut connection: Connection,
    course: Arc<Course>,
    mut expected: tokio::sync::watch::Receiver<Option<u64>>,
) -> Result<Collected, LoadError> {
    let mut seen = vec![false; usize::try_from(course.plan.messages).unwrap_or_default()];
    let mut collected =
        Collected { received: 0, repeated: 0, last: course.begun, delivering: Histogram::default() };
    loop {
        if expected.borrow_and_update().is_some_and(|expected| collected.received >= expected) {
            break;
        }
        // Cancel-safe: `receive` keeps what was read, the channel keeps its value.
        let received = tokio::select! {
            received = timeout(PATIENCE, connection.receive()) => received,
            changed = expected.changed() => match changed {
                Ok(()) => continue,
                // The sending side was dropped: nobody waits for this any more.
                Err(_) => break,
            },
        };
        let Ok(received) = received else { break };
        let mut next = Some(received?);
        while let Some(received) = next {
            if let Received::Message { id, body, .. } = received {
                connection.acknowledge(id)?;
                collected.count(&body, &mut seen, &course);
            }
            next = connection.ready()?;
        }
        connection.flush().await?;
    }
    connection.leave().await;
    Ok(collected)
}

impl Collected {
    fn count(&mut self, body: &[u8], seen: &mut [bool], course: &Course) {
        let Some((number, sent)) = stamp(body) else { return };
        let Some(seen) = usize::try_from(number).ok().and_then(|number| seen.get_mut(number)) else { return };
        if std::mem::replace(seen, true) {
            self.repeated += 1;
            return;
        }
        self.received += 1;
        self.last = Instant::now();
        self.delivering.record(self.last.saturating_duration_since(course.begun).saturating_sub(sent));
        course.room.add_permits(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_which_it_is() {
        for (number, nanos, bytes) in [(0, 0, 0), (7, 1_000_000, 16), (u64::MAX, 3, 256)] {
            let body = body(number, Duration::from_nanos(nanos), bytes);
            assert_eq!(body.len(), bytes.max(STAMP));
            assert_eq!(stamp(&body), Some((number, Duration::from_nanos(nanos))));
        }
        assert_eq!(stamp(b"too short"), None);
    }

    #[test]
    fn a_window_has_as_many_places_as_it_says() {
        let (mut window, begun) = (Window::new(3), Instant::now());
        let ids: Vec<u16> = std::iter::from_fn(|| window.take(begun)).collect();
        assert_eq!((ids.as_slice(), window.is_empty()), (&[1, 2, 3][..], false));
        let later = begun + Duration::from_millis(5);
        assert_eq!(window.acknowledged(2, later), Some(Duration::from_millis(5)));
        assert_eq!(window.acknowledged(2, later), None, "acknowledged twice");
        assert_eq!(window.acknowledged(9, later), None, "never sent");
        assert_eq!((window.take(later), window.take(later)), (Some(2), None));
        for id in 1..=3 {
            assert!(window.acknowledged(id, later).is_some());
        }
        assert!(window.is_empty());
    }
}

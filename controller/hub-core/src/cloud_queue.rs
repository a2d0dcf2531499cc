//! What waits for devices: one queue per device, in the order of acceptance (reference device-protocol §7).
//!
//! A message is enqueued, locked by a receiver that must settle it in time, or on its way over a connection that must
//! acknowledge it. Locks are not on disk: after a restart everything is enqueued again, and whoever held a lock finds it
//! lost. Not here: what is told to the sender (`feedback_queue.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::DeviceId;
use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::moved,
    cloud_to_device::{Ack, CloudToDevice, LockToken},
    event::{ConnectionId, DeliveryId},
    message::Sequence,
    queue::{History, OVERHEAD, properties_bytes},
};

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct CloudQueues {
    by_device: BTreeMap<DeviceId, BTreeMap<Sequence, Kept>>,
    /// When each message next needs a look: its expiry, or the end of its lock.
    due: BTreeSet<(Timestamp, DeviceId, Sequence)>,
    messages: usize,
    bytes: usize,
    wanting_feedback: usize,
}

#[derive(Debug)]
struct Kept {
    message: Arc<CloudToDevice>,
    deliveries: u32,
    history: History,
    state: State,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Enqueued,
    Locked { token: LockToken, until: Timestamp },
    OnItsWay { carrier: Carrier, until: Timestamp },
}

/// What carries a message: a device may be reached over its own connection or over that of a hub beneath, which number their
/// deliveries alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carrier {
    pub(crate) connection: ConnectionId,
    pub(crate) delivery: DeliveryId,
}

/// Something whose time has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has expired, and nobody holds it rightfully.
    Expired(DeviceId, Sequence),
    /// A lock ran out and the message is enqueued again.
    Unlocked(DeviceId),
}

/// Memory that one message is charged with.
pub(crate) fn charge(message: &CloudToDevice) -> usize {
    message.body.len() + properties_bytes(&message.properties) + OVERHEAD
}

impl Kept {
    fn due(&self) -> Timestamp {
        match self.state {
            State::Enqueued => self.message.expires,
            State::Locked { until, .. } => until,
            // A client that is there may take its time, up to the expiry: over MQTT nothing is sent twice on one
            // connection (reference device-protocol §7, §B).
            State::OnItsWay { until, .. } => until.max(self.message.expires),
        }
    }
}

impl CloudQueues {
    /// Adds a message that is new, or was read from the store.
    pub(crate) fn push(&mut self, message: Arc<CloudToDevice>, deliveries: u32) {
        self.messages += 1;
        self.bytes += charge(&message);
        self.wanting_feedback += usize::from(message.ack != Ack::None);
        let (device, sequence) = (message.device.clone(), message.sequence);
        let kept = Kept { message, deliveries, history: History::Fresh, state: State::Enqueued };
        self.due.insert((kept.due(), device.clone(), sequence));
        self.by_device.entry(device).or_default().insert(sequence, kept);
    }

    /// Gives the oldest enqueued message to a receiver that will settle it.
    pub(crate) fn lock_next(
        &mut self,
        device: &DeviceId,
        token: LockToken,
        until: Timestamp,
    ) -> Option<(Arc<CloudToDevice>, u32)> {
        let sequence = self.first_enqueued(device)?;
        let kept = self.change(device, sequence, State::Locked { token, until })?;
        Some((kept.message.clone(), kept.deliveries))
    }

    /// Gives the oldest enqueued message to a connection that will acknowledge it, until `release_connection`.
    pub(crate) fn send_next(
        &mut self,
        device: &DeviceId,
        carrier: Carrier,
        until: Timestamp,
    ) -> Option<(Arc<CloudToDevice>, History)> {
        let sequence = self.first_enqueued(device)?;
        let kept = self.change(device, sequence, State::OnItsWay { carrier, until })?;
        Some((kept.message.clone(), kept.history))
    }

    /// The oldest enqueued message; it stays where it is.
    pub(crate) fn first(&self, device: &DeviceId) -> Option<Arc<CloudToDevice>> {
        let sequence = self.first_enqueued(device)?;
        Some(self.by_device.get(device)?.get(&sequence)?.message.clone())
    }

    /// The message that this lock holds.
    pub(crate) fn locked(&self, device: &DeviceId, lock: LockToken) -> Option<Sequence> {
        let holds = |state: State| match state {
            State::Locked { token, .. } => token == lock,
            State::Enqueued | State::OnItsWay { .. } => false,
        };
        self.find(device, holds)
    }

    /// The message that this delivery carries.
    pub(crate) fn on_its_way(&self, device: &DeviceId, wanted: Carrier) -> Option<Sequence> {
        let carries = |state: State| match state {
            State::OnItsWay { carrier, .. } => carrier == wanted,
            State::Enqueued | State::Locked { .. } => false,
        };
        self.find(device, carries)
    }

    /// Takes a message out for good.
    pub(crate) fn remove(&mut self, device: &DeviceId, sequence: Sequence) -> Option<Arc<CloudToDevice>> {
        let queue = self.by_device.get_mut(device)?;
        let kept = queue.remove(&sequence)?;
        if queue.is_empty() {
            self.by_device.remove(device);
        }
        self.due.remove(&(kept.due(), device.clone(), sequence));
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(charge(&kept.message));
        let wanted = usize::from(kept.message.ack != Ack::None);
        self.wanting_feedback = self.wanting_feedback.saturating_sub(wanted);
        Some(kept.message)
    }

    /// A receiver gave a message back: where it stood, once more delivered.
    pub(crate) fn give_back(
        &mut self,
        device: &DeviceId,
        sequence: Sequence,
    ) -> Option<(Arc<CloudToDevice>, u32)> {
        let kept = self.change(device, sequence, State::Enqueued)?;
        kept.deliveries += 1;
        Some((kept.message.clone(), kept.deliveries))
    }

    /// A connection is gone: what was on its way to a device over it is enqueued again, where it stood.
    pub(crate) fn release_connection(&mut self, device: &DeviceId, connection: ConnectionId) {
        let is_on_its_way = |kept: &Kept| match kept.state {
            State::OnItsWay { carrier, .. } => carrier.connection == connection,
            State::Enqueued | State::Locked { .. } => false,
        };
        let queue = self.by_device.get(device).into_iter().flatten();
        let back: Vec<Sequence> =
            queue.filter(|(_, kept)| is_on_its_way(kept)).map(|(sequence, _)| *sequence).collect();
        for sequence in back {
            if let Some(kept) = self.change(device, sequence, State::Enqueued) {
                kept.history = History::SentBefore;
            }
        }
    }

    /// The next thing whose time has come. An expired message is left to the caller to remove.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let (_, device, sequence) = self.due.first().filter(|(at, ..)| *at <= now).cloned()?;
        let kept = self.by_device.get(&device)?.get(&sequence)?;
        let expires = kept.message.expires;
        match kept.state {
            State::Locked { .. } if expires > now => {
                self.change(&device, sequence, State::Enqueued);
                Some(Due::Unlocked(device))
            }
            State::Locked { .. } | State::Enqueued | State::OnItsWay { .. } => {
                Some(Due::Expired(device, sequence))
            }
        }
    }

    /// Devices that something waits for.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.by_device.keys().cloned()
    }

    /// The clock was set: every lock lasts as long as before. Messages expire when they were to.
    pub(crate) fn clock_set(&mut self, by: SignedDuration) {
        for (device, queue) in &mut self.by_device {
            for (sequence, kept) in queue {
                let before = kept.due();
                match &mut kept.state {
                    State::Enqueued => continue,
                    State::Locked { until, .. } | State::OnItsWay { until, .. } => *until = moved(*until, by),
                }
                self.due.remove(&(before, device.clone(), *sequence));
                self.due.insert((kept.due(), device.clone(), *sequence));
            }
        }
    }

    /// Everything of one device.
    pub(crate) fn sequences(&self, device: &DeviceId) -> Vec<Sequence> {
        self.by_device.get(device).into_iter().flat_map(BTreeMap::keys).copied().collect()
    }

    /// How many messages one device has, those that somebody holds included.
    pub(crate) fn depth(&self, device: &DeviceId) -> usize {
        self.by_device.get(device).map_or(0, BTreeMap::len)
    }

    /// Messages in all queues.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes in all queues.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages whose outcome may have to be told.
    pub(crate) fn wanting_feedback(&self) -> usize {
        self.wanting_feedback
    }

    fn first_enqueued(&self, device: &DeviceId) -> Option<Sequence> {
        self.find(device, |state| state == State::Enqueued)
    }

    fn find(&self, device: &DeviceId, fits: impl Fn(State) -> bool) -> Option<Sequence> {
        // At most as many as one device may have waiting.
        let mut queue = self.by_device.get(device)?.iter();
        queue.find(|(_, kept)| fits(kept.state)).map(|(sequence, _)| *sequence)
    }

    fn change(&mut self, device: &DeviceId, sequence: Sequence, state: State) -> Option<&mut Kept> {
        let kept = self.by_device.get_mut(device)?.get_mut(&sequence)?;
        self.due.remove(&(kept.due(), device.clone(), sequence));
        kept.state = state;
        self.due.insert((kept.due(), device.clone(), sequence));
        Some(kept)
    }
}

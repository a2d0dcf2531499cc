//! Sessions: what a client is subscribed to, and, while it is connected, what is on its way to it.
//!
//! One struct per state. An offline session has no connection and nothing on its way, so sending to it does not compile.

use std::{collections::BTreeMap, sync::Arc};

use hemline_model::id::{ClientId, DeviceId};
use hemline_protocol::topic::user_filter;
use jiff::Timestamp;

use crate::{
    credential::Presented,
    event::{ConnectionId, DeliveryId, Feature, Grant, Qos, Will},
    message::AuthMethod,
    queue::{self, Place, Waiting},
    write::{Away, SessionRecord},
};

/// The session of one identity.
#[derive(Debug)]
pub(crate) enum Session {
    Connected(Connected),
    Offline(Offline),
}

/// A client that is there.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) connection: ConnectionId,
    pub(crate) auth: AuthMethod,
    /// What it was let in with, unless that was a token.
    pub(crate) certificate: Option<Arc<Presented>>,
    pub(crate) generation: Arc<str>,
    /// End of the token plus grace.
    pub(crate) closes: Timestamp,
    pub(crate) will: Option<Box<Will>>,
    pub(crate) grants: Grants,
    pub(crate) keep: Keep,
    pub(crate) flight: Flight,
    /// Cloud-to-device messages on their way to devices beneath this hub of an edge device.
    pub(crate) relayed: BTreeMap<DeliveryId, DeviceId>,
    pub(crate) next_delivery: u64,
    pub(crate) since: Timestamp,
    pub(crate) active: Timestamp,
}

/// Messages of a queue that were sent and are not acknowledged yet, in the order of sending.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    waiting: BTreeMap<DeliveryId, (Place, Waiting)>,
    bytes: usize,
}

/// A client that was there, or a session read from the store.
#[derive(Debug, Default)]
pub(crate) struct Offline {
    /// What is subscribed when it comes back; `None` after a clean session, of which only the times remain.
    pub(crate) stored: Option<Grants>,
    /// How long it waits already, as it is on disk.
    pub(crate) away: Option<Away>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) active: Option<Timestamp>,
}

/// Does the session outlive the connection (MQTT clean session 0)?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Durable,
    WhileConnected,
}

/// Subscriptions in the order they were asked for, each filter once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Grants(Vec<Grant>);

/// When a client came or went, and when it last did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) connected: bool,
    /// Cloud-to-device messages that wait for it.
    pub(crate) cloud_messages: usize,
    pub(crate) since: Option<Timestamp>,
    pub(crate) active: Option<Timestamp>,
}

impl Session {
    /// The state to show.
    pub(crate) fn presence(&self) -> Presence {
        match self {
            Self::Connected(Connected { since, active, .. }) => {
                Presence { connected: true, cloud_messages: 0, since: Some(*since), active: Some(*active) }
            }
            Self::Offline(Offline { since, active, .. }) => {
                Presence { connected: false, cloud_messages: 0, since: *since, active: *active }
            }
        }
    }

    /// What is subscribed, there or not; `None` when nothing is kept.
    pub(crate) fn grants(&self) -> Option<&Grants> {
        match self {
            Self::Connected(connected) => Some(&connected.grants),
            Self::Offline(offline) => offline.stored.as_ref(),
        }
    }

    /// The connected state, if it is that.
    pub(crate) fn connected(&self) -> Option<&Connected> {
        match self {
            Self::Connected(connected) => Some(connected),
            Self::Offline(_) => None,
        }
    }

    /// The connected state, if it is that.
    pub(crate) fn connected_mut(&mut self) -> Option<&mut Connected> {
        match self {
            Self::Connected(connected) => Some(connected),
            Self::Offline(_) => None,
        }
    }
}

impl Connected {
    /// The connection is gone: what remains of the session, and what was on its way.
    pub(crate) fn into_offline(self, now: Timestamp) -> (Offline, Vec<(Place, Waiting)>) {
        let stored = match self.keep {
            Keep::Durable => Some(self.grants),
            Keep::WhileConnected => None,
        };
        let offline = Offline { stored, away: None, since: Some(now), active: Some(self.active) };
        (offline, self.flight.waiting.into_values().collect())
    }

    /// A number for the next message that has to be acknowledged.
    pub(crate) fn delivery(&mut self) -> DeliveryId {
        self.next_delivery += 1;
        DeliveryId(self.next_delivery)
    }
}

impl Flight {
    /// One more was sent.
    pub(crate) fn insert(&mut self, delivery: DeliveryId, place: Place, waiting: Waiting) {
        self.bytes += queue::charge(&waiting.message);
        self.waiting.insert(delivery, (place, waiting));
    }

    /// It was acknowledged. `None` when it is none of these.
    pub(crate) fn remove(&mut self, delivery: &DeliveryId) -> Option<(Place, Waiting)> {
        let (place, waiting) = self.waiting.remove(delivery)?;
        self.bytes = self.bytes.saturating_sub(queue::charge(&waiting.message));
        Some((place, waiting))
    }

    /// May another one be sent, whatever its size? So many bytes more than the limit at most are then on their way.
    pub(crate) fn has_room(&self, messages: usize, bytes: usize) -> bool {
        self.waiting.len() < messages && self.bytes < bytes
    }
}

impl Grants {
    /// As read from the store.
    pub(crate) fn restored(record: &SessionRecord) -> Self {
        Self(record.grants.clone())
    }

    /// As it goes to the store.
    pub(crate) fn record(&self, client: &ClientId, away: Option<Away>) -> SessionRecord {
        SessionRecord { client: client.clone(), grants: self.0.clone(), away }
    }

    /// Takes the subscriptions to user-defined topics away.
    pub(crate) fn forget_users_topics(&mut self) {
        self.0.retain(|grant| user_filter(&grant.filter).is_none());
    }

    /// Is nothing subscribed?
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds subscriptions; the same filter again replaces the one before.
    pub(crate) fn add(&mut self, grants: Vec<Grant>) {
        for grant in grants {
            match self.0.iter_mut().find(|known| known.filter == grant.filter) {
                Some(known) => *known = grant,
                None => self.0.push(grant),
            }
        }
    }

    /// Removes subscriptions by their filter text.
    pub(crate) fn remove(&mut self, filters: &[String]) {
        self.0.retain(|grant| !filters.contains(&grant.filter));
    }

    /// The best guarantee of the subscriptions that cover this, or `None` when none does.
    pub(crate) fn qos(&self, feature: Feature) -> Option<Qos> {
        self.0.iter().filter(|grant| grant.features.contains(&feature)).map(|grant| grant.qos).max()
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

//! Direct method calls on their way: waiting for the client to come, or for its answer. At most once, never stored.
//!
//! Not here: what is sent and replied (`core/methods.rs`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hemline_model::id::ClientId;
use jiff::{SignedDuration, Timestamp};

use crate::{
    clock::moved,
    event::{ConnectionId, RequestId},
    upstream::LinkId,
};

/// Who waits for the outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A caller of this hub.
    Request(RequestId),
    /// The parent of this hub, as long as the link lasts.
    Parent { link: LinkId, rid: String },
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) asker: Asker,
    pub(crate) client: ClientId,
    pub(crate) name: String,
    pub(crate) payload: Bytes,
    pub(crate) response_timeout: u32,
    pub(crate) connect_timeout: u32,
    pub(crate) stage: Stage,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The client is not there, or does not listen for methods.
    Waiting { until: Timestamp },
    /// Sent on this connection.
    Sent { connection: ConnectionId, until: Timestamp },
}

impl Stage {
    fn until(self) -> Timestamp {
        match self {
            Self::Waiting { until } | Self::Sent { until, .. } => until,
        }
    }
}

/// Number of a call; printed in hexadecimal it is the request id that the client sees. Not used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

impl CallId {
    /// As the client sees it.
    pub(crate) fn rid(self) -> String {
        format!("{:x}", self.0)
    }

    /// From what the client echoes.
    pub(crate) fn from_rid(rid: &str) -> Option<Self> {
        u64::from_str_radix(rid, 16).ok().map(Self)
    }
}

/// All calls on their way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: BTreeMap<CallId, Call>,
    by_client: BTreeMap<ClientId, BTreeSet<CallId>>,
    deadlines: BTreeSet<(Timestamp, CallId)>,
    last: u64,
}

impl Calls {
    /// None; numbers begin after this one.
    pub(crate) fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// One more.
    pub(crate) fn add(&mut self, call: Call) -> CallId {
        self.last = self.last.wrapping_add(1);
        let id = CallId(self.last);
        self.deadlines.insert((call.stage.until(), id));
        self.by_client.entry(call.client.clone()).or_default().insert(id);
        self.calls.insert(id, call);
        id
    }

    /// Looks at one.
    pub(crate) fn get(&self, id: CallId) -> Option<&Call> {
        self.calls.get(&id)
    }

    /// Calls of one client in the order they came.
    pub(crate) fn of(&self, client: &ClientId) -> Vec<CallId> {
        self.by_client.get(client).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    /// All calls in the order they came.
    pub(crate) fn all(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }

    /// Whoever is called.
    pub(crate) fn clients(&self) -> Vec<ClientId> {
        self.by_client.keys().cloned().collect()
    }

    /// A call moves on.
    pub(crate) fn set_stage(&mut self, id: CallId, stage: Stage) {
        if let Some(call) = self.calls.get_mut(&id) {
            self.deadlines.remove(&(call.stage.until(), id));
            self.deadlines.insert((stage.until(), id));
            call.stage = stage;
        }
    }

    /// A call is over.
    pub(crate) fn remove(&mut self, id: CallId) -> Option<Call> {
        let call = self.calls.remove(&id)?;
        self.deadlines.remove(&(call.stage.until(), id));
        if let Some(ids) = self.by_client.get_mut(&call.client) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_client.remove(&call.client);
            }
        }
        Some(call)
    }

    /// Takes out one call whose time has run out, if there is one.
    pub(crate) fn overdue(&mut self, now: Timestamp) -> Option<Call> {
        let (until, id) = *self.deadlines.first()?;
        if until > now { None } else { self.remove(id) }
    }

    /// The clock was set: every call has as long as before.
    pub(crate) fn clock_set(&mut self, by: SignedDuration) {
        for call in self.calls.values_mut() {
            match &mut call.stage {
                Stage::Waiting { until } | Stage::Sent { until, .. } => *until = moved(*until, by),
            }
        }
        self.deadlines = self.calls.iter().map(|(id, call)| (call.stage.until(), *id)).collect();
    }

    /// Takes out any call, until there are none.
    pub(crate) fn pop(&mut self) -> Option<Call> {
        let id = *self.calls.keys().next()?;
        self.remove(id)
    }
}

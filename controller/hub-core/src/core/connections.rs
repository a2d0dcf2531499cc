//! Clients come, subscribe and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hemline_model::id::{ClientId, DeviceId};
use jiff::Timestamp;

use super::{Core, messages::LastWords};
use crate::{
    change_event::Change,
    clock::later,
    credential::Credential,
    effect::{AuthFailure, CloseReason, Effect, Notice, Refusal},
    event::{AckToken, Connect, ConnectionId, Departure, Grant, Qos},
    queue::Line,
    session::{Connected, Flight, Grants, Keep, Offline, Session},
    write::Write,
};

/// Why a connection ends, seen from the core.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It said goodbye, or the hub stops.
    Left,
    /// The socket is gone.
    Lost,
    /// The hub closes it.
    Closed(CloseReason),
}

impl End {
    /// Is the will of the client published (MQTT 3.1.1, §3.1.2.5)? Not for an identity that is gone or may not speak.
    fn speaks_will(self) -> bool {
        match self {
            Self::Left | Self::Closed(CloseReason::IdentityGone) => false,
            Self::Lost
            | Self::Closed(
                CloseReason::TakenOver
                | CloseReason::TokenExpired
                | CloseReason::QueueFull
                | CloseReason::ProtocolError
                | CloseReason::TopicDenied
                | CloseReason::RetainedFull,
            ) => true,
        }
    }
}

impl Core {
    pub(super) fn connect(&mut self, connect: Connect, now: Timestamp, out: &mut Vec<Effect>) {
        let Connect { connection, host, client, credential, clean, model_id, will, peer: _ } = connect;
        if let Some(known) = self.connections.get(&connection).cloned() {
            self.end(&known, End::Closed(CloseReason::ProtocolError), now, out);
            return;
        }
        // It would be its own parent, and carry everything round for ever.
        if self.own_hub().is_some_and(|own| own == client) {
            return self.refuse(connection, AuthFailure::OutOfScope, out);
        }
        let proof = match self.gate(now).connect(&host, &client, &credential) {
            Ok(proof) => proof,
            Err(failure) => return self.refuse(connection, failure, out),
        };
        let Some(generation) = self.registry.identity(&client).map(|identity| identity.generation.clone())
        else {
            return self.refuse(connection, AuthFailure::UnknownIdentity, out);
        };
        if self.kept_out(&client) {
            return self.refuse(connection, AuthFailure::TopicPolicy, out);
        }
        // Only after the proof: whoever cannot prove anything must not use up the turns of somebody else.
        if self.arrivals.take(client.clone(), now).is_err() {
            self.counters.connects_throttled += 1;
            return out.push(Effect::Refuse { connection, refusal: Refusal::Unavailable });
        }
        let was_there = self.presence(&client).connected;
        // Within one event, so nobody ever sees two connections of one identity, or the newcomer refused.
        self.end(&client, End::Closed(CloseReason::TakenOver), now, out);
        let (stored, away) = match self.sessions.remove(&client) {
            Some(Session::Offline(offline)) => (offline.stored, offline.away),
            Some(Session::Connected(_)) | None => (None, None),
        };
        // What has expired in the meantime has to be subscribed again.
        let session_present = stored.is_some() && !clean && !away.is_some_and(|away| self.has_expired(away));
        let (keep, grants) = if clean {
            let waited = self.forget_waiting(&client);
            // Also one without subscriptions: a session that was on disk once would be found again after a restart.
            if stored.is_some() || waited {
                out.push(Effect::Persist(Write::DeleteSession(client.clone())));
            }
            (Keep::WhileConnected, Grants::default())
        } else {
            let grants = stored.unwrap_or_default();
            if away.is_some() {
                out.push(Effect::Persist(Write::PutSession(grants.record(&client, None))));
            }
            (Keep::Durable, grants)
        };
        let closes = later(proof.expiry, self.config.limits.token_grace_seconds);
        let connected = Connected {
            connection,
            auth: proof.method,
            certificate: match credential {
                Credential::Certificate(certificate) => Some(certificate),
                Credential::Token(_) => None,
            },
            generation,
            closes,
            will,
            grants,
            keep,
            flight: Flight::default(),
            relayed: BTreeMap::new(),
            next_delivery: 0,
            since: now,
            active: now,
        };
        self.sessions.insert(client.clone(), Session::Connected(connected));
        self.connections.insert(connection, client.clone());
        self.closing.insert((closes, connection));
        self.enter_topics(&client);
        self.counters.connects += 1;
        self.announce_model(&client, model_id, out);
        out.push(Effect::Accept { connection, client: client.clone(), session_present });
        out.push(Effect::Notify(Notice::Connection { client: client.clone(), connected: true }));
        if !was_there {
            let number = self.connection_event(now);
            self.happened(&client, now, out, || Some(Change::Connected(number)));
        }
        self.send_calls(&client, now, out);
        self.pump(&client, now, out);
        self.pump_cloud(&client, now, out);
        self.pump_topics(&client, out);
        self.serve_beneath(&client, now, out);
    }

    fn refuse(&mut self, connection: ConnectionId, failure: AuthFailure, out: &mut Vec<Effect>) {
        *self.counters.refusals.entry(failure).or_default() += 1;
        out.push(Effect::Refuse { connection, refusal: Refusal::NotAuthorised(failure) });
    }

    fn announce_model(&mut self, client: &ClientId, model_id: Option<String>, out: &mut Vec<Effect>) {
        if let (Some(model_id), Some(twin)) = (model_id, self.twins.get_mut(client))
            && twin.model_id != model_id
        {
            Arc::make_mut(twin).model_id = model_id;
            out.push(Effect::Persist(Write::PutTwin(Arc::clone(twin))));
        }
    }

    pub(super) fn subscribe(
        &mut self,
        connection: ConnectionId,
        grants: Vec<Grant>,
        token: AckToken,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let limit = self.config.limits.grants;
        let Some(client) = self.connections.get(&connection).cloned() else {
            return;
        };
        // Before they are judged and merged: that takes time for each of them, and one packet has room for tens of thousands.
        if grants.len() > limit {
            return self.end(&client, End::Closed(CloseReason::ProtocolError), now, out);
        }
        let qos: Vec<Option<Qos>> = grants.iter().map(|grant| self.granted(&client, grant)).collect();
        let granted = grants.into_iter().zip(&qos).filter_map(|(grant, qos)| qos.map(|_| grant));
        let granted: Vec<Grant> = granted.collect();
        let Some((_, connected)) = self.connected(connection) else {
            return;
        };
        let mut changed = connected.grants.clone();
        changed.add(granted.clone());
        if changed.len() > limit {
            return self.end(&client, End::Closed(CloseReason::ProtocolError), now, out);
        }
        connected.active = now;
        store_grants(&client, connected, changed, out);
        self.enter_topics(&client);
        out.push(Effect::Granted { connection, token, qos });
        self.send_calls(&client, now, out);
        self.pump(&client, now, out);
        self.pump_cloud(&client, now, out);
        self.send_retained(&client, &granted, out);
        self.serve_beneath(&client, now, out);
    }

    pub(super) fn unsubscribe(
        &mut self,
        connection: ConnectionId,
        filters: &[String],
        token: AckToken,
        out: &mut Vec<Effect>,
    ) {
        let Some((client, connected)) = self.connected(connection) else {
            return;
        };
        let mut changed = connected.grants.clone();
        changed.remove(filters);
        store_grants(&client, connected, changed, out);
        self.enter_topics(&client);
        out.push(Effect::Revoked { connection, token });
    }

    pub(super) fn disconnected(
        &mut self,
        connection: ConnectionId,
        departure: Departure,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let end = match departure {
            Departure::Orderly => End::Left,
            Departure::Vanished => End::Lost,
        };
        if let Some(client) = self.connections.get(&connection).cloned() {
            self.end(&client, end, now, out);
        }
    }

    /// Ends the connection of a client, if it has one. What was on its way waits again; calls it was to answer fail.
    pub(super) fn end(&mut self, client: &ClientId, end: End, now: Timestamp, out: &mut Vec<Effect>) {
        let mut connected = match self.sessions.remove(client) {
            Some(Session::Connected(connected)) => connected,
            Some(Session::Offline(offline)) => {
                self.sessions.insert(client.clone(), Session::Offline(offline));
                return;
            }
            None => return,
        };
        let connection = connected.connection;
        self.connections.remove(&connection);
        self.closing.remove(&(connected.closes, connection));
        let last = connected.will.take().map(|will| LastWords {
            will,
            generation: Arc::clone(&connected.generation),
            auth: connected.auth,
        });
        let relayed: BTreeSet<DeviceId> = std::mem::take(&mut connected.relayed).into_values().collect();
        let (offline, flight) = connected.into_offline(now);
        self.queues.take_back(Line::Module(client), flight);
        if client.module.is_none() {
            self.cloud.release_connection(&client.device, connection);
        }
        self.sessions.insert(client.clone(), Session::Offline(offline));
        self.topics.queues.ground(client);
        self.enter_topics(client);
        for device in relayed {
            self.cloud.release_connection(&device, connection);
            // It may be here itself by now.
            self.send_cloud(&ClientId::device(device), now, out);
        }
        let replaced = match end {
            End::Left | End::Lost => false,
            End::Closed(reason) => {
                out.push(Effect::Close { connection, reason });
                match reason {
                    CloseReason::TakenOver => self.counters.take_overs += 1,
                    CloseReason::TokenExpired => self.counters.tokens_expired += 1,
                    CloseReason::IdentityGone
                    | CloseReason::QueueFull
                    | CloseReason::ProtocolError
                    | CloseReason::TopicDenied
                    | CloseReason::RetainedFull => {}
                }
                reason == CloseReason::TakenOver
            }
        };
        self.fail_calls_on(client, connection, out);
        if let (Some(last), true) = (last, end.speaks_will()) {
            self.publish_will(client, last, now, out);
        }
        if !replaced {
            out.push(Effect::Notify(Notice::Connection { client: client.clone(), connected: false }));
            let number = self.connection_event(now);
            self.happened(client, now, out, || Some(Change::Disconnected(number)));
        }
    }

    /// The number of the next event about a connection: from the clock, so that it goes on after a restart, and larger than
    /// the one before whatever the clock does.
    fn connection_event(&mut self, now: Timestamp) -> u128 {
        let clock = u128::try_from(now.as_nanosecond()).unwrap_or_default();
        self.last_connection_event = clock.max(self.last_connection_event.saturating_add(1));
        self.last_connection_event
    }

    /// A client did something without a connection.
    pub(super) fn saw(&mut self, client: &ClientId, now: Timestamp) {
        match self.sessions.entry(client.clone()).or_insert_with(|| Session::Offline(Offline::default())) {
            Session::Connected(connected) => connected.active = now,
            Session::Offline(offline) => offline.active = Some(now),
        }
    }

    /// The client behind a connection, with its state.
    pub(super) fn connected(&mut self, connection: ConnectionId) -> Option<(ClientId, &mut Connected)> {
        let client = self.connections.get(&connection)?;
        let connected = self.sessions.get_mut(client)?.connected_mut()?;
        Some((client.clone(), connected))
    }
}

/// Keeps subscriptions, on disk too when the session outlives its connection and something has changed.
pub(super) fn store_grants(
    client: &ClientId,
    connected: &mut Connected,
    changed: Grants,
    out: &mut Vec<Effect>,
) {
    if changed == connected.grants {
        return;
    }
    connected.grants = changed;
    match connected.keep {
        Keep::Durable => out.push(Effect::Persist(Write::PutSession(connected.grants.record(client, None)))),
        Keep::WhileConnected => {}
    }
}

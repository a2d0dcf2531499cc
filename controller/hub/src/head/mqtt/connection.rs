//! One MQTT connection from the first byte to the last. Works on any byte stream.

use std::time::Duration;

use hemline_hub_core::{
    effect::Refusal,
    event::{Connect, ConnectionId, Departure, Event},
};
use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    MqttHead,
    closed::{Closed, Fault},
    codec::{self, ClientPacket, ConnectCode, ConnectPacket, DecodeError},
    connecting,
    session::Session,
    wire::{Moved, Wire},
};
use crate::{
    door::{Origin, Pass},
    outbox::{End, Heard, Inbox, ToClient},
    visitor::Visitor,
};

/// Largest packet before the client is known: a CONNECT with a token and a modest will.
const FIRST_PACKET_BYTES: usize = 32 << 10;

/// First byte of CONNECT.
const CONNECT: u8 = 0x10;

/// The core answers at once; this bounds a core that waits for a slow disk.
const VERDICT: Duration = Duration::from_secs(30);

/// What is left to send at the end is sent within this time.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves one client until either side ends it.
///
/// Coming in and going have memory of their own, which goes when they are over: a task is as large as the largest thing it
/// ever waits for, and most connections do nothing else for days than to wait for a packet.
pub(crate) fn serve<'h, S: AsyncRead + AsyncWrite + Unpin + 'h>(
    head: &'h MqttHead,
    stream: S,
    visitor: Visitor,
    pass: Pass,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<'h, S> {
    // Outside of the block, which would keep room for all of this as long as it runs.
    let entering = Box::pin(enter(head, stream, visitor, pass, stop));
    async move {
        let Some(mut live) = entering.await else { return };
        let closed = live.run().await;
        Box::pin(live.leave(closed)).await;
    }
}

/// From the first byte to CONNACK. `None` for whoever is not let in; that is told and counted.
async fn enter<S: AsyncRead + AsyncWrite + Unpin>(
    head: &MqttHead,
    stream: S,
    visitor: Visitor,
    pass: Pass,
    stop: CancellationToken,
) -> Option<Live<'_, S>> {
    let mut wire = Wire::new(stream);
    // Cancelling drops a connection that nobody knows yet, so that is safe.
    let first = tokio::select! {
        first = timeout(head.limits.connect, first_packet(&mut wire)) => first,
        () = pass.taken.cancelled() => {
            head.counters.connections_turned_away.add();
            return None;
        }
        () = stop.cancelled() => return None,
    };
    let mut packet = match first {
        Ok(Ok(packet)) => packet,
        failed => {
            no_connect(head, wire, &visitor, failed.map(Result::err).ok().flatten()).await;
            return None;
        }
    };
    let keep_alive = silence(packet.keep_alive, head.limits.keep_alive_cap);
    let connection = head.mailbox.next_connection();
    let (origin, will, now) = (visitor.origin, packet.will.take(), Timestamp::now());
    // Before anything that costs: the client id of a good CONNECT is the identity.
    if let Err(wait) = head.door.may_try(origin, Some(&packet.client_id), now) {
        head.counters.connects_throttled.add();
        let peer = visitor.address.to_string();
        head.complain(&peer, &wait.to_string(), "an MQTT client was told to come later");
        refuse(wire, ConnectCode::Unavailable).await;
        return None;
    }
    match connecting::request(packet, connection, &visitor, now) {
        Ok(mut request) => {
            match will.map(|will| connecting::will(will, &request.client)).transpose() {
                Ok(will) => request.will = will.map(Box::new),
                Err(error) => {
                    let client = request.client.to_string();
                    head.complain(&client, &error.to_string(), "the will of an MQTT client is not kept");
                }
            }
            admit(head, wire, request, At { origin, pass }, keep_alive, stop).await
        }
        Err(error) => {
            head.counters.connects_malformed.add();
            head.door.failed(origin, None, now);
            head.complain("", &error.to_string(), "an MQTT client was turned away");
            refuse(wire, ConnectCode::NotAuthorised).await;
            None
        }
    }
}

/// What came first was no CONNECT; without a reason nothing whole came in time.
async fn no_connect<S: AsyncRead + AsyncWrite + Unpin>(
    head: &MqttHead,
    wire: Wire<S>,
    visitor: &Visitor,
    closed: Option<Closed>,
) {
    head.counters.connects_malformed.add();
    let peer = visitor.address.to_string();
    match closed {
        Some(Closed::Packet(DecodeError::Level)) => refuse(wire, ConnectCode::Level).await,
        Some(closed) => {
            head.complain(&peer, &closed.to_string(), "an MQTT connection did not begin with CONNECT");
        }
        None => head.complain(&peer, "no CONNECT", "an MQTT connection sent no CONNECT in time"),
    }
}

async fn first_packet<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
) -> Result<ConnectPacket, Closed> {
    loop {
        match wire.packet(FIRST_PACKET_BYTES)? {
            Some(ClientPacket::Connect(connect)) => return Ok(connect),
            Some(_) => return Err(Closed::OutOfPlace("something else before CONNECT")),
            None => {}
        }
        if wire.step().await? == Moved::End {
            return Err(Closed::Lost);
        }
        if !wire.begins_with(CONNECT) {
            // An HTTP request, say: its bytes look like the start of a long packet and would wait for the rest.
            return Err(Closed::OutOfPlace("something else before CONNECT"));
        }
    }
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<S>, code: ConnectCode) {
    codec::connack(&mut wire.output, code, false);
    // A client that does not even take four bytes is not waited for.
    drop(timeout(FAREWELL, wire.finish()).await);
}

/// One and a half times the keep-alive, capped; 0 means the cap (reference device-protocol §3.3).
fn silence(keep_alive: u16, cap: Duration) -> Duration {
    match keep_alive {
        0 => cap,
        seconds => Duration::from_millis(u64::from(seconds) * 1_500).min(cap),
    }
}

/// Where a client comes from, and its place among those that are not let in yet.
struct At {
    origin: Origin,
    pass: Pass,
}

/// Asks the core. Whoever it lets in must be told of to the core again when it goes.
async fn admit<S: AsyncRead + AsyncWrite + Unpin>(
    head: &MqttHead,
    mut wire: Wire<S>,
    request: Connect,
    at: At,
    keep_alive: Duration,
    stop: CancellationToken,
) -> Option<Live<'_, S>> {
    let connection = request.connection;
    let client = request.client.clone();
    let mut inbox = head.outbox.connect(connection);
    if head.mailbox.event(Event::Connect(request)).await.is_err() {
        refuse(wire, ConnectCode::Unavailable).await;
        return None;
    }
    match verdict(&mut inbox).await {
        Verdict::Accepted { session_present } => {
            drop(at.pass);
            codec::connack(&mut wire.output, ConnectCode::Accepted, session_present);
            wire.begin_output();
            tracing::debug!(%client, connection = connection.0, session_present, "an MQTT client connected");
            let session = Session::new(connection, client, head.limits.unacknowledged);
            Some(Live { head, wire, session, inbox, keep_alive, stop })
        }
        Verdict::Refused(refusal) => {
            head.counters.connects_refused.add();
            let name = client.to_string();
            head.complain(&name, &refusal.to_string(), "an MQTT client was turned away");
            let departure = Departure::Vanished;
            drop(head.mailbox.event(Event::Disconnected { connection, departure }).await);
            let code = match refusal {
                Refusal::NotAuthorised(_) => {
                    head.door.failed(at.origin, Some(&name), Timestamp::now());
                    ConnectCode::NotAuthorised
                }
                Refusal::Unavailable => ConnectCode::Unavailable,
            };
            refuse(wire, code).await;
            None
        }
    }
}

enum Verdict {
    Accepted { session_present: bool },
    Refused(Refusal),
}

async fn verdict(inbox: &mut Inbox) -> Verdict {
    match timeout(VERDICT, inbox.next(true)).await {
        Ok(Heard::Packet(ToClient::Accept { session_present })) => Verdict::Accepted { session_present },
        Ok(Heard::Packet(ToClient::Refuse(refusal))) => Verdict::Refused(refusal),
        // The hub stopped or failed, or a newer connection of the same identity was faster.
        Ok(_) | Err(_) => Verdict::Refused(Refusal::Unavailable),
    }
}

/// A client that is in.
struct Live<'a, S> {
    head: &'a MqttHead,
    wire: Wire<S>,
    session: Session,
    inbox: Inbox,
    keep_alive: Duration,
    stop: CancellationToken,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Live<'_, S> {
    async fn run(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.round().await {
                return closed;
            }
        }
    }

    /// The core first: a successor must not find this one still connected while a slow socket is flushed.
    async fn leave(mut self, closed: Closed) {
        let (connection, client) = (self.session.connection(), self.session.client().to_string());
        let topic = self.session.last_topic.take();
        self.head.ended(&client, connection, &closed, topic.as_deref());
        let departure = closed.departure();
        drop(self.head.mailbox.event(Event::Disconnected { connection, departure }).await);
        drop(self.inbox);
        drop(timeout(FAREWELL, self.wire.finish()).await);
    }

    /// Handles everything that is there, then waits for one thing.
    async fn round(&mut self) -> Result<(), Closed> {
        self.incoming().await?;
        self.outgoing().await?;
        let (deadline, has_room) = (self.deadline(), self.wire.has_room());
        // Every arm is cancel-safe: tokens and timers keep no state, `step` and `next` say so themselves.
        tokio::select! {
            moved = self.wire.step() => match moved? {
                Moved::Bytes => Ok(()),
                Moved::End => Err(Closed::Lost),
            },
            heard = self.inbox.next(has_room) => match heard {
                Heard::Packet(message) => self.tell(message).await,
                Heard::End(End::Slow) => Err(Closed::Slow),
                Heard::End(End::Said | End::Hub) => Err(Closed::HubStops),
            },
            () = self.stop.cancelled() => Err(Closed::HubStops),
            () = sleep_until(deadline) => self.overdue(),
        }
    }

    async fn incoming(&mut self) -> Result<(), Closed> {
        while self.wire.has_room() {
            let Some(packet) = self.wire.packet(self.head.limits.packet_bytes)? else { return Ok(()) };
            self.wire.begin_output();
            if let Some(event) = self.session.receive(packet, &mut self.wire.output)? {
                self.head.mailbox.event(event).await.map_err(|_| Closed::HubStops)?;
            }
        }
        Ok(())
    }

    async fn outgoing(&mut self) -> Result<(), Closed> {
        while self.wire.has_room() {
            let Some(message) = self.inbox.ready() else { return Ok(()) };
            self.tell(message).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, message: ToClient) -> Result<(), Closed> {
        self.wire.begin_output();
        if let Some(event) = self.session.send(message, &mut self.wire.output)? {
            self.head.mailbox.event(event).await.map_err(|_| Closed::HubStops)?;
        }
        Ok(())
    }

    fn silent_at(&self) -> Instant {
        self.wire.heard + self.keep_alive
    }

    fn stuck_at(&self) -> Instant {
        self.wire.stuck_since + self.head.limits.write_stall
    }

    fn deadline(&self) -> Instant {
        if self.wire.pending() { self.silent_at().min(self.stuck_at()) } else { self.silent_at() }
    }

    fn overdue(&self) -> Result<(), Closed> {
        let now = Instant::now();
        if self.wire.pending() && now >= self.stuck_at() {
            return Err(Closed::Slow);
        }
        if now >= self.silent_at() { Err(Closed::Silent) } else { Ok(()) }
    }
}

// === what is told ===

impl MqttHead {
    fn complain(&self, identity: &str, reason: &str, what: &'static str) {
        if self.refusals.first(identity, reason, std::time::Instant::now()) {
            tracing::warn!(identity, reason, "{what}");
        }
    }

    fn ended(&self, client: &str, connection: ConnectionId, closed: &Closed, topic: Option<&str>) {
        match closed.fault() {
            Fault::None => {
                tracing::debug!(client, connection = connection.0, reason = %closed, "an MQTT client is gone");
                return;
            }
            Fault::Refused => {
                self.counters.protocol_errors.add();
                let topic = topic.unwrap_or("none; it had subscribed");
                let reason = format!("{closed}; the last topic it published to: {topic}");
                return self.complain(client, &reason, "an MQTT client was closed");
            }
            Fault::Protocol => self.counters.protocol_errors.add(),
            Fault::Silence => self.counters.keep_alive_timeouts.add(),
            Fault::Slowness => self.counters.slow_clients.add(),
        }
        self.complain(client, &closed.to_string(), "an MQTT client was closed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_allowed() {
        let cap = Duration::from_secs(1_767);
        let told: Vec<u64> =
            [0, 1, 60, 1_177, 1_178, 1_179, u16::MAX].map(|s| silence(s, cap).as_millis() as u64).into();
        assert_eq!(told, [1_767_000, 1_500, 90_000, 1_765_500, 1_767_000, 1_767_000, 1_767_000]);
    }
}

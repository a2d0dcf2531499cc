//! Accepts MQTT connections, with TLS or, on loopback, without. Nothing slow happens here: the handshake belongs to the
//! connection's own task.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{MqttHead, connection};
use crate::{
    door::{Pass, Places},
    tls::Handshakes,
    visitor::Visitor,
    x509::DeviceAuthorities,
};

/// After a failed accept (no file descriptors, mostly) the loop rests, instead of spinning until one is free.
const REST: Duration = Duration::from_millis(100);

/// How a connection begins.
#[derive(Clone)]
pub(crate) enum Greeting {
    /// With a TLS handshake.
    Tls(Handshakes),
    /// With CONNECT. No certificate can be shown, so whoever comes in here has a token.
    Plain(watch::Receiver<Arc<DeviceAuthorities>>),
}

/// Accepts until `stop`. Connections run in `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    head: Arc<MqttHead>,
    greeting: Greeting,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        // Both arms are cancel-safe: accept takes a connection or does not, the token keeps no state.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    head.counters.connections_over_limit.add();
                    continue;
                };
                let Ok(pass) = head.door.enter(peer.ip(), Places::Mqtt, Timestamp::now()) else {
                    head.counters.connections_turned_away.add();
                    continue;
                };
                let arrival = Box::new(Arrival { stream, peer, pass, _place: place });
                let (head, stop) = (head.clone(), stop.clone());
                // Two kinds of task: one without TLS has no room for it either.
                match greeting.clone() {
                    Greeting::Tls(handshakes) => tasks.spawn(shaken(arrival, head, handshakes, stop)),
                    Greeting::Plain(authorities) => tasks.spawn(plain(arrival, head, authorities, stop)),
                };
            }
            Err(error) => {
                tracing::warn!(%error, "the MQTT listener cannot accept");
                sleep(REST).await;
            }
        }
    }
}

/// A connection that was accepted, with its places. Boxed on its way, because the task of a connection keeps room for what it
/// is begun with as long as it runs.
struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    pass: Pass,
    _place: OwnedSemaphorePermit,
}

async fn shaken(arrival: Box<Arrival>, head: Arc<MqttHead>, handshakes: Handshakes, stop: CancellationToken) {
    let Arrival { stream, peer, pass, _place } = *arrival;
    let _open = head.counters.mqtt_connections.gauge();
    // Cancelling a handshake drops the socket, which is what is wanted.
    let shaken = tokio::select! {
        shaken = handshakes.accept(stream, peer, &pass) => shaken,
        () = pass.taken.cancelled() => return head.counters.connections_turned_away.add(),
        () = stop.cancelled() => return,
    };
    match shaken {
        Ok((stream, visitor)) => connection::serve(&head, stream, visitor, pass, stop).await,
        Err(error) => {
            head.counters.handshakes_failed.add();
            tracing::debug!(%peer, %error, "a TLS handshake failed");
        }
    }
}

async fn plain(
    arrival: Box<Arrival>,
    head: Arc<MqttHead>,
    authorities: watch::Receiver<Arc<DeviceAuthorities>>,
    stop: CancellationToken,
) {
    let Arrival { stream, peer, pass, _place } = *arrival;
    let _open = head.counters.mqtt_connections.gauge();
    // Small packets both ways, as with TLS. A socket that refuses it is gone already, and reading says so.
    drop(stream.set_nodelay(true));
    let visitor = Visitor::new(peer.ip(), None, authorities);
    connection::serve(&head, stream, visitor, pass, stop).await;
}

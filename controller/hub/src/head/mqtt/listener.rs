//! Accepts MQTT connections. Nothing slow happens here: the handshake belongs to the connection's own task.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{MqttHead, connection};
use crate::tls::Handshakes;

/// After a failed accept (no file descriptors, mostly) the loop rests, instead of spinning until one is free.
const REST: Duration = Duration::from_millis(100);

/// Accepts until `stop`. Connections run in `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    head: Arc<MqttHead>,
    handshakes: Handshakes,
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
                tasks.spawn(one(stream, peer, head.clone(), handshakes.clone(), place, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the MQTT listener cannot accept");
                sleep(REST).await;
            }
        }
    }
}

async fn one(
    stream: TcpStream,
    peer: SocketAddr,
    head: Arc<MqttHead>,
    handshakes: Handshakes,
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let _open = head.counters.mqtt_connections.gauge();
    // Cancelling a handshake drops the socket, which is what is wanted.
    let shaken = tokio::select! {
        shaken = handshakes.accept(stream, peer) => shaken,
        () = stop.cancelled() => return,
    };
    match shaken {
        Ok((stream, visitor)) => connection::serve(&head, stream, visitor, stop).await,
        Err(error) => {
            head.counters.handshakes_failed.add();
            tracing::debug!(%peer, %error, "a TLS handshake failed");
        }
    }
}

//! The HTTPS listener: connections, handshakes and deadlines. What a request means stands in `http/` and in the extra
//! router of whoever started the hub.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, http::StatusCode, response::Response};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::{
    config::Limits,
    door::{Door, Pass},
    head::{
        HeadCounters,
        http::{self, attempts},
        patience::Patience,
        websocket::{self, WebSockets},
    },
    tls::Handshakes,
    visitor::Visitor,
};

/// See the MQTT listener.
const REST: Duration = Duration::from_millis(100);

/// What every connection needs.
#[derive(Clone)]
pub(crate) struct HttpsHead {
    pub(crate) router: Router,
    pub(crate) handshakes: Handshakes,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Arc<HeadCounters>,
    pub(crate) websockets: WebSockets,
}

impl HttpsHead {
    /// Shared with the other listeners.
    fn door(&self) -> &Arc<Door> {
        &self.websockets.mqtt.door
    }
}

/// Accepts until `stop`. Connections run in `tasks`.
pub(crate) async fn serve(
    listener: TcpListener,
    head: HttpsHead,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        // Waiting for a place before accepting leaves the rest in the backlog of the socket. All parts are
        // cancel-safe: a permit that was not taken is not lost, accept takes a connection or does not.
        let accepted = tokio::select! {
            accepted = async {
                let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
                listener.accept().await.map(|(stream, peer)| (stream, peer, place))
            } => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let Ok(pass) = head.door().enter(peer.ip(), Timestamp::now()) else {
                    head.counters.connections_turned_away.add();
                    continue;
                };
                tasks.spawn(one((stream, peer), head.clone(), pass, place, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the HTTPS listener cannot accept");
                sleep(REST).await;
            }
        }
    }
}

async fn one(
    (stream, peer): (TcpStream, SocketAddr),
    head: HttpsHead,
    pass: Pass,
    _place: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let counters = head.counters.clone();
    let _open = counters.https_connections.gauge();
    // Cancelling a handshake drops the socket, which is what is wanted.
    let shaken = tokio::select! {
        shaken = head.handshakes.accept(stream, peer, &pass) => shaken,
        () = pass.taken.cancelled() => return counters.connections_turned_away.add(),
        () = stop.cancelled() => return,
    };
    let (stream, visitor) = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            counters.handshakes_failed.add();
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            return;
        }
    };
    // Whoever has asked nothing yet is not in: a connection that only shook hands counts on.
    let taken = pass.taken.clone();
    let pass = Mutex::new(Some(pass));
    let answer = service_fn(|request| {
        drop(pass.lock().unwrap_or_else(PoisonError::into_inner).take());
        respond(&head, request, visitor.clone())
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head.limits.head_read);
    // Whoever does not take its answers must not keep its place for ever.
    let stream = Patience::new(stream, head.limits.write_stall);
    let connection = builder.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    tokio::pin!(connection);
    // Cancel-safe: the connection is pinned outside and goes on below.
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = taken.cancelled() => return counters.connections_turned_away.add(),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(head.limits.drain, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "an HTTPS connection ended early");
    }
}

async fn respond(
    head: &HttpsHead,
    request: Request<Incoming>,
    visitor: Visitor,
) -> Result<Response, Infallible> {
    head.counters.http_requests.add();
    if websocket::is_meant(&request) {
        return Ok(head.websockets.open(request, visitor));
    }
    let mut request = request.map(Body::new);
    http::normalise(&mut request);
    let (origin, identity) = (visitor.origin, attempts::whose(&request));
    if let Err(wait) = head.door().may_try(origin, identity.as_deref(), Timestamp::now()) {
        head.counters.connects_throttled.add();
        return Ok(attempts::later(wait));
    }
    request.extensions_mut().insert(visitor);
    let response = head.router.clone().oneshot(request).await?;
    if response.status() == StatusCode::UNAUTHORIZED {
        head.door().failed(origin, identity.as_deref(), Timestamp::now());
    }
    Ok(http::complete(response))
}

//! The HTTPS listener: connections, handshakes and deadlines. What a request means stands in `http/` and in the extra
//! router of whoever started the hub.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    http::StatusCode,
    response::Response,
};
use hemline_hub_core::service::ServiceError;
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
    door::{Door, Pass, Places},
    handle::HubHandle,
    head::{
        HeadCounters,
        admission::{Admission, STRANGER_BYTES, Sender},
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
    pub(crate) hub: HubHandle,
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
        // Both arms are cancel-safe: accept takes a connection or does not, the token keeps no state.
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(pass) = head.door().enter(peer.ip(), Places::Https, Timestamp::now()) else {
                    head.counters.connections_turned_away.add();
                    continue;
                };
                if places.available_permits() == 0 {
                    head.door().make_room(Places::Https, &pass);
                }
                // While everybody who has a place is let in, the rest waits in the backlog of the socket. Cancel-safe: the
                // connection is dropped with the loop.
                let place = tokio::select! {
                    Ok(place) = places.clone().acquire_owned() => place,
                    () = stop.cancelled() => return,
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
    // Whoever has not said who it is, and proved it, is not in: the connection counts on.
    let taken = pass.taken.clone();
    let (admission, asides) = Admission::new(pass);
    let answer = service_fn(|request| respond(&head, request, visitor.clone(), &admission));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head.limits.head_read);
    builder.max_buf_size(head.limits.head_bytes);
    // Whoever does not take its answers must not keep its place for ever.
    let stream = Patience::new(stream, head.limits.write_stall);
    let connection = builder.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    let asides = asides.attend(&admission, &head.hub, head.limits.request);
    tokio::pin!(connection, asides);
    // Cancel-safe: the connection and what is done beside it are pinned outside and go on below.
    let served = tokio::select! {
        served = connection.as_mut() => served,
        never = asides.as_mut() => match never {},
        () = taken.cancelled() => return counters.connections_turned_away.add(),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let ending = async {
                tokio::select! {
                    served = connection => served,
                    never = asides => match never {},
                }
            };
            timeout(head.limits.drain, ending).await.unwrap_or(Ok(()))
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
    admission: &Admission,
) -> Result<Response, Infallible> {
    head.counters.http_requests.add();
    if websocket::is_meant(&request) {
        return Ok(head.websockets.open(request, visitor, admission));
    }
    let mut request = request.map(Body::new);
    http::normalise(&mut request);
    let (origin, identity) = (visitor.origin, attempts::whose(&request));
    if let Err(wait) = head.door().may_try(origin, identity.as_deref(), Timestamp::now()) {
        head.counters.connects_throttled.add();
        let (parts, body) = request.into_parts();
        admission.put_aside(&parts.headers, body, STRANGER_BYTES);
        return Ok(attempts::later(wait));
    }
    let sender = Sender::of(&request, &visitor, identity.as_deref());
    if !request.body().is_end_stream()
        && let Err(refused) = admission.may_send(&sender, &head.hub, head.limits.request).await
    {
        if matches!(refused, ServiceError::Unauthorised(_)) {
            head.door().failed(origin, identity.as_deref(), Timestamp::now());
        }
        let in_name_of_module = attempts::module_of(&request).is_some();
        let (parts, body) = request.into_parts();
        admission.put_aside(&parts.headers, body, STRANGER_BYTES);
        return Ok(http::refuse(refused, in_name_of_module));
    }
    let extensions = request.extensions_mut();
    extensions.insert(visitor);
    extensions.insert(admission.clone());
    let response = head.router.clone().oneshot(request).await?;
    match response.status() {
        StatusCode::UNAUTHORIZED => head.door().failed(origin, identity.as_deref(), Timestamp::now()),
        status => admission.answered(sender, status.is_success()),
    }
    Ok(http::complete(response))
}

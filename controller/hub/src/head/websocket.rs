//! WebSockets on the HTTPS port (reference device-protocol §1.1): one path for all SDKs, told apart by the subprotocol. The
//! frames of a connection are one stream of bytes; what the bytes mean stands in `mqtt/`.
//!
//! Not here: plain HTTP requests (`http/`), and AMQP, whose subprotocol is refused until there is a head for it.

mod sluice;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    admission::Admission,
    mqtt::{MqttHead, connection},
};
use crate::{
    door::{Pass, Places},
    visitor::Visitor,
};
use sluice::Sluice;

const PATH: &str = "/$iothub/websocket";
const MQTT: &str = "mqtt";

/// Largest frame from a client. A packet may be split over frames, so this only bounds what is held of one connection. Of one
/// that is not let in yet much less is held (`sluice.rs`).
const FRAME_BYTES: usize = 512 << 10;

/// Room for one read, and with it the memory of an idle connection.
const READ_BYTES: usize = 4 << 10;

/// Most bytes in one frame to a client.
const SEND_BYTES: usize = 16 << 10;

/// Opens WebSockets and serves what is in them.
#[derive(Debug, Clone)]
pub(crate) struct WebSockets {
    pub(crate) mqtt: Arc<MqttHead>,
    /// Shared with the listener for plain MQTT.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Is this request for a WebSocket? Clients add queries to the path, which mean nothing here.
pub(crate) fn is_meant<B>(request: &Request<B>) -> bool {
    request.uri().path().replace("%24", "$").eq_ignore_ascii_case(PATH)
}

/// Why a WebSocket was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("only a WebSocket is here: ask with GET, `Connection: Upgrade` and `Upgrade: websocket`")]
    NoUpgrade,
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    #[error("`Sec-WebSocket-Key` is missing, or not the 24 characters that 16 bytes in base64 are")]
    Key,
    #[error("of the subprotocols only `mqtt` is served here; the request offers {0:?}")]
    Protocol(String),
    #[error("the hub has as many connections as it takes; try again later")]
    Full,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Protocol(_) => StatusCode::BAD_REQUEST,
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
        };
        let told = serde_json::json!({"Message": self.to_string()}).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], told).into_response();
        if status == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

/// What a client offers that may have a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    key: Vec<u8>,
    /// As the client spells it: some compare the answer letter by letter.
    pub(crate) protocol: HeaderValue,
}

/// Reads the handshake (RFC 6455 §4.2.1).
pub(crate) fn offer(method: &Method, headers: &HeaderMap) -> Result<Offer, Refused> {
    let words = |name| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim)
    };
    let has = |name, word: &str| words(name).any(|given| given.eq_ignore_ascii_case(word));
    if method != Method::GET || !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return Err(Refused::NoUpgrade);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refused::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if key.len() != 24 {
        return Err(Refused::Key);
    }
    let offered: Vec<&str> = words(header::SEC_WEBSOCKET_PROTOCOL).collect();
    let chosen = offered.iter().find(|word| word.eq_ignore_ascii_case(MQTT));
    match chosen.and_then(|word| HeaderValue::from_str(word).ok()) {
        Some(protocol) => Ok(Offer { key: key.to_vec(), protocol }),
        None => Err(Refused::Protocol(offered.join(", "))),
    }
}

impl WebSockets {
    /// Answers a request that is meant for here; on success what follows on its connection is served in a task of its own.
    pub(crate) fn open<B>(
        &self,
        mut request: Request<B>,
        visitor: Visitor,
        admission: &Admission,
    ) -> Response {
        let Offer { key, protocol } = match offer(request.method(), request.headers()) {
            Ok(offer) => offer,
            Err(refused) => return refused.into_response(),
        };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.mqtt.counters.connections_over_limit.add();
            return Refused::Full.into_response();
        };
        // Nobody on it said who it is, or somebody did who will say so again.
        let pass = match admission.hand_over() {
            Some(pass) => pass,
            None => match self.mqtt.door.hold(visitor.origin, Places::Mqtt) {
                Ok(pass) => pass,
                Err(_) => {
                    self.mqtt.counters.connections_turned_away.add();
                    return Refused::Full.into_response();
                }
            },
        };
        pass.goes_on_to(Places::Mqtt);
        let upgrade = hyper::upgrade::on(&mut request);
        self.tasks.spawn(self.clone().serve(upgrade, visitor, pass, place));
        let accept = derive_accept_key(&key);
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, Body::empty()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        // Base64 is always a header value.
        if let Ok(accept) = HeaderValue::from_str(&accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }

    async fn serve(self, upgrade: OnUpgrade, visitor: Visitor, pass: Pass, _place: OwnedSemaphorePermit) {
        let _open = self.mqtt.counters.mqtt_connections.gauge();
        // Cancelling drops a connection on which nothing was said yet.
        let upgraded = tokio::select! {
            upgraded = timeout(self.mqtt.limits.connect, upgrade) => upgraded,
            () = pass.taken.cancelled() => return self.mqtt.counters.connections_turned_away.add(),
            () = self.stop.cancelled() => return,
        };
        let Ok(Ok(upgraded)) = upgraded else {
            tracing::debug!(peer = %visitor.address, "a WebSocket was asked for and not used");
            return;
        };
        let stream = Bytestream::over(TokioIo::new(upgraded)).await;
        connection::serve(&self.mqtt, stream, visitor, pass, self.stop).await;
    }
}

/// The payloads of binary frames, one after the other.
pub(crate) struct Bytestream<S> {
    frames: WebSocketStream<Sluice<S>>,
    /// Of the last frame, what was not read yet.
    rest: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Bytestream<S> {
    /// The server's end, after the handshake.
    pub(crate) async fn over(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(4 * SEND_BYTES)
            .max_message_size(Some(FRAME_BYTES))
            .max_frame_size(Some(FRAME_BYTES));
        let frames = WebSocketStream::from_raw_socket(Sluice::new(stream), Role::Server, Some(config)).await;
        Self { frames, rest: Bytes::new() }
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Bytestream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.frames).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => {
                    self.frames.get_mut().emptied();
                    self.rest = bytes;
                }
                // Pings are answered by the library, with the next thing that is sent or read.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                    self.frames.get_mut().emptied();
                }
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Poll::Ready(Ok(()));
                }
                Some(Ok(Message::Text(_))) => {
                    let why = "a WebSocket for MQTT carries binary frames, and this one is text";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
                Some(Err(error)) => return Poll::Ready(Err(failed(error))),
            }
        }
        let room = buffer.remaining().min(self.rest.len());
        let bytes = self.rest.split_to(room);
        buffer.put_slice(bytes.chunk());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Bytestream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.frames.get_mut().open();
        ready!(Pin::new(&mut self.frames).poll_ready(cx)).map_err(failed)?;
        let bytes = bytes.get(..bytes.len().min(SEND_BYTES)).unwrap_or_default();
        let frame = Message::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut self.frames).start_send(frame).map_err(failed)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.frames).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.frames).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(failed(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(changes: &[(&'static str, Option<&str>)]) -> Result<String, Refused> {
        let mut headers = HeaderMap::new();
        let good = [
            ("connection", Some("keep-alive, Upgrade")),
            ("upgrade", Some("WebSocket")),
            ("sec-websocket-version", Some("13")),
            ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ==")),
            ("sec-websocket-protocol", Some("mqtt")),
        ];
        for (name, value) in good.into_iter().chain(changes.iter().copied()) {
            match value {
                Some(value) => drop(headers.insert(name, value.parse().unwrap())),
                None => drop(headers.remove(name)),
            }
        }
        offer(&Method::GET, &headers).map(|offer| offer.protocol.to_str().unwrap().to_owned())
    }

    #[test]
    fn handshakes() {
        for (what, changes, expected) in [
            ("as SDKs ask", &[][..], Ok("mqtt")),
            ("several offers", &[("sec-websocket-protocol", Some("AMQPWSB10, MQTT"))], Ok("MQTT")),
            (
                "AMQP",
                &[("sec-websocket-protocol", Some("AMQPWSB10"))],
                Err(Refused::Protocol("AMQPWSB10".into())),
            ),
            ("no subprotocol", &[("sec-websocket-protocol", None)], Err(Refused::Protocol(String::new()))),
            ("an ordinary request", &[("upgrade", None)], Err(Refused::NoUpgrade)),
            ("another upgrade", &[("upgrade", Some("h2c"))], Err(Refused::NoUpgrade)),
            ("no connection header", &[("connection", Some("close"))], Err(Refused::NoUpgrade)),
            ("an old version", &[("sec-websocket-version", Some("8"))], Err(Refused::Version)),
            ("no key", &[("sec-websocket-key", None)], Err(Refused::Key)),
            ("a short key", &[("sec-websocket-key", Some("x"))], Err(Refused::Key)),
        ] {
            assert_eq!(asked(changes), expected.map(str::to_owned), "{what}");
        }
        assert_eq!(offer(&Method::POST, &HeaderMap::new()), Err(Refused::NoUpgrade));
    }
}

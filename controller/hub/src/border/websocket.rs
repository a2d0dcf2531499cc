//! Frames of a WebSocket to bytes, and the handshake before them.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::pipe::Pipe;
use crate::head::websocket::{Bytestream, offer};

/// What came out of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unframed {
    /// The payloads, one after the other.
    pub payload: Vec<u8>,
    /// What was sent back: pongs, the answer to a close.
    pub sent: Vec<u8>,
    /// Did it end before the client left?
    pub closed_by_hub: bool,
}

/// Reads frames that come in these pieces.
#[must_use]
pub fn unframe<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Unframed {
    let pipe = Pipe::default();
    let mut cx = Context::from_waker(Waker::noop());
    let mut payload = Vec::new();
    let opening = std::pin::pin!(Bytestream::over(pipe.hub_end()));
    // Nothing is read or written yet, so there is nothing to wait for.
    let Poll::Ready(mut stream) = opening.poll(&mut cx) else {
        return Unframed { payload, sent: Vec::new(), closed_by_hub: true };
    };
    let mut open = true;
    let mut read = |payload: &mut Vec<u8>| {
        let mut room = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut stream).poll_read(&mut cx, &mut buffer) {
                Poll::Pending => {
                    // As the connection does when it has nothing more to read.
                    return !matches!(Pin::new(&mut stream).poll_flush(&mut cx), Poll::Ready(Err(_)));
                }
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => payload.extend(buffer.filled()),
                Poll::Ready(Ok(()) | Err(_)) => return false,
            }
        }
    };
    for piece in pieces {
        pipe.send(piece);
        open = open && read(&mut payload);
    }
    let closed_by_hub = !open;
    pipe.end();
    if open {
        read(&mut payload);
    }
    Unframed { payload, sent: pipe.received(), closed_by_hub }
}

/// The subprotocol that a handshake with these headers gets; `None` when it is refused. Headers that HTTP does not allow are
/// passed over.
#[must_use]
pub fn chosen_protocol(method: &str, headers: &[(&[u8], &[u8])]) -> Option<Vec<u8>> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    let method: Method = method.parse().ok()?;
    offer(&method, &map).ok().map(|offer| offer.protocol.as_bytes().to_vec())
}

//! What HTTP requests say of messages.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use hemline_protocol::properties::Properties;

use crate::head::http::{device_messages, message_headers};

/// The properties that headers carry. Headers that HTTP does not allow are passed over.
#[must_use]
pub fn header_properties(headers: &[(&[u8], &[u8])]) -> Properties {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    message_headers::read(&map)
}

/// The headers that carry properties.
#[must_use]
pub fn header_text(properties: &Properties) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut map = HeaderMap::new();
    message_headers::write(&mut map, properties);
    map.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

/// The messages of a batch whose bodies may have so many bytes together; `None` when it is refused.
#[must_use]
pub fn batch(body: &[u8], limit: usize) -> Option<Vec<(Properties, Bytes)>> {
    device_messages::batch(body, limit).ok()
}

//! The event log as a live stream of server-sent events. Each event's id is the sequence number, so a client that
//! lost the connection goes on where it was.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
};
use base64::Engine as _;
use futures_util::Stream;
use hemline_hub::HubHandle;
use hemline_hub_core::{
    effect::Notice,
    message::{Message, Sequence},
    write::Permission,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{access, error::ApiError, router::ApiState};

/// Messages read from the log at a time: bounds the memory of one watcher.
const PAGE: usize = 200;

/// One message as watchers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRow {
    /// Place in the event log.
    pub sequence: u64,
    /// When the hub accepted it.
    pub enqueued_time: Timestamp,
    /// The sending device.
    pub device_id: String,
    /// The sending module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// Application properties.
    pub properties: Map<String, Value>,
    /// System properties under the names that route conditions use: `contentType`, `outputName` …
    pub system_properties: Map<String, Value>,
    /// The JSON value when the body is JSON, the text when it is text, else base64.
    pub body: Value,
    /// `json`, `text` or `base64`.
    pub body_form: String,
}

/// Where to begin.
#[derive(Debug, Deserialize)]
pub(crate) struct From {
    /// After this sequence number; 0 is the oldest kept; absent is now.
    after: Option<u64>,
    /// Only messages of this device.
    device: Option<String>,
}

/// `GET /api/v1/messages?after=SEQUENCE&device=ID`: ServiceConnect.
pub(crate) async fn watch(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(from): Query<From>,
) -> Result<impl IntoResponse, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    // Subscribed before the log is read: nothing falls between the two.
    let notices = state.hub.notices();
    let watcher = Watcher {
        hub: state.hub,
        notices,
        last: from.after.map(Sequence),
        reading: from.after.is_some(),
        ready: VecDeque::new(),
    };
    Ok(Sse::new(watcher.events(from.device)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// One watcher: reads the log until it has caught up, then follows the notices.
struct Watcher {
    hub: HubHandle,
    notices: Receiver<Notice>,
    last: Option<Sequence>,
    reading: bool,
    ready: VecDeque<Arc<Message>>,
}

impl Watcher {
    fn events(self, device: Option<String>) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold((self, device), |(mut watcher, device)| async move {
            loop {
                let message = watcher.next().await?;
                if device.as_deref().is_none_or(|wanted| message.sender.device.as_str() == wanted) {
                    let event = Event::default().id(message.sequence.0.to_string());
                    let text = serde_json::to_string(&MessageRow::new(&message)).unwrap_or_default();
                    return Some((Ok(event.data(text)), (watcher, device)));
                }
            }
        })
    }

    /// The next message in log order; `None` when the hub stopped.
    async fn next(&mut self) -> Option<Arc<Message>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                self.last = Some(message.sequence);
                return Some(message);
            }
            if self.reading {
                let page = self.hub.read_events(self.last.unwrap_or(Sequence(0)), PAGE).await.ok()?;
                self.reading = !page.is_empty();
                self.ready.extend(page);
                continue;
            }
            match self.notices.recv().await {
                Ok(Notice::Message(message)) => {
                    if self.last.is_none_or(|last| message.sequence > last) {
                        self.ready.push_back(message);
                    }
                }
                Ok(
                    Notice::Connection { .. }
                    | Notice::Reported { .. }
                    | Notice::Registry { .. }
                    | Notice::Upstream { .. }
                    | Notice::Change(_),
                ) => {}
                // Too slow for the notices: what was missed is in the log.
                Err(RecvError::Lagged(_)) => self.reading = self.last.is_some(),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl MessageRow {
    /// The watcher's view of a message.
    #[must_use]
    pub fn new(message: &Message) -> Self {
        let (body, form) = body(&message.body);
        let properties = message
            .properties
            .application
            .iter()
            .map(|(key, value)| (key.clone(), value.clone().map_or(Value::Null, Value::String)))
            .collect();
        Self {
            sequence: message.sequence.0,
            enqueued_time: message.enqueued,
            device_id: message.sender.device.to_string(),
            module_id: message.sender.module.as_ref().map(ToString::to_string),
            properties,
            system_properties: system_properties(message),
            body,
            body_form: form.to_owned(),
        }
    }
}

fn system_properties(message: &Message) -> Map<String, Value> {
    let Ok(Value::Object(stored)) = serde_json::to_value(&message.properties.system) else {
        return Map::new();
    };
    stored.into_iter().map(|(name, value)| (camel_case(&name), value)).collect()
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let mut letters = part.chars();
        text + &letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    })
}

fn body(bytes: &[u8]) -> (Value, &'static str) {
    if let Ok(json) = serde_json::from_slice(bytes) {
        return (json, "json");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (Value::String(text.to_owned()), "text"),
        Err(_) => (Value::String(base64::engine::general_purpose::STANDARD.encode(bytes)), "base64"),
    }
}

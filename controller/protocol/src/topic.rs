//! The topics of IoT Hub (reference device-protocol §4.3, §4.4): what clients publish, what the hub publishes.
//!
//! Identity ids stand in topics as they are: never decoded, never trimmed. Topics that clients make up among themselves are
//! only told apart here. Not here: property bags (`bag.rs`) and subscription filters (`filter.rs`).

pub mod nested;
mod to_client;
mod to_hub;
mod user;

pub use to_client::{HubTopic, cloud_to_device, desired_patch, input, method_call, twin_response};
pub use to_hub::{ClientTopic, method_result, parse, reported_patch, telemetry, twin_get};
pub use user::{UserFilter, is_user_topic, user_filter};

use crate::bag::BagError;
pub use crate::filter::{Feature, features};

/// Filter of twin responses.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// Filter of desired property patches.
pub const DESIRED_PATCHES: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Filter of direct method calls.
pub const METHODS: &str = "$iothub/methods/POST/#";

/// Longest request id, in bytes: it comes back in the topic of the answer, which has to have room for it. SDKs send a GUID or
/// a number.
pub const MAX_REQUEST_ID: usize = 1024;

/// Why a topic is refused. Each of them closes the connection (reference device-protocol §4.1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No topic of IoT Hub.
    #[error(
        "topic {0:?} is none that a client can publish to; send messages to devices/<id>/messages/events/"
    )]
    Unknown(String),
    /// The topic names another identity than the connection's.
    #[error("topic {topic:?} belongs to another identity than {client}; publish under the own id only")]
    ForeignIdentity {
        /// The topic.
        topic: String,
        /// Who published.
        client: String,
    },
    /// A request that cannot be answered.
    #[error("topic {0:?} has no $rid; append ?$rid=<request id>")]
    MissingRequestId(String),
    /// A request whose answer could not be sent.
    #[error("topic with a $rid of {0} bytes; at most {MAX_REQUEST_ID} are taken")]
    RequestIdTooLong(usize),
    /// A number that is none.
    #[error("topic {topic:?}: {what} is not a number")]
    NotANumber {
        /// The topic.
        topic: String,
        /// Which part.
        what: &'static str,
    },
    /// The property bag is broken.
    #[error("topic has a broken property bag")]
    Bag(#[from] BagError),
}

/// Finds `$rid` and `$version` in the query of a topic. Values are not decoded: a request id is echoed byte for byte.
fn query(text: &str) -> (Option<&str>, Option<&str>) {
    let (mut rid, mut version) = (None, None);
    for pair in text.split('&') {
        if let Some((name, value)) = pair.split_once('=') {
            match name {
                "$rid" | "%24rid" => rid = rid.or(Some(value)),
                "$version" | "%24version" => version = version.or(Some(value)),
                _ => {}
            }
        }
    }
    (rid.filter(|rid| !rid.is_empty()), version)
}

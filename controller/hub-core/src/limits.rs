//! Every bound of the hub in one place. A hit limit is refused loudly; nothing grows silently.

use crate::throttle::Rate;

/// Sizes in bytes, times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, body and properties (reference device-protocol §4.1).
    pub message_bytes: usize,
    /// Largest properties of one message, names and values. Every byte may take three in the topic that carries them on,
    /// and an MQTT topic ends at 65 535: a message that could be taken in but never sent would be lost.
    pub properties_bytes: usize,
    /// A token is good this long after its `se` (reference device-protocol §3.1).
    pub clock_skew_seconds: i64,
    /// A connection lives this long after the `se` of its token (reference device-protocol §3.6).
    pub token_grace_seconds: i64,
    /// How often one identity may come in: two devices with one id take each other's place for ever otherwise.
    pub connects: Rate,
    /// Subscriptions of one session.
    pub grants: usize,
    /// Unacknowledged messages towards one client. Each acknowledgement makes room for the next message once it is on disk, so
    /// a client gets no more than so many per commit, however fast it is.
    pub in_flight: usize,
    /// Bytes of them; the last one may go beyond.
    pub in_flight_bytes: usize,
    /// Unacknowledged messages towards the parent.
    pub upstream_in_flight: usize,
    /// Messages that wait for one module, or for the parent.
    pub queue_messages: usize,
    /// Bytes that wait for one module, or for the parent.
    pub queue_bytes: usize,
    /// Bytes that wait for all modules and the parent together.
    pub queue_bytes_total: usize,
    /// Cloud-to-device messages of one device, those that somebody holds included (reference device-protocol §7).
    pub cloud_messages: usize,
    /// Largest cloud-to-device message, body and properties (reference device-protocol §7).
    pub cloud_bytes: usize,
    /// Bytes of cloud-to-device messages for all devices together.
    pub cloud_bytes_total: usize,
    /// Life of a cloud-to-device message that names no expiry (reference device-protocol §7).
    pub cloud_seconds: i64,
    /// Longest life of a cloud-to-device message (reference device-protocol §7).
    pub cloud_seconds_most: i64,
    /// A message given back so often is dropped (reference device-protocol §7).
    pub cloud_deliveries: u32,
    /// Whoever received a message or feedback settles it within this time (reference device-protocol §7).
    pub lock_seconds: i64,
    /// Feedback that nobody takes is dropped after this time: the longest that IoT Hub can be set to.
    pub feedback_seconds: i64,
    /// Feedback records, those still to come included.
    pub feedback_records: usize,
    /// Notices of uploaded files that wait; the oldest go first, the files themselves stay.
    pub file_notices: usize,
    /// Levels of a user-defined topic or filter. They bound a recursion.
    pub topic_levels: usize,
    /// Retained messages of one edge device (reference edge-runtime §6.1).
    pub retained_messages: usize,
    /// Bytes of retained messages of all edge devices together.
    pub retained_bytes_total: usize,
    /// A retained message that nobody renews is dropped after this time (reference edge-runtime §6.1).
    pub retained_seconds: i64,
    /// Days after which subscriptions to user-defined topics end, with what waits for them, when their client does not come back
    /// (reference edge-runtime §6.1).
    pub topic_session_days: u32,
    /// Messages on user-defined topics that wait for one subscriber; what is new is dropped beyond (reference edge-runtime
    /// §6.1).
    pub topic_queue_messages: usize,
    /// Bytes of them.
    pub topic_queue_bytes: usize,
    /// Bytes of them for all subscribers together.
    pub topic_queue_bytes_total: usize,
    /// Messages that the event log keeps.
    pub event_messages: u64,
    /// Bytes that the event log keeps, counted since start.
    pub event_bytes: u64,
    /// Direct method calls that wait for an answer.
    pub calls: usize,
    /// Largest payload of a direct method, each way (reference device-protocol §6).
    pub method_bytes: usize,
    /// Modules of one device, those of the runtime not counted (reference service-api §4.1).
    pub modules: usize,
    /// Characters of a query text (reference service-api §7).
    pub query_characters: usize,
    /// Rows of one page for callers from outside (reference service-api §4.4).
    pub page: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 256 * 1024,
            properties_bytes: 16 * 1024,
            clock_skew_seconds: 300,
            token_grace_seconds: 600,
            connects: Rate { burst: 100, period_ms: 1_000 },
            grants: 64,
            in_flight: 256,
            in_flight_bytes: 2 << 20,
            upstream_in_flight: 64,
            queue_messages: 100_000,
            queue_bytes: 64 << 20,
            queue_bytes_total: 256 << 20,
            cloud_messages: 50,
            cloud_bytes: 64 * 1024,
            cloud_bytes_total: 256 << 20,
            cloud_seconds: 3_600,
            cloud_seconds_most: 48 * 3_600,
            cloud_deliveries: 10,
            lock_seconds: 60,
            feedback_seconds: 48 * 3_600,
            feedback_records: 100_000,
            file_notices: 10_000,
            topic_levels: 128,
            retained_messages: 1_000,
            retained_bytes_total: 64 << 20,
            retained_seconds: 60 * 86_400,
            topic_session_days: 60,
            topic_queue_messages: 1_000,
            topic_queue_bytes: 32 << 20,
            topic_queue_bytes_total: 256 << 20,
            event_messages: 100_000,
            event_bytes: 1 << 30,
            calls: 10_000,
            method_bytes: 128 * 1024,
            modules: 50,
            query_characters: 8192,
            page: 100,
        }
    }
}

//! What has happened since start, as plain numbers. `/metrics` prints them; nothing decides by them.

use std::collections::BTreeMap;

use crate::{cloud_to_device::Outcome, effect::AuthFailure};

/// Counts since start, and gauges at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages taken from clients and stored, or dropped for want of a route.
    pub messages_accepted: u64,
    /// Bytes of their bodies.
    pub messages_accepted_bytes: u64,
    /// Messages that reached the event log.
    pub messages_to_events: u64,
    /// Messages acknowledged to the sender that no route wanted.
    pub messages_no_route: u64,
    /// Places in queues whose time to live ran out.
    pub messages_expired: u64,
    /// Messages sent to module inputs for the first time.
    pub messages_sent: u64,
    /// Messages sent again after a reconnect.
    pub messages_redelivered: u64,
    /// Messages that modules acknowledged.
    pub messages_delivered: u64,
    /// Messages refused because a queue was full; the sender was closed.
    pub messages_refused_full: u64,
    /// Messages refused because they were too large; the sender was closed.
    pub messages_refused_large: u64,
    /// Clients let in.
    pub connects: u64,
    /// Clients turned away, by reason.
    pub refusals: BTreeMap<AuthFailure, u64>,
    /// Clients told to come later because they came too often.
    pub connects_throttled: u64,
    /// Last wills published.
    pub wills: u64,
    /// Last wills that could not be taken in: too large, or a queue was full.
    pub wills_lost: u64,
    /// Service requests refused for lack of authority, by reason.
    pub unauthorised: BTreeMap<AuthFailure, u64>,
    /// Connections that lost their identity to a newer one.
    pub take_overs: u64,
    /// Connections closed because their token ran out.
    pub tokens_expired: u64,
    /// Twins sent to clients.
    pub twin_gets: u64,
    /// Reported patches taken.
    pub reported_patches: u64,
    /// Reported patches refused.
    pub reported_refused: u64,
    /// Desired patches sent.
    pub desired_patches: u64,
    /// Direct method calls asked for.
    pub method_calls: u64,
    /// Direct method calls that failed: not online, gone, no answer.
    pub method_failures: u64,
    /// Cloud-to-device messages taken from the service side.
    pub cloud_accepted: u64,
    /// Cloud-to-device messages sent again over a later connection.
    pub cloud_redelivered: u64,
    /// Cloud-to-device messages that are done with, by outcome.
    pub cloud_outcomes: BTreeMap<Outcome, u64>,
    /// Feedback records that nobody took in time.
    pub feedback_expired: u64,
    /// Files that devices uploaded and said so.
    pub files_uploaded: u64,
    /// Messages on user-defined topics taken from clients.
    pub topics_published: u64,
    /// Messages on user-defined topics sent to subscribers.
    pub topics_sent: u64,
    /// Messages on user-defined topics that subscribers acknowledged.
    pub topics_delivered: u64,
    /// Messages on user-defined topics that a subscriber did not get: its queue was full, it may not have them any
    /// more, or it did not come back for them.
    pub topics_dropped: u64,
    /// Publications and subscriptions that a policy refused.
    pub topics_denied: u64,
    /// Sessions whose subscriptions to user-defined topics ended because nobody came back.
    pub topics_expired: u64,
    /// Gauge: messages on user-defined topics that wait for subscribers now.
    pub topics_waiting: u64,
    /// Gauge: messages that are retained now.
    pub topics_retained: u64,
    /// Messages that hubs of edge devices passed on for those beneath them.
    pub nested_messages: u64,
    /// Messages of theirs that were refused: the sender is not beneath them, or the message is too large.
    pub nested_refused: u64,
    /// Links to the parent that came up.
    pub links: u64,
    /// Messages that the parent acknowledged.
    pub upstream_acknowledged: u64,
    /// Messages sent to the parent again on a later link.
    pub upstream_repeated: u64,
    /// Reports that the parent took.
    pub upstream_reports: u64,
    /// Messages and reports that the parent refused.
    pub upstream_refused: u64,
    /// Messages on user-defined topics that went to the parent.
    pub bridged_up: u64,
    /// Messages on user-defined topics that came from the parent.
    pub bridged_down: u64,
    /// Gauge: messages that wait for the parent now.
    pub upstream_waiting: u64,
    /// Gauge: cloud-to-device messages that wait now.
    pub cloud_waiting: u64,
    /// Gauge: feedback records that wait now.
    pub feedback_waiting: u64,
    /// Gauge: clients connected now.
    pub connected: u64,
    /// Gauge: messages that wait for modules now.
    pub waiting: u64,
    /// Gauge: their bytes.
    pub waiting_bytes: u64,
}

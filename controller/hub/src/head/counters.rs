//! What the listeners count: everything that never reaches the core. `/metrics` prints them beside the core's.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts of the listeners since start; the first two are gauges.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct HeadStatistics {
            $($(#[$doc])* pub $name: u64,)+
        }

        /// The same, being counted.
        #[derive(Debug, Default)]
        pub(crate) struct HeadCounters {
            $(pub(crate) $name: Counter,)+
        }

        impl HeadCounters {
            pub(crate) fn read(&self) -> HeadStatistics {
                HeadStatistics { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// MQTT connections open now, those that are still shaking hands included.
    mqtt_connections,
    /// HTTPS connections open now, those that are still shaking hands included.
    https_connections,
    /// Connections dropped at once because there were too many.
    connections_over_limit,
    /// Connections dropped because their address had too many, or came too often, or because others came while they said nothing.
    connections_turned_away,
    /// Clients told to come later without being asked for proof, because too many attempts had failed (CONNACK 3, HTTP 429).
    connects_throttled,
    /// TLS handshakes that failed or took too long.
    handshakes_failed,
    /// MQTT clients turned away before the core was asked: protocol level, user name, client id, no CONNECT in time.
    connects_malformed,
    /// MQTT clients that the core turned away.
    connects_refused,
    /// MQTT clients closed for breaking the protocol: garbage, too large, QoS 2, unknown topic.
    protocol_errors,
    /// MQTT clients closed because they were silent for too long.
    keep_alive_timeouts,
    /// MQTT clients closed because they did not take what was sent.
    slow_clients,
    /// Messages of QoS 0 on user-defined topics that did not fit into the queue of a slow subscriber.
    topics_lost,
    /// HTTP requests answered.
    http_requests,
    /// HTTP requests that took too long.
    http_timeouts,
}

/// One number that only the heads write.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts up now and down when the guard goes.
    pub(crate) fn gauge(&self) -> Gauge<'_> {
        self.add();
        Gauge(self)
    }
}

/// Something that is there for a while.
#[derive(Debug)]
pub(crate) struct Gauge<'a>(&'a Counter);

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

//! Bridges to the parent: which user-defined topics cross, and under which names (reference edge-runtime §6.5).
//!
//! `inPrefix` belongs to the side that a message comes from, `outPrefix` to the side that it goes to, whichever way it goes.
//! Of several settings that fit the first decides; IoT Edge picks any of them. Not here: what waits for the parent,
//! and what is done with what comes from it (`core/bridges.rs`).

use hemline_model::{
    document::{BridgeDirection, BridgeSetting, Broker},
    topic_filter::{TopicFilter, TopicFilterError},
};
use hemline_protocol::topic::is_user_topic;

/// All bridges of an edge device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bridges {
    outward: Vec<Lane>,
    inward: Vec<Lane>,
}

/// One setting, one way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lane {
    filter: TopicFilter,
    from: String,
    to: String,
}

/// Where a message was published first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By a client of this hub.
    Here,
    /// It came over a bridge. It never goes back: two settings, or one of direction `both`, would send it round for ever.
    Parent,
}

impl Bridges {
    /// Compiles a section without faults ([`Broker::faults`]).
    ///
    /// # Errors
    /// When prefix and topic together are no filter, which is one of the faults.
    pub fn compile(broker: &Broker) -> Result<Self, TopicFilterError> {
        let mut bridges = Self::default();
        for setting in broker.bridges.iter().flat_map(|bridge| &bridge.settings) {
            let lane = Lane::of(setting)?;
            match setting.direction {
                BridgeDirection::Out => bridges.outward.push(lane),
                BridgeDirection::In => bridges.inward.push(lane),
                BridgeDirection::Both => {
                    bridges.outward.push(lane.clone());
                    bridges.inward.push(lane);
                }
            }
        }
        Ok(bridges)
    }

    /// What to subscribe to at the parent, each filter once, in order.
    #[must_use]
    pub fn filters_at_parent(&self) -> Vec<TopicFilter> {
        let mut filters: Vec<TopicFilter> = Vec::new();
        for lane in &self.inward {
            if !filters.contains(&lane.filter) {
                filters.push(lane.filter.clone());
            }
        }
        filters
    }

    /// The topic at the parent for a message that was published here; `None` when it stays here.
    #[must_use]
    pub fn to_parent(&self, topic: &str, origin: Origin) -> Option<String> {
        match origin {
            Origin::Here => crossing(&self.outward, topic),
            Origin::Parent => None,
        }
    }

    /// The topic here for a message that was published at the parent; `None` when it stays there.
    #[must_use]
    pub fn from_parent(&self, topic: &str) -> Option<String> {
        crossing(&self.inward, topic)
    }
}

/// No name that is left empty, none with a wildcard, and none of a hub's own topics: a prefix must not reach a twin.
fn crossing(lanes: &[Lane], topic: &str) -> Option<String> {
    let lane = lanes.iter().find(|lane| lane.filter.matches(topic))?;
    let rest = topic.strip_prefix(&lane.from).filter(|rest| !rest.is_empty())?;
    let name = format!("{}{rest}", lane.to);
    is_user_topic(&name).then_some(name)
}

impl Lane {
    fn of(setting: &BridgeSetting) -> Result<Self, TopicFilterError> {
        let BridgeSetting { direction: _, topic, in_prefix, out_prefix } = setting;
        let filter = TopicFilter::parse(&format!("{in_prefix}{topic}"))?;
        Ok(Self { filter, from: in_prefix.clone(), to: out_prefix.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridges(settings: &serde_json::Value) -> Bridges {
        let bridge = serde_json::json!({"bridges": [{"endpoint": "$upstream", "settings": settings}]});
        let broker: Broker = serde_json::from_value(bridge).unwrap();
        assert_eq!(broker.faults(), []);
        Bridges::compile(&broker).unwrap()
    }

    #[test]
    fn which_topics_cross_and_under_which_names() {
        let bridges = bridges(&serde_json::json!([
            {"direction": "out", "topic": "alerts/#", "inPrefix": "local/", "outPrefix": "remote/"},
            {"direction": "in", "topic": "cmd/#", "inPrefix": "", "outPrefix": ""},
            {"direction": "in", "topic": "jobs/+", "inPrefix": "fleet/", "outPrefix": "own/"},
            {"direction": "both", "topic": "sync/#"},
            {"direction": "out", "topic": "sync/late", "outPrefix": "never/"},
            {"direction": "out", "topic": "#", "inPrefix": "deep/", "outPrefix": ""},
            {"direction": "out", "topic": "twin/#", "inPrefix": "", "outPrefix": "$iothub/"},
            {"direction": "out", "topic": "d/#", "inPrefix": "", "outPrefix": "devices/"},
        ]));
        for (topic, expected) in [
            ("local/alerts/fire", Some("remote/alerts/fire")),
            ("local/alerts", Some("remote/alerts")),
            ("alerts/fire", None),
            ("local/other", None),
            ("sync/a", Some("sync/a")),
            ("sync/late", Some("sync/late")),
            ("deep/x/y", Some("x/y")),
            ("deep/devices/d/messages/events", None),
            ("deep/$iothub/twin/GET/", None),
            ("deep", None),
            ("deep/", None),
            ("twin/PATCH", None),
            ("d/x", None),
            ("cmd/x", None),
        ] {
            assert_eq!(bridges.to_parent(topic, Origin::Here).as_deref(), expected, "out {topic}");
            assert_eq!(bridges.to_parent(topic, Origin::Parent), None, "back {topic}");
        }
        for (topic, expected) in [
            ("cmd/x", Some("cmd/x")),
            ("cmd", Some("cmd")),
            ("fleet/jobs/1", Some("own/jobs/1")),
            ("fleet/jobs/1/2", None),
            ("sync/a", Some("sync/a")),
            ("remote/alerts/fire", None),
        ] {
            assert_eq!(bridges.from_parent(topic).as_deref(), expected, "in {topic}");
        }
        let wanted: Vec<String> = bridges.filters_at_parent().iter().map(ToString::to_string).collect();
        assert_eq!(wanted, ["cmd/#", "fleet/jobs/+", "sync/#"]);
    }
}

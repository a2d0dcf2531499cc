//! Which of the hub's topics a subscription filter covers (reference device-protocol §4.4).
//!
//! Filters are matched as MQTT filters, not compared with the spellings that SDKs are known to send. Identity ids may
//! contain `+` and `#`; only a segment that is exactly one of them is a wildcard.

use hemline_model::id::{ClientId, ModuleId};
use serde::{Deserialize, Serialize};

/// What a subscription lets the hub send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Feature {
    /// Answers to twin requests. They are sent without it too (reference device-protocol §5.2).
    TwinResponses,
    /// Desired property patches.
    DesiredPatches,
    /// Direct method calls.
    Methods,
    /// Cloud-to-device messages.
    CloudToDevice,
    /// Module inputs.
    Inputs,
    /// Everything that is for those beneath an edge device, in the nested dialect. Its hub alone can have it.
    Nested,
}

/// One segment of a topic that the hub publishes.
enum Part<'a> {
    Word(&'a str),
    Any,
}

/// The features whose topics this filter can match. Empty: granted, and nothing will ever come.
///
/// A filter for one input counts for all inputs of the module; a client ignores what it did not ask for.
#[must_use]
pub fn features(filter: &str, client: &ClientId) -> Vec<Feature> {
    use Part::{Any, Word};
    let device = client.device.as_str();
    let mut found = Vec::new();
    let mut consider = |feature, topic: &[Part<'_>]| {
        if may_match(filter, topic) {
            found.push(feature);
        }
    };
    consider(Feature::TwinResponses, &[Word("$iothub"), Word("twin"), Word("res"), Any, Any]);
    consider(
        Feature::DesiredPatches,
        &[Word("$iothub"), Word("twin"), Word("PATCH"), Word("properties"), Word("desired"), Any],
    );
    consider(Feature::Methods, &[Word("$iothub"), Word("methods"), Word("POST"), Any, Any]);
    if client.module.as_ref().is_some_and(|module| *module == ModuleId::edge_hub()) {
        consider(Feature::Nested, &[Word("$iothub"), Any, Word("twin"), Word("desired"), Any]);
    }
    match &client.module {
        None => consider(
            Feature::CloudToDevice,
            &[Word("devices"), Word(device), Word("messages"), Word("devicebound"), Any],
        ),
        Some(module) => consider(
            Feature::Inputs,
            &[
                Word("devices"),
                Word(device),
                Word("modules"),
                Word(module.as_str()),
                Word("inputs"),
                Any,
                Any,
            ],
        ),
    }
    found
}

/// Does an MQTT filter match a topic? A leading wildcard does not reach topics that start with `$` (MQTT 4.7.2).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let parts: Vec<Part<'_>> = topic.split('/').map(Part::Word).collect();
    may_match(filter, &parts)
}

fn may_match(filter: &str, topic: &[Part<'_>]) -> bool {
    if filter.starts_with(['+', '#'])
        && matches!(topic.first(), Some(Part::Word(word)) if word.starts_with('$'))
    {
        return false;
    }
    let mut topic = topic.iter();
    let mut segments = filter.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment == "#" && segments.peek().is_none() {
            return true;
        }
        match topic.next() {
            None => return false,
            Some(Part::Any) => {}
            Some(Part::Word(word)) => {
                if segment != "+" && segment != *word {
                    return false;
                }
            }
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientId {
        text.parse().unwrap()
    }

    #[test]
    fn filters_of_the_sdks() {
        use Feature::{CloudToDevice, DesiredPatches, Inputs, Methods, Nested, TwinResponses};
        for (id, filter, expected) in [
            ("d", "$iothub/twin/res/#", vec![TwinResponses]),
            ("d", "$iothub/twin/PATCH/properties/desired/#", vec![DesiredPatches]),
            ("d", "$iothub/methods/POST/#", vec![Methods]),
            ("d", "$iothub/#", vec![TwinResponses, DesiredPatches, Methods]),
            ("d", "devices/d/messages/devicebound/#", vec![CloudToDevice]),
            ("d", "devices/+/messages/devicebound/#", vec![CloudToDevice]),
            ("d", "devices/other/messages/devicebound/#", vec![]),
            ("d", "#", vec![CloudToDevice]),
            ("d", "+/twin/res/#", vec![]),
            ("d/m", "devices/d/modules/m/inputs/#", vec![Inputs]),
            ("d/m", "devices/d/modules/m/#", vec![Inputs]),
            ("d/m", "devices/d/modules/m/inputs/in/#", vec![Inputs]),
            ("d/m", "devices/d/modules/m/messages/devicebound/#", vec![]),
            ("d/m", "devices/d/modules/n/#", vec![]),
            ("a+b#", "devices/a+b#/messages/devicebound/#", vec![CloudToDevice]),
            ("a+b", "devices/axb/messages/devicebound/#", vec![]),
            ("+", "devices/+/messages/devicebound/#", vec![CloudToDevice]),
            ("d", "my/own/topic", vec![]),
            ("d", "", vec![]),
            ("d", "$iothub/+/#", vec![TwinResponses, DesiredPatches, Methods]),
            ("d/m", "$iothub/+/twin/#", vec![]),
            ("d/$edgeHub", "$iothub/+/#", vec![TwinResponses, DesiredPatches, Methods, Nested]),
            ("d/$edgeHub", "$iothub/+/twin/#", vec![Nested]),
            ("d/$edgeHub", "devices/d/modules/$edgeHub/#", vec![Inputs]),
        ] {
            assert_eq!(features(filter, &client(id)), expected, "{id} {filter}");
        }
    }

    #[test]
    fn filter_matching() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+/c", "a/b/c", true),
            ("a/+", "a/b/c", false),
            ("+/+", "/b", true),
            ("#", "$iothub/x", false),
            ("$iothub/#", "$iothub/x", true),
            ("a/#/c", "a/b/c", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}

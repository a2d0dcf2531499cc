//! Topics that clients make up among themselves (reference edge-runtime §6): everything that is none of the hub's own.

use hemline_model::topic_filter::{Level, TopicFilter, check_topic};

/// First level of the hub's own topics for messages.
const DEVICES: &str = "devices";

/// In front of a subscription that several clients share.
const SHARE: &str = "$share/";

/// What a client subscribed to of the user-defined topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFilter {
    /// Of those who share the subscription; each message goes to one of them.
    pub group: Option<String>,
    /// Which topics.
    pub filter: TopicFilter,
}

/// Can this be a user-defined topic? None begins with `$`, which belongs to the hub, or with `devices/`.
#[must_use]
pub fn is_user_topic(topic: &str) -> bool {
    !topic.starts_with('$') && !topic.starts_with("devices/") && check_topic(topic).is_ok()
}

/// The user-defined part of a subscription; `None` when there is none, or when it is no filter. A wildcard in front reaches
/// user-defined topics and may reach the hub's too.
#[must_use]
pub fn user_filter(text: &str) -> Option<UserFilter> {
    let (group, text) = match text.strip_prefix(SHARE) {
        Some(shared) => {
            let (group, text) = shared.split_once('/')?;
            let sound = !group.is_empty() && !group.contains(['+', '#']);
            (Some(sound.then_some(group)?.to_owned()), text)
        }
        None => (None, text),
    };
    let filter = TopicFilter::parse(text).ok()?;
    let own = match filter.levels() {
        [Level::Word(first), rest @ ..] => first.starts_with('$') || (first == DEVICES && !rest.is_empty()),
        _ => false,
    };
    (!own).then_some(UserFilter { group, filter })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_topics_are_ours_and_which_are_the_users() {
        for (topic, user) in [
            ("alerts/fire", true),
            ("devices", true),
            ("devices-own/a", true),
            ("/", true),
            ("devices/", false),
            ("devices/d/messages/events", false),
            ("$iothub/twin/GET/?$rid=1", false),
            ("$SYS/broker", false),
            ("a/+", false),
            ("", false),
        ] {
            assert_eq!(is_user_topic(topic), user, "{topic}");
        }
        for (text, expected) in [
            ("alerts/#", Some((None, "alerts/#"))),
            ("#", Some((None, "#"))),
            ("+/x", Some((None, "+/x"))),
            ("$share/g/alerts/+", Some((Some("g"), "alerts/+"))),
            ("$share/g/#", Some((Some("g"), "#"))),
            ("$share/g", None),
            ("$share//a", None),
            ("$share/+/a", None),
            ("$share/g/", None),
            ("$share/g/$iothub/#", None),
            ("$share/g/devices/#", None),
            ("$iothub/#", None),
            ("$SYS/#", None),
            ("devices/#", None),
            ("devices/d/modules/m/#", None),
            ("a/#/b", None),
            ("", None),
        ] {
            let found = user_filter(text).map(|user| (user.group, user.filter.to_string()));
            let expected = expected.map(|(group, filter)| (group.map(str::to_owned), filter.to_owned()));
            assert_eq!(found, expected, "{text}");
        }
    }
}

//! Desired properties as a client keeps them: the whole twin once, then patches without a gap (reference
//! device-protocol §5.1, §5.3).
//!
//! Pure. Not here: when the twin is asked for (`connection.rs`).

use hemline_model::twin;
use serde_json::{Map, Value};

/// The desired properties of a client.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    /// `$version`; none until the hub has been asked for the first time.
    pub version: Option<u64>,
    /// The properties, without `$version`.
    pub properties: Map<String, Value>,
}

/// What has to be done after something came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The properties are new.
    Changed,
    /// Nothing new.
    Unchanged,
    /// Something was missed: the whole twin is needed.
    Ask,
}

/// Follows the desired properties.
#[derive(Debug, Default)]
pub(super) struct Follower {
    current: Desired,
    /// Highest version that was announced by a patch that could not be used.
    announced: u64,
}

impl Follower {
    pub(super) fn current(&self) -> &Desired {
        &self.current
    }

    /// A new connection: the twin may have been made anew meanwhile, with versions from 1.
    pub(super) fn reconnected(&mut self) {
        self.announced = 0;
    }

    /// Takes the answer to a twin request.
    pub(super) fn whole(&mut self, body: &[u8]) -> Result<Step, serde_json::Error> {
        #[derive(serde::Deserialize)]
        struct Twin {
            #[serde(default)]
            desired: Map<String, Value>,
        }
        let Twin { mut desired } = serde_json::from_slice(body)?;
        let version = desired.get("$version").and_then(Value::as_u64).unwrap_or_default();
        desired.retain(|key, _| !key.starts_with('$'));
        let answer = Desired { version: Some(version), properties: desired };
        let missed = version < self.announced;
        // Asked again once, not for ever, should the announced version never come.
        self.announced = 0;
        let changed = answer != self.current;
        self.current = answer;
        Ok(match (missed, changed) {
            (true, _) => Step::Ask,
            (false, true) => Step::Changed,
            (false, false) => Step::Unchanged,
        })
    }

    /// Takes a patch. `version` comes from the topic; the body says it too.
    pub(super) fn patch(&mut self, version: Option<u64>, body: &[u8]) -> Step {
        let Ok(mut patch) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return Step::Ask;
        };
        let Some(version) = patch.get("$version").and_then(Value::as_u64).or(version) else {
            return Step::Ask;
        };
        match self.current.version {
            Some(have) if version <= have => Step::Unchanged,
            Some(have) if version == have + 1 => {
                patch.retain(|key, _| !key.starts_with('$'));
                twin::merge(&mut self.current.properties, &patch);
                self.current.version = Some(version);
                Step::Changed
            }
            Some(_) | None => {
                self.announced = self.announced.max(version);
                Step::Ask
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(version: u64, properties: Value) -> Follower {
        let mut follower = Follower::default();
        let mut desired = properties;
        desired["$version"] = json!(version);
        let body = json!({"desired": desired, "reported": {"$version": 1}}).to_string();
        assert_eq!(follower.whole(body.as_bytes()).unwrap(), Step::Changed);
        follower
    }

    #[test]
    fn patches() {
        let start = || at(4, json!({"a": 1, "o": {"x": 1, "y": 2}}));
        let whole = json!({"a": 1, "o": {"x": 1, "y": 2}});
        for (topic, body, step, version, properties) in [
            (Some(5), r#"{"a":2,"$version":5}"#, Step::Changed, 5, json!({"a": 2, "o": {"x": 1, "y": 2}})),
            (Some(5), r#"{"o":{"x":null}}"#, Step::Changed, 5, json!({"a": 1, "o": {"y": 2}})),
            (
                None,
                r#"{"b":{"n":null},"$version":5}"#,
                Step::Changed,
                5,
                json!({"a": 1, "b": {}, "o": {"x": 1, "y": 2}}),
            ),
            (Some(5), r#"{"a":null,"o":null,"$version":5}"#, Step::Changed, 5, json!({})),
            (Some(4), r#"{"a":9,"$version":4}"#, Step::Unchanged, 4, whole.clone()),
            (Some(6), r#"{"a":9,"$version":6}"#, Step::Ask, 4, whole.clone()),
            (None, r#"{"a":9}"#, Step::Ask, 4, whole.clone()),
            (Some(5), "[]", Step::Ask, 4, whole.clone()),
        ] {
            let mut follower = start();
            assert_eq!(follower.patch(topic, body.as_bytes()), step, "{body}");
            assert_eq!(follower.current().version, Some(version), "{body}");
            assert_eq!(Value::Object(follower.current().properties.clone()), properties, "{body}");
        }
    }

    #[test]
    fn an_answer_older_than_an_announced_patch_is_asked_for_again_once() {
        let mut follower = at(4, json!({}));
        assert_eq!(follower.patch(Some(7), b"{}"), Step::Ask);
        let old = br#"{"desired":{"a":6,"$version":6},"reported":{}}"#;
        assert_eq!(follower.whole(old).unwrap(), Step::Ask);
        assert_eq!(follower.whole(old).unwrap(), Step::Unchanged);
    }

    #[test]
    fn first_answer_and_same_answer() {
        let mut follower = Follower::default();
        assert_eq!(follower.patch(Some(2), b"{}"), Step::Ask);
        follower.reconnected();
        let body = br#"{"desired":{"$version":1},"reported":{"$version":1}}"#;
        assert_eq!(follower.whole(body).unwrap(), Step::Changed);
        assert_eq!(follower.whole(body).unwrap(), Step::Unchanged);
        assert!(follower.whole(b"null").is_err());
    }

    #[test]
    fn a_twin_made_anew_starts_over() {
        let mut follower = at(9, json!({"a": 1}));
        follower.reconnected();
        assert_eq!(follower.whole(br#"{"desired":{"b":1,"$version":1}}"#).unwrap(), Step::Changed);
        assert_eq!(follower.current().version, Some(1));
        assert_eq!(follower.patch(Some(2), br#"{"b":2}"#), Step::Changed);
    }
}

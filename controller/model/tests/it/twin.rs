//! Twin arithmetic by its laws, limits at their edges, metadata as the hub prints it.

use hemline_model::twin::{Metadata, Which, canonical, diff, dotnet_time, limits, merge};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn key() -> impl Strategy<Value = String> {
    "[a-d]{1,2}"
}

/// A value as a twin holds it: without `null` members.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "\\PC{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(key(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn section() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(key(), value(), 0..5).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn a_difference_leads_to_the_new_value(old in section(), new in section()) {
        let patch = diff(&old, &new);
        prop_assert_eq!(patch.is_empty(), old == new);
        let mut merged = old;
        merge(&mut merged, &patch);
        prop_assert_eq!(merged, new);
    }

    #[test]
    fn merging_twice_changes_nothing(old in section(), new in section()) {
        let patch = diff(&old, &new);
        let mut once = old.clone();
        merge(&mut once, &patch);
        let mut twice = once.clone();
        merge(&mut twice, &patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn canonical_text_reads_back(value in value()) {
        let text = canonical(&value);
        prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn metadata_mirrors_the_section(old in section(), new in section()) {
        let (first, second) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let mut metadata = Metadata::of(&old, first, Some(2));
        let patch = diff(&old, &new);
        metadata.touch(&patch, second, Some(3));
        prop_assert!(mirrors(metadata.as_map(), &new));
    }
}

fn mirrors(node: &Map<String, Value>, section: &Map<String, Value>) -> bool {
    let keys: Vec<_> = node.keys().filter(|key| !key.starts_with('$')).collect();
    node.contains_key("$lastUpdated")
        && keys == section.keys().collect::<Vec<_>>()
        && section.iter().all(|(key, value)| match (value, &node[key]) {
            (Value::Object(inner), Value::Object(child)) => mirrors(child, inner),
            (_, Value::Object(child)) => child.keys().all(|key| key.starts_with('$')),
            _ => false,
        })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

#[test]
fn null_deletes_at_any_depth() {
    let mut twin = object(json!({"a": {"b": 1, "c": 2}, "d": 3}));
    merge(&mut twin, &object(json!({"a": {"b": null}, "d": null, "e": {"f": null, "g": 1}})));
    assert_eq!(Value::Object(twin), json!({"a": {"c": 2}, "e": {"g": 1}}));
}

#[test]
fn times_look_like_dotnet() {
    let at: Timestamp = "2026-01-01T00:00:00.123456789Z".parse().unwrap();
    assert_eq!(dotnet_time(at), "2026-01-01T00:00:00.1234567Z");
    assert_eq!(dotnet_time("1969-12-31T23:59:59.5Z".parse().unwrap()), "1969-12-31T23:59:59.5000000Z");
}

#[test]
fn metadata_has_versions_for_desired_only() {
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let section = object(json!({"a": {"b": [1, 2]}}));
    let t = "2026-01-01T00:00:00.0000000Z";
    let desired = Metadata::of(&section, at, Some(4));
    let node = json!({"$lastUpdated": t, "$lastUpdatedVersion": 4});
    let mut expected = node.clone();
    expected["a"] = node.clone();
    expected["a"]["b"] = node;
    assert_eq!(Value::Object(desired.as_map().clone()), expected);
    let reported = Metadata::of(&section, at, None);
    assert_eq!(reported.as_map()["a"]["b"], json!({"$lastUpdated": t}));
}

/// (what, section, which, expected finding)
#[test]
fn limits_hold_at_their_edges() {
    let nested = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!({"n": inner}));
    let table = [
        ("text fits", json!({"t": "x".repeat(4096)}), None),
        (
            "text too long",
            json!({"t": "x".repeat(4097)}),
            Some("/t: a text of 4097 bytes, at most 4096 are allowed"),
        ),
        ("depth fits", nested(11), None),
        ("too deep", nested(12), Some("/n/n/n/n/n/n/n/n/n/n/n: nested deeper than 10 levels")),
        ("number fits", json!({"n": 4_503_599_627_370_495_i64}), None),
        (
            "number too large",
            json!({"n": 4_503_599_627_370_496_i64}),
            Some("/n: the number 4503599627370496 is outside -4503599627370496 … 4503599627370495"),
        ),
        (
            "dot",
            json!({"a.b": 1}),
            Some(
                "/a.b: the key \"a.b\" contains '.'; white space, control characters and . $ # are not allowed",
            ),
        ),
        ("key fits", json!({"k".repeat(1024): 1}), None),
        ("number fits, smallest", json!({"n": -4_503_599_627_370_496_i64}), None),
        (
            "number too small",
            json!({"n": -4_503_599_627_370_497_i64}),
            Some("/n: the number -4503599627370497 is outside -4503599627370496 … 4503599627370495"),
        ),
        ("a float has no such bound", json!({"n": 1e300}), None),
        (
            "text too long, in bytes",
            json!({"t": "ü".repeat(2049)}),
            Some("/t: a text of 4098 bytes, at most 4096 are allowed"),
        ),
        ("null in array", json!({"a": [1, null]}), Some("/a/1: null is not allowed inside an array")),
        (
            "null in object in array",
            json!({"a": [{"b": null}]}),
            Some("/a/0/b: null is not allowed inside an array"),
        ),
        ("version is not looked at", json!({"$version": 3, "a": 1}), None),
        (
            "size",
            Value::Object((0..9).map(|n| (format!("k{n}"), json!("x".repeat(4000)))).collect()),
            Some(": desired properties take 36018 bytes, at most 32768 are allowed"),
        ),
    ];
    for (what, section, expected) in table {
        let found = limits::check(&object(section), Which::Desired).err();
        let found = found.map(|limit| format!("{}: {limit}", limit.pointer));
        assert_eq!(found.as_deref(), expected, "{what}");
    }
}

#[test]
fn limits_hold_to_the_byte_and_character() {
    let refused = |section| limits::check(&object(section), Which::Desired).unwrap_err();
    let long = refused(json!({"n": {"ü".repeat(513): 1}}));
    assert_eq!(long.to_string(), "a key of 1026 bytes, at most 1024 are allowed");
    let deep = refused(json!({"n": (0..11).fold(json!(1), |inner, _| json!([inner]))}));
    assert_eq!(
        (deep.pointer, deep.why.to_string()),
        (format!("/n{}", "/0".repeat(10)), "nested deeper than 10 levels".into())
    );
    for c in ['.', '$', '#', ' ', '\t', '\n', '\u{0}', '\u{7f}', '\u{85}', '\u{a0}', '\u{2028}'] {
        let key = format!("a{c}b");
        let found = limits::check(&object(json!({"n": [{key: 1}]})), Which::Reported);
        assert!(found.is_err_and(|limit| limit.to_string().contains("are not allowed")), "{c:?}");
    }
    for key in ["ü", "a-b", "__t", "a/b~c", "\u{1F600}"] {
        assert_eq!(limits::check(&object(json!({key: 1})), Which::Reported), Ok(()), "{key}");
    }
    // Numbers count 8 bytes, truth values 4, texts and keys theirs: to the byte.
    let fits = |extra: usize| {
        let mut section: Map<String, Value> =
            (0..8).map(|n| (format!("k{n}"), json!("x".repeat(4090 - usize::from(n == 0) * 24)))).collect();
        section.insert("n".repeat(4), json!(1.5));
        section.insert("t".repeat(8 + extra), json!(true));
        let bytes: usize = 8 * 2 + 8 * 4090 - 24 + 4 + 8 + 8 + extra + 4;
        (bytes, limits::check(&section, Which::Reported).is_ok())
    };
    assert_eq!(fits(0), (32_736, true));
    assert_eq!(fits(32), (32_768, true));
    assert_eq!(fits(33), (32_769, false));
    let tags = object(json!({"a": "x".repeat(4000), "b": "x".repeat(4000), "c": "x".repeat(400)}));
    assert!(limits::check(&tags, Which::Tags).is_err());
}

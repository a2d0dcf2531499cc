//! Target conditions (reference query-language §4).

use hemline_query::select::Source;
use hemline_query::target::{DeviceTwin, TargetCondition};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

#[test]
fn conditions_are_understood_in_every_form() {
    let table = [
        ("*", true, false, Source::Devices),
        (" * ", true, false, Source::Devices),
        ("deviceId='linuxprod1'", true, false, Source::Devices),
        ("tags.environment='prod' AND tags.location='westus'", true, false, Source::Devices),
        ("tags.environment='prod' OR tags.location='eastus'", true, false, Source::Devices),
        (
            "tags.operator='John' AND tags.environment='prod' AND NOT deviceId='linuxprod1'",
            false,
            false,
            Source::Devices,
        ),
        ("properties.reported.devicemodel='4000x'", true, true, Source::Devices),
        ("from devices.modules where moduleId = 'm'", false, false, Source::Modules),
        ("FROM devices WHERE tags.location = 'westus'", true, false, Source::Devices),
        ("DeviceId IN ['linuxprod1']", true, false, Source::Devices),
        ("tags.missing = 'x'", false, false, Source::Devices),
        ("PROPERTIES.Reported.devicemodel = '4000x'", true, true, Source::Devices),
        ("properties.desired.x = 1", false, false, Source::Devices),
    ];
    let twin = json!({"deviceId": "linuxprod1", "tags": {"environment": "prod", "location": "westus", "operator": "John"},
        "properties": {"desired": {}, "reported": {"devicemodel": "4000x"}}});
    for (text, matches, reads_reported, source) in table {
        let condition =
            TargetCondition::parse(text).unwrap_or_else(|found| panic!("{text}: {}", found[0].render(text)));
        assert_eq!(condition.matches(&twin), matches, "{text}");
        assert_eq!(condition.reads_reported(), reads_reported, "{text}");
        assert_eq!(condition.source(), source, "{text}");
        assert_eq!(condition.reads("tags"), text.contains("tags."), "{text}");
        assert_eq!(condition.is_all(), text.trim() == "*", "{text}");
        assert_eq!(condition.warnings(), [], "{text}");
        assert_eq!(TargetCondition::parse(&condition.to_string()).as_ref(), Ok(&condition), "{condition}");
    }
}

/// What may stand in a condition: every member that a device twin has in pieces, whole and in parts, and some that it has not.
const READ: [&str; 18] = [
    "deviceId",
    "status",
    "capabilities",
    "capabilities.iotEdge",
    "capabilities.other",
    "tags",
    "tags.a",
    "tags.a.b",
    "tags.list[1]",
    "properties",
    "properties.desired",
    "properties.desired.a",
    "properties.reported",
    "properties.reported.a.b",
    "properties.other",
    "moduleId",
    "deviceId.x",
    "tags.a.b.c",
];
const TESTS: [&str; 9] = [
    "IS_DEFINED(@)",
    "NOT IS_DEFINED(@)",
    "IS_OBJECT(@)",
    "IS_STRING(@)",
    "@ = 'x'",
    "@ = 1",
    "@ != true",
    "@ = null",
    "@ IN ['x', 'enabled', 1]",
];

fn section() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(json!("x")),
        Just(json!(1)),
        Just(json!(true)),
        Just(json!({"b": "x"})),
        Just(json!([0, 1]))
    ];
    prop::collection::btree_map("a|list|c", leaf, 0..3).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn a_twin_in_pieces_is_selected_as_the_whole_one_is(
        read in prop::sample::select(READ.to_vec()),
        test in prop::sample::select(TESTS.to_vec()),
        (tags, desired, reported) in (section(), section(), prop::option::of(section())),
        (enabled, edge) in any::<(bool, bool)>(),
    ) {
        let text = test.replace('@', read);
        let condition = TargetCondition::parse(&text).unwrap();
        let reported = reported.map(Value::Object);
        let whole = json!({
            "deviceId": "x",
            "status": if enabled { "enabled" } else { "disabled" },
            "capabilities": {"iotEdge": edge},
            "tags": tags,
            "properties": {"desired": desired, "reported": reported.clone().unwrap_or_else(|| json!({}))},
        });
        let pieces = DeviceTwin {
            device_id: "x", enabled, edge, tags: &tags, desired: &desired, reported: reported.as_ref(),
        };
        prop_assert_eq!(condition.matches_device(pieces), condition.matches(&whole), "{} {}", text, whole);
    }
}

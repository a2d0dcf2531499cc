//! Target conditions (reference query-language §4).

use hemline_query::select::Source;
use hemline_query::target::TargetCondition;
use serde_json::json;

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

//! SELECT queries: the fleet and results of reference query-language §3.7, the client texts of §3.6, jobs of §5.

use hemline_query::select::{Query, Source};
use serde_json::{Value, json};

pub(crate) fn fleet() -> Vec<Value> {
    vec![
        json!({"deviceId": "d1", "status": "enabled", "lastActivityTime": "2026-01-01T00:00:00Z",
            "capabilities": {"iotEdge": true}, "tags": {"loc": {"region": "US"}},
            "properties": {"desired": {"$version": 1, "K": "v"}, "reported":
                {"connectivity": "wifi", "tele": {"status": "Success", "freq": 60}, "lastDesiredVersion": 1}}}),
        json!({"deviceId": "d2", "status": "enabled", "lastActivityTime": "2026-02-01T00:00:00Z",
            "capabilities": {"iotEdge": false}, "tags": {"loc": {"region": "US"}, "group": {"name": "g"}},
            "properties": {"desired": {"$version": 2}, "reported":
                {"connectivity": "wired", "tele": {"status": "Success", "freq": 300}}}}),
        json!({"deviceId": "d3", "status": "enabled", "lastActivityTime": "2026-03-01T00:00:00Z",
            "capabilities": {"iotEdge": false}, "tags": {"loc": {"region": "DE"}},
            "configurations": {"my-id": {"status": "Applied"}}, "parentScopes": ["ms-azure-iot-edge://p-123"],
            "properties": {"desired": {"$version": 1}, "reported": {"tele": {"status": "Error"}, "none": null}}}),
        json!({"deviceId": "d4", "status": "disabled", "capabilities": {"iotEdge": false},
            "properties": {"desired": {"$version": 1}, "reported": {}}}),
    ]
}

fn run(text: &str) -> Vec<Value> {
    let query = Query::parse(text);
    assert!(query.is_ok(), "{text}: {query:?}");
    query.map(|query| query.run(fleet().iter())).unwrap_or_default()
}

fn ids(condition: &str) -> String {
    let answer = run(&format!("SELECT * FROM devices WHERE {condition}"));
    answer.iter().filter_map(|row| row["deviceId"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn conditions_select_the_devices_of_the_reference() {
    let table = [
        ("tags.loc.region = 'US'", "d1 d2"),
        ("tags.loc.region = 'US' AND properties.reported.tele.freq >= 60", "d1 d2"),
        ("tags.loc.region != 'US'", "d3"),
        ("NOT tags.loc.region = 'US'", "d3"),
        ("NOT IS_DEFINED(tags.loc.region) OR tags.loc.region != 'US'", "d3 d4"),
        ("properties.reported.connectivity IN ['wired', 'wifi']", "d1 d2"),
        ("is_defined(properties.reported.connectivity)", "d1 d2"),
        ("properties.reported.tele.freq = '60'", ""),
        ("properties.reported.tele = properties.reported.tele", ""),
        ("STARTSWITH(devices.deviceId, 'd')", "d1 d2 d3 d4"),
        ("starts_with(ID, 'd1')", "d1"),
        ("(capabilities.iotEdge=true AND status='enabled')", "d1"),
        ("(CAPABILITIES.IOTEDGE!=true AND STATUS='enabled')", "d2 d3"),
        ("deviceId in ['d1']", "d1"),
        ("deviceId NOT IN ['d1', 'd2']", "d3 d4"),
        ("deviceId nin ('d1', 'd2')", "d3 d4"),
        ("tags.loc.region NIN ['US']", "d3"),
        ("devices.deviceid IN ['d2']", "d2"),
        ("not startswith(deviceId, 'd1') and not startswith(deviceId, 'd2')", "d3 d4"),
        ("array_contains(parentScopes, 'ms-azure-iot-edge://p-123')", "d3"),
        ("configurations.[[my-id]].status = 'Applied'", "d3"),
        ("configurations.[[MY-ID]].status = 'Applied'", ""),
        ("tags.[[group]].name = 'g'", "d2"),
        ("tags.group.name = \"g\"", "d2"),
        ("tags.[[loc]].[[region]] = 'DE';", "d3"),
        ("properties.desired.$version = properties.reported.lastDesiredVersion", "d1"),
        ("properties.reported.none = null", "d3"),
        ("is_null(properties.reported.none)", "d3"),
        ("properties.reported.none != 'x'", "d3"),
        ("properties.reported.none = undefined", ""),
        ("properties.reported.tele.freq > 75", "d2"),
        ("properties.reported.tele.freq / 2 - 30 = 0", "d1"),
        ("properties.reported.tele.freq % 7 = 4 OR -properties.reported.tele.freq < -200", "d1 d2"),
        ("properties.reported.tele.freq / 0 > 1", ""),
        ("lastActivityTime > '2026-02-01'", "d2 d3"),
        ("/* all */ true", "d1 d2 d3 d4"),
        ("'it''s' = 'it\\'s' AND '\\u0041' = 'A'", "d1 d2 d3 d4"),
        ("0x3C = properties.reported.tele.freq AND 6e1 = 60.0", "d1"),
        ("parentScopes[0] = 'ms-azure-iot-edge://p-123'", "d3"),
        ("length(deviceId) = 2 AND substring(deviceId, 1) = '4'", "d4"),
        ("upper(deviceId) = 'D1' or index_of(deviceId, '2') = 1", "d1 d2"),
        ("array_contains(['d1', 'x'], deviceId)", "d1"),
    ];
    for (condition, expected) in table {
        assert_eq!(ids(condition), expected, "{condition}");
    }
}

#[test]
fn projections_and_aggregates_have_the_documented_shape() {
    let table = [
        (
            "SELECT properties.reported.tele.status AS status, COUNT() AS numberOfDevices FROM devices \
             WHERE IS_DEFINED(properties.reported.tele.status) GROUP BY properties.reported.tele.status",
            json!([{"status": "Success", "numberOfDevices": 2}, {"status": "Error", "numberOfDevices": 1}]),
        ),
        ("SELECT COUNT() as totalNumberOfDevices FROM devices", json!([{"totalNumberOfDevices": 4}])),
        (
            "SELECT LastActivityTime FROM devices WHERE status = 'enabled'",
            json!([
                {"LastActivityTime": "2026-01-01T00:00:00Z"},
                {"LastActivityTime": "2026-02-01T00:00:00Z"},
                {"LastActivityTime": "2026-03-01T00:00:00Z"},
            ]),
        ),
        ("select top 1 deviceId from devices", json!([{"deviceId": "d1"}])),
        ("SELECT tags.loc.region FROM devices WHERE deviceId IN ['d3', 'd4']", json!([{"region": "DE"}, {}])),
        ("select count(*) from devices where false", json!([{"count": 0}])),
        ("select avg(properties.reported.tele.freq) as a from devices where false", json!([{}])),
        (
            "select count(properties.reported.tele.freq) n, avg(properties.reported.tele.freq), \
             SUM(properties.reported.tele.freq), min(properties.reported.tele.freq), max(deviceId) from devices",
            json!([{"n": 2, "avg": 180, "sum": 360, "min": 60, "max": "d4"}]),
        ),
        (
            "select properties.desired.K AS K, COUNT() AS numberOfDevices from devices group by properties.desired.K ",
            json!([{"K": "v", "numberOfDevices": 1}, {"numberOfDevices": 3}]),
        ),
        (
            "SELECT tags.loc.region FROM devices GROUP BY tags.loc.region",
            json!([{"region": "US"}, {"region": "DE"}, {}]),
        ),
        ("select length(deviceId), 1 as one from devices where id = 'd1'", json!([{"$1": 2, "one": 1}])),
        (
            "select configurations.[[my-id]].status as [[my status]] from devices where id='d3'",
            json!([{"my status": "Applied"}]),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(Value::Array(run(text)), expected, "{text}");
    }
}

#[test]
fn texts_of_real_clients_are_understood() {
    let table = [
        ("select * from devices", Source::Devices, false),
        (
            "\n    SELECT deviceId as DeviceId,\n    status as Status,\n    lastActivityTime as LastActivityTime,\n    \
             statusUpdatedTime as StatusUpdatedTime,\n    authenticationType as AuthenticationType,\n    \
             cloudToDeviceMessageCount as CloudToDeviceMessageCount,\n    connectionState as ConnectionState,\n    \
             capabilities.iotEdge as IotEdge,\n    modelId as ModelId FROM devices WHERE (capabilities.iotEdge=true)",
            Source::Devices,
            true,
        ),
        ("SELECT * FROM devices.modules WHERE deviceId in ['d1']", Source::Modules, false),
        ("select * from devices.modules where devices.deviceId = 'd1'", Source::Modules, false),
        (
            "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[c-1]].status = \
             'Applied' and properties.desired.$version = properties.reported.lastDesiredVersion and \
             properties.reported.lastDesiredStatus.code != 200",
            Source::Modules,
            true,
        ),
        ("select * from devices.jobs ", Source::Jobs, false),
        (
            "SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'd1' AND devices.jobs.jobType = \
             'scheduleUpdateTwin' AND devices.jobs.status = 'completed' AND devices.jobs.createdTimeUtc > '2016-09-01'",
            Source::Jobs,
            false,
        ),
        ("SELECT deviceId, deviceScope FROM devices", Source::Devices, true),
    ];
    for (text, source, raw) in table {
        let query = Query::parse(text).unwrap_or_else(|found| panic!("{text}: {}", found[0].render(text)));
        assert_eq!((query.source(), query.is_raw()), (source, raw), "{text}");
        assert_eq!(query.warnings(), [], "{text}");
        assert_eq!(Query::parse(&query.to_string()).as_ref(), Ok(&query), "{query}");
    }
}

#[test]
fn jobs_are_found_by_both_names_of_their_creation_time() {
    let row = json!({"jobId": "j", "deviceId": "d1", "createdDateTimeUtc": "2026-01-01T00:00:00Z"});
    for text in [
        "SELECT * FROM devices.jobs WHERE devices.jobs.createdTimeUtc > '2016-09-01'",
        "SELECT * FROM devices.jobs WHERE createdDateTimeUtc > '2016-09-01' AND jobid = 'j'",
    ] {
        assert!(Query::parse(text).unwrap().matches(&row), "{text}");
    }
}

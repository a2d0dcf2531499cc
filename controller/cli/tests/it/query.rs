//! `hem query` in every dialect against a running hub: pages, forms of output, and mistakes with their places.

use serde_json::{Value, json};

use crate::hem::Hem;

/// More devices than one page has rows.
const PRESSES: usize = 120;

fn fleet() -> String {
    let mut documents = vec![
        "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: gate-1}\nspec: {edge: true, tags: {site: oslo}}"
            .to_owned(),
    ];
    documents.extend((0..PRESSES).map(|number| {
        let site = if number % 3 == 0 { "lyon" } else { "oslo" };
        format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {{name: press-{number:03}}}\n\
             spec: {{tags: {{site: {site}, line: {{number: {number}}}}}, desired: {{interval: {number}}}}}"
        )
    }));
    documents.join("\n---\n")
}

fn refusal(hem: &Hem, text: &str) -> String {
    let output = hem.command(&["query", text]).output().expect("hem starts");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()), "{text}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn every_dialect_is_answered() {
    let hem = Hem::up(&[("fleet.yaml", &fleet())]);
    hem.eventually("all devices are there", |hem| {
        let count = hem.json(&["query", "SELECT COUNT() AS n FROM devices"]);
        (count == json!([{"n": PRESSES + 1}])).then_some(())
    });
    let rows = |text: &str| hem.json(&["query", text]);

    // Devices: all pages, in order, each once; TOP over pages.
    let all = rows("SELECT deviceId FROM devices");
    let ids: Vec<&str> =
        all.as_array().expect("a list").iter().filter_map(|row| row["deviceId"].as_str()).collect();
    let expected: Vec<String> =
        std::iter::once("gate-1".to_owned()).chain((0..PRESSES).map(|n| format!("press-{n:03}"))).collect();
    assert_eq!(ids, expected);
    assert_eq!(rows("SELECT TOP 110 * FROM devices").as_array().map(Vec::len), Some(110));

    // Projections, aliases, aggregates, groups.
    for (text, expected) in [
        ("SELECT COUNT() AS n FROM devices WHERE tags.site = 'lyon'", json!([{"n": 40}])),
        (
            "select tags.site as site, count() as n from devices where startswith(deviceId, 'press') group by tags.site",
            json!([{"site": "lyon", "n": 40}, {"site": "oslo", "n": 80}]),
        ),
        (
            "SELECT MIN(properties.desired.interval) AS low, MAX(properties.desired.interval) AS high, \
             SUM(tags.line.number) AS sum, AVG(tags.line.number) AS mean FROM devices",
            json!([{"low": 0, "high": 119, "sum": 7140, "mean": 59.5}]),
        ),
        (
            "SELECT deviceId, tags.line.number AS n FROM devices WHERE tags.line.number IN [7, 8] AND NOT tags.site = 'lyon'",
            json!([{"deviceId": "press-007", "n": 7}, {"deviceId": "press-008", "n": 8}]),
        ),
        ("SELECT LastActivityTime FROM devices WHERE id = 'nobody'", json!([])),
        // Modules: those of the runtime.
        (
            "SELECT deviceId, moduleId FROM devices.modules WHERE moduleId = '$edgeHub' AND devices.deviceId = 'gate-1'",
            json!([{"deviceId": "gate-1", "moduleId": "$edgeHub"}]),
        ),
        // Jobs: none yet, in the right shape.
        ("SELECT * FROM devices.jobs", json!([])),
        (
            "SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'a' AND devices.jobs.status = 'failed'",
            json!([]),
        ),
    ] {
        assert_eq!(rows(text), expected, "{text}");
    }
    // A target condition is what stands after WHERE.
    let edge = rows("SELECT * FROM devices WHERE capabilities.iotEdge = true");
    assert_eq!(edge[0]["deviceId"], "gate-1");
    assert_eq!(edge.as_array().map(Vec::len), Some(1));

    // Forms.
    let text = "SELECT deviceId, tags.site FROM devices WHERE tags.line.number < 2";
    assert_eq!(hem.text(&["query", text]), "DEVICEID    SITE\npress-000   lyon\npress-001   oslo\n");
    let yaml: Value = serde_yaml_ng::from_str(&hem.text(&["query", text, "-o", "yaml"])).expect("YAML");
    assert_eq!(yaml, rows(text));
    let table = hem.text(&["query", "SELECT * FROM devices WHERE tags.line.number = 1"]);
    assert!(table.starts_with("DEVICE ") && table.contains("press-001"), "{table}");

    // Mistakes come back from the hub with their places, all at once.
    let said = refusal(&hem, "SELECT * FORM devices WHERE tags.site == 'lyon' AND startwith(deviceId, 'p')");
    for part in [
        "ArgumentInvalid, HTTP 400",
        "expected FROM, found `FORM`",
        "\n  |          ^^^^ did you mean FROM?\n",
        "did you mean STARTSWITH?\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let said = refusal(&hem, "SELECT * FROM devices WHERE tags.site == 'lyon' AND startwith(deviceId, 'p')");
    for part in [
        "1 | SELECT * FROM devices WHERE tags.site == 'lyon'",
        "\n  |                                       ^^ write `=`\n",
        "^^^^^^^^^ did you mean STARTSWITH?\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(refusal(&hem, "SELECT deviceId FROM devices.jobs").contains("write SELECT * FROM devices.jobs"));
    assert!(refusal(&hem, " ").contains("query is missing"));
}

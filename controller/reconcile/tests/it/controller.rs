//! From a saved document to the registry and twins of the hub, and back into `status/`.

use std::fs;

use hemline_model::finding::Severity;
use serde_json::json;

use super::world::World;

const PRESS: &str = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: press-01}\nspec: {edge: true, tags: {site: lyon}}\n";
const METER: &str = "apiVersion: hemline.dev/v1alpha1\nkind: Device\nmetadata: {name: meter}\nspec: {parent: press-01, desired: {every: 5}}\n";

fn vision(fps: u32, extra: &str) -> String {
    format!(
        "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {{name: vision}}\nspec:\n  targetCondition: tags.site = 'lyon'\n  modules:\n    camera: {{image: 'camera:1', desired: {{fps: {fps}}}}}\n{extra}"
    )
}

#[tokio::test]
async fn documents_reach_the_hub_and_changes_follow() {
    let mut world = World::new();
    world.put("a.yaml", &format!("{METER}---\n{PRESS}"));
    world.put("vision.yaml", &vision(10, "    old: {image: 'old:1'}\n"));
    world.start().await;
    world.report("the first pass", |report| report.devices.len() == 2 && report.errors.is_empty()).await;
    assert_eq!(world.devices().await, ["meter", "press-01"]);
    assert_eq!(world.modules("press-01").await, ["$edgeAgent", "$edgeHub", "camera", "old"]);
    let agent = world.twin("press-01/$edgeAgent", "the configuration", |_| true).await;
    assert_eq!(agent.pointer("/properties/desired/modules/camera/settings/image"), Some(&json!("camera:1")));
    let version = agent.pointer("/properties/desired/$version").cloned();

    // The pass that the hub's own notices start finds nothing to do.
    world.report("a quiet pass", |report| report.done.is_empty() && report.errors.is_empty()).await;
    let agent = world.twin("press-01/$edgeAgent", "the configuration", |_| true).await;
    assert_eq!(agent.pointer("/properties/desired/$version").cloned(), version);

    world.put("vision.yaml", &vision(12, ""));
    world
        .twin("press-01/camera", "the new value", |twin| {
            twin.pointer("/properties/desired/fps") == Some(&json!(12))
        })
        .await;
    world.modules_become("press-01", &["$edgeAgent", "$edgeHub", "camera"]).await;

    fs::remove_file(world.folder.path().join("a.yaml")).unwrap();
    world.put("b.yaml", PRESS);
    world.report("the device is gone", |report| report.devices.len() == 1 && report.errors.is_empty()).await;
    assert_eq!(world.devices().await, ["press-01"]);
    world.status("devices/meter.yaml", str::is_empty).await;
    let press = |text: &str| text.contains("kind: Device") && text.contains("camera");
    world.status("devices/press-01.yaml", press).await;
    world.stop().await;
}

#[tokio::test]
async fn a_broken_revision_changes_nothing_not_even_after_a_restart() {
    let mut world = World::new();
    world.put("fleet.yaml", &format!("{PRESS}---\n{}", vision(10, "")));
    world.start().await;
    let good = world.report("the first pass", |report| report.revision.is_some()).await;

    world.put("fleet.yaml", &format!("{PRESS}---\n{}", vision(10, "    other: {imag: x}\n")));
    let broken = world
        .report("the findings", |report| report.findings.iter().any(|f| f.severity == Severity::Error))
        .await;
    assert_eq!(broken.revision, good.revision);
    assert_ne!(broken.attempted, good.revision);
    assert!(broken.findings[0].position.as_ref().is_some_and(|position| &*position.file == "fleet.yaml"));
    let refused = |text: &str| text.starts_with("revision ") && text.contains("refused: 1 error");
    world.status("README.md", refused).await;

    world.stop().await;
    world.start().await;
    let again = world.report("the same after a restart", |report| report.attempted.is_some()).await;
    assert_eq!(again.revision, good.revision);
    assert_eq!(world.modules("press-01").await, ["$edgeAgent", "$edgeHub", "camera"]);

    // What goes while the program is down is removed when it is up again.
    world.stop().await;
    world.put("fleet.yaml", METER.replace("parent: press-01, ", "").as_str());
    world.start().await;
    world
        .report("the new revision", |report| report.revision != good.revision && report.revision.is_some())
        .await;
    assert_eq!(world.devices().await, ["meter"]);

    // An emptied folder is not an order.
    fs::remove_file(world.folder.path().join("fleet.yaml")).unwrap();
    let refused =
        world.report("the refusal", |report| report.findings.iter().any(|f| f.rule == "source-empty")).await;
    assert!(refused.is_held_back());
    assert_eq!(world.devices().await, ["meter"]);
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_grew_too_large_costs_no_device() {
    let mut world = World::new();
    world.put("press.yaml", PRESS);
    world.put("meter.yaml", METER);
    world.start().await;
    let good = world.report("the first pass", |report| report.devices.len() == 2).await;
    world.put("press.yaml", &PRESS.replace("lyon", "oslo"));
    world.put("meter.yaml", &format!("{METER}#{}", "x".repeat(hemline_model::text::FILE_BYTES)));
    let broken = world
        .report("the finding", |report| report.findings.iter().any(|found| found.rule == "file-too-large"))
        .await;
    assert_eq!(broken.revision, good.revision);
    let [found] = broken.findings.as_slice() else { panic!("{:?}", broken.findings) };
    assert_eq!(found.position.as_ref().map(ToString::to_string).as_deref(), Some("meter.yaml:1:1"));
    assert_eq!(world.devices().await, ["meter", "press-01"]);
    world.stop().await;
}

#[tokio::test]
async fn what_somebody_changes_by_hand_comes_back() {
    let mut world = World::new();
    world.put("fleet.yaml", &format!("{PRESS}---\n{}", vision(10, "")));
    world.start().await;
    world.report("the first pass", |report| report.revision.is_some() && report.errors.is_empty()).await;
    world.patch("press-01/camera", json!({"fps": 99, "mine": true})).await;
    let twin = world
        .twin("press-01/camera", "the value of the document", |twin| {
            twin.pointer("/properties/desired/fps") == Some(&json!(10))
        })
        .await;
    assert_eq!(
        twin.pointer("/properties/desired/mine"),
        Some(&json!(true)),
        "what the documents do not say stays"
    );
    world.patch("press-01/$edgeAgent", json!({"modules": {"camera": null}})).await;
    world
        .twin("press-01/$edgeAgent", "the module", |twin| {
            twin.pointer("/properties/desired/modules/camera").is_some()
        })
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_nudge_is_enough() {
    let mut world = World::new();
    world.start().await;
    let report = world.report("an empty folder is a good revision", |report| report.revision.is_some()).await;
    assert!(report.devices.is_empty() && report.findings.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn configurations_and_manifests_reach_the_twins() {
    let mut world = World::new();
    let camera = |fps: u32| {
        json!({"modulesContent": {
            "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {"camera": {"settings": {"image": "camera:1"}}}}},
            "$edgeHub": {"properties.desired": {"schemaVersion": "1.1"}},
            "camera": {"properties.desired": {"fps": fps, "mode": "day"}}
        }})
        .to_string()
    };
    let deployment = "apiVersion: hemline.dev/v1alpha1\nkind: EdgeDeployment\nmetadata: {name: vision}\nspec: {targetCondition: '*', manifest: ./camera.json}\n";
    let configuration = |name: &str, condition: &str, desired: &str| {
        format!(
            "apiVersion: hemline.dev/v1alpha1\nkind: TwinConfiguration\nmetadata: {{name: {name}}}\nspec: {{targetCondition: \"{condition}\", desired: {desired}}}\n"
        )
    };
    world.put("camera.json", &camera(10));
    world.put("fleet.yaml", &format!("{PRESS}---\n{METER}---\n{deployment}"));
    let modules = "FROM devices.modules WHERE moduleId = 'camera'";
    world.put(
        "meters.yaml",
        &configuration("meters", "capabilities.iotEdge = false", "{every: 60, log: info}"),
    );
    world.put("night.yaml", &configuration("night", modules, "{mode: night}"));
    world.start().await;
    let desired = |name: &'static str| {
        move |twin: &serde_json::Value| twin.pointer(&format!("/properties/desired/{name}")).cloned()
    };
    let meter =
        world.twin("meter", "the configuration", |twin| desired("log")(twin) == Some(json!("info"))).await;
    assert_eq!(desired("every")(&meter), Some(json!(5)), "the device's own document wins");
    let twin = world
        .twin("press-01/camera", "the configuration", |twin| desired("mode")(twin) == Some(json!("night")))
        .await;
    assert_eq!(desired("fps")(&twin), Some(json!(10)));
    let report =
        world.report("it is applied", |report| report.configurations.values().all(|c| c.applied == 1)).await;
    assert_eq!(report.configurations.values().map(|status| status.targeted).collect::<Vec<_>>(), [1, 1]);
    world.status("configurations/night.yaml", |text| !text.is_empty()).await;

    world.put("camera.json", &camera(12));
    world
        .twin("press-01/camera", "the manifest's new value", |twin| desired("fps")(twin) == Some(json!(12)))
        .await;
    fs::remove_file(world.folder.path().join("night.yaml")).unwrap();
    fs::remove_file(world.folder.path().join("meters.yaml")).unwrap();
    world
        .twin("press-01/camera", "what the deployment says", |twin| {
            desired("mode")(twin) == Some(json!("day"))
        })
        .await;
    world.twin("meter", "the property is taken back", |twin| desired("log")(twin).is_none()).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_changed_by_hand_has_a_row_from_its_beginning_to_its_end() {
    let mut world = World::new();
    let rules = "  drift: {paths: {modules.camera.desired.fps: report}}\n";
    world.put("fleet.yaml", &format!("{METER}---\n{PRESS}---\n{}", vision(10, rules)));
    world.start().await;
    let first = world.report("the first pass", |report| report.devices.len() == 2).await;
    assert!(first.drift_ledger.rows.is_empty(), "{:?}", first.drift_ledger);

    world.patch("press-01/camera", json!({"fps": 99})).await;
    let told = world.report("it is told", |report| report.drift.reported == 1).await;
    let row = &told.drift_ledger.rows[0];
    assert_eq!(
        (row.path.as_str(), row.expected.as_str(), row.found.as_str()),
        ("modules.camera.desired.fps", "10", "99")
    );

    world.patch("press-01/$edgeAgent", json!({"modules": {"camera": null}})).await;
    let healed = world.report("that is healed", |report| report.drift.healed == 1).await;
    assert_eq!((healed.drift_ledger.rows[1].path.as_str(), healed.drift.reported), ("modules.camera", 1));
    world
        .twin("press-01/$edgeAgent", "the module", |twin| {
            twin.pointer("/properties/desired/modules/camera").is_some()
        })
        .await;
    let camera = world.twin("press-01/camera", "the twin", |_| true).await;
    assert_eq!(camera.pointer("/properties/desired/fps"), Some(&json!(99)), "told, and left as it was put");

    // The program stops and starts: the same rows, and nothing is told twice.
    world.stop().await;
    world.start().await;
    let again = world.report("a pass after the restart", |report| report.devices.len() == 2).await;
    assert_eq!(again.drift_ledger.rows, healed.drift_ledger.rows);
    assert_eq!(again.drift_ledger.opened, healed.drift_ledger.opened);

    // The documents speak of the value themselves.
    world.put("fleet.yaml", &format!("{METER}---\n{PRESS}---\n{}", vision(12, rules)));
    world
        .twin("press-01/camera", "the new value", |twin| {
            twin.pointer("/properties/desired/fps") == Some(&json!(12))
        })
        .await;
    let over = world.report("nothing is off", |report| report.drift.healed == 2).await;
    assert_eq!((over.drift.reported, over.drift.devices), (0, 0));

    // A device that goes takes its rows along.
    world.put("fleet.yaml", METER.replace("parent: press-01, ", "").as_str());
    let gone = world.report("the device is gone", |report| report.devices.len() == 1).await;
    assert!(gone.drift_ledger.rows.is_empty(), "{:?}", gone.drift_ledger);
    world.stop().await;
}

//! The registry as REST clients see it (reference service-api §3.1, §4.1).

use hemline_hub_core::{
    effect::CloseReason,
    event::{Caller, Departure, Event},
    limits::Limits,
    service::{
        Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply, ServiceRequest,
    },
};
use serde_json::{Value, json};

use super::world::{World, closed, device, id};

fn put(name: &str, settings: DeviceSettings, if_match: IfMatch) -> ServiceRequest {
    ServiceRequest::PutDevice { device: device(name), settings, if_match }
}

fn edge() -> DeviceSettings {
    DeviceSettings { edge: Some(true), ..DeviceSettings::default() }
}

fn child_of(parent: Option<&str>) -> DeviceSettings {
    DeviceSettings { parent: Some(parent.map(device)), ..DeviceSettings::default() }
}

#[test]
fn if_match_decides() {
    let mut world = World::new();
    let plain = DeviceSettings::default;
    let stale = || IfMatch::Etag("stale".to_owned());
    let missing = ServiceError::DeviceNotFound(device("d"));
    assert_eq!(world.call(put("d", plain(), IfMatch::Any)), Err(missing.clone()));
    assert_eq!(world.call(put("d", plain(), stale())), Err(missing));
    let Ok(ServiceReply::Identity { etag, .. }) = world.call(put("d", plain(), IfMatch::Absent)) else {
        panic!()
    };
    assert_eq!(
        world.call(put("d", plain(), IfMatch::Absent)),
        Err(ServiceError::DeviceAlreadyExists(device("d")))
    );
    assert_eq!(world.call(put("d", plain(), stale())), Err(ServiceError::PreconditionFailed));
    world.call(put("d", plain(), IfMatch::Etag(etag.clone()))).unwrap();
    assert_eq!(world.call(put("d", plain(), IfMatch::Etag(etag))), Err(ServiceError::PreconditionFailed));
    let delete = |if_match| ServiceRequest::DeleteIdentity { client: id("d"), if_match };
    assert_eq!(world.call(delete(stale())), Err(ServiceError::PreconditionFailed));
    assert_eq!(world.call(delete(IfMatch::Absent)), Ok(ServiceReply::Done));
    assert_eq!(world.call(delete(IfMatch::Any)), Err(ServiceError::DeviceNotFound(device("d"))));
}

#[test]
fn a_device_made_anew_is_another_one() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    let first = world.document(ServiceRequest::GetDevice(device("d")));
    world.call(ServiceRequest::DeleteIdentity { client: id("d"), if_match: IfMatch::Any }).unwrap();
    world.add_device("d", DeviceSettings::default());
    let second = world.document(ServiceRequest::GetDevice(device("d")));
    assert_ne!(first["generationId"], second["generationId"]);
    assert_ne!(first["authentication"], second["authentication"]);
    world.restart();
    world.add_device("e", DeviceSettings::default());
    let third = world.document(ServiceRequest::GetDevice(device("e")));
    assert_ne!(second["generationId"], third["generationId"]);
}

#[test]
fn keys_are_given_kept_or_made() {
    let mut world = World::new();
    let given = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let sas = |primary: &str, secondary: &str| DeviceSettings {
        authentication: Some(Authentication::Sas { primary: primary.into(), secondary: secondary.into() }),
        ..DeviceSettings::default()
    };
    let keys = |world: &mut World| {
        let document = world.document(ServiceRequest::GetDevice(device("d")));
        let key = |name: &str| document["authentication"]["symmetricKey"][name].as_str().unwrap().to_owned();
        (key("primaryKey"), key("secondaryKey"))
    };
    world.call(put("d", sas(given, ""), IfMatch::Absent)).unwrap();
    let (primary, secondary) = keys(&mut world);
    assert_eq!(primary, given);
    assert_eq!(secondary.len(), 44);
    world.call(put("d", DeviceSettings::default(), IfMatch::Any)).unwrap();
    assert_eq!(keys(&mut world), (primary, secondary.clone()), "not named, not changed");
    world.call(put("d", sas("", ""), IfMatch::Any)).unwrap();
    assert_ne!(keys(&mut world).1, secondary, "empty means new");
    for bad in ["short", "c2hvcnQ="] {
        assert!(matches!(
            world.call(put("d", sas(bad, ""), IfMatch::Any)),
            Err(ServiceError::ArgumentInvalid(_))
        ));
    }
    let thumbprints = |primary: Option<&str>| DeviceSettings {
        authentication: Some(Authentication::SelfSigned {
            primary: primary.map(str::to_owned),
            secondary: None,
        }),
        ..DeviceSettings::default()
    };
    for bad in [None, Some(""), Some("xyz")] {
        assert!(matches!(
            world.call(put("d", thumbprints(bad), IfMatch::Any)),
            Err(ServiceError::ArgumentInvalid(_))
        ));
    }
    let print = "AB".repeat(20);
    world.call(put("d", thumbprints(Some(&print)), IfMatch::Any)).unwrap();
    let document = world.document(ServiceRequest::GetDevice(device("d")));
    assert_eq!(
        document["authentication"],
        json!({
            "symmetricKey": {"primaryKey": null, "secondaryKey": null},
            "x509Thumbprint": {"primaryThumbprint": print, "secondaryThumbprint": null},
            "type": "selfSigned",
        })
    );
}

#[test]
fn edge_devices_bring_their_modules_and_take_them_along() {
    let mut world = World::new();
    world.log.clear();
    world.call(put("e", edge(), IfMatch::Absent)).unwrap();
    world.add_module("e/m");
    world.call(put("leaf", child_of(Some("e")), IfMatch::Absent)).unwrap();
    let leaf = world.document(ServiceRequest::GetDevice(device("leaf")));
    let scope = world.document(ServiceRequest::GetDevice(device("e")))["deviceScope"].clone();
    assert_eq!((&leaf["deviceScope"], &leaf["parentScopes"]), (&scope, &json!([scope])));
    world.connect("e/m");
    world.note("delete");
    world.call(ServiceRequest::DeleteIdentity { client: id("e"), if_match: IfMatch::Any }).unwrap();
    insta::assert_snapshot!(world.log);
    let leaf = world.document(ServiceRequest::GetDevice(device("leaf")));
    assert_eq!((&leaf["deviceScope"], &leaf["parentScopes"]), (&json!(""), &json!([])));
}

#[test]
fn parents_are_edge_devices_and_no_circle() {
    let mut world = World::new();
    world.call(put("a", edge(), IfMatch::Absent)).unwrap();
    world
        .call(put("b", DeviceSettings { edge: Some(true), ..child_of(Some("a")) }, IfMatch::Absent))
        .unwrap();
    world.add_device("plain", DeviceSettings::default());
    for (name, parent) in [("a", "a"), ("a", "b"), ("plain", "nobody"), ("a", "plain")] {
        let refused = world.call(put(name, child_of(Some(parent)), IfMatch::Any));
        assert!(
            matches!(refused, Err(ServiceError::ArgumentInvalid(_))),
            "{parent} above {name}: {refused:?}"
        );
    }
    world.call(put("b", child_of(None), IfMatch::Any)).unwrap();
    world.call(put("a", child_of(Some("b")), IfMatch::Any)).unwrap();
    // No edge device any more: its children stand alone.
    world
        .call(put("b", DeviceSettings { edge: Some(false), ..DeviceSettings::default() }, IfMatch::Any))
        .unwrap();
    assert_eq!(world.document(ServiceRequest::GetDevice(device("a")))["parentScopes"], json!([]));
}

#[test]
fn disabling_closes_and_changing_keys_does_not() {
    let mut world = World::new();
    world.add_device("d", DeviceSettings::default());
    world.add_module("d/m");
    let (first, second) = (world.connect("d"), world.connect("d/m"));
    let new_keys = Authentication::Sas { primary: String::new(), secondary: String::new() };
    let (_, effects) = world.ask(
        Caller::Internal,
        put(
            "d",
            DeviceSettings { authentication: Some(new_keys), ..DeviceSettings::default() },
            IfMatch::Any,
        ),
    );
    assert_eq!(closed(&effects), None);
    let disable = DeviceSettings {
        enabled: Some(false),
        status_reason: Some("stolen".into()),
        ..DeviceSettings::default()
    };
    let (_, effects) = world.ask(Caller::Internal, put("d", disable, IfMatch::Any));
    assert_eq!(closed(&effects), Some(CloseReason::IdentityGone));
    assert!(
        world.handle(Event::Disconnected { connection: first, departure: Departure::Vanished }).is_empty()
    );
    assert!(
        world.handle(Event::Disconnected { connection: second, departure: Departure::Vanished }).is_empty()
    );
    let document = world.document(ServiceRequest::GetDevice(device("d")));
    assert_eq!((&document["status"], &document["statusReason"]), (&json!("disabled"), &json!("stolen")));
    assert_eq!(document["statusUpdatedTime"], "2026-01-01T00:00:00.0000000Z");
}

#[test]
fn modules() {
    let mut world = World::with(Limits { modules: 2, ..Limits::default() });
    let module = |name: &str, if_match| ServiceRequest::PutModule {
        client: id(name),
        settings: ModuleSettings { managed_by: Some("hemline".into()), ..ModuleSettings::default() },
        if_match,
    };
    let missing = ServiceError::DeviceNotFound(device("e"));
    assert_eq!(world.call(module("e/m", IfMatch::Absent)), Err(missing.clone()));
    assert_eq!(world.call(ServiceRequest::ListModules(device("e"))), Err(missing));
    world.call(put("e", edge(), IfMatch::Absent)).unwrap();
    world.call(module("e/m", IfMatch::Absent)).unwrap();
    world.call(module("e/n", IfMatch::Absent)).unwrap();
    assert_eq!(world.call(module("e/o", IfMatch::Absent)), Err(ServiceError::TooManyModules(device("e"))));
    assert_eq!(world.call(module("e/n", IfMatch::Absent)), Err(ServiceError::ModuleAlreadyExists(id("e/n"))));
    assert_eq!(world.call(module("e/o", IfMatch::Any)), Err(ServiceError::ModuleNotFound(id("e/o"))));
    let Ok(ServiceReply::Identities(modules)) = world.call(ServiceRequest::ListModules(device("e"))) else {
        panic!()
    };
    let shown: Vec<String> = modules
        .iter()
        .map(|m| format!("{} {} {}", m["moduleId"], m["managedBy"], m["authentication"]["type"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""$edgeAgent" "iotEdge" "none""#,
            r#""$edgeHub" "iotEdge" "none""#,
            r#""m" "hemline" "sas""#,
            r#""n" "hemline" "sas""#
        ]
    );
    let agent = id("e/$edgeAgent");
    let delete = ServiceRequest::DeleteIdentity { client: agent.clone(), if_match: IfMatch::Any };
    assert_eq!(world.call(delete), Err(ServiceError::SystemModule(agent.clone())));
    let owner = Caller::Token(world.policy_token("iothubowner", "hub.local"));
    assert_eq!(
        world.call_as(owner, module("e/$edgeAgent", IfMatch::Any)),
        Err(ServiceError::SystemModule(agent))
    );
    world.call(module("e/$edgeAgent", IfMatch::Any)).unwrap();
}

#[test]
fn lists_and_counts() {
    let mut world = World::new();
    for name in ["c", "a", "b"] {
        world.add_device(name, DeviceSettings::default());
    }
    world.add_module("b/m");
    world.connect("b/m");
    let names = |reply: Result<ServiceReply, ServiceError>| match reply {
        Ok(ServiceReply::Identities(all)) => {
            all.iter().map(|d| d["deviceId"].clone()).collect::<Vec<Value>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(names(world.call(ServiceRequest::ListDevices { top: 2 })), ["a", "b"]);
    assert_eq!(names(world.call(ServiceRequest::ListDevices { top: 0 })), ["a", "b", "c"]);
    assert_eq!(
        world.call(ServiceRequest::Statistics),
        Ok(ServiceReply::Statistics { total: 3, enabled: 3, connected: 1 })
    );
}

//! Topics in all spellings that clients use (reference device-protocol §4.3–4.5).

use hemline_model::id::ClientId;
use hemline_protocol::{
    properties::{Properties, SystemProperties},
    topic::{self, HubTopic},
};
use proptest::prelude::*;

fn client(text: &str) -> ClientId {
    text.parse().unwrap()
}

#[test]
fn client_to_hub() {
    let mut out = String::new();
    for (id, text) in [
        ("dev", "devices/dev/messages/events/"),
        ("dev", "devices/dev/messages/events"),
        ("dev", "devices/dev/messages/events/a=b/"),
        ("dev", "devices/dev/messages/events/?a=b"),
        ("dev/mod", "devices/dev/modules/mod/messages/events/%24.on=output1/"),
        ("a#b+c", "devices/a#b+c/messages/events/"),
        ("a%2Fb", "devices/a%2Fb/messages/events/"),
        ("dev", "devices/other/messages/events/"),
        ("dev/mod", "devices/dev/messages/events/"),
        ("dev", "devices/dev/modules/mod/messages/events/"),
        ("dev", "devices/dev/messages/eventsx"),
        ("dev", "devices/dev/messages/devicebound/"),
        ("dev", "devices/dev/messages/events/=x"),
        ("dev", "$iothub/twin/GET/?$rid=9f1e-4"),
        ("dev", "$iothub/twin/GET/?$rid="),
        ("dev", "$iothub/twin/GET/"),
        ("dev", "$iothub/twin/GET/properties/?$rid=1"),
        ("dev", "$iothub/twin/PATCH/properties/reported/?$rid=a%20b"),
        ("dev", "$iothub/twin/PATCH/properties/reported/?$rid=1&$version=6"),
        ("dev", "$iothub/twin/PATCH/properties/reported/?$version=x&$rid=1"),
        ("dev", "$iothub/twin/PATCH/properties/reported/"),
        ("dev", "$iothub/methods/res/200/?$rid=a"),
        ("dev", "$iothub/methods/res/-7/?$rid=a"),
        ("dev", "$iothub/methods/res/ok/?$rid=a"),
        ("dev", "$iothub/methods/res/200/x/?$rid=a"),
        ("dev", "$iothub/methods/res/200/"),
        ("dev/mod", "devices/dev/mod/messages/events/a=b"),
        ("dev/mod", "devices/dev/other/messages/events/"),
        ("dev", "devices/dev/mod/messages/events/"),
        ("dev", "my/own/topic"),
        ("dev", "my/+/topic"),
        ("dev", ""),
    ] {
        let line = match topic::parse(text, &client(id)) {
            Ok(found) => match found {
                topic::ClientTopic::Telemetry { properties } => {
                    format!("telemetry {}", serde_json::to_string(&properties).unwrap())
                }
                other => format!("{other:?}"),
            },
            Err(error) => format!("error: {error}"),
        };
        out.push_str(&format!("{id}  {text}\n    {line}\n"));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn hub_to_client() {
    let module = client("d/m");
    let (device, id) = (&module.device, module.module.as_ref().unwrap());
    let printed = [
        topic::twin_response(200, "7", None),
        topic::twin_response(204, "7", Some(5)),
        topic::desired_patch(5),
        topic::method_call("reboot", "1a"),
        topic::method_call("two words", "1a"),
        topic::input(device, id, "in/1", &Properties::default()),
        topic::cloud_to_device(device, &Properties::default()),
    ];
    insta::assert_snapshot!(printed.join("\n"), @r"
    $iothub/twin/res/200/?$rid=7
    $iothub/twin/res/204/?$rid=7&$version=5
    $iothub/twin/PATCH/properties/desired/?$version=5
    $iothub/methods/POST/reboot/?$rid=1a
    $iothub/methods/POST/two%20words/?$rid=1a
    devices/d/modules/m/inputs/in%2F1/%24.to=%2Fdevices%2Fd%2Fmodules%2Fm%2Finputs%2Fin%2F1
    devices/d/messages/devicebound/%24.to=%2Fdevices%2Fd%2Fmessages%2Fdevicebound
    ");
    let read = |index: usize, client: &ClientId| HubTopic::parse(&printed[index], client).unwrap();
    assert_eq!(read(0, &module), HubTopic::TwinResponse { status: 200, rid: "7".into(), version: None });
    assert_eq!(read(1, &module), HubTopic::TwinResponse { status: 204, rid: "7".into(), version: Some(5) });
    assert_eq!(read(2, &module), HubTopic::DesiredPatch { version: Some(5) });
    assert_eq!(read(4, &module), HubTopic::MethodCall { name: "two words".into(), rid: "1a".into() });
    assert!(matches!(read(5, &module), HubTopic::Input { input, .. } if input == "in/1"));
    assert!(matches!(read(6, &client("d")), HubTopic::CloudToDevice { .. }));
    assert!(HubTopic::parse(&printed[5], &client("d/other")).is_err());
}

/// What each property of a cloud-to-device message looks like on the wire.
#[test]
fn cloud_to_device_topics() {
    let named = |system: SystemProperties| Properties { system, application: Vec::new() };
    let text = |text: &str| Some(text.to_owned());
    let application = |pairs: &[(&str, Option<&str>)]| Properties {
        application: pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect(),
        ..Properties::default()
    };
    let everything = SystemProperties {
        message_id: text("m:1"),
        correlation_id: text("c 1"),
        user_id: text("ü"),
        to: text("ignored: the hub says where it goes"),
        expiry: text("2026-01-31T12:00:00+01:00"),
        content_type: text("application/json;charset=utf-8"),
        content_encoding: text("utf-8"),
        creation_time: text("2026-01-01"),
        message_schema: text("s"),
        ack: text("full"),
        ..SystemProperties::default()
    };
    let printed: Vec<String> = [
        ("d", named(everything)),
        ("d", named(SystemProperties { ack: text("none"), ..SystemProperties::default() })),
        ("d", named(SystemProperties { ack: text("negative"), ..SystemProperties::default() })),
        ("d", application(&[("a b", Some("c/d")), ("+", Some("&=#")), ("empty", Some("")), ("flag", None)])),
        ("$dev+1%#", application(&[("%24", Some("%"))])),
    ]
    .iter()
    .map(|(device, properties)| {
        let client = client(device);
        let topic = topic::cloud_to_device(&client.device, properties);
        let Ok(HubTopic::CloudToDevice { properties: read }) = HubTopic::parse(&topic, &client) else {
            panic!("{topic}");
        };
        assert_eq!(read.application, properties.application, "{topic}");
        assert_eq!(read.system.message_id, properties.system.message_id);
        topic
    })
    .collect();
    insta::assert_snapshot!(printed.join("\n"));
}

#[test]
fn what_our_clients_print_the_hub_reads() {
    let id = client("d/$edgeAgent");
    let properties = Properties {
        system: SystemProperties { output_name: Some("out".into()), ..SystemProperties::default() },
        application: vec![("k".into(), Some("v".into()))],
    };
    let read = topic::parse(&topic::telemetry(&id, &properties), &id);
    assert_eq!(read, Ok(topic::ClientTopic::Telemetry { properties }));
    let read = topic::parse(&topic::method_result(-1, "ff"), &id);
    assert_eq!(read, Ok(topic::ClientTopic::MethodResult { status: -1, rid: "ff".into() }));
    let read = topic::parse(&topic::reported_patch("7"), &id);
    assert_eq!(read, Ok(topic::ClientTopic::ReportedPatch { rid: Some("7".into()), if_version: None }));
    assert!(topic::parse(&topic::twin_get("7"), &id).is_ok());
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "(devices/d/|\\$iothub/|)(\\PC{0,40})") {
        drop(topic::parse(&text, &client("d")));
        drop(HubTopic::parse(&text, &client("d/m")));
        drop(topic::features(&text, &client("d/m")));
    }
}

#[test]
fn nested_dialect() {
    use hemline_protocol::topic::nested::{FromChild, ToChild};
    let mut out = String::new();
    for text in [
        "$iothub/leaf/messages/events/%24.mid=m1&a=b",
        "$iothub/edge/camera/messages/events/%24.on=frames",
        "$iothub/edge/camera/messages/events/=x",
        // Names that look like words of the dialect.
        "$iothub/twin/messages/events/",
        "$iothub/messages/events/messages/events/a=b",
        "$iothub/methods/res/messages/events/a=b",
        "$iothub/a/messages/twin/get/?$rid=1",
        "$iothub/leaf/messages/events",
        "$iothub/leaf/twin/get/?$rid=1",
        "$iothub/edge/camera/twin/get/?$rid=1",
        "$iothub/leaf/twin/get/",
        "$iothub/leaf/twin/reported/?$rid=2",
        "$iothub/leaf/methods/res/200/?$rid=3",
        "$iothub/leaf/methods/res/x/?$rid=3",
        "$iothub/leaf/methods/failed/404103/?$rid=4",
        "$iothub/edge/scope/get/?$rid=5",
        "$iothub/edge/scope/get/?$rid=5&$after=edge/$edgeHub",
        "$iothub/edge/scope/get/?$rid=5&$after=a b",
        "$iothub/edge/topics/wanted/",
        "$iothub/a/b/c/messages/events/",
        "$iothub/bad id/messages/events/",
        // Not of this dialect: what a client says for itself.
        "$iothub/twin/GET/?$rid=1",
        "$iothub/twin/PATCH/properties/reported/?$rid=1",
        "$iothub/methods/res/200/?$rid=1",
        "devices/leaf/messages/events/",
        "$iothub/",
        "",
    ] {
        let read = match FromChild::parse(text) {
            Ok(Some((client, said))) => {
                let again = FromChild::parse(&said.topic(&client)).unwrap();
                assert_eq!(again, Some((client.clone(), said.clone())), "{text}");
                format!("{client} says {said:?}")
            }
            Ok(None) => "-".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        out.push_str(&format!("{text}\n    {read}\n"));
    }
    for text in [
        "$iothub/leaf/twin/res/200/?$rid=1",
        "$iothub/leaf/twin/res/204/?$rid=1&$version=7",
        "$iothub/leaf/twin/res/x/?$rid=1",
        "$iothub/edge/camera/twin/desired/?$version=5",
        "$iothub/leaf/methods/post/re%20boot/?$rid=a",
        "$iothub/leaf/methods/post/reboot/?$rid=a&$connect=5&$response=60",
        "$iothub/leaf/messages/c2d/post/%24.to=%2Fdevices%2Fleaf%2Fmessages%2Fdevicebound&%24.mid=m1&a=b",
        "$iothub/leaf/messages/refused/",
        "$iothub/edge/scope/res/?$rid=5",
        "$iothub/edge/scope/changed/",
        "$iothub/edge/topics/refused/",
        "$iothub/twin/res/200/?$rid=1",
        "$iothub/twin/PATCH/properties/desired/?$version=5",
        "$iothub/methods/POST/reboot/?$rid=1",
    ] {
        let read = match ToChild::parse(text) {
            Ok(Some((client, said))) => {
                let again = ToChild::parse(&said.topic(&client)).unwrap();
                assert_eq!(again, Some((client.clone(), said.clone())), "{text}");
                format!("{client} hears {said:?}")
            }
            Ok(None) => "-".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        out.push_str(&format!("{text}\n    {read}\n"));
    }
    insta::assert_snapshot!(out);
}

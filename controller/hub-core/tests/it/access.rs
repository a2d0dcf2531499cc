//! Who gets in and who may do what (reference device-protocol §3.1, service-api §2).

use hemline_hub_core::{
    credential::Credential,
    effect::{AuthFailure, Effect, Notice, Refusal},
    event::{Caller, Connect, ConnectionId, Event},
    message::AuthMethod,
    service::{
        Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceError, ServiceReply, ServiceRequest,
    },
    upstream::Dialect,
    write::{Permission, Write},
};
use hemline_protocol::sas::{SasToken, SymmetricKey};
use jiff::SignedDuration;
use serde_json::json;

use super::world::{World, device, id, key, map};

/// Device `d` with keys 1 and 2, its module `d/m` with keys 3 and 4, an edge device `e` with keys 5 and 6 and a module.
fn world() -> World {
    let mut world = World::new();
    let sas = |primary: u8, secondary: u8| {
        let text = |seed| key(seed).expose_base64();
        Some(Authentication::Sas { primary: text(primary), secondary: text(secondary) })
    };
    world.add_device("d", DeviceSettings { authentication: sas(1, 2), ..DeviceSettings::default() });
    world.add_device(
        "e",
        DeviceSettings { authentication: sas(5, 6), edge: Some(true), ..DeviceSettings::default() },
    );
    world.add_device(
        "off",
        DeviceSettings { authentication: sas(7, 8), enabled: Some(false), ..DeviceSettings::default() },
    );
    for (client, authentication) in [("d/m", sas(3, 4)), ("e/m", sas(9, 10)), ("off/m", sas(11, 12))] {
        let settings = ModuleSettings { authentication, ..ModuleSettings::default() };
        world
            .call(ServiceRequest::PutModule { client: id(client), settings, if_match: IfMatch::Absent })
            .unwrap();
    }
    world
}

fn sign(world: &World, key: &SymmetricKey, resource: &str, seconds: i64, policy: Option<&str>) -> String {
    SasToken::sign(key, resource, world.now + SignedDuration::from_secs(seconds), policy)
}

fn connect(world: &mut World, host: &str, client: &str, token: String) -> Result<AuthMethod, AuthFailure> {
    let connection = ConnectionId(u64::from(world.token().0));
    let effects = world.handle(Event::Connect(Connect {
        connection,
        host: host.to_owned(),
        client: id(client),
        credential: Credential::Token(token),
        clean: false,
        model_id: None,
        will: None,
        peer: String::new(),
    }));
    if let Some(Effect::Refuse { refusal: Refusal::NotAuthorised(failure), .. }) = effects.first() {
        return Err(*failure);
    }
    let effects = world.send(connection, "", "x");
    let method = effects.iter().find_map(|effect| match effect {
        Effect::Persist(Write::Append { message, .. }) => Some(message.auth),
        _ => None,
    });
    world.leave(connection);
    Ok(method.unwrap_or(AuthMethod::DeviceSas))
}

#[test]
fn connecting() {
    use AuthFailure::{Disabled, Expired, Malformed, UnknownIdentity, WrongHost, WrongIdentity, WrongKey};
    use AuthMethod::{DeviceSas, ModuleSas};
    let mut world = world();
    for (client, key_seed, resource, seconds, expected) in [
        ("d", 1, "hub.local/devices/d", 60, Ok(DeviceSas)),
        ("d", 2, "hub.local/devices/d", 60, Ok(DeviceSas)),
        ("d", 1, "HUB.Local/devices/d", 60, Ok(DeviceSas)),
        ("d", 1, "127.0.0.1/devices/d", 60, Ok(DeviceSas)),
        ("d", 1, "hub.local/devices/d", -299, Ok(DeviceSas)),
        ("d", 1, "hub.local/devices/d", -301, Err(Expired)),
        ("d", 3, "hub.local/devices/d", 60, Err(WrongKey)),
        ("d", 5, "hub.local/devices/d", 60, Err(WrongKey)),
        ("d", 5, "hub.local/devices/e", 60, Err(WrongIdentity)),
        ("d", 1, "hub.local", 60, Err(WrongIdentity)),
        ("d", 1, "hub.local/devices", 60, Err(WrongIdentity)),
        ("d", 1, "hub.local/devices/D", 60, Err(WrongIdentity)),
        ("d", 1, "hub.local/devices/d/modules/m", 60, Err(WrongIdentity)),
        ("d", 1, "evil.local/devices/d", 60, Err(WrongHost)),
        ("d/m", 3, "hub.local/devices/d/modules/m", 60, Ok(ModuleSas)),
        ("d/m", 4, "hub.local/devices/d/modules/m", 60, Ok(ModuleSas)),
        ("d/m", 1, "hub.local/devices/d/modules/m", 60, Ok(DeviceSas)),
        ("d/m", 2, "hub.local/devices/d", 60, Ok(DeviceSas)),
        ("d/m", 3, "hub.local/devices/d", 60, Err(WrongKey)),
        ("d/m", 5, "hub.local/devices/d", 60, Err(WrongKey)),
        ("d/m", 3, "hub.local/devices/d/modules/n", 60, Err(WrongIdentity)),
        ("e/$edgeAgent", 5, "hub.local/devices/e", 60, Ok(DeviceSas)),
        ("e/$edgeAgent", 9, "hub.local/devices/e/modules/$edgeAgent", 60, Err(WrongKey)),
        ("off", 7, "hub.local/devices/off", 60, Err(Disabled)),
        ("off/m", 11, "hub.local/devices/off/modules/m", 60, Err(Disabled)),
        ("nobody", 1, "hub.local/devices/nobody", 60, Err(UnknownIdentity)),
        ("d/nobody", 1, "hub.local/devices/d", 60, Err(UnknownIdentity)),
    ] {
        let token = sign(&world, &key(key_seed), resource, seconds, None);
        assert_eq!(
            connect(&mut world, "hub.local", client, token),
            expected,
            "{client} key {key_seed} {resource} {seconds}"
        );
    }
    let token = sign(&world, &key(1), "hub.local/devices/d", 60, None);
    assert_eq!(connect(&mut world, "other.local", "d", token.clone()), Err(WrongHost));
    assert_eq!(connect(&mut world, "HUB.LOCAL", "d", token), Ok(DeviceSas));
    assert_eq!(connect(&mut world, "hub.local", "d", String::new()), Err(Malformed));
    assert_eq!(connect(&mut world, "hub.local", "d", "Bearer x".to_owned()), Err(Malformed));
    assert_eq!(world.core.counters().refusals[&Malformed], 2);
}

/// Who comes through a gateway dials the gateway, and calls the hub by its name in user name and token (reference
/// device-protocol §1.3, edge-runtime §5.3).
#[test]
fn names_at_a_gateway() {
    use AuthFailure::WrongHost;
    use AuthMethod::DeviceSas;
    let mut world = world().called(&["edge-1.factory.local", "fleet.azure-devices.net"]);
    for (host, audience, expected) in [
        ("fleet.azure-devices.net", "fleet.azure-devices.net", Ok(DeviceSas)),
        ("edge-1.factory.local", "edge-1.factory.local", Ok(DeviceSas)),
        ("FLEET.azure-devices.NET", "fleet.Azure-Devices.net", Ok(DeviceSas)),
        ("fleet.azure-devices.net", "edge-1.factory.local", Ok(DeviceSas)),
        ("edge-1.factory.local", "fleet.azure-devices.net", Ok(DeviceSas)),
        ("other.azure-devices.net", "fleet.azure-devices.net", Err(WrongHost)),
        ("fleet.azure-devices.net", "other.azure-devices.net", Err(WrongHost)),
        ("fleet.azure-devices.net.evil.test", "fleet.azure-devices.net", Err(WrongHost)),
        ("fleet", "fleet.azure-devices.net", Err(WrongHost)),
        ("hub.local", "hub.local", Err(WrongHost)),
        ("", "fleet.azure-devices.net", Err(WrongHost)),
    ] {
        let token = sign(&world, &key(1), &format!("{audience}/devices/d"), 60, None);
        assert_eq!(connect(&mut world, host, "d", token), expected, "{host} {audience}");
    }
}

/// The hub of the edge device `d` lets in what is beneath `d`, down to the leaf of a nested edge device, and nobody else;
/// beneath a plain IoT Hub it cannot know, and everybody of its registry counts.
#[test]
fn the_hub_of_an_edge_device_serves_its_scope() {
    use AuthFailure::OutOfScope;
    use AuthMethod::DeviceSas;
    for (dialect, others) in [(Dialect::Nested, Err(OutOfScope)), (Dialect::Plain, Ok(DeviceSas))] {
        let mut world = World::new();
        let add = |world: &mut World, name: &str, edge: bool, parent: Option<&str>| {
            let text = key(1).expose_base64();
            world.add_device(
                name,
                DeviceSettings {
                    authentication: Some(Authentication::Sas { primary: text.clone(), secondary: text }),
                    edge: Some(edge),
                    parent: Some(parent.map(device)),
                    ..DeviceSettings::default()
                },
            );
        };
        add(&mut world, "d", true, None);
        add(&mut world, "leaf", false, Some("d"));
        add(&mut world, "lower", true, Some("d"));
        add(&mut world, "lower-leaf", false, Some("lower"));
        add(&mut world, "other", true, None);
        add(&mut world, "other-leaf", false, Some("other"));
        add(&mut world, "single", false, None);
        world.add_module("d/m");
        let mut world = world.beneath(dialect);
        for (client, expected) in [
            ("d", Ok(DeviceSas)),
            ("d/m", Ok(DeviceSas)),
            ("d/$edgeAgent", Ok(DeviceSas)),
            ("leaf", Ok(DeviceSas)),
            ("lower", Ok(DeviceSas)),
            ("lower/$edgeHub", Ok(DeviceSas)),
            ("lower-leaf", Ok(DeviceSas)),
            ("other", others),
            ("other/$edgeHub", others),
            ("other-leaf", others),
            ("single", others),
        ] {
            let resource = format!("hub.local/devices/{}", id(client).device);
            let token = sign(&world, &key(1), &resource, 60, None);
            assert_eq!(connect(&mut world, "hub.local", client, token), expected, "{client} {dialect:?}");
        }
    }
}

#[test]
fn a_policy_with_device_connect_may_be_anybody() {
    let mut world = world();
    for (policy, resource, expected) in [
        ("iothubowner", "hub.local", Ok(AuthMethod::PolicySas)),
        ("device", "hub.local/devices", Ok(AuthMethod::PolicySas)),
        ("device", "hub.local/devices/d", Ok(AuthMethod::PolicySas)),
        ("device", "hub.local/devices/e", Err(AuthFailure::WrongIdentity)),
        ("service", "hub.local/devices/d", Err(AuthFailure::Forbidden)),
        ("registryReadWrite", "hub.local", Err(AuthFailure::Forbidden)),
    ] {
        let token = world.policy_token(policy, resource);
        assert_eq!(connect(&mut world, "hub.local", "d", token), expected, "{policy} {resource}");
    }
    let unknown = sign(&world, &key(1), "hub.local/devices/d", 60, Some("nobody"));
    assert_eq!(connect(&mut world, "hub.local", "d", unknown), Err(AuthFailure::WrongKey));
    let stolen_name = sign(&world, &key(1), "hub.local/devices/d", 60, Some("device"));
    assert_eq!(connect(&mut world, "hub.local", "d", stolen_name), Err(AuthFailure::WrongKey));
}

fn operations() -> Vec<(&'static str, ServiceRequest)> {
    let put = DeviceSettings::default;
    vec![
        ("get device", ServiceRequest::GetDevice(device("d"))),
        ("list devices", ServiceRequest::ListDevices { top: 1 }),
        (
            "put device",
            ServiceRequest::PutDevice { device: device("d"), settings: put(), if_match: IfMatch::Any },
        ),
        ("list modules", ServiceRequest::ListModules(device("e"))),
        ("get module", ServiceRequest::GetModule(id("e/m"))),
        (
            "put module",
            ServiceRequest::PutModule {
                client: id("e/m"),
                settings: ModuleSettings::default(),
                if_match: IfMatch::Any,
            },
        ),
        ("get twin", ServiceRequest::GetTwin(id("d"))),
        (
            "patch twin",
            ServiceRequest::PatchTwin { client: id("d"), tags: None, desired: None, if_match: IfMatch::Any },
        ),
        (
            "query",
            ServiceRequest::Query { text: "SELECT * FROM devices".into(), page_size: 1, continuation: None },
        ),
        (
            "invoke",
            ServiceRequest::InvokeMethod {
                client: id("e/m"),
                name: "x".into(),
                payload: None,
                response_timeout: 30,
                connect_timeout: 0,
            },
        ),
        ("statistics", ServiceRequest::Statistics),
        ("get policy", ServiceRequest::GetPolicy("service".into())),
        ("changes", ServiceRequest::Changes { since: Default::default() }),
        ("own API, reading", ServiceRequest::Authorize(Permission::RegistryRead)),
        ("be somebody", ServiceRequest::Identify { client: None }),
        ("delete module", ServiceRequest::DeleteIdentity { client: id("e/m"), if_match: IfMatch::Any }),
        ("delete device", ServiceRequest::DeleteIdentity { client: id("e"), if_match: IfMatch::Any }),
    ]
}

/// One line per operation, one column per caller.
#[test]
fn permissions() {
    let callers = [
        "owner", "service", "device", "read", "write", "scoped", "key d", "key e", "key e/m", "as e/m",
        "bearer",
    ];
    let mut out = format!("{:20}{}\n", "", callers.map(|name| format!("{name:9}")).concat());
    for (name, operation) in operations() {
        out.push_str(&format!("{name:20}"));
        for caller in callers {
            let mut world = world();
            let token = match caller {
                "owner" => world.policy_token("iothubowner", "hub.local"),
                "service" => world.policy_token("service", "hub.local"),
                "device" => world.policy_token("device", "hub.local"),
                "read" => world.policy_token("registryRead", "hub.local"),
                "write" => world.policy_token("registryReadWrite", "hub.local"),
                "scoped" => world.policy_token("iothubowner", "hub.local/devices/d"),
                "key d" => sign(&world, &key(1), "hub.local/devices/d", 60, None),
                "key e" => sign(&world, &key(5), "hub.local/devices/e", 60, None),
                "key e/m" | "as e/m" => sign(&world, &key(9), "hub.local/devices/e/modules/m", 60, None),
                _ => "Bearer x".to_owned(),
            };
            let caller = match caller {
                "as e/m" => Caller::Module { module: id("e/m"), credential: Credential::Token(token) },
                _ => Caller::Token(token),
            };
            let somebody = world.call_as(caller.clone(), ServiceRequest::Identify { client: None });
            let word = match world.call_as(caller, operation.clone()) {
                Err(ServiceError::Unauthorised(_)) => "-",
                Ok(_) | Err(_) => "yes",
            };
            // Bodies are read on that word, so whoever may do anything has it.
            assert!(word == "-" || somebody.is_ok(), "{name}: {somebody:?}");
            out.push_str(&format!("{word:9}"));
        }
        out.push('\n');
    }
    let trimmed: Vec<&str> = out.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(trimmed.join("\n"));
}

/// Whose bodies are read: all who hold a key, whatever they may do with it.
#[test]
fn who_is_somebody() {
    use AuthFailure::{Disabled, Expired, Malformed, UnknownIdentity, WrongHost, WrongIdentity, WrongKey};
    let mut world = world();
    let d = "hub.local/devices/d";
    for (seed, resource, seconds, policy, expected) in [
        (1, d, 60, None, Ok(())),
        (2, d, 60, None, Ok(())),
        (1, "hub.local/devices/d/modules/m", 60, None, Ok(())),
        (3, "hub.local/devices/d/modules/m", 60, None, Ok(())),
        (1, "hub.local/devices/d/modules", 60, None, Ok(())),
        (5, d, 60, None, Err(WrongKey)),
        (3, d, 60, None, Err(WrongKey)),
        (1, d, -3_600, None, Err(Expired)),
        (1, "elsewhere/devices/d", 60, None, Err(WrongHost)),
        (1, "hub.local", 60, None, Err(WrongIdentity)),
        (1, "hub.local/devices", 60, None, Err(WrongIdentity)),
        (1, "hub.local/twins/d", 60, None, Err(WrongIdentity)),
        (1, "hub.local/devices/nobody", 60, None, Err(UnknownIdentity)),
        (1, "hub.local/devices/d/modules/other", 60, None, Err(UnknownIdentity)),
        (7, "hub.local/devices/off", 60, None, Err(Disabled)),
        (1, "hub.local", 60, Some("iothubowner"), Err(WrongKey)),
        (1, "hub.local", 60, Some("nobody"), Err(WrongKey)),
    ] {
        let caller = Caller::Token(sign(&world, &key(seed), resource, seconds, policy));
        let answer = match world.call_as(caller, ServiceRequest::Identify { client: None }) {
            Err(ServiceError::Unauthorised(failure)) => Err(failure),
            other => other.map(drop).map_err(|error| panic!("{error}")),
        };
        assert_eq!(answer, expected, "key {seed} {resource} {seconds} {policy:?}");
    }
    let empty = world.call_as(Caller::Token(String::new()), ServiceRequest::Identify { client: None });
    assert_eq!(empty, Err(ServiceError::Unauthorised(Malformed)));
}

/// A module calls methods of its neighbours in its own name (reference device-protocol §4.7): who, with which key, whom.
#[test]
fn modules_that_call() {
    use AuthFailure::{Disabled, Forbidden, UnknownIdentity, WrongIdentity, WrongKey};
    let mut world = world();
    world.add_device("f", DeviceSettings { edge: Some(true), ..DeviceSettings::default() });
    for (name, parent) in [("leaf", "e"), ("far", "f")] {
        let parent = Some(Some(device(parent)));
        world.add_device(name, DeviceSettings { parent, ..DeviceSettings::default() });
    }
    let (e, d, own) = ("hub.local/devices/e", "hub.local/devices/d", "hub.local/devices/e/modules/m");
    for (module, key_of, resource, target, refused) in [
        ("e/m", 9, own, "e/m", None),
        ("e/m", 10, own, "e/m", None),
        ("e/m", 9, own, "e", None),
        ("e/m", 9, own, "leaf", None),
        ("e/m", 5, e, "e/m", None),
        ("e/$edgeAgent", 5, e, "e/m", None),
        ("e/m", 9, own, "d", Some(Forbidden)),
        ("e/m", 9, own, "d/m", Some(Forbidden)),
        ("e/m", 9, own, "far", Some(Forbidden)),
        ("e/m", 9, own, "nobody", Some(Forbidden)),
        ("d/m", 3, "hub.local/devices/d/modules/m", "d/m", Some(Forbidden)),
        ("e/m", 9, own, "f", Some(Forbidden)),
        ("e", 5, e, "e/m", Some(Forbidden)),
        ("e/m", 1, own, "e/m", Some(WrongKey)),
        ("e/m", 1, d, "e/m", Some(WrongIdentity)),
        ("e/other", 9, own, "e/m", Some(UnknownIdentity)),
        ("off/m", 11, "hub.local/devices/off/modules/m", "off", Some(Disabled)),
    ] {
        let token = sign(&world, &key(key_of), resource, 60, None);
        let caller = Caller::Module { module: id(module), credential: Credential::Token(token) };
        let operation = ServiceRequest::InvokeMethod {
            client: id(target),
            name: "x".into(),
            payload: None,
            response_timeout: 30,
            connect_timeout: 0,
        };
        let refusal = match world.call_as(caller, operation) {
            Err(ServiceError::Unauthorised(failure)) => Some(failure),
            Ok(_) | Err(_) => None,
        };
        assert_eq!(refusal, refused, "{module} with key {key_of} for {resource} calls {target}");
    }
}

#[test]
fn policies_are_made_once() {
    let mut world = world();
    let Ok(ServiceReply::Policy(before)) = world.call(ServiceRequest::GetPolicy("iothubowner".into())) else {
        panic!()
    };
    world.restart();
    assert!(world.core.bootstrap([hemline_hub_core::event::Entropy([9; 64]); 5]).is_empty());
    let Ok(ServiceReply::Policy(after)) = world.call(ServiceRequest::GetPolicy("iothubowner".into())) else {
        panic!()
    };
    assert_eq!(before, after);
    assert!(!format!("{after:?}").contains(&after.primary_key));
}

#[test]
fn a_change_says_whose_it_was() {
    let mut world = world();
    let patch = |client: &str| ServiceRequest::PatchTwin {
        client: id(client),
        tags: None,
        desired: map(json!({"fps": 1})).into(),
        if_match: IfMatch::Any,
    };
    let service = Caller::Token(world.policy_token("service", "hub.local"));
    let owner = Caller::Token(world.policy_token("iothubowner", "hub.local"));
    let gone = ServiceRequest::DeleteIdentity { client: id("d"), if_match: IfMatch::Any };
    for (caller, operation, expected) in [
        (Caller::Internal, patch("d"), vec![None]),
        (service.clone(), patch("d/m"), vec![Some("policy service")]),
        // What is not allowed changes nothing, and says nothing.
        (service, gone.clone(), vec![]),
        (owner, gone, vec![Some("policy iothubowner"); 2]),
    ] {
        let (_, effects) = world.ask(caller, operation.clone());
        let by: Vec<Option<&str>> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Notify(Notice::Registry { by, .. }) => Some(by.as_deref()),
                _ => None,
            })
            .collect();
        assert_eq!(by, expected, "{operation:?}");
    }
}

//! Two hubs, one beneath the other, and the wire between them, all as values: identities, twins, methods and messages on
//! their way through both, with the link cut and either side killed.

use std::collections::VecDeque;

use bytes::Bytes;
use hemline_hub_core::{
    cloud_to_device::Settlement,
    effect::{AuthFailure, CloseReason, Effect, Nested, Outbound, Refusal},
    event::{AckToken, ConnectionId, DeliveryId, Event, Feature, Qos, RequestId},
    scope::ScopePage,
    service::{DeviceSettings, IfMatch, ServiceError, ServiceReply, ServiceRequest},
    upstream::{Act, AskId, Dialect, FromParent, Receipt, Said, ToParent, TwinCopy},
};
use hemline_model::id::ClientId;
use hemline_protocol::properties::Properties;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    nested::family,
    world::{World, closed, device, grant, id, map},
};

/// The authority with a family of devices, and the hub of its edge device `d`.
pub(crate) struct Chain {
    pub(crate) parent: World,
    pub(crate) edge: World,
    /// The connection of the edge hub at the parent, and the number of the link at the edge hub.
    link: Option<(ConnectionId, u64)>,
    links: u64,
    /// What the parent did for its callers, and the edge hub for its clients.
    pub(crate) above: Vec<Effect>,
    pub(crate) below: Vec<Effect>,
}

enum Way {
    Up(Effect),
    Down(Effect),
}

impl Chain {
    pub(crate) fn new() -> Self {
        let edge = World::new().beneath(Dialect::Nested);
        let mut chain =
            Self { parent: family(), edge, link: None, links: 0, above: Vec::new(), below: Vec::new() };
        chain.mend();
        chain
    }

    pub(crate) fn mend(&mut self) {
        self.cut();
        let token = self.parent.device_token("d/$edgeHub");
        let (connection, mut down) = self.parent.connect_with("d/$edgeHub", token, false);
        down.extend(self.parent.subscribe(connection, Feature::Nested, Qos::AtLeastOnce));
        self.links += 1;
        self.link = Some((connection, self.links));
        let up = self.edge.link(self.links, FromParent::Linked);
        self.carry(down.into_iter().map(Way::Down).chain(up.into_iter().map(Way::Up)).collect());
    }

    pub(crate) fn cut(&mut self) {
        if let Some((connection, link)) = self.link.take() {
            let effects = self.parent.leave(connection);
            self.above.extend(effects);
            let effects = self.edge.link(link, FromParent::Lost);
            self.below.extend(effects);
        }
    }

    /// The edge hub dies and comes back; the parent notices.
    pub(crate) fn crash(&mut self) {
        if let Some((connection, _)) = self.link.take() {
            let effects = self.parent.leave(connection);
            self.above.extend(effects);
        }
        self.edge.restart();
    }

    pub(crate) fn at_parent(&mut self, act: impl FnOnce(&mut World) -> Vec<Effect>) {
        let effects = act(&mut self.parent);
        self.carry(effects.into_iter().map(Way::Down).collect());
    }

    pub(crate) fn at_edge(&mut self, act: impl FnOnce(&mut World) -> Vec<Effect>) {
        let effects = act(&mut self.edge);
        self.carry(effects.into_iter().map(Way::Up).collect());
    }

    fn ask_parent(&mut self, operation: ServiceRequest) -> RequestId {
        let mut asked = RequestId(0);
        self.at_parent(|world| {
            let (request, effects) = world.ask(hemline_hub_core::event::Caller::Internal, operation);
            asked = request;
            effects
        });
        asked
    }

    fn reply(&self, request: RequestId) -> Option<Result<ServiceReply, ServiceError>> {
        self.above.iter().find_map(|effect| match effect {
            Effect::Reply { request: to, reply } if *to == request => Some((**reply).clone()),
            _ => None,
        })
    }

    /// Carries what each side says to the other until both are silent.
    fn carry(&mut self, mut ways: VecDeque<Way>) {
        while let Some(way) = ways.pop_front() {
            match way {
                Way::Up(effect) => match (effect, self.link) {
                    (Effect::Upstream { link, what }, Some((connection, current))) if link.0 == current => {
                        let down = self.up(connection, what);
                        ways.extend(down.into_iter().map(Way::Down));
                    }
                    (Effect::Upstream { .. }, _) => {}
                    (effect, _) => self.below.push(effect),
                },
                Way::Down(effect) => match (effect, self.link) {
                    (Effect::Send { connection, outbound: Outbound::Nested { client, what } }, link) => {
                        if let Some((current, number)) = link
                            && current == connection
                        {
                            let up = self.down(number, client, what);
                            ways.extend(up.into_iter().map(Way::Up));
                        }
                    }
                    (
                        Effect::Send {
                            connection,
                            outbound: Outbound::Topic { delivery, message, retained, .. },
                        },
                        Some((current, number)),
                    ) if current == connection => {
                        let receipt = delivery.map(|delivery| Receipt(u16::try_from(delivery.0).unwrap()));
                        let (topic, body) = (message.topic.to_string(), message.body.clone());
                        let said = Said::Published { topic, receipt, retained, body };
                        let up = self.edge.link(number, FromParent::Said(Box::new(said)));
                        ways.extend(up.into_iter().map(Way::Up));
                    }
                    (Effect::Ack { connection, token }, Some((current, number))) if current == connection => {
                        let happened = FromParent::Acknowledged(DeliveryId(token.0.into()));
                        let up = self.edge.link(number, happened);
                        ways.extend(up.into_iter().map(Way::Up));
                    }
                    (effect, _) => self.above.push(effect),
                },
            }
        }
    }

    fn up(&mut self, connection: ConnectionId, what: ToParent) -> Vec<Effect> {
        let rid = |ask: AskId| ask.0.to_string();
        let (client, act, token) = match what {
            ToParent::Message { delivery, message } => {
                let (properties, body) = (message.properties.clone(), message.body.clone());
                let token = AckToken(u32::try_from(delivery.0).unwrap());
                (message.sender.clone(), Act::Telemetry { properties, body }, Some(token))
            }
            ToParent::Scope { ask, after } => (id("d"), Act::ScopeGet { rid: rid(ask), after }, None),
            ToParent::Twin { client, ask } => (client, Act::TwinGet { rid: rid(ask) }, None),
            ToParent::Report { client, ask, patch } => {
                (client, Act::ReportedPatch { rid: rid(ask), patch }, None)
            }
            ToParent::MethodResult { client, rid, status, payload } => {
                (client, Act::MethodResult { rid, status, payload }, None)
            }
            ToParent::MethodFailed { client, rid, code } => (client, Act::MethodFailed { rid, code }, None),
            ToParent::Topics { filters } => (id("d"), Act::TopicsWanted { filters }, None),
            ToParent::Publish { delivery, message, retain } => {
                let token = Some(AckToken(u32::try_from(delivery.0).unwrap()));
                let (topic, body) = (message.topic.to_string(), message.body.clone());
                return self.parent.handle(Event::Publish { connection, topic, body, retain, token });
            }
            ToParent::Acknowledge(Receipt(number)) => {
                return self.parent.acknowledge(connection, number.into());
            }
        };
        self.parent.handle(Event::Nested { connection, client, act, token })
    }

    fn down(&mut self, link: u64, client: ClientId, what: Nested) -> Vec<Effect> {
        let ask = |rid: String| AskId(rid.parse().unwrap());
        let said = match what {
            Nested::Refused => Said::Refused(client),
            Nested::TwinResponse { rid, status, body } => {
                let twin = (status == 200).then(|| {
                    let mut document = map(serde_json::from_slice(&body).unwrap());
                    let desired = map(document.remove("desired").unwrap());
                    let desired_version = desired["$version"].as_u64().unwrap();
                    TwinCopy { desired, desired_version, reported: map(document.remove("reported").unwrap()) }
                });
                Said::Twin { ask: ask(rid), status, twin }
            }
            Nested::DesiredPatch { version, body } => {
                Said::Desired { client, version, patch: map(serde_json::from_slice(&body).unwrap()) }
            }
            Nested::MethodCall { rid, name, payload, connect, response } => {
                Said::Call { client, rid, name, payload, connect, response }
            }
            Nested::CloudToDevice { delivery, message } => Said::CloudToDevice {
                device: client.device,
                receipt: Receipt(u16::try_from(delivery.unwrap().0).unwrap()),
                properties: Box::new(message.properties.clone()),
                body: message.body.clone(),
            },
            Nested::Scope { rid, page } => {
                Said::Scope { ask: ask(rid), page: serde_json::from_slice(&page).unwrap() }
            }
            Nested::ScopeChanged => Said::ScopeChanged,
            Nested::TopicsRefused { filters } => Said::TopicsRefused(filters),
        };
        self.edge.link(link, FromParent::Said(Box::new(said)))
    }

    /// A device beneath comes to the edge hub and listens to everything.
    pub(crate) fn comes(&mut self, client: &str) -> ConnectionId {
        let token = self.edge.device_token(client);
        let mut came = ConnectionId(0);
        self.at_edge(|world| {
            let (connection, mut effects) = world.connect_with(client, token, false);
            came = connection;
            let token = world.token();
            let grants = [Feature::DesiredPatches, Feature::Methods, Feature::CloudToDevice];
            let grants = grants.map(|feature| grant(feature, Qos::AtLeastOnce)).to_vec();
            effects.extend(world.handle(Event::Subscribe { connection, grants, token }));
            effects
        });
        came
    }

    fn report(&mut self, connection: ConnectionId, patch: &Value) {
        let patch = Bytes::from(patch.to_string());
        self.at_edge(|world| {
            let token = Some(world.token());
            let rid = Some("r".to_owned());
            world.handle(Event::ReportedPatch { connection, rid, if_version: None, patch, token })
        });
    }

    fn desire(&mut self, client: &str, desired: Value) {
        let operation = ServiceRequest::PatchTwin {
            client: id(client),
            tags: None,
            desired: Some(map(desired)),
            if_match: IfMatch::Any,
        };
        self.ask_parent(operation);
    }

    fn put(&mut self, name: &str, settings: DeviceSettings) {
        let operation = ServiceRequest::PutDevice { device: device(name), settings, if_match: IfMatch::Any };
        let operation = match self.parent.call(ServiceRequest::GetDevice(device(name))) {
            Ok(_) => operation,
            Err(_) => match operation {
                ServiceRequest::PutDevice { device, settings, .. } => {
                    ServiceRequest::PutDevice { device, settings, if_match: IfMatch::Absent }
                }
                other => other,
            },
        };
        let request = self.ask_parent(operation);
        assert!(matches!(self.reply(request), Some(Ok(_))), "{:?}", self.reply(request));
    }

    /// Everybody that the edge hub knows.
    fn known(&self) -> Vec<String> {
        self.edge.disk.load().identities.iter().map(|identity| identity.client.to_string()).collect()
    }

    /// Sent to a client of the edge hub.
    fn heard(&self, client: ConnectionId) -> Vec<&Outbound> {
        let sent = self.below.iter().filter_map(|effect| match effect {
            Effect::Send { connection, outbound } if *connection == client => Some(outbound),
            _ => None,
        });
        sent.collect()
    }
}

#[test]
fn who_is_beneath_is_known_and_stays_known_without_the_parent() {
    let mut chain = Chain::new();
    let family = [
        "d",
        "d/$edgeAgent",
        "d/$edgeHub",
        "d/camera",
        "leaf",
        "lower",
        "lower/$edgeAgent",
        "lower/$edgeHub",
        "lower-leaf",
        "off",
    ];
    let mut known = chain.known();
    known.sort();
    let mut expected = family.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(known, expected);

    // Cut off and started again: whoever was known gets in, with the parent's keys.
    chain.cut();
    chain.crash();
    let leaf = chain.comes("leaf");
    assert!(chain.heard(leaf).is_empty());
    assert!(!chain.below.iter().any(|effect| matches!(effect, Effect::Refuse { .. })));
    let token = chain.edge.device_token("off");
    let (_, effects) = chain.edge.connect_with("off", token, false);
    let refused = Refusal::NotAuthorised(AuthFailure::Disabled);
    assert!(matches!(&effects[..], [Effect::Refuse { refusal, .. }] if *refusal == refused), "{effects:?}");

    // What changed meanwhile is taken over: disabled, gone, new, moved away.
    chain.put("leaf", DeviceSettings { enabled: Some(false), ..DeviceSettings::default() });
    chain.ask_parent(ServiceRequest::DeleteIdentity { client: id("d/camera"), if_match: IfMatch::Any });
    chain.put("lower-leaf", DeviceSettings { parent: Some(None), ..DeviceSettings::default() });
    chain.put("fresh", DeviceSettings { parent: Some(Some(device("lower"))), ..DeviceSettings::default() });
    chain.below.clear();
    chain.mend();
    assert_eq!(closed(&chain.below), Some(CloseReason::IdentityGone));
    let mut known = chain.known();
    known.sort();
    let mut expected: Vec<String> = family
        .iter()
        .filter(|name| !["d/camera", "lower-leaf"].contains(name))
        .map(|name| (*name).to_owned())
        .chain(["fresh".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(known, expected);

    // And at once while the link is up. A device that is made anew loses what it had.
    chain.put("leaf", DeviceSettings { enabled: Some(true), ..DeviceSettings::default() });
    let leaf = chain.comes("leaf");
    chain.report(leaf, &json!({"old": true}));
    chain.ask_parent(ServiceRequest::DeleteIdentity { client: id("leaf"), if_match: IfMatch::Any });
    chain.put("leaf", DeviceSettings { parent: Some(Some(device("d"))), ..DeviceSettings::default() });
    assert_eq!(closed(&chain.below[..]), Some(CloseReason::IdentityGone));
    assert_eq!(chain.edge.twin("leaf")["properties"]["reported"]["old"], Value::Null);
    chain.comes("leaf");
}

/// Desired patches that a client of the edge hub was sent.
fn patches(chain: &Chain, client: ConnectionId) -> Vec<Value> {
    let patch = |outbound: &Outbound| match outbound {
        Outbound::DesiredPatch { body, .. } => Some(serde_json::from_slice(body).unwrap()),
        _ => None,
    };
    chain.heard(client).into_iter().filter_map(patch).collect()
}

#[test]
fn twins_go_both_ways_and_catch_up() {
    let mut chain = Chain::new();
    chain.desire("leaf", json!({"pace": 1}));
    let leaf = chain.comes("leaf");
    chain.desire("leaf", json!({"pace": 2, "color": "red"}));
    assert_eq!(patches(&chain, leaf), [json!({"pace": 2, "color": "red", "$version": 3})]);
    chain.report(leaf, &json!({"firmware": "1", "gone": 1}));
    assert_eq!(chain.parent.twin("leaf")["properties"]["reported"]["firmware"], "1");

    chain.cut();
    chain.report(leaf, &json!({"firmware": "2", "gone": null}));
    chain.report(leaf, &json!({"extra": {"a": 1}}));
    chain.desire("leaf", json!({"color": null, "size": 3}));
    chain.desire("leaf", json!({"size": 4}));
    assert_eq!(chain.edge.twin("leaf")["properties"]["desired"]["pace"], 2);
    chain.crash();
    let leaf = chain.comes("leaf");
    chain.mend();
    let (above, below) = (chain.parent.twin("leaf"), chain.edge.twin("leaf"));
    for member in ["firmware", "gone", "extra"] {
        assert_eq!(
            above["properties"]["reported"][member], below["properties"]["reported"][member],
            "{member}"
        );
    }
    assert_eq!(above["properties"]["reported"]["gone"], Value::Null);
    assert_eq!(below["properties"]["desired"]["$version"], above["properties"]["desired"]["$version"]);
    assert_eq!(patches(&chain, leaf), [json!({"color": null, "size": 4, "$version": 5})]);
    // Routes of the edge device come from above, too.
    chain.desire(
        "d/$edgeHub",
        json!({"schemaVersion": "1.1", "routes": {"up": "FROM /messages/* INTO $upstream"}}),
    );
    let camera = chain.comes("d/camera");
    chain.at_edge(|world| world.send(camera, "out", "frame"));
    assert_eq!(chain.parent.core.counters().messages_to_events, 1);
}

#[test]
fn a_list_that_does_not_go_on_takes_nobody_away() {
    let mut chain = Chain::new();
    let before = chain.known();
    let asked = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Upstream { what: ToParent::Scope { ask, .. }, .. } => Some(*ask),
            _ => None,
        })
    };
    let effects = chain.edge.link(chain.links, FromParent::Said(Box::new(Said::ScopeChanged)));
    let ask = asked(&effects).expect("the list is read");
    let page = ScopePage { identities: Vec::new(), more: true };
    let effects = chain.edge.link(chain.links, FromParent::Said(Box::new(Said::Scope { ask, page })));
    assert_eq!(asked(&effects), None, "or it would be asked for ever");
    assert_eq!(chain.known(), before);
    // The next change is read as ever.
    chain.put("fresh", DeviceSettings { parent: Some(Some(device("d"))), ..DeviceSettings::default() });
    assert!(chain.known().contains(&"fresh".to_owned()));
}

#[test]
fn a_parent_that_is_busy_is_asked_again() {
    let mut chain = Chain::new();
    let connection = chain.comes("leaf");
    let (rid, patch) = (Some("r".to_owned()), Bytes::from_static(br#"{"firmware": "3"}"#));
    let token = Some(chain.edge.token());
    let mut told =
        chain.edge.handle(Event::ReportedPatch { connection, rid, if_version: None, patch, token });
    let asked = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Upstream { what: ToParent::Report { ask, .. }, .. } => Some(*ask),
            _ => None,
        })
    };
    for status in [429, 500, 503] {
        let ask = asked(&told).expect("the parent is told");
        let busy = Said::Twin { ask, status, twin: None };
        let effects = chain.edge.link(chain.links, FromParent::Said(Box::new(busy)));
        assert_eq!(asked(&effects), None, "not at once");
        told = chain.edge.handle(Event::Tick);
    }
    let ask = asked(&told).expect("the parent is told");
    let busy = Said::Twin { ask, status: 503, twin: None };
    chain.edge.link(chain.links, FromParent::Said(Box::new(busy)));
    chain.at_edge(|world| world.handle(Event::Tick));
    assert_eq!(chain.parent.twin("leaf")["properties"]["reported"]["firmware"], "3");
}

#[test]
fn methods_reach_whoever_is_there_and_fail_truly() {
    let mut chain = Chain::new();
    let call = |client: &str| ServiceRequest::InvokeMethod {
        client: id(client),
        name: "reboot".to_owned(),
        payload: Some(json!({"delay": 1})),
        response_timeout: 10,
        connect_timeout: 0,
    };
    let nobody = chain.ask_parent(call("leaf"));
    assert!(
        matches!(chain.reply(nobody), Some(Err(ServiceError::NotOnline { .. }))),
        "{:?}",
        chain.reply(nobody)
    );

    let leaf = chain.comes("leaf");
    let answered = chain.ask_parent(call("leaf"));
    let rid = chain
        .heard(leaf)
        .into_iter()
        .find_map(|outbound| match outbound {
            Outbound::MethodCall { rid, name, payload, .. } => {
                assert_eq!((name.as_str(), &payload[..]), ("reboot", &br#"{"delay":1}"#[..]));
                Some(rid.clone())
            }
            _ => None,
        })
        .unwrap();
    chain.at_edge(|world| {
        let (payload, token) = (Bytes::from_static(b"{\"ok\":true}"), None);
        world.handle(Event::MethodResult { connection: leaf, rid, status: 299, payload, token })
    });
    let expected = ServiceReply::Method { status: 299, payload: json!({"ok": true}) };
    assert_eq!(chain.reply(answered), Some(Ok(expected)));

    let silent = chain.ask_parent(call("leaf"));
    chain.at_edge(|world| {
        world.now += jiff::SignedDuration::from_secs(11);
        world.handle(Event::Tick)
    });
    assert!(matches!(chain.reply(silent), Some(Err(ServiceError::NoAnswer { .. }))));

    let gone = chain.ask_parent(call("leaf"));
    chain.cut();
    assert!(matches!(chain.reply(gone), Some(Err(ServiceError::ConnectionClosed(_)))));
    let away = chain.ask_parent(call("leaf"));
    assert!(matches!(chain.reply(away), Some(Err(ServiceError::NotOnline { .. }))));
}

#[test]
fn a_message_to_a_device_waits_where_it_can_be_told_of() {
    let mut chain = Chain::new();
    let send = |body: &str| {
        let mut properties = Box::new(Properties::default());
        properties.system.ack = Some("full".to_owned());
        properties.system.message_id = Some(body.to_owned());
        ServiceRequest::SendCloudToDevice {
            device: device("leaf"),
            properties,
            body: Bytes::from(body.to_owned()),
        }
    };
    let feedback = |chain: &mut Chain| -> Vec<String> {
        let request = chain.ask_parent(ServiceRequest::ReceiveFeedback);
        let Some(Ok(ServiceReply::Feedback(batch))) = chain.reply(request) else { panic!("feedback") };
        let Some(batch) = batch else { return Vec::new() };
        chain.ask_parent(ServiceRequest::SettleFeedback {
            lock: batch.lock,
            settlement: Settlement::Complete,
        });
        batch.records.iter().map(|it| format!("{} {}", it.message_id, it.outcome.as_str())).collect()
    };
    // Sent while the link is down and the device away: it goes through both when they are there.
    chain.cut();
    chain.ask_parent(send("1"));
    chain.mend();
    assert_eq!(feedback(&mut chain), [""; 0]);
    assert!(chain.edge.disk.load().cloud_to_device.is_empty(), "it waits at the parent");
    let leaf = chain.comes("leaf");
    let deliveries = |chain: &Chain, leaf: ConnectionId| -> Vec<(u64, String)> {
        let cloud = |outbound: &Outbound| match outbound {
            Outbound::CloudToDevice { delivery, message, .. } => {
                Some((delivery.unwrap().0, String::from_utf8_lossy(&message.body).into_owned()))
            }
            _ => None,
        };
        chain.heard(leaf).into_iter().filter_map(cloud).collect()
    };
    let first = deliveries(&chain, leaf);
    assert_eq!(first.iter().map(|(_, body)| body.as_str()).collect::<Vec<_>>(), ["1"]);
    chain.at_edge(|world| world.acknowledge(leaf, first[0].0));
    assert_eq!(feedback(&mut chain), ["1 Success"]);

    // The edge hub dies with a message on its way: the parent has it still.
    chain.ask_parent(send("2"));
    assert_eq!(deliveries(&chain, leaf).len(), 2);
    chain.crash();
    let leaf = chain.comes("leaf");
    assert!(deliveries(&chain, leaf).is_empty());
    chain.mend();
    let again = deliveries(&chain, leaf);
    assert_eq!(again.len(), 1, "{again:?}");
    chain.at_edge(|world| world.acknowledge(leaf, again[0].0));
    assert_eq!(feedback(&mut chain), ["2 Success"]);
    // A device that comes to the parent itself is served there.
    chain.at_edge(|world| world.leave(leaf));
    chain.ask_parent(send("3"));
    assert_eq!(chain.parent.twin("leaf")["cloudToDeviceMessageCount"], 1);
}

#[test]
fn a_long_list_comes_in_pages() {
    let mut chain = Chain::new();
    chain.cut();
    for number in 0..230 {
        let settings = DeviceSettings { parent: Some(Some(device("d"))), ..DeviceSettings::default() };
        chain.parent.add_device(&format!("meter-{number}"), settings);
    }
    chain.desire("meter-7", json!({"pace": 7}));
    chain.mend();
    assert_eq!(chain.known().iter().filter(|name| name.starts_with("meter-")).count(), 230);
    assert_eq!(chain.edge.twin("meter-7")["properties"]["desired"]["pace"], 7);
}

#[derive(Debug, Clone)]
enum Turn {
    Desire(u8, u8, Option<u8>),
    /// Somebody writes at the edge hub what is the parent's.
    Local(u8, u8, Option<u8>),
    Report(u8, u8, Option<u8>),
    Cut,
    Mend,
    Crash,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let value = proptest::option::of(0..4u8);
    let turn = prop_oneof![
        4 => (0..2u8, 0..3u8, value.clone()).prop_map(|(who, key, value)| Turn::Desire(who, key, value)),
        4 => (0..2u8, 0..3u8, value.clone()).prop_map(|(who, key, value)| Turn::Report(who, key, value)),
        1 => (0..2u8, 0..3u8, value).prop_map(|(who, key, value)| Turn::Local(who, key, value)),
        1 => Just(Turn::Cut),
        2 => Just(Turn::Mend),
        1 => Just(Turn::Crash),
    ];
    prop::collection::vec(turn, 0..40)
}

proptest! {
    /// Whatever is cut and killed, once the link is up both sides have the same twins.
    #[test]
    fn twins_agree_in_the_end(turns in turns()) {
        let mut chain = Chain::new();
        let clients = ["leaf", "d/camera"];
        let mut connections = clients.map(|client| chain.comes(client));
        for turn in turns {
            match turn {
                Turn::Desire(who, key, value) => {
                    chain.desire(clients[usize::from(who)], json!({format!("k{key}"): value}));
                }
                Turn::Local(who, key, value) => {
                    let operation = ServiceRequest::PatchTwin {
                        client: id(clients[usize::from(who)]),
                        tags: None,
                        desired: Some(map(json!({format!("k{key}"): value}))),
                        if_match: IfMatch::Any,
                    };
                    chain.at_edge(|world| world.ask(hemline_hub_core::event::Caller::Internal, operation).1);
                }
                Turn::Report(who, key, value) => {
                    chain.report(connections[usize::from(who)], &json!({format!("k{key}"): value}));
                }
                Turn::Cut => chain.cut(),
                Turn::Mend => chain.mend(),
                Turn::Crash => {
                    chain.crash();
                    connections = clients.map(|client| chain.comes(client));
                }
            }
        }
        chain.mend();
        for client in clients {
            let (mut above, mut below) = (chain.parent.twin(client), chain.edge.twin(client));
            for (section, versioned) in [("desired", true), ("reported", false)] {
                for twin in [&mut above, &mut below] {
                    let section = twin["properties"][section].as_object_mut().unwrap();
                    section.remove("$metadata");
                    if !versioned {
                        section.remove("$version");
                    }
                }
                prop_assert_eq!(&above["properties"][section], &below["properties"][section], "{} {}", client, section);
            }
            let waits = chain.edge.disk.load().twins.iter().any(|twin| twin.unsynced);
            prop_assert!(!waits, "nothing is left to tell");
        }
    }
}

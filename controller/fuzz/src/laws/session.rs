//! One MQTT connection: any bytes in any pieces, before and after CONNECT.
//!
//! The first byte of an input chooses whether a good CONNECT goes before the rest, whose, and how the rest is cut.

use std::{collections::BTreeSet, sync::LazyLock};

use hemline_hub::{
    border::{Conversation, Moment, Told},
    store::{MemoryStore, Store as _},
};
use hemline_hub_core::{
    core::{Core, CoreConfig},
    effect::{Effect, Outbound},
    event::{Caller, Entropy, Event, RequestId},
    service::{Authentication, DeviceSettings, IfMatch, ModuleSettings, ServiceRequest},
    write::{Restored, Write},
};
use hemline_model::id::{ClientId, DeviceId, ModuleId};
use hemline_protocol::{
    properties::Properties,
    sas::{SasToken, SymmetricKey},
};
use jiff::Timestamp;
use serde_json::json;

const HUB: &str = "hub.local";
/// Sizes of pieces; 0 stands for whole packets.
const PIECES: [usize; 4] = [1, 2, 7, 100];
/// Packets that come unasked: what waits for a client before it connects.
const WAITING: usize = 1;

/// A hub before anybody connects.
struct Stage {
    config: CoreConfig,
    /// What it has on its disk.
    writes: Vec<Write>,
    restored: Restored,
    now: Timestamp,
    /// CONNECT of a device, and of a module.
    hello: [Vec<u8>; 2],
}

static STAGE: LazyLock<Stage> = LazyLock::new(|| Stage::build().expect("a hub of two identities"));

impl Stage {
    fn build() -> Option<Self> {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().ok()?;
        let config = CoreConfig { names: vec![HUB.to_owned()], ..CoreConfig::default() };
        let mut core = Core::restore(config.clone(), Restored::default());
        let mut writes = Vec::new();
        let key = SymmetricKey::from_bytes(vec![7; 32]).ok()?;
        let text = key.expose_base64();
        let sas = Some(Authentication::Sas { primary: text.clone(), secondary: text });
        let edge = DeviceId::new("e").ok()?;
        let module = ClientId::module(edge.clone(), ModuleId::new("m").ok()?);
        let device = DeviceId::new("d").ok()?;
        let up = "FROM /messages/* INTO $upstream";
        let back = r#"FROM /messages/modules/m/outputs/o INTO BrokeredEndpoint("/modules/m/inputs/i")"#;
        let put = |device: &DeviceId, parent: Option<&DeviceId>| {
            let settings = DeviceSettings {
                edge: Some(parent.is_none()),
                parent: Some(parent.cloned()),
                authentication: sas.clone(),
                ..DeviceSettings::default()
            };
            ServiceRequest::PutDevice { device: device.clone(), settings, if_match: IfMatch::Absent }
        };
        // On topics of their own both may say everything but one thing.
        let topics = json!([{
            "identities": ["{{iot:identity}}"],
            "deny": [{"operations": ["mqtt:publish", "mqtt:subscribe"], "resources": ["t/no"]}],
            "allow": [{"operations": ["mqtt:connect"]},
                {"operations": ["mqtt:publish", "mqtt:subscribe"], "resources": ["#"]}],
        }]);
        let desire = |client: ClientId, desired: serde_json::Value| {
            let desired = desired.as_object().cloned();
            ServiceRequest::PatchTwin { client, tags: None, desired, if_match: IfMatch::Absent }
        };
        let asked = [
            put(&edge, None),
            put(&device, Some(&edge)),
            ServiceRequest::PutModule {
                client: module.clone(),
                settings: ModuleSettings { authentication: sas.clone(), managed_by: None },
                if_match: IfMatch::Absent,
            },
            desire(ClientId::device(device.clone()), json!({"every": 5})),
            desire(
                ClientId::module(edge.clone(), ModuleId::edge_hub()),
                json!({
                    "schemaVersion": "1.2", "routes": {"up": up, "back": back},
                    "mqttBroker": {"authorizations": topics},
                }),
            ),
            ServiceRequest::SendCloudToDevice {
                device: device.clone(),
                properties: Box::new(Properties::default()),
                body: "waits".into(),
            },
        ];
        for (number, operation) in asked.into_iter().enumerate() {
            let (request, entropy) = (RequestId(number as u64), Entropy([number as u8; 64]));
            let event = Event::Service { request, caller: Caller::Internal, operation, entropy };
            let effects = core.handle(event, now);
            let refused = |effect: &Effect| matches!(effect, Effect::Reply { reply, .. } if reply.is_err());
            if effects.iter().any(refused) {
                return None;
            }
            writes.extend(effects.iter().filter_map(written).cloned());
        }
        let restored = loaded([&writes]);
        let hello = [ClientId::device(device), module].map(|client| connect(&client, &key, now));
        Some(Self { config, writes, restored, now, hello })
    }

    /// A conversation in which the client sends these pieces.
    fn play<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
        let begun = Conversation::begin(self.config.clone(), self.restored.clone(), self.now);
        let mut conversation = begun.expect("timers");
        pieces.into_iter().for_each(|piece| conversation.send(piece));
        conversation.end()
    }
}

/// CONNECT as SDKs send it: clean session 0, keep-alive 60.
fn connect(client: &ClientId, key: &SymmetricKey, now: Timestamp) -> Vec<u8> {
    let expiry = Timestamp::from_second(now.as_second() + 3_600).unwrap_or(now);
    let resource = match &client.module {
        None => format!("{HUB}/devices/{}", client.device),
        Some(module) => format!("{HUB}/devices/{}/modules/{module}", client.device),
    };
    let mut body = b"\0\x04MQTT\x04\xc0\0\x3c".to_vec();
    let texts = [
        client.to_string(),
        format!("{HUB}/{client}/?api-version=2021-04-12"),
        SasToken::sign(key, &resource, expiry, None),
    ];
    for text in texts {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    // Always between 128 and 16 383 bytes.
    let mut packet = vec![0x10, (body.len() % 128) as u8 | 0x80, (body.len() / 128) as u8];
    packet.extend(body);
    packet
}

/// Reads bytes as what a client sends.
///
/// # Panics
/// When a law is broken.
pub fn session(bytes: &[u8]) {
    let stage = &*STAGE;
    let Some((choice, rest)) = bytes.split_first() else { return };
    let mut all = match choice & 3 {
        0 => stage.hello[0].clone(),
        1 => stage.hello[1].clone(),
        _ => Vec::new(),
    };
    all.extend(rest);
    let size = PIECES[usize::from(choice >> 2) % PIECES.len()];

    let packets = packets(&all);
    let whole = stage.play(packets.iter().copied());
    let cut = stage.play(packets.iter().flat_map(|packet| packet.chunks(size)));
    // Or all that follows would be about nothing.
    assert!(
        choice & 3 > 1 || whole.sent.starts_with(&[0x20, 2, 0, 0]),
        "a good CONNECT is let in: {whole:?}"
    );
    assert_eq!(whole, cut, "the same packets in pieces of {size} bytes");
    // All at once the client acknowledges before it was sent anything, and answers of the core come later than those of the
    // head; what is kept of it is the same.
    let flood = stage.play([all.as_slice()]);
    assert_eq!(kept(&whole), kept(&flood), "one packet after the other, or all at once");
    for told in [&whole, &flood] {
        acknowledged_is_kept(told);
        answered_in_packets(told, packets.len());
    }
    starts_again(stage, &whole);
}

/// An acknowledgement speaks of what is on disk, and so does whatever the client has to acknowledge. The core answers each
/// message before it hears the next one.
fn acknowledged_is_kept(told: &Told) {
    let mut last = None;
    let mut kept = false;
    let mut waiting = BTreeSet::new();
    for moment in &told.moments {
        match moment {
            Moment::Heard(event) => {
                (last, kept) = (Some(event), false);
            }
            Moment::Did(Effect::Persist(Write::Append { message, .. })) => {
                kept |= matches!(last, Some(Event::Telemetry { body, .. }) if *body == message.body);
            }
            Moment::Did(Effect::Persist(Write::PutRetained { message, .. })) => {
                kept |= matches!(last, Some(Event::Publish { body, .. }) if *body == message.body);
            }
            Moment::Did(Effect::Persist(Write::PutTopicMessage { message, .. })) => {
                waiting.insert(message.sequence);
            }
            Moment::Did(Effect::Send {
                outbound: Outbound::Topic { delivery: Some(_), message, .. },
                ..
            }) => {
                assert!(waiting.contains(&message.sequence), "sent and not on disk: {message:?}");
            }
            Moment::Did(Effect::Ack { .. }) => {
                let message = match last {
                    Some(Event::Telemetry { .. }) => true,
                    Some(Event::Publish { body, retain, .. }) => *retain && !body.is_empty(),
                    _ => false,
                };
                assert!(kept || !message, "acknowledged and not on disk: {last:?}");
            }
            Moment::Did(_) => {}
        }
    }
}

/// What goes to the client are whole packets of the kinds that a hub sends, CONNACK first and once, and not more of them than
/// the client asked for.
fn answered_in_packets(told: &Told, asked: usize) {
    let sent = packets(&told.sent);
    for (place, packet) in sent.iter().enumerate() {
        assert_eq!(frame_length(packet), Some(packet.len()), "a packet that is cut short: {packet:?}");
        let kind = packet[0] >> 4;
        assert!([2, 3, 4, 9, 11, 13].contains(&kind), "a hub does not send {packet:?}");
        assert_eq!(kind == 2, place == 0, "CONNACK is the first packet and no other: {:?}", told.sent);
    }
    // Of one packet at most an answer and an acknowledgement, of a message to an own input or topic also the message; and of a
    // subscription all that is retained.
    let is_retained = |moment: &&Moment| {
        matches!(moment, Moment::Did(Effect::Send { outbound: Outbound::Topic { retained: true, .. }, .. }))
    };
    let retained = told.moments.iter().filter(is_retained).count();
    assert!(sent.len() <= 1 + WAITING + 3 * asked + retained, "{} packets for {asked}", sent.len());
}

/// A hub that starts from what this one kept knows what was granted last, what is retained and what waits.
fn starts_again(stage: &Stage, told: &Told) {
    let writes: Vec<Write> = told.moments.iter().filter_map(persisted).cloned().collect();
    let restored = loaded([&stage.writes, &writes]);
    let last = writes.iter().rev().find_map(|write| match write {
        Write::PutSession(session) => Some(session),
        _ => None,
    });
    assert_eq!(restored.sessions.iter().collect::<Vec<_>>(), last.into_iter().collect::<Vec<_>>());
    let retained = restored.retained.len();
    let waiting: usize = restored.topic_messages.iter().map(|(_, receivers)| receivers.len()).sum();
    let mut core = Core::restore(stage.config.clone(), restored);
    core.handle(Event::Tick, stage.now);
    let counters = core.counters();
    let known = (counters.topics_retained, counters.topics_waiting);
    assert_eq!(known, (retained as u64, waiting as u64), "retained and waiting after a start");
}

fn loaded<'a>(batches: impl IntoIterator<Item = &'a Vec<Write>>) -> Restored {
    let mut store = MemoryStore::new();
    for writes in batches {
        store.commit(writes).expect("memory");
    }
    store.load().expect("memory")
}

/// Everything that is kept of a conversation but for what acknowledgements of the client take away. What is retained is given
/// anew to whoever subscribes again and has acknowledged it, so that is left out as well.
fn kept(told: &Told) -> Vec<&Write> {
    let stays = |write: &&Write| match write {
        Write::Remove { .. } | Write::RemoveCloudToDevice(_) | Write::RemoveTopicMessage { .. } => false,
        Write::PutTopicMessage { receivers, .. } => receivers.iter().any(|receiver| !receiver.retained),
        _ => true,
    };
    told.moments.iter().filter_map(persisted).filter(stays).collect()
}

fn persisted(moment: &Moment) -> Option<&Write> {
    match moment {
        Moment::Did(effect) => written(effect),
        Moment::Heard(_) => None,
    }
}

fn written(effect: &Effect) -> Option<&Write> {
    match effect {
        Effect::Persist(write) => Some(write),
        _ => None,
    }
}

/// The packets of a stream as their lengths say; what is left is one more.
fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(length) = frame_length(bytes).filter(|length| *length <= bytes.len()) {
        let (packet, rest) = bytes.split_at(length);
        found.push(packet);
        bytes = rest;
    }
    if !bytes.is_empty() {
        found.push(bytes);
    }
    found
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(2 + place + length);
        }
    }
    None
}

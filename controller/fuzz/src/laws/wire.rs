//! What strangers write on the way in: tokens, user names, topics, property bags, WebSockets, headers, batches. The first byte
//! of an input chooses which.

use hemline_hub::border::{batch, chosen_protocol, header_properties, header_text, unframe};
use hemline_model::id::ClientId;
use hemline_protocol::{
    bag,
    connection_string::ConnectionString,
    filter::{Feature, features, matches},
    properties::Properties,
    sas::{SasToken, SymmetricKey},
    topic::{self, ClientTopic, HubTopic},
    username::{API_VERSION, Username},
};
use jiff::Timestamp;

/// Bytes of bodies in one batch here.
const BATCH: usize = 1_000;

/// Reads bytes as what the first of them says.
///
/// # Panics
/// When a law is broken.
pub fn wire(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    match choice % 8 {
        0 => websocket(rest),
        1 => handshake(rest),
        2 => headers(rest),
        3 => batches(rest),
        other => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            match other {
                4 => token(text),
                5 => names(text),
                6 => topics(text),
                _ => bags(text),
            }
        }
    }
}

fn key() -> SymmetricKey {
    SymmetricKey::from_bytes(vec![9; 32]).expect("32 bytes are a key")
}

/// A token that nobody signed verifies with no key; one that was signed for a text is read back as that.
fn token(text: &str) {
    if let Ok(token) = SasToken::parse(text) {
        assert!(!token.verify(&key()), "{text:?} was signed by nobody");
        let resource = token.resource();
        assert!(!resource.host().is_empty() && !resource.host().contains(['/', ':']), "{text:?}");
        let path: Vec<&str> = resource.path().iter().map(String::as_str).collect();
        assert!(resource.covers(&path), "{text:?} is not for itself");
        assert!(resource.host_is_one_of(&[resource.host().to_uppercase()]) || !resource.host().is_ascii());
    }
    let expiry = Timestamp::from_second(1_800_000_000).unwrap_or_default();
    for policy in [None, Some(text).filter(|text| !text.is_empty())] {
        let signed = SasToken::sign(&key(), text, expiry, policy);
        let Ok(token) = SasToken::parse(&signed) else { continue };
        assert!(token.verify(&key()), "{signed}");
        assert_eq!((token.expiry(), token.policy()), (expiry, policy), "{signed}");
    }
}

/// User names and connection strings.
fn names(text: &str) {
    if let Ok(name) = Username::parse(text) {
        let printed = name.to_string();
        let api_version = Some(name.api_version.clone().unwrap_or_else(|| API_VERSION.to_owned()));
        assert_eq!(
            Username::parse(&printed),
            Ok(Username { api_version, ..name }),
            "{text:?} as {printed:?}"
        );
    }
    if let Ok(found) = ConnectionString::parse(text) {
        let printed = match &found {
            ConnectionString::Client(client) => client.expose(),
            ConnectionString::Service(service) => service.expose(),
        };
        assert_eq!(ConnectionString::parse(&printed), Ok(found), "{text:?}");
    }
}

/// Topics of both directions, and filters.
fn topics(text: &str) {
    assert!(matches(text, text), "{text:?} does not match itself");
    for id in ["d", "d/m"] {
        let client: ClientId = id.parse().expect("an id");
        let found = features(text, &client);
        assert!(!found.contains(&Feature::Inputs) || client.module.is_some(), "{text:?}");
        match topic::parse(text, &client) {
            Ok(ClientTopic::Telemetry { properties }) => {
                assert!(text.starts_with("devices/d/"), "{text:?} is not the client's own");
                let printed = topic::telemetry(&client, &properties);
                let again = topic::parse(&printed, &client);
                let expected = ClientTopic::Telemetry { properties: as_sent(properties) };
                assert_eq!(again, Ok(expected), "{text:?} as {printed:?}");
            }
            Ok(ClientTopic::TwinGet { rid }) => {
                assert_eq!(
                    topic::parse(&topic::twin_get(&rid), &client),
                    Ok(ClientTopic::TwinGet { rid: rid.clone() })
                );
                answered(&topic::twin_response(200, &rid, Some(u64::MAX)), &rid, &client);
            }
            Ok(ClientTopic::ReportedPatch { rid: Some(rid), .. }) => {
                answered(&topic::twin_response(204, &rid, None), &rid, &client);
            }
            Ok(ClientTopic::MethodResult { status, rid }) => {
                let printed = topic::method_result(status, &rid);
                assert_eq!(topic::parse(&printed, &client), Ok(ClientTopic::MethodResult { status, rid }));
            }
            Ok(ClientTopic::User) => {
                assert!(!text.starts_with('$') && !text.starts_with("devices/"), "{text:?} is the hub's");
            }
            Ok(ClientTopic::ReportedPatch { rid: None, .. }) | Err(_) => {}
        }
        // What the hub says is read by agents; anything at all may come from a hub that is none.
        drop(HubTopic::parse(text, &client));
    }
}

/// The answer to a request has room in a packet and says which request it was.
fn answered(topic: &str, asked: &str, client: &ClientId) {
    assert!(topic.len() <= usize::from(u16::MAX), "an answer of {} bytes cannot be sent", topic.len());
    match HubTopic::parse(topic, client) {
        Ok(HubTopic::TwinResponse { rid, .. }) => assert_eq!(rid, asked, "{topic:?}"),
        other => panic!("{topic:?} is read as {other:?}"),
    }
}

/// What is left of properties that a client reads and sends again: empty system properties are left out, ids of connections
/// are the hub's to write.
fn as_sent(mut properties: Properties) -> Properties {
    let system = &mut properties.system;
    (system.connection_device_id, system.connection_module_id, system.message_type) = (None, None, None);
    for slot in [
        &mut system.message_id,
        &mut system.correlation_id,
        &mut system.user_id,
        &mut system.to,
        &mut system.expiry,
        &mut system.content_type,
        &mut system.content_encoding,
        &mut system.output_name,
        &mut system.creation_time,
        &mut system.message_schema,
        &mut system.interface_id,
        &mut system.component,
        &mut system.ack,
    ] {
        slot.take_if(|value| value.is_empty());
    }
    properties
}

/// Property bags and the escapes in them.
fn bags(text: &str) {
    let encoded = bag::encode(text);
    assert!(encoded.len() <= 3 * text.len() && encoded.is_ascii(), "{text:?} as {encoded:?}");
    assert_eq!(bag::decode(&encoded).as_deref(), Ok(text));
    let Ok(properties) = bag::parse(text) else { return };
    let names: std::collections::BTreeSet<&String> =
        properties.application.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), properties.application.len(), "a name twice in {text:?}");
    let printed = bag::to_hub(&properties);
    assert_eq!(bag::parse(&printed), Ok(as_sent(properties.clone())), "{text:?} as {printed:?}");
    let told = bag::to_client("/devices/d", &properties);
    let heard = bag::parse(&told);
    assert_eq!(heard.map(|heard| heard.application), Ok(properties.application), "{text:?} as {told:?}");
}

/// Frames: the same bytes come out whatever the pieces they came in, and never more than went in.
fn websocket(bytes: &[u8]) {
    let whole = unframe([bytes]);
    assert!(whole.payload.len() <= bytes.len(), "{} bytes of {}", whole.payload.len(), bytes.len());
    // A pong for each ping at most, and a close.
    assert!(whole.sent.len() <= bytes.len() + 128, "{} bytes sent for {}", whole.sent.len(), bytes.len());
    for size in [1, 3, 64] {
        let cut = unframe(bytes.chunks(size));
        assert_eq!(
            (&cut.payload, cut.closed_by_hub),
            (&whole.payload, whole.closed_by_hub),
            "pieces of {size}"
        );
    }
}

/// `name: value` lines, as long as they are some.
fn lines(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    let line = |line: &'_ [u8]| line.iter().position(|byte| *byte == b':').map(|colon| (colon, line.len()));
    let mut found = Vec::new();
    for text in bytes.split(|byte| *byte == b'\n').take(200) {
        if let Some((colon, length)) = line(text) {
            found.push((&text[..colon], text[(colon + 1).min(length)..].trim_ascii()));
        }
    }
    found
}

/// Who gets a WebSocket has offered the protocol that it gets.
fn handshake(bytes: &[u8]) {
    let headers = lines(bytes);
    if let Some(protocol) = chosen_protocol("GET", &headers) {
        assert!(protocol.eq_ignore_ascii_case(b"mqtt"), "{protocol:?}");
        let offers = |(name, value): &(&[u8], &[u8])| {
            name.eq_ignore_ascii_case(b"sec-websocket-protocol")
                && value.split(|byte| *byte == b',').any(|word| word.trim_ascii() == protocol)
        };
        assert!(headers.iter().any(offers), "{protocol:?} was not offered");
    }
    assert_eq!(chosen_protocol("POST", &headers), None);
}

/// Properties in headers: what was read and written once stays as it is.
fn headers(bytes: &[u8]) {
    let again = |properties: &Properties| {
        let written = header_text(properties);
        let lines: Vec<(&[u8], &[u8])> =
            written.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        header_properties(&lines)
    };
    let once = again(&header_properties(&lines(bytes)));
    assert_eq!(again(&once), once);
}

/// A batch has as many messages and bytes as are allowed.
fn batches(bytes: &[u8]) {
    let Some(messages) = batch(bytes, BATCH) else { return };
    assert!((1..=1_000).contains(&messages.len()), "{} messages", messages.len());
    let length: usize = messages.iter().map(|(_, body)| body.len()).sum();
    assert!(length <= BATCH, "{length} bytes");
    for (properties, _) in &messages {
        let names: std::collections::BTreeSet<&String> =
            properties.application.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), properties.application.len(), "a name twice");
    }
}

//! The property bag: message properties as the last part of an MQTT topic (reference device-protocol §4.2).
//!
//! `+` is a plus sign, never a blank. Read leniently, written so that every known receiver understands it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    properties::{Properties, SystemProperties, keep_last},
    time,
};

/// Everything but the characters that no encoder touches. `$` is encoded: the C client knows only `%24.mid`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// Why a text is no property bag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BagError {
    /// Percent-decoding gave something that is not UTF-8.
    #[error(
        "property bag: {0:?} is not UTF-8 after percent-decoding; encode text as UTF-8 before escaping it"
    )]
    NotUtf8(String),
    /// `=value`.
    #[error("property bag: a property has no name; write name=value pairs separated by &")]
    EmptyName,
}

/// Percent-encodes one name, value or topic segment.
#[must_use]
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Percent-decodes one name, value or topic segment. A lone `%` stands for itself.
///
/// # Errors
/// When the bytes are not UTF-8.
pub fn decode(text: &str) -> Result<String, BagError> {
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(BagError::NotUtf8(text.to_owned())),
    }
}

/// Reads a bag. Tolerates a leading `?`, a trailing `/`, empty pairs and both spellings of system keys; of equal names
/// the last wins.
///
/// # Errors
/// When a name is empty or an escape is not UTF-8.
pub fn parse(bag: &str) -> Result<Properties, BagError> {
    let bag = bag.strip_prefix('?').unwrap_or(bag);
    let bag = bag.strip_suffix('/').unwrap_or(bag);
    let mut properties = Properties::default();
    for pair in bag.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.split_once('=') {
            Some((name, value)) => (decode(name)?, Some(decode(value)?)),
            None => (decode(pair)?, None),
        };
        if name.is_empty() {
            return Err(BagError::EmptyName);
        }
        match slot(&mut properties.system, &name) {
            Some(slot) => *slot = value.or(Some(String::new())),
            None if name.starts_with("$.") => properties.system.other.push((name, value.unwrap_or_default())),
            None => properties.application.push((name, value)),
        }
    }
    keep_last(&mut properties.system.other);
    keep_last(&mut properties.application);
    Ok(properties)
}

/// Writes the bag of a message that the hub sends. `to` comes first because the Java client looks for the first `%24`.
#[must_use]
pub fn to_client(to: &str, properties: &Properties) -> String {
    let SystemProperties {
        message_id,
        correlation_id,
        user_id,
        to: _, // the hub says where it goes
        expiry,
        content_type,
        content_encoding,
        output_name: _, // a matter between the sender and the routes
        creation_time,
        message_schema,
        interface_id,
        component,
        connection_device_id,
        connection_module_id,
        message_type,
        ack,
        other,
    } = &properties.system;
    let mut out = String::with_capacity(128);
    push(&mut out, "%24.to", Some(to));
    push_if(&mut out, "%24.mid", message_id.as_deref());
    push_if(&mut out, "%24.cid", correlation_id.as_deref());
    push_if(&mut out, "%24.uid", user_id.as_deref());
    push_if(&mut out, "%24.ct", content_type.as_deref());
    push_if(&mut out, "%24.ce", content_encoding.as_deref());
    push_if(&mut out, "%24.exp", normal_time(expiry.as_deref()).as_deref());
    push_if(&mut out, "%24.ctime", normal_time(creation_time.as_deref()).as_deref());
    push_if(&mut out, "%24.schema", message_schema.as_deref());
    push_if(&mut out, "%24.ifid", interface_id.as_deref());
    push_if(&mut out, "%24.sub", component.as_deref());
    push_if(&mut out, "%24.cdid", connection_device_id.as_deref());
    push_if(&mut out, "%24.cmid", connection_module_id.as_deref());
    push_if(&mut out, "iothub-MessageType", message_type.as_deref());
    push_if(&mut out, "iothub-ack", ack.as_deref().filter(|ack| *ack != "none"));
    push_rest(&mut out, other, &properties.application);
    out
}

/// Writes the bag of a message that a client sends. Connection ids are left out: the hub stamps them.
#[must_use]
pub fn to_hub(properties: &Properties) -> String {
    let SystemProperties {
        message_id,
        correlation_id,
        user_id,
        to,
        expiry,
        content_type,
        content_encoding,
        output_name,
        creation_time,
        message_schema,
        interface_id,
        component,
        connection_device_id: _,
        connection_module_id: _,
        message_type: _,
        ack,
        other,
    } = &properties.system;
    let mut out = String::new();
    push_if(&mut out, "%24.on", output_name.as_deref());
    push_if(&mut out, "%24.mid", message_id.as_deref());
    push_if(&mut out, "%24.cid", correlation_id.as_deref());
    push_if(&mut out, "%24.uid", user_id.as_deref());
    push_if(&mut out, "%24.to", to.as_deref());
    push_if(&mut out, "%24.ct", content_type.as_deref());
    push_if(&mut out, "%24.ce", content_encoding.as_deref());
    push_if(&mut out, "%24.exp", expiry.as_deref());
    push_if(&mut out, "%24.ctime", creation_time.as_deref());
    push_if(&mut out, "%24.schema", message_schema.as_deref());
    push_if(&mut out, "%24.ifid", interface_id.as_deref());
    push_if(&mut out, "%24.sub", component.as_deref());
    push_if(&mut out, "iothub-ack", ack.as_deref());
    push_rest(&mut out, other, &properties.application);
    out
}

fn slot<'a>(system: &'a mut SystemProperties, name: &str) -> Option<&'a mut Option<String>> {
    Some(match name {
        "$.mid" => &mut system.message_id,
        "$.cid" => &mut system.correlation_id,
        "$.uid" => &mut system.user_id,
        "$.to" => &mut system.to,
        "$.exp" => &mut system.expiry,
        "$.ct" => &mut system.content_type,
        "$.ce" => &mut system.content_encoding,
        "$.on" => &mut system.output_name,
        "$.ctime" => &mut system.creation_time,
        "$.schema" => &mut system.message_schema,
        "$.ifid" => &mut system.interface_id,
        "$.sub" => &mut system.component,
        "$.cdid" => &mut system.connection_device_id,
        "$.cmid" => &mut system.connection_module_id,
        "iothub-ack" => &mut system.ack,
        _ => return None,
    })
}

/// Times leave in the one form that all clients parse; what is no time leaves as it came.
fn normal_time(text: Option<&str>) -> Option<String> {
    let text = text?;
    Some(time::parse(text).map_or_else(|| text.to_owned(), time::iso))
}

fn push_rest(out: &mut String, other: &[(String, String)], application: &[(String, Option<String>)]) {
    for (name, value) in other {
        push(out, &encode(name), Some(value));
    }
    for (name, value) in application {
        push(out, &encode(name), value.as_deref());
    }
}

/// Absent and empty system properties are left out: the Java client throws on `key=`.
fn push_if(out: &mut String, name: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        push(out, name, Some(value));
    }
}

fn push(out: &mut String, encoded_name: &str, value: Option<&str>) {
    if !out.is_empty() {
        out.push('&');
    }
    out.push_str(encoded_name);
    if let Some(value) = value {
        out.push('=');
        out.extend(utf8_percent_encode(value, ENCODED));
    }
}
